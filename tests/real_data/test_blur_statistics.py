"""Law: the pairs of `gopro-average` have the blur of the set's real pairs; and the statistics know a blur that is known."""

from __future__ import annotations

from pathlib import Path

import blur_statistics
import gopro_pairs
import numpy as np
import pytest

import blursynth as bs


@pytest.mark.parametrize(("length_px", "angle_deg"), [(0.0, 0.0), (6.0, 20.0), (24.0, 110.0)])
def test_widths_of_known_blur(length_px: float, angle_deg: float) -> None:
    """A line of length L has the standard deviation L / sqrt(12), and pixels and smoothing add .42 px."""
    from skimage import data

    image = np.moveaxis(data.astronaut(), -1, 0)[None] / 255.0
    blurred = bs.kinds.LinearMotion(length_px=length_px, angle_deg=angle_deg)(bs.Frame(image, "linear")).image
    sharp, blurred = image[0].mean(axis=0), blurred[0].mean(axis=0)
    widths = blur_statistics.widths_px(sharp, blurred)
    assert len(widths) == 9
    assert widths == pytest.approx(np.sqrt(length_px**2 / 12 + 0.42**2), rel=0.08)
    if length_px:
        assert blur_statistics.uneven_share(sharp, blurred) < 0.1
        left = blur_statistics.spectrum_left(sharp, blurred)
        assert (np.diff(left) < 0).all()
    else:
        assert blur_statistics.spectrum_left(sharp, blurred) == pytest.approx(1.0)


def test_two_motions_in_one_picture_are_uneven() -> None:
    from skimage import data

    image = np.moveaxis(data.astronaut(), -1, 0)[None] / 255.0
    across, down = (
        bs.kinds.LinearMotion(length_px=16.0, angle_deg=a)(bs.Frame(image, "linear")).image[0] for a in (0.0, 90.0)
    )
    half = np.where(np.arange(512) < 256, across, down)
    assert blur_statistics.uneven_share(image[0].mean(axis=0), half.mean(axis=0)) > 0.25


@pytest.mark.real_data
@pytest.mark.slow
def test_gopro_average_blurs_as_the_real_pairs_are_blurred(real_data: Path) -> None:
    real = blur_statistics.blur_statistics(list(gopro_pairs.real_pairs(real_data).values()))
    sources = gopro_pairs.own_sharp(real_data)
    made, one_path = (
        blur_statistics.blur_statistics(gopro_pairs.made_pairs(recipe, sources, 16))
        for recipe in (bs.load_recipe("gopro-average"), gopro_pairs.ONE_PATH)
    )
    assert made.psnr_db == pytest.approx(real.psnr_db, abs=1.5)
    # The widest tiles of three pairs are those of one of them.
    assert made.widths_px[:4] == pytest.approx(real.widths_px[:4], rel=0.5)
    assert made.spectrum == pytest.approx(real.spectrum, abs=0.08)
    assert made.uneven == pytest.approx(real.uneven, abs=0.1)
    # One path for the whole picture leaves hardly anything that one kernel does not explain.
    assert one_path.uneven < 0.4 * real.uneven
