"""The page for raters in a real browser: shown pixel by pixel, operated by keyboard, resumed, and read back."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from blursynth.io.pictures import read_pixels
from deblur_models.cli import app as cli
from deblur_models.study import REFERENCE, MadeStudy, make_study

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")

pytestmark = pytest.mark.slow

SIDE = 40
GRADE = {REFERENCE: 5, "ours": 4, "blurred": 2}


@pytest.fixture(scope="module")
def browsers() -> Iterator[Callable[[float], Any]]:
    """A browser on a screen with so many pixels per CSS px; to emulate these would place pictures otherwise."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next((path for name in names if (path := shutil.which(name))), None)
    with sync_api.sync_playwright() as started:
        if found is None and not Path(started.chromium.executable_path).exists():
            pytest.skip("no browser: install chromium (apt-get install chromium), or run playwright install chromium")

        @cache
        def launch(ratio: float) -> Any:
            scale = [f"--force-device-scale-factor={ratio}", "--window-size=1283,901"]  # centers between pixels
            return started.chromium.launch(executable_path=found, args=["--no-sandbox", *scale])

        yield launch


@pytest.fixture
def opened(browsers: Callable[[float], Any]) -> Iterator[Callable[..., Any]]:
    """A function that opens a page in a new profile; the test fails if the page has an error or asks for anything."""
    contexts = []

    def open_page(path: Path, ratio: float = 1.0, fragment: str = "") -> Any:
        context = browsers(ratio).new_context(no_viewport=True)
        contexts.append(context)
        page = context.new_page()
        page.clock.install(time=0)
        page.clock.pause_at(60_000)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda line: page.problems.append(line.text))
        page.on(
            "request",
            lambda asked: asked.url.startswith(("file:", "data:", "blob:")) or page.problems.append(asked.url),
        )
        page.goto(path.as_uri() + fragment)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert not page.problems
        context.close()


@pytest.fixture(scope="module")
def single(versions: Any, tmp_path_factory: pytest.TempPathFactory) -> MadeStudy:
    return make_study(versions, tmp_path_factory.mktemp("single") / "s", size_px=SIDE, practice=2)


@pytest.fixture(scope="module")
def pairs(versions: Any, tmp_path_factory: pytest.TempPathFactory) -> MadeStudy:
    where = tmp_path_factory.mktemp("pairs") / "s"
    return make_study(versions, where, size_px=SIDE, practice=2, design="pairs", ties=True, single_file=True)


def begin(page: Any, code: str = "") -> None:
    """Consent and conditions by keyboard alone, up to the first trial."""
    page.get_by_label("I have read this").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type(code)
    page.keyboard.press("Enter")
    for keys in (1, "27", "70", 1, 2, 1, 1, 3):  # a text, or the place in a list
        page.keyboard.press("Tab")
        if isinstance(keys, str):
            page.keyboard.type(keys)
        for _ in range(keys if isinstance(keys, int) else 0):
            page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Begin").press("Enter")


def wait_for_pictures(page: Any) -> None:
    """Until a trial is shown; the page forbids the evaluation of text, by which playwright would wait."""
    for _ in range(400):
        if page.evaluate("waiting > 0 && [...document.images].every(image => image.complete && image.naturalWidth)"):
            page.clock.run_for(600)
        if not page.evaluate("at('stage').classList.contains('gray')"):
            return
        page.wait_for_timeout(5)
    raise AssertionError("no pictures")


def seen(page: Any, place: int = 0) -> NDArray[np.uint8]:
    """The pixels of the screen where a picture is."""
    box = page.locator("#stage img").nth(place).bounding_box()
    ratio = page.evaluate("devicePixelRatio")
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        whole = np.asarray(picture.convert("RGB"))
    top, left = (round(box[side] * ratio) for side in ("y", "x"))
    assert box["x"] * ratio == pytest.approx(left, abs=0.02), "on whole pixels"
    assert round(box["width"] * ratio) == round(box["height"] * ratio) == SIDE
    return whole[top : top + SIDE, left : left + SIDE]


def method_of(codes: NDArray[np.uint8], made: MadeStudy, folders: Path, content: int) -> str:
    """Whose crop this is, from the pixels alone."""
    known = made.key.contents[content]
    for method in made.key.methods:
        whole = read_pixels(folders / ("sharp" if method == REFERENCE else method) / f"{known.name}.png")
        if np.array_equal(codes, whole[known.top : known.top + SIDE, known.left : known.left + SIDE]):
            return method
    raise AssertionError("no crop of the study, or not pixel by pixel")


def content_now(page: Any) -> int:
    return int(page.evaluate("order[state.answers.length].content"))


def save(page: Any, button: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=button).press("Enter")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def results(made: MadeStudy, answers: Path, out: Path) -> dict[str, Any]:
    words = ["study", "results", str(answers), "--key", str(made.key_file), "--out", str(out)]
    done = CliRunner().invoke(cli.app, words, prog_name="deblur")
    assert done.exit_code == 0, done.output
    return dict(json.loads((out / "summary.json").read_text()))


@pytest.mark.parametrize("ratio", [1.0, 1.25, 1.5])
def test_single_pictures_from_consent_to_results(
    opened: Any, single: MadeStudy, folders: Path, tmp_path: Path, ratio: float
) -> None:
    """A rater who grades what is on the screen: the result is his grades. The page is loaded anew in the middle."""
    page = opened(single.page, ratio)
    begin(page, code="R 1")
    answered = 0
    while True:
        wait_for_pictures(page)
        method = method_of(seen(page), single, folders, content_now(page))
        page.keyboard.press(str(GRADE[method]))
        page.keyboard.press("Enter")
        assert page.evaluate("state.answers.length") == answered, "nobody has seen the picture yet"
        page.clock.run_for(1000)
        page.keyboard.press("Enter")
        answered += 1
        assert page.evaluate("state.answers.length") == answered
        if answered == 7:
            page.reload()
            assert "7 of 19 answered" in page.locator("#saved").inner_text()
            page.get_by_role("button", name="Continue", exact=True).press("Enter")
        if page.locator("#interlude").is_visible():
            assert answered == 2
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
        if page.locator("#end").is_visible():
            break
    assert answered == single.trials == 19
    path = save(page, "Save the answers", tmp_path / "answers")
    content = json.loads(path.read_text())
    assert content["participant"] == "R 1"
    assert content["conditions"] == {
        "device": "monitor", "diagonal_inches": 27, "distance_cm": 70, "light": "dark", "vision": "corrected",
        "color_vision": "normal", "expert": "no", "age": "30 to 49",
    }  # fmt: skip
    assert content["screens"][0]["ratio"] == ratio
    found = results(single, path, tmp_path / "out")
    for method, grade in GRADE.items():
        assert found["scores"][method]["mos"] == grade
    assert found["scores"]["ours"]["dmos"] == 4.0
    assert found["reliability"]["same"] == 1.0
    assert found["raters"][0]["rater"] == "R 1"


def test_pairs_from_consent_to_results(opened: Any, pairs: MadeStudy, folders: Path, tmp_path: Path) -> None:
    """A rater who always prefers by what is on the screen, left or right, and sees no difference once per picture."""
    page = opened(pairs.page)
    begin(page)
    sides = []
    while not page.locator("#end").is_visible():
        if page.locator("#interlude").is_visible():
            page.get_by_role("button", name="Begin").press("Enter")
        wait_for_pictures(page)
        left, right = (method_of(seen(page, place), pairs, folders, content_now(page)) for place in (0, 1))
        page.clock.run_for(1000)
        if {left, right} == {REFERENCE, "ours"}:
            page.keyboard.press("0")
        else:
            page.keyboard.press("ArrowLeft" if GRADE[left] > GRADE[right] else "ArrowRight")
            sides.append(GRADE[left] > GRADE[right])
        page.keyboard.press("Enter")
    assert {True, False} == set(sides)
    found = results(pairs, save(page, "Save the answers", tmp_path / "answers"), tmp_path / "out")
    shares = {(row["first"], row["second"]): row["share"] for row in found["differences"]}
    assert shares == {(REFERENCE, "blurred"): 1.0, (REFERENCE, "ours"): 0.5, ("blurred", "ours"): 0.0}
    assert found["reliability"]["same"] == 1.0
    assert found["ties"] == pytest.approx(1 / 3)


def test_orders(opened: Any, single: MadeStudy, pairs: MadeStudy) -> None:
    page = opened(single.page)
    pictures = {name: trial.content for name, trial in single.key.trials.items()}
    repeats = single.key.repeats
    firsts = set()
    for seed in range(300):
        order = page.evaluate(f"orderOf({seed})")
        counted = [trial for trial in order if trial["part"] != "practice"]
        assert [trial["part"] for trial in order[:2]] == ["practice", "practice"]
        assert sorted(t["id"] for t in counted if t["part"] == "test") == sorted(single.key.counted)
        row = [pictures[trial["id"]] for trial in counted]
        assert all(first != second for first, second in pairwise(row))
        places = {trial["id"]: place for place, trial in enumerate(counted) if trial["part"] == "test"}
        again = [(trial["id"], place) for place, trial in enumerate(counted) if trial["part"] == "repeat"]
        assert len(again) == repeats
        assert all(place - places[name] >= 5 for name, place in again)
        firsts.add(counted[0]["id"])
    assert len(firsts) == 15, "any trial may be the first"
    assert page.evaluate("JSON.stringify(orderOf(7)) === JSON.stringify(orderOf(7))")
    page = opened(pairs.page)
    swapped = []
    for seed in range(100):
        order = page.evaluate(f"orderOf({seed})")
        first = {trial["id"]: trial["swapped"] for trial in order if trial["part"] == "test"}
        assert all(trial["swapped"] != first[trial["id"]] for trial in order if trial["part"] == "repeat")
        swapped += first.values()
    assert np.mean(swapped) == pytest.approx(0.5, abs=0.04)


def test_the_order_of_a_rater_can_be_seen_again(opened: Any, single: MadeStudy) -> None:
    seeds = []
    for fragment in ("#seed=77", "", ""):
        page = opened(single.page, fragment=fragment)
        begin(page)
        seeds.append(page.evaluate("state.seed"))
    assert seeds[0] == 77
    assert len(set(seeds)) == 3


def test_a_session_ends_with_a_break(opened: Any, single: MadeStudy) -> None:
    page = opened(single.page)
    begin(page)
    wait_for_pictures(page)
    page.clock.run_for(21 * 60_000)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    assert page.get_by_role("heading", name="Time for a break").is_visible()
    assert page.get_by_role("button", name="Continue", exact=True).is_disabled()
    page.reload()
    page.get_by_role("button", name="Continue", exact=True).press("Enter")
    assert page.locator("#resume").is_disabled(), "loading the page anew is no rest"
    page.clock.run_for(2 * 60_000)
    assert "in 3 min" in page.locator("#pause-text").inner_text()
    page.clock.run_for(3 * 60_000 + 1000)
    page.locator("#resume").press("Enter")
    assert page.locator("#trial").is_visible()


def test_an_unfinished_file_is_continued_elsewhere(
    opened: Any, single: MadeStudy, pairs: MadeStudy, tmp_path: Path
) -> None:
    page = opened(single.page)
    begin(page)
    for _ in range(2):
        wait_for_pictures(page)
        page.clock.run_for(1000)
        page.keyboard.press("3")
        page.keyboard.press("Enter")
    page.get_by_role("button", name="Begin").press("Enter")
    page.keyboard.press("p")
    path = save(page, "Save what I have answered", tmp_path)
    other = opened(single.page)
    other.locator("#partial").set_input_files(path)
    other.locator("#interlude").wait_for()
    assert other.evaluate("JSON.stringify(order)") == page.evaluate("JSON.stringify(order)")
    content = json.loads(path.read_text())
    content["answers"].reverse()
    for name, text in (("order.json", json.dumps(content)), ("none.json", "[[["), ("null.json", "null")):
        (tmp_path / name).write_text(text)
    for made, file in ((pairs, path.name), *((single, name) for name in ("order.json", "none.json", "null.json"))):
        other = opened(made.page)
        other.locator("#partial").set_input_files(tmp_path / file)
        other.get_by_text("This file holds no answers to this study.").wait_for()


def test_pictures_that_cannot_be_seen_whole_are_not_judged(opened: Any, pairs: MadeStudy) -> None:
    page = opened(pairs.page)
    page.set_viewport_size({"width": 600, "height": 720})
    begin(page)
    wait_for_pictures(page)
    page.set_viewport_size({"width": 100, "height": 720})
    page.get_by_text("The window is too small").wait_for()
    assert re.search(r"Pictures need 120 × \d+ px, and the window has 100 × 720", page.locator("#cover").inner_text())
    page.clock.run_for(2000)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    assert page.evaluate("state.answers.length") == 0
    page.set_viewport_size({"width": 600, "height": 720})
    page.locator("#cover").wait_for(state="hidden")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    assert page.evaluate("state.answers.length") == 1


def test_a_missing_picture_is_said(browsers: Any, single: MadeStudy, tmp_path: Path) -> None:
    shutil.copy(single.page, tmp_path / "index.html")
    page = browsers(1.0).new_page()
    page.goto((tmp_path / "index.html").as_uri())
    begin(page)
    page.get_by_text("The folder of this page is not complete.").wait_for()
    page.close()


def test_flicker_needs_a_look_at_both(opened: Any, versions: Any, folders: Path, tmp_path: Path) -> None:
    made = make_study(versions, tmp_path / "s", size_px=SIDE, practice=0, design="pairs", flicker=True)
    page = opened(made.page)
    begin(page)
    wait_for_pictures(page)
    page.clock.run_for(1000)
    first = method_of(seen(page, 0), made, folders, content_now(page))
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    assert page.evaluate("state.answers.length") == 0
    page.keyboard.press("Space")
    assert not page.locator("#stage img").nth(0).is_visible()
    second = method_of(seen(page, 1), made, folders, content_now(page))
    assert first != second
    page.keyboard.press("Enter")
    answer = page.evaluate("state.answers[0]")
    assert made.key.trials[answer["trial"]].methods["ab".index(answer["answer"])] == first


def test_everything_has_a_name_for_screen_readers(opened: Any, pairs: MadeStudy) -> None:
    page = opened(pairs.page)
    unnamed = "[...document.querySelectorAll('input, select')].filter(e => !e.labels.length).map(e => e.id)"
    assert page.evaluate(unnamed) == []
    begin(page)
    wait_for_pictures(page)
    assert page.evaluate(unnamed) == []
    assert page.evaluate("[...document.images].map(image => image.alt)") == ["picture left", "picture right"]
    assert page.get_by_role("radiogroup", name="Which one has the better quality?").get_by_role("radio").count() == 3
