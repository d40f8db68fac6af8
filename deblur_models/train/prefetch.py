"""Prefetching: the next batch is prepared while the current one trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from deblur_models.data import Batch, Collated
from deblur_models.train.timer import Timer

__all__ = ["Prefetcher"]


class Prefetcher:
    """The batches of a stage, each in its parts.

    On a CUDA device, :meth:`prefetch` copies and blurs the next batch in a separate stream, in parallel with training
    on the current one. On other devices it does nothing, and a batch is prepared when it is taken. The batches are the
    same. ``make`` creates the batch of a part on the device.
    """

    def __init__(
        self,
        collated: Iterator[list[Collated]],
        make: Callable[[Collated], Batch],
        device: torch.device,
        timer: Callable[[], Timer],
    ) -> None:
        self._collated, self._make, self._device, self._timer = collated, make, device, timer
        self._next: list[Batch] | None = None
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            self._stream.wait_stream(torch.cuda.current_stream(device))  # networks that blur may still be copied

    def prefetch(self) -> None:
        """Start preparing the next batch, if there is one and a stream for it."""
        if self._stream is None or self._next is not None:
            return
        with torch.cuda.stream(self._stream):
            self._next = self._made()

    def take(self) -> list[Batch]:
        """The next batch, for the current stream."""
        if self._stream is None:
            return self._made()
        self.prefetch()
        assert self._next is not None
        parts, self._next = self._next, None
        here = torch.cuda.current_stream(self._device)
        here.wait_stream(self._stream)
        for part in parts:
            for pictures in (part.sharp, part.blurred):
                pictures.record_stream(here)  # keep its memory until this stream has finished with it
        return parts

    def _made(self) -> list[Batch]:
        timer = self._timer()
        with timer.wall("data"):
            parts = next(self._collated, [])  # none after the last step
        with timer.device("blur"):
            return [self._make(part) for part in parts]
