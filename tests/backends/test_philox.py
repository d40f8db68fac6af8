"""The counter-based generator against the published known answers, and numba against numpy."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from blursynth.backends.cpu import philox as cpu
from blursynth.backends.oracle import philox as oracle

# Random123, tests/kat_vectors, philox 4x32 with 10 rounds: counter, key, answer.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[np.uint64]:
    return [np.uint64(int(word, 16)) for word in text.split()]


@numba.njit
def many(c0, key):  # the inlined function inside a caller's own loop
    out = np.empty((c0.size, 4), np.uint64)
    k0, k1 = cpu.seed_words(key)
    for i in range(c0.size):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = cpu.philox4x32(
            c0[i], np.uint64(3), np.uint64(7), np.uint64(11), k0, k1
        )
    return out


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter: str, key: str, answer: str) -> None:
    expected = [int(w) for w in words(answer)]
    assert [int(w) for w in oracle.philox4x32(*words(counter), *words(key))] == expected
    assert [int(w) for w in cpu.philox4x32(*words(counter), *words(key))] == expected


def test_numba_equals_numpy_over_many_counters() -> None:
    counters = np.arange(1000, dtype=np.uint64) * np.uint64(4294967)
    seed = np.uint64(0x7FEDCBA987654321)
    expected = np.stack(oracle.philox4x32(counters, 3, 7, 11, *oracle.seed_words(seed)), axis=1)
    assert np.array_equal(many(counters, seed), expected)
