"""Noise made for a calibrated phone is like that of a real phone: of the SIDD pair, fitted to one half of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sidd
from sidd import FITTED, Mask, Pair, Report

pytestmark = pytest.mark.real_data

SEEDS = tuple(range(11, 27))


@pytest.fixture(scope="module")
def pair(real_data: Path) -> Pair:
    return sidd.read(real_data)


@pytest.fixture(scope="module")
def halves() -> tuple[Mask, Mask]:
    return sidd.halves((256, 256))


@pytest.fixture(scope="module")
def held_out(pair: Pair, halves: tuple[Mask, Mask]) -> Report:
    return sidd.report(pair, FITTED, *halves, SEEDS)


def test_the_measure_tells_what_it_should(pair: Pair, halves: tuple[Mask, Mask]) -> None:
    one, other = halves
    counts = sidd.histograms(pair.residual, pair.classes, one)
    assert counts.sum() == 3 * one.sum()
    assert sidd.divergence(counts, counts) == 0.0
    # Between two samples of one distribution it is (occupied bins - 1) / number, about; a wrong width is seen at once.
    limit = sidd.divergence(counts, sidd.histograms(pair.residual, pair.classes, other))
    assert 0.002 < limit < 0.01
    narrow = sidd.histograms(0.8 * pair.residual, pair.classes, other)
    assert sidd.divergence(counts, narrow) > 10 * limit


def test_white_noise_has_no_correlation_in_the_measure(halves: tuple[Mask, Mask]) -> None:
    noise = np.random.default_rng(0).normal(0, 10, (256, 256, 3))
    for mask in halves:
        assert np.abs(sidd.correlations(noise, mask)).max() < 5 / np.sqrt(mask.sum() * 0.8)
    spread = noise + np.roll(noise, 1, axis=1)
    found = sidd.correlations(spread, halves[0])
    assert found[:, 0, 0] == pytest.approx(0.5, abs=0.05)
    assert found[:, 1, 0] == pytest.approx(0.0, abs=0.05)


def test_residuals_of_the_half_that_was_not_fitted_have_the_same_histograms(held_out: Report) -> None:
    """The divergence at each intensity is at most twice that between two halves of the real residual."""
    assert held_out.ratio <= 2.0, held_out


def test_neighbors_are_as_alike(held_out: Report) -> None:
    real, made = held_out.correlations
    # Off by .048 at most, in red at lag 2 and in blue at lag 1; a half alone tells them to about .01.
    assert np.abs(real - made).max() < 0.06
    # Without a demosaic neighbors would not be alike at all.
    assert real[..., 0].min() > 0.2


def test_the_noise_is_as_strong(held_out: Report) -> None:
    real, made = held_out.deviations
    assert made == pytest.approx(real, rel=0.05)


def test_each_part_of_the_camera_is_needed(pair: Pair, halves: tuple[Mask, Mask], held_out: Report) -> None:
    offsets = dict.fromkeys(("red_offset_dn", "green_offset_dn", "blue_offset_dn"), 0.0)
    for changes in (
        {"white_level_e": 1.5 * FITTED["white_level_e"]},
        {"iso": 200.0},  # as much shot noise, but more read noise
        offsets,  # what the black level of each color is off by
    ):
        other = sidd.report(pair, {**FITTED, **changes}, *halves, SEEDS[:4])
        assert other.ratio > 2.0, changes
        assert other.divergence > 1.3 * held_out.divergence
