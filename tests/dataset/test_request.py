"""Requests for data sets: in Python, in files, by name, with splits, and with the digest that they expect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import blursynth as bs
from blursynth.dataset import DatasetRequest, OnlineDataset, dataset_names, generate, load_request, plan
from blursynth.errors import BlursynthError, DatasetError, InvalidValueError
from blursynth.io.depth import DepthFormat

RECIPE = '[[step]]\nkind = "decode"\n[[step]]\nkind = "gaussian_blur"\nsigma_px = 1.0\n[[step]]\nkind = "encode"\n'


def written(folder: Path, text: str) -> Path:
    (folder / "own.toml").write_text(RECIPE)
    (folder / "dataset.toml").write_text(text)
    return folder / "dataset.toml"


@pytest.mark.parametrize(
    "fields",
    [
        {"sources": "photos"},
        {"sources": ["a", Path("b")], "recipe": "mixed", "changes": {"shake.length_px": 20}, "count": 3, "seed": 7},
        {"sources": "a", "depth": Path("d"), "depth_format": {"meters_per_code": 0.001}, "store": "kernel"},
        {"sources": "a", "recipe": bs.Recipe([bs.kinds.Decode(), bs.kinds.Encode()]), "min_detail": 10},
        {"split": [{"name": "train", "count": 3, "sources": "a"}, {"name": "test", "count": 2, "sources": ["b"]}]},
        {"sources": "a", "count": 2, "digest": {"draws": "0" * 64}},
    ],
)  # fmt: skip
def test_a_request_is_json_and_toml(fields: dict[str, Any], tmp_path: Path) -> None:
    request = DatasetRequest(**fields)
    assert DatasetRequest(**json.loads(json.dumps(request.to_dict()))) == request
    (tmp_path / "r.toml").write_text(request.replace(depth=None, depth_format=None).to_toml())
    again = load_request(tmp_path / "r.toml")
    assert again.seed == request.seed
    assert again.loaded_recipe == request.loaded_recipe
    assert [part.count for part in again.parts().values()] == [part.count for part in request.parts().values()]


@pytest.mark.parametrize(
    ("fields", "words", "field"),
    [
        ({"sources": []}, "sources: there are none", "sources"),
        ({"sources": 3}, "sources: must be a folder", "sources"),
        ({"count": 0}, "count must be >= 1, got 0", "count"),
        ({"count": True}, "count must be an integer, got True", "count"),
        ({"size_px": 7}, "size_px must be >= 8, got 7", "size_px"),
        ({"recipe": 3}, "recipe: must be the name of a recipe", "recipe"),
        ({"store": ["krnel"]}, "store: there is no array 'krnel'. Did you mean 'kernel'", "store"),
        ({"kernel_size_px": 4}, "kernel_size_px must be odd, got 4", "kernel_size_px"),
        ({"depth_format": DepthFormat()}, "depth_format is given without depth", "depth_format"),
        ({"depth": "d", "depth_format": {"fill": "x"}}, r"\[depth_format\]: fill must be 'background'", "fill"),
        ({"downscale": 9}, "downscale must be <= 8, got 9", "downscale"),
        ({"split": [{"name": "a"}]}, r"\[\[split\]\] 1: needs count", "count"),
        ({"split": [{"name": "..", "count": 1}]}, "split must have unique names that are valid folder names", "split"),
        ({"split": [{"name": "a", "count": 1}] * 2}, "split must have unique names .*, got 'a'", "split"),
        ({"count": 3, "split": [{"name": "a", "count": 1}]}, "count cannot be given together with split", "count"),
        ({"digest": {"draws": "0"}}, r"\[digest\]: draws", "draws"),
        ({"sise_px": 9}, "has no field 'sise_px'. Did you mean 'size_px'", "sise_px"),
    ],
)  # fmt: skip
def test_requests_that_cannot_be(fields: dict[str, Any], words: str, field: str) -> None:
    with pytest.raises(InvalidValueError, match=words) as caught:
        DatasetRequest(**{"sources": "photos", **fields})
    assert caught.value.field == field


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    text = 'sources = ["photos", "/else", "bundled:training", "~/x"]\nrecipe = "own.toml"\ndepth = "maps"\ncount = 2\n'
    request = load_request(written(tmp_path, text))
    home = str(Path("~/x").expanduser())
    assert request.sources == (str(tmp_path / "photos"), "/else", "bundled:training", home)
    assert request.depth == str(tmp_path / "maps")
    assert request.recipe == str(tmp_path / "own.toml")
    assert [name for name, _ in request.loaded_recipe.steps] == ["decode", "gaussian_blur", "encode"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"count": 5}, {"count": 5}),
        ({"recipe.gaussian_blur.sigma_px": 2.0}, {"changes": {"gaussian_blur.sigma_px": 2.0}}),
        ({"depth": "maps", "depth_format.fill": "nearest"}, {"depth_format": DepthFormat(fill="nearest")}),
    ],
)
def test_changes_by_dotted_names(changes: Mapping[str, Any], expected: dict[str, Any], tmp_path: Path) -> None:
    digest = f'[digest]\ndraws = "{"0" * 64}"\n'
    path = written(tmp_path, f'sources = "photos"\nrecipe = "own.toml"\ncount = 2\n{digest}')
    assert load_request(path).digest is not None
    request = load_request(path, changes=changes)
    assert {name: getattr(request, name) for name in expected} == expected
    assert request.digest is None, "it is that of the unchanged request"


@pytest.mark.parametrize(
    ("text", "changes", "words"),
    [
        ("sources = 'a'\ncount = 0", {}, "dataset.toml: count must be >= 1, got 0"),
        ("sources = 'a'\ncont = 1", {}, "dataset.toml: has no field 'cont'. Did you mean 'count'"),
        ("count = 1", {}, "dataset.toml: sources: there are none"),
        ("sources = 'a'", {"shake.length_px": 3}, "dataset.toml: has no field 'shake'"),
        ("sources = ", {}, "dataset.toml: is not valid TOML"),
        ("sources = 'a'\n[[split]]\nname = 'x'", {}, r"dataset.toml \[\[split\]\] 1: needs count"),
    ],
)  # fmt: skip
def test_messages_name_the_file(text: str, changes: Mapping[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(BlursynthError, match=words):
        load_request(written(tmp_path, text), changes=changes)


def test_names_of_data_sets_that_ship() -> None:
    assert "quickstart" in dataset_names()
    with pytest.raises(InvalidValueError, match="There is no data set 'quikstart'"):
        load_request("quikstart")
    folder = Path(__file__).resolve().parents[2] / "datasets"
    for name in dataset_names():
        request = load_request(name)
        assert request.summary
        assert all(part.digest for part in request.parts().values())
        assert (folder / name / "README.md").read_text("utf-8").startswith(f"# {name}\n")


def splits(pictures: Path, other: Path, **more: Any) -> DatasetRequest:
    return DatasetRequest(
        recipe="clean", size_px=32, shard_length=2, seed=5, **more,
        split=[{"name": "train", "count": 3, "sources": pictures}, {"name": "test", "count": 2, "sources": other}],
    )  # fmt: skip


def test_splits_are_data_sets_of_their_own(pictures: Path, tmp_path: Path) -> None:
    train, test = tmp_path / "a", tmp_path / "b"
    for folder, name in ((train, "photo0.png"), (test, "photo1.png")):
        folder.mkdir()
        (folder / name).write_bytes((pictures / name).read_bytes())
    report = generate(splits(train, test), tmp_path / "out", workers=1)
    assert (report.count, report.samples, report.finished, list(report.splits)) == (5, 5, True, ["train", "test"])
    for number, (name, count, source) in enumerate((("train", 3, "photo0.png"), ("test", 2, "photo1.png"))):
        made = bs.open_dataset(tmp_path / "out" / name)
        assert len(made) == count
        assert made.spec.seed == 5 + number, "no two splits draw the same numbers"
        assert {sample.source for sample in made} == {source}
        alone = generate(splits(train, test).parts()[name], tmp_path / f"alone {name}", workers=1)
        assert alone.digest == report.splits[name].digest
    assert (report.shards, report.made, report.kept) == (3, (0, 1, 2), ()), "2 of train and 1 of test"
    again = generate(splits(train, test), tmp_path / "out", workers=1)
    assert (again.samples, again.made, again.kept) == (0, (), (0, 1, 2))
    words = r"holds the data sets 'test' and 'train', but is not one itself\. Open one of them: .*out.test\."
    for function in (bs.open_dataset, bs.verify, bs.resume):
        with pytest.raises(DatasetError, match=words):
            function(tmp_path / "out")
    with pytest.raises(InvalidValueError, match="has splits"):
        OnlineDataset(splits(train, test))
    with pytest.raises(InvalidValueError, match=r"has splits.*: \{name: plan\(part\) for name, part in") as error:
        bs.plan(splits(train, test))
    assert error.value.field == "split"
    with pytest.raises(InvalidValueError, match="shards cannot be given for a request with splits"):
        generate(splits(train, test), tmp_path / "other", workers=1, shards=(0, 1))


def test_splits_share_no_picture(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "again.png").write_bytes((pictures / "photo1.png").read_bytes())
    words = "The splits 'train' and 'test' share a picture: photo1.png and again.png have the same content"
    with pytest.raises(InvalidValueError, match=words):
        generate(splits(pictures, tmp_path / "again.png"), tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InvalidValueError, match=r"share a picture: both use photo0.png\."):
        generate(splits(pictures, pictures), tmp_path / "out", workers=1)


def test_the_expected_digest_is_held(pictures: Path, tmp_path: Path) -> None:
    request = DatasetRequest(sources=pictures, recipe="clean", count=2, size_px=32)
    made = generate(request, tmp_path / "out", workers=1)
    right = {"draws": made.digest["draws"], "pixels": made.digest["pixels"], "environment": made.environment}
    assert generate(request.replace(digest=right), tmp_path / "out", workers=1).notes == made.notes
    with pytest.raises(DatasetError, match=r"has the digest of draws .*, but its request expects 0000"):
        generate(request.replace(digest={**right, "draws": "0" * 64}), tmp_path / "out", workers=1)
    with pytest.raises(DatasetError, match=r"has the digest of pixels .*, but its request expects 0000") as caught:
        generate(request.replace(digest={**right, "pixels": "0" * 64}), tmp_path / "out", workers=1)
    assert caught.value.value == made.digest["pixels"]
    elsewhere = {**right, "pixels": "0" * 64, "environment": "1" * 64}
    (note,) = generate(request.replace(digest=elsewhere), tmp_path / "out", workers=1).notes
    assert "the digest of pixels differs" in note


def test_summary_and_license_stand_in_the_card(pictures: Path, tmp_path: Path) -> None:
    request = DatasetRequest(
        sources=pictures, recipe="clean", count=1, size_px=32, summary="Mine of all", license="CC0-1.0"
    )
    generate(request, tmp_path / "out", workers=1)
    card = (tmp_path / "out" / "README.md").read_text()
    assert 'license: "CC0-1.0"' in card
    assert "Mine of all" in card
    assert bs.open_dataset(tmp_path / "out").spec.license == "CC0-1.0"


def test_a_request_without_a_count_has_no_end(pictures: Path) -> None:
    request = DatasetRequest(sources=pictures, recipe="clean", size_px=32)
    assert OnlineDataset(request, workers=1).endless
    with pytest.raises(InvalidValueError, match="count is missing"):
        plan(request)
