"""Training samples: sample ``i`` is a function of only the seed and ``i``, so a run can stop and resume anywhere.

A sample is either a ready pair, or an image before its blur, which a draw or a network then blurs on the training
device.
"""

from __future__ import annotations

import logging
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from blursynth.dataset import OnlineDataset, Unblurred, WindowOrder
from blursynth.errors import InvalidValueError, PictureError
from blursynth.records.streams import Stream
from deblur_models.data.augmentation import Augmentation
from deblur_models.data.collate import Augmented, Collated, Sample, SharpSample, collate
from deblur_models.data.pair_set import PairSample, PairSet

__all__ = ["BlurredByNetwork", "Crops", "OnTheFly", "Source", "TrainingSet", "batches"]

log = logging.getLogger(__name__)


class Source(ABC):
    """A source of training samples."""

    name: str

    @abstractmethod
    def sample(self, index: int) -> Sample:
        """Sample ``index`` of an endless sequence of samples of one size."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A string that changes if the samples come from other pictures, or have another blur."""


class OnTheFly(Source):
    """Photographs blurred on the fly.

    Parameters
    ----------
    online
        The endless data set of photographs and recipe.
    on_device
        Whether the blur is computed on the training device, in batches, instead of where the sample is read.
    reuse
        Number of times each sample is used, if blurring takes longer than a training step: samples are grouped in
        blocks of ``BLOCK``, and each block is repeated this many times, in a different order each time. A block is kept
        in the memory of every worker process; samples blurred on the device are not kept.
    """

    BLOCK = 256

    def __init__(self, online: OnlineDataset, name: str, *, seed: int, on_device: bool = False, reuse: int = 1) -> None:
        if online.spec.arrays[0].dtype == "float32":
            raise InvalidValueError(
                f"{name}: recipe {online.recipe.name!r} ends in linear light, but networks are trained on encoded "
                "pictures.",
                fix="End the recipe with an encode step.",
            )
        self.online, self.name, self.seed, self.on_device, self.reuse = online, name, seed, on_device, reuse
        self._block: tuple[int, dict[int, PairSample]] = (-1, {})

    def sample(self, index: int) -> PairSample | Unblurred:
        if self.reuse == 1:
            return self._made(index)
        block, place = divmod(index, self.BLOCK * self.reuse)
        if self._block[0] != block:
            self._block = block, {}
        turn, position = divmod(place, self.BLOCK)
        member = block * self.BLOCK + shuffled(self.BLOCK, self.seed, block * self.reuse + turn, self.name)[position]
        kept = self._block[1]
        if member not in kept:
            made = self._made(member)
            if not isinstance(made, PairSample):
                return made
            kept[member] = made
        return kept[member]

    def fingerprint(self) -> str:
        return self.online.spec.sha256()

    def _made(self, index: int) -> PairSample | Unblurred:
        if self.on_device:
            before = self.online.unblurred(index)
            if before.margin_px is not None:
                return before
        made = self.online[index]
        return PairSample(
            f"{self.name}:{index}", made.sharp, made.blurred, made.source, made.draw, self.online.around(index)
        )


class Crops(Source):
    """Square crops of the pairs of a set: every pair once per epoch, in an order and at positions given by the seed.

    Pairs of a large data set are mixed window by window (:class:`~blursynth.dataset.WindowOrder`), so that shards are
    read one after another.

    Each crop has a margin of ``margin_px``, mirrored beyond the edges of a picture; without it, crops must fit into the
    pictures. A pair that cannot be decoded is skipped with a warning and replaced by the next one of the epoch, which
    depends only on the index of the sample.
    """

    GIVES_UP_AFTER = 16  # consecutive broken pairs, after which the whole set counts as inaccessible

    def __init__(self, pairs: PairSet, name: str, *, size_px: int, seed: int, margin_px: int = 0) -> None:
        self.pairs, self.name, self.size, self.seed, self.margin_px = pairs, name, size_px, seed, margin_px
        self._left_out: set[int] = set()
        self.order = WindowOrder(len(pairs), pairs.shard_length, seed=seed, name=f"{name}.order")
        pairs.check()
        smallest = pairs.smallest()
        height, width = pairs.size_px(smallest)
        if min(height, width) < size_px:
            raise InvalidValueError(
                f"{name}: patch_px = {size_px} is larger than the pictures: pair {smallest} has {width}x{height} px.",
                fix="Reduce patch_px, or remove the picture.",
            )

    def sample(self, index: int) -> PairSample:
        pair = self._read(*divmod(index, len(self.pairs)))
        where = Stream(self.seed, index, f"{self.name}.crop")
        top, left = (int(where.uniform() * (n - self.size + 1)) for n in pair.sharp.shape[:2])
        if self.margin_px:
            sharp, blurred = (
                _with_margin(codes, top, left, self.size, self.margin_px) for codes in (pair.sharp, pair.blurred)
            )
            return replace(pair, sharp=sharp, blurred=blurred, geometry=None)
        window = (slice(top, top + self.size), slice(left, left + self.size))
        geometry = None if pair.geometry is None else pair.geometry.crop(top, left, self.size, self.size)
        return replace(pair, sharp=pair.sharp[window], blurred=pair.blurred[window], geometry=geometry)

    def fingerprint(self) -> str:
        return self.pairs.fingerprint()

    def _read(self, epoch: int, position: int) -> PairSample:
        tries = min(len(self.pairs), self.GIVES_UP_AFTER)
        for attempt in range(tries):
            number = self.order.at(epoch, (position + attempt) % len(self.pairs))
            try:
                return self.pairs.read(number)
            except PictureError as error:
                if number not in self._left_out:
                    self._left_out.add(number)
                    log.warning("%s: pair %d is skipped: %s", self.name, number, error)
                if attempt == tries - 1:
                    raise PictureError(
                        f"{self.name}: {tries} consecutive pairs cannot be read. {error}",
                        fix="Check that the pictures still exist.",
                    ) from None
        raise AssertionError("a set has at least one pair")


def _with_margin(codes: NDArray[Any], top: int, left: int, size: int, margin: int) -> NDArray[Any]:
    """A window of codes ``[H, W, 3]`` with its margin, reflected beyond the edges without repeating the edge."""
    height, width = codes.shape[:2]
    first = max(top - margin, 0), max(left - margin, 0)
    last = min(top + size + margin, height), min(left + size + margin, width)
    beyond = [
        (first[axis] - (start - margin), start + size + margin - last[axis]) for axis, start in enumerate((top, left))
    ]
    return np.pad(codes[first[0] : last[0], first[1] : last[1]], [*beyond, (0, 0)], mode="reflect")


class BlurredByNetwork(Source):
    """The sharp images of ready pairs, for a network to blur; its noise is a function of the seed and the sample.

    The network is identified by the name of the source.
    """

    def __init__(self, pairs: Source, *, seed: int) -> None:
        self.pairs, self.name, self.seed = pairs, pairs.name, seed

    def sample(self, index: int) -> SharpSample:
        pair = self.pairs.sample(index)
        assert isinstance(pair, PairSample)
        noise_seed = Stream(self.seed, index, f"{self.name}.noise").seed63()
        return SharpSample(pair.sharp, pair.source, pair.geometry, self.name, noise_seed)

    def fingerprint(self) -> str:
        """Hash of the pictures; the network is not known here."""
        return self.pairs.fingerprint()


@lru_cache(maxsize=8)
def shuffled(count: int, seed: int, epoch: int, name: str) -> tuple[int, ...]:
    """The indices below ``count`` in the order of an epoch."""
    generator = np.random.Generator(np.random.Philox(Stream(seed, epoch, f"{name}.order").word()))
    return tuple(generator.permutation(count).tolist())


class TrainingSet(TorchDataset[Augmented]):
    """Samples from one source, or from several in given proportions.

    Parameters
    ----------
    shares
        Relative frequency of each source, e.g. (2, 1) for two samples of the first to one of the second.
    augment
        Whether images are flipped and rotated by quarter turns; "mirror": only flipped left to right. Must be off if a
        loss re-blurs with the draw, whose directions would no longer match.
    augmentation
        Further augmentation, with the same restriction.
    margin_px
        Width of the margin that the samples of all sources have around their patch for it.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        shares: Sequence[float],
        *,
        seed: int,
        augment: bool | str,
        augmentation: Augmentation | None = None,
        margin_px: int = 0,
    ) -> None:
        if len(sources) != len(shares) or not sources or min(shares) <= 0:
            raise InvalidValueError(f"Every source needs a share > 0, got {list(shares)} for {len(sources)}.")
        self.sources, self.seed, self.augment = tuple(sources), seed, augment
        self.augmentation, self.margin_px = augmentation, margin_px
        self._until = np.cumsum(np.asarray(shares, float) / sum(shares))

    def __getitem__(self, index: int) -> Augmented:
        stream = Stream(self.seed, index, "training")
        chosen = min(int(np.searchsorted(self._until, stream.uniform(), side="right")), len(self.sources) - 1)
        turn = int(stream.uniform() * 8) if self.augment else 0
        if self.augment == "mirror":
            turn = 4 * (turn // 4)  # only the image itself and its mirror image
        augmented = None if self.augmentation is None else self.augmentation.draw(self.seed, index)
        return Augmented(self.sources[chosen].sample(index), turn, augmented, self.margin_px)


class _Steps(Sampler[list[int]]):
    """The sample indices of each step: ``offset + step * batch ...``, of which each process takes its part."""

    def __init__(self, first: int, last: int, batch: int, offset: int, rank: int, ranks: int) -> None:
        self.first, self.last, self.batch = first, last, batch
        self.offset, self.rank, self.ranks = offset, rank, ranks

    def __iter__(self) -> Iterator[list[int]]:
        part = self.batch // self.ranks
        for step in range(self.first, self.last):
            start = self.offset + step * self.batch + self.rank * part
            yield list(range(start, start + part))

    def __len__(self) -> int:
        return self.last - self.first


def batches(
    samples: TrainingSet,
    *,
    first: int,
    last: int,
    batch: int,
    parts: int = 1,
    offset: int = 0,
    workers: int = 0,
    rank: int = 0,
    ranks: int = 1,
    pin_memory: bool = False,
) -> Iterable[list[Collated]]:
    """The samples of steps ``first`` to ``last``: this process's share of each batch, in ``parts`` of equal size.

    ``offset`` is the index of the first sample of step 0. ``workers`` processes prefetch; the samples do not depend on
    their number. ``pin_memory`` is for copying to CUDA devices.
    """
    more: dict[str, Any] = {"prefetch_factor": 2, "multiprocessing_context": "spawn"} if workers else {}
    return DataLoader(
        samples,
        batch_sampler=_Steps(first, last, batch, offset, rank, ranks),
        collate_fn=_InParts(parts),
        num_workers=workers,
        worker_init_fn=_leave_interrupts_to_the_run,
        pin_memory=pin_memory,
        **more,
    )


def _leave_interrupts_to_the_run(worker: int) -> None:
    """Ignore Ctrl-C, which reaches every process of a terminal: the run finishes its step and needs its samples."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True)
class _InParts:
    """Collate the samples of a step in parts of equal size."""

    parts: int

    def __call__(self, samples: list[Augmented]) -> list[Collated]:
        size = len(samples) // self.parts
        return [collate(samples[i * size : (i + 1) * size]) for i in range(self.parts)]
