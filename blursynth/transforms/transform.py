"""Transforms: :class:`RandomBlur` and :class:`Blur`."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from blursynth.core import Degradation, Draw, apply
from blursynth.degradations.tone.srgb import Decode, Encode
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame
from blursynth.recipe.recipe import Recipe, load_recipe
from blursynth.records.streams import Stream
from blursynth.transforms.forms import depth_like, opened

if TYPE_CHECKING or find_spec("torch") is not None:
    from torch import Generator
    from torch.nn import Module
else:

    class Module:
        """Stand-in for torch.nn.Module, with the same way of calling it."""

        def __call__(self, *arguments: Any, **named: Any) -> Any:
            return self.forward(*arguments, **named)

    Generator = type(None)

__all__ = ["Blur", "BlurredSharp", "RandomBlur"]

Returns = Literal["blurred", "pair"]


class BlurredSharp(NamedTuple):
    """A blurred picture and its sharp target on the same pixel grid: the input and the ground truth of a network.

    The target is the same scene through the same camera without blur, noise, mosaic and compression. It has the
    camera's tone curve, for example, so it equals the given picture only if a recipe says ``target = "source"`` or
    changes nothing else.
    """

    blurred: Any
    sharp: Any


class _Transform(Module):
    """Base of both transforms: conversion of pictures, and the returned type."""

    def __init__(self, returns: Returns) -> None:
        super().__init__()
        if returns not in ("blurred", "pair"):
            raise InvalidValueError(
                f"returns must be 'blurred' or 'pair', got {returns!r}.", field="returns", value=returns
            )
        self.returns = returns

    def _draws(self, frame: Frame) -> Sequence[Draw]:
        """One draw per picture."""
        raise NotImplementedError

    def forward(self, picture: Any, *others: Any, depth: Any = None) -> Any:
        """The blurred picture, or the pair.

        Parameters
        ----------
        picture
            A tensor, an array or a Pillow image; see :mod:`blursynth.transforms`.
        *others
            Further inputs (such as a label), returned unchanged after the picture.
        depth
            Meters along the optical axis, ``[H, W]`` or ``[B, H, W]``, for blurs that need it.
        """
        result = self._made(picture, depth)
        return (result, *others) if others else result

    def _made(self, picture: Any, depth: Any) -> Any:
        image, back = opened(picture)
        depth_m = None if depth is None else depth_like(image, depth)
        # Its values were validated by opened(); depth is validated by with_image.
        frame = Frame.unchecked(image, Encoding.DISPLAY).with_image(image, depth_m=depth_m)
        bit_depth = 8 if str(picture.dtype if hasattr(picture, "dtype") else "uint8").endswith("uint8") else 16
        try:
            draws = [_of_pictures(draw, bit_depth) for draw in self._draws(frame)]
            blurred = apply(draws, frame)
            sharp = apply([draw.target_draw() for draw in draws], frame) if self.returns == "pair" else None
        except InvalidValueError as error:
            if error.field != "depth_m" or depth is not None:
                raise
            raise InvalidValueError(
                f"{self!r} needs the depth of the picture.",
                why=error.why,
                fix="Pass the distances in meters, as in transform(picture, depth=depth).",
                field="depth",
            ) from None
        return back(blurred.image) if sharp is None else BlurredSharp(back(blurred.image), back(sharp.image))


class RandomBlur(_Transform):
    """Blur pictures with a recipe, drawing new parameters for every picture.

    It composes with transforms of ``torchvision.transforms.v2`` and is a ``torch.nn.Module`` if torch is installed. It
    takes tensors, arrays and Pillow images, and returns the same type, dtype, layout and device. Every picture of a
    batch gets its own parameters.

    Parameters
    ----------
    recipe
        A :class:`~blursynth.Recipe`, the name of a built-in one, or the path of a ``.toml`` file. A recipe that takes
        light instead of display pictures is put between a ``decode`` and an ``encode`` step (sRGB).
    returns
        ``"blurred"``, or ``"pair"`` for a :class:`BlurredSharp`. The sharp picture of a pair has passed through the
        same camera without blur, so use it as the target instead of the given picture.
    seed
        The ``i``-th picture passed to this transform has the draw ``recipe.sample(frame, seed=seed, index=i)``. Each
        worker of a ``DataLoader`` has its own seed, derived from this one and the worker's.
    generator
        A ``torch.Generator`` to draw seeds from, instead of torch's global one.

    Raises
    ------
    RecipeError
        There is no such recipe.
    InvalidValueError
        The recipe takes or gives raw sensor values, both a seed and a generator are given, or (when called) the input
        is not a picture, or lacks the depth that the recipe needs.

    Notes
    -----
    Without ``seed`` and ``generator``, each picture takes one number from torch's global generator, like transforms of
    torchvision, so ``torch.manual_seed`` controls the draws. In every case, the workers of a ``DataLoader`` draw
    different numbers, and new ones in every epoch, controlled by the loader's own generator; the same seeds give the
    same pictures again. In a program that has not loaded torch, seeds come from the operating system.

    On the CPU, a picture is byte-identical to the result of ``recipe.sample(...).pair(frame)``. Tensors on another
    device are blurred there. Gradients are passed on to tensors that require them.

    Beyond its edge, a picture is continued according to the ``border`` of each step, by default mirrored, even if it is
    smaller than the reach of the blur. Real light comes from beyond the edge, so blur first, then crop.

    ``draws`` holds the draws of the latest call, one :class:`~blursynth.Draw` per picture.

    As with every transform, the ranks of a distributed training draw the same numbers if they are given the same seed;
    give each rank its own.

    Examples
    --------
    >>> import numpy as np
    >>> import blursynth as bs
    >>> blur = bs.transforms.RandomBlur("clean", seed=7, returns="pair")
    >>> picture = np.full((24, 32, 3), 128, np.uint8)
    >>> blurred, sharp = blur(picture)
    >>> blurred.shape, sharp.dtype
    ((24, 32, 3), dtype('uint8'))
    >>> frame = bs.Frame.from_uint8(picture)
    >>> blur.draws[0] == bs.load_recipe("clean").sample(frame, seed=7, index=0)
    True

    With torchvision, ``v2.Compose([v2.RandomCrop(256), RandomBlur("mixed"), v2.ToDtype(torch.float32, scale=True)])``.
    """

    def __init__(
        self,
        recipe: Recipe | str | Path,
        *,
        returns: Returns = "blurred",
        seed: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(returns)
        self.recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
        _check_encodings(self.recipe.name, self.recipe.takes, self.recipe.gives)
        if seed is not None and generator is not None:
            raise InvalidValueError("Give either a seed or a generator, got both.", field="generator", value=generator)
        if generator is not None and not isinstance(generator, Generator):
            raise InvalidValueError(
                f"generator must be a torch.Generator, got {type(generator).__name__}.",
                fix="Use seed= for an integer.",
                field="generator",
                value=generator,
            )
        if seed is not None:
            Stream(seed, 0, "")  # validates the seed
        self.seed, self.generator = seed, generator
        self.draws: tuple[Draw, ...] = ()
        self._worker: int | None = None
        self._count = 0

    def _draws(self, frame: Frame) -> Sequence[Draw]:
        numbers = [self._next() for _ in range(len(frame))]
        self.draws = tuple(
            self.recipe.sample(one, seed=seed, index=index) for one, (seed, index) in zip(frame, numbers, strict=True)
        )
        return self.draws

    def _next(self) -> tuple[int, int]:
        """Seed and index of the next picture."""
        worker = _worker_seed()
        if self.seed is not None:
            if worker != self._worker:  # a copy in another process starts over with its own seed
                self._worker, self._count = worker, 0
            self._count += 1
            return _of_worker(self.seed, worker), self._count - 1
        torch: Any = sys.modules.get("torch")
        if torch is None:
            return secrets.randbits(63), 0
        if self.generator is None:  # in a worker, the global generator is the worker's own
            return int(torch.randint(2**63 - 1, ())), 0
        number = int(torch.randint(2**63 - 1, (), generator=self.generator, device=self.generator.device))
        return _of_worker(number, worker), 0

    def __repr__(self) -> str:
        named = {"returns": self.returns, "seed": self.seed} if self.seed is not None else {"returns": self.returns}
        return f"RandomBlur({self.recipe.name!r}, {', '.join(f'{k}={v!r}' for k, v in named.items())})"


class Blur(_Transform):
    """Blur pictures with one degradation or draw, with the same parameters for every picture.

    A transform like :class:`RandomBlur`, but without randomness. Even noise is the same in every picture, since the
    record of a degradation holds its seed.

    Parameters
    ----------
    blur
        A degradation, such as ``kinds.LinearMotion(length_px=9.0)``, or a :class:`~blursynth.Draw`. If it takes light,
        it is put between a ``decode`` and an ``encode`` step (sRGB).
    returns
        ``"blurred"``, or ``"pair"`` for a :class:`BlurredSharp`.

    Raises
    ------
    InvalidValueError
        It takes or gives raw sensor values, or (when called) the input is not a picture or lacks depth.

    Examples
    --------
    >>> import numpy as np
    >>> import blursynth as bs
    >>> blur = bs.transforms.Blur(bs.kinds.GaussianBlur(sigma_px=1.5))
    >>> point = np.zeros((1, 9, 9, 3), np.float32)
    >>> point[0, 4, 4] = 1.0
    >>> blur(point)[0, 3:6, 4, 1].round(2)
    array([0.26, 0.29, 0.26], dtype=float32)
    """

    def __init__(self, blur: Degradation | Draw, *, returns: Returns = "blurred") -> None:
        super().__init__(returns)
        if not isinstance(blur, Degradation | Draw):
            raise InvalidValueError(
                f"Blur takes a degradation or a draw, got {type(blur).__name__}.",
                fix="Use RandomBlur for a recipe, since its parameters are still to be drawn.",
                field="blur",
                value=blur,
            )
        self.draw = Draw(((blur.kind, blur),)) if isinstance(blur, Degradation) else blur
        _check_encodings("The draw", *_encodings(self.draw))

    def _draws(self, frame: Frame) -> Sequence[Draw]:
        return (self.draw,) * len(frame)

    def __repr__(self) -> str:
        return f"Blur({', '.join(repr(step) for _, step in self.draw.steps)}, returns={self.returns!r})"


def _of_pictures(draw: Draw, bit_depth: int) -> Draw:
    """The draw for display pictures: put between decoding and encoding if it works on light."""
    takes, gives = _encodings(draw)
    before = (("decode", Decode()),) if takes is Encoding.LINEAR else ()
    after = (("encode", Encode(bit_depth=bit_depth)),) if gives is Encoding.LINEAR else ()
    return Draw((*before, *draw.steps, *after), draw.target)


def _encodings(draw: Draw) -> tuple[Encoding | None, Encoding | None]:
    """The encodings it takes and gives; None if it keeps any encoding."""
    takes = next((step.takes for _, step in draw.steps if step.takes is not None), None)
    gives = next((step.gives for _, step in reversed(draw.steps) if step.gives is not None), None)
    return takes, gives


def _check_encodings(name: str, takes: Encoding | None, gives: Encoding | None) -> None:
    if Encoding.RAW in (takes, gives):
        raise InvalidValueError(
            f"A transform turns display pictures into display pictures, but {name} takes {takes} and gives {gives}.",
            why="Raw sensor values are not a picture yet.",
            fix="Start after the sensor, or end with develop and encode steps.",
        )


def _worker_seed() -> int | None:
    """The seed of the current DataLoader worker, a new one in every epoch; None elsewhere."""
    data: Any = sys.modules.get("torch.utils.data")
    worker = None if data is None else data.get_worker_info()
    return None if worker is None else worker.seed % 2**63


def _of_worker(seed: int, worker: int | None) -> int:
    return seed if worker is None else Stream(seed, worker, "worker").seed63()
