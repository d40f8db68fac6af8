"""What blur must do, as laws, strategies and checks for anybody's tests.

>>> import blursynth as bs
>>> from blursynth.testing import check_degradation
>>> check_degradation(bs.kinds.GaussianBlur(sigma_px=1.0, aspect=0.5), identity=bs.kinds.GaussianBlur(sigma_px=0.0))

:mod:`blursynth.testing.laws` holds any function against the laws of blur, through an :class:`Adapter` that says how it
is called and what it claims; :mod:`blursynth.testing.strategies` has strategies for Hypothesis. Both need the extra
``testing``.
"""

from blursynth.testing.adapter import Adapter, Noise
from blursynth.testing.conformance import check_degradation, pictures
from blursynth.testing.registration import MomentRegistration

__all__ = ["Adapter", "MomentRegistration", "Noise", "check_degradation", "pictures"]
