"""Every example runs, in a folder of its own, and makes what it says."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skimage")
ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("[0-9]*.py"))
MAKES = {
    "00_demo": ["contact_sheet.png", "dataset/index.json", "dataset/README.md", "photographs.txt"],
    "01_blur_one_picture": ["opening.png", "panning.png"],
    "02_recipe_and_draw": ["tremor.toml", "draws.png"],
    "03_data_set": ["pairs/index.json"],
    "04_own_kind": ["hazy.toml", "hazy.png"],
    "05_depth_of_field": ["focus_pull.png", "tilted_focus.png", "cats_eyes.png", "without_occlusion.png"],
    "06_camera_shake": ["camera_shake.png", "rolling_shutter.png", "camera_shake_points.png"],
    "07_through_the_camera": ["camera_light.jpg", "camera_sensor.jpg", "camera_file.jpg", "camera_pair.jpg"],
    "08_train_a_network": ["network/best.safetensors", "network/log.jsonl"],
    "09_data_loader": ["stored/index.json"],
    "10_own_data": ["own_data_restored.png", "own_network.safetensors", "own_network.json"],
}


# As a file of its own, which processes that it starts import.
START = "import runpy, sys; sys.argv = {!r}; runpy.run_path(sys.argv[0], run_name='__main__')"


def run(run_program: Callable[..., subprocess.CompletedProcess[str]], script: Path, folder: Path) -> str:
    environment = {"BLURSYNTH_DEMO_COUNT": "3", "BLURSYNTH_EXAMPLE_STEPS": "3", "PYTHONPATH": str(ROOT)}
    done = run_program(START.format([str(script), str(folder)]), folder, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.stem)
def test_example(script: Path, tmp_path: Path, run_program: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    output = run(run_program, script, tmp_path)
    assert output
    for name in MAKES[script.stem]:
        assert (tmp_path / name).stat().st_size > 0
    if script.stem == "00_demo":
        assert "3 pairs" in output
    if script.stem == "01_blur_one_picture":
        made, shown = (
            np.asarray(Image.open(p), np.float64) for p in (tmp_path / "opening.png", ROOT / "docs/images/opening.png")
        )
        assert made.shape == shown.shape
        # Another processor may round a pixel otherwise; another recipe or kernel would show.
        assert np.abs(made - shown).mean() < 0.5, "the README's picture is outdated: copy opening.png to docs/images"
    if script.stem == "07_through_the_camera":
        for name in MAKES[script.stem]:
            made, shown = (
                np.asarray(Image.open(p), np.float64) for p in (tmp_path / name, ROOT / "docs/images" / name)
            )
            assert np.abs(made - shown).mean() < 1.0, f"docs/images/{name} is outdated: copy it there"


def test_every_example_is_listed() -> None:
    assert {s.stem for s in SCRIPTS} == set(MAKES)


def test_the_readmes_picture_is_small() -> None:
    assert (ROOT / "docs/images/opening.png").stat().st_size < 300_000
