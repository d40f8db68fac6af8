"""Settings shared by the tests of training, evaluation and use."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _quick_start(few_draws_are_tried_first: None) -> None:
    """Runs on photographs begin at once."""
