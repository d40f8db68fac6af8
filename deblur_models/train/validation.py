"""Validation during training: scores on held-out pairs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.dataset import DatasetRequest, OnlineDataset
from blursynth.io.pictures import write_picture
from deblur_models.config.configuration import Validation
from deblur_models.data import PairSample, open_pairs
from deblur_models.data.collate import values_of
from deblur_models.data.skipped import log_skipped
from deblur_models.metrics import metric
from deblur_models.networks import BlurGenerator, Network
from deblur_models.train.processes import Processes

__all__ = ["UNCHANGED_DB", "HeldOut", "ValidationResult"]

UNCHANGED_DB = 100.0
"""Upper limit of PSNR for no harm, so that a single unchanged picture does not dominate the mean."""


@dataclass(frozen=True)
class ValidationResult:
    """Mean scores over the held-out pairs: of the network, and of its unchanged input as the baseline.

    The pooled PSNR is that of the mean squared error over all pairs, ``-10 log10 mean(10^(-psnr / 10))``: a pair counts
    by its error, so strongly blurred ones decide, while those with hardly any error decide the mean of the PSNRs. None
    in results of earlier versions.

    ``input`` says which picture of a pair that is: the blurred one, or the sharp one for a network that blurs.
    ``no_harm_db`` is the PSNR between the sharp pictures and the network's output for them, where an unchanged picture
    counts as ``UNCHANGED_DB``; None for a network that blurs.
    """

    psnr: float
    ssim: float
    psnr_input: float
    ssim_input: float
    pairs: int
    input: Literal["blurred", "sharp"] = "blurred"
    no_harm_db: float | None = None
    pooled_psnr: float | None = None
    pooled_psnr_input: float | None = None

    @property
    def gain_db(self) -> float:
        """PSNR of the output minus PSNR of the input: the gain of a network that restores.

        For a network that blurs, it measures how much closer its blur is to that of the pair, which it cannot know.
        This is not a gain, and is called ``nearer_db`` wherever it is written.
        """
        return self.psnr - self.psnr_input

    @property
    def pooled_gain_db(self) -> float | None:
        """As :attr:`gain_db`, of the pooled PSNR."""
        if self.pooled_psnr is None or self.pooled_psnr_input is None:
            return None
        return self.pooled_psnr - self.pooled_psnr_input

    @property
    def gain_name(self) -> Literal["gain", "nearer"]:
        """The name of the difference, without its unit."""
        return "gain" if self.input == "blurred" else "nearer"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no infinity: None represents the PSNR of identical pictures."""
        values = {
            "psnr": self.psnr,
            "ssim": self.ssim,
            f"psnr_{self.input}": self.psnr_input,
            f"ssim_{self.input}": self.ssim_input,
            f"{self.gain_name}_db": self.gain_db,
            "pooled_psnr": self.pooled_psnr,
            f"pooled_psnr_{self.input}": self.pooled_psnr_input,
            f"pooled_{self.gain_name}_db": self.pooled_gain_db,
            "no_harm_db": self.no_harm_db,
        }
        return {
            **{k: v if math.isfinite(v) else None for k, v in values.items() if v is not None},
            "pairs": self.pairs,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ValidationResult:
        """The result from the values of :meth:`to_dict`."""
        kind: Literal["blurred", "sharp"] = "sharp" if "psnr_sharp" in values else "blurred"

        def finite_or_infinite(name: str) -> float:
            value = values[name]
            return math.inf if value is None else float(value)

        pooled = (f"pooled_psnr{end}" for end in ("", f"_{kind}"))
        return cls(
            finite_or_infinite("psnr"),
            values["ssim"],
            finite_or_infinite(f"psnr_{kind}"),
            values[f"ssim_{kind}"],
            values["pairs"],
            kind,
            values.get("no_harm_db"),
            *(finite_or_infinite(name) if name in values else None for name in pooled),
        )

    def rank(self, no_harm_db: float, best_by: Literal["psnr", "pooled_psnr"] = "psnr") -> tuple[float, float]:
        """Sort key from bad to good: results below ``no_harm_db`` by how little they harm, then those that reach it by
        ``best_by``; results of earlier versions, without a pooled PSNR, come before all others."""
        score = self.psnr if best_by == "psnr" else self.pooled_psnr
        kept = min(no_harm_db if self.no_harm_db is None else self.no_harm_db, no_harm_db)
        return kept, -math.inf if score is None else score


class HeldOut:
    """Pairs that are drawn once, kept in memory as integer codes, and used for every validation.

    They are split between processes: each keeps every ``ranks``-th pair, and all processes get all scores.
    """

    def __init__(self, settings: Validation, rank: int = 0, ranks: int = 1) -> None:
        self.settings = settings
        self.pairs: dict[int, PairSample]
        """The pairs of this process, by their index among all pairs."""
        if settings.photos is not None:
            request = DatasetRequest(
                sources=settings.photos, recipe=settings.recipe, size_px=settings.size_px, seed=settings.seed,
                count=settings.count, downscale=settings.downscale,
            )  # fmt: skip
            made = OnlineDataset(request)
            if rank == 0:
                log_skipped("validation", made.scan)
            self.count = settings.count
            samples = {i: made[i] for i in range(rank, self.count, ranks)}
            self.pairs = {i: PairSample(f"{s.index}", s.sharp, s.blurred, s.source, s.draw) for i, s in samples.items()}
            self.fingerprint = made.spec.sha256()
        else:
            assert settings.pairs is not None
            found = open_pairs(settings.pairs, settings.sharp)
            if rank == 0:
                log_skipped("validation", found)
            self.count = min(settings.count, len(found))
            self.pairs = {i: found[i * len(found) // self.count] for i in range(rank, self.count, ranks)}
            self.fingerprint = found.fingerprint()
        self._input_scores: tuple[float, float, float] | None = None
        self._shown: Collection[int] | None = None

    def validate(
        self, network: Network | BlurGenerator, processes: Processes, pictures: Path | None = None
    ) -> ValidationResult:
        """Compute the scores of a network, and write some pictures side by side: blurred, restored, sharp.

        They are taken from different sources if possible. For a network that blurs: sharp, generated, blurred; its
        noise is the same each time. Every process must call it. Each pair is restored separately, and means are taken
        in the order of the pairs, so that nothing depends on the number of processes.
        """
        if self._shown is None:
            parts = processes.gathered({number: pair.source for number, pair in self.pairs.items()})
            sources = {number: source for part in parts for number, source in part.items()}
            self._shown = spread([sources[number] for number in range(self.count)], self.settings.pictures)
        was_training = network.training
        network.eval()
        noise = torch.Generator().manual_seed(self.settings.seed)
        own: list[_Scores] = []
        with torch.inference_mode():
            for number in range(self.count):
                if number in self.pairs:
                    shown = pictures is not None and number in self._shown
                    own.append(self._scores(number, network, processes.device, noise, shown=shown))
                elif isinstance(network, BlurGenerator):
                    network.noise(1, noise)  # skip the noise of another process's pair
        network.train(was_training)
        scores = sorted((s for part in processes.gathered(own) for s in part), key=lambda s: s.number)
        if self._input_scores is None:
            self._input_scores = _mean([s.before for s in scores])
        rows = [s.row for s in scores if s.row is not None]
        if pictures is not None and rows and processes.is_first:
            write_sheet(pictures, rows)
        kind: Literal["blurred", "sharp"] = "sharp" if isinstance(network, BlurGenerator) else "blurred"
        unharmed = [s.unharmed for s in scores if s.unharmed is not None]
        no_harm_db = float(np.mean(unharmed)) if unharmed else None
        psnr, ssim, pooled = _mean([s.after for s in scores])
        psnr_input, ssim_input, pooled_input = self._input_scores
        return ValidationResult(psnr, ssim, psnr_input, ssim_input, len(scores), kind, no_harm_db, pooled, pooled_input)

    def _scores(
        self,
        number: int,
        network: Network | BlurGenerator,
        device: torch.device,
        noise: torch.Generator,
        *,
        shown: bool,
    ) -> _Scores:
        pair = self.pairs[number]
        psnr, ssim = metric("psnr"), metric("ssim")
        sharp, blurred = (values_of(codes, device)[None] for codes in (pair.sharp, pair.blurred))
        given, target = network.input_and_target(sharp, blurred, noise)
        output = network(*given).float().clamp(0, 1)
        after = psnr(output, target).item(), ssim(output, target).item()
        unharmed, row, before = None, None, (math.nan, math.nan)
        if not isinstance(network, BlurGenerator):
            kept = network(sharp).float().clamp(0, 1)
            unharmed = min(psnr(kept, sharp).item(), UNCHANGED_DB)
        if self._input_scores is None:
            before = psnr(given[0], target).item(), ssim(given[0], target).item()
        if shown:
            names = (
                ("sharp", "generated", "blurred")
                if isinstance(network, BlurGenerator)
                else ("blurred", "restored", "sharp")
            )
            strip = torch.cat([given[0], output, target], dim=-1)[0].cpu().numpy()
            db = psnr(given[0], target).item(), after[0]
            row = (strip, (f"{names[0]} {db[0]:.2f} dB", f"{names[1]} {db[1]:.2f} dB", names[2]))
        return _Scores(number, after, before, unharmed, row)


@dataclass(frozen=True, eq=False)
class _Scores:
    """PSNR and SSIM of one pair, after and before the network, and its row of pictures."""

    number: int
    after: tuple[float, float]
    before: tuple[float, float]
    unharmed: float | None
    row: tuple[NDArray[np.float32], tuple[str, ...]] | None


def spread(sources: Sequence[str], count: int) -> list[int]:
    """Indices of ``count`` entries (at most all): one of every source before a second of any."""
    rounds: list[list[int]] = []
    seen: dict[str, int] = {}
    for place, source in enumerate(sources):
        turn = seen[source] = seen.get(source, -1) + 1
        rounds += [[]] * (turn == len(rounds))
        rounds[turn] = [*rounds[turn], place]
    chosen: list[int] = []
    for places in rounds:
        wanted = min(count - len(chosen), len(places))
        chosen += [places[i * len(places) // wanted] for i in range(wanted)]
    return sorted(chosen)


CAPTION_PX = 16


def write_sheet(path: Path, rows: Sequence[tuple[NDArray[np.float32], Sequence[str]]]) -> None:
    """Write rows of pictures ``[3, H, W]`` below each other, each under its captions, which share its width equally;
    narrower rows are padded with gray."""
    width = max(row.shape[-1] for row, _ in rows)
    strips = []
    for row, captions in rows:
        share = row.shape[-1] // len(captions)
        named = np.concatenate([_caption(text, share) for text in captions], axis=-1)
        room = row.shape[-1] - named.shape[-1]
        both = np.concatenate([np.pad(named, ((0, 0), (0, 0), (0, room)), constant_values=1.0), row], axis=1)
        strips.append(np.pad(both, ((0, 0), (0, 4), (0, width - row.shape[-1])), constant_values=0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, np.clip(np.concatenate(strips, axis=1), 0.0, 1.0))  # outputs may be out of range


def _caption(text: str, width: int) -> NDArray[np.float32]:
    """Dark letters on white, ``[3, CAPTION_PX, width]``; text that is too wide is cut off."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("L", (width, CAPTION_PX), 255)
    ImageDraw.Draw(strip).text((3, 1), text, fill=30, font=ImageFont.load_default(11))
    return np.repeat(np.asarray(strip, np.float32)[None] / 255, 3, axis=0)


def _mean(scores: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Mean PSNR, mean SSIM and pooled PSNR."""
    psnr, ssim = np.array(scores).T
    error = float(np.mean(10.0 ** (-psnr / 10.0)))
    return float(psnr.mean()), float(ssim.mean()), -10.0 * math.log10(error) if error > 0 else math.inf
