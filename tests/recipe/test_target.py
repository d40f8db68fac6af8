"""What the sharp picture of a pair is: in Python, TOML and JSON, in recipes that extend others, and on the command line."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blursynth as bs
from blursynth import dataset
from blursynth.core import SceneTarget, SourceTarget
from blursynth.errors import RecipeError
from blursynth.testing import pictures

STEPS = """
[[step]]
kind = "decode"
[[step]]
name = "focus"
kind = "disk_blur"
diameter_px = 4.0
[[step]]
name = "shake"
kind = "linear_motion"
length_px = 9.0
[[step]]
kind = "encode"
"""
SHORT = '[target]\nkind = "short_exposure"\nfraction = 0.25\nwithout = ["focus"]\n'
FRAME = pictures("display", batch=1)


def load(folder: Path, text: str, name: str = "mine.toml", **changes: Any) -> bs.Recipe:
    (folder / name).write_text(text)
    return bs.load_recipe(folder / name, **changes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", SceneTarget()),
        ('target = "scene"', SceneTarget()),
        ('target = "source"', SourceTarget()),
        ('target = { kind = "source" }', SourceTarget()),
        ('target = "short_exposure"', bs.ShortExposure()),
        (SHORT, bs.ShortExposure(fraction=0.25, without=("focus",))),
    ],
)
def test_toml_json_and_draws(text: str, expected: bs.Target, tmp_path: Path) -> None:
    recipe = load(tmp_path, text + STEPS)
    assert recipe.target == expected
    assert load(tmp_path, recipe.to_toml(), "again.toml") == recipe
    assert bs.Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    draw = recipe.sample(FRAME, seed=0, index=0)
    assert draw.target == expected
    assert bs.Draw.from_dict(json.loads(json.dumps(draw.to_dict())), bs.kinds.ALL) == draw
    assert pickle.loads(pickle.dumps(draw)) == draw  # noqa: S301
    assert hash(draw) == hash(bs.Draw(draw.steps, expected))
    assert bs.Recipe(recipe.steps, target=expected.to_dict()).sha256() == recipe.sha256()


def test_the_record_of_a_draw_keeps_its_form() -> None:
    """Records of before are read, and those of the scene and of the source are as they were."""
    steps = (("lens", bs.kinds.GaussianBlur(sigma_px=1.0)),)
    assert "target" not in bs.Draw(steps).to_dict()
    assert bs.Draw(steps, "source").to_dict()["target"] == "source"
    assert bs.Draw(steps, "short_exposure").to_dict()["target"] == {
        "kind": "short_exposure",
        "fraction": 0.0,
        "noise": 0.0,
        "quality": None,
        "without": [],
    }
    old = {
        "target": "source",
        "step": [{"kind": "linear_motion", "length_px": 3.0}, {"kind": "sensor", "full_well_e": 9e3, "seed": 1}],
    }
    assert bs.Draw.from_dict(old, bs.kinds.ALL) == bs.Draw(
        (
            ("linear_motion", bs.kinds.LinearMotion(length_px=3.0)),
            ("sensor", bs.kinds.Sensor(full_well_e=9e3, seed=1)),
        ),
        "source",
    )


def test_a_target_determines_the_pairs_and_is_part_of_the_hash(tmp_path: Path) -> None:
    texts = ("", 'target = "source"', 'target = "short_exposure"', SHORT)
    recipes = [load(tmp_path, text + STEPS) for text in texts]
    assert len({recipe.sha256() for recipe in recipes}) == 4
    sharp = [recipe.sample(FRAME, seed=0, index=0).pair(FRAME).sharp.image for recipe in recipes]
    assert np.array_equal(sharp[1], FRAME.image)
    assert len({one.tobytes() for one in sharp}) >= 3
    assert not np.array_equal(sharp[2], sharp[3])


def test_extending_recipes_inherit_and_change_single_fields(tmp_path: Path) -> None:
    load(tmp_path, SHORT + STEPS, "base.toml")
    inherited = load(tmp_path, 'extends = "base.toml"')
    assert inherited.target == bs.ShortExposure(fraction=0.25, without=("focus",))
    changed = load(tmp_path, 'extends = "base.toml"\n[target]\nnoise = 0.2')
    assert changed.target == bs.ShortExposure(fraction=0.25, noise=0.2, without=("focus",))
    assert changed.summary == "changed: target"
    other = load(tmp_path, 'extends = "base.toml"\ntarget = "scene"')
    assert other.target == SceneTarget()
    load(tmp_path, 'target = "short_exposure"' + STEPS, "named.toml")
    assert load(tmp_path, 'extends = "named.toml"\n[target]\nnoise = 0.2').target == bs.ShortExposure(noise=0.2)


def test_changes(tmp_path: Path) -> None:
    def target(**changes: Any) -> bs.Target:
        named = {key.replace("_DOT_", "."): value for key, value in changes.items()}
        return load(tmp_path, STEPS, changes=named).target

    assert target(target="source") == SourceTarget()
    assert target(target={"kind": "short_exposure", "noise": 0.1}) == bs.ShortExposure(noise=0.1)
    # In any order.
    assert target(target_DOT_noise=0.1, target="short_exposure") == bs.ShortExposure(noise=0.1)
    assert target(target="short_exposure", target_DOT_noise=0.1) == bs.ShortExposure(noise=0.1)
    short = load(tmp_path, SHORT + STEPS, changes={"target.fraction": 0.5, "shake.length_px": 2.0})
    assert short.target == bs.ShortExposure(fraction=0.5, without=("focus",))
    assert short.summary == "changed: target.fraction = 0.5, shake.length_px = 2.0"


def test_a_step_with_the_name_target_is_meant_first(tmp_path: Path) -> None:
    recipe = load(tmp_path, STEPS.replace("shake", "target"), changes={"target.length_px": 3.0})
    assert recipe.target == SceneTarget()
    assert recipe.sample(FRAME, seed=0, index=0)["target"] == bs.kinds.LinearMotion(length_px=3.0)


BAD = {
    "unknown": ('target = "sharp"', r"mine.toml target: There is no target 'sharp'. Known: 'scene', 'short_exposure', 'source'"),
    "misspelled": ('target = "short_exposur"', r"Did you mean 'short_exposure'"),
    "no kind": ("target = { fraction = 0.1 }", r"mine.toml target: .*needs a kind"),
    "not a target": ("target = 3", r"mine.toml target: .*got 3"),
    "no such field": ('target = { kind = "short_exposure", fractoin = 0.1 }', r"has no field 'fractoin'. Did you mean 'fraction'"),
    "a field of another": ('target = { kind = "source", fraction = 0.1 }', r"has no field 'fraction'"),
    "too long": ('target = { kind = "short_exposure", fraction = 1.5 }', r"fraction must be <= 1.0, got 1.5"),
    "too little noise": ('target = { kind = "short_exposure", noise = 0.01 }', r"noise must be 0 or at least 0.05, got 0.01"),
    "quality": ('target = { kind = "short_exposure", quality = 101 }', r"quality must be <= 100, got 101"),
    "unknown step": (
        'target = { kind = "short_exposure", without = ["focsu"] }',
        r"mine.toml target.without: .*'focsu', which the recipe does not have. Did you mean 'focus'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=list(BAD))
def test_errors_say_where_and_how_to_mend_it(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, text + STEPS)


def test_a_draw_with_a_bad_target_is_refused() -> None:
    with pytest.raises(bs.InvalidValueError, match="target of a draw: There is no target 'sharp'"):
        bs.Draw.from_dict({"target": "sharp", "step": []}, bs.kinds.ALL)
    with pytest.raises(bs.InvalidValueError, match="There is no target 'sharp'"):
        bs.Draw((), "sharp")


def test_data_sets_record_it_and_are_rendered_again(tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    bs.write_picture(picture, pictures("display", batch=1, size_px=(120, 140)))
    load(tmp_path, SHORT + STEPS + '[[step]]\nkind = "jpeg"\nquality = 70\n', "short.toml")
    out = tmp_path / "out"
    dataset.generate(dataset.DatasetRequest(sources=picture, recipe=tmp_path / "short.toml", count=3, size_px=32), out)
    opened = bs.open_dataset(out)
    assert opened[1].draw.target == bs.ShortExposure(fraction=0.25, without=("focus",))
    assert bs.replay(out, 1).equal
    assert "short_exposure" in (out / "README.md").read_text()
