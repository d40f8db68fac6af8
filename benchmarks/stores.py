"""Ways to keep pairs of pictures on disk, by us and by others, for ``throughput.py``.

A package is imported by what uses it alone, so that one whose requirements exclude ours is measured by the Python of
another environment: that runs this file, which answers calls on its standard input.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import mmap
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
Pair = tuple[Codes, Codes]  # sharp and blurred: [H, W, 3] each, or [B, H, W, 3] each

BATCH = 32
SHARD_BYTES = 2**26  # of peers that ask for one
PNG_LEVEL = 1  # as in BasicSR's databases
SHUFFLED = 128  # pairs in the buffer of what can only be streamed
SET = {"lz4": "set-lz4", "none": "set-none"}  # our data sets, by codec
HOW = ("in order", "random", f"batches of {BATCH}")
LOADER = "two workers"
HALVES = ("sharp", "blurred")


def encoded(codes: Codes) -> bytes:
    """The picture as PNG."""
    written, data = cv2.imencode(".png", codes[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    if not written:
        raise RuntimeError(f"OpenCV cannot write a picture of {codes.shape} as PNG")
    return data.tobytes()


def decoded(data: Any) -> Codes:
    """The picture of a PNG."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


class Store(ABC):
    """Pairs in a folder. It is opened by its first read, so that it can be sent to a worker process.

    Each way of reading has a default by ``one``; a store overrides what it does better.
    """

    name: str
    packages: tuple[str, ...] = ()
    writes = True
    any_order = True  # whether any pair can be read by its number

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self.folder, self.shape, self.opened = folder, shape, False  # [N, H, W, 3]

    def files(self) -> list[Path]:
        """What it reads."""
        return [path for path in sorted(self.folder.rglob("*")) if path.is_file()]

    @abstractmethod
    def write(self, sharp: Codes, blurred: Codes) -> None:
        """Write all pairs into the folder, which is empty."""

    @abstractmethod
    def open(self) -> None: ...

    @abstractmethod
    def one(self, index: int) -> Pair: ...

    def close(self) -> None:
        """Keep no file open or mapped."""
        kept = ("folder", "shape", "opened")
        for name in [name for name in vars(self) if name not in kept]:
            delattr(self, name)
        self.opened = False

    def ready(self) -> None:
        if not self.opened:
            self.open()
            self.opened = True

    def batch(self, indices: Sequence[int]) -> Pair:
        return stacked([self.one(i) for i in indices])

    def in_order(self) -> Iterator[Pair]:
        return map(self.one, range(self.shape[0]))

    def at_random(self, order: Sequence[int]) -> Iterator[Pair]:
        return map(self.one, order)

    def in_batches(self, order: Sequence[int]) -> Iterator[Pair]:
        return map(self.batch, batches(order))

    def reads(self, how: str, order: Sequence[int]) -> Iterator[Pair]:
        self.ready()
        if how == "in order":
            return self.in_order()
        return self.at_random(order) if how == "random" else self.in_batches(order)

    def loader(self, workers: int) -> Any:
        """What gives batches of tensors by worker processes, for stores that have an order of their own."""
        return None


def batches(order: Sequence[int]) -> list[list[int]]:
    return [list(order[k : k + BATCH]) for k in range(0, len(order), BATCH)]


def stacked(pairs: Sequence[Pair]) -> Pair:
    sharp, blurred = zip(*pairs, strict=True)
    return np.stack(sharp), np.stack(blurred)


class Memmap(Store):
    name = "numpy memmap (the limit)"
    packages = ("numpy",)

    def write(self, sharp: Codes, blurred: Codes) -> None:
        for half, codes in zip(HALVES, (sharp, blurred), strict=True):
            np.save(self.folder / f"{half}.npy", codes)

    def open(self) -> None:
        self.halves = [np.load(self.folder / f"{half}.npy", mmap_mode="r") for half in HALVES]

    def one(self, index: int) -> Pair:
        sharp, blurred = (np.array(half[index]) for half in self.halves)
        return sharp, blurred

    def batch(self, indices: Sequence[int]) -> Pair:
        sharp, blurred = (half[indices] for half in self.halves)
        return sharp, blurred


class Ours(Store):
    """A data set that ``throughput.py`` made; what is written here are the files of its two arrays."""

    codec: str
    packages = ("numcodecs", "google-crc32c")

    @property
    def set(self) -> Path:
        return self.folder.parent / SET[self.codec]

    def files(self) -> list[Path]:
        return [path for half in HALVES for path in sorted((self.set / half).rglob("*")) if path.is_file()]

    def write(self, sharp: Codes, blurred: Codes) -> None:
        from blursynth.dataset.shards import encode_chunk, write_shard_file

        length = -(-self.shape[0] // 2)
        for half, codes in zip(HALVES, (sharp, blurred), strict=True):
            (self.folder / half).mkdir()
            for shard in range(2):
                chunks = [encode_chunk(picture, self.codec) for picture in codes[shard * length : (shard + 1) * length]]
                write_shard_file(self.folder / half / str(shard), chunks, length).commit()

    def open(self) -> None:
        import blursynth as bs

        self.data = bs.open_dataset(self.set)

    def one(self, index: int) -> Pair:
        sharp, blurred = self.batch([index])
        return sharp[0], blurred[0]

    def batch(self, indices: Sequence[int]) -> Pair:
        found = self.data.batch(indices)
        return found.sharp, found.blurred


class OursPlain(Ours):
    name, codec = "blursynth, none", "none"


class OursPacked(Ours):
    name, codec = "blursynth, lz4", "lz4"


class Zarr(Ours):
    """zarr-python on our files. Its own selection of many samples takes much longer than one by one."""

    writes = False
    packages = ("zarr",)

    def open(self) -> None:
        import zarr

        self.halves = [zarr.open_array(self.set / half, mode="r") for half in HALVES]

    def one(self, index: int) -> Pair:
        sharp, blurred = (np.asarray(half[index]) for half in self.halves)
        return sharp, blurred

    batch = Store.batch


class ZarrPlain(Zarr):
    name, codec = "zarr on our files, none", "none"


class ZarrPacked(Zarr):
    name, codec = "zarr on our files, lz4", "lz4"


class TensorStore(Ours):
    """TensorStore on our files, both pictures of a pair at a time."""

    writes = False
    packages = ("tensorstore",)

    def open(self) -> None:
        import tensorstore

        where = [{"driver": "file", "path": f"{self.set / half}/"} for half in HALVES]
        opening = [tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, read=True) for kvstore in where]
        self.halves = [half.result() for half in opening]

    def one(self, index: int) -> Pair:
        reading = [half[index].read() for half in self.halves]
        return reading[0].result(), reading[1].result()

    def batch(self, indices: Sequence[int]) -> Pair:
        reading = [half[list(indices)].read() for half in self.halves]
        return reading[0].result(), reading[1].result()


class TensorStorePlain(TensorStore):
    name, codec = "TensorStore on our files, none", "none"


class TensorStorePacked(TensorStore):
    name, codec = "TensorStore on our files, lz4", "lz4"


class Hdf5(Store):
    name = "HDF5, not compressed"
    packages = ("h5py",)

    def write(self, sharp: Codes, blurred: Codes) -> None:
        import h5py

        with h5py.File(self.folder / "pairs.h5", "w") as file:
            for half, codes in zip(HALVES, (sharp, blurred), strict=True):
                file.create_dataset(half, data=codes, chunks=(1, *self.shape[1:]))

    def open(self) -> None:
        import h5py

        self.file = h5py.File(self.folder / "pairs.h5", "r")
        self.halves = [self.file[half] for half in HALVES]

    def close(self) -> None:
        if self.opened:
            self.file.close()
        super().close()

    def one(self, index: int) -> Pair:
        return self.halves[0][index], self.halves[1][index]


class Pictures(Store):
    """A store of pictures as bytes: raw, or PNG."""

    png: bool

    def pack(self, codes: Codes) -> bytes:
        return encoded(codes) if self.png else codes.tobytes()

    def unpack(self, data: Any) -> Codes:
        """A picture that is ours to change."""
        return decoded(data) if self.png else np.frombuffer(data, np.uint8).reshape(self.shape[1:]).copy()


class Lmdb(Pictures):
    packages = ("lmdb",)

    def write(self, sharp: Codes, blurred: Codes) -> None:
        import lmdb

        size = 2 * (sharp.nbytes + blurred.nbytes) + 2**24
        with lmdb.open(str(self.folder), map_size=size) as environment, environment.begin(write=True) as transaction:
            for i, pair in enumerate(zip(sharp, blurred, strict=True)):
                for half, codes in zip(HALVES, pair, strict=True):
                    transaction.put(f"{half}{i:06d}".encode(), self.pack(codes))

    def open(self) -> None:
        import lmdb

        self.environment = lmdb.open(str(self.folder), readonly=True, lock=False, readahead=False, meminit=False)

    def close(self) -> None:
        if self.opened:
            self.environment.close()
        super().close()

    def one(self, index: int) -> Pair:
        with self.environment.begin(buffers=True) as transaction:
            sharp, blurred = (self.unpack(transaction.get(f"{half}{index:06d}".encode())) for half in HALVES)
        return sharp, blurred


class LmdbPlain(Lmdb):
    name, png = "LMDB, raw", False


class LmdbPng(Lmdb):
    name, png = "LMDB, PNG", True


class WebDataset(Pictures):
    """Tar files. They can only be streamed: a shuffled stream stands for reads at random, as its users do it."""

    packages = ("webdataset",)
    any_order = False

    def write(self, sharp: Codes, blurred: Codes) -> None:
        import webdataset

        pattern = str(self.folder / "%06d.tar")
        with webdataset.ShardWriter(pattern, maxsize=SHARD_BYTES, verbose=0) as writer:
            for i, (one, other) in enumerate(zip(sharp, blurred, strict=True)):
                writer.write({"__key__": f"{i:06d}", "sharp": self.pack(one), "blurred": self.pack(other)})

    def open(self) -> None:
        self.tars = [str(path) for path in self.files()]

    def unpacked(self, sample: dict[str, bytes]) -> Pair:
        return self.unpack(sample["sharp"]), self.unpack(sample["blurred"])

    def stream(self, shuffled: int) -> Any:
        import webdataset

        stream = webdataset.WebDataset(self.tars, shardshuffle=100 if shuffled else False, empty_check=False)
        return (stream.shuffle(shuffled) if shuffled else stream).map(self.unpacked)

    def in_order(self) -> Iterator[Pair]:
        return iter(self.stream(0))

    def at_random(self, order: Sequence[int]) -> Iterator[Pair]:
        return iter(self.stream(SHUFFLED))

    def in_batches(self, order: Sequence[int]) -> Iterator[Pair]:
        return iter(self.stream(SHUFFLED).batched(BATCH, collation_fn=stacked))

    def one(self, index: int) -> Pair:
        raise NotImplementedError("a tar file is streamed")

    def loader(self, workers: int) -> Any:
        self.ready()
        return by_workers(self.stream(SHUFFLED).batched(BATCH, collation_fn=Collate()), workers, batch_size=None)


class WebDatasetPlain(WebDataset):
    name, png = "WebDataset, raw", False


class WebDatasetPng(WebDataset):
    name, png = "WebDataset, PNG", True


class Folders(Pictures):
    name, png = "folders of PNG", True
    packages = ("opencv-python-headless",)

    def path(self, half: str, index: int) -> Path:
        return self.folder / half / f"{index:06d}.png"

    def write(self, sharp: Codes, blurred: Codes) -> None:
        for half, codes in zip(HALVES, (sharp, blurred), strict=True):
            (self.folder / half).mkdir()
            for i, picture in enumerate(codes):
                self.path(half, i).write_bytes(self.pack(picture))

    def open(self) -> None:
        pass

    def one(self, index: int) -> Pair:
        sharp, blurred = (self.unpack(self.path(half, index).read_bytes()) for half in HALVES)
        return sharp, blurred


class Mosaic(Pictures):
    """MosaicML Streaming: its writer and data set; its own order and partition for the loader."""

    packages = ("mosaicml-streaming",)

    def write(self, sharp: Codes, blurred: Codes) -> None:
        from streaming import MDSWriter

        with MDSWriter(out=str(self.folder), columns=dict.fromkeys(HALVES, "bytes"), size_limit=SHARD_BYTES) as writer:
            for one, other in zip(sharp, blurred, strict=True):
                writer.write({"sharp": self.pack(one), "blurred": self.pack(other)})

    def data(self, *, shuffle: bool) -> Any:
        from streaming import StreamingDataset
        from streaming.base.util import clean_stale_shared_memory

        clean_stale_shared_memory()
        return StreamingDataset(local=str(self.folder), shuffle=shuffle, batch_size=BATCH)

    def open(self) -> None:
        self.samples = self.data(shuffle=False)

    def one(self, index: int) -> Pair:
        sample = self.samples[index]
        return self.unpack(sample["sharp"]), self.unpack(sample["blurred"])

    def loader(self, workers: int) -> Any:
        return by_workers(self.data(shuffle=True), workers, batch_size=BATCH, collate_fn=Collate(self))


class MosaicPlain(Mosaic):
    name, png = "MosaicML Streaming, raw", False


class MosaicPng(Mosaic):
    name, png = "MosaicML Streaming, PNG", True


class LitData(Pictures):
    """LitData: the chunks that its ``optimize`` writes, by what that writes them with; its own loader."""

    packages = ("litdata",)

    def write(self, sharp: Codes, blurred: Codes) -> None:
        from litdata.streaming.cache import Cache

        cache = Cache(str(self.folder), chunk_bytes=SHARD_BYTES)
        for i, (one, other) in enumerate(zip(sharp, blurred, strict=True)):
            cache[i] = {"sharp": self.pack(one), "blurred": self.pack(other)}
        cache.done()
        cache.merge()

    def data(self, *, shuffle: bool) -> Any:
        from litdata import StreamingDataset

        return StreamingDataset(str(self.folder), shuffle=shuffle)

    def open(self) -> None:
        self.samples = self.data(shuffle=False)

    def one(self, index: int) -> Pair:
        sample = self.samples[index]
        return self.unpack(sample["sharp"]), self.unpack(sample["blurred"])

    def loader(self, workers: int) -> Any:
        from litdata import StreamingDataLoader

        data = self.data(shuffle=True)
        return by_workers(data, workers, of=StreamingDataLoader, batch_size=BATCH, collate_fn=Collate(self))


class LitDataPlain(LitData):
    name, png = "LitData, raw", False


class LitDataPng(LitData):
    name, png = "LitData, PNG", True


STORES: tuple[type[Store], ...] = (
    Memmap,
    OursPlain,
    OursPacked,
    ZarrPlain,
    ZarrPacked,
    TensorStorePlain,
    TensorStorePacked,
    Hdf5,
    LmdbPlain,
    WebDatasetPlain,
    MosaicPlain,
    LitDataPlain,
    LmdbPng,
    WebDatasetPng,
    MosaicPng,
    LitDataPng,
    Folders,
)


class Collate:
    """A batch as tensors: of pairs, or of samples that ``store`` takes apart."""

    def __init__(self, store: Any = None) -> None:
        self.store = store

    def __call__(self, batch: Any) -> Any:
        import torch

        if self.store is not None:
            batch = stacked([(self.store.unpack(s["sharp"]), self.store.unpack(s["blurred"])) for s in batch])
        elif isinstance(batch, list):
            batch = stacked(batch)
        return tuple(map(torch.from_numpy, batch))


class Pairs:
    """A map-style data set of a store. An empty batch closes it, so that its files can leave the page cache."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __len__(self) -> int:
        return self.store.shape[0]

    def __getitems__(self, indices: Sequence[int]) -> Pair:
        if not indices:
            self.store.close()
            return np.empty(0, np.uint8), np.empty(0, np.uint8)
        self.store.ready()
        return self.store.batch(indices)


def by_workers(data: Any, workers: int, *, of: Any = None, **settings: Any) -> Any:
    """A loader whose workers stay for all epochs. None is forked from this process, which has threads."""
    from torch.utils.data import DataLoader

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "cv2"])  # once, and not in each worker
    return (of or DataLoader)(
        data, num_workers=workers, multiprocessing_context=context, persistent_workers=True, **settings
    )


def drop(paths: Sequence[Path]) -> float:
    """Drop files from the page cache, without rights of an administrator; the share of their pages that stays."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)  # what is not written yet cannot be dropped
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
    return cached(paths)


def cached(paths: Sequence[Path]) -> float:
    """The share of pages of files that are in the page cache."""
    mincore, there, total = ctypes.CDLL(None, use_errno=True).mincore, 0, 0
    for path in paths:
        if not path.stat().st_size:
            continue
        pages = np.memmap(path, np.uint8, "r")
        found = np.empty(-(-len(pages) // mmap.PAGESIZE), np.uint8)
        size = ctypes.c_size_t(len(pages))
        if mincore(ctypes.c_void_p(pages.ctypes.data), size, ctypes.c_void_p(found.ctypes.data)):
            raise OSError(ctypes.get_errno(), "mincore", str(path))
        there, total = there + int((found & 1).sum()), total + len(found)
    return there / max(1, total)


class Bench:
    """Timings of stores of the pairs in ``folder / "pairs.npy"``, ``[2, N, H, W, 3]``; rates are pairs per second."""

    def __init__(self, folder: str, repeats: int, least_s: float) -> None:
        self.sharp, self.blurred = np.load(Path(folder) / "pairs.npy")
        self.repeats, self.least_s = repeats, least_s
        self.order = np.random.default_rng(0).permutation(len(self.sharp)).tolist()
        self.stores = {kind.name: kind(Path(folder) / f"store{k}", self.sharp.shape) for k, kind in enumerate(STORES)}

    def write(self, name: str) -> float | None:
        """The rate of writing all pairs until they are on the disk."""
        store = self.stores[name]
        shutil.rmtree(store.folder, ignore_errors=True)
        store.folder.mkdir()
        if not store.writes:
            return None
        few = type(store)(store.folder / "few", (2, *store.shape[1:]))  # imports and plans
        few.folder.mkdir()
        few.write(self.sharp[:2], self.blurred[:2])
        shutil.rmtree(few.folder)
        start = time.perf_counter()
        store.write(self.sharp, self.blurred)
        for path in sorted(store.folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        return len(self.sharp) / (time.perf_counter() - start)

    def check(self, name: str) -> dict[str, float]:
        """The size on the disk, as a share of the raw one, and the largest difference of pixels."""
        store, largest = self.stores[name], 0
        number = {picture.tobytes(): i for i, picture in enumerate(self.sharp)}
        for how in HOW:
            found = [(s, b) for pair in store.reads(how, self.order) for s, b in singles(pair)]
            wanted: Sequence[int] = range(len(self.sharp)) if how == "in order" else self.order
            if how != "in order" and not store.any_order:
                wanted = [number.get(sharp.tobytes(), 0) for sharp, _ in found]
                if sorted(wanted) != list(range(len(self.sharp))):
                    raise RuntimeError(f"{name}, {how}: does not give every pair once")
            for pair, i in zip(found, wanted, strict=True):
                for codes, true in zip(pair, (self.sharp[i], self.blurred[i]), strict=True):
                    largest = max(largest, int(np.abs(codes.astype(int) - true).max()))
        size = sum(path.stat().st_size for path in store.files())
        return {"size": size / (self.sharp.nbytes + self.blurred.nbytes), "difference": largest}

    def read(self, name: str, how: str, cold: bool) -> float | None:
        """The rate of reading for about ``least_s``: warm, or in one pass of a cold store; None if it cannot be made
        cold."""
        store = self.stores[name]
        if cold:
            store.close()
            if drop(store.files()) > 0.01:
                return None
        else:
            store.ready()
        start, done = time.perf_counter(), 0
        while True:
            for sharp, _ in store.reads(how, self.order):
                done += len(sharp) if sharp.ndim == 4 else 1
                if (cold or done < len(self.order)) and time.perf_counter() - start > 2 * self.least_s:
                    return done / (time.perf_counter() - start)
            if cold or time.perf_counter() - start > self.least_s:
                return done / (time.perf_counter() - start)

    def load(self, name: str) -> dict[str, float | None]:
        """The rates of a loader with two workers, warm and cold, without the start of its workers."""
        store = self.stores[name]
        store.close()
        plan = batches(self.order)
        chosen: list[list[int]] = [[], []]  # one for each worker, which starts it
        loader = store.loader(2)
        own_order = loader is not None
        if not own_order:
            loader = by_workers(Pairs(store), 2, batch_sampler=chosen, collate_fn=Collate())

        def epoch(what: list[list[int]]) -> float:
            chosen[:] = what
            start, done = time.perf_counter(), 0
            for sharp, _ in loader:
                done += len(sharp)
            if done != len(self.order) * bool(what[0]):
                raise RuntimeError(f"{name}: an epoch has {done} pairs")
            return done / (time.perf_counter() - start)

        epoch(plan if own_order else [[], []])
        warm = [epoch(plan) for _ in range(self.repeats)]
        cold = []
        for _ in range(self.repeats):
            if not own_order:
                epoch([[], []])
            cold += [epoch(plan)] if drop(store.files()) < 0.1 else []
        store.close()
        return {"warm": statistics.median(warm), "cold": statistics.median(cold) if cold else None}

    def close(self, name: str) -> None:
        self.stores[name].close()


def singles(pair: Pair) -> Iterable[Pair]:
    sharp, blurred = pair
    return zip(sharp, blurred, strict=True) if sharp.ndim == 4 else [pair]


def installed(kinds: Iterable[type[Store]]) -> dict[str, str]:
    """Names and versions of the packages of each store that can be used by this Python."""
    found = {}
    for kind in kinds:
        try:
            found[kind.name] = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in kind.packages)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class Elsewhere:
    """A :class:`Bench` in the process of another Python, which has packages that this one has not."""

    def __init__(self, python: str, *arguments: object) -> None:
        command = [python, __file__, json.dumps(arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, method: str, *arguments: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args}: ended during {method}{arguments}; what it wrote is above")
        return json.loads(answer)

    def close(self) -> None:
        self.process.communicate()


def serve(arguments: str) -> None:
    """Answer calls, one a line, until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print is no answer
    bench = Bench(*json.loads(arguments))
    for line in sys.stdin:
        method, *rest = json.loads(line)
        print(json.dumps(getattr(bench, method)(*rest)), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
