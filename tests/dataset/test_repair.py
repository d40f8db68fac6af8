"""Repair: whatever is damaged, the files end as those of a data set that nobody disturbed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import blursynth as bs
from blursynth import dataset
from blursynth.cli.app import app
from blursynth.dataset import repair, verify
from blursynth.dataset.files import locked, sealed, sha256_hex
from blursynth.errors import DatasetError

Contents = dict[str, str]


@pytest.fixture(scope="module")
def made_with_asset(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A finished data set whose recipe refers to a measured kernel."""
    out = tmp_path_factory.mktemp("sets") / "made"
    kernel = np.array([[0.0, 0.1, 0.2], [0.0, 0.4, 0.1], [0.2, 0.0, 0.0]])
    recipe = bs.Recipe(
        [
            ("decode", bs.kinds.Decode()),
            ("shake", bs.kinds.MeasuredBlur(kernel=bs.assets.register(kernel))),
            ("encode", bs.kinds.Encode()),
        ]
    )
    request = dataset.DatasetRequest(sources=pictures, recipe=recipe, count=7, size_px=32, shard_length=3)
    dataset.generate(request, out, workers=1)
    return out


@pytest.fixture
def copy(made_with_asset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_with_asset, tmp_path / "made"))  # the card has its name


def contents(out: Path) -> Contents:
    """The sha256 of every file."""
    return {p.relative_to(out).as_posix(): sha256_hex(p.read_bytes()) for p in sorted(out.rglob("*")) if p.is_file()}


def flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 4
    path.write_bytes(data)


def test_nothing_is_written_where_nothing_is_damaged(copy: Path) -> None:
    times = {p: p.stat().st_mtime_ns for p in copy.rglob("*") if p.is_file()}
    found = repair(copy, workers=1)
    assert found.ok
    assert (found.files, found.shards) == ((), ())
    assert found.digest == verify(copy).digest
    assert {p: p.stat().st_mtime_ns for p in copy.rglob("*") if p.is_file()} == times


def test_copies_are_those_of_the_files_that_nothing_else_implies(copy: Path) -> None:
    files = contents(copy)
    asset = next(name for name in files if name.startswith("assets/"))
    assert [name for name in files if name.startswith("copies/")] == [
        f"copies/{name}" for name in (asset, "dataset.json", "skipped.json")
    ]
    assert all(files[f"copies/{name}"] == files[name] for name in (asset, "dataset.json", "skipped.json"))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": lambda path: flip(path, 0.6),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
}


def test_every_single_file_is_mended(copy: Path) -> None:
    """Each file of a data set, damaged in one of four ways in turn (each kind of file in all of them)."""
    before = contents(copy)
    digest = verify(copy).digest
    for number, name in enumerate(before):
        for way in [*DAMAGE][number % 4 :][: 1 if name.startswith(("sharp", "blurred", "draws")) else 4]:
            DAMAGE[way](copy / name)
            found = repair(copy, workers=1)
            assert found.ok, (way, name, found.problems)
            assert contents(copy) == before, (way, name)
            assert found.digest == digest
            own = found.shards or found.files
            assert own, (way, name)
            assert len(found.shards) <= 1


def test_many_damaged_files_at_once(copy: Path) -> None:
    before = contents(copy)
    rng = np.random.default_rng(3)
    for name in before:
        if not name.startswith("copies/"):
            [*DAMAGE.values()][rng.integers(4)](copy / name)
    (copy / "index.json").write_bytes(b"{")  # there was one, so all shards were
    found = repair(copy, workers=1)
    assert found.ok, found.problems
    assert contents(copy) == before
    assert found.shards == (0, 1, 2)
    assert repair(copy, workers=1).shards == ()


def test_the_copies_alone_are_mended_from_the_files(copy: Path) -> None:
    before = contents(copy)
    shutil.rmtree(copy / "copies")
    note = verify(copy)
    assert note.ok, "data sets of earlier versions have none"
    assert "blursynth repair writes it" in note.notes[0]
    assert set(repair(copy, workers=1).files) == {name for name in before if name.startswith("copies/")}
    assert contents(copy) == before


def test_swapped_shards(copy: Path) -> None:
    before = contents(copy)
    one, other = (copy / f"sharp/c/{shard}/0/0/0" for shard in (0, 1))
    aside = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(aside)
    assert repair(copy, workers=1).shards == (0, 1)
    assert contents(copy) == before


@pytest.mark.parametrize("other", ["manifest/000001.json", "index.json", "croissant.json", "copies/dataset.json"])
def test_exchanged_files_of_json(copy: Path, other: str) -> None:
    """Each has a hash of its own, so it looks whole in a place where it does not belong."""
    before = contents(copy)
    (copy / "skipped.json").rename(copy / "aside")
    (copy / other).rename(copy / "skipped.json")
    (copy / "aside").rename(copy / other)
    assert not verify(copy).ok
    assert repair(copy, workers=1).ok
    assert contents(copy) == before


def test_what_is_not_of_the_data_set_is_left_alone(copy: Path) -> None:
    (copy / "sharp/c/9/0/0").mkdir(parents=True)
    (copy / "sharp/c/9/0/0/0").write_bytes(b"somebody's")
    (copy / "notes.txt").write_text("mine")
    flip(copy / "README.md", 0.5)
    result = CliRunner().invoke(app, ["repair", str(copy), "--workers", "1"])
    assert result.exit_code == 1
    assert "1 other file made again" in result.output
    assert "sharp/c/9/0/0/0: is not a file of this data set" in result.output
    assert (copy / "sharp/c/9/0/0/0").read_bytes() == b"somebody's"
    assert (copy / "notes.txt").read_text() == "mine"


def test_both_copies_of_the_description_damaged(copy: Path) -> None:
    for folder in (copy, copy / "copies"):
        flip(folder / "dataset.json", 0.3)
    before = contents(copy)
    with pytest.raises(DatasetError, match="blursynth generate with the original arguments"):
        repair(copy, workers=1)
    assert contents(copy) == before


def test_the_description_of_another_data_set_is_replaced(copy: Path, made: Path) -> None:
    """Somebody copied a wrong dataset.json over it: the manifests say which one is right."""
    before = contents(copy)
    shutil.copy(made / "dataset.json", copy / "dataset.json")
    found = repair(copy, workers=1)
    assert found.files == ("dataset.json",)
    assert found.shards == ()
    assert contents(copy) == before
    for folder in (copy, copy / "copies"):
        shutil.copy(made / "dataset.json", folder / "dataset.json")
    changed = contents(copy)
    with pytest.raises(DatasetError, match="belongs to another data set than the shards"):
        repair(copy, workers=1)
    assert contents(copy) == changed, "shards are not made again as those of another data set"


def test_other_content_than_the_index_states_is_no_repair(copy: Path) -> None:
    """A shard without its manifest is made again; only the index can tell that a source has changed meanwhile."""
    stated = json.loads((copy / "index.json").read_bytes())
    del stated["sha256"]
    (copy / "index.json").write_bytes(sealed({**stated, "digest": {"pixels": "0" * 64, "draws": "0" * 64}}))
    (copy / "manifest/000001.json").unlink()
    index = (copy / "index.json").read_bytes()
    with pytest.raises(DatasetError, match=r"other samples than index\.json states"):
        repair(copy, workers=1)
    assert (copy / "index.json").read_bytes() == index
    (copy / "index.json").unlink()
    assert repair(copy, workers=1).ok


def test_unfinished_data_sets_are_repaired_and_not_finished(copy: Path) -> None:
    before = contents(copy)
    for name in ("index.json", "README.md", "croissant.json", "manifest/000002.json"):
        (copy / name).unlink()
    flip(copy / "blurred/c/0/0/0/0", 0.4)
    found = repair(copy, workers=1)
    assert found.shards == (0,)
    assert [p.what for p in found.problems] == ["the data set is not finished (2 of 3 shards)"]
    assert not (copy / "manifest/000002.json").exists()
    dataset.resume(copy, workers=1)
    assert contents(copy) == before


def test_sources_are_needed_for_shards_alone(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "empty"))  # another machine
    flip(copy / "zarr.json", 0.5)
    assert repair(copy, workers=1).files == ("zarr.json",)
    flip(copy / "blurred/c/0/0/0/0", 0.4)
    with pytest.raises(DatasetError, match="source_root"):
        repair(copy, workers=1)


def test_a_writer_is_not_disturbed(copy: Path) -> None:
    with locked(copy, 1, 2), pytest.raises(DatasetError, match="is writing shards 1 to below 2"):
        repair(copy, workers=1)


def test_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such folder"):
        repair(tmp_path / "none")
    with pytest.raises(DatasetError, match="is not a blursynth data set"):
        repair(tmp_path)
    assert list(tmp_path.iterdir()) == []
