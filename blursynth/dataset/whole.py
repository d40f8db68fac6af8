"""Blur whole photographs of any size: two folders of files, sharp and blurred, with the draws beside them.

Layout of the result, as in public data sets of pairs::

    out/request.json          recipe, seed and tiles: what determines the pixels
    out/sharp/NAME.png        the target of each picture
    out/blurred/NAME.png      what the camera writes
    out/draws.jsonl           a line for each pair: its source, its parameters, sha256 of both files
    out/skipped.json          inputs that were not used, and why
    out/assets/               measured kernels and recorded paths that draws refer to

A pair exists once its line does, which is written last.
"""

from __future__ import annotations

import json
import os
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from blursynth.core import Draw
from blursynth.dataset.asset_files import save_assets
from blursynth.dataset.files import (
    canonical,
    disk_error,
    locked,
    read_json,
    refuse_links,
    require_regular,
    sha256_hex,
    write_atomically,
)
from blursynth.dataset.folder import DatasetFolder
from blursynth.dataset.generate import Prepared, checked_workers, other_arguments, prepare, require_free
from blursynth.dataset.progress import OnProgress, Progress
from blursynth.dataset.render import Renderer, require_shape, rounded
from blursynth.dataset.request import DatasetRequest
from blursynth.dataset.sample_records import RECORD_BYTES
from blursynth.dataset.schema import Spec
from blursynth.dataset.sources import Skipped, Source
from blursynth.errors import Argument, BlursynthError, DatasetError, InvalidValueError, Message
from blursynth.io.atomic import PARTIAL
from blursynth.records.nesting import is_too_deep
from blursynth.records.text import is_inside

__all__ = ["PicturesReport", "blur_pictures"]

TILE_PX = 1024
SMALLEST_TILE_PX = 64
SMALLEST_PX = 8  # sides of pictures
FORMAT, SCHEMA = "blursynth-pictures", 1
HALVES = ("sharp", "blurred")


@dataclass(frozen=True)
class PicturesReport:
    """Result of :func:`blur_pictures`.

    Parameters
    ----------
    out
        Folder of the result.
    made, kept
        Names of the pairs that were made by this run, and of those that already existed.
    skipped, duplicates
        Inputs that were not used, and why.
    seconds
        Time it took to make them, without the scan.
    notes
        Remarks about the result.
    ignored
        Number of files of unknown format in the given folders, by extension.
    """

    out: Path
    made: tuple[str, ...]
    kept: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    duplicates: tuple[Skipped, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    ignored: dict[str, int] = field(default_factory=dict)


def blur_pictures(
    request: DatasetRequest,
    out: str | Path,
    *,
    tile_px: int = TILE_PX,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> PicturesReport:
    """Blur whole photographs, each with its own draw. Calling it again resumes where it stopped.

    The draw of a picture is determined by the seed and the picture's content alone, so neither names nor other pictures
    matter. Other seeds make other pairs of the same pictures.

    Parameters
    ----------
    request
        The pictures and what happens to their light; its parameters for crops are ignored.
    out
        Folder of the result: new, empty, or started with the same recipe, seed and tiles. It receives ``sharp/``,
        ``blurred/`` and ``draws.jsonl``. Names and subfolders are those of the sources. Files are lossless PNG, with 16
        bits if the source or the last step of the recipe has more than 8 bits, otherwise with 8 bits. Pairs of linear
        light are float32 TIFF files.
    tile_px
        Side of the square tiles that are processed one after another, >= 64, each with the reach of the draw as margin.
        Apart from the codes of the picture (3 bytes per pixel, and 6 for the pair; twice that for 16 bits), memory
        grows with the tile alone. 0: the whole picture at once, which is also done for draws with unbounded reach, for
        circular borders, and to make draws that depend on pixels.
    workers
        Number of pictures processed in parallel, by threads; by default the number of cores.
    on_progress
        Called from time to time with a :class:`~blursynth.dataset.progress.Progress`.

    Raises
    ------
    PictureError
        No usable source.
    RecipeError
        The recipe gives raw values, or does not accept these sources.
    DatasetError
        ``out`` is something else, is inside the folder of the sources, was started with other arguments, is being
        written by another process, or cannot be written.

    Notes
    -----
    Tiles equal the whole picture bit for bit if point spreads are applied tap by tap. Those with very many taps use
    Fourier transforms, whose error of about 1e-6 depends on the tile: about one code in 10,000 differs by one, which
    noise and compression after the blur may amplify. The side of the tiles is therefore part of the request.

    At the edges of the picture, light from beyond is missing and the ``border`` of each step applies, unlike in data
    sets of crops.
    """
    out, workers = Path(out), checked_workers(workers)
    if isinstance(tile_px, bool) or not isinstance(tile_px, int) or not (tile_px == 0 or tile_px >= SMALLEST_TILE_PX):
        raise InvalidValueError(
            (
                Argument("tile_px"),
                f" must be 0 for the whole picture, or an integer >= {SMALLEST_TILE_PX}, got {tile_px!r}.",
            ),
            field="tile_px",
            value=tile_px,
        )
    _check_place(out, request.sources)
    crops = {"count": 1, "size_px": SMALLEST_PX, "shard_length": 1, "crops_per_source": 1, "store": ()}
    prepared = prepare(request.replace(**crops, min_detail=None), workers=workers, on_progress=on_progress)
    spec, scan = prepared.spec, prepared.scan
    start = time.monotonic()
    refuse_links(out)
    notes = _begin(out, spec, tile_px)
    folder = DatasetFolder.begun(out, description="request.json")
    with locked(out, 0, 1):
        _sweep(out)
        records = _finished(out)
        names = _names(spec.sources, records, ".tif" if spec.arrays[0].dtype == "float32" else ".png")
        kept = [i for i, s in enumerate(spec.sources) if _is_there(out, records.get(names[i]), s)]
        missing = sorted(set(range(len(spec.sources))) - set(kept))
        failed = _make(folder, prepared, tile_px, workers, names, missing, records, len(kept), on_progress)
        skipped = (*scan.skipped, *(Skipped(spec.sources[i].name, why) for i, why in sorted(failed.items())))
        listed = replace(scan, skipped=skipped).not_used()
        write_atomically(out / "skipped.json", (json.dumps(listed, indent=1, allow_nan=False) + "\n").encode())
    made = [names[i] for i in missing if i not in failed]
    return PicturesReport(
        out=out,
        made=tuple(sorted(made)),
        kept=tuple(sorted(names[i] for i in kept)),
        skipped=skipped,
        duplicates=scan.duplicates,
        seconds=time.monotonic() - start,
        notes=(*scan.notes, *notes, *_notes(spec)),
        ignored=scan.ignored,
    )


def _make(
    folder: DatasetFolder,
    prepared: Prepared,
    tile_px: int,
    workers: int,
    names: list[str],
    missing: list[int],
    records: dict[str, dict[str, Any]],
    ready: int,
    on_progress: OnProgress | None,
) -> dict[int, str]:
    """Make these pairs; returns the reasons for those that cannot be made."""
    spec, failed = prepared.spec, dict[int, str]()
    mine = threading.local()  # a renderer keeps decoded pictures and must not be shared

    def pair(number: int) -> dict[str, Any] | str:
        if not hasattr(mine, "renderer"):
            mine.renderer = Renderer(spec, prepared.renderer.recipe, prepared.scan.roots, cache_bytes=0)
        return _pair(folder, mine.renderer, number, names[number], tile_px)

    def tell() -> None:
        if on_progress is not None:
            on_progress(Progress("generate", ready + done, ready + len(missing), skipped=tuple(
                (spec.sources[i].name, why) for i, why in failed.items()
            )))  # fmt: skip

    done = 0
    tell()
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=workers) as pool:
        warnings.simplefilter("ignore")  # those of Pillow, muted process-wide, as in scan_sources
        try:
            for number, record in _completed(pool, pair, missing, 2 * workers):
                if isinstance(record, str):
                    failed[number] = record
                else:
                    records[names[number]] = record
                    folder.check()
                    _append(Path(str(folder.path)), record)
                done += 1
                tell()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if missing:  # sort the lines, and drop those of pairs that were made again
        _write_records(Path(str(folder.path)), records)
    return failed


def _completed(pool: ThreadPoolExecutor, pair: Any, numbers: list[int], most: int) -> Iterator[tuple[int, Any]]:
    """Records as they are finished, or the reasons why there are none; at most ``most`` are in progress."""
    waiting: dict[Future[Any], int] = {}
    left = iter(numbers)
    while True:
        for number in left:
            waiting[pool.submit(pair, number)] = number
            if len(waiting) >= most:
                break
        if not waiting:
            return
        finished = next(as_completed(waiting))
        number = waiting.pop(finished)
        yield number, finished.result()


def _pair(folder: DatasetFolder, renderer: Renderer, number: int, name: str, tile_px: int) -> dict[str, Any] | str:
    """Make and write one pair; returns its record, or the reason why it cannot be made, which does not stop others."""
    spec, source = renderer.spec, renderer.spec.sources[number]
    try:
        outline = renderer.outline(number)
        seen = renderer.region(number, 0, 0, *outline.size_px) if renderer.recipe.sees_pixels else outline
        draw = renderer.recipe.sample(seen, seed=spec.seed, index=_index(source))
        # A border that wraps around to the other side of the picture does not exist in a tile.
        reach = None if draw.is_circular else draw.reach_px(outline)
        pictures = _in_tiles(renderer, number, draw, reach, tile_px)
    except BlursynthError as error:
        return error.what.rstrip(".")
    written = {}
    for half, picture in zip(HALVES, pictures, strict=True):
        data = _file_bytes(picture)
        path = folder.path / half / name
        try:
            folder.make(path.parent)
        except OSError as error:
            raise disk_error(error, path) from None
        write_atomically(path, data)
        written[half] = {"sha256": sha256_hex(data), "bytes": len(data)}
    height, width = outline.size_px
    maps = {key: value for key, value in source.to_dict().items() if key in ("depth_sha256", "labels_sha256")}
    return {
        "name": name,
        "source": source.name,
        "source_sha256": source.sha256,
        **maps,
        **({"encoding": source.encoding} if source.encoding else {}),
        **source.provenance,
        "height": height,
        "width": width,
        "index": _index(source),
        "reach": reach,
        "draw": draw.to_dict(),
        "files": written,
    }


def _index(source: Source) -> int:
    """Index of the draw: 60 bits of the hash of the content."""
    return int(source.sha256[:15], 16)


def _in_tiles(
    renderer: Renderer, number: int, draw: Draw, reach: int | None, tile_px: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both halves ``[H, W, 3]``, tile by tile; tiles at the edges of the picture have no margin there."""
    height, width = renderer.size_px(number)
    source = renderer.spec.sources[number]
    dtype = next(a.dtype for a in renderer.spec.arrays if a.name == "sharp")
    if dtype == "uint8" and source.bit_depth > 8:
        dtype = "uint16"
    sharp, blurred = (np.empty((height, width, 3), dtype) for _ in HALVES)
    if reach is None or tile_px == 0:
        reach, tile_px = 0, max(height, width)
    for top in range(0, height, tile_px):
        for left in range(0, width, tile_px):
            bottom, right = min(top + tile_px, height), min(left + tile_px, width)
            first_row, first_column = max(0, top - reach), max(0, left - reach)
            rows, columns = min(bottom + reach, height) - first_row, min(right + reach, width) - first_column
            pair = draw.pair(renderer.region(number, first_row, first_column, rows, columns))
            for whole, part in ((sharp, pair.sharp), (blurred, pair.blurred)):
                require_shape(part, rows, columns)
                inside = part.crop(top - first_row, left - first_column, bottom - top, right - left)
                whole[top:bottom, left:right] = rounded(inside, dtype)
    return sharp, blurred


def _file_bytes(picture: NDArray[Any]) -> bytes:
    suffix = ".tif" if picture.dtype == np.float32 else ".png"
    written, data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert written
    return data.tobytes()


def _names(sources: Sequence[Source], records: Mapping[str, Mapping[str, Any]], suffix: str) -> list[str]:
    """File names for each source: its own with another suffix, preceded by its own suffix if that name is taken.

    Existing names of pairs are kept.
    """
    given = {str(record.get("source")): name for name, record in records.items()}
    taken = {name.lower() for name in records}  # some file systems do not distinguish a.png from A.png
    names = {}
    for source in sorted(sources, key=lambda s: s.name):
        name = given.get(source.name, "")
        if not name:
            plain = PurePosixPath(source.name).with_suffix(suffix).as_posix()
            numbered = (f"{source.name}.{i}{suffix}" for i in count(2))
            name = next(n for n in chain((plain, f"{source.name}{suffix}"), numbered) if n.lower() not in taken)
            taken.add(name.lower())
        names[source.name] = name
    return [names[source.name] for source in sources]


def _is_there(out: Path, record: Mapping[str, Any] | None, source: Source) -> bool:
    """Whether a pair was made from exactly this source, and both files still have their original sizes."""
    if record is None:
        return False
    about = source.to_dict()
    keys = ("sha256", "depth_sha256", "labels_sha256", "encoding")
    if any(record.get("source_sha256" if key == "sha256" else key, "") != about.get(key, "") for key in keys):
        return False
    try:
        return all((out / h / record["name"]).stat().st_size == record["files"][h]["bytes"] for h in HALVES)
    except (OSError, KeyError, TypeError):
        return False


def _notes(spec: Spec) -> tuple[str, ...]:
    dtype = spec.arrays[0].dtype
    deep = sum(not source.is_linear and source.bit_depth > 8 for source in spec.sources)
    if not deep or dtype != "uint8":
        return ()
    which = "1 16-bit picture was" if deep == 1 else f"{deep} 16-bit pictures were"
    return (
        f"{which} rounded to 8 bits by the last step of recipe {spec.recipe_name} and stored in 16-bit files; to keep "
        "16 bits, use bit_depth = 16 in the last step (--set encode.bit_depth=16 if it is called encode).",
    )


def _check_place(out: Path, sources: Sequence[str]) -> None:
    """Refuse a result that the next run would mistake for sources."""
    for given in sources:
        folder = Path(given).expanduser()
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise DatasetError(
                f"{out}: is inside the folder of the sources, {folder}.",
                why="The next run would blur the output of this one.",
                fix="Choose a folder outside it.",
            )


def _begin(out: Path, spec: Spec, tile_px: int) -> tuple[str, ...]:
    """Write the constant files, or compare them with existing ones; returns notes on harmless differences."""
    wanted = {
        "format": FORMAT,
        "schema": SCHEMA,
        "recipe": spec.recipe,
        "recipe_name": spec.recipe_name,
        "seed": spec.seed,
        "tile_px": tile_px,
        "downscale": spec.downscale,
        "depth_format": spec.depth_format,
    }
    path = out / "request.json"
    if not path.exists():
        require_free(out, {".locks", "assets"})
        try:
            out.mkdir(parents=True, exist_ok=True)
            save_assets(spec.recipe, out)
        except OSError as error:
            raise disk_error(error, out) from None
        text = json.dumps({**wanted, "environment": spec.environment}, indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_atomically(path, text.encode(), exclusive=True)
    begun = read_json(path, "the request of these pictures")
    changed: list[Message] = [
        (Argument(key), f" ({begun.get(key)!r} there, {value!r} now)") if isinstance(value, str | int) else key
        for key, value in wanted.items()
        if begun.get(key) != value and key != "recipe_name"
    ]
    if changed:
        raise other_arguments(out, changed, "Two kinds of pairs cannot share a folder.")
    if begun.get("environment") != spec.environment:
        return ("the pairs were started with other versions or on another processor; pixels may differ by rounding.",)
    return ()


def _sweep(out: Path) -> None:
    """Remove leftovers of killed writers; no other process writes here now."""
    for half in HALVES:
        for litter in (out / half).rglob(f"*{PARTIAL}"):
            litter.unlink(missing_ok=True)


def _finished(out: Path) -> dict[str, dict[str, Any]]:
    """The records of finished pairs, by name; a truncated line is left out and repaired."""
    path = out / "draws.jsonl"
    if not path.exists():
        return {}
    records: dict[str, dict[str, Any]] = {}
    try:
        sound = require_regular(path).st_nlink == 1  # lines are appended to it, and never to another file
        with path.open("rb") as file:
            while line := file.readline(RECORD_BYTES):
                if (record := _record(line)) is None:
                    sound = False
                else:
                    records[record["name"]] = record
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"{path}: the draws cannot be read ({error.strerror}).") from None
    if not sound:
        _write_records(out, records)
    return records


def _record(line: bytes) -> dict[str, Any] | None:
    """The content of a line; None if it is truncated or was not written by this module."""
    try:
        record = json.loads(line)
        name = record["name"]
        whole = line == canonical(record) + b"\n" and not is_too_deep(record)
        name.encode()  # raises for a lone surrogate
        inside = is_inside(name)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return record if whole and inside else None


def _append(out: Path, record: Mapping[str, Any]) -> None:
    path = out / "draws.jsonl"
    try:
        with path.open("ab") as file:
            file.write(canonical(record) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise disk_error(error, path) from None


def _write_records(out: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    write_atomically(out / "draws.jsonl", b"".join(canonical(records[name]) + b"\n" for name in sorted(records)))
