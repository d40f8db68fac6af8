"""Data sets in the layouts that other code reads: folders, LMDB, WebDataset, Parquet, HDF5."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cores import available_cores
from blursynth.dataset.files import canonical, disk_error, read_sealed, refuse_links, sealed
from blursynth.dataset.folder import sweep_left_over
from blursynth.dataset.generate import require_free
from blursynth.dataset.progress import OnProgress, Progress
from blursynth.dataset.reader import Dataset, open_dataset
from blursynth.dataset.samples import Sample
from blursynth.errors import Argument, DatasetError, InvalidValueError, require
from blursynth.io.atomic import PARTIAL, partial_path, sync_folder, write_atomically, writer_is_gone
from blursynth.io.folders import expanded

__all__ = ["Export", "ExportFormat", "export"]

ExportFormat = Literal["folders", "lmdb", "webdataset", "parquet", "hdf5"]

PNG_LEVEL = 1  # of compression, as in BasicSR's databases
_BLOCK_BYTES, _MOST_IN_BLOCK = 2**27, 64  # of samples that are read and compressed together
_DESCRIPTION = "export.json"
_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


@dataclass(frozen=True)
class Export:
    """Result of :func:`export`.

    Parameters
    ----------
    out
        The folder.
    pairs
        Number of pairs in it.
    written
        Number of pairs that this call wrote; the others were there.
    """

    out: Path
    pairs: int
    written: int


@dataclass(frozen=True)
class _Description:
    """What an exported folder holds, so that an interrupted export is only continued as what it was."""

    format: ExportFormat
    names: tuple[str, str]
    pairs: int
    pixels: str


def export(
    dataset: str | Path | Dataset,
    out: str | Path,
    *,
    to: ExportFormat = "folders",
    names: tuple[str, str] | None = None,
    on_progress: OnProgress | None = None,
) -> Export:
    """Write the pairs of a data set in a layout that existing code reads without a change.

    ==============  ==================================================================================================
    ``folders``     PNG files ``input/000000.png`` and ``target/000000.png`` (Restormer, MPRNet, BasicSR), and
                    ``metadata.jsonl`` for Hugging Face's ``imagefolder``
    ``lmdb``        ``input.lmdb`` and ``target.lmdb`` of PNG with ``meta_info.txt``, as BasicSR and NAFNet read them
    ``webdataset``  one tar per shard: ``000000.input.png``, ``000000.target.png``, ``000000.json``
    ``parquet``     one file per shard, whose columns Hugging Face's ``datasets`` decodes as images
    ``hdf5``        ``pairs.h5`` with ``input`` and ``target``, ``[N, H, W, 3]``, one chunk per picture, not compressed
    ==============  ==================================================================================================

    Every format has the record of each pair (source, license, window, draw): as ``json``, as columns, or in
    ``draws.jsonl``. Calling it again continues after an interruption; ``lmdb`` and ``hdf5`` begin again.

    Parameters
    ----------
    dataset
        A finished data set or its folder.
    out
        A new or empty folder, or one in which the same export was begun.
    to
        The format.
    names
        Names of the blurred and the sharp pictures instead of ``("input", "target")``: ``("blur", "sharp")`` as GoPro
        has them, ``("blur_crops", "sharp_crops")`` for NAFNet's configurations.

    Raises
    ------
    DatasetError
        The data set is damaged or not finished; ``out`` holds something else; the disk is full.
    InvalidValueError
        Linear light, which only ``hdf5`` can hold; a name that is none.
    MissingExtraError
        The package for a format is not installed (lmdb, pyarrow, h5py).
    """
    if to not in get_args(ExportFormat):
        raise InvalidValueError(
            (Argument("to"), f" must be one of {', '.join(get_args(ExportFormat))}, got {to!r}."), field="to", value=to
        )
    blurred, sharp = names = _checked_names(names or ("input", "target"))
    pairs = dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
    if pairs.spec.arrays[0].dtype == "float32" and to != "hdf5":
        raise InvalidValueError(
            f"{pairs.path}: holds linear light as float32, which PNG cannot hold.",
            fix=("Use ", Argument("to", "hdf5"), ", or end the recipe with an encode step."),
            field="to",
            value=to,
        )
    writer = _WRITERS[to](expanded(out), pairs, blurred, sharp)
    written = 0
    try:
        _begin(writer.out, _Description(to, names, len(pairs), pairs.digest["pixels"]))
        for done, new in writer.write():
            written += new
            if on_progress is not None:
                on_progress(Progress("export", done, len(pairs)))
    except OSError as error:
        found = disk_error(error, writer.out)
        raise DatasetError(found.what, fix="Mend that and export again; what is complete is kept.") from None
    return Export(writer.out, len(pairs), written)


def _checked_names(names: tuple[str, str]) -> tuple[str, str]:
    ok = len(names) == 2 and all(name and set(name) <= set(_NAME) for name in names) and names[0] != names[1]
    if not ok:
        raise InvalidValueError(
            (Argument("names"), f" must be two different names of letters, digits, - and _, got {tuple(names)!r}."),
            field="names",
            value=names,
        )
    return names[0], names[1]


def _begin(out: Path, wanted: _Description) -> None:
    """Make the folder, or continue what was begun there."""
    path = out / _DESCRIPTION
    if path.exists():
        refuse_links(out)
        there = read_sealed(path, "the description of the export", _Description)
        if there != wanted:
            raise DatasetError(
                f"{out}: another export was begun there ({there.format}, {there.pairs:,} pairs).",
                why="Two exports cannot share a folder.",
                fix="Choose a new or empty folder.",
            )
        sweep_left_over(out)
        return
    require_free(out, set())
    values = {"format": wanted.format, "names": list(wanted.names), "pairs": wanted.pairs, "pixels": wanted.pixels}
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(path, sealed(values))


def _png(codes: NDArray[Any]) -> bytes:
    """RGB codes of 8 or 16 bits as PNG."""
    written, data = cv2.imencode(".png", codes[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    if not written:
        raise DatasetError(f"A picture of {codes.shape} cannot be encoded as PNG.")
    return data.tobytes()


class _Writer(ABC):
    """Writes one format; ``write`` yields how many pairs there are so far, and how many of these are new."""

    def __init__(self, out: Path, pairs: Dataset, blurred: str, sharp: str) -> None:
        self.out, self.pairs, self.blurred, self.sharp = out, pairs, blurred, sharp
        self.width = max(6, len(str(len(pairs) - 1)))
        self.block = max(1, min(_MOST_IN_BLOCK, _BLOCK_BYTES // pairs.spec.sample_bytes))

    @abstractmethod
    def write(self) -> Iterator[tuple[int, int]]: ...

    def key(self, index: int) -> str:
        return f"{index:0{self.width}d}"

    def blocks(self, indices: Sequence[int]) -> Iterator[list[Sample]]:
        for first in range(0, len(indices), self.block):
            yield self.pairs.__getitems__(indices[first : first + self.block])

    def encoded(self, indices: Sequence[int]) -> Iterator[tuple[Sample, bytes, bytes]]:
        """Samples with their blurred and sharp pictures as PNG, compressed by one thread per core."""
        with ThreadPoolExecutor(available_cores()) as threads:
            for samples in self.blocks(indices):
                pictures = [one for sample in samples for one in (sample.blurred, sample.sharp)]
                data = list(threads.map(_png, pictures))
                yield from zip(samples, data[::2], data[1::2], strict=True)


class _Folders(_Writer):
    def write(self) -> Iterator[tuple[int, int]]:
        halves = [self.out / self.blurred, self.out / self.sharp]
        for folder in halves:
            folder.mkdir(exist_ok=True)
        there = [set(os.listdir(folder)) for folder in halves]
        missing = [i for i in range(len(self.pairs)) if not all(f"{self.key(i)}.png" in names for names in there)]
        done = len(self.pairs) - len(missing)
        yield done, 0
        for sample, blurred, sharp in self.encoded(missing):
            for folder, data in zip(halves, (blurred, sharp), strict=True):
                write_atomically(folder / f"{self.key(sample.index)}.png", data)
            done += 1
            yield done, 1
        self._metadata()

    def _metadata(self) -> None:
        path = self.out / "metadata.jsonl"
        if path.exists():
            return
        partial = partial_path(path)
        try:
            with partial.open("wb") as file:
                for record in self.pairs.records():
                    name = f"{self.key(record['index'])}.png"
                    files = {f"{half}_file_name": f"{half}/{name}" for half in (self.blurred, self.sharp)}
                    about = {"source": record["source"], "license": record["license"]}
                    file.write(canonical({**files, **about, "record": canonical(record).decode()}) + b"\n")
            _commit(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def _commit(partial: Path, path: Path) -> None:
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
    sync_folder(path.parent)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


class _PerShard(_Writer):
    """One file per shard of the data set, complete or absent."""

    suffix: str

    def write(self) -> Iterator[tuple[int, int]]:
        done = 0
        for shard in range(self.pairs.spec.shards):
            samples = self.pairs.spec.range_of(shard)
            path = self.out / f"{shard:06d}{self.suffix}"
            if path.exists():
                done += len(samples)
                yield done, 0
                continue
            partial = partial_path(path)
            try:
                for _ in self.write_file(partial, samples):
                    done += 1
                    yield done, 1
                _commit(partial, path)
            finally:
                partial.unlink(missing_ok=True)

    @abstractmethod
    def write_file(self, path: Path, samples: range) -> Iterator[None]:
        """Write a file, and yield after each sample."""


class _WebDataset(_PerShard):
    suffix = ".tar"

    def write_file(self, path: Path, samples: range) -> Iterator[None]:
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample, blurred, sharp in self.encoded(samples):
                key = self.key(sample.index)
                for name, data in (
                    (f"{key}.{self.blurred}.png", blurred),
                    (f"{key}.{self.sharp}.png", sharp),
                    (f"{key}.json", canonical(sample.record)),
                ):
                    member = tarfile.TarInfo(name)  # of no user and no time: equal data sets give equal files
                    member.size, member.mode = len(data), 0o644
                    tar.addfile(member, io.BytesIO(data))
                yield


class _Parquet(_PerShard):
    suffix = ".parquet"

    def __init__(self, out: Path, pairs: Dataset, blurred: str, sharp: str) -> None:
        super().__init__(out, pairs, blurred, sharp)
        self.arrow = require("pyarrow", extra="export", purpose="to='parquet'")
        self.parquet = require("pyarrow.parquet", extra="export", purpose="to='parquet'")

    def write_file(self, path: Path, samples: range) -> Iterator[None]:
        pa = self.arrow
        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        texts = ("source", "license", "record")
        columns = [
            ("index", pa.int64()),
            (self.blurred, image),
            (self.sharp, image),
            *((n, pa.string()) for n in texts),
        ]
        features = {
            "index": {"dtype": "int64", "_type": "Value"},
            **{name: {"_type": "Image"} for name in (self.blurred, self.sharp)},
            **{name: {"dtype": "string", "_type": "Value"} for name in texts},
        }
        about = {"huggingface": json.dumps({"info": {"features": features}}, allow_nan=False)}  # in order
        schema = pa.schema(columns, metadata=about)
        rows: list[dict[str, Any]] = []
        with self.parquet.ParquetWriter(path, schema, compression="none") as writer:  # PNG is compressed already
            for sample, blurred, sharp in self.encoded(samples):
                name = f"{self.key(sample.index)}.png"
                rows.append(
                    {
                        "index": sample.index,
                        self.blurred: {"bytes": blurred, "path": name},
                        self.sharp: {"bytes": sharp, "path": name},
                        "source": sample.source,
                        "license": sample.license,
                        "record": canonical(sample.record).decode(),
                    }
                )
                if len(rows) == self.block or sample.index == samples[-1]:
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                    rows.clear()
                yield


class _AtOnce(_Writer):
    """Files that are complete or absent as a whole."""

    parts: tuple[str, ...]

    def write(self) -> Iterator[tuple[int, int]]:
        paths = [self.out / part for part in (*self.parts, "draws.jsonl")]
        if all(path.exists() for path in paths):
            yield len(self.pairs), 0
            return
        for path in paths:
            left_over = (left for left in self.out.glob(f"{path.name}.*{PARTIAL}") if writer_is_gone(left))
            for left in (path, *left_over):
                _remove(left)
        partials = [partial_path(path) for path in paths]
        try:
            with partials[-1].open("wb") as lines:
                for done, sample in enumerate(self.write_files(partials[:-1]), 1):
                    lines.write(canonical(sample.record) + b"\n")
                    yield done, 1
            for partial, path in zip(partials, paths, strict=True):
                os.replace(partial, path) if partial.is_dir() else _commit(partial, path)
            sync_folder(self.out)
        finally:
            for partial in partials:
                _remove(partial)

    @abstractmethod
    def write_files(self, paths: Sequence[Path]) -> Iterator[Sample]:
        """Write the files, and yield after each sample."""


class _Lmdb(_AtOnce):
    def __init__(self, out: Path, pairs: Dataset, blurred: str, sharp: str) -> None:
        super().__init__(out, pairs, blurred, sharp)
        self.lmdb = require("lmdb", extra="export", purpose="to='lmdb'")
        self.parts = (f"{blurred}.lmdb", f"{sharp}.lmdb")

    def write_files(self, paths: Sequence[Path]) -> Iterator[Sample]:
        # An upper limit, which takes no room by itself: raw pictures, and pages that are not full.
        size = 2 * len(self.pairs) * (2 * max(a.nbytes for a in self.pairs.spec.arrays) + 8192) + 2**24
        try:
            with (
                closing(self.lmdb.open(str(paths[0]), map_size=size)) as one,
                closing(self.lmdb.open(str(paths[1]), map_size=size)) as other,
            ):
                yield from self._filled((one, other), paths)
        except self.lmdb.Error as error:  # not an OSError, even if the disk is full
            raise DatasetError(
                f"{self.out}: the databases cannot be written ({error}).",
                fix="Free some space if the disk is full, and export again.",
            ) from None

    def _filled(self, databases: Sequence[Any], paths: Sequence[Path]) -> Iterator[Sample]:
        side = self.pairs.spec.size_px
        metas = [(path / "meta_info.txt").open("w") for path in paths]
        try:
            block: list[tuple[Sample, bytes, bytes]] = []
            for made in self.encoded(range(len(self.pairs))):
                block.append(made)
                if len(block) == self.block or made[0].index == len(self.pairs) - 1:
                    for number, database in enumerate(databases):
                        with database.begin(write=True) as transaction:
                            for sample, *data in block:
                                transaction.put(self.key(sample.index).encode(), data[number], append=True)
                    block.clear()
                for meta in metas:
                    meta.write(f"{self.key(made[0].index)}.png ({side},{side},3) {PNG_LEVEL}\n")
                yield made[0]
        finally:
            for meta in metas:
                meta.close()


class _Hdf5(_AtOnce):
    parts = ("pairs.h5",)

    def __init__(self, out: Path, pairs: Dataset, blurred: str, sharp: str) -> None:
        super().__init__(out, pairs, blurred, sharp)
        self.h5py = require("h5py", extra="export", purpose="to='hdf5'")

    def write_files(self, paths: Sequence[Path]) -> Iterator[Sample]:
        spec = self.pairs.spec
        shape = (len(self.pairs), spec.size_px, spec.size_px, 3)
        dtype = next(a.dtype for a in spec.arrays if a.name == "sharp")
        with self.h5py.File(paths[0], "w") as file:
            file.attrs["blursynth"] = canonical({"recipe": spec.recipe_name, "digest": self.pairs.digest}).decode()
            halves = [
                file.create_dataset(name, shape, dtype, chunks=(1, *shape[1:])) for name in (self.blurred, self.sharp)
            ]
            for samples in self.blocks(range(len(self.pairs))):
                first = samples[0].index
                for half, pictures in zip(
                    halves, ([s.blurred for s in samples], [s.sharp for s in samples]), strict=True
                ):
                    half[first : first + len(samples)] = np.stack(pictures)
                yield from samples


_WRITERS: dict[str, Callable[[Path, Dataset, str, str], _Writer]] = {
    "folders": _Folders, "lmdb": _Lmdb, "webdataset": _WebDataset, "parquet": _Parquet, "hdf5": _Hdf5,
}  # fmt: skip
