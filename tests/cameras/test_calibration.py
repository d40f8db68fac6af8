"""Calibration: frames of a known sensor give its numbers back, and frames that were not taken well are named.

How often intervals hold the truth is counted in tests/physics/test_photon_transfer.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from PIL import Image

import blursynth as bs
from blursynth.cameras import FlatFields, calibrate_from_flats, calibrate_from_pair
from blursynth.errors import BlursynthError, InvalidValueError, PictureError

TRUTH = bs.kinds.Sensor(**bs.load_sensor_profile("sony-a7s2").draw(bs.Stream(0, 0, "camera"), iso=1600), seed=0)
SIDE = 96


def exposed(path: Path, light: float, seed: int) -> Path:
    frame = bs.Frame(np.full((1, 3, SIDE, SIDE), light, np.float32), bs.Encoding.LINEAR)
    Image.fromarray(TRUTH.replace(seed=seed)(frame).image[0, 0].astype(np.uint16)).save(path)
    return path


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> FlatFields:
    """Four dark frames and six pairs of flat fields."""
    folder = tmp_path_factory.mktemp("frames")
    dark = tuple(exposed(folder / f"dark-{i}.png", 0.0, 100 + i) for i in range(4))
    levels = enumerate(np.linspace(0.05, 0.9, 6))
    flat = tuple(
        (exposed(folder / f"flat-{i}-a.png", level, 2 * i), exposed(folder / f"flat-{i}-b.png", level, 2 * i + 1))
        for i, level in levels
    )
    return FlatFields(dark, flat, TRUTH.bit_depth, TRUTH.mosaic)


def changed(frames: FlatFields, folder: Path, change: Callable[[np.ndarray, int], np.ndarray]) -> FlatFields:
    """The same with other flats; ``change`` gets the frame and the number of its pair."""
    folder.mkdir()

    def one(path: Path, pair: int) -> Path:
        frame = np.asarray(Image.open(path))
        Image.fromarray(np.asarray(change(frame, pair), np.uint16)).save(folder / path.name)
        return folder / path.name

    return replace(frames, flat=tuple((one(a, i), one(b, i)) for i, (a, b) in enumerate(frames.flat)))


def message(call: Callable[[], object], kind: type[BlursynthError] = InvalidValueError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_flat_fields_give_the_sensor_back(frames: FlatFields) -> None:
    calls: list[tuple[int, int]] = []
    found = calibrate_from_flats(frames, name="mine", on_frame=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 16) for i in range(1, 17)]
    numbers = {(one.name, one.unit): one.estimate for one in found.measured}
    for key, expected in ((("gain", "DN/e-"), TRUTH.dn_per_electron), (("read noise", "e-"), TRUTH.read_noise_e)):
        estimate = numbers[key]
        assert abs(estimate.value - expected) <= 5 / 1.96 * (estimate.high - estimate.low) / 2, key
    assert found.profile.name == "mine"
    again = bs.kinds.Sensor(**found.profile.draw(bs.Stream(0, 0, "x")), seed=0)
    assert again.dn_per_electron == pytest.approx(numbers["gain", "DN/e-"].value, rel=1e-5)
    assert (again.mosaic, again.bit_depth) == (TRUTH.mosaic, TRUTH.bit_depth)
    assert len(found.signal) == len(found.variance) == len(found.se) == len(found.why_not) == 24
    assert found.notes[0].startswith(f"{found.why_not.count('')} of 24 points fitted")
    assert found.warnings == ()
    line, _ = found.fit.line(found.signal)
    used = [not why for why in found.why_not]
    np.testing.assert_allclose(found.variance[used], line[used], rtol=0.2)


def test_an_index_names_the_frames(frames: FlatFields, tmp_path: Path) -> None:
    good: dict[str, Any] = {
        "bit_depth": 14,
        "pattern": "RGGB",
        "dark": [str(path) for path in frames.dark],
        "flat": [[str(a), str(b)] for a, b in frames.flat],
    }
    path = tmp_path / "index.toml"

    def read(**changes: Any) -> FlatFields:
        values = {key: value for key, value in {**good, **changes}.items() if value is not None}
        path.write_text(tomli_w.dumps(values))
        return FlatFields.from_index(tmp_path)

    assert read() == frames
    assert FlatFields.from_index(path) == frames
    assert read(pattern=None).pattern is None
    cases: list[tuple[dict[str, Any], str]] = [
        ({"bit_depth": None}, "index.toml: needs bit_depth"),
        ({"bit_depth": True}, "index.toml: bit_depth must be an integer"),
        ({"pattern": "XYZ"}, "pattern must be 'RGGB', 'BGGR', 'GRBG' or 'GBRG'"),
        ({"dark": None}, "needs dark"),
        ({"flat": ["a.png"]}, "list of pairs of flat fields"),
    ]
    for changes, says in cases:
        assert says in message(lambda changes=changes: read(**changes)), changes  # type: ignore[misc]
    assert "needs an index.toml" in message(lambda: FlatFields.from_index(tmp_path / "none"))


def test_frames_that_do_not_go_together_are_refused(frames: FlatFields) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"dark": frames.dark[:1]}, "At least two dark frames"),
        ({"flat": frames.flat[:1]}, "At least two pairs"),
        ({"flat": ((frames.flat[0][0], frames.flat[4][1]), *frames.flat[1:])}, "flat-4-b.png are not a pair"),
        ({"flat": ((frames.flat[2][0],) * 2, *frames.flat[3:])}, "flat-2-a.png are the same picture"),
        ({"dark": frames.flat[0], "flat": (frames.dark[:2], frames.dark[2:])}, "as dark as the dark"),
        ({"bit_depth": 9}, "dark-0.png must hold values from 0 to 511"),
    ]
    for changes, says in cases:
        assert says in message(lambda changes=changes: calibrate_from_flats(replace(frames, **changes)))  # type: ignore[misc]


def test_saturated_flats_are_called_so(frames: FlatFields, tmp_path: Path) -> None:
    white = changed(frames, tmp_path / "white", lambda frame, _: np.full_like(frame, 16383))
    said = message(lambda: calibrate_from_flats(white))
    for part in ("All 6 pairs of flat fields are saturated", "flat-0-a.png", "at 16383 DN", "shorter exposures"):
        assert part in said
    low = changed(frames, tmp_path / "low", lambda frame, _: np.minimum(frame, 700))
    said = message(lambda: calibrate_from_flats(low))
    assert "at 700 DN" in said
    assert "top code of the given bit depth is 16383" in said


def test_pairs_that_are_saturated_are_left_out_and_noted(frames: FlatFields, tmp_path: Path) -> None:
    bright = changed(frames, tmp_path / "f", lambda frame, i: frame if i < 4 else np.full_like(frame, 16383))
    found = calibrate_from_flats(bright)
    assert "8 saturated" in found.notes[0]
    assert [note.split()[2].rpartition("/")[2] for note in found.notes[1:]] == ["flat-4-a.png", "flat-5-a.png"]
    assert found.why_not.count("saturated") == 8
    assert found.measured[0].estimate.value == pytest.approx(TRUTH.dn_per_electron, rel=0.05)


def test_a_pattern_that_was_not_given_and_uneven_light_are_seen(frames: FlatFields, tmp_path: Path) -> None:
    said = message(lambda: calibrate_from_flats(replace(frames, pattern=None)))
    assert "look like those of a Bayer sensor" in said
    assert "RGGB or BGGR" in said
    rows, columns = np.mgrid[:SIDE, :SIDE]
    shade = 0.6 + 0.4 * np.sin(rows / 9) * np.sin(columns / 9)
    uneven = changed(frames, tmp_path / "u", lambda frame, _: 514 + (frame - 514.0) * shade)
    assert any("is large: the surface was not evenly lit" in text for text in calibrate_from_flats(uneven).warnings)


def test_files_that_are_no_raw_frames_are_refused(frames: FlatFields, tmp_path: Path) -> None:
    Image.new("L", (SIDE, SIDE), 9).save(tmp_path / "eight.png")
    Image.fromarray(np.full((64, SIDE), 512, np.uint16)).save(tmp_path / "size.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, kind, says in (
        ("eight.png", PictureError, "8-bit picture, not a raw frame"),
        ("size.png", InvalidValueError, f"size.png: is {SIDE} x 64 px"),
        ("text.png", PictureError, "text.png"),
        ("none.png", PictureError, "none.png"),
    ):
        other = replace(frames, dark=(*frames.dark, tmp_path / name))
        assert says in message(lambda other=other: calibrate_from_flats(other), kind)  # type: ignore[misc]


# One noisy and one clean picture


def scene() -> bs.Frame:
    rows, columns = np.mgrid[:200, :200] / 200
    light = np.float32(0.04 + 0.7 * rows * (0.3 + 0.7 * columns))
    return bs.Frame(np.broadcast_to(light, (1, 3, 200, 200)).copy(), bs.Encoding.LINEAR)


def test_a_raw_pair_gives_gain_and_read_noise(tmp_path: Path) -> None:
    sensor = bs.kinds.Sensor(full_well_e=8000.0, read_noise_e=6.0, black_level_dn=300, bit_depth=14, seed=1)
    noisy, clean = tmp_path / "noisy.png", tmp_path / "clean.png"
    for path, one in ((noisy, sensor), (clean, sensor.replace(shot_noise=False, read_noise_e=0.0))):
        Image.fromarray(one(scene()).image[0, 1].astype(np.uint16)).save(path)
    found = calibrate_from_pair(noisy, clean, bit_depth=14, black_level_dn=300)
    gain, _, read_e = (one.estimate for one in found.measured)
    assert abs(gain.value - sensor.dn_per_electron) < 5 / 1.96 * (gain.high - gain.low) / 2
    assert read_e.value == pytest.approx(6.0, abs=4.0)
    assert found.profile.gain.fixed == pytest.approx(gain.value, rel=1e-5)
    assert found.profile.black_level_dn == 300
    assert found.unit == "DN"
    assert "bit_depth and black_level_dn are needed" in message(lambda: calibrate_from_pair(noisy, clean))


def test_a_developed_pair_gives_an_apparent_noise(tmp_path: Path) -> None:
    sensor = bs.kinds.Sensor(full_well_e=600.0, read_noise_e=3.0, seed=1)
    noisy, clean = tmp_path / "noisy.png", tmp_path / "clean.png"
    for path, frame in ((noisy, bs.kinds.Develop()(sensor(scene()))), (clean, scene())):
        bs.write_picture(path, bs.kinds.Encode()(frame))
    found = calibrate_from_pair(noisy, clean)
    assert found.measured[0].name == "apparent gain"
    # Without a mosaic the development keeps the noise as it is, so that what is apparent is true.
    assert 1 / found.measured[0].estimate.value == pytest.approx(600, rel=0.1)
    drawn = bs.kinds.Sensor(**found.profile.draw(bs.Stream(0, 0, "x")), seed=0)
    assert drawn.electrons_at_white == pytest.approx(600, rel=0.1)
    assert "electrons at white without a mosaic" in found.notes[1]
    assert "are for raw pictures" in message(lambda: calibrate_from_pair(noisy, clean, bit_depth=8))


def test_pictures_that_are_no_pair_are_refused(frames: FlatFields, tmp_path: Path) -> None:
    colors = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, side in zip(colors, (100, 90), strict=True):
        Image.fromarray(np.random.default_rng(side).integers(0, 255, (side, 100, 3), np.uint8)).save(path)
    for clean, says in ((colors[1], "one size"), (frames.dark[0], "different bit depths"), (colors[0], "the same")):
        assert says in message(lambda clean=clean: calibrate_from_pair(colors[0], clean))  # type: ignore[misc]
