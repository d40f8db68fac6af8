"""Data sets of HDR and linear sources, and of sources that are made smaller first."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import blursynth as bs
from blursynth import dataset
from blursynth.cli.app import app
from blursynth.errors import DatasetError, InvalidValueError, PictureError, RecipeError
from blursynth.physics.color import srgb_from_linear, srgb_to_linear


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth structure with an edge and some grain, [3, H, W] in 0..1."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    base = 0.5 + 0.3 * np.sin(rows / (5 + seed)) * np.cos(columns / 7) + 0.15 * (columns > width // 2)
    return np.clip(base + 0.05 * rng.standard_normal((3, height, width)), 0, 1)


def light(seed: int, height: int, width: int) -> np.ndarray:
    """Light with lamps beyond white, [H, W, 3] BGR as OpenCV writes it."""
    values = picture(seed, height, width).transpose(1, 2, 0) ** 2.2
    values[values > 0.6] *= 20.0
    return values.astype(np.float32)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two 8-bit pictures, a 16-bit one, a Radiance file and a floating-point TIFF."""
    folder = tmp_path_factory.mktemp("mixed")
    for seed in (0, 1):
        bs.write_picture(folder / f"photo{seed}.png", picture(seed, 100, 120))
    codes = np.rint(picture(2, 110, 100).transpose(1, 2, 0) * 65535).astype(np.uint16)
    (folder / "raw.png").write_bytes(cv2.imencode(".png", codes)[1].tobytes())
    (folder / "night.hdr").write_bytes(cv2.imencode(".hdr", light(3, 120, 110))[1].tobytes())
    (folder / "floats.tif").write_bytes(cv2.imencode(".tif", light(4, 100, 100))[1].tobytes())
    return folder


@pytest.fixture(scope="module")
def night() -> bs.Recipe:
    return bs.Recipe(
        [
            ("decode", bs.Random(bs.kinds.SigmoidDecode, exponent=bs.Uniform(0.6, 1.0))),
            ("lamps", bs.Random(bs.kinds.HighlightOffset, offset=bs.Uniform(0.25, 1.75))),
            ("meter", bs.Random(bs.kinds.Exposure, exposure_s=bs.Meter(0.5, 0.1, 0.2), metered_s=1.0)),
            ("blur", bs.Random(bs.kinds.LinearMotion, length_px=bs.Uniform(2.0, 8.0))),
            ("sensor", bs.Random(bs.kinds.Sensor, full_well_e=4000.0, mosaic="RGGB")),
            ("develop", bs.kinds.Develop()),
            ("encode", bs.kinds.Encode()),
        ],
        name="night",
    )


def request(out: Path) -> dict[str, object]:
    return json.loads((out / "dataset.json").read_text())["request"]


def test_light_and_codes_in_one_data_set(mixed: Path, night: bs.Recipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = dataset.generate(
        dataset.DatasetRequest(sources=mixed, recipe=night, count=13, size_px=32, seed=3, shard_length=5),
        out,
        workers=1,
    )
    assert {s["name"]: s.get("encoding") for s in request(out)["sources"]} == {
        "photo0.png": None,
        "photo1.png": None,
        "raw.png": None,
        "night.hdr": "linear",
        "floats.tif": "linear",
    }
    assert json.loads((out / "dataset.json").read_text())["schema"] == 6
    assert "2 of them hold linear light" in (out / "README.md").read_text()
    found = dataset.verify(out, deep=True, replay=13)
    assert found.ok, found.problems
    # Neither workers nor shards matter, nor being stopped in between.
    other = tmp_path / "other"
    arguments = {"count": 13, "size_px": 32, "seed": 3, "shard_length": 3}
    dataset.generate(dataset.DatasetRequest(sources=mixed, recipe=night, **arguments), other, workers=2, shards=(0, 2))
    assert dataset.resume(other, workers=1).digest == report.digest


def test_a_sample_of_light_is_made_of_the_files_numbers(mixed: Path, tmp_path: Path) -> None:
    """With nothing but a gain the pair is the window of the file, values beyond white included."""
    recipe = bs.Recipe([("decode", bs.kinds.Decode()), ("gain", bs.kinds.Exposure(exposure_s=0.5, metered_s=1.0))])
    out = tmp_path / "out"
    dataset.generate(
        dataset.DatasetRequest(
            sources=[mixed / "floats.tif", mixed / "photo0.png"], recipe=recipe, count=6, size_px=32
        ),
        out,
        workers=1,
    )
    opened = bs.open_dataset(out)
    seen = set()
    for i in range(6):
        record = opened.record(i)
        frame = bs.read_frame(mixed / record["source"])
        window = record["window"]
        part = recipe.sample(frame, seed=0, index=i)(
            frame.crop(window["top"], window["left"], window["size"], window["size"])
        )
        np.testing.assert_array_equal(opened[i].sharp, part.image[0].transpose(1, 2, 0))
        seen.add(record["source"])
        if record["source"] == "floats.tif":
            assert opened[i].sharp.max() > 2
    assert len(seen) == 2


def test_sixteen_bits_may_be_light(mixed: Path, night: bs.Recipe, tmp_path: Path) -> None:
    scan = dataset.scan_sources(mixed, linear=True)
    assert {s.name for s in scan.usable if s.is_linear} == {"raw.png", "night.hdr", "floats.tif"}
    (note,) = scan.notes
    assert re.fullmatch(
        r"2 of 5 pictures \(photo0\.png, \.\.\.\) have 8 bits and are read as display codes: "
        r"only 16-bit pictures can be linear\.",
        note,
    )
    with pytest.raises(InvalidValueError, match=r"changes nothing here: the picture \(photo0.png\) has 8 bits"):
        dataset.scan_sources(mixed / "photo0.png", linear=True)
    with pytest.raises(InvalidValueError, match=r"2 of 3 pictures \(photo0.png, ...\) have 8 bits, and none has 16"):
        dataset.scan_sources([mixed / "photo0.png", mixed / "photo1.png", mixed / "night.hdr"], linear=True)
    assert dataset.scan_sources(mixed / "night.hdr", linear=True).notes == ()
    recipe = bs.Recipe([("decode", bs.kinds.Decode()), ("identity", bs.kinds.Exposure(exposure_s=1.0, metered_s=1.0))])
    out = tmp_path / "out"
    dataset.generate(
        dataset.DatasetRequest(sources=mixed / "raw.png", recipe=recipe, count=1, size_px=32, linear=True),
        out,
        workers=1,
    )
    window = bs.open_dataset(out).record(0)["window"]
    frame = bs.read_frame(mixed / "raw.png", encoding="linear").crop(window["top"], window["left"], 32, 32)
    np.testing.assert_array_equal(bs.open_dataset(out)[0].sharp, frame.image[0].transpose(1, 2, 0))
    with pytest.raises(DatasetError, match=r"sources \(raw.png: whether it is light changed\)"):
        dataset.generate(
            dataset.DatasetRequest(sources=mixed / "raw.png", recipe=recipe, count=1, size_px=32), out, workers=1
        )


@pytest.mark.parametrize("name", ["photo0.png", "raw.png", "night.hdr"])
@pytest.mark.parametrize("factor", [2, 3])
def test_sources_are_made_smaller_in_linear_light(mixed: Path, name: str, factor: int, tmp_path: Path) -> None:
    recipe = bs.Recipe([("decode", bs.kinds.Decode()), ("identity", bs.kinds.Exposure(exposure_s=1.0, metered_s=1.0))])
    out = tmp_path / "out"
    dataset.generate(
        dataset.DatasetRequest(sources=mixed / name, recipe=recipe, count=3, size_px=24, downscale=factor),
        out,
        workers=1,
    )
    assert request(out)["downscale"] == factor
    assert f"downscaled by {factor}" in (out / "README.md").read_text()
    opened = bs.open_dataset(out)
    small = bs.downscale(bs.read_frame(mixed / name, dtype=np.float64), factor)
    for i in range(3):
        window = opened.record(i)["window"]
        expected = small.crop(window["top"], window["left"], 24, 24).image[0].transpose(1, 2, 0)
        sharp = opened[i].sharp.astype(np.float64)
        if name == "night.hdr":
            np.testing.assert_allclose(sharp, expected, rtol=1e-6)
        else:  # by codes of 16 bits
            assert np.abs(srgb_from_linear(sharp) - expected).max() <= 0.51 / 65535
    assert dataset.verify(out, deep=True, replay=3).ok


def test_means_of_codes_are_those_of_light(tmp_path: Path) -> None:
    """Columns of black and white make code .7354, not .5."""
    stripes = np.zeros((3, 64, 64))
    stripes[..., ::2] = 1.0
    bs.write_picture(tmp_path / "stripes.png", stripes)
    recipe = bs.Recipe([("decode", bs.kinds.Decode()), ("encode", bs.kinds.Encode())])
    dataset.generate(
        dataset.DatasetRequest(sources=tmp_path / "stripes.png", recipe=recipe, count=1, size_px=16, downscale=2),
        tmp_path / "out",
        workers=1,
    )
    assert (bs.open_dataset(tmp_path / "out")[0].sharp == 188).all()
    assert float(srgb_to_linear(188 / 255)) == pytest.approx(0.5, abs=0.01)


def test_maps_are_made_smaller_too(tmp_path: Path) -> None:
    for folder in ("photos", "depth", "labels"):
        (tmp_path / folder).mkdir()
    bs.write_picture(tmp_path / "photos" / "a.png", picture(0, 80, 90))
    rows, columns = np.mgrid[:80, :90]
    depth = np.where(columns > 45, 4.0, 1.0).astype(np.float32)
    np.save(tmp_path / "depth" / "a.npy", depth)
    np.save(tmp_path / "labels" / "a.npy", (rows > 40).astype(np.int32))
    maps = {"depth": tmp_path / "depth", "labels": tmp_path / "labels"}
    recipe = bs.Recipe(
        [("decode", bs.kinds.Decode()), ("blur", bs.kinds.GaussianBlur(sigma_px=0.7)), ("encode", bs.kinds.Encode())]
    )
    made = dataset.plan(
        dataset.DatasetRequest(sources=tmp_path / "photos", recipe=recipe, count=1, size_px=30, downscale=2, **maps),
        workers=1,
        trials=0,
    )
    from blursynth.dataset.render import Renderer

    renderer = Renderer(made.spec, recipe, made.scan.roots)
    placement = renderer.place(0)
    seen = renderer.around(placement.source, placement.window)
    margin = placement.window.reach or 0
    span = placement.window.size + 2 * margin
    corner = placement.window.top - margin, placement.window.left - margin
    small = bs.downscale(bs.read_frame(tmp_path / "photos" / "a.png", depth=tmp_path / "depth" / "a.npy"), 2)
    np.testing.assert_array_equal(seen.depth_m, small.crop(*corner, span, span).depth_m)
    assert set(np.unique(seen.depth_m)) <= {1.0, 4.0}
    assert seen.labels is not None
    np.testing.assert_array_equal(seen.full_size_px, [[40, 45]])


def test_pictures_that_become_too_small_are_skipped(mixed: Path, night: bs.Recipe, tmp_path: Path) -> None:
    scan = dataset.scan_sources(mixed, downscale=3, size_px=34)
    assert {s.name for s in scan.skipped} == {"photo0.png", "photo1.png", "raw.png", "floats.tif"}
    assert scan.skipped[0].why == "100 x 100 px (width x height) is smaller than 102 px, 34 px at 1/3"
    with pytest.raises(PictureError, match=r"120 x 100 px \(width x height\) is smaller than 240 px, 120 px at 1/2"):
        dataset.scan_sources(mixed / "photo0.png", downscale=2, size_px=120)
    with pytest.raises(InvalidValueError, match="downscale must be an integer 1 to 8, got 0"):
        dataset.scan_sources(mixed, downscale=0)
    request = dataset.DatasetRequest(sources=mixed, recipe=night, count=1, downscale=2)
    with pytest.raises(
        InvalidValueError, match=r"The scan belongs to another request: its downscale is 3, but the request has 2"
    ):
        dataset.generate(request, tmp_path / "out", scan=scan)


def test_recipes_and_sources_must_fit(mixed: Path, tmp_path: Path) -> None:
    blur, jpeg = bs.kinds.GaussianBlur(sigma_px=1.0), bs.kinds.Jpeg(quality=80)
    arguments = {"count": 2, "size_px": 24}
    with pytest.raises(RecipeError, match=r"takes linear frames, but .*png holds display codes"):
        dataset.generate(
            dataset.DatasetRequest(sources=mixed, recipe=bs.Recipe([blur]), **arguments), tmp_path / "a", workers=1
        )
    with pytest.raises(RecipeError, match=r"works on display codes, but .* holds light"):
        dataset.generate(
            dataset.DatasetRequest(sources=mixed, recipe=bs.Recipe([jpeg]), **arguments), tmp_path / "b", workers=1
        )
    chain = bs.Recipe([bs.kinds.GammaDecode(gamma=1.0), blur, bs.kinds.GammaEncode(gamma=1.0)])  # takes codes for light
    with pytest.raises(RecipeError, match=r"works on display codes, but .* holds light"):
        dataset.generate(dataset.DatasetRequest(sources=mixed, recipe=chain, **arguments), tmp_path / "b", workers=1)
    as_it_is = bs.Recipe([bs.kinds.Decode(), blur, bs.kinds.Encode()], target="source")
    with pytest.raises(RecipeError, match=r"gives the source itself as the sharp picture, but .* holds light"):
        dataset.generate(dataset.DatasetRequest(sources=mixed, recipe=as_it_is, **arguments), tmp_path / "b", workers=1)
    files = [mixed / "night.hdr", mixed / "floats.tif"]
    assert dataset.generate(
        dataset.DatasetRequest(sources=files, recipe=bs.Recipe([blur]), **arguments), tmp_path / "c", workers=1
    ).finished
    assert bs.open_dataset(tmp_path / "c")[0].sharp.dtype == np.float32
    dark = bs.Recipe([bs.kinds.Decode(), blur, bs.kinds.Encode(), jpeg])
    assert dataset.generate(
        dataset.DatasetRequest(sources=mixed, recipe=dark, **arguments), tmp_path / "d", workers=1
    ).finished


def test_a_source_that_was_changed_is_told(mixed: Path, night: bs.Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "night.hdr").write_bytes((mixed / "night.hdr").read_bytes())
    dataset.generate(
        dataset.DatasetRequest(sources=folder, recipe=night, count=2, size_px=24), tmp_path / "out", workers=1
    )
    (folder / "night.hdr").write_bytes(cv2.imencode(".hdr", light(9, 120, 110))[1].tobytes())
    found = dataset.verify(tmp_path / "out", replay=1)
    assert not found.ok
    assert "is not the picture that was scanned" in found.problems[0].what


def test_command_line(mixed: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    out = tmp_path / "out"
    common = ("generate", mixed, out, "-n", 4, "--size", 24, "-w", 1, "--linear", "--downscale", 2, "-r", "clean")
    dry = run(*common, "--dry-run")
    assert "Nothing was written" in dry
    note = "are read as display codes: only 16-bit pictures can be linear."
    assert note in dry
    assert note in run(*common)
    assert request(out)["downscale"] == 2
    assert sum(s.get("encoding") == "linear" for s in request(out)["sources"]) == 3
    assert "is sound" in run("verify", out, "--deep", "--replay", 2)
    run("replay", out, 1)
    run("inspect", out)
    result = CliRunner().invoke(app, ["generate", str(mixed), str(out), "-n", "4", "--size", "24", "-r", "clean"])
    assert "--downscale (2 there, 1 now)" in result.output.replace("\n", " "), result.output
