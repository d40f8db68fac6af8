"""What a user calls by names and paths: training, evaluation, and a picture restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import blursynth as bs
import deblur_models as dm
from deblur_models.checkpoints import shipped
from deblur_models.data import open_pairs
from deblur_models.restore.network_restorer import NetworkRestorer, usual_tiles

CODES = np.random.default_rng(5).integers(0, 256, (20, 28, 3)).astype(np.uint8)
CHANGES = {
    "stage": [{"steps": 2, "patch_px": 32, "batch": 2}],
    "network": {"kind": "attention_unet", "size": "tiny"},
    "data.blurred.recipe": "clean",
    "validation.recipe": "clean",
    "validation.count": 1,
    "validation.every": 2,
}


@pytest.fixture(scope="module")
def network() -> dm.Network:
    torch.manual_seed(1)
    return dm.create_network("nafnet", size="tiny")


def test_a_picture_keeps_its_form(network: dm.Network) -> None:
    tensor = torch.from_numpy(CODES).movedim(-1, 0)
    restored = NetworkRestorer(network, **usual_tiles(network)).restore(tensor[None] / 255).clamp(0, 1)
    codes = (restored * 255).round().byte()[0]
    given: dict[str, Any] = {"array": CODES, "tensor": tensor, "pillow": Image.fromarray(CODES)}
    made = {name: dm.restore_picture(network, picture) for name, picture in given.items()}
    assert [type(one) for one in made.values()] == [np.ndarray, torch.Tensor, Image.Image]
    assert torch.equal(made["tensor"], codes)
    assert np.array_equal(made["array"], codes.movedim(0, -1).numpy())
    assert np.array_equal(np.asarray(made["pillow"]), made["array"])
    assert torch.equal(dm.restore_picture(network, tensor[None] / 255), restored)
    assert dm.restore_picture(network, CODES[..., 0]).shape == (20, 28)
    with pytest.raises(bs.InvalidValueError, match="got str"):
        dm.restore_picture(network, "photo.png")


def test_a_network_in_training_stays_in_it(network: dm.Network) -> None:
    for training in (True, False):
        network.train(training)
        dm.restore_picture(network, CODES, ensemble=True)
        assert network.training is training


def test_a_picture_that_gradients_are_wanted_of(network: dm.Network) -> None:
    picture = torch.rand(3, 16, 16, requires_grad=True)
    assert dm.restore_picture(network, picture).shape == picture.shape


def test_names_of_networks() -> None:
    listed = dm.list_networks()
    assert len(listed) == len(dm.networks.ALL)
    for kind, sizes in listed.items():
        assert "tiny" in sizes
        assert dm.create_network(kind, size="tiny").config.kind == kind
    with pytest.raises(bs.InvalidValueError, match="nafnet"):
        dm.create_network("nafnets")


def test_from_a_configuration_to_a_report(tmp_path: Path) -> None:
    result = dm.train_network("small", tmp_path / "run", changes=CHANGES)
    assert (result.finished, result.step) == (True, 2)
    configuration = dm.load_configuration("small", CHANGES)
    assert dm.train_network(configuration, tmp_path / "run").start_step == 2
    assert dm.train_network(configuration, tmp_path / "short", changes={"stage.0.steps": 1}).step == 1
    network = dm.load_network(tmp_path / "run")
    for number in range(2):
        bs.write_picture(tmp_path / "pairs" / "sharp" / f"{number}.png", np.moveaxis(CODES / np.float32(255), -1, 0))
        blurred = bs.transforms.Blur(bs.kinds.GaussianBlur(sigma_px=1.0))(CODES / np.float32(255))
        bs.write_picture(tmp_path / "pairs" / "blur" / f"{number}.png", np.moveaxis(blurred, -1, 0))
    options = {"metrics": ["psnr"], "harm": 0, "cost_px": None, "device": "cpu"}
    of_path = dm.evaluate_network(tmp_path / "run", tmp_path / "pairs", tmp_path / "a", **options)  # type: ignore[arg-type]
    of_network = dm.evaluate_network(network, tmp_path / "pairs", tmp_path / "b", **options)  # type: ignore[arg-type]
    measured = [[line["values"] for line in found.values["attention_unet"].values()] for found in (of_path, of_network)]
    assert len(measured[0]) == 2
    assert measured[0] == measured[1]
    assert (tmp_path / "a" / "index.html").exists()
    assert of_network.summary["data"]["measured"] == 2


def test_a_public_set_by_name(tmp_path: Path) -> None:
    network = dm.create_network("nafnet", size="tiny")
    for half in ("blur", "sharp"):
        bs.write_picture(tmp_path / f"test/scene/{half}/000001.png", np.moveaxis(CODES / np.float32(255), -1, 0))
    found = dm.evaluate_network(network, tmp_path, tmp_path / "report", protocol="gopro", cost_px=None)
    assert found.summary["data"]["name"] == "gopro"
    assert set(found.summary["better"]) == {"psnr", "ssim"}
    with pytest.raises(bs.InvalidValueError, match="Did you mean 'gopro'"):
        dm.evaluate_network(network, tmp_path, tmp_path / "other", protocol="gopr")
    with pytest.raises(bs.InvalidValueError, match="needs the folder of the set"):
        dm.evaluate_network(network, open_pairs(tmp_path), tmp_path / "other", protocol="gopro")


def test_pictures_are_restored_by_path(network: dm.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "weights")
    dm.save_network(network, tmp_path / "weights/photographs", half=True)
    Image.fromarray(CODES).save(tmp_path / "photo.png")
    done = dm.apply_network(tmp_path / "photo.png", device="cpu")
    (one,) = done.restored
    assert (one.target, done.failed) == (tmp_path / "photo-deblurred.png", [])
    expected = dm.restore_picture(dm.load_network("photographs"), CODES)
    assert np.array_equal(np.asarray(Image.open(one.target)), expected)
    error = np.square(expected / 255 - CODES / 255).mean()
    assert one.changed_db == pytest.approx(-10 * np.log10(error), abs=0.3)  # before rounding
    again = dm.apply_network([tmp_path / "photo.png", tmp_path / "none.png"], network=network)
    assert again.failed[0][1].endswith("already exists and is not overwritten")
    assert len(again.failed) == 2
    assert (
        dm.apply_network(tmp_path / "photo.png", tmp_path / "out", network=network).restored[0].target.parent.name
        == "out"
    )
    with pytest.raises(bs.DatasetError, match="Did you mean 'photographs'"):
        dm.apply_network(tmp_path / "photo.png", network="photograph")
