"""Our shard files against zarr-python: byte for byte when written, value for value when read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec

from blursynth.dataset import shards
from blursynth.dataset.schema import ArraySpec, Spec, store_files
from blursynth.dataset.shards import Codec, ShardReader, decode_chunk, encode_chunk, write_shard_file
from blursynth.errors import DatasetError


def compressors(codec: Codec, itemsize: int) -> list[BloscCodec | Crc32cCodec]:
    blosc = BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=itemsize)
    return [Crc32cCodec()] if codec == "none" else [blosc, Crc32cCodec()]


def by_zarr(folder: Path, samples: np.ndarray, length: int, codec: Codec) -> Path:
    array = zarr.create_array(
        folder, shape=samples.shape, dtype=samples.dtype, chunks=(1, *samples.shape[1:]),
        shards=(length, *samples.shape[1:]),
        compressors=compressors(codec, samples.dtype.itemsize),
        config={"write_empty_chunks": True},
    )  # fmt: skip
    array[:] = samples
    return folder.joinpath("c", *["0"] * samples.ndim)


@pytest.mark.parametrize("codec", ["lz4", "none"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("count", [5, 3])  # a full shard, and one whose last chunks are absent
def test_a_shard_equals_the_one_of_zarr(tmp_path: Path, dtype: str, count: int, codec: Codec) -> None:
    samples = (np.random.default_rng(1).random((count, 17, 9, 3)) * 255).astype(dtype)
    samples[1] = 0  # an empty chunk must be stored too
    theirs = by_zarr(tmp_path / "zarr", samples, 5, codec)
    ours = write_shard_file(tmp_path / "shard", [encode_chunk(s, codec) for s in samples], 5)
    ours.commit()
    assert (tmp_path / "shard").read_bytes() == theirs.read_bytes()
    reader = ShardReader(theirs, 5, (17, 9, 3), np.dtype(dtype), codec)
    order = [2, 0, 1, 2]
    np.testing.assert_array_equal(reader.read(order), samples[order])
    if count < 5:
        with pytest.raises(DatasetError, match="chunk 4 of the shard is missing"):
            reader.read([4])


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from(["uint8", "float32", "float64"]))
@settings(max_examples=25)
def test_read_of_write_is_the_identity(seed: int, size: int, dtype: str) -> None:
    values = (np.random.default_rng(seed).random((size, 3)) * 255).astype(dtype)
    out = np.empty_like(values)
    assert decode_chunk(encode_chunk(values), out)
    np.testing.assert_array_equal(out, values)


@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_every_flipped_bit_is_found(tmp_path: Path, codec: Codec) -> None:
    samples = np.random.default_rng(2).integers(0, 256, (2, 6, 5, 3)).astype(np.uint8)
    file = write_shard_file(tmp_path / "shard", [encode_chunk(s, codec) for s in samples], 2)
    file.commit()
    whole = file.path.read_bytes()
    for bit in range(0, len(whole) * 8, 7):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.path.write_bytes(damaged)
        with pytest.raises(DatasetError, match="damaged"):
            ShardReader(file.path, 2, (6, 5, 3), np.dtype("uint8"), codec).read([0, 1])


@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_a_shard_that_is_cut_off_while_it_is_read(tmp_path: Path, codec: Codec) -> None:
    file = write_shard_file(tmp_path / "shard", [encode_chunk(np.ones((40, 40, 3), np.uint8), codec)] * 2, 2)
    file.commit()
    reader = ShardReader(file.path, 2, (40, 40, 3), np.dtype("uint8"), codec)
    os.truncate(file.path, file.size // 4)
    with pytest.raises(DatasetError, match="chunk 1 of the shard is damaged"):
        reader.read([1])


@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_systems_without_preadv_read_the_same(tmp_path: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(3).integers(0, 256, (2, 40, 40, 3)).astype(np.uint8)
    file = write_shard_file(tmp_path / "shard", [encode_chunk(s, codec) for s in samples], 2)
    file.commit()
    monkeypatch.delattr(os, "preadv", raising=False)
    monkeypatch.setattr(shards, "_MOST_READ", 1000)
    reader = ShardReader(file.path, 2, (40, 40, 3), np.dtype("uint8"), codec)
    np.testing.assert_array_equal(reader.read([1, 0]), samples[[1, 0]])


@pytest.mark.parametrize("size", [5, 147, 149, 152, 2**40])
def test_an_uncompressed_chunk_of_another_size(tmp_path: Path, size: int) -> None:
    file = write_shard_file(tmp_path / "shard", [encode_chunk(np.zeros((7, 7, 3), np.uint8), "none")] * 2, 2)
    file.commit()
    whole = file.path.read_bytes()
    index = np.frombuffer(whole[-36:-4], "<u8").copy()
    index[1] = size
    file.path.write_bytes(whole[:-36] + forged(index.tobytes()))
    with pytest.raises(DatasetError, match="chunk 0 of the shard is"):
        ShardReader(file.path, 2, (7, 7, 3), np.dtype("uint8"), "none").read([0])


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


def forged(body: bytes) -> bytes:
    """A chunk with a valid checksum, whatever is in it."""
    return body + int(google_crc32c.value(body)).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (12, (1 << 20).to_bytes(4, "little")),  # more bytes than there are: blosc would read on in foreign memory
        (12, (2**32 - 1).to_bytes(4, "little")),
        (12, (20).to_bytes(4, "little")),
        (4, (1 << 20).to_bytes(4, "little")),  # more than there is room for
        (8, (0).to_bytes(4, "little")),
        (8, (1).to_bytes(4, "little")),  # blocks whose table would be longer than the chunk
        (8, (2**31).to_bytes(4, "little")),
        (3, b"\x00"),
        (3, b"\xff"),
        (2, b"\x00"),  # another codec, no shuffling
        (2, b"\x26"),  # "copied", and shorter than that
        (0, b"\x05"),
        (1, b"\x09"),
    ],
)
def test_a_header_that_lies_is_not_believed(tmp_path: Path, place: int, value: bytes) -> None:
    sample = np.zeros((32, 32, 3), np.uint8)
    body = bytearray(encode_chunk(sample)[:-4])
    body[place : place + len(value)] = value
    out = np.empty_like(sample)
    assert not decode_chunk(forged(bytes(body)), out)
    write_shard_file(tmp_path / "shard", [forged(bytes(body))], 1).commit()
    with pytest.raises(DatasetError, match="its crc32c or its compressed stream is wrong"):
        ShardReader(tmp_path / "shard", 1, (32, 32, 3), np.dtype("uint8")).read([0])


def test_the_shortest_chunk_that_claims_a_picture(tmp_path: Path) -> None:
    """24 bytes with a valid crc32c that claim 3,072 and a stream that goes on beyond the chunk."""
    body = bytes([2, 1, 0x24, 1]) + b"".join(n.to_bytes(4, "little") for n in (3072, 3072, 4096)) + bytes(4)
    assert len(forged(body)) == 24
    assert not decode_chunk(forged(body), np.empty((32, 32, 3), np.uint8))
    write_shard_file(tmp_path / "shard", [forged(body)], 1).commit()
    # Room for a sample is made only where the chunk can fill it.
    with pytest.raises(DatasetError, match="24 bytes cannot be 3000000000 bytes compressed"):
        ShardReader(tmp_path / "shard", 1, (1000, 1000, 3000), np.dtype("uint8")).read([0])


@pytest.mark.parametrize(("offset", "size"), [(0, 2**63), (2**64 - 2, 5), (2**63, 2**63), (1, 2**40), (10**15, 10)])
def test_an_index_that_points_elsewhere(tmp_path: Path, offset: int, size: int) -> None:
    file = write_shard_file(tmp_path / "shard", [encode_chunk(np.zeros((4, 4, 3), np.uint8))], 1)
    file.commit()
    data = file.path.read_bytes()[:-20]
    index = np.array([offset, size], "<u8").tobytes()
    file.path.write_bytes(data + forged(index))
    with pytest.raises(DatasetError, match="chunk 0 of the shard is"):
        ShardReader(file.path, 1, (4, 4, 3), np.dtype("uint8")).read([0])


@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_every_array_metadata_is_that_of_zarr(tmp_path: Path, codec: Codec) -> None:
    """What is written without zarr is, as JSON, what zarr-python writes for the same arrays."""
    arrays = (
        ArraySpec("sharp", (8, 8, 3), "uint8", ("row", "column", "channel")),
        ArraySpec("deep", (8, 8, 3), "uint16", ("row", "column", "channel")),
        ArraySpec("light", (8, 8, 3), "float32", ("row", "column", "channel")),
        ArraySpec("params", (2,), "float64", ("column",), whole=True),
    )
    spec = Spec(
        recipe={"step": []}, recipe_name="r", seed=0, count=11, size_px=8, shard_length=4, crops_per_source=1,
        arrays=arrays, columns=("a", "b"), sources=(), codec=codec,
    )  # fmt: skip
    about = {"schema": spec.schema, "dataset": "dataset.json", "recipe": "r", "count": 11}
    group = zarr.create_group(tmp_path / "zarr", attributes={"blursynth": about})
    for array in arrays:
        dtype = np.dtype(array.dtype)
        group.create_array(
            array.name, shape=(11, *array.shape), dtype=dtype, chunks=(4 if array.whole else 1, *array.shape),
            shards=(4, *array.shape), fill_value=np.nan if array.whole else 0,
            compressors=compressors(codec, dtype.itemsize),
            dimension_names=("sample", *array.dimensions),
            attributes={"columns": ["a", "b"]} if array.whole else {},
        )  # fmt: skip
    for name, data in store_files(spec).items():
        assert json.loads(data) == json.loads((tmp_path / "zarr" / name).read_bytes()), name
