"""DeepDeblur: its pyramid against scikit-image, its order of scales, its range, the names of the published weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.transform import pyramid_gaussian

from blursynth.errors import InvalidValueError
from deblur_models.networks.deepdeblur import DeepDeblurConfig, halve, halving_weights, pyramid


def original_names(config: DeepDeblurConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the PyTorch release's weights, as its classes nest them."""
    w, shapes = config.width, {}

    def layer(name: str, before: int, after: int) -> None:
        shapes[f"{name}.weight"] = (after, before, 5, 5)
        shapes[f"{name}.bias"] = (after,)

    for level in range(config.levels):
        body = f"body_models.{level}.body"
        layer(f"{body}.0", 3 if level == config.levels - 1 else 6, w)
        for place in range(1, config.blocks + 1):
            layer(f"{body}.{place}.body.0", w, w)
            layer(f"{body}.{place}.body.2", w, w)
        layer(f"{body}.{config.blocks + 1}", w, 3)
        if level:
            layer(f"conv_end_models.{level}.uppath.0", 3, 12)
    return shapes


@pytest.mark.parametrize("shape", [(4, 4), (8, 12), (64, 36)])
def test_the_pyramid_is_that_of_scikit_image(shape: tuple[int, int]) -> None:
    """The function that the published code makes its pyramid with, in codes of 0..255."""
    picture = np.random.default_rng(0).uniform(0, 255, (*shape, 3))
    expected = list(pyramid_gaussian(picture, max_layer=2, channel_axis=-1))
    found = pyramid(torch.from_numpy(picture).permute(2, 0, 1)[None], 3)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours[0].permute(1, 2, 0), theirs, atol=2e-5)


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (7, 3), (33, 18)])
def test_halving_keeps_a_flat_picture(shape: tuple[int, int]) -> None:
    half = halve(torch.full((1, 3, *shape), 0.25))
    assert half.shape[-2:] == (-(-shape[0] // 2), -(-shape[1] // 2))
    assert torch.allclose(half, torch.tensor(0.25))


def test_halving_does_not_move_the_picture() -> None:
    """Its weights are symmetric about the middle of two pixels, which is where the coarse pixel lies."""
    weights = halving_weights()
    assert torch.equal(weights, weights.flip(0))
    assert weights.sum() == pytest.approx(1.0, abs=1e-6)
    ramp = torch.arange(32.0).expand(1, 1, 32, 32)
    assert torch.allclose(halve(ramp)[0, 0, 8, 2:-2], torch.arange(2.0, 14.0) * 2 + 0.5, atol=1e-4)


def test_halving_passes_gradients() -> None:
    x = torch.rand(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: halve(x), (x,))


def test_scales_are_chained_from_coarse_to_fine_in_centered_codes() -> None:
    """The published forward written out with the weights under their published names."""
    torch.manual_seed(0)
    config = DeepDeblurConfig.of_size("tiny")
    state = {name: 0.05 * torch.randn(shape) for name, shape in original_names(config).items()}
    network = config.build()
    network.load_state_dict(config.from_original(state))
    blurred = torch.rand(1, 3, 16, 20)

    def layer(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=2)

    codes = [x - 127.5 for x in pyramid(blurred * 255, 3)]
    outputs: list[torch.Tensor] = []
    for level in (2, 1, 0):
        x = codes[level]
        if outputs:
            up = F.pixel_shuffle(layer(outputs[-1], f"conv_end_models.{level + 1}.uppath.0"), 2)
            x = torch.cat((x, up), 1)
        name = f"body_models.{level}.body"
        x = layer(x, f"{name}.0")
        for place in range(1, config.blocks + 1):
            x = x + layer(F.relu(layer(x, f"{name}.{place}.body.0")), f"{name}.{place}.body.2")
        outputs.append(layer(x, f"{name}.{config.blocks + 1}"))
    with torch.no_grad():
        found = network(blurred, every_scale=True)
    for ours, theirs in zip(found, reversed(outputs), strict=True):
        torch.testing.assert_close(ours, (theirs + 127.5) / 255, atol=2e-4, rtol=1e-4)


def test_names_of_the_published_weights_all_fit() -> None:
    config = DeepDeblurConfig.of_size("published")
    with torch.device("meta"):
        network = config.build()
        state = {name: torch.empty(shape) for name, shape in original_names(config).items()}
    mapped = config.from_original(state)
    assert {k: v.shape for k, v in mapped.items()} == {k: v.shape for k, v in network.state_dict().items()}
    assert set(config.from_original({"body.weight": torch.zeros(1)})) == {"body.weight"}


def test_targets_are_the_pyramid() -> None:
    sharp = torch.rand(2, 3, 21, 10)
    targets = DeepDeblurConfig.of_size("tiny").build().targets(sharp)
    assert [tuple(t.shape[-2:]) for t in targets] == [(21, 10), (11, 5), (6, 3)]
    assert torch.equal(targets[1], halve(sharp))


@pytest.mark.parametrize("wrong", ["width", "blocks", "levels"])
def test_numbers_out_of_range_are_refused(wrong: str) -> None:
    with pytest.raises(InvalidValueError, match=wrong):
        DeepDeblurConfig(**{wrong: -1})
