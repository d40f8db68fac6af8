"""Measured kernels and recorded paths: arrays that are named by their content.

A record holds only plain values, so it refers to an array by its digest, ``sha256:<64 hex digits>``. Data sets contain
the arrays that their draws refer to (``assets/<digest>.npy``), so that a record replays without the original files.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import itertools
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError, RecipeError
from blursynth.io.folders import expanded

__all__ = ["get", "origin", "register", "resolve"]

# Content-addressed, so two entries of one name are equal and the order of registration does not matter.
_ARRAYS: dict[str, NDArray[np.float64]] = {}
# Only for messages: the file that a recipe gave.
_ORIGINS: dict[str, str] = {}


def _digest(array: NDArray[np.float64]) -> str:
    head = f"float64 {array.shape}\n".encode()
    return "sha256:" + hashlib.sha256(head + array.tobytes()).hexdigest()


def register(array: Any) -> str:
    """Remember an array and return its name.

    >>> register([[0.0, 1.0]]) == register(np.array([[0.0, 1.0]]))
    True
    """
    plain = np.ascontiguousarray(array, np.float64).copy()
    if plain.size == 0 or not np.isfinite(plain).all():
        raise InvalidValueError(
            f"A measured array (kernel, path or curve) must be non-empty and finite, got shape {plain.shape}"
            f"{'' if np.isfinite(plain).all() else ' with NaN or infinite values'}.",
            fix="" if np.isfinite(plain).all() else "Remove these values, or measure them again.",
        )
    plain.flags.writeable = False
    name = _digest(plain)
    _ARRAYS.setdefault(name, plain)
    return name


def get(name: str) -> NDArray[np.float64]:
    """The array with a name.

    Raises
    ------
    InvalidValueError
        It is not known in this process.
    """
    if name not in _ARRAYS:
        raise InvalidValueError(
            f"The array {name[:19]}... is not loaded.",
            fix="Open the data set that it belongs to, or register it with blursynth.assets.register.",
        )
    return _ARRAYS[name]


def origin(name: str) -> str:
    """The origin of an array: the file given in a recipe, or the beginning of its name.

    >>> origin(register([[0.0, 2.0]]))[:12]
    'array sha256'
    """
    return _ORIGINS.get(name, f"array {name[:19]}...")


def resolve(values: Any, folder: Path | None, *, field: str = "") -> Any:
    """Replace ``{ file = "kernel.npy" }`` and ``{ files = "kernels.mat" }`` in a recipe by names of arrays.

    ``file`` is one array; ``files`` a choice among all arrays of all files that a glob matches. Paths are relative to
    the recipe's own folder. ``field`` is what they are given for, and is named in messages.

    Raises
    ------
    RecipeError
        There is no such file, it is not a regular file, or a glob reaches too far: see :func:`_readable`.
    """
    if isinstance(values, Mapping):
        if set(values) == {"file"} or set(values) == {"files"}:
            from blursynth.io.arrays import read_arrays  # decoders are loaded only when a recipe has such files

            (key,) = values
            pattern = values[key]
            if not isinstance(pattern, str) or not pattern or "\0" in pattern:
                raise RecipeError(f"{key}: must be the path of a file, got {pattern!r}.")
            base = folder or Path()
            paths = _readable(f"{key} = {pattern!r}", base, pattern)
            names = [name for path in paths for name in _register_all(read_arrays(path), _shown(path, base), field)]
            if key == "file" and len(names) != 1:
                raise RecipeError(
                    f"file = {pattern!r}: holds {len(names)} arrays.", fix="Write files = ... to draw one of them."
                )
            return names[0] if key == "file" else {"choice": names}
        return {key: resolve(value, folder, field=str(key)) for key, value in values.items()}
    if isinstance(values, list):
        return [resolve(value, folder, field=field) for value in values]
    return values


# Recipes are passed on, and what they read goes into data sets that are passed on in turn. So a recipe may read:
# - any regular file that it names in full, beside it or elsewhere, so that every reader of the recipe sees which;
# - by wildcards what lies in its own folder and below, and elsewhere only files of one folder that it names in full
#   ("/data/kernels/*.npy", but neither "/**/*.npy" nor "/home/*/a.npy" nor "../*/a.npy");
# - never devices and pipes, which may not end, and no more than the bounds here, which are far above any bank of
#   kernels. Linked folders are not walked.
_MOST_ENTRIES, _MOST_FILES, _MOST_BYTES = 100_000, 10_000, 2**30


def _readable(given: str, base: Path, pattern: str) -> list[Path]:
    """The files of a path or glob that a recipe gives, within the bounds above."""
    pattern = str(expanded(pattern))
    exact = base / pattern
    if exact.exists():
        paths = [exact]
    else:
        parts = Path(pattern).parts
        fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        if fixed < len(parts) - 1 and (Path(pattern).is_absolute() or ".." in parts):
            raise RecipeError(
                f"{given}: wildcards for folders are only allowed below the folder of the recipe.",
                why="A recipe from an untrusted source must not search the disk.",
                fix="Name the folder in full, with wildcards only in the file name, or copy the files to the recipe.",
            )
        paths = sorted(set(_matches(given, base.joinpath(*parts[:fixed]), parts[fixed:], [0])))
    if not paths:
        raise RecipeError(f"{given}: no such file in {base.resolve()}.", fix="Check the path.")
    if len(paths) > _MOST_FILES:
        raise RecipeError(f"{given}: matches {len(paths):,} files, more than {_MOST_FILES:,}.", fix="Select fewer.")
    size = 0
    for path in paths:
        try:
            about = path.stat()
        except OSError as error:
            raise RecipeError(f"{given}: {path} cannot be read ({error.strerror}).", fix="Check the path.") from None
        if not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):  # of folders the reader tells
            raise RecipeError(f"{given}: {path} is a device or a pipe, not a file.", fix="Check the path.")
        size += about.st_size
    if size > _MOST_BYTES:
        raise RecipeError(
            f"{given}: holds {size:,} bytes, more than the {_MOST_BYTES // 2**20:,} MiB that a recipe may read.",
            fix="Kernels, paths and curves are small: check that these are such files, or select fewer.",
        )
    return paths


def _matches(given: str, folder: Path, parts: Sequence[str], seen: list[int]) -> Iterator[Path]:
    """What a glob matches below a folder, as :mod:`glob` has it, but for links to folders; ``seen`` counts entries."""
    if not parts:
        return
    head, rest = parts[0], parts[1:]
    if head == "**" and rest:
        yield from _matches(given, folder, rest, seen)
    elif not glob.has_magic(head):
        if (folder / head).exists():
            if rest:
                yield from _matches(given, folder / head, rest, seen)
            else:
                yield folder / head
        return
    try:
        with os.scandir(folder) as entries:
            room = _MOST_ENTRIES - seen[0]
            names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in itertools.islice(entries, room + 1)]
    except OSError:  # no folder, or none that may be read: as glob, which finds nothing there
        return
    seen[0] += len(names)
    if seen[0] > _MOST_ENTRIES:
        raise RecipeError(
            f"{given}: there are more than {_MOST_ENTRIES:,} files and folders to look through.",
            fix="Name the folder more precisely.",
        )
    for name, is_folder in sorted(names):
        if name.startswith(".") and not head.startswith("."):
            continue
        if head == "**":
            if is_folder:
                yield from _matches(given, folder / name, parts, seen)
            elif not rest:
                yield folder / name
        elif fnmatch.fnmatch(name, head):
            if not rest:
                if not is_folder:
                    yield folder / name
            elif is_folder:
                yield from _matches(given, folder / name, rest, seen)


def _shown(path: Path, base: Path) -> str:
    """A path as the recipe gave it."""
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def _register_all(arrays: list[NDArray[np.float64]], file: str, field: str) -> list[str]:
    names = []
    for number, array in enumerate(arrays, 1):
        place = file if len(arrays) == 1 else f"{file} (array {number} of {len(arrays)})"
        try:
            name = register(array)
        except InvalidValueError as error:
            raise error.at(f"{field}: {place}" if field else place) from None
        _ORIGINS[name] = place
        names.append(name)
    return names
