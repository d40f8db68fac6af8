"""``copies/``: a second copy of the files of a data set that nothing else in it implies.

Shards, manifests, the index, the card and the zarr metadata can be made again from ``dataset.json`` and the sources.
``dataset.json`` itself, the arrays of its recipe and the list of unused inputs cannot, so they are stored twice.
"""

from __future__ import annotations

from pathlib import Path

from blursynth.dataset.asset_files import ASSET_BYTES, asset_names, asset_path, read_asset
from blursynth.dataset.files import JSON_BYTES, read_bounded, read_sealed, size_of, write_unless_same
from blursynth.dataset.folder import DatasetFolder
from blursynth.dataset.manifest import relative
from blursynth.dataset.schema import COPIES, Spec, load_spec
from blursynth.dataset.sources import NotUsed
from blursynth.errors import DatasetError
from blursynth.io.object_store import Place

__all__ = ["COPIED_BYTES", "copied_names", "is_whole", "keep_copies", "same_content"]

COPIED_BYTES = max(JSON_BYTES, ASSET_BYTES)  # of one file at most


def copied_names(spec: Spec) -> tuple[str, ...]:
    """Files that have a copy, relative to the data set; the copy has the same path below ``copies/``."""
    assets = (relative(asset_path(Path(), name), Path()) for name in asset_names(spec.recipe))
    return ("dataset.json", "skipped.json", *assets)


def is_whole(folder: Place, name: str) -> bool:
    """Whether a file, in the data set or below ``copies/``, is as it was written; each has its own hash."""
    try:
        if name == "dataset.json":
            load_spec(folder)
        elif name == "skipped.json":
            read_sealed(folder / name, "the list of unused inputs", NotUsed)
        else:
            read_asset(f"sha256:{Path(name).stem}", folder)
    except (DatasetError, OSError):
        return False
    return True


def same_content(out: Place, name: str) -> bool:
    """Whether a file and its copy have the same bytes; an OSError says that one of them cannot be read."""
    one, other = out / name, out / COPIES / name
    if size_of(one) != size_of(other):
        return False
    return read_bounded(one, COPIED_BYTES) == read_bounded(other, COPIED_BYTES)


def keep_copies(folder: DatasetFolder, spec: Spec) -> list[str]:
    """Write the copies that are missing or differ, of files that are whole; returns their names."""
    out, written = folder.path, []
    for name in copied_names(spec):
        try:
            if same_content(out, name):
                continue
        except (DatasetError, OSError):
            pass  # one of them is missing, or is not a regular file
        if not is_whole(out, name):
            continue
        copy = out / COPIES / name
        folder.make(copy.parent)
        write_unless_same(copy, read_bounded(out / name, COPIED_BYTES))
        written.append(relative(copy, out))
    return written
