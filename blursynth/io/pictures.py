"""Picture files in and out: the only place where channels come last and pixels are bytes."""

from __future__ import annotations

import errno
import hashlib
import logging
import stat
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError, PictureError
from blursynth.frame import Encoding, Frame, Intrinsics, check_values
from blursynth.io.containers import is_member, open_file
from blursynth.io.decoders import (
    LARGEST_DECODED_BYTES,
    PICTURE_SUFFIXES,
    PictureInfo,
    check_bytes,
    check_size,
    damaged,
    decoded_by_opencv,
    open_picture,
    pillow_bytes,
    quiet,
    reading,
    stated_gamma,
    top_code,
)
from blursynth.io.depth import DepthFormat, read_depth, read_labels
from blursynth.io.depth.maps import check_unit
from blursynth.io.folders import check_readable, expanded
from blursynth.io.hdr import light_info, transparent
from blursynth.io.hdr import read_light as _read_light_file

__all__ = [
    "ORIENTATION",
    "PICTURE_SUFFIXES",
    "SUFFIXES",
    "PictureInfo",
    "file_sha256",
    "read_frame",
    "read_header",
    "read_light",
    "read_pixels",
    "upright",
    "write_picture",
]

_LOG = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".pgm")
"""The endings of the formats that are written; those that are read are PICTURE_SUFFIXES."""

CONVERTED_BYTES = 2**22  # of a decoded picture at a time
ORIENTATION, _COPYRIGHT = 0x0112, 0x8298  # tags of EXIF


def read_header(path: str | Path, *, most_bytes: int = LARGEST_DECODED_BYTES) -> PictureInfo:
    """Read the header of a picture file and check that it can be used.

    Parameters
    ----------
    most_bytes
        Memory that decoding it may take.

    Raises
    ------
    PictureError
        It is missing, empty, no regular file, no picture, of a number format without a known white, larger than 400
        megapixels, or too large to be decoded in ``most_bytes``.
    MissingExtraError
        An .exr, .heic or raw file, and the package that reads it is not installed.
    """
    path = expanded(path)
    check_readable(path)
    light = light_info(path)
    if light is not None:
        check_size(path, light.height, light.width)
        check_bytes(path, light.decoded_bytes, most_bytes)
        return light
    with open_picture(path) as picture:
        return _info(picture, path, most_bytes)


def read_light(path: str | Path) -> NDArray[np.float32]:
    """The light of a Radiance .hdr, an .exr, a floating-point TIFF or a camera raw file, ``[H, W, 3]``.

    1 need not be white, except for raw files, where it is the white level of the sensor after subtraction of the black
    level and application of the camera's white balance.

    Raises
    ------
    PictureError
        Missing, damaged or transparent; NaN, infinite or more than a little negative light; or no file of light.
    MissingExtraError
        An .exr or a raw file, and the package that reads it is not installed.
    """
    path = expanded(path)
    info = read_header(path)
    if info.encoding is not Encoding.LINEAR:
        raise PictureError(
            "holds codes, not light.",
            fix="Use read_frame, with encoding='linear' if it has no response curve.",
            place=str(path),
        )
    return _read_light_file(path, info)


def read_pixels(path: str | Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The codes of a picture file, ``[H, W, 3]`` RGB, uint8 or uint16, turned as its EXIF orientation says.

    Gray becomes three equal channels; an alpha channel that is opaque everywhere is dropped; palettes, CMYK and other
    color spaces are converted to RGB; of animations and files of several pages the first picture is read. An embedded
    color profile is not applied (:func:`read_header` names it). Broken metadata is ignored.

    Raises
    ------
    PictureError
        Missing, empty, truncated, damaged, transparent, of a floating-point or 32-bit format, or larger than 400
        megapixels or 4 GiB of memory.
    MissingExtraError
        A .heic file, and the package pillow-heif is not installed.
    """
    path = expanded(path)
    check_readable(path)
    if light_info(path) is not None:
        raise PictureError("holds floating-point light, not codes.", fix="Read it with read_frame.", place=str(path))
    codes, orientation = _decoded(path)
    return np.ascontiguousarray(upright(codes, orientation))


def _decoded(path: Path) -> tuple[NDArray[Any], int]:
    """The codes as they are stored, and the EXIF orientation. What the decoder holds is free afterwards."""
    with open_picture(path) as picture:
        info = _info(picture, path)
        orientation = _orientation(picture)
        if picture.format == "PNG":
            _check_sums(path)  # Pillow skips the checksums of the pixels
        return _read_16_bit(path) if info.bit_depth == 16 else _read_8_bit(picture, path), orientation


def _read_8_bit(picture: Any, path: Path) -> NDArray[np.uint8]:
    """Converted some rows at a time: as a whole, Pillow would make two copies more."""
    try:
        picture.load()
        width, height = picture.size
        codes = np.empty((height, width, 3), np.uint8)
        alpha = picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info
        rows = max(1, CONVERTED_BYTES // (4 * width))
        for top in range(0, height, rows):
            part = picture.crop((0, top, width, min(top + rows, height)))
            if alpha:
                rgba = np.asarray(part.convert("RGBA"))
                if rgba[..., 3].min() < 255:
                    raise transparent(path)
                codes[top : top + rows] = rgba[..., :3]
            else:
                codes[top : top + rows] = np.asarray(part if part.mode == "RGB" else part.convert("RGB"))
        return codes
    except PictureError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(path, error) from None


def upright(codes: NDArray[Any], orientation: int) -> NDArray[Any]:
    """By the EXIF orientation: 2 to 4 mirror and turn by 180 degrees, 5 to 8 also swap rows and columns."""
    if orientation >= 5:
        codes = codes.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        codes = codes[::-1]
    if orientation in (2, 3, 6, 7):
        codes = codes[:, ::-1]
    return codes


def _info(picture: Any, path: Path, most_bytes: int = LARGEST_DECODED_BYTES) -> PictureInfo:
    width, height = picture.size
    mode = picture.mode
    top = top_code(picture)
    needed = pillow_bytes(picture, bytes_per_channel=2 if top == 65535 else 1)
    check_bytes(path, needed, most_bytes)
    if mode == "F" or (mode == "I" and top is None):
        sort = "floating-point numbers" if mode == "F" else "32-bit integers"  # floats of other formats than TIFF
        raise PictureError(
            f"holds {sort}, whose white is not known.",
            fix="Read it yourself and build a Frame with encoding='linear'.",
            place=str(path),
        )
    if top is not None and top > 255 and top != 65535:
        raise PictureError(
            f"has codes up to {top}.",
            why="Only files whose white is 255 or 65535 are read.",
            fix="Save it as 8-bit or 16-bit PNG.",
            place=str(path),
        )
    if _orientation(picture) >= 5:
        width, height = height, width
    profile = _profile_name(picture)
    if picture.format == "PNG" and not profile and (gamma := stated_gamma(path)) is not None:
        profile = f"gamma {gamma:.4g}"
    bits = 16 if top == 65535 else 8
    return PictureInfo(height, width, mode, bits, profile, _license(picture), decoded_bytes=needed)


def _exif(picture: Any) -> dict[int, Any]:
    """The EXIF tags that matter here; none where they are broken, which does not make the pixels unusable."""
    from PIL import Image

    try:
        with quiet():
            # Not the method of PNG files: it decodes the whole picture to find tags behind the pixels.
            tags = Image.Image.getexif(picture)
            return {tag: tags[tag] for tag in (ORIENTATION, _COPYRIGHT) if tag in tags}
    except Exception:
        return {}


def _orientation(picture: Any) -> int:
    if picture.format == "TIFF":
        return 1  # of TIFF files Pillow gives the upright size, and both decoders upright pixels
    try:
        orientation = int(_exif(picture).get(ORIENTATION, 1))
    except (TypeError, ValueError):
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _license(picture: Any) -> str:
    return str(_exif(picture).get(_COPYRIGHT, "")).strip("\0 ")


def _check_sums(path: Path) -> None:
    with reading(path), quiet(), open_picture(path) as picture:
        picture.verify()


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


def _read_16_bit(path: Path) -> NDArray[np.uint16]:
    picture = decoded_by_opencv(path)  # with alpha, and not turned
    if picture is None or picture.dtype != np.uint16 or picture.ndim not in (2, 3):
        raise PictureError(
            "is damaged, truncated, or of a 16-bit format that cannot be read.",
            fix="Save it as 16-bit PNG or TIFF.",
            place=str(path),
        )
    codes = np.asarray(picture, np.uint16)
    if codes.ndim == 2:
        return np.repeat(codes[..., None], 3, axis=2)
    if codes.shape[2] == 4 and codes[..., 3].min() < 65535:
        raise transparent(path)
    return codes[..., 2::-1]


def read_frame(
    path: str | Path | bytes | bytearray | memoryview | BinaryIO,
    *,
    encoding: Encoding | str | None = None,
    depth: str | Path | NDArray[Any] | None = None,
    labels: str | Path | NDArray[Any] | None = None,
    camera: Intrinsics | None = None,
    dtype: Any = np.float32,
) -> Frame:
    """Read a picture file as a frame: DISPLAY with codes divided by the top code, or LINEAR for the light of HDR files.

    Parameters
    ----------
    path
        An 8-bit or 16-bit picture; a Radiance .hdr, .exr or floating-point TIFF file, whose light is used unchanged
        (its white is arbitrary and values above 1 are common, so meter it before anything clips, see
        :class:`~blursynth.Meter`); or a camera raw file, whose light is 1 at the white level. Instead of a path, it can
        be the bytes of the file or a file opened in binary mode.
    encoding
        ``"linear"``: the codes are already linear light without a response curve, as in 16-bit files from raw
        converters. None: according to the file.
    depth
        Meters along the optical axis, ``[H, W]``, aligned with the picture: a file that :func:`blursynth.read_depth`
        can read without further options, or an array, such as ``read_depth("depth.png", meters_per_code=0.001)``.
    labels
        Which object each pixel shows, ``[H, W]``, 0 = none: a file for :func:`blursynth.read_labels`, or an array.
    camera
        The geometry of the camera that took the picture.
    dtype
        float32 or float64.

    Raises
    ------
    PictureError
        The picture, the depth or the labels cannot be used, or ``"display"`` was given for a file of linear light.
    MissingExtraError
        An .exr, .heic or raw file, and the package that reads it is not installed.
    """
    if not isinstance(path, str | Path):
        options = {"encoding": encoding, "depth": depth, "labels": labels, "camera": camera, "dtype": dtype}
        return _frame_of_bytes(path, options)
    path = expanded(path)
    info = read_header(path)
    wanted = _wanted_encoding(path, encoding, info)
    if info.icc_profile.startswith("gamma ") and info.encoding is Encoding.DISPLAY:
        _LOG.warning("%s: states %s for its codes; they are read as sRGB.", path, info.icc_profile)
    if info.encoding is Encoding.LINEAR:
        pixels: NDArray[Any] = read_light(path)
        image = np.moveaxis(pixels, -1, 0)[None]
    else:
        pixels = read_pixels(path)
        image = np.moveaxis(pixels, -1, 0)[None] / np.asarray(np.iinfo(pixels.dtype).max, dtype)
    size = pixels.shape[0], pixels.shape[1]
    meters = read_depth(depth, size_px=size) if isinstance(depth, str | Path) else _depth_array(depth)
    objects = read_labels(labels, size_px=size) if isinstance(labels, str | Path) else labels
    try:
        return Frame(
            np.ascontiguousarray(image, dtype),
            wanted,
            depth_m=None if meters is None else np.asarray(meters),
            labels=None if objects is None else np.asarray(objects),
            camera=() if camera is None else (camera,),
            source=(str(path),),
            license=(info.license,),
        )
    except InvalidValueError as error:
        raise error.at(str(path), PictureError) from None


def _frame_of_bytes(data: Any, options: dict[str, Any]) -> Frame:
    """The decoders read files, so the bytes become one: they then pass the same checks."""
    data = data.read() if hasattr(data, "read") else data
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidValueError(
            f"read_frame takes a path or the bytes of a picture file, got {type(data).__name__}.",
            fix="For pictures in memory, use Frame.from_uint8 or Frame.from_pil.",
        )
    with tempfile.TemporaryDirectory(prefix="blursynth-") as folder:
        path = Path(folder, "picture")
        path.write_bytes(data)
        try:
            frame = read_frame(path, **options)
        except PictureError as error:
            raise PictureError(error.what, why=error.why, fix=error.fix, place="The given bytes") from None
    return frame.with_image(frame.image, source=())


def _wanted_encoding(path: str | Path, encoding: Encoding | str | None, info: PictureInfo) -> Encoding:
    if encoding is None:
        return info.encoding
    if encoding not in (Encoding.DISPLAY, Encoding.LINEAR):
        raise InvalidValueError(
            f"encoding must be 'display', 'linear' or None, got {encoding!r}.",
            why="Picture files hold either display codes or light.",
        )
    if info.encoding is Encoding.LINEAR and encoding == Encoding.DISPLAY:
        raise PictureError("holds light, but encoding='display' was given.", fix="Leave encoding out.", place=str(path))
    return Encoding(encoding)


def _depth_array(depth: Any) -> NDArray[np.floating] | None:
    """Depth that was given as an array, with the checks that a file gets; the frame checks shape and sign."""
    if depth is None:
        return None
    meters = np.asarray(depth)
    if meters.dtype.kind not in "fiu":
        raise InvalidValueError(f"depth must be numbers in meters, got an array of {meters.dtype}.")
    meters = meters if meters.dtype.kind == "f" else meters.astype(np.float32)
    if meters.size and np.isfinite(meters).all() and meters.min() > 0:
        check_unit(meters, DepthFormat())
    return meters


def write_picture(path: str | Path, image: Any, *, bit_depth: int = 8) -> None:
    """Write a picture ``[C, H, W]``, ``[H, W]`` or a frame of one, values 0..1 in display encoding.

    Parameters
    ----------
    path
        The extension determines the format. JPEG is written with quality 95 and full chroma resolution.
    image
        1 or 3 channels, floating-point; values outside 0..1 are clipped. Arrays of codes (0..255) are refused, since
        they would become white.
    bit_depth
        8, or 16 for PNG and TIFF.

    Raises
    ------
    InvalidValueError
        The bit depth is not supported by the format, the frame is linear or raw, there is more than one picture, or
        values are not finite.
    PictureError
        The file cannot be written.
    """
    from PIL import Image

    of_frame = isinstance(image, Frame)
    if isinstance(image, Frame):
        if image.encoding is not Encoding.DISPLAY or len(image) != 1:
            raise InvalidValueError(
                f"write_picture takes one display frame, got {image!r}.", fix="Encode it first, or take frame[0]."
            )
        image = image.image[0]
    planar = np.asarray(image)
    if planar.ndim == 2:
        planar = planar[None]
    if planar.dtype.kind != "f":
        raise InvalidValueError(
            f"write_picture takes floating-point values 0..1, got {planar.dtype}.", fix="Divide codes by white."
        )
    if planar.ndim != 3 or planar.shape[0] not in (1, 3) or planar.size == 0 or not np.isfinite(planar).all():
        raise InvalidValueError(
            f"write_picture takes finite values [C, H, W] with 1 or 3 channels, got shape {planar.shape}"
            f"{'' if np.isfinite(planar).all() else ' with NaN or infinite values'}.",
            fix="Channels come first: np.moveaxis(image, -1, 0).",
        )
    if not of_frame and planar.min() >= 0 and planar.max() > 2:  # noise, on both sides, is clipped
        check_values(planar, Encoding.DISPLAY, name="write_picture: the picture")
    path = expanded(path)
    if bit_depth not in (8, 16) or (bit_depth == 16 and path.suffix.lower() not in (".png", ".tif", ".tiff")):
        raise InvalidValueError(
            f"bit_depth must be 8, or 16 for .png and .tif, got {bit_depth!r} for {path.name}.",
            fix="Write a PNG, or leave bit_depth out.",
        )
    top, kind = (255, np.uint8) if bit_depth == 8 else (65535, np.uint16)
    codes = np.rint(np.clip(np.moveaxis(planar, 0, -1), 0, 1) * top).astype(kind)
    if path.suffix.lower() not in SUFFIXES:
        raise PictureError(
            f"pictures cannot be written in the format {path.suffix!r}.",
            fix=f"Known: {', '.join(SUFFIXES)}.",
            place=str(path),
        )
    jpeg = path.suffix.lower() in (".jpg", ".jpeg", ".jpe", ".jfif")
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if jpeg else {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if bit_depth == 16:  # Pillow writes no colors of 16 bits
            import cv2

            _, data = cv2.imencode(path.suffix.lower(), codes[..., ::-1])
            path.write_bytes(data.tobytes())
        else:
            Image.fromarray(codes[..., 0] if codes.shape[-1] == 1 else codes).save(path, **options)
    except (NotADirectoryError, FileExistsError):
        raise PictureError(
            "cannot be written (a part of the path is a file).", fix="Check the path.", place=str(path)
        ) from None
    except OSError as error:
        raise PictureError(f"cannot be written ({error.strerror or error}).", place=str(path)) from None


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes; OSError where it is not a regular file, since a device never ends."""
    path = expanded(path)
    # Checked before it is opened: a pipe waits for its writer.
    if not is_member(path) and not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(path))
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
