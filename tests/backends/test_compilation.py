"""Kernels work wherever the package lies, and nobody else's cache is ever read."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core import config, types
from numba.core.caching import CacheImpl, IndexDataCacheFile

from blursynth.backends import compiling
from blursynth.backends.cpu import compilation
from blursynth.backends.cpu.compilation import compiled

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    for function in (compilation._folder, compilation._say_once):
        function.cache_clear()
    yield
    for function in (compilation._folder, compilation._say_once):
        function.cache_clear()


def _twice(x: int) -> int:
    return 2 * x


@pytest.fixture
def no_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As numba finds it in a read-only installation without a home: none of its places can be written."""
    os.chmod(tmp_path, 0o700)
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setattr(compilation, "_writable", lambda folder: folder.is_relative_to(tmp_path))
    locators = [cls for cls in CacheImpl._locator_classes if cls.__name__ == "UserProvidedCacheLocator"]
    monkeypatch.setattr(CacheImpl, "_locator_classes", locators)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_without_a_place_kernels_are_kept_in_a_private_folder(no_place: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert compiled(_twice)(3) == 6
    (folder,) = no_place.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("*.nbi"))
    (said,) = caplog.messages
    assert f"kept in {folder}" in said
    assert "NUMBA_CACHE_DIR" in said
    with caplog.at_level(logging.WARNING):
        assert compiled(_twice)(4) == 8  # from the cache, so there is nothing to say
        assert compiled(_twice)(4.0) == 8.0
    assert len(caplog.messages) == 1
    assert config.CACHE_DIR == ""  # other people's functions are kept where they were


def _left_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    folder.chmod(0o777)


def _a_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.parent / "elsewhere")


def _of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    original = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        state = original(path)
        return state if path != folder else os.stat_result((*state[:4], state.st_uid + 1, *state[5:10]))

    monkeypatch.setattr(Path, "lstat", lstat)


def _exchangeable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.parent.chmod(0o777)  # without the sticky bit, others can put a folder of theirs in its place


@pytest.mark.parametrize("prepare", [_left_open, _a_link, _of_another_user, _exchangeable])
def test_a_folder_that_others_can_write_to_is_not_used(
    prepare: Any, no_place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """numba unpickles what lies in its cache: a folder prepared by somebody else is code that they run as this user."""
    folder = no_place / f"blursynth-{os.geteuid()}"
    prepare(folder, monkeypatch)
    with caplog.at_level(logging.WARNING):
        assert compiled(_twice)(3) == 6
    assert not [p for p in no_place.rglob("*") if p.is_file()]
    assert "Each process compiles them again" in caplog.text


def test_no_folder_is_made_in_the_current_one_without_a_home(
    no_place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without HOME and an entry among the users, "~" remains "~"."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    assert compilation._folder() == str(no_place / f"blursynth-{os.geteuid()}")
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("damage", [b"", b"\x80\x04K\x05.", b"no pickle"])
def test_a_damaged_cache_is_made_anew(damage: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut leaves empty files, at which numba ends with "Ran out of input" for ever."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    assert compiled(_twice)(3) == 6
    for index in tmp_path.rglob("*.nbi"):
        index.write_bytes(damage)
    assert compiled(_twice)(3) == 6
    assert compiled(_twice)(3) == 6
    assert all(index.read_bytes() != damage for index in tmp_path.rglob("*.nbi"))
    for data in tmp_path.rglob("*.nbc"):
        data.write_bytes(damage)
    assert compiled(_twice)(3) == 6


def test_two_processes_that_compile_at_a_time_do_not_run_the_code_of_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read the index before either writes it, as it happens on first use with several workers."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    one, other = compiled(_twice), compiled(_twice)  # as in two processes
    write, nested = IndexDataCacheFile._save_data, []

    def late(self: IndexDataCacheFile, name: str, data: Any) -> None:
        if not nested:  # the other process does all that it does before this one writes its machine code
            nested.append(name)
            assert other(1.5) == 3.0
        write(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(IndexDataCacheFile, "_load_index", lambda self: {})
        patch.setattr(IndexDataCacheFile, "_save_data", late)
        assert one(3) == 6
    again = compiled(_twice)
    assert (again(1.5), again(3)) == (3.0, 6)
    assert again.overloads.keys() == {(types.int64,), (types.float64,)}
    assert len({path.name for path in tmp_path.rglob("*.nbc")}) == 2


def test_machine_code_for_other_types_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as caches of earlier versions may hold."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    kernel = compiled(_twice)
    assert (kernel(3), kernel(1.5)) == (6, 3.0)
    one, other = tmp_path.rglob("*.nbc")
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    assert (compiled(_twice)(5), compiled(_twice)(2.5)) == (10, 5.0)


def test_machine_code_of_an_older_source_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    assert compiled(_twice)(3) == 6
    (kept,) = tmp_path.rglob("*.nbc")
    older = kept.with_name(kept.name.replace(kept.suffixes[-2], ".0"))
    kept.rename(older)
    for index in tmp_path.rglob("*.nbi"):
        index.unlink()
    assert compiled(_twice)(3) == 6
    assert [path.name for path in tmp_path.rglob("*.nbc")] == [kept.name]


def test_a_full_disk_is_no_reason_not_to_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    kernel = compiled(_twice)
    shutil.rmtree(tmp_path)
    tmp_path.write_text("")  # what is written beneath it fails, for root too
    assert kernel(3) == 6
    assert f"{tmp_path}" in caplog.text
    assert "cannot be written" in caplog.text


def test_what_only_kernels_call_is_not_kept_and_python_may_call_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    twice = compiled(_twice)

    def _twice_and_one(x: int) -> int:
        return int(twice(x)) + 1

    assert compiled(_twice_and_one)(3) == 7
    (kept,) = tmp_path.rglob("*.nbi")
    assert _twice_and_one.__name__ in kept.name
    assert twice(3) == 6
    assert compiled(_twice_and_one)(4) == 9  # and kernels may call what Python calls
    assert len(list(tmp_path.rglob("*.nbi"))) == 2


def test_programs_can_show_what_is_compiled_but_not_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiling, "_begun", 0)
    shown = []

    @contextmanager
    def show() -> Iterator[None]:
        shown.append("begins")
        yield
        shown.append("ends")

    with compiling.shown_while_compiling(show), caplog.at_level(logging.INFO):
        assert compiled(_twice)(3) == 6
        assert shown == ["begins", "ends"]
        assert compiled(_twice)(4) == 8  # from the cache
        assert compiled(_twice)(4.0) == 8.0
    assert compiled(_twice)(1j) == 2j
    assert shown == 2 * ["begins", "ends"]
    assert compiling.kernels_compiled() == 3
    assert [message for message in caplog.messages if "first use" in message] == caplog.messages[:1]


@pytest.mark.skipif(not compilation.BY_PARTS, reason="as other versions of numba do it")
def test_a_helper_has_one_form_for_all_integers_that_are_written_out() -> None:
    helper = compiled(_twice)

    @compiled
    def kernel(x: int) -> int:
        return int(helper(1) + helper(2) + helper(x=3) + helper(x))

    assert kernel(4) == 20
    assert len(helper.overloads) == 1


def test_functions_of_numba_serve_kernels_and_those_of_other_people() -> None:
    def squares(size: int) -> np.ndarray:
        out = np.empty(size, np.int16)  # numba compiles one function for this, and remembers it
        for i in range(size):
            out[i] = i * i
        return out

    for decorator in (compiled, numba.njit, compiled):
        assert decorator(squares)(3).tolist() == [0, 1, 4]


@pytest.mark.skipif(not compilation.BY_PARTS, reason="as other versions of numba do it")
def test_kernels_of_the_cache_need_nothing_of_the_compiler(tmp_path: Path) -> None:
    """The tables of functions that numba knows take half a second to load."""
    script = (
        "import sys, numpy as np; from blursynth.backends.cpu import to_codes;"
        "print(to_codes(np.ones(3, np.float32)), 'numba.np.arraymath' in sys.modules)"
    )
    for loads in (True, False):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == f"[255 255 255] {loads}\n"


@pytest.mark.parametrize("by_parts", [True, False])
def test_helpers_of_a_kernel_work_in_it_and_alone(by_parts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With versions of numba that :data:`compilation.BY_PARTS` knows, and as others compile them."""
    monkeypatch.setattr(compilation, "BY_PARTS", by_parts)
    helper = compiled(_twice)

    @compiled
    def kernel(x: int) -> int:
        if x < 0:
            raise ValueError("negative")
        return int(helper(x) + helper(x + 1.5))

    assert kernel(3) == 15
    assert helper(3) == 6
    assert kernel(2) == 11
    with pytest.raises(ValueError, match="negative"):
        kernel(-1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="users and permissions as Linux has them")
def test_a_read_only_installation_of_another_user() -> None:
    """The whole package in a folder that its user cannot write to, without a home; run as nobody when we are root."""
    as_nobody: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root needs setpriv to become somebody else")
        as_nobody = ["setpriv", "--reuid", "65534", "--clear-groups"]
        # Root's own Python may lie in a folder that nobody else may look into; reading is allowed, writing is not.
        as_nobody += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "blursynth", folder / "blursynth", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o1777)
        for path in (folder, *(p for p in (folder / "blursynth").rglob("*") if p.is_dir()), folder / "blursynth"):
            path.chmod(0o555)
        environment = {k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
        environment |= {"PYTHONPATH": str(folder), "TMPDIR": str(folder / "tmp"), "HOME": str(folder / "none")}
        script = (
            "import numpy as np; from blursynth.backends.cpu import to_codes; print(to_codes(np.ones(3, np.float32)))"
        )
        try:
            said = []
            for _ in range(2):
                done = subprocess.run(
                    [*as_nobody, sys.executable, "-c", script],
                    cwd="/", env=environment, capture_output=True, text=True, timeout=300,
                )  # fmt: skip
                assert (done.returncode, done.stdout) == (0, "[255 255 255]\n"), done.stderr
                said.append(done.stderr)
            assert said[0].count("NUMBA_CACHE_DIR") == 1
            assert said[1] == ""  # once
            assert {p.name for p in (folder / "tmp").iterdir()} == {f"blursynth-{65534 if as_nobody else os.geteuid()}"}
        finally:
            folder.chmod(0o755)
            for path in (folder / "blursynth", *(p for p in (folder / "blursynth").rglob("*") if p.is_dir())):
                path.chmod(0o755)


def test_threads_keep_to_what_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    from blursynth.backends import threads

    monkeypatch.setattr(threads, "available_cores", lambda: 1)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    try:
        threads._all_threads.cache_clear()
        assert threads.threads_to_use(None) == 1
        threads._all_threads.cache_clear()
        monkeypatch.setenv("NUMBA_NUM_THREADS", "8")  # told is told
        assert threads.threads_to_use(None) == 8
    finally:
        threads._all_threads.cache_clear()
