"""Law: a hand of the default tremor turns a camera over short times as little as real ones do."""

from __future__ import annotations

from pathlib import Path

import hand
import numpy as np
import pytest


def expected(share: float, drift_hz: float, tremor_hz: float = 10.0) -> np.ndarray:
    """Arithmetic: what a band around a middle changes in a time, for Gaussian bands (the tremor's a tenth wide)."""
    time = np.append(hand.TIMES_S, hand.RELATIVE_TO_S)
    drift = 1 - np.exp(-((2 * np.pi * drift_hz * time) ** 2) / 2)
    tremor = 1 - np.exp(-((0.2 * np.pi * tremor_hz * time) ** 2) / 2) * np.cos(2 * np.pi * tremor_hz * time)
    return hand.relative((1 - share) * drift + share * tremor)


def test_hands_turn_as_the_formula_says() -> None:
    for share, drift_hz in ((0.1, 1.0), (0.01, 1.0), (0.03, 2.0)):
        found = hand.made(tremor_share=share, drift_hz=drift_hz)
        assert found == pytest.approx(expected(share, drift_hz), rel=0.06)


def test_the_default_hand_is_as_restless_as_a_gyroscope_in_one() -> None:
    assert hand.made() == pytest.approx(hand.GYROSCOPE, rel=0.1)
    restless = hand.made(tremor_share=0.1)
    assert (restless[:4] > 1.8 * np.array(hand.GYROSCOPE[:4])).all()


@pytest.mark.real_data
def test_the_default_hand_is_as_restless_as_a_recorded_one(real_data: Path) -> None:
    recorded = hand.recorded(real_data)
    assert hand.made() == pytest.approx(recorded, rel=0.3)
    assert (hand.made(tremor_share=0.1)[:4] > 2 * recorded[:4]).all()
