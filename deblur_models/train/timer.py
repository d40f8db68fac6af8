"""Where the time of training goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["Timer"]


class Timer:
    """Seconds since it was made, by what they were spent on.

    On a CUDA device work is asked for now and done later. There events are put into the stream of work and read when
    somebody wants to know; until then nothing waits for the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.started, self.samples = time.perf_counter(), 0
        self._on_cuda = device.type == "cuda"
        self._spent: dict[str, float] = {}
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def wall(self, name: str) -> Iterator[None]:
        """What this process does or waits for itself."""
        begin = time.perf_counter()
        yield
        self._spent[name] = self._spent.get(name, 0.0) + time.perf_counter() - begin

    @contextmanager
    def device(self, name: str) -> Iterator[None]:
        """What the device does, in its current stream."""
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
        """The sums; waits for the device."""
        for name, begin, end in self._events:
            end.synchronize()
            self._spent[name] = self._spent.get(name, 0.0) + begin.elapsed_time(end) / 1000
        self._events.clear()
        return dict(self._spent)
