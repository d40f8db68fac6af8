"""Means of a report and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from deblur_models.evaluate import bootstrap_mean


def test_the_interval_is_that_of_the_mean() -> None:
    assert bootstrap_mean([2.5]) == (2.5, 2.5)
    values = np.random.Generator(np.random.Philox(1)).normal(1.0, 2.0, 400)
    low, high = bootstrap_mean(values.tolist())
    half = 1.96 * values.std() / 20
    # The ends of 2000 percentile samples scatter by about 3 % of the half width; 5 sigma.
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert bootstrap_mean(values.tolist()) == (low, high)
