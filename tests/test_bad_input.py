"""What people hand over that is broken, and the message that each gets; never a traceback.

Everything goes through the command line, as a user meets it. Exit code 2 and one message on the error output; nothing
on the standard output; nothing is written.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from blursynth.cli.app import app
from blursynth.io.pictures import read_pixels

ROWS, COLUMNS = np.mgrid[:80, :96]
GREY = (128 + 60 * np.sin(COLUMNS / 7) + 50 * np.cos(ROWS / 5)).astype(np.uint8)
RGB = np.stack([GREY, 255 - GREY, (COLUMNS * 2).astype(np.uint8)], axis=-1)
GREY16, RGB16 = GREY.astype(np.uint16) * 257, RGB.astype(np.uint16) * 257
OPAQUE, GLASS = np.full_like(GREY, 255), GREY


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="blursynth")


def fails(result: Result, message: str, code: int = 2) -> None:
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    assert message in result.stderr, result.stderr
    assert "Traceback" not in result.output
    assert "bug in blursynth" not in result.output
    assert result.stderr.startswith(("Error: ", "Usage: "))


def saved(picture: np.ndarray | Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(buffer, form, **options)
    return buffer.getvalue()


def sixteen(ending: str, codes: np.ndarray) -> bytes:
    order = codes[..., [2, 1, 0, 3][: codes.shape[2]]] if codes.ndim == 3 else codes
    return cv2.imencode(ending, order)[1].tobytes()


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def broken_exif() -> bytes:
    data = exif(6).tobytes()
    return data[:12] + b"\xff" * (len(data) - 12)


NO_PICTURE = "is not a picture that can be read. Supported are 8-bit and 16-bit files in the formats png, jpg"
CUT = "is damaged or truncated ("
GLASSY = "has transparent pixels. Transparent pixels have no light that could be blurred"
TOO_SMALL = "(width x height) is smaller than the crops of 48 px. Give a smaller --size."

# name of the file: (its bytes, the message)
BROKEN_PICTURES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", "is empty (0 bytes). Copy it again from the original, or leave it out."),
    "text.png": (lambda: b"this is not a picture\n", NO_PICTURE),
    "vector.png": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", NO_PICTURE),
    "junk.tif": (lambda: b"II*\0\x08\0\0\0" + b"\xff" * 50, NO_PICTURE),
    "cut.jpg": (lambda: saved(RGB, "JPEG")[:900], CUT),
    "cut_in_the_header.jpg": (lambda: saved(RGB, "JPEG")[:100], CUT),
    "last_bytes_missing.jpg": (lambda: saved(RGB, "JPEG")[:-20], CUT),
    "cut.png": (lambda: saved(RGB, "PNG")[:900], CUT),
    "one_bit_flipped.png": (lambda: flipped(saved(RGB, "PNG"), 300), CUT),
    "cut16.png": (lambda: sixteen(".png", RGB16)[:900], CUT),
    "cut16.tif": (lambda: sixteen(".tif", RGB16)[:200] + b"\xff" * 200, "is "),
    "transparent.png": (lambda: saved(np.dstack([RGB, GLASS]), "PNG"), GLASSY),
    "transparent_gray.png": (lambda: saved(np.dstack([GREY, GLASS]), "PNG"), GLASSY),
    "transparent16.png": (lambda: sixteen(".png", np.dstack([RGB16, GREY16])), GLASSY),
    "transparent_color.png": (lambda: saved(RGB, "PNG", transparency=tuple(int(v) for v in RGB[0, 0])), GLASSY),
    "transparent.webp": (lambda: saved(np.dstack([RGB, GLASS]), "WEBP"), GLASSY),
    "one_pixel.png": (lambda: saved(RGB[:1, :1], "PNG"), f"1 x 1 px {TOO_SMALL}"),
    "thin.png": (lambda: saved(RGB[:40], "PNG"), f"96 x 40 px {TOO_SMALL}"),
    "bomb.png": (lambda: png(100_000, 100_000), "has 100000 x 100000 px, more than 400 megapixels. Such a large picture would not fit into memory."),
    "pixels_missing.png": (lambda: png(300, 300, b"\0" * 100), CUT),
    "no_width.png": (lambda: png(0, 10), NO_PICTURE),
    "floats.tif": (lambda: saved(Image.fromarray(np.full(GREY.shape, np.nan, np.float32)), "TIFF"), "holds "),
    "integers.tif": (lambda: saved(Image.fromarray(GREY.astype(np.int32)), "TIFF"), "holds 32-bit integers, whose white is not known."),
    "ten_bits.pgm": (lambda: b"P5 96 80 1023\n" + (GREY16 // 64).astype(">u2").tobytes(), "has codes up to 1023. Only files whose white is 255 or 65535 are read. Save it as 8-bit or 16-bit PNG."),
}  # fmt: skip

# name of the file: (its bytes, what its codes must be)
ODD_PICTURES_THAT_WORK: dict[str, tuple[Callable[[], bytes], np.ndarray]] = {
    "opaque.png": (lambda: saved(np.dstack([RGB, OPAQUE]), "PNG"), RGB),
    "opaque16.png": (lambda: sixteen(".png", np.dstack([RGB16, OPAQUE.astype(np.uint16) * 257])), RGB16),
    "gray.png": (lambda: saved(GREY, "PNG"), np.dstack([GREY] * 3)),
    "gray16.png": (lambda: sixteen(".png", GREY16), np.dstack([GREY16] * 3)),
    "rgb16.png": (lambda: sixteen(".png", RGB16), RGB16),
    "rgb16.tif": (lambda: sixteen(".tif", RGB16), RGB16),
    "rotated.png": (lambda: saved(RGB, "PNG", exif=exif(6)), RGB.swapaxes(0, 1)[:, ::-1]),
    "impossible_rotation.png": (lambda: saved(RGB, "PNG", exif=exif(99)), RGB),
    "animated.png": (lambda: saved(RGB, "PNG", save_all=True, append_images=[Image.fromarray(255 - RGB)]), RGB),
    "pages.tif": (lambda: saved(RGB, "TIFF", save_all=True, append_images=[Image.fromarray(255 - RGB)]), RGB),
    "black_and_white.png": (lambda: saved(Image.fromarray(GREY).convert("1", dither=0), "PNG"), np.dstack([(GREY > 127).astype(np.uint8) * 255] * 3)),
    "wrong_ending.jpg": (lambda: saved(RGB, "PNG"), RGB),
    "bytes_after_the_end.png": (lambda: saved(RGB, "PNG") + b"more", RGB),
}  # fmt: skip

LOSSY_PICTURES_THAT_WORK: dict[str, Callable[[], bytes]] = {
    "cmyk.jpg": lambda: saved(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95),
    "broken_exif.jpg": lambda: saved(RGB, "JPEG", exif=broken_exif(), quality=95),
    "broken_profile.jpg": lambda: saved(RGB, "JPEG", icc_profile=b"nonsense" * 30, quality=95),
    "palette.png": lambda: saved(Image.fromarray(RGB).quantize(256), "PNG"),
    "animated.webp": lambda: saved(RGB, "WEBP", save_all=True, append_images=[Image.fromarray(255 - RGB)], quality=95),
}


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture that works."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "good.png").write_bytes(saved(np.tile(RGB, (2, 2, 1)), "PNG"))
    return folder


@pytest.fixture(scope="session")
def made(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set."""
    out = tmp_path_factory.mktemp("made") / "out"
    assert run("generate", good, out, "-n", 2, "--size", 48, "-w", 1, "-r", "clean").exit_code == 0
    return out


@pytest.mark.parametrize("name", BROKEN_PICTURES)
def test_broken_pictures(name: str, tmp_path: Path) -> None:
    make, message = BROKEN_PICTURES[name]
    path = tmp_path / name
    path.write_bytes(make())
    result = run("preview", path, "--size", 48, "-o", tmp_path / "sheet.png")
    fails(result, f"{path}: {message}" if not message[0].isdigit() else message)
    assert not result.stdout
    assert not (tmp_path / "sheet.png").exists()


def test_broken_pictures_are_skipped_with_the_reason(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "folder.png").mkdir(parents=True)
    (folder / "good.png").write_bytes((good / "good.png").read_bytes())
    (folder / "the same again.png").write_bytes((good / "good.png").read_bytes())
    for name, (make, _) in BROKEN_PICTURES.items():
        (folder / name).write_bytes(make())
    result = run("generate", folder, tmp_path / "out", "-n", 2, "--size", 48, "-w", 1, "-r", "clean")
    assert result.exit_code == 0, result.output
    assert f"Not used: {len(BROKEN_PICTURES) + 1} of the inputs" in result.stdout
    for name in BROKEN_PICTURES:
        assert name in result.stdout
    assert "same content as good.png" in result.stdout
    assert "has transparent pixels" in result.stdout
    assert "\x1b" not in result.output


@pytest.mark.parametrize("name", ODD_PICTURES_THAT_WORK)
def test_odd_pictures_that_work(name: str, tmp_path: Path) -> None:
    make, codes = ODD_PICTURES_THAT_WORK[name]
    (tmp_path / name).write_bytes(make())
    found = read_pixels(tmp_path / name)
    assert found.dtype == codes.dtype
    assert np.array_equal(found, codes)


@pytest.mark.parametrize("name", LOSSY_PICTURES_THAT_WORK)
def test_lossy_pictures_that_work(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(LOSSY_PICTURES_THAT_WORK[name]())
    found = read_pixels(tmp_path / name)
    assert found.shape == RGB.shape
    assert np.abs(found.astype(int) - RGB).mean() < 6


STEP = "[[step]]\nkind = 'gaussian_blur'\n"
BROKEN_RECIPES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "Recipe 'r.toml' has no steps. Add [[step]] tables with a kind."),
    "no TOML": ("[[step\nkind=", "r.toml: is not valid TOML: Expected ']]' at the end of an array declaration (at line 1, column 7)."),
    "not text": (b"\xff\xfe", "r.toml: is not a text file in UTF-8: it is in UTF-16. Save it in UTF-8"),
    "misspelt key": ("sumary = 'x'", "r.toml: there is no key 'sumary' at the top. Did you mean 'summary'?"),
    "summary a number": ("summary = 3\n" + STEP, "r.toml summary: it must be a string, got 3."),
    "misspelt kind": ("[[step]]\nkind = 'gausian_blur'", "r.toml [gausian_blur]: There is no kind 'gausian_blur'. Did you mean 'gaussian_blur'?"),
    "no kind": ("[[step]]\nsigma_px = 1", "r.toml [step 1]: needs a kind. Known: accelerated_motion,"),
    "misspelled field": (STEP + "sigma = 1", "r.toml [gaussian_blur]: has no field 'sigma'. Did you mean 'sigma_px'?"),
    "field missing": (STEP, "r.toml [gaussian_blur]: needs sigma_px (standard deviation along the long axis in px; .4 to .8 for a good lens). Give it a value."),
    "text for a number": (STEP + "sigma_px = '1'", "r.toml [gaussian_blur]: sigma_px must be a number, got '1'."),
    "out of range": (STEP + "sigma_px = -1", "r.toml [gaussian_blur]: sigma_px must be >= 0.0, got -1. It is the standard deviation along the long axis in px"),
    "infinite": (STEP + "sigma_px = inf", "r.toml [gaussian_blur]: sigma_px must be a finite number, got inf."),
    "a date": (STEP + "sigma_px = 2020-01-01", "r.toml [gaussian_blur] sigma_px: A field holds a number, a string, or a distribution, got datetime.date(2020, 1, 1)."),
    "a list": (STEP + "sigma_px = [1, 2]", "For one of several values, write { choice = [1, 2] }."),
    "misspelt distribution": (STEP + "sigma_px = { unifrm = [1, 2] }", "sigma_px: There is no distribution 'unifrm'. Did you mean 'uniform'?"),
    "empty distribution": (STEP + "sigma_px = {}", "sigma_px: A distribution needs exactly one name, got an empty table. For example { uniform = [1.0, 2.0] }."),
    "too many parameters": (STEP + "sigma_px = { uniform = [1, 2, 3] }", "sigma_px: uniform needs [low, high], got [1, 2, 3]."),
    "low above high": (STEP + "sigma_px = { uniform = [2, 1] }", "sigma_px: uniform: low must not exceed high, got [2, 1]. Swap them."),
    "logarithm of zero": (STEP + "sigma_px = { log_uniform = [0, 1] }", "log_uniform: low must be > 0, got 0. Zero has no logarithm."),
    "not a number": (STEP + "sigma_px = { uniform = [nan, 1] }", "uniform: low must be a finite number, got nan."),
    "may leave its range": (STEP + "sigma_px = { normal = [0, 1] }", "r.toml [gaussian_blur]: sigma_px must be >= 0.0, got -8.3."),
    "weights no list": (STEP + "sigma_px = { choice = [1, 2], weights = 1 }", "choice: weights must be a list of numbers, got 1."),
    "weights too few": (STEP + "sigma_px = { choice = [1, 2], weights = [1] }", "choice needs one weight per value, got 1 weights for 2 values."),
    "text without quotes": ("[[step]]\nkind='jpeg'\nquality=90\nsubsampling=420", "r.toml [jpeg]: subsampling must be '444', '422' or '420', got 420. It is a string, so put it in quotes."),
    "blur of file codes": ("[[step]]\nkind='encode'\n" + STEP + "sigma_px=1", "gaussian_blur takes a linear frame, but the step before it gives a display one. Put a decode step before it: blur happens to light"),
    "raw at the end": ("[[step]]\nkind='decode'\n[[step]]\nkind='sensor'\nfull_well_e=1000", "Recipe 'r.toml' gives raw sensor values, which data sets cannot hold."),
    "linear at the start": (STEP + "sigma_px=1", "Recipe 'r.toml' takes linear frames, but good.png holds display codes. Start it with a decode step; linear files skip it."),
    "name twice": ("[[step]]\nkind='decode'\n" + 2 * (STEP + "sigma_px=1\n"), "r.toml [gaussian_blur]: the name is used twice."),
    "name with a dot": ("[[step]]\nkind='decode'\nname='a.b'", "r.toml [a.b]: the name must be a non-empty string without dots."),
    "name a number": ("[[step]]\nkind='decode'\nname=3", "r.toml step 1: its name must be a string, got 3."),
    "one bracket": ("[step]\nkind='decode'", "r.toml: step must be an array of tables, got one table. Steps have an order: that of the light. Write [[step]] with double brackets."),
    "same as nothing": (STEP + "sigma_px = { same_as = 'lens.x' }", "same_as refers to 'lens', which is not an earlier step."),
    "extends nothing": ("extends = 'defalt'", "r.toml extends: There is no recipe 'defalt'. Did you mean 'default'?"),
    "extends itself": ("extends = 'r.toml'", "r.toml: recipes extend each other in a circle:"),
    "removes nothing": ("extends = 'default'\nremove = ['sensr']", "r.toml remove: default has no step 'sensr'. Did you mean 'sensor'?"),
    "removes no list": ("extends = 'default'\nremove = 'jpeg'", "r.toml remove: must be a list of step names, got 'jpeg'."),
    "after nothing": ("extends = 'default'\n[[step]]\nkind='jpeg'\nname='j'\nquality=90\nafter=3", "r.toml [j]: default has no step 3."),
    "no options": ("[[step]]\none_of = []", "r.toml [step 1]: one_of needs at least one option, got none."),
    "negative weight": ("[[step]]\none_of = [{weight=-1,kind='identity'}]", "one_of: weights must be >= 0 with a sum > 0, got [-1.0]."),
    "options disagree": ("[[step]]\none_of=[{kind='decode'},{kind='identity'}]", "The options of one step must give the same encoding, got ['display', 'linear']."),
    "improbable": (STEP + "sigma_px=1\nprobability=2", "r.toml [gaussian_blur]: probability must lie in [0, 1], got 2."),
    "kernel missing": ("[[step]]\nkind='measured_blur'\nkernel={file='none.npy'}", "r.toml: file = 'none.npy': no such file in "),
    "kernel in words": ("[[step]]\nkind='measured_blur'\nkernel='round'", "r.toml [measured_blur]: kernel must be the name of an array, got 'round'. In a recipe write { file = \"name.npy\" }; in Python the name is what"),
    "impossible sensor": ("[[step]]\nkind='sensor'\nfull_well_e=1000\nbit_depth=6", "black_level_dn must lie below the top code 2^bit_depth - 1 = 63, got 64."),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_RECIPES)
def test_broken_recipes(name: str, good: Path, tmp_path: Path) -> None:
    text, message = BROKEN_RECIPES[name]
    (tmp_path / "r.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    result = run("generate", good, tmp_path / "out", "-n", 2, "--size", 48, "-w", 1, "-r", tmp_path / "r.toml")
    fails(result, message)
    assert not (tmp_path / "out").exists()


# what stands beside `blursynth generate`; {good}, {made} and {tmp} are folders; and the message
BROKEN_CALLS: dict[str, tuple[str, str]] = {
    "count 0": ("{good} {tmp}/out -n 0", "--count must be >= 1, got 0."),
    "count no number": ("{good} {tmp}/out -n many", "Invalid value for '--count'"),
    "no count": ("{good} {tmp}/out", "--count is missing. A data set on disk has a fixed length. Give the number of pairs."),
    "size 0": ("{good} {tmp}/out -n 2 --size 0", "--size must be >= 8, got 0."),
    "size too large": ("{good} {tmp}/out -n 2 --size 5000", "None of the 1 inputs can be used: good.png: 192 x 160 px (width x height) is smaller than 5000 px. Check the pictures, or request smaller crops."),
    "no room for the blur": ("{good} {tmp}/out -n 2 --size 150 -w 1 --set shake.length_px=200 --set shake.speed_px=200 -r motion-only", "the largest of 1 has 192 x 160 px (width x height). Use larger pictures, smaller crops, or a recipe with less blur."),
    "negative seed": ("{good} {tmp}/out -n 2 --seed -1", "--seed must be >= 0, got -1."),
    "seed too large": ("{good} {tmp}/out -n 2 --seed 9223372036854775808", "--seed must be < 9223372036854775808"),
    "workers 0": ("{good} {tmp}/out -n 2 --workers 0", "--workers must be an integer >= 1, got 0."),
    "shard length 0": ("{good} {tmp}/out -n 2 --size 48 --shard-length 0", "--shard-length must be >= 1, got 0."),
    "crops per source 0": ("{good} {tmp}/out -n 2 --size 48 --crops-per-source 0", "--crops-per-source must be >= 1, got 0."),
    "misspelt array": ("{good} {tmp}/out -n 2 --size 48 --store krnel", "--store: there is no array 'krnel'. Did you mean 'kernel'?"),
    "even kernel": ("{good} {tmp}/out -n 2 --size 48 --store kernel --kernel-size 4", "--kernel-size must be odd, got 4."),
    "kernel too small": ("{good} {tmp}/out -n 2 --size 48 -w 1 --store kernel --kernel-size 1", "--kernel-size must be at least "),
    "shards no range": ("{good} {tmp}/out -n 2 --shards 3", "--shards must be A:B with 0 <= A < B, got '3'. For example --shards 0:8."),
    "shards backwards": ("{good} {tmp}/out -n 2 --shards 2:1", "--shards must be A:B with 0 <= A < B, got '2:1'."),
    "shards beyond the last": ("{good} {tmp}/out -n 2 --size 48 --shards 5:9", "--shards 5:9 lie beyond the last; the data set has 1."),
    "set without a value": ("{good} {tmp}/out -n 2 --set shake.length_px", "--set shake.length_px: must be STEP.FIELD=VALUE. For example --set shake.length_px=20."),
    "set nothing": ("{good} {tmp}/out -n 2 --set shake.length_px=", "--set shake.length_px=: the value is missing."),
    "set no TOML": ("{good} {tmp}/out -n 2 --set shake.length_px={{uniform=", "'{uniform=' is not a value. Write it as in TOML: 20, 1.5, true, \"text\", {uniform=[1,2]}."),
    "set without a step": ("{good} {tmp}/out -n 2 --set length_px=3", "--set length_px=3: must be STEP.FIELD=VALUE."),
    "set a misspelt step": ("{good} {tmp}/out -n 2 --set shak.length_px=3", "shak.length_px: default has no step 'shak'. Did you mean 'shake'?"),
    "set a misspelt field": ("{good} {tmp}/out -n 2 --set shake.lenght_px=3", "default [shake]: no option of one_of has a field 'lenght_px'. Did you mean 'length_px'?"),
    "set out of range": ("{good} {tmp}/out -n 2 --set jpeg.quality=101", "default [jpeg]: quality must be <= 100, got 101."),
    "misspelt recipe": ("{good} {tmp}/out -n 2 -r defalt", "There is no recipe 'defalt'. Did you mean 'default'? The name of your own file must end in .toml."),
    "recipe missing": ("{good} {tmp}/out -n 2 -r none.toml", "none.toml: cannot be read (No such file or directory). Check the path."),
    "misspelt engine": ("{good} {tmp}/out -n 2 --engine slurm", "--engine must be local or dask, got 'slurm'."),
    "scheduler without dask": ("{good} {tmp}/out -n 2 --scheduler tcp://a:1", "--scheduler needs --engine dask."),
    "unknown option": ("{good} {tmp}/out -n 2 --size 48 --wrokers 2", "No such option: --wrokers"),
    "no sources": ("{tmp}/out -n 2", "SOURCES or OUT is missing: only "),
    "sources missing": ("{tmp}/none {tmp}/out -n 2", "none: there is no such file or folder. Check the path."),
    "glob without a match": ("{tmp}/none/*.png {tmp}/out -n 2", "*.png: no file matches. Quote the pattern and check the path."),
    "folder empty": ("{tmp}/empty {tmp}/out -n 2", "No pictures in {tmp}/empty. Known formats: .png, .jpg"),
    "nothing usable": ("{tmp}/bad {tmp}/out -n 2", "None of the 2 inputs can be used: a.png: is not a picture that can be read; b.jpg: is empty (0 bytes). Check the pictures"),
    "list empty": ("{tmp}/empty.txt {tmp}/out -n 2", "empty.txt: the list is empty. Write one path per line."),
    "list with a lost file": ("{tmp}/lost.txt {tmp}/out -n 2", "lost.txt: entry 1, 'none.png': there is no such file. Correct the list."),
    "list no text": ("{tmp}/binary.txt {tmp}/out -n 2", "binary.txt: is not a text file in UTF-8: it is in UTF-16. Save it in UTF-8"),
    "out is a file": ("{good} {tmp}/file -n 2 --size 48", "file: is a file, not a folder. Choose another place."),
    "out below a file": ("{good} {tmp}/file/out -n 2 --size 48 -w 1", "file/out: cannot be written (Not a directory)."),
    "out holds other things": ("{good} {tmp}/bad -n 2 --size 48", "bad: the folder holds something else (a.png, b.jpg). Existing files are not overwritten. Choose a new or empty folder."),
    "out holds another plan": ("{good} {made} -n 3 --size 48 -w 1 -r clean", "was started with other arguments: --count (2 there, 3 now). Two data sets cannot share a folder. Give the same arguments, or choose another folder."),
    "out holds another recipe": ("{good} {made} -n 2 --size 48 -w 1", "was started with other arguments: recipe"),
}  # fmt: skip


@pytest.fixture
def places(good: Path, made: Path, tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_text("no picture")
    (tmp_path / "bad" / "b.jpg").write_bytes(b"")
    (tmp_path / "empty.txt").write_text("# only a comment\n\n")
    (tmp_path / "lost.txt").write_text("none.png\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "file").write_text("")
    return {"good": good, "made": made, "tmp": tmp_path}


@pytest.mark.parametrize("name", BROKEN_CALLS)
def test_broken_calls(name: str, places: dict[str, Path]) -> None:
    words, message = BROKEN_CALLS[name]
    result = run("generate", *(word.format(**places) for word in words.split()))
    fails(result, message.replace("{tmp}", str(places["tmp"])))
    assert not result.stdout
    out = places["tmp"] / "out"
    assert not out.exists() or name == "kernel too small"


@pytest.mark.parametrize("command", ["resume", "verify", "inspect"])
def test_no_data_set(command: str, places: dict[str, Path]) -> None:
    tmp = places["tmp"]
    fails(
        run(command, tmp / "none"),
        f"{tmp / 'none'}: there is no such folder. Check the path; make one with blursynth generate.",
    )
    for other in ("empty", "file", "bad"):
        fails(run(command, tmp / other), f"{tmp / other}: is not a blursynth data set (it has no dataset.json).")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("replay {made} 2", "there is no sample 2; it has 2."),
        ("replay {made} first", "Invalid value for 'I'"),
        ("replay {made} 0 -o {tmp}/sheet.foo", "sheet.foo: pictures cannot be written in the format '.foo'."),
        ("replay {made} 0 -o {tmp}/file/sheet.png", "cannot be written (a part of the path is a file)."),
        ("replay {made} 0 --sources {tmp}/none", "none: there is no such folder. Check the path of the sources."),
        ("replay {made} 0 --sources {tmp}/empty", "Source good.png: "),
        ("inspect {made} --sample 9", "there is no sample 9; it has 2, counted from 0."),
        ("inspect {made} --rows 0", "--rows must be 1 to 100, got 0."),
        ("verify {made} --replay -1", "--replay must be >= 0, got -1."),
        ("resume {made} --redo 7", "--redo: there is no shard 7; the data set has 1."),
        ("resume {made} --redo two", "--redo must be integers separated by commas, got 'two'."),
        ("preview {tmp}/none.png", "none.png: there is no such file. Check the path."),
        ("preview {good}", "is a folder, not a picture."),
        ("preview {good}/good.png --count 0", "--count must be 1 to 100 rows, got 0."),
        ("preview {good}/good.png --size 4", "--size must be >= 8, got 4."),
        ("preview {good}/good.png --size 64 -o {tmp}/file/sheet.png", "cannot be written (a part of the path is a file)."),
        ("kinds gausian_blur", "There is no kind 'gausian_blur'. Did you mean 'gaussian_blur'?"),
        ("recipes defalt", "There is no recipe 'defalt'. Did you mean 'default'?"),
        ("genrate", "No such command 'genrate'"),
        ("schema extra", "unexpected extra argument"),
    ],
)  # fmt: skip
def test_broken_calls_of_other_commands(words: str, message: str, places: dict[str, Path]) -> None:
    fails(run(*(word.format(**places) for word in words.split())), message)


def test_damaged_data_set(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("generate", good, out, "-n", 2, "--size", 48, "-w", 1, "-r", "clean").exit_code == 0
    description = (out / "dataset.json").read_text()
    for text, message in (
        ("{", "dataset.json: the description of the data set is damaged: it is not JSON"),
        ("[]", "dataset.json: the description of the data set is damaged: it is not a JSON object."),
        ("{}", "dataset.json: is not a description of a blursynth data set."),
        (
            description.replace('"schema": 6', '"schema": 99'),
            "has schema 99, but this version reads 6 to 10. Update blursynth.",
        ),
        (
            description.replace('"seed": 0', '"seed": 1'),
            "was changed after it was written (its sha256 does not match).",
        ),
    ):
        (out / "dataset.json").write_text(text)
        fails(run("inspect", out), message)
        result = run("verify", out)
        assert result.exit_code == 1, "damage, whatever file it is in"
        assert message in " ".join(result.stdout.split())


@pytest.mark.skipif(
    os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_folder_without_permission(good: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    result = run("generate", good, tmp_path / "locked" / "out", "-n", 2, "--size", 48, "-w", 1)
    fails(result, "out: cannot be written (Permission denied). Choose a folder that you can write to.")


def test_folder_without_permission_as_root(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for whoever may write everywhere."""
    make = Path.mkdir

    def refuse(self: Path, *args: Any, **options: Any) -> None:
        if self.name == "out":
            raise PermissionError(13, "Permission denied", str(self))
        make(self, *args, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    result = run("generate", good, tmp_path / "out", "-n", 2, "--size", 48, "-w", 1)
    fails(result, "out: cannot be written (Permission denied). Choose a folder that you can write to.")


def test_picture_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(saved(RGB, "PNG"))

    def refuse(*args: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    fails(run("preview", tmp_path / "a.png"), "a.png: cannot be read (Permission denied).")


def test_there_are_enough_of_them() -> None:
    assert len(BROKEN_PICTURES) + len(BROKEN_RECIPES) + len(BROKEN_CALLS) > 100
