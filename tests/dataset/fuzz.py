"""Fuzzes the reader: damages a small data set in ways whose checksums are right, and uses it.

Run as a program on the folder of a data set, its sources, a seed and a number of seconds: in a process of its own, with
bounded memory, so that a crash, a hang or an allocation without bound ends it. Writes a JSON object with the number of
damages, and the errors that are not the library's own.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

import blursynth as bs
from blursynth.dataset import replay, verify
from blursynth.dataset.files import canonical, sealed, sha256_hex
from blursynth.dataset.sample_records import encode_index

MEMORY = 6 * 2**30  # of addresses; a process that has loaded everything takes 2 to 3 GB of them
VALUES: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, 0.5, "", "x", "\0", "..", "/dev/zero", "0" * 64, [], {}, [[]],
    "a" * 5000, [1] * 50, {"a": {"b": 1}}, float(2**53),
]  # fmt: skip


def with_crc(data: bytes) -> bytes:
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


def changed(value: Any, rng: random.Random) -> Any:
    """JSON with one value in it exchanged, dropped or doubled."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])

    value = json.loads(json.dumps(value))
    walk(value)
    node, key = rng.choice(places)
    what = rng.random()
    if what < 0.15:
        del node[key]
    elif what < 0.3 and isinstance(node[key], list | dict):
        nested: Any = node[key]
        for _ in range(rng.choice([1, 30, 300])):
            nested = [nested]
        node[key] = nested
    elif what < 0.4 and isinstance(node, dict):
        node[rng.choice(["x", "../x", "", "\0", key + "2"])] = node.pop(key)
    elif isinstance(node[key], int | float) and what < 0.7:
        node[key] = node[key] * rng.choice([-1, 2, 10, 10**6, 10**15]) + rng.choice([0, 1, -1])
    else:
        node[key] = rng.choice(VALUES)
    return value


def written(path: Path, document: Any) -> None:
    document = {key: value for key, value in document.items() if key != "sha256"}
    if isinstance(document.get("request"), dict):
        document["request_sha256"] = sha256_hex(canonical(document["request"]))
    try:
        path.write_bytes(sealed(document))
    except (ValueError, RecursionError):
        path.write_text(json.dumps(document))


def mended(out: Path, shard: int, name: str, data: bytes) -> None:
    """Write a file of a shard, with the manifest that fits it."""
    (out / name).write_bytes(data)
    path = out / f"manifest/{shard:06d}.json"
    manifest = json.loads(path.read_bytes())
    for stored in manifest["objects"]:
        if stored["path"] == name:
            stored.update(size=len(data), sha256=sha256_hex(data))
    written(path, manifest)


def damage(out: Path, rng: random.Random) -> str:
    shard = rng.randrange(3)
    what = rng.choice(["json", "json", "chunk", "chunk", "index", "record", "lines", "bytes", "asset"])
    if what == "json":
        names = [
            "dataset.json",
            "index.json",
            f"manifest/{shard:06d}.json",
            "skipped.json",
            "sharp/zarr.json",
            "zarr.json",
        ]
        path = out / rng.choice(names)
        document = changed(json.loads(path.read_bytes()), rng)
        if path.name == "zarr.json" or not isinstance(document, dict):
            path.write_text(json.dumps(document))
        else:
            written(path, document)
        return f"json {path.name}"
    if what in ("chunk", "index"):
        name = f"{rng.choice(['sharp', 'kernel'])}/c/{shard}/0/0"
        name += "/0" if name.startswith("sharp") else ""
        data = bytearray((out / name).read_bytes())
        size = 16 * 4 + 4
        index = np.frombuffer(bytes(data[-size:-4]), "<u8").reshape(-1, 2).copy()
        if what == "index":
            row, column = rng.randrange(4), rng.randrange(2)
            next_one = (int(index[row, column]) + 1) % 2**64  # of a chunk that is absent it is 2^64
            index[row, column] = rng.choice([0, 1, 3, 19, 20, 24, 2**31, 2**63, 2**64 - 1, next_one])
        else:
            offset, length = (int(v) for v in index[rng.randrange(2)])
            for _ in range(rng.randint(1, 5)):
                place = offset + rng.randrange(rng.choice([16, 32, length - 4]))
                data[place] = rng.choice([0, 1, 2, 127, 128, 255, rng.randrange(256)])
            if rng.random() < 0.6:  # a header that says how long it is
                data[offset + 12 : offset + 16] = (length - 4).to_bytes(4, "little")
            data[offset : offset + length] = with_crc(bytes(data[offset : offset + length - 4]))
        mended(out, shard, name, bytes(data[:-size]) + with_crc(index.tobytes()))
        return f"{what} {name}"
    if what in ("record", "lines"):
        name = f"draws/{shard:06d}.jsonl"
        lines = (out / name).read_bytes().splitlines(keepends=True)
        if what == "record":
            row = rng.randrange(len(lines))
            lines[row] = json.dumps(changed(json.loads(lines[row]), rng)).encode() + b"\n"
            index = encode_index(lines)
        else:
            table = np.frombuffer(encode_index(lines)[:-4], "<u8").copy()
            table[rng.randrange(len(table))] = rng.choice([0, 1, 2**24 + 1, 2**63, 2**64 - 1])
            index = with_crc(table.tobytes())
        mended(out, shard, name, b"".join(lines))
        mended(out, shard, f"draws/{shard:06d}.index", index)
        return f"{what} {name}"
    files = sorted(p for p in out.rglob("*") if p.is_file() and (what == "bytes" or p.suffix == ".npy"))
    path = rng.choice(files)
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data) if what == "bytes" else 128)] = rng.randrange(256)
    path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)
    return f"{what} {path.relative_to(out)}"


def use(out: Path, sources: Path, rng: random.Random) -> None:
    """Everything that reads a data set; only errors of the library's own may come out of it."""
    verify(out, deep=True, replay=1, source_root=sources)
    for call in (bs.open_dataset, lambda path: bs.open_dataset(path, allow_unfinished=True)):
        try:
            data = call(out)
        except bs.BlursynthError:
            continue
        for i in rng.sample(range(len(data)), min(4, len(data))):
            with suppress(bs.BlursynthError):
                sample = data[i]
                _ = (sample.draw, sample.window, sample.source, sample.license)
                data.batch([i, 0])
                data.params()
        with suppress(bs.BlursynthError):
            replay(out, rng.randrange(len(data)), source_root=sources)


def main(made: Path, sources: Path, seed: int, seconds: float) -> dict[str, Any]:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    rng = random.Random(seed)
    found: dict[str, str] = {}
    use(made, sources, rng)  # compiles what it needs
    slowest, number, end = (0.0, ""), 0, time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "set")
        while time.monotonic() < end:
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(made, out)
            what, start = damage(out, rng), time.monotonic()
            number += 1
            try:
                use(out, sources, rng)
            except Exception:
                found.setdefault(what.split()[0], f"{what} (seed {seed}, number {number}): {traceback.format_exc()}")
            slowest = max(slowest, (time.monotonic() - start, what))
    return {"damages": number, "slowest_s": slowest, "errors": found}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))))
