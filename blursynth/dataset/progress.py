"""Progress reports of long-running work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["OnProgress", "Progress"]


@dataclass(frozen=True)
class Progress:
    """The progress of the work.

    ``stage`` is ``"scan"`` (pictures), ``"generate"`` (samples), ``"verify"`` (shards, then replayed samples)
    or ``"warm"`` (parts of the camera and recipes); of a fit also ``"measure"`` (photographs), ``"simulate"``
    (windows), ``"train"`` (steps) and ``"compare"`` (folds); of an export ``"export"`` (pairs), of a report
    ``"report"`` (samples), of photographs ``"fetch"`` (packages);
    ``skipped`` holds (name, why) of the unused inputs; ``note`` is a sentence about something unusual, such as a worker
    that was killed and replaced.
    """

    stage: Literal[
        "scan", "generate", "verify", "warm", "measure", "simulate", "train", "compare", "export", "report", "fetch"
    ]
    done: int
    total: int
    skipped: tuple[tuple[str, str], ...] = ()
    note: str = ""


OnProgress = Callable[[Progress], None]
