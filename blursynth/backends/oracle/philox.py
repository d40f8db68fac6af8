"""Philox4x32-10 on numpy arrays: the plain version, held to the Random123 known answers.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["philox4x32", "seed_words"]

_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox4x32(
    c0: ArrayLike, c1: ArrayLike, c2: ArrayLike, c3: ArrayLike, k0: ArrayLike, k1: ArrayLike
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Four random 32-bit words of the counters ``c0..c3`` under the keys ``k0, k1``; all arrays broadcast.

    Each round multiplies two of the words by constants, swaps high and low halves, and mixes in the key, which grows by
    a Weyl sequence.

    >>> [hex(int(word)) for word in philox4x32(0, 0, 0, 0, 0, 0)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    words = np.broadcast_arrays(*(np.asarray(a, np.uint64) & _MASK for a in (c0, c1, c2, c3, k0, k1)))
    a, b, c, d, key0, key1 = words
    for _ in range(10):
        left, right = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
        a, b, c, d = (right >> _SHIFT) ^ b ^ key0, right & _MASK, (left >> _SHIFT) ^ d ^ key1, left & _MASK
        key0, key1 = (key0 + np.uint64(0x9E3779B9)) & _MASK, (key1 + np.uint64(0xBB67AE85)) & _MASK
    return a, b, c, d


def seed_words(seed: ArrayLike) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The key ``(k0, k1)`` of 64-bit seeds: their lower and their upper words."""
    whole = np.asarray(seed, np.uint64)
    return whole & _MASK, whole >> _SHIFT
