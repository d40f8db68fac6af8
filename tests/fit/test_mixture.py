"""Shares of a mixture, against arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import norm

from blursynth.errors import InvalidValueError
from blursynth.fit.mixture import mixture_shares, temperature_of


def test_confusion_is_undone_exactly() -> None:
    """A reader that gives three readings with a known confusion: expected counts have exactly one solution."""
    confusion = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.05, 0.35, 0.6]])  # p(reading | component)
    shares = np.array([0.15, 0.25, 0.6])
    expected = shares @ confusion  # .1975 .365 .4375: not the shares
    prior = np.array([0.5, 0.3, 0.2])
    posterior = prior[:, None] * confusion
    posterior = (posterior / posterior.sum(axis=0)).T  # of each reading
    found = mixture_shares(posterior, prior, weights=expected, rounds=20_000)
    np.testing.assert_allclose(found, shares, atol=2e-3)
    assert np.abs(expected - shares).max() > 0.1


def test_gaussian_mixture_recovered_from_draws() -> None:
    rng = np.random.default_rng(0)
    places, shares = np.array([0.0, 1.5, 4.0]), np.array([0.6, 0.1, 0.3])
    x = rng.choice(places, 8000, p=shares) + rng.standard_normal(8000)
    posterior = norm.pdf(x[:, None] - places)
    found = mixture_shares(posterior / posterior.sum(axis=1, keepdims=True), np.full(3, 1 / 3))
    np.testing.assert_allclose(found, shares, atol=0.03)
    assert abs((posterior / posterior.sum(axis=1, keepdims=True)).mean(axis=0)[1] - 0.1) > 0.08  # the copy is wrong


def test_smoothing_holds_what_is_not_seen() -> None:
    posterior = np.tile([0.5, 0.5, 0.0], (10, 1))
    prior = np.array([0.2, 0.3, 0.5])
    found = mixture_shares(posterior, prior, smoothing=10)
    assert found[2] == pytest.approx(0.25, abs=0.01)  # half of its prior: as many imagined readings as real ones


def test_temperature_of_overconfident_logits() -> None:
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((20_000, 4))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # drawn from softmax(logits)
    assert temperature_of(3.0 * logits, truth) == pytest.approx(1 / 3, rel=0.05)
    assert -log_softmax(logits, axis=1)[np.arange(20_000), truth].mean() < 1.4


def test_bad_input() -> None:
    with pytest.raises(InvalidValueError, match="posteriors must be"):
        mixture_shares(np.zeros((0, 3)), np.full(3, 1 / 3))
    with pytest.raises(InvalidValueError, match="prior must be"):
        mixture_shares(np.ones((2, 3)) / 3, np.array([0.5, 0.5, 0.0]))
