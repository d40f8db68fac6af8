"""Every error that blursynth raises on purpose, at the top of the tree.

A message says four things: what is wrong, what was got, why it is wrong, and how to fix it.
The values travel with the exception as attributes, so that a program can act on them.

::

    BlursynthError
    ├── InvalidValueError   a number, shape or name outside its range (also a ValueError)
    ├── RecipeError         a recipe that cannot be built (also a ValueError)
    ├── PictureError        a picture or depth file that cannot be used (also a ValueError)
    ├── DatasetError        a data set on disk that is missing, damaged or of another kind (also an OSError)
    └── MissingExtraError   an optional dependency that is not installed (also an ImportError)
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType

__all__ = [
    "BlursynthError",
    "DatasetError",
    "InvalidValueError",
    "MissingExtraError",
    "PictureError",
    "RecipeError",
    "did_you_mean",
    "require",
]


class BlursynthError(Exception):
    """Base of all errors of this library.

    Parameters
    ----------
    what
        The sentence that says what is wrong, with the value that was got.
    why
        The reason, when it is not obvious from ``what``.
    fix
        What to do about it.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        self.what = what
        self.why = why
        self.fix = fix
        super().__init__(" ".join(part for part in (what, why, fix) if part))

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders in the data set workers; the default would drop the keywords.
        return (_rebuild, (type(self), self.what, self.why, self.fix))


def _rebuild(kind: type[BlursynthError], what: str, why: str, fix: str) -> BlursynthError:
    return kind(what, why=why, fix=fix)


class InvalidValueError(BlursynthError, ValueError):
    """A number, shape or name is outside its range."""


class RecipeError(BlursynthError, ValueError):
    """A recipe cannot be built: a misspelt field, an impossible order, a reference to nothing."""


class PictureError(BlursynthError, ValueError):
    """A picture or depth file cannot be used."""


class DatasetError(BlursynthError, OSError):
    """A data set on disk is missing, damaged, unfinished or of another kind."""


class MissingExtraError(BlursynthError, ImportError):
    """An optional dependency is not installed."""


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency or say which extra brings it.

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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The closest known word as a question, or the list of all when none is close.

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
