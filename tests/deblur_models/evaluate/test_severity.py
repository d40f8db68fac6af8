"""How wide a pair's blur is, against the pencil."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pytest

import blursynth as bs
from blursynth.core import Draw
from blursynth.frame import Encoding, Frame
from deblur_models.data import PairSample
from deblur_models.evaluate import pair_facts, severity_px

MOTION = Draw((("shake", bs.kinds.LinearMotion(length_px=12.0, angle_deg=30.0)), ("jpeg", bs.kinds.Jpeg(quality=80))))
SOFT = Draw((("lens", bs.kinds.GaussianBlur(sigma_px=0.8)), ("jpeg", bs.kinds.Jpeg(quality=80))))
SHARP = Draw((("shake", bs.kinds.Identity()), ("jpeg", bs.kinds.Jpeg(quality=80))))
ZOOM = Draw((("zoom", bs.kinds.Zoom(scale=1.03)),))


def test_severity_is_the_width_of_the_point_spread() -> None:
    # A line of length L has the variance L^2/12, a Gaussian 2 sigma^2. Sharing between pixels adds 1/6 px^2 in each
    # direction to a path, the area of a pixel 1/12 px^2 to a Gaussian.
    assert severity_px(MOTION) == pytest.approx(math.sqrt(12**2 / 12 + 1 / 3), abs=0.01)
    assert severity_px(SOFT) == pytest.approx(math.sqrt(2 * (0.8**2 + 1 / 12)), rel=1e-4)
    both = Draw((*MOTION.steps, ("lens", SOFT["lens"])))
    expected = math.hypot(severity_px(MOTION) or 0, severity_px(SOFT) or 0)
    assert severity_px(both) == pytest.approx(expected, rel=1e-12)
    assert severity_px(SHARP) == 0.0


def test_severity_of_a_blur_that_varies_is_that_in_the_middle() -> None:
    def geometry(top: int, left: int) -> Frame:
        return Frame(
            np.zeros((1, 3, 64, 64), np.float32), Encoding.DISPLAY, origin_px=np.array([[top, left]]),
            full_size_px=np.array([[1024, 1024]]),
        )  # fmt: skip

    assert severity_px(ZOOM) is None
    middle, corner = severity_px(ZOOM, geometry(480, 480)), severity_px(ZOOM, geometry(900, 900))
    assert middle is not None
    assert corner is not None
    assert middle < 0.7  # what resampling alone makes of a point
    # Lines run away from (512, 512), r |log scale| long, evenly lit; resampling adds to their width.
    length = math.hypot(932.5 - 512, 932.5 - 512) * math.log(1.03)
    assert math.sqrt(corner**2 - middle**2) == pytest.approx(length / math.sqrt(12), rel=0.03)
    with_lens = severity_px(Draw((*ZOOM.steps, *SOFT.steps)), geometry(900, 900))
    assert with_lens == pytest.approx(math.hypot(corner, severity_px(SOFT) or 0), rel=1e-6)


def test_severity_without_the_depth_that_a_blur_needs_is_not_known(caplog: pytest.LogCaptureFixture) -> None:
    draw = Draw((("defocus", bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0)),))
    frame = Frame(np.zeros((1, 3, 32, 32), np.float32), Encoding.DISPLAY)
    with caplog.at_level(logging.DEBUG, "deblur_models"):
        assert severity_px(draw, frame) is None
    assert "is unknown" in caplog.text


def test_facts_name_the_kinds_that_can_be_seen() -> None:
    tiny = Draw(
        (("a", bs.kinds.GaussianBlur(sigma_px=0.0)), ("b", bs.kinds.LinearMotion(length_px=9.0, angle_deg=0.0)))
    )
    codes = np.zeros((8, 8, 3), np.uint8)
    draws = (tiny, ZOOM, SHARP, None)
    facts = [pair_facts(i, PairSample(str(i), codes, codes, draw=draw)) for i, draw in enumerate(draws)]
    assert [f.kinds for f in facts] == [("linear_motion",), ("zoom",), (), ()]
    assert [f.varies for f in facts] == [False, True, False, False]
    assert [f.known for f in facts] == [True, True, True, False]
    assert json.loads(json.dumps(facts[0].to_dict()))["kinds"] == ["linear_motion"]
