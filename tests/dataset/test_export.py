"""Exports, read as other code reads them: by OpenCV, Pillow, tarfile, lmdb, pyarrow and h5py."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import blursynth as bs
from blursynth.cli.app import app
from blursynth.dataset import DatasetRequest, Progress, generate
from blursynth.dataset.export import export
from blursynth.errors import DatasetError, InvalidValueError

h5py, lmdb, parquet = (pytest.importorskip(name) for name in ("h5py", "lmdb", "pyarrow.parquet"))


@pytest.fixture(scope="module")
def stored(made: Path) -> bs.Dataset:
    return bs.open_dataset(made)


def rgb(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def tree(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_folders(stored: bs.Dataset, tmp_path: Path) -> None:
    seen: list[Progress] = []
    made = export(stored, tmp_path / "out", on_progress=seen.append)
    assert (made.pairs, made.written) == (11, 11)
    assert (seen[-1].stage, seen[-1].done, seen[-1].total) == ("export", 11, 11)
    assert {p.name for p in made.out.iterdir()} == {"input", "target", "metadata.jsonl", "export.json"}
    for sample in stored:
        name = f"{sample.index:06d}.png"
        assert np.array_equal(rgb(made.out / "input" / name), sample.blurred)
        assert np.array_equal(rgb(made.out / "target" / name), sample.sharp)
    lines = [json.loads(line) for line in (made.out / "metadata.jsonl").read_text().splitlines()]
    assert [line["input_file_name"] for line in lines] == [f"input/{i:06d}.png" for i in range(11)]
    assert lines[3]["target_file_name"] == "target/000003.png"
    assert lines[3]["source"] == stored[3].source
    assert json.loads(lines[3]["record"]) == stored[3].record


def test_lmdb_as_basicsr_reads_it(stored: bs.Dataset, tmp_path: Path) -> None:
    """Keys without endings, ``meta_info.txt`` with "name (h,w,c) level"; the picture is what cv2.imdecode gives."""
    made = export(stored, tmp_path / "out", to="lmdb", names=("blur_crops", "sharp_crops"))
    for half, name in (("blur_crops", "blurred"), ("sharp_crops", "sharp")):
        folder = made.out / f"{half}.lmdb"
        assert sorted(p.name for p in folder.iterdir()) == ["data.mdb", "lock.mdb", "meta_info.txt"]
        lines = (folder / "meta_info.txt").read_text().splitlines()
        assert lines[7] == "000007.png (32,32,3) 1"
        keys = [line.split(".")[0] for line in lines]
        database = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False)
        with database.begin(write=False) as transaction:
            for key, sample in zip(keys, stored, strict=True):
                data = np.frombuffer(transaction.get(key.encode("ascii")), np.uint8)
                assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], getattr(sample, name))
        database.close()
    draws = [json.loads(line) for line in (made.out / "draws.jsonl").read_text().splitlines()]
    assert draws == list(stored.records())


def test_webdataset(stored: bs.Dataset, tmp_path: Path) -> None:
    made = export(stored, tmp_path / "out", to="webdataset")
    tars = sorted(made.out.glob("*.tar"))
    assert [tar.name for tar in tars] == ["000000.tar", "000001.tar", "000002.tar"]
    with tarfile.open(tars[1]) as tar:
        members = tar.getmembers()
        assert [m.name for m in members[:4]] == [
            "000004.input.png", "000004.target.png", "000004.json", "000005.input.png",
        ]  # fmt: skip
        assert {(m.uid, m.mtime, m.mode) for m in members} == {(0, 0, 0o644)}
        data = [tar.extractfile(m).read() for m in members[:3]]  # type: ignore[union-attr]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data[0]))), stored[4].blurred)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data[1]))), stored[4].sharp)
    assert json.loads(data[2]) == stored[4].record


def test_parquet(stored: bs.Dataset, tmp_path: Path) -> None:
    made = export(stored, tmp_path / "out", to="parquet")
    table = parquet.read_table(made.out / "000002.parquet")
    assert table.column_names == ["index", "input", "target", "source", "license", "record"]
    row = table.to_pylist()[1]
    assert row["index"] == 9
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["target"]["bytes"]))), stored[9].sharp)
    assert row["license"] == stored[9].license
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["input"] == {"_type": "Image"}
    assert list(features) == table.column_names


def test_hdf5(stored: bs.Dataset, tmp_path: Path) -> None:
    made = export(stored, tmp_path / "out", to="hdf5")
    with h5py.File(made.out / "pairs.h5") as file:
        assert file["input"].chunks == (1, 32, 32, 3)
        batch = stored.batch(range(11))
        assert np.array_equal(file["input"][:], batch.blurred)
        assert np.array_equal(file["target"][:], batch.sharp)
        assert json.loads(file.attrs["blursynth"])["digest"] == stored.digest
    assert [json.loads(line) for line in (made.out / "draws.jsonl").read_text().splitlines()] == list(stored.records())


@pytest.mark.parametrize("to", ["folders", "lmdb", "webdataset", "parquet", "hdf5"])
def test_an_interrupted_export_goes_on(stored: bs.Dataset, tmp_path: Path, to: str) -> None:
    whole = export(stored, tmp_path / "whole", to=to)

    def stop(progress: Progress) -> None:
        if progress.done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(stored, tmp_path / "out", to=to, on_progress=stop)
    gone = f"{socket.gethostname()}.{2**22 + 1}.0a0b0c0d.partial"  # no process has this number
    left = [tmp_path / "out" / f"{name}.{gone}" for name in ("000001.tar", "metadata.jsonl", "draws.jsonl")]
    for path in left:
        path.write_text("left by one that was killed")
    theirs = tmp_path / "out" / f"000001.tar.{socket.gethostname()}.{os.getppid()}.0a0b0c0d.partial"
    theirs.write_text("of one that is writing")
    again = export(stored, tmp_path / "out", to=to)
    assert again.pairs == 11
    assert again.written == {"folders": 5, "lmdb": 11, "webdataset": 7, "parquet": 7, "hdf5": 11}[to]
    assert not any(path.exists() for path in left)
    theirs.unlink()
    there = tree(tmp_path / "out")
    if to in ("folders", "webdataset", "parquet"):  # the others hold times and sizes of pages
        assert there == tree(whole.out)
    assert set(there) == set(tree(whole.out))
    assert export(stored, tmp_path / "out", to=to).written == 0
    with pytest.raises(DatasetError, match="another export was begun there"):
        export(stored, tmp_path / "out", to=to, names=("blur", "sharp"))


def test_nothing_is_written_through_links_of_others(stored: bs.Dataset, tmp_path: Path) -> None:
    export(stored, tmp_path / "out")
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "out" / "input").rename(elsewhere)
    (elsewhere / "000003.png").unlink()
    (tmp_path / "out" / "input").symlink_to(elsewhere)
    with pytest.raises(DatasetError, match="is a link out of the data set"):
        export(stored, tmp_path / "out")
    assert not (elsewhere / "000003.png").exists()


def test_disks_that_are_full(stored: bs.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ = lmdb.open
    with monkeypatch.context() as patch:
        patch.setattr(lmdb, "open", lambda path, map_size: open_(path, map_size=2**14))
        with pytest.raises(DatasetError, match=r"the databases cannot be written .*MDB_MAP_FULL.*export again"):
            export(stored, tmp_path / "lmdb", to="lmdb")
    assert {p.name for p in (tmp_path / "lmdb").iterdir()} == {"export.json"}
    assert export(stored, tmp_path / "lmdb", to="lmdb").written == 11

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DatasetError, match=r"the disk is full .*export again; what is complete is kept"):
            export(stored, tmp_path / "folders")
    assert export(stored, tmp_path / "folders").written == 11


def test_sixteen_bits_and_linear_light(pictures: Path, tmp_path: Path) -> None:
    deep = bs.Recipe([("decode", bs.kinds.Decode()), ("encode", bs.kinds.Encode(bit_depth=16))])
    light = bs.Recipe([("decode", bs.kinds.Decode())])
    for name, recipe in (("deep", deep), ("light", light)):
        request = DatasetRequest(sources=pictures, recipe=recipe, count=3, size_px=16)
        generate(request, tmp_path / name, workers=1)
    export(tmp_path / "deep", tmp_path / "png")
    codes = cv2.imread(str(tmp_path / "png/target/000002.png"), cv2.IMREAD_UNCHANGED)
    stored = bs.open_dataset(tmp_path / "deep")[2].sharp
    assert stored.dtype == codes.dtype == np.uint16
    assert np.array_equal(codes[..., ::-1], stored)
    with pytest.raises(InvalidValueError, match="holds linear light as float32, which PNG cannot hold"):
        export(tmp_path / "light", tmp_path / "no")
    assert not (tmp_path / "no").exists()
    export(tmp_path / "light", tmp_path / "h5", to="hdf5")
    with h5py.File(tmp_path / "h5/pairs.h5") as file:
        assert np.array_equal(file["target"][1], bs.open_dataset(tmp_path / "light")[1].sharp)


def test_the_command_and_what_cannot_be(stored: bs.Dataset, tmp_path: Path) -> None:
    def run(*words: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["export", *map(str, words)])
        return result.exit_code, result.output + str(result.exception or "")

    out = tmp_path / "out"
    code, text = run(stored.path, out, "--names", "blur,sharp")
    assert code == 0
    assert text.endswith(f"{out}: 11 pairs\n")
    assert (out / "blur/000010.png").is_file()
    assert run(stored.path, out, "--names", "blur,sharp")[1].endswith(f"{out}: 11 pairs, 0 of them now\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    for words, expected in (
        ((stored.path, tmp_path / "full"), "the folder holds something else (mine.txt)"),
        ((stored.path, tmp_path / "x", "--to", "zip"), "must be one of folders, lmdb, webdataset, parquet, hdf5"),
        ((stored.path, tmp_path / "x", "--names", "../a,b"), "must be two different names of letters"),
        ((stored.path, tmp_path / "x", "--names", "a"), "must be two names with a comma between them"),
        ((tmp_path / "full", tmp_path / "x"), "is not a blursynth data set"),
    ):
        code, text = run(*words)
        assert code != 0
        assert expected in text
    assert not (tmp_path / "x").exists()
