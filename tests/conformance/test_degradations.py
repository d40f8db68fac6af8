"""Every kind keeps the contract of degradations.

A kind is checked by its own example. One whose example leaves a field without effect (the angle of a round aperture), or
that has numbers with which it changes nothing, needs a line in CHOSEN.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.testing import check_degradation, pictures

KERNEL = bs.assets.register([[0.0, 0.1, 0.0], [0.2, 0.4, 0.3], [0.0, 0.0, 0.1]])
RECORDING = bs.assets.register([[0.0, 0.0, 0.0], [0.1, 3.0, 1.0], [0.25, 4.0, -2.0], [0.4, 1.0, -1.0]])

CURVE = bs.assets.register([[0.0, 0.1, 0.3, 0.6, 1.0], [0.0, 0.3, 0.6, 0.85, 1.0]])  # light, value

# A hand-held camera for 0.2 s at 100 Hz: time, position in m, quaternion.
_TIME_S = np.linspace(0.0, 0.2, 21)
SHAKE = bs.assets.register(
    np.column_stack(
        [
            *(_TIME_S, 0.004 * np.sin(9 * _TIME_S), 0.05 * _TIME_S**2, 0.01 * _TIME_S),
            *(0.001 * np.cos(20 * _TIME_S), 0.001 * np.sin(15 * _TIME_S), 0.1 * _TIME_S, np.ones(21)),
        ]
    )
)

# (an example in which every field has an effect, a record that changes nothing or None)
CHOSEN: tuple[tuple[bs.Degradation, bs.Degradation | None], ...] = (
    (bs.kinds.Identity(), bs.kinds.Identity()),
    (bs.kinds.GammaDecode(gamma=2.0, contrast=0.5), None),
    (bs.kinds.SigmoidDecode(exponent=0.7, midtone=0.55, contrast=0.3), None),
    (bs.kinds.MeasuredDecode(curve=CURVE), None),
    (bs.kinds.HighlightOffset(offset=0.5, threshold=0.7), bs.kinds.HighlightOffset(offset=0.0)),
    (bs.kinds.HighlightExpansion(peak=5.0, threshold=0.5, exponent=3), bs.kinds.HighlightExpansion(peak=1.0)),
    (
        bs.kinds.PlaneDepth(distance_m=2.0, tilt_deg=80.0, azimuth_deg=30.0, far_m=2.05, keep=False),
        bs.kinds.PlaneDepth(distance_m=2.0),
    ),
    (
        bs.kinds.GroundDepth(camera_height_m=1.6, horizon=0.4, far_m=900.0, keep=False),
        bs.kinds.GroundDepth(camera_height_m=1.6),
    ),
    (
        bs.kinds.LayeredDepth(near_m=0.5, far_m=8.0, spacing_px=12.0, size_px=9.0, keep=False, seed=3),
        bs.kinds.LayeredDepth(near_m=0.5, far_m=8.0, seed=3),
    ),
    (
        bs.kinds.DepthSmoothing(step=0.3, radius_px=2, color_codes=20.0, snap_px=1),
        bs.kinds.DepthSmoothing(step=0.0001, radius_px=1, snap_px=0),
    ),
    (bs.kinds.RandomObjects(spacing_px=12.0, size_px=9.0, keep=False, seed=3), bs.kinds.RandomObjects(seed=3)),
    (
        bs.kinds.ObjectMotion(
            length_px=4.0,
            slowest=0.9,
            angle_deg=80.0,
            spread_deg=20.0,
            acceleration=0.3,
            bend_deg=20.0,
            parts=2,
            seed=8,
        ),
        bs.kinds.ObjectMotion(length_px=0.0),
    ),
    (bs.kinds.Gain(gain=0.4), bs.kinds.Gain(gain=1.0)),
    (bs.kinds.Exposure(exposure_s=0.02, metered_s=0.03), bs.kinds.Exposure(exposure_s=0.01)),
    (bs.kinds.GammaEncode(gamma=2.0, contrast=0.5), None),
    (bs.kinds.SigmoidEncode(exponent=0.7, midtone=0.55, contrast=0.3), None),
    (bs.kinds.MeasuredEncode(curve=CURVE), None),
    (bs.kinds.GaussianBlur(sigma_px=1.3, aspect=0.5, angle_deg=30.0), bs.kinds.GaussianBlur(sigma_px=0.0)),
    (bs.kinds.DiskBlur(diameter_px=5.0), bs.kinds.DiskBlur(diameter_px=0.0)),
    (bs.kinds.PolygonBlur(diameter_px=6.0, blades=5, angle_deg=10.0), bs.kinds.PolygonBlur(diameter_px=0.0)),
    (bs.kinds.MeasuredBlur(kernel=KERNEL), bs.kinds.MeasuredBlur(kernel=bs.assets.register([[1.0]]))),
    (
        bs.kinds.RandomWalkMotion(
            length_px=12.0, anxiety=0.05, heading_deg=20.0, samples=300, exposure_fraction=0.8, unit_sum=False, seed=5
        ),
        bs.kinds.RandomWalkMotion(length_px=0.0, seed=0),
    ),
    (
        bs.kinds.LinearMotion(length_px=7.5, angle_deg=33.0, exposure_fraction=0.7, unit_sum=False),
        bs.kinds.LinearMotion(length_px=0.0),
    ),
    (
        bs.kinds.AcceleratedMotion(
            speed_px=5.0, angle_deg=15.0, acceleration_px=6.0, exposure_fraction=0.9, unit_sum=False
        ),
        bs.kinds.AcceleratedMotion(speed_px=0.0, acceleration_px=0.0),
    ),
    (
        bs.kinds.GaussianProcessMotion(sigma_px=2.0, samples=50, seed=9, exposure_fraction=0.9, unit_sum=False),
        bs.kinds.GaussianProcessMotion(sigma_px=0.0, seed=0),
    ),
    (
        bs.kinds.RecordedMotion(
            recording=RECORDING, start_s=0.05, exposure_s=0.3, angle_deg=12.0, exposure_fraction=0.9, unit_sum=False
        ),
        bs.kinds.RecordedMotion(recording=RECORDING, exposure_s=0.3, scale=0.0),
    ),
    (
        bs.kinds.SetIntrinsics(
            focal_length_mm=5.0, pixel_pitch_um=2.0, principal_row_px=15.0, principal_column_px=22.5
        ),
        bs.kinds.SetIntrinsics(focal_length_mm=4.2, pixel_pitch_um=1.4),
    ),
    (
        bs.kinds.CameraShake(
            exposure_s=0.1,
            pitch_mrad=1.0,
            yaw_mrad=1.5,
            roll_mrad=40.0,
            roll_row_px=12.0,
            roll_column_px=30.0,
            x_mm=1.0,
            y_mm=0.5,
            z_mm=2.0,
            nearest_m=0.5,
            seed=3,
        ),
        bs.kinds.CameraShake(exposure_s=0.1, seed=3),
    ),
    (
        bs.kinds.RollingShutter(
            exposure_s=0.05,
            readout_s=0.04,
            pitch_mrad=1.0,
            yaw_mrad=1.5,
            roll_mrad=40.0,
            x_mm=1.0,
            y_mm=0.5,
            z_mm=2.0,
            nearest_m=0.5,
            seed=3,
        ),
        bs.kinds.RollingShutter(exposure_s=0.05, readout_s=0.04, seed=3),
    ),
    (
        bs.kinds.RecordedShake(recording=SHAKE, start_s=0.02, exposure_s=0.05, readout_s=0.03, nearest_m=0.5),
        bs.kinds.RecordedShake(
            recording=bs.assets.register([[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]), exposure_s=0.05
        ),
    ),
    (bs.kinds.Zoom(scale=1.2, center_row_px=12.0, center_column_px=30.0), bs.kinds.Zoom(scale=1.0)),
    (
        bs.kinds.Sensor(
            full_well_e=3000.0,
            white_level_e=2900.0,
            read_noise_e=3.0,
            read_noise_shape=0.05,
            row_noise_e=2.0,
            column_noise_e=1.0,
            dark_current_e_per_s=200.0,
            exposure_s=0.1,
            prnu=0.01,
            dsnu_e=1.5,
            sensor_seed=4,
            mosaic="GRBG",
            red_gain=2.0,
            blue_gain=1.6,
            red_from_green=-0.4,
            red_from_blue=-0.1,
            green_from_red=-0.2,
            green_from_blue=-0.3,
            blue_from_red=0.05,
            blue_from_green=-0.4,
            red_offset_dn=4.0,
            green_red_offset_dn=-4.0,
            green_blue_offset_dn=5.0,
            blue_offset_dn=-6.0,
            seed=11,
        ),
        None,
    ),
    (
        bs.kinds.Defocus(
            f_number=2.0,
            focus_distance_m=2.0,
            blades=5,
            angle_deg=10.0,
            cats_eye=0.2,
            tolerance_px=0.5,
            tilt_deg=30.0,
            tilt_azimuth_deg=40.0,
            parts=2,
        ),
        bs.kinds.Defocus(f_number=500.0, focus_distance_m=2.0),
    ),
    (
        bs.kinds.DepthParallax(length_mm=0.8, anxiety=0.05, heading_deg=30.0, seed=4, parts=2),
        bs.kinds.DepthParallax(length_mm=0.0, seed=0),
    ),
    (
        bs.kinds.GeneralizedGaussianBlur(sigma_px=1.5, sigma_across_px=0.7, angle_deg=30.0, shape=0.6, size_px=7),
        bs.kinds.GeneralizedGaussianBlur(sigma_px=0.0),
    ),
    (
        bs.kinds.PlateauBlur(sigma_px=1.5, sigma_across_px=0.7, angle_deg=30.0, shape=1.5, size_px=7),
        bs.kinds.PlateauBlur(sigma_px=0.0),
    ),
    (bs.kinds.SincBlur(cutoff_rad_per_px=1.5, size_px=7), bs.kinds.SincBlur(cutoff_rad_per_px=1.5, size_px=1)),
    (
        bs.kinds.FrameAverage(
            frames=4,
            gap=0.5,
            interpolated=1,
            length_px=12.0,
            anxiety=0.05,
            heading_deg=20.0,
            samples=300,
            centered_on="mid",
            seed=5,
        ),
        bs.kinds.FrameAverage(frames=7, length_px=0.0, seed=0),
    ),
    (bs.kinds.GaussianNoise(sigma=0.1, correlation=0.3, seed=7), bs.kinds.GaussianNoise(sigma=0.0, seed=7)),
    (bs.kinds.PoissonNoise(peak=100.0, scale=0.7, seed=7), bs.kinds.PoissonNoise(peak=100.0, scale=0.0, seed=7)),
    (
        bs.kinds.Rescale(factor=0.4, down="bicubic", up="bilinear"),
        bs.kinds.Rescale(factor=1.0, down="bilinear", up="bilinear"),
    ),
    (bs.kinds.Develop(demosaic="bilinear", gain=1.1), None),
    (
        bs.kinds.Denoise(luma_codes=8.0, chroma_codes=20.0, luma_radius_px=1, chroma_radius_px=2),
        bs.kinds.Denoise(luma_codes=0.0, chroma_codes=0.0),
    ),
    (
        bs.kinds.Sharpen(sigma_px=0.8, amount=1.5, threshold_codes=2.0, limit_codes=20.0),
        bs.kinds.Sharpen(sigma_px=1.0, amount=0.0),
    ),
    (bs.kinds.Jpeg(quality=60, grid_row_px=3, grid_column_px=5), None),
    (
        bs.kinds.DeblurganBlur(
            anxiety=0.05,
            centripetal=0.5,
            big_shake=0.5,
            gaussian=5.0,
            heading_deg=20.0,
            length_px=18.0,
            canvas_px=26,
            samples=200,
            exposure_fraction=0.9,
            seed=4,
        ),
        None,
    ),
)

EXAMPLES = (*CHOSEN, *((kind.example(), None) for kind in bs.kinds.ALL if kind not in {type(e) for e, _ in CHOSEN}))


def _disk_aside(frame: bs.Frame) -> bs.Frame:
    """The picture of a disk that lies 2 px beside that of the depth."""
    assert frame.labels is not None
    disk = np.roll(frame.labels, 2, axis=2)[:, None]
    return frame.with_image((0.1 * frame.image + 0.6 * disk).astype(np.float32))


# Kinds whose every field shows only in pictures of another sort: objects that meet and reach the border, depth beside its picture.
FRAMES = {
    bs.kinds.ObjectMotion: bs.kinds.RandomObjects(spacing_px=12.0, size_px=12.0, keep=False, seed=2)(pictures()),
    bs.kinds.Develop: pictures(bs.Encoding.RAW, mosaic="GBRG"),
    bs.kinds.DepthSmoothing: _disk_aside(pictures()),
}


@pytest.mark.parametrize(("example", "identity"), EXAMPLES, ids=[e.kind for e, _ in EXAMPLES])
def test_contract(example: bs.Degradation, identity: bs.Degradation | None) -> None:
    check_degradation(example, identity=identity, frame=FRAMES.get(type(example)))


@pytest.mark.parametrize("kind", bs.kinds.ALL, ids=[k.kind for k in bs.kinds.ALL])
def test_every_kind_has_an_example(kind: type[bs.Degradation]) -> None:
    assert type(kind.example()) is kind


@pytest.mark.parametrize("kind", bs.kinds.ALL, ids=[k.kind for k in bs.kinds.ALL])
def test_every_field_is_described_and_bounded(kind: type[bs.Degradation]) -> None:
    assert kind.__doc__
    for name, field in kind.model_fields.items():
        assert field.description, f"{kind.__name__}.{name} has no description"


@pytest.mark.parametrize(("example", "identity"), EXAMPLES, ids=[e.kind for e, _ in EXAMPLES])
def test_float64_agrees_with_float32(example: bs.Degradation, identity: bs.Degradation | None) -> None:
    if isinstance(example, bs.kinds.Sensor):
        pytest.skip("a mean on the border between two counts may fall to either side")
    single = example(pictures(example.takes)).image
    double = example(pictures(example.takes, dtype=np.float64)).image
    assert double.dtype == np.float64
    # Codes of a file may fall to either side of a rounding border, in one pixel of very many.
    assert np.median(np.abs(single - double)) <= 1e-6 * np.abs(double).max()
    assert np.quantile(np.abs(single - double), 0.999) <= 1e-5 * np.abs(double).max()


@pytest.mark.parametrize(("example", "identity"), EXAMPLES, ids=[e.kind for e, _ in EXAMPLES])
def test_non_contiguous_pictures(example: bs.Degradation, identity: bs.Degradation | None) -> None:
    frame = pictures(example.takes)
    turned = np.ascontiguousarray(frame.image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not turned.flags.c_contiguous
    assert np.array_equal(example(frame.with_image(turned)).image, example(frame).image)


@pytest.mark.parametrize("kind", bs.kinds.ALL, ids=[k.kind for k in bs.kinds.ALL])
def test_wrong_encoding_is_refused(kind: type[bs.Degradation]) -> None:
    if kind.takes is None:
        pytest.skip("takes any encoding")
    example = next(e for e, _ in EXAMPLES if type(e) is kind)
    for encoding in bs.Encoding:
        if encoding is not kind.takes:
            with pytest.raises(InvalidValueError, match=f"{kind.kind} takes a {kind.takes} frame"):
                example(pictures(encoding))


def test_json_of_every_kind_is_plain() -> None:
    for example, _ in EXAMPLES:
        for value in json.loads(json.dumps(example.to_dict(), allow_nan=False)).values():
            assert value is None or isinstance(value, bool | int | float | str)


NOISE = {
    bs.kinds.GaussianNoise,
    bs.kinds.PoissonNoise,
}  # what is added to light and to be restored too, but spreads nothing


@pytest.mark.parametrize("kind", bs.kinds.ALL, ids=[k.kind for k in bs.kinds.ALL])
def test_what_blurs_says_so(kind: type[bs.Degradation]) -> None:
    """A step on light that the target does not pass through blurs, or is noise."""
    if kind is bs.kinds.Identity:
        pytest.skip("does nothing")
    example = next(e for e, _ in EXAMPLES if type(e) is kind)
    on_light = kind.takes == kind.gives == bs.Encoding.LINEAR and example.target() == bs.kinds.Identity()
    if on_light:
        assert kind.blurs == (kind not in NOISE)
    else:
        assert kind.blurs == (kind is bs.kinds.DeblurganBlur)  # a blur of codes


@pytest.mark.parametrize("kind", [k for k in bs.kinds.ALL if k.blurs], ids=lambda k: k.kind)
def test_blur_is_to_be_restored_and_reaches_beyond_the_pixel(kind: type[bs.Degradation]) -> None:
    example = next(e for e, _ in EXAMPLES if type(e) is kind)
    if isinstance(example, bs.kinds.DeblurganBlur):
        example = example.replace(stretch=False)  # its reach is that of the whole picture otherwise
    assert example.target() == bs.kinds.Identity()
    assert (example.reach_px(FRAMES.get(kind, pictures(kind.takes))) or 0) > 0


# Kinds of what happens while the shutter is open, and of a kernel that does not tell the time.
MOTION = {
    bs.kinds.ObjectMotion, bs.kinds.RandomWalkMotion, bs.kinds.LinearMotion, bs.kinds.AcceleratedMotion,
    bs.kinds.GaussianProcessMotion, bs.kinds.RecordedMotion, bs.kinds.FrameAverage, bs.kinds.CameraShake,
    bs.kinds.RollingShutter, bs.kinds.RecordedShake, bs.kinds.Zoom, bs.kinds.DepthParallax, bs.kinds.MeasuredBlur,
    bs.kinds.DeblurganBlur,
}  # fmt: skip


@pytest.mark.parametrize("kind", bs.kinds.ALL, ids=[k.kind for k in bs.kinds.ALL])
def test_a_short_exposure_of_every_kind(kind: type[bs.Degradation]) -> None:
    """A moment of motion is sharp; noise and what reduces it is gone without noise; everything else is the camera's."""
    example = next(e for e, _ in EXAMPLES if type(e) is kind)
    moment = example.short_exposure(bs.ShortExposure())
    if kind in MOTION or kind in NOISE or kind is bs.kinds.Denoise:
        assert moment == bs.kinds.Identity()
    elif isinstance(example, bs.kinds.Sensor):
        assert moment == example.target().replace(mosaic=example.mosaic)
    else:
        assert moment == example
    whole = example.short_exposure(bs.ShortExposure(fraction=1.0, noise=1.0))
    if hasattr(example, "shutter_fraction"):
        assert kind in MOTION
        assert whole == example.replace(**{"unit_sum": True} if hasattr(example, "unit_sum") else {})
    elif kind in NOISE or kind is bs.kinds.Sensor:
        assert whole != example
        assert whole == example.replace(seed=whole.seed)  # type: ignore[attr-defined]
    else:
        assert whole == (bs.kinds.Identity() if kind in MOTION else example)


@pytest.mark.parametrize(
    "kind", [k for k in bs.kinds.ALL if "shutter_fraction" in k.model_fields], ids=lambda k: k.kind
)
def test_a_hundredth_of_the_exposure_blurs_little(kind: type[bs.Degradation]) -> None:
    example = next(e for e, _ in EXAMPLES if type(e) is kind)
    frame = FRAMES.get(kind, pictures(kind.takes))
    changes = [example.short_exposure(bs.ShortExposure(fraction=f))(frame).image - frame.image for f in (0.01, 0.5, 1)]
    little, half, whole = (float(np.abs(change).mean()) for change in changes)
    assert little < 0.1 * whole
    assert little < half < whole
