"""Calibrated cameras: what their files say is what is drawn, in the units that their sources mean."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import blursynth as bs
from blursynth import dataset
from blursynth.cameras.profile import SensorProfile
from blursynth.errors import InvalidValueError, RecipeError
from blursynth.physics.radiometry import tukey_lambda_sd
from blursynth.recipe.schema import recipe_schema
from blursynth.records.streams import Stream
from blursynth.testing import pictures

FRAME = pictures(bs.Encoding.DISPLAY, batch=1, size_px=(32, 32))
ELD = ("canon-5d4", "canon-700d", "canon-70d", "nikon-d850", "sony-a7s2")

PLAIN = """
name = "mine"
bit_depth = 12
black_level_dn = 100
pattern = "GRBG"
quantum_efficiency = 0.5
[gain]
per_iso = 0.001
at_zero = 0.01
iso = [100, 3200]
[read_noise]
fixed = 3.0
unit = "e"
"""


def draws(name: str, count: int = 400, **setting: Any) -> dict[str, np.ndarray]:
    camera = bs.load_sensor_profile(name)
    rows = [camera.draw(Stream(5, i, "sensor"), **setting) for i in range(count)]
    numbers = [key for key, value in rows[0].items() if isinstance(value, int | float)]
    return {key: np.array([row[key] for row in rows], np.float64) for key in numbers}


def levels(name: str) -> float:
    return float(bs.load_sensor_profile(name).levels_dn)


# Files


def test_the_shipped_cameras() -> None:
    assert set(bs.sensor_profile_names()) == {*ELD, "pmrid", "realblur", "rsblur", "unprocessing"}


@pytest.mark.parametrize("name", bs.sensor_profile_names())
def test_a_file_is_the_record(name: str, tmp_path: Path) -> None:
    camera = bs.load_sensor_profile(name)
    assert camera.summary
    assert camera.source
    assert camera.license
    (tmp_path / "mine.toml").write_text(camera.to_toml())
    again = bs.load_sensor_profile(tmp_path / "mine.toml")
    assert again == camera
    assert again.sha256() == camera.sha256()
    assert SensorProfile.from_dict(json.loads(json.dumps(camera.to_dict()))) == camera


@pytest.mark.parametrize("name", bs.sensor_profile_names())
def test_every_draw_is_a_sensor_whose_white_is_the_top_code(name: str) -> None:
    camera = bs.load_sensor_profile(name)
    for i in range(50):
        fields = camera.draw(Stream(1, i, "x"))
        sensor = bs.kinds.Sensor(**fields, seed=i)
        assert camera.gain_range_dn_per_e[0] * 0.999 <= sensor.dn_per_electron <= camera.gain_range_dn_per_e[1] * 1.001
        assert sensor.dn_per_electron * sensor.electrons_at_white == pytest.approx(camera.levels_dn, rel=1e-8)
        assert sensor.full_well_e >= sensor.electrons_at_white
        assert np.sum(sensor.color_matrix, axis=1) == pytest.approx(1.0, abs=1e-8)
        assert camera.draw(Stream(1, i, "x")) == fields


# Units


@pytest.mark.parametrize("name", ELD)
def test_elds_scales_are_dn_after_the_gain(name: str) -> None:
    camera = bs.load_sensor_profile(name)
    iso = 800.0
    gain = camera.gain.at_iso(iso)
    drawn = draws(name, iso=iso)
    law = camera.tukey_lambda
    assert law is not None
    assert law.slope is not None
    assert drawn["gain_dn_per_e"] == pytest.approx(gain, rel=1e-6)
    # The scale in DN: the standard deviation in electrons times the gain, by that of the standard distribution.
    widths = np.array([tukey_lambda_sd(shape) for shape in drawn["read_noise_shape"]])
    scale_dn = drawn["read_noise_e"] * drawn["gain_dn_per_e"] / widths
    expected = law.slope * math.log(gain) + law.bias
    assert np.log(scale_dn).mean() == pytest.approx(expected, abs=5 * law.sd / math.sqrt(400))
    assert np.log(scale_dn).std() == pytest.approx(law.sd, rel=5 / math.sqrt(800))
    row = camera.row_noise
    assert row is not None
    assert row.slope is not None
    row_dn = drawn["row_noise_e"] * drawn["gain_dn_per_e"]
    assert np.log(row_dn).mean() == pytest.approx(row.slope * math.log(gain) + row.bias, abs=5 * row.sd / 20)
    # The scatter of one is not that of the other.
    assert abs(np.corrcoef(np.log(scale_dn), np.log(row_dn))[0, 1]) < 5 / math.sqrt(400)
    plain = draws(name, iso=iso, read_noise_model="gaussian")
    assert "read_noise_shape" not in plain
    normal = camera.read_noise
    assert normal.slope is not None
    assert np.log(plain["read_noise_e"] * gain).mean() == pytest.approx(
        normal.slope * math.log(gain) + normal.bias, abs=5 * normal.sd / 20
    )


@pytest.mark.parametrize("name", ELD)
def test_shapes_and_offsets_go_with_the_gain(name: str) -> None:
    camera = bs.load_sensor_profile(name)
    assert camera.iso_range is not None
    stops = round(math.log2(camera.iso_range[1] / camera.iso_range[0]))
    assert len(camera.level) == stops + 1
    for stop, level in enumerate(camera.level):
        drawn = draws(name, 40, iso=100.0 * 2**stop)
        assert set(drawn["read_noise_shape"]) == set(level.shape)
        assert set(drawn["green_blue_offset_dn"]) == {row[2] for row in level.offset_dn}


@pytest.mark.real_data
@pytest.mark.parametrize("name", ELD)
def test_the_numbers_are_those_of_eld(name: str, real_data: Path) -> None:
    published = json.loads((real_data / "noise" / "eld_params.json").read_text())
    key = {
        "canon-5d4": "CanonEOS5D4", "canon-700d": "CanonEOS700D", "canon-70d": "CanonEOS70D",
        "nikon-d850": "NikonD850", "sony-a7s2": "SonyA7S2",
    }[name]  # fmt: skip
    table, camera = published[key], bs.load_sensor_profile(name)
    assert camera.gain.log_uniform == pytest.approx((table["Kmin"], table["Kmax"]), rel=1e-6)
    # Six stops to all digits: what the line in ISO is inferred from.
    assert table["Kmax"] / table["Kmin"] == pytest.approx(64.0, rel=1e-12)
    for law, scale in (
        (camera.read_noise, "g_scale"), (camera.tukey_lambda, "G_scale"), (camera.row_noise, "R_scale"),
    ):  # fmt: skip
        line = table["Profile-1"][scale]
        assert law is not None
        assert (law.slope, law.bias, law.sd) == pytest.approx((line["slope"], line["bias"], line["sigma"]), rel=1e-6)
    shapes = [shape for level in camera.level for shape in level.shape]
    assert shapes == pytest.approx(table["G_shape"], abs=6e-5)
    offsets = np.array([row for level in camera.level for row in level.offset_dn])
    assert offsets[:, [0, 1, 3, 2]] == pytest.approx(np.array(table["color_bias"]), abs=6e-5)


@pytest.mark.parametrize("iso", [100.0, 1600.0, 6400.0])
def test_pmrid_is_its_lines(iso: float) -> None:
    drawn = draws("pmrid", 3, iso=iso)
    gain = 5.995e-4 * iso + 0.00869
    variance_dn2 = 7.118e-7 * iso**2 + 6.515e-4 * iso + 0.1149
    assert drawn["gain_dn_per_e"] == pytest.approx(gain, rel=1e-3)
    assert drawn["read_noise_e"] == pytest.approx(math.sqrt(variance_dn2) / gain, rel=1e-3)
    # What docs/physics.md, section 7, says full scale is: 13,971, 991 and 249 electrons.
    assert drawn["white_level_e"] == pytest.approx({100.0: 13971, 1600.0: 991, 6400.0: 249}[iso], rel=2e-3)


def test_the_gain_alone_says_the_iso() -> None:
    gain = float(draws("pmrid", 1, iso=1600.0)["gain_dn_per_e"][0])
    by_gain = draws("pmrid", 1, gain_dn_per_e=gain)
    assert by_gain["read_noise_e"] == pytest.approx(draws("pmrid", 1, iso=1600.0)["read_noise_e"], rel=1e-7)


def test_the_read_parameter_of_unprocessing_is_a_variance() -> None:
    drawn = draws("unprocessing", 2000)
    shot = 1 / drawn["white_level_e"]  # variance per signal, in units of white
    read = (drawn["read_noise_e"] / drawn["white_level_e"]) ** 2
    assert shot.min() >= 1e-4 * (1 - 1e-8)
    assert shot.max() <= 0.012 * (1 + 1e-8)
    left = np.log(read) - (2.18 * np.log(shot) + 1.20)
    assert left.mean() == pytest.approx(0.0, abs=5 * 0.26 / math.sqrt(2000))
    assert left.std() == pytest.approx(0.26, rel=5 / math.sqrt(4000))
    place = np.log(shot / 1e-4) / math.log(120)  # evenly spread in the logarithm
    assert place.mean() == pytest.approx(0.5, abs=5 / math.sqrt(12 * 2000))
    for name, low, high in (("red_gain", 1.9, 2.4), ("blue_gain", 1.5, 1.9)):
        assert low <= drawn[name].min() < drawn[name].max() <= high


@pytest.mark.parametrize(("name", "beta1", "beta2"), [("realblur", 8.8915e-5, 2.943e-5), ("rsblur", 1e-4, 9.1504e-4)])
def test_the_second_beta_of_rsblur_is_a_standard_deviation(name: str, beta1: float, beta2: float) -> None:
    drawn = draws(name, 1000)
    shot, read = 1 / drawn["white_level_e"], drawn["read_noise_e"] / drawn["white_level_e"]
    for found, beta in ((shot, beta1), (read, beta2)):
        assert found.min() >= 0.5 * beta * (1 - 1e-7)
        assert found.max() <= 1.5 * beta * (1 + 1e-7)
        assert found.mean() == pytest.approx(beta, rel=5 / math.sqrt(12 * 1000))
    assert {bs.load_sensor_profile(name).draw(Stream(0, i, "x"))["mosaic"] for i in range(60)} == {
        "RGGB", "BGGR", "GRBG", "GBRG",
    }  # fmt: skip


def test_matrices_are_mixed_and_gray_stays_gray() -> None:
    drawn = draws("unprocessing", 300)
    assert drawn["red_from_green"].std() > 0.02
    color = bs.load_sensor_profile("unprocessing").color
    ends = np.array([color.srgb_from_camera(np.eye(4)[i]) for i in range(4)])
    assert np.allclose(ends.sum(axis=2), 1.0)
    # The matrix of the Olympus alone, from its published one: to sRGB through XYZ, rows normalized.
    xyz = np.reshape(color.xyz_to_camera[2], (3, 3))
    srgb = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    camera = xyz @ srgb
    assert np.linalg.inv(camera / camera.sum(1, keepdims=True)) == pytest.approx(ends[2])


def test_the_nominal_numbers_survive_the_picture() -> None:
    """Noise as drawn is noise as measured: the variance of a gray frame in units of white."""
    sensor = bs.kinds.Sensor(**bs.load_sensor_profile("rsblur").draw(Stream(2, 2, "x")), seed=3).replace(
        mosaic=None, red_gain=1.0, blue_gain=1.0, rounding=False, red_from_green=0.0, red_from_blue=0.0,
        green_from_red=0.0, green_from_blue=0.0, blue_from_red=0.0, blue_from_green=0.0,
    )  # fmt: skip
    gray = bs.Frame(np.full((1, 1, 400, 400), 0.3, np.float32), bs.Encoding.LINEAR)
    found = bs.kinds.Develop()(sensor(gray)).image
    expected = 0.3 / sensor.electrons_at_white + (sensor.read_noise_e / sensor.electrons_at_white) ** 2
    assert found.astype(np.float64).var() == pytest.approx(expected, rel=5 * math.sqrt(2 / 160000))
    assert found.astype(np.float64).mean() == pytest.approx(0.3, abs=5 * math.sqrt(expected / 160000))


# Bad files

BAD = [
    ("name = ", "is not valid TOML"),
    (PLAIN.replace("bit_depth = 12", ""), "needs bit_depth"),
    (PLAIN.replace("bit_depth = 12", "bit_dept = 12"), "Did you mean 'bit_depth'?"),
    (PLAIN.replace("fixed = 3.0", "fixd = 3.0"), r"[read_noise]: has no field 'fixd'. Did you mean 'fixed'?"),
    (PLAIN.replace("per_iso", "per_ios"), "[gain]: has no field 'per_ios'. Did you mean 'per_iso'?"),
    (PLAIN.replace("iso = [100, 3200]", ""), "A line in ISO needs iso"),
    (PLAIN.replace("iso = [100, 3200]", "iso = [3200, 100]"), "low <= high"),
    (PLAIN.replace("black_level_dn = 100", "black_level_dn = 4095"), "below the top code"),
    (PLAIN.replace('"GRBG"', '"RGBG"'), "pattern"),
    (PLAIN.replace("fixed = 3.0", "fixed = 3.0\nslope = 1.0"), "one of fixed, uniform, iso_polynomial, slope"),
    (PLAIN.replace("fixed = 3.0", "bias = 1.0"), "one of fixed, uniform, iso_polynomial, slope"),
    (PLAIN.replace("fixed = 3.0", "fixed = -3.0"), "must be >= 0"),
    (PLAIN.replace("fixed = 3.0", 'fixed = "3"'), "must be a number"),
    (PLAIN.replace('unit = "e"', 'unit = "electrons"'), "unit"),
    (PLAIN + "[tukey_lambda]\nfixed = 1.0\n", "needs shapes"),
    (PLAIN + "[[level]]\ngain_dn_per_e = 1.0\nshape = [-0.5]\n", "[[level]] 1"),
    (PLAIN + "[[level]]\ngain_dn_per_e = 1.0\noffset_dn = [[1.0, 2.0]]\n", "[[level]] 1"),
    (PLAIN + "[level]\ngain_dn_per_e = 1.0\n", "[[level]]"),
    (PLAIN + "[color]\nxyz_to_camera = [[1.0, 2.0]]\n", "9 numbers"),
    (PLAIN + "[color]\nxyz_to_camera = [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]\n", "inverse"),
    (PLAIN.replace("[read_noise]", "read_noise = 3\n[color]").replace("fixed = 3.0\nunit = \"e\"\n", ""), "read_noise"),
    (PLAIN.replace("per_iso = 0.001\nat_zero = 0.01\niso = [100, 3200]", "fixed = 1.0").replace("fixed = 3.0\nunit = \"e\"", "iso_polynomial = [1.0]"), "needs a gain with a line"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), BAD)
def test_what_is_wrong_is_named(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(InvalidValueError) as error:
        bs.load_sensor_profile(tmp_path / "mine.toml")
    assert says in str(error.value)
    assert "mine.toml" in str(error.value)
    for name in ("SensorProfile", "GainLaw", "NoiseLaw", "MeasuredLevel", "ProfileColor"):
        assert name not in str(error.value)


@pytest.mark.parametrize(
    ("polynomial", "of", "iso"),
    [
        ("[0, -6e-4, 0.1]", "variance", 3200),  # falls to the upper end
        ("[6e-4, -0.1]", "variance", 100),  # begins below 0
        ("[1e-6, -2e-3, 0.5]", "variance", 1000),  # only the vertex lies below
        ("[-0.001, 1.0]", "sd", 3200),
    ],
)
@pytest.mark.parametrize("table", ["read_noise", "row_noise"])
def test_noise_that_is_negative_within_the_iso_range_is_refused(
    polynomial: str, of: str, iso: float, table: str, tmp_path: Path
) -> None:
    law = f'iso_polynomial = {polynomial}\nof = "{of}"\n'
    text = PLAIN.replace('fixed = 3.0\nunit = "e"\n', law) if table == "read_noise" else f"{PLAIN}[{table}]\n{law}"
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(InvalidValueError) as error:
        bs.load_sensor_profile(tmp_path / "mine.toml")
    message = str(error.value)
    assert f"mine.toml [{table}]: iso_polynomial" in message
    assert f"at ISO {iso}." in message
    assert "from ISO 100 to 3200" in message


def test_a_polynomial_that_is_negative_only_elsewhere_is_taken(tmp_path: Path) -> None:
    for polynomial in ("[1e-6, -2e-3, 1.0]", "[6e-4, -0.05]", "[0.0, 0.0, 0.0]", "[2.5]"):
        law = f'iso_polynomial = {polynomial}\nof = "variance"\n'
        (tmp_path / "mine.toml").write_text(PLAIN.replace('fixed = 3.0\nunit = "e"\n', law))
        assert bs.load_sensor_profile(tmp_path / "mine.toml").draw(Stream(0, 0, "x"), iso=1000)["read_noise_e"] >= 0


def test_cameras_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="Did you mean 'sony-a7s2'"):
        bs.load_sensor_profile("sony-a7s")
    with pytest.raises(InvalidValueError, match="cannot be read"):
        bs.load_sensor_profile(tmp_path / "none.toml")
    (tmp_path / "picture.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidValueError, match="UTF-8"):
        bs.load_sensor_profile(tmp_path / "picture.toml")


# In recipes


def recipe(folder: Path, sensor: str, name: str = "r.toml") -> Path:
    text = f"""
[[step]]
kind = "decode"
[[step]]
name = "light"
kind = "exposure"
exposure_s = {{ uniform = [0.01, 0.02] }}
metered_s = 0.02
[[step]]
kind = "sensor"
{sensor}
[[step]]
kind = "develop"
[[step]]
kind = "encode"
"""
    (folder / name).write_text(text)
    return folder / name


GOOD = [
    'camera = "sony-a7s2"\niso = { log_uniform = [800, 25600] }',
    'camera = "unprocessing"',
    'camera = "pmrid"\niso = 400',
    'camera = "pmrid"\ngain_dn_per_e = { uniform = [0.1, 1.0] }',
    'camera = { choice = ["sony-a7s2", "pmrid"], weights = [1, 3] }\niso = { uniform = [200, 6400] }',
    'camera = "nikon-d850"\nread_noise_model = "gaussian"\nwhite_level_e = { product = ["light.exposure_s", 50000.0] }',
    'camera = "sony-a7s2"\nexposure_s = { same_as = "light.exposure_s" }\ndark_current_e_per_s = 3.0\nprnu = { uniform = [0.0, 0.01] }',
    'camera = "canon-70d"\nmosaic = { choice = ["GBRG"] }\nseed = 3',
    'camera = "mine.toml"\niso = 800\nphotons_at_white = { log_uniform = [500, 9000] }',
    'camera = { choice = ["mine.toml"] }',
]


@pytest.mark.parametrize("sensor", GOOD)
def test_recipes_round_trip_and_give_plain_sensors(sensor: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(PLAIN)
    path = recipe(tmp_path, sensor)
    loaded = bs.load_recipe(path)
    validator = Draft202012Validator(recipe_schema())
    assert not [e.message for e in validator.iter_errors(tomllib.loads(path.read_text()))]
    again = bs.Recipe.from_dict(json.loads(json.dumps(loaded.to_dict())))
    assert again == loaded
    (tmp_path / "again.toml").write_text(loaded.to_toml())
    (tmp_path / "mine.toml").unlink()  # what is stored needs no file
    stored = bs.load_recipe(tmp_path / "again.toml")
    assert stored == loaded
    assert stored.sha256() == loaded.sha256()
    assert not [e.message for e in validator.iter_errors(tomllib.loads(loaded.to_toml()))]
    assert loaded.is_random
    for index in range(5):
        draw = loaded.sample(FRAME, seed=1, index=index)
        assert stored.sample(FRAME, seed=1, index=index) == draw
        assert type(draw["sensor"]) is bs.kinds.Sensor
        record = bs.Draw.from_dict(json.loads(json.dumps(draw.to_dict())), bs.kinds.ALL)
        assert record == draw
        assert not bs.Recipe.from_dict(draw.to_dict()).is_random
        pair = record.pair(FRAME)
        assert np.isfinite(pair.blurred.image).all()


def test_what_is_given_replaces_what_the_camera_says(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(PLAIN)

    def sensor(text: str) -> bs.kinds.Sensor:
        found = bs.load_recipe(recipe(tmp_path, text)).sample(FRAME, seed=2, index=1)["sensor"]
        assert isinstance(found, bs.kinds.Sensor)
        return found

    own = sensor('camera = "mine.toml"\niso = 800\nphotons_at_white = 2000.0')
    assert own.white_level_e == 1000.0  # quantum efficiency .5
    assert own.dn_per_electron == pytest.approx(0.81)
    assert own.read_noise_e == 3.0
    assert (own.mosaic, own.bit_depth, own.black_level_dn) == ("GRBG", 12, 100)
    other = sensor('camera = "mine.toml"\niso = 800\nblack_level_dn = 295')
    assert other.white_level_e == pytest.approx(3800 / 0.81)
    assert sensor('camera = "mine.toml"\niso = 800\nwhite_level_e = 70.0').white_level_e == 70.0
    joint = bs.load_recipe(recipe(tmp_path, GOOD[5])).sample(FRAME, seed=4, index=0)
    assert joint["sensor"].white_level_e == pytest.approx(50000 * joint["light"].exposure_s)  # type: ignore[attr-defined]


def test_what_is_given_disturbs_no_other_number(tmp_path: Path) -> None:
    one, two = (
        bs.load_recipe(recipe(tmp_path, text)).sample(FRAME, seed=7, index=3)["sensor"].fields()
        for text in ('camera = "unprocessing"', 'camera = "unprocessing"\nprnu = 0.01')
    )
    assert {key for key in one if one[key] != two[key]} == {"prnu"}


def test_the_hash_depends_on_the_content_of_the_camera(tmp_path: Path) -> None:
    hashes = set()
    for text in (PLAIN, PLAIN.replace("3.0", "3.5"), PLAIN + "\n# a comment alone changes nothing\n"):
        (tmp_path / "mine.toml").write_text(text)
        hashes.add(bs.load_recipe(recipe(tmp_path, 'camera = "mine.toml"')).sha256())
    assert len(hashes) == 2


def test_paths_start_at_the_recipe_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "mine.toml").write_text(PLAIN)
    recipe(tmp_path / "below", 'camera = "mine.toml"', "parent.toml")
    (tmp_path / "child.toml").write_text('extends = "below/parent.toml"\n[[step]]\nname = "sensor"\niso = 200\n')
    drawn = bs.load_recipe(tmp_path / "child.toml").sample(FRAME, seed=0, index=0)["sensor"]
    assert drawn.dn_per_electron == pytest.approx(0.21)  # type: ignore[attr-defined]


def test_options_and_probabilities_hold_cameras_too() -> None:
    loaded = bs.Recipe.from_dict(
        {
            "step": [
                {
                    "one_of": [
                        {"weight": 1, "kind": "sensor", "camera": "pmrid"},
                        {"kind": "sensor", "full_well_e": 900.0},
                    ]
                }
            ]
        }
    )
    kinds = {loaded.sample(FRAME, seed=0, index=i)["step 1"].bit_depth for i in range(20)}  # type: ignore[attr-defined]
    assert kinds == {10, 12}
    assert bs.Recipe.from_dict(loaded.to_dict()) == loaded


def test_in_python() -> None:
    camera = bs.load_sensor_profile("pmrid")
    sampler = bs.SensorFromProfile(camera, iso=bs.LogUniform(100, 6400), exposure_s=0.02)
    assert sampler == bs.SensorFromProfile("pmrid", iso={"log_uniform": [100, 6400]}, exposure_s=0.02)
    drawn = bs.Recipe([("sensor", sampler)]).sample(FRAME, seed=0, index=0)["sensor"]
    assert drawn.exposure_s == 0.02  # type: ignore[attr-defined]
    assert "OPPO" in repr(sampler)


BAD_STEPS = [
    ("iso = 300", "needs a calibrated camera"),
    ('camera = "sony"', "There is no camera 'sony'. Did you mean 'sony-a7s2'?"),
    ('camera = "sony-a7s2"\niso = 99999', "must lie in 100 to 25600, got 99999"),
    ('camera = "sony-a7s2"\niso = { uniform = [50, 200] }', "must lie in 100 to 25600, got 50"),
    ('camera = "unprocessing"\niso = 100', "has no line in ISO"),
    ('camera = "pmrid"\ngain_dn_per_e = 100.0', "gain_dn_per_e of camera"),
    ('camera = "pmrid"\niso = 100\ngain_dn_per_e = 1.0', "not both"),
    ('camera = "pmrid"\nphotons_at_white = 1000', "no quantum_efficiency"),
    ('camera = "pmrid"\nphotons_at_white = 1000\nwhite_level_e = 3.0', "not both"),
    ('camera = "pmrid"\nread_noise_model = "tukey_lambda"', "read_noise_model must be one of gaussian"),
    ('camera = "pmrid"\nread_noise_model = 3', "must be one of gaussian for camera"),
    ('camera = "pmrid"\nfull_wel_e = 3.0', "Did you mean 'full_well_e'?"),
    ('camera = "pmrid"\nio = 3.0', "Did you mean 'iso'?"),
    ('camera = "pmrid"\nread_noise_e = { uniform = [-1, 2] }', "read_noise_e"),
    ("camera = 3", "name or the path"),
    ("camera = { choice = [] }", "needs a list of cameras"),
    ('camera = { choice = ["pmrid"], weights = [1, 2] }', "one weight per value"),
    ('camera = { choice = ["pmrid"], weigths = [1] }', "has no parameter 'weigths'"),
    ('camera = "none.toml"', "cannot be read"),
    ('camera = { name = "x" }', "needs bit_depth"),
]


@pytest.mark.parametrize(("sensor", "says"), BAD_STEPS)
def test_bad_steps_are_refused_before_any_work(sensor: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        bs.load_recipe(recipe(tmp_path, sensor))
    assert says in str(error.value)
    assert "[sensor]" in str(error.value)


def test_a_data_set_resumes_and_replays_without_the_file(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    bs.write_picture(tmp_path / "photos" / "a.png", pictures(bs.Encoding.DISPLAY, batch=1, size_px=(80, 90)))
    (tmp_path / "mine.toml").write_text(PLAIN)
    loaded = bs.load_recipe(recipe(tmp_path, 'camera = "mine.toml"'))
    options: dict[str, Any] = {"count": 6, "size_px": 32, "seed": 3, "shard_length": 3}
    request = dataset.DatasetRequest(sources=tmp_path / "photos", recipe=loaded, **options)
    dataset.generate(request, tmp_path / "whole", workers=1)
    dataset.generate(request, tmp_path / "parts", workers=1, shards=(0, 1))
    (tmp_path / "mine.toml").unlink()
    dataset.resume(tmp_path / "parts", workers=1)
    sets = [bs.open_dataset(tmp_path / name) for name in ("whole", "parts")]
    assert sets[0].recipe == loaded
    for index in range(6):
        one, two = (s[index] for s in sets)
        assert one.draw == two.draw
        assert np.array_equal(one.blurred, two.blurred)
    assert not dataset.verify(tmp_path / "parts", replay=2).problems


def test_a_camera_takes_the_place_of_an_extended_sensor(tmp_path: Path) -> None:
    (tmp_path / "sony.toml").write_text(
        'extends = "default"\n[[step]]\nname = "sensor"\ncamera = "sony-a7s2"\niso = 1600\nprnu = 0.004\n'
    )
    recipe = bs.load_recipe(tmp_path / "sony.toml")
    frame = pictures(bs.Encoding.DISPLAY, batch=1)
    sensor = recipe.sample(frame, seed=1, index=0)["sensor"]
    assert isinstance(sensor, bs.kinds.Sensor)
    profile = bs.load_sensor_profile("sony-a7s2")
    assert (sensor.bit_depth, sensor.black_level_dn) == (profile.bit_depth, profile.black_level_dn)
    assert sensor.prnu == 0.004
    (tmp_path / "again.toml").write_text('extends = "sony.toml"\n[[step]]\nname = "sensor"\niso = 3200\n')
    again = bs.load_recipe(tmp_path / "again.toml").sample(frame, seed=1, index=0)["sensor"]
    assert again.gain_dn_per_e == pytest.approx(2 * sensor.gain_dn_per_e, rel=1e-6)
