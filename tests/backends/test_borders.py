"""Which pixel stands where beyond an edge: our arithmetic beside numpy's ``pad``, on which the oracle is built."""

from __future__ import annotations

import numpy as np
import pytest

from blursynth.backends.borders import continued_index
from blursynth.backends.oracle import borders as numpys
from blursynth.frame import Border


@pytest.mark.parametrize("border", list(Border))
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_rows_go_on_as_numpy_pads_them(border: Border, size: int) -> None:
    place = np.arange(-3 * size - 4, 4 * size + 5)
    assert np.array_equal(continued_index(place, size, border), numpys.continued_index(place, size, border))
