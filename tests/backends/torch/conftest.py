"""Tests of the operators on tensors. They need torch; those of the Triton kernels need triton as well.

Without a GPU the Triton kernels run in Triton's interpreter, on tensors of the CPU.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

collect_ignore_glob: list[str] = []
if find_spec("torch") is not None:
    import torch

    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # read where kernels are declared


@pytest.fixture(scope="session")
def device() -> str:
    """Where the Triton kernels run: on a GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
