"""From an upload to the restored picture: admission, reading, decoding, the queue, encoding."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from blursynth.errors import InvalidValueError
from deblur_models.restore.restorer import Restorer
from deblur_models.serve.batcher import Batcher, Job, stopping
from deblur_models.serve.limits import Limits, Refusal
from deblur_models.serve.metrics import Metrics
from deblur_models.serve.upload import MEDIA_TYPES, decode, inspect, output_suffix

__all__ = ["Restored", "Room", "Service"]

T = TypeVar("T")

_CODING_THREADS = 2  # that decode and encode files


@dataclass(frozen=True)
class Restored:
    """A restored picture as a file, and how long it waited for the network."""

    data: bytes
    media_type: str
    waited_s: float


class Service:
    """Restores uploads with one restorer, within limits; everything but the network and files runs in one event loop.

    Raises
    ------
    InvalidValueError
        The restorer needs to know the kernel.
    """

    def __init__(self, restorer: Restorer, limits: Limits | None = None) -> None:
        if restorer.needs_kernel:
            raise InvalidValueError(
                f"{restorer.name} needs the kernel of each picture, which uploads do not come with.",
                fix="Serve a network.",
            )
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.batcher = Batcher(restorer, self.limits, self.metrics)
        self.requests = 0
        self.held_bytes = 0
        self.metrics.watch_held(lambda: self.requests, lambda: self.held_bytes)
        self._is_stopping = False
        self._uploads: set[asyncio.Timeout] = set()
        self._coders = asyncio.Semaphore(_CODING_THREADS)

    @property
    def name(self) -> str:
        return self.batcher.restorer.name

    def admit(self) -> Room:
        """Room for another request.

        Raises
        ------
        Refusal
            The server stops, or has as many requests as it takes.
        """
        if self._is_stopping:
            raise stopping()
        if self.requests >= self.limits.requests:
            raise self.full()
        return Room(self)

    def full(self) -> Refusal:
        text = "The server has as many pictures as it takes: try again later."
        return Refusal(429, "queue_full", text, retry_after_s=self.retry_after_s())

    def retry_after_s(self) -> int:
        """When what waits now will be restored, from the speed of recent batches."""
        return max(1, math.ceil(min(self.batcher.expected_wait_s(), self.limits.timeout_s)))

    async def read(self, pieces: AsyncIterator[bytes], stated_bytes: int | None, room: Room) -> bytes:
        """The body of a request, in memory, within the limits of size and time.

        Raises
        ------
        Refusal
            It is empty, too large or too slow, there is no memory left, or the server stops.
        """
        most = self.limits.upload_bytes
        if stated_bytes is not None and stated_bytes > most:
            raise _upload_too_large(most)
        room.take(2 * (most if stated_bytes is None else stated_bytes))
        data = bytearray()
        try:
            async with asyncio.timeout(self.limits.transfer_timeout_s) as timer:
                self._uploads.add(timer)
                async for piece in pieces:
                    if len(data) + len(piece) > most:
                        raise _upload_too_large(most)
                    data += piece
        except TimeoutError:
            if self._is_stopping:
                raise stopping() from None
            raise Refusal(
                408, "slow_upload", f"The upload took more than {self.limits.transfer_timeout_s:g} s."
            ) from None
        finally:
            self._uploads.discard(timer)
        if not data:
            raise Refusal(422, "not_a_picture", "The request has no body: send the picture file as it is.")
        return bytes(data)

    async def restore(self, data: bytes, strength: float, wanted: str | None, room: Room) -> Restored:
        """The restored picture of an upload, as a file; :class:`Refusal` if there is none."""
        with room:
            info = await self._in_thread(lambda: inspect(data, self.limits))
            room.take(info.needed_bytes)
            file = await self._in_thread(lambda: decode(data))
            suffix = output_suffix(file, info, wanted)
            job = Job(file, strength)
            pixels = await self.batcher.restore(job)
            encoded = await self._in_thread(lambda: file.encoded(pixels, suffix))
            return Restored(encoded, MEDIA_TYPES[suffix], job.waited_s)

    def stop(self) -> None:
        """Refuse what has not reached the network, and finish the rest."""
        self._is_stopping = True
        self.batcher.stop()
        for timer in self._uploads:
            if not timer.expired():
                timer.reschedule(asyncio.get_running_loop().time())

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run in a thread. It cannot be cancelled, so whoever is cancelled while waiting for it waits to its end.

        Threads of their own and not of an executor, since Python waits for those when it exits: a file that takes its
        decoder hours must not keep the process alive.
        """
        async with self._coders:
            loop = asyncio.get_running_loop()
            ended: asyncio.Future[T] = loop.create_future()

            def run() -> None:
                tell: Callable[[], None]
                try:
                    tell = partial(ended.set_result, work())
                except Exception as error:
                    tell = partial(ended.set_exception, error)
                with contextlib.suppress(RuntimeError):  # the loop was closed by a second Ctrl-C
                    loop.call_soon_threadsafe(tell)

            threading.Thread(target=run, name="coder", daemon=True).start()
            try:
                return await asyncio.shield(ended)
            except asyncio.CancelledError:
                await asyncio.wait([ended])
                _ = ended.exception()  # asyncio complains of errors that nobody looks at
                raise


class Room:
    """The part of a service's limits that one request takes, until the last who uses it has left it."""

    def __init__(self, service: Service) -> None:
        self._service, self._users, self._bytes = service, 0, 0

    def take(self, size_bytes: int) -> None:
        """Set memory aside.

        Raises
        ------
        Refusal
            Others hold too much of it, or it will never be enough.
        """
        service = self._service
        if self._bytes + size_bytes > service.limits.memory_bytes:
            raise Refusal(413, "too_large", "The picture needs more memory than this server has for pictures.")
        if service.held_bytes + size_bytes > service.limits.memory_bytes:
            raise service.full()
        self._bytes += size_bytes
        service.held_bytes += size_bytes

    def __enter__(self) -> Self:
        if not self._users:
            self._service.requests += 1
        self._users += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._users -= 1
        if not self._users:
            self._service.requests -= 1
            self._service.held_bytes -= self._bytes


def _upload_too_large(most_bytes: int) -> Refusal:
    return Refusal(413, "too_large", f"The upload has more than the {most_bytes / 1e6:g} MB that this server takes.")
