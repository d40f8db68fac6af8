"""Data sets in object storage: a real server on loopback, and one that fails in every way that networks do."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blursynth as bs
from blursynth import dataset
from blursynth.dataset.cache import ObjectCache
from blursynth.dataset.files import sealed
from blursynth.dataset.manifest import manifest_path
from blursynth.io import object_store
from blursynth.io.folders import as_place
from blursynth.io.object_store import ObjectPath

from .s3_server import FAULTS, Proxy

pytest.importorskip("obstore")
pytest.importorskip("moto")

SECRET = "aVerySecretKeyThatMustNotBeSeen"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def store(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ObjectPath]]:
    """Makes a bucket behind a proxy; returns a place in it."""
    import boto3

    proxies = []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def make(fault: Callable[[str, str, int], str | None] | None = None) -> ObjectPath:
        proxy = Proxy(port) if fault is None else Proxy(port, fault)
        proxies.append(proxy)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setattr(object_store, "_stores", {})
        name = f"bucket-{time.monotonic_ns()}"
        boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket=name)
        made = ObjectPath.parse(f"s3://{name}/pairs")
        make.proxy = proxy  # type: ignore[attr-defined]
        return made

    yield make
    for proxy in proxies:
        proxy.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of seconds, in this process."""
    limits = {
        "client_options": {"connect_timeout": "1s", "read_timeout": "300ms", "timeout": "20s"},
        "retry_config": {
            "max_retries": 6,
            "retry_timeout": timedelta(seconds=20),
            "backoff": {"init_backoff": timedelta(seconds=0.01), "max_backoff": timedelta(seconds=0.1), "base": 2},
        },
    }
    monkeypatch.setattr(object_store, "_LIMITS", limits)


def request_of(pictures: Path, recipe: bs.Recipe, **changes: Any) -> dataset.DatasetRequest:
    return dataset.DatasetRequest(
        sources=pictures, recipe=recipe, count=11, size_px=32, seed=5, shard_length=4,
        store=("kernel", "params"), kernel_size_px=33,
    ).replace(**changes)  # fmt: skip


def few(pictures: Path, recipe: bs.Recipe) -> bs.DatasetRequest:
    return dataset.DatasetRequest(sources=pictures, recipe=recipe, count=3, size_px=32, seed=5, shard_length=2)


def content(place: ObjectPath) -> dict[str, bytes]:
    return {name: (place / name).read_all(2**30) or b"" for name, _ in place.below()}


def files(folder: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: data for name, data in found.items() if not name.startswith(".locks")}


@pytest.mark.parametrize("workers", [1, 2])
def test_objects_are_the_files_of_a_folder(
    store: Callable[..., ObjectPath], made: Path, pictures: Path, recipe: bs.Recipe, workers: int
) -> None:
    """Byte for byte, but for the card and the index, which hold the name."""
    out = store()
    report = dataset.generate(request_of(pictures, recipe), str(out), workers=workers)
    mine, theirs = content(out), files(made)
    assert mine.keys() == theirs.keys()
    named = {"README.md", "croissant.json", "index.json"}
    assert {n for n in mine if mine[n] != theirs[n]} <= named
    local = bs.open_dataset(made)
    assert report.digest == local.digest
    again = dataset.generate(request_of(pictures, recipe), str(out), workers=workers)
    assert again.made == ()
    found = bs.verify(str(out), deep=True, replay=2, source_root=pictures)
    assert found.ok, found.problems
    assert found.digest == local.digest
    assert not found.notes
    remote = bs.open_dataset(str(out))
    assert [s.record for s in remote] == [s.record for s in local]
    for name in ("sharp", "blurred", "kernel", "params"):
        chosen = [10, 0, 3, 4, 4]
        assert remote.array(name, chosen).tobytes() == local.array(name, chosen).tobytes()  # some are NaN
    import zarr
    from zarr.storage import ObjectStore

    group = zarr.open_group(ObjectStore(object_store._store(out.root), read_only=True), path=out.key, mode="r")
    assert (group["blurred"][7] == local[7].blurred).all()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, pictures: Path, recipe: bs.Recipe) -> Path:
    """As little as has several shards; every request takes a while here."""
    out = tmp_path_factory.mktemp("small") / "pairs"
    bs.generate(few(pictures, recipe), out, workers=1)
    return out


FAST = ("cut answer", "short body")


@pytest.mark.parametrize("fault", [f if f in FAST else pytest.param(f, marks=pytest.mark.slow) for f in FAULTS])
@pytest.mark.usefixtures("impatient")
def test_what_networks_do_costs_time_alone(
    store: Callable[..., ObjectPath], small: Path, pictures: Path, recipe: bs.Recipe, fault: str
) -> None:
    """Every third request of each kind goes wrong: the digest is that of an undisturbed run, and so is what is read."""
    out = store(lambda method, path, number: fault if number % 3 == 0 else None)
    local = bs.open_dataset(small)
    done = {}
    for _ in range(2 if fault == "late listing" else 1):  # a shard that is listed late may be made or finished later
        done = bs.generate(few(pictures, recipe), str(out), workers=1).digest or done
    assert done == local.digest
    remote = bs.open_dataset(str(out))
    assert (remote.batch(range(3)).sharp == local.batch(range(3)).sharp).all()
    assert [s.record for s in remote] == [s.record for s in local]
    if fault != "late listing":
        assert bs.verify(str(out), deep=True).ok
    proxy: Proxy = store.proxy  # type: ignore[attr-defined]
    assert proxy.injected[fault] >= 3
    proxy.fault = lambda method, path, number: None
    assert bs.verify(str(out), deep=True).ok
    assert {n: d for n, d in content(out).items() if n.startswith("manifest/")} == {
        n: d for n, d in files(small).items() if n.startswith("manifest/")
    }


@pytest.mark.usefixtures("impatient")
def test_a_store_that_stops_answering_is_an_error_and_what_is_finished_is_kept(
    store: Callable[..., ObjectPath], small: Path, pictures: Path, recipe: bs.Recipe
) -> None:
    dead = [False]
    shards = []

    def fault(method: str, path: str, number: int) -> str | None:
        if method == "PUT" and "/manifest/" in path:
            shards.append(path)
            dead[0] = len(shards) > 1  # the second shard is never finished
        return "unavailable" if dead[0] else None

    out = store(fault)
    start = time.monotonic()
    with pytest.raises(bs.StoreError, match=r"s3://.*: a request failed \(503.*after 7 attempts") as failed:
        bs.generate(few(pictures, recipe), str(out), workers=1)
    assert time.monotonic() - start < 60
    assert SECRET not in str(failed.value)
    with pytest.raises(bs.StoreError):  # not: is no data set
        bs.open_dataset(str(out), allow_unfinished=True)
    with pytest.raises(bs.StoreError):  # not: is damaged
        bs.verify(str(out))
    dead[0], proxy = False, store.proxy  # type: ignore[attr-defined]
    proxy.fault = lambda method, path, number: None
    report = bs.resume(str(out), workers=1, source_root=pictures)
    assert report.kept == (0,)
    assert report.digest == bs.open_dataset(small).digest


def test_no_secret_is_stored_or_told(
    store: Callable[..., ObjectPath], pictures: Path, recipe: bs.Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    out = store()
    with caplog.at_level(logging.DEBUG):
        dataset.generate(request_of(pictures, recipe, count=2), str(out), workers=1)
    everything = b"".join(content(out).values()) + repr(bs.open_dataset(str(out)).__reduce__()).encode()
    assert SECRET.encode() not in everything + caplog.text.encode()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/pairs", "places of the kind ftp:// are not supported"),
        (f"s3://user:{SECRET}@bucket/pairs", "holds a user name, a password"),
        (f"az://account/pairs?sig={SECRET}", "holds a user name, a password, a query"),
        ("s3:///pairs", "names no bucket"),
        (f"s3://[{SECRET}/pairs", "is no URL"),
        ("s3://bucket/a//b", "has an empty part"),
        ("s3://bucket/../other", "one that is . or .."),
        ("s3://bucket/a%2fb", "has a character"),
        ("s3://bucket/a\\b", "has a character"),
    ],
)
def test_a_name_that_is_none_is_refused_without_its_secret(url: str, said: str) -> None:
    with pytest.raises(bs.InvalidValueError, match=said) as failed:
        bs.open_dataset(url)
    assert SECRET not in str(failed.value)


def test_places_where_nothing_can_be_written(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    request = request_of(pictures, recipe)
    with pytest.raises(bs.DatasetError, match="can be read, but not written"):
        bs.generate(request, "https://example.com/pairs")
    with pytest.raises(bs.DatasetError, match="is a whole bucket"):
        bs.generate(request, "s3://bucket")
    with pytest.raises(bs.InvalidValueError, match="other processes do not see it"):
        bs.generate(request, "memory://here/pairs", workers=2)
    bs.generate(few(pictures, recipe), tmp_path / "local", workers=1)
    with pytest.raises(bs.InvalidValueError, match="is a URL, but only files and folders"):
        bs.export(tmp_path / "local", "s3://bucket/exported", to="folders")
    assert not (tmp_path / "s3:").exists()


def test_the_memory_of_this_process(made: Path, pictures: Path, recipe: bs.Recipe) -> None:
    out = f"memory://{time.monotonic_ns()}/pairs"
    assert bs.generate(request_of(pictures, recipe), out, workers=1).digest == bs.open_dataset(made).digest
    assert bs.verify(out, deep=True).ok
    assert len(bs.open_dataset(out)) == 11
    assert as_place("file:///some%20where/x") == Path("/some where/x")


@pytest.mark.slow
def test_a_published_data_set_is_read_over_http(
    store: Callable[..., ObjectPath], port: int, made: Path, pictures: Path, recipe: bs.Recipe
) -> None:
    out = store()
    bs.generate(request_of(pictures, recipe), str(out), workers=1)
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    for name in content(out):
        client.put_object_acl(Bucket=out.root[5:], Key=f"pairs/{name}", ACL="public-read")
    read = bs.open_dataset(f"http://127.0.0.1:{port}/{out.root[5:]}/pairs")
    assert (read.batch([9, 1]).blurred == bs.open_dataset(made).batch([9, 1]).blurred).all()


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "flipped": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 8]) + data[len(data) // 2 + 1 :],
    "cut off": lambda data: data[: len(data) // 2],
    "deleted": lambda data: None,
}


HARMED = ("sharp/c/0/0/0/0", "dataset.json", "index.json", "manifest/000001.json", "draws/000000.jsonl")
CASES = [(damage, name) for damage in DAMAGE for name in HARMED]


@pytest.mark.parametrize(("damage", "name"), [CASES[0], *(pytest.param(*c, marks=pytest.mark.slow) for c in CASES[1:])])
def test_damaged_objects_are_found_and_repaired(
    store: Callable[..., ObjectPath], pictures: Path, recipe: bs.Recipe, damage: str, name: str
) -> None:
    out = store()
    bs.generate(few(pictures, recipe), str(out), workers=1)
    whole = content(out)
    harmed = DAMAGE[damage](whole[name])
    (out / name).unlink() if harmed is None else (out / name).write(harmed)
    try:
        silent = bs.verify(str(out), deep=True).ok
    except bs.DatasetError:
        silent = False
    assert not silent
    mended = bs.repair(str(out), workers=1, source_root=pictures)
    assert mended.ok, mended.problems
    assert content(out) == whole


def _generate(sources: str, recipe: dict[str, Any], out: str, answers: Any) -> None:
    try:
        request = dataset.DatasetRequest(
            sources=sources, recipe=bs.Recipe.from_dict(recipe), count=40, size_px=32, seed=5, shard_length=2
        )
        answers.put(bs.generate(request, out, workers=1).digest)
    except BaseException as error:
        answers.put(repr(error))


@pytest.mark.slow
def test_two_that_write_at_the_same_time(
    store: Callable[..., ObjectPath], pictures: Path, recipe: bs.Recipe, tmp_path: Path
) -> None:
    """Each does all of the work, and both end in the same digest."""
    out = store()
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    both = [
        context.Process(target=_generate, args=(str(pictures), recipe.to_dict(), str(out), answers)) for _ in range(2)
    ]
    for process in both:
        process.start()
    digests = [answers.get(timeout=120) for _ in both]
    for process in both:
        process.join(60)
    _generate(str(pictures), recipe.to_dict(), str(tmp_path / "local"), answers)
    expected = answers.get(timeout=60)
    assert isinstance(expected, dict)
    assert digests == [expected, expected]
    assert bs.verify(str(out), deep=True).ok


def test_another_writer_with_other_content_is_an_error(
    store: Callable[..., ObjectPath], pictures: Path, recipe: bs.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = store()
    create = ObjectPath.create

    def later(self: ObjectPath, data: bytes) -> bool:
        if self == manifest_path(out, 1):  # another process is first, with other objects
            document = json.loads(data)
            del document["sha256"]
            document["objects"][0]["sha256"] = "0" * 64
            self.write(sealed(document))
        return create(self, data)

    monkeypatch.setattr(ObjectPath, "create", later)
    with pytest.raises(bs.DatasetError, match="another process made shard 1 at the same time"):
        bs.generate(request_of(pictures, recipe), str(out), workers=1)


@pytest.mark.parametrize("block_bytes", [2**16, pytest.param(None, marks=pytest.mark.slow)])
def test_the_cache_serves_what_was_read_and_keeps_its_limit(
    store: Callable[..., ObjectPath], made: Path, pictures: Path, recipe: bs.Recipe, tmp_path: Path,
    block_bytes: int | None,
) -> None:  # fmt: skip
    out = store()
    bs.generate(request_of(pictures, recipe), str(out), workers=1)
    local = bs.open_dataset(made)
    cache = ObjectCache(tmp_path / "cache", block_bytes=block_bytes)
    first = bs.open_dataset(str(out), cache=cache)
    everything = list(range(11))
    assert (first.batch(everything).sharp == local.batch(everything).sharp).all()
    proxy: Proxy = store.proxy  # type: ignore[attr-defined]
    before = proxy.seen["GET"]
    assert (first.batch(everything).sharp == local.batch(everything).sharp).all()
    assert proxy.seen["GET"] == before
    blocks = [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert blocks
    for path in blocks:  # a disk that forgets, a process that was killed before it wrote everything
        data = path.read_bytes()
        path.write_bytes(bytes(len(data)) if len(data) % 2 else data[:-1])
    again = bs.open_dataset(str(out), cache=cache)
    assert (again.batch(everything).sharp == local.batch(everything).sharp).all()


def test_the_oldest_blocks_leave_first(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, size_bytes=2**16, block_bytes=2**16)
    for number in range(8):
        path = cache.path(f"{number:02d}key", 0)
        cache.keep(path, bytes(2**13))
        os.utime(path, (number, number))
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) == 2**16
    os.utime(cache.path("00key", 0), (99, 99))  # read again
    cache.keep(cache.path("08key", 0), bytes(2**13))
    left = {p.name for p in tmp_path.rglob("*-0")}
    assert "00key-0" in left
    assert "01key-0" not in left
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) <= 2**16


def test_pictures_from_a_list_of_urls(
    store: Callable[..., ObjectPath], pictures: Path, recipe: bs.Recipe, tmp_path: Path
) -> None:
    """One by name, the others by what they lie below: the pixels are those of the files."""
    out = store()
    photos = out.parent / "photos"
    for path in pictures.rglob("*.png"):
        (photos / path.relative_to(pictures).as_posix()).write(path.read_bytes())
    (photos / "deep/notes.txt").write(b"not a picture")
    lines = f"# ours\n{photos}/photo0.png\n\n{photos}/photo1.png\n{photos}/deep/\n{photos}/photo0.png\n"
    listed = tmp_path / "web.urls"
    listed.write_text(lines)
    request = few(pictures, recipe)
    expected = bs.generate(request, tmp_path / "files", workers=1)
    report = bs.generate(request.replace(sources=listed), tmp_path / "listed", workers=2)
    assert report.digest["pixels"] == expected.digest["pixels"]
    bucket = out.root[5:]
    assert bs.open_dataset(tmp_path / "listed").spec.sources[2].name == f"web.urls/{bucket}/photos/deep/photo2.png"
    assert {s.name: s.why for s in report.skipped} == {f"web.urls/{bucket}/photos/photo0.png": "is in the list twice"}
    assert bs.verify(tmp_path / "listed", replay=3).ok
    listed.write_text(f"{lines}{photos}/none.png\n")
    assert {s.name.rpartition("/")[2] for s in dataset.scan_sources(listed).skipped} == {"photo0.png", "none.png"}
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/photo.png").write_bytes((pictures / "photo0.png").read_bytes())
    listed.rename(tmp_path / "folder/web.urls")  # one that lies there is not followed
    proxy: Proxy = store.proxy  # type: ignore[attr-defined]
    before = proxy.seen.total()
    for sources in (tmp_path / "folder", tmp_path / "folder/*"):
        assert [s.name for s in dataset.scan_sources(sources).usable] == ["photo.png"]
    assert proxy.seen.total() == before


@pytest.mark.usefixtures("impatient")
def test_a_list_whose_store_does_not_answer_leaves_nothing_out(
    store: Callable[..., ObjectPath], pictures: Path, tmp_path: Path
) -> None:
    out = store(lambda method, path, number: "unavailable" if method == "GET" and "photo1" in path else None)
    for path in pictures.glob("*.png"):
        (out / path.name).write(path.read_bytes())
    listed = tmp_path / "web.urls"
    listed.write_text(f"{out}/\n")
    with pytest.raises(bs.StoreError, match=r"photo1[.]png: a request failed"):
        dataset.scan_sources(listed, workers=1)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "web.urls: is empty"),
        ("# nothing\n", "web.urls: is empty"),
        ("s3://bucket/a.png\nphoto.png\n", "web.urls, line 2: "),
        (
            f"https://host/a.png?sig={SECRET}\n",
            "web.urls, line 1: https://host/a.png: holds a user name, a password, a query",
        ),
        ("https://host/photos/\n", "web.urls, line 1: is a folder of a web server, which cannot be listed"),
    ],
)
def test_a_list_that_is_none(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "web.urls").write_text(lines)
    with pytest.raises(bs.PictureError, match=said) as failed:
        dataset.scan_sources(tmp_path / "web.urls")
    assert SECRET not in str(failed.value)


LOADER = """
import sys, warnings
from torch.utils.data import DataLoader
import blursynth as bs
if __name__ == "__main__":
    pairs = bs.open_dataset(sys.argv[1]).as_torch()
    loader = DataLoader(pairs, batch_size=4, num_workers=2, multiprocessing_context=sys.argv[2])
    try:
        print(sum(float(batch["blurred"].sum()) for batch in loader))
    except Exception as error:
        print(str(error).strip().splitlines()[-1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("start", ["forkserver", "spawn", "fork"])
def test_worker_processes_of_a_loader(
    store: Callable[..., ObjectPath], made: Path, pictures: Path, recipe: bs.Recipe, tmp_path: Path, start: str
) -> None:
    out = store()
    bs.generate(request_of(pictures, recipe), str(out), workers=1)
    script = tmp_path / "load.py"
    script.write_text(LOADER)
    said = [
        subprocess.run([sys.executable, script, where, start], capture_output=True, text=True, timeout=120).stdout
        for where in (str(out), str(made))
    ]
    if start == "fork":
        assert 'Start worker processes with multiprocessing_context="forkserver"' in said[0]
    else:
        assert said[0] == said[1] != ""


@pytest.mark.slow
def test_the_page_about_it(store: Callable[..., ObjectPath], port: int, pictures: Path, tmp_path: Path) -> None:
    """Its commands and its code, with a bucket of the name that it has there."""
    import boto3

    store()
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket="bucket")
    photos = ObjectPath.parse("s3://bucket/photos")
    for seed in range(2):
        pixels = np.random.default_rng(seed).random((3, 330, 350)) * [[[0.2]], [[0.6]], [[1.0]]]
        bs.write_picture(tmp_path / f"photos/{seed}.png", pixels)
        (photos / f"{seed}.png").write((tmp_path / f"photos/{seed}.png").read_bytes())
    (tmp_path / "web.urls").write_text("s3://bucket/photos/\n")
    page = (Path(__file__).resolve().parents[2] / "docs/object-storage.md").read_text("utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["sh", "python", "sh"]
    environment = os.environ | {"HOME": str(tmp_path)}
    for language, text in blocks:
        if language == "python":
            commands = [
                [sys.executable, "-c", f"import blursynth as bs\n{text}\nprint(pairs.batch([3, 1]).sharp.shape)"]
            ]
        else:
            commands = [[sys.executable, "-m", *shlex.split(line)] for line in text.splitlines()]
        for command in commands:
            subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=200)
    assert len(bs.open_dataset(tmp_path / "pairs")) == 16
    assert [p for p in (tmp_path / ".cache/pairs").rglob("*") if p.is_file()]


@pytest.mark.slow
def test_training_on_pairs_in_object_storage(
    store: Callable[..., ObjectPath], small: Path, pictures: Path, recipe: bs.Recipe, tmp_path: Path
) -> None:
    """With processes that load, and a cache: the weights are those of the pairs on the disk."""
    from deblur_models.checkpoints.checkpoint import load_checkpoint
    from deblur_models.config.configuration import load_configuration
    from deblur_models.train import train

    out = store()
    bs.generate(few(pictures, recipe), str(out), workers=1)
    tables: dict[str, Any] = {
        "seed": 3,
        "network": {"kind": "nafnet", "size": "tiny", "width": 4, "encoder_blocks": [1], "middle_blocks": 1,
                    "decoder_blocks": [1]},
        "loss": [{"kind": "charbonnier"}],
        "stage": [{"steps": 4, "patch_px": 16, "batch": 4}],
        "validation": {"photos": str(pictures), "recipe": "motion-only", "count": 2, "size_px": 32},
    }  # fmt: skip
    weights = []
    for name, where, run in (("near", str(small), {}), ("far", str(out), {"cache": str(tmp_path / "c"), "workers": 2})):
        made = {**tables, "data": {"pairs": {"pairs": where}}, "run": {"device": "cpu", "threads": 1, **run}}
        train(load_configuration(made), tmp_path / name)
        weights.append(load_checkpoint(tmp_path / name / "last").tensors)
    assert weights[0].keys() == weights[1].keys()
    assert all((weights[0][n] == weights[1][n]).all() for n in weights[0])
    assert any(p.is_file() for p in (tmp_path / "c").rglob("*"))


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_in_the_same_bytes(
    store: Callable[..., ObjectPath], pictures: Path, tmp_path: Path
) -> None:
    """kill -9 of the whole process group; what is resumed is what an undisturbed run makes."""
    out, rng = store(), np.random.default_rng(18)
    options = ["-n", "48", "--size", "32", "--shard-length", "2", "--recipe", "motion-only", "--workers", "2", "-q"]

    def run(place: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "blursynth", "generate", str(pictures), place, *options]
        return subprocess.Popen(command, start_new_session=True)

    start = time.monotonic()
    assert run(str(tmp_path / "local")).wait(300) == 0
    whole_s = time.monotonic() - start
    kills = 0
    for _ in range(8):
        process = run(str(out))
        try:
            assert process.wait(rng.uniform(0.3, 1.0) * whole_s) == 0
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
            kills += 1
    assert run(str(out)).wait(300) == 0
    assert kills
    assert bs.open_dataset(str(out)).digest == bs.open_dataset(tmp_path / "local").digest
    found = bs.verify(str(out), deep=True)
    assert found.ok, found.problems
    assert not found.notes


def test_missing_credentials_are_told_from_a_refusal(tmp_path: Path) -> None:
    """Providers' clients then ask an address that only their own machines have."""
    import obstore

    place = ObjectPath.parse("gs://bucket/pairs")
    asked = "Generic GCS error: Error performing token request: Error performing GET http://169.254.169.254/compute/token in 1ms - "

    def fails(text: str) -> Callable[[], None]:
        def request() -> None:
            raise obstore.exceptions.GenericError(text)

        return request

    with pytest.raises(
        bs.StoreError, match=r"\(no credentials are in the environment, and this machine has none: 403 Fo"
    ):
        place._call(fails(asked + "Server returned non-2xx status code: 403 Forbidden: denied"))
    with pytest.raises(bs.StoreError, match=r"failed \(403 Forbidden\)"):
        place._call(fails("Generic GCS error: Server returned non-2xx status code: 403 Forbidden: denied"))
