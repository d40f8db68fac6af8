"""Records in records, as tables in files; and kinds: how they are named, looked up, made and written."""

from __future__ import annotations

import pickle
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from pydantic import Field

from blursynth.errors import MISSING, InvalidValueError, RecipeError
from blursynth.records.kind import Kind, Record, among, find_kind, make


class Law(Record):
    slope: float = Field(gt=0, description="rise per ISO")
    iso: tuple[float, float] | None = None

    def model_post_init(self, context: object) -> None:
        if self.slope > 100:
            raise InvalidValueError("too steep.", fix="Flatten it.", field="slope", value=self.slope)


class Shape(Kind):
    weight: float = Field(default=1.0, gt=0)


class FlatDisk2(Shape):
    pass


class Ring(Shape):
    kind: ClassVar[str] = "annulus"


class SpiralConfig(Shape):
    suffix: ClassVar[str] = "Config"


SHAPES = (FlatDisk2, Ring, SpiralConfig)


class Camera(Record):
    gain: Law
    shape: Annotated[Shape, among(SHAPES, noun="shape")] = FlatDisk2()
    level: tuple[Law, ...] = ()
    part: dict[str, Law] = Field(default_factory=dict)
    spare: Law | None = None
    bits: int = 8


GAIN = {"slope": 2.0}


def test_tables_are_records_and_lists_are_tuples() -> None:
    tables: dict[str, Any] = {"gain": {"slope": np.float64(2.0), "iso": [1, 2.0]}, "level": [GAIN], "part": {"a": GAIN},
                              "shape": {"kind": "annulus", "weight": 3.0}}  # fmt: skip
    made = Camera(**tables)
    assert made == Camera(
        gain=Law(slope=2.0, iso=(1.0, 2.0)), level=(Law(slope=2.0),), part={"a": Law(slope=2.0)}, shape=Ring(weight=3.0)
    )
    assert Camera(**made.to_dict()) == made
    assert Camera(**made.to_dict(defaults=False)) == made
    assert made.replace(bits=9).gain is made.gain


def test_only_what_is_needed_is_written() -> None:
    made = Camera(gain=Law(slope=2.0), level=(Law(slope=1.0),), spare=Law(slope=3.0))
    assert made.to_dict(defaults=False) == {"gain": GAIN, "level": [{"slope": 1.0}], "spare": {"slope": 3.0}}
    assert made.to_dict()["shape"] == {"kind": "flat_disk2", "weight": 1.0}


@pytest.mark.parametrize(
    ("fields", "place", "field", "value", "alone", "placed"),
    [
        ({"bits": "2"}, "", "bits", "2", "Camera.bits must be an integer, got '2'.", "bits must be an integer"),
        ({"bit": 2}, "", "bit", 2, "Camera has no field 'bit'. Did you mean 'bits'?", "has no field 'bit'"),
        ({"gain": 3}, "", "gain", 3, "Camera.gain must be a table, got 3.", "gain must be a table, got 3."),
        ({"gain": {}}, "[gain]", "slope", MISSING, "[gain]: needs slope (rise per ISO). Give it a value.", "needs slope"),
        ({"gain": {"slope": -1}}, "[gain]", "slope", -1, "[gain]: slope must be > 0.0, got -1. It is the rise", "slope"),
        ({"gain": {"slope": True}}, "[gain]", "slope", True, "[gain]: slope must be a number, got True.", "slope"),
        ({"gain": {"slope": 200}}, "[gain]", "slope", 200.0, "[gain]: too steep. Flatten it.", "too steep."),
        ({"level": [GAIN, {"slope": "a"}]}, "[[level]] 2", "slope", "a", "[[level]] 2: slope must be", "slope must"),
        ({"level": GAIN}, "", "level", GAIN, "Camera.level must be an array of tables, got one table. Write [[level]]", ""),
        ({"level": [3]}, "", "level.0", 3, "Camera.level.0 must be a table, got 3.", ""),
        ({"part": {"a": {"iso": [1], "slope": 1}}}, "[part.a]", "iso", (1,), "[part.a]: iso has too few entries", ""),
        ({"shape": {"kind": "anulus"}}, "[shape]", "kind", "anulus", "[shape]: There is no shape 'anulus'. Did", "There"),
        ({"shape": {"weight": 1.0}}, "[shape]", "kind", None, "[shape]: needs a kind. Known: annulus", "needs a kind."),
        ({"shape": {"kind": "annulus", "weight": 0}}, "[shape]", "weight", 0, "[shape]: weight must be > 0.0", "weight"),
        ({"shape": "annulus"}, "", "shape", "annulus", "Camera.shape: A shape must be a table with its kind", "shape: A"),
    ],
)  # fmt: skip
def test_errors_say_where_they_arose(
    fields: dict[str, Any], place: str, field: str, value: Any, alone: str, placed: str
) -> None:
    with pytest.raises(InvalidValueError) as caught:
        Camera(**{"gain": GAIN, **fields})
    error = caught.value
    assert (error.place, error.field, error.value) == (place, field, value)
    assert str(error).startswith(alone)
    here = f"mine.toml {place}".strip()
    assert str(error.at("mine.toml")).startswith(f"{here}: {placed}")
    # As they cross process borders.
    assert str(pickle.loads(pickle.dumps(error)).at("mine.toml")) == str(error.at("mine.toml"))  # noqa: S301


def test_a_missing_value_is_shown_by_its_name() -> None:
    assert str(MISSING) == repr(MISSING) == f"{MISSING}" == "MISSING"


def test_several_faults_are_told_at_once_and_one_by_one() -> None:
    fields = {"gain": {"slope": -1}, "bits": 2.5, "level": [{}]}
    with pytest.raises(InvalidValueError) as caught:
        Camera(**fields)
    assert (caught.value.place, caught.value.field, caught.value.value) == ("[gain]", "slope", -1)
    assert str(caught.value.at("mine.toml", RecipeError)) == (
        "mine.toml [gain]: slope must be > 0.0, got -1. It is the rise per ISO. [[level]] 1: needs slope (rise per "
        "ISO). Give it a value. bits must be an integer, got 2.5."
    )
    assert [(fault.place, fault.field) for fault in Camera.faults(fields)] == [
        ("[gain]", "slope"),
        ("[[level]] 1", "slope"),
        ("", "bits"),
    ]
    assert Camera.faults({"gain": GAIN}) == ()


def test_kinds_are_named_after_their_classes_or_say_their_own_name() -> None:
    assert [kind.kind for kind in SHAPES] == ["flat_disk2", "annulus", "spiral"]


def test_kinds_are_found_and_made_by_name() -> None:
    assert find_kind("annulus", SHAPES) is Ring
    made = make({"kind": "spiral", "weight": 2.0}, SHAPES, noun="shape")
    assert made == SpiralConfig(weight=2.0)
    assert make(made.to_dict(), SHAPES, noun="shape") == made
    with pytest.raises(InvalidValueError, match=r"There is no shape 'ring'\. Known: 'annulus', 'flat_disk2', 'spiral'"):
        make({"kind": "ring"}, SHAPES, noun="shape")
    with pytest.raises(InvalidValueError, match=r"A shape needs a kind\. Known: annulus"):
        make({}, SHAPES, noun="shape")


def test_unknown_fields_come_before_missing_ones() -> None:
    """A misspelled field is the cause of a missing one, so it is reported first."""

    class Plate(Record):
        width_mm: float

    with pytest.raises(InvalidValueError, match=r"^Plate has no field 'widht_mm'.*needs width_mm") as caught:
        Plate(widht_mm=1.0)
    assert caught.value.field == "widht_mm"
