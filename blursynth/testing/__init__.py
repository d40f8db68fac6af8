"""The contract of degradations, as functions for tests of the built-in kinds and of custom ones.

>>> import blursynth as bs
>>> from blursynth.testing import check_degradation, pictures
>>> check_degradation(bs.kinds.GaussianBlur(sigma_px=1.0, aspect=0.5), identity=bs.kinds.GaussianBlur(sigma_px=0.0))
"""

from blursynth.testing.conformance import check_degradation, pictures
from blursynth.testing.registration import MomentRegistration

__all__ = ["MomentRegistration", "check_degradation", "pictures"]
