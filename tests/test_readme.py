"""The README's code runs as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

import blursynth as bs

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
# The blocks of the peers need packages of others, and are run by the command that writes the page; those of clusters and of
# object storage have tests of their own.
OTHERS = ("peers.md", "clusters.md", "object-storage.md")
PAGES = ("README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md") if page.name not in OTHERS))
MADE_BY_THE_SITE = ("gallery/", "api/", "testing/")  # its strict build looks after links to these

MODULES = {"blursynth": "blursynth", "deblur": "deblur_models"}


def shorter(words: list[str]) -> list[str]:
    """What is added to a command that would take long."""
    if words[:2] == ["deblur", "evaluate"]:
        return ["--limit", "2", "--no-harm", "2", "--pictures", "2", "--cost-size", "64x64"]
    if words[:2] != ["deblur", "train"] or "--list" in words:
        return []
    stage = ("stage.0.steps=1", "stage.0.patch_px=32", "stage.0.batch=2")
    settings = (*stage, "validation.count=1", "network.width=8", "network.blocks=[1, 1]")
    return [word for setting in settings for word in ("--set", setting)]


MADE = {
    "README.md": "blurred.png",
    "docs/camera.md": "night_blurred.png",
    "docs/datasets.md": "whole/draws.jsonl",
    "docs/depth.md": "smooth.npy",
    "docs/evaluation.md": "report/index.html",
    "docs/export.md": "restored.png",
    "docs/first-ten-minutes.md": "preview.png",
    "docs/testing.md": "gaussian.html",
    "docs/training.md": "tiny-run/log.jsonl",
}
"""A file that a page's blocks leave."""

READERS = {"[network]": "load_configuration", "sources =": "load_request", "[source_list]": "load_request"}
"""What reads a TOML file in which these words are; others are recipes."""

BEFORE = """
import runpy, sys
from importlib import import_module
from pathlib import Path
import blursynth as bs
from blursynth.dataset.request import load_request
from deblur_models.config.configuration import load_configuration

import_module("blursynth.dataset.generate").CHECKED_DRAWS = 100  # of 2000 that are tried before work on photographs

def command(module, *words):
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__")  # as python -m does, without importing torch and all anew
    except SystemExit as ended:
        assert not ended.code, f"{module} {' '.join(words)}: exit code {ended.code}"
"""
"""What a page's script begins with."""


def blocks(page: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_blocks_in_order(
    page: str, tmp_path: Path, run_program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Python, shell and TOML blocks as one script, in a folder with a photograph and a folder of photographs."""
    for path in ("sharp.png", "photos/astronaut.png", "photos/chelsea.png"):
        name = "chelsea" if "chelsea" in path else "astronaut"
        bs.write_picture(tmp_path / path, getattr(skimage.data, name)().transpose(2, 0, 1) / 255)
    millimeters = np.full(skimage.data.astronaut().shape[:2], 2500, np.uint16)
    cv2.imwrite(str(tmp_path / "depth.png"), millimeters)
    script = [BEFORE]
    for language, text in blocks(page):
        if language == "python":
            script.append(text)
        elif language == "toml":
            reader = next((reader for key, reader in READERS.items() if key in text), "bs.load_recipe")
            script.append(f"Path('mine.toml').write_text({text!r})\n{reader}('mine.toml')")
        elif language == "sh":
            commands = [shlex.split(line, comments=True) for line in text.splitlines()]
            script += [
                f"command({MODULES[words[0]]!r}, *{words[1:] + shorter(words)!r})"
                for words in commands
                if words and words[0] in MODULES
            ]
    (tmp_path / "page.py").write_text("\n".join(script))
    # Not as a file: processes that a command starts would run the page again.
    done = run_program("exec(compile(open('page.py').read(), 'page.py', 'exec'))", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    if page in MADE:
        assert (tmp_path / MADE[page]).exists()


@pytest.mark.parametrize("page", PAGES)
def test_pages_tell_code_from_text(page: str) -> None:
    assert {language for language, _ in blocks(page)} <= {"python", "sh", "toml", "text"}


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"`?make (\w+)`?", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize(
    ("page", "link"),
    [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text("utf-8"))],
)
def test_links_lead_somewhere(page: str, link: str) -> None:
    if not link.startswith(("http", "#", *MADE_BY_THE_SITE)):
        assert ((ROOT / page).parent / link.partition("#")[0]).exists(), link
