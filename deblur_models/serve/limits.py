"""What the server takes on, and why a request is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

from blursynth.errors import demand

__all__ = ["Limits", "Refusal"]


@dataclass(frozen=True)
class Limits:
    """Limits of one server. Whatever clients do, it holds no more than these, and each request ends.

    Parameters
    ----------
    upload_bytes
        Of one uploaded file.
    picture_px
        Height times width of one picture.
    memory_bytes
        Of all requests together, from the first byte of an upload to the last of its answer: files, pixels as decoders
        hold them, and results. Weights and activations of the network are not counted; ``batch_px`` and tiles limit
        the latter.
    requests
        Pictures that are uploaded, wait, are restored or downloaded at a time. Further ones are answered with 429.
    timeout_s
        From the end of an upload to the restored picture; then the answer is 503.
    transfer_timeout_s
        For an upload, and for the download of its answer.
    batch_px
        Pixels of pictures that the network restores together. A larger picture is restored alone.
    batch_wait_s
        Time that a picture waits for others of like size while the network is idle.

    Raises
    ------
    InvalidValueError
        A limit is not positive, or nothing fits into the memory.
    """

    upload_bytes: int = 64_000_000
    picture_px: int = 25_000_000
    memory_bytes: int = 4_000_000_000
    requests: int = 32
    timeout_s: float = 300.0
    transfer_timeout_s: float = 60.0
    batch_px: int = 1 << 16
    batch_wait_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("upload_bytes", "picture_px", "requests", "timeout_s", "transfer_timeout_s", "batch_px"):
            value = getattr(self, name)
            demand(0 < value < math.inf, name, value, "> 0 and finite")
        demand(0 <= self.batch_wait_s <= 10, "batch_wait_s", self.batch_wait_s, "0 to 10 s")
        demand(
            self.memory_bytes >= 2 * self.upload_bytes,
            "memory_bytes",
            self.memory_bytes,
            f"at least twice the largest upload ({self.upload_bytes:,} bytes)",
            why="An upload is copied once when it is complete.",
        )


class Refusal(Exception):
    """A request that is not served: the status and text of its answer.

    ``outcome`` is its label in the metrics; ``retry_after_s`` is when it is worth asking again.
    """

    def __init__(self, status: int, outcome: str, text: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(text)
        self.status, self.outcome, self.text, self.retry_after_s = status, outcome, text, retry_after_s
