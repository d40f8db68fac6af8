"""Words from elsewhere: nothing steers a terminal, and every file name comes back from its record."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blursynth.records.text import name_of, path_of, printable


@given(st.text(st.characters(codec=None, categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Lu", "Nd", "So")), max_size=20))
def test_no_control_character_is_left(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in shown)
    assert not any(
        unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"} for c in shown
    )
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]0;title\x07.png", r"a\x1b]0;title\x07.png"),
        ("line\nbreak\r", r"line\nbreak\r".replace(r"\n", r"\x0a").replace(r"\r", r"\x0d")),
        ("gpj\u202e.exe", r"gpj\u202e.exe"),
        ("tag\U000e0041", r"tag\U000e0041"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("می‌خواهم 👩‍👧 straße\xa0€", "می‌خواهم 👩‍👧 straße\xa0€"),  # joiners are part of words
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_laid_out_text_keeps_its_lines() -> None:
    assert printable("a\n\tb\x1b", lines=True) == "a\n\tb\\x1b"


@given(st.binary(min_size=1, max_size=12).filter(lambda b: b"/" not in b and b"\0" not in b and b.strip(b".")))
def test_every_name_of_a_file_comes_back(raw: bytes) -> None:
    path = Path("folder", os.fsdecode(raw))
    name = name_of(path)
    name.encode("utf-8")
    assert path_of(name) == path


@pytest.mark.parametrize(
    "name", [r"a\xe9", r"\x5c", r"\x5cxe9", "\\\udce9", r"\udce9", "\\x5\udce9", r"a\nb", r"\x41", r"\ud800"]
)
def test_backslashes_in_names_are_not_taken_for_escapes(name: str) -> None:
    assert path_of(name_of(Path(name))) == Path(name)


def test_names_in_utf_8_stand_as_they_are() -> None:
    assert name_of(Path("a b/straße.png")) == "a b/straße.png"


@pytest.mark.parametrize("name", [r"\x2e\x2e\x2fetc", r"\x00", r"\x2f"])
def test_no_escape_stands_for_a_separator(name: str) -> None:
    """A foreign record cannot leave its folder by them."""
    assert path_of(name) == Path(name)
