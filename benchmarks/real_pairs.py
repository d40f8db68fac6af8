"""Real pairs of a blurred and a sharp photograph, for measuring only: those in ``BLURSYNTH_REAL_DATA``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from blursynth.dataset.bundled import bundled_photographs
from blursynth.io.pictures import read_pixels
from deblur_models.metrics import align, metric

__all__ = ["ALIGN_PX", "BORDER_PX", "RealPair", "picture", "protocol", "real_pairs", "score", "sharp_photographs"]

ALIGN_PX, BORDER_PX = 8, 30
"""How far photographs of Levin et al. are moved against their sharp ones at most, and the border that is cut off."""


@dataclass(frozen=True)
class RealPair:
    """A photograph with real blur, and the sharp one."""

    name: str
    group: str
    blurred: Tensor  # [1, 3, H, W]
    sharp: Tensor
    shifted: bool  # whether the two are moved against each other

    def half(self, number: int) -> RealPair | None:
        """The left (0) or right half (1) of a large picture; a small one belongs to one of the halves as a whole."""
        if self.shifted:
            return self if self.name.startswith(f"levin {number + 1}.") else None
        middle = self.sharp.shape[-1] // 2
        part = slice(0, middle) if number == 0 else slice(middle, None)
        return replace(self, blurred=self.blurred[..., part], sharp=self.sharp[..., part])


def real_pairs(folder: Path) -> Iterator[RealPair]:
    """GoPro Flower (averaged in codes and in light), GoPro Istanbul, and 16 photographs of Levin et al."""
    gopro = folder / "blur" / "gopro_nah_examples"
    flower = picture(gopro / "Flower_sharp1.png")
    for name in ("blur_lin", "blur_gamma"):
        blurred = picture(gopro / f"{name}__seq_id-4_frame-1_Input.png")
        yield RealPair(f"flower {name}", "GoPro Flower", blurred, flower, False)
    istanbul = picture(gopro / "Istanbul_blur1.png"), picture(gopro / "Istanbul_sharp1.png")
    yield RealPair("istanbul", "GoPro Istanbul", *istanbul, False)
    levin = folder / "blur" / "levin09"
    for number in (1, 2):
        sharp = picture(levin / "gt" / f"im{number}.png")
        for kernel in range(1, 9):
            blurred = picture(levin / f"im{number}_kernel{kernel}_img.png")
            yield RealPair(f"levin {number}.{kernel}", f"Levin {number}", blurred, sharp, True)


def score(shown: Tensor, pair: RealPair) -> float:
    """PSNR, after alignment where the two photographs are moved against each other."""
    if not pair.shifted:
        return float(metric("psnr")(shown, pair.sharp))
    moved = align(shown, pair.sharp, max_shift_px=ALIGN_PX, border_px=BORDER_PX)
    return float(metric("psnr")(moved.restored, moved.sharp))


def protocol() -> str:
    """How they are measured, in a sentence."""
    return (
        "GoPro Flower (two pairs: averaged in codes and in light) and Istanbul as they are; Levin: 2 pictures by 8 "
        f"real shakes, aligned by up to {ALIGN_PX} px with {BORDER_PX} px cut off."
    )


def sharp_photographs(folder: Path) -> dict[str, list[Tensor]]:
    """Photographs that a network should leave alone: those held out, and the sharp ones of the real pairs."""
    seen = {id(pair.sharp): pair.sharp for pair in real_pairs(folder) if not pair.shifted}
    kodak = sorted((folder / "photos" / "kodak24").glob("*.png"))
    return {
        "sharp photographs": [picture(path) for path in (*bundled_photographs("held-out"), *kodak)],
        "sharp real frames": list(seen.values()),
    }


def picture(path: Path) -> Tensor:
    """``[1, 3, H, W]`` in 0..1."""
    codes = read_pixels(path)
    values = codes.astype(np.float32) / np.iinfo(codes.dtype).max
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]
