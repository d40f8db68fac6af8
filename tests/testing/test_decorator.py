"""``obeys`` as its users run it: in a file of their own, with and without the plugin."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from blursynth.errors import InvalidValueError
from blursynth.testing import Adapter, obeys, pytest_plugin
from blursynth.testing.laws.law import PROFILES

pytest_plugins = ["pytester"]

PLUGIN = "blursynth.testing.pytest_plugin"
HEAD = """
import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from blursynth.testing import Adapter, obeys
from blursynth.testing.laws.law import Profile

FEW = Profile(examples=6, seconds=20.0, of_power=3)

def box(image):
    return uniform_filter(image, (3, 3, 1), mode="nearest")
"""


def run(pytester: pytest.Pytester, body: str, *options: str, plugin: bool = False) -> pytest.RunResult:
    pytester.makepyfile(test_mine=HEAD + body)
    loaded = PLUGIN if plugin else f"no:{PLUGIN}"  # it may be installed
    return pytester.runpytest_inprocess("-p", loaded, "-p", "no:randomly", *options)


SHIFTED = """
@obeys(border="replicate", laws=["channels", "centroid", "border", "adjoint", "flux"], profile=FEW,
       exempt={"flux": "light is lost on purpose"})
def test_blur():
    return lambda image: np.roll(box(image), 1, axis=1)
"""


def test_each_law_is_a_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, SHIFTED, "-v", "-rs")
    result.assert_outcomes(passed=1, failed=2, skipped=2)
    result.stdout.re_match_lines_random(
        [
            r".*::test_blur\[channels\] PASSED",
            r".*::test_blur\[centroid\] FAILED",
            r"SKIPPED \[1\] test_mine\.py:\d+: adjoint does not apply: Adapter\.adjoint is not given",
            r"SKIPPED \[1\] test_mine\.py:\d+: flux is exempt: light is lost on purpose",
        ]
    )


def test_a_failure_is_the_law_and_its_picture(pytester: pytest.Pytester) -> None:
    """No line of a traceback: the title, the message, nothing else."""
    result = run(pytester, SHIFTED, "-k", "centroid")
    text = result.stdout.str().partition("FAILURES")[2].partition("short test summary")[0]
    lines = text.splitlines()[1:-1]
    assert "test_blur[centroid]" in lines[0]
    assert lines[1] == "test_blur: centroid violated"
    assert [line.split()[0] for line in lines[2:]] == [
        *("law", "axis", "measured", "got", "expected", "looks", "picture")
    ]
    path = Path(lines[-1].split(maxsplit=1)[1])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.is_relative_to(pytester.path / ".pytest_cache")


def test_without_a_cache(pytester: pytest.Pytester) -> None:
    result = run(pytester, SHIFTED, "-k", "centroid", "-p", "no:cacheprovider")
    # pytest repeats the whole message in its summary where the variable CI is set.
    (path,) = set(re.findall(r"picture +(\S+\.png)", result.stdout.str()))
    assert Path(path).exists()


def test_fixtures_parameters_classes(pytester: pytest.Pytester) -> None:
    body = """
@pytest.fixture
def size():
    return 3

@obeys(laws=["channels"], profile=FEW)
@pytest.mark.parametrize("shift", [0, 1])
def test_inside(size, shift, request):
    assert request.node.name == f"test_inside[{shift}-channels]"
    return lambda image: np.roll(uniform_filter(image, (size, size, 1)), shift, axis=1)

@pytest.mark.parametrize("axis", [0, 2])
@obeys(laws=["channels"], profile=FEW)
def test_outside(axis):
    return lambda image: uniform_filter(image, [3 if n == axis else 1 for n in range(3)])

class TestOne:
    @obeys(laws=["channels"], profile=FEW)
    def test_method(self, size):
        assert isinstance(self, TestOne)
        return box
"""
    result = run(pytester, body, "-v")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.re_match_lines_random(
        [r".*::test_outside\[channels-2\] FAILED", r".*::test_method\[channels\] PASSED"]
    )


def test_a_pair_of_a_blur_and_its_adapter(pytester: pytest.Pytester) -> None:
    body = """
@obeys(laws=["border", "adjoint"], profile=FEW)
@pytest.mark.parametrize("rule", ["replicate", "reflect", None])
def test_blur(rule):
    return box, Adapter(border=rule)
"""
    result = run(pytester, body, "-v", "-rs")
    result.assert_outcomes(passed=1, failed=1, skipped=4)
    result.stdout.re_match_lines_random([r".*\[reflect-border\] FAILED", r"SKIPPED .*: border does not apply: .*"])


def test_fixtures_of_laws_that_do_not_apply_are_not_set_up(pytester: pytest.Pytester) -> None:
    body = """
@pytest.fixture
def model():
    raise AssertionError("set up")

@obeys(Adapter(), laws=["adjoint"])
def test_blur(model):
    return model
"""
    run(pytester, body).assert_outcomes(skipped=1)


def test_an_error_says_where_it_was_raised(pytester: pytest.Pytester) -> None:
    body = """
@obeys(laws=["channels"], profile=FEW)
def test_blur():
    def wrong(image):
        return uniform_filter(image, (3, 3))
    return wrong
"""
    result = run(pytester, body)
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "test_blur: channels failed (" in text
    assert re.search(r"raised in +\S+test_mine\.py:\d+, wrong: return uniform_filter\(image, \(3, 3\)\)", text)
    assert re.search(r"raised in +\S+scipy\S+:\d+, ", text)


def test_what_is_no_blur(pytester: pytest.Pytester) -> None:
    body = """
@obeys(laws=["channels"])
def test_blur():
    box
"""
    result = run(pytester, body)
    result.assert_outcomes(failed=1)
    assert "test_blur must return the blur under test, a function, got None." in result.stdout.str()


def test_options_and_the_table(pytester: pytest.Pytester) -> None:
    options = ("--laws-power", "--laws-pictures", "pics", "--laws-profile", "dev")
    result = run(pytester, SHIFTED, *options, "-q", plugin=True)
    result.stdout.re_match_lines(
        [
            r"=+ laws of blur =+",
            r"test_mine\.py::test_blur$",
            r"  law +status +measured +allowed +power$",
            r"  border +violated +0\.\d+ of white +4e-05$",
            r"  centroid +violated +1 px +\S+$",
            r"  channels +kept +0 of white +4e-05 +\S+ of its light$",
        ]
    )
    names = {path.name for path in (pytester.path / "pics").iterdir()}
    assert names == {"test_mine-py-test_blur-centroid.png", "test_mine-py-test_blur-border.png"}


def test_the_table_is_left_out(pytester: pytest.Pytester) -> None:
    shown = run(pytester, SHIFTED, plugin=True).stdout.str()
    assert re.search(r"law +status +measured +allowed$", shown, re.MULTILINE)
    assert "laws of blur" not in run(pytester, SHIFTED, "-q", plugin=True).stdout.str()
    assert "laws of blur" not in run(pytester, "def test_other(): pass", plugin=True).stdout.str()


def test_the_profile_of_the_command_line_takes_precedence(pytester: pytest.Pytester) -> None:
    body = """
seen = []

class One:
    name, left_out = "one", staticmethod(lambda adapter: None)
    def examine(self, blur, adapter, *, profile, power):
        pytest.fail(f"profile {profile}, power {power}")

@obeys(laws=[One()], profile="ci")
def test_blur():
    return box
"""
    assert "profile ci, power False" in run(pytester, body, plugin=True).stdout.str()
    assert "profile thorough, power False" in run(pytester, body, "--laws-profile=thorough", plugin=True).stdout.str()


@pytest.mark.parametrize(
    ("nodeid", "law", "without"),
    [
        ("a.py::test[flux]", "flux", "a.py::test"),
        ("a.py::test[1-flux-b]", "flux", "a.py::test[1-b]"),
        ("a.py::test", "flux", "a.py::test"),
    ],
)
def test_name_without_the_law(nodeid: str, law: str, without: str) -> None:
    assert pytest_plugin._without(nodeid, law) == without


def test_wrong_arguments() -> None:
    with pytest.raises(InvalidValueError, match="obeys takes an Adapter or its fields, got <function"):
        obeys(test_wrong_arguments)  # type: ignore[arg-type]  # the decorator without parentheses
    with pytest.raises(InvalidValueError, match=r"Adapter has no field 'dtyp'. Did you mean 'dtype'\?"):
        obeys(dtyp="uint8")
    with pytest.raises(InvalidValueError, match=r"There is no law 'linearty'. Did you mean 'linearity'\?"):
        obeys(laws=["linearty"])
    with pytest.raises(InvalidValueError, match="There is no law 'fluxx'"):
        obeys(exempt={"fluxx": "a reason"})
    with pytest.raises(InvalidValueError, match="takes an argument 'law'"):
        obeys(Adapter())(lambda law: None)


@pytest.mark.parametrize("missing", ["hypothesis", "pytest"])
def test_without_the_extra(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from blursynth.testing import obeys; obeys(dtype='uint8')(print)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"needs the package {missing!r}, which is not installed" in done.stderr
    assert "its extra 'testing'" in done.stderr


def test_the_plugin_is_registered() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}  # of one name, so that -p loads it once
    assert import_module(PLUGIN) is pytest_plugin
    assert set(PROFILES) == set(pytest_plugin.PROFILES)
