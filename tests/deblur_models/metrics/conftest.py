"""torchmetrics, where it can be loaded, to hold our metrics against."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch


@pytest.fixture(scope="session")
def torchmetrics_image() -> ModuleType:
    """``torchmetrics.functional.image``; torchvision, which it loads, wants its operators declared where they are not built."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, signature in (
        ("nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
        ("qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
    ):
        try:
            torch._C._dispatch_has_kernel_for_dispatch_key(f"torchvision::{name}", "Meta")
        except RuntimeError:
            library.define(name + signature)
    pytest.importorskip("torchmetrics")
    return importlib.import_module("torchmetrics.functional.image")
