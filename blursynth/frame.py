"""The picture that travels through the camera: pixels with their encoding, geometry and origin."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError

__all__ = ["MOSAICS", "Border", "Encoding", "Frame", "Intrinsics", "RawMetadata", "array_library", "per_picture"]

MOSAICS = ("RGGB", "BGGR", "GRBG", "GBRG")
"""The four phases of a Bayer pattern: colours at rows 0, 0, 1, 1 and columns 0, 1, 0, 1 of the full picture."""


class Encoding(StrEnum):
    """What the numbers of a frame mean.

    ``LINEAR``: scene-referred light, 1.0 = white of the source, may exceed 1.
    ``RAW``: the numbers of a sensor's converter (DN), black level included.
    ``DISPLAY``: an encoded picture, 0..1, as it lies in an 8-bit file divided by 255.
    """

    LINEAR = "linear"
    RAW = "raw"
    DISPLAY = "display"


class Border(StrEnum):
    """How a picture goes on beyond its edge.

    For the row ``a b c d``: ``REFLECT`` ``c b | a b c d | c b`` (the edge pixel is not repeated),
    ``REPLICATE`` ``a a | a b c d | d d``, ``CIRCULAR`` ``c d | a b c d | a b``, ``CONSTANT`` zeros,
    ``VALID`` does not go on: the result is smaller by the support of the point spread.
    """

    REFLECT = "reflect"
    REPLICATE = "replicate"
    CIRCULAR = "circular"
    CONSTANT = "constant"
    VALID = "valid"


def array_library(array: object) -> ModuleType | None:
    """The library that an array belongs to, numpy or torch; None for anything else.

    What both spell alike (``concatenate``, ``isfinite``) can be taken from it, and nothing is imported: with an array
    at hand its library is loaded.

    >>> array_library(np.zeros(3)).__name__
    'numpy'
    """
    for kind in type(array).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in ("numpy", "torch"):
            return sys.modules[name]
    return None


def per_picture(values: Sequence[float], image: Any) -> Any:
    """One number per picture as ``[B, 1, 1, 1]``, of the library, the dtype and the device of the image.

    >>> per_picture([1.0, 2.0], np.zeros((2, 3, 4, 4), np.float32)).shape
    (2, 1, 1, 1)
    """
    numbers = np.asarray(values, np.float64)[:, None, None, None]
    return numbers.astype(image.dtype) if isinstance(image, np.ndarray) else image.new_tensor(numbers)


@dataclass(frozen=True, eq=False)
class RawMetadata:
    """What is needed to develop the numbers of a sensor, one entry per picture, as a DNG file holds it.

    Parameters
    ----------
    black_dn
        ``[B]`` the DN of no light.
    white_dn
        ``[B]`` the DN of linear 1.0.
    mosaic
        The Bayer pattern of each picture, one of :data:`MOSAICS` (its phase is that of the full picture's first pixel),
        or None where every pixel has all channels. Empty: none has one.
    white_balance
        ``[B, 3]`` gains of red, green and blue that make grey of the camera's raw grey; ones by default.
    colour_matrix
        ``[B, 3, 3]`` from white-balanced camera colours to linear sRGB; rows sum to 1, so grey stays grey. The identity
        by default.
    saturation
        ``[B]`` the level at which a channel saturates, on the scale of ``(DN - black) / (white - black)``; 1 by
        default, less where the pixels are full before white is reached.

    Raises
    ------
    InvalidValueError
        A shape that does not fit, or a pattern that does not exist.
    """

    black_dn: NDArray[np.float64]  # [B]
    white_dn: NDArray[np.float64]  # [B]
    mosaic: tuple[str | None, ...] = ()
    white_balance: NDArray[np.float64] = None  # type: ignore[assignment]  # [B, 3], filled in below
    colour_matrix: NDArray[np.float64] = None  # type: ignore[assignment]  # [B, 3, 3]
    saturation: NDArray[np.float64] = 1.0  # type: ignore[assignment]  # [B]

    def __post_init__(self) -> None:
        black, white = (np.atleast_1d(np.asarray(v, np.float64)) for v in (self.black_dn, self.white_dn))
        batch = black.size
        balance = np.ones((batch, 3)) if self.white_balance is None else np.asarray(self.white_balance, np.float64)
        matrix = np.eye(3) if self.colour_matrix is None else np.asarray(self.colour_matrix, np.float64)
        try:
            matrix = np.broadcast_to(matrix, (batch, 3, 3))
            balance = np.broadcast_to(balance, (batch, 3))
            white = np.broadcast_to(white, (batch,))
            saturation = np.broadcast_to(np.asarray(self.saturation, np.float64), (batch,))
        except ValueError:
            raise InvalidValueError(
                f"RawMetadata needs white_dn [{batch}], white_balance [{batch}, 3] and colour_matrix [{batch}, 3, 3], "
                f"got {white.shape}, {balance.shape} and {matrix.shape}."
            ) from None
        mosaic = self.mosaic or (None,) * batch
        if len(mosaic) != batch or not all(m is None or m in MOSAICS for m in mosaic):
            raise InvalidValueError(
                f"RawMetadata.mosaic must hold one of {', '.join(MOSAICS)} or None for each of the {batch} pictures, "
                f"got {mosaic!r}."
            )
        for name, value in (("black_dn", black), ("white_dn", white), ("mosaic", tuple(mosaic))):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "white_balance", balance)
        object.__setattr__(self, "colour_matrix", matrix)
        object.__setattr__(self, "saturation", saturation)

    def __len__(self) -> int:
        return int(self.black_dn.size)

    def __getitem__(self, chosen: Any) -> RawMetadata:
        """Some pictures of the batch."""
        return RawMetadata(
            self.black_dn[chosen],
            self.white_dn[chosen],
            tuple(self.mosaic[i] for i in np.arange(len(self))[chosen]),
            self.white_balance[chosen],
            self.colour_matrix[chosen],
            self.saturation[chosen],
        )

    @staticmethod
    def stack(parts: Sequence[RawMetadata]) -> RawMetadata:
        """One batch of several."""
        return RawMetadata(
            np.concatenate([p.black_dn for p in parts]),
            np.concatenate([p.white_dn for p in parts]),
            tuple(m for p in parts for m in p.mosaic),
            np.concatenate([p.white_balance for p in parts]),
            np.concatenate([p.colour_matrix for p in parts]),
            np.concatenate([p.saturation for p in parts]),
        )


@dataclass(frozen=True)
class Intrinsics:
    """The geometry of the camera that took a picture.

    Parameters
    ----------
    focal_length_mm
        Of the lens itself, > 0, not its "35 mm equivalent": about 4 to 7 mm in a phone, 50 mm on a large camera.
    pixel_pitch_um
        Distance of pixel centres of *this* picture, > 0: about 1 to 2 um in a phone, 4 to 6 um in a large camera. A
        picture that was made smaller by two has twice the pitch.
    principal_point_px
        Row and column in the full picture that the optical axis meets; None for its middle.

    Raises
    ------
    InvalidValueError
        A number that is not positive or not finite.
    """

    focal_length_mm: float
    pixel_pitch_um: float
    principal_point_px: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name, usual in (("focal_length_mm", "5 in a phone"), ("pixel_pitch_um", "1.4 in a phone")):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise InvalidValueError(
                    f"Intrinsics.{name} must be a number > 0, got {value!r}.", fix=f"It is about {usual}."
                )
        if self.principal_point_px is not None and not np.isfinite(self.principal_point_px).all():
            raise InvalidValueError(f"principal_point_px must be finite, got {self.principal_point_px}.")

    @property
    def focal_length_px(self) -> float:
        """Focal length in px: what a radian at the middle of the picture spans."""
        return self.focal_length_mm * 1000.0 / self.pixel_pitch_um


@dataclass(frozen=True, eq=False)
class Frame:
    """A batch of pictures on one pixel grid, with what is known about them.

    Parameters
    ----------
    image
        ``[B, C, H, W]``, float32 or float64, planar. A picture of shape ``[H, W]`` or ``[C, H, W]`` is taken as a
        batch of one.
    encoding
        What the numbers mean; see :class:`Encoding`.
    depth_m
        ``[B, H, W]`` metres along the optical axis (not disparity), or None.
    labels
        ``[B, H, W]`` int32, which object each pixel shows, 0 = none (the background), or None.
    camera
        The geometry of each picture's camera, one per picture, or empty when it is not known. A single
        :class:`Intrinsics` stands for all.
    origin_px
        ``[B, 2]`` row and column of the frame's first pixel in the full picture. Noise, Bayer phase and the JPEG grid
        use absolute coordinates, so that a crop equals the same region of the full picture.
    full_size_px
        ``[B, 2]`` height and width of the full picture.
    raw
        Levels, mosaic and colours; only of RAW frames. A mosaicked frame has one channel.
    source, licence
        One string per picture, or empty.

    Raises
    ------
    InvalidValueError
        Wrong shape or dtype, an empty picture, another encoding, depth that does not fit the picture or is not
        positive.

    Notes
    -----
    The values are not looked at, since frames are made many times per picture: NaN and infinity are refused where they
    would do harm, by the sensor and where pictures are stored.
    """

    image: Any  # [B, C, H, W]
    encoding: Encoding
    depth_m: Any | None = None  # [B, H, W]
    labels: Any | None = None  # [B, H, W]
    camera: tuple[Intrinsics, ...] = ()
    origin_px: NDArray[np.int64] = field(default_factory=lambda: np.zeros((1, 2), np.int64))  # [B, 2]
    full_size_px: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))  # [B, 2]
    raw: RawMetadata | None = None
    source: tuple[str, ...] = ()
    licence: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        image = self.image
        if not hasattr(image, "ndim") or image.ndim not in (2, 3, 4):
            raise InvalidValueError(
                f"Frame.image must be an array [B, C, H, W], got {_describe(image)}.",
                fix="A single picture may be [C, H, W] or [H, W]; move channels first with np.moveaxis(image, -1, 0).",
            )
        if str(image.dtype).removeprefix("torch.") not in ("float32", "float64"):
            raise InvalidValueError(
                f"Frame.image must be float32 or float64, got {image.dtype}.",
                why="Integer pictures have no unit: 255 may be white of a file or 255 electrons.",
                fix="Use blursynth.read_frame for files, or divide by the white level yourself.",
            )
        while image.ndim < 4:
            image = image[None]
        batch, channels, height, width = image.shape
        if 0 in image.shape:
            raise InvalidValueError(
                f"Frame.image is empty: shape {tuple(image.shape)}.", fix="Leave such pictures out."
            )
        if channels > 4 and width <= 4:
            raise InvalidValueError(
                f"Frame.image looks like channels-last: shape {tuple(image.shape)}.",
                fix="Move channels first: np.moveaxis(image, -1, 0), or tensor.movedim(-1, 0).",
            )
        object.__setattr__(self, "image", image)
        encoding: object = self.encoding
        if not isinstance(encoding, Encoding):
            known = [str(e) for e in Encoding]
            if encoding not in known:
                raise InvalidValueError(
                    f"Frame.encoding must be one of {', '.join(map(repr, known))}, got {encoding!r}.",
                    fix="Pictures from files are 'display'.",
                )
            object.__setattr__(self, "encoding", Encoding(encoding))
        origin = _two_per_picture(self.origin_px, batch)
        object.__setattr__(self, "origin_px", origin)
        size = self.full_size_px
        if np.size(size) == 0:
            size = origin + np.array([height, width])
        object.__setattr__(self, "full_size_px", _two_per_picture(size, batch))
        if self.depth_m is not None:
            object.__setattr__(self, "depth_m", _checked_depth(self.depth_m, (batch, height, width)))
        if self.labels is not None:
            object.__setattr__(self, "labels", _checked_labels(self.labels, (batch, height, width)))
        camera: object = self.camera
        if isinstance(camera, Intrinsics):
            object.__setattr__(self, "camera", (camera,) * batch)
        elif len(self.camera) not in (0, batch):
            raise InvalidValueError(
                f"Frame.camera must hold one Intrinsics per picture, got {len(self.camera)} for {batch}."
            )
        if self.raw is not None and len(self.raw) != batch:
            raise InvalidValueError(f"Frame.raw must describe each picture, got {len(self.raw)} for {batch}.")

    def __len__(self) -> int:
        return int(self.image.shape[0])

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.image.shape[2]), int(self.image.shape[3])

    @property
    def channels(self) -> int:
        return int(self.image.shape[1])

    def __getitem__(self, index: int | slice | Sequence[int]) -> Frame:
        """Some pictures of the batch, as a frame."""
        chosen: Any = slice(index, index + 1 or None) if isinstance(index, int) else index
        if not isinstance(chosen, slice):
            chosen = np.asarray(chosen)
        names = np.arange(len(self))[chosen]
        return Frame(
            image=self.image[chosen],
            encoding=self.encoding,
            depth_m=None if self.depth_m is None else self.depth_m[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            camera=tuple(self.camera[i] for i in names) if self.camera else (),
            origin_px=self.origin_px[chosen],
            full_size_px=self.full_size_px[chosen],
            raw=None if self.raw is None else self.raw[chosen],
            source=tuple(self.source[i] for i in names) if self.source else (),
            licence=tuple(self.licence[i] for i in names) if self.licence else (),
        )

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(len(self)))

    def with_image(self, image: Any, encoding: Encoding | None = None, **changes: Any) -> Frame:
        """The same frame with other pixels (and another encoding) on the same grid."""
        return replace(self, image=image, encoding=encoding or self.encoding, **changes)

    def crop(self, top: int, left: int, height: int, width: int) -> Frame:
        """A window in coordinates of this frame; ``origin_px`` moves along, so absolute positions are kept.

        Raises
        ------
        InvalidValueError
            The window reaches outside the frame.
        """
        rows, columns = self.size_px
        if top < 0 or left < 0 or height < 1 or width < 1 or top + height > rows or left + width > columns:
            raise InvalidValueError(
                f"The window {height}x{width} at ({top}, {left}) reaches outside the {rows}x{columns} frame.",
                fix="Choose a smaller window or another corner.",
            )
        window = (slice(top, top + height), slice(left, left + width))
        return replace(
            self,
            image=self.image[(..., *window)],
            depth_m=None if self.depth_m is None else self.depth_m[(..., *window)],
            labels=None if self.labels is None else self.labels[(..., *window)],
            origin_px=self.origin_px + np.array([top, left]),
        )

    @staticmethod
    def stack(frames: Sequence[Frame]) -> Frame:
        """One batch of several frames of equal size and encoding."""
        first = frames[0]
        for frame in frames[1:]:
            if frame.image.shape[1:] != first.image.shape[1:] or frame.encoding != first.encoding:
                raise InvalidValueError(
                    f"Frames of a batch must agree in shape and encoding, got {frame.image.shape[1:]} {frame.encoding} "
                    f"beside {first.image.shape[1:]} {first.encoding}.",
                    fix="Crop them to one size, or process them one by one.",
                )
        raws = [f.raw for f in frames if f.raw is not None]
        depths, labels = [f.depth_m for f in frames], [f.labels for f in frames]
        return Frame(
            image=_joined([f.image for f in frames]),
            encoding=first.encoding,
            depth_m=None if any(d is None for d in depths) else _joined(depths),
            labels=None if any(v is None for v in labels) else _joined(labels),
            camera=tuple(c for f in frames for c in f.camera) if all(f.camera for f in frames) else (),
            origin_px=np.concatenate([f.origin_px for f in frames]),
            full_size_px=np.concatenate([f.full_size_px for f in frames]),
            raw=RawMetadata.stack(raws) if len(raws) == len(frames) else None,
            source=tuple(s for f in frames for s in (f.source or ("",) * len(f))),
            licence=tuple(s for f in frames for s in (f.licence or ("",) * len(f))),
        )

    def __repr__(self) -> str:
        batch, channels, height, width = self.image.shape
        more = [name for name in ("depth_m", "labels") if getattr(self, name) is not None]
        more += ["camera"] if self.camera else []
        return f"Frame({', '.join([f'{batch}x{channels}x{height}x{width} {self.encoding}', *more])})"


def _two_per_picture(values: Any, batch: int) -> NDArray[np.int64]:
    """``[B, 2]``; what has that form already is taken as it is, since frames are made many times per picture."""
    if isinstance(values, np.ndarray) and values.dtype == np.int64 and values.shape == (batch, 2):
        return values
    return np.array(np.broadcast_to(np.asarray(values, np.int64), (batch, 2)))


def _joined(arrays: Sequence[Any]) -> Any:
    library: Any = array_library(arrays[0])
    return library.concatenate(arrays)


def _describe(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__}" + (f" of shape {tuple(shape)}" if shape is not None else "")


def _checked_labels(labels: Any, shape: tuple[int, int, int]) -> Any:
    while labels.ndim < 3:
        labels = labels[None]
    if tuple(labels.shape) != shape:
        raise InvalidValueError(
            f"labels must have the picture's shape {shape}, got {tuple(labels.shape)}.",
            why="Labels that are not aligned pixel by pixel move the wrong things.",
        )
    if not str(labels.dtype).removeprefix("torch.").startswith(("int", "uint", "bool")):
        raise InvalidValueError(
            f"labels must be whole numbers, got {labels.dtype}.",
            fix="Round and convert them, e.g. labels.astype('int32'); 0 is the background, 1 .. n the objects.",
        )
    least, most = (int(labels.min()), int(labels.max())) if 0 not in tuple(labels.shape) else (0, 0)
    if least < 0 or most >= 2**31:
        raise InvalidValueError(
            f"labels must be 0 to 2^31 - 1, got {least if least < 0 else most}.",
            fix="0 is the background, 1 .. n the objects.",
        )
    if isinstance(labels, np.ndarray) and labels.dtype != np.int32:
        labels = labels.astype(np.int32)
    return labels


def _checked_depth(depth: Any, shape: tuple[int, int, int]) -> Any:
    while depth.ndim < 3:
        depth = depth[None]
    if tuple(depth.shape) != shape:
        raise InvalidValueError(
            f"depth_m must have the picture's shape {shape}, got {tuple(depth.shape)}.",
            why="Depth that is not aligned pixel by pixel blurs the wrong things.",
            fix="Resample the depth to the picture's grid first.",
        )
    library: Any = array_library(depth)
    if library is not None:
        finite = library.isfinite(depth)
        if not bool(finite.any()):
            raise InvalidValueError("depth_m holds no finite value.", fix="Leave it out, or fill it first.")
        bad = int((~(finite & (depth > 0))).sum())
        if bad:
            raise InvalidValueError(
                f"depth_m must be finite and > 0 (metres along the optical axis), got {bad} others of "
                f"{math.prod(shape)}.",
                why="0, negative and NaN are how files mark unknown depth.",
                fix="Fill the holes first.",
            )
    return depth
