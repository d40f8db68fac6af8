"""The law of the short exposure: the sharp picture of a pair has the middle part of every motion, centered, weaker noise of
its own, and everything else that the blurred picture has.

Anchors are lengths and moments worked out here from the paths, and the statistics of noise (fixed seeds, 5 sigma).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import blursynth as bs
from blursynth.core import other_seed, pairs
from blursynth.degradations.motion.motion_blur import MotionBlur
from blursynth.physics.point_spread import PointSpreads
from blursynth.testing import pictures

SIGMAS = 5.0
THIRD = bs.ShortExposure(fraction=0.3)

# Mostly at x = -20 while the shutter of a short exposure is open, but for a moment at +20, as before and after it.
SPIKE = bs.assets.register([[0, 20, 0], [1, 20, 0], [1.02, -20, 0], [2, -20, 0], [2.02, 20, 3], [2.04, -20, 0], [3, -20, 0],
                            [3.02, 20, 0], [4, 20, 0]])  # fmt: skip
PATHS: tuple[MotionBlur, ...] = (
    bs.kinds.LinearMotion(length_px=40.0, angle_deg=33.0),
    bs.kinds.LinearMotion(length_px=40.0, angle_deg=-70.0, exposure_fraction=0.5, unit_sum=False),
    bs.kinds.AcceleratedMotion(speed_px=8.0, acceleration_px=50.0, angle_deg=20.0),
    bs.kinds.RandomWalkMotion(length_px=60.0, anxiety=0.02, heading_deg=120.0, seed=5),
    bs.kinds.RandomWalkMotion(length_px=60.0, anxiety=0.02, exposure_fraction=0.7, seed=6),
    bs.kinds.GaussianProcessMotion(sigma_px=8.0, seed=9),
    bs.kinds.RecordedMotion(recording=SPIKE, exposure_s=3.5, start_s=0.25, angle_deg=12.0),
)


def short(step: bs.Degradation, exposure: bs.ShortExposure = THIRD) -> Any:
    return step.short_exposure(exposure)


def moments(psf: PointSpreads) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean ``[2]`` and covariance ``[2, 2]`` of x and y."""
    taps = np.stack([psf.dx, psf.dy]).astype(float)
    mean = taps @ psf.weight / psf.weight.sum()
    apart = taps - mean[:, None]
    return mean, (psf.weight * apart) @ apart.T / psf.weight.sum()


def middle_of(blur: MotionBlur, fraction: float) -> NDArray[np.float64]:
    """``[N, 2]`` x and y at equal times during the short exposure, the first of them at its start."""
    path, spent = blur.path(), blur.durations()
    clock = np.linspace(0, 1, len(path)) if spent is None else np.append(0, np.cumsum(spent)) / np.sum(spent)
    middle, half = 0.5 * blur.exposure_fraction, 0.5 * fraction * blur.exposure_fraction
    time = np.linspace(middle - half, middle + half, 200_001)
    return np.stack([np.interp(time, clock, path[:, axis]) for axis in (0, 1)], axis=1)


@pytest.mark.parametrize("fraction", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("blur", PATHS, ids=[f"{n} {blur.kind}" for n, blur in enumerate(PATHS)])
def test_a_short_exposure_sees_the_middle_of_the_same_path(blur: MotionBlur, fraction: float) -> None:
    psf = short(blur, bs.ShortExposure(fraction=fraction)).point_spread()
    path = middle_of(blur, fraction)
    path = path - path.mean(axis=0)
    mean, covariance = moments(psf)
    assert abs(psf.weight.sum() - 1) < 1e-6  # with full light, however short
    assert np.abs(mean).max() < 1e-3
    # A point that rests on a pixel's center has no width; between two, d and 1 - d away, it has d (1 - d) of each.
    place = path - np.floor(path)
    expected = np.cov(path.T, bias=True) + np.diag((place * (1 - place)).mean(axis=0))
    assert np.abs(covariance - expected).max() < 1e-2 + 1e-3 * np.abs(expected).max()
    passed = np.unique(path.round(2), axis=0)
    for x, y in zip(psf.dx, psf.dy, strict=True):
        assert np.abs(passed - (x, y)).max(axis=1).min() < 1.02  # no light beside the path


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.9])
def test_of_a_straight_line_it_is_a_shorter_one(fraction: float) -> None:
    line = bs.kinds.LinearMotion(length_px=31.0, angle_deg=27.0)
    part = short(line, bs.ShortExposure(fraction=fraction)).point_spread().to_dense()
    expected = bs.kinds.LinearMotion(length_px=31.0 * fraction, angle_deg=27.0).point_spread().to_dense()
    assert part.shape == expected.shape
    assert np.abs(part - expected).max() < 1e-6


def test_a_part_that_reaches_farther_than_the_whole_has_the_margin_that_it_needs() -> None:
    """The mean of the whole path is in its middle; that of the part is at one of its ends, from which the other is far."""
    blur = bs.kinds.RecordedMotion(recording=SPIKE, exposure_s=4.0)
    step = short(blur, bs.ShortExposure(fraction=0.5))
    frame = pictures(batch=1, size_px=(60, 120))
    whole, part = blur.reach_px(frame), step.reach_px(frame)
    assert whole is not None
    assert part is not None
    assert part > 1.7 * whole
    draw = bs.Draw((("shake", blur),), bs.ShortExposure(fraction=0.5))
    assert draw.reach_px(frame) == part
    assert bs.Draw((("shake", blur),)).reach_px(frame) == whole
    window = (28, part, 4, 120 - 2 * part)
    assert np.abs(draw.pair(frame, window=window).sharp.image - step(frame).crop(*window).image).max() < 1e-6
    with pytest.raises(bs.InvalidValueError, match=f"at least the reach of the steps, {part} px"):
        draw.pair(pictures(batch=1, size_px=(100, 100)), margin_px=part - 1)


def width_and_place(step: bs.Degradation, row: int, column: int) -> tuple[float, float]:
    """Standard deviation and mean along x, in px, of what becomes of a point of light at a pixel."""
    image = np.zeros((1, 1, 81, 161))
    image[0, 0, row, column] = 1
    camera = (bs.Intrinsics(focal_length_mm=4.2, pixel_pitch_um=1.4),)
    light = step(bs.Frame(image, "linear", camera=camera)).image[0, 0].sum(axis=0)
    x = np.arange(161) - column
    mean = float(light @ x / light.sum())
    return float(np.sqrt(light @ (x - mean) ** 2 / light.sum())), mean


def panned(**fields: Any) -> bs.kinds.RecordedShake:
    """A camera that turns to the right at .1 rad/s: with a focal length of 3000 px, the scene runs at 300 px/s."""
    gyro = bs.assets.register([[0, 0, 0.1, 0], [0.3, 0, 0.1, 0]])
    return bs.kinds.RecordedShake(recording=gyro, exposure_s=0.1, **fields)


@pytest.mark.parametrize("centered_on", ["mean", "mid", "start", "global_shutter"])
@pytest.mark.parametrize("readout_s", [0.0, 0.05])
def test_a_moving_camera_moves_for_a_part_of_the_time(readout_s: float, centered_on: Any) -> None:
    """A line of 30 px has a standard deviation of 30 / sqrt(12); that of a short exposure is in the middle, wherever the
    reference of the blurred picture is."""
    shake = panned(centered_on=centered_on, readout_s=readout_s)
    for row in (20, 60):
        whole, _ = width_and_place(shake, row, 80)
        part, place = width_and_place(short(shake), row, 80)
        assert abs(whole - 30 / np.sqrt(12)) < 0.1
        assert abs(part - 9 / np.sqrt(12)) < 0.1
        assert abs(place) < 0.02


def test_a_moving_camera_keeps_its_path() -> None:
    """The residual motion is that of the whole path between two times: here it turns back in the middle."""
    time = np.linspace(0, 0.1, 201)
    rate = np.where(time < 0.05, 0.2, -0.2)  # rad/s: 30 px there and back
    shake = bs.kinds.RecordedShake(
        recording=bs.assets.register(np.stack([time, 0 * time, rate, 0 * time], axis=1)), exposure_s=0.1
    )
    part, place = width_and_place(short(shake, bs.ShortExposure(fraction=0.4)), 40, 80)  # 12 px there and back
    assert abs(part - 12 / np.sqrt(12)) < 0.1
    assert abs(place) < 0.02


@pytest.mark.parametrize("motion", ["tremor", "random_walk"])
def test_the_shake_of_a_hand_lasts_as_long_as_the_shutter_is_open(motion: Any) -> None:
    """Its poses lie on the path of the whole, about their own mean."""
    shake = bs.kinds.CameraShake(
        exposure_s=0.1, yaw_mrad=4.0, pitch_mrad=3.0, roll_mrad=9.0, motion=motion, step_px=0.1, seed=4
    )
    whole, step = shake.path(), short(shake)
    camera = bs.Intrinsics(focal_length_mm=4.2, pixel_pitch_um=1.4)
    frame = bs.Frame(np.zeros((1, 1, 80, 120)), "linear", camera=(camera,))
    warps = step.warps(frame)
    weight, matrix = warps.weight[0, 0], warps.matrix[0]
    center = np.array([59.5, 39.5, 1.0])
    seen = matrix @ center
    place = seen[:, :2] / seen[:, 2:] - center[:2]
    assert np.abs(weight @ place).max() < 0.01
    turn = whole(np.linspace(0.035, 0.065, 4001)).orientation[:, :, 2]  # where the optical axis points
    expected = 3000 * turn[:, :2] / turn[:, 2:]
    expected -= expected.mean(axis=0)
    apart = np.hypot(*(place[:, None] - expected[None]).transpose(2, 0, 1)).min(axis=1)
    assert np.abs(expected).max() > 1
    assert apart.max() < 0.05
    spreads = [np.linalg.eigvalsh(one) for one in (np.cov(place.T, aweights=weight, bias=True), np.cov(expected.T))]
    assert np.abs(spreads[0] - spreads[1]).max() < 0.005  # along and across: the mean pose has a roll of its own


@pytest.mark.parametrize("centered_on", ["mean", "start"])
def test_a_zoom_zooms_by_a_part_of_its_ratio(centered_on: Any) -> None:
    frame = pictures(batch=1)
    zoom = bs.kinds.Zoom(scale=1.3, center_row_px=10.0, centered_on=centered_on)
    expected = bs.kinds.Zoom(scale=1.3**0.3, center_row_px=10.0)(frame)
    assert np.abs(short(zoom)(frame).image - expected.image).max() < 1e-5


def test_objects_move_along_the_middle_of_their_paths() -> None:
    motion = bs.kinds.ObjectMotion(
        length_px=50.0, slowest=0.3, spread_deg=180.0, acceleration=0.8, bend_deg=90.0, still_fraction=0.2, seed=3
    )
    labels = np.arange(1, 9, dtype=np.int32)
    whole, part = motion.paths(labels), short(motion).paths(labels)
    time = np.linspace(0, 1, whole.shape[1])
    at = np.linspace(0.35, 0.65, part.shape[1])
    assert (np.ptp(part, axis=1).max(axis=1) > 1).sum() >= 4
    for own, all_of_it in zip(part, whole, strict=True):
        middle = np.stack([np.interp(at, time, all_of_it[:, axis]) for axis in (0, 1)], axis=1)
        segments = 0.5 * (middle[1:] + middle[:-1])
        assert np.abs(own - (middle - segments.mean(axis=0))).max() < 0.01
        assert np.abs((0.5 * (own[1:] + own[:-1])).mean(axis=0)).max() < 1e-9
    frame = pictures(batch=1)
    reach = short(motion).reach_px(frame)
    assert reach is not None
    assert np.hypot(part[..., 0], part[..., 1]).max() <= reach < 0.4 * (motion.reach_px(frame) or 0)


def test_parallax_is_that_of_the_middle_of_the_path() -> None:
    camera = bs.kinds.DepthParallax(length_mm=8.0, anxiety=0.02, heading_deg=30.0, seed=4)
    whole, part = camera.path_mm(), short(camera).path_mm()
    at = np.linspace(0.35, 0.65, len(part))
    middle = np.stack([np.interp(at, np.linspace(0, 1, len(whole)), whole[:, axis]) for axis in (0, 1)], axis=1)
    apart = part - middle
    assert np.ptp(apart, axis=0).max() < 1e-9  # one shift of all
    assert np.abs((0.5 * (part[1:] + part[:-1])).mean(axis=0)).max() < 1e-9
    assert abs(np.hypot(*np.diff(part, axis=0).T).sum() - 0.3 * 8.0) < 0.02


MOMENTS: tuple[bs.Degradation, ...] = (
    bs.kinds.FrameAverage.example(),
    bs.kinds.DeblurganBlur.example(),
    bs.kinds.MeasuredBlur.example(),
    bs.kinds.ObjectMotion(length_px=9.0, frames=5),
    bs.kinds.CameraShake(exposure_s=0.1, yaw_mrad=2.0, frames=5, seed=1),
    bs.kinds.Zoom(scale=1.2, frames=5),
)


@pytest.mark.parametrize("step", MOMENTS, ids=[step.kind for step in MOMENTS])
def test_what_has_no_parts_is_one_moment(step: bs.Degradation) -> None:
    assert short(step) == step.target() == bs.kinds.Identity()


def residual(step: bs.Degradation, light: bs.Frame) -> NDArray[np.float64]:
    """What differs from the mean, in units of white: ``[C, H, W]``."""
    result = step(light)
    image = np.asarray(result.image[0], np.float64)
    if result.raw is not None:
        image = (image - result.raw.black_dn[0]) / (result.raw.white_dn[0] - result.raw.black_dn[0])
    return image - image.mean(axis=(1, 2), keepdims=True)


NOISES: tuple[bs.Degradation, ...] = (
    bs.kinds.GaussianNoise(sigma=0.05, correlation=0.3, seed=5),
    bs.kinds.PoissonNoise(peak=80.0, scale=1.4, seed=5),
    bs.kinds.Sensor(full_well_e=900.0, read_noise_e=4.0, bit_depth=12, seed=5),
    # Rounding is a sixth of the variance of its darkest pixels.
    bs.kinds.Sensor(full_well_e=2000.0, read_noise_e=6.0, bit_depth=8, seed=5),
    bs.kinds.Sensor(full_well_e=4000.0, white_level_e=1500.0, read_noise_e=2.0, bit_depth=10, dark_current_e_per_s=300.0,
                    exposure_s=0.01, seed=5),
    bs.kinds.Sensor(full_well_e=2000.0, read_noise_e=3.0, read_noise_shape=0.1, rounding=False, seed=5),
)  # fmt: skip


@pytest.mark.parametrize("noise", [0.25, 0.6, 1.0])
@pytest.mark.parametrize("step", NOISES, ids=[f"{n} {step.kind}" for n, step in enumerate(NOISES)])
@pytest.mark.parametrize("level", [0.003, 0.3])
def test_noise_is_weaker_by_the_factor_and_independent(step: bs.Degradation, level: float, noise: float) -> None:
    frame = bs.Frame(np.full((1, 3, 400, 400), level), "linear")
    blurred, sharp = residual(step, frame), residual(short(step, bs.ShortExposure(noise=noise)), frame)
    n = blurred.size
    # A standard deviation has the relative error sqrt((kurtosis - 1) / 4n): heavy tails of Poisson counts and Tukey's.
    kurtosis = max(float((x**4).mean() / x.var() ** 2) for x in (blurred, sharp))
    error = np.sqrt((kurtosis - 1) / (4 * n / 3)) * np.sqrt(2)  # channels may be correlated
    assert abs(sharp.std() / blurred.std() / noise - 1) < SIGMAS * error
    assert abs(np.corrcoef(blurred[0].ravel(), sharp[0].ravel())[0, 1]) < SIGMAS / np.sqrt(n / 3)


def test_rows_and_columns_share_weaker_noise() -> None:
    sensor = bs.kinds.Sensor(
        full_well_e=1e4, row_noise_e=30.0, column_noise_e=20.0, shot_noise=False, rounding=False, seed=2
    )
    frame = bs.Frame(np.full((1, 1, 900, 1000), 0.5), "linear")
    for axis, sigma in ((2, 30.0), (1, 20.0)):
        lines = [
            residual(s, frame)[0].mean(axis=axis - 1) for s in (sensor, short(sensor, bs.ShortExposure(noise=0.3)))
        ]
        assert abs(lines[0].std() * 1e4 / sigma - 1) < SIGMAS / np.sqrt(2 * 900)
        assert abs(lines[1].std() / lines[0].std() / 0.3 - 1) < SIGMAS / np.sqrt(900)


def test_the_sensor_is_the_same_one() -> None:
    """Mosaic, colors, levels and patterns; light, dark current and clipping are where they were."""
    sensor = bs.kinds.Sensor(full_well_e=3000.0, white_level_e=2500.0, mosaic="GRBG", red_gain=2.0, blue_gain=1.6,
                             red_from_green=-0.4, prnu=0.01, dsnu_e=8.0, sensor_seed=4, dark_current_e_per_s=500.0,
                             exposure_s=0.2, read_noise_e=2.0, red_offset_dn=3.0, seed=11)  # fmt: skip
    light = pictures(batch=1, size_px=(200, 200))
    light = light.with_image(1.3 * light.image)
    blurred, sharp = sensor(light), short(sensor, bs.ShortExposure(noise=0.1))(light)
    assert blurred.raw is not None
    assert sharp.raw is not None
    for name in ("black_dn", "white_dn", "white_balance", "color_matrix", "saturation"):
        assert np.allclose(getattr(sharp.raw, name), getattr(blurred.raw, name), rtol=1e-12)
    assert sharp.raw.mosaic == blurred.raw.mosaic == ("GRBG",)
    apart = sharp.image.astype(float) - blurred.image
    assert abs(apart.mean()) < SIGMAS * apart.std() / np.sqrt(apart.size)
    assert (apart[blurred.image == blurred.image.max()] == 0).mean() > 0.9  # both are clipped there
    pattern = sensor.replace(shot_noise=False, read_noise_e=0.0, rounding=False)
    same = short(pattern, bs.ShortExposure(noise=0.1))(light).image
    assert (
        np.abs(same - pattern(light).image).max()
        < 1e-3 * np.abs(pattern(light).image - short(sensor)(light).image).max()
    )
    assert short(sensor).mosaic == "GRBG"


def test_noise_of_another_exposure_has_another_seed() -> None:
    for seed in (0, 1, 2**62, 2**63 - 1):
        assert 0 <= other_seed(seed) < 2**63
        assert other_seed(seed) != seed
    assert len({other_seed(seed) for seed in range(1000)} | set(range(1000))) == 2000


def test_the_cameras_noise_reduction_is_as_strong_as_its_noise() -> None:
    denoise = bs.kinds.Denoise(luma_codes=8.0, chroma_codes=20.0)
    assert short(denoise, bs.ShortExposure(noise=0.25)) == denoise.replace(luma_codes=2.0, chroma_codes=5.0)
    assert short(denoise) == bs.kinds.Identity()


@pytest.mark.parametrize("file", [bs.kinds.Jpeg(quality=70), bs.kinds.Webp(quality=70)], ids=["jpeg", "webp"])
def test_the_file_has_at_least_the_quality(file: Any) -> None:
    for least, expected in ((None, 70), (30, 70), (95, 95)):
        assert short(file, bs.ShortExposure(quality=least)) == file.replace(quality=expected)


QUIET = (
    ("decode", bs.kinds.Decode()),
    ("glare", bs.kinds.HighlightExpansion(peak=5.0, threshold=0.5, exponent=3)),
    ("lens", bs.kinds.DiskBlur(diameter_px=3.0)),
    (
        "sensor",
        bs.kinds.Sensor(full_well_e=5000.0, mosaic="RGGB", red_gain=1.9, shot_noise=False, rounding=False, seed=1),
    ),
    ("develop", bs.kinds.Develop()),
    ("encode", bs.kinds.Encode()),
    ("sharpen", bs.kinds.Sharpen(sigma_px=0.8, amount=1.5)),
    ("jpeg", bs.kinds.Jpeg(quality=60)),
)


def test_without_motion_and_noise_both_pictures_are_one() -> None:
    frame = pictures("display", size_px=(64, 48))
    pair = bs.Draw(QUIET, "short_exposure").pair(frame)
    assert np.array_equal(pair.sharp.image, pair.blurred.image)
    ideal = bs.Draw(QUIET).pair(frame)
    assert np.array_equal(ideal.blurred.image, pair.blurred.image)
    assert not np.array_equal(ideal.sharp.image, pair.sharp.image)


def test_steps_may_be_left_out_to_be_restored() -> None:
    draw = bs.Draw(QUIET, bs.ShortExposure(without=("lens", "jpeg")))
    left = bs.Draw(tuple((name, step) for name, step in QUIET if name not in ("lens", "jpeg")))
    frame = pictures("display", size_px=(64, 48))
    assert np.array_equal(draw.pair(frame).sharp.image, left(frame).image)
    with pytest.raises(bs.InvalidValueError, match=r"leaves out the step 'len'.*Did you mean 'lens'"):
        bs.Draw(QUIET, bs.ShortExposure(without=("len",)))


def test_of_the_whole_exposure_with_all_its_noise_both_pictures_are_alike() -> None:
    """Only the noise differs, and not in its strength: the law of the two pictures is one."""
    frame = bs.Frame(np.full((1, 3, 200, 220), 0.4, np.float32), "display")
    shake = bs.kinds.RandomWalkMotion(length_px=20.0, seed=3)
    sensor = bs.kinds.Sensor(full_well_e=800.0, read_noise_e=3.0, mosaic="RGGB", seed=8)
    steps = (QUIET[0], ("shake", shake), ("sensor", sensor), *QUIET[4:6])
    draw = bs.Draw(steps, bs.ShortExposure(fraction=1.0, noise=1.0))
    assert draw.target_draw()["shake"] == shake
    pair = draw.pair(frame, margin_px=draw.reach_px(frame) or 0)
    noise = [np.asarray(one.image[0, :, ::4, ::4], float) for one in (pair.sharp, pair.blurred)]
    noise = [one - one.mean(axis=(1, 2), keepdims=True) for one in noise]
    count = noise[0][0].size
    for c in range(3):
        assert abs(noise[0][c].std() / noise[1][c].std() - 1) < SIGMAS / np.sqrt(count)
        assert abs(np.corrcoef(noise[0][c].ravel(), noise[1][c].ravel())[0, 1]) < SIGMAS / np.sqrt(count)


@pytest.mark.parametrize("name", ["default", "mixed", "action"])
def test_windows_and_batches_equal_the_whole(name: str) -> None:
    target = {"target": "short_exposure", "target.fraction": 0.3, "target.noise": 0.4, "target.quality": 96}
    recipe = bs.load_recipe(name, changes=target)
    frame = pictures("display", batch=3, size_px=(150, 170))
    draws = [recipe.sample(frame[b], seed=4, index=b) for b in range(3)]
    window = (50, 60, 24, 30)
    part = pairs(draws, frame, window=window)
    for b, draw in enumerate(draws):
        whole = draw.pair(frame[b])
        sharp = draw.target_draw()(frame[b])
        assert np.array_equal(whole.sharp.image, sharp.image)
        for found, expected in ((part.sharp, whole.sharp), (part.blurred, whole.blurred)):
            apart = np.abs(found[b].image - expected.crop(*window).image)
            # A code on the border between two may fall to either side, and a block of JPEG with it.
            assert np.median(apart) < 1e-6
            assert (apart > 1e-6).mean() < 0.02
        assert whole.sharp.encoding is whole.blurred.encoding


def chosen(steps: Sequence[tuple[str, bs.Degradation]], names: str) -> tuple[tuple[str, bs.Degradation], ...]:
    return tuple((name, step) for name, step in steps if name in names.split())


def test_steps_that_both_pictures_share_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for kind in (bs.kinds.Decode, bs.kinds.DiskBlur, bs.kinds.Encode):
        within = kind.apply_within.__func__  # type: ignore[attr-defined]
        monkeypatch.setattr(
            kind, "apply_within", classmethod(lambda cls, *given, f=within: (calls.append(cls.kind), f(cls, *given))[1])
        )
    shake = ("shake", bs.kinds.LinearMotion(length_px=5.0))
    frame = pictures("display", batch=1)
    for target, lens in (("short_exposure", 1), ("scene", 1), (bs.ShortExposure(without=("lens",)), 1)):
        calls.clear()
        bs.Draw((*chosen(QUIET, "decode lens"), shake, QUIET[5]), target).pair(frame)
        assert calls.count("decode") == 1
        assert calls.count("disk_blur") == lens
        assert calls.count("encode") == 2
    calls.clear()
    bs.Draw((QUIET[0], shake, QUIET[2], QUIET[5]), "short_exposure").pair(frame)
    assert calls.count("disk_blur") == 2
