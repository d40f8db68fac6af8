"""From public sets of real pairs to data sets: find the pairs, check them, and cut windows from them."""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from blursynth.backends.cores import available_cores
from blursynth.dataset.cut import PairCutter
from blursynth.dataset.engine import Engine
from blursynth.dataset.generate import PreparedPairs, Report, Work, begun_in, checked_workers, make, writable
from blursynth.dataset.progress import OnProgress, Progress
from blursynth.dataset.public_sets import NOT_STATED, PUBLIC_SETS, PublicSet, public_set
from blursynth.dataset.render import CACHE_BYTES
from blursynth.dataset.schema import spec_of_pairs
from blursynth.dataset.shards import Codec
from blursynth.dataset.sources import Scan, Skipped, Source, in_order, reasons, share_of_memory, size_text
from blursynth.errors import Argument, BlursynthError, DatasetError, InvalidValueError, PictureError
from blursynth.io.decoders import CODE_SUFFIXES
from blursynth.io.folders import walk
from blursynth.io.object_store import Place
from blursynth.io.pair_layouts import FoundPairs, NotLaidOutError, find_pairs
from blursynth.io.pictures import file_sha256, read_header, read_pixels
from blursynth.records.kind import Record
from blursynth.records.text import name_of, printable

__all__ = ["import_pairs", "scan_pairs"]


class _Windows(Record):
    names_arguments: ClassVar[bool] = True

    size_px: int = Field(ge=8, lt=2**31, description="side of the square windows in px")
    shard_length: int | None = Field(ge=1, lt=2**63, description="number of samples per shard")
    codec: Codec


def import_pairs(
    name: str,
    folder: str | Path,
    out: str | Place,
    *,
    split: str = "train",
    size_px: int = 256,
    shard_length: int | None = None,
    codec: Codec = "lz4",
    workers: int | None = None,
    shards: tuple[int, int] | None = None,
    engine: Literal["local", "dask"] | Engine = "local",
    any_environment: bool = False,
    on_progress: OnProgress | None = None,
) -> Report:
    """Cut a public set of real pairs into windows and write them as a data set; calling it again resumes.

    The windows are the fewest that cover each pair, evenly spaced, so that every pixel of the set is there. No numbers
    are drawn: ``draw`` of the samples is None, and there is no recipe. All else is as for a generated data set: it is
    read, verified, repaired, exported and trained on in the same way.

    Parameters
    ----------
    name
        Name of the set: gopro, gopro-gamma, hide, reds, reds-jpeg, realblur-j, realblur-r, rsblur or dvd.
    folder
        Folder into which the set was unpacked, or one within it.
    out
        Folder of the data set: new, empty, or started with the same arguments.
    split
        Name of the split: "train" or "test"; of reds "train" or "val"; of rsblur one of the three.
    size_px
        Side of the square windows in px, >= 8.
    shard_length, codec
        As in a :class:`~blursynth.dataset.DatasetRequest`.
    workers, shards, engine, any_environment, on_progress
        See :func:`~blursynth.dataset.generate`.

    Raises
    ------
    InvalidValueError
        There is no such set or split, or a picture is smaller than ``size_px``.
    DatasetError
        The folder has another layout, or pictures have no partner; or as for :func:`~blursynth.dataset.generate`.
    PictureError
        The two pictures of a pair differ in size or bit depth, or one cannot be read. A set is imported as a whole.

    Notes
    -----
    Not modeled: pictures are not registered again, and their values are not changed.
    """
    chosen = public_set(name)
    chosen.split(split)
    windows = _Windows(size_px=size_px, shard_length=shard_length, codec=codec)
    work = Work(checked_workers(workers), engine, any_environment, CACHE_BYTES, on_progress)
    out = writable(out, work)
    length, damage = begun_in(out)
    scan = scan_pairs(chosen, folder, split, size_px=size_px, workers=work.workers, on_progress=on_progress)
    spec = spec_of_pairs(
        scan,
        f"{name} {split}",
        size_px=windows.size_px,
        shard_length=windows.shard_length or length,
        codec=windows.codec,
        summary=chosen.summary,
        license="" if chosen.license == NOT_STATED else chosen.license,
        workers=work.workers,
    )
    return make(PreparedPairs(scan, spec, PairCutter(spec, scan.roots)), out, damage, shards, work)


def scan_pairs(
    chosen: PublicSet,
    folder: str | Path,
    split: str,
    *,
    size_px: int = 1,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Scan:
    """Find the pairs of a split and decode each picture once, since a truncated file may have a whole header.

    Raises
    ------
    DatasetError, PictureError, InvalidValueError
        As :func:`import_pairs`.
    """
    found = _found(chosen, folder, split)
    root = _root(found)
    halves = {
        name: (sharp[0], blurred) for name, sharp, blurred in zip(found.names, found.sharp, found.blurred, strict=True)
    }
    workers = workers or available_cores()
    most_bytes = share_of_memory(workers)
    pairs, wrong = list[Source](), list[Skipped]()
    last = 0.0
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=workers) as pool:
        warnings.simplefilter("ignore")  # as in scan_sources
        try:
            results = in_order(
                pool, lambda name: _examine(name, *halves[name], root, chosen, most_bytes), halves, 4 * workers
            )
            for done, one in enumerate(results, 1):
                if isinstance(one, Source):
                    pairs.append(one)
                else:
                    wrong.append(one)
                if on_progress is not None and (done == len(halves) or time.monotonic() - last > 0.1):
                    last = time.monotonic()
                    on_progress(Progress("scan", done, len(halves), skipped=tuple((s.name, s.why) for s in wrong)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _check(pairs, wrong, size_px)
    first: dict[tuple[str, str], Source] = {}
    duplicates = []
    for pair in pairs:
        same = first.setdefault((pair.sha256, pair.blurred_sha256), pair)
        if same is not pair:
            duplicates.append(Skipped(pair.name, f"the same pair as {same.name}"))
    notes: tuple[str, ...] = ()
    if chosen.pairs.get(split, len(pairs)) != len(pairs):
        notes = (
            f"{len(pairs):,} pairs were found, but the split {split} of {chosen.name} has {chosen.pairs[split]:,}",
        )
    return Scan(
        usable=tuple(first[key] for key in sorted(first)),
        skipped=_others(found, f"{chosen.name}, split {split}"),
        duplicates=tuple(duplicates),
        roots={"": str(root)},
        notes=notes,
        ignored=dict(found.inside.endings),
    )


def _found(chosen: PublicSet, folder: str | Path, split: str) -> FoundPairs:
    """The pairs of a folder, all of which are complete."""
    try:
        found = find_pairs(folder, chosen.split(split), f"{chosen.name}, split {split}")
    except NotLaidOutError as error:
        if other := _other_set(error.folder):
            what = f"{error.folder}: is laid out like {' and '.join(other)}, not like {chosen.name}, split {split}."
            raise DatasetError(what, fix="Name that set and split, or give another folder.") from None
        raise
    if found.alone:
        raise DatasetError(
            f"{found.folder}: {len(found.alone)} sharp "
            f"{'pictures have' if found.alone[1:] else 'picture has'} no blurred one, such as {found.alone[0]}.",
            why="A set is imported as a whole.",
            fix="Was the archive unpacked completely?",
        )
    return found


def _other_set(folder: Path) -> list[str]:
    """Sets and splits that a folder holds."""
    inside, names = walk(folder, CODE_SUFFIXES), []
    for one in PUBLIC_SETS.values():
        for split, layouts in one.layouts.items():
            with suppress(DatasetError):  # it looks so, but is not complete
                if any(layout.open(folder, inside) is not None for layout in layouts):
                    names.append(f"{one.name}, split {split}")
    return names


def _root(found: FoundPairs) -> Path:
    """The folder that all pictures are below: the given one, unless one half lies beside it."""
    pictures = [*found.blurred, *(sharp[0] for sharp in found.sharp)]
    if all(picture.is_relative_to(found.folder) for picture in pictures):
        return found.folder
    return Path(os.path.commonpath([picture.parent for picture in pictures]))


def _examine(name: str, sharp: Path, blurred: Path, root: Path, chosen: PublicSet, most_bytes: int) -> Source | Skipped:
    try:
        info = read_header(sharp, most_bytes=most_bytes)
        read_header(blurred, most_bytes=most_bytes)
        codes = read_pixels(sharp), read_pixels(blurred)
        (height, width), other = codes[0].shape[:2], codes[1].shape[:2]
        if (height, width) != other:
            return Skipped(name, f"{sharp} has {size_text(height, width)}, but {blurred} has {size_text(*other)}")
        bits = [8 * half.dtype.itemsize for half in codes]
        if bits[0] != bits[1]:
            return Skipped(name, f"{sharp} has {bits[0]} bits, but {blurred} has {bits[1]}")
        return Source(
            name_of(sharp.relative_to(root)), file_sha256(sharp), height, width, bits[0], chosen.license,
            info.icc_profile, attribution=chosen.citation, url=chosen.url,
            blurred=name_of(blurred.relative_to(root)), blurred_sha256=file_sha256(blurred),
        )  # fmt: skip
    except BlursynthError as error:
        return Skipped(name, printable(f"{error.place}: {error.what}" if error.place else error.what).rstrip("."))
    except OSError as error:
        return Skipped(name, f"{error.filename} cannot be read ({error.strerror})")
    except MemoryError:
        return Skipped(name, "there is not enough memory to decode it")


def _check(pairs: list[Source], wrong: list[Skipped], size_px: int) -> None:
    """Refuse a set with pairs that cannot be used."""
    if wrong:
        raise PictureError(
            f"{len(wrong)} of {len(wrong) + len(pairs)} pairs cannot be used: {reasons(wrong)}.",
            why="Both pictures of a pair must be readable, and have one size and one bit depth.",
            fix="Unpack the archive again, or remove these pairs; resizing would change the blur.",
        )
    depths = Counter(pair.bit_depth for pair in pairs)
    if len(depths) > 1:
        few = min(depths, key=lambda bits: (depths[bits], -bits))
        rare = [pair for pair in pairs if pair.bit_depth == few]
        raise PictureError(
            f"{len(rare)} of {len(pairs)} pairs have {few} bits, such as {rare[0].name}, and the others {24 - few}.",
            why="One array cannot hold both.",
            fix="Import them from two folders.",
        )
    small = [pair for pair in pairs if min(pair.height, pair.width) < size_px]
    if small:
        least = min(small, key=lambda pair: min(pair.height, pair.width))
        side = min(least.height, least.width)
        raise InvalidValueError(
            (
                Argument("size_px"),
                f" is {size_px}, but {len(small)} of {len(pairs)} pairs are smaller, such as {least.name} with "
                f"{size_text(least.height, least.width)}.",
            ),
            fix=("Give ", Argument("size_px", side), " or less."),
            field="size_px",
            value=size_px,
        )


def _others(found: FoundPairs, what: str) -> tuple[Skipped, ...]:
    """What a folder holds beside the pairs, folder by folder."""
    used = {*found.blurred, *(sharp[0] for sharp in found.sharp)}
    counts = Counter(path.parent for path in found.inside.paths if path not in used)
    return (
        *(Skipped(printable(name_of(path)), printable(why)) for path, why in found.inside.left_out),
        *(
            Skipped(
                f"{printable(name_of(path.relative_to(found.folder)))}/",
                f"not of {what}: {count} {'picture' if count == 1 else 'pictures'}",
            )
            for path, count in sorted(counts.items())
        ),
    )
