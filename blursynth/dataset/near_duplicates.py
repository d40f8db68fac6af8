"""Pictures that look alike: pairs of perceptual hashes with few different bits, and the groups that these link."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_DIFFERENT_BITS", "groups_of", "linked", "near_groups"]

MOST_DIFFERENT_BITS = 6
"""Of 64, up to which two pictures count as near-duplicates. Halving, JPEG of quality 50 and a tenth more light change
0 to 4 bits of a photograph, a fifth more light 2 to 6."""

_BANDS, _BAND_BITS = 4, 16
_FLIPS = np.array([0, *(1 << bit for bit in range(_BAND_BITS))], np.uint64)  # of a band: none, or one bit
assert MOST_DIFFERENT_BITS < 2 * _BANDS  # so that one of the bands differs in at most one bit

_AT_ONCE = 1 << 22  # candidates that are compared at a time


def near_groups(hashes: Sequence[int] | NDArray[np.uint64]) -> NDArray[np.int64]:
    """A number for each hash, the same for all that pairs with at most 6 different bits link: the smallest index.

    Groups are linked through their members, so that two pictures of one group may differ more.

    Of 64 bits in four bands, 6 different ones leave a band with at most one. So for each band and each of the 17 ways
    to flip at most one of its bits, the hashes whose band equals the flipped one are looked up in a sorted list, and
    only these are compared: of hashes that are spread evenly, 0.1 % of all pairs. 100,000 take 2 s, a million a minute.
    """
    given = np.asarray(hashes, np.uint64)
    unique, which = np.unique(given, return_inverse=True)
    parents = np.arange(len(unique))
    for band in range(_BANDS):
        keys = unique >> np.uint64(_BAND_BITS * band) & np.uint64(2**_BAND_BITS - 1)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        for flip in _FLIPS:
            first = np.searchsorted(ordered, keys ^ flip, "left")
            ends = np.cumsum(np.searchsorted(ordered, keys ^ flip, "right") - first)
            begin = 0
            while begin < len(unique):
                done = int(ends[begin - 1]) if begin else 0
                end = max(begin + 1, int(np.searchsorted(ends, done + _AT_ONCE, "right")))
                counts = np.diff(ends[begin:end], prepend=done)
                one = np.repeat(np.arange(begin, end), counts)
                starts = first[begin:end] - (ends[begin:end] - counts) + done
                other = order[np.arange(len(one)) + np.repeat(starts, counts)]
                near = np.bitwise_count(unique[one] ^ unique[other]) <= MOST_DIFFERENT_BITS
                _join(parents, one[near], other[near])
                begin = end
    roots = _roots(parents)[which]
    firsts = np.full(len(unique), len(given), np.int64)
    np.minimum.at(firsts, roots, np.arange(len(given)))
    return np.asarray(firsts[roots])


def _roots(parents: NDArray[np.int64]) -> NDArray[np.int64]:
    while ((above := parents[parents]) != parents).any():
        parents = above
    return parents


def _join(parents: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
    """Put the groups of these pairs together, where they are not yet."""
    while len(one):
        parents[:] = _roots(parents)
        one, other = parents[one], parents[other]
        apart = one != other
        one, other = one[apart], other[apart]
        np.minimum.at(parents, np.maximum(one, other), np.minimum(one, other))


def linked(*partitions: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """The finest partition in which all are together that are together in one of these, as smallest indices.

    A partition gives every element the index of one element of its part.

    >>> linked([0, 0, 2, 3, 4], [0, 1, 1, 3, 3]).tolist()
    [0, 0, 0, 3, 3]
    """
    parents = np.arange(len(partitions[0]))
    for numbers in partitions:
        _join(parents, np.arange(len(parents)), np.asarray(numbers, np.int64))
    return _roots(parents)


def groups_of(numbers: NDArray[np.int64]) -> list[list[int]]:
    """The groups of :func:`near_groups` that have several members, each as its indices."""
    members: dict[int, list[int]] = {}
    for index, number in enumerate(numbers.tolist()):
        members.setdefault(number, []).append(index)
    return [group for group in members.values() if len(group) > 1]
