"""Data sets that are stored without compression hold the same samples, and are checked as the others are."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import zarr

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate, verify
from blursynth.errors import DatasetError, InvalidValueError


@pytest.fixture(scope="module")
def request_of_plain(pictures: Path, recipe: bs.Recipe) -> DatasetRequest:
    """The request of ``made``, uncompressed."""
    return DatasetRequest(
        sources=pictures, recipe=recipe, count=11, size_px=32, seed=5, shard_length=4, store=("kernel", "params"),
        kernel_size_px=33, codec="none",
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(request_of_plain: DatasetRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "set"
    generate(request_of_plain, out, workers=1)
    return out


def test_it_holds_the_same_samples(plain: Path, made: Path) -> None:
    data, compressed = bs.open_dataset(plain), bs.open_dataset(made)
    assert data.digest == compressed.digest
    group, order = zarr.open_group(plain, mode="r"), [10, 0, 5, 5, 3]
    for name in ("sharp", "blurred", "kernel", "params"):
        stored = data.array(name, order)
        np.testing.assert_array_equal(stored, compressed.array(name, order))
        np.testing.assert_array_equal(stored, np.asarray(group[name][:])[order])
    assert verify(plain, deep=True, replay=1).ok
    picture = plain / "sharp/c/0/0/0/0"
    assert picture.stat().st_size == 4 * (32 * 32 * 3 + 4) + 4 * 16 + 4


def test_what_older_versions_can_read_says_so(plain: Path, made: Path) -> None:
    compressed, uncompressed = (json.loads((out / "dataset.json").read_text()) for out in (made, plain))
    assert compressed["schema"] == 6
    assert "codec" not in compressed["request"]
    assert uncompressed["schema"] == 7
    assert (uncompressed["request"]["codec"], uncompressed["request"]["codecs"]) == ("none", ["crc32c"])


def test_another_codec_is_another_data_set(request_of_plain: DatasetRequest, plain: Path) -> None:
    with pytest.raises(DatasetError, match=r"codec \('none' there, 'lz4' now\)"):
        generate(request_of_plain.replace(codec="lz4"), plain, workers=1)
    with pytest.raises(InvalidValueError, match="codec"):
        request_of_plain.replace(codec="zstd")


@pytest.mark.parametrize("name", ["plain", "made"])
def test_several_threads_read_the_same(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, order = bs.open_dataset(request.getfixturevalue(name)), [7, 7, 0, 10, 4, 2, 9, 1]
    alone = data.batch(order, threads=1)
    monkeypatch.setattr(import_module("blursynth.dataset.reader"), "_SHARED_BYTES", 0)
    together = data.batch(order, threads=3)
    for one in ("sharp", "blurred"):
        np.testing.assert_array_equal(getattr(together, one), getattr(alone, one))
    for sample in data.__getitems__(order):
        np.testing.assert_array_equal(sample.blurred, data[sample.index].blurred)
        assert sample.record["index"] == sample.index
