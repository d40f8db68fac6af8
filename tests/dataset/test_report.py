"""The page about a data set: what it shows, that it refers to nothing outside, and that hostile names stay text."""

from __future__ import annotations

import base64
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import blursynth as bs
from blursynth.cli.app import app
from blursynth.dataset import DatasetRequest, Progress, generate
from blursynth.dataset.report import noise_codes, report
from blursynth.errors import DatasetError


class Page(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def pictures(self) -> list[np.ndarray]:
        data = [str(values["src"]).partition("base64,")[2] for tag, values in self.tags if tag == "img"]
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in data]


def test_what_it_shows(made: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    path = report(made, tmp_path / "page.html", on_progress=seen.append)
    assert (seen[-1].stage, seen[-1].done, seen[-1].total) == ("report", 22, 22)
    text = path.read_text()
    page, dataset = Page(text), bs.open_dataset(made)
    pictures = page.pictures()
    assert len(pictures) == 3 * 11
    for number, sample in enumerate(dataset):  # blurred, sharp, kernel
        assert np.array_equal(pictures[3 * number], sample.blurred)
        assert np.array_equal(pictures[3 * number + 1], sample.sharp)
        assert pictures[3 * number + 2].shape == (160, 160, 3)
    assert sum(tag == "input" for tag, _ in page.tags) == 11
    words = " ".join(page.text)
    for expected in (
        "11 of 32 x 32 px", "finished", dataset.digest["pixels"], "lens: gaussian_blur, 100 %", "PSNR of blurred",
        "photo1.png", "blursynth generate SOURCES OUT --recipe small --count 11 --size 32 --seed 5",
        "The recipe is not one that ships",
    ):  # fmt: skip
        assert expected in words, expected


def test_it_refers_to_nothing_outside(made: Path, tmp_path: Path) -> None:
    text = report(made, tmp_path / "page.html").read_text()
    for tag, values in Page(text).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert not {"href", "srcset", "action", "onload", "onerror"} & values.keys()
        assert "src" not in values or str(values["src"]).startswith("data:image/png;base64,")
    assert "http://" not in text.replace("http-equiv", "")
    assert "https://" not in text
    assert "default-src 'none'" in text


HOSTILE = "</script><img src=x onerror=alert(1)>&\"'$title.png"


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", HOSTILE.replace("/", "\u2215")):
        bs.write_picture(photos / name, rng.random((3, 40, 40)))
    (photos / "<b>not a picture.png").write_bytes(b"x")
    recipe = bs.Recipe(
        [("decode", bs.kinds.Decode()), ("encode", bs.kinds.Encode())], name="<i>r</i>", summary="<svg onload=1>"
    )
    out = tmp_path / "<u>set"
    request = DatasetRequest(sources=photos, recipe=recipe, count=4, size_px=16, license="<script>alert(2)</script>")
    generate(request, out, workers=1)
    page = Page(report(out).read_text())
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 1
    assert not {"i", "u"} & set(tags)
    assert all("onerror" not in values and "onload" not in values for _, values in page.tags)
    words = "".join(page.text)
    for expected in (
        "<u>set",
        "<svg onload=1>",
        "<script>alert(2)</script>",
        "<b>not a picture.png",
        "onerror=alert(1)",
    ):
        assert expected in words, expected


def test_unfinished_and_damaged_data_sets_have_a_page(made: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(made, tmp_path / "out"))
    (out / "index.json").unlink()
    (out / "manifest/000002.json").unlink()
    (out / "manifest/000001.json").write_text("{")
    words = " ".join(Page(report(out).read_text()).text)
    assert "not finished: 2 of 3 shards; 1 manifests are damaged (blursynth repair)" in words
    assert "8 of 11 samples" in words
    for path in (out / "manifest").iterdir():
        path.unlink()
    assert "No shard is finished yet." in report(out).read_text()


def test_sources_of_no_sample_and_a_damaged_list(pictures: Path, tmp_path: Path) -> None:
    recipe = bs.Recipe([("decode", bs.kinds.Decode()), ("encode", bs.kinds.Encode())])
    out = tmp_path / "one"
    generate(DatasetRequest(sources=pictures, recipe=recipe, count=1, size_px=24), out, workers=1)
    text = report(out).read_text()
    rows = dict(re.findall(r"<tr><th>([^<]*photo\d\.png)</th><td>(\d+)</td></tr>", text))
    assert sorted(rows.values()) == ["0", "0", "1"]
    shutil.copy(out / "manifest/000000.json", out / "skipped.json")  # whole, but something else
    assert "the list of unused inputs is damaged" in report(out).read_text()


def test_light_and_pairs_without_a_difference(pictures: Path, tmp_path: Path) -> None:
    recipe = bs.Recipe([("decode", bs.kinds.Decode())])
    generate(DatasetRequest(sources=pictures, recipe=recipe, count=3, size_px=24), tmp_path / "light", workers=1)
    words = " ".join(Page(report(tmp_path / "light").read_text()).text)
    assert "float32" in words
    assert "PSNR" not in words, "all pairs are equal: there is no number to show"


@pytest.mark.parametrize("sigma_codes", [0.5, 2.0, 8.0])
def test_noise_is_that_of_white_noise_on_edges_and_slopes(sigma_codes: float) -> None:
    rows, columns = np.mgrid[:128, :160]
    scene = 0.3 + 0.002 * rows + 0.2 * (columns > 70)
    noisy = scene + np.random.default_rng(1).normal(0, sigma_codes / 255, (3, 128, 160))
    assert noise_codes(noisy) == pytest.approx(sigma_codes, rel=0.08)


def test_the_command(made: Path, tmp_path: Path) -> None:
    def run(*words: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["report", *map(str, words)])
        return result.exit_code, result.output + str(result.exception or "")

    page = tmp_path / "p.html"
    code, text = run(made, "--out", page)
    assert (code, re.sub(r"^looking.*\n", "", text, flags=re.M)) == (0, f"written: {page}\n")
    assert run(made, "--out", tmp_path / "p.txt")[1].count("must end in .html") == 1
    assert "there is no such folder" in run(made, "--out", tmp_path / "none/p.html")[1]
    with pytest.raises(DatasetError, match="is not a blursynth data set"):
        report(tmp_path)
