"""Skipped inputs of folders, logged once."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from blursynth.dataset import Scan
from blursynth.io.folders import endings_text
from deblur_models.data.pair_set import FolderPairs, PairSet

__all__ = ["log_skipped"]

_LOG = logging.getLogger(__name__)


def log_skipped(table: str, found: Scan | PairSet) -> None:
    """Log a line for each skipped input of a table, and one with their number and that of files of other formats."""
    if isinstance(found, Scan):
        skipped: Sequence[tuple[str, str]] = [(one.name, one.why) for one in (*found.skipped, *found.duplicates)]
        count, noun = len(found.usable), "picture"
    elif isinstance(found, FolderPairs):
        skipped, count, noun = found.left_out, len(found), "pair"
    else:
        return  # nothing is skipped in blursynth data sets
    for name, why in skipped:
        _LOG.warning("[%s]: %s is skipped: %s", table, name, why)
    if skipped or found.ignored:
        others = f"; other files in the folders: {endings_text(found.ignored)}" if found.ignored else ""
        used = f"{count} {noun} is" if count == 1 else f"{count} {noun}s are"
        _LOG.warning("[%s]: %s used, %d skipped%s", table, used, len(skipped), others)
