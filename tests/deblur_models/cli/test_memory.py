"""Large blocks that are freed are not asked of the system again."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import ctypes, resource, sys
from deblur_models.cli.memory import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "keep" else True)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def touch():
    block = libc.malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    libc.free(block)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(sort: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, sort], capture_output=True, text=True, check=True)
    kept, number = done.stdout.split()
    if kept != "True":
        pytest.skip("the C library is not glibc")
    return int(number)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_freed_blocks_are_used_again() -> None:
    assert faults("give back") > 20 * max(faults("keep"), 1)
