"""Which files a recipe may read, by name and by wildcards, and how far it may look for them."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blursynth.errors import RecipeError
from blursynth.io import assets


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """A recipe's folder, with kernels in it and others elsewhere; its name is one that globs would misread."""
    folder = tmp_path / "my [recipe]"
    for number, name in enumerate(
        ["a.npy", "b.npy", ".hidden.npy", "deep/c.npy", "deep/er/d.npy", ".git/e.npy", "k[1].npy", "../other/f.npy"], 1
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full((3, 3), float(number)))
    return folder


def read(bank: Path, pattern: str) -> list[float]:
    found = assets.resolve({"kernel": {"files": pattern}}, bank)["kernel"]
    return sorted(assets.get(name)[0, 0] for name in found["choice"])


@pytest.mark.parametrize(
    "pattern",
    ["*.npy", "a.npy", "**/*.npy", "deep/*.npy", "*/*.npy", "**/d.npy", "[ab].npy", "?.npy", "deep/**/*.npy", ".*.npy",
     "../other/*.npy", "**/er/*.npy"],
)  # fmt: skip
def test_wildcards_are_those_of_glob(bank: Path, pattern: str) -> None:
    expected = glob.glob(str(Path(glob.escape(str(bank))) / pattern), recursive=True)
    assert expected
    assert read(bank, pattern) == sorted(float(np.load(path)[0, 0]) for path in expected)


def test_a_file_named_in_full_may_lie_anywhere_and_have_brackets(bank: Path) -> None:
    assert read(bank, "k[1].npy") == [7.0]
    assert read(bank, str(bank.parent / "other" / "f.npy")) == [8.0]
    assert read(bank, str(bank.parent / "other" / "*.npy")) == [8.0]


@pytest.mark.parametrize("pattern", ["/**/*.npy", "{parent}/*/f.npy", "../*/f.npy", "../**/*.npy", "/*/*.npy"])
def test_nothing_is_searched_elsewhere(bank: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(*_: Any) -> None:
        raise AssertionError("a folder was looked through")

    monkeypatch.setattr("os.scandir", walk)
    with pytest.raises(RecipeError, match="wildcards for folders are only allowed below the folder of the recipe"):
        read(bank, pattern.format(parent=bank.parent))


def test_numbers_and_bytes_are_bounded(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(assets, "_MOST_FILES", 2)
        with pytest.raises(RecipeError, match=r"matches 5 files, more than 2\. Select fewer"):
            read(bank, "**/*.npy")
    with monkeypatch.context() as patch:
        patch.setattr(assets, "_MOST_ENTRIES", 8)
        with pytest.raises(RecipeError, match="more than 8 files and folders to look through"):
            read(bank, "**/none.npy")
    with (bank / "large.npy").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RecipeError, match=r"holds 1,099,511,627,776 bytes, more than the 1,024 MiB"):
        read(bank, "large.npy")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_only_regular_files_are_opened(bank: Path) -> None:
    os.mkfifo(bank / "pipe.npy")
    for pattern in ("pipe.npy", "pip*.npy"):
        with pytest.raises(RecipeError, match=r"pipe\.npy is a device or a pipe"):
            read(bank, pattern)
    with pytest.raises(RecipeError, match="/dev/zero is a device"):
        read(bank, "/dev/zero")


def test_linked_folders_are_not_walked(bank: Path) -> None:
    (bank / "loop").symlink_to(bank, target_is_directory=True)
    assert read(bank, "**/a.npy") == [1.0]
    with pytest.raises(RecipeError, match="no such file"):
        read(bank, "**/f.npy")
    (bank / "link.npy").symlink_to(bank.parent / "other" / "f.npy")
    assert read(bank, "link*.npy") == [8.0]


@pytest.mark.parametrize("pattern", ["", "a\0.npy", 3, "none/*.npy", "none.npy"])
def test_what_is_no_path_is_refused(bank: Path, pattern: Any) -> None:
    with pytest.raises(RecipeError, match=r"must be the path of a file|no such file"):
        read(bank, pattern)
