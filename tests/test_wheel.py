"""The wheel: everything is in it, and it works in an empty environment, away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "blursynth/py.typed",
        "blursynth/recipe/default.toml",
        "blursynth/cameras/pmrid.toml",
        "blursynth/datasets/quickstart/dataset.toml",
        "blursynth/datasets/quickstart/README.md",
        "blursynth/datasets/mixed-100k/dataset.toml",
        "blursynth/datasets/photographs/list.tsv",
        "deblur_models/__init__.py",
        "deblur_models/evaluate/report/report.html",
        "deblur_models/serve/page.html",
        "deblur_models/weights/README.md",
        *(f"deblur_models/weights/{path.name}" for path in (ROOT / "deblur_models/weights").glob("*.safetensors")),
        "blursynth/testing/report.html",
    ):
        assert name in names
    assert all(n.startswith(("blursynth/", "deblur_models/", "blursynth-")) for n in names)
    assert not [n for n in names if n.endswith((".nbi", ".nbc", ".pyc"))]


def test_data_sets_are_found_in_a_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    listed = subprocess.run(
        [sys.executable, "-P", "-m", "blursynth", "datasets"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "quickstart" in listed


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / "bin" / "python")
    wanted = f"{wheel}[demo]"
    pins = ["-q", "-c", str(ROOT / "constraints.txt")]
    by_uv = [sys.executable, "-m", "uv", "pip", "install", "--python", python, *pins, wanted]
    if subprocess.run(by_uv, capture_output=True, check=False).returncode != 0:
        subprocess.run([python, "-m", "pip", "install", *pins, wanted], check=True)
    # Light: neither torch nor anything else heavy came along.
    listed = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(*{d.name.lower() for d in m.distributions()})"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert not {"torch", "torchvision", "kornia", "distributed", "pytest"} & set(listed)
    done = subprocess.run(
        [python, "-P", str(ROOT / "examples" / "00_demo.py"), str(tmp_path / "demo")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "demo" / "contact_sheet.png").exists()
    assert (tmp_path / "demo" / "dataset" / "README.md").exists()
