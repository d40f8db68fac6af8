from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blursynth as bs
from blursynth.dataset import replay, resume, verify
from blursynth.dataset.files import canonical, sealed, sha256_hex
from blursynth.dataset.sample_records import encode_index
from blursynth.errors import DatasetError


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def reseal(path: Path, **changes: object) -> dict[str, object]:
    """Change a file as somebody would who knows how its hash is made."""
    document = {**json.loads(path.read_text()), **changes}
    document.pop("sha256", None)
    if "request" in document:
        document["request_sha256"] = sha256_hex(canonical(document["request"]))
    path.write_bytes(sealed(document))
    return document


def rewrite_draws(out: Path, shard: int, lines: list[bytes]) -> dict[str, Any]:
    """Other records, with every hash mended."""
    manifest: dict[str, Any] = json.loads((out / f"manifest/{shard:06d}.json").read_text())
    for stored, data in zip(manifest["objects"][-2:], (b"".join(lines), encode_index(lines)), strict=True):
        (out / stored["path"]).write_bytes(data)
        stored.update(size=len(data), sha256=sha256_hex(data))
    return reseal(out / f"manifest/{shard:06d}.json", objects=manifest["objects"])


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_sound_data_set_has_no_problems(made: Path) -> None:
    seen = []
    found = verify(made, deep=True, replay=11, on_progress=seen.append)
    assert found.ok, found.problems
    assert found.digest == bs.open_dataset(made).digest
    assert sorted(found.replayed) == list(range(11))
    assert (seen[-1].stage, seen[-1].done, seen[-1].total) == ("verify", 14, 14)


SHARD = "sharp/c/1/0/0/0"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda out: (out / SHARD).unlink(), f"{SHARD}: is missing"),
        (lambda out: (out / SHARD).write_bytes((out / SHARD).read_bytes()[:-9]), "its manifest says"),
        (lambda out: flip(out / SHARD, 100), "its content was changed"),
        (lambda out: (out / "manifest/000001.json").unlink(), "the manifest is missing"),
        (lambda out: (out / "manifest/000001.json").write_text("{"), "it is not JSON"),
        (lambda out: (out / "manifest/000001.json").write_text('{"objects": []}'), "shard: Field required"),
        (lambda out: reseal(out / "manifest/000001.json", objects=[]), "is not that of shard 1"),
        (lambda out: reseal(out / "manifest/000001.json", first="4"), "first: Input should be a valid integer"),
        (lambda out: shutil.copy(out / "manifest/000000.json", out / "manifest/000001.json"), "is not that of shard 1"),
        (lambda out: flip(out / "draws/000001.jsonl", 30), "its content was changed"),
        (lambda out: (out / "draws/000001.jsonl").unlink(), "is missing"),
    ],
)
def test_damage_is_found_and_mended(copy: Path, damage: Callable[[Path], object], words: str) -> None:
    before = bs.open_dataset(copy).digest
    damage(copy)
    found = verify(copy)
    assert not found.ok
    assert any(words in p.what for p in found.problems), found.problems
    assert found.damaged_shards == (1,)
    report = resume(copy, workers=1, redo=found.damaged_shards)
    assert report.made == (1,)
    assert report.digest == before
    assert verify(copy, deep=True).ok


def test_resume_alone_mends_what_has_a_wrong_size(copy: Path) -> None:
    (copy / SHARD).unlink()
    assert resume(copy, workers=1).made == (1,)
    assert verify(copy).ok


def test_a_flipped_bit_is_found_deep_down_and_by_the_reader(copy: Path) -> None:
    flip(copy / SHARD, 100)
    found = verify(copy, deep=True)
    assert any(p.sample == 4 and "sample 4 of sharp" in p.what and "crc32c" in p.what for p in found.problems)
    data = bs.open_dataset(copy)
    with pytest.raises(
        DatasetError, match=r"chunk 0 of the shard is damaged \(its crc32c or its compressed stream is wrong\)"
    ):
        data[4]
    assert data[5].index == 5


def test_consistent_forgery_is_found_by_rendering_again(copy: Path) -> None:
    """Someone edits a draw and mends every hash: only making the sample again shows it."""
    lines = [json.loads(line) for line in (copy / "draws/000002.jsonl").read_text().splitlines()]
    step = next(s for s in lines[0]["draw"]["step"] if s["name"] == "lens")
    step["sigma_px"] = 0.0
    manifest = rewrite_draws(copy, 2, [canonical(line) + b"\n" for line in lines])
    found = verify(copy, replay=11)
    assert any(p.sample == 8 and "rendered again it differs" in p.what for p in found.problems), found.problems
    assert any(p.sample == 8 and "its draw differs from the draw of the recipe" in p.what for p in found.problems)
    reseal(copy / "manifest/000002.json", content={**manifest["content"], "sharp": "0" * 64})
    with pytest.raises(DatasetError, match="made twice with different content"):
        resume(copy, workers=1, redo=[2])


def test_replay_gives_the_stored_bytes(made: Path, pictures: Path, tmp_path: Path) -> None:
    again = replay(made, 6)
    assert again.equal
    assert again.differences == {}
    np.testing.assert_array_equal(again.arrays["blurred"], bs.open_dataset(made)[6].blurred)
    shutil.copytree(pictures, tmp_path / "elsewhere")
    assert replay(made, -1, source_root=tmp_path / "elsewhere").equal
    with pytest.raises(DatasetError, match="there is no sample 11"):
        replay(made, 11)
    with pytest.raises(DatasetError, match="there is no such folder"):
        replay(made, 1, source_root=tmp_path / "none")


def test_a_data_set_that_moved_to_another_machine(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "nothing"))
    assert verify(copy, deep=True).ok
    with pytest.raises(DatasetError, match="with source_root"):
        replay(copy, 0)
    with pytest.raises(DatasetError, match="with source_root"):  # no damage, and told before hours of checks
        verify(copy, replay=2)


def test_damaged_zarr_metadata_is_found(copy: Path) -> None:
    (copy / "blurred" / "zarr.json").write_text("{}")
    assert any("blurred/zarr.json" in p.what for p in verify(copy).problems)


def test_an_index_of_other_content_is_found(copy: Path) -> None:
    index = json.loads((copy / "index.json").read_text())
    index["digest"]["pixels"] = "0" * 64
    (copy / "index.json").write_text(json.dumps(index))
    assert any("index.json" in p.what for p in verify(copy).problems)
    (copy / "index.json").unlink()
    (copy / "manifest" / "000000.json").unlink()
    found = verify(copy).problems
    assert len(found) == 1  # not one for every shard that is still to come
    assert "not finished" in found[0].what
    assert resume(copy, workers=1).finished
    assert verify(copy).ok


def test_records_that_were_moved_or_changed(copy: Path) -> None:
    """Swapped and doubled lines gave another sample's draw; a flipped digit ended the program."""
    path = copy / "draws/000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    damages = {
        "swapped": [lines[1], lines[0], *lines[2:]],
        "doubled": [lines[0], lines[0], *lines[2:]],
        "flipped": [lines[0].replace(b'"sha256":{', b'"sha256":{', 1), lines[1].replace(b"a", b"g", 1), *lines[2:]],
    }
    for name, damaged in damages.items():
        path.write_bytes(b"".join(damaged))
        found = verify(copy, deep=True)
        assert found.damaged_shards == (1,), name
        with pytest.raises(DatasetError, match="draws"):
            list(bs.open_dataset(copy).records())
        # With every hash mended, only the numbers of the samples tell.
        if name != "flipped":
            rewrite_draws(copy, 1, damaged)
            with pytest.raises(DatasetError, match=r"the record of sample . is that of"):
                list(bs.open_dataset(copy).records())
            assert verify(copy, deep=True).damaged_shards == (1,)
        rewrite_draws(copy, 1, lines)
    assert bs.open_dataset(copy).record(5)["index"] == 5


def test_one_record_is_read_without_the_others(copy: Path) -> None:
    path = copy / "draws/000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[0] = b"x" * (len(lines[0]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    data = bs.open_dataset(copy)
    assert data[5].record["index"] == 5
    with pytest.raises(DatasetError, match=r"the record of sample 4 is damaged \(its crc32c is wrong\)"):
        data[4]


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "skipped.json", "index.json", "zarr.json"])
def test_files_beside_the_shards(copy: Path, name: str) -> None:
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data.replace(b" ", b"  ", 1))
    assert [name in p.what for p in verify(copy).problems] == [True]
    (copy / name).unlink()
    problems = verify(copy).problems
    assert len(problems) == 1
    assert (name if name != "index.json" else "not finished") in problems[0].what


def test_files_of_others_are_told(copy: Path) -> None:
    (copy / "LICENSE").write_text("mine")
    (copy / "draws" / "000000.jsonl.host.1.0a0b0c0d.partial").write_text("half")
    found = verify(copy)
    assert found.ok
    assert found.notes[0] == "LICENSE: is not a file of this data set"
    assert "was left by a writer that was stopped" in found.notes[1]
    (copy / "sharp/c/9/0/0").mkdir(parents=True)
    (copy / "sharp/c/9/0/0/0").write_bytes(b"a shard that a zarr reader would take")
    assert [p.what for p in verify(copy).problems] == ["sharp/c/9/0/0/0: is not a file of this data set"]
    shutil.rmtree(copy / "sharp/c/9")
    (copy / "manifest/000001.json").unlink()  # what it names is not a file of others
    assert [p.what for p in verify(copy).problems] == [
        "manifest/000001.json: the manifest is missing; blursynth repair makes the shard again"
    ]


def test_other_samples_are_rendered_again_each_time(made: Path) -> None:
    chosen = {verify(made, replay=4).replay_seed for _ in range(2)}
    assert len(chosen) == 2
    seed = chosen.pop()
    first, again = verify(made, replay=4, replay_seed=seed), verify(made, replay=4, replay_seed=seed)
    assert first.replayed == again.replayed
    assert len(set(first.replayed)) == 4
    assert verify(made).replay_seed is None


def test_damage_is_exit_1_whatever_the_file(copy: Path) -> None:
    from typer.testing import CliRunner

    from blursynth.cli.app import app

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["verify", str(copy), *words])
        return result.exit_code, result.output

    code, text = run("--replay", "2", "--replay-seed", "7")
    assert code == 0
    assert "2 samples rendered again (--replay-seed 7)" in text
    for name in ("zarr.json", "index.json", "manifest/000000.json", "dataset.json"):
        flip(copy / name, 20)
        code, text = run("--deep")
        assert code == 1, text
        assert name in text
        flip(copy / name, 20)
    (copy / "dataset.json").unlink()
    assert run() == (1, f"{copy} has 1 problem:\n  - {copy / 'dataset.json'}: the description of the data set is missing. "
                     f"Run blursynth repair {copy}, which restores it from its copy.\n")  # fmt: skip
    shutil.rmtree(copy)
    assert run()[0] == 2


FLIPS = [0, 1 / 7, 0.31, 0.5, 0.77, 0.99, 1]


def flips_that_pass(out: Path, places: list[float], files: list[Path]) -> list[str]:
    """Flip one bit after the other; those that no check finds."""
    passed = []
    for number, path in enumerate(files):
        data = path.read_bytes()
        for k, place in enumerate(places):
            bit = min(int(place * len(data) * 8), len(data) * 8 - 1) ^ (number + 3 * k) % 8
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            if verify(out, deep=True).ok:
                passed.append(f"bit {bit} of {path.relative_to(out)}")
        path.write_bytes(data)
    return passed


def test_one_flipped_bit_in_each_file_is_found(copy: Path) -> None:
    files = sorted(p for p in copy.rglob("*") if p.is_file())
    one_of_each = {p.relative_to(copy).parts[0] if p.suffix != ".index" else p.suffix: p for p in files}
    assert len(one_of_each) >= 11
    assert flips_that_pass(copy, [0.6], sorted(one_of_each.values())) == []


@pytest.mark.slow
def test_every_flipped_bit_in_every_file_is_found(copy: Path) -> None:
    files = sorted(p for p in copy.rglob("*") if p.is_file())
    assert flips_that_pass(copy, FLIPS, files) == []
    # Of the small files whose text could be written in other ways, every byte.
    for name in ("dataset.json", "manifest/000002.json", "zarr.json", "index.json", "skipped.json"):
        size = (copy / name).stat().st_size
        assert flips_that_pass(copy, [i / size for i in range(0, size, 7)], [copy / name]) == []
    assert verify(copy, deep=True).ok


def test_some_shards_alone(copy: Path, pictures: Path) -> None:
    """Of three shards of 4, 4 and 3 samples, each job checks its own, whatever is wrong with the others."""
    flip(copy / SHARD, 100)
    (copy / "draws/000002.jsonl").unlink()
    first = verify(copy, deep=True, replay=3, replay_seed=1, shards=(0, 1))
    assert first.ok, first.problems
    assert (first.shards, first.samples, first.digest) == (1, 4, {})
    assert set(first.replayed) < {0, 1, 2, 3}
    assert verify(copy, shards=(1, 2)).damaged_shards == (1,)
    assert verify(copy, shards=(2, 9)).damaged_shards == (2,)
    assert set(verify(copy, replay=99, shards=(1, 3)).replayed) == {4, 5, 6, 7, 8, 9, 10}
    (copy / "manifest/000002.json").unlink()
    assert verify(copy, shards=(0, 1)).ok
    assert [p.what for p in verify(copy, shards=(2, 3)).problems] == [
        "manifest/000002.json: the manifest is missing; blursynth repair makes the shard again"
    ]
    (copy / "index.json").unlink()  # still being made, by other jobs
    assert verify(copy, shards=(0, 1)).ok
    assert [p.what for p in verify(copy, shards=(2, 3)).problems] == ["the data set is not finished (0 of 1 shards)"]
    for wrong in ((3, 4), (2, 2), (-1, 2)):
        with pytest.raises(bs.InvalidValueError, match="shards"):
            verify(copy, shards=wrong)


def test_any_number_of_workers_finds_the_same(copy: Path) -> None:
    for name in ("sharp/c/2/0/0/0", SHARD, "draws/000000.jsonl"):
        flip(copy / name, 60)
    one, several = (verify(copy, deep=True, workers=workers) for workers in (1, 3))
    assert one.problems == several.problems
    assert [p.shard for p in one.problems] == sorted(p.shard for p in one.problems if p.shard is not None)
    assert one.damaged_shards == (0, 1, 2)
