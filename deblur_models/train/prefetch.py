"""Prefetching: the next batch is prepared while the current one trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from deblur_models.data import Batch, Collated
from deblur_models.train.timer import Timer

__all__ = ["Prefetcher"]


class Prefetcher:
    """The batches of a stage, each in its parts.

    On a CUDA device, :meth:`prefetch` starts a thread that reads, copies and blurs the next batch in a stream of its
    own. Scenes with depth are made on the CPU, for which the thread waits until their pictures have come from the
    device; neither the program nor the stream that trains waits with it. On other devices :meth:`prefetch` does
    nothing, and a batch is prepared when it is taken. The batches are the same, and come in the same order. ``make``
    creates the batch of a part on the device.
    """

    def __init__(
        self,
        collated: Iterator[list[Collated]],
        make: Callable[[Collated], Batch],
        device: torch.device,
        timer: Callable[[], Timer],
    ) -> None:
        self._collated, self._make, self._device, self._timer = collated, make, device, timer
        self._next: Future[tuple[list[Batch], torch.cuda.Event]] | None = None
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            self._stream.wait_stream(torch.cuda.current_stream(device))  # networks that blur may still be copied
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch")

    def prefetch(self) -> None:
        """Start preparing the next batch, if there is one and a stream for it."""
        if self._stream is not None and self._next is None:
            self._next = self._thread.submit(self._made_beside, self._stream)

    def take(self) -> list[Batch]:
        """The next batch, for the current stream. What went wrong while it was prepared is raised here."""
        if self._stream is None:
            return self._made()
        self.prefetch()
        assert self._next is not None
        coming, self._next = self._next, None
        parts, done = coming.result()
        here = torch.cuda.current_stream(self._device)
        here.wait_event(done)
        for part in parts:
            for pictures in (part.sharp, part.blurred):
                pictures.record_stream(here)  # keep its memory until this stream has finished with it
        return parts

    def close(self) -> None:
        """End the thread, after the batch that it prepares."""
        if self._stream is not None:
            self._thread.shutdown(cancel_futures=True)

    def _made_beside(self, stream: torch.cuda.Stream) -> tuple[list[Batch], torch.cuda.Event]:
        # The device, the stream and whether derivatives are kept are each thread's own.
        with torch.cuda.device(self._device), torch.cuda.stream(stream), torch.no_grad():
            parts = self._made()
            done = torch.cuda.Event()
            done.record(stream)
        return parts, done

    def _made(self) -> list[Batch]:
        timer = self._timer()
        with timer.wall("data"):
            parts = next(self._collated, [])  # none after the last step
        with timer.device("blur"):
            return [self._make(part) for part in parts]
