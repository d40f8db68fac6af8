"""CONTRIBUTING.md names all the files that adding something takes: one of each is added to a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]

KIND = '''
"""Corners that are darker than the middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import Field

from blursynth.core import Degradation
from blursynth.frame import Frame

__all__ = ["Vignette"]


class Vignette(Degradation):
    """Darkens the corners: ``x (1 - strength r^2)``, r = 1 in the corner of the full picture."""

    strength: float = Field(ge=0, le=1, examples=[0.5], description="share of the light that the corners lose")

    def target(self) -> Degradation:
        return self

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        image = frame.image.copy()
        for b, step in enumerate(steps):
            rows, columns = frame.size_px
            height, width = frame.full_size_px[b]
            y = (2 * (frame.origin_px[b, 0] + np.arange(rows)) + 1) / height - 1
            x = (2 * (frame.origin_px[b, 1] + np.arange(columns)) + 1) / width - 1
            image[b] *= (1 - step.strength * (y[:, None] ** 2 + x**2) / 2).astype(image.dtype)
        return frame.with_image(image)
'''

RECIPE = """
summary = "Two gains after another"

[[step]]
kind = "decode"

[[step]]
kind = "gain"
gain = { uniform = [0.5, 0.9] }

[[step]]
kind = "encode"
"""

NETWORK = '''
"""Convolutions after another, at a quarter of the size."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from deblur_models.networks.network import Network, NetworkConfig

__all__ = ["PlainStack", "PlainStackConfig"]


class PlainStackConfig(NetworkConfig):
    """Convolutions after another, whose result is added to the picture."""

    sizes: ClassVar = {"wide": {"width": 128}, "tiny": {"width": 32}}

    width: int = Field(ge=1, le=512, description="channels between the layers")

    @property
    def multiple_px(self) -> int:
        return 4

    def build(self) -> PlainStack:
        return PlainStack(self)


class PlainStack(Network):
    def __init__(self, config: PlainStackConfig) -> None:
        super().__init__(config)
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, config.width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(config.width, config.width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(config.width, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        return (blurred + self.layers(blurred),)
'''

OPERATION = '''
"""What is left of white."""

from __future__ import annotations

from typing import Any

__all__ = ["negative"]


def negative(image: Any) -> Any:
    """``1 - x``."""
    return 1 - image
'''

REQUEST = """
summary = "Four pairs"
sources = "bundled:held-out"
recipe = "sharp"
count = 4
size_px = 32
"""

PAGE = """
import sys
sys.path.insert(0, "docs")
import gallery
import blursynth as bs
for address, content in gallery.{function}({argument}):
    print(address, len(content))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's files; times are kept, so that compiled kernels beside them are used again."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    folders = ("blursynth", "deblur_models", "datasets", "docs", "examples", "tests")
    for name in (*folders, *(line for line in listed if "/" not in line)):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        elif source.exists():
            shutil.copy2(source, tmp_path / name)
    return tmp_path


def run(copy: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, *words], cwd=copy, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def passed(copy: Path, test: str, word: str) -> int:
    """Number of tests of a file that have the word in their names, all of which pass."""
    output = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", word, test)
    found = re.search(r"(\d+) passed", output)
    assert found, output
    return int(found[1])


def add(copy: Path, path: str, text: str) -> str:
    (copy / path).parent.mkdir(parents=True, exist_ok=True)
    (copy / path).write_text(text.lstrip())
    return path


def insert(copy: Path, path: str, *changes: tuple[str, str]) -> str:
    text = (copy / path).read_text("utf-8")
    for before, added in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, added + before)
    (copy / path).write_text(text)
    return path


def promised(noun: str, **places: str) -> set[str]:
    """The files of a row of CONTRIBUTING.md's table."""
    row = re.search(rf"^\| {noun} \| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), flags=re.MULTILINE)
    assert row, noun
    files = re.findall(r"`([^`]+)`", row[1])
    return {re.sub(r"[A-Z]{2,}", lambda word: places.get(word[0], word[0]), path) for path in files}


def test_a_kind(copy: Path) -> None:
    touched = {
        add(copy, "blursynth/degradations/lens/vignette.py", KIND),
        insert(
            copy,
            "blursynth/degradations/__init__.py",
            (
                "from blursynth.degradations.motion.accelerated",
                "from blursynth.degradations.lens.vignette import Vignette as Vignette\n",
            ),
            ("    DepthParallax,\n", "    Vignette,\n"),
        ),
    }
    assert touched == promised("a blur kind", FOLDER="lens", NAME="vignette")
    assert "Darkens the corners" in run(copy, "-m", "blursynth", "kinds")
    assert "share of the light" in run(copy, "-m", "blursynth", "kinds", "vignette")
    assert '"const": "vignette"' in run(copy, "-m", "blursynth", "schema")
    step = "bs.Draw((('corner', bs.kinds.Vignette(strength=0.2)),))"
    json = f"import blursynth as bs; assert bs.Draw.from_dict({step}.to_dict(), bs.kinds.ALL) == {step}"
    run(copy, "-c", json)
    assert passed(copy, "tests/conformance/test_degradations.py", "vignette") >= 6
    pages = run(copy, "-c", PAGE.format(function="kind_page", argument="bs.kinds.Vignette"))
    assert "gallery/kinds/vignette.md" in pages
    assert "gallery/pictures/vignette-1.webp" in pages


def test_a_recipe(copy: Path) -> None:
    assert {add(copy, "blursynth/recipe/two-gains.toml", RECIPE)} == promised("a recipe", NAME="two-gains")
    assert "Two gains after another" in run(copy, "-m", "blursynth", "recipes")
    assert '"two-gains"' in run(copy, "-m", "blursynth", "schema")
    assert passed(copy, "tests/laws/test_pair.py", "two-gains") >= 1
    assert "gallery/recipes/two-gains.md" in run(
        copy, "-c", PAGE.format(function="recipe_page", argument="'two-gains'")
    )


def test_a_network(copy: Path) -> None:
    touched = {
        add(copy, "deblur_models/networks/plain_stack.py", NETWORK),
        insert(
            copy,
            "deblur_models/networks/__init__.py",
            (
                "from deblur_models.networks.restormer",
                "from deblur_models.networks.plain_stack import PlainStackConfig\n",
            ),
            ("    AttentionUNetConfig,\n", "    PlainStackConfig,\n"),
        ),
    }
    assert touched == promised("a network", NAME="plain_stack")
    assert "plain_stack" in run(copy, "-m", "deblur_models", "networks")
    assert "Convolutions after another" in run(copy, "-m", "deblur_models", "networks", "plain_stack")
    assert passed(copy, "tests/deblur_models/networks/test_every_network.py", "plain_stack") >= 3


def test_an_operation(copy: Path) -> None:
    method = "    def negative(self, image: Any) -> Any:\n        ...\n\n"
    touched = {
        *(add(copy, f"blursynth/backends/{backend}/negative.py", OPERATION) for backend in ("oracle", "cpu", "torch")),
        insert(copy, "blursynth/backends/protocol.py", ("    def srgb_decode(", method)),
        insert(
            copy,
            "tests/backends/cases.py",
            ('    "convolve": ', '    "negative": [Case("noise", normal(1, 2, 3, 4, 5), {})],\n'),
        ),
    }
    assert touched == promised("an operation of the backends", NAME="negative")
    assert passed(copy, "tests/backends/test_every_backend.py", "negative or cases") >= 5


def test_a_data_set(copy: Path) -> None:
    touched = {
        add(copy, f"datasets/four/{name}", text)
        for name, text in (("dataset.toml", REQUEST), ("README.md", "# four\n"))
    }
    assert touched == promised("a data set", NAME="four")
    assert "Four pairs" in run(copy, "-m", "blursynth", "datasets")
    run(copy, "-m", "blursynth", "build", "four", "out", "--workers", "1", "--quiet")
    run(copy, "-m", "blursynth", "verify", "out")
