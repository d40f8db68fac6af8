"""Descriptions of records and their fields: as text for listings, and as a JSON Schema for editors."""

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
        Maps the schema of a field's value to that of what may be given for it.
    drawn
        Fields that are optional although the record needs them.
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
    """The first sentence of a record's documentation, on one line and without markup."""
    paragraph = " ".join((record.__doc__ or "").strip().partition("\n\n")[0].split())
    paragraph = re.sub(r":\w+:`~?([^`]+)`", r"\1", paragraph).replace("``", "")
    return re.sub(r"(?<!\S)\*(\w[^*]*)\*", r"\1", paragraph).rstrip(".")
