"""Recipes of the literature: order and parameters as published, and that every recipe makes pairs.

The numbers of this file are written down from the publications and their code, not read from the recipes. Where a recipe
deviates on purpose, the deviation is listed in its file, and the number here is the recipe's own, with a note.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import blursynth as bs
from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.testing import MomentRegistration

PUBLISHED = (
    "boracchi-foi",
    "bsrgan",
    "dbgan-like",
    "deblurgan",
    "gopro",
    "gopro-average",
    "lai2016",
    "real-esrgan",
    "realblur",
    "rsblur",
    "sbdd",
    "unprocessing",
)

# Steps in their order; a name in brackets may be missing from a draw.
ORDER = {
    "deblurgan": ["blur"],
    # Demo of the code: trajectory, PSF of the exposed part, Poisson and Gaussian noise.
    "boracchi-foi": ["decode", "shake", "exposure", "sensor", "develop", "encode"],
    # Rim et al. 2022, figure of the synthesis: inverse tone, saturation, (blur,) mosaic, noise, development, tone.
    "rsblur": ["decode", "highlights", "shake", "sensor", "develop", "encode"],
    "realblur": ["decode", "highlights", "shake", "sensor", "develop", "encode", "jpeg"],
    # Brooks et al. 2019: inverse tone and gamma, inverse colors, mosaic, noise, and forward again.
    "unprocessing": ["decode", "sensor", "develop", "encode"],
    "dbgan-like": ["decode", "camera", "shake", "lens", "sensor", "develop", "encode"],
    # realesrgan_model.py, feed_data.
    "real-esrgan": [
        *("decode", "blur", "resize", "noise", "encode", "jpeg"),
        *("second decode", "(second blur)", "second resize", "second noise", "(ringing)", "second encode"),
        "second jpeg",
    ],
    # utils_blindsr.py, degradation_bsrgan without its shuffle.
    "bsrgan": ["decode", "blur", "second blur", "resize", "noise", "encode", "(jpeg)", "second jpeg"],
    "lai2016": ["decode", "(stretch)", "shake", "noise", "encode"],
    "gopro-average": ["decode", "camera", "scene", "objects", "traffic", "shake", "encode"],
    "gopro": [
        *("decode", "camera", "scene", "objects", "traffic", "shake", "lens", "sensor", "develop", "encode", "sharpen"),
    ],
    # The authors' script for COCO: gamma, illumination, blur of background and objects, clipping, gamma, JPEG.
    "sbdd": ["decode", "illumination", "objects", "traffic", "shake", "encode", "jpeg"],
}


def options(recipe: str, step: str) -> Iterator[tuple[float, dict[str, Any]]]:
    """(probability, kind and fields) of everything that a step may be."""
    (entry,) = (dict(s) for s in bs.load_recipe(recipe).to_dict()["step"] if s["name"] == step)
    entry.pop("name")
    happens = entry.pop("probability", 1.0)
    if happens < 1:
        yield 1 - happens, {"kind": "identity"}
    choices = [dict(o) for o in entry["one_of"]] if "one_of" in entry else [{"weight": 1.0, **entry}]
    total = sum(o["weight"] for o in choices)
    for choice in choices:
        yield happens * choice.pop("weight") / total, choice


def only(recipe: str, step: str) -> dict[str, Any]:
    ((probability, fields),) = options(recipe, step)
    assert probability == 1
    return fields


def ends(plain: Any) -> tuple[float, float]:
    """The range of a uniform or constant number."""
    if isinstance(plain, dict):
        ((word, (low, high)),) = plain.items()
        assert word in ("uniform", "integer")
        return low, high
    return plain, plain


def picture(name: str = "astronaut", top: int = 100, left: int = 180, size: int = 64) -> bs.Frame:
    from skimage import data

    image = np.moveaxis(getattr(data, name)()[top : top + size, left : left + size], -1, 0)
    return bs.Frame(image.astype(np.float32)[None] / 255, "display", origin_px=np.array([[top, left]]))


@lru_cache
def draws(recipe: str, count: int) -> tuple[bs.Draw, ...]:
    made = bs.load_recipe(recipe)
    return tuple(made.sample(picture(), seed=31, index=i) for i in range(count))


def test_every_published_recipe_is_here_and_says_where_it_is_from() -> None:
    assert set(ORDER) == set(PUBLISHED) <= set(bs.recipe_names())
    for name in PUBLISHED:
        recipe = bs.load_recipe(name)
        assert recipe.summary
        assert any(year in recipe.source for year in map(str, range(2012, 2025)))


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name not in ("deblurgan", "realblur")])
def test_deviations_are_listed(name: str) -> None:
    text = (resources.files("blursynth.recipe") / f"{name}.toml").read_text("utf-8")
    _, _, listed = text.partition("# Deviations")
    assert listed.count("\n# - ") >= 2


@pytest.mark.parametrize("name", ["real-esrgan", "bsrgan", "lai2016"])
def test_what_no_camera_does_says_so(name: str) -> None:
    assert "gamma space, non-physical" in bs.load_recipe(name).summary
    for step in ("decode", "encode"):
        assert only(name, step) == {"kind": f"gamma_{step}", "gamma": 1.0}


@pytest.mark.parametrize("name", PUBLISHED)
def test_order(name: str) -> None:
    steps = bs.load_recipe(name).to_dict()["step"]
    assert [step["name"] for step in steps] == [name.strip("()") for name in ORDER[name]]
    for step, expected in zip(steps, ORDER[name], strict=True):
        may_be_missing = any(fields["kind"] == "identity" for _, fields in options(name, step["name"]))
        # "Keep the size" is one of three ways to resize, not a step that is left out.
        assert may_be_missing == expected.startswith("(") or "resize" in expected


# Real-ESRGAN: train_realesrgan_x4plus.yml, of both stages.
REAL_ESRGAN = {
    "": {
        "kernel": {"iso": 0.45, "aniso": 0.25, "generalized iso": 0.12, "generalized aniso": 0.03}
        | {"plateau iso": 0.12, "plateau aniso": 0.03},
        "sinc": 0.1,
        "blur": 1.0,
        "sigma": (0.2, 3.0),
        "resize": (0.2, 0.7, 0.1),
        "range": (0.15, 1.5),
        "gaussian": 0.5,
        "noise": (1, 30),
        "poisson": (0.05, 3.0),
        "gray": 0.4,
        "jpeg": (30, 95),
    },
    "second ": {
        "kernel": {"iso": 0.45, "aniso": 0.25, "generalized iso": 0.12, "generalized aniso": 0.03}
        | {"plateau iso": 0.12, "plateau aniso": 0.03},
        "sinc": 0.1,
        "blur": 0.8,
        "sigma": (0.2, 1.5),
        "resize": (0.3, 0.4, 0.3),
        "range": (0.3, 1.2),
        "gaussian": 0.5,
        "noise": (1, 25),
        "poisson": (0.05, 2.5),
        "gray": 0.4,
        "jpeg": (30, 95),
    },
}
SIZES = [7, 9, 11, 13, 15, 17, 19, 21]
SHAPES = {"generalized": {(0.5, 1.0): 0.5, (1.0, 4.0): 0.5}, "plateau": {(1.0, 1.0): 0.5, (1.0, 2.0): 0.5}}


@pytest.mark.parametrize("stage", REAL_ESRGAN)
def test_real_esrgan_blur(stage: str) -> None:
    published = REAL_ESRGAN[stage]
    found: dict[str, float] = defaultdict(float)
    shapes: dict[tuple[str, tuple[float, float]], float] = defaultdict(float)
    low_pass: dict[tuple[int, ...], tuple[float, tuple[float, float]]] = {}
    for probability, fields in options("real-esrgan", f"{stage}blur"):
        kind = fields["kind"]
        if kind == "identity":
            assert probability == pytest.approx(1 - published["blur"])
            continue
        share = probability / published["blur"]
        if kind == "sinc_blur":
            low_pass[tuple(fields["size_px"]["choice"])] = share, ends(fields["cutoff_rad_per_px"])
            continue
        assert fields["size_px"] == {"choice": SIZES}
        assert ends(fields["sigma_px"]) == published["sigma"]
        long = "sigma_across_px" in fields
        if long:
            assert ends(fields["sigma_across_px"]) == published["sigma"]
            assert ends(fields["angle_deg"]) == (-180.0, 180.0)
        family = {"generalized_gaussian_blur": "generalized", "plateau_blur": "plateau"}[kind]
        if "shape" in fields:
            shapes[f"{family} {'an' * long}iso", ends(fields["shape"])] += share / (1 - published["sinc"])
        name = f"{family} " if "shape" in fields else ""
        found[f"{name}{'an' * long}iso"] += share / (1 - published["sinc"])
    assert found == pytest.approx(published["kernel"])
    for name in ("generalized iso", "generalized aniso", "plateau iso", "plateau aniso"):
        halves = {span: p / published["kernel"][name] for (which, span), p in shapes.items() if which == name}
        assert halves == pytest.approx(SHAPES[name.split()[0]])
    # Below 13 px from pi / 3, else from pi / 5, up to pi; every size is equally probable.
    assert set(low_pass) == {(7, 9, 11), (13, 15, 17, 19, 21)}
    for sizes, (share, span) in low_pass.items():
        assert share == pytest.approx(published["sinc"] * len(sizes) / len(SIZES))
        assert span == pytest.approx((math.pi / (3 if sizes[0] == 7 else 5), math.pi), rel=1e-8)


@pytest.mark.parametrize("stage", REAL_ESRGAN)
def test_real_esrgan_resize_noise_and_jpeg(stage: str) -> None:
    published = REAL_ESRGAN[stage]
    up, down, keep = published["resize"]
    spans = {}
    for probability, fields in options("real-esrgan", f"{stage}resize"):
        if fields["kind"] == "rescale":
            assert fields["down"] == fields["up"] == {"choice": ["area", "bilinear", "bicubic"]}
            spans[ends(fields["factor"])] = probability
        else:
            assert probability == pytest.approx(keep)
    low, high = published["range"]
    assert spans == pytest.approx({(1.0, high): up, (low, 1.0): down})

    found = {}
    for probability, fields in options("real-esrgan", f"{stage}noise"):
        if fields["kind"] == "gaussian_noise":
            assert np.multiply(ends(fields["sigma"]), 255) == pytest.approx(published["noise"])
            found["gaussian", fields["correlation"] == 1.0] = probability
            assert fields["correlation"] in (0.0, 1.0)
        else:
            assert fields["kind"] == "poisson_noise"
            assert ends(fields["scale"]) == published["poisson"]
            assert fields["peak"] == 256.0
            found["poisson", fields["gray"]] = probability
    gray, gaussian = published["gray"], published["gaussian"]
    expected = {("gaussian", True): gaussian * gray, ("gaussian", False): gaussian * (1 - gray)}
    expected |= {("poisson", True): (1 - gaussian) * gray, ("poisson", False): (1 - gaussian) * (1 - gray)}
    assert found == pytest.approx(expected)

    jpeg = only("real-esrgan", f"{stage}jpeg")
    assert jpeg["kind"] == "jpeg"
    assert ends(jpeg["quality"]) == published["jpeg"]


def test_real_esrgan_ringing() -> None:
    found = {fields["kind"]: (probability, fields) for probability, fields in options("real-esrgan", "ringing")}
    assert found["sinc_blur"][0] == pytest.approx(0.8)
    assert ends(found["sinc_blur"][1]["cutoff_rad_per_px"]) == pytest.approx((math.pi / 3, math.pi), rel=1e-8)
    assert found["sinc_blur"][1]["size_px"] == {"choice": SIZES}


@pytest.mark.parametrize("step", ["blur", "second blur"])
def test_bsrgan_blur(step: str) -> None:
    """With the scale factor 1: variances of long kernels up to 4 + 1, round sigmas up to 2 + .2; half of each."""
    found = {"sigma_across_px" in fields: (p, fields) for p, fields in options("bsrgan", step)}
    assert {long: p for long, (p, _) in found.items()} == {True: 0.5, False: 0.5}
    for _, fields in found.values():
        assert fields["kind"] == "generalized_gaussian_blur"
        assert fields["size_px"] == {"choice": list(range(7, 26, 2))}
        assert "shape" not in fields
    assert ends(found[False][1]["sigma_px"]) == (0.0, 2.2)
    long = found[True][1]
    assert ends(long["angle_deg"]) == (0.0, 180.0)
    assert long["sigma_px"] == long["sigma_across_px"]
    # Squares of what it draws are uniform in 0 to 5.
    sigma = [draw[step].sigma_px for draw in draws("bsrgan", 400) if draw[step].sigma_across_px is not None]
    from scipy import stats

    assert stats.kstest(np.square(sigma) / 5.0, "uniform").pvalue > 1e-4


def test_bsrgan_resize_noise_and_jpeg() -> None:
    found = {fields["kind"]: (p, fields) for p, fields in options("bsrgan", "resize")}
    assert found["rescale"][0] == 0.75
    assert found["rescale"][1]["factor"] == {"quotient": [1.0, {"uniform": [1.0, 2.0]}]}  # 1 to 2 sf
    assert sorted(found["rescale"][1]["down"]["choice"]) == ["area", "bicubic", "bilinear"]
    gaussian = found["generalized_gaussian_blur"]
    assert gaussian[0] == 0.25
    assert (gaussian[1]["size_px"], ends(gaussian[1]["sigma_px"])) == (25, (0.1, 0.6))  # .1 to .6 sf

    noise = list(options("bsrgan", "noise"))
    shares = {str(fields["correlation"]): p for p, fields in noise}
    assert list(shares.values()) == pytest.approx([0.4, 0.4, 0.2])
    for _, fields in noise[:2]:
        integer, unit = fields["sigma"]["product"]
        assert (integer, unit * 255) == ({"integer": [2, 25]}, pytest.approx(1.0))
    assert {fields["correlation"] for _, fields in noise[:2]} == {0.0, 1.0}

    for step, happens in (("jpeg", 0.9), ("second jpeg", 1.0)):
        jpegs = {fields["kind"]: (p, fields) for p, fields in options("bsrgan", step)}
        assert jpegs["jpeg"][0] == pytest.approx(happens)
        assert ends(jpegs["jpeg"][1]["quality"]) == (30, 95)


def test_bsrgan_covariance() -> None:
    """The published random covariances of the channels, and what the recipe draws in their place."""
    from scipy.linalg import orth

    rng = np.random.default_rng(0)
    spread, correlation = [], []
    for _ in range(3000):
        basis = orth(rng.random((3, 3)))
        covariance = np.abs((25 / 255) ** 2 * basis.T @ np.diag(rng.random(3)) @ basis)
        sd = np.sqrt(np.diag(covariance))
        spread.extend(sd)
        correlation.extend((covariance / np.outer(sd, sd))[np.triu_indices(3, 1)])
    (fields,) = (f for _, f in options("bsrgan", "noise") if isinstance(f["correlation"], dict))
    assert ends(fields["sigma"]) == pytest.approx(np.quantile(spread, (0.05, 0.95)), abs=0.002)
    assert np.mean(ends(fields["correlation"])) == pytest.approx(np.mean(correlation), abs=0.01)


def test_lai2016() -> None:
    stretch = {fields["kind"]: (p, fields) for p, fields in options("lai2016", "stretch")}
    assert stretch["exposure"][0] == pytest.approx(5 / 25)  # pictures of its category with saturated lights
    assert stretch["exposure"][1]["exposure_s"] / stretch["exposure"][1]["metered_s"] == 1.8
    assert only("lai2016", "noise") == {"kind": "gaussian_noise", "sigma": 0.01}
    shake = only("lai2016", "shake")
    assert shake["kind"] == "random_walk_motion"
    assert shake["length_px"] == {"choice": [31.0, 51.0, 55.0, 75.0]}  # widths of its kernels


def test_boracchi_foi() -> None:
    """The demonstration of their code: PSF of 64 px, anxiety .005, 2000 samples, T in 1/16, 1/4, 1/2, 1; lambda, sigma."""
    shake = only("boracchi-foi", "shake")
    assert shake["kind"] == "random_walk_motion"
    expected = {"length_px": 64.0, "anxiety": 0.005, "samples": 2000, "form": "paper"}
    assert {name: shake[name] for name in expected} == expected
    assert shake["exposure_fraction"] == {"choice": [1 / 16, 1 / 4, 1 / 2, 1.0]}
    spans = {name: ends(shake[name]) for name in ("centripetal", "big_shake", "gaussian", "heading_deg")}
    assert spans == {
        "centripetal": (0.0, 0.7),
        "big_shake": (0.0, 0.2),
        "gaussian": (0.0, 10.0),
        "heading_deg": (0.0, 360.0),
    }
    sensor = only("boracchi-foi", "sensor")
    assert (sensor["white_level_e"], sensor["read_noise_e"], sensor["rounding"]) == (2048.0, 0.05, False)


def test_boracchi_foi_trades_blur_for_noise() -> None:
    """Mean electrons and the length of the blur grow with T; counts are Poisson with a read noise of .05."""
    level = 0.5
    flat = bs.Frame(np.full((1, 3, 200, 200), level), "linear")
    counted, length = {}, {}
    for draw in draws("boracchi-foi", 40):
        shake, exposure, sensor = (draw[name] for name in ("shake", "exposure", "sensor"))
        assert isinstance(shake, bs.kinds.RandomWalkMotion)
        assert isinstance(exposure, bs.kinds.Exposure)
        assert isinstance(sensor, bs.kinds.Sensor)
        share = shake.exposure_fraction
        assert exposure.exposure_s / exposure.metered_s == share
        if share in counted:
            continue
        raw = sensor(exposure(shake(flat)))
        electrons = (raw.image - sensor.black_level_dn) / sensor.dn_per_electron
        samples = electrons.size
        mean = 2048 * level * share
        variance = mean + 0.05**2
        assert abs(electrons.mean() - mean) <= 5 * np.sqrt(variance / samples)
        assert abs(electrons.var() / variance - 1) <= 5 * np.sqrt((2 + 1 / mean) / samples)
        counted[share] = electrons.mean()
        # The part of the path that is exposed, from its start.
        path = shake.path()
        exposed = path[: max(2, round(share * (len(path) - 1)) + 1)]
        length[share] = np.hypot(*np.diff(exposed, axis=0).T).sum()
        reach = np.ptp(exposed, axis=0).max()
        psf = shake.point_spread()
        assert max(np.ptp(psf.dx), np.ptp(psf.dy)) <= reach + 2
    assert set(counted) == {1 / 16, 1 / 4, 1 / 2, 1.0}
    for share in counted:
        assert counted[share] / counted[1.0] == pytest.approx(share, rel=0.01)
        assert length[share] == pytest.approx(64 * share, rel=1e-3)


def test_boracchi_foi_is_developed_to_one_brightness() -> None:
    for draw in draws("boracchi-foi", 12):
        pair = draw.pair(picture())
        assert abs(float(pair.blurred.image.mean()) - float(pair.sharp.image.mean())) < 0.01
        assert np.abs(pair.sharp.image - picture().image).max() <= 1 / 255


def test_gopro_average() -> None:
    for step in ("decode", "encode"):
        assert only("gopro-average", step) == {"kind": f"gamma_{step}", "gamma": 2.2}
    frames = only("gopro-average", "traffic")["frames"]
    # Of the 33 sequences, by their names (GOPR0372_07_00 ...): 7 frames in two, 13 in one, 11 in all others.
    assert frames == {"choice": [7, 11, 13], "weights": [2, 30, 1]}
    shake = only("gopro-average", "shake")
    assert shake["kind"] == "rolling_shutter"
    assert shake["centered_on"] == "mid"  # "the sharp frames are the middle sharp frame among the averaged frames"
    assert bs.kinds.GammaEncode.model_fields["bit_depth"].default == 8
    for draw in draws("gopro-average", 6):
        traffic, camera = draw["traffic"], draw["shake"]
        assert isinstance(traffic, bs.kinds.ObjectMotion)
        assert isinstance(camera, bs.kinds.RollingShutter)
        assert traffic.frames == camera.frames
        assert camera.exposure_s == pytest.approx(camera.frames / 240, rel=1e-6)  # type: ignore[operator]


def test_gopro_pairs_are_shifted_by_what_the_record_says() -> None:
    """As published, the sharp picture is the frame in the middle, not the mean of them; about the mean it is aligned."""
    places = np.mgrid[:160, :160].astype(float)[None]
    middle = (..., slice(70, 90), slice(70, 90))  # far from the border, whose light is a guess
    depth_m = np.full((1, 160, 160), 4.0)
    shifts, recorded, aligned = [], [], []
    for draw in draws("gopro-average", 6):
        step = draw["shake"]
        assert isinstance(step, bs.kinds.RollingShutter)
        frame = bs.Frame(places, "linear", depth_m=depth_m, camera=(bs.Intrinsics(2.664, 4.8),))
        shifts.append(np.abs(step(frame).image - places)[middle].max())
        recorded.append(step.residual_centroid_px(frame))
        aligned.append(np.abs(step.replace(centered_on="mean")(frame).image - places)[middle].max())
    assert max(shifts) > 0.25
    assert (np.array(shifts) <= np.array(recorded) + 0.01).all()
    assert max(aligned) < 0.05


def test_gopro_has_the_same_camera_in_both_pictures() -> None:
    """The frame in the middle has passed through it, too, and all frames have one gamma."""
    recipe, average = bs.load_recipe("gopro"), bs.load_recipe("gopro-average")
    assert dict(average.steps).items() <= dict(recipe.steps).items()
    for draw in draws("gopro", 6):
        sharp = dict(draw.target_draw().steps)
        assert {name: sharp[name] for name in ("lens", "develop", "sharpen", "encode")} == {
            name: draw[name] for name in ("lens", "develop", "sharpen", "encode")
        }
        assert sharp["sensor"].mosaic == draw["sensor"].mosaic is not None  # type: ignore[attr-defined]
        assert sharp["shake"] == sharp["traffic"] == bs.kinds.Identity()


def test_sbdd() -> None:
    """Against the authors' script: gamma_factor 2.2, V * (1 + rand - .5), K = 33, files of scikit-image (quality 75)."""
    for step in ("decode", "encode"):
        assert only("sbdd", step) == {"kind": f"gamma_{step}", "gamma": 2.2}
    assert ends(only("sbdd", "illumination")["gain"]) == (0.5, 1.5)
    assert only("sbdd", "jpeg")["quality"] == 75
    inside, clipped = 0, 0
    for draw in draws("sbdd", 200):
        shake = draw["shake"]
        assert isinstance(shake, bs.kinds.GaussianProcessMotion)
        inside += bool((np.ptp(shake.path(), axis=0) <= 33).all())
        clipped += draw["illumination"].gain > 1  # type: ignore[attr-defined]
    assert inside > 180
    assert 70 < clipped < 130  # half of them
    draw = next(draw for draw in draws("sbdd", 200) if draw["illumination"].gain > 1.3)  # type: ignore[attr-defined]
    light = (picture().image[0] ** 2.2 * draw["illumination"].gain).clip(0, 1) ** (1 / 2.2)  # type: ignore[attr-defined]
    sharp = draw.target_draw()
    assert sharp["jpeg"] == draw["jpeg"]
    assert np.abs(bs.Draw(sharp.steps[:-1])(picture()).image[0] - light).max() < 0.51 / 255


# Rim et al. 2022: beta1 and beta2 of both cameras; each draw multiplies them by U(.5, 1.5).
BETA = {"rsblur": (1e-4, 9.1504e-4), "realblur": (8.8915e-5, 2.943e-5)}


@pytest.mark.parametrize("name", BETA)
def test_rsblur(name: str) -> None:
    assert only(name, "decode") == {"kind": "decode"}
    assert only(name, "highlights") == {"kind": "highlight_offset", "offset": {"uniform": [0.25, 1.75]}}
    assert only(name, "develop")["demosaic"] == "malvar"
    sensors = [draw["sensor"] for draw in draws(name, 300)]
    assert all(isinstance(sensor, bs.kinds.Sensor) for sensor in sensors)
    shot = np.array([1 / s.white_level_e for s in sensors]) / BETA[name][0]  # type: ignore[attr-defined]
    read = np.array([s.read_noise_e / s.white_level_e for s in sensors]) / BETA[name][1]  # type: ignore[attr-defined]
    gains = np.array([(s.red_gain, s.blue_gain) for s in sensors])  # type: ignore[attr-defined]
    for values, (low, high) in (
        (shot, (0.5, 1.5)),
        (read, (0.5, 1.5)),
        (gains[:, 0], (1.9, 2.4)),
        (gains[:, 1], (1.5, 1.9)),
    ):
        assert low - 1e-3 <= values.min() <= low + 0.1 * (high - low)
        assert high + 1e-3 >= values.max() >= high - 0.1 * (high - low)
    phases = Counter(s.mosaic for s in sensors)  # type: ignore[attr-defined]
    assert set(phases) == {"RGGB", "BGGR", "GRBG", "GBRG"}


def test_unprocessing() -> None:
    """Brooks et al. 2019: smoothstep and gamma 2.2, log-uniform shot noise, read noise that follows it."""
    for step in ("decode", "encode"):
        assert only("unprocessing", step) == {"kind": f"gamma_{step}", "gamma": 2.2, "contrast": 1.0}
    assert only("unprocessing", "develop")["demosaic"] == "bilinear"
    sensors = [draw["sensor"] for draw in draws("unprocessing", 400)]
    shot = np.array([1 / s.white_level_e for s in sensors])  # type: ignore[attr-defined]
    read = np.array([(s.read_noise_e / s.white_level_e) ** 2 for s in sensors])  # type: ignore[attr-defined]
    assert 1e-4 * 0.999 <= shot.min() < 1.5e-4
    assert 0.008 < shot.max() <= 0.012 * 1.001
    residual = np.log(read) - (2.18 * np.log(shot) + 1.20)
    assert abs(residual.mean()) <= 5 * 0.26 / np.sqrt(400)
    assert residual.std() == pytest.approx(0.26, rel=5 / np.sqrt(2 * 400))
    for name, (low, high) in {"red_gain": (1.9, 2.4), "blue_gain": (1.5, 1.9)}.items():
        gains = [getattr(s, name) for s in sensors]
        assert low <= min(gains) < max(gains) <= high


def test_deblurgan() -> None:
    """Its folder motion_blur at commit 1421a74: six anxieties; of the parts .01, .1, .5 and 1 all but the first."""
    blur = only("deblurgan", "blur")
    assert blur["kind"] == "deblurgan_blur"
    assert blur["anxiety"] == {"choice": [0.01, 0.009, 0.008, 0.007, 0.005, 0.003]}
    assert blur["exposure_fraction"] == {"choice": [0.1, 0.5, 1.0]}
    assert [ends(blur[n]) for n in ("centripetal", "big_shake", "gaussian")] == [(0.0, 0.7), (0.0, 0.2), (0.0, 10.0)]
    fields = bs.kinds.DeblurganBlur.model_fields
    assert [fields[n].default for n in ("length_px", "canvas_px", "samples", "stretch")] == [60.0, 64, 2000, True]


def radius_px(step: bs.kinds.DeblurganBlur) -> float:
    """Root mean square distance of a kernel's light from its centroid."""
    psf = step.point_spread()
    apart = np.hypot(psf.dy - psf.centroids()[0, 0], psf.dx - psf.centroids()[0, 1])
    return float(np.sqrt((psf.weight @ apart**2) / psf.weight.sum()))


# Of 1400 paths and their kernels that the authors' code of that commit made when it was run as it is: quartiles of the rms
# radius in px, of each part of the path and of all three in equal shares, as its script draws them.
PUBLISHED_RADII = {0.1: (1.728, 1.800, 1.822), 0.5: (3.626, 4.513, 5.048), 1.0: (4.008, 5.187, 7.067)}
DRAWN_RADII = (1.822, 3.808, 5.100)
PUBLISHED_PATHS = 1400


def deblurgan_radii(count: int) -> dict[float, NDArray[np.float64]]:
    radii = defaultdict(list)
    for draw in draws("deblurgan", count):
        step = draw["blur"]
        assert isinstance(step, bs.kinds.DeblurganBlur)
        radii[step.exposure_fraction].append(radius_px(step))
    return {part: np.array(values) for part, values in radii.items()}


def test_no_kernel_of_deblurgan_is_nearly_a_delta() -> None:
    """Of a thousandth and a hundredth of a path the radii are .25 and .55 px."""
    radii = deblurgan_radii(40)
    assert set(radii) == set(PUBLISHED_RADII)
    assert min(values.min() for values in radii.values()) > 0.75


@pytest.mark.slow
def test_deblurgan_kernels_are_as_wide_as_those_of_its_code() -> None:
    """A quarter of our kernels lies below each of their first quartiles, a half below the second."""
    radii = deblurgan_radii(900)
    drawn = np.concatenate(list(radii.values()))
    for found, expected in ((drawn, DRAWN_RADII), *((radii[part], q) for part, q in PUBLISHED_RADII.items())):
        below = [(found < quartile).mean() for quartile in expected]
        error = math.sqrt(0.25 * (1 / PUBLISHED_PATHS + 1 / len(found)))
        assert below == pytest.approx((0.25, 0.5, 0.75), abs=3 * error)


@pytest.mark.parametrize(
    ("heading_deg", "anxiety", "part", "row", "column", "radius", "largest"),
    [
        (200.0, 0.005, 0.1, 41.968293, 58.165409, 1.826260, 0.151982),
        (200.0, 0.005, 1.0, 32.734263, 32.795119, 17.330127, 0.015587),
        (77.0, 0.01, 0.5, 18.637485, 29.379330, 8.683910, 0.031564),
        (325.0, 0.003, 0.1, 48.269802, 10.470979, 1.826971, 0.153117),
        (325.0, 0.003, 0.5, 41.383442, 20.305721, 8.683771, 0.031177),
    ],
)
def test_deblurgan_kernel_is_that_of_its_code(
    heading_deg: float, anxiety: float, part: float, row: float, column: float, radius: float, largest: float
) -> None:
    """A path without shakes, noise and pull, where the authors' code has no luck either: the place of its kernel on its
    canvas of 64 px, whose zero shift is at 31 (SciPy's convolution of mode ``same``), its width and its largest tap."""
    step = bs.kinds.DeblurganBlur(
        anxiety=anxiety,
        centripetal=0.0,
        big_shake=0.0,
        gaussian=0.0,
        heading_deg=heading_deg,
        exposure_fraction=part,
        seed=0,
    )
    psf = step.point_spread()
    assert psf.centroids()[0] + 31 == pytest.approx((row, column), abs=1e-5)
    assert radius_px(step) == pytest.approx(radius, abs=1e-5)
    assert psf.weight.max() / psf.weight.sum() == pytest.approx(largest, abs=1e-5)


def test_dbgan_like_blurs_in_many_ways() -> None:
    kinds = {fields["kind"] for _, fields in options("dbgan-like", "shake")}
    assert len(kinds) >= 5
    assert "identity" not in kinds


# Where a step stands in a camera; chains of the second order begin again where they decode for the second time.
RANK = {"decode": 0, "camera": 0, "depth": 0, "light": 1, "sensor": 2, "develop": 3, "encode": 4, "file": 5}


def rank(kind: type[bs.Degradation]) -> int | None:
    if kind is bs.kinds.Identity:
        return None
    if kind.makes_light or kind.sets_geometry:
        return RANK["decode"] if kind.makes_light else None
    if kind in (bs.kinds.Sensor, bs.kinds.Develop):
        return RANK["sensor" if kind is bs.kinds.Sensor else "develop"]
    if kind.gives is bs.Encoding.DISPLAY:
        return RANK["encode" if kind.takes is bs.Encoding.LINEAR else "file"]
    return RANK["light"]


@pytest.mark.parametrize("name", [n for n in bs.recipe_names() if n != "deblurgan"])
def test_light_passes_through_a_camera_in_its_order(name: str) -> None:
    recipe = bs.load_recipe(name)
    ranks = [{rank(kind) for kind in sampler.kinds()} - {None} for _, sampler in recipe.steps]
    for (step, sampler), r in zip(recipe.steps, ranks, strict=True):
        if step == "smoothing":  # a blur of the development, of less than a pixel
            assert set(sampler.kinds()) == {bs.kinds.GaussianBlur}
            assert max(dict(sampler.distributions())["sigma_px"].extremes()) < 1
            r.clear()
            r.add(RANK["develop"])
    assert all(len(r) <= 1 for r in ranks)
    order = [r.pop() for r in ranks if r]
    begun_again = sum(later < earlier for earlier, later in itertools.pairwise(order))  # type: ignore[operator]
    assert begun_again == (1 if name == "real-esrgan" else 0)


@pytest.mark.parametrize("name", bs.recipe_names())
def test_every_recipe_makes_pairs(name: str) -> None:
    recipe = bs.load_recipe(name)
    changed = 0.0
    for index, (source, top, left) in enumerate((("astronaut", 100, 180), ("coffee", 200, 301), ("chelsea", 101, 150))):
        frame = picture(source, top, left)
        draw = recipe.sample(frame, seed=3, index=index)
        pair = draw.pair(frame)
        for side in (pair.sharp, pair.blurred):
            assert side.encoding is bs.Encoding.DISPLAY
            assert side.image.shape == frame.image.shape
            assert np.isfinite(side.image).all()
            assert side.image.min() >= 0
            assert side.image.max() <= 1
        changed += float(np.abs(pair.blurred.image - pair.sharp.image).max())
        again = bs.Draw.from_dict(draw.to_dict(), bs.kinds.ALL).pair(frame)
        assert np.array_equal(again.blurred.image, pair.blurred.image)
    if name == "sharp":  # the one that does nothing
        assert changed == 0.0
    else:
        assert changed > 0.1


# The law of the pair in the space that a recipe blurs in; tests/laws/test_pair.py holds it for those in linear light.
ALIGNED = {"boracchi-foi": 1.0, "bsrgan": 1.0, "lai2016": 1.0, "real-esrgan": 1.0}
QUIET = {
    bs.kinds.GaussianNoise,
    bs.kinds.PoissonNoise,
    bs.kinds.Sensor,
    bs.kinds.Develop,
    bs.kinds.Jpeg,
    bs.kinds.Exposure,
}
# Smoothing of the registration in px -> side of the window that leaves room for 4 x 4 tiles of several widths each.
WINDOWS = {5.0: 400, 8.0: 400, 16.0: 800, 30.0: 1200}


@lru_cache
def scene() -> bs.Frame:
    """Structure at all scales: pink noise in three colors, as 8-bit codes, far from black and white."""
    rng = np.random.default_rng(3)
    side = max(WINDOWS.values()) + 160
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    spectrum = np.fft.rfft2(rng.normal(size=(3, side, side))) / np.maximum(frequency, 1 / side)
    waves = np.fft.irfft2(spectrum, s=(side, side))
    codes = np.clip(np.rint(120 + 30 * waves / waves.std()), 0, 255) / 255
    return bs.Frame(codes.astype(np.float32), bs.Encoding.DISPLAY)


def window(size_px: int, margin_px: int = 0) -> bs.Frame:
    first = (scene().size_px[0] - size_px) // 2 - margin_px
    return scene().crop(first, first, size_px + 2 * margin_px, size_px + 2 * margin_px)


def gray_light(frame: bs.Frame, gamma: float) -> NDArray[np.float64]:
    return np.asarray((frame.image[0].astype(np.float64) ** gamma).mean(axis=0))


@lru_cache
def registration(smoothing_px: float, gamma: float) -> MomentRegistration:
    return MomentRegistration(gray_light(window(WINDOWS[smoothing_px]), gamma), smoothing_px=smoothing_px, order=5)


def shifts_px(draw: bs.Draw, gamma: float) -> NDArray[np.float64]:
    """``[16, 2]`` where the blurred picture lies, in tiles, in the space that is blurred."""
    smoothing = next((s for s in WINDOWS if s >= 1.4 * blur_px(draw)), max(WINDOWS))
    reach = draw.reach_px(scene())
    assert reach is not None
    blurred = draw(window(WINDOWS[smoothing], reach), margin_px=reach)
    return registration(smoothing, gamma).shifts_px(gray_light(blurred, gamma))


def aliases(draw: bs.Draw) -> bool:
    """Whether it takes samples far apart without averaging: texture then becomes other texture."""
    return any(isinstance(s, bs.kinds.Rescale) and s.factor < 0.6 and s.down != "area" for _, s in draw.steps)


def mean_displacement_px(draw: bs.Draw) -> NDArray[np.float64]:
    """``[16, 2]`` how far the light of a tile has travelled on the mean: what the draw makes of a picture of the
    coordinates."""
    side, reach = 320, draw.reach_px(scene())
    assert reach is not None
    places = np.mgrid[: side + 2 * reach, : side + 2 * reach].astype(float)
    steps = tuple((n, s) for n, s in draw.steps if s.kind not in ("gamma_decode", "gamma_encode"))
    seen = bs.Draw(steps)(bs.Frame(places[None], "linear", origin_px=np.array([[37, 51]])), margin_px=reach)
    moved = seen.image[0] - places[:, reach : reach + side, reach : reach + side]
    return np.asarray(moved.reshape(2, 4, side // 4, 4, side // 4).mean(axis=(2, 4)).reshape(2, 16).T)


def blur_px(draw: bs.Draw) -> float:
    variance = 0.0
    for _, step in draw.steps:
        if isinstance(step, UniformBlur):
            psf = step.point_spread()
            variance += max(0.0, float(psf.weight @ (psf.dy.astype(float) ** 2 + psf.dx.astype(float) ** 2)) / 2)
        if isinstance(step, bs.kinds.Rescale):
            variance += max(0.0, 1 / step.factor**2) / 4
    return math.sqrt(variance)


@pytest.mark.parametrize(
    ("name", "count"),
    [item for name in ALIGNED for item in ((name, 6), pytest.param(name, 200, marks=pytest.mark.slow))],
)
def test_pairs_are_aligned(name: str, count: int) -> None:
    """Where a change of size aliases, a registration of textures is led astray: there the mean place is looked at."""
    full = bs.load_recipe(name)
    recipe = bs.Recipe([(n, sampler) for n, sampler in full.steps if not QUIET & set(sampler.kinds())])
    shifts = []
    for index in range(count):
        draw = recipe.sample(scene(), seed=20, index=index)
        found = mean_displacement_px(draw) if aliases(draw) else shifts_px(draw, ALIGNED[name])
        shifts.append(np.hypot(*found.T))
    assert np.median(shifts) < 0.05
    assert np.max(shifts) < 0.25
