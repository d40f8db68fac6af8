"""A real shake of a hand: a camera that turns, fitted to one half of a photograph, against the best single kernel.

The author of the GoPro set (Nah, Kim, Lee, CVPR 2017) publishes a sharp frame and two blurred ones that are means of
the same consecutive frames of a hand-held camera: ``blur_lin`` is the mean of the file's codes, ``blur_gamma`` the mean
of their powers 2.2 and back. So the light of the first is the code itself, and that of the second the power.

The motion is a few poses (pitch, yaw, roll, and a step ahead as a share of the scene's depth) joined linearly, fitted to
one half by Gauss-Newton steps from coarse to fine, starting with a straight line. Depth is not known: all of the scene
is taken to be equally far. Without the step ahead, a turn alone predicts the other half of blur_lin .2 to .9 dB worse
than the kernel does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.optimize import least_squares

import blursynth as bs
from blursynth.backends import for_array
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.poses import rotation_matrix
from blursynth.physics.warps import Warps, homography, intrinsic_matrix

FOLDER = Path("blur/gopro_nah_examples")
FILES = {"blur_lin": 1.0, "blur_gamma": 2.2}  # power that makes light of the codes
FOCAL_PX = 1000.0  # by judgment; it decides only how a turn is split into shift and perspective
POSES = 5  # control points
MOMENTS, FEWER_MOMENTS = 25, 13  # poses joined linearly between them, at the end and while fitting
MARGIN = 24  # pixels whose light may come from beyond the picture are not compared

Picture = NDArray[np.float64]


def gray(path: Path) -> Picture:
    """A picture ``[h, w]``, 0..1; color is averaged."""
    codes = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert codes is not None, path
    return np.asarray(codes.mean(axis=2) / 255.0)


def pair(folder: Path, blurred: str) -> tuple[Picture, Picture]:
    """Sharp and blurred codes of the flower shop."""
    (found,) = (folder / FOLDER).glob(f"{blurred}__*.png")
    return gray(folder / FOLDER / "Flower_sharp1.png"), gray(found)


def halves(shape: tuple[int, ...], scale: int = 1) -> dict[str, tuple[slice, slice]]:
    """The parts of a picture that are compared."""
    edge, middle = -(-MARGIN // scale), shape[1] // 2
    rows = slice(edge, shape[0] - edge)
    return {"left": (rows, slice(edge, middle)), "right": (rows, slice(middle, shape[1] - edge))}


def shaken(light: Picture, poses: NDArray[np.float64], scale: int = 1, moments: int = MOMENTS) -> Picture:
    """What a camera sees that goes through poses ``[N, 4]``, in a picture ``scale`` times smaller.

    A pose is pitch, yaw and roll in mrad and a step ahead in thousandths of the depth.
    """
    at = (np.arange(moments) + 0.5) / moments * (len(poses) - 1)
    now = 1e-3 * np.stack([np.interp(at, np.arange(len(poses)), poses[:, a]) for a in range(4)], axis=1)
    intrinsics = intrinsic_matrix(bs.Intrinsics(FOCAL_PX / 1000.0, float(scale)), light.shape)
    matrix = homography(intrinsics, rotation_matrix(now[:, :3]))
    # The depth is the same everywhere, so a translation is a part of the homography: (u, v, s) + q K a with q = 1.
    matrix[:, :, 2] += now[:, 3:] * intrinsics[:, 2]
    warps = Warps(
        matrix[None], np.zeros((1, moments, 3)), np.zeros((1, 1), np.int64), np.full((1, 1, moments), 1.0 / moments)
    )
    picture = light[None, None]
    return np.asarray(for_array(picture).warp_mean(picture, warps, border=bs.Border.REPLICATE)[0, 0])


def smaller(picture: Picture, scale: int) -> Picture:
    """Means of blocks."""
    height, width = (side // scale for side in picture.shape)
    return np.asarray(picture.reshape(height, scale, width, scale).mean(axis=(1, 3)))


def fit_poses(sharp: Picture, blurred: Picture, half: str, start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Poses that take the sharp light to the blurred one in a half of the picture."""
    poses = start
    for scale in (8, 4, 2):  # full size moves no number that matters, and takes four times as long
        source, wanted = smaller(sharp, scale), smaller(blurred, scale)
        window = halves(source.shape, scale)[half]

        def residual(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
            picture = shaken(source, numbers.reshape(-1, 4), scale, FEWER_MOMENTS)  # noqa: B023  (this round's)
            return np.asarray((picture - wanted)[window].ravel())  # noqa: B023

        found = least_squares(residual, poses.ravel(), diff_step=1e-3, max_nfev=12, x_scale="jac", xtol=1e-4)
        poses = found.x.reshape(-1, 4)
    return poses


def fit_kernel(sharp: Picture, blurred: Picture, half: str, reach_px: int) -> PointSpreads:
    """The least-squares kernel of a half, without any constraint."""
    size = 2 * reach_px + 1
    window = halves(sharp.shape)[half]
    windows = sliding_window_view(np.pad(sharp, reach_px, "edge"), (size, size))[window]
    normal, right = np.zeros((size**2, size**2)), np.zeros(size**2)
    for row, wanted in zip(windows, blurred[window], strict=True):
        seen = row[:, ::-1, ::-1].reshape(len(row), -1)
        normal += seen.T @ seen
        right += seen.T @ wanted
    normal += 1e-8 * np.trace(normal) / len(normal) * np.eye(len(normal))
    return PointSpreads.from_dense([solve(normal, right, assume_a="pos").reshape(size, size)])


@dataclass(frozen=True)
class Prediction:
    """PSNR in dB of the codes of both halves."""

    left: float
    right: float


def score(picture: Picture, real_codes: Picture, power: float) -> Prediction:
    """How well light explains the photograph's codes."""
    error = np.clip(picture, 0, 1) ** (1 / power) - real_codes
    left, right = (float(-10 * np.log10(np.mean(error[w] ** 2))) for w in halves(error.shape).values())
    return Prediction(left, right)


@dataclass(frozen=True)
class Explanation:
    """What the identity, the best kernel and the best turn, fitted to one half, say of both halves."""

    identity: Prediction
    kernel: Prediction
    shake: Prediction
    poses: NDArray[np.float64]


def explain(folder: Path, blurred: str, half: str, *, reach_px: int = 15) -> Explanation:
    """Fit to a half of a photograph, and score both halves."""
    power = FILES[blurred]
    sharp_codes, real_codes = pair(folder, blurred)
    sharp, real = sharp_codes**power, real_codes**power
    psf = fit_kernel(sharp, real, half, reach_px)
    uniform = for_array(sharp).convolve(sharp[None, None], psf, border=bs.Border.REPLICATE)[0, 0]
    # Start: a straight line as long and as wide as the kernel's second moments say.
    weight = np.clip(psf.weight, 0, None) / np.clip(psf.weight, 0, None).sum()
    offset = np.stack([psf.dy, psf.dx], axis=1).astype(np.float64)
    offset -= weight @ offset
    variance, axes = np.linalg.eigh((weight[:, None] * offset).T @ offset)
    end = np.sqrt(3 * variance[1]) * axes[:, 1] * 1000.0 / FOCAL_PX
    # Pitch turns the view down or up, yaw to the right: rows and columns.
    line = np.linspace(-1, 1, POSES)[:, None] * np.array([-end[0], end[1], 0.0, 0.0])
    poses = fit_poses(sharp, real, half, line)
    return Explanation(
        score(sharp, real_codes, power),
        score(uniform, real_codes, power),
        score(shaken(sharp, poses), real_codes, power),
        poses,
    )
