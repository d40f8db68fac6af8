"""Settings shared by all tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

# Before torch is loaded, here and in the programs that tests start: with as many test processes as cores, threads of
# torch would wait for each other most of the time.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

# numba compiles on the first call, so the first example of a property may take seconds: no deadline.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("dev", max_examples=30, **_COMMON)
settings.register_profile("ci", max_examples=50, derandomize=True, **_COMMON)
settings.register_profile("thorough", max_examples=1000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs, depth, kernels and noise; tests that need it are skipped without it."""
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    if not folder:
        pytest.skip("set BLURSYNTH_REAL_DATA to the folder of real data")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered about data sets stays out of the state folder of whoever runs the tests."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


# Waits for one program after another, and forks: what it has loaded, no program loads again. A program ends as any does,
# at the end of this one.
FORKS = """
import importlib, json, os, signal, sys
for library in sys.argv[1:]:
    try:
        importlib.import_module(library)
    except ImportError:  # an optional one: programs that need it say so
        pass
while line := sys.stdin.readline():
    begun = os.fork()
    if not begun:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(begun, 0)[1]), flush=True)
else:
    sys.exit()
program = json.loads(line)
os.chdir(program["folder"])
os.environ.clear()
os.environ.update(program["environment"])
for number, path in enumerate((os.devnull, *program["streams"])):
    os.dup2(os.open(path, os.O_RDWR), number)
signal.alarm(600)  # the end of a program that hangs
sys.argv = ["-c"]
exec(program["code"])
"""
LOADED = (
    "torch._dynamo",
    "deblur_models.train",
    "blursynth.dataset.generate",
    "blursynth.backends.cpu",
    "skimage.data",
)


@pytest.fixture(scope="session")
def run_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs Python code in a process of its own, as ``python -c`` does, but without seconds to load libraries.

    What they load, and that they load in an empty process, is held by the tests of architecture and of the command line.
    """
    streams = [tmp_path_factory.mktemp("streams") / name for name in ("out", "err")]

    def run(code: str, folder: Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        for path in streams:
            path.write_bytes(b"")
        program = {
            "code": code,
            "folder": str(folder),
            "environment": {**os.environ, **(environment or {})},
            "streams": [str(path) for path in streams],
        }
        print(json.dumps(program), file=forks.stdin, flush=True)
        assert forks.stdout is not None
        ended = forks.stdout.readline()
        assert ended, "the process that forks has ended"
        return subprocess.CompletedProcess(code, int(ended), *(path.read_text("utf-8") for path in streams))

    command = [sys.executable, "-c", FORKS, *LOADED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as forks:
        yield run


@pytest.fixture
def few_draws_are_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work on photographs tries 2000 draws before its first step: seconds, where tests take a tenth of one.

    What is refused then, and that this many are tried, is held by the tests of data sets.
    """
    monkeypatch.setattr(import_module("blursynth.dataset.generate"), "CHECKED_DRAWS", 20)


@pytest.fixture(autouse=True)
def _no_terminal_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are compared as they are written to a pipe, not to the terminal that the tests happen to run in."""
    monkeypatch.delenv("COLUMNS", raising=False)
