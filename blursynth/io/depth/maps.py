"""Depth maps and label maps of pictures: files in, meters and object numbers on the picture's own grid out."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from blursynth.errors import Argument, InvalidValueError, Message, PictureError
from blursynth.io.depth.formats import read_label_numbers, read_numbers
from blursynth.io.folders import expanded
from blursynth.records.kind import Record

__all__ = ["DepthFormat", "DepthMap", "fill_holes", "read_depth", "read_depth_map", "read_labels"]

_LOG = logging.getLogger(__name__)

NEAREST_M, FARTHEST_M = 1e-3, 1e4  # a median beyond these is a wrong unit, not a scene


Fill = Literal["background", "nearest", "refuse"]
_Positive = Annotated[float, Field(gt=0)]


class DepthFormat(Record):
    """The meaning of the values in a depth file.

    Meters by default. With ``focal_length_px`` and ``baseline_m``, they are disparities of a stereo camera, and
    ``depth = baseline_m focal_length_px / (number / codes_per_px + doffs_px)``.

    Parameters
    ----------
    meters_per_code
        Meters per unit of the stored values, > 0: 0.001 for millimeters (Kinect, RealSense, ScanNet), 1/5000 in the TUM
        data sets, 1/256 in KITTI's depth. Required for integer files; 1 by default for floating-point files.
    focal_length_px, baseline_m
        Parameters of the stereo camera, > 0: the focal length in px of the disparity map, and the distance between the
        two cameras.
    doffs_px
        Difference of the principal points' columns, added to the disparity; ``doffs`` in the calibration files of
        Middlebury 2014.
    codes_per_px
        Stored values per px of disparity, > 0: 4 for the PNG files of Middlebury 2003, 3 for those of 2005 and 2006 at
        a third of the size, 256 for KITTI. Required for integer files; 1 by default for floating-point files.
    infinity_m
        Distance that replaces +inf (for disparities, 0), > 0, such as 1000 for the sky of a rendered scene. None: such
        pixels are unknown.
    key
        Array of an .npz file or channel of an .exr file.
    fill
        How unknown pixels are filled; see :func:`fill_holes`.
    resample
        ``nearest`` or ``linear``: bring a map of another size but of the same aspect to the picture's grid; None:
        refuse it. ``linear`` makes slopes out of steps, so use it for smooth maps only.

    Raises
    ------
    InvalidValueError
        A value is out of range, a parameter of the stereo camera is missing, or there are two scales.
    """

    meters_per_code: _Positive | None = None
    focal_length_px: _Positive | None = None
    baseline_m: _Positive | None = None
    doffs_px: float = 0.0
    codes_per_px: _Positive | None = None
    infinity_m: _Positive | None = None
    key: str | None = None
    fill: Fill = "background"
    resample: Literal["nearest", "linear"] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.focal_length_px is None) is not (self.baseline_m is None):
            given, missing = (
                ("focal_length_px", "baseline_m") if self.baseline_m is None else ("baseline_m", "focal_length_px")
            )
            raise InvalidValueError(
                f"{given} is given without {missing}.",
                why="Depth from disparity is baseline times focal length over disparity.",
                fix="Give both for disparities, or neither for depth.",
            )
        if self.is_disparity and self.meters_per_code is not None:
            raise InvalidValueError(
                "meters_per_code and a stereo camera exclude each other.",
                fix="Disparities are scaled with codes_per_px.",
            )
        if not self.is_disparity and (self.codes_per_px is not None or self.doffs_px != 0):
            raise InvalidValueError(
                f"{'codes_per_px' if self.codes_per_px is not None else 'doffs_px'} needs focal_length_px "
                "and baseline_m.",
                why="Disparity in px becomes meters only with these.",
                fix="Give them. If you know neither, any guess keeps the order of near and far.",
            )
        return self

    @property
    def is_disparity(self) -> bool:
        """Whether the values are disparities."""
        return self.focal_length_px is not None


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth of a picture and how much of it had to be filled.

    Parameters
    ----------
    depth_m
        ``[H, W]`` float32, meters along the optical axis, finite and > 0.
    filled
        Number of pixels that were unknown in the file, after resampling.
    """

    depth_m: NDArray[np.float32]
    filled: int


def read_depth(
    path: str | Path,
    *,
    size_px: tuple[int, int] | None = None,
    meters_per_code: float | None = None,
    focal_length_px: float | None = None,
    baseline_m: float | None = None,
    doffs_px: float = 0.0,
    codes_per_px: float | None = None,
    infinity_m: float | None = None,
    key: str | None = None,
    fill: Fill = "background",
    resample: Literal["nearest", "linear"] | None = None,
) -> NDArray[np.float32]:
    """Read a depth file as meters along the optical axis, ``[H, W]`` float32, with holes filled.

    Parameters
    ----------
    path
        .npy, .npz, gray .png, .tif or .pgm of 8 or 16 bits (.tif also float), .pfm, .exr.
    size_px
        Height and width of the picture that it belongs to; by default those of the file.
    meters_per_code, focal_length_px, baseline_m, doffs_px, codes_per_px, infinity_m, key, fill, resample
        See :class:`DepthFormat`.

    Raises
    ------
    PictureError
        The file cannot be read; its size differs from that of the picture; it holds negative values or only holes; or
        its median is below 1 mm or above 10 km, which indicates a wrong unit.
    InvalidValueError
        Options contradict each other.
    MissingExtraError
        An .exr file, and the package OpenEXR is not installed.

    Notes
    -----
    The number of filled pixels is logged, and :func:`read_depth_map` returns it.

    Examples
    --------
    A depth camera's 16-bit PNG in millimeters, and a stereo benchmark's disparities::

        read_depth("depth.png", meters_per_code=0.001)
        read_depth("disp0.pfm", focal_length_px=3979.911, baseline_m=0.193001, doffs_px=124.343)
    """
    form = DepthFormat(
        meters_per_code=meters_per_code, focal_length_px=focal_length_px, baseline_m=baseline_m, doffs_px=doffs_px,
        codes_per_px=codes_per_px, infinity_m=infinity_m, key=key, fill=fill, resample=resample,
    )  # fmt: skip
    return read_depth_map(path, form, size_px=size_px).depth_m


def read_depth_map(
    path: str | Path, form: DepthFormat | None = None, *, size_px: tuple[int, int] | None = None
) -> DepthMap:
    """As :func:`read_depth`, with the number of filled pixels."""
    path = expanded(path)
    form = form or DepthFormat()
    numbers = read_numbers(path, key=form.key)
    _check_scale(path, numbers, form)
    try:
        depth = _meters(numbers, form)
        if size_px is not None:
            depth = _on_grid(depth, size_px, form.resample)
        filled_m, filled = fill_holes(depth, fill=form.fill)
        check_unit(filled_m, form)
    except InvalidValueError as error:
        raise error.at(str(path), PictureError) from None
    if filled:
        _LOG.info("%s: %d of %d pixels had no depth and were filled (%s)", path, filled, filled_m.size, form.fill)
    return DepthMap(filled_m, filled)


def read_labels(path: str | Path, *, size_px: tuple[int, int] | None = None) -> NDArray[np.int32]:
    """Read a label file, ``[H, W]`` int32: which object each pixel shows, 0 = none (the background).

    Parameters
    ----------
    path
        .npy, .npz with one array, or a lossless 8-bit or 16-bit gray or palette picture. A mask of 0 and 255 is one
        object with the label 255.
    size_px
        Height and width of the picture that it belongs to.

    Raises
    ------
    PictureError
        The file cannot be read, holds values other than integers >= 0, or does not have the size of the picture.
    """
    path = expanded(path)
    labels = read_label_numbers(path)
    if labels.dtype != np.bool_ and (int(labels.min()) < 0 or int(labels.max()) >= 2**31):
        raise PictureError(
            f"labels must be 0 .. 2^31 - 1, got {labels.min()} to {labels.max()}.",
            fix="0 is the background.",
            place=str(path),
        )
    try:
        return _on_grid(labels.astype(np.int32), size_px, None, what="labels") if size_px else labels.astype(np.int32)
    except InvalidValueError as error:
        raise error.at(str(path), PictureError) from None


def _check_scale(path: Path, numbers: NDArray[Any], form: DepthFormat) -> None:
    """Integers need a scale: codes are not meters."""
    if numbers.dtype.kind == "f" or form.meters_per_code is not None or form.codes_per_px is not None:
        return
    if form.is_disparity:
        raise PictureError(
            f"holds integers ({numbers.dtype}), which are codes, not px of disparity.",
            fix=(
                "Give ",
                Argument("codes_per_px"),
                ": 4 for Middlebury 2003, 3 for 2005 and 2006, 256 for KITTI, 1 for whole pixels.",
            ),
            place=str(path),
        )
    raise PictureError(
        f"holds integers ({numbers.dtype}) up to {numbers.max()}, which are codes, not meters.",
        fix=(
            "Give ",
            Argument("meters_per_code"),
            ": 0.001 for millimeters (Kinect, RealSense), 1/5000 for TUM, 1/256 for KITTI, or focal_length_px, "
            "baseline_m and codes_per_px if they are disparities.",
        ),
        place=str(path),
    )


def _meters(numbers: NDArray[Any], form: DepthFormat) -> NDArray[np.float32]:
    """Meters with NaN where nothing is known."""
    with np.errstate(invalid="ignore"):
        lowest = float(np.nanmin(numbers, initial=0)) if numbers.dtype.kind == "f" else int(numbers.min())
    what = "disparities" if form.is_disparity else "depth"
    if lowest < 0 and not (form.is_disparity and lowest == -math.inf):
        count = int(np.count_nonzero(numbers < 0))
        raise InvalidValueError(
            f"{what} must not be negative, got {count} negative values of {numbers.size}, down to {lowest:g}.",
            why="Nothing visible is behind the camera.",
            fix="If that is how your program marks unknown pixels, set them to 0 or NaN."
            + (
                ""
                if form.is_disparity
                else " If they are coordinates along an axis that points backwards, negate them."
            ),
        )
    scale = (form.codes_per_px if form.is_disparity else form.meters_per_code) or 1.0
    values = numbers.astype(np.float64)
    if form.is_disparity:
        assert form.focal_length_px is not None
        assert form.baseline_m is not None
        unknown = ~np.isfinite(values)
        endless = values == 0
        values /= scale
        values += form.doffs_px
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(values > 0, form.baseline_m * form.focal_length_px / values, np.nan)
        values[unknown] = np.nan
        values[endless] = np.nan if form.infinity_m is None else form.infinity_m
    else:
        values *= scale
        values[np.isposinf(values)] = np.nan if form.infinity_m is None else form.infinity_m
        values[values == 0] = np.nan
    return values.astype(np.float32)


def _on_grid(
    array: NDArray[Any], size_px: tuple[int, int], resample: str | None, *, what: str = "depth"
) -> NDArray[Any]:
    if array.shape == tuple(size_px):
        return array
    (height, width), (rows, columns) = size_px, array.shape
    if (rows, columns) == (width, height):
        raise InvalidValueError(
            f"{what} has {rows} x {columns} px (rows x columns), its picture {height} x {width}.",
            why="The picture is rotated according to its EXIF orientation, so its map must be, too.",
            fix="Rotate the map by 90 degrees, or remove the orientation from the picture's EXIF data.",
        )
    # Equal up to half a pixel of the smaller one.
    same = 2 * abs(rows * width - columns * height) <= (max(size_px) if rows <= height else max(array.shape))
    if not same or what == "labels":
        raise InvalidValueError(
            f"{what} has {rows} x {columns} px (rows x columns), its picture {height} x {width}.",
            why="Maps that are not aligned pixel by pixel would blur the wrong objects.",
            fix="Use the map of this picture, and crop or resize both in the same way.",
        )
    if resample is None:
        raise InvalidValueError(
            f"{what} has {rows} x {columns} px (rows x columns), its picture {height} x {width}.",
            why="It has the picture's aspect ratio at another size.",
            fix=(
                "Allow ",
                Argument("resample", "nearest"),
                " (keeps steps) or 'linear' (for smooth maps), if it shows the same view.",
            ),
        )
    # Pixel areas are aligned, not the centers of the corner pixels.
    y, x = (np.arange(height) + 0.5) * rows / height - 0.5, (np.arange(width) + 0.5) * columns / width - 0.5
    if resample == "nearest":
        nearest_y = np.clip(np.floor(y + 0.5).astype(int), 0, rows - 1)
        nearest_x = np.clip(np.floor(x + 0.5).astype(int), 0, columns - 1)
        return np.ascontiguousarray(array[nearest_y[:, None], nearest_x[None, :]])
    y, x = np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)
    top, left = np.minimum(y.astype(int), max(rows - 2, 0)), np.minimum(x.astype(int), max(columns - 2, 0))
    bottom, right = np.minimum(top + 1, rows - 1), np.minimum(left + 1, columns - 1)
    v, u = (y - top)[:, None], (x - left)[None, :]
    lines = array[top] * (1 - v) + array[bottom] * v  # unknown beside known stays unknown
    return np.asarray(lines[:, left] * (1 - u) + lines[:, right] * u, array.dtype)


def fill_holes(depth_m: NDArray[Any], *, fill: Fill = "background") -> tuple[NDArray[np.float32], int]:
    """Fill the unknown pixels (NaN, infinite, 0) of a depth map.

    ``background``: the farther of the nearest known pixels to the left and to the right in the same row, or the only
    one at the end of a row. Rows without any known pixel are copied from the nearest row that has some. Most holes are
    regions that one of two cameras (or the projector of a depth sensor) could not see because something nearer was in
    the way. They belong to the background, and the two views of stereo and depth cameras are on the same row.

    ``nearest``: the nearest known pixel, by Euclidean distance. This is better for holes due to dark, shiny or
    textureless surfaces, but foregrounds grow into the shadows beside them.

    ``refuse``: a hole is an error.

    Parameters
    ----------
    depth_m
        ``[H, W]`` meters.
    fill
        The method.

    Returns
    -------
    ndarray, int
        ``[H, W]`` float32, every value known, and the number of pixels that were filled.

    Raises
    ------
    InvalidValueError
        No value is known, or there are holes and ``fill`` is ``refuse``.

    Notes
    -----
    Both copy measured depths without interpolating, so they create no new surfaces. Not modeled: the color picture,
    whose edges could delimit the holes more accurately.

    Source: the interpolation towards the background is that of H. Hirschmueller, "Stereo processing by semiglobal
    matching and mutual information", IEEE TPAMI 30(2):328-341, 2008, on one row instead of eight directions.
    """
    known = np.isfinite(depth_m)
    known &= depth_m > 0
    missing = int(known.size - np.count_nonzero(known))
    if missing == known.size:
        raise InvalidValueError(
            "depth holds no known value: every pixel is NaN, infinite or 0.",
            why="There is nothing to fill the holes from.",
            fix="Leave the depth out, or measure it again.",
        )
    if fill not in ("background", "nearest", "refuse"):
        raise InvalidValueError(f"fill must be 'background', 'nearest' or 'refuse', got {fill!r}.")
    if missing == 0:
        return np.ascontiguousarray(depth_m, np.float32), 0
    if fill == "refuse":
        raise InvalidValueError(
            (
                f"depth has {missing} unknown pixels of {known.size} (NaN, infinite or 0), and ",
                Argument("fill", fill),
                ".",
            ),
            fix=(
                "Allow ",
                Argument("fill", "background"),
                " or ",
                Argument("fill", "nearest"),
                ", or fill them first.",
            ),
            field="fill",
            value=fill,
        )
    filled = np.where(known, depth_m, 0).astype(np.float32)
    if fill == "nearest":
        from scipy.ndimage import distance_transform_edt

        row, column = distance_transform_edt(~known, return_distances=False, return_indices=True)
        return np.ascontiguousarray(filled[row, column]), missing
    _fill_rows(filled, known)
    return filled, missing


def _fill_rows(depth: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
    """In place: the farther neighbor on the row, then whole rows from the nearest one; unknown pixels hold 0."""
    rows = np.flatnonzero(known.any(axis=1))
    broken = rows[~known[rows].all(axis=1)]
    if broken.size:
        part, there = depth[broken], known[broken]
        place = np.where(there, np.arange(depth.shape[1], dtype=np.int32), np.int32(-1))
        left = np.maximum.accumulate(place, axis=1)
        place[~there] = depth.shape[1]
        right = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1]
        hole_row, hole_column = np.nonzero(~there)
        before, after = left[hole_row, hole_column], right[hole_row, hole_column]
        # 0, less than any depth, where the row ends first.
        from_left = np.where(before >= 0, part[hole_row, np.maximum(before, 0)], 0)
        from_right = np.where(after < depth.shape[1], part[hole_row, np.minimum(after, depth.shape[1] - 1)], 0)
        depth[broken[hole_row], hole_column] = np.maximum(from_left, from_right)
    if rows.size < depth.shape[0]:
        lost = np.setdiff1d(np.arange(depth.shape[0]), rows)
        above = np.clip(np.searchsorted(rows, lost) - 1, 0, rows.size - 1)
        below = np.minimum(above + 1, rows.size - 1)
        nearest = np.where(np.abs(rows[above] - lost) <= np.abs(rows[below] - lost), rows[above], rows[below])
        depth[lost] = depth[nearest]


def check_unit(depth_m: NDArray[np.floating], form: DepthFormat) -> None:
    """Refuse depth whose median is below 1 mm or beyond 10 km: a wrong unit."""
    median = float(np.median(depth_m))
    if NEAREST_M <= median <= FARTHEST_M:
        return
    scale = form.meters_per_code or 1.0
    if form.is_disparity:
        fix: Message = "Check focal_length_px (px, not mm), baseline_m (meters) and codes_per_px."
    elif median > FARTHEST_M:
        fix = ("If the values are millimeters, give ", Argument("meters_per_code", 0.001), f"; now it is {scale:g}.")
    else:
        fix = (
            "Give the meters per unit of the stored values as ",
            Argument("meters_per_code"),
            f"; now it is {scale:g}.",
        )
    raise InvalidValueError(
        f"depth has a median of {median:.3g} m.",
        why="Scenes lie between 1 mm and 10 km, so the unit is wrong.",
        fix=fix,
    )
