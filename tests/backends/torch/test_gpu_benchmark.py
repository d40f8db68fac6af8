"""The benchmark of GPUs runs, here on the CPU and on tiny pictures; its numbers need a GPU."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="it measures operators on tensors")
pytest.importorskip("kornia", reason="it measures kornia's JPEG")

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_the_benchmark_runs_on_the_cpu() -> None:
    small = ["--device", "cpu", "--height", "24", "--width", "32", "--repeat", "1", "--side", "32", "--steps", "2"]
    done = subprocess.run([sys.executable, str(SCRIPT), *small], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for operator in (
        "sensor, Bayer, all noise",
        "develop, Malvar",
        "JPEG, 4:2:0",
        "default recipe",
        "patches per s",
        "deblur train",
    ):
        assert operator in done.stdout
    assert "VIOLATED" not in done.stdout


def test_without_a_device_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    monkeypatch.syspath_prepend(SCRIPT.parent)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 2
    assert "no CUDA device here" in capsys.readouterr().err


def test_wrong_arguments_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--device", "tpu"])
    monkeypatch.syspath_prepend(SCRIPT.parent)  # as for a script that is called
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 2
    assert "invalid choice: 'tpu'" in capsys.readouterr().err
