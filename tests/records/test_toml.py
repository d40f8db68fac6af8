"""Texts as editors save them: every file in TOML, and every list, is read by the same rules."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blursynth as bs
from blursynth.cameras import FlatFields
from blursynth.dataset import scan_sources
from blursynth.errors import BlursynthError, InvalidValueError
from blursynth.records.toml import Tables, TomlFiles, beside, change, merged, read_text, read_toml

RECIPE = '[[step]]\nname = "größer"\nkind = "decode"\n'
INDEX = 'bit_depth = 12\ndark = ["ä.png"]\nflat = [["b.png", "c.png"]]\n'


def _configuration(path: Path) -> object:
    return pytest.importorskip("deblur_models.config.configuration").load_configuration(path)


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
        ("utf-16-le", "it is in UTF-16, or is not text. Save it in UTF-8"),
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


FILES = TomlFiles("camera", InvalidValueError, "blursynth.cameras")


def test_files_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    shipped = FILES.read("pmrid")
    assert (shipped.name, shipped.folder) == ("pmrid", None)
    (tmp_path / "mine.toml").write_text("bit_depth = 12\n")
    found = FILES.read(tmp_path / "mine.toml")
    assert (found.values, found.name, found.folder) == ({"bit_depth": 12}, "mine.toml", tmp_path)
    assert FILES.read(str(tmp_path / "mine.toml")) == found


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("pmird", "There is no camera 'pmird'. Did you mean 'pmrid'? The name of your own file must end in .toml."),
        ("pmrid.toml", "Did you mean the built-in camera 'pmrid'? Write it without .toml."),
        ("nothing.toml", "nothing.toml: cannot be read (No such file or directory)."),
        (3, "A camera must be a name or the path of a .toml file, got 3."),
    ],
)
def test_what_is_not_found_gets_a_remedy(source: Any, words: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        FILES.read(source)
    assert words in str(caught.value)


def test_a_file_extends_another_beside_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.toml").write_text('extends = "../b.toml"\n[gain]\nfixed = 2.0\n')
    (tmp_path / "b.toml").write_text('extends = "pmrid"\nsummary = "b"\n')
    values = FILES.read(tmp_path / "deep" / "a.toml").values
    assert values["summary"] == "b"
    assert values["gain"] == {**FILES.read("pmrid").values["gain"], "fixed": 2.0}
    assert "extends" not in values


def test_paths_are_those_of_the_file_that_names_them(tmp_path: Path) -> None:
    files = TomlFiles("list", InvalidValueError, located=lambda v, f: {**v, "path": beside(v["path"], f)})
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "below.toml").write_text('path = "x.png"\n')
    (tmp_path / "above.toml").write_text('extends = "deep/below.toml"\npath = "y.png"\n')
    told: list[str] = []

    def merge(below: Tables, above: Tables) -> dict[str, Any]:
        told.extend((below.values["path"], above.values["path"]))
        return merged(below.values, above.values)

    files.read(tmp_path / "above.toml", merge=merge)
    assert told == [str(tmp_path / "deep" / "x.png"), str(tmp_path / "y.png")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('extends = "a.toml"', "a.toml: cameras extend each other in a circle: "),
        ('extends = "b.toml"', "b.toml: cameras extend each other in a circle: "),
        ("extends = 3", "a.toml extends: must be a name or a path, got 3."),
        ('extends = "none"', "a.toml extends: There is no camera 'none'."),
        ('extends = "none.toml"', "a.toml extends {folder}none.toml: cannot be read"),
    ],
)
def test_what_cannot_be_extended_is_told(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    (tmp_path / "b.toml").write_text('extends = "a.toml"')
    with pytest.raises(InvalidValueError) as caught:
        FILES.read(tmp_path / "a.toml")
    assert words.format(folder=f"{tmp_path}{os.sep}") in str(caught.value)


def test_a_long_chain_ends(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.toml").write_text(f'extends = "{number + 1}.toml"')
    (tmp_path / "40.toml").touch()
    with pytest.raises(InvalidValueError, match="has a chain of more than 32 cameras"):
        FILES.read(tmp_path / "0.toml")
    FILES.read(tmp_path / "8.toml")


def test_another_kind_replaces_a_table() -> None:
    below = {"network": {"kind": "a", "width": 4}, "schedule": {"kind": "cosine", "hold": 0.5}}
    above = {"network": {"kind": "b"}, "schedule": {"kind": "linear"}}
    assert merged(below, above, of_a_kind=("network",)) == {
        "network": {"kind": "b"},
        "schedule": {"kind": "linear", "hold": 0.5},
    }


def test_changes_take_dotted_names() -> None:
    values = {"network": {"kind": "a", "width": 4}, "stage": [{"steps": 5}, {"steps": 6}], "run": {"device": "cpu"}}
    tables = Tables(values, "mine.toml")
    changes = {
        "network.width": 8,
        "network.kind": "b",
        "stage.1.steps": 7,
        "stage.0": None,
        "run.device": None,
        "a.b": 1,
    }
    changed = change(tables, changes, error=InvalidValueError, of_a_kind=("network",))
    assert changed.values == {"network": {"kind": "b", "width": 8}, "stage": [{"steps": 7}], "run": {}, "a": {"b": 1}}
    assert values["network"] == {"kind": "a", "width": 4}, "given tables stay as they are"
    for key, words in {
        "stage.9.steps": "mine.toml: 'stage.9.steps' refers to entry '9' of an array with 2. Entries are counted from 0 to 1",
        "stage.first.steps": "refers to entry 'first'",
        "run.device.x": "refers to a part of device = 'cpu', which has no parts",
    }.items():
        with pytest.raises(InvalidValueError) as caught:
            change(tables, {key: 1}, error=InvalidValueError)
        assert words in str(caught.value)
        assert (caught.value.place, caught.value.field) == ("mine.toml", key)
