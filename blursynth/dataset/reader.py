"""Reading a data set: pairs with the draws that made them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from blursynth import assets, degradations
from blursynth.core import Degradation, Draw
from blursynth.dataset.index import read_index
from blursynth.dataset.manifest import draws_path, finished_shards, manifest_path
from blursynth.dataset.render import Window
from blursynth.dataset.schema import ArraySpec, Spec, load_spec
from blursynth.dataset.shards import ShardReader
from blursynth.errors import DatasetError, InvalidValueError
from blursynth.folders import expanded
from blursynth.recipe import Recipe

__all__ = ["Batch", "Dataset", "Sample", "open_dataset"]


@dataclass(frozen=True, eq=False)
class Sample:
    """One pair with its provenance.

    ``sharp`` and ``blurred`` are ``[H, W, 3]``, uint8 or uint16 codes of display pictures (float32 of linear ones);
    ``kernel`` is there if it was stored. ``record`` is the whole provenance as plain values.
    """

    index: int
    sharp: NDArray[Any]
    blurred: NDArray[Any]
    kernel: NDArray[Any] | None = field(repr=False)
    record: dict[str, Any] = field(repr=False)
    kinds: Sequence[type[Degradation]] = field(repr=False)

    @cached_property
    def draw(self) -> Draw:
        """Every number that made the sample; calling it blurs a frame in the same way."""
        return Draw.from_dict(self.record["draw"], self.kinds)

    @property
    def source(self) -> str:
        """Name of the source picture."""
        return str(self.record["source"])

    @property
    def licence(self) -> str:
        return str(self.record["licence"])

    @property
    def window(self) -> Window:
        """Where the sample lies in its source."""
        return Window(**self.record["window"])


@dataclass(frozen=True, eq=False)
class Batch:
    """Pixels of several samples, ``[B, H, W, 3]``."""

    indices: tuple[int, ...]
    sharp: NDArray[Any]
    blurred: NDArray[Any]


class Dataset(Sequence[Sample]):
    """A data set on the disk.

    It keeps no file open and nothing but small indices in memory, so it can be pickled, forked and used from several
    threads. Every chunk's crc32c is checked when it is read.
    """

    def __init__(self, path: str | Path, kinds: Sequence[type[Degradation]], allow_unfinished: bool) -> None:
        self.path = expanded(path)
        self.kinds = tuple(kinds)
        self._allow_unfinished = allow_unfinished
        self.spec: Spec = load_spec(self.path)
        self._index = read_index(self.path, self.spec)
        if self._index is None and not allow_unfinished:
            done = len(list(finished_shards(self.path)))
            raise DatasetError(
                f"{self.path}: is not finished ({done} of {self.spec.shards} shards).",
                why="Samples that are missing would be silently absent from training.",
                fix="Run blursynth resume, or open it with allow_unfinished=True.",
            )
        self._arrays = {a.name: a for a in self.spec.arrays}
        self._readers: dict[tuple[str, int], ShardReader] = {}
        self._lines: dict[int, list[bytes]] = {}
        assets.load_folder(self.path / "assets")

    def __reduce__(self) -> tuple[Any, ...]:
        return (Dataset, (self.path, self.kinds, self._allow_unfinished))

    def __len__(self) -> int:
        return self.spec.count

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that it was made with."""
        return Recipe.from_dict(self.spec.recipe, self.kinds, name=self.spec.recipe_name)

    @property
    def finished(self) -> bool:
        """Whether all shards are there."""
        return self._index is not None

    @property
    def digest(self) -> dict[str, str]:
        """Digests of pixels and draws; empty if it is not finished."""
        return dict(self._index["digest"]) if self._index is not None else {}

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = self._checked(index)
        return Sample(
            index=i,
            sharp=self.array("sharp", [i])[0],
            blurred=self.array("blurred", [i])[0],
            kernel=self.array("kernel", [i])[0] if "kernel" in self._arrays else None,
            record=self.record(i),
            kinds=self.kinds,
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def batch(self, indices: Sequence[int]) -> Batch:
        """The pixels of several samples in one array each; faster than one by one, and without records."""
        chosen = [self._checked(i) for i in indices]
        return Batch(tuple(chosen), self.array("sharp", chosen), self.array("blurred", chosen))

    def array(self, name: str, indices: Sequence[int]) -> NDArray[Any]:
        """Some samples of one array, in the order of ``indices``."""
        if name not in self._arrays:
            raise InvalidValueError(f"The data set has no array {name!r}, only {', '.join(self._arrays)}.")
        spec = self._arrays[name]
        out = np.empty((len(indices), *spec.shape), spec.dtype)
        by_shard: dict[int, list[int]] = {}
        for row, i in enumerate(indices):
            by_shard.setdefault(i // self.spec.shard_length, []).append(row)
        for shard, rows in by_shard.items():
            reader = self._reader(spec, shard)
            first = shard * self.spec.shard_length
            if spec.whole:
                table = reader.read([0])[0]
                out[rows] = table[[indices[row] - first for row in rows]]
                continue
            reader.read_into([indices[row] - first for row in rows], out, rows)
        return out

    def params(self) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Column names and the table ``[N, columns]`` of numeric parameters, if they were stored."""
        return self.spec.columns, self.array("params", range(len(self)))

    def record(self, index: int) -> dict[str, Any]:
        """The provenance of one sample as plain values."""
        i = self._checked(index)
        shard, position = divmod(i, self.spec.shard_length)
        if shard not in self._lines:
            self._require(shard)
            path = draws_path(self.path, shard)
            try:
                lines = path.read_bytes().splitlines()
            except OSError as error:
                raise DatasetError(f"{path}: the draws cannot be read ({error.strerror}).") from None
            if len(lines) != len(self.spec.range_of(shard)):
                raise DatasetError(f"{path}: the draws are damaged.", fix="Run blursynth verify, then resume.")
            if len(self._lines) >= 16:
                self._lines.clear()
            self._lines[shard] = lines
        try:
            record: dict[str, Any] = json.loads(self._lines[shard][position])
        except ValueError:
            raise DatasetError(
                f"{draws_path(self.path, shard)}: the record of sample {i} is damaged.",
                fix="Run blursynth verify, then resume.",
            ) from None
        return record

    def records(self) -> Iterator[dict[str, Any]]:
        """The provenance of every sample that is there, in order."""
        present = set(finished_shards(self.path))
        return (
            self.record(i) for shard in range(self.spec.shards) if shard in present for i in self.spec.range_of(shard)
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
            )
        return self._readers[key]

    def _require(self, shard: int) -> None:
        if not self.finished and not manifest_path(self.path, shard).exists():
            raise DatasetError(f"{self.path}: shard {shard} is not finished.", fix="Run blursynth resume.")

    def _checked(self, index: int) -> int:
        i = int(index)
        if i < 0:
            i += len(self)
        if not 0 <= i < len(self):
            raise IndexError(f"sample {index} of {len(self)}")  # what ends an iteration, so no error of ours
        return i

    def __repr__(self) -> str:
        state = "" if self.finished else ", unfinished"
        return f"Dataset({str(self.path)!r}: {len(self)} pairs of {self.spec.size_px} px{state})"


def open_dataset(
    path: str | Path,
    *,
    allow_unfinished: bool = False,
    kinds: Sequence[type[Degradation]] = degradations.ALL,
) -> Dataset:
    """Open a data set for reading.

    Parameters
    ----------
    path
        Its folder.
    allow_unfinished
        Open it although shards are missing; reading a missing sample is then an error.
    kinds
        Degradations that its draws may use; people's own: ``kinds=(*blursynth.ALL, Mine)``.

    Raises
    ------
    DatasetError
        It is no data set, damaged, or not finished.
    """
    return Dataset(path, kinds, allow_unfinished)
