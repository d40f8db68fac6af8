"""The files that raters send back: read with suspicion, since anybody may have written them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from blursynth.dataset.files import read_json
from blursynth.errors import BlursynthError, DatasetError, InvalidValueError
from blursynth.io.folders import expanded, matches, walk
from blursynth.records.kind import Record
from deblur_models.study.design import MOST_TRIALS, StudyKey

__all__ = ["Answer", "Conditions", "Rater", "answer_files", "read_rater", "read_raters"]

_MOST_BYTES = 4 << 20
_MOST_FILES = 10_000

Pixels = Annotated[int, Field(ge=0, le=100_000)]


class Answer(Record):
    """An answer to a trial: a grade 1 (bad) to 5 (excellent), or which of two is better: ``a`` or ``b``, or ``tie``.

    ``swapped``: ``b`` was the first of the two.
    """

    trial: Annotated[str, Field(max_length=64)]
    part: Literal["practice", "test", "repeat"]
    answer: Annotated[int, Field(ge=1, le=5)] | Literal["a", "b", "tie"]
    swapped: bool
    ms: Annotated[int, Field(ge=0, le=10**9)]


class Conditions(Record):
    """What a rater says about the screen and the eyes."""

    diagonal_inches: Annotated[float, Field(gt=0, le=1000)] | None
    distance_cm: Annotated[float, Field(gt=0, le=10_000)]
    device: Literal["monitor", "laptop", "tablet", "phone", "television"]
    light: Literal["dark", "dim", "office", "daylight"]
    vision: Literal["normal", "corrected", "impaired", "unknown"]
    color_vision: Literal["normal", "deficient", "unknown"]
    expert: Literal["yes", "no"]
    age: Literal["unsaid", "under 30", "30 to 49", "50 to 64", "65 or more"]


class Screen(Record):
    """The screen and the window as the browser sees them, in CSS px; ``ratio`` px of the screen are one of these."""

    width: Pixels
    height: Pixels
    ratio: Annotated[float, Field(gt=0, le=100)]
    inner_width: Pixels
    inner_height: Pixels


class Rater(Record):
    """The file of one rater, as the page writes it."""

    format: Literal[1]
    study: Annotated[str, Field(max_length=64)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    participant: Annotated[str, Field(max_length=40)]
    begun: Annotated[str, Field(max_length=40)]
    last_ms: Annotated[int, Field(ge=0, le=10**15)]
    session_ms: Annotated[int, Field(ge=0, le=10**12)]
    conditions: Conditions
    screens: Annotated[tuple[Screen, ...], Field(max_length=50)]
    answers: Annotated[tuple[Answer, ...], Field(max_length=3 * MOST_TRIALS)]

    @property
    def name(self) -> str:
        """The code that was given to the rater, else the seed of the order."""
        return self.participant or f"{self.seed:08x}"

    def part(self, part: str) -> dict[str, Answer]:
        """The answers of a part by their trials."""
        return {answer.trial: answer for answer in self.answers if answer.part == part}


def answer_files(names: Iterable[str | Path]) -> list[Path]:
    """Files, patterns, and the ``.json`` files of folders, each once.

    Raises
    ------
    DatasetError
        A name stands for nothing.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = expanded(name)
        inside = walk(path, (".json",)).paths if path.is_dir() else matches(name) or [path]
        if not inside or not inside[0].exists():
            raise DatasetError(f"{name}: {'holds no .json files' if path.is_dir() else 'does not exist'}.")
        found |= dict.fromkeys(inside)
    if len(found) > _MOST_FILES:
        raise DatasetError(f"{len(found)} files are more than the {_MOST_FILES} that are read.")
    return list(found)


def read_rater(path: Path, key: StudyKey) -> Rater:
    """Read the answers of one rater.

    Raises
    ------
    DatasetError
        The file is damaged, of another study, or holds answers that the page cannot give.
    """
    value = read_json(path, "the file of answers", _MOST_BYTES)
    if isinstance(value.get("study"), str) and value["study"] != key.study:
        raise DatasetError(f"{path}: belongs to another study than the key.")
    try:
        rater = Rater(**value)
    except InvalidValueError as error:
        raise DatasetError(f"{path}: holds no answers to a study: {error.what}") from None
    _check(path, rater, key)
    return rater


def _check(path: Path, rater: Rater, key: StudyKey) -> None:
    allowed = range(1, 6) if key.design == "single" else ("a", "b", "tie") if key.ties else ("a", "b")
    tested = set[str]()
    for number, one in enumerate(rater.answers, 1):
        trial = key.trials.get(one.trial)
        if trial is None or trial.practice != (one.part == "practice"):
            problem = f"the study has no such trial ({one.part} {one.trial!r})"
        elif one.answer not in allowed:
            problem = f"{one.answer!r} is no answer to it"
        elif one.part == "repeat" and one.trial not in tested:
            problem = "it repeats a trial that was not answered before"
        else:
            tested |= {one.trial} if one.part == "test" else set()
            continue
        raise DatasetError(f"{path}: is damaged: answer {number}: {problem}.")
    twice = [trial for (trial, _), count in Counter((a.trial, a.part) for a in rater.answers).items() if count > 1]
    if twice:
        raise DatasetError(f"{path}: is damaged: trial {twice[0]!r} is answered twice.")
    if len(rater.part("repeat")) > key.repeats:
        raise DatasetError(f"{path}: is damaged: more trials are repeated than the study has.")


def read_raters(
    paths: Iterable[Path], key: StudyKey, *, unfinished: bool = False
) -> tuple[list[Rater], list[tuple[str, str]]]:
    """The answers of all raters who can be counted, and the files that are left out, and why.

    Files that cannot be used are left out; unfinished ones too, unless they are wanted. Of two files of one run the one
    with more answers is used, and a person (a code) is counted once: with the first file that is given.
    """
    read: dict[int, tuple[Path, Rater]] = {}
    left_out: list[tuple[str, str]] = []
    for path in paths:
        try:
            rater = read_rater(path, key)
        except BlursynthError as error:
            left_out.append((str(path), str(error).removeprefix(f"{path}: ").rstrip(".")))
            continue
        if rater.seed not in read:
            read[rater.seed] = (path, rater)
            continue
        (shorter, less), (longer, more) = sorted((read[rater.seed], (path, rater)), key=lambda one: len(one[1].answers))
        if more.answers[: len(less.answers)] == less.answers:
            left_out.append((str(shorter), f"is the beginning of {longer}"))
            read[rater.seed] = (longer, more)
        else:
            left_out.append((str(path), f"has other answers than {read[rater.seed][0]}, of the same rater"))
    wanted = len(key.counted)
    raters: dict[str, tuple[Path, Rater]] = {}
    for path, rater in read.values():
        answered = len(rater.part("test"))
        if answered < wanted and not (unfinished and answered):
            left_out.append((str(path), f"is unfinished: {answered} of {wanted} answers"))
        elif rater.name in raters:
            left_out.append((str(path), f"is another run of {rater.name}, who is counted with {raters[rater.name][0]}"))
        else:
            raters[rater.name] = (path, rater)
    return [rater for _, rater in raters.values()], left_out
