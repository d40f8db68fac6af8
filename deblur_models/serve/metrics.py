"""What the server counts and times, in the form of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

__all__ = ["CONTENT_TYPE_LATEST", "OUTCOMES", "Metrics"]

OUTCOMES = (
    "restored",
    "bad_request",  # parameters, or a content type that is no picture's
    "not_a_picture",  # damaged, or of a format that is not read
    "too_large",
    "slow_upload",
    "queue_full",
    "timed_out",
    "stopping",
    "client_gone",
    "slow_download",
    "failed",
)
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 300.0)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "deblur_requests", "Requests to restore a picture, by how they ended.", ["outcome"], registry=self._registry
        )
        self._request_s = Histogram(
            "deblur_request_seconds",
            "From the head of a request to the last byte of its answer, by how it ended.",
            ["outcome"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batch_pictures = Histogram(
            "deblur_batch_pictures",
            "Pictures that were restored together.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self._registry,
        )
        self._batch_px = Histogram(
            "deblur_batch_pixels",
            "Pixels that were restored together.",
            buckets=tuple(4**power for power in range(6, 14)),
            registry=self._registry,
        )
        self._batch_s = Histogram(
            "deblur_batch_seconds", "Time of a batch in the network.", buckets=_SECONDS, registry=self._registry
        )
        for outcome in OUTCOMES:  # shown as 0 before the first
            self._requests.labels(outcome)

    def watch_queue(self, length: Callable[[], int]) -> None:
        self._watch("deblur_queue_pictures", "Pictures that wait for the network.", length)

    def watch_held(self, requests: Callable[[], int], held_bytes: Callable[[], int]) -> None:
        self._watch("deblur_requests_in_work", "Requests between their upload and the end of their answer.", requests)
        self._watch("deblur_held_bytes", "Memory set aside for the requests in work.", held_bytes)

    def saw_request(self, outcome: str, seconds: float) -> None:
        self._requests.labels(outcome).inc()
        self._request_s.labels(outcome).observe(seconds)

    def saw_batch(self, pictures: int, px: int, seconds: float) -> None:
        self._batch_pictures.observe(pictures)
        self._batch_px.observe(px)
        self._batch_s.observe(seconds)

    def text(self) -> bytes:
        """All of them as Prometheus reads them."""
        return generate_latest(self._registry)

    def _watch(self, name: str, text: str, value: Callable[[], int]) -> None:
        Gauge(name, text, registry=self._registry).set_function(value)
