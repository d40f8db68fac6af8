"""Each wrong blur is seen by the law that is meant to see it, in a case small enough to read; right ones keep it."""

from __future__ import annotations

import numpy as np
import pytest
from wrong_blurs import WRONG, Wrong

from blursynth.testing import laws

ONE_OF_EACH = pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.law.name}-{wrong.name}")


@ONE_OF_EACH
def test_the_law_sees_it(wrong: Wrong) -> None:
    result = wrong.law.examine(wrong.blur, wrong.adapter, power=False)
    assert result.status == "violated", str(result)
    assert result.measurement is not None
    assert not result.measurement.deviation <= result.measurement.allowed
    assert result.case is not None
    message = str(result)
    assert wrong.law.statement in message
    assert len(message.splitlines()) <= 14
    lit = [int((value != 0).sum()) for value in result.case.values() if isinstance(value, np.ndarray)]
    assert all(count <= 1600 for count in lit)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong", list({wrong.law.name: wrong for wrong in WRONG if wrong.right}.values()), ids=lambda wrong: wrong.law.name
)
def test_the_right_one_keeps_it_and_a_fault_would_be_seen(wrong: Wrong) -> None:
    assert wrong.right is not None
    result = wrong.law.examine(wrong.right, wrong.right_adapter or wrong.adapter)
    assert result.status == "kept", str(result)
    assert result.power is not None
    assert result.power <= wrong.law.fault.largest


def test_every_law_sees_something() -> None:
    needs_a_device = {"devices"}
    assert {law.name for law in laws.ALL} - {wrong.law.name for wrong in WRONG} == needs_a_device
