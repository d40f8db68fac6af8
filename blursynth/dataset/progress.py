"""What long work tells its caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["OnProgress", "Progress"]


@dataclass(frozen=True)
class Progress:
    """How far the work is.

    ``stage`` is ``"scan"`` (pictures), ``"generate"`` (samples) or ``"verify"`` (shards, then replayed samples);
    ``skipped`` are (name, why) of the inputs that are not used; ``note`` is a sentence about something unusual, such as
    a worker that was killed and is replaced.
    """

    stage: Literal["scan", "generate", "verify"]
    done: int
    total: int
    skipped: tuple[tuple[str, str], ...] = ()
    note: str = ""


OnProgress = Callable[[Progress], None]
