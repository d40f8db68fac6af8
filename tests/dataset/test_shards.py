"""Our shard files against zarr-python: byte for byte when written, value for value when read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec

from blursynth.dataset.shards import ShardReader, decode_chunk, encode_chunk, write_shard_file
from blursynth.errors import DatasetError


def by_zarr(folder: Path, samples: np.ndarray, length: int) -> Path:
    array = zarr.create_array(
        folder, shape=samples.shape, dtype=samples.dtype, chunks=(1, *samples.shape[1:]),
        shards=(length, *samples.shape[1:]),
        compressors=[
            BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=samples.dtype.itemsize), Crc32cCodec(),
        ],
        config={"write_empty_chunks": True},
    )  # fmt: skip
    array[:] = samples
    return folder.joinpath("c", *["0"] * samples.ndim)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("count", [5, 3])  # a full shard, and one whose last chunks are absent
def test_a_shard_equals_the_one_of_zarr(tmp_path: Path, dtype: str, count: int) -> None:
    samples = (np.random.default_rng(1).random((count, 17, 9, 3)) * 255).astype(dtype)
    samples[1] = 0  # an empty chunk must be stored too
    theirs = by_zarr(tmp_path / "zarr", samples, 5)
    ours = write_shard_file(tmp_path / "shard", [encode_chunk(s) for s in samples], 5)
    ours.commit()
    assert (tmp_path / "shard").read_bytes() == theirs.read_bytes()
    reader = ShardReader(theirs, 5, (17, 9, 3), np.dtype(dtype))
    order = [2, 0, 1, 2]
    np.testing.assert_array_equal(reader.read(order), samples[order])
    if count < 5:
        with pytest.raises(DatasetError, match="chunk 4 of the shard is not there"):
            reader.read([4])


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from(["uint8", "float32", "float64"]))
@settings(max_examples=25)
def test_read_of_write_is_the_identity(seed: int, size: int, dtype: str) -> None:
    values = (np.random.default_rng(seed).random((size, 3)) * 255).astype(dtype)
    out = np.empty_like(values)
    assert decode_chunk(encode_chunk(values), out)
    np.testing.assert_array_equal(out, values)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    samples = np.random.default_rng(2).integers(0, 256, (2, 6, 5, 3)).astype(np.uint8)
    file = write_shard_file(tmp_path / "shard", [encode_chunk(s) for s in samples], 2)
    file.commit()
    whole = file.path.read_bytes()
    for bit in range(0, len(whole) * 8, 7):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.path.write_bytes(damaged)
        with pytest.raises(DatasetError, match="damaged"):
            ShardReader(file.path, 2, (6, 5, 3), np.dtype("uint8")).read([0, 1])


@pytest.mark.parametrize("keep", [0, 3, 35, 60])
def test_a_shard_that_is_cut_off_is_found(tmp_path: Path, keep: int) -> None:
    file = write_shard_file(tmp_path / "shard", [encode_chunk(np.zeros((4, 4, 3), np.uint8))] * 2, 2)
    file.commit()
    file.path.write_bytes(file.path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match="damaged or cut off"):
        ShardReader(file.path, 2, (4, 4, 3), np.dtype("uint8"))


def test_a_missing_shard_is_an_error_not_zeros(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the shard is missing"):
        ShardReader(tmp_path / "none", 2, (4, 4, 3), np.dtype("uint8"))
