"""Repair of a data set: make again exactly what is damaged, from whatever is whole."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from blursynth import degradations
from blursynth.core import Degradation
from blursynth.dataset.copies import COPIED_BYTES, copied_names, is_whole, keep_copies
from blursynth.dataset.engine import Engine
from blursynth.dataset.files import is_there, locked, read_bounded, read_json, refuse_links, write_unless_same
from blursynth.dataset.folder import DatasetFolder, sweep_left_over
from blursynth.dataset.generate import Work, checked_workers, make_shards, samples_of, unrecovered, writable
from blursynth.dataset.index import content_digest, read_index, write_index
from blursynth.dataset.manifest import finished_shards, manifest_path, missing_shards
from blursynth.dataset.places import source_roots
from blursynth.dataset.progress import OnProgress
from blursynth.dataset.render import CACHE_BYTES
from blursynth.dataset.schema import COPIES, Spec, load_spec, store_files
from blursynth.dataset.verify import Problem, verify
from blursynth.dataset.writer import Job
from blursynth.errors import DatasetError
from blursynth.io.object_store import Place

__all__ = ["Repair", "repair"]


@dataclass(frozen=True)
class Repair:
    """Result of :func:`repair`.

    Parameters
    ----------
    out
        Folder of the data set.
    files
        Files outside the shards that were written again, relative to ``out``.
    shards
        Shards that were made again.
    problems
        What is left and cannot be mended: files that are not part of the data set, files that have no copy.
    digest
        ``{"pixels": ..., "draws": ...}`` of the finished data set, otherwise empty.
    notes
        Anything unusual, such as workers that died and were replaced.
    """

    out: Place
    files: tuple[str, ...]
    shards: tuple[int, ...]
    problems: tuple[Problem, ...]
    digest: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


def repair(
    out: str | Place,
    *,
    workers: int | None = None,
    source_root: str | Path | None = None,
    depth_root: str | Path | None = None,
    labels_root: str | Path | None = None,
    kinds: Sequence[type[Degradation]] = degradations.ALL,
    engine: Literal["local", "dask"] | Engine = "local",
    any_environment: bool = False,
    cache_bytes: int = CACHE_BYTES,
    on_progress: OnProgress | None = None,
) -> Repair:
    """Make again what :func:`verify` with ``deep`` finds damaged or missing, and nothing else.

    Shards are made from their sources, ``dataset.json``, the list of unused inputs and measured arrays are restored
    from their copies below ``copies/``, and everything else follows from these. The digest stays what it was: a shard
    with other content than its manifest or the index states is an error, and the index is kept then. Files that are
    not part of the data set are reported and left alone. Shards that were never made are not made
    (:func:`~blursynth.dataset.resume` does that).

    Parameters
    ----------
    out
        Folder of the data set.
    workers, kinds, engine, any_environment, cache_bytes, on_progress
        See :func:`~blursynth.dataset.generate`.
    source_root, depth_root, labels_root
        Folders of the source pictures and their maps; by default where they were. They are needed only if a shard is
        damaged.

    Raises
    ------
    DatasetError
        There is no data set; ``dataset.json`` and its copy are damaged; sources are needed and missing or changed;
        what was made differs from what was there; or another process is writing the data set.
    """
    work = Work(checked_workers(workers), engine, any_environment, cache_bytes, on_progress)
    out = writable(out, work)
    refuse_links(out)
    spec, where = _chosen_spec(out)
    notes: list[str] = []
    made: tuple[int, ...] = ()
    with locked(out, 0, spec.shards):
        sweep_left_over(out)
        files = []
        if where != out:
            write_unless_same(out / "dataset.json", read_bounded(where / "dataset.json", COPIED_BYTES))
            files.append("dataset.json")
        folder = DatasetFolder.begun(out)
        files += _restored_files(folder, spec)
        before = verify(out, deep=True, workers=work.workers, on_progress=on_progress)
        # Where there is an index, whatever it holds, all shards were made.
        lost = missing_shards(out, spec) if is_there(out / "index.json") else []
        if damaged := tuple(sorted({*lost, *before.damaged_shards})):
            roots = source_roots(out, spec, source_root, depth_root, labels_root)
            job = Job(folder, tuple(kinds), roots, any_environment, cache_bytes)
            for name in ("manifest", "draws", *(a.name for a in spec.arrays)):
                folder.make(folder.path / name)
            _, notes = make_shards(job, spec, damaged, damaged, work, samples_of(spec, damaged))
            made = damaged
        if not missing_shards(out, spec) and (damaged or any(p.shard is None for p in before.problems)):
            _check_digest(out, spec)
            stale = {name: _content(out / name) for name in _INDEX}
            write_index(out, spec)
            files += [name for name in _INDEX if _content(out / name) != stale[name]]
        folder.check()
    # Not deep, since shards were just made.
    after = verify(out, workers=work.workers, on_progress=on_progress) if made or files else before
    return Repair(out, tuple(files), made, after.problems, after.digest, (*notes, *after.notes))


_INDEX = ("index.json", "README.md", "croissant.json")


def _check_digest(out: Place, spec: Spec) -> None:
    """Refuse to replace an index that states other content, if it is whole."""
    try:
        index = read_index(out, spec)
    except DatasetError:
        return  # it states nothing
    if index is not None and content_digest(out, spec) != index.digest:
        raise DatasetError(
            f"{out}: the shards hold other samples than index.json states.",
            why="A shard without a manifest was made again in another environment or from other sources, or someone "
            "changed shards and manifests, or the index.",
            fix="Repair it where it was made; or, if the shards are right, delete index.json and repair again.",
        )


def _content(path: Place) -> bytes | None:
    try:
        return read_bounded(path, COPIED_BYTES)
    except (OSError, DatasetError):
        return None


def _chosen_spec(out: Place) -> tuple[Spec, Place]:
    """The specification, and the folder of the ``dataset.json`` that holds it: the data set or its copies.

    If both are whole but differ, one of them is that of another data set: the manifests decide.
    """
    found: list[tuple[Spec, Place]] = []
    for folder in (out, out / COPIES):
        with suppress(DatasetError):
            found.append((load_spec(folder), folder))
    shards = list(finished_shards(out))
    if not found:
        try:
            return load_spec(out), out  # says what is wrong
        except DatasetError as error:
            raise unrecovered(out, error) if shards else error from None
    stated = [_stated(out, shard) for shard in shards]
    best = max(found, key=lambda one: stated.count(one[0].sha256()))  # the data set's own, if both are as good
    if any(stated) and best[0].sha256() not in stated:
        raise DatasetError(
            f"{out}: dataset.json belongs to another data set than the shards.",
            why="The manifests of the shards state the hash of another request.",
            fix="Restore it from a backup.",
        )
    return best


def _stated(out: Place, shard: int) -> str | None:
    """The request that a manifest says its shard belongs to."""
    with suppress(DatasetError):
        stated = read_json(manifest_path(out, shard), "the manifest").get("request_sha256")
        return stated if isinstance(stated, str) else None
    return None


def _restored_files(folder: DatasetFolder, spec: Spec) -> list[str]:
    """Restore what has a copy, then the copies, then what follows from the specification."""
    out, written = folder.path, []
    for name in copied_names(spec):
        if not is_whole(out, name) and is_whole(out / COPIES, name):
            folder.make((out / name).parent)
            write_unless_same(out / name, read_bounded(out / COPIES / name, COPIED_BYTES))
            written.append(name)
    written += keep_copies(folder, spec)
    for name, data in store_files(spec).items():
        if _content(out / name) != data:
            folder.make((out / name).parent)
            write_unless_same(out / name, data)
            written.append(name)
    return written
