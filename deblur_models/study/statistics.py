"""Statistics of subjective quality, as plain functions of arrays.

Notation: ``scores[r, i]`` is what rater ``r`` answered on item ``i`` (NaN: nothing); ``wins[a, b]`` says how often
``a`` was preferred to ``b``, where a tie is half a win of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from blursynth.errors import InvalidValueError

__all__ = [
    "LEAST_INCONSISTENCY",
    "BradleyTerry",
    "Subjects",
    "bradley_terry",
    "fit_subjects",
    "holm",
    "krippendorff_alpha",
    "mean_interval",
    "raters_needed",
    "screen_bt500",
    "two_sided_p",
]

Array = NDArray[np.float64]

LEAST_INCONSISTENCY = 0.1
"""Of a rater in grades, so that nobody takes all the weight. Whole grades alone deviate by 1/sqrt(12) = 0.29."""

_SHARE = 0.95  # coverage of all intervals


def mean_interval(values: Array) -> tuple[Array, Array]:
    """Mean over the first axis and half the width of its 95 % interval by Student's t, without NaN.

    ``mean ± t(0.975, n - 1) * s / sqrt(n)``. BT.500 writes 1.96 instead of t, which is too narrow for few raters. The
    half width is NaN for a single value.

    >>> mean, half = mean_interval(np.array([[3.0], [4.0], [5.0], [4.0]]))
    >>> print(mean, half.round(3))
    [4.] [1.299]
    """
    known = np.isfinite(values)
    count = known.sum(axis=0)
    mean = _divided(np.where(known, values, 0.0).sum(axis=0), count)
    squares = np.where(known, values - mean, 0.0) ** 2
    deviation = np.sqrt(_divided(squares.sum(axis=0), count - 1))
    return mean, stats.t.ppf((1 + _SHARE) / 2, np.maximum(count - 1, 1)) * _divided(deviation, np.sqrt(count))


def _divided(part: Array, count: NDArray[Any]) -> Array:
    """The quotient, NaN where nothing was counted."""
    quotient: Array = np.full(np.shape(part), np.nan)
    np.divide(part, count, out=quotient, where=np.asarray(count) > 0)
    return quotient


def screen_bt500(scores: Array) -> NDArray[np.bool_]:
    """Raters ``[R]`` whom ITU-R BT.500-15 (annex 1, 2.3.1) rejects: inconsistent ones, but not merely strict ones.

    An answer is far out at 2 standard deviations from the mean of its item where the kurtosis of the item is 2 to 4
    (nearly normal), at sqrt(20) where it is not. With ``P`` answers of a rater far above and ``Q`` far below, he is
    rejected if ``(P + Q) / items > 0.05`` and ``|P - Q| / (P + Q) < 0.3``. To be applied once, and only to few raters
    (fewer than about 20) who are no experts.
    """
    known = np.isfinite(scores)
    count = known.sum(axis=0)
    mean = _divided(np.where(known, scores, 0.0).sum(axis=0), count)
    away = np.where(known, scores - mean, 0.0)
    moments = [_divided((away**power).sum(axis=0), count) for power in (2, 4)]
    deviation = np.sqrt(_divided((away**2).sum(axis=0), count - 1))
    kurtosis = _divided(moments[1], moments[0] ** 2)
    limit = np.where((kurtosis >= 2) & (kurtosis <= 4), 2.0, math.sqrt(20.0)) * deviation
    varies = deviation > 0  # NaN, for a single answer, is not
    above, below = (((sign * away >= limit) & known & varies).sum(axis=1) for sign in (1, -1))
    together = above + below
    rejected: NDArray[np.bool_] = (together > 0.05 * known.sum(axis=1)) & (np.abs(above - below) < 0.3 * together)
    return rejected


@dataclass(frozen=True)
class Subjects:
    """``quality [I]`` of items with half the width of its interval; ``bias [R]``, ``inconsistency [R]`` of raters."""

    quality: Array
    half_width: Array
    bias: Array
    inconsistency: Array


def fit_subjects(scores: Array, *, as_published: bool = False) -> Subjects:
    """Quality of items without the habits of raters: ``score = quality + bias + inconsistency * noise``.

    The model of ITU-T P.910 (appendix VI) and of Li et al., "A simple model for subject behavior in subjective
    experiments" (2020), by alternating projection: items are means of raters weighted by 1 / inconsistency², so that no
    rater needs to be rejected. Biases have mean zero.

    As published, the inconsistency of a rater is the deviation from a quality that holds his own answers, so that those
    with most weight seem too consistent, and get more of it: for 12 raters the 95 % intervals cover 66 % of the truth
    (simulated), and qualities are no better than plain means. Here deviations are divided by ``1 - share``, with the
    share that a rater has in the qualities (restricted maximum likelihood): 94 %, and an error smaller by a fifth.

    Parameters
    ----------
    as_published
        Leave that correction out, to compare with other programs.

    Raises
    ------
    InvalidValueError
        There are fewer than two raters or items, or a rater or an item has no answer.
    """
    known = np.isfinite(scores)
    answers = known.sum(axis=1)
    if min(scores.shape) < 2 or not (known.any(axis=0).all() and answers.all()):
        raise InvalidValueError("scores need two raters, two items, and an answer in every row and column.")
    filled = np.where(known, scores, 0.0)
    weight = known.astype(np.float64)
    quality = filled.sum(axis=0) / weight.sum(axis=0)
    for _ in range(2000):
        bias = np.where(known, filled - quality, 0.0).sum(axis=1) / answers
        bias -= bias.mean()
        rest = np.where(known, filled - quality - bias[:, None], 0.0)
        free = answers.astype(np.float64)
        if not as_published:
            free = (free - 1) * (1 - (weight / weight.sum(axis=0)).sum(axis=1) / answers)
        inconsistency = np.maximum(np.sqrt((rest**2).sum(axis=1) / np.maximum(free, 1e-9)), LEAST_INCONSISTENCY)
        weight = known / inconsistency[:, None] ** 2
        before, quality = quality, (weight * (filled - bias[:, None])).sum(axis=0) / weight.sum(axis=0)
        if np.abs(quality - before).max() < 1e-9:
            break
    half = stats.norm.ppf((1 + _SHARE) / 2) / np.sqrt(weight.sum(axis=0))
    return Subjects(quality, half, bias, inconsistency)


def krippendorff_alpha(scores: Array) -> float:
    """Krippendorff's alpha of ordered answers: 1 if raters agree, 0 if they answer as by chance; NaN if nothing varies.

    ``1 - observed / expected disagreement``, where two grades differ by the number of answers between them. It
    takes grades as an order only, and any answers may be missing. Krippendorff, "Content analysis" (2018), 12.3.
    """
    values = np.unique(scores[np.isfinite(scores)])
    counts = np.stack([(scores == value).sum(axis=0) for value in values], axis=1).astype(np.float64)  # [I, V]
    counts = counts[counts.sum(axis=1) >= 2]  # an answer needs another one to agree with
    if not len(counts):
        return math.nan
    # Coincidences: pairs of answers of two raters on an item, each item with the weight of its answers.
    weight = 1 / (counts.sum(axis=1) - 1)
    coincidence = np.einsum("i,ia,ib->ab", weight, counts, counts) - np.diag((weight[:, None] * counts).sum(axis=0))
    total = coincidence.sum(axis=0)
    middle = np.cumsum(total) - total / 2
    distance = (middle[:, None] - middle) ** 2
    expected = (np.outer(total, total) * distance).sum() / (total.sum() - 1)
    return float(1 - (coincidence * distance).sum() / expected) if expected > 0 else math.nan


@dataclass(frozen=True)
class BradleyTerry:
    """Scores of methods from pair comparison: the odds of ``a`` against ``b`` are ``exp(score[a] - score[b])``.

    ``score [K]`` has mean 0, ``covariance [K, K]``. ``groups [K]``: within a group of equal number every method lost to
    some other one, directly or through others. With more than one group, the likelihood has no maximum (the scores of a
    group that never lost to the rest would be infinite), and scores hold half a win more for either side of every pair.
    """

    score: Array
    covariance: Array
    groups: NDArray[np.int32]

    @property
    def has_maximum(self) -> bool:
        return int(self.groups.max()) == 0

    def half_width(self, contrast: Array, raters: int) -> Array:
        """Half the width of the 95 % interval of ``contrast @ score``, with Student's t for that many raters."""
        quantile = stats.t.ppf((1 + _SHARE) / 2, raters - 1) if raters > 1 else math.nan
        return np.asarray(quantile * np.sqrt(np.einsum("...i,ij,...j->...", contrast, self.covariance, contrast)))


def bradley_terry(wins: Array) -> BradleyTerry:
    """Bradley-Terry scores by maximum likelihood (Newton's method).

    Parameters
    ----------
    wins
        ``[K, K]``; or ``[R, K, K]`` for each rater. The covariance is the inverse Fisher information, as if every
        comparison were independent. Answers of one rater are not: for raters, the covariance that allows for it
        (sandwich, with raters as clusters) is computed too, and of the two the one with the larger sum of variances is
        given.

    Raises
    ------
    InvalidValueError
        Some methods were never compared with the others, not even through third ones.
    """
    each = wins[None] if wins.ndim == 2 else wins
    total = each.sum(axis=0)
    compared = total + total.T
    if connected_components(compared > 0, directed=False)[0] > 1:
        raise InvalidValueError(
            "Some methods were never compared with the others, so their scores have no common scale.",
            fix="Add answers that compare them.",
        )
    # Edges lead from losers to winners: a maximum exists only where every method can be reached from every other one.
    number, groups = connected_components(total.T > 0, directed=True, connection="strong")
    prior = 0.5 * (compared > 0) * (number > 1)
    total, compared = total + prior, compared + prior + prior.T
    score = np.zeros(len(total))
    for _ in range(200):
        chance = expit(score[:, None] - score)
        gradient = (total - compared * chance).sum(axis=1)
        weight = compared * chance * (1 - chance)
        inverse = np.linalg.pinv(np.diag(weight.sum(axis=1)) - weight, hermitian=True)
        step = inverse @ gradient
        score += step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-300))  # far from the maximum, steps are too long
        if np.abs(step).max() < 1e-10:
            break
    covariance = inverse
    raters = len(each)
    if raters > 1:
        pulls = (each - (each + each.transpose(0, 2, 1)) * chance).sum(axis=2)  # [R, K]: the gradient of each rater
        pulls -= pulls.mean(axis=0)
        clustered = inverse @ (pulls.T @ pulls * raters / (raters - 1)) @ inverse
        covariance = max(inverse, clustered, key=np.trace)
    return BradleyTerry(score, covariance, groups)


def two_sided_p(value: float, deviation: float, raters: int) -> float:
    """The p-value of ``value`` if the truth were 0, by Student's t; NaN where the deviation is 0 or unknown."""
    return float(2 * stats.t.sf(abs(value) / deviation, raters - 1)) if raters > 1 and deviation > 0 else math.nan


def holm(p: Array) -> Array:
    """p-values ``[N]`` corrected for their number (Holm 1979); NaN are not counted, and stay.

    >>> print(holm(np.array([0.01, np.nan, 0.04, 0.03])))
    [0.03  nan 0.06 0.06]
    """
    corrected = np.full(len(p), np.nan)
    order = [int(i) for i in np.argsort(p) if np.isfinite(p[i])]
    most = 0.0
    for place, index in enumerate(order):
        most = max(most, min(1.0, (len(order) - place) * float(p[index])))
        corrected[index] = most
    return corrected


def raters_needed(deviation: float, difference: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """The fewest raters with whom a true difference is found with this probability (paired t-test, two-sided).

    Parameters
    ----------
    deviation
        Standard deviation, over raters, of the difference between two methods.
    difference
        The true difference, > 0, in the unit of ``deviation``.

    Examples
    --------
    >>> raters_needed(1.0, 0.5)  # the textbook case d = 0.5
    34
    """
    if not (deviation >= 0 and difference > 0 and 0 < alpha < power < 1):
        raise InvalidValueError(
            f"raters_needed needs deviation >= 0, difference > 0 and 0 < alpha < power < 1, got {deviation}, "
            f"{difference}, {alpha}, {power}."
        )
    low, high = 1, 2
    while _power(high, deviation, difference, alpha) < power:
        low, high = high, 2 * high
        if high > 10**6:
            return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(middle, deviation, difference, alpha) >= power else (middle, high)
    return high


def _power(raters: int, deviation: float, difference: float, alpha: float) -> float:
    if deviation == 0:
        return 1.0
    shift = difference / deviation * math.sqrt(raters)
    if shift > 37:  # scipy's non-central t gives NaN far out
        return 1.0
    return float(stats.nct.sf(stats.t.isf(alpha / 2, raters - 1), raters - 1, shift))
