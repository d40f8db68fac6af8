"""Samples made on the fly are those of the data set that would be made."""

from __future__ import annotations

import pickle
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

import blursynth as bs
from blursynth.dataset import DatasetRequest, OnlineDataset, generate
from blursynth.dataset.generate import CHECKED_DRAWS
from blursynth.errors import InvalidValueError, RecipeError

pytestmark = pytest.mark.usefixtures("few_draws_are_tried_first")  # but where their number is what is tested


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "chelsea"):
        bs.write_picture(folder / f"{name}.png", getattr(skimage.data, name)().transpose(2, 0, 1) / 255)
    return folder


@pytest.mark.parametrize("recipe", ["default", "clean"])
def test_the_bytes_are_those_of_the_data_set(photos: Path, tmp_path: Path, recipe: str) -> None:
    made = bs.load_recipe(recipe)
    generate(DatasetRequest(sources=photos, recipe=made, count=3, size_px=64, seed=5), tmp_path / "pairs")
    stored = bs.open_dataset(tmp_path / "pairs")
    sent = pickle.dumps(
        OnlineDataset(DatasetRequest(sources=photos, recipe=made, size_px=64, seed=5))
    )  # as to a worker process
    online = pickle.loads(sent)  # noqa: S301
    for i in (2, 0, 1):
        assert (online[i].sharp == stored[i].sharp).all()
        assert (online[i].blurred == stored[i].blurred).all()
        assert online[i].draw == stored[i].draw
        assert online[i].window == stored[i].window
        assert online[i].source == stored[i].source


def test_what_comes_before_the_blur_makes_the_pair(photos: Path) -> None:
    online = OnlineDataset(DatasetRequest(sources=photos, recipe=bs.load_recipe("default"), size_px=48, seed=1))
    before = online.unblurred(4)
    assert before.margin_px is not None
    pair = before.draw.pair(before.frame, margin_px=before.margin_px)
    assert (np.rint(pair.blurred.image[0].transpose(1, 2, 0) * 255) == online[4].blurred).all()
    around = online.around(4)
    assert around.size_px == (48, 48)
    assert (around.origin_px == before.frame.origin_px + before.margin_px).all()


def test_a_count_ends_it_and_changes_no_sample(photos: Path) -> None:
    made = bs.load_recipe("clean")
    three = OnlineDataset(DatasetRequest(sources=photos, recipe=made, size_px=48, seed=1, count=3))
    assert (
        three[2].blurred == OnlineDataset(DatasetRequest(sources=photos, recipe=made, size_px=48, seed=1))[2].blurred
    ).all()
    assert [sample.index for sample in (three[i] for i in range(3))] == [0, 1, 2]
    assert len(three) == 3
    with pytest.raises(IndexError, match="sample 3 of 3"):
        three[3]
    with pytest.raises(InvalidValueError, match="count"):
        OnlineDataset(DatasetRequest(sources=photos, recipe=made, size_px=48, seed=1, count=0))


def test_bad_wishes_are_told_before_any_work(photos: Path) -> None:
    online = OnlineDataset(DatasetRequest(sources=photos, recipe=bs.load_recipe("clean"), size_px=48, seed=1))
    with pytest.raises(TypeError, match="is endless"):
        online[-1]
    with pytest.raises(InvalidValueError, match="size_px"):
        OnlineDataset(DatasetRequest(sources=photos, recipe=bs.load_recipe("clean"), size_px=4, seed=1))
    with pytest.raises(RecipeError, match="reaches"):
        OnlineDataset(DatasetRequest(sources=photos, recipe=bs.load_recipe("default"), size_px=500, seed=1))


def test_a_rare_draw_that_reaches_too_far_is_found_before_the_first_sample(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in 500, and 2000 are tried: a run does not die of it after a night."""
    monkeypatch.setattr(import_module("blursynth.dataset.generate"), "CHECKED_DRAWS", CHECKED_DRAWS)
    rare = bs.OneOf((500, bs.kinds.Identity()), (1, bs.kinds.DiskBlur(diameter_px=900.0)))
    with pytest.raises(RecipeError, match="reaches 450 px beyond the 48 px window"):
        OnlineDataset(
            DatasetRequest(
                sources=photos,
                recipe=bs.Recipe([bs.kinds.Decode(), ("blur", rare), bs.kinds.Encode()]),
                size_px=48,
                seed=1,
            )
        )


def test_sources_of_light_have_draws_too(tmp_path: Path) -> None:
    """A recipe draws nothing in place of decoding for them, which is not a kind of its own."""
    light = (skimage.data.astronaut()[..., ::-1] / 255.0).astype(np.float32) ** 2.2
    cv2.imwrite(str(tmp_path / "light.tif"), light)
    online = OnlineDataset(DatasetRequest(sources=tmp_path, recipe=bs.load_recipe("clean"), size_px=48, seed=1))
    assert online[0].draw["decode"].kind == "identity"
