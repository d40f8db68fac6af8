"""The benchmark of stores measures what it says: all pixels are compared, and cold is cold. Its rates need a quiet
machine."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
COUNT = 5


@pytest.fixture(scope="module")
def stores() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("stores")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pairs of random codes, not square."""
    np.save(tmp_path / "pairs.npy", np.random.default_rng(3).integers(0, 256, (2, COUNT, 24, 40, 3), np.uint8))
    return tmp_path


PEERS = ("numpy memmap (the limit)", "HDF5, not compressed", "LMDB, raw", "LMDB, PNG", "folders of PNG")


@pytest.mark.parametrize("name", PEERS)
def test_a_store_gives_the_pixels_that_were_written(stores: ModuleType, folder: Path, name: str) -> None:
    kind = next(kind for kind in stores.STORES if kind.name == name)
    if not stores.installed([kind]):
        pytest.skip(f"{kind.packages} is not installed")
    bench = stores.Bench(str(folder), repeats=1, least_s=0.0)
    assert bench.write(name) > 0
    assert bench.check(name)["difference"] == 0
    assert all(bench.read(name, how, False) > 0 for how in stores.HOW)
    bench.close(name)


def test_a_wrong_pixel_is_found(stores: ModuleType, folder: Path) -> None:
    bench = stores.Bench(str(folder), repeats=1, least_s=0.0)
    name = stores.Memmap.name
    bench.write(name)
    blurred = np.load(folder / "store0" / "blurred.npy", mmap_mode="r+")
    blurred[3, 20, 31, 2] ^= 64
    blurred.flush()
    assert bench.check(name)["difference"] == 64


def test_a_dropped_file_is_not_in_the_page_cache(stores: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(bytes(2**20))
    if not hasattr(stores.os, "posix_fadvise") or stores.drop([path]) == 1.0:
        pytest.skip("files of this folder stay in memory")
    assert stores.cached([path]) == 0.0
    path.read_bytes()
    assert stores.cached([path]) == 1.0


def test_another_python_measures_the_same_pairs(stores: ModuleType, folder: Path) -> None:
    name = stores.Memmap.name
    elsewhere = stores.Elsewhere(sys.executable, str(folder), 1, 0.0)
    try:
        assert elsewhere.call("write", name) > 0
        raw = 2 * COUNT * 24 * 40 * 3
        assert elsewhere.call("check", name) == {"size": (raw + 2 * 128) / raw, "difference": 0}  # .npy: 128 bytes more
        with pytest.raises(RuntimeError, match="ended during"):
            elsewhere.call("write", "no such store")
    finally:
        elsewhere.close()


def test_shares_and_aims_by_arithmetic(stores: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    throughput = importlib.import_module("throughput")
    limit, plain, packed = throughput.LIMIT, throughput.PLAIN, throughput.PACKED
    webdataset = stores.WebDatasetPng.name
    rates = {how: {limit: 1000.0, plain: 600.0, packed: 120.0, webdataset: 10.0} for how in stores.HOW}
    rates["random"][webdataset] = None
    rows = throughput.rates_table((limit, plain, webdataset), rates, ["random"], {}).splitlines()[2:]
    assert rows == [f"| {limit} | 1,000 (1.00) |", f"| {plain} | 600 (0.60) |", f"| {webdataset} |  |"]
    batches = stores.HOW[2]
    assert throughput.aims(rates) == [
        f"{plain} / {limit} (aim 0.5): random 0.60, {batches} 0.60.",
        f"{packed} / {webdataset} (aim 10): random nan, {batches} 12.00.",
    ]


TINY = "import throughput; print(throughput.main(count=8, size=64, repeats=1, least_s=0.001{}))"


def section(extra: str) -> str:
    for package in ("torch", "skimage"):
        pytest.importorskip(package)
    done = subprocess.run(
        [sys.executable, "-c", TINY.format(extra)], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_benchmark_runs_and_names_what_it_leaves_out(stores: ModuleType) -> None:
    """With the limit, one of ours, and a peer that nobody has."""
    made = section(
        ", kinds=[*throughput.STORES[:2], type('None', (throughput.stores.Memmap,), {'name': 'N', 'packages': ('no-n',)})]"
    )
    assert "Largest difference of all pixels that all read, one by one, at random and in batches: 0." in made
    assert "Left out, since it is not installed: N (no-n; BLURSYNTH_PEERS)." in made
    rates, cold = (part for part in made.split("\n\n") if part.startswith("| store"))
    names = [kind.name for kind in stores.STORES[:2]]
    for rows in (rates.splitlines()[2:], cold.splitlines()[2:]):
        assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == names
    assert all(cell.strip() for row in rates.splitlines()[2:] for cell in row.split("|")[1:-1])


@pytest.mark.slow
def test_the_benchmark_runs_with_all_that_is_installed(stores: ModuleType) -> None:
    made = section("")
    assert "in batches: 0." in made
    assert all(kind.name in made for kind in stores.STORES)
