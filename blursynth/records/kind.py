"""Records of plain, validated values, and kinds: records with a name that files and command lines refer to.

A degradation in a recipe, a network, a loss, a metric, a classical method: each is a record of its parameters with the
name of its kind, ``{"kind": "disk_blur", "diameter_px": 5.0}``. This module defines how kinds are named, looked up,
created and written. Records may hold records, as a TOML file holds tables.
"""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PlainValidator, ValidationError

from blursynth.errors import MISSING, Alone, Argument, BlursynthError, InvalidValueError, Message, did_you_mean, joined

__all__ = ["Kind", "Record", "among", "find_kind", "make", "snake", "unknown_field"]

# Words for pydantic's error types, so that all messages have the same style.
_BOUNDS = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}
_TYPES = {
    "float_type": "a number",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "bool_type": "true or false",
    "string_type": "a string",
    "finite_number": "a finite number",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}


class Record(BaseModel, ABC):
    """An immutable record of plain values in physical units, which maps to JSON and is compared by value.

    Validation is strict: ``"2"`` is not a number and ``true`` is not 1; unknown fields, NaN and infinities are refused.
    As in files, a field that is itself a record may be given as a table, and a tuple as a list.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    names_arguments: ClassVar[bool] = False
    """Whether its fields are the parameters of a call, which a command line shows as its options."""

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**{name: _taken(value) for name, value in fields.items()})
        except ValidationError as error:
            raise joined(_faults(type(self), error)) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> Any:
        schema = handler(source)
        model: Any = handler.resolve_ref_schema(schema)
        while model["type"] != "model":  # it is wrapped in validators of the whole record
            model = model["schema"]
        model["strict"] = False  # tables are accepted as records; their content stays strict
        return schema

    @classmethod
    def faults(cls, fields: Mapping[str, Any]) -> tuple[InvalidValueError, ...]:
        """The errors of these fields, one for each; empty if they make a valid record."""
        taken = {name: _taken(value) for name, value in fields.items()}
        try:
            cls.__pydantic_validator__.validate_python(taken, self_instance=cls.__new__(cls))
        except ValidationError as error:
            return _faults(cls, error)
        return ()

    def replace(self, **changes: Any) -> Self:
        """The same record with some fields changed, validated again."""
        return type(self)(**{**self.fields(), **changes})

    def fields(self) -> dict[str, Any]:
        """Field names and values, in the order of declaration."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    def to_dict(self, *, defaults: bool = True) -> dict[str, Any]:
        """Fields as plain values, as in JSON and TOML; without ``defaults``, only those that differ from them."""
        return {
            name: _given(value, defaults)
            for name, value in self.fields().items()
            if defaults or self._is_needed(name, value)
        }

    def _is_needed(self, name: str, value: Any) -> bool:
        field = type(self).model_fields[name]
        return field.is_required() or bool(value != field.get_default(call_default_factory=True))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.fields().items())})"

    __str__ = __repr__


def _taken(value: Any) -> Any:
    """A value as strict fields accept it: NumPy scalars as Python numbers, lists from files as tuples."""
    if isinstance(value, np.generic):
        return value.item()
    return tuple(map(_taken, value)) if isinstance(value, list | tuple) else value


def _given(value: Any, defaults: bool) -> Any:
    """A value of a record in the form of JSON and TOML."""
    if isinstance(value, Record):
        return value.to_dict(defaults=defaults)
    if isinstance(value, tuple):
        return [_given(item, defaults) for item in value]
    return {key: _given(item, defaults) for key, item in value.items()} if isinstance(value, dict) else value


def _faults(record: type[Record], error: ValidationError) -> tuple[InvalidValueError, ...]:
    found = error.errors(include_url=False)
    # Unknown fields come first, since a misspelled one is the cause of a missing one.
    return tuple(_fault(record, item) for item in sorted(found, key=lambda item: item["type"] != "extra_forbidden"))


def unknown_field(record: type[Record], name: str, value: object, others: Collection[str] = ()) -> InvalidValueError:
    """The error of a field that a record does not have; ``others`` are known where it was given."""
    return InvalidValueError(
        (Alone(f"{record.__name__} "), f"has no field {name!r}."),
        fix=did_you_mean(name, (*record.model_fields, *others)),
        field=name,
        value=value,
    )


def _fault(record: type[Record], item: Any) -> InvalidValueError:
    """A pydantic error as an error of this library: what, got, why, fix."""
    keys, sort, got, context = item["loc"], item["type"], item["input"], item.get("ctx", {})
    inner = context.get("error")
    if not keys:  # raised by a validator of the whole record
        return _said(Alone(f"{record.__name__}: "), inner or item["msg"])
    name = str(keys[0])
    if isinstance(inner, BlursynthError) and isinstance(got, Mapping):  # a nested table
        return inner.at(_table(keys), InvalidValueError)
    owner = Alone(f"{record.__name__}.")
    if isinstance(inner, BlursynthError):  # the error already includes the value
        said = (Argument(name), ": ") if record.names_arguments else (owner, f"{name}: ")
        return _said(*said, inner, field=name, value=got)
    if sort == "extra_forbidden":
        return unknown_field(record, name, got)
    field = record.model_fields.get(name)
    if sort == "model_type":  # an entry of a table or an array, by its dotted name
        name = ".".join(map(str, keys))
    subject: tuple[str | Argument | Alone, ...] = (Argument(name),) if record.names_arguments else (owner, name)
    meaning = (field.description or "").rstrip(".") if field is not None else ""
    what: Message
    why = fix = ""
    if hasattr(got, "shape"):  # an array would fill the screen
        got = Described(f"an array of shape {tuple(got.shape)}")
    value = item["input"]
    if sort == "missing" and not keys[1:]:
        value = MISSING
        what = (Alone(f"{record.__name__} "), f"needs {name}{f' ({meaning})' if meaning else ''}.")
        fix = "Give it a value."
    elif sort == "literal_error":
        what = (*subject, f" must be {context['expected']}, got {got!r}.")
        fix = "" if isinstance(got, str) else "It is a string, so put it in quotes."
    elif sort == "string_pattern_mismatch" and "sha256" in context["pattern"]:
        what = (*subject, f" must be the name of an array, got {got!r}.")
        fix = (
            'In a recipe write { file = "name.npy" }; in Python the name is what blursynth.assets.register(array) '
            "returns."
        )
    elif sort in _TYPES and hasattr(got, "sample"):
        what = (*subject, f" must be {_TYPES[sort]}, got the distribution {got!r}.")
        why = "A degradation holds plain numbers."
        fix = f"To draw them, write Random({record.__name__}, {name}=...) in a recipe."
    elif sort == "string_type" and isinstance(got, Described):
        what = (*subject, f" must be a name, got {got}.")
        fix = "Give what blursynth.assets.register(array) returns."
    elif sort == "tuple_type" and isinstance(got, Mapping):
        what = (*subject, " must be an array of tables, got one table.")
        fix = f"Write [[{name}]] with double brackets."
    elif sort in _BOUNDS or sort in _TYPES:
        bound = " ".join([_BOUNDS[sort], *map(str, context.values())]) if sort in _BOUNDS else _TYPES[sort]
        what = (*subject, f" must be {bound}, got {got!r}.")
        why = f"It is the {meaning}." if meaning else ""
    elif sort == "missing":
        what = (*subject, f" has too few entries, got {got!r}.")
    elif sort in ("too_short", "too_long"):
        bound = f"at least {context['min_length']}" if sort == "too_short" else f"at most {context['max_length']}"
        what = (*subject, f" must have {bound} entries, got {context['actual_length'] or 'none'}.")
    else:
        what = (*subject, f": {inner or item['msg']}, got {got!r}.")
    return InvalidValueError(what, why=why, fix=fix, field=name, value=value)


def _said(*parts: Any, field: str = "", value: Any = MISSING) -> InvalidValueError:
    """The error raised by a validator, preceded by its subject."""
    *before, found = parts
    if not isinstance(found, BlursynthError):
        return InvalidValueError((*before, str(found)), field=field, value=value)
    if found.place:  # which already includes the subject
        return found.at("", InvalidValueError)
    return InvalidValueError(
        (*before, found.what), why=found.why, fix=found.fix, field=field or found.field, value=found.value
    )


def _table(keys: Sequence[str | int]) -> str:
    """The location of a table in a file: ``[data.street]``, ``[[stage]] 2``."""
    *tables, last = map(str, keys)
    return f"[[{'.'.join(tables)}]] {keys[-1] + 1}" if isinstance(keys[-1], int) else f"[{'.'.join([*tables, last])}]"


class Described(str):
    """A description that replaces a value in a message."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def snake(name: str) -> str:
    """``GaussianBlur`` as ``gaussian_blur``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Kind(Record):
    """A record with a name that files and command lines refer to: by default that of the class in snake case.

    >>> class WideBlur(Kind):
    ...     width_px: float
    >>> WideBlur(width_px=2.0).to_dict()
    {'kind': 'wide_blur', 'width_px': 2.0}
    """

    kind: ClassVar[str]
    suffix: ClassVar[str] = ""
    """Suffix of class names that is not part of the kind's name."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" not in cls.__dict__:
            cls.kind = snake(cls.__name__.removesuffix(cls.suffix))

    @classmethod
    def from_fields(cls, **fields: Any) -> Self:
        """The record from the fields beside ``kind`` in a table."""
        return cls(**fields)

    def to_dict(self, *, defaults: bool = True) -> dict[str, Any]:
        """Kind and fields as plain values, as in JSON and TOML."""
        return {"kind": self.kind, **super().to_dict(defaults=defaults)}


K = TypeVar("K", bound=Kind)


def make(values: object, kinds: Iterable[type[K]], *, noun: str = "kind") -> K:
    """A record from a table ``{"kind": ..., field: value, ...}``.

    Parameters
    ----------
    values
        The table.
    kinds, noun
        See :func:`find_kind`.

    Raises
    ------
    InvalidValueError
        There is no such kind, or a field is unknown, missing or out of range.
    """
    if not isinstance(values, Mapping):
        what = f"{_article(noun)} {noun} must be a table with its kind, got {values!r}."
        raise InvalidValueError(what, fix='Write { kind = "...", ... }.', value=values)
    fields = dict(values)
    return find_kind(fields.pop("kind", None), kinds, noun=noun).from_fields(**fields)


def among(kinds: Iterable[type[Kind]], *, noun: str) -> PlainValidator:
    """Annotation for a field that holds a record of one of these kinds, which may be given as a table."""
    known = tuple(kinds)
    return PlainValidator(lambda value: value if isinstance(value, Kind) else make(value, known, noun=noun))


def _article(noun: str) -> str:
    return "An" if noun[0] in "aeiou" else "A"


def find_kind(
    name: object,
    kinds: Iterable[type[K]],
    *,
    noun: str = "kind",
    synonyms: Mapping[str, Sequence[str]] | None = None,
    error: type[BlursynthError] = InvalidValueError,
) -> type[K]:
    """The kind with a name.

    Parameters
    ----------
    name
        The name in a file or on a command line.
    kinds
        The kinds to choose from.
    noun
        Noun for such a kind in messages: "loss", "network".
    synonyms
        Other words and the kinds they stand for, for the message.
    error
        Class of the error if there is no such kind; its message suggests what may be meant.
    """
    known = {k.kind: k for k in kinds}
    if isinstance(name, str) and name in known:
        return known[name]
    if not isinstance(name, str):
        needs = (Alone(f"{_article(noun)} {noun} "), "needs a kind.")
        raise error(
            needs if name is None else f"There is no {noun} {name!r}.",
            fix=f"Known: {', '.join(sorted(known))}.",
            field="kind",
            value=name,
        )
    fix = _meant(name, known, synonyms or {})
    raise error(f"There is no {noun} {name!r}.", fix=fix, field="kind", value=name)


def _meant(name: str, known: Mapping[str, type[Kind]], synonyms: Mapping[str, Sequence[str]]) -> str:
    """What an unknown name may mean: a family, a synonym for some kinds, or a misspelled kind."""
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
