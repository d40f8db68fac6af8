"""What runs on CUDA devices, on tensors that lie anywhere: without a GPU in Triton's interpreter."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


def on_device() -> dict[str, Any]:
    """What runs on CUDA devices. Imported here, so that a broken file fails cases and not the collection of all."""
    from blursynth.backends.torch.operator import ON_DEVICE

    return ON_DEVICE


class OnDevice(TorchDispatchMode):
    """Calls what runs on CUDA devices, wherever the tensors lie."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.name().partition("::")[2].partition(".")[0]
        ours = function.namespace == "blursynth" and name in on_device()
        return on_device()[name](*args) if ours else function(*args, **(kwargs or {}))
