"""Everything a recipe needs is compiled beforehand, and only once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from blursynth.recipe.recipe import recipe_names

TINY = """
[[step]]
kind = "decode"
[[step]]
kind = "gain"
gain = 0.5
[[step]]
kind = "encode"
"""


def _run(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    command = [sys.executable, "-m", "blursynth", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _kernels(said: str) -> int:
    found = re.match(r"([\d,]+) kernels? compiled in ", said)
    assert found is not None, said
    return int(found[1].replace(",", ""))


def test_warm_compiles_what_is_missing_and_says_where_it_is(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    cache = tmp_path / "cache"
    said = _run(cache, "warm", str(recipe), "--workers", "1")
    assert _kernels(said) == len(list(cache.rglob("*.nbc"))) > 0
    assert f"kept in {cache}" in said
    assert _kernels(_run(cache, "warm", str(recipe), "--workers", "1")) == 0


@pytest.mark.slow
def test_the_first_pairs_of_a_warm_recipe_compile_nothing(tmp_path: Path) -> None:
    """All recipes that ship, in parallel; then a data set of each finds its kernels."""
    assert _kernels(_run(tmp_path, "warm")) > 30
    script = """
import sys
from blursynth.backends.compiling import kernels_compiled
from blursynth.dataset import DatasetRequest
from blursynth.dataset.generate import prepare
from skimage import data
import cv2
cv2.imwrite(sys.argv[1], cv2.resize(data.astronaut(), (1280, 1280)))
for name in sys.argv[2:]:
    renderer = prepare(DatasetRequest(sources=sys.argv[1], recipe=name, count=4, size_px=256)).renderer
    for index in range(4):
        renderer.render(renderer.place(index))
print(kernels_compiled())
"""
    command = [sys.executable, "-c", script, str(tmp_path / "photo.png"), *recipe_names()]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3000, check=True)
    assert int(done.stdout) <= 2  # what only a rare draw needs
