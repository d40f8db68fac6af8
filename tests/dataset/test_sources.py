from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import blursynth as bs
from blursynth import dataset
from blursynth.dataset import Skipped, scan_sources, sources
from blursynth.errors import PictureError
from blursynth.io.folders import walk


def names(scan: object) -> list[str]:
    return sorted(s.name for s in scan.usable)  # type: ignore[attr-defined]


def test_a_folder_is_searched_with_its_folders(pictures: Path) -> None:
    scan = scan_sources(pictures)
    assert names(scan) == ["deep/photo2.png", "photo0.png", "photo1.png"]
    assert scan.path(scan.usable[0]).exists()
    assert [s.sha256 for s in scan.usable] == sorted(s.sha256 for s in scan.usable)


def test_globs_files_lists_and_python_lists_find_the_same(pictures: Path, tmp_path: Path) -> None:
    listing = pictures / "some.txt"
    listing.write_text("# two of them\nphoto0.png\n\ndeep/photo2.png\n")
    try:
        expected = ["deep/photo2.png", "photo0.png"]
        assert names(scan_sources(listing)) == expected
        assert names(scan_sources([pictures / "photo0.png", pictures / "deep" / "photo2.png"])) == expected
        assert names(scan_sources(f"{pictures}/**/photo[02].png")) == expected
    finally:
        listing.unlink()


def test_neither_names_nor_places_decide_the_order(pictures: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(pictures.rglob("*.png"), reverse=True)):
        shutil.copy(path, tmp_path / f"renamed{number}.png")
    assert [s.sha256 for s in scan_sources(tmp_path).usable] == [s.sha256 for s in scan_sources(pictures).usable]


def test_several_folders_of_one_name_stay_apart(pictures: Path, tmp_path: Path) -> None:
    for parent, photo in (("a", "photo0.png"), ("b", "photo1.png")):
        (tmp_path / parent / "set").mkdir(parents=True)
        shutil.copy(pictures / photo, tmp_path / parent / "set" / "p.png")
    scan = scan_sources([tmp_path / "a" / "set", tmp_path / "b" / "set"])
    assert names(scan) == ["set-2/p.png", "set/p.png"]
    assert {scan.path(s).parent.parent.name for s in scan.usable} == {"a", "b"}


def test_what_cannot_be_used_is_skipped_with_a_reason(pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "photo0.png", tmp_path / "good.png")
    shutil.copy(pictures / "photo0.png", tmp_path / "twin.png")
    bs.write_picture(tmp_path / "tiny.png", np.zeros((3, 8, 9)))
    whole = (pictures / "photo1.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "notes.md").write_text("not looked at")
    seen = []
    scan = scan_sources(tmp_path, size_px=32, on_progress=seen.append)
    assert names(scan) == ["good.png"]
    why = {s.name: s.why for s in scan.skipped}
    assert set(why) == {"tiny.png", "cut.png", "empty.png", "text.png"}
    assert "9 x 8 px (width x height) is smaller than 32 px" in why["tiny.png"]
    assert "truncated" in why["cut.png"]
    assert "empty" in why["empty.png"]
    assert "not a picture" in why["text.png"]
    assert [(d.name, d.why) for d in scan.duplicates] == [("twin.png", "same content as good.png")]
    assert (seen[-1].stage, seen[-1].done, seen[-1].total, len(seen[-1].skipped)) == ("scan", 6, 6, 4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nowhere", "there is no such file or folder"),
        ("*.jpg", "no file matches"),
        ("void", "No pictures in"),
        ("bad", "None of the 1 inputs can be used: bad.png: is empty"),
        ("empty.txt", "the list is empty"),
        ("wrong.txt", "entry 1, 'nothere.png': there is no such file"),
        ("binary.txt", "not a text file"),
    ],
)
def test_errors_say_what_and_why(tmp_path: Path, given: str, words: str) -> None:
    (tmp_path / "void").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bad.png").write_bytes(b"")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "wrong.txt").write_text("nothere.png\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(PictureError, match=words.replace("*", r"\*")):
        scan_sources(str(tmp_path / given))


def test_no_sources_at_all() -> None:
    with pytest.raises(bs.InvalidValueError, match="sources is empty"):
        scan_sources([])


def photo(folder: Path, name: str, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    bs.write_picture(folder / "new.png", rng.uniform(size=(3, 40, 44)))
    return (folder / "new.png").rename(folder / name)


NOT_UTF_8 = os.fsdecode(b"caf\xe9.png")


def test_names_that_are_not_utf_8_are_used_and_come_back_from_the_record(tmp_path: Path) -> None:
    folder = tmp_path / "photos" / os.fsdecode(b"\xfcber")
    photo(folder, NOT_UTF_8)
    photo(tmp_path / "photos", r"a\xe9.png", 1)  # a backslash is not an escape
    scan = scan_sources(tmp_path / "photos")
    assert names(scan) == [r"\xfcber/caf\xe9.png", r"a\x5cxe9.png"]
    assert all(scan.path(source).exists() for source in scan.usable)
    single = scan_sources([folder / NOT_UTF_8, folder])
    assert names(single) == [r"caf\xe9.png"]
    (folder / "list.txt").write_text("caf\\xe9.png\n")
    assert names(scan_sources(folder / "list.txt")) == [r"caf\xe9.png"]
    several = scan_sources([folder, photo(tmp_path / "other", "b.png", 2)])
    assert set(names(several)) == {"other/b.png", r"\xfcber/caf\xe9.png"}
    assert all(several.path(source).exists() for source in several.usable)


def test_a_data_set_of_names_that_are_not_utf_8(tmp_path: Path) -> None:
    """Made, resumed, verified by rendering again, and readable for every reader of JSON."""
    root = tmp_path / os.fsdecode(b"sch\xf6n")
    photo(root / "photos", NOT_UTF_8)
    photo(root / "photos", os.fsdecode(b"broken\xff.jpg")).write_bytes(b"no picture")
    (root / "photos" / "notes.txt").write_text("no picture")
    (root / "maps").mkdir()
    np.save(root / "maps" / os.fsdecode(b"caf\xe9.npy"), np.full((40, 44), 3.0, np.float32))
    out = root / os.fsdecode(b"out\xe4")
    recipe = bs.load_recipe("clean")
    report = dataset.generate(
        dataset.DatasetRequest(
            sources=root / "photos", recipe=recipe, count=2, size_px=16, shard_length=1, depth=root / "maps"
        ),
        out,
        workers=1,
    )
    assert [(s.name, s.why[:24]) for s in report.skipped] == [(r"broken\xff.jpg", "is not a picture that ca")]
    assert (report.sources, report.ignored) == (1, {".txt": 1})
    stored = json.loads((out / "dataset.json").read_text("utf-8"))
    (source,) = stored["request"]["sources"]
    assert (source["name"], source["depth"]) == (r"caf\xe9.png", r"caf\xe9.npy")
    assert json.loads((out / "skipped.json").read_text("utf-8"))["ignored"] == {".txt": 1}
    assert dataset.resume(out, redo=[0], workers=1).finished
    assert dataset.verify(out, replay=1).ok
    assert bs.open_dataset(out)[0].source == r"caf\xe9.png"
    (out / "README.md").read_text("utf-8")


def test_linked_folders_are_sources_and_loops_are_told(tmp_path: Path) -> None:
    photo(tmp_path / "photos", "a.png", 0)
    photo(tmp_path / "card", "b.png", 1)
    (tmp_path / "photos" / "card").symlink_to(tmp_path / "card")
    (tmp_path / "photos" / "up").symlink_to(tmp_path)
    scan = scan_sources(tmp_path / "photos")
    assert names(scan) == ["a.png", "card/b.png"]
    assert [(s.name, s.why) for s in scan.skipped] == [("up", "a link to a folder that contains it")]


def test_maps_are_found_through_links_and_by_names_that_are_alike(tmp_path: Path) -> None:
    """Archives of other systems change how accents are composed, and the case of endings and names."""
    photo(tmp_path / "photos", "Caf\u00e9.png", 0)
    photo(tmp_path / "photos", "b.png", 1)
    photo(tmp_path / "photos", "B.png", 2)
    (tmp_path / "depth").mkdir()
    for name in ("cafe\u0301.npy", "b.npy", "B.NPY"):
        np.save(tmp_path / "maps.npy", np.full((40, 44), 2.0, np.float32))
        (tmp_path / "maps.npy").rename(tmp_path / "depth" / name)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "depth")
    scan = scan_sources(tmp_path / "photos", depth=tmp_path / "here")
    assert {s.name: s.depth for s in scan.usable} == {
        "Caf\u00e9.png": "link/cafe\u0301.npy", "b.png": "link/b.npy", "B.png": "link/B.NPY",
    }  # fmt: skip


def test_files_of_other_formats_are_counted(tmp_path: Path) -> None:
    photo(tmp_path, "a.png")
    for name in ("a.xmp", "b.XMP", "c.mov", ".DS_Store", "README"):
        (tmp_path / name).write_bytes(b"x")
    assert scan_sources(tmp_path).ignored == {".xmp": 2, ".mov": 1, "hidden": 1, "(no ending)": 1}
    (tmp_path / "a.png").unlink()
    with pytest.raises(PictureError, match=r"Other files there: 2 \.xmp, 1 \(no ending\), 1 \.mov, 1 hidden\. Known"):
        scan_sources(tmp_path)


def test_a_folder_with_brackets_and_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo(tmp_path / "photos[1]", "a[2].png")
    photo(tmp_path / "photos1", "b.png", 1)
    assert names(scan_sources(tmp_path / "photos[1]")) == ["a[2].png"]
    assert names(scan_sources(f"{tmp_path}/photos[1]/*.png")) == ["a[2].png"]
    assert names(scan_sources(f"{tmp_path}/photos[1]/a[2].png")) == ["a[2].png"]
    with pytest.raises(PictureError, match="there is no such file or folder"):
        scan_sources(f"{tmp_path}/photos[1]/none.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names(scan_sources("~/photos1")) == ["b.png"]
    assert bs.read_frame("~/photos1/b.png").size_px == (40, 44)
    bs.write_picture("~/new/c.png", bs.read_frame("~/photos1/b.png"))
    assert (tmp_path / "new" / "c.png").exists()


def test_names_of_many_files_take_little_memory(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"{number:05d}.png").touch()
    sources._named([tmp_path])  # what is made once
    tracemalloc.start()
    try:
        named = sources._named([tmp_path])
        size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(named[0]) == 3000
    assert size / 3000 < 150  # a name of 9 characters: 58 bytes, twice, and two references
    assert peak / 3000 < 600


def test_few_pictures_wait_at_a_time() -> None:
    given = []

    def names() -> Iterator[str]:
        for number in range(100):
            given.append(number)
            yield str(number)

    with ThreadPoolExecutor(3) as pool:
        for done, name in enumerate(sources.in_order(pool, lambda name: Skipped(name, ""), names(), 12)):
            assert name == Skipped(str(done), "")
            assert len(given) <= done + 12
    assert len(given) == 100


def test_the_order_is_that_of_the_parts_of_names(tmp_path: Path) -> None:
    for name in ("a/b.png", "a b.png", "a.png", "a/b/c.png", "a-b/c.png", "B.png", "a/\u00e9.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = walk(tmp_path, (".png",))
    assert list(found.files) == sorted(Path(name) for name in found.names)
    assert len(found.names) == 7
