"""The samples of a step, from the worker processes to a batch on the training device.

Objects sent between processes are pickled, except tensors, which use shared memory. The images of a step are therefore
a few tensors, and the rest is small records. With a CUDA device their memory is pinned, so that copies are
asynchronous.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blursynth.core import Draw, known_reach, pairs
from blursynth.dataset import Unblurred
from blursynth.frame import Encoding, Frame
from deblur_models.data.augmentation import AugmentationDraw, augment, turned
from deblur_models.data.batch import Batch
from deblur_models.data.pair_set import PairSample

__all__ = [
    "Augmented",
    "BeforeBlur",
    "Collated",
    "LearnedBlur",
    "ReadyPairs",
    "Sample",
    "SharpPictures",
    "SharpSample",
    "collate",
    "make_batch",
    "values_of",
]


@dataclass(frozen=True, eq=False)
class SharpSample:
    """A sharp image that a network blurs when the batch is created; fields as in :class:`PairSample`.

    ``network`` is the network's name and ``noise_seed`` the seed of its noise; weights are not sent between processes.
    """

    sharp: NDArray[Any]
    source: str
    geometry: Frame | None
    network: str
    noise_seed: int
    draw: None = None


Sample = PairSample | Unblurred | SharpSample

LearnedBlur = Callable[[Tensor, Sequence[int]], Tensor]
"""Maps sharp images ``[B, 3, H, W]`` on the training device, with a seed each, to blurred ones without gradients."""


@dataclass(frozen=True, eq=False)
class Augmented:
    """A sample, and which of the eight rotations and flips is applied to it.

    ``augmented`` is further augmentation (None: there is none), ``margin_px`` the width of the margin around the patch
    for it.
    """

    sample: Sample
    turn: int
    augmented: AugmentationDraw | None = None
    margin_px: int = 0


@dataclass(frozen=True, eq=False)
class ReadyPairs:
    """Pairs as codes ``[n, 3, H, W]`` of one dtype, uint8 or uint16, and their indices in the batch."""

    places: tuple[int, ...]
    sharp: Tensor
    blurred: Tensor

    def pin_memory(self) -> ReadyPairs:
        return replace(self, sharp=self.sharp.pin_memory(), blurred=self.blurred.pin_memory())


@dataclass(frozen=True, eq=False)
class BeforeBlur:
    """Images before their blur, all with the same kinds of data and the same margin.

    ``codes`` ``[n, 3, H, W]`` go to the device; ``outline`` is the frame without its pixels, whose maps stay on the
    CPU, where scenes are made. ``needs_px`` are the margins that the steps of each sample need, ``size_px`` is the side
    of the samples without margin, ``top`` the largest code of the finished pairs.
    """

    places: tuple[int, ...]
    codes: Tensor
    outline: Frame
    draws: tuple[Draw, ...]
    needs_px: tuple[tuple[int, ...], ...]
    margin_px: int
    size_px: int
    top: int

    def pin_memory(self) -> BeforeBlur:
        return replace(self, codes=self.codes.pin_memory())

    def geometry(self) -> Frame:
        """The geometry of the samples without their margin; see :class:`Batch`."""
        return _without_pixels(self.outline.crop(self.margin_px, self.margin_px, self.size_px, self.size_px))


@dataclass(frozen=True, eq=False)
class SharpPictures:
    """Codes ``[n, 3, H, W]`` of sharp images that a network blurs, with the seeds of its noise."""

    places: tuple[int, ...]
    sharp: Tensor
    network: str
    noise_seeds: tuple[int, ...]

    def pin_memory(self) -> SharpPictures:
        return replace(self, sharp=self.sharp.pin_memory())


@dataclass(frozen=True, eq=False)
class Collated:
    """The samples of one step or part of it, grouped by sort.

    ``geometry`` has the frames without pixels of ready samples, several per frame, and their indices.
    """

    groups: tuple[ReadyPairs | BeforeBlur | SharpPictures, ...]
    turn: tuple[int, ...]
    augmented: tuple[AugmentationDraw | None, ...]
    margin_px: int
    draws: tuple[Draw | None, ...]
    sources: tuple[str, ...]
    geometry: tuple[tuple[tuple[int, ...], Frame], ...]

    def __len__(self) -> int:
        return len(self.turn)

    def pin_memory(self) -> Collated:
        """The same with its images in pinned memory; called by torch's DataLoader."""
        return replace(self, groups=tuple(group.pin_memory() for group in self.groups))


def collate(samples: Sequence[Augmented]) -> Collated:
    """Collate samples of one size into a few tensors."""
    sorts: dict[Any, list[int]] = {}
    known: dict[Any, list[tuple[int, Frame]]] = {}
    for place, sample in enumerate(each.sample for each in samples):
        sorts.setdefault(_sort(sample), []).append(place)
        if not isinstance(sample, Unblurred) and sample.geometry is not None:
            known.setdefault(_known(sample.geometry), []).append((place, sample.geometry))
    geometry = []
    for of_one_form in known.values():
        places, frames = zip(*of_one_form, strict=True)
        geometry.append((places, _without_pixels(_of_tensors(frames))))
    return Collated(
        groups=tuple(_grouped([samples[i].sample for i in places], places) for places in sorts.values()),
        turn=tuple(each.turn for each in samples),
        augmented=tuple(each.augmented for each in samples),
        margin_px=samples[0].margin_px,
        draws=tuple(each.sample.draw for each in samples),
        sources=tuple(each.sample.source for each in samples),
        geometry=tuple(geometry),
    )


def _sort(sample: Sample) -> Any:
    """The key shared by the samples of a group."""
    if isinstance(sample, PairSample):
        return ("ready", sample.sharp.dtype)
    if isinstance(sample, SharpSample):
        return ("sharp", sample.network, sample.sharp.dtype)
    frame, draw = sample.outline, sample.draw
    form = (frame.encoding, len(draw.steps), draw.target, sample.dtype, sample.codes.dtype)
    return ("before", *_known(frame), *form)


def _known(frame: Frame) -> tuple[bool, bool, bool]:
    return frame.has_depth, frame.has_labels, bool(frame.camera)


def _grouped(samples: Sequence[Any], at: Sequence[int]) -> ReadyPairs | BeforeBlur | SharpPictures:
    first, places = samples[0], tuple(at)
    if isinstance(first, PairSample):
        return ReadyPairs(places, _planes([s.sharp for s in samples]), _planes([s.blurred for s in samples]))
    if isinstance(first, SharpSample):
        seeds = tuple(s.noise_seed for s in samples)
        return SharpPictures(places, _planes([s.sharp for s in samples]), first.network, seeds)
    # Windows get the widest margin of the group. If an image ends before that, its edge is repeated; by the
    # definition of the reach, those pixels do not affect the sample.
    margin = max(s.margin_px for s in samples)
    more = [margin - s.margin_px for s in samples]
    codes = torch.from_numpy(np.stack([_widened(s.codes, m) for s, m in zip(samples, more, strict=True)]))
    outlines = [_widened_outline(s.outline, m) for s, m in zip(samples, more, strict=True)]
    needs = tuple(s.needs_px for s in samples)
    top = int(np.iinfo(first.dtype).max)
    draws = tuple(s.draw for s in samples)
    return BeforeBlur(places, codes, _of_tensors(outlines), draws, needs, margin, first.window.size, top)


def _widened(plane: NDArray[Any], more_px: int) -> NDArray[Any]:
    edges = [(0, 0)] * (plane.ndim - 2) + [(more_px, more_px)] * 2
    return np.pad(plane, edges, mode="edge") if more_px else plane


def _widened_outline(frame: Frame, more_px: int) -> Frame:
    size = [n + 2 * more_px for n in frame.size_px]
    wide = _with_maps(frame, np.zeros((1, 3, 1, 1), np.float32), size, lambda plane: _widened(plane, more_px))
    return wide.with_image(wide.image, origin_px=frame.origin_px - more_px)


def _planes(pictures: Sequence[NDArray[Any]]) -> Tensor:
    """Codes ``[H, W, 3]`` as one tensor ``[n, 3, H, W]``."""
    return torch.from_numpy(np.stack([np.moveaxis(codes, -1, 0) for codes in pictures]))


def _of_tensors(frames: Sequence[Frame]) -> Frame:
    """Concatenate several frames without pixels into one, with tensors as maps, which processes share."""
    # Arrays of a data set may be read-only, but tensors that share their memory cannot.
    whole = Frame.stack(frames)
    zero = torch.zeros(1, 1, 1, 1)
    return _with_maps(whole, zero, whole.size_px, lambda plane: torch.from_numpy(np.array(plane)))


def _of_arrays(frame: Frame) -> Frame:
    """The inverse of :func:`_of_tensors`, on the same memory."""
    return _with_maps(frame, np.zeros((1, 3, 1, 1), np.float32), frame.size_px, lambda plane: plane.numpy())


def _with_maps(frame: Frame, zero: Any, size_px: Sequence[int], change: Callable[[Any], Any]) -> Frame:
    """A frame of another size without pixels: a single zero for all of them. Its maps are changed, if it has any."""
    shape = (len(frame), 3, *size_px)
    image = np.broadcast_to(zero, shape) if isinstance(zero, np.ndarray) else zero.expand(shape)
    maps = {name: change(getattr(frame, name)) for name in ("depth_m", "labels") if getattr(frame, name) is not None}
    return Frame.unchecked(**{**vars(frame), "image": image, **maps})


def _without_pixels(frame: Frame) -> Frame:
    """The frame with a single zero for all its pixels, so that metadata takes little memory."""
    zeros = torch.zeros(1).expand(len(frame), 3, *frame.size_px)
    return frame.with_image(zeros, Encoding.DISPLAY)


def make_batch(
    collated: Collated, device: torch.device | str, learned: Mapping[str, LearnedBlur] | None = None
) -> Batch:
    """Create a batch on the training device; images that are not blurred yet are blurred there, one group at a time.

    ``learned`` holds the networks that blur samples, by the names of their sources.
    """
    device = torch.device(device)
    sharp: list[Tensor] = [torch.empty(0)] * len(collated)
    blurred, geometry = list(sharp), list[Frame | None]([None] * len(collated))
    tops = [255] * len(collated)
    for group in collated.groups:
        if isinstance(group, ReadyPairs):
            pair = _values(group.sharp, device), _values(group.blurred, device)
        elif isinstance(group, BeforeBlur):
            pair = _blurred(group, device)
        else:
            pair = _blurred_by((learned or {})[group.network], group, device)
        for place, one, other in zip(group.places, *pair, strict=True):
            sharp[place], blurred[place], tops[place] = one, other, _top(group)
    known = [(group.places, group.geometry()) for group in collated.groups if isinstance(group, BeforeBlur)]
    for places, frames in (*collated.geometry, *known):
        for number, place in enumerate(places):
            geometry[place] = frames[number]
    for place, what in enumerate(collated.augmented):
        if what is not None:
            pair = augment(sharp[place], blurred[place], what, margin_px=collated.margin_px, top=tops[place])
            sharp[place], blurred[place] = pair
            geometry[place] = None  # it described the pixels before augmentation
    return Batch(
        sharp=torch.stack([turned(picture, turn) for picture, turn in zip(sharp, collated.turn, strict=True)]),
        blurred=torch.stack([turned(picture, turn) for picture, turn in zip(blurred, collated.turn, strict=True)]),
        draws=collated.draws,
        geometry=tuple(geometry),
        sources=collated.sources,
    )


def _blurred(group: BeforeBlur, device: torch.device) -> tuple[Tensor, Tensor]:
    """Sharp and blurred images ``[n, 3, H, W]`` of samples before their blur, computed on a device."""
    values = group.codes.to(device, non_blocking=True).float()
    if not group.codes.dtype.is_floating_point:
        values /= float(torch.iinfo(group.codes.dtype).max)
    outline = _of_arrays(group.outline)
    reach = known_reach(group.draws, list(outline), group.needs_px)
    # Scenes are made on the CPU, from maps that stay there.
    made = pairs(group.draws, outline.with_image(values), margin_px=group.margin_px, reach=reach)
    return _rounded(made.sharp.image, group.top), _rounded(made.blurred.image, group.top)


def _blurred_by(blur: LearnedBlur, group: SharpPictures, device: torch.device) -> tuple[Tensor, Tensor]:
    """Sharp images ``[n, 3, H, W]`` and the images that a network blurs.

    They are rounded to codes like stored pairs, since values in between would carry information that no camera records.
    """
    sharp = _values(group.sharp, device)
    return sharp, _rounded(blur(sharp, group.noise_seeds), torch.iinfo(group.sharp.dtype).max)


def _rounded(pictures: Tensor, top: int) -> Tensor:
    """Rounded to codes 0..top, like both images of a stored pair."""
    return (pictures.float().clamp(0, 1) * top).round() / top


def _top(group: ReadyPairs | BeforeBlur | SharpPictures) -> int:
    """The largest code of the images of a group."""
    return group.top if isinstance(group, BeforeBlur) else torch.iinfo(group.sharp.dtype).max


def _values(codes: Tensor, device: torch.device) -> Tensor:
    """8- or 16-bit codes as 0..1 on the device; copies from pinned memory are asynchronous."""
    return codes.to(device, non_blocking=True).float() / float(torch.iinfo(codes.dtype).max)


def values_of(codes: NDArray[Any], device: torch.device | str) -> Tensor:
    """8- or 16-bit codes ``[H, W, 3]`` as ``[3, H, W]``, 0..1."""
    return _values(_planes([codes])[0], torch.device(device))
