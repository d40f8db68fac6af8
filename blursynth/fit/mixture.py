"""The mixture behind readings: shares of components from their posterior probabilities, by expectation maximization."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import demand

__all__ = ["mixture_shares", "temperature_of"]

Array = NDArray[np.float64]


def mixture_shares(
    posteriors: Array,
    prior: Array,
    *,
    weights: Array | None = None,
    smoothing: float = 0.0,
    spread: Array | None = None,
    rounds: int = 300,
) -> Array:
    r"""The shares under which the readings are most likely: a reader's confusion is undone, not copied.

    Component j of a training set had the share ``prior[j]``, so its posterior is ``p(j | x) ~ prior[j] p(x | j)``, and
    the likelihood of shares :math:`\pi` is that of the mixture :math:`\sum_j \pi_j p(x | j)`. Each round:

    ``r_ij = pi_j p(j | x_i) / prior_j``, normalized over j;  ``pi_j = sum_i w_i r_ij``.

    Parameters
    ----------
    posteriors
        ``[N, J]``, rows that sum to 1.
    prior
        ``[J]`` shares in the training set, all > 0.
    weights
        ``[N]``, by default all equal: readings of one picture can share its weight.
    smoothing
        Number of imagined further readings, spread over the components as the prior: it holds shares that the readings
        say nothing about.
    spread
        ``[J, J]`` rows that sum to 1: after each round, shares are spread over similar components. Without it, the most
        likely shares of few readings are spikes.
    rounds
        Most rounds; it ends when no share changes by 1e-7.

    Returns
    -------
    ndarray
        ``[J]``, sum 1.

    Raises
    ------
    InvalidValueError
        There are no readings, or shapes do not fit.

    Source: Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities",
    Neural Computation 14(1), 2002; Alexandari, Kundaje and Shrikumar, ICML 2020, show that it needs calibrated
    posteriors (:func:`temperature_of`); Silverman, Jones, Wilson and Nychka, JRSS B 52(2), 1990 (the spreading).
    """
    demand(posteriors.ndim == 2 and len(posteriors) > 0, "posteriors", posteriors.shape, "[N, J] with N > 0")
    demand(prior.shape == posteriors.shape[1:] and bool((prior > 0).all()), "prior", prior, "[J], all > 0")
    prior = prior / prior.sum()
    weight = np.full(len(posteriors), 1.0) if weights is None else weights.astype(np.float64)
    weight = weight / weight.sum()
    likelihood = posteriors / prior
    added = smoothing / len(posteriors)
    shares = prior.copy()
    for _ in range(rounds):
        joint = likelihood * shares
        after = (weight / joint.sum(axis=1)) @ joint
        after = (after + added * prior) / (1.0 + added)
        after = after if spread is None else after @ spread
        moved = float(np.abs(after - shares).max())
        shares = after
        if moved < 1e-7:
            break
    return np.asarray(shares)


def temperature_of(logits: Array, truth: NDArray[np.int64]) -> float:
    """The factor 1 / T on the logits under which the truth is most likely: a calibration of a classifier.

    It minimizes the mean of ``-log softmax(logits / T)[truth]`` on examples that the classifier did not learn from.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_factor: float) -> float:
        return -float(log_softmax(np.exp(log_factor) * logits, axis=1)[np.arange(len(truth)), truth].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))
