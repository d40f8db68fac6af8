"""Near-duplicates, limits of sources, and splits by share: by content alone, whatever else is among the sources."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import blursynth as bs
from blursynth import dataset
from blursynth.dataset import Scan, Source, scan_sources
from blursynth.dataset.detail import sharpest_detail
from blursynth.errors import InvalidValueError, PictureError
from blursynth.frame import Encoding


def source(number: int, folder: str = "") -> Source:
    sha = hashlib.sha256(str(number).encode()).hexdigest()
    return Source(f"{folder}{number}.png", sha, 100, 150, 8, "", "")


def scan_of(sources: list[Source], groups: dict[str, str] | None = None) -> Scan:
    return Scan(tuple(sorted(sources, key=lambda s: s.sha256)), (), (), {"": "/"}, groups=groups or {})


SHARES = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}


def sides(scan: Scan, by: str = "picture") -> dict[str, str]:
    parts = {name: scan.part(share, by) for name, share in SHARES.items()}  # type: ignore[arg-type]
    found = {s.name: name for name, part in parts.items() for s in part.usable}
    assert len(found) == len(scan.usable) == sum(len(part.usable) for part in parts.values())
    return found


def test_shares_stay_when_sources_are_added() -> None:
    few, many = [source(i) for i in range(0, 3000, 2)], [source(i) for i in range(3000)]
    before, after = sides(scan_of(few)), sides(scan_of(many))
    assert before.items() <= after.items()
    renamed = [replace(s, name=f"x/{s.name}") for s in many]
    assert sides(scan_of(renamed)) == {f"x/{name}": side for name, side in after.items()}
    for name, (first, last) in SHARES.items():  # binomial: within 5 sigma
        share, number = last - first, sum(side == name for side in after.values())
        assert abs(number - 3000 * share) < 5 * np.sqrt(3000 * share * (1 - share))


def test_a_place_is_a_hash_of_the_content() -> None:
    one = source(17)
    digest = hashlib.blake2b(one.sha256.encode(), digest_size=8, person=b"split").digest()
    place = int.from_bytes(digest, "big") / 2**64
    assert scan_of([one]).part((place - 1e-9, place + 1e-9)).usable == (one,)
    with pytest.raises(PictureError, match="None of the 1 pictures"):
        scan_of([one]).part((place + 1e-9, 1.0))


def test_folders_and_near_duplicates_are_not_divided() -> None:
    sources = [source(i, f"burst{i // 4}/") for i in range(400)]
    found = sides(scan_of(sources), by="folder")
    assert len(set(found.values())) == 3
    assert all(len({found[s.name] for s in sources[i : i + 4]}) == 1 for i in range(0, 400, 4))
    groups = {}
    for i in range(0, 390, 10):
        pair = sources[i].sha256, sources[i + 5].sha256
        groups.update(dict.fromkeys(pair, min(pair)))
    for by in ("picture", "folder"):
        found = sides(scan_of(sources, groups), by=by)
        assert all(found[sources[i].name] == found[sources[i + 5].name] for i in range(0, 390, 10))


@pytest.fixture
def alike(tmp_path: Path) -> Path:
    """Two photographs, and copies of one: smaller, and of another format."""
    from blursynth.dataset.bundled import bundled_photographs

    chelsea, coffee = bundled_photographs("held-out")
    folder = tmp_path / "alike"
    (folder / "more").mkdir(parents=True)
    picture = Image.open(chelsea).convert("RGB")
    shutil.copy(chelsea, folder / "chelsea.png")
    shutil.copy(coffee, folder / "coffee.png")
    picture.resize((225, 150)).save(folder / "small.png")
    picture.save(folder / "more" / "copy.jpg", quality=60)
    return folder


def test_near_duplicates_are_reported_or_skipped(alike: Path) -> None:
    assert len(scan_sources(alike).usable) == 4
    scan = scan_sources(alike, near_duplicates="report")
    assert len(scan.usable) == 4
    assert "3 pictures look like others: chelsea.png, more/copy.jpg, small.png" in scan.notes[0]
    scan = scan_sources(alike, near_duplicates="skip")
    kept = min(("chelsea.png", "more/copy.jpg"), key=lambda n: hashlib.sha256((alike / n).read_bytes()).hexdigest())
    assert {s.name for s in scan.usable} == {kept, "coffee.png"}
    assert {d.name for d in scan.duplicates} == {"chelsea.png", "more/copy.jpg", "small.png"} - {kept}
    assert all(d.why.startswith(f"looks like {kept} (") for d in scan.duplicates)


def test_a_data_set_with_shares(alike: Path, pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    split = [{"name": "train", "share": 0.5, "count": 4}, {"name": "test", "share": 0.5, "count": 3}]
    request = dataset.DatasetRequest(sources=(alike, pictures), recipe=recipe, size_px=32, seed=3, split=split)
    scans: list[int] = []
    dataset.generate(
        request, tmp_path / "out", workers=1, on_progress=lambda p: scans.append(p.total) if p.stage == "scan" else None
    )
    assert scans.count(7) >= 1
    parts = {name: dataset.open_dataset(tmp_path / "out" / name) for name in ("train", "test")}
    found = {s.name: name for name, part in parts.items() for s in part.spec.sources}
    assert len(found) == 7
    assert len({found[f"alike/{name}"] for name in ("chelsea.png", "small.png", "more/copy.jpg")}) == 1
    for name, part in parts.items():
        assert {found[sample.source] for sample in part} == {name}
    online = dataset.OnlineDataset(request.parts()["test"])
    np.testing.assert_array_equal(online[1].blurred, parts["test"][1].blurred)
    assert dataset.verify(tmp_path / "out" / "train", deep=True, replay=4).ok


def test_splits_of_their_own_sources_may_not_look_alike(alike: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    split = [
        {"name": "train", "sources": [str(alike / "chelsea.png"), str(alike / "coffee.png")], "count": 2},
        {"name": "test", "sources": [str(alike / "more")], "count": 2},
    ]
    request = dataset.DatasetRequest(recipe=recipe, size_px=32, split=split, near_duplicates="skip")
    with pytest.raises(
        InvalidValueError, match=r"'train' and 'test' have pictures that look alike: chelsea\.png and copy\.jpg"
    ):
        dataset.generate(request, tmp_path / "out", workers=1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"split": [{"name": "a", "share": 0.7, "count": 1}, {"name": "b", "share": 0.4, "count": 1}]}, "at most 1 together, got 1.1"),
        ({"split": [{"name": "a", "share": 0.7, "sources": "b/", "count": 1}]}, "both sources and a share"),
        ({"split": [{"name": "a", "share": 0.0, "count": 1}]}, "share"),
        ({"share": (0.5, 0.5)}, "0 <= first < last <= 1"),
        ({"near_duplicates": "drop"}, "near_duplicates"),
    ],
)  # fmt: skip
def test_wrong_requests(fields: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        dataset.DatasetRequest(sources="a/", **fields)
    assert words in str(caught.value)


def test_limits_of_sources(pictures: Path, tmp_path: Path) -> None:
    for name in ("photo0.png", "photo1.png"):
        shutil.copy(pictures / name, tmp_path / name)
    rows = np.arange(400)[:, None] / 400
    soft = np.broadcast_to(rows, (3, 400, 300)).copy()
    bs.write_picture(tmp_path / "soft.png", soft)
    soft[:, 300:364, 200:264] = np.indices((64, 64)).sum(axis=0) % 2  # a sharp subject
    bs.write_picture(tmp_path / "subject.png", soft)
    scan = scan_sources(tmp_path, min_source_px=100, min_source_detail=10.0)
    assert {s.name for s in scan.usable} == {"photo1.png", "subject.png"}
    why = {s.name: s.why for s in scan.skipped}
    assert why["photo0.png"] == "120 x 96 px (width x height) is smaller than min_source_px, 100 px"
    assert why["soft.png"].startswith("its sharpest part has a detail of 0.")


def test_sharpest_part_is_found_at_every_edge() -> None:
    checks = 255 * (np.indices((8, 8)).sum(axis=0) % 2)
    for top, left in ((0, 0), (252, 252), (592, 692), (252, 692)):  # of tiles, between tiles, of the picture
        codes = np.full((600, 700, 3), 90, np.uint8)
        codes[top : top + 8, left : left + 8] = checks[..., None]
        assert sharpest_detail(codes, Encoding.DISPLAY) > 5
    assert sharpest_detail(np.full((600, 700, 3), 90, np.uint8), Encoding.DISPLAY) == 0
    assert sharpest_detail(codes[:2], Encoding.DISPLAY) == 0
    assert sharpest_detail(codes, Encoding.DISPLAY) == pytest.approx(
        sharpest_detail(codes.astype(np.uint16) * 257, Encoding.DISPLAY), rel=1e-5
    )
