"""Settings shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
