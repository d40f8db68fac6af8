"""What of folders is not trained on, told once in the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from blursynth.dataset import Scan
from blursynth.io.folders import endings_text
from deblur_models.data.pair_set import FolderPairs, PairSet

__all__ = ["tell_left_out"]

_LOG = logging.getLogger(__name__)


def tell_left_out(table: str, found: Scan | PairSet) -> None:
    """A line for each input that is not used, and one with their number and that of files of other formats.

    Parameters
    ----------
    table
        Which table of the configuration asked for them.
    found
        What was found; data sets of blursynth leave nothing out.
    """
    if isinstance(found, Scan):
        left_out = [(skipped.name, skipped.why) for skipped in (*found.skipped, *found.duplicates)]
        _tell(table, left_out, found.ignored, _number(len(found.usable), "picture"))
    elif isinstance(found, FolderPairs):
        _tell(table, found.left_out, found.ignored, _number(len(found), "pair"))


def _number(count: int, noun: str) -> str:
    return f"{count} {noun} is" if count == 1 else f"{count} {noun}s are"


def _tell(table: str, left_out: Sequence[tuple[str, str]], ignored: Mapping[str, int], used: str) -> None:
    for name, why in left_out:
        _LOG.warning("[%s]: %s is left out: %s", table, name, why)
    if left_out or ignored:
        others = f"; other files in the folders: {endings_text(ignored)}" if ignored else ""
        _LOG.warning("[%s]: %s used, %d left out%s", table, used, len(left_out), others)
