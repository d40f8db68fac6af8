"""The JSON schema of a field of a recipe: a plain value, or one of the distributions that can give it."""

from __future__ import annotations

import inspect
from typing import Any

from blursynth.recipe import distributions

__all__ = ["field_schema"]

Schema = dict[str, Any]


def field_schema(field: Schema) -> Schema:
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
