"""What a data set survives: processes killed at random moments, every kind of damage to every file, and networks.

``python benchmarks/run.py survival`` writes the table; object storage is moto's server behind the tests' proxy. A trial
survives if the data set ends with the very same files as one that nobody disturbed: after a kill by running the command
again, after damage by ``blursynth repair``. Damage that ``blursynth verify --deep`` calls sound is silent.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from measure import machine, table

import blursynth as bs
from blursynth.io.object_store import ObjectPath, Place

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "dataset"))
from s3_server import FAULTS, Proxy

FAULTY_RUNS = 3
HARMED = (
    "dataset.json", "skipped.json", "index.json", "README.md", "croissant.json", "zarr.json", "sharp/zarr.json",
    "copies/dataset.json", "manifest/000002.json", "draws/000003.jsonl", "draws/000003.index", "blurred/c/0/0/0/0",
    "sharp/c/4/0/0/0",
)  # fmt: skip
"""One object of each kind."""
KILLED_SAMPLES, DAMAGED_SAMPLES, SHARD_LENGTH, SIZE_PX = 160, 40, 8, 64
Tree = dict[str, str]


def tree(out: Path) -> Tree:
    """The sha256 of every file."""
    return {
        p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(out.rglob("*"))
        if p.is_file()
    }


def photographs(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(4):
        rows, columns = np.mgrid[:210, : 230 + 10 * number]
        picture = 0.5 + 0.3 * np.sin(rows / (4 + number)) * np.cos(columns / 6) + 0.05 * rng.standard_normal((3, 1, 1))
        bs.write_picture(folder / f"{number}.png", np.clip(picture + 0.05 * rng.random(picture.shape), 0, 1))
    return folder


def command(photos: Path, out: Place, samples: int) -> list[str]:
    words = ["generate", photos, out, "-n", samples, "--size", SIZE_PX, "--shard-length", SHARD_LENGTH, "-w", 2, "-q"]
    return [sys.executable, "-m", "blursynth", *map(str, words)]


def started(photos: Path, out: Place, samples: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(photos, out, samples), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def finished(process: subprocess.Popen[bytes]) -> bool:
    return process.wait(600) == 0


def kill_group(process: subprocess.Popen[bytes], source: random.Random) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def kill_child(process: subprocess.Popen[bytes], source: random.Random) -> None:
    """A worker, or a helper of Python's."""
    children = psutil.Process(process.pid).children(recursive=True)
    if children:
        source.choice(children).kill()


def kills(photos: Path, whole: Tree, room: Path, tries: int, longest_s: float) -> Iterator[list[str]]:
    """Kill at a random moment, run the command again: rows of the table."""
    for name, kill in (
        ("the process and its workers (kill -9)", kill_group),
        ("one of its processes (kill -9)", kill_child),
    ):
        survived = stopped = 0
        for number in range(tries):
            out = room / "killed" / "set"
            process = started(photos, out, KILLED_SAMPLES)
            source = random.Random(f"{name} {number}")
            time.sleep(source.uniform(0.3, longest_s))
            if process.poll() is None:
                stopped += 1
                kill(process, source)
            process.wait(600)
            time.sleep(0.1)
            survived += finished(started(photos, out, KILLED_SAMPLES)) and tree(out) == whole
            shutil.rmtree(out)
        yield [name, f"{tries} ({stopped} while it ran)", "", f"{survived}"]


def flip(path: Path, source: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    path.write_bytes(data)


def cut(path: Path, source: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: source.randrange(len(data))])


def delete(path: Path, source: random.Random) -> None:
    path.unlink()


def exchange(path: Path, source: random.Random) -> None:
    """With another file, of the same ending if there is one."""
    root = next(p for p in path.parents if (p / "zarr.json").exists() and (p / "copies").exists())
    others = [p for p in sorted(root.rglob("*")) if p.is_file() and p.read_bytes() != path.read_bytes()]
    other = source.choice([p for p in others if p.suffix == path.suffix] or others)
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


def damages(made: Path, whole: Tree, rounds: int) -> Iterator[list[str]]:
    """Damage each file in each way, verify, repair: rows of the table."""
    ways: tuple[tuple[str, Callable[[Path, random.Random], None]], ...] = (
        ("a flipped bit", flip), ("a file cut off", cut), ("a deleted file", delete), ("two files exchanged", exchange),
    )  # fmt: skip
    for name, damage in ways:
        tried = silent = mended = 0
        for number in range(rounds):
            for file in whole:
                source = random.Random(f"{name} {file} {number}")
                damage(made / file, source)
                tried += 1
                silent += bs.verify(made, deep=True).ok
                bs.repair(made, workers=1)
                mended += tree(made) == whole
        yield [f"{name}, in each of {len(whole)} files", f"{tried}", f"{silent}", f"{mended}"]


def two_writers(photos: Path, whole: Tree, room: Path, tries: int) -> Iterator[list[str]]:
    """Two of the same command begin at the same time: a row of the table."""
    survived = 0
    for _ in range(tries):
        out = room / "damaged-again" / "set"
        both = [started(photos, out, DAMAGED_SAMPLES) for _ in range(2)]
        codes = [process.wait(600) for process in both]  # the second may be refused
        survived += 0 in codes and tree(out) == whole
        shutil.rmtree(out)
    yield ["two writers at the same time", f"{tries}", "", f"{survived}"]


def full_disk(photos: Path, whole: Tree, whole_bytes: int, room: Path, tries: int) -> Iterator[list[str]]:
    """A file system of a random size that becomes full, and has room when the command runs again: a row of the table.

    A tmpfs in a mount namespace of its own, so that no right of an administrator is needed.
    """
    if subprocess.run(["unshare", "-Urm", "true"], check=False, capture_output=True).returncode:
        return
    survived = ended = 0
    for number in range(tries):
        disk, copy = room / "disk", room / f"disk-{number}" / "set"
        disk.mkdir(exist_ok=True)
        kib = random.Random(f"full {number}").randrange(16, whole_bytes // 1024)
        words = shlex.join(command(photos, disk / "set", DAMAGED_SAMPLES))
        script = (
            f"mount -t tmpfs -o size={kib}k tmpfs {disk} || exit 9; {words}; first=$?; "
            f"mount -o remount,size=1g {disk}; {words} || exit 8; cp -r {disk}/set {copy.parent}/; exit $first"
        )
        copy.parent.mkdir()
        code = subprocess.run(
            ["unshare", "-Urm", "sh", "-c", script], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
        ended += code not in (0, 8, 9)
        survived += code not in (8, 9) and tree(copy) == whole
    yield ["a full disk", f"{tries} ({ended} while it ran)", "", f"{survived}"]


def objects(out: ObjectPath) -> Tree:
    """The sha256 of every object."""
    return {name: hashlib.sha256((out / name).read_all(2**30) or b"").hexdigest() for name, _ in out.below()}


@contextmanager
def bucket() -> Iterator[Proxy]:
    """A server that speaks S3, and a proxy before it to which the environment points."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    proxy = Proxy(port)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
    }  # fmt: skip
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1").create_bucket(Bucket="bucket")
    try:
        yield proxy
    finally:
        proxy.stop()
        server.stop()


def in_object_storage(photos: Path, tries: int) -> Iterator[list[str]]:
    """The same for objects, and what networks do: rows of the table."""
    with bucket() as proxy:
        out, number = ObjectPath.parse("s3://bucket/0/set"), 0
        begun = time.monotonic()
        if not finished(started(photos, out, DAMAGED_SAMPLES)):
            raise RuntimeError("the undisturbed data set was not made")
        whole, longest_s = objects(out), time.monotonic() - begun
        survived = stopped = 0
        for number in range(1, tries + 1):
            out = ObjectPath.parse(f"s3://bucket/{number}/set")
            process = started(photos, out, DAMAGED_SAMPLES)
            source = random.Random(f"objects {number}")
            time.sleep(source.uniform(0.3, longest_s))
            if process.poll() is None:
                stopped += 1
                kill_group(process, source)
            process.wait(600)
            survived += finished(started(photos, out, DAMAGED_SAMPLES)) and objects(out) == whole
        yield ["S3: the process and its workers (kill -9)", f"{tries} ({stopped} while it ran)", "", f"{survived}"]
        survived = 0
        for number in range(tries + 1, tries + 6):
            out = ObjectPath.parse(f"s3://bucket/{number}/set")
            both = [started(photos, out, DAMAGED_SAMPLES) for _ in range(2)]
            survived += all(finished(process) for process in both) and objects(out) == whole
        yield ["S3: two writers at the same time", "5", "", f"{survived}"]
        for fault in FAULTS:
            done = 0
            for _ in range(FAULTY_RUNS):
                number += 1
                out = ObjectPath.parse(f"s3://bucket/{number}/set")
                proxy.fault = lambda method, path, n, fault=fault: fault if n % 5 == 0 else None
                for _ in range(2):  # a listing that lags behind may leave something for a second run
                    finished(started(photos, out, DAMAGED_SAMPLES))
                proxy.fault = lambda method, path, n: None
                done += objects(out) == whole
            yield [f"S3: every fifth request: {fault}", f"{FAULTY_RUNS}", "", f"{done}"]
        for name, harmed in (
            ("a flipped bit", lambda data: bytes([data[0] ^ 4]) + data[1:]),
            ("an object cut off", lambda data: data[: len(data) // 3]),
            ("a deleted object", None),
        ):
            tried = silent = mended = 0
            for file in HARMED:
                one = out / file
                data = one.read_all(2**30) or b""
                one.unlink() if harmed is None else one.write(harmed(data))
                tried += 1
                silent += bs.verify(str(out), deep=True).ok
                bs.repair(str(out), workers=1)
                mended += objects(out) == whole
            yield [f"S3: {name}, in each of {len(HARMED)}", f"{tried}", f"{silent}", f"{mended}"]


def main(arguments: list[str] | None = None) -> str:
    """The section of BENCHMARKS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2, help="how often each file is damaged in each way")
    options = parser.parse_args(arguments or [])
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        (room / "photos").mkdir()
        photos = photographs(room / "photos")
        whole, longest_s = {}, 0.0
        for name, samples in (("damaged", DAMAGED_SAMPLES), ("killed", KILLED_SAMPLES)):
            made, begun = room / name / "set", time.monotonic()  # a card has the name of its folder
            if not finished(started(photos, made, samples)):
                raise RuntimeError("the undisturbed data set was not made")
            whole[name], longest_s = tree(made), time.monotonic() - begun
        shutil.rmtree(room / "killed")
        size = sum(p.stat().st_size for p in (room / "damaged" / "set").rglob("*") if p.is_file())
        rows = [
            *kills(photos, whole["killed"], room, options.kills, longest_s),
            *damages(room / "damaged" / "set", whole["damaged"], options.rounds),
            *full_disk(photos, whole["damaged"], size, room, options.kills // 5),
            *two_writers(photos, whole["damaged"], room, options.kills // 5),
            *in_object_storage(photos, options.kills // 5),
        ]
    head = ["what was done", "tried", "silent", "ends in the same files"]
    return (
        f"## What a data set survives\n\n{machine()}. {KILLED_SAMPLES} pairs of {SIZE_PX} px (damaged: "
        f"{DAMAGED_SAMPLES}) in shards of {SHARD_LENGTH}, two workers. After a kill the same command runs again, after "
        "damage `blursynth verify --deep` and `blursynth repair`; the last column counts those after which every file "
        f"is, byte for byte, as if nothing had happened.\n\n{table(head, rows)}"
    )


if __name__ == "__main__":
    print(main(sys.argv[1:]))
