"""Samples of real pairs: windows that are cut from both pictures, with nothing drawn and nothing computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.core import Degradation, Draw
from blursynth.dataset.render import CACHE_BYTES, Placement, Renderer, Window, read_unchanged
from blursynth.dataset.schema import Spec, windows_in
from blursynth.dataset.source_pictures import SourcePictures
from blursynth.recipe.recipe import Recipe

__all__ = ["PairCutter", "renderer_of"]

_NOTHING = Draw(())


class PairCutter:
    """Makes samples of one data set of real pairs, which lie at these ``roots``, as a :class:`Renderer` does.

    The windows of a pair are the fewest that cover it, evenly spaced, row by row; neighbors overlap where its sides are
    no multiples of the window. They follow one another, pair by pair in the order of the sources, which is that of
    their hashes. So every pixel of a set is there, and an import has no seed.
    """

    def __init__(self, spec: Spec, roots: Mapping[str, str]) -> None:
        self.spec, self._pictures = spec, SourcePictures(roots)
        self._ends = np.array(list(accumulate(windows_in(source, spec.size_px) for source in spec.sources)), np.int64)
        self._latest: tuple[int, dict[str, NDArray[Any]]] | None = None  # all windows of a pair are cut in turn

    def place(self, index: int) -> Placement:
        """The pair and the window of a sample."""
        source = int(np.searchsorted(self._ends, index, "right"))
        size, about = self.spec.size_px, self.spec.sources[source]
        number = index - int(self._ends[source - 1] if source else 0)
        rows, columns = (-(-side // size) for side in (about.height, about.width))
        row, column = divmod(number, columns)
        top, left = _start(row, rows, about.height - size), _start(column, columns, about.width - size)
        return Placement(index, source, Window(top, left, size, 0), _NOTHING)

    def in_order(self, indices: Iterable[int]) -> Iterator[Placement]:
        """Samples in an order in which each pair is decoded once."""
        yield from map(self.place, sorted(indices))

    def render(self, placement: Placement) -> dict[str, NDArray[Any]]:
        """The arrays of a sample, if its pair has not changed since the scan."""
        top, left, size = placement.window.top, placement.window.left, placement.window.size
        return {
            name: np.ascontiguousarray(codes[top : top + size, left : left + size])
            for name, codes in self._pair(placement.source).items()
        }

    def record(self, placement: Placement) -> dict[str, Any]:
        """The provenance of a sample, without hashes of its pixels."""
        source, window = self.spec.sources[placement.source], placement.window
        return {
            "index": placement.index,
            "source": source.name,
            "source_sha256": source.sha256,
            "blurred": source.blurred,
            "blurred_sha256": source.blurred_sha256,
            **source.provenance,
            "window": {"top": window.top, "left": window.left, "size": window.size, "reach": 0},
            "draw": None,
        }

    def _pair(self, source: int) -> dict[str, NDArray[Any]]:
        """Codes ``[H, W, 3]`` of both halves."""
        if self._latest is None or self._latest[0] != source:
            self._latest = None  # frees its memory
            about = self.spec.sources[source]

            def half(what: str, name: str, sha256: str) -> NDArray[Any]:
                file = self._pictures.at(name)
                return read_unchanged(f"Source {name}", what, file, sha256, lambda picture: picture.pixels(light=False))

            self._latest = (
                source,
                {
                    "sharp": half("sharp picture", about.name, about.sha256),
                    "blurred": half("blurred picture", about.blurred, about.blurred_sha256),
                },
            )
        return self._latest[1]


def _start(number: int, count: int, last: int) -> int:
    """Where a window begins of ``count`` evenly spaced ones, the last of which begins at ``last``.

    >>> [_start(number, 3, 720 - 256) for number in range(3)]
    [0, 232, 464]
    """
    return number * last // (count - 1) if count > 1 else 0


def renderer_of(
    spec: Spec,
    kinds: Sequence[type[Degradation]],
    roots: Mapping[str, str],
    *,
    cache_bytes: int = CACHE_BYTES,
) -> Renderer | PairCutter:
    """What makes the samples of a data set."""
    if spec.is_real:
        return PairCutter(spec, roots)
    return Renderer(spec, Recipe.from_dict(spec.recipe, kinds, name=spec.recipe_name), roots, cache_bytes=cache_bytes)
