"""LPIPS: distance of two images in the features of a classification network, weighted by human judgments."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from blursynth.errors import InvalidValueError, PictureError
from deblur_models.checkpoints.weights_file import read_weights
from deblur_models.metrics.metric import Metric

__all__ = ["Backbone", "Lpips", "lpips_network", "vgg_layers"]

Backbone = Literal["alex", "vgg"]

_FILES = {"alex": ("alexnet-owt-7be5be79.pth", "7be5be79"), "vgg": ("vgg16-397923af.pth", "397923af")}
_CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
_SMALLEST_PX = {"alex": 31, "vgg": 16}


class Lpips(Metric):
    """``sum_l mean_p sum_c w_lc (f_lc(p) - g_lc(p))^2``: f and g are features of two images, of unit length per pixel.

    It uses version 0.1 of the published weights ``w``. Two files are needed, and neither is replaced by random values.

    Parameters
    ----------
    net
        ``alex`` (AlexNet, the authors' choice for reports) or ``vgg`` (VGG-16).
    backbone_weights
        torchvision's weights file of that network, ``.pth`` or ``.safetensors``. None: its default location, the folder
        ``checkpoints`` of ``torch.hub.get_dir()``.
    linear_weights
        The file of ``w`` (``alex.pth`` or ``vgg.pth`` of the published code). None: the file in torchmetrics, if
        installed (extra ``dev``).
    check_published
        Reject a backbone that is not the published file, according to its SHA-256, since other weights give different
        values under the same name. False for a converted file; the name in reports then says so.

    Raises
    ------
    PictureError
        A file is missing.
    DatasetError
        A file is not a weights file.
    InvalidValueError
        A file contains other weights, or an image has sides below 31 px (``alex``) or 16 px (``vgg``).

    Source: R. Zhang, P. Isola, A. Efros, E. Shechtman, O. Wang, "The unreasonable effectiveness of deep features as a
    perceptual metric", CVPR 2018.
    """

    higher_is_better = False

    net: Backbone = Field(default="alex", description="the classification network")
    backbone_weights: str | None = Field(default=None, description="weights file of the classification network")
    linear_weights: str | None = Field(default=None, description="weights file of the linear layers")
    check_published: bool = Field(default=True, description="whether the backbone must be the published file")

    @property
    def name(self) -> str:
        return f"lpips_{self.net}" if self.check_published else f"lpips_{self.net}_unpublished_backbone"

    @property
    def protocol(self) -> str:
        backbone = "torchvision's ImageNet weights" if self.check_published else f"weights of {self.backbone_weights}"
        return f"LPIPS 0.1, {self.net} with {backbone}, pictures of full size scaled to -1..1, mean over places"

    def files(self) -> tuple[Path, Path]:
        """The files of the backbone and of the linear layers, whether they exist or not."""
        backbone = self.backbone_weights
        if backbone is None:
            backbone = str(Path(torch.hub.get_dir()) / "checkpoints" / _FILES[self.net][0])
        if self.linear_weights is not None:
            return Path(backbone), Path(self.linear_weights)
        package = find_spec("torchmetrics")
        folder = Path(package.origin).parent if package is not None and package.origin else Path()
        return Path(backbone), folder / "functional" / "image" / "lpips_models" / f"{self.net}.pth"

    def check_ready(self) -> None:
        backbone, linear = self.files()
        for what, path, fix in (
            (
                f"{_FILES[self.net][0]}, torchvision's weights of its backbone",
                backbone,
                "Download it on a machine with internet access and set backbone_weights to its path.",
            ),
            (
                f"{self.net}.pth, the weights of its linear layers",
                linear,
                "Install torchmetrics, which includes it, or set linear_weights to the path of the published file.",
            ),
        ):
            if not path.is_file():
                raise PictureError(
                    f"{self.name} needs {what}, which is not at {path}.",
                    why="With random weights, its values would be meaningless.",
                    fix=fix,
                )
        self._network()

    def measure(self, restored: Tensor, sharp: Tensor) -> Tensor:
        if min(restored.shape[-2:]) < _SMALLEST_PX[self.net]:
            raise InvalidValueError(
                f"{self.name} needs sides of at least {_SMALLEST_PX[self.net]} px, got {restored.shape[-2]} x "
                f"{restored.shape[-1]}."
            )
        self.check_ready()
        value: Tensor = self._network().to(restored.device)(restored.float(), sharp.float())
        return value

    def _network(self) -> _LpipsNetwork:
        backbone, linear = self.files()
        return _loaded(self.net, backbone, backbone.stat().st_mtime_ns, linear, self.check_published)


@lru_cache(maxsize=2)
def _loaded(net: Backbone, backbone: Path, changed: int, linear: Path, check_published: bool) -> _LpipsNetwork:
    if check_published:
        with backbone.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(_FILES[net][1]):
            raise InvalidValueError(
                f"{backbone} is not the published {_FILES[net][0]}: its SHA-256 starts with {digest[:8]}.",
                why="Other weights give different values under the same name.",
                fix="Use the published file, or set check_published=false.",
            )
    return lpips_network(net, read_weights(backbone), read_weights(linear))


def lpips_network(net: Backbone, backbone: Mapping[str, Tensor], linear: Mapping[str, Tensor]) -> _LpipsNetwork:
    """The distance of two batches ``[B, 3, H, W]`` in 0..1 as a module, with weights named as in the originals.

    Weights of a classifier are ignored.
    """
    network = _LpipsNetwork(net)
    state = {f"features.{k.removeprefix('features.')}": v for k, v in backbone.items() if k.startswith("features.")}
    state |= {
        k.replace(".model.1.", ".").replace(".model.0.", "."): v for k, v in linear.items() if k.startswith("lin")
    }
    wanted = network.state_dict()
    wrong = [k for k in wanted if k not in state or state[k].shape != wanted[k].shape]
    if wrong:
        raise InvalidValueError(
            f"The weights do not fit LPIPS with {net}: {len(wrong)} of {len(wanted)} are missing or misshapen, "
            f"such as {wrong[0]} {list(wanted[wrong[0]].shape)}.",
            fix=f"Use torchvision's {_FILES[net][0]} and the published {net}.pth.",
        )
    network.load_state_dict({k: state[k] for k in wanted})
    return network.requires_grad_(False).eval()


class _LpipsNetwork(nn.Module):
    def __init__(self, net: Backbone) -> None:
        super().__init__()
        stages = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
        self.features = _alexnet() if net == "alex" else nn.Sequential(*vgg_layers(stages)[:-1])
        self.taps = (1, 4, 7, 9, 11) if net == "alex" else (3, 8, 15, 22, 29)
        for level, channels in enumerate(_CHANNELS[net]):
            self.add_module(f"lin{level}", nn.Conv2d(channels, 1, 1, bias=False))
        # ImageNet's mean and standard deviation for images in -1..1, rounded as in the published code.
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1), persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        x = (2 * torch.cat([a, b]) - 1 - self.get_buffer("shift")) / self.get_buffer("scale")
        total = torch.zeros(len(a), dtype=x.dtype, device=x.device)
        level = 0
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in self.taps:
                unit = x / (x.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
                difference = (unit[: len(a)] - unit[len(a) :]).square()
                total = total + self.get_submodule(f"lin{level}")(difference).mean(dim=(1, 2, 3))
                level += 1
        return total


def _alexnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )


def vgg_layers(stages: Iterable[tuple[int, int]]) -> list[nn.Module]:
    """The layers of VGG for its stages ``(channels, convolutions)``, each of which ends in a pooling."""
    layers: list[nn.Module] = []
    before = 3
    for channels, convolutions in stages:
        for _ in range(convolutions):
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        layers.append(nn.MaxPool2d(2))
    return layers
