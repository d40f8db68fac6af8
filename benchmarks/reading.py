"""Reading stored samples: our shard reader, zarr-python on the same files, and arrays without any format."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import skimage
import zarr
from measure import best_of_each, machine, table, version

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate

COUNT = 512
BATCH = 32
PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")


def main() -> str:
    folder = Path(tempfile.mkdtemp())
    try:
        return _measured(folder)
    finally:
        shutil.rmtree(folder)


def _measured(folder: Path) -> str:
    sources = [Path(skimage.__file__).parent / "data" / name for name in PHOTOGRAPHS]
    stored = bs.Recipe([("keep", bs.kinds.Identity())], name="crops as they are")
    generate(DatasetRequest(sources=sources, recipe=stored, count=COUNT, shard_length=256), folder / "set", workers=1)
    data = bs.open_dataset(folder / "set")
    array = zarr.open_array(folder / "set" / "sharp", mode="r")
    whole = data.array("sharp", range(COUNT))
    np.save(folder / "raw.npy", whole)
    raw = np.load(folder / "raw.npy", mmap_mode="r")
    disk = sum(p.stat().st_size for p in (folder / "set" / "sharp").rglob("*") if p.is_file())

    def by_zarr(chosen: Sequence[int]) -> np.ndarray:
        return np.stack([np.asarray(array[i]) for i in chosen])

    readers: dict[str, Callable[[Sequence[int]], np.ndarray]] = {
        "numpy memmap of raw bytes (the limit)": lambda chosen: np.asarray(raw[np.asarray(chosen)]),
        "zarr-python, sample by sample": by_zarr,
        "blursynth, crc32c checked": lambda chosen: data.array("sharp", chosen),
    }
    order = np.random.default_rng(0).permutation(COUNT)
    lists = {
        "sequential": [[i] for i in range(COUNT)],
        "random": [[int(i)] for i in order],
        f"batches of {BATCH}": [order[k : k + BATCH].tolist() for k in range(0, COUNT, BATCH)],
    }
    largest = max(int(np.abs(by_zarr(part).astype(int) - readers["blursynth, crc32c checked"](part)).max())
                  for part in lists[f"batches of {BATCH}"])  # fmt: skip
    rates: dict[str, dict[str, float]] = {name: {} for name in readers}
    for how, parts in lists.items():
        # Numbers of samples, not contents, must reach the reader; the result of each call is dropped at once.
        calls = {
            name: (lambda read=read, parts=parts: [read(part) for part in parts] and None)
            for name, read in readers.items()
        }
        for name, seconds in best_of_each(calls, repeat=3, seconds=2.0).items():
            rates[name][how] = COUNT / seconds
    peer = rates["zarr-python, sample by sample"]
    rows = [
        [name, *(f"{rate[how]:,.0f} ({rate[how] / peer[how]:.1f}x)" for how in lists)] for name, rate in rates.items()
    ]
    lines = [
        "## Reading",
        "",
        f"{COUNT} pictures of 256 x 256 x 3 uint8, lz4 with bitshuffle and crc32c, {disk / whole.nbytes:.2f} of their "
        "raw size, warm page cache, one process; pictures per second (and the ratio to zarr-python). Largest "
        f"difference of results: {largest}. Command: `python benchmarks/reading.py`.",
        "",
        f"{machine()}; {version('zarr')}, {version('numcodecs')}, {version('numpy')}",
        "",
        table(["reader", *lists], rows),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
