"""The response curve from brackets, against curves of plain arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from blursynth.fit.photographs import read_photographs
from blursynth.fit.response import bracket_pairs, fit_curve
from blursynth.physics.response import Sigmoid


def bracket(folder: Path, curve: Callable[[np.ndarray], np.ndarray], *, same_scene: bool = True) -> None:
    """Blocks of random light at 1/200, 1/100, 1/50 and 1/25 s."""
    rng = np.random.default_rng(0)
    light = 0.6 * rng.random((12, 16)) ** 2
    for number, stops in enumerate((3, 2, 1, 0)):
        light = light if same_scene else 0.6 * rng.random((12, 16)) ** 2
        codes = np.kron(curve(np.clip(light / 2**stops, 0, 1)), np.ones((16, 16)))
        exif = Image.Exif()
        exif.get_ifd(0x8769).update({0x829A: IFDRational(1, 25 * 2**stops), 0x829D: 2.0, 0x8827: 100})
        picture = Image.fromarray(np.repeat(np.rint(255 * codes).astype(np.uint8)[..., None], 3, axis=2))
        picture.save(folder / f"{number}.jpg", exif=exif, quality=100, subsampling=0)


@pytest.mark.parametrize(
    "curve",
    [
        lambda x: x ** (1 / 2.2),
        lambda x: np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055),  # sRGB
        lambda x: 3 * x**0.9 / (1 + 2 * x**0.9),  # a shoulder
    ],
    ids=["gamma", "srgb", "shoulder"],
)
def test_curve_of_a_bracket(tmp_path: Path, curve: Callable[[np.ndarray], np.ndarray]) -> None:
    bracket(tmp_path, curve)
    photographs, _ = read_photographs(tmp_path)
    pairs = bracket_pairs(photographs)
    assert sorted(round(k) for k, _, _ in pairs) == [2, 2, 2, 4, 4, 8]
    fitted = fit_curve(pairs)
    assert fitted is not None
    # A factor of the light leaves brackets as they are, so what can be known is what k times the light does to codes.
    found, x = Sigmoid.from_midtone(*fitted), np.linspace(0.01, 0.15, 20)
    for k in (2.0, 4.0):
        np.testing.assert_allclose(found.value(k * found.light(curve(x))), curve(k * x), atol=0.01)


def test_other_scenes_are_no_bracket(tmp_path: Path) -> None:
    bracket(tmp_path, np.sqrt, same_scene=False)
    photographs, _ = read_photographs(tmp_path)
    assert bracket_pairs(photographs) == []
    assert fit_curve([]) is None


def test_what_no_curve_explains_has_none() -> None:
    x = np.linspace(0.1, 0.8, 60)
    assert fit_curve([(4.0, x, x**3)]) is None  # darker with more light
