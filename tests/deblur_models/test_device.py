"""Names of devices and precisions."""

from __future__ import annotations

import pytest
import torch

from blursynth.errors import InvalidValueError
from deblur_models.device import autocast_type, torch_device


def test_devices_have_names() -> None:
    assert torch_device("cpu") == torch.device("cpu")
    assert torch_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InvalidValueError, match="There is no device 'abacus'"):
        torch_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(InvalidValueError, match="torch sees no CUDA device"):
            torch_device("cuda")
    if not torch.backends.mps.is_available():
        with pytest.raises(InvalidValueError, match="torch sees no such device"):
            torch_device("mps")


def test_precisions_have_names() -> None:
    assert autocast_type("float32") is None
    assert autocast_type("bf16") is torch.bfloat16
    assert autocast_type("fp16") is torch.float16
    with pytest.raises(InvalidValueError, match="There is no precision 'float16'"):
        autocast_type("float16")
