"""The JSON Schema of recipe files, so that editors can complete and check them.

It is derived from the kinds themselves: their fields, ranges and descriptions. :func:`blursynth.load_recipe` checks
what a schema cannot express (the order of encodings, references to earlier steps, that low does not exceed high).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blursynth import degradations
from blursynth.core import TARGETS, Degradation
from blursynth.degradations.sensor.sensor import Sensor
from blursynth.recipe.distributions import SHARE, field_schema
from blursynth.recipe.recipe import recipe_names
from blursynth.recipe.sensor_from_profile import SensorFromProfile
from blursynth.records.schema import kind_schema

__all__ = ["recipe_schema"]

Schema = dict[str, Any]

_STEP_NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "pattern": "^[^.]+$",
    "description": "name of the step and of its random stream; by default the kind",
}
_PROBABILITY: Schema = {**SHARE, "description": "the step is applied with this probability"}
_WEIGHT: Schema = {"type": "number", "minimum": 0, "default": 1, "description": "relative frequency of this option"}
_ANCHOR: Schema = {"type": "string", "description": "step of the extended recipe to insert it before or after"}


def recipe_schema(kinds: Sequence[type[Degradation]] = degradations.ALL) -> Schema:
    """JSON Schema 2020-12 of recipe files that use the given kinds.

    Parameters
    ----------
    kinds
        Degradations that recipes may use. To add custom ones: ``(*blursynth.kinds.ALL, Mine)``.
    """
    names = [kind.kind for kind in kinds]
    definitions: Schema = {kind.kind: kind_schema(kind, field_schema, drawn=("seed",)) for kind in kinds}
    partial_fields = sorted({field for kind in kinds for field in kind.model_fields})
    if Sensor in kinds:
        definitions["sensor"] = SensorFromProfile.schema(definitions["sensor"], definitions)
        partial_fields += SensorFromProfile.more_fields
    any_step = {
        "type": "object",
        "oneOf": [*({"$ref": f"#/$defs/{name}"} for name in names), {"$ref": "#/$defs/one_of"}],
        "unevaluatedProperties": False,
    }
    definitions["option"] = {
        "description": "one option of one_of",
        **any_step,
        "properties": {"weight": _WEIGHT, "probability": _PROBABILITY},
    }
    definitions["one_of"] = {
        "type": "object",
        "description": "one of several options, drawn by weight",
        "required": ["one_of"],
        "not": {"required": ["kind"]},
        "properties": {"one_of": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/option"}}},
    }
    step_properties = {"name": _STEP_NAME, "probability": _PROBABILITY}
    targets = [kind_schema(kind) for kind in TARGETS]
    target_fields = {name: value for table in targets for name, value in table["properties"].items()}
    definitions["target"] = {
        "description": "a kind with fields, or fields that replace those of the extended recipe",
        "type": "object",
        "properties": {**target_fields, "kind": {"enum": [kind.kind for kind in TARGETS]}},
        "additionalProperties": False,
    }
    definitions["step"] = {"description": "one step of the camera", **any_step, "properties": step_properties}
    definitions["changed_step"] = {
        "description": "a new step, or fields that replace those of the step with this name in the extended recipe",
        "anyOf": [
            {**any_step, "properties": {**step_properties, "before": _ANCHOR, "after": _ANCHOR}},
            {
                "type": "object",
                "anyOf": [{"required": ["name"]}, {"required": ["kind"]}],
                "properties": {**step_properties, "kind": {"enum": names}, **dict.fromkeys(partial_fields, True)},
                "additionalProperties": False,
            },
        ],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "blursynth recipe",
        "description": "Steps of a camera in the order of light, with distributions for their parameters",
        "type": "object",
        "properties": {
            "summary": {"type": "string", "description": "one-line description"},
            "source": {"type": "string", "description": "where its parameters come from"},
            "target": {
                "description": "the sharp picture of a pair",
                "anyOf": [{"enum": [kind.kind for kind in TARGETS]}, {"$ref": "#/$defs/target"}],
            },
            "extends": {
                "description": "recipe that this one changes: a name, or the path of a .toml file",
                "anyOf": [{"enum": list(recipe_names())}, {"type": "string", "pattern": "\\.toml$"}],
            },
            "remove": {
                "type": "array",
                "items": {"type": "string"},
                "description": "steps of the extended recipe to leave out",
            },
            "step": {"type": "array", "description": "steps in the order of light"},
        },
        "additionalProperties": False,
        "if": {"required": ["extends"]},
        "then": {"properties": {"step": {"items": {"$ref": "#/$defs/changed_step"}}}},
        "else": {
            "required": ["step"],
            "properties": {
                "remove": False,
                "target": {"if": {"type": "object"}, "then": {"required": ["kind"]}},
                "step": {"minItems": 1, "items": {"$ref": "#/$defs/step"}},
            },
        },
        "$defs": definitions,
    }
