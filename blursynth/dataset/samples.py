"""Samples, and what all data sets of pairs share, whether they are stored on disk or made on the fly."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index as whole
from typing import TYPE_CHECKING, Any, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from blursynth.core import Degradation, Draw
from blursynth.dataset.render import Window
from blursynth.errors import InvalidValueError, require

if TYPE_CHECKING:
    import torch

__all__ = ["Sample", "Samples", "TensorPairs"]


@dataclass(frozen=True, eq=False, repr=False)
class Sample(Mapping[str, Any]):
    """One pair with its provenance.

    Its attributes ``sharp`` and ``blurred`` are ``[H, W, 3]`` arrays: uint8 or uint16 codes of display pictures, or
    float32 for linear light. ``kernel`` is set if it was stored. ``record`` is the whole provenance as plain values.

    As a mapping, it holds what can be batched: ``index``, ``sharp``, ``blurred``, and ``kernel`` if it was stored. The
    default collation of ``torch.utils.data.DataLoader`` therefore turns samples into a dictionary of tensors.
    """

    index: int
    sharp: NDArray[Any]
    blurred: NDArray[Any]
    kernel: NDArray[Any] | None
    record: dict[str, Any]
    kinds: Sequence[type[Degradation]]

    # Samples are compared by identity, since arrays have no single truth value.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, name: str) -> Any:
        if name not in self._names():
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> tuple[str, ...]:
        return ("index", "sharp", "blurred") if self.kernel is None else ("index", "sharp", "blurred", "kernel")

    @cached_property
    def draw(self) -> Draw | None:
        """The draw that made the sample; calling it blurs a frame in the same way. None: a real pair."""
        return None if self.record["draw"] is None else Draw.from_dict(self.record["draw"], self.kinds)

    @property
    def source(self) -> str:
        """Name of the source picture."""
        return str(self.record["source"])

    @property
    def license(self) -> str:
        return str(self.record["license"])

    @property
    def window(self) -> Window:
        """The position of the sample in its source."""
        return Window(**self.record["window"])

    def __repr__(self) -> str:
        height, width = self.sharp.shape[:2]
        kernel = "" if self.kernel is None else ", kernel"
        return f"Sample({self.index}: pair of {width}x{height} px {self.sharp.dtype} from {self.source!r}{kernel})"


class Samples(Sequence[Sample]):
    """Pairs by index: a sequence, and a map-style data set for PyTorch, which need not be installed.

    A negative index counts from the end; one beyond the end raises IndexError, which ends a loop. Reading a sample
    changes no shared state, so any number of worker processes or threads may read in parallel.
    """

    @abstractmethod
    def sample(self, index: int) -> Sample:
        """Sample ``index``, which must be in range."""

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            from_its_end = any(part is not None and part < 0 for part in (index.start, index.stop, index.step))
            return [self.sample(i) for i in range(*index.indices(len(self) if from_its_end else self._end()))]
        return self.sample(self._checked(index))

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Several samples, in the order of ``indices``. A DataLoader calls this for each batch."""
        return [self.sample(self._checked(i)) for i in indices]

    def _pixels(self, indices: Sequence[int]) -> Sequence[Mapping[str, Any]]:
        """What a batch holds of several samples; a data set that can leave the rest unread does so."""
        return self.__getitems__(indices)

    def __iter__(self) -> Iterator[Sample]:
        return (self.sample(i) for i in range(len(self)))

    def as_torch(self, *, dtype: torch.dtype | None = None) -> TensorPairs:
        """The same samples in the form that networks take: tensors ``[3, H, W]``, display pictures in 0..1.

        Parameters
        ----------
        dtype
            Floating-point type of pictures and kernels; float32 by default.

        Raises
        ------
        InvalidValueError
            ``dtype`` is not a floating-point type of torch.
        MissingExtraError
            torch is not installed.

        Examples
        --------
        ``DataLoader(pairs.as_torch(), batch_size=4)`` gives dictionaries with ``sharp`` and ``blurred`` as float32
        tensors ``[4, 3, H, W]`` and ``index`` as ``[4]``.
        """
        return TensorPairs(self, dtype)

    def _checked(self, index: int) -> int:
        try:
            i = whole(index)
        except TypeError:
            raise TypeError(f"The index of a sample must be an integer, got {index!r}.") from None
        if i < 0:
            i += len(self)
        if not 0 <= i < self._end():
            raise IndexError(f"sample {index} of {self._end()}")  # ends an iteration, so not one of our errors
        return i

    def _end(self) -> int:
        """Upper bound of the indices, even for a data set that reports no length."""
        return len(self)


class TensorPairs(Sequence[dict[str, Any]]):
    """A map-style data set of samples in the form that networks take; see :meth:`Samples.as_torch`.

    Each sample is a dictionary of ``index``, ``sharp`` and ``blurred``, tensors ``[3, H, W]`` (codes divided by white;
    light unchanged), and ``kernel`` ``[K, K]`` if it was stored. ``pairs`` is the underlying data set, with draws and
    records.
    """

    def __init__(self, pairs: Samples, dtype: torch.dtype | None = None) -> None:
        library = require("torch", extra="torch", purpose="Returning samples as tensors")
        self.pairs = pairs
        self.dtype: torch.dtype = library.float32 if dtype is None else dtype
        if not isinstance(self.dtype, library.dtype) or not self.dtype.is_floating_point:
            raise InvalidValueError(
                f"dtype must be a floating-point type of torch, got {dtype!r}.",
                why="Pictures have values in 0..1.",
                fix="Use the data set without as_torch() to get integer codes.",
                field="dtype",
                value=dtype,
            )

    def __len__(self) -> int:
        return len(self.pairs)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return _tensors(self.pairs[index], self.dtype)
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        return _tensors(self.pairs._pixels(indices), self.dtype)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (_tensors([sample], self.dtype)[0] for sample in self.pairs)

    def __repr__(self) -> str:
        return f"{self.pairs!r}.as_torch()"


def _tensors(samples: Sequence[Mapping[str, Any]], dtype: torch.dtype) -> list[dict[str, Any]]:
    """Samples as tensors, which are parts of one for each name: fresh memory costs more than filling it."""
    import torch

    result: list[dict[str, Any]] = [{"index": sample["index"]} for sample in samples]
    for name in [name for name in next(iter(samples), ()) if name != "index"]:
        arrays = [sample[name] for sample in samples]
        together = np.stack(arrays) if name == "kernel" else _planes(arrays)
        for one, tensor in zip(result, torch.from_numpy(together).to(dtype), strict=True):
            one[name] = tensor
    return result


def _planes(pictures: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """``[B, 3, H, W]`` of pictures ``[H, W, 3]``, codes divided by white."""
    height, width, channels = pictures[0].shape
    planes = np.empty((len(pictures), channels, height, width), np.float32)
    for into, picture in zip(planes, pictures, strict=True):
        if picture.dtype.kind != "u":
            into[:] = np.moveaxis(picture, -1, 0)
            continue
        for plane, codes in zip(into, cv2.split(picture), strict=True):  # codes are sorted faster than floats
            plane[:] = codes
        into /= np.float32(np.iinfo(picture.dtype).max)
    return planes
