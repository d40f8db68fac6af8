"""Processes that share the work of each step, as started by ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from deblur_models.device import torch_device

__all__ = ["Processes", "process_group", "rank_and_world_size"]

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """Rank of this process, number of processes, and device."""

    rank: int
    ranks: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def mean(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their means over all processes, in a single exchange."""
        them = list(tensors)
        if self.ranks == 1 or not them:
            return
        together = torch.cat([tensor.flatten() for tensor in them])
        dist.all_reduce(together)
        together /= self.ranks
        for tensor, mean in zip(them, together.split([tensor.numel() for tensor in them]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def whole(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, which must have the same shape, concatenated along the first dimension.

        Gradients flow back to the process that a part came from, summed over all processes. If every process computes
        the same loss from the concatenated tensor, each receives ``ranks`` times the gradient of its own part, and the
        mean over the processes is the gradient of that one loss.
        """
        return tensor if self.ranks == 1 else _Whole.apply(tensor, self.rank, self.ranks)

    def gathered(self, value: T) -> list[T]:
        """The values of all processes, in the order of ranks; any small object that can be pickled."""
        if self.ranks == 1:
            return [value]
        values: list[Any] = [None] * self.ranks
        dist.all_gather_object(values, value)
        return values

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


class _Whole(torch.autograd.Function):
    """:meth:`Processes.whole`."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, rank: int, ranks: int) -> Tensor:
        ctx.place = slice(rank * len(part), (rank + 1) * len(part))
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(ranks)]
        dist.all_gather(parts, part.detach().contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        summed = gradient.contiguous().clone()
        dist.all_reduce(summed)
        return summed[ctx.place], None, None


def rank_and_world_size() -> tuple[int, int]:
    """Rank and number of processes, as set by torchrun, before the process group is created."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def process_group(device: str) -> Iterator[Processes]:
    """The processes started by torchrun (a single one without it), as a process group within the context."""
    (rank, ranks), local = rank_and_world_size(), int(os.environ.get("LOCAL_RANK", "0"))
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
