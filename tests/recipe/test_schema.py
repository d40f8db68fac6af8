"""The JSON Schema says what load_recipe says, as far as a schema can."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from importlib import resources
from typing import Any, Self

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field

import blursynth as bs
from blursynth.recipe import distributions
from blursynth.recipe.schema import recipe_schema

SCHEMA = recipe_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def text_of(name: str) -> str:
    return (resources.files("blursynth.recipe") / f"{name}.toml").read_text("utf-8")


def fits(text: str) -> bool:
    return VALIDATOR.is_valid(tomllib.loads(text))


def test_it_is_a_schema_and_plain_json() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA, allow_nan=False)) == SCHEMA


@pytest.mark.parametrize("name", bs.recipe_names())
def test_recipes_that_ship_fit(name: str) -> None:
    values = tomllib.loads(text_of(name))
    assert not [e.message for e in VALIDATOR.iter_errors(values)]
    assert fits(bs.load_recipe(name).to_toml())  # and written out in full


GOOD = [
    "[[step]]\nkind='decode'",
    "[[step]]\nkind='gaussian_blur'\nsigma_px=1",
    "[[step]]\nkind='gaussian_blur'\nsigma_px=1.5\nprobability=0.5\nname='lens'",
    *(
        f"[[step]]\nkind='gaussian_blur'\nsigma_px={value}"
        for value in (
            "{uniform=[1,2]}", "{log_uniform=[0.5,2]}", "{truncated_normal=[1,1,0,3]}", "{choice=[1,2.5],weights=[1,2]}",
            "{integer=[1,4]}", "{beta=[2,2]}", "{beta=[2,2,0,3]}", "{normal=[90,1]}", "{depth_quantile=[0.1,0.9]}",
        )
    ),
    "[[step]]\nkind='gaussian_blur'\nname='a'\nsigma_px={uniform=[1,2]}\n[[step]]\nkind='disk_blur'\ndiameter_px={same_as='a.sigma_px'}",
    "[[step]]\none_of=[{weight=2,kind='identity'},{kind='disk_blur',diameter_px=3}]",
    "[[step]]\nprobability=0.3\none_of=[{kind='identity'},{kind='disk_blur',diameter_px=3}]",
    "[[step]]\none_of=[{kind='identity'},{probability=0.5,kind='disk_blur',diameter_px=3}]",
    "[[step]]\none_of=[{weight=3,one_of=[{kind='identity'}]}]",
    "extends='default'\nremove=['jpeg']",
    "target='short_exposure'\n[[step]]\nkind='decode'",
    "target={kind='short_exposure',fraction=0.1,noise=0,quality=95,without=['lens']}\n[[step]]\nname='lens'\nkind='decode'",
    "extends='default'\ntarget='source'",
    "extends='default'\n[target]\nkind='short_exposure'\nfraction=0.1",
    "extends='default'\n[[step]]\nname='shake'\nprobability=0.5",
    "extends='default'\n[[step]]\nname='lens'\nsigma_px={uniform=[0,1]}",
    "extends='default'\n[[step]]\nkind='jpeg'\nname='again'\nquality=70\nafter='jpeg'",
    "summary='a'\nsource='b'\n[[step]]\nkind='jpeg'\nquality={integer=[60,90]}\nsubsampling={choice=['420','444']}",
    "[[step]]\nkind='sensor'\nfull_well_e=1000\nshot_noise=false\nbit_depth={choice=[10,12]}",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_loads_fits(text: str, tmp_path: Any) -> None:
    (tmp_path / "r.toml").write_text(text)
    bs.load_recipe(tmp_path / "r.toml")
    assert not [e.message for e in VALIDATOR.iter_errors(tomllib.loads(text))]


def test_files_fit() -> None:
    assert fits("[[step]]\nkind='measured_blur'\nkernel={file='kernel.npy'}")
    assert fits("[[step]]\nkind='measured_blur'\nkernel={files='kernels/*.npy'}")


BAD = [
    "",
    "sumary='x'\n[[step]]\nkind='decode'",
    "summary=3\n[[step]]\nkind='decode'",
    "step=[]",
    "[step]\nkind='decode'",
    "step='decode'",
    "[[step]]\nkind='gausian_blur'\nsigma_px=1",
    "[[step]]\nsigma_px=1",
    "[[step]]\nkind='gaussian_blur'",
    "[[step]]\nkind='gaussian_blur'\nsigma=1",
    "[[step]]\nkind='gaussian_blur'\nsigma_px=1\nsigma=1",
    "[[step]]\nkind='gaussian_blur'\nsigma_px='1'",
    "[[step]]\nkind='gaussian_blur'\nsigma_px=true",
    "[[step]]\nkind='gaussian_blur'\nsigma_px=-1",
    *(
        f"[[step]]\nkind='gaussian_blur'\nsigma_px={value}"
        for value in (
            "{unifrm=[1,2]}", "{uniform=[1]}", "{uniform=[1,2,3]}", "{uniform=1}", "{uniform=['a','b']}", "{uniform=[-1,2]}",
            "{}", "[1,2]", "{choice=[]}", "{choice=[1],weights=1}", "{uniform=[1,2],weights=[1]}", "{log_uniform=[0,2]}",
            "{truncated_normal=[1,1,0]}", "{same_as='lens'}", "{same_as=3}", "{normal=[1,-1]}", "{beta=[0,1]}",
            "{choice=[-1,1]}", "{integer=[0.5,2]}",
        )
    ),
    "[[step]]\nkind='jpeg'\nquality=0",
    "[[step]]\nkind='jpeg'\nquality=90.5",
    "[[step]]\nkind='jpeg'\nquality={uniform=[60,90]}",
    "[[step]]\nkind='jpeg'\nquality=90\nsubsampling=420",
    "[[step]]\nkind='jpeg'\nquality=90\nsubsampling='421'",
    "[[step]]\nkind='sensor'\nfull_well_e=1000\nshot_noise=1",
    "[[step]]\none_of=[]",
    "[[step]]\none_of=3",
    "[[step]]\none_of=[{weight=-1,kind='identity'}]",
    "[[step]]\none_of=[{weight='a',kind='identity'}]",
    "[[step]]\nkind='decode'\none_of=[{kind='identity'}]",
    "[[step]]\nkind='gaussian_blur'\nsigma_px=1\nprobability=2",
    "[[step]]\nname='a.b'\nkind='decode'",
    "[[step]]\nname=3\nkind='decode'",
    "remove=['sensor']\n[[step]]\nkind='decode'",
    "extends=3",
    "extends='defalt'",
    "extends='default'\nremove='jpeg'",
    "[[step]]\nkind='measured_blur'\nkernel='abc'",
    "[[step]]\nkind='measured_blur'\nkernel={file=3}",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_what_does_not_load_does_not_fit(text: str, tmp_path: Any) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(bs.RecipeError):
        bs.load_recipe(tmp_path / "r.toml")
    assert not fits(text)


def test_every_distribution_is_offered() -> None:
    text = json.dumps(SCHEMA)
    for distribution in distributions.ALL:
        assert f'"required": ["{distribution.word}"]' in text


def test_kinds_of_ones_own() -> None:
    class Dim(bs.Degradation):
        factor: float = Field(gt=0, le=1, description="share of the light that is left")

        @classmethod
        def apply(cls, steps: Sequence[Self], frame: bs.Frame) -> bs.Frame:
            return frame

    validator = Draft202012Validator(recipe_schema((*bs.kinds.ALL, Dim)))
    assert validator.is_valid({"step": [{"kind": "dim", "factor": 0.5}]})
    assert not validator.is_valid({"step": [{"kind": "dim", "factor": 2.0}]})
    assert not VALIDATOR.is_valid({"step": [{"kind": "dim", "factor": 0.5}]})
