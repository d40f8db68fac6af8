"""Is a data set what it says it is? From the sizes of its files down to rendering samples again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blursynth import degradations
from blursynth.core import Degradation, Draw
from blursynth.dataset.files import sha256_hex
from blursynth.dataset.generate import source_roots
from blursynth.dataset.index import content_digest, read_index
from blursynth.dataset.manifest import Manifest, draws_path, finished_shards, read_manifest
from blursynth.dataset.progress import OnProgress, Progress
from blursynth.dataset.reader import Dataset, open_dataset
from blursynth.dataset.render import Placement, Renderer, Window
from blursynth.dataset.schema import Spec, load_spec
from blursynth.dataset.shards import ShardReader
from blursynth.errors import BlursynthError, DatasetError
from blursynth.folders import expanded
from blursynth.io import file_sha256
from blursynth.streams import Stream

__all__ = ["Problem", "Replay", "Verification", "replay", "verify"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; ``shard`` and ``sample`` where they are known."""

    what: str
    shard: int | None = None
    sample: int | None = None


@dataclass(frozen=True)
class Verification:
    """What was found.

    Parameters
    ----------
    shards, samples
        How many were looked at.
    replayed
        Samples that were rendered again.
    level
        ``"files"`` (existence, size, sha256) or ``"deep"`` (every chunk decoded and held against its sample's sha256).
    digest
        Of pixels and draws, computed again; empty while shards are missing or damaged.
    """

    path: Path
    shards: int
    samples: int
    replayed: tuple[int, ...]
    level: Literal["files", "deep"]
    problems: tuple[Problem, ...]
    digest: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def damaged_shards(self) -> tuple[int, ...]:
        """Shards to give to ``resume(out, redo=...)``."""
        return tuple(sorted({p.shard for p in self.problems if p.shard is not None}))


@dataclass(frozen=True, eq=False)
class Replay:
    """A sample that was rendered again from its record and its source picture.

    ``equal`` says whether every array has the bytes of the stored one; ``differences`` the largest difference of each
    that has not.
    """

    index: int
    equal: bool
    differences: dict[str, float]
    arrays: dict[str, NDArray[Any]] = field(repr=False)
    draw: Draw = field(repr=False)


def verify(
    out: str | Path,
    *,
    deep: bool = False,
    replay: int = 0,
    source_root: str | Path | None = None,
    depth_root: str | Path | None = None,
    labels_root: str | Path | None = None,
    kinds: Sequence[type[Degradation]] = degradations.ALL,
    on_progress: OnProgress | None = None,
) -> Verification:
    """Check a data set; every problem is reported, none is raised, except that it is no data set at all.

    Parameters
    ----------
    deep
        Also decode every chunk with its crc32c and hold it against the sha256 of its sample.
    replay
        Number of samples that are rendered again from their records and source pictures; the same ones every time.
    source_root
        Folder of the source pictures, for ``replay``; by default where they lay when the data set was begun.
    depth_root, labels_root
        Folders of the depth and label maps, likewise.

    Raises
    ------
    DatasetError
        There is no data set, or its ``dataset.json`` is damaged.
    """
    out = expanded(out)
    spec = load_spec(out)
    problems: list[Problem] = []
    chosen = _chosen(spec, replay)
    total = spec.shards + len(chosen)
    # Of a set that is still being made, only what is there can be wrong.
    known = set(range(spec.shards))
    there = sorted(known if (out / "index.json").exists() else known & set(finished_shards(out)))
    for shard in there:
        problems += _check_shard(out, spec, shard, deep)
        if on_progress is not None:
            on_progress(Progress("verify", shard + 1, total))
    problems += _check_store(out, spec)
    digest: dict[str, str] = {}
    try:
        index = read_index(out, spec)
        if index is None:
            problems.append(Problem(f"the data set is not finished ({len(there)} of {spec.shards} shards)"))
        if len(there) == spec.shards and not any(p.shard is not None for p in problems):
            digest = content_digest(out, spec)
            if index is not None and digest != index.get("digest"):
                problems.append(Problem("index.json: its digests are not those of the content"))
    except BlursynthError as error:
        problems.append(Problem(str(error)))
    if chosen:
        roots = (source_root, depth_root, labels_root)
        problems += _check_replays(out, chosen, {p.shard for p in problems}, spec, roots, kinds, on_progress)
    return Verification(
        path=out,
        shards=spec.shards,
        samples=spec.count,
        replayed=chosen,
        level="deep" if deep else "files",
        problems=tuple(problems),
        digest=digest,
    )


def _chosen(spec: Spec, number: int) -> tuple[int, ...]:
    """A fixed random choice of samples."""
    stream = Stream(spec.seed, 0, "verify")
    found: dict[int, None] = {}
    while len(found) < min(number, spec.count):
        found[min(int(stream.uniform() * spec.count), spec.count - 1)] = None
    return tuple(found)


def _check_shard(out: Path, spec: Spec, shard: int, deep: bool) -> list[Problem]:
    try:
        manifest = read_manifest(out, shard, spec)
    except DatasetError as error:
        return [Problem(str(error), shard)]
    expected = {spec.shard_path(out, a, shard).relative_to(out).as_posix() for a in spec.arrays}
    expected.add(draws_path(out, shard).relative_to(out).as_posix())
    problems = []
    if {o.path for o in manifest.objects} != expected:
        problems.append(Problem(f"manifest {shard}: does not name the files of its shard", shard))
    for stored in manifest.objects:
        path = out / stored.path
        try:
            size = path.stat().st_size
            if size != stored.size:
                problems.append(Problem(f"{stored.path}: has {size} bytes, its manifest says {stored.size}", shard))
            elif file_sha256(path) != stored.sha256:
                problems.append(Problem(f"{stored.path}: its content was changed (sha256 differs)", shard))
        except FileNotFoundError:
            problems.append(Problem(f"{stored.path}: is missing", shard))
        except OSError as error:
            problems.append(Problem(f"{stored.path}: cannot be read ({error.strerror})", shard))
    if deep:
        problems += _check_samples(out, spec, shard, manifest)
    return problems


def _check_samples(out: Path, spec: Spec, shard: int, manifest: Manifest) -> list[Problem]:
    """Decode every chunk; hold each sample against its record, and the records against the manifest."""
    samples = spec.range_of(shard)
    try:
        records = [json.loads(line) for line in draws_path(out, shard).read_bytes().splitlines()]
        if [r["index"] for r in records] != list(samples):
            return [Problem(f"draws of shard {shard}: the samples are not {samples.start} on", shard)]
        hashes = {a.name: [str(r["sha256"][a.name]) for r in records] for a in spec.arrays}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [Problem(f"draws of shard {shard}: are missing or damaged ({type(error).__name__})", shard)]
    problems = []
    for array in spec.arrays:
        content = sha256_hex(b"".join(bytes.fromhex(h) for h in hashes[array.name]))
        if content != manifest.content.get(array.name):
            problems.append(Problem(f"draws of shard {shard}: hashes of {array.name} differ from the manifest", shard))
        try:
            length = spec.shard_length
            shape = (length, *array.shape) if array.whole else array.shape
            path = spec.shard_path(out, array, shard)
            reader = ShardReader(path, 1 if array.whole else length, shape, np.dtype(array.dtype))
            table = reader.read([0])[0] if array.whole else None
        except DatasetError as error:
            problems.append(Problem(str(error), shard))
            continue
        for position, i in enumerate(samples):
            try:
                stored = table[position] if table is not None else reader.read([position])[0]
            except DatasetError as error:
                problems.append(Problem(f"sample {i} of {array.name}: {error.what}", shard, i))
                continue
            if hashlib.sha256(np.ascontiguousarray(stored).data).hexdigest() != hashes[array.name][position]:
                problems.append(Problem(f"sample {i} of {array.name}: is not what its record says", shard, i))
    return problems


def _check_store(out: Path, spec: Spec) -> list[Problem]:
    """Whether a plain zarr reader finds the arrays, and how they are laid out."""
    import zarr

    problems = []
    for array in spec.arrays:
        try:
            found = zarr.open_array(out / array.name, mode="r")
            want = ((spec.count, *array.shape), np.dtype(array.dtype), (spec.shard_length, *array.shape))
            if (found.shape, found.dtype, found.shards) != want:
                problems.append(Problem(f"{array.name}/zarr.json: shape, type or shards are not those of dataset.json"))
        except Exception as error:  # zarr's own errors for damaged metadata are of many types
            problems.append(Problem(f"{array.name}/zarr.json: cannot be opened ({type(error).__name__}: {error})"))
    return problems


def _check_replays(
    out: Path,
    chosen: tuple[int, ...],
    damaged: set[int | None],
    spec: Spec,
    roots: tuple[str | Path | None, ...],
    kinds: Sequence[type[Degradation]],
    on_progress: OnProgress | None,
) -> list[Problem]:
    problems = []
    try:
        dataset = open_dataset(out, allow_unfinished=True, kinds=kinds)
        renderer = Renderer(spec, dataset.recipe, source_roots(out, *roots))
    except BlursynthError as error:
        return [Problem(f"nothing can be rendered again: {error}")]
    for number, i in enumerate(chosen, 1):
        shard = i // spec.shard_length
        if shard not in damaged:
            try:
                again = _replayed(dataset, renderer, i)
                if not again.equal:
                    text = ", ".join(f"{name} by up to {d:g}" for name, d in again.differences.items())
                    problems.append(Problem(f"sample {i}: rendered again it differs ({text})", None, i))
                if renderer.place(i).draw != again.draw:
                    problems.append(Problem(f"sample {i}: its draw is not what the recipe draws for it", shard, i))
            except BlursynthError as error:
                problems.append(Problem(f"sample {i}: cannot be rendered again: {error}", None, i))
        if on_progress is not None:
            on_progress(Progress("verify", spec.shards + number, spec.shards + len(chosen)))
    return problems


def replay(
    out: str | Path,
    index: int,
    *,
    source_root: str | Path | None = None,
    depth_root: str | Path | None = None,
    labels_root: str | Path | None = None,
    kinds: Sequence[type[Degradation]] = degradations.ALL,
) -> Replay:
    """Render one sample again from its record and its source picture, and compare it with the stored one.

    The record alone decides: neither the recipe nor the seed is used.

    Raises
    ------
    DatasetError
        The sample is missing or damaged, or its source picture is not there or was changed.
    """
    dataset = open_dataset(out, allow_unfinished=True, kinds=kinds)
    if not -len(dataset) <= index < len(dataset):
        raise DatasetError(f"{out}: there is no sample {index}, it has {len(dataset)}.")
    renderer = Renderer(dataset.spec, dataset.recipe, source_roots(expanded(out), source_root, depth_root, labels_root))
    return _replayed(dataset, renderer, index % len(dataset))


def _replayed(dataset: Dataset, renderer: Renderer, index: int) -> Replay:
    spec = dataset.spec
    record = dataset.record(index)
    draw = Draw.from_dict(record["draw"], dataset.kinds)
    source = next((k for k, s in enumerate(spec.sources) if s.sha256 == record["source_sha256"]), None)
    if source is None:
        raise DatasetError(f"Sample {index}: its source {record['source']} is not among those of dataset.json.")
    placement = Placement(index, source, Window(**record["window"]), draw)
    arrays = renderer.render(placement)
    differences = {}
    for name, array in arrays.items():
        stored = dataset.array(name, [index])[0]
        if stored.tobytes() != np.ascontiguousarray(array).tobytes():
            difference = np.abs(stored.astype(np.float64) - array.astype(np.float64))
            differences[name] = float(np.nanmax(difference, initial=0.0))
    return Replay(index=index, equal=not differences, differences=differences, arrays=arrays, draw=draw)
