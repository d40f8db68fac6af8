"""Tests of the backends. Those of tensors need torch, those of the Triton kernels triton as well.

Without a GPU the Triton kernels run in Triton's interpreter, on tensors of the CPU.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for cases.py

collect_ignore = ["torch/compile_kernels.py"]  # a program, not a test; it needs triton

if find_spec("torch") is not None:
    import torch

    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # read where kernels are declared


@pytest.fixture(scope="session")
def device() -> str:
    """Where the Triton kernels run: on a GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def exact_fma(monkeypatch: pytest.MonkeyPatch) -> None:
    """``tl.fma`` rounds once, as on a GPU: Triton's interpreter rounds the product too."""
    if torch.cuda.is_available():
        return
    from triton.runtime import interpreter

    def fma(self: object, x: Any, y: Any, z: Any) -> Any:
        # Products of two float32 are exact here, and so nearly always is the sum.
        wide = (a.data.astype(np.longdouble) for a in (x, y, z))
        product, factor, term = wide
        return interpreter.TensorHandle((product * factor + term).astype(z.data.dtype), z.dtype.scalar)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_fma", fma)
