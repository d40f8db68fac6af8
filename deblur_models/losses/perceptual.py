"""The distance of two images in the feature space of VGG19."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.losses.loss import Loss
from deblur_models.losses.pixel import IMAGENET_MEAN, IMAGENET_STD
from deblur_models.losses.pretrained import load_pretrained, pretrained_path
from deblur_models.metrics.lpips import vgg_layers

__all__ = ["VGG19_FILE", "VGG19_LAYERS", "Perceptual", "VGG19Features"]

VGG19_FILE = "vgg19-dcbb9e9d.pth"
"""File name of torchvision's VGG19 trained on ImageNet; the digits are the start of its sha256."""

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels, convolutions


def _layer_places() -> dict[str, int]:
    places, place = {}, 0
    for block, (_, convolutions) in enumerate(_BLOCKS, 1):
        for number in range(1, convolutions + 1):
            places[f"conv{block}_{number}"], places[f"relu{block}_{number}"] = place, place + 1
            place += 2
        place += 1  # the pooling
    return places


VGG19_LAYERS = _layer_places()
"""Index of every convolution and activation of VGG19 in torchvision's ``features``: ``conv3_3`` is 14."""


class VGG19Features(nn.Module):
    """The layers of VGG19 up to a given one, with torchvision's weight names, ``features.0.weight`` and so on.

    Source: K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    ICLR 2015.
    """

    def __init__(self, layer: str) -> None:
        super().__init__()
        self.features = nn.Sequential(*vgg_layers(_BLOCKS)[: VGG19_LAYERS[layer] + 1])

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.features(pictures)
        return features


class Perceptual(Loss):
    """Mean squared difference of the features of VGG19 at one layer, ``mean (phi(x) - phi(y))^2``.

    It needs torchvision's weights file; without it, :meth:`check_ready` and every call raise an error. Images are
    normalized by the mean and standard deviation of ImageNet, as in the training of the network.

    ``paper_compat`` follows DeblurGAN's code: images in -1..1 without that normalization. (DeblurGAN-v2's code
    normalizes only the first image of a batch; with its batch size of one, that equals the default here.) DeblurGAN
    uses a weight of 100, DeblurGAN-v2 .006 along with .5 for the mean squared error, both at ``conv3_3`` before its
    activation.

    Sources: J. Johnson, A. Alahi and L. Fei-Fei, "Perceptual Losses for Real-Time Style Transfer", ECCV 2016;
    O. Kupyn et al., "DeblurGAN", CVPR 2018.
    """

    every_scale: ClassVar[bool] = False

    weights_file: str = Field(
        default="", description=f"path of VGG19's weights; default {VGG19_FILE} in torchvision's cache"
    )
    layer: str = Field(default="conv3_3", description="layer whose features are compared, such as conv3_3 or relu5_4")
    paper_compat: bool = Field(
        default=False, description="whether VGG19 gets images in -1..1 without normalization, as in DeblurGAN's code"
    )

    def model_post_init(self, context: object) -> None:
        if self.layer not in VGG19_LAYERS:
            raise InvalidValueError(
                f"VGG19 has no layer {self.layer!r}.",
                fix="Available: conv1_1, conv1_2, conv2_1, conv2_2, conv3_1 to conv3_4, conv4_1 to conv4_4, conv5_1 to "
                "conv5_4, and the activations after them, relu1_1 and so on.",
            )

    def check_ready(self) -> None:
        """Load the weights; an error says if their file is missing, damaged, or does not fit."""
        self._network(torch.device("cpu"), torch.float32)

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        smallest = 2 ** (int(self.layer[4]) - 1)
        if restored.shape[1] != 3 or min(restored.shape[-2:]) < smallest:
            raise InvalidValueError(
                f"VGG19's {self.layer} needs images [B, 3, H, W] of at least {smallest} px, got {list(restored.shape)}."
            )
        network = self._network(restored.device, restored.dtype)
        with torch.no_grad():
            wanted: Tensor = network(self._prepared(sharp))
        features: Tensor = network(self._prepared(restored))
        return (features - wanted).square().mean()

    def _network(self, device: torch.device, dtype: torch.dtype) -> VGG19Features:
        path = pretrained_path(self.weights_file, VGG19_FILE, what="The perceptual loss")
        return _loaded(str(path), path.stat().st_mtime_ns, self.layer, device, dtype)

    def _prepared(self, pictures: Tensor) -> Tensor:
        if self.paper_compat:
            return 2 * pictures - 1
        mean, std = (pictures.new_tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        return (pictures - mean) / std


# The modification time of the file is part of the key, so that a replaced file is read again.
@lru_cache(maxsize=4)
def _loaded(file: str, changed_ns: int, layer: str, device: torch.device, dtype: torch.dtype) -> VGG19Features:
    path = pretrained_path(file, VGG19_FILE, what="The perceptual loss")
    with torch.device("meta"):  # without values: random weights would consume the training's random stream
        network = VGG19Features(layer)
    load_pretrained(network, path)
    ready: VGG19Features = network.eval().requires_grad_(False).to(device, dtype)
    return ready
