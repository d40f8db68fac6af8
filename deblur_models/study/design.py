"""What a study consists of: its trials, and the key that says which method each of them shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from blursynth.dataset.files import read_json
from blursynth.errors import DatasetError, InvalidValueError
from blursynth.records.kind import Record

__all__ = ["KEY_FILE", "MOST_TRIALS", "REFERENCE", "Content", "StudyKey", "Trial", "read_key", "versions_shown"]

REFERENCE = "reference"
"""The name of the sharp pictures among the methods: the hidden reference."""

KEY_FILE = "study-key.json"
MOST_TRIALS = 5000

Design = Literal["single", "pairs"]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Content(Record):
    """A picture of the study, and the window of it that is shown."""

    name: Name
    top: Annotated[int, Field(ge=0)]
    left: Annotated[int, Field(ge=0)]


class Trial(Record):
    """One or two versions of a picture, by the names of methods; trials for practice are not counted."""

    content: Annotated[int, Field(ge=0)]
    methods: Annotated[tuple[Name, ...], Field(min_length=1, max_length=2)]
    practice: bool = False


class StudyKey(Record):
    """Everything about a study that raters must not know. ``trials`` and ``pictures`` go by the names on the page."""

    format: Literal[1] = 1
    study: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    design: Design
    ties: bool
    flicker: bool
    size_px: Annotated[int, Field(ge=16)]
    repeats: Annotated[int, Field(ge=0)]
    methods: Annotated[tuple[Name, ...], Field(min_length=2, max_length=50)]
    contents: Annotated[tuple[Content, ...], Field(min_length=1, max_length=MOST_TRIALS)]
    trials: Annotated[dict[Name, Trial], Field(min_length=1, max_length=MOST_TRIALS)]

    @property
    def has_reference(self) -> bool:
        return REFERENCE in self.methods

    @property
    def counted(self) -> dict[str, Trial]:
        """The trials that are not for practice."""
        return {name: trial for name, trial in self.trials.items() if not trial.practice}


def versions_shown(methods: Sequence[str], design: Design) -> list[tuple[str, ...]]:
    """What is shown of a picture: every version once, or every pair of versions once.

    >>> versions_shown(["blurred", "ours"], "single"), versions_shown(["blurred", "ours", "theirs"], "pairs")
    ([('blurred',), ('ours',)], [('blurred', 'ours'), ('blurred', 'theirs'), ('ours', 'theirs')])
    """
    return list(combinations(methods, 1 if design == "single" else 2))


def study_name(trials: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """A name for a study that changes with its trials and with every pixel; ``pictures`` are names and sha256."""
    text = json.dumps([trials, pictures], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_key(path: str | Path) -> StudyKey:
    """Read the key of a study.

    Raises
    ------
    DatasetError
        It is missing or damaged.
    """
    value = read_json(Path(path), "the key of the study")
    try:
        key = StudyKey(**value)
    except InvalidValueError as error:
        raise error.at(f"{path}: the key of the study is damaged", DatasetError) from None
    for name, trial in key.trials.items():
        if trial.content >= len(key.contents) or not set(trial.methods) <= set(key.methods):
            raise DatasetError(f"{path}: the key of the study is damaged: trial {name!r} shows nothing that it lists.")
        if len(trial.methods) != (1 if key.design == "single" else 2):
            raise DatasetError(f"{path}: the key of the study is damaged: trial {name!r} is of another design.")
    return key
