"""A window of a picture is what the same part of the whole picture becomes, wherever it lies.

It is so to the bit but for transforms and warps, whose rounding depends on what else is in the picture (3e-7 of white).
Where noise follows, that may be an electron in some thousand pixels, and what development makes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np
import pytest

import blursynth as bs
from blursynth.core import Window
from blursynth.errors import InvalidValueError
from blursynth.testing import pictures

SIZE = (320, 400)
CORNERS: tuple[Window, ...] = ((0, 0, 48, 56), (280, 351, 40, 49))
WINDOWS: tuple[Window, ...] = (*CORNERS, (130, 170, 40, 64))


@lru_cache
def photograph() -> bs.Frame:
    """With depth, labels and camera."""
    return pictures(bs.Encoding.DISPLAY, batch=1, size_px=SIZE, seed=4)


@lru_cache
def light() -> bs.Frame:
    return bs.kinds.Decode()(photograph())


def assert_part(part: bs.Frame, whole: bs.Frame, window: Window) -> None:
    expected = whole.crop(*window)
    off = np.abs(part.image - expected.image)
    if part.encoding is bs.Encoding.LINEAR:
        assert off.max() <= 1e-6
    else:
        assert (off > 1e-4).mean() < 0.01
        assert off.max() < 8 / 255
    assert (part.origin_px == expected.origin_px).all()
    assert (part.full_size_px == SIZE).all()


@pytest.mark.parametrize("name", bs.recipe_names())
def test_pairs_of_recipes(name: str) -> None:
    draw = bs.load_recipe(name).sample(photograph(), seed=5, index=1)
    whole = draw.pair(photograph())
    for window in WINDOWS:
        pair = draw.pair(photograph(), window=window)
        assert_part(pair.sharp, whole.sharp, window)
        assert_part(pair.blurred, whole.blurred, window)


HAND = {"exposure_s": 0.05, "pitch_mrad": 1.0, "yaw_mrad": 2.0, "roll_mrad": 20.0, "seed": 3}
STEPS: dict[str, bs.Degradation] = {
    "rolling shutter": bs.kinds.RollingShutter(readout_s=0.03, **HAND),
    "of one pose": bs.kinds.RollingShutter(readout_s=0.03, centered_on="global_shutter", **HAND),
    "camera shake": bs.kinds.CameraShake(**HAND),
    "scattered depth": bs.kinds.Defocus(f_number=0.5, focus_distance_m=1.0, form="scatter"),
    "layered depth": bs.kinds.Defocus(f_number=0.5, focus_distance_m=1.0, blades=5),
    "moving objects": bs.kinds.ObjectMotion(length_px=9.0, angle_deg=30.0, seed=1),
    "unbounded": bs.kinds.Zoom(scale=1.1),
    **{border: bs.kinds.LinearMotion(length_px=31.0, angle_deg=20.0, border=border)
       for border in ("reflect", "replicate", "circular", "constant")},
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_steps(name: str) -> None:
    """The border of the picture is that of the window where it ends there, the other side of a circular one included."""
    draw = bs.Draw((("step", STEPS[name]), ("lens", bs.kinds.GaussianBlur(sigma_px=0.8))))
    whole = draw(light())
    for window in WINDOWS:
        assert_part(draw(light(), window=window), whole, window)


def test_a_window_larger_than_its_surroundings() -> None:
    draw = bs.Draw((("shake", bs.kinds.LinearMotion(length_px=251.0, angle_deg=80.0)),))
    for window in ((0, 0, *SIZE), (100, 3, 200, 390)):
        assert_part(draw(light(), window=window), draw(light()), window)


class Counted(bs.Degradation):
    """Leaves the frame as it is, and notes the sizes of what it is given."""

    takes = gives = None
    far: int

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: bs.Frame) -> bs.Frame:
        seen.append(frame.size_px)
        return frame

    def reach_px(self, frame: bs.Frame) -> int | None:
        return self.far


seen: list[tuple[int, int]] = []


@pytest.mark.parametrize(
    ("where", "sizes"),
    [
        ({"window": (100, 100, 20, 30)}, [(140, 150), (40, 50), (40, 50)]),
        ({"window": (0, 5, 20, 30)}, [(80, 95), (30, 45), (30, 45)]),
        ({"margin_px": 90}, [(260, 340), (160, 240), (160, 240)]),
    ],
)
def test_no_step_sees_more_than_later_ones_need(where: dict[str, Any], sizes: list[tuple[int, int]]) -> None:
    seen.clear()
    steps = [Counted(far=50), Counted(far=0), Counted(far=10)]
    bs.Draw(tuple((str(n), step) for n, step in enumerate(steps)))(photograph(), **where)
    assert seen == sizes


def test_batches_have_the_windows_of_their_pictures() -> None:
    """Every picture has its own draw, and as much around it as the one that needs most."""
    frame = bs.Frame.stack([photograph(), pictures(bs.Encoding.DISPLAY, batch=1, size_px=SIZE, seed=7)])
    for name in ("default", "phone-portrait"):
        draws = [bs.load_recipe(name).sample(frame[b], seed=8, index=b) for b in range(2)]
        reaches = [draw.reach_px(frame[b]) for b, draw in enumerate(draws)]
        assert len(set(reaches)) == 2
        margin = max(reach for reach in reaches if reach is not None)
        inside = (margin, margin, SIZE[0] - 2 * margin, SIZE[1] - 2 * margin)
        for where in ({"margin_px": margin}, {"window": inside}):
            together = bs.apply(draws, frame, **where)
            for b, draw in enumerate(draws):
                assert_part(together[b], draw(frame[b]), inside)
                assert np.mean(together[b].image != draw(frame[b], **where).image) < 0.01


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"window": (300, 0, 40, 10)}, "The window 40x10 at .300, 0. extends beyond the 320x400 frame"),
        ({"window": (0, 0, 40.0, 10)}, "integers in px"),
        ({"window": (0, 0, 40, 10), "margin_px": 3}, "cannot be given together"),
        ({"margin_px": 3}, "at least the reach of the steps, 6 px, got 3"),
        ({"margin_px": 160}, "extends beyond"),
    ],
)
def test_what_cannot_be_asked_for(where: dict[str, Any], message: str) -> None:
    draw = bs.Draw((("lens", bs.kinds.DiskBlur(diameter_px=12.0)),))
    for ask in (draw, draw.pair):
        with pytest.raises(InvalidValueError, match=message):
            ask(light(), **where)
