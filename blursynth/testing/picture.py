"""Pictures of a violation: what went in, what came out, what was expected, and the difference."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.io.atomic import write_atomically
from blursynth.records.text import printable
from blursynth.testing.laws.law import Result

__all__ = ["Panel", "panels", "png", "save_picture", "violation_picture"]

Codes = NDArray[np.uint8]

LARGEST_PX = 400
"""Larger pictures are cut to this much around the largest difference."""

ENLARGED_PX = 256
"""Height or width that panels are enlarged to, by whole factors."""

LARGEST_FACTOR = 64
"""A single pixel need not be larger."""

NOT_FINITE = (255, 0, 255)
"""Color of NaN and infinity."""


@dataclass(frozen=True)
class Panel:
    """One of the pictures.

    Parameters
    ----------
    name
        What it is: ``x``, ``got``, ``expected``, ``difference``.
    note
        What its colors mean.
    pixels
        ``[H, W, 3]`` in uint8, not enlarged.
    """

    name: str
    note: str
    pixels: Codes


def panels(result: Result) -> list[Panel]:
    """The pictures of a counterexample from left to right; none where the law compares no pictures.

    Values from 0 to 1 are shown as they are (dark pictures are brightened, which their note says), and distances from
    near (dark) to far. NaN and infinity are magenta.
    """
    found = result.measurement
    got = None if found is None else _planar(found.got)
    expected = None if found is None else _planar(found.expected)
    comparable = got is not None and expected is not None and got.shape == expected.shape and got.size > 0
    difference = _signed(got - expected) if comparable else None  # type: ignore[operator]
    center = None if difference is None else _at_largest(difference)

    if got is None and result.status != "violated":
        return []
    images = {
        name: value if _is_depth(name, value) else _planar(value)
        for name, value in {**(result.case or {}), "got": got, "expected": expected}.items()
    }
    gain = _gain([image for name, image in images.items() if image is not None and not _is_depth(name, image)])
    shown = [
        _distances(name, _cut(image[None], center)[0]) if _is_depth(name, image) else _values(name, image, center, gain)
        for name, image in images.items()
        if image is not None
    ]
    if difference is not None:
        shown.append(_differences(_cut(difference[None], center)[0]))
    return shown


def _is_depth(name: str, value: Any) -> bool:
    return name.startswith("depth") and isinstance(value, np.ndarray) and value.ndim == 2


def _gain(images: list[NDArray[np.float64]]) -> int:
    """By how much dark pictures are brightened: a counterexample is often one faint pixel."""
    brightest = max((float(np.nan_to_num(image, posinf=1.0).max()) for image in images), default=1.0)
    return int(min(1 / brightest, 256)) if 0 < brightest < 0.4 else 1


def _planar(value: Any) -> NDArray[np.float64] | None:
    """A picture as ``[C, H, W]``, the first one of a batch; None for anything else."""
    if not isinstance(value, np.ndarray) or value.ndim not in (2, 3, 4) or value.size == 0:
        return None
    if value.ndim == 4:
        value = value[0]
    return np.asarray(value if value.ndim == 3 else value[None], np.float64)


def _signed(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[H, W]``: of each pixel the channel that differs most."""
    largest = np.nan_to_num(np.abs(difference), nan=np.inf).argmax(axis=0)
    return np.asarray(np.take_along_axis(difference, largest[None], axis=0)[0])


def _at_largest(difference: NDArray[np.float64]) -> tuple[int, int]:
    row, column = np.unravel_index(np.nan_to_num(np.abs(difference), nan=np.inf).argmax(), difference.shape)
    return int(row), int(column)


def _cut(picture: NDArray[np.float64], center: tuple[int, int] | None) -> NDArray[np.float64]:
    for axis, side in ((1, picture.shape[1]), (2, picture.shape[2])):
        if side > LARGEST_PX:
            middle = side // 2 if center is None else center[axis - 1]
            start = min(max(middle - LARGEST_PX // 2, 0), side - LARGEST_PX)
            picture = np.take(picture, range(start, start + LARGEST_PX), axis=axis)
    return picture


def _values(name: str, picture: NDArray[np.float64], center: tuple[int, int] | None, gain: int) -> Panel:
    height, width = picture.shape[1:]
    finite = picture[np.isfinite(picture)]
    low, high = (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)
    note = f"{height} x {width} px, " + (f"all {low:.4g}" if low == high else f"{low:.4g} to {high:.4g}")
    part = _cut(picture, center)
    if part.shape != picture.shape:
        note += f", {part.shape[1]} x {part.shape[2]} px shown"
    if gain > 1:
        note += f", shown {gain} times brighter"
    part = part * gain
    colors = part if len(part) == 3 else np.repeat(part.mean(axis=0, keepdims=True), 3, axis=0)
    return Panel(name, note, _codes(np.moveaxis(colors, 0, -1)))


def _codes(colors: NDArray[np.float64]) -> Codes:
    """``[H, W, 3]``, 0 to 1, as codes."""
    codes = np.rint(np.clip(np.nan_to_num(colors), 0, 1) * 255).astype(np.uint8)
    codes[~np.isfinite(colors).all(axis=-1)] = NOT_FINITE
    return codes


def _distances(name: str, depth_m: NDArray[np.float64]) -> Panel:
    near, far = float(depth_m.min()), float(depth_m.max())
    gray = (depth_m - near) / (far - near) if far > near else np.full(depth_m.shape, 0.5)
    note = f"all {near:.4g} m" if far == near else f"{near:.4g} m (dark) to {far:.4g} m"
    return Panel(name, note, _codes(np.repeat(gray[..., None], 3, axis=-1)))


def _differences(difference: NDArray[np.float64]) -> Panel:
    """White where there is none, red where the result is too bright, blue where it is too dark."""
    finite = np.abs(difference[np.isfinite(difference)])
    largest = float(finite.max(initial=0.0))
    share = difference / (largest or 1.0)
    colors = np.stack([1 + np.minimum(share, 0), 1 - np.abs(share), 1 - np.maximum(share, 0)], axis=-1)
    return Panel("got - expected", f"red: too bright, blue: too dark, up to {largest:.3g}", _codes(colors))


def png(pixels: Codes) -> bytes:
    """``[H, W, 3]`` as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()


def enlargement(shown: list[Panel]) -> int:
    """The whole factor by which panels are enlarged, the same for all, so that pixels compare."""
    longest = int(max(max(panel.pixels.shape[:2]) for panel in shown))
    return min(max(1, ENLARGED_PX // longest), LARGEST_FACTOR)


_PAPER, _INK, _FAINT = (250, 249, 246), (27, 29, 33), (93, 98, 107)
_GAP_PX, _LINE_PX = 18, 20


def violation_picture(result: Result) -> Codes | None:
    """All panels side by side and labeled, ``[H, W, 3]`` in uint8; None where the law compares no pictures."""
    from PIL import Image, ImageDraw, ImageFont

    shown = panels(result)
    if not shown:
        return None
    factor = enlargement(shown)
    pictures = [np.repeat(np.repeat(panel.pixels, factor, axis=0), factor, axis=1) for panel in shown]
    title, text = ImageFont.load_default(18), ImageFont.load_default(14)
    notes = [textwrap.wrap(panel.note, 30) for panel in shown]
    widths = [
        max(picture.shape[1], *(int(text.getlength(line)) + 1 for line in (panel.name, *lines)))
        for picture, panel, lines in zip(pictures, shown, notes, strict=True)
    ]
    width = max(sum(widths) + _GAP_PX * (len(widths) + 1), 640)
    heading = _heading(result, width)
    tallest = max(picture.shape[0] for picture in pictures)
    top = _GAP_PX + 26 + _LINE_PX * len(heading[1:]) + 10
    height = top + _LINE_PX + 4 + tallest + 6 + _LINE_PX * max(map(len, notes)) + _GAP_PX
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP_PX, _GAP_PX), heading[0], _INK, title)
    for n, line in enumerate(heading[1:]):
        pen.text((_GAP_PX, _GAP_PX + 26 + n * _LINE_PX), line, _FAINT, text)
    left = _GAP_PX
    for picture, panel, lines, column in zip(pictures, shown, notes, widths, strict=True):
        pen.text((left, top), panel.name, _INK, text)
        below = top + _LINE_PX + 4
        sheet.paste(Image.fromarray(picture), (left, below))
        pen.rectangle((left - 1, below - 1, left + picture.shape[1], below + picture.shape[0]), outline=_FAINT)
        for n, line in enumerate(lines):
            pen.text((left, below + picture.shape[0] + 6 + n * _LINE_PX), line, _FAINT, text)
        left += column + _GAP_PX
    return np.asarray(sheet)


def _heading(result: Result, width_px: int) -> list[str]:
    """The title, and lines that fit the width."""
    found = result.measurement
    lines = [f"{printable(result.blur)}: {result.law.name} {result.status}"]
    if found is not None:
        lines.append(f"measured {found.deviation:.3g} {found.unit}, allowed {found.allowed:.3g}")
    return lines + textwrap.wrap(result.law.statement, (width_px - 2 * _GAP_PX) // 8)


def save_picture(result: Result, path: Path) -> Path | None:
    """Write the picture of a violation as PNG and return its path; None where the law compares no pictures.

    Raises
    ------
    OSError
        It cannot be written.
    """
    sheet = violation_picture(result)
    if sheet is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, png(sheet))
    return path
