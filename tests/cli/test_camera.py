"""``blursynth camera`` as a user runs it: what it writes it can fit, for every camera; bad files are named."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import blursynth as bs
from blursynth.cli import app as cli
from blursynth.testing import pictures

matplotlib = pytest.importorskip("matplotlib")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["camera", *(str(a) for a in arguments)], prog_name="blursynth")


def passes(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", result.output), "control characters in a pipe"
    return result.stdout


def refuses(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split())


def numbers(text: str) -> dict[tuple[str, str], tuple[float, float, float]]:
    """(name, unit) -> value, low, high of the printed table."""
    rows = re.findall(
        r"^ *([A-Za-z][\w ]*?) {2,}(\S+(?: \S+)?) +([-\d.e+]+) +([-\d.e+]+) to ([-\d.e+]+)", text, re.MULTILINE
    )
    return {(name, unit): (float(v), float(low), float(high)) for name, unit, v, low, high in rows}


@pytest.fixture(scope="module")
def flats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("camera") / "flats"
    passes("flats", "sony-a7s2", out, "--iso", 1600, "--size", 128, "--exposures", 6, "--dark", 4)
    return out


def test_list_names_every_camera() -> None:
    text = passes("list")
    for name in bs.sensor_profile_names():
        assert re.search(rf"^ ?{name} ", text, re.MULTILINE)
    assert "ISO 100 to 25600" in text


@pytest.mark.parametrize("name", bs.sensor_profile_names())
def test_show_prints_a_file_that_loads(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(passes("show", name))
    assert bs.load_sensor_profile(tmp_path / "mine.toml") == bs.load_sensor_profile(name)
    assert passes("show", tmp_path / "mine.toml").startswith("# Datasheet")


def test_the_files_are_raw_frames_with_an_index(flats: Path) -> None:
    index = tomllib.loads((flats / "index.toml").read_text())
    assert len(index["dark"]) == 4
    assert len(index["flat"]) == 6
    assert (index["bit_depth"], index["pattern"]) == (14, "RGGB")
    raw = np.asarray(Image.open(flats / index["flat"][-1][0]))
    assert raw.dtype == np.uint16
    assert raw.shape == (128, 128)
    assert raw.max() > 8000
    assert index["sensor"]["gain_dn_per_e"] == pytest.approx(bs.load_sensor_profile("sony-a7s2").gain.at_iso(1600))
    assert {p.name for p in flats.iterdir()} == {
        "index.toml",
        *index["dark"],
        *index["flat"][0],
        *(f for pair in index["flat"][1:] for f in pair),
    }


CASES = [
    (name, option, value)
    for name in bs.sensor_profile_names()
    for camera in [bs.load_sensor_profile(name)]
    for option, value in (
        [("--iso", iso) for iso in (camera.iso_range[0], camera.iso_range[1])]
        if camera.iso_range
        else [
            ("--gain", round(gain, 3))
            for gain in (camera.gain_range_dn_per_e[0] + 0.1, camera.gain_range_dn_per_e[1] - 0.1)
        ]
    )
]


@pytest.mark.parametrize(("name", "option", "value"), CASES)
def test_what_a_camera_wrote_is_recovered(name: str, option: str, value: float, tmp_path: Path) -> None:
    """Gain, read noise and black level of written files lie within the stated intervals, stretched to 5 sigma.

    How often they lie within the 95 % themselves is counted in tests/physics/test_photon_transfer.py.
    """
    passes("flats", name, tmp_path / "f", option, value, "--size", 128, "--exposures", 6, "--dark", 4, "--seed", 3)
    text = passes("fit", tmp_path / "f", "--output", tmp_path / "mine.toml", "--name", "mine")
    truth = bs.kinds.Sensor(**tomllib.loads((tmp_path / "f" / "index.toml").read_text())["sensor"], seed=0)
    found = numbers(text)
    offsets = (truth.red_offset_dn, truth.green_red_offset_dn, truth.green_blue_offset_dn, truth.blue_offset_dn)
    black = truth.black_level_dn + sum(offsets) / 4
    for key, expected in (
        (("gain", "DN/e-"), truth.dn_per_electron),
        (("read noise", "e-"), truth.read_noise_e),
        (("black level", "DN"), black),
    ):
        fit, low, high = found[key]
        assert low <= fit <= high
        assert abs(fit - expected) <= 5 / 1.96 * (high - low) / 2, (key, expected, found[key])
    # The written camera is the one that was printed, and makes the same sensor.
    camera = bs.load_sensor_profile(tmp_path / "mine.toml")
    again = bs.kinds.Sensor(**camera.draw(bs.Stream(0, 0, "x")), seed=0)
    assert again.dn_per_electron == pytest.approx(found["gain", "DN/e-"][0], rel=1e-3)
    assert again.read_noise_e == pytest.approx(found["read noise", "e-"][0], rel=1e-3)
    assert again.black_level_dn + again.blue_offset_dn == pytest.approx(
        truth.black_level_dn + offsets[3], abs=0.5 + 20 * truth.dn_per_electron * truth.read_noise_e / 128
    )
    assert (again.mosaic, again.bit_depth) == (truth.mosaic, truth.bit_depth)


def test_the_plot_shows_something(flats: Path, tmp_path: Path) -> None:
    passes("fit", flats, "--plot", tmp_path / "p.png", "--output", tmp_path / "c.toml")
    picture = np.asarray(Image.open(tmp_path / "p.png").convert("RGB")).astype(int)
    assert picture.shape[0] > 500
    blue = (picture[..., 2] - picture[..., 0] > 80).mean()
    orange = (picture[..., 0] - picture[..., 2] > 80).mean()
    assert blue > 0.001
    assert orange > 0.001


def test_without_matplotlib_the_extra_is_named(flats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "extra 'plot'" in refuses("fit", flats, "--plot", tmp_path / "p.png")
    passes("fit", flats)  # the rest needs none


def test_files_by_name_are_those_of_the_index(flats: Path) -> None:
    index = tomllib.loads((flats / "index.toml").read_text())
    darks = [part for name in index["dark"] for part in ("--dark", flats / name)]
    pairs = [flats / name for pair in index["flat"] for name in pair]
    one = passes("fit", *pairs, *darks, "--bit-depth", 14, "--pattern", "RGGB")
    assert numbers(one) == numbers(passes("fit", flats))
    assert numbers(one) == numbers(passes("fit", flats / "index.toml"))


def test_a_camera_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mono.toml").write_text(
        'name = "mono"\nbit_depth = 12\nblack_level_dn = 100\n[gain]\nfixed = 0.5\n[read_noise]\nfixed = 4.0\nunit = "e"\n'
    )
    text = passes("flats", tmp_path / "mono.toml", tmp_path / "f", "--size", 96, "--exposures", 4, "--dark", 3)
    assert "0.5 DN/e-" in text
    found = numbers(passes("fit", tmp_path / "f"))
    assert found["gain", "DN/e-"][0] == pytest.approx(0.5, rel=0.05)


def test_a_recipe_uses_what_was_fitted(flats: Path, tmp_path: Path) -> None:
    """The printed lines are those that a recipe takes."""
    text = passes("fit", flats, "--output", tmp_path / "mine.toml")
    printed = text[text.index("in the same folder, write\n") :].split("\n", 1)[1]
    lines = tomllib.loads(printed)
    assert set(lines) == {"camera", "gain_dn_per_e"}
    for step in ('kind = "sensor"\ncamera = "mine.toml"\n', f'kind = "sensor"\n{printed}'):
        (tmp_path / "r.toml").write_text(f"[[step]]\n{step}")
        drawn = bs.load_recipe(tmp_path / "r.toml").sample(pictures(), seed=0, index=0)["sensor"]
        assert drawn.dn_per_electron == pytest.approx(1.5, rel=0.05)  # type: ignore[attr-defined]
        assert drawn.dn_per_electron == pytest.approx(lines["gain_dn_per_e"], rel=1e-6)  # type: ignore[attr-defined]


def changed(flats: Path, folder: Path, change: Callable[[np.ndarray, int], np.ndarray], **index: Any) -> Path:
    """The folder with other flats; ``change`` gets the frame and the number of its pair."""
    pairs = tomllib.loads((flats / "index.toml").read_text())["flat"]
    broken(flats, folder, **index)
    for i, pair in enumerate(pairs):
        for name in pair:
            frame = np.asarray(Image.open(folder / name))
            Image.fromarray(np.asarray(change(frame, i), np.uint16)).save(folder / name)
    return folder


def test_pairs_that_are_saturated_are_left_out_and_told(flats: Path, tmp_path: Path) -> None:
    bright = changed(flats, tmp_path / "f", lambda frame, i: frame if i < 4 else np.full_like(frame, 16383))
    text = passes("fit", bright, "--plot", tmp_path / "p.png")
    assert "16 of 24 points fitted (not: 8 saturated), of 6 pairs" in text
    assert re.findall(r"left out: \S*flat-(\d+)-a.png and \S*flat-\1-b.png, saturated", text) == ["04", "05"]
    assert numbers(text)["gain", "DN/e-"][0] == pytest.approx(1.5, rel=0.05)
    cut = passes("fit", changed(flats, tmp_path / "cut", lambda frame, _: np.minimum(frame, 4000)))
    assert numbers(cut)["gain", "DN/e-"][0] == pytest.approx(1.5, rel=0.05)


# Files that are written


def test_nothing_is_overwritten_without_force(flats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera, plot = tmp_path / "c.toml", tmp_path / "p.png"
    (tmp_path / "file").touch()
    (tmp_path / "folder.toml").mkdir()
    for path in (camera, plot):
        path.write_text("mine")
    with monkeypatch.context() as patched:
        # No frame is read before.
        patched.setattr("blursynth.cameras.calibration.read_pixels", lambda path: pytest.fail(f"{path} was read"))
        pair = ("fit", "--noisy", flats / "dark-00.png", "--clean", flats / "dark-01.png")
        for begin in (("fit", flats), pair):
            for option, path, says in (
                ("--output", camera, "already exists. Existing files are not overwritten."),
                ("--plot", plot, "give --force to overwrite it"),
                ("--output", tmp_path / "none" / "c.toml", "none does not exist. Make the folder first"),
                ("--plot", tmp_path / "file" / "p.png", "is a file, not a folder"),
                ("--output", tmp_path / "folder.toml", "is a folder"),
            ):
                message = refuses(*begin, option, path)
                assert f"{option} {path}: " in message
                assert says in message
        patched.setattr("os.access", lambda path, mode, **_: mode != os.W_OK)
        assert "cannot be written" in refuses("fit", flats, "--output", tmp_path / "new.toml")
        assert "cannot be written" in refuses("fit", flats, "--output", camera, "--force")
    assert camera.read_text() == plot.read_text() == "mine"
    passes("fit", flats, "--output", camera, "--plot", plot, "--force")
    assert bs.load_sensor_profile(camera).name == "fitted camera"
    with Image.open(plot) as picture:
        assert picture.width > 100


# One noisy and one clean picture


def gradient() -> np.ndarray:
    rows, columns = np.mgrid[:200, :200] / 200
    return (0.04 + 0.7 * rows * (0.3 + 0.7 * columns)).astype(np.float32)


def test_a_raw_pair(tmp_path: Path) -> None:
    sensor = bs.kinds.Sensor(full_well_e=8000.0, read_noise_e=6.0, black_level_dn=300, bit_depth=14, seed=1)
    light = bs.Frame(gradient()[None, None], bs.Encoding.LINEAR)
    quiet = sensor.replace(shot_noise=False, read_noise_e=0.0)
    for name, one in (("noisy", sensor), ("clean", quiet)):
        Image.fromarray(one(light).image[0, 0].astype(np.uint16)).save(tmp_path / f"{name}.png")
    pair = ("--noisy", tmp_path / "noisy.png", "--clean", tmp_path / "clean.png")
    text = passes(
        "fit",
        *pair,
        "--bit-depth",
        14,
        "--black-level",
        300,
        "--output",
        tmp_path / "c.toml",
        "--plot",
        tmp_path / "p.png",
    )
    found = numbers(text)
    value, low, high = found["gain", "DN/e-"]
    assert abs(value - sensor.dn_per_electron) < 5 / 1.96 * (high - low) / 2
    value, low, high = found["read noise", "e-"]
    assert value == pytest.approx(6.0, abs=4.0)
    assert bs.load_sensor_profile(tmp_path / "c.toml").gain.fixed == pytest.approx(found["gain", "DN/e-"][0], rel=1e-3)
    assert (tmp_path / "p.png").exists()
    assert "--bit-depth and --black-level are needed" in refuses("fit", *pair)
    assert "24 of 24 levels of brightness fitted\n" in text


def test_levels_that_are_not_fitted_are_told_with_their_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the terminal and in the plot: dark ones are not called saturated."""
    sensor = bs.kinds.Sensor(full_well_e=8000.0, read_noise_e=60.0, black_level_dn=0, bit_depth=14, seed=1)
    light = bs.Frame(np.float32(gradient()[None, None] - 0.04), bs.Encoding.LINEAR)
    for name, one in (("noisy", sensor), ("clean", sensor.replace(shot_noise=False, read_noise_e=0.0))):
        Image.fromarray(one(light).image[0, 0].astype(np.uint16)).save(tmp_path / f"{name}.png")
    labels: list[str] = []
    from matplotlib.axes import Axes

    legend = Axes.legend

    def spy(self: Axes, *arguments: Any, **options: Any) -> Any:
        labels.extend(self.get_legend_handles_labels()[1])
        return legend(self, *arguments, **options)

    monkeypatch.setattr(Axes, "legend", spy)
    pair = ("--noisy", tmp_path / "noisy.png", "--clean", tmp_path / "clean.png")
    text = passes("fit", *pair, "--bit-depth", 14, "--black-level", 0, "--plot", tmp_path / "p.png")
    fitted, left = re.findall(r"(\d+) of 24 levels of brightness fitted \(not: (\d+) noise cut off at black\)", text)[0]
    assert int(fitted) + int(left) == 24
    assert [label for label in labels if "fit" in label] == [
        "95 % of the fit", "fit", "fitted", "not fitted: noise cut off at black",
    ]  # fmt: skip


def test_a_developed_pair_tells_an_apparent_noise(tmp_path: Path) -> None:
    sensor = bs.kinds.Sensor(full_well_e=600.0, read_noise_e=3.0, seed=1)
    light = bs.Frame(np.broadcast_to(gradient(), (1, 3, 200, 200)).copy(), bs.Encoding.LINEAR)
    for name, frame in (("noisy", bs.kinds.Develop()(sensor(light))), ("clean", light)):
        bs.write_picture(tmp_path / f"{name}.png", bs.kinds.Encode()(frame))
    pair = ("--noisy", tmp_path / "noisy.png", "--clean", tmp_path / "clean.png")
    text = passes("fit", *pair, "--output", tmp_path / "c.toml")
    assert "apparent gain" in text
    assert "electrons at white without a mosaic" in text
    # Without a mosaic the development keeps the noise as it is, so that what is apparent is true.
    assert 1 / numbers(text)["apparent gain", "per e-"][0] == pytest.approx(600, rel=0.1)
    camera = bs.load_sensor_profile(tmp_path / "c.toml")
    drawn = bs.kinds.Sensor(**camera.draw(bs.Stream(0, 0, "x")), seed=0)
    assert drawn.electrons_at_white == pytest.approx(600, rel=0.1)
    assert "of 24 levels of brightness fitted" in text
    (tmp_path / "r.toml").write_text('[[step]]\nkind = "sensor"\n' + text[text.index("  camera =") :])
    printed = bs.load_recipe(tmp_path / "r.toml").sample(pictures(), seed=0, index=0)["sensor"]
    assert printed.electrons_at_white == pytest.approx(600, rel=0.1)  # type: ignore[attr-defined]
    assert "are for raw pictures" in refuses("fit", *pair, "--bit-depth", 8)


# Bad input


def test_bad_options_are_refused(flats: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    for arguments, says in (
        (("flats", "sony", new), "Did you mean 'sony-a7s2'"),
        (("flats", "sony-a7s2", new, "--iso", 1e6), "must lie in 100 to 25600"),
        (("flats", "rsblur", new, "--iso", 100), "has no line in ISO"),
        (("flats", "pmrid", new, "--iso", 100, "--gain", 1), "not both"),
        (("flats", "pmrid", new, "--gain", 99), "must lie in"),
        (("flats", "pmrid", new, "--size", 8), "--size must be >= 32"),
        (("flats", "pmrid", new, "--dark", 1), "--dark must be >= 2"),
        (("flats", "pmrid", new, "--exposures", 1), "--exposures must be >= 2"),
        (("flats", "pmrid", flats), "is not empty"),
        (("show", "sony"), "There is no camera"),
        (("fit",), "There is nothing to fit"),
        (("fit", tmp_path), "needs an index.toml"),
        (("fit", flats, "--bit-depth", 12), "come from the index"),
        (("fit", flats, "--output", tmp_path / "c.json"), "must end in .toml"),
        (("fit", flats, "--plot", tmp_path / "c.svg"), "must end in .png"),
        (("fit", flats, "--pattern", "RGBG"), "--pattern must be one of"),
        (("fit", flats, "--noisy", flats / "dark-00.png"), "belong together"),
        (("fit", flats, "--black-level", 3), "dark frames show it"),
        (("fit", flats / "flat-00-a.png"), "Only"),
        (("fit", flats / "flat-00-a.png", flats / "flat-00-b.png"), "There are no dark frames"),
        (("fit", *[flats / "flat-00-a.png"] * 3, "--dark", flats / "dark-00.png"), "got 3 files"),
    ):
        assert says in refuses(*arguments), arguments
    assert not new.exists()


def broken(flats: Path, folder: Path, **changes: Any) -> Path:
    shutil.copytree(flats, folder)
    path = folder / "index.toml"
    values = {**tomllib.loads(path.read_text()), **changes}
    del values["sensor"]
    import tomli_w

    path.write_text(tomli_w.dumps({k: v for k, v in values.items() if v is not None}))
    return folder


def test_bad_pictures_are_refused(flats: Path, tmp_path: Path) -> None:
    eight = broken(flats, tmp_path / "eight")
    Image.new("L", (128, 128), 9).save(eight / "dark-01.png")
    assert "8-bit picture, not a raw frame" in refuses("fit", eight)
    (tmp_path / "index.toml").write_text("dark = [")
    assert "is not valid TOML" in refuses("fit", tmp_path / "index.toml")
    assert "needs bit_depth" in refuses("fit", broken(flats, tmp_path / "bits", bit_depth=None))
    same = ("--noisy", flats / "dark-00.png", "--clean", flats / "dark-00.png", "--bit-depth", 14, "--black-level", 512)
    assert "the same" in refuses("fit", *same)
