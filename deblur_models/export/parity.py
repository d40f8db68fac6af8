"""Whether an exported file gives the pictures of its network: measured on photographs, and where it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.dataset.bundled import bundled_photographs
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding
from blursynth.io.decoders import CODE_SUFFIXES
from blursynth.io.folders import expanded, walk
from blursynth.io.pictures import read_frame
from blursynth.recipe import load_recipe
from deblur_models.export.runtimes import RuntimeFailure, run_in, version_of
from deblur_models.networks.network import Network

__all__ = ["SIZES_PX", "TOLERANCES", "Parity", "blurred_pictures", "measure_parity"]

SIZES_PX = ((128, 192), (131, 97), (75, 214))
"""Sizes of the pictures with which graphs of any size are checked: of even, odd, and mixed sides."""

TOLERANCES: Mapping[str, float] = {"float32": 1e-4, "float16": 4 / 255}
"""Largest difference of a pixel from the network in float32, in 0..1, by precision of the weights.

Float32 in another order of summation differs by 1e-7 to 1e-5. Float16 has 11 significant bits: with random weights the
networks here differ by 3e-4 to 1.2e-2 (55 to 82 dB), most where each layer divides by a standard deviation.
"""


@dataclass(frozen=True)
class Parity:
    """How far a runtime's results are from the network's, for one picture.

    ``largest`` is the largest difference of a pixel in 0..1; ``psnr_db`` the PSNR of one result against the other,
    infinite if they are equal.
    """

    runtime: str
    version: str
    height: int
    width: int
    largest: float
    psnr_db: float

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return values if math.isfinite(self.psnr_db) else {**values, "psnr_db": "inf"}  # the file holds only good ones


def blurred_pictures(
    sizes_px: Sequence[tuple[int, int]], folder: str | Path | None = None
) -> list[NDArray[np.float32]]:
    """Photographs ``[1, 3, H, W]`` in 0..1 of the given heights and widths, cut from the middle of larger ones.

    Parameters
    ----------
    sizes_px
        Height and width of each.
    folder
        Blurred photographs of yours; by default the held-out ones of scikit-image, blurred by the recipe ``default``.

    Raises
    ------
    MissingExtraError
        scikit-image is not installed.
    InvalidValueError
        The folder holds no pictures, or one is smaller than its size.
    """
    if folder is None:
        files = bundled_photographs("held-out")
    else:
        inside = walk(expanded(folder), CODE_SUFFIXES)
        files = [inside.root / name for name in inside.files]
        if not files:
            raise InvalidValueError(f"{folder}: holds no pictures.", fix="Give a folder of blurred photographs.")
    recipe = load_recipe("default") if folder is None else None
    made = []
    for index, (height, width) in enumerate(sizes_px):
        file = files[index % len(files)]
        frame = read_frame(file, encoding=Encoding.DISPLAY)
        above, before = ((side - cut) // 2 for side, cut in zip(frame.size_px, (height, width), strict=True))
        if min(above, before) < 0:
            raise InvalidValueError(
                f"{file}: has {frame.size_px[1]} x {frame.size_px[0]} px, but pictures of {width} x {height} px are "
                "compared.",
                fix="Give larger pictures.",
            )
        frame = frame.crop(above, before, height, width)
        if recipe is not None:
            frame = recipe.sample(frame, seed=1, index=index)(frame)
        made.append(np.array(np.broadcast_to(frame.image, (1, 3, height, width)), np.float32))
    return made


def measure_parity(network: Network, path: Path, runtime: str, pictures: Sequence[NDArray[np.float32]]) -> list[Parity]:
    """Run an exported file on pictures and compare it with its network in float32.

    Raises
    ------
    RuntimeFailure
        The runtime cannot run the file, or gives another shape.
    """
    with torch.inference_mode():
        expected = [network(torch.from_numpy(picture)).numpy() for picture in pictures]
    rows = []
    for wanted, found in zip(expected, run_in(runtime, path, pictures), strict=True):
        if found.shape != wanted.shape:
            raise RuntimeFailure(f"{runtime}: gives {list(found.shape)} instead of {list(wanted.shape)}.")
        error = found.astype(np.float64) - wanted
        square = float(np.mean(error**2))
        rows.append(
            Parity(
                runtime=runtime,
                version=version_of(runtime),
                height=wanted.shape[-2],
                width=wanted.shape[-1],
                largest=float(np.abs(error).max()) if math.isfinite(square) else math.inf,
                psnr_db=_psnr_db(square),
            )
        )
    return rows


def _psnr_db(square: float) -> float:
    """Of a mean squared error that may be 0 or NaN."""
    if not math.isfinite(square):
        return -math.inf
    return -10.0 * math.log10(square) if square > 0 else math.inf
