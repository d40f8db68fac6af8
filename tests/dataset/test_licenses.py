"""Licenses and attributions from lists, Parquet columns, WebDataset's JSON and EXIF, up to records and cards."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from pathlib import Path
from typing import Any

import pytest

import blursynth as bs
from blursynth import dataset
from blursynth.dataset import scan_sources
from blursynth.dataset.licenses import Licenses, Rights
from blursynth.errors import InvalidValueError

LIST = """name,license,attribution,url
deep/*,CC BY 4.0,"Doe, Jane",https://example.org/jane
photo1.png,CC0,,
photo?.png,MIT,Somebody,
nobody.jpg,CC0,,
"""


def test_records_card_and_report_of_a_list(
    pictures: Path, recipe: bs.Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "who.csv").write_text(LIST)
    out = tmp_path / "out"
    with caplog.at_level(logging.WARNING, "blursynth"):
        dataset.generate(
            dataset.DatasetRequest(
                sources=pictures, recipe=recipe, count=6, size_px=32, licenses=tmp_path / "who.csv", shard_length=3
            ),
            out,
            workers=1,
        )
    assert [r.getMessage().removeprefix(f"{tmp_path}/") for r in caplog.records] == [
        "who.csv: entries that apply to no picture: 1 (nobody.jpg)"
    ]
    expected = {
        "deep/photo2.png": ("CC BY 4.0", "Doe, Jane", "https://example.org/jane"),
        "photo1.png": ("CC0", None, None),
        "photo0.png": ("MIT", "Somebody", None),
    }
    pairs = dataset.open_dataset(out)
    found = {r["source"]: (r["license"], r.get("attribution"), r.get("url")) for r in (s.record for s in pairs)}
    assert found == expected
    card = (out / "README.md").read_text()
    assert "| `CC BY 4.0, Doe, Jane, https://example.org/jane` | 1 |" in card
    assert json.loads((out / "dataset.json").read_text())["schema"] == 8
    assert dataset.verify(out, deep=True, replay=6).ok
    bs.report(out)
    assert "CC BY 4.0, Doe, Jane, https://example.org/jane" in (tmp_path / "out.html").read_text()


def test_order_of_names_and_patterns(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([
        {"name": "b/*.png", "license": "first"}, {"name": "*.png", "license": "second"},
        {"name": "c[1].png", "license": "exact", "author": "x\u001b[2J"}, {"name": "./b/d.png", "license": "third"},
    ]))  # fmt: skip
    listed = Licenses(tmp_path / "a.json")
    names = ("b/a.png", "a/b/a.png", "b/c[1].png", "c1.png", "b/d.png", "a.jpg")
    assert [listed.of(name).license for name in names] == ["first", "second", "exact", "second", "third", ""]
    assert listed.of("c[1].png").attribution == r"x\x1b[2J"
    assert listed.unused() == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "name,licence\na,b\n", "line 2: there is no column 'licence'. Did you mean 'license'?"),
        ("a.csv", "license\nCC0\n", "line 2: has no name"),
        ("a.csv", "name,license\na,b,c\n", "more values than the header"),
        ("a.csv", "name,license\na,b\na,c\n", "line 3: 'a' has an entry already"),
        ("a.json", '{"a": "CC0"}', "holds no list"),
        ("a.json", '["CC0"]', "entry 1: is no object"),
        ("a.json", '[{"name": "a", "license": 3}]', "license is no text"),
        ("a.json", "[" * 100_000, "is not JSON"),
        ("a.txt", "a CC0", "must be a .csv, .tsv or .json file"),
    ],
)
def test_lists_that_are_wrong(tmp_path: Path, pictures: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidValueError) as caught:
        scan_sources(pictures, licenses=tmp_path / name)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_of_containers(pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = [(pictures / name).read_bytes() for name in ("photo0.png", "photo1.png", "deep/photo2.png")]
    about: list[Any] = [{"license": "CC BY 4.0", "author": "A", "width": 3}, {}, ["no object"]]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number, (data, stated) in enumerate(zip(files, about, strict=True)):
            for ending, content in (("rgb.png", data), ("json", json.dumps(stated).encode())):
                info = tarfile.TarInfo(f"{number}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    scan = scan_sources(tmp_path / "a.tar")
    assert {(s.name, s.license, s.attribution) for s in scan.usable} == {
        ("a.tar/0.rgb.png", "CC BY 4.0", "A"), ("a.tar/1.rgb.png", "", ""),
    }  # fmt: skip
    assert "holds no object" in scan.skipped[0].why
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"image": files, "license": ["CC0", None, "MIT"], "attribution": ["B", "C", ""], "url": ["u", "v", "w"]}
    parquet.write_table(arrow.table(columns), tmp_path / "b.parquet", row_group_size=2)
    (tmp_path / "who.csv").write_text("name,license\nb.parquet/2,own\n")
    with caplog.at_level(logging.WARNING, "blursynth"):
        scan = scan_sources(tmp_path / "b.parquet", licenses=tmp_path / "who.csv")
    assert {(s.name, s.license, s.attribution, s.url) for s in scan.usable} == {
        ("b.parquet/0", "CC0", "B", "u"), ("b.parquet/1", "", "C", "v"), ("b.parquet/2", "own", "", "w"),
    }  # fmt: skip
    assert [r.getMessage().partition(": ")[2] for r in caplog.records] == [
        "pictures without a license: 1 (b.parquet/1)"
    ]


def test_nothing_is_overruled_by_silence() -> None:
    assert Rights("", "A").or_else(Rights("CC0", "B", "u")) == Rights("CC0", "A", "u")
