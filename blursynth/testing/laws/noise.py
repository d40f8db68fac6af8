"""Laws of noise: how strong, how independent, and after which blur. Statistical, with fixed seeds, at five sigma."""

from __future__ import annotations

from typing import Any

import numpy as np

from blursynth.testing.adapter import Array, Blur, Noise
from blursynth.testing.laws.cases import seen_at
from blursynth.testing.laws.law import Fault, Measurement, after, law
from blursynth.testing.laws.needs import all_of, claim
from blursynth.testing.strategies import st

__all__ = ["noise_after_blur", "noise_independence", "photon_transfer", "whiteness"]

SIDE = 64
NOISY = all_of(claim("noise"), claim("seed"))


def _noise(blur: Blur) -> Noise:
    assert blur.adapter.noise is not None
    return blur.adapter.noise


def _rest(blur: Blur, size: tuple[int, ...]) -> dict[str, Any]:
    return seen_at(2.0 if blur.adapter.depth else None, size)


def _flat(blur: Blur, level: float, seed: int, side: int = SIDE) -> Array:
    image = np.full((blur.adapter.channels, side, side), level)
    return blur(image, seed=seed, **_rest(blur, image.shape[1:]))


def _expected_variance(blur: Blur, mean: Any) -> Any:
    noise, adapter = _noise(blur), blur.adapter
    rounding = 1 / (12 * adapter.white_of(adapter.dtype) ** 2) if adapter.of_integers else 0.0
    return noise.gain * mean + noise.read_sigma**2 + rounding


def _with_noise(blur: Blur, size: float) -> Blur:
    """Additional noise of standard deviation ``size``, of the same seed as the blur."""

    def change(inner: Blur, image: Array, **rest: Any) -> Array:
        out = inner(image, **rest)
        rng = np.random.default_rng(int(rest.get("seed", 0)) + 977)
        return out + size * rng.normal(size=out.shape)

    return blur.changed(change)


@law(
    statement="The variance of a flat picture is gain * mean + read_sigma^2, and its mean is the picture's.",
    looks_like="Noise that is as strong in the shadows as in the lights, too strong by the square of a gain, or a "
    "picture that becomes brighter with the noise.",
    tolerance="5 standard errors of the variance and of the mean; 4 times as many where pixels share noise",
    reference="Janesick, Photon Transfer, 2007; EMVA 1288",
    cases=lambda blur: st.fixed_dictionaries(
        {"level": st.sampled_from((0.5, 0.25, 0.125, 0.75)), "seed": st.integers(0, 200)}
    ),
    fault=Fault("more noise", "of white", _with_noise),
    needs=NOISY,
)
def photon_transfer(blur: Blur, level: float, seed: int) -> Measurement:
    """Sixteen flat pictures of 64 x 64 px; the difference of two has no fixed pattern."""
    pairs = [(_flat(blur, level, 1000 * seed + k), _flat(blur, level, 1000 * seed + k + 500)) for k in range(8)]
    differences = np.stack([a - b for a, b in pairs])
    variance = float(differences.var()) / 2
    expected = float(_expected_variance(blur, level))
    # A rounding to whole codes is not quite uniform where the noise is narrower than a code.
    error = 5 * expected * np.sqrt(2.0 / differences.size) * (1.0 if _noise(blur).white else 4.0)
    off_mean = 0.0
    if _noise(blur).mean_is_kept:
        values = np.stack([value for pair in pairs for value in pair])
        off_mean = abs(float(values.mean()) - level) / (5 * np.sqrt(max(variance, 1e-18) / values.size) + 1e-9)
    deviation = max(abs(variance - expected) / (error + 1e-15), off_mean)
    return Measurement(5 * deviation, 5.0, "standard errors", pairs[0][0], np.full_like(pairs[0][0], level))


@law(
    statement="No two neighboring pixels share noise.",
    looks_like="Grain in place of noise, stripes: noise that was blurred, demosaiced, compressed, or added before "
    "the blur.",
    tolerance="5 standard errors of a correlation",
    reference="photons arrive independently",
    cases=lambda blur: st.fixed_dictionaries(
        {"level": st.sampled_from((0.5, 0.25, 0.75)), "seed": st.integers(0, 200)}
    ),
    fault=Fault(
        "noise of the pixel to the left",
        "of the noise",
        after(lambda out, size: out + size * (np.roll(out, 1, axis=-1) - out)),
        largest=0.5,  # all of it is noise that is white again, one pixel off
    ),
    needs=all_of(NOISY, lambda adapter: None if adapter.noise and adapter.noise.white else "Noise.white is False"),
)
def whiteness(blur: Blur, level: float, seed: int) -> Measurement:
    """Correlations of pixels with their neighbors along rows, columns and diagonals, in differences of pictures."""
    values = np.stack(
        [_flat(blur, level, 7000 * seed + k) - _flat(blur, level, 7000 * seed + k + 99) for k in range(4)]
    )
    worst = 0.0
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)):
        here = values[..., : values.shape[-2] - dy, max(0, -dx) : values.shape[-1] - max(0, dx)]
        there = values[..., dy:, max(0, dx) : values.shape[-1] + min(0, dx)]
        worst = max(worst, abs(_correlation(here, there)) * np.sqrt(here.size))
    return Measurement(worst, 5.0, "standard errors", values[0], np.zeros_like(values[0]))


def _correlation(a: Array, b: Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).mean() / max(1e-30, np.sqrt((a * a).mean() * (b * b).mean())))


@law(
    statement="Noise of different channels, pictures of a batch, and seeds is independent; noise of one seed is "
    "the same.",
    looks_like="Gray noise in color pictures, the same grain in every picture of a data set: one seed, or one "
    "field of noise, was used for all.",
    tolerance="5 standard errors of a correlation; 4 times as many where pixels share noise",
    reference="independent streams: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011",
    cases=lambda blur: st.fixed_dictionaries({"level": st.sampled_from((0.5, 0.25)), "seed": st.integers(0, 200)}),
    fault=Fault(
        "noise of the first channel in all, and of one seed in all",
        "of the noise",
        lambda blur, size: blur.changed(lambda inner, image, **rest: _shared(inner, image, size, rest)),
    ),
    needs=NOISY,
)
def noise_independence(blur: Blur, level: float, seed: int) -> Measurement:
    """Correlations of whole pictures."""
    first, again, other = (_flat(blur, level, s) - level for s in (seed, seed, seed + 1))
    if not np.array_equal(first, again):
        return Measurement(np.inf, 5.0, "standard errors: one seed gives two results", first, again)
    pairs = [(first, other)]
    pairs += [(first[a], first[b]) for a in range(len(first)) for b in range(a)]
    if "N" in blur.adapter.layout and blur.call is None:
        image = np.full((2, blur.adapter.channels, SIDE, SIDE), level)
        depth_m = np.full((2, SIDE, SIDE), 2.0) if blur.adapter.depth else None
        pairs.append(tuple(blur.batch(image, depth_m=depth_m, seed=seed)))
    worst = max(abs(_correlation(a, b)) * np.sqrt(a.size) for a, b in pairs)
    if not _noise(blur).white:
        worst /= 4.0  # fewer independent numbers than pixels
    return Measurement(float(worst), 5.0, "standard errors", first, other)


def _shared(blur: Blur, image: Array, size: float, rest: dict[str, Any]) -> Array:
    out = blur(image, **rest)
    same = blur(image, **{**rest, "seed": 12345})
    shared = out[:1] if len(out) > 1 else same
    return out + size * (np.broadcast_to(shared, out.shape) - out)


@law(
    statement="Where a blurred edge has the value m, the noise has the variance gain * m + read_sigma^2: the "
    "photons are counted after the blur.",
    looks_like="Clean blurred edges between noisy areas, or the sharp edge showing in the noise: noise added to "
    "the sharp picture.",
    tolerance="5 standard errors of the mean of all pixels; 4 times as many where pixels share noise",
    reference="shot noise arises at the sensor, behind lens and motion",
    cases=lambda blur: st.fixed_dictionaries({"dark": st.sampled_from((0.125, 0.25)), "seed": st.integers(0, 200)}),
    fault=Fault("more noise", "of white", _with_noise),
    needs=NOISY,
)
def noise_after_blur(blur: Blur, dark: float, seed: int) -> Measurement:
    """A fine pattern of stripes, 64 times; where the blur is wide, its mean is gray, and the sharp picture's is not."""
    side = 24
    lit = (np.arange(side) // 2) % 2 == 1
    image = np.broadcast_to(np.where(lit, 0.75, dark), (blur.adapter.channels, side, side)).copy()
    rest = _rest(blur, image.shape[1:])
    many = np.stack([blur(image, seed=100_000 * (seed + 1) + k, **rest) for k in range(64)])
    # Differences leave out what is fixed; the mean is known as well as its own noise allows.
    variance = (np.diff(many, axis=0)[::2] ** 2).mean(axis=0) / 2
    expected = _expected_variance(blur, many.mean(axis=0))
    # Each of 32 differences has a squared normal; the mean of the relative errors of all pixels is summed up.
    relative = variance / np.maximum(expected, 1e-18) - 1
    scale = 5 * np.sqrt(2.0 / 32 / relative.size) * (1.0 if _noise(blur).white else 4.0)
    return Measurement(5 * float(abs(relative.mean())) / scale, 5.0, "standard errors", many[0], many.mean(axis=0))
