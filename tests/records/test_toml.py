"""Texts as editors save them: every file in TOML, and every list, is read by the same rules."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import blursynth as bs
from blursynth.cameras import FlatFields
from blursynth.dataset import scan_sources
from blursynth.errors import BlursynthError, InvalidValueError
from blursynth.records.toml import read_text, read_toml

RECIPE = '[[step]]\nname = "größer"\nkind = "decode"\n'
INDEX = 'bit_depth = 12\ndark = ["ä.png"]\nflat = [["b.png", "c.png"]]\n'


def _configuration(path: Path) -> object:
    return pytest.importorskip("deblur_models.config.configuration").read_configuration(path)


def _listed(path: Path) -> object:
    bs.write_picture(path.parent / "größer.png", np.zeros((8, 8), np.float32))
    return scan_sources(path)


READERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "recipe": (bs.load_recipe, RECIPE),
    "camera": (bs.load_sensor_profile, bs.load_sensor_profile("sony-a7s2").to_toml() + "# größer\n"),
    "frames of a calibration": (FlatFields.from_index, INDEX),
    "configuration": (_configuration, 'extends = "small" # größer\n'),
    "list of pictures": (_listed, "# a list\ngrößer.png\n"),
}


def reader(name: str, folder: Path) -> tuple[Callable[[Path], object], str, Path]:
    read, text = READERS[name]
    path = folder / ("list.txt" if name.startswith("list") else "mine.toml")
    for picture in ("ä.png", "b.png", "c.png"):
        (folder / picture).touch()
    return read, text, path


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_what_editors_of_windows_write_is_read(name: str, encoding: str, ends: str, tmp_path: Path) -> None:
    read, text, path = reader(name, tmp_path)
    path.write_bytes(text.replace("\n", ends).encode(encoding))
    read(path)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", "it is in UTF-16. Save it in UTF-8"),
        ("utf-32", "it is in UTF-32. Save it in UTF-8"),
        ("utf-16-le", "it is in UTF-16, or no text. Save it in UTF-8"),
        ("latin-1", "holds the byte 0xf6. It may be in an old code page, such as Latin-1. Save it in UTF-8"),
    ],
)
def test_other_encodings_get_a_remedy(name: str, encoding: str, words: str, tmp_path: Path) -> None:
    read, text, path = reader(name, tmp_path)
    path.write_bytes(f"# größer\n{text}".encode(encoding))
    with pytest.raises(BlursynthError) as caught:
        read(path)
    assert f"{path}: is not a text file in UTF-8: " in str(caught.value)
    assert words in str(caught.value)


def test_the_line_of_a_wrong_byte_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"a = 1\nb = 2\nc = '\xe4'\n")
    with pytest.raises(InvalidValueError, match="line 3 holds the byte 0xe4"):
        read_toml(path, error=InvalidValueError)


def test_faults_of_toml_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\n\nb = = 2\n")
    with pytest.raises(InvalidValueError, match=r"a\.toml: is not valid TOML: .*line 3, column 5.*'b = = 2'"):
        read_toml(path, error=InvalidValueError)
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(InvalidValueError, match="nested too deeply"):
        read_toml(path, error=InvalidValueError)


def test_only_files_of_a_sane_size_are_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="is a folder"):
        read_text(tmp_path, error=InvalidValueError)
    with pytest.raises(InvalidValueError, match="cannot be read"):
        read_text(tmp_path / "none", error=InvalidValueError)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InvalidValueError, match=r"has 1,099,511,627,776 bytes"):
        read_text(tmp_path / "large", error=InvalidValueError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(BlursynthError, match="a device or a pipe"):
        bs.load_recipe(tmp_path / "pipe.toml")


@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_numbers_saved_by_a_spreadsheet_are_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"kernel{suffix}"
    path.write_bytes(b"\xef\xbb\xbf" + b"0.25,0.5,0.25\r\n".replace(b",", b"," if suffix == ".csv" else b" "))
    assert bs.read_arrays(path)[0].tolist() == [[0.25, 0.5, 0.25]]
