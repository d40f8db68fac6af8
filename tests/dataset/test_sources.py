from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import blursynth as bs
from blursynth.dataset import scan_sources
from blursynth.errors import PictureError


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
    assert "cut off" in why["cut.png"]
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
