"""Samples for training: sample ``i`` is a function of the seed and ``i`` alone, so a run can stop and go on anywhere.

A sample is either a ready pair, or a picture before its blur, which a draw or a network then blurs on the training
device.
"""

from __future__ import annotations

import logging
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from blursynth.core import apply
from blursynth.dataset import OnlineDataset, Unblurred
from blursynth.errors import InvalidValueError, PictureError
from blursynth.frame import Encoding, Frame
from blursynth.streams import Stream
from deblur_models.data.batch import Batch
from deblur_models.data.pair_set import PairSample, PairSet

__all__ = [
    "BlurredByNetwork",
    "Crops",
    "OnTheFly",
    "SharpSample",
    "Source",
    "TrainingSet",
    "Turned",
    "batches",
    "make_batch",
    "values_of",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SharpSample:
    """A sharp picture that a network blurs when the batch is made; fields as of :class:`PairSample`.

    ``network`` is its name and ``noise_seed`` the seed of its noise: weights do not travel between processes.
    """

    sharp: NDArray[Any]
    source: str
    geometry: Frame | None
    network: str
    noise_seed: int
    draw: None = None


Sample = PairSample | Unblurred | SharpSample

LearnedBlur = Callable[[Tensor, Sequence[int]], Tensor]
"""Sharp pictures ``[B, 3, H, W]`` on the training device, and a seed for each, to blurred ones, without gradients."""


class Source(ABC):
    """Where training samples come from."""

    name: str

    @abstractmethod
    def sample(self, index: int) -> Sample:
        """Sample ``index`` of an endless sequence, of one size."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A text that is another one where the samples come from other pictures, or another blur."""


class OnTheFly(Source):
    """Photographs blurred while training.

    Parameters
    ----------
    online
        The endless data set of photographs and recipe.
    on_device
        Whether the blur is computed on the training device, in batches, instead of where the sample is read.
    reuse
        How often each sample is shown, where blurring takes longer than learning: samples are taken in blocks of
        ``BLOCK``, and each block is shown so many times, in another order each time. A block is kept in memory, in
        every process that reads ahead; what is blurred on the device is not kept.

    Raises
    ------
    InvalidValueError
        The recipe ends in linear light.
    """

    BLOCK = 256

    def __init__(self, online: OnlineDataset, name: str, *, seed: int, on_device: bool = False, reuse: int = 1) -> None:
        if online.spec.arrays[0].dtype == "float32":
            raise InvalidValueError(
                f"{name}: recipe {online.recipe.name!r} ends in linear light, and networks are trained on encoded "
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
    """Square crops of the pairs of a set: every pair once per epoch, in an order and at places that the seed decides.

    A pair that cannot be decoded is left out with a warning, and the next one of the epoch takes its place: which one
    that is depends on the number of the sample alone.

    Raises
    ------
    InvalidValueError
        A pair is smaller than the crop.
    PictureError
        A picture cannot be used, or the two of a pair differ in size, as far as headers tell.
    """

    GIVES_UP_AFTER = 16  # broken pairs one after another: then the whole set is out of reach

    def __init__(self, pairs: PairSet, name: str, *, size_px: int, seed: int) -> None:
        self.pairs, self.name, self.size, self.seed = pairs, name, size_px, seed
        self._left_out: set[int] = set()
        pairs.check()
        for i in range(len(pairs)):
            height, width = pairs.size_px(i)
            if min(height, width) < size_px:
                raise InvalidValueError(
                    f"{name}: patch_px = {size_px} is larger than the pictures: pair {i} has {width}x{height} px.",
                    fix="Make patch_px smaller, or leave the picture out.",
                )

    def sample(self, index: int) -> PairSample:
        epoch, position = divmod(index, len(self.pairs))
        pair = self._read(shuffled(len(self.pairs), self.seed, epoch, self.name), position)
        where = Stream(self.seed, index, f"{self.name}.crop")
        top, left = (int(where.uniform() * (n - self.size + 1)) for n in pair.sharp.shape[:2])
        window = (slice(top, top + self.size), slice(left, left + self.size))
        geometry = None if pair.geometry is None else pair.geometry.crop(top, left, self.size, self.size)
        return replace(pair, sharp=pair.sharp[window], blurred=pair.blurred[window], geometry=geometry)

    def fingerprint(self) -> str:
        return self.pairs.fingerprint()

    def _read(self, order: Sequence[int], position: int) -> PairSample:
        tries = min(len(order), self.GIVES_UP_AFTER)
        for attempt in range(tries):
            number = order[(position + attempt) % len(order)]
            try:
                return self.pairs.read(number)
            except PictureError as error:
                if number not in self._left_out:
                    self._left_out.add(number)
                    log.warning("%s: pair %d is left out: %s", self.name, number, error.what)
                if attempt == tries - 1:
                    raise PictureError(
                        f"{self.name}: {tries} pairs one after another cannot be read. {error.what}",
                        why=error.why,
                        fix="Are the pictures still there?",
                    ) from None
        raise AssertionError("a set has at least one pair")


class BlurredByNetwork(Source):
    """The sharp pictures of ready pairs, for a network to blur; its noise is a function of the seed and the sample.

    The network goes by the name of the source.
    """

    def __init__(self, pairs: Source, *, seed: int) -> None:
        self.pairs, self.name, self.seed = pairs, pairs.name, seed

    def sample(self, index: int) -> SharpSample:
        pair = self.pairs.sample(index)
        assert isinstance(pair, PairSample)
        noise_seed = Stream(self.seed, index, f"{self.name}.noise").seed63()
        return SharpSample(pair.sharp, pair.source, pair.geometry, self.name, noise_seed)

    def fingerprint(self) -> str:
        """Of the pictures; the network is not known here."""
        return self.pairs.fingerprint()


@lru_cache(maxsize=8)
def shuffled(count: int, seed: int, epoch: int, name: str) -> tuple[int, ...]:
    """The numbers below ``count`` in the order of an epoch."""
    generator = np.random.Generator(np.random.Philox(Stream(seed, epoch, f"{name}.order").word()))
    return tuple(generator.permutation(count).tolist())


@dataclass(frozen=True, eq=False)
class Turned:
    """A sample and which of the eight turns and flips of the square it is shown in."""

    sample: Sample
    turn: int


class TrainingSet(TorchDataset[Turned]):
    """Samples from one source, or from several in given shares.

    Parameters
    ----------
    sources
        Where they come from.
    shares
        How often each is chosen, e.g. (2, 1) for two of the first to one of the second.
    seed
        Decides which source and which turn sample ``i`` has.
    turns
        Whether pictures are turned by quarters and flipped; "mirror": flipped left to right alone. Off where a loss
        blurs again with the draw, whose directions would no longer fit.
    """

    def __init__(self, sources: Sequence[Source], shares: Sequence[float], *, seed: int, turns: bool | str) -> None:
        if len(sources) != len(shares) or not sources or min(shares) <= 0:
            raise InvalidValueError(f"Every source needs a share > 0, got {list(shares)} for {len(sources)}.")
        self.sources, self.seed, self.turns = tuple(sources), seed, turns
        self._until = np.cumsum(np.asarray(shares, float) / sum(shares))

    def __getitem__(self, index: int) -> Turned:
        stream = Stream(self.seed, index, "training")
        chosen = min(int(np.searchsorted(self._until, stream.uniform(), side="right")), len(self.sources) - 1)
        turn = int(stream.uniform() * 8) if self.turns else 0
        if self.turns == "mirror":
            turn = 4 * (turn // 4)  # of the eight ways the picture itself and its mirror image
        return Turned(self.sources[chosen].sample(index), turn)


class _Steps(Sampler[list[int]]):
    """The numbers of the samples of each step: ``offset + step * batch ...``, of which one process takes its part."""

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
    offset: int = 0,
    workers: int = 0,
    rank: int = 0,
    ranks: int = 1,
) -> Iterable[list[Turned]]:
    """The samples of steps ``first`` to ``last``, this process's part of each batch.

    ``offset`` is the number of the first sample of step 0. ``workers`` processes read ahead; the samples do not depend
    on their number.
    """
    more: dict[str, Any] = {"prefetch_factor": 2, "multiprocessing_context": "spawn"} if workers else {}
    return DataLoader(
        samples,
        batch_sampler=_Steps(first, last, batch, offset, rank, ranks),
        collate_fn=_as_they_are,
        num_workers=workers,
        worker_init_fn=_leave_interrupts_to_the_run,
        **more,
    )


def _leave_interrupts_to_the_run(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the run finishes its step first, and needs its samples for that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _as_they_are(samples: list[Turned]) -> list[Turned]:
    return samples


def make_batch(
    samples: Sequence[Turned],
    device: torch.device | str,
    learned: Mapping[str, LearnedBlur] | None = None,
) -> Batch:
    """Pictures on the training device; those before their blur are blurred there, all at once.

    ``learned`` is the blur of networks that sources wait for, by the names of the sources.
    """
    device = torch.device(device)
    sharp: list[Tensor | None] = [None] * len(samples)
    blurred: list[Tensor | None] = [None] * len(samples)
    waiting = [i for i, s in enumerate(samples) if isinstance(s.sample, Unblurred)]
    if waiting:
        pair = blur_on([_before(samples[i]) for i in waiting], device)
        for place, i in enumerate(waiting):
            sharp[i], blurred[i] = pair[0][place], pair[1][place]
    for name, blur in (learned or {}).items():
        chosen = {
            i: s.sample for i, s in enumerate(samples) if isinstance(s.sample, SharpSample) and s.sample.network == name
        }
        if chosen:
            pair = blur_by(blur, list(chosen.values()), device)
            for place, i in enumerate(chosen):
                sharp[i], blurred[i] = pair[0][place], pair[1][place]
    for i, turned in enumerate(samples):
        if isinstance(turned.sample, PairSample):
            sharp[i], blurred[i] = (values_of(codes, device) for codes in (turned.sample.sharp, turned.sample.blurred))
    return Batch(
        sharp=torch.stack([_turned(picture, s.turn) for picture, s in zip(sharp, samples, strict=True)]),
        blurred=torch.stack([_turned(picture, s.turn) for picture, s in zip(blurred, samples, strict=True)]),
        draws=tuple(s.sample.draw for s in samples),
        geometry=tuple(_geometry(s.sample) for s in samples),
        sources=tuple(s.sample.source for s in samples),
    )


def blur_on(samples: Sequence[Unblurred], device: torch.device) -> tuple[Tensor, Tensor]:
    """Sharp and blurred pictures ``[B, 3, H, W]`` of samples before their blur, computed on a device.

    Samples that know the same things of their pictures (depth, labels, camera) and come from one sort of recipe are one
    batch. Windows get the widest margin of the batch. Where a picture ends before that, its edge is repeated; by the
    definition of the reach those pixels are not seen by the sample.
    """
    groups: dict[Any, list[int]] = {}
    for i, sample in enumerate(samples):
        frame, draw = sample.frame, sample.draw
        known = frame.depth_m is not None, frame.labels is not None, bool(frame.camera), frame.encoding
        groups.setdefault((*known, len(draw.steps), draw.reference, sample.dtype), []).append(i)
    made = [_blurred_alike([samples[i] for i in chosen], device) for chosen in groups.values()]
    order = np.argsort([i for chosen in groups.values() for i in chosen]).tolist()
    sharp, blurred = (torch.cat(pictures)[order] for pictures in zip(*made, strict=True))
    return sharp, blurred


def _blurred_alike(samples: Sequence[Unblurred], device: torch.device) -> tuple[Tensor, Tensor]:
    margin = max(_margin(s) for s in samples)
    size, top = samples[0].window.size, int(np.iinfo(samples[0].dtype).max)
    frame = Frame.stack([_widened(s, margin, device) for s in samples])
    draws = [s.draw for s in samples]
    sharp = frame if draws[0].reference == "source" else apply([d.target() for d in draws], frame)
    blurred = apply(draws, frame)
    middle = (..., slice(margin, margin + size), slice(margin, margin + size))
    return _rounded(sharp.image[middle], top), _rounded(blurred.image[middle], top)


def blur_by(blur: LearnedBlur, samples: Sequence[SharpSample], device: torch.device) -> tuple[Tensor, Tensor]:
    """Sharp pictures ``[B, 3, H, W]`` and what a network makes of them.

    Rounded to codes as a stored pair is: what lies between them would be a message that no camera sends.
    """
    sharp = torch.stack([values_of(s.sharp, device) for s in samples])
    blurred = blur(sharp, [s.noise_seed for s in samples])
    tops = [int(np.iinfo(s.sharp.dtype).max) for s in samples]
    return sharp, torch.stack([_rounded(picture, top) for picture, top in zip(blurred, tops, strict=True)])


def _before(turned: Turned) -> Unblurred:
    assert isinstance(turned.sample, Unblurred)
    return turned.sample


def _margin(sample: Unblurred) -> int:
    assert sample.margin_px is not None
    return sample.margin_px


def _widened(sample: Unblurred, margin_px: int, device: torch.device) -> Frame:
    more = margin_px - _margin(sample)

    def wide(array: Any) -> Any:
        if array is None:
            return None
        edges = [(0, 0)] * (np.ndim(array) - 2) + [(more, more)] * 2
        return torch.from_numpy(np.ascontiguousarray(np.pad(array, edges, mode="edge"))).to(device)

    frame = sample.frame
    return replace(
        frame,
        image=wide(frame.image),
        depth_m=wide(frame.depth_m),
        labels=wide(frame.labels),
        origin_px=frame.origin_px - more,
    )


def _rounded(picture: Tensor, top: int) -> Tensor:
    """To codes 0..top, as both halves of a stored pair are."""
    return (picture.float().clamp(0, 1) * top).round() / top


def values_of(codes: NDArray[Any], device: torch.device | str) -> Tensor:
    """Codes ``[H, W, 3]`` of 8 or 16 bits as ``[3, H, W]``, 0..1."""
    planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(codes, -1, 0))).to(device)
    return planes.float() / float(np.iinfo(codes.dtype).max)


def _turned(picture: Tensor | None, turn: int) -> Tensor:
    assert picture is not None
    if turn >= 4:
        picture = picture.flip(-1)
    return picture.rot90(turn % 4, (-2, -1)).contiguous()


def _geometry(sample: Sample) -> Frame | None:
    if not isinstance(sample, Unblurred):
        return sample.geometry
    margin, size = _margin(sample), sample.window.size
    inside = sample.frame.crop(margin, margin, size, size)
    return replace(inside, image=np.broadcast_to(np.float32(0), (1, 3, size, size)), encoding=Encoding.DISPLAY)
