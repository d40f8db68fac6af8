"""The folder of a data set while it is written: check that it is still the same one, and remove leftover files.

A share may be unmounted, or a folder removed, renamed or replaced while shards are made. Files would then be written to
another place, such as the disk below the mount point. The folder of a data set is therefore never created again once
work has started, and every writer checks that it is still the same one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from blursynth.dataset.files import JSON_BYTES, read_bounded, sha256_hex, sweep_locks
from blursynth.errors import DatasetError
from blursynth.io.atomic import PARTIAL, sync_folder, writer_is_gone
from blursynth.io.object_store import Place

__all__ = ["DatasetFolder", "sweep", "sweep_left_over"]


@dataclass(frozen=True)
class DatasetFolder:
    """A folder as it was when the work started: its place on the disk, and the content of its description file."""

    path: Place  # absolute, so that it is the same folder in workers that were started elsewhere
    description_sha256: str
    description: str  # name of this file
    _folder: tuple[int, int]
    _seen: list[tuple[object, ...]] = field(default_factory=list, compare=False)

    @classmethod
    def begun(
        cls, path: Place, *, description: str = "dataset.json", description_sha256: str | None = None
    ) -> DatasetFolder:
        """The folder as it is now; it must have this description if another process started the work."""
        path = Path(os.path.abspath(path)) if isinstance(path, Path) else path
        try:
            identity = _identity(path)
            sha256 = sha256_hex(read_bounded(path / description, JSON_BYTES))
        except OSError:
            raise _gone(path) from None
        if description_sha256 not in (None, sha256):
            raise _gone(path)
        return cls(path, sha256, description, identity)

    def is_same(self) -> bool:
        """Whether the path still leads to this folder."""
        description = self.path / self.description
        try:
            if _identity(self.path) != self._folder:
                return False
            seen: tuple[object, ...]
            if isinstance(description, Path):
                state = description.stat()
                seen = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
            else:
                seen = description.state()
            if seen not in self._seen:  # hashed once, unless it changes
                if sha256_hex(read_bounded(description, JSON_BYTES)) != self.description_sha256:
                    return False
                self._seen[:] = [seen]
        except OSError:
            return False
        return True

    def check(self) -> None:
        """Refuse to continue if the folder was removed, renamed, replaced or unmounted."""
        if not self.is_same():
            raise _gone(self.path)

    def make(self, folder: Place) -> None:
        """Make a folder inside the data set, with its parents; the folder of the data set itself is never made."""
        if not isinstance(folder, Path):
            return  # objects have none
        missing = []
        for parent in (folder, *folder.parents):
            if parent == self.path or parent.is_dir():
                break
            missing.append(parent)
        if missing:
            self.check()
        for parent in reversed(missing):
            try:
                os.mkdir(parent)
            except FileExistsError:  # another worker was faster
                continue
            sync_folder(parent.parent)


def _identity(path: Place) -> tuple[int, int]:
    """Which folder it is; the names of objects say all of it."""
    if not isinstance(path, Path):
        return (0, 0)
    state = path.stat()
    return (state.st_dev, state.st_ino)


def _gone(path: Place) -> DatasetError:
    return DatasetError(
        f"{path}: is no longer the folder in which this work was started.",
        why="It was removed, renamed, replaced or unmounted, and nothing should be written elsewhere.",
        fix="Bring it back and run the command again (finished work there is kept), or start over.",
    )


def sweep(out: Place, shards: range, arrays: tuple[str, ...]) -> int:
    """Remove leftovers of interrupted writers of these shards, for the holder of their lock; returns the file count."""
    if not isinstance(out, Path):
        return 0  # an object is written as a whole or not at all
    found = []
    for folder in (out / "manifest", out / "draws"):
        for path in _partials(folder.glob(f"*{PARTIAL}")):
            head = path.name.partition(".")[0]
            if head.isdigit() and int(head) in shards:
                found.append(path)
    for array in arrays:
        for folder in _partials((out / array / "c").glob("*")):  # of a million shards a few may have been begun
            if folder.name.isdigit() and int(folder.name) in shards:
                found += _partials(folder.rglob(f"*{PARTIAL}"))
    return _remove(found)


def sweep_left_over(out: Place) -> int:
    """Remove leftovers and locks of dead writers, anywhere in the data set; returns the number of files."""
    if not isinstance(out, Path):
        return 0
    found = [path for path in _partials(out.rglob(f"*{PARTIAL}")) if writer_is_gone(path)]
    return _remove(found) + sweep_locks(out)


def _partials(paths: Iterator[Path]) -> list[Path]:
    found: list[Path] = []
    with suppress(OSError):  # not there, or meanwhile removed by another process
        found.extend(paths)
    return found


def _remove(paths: list[Path]) -> int:
    removed = 0
    for path in paths:
        with suppress(OSError):  # on a read-only disk leftovers stay and do no harm
            path.unlink()
            removed += 1
    return removed
