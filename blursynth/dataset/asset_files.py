"""``assets/<digest>.npy``: the measured kernels, paths and curves that a data set's recipe refers to."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np

from blursynth.dataset.files import read_bounded, write_unless_same
from blursynth.errors import DatasetError, InvalidValueError
from blursynth.io import assets
from blursynth.io.object_store import Place

__all__ = ["asset_names", "asset_path", "load_assets", "read_asset", "save_assets"]

ASSET_BYTES = 2**28  # of one array
_ASSET = re.compile("sha256:[0-9a-f]{64}")
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '<f8', 'fortran_order': False, 'shape': \(([0-9, ]{1,400})\), \} *\n", re.DOTALL
)


def asset_names(recipe: Any) -> tuple[str, ...]:
    """Names of the arrays anywhere in a recipe (as plain values), sorted."""
    return tuple(sorted(_names(recipe)))


def _names(values: Any) -> set[str]:
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list | tuple):
        return set().union(*(_names(v) for v in values))
    return {values} if isinstance(values, str) and _ASSET.fullmatch(values) else set()


def asset_path(out: Place, name: str) -> Place:
    return out / "assets" / f"{name.removeprefix('sha256:')}.npy"


def save_assets(recipe: Any, out: Place) -> None:
    """Write the arrays of a recipe that are missing or damaged in a data set."""
    if names := asset_names(recipe):
        (out / "assets").mkdir(exist_ok=True)
    for name in names:
        write_unless_same(asset_path(out, name), _encoded(assets.get(name)))


def load_assets(recipe: Any, out: Place) -> None:
    """Register the arrays of a recipe; other arrays in the folder are not read."""
    for name in asset_names(recipe):
        read_asset(name, out)


def read_asset(name: str, out: Place) -> None:
    """Register one array if its file is unchanged, byte for byte."""
    path = asset_path(out, name)
    fix = "Run blursynth repair, which restores it from its copy, or the command that made the data set."
    try:
        data = read_bounded(path, ASSET_BYTES)
        array = _decoded(data)
        known = assets.register(array)
    except FileNotFoundError:
        raise DatasetError(f"{path}: is missing.", why="The draws refer to it.", fix=fix) from None
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).", fix=fix) from None
    except (ValueError, InvalidValueError) as error:
        raise DatasetError(f"{path}: is damaged ({error}).", fix=fix) from None
    if known != name or _encoded(array) != data:
        raise DatasetError(f"{path}: its content does not match its name.", fix=fix)


def _encoded(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _decoded(data: bytes) -> Any:
    """The array of a file. numpy's reader would parse the header as Python and allocate whatever it claims."""
    found = _HEADER.match(data)
    if found is None:
        raise ValueError("its header is not that of an array of float64")
    shape = tuple(int(number) for number in found[1].split(b",") if number.strip())
    if math.prod(shape) * 8 != len(data) - found.end():
        raise ValueError("its header and its size disagree")
    return np.frombuffer(data, np.float64, offset=found.end()).reshape(shape)
