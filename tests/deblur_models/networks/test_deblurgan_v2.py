"""DeblurGAN-v2: numbers of weights as stored and used, figures of the published code, checkpoints, and its encoder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks import count_weights, create_network
from deblur_models.networks.deblurgan_v2 import DeblurGanV2Config
from deblur_models.networks.timm_backbones import import_timm

# Where the published code cuts the list of MobileNetV2's parts into the five steps that it stores a second time.
STEPS = (0, 2, 4, 7, 11, 16)


@pytest.mark.parametrize(
    ("size", "backbone", "classes", "stored", "used"),
    [
        (
            "inception",
            "inception_resnet_v2",
            1000,
            60_929_291,
            35_840_099,
        ),  # the classifier comes along, from pretrainedmodels 'imagenet', which takes one of its 1001 classes off
        ("inception", "inception_resnet_v2", 1001, 60_930_828, 35_840_099),
        ("mobile", "mobilenetv2_100", 0, 3_312_707, 2_106_627),
    ],
)
def test_weights_stored_by_the_published_code_and_used(
    size: str, backbone: str, classes: int, stored: int, used: int
) -> None:
    with torch.device("meta"):
        network = create_network("deblurgan_v2", size)
        whole = import_timm().create_model(backbone, pretrained=False, num_classes=classes)
    assert count_weights(network) == used
    assert used - sum(p.numel() for p in network.encoder_parameters()) + count_weights(whole) == stored


def test_the_separable_one_is_smaller_and_has_no_dense_convolution_of_3x3_outside_its_stem() -> None:
    with torch.device("meta"):
        network = create_network("deblurgan_v2", "mobile_dsc")
    assert count_weights(network) < 0.6 * 2_106_627
    dense = [
        name
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d) and part.kernel_size == (3, 3) and part.groups != part.in_channels
    ]
    assert dense == ["fpn.encoder.conv_stem"]


def published_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mobile network's weights as the published code stores them: another order of names, everything twice and whole."""
    block = {"conv_pw": "0", "bn1": "1", "conv_dw": "3", "bn2": "4", "conv_pwl": "6", "bn3": "7"}
    first = {"conv_dw": "0", "bn1": "1", "conv_pw": "3", "bn2": "4"}
    begins = (1, 2, 4, 7, 11, 14, 17)
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        _, _, *rest = parts = name.split(".")
        if parts[:2] != ["fpn", "encoder"]:
            found[name] = tensor
            if name.startswith(("fpn.td", "smooth")) and name.endswith(".0.weight"):
                for statistic in ("running_mean", "running_var", "num_batches_tracked"):
                    found[name.replace(".0.weight", f".1.{statistic}")] = torch.ones(1)
            continue
        if rest[0] in ("conv_stem", "bn1"):
            place, inside = 0, ["0" if rest[0] == "conv_stem" else "1", *rest[1:]]
        else:
            stage, number, layer = int(rest[1]), int(rest[2]), rest[3]
            place = begins[stage] + number
            inside = ["conv", (first if stage == 0 else block)[layer], *rest[4:]]
        step = max(s for s, start in enumerate(STEPS) if place >= start)
        found[".".join(["fpn.features", str(place), *inside])] = tensor
        found[".".join([f"fpn.enc{step}", str(place - STEPS[step]), *inside])] = tensor
        if inside[-1] == "weight" and tensor.ndim == 1:
            for statistic in ("running_mean", "running_var", "num_batches_tracked"):
                found[".".join(["fpn.features", str(place), *inside[:-1], statistic])] = torch.ones(1)
    for place, inner in ((16, "conv.0"), (17, "conv.3"), (18, "0")):
        found[f"fpn.features.{place}.{inner}.weight"] = torch.ones(1)
    return found


def test_published_checkpoints_fit() -> None:
    config = DeblurGanV2Config.of_size("mobile")
    with torch.device("meta"):
        own = config.build().state_dict()
    read = config.from_original(published_names(own))
    assert set(read) == set(own)
    assert all(read[name] is tensor for name, tensor in own.items())
    for foreign in ("unheard.of", "fpn.features.40.weight", "fpn.inception.conv2d_1a.conv.weight"):
        (name,) = config.from_original({foreign: torch.ones(1)})  # shown in a comparison
        assert name.endswith(foreign.removeprefix("fpn."))
    assert config.from_original(own).keys() == own.keys()


def test_the_two_copies_of_a_backbone_are_compared() -> None:
    torch.manual_seed(0)
    config = DeblurGanV2Config.of_size("mobile")
    published = published_names(config.build().state_dict())
    assert config.from_original(published).keys() == config.build().state_dict().keys()
    twice = [name for name in published if name.startswith("fpn.enc")]
    assert len(twice) == sum(name.startswith("fpn.encoder.") for name in config.build().state_dict())
    for changed in (twice[0], twice[len(twice) // 2], twice[-1]):
        bad = {**published, changed: published[changed] + 1e-3}
        with pytest.raises(InvalidValueError, match=rf"1 weights of the two copies differ: {re.escape(changed)}"):
            config.from_original(bad)
        with pytest.raises(InvalidValueError, match="copies differ"):
            config.from_original({**published, changed: published[changed][:1]})


def test_the_two_copies_of_inception_are_compared() -> None:
    """Names of both copies as the attributes of the published FPN give them: a part, or the place in a list of parts."""
    config = DeblurGanV2Config.of_size("inception")
    pairs = {
        "enc0.conv.weight": "conv2d_1a.conv.weight",
        "enc1.0.conv.weight": "conv2d_2a.conv.weight",
        "enc1.1.bn.bias": "conv2d_2b.bn.bias",
        "enc2.0.conv.weight": "conv2d_3b.conv.weight",
        "enc2.1.conv.weight": "conv2d_4a.conv.weight",
        "enc3.0.branch0.conv.weight": "mixed_5b.branch0.conv.weight",
        "enc3.1.4.branch1.0.conv.weight": "repeat.4.branch1.0.conv.weight",
        "enc3.2.branch0.conv.weight": "mixed_6a.branch0.conv.weight",
        "enc4.0.19.conv2d.weight": "repeat_1.19.conv2d.weight",
        "enc4.1.branch0.0.conv.weight": "mixed_7a.branch0.0.conv.weight",
    }
    for second, first in pairs.items():
        one = torch.rand(3)
        assert f"fpn.encoder.{first}" in config.from_original({f"fpn.inception.{first}": one, f"fpn.{second}": one})
        with pytest.raises(InvalidValueError, match="copies differ"):
            config.from_original({f"fpn.inception.{first}": one, f"fpn.{second}": one + 1})


def test_published_checkpoints_bring_running_statistics_where_the_policy_has_them() -> None:
    published = {
        **{f"fpn.features.1.conv.1.{s}": torch.ones(1) for s in ("running_mean", "num_batches_tracked")},
        **{f"smooth.1.{s}": torch.ones(1) for s in ("running_var", "num_batches_tracked")},
        "fpn.enc0.1.conv.1.running_mean": torch.ones(1),
    }
    for norm, encoder_norm, expected in (
        ("instance", "instance", set()),
        ("running", "instance", {"smooth.1.running_var"}),
        ("batch_stats", "running", {"fpn.encoder.blocks.0.0.bn1.running_mean"}),
    ):
        config = DeblurGanV2Config.of_size("mobile", norm=norm, encoder_norm=encoder_norm)
        assert set(config.from_original(published)) == expected


def test_inceptions_checkpoints_fit() -> None:
    config = DeblurGanV2Config.of_size("inception")
    with torch.device("meta"):
        own = config.build().state_dict()
        whole = import_timm().create_model("inception_resnet_v2", pretrained=False, num_classes=0).state_dict()
    published = {name: tensor for name, tensor in own.items() if not name.startswith("fpn.encoder.")}
    published |= {f"fpn.inception.{name}": tensor for name, tensor in whole.items()}
    published |= {"fpn.inception.last_linear.weight": torch.ones(1), "fpn.enc0.conv.weight": torch.ones(1)}
    read = config.from_original(published)
    assert {name: tensor.shape for name, tensor in read.items()} == {name: tensor.shape for name, tensor in own.items()}


def test_figures_of_the_published_code(
    known_weights: Callable[[nn.Module], nn.Module],
    known_picture: Callable[[int, int], Tensor],
    figures: Callable[[Tensor], list[float]],
) -> None:
    """Of the published mobile network in train mode, run with these weights in double precision."""
    network = known_weights(DeblurGanV2Config.of_size("mobile").build()).double().eval()
    with torch.no_grad():
        found = figures(network(known_picture(128, 96).double()))
    assert found == pytest.approx([0.541945, 0.328202, 0.0, 0.981386, 0.549624], abs=2e-6)


def test_for_one_picture_the_published_policy_is_the_default() -> None:
    torch.manual_seed(0)
    ours = DeblurGanV2Config.of_size("tiny", encoder_norm="instance").build().double().eval()
    published = (
        DeblurGanV2Config.of_size("tiny", norm="batch_stats", encoder_norm="batch_stats").build().double().eval()
    )
    published.load_state_dict(ours.state_dict())
    pictures = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(ours(pictures[:1]), published(pictures[:1]), atol=1e-9)
        assert torch.allclose(ours(pictures)[:1], ours(pictures[:1]), atol=1e-9)
        assert not torch.allclose(published(pictures)[:1], published(pictures[:1]), atol=1e-3)


@pytest.mark.parametrize("size_px", [(1, 1), (40, 130)])
def test_inception_takes_pictures_smaller_than_its_convolutions(size_px: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = create_network("deblurgan_v2", "inception", width=8)
        assert network(torch.rand(1, 3, *size_px)).shape == (1, 3, *size_px)


def test_margins_of_inceptions_maps_are_mirrored() -> None:
    torch.manual_seed(0)
    pyramid = DeblurGanV2Config.of_size("inception", width=8).build().fpn.eval()
    picture = torch.rand(1, 3, 128, 160)
    with torch.no_grad():
        half, *_, deepest = pyramid.encoder(picture)
        found = pyramid(picture)
        for lateral, tap, margins, own in (
            (pyramid.lateral0, half, (0, 1, 0, 1), found[0]),
            (pyramid.lateral4, deepest, (1, 1, 1, 1), found[4]),
        ):
            assert torch.equal(own, nn.functional.pad(lateral(tap), margins, mode="reflect"))
    assert [m.shape[-2:] for m in found] == [(64, 80), (32, 40), (16, 20), (8, 10), (4, 5)]


def test_the_encoder_can_be_held_still_and_is_read_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DeblurGanV2Config.of_size("tiny").build()
    encoder = list(network.encoder_parameters())
    assert 0 < len(encoder) < len(list(network.parameters()))
    for weight in encoder:
        weight.requires_grad_(False)
    before = [weight.clone() for weight in network.parameters()]
    held = {id(weight) for weight in encoder}
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0).step()
    for weight, old in zip(network.parameters(), before, strict=True):
        if id(weight) in held:
            assert torch.equal(weight, old)
    assert any(not torch.equal(w, o) for w, o in zip(network.parameters(), before, strict=True) if id(w) not in held)

    whole = import_timm().create_model("mobilenetv2_035", pretrained=False)
    torch.save(whole.state_dict(), tmp_path / "mobilenet.pth")
    network.load_encoder(tmp_path / "mobilenet.pth")
    assert torch.equal(network.fpn.encoder.conv_stem.weight, whole.conv_stem.weight)
    with pytest.raises(InvalidValueError, match="do not fit"):
        DeblurGanV2Config.of_size("mobile").build().load_encoder(tmp_path / "mobilenet.pth")


def test_the_answer_is_added_to_the_picture_and_cut() -> None:
    torch.manual_seed(0)
    network = DeblurGanV2Config.of_size("tiny").build().eval()
    picture = torch.rand(1, 3, 40, 70)
    with torch.no_grad():
        network.final.weight.zero_()
        for bias, added in ((0.0, 0.0), (20.0, 0.5), (-20.0, -0.5)):  # tanh of it, half as much in 0..1
            network.final.bias.fill_(bias)
            assert torch.allclose(network(picture), (picture + added).clamp(0, 1), atol=1e-6)
