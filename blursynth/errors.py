"""Every error that blursynth raises on purpose, in one hierarchy.

A message says four things: what is wrong, which value was given, why it is wrong, and how to fix it.
The values are also attributes of the exception, so that a program can act on them.

::

    BlursynthError
    ├── InvalidValueError   a number, shape or name outside its range (also a ValueError)
    ├── RecipeError         a recipe that cannot be built (also a ValueError)
    ├── PictureError        a picture or depth file that cannot be used (also a ValueError)
    ├── DatasetError        a data set or checkpoint that is missing, damaged or of another kind (also an OSError)
    └── MissingExtraError   an optional dependency that is not installed (also an ImportError)
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from types import ModuleType
from typing import Any, Final, Self, TypeVar, overload

__all__ = [
    "MISSING",
    "Alone",
    "Argument",
    "BlursynthError",
    "DatasetError",
    "InvalidValueError",
    "Message",
    "MissingExtraError",
    "PictureError",
    "RecipeError",
    "demand",
    "did_you_mean",
    "joined",
    "require",
]


E = TypeVar("E", bound="BlursynthError")


class _Missing(Enum):
    """A unique value that stays unique when it is sent to another process."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"

    __str__ = __repr__


MISSING: Final = _Missing.MISSING
"""Stands for "no value", since None is itself a value."""


@dataclass(frozen=True)
class Argument:
    """A parameter named in a message. The command line shows it as the corresponding option.

    >>> str(Argument("size_px")), str(Argument("size_px", 8))
    ('size_px', 'size_px=8')
    """

    name: str
    value: Any = MISSING

    def __str__(self) -> str:
        return self.name if self.value is MISSING else f"{self.name}={self.value!r}"


@dataclass(frozen=True)
class Alone:
    """The subject of a message, such as the class of a field. It is dropped once a place names the subject.

    >>> error = InvalidValueError((Alone("Sensor."), "gain must be > 0, got 0."))
    >>> print(error, "|", error.at("mine.toml [sensor]"))
    Sensor.gain must be > 0, got 0. | mine.toml [sensor]: gain must be > 0, got 0.
    """

    text: str

    def __str__(self) -> str:
        return self.text


Message = str | tuple[str | Argument | Alone, ...]
"""A sentence, split into parts if it names parameters."""


class BlursynthError(Exception):
    """Base class of all errors of this library.

    Parameters
    ----------
    what
        The sentence that says what is wrong, including the value that was given.
    why
        The reason, when it is not obvious from ``what``.
    fix
        What to do about it.
    place
        Location in a file or a composition, such as ``handheld.toml [sensor] full_well_e``. It precedes the sentence.
        Callers that know an outer location add it with :meth:`at`.
    field
        The parameter or field that the error is about; empty if it is not about a single one.
    value
        The value that was given; :data:`MISSING` if there is no single value.

    Examples
    --------
    >>> error = InvalidValueError((Argument("size_px"), " must be >= 8, got 0."), field="size_px", value=0)
    >>> print(error.at("recipe.toml [crop]"))
    recipe.toml [crop]: size_px must be >= 8, got 0.
    >>> error.text(lambda argument: "--size")
    '--size must be >= 8, got 0.'
    """

    def __init__(
        self,
        what: Message,
        *,
        why: Message = "",
        fix: Message = "",
        place: str = "",
        field: str = "",
        value: Any = MISSING,
    ) -> None:
        self._parts = tuple(map(_placed, (what, why, fix))) if place else (what, why, fix)
        self.place, self.field, self.value = place, field, value
        super().__init__(self.text())

    @property
    def what(self) -> str:
        return _written(self._parts[0], str)

    @property
    def why(self) -> str:
        return _written(self._parts[1], str)

    @property
    def fix(self) -> str:
        return _written(self._parts[2], str)

    def text(self, argument: Callable[[Argument], str] = str) -> str:
        """The whole message, with parameters formatted by ``argument``.

        It is not called ``message``: torch passes an argument of this name to errors that have it.
        """
        text = " ".join(part for part in (_written(part, argument) for part in self._parts) if part)
        return f"{self.place}: {text}" if self.place else text

    @overload
    def at(self, place: str) -> Self: ...
    @overload
    def at(self, place: str, kind: type[E]) -> E: ...
    def at(self, place: str, kind: Any = None) -> Any:
        """The same error with an outer location, such as a file, added; optionally as another class of error."""
        what, why, fix = self._parts
        inner = " ".join(part for part in (place, self.place) if part)
        return (kind or type(self))(what, why=why, fix=fix, place=inner, field=self.field, value=self.value)

    def __reduce__(self) -> tuple[object, ...]:
        # Data set workers send errors to another process; the default pickling would drop the keywords.
        return (_rebuild, (type(self), *self._parts, self.place, self.field, self.value))


def _written(message: Message, argument: Callable[[Argument], str]) -> str:
    if isinstance(message, str):
        return message
    return "".join(argument(part) if isinstance(part, Argument) else str(part) for part in message)


def _placed(message: Message) -> Message:
    if isinstance(message, str):
        return message
    return tuple(part for part in message if not isinstance(part, Alone))


def _rebuild(
    kind: type[BlursynthError], what: Message, why: Message, fix: Message, place: str, field: str, value: Any
) -> BlursynthError:
    return kind(what, why=why, fix=fix, place=place, field=field, value=value)


def joined(errors: Sequence[E]) -> E:
    """Combine several errors into one with the attributes of the first; the others follow after its fix."""
    first, *others = errors
    what, why, fix = first._parts
    more: list[str | Argument | Alone] = []
    for message in (fix, *(part for error in others for part in (_headed(error, first.place), *error._parts))):
        more += [*([" "] if more else []), *([message] if isinstance(message, str) else message)] if message else []
    return type(first)(what, why=why, fix=tuple(more), place=first.place, field=first.field, value=first.value)


def _headed(error: BlursynthError, place: str) -> str:
    return f"{error.place}:" if error.place not in ("", place) else ""


class InvalidValueError(BlursynthError, ValueError):
    """A number, shape or name is outside its range. Its attributes are those of :class:`BlursynthError`."""


class RecipeError(BlursynthError, ValueError):
    """A recipe cannot be built: a misspelled field, an impossible order, a dangling reference.

    Its attributes are those of :class:`BlursynthError`.
    """


class PictureError(BlursynthError, ValueError):
    """A picture or depth file cannot be used. Its attributes are those of :class:`BlursynthError`."""


class DatasetError(BlursynthError, OSError):
    """A data set, a run or a checkpoint on disk is missing, damaged, unfinished or of another kind.

    Its attributes are those of :class:`BlursynthError`.
    """


class StoreError(BlursynthError):
    """Object storage cannot be reached or refuses a request: nothing is known about what is stored there.

    It is no OSError, so that nothing that handles a missing or damaged file takes it for one. Its attributes are those
    of :class:`BlursynthError`.
    """


class MissingExtraError(BlursynthError, ImportError):
    """An optional dependency is not installed. Its attributes are those of :class:`BlursynthError`."""


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or raise an error that names the extra to install.

    >>> require("json", extra="torch", purpose="reading JSON").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs the package {module!r}, which is not installed.",
            fix=f"Install it with: pip install {module} (or blursynth with its extra {extra!r}).",
        ) from error


def demand(holds: bool, name: str, got: Any, wanted: str, why: str = "") -> None:
    """Refuse a value: ``name must be wanted, got ...``.

    Raises
    ------
    InvalidValueError
        It does not hold.
    """
    if not holds:
        shown = got.tolist() if hasattr(got, "tolist") else got
        raise InvalidValueError(f"{name} must be {wanted}, got {shown}.", why=why, field=name, value=got)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The closest known word as a question, or the list of all known words if none is close.

    >>> did_you_mean("full_wel_e", ["full_well_e", "bit_depth"])
    "Did you mean 'full_well_e'?"
    >>> did_you_mean("zzz", ["a", "b"])
    "Known: 'a', 'b'."
    """
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(repr(c) for c in choices)}." if choices else "There are none."
