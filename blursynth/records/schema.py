"""Descriptions of records and their fields: as text for listings, and as a JSON Schema for editors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from typing import Any

from blursynth.records.kind import Kind

__all__ = ["kind_schema", "plain", "summary"]

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
        "description": summary(kind) or kind.kind,
        "required": ["kind", *required],
        "properties": {"kind": {"const": kind.kind}, **fields},
    }


def summary(record: type[object]) -> str:
    """The first paragraph of the documentation of a record (or another class), on one line and without markup."""
    paragraph = " ".join((inspect.getdoc(record) or "").partition("\n\n")[0].split())
    return re.sub(r"(?<!\S)\*(\w[^*]*)\*", r"\1", plain(paragraph)).rstrip(".")


def plain(text: str) -> str:
    """Text without documentation markup.

    >>> plain("See :class:`~blursynth.core.Draw`: ``y = k * x``.")
    'See Draw: y = k * x.'
    """
    text = re.sub(r":[a-z:]+:`~[^`]*?([^`.]+)`", r"\1", text)
    text = re.sub(r":[a-z:]+:`([^`<]*?)(?: <[^`>]*>)?`", r"\1", text)
    return text.replace("``", "")
