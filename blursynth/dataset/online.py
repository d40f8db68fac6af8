"""A data set that is not stored: its samples are made on the fly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from blursynth.core import Degradation, Draw, Identity
from blursynth.dataset.generate import check_draws, prepare
from blursynth.dataset.progress import OnProgress
from blursynth.dataset.render import Placement, Renderer, Window, values_of
from blursynth.dataset.request import DatasetRequest
from blursynth.dataset.samples import Sample, Samples
from blursynth.dataset.schema import ENDLESS
from blursynth.dataset.sources import Scan, Skipped
from blursynth.frame import Frame

__all__ = ["OnlineDataset", "Unblurred"]


@dataclass(frozen=True, eq=False)
class Unblurred:
    """A sample before its blur, to be blurred on an accelerator.

    ``codes`` is the window with a margin of ``margin_px`` around it, and ``outline`` what else is known about it. If
    ``margin_px`` is None, the reach of the draw is unbounded; they are then of the whole picture, and ``window`` is the
    position of the sample in it.
    """

    index: int
    draw: Draw
    codes: NDArray[Any]
    """``[3, H, W]`` as they lie in the file: uint8, uint16, or float32 for light. They may share memory with others."""
    outline: Frame
    """A frame without pixels."""
    margin_px: int | None
    needs_px: tuple[int, ...] | None
    """The margin that each step needs, see :class:`~blursynth.core.Reach`; None if the reach is unbounded."""
    window: Window
    source: str
    dtype: str = "uint8"
    """Type of the pictures of the finished pair: codes of uint8 or uint16, or float32 for linear light."""

    @property
    def frame(self) -> Frame:
        """The frame with its pixels."""
        return self.outline.with_image(values_of(self.codes[None]))


class OnlineDataset(Samples):
    """Pairs made on the fly: sample ``i`` is identical to sample ``i`` of :func:`blursynth.dataset.generate`.

    Its only state is a cache of decoded pictures, which is not pickled. An index always gives the same sample, in any
    process and any order, so it can be passed directly to a ``torch.utils.data.DataLoader``. Without a count it is
    endless: it has no length, and a sampler must say which samples to read, for example
    ``DataLoader(pairs, batch_size=4, sampler=range(1000, 2000))``.

    Parameters
    ----------
    request
        Description of the pairs, without splits. With a count, draws are first checked as for a stored data set;
        without one, the data set is endless.
    scan
        Result of :func:`scan_sources` for this request, if it was already called.
    workers
        Number of threads that scan the pictures.

    Raises
    ------
    BlursynthError
        Any error that :func:`blursynth.dataset.generate` would raise before it starts.

    Not supported: sharing decoded pictures between processes. Each worker process decodes its own.
    """

    def __init__(
        self,
        request: DatasetRequest,
        *,
        scan: Scan | None = None,
        workers: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        prepared = prepare(request.replace(shard_length=1), scan=scan, workers=workers, on_progress=on_progress)
        self.spec, self.scan, self.recipe = prepared.spec, prepared.scan, prepared.renderer.recipe
        #: Share of the windows with too little detail among the samples that were tried; None without ``min_detail``.
        self.passed_over = check_draws(prepared)
        # For sources of linear light, a recipe draws `nothing` instead of decoding.
        kinds: list[type[Degradation]] = [k for _, sampler in self.recipe.steps for k in sampler.kinds()]
        self._kinds: tuple[type[Degradation], ...] = (Identity, *dict.fromkeys(kinds))
        self._renderer: Renderer | None = prepared.renderer
        self._latest: Placement | None = None  # a draw may take a third as long as its blur

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_renderer": None, "_latest": None}

    @property
    def endless(self) -> bool:
        """Whether it was created without a count."""
        return self.spec.count == ENDLESS

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Pictures that cannot be used, with the reasons."""
        return self.scan.skipped

    def __len__(self) -> int:
        if self.endless:
            raise TypeError(
                "This OnlineDataset is endless: it has no length and no last sample. Give its request a count, as in "
                "DatasetRequest(..., count=10000), or say which samples to read, as in DataLoader(..., "
                "sampler=range(10000))."
            )
        return self.spec.count

    def __bool__(self) -> bool:
        return True  # there is a first sample even if there is no length

    def __iter__(self) -> Iterator[Sample]:
        return map(self.sample, range(self.spec.count))

    def sample(self, index: int) -> Sample:
        """Sample ``index``, blurred on the CPU."""
        renderer, placement = self._placed(index)
        arrays = renderer.render(placement)
        return Sample(
            index=placement.index,
            sharp=arrays["sharp"],
            blurred=arrays["blurred"],
            kernel=arrays.get("kernel"),
            record=renderer.record(placement),
            kinds=self._kinds,
        )

    def unblurred(self, index: int) -> Unblurred:
        """Sample ``index`` before its blur."""
        renderer, placement = self._placed(index)
        codes, outline = renderer.codes(placement.source, *renderer.extent(placement.source, placement.window))
        reach = renderer.known_reach(placement)
        return Unblurred(
            index=placement.index,
            draw=placement.draw,
            codes=codes,
            outline=outline,
            margin_px=placement.window.reach,
            needs_px=None if reach is None else reach.needs_px,
            window=placement.window,
            source=self.spec.sources[placement.source].name,
            dtype=self.spec.arrays[0].dtype,
        )

    def around(self, index: int) -> Frame:
        """Position, depth and labels of sample ``index`` without its margin and without pixels."""
        renderer, placement = self._placed(index)
        frame, size = renderer.around(placement.source, placement.window), placement.window.size
        margin = (frame.size_px[0] - size) // 2
        return frame.crop(margin, margin, size, size)

    def _end(self) -> int:
        return self.spec.count

    def _placed(self, index: int) -> tuple[Renderer, Placement]:
        index = self._checked(index)
        if self._renderer is None:
            self._renderer = Renderer(self.spec, self.recipe, self.scan.roots)
        if self._latest is None or self._latest.index != index:
            self._latest = self._renderer.place(index)
        return self._renderer, self._latest

    def __repr__(self) -> str:
        spec = self.spec
        return (
            f"OnlineDataset({len(spec.sources)} pictures, recipe {spec.recipe_name!r}, {spec.size_px} px, "
            f"seed {spec.seed}, {'endless' if self.endless else f'{spec.count} pairs'})"
        )
