"""Backbones: the taps are timm's own numbers, weights come from files, and torchvision need not fit the torch at hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from blursynth.errors import InvalidValueError, MissingExtraError
from deblur_models.networks import NormPolicy, count_weights, timm_backbones
from deblur_models.networks.timm_backbones import (
    BackboneName,
    build_encoder,
    encoder_type,
    import_timm,
    load_backbone_weights,
)

INCEPTION_TAPS = ("conv2d_1a", "maxpool_3a", "maxpool_5a", "mixed_6a", "mixed_7a")
MOBILE_TAPS = ("blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.5.1")


def randomize(module: nn.Module) -> None:
    """Weights that let every layer show: those of batch norms begin at 1 and 0."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.ndim == 1 and tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.rand_like(tensor))


def whole_and_taps(name: BackboneName, taps: tuple[str, ...]) -> tuple[nn.Module, dict[str, Tensor]]:
    """timm's whole model, and the dictionary that its taps fill when it runs."""
    whole = import_timm().create_model(name, pretrained=False)
    randomize(whole)
    seen: dict[str, Tensor] = {}
    for tap in taps:
        whole.get_submodule(tap).register_forward_hook(lambda _, __, output, tap=tap: seen.update({tap: output}))
    return whole, seen


@pytest.mark.parametrize(
    ("name", "taps", "side_px"),
    [
        ("mobilenetv2_100", MOBILE_TAPS, 64),
        ("mobilenetv2_035", MOBILE_TAPS, 64),
        ("inception_resnet_v2", INCEPTION_TAPS, 160),  # k = 5
    ],
)
@pytest.mark.parametrize("policy", ["instance", "running"])
def test_taps_are_those_of_timm(name: BackboneName, taps: tuple[str, ...], side_px: int, policy: NormPolicy) -> None:
    """With running statistics those of timm in use, with instance statistics those of timm training on one picture."""
    whole, seen = whole_and_taps(name, taps)
    encoder = build_encoder(name, policy)
    load_backbone_weights(encoder, whole.state_dict())
    picture = torch.rand(1, 3, side_px, side_px) * 2 - 1
    with torch.no_grad():
        whole.train(policy == "instance")(picture)
        maps = encoder.eval()(picture)
    assert [m.shape[1] for m in maps] == list(encoder.channels)
    for tap, found, (before, after), level in zip(taps, maps, encoder.margins_px, range(1, 6), strict=True):
        torch.testing.assert_close(found, seen[tap], atol=1e-5, rtol=1e-5)
        assert before + found.shape[-1] + after == side_px // 2**level
    if name == "inception_resnet_v2":
        assert [m.shape[-1] for m in maps] == [79, 38, 17, 8, 3]  # 16 k - 1, 8 k - 2, 4 k - 3, 2 k - 2, k - 2


@pytest.mark.parametrize(
    ("name", "whole", "used"),
    [("inception_resnet_v2", 55_843_464, 30_754_272), ("mobilenetv2_100", 3_504_872, 1_017_792)],
)
def test_what_lies_behind_the_last_tap_is_not_built(name: BackboneName, whole: int, used: int) -> None:
    with torch.device("meta"):
        model, encoder = import_timm().create_model(name, pretrained=False), build_encoder(name, "running")
    assert count_weights(model) == whole
    assert count_weights(encoder) == used
    left_out = {n: p.numel() for n, p in model.named_parameters() if n.startswith(type(encoder).unused)}
    assert sum(left_out.values()) == whole - used
    own = set(encoder.state_dict())
    assert own == {n for n in model.state_dict() if n not in left_out and not n.startswith(type(encoder).unused)} - {
        n for n in model.state_dict() if n.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("name", get_args(BackboneName))
def test_every_policy_reaches_every_normalization(name: BackboneName) -> None:
    with torch.device("meta"):
        encoder = build_encoder(name, "batch_stats")
    assert not any(isinstance(part, nn.BatchNorm2d) for part in encoder.modules())
    assert {part.policy for part in encoder.modules() if hasattr(part, "policy")} == {"batch_stats"}
    assert not list(encoder.named_buffers())


@pytest.fixture
def small() -> Iterator[dict[str, Tensor]]:
    whole = import_timm().create_model("mobilenetv2_035", pretrained=False)
    randomize(whole)
    return whole.state_dict()


def test_weights_of_the_whole_backbone_are_loaded(small: dict[str, Tensor]) -> None:
    encoder = build_encoder("mobilenetv2_035", "running")
    load_backbone_weights(encoder, small)
    assert all(torch.equal(small[name], tensor) for name, tensor in encoder.state_dict().items())


@pytest.mark.parametrize(
    ("published", "timm"),
    [
        ("features.0.0.weight", "conv_stem.weight"),
        ("features.0.1.running_var", "bn1.running_var"),
        ("features.1.conv.0.weight", "blocks.0.0.conv_dw.weight"),
        ("features.1.conv.4.bias", "blocks.0.0.bn2.bias"),
        ("features.2.conv.0.weight", "blocks.1.0.conv_pw.weight"),
        ("features.10.conv.3.weight", "blocks.3.3.conv_dw.weight"),
        ("features.15.conv.7.weight", "blocks.5.1.bn3.weight"),
        ("features.17.conv.6.weight", "blocks.6.0.conv_pwl.weight"),
        ("features.18.0.weight", "conv_head.weight"),
        ("features.19.conv.0.weight", "features.19.conv.0.weight"),  # there is no such part
        ("features.2.conv.2.weight", "features.2.conv.2.weight"),  # an activation
        ("features", "features"),
        ("classifier.weight", "classifier.weight"),
    ],
)
def test_published_names_of_mobilenet_become_those_of_timm(published: str, timm: str) -> None:
    assert encoder_type("mobilenetv2_100").timm_name(published) == timm


def test_weights_of_another_backbone_are_refused_and_change_nothing(small: dict[str, Tensor]) -> None:
    encoder = build_encoder("mobilenetv2_035", "instance")
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    wrong = dict(small)
    del wrong["blocks.0.0.conv_dw.weight"]
    wrong["extra.weight"] = torch.ones(1)
    wrong["conv_stem.weight"] = torch.ones(3, 3, 3, 3)
    with pytest.raises(InvalidValueError) as caught:
        load_backbone_weights(encoder, wrong)
    for part in (
        "1 missing ['blocks.0.0.conv_dw.weight']",
        "1 unknown ['extra.weight']",
        "conv_stem.weight is [3, 3, 3, 3]",
    ):
        assert part in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())


def test_running_statistics_are_needed_only_by_the_policy_that_has_them(small: dict[str, Tensor]) -> None:
    plain = {name: tensor for name, tensor in small.items() if "running" not in name}
    load_backbone_weights(build_encoder("mobilenetv2_035", "instance"), plain)
    with pytest.raises(InvalidValueError, match="running_mean"):
        load_backbone_weights(build_encoder("mobilenetv2_035", "running"), plain)


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_without_the_package_the_extra_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"'{package}', which is not installed.*extra 'train'"):
        build_encoder("mobilenetv2_035", "instance")


# Fails as torchvision does whose compiled part is for another torch, and leaves a submodule behind.
STAND_IN = """
import torch
from torchvision import part
part.LOADED.append("torchvision")
for operator in ("nms", "qnms"):
    torch.library.register_fake(f"torchvision::{operator}")(lambda dets, scores, iou_threshold: dets)
__version__ = "0.0"
"""
FRESH_INTERPRETER = """
import logging, sys
sys.path.insert(0, sys.argv[1])
import deblur_models.networks
assert not {"timm", "torchvision"} & set(sys.modules), "the package itself loads neither"
records = []
logging.getLogger("deblur_models").setLevel(logging.DEBUG)
logging.getLogger("deblur_models").addHandler(type("Keep", (logging.Handler,), {"emit": lambda _, r: records.append(r)})())
from deblur_models.networks.timm_backbones import import_timm, import_torchvision
print(import_timm().NAME, import_timm() is import_timm(), import_torchvision().part.LOADED)
print(len(records), records[0].levelname, "nms" in records[0].getMessage())
"""


@pytest.mark.slow  # another process imports torch and all of torchvision
def test_a_torchvision_that_does_not_fit_is_imported_whole_and_logged(tmp_path: Path) -> None:
    for file, content in (
        ("torchvision/__init__.py", STAND_IN),
        ("torchvision/part.py", "LOADED = []"),
        ("timm/__init__.py", "import torchvision\nNAME = 'timm beside ' + torchvision.__version__"),
    ):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(content)
    done = subprocess.run(
        [sys.executable, "-c", FRESH_INTERPRETER, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["timm beside 0.0 True ['torchvision']", "1 DEBUG True"]


def test_another_failure_of_torchvision_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(timm_backbones, "require", fail)
    before = set(sys.modules)
    with pytest.raises(RuntimeError, match="the disk is on fire"):
        import_timm()
    assert before <= set(sys.modules)
