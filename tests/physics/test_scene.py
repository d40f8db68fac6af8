"""The reach of layers against all pairs of neighbors."""

from __future__ import annotations

import math

import numpy as np

from blursynth.backends import oracle
from blursynth.physics.scene import JUMP_PX, SLACK_PX, reach_of_layers_px
from blursynth.physics.surface_edges import MIRRORED_PX, PURE_REACH_PX, STEEPEST, UNEVEN_REACH_PX


def test_reach_of_layers_is_that_of_the_widest_pair_of_neighbors() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width = (int(n) for n in rng.integers(1, 8, 2))
        nearness = rng.normal(size=(height, width)) * rng.choice([0.4, 1.5, 6.0])
        radius = rng.normal(size=(height, width)) * 3.0
        size = np.abs(radius)
        reach = size.max() + 1.0
        for y, x in np.ndindex(height, width):
            for v, u in np.ndindex(height, width):
                step = nearness[y, x] - nearness[v, u]
                if max(abs(v - y), abs(u - x)) != 1 or step <= JUMP_PX:
                    continue
                deep = step + SLACK_PX
                behind = size[v, u] + deep + (1 + STEEPEST) * min(deep, MIRRORED_PX) + 1 + PURE_REACH_PX
                before = 3 * size[y, x] + SLACK_PX
                reach = max(reach, max(behind, before) + 1.0 + 1 + UNEVEN_REACH_PX)
        assert reach_of_layers_px(nearness, radius, oracle, wider_px=1.0, sloped=False) == math.ceil(reach)
