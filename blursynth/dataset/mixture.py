"""Several data sets as one, read in given proportions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np

from blursynth.dataset.samples import Sample, Samples
from blursynth.errors import Argument, InvalidValueError

__all__ = ["Mixture"]


class Mixture(Samples):
    """Several data sets one after another, and how often each of them is read.

    Like ``torch.utils.data.ConcatDataset``, it holds all samples of the first set, then those of the second, and so on.
    :class:`BatchOrder` reads them in the proportions of ``weights``: an epoch takes the same number of samples from a
    set each time, mixed with those of the others, and continues in each set where the epoch before has stopped. So all
    samples of a set are used before one of them is used again, however small or large its weight is.

    Parameters
    ----------
    sets
        Data sets on the disk or made on the fly, with the same arrays.
    weights
        Relative frequency of each, > 0: ``[2, 1]`` takes two samples of the first to one of the second. By default
        their lengths, so that each sample is used once per epoch.
    epoch_length
        Number of samples of an epoch; by default that of all samples.

    Raises
    ------
    InvalidValueError
        The sets cannot be batched, since their pictures differ in size or type, or one has kernels and another has not;
        a set is endless; or the weights do not fit.

    Examples
    --------
    ::

        mixture = bs.Mixture([bs.open_dataset("motion"), bs.open_dataset("defocus")], weights=[3, 1])
        order = bs.BatchOrder(mixture, 32, seed=7)
        loader = DataLoader(mixture.as_torch(), batch_sampler=order, num_workers=2)
    """

    def __init__(
        self, sets: Sequence[Samples], *, weights: Sequence[float] | None = None, epoch_length: int | None = None
    ) -> None:
        self.sets = tuple(sets)
        if not self.sets:
            raise InvalidValueError((Argument("sets"), " is empty."), field="sets", value=sets)
        for number, one in enumerate(self.sets):
            if not hasattr(one, "spec"):
                what = (Argument("sets"), f"[{number}] must be a data set of pairs, got {type(one).__name__}.")
                raise InvalidValueError(what, field="sets", value=one)
            if getattr(one, "endless", False):
                what = (Argument("sets"), f"[{number}] is endless.")
                raise InvalidValueError(what, fix="Give its request a count.", field="sets", value=one)
            if (found := _arrays(one)) != (wanted := _arrays(self.sets[0])):
                raise InvalidValueError(
                    (Argument("sets"), f"[{number}] has {_shown(found)}, but the first has {_shown(wanted)}."),
                    why="Samples of one batch must have the same arrays.",
                    fix="Make them with the same size_px, kernel_size_px and kind of sources.",
                    field="sets",
                    value=one,
                )
        self.weights = tuple(float(len(one)) for one in self.sets) if weights is None else tuple(weights)
        if len(self.weights) != len(self.sets) or not all(0 < w < math.inf for w in self.weights):
            raise InvalidValueError(
                (Argument("weights"), f" must be a number > 0 for each of {len(self.sets)} sets, got {weights!r}."),
                field="weights",
                value=weights,
            )
        self._ends = list(accumulate(map(len, self.sets)))
        length = self._ends[-1] if epoch_length is None else epoch_length
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise InvalidValueError(
                (Argument("epoch_length"), f" must be an integer >= 1, got {epoch_length!r}."),
                field="epoch_length",
                value=epoch_length,
            )
        self.epoch_length = length

    def __len__(self) -> int:
        return self._ends[-1]

    def sample(self, index: int) -> Sample:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        return [replace(sample, index=i) for i, sample in self._gathered(indices, "__getitems__")]

    def _pixels(self, indices: Sequence[int]) -> Sequence[Mapping[str, Any]]:
        return [{**sample, "index": i} for i, sample in self._gathered(indices, "_pixels")]

    def _gathered(self, indices: Sequence[int], read: str) -> list[tuple[int, Any]]:
        """Several samples with their indices, each set asked once for its own."""
        chosen = np.array([self._checked(i) for i in indices], np.int64)
        owner = np.searchsorted(self._ends, chosen, side="right")
        found: list[Any] = [None] * len(chosen)
        for number in np.unique(owner).tolist():
            places = np.flatnonzero(owner == number).tolist()
            begins = self._ends[number] - len(self.sets[number])
            samples = getattr(self.sets[number], read)([int(chosen[place]) - begins for place in places])
            for place, sample in zip(places, samples, strict=True):
                found[place] = int(chosen[place]), sample
        return found

    def __repr__(self) -> str:
        parts = ", ".join(f"{weight:g} x {one!r}" for weight, one in zip(self.weights, self.sets, strict=True))
        return f"Mixture({parts})"


def _arrays(pairs: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """What is batched of a data set: shape and type of each array."""
    return {a.name: (tuple(a.shape), a.dtype) for a in pairs.spec.arrays if a.name != "params"}


def _shown(arrays: dict[str, tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, shape))} {dtype}" for name, (shape, dtype) in arrays.items())
