"""Selection of the metrics that can be measured on the pictures of a set."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from blursynth.errors import BlursynthError, DatasetError, PictureError
from blursynth.io.pictures import read_header
from deblur_models.data.pair_set import FolderPairs, PairSet
from deblur_models.metrics import Metric, metric

__all__ = ["DEFAULT_METRICS", "aligned_metrics", "size_of", "usable_metrics"]

DEFAULT_METRICS = ("psnr", "ssim", "ms_ssim", "gmsd", "niqe", "lpips")


def usable_metrics(metrics: Iterable[Metric], pairs: PairSet) -> tuple[list[Metric], dict[str, BlursynthError]]:
    """The metrics that can be measured on these pairs, and the errors of the others by name.

    Each is tested on noise with the size of the smallest picture, and on the same noise with other noise in it.
    """
    sizes = [size for i in range(len(pairs)) if (size := size_of(pairs, i)) is not None]
    if not sizes:
        raise DatasetError(f"{pairs.name}: none of its {len(pairs)} pictures can be read.")
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, min(h for h, _ in sizes), min(w for _, w in sizes), generator=rng)
    usable, wrong = [], {}
    for one in metrics:
        try:
            one.check_ready()
            one(noise, noise.lerp(noise.flip(-1), 0.2))
        except BlursynthError as error:
            wrong[one.name] = error
        else:
            usable.append(one)
    return usable, wrong


def aligned_metrics(max_shift_px: int) -> list[Metric]:
    """PSNR and SSIM at the best shift of up to ``max_shift_px``, without the borders that are shifted out."""
    border_px = max(15, max_shift_px + 2)
    return [metric("aligned", of=of, max_shift_px=max_shift_px, border_px=border_px) for of in ("psnr", "ssim")]


def size_of(pairs: PairSet, index: int) -> tuple[int, int] | None:
    """Height and width of a pair; None if it cannot be read."""
    try:
        if isinstance(pairs, FolderPairs):  # which checks all of its files together
            info = read_header(pairs.blurred[index])
            return info.height, info.width
        return pairs.size_px(index)
    except PictureError:
        return None
