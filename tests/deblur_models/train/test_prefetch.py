"""The next batch beside the present one, and the times of both; on a CUDA device as a protocol of what it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from threading import Event
from typing import Any

import pytest
import torch
from torch import Tensor

from blursynth.errors import PictureError
from deblur_models.data import Batch
from deblur_models.device import arithmetic
from deblur_models.train.prefetch import Prefetcher
from deblur_models.train.timer import Timer

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def batch(number: Any) -> Batch:
    pictures = torch.full((1, 3, 2, 2), float(number))
    return Batch(pictures, pictures.clone(), (None,), (None,), (str(number),))


def test_without_a_stream_a_batch_is_made_when_it_is_taken() -> None:
    read: list[int] = []

    def steps() -> Iterator[list[Any]]:
        for number in range(3):
            read.append(number)
            yield [number, number + 0.5]

    timer = Timer(CPU)
    prefetcher = Prefetcher(steps(), batch, CPU, lambda: timer)
    for number in range(3):
        prefetcher.prefetch()
        assert read == list(range(number))
        assert [part.sources for part in prefetcher.take()] == [(f"{number}",), (f"{number + 0.5}",)]
    assert prefetcher.take() == [], "there are no more"
    assert set(timer.seconds()) == {"data", "blur"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a CUDA device that is not there is asked for, in order."""
    calls: list[str] = []

    class Stream:
        def __init__(self, name: str) -> None:
            self.name = name

        def wait_stream(self, other: Stream) -> None:
            calls.append(f"{self.name} waits for {other.name}")

        def wait_event(self, event: Event) -> None:
            calls.append(f"{self.name} waits for the event of {event.stream}")

    class Event:
        def __init__(self, **_: Any) -> None:
            pass

        def record(self, stream: Stream | None = None) -> None:
            self.stream = stream.name if stream else "the current one"
            calls.append("event")

        def synchronize(self) -> None:
            calls.append("read")

        def elapsed_time(self, end: Event) -> float:
            return 250.0

    @contextmanager
    def within(stream: Stream) -> Iterator[None]:
        calls.append(f"in {stream.name}")
        yield
        calls.append(f"out of {stream.name}")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("side"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("main"))
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: calls.append(f"kept for {stream.name}"))
    return calls


def test_with_a_stream_the_next_batch_is_made_before_it_is_taken(calls: list[str]) -> None:
    timer = Timer(CUDA)
    made = ["in side", "event", "event", "event", "out of side"]
    taken = ["main waits for the event of side", "kept for main", "kept for main"]
    with closing(Prefetcher(iter([[0], [1]]), batch, CUDA, lambda: timer)) as prefetcher:
        assert calls == ["side waits for main"]
        calls.clear()
        assert prefetcher.take()[0].sources == ("0",)
        assert calls == [*made, *taken], "the first one has nothing to be made beside"
        calls.clear()
        prefetcher.prefetch()
        prefetcher.prefetch()
        assert prefetcher.take()[0].sources == ("1",)
        assert calls == [*made, *taken], "once, and only its event is waited for"


def test_the_program_goes_on_while_a_batch_is_made(calls: list[str]) -> None:
    """What is slow, and what fails, does so in the thread; it is told when the batch is taken."""
    began, may_end = Event(), Event()

    def slow(number: Any) -> Batch:
        began.set()
        assert may_end.wait(60)
        if number == 1:
            raise PictureError("a picture is gone")
        return batch(number)

    timer = Timer(CUDA)
    with closing(Prefetcher(iter([[0], [1]]), slow, CUDA, lambda: timer)) as prefetcher:
        prefetcher.prefetch()
        assert began.wait(60), "it is made although nobody takes it, and nobody waits for it"
        may_end.set()
        assert prefetcher.take()[0].sources == ("0",)
        prefetcher.prefetch()
        with pytest.raises(PictureError, match="a picture is gone"):
            prefetcher.take()


def test_times_of_a_device_are_read_when_they_are_asked_for(calls: list[str]) -> None:
    timer = Timer(CUDA)
    for _ in range(3):
        with timer.device("network"):
            pass
    assert calls == ["event"] * 6
    assert timer.seconds() == {"network": 0.75}
    assert calls == ["event"] * 6 + ["read"] * 3
    assert timer.seconds() == {"network": 0.75}, "each is counted once"


def test_arithmetic_of_cuda_is_set_for_the_run_alone() -> None:
    def flags() -> tuple[bool, ...]:
        convolutions = torch.backends.cudnn
        return (
            torch.backends.cuda.matmul.allow_tf32,
            convolutions.allow_tf32,
            convolutions.benchmark,
            convolutions.deterministic,
        )

    before = flags()
    for tf32, cudnn, wanted in (
        (True, "benchmark", (True, True, True, False)),
        (False, "deterministic", (False, False, False, True)),
        (False, "heuristic", (False, False, False, False)),
    ):
        with arithmetic(CUDA, tf32=tf32, cudnn=cudnn):  # type: ignore[arg-type]
            assert flags() == wanted
        assert flags() == before
        with arithmetic(CPU, tf32=tf32, cudnn=cudnn):  # type: ignore[arg-type]
            assert flags() == before
