from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

import blursynth as bs
from blursynth import dataset
from blursynth.errors import DatasetError


def test_samples_come_with_their_draw(made: Path) -> None:
    data = bs.open_dataset(made)
    assert len(data) == 11
    assert data.finished
    sample = data[7]
    assert sample.sharp.shape == sample.blurred.shape == (32, 32, 3)
    assert sample.sharp.dtype == np.uint8
    assert sample.index == 7
    assert sample.draw == data.recipe.sample(bs.Frame(np.zeros((3, 32, 32)), "display"), seed=5, index=7)
    assert sample.draw.to_dict() == sample.record["draw"]
    assert sample.source in {s.name for s in data.spec.sources}
    assert sample.window.size == 32
    np.testing.assert_array_equal(data[-4].blurred, sample.blurred)
    assert [s.index for s in data[8:]] == [8, 9, 10]
    assert [s.index for s in data] == list(range(11))
    for outside in (11, -12):
        with pytest.raises(IndexError):
            data[outside]


def test_our_reader_and_zarr_agree(made: Path) -> None:
    data = bs.open_dataset(made)
    group = zarr.open_group(made, mode="r")
    order = [10, 0, 5, 5, 3]
    batch = data.batch(order)
    assert batch.indices == tuple(order)
    for name in ("sharp", "blurred", "kernel", "params"):
        whole = np.asarray(group[name][:])
        assert whole.shape[0] == 11
        np.testing.assert_array_equal(data.array(name, order), whole[order])
        assert group[name].metadata.dimension_names[0] == "sample"
    np.testing.assert_array_equal(batch.sharp, np.asarray(group["sharp"][:])[order])
    np.testing.assert_array_equal(batch.blurred[2], data[5].blurred)


def test_kernels_and_parameters_are_those_of_the_draw(made: Path) -> None:
    data = bs.open_dataset(made)
    columns, table = data.params()
    assert "lens.sigma_px" in columns
    assert "sensor.seed" not in columns
    for sample in data:
        assert table[sample.index][columns.index("lens.sigma_px")] == sample.draw["lens"].sigma_px
        assert table[sample.index][columns.index("jpeg.quality")] == sample.draw["jpeg"].quality
        dense = sample.draw["lens"].point_spread().to_dense()
        edge = (33 - len(dense)) // 2
        np.testing.assert_allclose(sample.kernel, np.pad(dense, edge), atol=1e-7)


def test_a_plain_zarr_reader_needs_no_blursynth(made: Path) -> None:
    script = """
import sys, json, numpy, zarr
sys.modules["blursynth"] = None  # an import of it would fail
group = zarr.open_group(sys.argv[1], mode="r")
sharp, blurred = group["sharp"], group["blurred"]
print(json.dumps([sharp.shape, str(sharp.dtype), sharp.metadata.dimension_names, int(sharp[3].sum()),
                  int(blurred[10].sum()), dict(group.attrs), group["params"].attrs["columns"]]))
"""
    # Isolated, and away from the checkout, so that nothing of this package can be picked up by accident.
    result = subprocess.run(
        [sys.executable, "-I", "-c", script, str(made)], capture_output=True, text=True, check=True, cwd=made
    )
    shape, dtype, names, third, tenth, attributes, columns = json.loads(result.stdout)
    data = bs.open_dataset(made)
    assert (shape, dtype, names) == ([11, 32, 32, 3], "uint8", ["sample", "row", "column", "channel"])
    assert (third, tenth) == (int(data[3].sharp.sum()), int(data[10].blurred.sum()))
    assert attributes["blursynth"]["schema"] == 6
    assert tuple(columns) == data.spec.columns


def _sums(data: dataset.Dataset, index: int) -> int:
    return int(data[index].sharp.sum())


def test_it_crosses_into_spawned_processes_and_threads(made: Path) -> None:
    data = bs.open_dataset(made)
    expected = [_sums(data, i) for i in range(11)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: _sums(data, i), range(11))) == expected
    with multiprocessing.get_context("spawn").Pool(1) as processes:
        assert processes.starmap(_sums, [(data, 4)]) == [expected[4]]


def test_what_is_no_data_set(tmp_path: Path, made: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such folder"):
        bs.open_dataset(tmp_path / "none")
    with pytest.raises(DatasetError, match="is not a blursynth data set"):
        bs.open_dataset(tmp_path)
    for text, words in (
        ("{", "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ('{"format": "other"}', "is not a description of a blursynth data set"),
        ('{"format": "blursynth-dataset", "schema": 99}', "Update blursynth"),
        ('{"format": "blursynth-dataset", "schema": 1}', "Use the version that wrote it"),
        ('{"format": "blursynth-dataset", "schema": 6}', "is damaged"),
    ):
        (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(DatasetError, match=words):
            bs.open_dataset(tmp_path)
    document = json.loads((made / "dataset.json").read_text())
    document["request"]["seed"] += 1
    (tmp_path / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(DatasetError, match="was changed after it was written"):
        bs.open_dataset(tmp_path)


def test_kinds_that_are_not_known(made: Path) -> None:
    data = bs.open_dataset(made, kinds=(bs.kinds.Decode,))
    assert data[0].sharp.shape == (32, 32, 3)  # pixels need no kinds
    with pytest.raises(bs.RecipeError, match="There is no kind 'gaussian_blur'"):
        _ = data[0].draw


def test_the_data_card_and_the_catalog_entry(made: Path) -> None:
    card = (made / "README.md").read_text()
    head, _, body = card.removeprefix("---\n").partition("\n---\n")
    assert "task_categories:" in head
    assert "n<1K" in head
    data = bs.open_dataset(made)
    for words in (data.digest["pixels"], data.digest["draws"], data.spec.sha256(), "gaussian_blur", "not stated"):
        assert words in body
    croissant = json.loads((made / "croissant.json").read_text())
    assert croissant["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    names = {f["@id"] for f in croissant["distribution"]}
    assert {"sharp", "blurred", "kernel", "params", "draws", "dataset.json", "README.md"} == names


@pytest.mark.parametrize("at_a_time", [1, 3000, 2**24])
def test_all_records_are_those_one_by_one(made: Path, at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the bytes that are read at a time hold no whole line, some, or all of a shard."""
    monkeypatch.setattr("blursynth.dataset.sample_records._READ_BYTES", at_a_time)
    opened = bs.open_dataset(made)
    assert list(opened.records()) == [opened.record(i) for i in range(len(opened))]
