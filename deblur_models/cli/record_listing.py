"""Listings of a record: its summary and its fields."""

from __future__ import annotations

from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from blursynth.cli import console
from blursynth.records.kind import Record
from blursynth.records.schema import summary

__all__ = ["show_fields"]


def show_fields(record: type[Record]) -> None:
    """Print the summary of a record, and its fields."""
    console.echo(summary(record))
    console.table(
        ("field", "default", "description"),
        [
            (name, "required" if field.is_required() else field.default, (field.description or "") + _choices(field))
            for name, field in record.model_fields.items()
        ],
    )


def _choices(field: FieldInfo) -> str:
    """The values of a field that has a few: `` (one of adamw, adam)``."""
    if get_origin(field.annotation) is not Literal:
        return ""
    return f" (one of {', '.join(map(str, get_args(field.annotation)))})"
