"""Named, counter-based random streams: the same name gives the same numbers, whoever asks, in whatever order.

The word ``j`` of the stream ``(seed, index, name)`` is BLAKE2b of exactly these, so nothing is stored, nothing is
global and adding a name disturbs no other. (Noise fields, with millions of numbers, are keyed per pixel with Philox
instead; this is for the few scalar parameters of a draw, where one hash is cheaper than setting up a generator.)
"""

from __future__ import annotations

from hashlib import blake2b

from blursynth.errors import InvalidValueError

__all__ = ["Stream", "shuffled_place"]

_SCHEME = b"blursynth-stream-1"  # a change of the scheme changes every draw, so it is named


class Stream:
    """The random numbers of one name.

    Parameters
    ----------
    seed
        Seed of the data set, 0 <= seed < 2^63.
    index
        Number of the sample, 0 <= index < 2^63.
    name
        What the numbers are for, e.g. ``"shake"``.

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
        # Numbers of numpy are integers too.
        self._seed, self._index, self._name = int(seed), int(index), name
        self._counter = 0

    def child(self, name: str) -> Stream:
        """The stream of a part, independent of this one and of its other parts."""
        part = Stream.__new__(Stream)  # seed and index are known to be right
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
    """Which of ``count`` things comes at place ``number`` of an endless sequence that takes each once per round.

    Round ``k`` are the places ``k count .. (k + 1) count - 1``; each has an order of its own, that seed, name and k
    decide. There is no table: a place of a round is encrypted by a Feistel network, again until it is below ``count``
    (Black and Rogaway 2002, "cycle walking").

    Parameters
    ----------
    number
        Place in the sequence, >= 0.
    count
        Number of things, >= 1.

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
