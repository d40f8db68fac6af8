"""The result of a study: from the answers of raters to scores with intervals, differences, and how far raters agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import Argument, DatasetError, InvalidValueError
from blursynth.records.text import printable
from deblur_models.study.answers import Rater
from deblur_models.study.design import REFERENCE, StudyKey
from deblur_models.study.statistics import (
    BradleyTerry,
    bradley_terry,
    fit_subjects,
    holm,
    krippendorff_alpha,
    mean_interval,
    raters_needed,
    screen_bt500,
    two_sided_p,
)

__all__ = ["FORMAT", "summarize"]

FORMAT = 1
FEWEST_RATERS = 15  # BT.500

_USUAL_DIFFERENCE = {"single": 0.5, "pairs": 0.1}
_TOO_FAST_S = 1.5
_BEST = 5.0  # the highest grade

Array = NDArray[np.float64]

PROTOCOLS = {
    "single": {
        "MOS": "mean opinion score on the five-grade scale of ITU-R BT.500 and ITU-T P.910 (ACR): 5 excellent, 4 good, "
        "3 fair, 2 poor, 1 bad. Of a method: the mean over raters of each rater's mean over pictures, with its 95 % "
        "interval by Student's t over raters. It holds for other raters and these pictures",
        "DMOS": "grade minus that of the hidden reference by the same rater, plus 5; values above 5 are kept",
        "model": "quality by the model of ITU-T P.910 appendix VI (Li et al. 2020), which weighs all raters by their "
        "consistency and removes their biases, instead of rejecting any; here with restricted maximum likelihood, as "
        "intervals of few raters are too narrow otherwise",
        "screening": "raters whom ITU-R BT.500-15 annex 1, 2.3.1 rejects (kurtosis test) do not count in MOS and DMOS",
        "differences": "between means of raters; p by the paired t-test over raters, corrected for the number of "
        "differences (Holm)",
        "raters needed": "for a paired t-test to find this difference, if it is real, with a probability of 80 % at "
        "p < 0.05, from the deviation of raters in this study; without correction for several differences",
    },
    "pairs": {
        "score": "Bradley-Terry score by maximum likelihood, mean 0: the odds that the first of two methods is "
        "preferred are the exponential of the difference of their scores (1.1 is 3 : 1). The 95 % interval allows for "
        "answers of a rater that depend on each other. It holds for other raters and these pictures",
        "ties": "count as half a win for either side",
        "won": "share of the comparisons of a method in which it was preferred",
        "differences": "of scores; p by Student's t over raters, corrected for the number of differences (Holm)",
        "raters needed": "to find this deviation of a share of preferences from 50 %, if it is real, with a "
        "probability of 80 % at p < 0.05, from the deviation of raters in this study; without correction for several "
        "differences",
        "agreement": "share of a rater's answers that are those of most others",
    },
}
_FOR_BOTH = {
    "repeats": "the same trial shown again much later (pairs with their sides swapped), which only counts here",
    "alpha": "Krippendorff's alpha of ordered answers over raters: 1 agreement, 0 chance. Chosen above the intraclass "
    "correlation since it takes grades as an order only, and allows for missing answers",
}


def summarize(
    key: StudyKey,
    raters: Sequence[Rater],
    left_out: Sequence[tuple[str, str]] = (),
    *,
    screening: bool = True,
    difference: float | None = None,
) -> dict[str, Any]:
    """All results as plain values for JSON; None is unknown.

    Parameters
    ----------
    raters, left_out
        From :func:`~deblur_models.study.answers.read_raters`.
    screening
        Leave out the raters whom BT.500 rejects; it is for single pictures.
    difference
        For how many raters are needed: in grades (0.5), or for pairs in shares of preference away from one half (0.1).

    Raises
    ------
    DatasetError
        There are no raters.
    InvalidValueError
        The difference is outside its range: above 0, up to 4 grades or to a share of 0.5.
    """
    sought = _USUAL_DIFFERENCE[key.design] if difference is None else difference
    most = 0.5 if key.design == "pairs" else 4.0
    if not 0 < sought <= most:
        what = (Argument("difference"), f" must be > 0 and <= {most:g}, got {sought:g}.")
        raise InvalidValueError(what, field="difference", value=sought)
    if not raters:
        reasons = "; ".join(f"{file} {why}" for file, why in list(left_out)[:3])
        raise DatasetError(f"No file of answers can be counted{f': {reasons}' if reasons else ''}.")
    found = _single(key, raters, screening, sought) if key.design == "single" else _pairs(key, raters, sought)
    answers = _answers(key, raters)
    # Which of a pair is called a and which b means nothing, so each counts both ways round.
    both_ways = answers if key.design == "single" else np.concatenate([answers, -answers], axis=1)
    alpha = krippendorff_alpha(both_ways) if len(raters) > 1 else math.nan
    facts = [_facts(rater) for rater in raters]
    for fact, more in zip(facts, found.pop("raters"), strict=True):
        fact |= more
    distances = [abs(distance) for fact in facts for distance in fact.pop("distances")]
    notes = [*found.pop("notes"), *_doubts(raters, facts)]
    if len(raters) < FEWEST_RATERS:
        notes.insert(0, f"BT.500 asks for at least {FEWEST_RATERS} raters; these are {len(raters)}.")
    return {
        "format": FORMAT,
        "study": key.study,
        "design": key.design,
        "flicker": key.flicker,
        "methods": list(key.methods),
        "difference": sought,
        "raters_given": len(raters),
        "answers": int(np.isfinite(answers).sum()),
        **found,
        "reliability": {
            "repeats": len(distances),
            "same": float(np.mean([d == 0 for d in distances])) if distances else None,
            "mean_absolute_difference": float(np.mean(distances)) if distances and key.design == "single" else None,
            "alpha": _known(alpha),
        },
        "raters": facts,
        "conditions": _conditions(raters),
        "left_out": [[printable(file), printable(why)] for file, why in left_out],
        "notes": notes,
        "protocols": {**PROTOCOLS[key.design], **_FOR_BOTH},
    }


def _value(answer: int | str) -> float:
    """An answer as a number; of pairs 1 is the first by name, -1 the second, 0 a tie."""
    return float({"a": 1, "tie": 0, "b": -1}[answer] if isinstance(answer, str) else answer)


def _answers(key: StudyKey, raters: Sequence[Rater]) -> Array:
    """``[R, T]``: what each rater answered to the trials that count; NaN: nothing."""
    places = {name: place for place, name in enumerate(key.counted)}
    answers = np.full((len(raters), len(places)), np.nan)
    for row, rater in zip(answers, raters, strict=True):
        for name, answer in rater.part("test").items():
            row[places[name]] = _value(answer.answer)
    return answers


def _single(key: StudyKey, raters: Sequence[Rater], screening: bool, sought: float) -> dict[str, Any]:
    trials = list(key.counted.values())
    contents = sorted({trial.content for trial in trials})
    scores = np.full((len(raters), len(contents), len(key.methods)), np.nan)  # [R, C, M]
    for column, trial in zip(_answers(key, raters).T, trials, strict=True):
        scores[:, contents.index(trial.content), key.methods.index(trial.methods[0])] = column
    flat = scores.reshape(len(raters), -1)
    rejected = screen_bt500(flat) if screening and len(raters) > 1 else np.zeros(len(raters), bool)
    used = scores[~rejected]
    by_rater = _means_over(used, axis=1)  # [R, M]
    mos, half = mean_interval(by_rater)
    if np.isnan(mos).any():
        missing = ", ".join(method for method, mean in zip(key.methods, mos, strict=True) if np.isnan(mean))
        raise DatasetError(f"No rater who is counted has judged {missing}.", fix="Wait for more answers.")
    on_pictures, on_pictures_half = mean_interval(used)  # [C, M]
    differential, differential_half = np.full((2, len(key.methods)), np.nan)
    if key.has_reference:
        reference = key.methods.index(REFERENCE)
        change = used - used[:, :, reference : reference + 1] + _BEST
        differential, differential_half = mean_interval(_means_over(change, axis=1))
        differential[reference] = differential_half[reference] = np.nan
    notes = []
    model = None
    try:
        model = fit_subjects(flat)
    except InvalidValueError:
        notes.append("The model of P.910 is not fitted: it needs two raters, and an answer to every item.")
    quality = quality_half = np.full(len(key.methods), np.nan)
    if model is not None:
        quality = model.quality.reshape(scores.shape[1:]).mean(axis=0)
        quality_half = np.sqrt((model.half_width.reshape(scores.shape[1:]) ** 2).sum(axis=0)) / len(contents)
    if rejected.any():
        names = ", ".join(rater.name for rater, bad in zip(raters, rejected, strict=True) if bad)
        notes.append(f"Rejected by BT.500's screening: {printable(names)}.")
    grades = [[int((used[:, :, m] == grade).sum()) for grade in range(1, 6)] for m in range(len(key.methods))]
    return {
        "raters_used": len(used),
        "scores": {
            method: {
                "mos": _known(mos[m]), "half_width": _known(half[m]), "dmos": _known(differential[m]),
                "dmos_half_width": _known(differential_half[m]), "model": _known(quality[m]),
                "model_half_width": _known(quality_half[m]), "grades": grades[m],
            }
            for m, method in enumerate(key.methods)
        },
        "pictures": [
            {
                "name": key.contents[content].name,
                "scores": {
                    method: {"mos": _known(on_pictures[c, m]), "half_width": _known(on_pictures_half[c, m])}
                    for m, method in enumerate(key.methods)
                },
            }
            for c, content in enumerate(contents)
        ],
        "differences": _differences_of_means(key.methods, used, sought),
        "raters": [
            {
                "rejected": bool(rejected[r]),
                "bias": None if model is None else float(model.bias[r]),
                "inconsistency": None if model is None else float(model.inconsistency[r]),
            }
            for r in range(len(raters))
        ],
        "notes": notes,
    }  # fmt: skip


def _means_over(values: Array, axis: int) -> Array:
    return mean_interval(np.moveaxis(values, axis, 0))[0]


def _differences_of_means(methods: Sequence[str], scores: Array, sought: float) -> list[dict[str, Any]]:
    rows = []
    for first, second in combinations(range(len(methods)), 2):
        change = scores[:, :, first] - scores[:, :, second]  # [R, C]
        of_raters, of_pictures = _means_over(change, axis=1), _means_over(change, axis=0)
        rows.append(
            _difference(methods[first], methods[second], of_raters, sought)
            | {"pictures_first": int((of_pictures > 0).sum()), "pictures_second": int((of_pictures < 0).sum())}
        )
    return _corrected(rows)


def _difference(first: str, second: str, of_raters: Array, sought: float) -> dict[str, Any]:
    """The mean difference over raters, and how many of them such a study needs."""
    known = of_raters[np.isfinite(of_raters)]
    (mean,), (half,) = mean_interval(known[:, None])
    deviation = float(known.std(ddof=1)) if len(known) > 1 else math.nan
    p = two_sided_p(float(mean), deviation / math.sqrt(max(len(known), 1)), len(known))
    needed = raters_needed(deviation, sought) if len(known) > 1 else None
    return {
        "first": first,
        "second": second,
        "difference": _known(mean),
        "half_width": _known(half),
        "p": p,
        "needed": needed,
    }


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row, p in zip(rows, holm(np.array([row["p"] for row in rows])), strict=True):
        row |= {"p": _known(p), "significant": bool(p < 0.05)}
    return rows


def _pairs(key: StudyKey, raters: Sequence[Rater], sought: float) -> dict[str, Any]:
    trials = list(key.counted.values())
    contents = sorted({trial.content for trial in trials})
    answers = _answers(key, raters)
    number = len(key.methods)
    wins = np.zeros((len(raters), len(contents), number, number))  # [R, C, M, M]: how often the first was preferred
    for column, trial in zip(answers.T, trials, strict=True):
        first, second = (key.methods.index(method) for method in trial.methods)
        answered = np.isfinite(column)
        share = np.where(answered, (np.nan_to_num(column) + 1) / 2, 0.0)
        wins[:, contents.index(trial.content), first, second] += share
        wins[:, contents.index(trial.content), second, first] += answered - share
    by_rater = wins.sum(axis=1)
    fit = bradley_terry(by_rater)
    whole = np.eye(number) - 1 / number
    half = fit.half_width(whole, len(raters))
    total = by_rater.sum(axis=0)
    won = total.sum(axis=1) / (total + total.T).sum(axis=1)
    rows = []
    for first, second in combinations(range(number), 2):
        contrast = np.eye(number)[first] - np.eye(number)[second]
        gap, deviation = float(contrast @ fit.score), math.sqrt(contrast @ fit.covariance @ contrast)
        compared = by_rater[:, first, second] + by_rater[:, second, first]
        shares = by_rater[compared > 0, first, second] / compared[compared > 0]
        direct = wins[:, :, first, second].sum(axis=0) - wins[:, :, second, first].sum(axis=0)  # [C]
        rows.append({
            **_difference(key.methods[first], key.methods[second], shares, sought),
            "difference": gap,
            "half_width": _known(fit.half_width(contrast, len(raters))),
            "p": two_sided_p(gap, deviation, len(raters)),
            "share": float(shares.mean()) if len(shares) else None,
            "pictures_first": int((direct > 0).sum()),
            "pictures_second": int((direct < 0).sum()),
        })  # fmt: skip
    of_pictures = wins.sum(axis=0)  # [C, M, M]
    return {
        "raters_used": len(raters),
        "first_preferred": _known(_first_preferred(raters)[0]),
        "ties": float((answers == 0).sum() / np.isfinite(answers).sum()),
        "scores": {
            method: {"score": float(fit.score[m]), "half_width": _known(half[m]), "won": float(won[m])}
            for m, method in enumerate(key.methods)
        },
        "pictures": [
            {
                "name": key.contents[content].name,
                "scores": {
                    method: {
                        "won": _known(
                            of_pictures[c, m].sum() / max((of_pictures[c, m] + of_pictures[c, :, m]).sum(), 1)
                        )
                    }
                    for m, method in enumerate(key.methods)
                },
            }
            for c, content in enumerate(contents)
        ],
        "differences": _corrected(rows),
        "raters": [{"agreement": _known(value)} for value in _agreement(answers)],
        "notes": [*_without_maximum(key.methods, fit), *_habits_of_sides(raters)],
    }


def _without_maximum(methods: Sequence[str], fit: BradleyTerry) -> list[str]:
    """The groups of methods whose scores have no finite distance, the best first."""
    if fit.has_maximum:
        return []
    groups: dict[int, list[int]] = {}
    for place in np.argsort(-fit.score):
        groups.setdefault(int(fit.groups[place]), []).append(int(place))
    order = " > ".join(" = ".join(methods[place] for place in sorted(group)) for group in groups.values())
    return [
        f"Scores of highest likelihood do not exist, since some methods won all comparisons with others: {order}. "
        "Half a win was added to either side of every pair; differences between these groups may be larger than shown."
    ]


def _first_preferred(raters: Sequence[Rater]) -> tuple[float, int]:
    """How often the picture that is first on the screen was preferred, and of how many answers."""
    firsts = [
        one.answer == ("b" if one.swapped else "a")
        for rater in raters
        for one in rater.part("test").values()
        if one.answer != "tie"
    ]
    return (float(np.mean(firsts)) if firsts else math.nan), len(firsts)


def _habits_of_sides(raters: Sequence[Rater]) -> list[str]:
    share, count = _first_preferred(raters)
    if not count or abs(share - 0.5) <= 3 * 0.5 / math.sqrt(count):  # three standard deviations of a fair coin
        return []
    return [f"The first (left) picture was preferred in {100 * share:.0f} % of trials: more than chance explains."]


def _agreement(answers: Array) -> Array:
    """``[R]``: the share of each rater's answers that are those of most others, where others are not even."""
    filled = np.nan_to_num(answers)
    others = np.sign(filled.sum(axis=0) - filled)
    counted = np.isfinite(answers) & (others != 0)
    same = (filled == others) & counted
    shares: Array = np.full(len(answers), np.nan)
    np.divide(same.sum(axis=1), counted.sum(axis=1), out=shares, where=counted.any(axis=1))
    return shares


def _facts(rater: Rater) -> dict[str, Any]:
    tests, again = rater.part("test"), rater.part("repeat")
    distances = [_value(answer.answer) - _value(tests[trial].answer) for trial, answer in again.items()]
    return {
        "rater": printable(rater.name),
        "answers": len(tests),
        "seconds": float(np.median([answer.ms for answer in tests.values()])) / 1000,
        "repeats": len(distances),
        "same": sum(distance == 0 for distance in distances),
        "distances": distances,
    }


def _doubts(raters: Sequence[Rater], facts: Sequence[dict[str, Any]]) -> list[str]:
    """What speaks against counting some raters, by their names."""
    doubts = {
        "say that they do not see well": [r.conditions.vision in ("impaired", "unknown") for r in raters],
        "say that their color vision is deficient": [r.conditions.color_vision == "deficient" for r in raters],
        "work with the quality of pictures": [r.conditions.expert == "yes" for r in raters],
        "looked at a phone": [r.conditions.device == "phone" for r in raters],
        f"took less than {_TOO_FAST_S:g} s for most trials": [fact["seconds"] < _TOO_FAST_S for fact in facts],
        "gave one and the same answer to all trials": [
            len({a.answer for a in r.answers}) == 1 and len(r.answers) > 5 for r in raters
        ],
    }
    notes = []
    for words, found in doubts.items():
        names = [fact["rater"] for fact, doubtful in zip(facts, found, strict=True) if doubtful]
        if names:
            shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
            notes.append(f"{len(names)} of {len(raters)} raters {words}: {shown}.")
    return notes


def _conditions(raters: Sequence[Rater]) -> dict[str, dict[str, int]]:
    """How many raters gave each answer about screen, room and eyes; numbers by their quarter."""
    asked = ("device", "light", "vision", "color_vision", "expert", "age")
    counted = {name: dict(Counter(getattr(r.conditions, name) for r in raters).most_common()) for name in asked}
    distances = [r.conditions.distance_cm for r in raters]
    low, middle, high = np.quantile(distances, [0.25, 0.5, 0.75])
    counted["distance"] = {f"{low:.0f}, {middle:.0f}, {high:.0f} cm (quartiles)": len(distances)}
    ratios = Counter(f"{screen.ratio:g} px" for r in raters for screen in r.screens[:1])
    counted["screen_px_per_css_px"] = dict(ratios.most_common())
    return counted


def _known(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
