"""Reading a data set: pairs with the draws that made them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth import degradations
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.core import Degradation
from blursynth.dataset.asset_files import load_assets
from blursynth.dataset.cache import ObjectCache
from blursynth.dataset.index import read_index
from blursynth.dataset.manifest import finished_shards, manifest_path
from blursynth.dataset.sample_records import RecordReader
from blursynth.dataset.samples import Sample, Samples
from blursynth.dataset.schema import ArraySpec, Spec, load_spec
from blursynth.dataset.shards import ShardReader
from blursynth.errors import DatasetError, InvalidValueError
from blursynth.io.folders import as_place
from blursynth.io.object_store import Place
from blursynth.recipe.recipe import Recipe

__all__ = ["Batch", "Dataset", "Sample", "open_dataset"]

_CHECKED_BYTES = 2**24  # above this, memory is allocated only after checking that the data exist
_REQUESTS = 8  # shards in object storage that are read at a time
_SHARED_BYTES = 2**20  # above this, several threads read: starting them takes a tenth of reading so much


@dataclass(frozen=True, eq=False)
class Batch:
    """Pixels of several samples, ``[B, H, W, 3]``."""

    indices: tuple[int, ...]
    sharp: NDArray[Any]
    blurred: NDArray[Any]


class Dataset(Samples):
    """A data set on disk.

    It keeps no files open and only small indices in memory, so it can be pickled, forked, used from several threads,
    and passed directly to a ``torch.utils.data.DataLoader``. The crc32c of every chunk and every record is checked when
    it is read. Batches of more than a MiB are read by several threads, except in worker processes.
    """

    def __init__(
        self,
        path: str | Place,
        kinds: Sequence[type[Degradation]],
        allow_unfinished: bool,
        cache: ObjectCache | None = None,
    ) -> None:
        self.path = as_place(path)
        self._cache = cache
        self.kinds = tuple(kinds)
        self._allow_unfinished = allow_unfinished
        self.spec: Spec = load_spec(self.path)
        self._index = read_index(self.path, self.spec)
        if self._index is None and not allow_unfinished:
            done = len(list(finished_shards(self.path)))
            raise DatasetError(
                f"{self.path}: is not finished ({done} of {self.spec.shards} shards).",
                why="Missing samples would be silently absent from training.",
                fix="Run blursynth resume, or open it with allow_unfinished=True.",
            )
        self._arrays = {a.name: a for a in self.spec.arrays}
        self._readers: dict[tuple[str, int], ShardReader] = {}
        self._records: dict[int, RecordReader] = {}
        load_assets(self.spec.recipe, self.path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Dataset, (self.path, self.kinds, self._allow_unfinished, self._cache))

    def __len__(self) -> int:
        return self.spec.count

    @cached_property
    def recipe(self) -> Recipe | None:
        """The recipe that the data set was made with; None: its pairs are real."""
        return None if self.spec.is_real else Recipe.from_dict(self.spec.recipe, self.kinds, name=self.spec.recipe_name)

    @property
    def finished(self) -> bool:
        """Whether all shards exist."""
        return self._index is not None

    @property
    def digest(self) -> dict[str, str]:
        """Digests of pixels and draws; empty if the data set is not finished."""
        return asdict(self._index.digest) if self._index is not None else {}

    def sample(self, index: int) -> Sample:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        return [
            Sample(
                index=arrays["index"],
                sharp=arrays["sharp"],
                blurred=arrays["blurred"],
                kernel=arrays.get("kernel"),
                record=self.record(arrays["index"]),
                kinds=self.kinds,
            )
            for arrays in self._pixels(indices)
        ]

    def _pixels(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        chosen = [self._checked(i) for i in indices]
        names = [name for name in ("sharp", "blurred", "kernel") if name in self._arrays]
        samples = zip(*self._read(names, chosen), strict=True)
        return [
            {"index": i, **dict(zip(names, arrays, strict=True))} for i, arrays in zip(chosen, samples, strict=True)
        ]

    def batch(self, indices: Sequence[int], *, threads: int | None = None) -> Batch:
        """The pixels of several samples, stacked per array; faster than one by one, and without records.

        ``threads`` read and decompress: by default one per core, and a single one in a worker process.
        """
        chosen = [self._checked(i) for i in indices]
        sharp, blurred = self._read(("sharp", "blurred"), chosen, threads)
        return Batch(tuple(chosen), sharp, blurred)

    def array(self, name: str, indices: Sequence[int], *, threads: int | None = None) -> NDArray[Any]:
        """Some samples of one array, in the order of ``indices``; ``threads`` as for :meth:`batch`."""
        if name not in self._arrays:
            raise InvalidValueError(f"The data set has no array {name!r}, only {', '.join(self._arrays)}.")
        return self._read((name,), indices, threads)[0]

    def _read(self, names: Sequence[str], indices: Sequence[int], threads: int | None = None) -> list[NDArray[Any]]:
        """Some samples of several arrays."""
        length = self.spec.shard_length
        places = sorted((i // length, i % length, row) for row, i in enumerate(indices))  # file by file
        found: list[NDArray[Any]] = []
        jobs: list[tuple[ShardReader, NDArray[Any], int, int]] = []
        for spec in (self._arrays[name] for name in names):
            readers = {shard: self._reader(spec, shard) for shard, _, _ in places}
            if len(indices) * spec.nbytes > _CHECKED_BYTES:
                for shard, position, _ in places:
                    readers[shard].require(0 if spec.whole else position)
            out = np.empty((len(indices), *spec.shape), spec.dtype)
            found.append(out)
            if spec.whole:
                tables = {shard: reader.read([0])[0] for shard, reader in readers.items()}
                for shard, position, row in places:
                    out[row] = tables[shard][position]
            else:
                jobs += [(readers[shard], out, position, row) for shard, position, row in places]

        def read(first: int, last: int) -> None:
            for _, group in groupby(jobs[first:last], itemgetter(0)):
                readers, outs, positions, rows = zip(*group, strict=True)
                readers[0].read_into(positions, outs[0], rows)

        if not isinstance(self.path, Path):  # waiting for an answer takes no core
            self._fetch(jobs)
            return found
        shared = sum(out.nbytes for out in found) > _SHARED_BYTES
        share_out(read, len(jobs), threads_to_use(threads) if shared else 1)
        return found

    @staticmethod
    def _fetch(jobs: Sequence[tuple[ShardReader, NDArray[Any], int, int]]) -> None:
        """Read from object storage, several shards at a time."""
        groups = [list(zip(*group, strict=True)) for _, group in groupby(jobs, itemgetter(0))]
        with ThreadPoolExecutor(min(len(groups), _REQUESTS) or 1) as pool:
            for done in [pool.submit(g[0][0].read_into, g[2], g[1][0], g[3]) for g in groups]:
                done.result()

    def params(self) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Column names and the table ``[N, columns]`` of numeric parameters, if they were stored."""
        return self.spec.columns, self.array("params", range(len(self)))

    def record(self, index: int) -> dict[str, Any]:
        """The provenance of one sample as plain values."""
        i = self._checked(index)
        shard = i // self.spec.shard_length
        if shard not in self._records:
            self._require(shard)
            self._records[shard] = RecordReader(self.path, shard, self.spec.range_of(shard))
        return self._records[shard].read(i)

    def records(self) -> Iterator[dict[str, Any]]:
        """The provenance of every existing sample, in order."""
        present = set(finished_shards(self.path))
        return (
            record
            for shard in range(self.spec.shards)
            if shard in present
            for record in RecordReader(self.path, shard, self.spec.range_of(shard)).read_all()
        )

    def _reader(self, array: ArraySpec, shard: int) -> ShardReader:
        key = (array.name, shard)
        if key not in self._readers:
            self._require(shard)
            length = self.spec.shard_length
            self._readers[key] = ShardReader(
                self.spec.shard_path(self.path, array, shard),
                1 if array.whole else length,
                (length, *array.shape) if array.whole else array.shape,
                np.dtype(array.dtype),
                self.spec.codec,
                self._cache,
            )
        return self._readers[key]

    def _require(self, shard: int) -> None:
        if not self.finished and not manifest_path(self.path, shard).exists():
            raise DatasetError(f"{self.path}: shard {shard} is not finished.", fix="Run blursynth resume.")

    def __repr__(self) -> str:
        state = "" if self.finished else ", unfinished"
        return f"Dataset({str(self.path)!r}: {len(self)} pairs of {self.spec.size_px} px{state})"


def open_dataset(
    path: str | Place,
    *,
    allow_unfinished: bool = False,
    kinds: Sequence[type[Degradation]] = degradations.ALL,
    cache: ObjectCache | None = None,
) -> Dataset:
    """Open a data set for reading.

    Parameters
    ----------
    path
        Folder of the data set, or its place in object storage (``s3://bucket/pairs``; see
        :class:`~blursynth.io.object_store.ObjectPath`).
    allow_unfinished
        Open it even if shards are missing; reading a missing sample is then an error.
    kinds
        Degradations that its draws may use. To add custom ones: ``kinds=(*blursynth.kinds.ALL, Mine)``.
    cache
        Where blocks of a data set in object storage are kept. Without it each sample is fetched whenever it is read.

    Raises
    ------
    DatasetError
        It is not a data set, is damaged, or is not finished.
    """
    return Dataset(path, kinds, allow_unfinished, cache)
