"""The data card and the Croissant metadata, with words of other people in them, read by those who read such files."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import blursynth as bs
from blursynth.dataset.card import write_card
from blursynth.dataset.schema import load_spec

# What would be a heading, a script, a picture, links, a table of its own, or words for a terminal.
HOSTILE = [
    "# Free\n\n# to use",
    "<script>alert(1)</script><img src=http://evil.example/a.png>",
    "![free](http://evil.example/a.png) [license](http://evil.example) <http://evil.example> http://evil.example",
    "`![out of the code](http://evil.example/a.png)`",
    "``` \n</code>![x](http://evil.example/y.png)",
    "a \\| ![x](http://evil.example/a.png) | b",
    "\x1b[2J\x1b]0;title\x07 \u202egnp.exe \x9b31m",
    "\\",
    "`",
    "|",
    "--- \n---\nlicense: mit",
    "x" * 5000,
    "me@evil.example www.evil.example",
]


def card(made: Path, out: Path, name: str, licenses: list[str], summary: str) -> tuple[str, dict[str, object]]:
    spec = load_spec(made)
    first = spec.sources[0]
    sources = tuple(dataclasses.replace(first, license=words, name=f"{k}.png") for k, words in enumerate(licenses))
    step = [{**spec.recipe["step"][0], "name": summary}, *spec.recipe["step"][1:]]
    recipe = {**spec.recipe, "summary": summary, "step": step}
    (out / name).mkdir(parents=True)
    spec = dataclasses.replace(spec, sources=sources, recipe=recipe, recipe_name=summary)
    write_card(out / name, spec, {"pixels": "0" * 64, "draws": "1" * 64})
    return (out / name / "README.md").read_text("utf-8"), json.loads((out / name / "croissant.json").read_text("utf-8"))


@pytest.mark.parametrize("words", HOSTILE, ids=range(len(HOSTILE)))
def test_words_of_others_are_text_and_nothing_else(made: Path, tmp_path: Path, words: str) -> None:
    plain, _ = card(made, tmp_path, "plain", ["mine"], "words")
    name = words.replace("/", "_").replace("\0", "")[:60].strip() or "x"
    text, _ = card(made, tmp_path / "hostile", name, [words], words)
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert "license: other" in head
    assert len(head.splitlines()) == len(plain.removeprefix("---\n").partition("\n---\n")[0].splitlines())
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}
    # What a reader of Markdown makes of it has the same structure as that of harmless words, with no more and no less.
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")

    def structure(page: str) -> list[str]:
        tokens = [t for token in parser.parse(page) for t in (token, *(token.children or ()))]
        return [token.type for token in tokens if token.type not in ("text", "softbreak")]

    assert structure(body) == structure(plain.removeprefix("---\n").partition("\n---\n")[2])
    assert not {"image", "link_open", "html_inline", "html_block"} & set(structure(body))
    assert len(text) < 12_000


@pytest.mark.slow
def test_the_official_validator_finds_no_error(made: Path, tmp_path: Path) -> None:
    """In a program of its own: the package loads pandas and logs by itself."""
    folders = [made]
    for k, words in enumerate(HOSTILE):
        name = f"set {k} {words.replace('/', '_')[:30].strip()}" if k != 6 else "set 6"
        card(made, tmp_path, name, [words, "https://creativecommons.org/licenses/by/4.0/", ""], words)
        folders.append(tmp_path / name)
    card(made, tmp_path, "one", ["https://creativecommons.org/licenses/by/4.0/"], "")
    folders.append(tmp_path / "one")
    script = """
import json, sys
import mlcroissant
found = []
for folder in sys.argv[1:]:
    data = mlcroissant.Dataset(jsonld=folder + "/croissant.json")  # raises on errors
    found.append([sorted(data.metadata.issues.errors), sorted(data.metadata.issues.warnings)])
records = list(mlcroissant.Dataset(jsonld=sys.argv[1] + "/croissant.json").records("samples"))
print(json.dumps([found, [r["samples/index"] for r in records], records[3]["samples/source"].decode()]))
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *map(str, folders)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    found, indices, source = json.loads(result.stdout.splitlines()[-1])
    for errors, warnings in found:
        assert errors == []
        # Recommended, and not known: nobody has published or described it yet.
        assert all("datePublished" in w or "citeAs" in w for w in warnings), warnings
        assert "@context" not in result.stderr
    assert indices == list(range(11))
    assert source == bs.open_dataset(made)[3].source
    assert json.loads((tmp_path / "one" / "croissant.json").read_text())["license"].startswith("https://")
