"""What blur must do, as laws, strategies and checks for anybody's tests.

>>> import blursynth as bs
>>> from blursynth.testing import check_degradation
>>> check_degradation(bs.kinds.GaussianBlur(sigma_px=1.0, aspect=0.5), identity=bs.kinds.GaussianBlur(sigma_px=0.0))

:mod:`blursynth.testing.laws` holds any function against the laws of blur, through an :class:`Adapter` that says how it
is called and what it claims; :func:`obeys` makes one pytest test of each law; :mod:`blursynth.testing.report` shows
results as a table, a page or JSON; :mod:`blursynth.testing.strategies` has strategies for Hypothesis. Laws and
strategies need the extra ``testing``.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

# Names load what they need when they are used: pytest imports this package with the plugin, in every run.
if TYPE_CHECKING:
    from blursynth.testing.adapter import Adapter, Noise
    from blursynth.testing.conformance import check_degradation, pictures
    from blursynth.testing.decorator import obeys
    from blursynth.testing.registration import MomentRegistration

__all__ = ["Adapter", "MomentRegistration", "Noise", "check_degradation", "obeys", "pictures"]

_MODULE_OF = {
    "Adapter": "adapter",
    "MomentRegistration": "registration",
    "Noise": "adapter",
    "check_degradation": "conformance",
    "obeys": "decorator",
    "pictures": "conformance",
}

if not TYPE_CHECKING:  # to type checkers a module with __getattr__ has every name

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
        value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
