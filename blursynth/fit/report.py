"""The page that shows a fit: made beside real at the same scale, and the statistics of both."""

from __future__ import annotations

import html
from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.fit.blur_reader import readings_of
from blursynth.fit.components import COMPONENTS, FAMILIES
from blursynth.fit.noise import LEVELS, measure_noise, noise_blocks
from blursynth.fit.statistics import GROUPS, mean_spectrum, tile_statistics
from blursynth.io import page_parts
from blursynth.records.text import printable

if TYPE_CHECKING:
    from blursynth.fit.fitting import Fit

__all__ = ["to_html"]

Array = NDArray[np.float64]
Pictures = Sequence[NDArray[np.float32]]

_SHOWN = 8
_CROP_PX = 256


def to_html(fit: Fit) -> str:
    """A page without references to anything outside."""
    real, made = [one.codes for one in fit.photographs], list(fit.synthetic)
    pairs = (("real", real), ("synthetic", made))
    plots = [
        _spectra(pairs),
        _gradients(pairs),
        _noise(pairs),
        _blocks(pairs),
        *_blur(fit, made),
    ]
    realism = fit.realism
    looked = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{100 * lost:.1f}</td></tr>" for name, lost in realism.looked_at
    )
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td><td class='text'>{html.escape(how)}</td></tr>"
        for name, value, how in fit.rows()
    )
    notes = "".join(f"<li>{html.escape(printable(note))}</li>" for note in fit.notes)
    page = Template((resources.files("blursynth.fit") / "report.html").read_text("utf-8"))
    return page.substitute(
        title=html.escape(printable(fit.name)),
        photographs=len(real),
        rows=rows,
        notes=f"<ul>{notes}</ul>" if notes else "",
        real="".join(map(page_parts.picture, _crops(real, fit.seed))),
        synthetic="".join(map(page_parts.picture, _crops(made, fit.seed))),
        plots="".join(plots),
        realism=html.escape(str(realism)),
        by_picture=f"{100 * realism.by_picture:.0f}",
        counts=f"{realism.real} real and {realism.synthetic} synthetic pictures",
        looked=looked,
        recipe=html.escape(printable(fit.recipe_text, lines=True)),
    )


def _crops(pictures: Pictures, seed: int) -> list[NDArray[np.uint8]]:
    """Crops with detail from several pictures, at their own scale."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 4]))
    chosen = np.unique(np.linspace(0, len(pictures) - 1, _SHOWN).astype(int))
    found = []
    for index in chosen:
        picture = pictures[index]
        tall, wide = (min(_CROP_PX, n) for n in picture.shape[1:])
        tries = [
            (int(rng.integers(picture.shape[1] - tall + 1)), int(rng.integers(picture.shape[2] - wide + 1)))
            for _ in range(6)
        ]
        parts = [picture[:, top : top + tall, left : left + wide] for top, left in tries]
        best = max(parts, key=lambda part: float(part.std()))
        found.append(np.rint(255 * np.moveaxis(best, 0, -1).clip(0, 1)).astype(np.uint8))
    return found


def _spectra(pairs: Sequence[tuple[str, Pictures]]) -> str:
    curves = []
    for name, pictures in pairs:
        found = [mean_spectrum(picture) for picture in pictures]
        curves.append((name, found[0][0], np.median([log_power for _, log_power in found], axis=0)))
    return page_parts.lines("Spectrum of luma", "cycles per px", "log power", curves)


def _gradients(pairs: Sequence[tuple[str, Pictures]]) -> str:
    edges = np.linspace(0, 60, 31)
    curves = []
    for name, pictures in pairs:
        counts = np.zeros(len(edges) - 1)
        for picture in pictures:
            luma = 255 * np.tensordot(np.array([0.299, 0.587, 0.114]), picture, 1)
            steps = np.concatenate([np.abs(np.diff(luma, axis=axis)).ravel() for axis in (0, 1)])
            counts += np.histogram(steps, edges)[0] / len(steps)
        curves.append((name, (edges[:-1] + edges[1:]) / 2, np.log10(counts / len(pictures) + 1e-7)))
    return page_parts.lines("Differences of neighbors", "codes", "log10 share", curves)


def _noise(pairs: Sequence[tuple[str, Pictures]]) -> str:
    middles = (LEVELS[:-1] + LEVELS[1:]) / 2
    noise = []
    for name, pictures in pairs:
        with suppress(InvalidValueError):  # too little that is not clipped
            noise.append((name, measure_noise([noise_blocks(picture) for picture in pictures])))
    parts = []
    for title, field in (("Noise of luma", "luma_codes"), ("Noise of colors", "chroma_codes")):
        curves = [(name, middles, getattr(measured, field)) for name, measured in noise]
        parts.append(page_parts.lines(title, "intensity in codes", "deviation in codes", curves))
    return "".join(parts)


def _blocks(pairs: Sequence[tuple[str, Pictures]]) -> str:
    edges = np.linspace(-0.5, 1.0, 11)
    groups = []
    for name, pictures in pairs:
        values = np.concatenate([tile_statistics(p)[:, GROUPS["8 px blocks"]].mean(axis=1) for p in pictures])
        counts = np.histogram(values.clip(edges[0], edges[-1]), edges)[0]
        groups.append((name, counts / max(counts.sum(), 1)))
    names = [f"{edge:.2g}" for edge in edges[:-1]]
    return page_parts.bars("Steps at 8 px blocks", "log ratio to other steps", names, groups)


def _blur(fit: Fit, made: Pictures) -> list[str]:
    """What is read off the pictures, beside what that means after the reader's errors are undone."""
    posteriors, weights = readings_of(fit.reader, made)
    read_made = weights @ posteriors / weights.sum()
    read_real = fit.weights @ fit.posteriors / fit.weights.sum()
    plots = []
    for family in FAMILIES[1:]:
        here = [j for j, c in enumerate(COMPONENTS) if c.family == family]
        names = [f"{COMPONENTS[j].low_px:g}" for j in here]
        groups = [("read: real", read_real[here]), ("synthetic", read_made[here]), ("recipe", fit.shares[here])]
        label = "diameter in px, from" if family == "defocus" else "length in px, from"
        plots.append(page_parts.bars(f"Blur: {family}", label, names, groups))
    still = [float(values[0]) for values in (read_real, read_made, fit.shares)]
    groups = [(name, np.array([v])) for name, v in zip(("read: real", "synthetic", "recipe"), still, strict=True)]
    return [*plots, page_parts.bars("No motion, in focus", "", [""], groups)]
