"""The same pairs written and read by numpy, by us, and by the formats that others train from.

``python benchmarks/run.py throughput``, about five minutes on two quiet cores. MosaicML Streaming and LitData require
packages that exclude ours; ``BLURSYNTH_PEERS=PYTHON`` names the Python of another environment that has them::

    python -m venv peers
    peers/bin/pip install mosaicml-streaming litdata opencv-python-headless
    BLURSYNTH_PEERS=peers/bin/python python benchmarks/run.py throughput
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import stores
from measure import cores, machine, table, version
from stores import BATCH, HOW, LOADER, SET, STORES

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate

PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
PEERS = "BLURSYNTH_PEERS"
LIMIT, PLAIN, PACKED = stores.Memmap.name, stores.OursPlain.name, stores.OursPacked.name
COMPRESSED = (stores.WebDatasetPng.name, stores.LmdbPng.name)
Rates = dict[str, dict[str, float | None]]
Ask = Callable[..., Any]
TEXT = f"""
{{count}} pairs of {{size}} x {{size}} x 3 uint8, made from photographs by the recipe `default`: pairs per second on
the wall, medians of {{repeats}}, in turn and each time another one first; in brackets the share of the memmap's.
Size: of the raw pixels. Written: until all is on the disk; of ours, encoding and writing the shards, not blurring.
Random: one pair at a time. Two workers: batches of {BATCH} in shuffled order by a torch `DataLoader` (LitData: by its
own; MosaicML, LitData, WebDataset: in their own order), without the start of the workers. Each as it comes: batches
of ours, and TensorStore, use all cores. WebDataset cannot read at random: instead, a stream through its shuffle
buffer of {stores.SHUFFLED} pairs. PNG at level {stores.PNG_LEVEL}, coded by OpenCV for all. Ours checks the crc32c of
all that it reads. Largest difference of all pixels that all read, one by one, at random and in batches: {{largest}}.
"""
COLD = """
Cold: the files were dropped from the page cache before (what the machine below this one caches stays); opening the
store counts. Empty: its workers keep the files in the page cache.
"""


def make_pairs(folder: Path, count: int, size: int) -> None:
    """Our data sets, by both codecs, and an array of their pixels."""
    sources = [Path(skimage.__file__).parent / "data" / name for name in PHOTOGRAPHS]
    for codec, name in SET.items():
        request = DatasetRequest(
            sources=sources,
            recipe="default",
            count=count,
            size_px=size,
            shard_length=-(-count // 2),
            codec=codec,
            seed=1,
        )
        generate(request, folder / name, workers=min(cores(), -(-count // 64)))
    pairs = bs.open_dataset(folder / SET["lz4"]).batch(range(count))
    np.save(folder / "pairs.npy", np.stack([pairs.sharp, pairs.blurred]))


def usable(kinds: Sequence[type[stores.Store]], python: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """Packages, with their versions, of the stores that this Python measures, and of those that ``python`` does."""
    here = stores.installed(kinds)
    others = [kind.name for kind in kinds if kind.name not in here]
    if not (python and others):
        return here, {}
    code = f"import json; from stores import *; print(json.dumps(installed(k for k in STORES if k.name in {others})))"
    done = subprocess.run(
        [python, "-c", code], cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True, check=True
    )
    return here, json.loads(done.stdout)


def measured(names: Sequence[str], ask: Ask, repeats: int) -> tuple[Rates, dict[str, dict[str, float]]]:
    """Medians of rates, by what is done and the store; and what was checked of each."""
    found: dict[str, dict[str, list[float | None]]] = {}

    def rounds(what: str, method: str, *arguments: object) -> None:
        for k in range(repeats):
            first = k * len(names) // repeats
            for name in (*names[first:], *names[:first]):
                found.setdefault(what, {}).setdefault(name, []).append(ask(name, method, *arguments))

    rounds("write", "write")
    checks = {name: ask(name, "check") for name in names}
    for how in HOW:
        rounds(how, "read", how, False)
    for how in HOW:
        rounds(f"{how}, cold", "read", how, True)
    for name in names:
        ask(name, "close")
    for name in names:
        for state, rate in ask(name, "load").items():
            what = LOADER if state == "warm" else f"{LOADER}, cold"
            found.setdefault(what, {})[name] = [rate]
    return {
        what: {name: None if None in all_ else statistics.median(all_) for name, all_ in by_name.items()}
        for what, by_name in found.items()
    }, checks


def rates_table(names: Sequence[str], rates: Rates, columns: Sequence[str], sizes: Mapping[str, float]) -> str:
    """Rates, and in brackets their share of the memmap's."""

    def cell(what: str, name: str) -> str:
        rate, limit = rates[what][name], rates[what].get(LIMIT)
        if rate is None:
            return ""
        return f"{rate:,.0f}" + (f" ({rate / limit:.2f})" if limit else "")

    rows = [
        [name, *([f"{sizes[name]:.2f}"] if sizes else []), *(cell(what, name) for what in columns)] for name in names
    ]
    return table(["store", *(["size"] if sizes else []), *columns], rows)


def aims(rates: Rates) -> list[str]:
    """How ours compares with the limit, and with what is compressed as well."""

    def ratio(what: str, one: str, other: str) -> str:
        return f"{(rates[what].get(one) or np.nan) / (rates[what].get(other) or np.nan):.2f}"

    lines = []
    for one, others, aim in ((PLAIN, (LIMIT,), "0.5"), (PACKED, COMPRESSED, "10")):
        for other in others:
            if other in rates[HOW[1]] and one in rates[HOW[1]]:
                each = ", ".join(f"{what} {ratio(what, one, other)}" for what in HOW[1:])
                lines.append(f"{one} / {other} (aim {aim}): {each}.")
    return lines


def main(
    *,
    count: int = 192,
    size: int = 256,
    repeats: int = 3,
    least_s: float = 0.2,
    kinds: Sequence[type[stores.Store]] = STORES,
    python: str | None = None,
) -> str:
    """The section of BENCHMARKS.md."""
    python = python or os.environ.get(PEERS)
    here, there = usable(kinds, python)
    names = [kind.name for kind in kinds if kind.name in here or kind.name in there]
    folder = Path(tempfile.mkdtemp(prefix="throughput-"))
    elsewhere = None
    try:
        make_pairs(folder, count, size)
        settings = (str(folder), repeats, least_s)
        bench = stores.Bench(*settings)
        if python and there:
            elsewhere = stores.Elsewhere(python, *settings)

        def ask(name: str, method: str, *arguments: object) -> Any:
            if elsewhere is not None and name in there:
                return elsewhere.call(method, name, *arguments)
            return getattr(bench, method)(name, *arguments)

        rates, checks = measured(names, ask, repeats)
    finally:
        if elsewhere is not None:
            elsewhere.close()
        shutil.rmtree(folder)
    largest = max(check["difference"] for check in checks.values())
    versions = [version("torch"), *dict.fromkeys(here.values())]
    if there:
        versions.append(f"in an environment of their own: {', '.join(dict.fromkeys(there.values()))}")
    cold = [f"{what}, cold" for what in (*HOW, LOADER)]
    missing = [kind for kind in kinds if kind.name not in names]
    return "\n\n".join(
        [
            "## Throughput of stores",
            " ".join(TEXT.format(count=count, size=size, repeats=repeats, largest=largest).split()),
            f"{machine()}; {'; '.join(versions)}.",
            rates_table(names, rates, ["write", *HOW, LOADER], {name: check["size"] for name, check in checks.items()}),
            " ".join(COLD.split()),
            rates_table(names, rates, cold, {}),
            *aims(rates),
            *(f"Left out, since it is not installed: {k.name} ({', '.join(k.packages)}; {PEERS})." for k in missing),
        ]
    )


if __name__ == "__main__":
    print(main())
