"""Means of frames along a real camera's path, against the photographs that `gopro-average` is named after.

The path is that of :mod:`gopro_shake`, fitted to one half of a photograph, and what it says of the other half is compared:
a continuous exposure; means of a few frames, as the photograph itself was made; both with one point spread for the whole
picture (that of its middle), which is what the kind `frame_average` does; and the same motion fitted with the other response
curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gopro_shake
import numpy as np
from gopro_shake import FILES, FOCAL_PX, Picture, Prediction, score, shaken
from numpy.typing import NDArray

import blursynth as bs
from blursynth.backends import for_array
from blursynth.physics.trajectory import averaged_frames

FRAMES = (3, 7, 11)
CONTINUOUS = 100
"""Moments that are as good as a continuous exposure for paths of a few tens of pixels."""


def path_px(poses: NDArray[np.float64], moments: int) -> NDArray[np.float64]:
    """``[moments, 2]`` where a point in the middle of the picture is seen, x and y, at the moments of ``shaken``."""
    at = (np.arange(moments) + 0.5) / moments * (len(poses) - 1)
    pitch, yaw = (1e-3 * np.interp(at, np.arange(len(poses)), poses[:, axis]) for axis in (0, 1))
    # Turning the camera to the right moves the picture to the left.
    return FOCAL_PX * np.stack([-np.tan(yaw), np.tan(pitch)], axis=1)


def uniform(light: Picture, poses: NDArray[np.float64], frames: int | None) -> Picture:
    """The blur of the picture's middle everywhere: of a continuous exposure, or of the mean of frames."""
    backend = for_array(light)
    if frames is None:
        psf = backend.rasterize(path_px(poses, CONTINUOUS), center=False)
    else:
        path, duration, _ = averaged_frames(path_px(poses, frames), frames=frames, gap=1.0)
        psf = backend.rasterize(path, duration, center=False)
    return np.asarray(backend.convolve(light[None, None], psf, border=bs.Border.REPLICATE)[0, 0])


@dataclass(frozen=True)
class Explanation:
    """PSNR in dB of both halves of a photograph, by a path that was fitted to one of them."""

    identity: Prediction
    continuous: Prediction
    frames: dict[int, Prediction]
    uniform: Prediction
    uniform_frames: Prediction
    other_curve: Prediction


def explain(folder: Path, blurred: str, half: str) -> Explanation:
    """Fit a path to a half of a photograph, and score what follows from it on both halves."""
    power = FILES[blurred]
    (other,) = {1.0, 2.2} - {power}
    found = gopro_shake.explain(folder, blurred, half)
    sharp, real = gopro_shake.pair(folder, blurred)
    refitted = gopro_shake.fit_poses(sharp**other, real**other, half, found.poses)
    light, poses = sharp**power, found.poses
    return Explanation(
        identity=found.identity,
        continuous=score(shaken(light, poses, moments=CONTINUOUS), real, power),
        frames={n: score(shaken(light, poses, moments=n), real, power) for n in FRAMES},
        uniform=score(uniform(light, poses, None), real, power),
        uniform_frames=score(uniform(light, poses, 11), real, power),
        other_curve=score(shaken(sharp**other, refitted, moments=CONTINUOUS), real, other),
    )
