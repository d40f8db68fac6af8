"""Data sets that were made to harm: nothing outside the folder is read or written, nothing hangs, all errors are ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blursynth as bs
from blursynth.dataset import DatasetRequest, finalize, generate, replay, resume, verify
from blursynth.dataset.files import canonical, sealed, sha256_hex
from blursynth.dataset.index import read_index
from blursynth.dataset.manifest import read_manifest
from blursynth.dataset.schema import load_spec
from blursynth.errors import DatasetError
from blursynth.io.atomic import sync_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes and links of POSIX")


@pytest.fixture(autouse=True)
def _nothing_hangs() -> Iterator[None]:
    signal.alarm(120)
    yield
    signal.alarm(0)


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def reseal(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a file as somebody would who knows how its hashes are made."""
    document = json.loads(path.read_bytes())
    del document["sha256"]
    change(document)
    if "request" in document:
        document["request_sha256"] = sha256_hex(canonical(document["request"]))
    path.write_bytes(sealed(document))


def told(out: Path) -> str:
    return "\n".join(problem.what for problem in verify(out, deep=True).problems)


@pytest.mark.parametrize("path", ["/dev/zero", "/etc/hostname", "../secret.txt", "sharp/../../secret.txt", "pipe"])
def test_a_manifest_names_no_other_files(copy: Path, path: str) -> None:
    (copy.parent / "secret.txt").write_text("secret")
    os.mkfifo(copy / "pipe")

    def change(document: dict[str, Any]) -> None:
        document["objects"][0].update(path=path, size=6)

    reseal(copy / "manifest/000000.json", change)
    assert "is not that of shard 0" in told(copy)


@pytest.mark.parametrize(
    "name",
    ["dataset.json", "index.json", "manifest/000001.json", "sharp/c/1/0/0/0", "sharp/zarr.json", "draws/000001.jsonl",
     "draws/000001.index", "README.md", "skipped.json"],
)  # fmt: skip
def test_pipes_are_not_opened(copy: Path, name: str) -> None:
    (copy / name).unlink()
    os.mkfifo(copy / name)
    assert "is not a regular file" in told(copy)
    if name in ("dataset.json", "index.json"):
        with pytest.raises(DatasetError, match="is not a regular file"):
            bs.open_dataset(copy)
    elif name.startswith(("sharp/c", "draws")):
        with pytest.raises(DatasetError, match="is not a regular file"):
            bs.open_dataset(copy)[5]


@pytest.mark.parametrize(
    "name", ["dataset.json", "sharp/c/1/0/0/0", "draws", "sharp", "manifest/000001.json", ".locks"]
)
def test_links_out_of_the_folder(copy: Path, name: str) -> None:
    outside = copy.parent / "outside"
    if (copy / name).exists():
        shutil.move(copy / name, outside)
    else:
        outside.mkdir()
        (outside / "0-3").write_text("mine")
    (copy / name).symlink_to(outside)
    before = {p: p.read_bytes() for p in (outside.rglob("*") if outside.is_dir() else [outside]) if p.is_file()}
    assert f"{name}: is a link out of the data set" in told(copy)
    for write in (lambda: resume(copy, workers=1, redo=[1]), lambda: finalize(copy)):
        with pytest.raises(DatasetError, match="is a link out of the data set"):
            write()
    assert {p: p.read_bytes() for p in before} == before


def test_links_within_the_folder_and_to_it_are_fine(copy: Path) -> None:
    shutil.move(copy / "README.md", copy / "card.md")
    (copy / "README.md").symlink_to("card.md")
    (copy.parent / "alias").symlink_to(copy)
    found = verify(copy.parent / "alias")
    assert found.ok, found.problems
    assert found.notes == ("card.md: is not a file of this data set",)


def huge(document: dict[str, Any]) -> None:
    document["request"]["count"] = 10**15


def wide(document: dict[str, Any]) -> None:
    for array in document["request"]["arrays"]:
        array["shape"] = [10**6, 10**6, 3]
    document["request"]["size_px"] = 10**6


def outside(document: dict[str, Any]) -> None:
    document["request"]["sources"][0]["name"] = "../../etc/passwd"


def with_nul(document: dict[str, Any]) -> None:
    document["request"]["sources"][0]["name"] = "a\0b"


def renamed(document: dict[str, Any]) -> None:
    document["request"]["arrays"][1]["name"] = "../elsewhere"


def twice(document: dict[str, Any]) -> None:
    document["request"]["arrays"].append(document["request"]["arrays"][0])


def of_a_file(document: dict[str, Any]) -> None:
    document["request"]["recipe"]["step"].append({"one_of": [{"kind": "sensor", "camera": "/dev/zero"}]})


def without_steps(document: dict[str, Any]) -> None:
    document["request"]["recipe"] = {"step": {"a": 1}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (huge, "1,000,000,000,000,000 samples in shards of 4"),
        (wide, "one chunk of its array blurred has 3,000,000,000,000 bytes"),
        (outside, r"'../../etc/passwd' is not a path inside a folder"),
        (with_nul, "is not a path inside a folder"),
        (renamed, "its arrays are 'blurred', '../elsewhere'"),
        (twice, "its arrays are 'blurred', 'kernel', 'params', 'sharp', 'blurred'"),
        (of_a_file, "its recipe names a file"),
        (without_steps, "its recipe has no list of steps"),
        (lambda d: d["request"].update(count="11"), "request.count: Input should be a valid integer"),
        (lambda d: d["request"].update(count=True), "request.count: Input should be a valid integer"),
        (lambda d: d["request"].update(count=-1), "request.count"),
        (lambda d: d["request"].update(size_px=31), "its array blurred has an invalid type, shape or axes"),
        (lambda d: d["request"].update(sources=[]), "it has no sources"),
        (lambda d: d["request"].update(sources=[{"name": 1}]), "request.sources.0"),
        (lambda d: d["request"].update(arrays={}), "request.arrays"),
        (lambda d: d.update(environment=7), "environment"),
        (lambda d: d.update(environment={**d["environment"], "versions": [1]}), "environment.versions"),
        (lambda d: d["request"].update(more=1), "was changed after it was written"),
        (lambda d: d["request"].update(codec="zstd"), "request.codec: Input should be 'lz4' or 'none'"),
        (lambda d: d["request"].update(codec="none"), "was changed after it was written"),  # in the lower schema
    ],
)  # fmt: skip
def test_a_description_that_lies(copy: Path, change: Callable[[dict[str, Any]], object], words: str) -> None:
    reseal(copy / "dataset.json", change)
    for use in (lambda: bs.open_dataset(copy), lambda: replay(copy, 0), lambda: resume(copy, workers=1)):
        with pytest.raises(DatasetError, match=words):
            use()
    found = verify(copy)
    assert len(found.problems) == 1
    assert words.partition("'")[0] in found.problems[0].what or "etc/passwd" in found.problems[0].what


DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    "name", ["dataset.json", "index.json", "manifest/000000.json", "skipped.json", "sharp/zarr.json"]
)
@pytest.mark.parametrize("data", [DEEP, b'"', b"[]", b"null", b"\0" * 50, b'{"sha256": 1}', b"NaN", b'{"format": NaN}'])
def test_json_of_any_kind(copy: Path, name: str, data: bytes) -> None:
    (copy / name).write_bytes(data)
    found = verify(copy)
    assert not found.ok
    assert any(Path(name).name in p.what for p in found.problems), found.problems
    if name in ("dataset.json", "index.json"):
        with pytest.raises(DatasetError):
            bs.open_dataset(copy)


@pytest.mark.parametrize("key", ["shard", "first", "objects", "content", "draws", "request_sha256", "digest", "count"])
def test_manifests_and_the_index_have_types(copy: Path, key: str) -> None:
    spec = load_spec(copy)
    path, index = copy / "manifest/000000.json", copy / "index.json"
    sound, sound_index = path.read_bytes(), index.read_bytes()
    for value in (None, -1, "x", 1e300, [], {}, True, 2**70, "\0", [["a"] * 3], [{"path": 1}], {"sharp": 1}):
        reseal(path, lambda document, value=value: document.update({key: value}))
        reseal(index, lambda document, value=value: document.update({key: value}))
        if key in json.loads(sound):
            with pytest.raises(DatasetError, match="manifest"):
                read_manifest(copy, 0, spec)
        if key in ("digest", "request_sha256"):
            with pytest.raises(DatasetError, match=r"index\.json"):
                read_index(copy, spec)
        elif key in json.loads(sound_index):
            assert "index.json" in "".join(p.what for p in verify(copy).problems)
        path.write_bytes(sound)
        index.write_bytes(sound_index)


def test_hashes_of_a_manifest_that_no_file_has(copy: Path) -> None:
    sound = (copy / "manifest/000000.json").read_bytes()
    reseal(copy / "manifest/000000.json", lambda document: document.update(draws="0" * 64))
    assert "the hash of its records differs from the manifest" in told(copy)
    (copy / "manifest/000000.json").write_bytes(sound)
    reseal(copy / "manifest/000000.json", lambda document: document.update(environment_sha256="0" * 64))
    assert "index.json: its digests are not those of the content" in told(copy)


def test_an_asset_that_claims_more_than_it_has(pictures: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    kernel = bs.assets.register(rng.random((5, 5)))
    recipe = bs.Recipe(
        [("decode", bs.kinds.Decode()), ("lens", bs.kinds.MeasuredBlur(kernel=kernel)), ("encode", bs.kinds.Encode())]
    )
    out = tmp_path / "set"
    generate(DatasetRequest(sources=pictures, recipe=recipe, count=2, size_px=32, seed=1), out, workers=1)
    (path,) = (out / "assets").iterdir()
    sound = path.read_bytes()
    assert verify(out, deep=True, replay=2).ok

    path.write_bytes(sound.replace(b"(5, 5)", b"(9**9)"[:6]))
    assert "is damaged" in told(out)
    path.write_bytes(sound.replace(b"(5, 5)", b"(9999999999, 5)").replace(b" " * 9, b"", 1))
    assert "is damaged" in told(out)
    with pytest.raises(DatasetError, match="is damaged"):
        bs.open_dataset(out)
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    assert "its content does not match its name" in told(out)
    path.write_bytes(sound.replace(b" \n", b"\t\n", 1))  # padding of the header, which no reader looks at
    assert "its header is not that of an array of float64" in told(out)
    path.unlink()
    assert f"{path}: is missing" in told(out)
    path.write_bytes(sound)
    (path.parent / "other.npy").write_bytes(sound)
    assert told(out) == "assets/other.npy: is not a file of this data set"


def test_a_flush_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def fails(code: int) -> Callable[[int], None]:
        def fsync(handle: int) -> None:
            raise OSError(code, os.strerror(code))

        return fsync

    monkeypatch.setattr(os, "fsync", fails(errno.EINVAL))
    sync_folder(tmp_path)  # this file system cannot flush folders
    monkeypatch.setattr(os, "fsync", fails(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)
