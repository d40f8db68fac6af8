"""Settings shared by the tests of training, evaluation and use."""

from __future__ import annotations

from importlib import import_module

import pytest


@pytest.fixture(autouse=True)
def _few_draws_are_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on photographs tries 2000 draws before its first step: seconds, where runs of tests take a tenth of one.

    What is refused then, and that this many are tried, is held by the tests of data sets.
    """
    monkeypatch.setattr(import_module("blursynth.dataset.generate"), "CHECKED_DRAWS", 20)
