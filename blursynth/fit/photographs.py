"""The photographs that a recipe is fitted to: found, checked, and cut to what is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.dataset.progress import OnProgress
from blursynth.dataset.sources import Scan, scan_sources
from blursynth.errors import InvalidValueError, PictureError
from blursynth.frame import Frame
from blursynth.io.photo_file import PhotoFile, read_photo_file
from blursynth.io.pictures import read_pixels

__all__ = ["FEWEST", "Photograph", "jpeg_settings", "read_photographs", "read_sharp"]

FEWEST = 4
_LEAST_PX = 128
_MOST = 80  # more add time and say little more
_WINDOW_PX = (1024, 1536)  # of a photograph: noise and blur of the middle, at its own scale
_GRID_PX = 16  # of the JPEG blocks, which a window begins with


@dataclass(frozen=True, eq=False)
class Photograph:
    """The middle of one photograph: codes ``[H, W, 3]`` of 8 or 16 bits, and what its file says."""

    name: str
    pixels: NDArray[Any]
    file: PhotoFile

    @property
    def codes(self) -> NDArray[np.float32]:
        """``[3, H, W]``, 0..1."""
        top = np.float32(np.iinfo(self.pixels.dtype).max)
        return np.ascontiguousarray(np.moveaxis(self.pixels, -1, 0)).astype(np.float32) / top

    @property
    def is_gray(self) -> bool:
        return bool((self.pixels[..., :1] == self.pixels).all())


def read_photographs(
    places: str | Path | Iterable[str | Path], *, fewest: int = FEWEST, on_progress: OnProgress | None = None
) -> tuple[list[Photograph], Scan]:
    """Photographs at their own scale; of more than 80, every n-th, and of large ones the middle 1536 x 1024 px.

    Raises
    ------
    PictureError
        A place does not exist, no file is usable, or there are fewer than ``fewest``.
    """
    scan = scan_sources(places, size_px=_LEAST_PX, on_progress=on_progress)
    codes = [source for source in scan.usable if not source.is_linear]
    if len(codes) < fewest:
        light = len(scan.usable) - len(codes)
        others = f" {light} hold light instead of codes." if light else ""
        others += f" {len(scan.skipped)} were skipped: {scan.skipped[0].why}" if scan.skipped else ""
        raise PictureError(
            f"At least {fewest} photographs of {_LEAST_PX} px or more are needed, got {len(codes)}.{others}",
            why="A distribution cannot be read from fewer.",
            fix="Give more photographs of the same camera, as it stores them.",
        )
    chosen = [codes[i] for i in np.unique(np.linspace(0, len(codes) - 1, min(len(codes), _MOST)).astype(int))]
    found = []
    for source in chosen:
        path = scan.path(source)
        pixels = read_pixels(path)
        tops = [
            max(0, (n - most) // 2) // _GRID_PX * _GRID_PX for n, most in zip(pixels.shape, _WINDOW_PX, strict=False)
        ]
        window = pixels[tops[0] : tops[0] + _WINDOW_PX[0], tops[1] : tops[1] + _WINDOW_PX[1]]
        found.append(Photograph(source.name, window.copy(), read_photo_file(path)))
    flat = [one.name for one in found if one.pixels.std(axis=(0, 1)).max() < 2.0 * np.iinfo(one.pixels.dtype).max / 255]
    if len(flat) > len(found) - fewest:
        raise PictureError(
            f"{len(flat)} of {len(found)} photographs are flat, such as {flat[0]}.",
            why="Blur shows in detail only.",
            fix="Give photographs that show something.",
        )
    return found, scan


def read_sharp(places: str | Path | Iterable[str | Path], *, on_progress: OnProgress | None = None) -> list[Frame]:
    """Sharp photographs to simulate with, display frames."""
    from blursynth.fit.scenes import scene_of_photograph

    found, _ = read_photographs(places, fewest=1, on_progress=on_progress)
    return [scene_of_photograph(Frame.from_uint8(_eight_bits(one.pixels))) for one in found]


def _eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257.0).astype(np.uint8)


def jpeg_settings(photographs: Sequence[Photograph]) -> tuple[tuple[int, str, float], ...]:
    """(quality, subsampling, share) of the files, most frequent first; empty unless most are JPEG.

    Raises
    ------
    InvalidValueError
        There is no photograph.
    """
    if not photographs:
        raise InvalidValueError("There is no photograph.", fix="Give at least one.")
    files = [one.file for one in photographs if one.file.quality is not None]
    if 2 * len(files) < len(photographs):
        return ()
    counts = Counter((int(file.quality or 0), file.subsampling or "420") for file in files)
    return tuple((quality, sampling, n / len(files)) for (quality, sampling), n in counts.most_common(12))
