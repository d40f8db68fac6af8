"""Depth as stereo benchmarks and a depth camera give it: plausible meters, and as many holes as the files have."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import blursynth as bs
from blursynth.io.depth import DepthFormat, read_depth_map

pytestmark = pytest.mark.real_data

# Focal lengths of 2003 are not published; this one puts the scene of "cones" at about 2.5 m.
# (folder, depth file, picture, format, holes, shortest, median and longest plausible distance in m)
CASES = {
    "cones": (
        "middlebury2003/cones", "disp2.png", "im2.png",
        DepthFormat(focal_length_px=500.0, baseline_m=0.16, codes_per_px=4), 5429, (1.2, 2.5, 15.0),
    ),
    "Art": (
        "middlebury2005/Art", "disp1.png", "view1.png",
        DepthFormat(focal_length_px=3740 / 3, baseline_m=0.16, codes_per_px=3), 204, (2.5, 4.4, 8.5),
    ),
    "Moebius": (
        "middlebury2005/Moebius", "disp1.png", "view1.png",
        DepthFormat(focal_length_px=3740 / 3, baseline_m=0.16, codes_per_px=3), 866, (2.5, 6.0, 10.0),
    ),
    "Motorcycle": (
        "middlebury2014_motorcycle", "motorcycle_disp.npz", "motorcycle_left.png",
        DepthFormat(focal_length_px=994.978, baseline_m=0.193001, doffs_px=31.086), 27226, (2.0, 2.8, 5.1),
    ),
    "TUM": (
        "open3d_samples", "TUM_depth.png", "TUM_color.png",
        DepthFormat(meters_per_code=1 / 5000), 58950, (1.4, 2.45, 9.5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_depth_is_plausible_and_its_holes_are_counted(name: str, real_data: Path) -> None:
    folder, depth, picture, form, holes, (nearest, middle, farthest) = CASES[name]
    frame = bs.read_frame(real_data / "depth" / folder / picture)
    found = read_depth_map(real_data / "depth" / folder / depth, form, size_px=frame.size_px)
    assert found.filled == holes
    assert found.depth_m.shape == frame.size_px
    assert nearest < found.depth_m.min()
    assert found.depth_m.max() < farthest
    assert np.median(found.depth_m) == pytest.approx(middle, rel=0.1)


@pytest.mark.parametrize("name", CASES)
def test_filled_pixels_are_copies_of_neighbors_and_known_ones_stay(name: str, real_data: Path) -> None:
    folder, depth, _, form, holes, _ = CASES[name]
    path = real_data / "depth" / folder / depth
    background, nearest = (read_depth_map(path, form.replace(fill=fill)).depth_m for fill in ("background", "nearest"))
    differ = background != nearest
    assert 0 < np.count_nonzero(differ) <= holes
    # Where the two disagree by more than noise, the background's choice is the farther one on the whole; but holes at
    # the sides of a picture have neighbors on one side only.
    middle = slice(background.shape[1] // 5, -background.shape[1] // 5)
    background, nearest = background[:, middle], nearest[:, middle]
    far_apart = np.abs(background - nearest) > 0.1 * nearest
    assert np.mean(background[far_apart] > nearest[far_apart]) > 0.6


def test_motorcycle_through_a_pfm_file_with_its_calibration(real_data: Path, tmp_path: Path) -> None:
    """The benchmark's own format: disparities in a PFM of either byte order, inf where they are unknown."""
    disparity = np.load(real_data / "depth/middlebury2014_motorcycle/motorcycle_disp.npz")["arr_0"]
    calibration = {"focal_length_px": 994.978, "baseline_m": 0.193001, "doffs_px": 31.086}
    cv2.imwrite(str(tmp_path / "disp0.pfm"), disparity)
    head = f"Pf\n{disparity.shape[1]} {disparity.shape[0]}\n0.003922\n".encode()
    (tmp_path / "big.pfm").write_bytes(head + disparity[::-1].astype(">f4").tobytes())
    expected = bs.read_depth(
        real_data / "depth/middlebury2014_motorcycle/motorcycle_disp.npz", key="arr_0", **calibration
    )
    for name in ("disp0.pfm", "big.pfm"):
        assert np.array_equal(bs.read_depth(tmp_path / name, **calibration), expected)
    known = np.isfinite(disparity)
    assert np.allclose(expected[known], 0.193001 * 994.978 / (disparity[known] + 31.086))


def test_the_depth_of_another_picture_is_refused(real_data: Path) -> None:
    with pytest.raises(bs.PictureError, match=r"TUM_depth.png: depth has 480 x 640 px .* its picture 500 x 741"):
        bs.read_frame(
            real_data / "depth/middlebury2014_motorcycle/motorcycle_left.png",
            depth=bs.read_depth(
                real_data / "depth/open3d_samples/TUM_depth.png", meters_per_code=1 / 5000, size_px=(500, 741)
            ),
        )


def test_things_move_before_the_background_of_a_photograph(real_data: Path) -> None:
    """The die on TUM's desk, cut out by its depth and place, moves; the rest of the desk does not."""
    folder = real_data / "depth/open3d_samples"
    depth = bs.read_depth(folder / "TUM_depth.png", meters_per_code=1 / 5000)
    die = np.zeros(depth.shape, np.int32)
    die[192:250, 118:172] = (depth[192:250, 118:172] < 2.12).astype(np.int32)
    frame = bs.kinds.Decode()(bs.read_frame(folder / "TUM_color.png", depth=depth, labels=die))
    moved = bs.kinds.ObjectMotion(length_px=15.0, angle_deg=10.0)(frame)
    changed = np.abs(moved.image - frame.image).max(axis=(0, 1)) > 1e-6
    rows, columns = np.nonzero(changed)
    assert changed.any()
    assert rows.min() >= 192 - 8
    assert rows.max() < 250 + 8
    assert columns.min() >= 118 - 8
    assert columns.max() < 172 + 8
    assert moved.image.min() >= 0
    assert moved.image.max() <= frame.image.max() + 1e-6
