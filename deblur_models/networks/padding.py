"""Padding of images whose sides a network does not accept: mirrored, or as in its published code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["PublishedPadding", "mirror_pad"]


def mirror_pad(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Pad ``[B, C, H, W]`` with mirrored columns and rows, in px; the edge itself is not repeated.

    Mirroring needs more pixels than it adds; for small images, the remaining part repeats the edge.
    """
    height, width = x.shape[-2:]
    wanted = (left, right, top, bottom)
    mirrored = tuple(min(n, side - 1) for n, side in zip(wanted, (width, width, height, height), strict=True))
    missing = tuple(n - m for n, m in zip(wanted, mirrored, strict=True))
    for amounts, mode in ((mirrored, "reflect"), (missing, "replicate")):
        if any(amounts):
            x = F.pad(x, amounts, mode=mode)
    return x


@dataclass(frozen=True)
class PublishedPadding:
    """Rows and columns that the published code of a network adds at the lower right of an image in its tests.

    Networks themselves (``Network.forward``) use mirrored padding. The padding is part of the network's input: results
    near the lower and right edges differ, and those of networks that average over their whole input differ everywhere
    (a gray strip of up to 32 px lowers the standard deviations by which DeblurGAN-v2 divides).

    Parameters
    ----------
    fill
        Their content: one ``value`` (``constant``, in 0..1), the repeated ``edge``, or the image mirrored without its
        edge (``reflect``) or with it (``symmetric``).
    multiple_px
        The sides become multiples of this value.
    value
        The value of ``constant``.
    another
        Whether sides that are already multiples are padded by another multiple.
    landscape
        Whether portrait images are transposed while they are restored.
    least_px
        Minimum height and width, up to which smaller images are padded.
    """

    fill: Literal["constant", "edge", "reflect", "symmetric"]
    multiple_px: int
    value: float = 0.0
    another: bool = False
    landscape: bool = False
    least_px: tuple[int, int] = (1, 1)

    def pad(self, picture: Tensor) -> Tensor:
        """The image ``[B, C, H, W]`` in 0..1, padded as the published code does."""
        if self._lies(picture.shape):
            picture = picture.transpose(-2, -1)
        for dim, least in ((-2, self.least_px[0]), (-1, self.least_px[1])):
            side = max(picture.shape[dim], least)
            wanted = side // self.multiple_px + 1 if self.another else -(-side // self.multiple_px)
            picture = self._filled(picture, dim, wanted * self.multiple_px - picture.shape[dim])
        return picture

    def cut(self, restored: Tensor, like: Tensor) -> Tensor:
        """The network's output for a padded image, cropped to the size and orientation of the original."""
        lies = self._lies(like.shape)
        height, width = (like.shape[-1], like.shape[-2]) if lies else like.shape[-2:]
        restored = restored[..., :height, :width]
        return restored.transpose(-2, -1) if lies else restored

    def _lies(self, shape: torch.Size) -> bool:
        return self.landscape and shape[-2] > shape[-1]

    def _filled(self, picture: Tensor, dim: int, missing: int) -> Tensor:
        if not missing:
            return picture
        if self.fill == "constant":
            return F.pad(picture, (0, 0, 0, missing) if dim == -2 else (0, missing), value=self.value)
        side = picture.shape[dim]
        places = torch.arange(side + missing, device=picture.device)
        if self.fill == "edge" or side == 1:
            places = places.clamp(max=side - 1)
        else:  # there and back again
            last = 2 * side - 1 if self.fill == "symmetric" else 2 * side - 2
            places = places % (last + 1 if self.fill == "symmetric" else last)
            places = torch.where(places < side, places, last - places)
        return picture.index_select(dim, places)
