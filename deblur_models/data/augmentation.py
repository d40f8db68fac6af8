"""Augmentation of training pairs as in DeblurGAN-v2: one geometric transform of both, one corruption of the input.

The parameters of each sample are drawn here from the seed and the sample index. They are applied on the training
device, in float64 and rounded to codes, so that all devices agree. Default values are those of the authors'
configuration and, where it relies on them, defaults of albumentations 1.0.0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from blursynth.degradations import Jpeg
from blursynth.errors import InvalidValueError, require
from blursynth.frame import Encoding, Frame
from blursynth.records.kind import Record
from blursynth.records.streams import Stream

__all__ = ["Affine", "Augmentation", "AugmentationDraw", "Lens", "augment", "turned"]


class Augmentation(Record):
    """``[augmentation]``: transforms of pairs in addition to ``run.augment``.

    In a fraction ``geometric`` of the pairs, both images undergo one of five transforms with equal probability: mirror
    image, transpose, rotation with scale, lens distortion, random affine map. In a fraction ``corruption``, only the
    blurred image undergoes one of eight corruptions with equal probability: holes, JPEG, blur along a line, median,
    gamma, shift of the three colors, shift of hue, saturation and value, sharpening.

    Samples include pixels around the patch (:meth:`margin_px`), so that a rotated patch is complete.
    """

    geometric: float = Field(default=0.5, ge=0, le=1, description="fraction of pairs with a geometric transform")
    angle_deg: float = Field(default=45.0, ge=0, le=180, description="maximum angle of rotations, in either direction")
    scale: float = Field(default=0.1, ge=0, le=0.5, description="maximum relative change of scale of rotations")
    distortion: float = Field(
        default=0.05, ge=0, le=0.2, description="maximum coefficient of distortions, of r^2 and r^4, of either sign"
    )
    displacement_px: float = Field(
        default=50.0,
        ge=0,
        le=1000,
        description="maximum displacement, along x and y, of the three corners that define the affine map: corners of "
        "a square around the image center, at a distance of a third of the smaller side",
    )
    picture_px: tuple[int, int] = Field(
        default=(1280, 720), description="width and height of the pictures that distortion and displacement_px refer to"
    )
    corruption: float = Field(default=0.5, ge=0, le=1, description="fraction of blurred images that are corrupted")
    holes: int = Field(default=3, ge=1, le=1000, description="number of black squares")
    hole_px: int = Field(default=25, ge=1, le=4096, description="side of the black squares")
    jpeg_quality: tuple[int, int] = Field(default=(70, 90), description="minimum and maximum JPEG quality")
    kernel_px: int = Field(
        default=7, ge=3, le=15, description="maximum size of the line kernel and of the median window; the minimum is 3"
    )
    gamma: tuple[float, float] = Field(default=(0.8, 1.2), description="minimum and maximum exponent")
    color_shift: float = Field(default=20.0, ge=0, le=255, description="maximum shift of each color, in codes")
    hue_shift: float = Field(default=20.0, ge=0, le=90, description="maximum shift of hue, in 1/180 of the circle")
    saturation_shift: float = Field(default=30.0, ge=0, le=255, description="maximum shift of saturation, in codes")
    value_shift: float = Field(default=20.0, ge=0, le=255, description="maximum shift of value, in codes")
    sharpen_alpha: tuple[float, float] = Field(
        default=(0.2, 0.5),
        description="minimum and maximum weight of the sharpening kernel in the blend",
    )
    sharpen_lightness: tuple[float, float] = Field(
        default=(0.5, 1.0), description="minimum and maximum sum of the sharpening kernel"
    )

    def model_post_init(self, context: object) -> None:
        for name, low, high in (
            ("jpeg_quality", 1, 100),
            ("gamma", 0.01, 100),
            ("sharpen_alpha", 0, 1),
            ("sharpen_lightness", 0, 100),
        ):
            least, largest = getattr(self, name)
            if not low <= least <= largest <= high:
                raise InvalidValueError(
                    f"{name} must be two numbers, the minimum and the maximum, from {low} to {high}, got "
                    f"{[least, largest]}."
                )
        if self.kernel_px % 2 == 0:
            raise InvalidValueError(f"kernel_px must be odd, got {self.kernel_px}, since a kernel has a center pixel.")
        if not 8 <= min(self.picture_px) <= max(self.picture_px) <= 2**20:
            raise InvalidValueError(f"picture_px must be a width and a height >= 8 px, got {list(self.picture_px)}.")
        if self.displacement_px > self._corner_px / 3:
            raise InvalidValueError(
                f"displacement_px must be at most {self._corner_px / 3:g} for picture_px = "
                f"{list(self.picture_px)}, got {self.displacement_px:g}.",
                why=f"The corners are {self._corner_px} px from the center, and a map that moves them by more than a "
                "third of that distorts images too much.",
            )

    @property
    def _corner_px(self) -> int:
        """Distance of the square's corners from the center, along x and y."""
        return min(self.picture_px) // 3

    def margin_px(self, patch_px: int) -> int:
        """Width of the margin around the patch, such that it covers a rotated patch of the smallest scale.

        It is a multiple of 8. With the published values, three in a million affine maps need pixels beyond it and get
        mirrored ones.
        """
        if self.geometric == 0:
            return 0
        angle = math.radians(min(self.angle_deg, 45.0))
        reach = (math.cos(angle) + math.sin(angle)) / (1 - self.scale)
        return 8 * math.ceil(patch_px * (reach - 1) / 16)

    def draw(self, seed: int, index: int) -> AugmentationDraw:
        """The augmentation of sample ``index``, a function of only these two numbers."""
        stream = Stream(seed, index, "augmentation")
        turn, warp, corruption = 0, None, None
        if stream.uniform() < self.geometric:
            kind = stream.child("geometric")
            turn, warp = self._geometry(int(5 * kind.uniform()), kind)
        if stream.uniform() < self.corruption:
            kind = stream.child("corruption")
            corruption = self._corruption(int(8 * kind.uniform()), kind)
        return AugmentationDraw(turn, warp, corruption)

    def _geometry(self, kind: int, stream: Stream) -> tuple[int, Affine | Lens | None]:
        if kind == 0:
            return 4, None  # the mirror image among the eight views
        if kind == 1:
            return 5, None  # the transpose
        if kind == 2:
            angle = math.radians(_between(stream, -self.angle_deg, self.angle_deg))
            scale = _between(stream, 1 - self.scale, 1 + self.scale)
            a, b = scale * math.cos(angle), scale * math.sin(angle)
            return 0, Affine.inverse_of([[a, b], [-b, a]])
        if kind == 3:
            k = _between(stream, -self.distortion, self.distortion)
            return 0, Lens(k, self.picture_px, (stream.uniform(), stream.uniform()))
        # The corners (s, s), (s, -s), (-s, -s) are moved; their differences give the columns of the map.
        limit, side = self.displacement_px, 2 * self._corner_px
        moved = np.array([[_between(stream, -limit, limit) for _ in range(2)] for _ in range(3)])
        columns = np.eye(2) - np.stack([moved[2] - moved[1], moved[1] - moved[0]], axis=1) / side
        return 0, Affine.inverse_of(columns)

    def _corruption(self, kind: int, stream: Stream) -> Corruption:
        if kind == 0:
            places = [(stream.uniform(), stream.uniform()) for _ in range(self.holes)]
            return Holes(tuple(places), self.hole_px)
        if kind == 1:
            return Compression(_whole(stream, *self.jpeg_quality))
        if kind in (2, 3):
            size = 3 + 2 * _whole(stream, 0, (self.kernel_px - 3) // 2)
            return Median(size) if kind == 3 else Kernel.of_line(size, stream)
        if kind == 4:
            return Gamma(_between(stream, *self.gamma))
        if kind == 5:
            limit = self.color_shift
            return ColorShift(tuple(_between(stream, -limit, limit) for _ in range(3)))
        if kind == 6:
            limits = self.hue_shift, self.saturation_shift, self.value_shift
            return HueShift(tuple(_between(stream, -limit, limit) for limit in limits))
        return Kernel.that_sharpens(_between(stream, *self.sharpen_alpha), _between(stream, *self.sharpen_lightness))


def _between(stream: Stream, least: float, largest: float) -> float:
    return least + (largest - least) * stream.uniform()


def _whole(stream: Stream, least: int, largest: int) -> int:
    """A random integer from least to largest."""
    return least + int((largest - least + 1) * stream.uniform())


@dataclass(frozen=True)
class AugmentationDraw:
    """The augmentation of one pair: a flip or rotation and a warp of both images, a corruption of the blurred one."""

    turn: int = 0
    warp: Affine | Lens | None = None
    corruption: Corruption | None = None


@dataclass(frozen=True)
class Affine:
    """The source position of a pixel, relative to the patch center: a matrix that multiplies x and y."""

    matrix: tuple[tuple[float, float], tuple[float, float]]

    @classmethod
    def inverse_of(cls, forward: Sequence[Sequence[float]] | NDArray[np.float64]) -> Affine:
        """From the matrix that maps source to target positions."""
        (a, b), (c, d) = np.linalg.inv(np.asarray(forward, np.float64)).tolist()
        return cls(((a, b), (c, d)))

    def source(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        (a, b), (c, d) = self.matrix
        return a * x + b * y, c * x + d * y


@dataclass(frozen=True)
class Lens:
    """Radial distortion ``1 + k r^2 + k r^4`` of an image that contains the patch.

    x and y are measured from the image center, in units of its width and height. ``place`` is 0..1 between the first
    and the last column and row at which a patch can begin. Everything is shifted by half a pixel, as in OpenCV's map of
    an undistorted image, which makes distorted images slightly softer.
    """

    k: float
    picture_px: tuple[int, int]
    place: tuple[float, float]

    def source(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        width, height = self.picture_px
        spare = [max(n - x.shape[-1], 0) for n in self.picture_px]
        left, top = ((p - 0.5) * s for p, s in zip(self.place, spare, strict=True))
        moved = []
        r2 = ((x + left) / width) ** 2 + ((y + top) / height) ** 2
        for place, start in ((x, left), (y, top)):
            # The patch center keeps its position to the nearest pixel, since the patch position is random anyway.
            middle = ((left / width) ** 2, (top / height) ** 2)
            shift = start * self.k * (sum(middle) + sum(middle) ** 2)
            moved.append(place + (place + start) * self.k * (r2 + r2 * r2) - round(shift) + 0.5)
        return moved[0], moved[1]


class Corruption(Protocol):
    """Maps an image ``[3, H, W]`` of codes 0..255, in float64, to another one."""

    def __call__(self, codes: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Holes:
    """Black squares, cut off at the edges; ``places`` are their centers, 0..1."""

    places: tuple[tuple[float, float], ...]
    size_px: int

    def __call__(self, codes: Tensor) -> Tensor:
        codes = codes.clone()
        for place in self.places:
            middles = (int(u * (n + 1)) for u, n in zip(place, codes.shape[-2:], strict=True))
            top, left = (max(middle - self.size_px // 2, 0) for middle in middles)
            codes[..., top : top + self.size_px, left : left + self.size_px] = 0
        return codes


@dataclass(frozen=True)
class Compression:
    """JPEG with 4:2:0 by libjpeg, on the CPU, since codecs of other devices give different codes."""

    quality: int

    def __call__(self, codes: Tensor) -> Tensor:
        frame = Frame(codes[None].float().cpu() / 255, encoding=Encoding.DISPLAY)
        made: Tensor = Jpeg(quality=self.quality, subsampling="420")(frame).image
        return (made[0].to(codes) * 255).round()


@dataclass(frozen=True)
class Kernel:
    """A small correlation with reflected borders that exclude the edge pixel, as in OpenCV."""

    weights: tuple[tuple[float, ...], ...]

    @classmethod
    def of_line(cls, size_px: int, stream: Stream) -> Kernel:
        """Blur along a line between two pixels of a square."""
        ends = [_whole(stream, 0, size_px - 1) for _ in range(4)]
        if ends[0] == ends[1]:  # same column: two different rows
            ends[3] = (ends[2] + _whole(stream, 1, size_px - 1)) % size_px
        kernel = np.zeros((size_px, size_px))
        for x, y in _line((ends[0], ends[2]), (ends[1], ends[3])):
            kernel[y, x] = 1
        return cls(tuple(map(tuple, (kernel / kernel.sum()).tolist())))

    @classmethod
    def that_sharpens(cls, alpha: float, lightness: float) -> Kernel:
        """A blend of the image and its 3x3 Laplacian sharpening, with weight alpha."""
        around, middle = -alpha, 1 - alpha + alpha * (8 + lightness)
        return cls(((around,) * 3, (around, middle, around), (around,) * 3))

    def __call__(self, codes: Tensor) -> Tensor:
        margin = len(self.weights) // 2
        wide = functional.pad(codes[:, None], (margin,) * 4, mode="reflect")
        made = functional.conv2d(wide, codes.new_tensor(self.weights)[None, None])[:, 0]
        return made.round().clamp(0, 255)


def _line(one: tuple[int, int], other: tuple[int, int]) -> list[tuple[int, int]]:
    """The pixels (x, y) of a line as OpenCV draws it; of two equally close ones, the one closer to the left end."""
    (x0, y0), (x1, y1) = sorted((one, other), key=lambda end: end[0])
    steps = max(abs(x1 - x0), abs(y1 - y0))

    def along(start: int, end: int, step: int) -> int:
        return start + ((abs(end - start) * step * 2 + steps - 1) // (2 * steps)) * (1 if end > start else -1)

    return [(along(x0, x1, step), along(y0, y1, step)) for step in range(steps + 1)]


@dataclass(frozen=True)
class Median:
    """Median of the square around each pixel, with replicated borders."""

    size_px: int

    def __call__(self, codes: Tensor) -> Tensor:
        wide = functional.pad(codes[None], (self.size_px // 2,) * 4, mode="replicate")[0]
        squares = wide.unfold(-2, self.size_px, 1).unfold(-2, self.size_px, 1)
        return squares.flatten(-2).median(-1).values


@dataclass(frozen=True)
class Gamma:
    """A power of the values, rounded down."""

    exponent: float

    def __call__(self, codes: Tensor) -> Tensor:
        # A table, as for 8-bit images, since the last digits of powers differ between devices.
        table = np.floor((np.arange(256) / 255) ** self.exponent * 255)
        return torch.from_numpy(table).to(codes)[codes.long()]


@dataclass(frozen=True)
class ColorShift:
    """A value in codes added to each color, rounded down."""

    codes: tuple[float, ...]

    def __call__(self, codes: Tensor) -> Tensor:
        return (codes + codes.new_tensor(self.codes)[:, None, None]).clamp(0, 255).floor()


@dataclass(frozen=True)
class HueShift:
    """Values added to hue (0..180), saturation and value (0..255), in the units of OpenCV's 8-bit images."""

    codes: tuple[float, ...]

    def __call__(self, codes: Tensor) -> Tensor:
        color = require("kornia", extra="train", purpose="Augmentation of hue").color
        hsv: Tensor = color.rgb_to_hsv(codes / 255)
        hue, saturation, value = hsv[0] * (90 / math.pi), hsv[1] * 255, hsv[2] * 255
        shifts = self.codes
        moved = torch.stack(
            [
                torch.remainder(hue.round() + shifts[0], 180).floor() * (math.pi / 90),
                (saturation.round() + shifts[1]).clamp(0, 255).floor() / 255,
                (value.round() + shifts[2]).clamp(0, 255).floor() / 255,
            ]
        )
        made: Tensor = color.hsv_to_rgb(moved)
        return (made * 255).round().clamp(0, 255)


def augment(
    sharp: Tensor, blurred: Tensor, what: AugmentationDraw, *, margin_px: int, top: int
) -> tuple[Tensor, Tensor]:
    """Augment the center patch of a pair ``[3, H, W]`` of values 0..1.

    Both images are rounded to codes 0..top; corrupted ones to 8 bits.
    """
    pair = torch.stack([sharp, blurred])
    if what.warp is not None:
        pair = (_warped(_precise(pair), what.warp, margin_px) * top).round().to(pair) / top
    elif margin_px:
        pair = pair[..., margin_px:-margin_px, margin_px:-margin_px]
    pair = turned(pair, what.turn)
    if what.corruption is None:
        return pair[0], pair[1]
    return pair[0], (what.corruption((_precise(pair[1]) * 255).round()).to(pair) / 255).to(pair.dtype)


def turned(picture: Tensor, turn: int) -> Tensor:
    """One of the eight rotations and flips of squares ``[..., S, S]``: from 4 on mirrored first, then quarter turns."""
    if turn >= 4:
        picture = picture.flip(-1)
    return picture.rot90(turn % 4, (-2, -1)).contiguous()


def _precise(picture: Tensor) -> Tensor:
    """In float64, on the CPU if the device does not support it."""
    return picture.cpu().double() if picture.device.type == "mps" else picture.double()


def _warped(pair: Tensor, warp: Affine | Lens, margin_px: int) -> Tensor:
    """The center patch of images ``[n, 3, H, W]``, warped with bilinear interpolation."""
    size = pair.shape[-1] - 2 * margin_px
    places = torch.arange(size, dtype=pair.dtype, device=pair.device) - (size - 1) / 2
    y, x = torch.meshgrid(places, places, indexing="ij")
    grid = torch.stack(warp.source(x, y), dim=-1) * (2 / (pair.shape[-1] - 1))
    return functional.grid_sample(
        pair, grid.expand(len(pair), -1, -1, -1), mode="bilinear", padding_mode="reflection", align_corners=True
    )
