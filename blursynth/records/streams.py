"""Named, counter-based random streams: the same name always gives the same numbers, in any process and any order.

The word ``j`` of the stream ``(seed, index, name)`` is the BLAKE2b hash of exactly these, so there is no stored or
global state, and adding a name does not affect others. (Noise fields, with millions of numbers, are keyed per pixel
with Philox instead. These streams are for the few scalar parameters of a draw, where one hash is cheaper than setting
up a generator.)
"""

from __future__ import annotations

from hashlib import blake2b

from blursynth.errors import InvalidValueError

__all__ = ["Stream", "shuffled_place"]

_SCHEME = b"blursynth-stream-1"  # versioned, since a change of the scheme changes every draw


class Stream:
    """A named stream of random numbers.

    Parameters
    ----------
    seed
        Seed of the data set, 0 <= seed < 2^63.
    index
        Index of the sample, 0 <= index < 2^63.
    name
        Purpose of the numbers, e.g. ``"shake"``.

    Examples
    --------
    >>> Stream(7, 3, "shake").uniform() == Stream(7, 3, "shake").uniform()
    True
    >>> Stream(7, 3, "shake").uniform() == Stream(7, 3, "sensor").uniform()
    False
    """

    __slots__ = ("_counter", "_index", "_name", "_seed")

    def __init__(self, seed: int, index: int, name: str) -> None:
        for what, value in (("seed", seed), ("index", index)):
            if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value < 2**63:
                raise InvalidValueError(f"{what} must be an integer from 0 to 2^63 - 1, got {value!r}.")
        # NumPy integers are accepted as well.
        self._seed, self._index, self._name = int(seed), int(index), name
        self._counter = 0

    def child(self, name: str) -> Stream:
        """A child stream, independent of this one and of its other children."""
        part = Stream.__new__(Stream)  # seed and index are already validated
        part._seed, part._index, part._name, part._counter = self._seed, self._index, f"{self._name}.{name}", 0
        return part

    def word(self) -> int:
        """The next 64 random bits."""
        text = b"%s|%d|%d|%d|%s" % (_SCHEME, self._seed, self._index, self._counter, self._name.encode())
        self._counter += 1
        return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")

    def uniform(self) -> float:
        """The next number in (0, 1); neither end is ever drawn."""
        return ((self.word() >> 11) + 0.5) * 2.0**-53

    def seed63(self) -> int:
        """The next 63-bit seed, for noise fields and trajectories."""
        return self.word() >> 1

    def __repr__(self) -> str:
        return f"Stream(seed={self._seed}, index={self._index}, name={self._name!r})"


_ROUNDS = 8  # of a Feistel network; 4 look random in the large (Luby and Rackoff 1988), more where halves have few bits


def shuffled_place(number: int, count: int, *, seed: int, name: str) -> int:
    """The item, out of ``count``, at position ``number`` of an endless sequence that contains each once per round.

    Round ``k`` covers the positions ``k count .. (k + 1) count - 1``. Each round has its own order, determined by seed,
    name and k. There is no table: a position within a round is encrypted by a Feistel network, repeatedly until it is
    below ``count`` (Black and Rogaway 2002, "cycle walking").

    Parameters
    ----------
    number
        Position in the sequence, >= 0.
    count
        Number of items, >= 1.

    Examples
    --------
    >>> [shuffled_place(i, 5, seed=7, name="source") for i in range(10)]
    [2, 0, 3, 1, 4, 0, 2, 1, 3, 4]
    """
    turn, place = divmod(int(number), count)
    half = max(1, -(-(count - 1).bit_length() // 2))
    mask = (1 << half) - 1
    key = Stream(seed, turn, name).word()
    while True:
        left, right = place >> half, place & mask
        for step in range(_ROUNDS):
            text = b"%d|%d|%d" % (key, step, right)
            left, right = right, left ^ (int.from_bytes(blake2b(text, digest_size=8).digest(), "little") & mask)
        place = (left << half) | right
        if place < count:
            return place
