"""``blursynth laws`` as a user runs it."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from blursynth.cli import app as cli
from blursynth.cli import laws as command
from blursynth.testing import Adapter, laws

MODULE = """
import numpy as np
from scipy.ndimage import uniform_filter
from blursynth.testing import Adapter

def box(image):
    return uniform_filter(image, (3, 3, 1), mode="nearest")

def shifted(image):
    return np.roll(box(image), 1, axis=1)

def noisy(image, rng_seed):
    return image + 0.01 * np.random.default_rng(rng_seed).normal(size=image.shape)

class Box:
    def __call__(self, image):
        return box(image)

class Space:
    blur = staticmethod(box)

made = Box()
ADAPTER = Adapter(border="reflect", adjoint=box)
number = 3
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lawful_blurs.py").write_text(MODULE)
    (tmp_path / "lawful_broken.py").write_text("import no_such_library")
    (tmp_path / "lawful_script.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "lawful_blurs", raising=False)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["laws", *(str(a) for a in arguments)], prog_name="blursynth")


def statuses(result: Result) -> dict[str, str]:
    return dict(re.findall(r"^ ?(\w+) +(kept|violated|failed|blind)\b", result.stdout, re.M))


def test_a_function_that_breaks_a_law(tmp_path: Path) -> None:
    files = ("--html", tmp_path / "laws.html", "--json", tmp_path / "laws.json")
    result = run(
        "lawful_blurs:shifted",
        "--border",
        "replicate",
        "--law",
        "channels",
        "--law",
        "centroid",
        "--law",
        "adjoint",
        *files,
    )
    assert result.exit_code == 1
    assert statuses(result) == {"channels": "kept", "centroid": "violated"}
    assert laws.centroid.statement in result.stdout
    assert "shifted: 1 violated, 1 kept, 1 not applicable" in result.stdout
    assert "  Adapter.adjoint is not given: adjoint" in result.stdout
    assert "<h1>shifted</h1>" in (tmp_path / "laws.html").read_text("utf-8")
    found = json.loads((tmp_path / "laws.json").read_text("utf-8"))["laws"]
    assert [one["status"] for one in found] == ["kept", "violated", "not applicable"]


@pytest.mark.parametrize("name", ["box", "made", "Space.blur"])
def test_functions_that_keep_the_law(name: str) -> None:
    result = run(f"lawful_blurs:{name}", "--law", "channels", "--no-power")
    assert result.exit_code == 0, result.output
    assert statuses(result) == {"channels": "kept"}


def test_options_change_the_adapter() -> None:
    assert run("lawful_blurs:box", "--adapter", "lawful_blurs:ADAPTER", "--law", "border", "--no-power").exit_code == 1
    changed = run(
        "lawful_blurs:box",
        "--adapter",
        "lawful_blurs:ADAPTER",
        "--border",
        "replicate",
        "--law",
        "border",
        "--no-power",
    )
    assert changed.exit_code == 0, changed.output


def test_noise_and_names_of_arguments() -> None:
    options = ("--seed", "rng_seed", "--law", "photon_transfer", "--no-power")
    assert run("lawful_blurs:noisy", "--noise", "0,0.01", *options).exit_code == 0
    assert run("lawful_blurs:noisy", "--noise", "0,0.02", *options).exit_code == 1


def test_every_simple_field_of_the_adapter_has_an_option() -> None:
    functions = {"kernel", "adjoint", "strength", "mirrored", "exposure", "path_px", "jpeg", "exempt"}
    with_strength = {"strengths", "gaussian", "truncate"}
    simple = {field.name for field in dataclasses.fields(Adapter)} - functions - with_strength
    assert simple <= set(inspect.signature(command.command).parameters)


def test_kinds() -> None:
    result = run("gaussian_blur", "--set", "sigma_px=0.7", "--law", "constants", "--no-power")
    assert result.exit_code == 0, result.output
    assert statuses(result) == {"constants": "kept"}
    deep = run("defocus", "--law", "shapes", "--no-power")  # takes depth without being told
    assert statuses(deep) == {"shapes": "kept"}


def test_list() -> None:
    result = run("--list")
    assert result.exit_code == 0
    for law in laws.ALL:
        assert re.search(rf"^ ?{law.name} +{law.topic} ", result.stdout, re.M)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "No blur is given. Write blursynth laws mymodule:blur"),
        (("no_such_module:f",), "There is no module 'no_such_module', neither in this folder nor installed."),
        (("lawful_blurs.inner:f",), "There is no module 'lawful_blurs.inner'"),
        (("lawful_broken:f",), "lawful_broken cannot be imported: ModuleNotFoundError: No module named 'no_such_library'."),
        (("lawful_script:f",), "lawful_script cannot be imported: SystemExit: 3."),
        (("lawful_blurs:boxx",), "lawful_blurs has no 'boxx'."),
        (("lawful_blurs:number",), "lawful_blurs:number is no function but a value of type int."),
        (("lawful_blurs:Box",), "lawful_blurs:Box is a class. Name a function, or an instance"),
        (("lawful_blurs:",), "'lawful_blurs:' must be MODULE:NAME."),
        (("./lawful_blurs.py:box",), "Write lawful_blurs:box, as Python imports it."),
        (("lawful_blurs:box", "--adapter", "lawful_blurs:number"), "is no Adapter but a value of type int."),
        (("lawful_blurs:box", "--set", "sigma_px=1"), "--set changes fields of kinds"),
        (("lawful_blurs:box", "--law", "linearty"), "There is no law 'linearty'. Did you mean 'linearity'?"),
        (("lawful_blurs:box", "--law", "adjoint"), "None of the laws applies to lawful_blurs:box."),
        (("lawful_blurs:box", "--profile", "quick"), "--profile must be dev, ci, thorough, got 'quick'."),
        (("lawful_blurs:box", "--noise", "1"), "--noise must be two numbers, got '1'."),
        (("lawful_blurs:box", "--dtype", "int8"), "Adapter.dtype must be one of 'uint8'"),
        (("gausian_blur",), "There is no kind 'gausian_blur'. Did you mean 'gaussian_blur'?"),
        (("gaussian_blur", "--layout", "HWC"), "--layout is for functions"),
        (("gaussian_blur", "--adapter", "a:b"), "--adapter is for functions"),
        (("sensor",), "sensor is no blur"),
        (("object_motion", "--law", "shapes"), "object_motion needs to know which object each pixel shows"),
    ],
)  # fmt: skip
def test_wrong_arguments(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1, "one line"


def test_without_hypothesis(tmp_path: Path) -> None:
    code = "import sys; sys.modules['hypothesis'] = None; sys.argv = ['blursynth', 'laws', '--list']; from blursynth.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "its extra 'testing'" in done.stderr
    assert "Traceback" not in done.stderr
