"""Reports: what they say, that they are whole, and that names of other people's functions do no harm."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from blursynth.testing import Adapter, laws
from blursynth.testing.adapter import Blur
from blursynth.testing.laws.law import Measurement, Profile, Result
from blursynth.testing.report import STATUSES, law_list, summary, to_html, to_json, to_table

HOSTILE = "<script>alert(1)</script>\x1b[2J"
ADAPTER = Adapter(border="replicate", exempt={"flux": f"a reason {HOSTILE}"})
FEW = Profile(examples=8, seconds=20.0, of_power=3)


def shifted(image: Any) -> Any:
    return np.roll(uniform_filter(image, (3, 3, 1), mode="nearest"), 1, axis=1)


def broken(image: Any) -> Any:
    raise ValueError(HOSTILE)


shifted.__qualname__ = broken.__qualname__ = HOSTILE


@pytest.fixture(scope="module")
def results() -> list[Result]:
    chosen = [laws.channels, laws.border, laws.flux, laws.adjoint, laws.derivatives]
    found = list(laws.examine(shifted, ADAPTER, laws=chosen, profile=FEW))
    return [*found, laws.linearity.examine(broken, ADAPTER, profile=FEW)]


def test_summary(results: list[Result]) -> None:
    assert summary(results) == "1 violated, 1 failed, 1 kept, 1 exempt, 2 not applicable"
    assert summary([]) == ""


def test_table(results: list[Result]) -> None:
    text = to_table(results)
    lines = text.splitlines()
    assert lines[0].split() == ["law", "status", "measured", "allowed", "power"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["channels", "kept"],
        ["border", "violated"],
        ["linearity", "failed"],
    ]
    assert laws.border.statement in text
    assert "Adapter.adjoint is not given: adjoint" in lines
    assert "\x1b" not in text
    assert "power" not in to_table([laws.channels.examine(shifted, ADAPTER, profile=FEW, power=False)])


def test_json_holds_the_counterexample(results: list[Result]) -> None:
    """Whole, so that whoever reads it can try it again."""
    found = {one["law"]: one for one in json.loads(to_json(results))["laws"]}
    assert list(found) == [result.law.name for result in results]
    border = found["border"]
    case = {name: np.array(value["values"]).reshape(value["shape"]) for name, value in border["counterexample"].items()}
    again = laws.border.measure(Blur(shifted, ADAPTER), **case)
    assert again.deviation == border["measured"] > border["allowed"]
    assert found["channels"]["power"] > 0
    assert found["channels"]["counterexample"] is None
    assert found["linearity"]["why"].startswith("ValueError")


@pytest.mark.parametrize(("deviation", "written"), [(np.inf, "inf"), (np.nan, "nan")])
def test_json_has_no_numbers_of_its_own(deviation: float, written: str) -> None:
    case = {"flag": np.bool_(True), "count": np.int64(3), "parts": (1, None, {"a": np.float32(0.5)})}
    result = Result(laws.flux, "mine", "violated", measurement=Measurement(deviation, 0.0), case=case)
    (found,) = json.loads(to_json([result]), parse_constant=pytest.fail)["laws"]
    assert found["measured"] == written
    assert found["counterexample"] == {"flag": True, "count": 3, "parts": [1, None, {"a": 0.5}]}


class Page(HTMLParser):
    """Every tag that is opened is closed; what the page would load."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attributes:
            assert not name.startswith("on")
            assert value is not None
            {"src": self.sources, "href": self.links, "id": self.ids}.get(name, []).append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_page_is_whole_and_harmless(results: list[Result]) -> None:
    text = to_html(results)
    page = Page(text)
    assert "script" not in page.tags
    assert "\x1b" not in text
    assert page.words.count("<script>alert(1)</script>") >= 3, "the name, the error and the reason are shown as text"
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "http" not in text
    assert set(page.links) == {f"#{name}" for name in page.ids}


def test_page_says_everything_about_a_law(results: list[Result]) -> None:
    page = Page(to_html(results, title="My blur"))
    words = re.sub(r"\s+", " ", page.words)
    for result in results:
        assert result.law.statement in words
        assert result.status in STATUSES
    border = results[1]
    assert border.measurement is not None
    for text in (
        "My blur",
        f"{border.measurement.deviation:.3g} of white, allowed {border.measurement.allowed:.3g}",
        border.law.tolerance,
        border.law.looks_like,
        border.law.reference,
        "counterexample",
        f"{laws.channels.fault.what} of ",
    ):
        assert text in words
    assert words.index("border violated") < words.index("channels kept"), "what is wrong comes first"


def test_page_of_nothing() -> None:
    assert "No law was held" in Page(to_html([])).words


def test_blind_laws_say_so() -> None:
    page = Page(to_html([Result(laws.flux, "mine", "blind", measurement=Measurement(0.0, 1.0))]))
    assert f"not even {laws.flux.fault.what} of 1 of the value would have been seen" in page.words


def test_list_of_laws() -> None:
    text = law_list(laws.ALL)
    for law in laws.ALL:
        assert text.count(f"### {law.name}\n") == 1
    topics = re.findall(r"^## (\w+)$", text, re.MULTILINE)
    assert len(topics) == len(set(topics)) == len({law.topic for law in laws.ALL})
    Page(text)
