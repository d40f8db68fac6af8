"""Kernels of draws and of files; Levin's real photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import blursynth as bs
from blursynth.errors import InvalidValueError, PictureError
from deblur_models.classical import make_classical, read_kernel, stack_kernels
from deblur_models.metrics import metric


def test_kernels_of_different_sizes_are_stacked() -> None:
    stacked = stack_kernels([np.ones((1, 1)), np.arange(9.0).reshape(3, 3), np.eye(5)])
    assert stacked.shape == (3, 5, 5)
    assert stacked[0, 2, 2] == stacked[0].sum() == 1
    assert stacked[1, 1:4, 1:4].tolist() == np.arange(9.0).reshape(3, 3).tolist()
    with pytest.raises(InvalidValueError, match=r"odd sides, got \[2, 2\]"):
        stack_kernels([np.ones((2, 2))])
    with pytest.raises(InvalidValueError, match="no kernels"):
        stack_kernels([])


def test_kernels_are_read_from_files(tmp_path: Path) -> None:
    codes = np.zeros((8, 10), np.uint8)
    codes[3, 4:7] = (100, 200, 100)
    Image.fromarray(codes).save(tmp_path / "kernel.png")
    np.save(tmp_path / "kernel.npy", codes.astype(float))
    for name in ("kernel.png", "kernel.npy"):
        kernel = read_kernel(tmp_path / name)
        assert kernel.shape == (3, 3)
        assert kernel[1].tolist() == pytest.approx([0.25, 0.5, 0.25])
    lopsided = np.zeros((5, 5))
    lopsided[2, 2], lopsided[1, 1] = 0.75, 0.25
    np.save(tmp_path / "turned.npy", lopsided)
    kernel, turned = (read_kernel(tmp_path / "turned.npy", turn_180=turn) for turn in (False, True))
    assert np.array_equal(turned, kernel[::-1, ::-1])
    np.savez(tmp_path / "two.npz", a=codes, b=codes)
    with pytest.raises(InvalidValueError, match="2 arrays"):
        read_kernel(tmp_path / "two.npz")
    with pytest.raises(PictureError):
        read_kernel(tmp_path / "none.png")
    np.save(tmp_path / "zero.npy", np.zeros((3, 3)))
    with pytest.raises(InvalidValueError):
        read_kernel(tmp_path / "zero.npy")


# Gains over the blurred photograph in dB, mean of 16, measured less .3.
LEVIN = {"wiener": 6.4, "richardson_lucy": 6.5, "total_variation": 8.2, "hyper_laplacian": 7.4}


@pytest.mark.real_data
@pytest.mark.parametrize("kind", LEVIN)
def test_levins_photographs_are_restored(kind: str, real_data: Path) -> None:
    """Real camera shakes with their measured kernels; the sharp picture is registered to a few pixels only.

    The photographs are those of a linear sensor, so that codes are light.
    """
    method = make_classical({"kind": kind, "linear_light": False})
    score = metric("aligned", max_shift_px=8, border_px=30)
    kernels = bs.read_arrays(real_data / "blur/kernels_kair/Levin09.mat")
    gains = []
    for picture in (1, 2):
        sharp = _gray(real_data / f"blur/levin09/gt/im{picture}.png")
        for shake, stored in enumerate(kernels, 1):
            blurred = _gray(real_data / f"blur/levin09/im{picture}_kernel{shake}_img.png")
            restored = method.restore(blurred, stored[None, ::-1, ::-1] / stored.sum())
            gains.append((score(*_color(restored, sharp)) - score(*_color(blurred, sharp))).item())
    assert np.mean(gains) > LEVIN[kind], np.round(gains, 2)
    assert np.min(gains) > 1, np.round(gains, 2)


def _gray(path: Path) -> torch.Tensor:
    picture = np.asarray(Image.open(path).convert("L"), np.float64) / 255
    return torch.from_numpy(picture)[None, None]


def _color(*pictures: torch.Tensor) -> list[torch.Tensor]:
    return [picture.repeat(1, 3, 1, 1) for picture in pictures]
