"""Verification of a data set, from the sizes of its files to rendering samples again."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blursynth import degradations
from blursynth.backends.cores import available_cores
from blursynth.core import Degradation, Draw
from blursynth.dataset.asset_files import asset_names, asset_path, read_asset
from blursynth.dataset.copies import copied_names, is_whole, same_content
from blursynth.dataset.cut import PairCutter, renderer_of
from blursynth.dataset.files import (
    canonical,
    content_sha256,
    files_below,
    is_there,
    links_out,
    read_bounded,
    read_sealed,
    sha256_hex,
    size_of,
)
from blursynth.dataset.index import Index, derived_index, read_index
from blursynth.dataset.manifest import (
    MANIFEST_BYTES,
    Manifest,
    StoredObject,
    chosen_shards,
    finished_shards,
    manifest_path,
    missing_shards,
    read_manifest,
    relative,
    shard_files,
)
from blursynth.dataset.places import source_roots
from blursynth.dataset.progress import OnProgress, Progress
from blursynth.dataset.reader import Dataset, open_dataset
from blursynth.dataset.render import Placement, Renderer, Window
from blursynth.dataset.sample_records import RecordReader
from blursynth.dataset.schema import COPIES, Spec, load_spec, store_files
from blursynth.dataset.shards import ShardReader
from blursynth.dataset.sources import NotUsed, in_order
from blursynth.errors import MISSING, BlursynthError, DatasetError, StoreError
from blursynth.io.atomic import PARTIAL
from blursynth.io.folders import as_place
from blursynth.io.object_store import Place
from blursynth.records.streams import Stream
from blursynth.records.text import printable

__all__ = ["Problem", "Replay", "Verification", "replay", "verify"]

CARD_BYTES = 2**26  # of the data card and of the Croissant metadata
UNFINISHED = "the data set is not finished"
MOST_MISSING = 100  # missing shards that are named individually


@dataclass(frozen=True)
class Problem:
    """One problem, with its ``shard`` and ``sample`` if known, and ``field`` and ``value`` of the underlying error."""

    what: str
    shard: int | None = None
    sample: int | None = None
    field: str = ""
    value: Any = MISSING


@dataclass(frozen=True)
class Verification:
    """Result of :func:`verify`.

    Parameters
    ----------
    shards, samples
        Number of shards and samples that were checked.
    replayed, replay_seed
        Samples that were rendered again, and the seed that selected them.
    level
        ``"files"`` (existence, size, sha256) or ``"deep"`` (every chunk decoded and compared with its sample's sha256).
    digest
        Recomputed digests of pixels and draws; empty if shards are missing or damaged.
    notes
        Files that are not part of the data set; they do not count as damage.
    """

    path: Place
    shards: int
    samples: int
    replayed: tuple[int, ...]
    level: Literal["files", "deep"]
    problems: tuple[Problem, ...]
    digest: dict[str, str] = field(default_factory=dict)
    replay_seed: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def damaged_shards(self) -> tuple[int, ...]:
        """Shards that :func:`~blursynth.dataset.repair` makes again."""
        return tuple(sorted({p.shard for p in self.problems if p.shard is not None}))


@dataclass(frozen=True, eq=False)
class Replay:
    """A sample that was rendered again from its record and its source picture.

    ``equal`` says whether every array is byte-identical to the stored one; ``differences`` holds the largest difference
    of each array that is not. Real pairs have no ``draw``.
    """

    index: int
    equal: bool
    differences: dict[str, float]
    arrays: dict[str, NDArray[Any]] = field(repr=False)
    draw: Draw | None = field(repr=False)


def verify(
    out: str | Place,
    *,
    deep: bool = False,
    replay: int = 0,
    replay_seed: int | None = None,
    shards: tuple[int, int] | None = None,
    workers: int | None = None,
    source_root: str | Path | None = None,
    depth_root: str | Path | None = None,
    labels_root: str | Path | None = None,
    kinds: Sequence[type[Degradation]] = degradations.ALL,
    on_progress: OnProgress | None = None,
) -> Verification:
    """Check a data set. Problems are reported, not raised, unless the folder is not a data set at all.

    Every file is checked against its hash or for consistency with the other files. Without ``replay``, nothing outside
    the folder is read. Links that lead out of it are problems.

    Parameters
    ----------
    deep
        Also decode every chunk, check its crc32c, and compare it with the sha256 of its sample.
    replay
        Number of samples to render again from their records and source pictures.
    replay_seed
        Seed that selects these samples; by default a new one each time, which the result reports.
    shards
        Check only the shards ``a <= s < b``, for job arrays, and the files that belong to no shard. The digests, and
        what follows from all shards, are not checked then.
    workers
        Number of threads that check shards; by default the number of cores.
    source_root
        Folder of the source pictures, for ``replay``; by default where they were when the data set was started.
    depth_root, labels_root
        Folders of the depth and label maps, likewise.

    Raises
    ------
    DatasetError
        There is no data set, or the location of the sources needed by ``replay`` is not known. A damaged
        ``dataset.json`` is reported as a problem, and nothing else can be checked then.
    """
    out = as_place(out)
    level: Literal["files", "deep"] = "deep" if deep else "files"
    parts = ("dataset.json", "index.json", "manifest", COPIES)  # if any of them exists, this was a data set
    if not any(is_there(out / name) for name in parts):
        load_spec(out)  # says what is wrong with the path
    spec = None
    problems: list[Problem] = []
    with _reported(problems):
        for path in links_out(out):
            what = f"{relative(path, out)}: is a link out of the data set (to {os.path.realpath(path)})"
            fix = "Copy the data set including the targets of its links (cp -rL), and check the copy."
            problems.append(Problem(f"{what}, and nothing was checked. {fix}"))
        spec = None if problems else load_spec(out)
    if spec is None:
        return Verification(path=out, shards=0, samples=0, replayed=(), level=level, problems=tuple(problems))
    seed = secrets.randbits(32) if replay and replay_seed is None else replay_seed
    wanted = chosen_shards(shards, spec)
    whole = len(wanted) == spec.shards
    samples = range(spec.range_of(wanted[0]).start, spec.range_of(wanted[-1]).stop)
    chosen = _chosen(samples, replay, seed or 0)
    # Checked first, since moved sources are not damage, and hours may pass before samples are replayed.
    roots = source_roots(out, spec, source_root, depth_root, labels_root) if chosen else {}
    total = len(wanted) + len(chosen)
    there = [shard for shard in finished_shards(out) if shard in wanted]
    for done, found in enumerate(_check_shards(out, spec, there, deep, workers or available_cores()), 1):
        problems += found
        if on_progress is not None:
            on_progress(Progress("verify", done, total))
    for name, data in store_files(spec).items():  # what plain zarr readers see, which the specification determines
        stored = StoredObject(name, len(data), sha256_hex(data))
        for what in _wrong_file(out, stored, "dataset.json"):
            problems.append(Problem(f"{what}; blursynth repair writes it again"))
    for name in asset_names(spec.recipe):
        with _reported(problems):
            read_asset(name, out)
    with _reported(problems):
        read_sealed(out / "skipped.json", "the list of unused inputs", NotUsed)
    index, found = _check_index(out, spec, there, wanted)
    problems += found
    found, notes = _check_copies(out, spec)
    problems += found
    digest: dict[str, str] = {}
    if len(there) == spec.shards and not any(p.shard is not None for p in problems):
        with _reported(problems):
            derived = derived_index(out, spec, {} if index is None else index.files)
            digest = asdict(derived.digest)
            if index is not None and derived != index:
                problems.append(Problem("index.json: its digests are not those of the content"))
    own = there if index is None else [*there, *missing_shards(out, spec)[:MOST_MISSING]]
    for name, what, ours in _others(out, spec, own) if whole else ():
        # While a data set is being made, there are files of shards whose manifests do not exist yet.
        if ours and index is not None:
            problems.append(Problem(f"{name}: {what}"))
        else:
            notes.append(f"{name}: {what}")
    if chosen:
        shown = None if on_progress is None else lambda done: on_progress(Progress("verify", len(wanted) + done, total))
        problems += _check_replays(out, chosen, {p.shard for p in problems}, spec, roots, kinds, shown)
    return Verification(
        path=out,
        shards=len(wanted),
        samples=len(samples),
        replayed=chosen,
        level=level,
        problems=tuple(problems),
        digest=digest,
        replay_seed=seed if chosen else None,
        notes=tuple(notes),
    )


@contextmanager
def _reported(problems: list[Problem], shard: int | None = None) -> Iterator[None]:
    """Add an error that is raised inside to the problems."""
    try:
        yield
    except StoreError:
        raise  # it says nothing about the data set
    except BlursynthError as error:
        problems.append(Problem(str(error), shard))


def _chosen(samples: range, number: int, seed: int) -> tuple[int, ...]:
    """A random choice of samples."""
    if number >= len(samples):
        return tuple(samples)
    stream = Stream(seed, 0, "verify")
    found: dict[int, None] = {}
    while len(found) < number:
        found[samples[min(int(stream.uniform() * len(samples)), len(samples) - 1)]] = None
    return tuple(found)


def _check_shards(out: Place, spec: Spec, shards: Sequence[int], deep: bool, workers: int) -> Iterator[list[Problem]]:
    """The problems of each shard, in order. Reading, hashing and decoding release the interpreter's lock."""
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from in_order(pool, lambda shard: _check_shard(out, spec, shard, deep), shards, 2 * workers)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _check_shard(out: Place, spec: Spec, shard: int, deep: bool) -> list[Problem]:
    problems: list[Problem] = []
    if not isinstance(out, Path):
        # Its objects are read once, whole, and everything is checked on the local disk: one shard at a time.
        with tempfile.TemporaryDirectory() as folder:
            for name, what in _fetched(out, Path(folder), spec, shard):
                problems.append(Problem(f"{name}: cannot be read ({what})", shard))
            if not problems:
                problems = _check_shard(Path(folder), spec, shard, deep)
            return [replace(p, what=p.what.replace(folder, str(out))) for p in problems]
    with _reported(problems, shard):
        manifest = read_manifest(out, shard, spec)
        for stored in manifest.objects:
            problems += [Problem(what, shard) for what in _wrong_file(out, stored, "its manifest")]
        if deep:
            problems += _check_samples(out, spec, shard, manifest)
    return problems


def _fetched(out: Place, folder: Path, spec: Spec, shard: int) -> Iterator[tuple[str, str]]:
    """Copy the files of a shard; yields those that are there but cannot be read, and why."""
    for name, most in {
        relative(manifest_path(out, shard), out): MANIFEST_BYTES,
        **shard_files(out, spec, shard),
    }.items():
        try:
            data = read_bounded(out / name, most)
        except FileNotFoundError:
            continue  # the check of the copy says so
        except DatasetError as error:
            yield name, error.what
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _wrong_file(out: Place, stored: StoredObject, by: str) -> Iterator[str]:
    """What is wrong with a file of known size and hash."""
    path = out / stored.path
    try:
        size = size_of(path)
        if size != stored.size:
            yield f"{stored.path}: has {size} bytes, but {by} says {stored.size}"
        elif content_sha256(path) != stored.sha256:
            yield f"{stored.path}: its content was changed (sha256 differs)"
    except FileNotFoundError:
        yield f"{stored.path}: is missing"
    except DatasetError:
        yield f"{stored.path}: is not a regular file"
    except OSError as error:
        yield f"{stored.path}: cannot be read ({error.strerror})"


def _check_samples(out: Place, spec: Spec, shard: int, manifest: Manifest) -> list[Problem]:
    """Decode every chunk; compare each sample with its record, and the records with the manifest."""
    samples = spec.range_of(shard)
    hashes: dict[str, list[str]] = {a.name: [] for a in spec.arrays}
    draws = hashlib.sha256()
    try:
        for record in RecordReader(out, shard, samples).read_all():
            own = record.pop("sha256")
            draws.update(canonical(record) + b"\n")
            for name, known in hashes.items():
                known.append(own[name])
    except DatasetError as error:
        return [Problem(error.what, shard)]
    except (KeyError, ValueError) as error:  # a missing hash, or a number that JSON does not allow
        return [Problem(f"draws of shard {shard}: are damaged ({error})", shard)]
    problems = []
    if draws.hexdigest() != manifest.draws:
        problems.append(Problem(f"draws of shard {shard}: the hash of its records differs from the manifest", shard))
    for array in spec.arrays:
        content = sha256_hex(b"".join(bytes.fromhex(h) for h in hashes[array.name]))
        if content != manifest.content.get(array.name):
            problems.append(Problem(f"draws of shard {shard}: hashes of {array.name} differ from the manifest", shard))
        try:
            length = spec.shard_length
            shape = (length, *array.shape) if array.whole else array.shape
            path = spec.shard_path(out, array, shard)
            chunks = ShardReader(path, 1 if array.whole else length, shape, np.dtype(array.dtype), spec.codec)
            table = chunks.read([0])[0] if array.whole else None
        except DatasetError as error:
            problems.append(Problem(str(error), shard))
            continue
        for position, i in enumerate(samples):
            try:
                stored = table[position] if table is not None else chunks.read([position])[0]
            except DatasetError as error:
                problems.append(Problem(f"sample {i} of {array.name}: {error.what}", shard, i))
                continue
            if hashlib.sha256(np.ascontiguousarray(stored).data).hexdigest() != hashes[array.name][position]:
                problems.append(Problem(f"sample {i} of {array.name}: does not match its record", shard, i))
    return problems


def _check_index(out: Place, spec: Spec, there: Sequence[int], wanted: range) -> tuple[Index | None, list[Problem]]:
    """The index, and problems with it, with the files that it names, and with missing ones of the wanted shards."""
    try:
        index = read_index(out, spec)
    except DatasetError as error:
        return None, [Problem(str(error))]
    if index is None:
        if len(there) == len(wanted) < spec.shards:
            return None, []
        return None, [Problem(f"{UNFINISHED} ({len(there)} of {len(wanted)} shards)")]
    problems = []
    for name in ("README.md", "croissant.json"):
        try:
            if name not in index.files:
                problems.append(Problem(f"index.json: does not name {name}"))
            elif sha256_hex(read_bounded(out / name, CARD_BYTES)) != index.files[name]:
                what = f"{name}: was changed after it was written (sha256 differs)"
                problems.append(Problem(f"{what}; blursynth repair writes it again"))
        except FileNotFoundError:
            problems.append(Problem(f"{name}: is missing; blursynth repair writes it again"))
        except OSError as error:
            problems.append(Problem(f"{name}: cannot be read ({error})"))
    missing = [shard for shard in missing_shards(out, spec) if shard in wanted]
    for shard in missing[:MOST_MISSING]:
        what = f"{relative(manifest_path(out, shard), out)}: the manifest is missing"
        problems.append(Problem(f"{what}; blursynth repair makes the shard again", shard))
    if len(missing) > MOST_MISSING:
        problems.append(
            Problem(
                f"{len(missing) - MOST_MISSING:,} more manifests are missing; blursynth repair makes the shards again"
            )
        )
    return index, problems


def _check_copies(out: Place, spec: Spec) -> tuple[list[Problem], list[str]]:
    """Problems with the copies of files that nothing else implies; a note if there are none at all."""
    if not is_there(out / COPIES):
        return [], [f"{COPIES}: dataset.json and other files have no copy yet; blursynth repair writes it"]
    problems = []
    for name in copied_names(spec):
        copy, again = f"{COPIES}/{name}", "blursynth repair writes it again"
        if not is_there(out / copy):
            problems.append(Problem(f"{copy}: is missing; {again}"))
            continue
        try:
            same = same_content(out, name)
        except (DatasetError, OSError):
            same = False
        if not same and is_whole(out, name):  # otherwise the problem is another one
            problems.append(Problem(f"{copy}: differs from {name}, or cannot be read; {again}"))
    return problems, []


def _others(out: Place, spec: Spec, shards: Sequence[int]) -> Iterator[tuple[str, str, bool]]:
    """Files that do not belong to the data set: path, description, and whether it is among the data set's own files."""
    known = {"dataset.json", "index.json", "README.md", "croissant.json", "skipped.json"}
    known |= {relative(asset_path(out, name), out) for name in asset_names(spec.recipe)} | set(store_files(spec))
    known |= {f"{COPIES}/{name}" for name in copied_names(spec)}
    for shard in shards:
        known |= {relative(manifest_path(out, shard), out), *shard_files(out, spec, shard)}
    folders = {"manifest", "draws", "assets", COPIES, *(a.name for a in spec.arrays)}
    for path in files_below(out):
        if path.endswith(PARTIAL):
            yield path, "was left by a writer that was stopped; blursynth resume removes it", False
        elif path not in known:
            yield printable(path), "is not a file of this data set", path.partition("/")[0] in folders


def _check_replays(
    out: Place,
    chosen: tuple[int, ...],
    damaged: set[int | None],
    spec: Spec,
    roots: Mapping[str, str],
    kinds: Sequence[type[Degradation]],
    show: Callable[[int], None] | None,
) -> list[Problem]:
    problems = []
    try:
        dataset = open_dataset(out, allow_unfinished=True, kinds=kinds)
        renderer = renderer_of(spec, dataset.kinds, roots)
    except BlursynthError as error:
        return [Problem(f"nothing can be rendered again: {error}", field=error.field, value=error.value)]
    for number, i in enumerate(chosen, 1):
        shard = i // spec.shard_length
        if shard not in damaged:
            try:
                again = _replayed(dataset, renderer, i)
                if not again.equal:
                    text = ", ".join(f"{name} by up to {d:g}" for name, d in again.differences.items())
                    problems.append(Problem(f"sample {i}: rendered again it differs ({text})", None, i))
                if not spec.is_real and renderer.place(i).draw != again.draw:
                    problems.append(Problem(f"sample {i}: its draw differs from the draw of the recipe", shard, i))
            except BlursynthError as error:
                what = f"sample {i}: cannot be rendered again: {error}"
                problems.append(Problem(what, None, i, error.field, error.value))
        if show is not None:
            show(number)
    return problems


def replay(
    out: str | Place,
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
        The sample is missing or damaged, or its source picture is missing or was changed.
    """
    dataset = open_dataset(out, allow_unfinished=True, kinds=kinds)
    if not -len(dataset) <= index < len(dataset):
        raise DatasetError(f"{out}: there is no sample {index}; it has {len(dataset)}.")
    roots = source_roots(as_place(out), dataset.spec, source_root, depth_root, labels_root)
    renderer = renderer_of(dataset.spec, dataset.kinds, roots)
    return _replayed(dataset, renderer, index % len(dataset))


def _replayed(dataset: Dataset, renderer: Renderer | PairCutter, index: int) -> Replay:
    spec = dataset.spec
    record = dataset.record(index)
    if isinstance(renderer, PairCutter):  # a record says no more than where its index lies
        placement = renderer.place(index)
        if record != {**renderer.record(placement), "sha256": record["sha256"]}:
            raise DatasetError(f"Sample {index}: its record is not that of its window.")
        return _compared(dataset, index, renderer.render(placement), None)
    if record["draw"] is None:
        raise DatasetError(f"Sample {index}: its record has no draw.")
    draw = Draw.from_dict(record["draw"], dataset.kinds)
    source = next((k for k, s in enumerate(spec.sources) if s.sha256 == record["source_sha256"]), None)
    if source is None:
        raise DatasetError(f"Sample {index}: its source {record['source']} is not among those of dataset.json.")
    window = Window(**record["window"])
    margin, about = window.reach or 0, spec.sources[source]
    corners = (window.top - margin, window.left - margin)
    ends = (window.top + window.size + margin, window.left + window.size + margin)
    size = (about.height // spec.downscale, about.width // spec.downscale)
    if window.size != spec.size_px or min(corners) < 0 or ends[0] > size[0] or ends[1] > size[1]:
        raise DatasetError(f"Sample {index}: its window is not inside its source {about.name}.")
    return _compared(dataset, index, renderer.render(Placement(index, source, window, draw)), draw)


def _compared(dataset: Dataset, index: int, arrays: dict[str, NDArray[Any]], draw: Draw | None) -> Replay:
    """A sample that was made again beside the stored one."""
    differences = {}
    for name, array in arrays.items():
        stored = dataset.array(name, [index])[0]
        if stored.tobytes() != np.ascontiguousarray(array).tobytes():
            difference = np.abs(stored.astype(np.float64) - array.astype(np.float64))
            differences[name] = float(np.nanmax(difference, initial=0.0))
    return Replay(index=index, equal=not differences, differences=differences, arrays=arrays, draw=draw)
