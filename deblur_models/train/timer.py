"""Time spent in the parts of training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["Timer"]


class Timer:
    """Seconds since its creation, by activity.

    Work on a CUDA device is asynchronous. Events are recorded in its stream and read on request; until then nothing
    synchronizes with the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.started, self.samples = time.perf_counter(), 0
        self._on_cuda = device.type == "cuda"
        self._spent: dict[str, float] = {}
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def wall(self, name: str) -> Iterator[None]:
        """Measure what this process does or waits for."""
        begin = time.perf_counter()
        yield
        self._spent[name] = self._spent.get(name, 0.0) + time.perf_counter() - begin

    @contextmanager
    def device(self, name: str) -> Iterator[None]:
        """Measure the work of the device in its current stream."""
        if not self._on_cuda:
            with self.wall(name):
                yield
            return
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        yield
        end.record()
        self._events.append((name, begin, end))

    def seconds(self) -> dict[str, float]:
        """The totals; synchronizes with the device."""
        for name, begin, end in self._events:
            end.synchronize()
            self._spent[name] = self._spent.get(name, 0.0) + begin.elapsed_time(end) / 1000
        self._events.clear()
        return dict(self._spent)
