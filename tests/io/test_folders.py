"""The one walk through folders: links, loops, what cannot be read, and files of other formats."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from blursynth.errors import PictureError
from blursynth.io.folders import HIDDEN, ByName, check_readable, endings_text, expanded, matches, walk
from blursynth.io.pictures import file_sha256, read_header, read_light, read_pixels
from blursynth.records.text import name_of

ENDINGS = (".png", ".jpg")


def made(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def found(folder: Path) -> list[str]:
    return [name_of(file) for file in walk(folder, ENDINGS).files]


def told(folder: Path) -> dict[str, str]:
    return {name_of(name): why for name, why in walk(folder, ENDINGS).left_out}


def test_folders_in_folders_and_endings(tmp_path: Path) -> None:
    made(tmp_path, "b/c.PNG", "a.jpg", "notes.txt", "b/x.xmp", "b/y.XMP", "README", ".hidden.png", ".git/a.png")
    assert found(tmp_path) == ["a.jpg", "b/c.PNG"]
    assert walk(tmp_path, ENDINGS).endings == {HIDDEN: 2, ".xmp": 2, "(no ending)": 1, ".txt": 1}
    assert len(walk(tmp_path, None).files) == 6
    assert endings_text({f".{i}": 1 for i in range(12)}, most=2) == "1 .0, 1 .1, 10 others"


def test_linked_folders_and_files_are_followed(tmp_path: Path) -> None:
    photos, elsewhere = made(tmp_path / "photos", "a.png"), made(tmp_path / "elsewhere", "b.png", "deep/c.png")
    (photos / "link").symlink_to(elsewhere)
    (photos / "one.png").symlink_to(elsewhere / "b.png")
    assert found(photos) == ["a.png", "link/b.png", "link/deep/c.png", "one.png"]
    assert told(photos) == {}


def test_loops_end_and_are_told(tmp_path: Path) -> None:
    """Two folders that hold each other, one that holds itself, and links up out of the folder that was given."""
    made(tmp_path, "photos/a/x.png", "photos/b/y.png", "other.png")
    photos = tmp_path / "photos"
    (photos / "a" / "to_b").symlink_to(photos / "b")
    (photos / "b" / "to_a").symlink_to(photos / "a")
    (photos / "a" / "self").symlink_to(".")
    (photos / "up").symlink_to(tmp_path)
    (photos / "root").symlink_to("/")
    assert found(photos) == ["a/x.png", "b/y.png"]
    assert told(photos) == {
        "a/self": "a link to a folder that contains it", "a/to_b": "a link to b, which is already read",
        "b/to_a": "a link to a, which is already read", "root": "a link to a folder that contains it",
        "up": "a link to a folder that contains it",
    }  # fmt: skip


def test_links_that_hold_each_other_do_not_multiply(tmp_path: Path) -> None:
    """Entered by every path, 30 folders that link to the next one twice would be 2^30."""
    for number in range(30):
        made(tmp_path, f"f{number}/x.png")
        for link in ("left", "right"):
            (tmp_path / f"f{number}" / link).symlink_to(tmp_path / f"f{number + 1}")
    made(tmp_path, "f30/x.png")
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "in").symlink_to(tmp_path / "f0")
    assert len(found(tmp_path / "start")) == 31


def test_plain_paths_win_over_links(tmp_path: Path) -> None:
    made(tmp_path, "z/a.png")
    (tmp_path / "a").symlink_to(tmp_path / "z")
    assert found(tmp_path) == ["z/a.png"]
    assert told(tmp_path) == {"a": "a link to z, which is already read"}


def test_what_is_no_file_is_told_and_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "good.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        assert found(tmp_path) == ["good.png"]
        assert told(tmp_path) == {
            "circle.png": "a broken link", "gone.png": "a broken link",
            "pipe.png": "a pipe (FIFO), not a file", "s.png": "a socket, not a file",
            "zero.png": "a device, not a file",
        }  # fmt: skip
    for name, words in (("pipe.png", "is a pipe"), ("zero.png", "is a device"), ("gone.png", "there is no such file")):
        for read in (read_header, read_pixels, read_light, check_readable):
            with pytest.raises(PictureError, match=words):
                read(tmp_path / name)
    with pytest.raises(OSError, match="no regular file"):
        file_sha256(tmp_path / "pipe.png")


def test_folders_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "a.png", "locked/b.png")
    if os.geteuid() == 0:  # root may read everything
        scandir = os.scandir

        def refused(path: Path) -> object:
            if Path(path).name == "locked":
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refused)
    else:
        (tmp_path / "locked").chmod(0)
    try:
        assert found(tmp_path) == ["a.png"]
        assert told(tmp_path) == {"locked": "a folder that cannot be read (Permission denied)"}
    finally:
        (tmp_path / "locked").chmod(stat.S_IRWXU)


def test_a_folder_can_be_left_out(tmp_path: Path) -> None:
    made(tmp_path, "a.png", "out/b.png")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert [str(f) for f in walk(tmp_path, ENDINGS, without=tmp_path / "out").files] == ["a.png"]


def test_patterns_take_what_is_there_by_its_name(tmp_path: Path) -> None:
    made(tmp_path, "photos[1]/a.png", "photos1/b.png", "photos[1]/c[2].png", "photos[1]/deep/d.png")
    inside = tmp_path / "photos[1]"
    assert matches(inside / "*.png") == [inside / "a.png", inside / "c[2].png"]
    assert matches(inside / "**" / "*.png") == [inside / "a.png", inside / "c[2].png", inside / "deep" / "d.png"]
    assert matches(tmp_path / "photo[s]1" / "b.png") == [tmp_path / "photos1" / "b.png"]
    assert matches(inside / "none.png") is None, "there is no such file, and it is not a pattern"
    assert matches(inside) is None
    assert matches(inside / "*.tif") == []


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made(tmp_path, "a.png")
    assert expanded("~/a.png") == tmp_path / "a.png"
    assert matches("~/*.png") == [tmp_path / "a.png"]
    assert expanded("~nobody_of_this_name/a") == Path("~nobody_of_this_name/a"), "left to fail as a path"


def test_partners_by_name() -> None:
    names = ByName[int]()
    for number, name in enumerate(("a", "A", "Caf\u00e9", "b")):
        names.add(name, number)
    assert [names.find(n) for n in ("a", "A", "cafe\u0301", "B", "c")] == [[0], [1], [2], [3], []]
