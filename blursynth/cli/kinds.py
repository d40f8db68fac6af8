"""``blursynth kinds``: the kinds of steps that a recipe can have, and their fields."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blursynth.cli import console

if TYPE_CHECKING:
    from blursynth.core import Degradation

EPILOG = """\b
Examples:
  blursynth kinds
  blursynth kinds sensor
"""


def command(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Describe this kind in full.")] = None,
) -> None:
    """List the kinds of steps, or describe one.

    A kind's fields are shown with units, ranges and defaults.
    """
    from blursynth.degradations import ALL
    from blursynth.degradations.synonyms import SYNONYMS
    from blursynth.records.kind import find_kind
    from blursynth.records.schema import plain, summary

    if name is None:
        rows = [(kind.kind, _change(kind), summary(kind)) for kind in ALL]
        console.table(("kind", "frame", "description"), rows)
        console.echo("blursynth kinds NAME shows the fields of a kind.")
        return
    kind = find_kind(name, ALL, synonyms=SYNONYMS)
    console.echo(f"{kind.kind}   {_change(kind)}\n")
    console.echo(plain(inspect.getdoc(kind) or ""))
    fields = list(describe_fields(kind))
    if fields:
        console.table(("field", "unit", "range", "default", "meaning"), fields)
    else:
        console.echo("\nIt has no fields.")


def _change(kind: type[Degradation]) -> str:
    if kind.takes is None:
        return "any"
    return str(kind.takes) if kind.takes is kind.gives else f"{kind.takes} -> {kind.gives}"


def describe_fields(kind: type[Degradation]) -> list[tuple[str, str, str, str, str]]:
    """(name, unit, range, default, meaning) of every field."""
    from blursynth.records.units import split_unit

    schema = kind.model_json_schema()
    required = set(schema.get("required", ()))
    rows = []
    for name, field in schema.get("properties", {}).items():
        if name == "seed":
            default = "drawn"
        elif name in required:
            default = "needed"
        else:
            default = "-" if field.get("default") is None else str(field["default"]).lower()
        rows.append((name, split_unit(name)[1] or "-", _range(field), default, field.get("description", "")))
    return rows


def _range(field: dict[str, Any]) -> str:
    """The values that a field accepts, as an interval or a list."""
    for option in field.get("anyOf", ()):
        if option.get("type") != "null":
            return _range(option)
    if "enum" in field:
        return ", ".join(str(v) for v in field["enum"])
    if field.get("type") == "boolean":
        return "true, false"
    if field.get("type") == "string":
        return "array" if "sha256" in field.get("pattern", "") else "text"
    low, high = field.get("minimum"), field.get("maximum")
    left = f"[{_short(low)}" if low is not None else f"({_short(field.get('exclusiveMinimum', '-inf'))}"
    right = f"{_short(high)}]" if high is not None else f"{_short(field.get('exclusiveMaximum', 'inf'))})"
    whole = " integer" if field.get("type") == "integer" else ""
    return f"{left}, {right}{whole}"


def _short(bound: Any) -> str:
    return "2^63" if bound == 2**63 else f"{bound:,.10g}" if isinstance(bound, int | float) else str(bound)
