"""Measured kernels and recorded paths: arrays that are named by their own content.

A record holds plain numbers only, so it refers to an array by its digest, ``sha256:<64 hex digits>``. Data sets carry
the arrays that their draws refer to (``assets/<digest>.npy``), so that a record replays without the files it came
from.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import DatasetError, InvalidValueError, RecipeError
from blursynth.folders import expanded, matches

__all__ = ["get", "load_folder", "origin", "register", "resolve", "save_folder"]

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
            f"A measured array (kernel, path or curve) must be non-empty and of finite numbers, got shape {plain.shape}"
            f"{'' if np.isfinite(plain).all() else ' with NaN or infinite values'}.",
            fix="" if np.isfinite(plain).all() else "Take these values out, or measure them again.",
        )
    plain.flags.writeable = False
    name = _digest(plain)
    _ARRAYS.setdefault(name, plain)
    return name


def get(name: str) -> NDArray[np.float64]:
    """The array of a name.

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
    """Where an array came from, in words: the file that a recipe gave, or the beginning of its name.

    >>> origin(register([[0.0, 2.0]]))[:12]
    'array sha256'
    """
    return _ORIGINS.get(name, f"array {name[:19]}...")


def save_folder(names: Iterable[str], folder: Path) -> None:
    """Write arrays as ``<digest>.npy``; files that are there already are left alone."""
    for name in sorted(set(names)):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name.removeprefix('sha256:')}.npy"
        if not path.exists():
            buffer = io.BytesIO()
            np.save(buffer, get(name), allow_pickle=False)
            partial = path.with_suffix(".partial")
            partial.write_bytes(buffer.getvalue())
            partial.replace(path)


def load_folder(folder: Path) -> tuple[str, ...]:
    """Register every array of a folder, and check that each is what its name says.

    Raises
    ------
    DatasetError
        A file is damaged.
    """
    names = []
    for path in sorted(folder.glob("*.npy")):
        try:
            name = register(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path}: cannot be read ({error}).", fix="Restore it from a backup.") from None
        if name != f"sha256:{path.stem}":
            raise DatasetError(f"{path}: its content is not what its name says.", fix="Restore it from a backup.")
        names.append(name)
    return tuple(names)


def resolve(values: Any, folder: Path | None, *, field: str = "") -> Any:
    """Replace ``{ file = "kernel.npy" }`` and ``{ files = "kernels.mat" }`` in a recipe by names of arrays.

    ``file`` is one array; ``files`` a choice among all arrays of all files that a glob matches. Paths are relative to
    the recipe's own folder. ``field`` is what they are given for, and is named in messages.
    """
    if isinstance(values, Mapping):
        if set(values) == {"file"} or set(values) == {"files"}:
            from blursynth.io import read_arrays  # decoders are loaded only when a recipe has such files

            (key,) = values
            pattern = values[key]
            if not isinstance(pattern, str) or not pattern:
                raise RecipeError(f"{key}: must be the path of a file, got {pattern!r}.")
            base = folder or Path()
            exact = base / expanded(pattern)
            paths = [exact] if exact.exists() else matches(exact)
            if not paths:
                raise RecipeError(f"{key} = {pattern!r}: no such file in {base.resolve()}.", fix="Check the path.")
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
            what = f"{field}: {place}" if field else place
            raise InvalidValueError(f"{what}: {error.what}", why=error.why, fix=error.fix) from None
        _ORIGINS[name] = place
        names.append(name)
    return names
