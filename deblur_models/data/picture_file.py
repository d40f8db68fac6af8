"""Picture files whose bit depth, gray channel, transparency, EXIF tags and color profile are preserved."""

from __future__ import annotations

import logging
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from blursynth.errors import PictureError
from blursynth.frame import Encoding
from blursynth.io.atomic import write_atomically
from blursynth.io.decoders import damaged, decoded_by_opencv, open_picture, quiet
from blursynth.io.folders import expanded
from blursynth.io.pictures import ORIENTATION, SUFFIXES, read_header, read_pixels, upright
from deblur_models.data.collate import values_of

__all__ = ["PictureFile", "read_picture", "written_suffix"]

_LOG = logging.getLogger(__name__)

# Modes of Pillow that are converted: name, and result.
_CONVERTED = {
    "CMYK": ("CMYK", "RGB, without its color profile"),
    "LAB": ("Lab", "RGB, without its color profile"),
    "P": ("a picture with a palette", "one with 8 bits per channel"),
    "PA": ("a picture with a palette", "one with 8 bits per channel"),
    "1": ("a 1-bit picture", "8-bit gray"),
}
# TIFF tags that describe the storage of pixels, which a new file has itself.
_LAYOUT = {
    *range(0x00FE, 0x0108), 0x0111, *range(0x0115, 0x011A), 0x011C, 0x013D, 0x0140, *range(0x0142, 0x0146), 0x0152,
    0x0153, 0x0154, 0x0155, 0x015B, *range(0x0200, 0x0210), 0x0211, 0x0212, 0x0213, 0x0214, 0x02BC, 0x8773,
}  # fmt: skip

_STRIP_BYTES = 1 << 18


@dataclass(frozen=True, eq=False)
class PictureFile:
    """A picture with everything that restoration must preserve.

    ``codes`` are ``[H, W, 3]``, uint8 or uint16, upright; ``alpha`` is ``[H, W]`` of the same dtype, or None. ``gray``:
    the file has one channel. ``exif``: its tags as bytes, with the orientation of upright pixels.
    """

    path: Path
    codes: NDArray[Any]
    alpha: NDArray[Any] | None = None
    gray: bool = False
    exif: bytes = b""
    icc_profile: bytes = b""
    dpi: tuple[float, float] | None = None

    @property
    def size_px(self) -> tuple[int, int]:
        return self.codes.shape[0], self.codes.shape[1]

    def tensor(self) -> Tensor:
        """``[1, 3, H, W]`` float32 in 0..1."""
        return values_of(self.codes, "cpu")[None].contiguous()

    def encoded(self, restored: Tensor, suffix: str) -> bytes:
        """The bytes of a file of this format with restored pixels and everything else unchanged.

        JPEG and WebP are written with quality 95, and JPEG with full chroma. Transparency is unchanged; gray pictures
        become the mean of the three restored channels. BMP, PPM and PGM do not support metadata, which is logged.
        """
        values = restored[0].detach().float().cpu().numpy()
        if not np.isfinite(values).all():
            raise PictureError(
                f"{self.path}: the restored picture contains NaN or infinite values.",
                fix="Use full precision (float32), or another checkpoint.",
            )
        kind = self.codes.dtype
        if self.gray:
            values = values.mean(axis=0, keepdims=True)
        codes = np.rint(np.clip(np.moveaxis(values, 0, -1), 0, 1) * np.iinfo(kind).max).astype(kind)
        if self.alpha is not None:
            if self.gray and kind == np.uint16:  # no 16-bit format here supports gray with alpha
                codes = np.repeat(codes, 3, axis=2)
            codes = np.concatenate([codes, self.alpha[..., None]], axis=2)
        try:
            return self._of_16_bits(codes, suffix) if kind == np.uint16 else self._of_8_bits(codes, suffix)
        except (OSError, ValueError) as error:
            raise PictureError(f"{self.path}: cannot be written as {suffix} ({error}).") from None

    def _of_8_bits(self, codes: NDArray[Any], suffix: str) -> bytes:
        from PIL import Image

        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[codes.shape[2]]
        picture = Image.fromarray(codes[..., 0] if mode == "L" else np.ascontiguousarray(codes), mode=None)
        options: dict[str, Any] = {}
        sort = {".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".tif": "TIFF", ".tiff": "TIFF",
                ".webp": "WEBP", ".png": "PNG", ".bmp": "BMP", ".ppm": "PPM", ".pgm": "PPM"}[suffix]  # fmt: skip
        if sort in ("JPEG", "WEBP"):
            options["quality"] = 95
        if sort == "JPEG":
            options["subsampling"] = 0
        if sort in ("JPEG", "PNG", "TIFF", "WEBP"):
            if self.exif:
                options["exif"] = self.exif
            if self.icc_profile:
                options["icc_profile"] = self.icc_profile
            if self.dpi and sort != "WEBP":
                options["dpi"] = self.dpi
        elif self.exif or self.icc_profile:
            _LOG.warning("%s: %s does not support metadata, which is dropped", self.path, suffix)
        file = BytesIO()
        picture.save(file, sort, **options)
        return file.getvalue()

    def _of_16_bits(self, codes: NDArray[Any], suffix: str) -> bytes:
        import cv2

        if suffix in (".tif", ".tiff"):
            return self._tiff_of_16_bits(codes)
        order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[codes.shape[2]]
        found, data = cv2.imencode(suffix, np.ascontiguousarray(codes[..., order]))
        if not found:
            raise ValueError("OpenCV cannot write it")
        if suffix == ".png":
            return self._with_chunks(data.tobytes())
        if self.exif or self.icc_profile:
            _LOG.warning("%s: %s does not support metadata, which is dropped", self.path, suffix)
        return bytes(data.tobytes())

    def _tiff_of_16_bits(self, codes: NDArray[Any]) -> bytes:
        """Tags and compressed strips of rows: an EXIF block is a TIFF file without pixels, to which they are added.

        Differences of neighbors (predictor 2) are compressed losslessly with Deflate.
        """
        from PIL import Image
        from PIL.ExifTags import Base

        tags = Image.Exif()
        tags.endian = "<"
        if self.exif:
            tags.load(self.exif)  # with the byte order of its values
        height, width, channels = codes.shape
        steps = np.diff(codes, axis=1, prepend=codes.dtype.type(0)).astype(">u2" if tags.endian == ">" else "<u2")
        rows = min(height, max(1, _STRIP_BYTES // (2 * width * channels)))
        strips = [zlib.compress(steps[row : row + rows].tobytes()) for row in range(0, height, rows)]
        tags[Base.ImageWidth], tags[Base.ImageLength] = width, height
        tags[Base.BitsPerSample] = (16,) * channels
        tags[Base.Compression], tags[Base.Predictor] = 8, 2
        tags[Base.PhotometricInterpretation] = 1 if channels == 1 else 2
        tags[Base.SamplesPerPixel], tags[Base.PlanarConfiguration] = channels, 1
        tags[Base.RowsPerStrip] = rows
        sizes = [len(strip) for strip in strips]
        # From the end of the tags, where Pillow puts them.
        tags[Base.StripOffsets] = tuple(int(start) for start in np.cumsum([0, *sizes[:-1]]))
        tags[Base.StripByteCounts] = tuple(sizes)
        if channels == 4:
            tags[Base.ExtraSamples] = 2  # unassociated (not premultiplied) alpha
        if self.icc_profile:
            tags[Base.InterColorProfile] = self.icc_profile
        if self.dpi:
            tags[Base.XResolution], tags[Base.YResolution] = self.dpi
            tags[Base.ResolutionUnit] = 2
        return tags.tobytes().removeprefix(b"Exif\0\0") + b"".join(strips)

    def _with_chunks(self, png: bytes) -> bytes:
        """Insert the metadata after a PNG's header, since no available library writes it with 16-bit colors."""
        chunks = b""
        if self.icc_profile:
            chunks += _chunk(b"iCCP", b"icc\0\0" + zlib.compress(self.icc_profile))
        if self.dpi:
            across, down = (round(value / 0.0254) for value in self.dpi)
            chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
        if self.exif:
            chunks += _chunk(b"eXIf", self.exif.removeprefix(b"Exif\0\0"))
        header = 8 + 4 + 4 + 13 + 4  # signature, and the chunk IHDR with its 13 bytes
        return png[:header] + chunks + png[header:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def written_suffix(path: Path) -> str:
    """The format in which a restored picture is written: that of its file, or PNG if it cannot be written."""
    suffix = path.suffix.lower()
    return suffix if suffix in SUFFIXES else ".png"


def read_picture(path: str | Path) -> PictureFile:
    """Read an 8- or 16-bit file with transparency and metadata; pixels are those of
    :func:`blursynth.io.pictures.read_pixels`.

    For animations and files with several pages, the first picture is read. CMYK, Lab and palettes are converted to RGB,
    and 1-bit pictures to gray. Both are logged. Unreadable EXIF tags, and color profiles of CMYK pictures, which become
    RGB, are dropped. Files that hold light instead of codes are rejected.
    """
    path = expanded(path)
    info = read_header(path)
    if info.encoding is Encoding.LINEAR:
        raise PictureError(
            f"{path}: holds light as floating-point values, but networks restore encoded pictures.",
            fix="Develop it to a 16-bit PNG or TIFF first.",
        )
    with open_picture(path) as picture:
        bands = picture.getbands()
        transparent = bands[-1] in ("A", "a") or "transparency" in picture.info
        orientation, exif = _exif(picture, path)
        if _has_several(path):
            _LOG.warning("%s: contains several pictures; the first one is restored", path)
        if picture.mode in _CONVERTED:
            _LOG.warning("%s: is %s and is converted to %s", path, *_CONVERTED[picture.mode])
        profile = b"" if picture.mode in ("CMYK", "LAB", "YCbCr") else picture.info.get("icc_profile") or b""
        dpi = picture.info.get("dpi")
        codes: NDArray[Any]
        if not transparent:
            codes, alpha = read_pixels(path), None
        else:
            deep = _deep_with_alpha(path) if info.bit_depth == 16 else None
            try:
                four = upright(np.asarray(picture.convert("RGBA")) if deep is None else deep, orientation)
            except (OSError, SyntaxError, ValueError) as error:
                raise damaged(path, error) from None
            codes, alpha = np.ascontiguousarray(four[..., :3]), np.ascontiguousarray(four[..., 3])
            if alpha.min() == np.iinfo(alpha.dtype).max and "transparency" in picture.info:
                alpha = None  # a color is declared transparent, but no pixel has it
    gray = info.mode in ("1", "L", "LA", "La", "I") or info.mode.startswith("I;16")
    plain = dpi is not None and all(np.isfinite(float(v)) and 0 < float(v) < 1e6 for v in dpi)
    return PictureFile(
        path, codes, alpha, gray, exif, profile, (float(dpi[0]), float(dpi[1])) if dpi is not None and plain else None
    )


def _has_several(path: Path) -> bool:
    """Whether there is a second picture; counting them would take quadratic time."""
    try:
        with quiet(), open_picture(path) as picture:
            picture.seek(1)
    except Exception:  # there is none, or it cannot be read
        return False
    return True


def _exif(picture: Any, path: Path) -> tuple[int, bytes]:
    try:
        with quiet():
            tags = picture.getexif()
        if not tags:
            return 1, b""
        orientation = tags.get(ORIENTATION, 1)
        if ORIENTATION in tags:
            tags[ORIENTATION] = 1
        for tag in _LAYOUT & set(tags):
            del tags[tag]
        written = tags.tobytes() if len(tags) else b""
    except Exception as error:  # Pillow's errors on broken tags are not documented
        _LOG.warning("%s: its EXIF tags are broken and are dropped (%s)", path, error)
        return 1, b""
    # Both decoders of TIFF files give upright pixels.
    upright = picture.format == "TIFF" or orientation not in range(1, 9)
    return (1 if upright else int(orientation)), written


def _deep_with_alpha(path: Path) -> NDArray[Any] | None:
    """16-bit RGBA; None if OpenCV finds no alpha, as for a palette."""
    picture = decoded_by_opencv(path)
    if picture is None:
        raise PictureError(f"{path}: is damaged, cut off, or in a 16-bit format that cannot be read.")
    if picture.ndim != 3 or picture.shape[2] != 4 or picture.dtype != np.uint16:
        return None
    return np.asarray(picture[..., [2, 1, 0, 3]])


def write_whole(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({error.strerror or error}).") from None
