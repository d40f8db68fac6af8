"""The whole fit, and its commands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import blursynth as bs
from blursynth.cli import app as cli
from blursynth.errors import PictureError
from blursynth.fit import fitting
from blursynth.fit.camera import Camera, camera_steps
from blursynth.fit.components import COMPONENTS, blur_steps
from blursynth.fit.compose import recipe_text, shake_options
from blursynth.fit.photographs import jpeg_settings, read_photographs
from blursynth.fit.scenes import dead_leaves


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments], prog_name="blursynth")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Box-blurred leaves with noise, as JPEG."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(5):
        sharp = dead_leaves(rng, 320, rng.random((40, 3)))
        moved = np.stack([sharp[:, :, s : s + 288] for s in range(21)]).mean(axis=0)
        codes = 255 * moved + 3 * rng.standard_normal(moved.shape)
        codes = np.moveaxis(np.rint(codes.clip(0, 255)).astype(np.uint8), 0, -1)
        Image.fromarray(codes).save(folder / f"{number}.jpg", quality=88 if number else 93, subsampling=2)
    return folder


@pytest.mark.slow
def test_fit_and_realism_on_the_command_line(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small run: files become the recipe, the page needs nothing from outside, and the same seed gives the same."""
    for name, value in (("_FLATS", 60), ("_LEAVES", 4), ("_LEAVES_PX", 384), ("_EPOCHS", 6)):
        monkeypatch.setattr(fitting, name, value)
    out = tmp_path / "mine.toml"
    result = run("fit", photos, "--out", out, "--windows", 200)
    assert result.exit_code == 0, result.output
    text = out.read_text("utf-8")
    recipe = bs.load_recipe(out)
    assert recipe.takes is recipe.gives is bs.Encoding.DISPLAY
    steps = {step["name"]: step for step in tomllib.loads(text)["step"]}
    assert steps["jpeg"]["quality"] == {"choice": [88, 93], "weights": [0.8, 0.2]}
    assert steps["jpeg"]["subsampling"] == "420"
    assert "# read from the files" in text
    assert sum(option["weight"] for option in steps["shake"]["one_of"]) == pytest.approx(1, abs=1e-2)
    page = (tmp_path / "mine.html").read_text("utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("<img") == 5 + 8  # of the photographs, and of as many synthetic ones as the page shows
    assert "told apart" in page

    again = tmp_path / "again.toml"
    assert run("fit", photos, "--out", again, "--windows", 200, "--quiet").exit_code == 0
    assert again.read_text("utf-8") == text

    result = run("fit", photos, "--out", out)
    assert result.exit_code == 2
    assert "already exists" in result.output

    result = run("realism", photos, "--recipe", out, "--sharp", photos)
    assert result.exit_code == 0, result.output
    assert re.search(r"\d % of tiles told apart \(95 % interval", result.output)
    # Pictures against themselves as a data set: the very same photographs are on both sides.
    assert run("generate", photos, tmp_path / "set", "-n", 8, "--size", 100, "-r", "clean", "-w", 1).exit_code == 0
    result = run("realism", tmp_path / "set", photos)
    assert result.exit_code == 0, result.output


def test_numbers_become_a_recipe_that_loads(tmp_path: Path) -> None:
    camera = Camera(
        full_well_e=(500.0, 500.0), sharpen=((1.0, 1.2), (0.5, 0.7)), jpeg=((90, "444", 0.75), (80, "420", 0.25)),
        curve=((0.9, 0.9), (0.6, 0.6), (0.1, 0.1)), how={"jpeg": "read from the files", "curve": "measured"},
    )  # fmt: skip
    shares = np.zeros(len(COMPONENTS))
    shares[[0, 5, -1]] = 0.5, 0.497, 0.003
    path = tmp_path / "mine.toml"
    path.write_text(recipe_text(camera, shares, summary='a "b"', source="c", blur="inferred"), "utf-8")
    recipe = bs.load_recipe(path)
    assert [name for name, _ in recipe.steps] == [
        "decode", "lens", "shake", "sensor", "develop", "smoothing", "encode", "denoise", "sharpen", "jpeg",
    ]  # fmt: skip
    options = shake_options(shares)
    assert [option["kind"] for option in options] == ["identity", "linear_motion"]  # the rarest is left out
    assert [option["weight"] for option in options] == [0.5015, 0.4985]
    frame = bs.Frame(np.random.default_rng(0).random((1, 3, 48, 48), np.float32), "display")
    sharp = recipe.sample(frame, seed=0, index=1).target_draw()
    assert [sharp["shake"].kind, sharp["lens"].kind, sharp["jpeg"].to_dict()["quality"]] == [
        "identity",
        "gaussian_blur",
        97,
    ]
    sensor = dict(recipe.steps)["sensor"].to_dict()
    assert sensor["full_well_e"] == 500.0
    assert recipe.summary == 'a "b"'


def test_cameras_without_brackets_have_the_curves_of_default() -> None:
    steps = [step.to_dict() for step in camera_steps(Camera(), [])]
    default = {step["name"]: step for step in bs.load_recipe("default").to_dict()["step"] if "name" in step}
    assert [step for step in steps if "code" in step["name"]] == [default["decode"], default["encode"]]
    measured = Camera(curve=((0.9, 0.9), (0.6, 0.6), (0.1, 0.1)))
    recipe = bs.Recipe.from_dict({"step": [step.to_dict() for step in camera_steps(measured, [])]})
    frame = bs.Frame(np.full((1, 3, 32, 32), 0.5, np.float32), "display")
    drawn = recipe.sample(frame, seed=0, index=0)
    for name in ("decode", "encode"):
        values = drawn[name].to_dict()
        assert (values["exponent"], values["midtone"], values["contrast"]) == (0.9, 0.6, 0.1)


def test_gray_cameras_have_no_colors() -> None:
    steps = {s.name: s.values for s in camera_steps(Camera(gray=True), blur_steps((0.5, 0.6), [{"kind": "identity"}]))}
    assert "mosaic" not in steps["sensor"]
    assert steps["denoise"]["chroma_codes"] == 0
    recipe = bs.Recipe.from_dict({"step": [{"name": name, **values} for name, values in steps.items()]})
    frame = bs.Frame(np.full((1, 1, 32, 32), 0.5, np.float32), "display")
    assert recipe.sample(frame, seed=0, index=0)(frame).channels == 1


def test_photographs_are_cut_on_the_grid_of_their_blocks(tmp_path: Path) -> None:
    codes = (np.random.default_rng(0).random((1100, 1700, 3)) * 255).astype(np.uint8)
    for number in range(4):
        Image.fromarray(codes + np.uint8(number)).save(tmp_path / f"{number}.png")
    found, _ = read_photographs(tmp_path)
    assert found[0].pixels.shape == (1024, 1536, 3)
    assert any((codes[32 : 32 + 1024, 80 : 80 + 1536] + np.uint8(n) == found[0].pixels).all() for n in range(4))
    assert jpeg_settings(found) == ()  # PNG


def test_what_cannot_be_fitted(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="At least 4 photographs of 128 px or more are needed, got 1"):
        read_photographs(photos / "0.jpg")
    for number in range(4):
        Image.new("RGB", (200, 200), (90 + number, 90, 90)).save(tmp_path / f"{number}.png")
    with pytest.raises(PictureError, match="4 of 4 photographs are flat"):
        read_photographs(tmp_path)
    for arguments, message in (
        (("fit", photos, "--out", tmp_path / "a.txt"), "--out must be a .toml file"),
        (("fit", photos, "--out", tmp_path / "no" / "a.toml"), "its folder does not exist"),
        (("fit", photos, "--out", tmp_path / "a.toml", "--windows", 3), "--windows must be >= 200"),
        (("fit", photos, "--out", tmp_path / "a.toml", "--seed", -1), "--seed must be"),
        (("realism", photos), "A data set and photographs are needed"),
        (("realism", photos, photos, "--sharp", photos), "--sharp needs --recipe"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())
