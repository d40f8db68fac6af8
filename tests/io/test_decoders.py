"""Formats that are read, decoders that may open them, and memory that is counted before it is taken."""

from __future__ import annotations

import io
import logging
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageFile

import blursynth as bs
from blursynth.backends import cores
from blursynth.dataset import scan_sources
from blursynth.errors import MissingExtraError, PictureError
from blursynth.io import decoders
from blursynth.io.arrays import read_arrays
from blursynth.io.decoders import CODE_SUFFIXES, PICTURE_SUFFIXES, RAW_SUFFIXES
from blursynth.io.depth import read_depth, read_labels
from blursynth.io.pictures import SUFFIXES, read_header, read_light, read_pixels

ROWS, COLUMNS = np.mgrid[:48, :64]
GREY = (128 + 60 * np.sin(COLUMNS / 7) + 50 * np.cos(ROWS / 5)).astype(np.uint8)
RGB = np.stack([GREY, 255 - GREY, (COLUMNS * 3).astype(np.uint8)], axis=-1)
RGB16 = RGB.astype(np.uint16) * 257 + 3
RGB16[RGB == 255] = 65535


def saved(form: str, picture: np.ndarray = RGB, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *, bits: int = 8, colors: int = 2, more: bytes = b"") -> bytes:
    """A PNG that says so large a picture and holds none."""
    head = struct.pack(">IIBBBBB", width, height, bits, colors, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


LOSSLESS = {
    "a.gif": lambda: saved("GIF", GREY), "a.tga": lambda: saved("TGA"), "a.jp2": lambda: saved("JPEG2000"),
    "a.j2k": lambda: saved("JPEG2000", no_jp2=True), "a.pnm": lambda: saved("PPM"), "a.bmp": lambda: saved("BMP"),
    "rle.tga": lambda: saved("TGA", compression="tga_rle"),
}  # fmt: skip
LOSSY = {
    "a.jpe": lambda: saved("JPEG", quality=95), "a.JFIF": lambda: saved("JPEG", quality=95),
    "a.avif": lambda: saved("AVIF", quality=95),
}  # fmt: skip


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_formats_that_folders_hold(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes({**LOSSLESS, **LOSSY}[name]())
    info = read_header(tmp_path / name)
    assert (info.height, info.width, info.bit_depth) == (48, 64, 8)
    codes = read_pixels(tmp_path / name)
    assert codes.dtype == np.uint8
    expected = np.repeat(GREY[..., None], 3, axis=2) if name.endswith("gif") else RGB
    assert np.abs(codes.astype(int) - expected).mean() < (5 if name in LOSSY else 0.01)
    assert [s.name for s in scan_sources(tmp_path).usable] == [name], "found in a folder too"


def test_every_format_that_is_written_is_read() -> None:
    assert set(SUFFIXES) <= set(CODE_SUFFIXES) <= set(PICTURE_SUFFIXES)
    assert len(set(PICTURE_SUFFIXES)) == len(PICTURE_SUFFIXES)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_heic(orientation: int, tmp_path: Path) -> None:
    library = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x8298] = "Jane Doe"
    picture = library.from_pillow(Image.fromarray(RGB))
    picture.save(tmp_path / "a.heic", quality=95, exif=exif.tobytes())
    codes = read_pixels(tmp_path / "a.heic")
    upright = {1: RGB, 3: RGB[::-1, ::-1], 6: RGB.swapaxes(0, 1)[:, ::-1]}[orientation]
    assert codes.shape == upright.shape
    assert np.abs(codes.astype(int) - upright).mean() < 6
    info = read_header(tmp_path / "a.heic")
    assert (info.height, info.width, info.license) == (*upright.shape[:2], "Jane Doe")


def test_a_missing_package_skips_its_files_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(
        MissingExtraError, match=r"reading a\.heic, like all HEIC files, needs the package 'pillow_heif'"
    ):
        read_header(tmp_path / "a.heic")
    with pytest.raises(MissingExtraError):
        scan_sources(tmp_path)
    (tmp_path / "b.png").write_bytes(saved("PNG"))
    scan = scan_sources(tmp_path)
    assert [s.name for s in scan.usable] == ["b.png"]
    assert "extra 'heif'" in scan.skipped[0].why


def test_sixteen_bits_of_jpeg_2000(tmp_path: Path) -> None:
    for name, codes in (("gray.jp2", RGB16[..., 0]), ("rgb.jp2", RGB16)):
        order = codes[..., ::-1] if codes.ndim == 3 else codes
        lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
        (tmp_path / name).write_bytes(cv2.imencode(".jp2", order, lossless)[1].tobytes())
        assert read_header(tmp_path / name).bit_depth == 16
        found = read_pixels(tmp_path / name)
        assert found.dtype == np.uint16
        expected = np.repeat(codes[..., None], 3, axis=2) if codes.ndim == 2 else codes
        assert np.abs(found.astype(int) - expected).max() <= 64


def test_other_depths_of_jpeg_2000_are_refused_by_their_white(tmp_path: Path) -> None:
    data = bytearray(saved("JPEG2000", no_jp2=True))
    at = data.index(b"\xff\x4f\xff\x51") + 42  # Ssiz, behind two markers, two short numbers, eight long ones and Csiz
    assert data[at] == 7
    data[at] = 11
    (tmp_path / "a.j2k").write_bytes(bytes(data))
    with pytest.raises(PictureError, match="has codes up to 4095"):
        read_header(tmp_path / "a.j2k")


def test_five_bits_per_channel_are_no_sixteen(tmp_path: Path) -> None:
    """A bitmap of 16 bits per pixel: codes of 8 bits, and not of a 16-bit format."""
    width, height = 4, 2
    pixels = struct.pack("<4H", 0b0_11111_00000_00000, 0, 0b0_00000_11111_00000, 0b0_00000_00000_11111) * height
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 16, 0, len(pixels), 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54) + head + pixels)
    codes = read_pixels(tmp_path / "a.bmp")
    assert codes[0].tolist() == [[255, 0, 0], [0, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_postscript_is_not_run_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands it to Ghostscript, a programming language."""

    def run(*arguments: object, **options: object) -> None:
        raise AssertionError("another program was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    monkeypatch.setattr(subprocess, "Popen", run)
    text = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\nshowpage\n%%EOF\n"
    for name in ("photo.jpg", "photo.tga"):
        (tmp_path / name).write_bytes(text)
        for read in (read_header, read_pixels, bs.read_frame):
            with pytest.raises(PictureError, match="is not a picture that can be read"):
                read(tmp_path / name)
    (tmp_path / "map.png").write_bytes(text)
    for read_map in (read_depth, read_labels):
        with pytest.raises(PictureError, match="is not a picture that can be read"):
            read_map(tmp_path / "map.png")
    (tmp_path / "good.png").write_bytes(saved("PNG"))
    scan = scan_sources(tmp_path)
    assert [s.name for s in scan.usable] == ["good.png"], "the scan goes on"
    assert "photo.jpg" in {s.name for s in scan.skipped}


@pytest.mark.parametrize("form", ["PCX", "ICO", "SGI", "MSP", "SPIDER"])
def test_only_documented_formats_are_opened(form: str, tmp_path: Path) -> None:
    picture = Image.fromarray(GREY[:32, :32])
    picture = picture.convert("1") if form == "MSP" else picture.convert("F") if form == "SPIDER" else picture
    picture.save(tmp_path / "a.other", form)  # SPIDER takes the ending of what it saved for its own from then on
    (tmp_path / "a.other").rename(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.format == form, "Pillow would"
    with pytest.raises(PictureError, match="is not a picture that can be read"):
        read_pixels(tmp_path / "a.png")


def test_small_files_of_huge_pictures_are_skipped_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 x 20,000 bits are 50 kB in a file and 4.4 GB on the way to codes of three channels."""
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    (tmp_path / "bits.png").write_bytes(png(20_000, 20_000, bits=1, colors=0))
    (tmp_path / "deep.png").write_bytes(png(20_000, 19_999, bits=16, colors=6))
    for name, needed in (("bits.png", "4.4"), ("deep.png", "8.0")):
        with pytest.raises(PictureError, match=f"{name}: needs {needed} GB of memory for decoding, more than 4.3 GB"):
            read_header(tmp_path / name)
    monkeypatch.undo()
    (tmp_path / "good.png").write_bytes(saved("PNG"))
    scan = scan_sources(tmp_path)
    assert [s.name for s in scan.usable] == ["good.png"]
    assert {s.name: s.why[:9] for s in scan.skipped} == {"bits.png": "needs 4.4", "deep.png": "needs 8.0"}


def test_workers_share_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine of 4 GB each of 8 workers may take 256 MB: 10 bytes of each of 26 million pixels."""
    sysconf = {"SC_PHYS_PAGES": 2**20, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", lambda name: sysconf[name])
    (tmp_path / "large.png").write_bytes(png(5200, 5200))
    (tmp_path / "good.png").write_bytes(saved("PNG"))
    why = {w: scan_sources(tmp_path, workers=w).skipped[0].why for w in (1, 8)}
    assert "damaged or truncated" in why[1], "small enough to be decoded"
    assert why[8] == "needs 0.3 GB of memory for decoding, more than 0.3 GB"
    sysconf["SC_PHYS_PAGES"] *= 4
    (tmp_path / "limit").write_text(f"{2**32}\n")
    monkeypatch.setattr(cores, "_CONTAINER_MEMORY", (str(tmp_path / "none"), str(tmp_path / "limit")))
    assert scan_sources([tmp_path / "large.png", tmp_path / "good.png"], workers=8).skipped[0].why == why[8]


def test_maps_are_bounded_too(tmp_path: Path) -> None:
    (tmp_path / "d.png").write_bytes(png(20_000, 20_000, bits=1, colors=0))
    with pytest.raises(PictureError, match="GB of memory"):
        read_depth(tmp_path / "d.png", meters_per_code=1)
    with pytest.raises(PictureError, match="GB of memory"):
        read_labels(tmp_path / "d.png")
    with io.BytesIO() as body, zipfile.ZipFile(tmp_path / "d.npz", "w", 8) as archive:
        np.lib.format.write_array_header_1_0(body, {"descr": "<f4", "fortran_order": False, "shape": (40_000, 40_000)})
        archive.writestr("depth.npy", body.getvalue())
        archive.infolist()[0].file_size = 6_400_000_128  # as a file that holds these zeros would say
    for read in (read_depth, read_arrays):
        with pytest.raises(PictureError, match=r"needs 6\.4 GB of memory"):
            read(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("chunks", "stated"),
    [
        ([(b"gAMA", 100_000)], "gamma 1"),
        ([(b"gAMA", 55_556)], "gamma 1.8"),
        ([(b"gAMA", 45_455)], ""),
        ([(b"sRGB", None), (b"gAMA", 100_000)], ""),
        ([], ""),
    ],
)
def test_a_gamma_in_a_png_is_told(
    chunks: list[tuple[bytes, int | None]], stated: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = saved("PNG")
    more = b"".join(chunk(kind, b"\0" if value is None else struct.pack(">I", value)) for kind, value in chunks)
    (tmp_path / "a.png").write_bytes(data[:33] + more + data[33:])
    assert read_header(tmp_path / "a.png").icc_profile == stated
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(read_pixels(tmp_path / "a.png"), RGB)
        bs.read_frame(tmp_path / "a.png")
    assert bool(caplog.records) is bool(stated)
    scan = scan_sources(tmp_path)
    notes = (
        f"1 of 1 pictures (a.png) states a color profile or gamma other than sRGB ('{stated}'), which is not applied."
    )
    assert scan.notes == ((notes,) if stated else ())


# --- raw files: a DNG is a TIFF whose picture is the sensor's numbers -------------------------------------------------

BLACK, WHITE = 256, 4095
XYZ_TO_RGB = np.linalg.inv(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)


def dng(numbers: np.ndarray, neutral: tuple[float, float, float], *, orientation: int = 1) -> bytes:
    """A DNG of 16 bits, RGGB, from a camera whose colors are those of sRGB; ``neutral`` is what gray looks like."""
    height, width = numbers.shape

    def rationals(values: Any) -> bytes:
        return b"".join(struct.pack("<ii", round(float(v) * 10_000), 10_000) for v in values)

    short, long, ascii_, byte, unsigned, signed = 3, 4, 2, 1, 5, 10
    tags: list[tuple[int, int, int, bytes]] = [
        (254, long, 1, struct.pack("<I", 0)), (256, long, 1, struct.pack("<I", width)),
        (257, long, 1, struct.pack("<I", height)), (258, short, 1, struct.pack("<H", 16)),
        (259, short, 1, struct.pack("<H", 1)), (262, short, 1, struct.pack("<H", 32803)),
        (271, ascii_, 5, b"Test\0"), (272, ascii_, 5, b"Test\0"), (273, long, 1, b"STRP"),
        (274, short, 1, struct.pack("<H", orientation)), (277, short, 1, struct.pack("<H", 1)),
        (278, long, 1, struct.pack("<I", height)), (279, long, 1, struct.pack("<I", 2 * numbers.size)),
        (33421, short, 2, struct.pack("<HH", 2, 2)), (33422, byte, 4, bytes([0, 1, 1, 2])),
        (33432, ascii_, 9, b"Jane Doe\0"), (50706, byte, 4, bytes([1, 4, 0, 0])),
        (50708, ascii_, 5, b"Test\0"), (50714, short, 1, struct.pack("<H", BLACK)),
        (50717, long, 1, struct.pack("<I", WHITE)), (50721, signed, 9, rationals(XYZ_TO_RGB.ravel())),
        (50728, unsigned, 3, rationals(neutral)), (50778, short, 1, struct.pack("<H", 21)),
    ]  # fmt: skip
    after = 8 + 2 + 12 * len(tags) + 4
    entries, more = b"", b""
    strip = after + sum(len(data) + len(data) % 2 for _, _, _, data in tags if len(data) > 4)
    for tag, kind, count, data in tags:
        if data == b"STRP":
            data = struct.pack("<I", strip)
        if len(data) > 4:
            value = struct.pack("<I", after + len(more))
            more += data + b"\0" * (len(data) % 2)
        else:
            value = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + value
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return head + more + numbers.astype("<u2").tobytes()


def mosaic(light: np.ndarray, neutral: tuple[float, float, float]) -> np.ndarray:
    """What the sensor counts of light ``[H, W, 3]``: filtered, on top of its black level."""
    height, width = light.shape[:2]
    channel = np.empty((height, width), int)
    channel[::2, ::2], channel[::2, 1::2], channel[1::2, ::2], channel[1::2, 1::2] = 0, 1, 1, 2
    seen = np.take_along_axis(light * neutral, channel[..., None], axis=2)[..., 0]
    return np.rint(BLACK + seen * (WHITE - BLACK)).astype(np.uint16)


NEUTRAL = (0.5, 1.0, 0.7)


def test_raw_files_are_light(tmp_path: Path) -> None:
    """Patches of known light come out as that light: black level, white level and balance are undone, and no more."""
    pytest.importorskip("rawpy")
    light = np.zeros((64, 96, 3))
    patches = [(0.02, 0.02, 0.02), (0.18, 0.18, 0.18), (0.5, 0.5, 0.5), (0.4, 0.2, 0.1), (0.1, 0.3, 0.6), (0, 0, 0)]
    for number, patch in enumerate(patches):
        light[:, 16 * number : 16 * number + 16] = patch
    (tmp_path / "a.dng").write_bytes(dng(mosaic(light, NEUTRAL), NEUTRAL))
    info = read_header(tmp_path / "a.dng")
    assert (info.height, info.width, info.encoding, info.license) == (64, 96, bs.Encoding.LINEAR, "Jane Doe")
    found = read_light(tmp_path / "a.dng")
    assert found.dtype == np.float32
    for number, patch in enumerate(patches):
        middle = found[8:-8, 16 * number + 5 : 16 * number + 11].mean(axis=(0, 1))
        assert np.allclose(middle, patch, atol=0.004), (patch, middle)
    assert bs.read_frame(tmp_path / "a.dng").encoding is bs.Encoding.LINEAR
    (source,) = scan_sources(tmp_path).usable
    assert (source.name, source.encoding, source.bit_depth) == ("a.dng", "linear", 32)


def test_raw_files_are_turned_upright(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    light = np.full((48, 80, 3), 0.1)
    light[:16, :16] = 0.6
    (tmp_path / "a.dng").write_bytes(dng(mosaic(light, NEUTRAL), NEUTRAL, orientation=6))
    info = read_header(tmp_path / "a.dng")
    found = read_light(tmp_path / "a.dng")
    assert found.shape == (info.height, info.width, 3) == (80, 48, 3)
    assert found[4:12, -12:-4].mean() > 0.5, "its top left corner stands at the top right"


def test_broken_raw_files_and_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rawpy")
    whole = dng(mosaic(np.full((48, 64, 3), 0.2), NEUTRAL), NEUTRAL)
    (tmp_path / "cut.dng").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.nef").write_bytes(b"this is not a picture")
    for name in ("cut.dng", "text.nef"):
        with pytest.raises(PictureError, match=f"{name}: is damaged or truncated"):
            read_light(tmp_path / name)
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(MissingExtraError, match=r"extra 'raw'"):
        read_header(tmp_path / "cut.dng")


def test_raw_files_are_not_taken_for_their_preview(tmp_path: Path) -> None:
    """Most raw files begin as TIFF, and hold a small picture as the first."""
    assert {".dng", ".cr2", ".cr3", ".nef", ".arw"} <= set(RAW_SUFFIXES)
    assert not set(RAW_SUFFIXES) & set(decoders.CODE_SUFFIXES)
