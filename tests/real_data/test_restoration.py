"""Law: what this library blurred can be restored as well as what others blurred, with the kernel that it names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import photographs
import pytest
import restoration
from fourier_deconvolution import FourierDeconvolution
from restoration import Trial, richardson_lucy

pytestmark = pytest.mark.real_data

SIZE_PX = 191  # the middle of the pictures: enough for a network that sees 13 pixels around, and quick
Pair = tuple[Trial, Trial]  # ours, SciPy's


@pytest.fixture(scope="module")
def network(real_data: Path) -> FourierDeconvolution:
    return FourierDeconvolution(real_data)


@pytest.fixture(scope="module")
def trials(real_data: Path) -> dict[int, Pair]:
    """Each of the eight shakes over one of Levin's four sharp pictures, blurred by us and by SciPy."""
    pairs = {}
    cut = slice((255 - SIZE_PX) // 2, (255 + SIZE_PX) // 2)
    for shake, psf in enumerate(photographs.kernels(real_data), start=1):
        sharp = photographs.sharp(real_data, (shake - 1) % 4 + 1)[cut, cut]
        # Noise of two origins, so other numbers in both: a single score varies by some tenths of a dB.
        pairs[shake] = (
            restoration.by_blursynth(sharp, psf, 100 + shake),
            restoration.by_scipy(sharp, psf, 200 + shake),
        )
    return pairs


@pytest.fixture(scope="module")
def scores(network: FourierDeconvolution, trials: dict[int, Pair]) -> dict[int, tuple[float, float]]:
    return {shake: (ours.score(network), theirs.score(network)) for shake, (ours, theirs) in trials.items()}


def test_the_network_restores_ours_as_well_as_its_protocol(scores: dict[int, tuple[float, float]]) -> None:
    ours, theirs = np.mean(list(scores.values()), axis=0)
    assert abs(ours - theirs) <= 0.3, scores
    assert ours >= 32.0, scores  # measured 33.0; the blurred pictures have 22.0


def test_the_network_gains_on_every_picture(trials: dict[int, Pair], scores: dict[int, tuple[float, float]]) -> None:
    for shake, (ours, _) in trials.items():
        assert scores[shake][0] >= restoration.psnr(ours.blurred, ours.sharp) + 8.0, shake


def test_a_flipped_or_shifted_kernel_fails(
    network: FourierDeconvolution, trials: dict[int, Pair], scores: dict[int, tuple[float, float]]
) -> None:
    loss = []
    for shake in (1, 3, 4, 8):
        trial = trials[shake][0]
        flipped = trial.kernel[::-1, ::-1]
        wrong = [flipped, restoration.moved(trial.kernel, 1, 0), restoration.moved(trial.kernel, 0, 1)]
        loss.append([scores[shake][0] - trial.score(network, kernel) for kernel in wrong])
    # A shifted kernel restores a shifted picture, which costs the more, the better the restoration was: measured 3.8
    # and 2.9 dB for the longest shake, 5 to 9 dB for the others; a flipped kernel costs 8 to 17 dB.
    assert (np.mean(loss, axis=0) >= 3.0).all(), loss
    assert (np.array(loss)[:, 0] >= 3.0).all(), loss
    assert (np.array(loss)[:, 1:].mean(axis=1) >= 3.0).all(), loss


def test_richardson_lucy_agrees(trials: dict[int, Pair]) -> None:
    pytest.importorskip("skimage")
    both = np.array([[trial.score(richardson_lucy) for trial in pair] for pair in trials.values()])
    assert abs(np.diff(both.mean(axis=0))[0]) <= 0.3, both
    flipped = [ours.score(richardson_lucy, ours.kernel[::-1, ::-1]) for ours, _ in trials.values()]
    assert (both[:, 0] - flipped >= 3.0).all(), (both[:, 0], flipped)
