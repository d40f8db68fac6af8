"""Pixel-wise losses."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.losses.loss import Loss

__all__ = ["L1", "L2", "PSNR", "Charbonnier"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Standard deviations of R, G and B over ImageNet, encoded and in 0..1."""

# Luma of BT.601 in the range 16..235 of 255, as in the code of HINet and NAFNet.
_LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)


class L1(Loss):
    """``mean |d|``: the mean absolute error."""

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        return (restored - sharp).abs().mean()


class L2(Loss):
    """``mean d^2``: the mean squared error (MSE), without a half and without a root.

    ``imagenet_std`` first divides each channel's difference by the standard deviation of that channel over ImageNet,
    which makes the loss 19.6 times as large if the channels' errors are equal. DeblurGAN-v2's code does so, because
    its images have been normalized for VGG19 before.
    """

    imagenet_std: bool = Field(
        default=False, description="whether channels are divided by ImageNet's standard deviations, as in DeblurGAN-v2"
    )

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        difference = restored - sharp
        if self.imagenet_std:
            if difference.shape[1] != 3:
                raise InvalidValueError(f"imagenet_std needs images with 3 channels, got {difference.shape[1]}.")
            difference = difference / difference.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
        return difference.square().mean()


class Charbonnier(Loss):
    """``mean sqrt(d^2 + epsilon^2)``: L1 that is smooth at 0.

    Source: W. Lai et al., "Deep Laplacian Pyramid Networks", CVPR 2017; epsilon .001 as in MPRNet.
    """

    epsilon: float = Field(default=1e-3, gt=0, le=1, description="width of the smooth region, in image units")

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        difference = restored - sharp
        return (difference * difference + self.epsilon**2).sqrt().mean()


class PSNR(Loss):
    """The *negative* peak signal-to-noise ratio in dB, ``mean_b (10 / ln 10) ln(MSE_b + epsilon)``: lower is better.

    ``MSE_b`` is computed per image, so that the ratios of images are averaged. Values are below zero for anything
    better than white against black: -30 is 30 dB. Equal images give ``10 log10(epsilon)``, -80 by default. Good images
    have a steep gradient, ``1 / MSE``, so warm up the learning rate.

    Source: L. Chen et al., "HINet: Half Instance Normalization Network for Image Restoration", CVPR Workshops 2021;
    the code of NAFNet.
    """

    epsilon: float = Field(default=1e-8, gt=0, le=1, description="added to the mean squared error; bounds the loss")
    luma: bool = Field(default=False, description="whether to compare BT.601 luma (16..235) instead of R, G, B")

    def distance(self, restored: Tensor, sharp: Tensor) -> Tensor:
        difference = restored - sharp
        if self.luma:
            if difference.shape[1] != 3:
                raise InvalidValueError(f"The luma needs images with 3 channels, got {difference.shape[1]}.")
            difference = torch.einsum("bchw,c->bhw", difference, difference.new_tensor(_LUMA))
        error = difference.square().flatten(1).mean(1)
        return (10 / math.log(10)) * (error + self.epsilon).log().mean()
