"""Skipped inputs of folders, logged once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from blursynth.dataset import Scan
from blursynth.io.folders import endings_text
from deblur_models.data.pair_set import FolderPairs, PairSet

__all__ = ["log_skipped"]

_LOG = logging.getLogger(__name__)


def log_skipped(table: str, found: Scan | PairSet) -> None:
    """Log a line for each skipped input, and one with their number and the number of files of other formats.

    Parameters
    ----------
    table
        The table of the configuration that refers to them.
    found
        The inputs that were found; nothing is skipped in blursynth data sets.
    """
    if isinstance(found, Scan):
        skipped = [(one.name, one.why) for one in (*found.skipped, *found.duplicates)]
        _log(table, skipped, found.ignored, _number(len(found.usable), "picture"))
    elif isinstance(found, FolderPairs):
        _log(table, found.left_out, found.ignored, _number(len(found), "pair"))


def _number(count: int, noun: str) -> str:
    return f"{count} {noun} is" if count == 1 else f"{count} {noun}s are"


def _log(table: str, skipped: Sequence[tuple[str, str]], ignored: Mapping[str, int], used: str) -> None:
    for name, why in skipped:
        _LOG.warning("[%s]: %s is skipped: %s", table, name, why)
    if skipped or ignored:
        others = f"; other files in the folders: {endings_text(ignored)}" if ignored else ""
        _LOG.warning("[%s]: %s used, %d skipped%s", table, used, len(skipped), others)
