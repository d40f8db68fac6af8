"""Contact sheets: sharp picture, blurred picture, kernel and drawn parameters side by side.

There is one row per sample. Kernels are enlarged, with their brightest pixel white and a scale bar. Since they are
mostly dark, the square root of their weight is shown. The ticks on the frame of a kernel mark zero shift, where the
light is in the sharp picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.core import Degradation, Draw, Identity, Pair
from blursynth.degradations import Sensor
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame
from blursynth.io.pictures import write_picture
from blursynth.physics.color import srgb_codes
from blursynth.recipe.recipe import Recipe
from blursynth.recipe.samplers import Sampler
from blursynth.recipe.sensor_from_profile import SensorFromProfile
from blursynth.records.units import quantity

__all__ = ["Row", "contact_sheet", "describe_draw", "kernel_picture", "write_contact_sheet"]

_INK, _FAINT, _PAPER, _FRAME = (24, 26, 30), (104, 108, 116), (250, 250, 248), (200, 202, 206)
_GAP, _MARGIN, _TEXT_PX, _INDENT = 16, 28, 400, 14
_APART_PX, _CLOSE_PX = 20, 17  # from line to line of text; closer together before rows get higher than their pictures
_MOST_SUBTITLES = 4
_Line = tuple[int, str, int, tuple[int, int, int]]  # indent, text, size and color


@dataclass(frozen=True)
class Row:
    """One sample of a sheet.

    Parameters
    ----------
    sharp, blurred
        ``[H, W, 3]``: uint8 or uint16 file codes, or floats in linear light, which are encoded for the eye.
    draw
        The draw that made it; None for a real pair.
    caption
        A line above its parameters, such as its index and source.
    points
        ``[H, W]``, the image of a grid of points of light (:func:`points_of_light`), for a blur that varies over the
        picture; without it the sheet only says that the blur varies.
    """

    sharp: NDArray[Any]
    blurred: NDArray[Any]
    draw: Draw | None
    caption: str = ""
    points: NDArray[np.floating] | None = None

    @staticmethod
    def of_pair(pair: Pair, draw: Draw, caption: str = "") -> Row:
        """A row from a pair of single-picture frames."""
        return Row(_codes(pair.sharp), _codes(pair.blurred), draw, caption)


def points_of_light(draw: Draw, frame: Frame, *, margin_px: int = 0, across: int = 5) -> NDArray[np.float64]:
    """``[H, W]``: how the blurs of a draw that act on light blur a grid of points of light on the surfaces of a scene.

    Steps that neither blur nor set geometry are left out: noise would drown the points.

    Parameters
    ----------
    frame
        Position, depth, labels and camera of one picture; its pixels are not used.
    margin_px
        Margin of the frame that is cut off in the result.
    across
        Number of points along each side.
    """
    height, width = frame.size_px
    light = np.zeros((1, 1, height, width))
    rows, columns = (
        margin_px + np.round((np.arange(across) + 0.5) * (size - 2 * margin_px) / across).astype(int)
        for size in (height, width)
    )
    light[0, 0, rows[:, None], columns[None, :]] = 1.0
    linear = (None, Encoding.LINEAR)
    steps = tuple(
        (name, s)
        for name, s in draw.steps
        if (s.blurs or s.sets_geometry) and type(s).takes in linear and type(s).gives in linear
    )
    return np.asarray(Draw(steps)(frame.with_image(light, Encoding.LINEAR), margin_px=margin_px).image[0, 0])


def describe_draw(draw: Draw | None, recipe: Recipe | None = None) -> list[tuple[str, str]]:
    """(step and kind, its parameters) of every step that has parameters; nothing of real pairs.

    With a recipe, the fields that it sets are shown; for a sensor drawn from a camera's file, the camera with its ISO,
    gain, white and read noise. Without a recipe, fields that differ from their defaults are shown. Seeds, the colors of
    a sensor and fields that follow from others are never shown.

    >>> import blursynth as bs
    >>> lens = bs.kinds.GaussianBlur(sigma_px=0.5, aspect=0.8)
    >>> describe_draw(bs.Draw((("lens", lens), ("encode", bs.kinds.Encode()))))
    [('lens: gaussian blur', 'sigma 0.5 px · aspect 0.8')]
    """
    samplers = dict(recipe.steps) if recipe else {}
    given = {name: {f for f, _ in sampler.distributions()} for name, sampler in samplers.items()}
    for name in given:
        if "camera" in given[name]:
            given[name] |= {"gain_dn_per_e", "white_level_e", "read_noise_e"}
    lines = []
    for name, step in draw.steps if draw else ():
        fields = [
            (field, value)
            for field, value in step.fields().items()
            if not field.endswith("seed")
            and value is not None
            and not (isinstance(step, Sensor) and field.startswith(("red_", "green_", "blue_")))
            and (field in given[name] if name in given else value != type(step).model_fields[field].default)
        ]
        kind = step.kind.replace("_", " ")
        if isinstance(step, Identity):
            lines.append((f"{name}: none", ""))
        elif fields:
            numbers = " · ".join([*_camera_of(samplers.get(name), step), *(quantity(f, value) for f, value in fields)])
            lines.append((kind if kind == name.replace("_", " ") else f"{name}: {kind}", numbers))
    return lines


def _camera_of(sampler: Sampler | None, step: Degradation) -> list[str]:
    """The calibrated camera that a sensor was drawn from, and its ISO; empty if it may be one of several."""
    if not isinstance(sampler, SensorFromProfile) or sampler.cameras[1:] or not isinstance(step, Sensor):
        return []
    (profile,) = sampler.cameras
    iso = None if step.gain_dn_per_e is None else profile.iso_of_gain(step.gain_dn_per_e)
    return [profile.name, *([] if iso is None else [f"ISO {iso:,.0f}"])]


def kernel_picture(kernel: NDArray[np.float64], size_px: int = 256, *, least_px: int = 15) -> NDArray[np.uint8]:
    """A kernel as a picture ``[size_px, size_px, 3]``, enlarged by a whole factor, with a scale bar in px.

    Parameters
    ----------
    kernel
        ``[K, K]``, K odd, zero shift in the middle; None for a single point.
    least_px
        Smallest extent that is shown, in px, so that a point still looks like a point.
    """
    from PIL import Image, ImageDraw

    dense = _trimmed(np.asarray(kernel, np.float64))
    side = max(dense.shape[0] + 2, least_px | 1)
    edge = (side - dense.shape[0]) // 2
    shown = np.pad(dense, edge)
    side = shown.shape[0]
    factor = max(1, size_px // side)
    codes = np.rint(255 * np.sqrt(np.clip(shown / max(shown.max(), 1e-300), 0, 1))).astype(np.uint8)
    picture = Image.fromarray(codes)
    if side > size_px:  # very long blurs: averaging keeps thin lines visible
        picture = picture.resize((size_px, size_px), Image.Resampling.BOX)
        scale = size_px / side
    else:
        picture = picture.resize((side * factor, side * factor), Image.Resampling.NEAREST)
        scale = float(factor)
    tile = Image.new("RGB", (size_px, size_px), (0, 0, 0))
    offset = (size_px - picture.width) // 2
    tile.paste(picture.convert("RGB"), (offset, offset))
    pen = ImageDraw.Draw(tile)
    middle = offset + (side // 2 + 0.5) * scale
    for start, end in ((0, 7), (size_px - 8, size_px - 1)):
        pen.line([(middle, start), (middle, end)], fill=(230, 160, 40))
        pen.line([(start, middle), (end, middle)], fill=(230, 160, 40))
    _scale_bar(pen, size_px, scale)
    return np.asarray(tile)


def _trimmed(dense: NDArray[np.float64]) -> NDArray[np.float64]:
    """Crop the dark rim (below 1e-4 of the maximum, which is invisible), keeping the center."""
    middle = dense.shape[0] // 2
    rows, columns = np.nonzero(dense > 1e-4 * dense.max())
    if not len(rows):
        return dense
    reach = int(max(np.abs(rows - middle).max(), np.abs(columns - middle).max()))
    return dense[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]


def _scale_bar(pen: Any, size_px: int, scale: float) -> None:
    """A bar of 1, 2 or 5 times a power of ten px, at most a third of the tile."""
    longest = size_px / 3 / scale
    step = 10.0 ** math.floor(math.log10(max(longest, 1)))
    length = max(f * step for f in (1, 2, 5) if f * step <= max(longest, 1))
    left, bottom = 10, size_px - 11
    pen.rectangle([left, bottom - 2, left + round(length * scale) - 1, bottom], fill=(255, 255, 255))
    pen.text(
        (left, bottom - 6),
        f"{length:g} px",
        fill=(255, 255, 255),
        font=_font(14),
        anchor="ls",
        stroke_width=2,
        stroke_fill=(0, 0, 0),
    )


def contact_sheet(
    rows: Sequence[Row],
    *,
    title: str,
    subtitle: str = "",
    recipe: Recipe | None = None,
    size_px: int | None = None,
) -> NDArray[np.uint8]:
    """The sheet as codes ``[H, W, 3]``.

    Parameters
    ----------
    rows
        The samples, from top to bottom.
    title, subtitle
        Text above the rows, such as the recipe and the seed.
    recipe
        The recipe whose fields are written beside each row; see :func:`describe_draw`.
    size_px
        Height and width of a picture on the sheet; by default that of the samples, at least 192. Smaller samples are
        enlarged by an integer factor; larger ones are cropped to their center, since scaling would change the blur. All
        parameters of a draw are written. If they need the space, they take two columns and rows become taller.

    Raises
    ------
    InvalidValueError
        There are no rows.
    """
    from PIL import Image, ImageDraw

    if not rows:
        raise InvalidValueError("A contact sheet needs at least one row, got none.")
    if size_px is None:
        side = max(max(row.sharp.shape[:2]) for row in rows)
        size_px = side * max(1, math.ceil(192 / side))  # a whole multiple, so that no frame stays empty
    texts = [_text_of(row, recipe) for row in rows]
    room = size_px // _CLOSE_PX
    columns = 1 if max(sum(map(len, text)) for text in texts) <= room else 2
    texts_px = columns * (_TEXT_PX + _GAP) - _GAP
    width = 2 * _MARGIN + 3 * (size_px + _GAP) + texts_px
    under_title = _broken(subtitle, " ", _font(16), width - 2 * _MARGIN)[:_MOST_SUBTITLES]
    head = _MARGIN + 34 + 22 * len(under_title) + (2 if under_title else 0) + 34
    columned = [_columns(text, columns, room) for text in texts]
    heights = [max(size_px, max(map(len, parts)) * _CLOSE_PX) for parts in columned]
    sheet = Image.new("RGB", (width, head + sum(heights) + (len(rows) - 1) * _GAP + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN - 6), _shortened(title, _font(28), width - 2 * _MARGIN), fill=_INK, font=_font(28))
    for number, text in enumerate(under_title):
        pen.text((_MARGIN, _MARGIN + 32 + 22 * number), text, fill=_FAINT, font=_font(16))
    lefts = [_MARGIN + i * (size_px + _GAP) for i in range(4)]
    headings = ("sharp", "blurred", "kernel, or points of light", "drawn parameters")
    for left, heading in zip(lefts, headings, strict=True):
        pen.text((left, head - 8), heading, fill=_FAINT, font=_font(16), anchor="ls")
    top = head
    for row, parts, height in zip(rows, columned, heights, strict=True):
        tiles = (_fitted(row.sharp, size_px), _fitted(row.blurred, size_px))
        for left, tile in zip(lefts, (*tiles, blur_picture(row, size_px)), strict=False):
            sheet.paste(Image.fromarray(tile), (left, top))
            pen.rectangle([left - 1, top - 1, left + size_px, top + size_px], outline=_FRAME)
        apart = min(_APART_PX, max(_CLOSE_PX, height // max(map(len, parts))))
        for number, lines in enumerate(parts):
            _write_lines(pen, lines, lefts[3] + number * (_TEXT_PX + _GAP), top, apart)
        top += height + _GAP
    return np.asarray(sheet)


def blur_picture(row: Row, size_px: int) -> NDArray[np.uint8]:
    """The kernel, or the blurred points of light if the blur varies."""
    if row.draw is not None and (kernel := row.draw.kernel()) is not None:
        return kernel_picture(kernel, size_px)
    if row.points is not None:
        shown = np.sqrt(np.clip(row.points / max(float(row.points.max()), 1e-300), 0.0, 1.0))
        return _fitted(np.repeat(np.rint(255 * shown).astype(np.uint8)[:, :, None], 3, axis=2), size_px)
    from PIL import Image, ImageDraw

    tile = Image.new("RGB", (size_px, size_px), (0, 0, 0))
    text = "a real pair" if row.draw is None else "differs from pixel to pixel"
    ImageDraw.Draw(tile).text((size_px // 2, size_px // 2), text, fill=(255, 255, 255), font=_font(14), anchor="mm")
    return np.asarray(tile)


def write_contact_sheet(path: str | Path, rows: Sequence[Row], **options: Any) -> None:
    """:func:`contact_sheet` as a file; the options are the same.

    Raises
    ------
    PictureError
        The file cannot be written, or its extension is not that of a writable format.
    """
    sheet = contact_sheet(rows, **options)
    write_picture(path, np.moveaxis(sheet, -1, 0) / np.float32(255))


def _text_of(row: Row, recipe: Recipe | None) -> list[list[_Line]]:
    """Lines about a row, in parts that stay together: the caption, then each step with its parameters."""
    parts = [[(0, _shortened(row.caption, _font(15), _TEXT_PX), 15, _FAINT)]] if row.caption else []
    for heading, numbers in describe_draw(row.draw, recipe):
        lines = [(0, _shortened(heading, _font(16), _TEXT_PX), 16, _INK)]
        inside = _broken(numbers, " · ", _font(15), _TEXT_PX - _INDENT)
        parts.append([*lines, *((_INDENT, text, 15, _FAINT) for text in inside)])
    return parts or [[(0, "", 15, _FAINT)]]


def _columns(parts: Sequence[list[_Line]], columns: int, room: int) -> list[list[_Line]]:
    """Parts below each other in columns; taller than the available room if that does not suffice."""
    while True:
        filled: list[list[_Line]] = [[]]
        for part in parts:
            if filled[-1] and len(filled[-1]) + len(part) > room:
                filled.append([])
            filled[-1] += part
        if len(filled) <= columns:
            return filled
        room += 1


def _write_lines(pen: Any, lines: Sequence[_Line], left: int, top: int, apart: int) -> None:
    for number, (shift, text, size, ink) in enumerate(lines):
        pen.text((left + shift, top + number * apart), text, fill=ink, font=_font(size))


def _broken(text: str, between: str, font: Any, width: int) -> list[str]:
    """Lines of a string that is broken only between words or quantities."""
    lines: list[str] = []
    for part in text.split(between) if text else []:
        longer = f"{lines[-1]}{between}{part}" if lines else part
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(_shortened(part, font, width))
    return lines


def _shortened(text: str, font: Any, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _fitted(picture: NDArray[Any], size_px: int) -> NDArray[np.uint8]:
    codes = encoded(picture)
    height, width = codes.shape[:2]
    factor = max(1, min(size_px // height, size_px // width))
    codes = codes.repeat(factor, axis=0).repeat(factor, axis=1)
    top, left = max(0, (codes.shape[0] - size_px) // 2), max(0, (codes.shape[1] - size_px) // 2)
    codes = codes[top : top + size_px, left : left + size_px]
    tile = np.full((size_px, size_px, 3), _PAPER, np.uint8)
    top, left = (size_px - codes.shape[0]) // 2, (size_px - codes.shape[1]) // 2
    tile[top : top + codes.shape[0], left : left + codes.shape[1]] = codes
    return tile


def _codes(frame: Frame) -> NDArray[Any]:
    """The first picture of a frame as ``[H, W, 3]``; display frames as uint8, linear ones as they are."""
    if frame.encoding is Encoding.RAW:
        raise InvalidValueError(
            "A contact sheet shows display or linear pictures, got raw sensor values.",
            fix="End the recipe with a develop step.",
        )
    planar = np.asarray(frame.image[0])
    planar = np.repeat(planar, 3, axis=0) if planar.shape[0] == 1 else planar[:3]
    picture = np.moveaxis(planar, 0, -1)
    if frame.encoding is Encoding.DISPLAY:
        return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), np.uint8)
    return np.ascontiguousarray(picture)


def encoded(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """8-bit codes of a stored picture; linear light is encoded as sRGB."""
    if picture.dtype == np.uint8:
        return picture
    if picture.dtype == np.uint16:
        return np.asarray(np.rint(picture / 257.0), np.uint8)
    return np.asarray(srgb_codes(picture), np.uint8)


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
