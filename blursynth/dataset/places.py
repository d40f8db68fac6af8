"""Locations of a data set's sources on this machine. They are not part of the data set, which may be published.

They are stored in the user's state folder (``$XDG_STATE_HOME/blursynth``, by default ``~/.local/state/blursynth``)
under the hash of the data set's request, so that ``resume`` and ``replay`` find the sources wherever the data set is
moved on this machine.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from blursynth.dataset.files import read_json, write_unless_same
from blursynth.dataset.schema import Spec
from blursynth.dataset.sources import DEPTH_ROOT, LABELS_ROOT
from blursynth.errors import Argument, DatasetError
from blursynth.io.atomic import PARTIAL, writer_is_gone
from blursynth.io.folders import as_place, expanded
from blursynth.io.object_store import Place

__all__ = ["remember_roots", "source_roots"]


def remember_roots(spec: Spec, roots: dict[str, str]) -> str:
    """Remember where the sources are; returns a reason if that is impossible, otherwise an empty string."""
    path = _memory(spec)
    if path is None:
        why = "this user has no home folder"
    else:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in path.parent.glob(f"{path.name}.*{PARTIAL}"):
                if writer_is_gone(left):
                    left.unlink(missing_ok=True)
            text = json.dumps({"roots": roots}, indent=1, allow_nan=False) + "\n"
            write_unless_same(path, text.encode())
            return ""
        except (OSError, UnicodeDecodeError) as error:
            why = (
                error.what if isinstance(error, DatasetError) else f"{path}: {getattr(error, 'strerror', '') or error}"
            )
    return (
        f"the location of the sources could not be saved ({why.rstrip('.')}): "
        "give --sources (in Python source_root) to resume, verify and replay"
    )


def source_roots(
    out: Place,
    spec: Spec,
    source_root: str | Path | None,
    depth_root: str | Path | None = None,
    labels_root: str | Path | None = None,
) -> dict[str, str]:
    """Locations of the source pictures and their maps: as given, or as remembered."""
    told = {}
    for key, folder, what in (
        ("", source_root, "sources"),
        (DEPTH_ROOT, depth_root, "depth maps"),
        (LABELS_ROOT, labels_root, "label maps"),
    ):
        if folder is not None:
            place = expanded(folder) if key else as_place(folder)
            if isinstance(place, Path) and not place.is_dir():
                raise DatasetError(f"{folder}: there is no such folder.", fix=f"Check the path of the {what}.")
            told[key] = str(place.resolve() if isinstance(place, Path) else place)
    if source_root is None:
        return {**_remembered(out, spec), **told}
    try:
        known = _remembered(out, spec)
    except DatasetError:  # on another machine, or damaged; the sources were given, and there may be no maps
        known = {}
    return {**{key: known[key] for key in (DEPTH_ROOT, LABELS_ROOT) if key in known}, **told}


def _memory(spec: Spec) -> Path | None:
    """The file with the remembered locations; None if there is no place for it."""
    folder = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(folder):  # relative ones are ignored, as the XDG specification requires
        folder = os.environ.get("LOCALAPPDATA", "") if sys.platform == "win32" else ""
        folder = folder or os.path.expanduser(os.path.join("~", ".local", "state"))
    return Path(folder, "blursynth", "sources", f"{spec.sha256()}.json") if os.path.isabs(folder) else None


def _remembered(out: Place, spec: Spec) -> dict[str, str]:
    path = _memory(spec)
    if path is None or not os.path.exists(path):
        raise DatasetError(
            f"{out}: the location of the source pictures is not known on this machine.",
            fix=("Give their folder with ", Argument("source_root"), "."),
        )
    roots = read_json(path, "the location of the sources").get("roots")
    if not isinstance(roots, dict) or not all(isinstance(v, str) for v in roots.values()):
        raise DatasetError(
            f"{path}: is damaged.", fix=("Give ", Argument("source_root"), ", the folder of the sources.")
        )
    return roots
