"""What is ended, removed, exchanged or damaged in the middle: nothing is missing afterwards, and no litter is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import blursynth as bs
from blursynth.dataset import DatasetRequest, Progress, files, generate, resume
from blursynth.errors import DatasetError
from blursynth.io import atomic

SMALL: dict[str, Any] = {"count": 6, "size_px": 32, "shard_length": 3}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _crash_points(folder: Path, stride: int, timeout: float) -> dict[str, Any]:
    program = Path(__file__).with_name("crash_points.py")
    # Only what this repository holds is imported, whatever is installed.
    environment = {**os.environ, "PYTHONPATH": str(program.parents[2]), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, program, folder, str(stride)],
        env=environment, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs fork and /proc")


@needs_proc
def test_ended_at_a_few_file_operations(tmp_path: Path) -> None:
    found = _crash_points(tmp_path, 71, 500)
    assert found["wrong"] == []
    assert min(found["points"].values()) > 70


@needs_proc
@pytest.mark.slow
def test_ended_at_every_file_operation(tmp_path: Path) -> None:
    found = _crash_points(tmp_path, 1, 3600)
    assert found["wrong"] == []
    assert sum(found["points"].values()) > 300


# The folder is removed, renamed or exchanged while shards are made.


def _remove(out: Path) -> None:
    shutil.rmtree(out)


def _rename(out: Path) -> None:
    out.rename(out.with_name("renamed"))


def _unmount(out: Path) -> None:
    """As the mount point of a share looks when it is gone: empty, and another folder."""
    out.rename(out.with_name("renamed"))
    out.mkdir()


def _exchange(out: Path) -> None:
    """The same bytes in another folder, as of a backup that was restored meanwhile: finished shards would be split."""
    shutil.copytree(out, out.with_name("copy"))
    out.rename(out.with_name("renamed"))
    out.with_name("copy").rename(out)


@pytest.mark.parametrize(
    ("change", "workers"), [(_remove, 1), (_rename, 1), (_unmount, 1), (_exchange, 1), (_unmount, 2)]
)
def test_nothing_is_written_elsewhere(
    change: Callable[[Path], None], workers: int, pictures: Path, recipe: bs.Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    changed: list[dict[str, bytes]] = []

    def see(progress: Progress) -> None:
        if progress.stage == "generate" and progress.done and not changed:
            change(out)
            changed.append(tree(out) if out.exists() else {})

    with pytest.raises(
        DatasetError, match=r"is no longer the folder in which this work was started.*run the command again"
    ):
        generate(
            DatasetRequest(sources=pictures, recipe=recipe, **{**SMALL, "count": 12}),
            out,
            workers=workers,
            on_progress=see,
        )
    assert changed
    assert (tree(out) if out.exists() else {}) == changed[0]
    if change is _unmount:
        assert not list(out.iterdir())  # the disk below the mount point is as it was
    if (there := tmp_path / "renamed").exists():
        assert resume(there, workers=1).finished


def test_a_shard_that_vanishes_is_noticed(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def see(progress: Progress) -> None:
        if progress.stage == "generate" and progress.done == 6:
            (out / "manifest" / "000000.json").unlink()

    with pytest.raises(DatasetError, match="shard 0 was finished but no longer exists"):
        generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1, on_progress=see)


# dataset.json can be told from the same command and the finished shards.


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_flip, Path.unlink, lambda path: path.write_bytes(b"")])
def test_the_same_command_recovers_dataset_json(
    damage: Callable[[Path], None], pictures: Path, recipe: bs.Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1)
    before = tree(out)
    damage(out / "dataset.json")
    with pytest.raises(DatasetError, match=r"generate with the original arguments"):
        resume(out, workers=1)
    with pytest.raises(DatasetError, match=r"generate with the original arguments"):
        generate(DatasetRequest(sources=pictures, recipe=recipe, **{**SMALL, "seed": 1}), out, workers=1)
    without = {name: value for name, value in SMALL.items() if name != "shard_length"}
    report = generate(
        DatasetRequest(sources=pictures, recipe=recipe, **without), out
    )  # the length is that of the shards that are there
    assert (report.made, report.kept) == ((), (0, 1))
    assert "dataset.json" in report.notes[0]
    assert "it was rewritten" in report.notes[0]
    assert tree(out) == before


def test_shards_of_another_environment_do_not_tell_theirs(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1)
    for path in (out / "manifest").iterdir():
        manifest = {**json.loads(path.read_text()), "environment_sha256": "0" * 64}
        del manifest["sha256"]
        path.write_bytes(files.sealed(manifest))
    (out / "dataset.json").unlink()
    with pytest.raises(DatasetError, match="made in another environment"):
        generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1)
    assert generate(
        DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1, any_environment=True
    ).kept == (0, 1)


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "index.json", "zarr.json", "sharp/zarr.json"])
def test_what_is_derived_is_written_again_when_there_is_nothing_else_to_do(
    name: str, pictures: Path, recipe: bs.Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1)
    before = tree(out)
    (out / name).unlink()
    report = resume(out, workers=1)
    assert (report.made, report.finished) == ((), True)
    assert tree(out) == before


def test_what_only_the_first_command_knows_is_written_again_by_it(pictures: Path, tmp_path: Path) -> None:
    import numpy as np

    kernel = bs.assets.register(np.ones((3, 3)) / 9)
    recipe = bs.Recipe([bs.kinds.Decode(), bs.kinds.MeasuredBlur(kernel=kernel), bs.kinds.Encode()])
    out = tmp_path / "out"
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1)
    before = tree(out)
    (out / "skipped.json").unlink()
    (note,) = resume(out, workers=1).notes
    assert note == "skipped.json is missing: blursynth generate with the same arguments writes it again"
    (asset,) = (out / "assets").iterdir()
    asset.unlink()
    with pytest.raises(
        DatasetError,
        match=r"assets/.*npy is missing.*Run blursynth repair .*, or blursynth generate with the original arguments",
    ):
        resume(out, workers=1)
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1)
    assert tree(out) == before


def test_an_index_of_other_shards_is_written_again(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    """As when a run ends between the manifest of a shard that was made again and the index."""
    out = tmp_path / "out"
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1)
    before = tree(out)
    path = out / "index.json"
    index = {**json.loads(path.read_text()), "disk_bytes": 1}
    del index["sha256"]
    path.write_bytes(files.sealed(index))
    resume(out, workers=1)
    assert tree(out) == before


# Litter, locks and names.


def test_names_of_files_that_are_written_are_of_one_write_alone(tmp_path: Path) -> None:
    assert len({atomic.partial_path(tmp_path / "a") for _ in range(100)}) == 100


def test_writes_of_one_file_by_several_threads(tmp_path: Path) -> None:
    path, wrong = tmp_path / "a", []

    def write(text: bytes) -> None:
        try:
            for _ in range(20):
                files.write_atomically(path, text)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(bytes([65 + i]) * 10_000,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(set(path.read_bytes())) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_only_litter_is_swept(pictures: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1)
    before = tree(out)
    ours = atomic.partial_path(out / "index.json")
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    of_the_dead = Path(str(ours).replace(f".{os.getpid()}.", f".{ended.stdout.strip()}."))
    of_a_neighbor = Path(str(ours).replace(f".{os.getpid()}.", f".{os.getppid()}."))
    elsewhere, old = out / "README.md.other-host.7.0123abcd.partial", out / "assets.partial"
    for path in (ours, of_the_dead, of_a_neighbor, elsewhere, old):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    atomic._WRITING.add(ours)
    (out / ".locks").mkdir()
    (out / ".locks" / "0-2").write_text("")  # of a process that was killed
    try:
        assert resume(out, workers=1).made == ()
        assert tree(out) == {**before, **{p.name: b"" for p in (ours, of_a_neighbor, elsewhere)}}
        assert not (out / ".locks").exists()
    finally:
        atomic._WRITING.discard(ours)


@pytest.mark.slow
def test_eight_starts_at_once(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("[[step]]\nkind='decode'\n[[step]]\nkind='disk_blur'\ndiameter_px=3.0\n")
    command = [sys.executable, "-m", "blursynth", "generate", str(pictures), "out", "-r", "recipe.toml", "-n", "8"]
    command += ["--size", "32", "--shard-length", "2", "--workers", "1"]
    runs = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(8)
    ]
    said = [run.communicate(timeout=600)[0] for run in runs]
    for run, text in zip(runs, said, strict=True):
        assert run.returncode == 0 or (run.returncode == 2 and "is writing shards 0 to below 4" in text), text
    assert any(run.returncode == 0 for run in runs)
    assert subprocess.run([*command[:3], "verify", "out", "--deep"], cwd=tmp_path, timeout=300).returncode == 0
    assert not list((tmp_path / "out").rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("who", ["parent", "worker"])
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_kill_leaves_no_semaphore(who: str, pictures: Path, tmp_path: Path) -> None:
    """numcodecs' lock had a name in the system; multiprocessing's tracker complained of it after every kill."""
    (tmp_path / "recipe.toml").write_text("[[step]]\nkind='decode'\n[[step]]\nkind='disk_blur'\ndiameter_px=3.0\n")
    command = [sys.executable, "-m", "blursynth", "generate", str(pictures), "out", "-r", "recipe.toml", "-n", "2000"]
    command += ["--size", "32", "--shard-length", "4", "--workers", "2"]
    with (tmp_path / "said").open("w") as said:
        run = subprocess.Popen(command, cwd=tmp_path, stdout=said, stderr=said)
    end = time.monotonic() + 300
    while len(list((tmp_path / "out").glob("manifest/*.json"))) < 4 and time.monotonic() < end:
        time.sleep(0.02)
    victim = run.pid if who == "parent" else max(_descendants(run.pid))
    os.kill(victim, signal.SIGKILL)
    assert run.wait(300) == (-signal.SIGKILL if who == "parent" else 0)
    time.sleep(2)  # the tracker speaks when the last of them is gone
    assert "leaked" not in (tmp_path / "said").read_text()


def _descendants(pid: int) -> list[int]:
    """Processes that this one started, and those that they did; workers are the youngest."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [*map(int, children), *(below for child in children for below in _descendants(int(child)))]


# What needs no writing is done without.


def test_a_finished_set_on_a_read_only_disk_has_nothing_to_do(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions do not stop root, under which tests may run: every way of changing something fails instead."""
    out = tmp_path / "out"
    whole = generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1)
    (out / "left.partial").write_bytes(b"")
    os.utime(out / "left.partial", (0, 0))

    def refuse(*arguments: Any, **_: Any) -> Any:
        raise OSError(30, "Read-only file system", str(arguments[0]))

    opened = Path.open

    def open_to_read(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        return opened(path, mode, *arguments, **options) if mode in ("r", "rb") else refuse(path)

    for name in ("mkdir", "rename", "replace", "unlink", "rmdir", "link"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(Path, "open", open_to_read)
    for report in (
        resume(out, workers=1),
        generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1),
    ):
        assert (report.made, report.finished, report.digest) == ((), True, whole.digest)
    with pytest.raises(DatasetError, match="cannot be written"):
        resume(out, workers=1, redo=[0])


# Where the sources lie.


def test_the_folder_of_a_data_set_names_none_of_this_machine(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    out = tmp_path / "out"
    generate(DatasetRequest(sources=pictures, recipe=recipe, **SMALL), out, workers=1, shards=(0, 1))
    assert not [
        name for name, data in tree(out).items() if str(pictures).encode() in data or str(tmp_path).encode() in data
    ]
    assert not [name for name in tree(out) if name.startswith(".")]
    (memory,) = (tmp_path / "state" / "blursynth" / "sources").iterdir()
    assert json.loads(memory.read_text()) == {"roots": {"": str(pictures)}}
    assert resume(out.rename(tmp_path / "moved"), workers=1).finished  # the data set is known by its request


@pytest.mark.parametrize("home", [None, "file"])
def test_without_a_home_nothing_is_remembered_and_it_is_said(
    home: str | None, pictures: Path, recipe: bs.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "relative/paths/do/not/count")
    if home is None:
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    else:
        (tmp_path / home).write_text("")  # nothing can be made below a file, by root neither
        monkeypatch.setenv("HOME", str(tmp_path / home))
    monkeypatch.chdir(tmp_path)
    report = generate(
        DatasetRequest(sources=pictures, recipe=recipe, **SMALL), tmp_path / "out", workers=1, shards=(0, 1)
    )
    assert "the location of the sources could not be saved" in report.notes[0]
    assert "give --sources (in Python source_root) to resume, verify and replay" in report.notes[0]
    assert not (tmp_path / "relative").exists()
    assert not (tmp_path / "~").exists()
    (tmp_path / "out" / ".local.json").write_text(json.dumps({"roots": {"": str(pictures)}}))  # no file of a set tells
    with pytest.raises(DatasetError, match=r"not known on this machine. Give their folder with source_root"):
        resume(tmp_path / "out", workers=1)
    assert resume(tmp_path / "out", workers=1, source_root=pictures).finished
