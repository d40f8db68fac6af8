"""Memory of pictures that is freed and asked for again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PICTURES = """
import resource
import numpy as np
{first}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for turn in range(40):
    before = faults()
    pictures = [np.ones((1, 3, 300, 300), np.float32) for _ in range(8)]
    del pictures
print(faults() - before)
"""


def pages_per_turn(first: str) -> int:
    """New pages that eight pictures take after many others have been freed."""
    run = subprocess.run(
        [sys.executable, "-c", PICTURES.format(first=first)], check=True, capture_output=True, text=True
    )
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep memory as they like")
def test_freed_pictures_keep_their_pages() -> None:
    if pages_per_turn("") < 1000:
        pytest.skip("this system gives pages that are so large that they need not be kept")
    assert pages_per_turn("import blursynth.backends.cpu") < 100
