"""Pictures of violations: what is where, in which colors."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blursynth.testing import laws
from blursynth.testing.laws.law import Measurement, Result
from blursynth.testing.picture import panels, png, save_picture, violation_picture

RED, BLUE, WHITE, MAGENTA = (255, 0, 0), (0, 0, 255), (255, 255, 255), (255, 0, 255)


def violation(got: Any, expected: Any, **case: Any) -> Result:
    found = Measurement(0.5, 0.1, "of white", got, expected)
    return Result(laws.linearity, "mine", "violated", measurement=found, case=case)


def test_order_and_colors() -> None:
    x = np.zeros((3, 2, 3))
    x[0, 0, 1] = 1.0
    expected = np.full((3, 2, 3), 0.4)
    got = expected.copy()
    got[1, 0, 0] += 0.2
    got[2, 1, 2] -= 0.1
    shown = panels(violation(got, expected, x=x, weights=(1.0, 0.0)))
    assert [panel.name for panel in shown] == ["x", "got", "expected", "got - expected"]
    assert tuple(shown[0].pixels[0, 1]) == RED
    assert tuple(shown[1].pixels[0, 0]) == (102, 153, 102)
    difference = shown[-1].pixels
    assert tuple(difference[0, 0]) == RED, "the largest, too bright"
    assert tuple(difference[1, 2]) == (128, 128, 255), "half of it, too dark"
    assert tuple(difference[0, 1]) == WHITE
    assert "up to 0.2" in shown[-1].note


def test_depth_and_gray() -> None:
    one = np.full((1, 2, 2), 0.5)
    depth = np.array([[1.0, 3.0], [2.0, 3.0]])
    shown = panels(violation(one, one, depth_m=depth))
    assert shown[0].note == "1 m (dark) to 3 m"
    assert shown[0].pixels[..., 0].tolist() == [[0, 255], [128, 255]]
    assert (shown[1].pixels == 128).all()


def test_what_is_not_finite() -> None:
    got = np.full((1, 1, 3), 0.5)
    got[0, 0, :2] = np.nan, np.inf
    shown = panels(violation(got, np.full((1, 1, 3), 0.5)))
    for panel in (shown[0], shown[-1]):
        assert tuple(panel.pixels[0, 0]) == tuple(panel.pixels[0, 1]) == MAGENTA
    assert tuple(shown[0].pixels[0, 2]) == (128, 128, 128)


def test_dark_pictures_are_brightened_by_one_factor() -> None:
    shown = panels(violation(np.full((1, 1, 1), 0.01), np.full((1, 1, 1), 0.02), x=np.zeros((1, 1, 1))))
    assert [int(panel.pixels[0, 0, 0]) for panel in shown[:3]] == [0, 128, 255]
    assert all("shown 50 times brighter" in panel.note for panel in shown[:3])


def test_shapes_that_differ_have_no_difference() -> None:
    shown = panels(violation(np.zeros((1, 2, 3)), np.zeros((1, 3, 2))))
    assert [panel.name for panel in shown] == ["got", "expected"]


def test_large_pictures_are_cut_around_the_difference() -> None:
    expected = np.zeros((1, 30, 1000))
    got = expected.copy()
    got[0, 7, 950] = 1.0
    shown = panels(violation(got, expected, x=expected))
    assert {panel.pixels.shape for panel in shown} == {(30, 400, 3)}
    assert tuple(shown[-1].pixels[7, 350]) == RED
    assert "30 x 400 px shown" in shown[0].note


def test_sheet_is_enlarged_with_hard_edges(tmp_path: Path) -> None:
    got, expected = np.zeros((1, 4, 4)), np.zeros((1, 4, 4))
    got[0, 1, 2] = 1.0
    path = save_picture(violation(got, expected), tmp_path / "new" / "a.png")
    assert path is not None
    sheet = np.asarray(Image.open(path))
    red = (sheet == RED).all(axis=-1)
    rows, columns = np.nonzero(red)
    assert red.sum() == 64 * 64
    assert (np.ptp(rows), np.ptp(columns)) == (63, 63)


def test_no_pictures_no_file(tmp_path: Path) -> None:
    result = violation(None, None, level=0.5)
    assert panels(result) == []
    assert violation_picture(result) is None
    assert save_picture(result, tmp_path / "a.png") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (4, 1, 9), (2, 3, 5, 5), (600, 3)])
def test_every_shape_gives_a_sheet(shape: tuple[int, ...]) -> None:
    result = dataclasses.replace(violation(np.ones(shape), np.zeros(shape)), blur="bad \x1b[2J ☂ name")
    sheet = violation_picture(result)
    assert sheet is not None
    assert Image.open(io.BytesIO(png(sheet))).size == sheet.shape[1::-1]
