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
from blursynth.dataset.records import encode_index
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
        (lambda out: (out / "manifest/000001.json").write_text("{"), "it is no JSON"),
        (lambda out: (out / "manifest/000001.json").write_text('{"objects": []}'), "its sha256 differs"),
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
    assert any(p.sample == 8 and "is not what the recipe draws" in p.what for p in found.problems)
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
    with pytest.raises(DatasetError, match="Give source_root"):
        replay(copy, 0)
    found = verify(copy, replay=2)
    assert any("nothing can be rendered again" in p.what for p in found.problems)


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
