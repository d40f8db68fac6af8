"""The JSON Schema of recipe files, so that editors complete and check them while they are written.

It is made from the kinds themselves: their fields, ranges and descriptions. What a schema cannot say (the order of
encodings, references to earlier steps, that low does not exceed high) :func:`blursynth.load_recipe` checks.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from blursynth import degradations
from blursynth.cameras.profile import SensorProfile, sensor_profile_names
from blursynth.core import Degradation
from blursynth.degradations.sensor.sensor import Sensor
from blursynth.recipe import distributions
from blursynth.recipe.recipe import recipe_names
from blursynth.recipe.samplers import CAMERA_FIELDS

__all__ = ["recipe_schema"]

Schema = dict[str, Any]

_STEP_NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "pattern": "^[^.]+$",
    "description": "name of the step and of its random stream; by default the kind",
}
_PROBABILITY: Schema = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "description": "the step happens with this probability, otherwise nothing does",
}
_WEIGHT: Schema = {"type": "number", "minimum": 0, "default": 1, "description": "relative frequency of this option"}
_ANCHOR: Schema = {"type": "string", "description": "step of the extended recipe that it is put before or after"}


def recipe_schema(kinds: Sequence[type[Degradation]] = degradations.ALL) -> Schema:
    """JSON Schema 2020-12 of recipe files that use the given kinds.

    Parameters
    ----------
    kinds
        Degradations that recipes may use; with people's own: ``(*blursynth.kinds.ALL, Mine)``.
    """
    names = [kind.kind for kind in kinds]
    options = [{"$ref": f"#/$defs/{name}"} for name in names]
    definitions: Schema = {kind.kind: _kind(kind) for kind in kinds}
    if Sensor in kinds:
        definitions["calibrated_camera"] = _camera_table()
        definitions[Sensor.kind] = _with_camera(definitions[Sensor.kind])
    definitions["option"] = {
        "type": "object",
        "description": "one option of one_of",
        "oneOf": [*options, {"$ref": "#/$defs/one_of"}],
        "properties": {"weight": _WEIGHT, "probability": _PROBABILITY},
        "unevaluatedProperties": False,
    }
    definitions["one_of"] = {
        "type": "object",
        "description": "one of several options, drawn by weight",
        "required": ["one_of"],
        "not": {"required": ["kind"]},
        "properties": {"one_of": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/option"}}},
    }
    step_properties = {"name": _STEP_NAME, "probability": _PROBABILITY}
    definitions["step"] = {
        "type": "object",
        "description": "one step of the camera",
        "oneOf": [*options, {"$ref": "#/$defs/one_of"}],
        "properties": step_properties,
        "unevaluatedProperties": False,
    }
    partial_fields = sorted({field for kind in kinds for field in kind.model_fields})
    partial_fields += CAMERA_FIELDS if Sensor in kinds else ()
    definitions["changed_step"] = {
        "description": "a step that is new, or fields that replace those of the extended recipe's step of this name",
        "anyOf": [
            {
                "type": "object",
                "oneOf": [*options, {"$ref": "#/$defs/one_of"}],
                "properties": {**step_properties, "before": _ANCHOR, "after": _ANCHOR},
                "unevaluatedProperties": False,
            },
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
        "description": "Steps of a camera in the order of light, with distributions where their numbers will go",
        "type": "object",
        "properties": {
            "summary": {"type": "string", "description": "what it is, in one line"},
            "source": {"type": "string", "description": "where its numbers come from"},
            "target": {"enum": ["scene", "source"], "description": "what the sharp picture of a pair is"},
            "extends": {
                "description": "recipe that this one changes: a name, or the path of a .toml file",
                "anyOf": [{"enum": list(recipe_names())}, {"type": "string", "pattern": "\\.toml$"}],
            },
            "remove": {
                "type": "array",
                "items": {"type": "string"},
                "description": "steps of the extended recipe to leave out",
            },
            "step": {"type": "array", "description": "the order is the order of physics"},
        },
        "additionalProperties": False,
        "if": {"required": ["extends"]},
        "then": {"properties": {"step": {"items": {"$ref": "#/$defs/changed_step"}}}},
        "else": {
            "required": ["step"],
            "properties": {"remove": False, "step": {"minItems": 1, "items": {"$ref": "#/$defs/step"}}},
        },
        "$defs": definitions,
    }


def _kind(kind: type[Degradation]) -> Schema:
    schema = kind.model_json_schema()
    fields = schema.get("properties", {})
    required = [name for name in schema.get("required", ()) if name != "seed"]
    return {
        "type": "object",
        "description": (inspect.getdoc(kind) or kind.kind).partition("\n")[0],
        "required": ["kind", *required],
        "properties": {"kind": {"const": kind.kind}, **{name: _field(field) for name, field in fields.items()}},
    }


def _with_camera(sensor: Schema) -> Schema:
    """A sensor step that may take its numbers from a calibrated camera."""
    required = [name for name in sensor["required"] if name != "kind"]
    one: Schema = {
        "anyOf": [
            {"enum": list(sensor_profile_names())},
            {"type": "string", "pattern": "\\.toml$"},
            {"$ref": "#/$defs/calibrated_camera"},
        ]
    }
    several = {
        "type": "object",
        "required": ["choice"],
        "properties": {
            "choice": {"type": "array", "minItems": 1, "items": one},
            "weights": {"type": "array", "items": {"type": "number", "minimum": 0}},
        },
        "additionalProperties": False,
    }
    positive: Schema = {"type": "number", "exclusiveMinimum": 0}
    camera: Schema = {
        "camera": {
            "description": "calibrated camera that the numbers are drawn from: a name, the path of a .toml file, its "
            "table, or a choice of these",
            "anyOf": [*one["anyOf"], several],
        },
        "iso": _field({**positive, "description": "ISO setting of the camera"}),
        "photons_at_white": _field({**positive, "description": "photons that white brings to a green pixel"}),
        "read_noise_model": {
            "description": "by default the better one that the camera has",
            "enum": ["tukey_lambda", "gaussian"],
        },
    }
    return {
        **sensor,
        "required": ["kind"],
        "properties": {**sensor["properties"], **camera},
        "anyOf": [{"required": required}, {"required": ["camera"]}],
        "dependentRequired": {name: ["camera"] for name in CAMERA_FIELDS if name != "camera"},
    }


def _camera_table() -> Schema:
    """A camera written out in the recipe, as stored recipes have it; what is in its tables its loader checks."""
    fields = SensorProfile.model_fields
    return {
        "type": "object",
        "description": "a calibrated camera, as its file holds it",
        "required": [name for name, field in fields.items() if field.is_required()],
        "properties": dict.fromkeys(fields, True),
        "additionalProperties": False,
    }


def _field(field: Schema) -> Schema:
    """A plain value or one of the distributions that can give it."""
    plain = next((o for o in field.get("anyOf", ()) if o.get("type") != "null"), field)
    plain = {key: value for key, value in plain.items() if key not in ("title", "description", "default")}
    forms: list[Schema] = [plain, _list_form("choice", plain), _same_as()]
    if plain.get("type") == "number":
        forms += _numeric_forms(plain)
    elif plain.get("type") == "integer":
        forms.append(_list_form("integer", plain, 2))
    elif "sha256" in plain.get("pattern", ""):
        forms += [_file_form("file", "the array of a file"), _file_form("files", "one of the arrays of some files")]
    told = {key: field[key] for key in ("description", "default") if field.get(key) is not None}
    return {**told, "anyOf": forms}


def _numeric_forms(plain: Schema) -> list[Schema]:
    anything: Schema = {"type": "number"}
    positive = {"type": "number", "exclusiveMinimum": 0}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    return [
        _list_form("uniform", plain, 2),
        _tuple_form("log_uniform", [{"allOf": [plain, positive]}, plain]),
        _tuple_form("normal", [anything, {"type": "number", "minimum": 0}]),
        _tuple_form("truncated_normal", [anything, positive, plain, plain]),
        _list_form("integer", {**plain, "type": "integer"}, 2),
        _tuple_form("beta", [positive, positive, plain, plain], least=2),
        _list_form("depth_quantile", share, 2),
        _tuple_form("meter", [share, positive, positive]),
        _form("product", {"type": "array", "minItems": 2}),
        _form("quotient", {"type": "array", "minItems": 2}),
    ]


def _list_form(word: str, item: Schema, length: int | None = None) -> Schema:
    size = {"minItems": 1} if length is None else {"minItems": length, "maxItems": length}
    return _form(word, {"type": "array", "items": item, **size})


def _tuple_form(word: str, items: list[Schema], least: int | None = None) -> Schema:
    return _form(word, {"type": "array", "prefixItems": items, "items": False, "minItems": least or len(items)})


def _form(word: str, value: Schema) -> Schema:
    made = next(d for d in distributions.ALL if d.word == word)
    number: Schema = {"type": "number"}
    bounds = {"low": number, "high": number}
    extra: Schema = {
        "choice": {"weights": {"type": "array", "items": {"type": "number", "minimum": 0}}},
        "product": bounds,
        "quotient": bounds,
    }.get(word, {})
    return {
        "type": "object",
        "description": (inspect.getdoc(made) or word).partition("\n")[0],
        "required": [word],
        "properties": {word: value, **extra},
        "additionalProperties": False,
    }


def _same_as() -> Schema:
    return _form("same_as", {"type": "string", "pattern": "^[^.]+\\.[^.]+$"})


def _file_form(word: str, meaning: str) -> Schema:
    return {
        "type": "object",
        "description": f"{meaning}, relative to the recipe",
        "required": [word],
        "properties": {word: {"type": "string"}},
        "additionalProperties": False,
    }
