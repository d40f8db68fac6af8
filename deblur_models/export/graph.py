"""A network as one graph that takes pictures of any size: padding, value range, precision and cropping are inside."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblur_models.networks.network import RANGES, Network, pad_to_multiple

__all__ = ["PictureGraph", "example_picture"]


class PictureGraph(nn.Module):
    """Maps ``[B, 3, H, W]`` in 0..1 (float32, RGB) to the restored pictures, as ``network(picture)`` does.

    In contrast to :class:`~deblur_models.networks.Network` it has no branches on the size while torch traces it for any
    size, and it computes the finest output only. The weights decide the precision inside.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> Tensor:
        config = self.network.config
        scale, offset = RANGES[config.value_range]
        height, width = picture.shape[-2:]
        inside = picture.to(next(self.network.parameters()).dtype)
        fixed = isinstance(height, int) and isinstance(width, int)
        if fixed:
            inside = pad_to_multiple(inside, config.multiple_px)
        else:
            for dim in (-2, -1):
                inside = mirrored_to_multiple(inside, dim, config.multiple_px)
        restored = self.network.restore(inside if scale == 1.0 else inside * scale + offset)[0]
        if scale != 1.0:
            restored = (restored - offset) / scale
        if fixed:
            restored = restored[..., :height, :width]
        else:  # Not as a slice, after which torch.export would take only sizes that need padding.
            for dim, length in ((-2, height), (-1, width)):
                restored = restored.index_select(dim, torch.arange(length, device=restored.device))
        return restored.to(picture.dtype)


def mirrored_to_multiple(x: Tensor, dim: int, multiple_px: int) -> Tensor:
    """One side of :func:`~deblur_models.networks.network.pad_to_multiple`, for lengths that are known later only.

    Place ``p`` holds ``x[min(p, max(2 n - 2 - p, 0))]``. Computed in float32, which is exact up to 2^24 px, because
    OpenCV has no arithmetic of integers.
    """
    length = x.shape[dim]
    whole = (length + multiple_px - 1) // multiple_px * multiple_px
    place = torch.arange(whole, device=x.device).float()
    return x.index_select(dim, torch.minimum(place, F.relu(2 * length - 2 - place)).long())


def example_picture(network: Network, size_px: tuple[int, int] | None) -> Tensor:
    """The picture with which a graph is traced: of the fixed size, or two of sides that need padding."""
    if size_px is not None:
        return torch.rand(1, 3, *size_px)
    side = max(32, 2 * network.config.multiple_px)
    return torch.rand(2, 3, 2 * side - 1, 3 * side - 1)
