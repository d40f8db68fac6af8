"""From sharp pictures to a data set on disk: plan, generate, resume, finalize."""

from __future__ import annotations

import functools
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Literal

from blursynth import degradations
from blursynth.backends.cores import available_cores
from blursynth.core import Degradation
from blursynth.dataset.asset_files import asset_names, asset_path, save_assets
from blursynth.dataset.copies import keep_copies
from blursynth.dataset.cut import PairCutter
from blursynth.dataset.engine import Engine, make_engine, start_early
from blursynth.dataset.files import (
    disk_error,
    locked,
    read_json,
    read_sealed,
    refuse_links,
    sealed,
    write_atomically,
)
from blursynth.dataset.folder import DatasetFolder, sweep, sweep_left_over
from blursynth.dataset.index import content_digest, index_fits, passed_over_share, read_index, write_index
from blursynth.dataset.manifest import (
    chosen_shards,
    finished_shards,
    manifest_path,
    missing_shards,
    read_manifest,
    shard_state,
)
from blursynth.dataset.places import remember_roots, source_roots
from blursynth.dataset.progress import OnProgress, Progress
from blursynth.dataset.render import CACHE_BYTES, Renderer
from blursynth.dataset.request import DatasetRequest
from blursynth.dataset.schema import (
    COPIES,
    Spec,
    build_spec,
    check_encodings,
    check_recipe,
    create_store,
    environment_sha256,
    load_spec,
)
from blursynth.dataset.shards import encode_chunk
from blursynth.dataset.sources import DEPTH_ROOT, LABELS_ROOT, NotUsed, Scan, Skipped, alike_across, scan_sources
from blursynth.dataset.writer import Job
from blursynth.errors import Alone, Argument, DatasetError, InvalidValueError, Message
from blursynth.io.atomic import PARTIAL
from blursynth.io.folders import as_place
from blursynth.io.object_store import ObjectPath, Place

__all__ = ["Plan", "Prepared", "Report", "finalize", "generate", "plan", "prepare", "resume"]

CHECKED_DRAWS = 2000  # a few seconds, however large the data set is, while workers load their libraries
# Of small data sets, which lose little when they fail later, and where pixels are needed, which takes longer.
FEW_DRAWS = 64
_REQUESTS = 16  # to object storage at a time


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request whose pictures were scanned: everything that determines the samples, and the renderer."""

    request: DatasetRequest
    scan: Scan
    spec: Spec
    renderer: Renderer


@dataclass(frozen=True, eq=False)
class PreparedPairs:
    """The same of real pairs, which are imported."""

    scan: Scan
    spec: Spec
    renderer: PairCutter


@dataclass(frozen=True)
class Work:
    """How shards are made; see :func:`generate`."""

    workers: int
    engine: Literal["local", "dask"] | Engine
    any_environment: bool
    cache_bytes: int
    on_progress: OnProgress | None


@dataclass(frozen=True)
class Plan:
    """What would be made.

    Parameters
    ----------
    scan
        The scanned sources.
    count, shards, shard_length, workers
        Total number of samples, number of shards, samples per full shard, number of processes.
    raw_bytes, disk_bytes
        Size of the arrays before and (estimated) after compression.
    seconds
        Estimated time, from the samples that were timed; 0.0 if none was.
    largest_reach_px
        Largest reach of the blur among the samples that were tried.
    free_bytes
        Free space on the disk of ``out``; None if no ``out`` was given.
    passed_over
        Share of the windows with less detail than ``min_detail`` among the samples that were tried; None without such a
        limit.
    """

    scan: Scan
    count: int
    shards: int
    shard_length: int
    workers: int
    raw_bytes: int
    disk_bytes: int
    seconds: float
    largest_reach_px: int
    free_bytes: int | None
    spec: Spec = field(repr=False)
    passed_over: float | None = None

    def __str__(self) -> str:
        return (
            f"{self.count} pairs from {len(self.scan.usable)} pictures in {self.shards} shards: about "
            f"{self.disk_bytes / 1e6:,.1f} MB on the disk and {self.seconds:,.0f} s with {self.workers} workers"
        )


@dataclass(frozen=True)
class Report:
    """Result of :func:`generate` or :func:`resume`.

    Parameters
    ----------
    out
        Folder of the data set.
    count, shards
        Number of samples and shards of the whole data set.
    made, kept
        Indices of the shards that were made by this run, and of those that already existed.
    samples
        Number of samples made by this run.
    seconds
        Time it took to make them, without the scan.
    disk_bytes
        Size on disk of the shards of this run.
    skipped, duplicates
        Inputs that were not used, and why.
    finished
        Whether all shards exist, so that the data set can be opened.
    digest
        ``{"pixels": ..., "draws": ...}`` of the finished data set, otherwise empty; neither depends on the number of
        workers or shards.
    notes
        Anything unusual, such as workers that died and were replaced.
    ignored
        Number of files of unknown format in the given folders, by extension.
    sources
        Number of pictures that the data set is made from.
    passed_over
        Share of the windows with less detail than ``min_detail`` among the samples made by this run; None without such
        a limit.
    environment
        sha256 of the versions and the processor that the pixels depend on, as used in an expected digest.
    checked
        Number of samples whose draws were compared with an expected digest.
    splits
        For a request with splits, the report of each split by name. The other fields are then totals, in which the
        shards are numbered on from one split to the next; ``digest`` and ``passed_over`` are only those of the splits.
    """

    out: Place
    count: int
    shards: int
    made: tuple[int, ...]
    kept: tuple[int, ...]
    samples: int
    seconds: float
    disk_bytes: int
    skipped: tuple[Skipped, ...] = ()
    duplicates: tuple[Skipped, ...] = ()
    finished: bool = False
    digest: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ignored: dict[str, int] = field(default_factory=dict)
    sources: int = 0
    passed_over: float | None = None
    environment: str = ""
    checked: int = 0
    splits: dict[str, Report] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Samples per second."""
        return self.samples / self.seconds if self.seconds > 0 else 0.0


def prepare(
    request: DatasetRequest,
    *,
    scan: Scan | None = None,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Prepared:
    """Scan the pictures of a request without splits and check that its recipe takes them. Nothing is written.

    ``scan`` is the result of :func:`scan_sources` for this request, if it was already called.
    """
    _refuse_splits(request, "prepare")
    recipe = request.loaded_recipe
    check_recipe(recipe)  # before the scan, which may take long
    workers = checked_workers(workers)
    if scan is None:
        scan = _scan(request, workers, on_progress)
        scan = scan if request.share is None else scan.part(request.share, request.split_by)
    else:
        _check_scan(scan, request)
    spec = build_spec(request, scan, workers)
    check_encodings(recipe, spec.sources)
    return Prepared(request, scan, spec, Renderer(spec, recipe, scan.roots))


def _scan(request: DatasetRequest, workers: int, on_progress: OnProgress | None) -> Scan:
    return scan_sources(
        request.sources, depth=request.depth, depth_format=request.depth_format, labels=request.labels,
        linear=request.linear, downscale=request.downscale, licenses=request.licenses, source_list=request.source_list,
        near_duplicates=request.near_duplicates, min_source_px=request.min_source_px,
        min_source_detail=request.min_source_detail, size_px=request.size_px, workers=workers, on_progress=on_progress,
    )  # fmt: skip


def _refuse_splits(request: DatasetRequest, function: str) -> None:
    if request.split:
        raise InvalidValueError(
            "This request has splits.",
            fix=f"Pass its parts one by one: {{name: {function}(part) for name, part in request.parts().items()}}.",
            field="split",
            value=request.split,
        )


def _check_scan(scan: Scan, request: DatasetRequest) -> None:
    """Refuse a scan that was made for another request, where that can be detected."""
    for name, found, wanted in (
        ("downscale", scan.downscale, request.downscale),
        ("depth", DEPTH_ROOT in scan.roots, request.depth is not None),
        ("labels", LABELS_ROOT in scan.roots, request.labels is not None),
    ):
        if found != wanted:
            what = f"The scan belongs to another request: its {name} is {found}, but the request has {wanted}."
            raise InvalidValueError(what, fix="Leave the scan out.", field="scan", value=scan)


def plan(
    request: DatasetRequest,
    *,
    scan: Scan | None = None,
    workers: int | None = None,
    out: str | Place | None = None,
    trials: int = 8,
    on_progress: OnProgress | None = None,
) -> Plan:
    """Estimate what :func:`generate` would make, its size and its time. Nothing is written.

    Parameters
    ----------
    request
        The data set, without splits (for a request with splits, pass its :meth:`DatasetRequest.parts` one by one).
    scan, workers, on_progress
        See :func:`generate`.
    out
        Folder of the data set, to report the free space on its disk.
    trials
        Number of samples that are made and timed for the estimate.

    Raises
    ------
    BlursynthError
        Any error that :func:`generate` would raise before it starts.
    """
    _refuse_splits(request, "plan")
    _require_count(request)
    prepared = prepare(request, scan=scan, workers=workers, on_progress=on_progress)
    passed_over = check_draws(prepared)
    planned = _planned(prepared, checked_workers(workers), as_place(out) if out is not None else None, trials)
    return replace(planned, passed_over=passed_over)


def _planned(prepared: Prepared | PreparedPairs, workers: int, out: Place | None, trials: int) -> Plan:
    spec, renderer = prepared.spec, prepared.renderer
    trials = min(trials, spec.count)
    reach = stored = raw = 0
    times = []
    if trials:
        renderer.render(renderer.place(0))  # compilation and loading are not part of the rate
    for trial in range(trials):
        start = time.perf_counter()
        placement = renderer.place(trial * spec.count // trials)
        arrays = renderer.render(placement)
        sizes = [len(encode_chunk(array, spec.codec)) for array in arrays.values()]
        times.append(time.perf_counter() - start)
        reach = max(reach, placement.window.reach or 0)
        stored += sum(sizes) + 2500  # and its record
        raw += sum(array.nbytes for array in arrays.values())
    ratio = stored / raw if raw else 1.0
    total = spec.count * spec.sample_bytes
    return Plan(
        scan=prepared.scan,
        count=spec.count,
        shards=spec.shards,
        shard_length=spec.shard_length,
        workers=workers,
        raw_bytes=total,
        disk_bytes=int(total * ratio),
        # Use the median, since a kernel compiled during one trial must not count for every sample.
        seconds=statistics.median(times) * spec.count / min(workers, spec.shards) if times else 0.0,
        largest_reach_px=reach,
        free_bytes=None if out is None else _free(out),
        spec=spec,
    )


def generate(
    request: DatasetRequest,
    out: str | Place,
    *,
    scan: Scan | None = None,
    workers: int | None = None,
    shards: tuple[int, int] | None = None,
    only: str | None = None,
    engine: Literal["local", "dask"] | Engine = "local",
    any_environment: bool = False,
    cache_bytes: int = CACHE_BYTES,
    on_progress: OnProgress | None = None,
) -> Report:
    """Make a data set. Existing shards are kept, so calling it again resumes.

    Sample i has the same bytes for any number of workers, shard length, order, and point of resumption.

    Parameters
    ----------
    request
        Description of the data set. Each split becomes a separate data set, ``out/NAME``.
    out
        Folder of the data set: new, empty, or started with the same request.
    scan
        Result of :func:`scan_sources` for this request, if it was already called.
    workers
        Number of processes; by default the number of cores. With 1, everything runs in this process.
    shards
        ``(a, b)``: make only the shards a <= s < b, for job arrays. The job that makes the last shard finishes the data
        set. Of a request with splits it needs ``only``.
    only
        Name of a split: it alone is made, in its folder ``out/NAME``. By default all are.
    engine
        ``"local"``, ``"dask"`` or an :class:`~blursynth.dataset.engine.Engine`.
    any_environment
        Resume a data set even if it was started with other versions or on another kind of processor.
    cache_bytes
        Size of the cache of decoded pictures of each worker, in bytes.
    on_progress
        Called from time to time with a :class:`~blursynth.dataset.progress.Progress`.

    Raises
    ------
    PictureError
        No usable source.
    RecipeError
        The recipe's result cannot be stored, or its reach is too large for the sources. Before anything is written, up
        to ``CHECKED_DRAWS`` evenly spaced samples are checked; a rare draw can still fail later.
    DatasetError
        ``out`` is something else, was started with other arguments, is being written by another process, or cannot be
        written; the disk is too small; or the digest differs from the one that the request expects.
    KeyboardInterrupt
        Ctrl-C was pressed; finished shards are kept.
    """
    workers = checked_workers(workers)
    work = Work(workers, engine, any_environment, cache_bytes, on_progress)
    out = writable(out, work)
    parts, wanted = request.parts(), request.parts(only)
    if not request.split:
        return make(*_looked(request, out, scan, work), shards, work)
    if scan is not None or (shards is not None and only is None):
        name = "shards" if shards is not None else "scan"
        what: Message = (Argument(name), " cannot be given for a request with splits.")
        fix: Message = "Make its parts one by one."
        if name == "shards":
            fix = ("Name the split that is meant: ", Argument("only", next(iter(parts))), ".")
        raise InvalidValueError(what, fix=fix, field=name)
    looked, whole = {}, None
    for name, part in parts.items():
        scan = None
        if part.share is not None:  # shares are of the same pictures, which are looked through once
            whole = whole or _scan(part, workers, on_progress)
            scan = whole.part(part.share, part.split_by)
        looked[name] = _looked(part, out / name, scan, work)
    check_apart({name: prepared.scan for name, (prepared, _, _) in looked.items()})
    made = {name: make(*one, shards, work) for name, one in looked.items() if name in wanted}
    return _summed(out, made)


def _looked(
    request: DatasetRequest, out: Place, scan: Scan | None, work: Work
) -> tuple[Prepared, Place, DatasetError | None]:
    """The pictures of a data set, its folder, and any damage to its description there."""
    _require_count(request)
    length, damage = begun_in(out)
    if request.shard_length is None:
        request = request.replace(shard_length=length)
    return prepare(request, scan=scan, workers=work.workers, on_progress=work.on_progress), out, damage


def make(
    prepared: Prepared | PreparedPairs,
    out: Place,
    damage: DatasetError | None,
    shards: tuple[int, int] | None,
    work: Work,
) -> Report:
    """Make, or go on with, a data set whose pictures were scanned; ``damage`` is that of its description."""
    spec, scan = prepared.spec, prepared.scan
    wanted = chosen_shards(shards, spec)
    notes = list(scan.notes)
    if damage is not None:
        begun = _recover(out, spec, damage, work.any_environment)
        notes.append(f"{damage.what.rstrip('.')}; it was rewritten, since the finished shards belong to this request")
    elif (out / "dataset.json").exists():
        begun = load_spec(out)
    else:
        start_early(work.engine, work.workers, len(wanted))
        if isinstance(prepared, Prepared):
            check_draws(prepared)
        _check_room(prepared, work.workers, out, wanted)
        begun = _begin(out, prepared)
    if begun.sha256() != spec.sha256():
        raise other_arguments(out, begun.differences(spec), "Two data sets cannot share a folder.")
    _write_beside(out, prepared)
    if forgotten := remember_roots(begun, scan.roots):
        notes.append(forgotten)
    steps = prepared.renderer.recipe.steps if isinstance(prepared, Prepared) else ()
    kinds = tuple(dict.fromkeys(k for _, sampler in steps for k in sampler.kinds()))
    report = _run(out, begun, kinds, lambda: scan.roots, wanted, (), work)
    notes += report.notes
    checked = 0
    if isinstance(prepared, Prepared):
        checked, differs = _check_digest(prepared.request, out, begun, report.digest)
        notes += differs
    return replace(
        report,
        checked=checked,
        skipped=scan.skipped,
        duplicates=scan.duplicates,
        notes=tuple(notes),
        ignored=scan.ignored,
        environment=environment_sha256(),
    )


def other_arguments(out: Place, changes: Sequence[Message], why: str) -> DatasetError:
    """The error for a folder that was started with another request."""
    parts: list[str | Argument | Alone] = [f"{out}: was started with other arguments: "]
    for number, change in enumerate(changes):
        parts += ["; "] if number else []
        parts += [change] if isinstance(change, str) else change
    fix = "Give the same arguments, or choose another folder."
    return DatasetError((*parts, "."), why=why, fix=fix)


def check_apart(scans: Mapping[str, Scan]) -> None:
    """Refuse splits that share a picture, since a measurement on it would not be one on unseen data."""
    seen: dict[str, tuple[str, str, str]] = {}
    for split, scan in scans.items():
        for source in scan.usable:
            other, name, sha256 = seen.setdefault(source.photograph_sha256, (split, source.name, source.sha256))
            if other != split:
                same = "have the same content" if sha256 == source.sha256 else "are or show parts of one photograph"
                same = f"{name} and {source.name} {same}"
                raise InvalidValueError(
                    f"The splits {other!r} and {split!r} share a picture: "
                    f"{f'both use {name}' if name == source.name else same}.",
                    why="A result on a training picture says nothing about unseen pictures.",
                    fix="Give each split its own sources.",
                    field="split",
                    value=split,
                )
    if alike := alike_across(scans):
        (split, name), (other, like) = alike
        raise InvalidValueError(
            f"The splits {split!r} and {other!r} have pictures that look alike: {name} and {like}.",
            why="A result on a training picture says nothing about unseen pictures.",
            fix="Give each split its own sources, or a share of common ones.",
            field="split",
            value=other,
        )


def _check_digest(
    request: DatasetRequest, out: Place, spec: Spec, digest: Mapping[str, str]
) -> tuple[int, tuple[str, ...]]:
    """Compare the samples whose digest the request expects, if all are made; returns their number, and notes."""
    expected = request.digest
    if expected is None:
        return 0, ()
    of = ""
    if expected.first is not None:
        of = f" of its first {expected.first} samples"
        needed = -(-expected.first // spec.shard_length)
        if not digest and any(shard < needed for shard in missing_shards(out, spec)):
            return 0, ()
        digest = asdict(content_digest(out, spec, expected.first))
    if not digest:
        return 0, ()
    checked = expected.first or spec.count
    fix = "Its sources, its recipe or the draws of this version differ from those that the digest was computed with."
    if digest["draws"] != expected.draws:
        raise DatasetError(
            f"{out}: has the digest of draws {digest['draws']}{of}, but its request expects {expected.draws}.",
            why="Draws are the same on every machine.",
            fix=fix,
            field="digest.draws",
            value=digest["draws"],
        )
    if expected.pixels in (None, digest["pixels"]):
        return checked, ()
    if expected.environment == environment_sha256():
        raise DatasetError(
            f"{out}: has the digest of pixels {digest['pixels']}{of}, but its request expects {expected.pixels}.",
            why="In the same environment, pixels must be the same.",
            fix=fix,
            field="digest.pixels",
            value=digest["pixels"],
        )
    return checked, (
        "the draws match the expected digest; the digest of pixels differs, which is normal with other versions or on "
        "another kind of processor",
    )


def _summed(out: Place, reports: dict[str, Report]) -> Report:
    """One report for several data sets, whose shards are numbered on from one to the next."""
    all_ = reports.values()
    before = dict(zip(reports, accumulate((r.shards for r in all_), initial=0), strict=False))
    return Report(
        out=out,
        count=sum(r.count for r in all_),
        shards=sum(r.shards for r in all_),
        made=tuple(before[name] + shard for name, r in reports.items() for shard in r.made),
        kept=tuple(before[name] + shard for name, r in reports.items() for shard in r.kept),
        samples=sum(r.samples for r in all_),
        seconds=sum(r.seconds for r in all_),
        disk_bytes=sum(r.disk_bytes for r in all_),
        skipped=tuple(one for r in all_ for one in r.skipped),
        duplicates=tuple(one for r in all_ for one in r.duplicates),
        finished=all(r.finished for r in all_),
        notes=tuple(f"{name}: {note}" for name, r in reports.items() for note in r.notes),
        ignored=dict(sum((Counter(r.ignored) for r in all_), Counter())),
        sources=sum(r.sources for r in all_),
        environment=environment_sha256(),
        checked=sum(r.checked for r in all_),
        splits=reports,
    )


def _require_count(request: DatasetRequest) -> None:
    if request.count is None and not request.split:
        raise InvalidValueError(
            (Argument("count"), " is missing."),
            why="A data set on disk has a fixed length.",
            fix="Give the number of pairs.",
            field="count",
        )  # fmt: skip


def resume(
    out: str | Place,
    *,
    workers: int | None = None,
    shards: tuple[int, int] | None = None,
    redo: Iterable[int] = (),
    source_root: str | Path | None = None,
    depth_root: str | Path | None = None,
    labels_root: str | Path | None = None,
    kinds: Sequence[type[Degradation]] = degradations.ALL,
    engine: Literal["local", "dask"] | Engine = "local",
    any_environment: bool = False,
    cache_bytes: int = CACHE_BYTES,
    on_progress: OnProgress | None = None,
) -> Report:
    """Finish a data set: make the shards that are missing and those whose files have the wrong size.

    Parameters
    ----------
    redo
        Shards to make again although their files look complete, such as those that :func:`~blursynth.dataset.verify`
        found damaged. The result must match the content stated in their manifests.
    source_root
        Folder of the source pictures; by default where they were when the data set was started.
    depth_root, labels_root
        Folders of the depth and label maps; by default where they were.
    kinds
        Degradations that the recipe may use.

    Raises
    ------
    DatasetError
        As for :func:`generate`; or the source pictures are no longer where they were.
    """
    work = Work(checked_workers(workers), engine, any_environment, cache_bytes, on_progress)
    out = writable(out, work)
    try:
        spec = load_spec(out)
    except DatasetError as error:
        raise unrecovered(out, error) if _shard_length(out) is not None else error from None
    wanted = chosen_shards(shards, spec)
    again = tuple(sorted(set(redo)))
    for shard in again:
        if not 0 <= shard < spec.shards:
            raise InvalidValueError(
                (Argument("redo"), f": there is no shard {shard}; the data set has {spec.shards}."),
                field="redo",
                value=shard,
            )
    lacking = _lacking(out, spec)
    if lost := [name for name in lacking if name.startswith("assets/")]:
        raise DatasetError(
            f"{out}: {', '.join(lost[:3])} {'is' if len(lost) == 1 else 'are'} missing.",
            why="The recipe refers to these measurements.",
            fix=f"Run blursynth repair {out}, which restores them from their copies, or blursynth generate with the "
            "original arguments.",
        )
    roots = functools.partial(source_roots, out, spec, source_root, depth_root, labels_root)
    report = _run(out, spec, tuple(kinds), roots, wanted, again, work)
    lost = [f"{name} is missing: blursynth generate with the same arguments writes it again" for name in lacking]
    return replace(report, notes=(*report.notes, *lost))


def finalize(out: str | Place) -> dict[str, str]:
    """Write the index, the data card (README.md) and the Croissant metadata of a data set with all its shards.

    Returns
    -------
    dict
        The digests of pixels and draws.

    Raises
    ------
    DatasetError
        A shard is missing.
    """
    out = as_place(out)
    spec = load_spec(out)
    refuse_links(out)
    return asdict(write_index(out, spec).digest)


def _run(
    out: Place,
    spec: Spec,
    kinds: tuple[type[Degradation], ...],
    roots: Callable[[], dict[str, str]],
    wanted: range,
    again: tuple[int, ...],
    work: Work,
) -> Report:
    start = time.monotonic()
    refuse_links(out)
    folder = DatasetFolder.begun(out)
    total = samples_of(spec, wanted)
    kept = _kept(out, spec, wanted, again)
    made: dict[int, int] = {}
    notes: list[str] = []
    digest = _digest_if_complete(out, spec) if len(kept) == len(wanted) else None
    if len(kept) == len(wanted) and (digest is not None or missing_shards(out, spec)):
        _tell(work, total, total)  # nothing to do, so nothing is written, since the folder may be read-only
        sweep_left_over(out)
    else:
        with locked(out, wanted.start, wanted.stop):
            sweep(out, wanted, tuple(a.name for a in spec.arrays))
            sweep_left_over(out)
            for name in ("manifest", "draws", *(a.name for a in spec.arrays)):
                folder.make(folder.path / name)
            create_store(out, spec)
            keep_copies(folder, spec)
            kept = _kept(out, spec, wanted, again)
            missing = sorted(set(wanted).difference(kept))
            _tell(work, samples_of(spec, kept), total)
            if missing:
                job = Job(folder, kinds, roots(), work.any_environment, work.cache_bytes)
                made, notes = make_shards(job, spec, missing, again, work, total)
            folder.check()
            unseen = sorted(set(wanted).difference(finished_shards(out)))  # a listing may lag behind
            if lost := [s for s in unseen if not manifest_path(out, s).exists()]:
                raise DatasetError(
                    f"{out}: shard {lost[0]} was finished but no longer exists.",
                    why="Another program removed it while other shards were being made.",
                    fix="Run blursynth resume to make it again.",
                )
            if not missing_shards(out, spec):
                digest = _digest_if_complete(out, spec) if not made else None
                digest = digest or finalize(out)
                folder.check()
    return Report(
        out=out,
        count=spec.count,
        shards=spec.shards,
        made=tuple(sorted(made)),
        kept=tuple(kept),
        samples=samples_of(spec, made),
        seconds=time.monotonic() - start,
        disk_bytes=sum(made.values()),
        finished=digest is not None,
        digest=digest or {},
        notes=tuple(notes),
        sources=len(spec.sources),
        passed_over=None if spec.min_detail is None else passed_over_share(out, spec, sorted(made)),
    )


def make_shards(
    job: Job, spec: Spec, missing: Sequence[int], again: Sequence[int], work: Work, total: int
) -> tuple[dict[int, int], list[str]]:
    """Make shards, report progress, and remove what writers that were stopped left; returns their bytes, and notes."""
    running: dict[int, int] = {}
    made: dict[int, int] = {}
    notes: list[str] = []
    done = total - samples_of(spec, missing)
    arrays = tuple(a.name for a in spec.arrays)
    try:
        with closing(make_engine(work.engine, work.workers, len(missing))) as runner:
            # New shards and shards to redo differ in one flag, so they are made one group after the other.
            for flag in (False, True):
                part = [s for s in missing if (s in again) is flag]
                if not part:
                    continue
                runner.submit(job, part, again=flag)
                for event in runner.completed():
                    done += event.done - running.pop(event.shard, 0)
                    if event.manifest is not None:
                        made[event.shard] = event.manifest.size
                    else:
                        running[event.shard] = event.done
                    if event.note:
                        notes.append(event.note)
                    _tell(work, done, total, event.note)
    finally:
        if job.folder.is_same():  # in another folder, leftovers are not ours
            sweep(job.folder.path, range(min(missing), max(missing) + 1), arrays)
    return made, notes


def samples_of(spec: Spec, shards: Iterable[int]) -> int:
    """Number of samples of some shards."""
    return sum(len(spec.range_of(s)) for s in shards)


def _kept(out: Place, spec: Spec, wanted: range, again: Sequence[int]) -> list[int]:
    there = [s for s in finished_shards(out) if s in wanted and s not in again]
    if isinstance(out, Path):
        return [s for s in there if shard_state(out, s, spec) is not None]
    # One listing instead of requests for every file, and several requests for manifests at a time.
    sizes = dict(out.below()) if there else {}
    with ThreadPoolExecutor(_REQUESTS) as pool:
        found = pool.map(lambda s: shard_state(out, s, spec, sizes), there)
        return [s for s, manifest in zip(there, found, strict=True) if manifest is not None]


def _digest_if_complete(out: Place, spec: Spec) -> dict[str, str] | None:
    """The digests of a data set with no file missing; otherwise None."""
    files = ("README.md", "croissant.json", "zarr.json", *(f"{a.name}/zarr.json" for a in spec.arrays))
    if not all((out / name).is_file() for name in files):
        return None
    try:
        index = read_index(out, spec)
        if index is None or not index_fits(index, spec, [read_manifest(out, s, spec) for s in range(spec.shards)]):
            return None
    except DatasetError:
        return None
    return asdict(index.digest)


def _tell(work: Work, done: int, total: int, note: str = "") -> None:
    if work.on_progress is not None:
        work.on_progress(Progress("generate", done, total, note=note))


def begun_in(out: Place) -> tuple[int | None, DatasetError | None]:
    """Samples of a full shard of the data set in ``out``, None if it is new; and any damage to its description."""
    begun, damage = _begun(out)
    return begun.shard_length if begun is not None else _shard_length(out), damage


def _begun(out: Place) -> tuple[Spec | None, DatasetError | None]:
    """The specification in ``out``, None if it is new or empty; or its error if shards are already finished."""
    refuse_links(out)
    if (out / "dataset.json").exists():
        try:
            return load_spec(out), None
        except DatasetError as error:
            if _shard_length(out) is None:
                raise
            return None, error
    if _shard_length(out) is not None:
        return None, DatasetError(f"{out / 'dataset.json'}: the description of the data set is missing.")
    if (out / COPIES / "dataset.json").exists():
        load_spec(out)  # says how it is restored
    require_free(out, {"assets", ".locks"} | ({"skipped.json"} if _skipped_is_ours(out) else set()))
    return None, None


def require_free(out: Place, allowed: set[str]) -> None:
    """Refuse a place that holds something else; an interrupted start may have left the ``allowed`` files."""
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out}: is a file, not a folder.", fix="Choose another place.")
    names = sorted(p.name for p in (out.iterdir() if out.exists() else ()))
    if others := [name for name in names if name not in allowed and not name.endswith(PARTIAL)]:
        raise DatasetError(
            f"{out}: the folder holds something else ({', '.join(others[:3])}).",
            why="Existing files are not overwritten.",
            fix="Choose a new or empty folder.",
        )


def _shard_length(out: Place) -> int | None:
    """Samples of a full shard, from the first readable manifest; None without one."""
    for shard in finished_shards(out):
        try:
            manifest = read_json(manifest_path(out, shard), "the manifest")
            first, last = manifest["first"], manifest["last"]
            length = first // shard if shard else last - first
        except (DatasetError, KeyError, TypeError):
            continue
        if isinstance(length, int) and length > 0:
            return length
    return None


def _recover(out: Place, spec: Spec, damage: DatasetError, any_environment: bool) -> Spec:
    """Rewrite ``dataset.json`` if the finished shards prove that it was this one."""
    found, others = [], 0
    for shard in finished_shards(out):
        with suppress(DatasetError):  # damaged, so it is rebuilt, or of another data set
            found.append(read_manifest(out, shard, spec))
    for shard in finished_shards(out):
        with suppress(DatasetError):
            others += read_json(manifest_path(out, shard), "the manifest").get("request_sha256") != spec.sha256()
    if not found or others:
        raise unrecovered(out, damage)
    if not any_environment and any(manifest.environment_sha256 != environment_sha256() for manifest in found):
        raise DatasetError(
            damage.what,
            why="Its shards were made in another environment (versions or processor), which they do not record.",
            fix=(
                "Run it where they were made, or allow it with ",
                Argument("any_environment", True),
                "; or restore it from a backup.",
            ),
        )
    write_atomically(out / "dataset.json", spec.to_json())
    return load_spec(out)


def unrecovered(out: Place, damage: DatasetError) -> DatasetError:
    """The error for a damaged description of a data set that has finished shards."""
    return DatasetError(
        damage.what,
        why=damage.why,
        fix=f"Run blursynth repair {out}, which restores it from its copy; or blursynth generate with the original "
        "arguments, which rewrites it if the finished shards agree.",
    )


def _begin(out: Place, prepared: Prepared | PreparedPairs) -> Spec:
    """Write the constant files, ``dataset.json`` last, so that its existence implies that of the others."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_beside(out, prepared)
        write_atomically(out / "dataset.json", prepared.spec.to_json(), exclusive=True)
    except OSError as error:
        raise disk_error(error, out) from None
    return load_spec(out)  # if two start at the same time, that of the first


def _write_beside(out: Place, prepared: Prepared | PreparedPairs) -> None:
    """Write missing files beside ``dataset.json`` whose content only the call that starts a data set knows."""
    save_assets(prepared.spec.recipe, out)
    if not _skipped_is_ours(out):
        write_atomically(out / "skipped.json", sealed(prepared.scan.not_used()))


def _skipped_is_ours(out: Place) -> bool:
    """Whether the list of unused inputs exists unchanged."""
    try:
        read_sealed(out / "skipped.json", "the list of unused inputs", NotUsed)
    except DatasetError:
        return False
    return True


def _lacking(out: Place, spec: Spec) -> list[str]:
    """Missing files that only the call that starts a data set can write."""
    lacking = [f"assets/{p.name}" for p in (asset_path(out, n) for n in asset_names(spec.recipe)) if not p.is_file()]
    return lacking if _skipped_is_ours(out) else [*lacking, "skipped.json"]


def check_draws(prepared: Prepared) -> float | None:
    """Refuse, before anything is written, draws that would fail later because no source or array can hold them.

    Checks a tenth of the samples, evenly spaced, but at least ``FEW_DRAWS`` and at most ``CHECKED_DRAWS``; only
    ``FEW_DRAWS`` if pixels are needed (for reaches that depend on depth, and for a minimum detail); every sample if
    kernels are stored, whose size must fit all. Returns the share of windows
    that were passed over for too little detail; None without a minimum.
    """
    spec, renderer = prepared.spec, prepared.renderer
    stored = next((a.shape[0] for a in spec.arrays if a.name == "kernel"), None)
    varying = sorted({kind.kind for _, sampler in renderer.recipe.steps for kind in sampler.kinds() if kind.varies})
    if stored is not None and varying:
        raise InvalidValueError(
            f"The array 'kernel' cannot be stored for a recipe with {', '.join(varying)}.",
            why="Its blur differs from pixel to pixel, so no single kernel represents it.",
            fix="Leave the kernel out: the draw of every sample holds the parameters of its blur.",
        )
    sees_pixels = renderer.looks_at_maps or spec.min_detail is not None
    most = FEW_DRAWS if sees_pixels else min(CHECKED_DRAWS, max(FEW_DRAWS, spec.count // 10))
    checked = range(0, spec.count, 1 if stored is not None else max(1, spec.count // most))
    needed, passed_over = 1, 0
    for index in checked:
        placement = renderer.place(index)
        draw = placement.draw
        passed_over += placement.passed_over
        if stored is not None:
            spreads = [spread for _, step in draw.steps if (spread := step.point_spread()) is not None]
            needed = max(needed, 1 + 2 * sum(int(psf.reach_px()[0]) for psf in spreads))
    if stored is not None and needed > stored:
        raise InvalidValueError(
            (
                Argument("kernel_size_px"),
                f" must be at least {needed} for the kernels of these {spec.count} samples, got {stored}.",
            ),
            fix=("Give ", Argument("kernel_size_px", needed), ", or leave the kernel out (the draw holds it)."),
            field="kernel_size_px",
            value=stored,
        )
    return None if spec.min_detail is None else passed_over / (passed_over + len(checked))


def _check_room(prepared: Prepared | PreparedPairs, workers: int, out: Place, wanted: range) -> None:
    """Refuse a data set that will not fit: make a few samples; if the raw size does not fit, estimate the real one."""
    spec, free = prepared.spec, _free(out)
    if free is None:
        _planned(prepared, workers, out, 1)
        return
    share = sum(len(spec.range_of(s)) for s in wanted) / spec.count
    roomy = spec.count * (spec.sample_bytes + 2500) * share < free
    # At least one sample, so that a recipe that does not fit the pictures fails here instead of in a worker, and
    # compiled kernels are in the cache before many processes need them.
    estimate = _planned(prepared, workers, out, 1 if roomy else 8)
    if not roomy and (needed := estimate.disk_bytes * share) > free:
        raise DatasetError(
            f"{out}: the data set needs about {needed / 1e6:,.0f} MB, but the disk has only {free / 1e6:,.0f} MB left.",
            fix="Free some space, choose another disk, or request fewer or smaller pairs.",
        )


def _free(out: Place) -> int | None:
    """Free bytes on the disk of a folder; None for object storage."""
    if not isinstance(out, Path):
        return None
    folder = out.resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def writable(out: str | Place, work: Work) -> Place:
    """The place of a data set, if these workers can write to it."""
    place = as_place(out)
    if isinstance(place, ObjectPath):
        if place.read_only:
            raise DatasetError(
                f"{place}: can be read, but not written.", fix="Give a path, or an s3://, gs:// or az:// URL."
            )
        if not place.key:
            raise DatasetError(f"{place}: is a whole bucket.", fix=f"Give the data set a name in it: {place}/pairs.")
        if place.in_this_process and (work.engine != "local" or work.workers != 1):
            raise InvalidValueError(
                f"{place}: is in the memory of this process, and other processes do not see it.",
                fix=("Give ", Argument("workers", 1), ", or another place."),
                field="workers",
                value=work.workers,
            )
    return place


def checked_workers(workers: int | None) -> int:
    """A number of workers: by default one per core."""
    if workers is None:
        return available_cores()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InvalidValueError(
            (Argument("workers"), f" must be an integer >= 1, got {workers!r}."), field="workers", value=workers
        )
    return workers
