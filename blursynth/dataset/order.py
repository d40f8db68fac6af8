"""In which order the samples of a data set are read for training.

A full shuffle of a large data set reads from every shard all the time, which neither the page cache nor a cache of
remote shards can follow. Here the shards of an epoch are shuffled, a window of consecutive ones is mixed, and windows
follow one another. The order is a pure function of seed, epoch and position, whoever asks for it: any number of
processes and workers reads the same batches, and a run can be resumed in the middle of an epoch with another number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from blursynth.dataset.mixture import Mixture
from blursynth.errors import Argument, InvalidValueError
from blursynth.records.streams import Stream

__all__ = ["BatchOrder", "MixedOrder", "WindowOrder"]

MIXED_SAMPLES = 2**16  # in a window by default: data sets that are not larger are shuffled as a whole
_KEPT_WINDOWS = 4  # permutations in memory, for readers that are a little ahead of others


class WindowOrder:
    """An order of ``count`` samples in shards of ``shard_length``, another one in each epoch.

    Parameters
    ----------
    count, shard_length
        Number of samples, and of samples per shard (the last one may be shorter).
    window_shards
        Number of shards that are mixed; by default as many as hold 65,536 samples, but at least two.
    seed, name
        Decide the order.

    Examples
    --------
    >>> order = WindowOrder(7, 2, window_shards=2, seed=1)
    >>> [order.at(0, position) for position in range(7)]
    [5, 4, 6, 2, 3, 1, 0]
    """

    def __init__(
        self, count: int, shard_length: int, *, window_shards: int | None = None, seed: int = 0, name: str = "order"
    ) -> None:
        for field, value in (("count", count), ("shard_length", shard_length)):
            _require_positive(field, value)
        if window_shards is None:
            window_shards = max(2, -(-MIXED_SAMPLES // shard_length))
        _require_positive("window_shards", window_shards)
        self.count, self.shard_length, self.window_shards = count, shard_length, window_shards
        self.seed, self.name = seed, name
        self._shards = -(-count // shard_length)
        self._window = lru_cache(maxsize=_KEPT_WINDOWS)(self._mixed)
        self._epoch = lru_cache(maxsize=2)(self._shuffled_shards)

    def __len__(self) -> int:
        return self.count

    def at(self, epoch: int, position: int) -> int:
        """The sample at a position of an epoch, 0 <= position < count."""
        if not 0 <= position < self.count:
            raise IndexError(f"position {position} of {self.count}")
        _, starts = self._epoch(epoch)
        window = int(np.searchsorted(starts, position, side="right")) - 1
        return int(self._window(epoch, window)[position - starts[window]])

    def indices(self, epoch: int, first: int = 0) -> Iterator[NDArray[np.int64]]:
        """The samples of an epoch from a position on, window by window."""
        _, starts = self._epoch(epoch)
        for window, start in enumerate(starts[:-1].tolist()):
            if starts[window + 1] > first:
                yield self._window(epoch, window)[max(first - start, 0) :]

    def __reduce__(self) -> tuple[object, ...]:
        return _from_fields, (self.count, self.shard_length, self.window_shards, self.seed, self.name)

    def _shuffled_shards(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The shards in the order of an epoch, and the position at which each of its windows starts, and their end."""
        shards = self._generator(epoch, "shards").permutation(self._shards)
        lengths = np.minimum((shards + 1) * self.shard_length, self.count) - shards * self.shard_length
        ends = np.cumsum(lengths)
        starts = np.concatenate([[0], ends[self.window_shards - 1 : -1 : self.window_shards], [self.count]])
        return shards, starts

    def _mixed(self, epoch: int, window: int) -> NDArray[np.int64]:
        """The samples of one window, mixed."""
        shards, _ = self._epoch(epoch)
        chosen = shards[window * self.window_shards : (window + 1) * self.window_shards]
        parts = [np.arange(s * self.shard_length, min((s + 1) * self.shard_length, self.count)) for s in chosen]
        samples = np.concatenate(parts)
        return samples[self._generator(epoch, f"window.{window}").permutation(len(samples))]

    def _generator(self, epoch: int, what: str) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(Stream(self.seed, epoch, f"{self.name}.{what}").word()))


def _from_fields(count: int, shard_length: int, window_shards: int, seed: int, name: str) -> WindowOrder:
    return WindowOrder(count, shard_length, window_shards=window_shards, seed=seed, name=name)


class MixedOrder:
    """An order of several sets in given proportions, numbered one after another as in :class:`Mixture`.

    Blocks of 65,536 positions (the last one of an epoch may be shorter) have the same number of samples of each set,
    its share rounded to a whole number, in a random order. Each set is read in its own :class:`WindowOrder`, and from
    one epoch to the next without a gap.

    Parameters
    ----------
    orders
        The order of each set.
    weights
        Relative frequency of each.
    length
        Number of samples of an epoch.
    seed, name
        Decide the order of the sets in a block.
    """

    def __init__(
        self,
        orders: Sequence[WindowOrder],
        weights: Sequence[float],
        length: int,
        *,
        seed: int = 0,
        name: str = "mixed",
    ) -> None:
        self.orders, self.weights, self.length, self.seed, self.name = tuple(orders), tuple(weights), length, seed, name
        self._begins: NDArray[np.int64] = np.cumsum([0, *map(len, self.orders)])
        full, rest = divmod(length, MIXED_SAMPLES)
        self._block, self._last = (_shared_out(n, self.weights) for n in (MIXED_SAMPLES, rest))
        self._per_epoch = full * self._block + self._last
        if not self._per_epoch.all():
            number = int(np.argmin(self._per_epoch))
            raise InvalidValueError(
                (Argument("weights"), f"[{number}] = {self.weights[number]:g} is too small."),
                why=f"An epoch of {length} samples would have none of this set.",
                fix="Give it a larger weight, lengthen the epoch, or leave the set out.",
                field="weights",
                value=weights,
            )

    def __len__(self) -> int:
        return self.length

    def indices(self, epoch: int, first: int = 0) -> Iterator[NDArray[np.int64]]:
        """The samples of an epoch from a position on, block by block."""
        for block in range(first // MIXED_SAMPLES, -(-self.length // MIXED_SAMPLES)):
            start = block * MIXED_SAMPLES
            counts = self._block if start + MIXED_SAMPLES <= self.length else self._last
            used = epoch * self._per_epoch + block * self._block
            mixed = np.concatenate([self._taken(k, int(used[k]), int(n)) for k, n in enumerate(counts)])
            # A random choice of the positions of each set, which keep their order.
            owner = np.repeat(np.arange(len(counts)), counts)
            word = Stream(self.seed, epoch, f"{self.name}.{block}").word()
            shuffled = np.random.Generator(np.random.Philox(word)).permutation(owner)
            result = np.empty_like(mixed)
            result[np.argsort(shuffled, kind="stable")] = mixed
            yield result[max(first - start, 0) :]

    def _taken(self, number: int, start: int, count: int) -> NDArray[np.int64]:
        """``count`` samples of a set, from a position of all its epochs on."""
        order, parts = self.orders[number], [np.empty(0, np.int64)]
        while count:
            for part in order.indices(*divmod(start, len(order))):
                parts.append(part[:count])
                start, count = start + len(parts[-1]), count - len(parts[-1])
                if not count:
                    break
        return np.concatenate(parts) + int(self._begins[number])


def _shared_out(count: int, weights: Sequence[float]) -> NDArray[np.int64]:
    """``count`` in whole numbers by weight, with the largest remainders rounded up."""
    exact = count * np.asarray(weights, float) / sum(weights)
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: count - int(counts.sum())]] += 1
    return counts


class BatchOrder:
    """Batches of sample indices for the ``batch_sampler`` of a ``torch.utils.data.DataLoader``.

    The batches of all ranks together are the same for any number of ranks: each takes its part of every batch.

    Parameters
    ----------
    pairs
        The data set, a :class:`Mixture` of several, or anything with a length.
    batch_size
        Samples of one batch, of all ranks together.
    seed
        Decides the order.
    window_shards
        Number of shards that are mixed, see :class:`WindowOrder`; fewer if they come from a slow disk or network.
    rank, ranks
        This process, and the number of processes.
    drop_last
        Whether a last batch that is not full is left out; with several ranks it must be.

    Examples
    --------
    ::

        order = BatchOrder(pairs, 32, seed=7, rank=rank, ranks=4)
        loader = DataLoader(pairs.as_torch(), batch_sampler=order, num_workers=2)
        for epoch in range(first_epoch, 10):
            order.set_epoch(epoch, first_batch=resumed_at if epoch == first_epoch else 0)
            for batch in loader: ...
    """

    def __init__(
        self,
        pairs: Sequence[object],
        batch_size: int,
        *,
        seed: int = 0,
        window_shards: int | None = None,
        rank: int = 0,
        ranks: int = 1,
        drop_last: bool = False,
    ) -> None:
        for field, value in (("batch_size", batch_size), ("ranks", ranks)):
            _require_positive(field, value)
        if batch_size % ranks:
            raise InvalidValueError(
                (Argument("batch_size"), f" must be a multiple of the number of ranks, got {batch_size} for {ranks}."),
                why="It is the size of the batches of all ranks together.",
                field="batch_size",
                value=batch_size,
            )
        if not 0 <= rank < ranks:
            raise InvalidValueError(
                (Argument("rank"), f" must be >= 0 and below ranks = {ranks}, got {rank}."), field="rank", value=rank
            )
        if ranks > 1 and not drop_last:
            raise InvalidValueError(
                (Argument("drop_last"), " must be true for several ranks."),
                why="The last batch may have too few samples for all of them.",
                field="drop_last",
                value=drop_last,
            )
        if isinstance(pairs, Mixture):
            orders = [_order_of(one, window_shards, seed, f"order.{number}") for number, one in enumerate(pairs.sets)]
            self.order: WindowOrder | MixedOrder = MixedOrder(orders, pairs.weights, pairs.epoch_length, seed=seed)
        else:
            self.order = _order_of(pairs, window_shards, seed, "order")
        self.batch_size, self.rank, self.ranks, self.drop_last = batch_size, rank, ranks, drop_last
        self.epoch = self.first_batch = 0

    def set_epoch(self, epoch: int, *, first_batch: int = 0) -> None:
        """Choose the epoch that the next iteration goes through, and with which of its batches it begins.

        A ``DataLoader`` asks for batches before they are used, so count the batches that were used.
        """
        for field, value in (("epoch", epoch), ("first_batch", first_batch)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InvalidValueError(
                    (Argument(field), f" must be an integer >= 0, got {value!r}."), field=field, value=value
                )
        self.epoch, self.first_batch = epoch, first_batch

    def __iter__(self) -> Iterator[list[int]]:
        part = self.batch_size // self.ranks
        mine = slice(self.rank * part, (self.rank + 1) * part)
        waiting = np.empty(0, np.int64)
        for samples in self.order.indices(self.epoch, min(self.first_batch * self.batch_size, len(self.order))):
            waiting = np.concatenate([waiting, samples])
            whole = len(waiting) // self.batch_size * self.batch_size
            for batch in waiting[:whole].reshape(-1, self.batch_size):
                yield batch[mine].tolist()
            waiting = waiting[whole:]
        if len(waiting) and not self.drop_last:
            yield waiting.tolist()

    def __len__(self) -> int:
        """Batches of the next iteration."""
        count = len(self.order)
        total = count // self.batch_size if self.drop_last else -(-count // self.batch_size)
        return max(0, total - self.first_batch)


def _order_of(pairs: Sequence[object], window_shards: int | None, seed: int, name: str) -> WindowOrder:
    spec = getattr(pairs, "spec", None)
    length = len(pairs) if spec is None else spec.shard_length
    return WindowOrder(len(pairs), min(length, len(pairs)), window_shards=window_shards, seed=seed, name=name)


def _require_positive(field: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidValueError(
            (Argument(field), f" must be an integer >= 1, got {value!r}."), field=field, value=value
        )
