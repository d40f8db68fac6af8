"""Files that were made to harm: numbers that lie elsewhere, sizes that lie, nesting that has no end."""

from __future__ import annotations

import json
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blursynth as bs
from blursynth.dataset.files import locked, read_json, read_sealed, sealed
from blursynth.dataset.index import Index
from blursynth.errors import BlursynthError, DatasetError, PictureError, RecipeError
from blursynth.io import decoders
from blursynth.io.arrays import read_arrays
from blursynth.io.depth import read_depth
from blursynth.io.pictures import read_frame, read_header
from blursynth.records.nesting import MOST_LEVELS, is_too_deep
from blursynth.records.text import is_inside, name_of

MATLAB_HEAD = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"


def matlab(path: Path, fill: Callable[[Any], object]) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        fill(file)
    with path.open("r+b") as written:
        written.write(MATLAB_HEAD)
    return path


def test_a_matlab_file_holds_its_own_numbers(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(9.0).tobytes())
    other = matlab(tmp_path / "other.mat", lambda file: file.create_dataset("k", data=np.eye(3)))
    assert np.array_equal(read_arrays(other)[0], np.eye(3))

    def virtual(file: Any) -> None:
        layout = h5py.VirtualLayout((3, 3), "f8")
        layout[:] = h5py.VirtualSource(str(other), "k", shape=(3, 3))
        file.create_virtual_dataset("k", layout)

    cases = {
        "another file": lambda file: file.create_dataset("k", (3, 3), "f8", external=[(str(secret), 0, 72)]),
        "in another": virtual,
        "a link to another place": lambda file: file.__setitem__("k", h5py.ExternalLink(str(other), "/k")),
        "a structure": lambda file: file.create_group("k"),
        "needs": lambda file: file.create_dataset("k", (10**6, 10**6), "f8", chunks=(64, 64), fillvalue=1.0),
    }
    for words, fill in cases.items():
        with pytest.raises(PictureError, match=words):
            read_arrays(matlab(tmp_path / "k.mat", fill))


def test_what_is_compressed_in_a_matlab_file_is_counted_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat

    path = tmp_path / "k.mat"
    savemat(path, {"a": np.zeros((256, 256)), "b": np.eye(3)}, do_compression=True)
    assert [array.shape for array in read_arrays(path)] == [(256, 256), (3, 3)]
    monkeypatch.setattr(decoders.check_bytes, "__defaults__", (2**18,))
    with pytest.raises(PictureError, match=r"needs 0\.0 GB of memory"):
        read_arrays(path)


@pytest.mark.parametrize(
    "header", ["{'descr':", "{'descr':'<f8','fortran_order':False,'shape':(True,),}", "(" * 3000, "-" * 9000 + "1"]
)
def test_headers_of_arrays_that_are_no_python(tmp_path: Path, header: str) -> None:
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(64)
    (tmp_path / "a.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", data)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(PictureError):
            read_arrays(tmp_path / name)
        with pytest.raises(PictureError):
            read_depth(tmp_path / name)


@pytest.mark.parametrize(
    "before",
    [b"-Y 1 +X 1\nFORMAT=32-bit_rle_rgbe\n", b"FORMAT=32-bit_rle_rgbe\n#" + b"x" * 126 + b"\n-Y 9999 +X 9999\n"],
)
def test_a_radiance_file_has_one_size(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "a.hdr"
    path.write_bytes(b"#?RADIANCE\n" + before + b"\n-Y 20000 +X 20001\n")
    with pytest.raises(PictureError, match=r"two sizes|megapixels"):
        read_header(path)


@pytest.mark.parametrize("name", ["a.webp", "a.avif", "a.tif", "a.pfm", "a.exr", "a.hdr", "a.npy", "a.dng"])
def test_files_with_holes_are_not_read_into_memory(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\x7fWEBPVP8 ")
        file.truncate(1 << 40)
    for read in (read_header, read_depth, read_arrays):
        with pytest.raises(PictureError, match=r"more than the 4\.3 GB"):
            read(tmp_path / name)


def test_all_parts_of_an_exr_file_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("OpenEXR")
    window = (np.zeros(2, np.int32), np.full(2, 3, np.int32))
    head = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage, "displayWindow": window}
    small, large = np.ones((4, 4), np.float32), np.zeros((600, 600), np.float32)
    parts = [
        library.Part(dict(head), dict.fromkeys("RGB", small), "seen"),
        library.Part(dict(head), {"Z": large}, "unseen"),
    ]
    library.File(parts).write(str(tmp_path / "a.exr"))
    assert read_header(tmp_path / "a.exr").decoded_bytes > 4 * 600 * 600
    monkeypatch.setattr(decoders.check_bytes, "__defaults__", (2**20,))
    for read in (read_frame, read_depth):
        with pytest.raises(PictureError, match=r"needs 0\.0 GB of memory"):
            read(tmp_path / "a.exr")


def test_a_tile_of_a_tiff_file_is_counted(tmp_path: Path) -> None:
    side = 50_000
    entries = [
        (256, 4, 1), (257, 4, 1), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1), (322, 4, side), (323, 4, side),
        (324, 4, 150), (325, 4, 8),
    ]  # fmt: skip
    data = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, kind, value in entries:
        data += struct.pack("<HHI", tag, kind, 1) + value.to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data + bytes(30))
    with pytest.raises(PictureError, match="GB of memory"):
        read_header(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "text",
    [
        "a." * 200_000 + "b = 1",
        "[" + "a . " * 200_000 + "b]\nx = 1",
        'x = { "a"' + ".'a'" * 200_000 + " = 1 }",
        "[" + "a." * 50 + "b]\nx = {" + "a." * 50 + "b = 1}",
        "x = " + "[" * 100_000,
        "x = " + "9" * 5000,
    ],
)
def test_toml_without_end_is_refused_at_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    start = time.monotonic()
    with pytest.raises(RecipeError, match=r"nested too deeply|digits"):
        bs.load_recipe(tmp_path / "r.toml")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("text", ['extends = "a\\u0000.toml"', '[[step]]\nkind = "sensor"\ncamera = "a\\u0000.toml"'])
def test_paths_with_a_zero_byte(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError, match="null byte"):
        bs.load_recipe(tmp_path / "r.toml")


def test_recipes_that_extend_each_other_for_ever(tmp_path: Path) -> None:
    for number in range(1200):
        (tmp_path / f"{number}.toml").write_text(f'extends = "{number + 1}.toml"')
    with pytest.raises(RecipeError, match="more than 32 recipes"):
        bs.load_recipe(tmp_path / "0.toml")


def test_decoders_that_hold_a_picture_of_their_own_are_counted(tmp_path: Path) -> None:
    """Measured on 25 megapixels: 458 MB (JPEG 2000) and 428 MB (WebP), against 237 MB of a PNG."""
    from PIL import Image

    least = {"png": 9, "webp": 17, "jp2": 18}
    for suffix, per_pixel in least.items():
        Image.new("RGB", (64, 64)).save(tmp_path / f"a.{suffix}")
        assert read_header(tmp_path / f"a.{suffix}").decoded_bytes >= per_pixel * 64 * 64


def test_levels_are_counted() -> None:
    value: Any = 1
    for _ in range(MOST_LEVELS):
        value = [value]
    assert not is_too_deep(value)
    assert is_too_deep({"a": value})


def test_json_is_typed_before_it_is_written_again(tmp_path: Path) -> None:
    """Each number of a nested list is indented by its depth, which makes gigabytes of a file of megabytes."""
    path = tmp_path / "index.json"
    path.write_bytes(b'{"a":' + b"[" * 500 + b"0," * 50_000 + b"0" + b"]" * 500 + b"}")
    for read in (lambda: read_sealed(path, "the index", Index), lambda: read_json(path, "the index")):
        with pytest.raises(DatasetError, match="nested too deeply"):
            read()
    path.write_bytes(sealed({"a": 1}))
    with pytest.raises(DatasetError, match="damaged"):
        read_sealed(path, "the index", Index)


def test_names_stay_in_their_folder_part_by_part() -> None:
    assert all(map(is_inside, ["a.png", "a/b.png", "...", name_of(Path("a", "caf\udce9.png"))]))
    outside = ["", "/a", "a//b", "first//etc/passwd", "../a", "a/../b", "a/..", ".", "a/", "a\0"]
    assert not any(map(is_inside, outside))


def test_a_lock_that_is_somebody_elses_file_stays_as_it_is(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "set" / ".locks").mkdir(parents=True)
    os.link(victim, tmp_path / "set" / ".locks" / "0-2")
    with locked(tmp_path / "set", 0, 2):
        pass
    assert victim.read_text() == "precious"


def apply(folder: Path, out: Path) -> Any:
    from PIL import Image

    from blursynth.dataset import DatasetRequest, blur_pictures

    if not folder.exists():
        folder.mkdir()
        pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "a.png")
    recipe = bs.Recipe.from_dict({"step": [{"kind": "jpeg", "quality": 80}]}, name="r")
    return blur_pictures(DatasetRequest(sources=folder, recipe=recipe), out, workers=1)


def test_draws_of_whole_pictures_that_nobody_wrote(tmp_path: Path) -> None:
    out = tmp_path / "out"
    apply(tmp_path / "in", out)
    whole = (out / "draws.jsonl").read_bytes()
    record = json.loads(whole)
    forged = [{**record, "name": name} for name in ("a\0.png", "\ud800.png", "../../a.png", "/a.png", 5, None)]
    lines = [json.dumps(line).encode() for line in forged]
    lines += [whole.replace(b'"height":24', b'"height":NaN').strip(), b"[" * 5000, b"[]", b'{"name":{}}']
    (out / "draws.jsonl").write_bytes(b"\n".join(lines) + b"\n" + whole)
    assert apply(tmp_path / "in", out).kept == ("a.png",)
    assert (out / "draws.jsonl").read_bytes() == whole

    victim = tmp_path / "victim"
    os.link(out / "draws.jsonl", victim)
    (out / "sharp" / "a.png").unlink()
    apply(tmp_path / "in", out)
    assert victim.read_bytes() == whole

    (out / "draws.jsonl").unlink()
    os.mkfifo(out / "draws.jsonl")
    with pytest.raises(DatasetError, match="is not a regular file"):
        apply(tmp_path / "in", out)


def test_whole_pictures_are_not_begun_through_links(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    out.mkdir()
    (out / "assets").symlink_to(elsewhere)
    with pytest.raises(DatasetError, match="link out of"):
        apply(tmp_path / "in", out)
    assert not (out / "request.json").exists()


def test_errors_are_always_our_own(tmp_path: Path) -> None:
    """Archives that are encrypted, of an unknown method, or cut off."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", zlib.compress(bytes(100)))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    directory = data.index(b"PK\1\2")
    for place, value in ((directory + 8, 1), (directory + 10, 99), (6, 1), (8, 99)):
        changed = bytearray(data)
        changed[place] = value
        (tmp_path / "b.npz").write_bytes(changed)
        for read in (read_arrays, read_depth):
            with pytest.raises(BlursynthError):
                read(tmp_path / "b.npz")
