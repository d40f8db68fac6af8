"""Records of plain, validated values, and kinds: records with a name, by which files and command lines call them.

A recipe's degradation, a network, a loss, a metric, a classical method: each is a record of its numbers with the name
of its kind beside them, ``{"kind": "disk_blur", "diameter_px": 5.0}``. How a kind is named, looked up, written and read
is said here once.
"""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from blursynth.errors import MISSING, Argument, BlursynthError, InvalidValueError, did_you_mean

__all__ = ["Kind", "Record", "find_kind", "snake"]

# Words for pydantic's error types, so that every message reads the same way.
_BOUNDS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}
_TYPES = {
    "float_type": "a number",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "bool_type": "true or false",
    "string_type": "a string",
    "finite_number": "a finite number",
}


class Record(BaseModel, ABC):
    """An immutable, flat record of plain numbers in physical units; it is JSON and compares equal.

    Strict: ``"2"`` is not a number and ``true`` is not 1; unknown fields, NaN and infinities are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    names_arguments: ClassVar[bool] = False
    """Whether its fields are the parameters of a call, which messages of a command line write as options."""

    def __init__(self, **fields: Any) -> None:
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in fields.items()}
        try:
            super().__init__(**plain)
        except ValidationError as error:
            raise _explained(type(self), error) from None

    def replace(self, **changes: Any) -> Self:
        """The same record with some fields changed, validated again."""
        return type(self)(**{**self.fields(), **changes})

    def fields(self) -> dict[str, Any]:
        """Field names and values, in the order of declaration."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.fields().items())})"

    __str__ = __repr__


def _explained(kind: type[Record], error: ValidationError) -> InvalidValueError:
    """Pydantic's error in the words of this library: what, got, why, fix."""
    parts: list[str | Argument] = []
    items = error.errors(include_url=False)
    for item in items:
        name = str(item["loc"][0]) if item["loc"] else ""
        field = kind.model_fields.get(name)
        meaning = (field.description or "").rstrip(".") if field is not None else ""
        about = f" It is the {meaning}." if meaning else ""
        got = item.get("input")
        if hasattr(got, "shape"):  # an array would fill the screen
            got = Described(f"an array of shape {tuple(got.shape)}")
        context = item.get("ctx", {})
        sort = item["type"]
        parts += [" "] if parts else []
        if sort == "extra_forbidden":
            parts.append(f"{kind.__name__} has no field {name!r}. {did_you_mean(name, kind.model_fields)}")
            continue
        if sort == "missing":
            parts.append(f"{kind.__name__} needs {name}{f' ({meaning})' if meaning else ''}. Give it a value.")
            continue
        if not name:  # what a validator of the whole record raised
            parts.append(f"{kind.__name__}: {context.get('error', item['msg'])!s}")
            continue
        parts.append(Argument(name) if kind.names_arguments else f"{kind.__name__}.{name}")
        if sort in _BOUNDS:
            key, sign = _BOUNDS[sort]
            parts.append(f" must be {sign} {context[key]}, got {got!r}.{about}")
        elif sort == "literal_error":
            quotes = "" if isinstance(got, str) else " It is a string, so put it in quotes."
            parts.append(f" must be {context['expected']}, got {got!r}.{quotes}")
        elif sort == "string_pattern_mismatch" and "sha256" in context["pattern"]:
            parts.append(
                f' must be the name of an array, got {got!r}. In a recipe write {{ file = "name.npy" }}; in '
                "Python the name is what blursynth.assets.register(array) returns."
            )
        elif sort in _TYPES and hasattr(got, "sample"):
            parts.append(
                f" must be {_TYPES[sort]}, got the distribution {got!r}. A degradation holds plain numbers; "
                f"to draw them write Random({kind.__name__}, {name}=...) in a recipe."
            )
        elif sort == "string_type" and isinstance(got, Described):
            parts.append(f" must be a name, got {got}. Give what blursynth.assets.register(array) returns.")
        elif sort in _TYPES:
            parts.append(f" must be {_TYPES[sort]}, got {got!r}.{about}")
        elif isinstance(context.get("error"), BlursynthError):  # it says itself what it got
            parts.append(f": {context['error']}")
        else:
            parts.append(f": {context.get('error', item['msg'])}, got {got!r}.")
    first = items[0]
    value = MISSING if first["type"] == "missing" else first.get("input", MISSING)
    return InvalidValueError(tuple(parts), field=str(first["loc"][0]) if first["loc"] else "", value=value)


class Described(str):
    """A text that stands for a value in a message."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def snake(name: str) -> str:
    """``GaussianBlur`` as ``gaussian_blur``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Kind(Record):
    """A record with a name, by which files and command lines call it: that of the class in snake case, or its own.

    >>> class WideBlur(Kind):
    ...     width_px: float
    >>> WideBlur(width_px=2.0).to_dict()
    {'kind': 'wide_blur', 'width_px': 2.0}
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" not in cls.__dict__:
            cls.kind = snake(cls.__name__)

    def to_dict(self) -> dict[str, Any]:
        """Kind and fields as plain values, as in JSON and TOML."""
        return {"kind": self.kind, **self.fields()}


K = TypeVar("K", bound=Kind)


def find_kind(
    name: object,
    kinds: Iterable[type[K]],
    *,
    noun: str = "kind",
    synonyms: Mapping[str, Sequence[str]] | None = None,
    error: type[BlursynthError] = InvalidValueError,
) -> type[K]:
    """The kind of a name.

    Parameters
    ----------
    name
        What a file or a command line says.
    kinds
        Those that it may mean.
    noun
        What messages call such a kind: "step", "loss", "network".
    synonyms
        Other words and the kinds that are meant by them, for the message.
    error
        What is raised if there is none; its message says what may be meant.
    """
    known = {k.kind: k for k in kinds}
    if isinstance(name, str) and name in known:
        return known[name]
    if not isinstance(name, str):
        article = "An" if noun[0] in "aeiou" else "A"
        what = f"There is no {noun} {name!r}." if name is not None else f"{article} {noun} needs a kind."
        raise error(what, fix=f"Known: {', '.join(sorted(known))}.", field="kind", value=name)
    fix = _meant(name, known, synonyms or {})
    raise error(f"There is no {noun} {name!r}.", fix=fix, field="kind", value=name)


def _meant(name: str, known: Mapping[str, type[Kind]], synonyms: Mapping[str, Sequence[str]]) -> str:
    """What a name that is no kind may mean: a family, another word for some kinds, or one that is misspelled."""
    word = snake(name.strip()).replace("-", "_").replace(" ", "_")
    families = dict.fromkeys(f for kind in known.values() for f in kind.__mro__ if issubclass(f, Kind))
    for family in families:
        if getattr(family, "kind", None) == word not in known:
            members = sorted(k.kind for k in known.values() if issubclass(k, family))
            if len(members) < len(known):
                return f"{word} is a family: {', '.join(members)}."
    meant = [kind for kind in synonyms.get(word, ()) if kind in known]
    if meant[1:]:
        return f"Did you mean {', '.join(map(repr, meant[:-1]))} or {meant[-1]!r}?"
    return did_you_mean(meant[0] if meant else word, known)
