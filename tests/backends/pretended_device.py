"""A CUDA device that is not there: what the code asks of one, counted, on tensors that lie in the memory of the CPU.

Tensors on it say that they are on ``cuda:0``. Whatever torch is asked to do with them is done on the CPU; operators of
blursynth call what they call on a CUDA device, with Triton's kernels in the interpreter, or left out. So it shows how
many kernels are started, what is copied, and where the program would wait for the device.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from on_device import on_device
from torch.utils._mode_utils import no_dispatch as _no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

__all__ = ["CUDA", "PretendedDevice", "Waits"]

CUDA = torch.device("cuda", 0)
_EMPTY = {"aten::empty", "aten::empty_like", "aten::new_empty", "aten::empty_strided", "aten::new_empty_strided"}
"""What starts nothing on a device, as views do."""
_WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal", "aten::unique_dim",
          "aten::_unique2", "aten::bincount", "aten::repeat_interleave.Tensor", "aten::is_nonzero"}  # fmt: skip


class Waits(AssertionError):
    """The program would wait for the device."""


class There(torch.Tensor):
    """A tensor that says that it lies on the device."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> There:
        # Torch without CUDA has no guards for it: of torch's own devices it is "meta".
        made = torch.Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype,
            device="meta", requires_grad=False,
        )  # fmt: skip
        made.here = here
        return made

    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_meta = property(lambda self: False)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{function} of a tensor on the pretended device, outside of it")

    def new_tensor(self, data: Any, *, dtype: Any = None, **options: Any) -> torch.Tensor:
        return torch.as_tensor(data, dtype=dtype or self.dtype).to(CUDA)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self, **options: Any) -> str:
        return f"There({tuple(self.shape)}, {self.dtype})"


def _here(value: Any) -> Any:
    if isinstance(value, There):
        return value.here
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _is_view(made: Any, given: list[Any]) -> bool:
    """Whether a result lies in the memory of what was given."""
    if not isinstance(made, torch.Tensor):
        return isinstance(made, list | tuple) and all(_is_view(one, given) for one in made)
    places = {_here(value).untyped_storage().data_ptr() for value in given if isinstance(value, torch.Tensor)}
    return made.untyped_storage().data_ptr() in places


class PretendedDevice(TorchDispatchMode):
    """What is asked of the device while this is active.

    Parameters
    ----------
    may_wait
        Whether the program may wait for the device: otherwise :class:`Waits` is raised where it would.
    computes
        Whether Triton's kernels are run; otherwise only counted, and their results are zeros.
    """

    def __init__(self, *, may_wait: bool = False, computes: bool = True) -> None:
        super().__init__()
        self.may_wait, self.computes = may_wait, computes
        self.launches: Counter[str] = Counter()
        """Kernels of Triton, by name."""
        self.operations: Counter[str] = Counter()
        """Operations of torch that start something on the device, by name."""
        self.waits: Counter[str] = Counter()
        self.sent, self.sent_bytes, self.pinned = 0, 0, 0
        """Copies to the device, their bytes, and how many tensors were pinned first, as all copies should be."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = function.name()
        flat: list[Any] = []
        tree_map(flat.append, (args, kwargs))
        there = any(isinstance(value, There) for value in flat)
        devices = {value.type for value in flat if isinstance(value, torch.device)}
        to_device = bool(devices & {"cuda", "meta"})
        if name in ("aten::pin_memory", "aten::_pin_memory"):
            self.pinned += 1
            return args[0].clone()
        if function.namespace == "blursynth" and there and name.partition("::")[2].partition(".")[0] in on_device():
            with self:
                return on_device()[name.partition("::")[2].partition(".")[0]](*args)
        if not (there or to_device):
            return function(*args, **kwargs)
        back = "cpu" in devices and there
        if name == "aten::copy_" and isinstance(args[1], There) and not isinstance(args[0], There):
            back = True
        boolean = name.startswith("aten::index") and any(
            isinstance(i, torch.Tensor) and i.dtype in (torch.bool, torch.uint8)
            for i in (args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ())
        )
        if name in _WAITS or back or boolean:
            self.waits[name] += 1
            if not self.may_wait:
                raise Waits(f"{name} waits for the device")
        sent = []
        if to_device:
            sent = [value for value in flat if isinstance(value, torch.Tensor) and not isinstance(value, There)]
            if sent:
                self.sent += 1
                self.sent_bytes += sum(value.numel() * value.element_size() for value in sent)
        made = function(*tree_map(_here, args), **tree_map(_here, kwargs))
        changes = name.split("::")[1].split(".")[0].endswith("_")
        if not back and not (to_device and sent) and name.split(".")[0] not in _EMPTY:
            self.operations[name] += changes or not _is_view(made, flat)
        if back:
            return made.clone() if made is _here(args[0]) else made
        if not self.computes and name.split(".")[0] in _EMPTY:
            made.zero_()
        if isinstance(args[0] if args else None, There) and (changes or made is args[0].here):
            return args[0]
        with _no_dispatch():
            return tree_map(lambda value: There(value) if isinstance(value, torch.Tensor) else value, made)

    @contextmanager
    def active(self) -> Iterator[PretendedDevice]:
        """The device is there."""
        from triton.runtime import interpreter

        assert os.environ.get("TRITON_INTERPRET") == "1"
        run = interpreter.InterpretedFunction.__getitem__

        def start(kernel: Any, grid: Any) -> Any:
            def launch(*args: Any, **kwargs: Any) -> None:
                self.launches[kernel.fn.__name__] += 1
                if self.computes:
                    with _no_dispatch():
                        run(kernel, grid)(*map(_here, args), **{k: _here(v) for k, v in kwargs.items()})

            return launch

        patches = (
            mock.patch.object(interpreter.InterpretedFunction, "__getitem__", start),
            mock.patch.object(torch.cuda, "device", return_value=nullcontext()),
            mock.patch.object(torch.cuda, "_lazy_init", return_value=None),
        )
        before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # numbers are made on the CPU and sent, not made on the device
        try:
            with patches[0], patches[1], patches[2], self:
                yield self
        finally:
            torch._C._set_only_lift_cpu_tensors(before)

    def there(self, tensor: torch.Tensor) -> torch.Tensor:
        return There(tensor)
