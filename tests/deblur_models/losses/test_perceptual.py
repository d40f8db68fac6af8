"""Features of VGG19 from a file: the formula, and everything that is refused. Weights here are made for the test."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blursynth.errors import DatasetError, InvalidValueError
from deblur_models.losses import Perceptual
from deblur_models.losses.perceptual import VGG19_FILE, VGG19_LAYERS, VGG19Features
from deblur_models.losses.pretrained import load_pretrained, pretrained_path

ONE, OTHER = torch.rand(2, 2, 3, 21, 18, generator=torch.Generator().manual_seed(0))
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(1)
    classifier = {"classifier.0.weight": torch.zeros(4, 4)}  # the file of the whole network holds more than features
    return {**VGG19Features("conv3_3").state_dict(), **classifier}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Tensor]) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    torch.save(state, path)
    return path


def by_hand(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """conv3_3: two convolutions, pooling, two, pooling, three; activations between them."""
    for block in ((0, 2), (5, 7), (10, 12, 14)):
        for place in block:
            x = F.conv2d(x, state[f"features.{place}.weight"], state[f"features.{place}.bias"], padding=1)
            if place != 14:
                x = x.clamp(min=0)
        if block[0] != 10:
            x = F.max_pool2d(x, 2)
    return x


def test_it_is_the_squared_difference_of_features(state: dict[str, Tensor], file: Path) -> None:
    features = [by_hand(state, (x - MEAN) / STD) for x in (ONE, OTHER)]
    expected = (features[0] - features[1]).square().mean()
    assert Perceptual(weights_file=str(file))(ONE, OTHER).item() == pytest.approx(expected.item(), rel=1e-5)


def test_paper_compat_takes_pictures_as_deblurgan_does(state: dict[str, Tensor], file: Path) -> None:
    features = [by_hand(state, 2 * x - 1) for x in (ONE, OTHER)]
    expected = (features[0] - features[1]).square().mean()
    loss = Perceptual(weights_file=str(file), paper_compat=True)
    assert loss(ONE, OTHER).item() == pytest.approx(expected.item(), rel=1e-5)


def test_every_picture_of_a_batch_is_normalized(file: Path) -> None:
    """Not only the first, as in DeblurGAN-v2's code."""
    loss = Perceptual(weights_file=str(file))
    swapped = loss(ONE.flip(0), OTHER.flip(0))
    assert swapped.item() == pytest.approx(loss(ONE, OTHER).item(), rel=1e-5)


def test_layers_have_torchvisions_places() -> None:
    network = VGG19Features("relu5_4").features
    assert len(network) == 36
    for name, place in VGG19_LAYERS.items():
        assert isinstance(network[place], nn.Conv2d if name.startswith("conv") else nn.ReLU), name
    pools = [i for i, layer in enumerate(network) if isinstance(layer, nn.MaxPool2d)]
    assert pools == [4, 9, 18, 27]
    assert VGG19_LAYERS["conv3_3"] == 14
    assert {k: list(v.shape) for k, v in VGG19Features("conv1_2").state_dict().items()} == {
        "features.0.weight": [64, 3, 3, 3],
        "features.0.bias": [64],
        "features.2.weight": [64, 64, 3, 3],
        "features.2.bias": [64],
    }


def test_gradients_reach_the_picture_and_no_weight(file: Path) -> None:
    loss = Perceptual(weights_file=str(file))
    restored = ONE.clone().requires_grad_()
    loss(restored, OTHER).backward()
    assert restored.grad is not None
    assert bool((restored.grad != 0).any())
    network = loss._network(torch.device("cpu"), torch.float32)
    assert all(not p.requires_grad and p.grad is None for p in network.parameters())
    assert not network.training


def test_loading_takes_nothing_from_the_training_stream(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "another.pth"
    copy.write_bytes(file.read_bytes())
    torch.manual_seed(5)
    before = torch.get_rng_state()
    Perceptual(weights_file=str(copy)).check_ready()
    assert torch.equal(torch.get_rng_state(), before)


def test_without_weights_it_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for act in (Perceptual().check_ready, lambda: Perceptual()(ONE, OTHER)):
        with pytest.raises(InvalidValueError, match=f"needs pretrained weights.*{VGG19_FILE}.*random weights.*fft_l1"):
            act()
    with pytest.raises(InvalidValueError, match=r"file '/nowhere/vgg\.pth' does not exist"):
        Perceptual(weights_file="/nowhere/vgg.pth").check_ready()


def test_the_default_is_torchvisions_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / "other.pth"
    place.parent.mkdir(parents=True)
    place.write_bytes(file.read_bytes())
    assert pretrained_path("", "other.pth", what="This") == place
    # The right name with other contents: the digits of the name tell.
    (place.parent / VGG19_FILE).write_bytes(file.read_bytes())
    with pytest.raises(InvalidValueError, match=r"damaged or another file: its sha256 begins with .*says dcbb9e9d"):
        Perceptual().check_ready()


def test_a_file_named_by_its_digits_is_read(tmp_path: Path, file: Path) -> None:
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    named = tmp_path / f"vgg19-{digits}.pth"
    named.write_bytes(file.read_bytes())
    Perceptual(weights_file=str(named)).check_ready()


def test_a_replaced_file_is_read_again(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "vgg.pth"
    torch.save(state, path)
    loss = Perceptual(weights_file=str(path))
    before = loss(ONE, OTHER).item()
    torch.save({k: v * 0.5 for k, v in state.items()}, path)
    assert loss(ONE, OTHER).item() != pytest.approx(before, rel=1e-3)


def test_files_that_do_not_fit_are_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    def refused(changed: object, message: str, error: type[ValueError | OSError] = InvalidValueError) -> None:
        path = tmp_path / "changed.pth"
        torch.save(changed, path)
        with pytest.raises(error, match=message):
            Perceptual(weights_file=str(path)).check_ready()

    refused({k: v for k, v in state.items() if k != "features.5.bias"}, "1 missing: features.5.bias")
    refused(
        {**state, "features.0.weight": torch.zeros(64, 1, 3, 3)},
        r"1 with another shape: features.0.weight \[64, 1, 3, 3\] instead of \[64, 3, 3, 3\]",
    )
    refused({**state, "features.0.bias": torch.full((64,), torch.nan)}, "1 not finite: features.0.bias")
    refused([1, 2], "holds a list, not weights by name", DatasetError)
    # What would run code when loaded is not loaded: a logger is not a tensor.
    refused({"state": logging.getLogger("x")}, "is not a tensor. No code was run", DatasetError)


def test_damaged_files_are_refused(tmp_path: Path, file: Path) -> None:
    for contents in (b"", b"not a picture", file.read_bytes()[:5000]):
        path = tmp_path / "damaged.pth"
        path.write_bytes(contents)
        with pytest.raises(DatasetError, match=r"is empty|is not a checkpoint|is damaged"):
            Perceptual(weights_file=str(path)).check_ready()


def test_nested_states_are_found(tmp_path: Path) -> None:
    path = tmp_path / "nested.pth"
    torch.save({"state_dict": {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}, "epoch": 3}, path)
    with torch.device("meta"):
        module = nn.Linear(2, 2)
    load_pretrained(module, path)
    assert module(torch.ones(1, 2)).tolist() == [[2.0, 2.0]]


def test_pictures_must_be_large_enough_and_colored(file: Path) -> None:
    loss = Perceptual(weights_file=str(file))
    with pytest.raises(InvalidValueError, match=r"conv3_3 needs images .* of at least 4 px, got \[1, 3, 3, 9\]"):
        loss(torch.zeros(1, 3, 3, 9), torch.zeros(1, 3, 3, 9))
    with pytest.raises(InvalidValueError, match=r"got \[1, 1, 9, 9\]"):
        loss(torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 9, 9))
    assert loss(torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)).item() > 0
