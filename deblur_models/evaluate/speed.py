"""The cost of a network: weights, multiplications, time and memory, each for a given image size.

Time is measured on the device, which is synchronized before the clock is read. Everything else is counted on torch's
meta device, where tensors have shapes but no values, so that it is the same on every machine.
"""

from __future__ import annotations

import statistics
import time
import weakref
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from blursynth.errors import InvalidValueError
from deblur_models.networks.network import Network, count_weights
from deblur_models.restore.onnx_network import OnnxNetwork

__all__ = ["Cost", "Speed", "count_macs", "count_used_weights", "measure_speed", "network_cost", "peak_bytes"]


@dataclass(frozen=True)
class Cost:
    """The cost of one image of ``height`` x ``width`` px.

    Parameters
    ----------
    stored_weights, used_weights
        The number of weights in the checkpoint, and of those that the finest output depends on: some published networks
        include a classifier's head or coarser outputs.
    macs
        Multiply-accumulate operations of convolutions, matrix products and attention; half of the floating-point
        operations. Not counted: Fourier transforms, normalization, resizing and all other pixel-wise operations.
    memory_bytes
        Peak memory of weights, input and intermediate results together, excluding the allocator's overhead and the
        workspace of convolutions.
    """

    height: int
    width: int
    stored_weights: int
    used_weights: int
    macs: int
    memory_bytes: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Speed:
    """Images of ``height`` x ``width`` px per second, one at a time: the median of several, and their extremes.

    ``memory_bytes`` is the peak memory of tensors in CUDA's allocator; None on other devices.
    """

    height: int
    width: int
    device: str
    threads: int
    precision: str
    seconds: float
    fastest_s: float
    slowest_s: float
    repeats: int
    memory_bytes: int | None

    @property
    def pictures_per_second(self) -> float:
        return 1.0 / self.seconds

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "pictures_per_second": self.pictures_per_second}


def network_cost(network: Network | OnnxNetwork, height: int, width: int) -> Cost:
    """Count the cost for one image of this size."""
    return Cost(
        height=height,
        width=width,
        stored_weights=count_weights(_without_numbers(network)),
        used_weights=count_used_weights(network),
        macs=count_macs(network, height, width),
        memory_bytes=peak_bytes(network, height, width),
    )


def count_used_weights(network: Network | OnnxNetwork) -> int:
    """Number of weights with respect to which the finest output has a derivative."""
    twin = _without_numbers(network).requires_grad_(True)
    side = 2 * max(32, network.config.multiple_px)
    weights = list(twin.parameters())
    restored: Tensor = twin(torch.rand(1, 3, side, side, device="meta"))
    found = torch.autograd.grad(restored.sum(), weights, allow_unused=True)
    return sum(w.numel() for w, derivative in zip(weights, found, strict=True) if derivative is not None)


def count_macs(network: Network | OnnxNetwork, height: int, width: int) -> int:
    """Multiply-accumulate operations for one image; see :class:`Cost`."""
    picture = _picture(height, width, "meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        _without_numbers(network)(picture)
    return int(counter.get_total_flops()) // 2


def peak_bytes(network: Network | OnnxNetwork, height: int, width: int) -> int:
    """Peak number of bytes of tensors while one image is restored; see :class:`Cost`."""
    twin = _without_numbers(network)
    picture = _picture(height, width, "meta")
    with torch.no_grad(), _LiveBytes() as live:
        live.watch(picture)
        for tensor in (*twin.parameters(), *twin.buffers()):
            live.watch(tensor)
        twin(picture)
    most: int = live.most
    return most


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch gives it no types
    """Sums the storages that are alive after every operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.most = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def watch(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known.add(storage)
        weakref.finalize(storage, self._free, size)
        self.now += size
        self.most = max(self.most, self.now)

    def _free(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, Tensor):
                self.watch(item)
        return result


def measure_speed(
    network: Network | OnnxNetwork,
    height: int,
    width: int,
    *,
    device: torch.device | str = "cpu",
    autocast: torch.dtype | None = None,
    channels_last: bool = False,
    warm_up: int = 2,
    repeats: int = 7,
) -> Speed:
    """Time one image of random values at a time, after ``warm_up`` images that are not counted.

    The network is moved to the device and stays there. The device is synchronized before the clock is read, since GPU
    calls return long before their work is done.
    """
    if repeats < 1 or warm_up < 0:
        raise InvalidValueError(f"repeats must be >= 1 and warm_up >= 0, got {repeats} and {warm_up}.")
    place = torch.device(device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    picture = _picture(height, width, place).contiguous(memory_format=layout)
    network.to(place).eval()
    if channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    times = []
    with torch.inference_mode(), torch.autocast(place.type, dtype=autocast, enabled=autocast is not None):
        for number in range(warm_up + repeats):
            _synchronize(place)
            start = time.perf_counter()
            network(picture)
            _synchronize(place)
            seconds = time.perf_counter() - start
            if number >= warm_up:
                times.append(seconds)
    return Speed(
        height=height,
        width=width,
        device=torch.cuda.get_device_name(place) if place.type == "cuda" else place.type,
        threads=torch.get_num_threads(),
        precision="float32" if autocast is None else str(autocast).removeprefix("torch."),
        seconds=statistics.median(times),
        fastest_s=min(times),
        slowest_s=max(times),
        repeats=repeats,
        memory_bytes=torch.cuda.max_memory_allocated(place) if place.type == "cuda" else None,
    )


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _picture(height: int, width: int, device: torch.device | str) -> Tensor:
    if height < 1 or width < 1:
        raise InvalidValueError(f"The sides of an image must be >= 1 px, got {width}x{height}.")
    return torch.rand(1, 3, height, width, device=device)


def _without_numbers(network: Network | OnnxNetwork) -> Network:
    """The same architecture on the meta device, in ``eval()`` mode."""
    with torch.device("meta"):
        twin = network.config.build()
    return twin.eval()
