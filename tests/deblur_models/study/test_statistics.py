"""The statistics of studies, against published examples, scipy, and raters whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from blursynth.errors import InvalidValueError
from deblur_models.study.statistics import (
    LEAST_INCONSISTENCY,
    bradley_terry,
    fit_subjects,
    holm,
    krippendorff_alpha,
    mean_interval,
    raters_needed,
    screen_bt500,
    two_sided_p,
)

NAN = math.nan
# Simulated: seven raters of different bias and inconsistency, sixteen items, two answers missing.
GRADES = np.array(
    [
        [NAN if sign == "." else float(sign) for sign in row]
        for row in (
            "5544142311344122", "2144123432255123", "4454.41232255323", "3345132111134323",
            "5455441432343333", ".544231211213132", "3335241311445231",
        )
    ]
)  # [R, I]  # fmt: skip


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


class TestMean:
    def test_is_the_interval_of_scipy(self) -> None:
        values = rng(1).normal(3.0, 1.0, (9, 2))
        values[4, 1] = NAN
        mean, half = mean_interval(values)
        for column in range(2):
            known = values[np.isfinite(values[:, column]), column]
            low, high = stats.t.interval(0.95, len(known) - 1, known.mean(), stats.sem(known))
            assert mean[column] - half[column] == pytest.approx(low)
            assert mean[column] + half[column] == pytest.approx(high)

    def test_one_value_has_no_interval_and_none_no_mean(self) -> None:
        mean, half = mean_interval(np.array([[4.0, NAN]]))
        assert mean[0] == 4.0
        assert np.isnan([mean[1], *half]).all()

    def test_covers_the_truth_for_few_raters(self) -> None:
        """1.96 instead of Student's t would cover 88 % of six raters."""
        mean, half = mean_interval(rng(2).normal(3.0, 0.7, (6, 20_000)))
        assert np.mean(np.abs(mean - 3.0) <= half) == pytest.approx(0.95, abs=0.005)


class TestScreening:
    def literally(self, scores: NDArray[np.float64]) -> list[bool]:
        """The text of BT.500-15 A1-2.3.1, loop by loop."""
        limits = []
        for item in scores.T:
            known = item[~np.isnan(item)]
            mean, deviation = known.mean(), known.std(ddof=1)
            factor = 2.0 if 2 <= stats.kurtosis(known, fisher=False) <= 4 else math.sqrt(20)
            limits.append((mean - factor * deviation, mean + factor * deviation))
        rejected = []
        for rater in scores:
            above = below = answers = 0
            for (low, high), score in zip(limits, rater, strict=True):
                answers += not math.isnan(score)
                above += score >= high
                below += score <= low
            far = above + below
            rejected.append(far / answers > 0.05 and abs(above - below) / far < 0.3)
        return rejected

    def test_follows_the_text(self) -> None:
        """Of five raters who answer anything among 21 others; the test is known to find few of those."""
        random = rng(7)
        scores = np.clip(np.rint(random.uniform(1, 5, 80) + random.normal(0, 0.6, (26, 80))), 1, 5)
        scores[:5] = random.integers(1, 6, (5, 80))
        scores[3, 10] = NAN
        found = screen_bt500(scores)
        assert found.tolist() == self.literally(scores)
        assert 0 < found.sum() < 5
        assert not found[5:].any()

    def test_rejects_noise_but_not_severity(self) -> None:
        random = rng(3)
        truth = random.uniform(20, 80, 60)  # of 100: a scale on which raters can be far out on either side
        scores = truth + random.normal(0, 10, (24, 60))
        scores[4] = truth - 30
        scores[9] = random.uniform(0, 100, 60)
        assert screen_bt500(scores).nonzero()[0].tolist() == [9] == np.nonzero(self.literally(scores))[0].tolist()


class TestSubjects:
    def test_is_the_model_of_the_authors_code(self) -> None:
        """sureal 0.9.0 (P910AnnexEModel), the code of the model's authors, on the same grades."""
        found = fit_subjects(GRADES, as_published=True)
        quality = [
            3.806216, 3.776271, 4.216701, 4.385742, 1.970421, 3.559749, 1.358368, 2.479701,
            1.830329, 1.383260, 2.330753, 3.713504, 4.053446, 2.178949, 2.333033, 2.431276,
        ]  # fmt: skip
        bias = [0.012017, -0.112983, 0.344180, -0.362983, 0.637017, -0.466767, -0.050483]
        inconsistency = [0.706665, 1.264309, 0.585539, 0.691586, 0.687239, 0.838144, 0.821184]
        np.testing.assert_allclose(found.quality, quality, atol=1e-6)
        np.testing.assert_allclose(found.bias, bias, atol=1e-6)
        np.testing.assert_allclose(found.inconsistency, inconsistency, atol=1e-6)

    def test_finds_what_raters_were_made_of(self) -> None:
        """Twelve raters, some without some answers; the published form covers far fewer truths, and is further off."""
        random = rng(4)
        covered, published, errors = [], [], []
        for _ in range(20):
            quality, bias, noise = random.uniform(1, 5, 80), random.normal(0, 0.6, 12), random.uniform(0.3, 1.5, 12)
            bias -= bias.mean()
            scores = quality + bias[:, None] + noise[:, None] * random.normal(size=(12, 80))
            scores[3, :40] = scores[7, 60:] = NAN
            found, plain = fit_subjects(scores), fit_subjects(scores, as_published=True)
            assert np.corrcoef(found.bias, bias)[0, 1] > 0.9
            assert np.corrcoef(found.inconsistency, noise)[0, 1] > 0.9
            covered.append(np.abs(found.quality - quality) <= found.half_width)
            published.append(np.abs(plain.quality - quality) <= plain.half_width)
            errors.append([np.abs(x - quality).mean() for x in (found.quality, plain.quality, np.nanmean(scores, 0))])
        assert np.mean(covered) == pytest.approx(0.94, abs=0.02)
        assert np.mean(published) < 0.8
        ours, theirs, means = np.mean(errors, axis=0)
        assert ours < 0.9 * min(theirs, means)

    def test_nobody_takes_all_the_weight(self) -> None:
        """The likelihood is infinite if quality is what one rater said."""
        scores = np.array([[1.0, 2, 3, 4, 5], [1, 3, 3, 4, 4], [2, 2, 3, 5, 5]])
        found = fit_subjects(scores)
        assert (found.inconsistency >= LEAST_INCONSISTENCY).all()
        assert np.isfinite(found.quality).all()

    @pytest.mark.parametrize("scores", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, NAN], [2.0, NAN]], [[NAN, NAN], [1, 2]]])
    def test_too_little(self, scores: list[list[float]]) -> None:
        with pytest.raises(InvalidValueError, match="two raters"):
            fit_subjects(np.array(scores))


class TestAlpha:
    RELIABILITY = np.array([
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ])  # fmt: skip
    """Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), example of four observers."""

    def test_published_example(self) -> None:
        assert krippendorff_alpha(self.RELIABILITY) == pytest.approx(0.815, abs=5e-4)

    def test_takes_grades_as_an_order(self) -> None:
        assert krippendorff_alpha(self.RELIABILITY**3) == krippendorff_alpha(self.RELIABILITY)

    def test_ends(self) -> None:
        same = np.tile(np.array([1.0, 2, 5, 4]), (3, 1))
        assert krippendorff_alpha(same) == 1.0
        assert krippendorff_alpha(rng(5).integers(1, 6, (6, 3000)).astype(float)) == pytest.approx(0.0, abs=0.02)
        assert math.isnan(krippendorff_alpha(np.full((3, 4), 2.0)))
        assert math.isnan(krippendorff_alpha(np.array([[1.0, NAN], [NAN, 2.0]])))


class TestBradleyTerry:
    BASEBALL = np.array([
        [0, 7, 9, 7, 7, 9, 11], [6, 0, 7, 5, 11, 9, 9], [4, 6, 0, 7, 7, 8, 12], [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12], [4, 4, 5, 6, 6, 0, 6], [2, 4, 1, 3, 1, 7, 0],
    ], float)  # fmt: skip
    """American League 1987: Milwaukee, Detroit, Toronto, New York, Boston, Cleveland, Baltimore (Agresti 2002, 10.6)."""

    def test_published_example(self) -> None:
        """Scores with Baltimore at 0, and their standard errors, as R's BradleyTerry2 prints them."""
        found = bradley_terry(self.BASEBALL)
        assert found.has_maximum
        assert found.score.mean() == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(
            found.score - found.score[6], [1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0], atol=6e-4
        )
        against = np.eye(7) - np.eye(7)[6]
        errors = np.sqrt(np.einsum("ki,ij,kj->k", against, found.covariance, against))
        np.testing.assert_allclose(errors, [0.343, 0.340, 0.337, 0.336, 0.334, 0.332, 0], atol=6e-4)

    def test_two_methods_are_the_logarithm_of_the_odds(self) -> None:
        found = bradley_terry(np.array([[0, 30.5], [9.5, 0]]))
        assert found.score[0] - found.score[1] == pytest.approx(math.log(30.5 / 9.5))

    def test_who_never_lost_is_told_apart(self) -> None:
        wins = np.array([[0, 6, 6, 6], [0, 0, 4, 5], [0, 2, 0, 3], [0, 1, 3, 0]], float)
        found = bradley_terry(wins)
        assert not found.has_maximum
        assert len(set(found.groups[1:])) == 1
        assert found.groups[0] not in found.groups[1:]
        assert found.score.argmax() == 0
        assert np.isfinite(found.score).all()
        chance = expit(found.score[:, None] - found.score)
        np.testing.assert_allclose((wins + 0.5).sum(1) - 0.5, ((wins + wins.T + 1) * chance).sum(1) - 0.5, atol=1e-6)

    def test_groups_that_were_never_compared(self) -> None:
        wins = np.zeros((4, 4))
        wins[0, 1] = wins[1, 0] = wins[2, 3] = wins[3, 2] = 3
        with pytest.raises(InvalidValueError, match="never compared"):
            bradley_terry(wins)

    def test_intervals_cover_the_truth_of_raters_who_differ(self) -> None:
        """Each rater has a taste of his own: intervals from independent answers would be much too narrow."""
        random, truth = rng(6), np.array([0.8, 0.1, -0.9])
        contrast, covered, too_narrow = np.array([1.0, 0, -1.0]), 0, 0
        # The truth of a population is the score that fits its mean probabilities.
        tastes = truth + random.normal(0, 0.8, (200_000, 3))
        mean = np.stack([expit(tastes[:, [k]] - tastes).mean(axis=0) for k in range(3)])
        population = contrast @ bradley_terry(mean - np.diag(np.diag(mean))).score
        for _ in range(300):
            taste = truth + random.normal(0, 0.8, (20, 3))
            chance = expit(taste[:, :, None] - taste[:, None, :])
            wins = np.triu(random.binomial(12, chance), 1).astype(float)
            wins += np.tril(12 - wins.transpose(0, 2, 1), -1)
            found, alone = bradley_terry(wins), bradley_terry(wins.sum(axis=0))
            away = abs(contrast @ found.score - population)
            covered += away <= found.half_width(contrast, 20)
            too_narrow += away <= alone.half_width(contrast, 20)
        assert covered / 300 == pytest.approx(0.95, abs=0.03)
        assert too_narrow / 300 < 0.85


def test_holm_as_in_the_textbook() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.9, NAN])).tolist()[:2] == [1.0, 1.0]


def test_p_is_that_of_scipy() -> None:
    values = rng(7).normal(0.4, 1.0, 11)
    p = two_sided_p(float(values.mean()), float(stats.sem(values)), 11)
    assert p == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)
    assert math.isnan(two_sided_p(1.0, 0.0, 5))


@pytest.mark.parametrize(("effect", "raters"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_raters_needed_as_g_power_says(effect: float, raters: int) -> None:
    """Matched pairs, two-sided 0.05, power 0.8, for small, medium and large effects (Faul et al. 2007)."""
    assert raters_needed(2.5, 2.5 * effect) == raters


def test_raters_needed_find_the_difference() -> None:
    values = rng(8).normal(0.5, 0.9, (4000, raters_needed(0.9, 0.5)))
    assert np.mean(stats.ttest_1samp(values, 0.0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


def test_raters_needed_at_its_ends() -> None:
    assert raters_needed(0.0, 0.5) == 2
    assert raters_needed(0.01, 3.0) == 2
    assert raters_needed(1e9, 1e-3) > 10**6
    for deviation, difference in ((-1.0, 0.5), (1.0, 0.0), (NAN, 0.5)):
        with pytest.raises(InvalidValueError, match="raters_needed"):
            raters_needed(deviation, difference)
