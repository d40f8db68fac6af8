"""The development of raw numbers, in numba."""

from __future__ import annotations

from blursynth.backends.reference import develop

__all__ = ["develop"]
