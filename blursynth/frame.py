"""The picture that passes through the camera: pixels with their encoding, geometry and origin."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from types import ModuleType
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError, PictureError, did_you_mean

__all__ = [
    "MOSAICS", "Border", "Deferred", "Encoding", "Frame", "Intrinsics", "RawMetadata", "Window", "array_library",
    "check_values", "per_picture",
]  # fmt: skip

MOSAICS = ("RGGB", "BGGR", "GRBG", "GBRG")
"""The four phases of the Bayer pattern: colors at rows 0, 0, 1, 1 and columns 0, 1, 0, 1 of the full picture."""

# Range of a display frame. Resizing or sharpening makes pictures leave 0..1 slightly: bicubic weights reach -0.45 to
# 1.45 at worst, an ideal low-pass rings by 9 % at an edge and 19 % at a corner. The range excludes common mistakes in
# scaling, -1..1 and 0..255.
_LEAST_DISPLAY, _MOST_DISPLAY = -0.5, 1.5

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

Layout = Literal["HW", "HWC", "CHW", "BHW", "BHWC", "BCHW"]
"""The axes of an array of pictures: B pictures, C channels, H rows, W columns."""


Window = tuple[int, int, int, int]
"""A part of a frame: top, left, height and width in px of the frame, as :meth:`Frame.crop` takes them."""


class Encoding(StrEnum):
    """The meaning of the values of a frame.

    ``LINEAR``: scene-referred light, 1.0 = white of the source, may exceed 1.
    ``RAW``: the values of a sensor's converter (DN), including the black level.
    ``DISPLAY``: an encoded picture, 0..1, like the codes of an 8-bit file divided by 255.
    """

    LINEAR = "linear"
    RAW = "raw"
    DISPLAY = "display"


class Border(StrEnum):
    """How a picture is continued beyond its edge.

    For the row ``a b c d``: ``REFLECT`` ``c b | a b c d | c b`` (the edge pixel is not repeated),
    ``REPLICATE`` ``a a | a b c d | d d``, ``CIRCULAR`` ``c d | a b c d | a b``, ``CONSTANT`` zeros,
    ``VALID`` no continuation: the result is smaller by the support of the point spread.
    """

    REFLECT = "reflect"
    REPLICATE = "replicate"
    CIRCULAR = "circular"
    CONSTANT = "constant"
    VALID = "valid"


def array_library(array: object) -> ModuleType | None:
    """The library that an array belongs to, numpy or torch; None for anything else.

    Functions that both libraries have (``concatenate``, ``isfinite``) can be taken from it. Nothing is imported, since
    the library of an existing array is already loaded.

    >>> array_library(np.zeros(3)).__name__
    'numpy'
    """
    for kind in type(array).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in ("numpy", "torch"):
            return sys.modules[name]
    return None


def per_picture(values: Sequence[float], image: Any) -> Any:
    """One value per picture as ``[B, 1, 1, 1]``, in the library, dtype and device of the image.

    >>> per_picture([1.0, 2.0], np.zeros((2, 3, 4, 4), np.float32)).shape
    (2, 1, 1, 1)
    """
    numbers = np.asarray(values, np.float64)[:, None, None, None]
    if isinstance(image, np.ndarray):
        return numbers.astype(image.dtype)
    library: Any = array_library(image)
    made = library.from_numpy(numbers).to(image.dtype)
    # By way of pinned memory, as other copies wait for what the device was asked for before.
    return (
        made.pin_memory().to(image.device, non_blocking=True) if image.device.type == "cuda" else made.to(image.device)
    )


@dataclass(frozen=True, eq=False)
class RawMetadata:
    """Metadata needed to develop raw sensor values, one entry per picture, as in a DNG file.

    Parameters
    ----------
    black_dn
        ``[B]`` the DN of no light.
    white_dn
        ``[B]`` the DN of linear 1.0.
    mosaic
        The Bayer pattern of each picture, one of :data:`MOSAICS` (with the phase of the full picture's first pixel), or
        None if every pixel has all channels. Empty if no picture has a pattern.
    white_balance
        ``[B, 3]`` gains of red, green and blue that map the camera's raw gray to gray; ones by default.
    color_matrix
        ``[B, 3, 3]`` from white-balanced camera colors to linear sRGB; rows sum to 1, so gray stays gray. The identity
        by default.
    saturation
        ``[B]`` the level at which a channel saturates, on the scale of ``(DN - black) / (white - black)``; 1 by
        default, less if the pixels are full before white is reached.

    Raises
    ------
    InvalidValueError
        A shape does not match, or a pattern does not exist.
    """

    black_dn: NDArray[np.float64]  # [B]
    white_dn: NDArray[np.float64]  # [B]
    mosaic: tuple[str | None, ...] = ()
    white_balance: NDArray[np.float64] = None  # type: ignore[assignment]  # [B, 3], filled in below
    color_matrix: NDArray[np.float64] = None  # type: ignore[assignment]  # [B, 3, 3]
    saturation: NDArray[np.float64] = 1.0  # type: ignore[assignment]  # [B]

    def __post_init__(self) -> None:
        black, white = (np.atleast_1d(np.asarray(v, np.float64)) for v in (self.black_dn, self.white_dn))
        batch = black.size
        balance = np.ones((batch, 3)) if self.white_balance is None else np.asarray(self.white_balance, np.float64)
        matrix = np.eye(3) if self.color_matrix is None else np.asarray(self.color_matrix, np.float64)
        try:
            matrix = np.broadcast_to(matrix, (batch, 3, 3))
            balance = np.broadcast_to(balance, (batch, 3))
            white = np.broadcast_to(white, (batch,))
            saturation = np.broadcast_to(np.asarray(self.saturation, np.float64), (batch,))
        except ValueError:
            raise InvalidValueError(
                f"RawMetadata needs white_dn [{batch}], white_balance [{batch}, 3] and color_matrix [{batch}, 3, 3], "
                f"got {white.shape}, {balance.shape} and {matrix.shape}."
            ) from None
        mosaic = self.mosaic or (None,) * batch
        if len(mosaic) != batch or not all(m is None or m in MOSAICS for m in mosaic):
            raise InvalidValueError(
                f"RawMetadata.mosaic must hold one of {', '.join(MOSAICS)} or None for each of the {batch} pictures, "
                f"got {mosaic!r}."
            )
        values = (black, white, tuple(mosaic), balance, matrix, saturation)
        for one, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, one.name, value)

    def __len__(self) -> int:
        return int(self.black_dn.size)

    def __getitem__(self, chosen: Any) -> RawMetadata:
        """Some pictures of the batch."""
        return RawMetadata(**{name: _chosen(value, chosen) for name, value in vars(self).items()})

    @staticmethod
    def stack(parts: Sequence[RawMetadata]) -> RawMetadata:
        """Combine several into one batch."""
        return RawMetadata(**{name: _joined([getattr(part, name) for part in parts]) for name in vars(parts[0])})


@dataclass(frozen=True)
class Intrinsics:
    """The geometry of the camera that took a picture.

    Parameters
    ----------
    focal_length_mm
        True focal length of the lens, > 0, not its "35 mm equivalent": about 4 to 7 mm in a phone, 50 mm on a large
        camera.
    pixel_pitch_um
        Distance between pixel centers of *this* picture, > 0: about 1 to 2 um in a phone, 4 to 6 um in a large camera.
        A picture that was downscaled by two has twice the pitch.
    principal_point_px
        Row and column in the full picture where the optical axis meets it; None for its center.

    Raises
    ------
    InvalidValueError
        A value is not positive or not finite.
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
        """Focal length in px: the extent of one radian at the center of the picture."""
        return self.focal_length_mm * 1000.0 / self.pixel_pitch_um


class Deferred:
    """Depth or labels of a frame that are computed when something first reads them.

    Made-up scenes are functions of absolute positions, and many draws never look at them.

    >>> later = Deferred(lambda: np.ones((1, 4, 4)))
    >>> later.then(lambda depth: depth[:, :2]).get().shape
    (1, 2, 4)
    """

    __slots__ = ("_make", "_value")

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make: Callable[[], Any] | None = make
        self._value: Any = None

    def get(self) -> Any:
        """The values, computed once."""
        make = self._make
        if make is not None:  # two threads at a time compute the same values
            self._value = make()
            self._make = None
        return self._value

    def then(self, change: Callable[[Any], Any]) -> Deferred:
        """What ``change`` makes of the values, deferred as well."""
        return Deferred(lambda: change(self.get()))


class _Map:
    """A field that may hold a :class:`Deferred` and is read as its values."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, frame: Any, owner: type | None = None) -> Any:
        if frame is None:
            return None  # the default of the field
        value = frame.__dict__[self._name]
        if isinstance(value, Deferred):
            value = frame.__dict__[self._name] = value.get()
        return value

    def __set__(self, frame: Any, value: Any) -> None:
        frame.__dict__[self._name] = value


@dataclass(frozen=True, eq=False)
class Frame:
    """A batch of pictures on one pixel grid, with their metadata.

    Parameters
    ----------
    image
        ``[B, C, H, W]``, float32 or float64, planar. A picture of shape ``[H, W]`` or ``[C, H, W]`` is treated as a
        batch of one.
    encoding
        The meaning of the values; see :class:`Encoding`. Display frames lie in 0..1 and may exceed it by up to 0.5, as
        after resizing and sharpening. Light and raw sensor values may be any finite values.
    depth_m
        ``[B, H, W]`` meters along the optical axis (not disparity), or None.
    labels
        ``[B, H, W]`` int32, which object each pixel shows, 0 = none (the background), or None.
    camera
        The geometry of each picture's camera, one per picture, or empty if it is not known. A single
        :class:`Intrinsics` applies to all.
    origin_px
        ``[B, 2]`` row and column of the frame's first pixel in the full picture. Noise, Bayer phase and the JPEG grid
        use absolute coordinates, so that a crop equals the same region of the full picture.
    full_size_px
        ``[B, 2]`` height and width of the full picture.
    raw
        Levels, mosaic and colors; only for RAW frames. A mosaicked frame has one channel.
    source, license
        One string per picture, or empty.

    Raises
    ------
    InvalidValueError
        The shape or dtype is wrong, the picture is empty, the encoding is unknown, the values are invalid for such a
        frame (NaN, infinity, a display frame in 0..255), or depth does not match the picture or is not positive.

    Notes
    -----
    Use :meth:`from_uint8` for uint8 pictures, :meth:`from_pil` for Pillow images, and :func:`blursynth.read_frame` for
    files and the bytes of files.

    Values are validated once, when a frame is created. Frames derived from it (windows, batches, results of
    degradations) are not validated again, since that happens many times per picture; the sensor and the code that
    stores pictures refuse NaN and infinity. See :meth:`unchecked`.

    ``np.asarray(frame)`` is :attr:`image` as an array, ``[B, C, H, W]``, even for a tensor on another device.

    Examples
    --------
    >>> frame = Frame.from_uint8(np.full((480, 640, 3), 51, np.uint8))
    >>> frame, float(frame.image.max())
    (Frame(1x3x480x640 display), 0.20000000298023224)
    >>> frame.to_uint8().shape
    (480, 640, 3)
    """

    image: Any  # [B, C, H, W]
    encoding: Encoding
    depth_m: Any | None = _Map()  # [B, H, W]
    labels: Any | None = _Map()  # [B, H, W]
    camera: tuple[Intrinsics, ...] = ()
    origin_px: NDArray[np.int64] = field(default_factory=lambda: np.zeros((1, 2), np.int64))  # [B, 2]
    full_size_px: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))  # [B, 2]
    raw: RawMetadata | None = None
    source: tuple[str, ...] = ()
    license: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_form()
        check_values(self.image, self.encoding)
        if self.has_depth:
            check_depth(self.depth_m)

    @classmethod
    def unchecked(cls, image: Any, encoding: Encoding | str, **fields_: Any) -> Self:
        """Create a frame without validating its values; shapes and types are still checked.

        Use it for frames that are made in a loop. The constructor reads every value, and waits for them if they are on
        a GPU. The parameters are those of the constructor.
        """
        return cls._made({"image": image, "encoding": encoding, **fields_})

    @classmethod
    def _made(cls, values: dict[str, Any]) -> Self:
        frame = object.__new__(cls)
        for one in fields(cls):
            if one.name in values:
                value = values.pop(one.name)
            else:
                value = one.default_factory() if one.default_factory is not MISSING else one.default
            object.__setattr__(frame, one.name, value)
        if values:
            known = [one.name for one in fields(cls)]
            raise TypeError(f"Frame has no field {next(iter(values))!r}. {did_you_mean(next(iter(values)), known)}")
        frame._check_form()
        return frame

    def _with(self, **changes: Any) -> Self:
        """The frame with some other fields that are known to be valid; no check, since this happens very often."""
        frame = object.__new__(type(self))
        frame.__dict__.update(self.__dict__)
        frame.__dict__.update(changes)
        return frame

    @classmethod
    def from_uint8(
        cls, codes: Any, *, layout: Layout | None = None, encoding: Encoding | str = Encoding.DISPLAY, **fields_: Any
    ) -> Self:
        """A frame from uint8 pictures, 0 = black, 255 = white, as used by cameras, video and most libraries.

        Parameters
        ----------
        codes
            uint8 array or tensor: ``[H, W]`` gray, ``[H, W, C]`` or ``[C, H, W]``, or a batch ``[B, H, W, C]`` or
            ``[B, C, H, W]``; C = 1, 3, or 4 if the fourth channel is an alpha of 255 everywhere, which is dropped.
            Colors are RGB; OpenCV's ``cv2.imread`` returns BGR (reverse it with ``codes[..., ::-1]``).
        layout
            The axes, if the shape is ambiguous: ``"HWC"``, ``"CHW"``, ``"BHW"`` ...
        encoding
            ``"display"``, or ``"linear"`` if the values are linear light.
        **fields_
            Further fields of the frame: ``depth_m``, ``camera`` ...

        Raises
        ------
        InvalidValueError
            The dtype is not uint8, the shape is ambiguous, or a picture is transparent.

        Examples
        --------
        >>> Frame.from_uint8(np.zeros((2, 3, 32, 48), np.uint8))
        Frame(2x3x32x48 display)
        >>> Frame.from_uint8(np.zeros((8, 32, 48), np.uint8), layout="BHW")
        Frame(8x1x32x48 display)
        """
        library: Any = array_library(codes)
        if library is None:
            raise InvalidValueError(
                f"Frame.from_uint8 takes an array of uint8, got {_describe(codes)}.",
                fix=_fix_of_kind(codes) or "Convert it with np.asarray(codes, np.uint8).",
            )
        dtype = str(codes.dtype).removeprefix("torch.")
        if dtype != "uint8":
            raise InvalidValueError(f"Frame.from_uint8 takes an array of uint8, got {dtype}.", fix=_fix_of_dtype(dtype))
        planar = _planar(library, codes, layout)
        if 0 not in planar.shape and planar.shape[1] == 4:
            if int(planar[:, 3].min()) < 255:
                raise InvalidValueError(
                    "Frame.from_uint8 takes opaque pictures, got some with transparent pixels.",
                    why="The background behind them is not known.",
                    fix="Blend them with a background, or drop the alpha channel: codes[..., :3] (for CHW: codes[:3]).",
                )
            planar = planar[:, :3]
        white = np.float32(255) if isinstance(planar, np.ndarray) else 255
        light = planar / white
        image = np.ascontiguousarray(light) if isinstance(light, np.ndarray) else light.contiguous()
        return cls(image, encoding, **fields_)  # type: ignore[arg-type]  # the constructor also takes names

    @classmethod
    def from_pil(cls, picture: Any, **fields_: Any) -> Self:
        """A frame from a Pillow image, as :func:`blursynth.read_frame` would read its file.

        The EXIF orientation is applied, gray becomes three equal channels, and palettes and CMYK become RGB; 8 or 16
        bits.

        Parameters
        ----------
        picture
            A ``PIL.Image.Image``.
        **fields_
            Further fields of the frame: ``depth_m``, ``camera`` ...

        Raises
        ------
        InvalidValueError
            It is not a Pillow image, is transparent, or has values with an unknown white.
        PictureError
            Its file is damaged.
        """
        from PIL import Image, ImageOps

        if not isinstance(picture, Image.Image):
            raise InvalidValueError(
                f"Frame.from_pil takes a Pillow image, got {_describe(picture)}.",
                fix=_fix_of_kind(picture) or "Use Frame.from_uint8 for uint8 arrays.",
            )
        if picture.mode in ("I", "F"):
            raise InvalidValueError(
                f"Frame.from_pil takes 8-bit or 16-bit images, got mode {picture.mode!r}.",
                why="Its white is not known.",
                fix="Divide it by its white: Frame(np.asarray(picture, np.float32) / white, 'display').",
            )
        try:
            picture.load()
            try:
                picture = ImageOps.exif_transpose(picture)
            except Exception:  # errors of broken metadata are undocumented, and do not affect the pixels
                picture = picture.copy()
            if picture.mode.startswith("I;16"):
                gray = np.asarray(picture).astype(np.uint16) / np.float32(65535)
                return cls(np.repeat(gray[None], 3, axis=0), Encoding.DISPLAY, **fields_)
            with_alpha = picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info
            codes = np.asarray(picture.convert("RGBA" if with_alpha else "RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise PictureError(f"The Pillow image cannot be decoded ({error}).") from None
        return cls.from_uint8(codes, layout="HWC", **fields_)

    def to_uint8(self) -> NDArray[np.uint8]:
        """Display pictures as uint8, as in files: rounded, and clipped to 0..255.

        Returns
        -------
        NDArray[np.uint8]
            ``[H, W, 3]`` for one picture, ``[H, W]`` for a gray one, as accepted by ``PIL.Image.fromarray`` and
            ``matplotlib.pyplot.imshow``. For a batch of several, ``[B, H, W, 3]`` or ``[B, H, W]``.

        Raises
        ------
        InvalidValueError
            The frame is linear or raw, or holds NaN or infinity.
        """
        if self.encoding is not Encoding.DISPLAY:
            raise InvalidValueError(
                f"to_uint8 is for display frames, got a {self.encoding} one.",
                why="The bytes of a file are display codes.",
                fix="Encode it first: blursynth.kinds.Encode()(frame)."
                if self.encoding is Encoding.LINEAR
                else "Develop and encode it first: blursynth.kinds.Encode()(blursynth.kinds.Develop()(frame)).",
            )
        values = np.asarray(self)
        if not np.isfinite(values).all():
            raise InvalidValueError("to_uint8: the frame holds NaN or infinite values, which uint8 cannot represent.")
        codes = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
        pictures = codes[:, 0] if self.channels == 1 else np.ascontiguousarray(np.moveaxis(codes, 1, -1))
        return cast(NDArray[np.uint8], pictures[0] if len(self) == 1 else pictures)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        image = self.image if isinstance(self.image, np.ndarray) else self.image.detach().cpu().numpy()
        return np.array(image, dtype, copy=copy)

    def _check_form(self) -> None:
        """Check shapes and types and fill in what follows from them; values of pixels and depth are not checked."""
        image = self.image
        if type(image) is not np.ndarray:
            if array_library(image) is None:
                raise InvalidValueError(
                    f"Frame.image must be an array [B, C, H, W], got {_describe(image)}.",
                    fix=_fix_of_kind(image)
                    or "Use a NumPy array or a torch tensor, for example np.asarray(image, np.float32).",
                )
            if isinstance(image, np.ma.MaskedArray):
                raise InvalidValueError(
                    "Frame.image is a masked array, but a frame has no mask.", fix="Fill it first: image.filled(0)."
                )
            if isinstance(image, np.ndarray | np.generic):
                image = np.asarray(image)  # also for other subclasses: a matrix never has four axes
        if image.ndim not in (2, 3, 4):
            raise InvalidValueError(
                f"Frame.image must be an array [B, C, H, W], got {_describe(image)}.",
                fix="A single picture may be [C, H, W] or [H, W]; move channels first with np.moveaxis(image, -1, 0).",
            )
        # Names of NumPy's types are slow, and frames are many.
        if type(image) is not np.ndarray or image.dtype not in _FLOATS:
            dtype = str(image.dtype).removeprefix("torch.")
            if dtype not in ("float32", "float64"):
                what = f"Frame.image must be float32 or float64, got {dtype}."
                raise InvalidValueError(what, why=_why_not(dtype), fix=_fix_of_dtype(dtype))
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
            if not isinstance(encoding, str) or encoding not in known:
                raise InvalidValueError(
                    f"Frame.encoding must be one of {', '.join(map(repr, known))}, got {encoding!r}.",
                    fix="Pictures from files are 'display'.",
                )
            object.__setattr__(self, "encoding", Encoding(encoding))
        origin = _two_per_picture("origin_px", self.origin_px, batch)
        object.__setattr__(self, "origin_px", origin)
        size = self.full_size_px
        if np.size(size) == 0:
            size = origin + np.array([height, width])
        object.__setattr__(self, "full_size_px", _two_per_picture("full_size_px", size, batch))
        for name, form in (("depth_m", formed_depth), ("labels", _checked_labels)):
            values = self.__dict__[name]
            if values is not None and not isinstance(values, Deferred):
                object.__setattr__(self, name, form(values, (batch, height, width)))
        for name, kind, what, example in (
            ("camera", Intrinsics, "Intrinsics", "For example Intrinsics(focal_length_mm=4.2, pixel_pitch_um=1.4)."),
            ("source", str, "a string", ""),
            ("license", str, "a string", ""),
        ):
            given: object = getattr(self, name)
            values = (given,) * batch if isinstance(given, kind) else given
            if (
                not isinstance(values, tuple | list)
                or len(values) not in (0, batch)
                or not all(isinstance(value, kind) for value in values)
            ):
                raise InvalidValueError(
                    f"Frame.{name} must be {what}, or one per picture, got {given!r} for {batch}.", fix=example
                )
            object.__setattr__(self, name, tuple(values))
        if self.raw is not None and len(self.raw) != batch:
            raise InvalidValueError(f"Frame.raw must describe each picture, got {len(self.raw)} for {batch}.")

    def __len__(self) -> int:
        return int(self.image.shape[0])

    @property
    def has_depth(self) -> bool:
        """Whether the depth is known. Unlike reading :attr:`depth_m`, this computes nothing."""
        return self.__dict__["depth_m"] is not None

    @property
    def has_labels(self) -> bool:
        """Whether there are labels. Unlike reading :attr:`labels`, this computes nothing."""
        return self.__dict__["labels"] is not None

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.image.shape[2]), int(self.image.shape[3])

    @property
    def channels(self) -> int:
        return int(self.image.shape[1])

    def __getitem__(self, index: int | slice | Sequence[int]) -> Frame:
        """Some pictures of the batch, as a frame.

        Raises
        ------
        IndexError
            There is no such picture.
        """
        chosen: Any = index
        if hasattr(index, "__index__") and not isinstance(index, bool):  # numbers of numpy, too
            number = operator.index(index)
            if not -len(self) <= number < len(self):
                raise IndexError(f"the frame has {len(self)} pictures, counted from 0, so there is no picture {number}")
            if len(self) == 1:
                return self
            chosen = slice(number, number + 1 or None)
        elif not isinstance(chosen, slice):
            chosen = np.asarray(chosen)
        return self._with(**{name: _chosen(value, chosen) for name, value in vars(self).items()})

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(len(self)))

    def with_image(self, image: Any, encoding: Encoding | None = None, **changes: Any) -> Frame:
        """The same frame with other pixels (and encoding) on the same grid; pixel values are not validated.

        ``changes`` are further fields; a new depth is validated. Depth and labels may be :class:`Deferred`.
        """
        old, encoding = self.image, encoding or self.encoding
        if (
            isinstance(encoding, Encoding)
            and (image is old or _on_same_grid(image, old))
            and all(_needs_no_check(name, value, len(self)) for name, value in changes.items())
        ):
            return self._with(image=image, encoding=encoding, **changes)
        frame = self._made({**self.__dict__, "image": image, "encoding": encoding, **changes})
        if changes.get("depth_m") is not None and not isinstance(changes["depth_m"], Deferred):
            check_depth(frame.depth_m)
        return frame

    def without_pixels(self) -> Frame:
        """The frame with pixels of 0, which take no memory: its size, position and maps."""
        image = self.image
        if isinstance(image, np.ndarray):
            return self._with(image=np.broadcast_to(np.zeros((), image.dtype), image.shape))
        return self._with(image=image.detach().new_zeros(()).expand(image.shape))

    def with_geometry_of(self, others: Sequence[Frame]) -> Frame:
        """The frame with depth, labels and camera of others: frames of the same pictures that contain this one."""
        height, width = self.size_px
        parts, first = [], 0
        for other in others:
            top, left = (self.origin_px[first] - other.origin_px[0]).tolist()
            parts.append(other if other.size_px == (height, width) else other.crop(top, left, height, width))
            first += len(other)
        return self._with(**{name: _joined([part.__dict__[name] for part in parts]) for name in (*_MAPS, "camera")})

    def crop(self, top: int, left: int, height: int, width: int) -> Frame:
        """A window in coordinates of this frame; ``origin_px`` is updated, so absolute positions are kept.

        Raises
        ------
        InvalidValueError
            The window extends beyond the frame.
        """
        rows, columns = self.size_px
        if not all(hasattr(number, "__index__") for number in (top, left, height, width)):
            raise InvalidValueError(
                f"crop takes integers in px, got {(top, left, height, width)}.", fix="Round them: int(round(x))."
            )
        if top < 0 or left < 0 or height < 1 or width < 1 or top + height > rows or left + width > columns:
            raise InvalidValueError(
                f"The window {height}x{width} at ({top}, {left}) extends beyond the {rows}x{columns} frame.",
                fix="Choose a smaller window or another corner.",
            )
        window = (..., slice(top, top + height), slice(left, left + width))
        return self._with(
            image=self.image[window],
            origin_px=np.add(self.origin_px, (top, left)),
            **{name: _changed(self.__dict__[name], lambda values: values[window]) for name in _MAPS},
        )

    @staticmethod
    def stack(frames: Sequence[Frame]) -> Frame:
        """Combine frames of equal size and encoding into one batch."""
        if not frames or not all(isinstance(frame, Frame) for frame in frames):
            raise InvalidValueError(
                f"Frame.stack takes a list of frames, at least one, got {[type(f).__name__ for f in frames]}.",
                fix="Stack arrays before creating a frame: Frame(np.stack(arrays), 'display').",
            )
        first = frames[0]
        for frame in frames[1:]:
            if frame.image.shape[1:] != first.image.shape[1:] or frame.encoding != first.encoding:
                raise InvalidValueError(
                    f"Frames of a batch must agree in shape and encoding, got {frame.image.shape[1:]} {frame.encoding} "
                    f"and {first.image.shape[1:]} {first.encoding}.",
                    fix="Crop them to one size, or process them one by one.",
                )
        named = [
            {**vars(f), "source": f.source or ("",) * len(f), "license": f.license or ("",) * len(f)} for f in frames
        ]
        return Frame.unchecked(**{name: _joined([values[name] for values in named]) for name in vars(first)})

    def __getstate__(self) -> dict[str, Any]:
        """Pickle a constant picture, a placeholder for unused pixels, as its single value."""
        image = self.image
        one = isinstance(image, np.ndarray) and not any(image.strides)
        maps = {name: getattr(self, name) for name in _MAPS}
        return {**self.__dict__, **maps, "image": (image.flat[0], image.shape) if one else image}

    def __setstate__(self, state: dict[str, Any]) -> None:
        image = state["image"]
        self.__dict__.update(state, image=np.broadcast_to(*image) if isinstance(image, tuple) else image)

    def __repr__(self) -> str:
        batch, channels, height, width = self.image.shape
        more = [name for name in _MAPS if self.__dict__[name] is not None]
        more += ["camera"] if self.camera else []
        return f"Frame({', '.join([f'{batch}x{channels}x{height}x{width} {self.encoding}', *more])})"


def _on_same_grid(image: Any, old: Any) -> bool:
    """Whether the image of a frame may be replaced by another one without a check."""
    if type(image) is not type(old) or image.dtype != old.dtype:
        return False
    shape, former = image.shape, old.shape
    return bool(
        shape == former or (len(shape) == 4 and (shape[0], *shape[2:]) == (former[0], *former[2:]) and shape[1])
    )


def _needs_no_check(name: str, value: object, batch: int) -> bool:
    if name == "raw":
        return value is None or (isinstance(value, RawMetadata) and len(value) == batch)
    return name in _MAPS and isinstance(value, Deferred)


def _two_per_picture(name: str, values: Any, batch: int) -> NDArray[np.int64]:
    """``[B, 2]``; arrays of that form are used as they are, since frames are made many times per picture."""
    if isinstance(values, np.ndarray) and values.dtype == np.int64 and values.shape == (batch, 2):
        return values
    try:
        return np.array(np.broadcast_to(np.asarray(values, np.int64), (batch, 2)))
    except (TypeError, ValueError):
        raise InvalidValueError(
            f"Frame.{name} must be two integers (row and column), or two per picture, got {values!r} for {batch}."
        ) from None


_MAPS = ("depth_m", "labels")
"""Fields with a value per pixel that may be deferred."""


def _changed(values: Any, change: Callable[[Any], Any]) -> Any:
    """What ``change`` makes of depth or labels, deferred if they are; None remains None."""
    if isinstance(values, Deferred):
        return values.then(change)
    return None if values is None else change(values)


def _chosen(value: Any, chosen: Any) -> Any:
    """The values of some pictures of a batch; a value that is not one per picture is kept."""
    if value is None or isinstance(value, Encoding):
        return value
    if isinstance(value, Deferred):
        return value.then(lambda values: values[chosen])
    if isinstance(value, tuple):
        return tuple(value[i] for i in np.arange(len(value))[chosen]) if value else ()
    library: Any = array_library(value)
    if library is not None and _is_on_device(value) and not isinstance(chosen, slice):
        # Without numbers of pictures that would have to be sent to the device first.
        return library.stack([value[i] for i in np.arange(len(value))[chosen]])
    return value[chosen]


def _joined(values: Sequence[Any]) -> Any:
    """The values of several batches as those of one; where one of them has none, the result has none."""
    first = values[0]
    if len(values) == 1:
        return first
    if isinstance(first, Encoding):
        return first
    if isinstance(first, tuple):
        return sum(values, ()) if all(values) else ()
    if any(value is None for value in values):
        return None
    if any(isinstance(value, Deferred) for value in values):
        return Deferred(lambda: _joined([value.get() if isinstance(value, Deferred) else value for value in values]))
    if isinstance(first, RawMetadata):
        return RawMetadata.stack(values)
    library: Any = array_library(first)
    return library.concatenate(values)


def _planar(library: Any, codes: Any, layout: Layout | None) -> Any:
    """``[B, C, H, W]``."""
    shape = tuple(codes.shape)
    if layout is None:
        layout = _layout_of(shape)
    elif layout not in ("HW", "HWC", "CHW", "BHW", "BHWC", "BCHW"):
        raise InvalidValueError(f"layout must be HW, HWC, CHW, BHW, BHWC or BCHW, got {layout!r}.")
    if len(layout) != len(shape):
        raise InvalidValueError(f"layout {layout!r} has {len(layout)} axes, but the array {len(shape)}: shape {shape}.")
    if "C" not in layout:
        return codes.reshape((-1, 1, *shape[-2:]))
    channels = shape[layout.index("C")]
    if channels not in (1, 3, 4):
        raise InvalidValueError(
            f"Pictures have 1, 3 or 4 channels, got {channels}: layout {layout!r} of shape {shape}.",
            fix="Check the order of the axes.",
        )
    planar = library.moveaxis(codes, layout.index("C"), -3)
    return planar if len(shape) == 4 else planar[None]


def _layout_of(shape: tuple[int, ...]) -> Layout:
    """The only layout that a shape can have, with 1, 3 or 4 channels."""
    if len(shape) == 2:
        return "HW"
    if len(shape) not in (3, 4):
        raise InvalidValueError(
            f"Pictures have 2 to 4 axes, got shape {shape}.", fix="For example [H, W, 3], or a batch [B, H, W, 3]."
        )
    last, first = shape[-1] in (1, 3, 4), shape[-3] in (1, 3, 4)
    choices: tuple[Layout, Layout] = ("HWC", "CHW") if len(shape) == 3 else ("BHWC", "BCHW")
    if last and first:
        raise InvalidValueError(
            f"Shape {shape} may be {choices[0]} or {choices[1]}.", fix=f"Specify it: layout={choices[0]!r}."
        )
    if not last and not first:
        batch = " A batch of gray pictures is layout='BHW'." if len(shape) == 3 else ""
        raise InvalidValueError(
            f"Shape {shape} has no axis of 1, 3 or 4 channels in a valid place.",
            fix=f"Pictures are {choices[0]} or {choices[1]}.{batch}",
        )
    return choices[0] if last else choices[1]


def _why_not(dtype: str) -> str:
    if dtype in ("float16", "bfloat16"):
        digits = "11 bits" if dtype == "float16" else "8 bits"
        return f"{dtype} has {digits} of precision: too few for the dark end of light, which displays brighten."
    if dtype.startswith(("int", "uint")):
        return "Integer pictures have no unit: 255 may be white or 255 electrons."
    return ""


def _fix_of_dtype(dtype: str) -> str:
    if dtype in ("float16", "bfloat16"):
        return "Convert it: image.float() for a tensor, image.astype(np.float32) for an array."
    if dtype == "uint8":
        return "Use Frame.from_uint8 for uint8 pictures, or blursynth.read_frame for files."
    if dtype == "uint16":
        return "Divide by white: Frame(codes / np.float32(65535), 'display'), channels first."
    if dtype.startswith(("int", "uint", "bool")):
        return "Divide by the white level yourself, or use blursynth.read_frame for files."
    if dtype in ("float32", "float64"):
        return "Frame(image, 'display') takes floating-point values in 0..1."
    return "Convert it: image.astype(np.float32)."


def _fix_of_kind(value: object) -> str:
    """What to use for objects that are not arrays; empty if that is not known."""
    if isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "__fspath__") or isinstance(value, str):
        return "Read files, and the bytes of files, with blursynth.read_frame."
    if any(kind.__module__.startswith("PIL.") for kind in type(value).__mro__):
        return "Use Frame.from_pil for Pillow images."
    if isinstance(value, Frame):
        return "It is already a Frame; frame.image is its array."
    return ""


def check_values(image: Any, encoding: Encoding, *, name: str = "Frame.image") -> None:
    """Refuse invalid pixel values, by one pass over the minimum and maximum, which are NaN if any value is.

    ``name`` is the name of the array or tensor in messages.

    >>> check_values(np.array([0.0, 255.0]), Encoding.DISPLAY, name="picture")
    Traceback (most recent call last):
    blursynth.errors.InvalidValueError: picture must lie in 0..1, got 0 to 255. ...
    """
    if isinstance(image, np.ndarray):
        with np.errstate(invalid="ignore"):
            least, most = float(image.min()), float(image.max())
    elif image.is_meta:  # it has no values
        return
    else:
        least, most = (float(end) for end in image.detach().aminmax())
    if not (math.isfinite(least) and math.isfinite(most)):
        library: Any = array_library(image)
        bad = image.size if isinstance(image, np.ndarray) else image.numel()
        bad -= int(library.isfinite(image).sum())
        raise InvalidValueError(
            f"{name} must be finite, got {bad} {'value that is' if bad == 1 else 'values that are'} NaN or infinite.",
            why="Blur would spread each of them to other pixels.",
            fix="Replace them first, for example with np.nan_to_num, or find out where they come from.",
        )
    if encoding is Encoding.DISPLAY and not (least >= _LEAST_DISPLAY and most <= _MOST_DISPLAY):
        raise InvalidValueError(
            f"{name} must lie in 0..1{' in a display frame' * (name == 'Frame.image')}, got {least:.4g} to {most:.4g}.",
            why=f"White is 1 (values from {_LEAST_DISPLAY:g} to {_MOST_DISPLAY:g} pass, as resizing may exceed 0..1).",
            fix=_fix_of_range(least, most, of_frame=name == "Frame.image"),
        )


_IF_LIGHT = "If it is light, use a frame with encoding='linear'."


def _fix_of_range(least: float, most: float, *, of_frame: bool) -> str:
    if_light = f" {_IF_LIGHT}" if of_frame else ""
    if least >= 0:
        for white in (255, 1023, 4095, 16383, 65535):
            if 2 < most <= white:
                codes = "Use Frame.from_uint8 for uint8, otherwise divide" if of_frame and white == 255 else "Divide"
                return f"{codes} by the white level: image / {white}.{if_light}"
    if least >= -1.05 and most <= 1.05:
        return "If the picture was scaled to -1..1, undo that: (image + 1) / 2."
    if least > -4 and most < 4:
        return (
            "If it was normalized by mean and standard deviation, undo that: image * std + mean. "
            "If it is noise or ringing, clip it: image.clip(0, 1)."
        )
    return f"Divide by the white level.{if_light}"


def _describe(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__}" + (f" of shape {tuple(shape)}" if shape is not None else "")


def _of_shape(name: str, values: Any, shape: tuple[int, int, int], **reasons: str) -> Any:
    values = np.asarray(values) if isinstance(values, np.generic) else values
    while values.ndim < 3:
        values = values[None]
    if tuple(values.shape) != shape:
        raise InvalidValueError(f"{name} must have the picture's shape {shape}, got {tuple(values.shape)}.", **reasons)
    return values


def _is_on_device(values: Any) -> bool:
    """Whether looking at the values would wait for a device."""
    return not isinstance(values, np.ndarray) and values.device.type != "cpu"


def _checked_labels(labels: Any, shape: tuple[int, int, int]) -> Any:
    if array_library(labels) is None:
        raise InvalidValueError(f"labels must be an array [B, H, W], got {_describe(labels)}.")
    labels = _of_shape(
        "labels", labels, shape, why="Labels that are not aligned pixel by pixel would move the wrong objects."
    )
    if not str(labels.dtype).removeprefix("torch.").startswith(("int", "uint", "bool")):
        raise InvalidValueError(
            f"labels must be integers, got {labels.dtype}.",
            fix="Round and convert them, e.g. labels.astype('int32'); 0 is the background, 1 .. n are the objects.",
        )
    if _is_on_device(labels):
        return labels
    least, most = (int(labels.min()), int(labels.max())) if 0 not in tuple(labels.shape) else (0, 0)
    if least < 0 or most >= 2**31:
        raise InvalidValueError(
            f"labels must be 0 to 2^31 - 1, got {least if least < 0 else most}.",
            fix="0 is the background, 1 .. n the objects.",
        )
    if isinstance(labels, np.ndarray) and labels.dtype != np.int32:
        labels = labels.astype(np.int32)
    return labels


def formed_depth(depth: Any, shape: tuple[int, int, int]) -> Any:
    if array_library(depth) is None:
        raise InvalidValueError(
            f"depth_m must be an array [B, H, W] of meters, got {_describe(depth)}.",
            fix="For a constant distance, use np.full((height, width), meters) or a plane_depth step.",
        )
    depth = _of_shape(
        "depth_m",
        depth,
        shape,
        why="Depth that is not aligned pixel by pixel would blur the wrong objects.",
        fix="Resample the depth to the picture's grid first.",
    )
    dtype = str(depth.dtype).removeprefix("torch.")
    if dtype in ("float32", "float64"):
        return depth
    if not dtype.lstrip("u").startswith(("float16", "bfloat16", "int")):
        raise InvalidValueError(f"depth_m must be numbers in meters, got {dtype}.")
    return depth.astype(np.float32) if isinstance(depth, np.ndarray) else depth.float()


def check_depth(depth: Any) -> None:
    """Refuse depth that is not finite and > 0."""
    if isinstance(depth, np.ndarray) and depth.size and depth.min() > 0 and depth.max() < math.inf:
        return  # not for NaN, either
    library: Any = array_library(depth)
    finite = library.isfinite(depth)
    if not bool(finite.any()):
        raise InvalidValueError("depth_m holds no finite value.", fix="Leave it out, or fill it first.")
    bad = int((~(finite & (depth > 0))).sum())
    if bad:
        raise InvalidValueError(
            f"depth_m must be finite and > 0 (meters along the optical axis), got {bad} others of "
            f"{math.prod(depth.shape)}.",
            why="Files mark unknown depth with 0, negative values or NaN.",
            fix="Fill the holes first.",
        )
