"""Networks as files for other runtimes, with proof that they give the same pictures."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deblur_models.export.exporting import Exported, export_network
    from deblur_models.export.quantize import Quantized, quantize_network

__all__ = ["Exported", "Quantized", "export_network", "quantize_network"]


def __getattr__(name: str) -> Any:  # on first use, so that the process that runs OpenCV loads no torch
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "quantize" if name.lower().startswith("quantize") else "exporting"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
