from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import blursynth as bs
from blursynth import dataset


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="limits of memory")
@pytest.mark.parametrize("seed", [11, 12])
def test_damages_with_right_checksums_end_in_errors_of_our_own(pictures: Path, tmp_path: Path, seed: int) -> None:
    kernel = bs.assets.register(np.random.default_rng(2).random((5, 5)))
    recipe = bs.Recipe(
        [
            ("decode", bs.kinds.Decode()),
            ("lens", bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.3, 2.0))),
            ("shake", bs.kinds.MeasuredBlur(kernel=kernel)),
            ("encode", bs.kinds.Encode()),
        ]
    )
    dataset.generate(
        dataset.DatasetRequest(
            sources=pictures,
            recipe=recipe,
            count=11,
            size_px=32,
            seed=5,
            shard_length=4,
            store=("kernel", "params"),
            kernel_size_px=33,
        ),
        tmp_path / "made",
        workers=1,
    )
    program = [sys.executable, str(Path(__file__).with_name("fuzz.py")), str(tmp_path / "made"), str(pictures)]
    result = subprocess.run([*program, str(seed), "60"], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, (result.returncode, result.stderr[-2000:])  # -11 would be a crash
    found = json.loads(result.stdout)
    assert found["errors"] == {}, "\n".join(found["errors"].values())
    assert found["damages"] > 20
    assert found["slowest_s"][0] < 60
