"""Data sets made of pictures in tar and Parquet files: the same pixels as from the files themselves."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

import blursynth as bs
from blursynth import dataset
from blursynth.dataset import scan_sources
from blursynth.errors import DatasetError, PictureError


def pack(path: Path, files: dict[str, Path]) -> Path:
    """Write files under these names into a tar, or in this order into the rows of a Parquet file."""
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as tar:
            for name, file in files.items():
                tar.add(file, f"./{name}")
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        rows = [{"image": {"bytes": file.read_bytes(), "path": name}} for name, file in files.items()]
        parquet.write_table(arrow.Table.from_pylist(rows), path, row_group_size=2)
    return path


@pytest.fixture(params=["tar", "parquet"])
def packed(request: pytest.FixtureRequest, pictures: Path, tmp_path: Path) -> Path:
    """The pictures, in the reverse of their order, in one file."""
    files = {str(f.relative_to(pictures)): f for f in sorted(pictures.rglob("*.png"), reverse=True)}
    assert list(files) == ["photo1.png", "photo0.png", "deep/photo2.png"]
    return pack(tmp_path / f"pictures.{request.param}", files)


def request_for(sources: Path | str, recipe: bs.Recipe) -> dataset.DatasetRequest:
    return dataset.DatasetRequest(sources=sources, recipe=recipe, count=7, size_px=32, seed=5, shard_length=3)


def test_same_pixels_as_of_files(packed: Path, pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    expected = dataset.generate(request_for(pictures, recipe), tmp_path / "files", workers=1)
    out = tmp_path / "packed"
    parts = [dataset.generate(request_for(packed, recipe), out, workers=1, shards=(s, s + 1)) for s in (1, 0)]
    assert [report.finished for report in parts] == [False, False]
    report = dataset.resume(out, workers=2)  # in other processes, which find the members by themselves
    assert report.digest["pixels"] == expected.digest["pixels"]
    assert dataset.verify(out, deep=True, replay=7).ok
    online = dataset.OnlineDataset(request_for(packed, recipe))
    assert {online[i].source.partition("/")[0] for i in range(7)} == {packed.name}
    assert {s.name for s in online.spec.sources} == (
        {"pictures.tar/photo0.png", "pictures.tar/photo1.png", "pictures.tar/deep/photo2.png"}
        if packed.suffix == ".tar" else {f"pictures.parquet/{row}" for row in range(3)}
    )  # fmt: skip


def test_found_by_folder_pattern_list_and_name(packed: Path) -> None:
    found = {s.name for s in scan_sources(packed.parent).usable}
    assert len(found) == 3
    assert {s.name for s in scan_sources(f"{packed.parent}/*{packed.suffix}").usable} == found
    one = min(found)
    assert [s.name for s in scan_sources(packed.parent / one).usable] == [one]
    listing = packed.parent / "some.txt"
    listing.write_text(f"{one}\n")
    assert [s.name for s in scan_sources(listing).usable] == [one]
    listing.write_text(f"{packed.name}/nothing.png\n")
    with pytest.raises(PictureError, match="there is no such file"):
        scan_sources(listing)


def test_a_changed_member_is_not_used(packed: Path, recipe: bs.Recipe, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dataset.generate(request_for(packed, recipe), out, workers=1)
    names = ["photo1.png", "photo0.png", "deep/photo2.png"]
    files = {name: pictures / (name if name != "photo1.png" else "photo0.png") for name in names}
    if packed.suffix == ".tar":  # in another order, so that members lie elsewhere
        files = dict(reversed(files.items()))
    pack(packed, files)
    changed = f"{packed.name}/{'photo1.png' if packed.suffix == '.tar' else 0}"
    records = [dataset.open_dataset(out)[i] for i in range(7)]
    assert {sample.source for sample in records} > {changed}
    for sample in records:
        if sample.source == changed:
            with pytest.raises(DatasetError, match="not the picture that was scanned"):
                dataset.replay(out, sample.index)
        else:
            assert dataset.replay(out, sample.index).equal


def test_a_damaged_container_beside_good_pictures(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes((pictures / "photo0.png").read_bytes())
    (tmp_path / "bad.tar").write_bytes(b"no tar" * 500)
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with tarfile.open(tmp_path / "mixed.tar", "w") as tar:
        for name, data in (("a.png", b"no picture"), ("a.json", b"{}"), ("._a.png", b"?")):
            (tmp_path / "part").write_bytes(data)
            tar.add(tmp_path / "part", name)
    scan = scan_sources(tmp_path)
    assert [s.name for s in scan.usable] == ["good.png"]
    why = {s.name: s.why for s in scan.skipped}
    assert set(why) == {"bad.tar", "bad.parquet", "mixed.tar/a.png"}
    assert "not a tar" in why["bad.tar"]
    assert "no Parquet file" in why["bad.parquet"]
    assert "not a picture" in why["mixed.tar/a.png"]
    assert scan.ignored == {".json": 1, "hidden": 1, "(no ending)": 1}
    with pytest.raises(PictureError, match=r"bad\.tar: is not a tar, or damaged at its beginning"):
        scan_sources(tmp_path / "bad.tar")
