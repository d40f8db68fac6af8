"""What the arguments of operations must be, for arrays and tensors alike.

The checks look at shapes and counts, which a compiler of tensors can trace; those that look at values say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.frame import Border, Window
from blursynth.physics.batches import of_shape
from blursynth.physics.color import MAX_LEVELS
from blursynth.physics.development import DevelopParameters
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.point_spread_field import PointSpreadField
from blursynth.physics.resampling import Bands
from blursynth.physics.scene import Scene
from blursynth.physics.warps import Warps

__all__ = [
    "check_ahead",
    "check_bands",
    "check_border",
    "check_convolve",
    "check_convolve_varying",
    "check_count",
    "check_depth_given",
    "check_development",
    "check_display",
    "check_guided",
    "check_image",
    "check_levels",
    "check_one_each",
    "check_origin",
    "check_plane",
    "check_scene",
    "check_seed",
    "check_table",
    "check_valid_size",
    "check_warps",
]


def check_image(image: object) -> None:
    """Raise ``InvalidValueError`` unless it is an array ``[B, C, H, W]`` of float32 or float64, and not empty."""
    if (
        not isinstance(image, np.ndarray)
        or image.ndim != 4
        or image.dtype.kind != "f"
        or image.dtype.itemsize not in (4, 8)
    ):
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InvalidValueError(
            f"image must be a float32 or float64 array [B, C, H, W], got {got}.",
            fix="Convert it, e.g. image.astype('float32'), and add the missing axes, e.g. image[None].",
        )
    if image.size == 0:
        raise InvalidValueError(f"image is empty: shape {image.shape}.", fix="Leave such pictures out.")


def check_weights(image: Any, weights: Sequence[float]) -> None:
    """Raise ``InvalidValueError`` unless there is one weight for each channel of pictures ``[B, C, H, W]``."""
    if image.ndim != 4 or image.shape[1] != len(weights):
        raise InvalidValueError(f"{len(weights)} weights are for as many channels, got pictures {tuple(image.shape)}.")


def check_colors(image: Any, change: Any = None) -> None:
    """Raise ``InvalidValueError`` unless it is ``[B, 3, H, W]``, and a change of it has as many channels, or one."""
    shape = tuple(image.shape)
    if len(shape) != 4 or shape[1] != 3:
        raise InvalidValueError(f"Colors are those of pictures [B, 3, H, W], got {shape}.")
    if change is not None and tuple(change.shape) not in (shape, (shape[0], 1, *shape[2:])):
        raise InvalidValueError(
            f"The change of a picture {shape} must have its shape, or one channel, got {tuple(change.shape)}."
        )


def check_plane(name: str, plane: Any, shape: Sequence[int]) -> None:
    """Raise ``InvalidValueError`` unless there is a finite number per pixel of such pictures; this looks at values."""
    expected = (shape[0], *shape[2:])
    if tuple(plane.shape) != expected:
        raise InvalidValueError(f"{name} must have the shape {expected} of the pictures, got {tuple(plane.shape)}.")
    if not np.isfinite(plane).all():
        raise InvalidValueError(f"{name} must be finite.", fix="Fill holes in the depth first.")


def check_border(border: Border | str) -> Border:
    """The border as a :class:`Border`; ``InvalidValueError`` where there is no such border."""
    try:
        return Border(border)
    except ValueError:
        raise InvalidValueError(
            f"border must be one of {', '.join(b.value for b in Border)}, got {border!r}.",
            fix="Use a member of blursynth.frame.Border.",
        ) from None


def _border_of_same_size(border: Border | str, where: str, why: str = "") -> Border:
    border = check_border(border)
    if border == Border.VALID:
        raise InvalidValueError(
            f"border='valid' has no meaning {where}.", why=why, fix="Use another border and crop the result."
        )
    return border


def check_convolve(shape: Sequence[int], psf: PointSpreads, border: Border | str) -> Border:
    """The border, after a check that there is one point spread for each picture, or one for all."""
    if len(psf) not in (1, shape[0]):
        raise InvalidValueError(
            f"psf must hold one point spread for each of the {shape[0]} pictures, or a single one, got {len(psf)}.",
            why="Which picture gets which blur would be a guess.",
            fix="Pass psf[b] for one picture, or build the batch with PointSpreads.from_dense.",
        )
    return check_border(border)


def check_valid_size(shape: Sequence[int], margins: Sequence[int]) -> None:
    """Raise ``InvalidValueError`` when the margins leave nothing of a picture of this shape."""
    top, bottom, left, right = margins
    if shape[-2] <= top + bottom or shape[-1] <= left + right:
        raise InvalidValueError(
            f"Border.VALID leaves nothing of a picture of {shape[-2]} x {shape[-1]} px: "
            f"the point spread reaches over the edges by {top} + {bottom} rows and {left} + {right} columns.",
            fix="Take a larger crop, a shorter blur, or another border.",
        )


def check_convolve_varying(
    shape: Sequence[int], field: PointSpreadField, level: object, border: Border | str
) -> Border:
    """The border, not ``VALID``, after a check that the field fits the pictures and has the level that it needs."""
    border = _border_of_same_size(
        border, "where the point spread varies", "The margin to drop would differ from pixel to pixel."
    )
    if len(field) not in (1, shape[0]) or len(field.first_px) not in (1, shape[0]):
        raise InvalidValueError(
            f"The field must be for the {shape[0]} pictures of the batch, or one for all, got {len(field)} "
            f"with {len(field.first_px)} positions."
        )
    if level is None and field.levels > 1:
        raise InvalidValueError(f"A field of {field.levels} levels needs the level of every pixel, got None.")
    return border


def check_warps(shape: Sequence[int], warps: Warps, border: Border | str) -> Border:
    """The border, not ``VALID``, after a check that the warps are for as many pictures and rows."""
    border = _border_of_same_size(border, "for warps")
    if len(warps) not in (1, shape[0]):
        raise InvalidValueError(f"Warps must be for the {shape[0]} pictures, or one for all, got {len(warps)}.")
    if warps.first.shape[1] not in (1, shape[2]):
        raise InvalidValueError(
            f"Warps have times for {warps.first.shape[1]} rows, the picture has {shape[2]}.",
            fix="Give the times of every row, or one entry for all rows alike.",
        )
    return border


def check_depth_given(shift: Any, inverse_depth: object) -> None:
    """Raise ``InvalidValueError`` where a camera moves without depth; this looks at the values of ``shift``."""
    if inverse_depth is None and bool((shift != 0).any()):
        raise InvalidValueError(
            "Translation of the camera needs depth, got inverse_depth=None.",
            why="How far a point moves on the sensor is inversely proportional to its depth.",
            fix="Give the inverse depth in 1/m, or rotate only.",
        )


def check_ahead(divisor: Any) -> None:
    """Raise ``InvalidValueError`` where the third coordinate of a warp is not > 0; this looks at values."""
    if not bool((divisor > 0).all()):
        raise InvalidValueError(
            "A pixel looks behind the camera.", why="The motion is larger than the scene's depth or the field of view."
        )


def check_scene(shape: Sequence[int], scene: Scene, border: Border | str) -> Border:
    """The border, not ``VALID``, after a check that the scene is of these pictures."""
    border = _border_of_same_size(border, "for a scene")
    expected = (shape[0], *shape[2:])
    if tuple(scene.order.shape) != expected:
        raise InvalidValueError(
            f"The scene must have the shape {expected} of the pictures, got {tuple(scene.order.shape)}."
        )
    return border


def window_within(shape: Sequence[int], window: Window | None) -> Window:
    """A part of pictures of this shape, by default all, after a check that it lies within them."""
    height, width = shape[2:]
    top, left, rows, columns = window = window or (0, 0, height, width)
    if min(top, left) < 0 or min(rows, columns) < 1 or top + rows > height or left + columns > width:
        raise InvalidValueError(f"The window {window} does not lie within pictures of {height} x {width} px.")
    return window


def check_bands(shape: Sequence[int], rows: Bands, columns: Bands, size_px: Sequence[int] | None = None) -> None:
    """Raise ``InvalidValueError`` if bands take samples that pictures of this shape do not have; this looks at values.

    With ``size_px`` the picture is a result of the bands, which take their samples from a picture of that size.
    """
    for name, bands, size in zip(("rows", "columns"), (rows, columns), size_px or shape[2:], strict=True):
        most = int(bands.source.max())
        if most >= size:
            raise InvalidValueError(
                f"{name} take sample {most} of a picture that has {size}.",
                why="The bands were made for another size.",
                fix="Make them for this picture.",
            )
    if size_px is not None and tuple(shape[2:]) != (len(rows), len(columns)):
        raise InvalidValueError(
            f"The image must have the size that the bands give, {len(rows)} x {len(columns)}, "
            f"got {shape[2]} x {shape[3]}."
        )


def check_levels(levels: Sequence[int | None] | None, batch: int) -> tuple[int | None, ...]:
    """The highest code of each picture, None where it is not rounded, after a check of their number and range."""
    wanted = (None,) * batch if levels is None else tuple(levels)
    if len(wanted) != batch:
        raise InvalidValueError(
            f"levels must be one entry per picture, got {len(wanted)} for {batch} pictures.",
            fix="Pass [255] * len(frame).",
        )
    for level in wanted:
        if level is not None and not 1 <= level <= MAX_LEVELS:
            raise InvalidValueError(
                f"levels must be 1 to {MAX_LEVELS} or None, got {level}.",
                why="It is the highest code, 2 ** bits - 1.",
            )
    return wanted


def check_table(table: NDArray[np.float64], batch: int) -> None:
    """Raise ``InvalidValueError`` unless there is one row of a response for each picture, or one for all."""
    if table.ndim != 2 or table.shape[0] not in (1, batch) or table.shape[1] < 2:
        raise InvalidValueError(
            f"The table of a response must be [1, NODES] or [{batch}, NODES], got {table.shape}.",
            fix="Pass one row per picture, or one for all.",
        )


def check_display(image: NDArray[Any]) -> None:
    """Raise ``InvalidValueError`` unless display values are float32 or float64; they may have any shape."""
    if image.dtype not in (np.float32, np.float64):
        raise InvalidValueError(
            f"Display values must be float32 or float64, got {image.dtype}.",
            fix="Divide the codes of a file by their highest code first.",
        )


def check_count(records: str, count: int, batch: int) -> None:
    """Raise ``InvalidValueError`` unless there is one record for each picture, or one for all."""
    if count not in (1, batch):
        raise InvalidValueError(
            f"There are {count} {records} for {batch} pictures.", fix="Pass one for all pictures, or one per picture."
        )


def check_one_each(records: str, count: int, batch: int) -> None:
    """Raise ``InvalidValueError`` unless a list has one record for each picture."""
    if count != batch:
        raise InvalidValueError(f"A list of {records} must have one for each of the {batch} pictures, got {count}.")


def check_seed(seed: Any, batch: int, *, traced: bool = False) -> NDArray[Any]:
    """The seeds ``[B]``, after a check that there is one for each picture; values are not checked if ``traced``."""
    seeds = np.atleast_1d(np.asarray(seed))
    whole = traced or (seeds.dtype.kind in "iu" and not bool((seeds < 0).any()))
    if seeds.shape != (batch,) or not whole:
        raise InvalidValueError(
            f"seed must be one integer >= 0 per picture, uint64 [{batch}], got {seeds.dtype} {seeds.shape}.",
            fix="Pass np.array([...], np.uint64).",
        )
    return seeds


def check_origin(origin_px: Any, batch: int, *, traced: bool = False) -> NDArray[np.int64]:
    """``[B, 2]`` row and column of the first pixel of each picture, after a check that they are integers."""
    origin = np.atleast_2d(np.asarray(origin_px))
    if origin.shape not in ((1, 2), (batch, 2)) or not (traced or origin.dtype.kind in "iu"):
        raise InvalidValueError(
            f"origin_px must be integers [{batch}, 2] (row, column), got {origin.dtype} {origin.shape}.",
            fix="Pass frame.origin_px.",
        )
    return of_shape(origin, (batch, 2), np.int64)


def check_development(shape: Sequence[int], parameters: DevelopParameters) -> None:
    """Raise ``InvalidValueError`` unless pictures of this shape are what the parameters develop."""
    batch, channels, height, width = shape
    check_count("developments", len(parameters), batch)
    if parameters.has_mosaic:
        if channels != 1:
            raise InvalidValueError(
                f"Raw numbers with a mosaic have 1 channel, got {channels}.",
                why="Each pixel of a Bayer sensor sees one color.",
                fix="Leave the mosaic out of frame.raw if every pixel has all channels.",
            )
        if min(height, width) < 2:
            raise InvalidValueError(
                f"A mosaic must be at least 2 x 2 px, got {height} x {width}.",
                why="In a single row or column one of the three colors is never seen.",
                fix="Give the window a margin of Develop.reach_px.",
            )
    elif parameters.has_colors and channels != 3:
        raise InvalidValueError(
            f"White balance and color matrix need pictures of 3 channels, got {channels}.",
            fix="Leave them out of frame.raw for gray pictures.",
        )


def check_guided(
    strength: Any, radius_px: Any, planes: tuple[int, int], *, traced: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The numbers of the guided filter, after a check that there is one of each for every plane ``[B, C]``."""
    strength, radius_px = np.asarray(strength, np.float64), np.asarray(radius_px)
    if strength.shape != planes or not (traced or bool((np.isfinite(strength) & (strength >= 0)).all())):
        raise InvalidValueError(
            f"strength must be one finite number >= 0 for each of the {planes} planes, got {strength.tolist()}."
        )
    if radius_px.shape != planes or not (traced or (radius_px.dtype.kind in "iu" and bool((radius_px >= 1).all()))):
        raise InvalidValueError(
            f"radius_px must be one integer >= 1 for each of the {planes} planes, got {radius_px.tolist()}."
        )
    return strength, radius_px.astype(np.int64)
