"""Light beyond white, with numbers that follow on paper."""

from __future__ import annotations

import numpy as np
import pytest

import blursynth as bs
from blursynth.errors import InvalidValueError
from blursynth.testing import pictures


def colors(*rgb: tuple[float, float, float]) -> bs.Frame:
    return bs.Frame(np.array(rgb, np.float64).T[:, None, :], "linear")


def test_offset_is_added_to_clipped_channels_alone() -> None:
    """RSBlur: x + alpha where a channel is clipped."""
    made = bs.kinds.HighlightOffset(offset=0.75)(colors((1.0, 0.5, 1.0), (0.999, 0.2, 0.0), (1.2, 1.0, 0.0)))
    np.testing.assert_allclose(made.image[0, :, 0].T, [[1.75, 0.5, 1.75], [0.999, 0.2, 0.0], [1.95, 1.75, 0.0]])
    made = bs.kinds.HighlightOffset(offset=0.75, threshold=0.9)(colors((0.95, 0.9, 0.89)))
    np.testing.assert_allclose(made.image[0, :, 0, 0], [1.7, 1.65, 0.89])


def test_white_becomes_the_peak_and_the_hue_stays() -> None:
    """At brightness (1 + threshold) / 2 the share is (1/2) ** exponent."""
    expand = bs.kinds.HighlightExpansion(peak=5.0, threshold=0.5, exponent=2)
    made = expand(colors((1.0, 1.0, 1.0), (0.75, 0.75, 0.75), (0.5, 0.5, 0.5))).image[0, :, 0].T
    np.testing.assert_allclose(made, [[5.0] * 3, [0.75 * (1 + 4 * 0.25)] * 3, [0.5] * 3], atol=1e-12)
    lamp = (1.0, 0.6, 0.2)  # luminance .65610
    share = ((0.2126 + 0.7152 * 0.6 + 0.0722 * 0.2 - 0.5) / 0.5) ** 2
    np.testing.assert_allclose(expand(colors(lamp)).image[0, :, 0, 0], np.array(lamp) * (1 + 4 * share), atol=1e-12)


def test_what_tells_how_bright_a_pixel_is() -> None:
    """A saturated red at white is dark by its luminance, as bright as can be by its largest channel."""
    red = colors((1.0, 0.1, 0.1))
    for measure, factors in (("luminance", (1, 1, 1)), ("largest", (3, 3, 3)), ("channel", (3, 1, 1))):
        made = bs.kinds.HighlightExpansion(peak=3.0, threshold=0.5, measure=measure)(red)
        np.testing.assert_allclose(made.image[0, :, 0, 0], np.array([1.0, 0.1, 0.1]) * factors, err_msg=measure)


def test_pictures_of_a_batch_keep_their_own_numbers() -> None:
    frame = pictures(batch=3)
    steps = [
        bs.kinds.HighlightExpansion(peak=4.0, threshold=0.4, measure="channel", exponent=3),
        bs.kinds.HighlightExpansion(peak=2.0, threshold=0.3, measure="luminance", exponent=1),
        bs.kinds.HighlightExpansion(peak=9.0, threshold=0.2, measure="largest", exponent=2),
    ]
    whole = bs.kinds.HighlightExpansion.apply(steps, frame).image
    for b, step in enumerate(steps):
        np.testing.assert_array_equal(whole[b], step(frame[b]).image[0])


def test_luminance_needs_colors() -> None:
    gray = bs.Frame(np.ones((1, 4, 4), np.float32), "linear")
    assert bs.kinds.HighlightExpansion(peak=3.0)(gray).image.max() == pytest.approx(3.0)
    with pytest.raises(InvalidValueError, match="1 or 3 channels, got 2"):
        bs.kinds.HighlightExpansion(peak=3.0)(bs.Frame(np.ones((2, 8, 8), np.float32), "linear"))


def test_the_pair_differs_by_blur_alone() -> None:
    """Without blur sharp and blurred are equal, and both clip at white."""
    codes = pictures(bs.Encoding.DISPLAY)
    codes = codes.with_image(np.minimum(codes.image * np.float32(1.2), np.float32(1)))
    for step in (bs.kinds.HighlightOffset(offset=1.0, threshold=0.9), bs.kinds.HighlightExpansion(peak=5.0)):
        pair = bs.Draw((("decode", bs.kinds.Decode()), ("lamps", step), ("encode", bs.kinds.Encode()))).pair(codes)
        np.testing.assert_array_equal(pair.sharp.image, pair.blurred.image)
        assert pair.sharp.image.max() == 1.0


def test_pictures_without_highlights_stay_as_they_are() -> None:
    dark = pictures(bs.Encoding.LINEAR, batch=2).image * 0.5
    step = bs.kinds.HighlightExpansion(peak=9.0, threshold=0.6)
    assert np.array_equal(step(bs.Frame(dark, bs.Encoding.LINEAR)).image, dark)
    lit = dark.copy()
    lit[1, :, 3, 4] = 0.9
    out = step(bs.Frame(lit, bs.Encoding.LINEAR)).image
    changed = np.zeros(lit.shape, bool)
    changed[1, :, 3, 4] = True
    assert np.array_equal(out != lit, changed)
