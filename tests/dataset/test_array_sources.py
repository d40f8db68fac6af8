"""Data sets made of the sharp pictures of other data sets, and of plain zarr arrays."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import blursynth as bs
from blursynth import dataset
from blursynth.dataset import scan_sources
from blursynth.dataset.files import sealed
from blursynth.dataset.schema import load_spec
from blursynth.dataset.zarr_pictures import ZarrPictures
from blursynth.errors import DatasetError, InvalidValueError, PictureError
from blursynth.io.object_store import ObjectPath


@pytest.fixture(scope="session")
def recipe() -> bs.Recipe:
    """With a short reach, since crops of crops become small."""
    blur = bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.3, 0.8))
    return bs.Recipe([("decode", bs.kinds.Decode()), ("lens", blur), ("encode", bs.kinds.Encode())], name="gentle")


def request_for(sources: Any, recipe: bs.Recipe, **more: Any) -> dataset.DatasetRequest:
    given = {"sources": sources, "recipe": recipe, "count": 7, "size_px": 24, "seed": 5, "shard_length": 3}
    return dataset.DatasetRequest(**{**given, **more})


@pytest.fixture(scope="session")
def rights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rights") / "who.csv"
    path.write_text(
        "name,license,attribution,url\nphoto0.png,CC BY 4.0,Jane Doe,https://example.org/0\nphoto1.png,CC0,,\n"
    )
    return path


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory, pictures: Path, recipe: bs.Recipe, rights: Path) -> Path:
    """A data set of 9 pairs of three photographs; tests must not change it."""
    out = tmp_path_factory.mktemp("first") / "first"
    request = request_for(
        pictures, recipe, count=9, size_px=64, shard_length=4, licenses=rights, license="CC BY-SA 4.0"
    )
    dataset.generate(request, out, workers=1)
    return out


def test_sharp_pictures_with_the_provenance_of_their_photographs(
    first: Path, recipe: bs.Recipe, tmp_path: Path
) -> None:
    scan = scan_sources(first)
    pairs = dataset.open_dataset(first)
    assert sorted(s.name for s in scan.usable) == [f"first/{i:06d}" for i in range(9)]
    assert [s.sha256 for s in scan.usable] == sorted(s.sha256 for s in scan.usable)
    for source in scan.usable:
        sample = pairs[int(source.name[-6:])]
        assert source.sha256 == hashlib.sha256(sample.sharp.tobytes()).hexdigest() == sample.record["sha256"]["sharp"]
        assert (source.original, source.original_sha256) == (sample.source, sample.record["source_sha256"])
    about = {s.original: (s.license, s.attribution, s.url) for s in scan.usable}
    assert about == {
        "photo0.png": ("CC BY 4.0", "Jane Doe", "https://example.org/0"), "photo1.png": ("CC0", "", ""),
        "deep/photo2.png": ("CC BY-SA 4.0", "", ""),  # that of the whole data set, where its photograph has none
    }  # fmt: skip

    # What is made of them has the pixels of crops that were written as files, in a chain as long as you like.
    second, third = tmp_path / "second", tmp_path / "third"
    dataset.generate(request_for(first, recipe, size_px=40), second, workers=1, shards=(0, 1))
    assert dataset.resume(second, workers=2).finished  # in other processes, which open the data set by themselves
    dataset.generate(request_for(second, recipe, count=3, size_px=16), third, workers=1)
    assert json.loads((second / "dataset.json").read_text())["schema"] == 10
    for out in (second, third):
        assert dataset.verify(out, deep=True, replay=7).ok
    for sample in dataset.open_dataset(third):
        before = dataset.open_dataset(second)[int(sample.source.removeprefix("second/"))]
        photograph = pairs[int(before.source.removeprefix("first/"))]
        assert sample.record["original"] == before.record["original"] == photograph.source
        assert sample.record["original_sha256"] == photograph.record["source_sha256"]
        assert sample.record.get("attribution", "") == photograph.record.get("attribution", "")
        assert sample.license == (photograph.license or "CC BY-SA 4.0")


def test_the_pixels_are_those_of_the_sharp_pictures(first: Path, tmp_path: Path) -> None:
    nothing = bs.Recipe([("jpeg", bs.kinds.Identity())], name="nothing")
    dataset.generate(request_for(first, nothing, size_px=64, count=9), tmp_path / "again", workers=1)
    pairs = dataset.open_dataset(first)
    for sample in dataset.open_dataset(tmp_path / "again"):
        assert np.array_equal(sample.blurred, pairs[int(sample.source.removeprefix("first/"))].sharp)


def test_parts_of_one_photograph_are_on_one_side(
    first: Path, pictures: Path, recipe: bs.Recipe, tmp_path: Path
) -> None:
    halves = tuple(dataset.Split(name=n, share=s, count=2) for n, s in (("train", 0.625), ("validation", 0.375)))
    both = request_for((str(pictures), str(first)), recipe, count=None, split=halves)
    dataset.generate(both, tmp_path / "split", workers=1)
    sides: dict[str, set[str]] = {}
    for half in halves:
        spec = dataset.open_dataset(tmp_path / "split" / half.name).spec
        for source in spec.sources:  # a photograph and the crops of it
            sides.setdefault(source.original_sha256 or source.sha256, set()).add(half.name)
    assert len(sides) == 3
    assert all(len(side) == 1 for side in sides.values())

    own = (
        dataset.Split(name="train", sources=str(pictures), count=2),
        dataset.Split(name="validation", sources=str(first), count=2),
    )
    with pytest.raises(InvalidValueError, match="are or show parts of one photograph"):
        dataset.generate(request_for((), recipe, count=None, split=own), tmp_path / "leak", workers=1)


def test_damaged_samples_are_left_out_and_a_data_set_is_used_where_it_is_named(
    first: Path, pictures: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    for path in first.rglob("*"):
        if path.is_file():
            (damaged / path.relative_to(first)).parent.mkdir(parents=True, exist_ok=True)
            (damaged / path.relative_to(first)).write_bytes(path.read_bytes())
    shard = damaged / "sharp" / "c" / "1" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[40] ^= 1  # the first chunk of the shard: sample 4
    shard.write_bytes(data)
    line = (damaged / "draws" / "000002.jsonl").read_bytes()
    (damaged / "draws" / "000002.jsonl").write_bytes(line.replace(b"photo", b"phot0"))  # the only sample of the last
    scan = scan_sources(damaged)
    assert {s.name for s in scan.usable} == {f"damaged/{i:06d}" for i in range(8) if i != 4}
    assert [s.name for s in scan.skipped] == ["damaged/000004", "damaged/000008"]
    assert "chunk 0 of the shard is damaged" in scan.skipped[0].why
    assert "record of sample 8 is damaged" in scan.skipped[1].why

    assert not scan_sources([tmp_path, pictures]).usable[0].original  # found in a folder, it may be made of the others
    assert {s.original for s in scan_sources([tmp_path / "damaged", pictures]).usable} == {
        "", "deep/photo2.png", "photo0.png", "photo1.png"
    }  # fmt: skip
    (tmp_path / "some.txt").write_text("damaged\n")
    assert len(scan_sources(tmp_path / "some.txt").usable) == 7

    (damaged / "index.json").unlink()
    with pytest.raises(PictureError, match=r"damaged: is not finished \(3 of 3 shards\)"):
        scan_sources(damaged)
    with pytest.raises(PictureError, match="is an array of a data set"):
        scan_sources(first / "sharp")


def test_a_changed_sample_is_not_used(first: Path, recipe: bs.Recipe, pictures: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    dataset.generate(request_for(pictures, recipe, size_px=48, seed=1), source, workers=1)
    dataset.generate(request_for(source, recipe), out, workers=1)
    assert dataset.replay(out, 3).equal
    for path in sorted(source.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    dataset.generate(request_for(pictures, recipe, size_px=48, seed=2), source, workers=1)
    with pytest.raises(DatasetError, match="not the picture that was scanned"):
        dataset.replay(out, 3)
    elsewhere = tmp_path / "elsewhere" / "source"
    elsewhere.parent.mkdir()
    source.rename(elsewhere)
    with pytest.raises(DatasetError, match="cannot be read"):
        dataset.replay(out, 3)
    with pytest.raises(DatasetError, match="not the picture that was scanned"):  # found, by the name of its folder
        dataset.replay(out, 3, source_root=elsewhere.parent)


def test_light_and_a_data_set_that_states_too_much(recipe: bs.Recipe, tmp_path: Path) -> None:
    """Light that is a little negative, as after demosaicing, is what its record states, and used as if it were 0."""
    light = photographs("float32", (1, 80, 90, 3)) / 4
    light[0, ::8] = 0  # whose noise has both signs
    sensor = bs.kinds.Sensor(full_well_e=5000.0, read_noise_e=2.0, seed=3)
    noisy = bs.Recipe(
        [("sensor", sensor), ("develop", bs.kinds.Develop())], name="noisy", target=bs.ShortExposure(noise=1.0)
    )
    array = write_array(tmp_path / "light", light)
    dataset.generate(request_for(array, noisy, size_px=32, count=3, shard_length=2), tmp_path / "pairs", workers=1)
    assert dataset.open_dataset(tmp_path / "pairs").batch(range(3)).sharp.min() < 0
    blur = bs.Recipe([("blur", bs.kinds.GaussianBlur(sigma_px=0.5))], name="blur")
    request = request_for(tmp_path / "pairs", blur, size_px=16, count=3)
    assert len(dataset.generate(request, tmp_path / "again", workers=1).skipped) == 0
    assert dataset.open_dataset(tmp_path / "again").batch(range(3)).blurred.min() >= 0

    spec = replace(load_spec(tmp_path / "pairs"), count=2**40, shard_length=2**20)
    (tmp_path / "pairs" / "dataset.json").write_bytes(spec.to_json())
    about = json.loads((tmp_path / "pairs" / "index.json").read_text())
    about.pop("sha256")
    (tmp_path / "pairs" / "index.json").write_bytes(sealed({**about, "request_sha256": spec.sha256()}))
    with pytest.raises(PictureError, match="1,099,511,627,776 pictures"):
        scan_sources(tmp_path / "pairs")


def test_from_object_storage(first: Path, recipe: bs.Recipe, tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    place = ObjectPath.parse("memory://array-sources/deep/first")
    for path in first.rglob("*"):
        if path.is_file():
            place.joinpath(*path.relative_to(first).parts).write(path.read_bytes())
    there, here = scan_sources(str(place)), scan_sources(first)
    assert there.usable == here.usable
    assert there.roots == {"first": "memory://array-sources/deep/first"}
    made = [
        dataset.generate(request_for(str(source), recipe), tmp_path / name, workers=1).digest
        for name, source in (("there", place), ("here", first))
    ]
    assert made[0] == made[1]
    assert dataset.replay(tmp_path / "there", 2, source_root="memory://array-sources/deep").equal
    with pytest.raises(PictureError, match=r"there is no data set and no zarr array.*\.urls"):
        scan_sources("memory://array-sources/deep")


# Plain arrays, as zarr-python writes them.


def photographs(dtype: str, shape: tuple[int, ...] = (5, 40, 56, 3)) -> np.ndarray:
    values = np.random.default_rng(3).random(shape)
    return (values * np.iinfo(dtype).max).astype(dtype) if dtype.startswith("u") else (4 * values).astype(dtype)


def write_array(path: Path, pictures: np.ndarray, **options: Any) -> Path:
    zarr.create_array(path, data=pictures, **options)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (1, 40, 56, 3)},
        {"chunks": (2, 16, 32, 3), "compressors": zarr.codecs.BloscCodec(cname="zstd")},
        {"chunks": (2, 16, 32, 2), "shards": (4, 32, 64, 4), "compressors": None},
        {"chunks": (3, 64, 64, 3), "compressors": None, "serializer": zarr.codecs.BytesCodec(endian="big"),
         "chunk_key_encoding": {"name": "v2", "separator": "."}},
        {"chunks": (1, 20, 56, 1), "compressors": [zarr.codecs.ZstdCodec(level=3), zarr.codecs.Crc32cCodec()]},
        {"chunks": (1, 20, 56, 1), "compressors": [zarr.codecs.Crc32cCodec(), zarr.codecs.ZstdCodec(level=3)]},
    ],
    ids=["zstd", "blosc", "shards", "big-endian", "checksum after", "checksum before"],
)  # fmt: skip
def test_every_layout_of_zarr(dtype: str, options: dict[str, Any], tmp_path: Path) -> None:
    pictures = photographs(dtype)
    opened = ZarrPictures(write_array(tmp_path / "a", pictures, **options))
    assert len(opened) == 5
    for index in (3, 0, 4):
        read = opened.read(index)
        assert read.dtype == ("float32" if "float" in dtype else dtype)
        np.testing.assert_array_equal(read, pictures[index].astype(read.dtype))


@pytest.mark.parametrize("shape", [(4, 3, 40, 56), (4, 40, 56, 1), (4, 1, 40, 56)])
def test_planar_and_gray(shape: tuple[int, ...], tmp_path: Path) -> None:
    pictures = photographs("uint8", shape)
    opened = ZarrPictures(write_array(tmp_path / "a", pictures))
    last = np.moveaxis(pictures, 1, -1) if shape[1] in (1, 3) else pictures
    np.testing.assert_array_equal(opened.read(2), np.broadcast_to(last[2], (40, 56, 3)))


def test_missing_chunks_hold_the_fill_value(tmp_path: Path) -> None:
    pictures = photographs("uint8")
    pictures[1, :20], pictures[2] = 7, 7
    options = {"chunks": (1, 20, 56, 3), "fill_value": 7, "config": {"write_empty_chunks": False}}
    opened = ZarrPictures(write_array(tmp_path / "a", pictures, **options))
    np.testing.assert_array_equal(opened.read(1), pictures[1])
    with pytest.raises(PictureError, match="never written"):
        opened.read(2)


def test_a_data_set_of_a_plain_array(recipe: bs.Recipe, tmp_path: Path) -> None:
    about = {"license": "CC0", "author": "Jane Doe", "anything": [1]}
    array = write_array(tmp_path / "photos.zarr", photographs("uint8"), attributes=about, chunks=(2, 40, 56, 3))
    dataset.generate(request_for(array, recipe, size_px=24), tmp_path / "out", workers=1)
    assert dataset.verify(tmp_path / "out", replay=3).ok
    records = list(dataset.open_dataset(tmp_path / "out").records())
    assert {r["source"] for r in records} == {f"photos.zarr/{i:06d}" for i in range(5)}
    assert all((r["license"], r["attribution"]) == ("CC0", "Jane Doe") for r in records)
    assert all("original" not in r for r in records)
    light = write_array(tmp_path / "light.zarr", photographs("float32"))
    assert {s.encoding for s in scan_sources(light).usable} == {"linear"}
    unusual = photographs("float64")
    unusual[0, 3, 4, 1], unusual[1, 2, 2, 2], unusual[2] = np.nan, 1e300, -1
    skipped = scan_sources(write_array(tmp_path / "unusual", unusual)).skipped
    assert [s.name for s in skipped] == ["unusual/000000", "unusual/000001", "unusual/000002"]
    assert all(word in s.why for s, word in zip(skipped, ["NaN", "infinite", "negative"], strict=True))


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("shape", [2**39, 40, 56, 3], "549,755,813,888 pictures"),
        ("shape", [5, 2**20, 2**20, 3], "megapixels"),
        ("shape", [5, 40, 56, 4], "neither"),
        ("shape", [5, 40, 56], "neither"),
        ("shape", [0, 40, 56, 3], "greater than or equal to 1"),
        ("data_type", "int8", "data_type"),
        ("data_type", "object", "data_type"),
        ("fill_value", 256, "missing parts"),
        ("chunk_grid.configuration.chunk_shape", [1, 2**20, 2**20, 3], "a chunk has 3,298,534,883,328 bytes"),
        ("chunk_grid.configuration.chunk_shape", [1, 1, 1, 1], "a picture 6,720 chunks"),
        ("chunk_grid.configuration.chunk_shape", [1, 0, 56, 3], "its chunks have the shape"),
        ("chunk_grid.configuration.chunk_shape", [1, True, 56, 3], "its chunks have the shape"),
        ("chunk_grid.configuration", {}, "chunk_shape"),
        ("chunk_grid.name", "rectilinear", "regular"),
        ("chunk_key_encoding.configuration.separator", "/../", "separated by"),
        ("chunk_key_encoding.name", "fsspec", "fsspec"),
        ("codecs", [{"name": "bytes"}, {"name": "gzip"}], "its codecs"),
        ("codecs", [{"name": "bytes"}, {"name": "zstd"}, {"name": "zstd"}], "its codecs"),
        ("codecs", [{"name": "pickle"}], "its codecs"),
        ("codecs", [], "its codecs"),
        ("codecs", [{"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 40, 56, 3]}}], "codecs"),
        ("codecs", [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [1, 40, 56, 2], "codecs": [{"name": "bytes"}],
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        }}], "whole chunks"),
        ("codecs", [{"name": "sharding_indexed", "configuration": {
            "chunk_shape": [1, 40, 56, 3], "codecs": [{"name": "bytes"}], "index_codecs": [3],
        }}], "no array of pictures"),
        ("zarr_format", 2, "zarr_format"),
        ("node_type", "group", "node_type"),
        ("storage_transformers", [{"name": "x"}], "regular"),
    ],
)  # fmt: skip
def test_hostile_metadata(path: str, value: Any, why: str, tmp_path: Path) -> None:
    array = write_array(tmp_path / "a", photographs("uint8"), chunks=(1, 40, 56, 3))
    about = json.loads((array / "zarr.json").read_text())
    *way, last = path.split(".")
    inside = about
    for part in way:
        inside = inside[part]
    inside[last] = value
    (array / "zarr.json").write_text(json.dumps(about))
    with pytest.raises(PictureError, match=why):
        scan_sources(array)


def test_a_group_that_is_no_data_set(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "group")
    with pytest.raises(PictureError, match="group: is no array of pictures that can be read: node_type"):
        scan_sources(tmp_path / "group")


@pytest.mark.parametrize("compressor", ["zstd", "blosc", "none", "shards"])
def test_every_flipped_bit_is_harmless(compressor: str, tmp_path: Path) -> None:
    """A picture is what it was, other pixels (there is no checksum), or an error; never a crash or memory."""
    pictures = photographs("uint8", (1, 12, 12, 3)) // 32
    codec = {"zstd": zarr.codecs.ZstdCodec(), "blosc": zarr.codecs.BloscCodec()}.get(compressor)
    shards = {"shards": pictures.shape} if compressor == "shards" else {}
    array = write_array(tmp_path / "a", pictures, chunks=(1, 6, 12, 3), compressors=codec, **shards)
    file = max((p for p in (array / "c").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = file.read_bytes()
    refused = 0
    for bit in range(0, 8 * len(data), 5):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        try:
            assert ZarrPictures(array).read(0).shape == (12, 12, 3)
        except PictureError:
            refused += 1
    assert (refused > 0) is (compressor != "none")
    for cut in (0, 1, 17, len(data) - 1):
        file.write_bytes(data[:cut])
        with pytest.raises(PictureError, match="is damaged"):
            ZarrPictures(array).read(0)
    file.write_bytes(data + b"\0" * 10**6)
    with pytest.raises(PictureError, match="is damaged"):
        ZarrPictures(array).read(0)
