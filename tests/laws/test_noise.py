"""The laws of noise (docs/laws.md, "Noise") through the public sensor: fixed seeds, a million samples, five standard
errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import blursynth as bs
from blursynth.physics.mosaic import color_sites, mosaic_code

SIGMAS = 5.0
SIZE_PX = 1024
N = SIZE_PX**2  # 1,048,576 pixels of a mosaic, three times as many without

MOSAICS = pytest.mark.parametrize("mosaic", [None, "GRBG"])


def flat(level: float, size_px: tuple[int, int] = (SIZE_PX, SIZE_PX), channels: int = 3) -> bs.Frame:
    return bs.Frame(np.full((1, channels, *size_px), level, np.float32), bs.Encoding.LINEAR)


def codes(sensor: bs.kinds.Sensor, frame: bs.Frame) -> np.ndarray:
    """``[C, H, W]`` the numbers of the first picture in float64."""
    return sensor(frame).image[0].astype(np.float64)


def sensor(**fields: object) -> bs.kinds.Sensor:
    given = {"full_well_e": 4000.0, "black_level_dn": 128, "bit_depth": 14, "gain_dn_per_e": 1.7, "seed": 1}
    return bs.kinds.Sensor(**{**given, **fields})


def variance_error(variance: float, samples: int, excess_kurtosis: float = 0.0) -> float:
    """The allowed error of a sample variance: 5 sqrt((2 + kappa) / N) of it."""
    return SIGMAS * np.sqrt((2 + excess_kurtosis) / samples) * variance


# -- mean and variance ------------------------------------------------------------------------------------------------


@MOSAICS
@pytest.mark.parametrize("level", [0.0, 0.003, 0.2, 0.6])
def test_mean_and_variance(mosaic: str | None, level: float) -> None:
    """``K (mu + D t) + O`` and ``K^2 (mu + D t + s_r^2 + s_prnu^2 mu^2 + s_dsnu^2) + 1/12``."""
    camera = sensor(
        mosaic=mosaic, read_noise_e=2.5, prnu=0.01, dsnu_e=1.5, sensor_seed=8, dark_current_e_per_s=30.0, exposure_s=0.5
    )
    dn, mu = codes(camera, flat(level)), 4000.0 * level
    variance = 1.7**2 * (mu + 15.0 + 2.5**2 + (0.01 * mu) ** 2 + 1.5**2) + 1 / 12
    assert dn.shape[0] == (3 if mosaic is None else 1)
    assert abs(dn.mean() - (1.7 * (mu + 15.0) + 128)) < SIGMAS * np.sqrt(variance / dn.size)
    assert abs(dn.var() - variance) < variance_error(variance, dn.size, 1 / (mu + 15))


@pytest.mark.parametrize("mosaic", [None, "RGGB", "BGGR", "GRBG", "GBRG"])
def test_each_color_has_its_own_light(mosaic: str | None) -> None:
    """Gray light of .25 makes white_level_e / 4 electrons in green, fewer in red and blue by the white balance."""
    camera = sensor(
        mosaic=mosaic, red_gain=2.0, blue_gain=1.6, red_from_green=-0.5, blue_from_green=-0.4, green_from_red=-0.2,
        red_offset_dn=9.0, green_red_offset_dn=-5.0, green_blue_offset_dn=-5.0, blue_offset_dn=3.0,
    )  # fmt: skip
    frame = flat(0.25)
    dn = codes(camera, frame)
    mean = np.array([500.0, 1000.0, 625.0])
    offset = np.array([9.0, -5.0, 3.0])
    sites = np.arange(3)[:, None, None]
    if mosaic is not None:
        sites = color_sites(mosaic_code(mosaic), (0, 0), (SIZE_PX, SIZE_PX))[None]
    for color in range(3):
        values = dn[np.broadcast_to(sites == color, dn.shape)]
        variance = 1.7**2 * mean[color] + 1 / 12
        expected = 1.7 * mean[color] + 128 + offset[color]
        assert abs(values.mean() - expected) < SIGMAS * np.sqrt(variance / values.size)
        assert abs(values.var() - variance) < variance_error(variance, values.size, 1 / mean[color])


@MOSAICS
@pytest.mark.parametrize("tails", [None, -0.1, 0.14])
def test_photon_transfer_from_differences_of_frames(mosaic: str | None, tails: float | None) -> None:
    """Variance against mean - O, up to 70 % of saturation: slope K within 1 %, intercept
    ``K^2 (s_r^2 + s_row^2 + D t) + 1/12``; PRNU and DSNU cancel in the differences."""
    gain, read, row, dark = 1.7, 3.0, 0.4, 5.0
    camera = sensor(
        mosaic=mosaic, gain_dn_per_e=gain, read_noise_e=read, read_noise_shape=tails, row_noise_e=row, prnu=0.008, dsnu_e=2.0,
        dark_current_e_per_s=dark / 0.01, exposure_s=0.01,
    )  # fmt: skip
    levels = np.concatenate([[0.0], np.geomspace(2e-3, 0.7, 5)])
    means, variances, shared = [], [], gain**2 * row**2
    for i, level in enumerate(levels):
        one, other = (codes(camera.replace(seed=100 + 2 * i + j), flat(level)) for j in (0, 1))
        difference = one - other
        means.append((one.mean() + other.mean()) / 2 - 128)
        variances.append((difference**2).mean() / 2)
        expected = gain**2 * (4000.0 * level + dark + read**2 + row**2) + 1 / 12
        kurtosis = 0.5 * (1 if tails is None or tails > 0 else 5) if level < 0.01 else 0.0
        allowed = variance_error(expected, difference.size, kurtosis)
        allowed += variance_error(shared, difference.shape[0] * difference.shape[1])
        assert abs(variances[-1] - expected) < allowed
    weight = 1 / np.array(variances)  # the error of a variance grows with it
    slope, intercept = np.polyfit(np.array(means) - gain * dark, variances, 1, w=weight)
    assert abs(slope / gain - 1) < 0.01
    dark_variance = gain**2 * (read**2 + row**2 + dark) + 1 / 12
    allowed = variance_error(dark_variance, N, 5.0) + variance_error(shared, SIZE_PX)
    assert abs(intercept - dark_variance) < allowed
    assert intercept > 0.24  # EMVA 1288: below it the converter's steps hide the noise


def test_the_photon_transfer_of_single_frames_shows_the_fixed_pattern() -> None:
    """Without differences the variance bends upwards by ``K^2 s_prnu^2 mu^2``."""
    camera = sensor(prnu=0.02)
    for level in (0.3, 0.7):
        dn, mu = codes(camera, flat(level)), 4000.0 * level
        excess = dn.var() - (1.7**2 * mu + 1 / 12)
        assert abs(excess - (1.7 * 0.02 * mu) ** 2) < variance_error(dn.var(), dn.size)


@pytest.mark.parametrize("mean_e", [0.5, 2.0, 10.0, 100.0])
def test_skew_of_shot_noise(mean_e: float) -> None:
    electrons = codes(sensor(gain_dn_per_e=1.0, white_level_e=1000.0), flat(mean_e / 1000.0)) - 128
    deviation = electrons - electrons.mean()
    skew = (deviation**3).mean() / (deviation**2).mean() ** 1.5
    # sqrt(6 / N) for a normal distribution; three times that covers the smallest mean
    assert abs(skew - mean_e**-0.5) < SIGMAS * np.sqrt(6 / electrons.size) * (3 if mean_e < 5 else 1)


# -- limits -----------------------------------------------------------------------------------------------------------


@MOSAICS
def test_counts_never_exceed_the_full_well(mosaic: str | None) -> None:
    camera = sensor(mosaic=mosaic, full_well_e=950.0, white_level_e=1000.0, gain_dn_per_e=1.0, prnu=0.01)
    dn = codes(camera, flat(1.0))
    assert dn.max() == 950 + 128
    response, weight = np.polynomial.hermite_e.hermegauss(40)
    share = weight @ special.pdtrc(949, 1000.0 + 10.0 * response) / weight.sum()  # P(N >= 950), over the pixels
    assert abs((dn == 1078).mean() - share) < SIGMAS * np.sqrt(share * (1 - share) / dn.size)
    assert codes(camera, flat(50.0)).min() == 1078


@MOSAICS
def test_saturation_happens_after_the_blur(mosaic: str | None) -> None:
    """``min(k*x, 1) >= k*min(x, 1)``: light that saturates the sensor is spread by the blur before it is cut off."""
    rng = np.random.default_rng(4)
    image = rng.uniform(0, 0.4, (1, 3, 96, 96)).astype(np.float32)
    image[..., 40:44, 50:54] = 30.0  # a lamp
    scene = bs.Frame(image, bs.Encoding.LINEAR)
    blur = bs.kinds.LinearMotion(length_px=9.0, angle_deg=20.0)
    quiet = sensor(full_well_e=1000.0, mosaic=mosaic, shot_noise=False, rounding=False, gain_dn_per_e=4.0)

    def cut_off(frame: bs.Frame) -> bs.Frame:
        return bs.kinds.Develop()(quiet(frame))

    if mosaic is None:
        after, before = cut_off(blur(scene)).image, blur(cut_off(scene)).image
    else:  # in raw numbers: the demosaic looks at neighbors
        after, clipped = quiet(blur(scene)).image, scene.with_image(np.minimum(scene.image, 1.0))
        before = quiet(blur(clipped)).image
    assert (after >= before * (1 - 1e-6) - 1e-6).all()
    assert (after > 1.5 * before).any()
    assert np.abs(after - before)[..., :20, :20].max() < 1e-3 * after.max()


def test_the_black_level_removes_the_clipping_bias() -> None:
    """Without it the lower half of the noise in the dark is cut off, and the mean rises by sigma / sqrt(2 pi)."""
    noisy = {"read_noise_e": 5.0, "gain_dn_per_e": 1.0, "full_well_e": 1000.0}
    with_black = bs.kinds.Develop()(sensor(black_level_dn=64, **noisy)(flat(0.0))).image.astype(np.float64)
    without = bs.kinds.Develop()(sensor(black_level_dn=0, **noisy)(flat(0.0))).image.astype(np.float64)
    sd = np.sqrt(25.0 + 1 / 12) / 1000.0
    assert abs(with_black.mean()) < SIGMAS * sd / np.sqrt(with_black.size)
    assert with_black.min() < 0
    assert without.mean() == pytest.approx(sd / np.sqrt(2 * np.pi), rel=0.02)


# -- rows, columns, neighbors ----------------------------------------------------------------------------------------


@MOSAICS
@pytest.mark.parametrize("axis", [1, 2], ids=["rows", "columns"])
def test_variance_of_rows_and_columns(mosaic: str | None, axis: int) -> None:
    """The means of rows (columns) have the variance ``K^2 (s_row^2 + s_r^2 / W)``; within them there is only the rest."""
    name, size_px = ("row_noise_e", (8192, 128)) if axis == 1 else ("column_noise_e", (128, 8192))
    camera = sensor(mosaic=mosaic, shot_noise=False, rounding=False, read_noise_e=1.0, **{name: 3.0})
    dn = codes(camera, flat(0.5, size_px))
    means = dn.mean(axis=3 - axis)
    expected = 1.7**2 * (3.0**2 + 1.0**2 / 128)
    assert abs(means.var() - expected) < variance_error(expected, means.size)
    within = dn.var(axis=3 - axis).mean() * 128 / 127
    assert abs(within - 1.7**2) < variance_error(1.7**2, dn.size)
    # The other way nothing is shared but the mean of all.
    across = dn.mean(axis=axis).var(axis=-1).mean() * 128 / 127
    assert abs(across - 1.7**2 / 8192) < variance_error(1.7**2 / 8192, 128 * dn.shape[0])
    lag = means[:, 1:] - means.mean(axis=1, keepdims=True)
    back = means[:, :-1] - means.mean(axis=1, keepdims=True)
    assert abs((lag * back).mean()) / expected < SIGMAS / np.sqrt(lag.size)


@MOSAICS
def test_raw_neighbors_are_uncorrelated(mosaic: str | None) -> None:
    """Row noise off, PRNU and DSNU removed by the difference of two frames: no pixel knows of another."""
    camera = sensor(mosaic=mosaic, read_noise_e=2.0, read_noise_shape=0.0, prnu=0.01, dsnu_e=2.0)
    difference = codes(camera, flat(0.1)) - codes(camera.replace(seed=2), flat(0.1))
    difference /= difference.std()
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (0, 16), (0, 512)):
        one = difference[:, down:, max(right, 0) : SIZE_PX + min(right, 0)]
        other = difference[:, : SIZE_PX - down, max(-right, 0) : SIZE_PX - max(right, 0)]
        assert abs((one * other).mean()) < SIGMAS / np.sqrt(one.size)


# -- fixed pattern ----------------------------------------------------------------------------------------------------


@MOSAICS
def test_the_fixed_pattern_belongs_to_the_sensor(mosaic: str | None) -> None:
    still = sensor(mosaic=mosaic, prnu=0.01, dsnu_e=2.0, shot_noise=False, rounding=False, sensor_seed=5)
    one = codes(still, flat(0.5))
    np.testing.assert_array_equal(one, codes(still.replace(seed=77), flat(0.5)))
    other = codes(still.replace(sensor_seed=6), flat(0.5))
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < SIGMAS / np.sqrt(one.size)
    # PRNU grows with the light, DSNU does not.
    for level in (0.0, 0.25):
        spread = codes(still, flat(level)).var()
        expected = 1.7**2 * ((0.01 * 4000 * level) ** 2 + 2.0**2)
        assert abs(spread - expected) < variance_error(expected, one.size)


@MOSAICS
def test_frames_of_one_sensor_share_its_pattern(mosaic: str | None) -> None:
    """The covariance of two noisy frames is that of the pattern, ``(K s_prnu mu)^2``, and 0 for two sensors."""
    camera = sensor(mosaic=mosaic, prnu=0.01, read_noise_e=2.0)
    mu = 2000.0
    frames = [codes(camera.replace(seed=s, sensor_seed=p), flat(0.5)) for s, p in ((1, 0), (2, 0), (2, 1))]
    one, same, other = (f - f.mean() for f in frames)
    variance = 1.7**2 * (mu + 4.0 + (0.01 * mu) ** 2) + 1 / 12
    error = SIGMAS * variance * np.sqrt(2 / one.size)
    assert abs((one * same).mean() - (1.7 * 0.01 * mu) ** 2) < error
    assert abs((one * other).mean()) < error


def test_a_crop_sees_the_pattern_and_the_noise_of_its_place() -> None:
    camera = sensor(mosaic="BGGR", prnu=0.01, dsnu_e=2.0, row_noise_e=1.0, column_noise_e=1.0, read_noise_e=2.0)
    rng = np.random.default_rng(3)
    scene = bs.Frame(rng.random((1, 3, 90, 110), np.float32), bs.Encoding.LINEAR)
    whole, part = camera(scene).image, camera(scene.crop(33, 21, 40, 50)).image
    np.testing.assert_array_equal(whole[..., 33:73, 21:71], part)


# -- noise and blur ---------------------------------------------------------------------------------------------------


def test_the_order_of_noise_and_blur() -> None:
    """Noise after the blur is white. Before it, it takes the blur's correlation, exp(-d^2 / (4 sigma^2)), and loses
    most of its variance: pictures that are blurred after a noisy exposure look unlike any camera's."""
    blur, camera, scene = bs.kinds.GaussianBlur(sigma_px=1.5), sensor(read_noise_e=2.0, gain_dn_per_e=3.0), flat(0.2)
    developed = bs.kinds.Develop()(camera(blur(scene))).image.astype(np.float64)
    blurred = blur(bs.kinds.Develop()(camera(scene))).image.astype(np.float64)
    variance = (800.0 + 4.0) / 4000.0**2 + 1 / 12 / (3 * 4000.0) ** 2
    assert abs(developed.var() - variance) < variance_error(variance, developed.size)
    for picture, expected in ((developed, 0.0), (blurred, np.exp(-1 / (4 * 1.5**2)))):
        noise = picture - picture.mean()
        correlation = (noise[..., 1:] * noise[..., :-1]).mean() / noise.var()
        assert abs(correlation - expected) < (0.02 if expected else SIGMAS / np.sqrt(noise.size))
    assert blurred.var() / variance == pytest.approx(1 / (4 * np.pi * 1.5**2), rel=0.05)
