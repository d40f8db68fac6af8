"""The law of the pair: the blurred picture lies where the sharp one does, in every recipe that ships.

docs/laws.md, "Pair": over 200 draws with the noise off, registration of blurred to sharp in 4 x 4 tiles; median shift below .05 px,
largest below .25 px. A shifted kernel must fail, and a flipped one too: a flip leaves a centered kernel centered, so that
it shows in the third moments only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

import blursynth as bs
from blursynth.degradations.lens.depth_blur import DepthBlur
from blursynth.degradations.lens.uniform_blur import UniformBlur
from blursynth.degradations.motion.warp_blur import WarpBlur
from blursynth.degradations.published.deblurgan_blur import DeblurganBlur
from blursynth.physics.color import srgb_to_linear
from blursynth.physics.point_spread import PointSpreads
from blursynth.testing import MomentRegistration

# Of a fault that shows in one draw of fifteen, 40 draws miss 6 of 100, six draws 66.
DRAWS, QUICK_DRAWS, REGISTERED = 200, 40, 6
# What moves no light: noise, what undoes a sensor, compression, and brightness that both pictures of a pair clip alike.
NOISE = {
    bs.kinds.Gain,
    bs.kinds.Sensor,
    bs.kinds.Develop,
    bs.kinds.Jpeg,
    bs.kinds.HighlightExpansion,
    bs.kinds.HighlightOffset,
    bs.kinds.Denoise,
    bs.kinds.Sharpen,
}
# A camera's curve is undone and put back by the same numbers; here light is read by sRGB's, so that takes its place.
CURVES = {
    bs.kinds.SigmoidDecode: bs.kinds.Decode(),
    bs.kinds.SigmoidEncode: bs.kinds.Encode(),
    bs.kinds.GammaDecode: bs.kinds.Decode(),
    bs.kinds.GammaEncode: bs.kinds.Encode(),
}
# `deblurgan` is off center as published: its shift must be the recorded kernel's centroid, see below.
# Those that blur codes or another gamma's light are held in tests/recipes/test_published.py, in the space that they blur.
IN_CODES = {"boracchi-foi", "bsrgan", "gopro", "gopro-average", "lai2016", "real-esrgan"}
ALIGNED = [name for name in bs.recipe_names() if name not in {"deblurgan", *IN_CODES}]

# Smoothing of the registration in px -> side of the window that leaves room for 4 x 4 tiles of several widths each.
WINDOWS = {3.0: 400, 5.0: 400, 8.0: 400, 16.0: 800, 30.0: 1200}


@lru_cache
def scene() -> bs.Frame:
    """Structure at all scales: pink noise in three colors, as 8-bit codes."""
    rng = np.random.default_rng(3)
    side = WINDOWS[30.0] + 120
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    spectrum = np.fft.rfft2(rng.normal(size=(3, side, side))) / np.maximum(frequency, 1 / side)
    waves = np.fft.irfft2(spectrum, s=(side, side))
    codes = np.clip(np.rint(120 + 45 * waves / waves.std()), 0, 255) / 255
    return bs.Frame(codes.astype(np.float32), bs.Encoding.DISPLAY)


def window(size_px: int, margin_px: int = 0, whole: bs.Frame | None = None) -> bs.Frame:
    """The middle of the scene, or of another picture."""
    whole = scene() if whole is None else whole
    first = (whole.size_px[0] - size_px) // 2 - margin_px
    return whole.crop(first, first, size_px + 2 * margin_px, size_px + 2 * margin_px)


LIGHT = srgb_to_linear(np.arange(256) / 255)


def gray_light(frame: bs.Frame) -> NDArray[np.float64]:
    """Of 8-bit codes."""
    codes = np.rint(255 * frame.image[0]).astype(np.uint8)
    assert np.abs(codes / np.float32(255) - frame.image[0]).max() < 1e-6
    return LIGHT[codes].mean(axis=0)


@lru_cache
def registration(smoothing_px: float) -> MomentRegistration:
    return MomentRegistration(gray_light(window(WINDOWS[smoothing_px])), smoothing_px=smoothing_px, order=5)


def width_px(draw: bs.Draw) -> float:
    """Root mean square radius of all blurs of a draw together, per axis; of those that vary, where they are widest."""
    variance = 0.0
    frame = window(WINDOWS[3.0])
    for _, step in draw.steps:
        frame = step.geometry(frame)
        if isinstance(step, DepthBlur):
            variance += float(np.abs(step.layers(frame).radius_px).max()) ** 2 / 4
        if isinstance(step, WarpBlur):
            variance += float(step.reach_px(frame) or 0) ** 2 / 6
        if isinstance(step, bs.kinds.ObjectMotion):
            variance += step.length_px**2 / 12
        if isinstance(step, UniformBlur | DeblurganBlur):
            psf = step.point_spread()
            dy, dx = psf.dy - psf.centroids()[0, 0], psf.dx - psf.centroids()[0, 1]
            variance += float(psf.weight @ (dy**2 + dx**2)) / 2 / float(psf.sums()[0])
    return float(np.sqrt(variance))


def smoothing(draw: bs.Draw) -> float:
    width = 1.4 * width_px(draw)
    return next((s for s in WINDOWS if s >= width), max(WINDOWS))


def without_noise(recipe: bs.Recipe) -> bs.Recipe:
    return bs.Recipe(
        [
            (name, next((CURVES[kind] for kind in sampler.kinds() if kind in CURVES), sampler))
            for name, sampler in recipe.steps
            if not NOISE & set(sampler.kinds())
        ]
    )


def blurred(draw: bs.Draw, size_px: int) -> NDArray[np.float64]:
    reach = draw.reach_px(scene())
    assert reach is not None
    return gray_light(draw(window(size_px, reach), margin_px=reach))


def varies(name: str) -> bool:
    return any(kind.varies for _, sampler in bs.load_recipe(name).steps for kind in sampler.kinds())


@pytest.mark.parametrize("name", [name for name in ALIGNED if not varies(name)])
def test_pairs_are_aligned(name: str) -> None:
    recipe = without_noise(bs.load_recipe(name))
    shifts = []
    for index in range(DRAWS):
        draw = recipe.sample(scene(), seed=20, index=index)
        width = smoothing(draw)
        shifts.append(np.hypot(*registration(width).shifts_px(blurred(draw, WINDOWS[width])).T))
    assert np.median(shifts) < 0.05
    assert np.max(shifts) < 0.25


@lru_cache
def small_scene() -> bs.Frame:
    """A part of the scene as a full picture of its own, in which draws of blur that varies take a few hundredths of a
    second instead of tenths: every step looks at the depth of the whole."""
    return bs.Frame(window(400).image, bs.Encoding.DISPLAY)


VARYING = [name for name in ALIGNED if varies(name)]


def assert_light_stays_in_place(name: str, draws: int, whole: bs.Frame, size_px: int) -> None:
    """Where the blur is not the same all over a tile, a registration of textures finds no mean shift of it. The mean
    place that every pixel's light comes from is exact: it is what the draw makes of a picture of the coordinates.

    Beside the edge of a nearer surface, that surface's light comes from its own side alone: there a shift is right, of
    up to half the blur. Everywhere else there is none.
    """
    recipe = without_noise(bs.load_recipe(name))
    shifts, one_surface = [], 0
    for index in range(draws):
        draw = recipe.sample(whole, seed=20, index=index)
        apart = far_from_edges(draw, size_px, whole)
        one_surface += np.count_nonzero(apart)
        shifts.append(np.hypot(*displacement_px(draw, size_px, whole))[apart])
    assert one_surface > 0.2 * draws * size_px**2
    assert np.median(np.concatenate(shifts)) < 0.05
    assert np.max(np.concatenate(shifts)) < 0.25


@pytest.mark.parametrize("name", VARYING)
def test_pairs_with_varying_blur_are_aligned(name: str) -> None:
    assert_light_stays_in_place(name, QUICK_DRAWS, small_scene(), 120)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARYING)
def test_many_pairs_with_varying_blur_are_aligned(name: str) -> None:
    """In a picture of the size that the other recipes have; draws without edges of depth are registered too."""
    assert_light_stays_in_place(name, DRAWS, scene(), 320)
    recipe = without_noise(bs.load_recipe(name))
    registered: list[NDArray[np.float64]] = []
    for index in range(DRAWS):
        draw = recipe.sample(scene(), seed=20, index=index)
        if len(registered) < REGISTERED and not hides(draw):
            width = smoothing(draw)
            registered.append(np.hypot(*registration(width).shifts_px(blurred(draw, WINDOWS[width])).T))
    if registered:
        assert np.median(registered) < 0.05
        assert np.max(registered) < 0.25


def test_a_target_at_the_start_of_the_exposure_breaks_the_law() -> None:
    for centered_on, aligned in (("mean", True), ("start", False)):
        shake = bs.kinds.CameraShake(exposure_s=0.1, yaw_mrad=3.0, pitch_mrad=2.0, centered_on=centered_on, seed=3)
        draw = bs.Draw((("camera", bs.kinds.SetIntrinsics(focal_length_mm=4.2, pixel_pitch_um=2.8)), ("shake", shake)))
        assert (np.hypot(*displacement_px(draw, 64, small_scene())).max() < 0.05) == aligned


def hides(draw: bs.Draw) -> bool:
    """Whether nearer surfaces cover farther ones in it."""
    return any(
        (isinstance(step, DepthBlur) and step.form == "occlusion") or isinstance(step, bs.kinds.ObjectMotion)
        for _, step in draw.steps
    )


def far_from_edges(draw: bs.Draw, size_px: int, whole: bs.Frame) -> NDArray[np.bool_]:
    """``[H, W]`` whether all light of a pixel comes from one surface."""
    from scipy.ndimage import maximum_filter, minimum_filter

    reach = draw.reach_px(whole)
    assert reach is not None
    frame = window(size_px, reach, whole)
    apart = np.ones((size_px, size_px), bool)
    inside = slice(reach, reach + size_px)
    for _, step in draw.steps:
        frame = step.geometry(frame)
        within, surface = 0.0, frame.labels
        if isinstance(step, DepthBlur) and step.form == "occlusion":
            within, surface = float(np.abs(step.layers(frame).radius_px).max()), frame.depth_m
        if isinstance(step, bs.kinds.ObjectMotion):
            within = step.length_px
        if within > 0:
            # What other steps add to it is wider by no more than their own reach.
            side = (
                2
                * int(
                    np.ceil(within)
                    + sum(
                        s.reach_px(frame) or 0
                        for _, s in draw.steps
                        if not isinstance(s, DepthBlur | bs.kinds.ObjectMotion)
                    )
                )
                + 1
            )
            assert surface is not None
            same = maximum_filter(surface[0], side) == minimum_filter(surface[0], side)
            apart &= same[inside, inside]
    return apart


def displacement_px(draw: bs.Draw, size_px: int, whole: bs.Frame) -> NDArray[np.float64]:
    """``[2, H, W]`` how far each pixel's light has travelled on average, rows and columns."""
    reach = draw.reach_px(whole)
    assert reach is not None
    around = window(size_px, reach, whole)
    places = np.mgrid[: size_px + 2 * reach, : size_px + 2 * reach].astype(float)
    ramps = bs.Frame(places[None], "linear", origin_px=around.origin_px, full_size_px=around.full_size_px)
    light = bs.Draw(tuple((name, step) for name, step in draw.steps if step.kind not in ("decode", "encode")))
    inside = slice(reach, reach + size_px)
    return places[:, inside, inside] - light(ramps, margin_px=reach).image[0]


@pytest.mark.parametrize("name", ["default", "mixed", "clean", "steady-hand", "portrait", "sharp"])
def test_the_target_is_the_source(name: str) -> None:
    """Code by code, whatever curve is drawn, where the sharp picture is the scene."""
    codes = np.arange(256).reshape(1, 1, 16, 16).repeat(3, axis=1) / 255
    frame = bs.Frame(codes.astype(np.float32), bs.Encoding.DISPLAY)
    recipe = bs.load_recipe(name, changes={"target": "scene"})
    for index in range(5):
        draw = recipe.sample(frame, seed=0, index=index)
        assert np.array_equal(draw.target_draw()(frame).image, frame.image)


@pytest.mark.parametrize("name", bs.recipe_names())
def test_a_camera_has_one_curve(name: str) -> None:
    """What it is undone by and what it is put back by."""
    draw = bs.load_recipe(name).sample(window(64), seed=0, index=0)
    curves = {
        kind: [step for _, step in draw.steps if step.kind == kind] for kind in ("sigmoid_decode", "sigmoid_encode")
    }
    undone, put_back = (
        [(step.exponent, step.midtone, step.contrast) for step in steps]  # type: ignore[attr-defined]
        for steps in curves.values()
    )
    assert undone == put_back


def lopsided() -> bs.kinds.RandomWalkMotion:
    return bs.kinds.RandomWalkMotion(length_px=25.0, anxiety=0.004, heading_deg=70.0, seed=3)


def third_moments(psf: PointSpreads) -> NDArray[np.float64]:
    return np.array([psf.weight @ psf.dy.astype(float) ** 3, psf.weight @ psf.dx.astype(float) ** 3])


def through(monkeypatch: pytest.MonkeyPatch, change: Callable[[PointSpreads], PointSpreads]) -> NDArray[np.float64]:
    """The blurred picture with every kernel changed on its way to the convolution, and to the margin that this needs."""
    point_spread = UniformBlur.point_spread
    with monkeypatch.context() as patch:
        patch.setattr(UniformBlur, "point_spread", lambda self: change(point_spread(self)))
        return blurred(
            bs.Draw((("decode", bs.kinds.Decode()), ("shake", lopsided()), ("encode", bs.kinds.Encode()))), 400
        )


def same(psf: PointSpreads) -> PointSpreads:
    return psf


def flipped(psf: PointSpreads) -> PointSpreads:
    return PointSpreads.from_dense([psf.to_dense()[::-1, ::-1]])


def shifted(psf: PointSpreads) -> PointSpreads:
    return PointSpreads(psf.start, psf.dy, psf.dx + np.int32(1), psf.weight, psf.lost)


def obeys(picture: NDArray[np.float64]) -> bool:
    """Centered, and with the third moments of the recorded kernel: the whole law for one pair."""
    fit = registration(5.0)
    shift = np.hypot(*fit.shifts_px(picture).T)
    found = fit.moments(picture)
    third = np.median(found[:, [fit.terms.index((3, 0)), fit.terms.index((0, 3))]], axis=0)
    expected = third_moments(lopsided().point_spread())
    return bool(shift.max() < 0.25 and np.linalg.norm(third - expected) < 0.5 * np.linalg.norm(expected))


def test_a_shifted_or_flipped_kernel_breaks_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    assert obeys(through(monkeypatch, same))
    assert not obeys(through(monkeypatch, flipped))
    assert not obeys(through(monkeypatch, shifted))


def test_deblurgan_is_off_center_as_published_and_says_so() -> None:
    """The one recipe that breaks the law does so by name; the shift in its pairs is that of the recorded kernel."""
    recipe = bs.load_recipe("deblurgan", changes={"blur.stretch": False})
    shifts, errors = [], []
    for index in range(40):
        draw = recipe.sample(scene(), seed=20, index=index)
        step = draw["blur"]
        assert isinstance(step, DeblurganBlur)
        # In the space that it blurs in: file codes.
        reach = draw.reach_px(scene())
        assert reach is not None
        picture = draw(window(400, reach), margin_px=reach).image[0].mean(axis=0)
        recorded = step.point_spread().centroids()[0]
        shifts.append(np.hypot(*recorded))
        if max(np.abs(recorded)) < 3:  # the series needs a displacement within the smoothing
            fit = code_registration(8.0)
            errors.append(np.hypot(*(np.median(fit.shifts_px(picture), axis=0) - recorded)))
    assert np.median(shifts) > 0.25
    assert len(errors) >= 5
    assert np.median(errors) < 0.05


@lru_cache
def code_registration(smoothing_px: float) -> MomentRegistration:
    return MomentRegistration(window(400).image[0].mean(axis=0), smoothing_px=smoothing_px, order=5)
