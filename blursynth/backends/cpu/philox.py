"""Philox4x32-10 in numba: the counter-based generator behind every large random field.

Four words of counter and two of key go in, four random words come out, with nothing kept in between: the draw at any
step or pixel is addressable, so that tiles, workers and orders of work cannot change a byte.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The plain version is
``backends.oracle.philox``; both are held to the Random123 known answers.
"""

from __future__ import annotations

import numpy as np

from blursynth.backends.cpu.compilation import compiled

__all__ = ["MASK32", "philox4x32", "seed_words"]

MASK32 = np.uint64(0xFFFFFFFF)
_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)  # golden ratio
_W1 = np.uint64(0xBB67AE85)  # sqrt(3) - 1
_32 = np.uint64(32)


@compiled(inline="always")
def philox4x32(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Four random 32-bit words of the counter ``c0..c3`` under the key ``k0, k1``.

    Parameters
    ----------
    c0, c1, c2, c3, k0, k1
        uint64 holding 32-bit words: the upper halves must be zero. Products of two words then are one 32 x 32 -> 64 bit
        multiplication each, which a loop over counters runs several at a time.

    Returns
    -------
    tuple
        Four uint64, each below 2**32.
    """
    # Written out, because LLVM vectorizes a straight line of code but not a call inside a loop.
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & MASK32, (p0 >> _32) ^ c3 ^ k1, p0 & MASK32
        k0 = (k0 + _W0) & MASK32
        k1 = (k1 + _W1) & MASK32
    return c0, c1, c2, c3


@compiled(inline="always")
def seed_words(seed):  # type: ignore[no-untyped-def]
    """The key ``(k0, k1)`` of a 64-bit seed: its lower and its upper word."""
    seed = np.uint64(seed)
    return seed & MASK32, seed >> _32
