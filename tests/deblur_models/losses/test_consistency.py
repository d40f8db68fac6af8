"""Consistency: round trips, and blurring again by the known draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from scipy import ndimage

import blursynth as bs
from blursynth.core import Degradation, Draw
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame
from deblur_models.data.batch import Batch
from deblur_models.losses import CONSISTENCY, CycleConsistency, ReBlur, make_consistency
from deblur_models.losses.consistency import blur_of, inverse_of, reblurred

SIZE_PX = 48
CODE = 1 / 255

KERNEL = bs.assets.register([[0.0, 0.1, 0.0], [0.2, 0.4, 0.3], [0.0, 0.0, 0.1]])
CURVE = bs.assets.register([[0.0, 0.1, 0.3, 0.6, 1.0], [0.0, 0.3, 0.6, 0.85, 1.0]])


def photograph(seed: int = 0, *, size_px: tuple[int, int] = (176, 190), brightest: float = 0.9) -> Frame:
    """Colored patches with edges and a gray texture, in 8-bit codes."""
    random = np.random.default_rng(seed)
    coarse = ndimage.gaussian_filter(random.random((3, *size_px)), (0, 6, 6))
    fine = ndimage.gaussian_filter(random.random(size_px), 1)
    picture = (coarse > 0.5) * 0.5 + 0.4 * (fine - fine.min()) / np.ptp(fine)
    codes = np.rint(picture / picture.max() * brightest * 255)
    return Frame((codes / 255).astype(np.float32)[None], Encoding.DISPLAY)


FULL = photograph()


def batch_of(
    draws: Sequence[Draw], full: Frame = FULL, *, corner: tuple[int, int] = (60, 70), size_px: int = SIZE_PX
) -> Batch:
    """Pairs of one window of the photograph, all made with their margins as data sets are."""
    geometry = full.crop(*corner, size_px, size_px)
    pairs = []
    for draw in draws:
        reach = draw.reach_px(full)
        margin = min(*corner) if reach is None else reach
        window = full.crop(corner[0] - margin, corner[1] - margin, *(2 * (size_px + 2 * margin,)))
        if reach is None:
            inner = slice(margin, margin + size_px)
            pairs.append(tuple(x.image[..., inner, inner] for x in (draw.target_draw()(window), draw(window))))
        else:
            pair = draw.pair(window, margin_px=margin)
            pairs.append((pair.sharp.image, pair.blurred.image))
    sharp, blurred = (torch.from_numpy(np.concatenate(x)) for x in zip(*pairs, strict=True))
    return Batch(sharp, blurred, tuple(draws), (geometry,) * len(draws), ("x",) * len(draws))


# Surfaces that hide others reach far: more than half of a small window. Of these draws a larger one is taken.
WIDE: dict[str, Any] = {"corner": (40, 45), "size_px": 96}
HIDES = ("depth", "objects")


def chain(*steps: Degradation, target: bs.Target | str = "scene") -> Draw:
    return Draw(tuple((f"{i}", step) for i, step in enumerate(steps)), target)


def in_light(*steps: Degradation) -> Draw:
    return chain(bs.kinds.Decode(), *steps, bs.kinds.Encode())


LENS = bs.kinds.DiskBlur(diameter_px=5.0)
SHAKE = bs.kinds.RandomWalkMotion(length_px=12.0, anxiety=0.05, heading_deg=20.0, samples=300, seed=5)
PHONE = bs.kinds.SetIntrinsics(focal_length_mm=5.0, pixel_pitch_um=5.0)

# Draws that do nothing but blur: the sharp picture, blurred again, is the blurred one to its rounding to codes.
EXACT: dict[str, Draw] = {
    "disk": in_light(LENS),
    "two": in_light(SHAKE, bs.kinds.GaussianBlur(sigma_px=0.7, aspect=0.6, angle_deg=20.0)),
    "darker": in_light(bs.kinds.LinearMotion(length_px=7.0, exposure_fraction=0.7, unit_sum=False)),
    "measured": in_light(bs.kinds.MeasuredBlur(kernel=KERNEL)),
    "frames": chain(
        bs.kinds.GammaDecode(), bs.kinds.FrameAverage(frames=5, length_px=9.0, seed=2), bs.kinds.GammaEncode()
    ),
    "sigmoid": chain(bs.kinds.Decode(), LENS, bs.kinds.SigmoidEncode(exponent=0.7, midtone=0.55, contrast=0.3)),
    "curve": chain(bs.kinds.Decode(), LENS, bs.kinds.MeasuredEncode(curve=CURVE)),
    "roll": in_light(PHONE, bs.kinds.CameraShake(exposure_s=0.05, roll_mrad=60.0, yaw_mrad=2.0, seed=3)),
    "rows": in_light(
        PHONE, bs.kinds.RollingShutter(exposure_s=0.02, readout_s=0.03, yaw_mrad=4.0, roll_mrad=20.0, seed=3)
    ),
    "zoom": in_light(bs.kinds.Zoom(scale=1.05)),
    "smaller": in_light(bs.kinds.Rescale(factor=0.4, down="area", up="bilinear")),
    "depth": in_light(
        PHONE,
        bs.kinds.LayeredDepth(near_m=0.5, far_m=8.0, spacing_px=40.0, size_px=30.0, seed=3),
        bs.kinds.Defocus(f_number=1.5, focus_distance_m=2.0),
    ),
    "objects": in_light(
        bs.kinds.RandomObjects(spacing_px=40.0, size_px=30.0, seed=2), bs.kinds.ObjectMotion(length_px=6.0, seed=8)
    ),
    "codes": chain(
        bs.kinds.DeblurganBlur(
            anxiety=0.01,
            centripetal=0.5,
            big_shake=0.2,
            gaussian=5.0,
            heading_deg=0.0,
            length_px=9.0,
            canvas_px=16,
            samples=200,
            stretch=False,
            seed=1,
        )
    ),
    "identity": in_light(bs.kinds.Identity()),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_sharp_picture_is_consistent(name: str) -> None:
    batch = batch_of([EXACT[name]], **(WIDE if name in HIDES else {}))
    again = reblurred(batch.sharp, batch.draws[0], batch.geometry[0])
    assert not isinstance(again, str)
    picture, band = again
    size_px = batch.sharp.shape[-1]
    inside = (..., slice(band, size_px - band), slice(band, size_px - band))
    # The sharp picture itself is rounded where its curve is another one than that of the source.
    codes = 1.02 if name in ("sigmoid", "curve") else 0.51
    assert (picture - batch.blurred)[inside].abs().max().item() < codes * CODE
    assert ReBlur()(batch.sharp, batch).item() < 0.6 * codes * CODE


@pytest.mark.parametrize("name", [n for n in EXACT if n != "identity"])
def test_the_blurred_picture_is_not(name: str) -> None:
    batch = batch_of([EXACT[name]], **(WIDE if name in HIDES else {}))
    assert ReBlur()(batch.blurred, batch) > 4 * ReBlur()(batch.sharp, batch)


@pytest.mark.parametrize("recipe", ["clean", "motion-only", "gopro-average"])
def test_recipes_without_noise_are_consistent(recipe: str) -> None:
    loaded = bs.load_recipe(recipe)
    draws = [loaded.sample(FULL, seed=1, index=i) for i in range(60)]
    near = [draw for draw in draws if (draw.reach_px(FULL) or 0) <= 40][:3]
    assert len(near) == 3
    batch = batch_of(near, **WIDE)
    assert ReBlur()(batch.sharp, batch).item() < 0.3 * CODE


def test_noise_and_compression_stay_as_a_difference() -> None:
    """Of a full camera only the blur is done again; what is left is noise, mosaic and codec, less than the blur."""
    sensor = bs.kinds.Sensor(full_well_e=5000.0, read_noise_e=2.0, mosaic="RGGB", red_gain=2.0, blue_gain=1.6, seed=3)
    draw = in_light(bs.kinds.LinearMotion(length_px=13.0, angle_deg=40.0), sensor, bs.kinds.Develop())
    draw = Draw((*draw.steps, ("jpeg", bs.kinds.Jpeg(quality=92))))
    batch = batch_of([draw])
    assert [type(step) for _, step in blur_of(draw).steps] == [bs.kinds.Decode, bs.kinds.LinearMotion, bs.kinds.Encode]  # type: ignore[union-attr]
    value = ReBlur()(batch.sharp, batch).item()
    assert CODE < value < 6 * CODE
    assert value < 0.7 * ReBlur()(batch.blurred, batch).item()


def test_blur_happens_where_the_patch_lies() -> None:
    """A roll about the middle of the full picture is another one for a patch that is taken for the full picture."""
    batch = batch_of([EXACT["roll"]], corner=(30, 30))
    elsewhere = Batch(batch.sharp, batch.blurred, batch.draws, (None,), batch.sources)
    assert ReBlur()(batch.sharp, elsewhere) > 3 * ReBlur()(batch.sharp, batch)


def test_the_band_that_lacks_light_does_not_count() -> None:
    batch = batch_of([in_light(LENS)])
    reach = in_light(LENS).reach_px(FULL)
    assert reach == 2
    value = ReBlur()(batch.sharp, batch)
    for place, counts in ((reach - 1, False), (reach, True), (SIZE_PX - reach - 1, True), (SIZE_PX - reach, False)):
        for changed in (batch.blurred.clone(), batch.blurred.clone()):
            changed[..., place, 20] += 0.5
            other = Batch(batch.sharp, changed, batch.draws, batch.geometry, batch.sources)
            assert (ReBlur()(batch.sharp, other) != value) == counts


def test_gradients_are_the_derivative() -> None:
    """Along random directions, by differences that are larger than the 16-bit codes of the encoding."""
    batch = batch_of([in_light(LENS), in_light(SHAKE)])
    loss = ReBlur(form="charbonnier", epsilon=0.1)
    restored = (0.2 + 0.6 * batch.sharp.double()).requires_grad_()
    loss(restored, batch).backward()
    assert restored.grad is not None
    for seed in range(3):
        random = torch.Generator().manual_seed(seed)
        direction = restored.grad.sign() * torch.rand(restored.shape, generator=random, dtype=torch.float64)
        with torch.no_grad():
            up, down = (loss(restored + sign * 1e-3 * direction, batch).item() for sign in (1, -1))
        assert (up - down) / 2e-3 == pytest.approx((restored.grad * direction).sum().item(), rel=1e-3)


def test_it_restores() -> None:
    """Minimizing it alone takes a picture from the blurred one towards the sharp one: the physics is right."""
    batch = batch_of([in_light(bs.kinds.GaussianBlur(sigma_px=1.2))])
    restored = batch.blurred.clone().requires_grad_()
    optimizer = torch.optim.Adam([restored], lr=0.01)
    start = (batch.blurred - batch.sharp).square().mean().item()
    for _ in range(60):
        optimizer.zero_grad()
        ReBlur(form="charbonnier")(restored, batch).backward()
        optimizer.step()
    assert (restored.detach() - batch.sharp)[..., 8:-8, 8:-8].square().mean().item() < 0.5 * start


def test_the_form_and_the_epsilon_change_the_value() -> None:
    batch = batch_of([in_light(LENS)])
    values = [
        ReBlur(**fields)(batch.blurred, batch).item()
        for fields in ({}, {"form": "charbonnier"}, {"form": "charbonnier", "epsilon": 0.1})
    ]
    assert len(set(values)) == 3
    again = reblurred(batch.blurred, batch.draws[0], batch.geometry[0])
    assert not isinstance(again, str)
    difference = (again[0] - batch.blurred)[..., 2:-2, 2:-2]
    assert values[0] == pytest.approx(difference.abs().mean().item(), rel=1e-5)
    assert values[1] == pytest.approx((difference.square() + 1e-6).sqrt().mean().item(), rel=1e-5)


def test_precision_is_float32_whatever_autocast_says() -> None:
    batch = batch_of([in_light(LENS)])
    expected = ReBlur()(batch.blurred, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ReBlur()(batch.blurred, batch), expected)
        assert ReBlur()(batch.blurred.bfloat16(), batch).dtype == torch.float32
    precise = ReBlur()(batch.blurred.double(), batch)
    assert precise.dtype == torch.float64
    assert precise.item() == pytest.approx(expected.item(), rel=1e-3)


FAR = in_light(bs.kinds.LinearMotion(length_px=60.0))
UNBOUNDED = bs.load_recipe("deblurgan").sample(FULL, seed=0, index=0)


def test_only_pictures_that_can_be_blurred_again_count() -> None:
    one = batch_of([in_light(LENS)])
    four = Batch(
        one.sharp.expand(4, -1, -1, -1),
        one.blurred.expand(4, -1, -1, -1),
        (None, in_light(LENS), FAR, UNBOUNDED),
        (None, *one.geometry * 3),
        ("",) * 4,
    )
    assert ReBlur()(four.blurred, four).item() == pytest.approx(ReBlur()(one.blurred, one).item())
    restored = four.blurred.clone().requires_grad_()
    ReBlur()(restored, four).backward()
    assert restored.grad is not None
    assert [bool((g != 0).any()) for g in restored.grad] == [False, True, False, False]


def test_a_batch_without_any_is_refused() -> None:
    one = batch_of([in_light(LENS)])
    three = Batch(
        one.sharp.repeat(3, 1, 1, 1),
        one.blurred.repeat(3, 1, 1, 1),
        (None, FAR, UNBOUNDED),
        (None, *one.geometry * 2),
        ("",) * 3,
    )
    message = (
        r"No image of the batch of 3 can be re-blurred: it has no draw; its blur has no bounded reach; its blur "
        r"reaches \d+ px, which leaves no pixel of 48 x 48 px\. Use larger patches"
    )
    with pytest.raises(InvalidValueError, match=message):
        ReBlur()(three.blurred, three)


def test_wrong_shapes_are_refused() -> None:
    batch = batch_of([in_light(LENS)])
    with pytest.raises(InvalidValueError, match=r"\[1, 3, 48, 48\], got restored ones \[1, 3, 24, 24\]"):
        ReBlur()(batch.sharp[..., ::2, ::2], batch)
    elsewhere = Batch(batch.sharp, batch.blurred, batch.draws, (FULL,), batch.sources)
    with pytest.raises(InvalidValueError, match=r"geometry of an image must have its size, got \(176, 190\)"):
        ReBlur()(batch.sharp, elsewhere)


def test_depth_and_labels_come_from_the_geometry() -> None:
    """Of a source with maps of its own, also read-only ones."""
    size = FULL.size_px
    depth = np.full((1, *size), 4.0, np.float32)
    depth[:, :, : size[1] // 2] = 1.0
    labels = (np.indices(size)[0] // 40).astype(np.int32)[None]
    for plane in (depth, labels):
        plane.setflags(write=False)
    full = FULL.with_image(FULL.image, depth_m=depth, labels=labels, camera=(bs.Intrinsics(5.0, 5.0),))
    draw = in_light(bs.kinds.Defocus(f_number=1.5, focus_distance_m=2.0), bs.kinds.ObjectMotion(length_px=5.0, seed=1))
    batch = batch_of([draw], full, **WIDE)
    assert ReBlur()(batch.sharp, batch).item() < 0.3 * CODE
    with pytest.raises(InvalidValueError, match="needs the depth of the picture"):
        ReBlur()(batch.sharp, Batch(batch.sharp, batch.blurred, batch.draws, (None,), batch.sources))


def test_the_draws_own_encoding_is_undone() -> None:
    """The sharp picture was encoded by the last curve, whatever it was decoded by."""
    draw = chain(bs.kinds.GammaDecode(gamma=1.0), LENS, bs.kinds.GammaEncode(gamma=2.4, contrast=0.3))
    blur = blur_of(draw)
    assert blur is not None
    assert blur.steps[0][1] == bs.kinds.GammaDecode(gamma=2.4, contrast=0.3)
    assert blur.steps[-1][1] == bs.kinds.GammaEncode(gamma=2.4, contrast=0.3, bit_depth=16)
    batch = batch_of([draw])
    assert ReBlur()(batch.sharp, batch).item() < 0.3 * CODE


def test_of_a_source_as_the_sharp_picture_what_acts_on_both_is_done_again() -> None:
    steps = (bs.kinds.Decode(), bs.kinds.Exposure(exposure_s=0.5, metered_s=1.0), LENS, bs.kinds.Encode())
    source, developed = chain(*steps, target="source"), chain(*steps)
    batch = batch_of([source])
    assert torch.equal(batch.sharp, torch.from_numpy(FULL.crop(60, 70, SIZE_PX, SIZE_PX).image))
    assert ReBlur()(batch.sharp, batch).item() < 0.3 * CODE
    taken = Batch(batch.sharp, batch.blurred, (developed,), batch.geometry, batch.sources)
    assert ReBlur()(batch.sharp, taken).item() > 10 * CODE


def test_light_sources_are_encoded_light() -> None:
    """A draw for a frame of light has no decode step; the sharp picture is encoded all the same."""
    assert [type(s) for _, s in blur_of(chain(bs.kinds.Identity(), LENS, bs.kinds.Encode())).steps] == [  # type: ignore[union-attr]
        bs.kinds.Decode,
        bs.kinds.DiskBlur,
        bs.kinds.Encode,
    ]


class OwnEncode(Degradation):
    """A curve that nobody can undo."""

    takes: ClassVar[Encoding | None] = Encoding.LINEAR
    gives: ClassVar[Encoding | None] = Encoding.DISPLAY

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        return frame.with_image(frame.image, Encoding.DISPLAY)


class OwnBlur(Degradation):
    """Spreads light, and does not say so."""

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        return frame

    def reach_px(self, frame: Frame) -> int | None:
        return 1


def test_kinds_that_say_not_what_they_do_do_not_count() -> None:
    assert blur_of(in_light(LENS, OwnBlur())) is None
    noisy = blur_of(in_light(LENS, bs.kinds.GaussianNoise(sigma=0.1, seed=1)))
    assert noisy is not None
    assert noisy == blur_of(in_light(LENS))


def test_unknown_curves_do_not_count() -> None:
    assert inverse_of(OwnEncode()) is None
    batch = batch_of([in_light(LENS)])
    own = Batch(
        batch.sharp, batch.blurred, (chain(bs.kinds.Decode(), LENS, OwnEncode()),), batch.geometry, batch.sources
    )
    with pytest.raises(InvalidValueError, match="their curve is unknown"):
        ReBlur()(batch.sharp, own)
    assert blur_of(chain(LENS)) is None
    assert blur_of(chain(EXACT["codes"].steps[0][1], bs.kinds.Decode(), LENS, bs.kinds.Encode())) is None


def test_cycle_consistency() -> None:
    random = torch.Generator().manual_seed(0)
    x, x_again, y, y_again = torch.rand(4, 2, 3, 5, 6, generator=random)
    loss = CycleConsistency()
    assert loss(x, x, y, y).item() == 0
    expected = (x_again - x).abs().mean() + (y_again - y).abs().mean()
    assert loss(x, x_again, y, y_again).item() == pytest.approx(expected.item())
    assert loss.weight == 10
    smooth = CycleConsistency(form="charbonnier", epsilon=0.2)(x, x_again, y, y_again)
    parts = [((a - b).square() + 0.04).sqrt().mean() for a, b in ((x, x_again), (y, y_again))]
    assert smooth.item() == pytest.approx((parts[0] + parts[1]).item())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(x, x_again.bfloat16(), y, y_again).dtype == torch.float32
    with pytest.raises(InvalidValueError, match=r"blurred images were reconstructed with shape \[2, 3, 5, 5\]"):
        loss(x, x_again, y, y_again[..., :-1])


def test_registry() -> None:
    assert [k.kind for k in CONSISTENCY] == ["cycle_consistency", "re_blur"]
    for kind in CONSISTENCY:
        loss = kind()
        assert make_consistency({"kind": loss.kind, **loss.fields()}) == loss
        assert all(field.description for field in kind.model_fields.values())
    with pytest.raises(InvalidValueError, match=r"no consistency loss 'reblur'.*re_blur"):
        make_consistency({"kind": "reblur"})
    with pytest.raises(InvalidValueError, match=r"ReBlur.form must be 'l1' or 'charbonnier', got 'l2'"):
        make_consistency({"kind": "re_blur", "form": "l2"})


def test_of_a_short_exposure_only_what_it_lacks_is_blurred_again() -> None:
    """Its lens is in both pictures; a part of the motion in the sharp one is none that more motion makes whole."""
    motion = bs.kinds.LinearMotion(length_px=7.0, angle_deg=30.0)
    steps = (bs.kinds.Decode(), motion, LENS, bs.kinds.Encode())
    moment = chain(*steps, target="short_exposure")
    blur = blur_of(moment)
    assert blur is not None
    assert [step for _, step in blur.steps if step.blurs] == [motion]
    batch = batch_of([moment])
    assert ReBlur()(batch.sharp, batch).item() < 0.3 * CODE
    ideal = Batch(batch.sharp, batch.blurred, (chain(*steps),), batch.geometry, batch.sources)
    assert ReBlur()(batch.sharp, ideal).item() > 2 * CODE
    assert blur_of(chain(*steps, target=bs.ShortExposure(fraction=0.2))) is None
