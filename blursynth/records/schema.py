"""What a record is and which fields it has: in words, for listings, and as a JSON Schema, for editors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from typing import Any

from blursynth.records.kind import Kind, Record

__all__ = ["kind_schema", "summary"]

Schema = dict[str, Any]


def kind_schema(
    kind: type[Kind], field: Callable[[Schema], Schema] = lambda schema: schema, *, drawn: Collection[str] = ()
) -> Schema:
    """JSON Schema 2020-12 of the table of a kind, ``{"kind": ..., field: value, ...}``.

    Parameters
    ----------
    kind
        The kind.
    field
        What may stand for a field, from the schema of its value.
    drawn
        Fields that need not be given, although the record needs them.
    """
    schema = kind.model_json_schema()
    required = [name for name in schema.get("required", ()) if name not in drawn]
    fields = {name: field(value) for name, value in schema.get("properties", {}).items()}
    return {
        "type": "object",
        "description": (inspect.getdoc(kind) or kind.kind).partition("\n")[0],
        "required": ["kind", *required],
        "properties": {"kind": {"const": kind.kind}, **fields},
    }


def summary(record: type[Record]) -> str:
    """The first sentence of a record's documentation, on one line and without marks of its formatting."""
    paragraph = " ".join((record.__doc__ or "").strip().partition("\n\n")[0].split())
    paragraph = re.sub(r":\w+:`~?([^`]+)`", r"\1", paragraph).replace("``", "")
    return re.sub(r"(?<!\S)\*(\w[^*]*)\*", r"\1", paragraph).rstrip(".")
