"""Registration by a homography before comparison, as in the evaluation of RealBlur and RSBlur.

Their two cameras look through one lens, but what a network restores may lie a fraction of a pixel from the sharp
picture, since the middle of a real blur is not defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.metrics.metric import Metric
from deblur_models.metrics.ssim import ssim_map

__all__ = ["Registered", "Registration", "register"]

_ITERATIONS = 100  # of them, all are done: the script stops at no smaller change
_SMOOTHING_PX = 5  # side of the Gaussian filter before the alignment
_FIX = "Is it a picture of the same scene? Metrics without registration measure any picture."


@dataclass(frozen=True, eq=False)
class Registration:
    """The restored and the sharp picture ``[3, H, W]``, both 0 where the restored one shows nothing, the ``mask``
    ``[1, H, W]`` (1 where it shows something), and the ``homography`` ``[3, 3]`` from pixels (x, y, 1) of the sharp
    picture to those of the restored one."""

    restored: Tensor
    sharp: Tensor
    mask: Tensor
    homography: NDArray[np.float32]


def register(restored: Tensor, sharp: Tensor) -> Registration:
    """Scale a restored picture ``[3, H, W]`` to the sharp one and warp it onto it.

    The values are multiplied by ``<x, z> / <z, z>`` (least squares over all pixels and channels). The homography that
    maximizes the enhanced correlation coefficient (ECC) of the lumas is found in 100 iterations from the identity,
    after a Gaussian filter of 5 px. The picture is warped by cubic interpolation, and is not clipped afterwards; its
    mask is warped to the nearest pixel.

    Raises
    ------
    InvalidValueError
        The pictures have other shapes than ``[3, H, W]`` or differ in shape, or no homography is found.

    Source: J. Rim, H. Lee, J. Won, S. Cho, "Real-world blur dataset for learning and benchmarking deblurring
    algorithms", ECCV 2020, and the steps of its evaluation script (rimchang/RealBlur); G. Evangelidis, E. Psarakis,
    "Parametric image alignment using enhanced correlation coefficient maximization", PAMI 2008.
    """
    if restored.ndim != 3 or restored.shape[0] != 3 or restored.shape != sharp.shape:
        raise InvalidValueError(
            f"Two pictures [3, H, W] are registered, got shapes {list(restored.shape)} and {list(sharp.shape)}."
        )
    z, x = (
        np.ascontiguousarray(picture.detach().cpu().movedim(0, -1).numpy(), dtype=np.float32)
        for picture in (restored, sharp)
    )
    *pictures, homography = _registered(z.tobytes(), x.tobytes(), z.shape)
    zr, xr, mask = (torch.from_numpy(picture).movedim(-1, 0) for picture in pictures)
    return Registration(zr, xr, mask, homography)


# PSNR and SSIM of one pair follow one another, and the alignment is all of the work.
@lru_cache(maxsize=1)
def _registered(restored: bytes, sharp: bytes, shape: tuple[int, ...]) -> tuple[NDArray[Any], ...]:
    z, x = (np.frombuffer(each, np.float32).reshape(shape) for each in (restored, sharp))
    energy = float(np.square(z, dtype=np.float64).sum())
    if energy == 0:
        raise InvalidValueError("The restored picture is entirely black, so it cannot be registered.")
    z = (float(np.multiply(x, z, dtype=np.float64).sum()) / energy * z).astype(np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, 0.0)
    try:
        _, homography = cv2.findTransformECC(
            cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), cv2.cvtColor(z, cv2.COLOR_RGB2GRAY), np.eye(3, dtype=np.float32),
            cv2.MOTION_HOMOGRAPHY, criteria, np.ones(shape[:2], np.uint8), _SMOOTHING_PX,
        )  # fmt: skip
    except cv2.error as error:
        raise InvalidValueError(
            "No homography aligns the restored picture with the sharp one.", why=str(error.err), fix=_FIX
        ) from None
    size = (shape[1], shape[0])
    inverse = cv2.WARP_INVERSE_MAP
    zr = cv2.warpPerspective(z, homography, size, flags=cv2.INTER_CUBIC | inverse, borderMode=cv2.BORDER_REFLECT)
    everywhere = np.ones(shape[:2], np.float32)
    mask = cv2.warpPerspective(everywhere, homography, size, flags=cv2.INTER_NEAREST | inverse)[..., None]
    if not np.isfinite(homography).all() or not mask.any():
        raise InvalidValueError("The restored picture and the sharp one have no part in common.", fix=_FIX)
    return zr * mask, x * mask, mask, np.asarray(homography, np.float32)


class Registered(Metric):
    """PSNR or SSIM after registration (:func:`register`), over the pixels that both pictures show.

    Figures published for RealBlur (``clip = false``) and RSBlur (``clip = true``) are measured in this way.

    Easily confused with ``aligned``, which shifts without scaling and warping (Levin).
    Not modeled: the versions of OpenCV (4.2.0) and scikit-image (0.17.2) that the scripts ask for, and their arithmetic
    in float32.

    Source: as :func:`register`; J. Rim, G. Kim, J. Kim, J. Lee, S. Lee, S. Cho, "Realistic blur synthesis for learning
    image deblurring", ECCV 2022 (rimchang/RSBlur).
    """

    score: Literal["psnr", "ssim"] = Field(default="psnr", description="what is measured after registration")
    clip: bool = Field(default=False, description="whether registered values are clipped to 0..1 (RSBlur)")

    @property
    def name(self) -> str:
        return f"{self.score}_registered" + ("_clipped" if self.clip else "")

    @property
    def protocol(self) -> str:
        what = {"psnr": "PSNR in dB, peak 1", "ssim": "SSIM (windows as those of ssim)"}[self.score]
        return (
            f"{what}, over what both pictures show, after the restored one was scaled by least squares and warped by "
            f"the homography of highest ECC (RealBlur's script), {'clipped to 0..1' if self.clip else 'not clipped'}"
        )

    def measure(self, restored: Tensor, sharp: Tensor) -> Tensor:
        return torch.stack([self._one(z, x) for z, x in zip(restored, sharp, strict=True)])

    def _one(self, restored: Tensor, sharp: Tensor) -> Tensor:
        found = register(restored, sharp)
        z, x, mask = found.restored.double(), found.sharp.double(), found.mask.double()
        if self.clip:
            z = z.clamp(0.0, 1.0)
        if self.score == "psnr":
            return -10.0 * torch.log10((z - x).square().sum() / (3 * mask.sum()))
        values = ssim_map(z[None], x[None])[0]
        inside = mask[:, 5:-5, 5:-5]  # the middles of whole windows
        return (values * inside).sum() / (3 * inside.sum())
