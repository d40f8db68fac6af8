"""The mean of frames: ghosts, what fills the gaps, and the continuous exposure that it tends to."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import blursynth as bs
from blursynth.backends import cpu, oracle
from blursynth.errors import InvalidValueError
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.trajectory import averaged_frames

WALK = {"length_px": 24.0, "anxiety": 0.008, "heading_deg": 20.0, "seed": 5}


def dense(psf: PointSpreads) -> np.ndarray:
    return psf.to_dense(size_px=101)


def distance(one: PointSpreads, other: PointSpreads) -> float:
    """Share of the light that lies elsewhere."""
    return 0.5 * float(np.abs(dense(one) - dense(other)).sum())


def continuous(**changes: object) -> PointSpreads:
    return bs.kinds.RandomWalkMotion(**{**WALK, **changes}).point_spread()  # type: ignore[arg-type]


def test_without_gaps_it_is_the_continuous_exposure() -> None:
    for frames in (1, 3, 10, 37):
        # Frames that begin and end at a position of the walk: exactly the same path.
        average = bs.kinds.FrameAverage(frames=frames, gap=0.0, samples=37 * 30 + 1, **WALK)
        assert distance(average.point_spread(), continuous(samples=37 * 30 + 1)) <= (1e-12 if frames != 10 else 1e-3)


def test_many_frames_converge_to_the_continuous_exposure() -> None:
    apart = [
        distance(bs.kinds.FrameAverage(frames=n, gap=1.0, **WALK).point_spread(), continuous())
        for n in (5, 15, 50, 200, 1000)
    ]
    assert all(later < earlier for earlier, later in itertools.pairwise(apart))
    assert apart[0] > 0.3
    assert apart[-1] < 0.01


def test_interpolated_frames_fill_the_gaps() -> None:
    """They run straight from frame to frame: near to the continuous exposure, which plain frames are not."""
    fast = {"length_px": 60.0, "anxiety": 0.001}
    apart = [
        distance(bs.kinds.FrameAverage(frames=7, interpolated=n, **{**WALK, **fast}).point_spread(), continuous(**fast))
        for n in (0, 1, 3, 31)
    ]
    assert all(later < earlier for earlier, later in itertools.pairwise(apart))
    assert apart[0] > 0.6
    assert apart[-1] < 0.6 * apart[0]  # the rest: corners cut by a third of a pixel
    # On a straight path they meet it.
    straight = {**WALK, "anxiety": 0.0}
    many = bs.kinds.FrameAverage(frames=2, interpolated=999, **straight).point_spread()
    assert distance(many, continuous(anxiety=0.0)) < 0.005


def taps(psf: PointSpreads) -> dict[tuple[int, int], float]:
    """Those that hold light."""
    return {(y, x): w for y, x, w in zip(psf.dy.tolist(), psf.dx.tolist(), psf.weight, strict=True) if w > 1e-12}


def test_frames_of_a_straight_path_by_hand() -> None:
    """Five moments of a path of 20 px to the right: five points, 5 px apart."""
    found = taps(bs.kinds.FrameAverage(frames=5, gap=1.0, length_px=20.0, anxiety=0.0, seed=0).point_spread())
    assert found == pytest.approx({(0, x): 0.2 for x in (-10, -5, 0, 5, 10)}, abs=1e-12)
    # Open for half of the time: two lines of a third of the path each, and as much between them.
    found = taps(bs.kinds.FrameAverage(frames=2, gap=0.5, length_px=30.0, anxiety=0.0, seed=0).point_spread())
    assert {x for _, x in found} == {*range(-15, -4), *range(5, 16)}
    assert all(found[0, x] == pytest.approx(0.05, abs=1e-12) for x in (*range(-14, -5), *range(6, 15)))


def test_the_frame_in_the_middle_by_hand() -> None:
    """The third of five moments; of four the mean of the second and the third; of one that is open, its mean."""
    path = np.array([[0.0, 0.0], [1.0, 3.0], [4.0, -1.0], [9.0, 2.0], [16.0, 8.0]])
    assert averaged_frames(path, frames=5, gap=1.0)[2] == pytest.approx([4.0, -1.0])
    assert averaged_frames(path[:4], frames=4, gap=1.0)[2] == pytest.approx([2.5, 1.0])
    assert averaged_frames(path[:3], frames=2, gap=1.0, interpolated=1)[2] == pytest.approx([2.0, -0.5])
    # Three frames, as long open as closed: open from 0, 2/5 and 4/5 of the time on, for a fifth of it.
    line = np.stack([np.linspace(0.0, 1.0, 6) ** 2, np.linspace(0.0, -5.0, 6)], axis=1)
    expected = (line[2] + line[3]) / 2
    assert averaged_frames(line, frames=3, gap=0.5)[2] == pytest.approx(expected)
    # So the light of the others lies about it.
    found = taps(
        bs.kinds.FrameAverage(
            frames=5, gap=1.0, length_px=20.0, anxiety=0.0, heading_deg=90.0, centered_on="mid", seed=0
        ).point_spread()
    )
    assert found == pytest.approx({(y, 0): 0.2 for y in (-10, -5, 0, 5, 10)}, abs=1e-12)


@pytest.mark.parametrize("frames", [1, 4, 7])
@pytest.mark.parametrize("gap", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("interpolated", [0, 3])
def test_the_sharp_picture(frames: int, gap: float, interpolated: int) -> None:
    step = bs.kinds.FrameAverage(frames=frames, gap=gap, interpolated=interpolated, **WALK)
    assert np.abs(step.point_spread().centroids()).max() <= 1e-10
    assert abs(step.point_spread().sums()[0] - 1) <= 1e-12
    assert max(map(abs, step.centroid_px())) <= 1e-10
    mid = step.replace(centered_on="mid")
    path, duration, middle = averaged_frames(mid.path(), frames=frames, gap=gap, interpolated=interpolated)
    center = 0.5 * (path[:-1] + path[1:])
    mean = duration @ center / duration.sum()
    assert mid.centroid_px() == pytest.approx(((mean - middle)[1], (mean - middle)[0]), abs=1e-10)
    if frames > 1:
        assert max(map(abs, mid.centroid_px())) > 1e-3
    else:
        assert max(map(abs, mid.centroid_px())) <= 0.5  # its own middle


def test_both_backends_splat_frames_alike() -> None:
    walk = bs.kinds.FrameAverage(frames=6, gap=0.6, interpolated=2, samples=60, **WALK)
    path, duration, _ = averaged_frames(walk.path(), frames=6, gap=0.6, interpolated=2)
    assert distance(cpu.rasterize(path, duration), oracle.rasterize(path, duration)) <= 1e-12
    path, duration, _ = averaged_frames(walk.path(), frames=6, gap=1.0)
    assert distance(cpu.rasterize(path, duration), oracle.rasterize(path, duration)) <= 1e-12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 0}, "frames must be >= 1"),
        ({"gap": 1.5}, "gap must be 0..1"),
        ({"interpolated": -1}, "interpolated must be >= 0"),
        ({"path": np.zeros((1, 2))}, "path must be finite"),
    ],
)
def test_bad_input(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        averaged_frames(**{"path": np.zeros((2, 2)), "frames": 3, "gap": 1.0, **changes})  # type: ignore[arg-type]
