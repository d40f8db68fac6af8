"""The page of a report: whole in itself, readable by machines and by the keyboard, and free of what names may hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import blursynth as bs
from blursynth.core import Draw
from deblur_models.data.pair_set import PairSample, PairSet
from deblur_models.evaluate import Evaluation, evaluate
from deblur_models.evaluate.report import gain_text, number, word, write_report
from deblur_models.metrics import metric
from deblur_models.networks import create_network
from deblur_models.restore.network_restorer import NetworkRestorer

NASTY = '<script>alert("x")</script> & co'


class Noise(PairSet):
    name = NASTY

    def __len__(self) -> int:
        return 9

    def size_px(self, index: int) -> tuple[int, int]:
        return 40, 56

    def read(self, index: int) -> PairSample:
        sharp = np.random.Generator(np.random.Philox(index)).integers(30, 220, (40, 56, 3)).astype(np.uint8)
        draw = Draw((("blur", bs.kinds.GaussianBlur(sigma_px=0.2 + index)),)) if index else None
        return PairSample(
            NASTY if index == 0 else f"{index}", sharp, sharp + np.uint8(2 + index), "a & b\u202e\x1b", draw
        )


class Better:
    needs_kernel = False

    def __init__(self, name: str) -> None:
        self.name = name

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        return blurred - 1 / 255


class Page(HTMLParser):
    """Tags in order, and whether they close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "input", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    torch.manual_seed(0)
    network = NetworkRestorer(create_network("nafnet", "tiny", width=4), name="net")
    return evaluate(
        Noise(), [Better(NASTY), network], tmp_path_factory.mktemp("report"), metrics=[metric("psnr"), metric("ssim")],
        pictures=2, cost_px=(32, 32), left_out={"lpips": "no <weights>"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def text(evaluation: Evaluation) -> str:
    path = write_report(evaluation)
    assert path == evaluation.folder / "index.html"
    return path.read_text("utf-8")


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(text: str, evaluation: Evaluation) -> None:
    page = Page(text)
    assert page.open == []
    assert "http" not in text.replace("http-equiv", "")
    assert "@import" not in text
    assert not page.all("link")
    sources = [a["src"] for a in page.all("img")] + [a["value"] for a in page.all("option")]
    assert sources
    for source in sources:
        assert source is not None
        assert (evaluation.folder / source).is_file(), source
    assert len(page.all("script")) == 1  # and none from a name
    assert not re.search(r"\$\{?\w", text), "a place of the template was left open"


def test_names_are_text_and_no_tags(text: str) -> None:
    assert NASTY not in text
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; co" in text
    assert "no &lt;weights&gt;" in text
    assert r"a &amp; b\u202e\x1b" in text
    assert not set(text) & set("\u202e\x1b")


def test_sliders_work_from_the_keyboard_and_are_named(text: str) -> None:
    page = Page(text)
    ranges = [a for a in page.all("input") if a["type"] == "range"]
    assert len(ranges) == 2
    for slider in ranges:
        assert (slider["min"], slider["max"], slider["step"]) == ("0", "100", "1")
        assert slider["aria-label"]
        assert "tabindex" not in slider  # a range can be reached as it is
    assert all(a["alt"] for a in page.all("img"))
    assert len(page.all("select")) == 4
    assert all(a.get("aria-label") for a in page.all("svg"))


def test_it_fits_a_phone_and_the_dark(text: str) -> None:
    assert 'name="viewport" content="width=device-width' in text
    assert "@media (prefers-color-scheme: dark)" in text
    assert text.count("<table") == text.count('<div class="scroll" tabindex="0"><table')


def test_the_figures_are_those_of_the_summary(text: str, evaluation: Evaluation) -> None:
    line = evaluation.summary["overall"][NASTY]
    assert "gain" in line
    assert f">{number('psnr', line['metrics']['psnr']['mean'])}<" in text
    assert gain_text(line["gain"]) in text
    for title in ("By severity of the blur", "By kind of blur", "By quality of the blurred picture", "Protocols"):
        assert f"<h2>{title}</h2>" in text
    assert metric("ssim").protocol in text
    overall = text.partition("<h2>All pictures</h2>")[2].partition("</section>")[0]
    assert overall.count("<table") == 1
    assert ">SSIM</th>" in overall
    cost = evaluation.summary["cost"]["net"]
    assert f"{cost['stored_weights']:,}" in text
    assert text.count("<circle") == 2 * 9 + 2 * 8  # both plots; one picture has no draw


def test_sections_without_content_are_left_out(tmp_path: Path) -> None:
    class Real(Noise):
        name = "real"

        def __len__(self) -> int:
            return 2

        def read(self, index: int) -> PairSample:
            sample = super().read(index)
            return PairSample(sample.name, sample.sharp, sample.blurred)

    found = evaluate(Real(), [Better("better")], tmp_path, metrics=[metric("psnr")], pictures=0, cost_px=None)
    text = write_report(found).read_text("utf-8")
    assert Page(text).open == []
    for title in ("By severity", "By kind", "By quality", "<h2>Pictures", "Cost of networks"):
        assert title not in text


@pytest.mark.parametrize(
    ("gain", "shown"),
    [({"mean": 0.004}, "0.00"), ({"mean": -0.004}, "0.00"), ({"mean": 12.0}, "+12.00"), ({"mean": -0.006}, "−0.01")],
)
def test_gains_have_a_sign_that_means_something(gain: dict[str, Any], shown: str) -> None:
    assert gain_text(gain) == shown


def test_words_of_columns() -> None:
    assert word("psnr_aligned") == "PSNR aligned dB"
    assert word("mine") == "mine"
