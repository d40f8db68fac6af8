"""Response curves by their tables, in numba."""

from __future__ import annotations

from blursynth.backends.reference import response_decode, response_encode

__all__ = ["response_decode", "response_encode"]
