"""Looking at held-out pairs while training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.dataset import OnlineDataset
from blursynth.io import write_picture
from blursynth.recipe import load_recipe
from deblur_models.configuration import Validation
from deblur_models.data import PairSample, open_pairs
from deblur_models.data.bundled import photographs
from deblur_models.data.training_set import values_of
from deblur_models.metrics import metric
from deblur_models.networks import Network

__all__ = ["HeldOut", "Look"]


@dataclass(frozen=True)
class Look:
    """Mean scores over the held-out pairs: of the network, and of doing nothing."""

    psnr: float
    ssim: float
    psnr_blurred: float
    ssim_blurred: float
    pairs: int

    @property
    def gain_db(self) -> float:
        return self.psnr - self.psnr_blurred

    def to_dict(self) -> dict[str, float]:
        return {
            "psnr": self.psnr,
            "ssim": self.ssim,
            "psnr_blurred": self.psnr_blurred,
            "ssim_blurred": self.ssim_blurred,
            "gain_db": self.gain_db,
            "pairs": self.pairs,
        }


class HeldOut:
    """Pairs that are drawn once, kept in memory as codes, and looked at again and again."""

    def __init__(self, settings: Validation) -> None:
        self.settings = settings
        self.pairs: list[PairSample]
        if settings.photos is not None:
            made = OnlineDataset(
                photographs(settings.photos),
                load_recipe(settings.recipe),
                size_px=settings.size_px,
                seed=settings.seed,
                downscale=settings.downscale,
            )
            samples = [made[i] for i in range(settings.count)]
            self.pairs = [PairSample(f"{s.index}", s.sharp, s.blurred, s.source, s.draw) for s in samples]
        else:
            assert settings.pairs is not None
            found = open_pairs(settings.pairs, settings.sharp)
            count = min(settings.count, len(found))
            self.pairs = [found[i * len(found) // count] for i in range(count)]
        self._blurred_scores: tuple[float, float] | None = None

    def look(self, network: Network, device: torch.device, pictures: Path | None = None) -> Look:
        """Scores of a network; the first pictures are written beside each other: blurred, restored, sharp."""
        was_training = network.training
        network.eval()
        psnr, ssim = metric("psnr"), metric("ssim")
        scores, before = [], []
        shown: list[NDArray[np.float32]] = []
        with torch.inference_mode():
            for pair in self.pairs:
                sharp, blurred = (values_of(codes, device)[None] for codes in (pair.sharp, pair.blurred))
                restored = network(blurred).float().clamp(0, 1)
                scores.append((psnr(restored, sharp).item(), ssim(restored, sharp).item()))
                if self._blurred_scores is None:
                    before.append((psnr(blurred, sharp).item(), ssim(blurred, sharp).item()))
                if pictures is not None and len(shown) < self.settings.pictures:
                    shown.append(torch.cat([blurred, restored, sharp], dim=-1)[0].cpu().numpy())
        network.train(was_training)
        if self._blurred_scores is None:
            self._blurred_scores = _mean(before)
        if pictures is not None and shown:
            write_sheet(pictures, shown)
        return Look(*_mean(scores), *self._blurred_scores, len(scores))


def write_sheet(path: Path, rows: Sequence[NDArray[np.float32]]) -> None:
    """Pictures ``[3, H, W]`` below each other; narrower ones are filled with grey."""
    width = max(row.shape[-1] for row in rows)
    wide = [np.pad(row, ((0, 0), (0, 4), (0, width - row.shape[-1])), constant_values=0.5) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, np.concatenate(wide, axis=1))


def _mean(scores: Sequence[tuple[float, float]]) -> tuple[float, float]:
    first, second = np.mean(scores, axis=0)
    return float(first), float(second)
