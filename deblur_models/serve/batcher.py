"""The queue of pictures, and the one thread that restores them: those of like size together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from deblur_models.data.picture_file import PictureFile
from deblur_models.networks.padding import mirror_pad
from deblur_models.restore.network_restorer import NetworkRestorer
from deblur_models.restore.onnx_network import OnnxNetwork
from deblur_models.restore.restorer import Restorer
from deblur_models.serve.limits import Limits, Refusal
from deblur_models.serve.metrics import Metrics

__all__ = ["Batcher", "Job", "batch_px_on", "batch_size_px"]

_LOG = logging.getLogger(__name__)

_WARM_UP_PX = 64


@dataclass(eq=False)
class Job:
    """A picture to restore. ``restored`` becomes its result ``[1, 3, H, W]``, or the error."""

    file: PictureFile
    strength: float
    restored: asyncio.Future[Tensor] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    size_px: tuple[int, int] = (0, 0)  # at which it joins a batch
    queued_s: float = 0.0  # on the monotonic clock
    waited_s: float = 0.0
    dropped: bool = False  # nobody waits for it any more


class Batcher:
    """Restores pictures in a thread of its own, which alone uses the network.

    A batch holds pictures of like size in the order of their arrival, at most ``limits.batch_px`` pixels, or one
    picture. It begins as soon as it is full, or when its oldest picture has waited for ``limits.batch_wait_s``. While
    the network works, the next batch gathers by itself, also without any wait.
    """

    def __init__(self, restorer: Restorer, limits: Limits, metrics: Metrics) -> None:
        self.restorer, self.limits, self.metrics = restorer, limits, metrics
        self._queue: list[Job] = []  # in the order of arrival
        self._running: list[Job] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._ready = threading.Event()
        self._seconds_per_px = 0.0
        metrics.watch_queue(lambda: len(self._queue))
        if isinstance(restorer, NetworkRestorer):
            restorer.on_tiles = self._after_tile
        # A daemon: a picture that takes hours must not keep a process alive that was told twice to stop.
        self._thread = threading.Thread(target=self._work, name="restorer", daemon=True)

    def start(self) -> None:
        """Begin to work, if that has not begun: a program that only makes a batcher may end at any time."""
        with self._changed:
            if self._thread.ident is None:
                self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.ident is None or self._thread.is_alive()

    @property
    def is_ready(self) -> bool:
        """Whether the network has restored its first picture, which takes longer than others."""
        return self._ready.is_set() and not self._stopping

    def expected_wait_s(self) -> float:
        """Time until what waits now is restored, from the speed of recent batches."""
        with self._changed:
            waiting = sum(_area(job.size_px) for job in (*self._running, *self._queue))
        return waiting * self._seconds_per_px

    async def restore(self, job: Job) -> Tensor:
        """Put a picture into the queue and wait for it. If that is cancelled, the picture is dropped.

        Raises
        ------
        Refusal
            The server stops, or the picture cannot be restored.
        """
        job.size_px = batch_size_px(self.restorer, *job.file.size_px)
        job.queued_s = time.monotonic()
        self.start()
        with self._changed:
            if self._stopping:
                raise stopping()
            self._queue.append(job)
            self._changed.notify()
        try:
            return await asyncio.shield(job.restored)
        except asyncio.CancelledError:
            with self._changed:
                job.dropped = True
                if job in self._queue:
                    self._queue.remove(job)
                    job.restored.cancel()
            # One that is being restored needs its memory until the network has finished, or stops between two tiles.
            await asyncio.wait([job.restored])
            _ = job.restored.cancelled() or job.restored.exception()  # asyncio complains of errors that nobody looks at
            raise

    def stop(self) -> None:
        """Refuse what waits, and end once the running batch is restored."""
        with self._changed:
            self._stopping = True
            refused, self._queue = self._queue, []
            self._changed.notify()
        for job in refused:
            _settle(job, stopping())

    def _work(self) -> None:
        try:
            self.restorer.restore(torch.zeros(1, 3, _WARM_UP_PX, _WARM_UP_PX))
        except Exception:  # reported by each picture
            _LOG.exception("the first picture, a black one, cannot be restored")
        self._ready.set()
        while True:
            with self._changed:
                while not (batch := self._next()):
                    if self._stopping:
                        return
                    due_s = self._queue[0].queued_s + self.limits.batch_wait_s if self._queue else None
                    self._changed.wait(None if due_s is None else max(0.0, due_s - time.monotonic()))
                self._running = batch
                self._queue = [job for job in self._queue if job not in batch]
            self._run(batch)
            with self._changed:
                self._running = []

    def _next(self) -> list[Job]:
        """The jobs to restore now, if any."""
        sizes: dict[tuple[int, int], list[Job]] = {}
        for job in self._queue:
            sizes.setdefault(job.size_px, []).append(job)
        now = time.monotonic()
        for size, jobs in sizes.items():  # that of the oldest first
            most = max(1, self.limits.batch_px // _area(size))
            if len(jobs) >= most or now >= jobs[0].queued_s + self.limits.batch_wait_s:
                return jobs[:most]
        return []

    def _run(self, batch: list[Job]) -> None:
        begun = time.monotonic()
        for job in batch:
            job.waited_s = begun - job.queued_s
        try:
            results: Sequence[Tensor | None] = self._restored(batch)
        except _EveryoneHasGone:
            results = [None] * len(batch)
        except Exception as error:
            if len(batch) > 1:  # one that cannot be restored must not take the others with it
                _LOG.warning("a batch of %d pictures failed and is restored one by one (%s)", len(batch), error)
                for job in batch:
                    self._run([job])
                return
            _LOG.exception("a picture of %d x %d px cannot be restored", *batch[0].file.size_px[::-1])
            _settle(batch[0], Refusal(500, "failed", "The picture cannot be restored."))
            return
        spent_s, px = time.monotonic() - begun, sum(_area(job.size_px) for job in batch)
        if results[0] is not None:
            self.metrics.saw_batch(len(batch), px, spent_s)
            self._seconds_per_px += (spent_s / px - self._seconds_per_px) * (0.2 if self._seconds_per_px else 1.0)
        for job, result in zip(batch, results, strict=True):
            _settle(job, result)

    def _restored(self, batch: list[Job]) -> list[Tensor]:
        before = [job.file.tensor() for job in batch]
        height, width = batch[0].size_px
        padded = [mirror_pad(one, 0, width - one.shape[-1], 0, height - one.shape[-2]) for one in before]
        after = self.restorer.restore(torch.cat(padded) if len(padded) > 1 else padded[0])
        return [
            one.lerp(result[None, :, : one.shape[-2], : one.shape[-1]], job.strength)
            for one, result, job in zip(before, after, batch, strict=True)
        ]

    def _after_tile(self, done: int, total: int) -> None:
        if self._running and all(job.dropped for job in self._running):
            raise _EveryoneHasGone


class _EveryoneHasGone(Exception):
    """Nobody waits for any picture of the batch."""


def batch_px_on(device: torch.device) -> int:
    """Pixels of a batch by default: few on a CPU, where a picture of 256 px occupies all cores by itself."""
    return 1 << 16 if device.type == "cpu" else 4_000_000


def batch_size_px(restorer: Restorer, height: int, width: int) -> tuple[int, int]:
    """The height and width at which a picture joins a batch: pictures of one such size are restored together.

    A network pads pictures at the lower right, mirrored, to multiples of its ``multiple_px``. Where it sees them whole,
    they may as well come padded: the results are the same. In all other cases, such as ONNX files for one size, it is
    the size of the picture itself.

    >>> from deblur_models.networks import create_network
    >>> network = create_network("nafnet", size="tiny")
    >>> network.config.multiple_px
    8
    >>> batch_size_px(NetworkRestorer(network), 61, 50), batch_size_px(NetworkRestorer(network, tile_px=32), 61, 50)
    ((64, 56), (61, 50))
    """
    if isinstance(restorer, NetworkRestorer) and restorer.padding == "mirror" and not restorer.ensemble:
        network = restorer.network
        multiple_px = 1 if isinstance(network, OnnxNetwork) and network.size_px else network.config.multiple_px
        padded = height + -height % multiple_px, width + -width % multiple_px
        tile_px = restorer.tile_px or max(padded)
        if max(padded) <= tile_px or _area(padded) <= restorer.whole_up_to_px:
            return padded
    return height, width


def stopping() -> Refusal:
    """The answer to a request for which the server has no time left."""
    return Refusal(503, "stopping", "The server is shutting down.", retry_after_s=10)


def _settle(job: Job, result: Tensor | Exception | None) -> None:
    """Give a job its result, from any thread; None where nobody waits for it."""

    def settle() -> None:
        if not job.restored.done():
            if isinstance(result, Tensor):
                job.restored.set_result(result)
            elif result is None:
                job.restored.cancel()
            else:
                job.restored.set_exception(result)

    with contextlib.suppress(RuntimeError):  # its loop was closed by a second Ctrl-C
        job.restored.get_loop().call_soon_threadsafe(settle)


def _area(size_px: tuple[int, int]) -> int:
    return size_px[0] * size_px[1]
