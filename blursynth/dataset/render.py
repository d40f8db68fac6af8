"""One sample: its picture, window and draw, and the pixels that follow from them.

Everything here is a pure function of (specification, sample index, source pictures).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from blursynth.backends import for_array
from blursynth.core import LOOK_PX, Draw, Pair, Reach, cut
from blursynth.dataset.detail import detail_of
from blursynth.dataset.schema import Spec, column_values
from blursynth.dataset.source_pictures import PictureFile, SourcePicture, SourcePictures
from blursynth.dataset.sources import DEPTH_ROOT, LABELS_ROOT, Source, size_text
from blursynth.errors import Argument, DatasetError, InvalidValueError, PictureError, RecipeError
from blursynth.frame import Encoding, Frame
from blursynth.frame import Window as Rectangle
from blursynth.io.depth import DepthFormat, read_depth_map, read_labels
from blursynth.io.downscale import block_mean, nearest_to_center
from blursynth.recipe.recipe import Recipe
from blursynth.records.streams import Stream, shuffled_place
from blursynth.records.text import path_of

__all__ = ["Placement", "Renderer", "Window", "read_unchanged", "values_of"]

ATTEMPTS = 32  # attempts to choose another source or window before giving up
WINDOWS = 16  # of one source that are checked for detail before another source is taken
CACHE_BYTES = 2**30  # decoded pictures that one worker keeps, with the one that it decodes
# Memory for each pixel and byte of a code while a picture is decoded: Pillow's four channels, and three of the result.
DECODING_BYTES = 7
DOWNSCALED_ROWS = 256  # of the result at a time

_File = TypeVar("_File", bound=SourcePicture)


@dataclass(frozen=True)
class Window:
    """Position of a sample in its source picture: the stored square and the computed margin around it.

    ``reach`` is None if the whole picture was computed, because the reach of a step is unbounded.
    """

    top: int
    left: int
    size: int
    reach: int | None


@dataclass(frozen=True)
class _Picture:
    """A decoded source with its maps, downscaled if requested.

    Integers are codes of a display picture, or of light for linear sources; floats are light.
    """

    codes: NDArray[Any]  # [3, H, W]
    depth_m: NDArray[np.float32] | None  # [H, W]
    labels: NDArray[np.int32] | None  # [H, W]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in (self.codes, self.depth_m, self.labels) if array is not None)


@dataclass(frozen=True)
class Placement:
    """Everything about a sample except its pixels.

    ``passed_over`` counts the windows that were tried before this one and had too little detail.
    """

    index: int
    source: int
    window: Window
    draw: Draw
    passed_over: int = 0


class Renderer:
    """Makes samples of one data set, whose sources are at these ``roots``; it keeps some decoded pictures and maps."""

    def __init__(self, spec: Spec, recipe: Recipe, roots: Mapping[str, str], *, cache_bytes: int = CACHE_BYTES) -> None:
        self.spec, self.recipe, self.roots = spec, recipe, dict(roots)
        self._pictures = SourcePictures(roots)
        self._cache: OrderedDict[int, _Picture] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._sizes = np.array([(s.height, s.width) for s in spec.sources], np.int64) // spec.downscale
        self._depth_format = DepthFormat(**(spec.depth_format or {}))
        #: Whether reaches may depend on the content of a source, so that its maps are needed to place a sample.
        self.looks_at_maps = spec.has_maps or any(k.sets_geometry for _, s in recipe.steps for k in s.kinds())
        self._sees_frame, self._sees_pixels = recipe.sees_frame, recipe.sees_pixels
        self._latest: tuple[Placement, Reach] | None = None  # a sample is rendered right after it was placed
        self._both_encodings = len({s.is_linear for s in spec.sources}) > 1
        self._dtype = next(a.dtype for a in spec.arrays if a.name == "sharp")
        self._wants_kernel = any(a.name == "kernel" for a in spec.arrays)
        self._wants_params = any(a.name == "params" for a in spec.arrays)

    def place(self, index: int) -> Placement:
        """Choose source, window and draw of a sample.

        With n sources, the samples ``k n .. (k + 1) n - 1`` each take a different source, in an order determined by the
        seed and k (with ``crops_per_source`` = c, every c samples share one). The window is placed such that it and its
        reach are inside the picture, so that no border touches the sample. A source that is too small for this draw, or
        in which no window has the requested detail, is replaced by another one, from a shuffled order of those that are
        large enough. The replacements of n samples therefore differ as well, if there are enough of them.

        Raises
        ------
        RecipeError
            No source is large enough for the recipe's reach.
        InvalidValueError
            No window with enough detail was found.
        """
        spec = self.spec
        visit = index // spec.crops_per_source
        where = Stream(spec.seed, index, "crop")
        places = [(where.uniform(), where.uniform())]
        candidates = np.arange(len(spec.sources))
        draw: Draw | None = None
        reach = passed_over = 0
        for attempt in range(ATTEMPTS):
            chosen = shuffled_place(visit, len(candidates), seed=spec.seed, name=f"source.{attempt}")
            source = int(candidates[chosen])
            for window in range(WINDOWS):
                if window == len(places):
                    places.append((where.uniform(), where.uniform()))
                found = self._fitted(index, source, places[window], draw)
                if not isinstance(found, Placement):
                    break
                if spec.min_detail is None:
                    return found
                if self.detail(found) >= spec.min_detail:
                    return replace(found, passed_over=passed_over)
                passed_over += 1
            if isinstance(found, Placement):
                continue  # its windows show too little detail; the draw stays
            draw, reach = found
            draw = None if self._both_encodings else draw  # the next source may be light where this one was codes
            candidates = np.flatnonzero((self._sizes >= spec.size_px + 2 * reach).all(axis=1))
            if not len(candidates):
                break
        if passed_over:
            raise InvalidValueError(
                (
                    Argument("min_detail"),
                    f" {spec.min_detail:g} is more than any of the {passed_over} windows tried for sample {index} has.",
                ),
                why="The detail is the standard deviation of the Laplacian in 8-bit codes.",
                fix="Lower the limit, or use pictures with more detail; plan reports the share of rejected windows.",
                field="min_detail",
                value=spec.min_detail,
            )
        largest = self._sizes[self._sizes.min(axis=1).argmax()]
        raise RecipeError(
            f"Sample {index}: recipe {self.recipe.name!r} reaches {reach} px beyond the {spec.size_px} px window, so a "
            f"source needs at least {spec.size_px + 2 * reach} px on both sides; the largest of {len(self._sizes)} has "
            f"{size_text(*largest)}.",
            fix="Use larger pictures, smaller crops, or a recipe with less blur.",
        )

    def first_source(self, index: int) -> int:
        """The source that a sample takes unless it is too small or shows too little detail."""
        visit = index // self.spec.crops_per_source
        return shuffled_place(visit, len(self.spec.sources), seed=self.spec.seed, name="source.0")

    def detail(self, placement: Placement) -> float:
        """How much detail the window of a sample shows, before any blur; see :func:`detail_of`."""
        window, picture = placement.window, self._picture(placement.source)
        rows, columns = (slice(start, start + window.size) for start in (window.top, window.left))
        return detail_of(values_of(picture.codes[None, :, rows, columns])[0], self._encoding(placement.source))

    def _fitted(
        self, index: int, source: int, place: tuple[float, float], draw: Draw | None
    ) -> Placement | tuple[Draw | None, int]:
        """A placement in this source, or (draw, reach) if the source is too small.

        The position is drawn from all positions in the source, and reflected at the limits that the reach sets. A draw
        that sees the frame is repeated for every window, so that the result is the draw of the final one. Since a reach
        may depend on the depth, it is computed for the window with a margin at least as wide.
        """
        size, (height, width) = self.spec.size_px, self.size_px(source)
        rows, columns = height - size, width - size
        row, column = _pick(place[0], rows + 1), _pick(place[1], columns + 1)
        reach_px = 0
        for _ in range(ATTEMPTS):
            if min(rows, columns) < 2 * reach_px:
                return (None if self._sees_frame else draw), reach_px
            top = _reflected(row, reach_px, rows - reach_px)
            left = _reflected(column, reach_px, columns - reach_px)
            look_px = max(LOOK_PX, reach_px) if self.looks_at_maps else 0
            frame, window = self._surroundings(source, top, left, look_px)
            if draw is None or self._sees_frame:
                draw, seen = self.recipe.sample_within(frame, window, seed=self.spec.seed, index=index)
            else:
                seen = draw.seen(frame)
            reach = draw.reach(frame, seen=seen)
            if reach is None:
                # Each pixel depends on all others, so the whole picture is computed and its border may show.
                return Placement(index, source, Window(row, column, size, None), draw)
            needed = reach.needs_px[0]
            inside = needed <= min(top, left, rows - top, columns - left)
            if inside and (needed <= look_px or not self.looks_at_maps):
                if needed < look_px and any(step.varies for _, step in draw.steps):
                    # Less may reach the window itself than its surroundings.
                    seen = tuple(cut(one, window, needed)[0] for one in seen)
                    reach = draw.reach(cut(frame, window, needed)[0], seen=seen) or reach
                placement = Placement(index, source, Window(top, left, size, reach.needs_px[0]), draw)
                self._latest = placement, reach
                return placement
            reach_px = max(reach_px, needed)
        raise RecipeError(f"Sample {index}: the reach of recipe {self.recipe.name!r} keeps growing with the window.")

    def _surroundings(self, source: int, top: int, left: int, margin_px: int) -> tuple[Frame, Rectangle]:
        """What a draw and its reach may depend on: a window with a margin as far as the source extends, and the window
        in it.
        """
        size, (height, width) = self.spec.size_px, self.size_px(source)
        first_row, first_column = max(0, top - margin_px), max(0, left - margin_px)
        rows = min(height, top + size + margin_px) - first_row
        columns = min(width, left + size + margin_px) - first_column
        if self._sees_pixels:
            frame = self.region(source, first_row, first_column, rows, columns)
        else:
            frame = self._outline(source, first_row, first_column, (rows, columns), maps=self.spec.has_maps)
        return frame, (top - first_row, left - first_column, size, size)

    def _encoding(self, source: int) -> Encoding:
        return Encoding.LINEAR if self.spec.sources[source].is_linear else Encoding.DISPLAY

    def frame(self, source: int, window: Window) -> Frame:
        """A window with its margin, before any blur; the whole picture where the reach is unbounded."""
        return self.region(source, *self.extent(source, window))

    def extent(self, source: int, window: Window) -> Rectangle:
        """The rectangle of :meth:`frame`."""
        if window.reach is None:
            return 0, 0, *self.size_px(source)
        top, left, span = window.top - window.reach, window.left - window.reach, window.size + 2 * window.reach
        return top, left, span, span

    def around(self, source: int, window: Window) -> Frame:
        """What a reach may depend on: depth, labels and position of a window with its margin, without pixels."""
        margin = (window.reach or 0) if self.looks_at_maps else 0
        top, left, span = window.top - margin, window.left - margin, window.size + 2 * margin
        return self._outline(source, top, left, (span, span), maps=self.spec.has_maps)

    def in_order(self, indices: Iterable[int]) -> Iterator[Placement]:
        """Samples in an order in which each picture is decoded once, in case the cache cannot hold all pictures.

        Each row group of a Parquet file is read once as well.

        Each is to be rendered before the next one is placed: what is found out by placing it is kept for one sample.
        """

        def where(index: int) -> tuple[str, int, str, int]:
            # Members of a container together, and rows of Parquet (9, 10, ...) in the order of row groups.
            folder, _, name = self.spec.sources[self.first_source(index)].name.rpartition("/")
            return folder, len(name), name, index

        for index in sorted(indices, key=where):
            yield self.place(index)

    def render(self, placement: Placement) -> dict[str, NDArray[Any]]:
        """The arrays of a sample, if its source picture has not changed since the scan."""
        window = placement.window
        try:
            known = self.known_reach(placement)
            pair = placement.draw.pair(self.frame(placement.source, window), margin_px=window.reach or 0, reach=known)
            if window.reach is None:
                corner = (window.top, window.left, window.size, window.size)
                pair = Pair(sharp=pair.sharp.crop(*corner), blurred=pair.blurred.crop(*corner))
            out = {"sharp": self._stored(pair.sharp), "blurred": self._stored(pair.blurred)}
            if self._wants_kernel:
                out["kernel"] = self._kernel(placement.draw)
        except InvalidValueError as error:
            raise error.at(f"Sample {placement.index}") from None
        if self._wants_params:
            out["params"] = np.array(column_values(self.spec.columns, dict(placement.draw.steps)), np.float64)
        return out

    def record(self, placement: Placement) -> dict[str, Any]:
        """The provenance of a sample, without hashes of its pixels."""
        source = self.spec.sources[placement.source]
        window = placement.window
        return {
            "index": placement.index,
            "source": source.name,
            "source_sha256": source.sha256,
            **source.provenance,
            "window": {"top": window.top, "left": window.left, "size": window.size, "reach": window.reach},
            **({} if self.spec.min_detail is None else {"passed_over": placement.passed_over}),
            "draw": placement.draw.to_dict(),
        }

    def size_px(self, source: int) -> tuple[int, int]:
        """Height and width of a source after any downscaling."""
        height, width = self._sizes[source].tolist()
        return height, width

    def outline(self, source: int) -> Frame:
        """A whole source without its pixels: size, depth and labels."""
        return self._outline(source, 0, 0, self.size_px(source), maps=self.spec.has_maps)

    def _outline(self, source: int, top: int, left: int, size_px: tuple[int, int], *, maps: bool) -> Frame:
        return Frame.unchecked(
            np.broadcast_to(np.float32(0), (1, 3, *size_px)),
            self._encoding(source),
            **(_maps(self._picture(source), top, left, size_px) if maps else {}),
            origin_px=np.array([[top, left]]),
            full_size_px=self._sizes[source][None],
        )

    def region(self, source: int, top: int, left: int, height: int, width: int) -> Frame:
        """A rectangle of a source, before any blur."""
        codes, about = self.codes(source, top, left, height, width)
        return about.with_image(values_of(codes[None]))  # codes and light of files are in range

    def codes(self, source: int, top: int, left: int, height: int, width: int) -> tuple[NDArray[Any], Frame]:
        """The same as codes ``[3, H, W]``, or as light of sources of floats; and all else that is known about it."""
        part = self._picture(source).codes[:, top : top + height, left : left + width]
        about = self.spec.sources[source]
        frame = self._outline(source, top, left, (height, width), maps=True)
        return part, frame.with_image(frame.image, source=(about.name,), license=(about.license,))

    def known_reach(self, placement: Placement) -> Reach | None:
        """The reach of a sample that was placed last; None of others."""
        if self._latest is None:
            return None
        latest, reach = self._latest  # the placement may have got its number of windows passed over since
        alike = latest.draw is placement.draw and (latest.source, latest.window) == (placement.source, placement.window)
        return reach if alike else None

    def _picture(self, source: int) -> _Picture:
        """A decoded picture with its maps, from a least-recently-used cache."""
        if source in self._cache:
            self._cache.move_to_end(source)
            return self._cache[source]
        about = self.spec.sources[source]
        size = about.height, about.width
        self._make_room(DECODING_BYTES * about.height * about.width * about.bit_depth // 8)
        picture = _Picture(
            codes=read_unchanged(
                f"Source {about.name}",
                "picture",
                self._pictures.at(about.name),
                about.sha256,
                lambda picture: _pixels(picture, about, self.spec.downscale),
            ),
            depth_m=read_unchanged(
                f"Depth {about.depth}",
                "depth map",
                PictureFile(self._map_path(about.depth, DEPTH_ROOT)),
                about.depth_sha256,
                lambda file: self._smaller(read_depth_map(file.path, self._depth_format, size_px=size).depth_m),
            )
            if about.depth
            else None,
            labels=read_unchanged(
                f"Labels {about.labels}",
                "label map",
                PictureFile(self._map_path(about.labels, LABELS_ROOT)),
                about.labels_sha256,
                lambda file: self._smaller(read_labels(file.path, size_px=size)),
            )
            if about.labels
            else None,
        )
        self._make_room(picture.nbytes)
        self._cache[source] = picture
        return picture

    def _make_room(self, needed: int) -> None:
        """Drop the pictures that were not used for longest until this many bytes fit beside the others."""
        used = sum(c.nbytes for c in self._cache.values()) + needed
        while self._cache and used > self._cache_bytes:
            used -= self._cache.popitem(last=False)[1].nbytes

    def _smaller(self, values: NDArray[Any]) -> NDArray[Any]:
        return nearest_to_center(values, self.spec.downscale) if self.spec.downscale > 1 else values

    def _map_path(self, name: str, root: str) -> Path:
        if root not in self.roots:
            what = "depth" if root == DEPTH_ROOT else "label"
            raise DatasetError(
                f"{name}: the location of the {what} maps of this data set is not known on this machine.",
                fix=("Give their folder with ", Argument(f"{root.removeprefix('/')}_root"), "."),
            )
        return Path(self.roots[root], path_of(name))

    def _stored(self, frame: Frame) -> NDArray[Any]:
        """``[H, W, 3]`` as it lies on the disk: 8 or 16-bit codes of display pictures, float32 of linear ones."""
        require_shape(frame, self.spec.size_px, self.spec.size_px)
        return rounded(frame, self._dtype)

    def _kernel(self, draw: Draw) -> NDArray[np.float32]:
        """The kernel of a draw, its origin in the middle of the array."""
        size = next(a.shape[0] for a in self.spec.arrays if a.name == "kernel")
        kernel = draw.kernel(normalized=False)
        assert kernel is not None  # recipes whose blur varies are refused
        if len(kernel) > size:
            raise InvalidValueError(
                (
                    f"the kernel needs {len(kernel)} x {len(kernel)} px, ",
                    Argument("kernel_size_px"),
                    f" is {size}.",
                ),
                fix=(
                    "Give ",
                    Argument("kernel_size_px", len(kernel)),
                    " or more, or leave the kernel out (the draw holds it).",
                ),
            )
        return np.pad(kernel, (size - len(kernel)) // 2).astype(np.float32)


def read_unchanged(
    name: str, what: str, file: _File, sha256: str, read: Callable[[_File], NDArray[Any]]
) -> NDArray[Any]:
    """The array of a picture, or of the file of a map, which must not have changed since the scan."""
    try:
        if file.sha256() != sha256:
            raise DatasetError(
                f"{file}: is not the {what} that was scanned (its sha256 differs).",
                why=f"Samples of a changed {what} would not belong to this data set.",
                fix=f"Restore the {what}, or make a new data set.",
            )
        return np.ascontiguousarray(read(file))
    except PictureError as error:
        raise error.at(name, DatasetError) from None
    except DatasetError:
        raise
    except OSError as error:
        reason, fix = f"{file} cannot be read ({error.strerror}).", f"Restore the {what}."
        raise DatasetError(reason, place=name, fix=fix) from None


def require_shape(frame: Frame, height: int, width: int) -> None:
    """Refuse the result of a recipe that is not a color picture of this size."""
    if frame.image.shape != (1, 3, height, width):
        raise InvalidValueError(
            f"the recipe gave a picture of shape {frame.image.shape}, expected (1, 3, {height}, {width}).",
            why="Both pictures of a pair must have the same pixel grid.",
        )


def rounded(frame: Frame, dtype: str) -> NDArray[Any]:
    """A single-picture frame as ``[H, W, 3]`` of a type: codes of uint8 or uint16, or float32 for light."""
    image = frame.image[0]
    if (frame.encoding is Encoding.DISPLAY) is (dtype == "float32"):
        raise InvalidValueError(
            f"the recipe gave a {frame.encoding} picture for an array of {dtype}.",
            why="One array cannot hold both codes and light.",
            fix="Use sources of one encoding.",
        )
    if dtype == "uint8":  # interleaving bytes is five times faster than interleaving floats
        return np.asarray(cv2.merge(list(for_array(image).to_codes(image))))
    if not np.isfinite(image).all():
        raise InvalidValueError("the recipe gave values that are not finite.")
    pixels = np.moveaxis(image, 0, -1)
    if dtype == "uint16":
        return np.ascontiguousarray(np.rint(pixels.clip(0, 1) * 65535.0).astype(np.uint16))
    return np.ascontiguousarray(pixels, np.float32)


def values_of(codes: NDArray[Any]) -> NDArray[np.float32]:
    """Integers divided by their highest code; floats are returned unchanged."""
    if codes.dtype == np.uint8:
        return np.asarray(for_array(codes).from_codes(codes))
    values = codes.astype(np.float32)
    if codes.dtype.kind == "u":
        values /= np.float32(np.iinfo(codes.dtype).max)
    return values


def _pixels(picture: SourcePicture, about: Source, downscale: int) -> NDArray[Any]:
    """``[3, H, W]`` of a source: codes, the light of linear sources, or 16-bit codes of downscaled display pictures.

    Works on some rows of one channel at a time, since the light of a large picture takes four times the memory of its
    codes. 16-bit codes preserve differences between means that 8-bit codes would round away.
    """
    floats = about.is_linear and about.bit_depth == 32
    planes = np.moveaxis(picture.pixels(light=floats), -1, 0)
    if downscale == 1:
        return planes
    height, width = planes.shape[1] // downscale, planes.shape[2] // downscale
    smaller = np.empty((3, height, width), np.float32 if about.is_linear else np.uint16)
    for plane, into in zip(planes, smaller, strict=True):
        for top in range(0, height, DOWNSCALED_ROWS):
            rows = into[top : top + DOWNSCALED_ROWS]
            values = values_of(plane[None, None, top * downscale : (top + len(rows)) * downscale])
            if about.is_linear:
                rows[:] = block_mean(values, downscale)[0, 0]
                continue
            backend = for_array(values)
            means = backend.srgb_encode(block_mean(backend.srgb_decode(values), downscale), levels=[65535])
            rows[:] = np.rint(means[0, 0] * 65535)
    return smaller


def _maps(picture: _Picture, top: int, left: int, size_px: tuple[int, int]) -> dict[str, Any]:
    """Depth and labels of a window, in the form that a frame takes."""
    window = (slice(top, top + size_px[0]), slice(left, left + size_px[1]))
    return {
        "depth_m": None if picture.depth_m is None else picture.depth_m[window][None],
        "labels": None if picture.labels is None else picture.labels[window][None],
    }


def _pick(uniform: float, count: int) -> int:
    return min(int(uniform * count), count - 1)


def _reflected(position: int, first: int, last: int) -> int:
    """A position within first .. last: itself, or reflected at these limits, as often as it takes.

    >>> [_reflected(position, 2, 5) for position in range(8)]
    [4, 3, 2, 3, 4, 5, 4, 3]
    """
    beyond = (position - first) % (2 * (last - first)) if last > first else 0
    return first + min(beyond, 2 * (last - first) - beyond)
