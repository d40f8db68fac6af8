"""Reading stored samples: our shard reader, zarr-python on the same files, and arrays without any format."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np
import skimage
import zarr
from measure import best_of_each, cores, machine, processor_time_of_each, table, version
from numcodecs import blosc
from numpy.typing import NDArray

import blursynth as bs
from blursynth.dataset import Dataset, DatasetRequest, generate

COUNT = 512
BATCH = 32
PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")


@dataclass(frozen=True)
class Readers:
    """A data set of crops as they are, and an array of the same bytes."""

    data: Dataset
    raw: NDArray[np.uint8]
    array: zarr.Array
    size: float  # of the shards, as a share of the raw bytes

    def memmap(self) -> None:
        """Copy every picture, one after the other."""
        for i in range(len(self.data)):
            self.raw[np.asarray([i])]

    def ours(self) -> None:
        """Read every picture, one after the other."""
        for i in range(len(self.data)):
            self.data.array("sharp", [i])


def readers(folder: Path, codec: str, count: int) -> Readers:
    """Make a data set of ``count`` crops, and a file of their bytes."""
    sources = [Path(skimage.__file__).parent / "data" / name for name in PHOTOGRAPHS]
    stored = bs.Recipe([("keep", bs.kinds.Identity())], name="crops as they are")
    request = DatasetRequest(sources=sources, recipe=stored, count=count, shard_length=-(-count // 2), codec=codec)
    generate(request, folder / "set", workers=1)
    data = bs.open_dataset(folder / "set")
    whole = data.array("sharp", range(count))
    np.save(folder / "raw.npy", whole)
    disk = sum(p.stat().st_size for p in (folder / "set" / "sharp").rglob("*") if p.is_file())
    raw = np.load(folder / "raw.npy", mmap_mode="r")
    return Readers(data, raw, zarr.open_array(folder / "set" / "sharp", mode="r"), disk / whole.nbytes)


def main() -> str:
    folder = Path(tempfile.mkdtemp())
    try:
        return _measured(folder)
    finally:
        shutil.rmtree(folder)


def _measured(folder: Path) -> str:
    made = {codec: readers(folder / codec, codec, COUNT) for codec in ("lz4", "none")}
    raw = made["none"].raw
    order = np.random.default_rng(0).permutation(COUNT)
    lists = {
        "in order": [[i] for i in range(COUNT)],
        "random": [[int(i)] for i in order],
        f"batches of {BATCH}": [order[k : k + BATCH].tolist() for k in range(0, COUNT, BATCH)],
    }
    reads: dict[str, Callable[[Sequence[int]], np.ndarray]] = {
        "numpy memmap of raw bytes (the limit)": lambda chosen: raw[np.asarray(chosen)]
    }
    largest = 0
    for codec, one in made.items():
        reads[f"zarr-python, {codec}"] = lambda chosen, one=one: np.stack([np.asarray(one.array[i]) for i in chosen])
        reads[f"blursynth, {codec}"] = lambda chosen, one=one: one.data.array("sharp", chosen, threads=1)
        for part in lists[f"batches of {BATCH}"]:
            different = np.stack([one.array[i] for i in part]).astype(int) - one.data.array("sharp", part)
            largest = max(largest, int(np.abs(different).max()))
    taken: dict[str, dict[str, float]] = {name: {} for name in reads}
    for how, parts in lists.items():
        calls = {name: (lambda read=read, parts=parts: _drop(read, parts)) for name, read in reads.items()}
        for name, seconds in processor_time_of_each(calls, rounds=5).items():
            taken[name][how] = seconds / COUNT
    limit = taken["numpy memmap of raw bytes (the limit)"]
    rows = [
        [name, *(f"{1 / spent[how]:,.0f} ({limit[how] / spent[how]:.2f})" for how in lists)]
        for name, spent in taken.items()
    ]
    batches = lists[f"batches of {BATCH}"]
    threads = {
        f"{codec}, {n} threads": (lambda one=one, n=n: _drop(lambda c: one.data.array("sharp", c, threads=n), batches))
        for codec, one in made.items()
        for n in (1, cores())
    }
    rates = ", ".join(f"{name} {COUNT / s:,.0f}" for name, s in best_of_each(threads, 3, 1.0).items())
    lines = [
        "## Reading",
        "",
        f"{COUNT} pictures of 256 x 256 x 3 uint8, crc32c checked; {made['lz4'].size:.2f} of their raw size with the "
        "codec lz4 (bitshuffle). Warm page cache, one thread; pictures per second of processor time, and of these the "
        f"share of the memmap's. Largest difference from zarr-python's results: {largest}. "
        "Command: `python benchmarks/reading.py`.",
        "",
        f"{machine()}; {version('zarr')}, {version('numcodecs')}, {version('numpy')}",
        "",
        table(["reader", *lists], rows),
        "",
        f"Pictures per second on the wall, in batches: {rates}.",
        "",
        "What one picture takes at least, in us of processor time: " + _parts(made["lz4"]) + ".",
    ]
    return "\n".join(lines)


def _drop(read: Callable[[Sequence[int]], np.ndarray], parts: Sequence[Sequence[int]]) -> None:
    for part in parts:
        read(part)


def _parts(made: Readers) -> str:
    """The parts of reading one picture."""
    picture = made.raw[0].copy()
    plain, out = picture.reshape(-1), np.empty_like(picture)
    packed = blosc.compress(picture, b"lz4", 5, blosc.BITSHUFFLE)
    flat = blosc.compress(picture, b"lz4", 5, blosc.NOSHUFFLE)
    parts: dict[str, Callable[[], object]] = {
        "copying": lambda: np.copyto(out, picture),
        "copying to fresh memory": lambda: picture.copy(),
        "crc32c": lambda: google_crc32c.value(plain),
        "decompressing lz4 with bitshuffle": lambda: blosc.decompress(packed, out),
        f"without bitshuffle ({len(flat) / picture.nbytes:.2f} of the raw size)": lambda: blosc.decompress(flat, out),
    }
    return ", ".join(f"{name} {s * 1e6:.0f}" for name, s in processor_time_of_each(parts).items())


if __name__ == "__main__":
    print(main())
