"""Imported by the fork server, so that what every worker needs is loaded once, and not by each of them.

The first call of a compiled kernel starts numba: a third of a second, as much as all kernels take together.
"""

from __future__ import annotations

import numpy as np

from blursynth.backends import for_array

_codes = np.zeros((1, 1, 1, 1), np.uint8)
for_array(_codes).from_codes(_codes)
