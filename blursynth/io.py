"""Picture files in and out: the only place where channels come last and pixels are bytes."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError, PictureError
from blursynth.frame import Encoding, Frame

__all__ = ["PictureInfo", "peek", "read_arrays", "read_codes", "read_frame", "write_picture"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".pgm")
LARGEST_PX = 400_000_000  # beyond this a picture is more likely a decompression bomb than a photograph


@dataclass(frozen=True)
class PictureInfo:
    """What the header of a picture file says, after its EXIF orientation."""

    height: int
    width: int
    mode: str
    bit_depth: int
    icc_profile: str  # "" when there is none, or it is sRGB
    licence: str


def peek(path: str | Path) -> PictureInfo:
    """Read the header of a picture file and check that it can be used.

    Raises
    ------
    PictureError
        It is missing, empty, no picture, or larger than 400 megapixels.
    """
    with _opened(Path(path)) as picture:
        return _info(picture, Path(path))


def read_codes(path: str | Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The codes of a picture file, ``[H, W, 3]`` RGB, uint8 or uint16, turned as its EXIF orientation says.

    Grey becomes three equal channels; an alpha channel is laid over black only if it is opaque everywhere; palettes
    and CMYK are converted to RGB. An embedded colour profile is not applied (:func:`peek` names it).

    Raises
    ------
    PictureError
        Missing, empty, truncated, damaged, transparent, of a floating-point format, or larger than 400 megapixels.
    """
    path = Path(path)
    from PIL import Image, ImageOps

    with _opened(path) as picture:
        info = _info(picture, path)
        if info.bit_depth == 16:
            return _read_16_bit(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns about odd metadata that does not concern the pixels
                turned = ImageOps.exif_transpose(picture)
                if turned.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in turned.info:
                    rgba = np.asarray(turned.convert("RGBA"))
                    if rgba[..., 3].min() < 255:
                        raise PictureError(
                            f"{path}: has transparent pixels.",
                            why="There is no light where a picture is transparent, so nothing can be blurred there.",
                            fix="Lay it over a background first.",
                        )
                    return np.ascontiguousarray(rgba[..., :3])
                return np.asarray(turned.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            if isinstance(error, PictureError):
                raise
            raise PictureError(
                f"{path}: is damaged or cut off ({error}).",
                fix="Copy it again from where it came from, or leave it out.",
            ) from None


def _opened(path: Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    # The limit is ours (LARGEST_PX, checked from the header), with a message that says what to do.
    Image.MAX_IMAGE_PIXELS = None
    try:
        if path.stat().st_size == 0:
            raise PictureError(
                f"{path}: is empty (0 bytes).", fix="Copy it again from where it came from, or leave it out."
            )
        return Image.open(path)
    except UnidentifiedImageError:
        raise PictureError(
            f"{path}: is not a picture that can be read.", fix=f"Known formats: {', '.join(s[1:] for s in SUFFIXES)}."
        ) from None
    except IsADirectoryError:
        raise PictureError(f"{path}: is a folder, not a picture.") from None
    except FileNotFoundError:
        raise PictureError(f"{path}: there is no such file.", fix="Check the path.") from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{path}: cannot be read ({error}).") from None


def _info(picture: Any, path: Path) -> PictureInfo:
    width, height = picture.size
    if width * height > LARGEST_PX:
        raise PictureError(
            f"{path}: has {width} x {height} px, more than {LARGEST_PX // 1_000_000} megapixels.",
            why="So large a picture would not fit into memory.",
            fix="Cut it into pieces first.",
        )
    mode = picture.mode
    if mode == "F":
        raise PictureError(
            f"{path}: holds floating-point numbers (mode F), whose scale is not known.",
            fix="Read it yourself and build a Frame with encoding='linear'.",
        )
    depth = 16 if mode.startswith("I") or _is_16_bit(picture) else 8
    try:
        exif = picture.getexif()
        orientation = int(exif.get(0x0112, 1))
        licence = str(exif.get(0x8298, "")).strip("\0 ")
    except Exception:  # broken metadata does not make the pixels unusable
        orientation, licence = 1, ""
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return PictureInfo(height, width, mode, depth, _profile_name(picture), licence)


def _is_16_bit(picture: Any) -> bool:
    """Pillow reads RGB of 16 bits as 8 without a word; the raw mode of the file gives it away."""
    tiles = getattr(picture, "tile", None) or []
    return any("16" in str(tile[3]) for tile in tiles if len(tile) > 3) or (
        picture.format == "TIFF" and 16 in (picture.tag_v2.get(258) or ())
    )


def _profile_name(picture: Any) -> str:
    data = picture.info.get("icc_profile")
    if not data:
        return ""
    from io import BytesIO

    from PIL import ImageCms

    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(data))).strip()
    except (ImageCms.PyCMSError, OSError):
        return "unreadable profile"
    return "" if "srgb" in name.lower() else name


def _read_16_bit(path: Path) -> NDArray[np.uint16] | NDArray[np.uint8]:
    import cv2

    data = np.fromfile(path, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR_RGB)
    if picture is None or picture.dtype not in (np.uint16, np.uint8):
        raise PictureError(
            f"{path}: is damaged, cut off, or of a 16-bit format that cannot be read.",
            fix="Save it as 16-bit PNG or TIFF.",
        )
    return np.asarray(picture)


def read_frame(path: str | Path, *, depth: str | Path | None = None, dtype: Any = np.float32) -> Frame:
    """A picture file as a frame of encoding DISPLAY: what the file holds, divided by its top code.

    Parameters
    ----------
    path
        Picture of 8 or 16 bits.
    depth
        ``.npy`` file of ``[H, W]`` metres along the optical axis, aligned with the picture.
    dtype
        float32 or float64.

    Raises
    ------
    PictureError
        The picture or the depth cannot be used.
    """
    codes = read_codes(path)
    image = np.moveaxis(codes, -1, 0)[None] / np.asarray(np.iinfo(codes.dtype).max, dtype)
    metres = None
    if depth is not None:
        try:
            metres = np.load(depth, allow_pickle=False).astype(np.float32)
        except (OSError, ValueError) as error:
            raise PictureError(
                f"{depth}: is no readable .npy file ({error}).", fix="Save it with numpy.save."
            ) from None
    info = peek(path)
    try:
        return Frame(
            np.ascontiguousarray(image, dtype),
            Encoding.DISPLAY,
            depth_m=metres,
            source=(str(path),),
            licence=(info.licence,),
        )
    except InvalidValueError as error:
        raise PictureError(f"{path if depth is None else depth}: {error}") from None


def write_picture(path: str | Path, image: Any) -> None:
    """Write a picture ``[C, H, W]``, ``[H, W]`` or a frame of one, values 0..1 in display encoding, as 8 bits.

    Raises
    ------
    InvalidValueError
        A linear or raw frame, more than one picture, or values that are not finite.
    """
    import imageio.v3 as iio

    if isinstance(image, Frame):
        if image.encoding is not Encoding.DISPLAY or len(image) != 1:
            raise InvalidValueError(
                f"write_picture takes one display frame, got {image!r}.", fix="Encode it first, or take frame[0]."
            )
        image = image.image[0]
    planar = np.asarray(image)
    if planar.ndim == 2:
        planar = planar[None]
    if planar.ndim != 3 or not np.isfinite(planar).all():
        raise InvalidValueError(f"write_picture takes finite values [C, H, W], got shape {planar.shape}.")
    codes = np.rint(np.clip(np.moveaxis(planar, 0, -1), 0, 1) * 255).astype(np.uint8)
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(path, codes[..., 0] if codes.shape[-1] == 1 else codes)
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({error.strerror or error}).") from None


def read_arrays(path: str | Path) -> list[NDArray[np.float64]]:
    """Measured kernels or recorded paths from a file: .npy, .npz, .csv, .txt, grey pictures, and MATLAB's .mat.

    MATLAB stores columns first; arrays are turned so that rows are rows. Cell arrays give several.

    Raises
    ------
    PictureError
        The file cannot be read or holds no numbers.
    """
    path = Path(path)
    try:
        arrays = _read_arrays(path)
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{path}: cannot be read as an array of numbers ({error}).") from None
    if not arrays:
        raise PictureError(f"{path}: holds no array of numbers.")
    return arrays


def _read_arrays(path: Path) -> list[NDArray[np.float64]]:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return [np.load(path, allow_pickle=False).astype(np.float64)]
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return [archive[name].astype(np.float64) for name in archive.files]
    if suffix in (".csv", ".txt"):
        return [np.loadtxt(path, delimiter="," if suffix == ".csv" else None, ndmin=2)]
    if suffix == ".mat":
        return _read_matlab(path)
    if suffix in SUFFIXES:
        return [read_codes(path).astype(np.float64).mean(axis=-1)]
    raise PictureError(f"{path}: unknown format {suffix!r}.", fix="Known: .npy, .npz, .csv, .txt, .mat and pictures.")


def _read_matlab(path: Path) -> list[NDArray[np.float64]]:
    from scipy.io import loadmat

    try:
        variables = loadmat(path)
    except NotImplementedError:  # MATLAB 7.3 files are HDF5
        return _read_matlab_hdf5(path)
    found = []
    for name, value in variables.items():
        if not name.startswith("__"):
            cells = value.ravel() if value.dtype == object else [value]
            found += [np.asarray(c, np.float64) for c in cells]
    return found


def _read_matlab_hdf5(path: Path) -> list[NDArray[np.float64]]:
    from blursynth.errors import require

    h5py = require("h5py", extra="dev", purpose="reading MATLAB 7.3 files")
    found = []
    with h5py.File(path) as file:
        for name in file:
            if name.startswith("#"):
                continue
            data = file[name]
            if data.dtype == object or h5py.check_ref_dtype(data.dtype):
                found += [np.asarray(file[r], np.float64).T for r in np.asarray(data).ravel()]
            else:
                found.append(np.asarray(data, np.float64).T)
    return found


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
