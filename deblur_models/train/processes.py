"""Several processes that share the work of each step, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from blursynth.errors import InvalidValueError

__all__ = ["Processes", "joined"]


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is, and the device that it computes on."""

    rank: int
    ranks: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def mean(self, tensors: Iterable[Tensor]) -> None:
        """Replaces tensors by their means over all processes."""
        if self.ranks > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)
                tensor /= self.ranks

    def wait(self) -> None:
        if self.ranks > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.ranks == 1:
            return flag
        value = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(value)
        return bool(value.item() > 0)

    def agree(self, number: int) -> bool:
        """Whether all processes give the same number."""
        if self.ranks == 1:
            return True
        numbers = torch.tensor([number, -number], device=self.device)
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
        return int(numbers[0]) == -int(numbers[1])


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that torchrun started (one, where it did not), joined for as long as the context lasts.

    Raises
    ------
    InvalidValueError
        The device is not there.
    """
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = torch_device(device, local if ranks > 1 else None)
    if ranks == 1:
        yield Processes(0, 1, chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    already = dist.is_initialized()
    if not already:
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(rank, ranks, chosen)
    finally:
        if not already:
            dist.destroy_process_group()


def torch_device(name: str, local: int | None = None) -> torch.device:
    """The device of a name; ``auto`` takes CUDA where there is one.

    Raises
    ------
    InvalidValueError
        There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidValueError(f"There is no device {name!r}.", fix="Known: auto, cpu, cuda, cuda:1, mps.") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InvalidValueError(
                f"device {name!r}: torch sees no CUDA device here.",
                fix="Use cpu, or install a build of torch for CUDA.",
            )
        index: int | None = device.index  # torch types it without the None that "cuda" has
        if index is None and local is not None:
            device = torch.device("cuda", local)
        if (device.index or 0) >= torch.cuda.device_count():
            raise InvalidValueError(
                f"device {name!r}: there are {torch.cuda.device_count()} CUDA devices, counted from 0."
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InvalidValueError("device 'mps': torch sees none here.", fix="Use cpu.")
    return device
