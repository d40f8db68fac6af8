"""The core abstraction: a degradation is an immutable record of plain numbers that replays by being called."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError, RecipeError, did_you_mean
from blursynth.frame import Encoding, Frame
from blursynth.records.kind import Kind, find_kind

if TYPE_CHECKING:
    from blursynth.physics.point_spread import PointSpreads

__all__ = ["Degradation", "Draw", "Identity", "Pair", "apply"]


class Degradation(Kind):
    """One thing that happens to light or to a picture on its way through the camera.

    Subclasses are final records with an :meth:`apply`; ``takes`` and ``gives`` say which encoding they work on
    (None: any, kept as it is).
    """

    takes: ClassVar[Encoding | None] = Encoding.LINEAR
    gives: ClassVar[Encoding | None] = Encoding.LINEAR
    sets_geometry: ClassVar[bool] = False
    """Whether it sets depth, labels or camera of the frame and leaves every pixel as it is."""
    makes_light: ClassVar[bool] = False
    """Whether it makes light of codes (decodes, or extends what was clipped): a frame of light does not need it."""
    codes_for_light: ClassVar[Mapping[str, float]] = {}
    """Numbers with which a kind that makes light leaves codes as they are: those of chains that work on codes."""
    code_bits: ClassVar[int | None] = None
    """Bits of the codes that it writes, whatever it is given: those of a file format."""
    varies: ClassVar[bool] = False
    """Whether its blur differs from pixel to pixel, so that no single kernel stands for it."""
    blurs: ClassVar[bool] = False
    """Whether it spreads light over pixels by its numbers alone, without noise: what deblurring undoes."""

    @classmethod
    def example(cls) -> Self:
        """A record that shows what the kind does: the first of each field's ``examples``, else its default."""
        fields = {name: field.examples[0] for name, field in cls.model_fields.items() if field.examples}
        return cls(**({"seed": 1} if "seed" in cls.model_fields else {}), **fields)

    @classmethod
    @abstractmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        """``steps[b]`` acts on picture ``b`` of the frame, which is not changed."""

    def target(self) -> Degradation:
        """What the sharp target passes through instead: nothing, for what is to be restored.

        It reaches no further than the step itself.
        """
        return Identity()

    def reach_px(self, frame: Frame) -> int | None:
        """How far, in px, a pixel's light may travel; None when unbounded (such a step cannot be tiled)."""
        return 0

    def point_spread(self) -> PointSpreads | None:
        """What a point of light becomes, a batch of one; None where the step ``varies``, or does not blur."""
        return None

    def for_light(self) -> Degradation:
        """What a recipe draws in its place for a frame that is light already: nothing for what makes light of codes."""
        return Identity() if self.makes_light else self

    def geometry(self, frame: Frame) -> Frame:
        """The frame as later steps see it for their reach and their draws: depth, labels and camera after this step."""
        return type(self).apply((self,) * len(frame), frame) if self.sets_geometry else frame

    def assets(self) -> tuple[str, ...]:
        """Digests of the measured kernels and recorded paths that this record refers to."""
        return ()

    def __call__(self, frame: Frame) -> Frame:
        _check_encoding(type(self), frame)
        return type(self).apply((self,) * len(frame), frame)

    @staticmethod
    def from_dict(values: Mapping[str, Any], kinds: Iterable[type[Degradation]]) -> Degradation:
        """The inverse of :meth:`to_dict` among the given kinds.

        Raises
        ------
        RecipeError
            There is no such kind.
        InvalidValueError
            A field is unknown, missing or out of range.
        """
        fields = dict(values)
        kind = find_kind(fields.pop("kind", None), kinds, error=RecipeError)
        return kind(**fields)


def check_frame(what: str, frame: object) -> None:
    """Refuse what is not a frame, such as an array; ``what`` acts on it."""
    if not isinstance(frame, Frame):
        raise InvalidValueError(
            f"{what} acts on a Frame, got {type(frame).__name__}.",
            why="An array alone does not say what its numbers mean.",
            fix="Write blursynth.Frame(array, 'linear'), blursynth.Frame.from_uint8(array) or "
            "blursynth.read_frame(path).",
        )


def _check_encoding(kind: type[Degradation], frame: Frame) -> None:
    check_frame(kind.kind, frame)
    if kind.takes is not None and frame.encoding is not kind.takes:
        hints = {
            (
                Encoding.LINEAR,
                Encoding.DISPLAY,
            ): "Put a decode step before it: blur happens to light, not to file codes.",
            (
                Encoding.DISPLAY,
                Encoding.LINEAR,
            ): "Put an encode step before it. (A recipe draws no decode step for frames that are light already.)",
            (Encoding.LINEAR, Encoding.RAW): "Put a develop step before it.",
            (Encoding.RAW, Encoding.LINEAR): "Put a sensor step before it.",
        }
        raise InvalidValueError(
            f"{kind.kind} takes a {kind.takes} frame, got a {frame.encoding} one.",
            fix=hints.get((kind.takes, frame.encoding), ""),
        )


class Identity(Degradation):
    """Leaves the frame as it is: the target of whatever is to be restored, and an option of ``one_of``."""

    takes: ClassVar[Encoding | None] = None
    gives: ClassVar[Encoding | None] = None

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        return frame


@dataclass(frozen=True)
class Pair:
    """The two pictures of a training sample, on the same pixel grid."""

    sharp: Frame
    blurred: Frame


Target = Literal["scene", "source"]


@dataclass(frozen=True)
class Draw:
    """Everything that happens to one picture: named degradations with no randomness left.

    Calling it blurs a frame; :meth:`pair` gives the sharp target beside it; :meth:`to_dict` is the provenance record.
    """

    steps: tuple[tuple[str, Degradation], ...]
    target: Target = "scene"
    """What the sharp picture of a pair is: ``scene``, the same scene through the same camera without blur, noise,
    mosaic and compression, or ``source``, the picture as it was given."""

    def __getitem__(self, name: str) -> Degradation:
        for step, degradation in self.steps:
            if step == name:
                return degradation
        raise InvalidValueError(f"The draw has no step {name!r}.", fix=did_you_mean(name, [n for n, _ in self.steps]))

    def __call__(self, frame: Frame, *, window: Window | None = None, margin_px: int = 0) -> Frame:
        """Blur every picture of the frame, or a window of it: see :func:`apply`."""
        return apply((self,) * len(frame), frame, window=window, margin_px=margin_px)

    def target_draw(self) -> Draw:
        """What the sharp picture passes through."""
        if self.target == "source":
            return Draw(tuple((name, Identity()) for name, _ in self.steps))
        return Draw(tuple((name, step.target()) for name, step in self.steps))

    def pair(self, frame: Frame, *, window: Window | None = None, margin_px: int = 0) -> Pair:
        """The sharp target and the blurred picture of a frame, or of a window of it.

        Parameters
        ----------
        frame, window, margin_px
            As :func:`apply` takes them.

        Notes
        -----
        A data set looks at no more than the window when it draws: ``recipe.sample(frame.crop(*window))``.

        Examples
        --------
        >>> frame = Frame(np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64), "linear")
        >>> Draw((("nothing", Identity()),)).pair(frame, window=(8, 0, 32, 48)).blurred
        Frame(1x1x32x48 linear)
        """
        check_frame("a draw", frame)
        window, needs = _around((self,) * len(frame), frame, window, margin_px)
        # What both pictures pass through alike at the start (decoding, the scene's depth) runs once.
        differ = (n for n, (_, step) in enumerate(self.steps) if self.target == "source" or step.target() != step)
        alike = next(differ, len(self.steps))
        first, rest = Draw(self.steps[:alike]), Draw(self.steps[alike:], self.target)
        frame, window = _through((first,) * len(frame), frame, window, needs[: alike + 1])
        blurred, _ = _through((rest,) * len(frame), frame, window, needs[alike:])
        return Pair(sharp=rest.target_draw()(frame, window=window), blurred=blurred)

    def kernel(self, *, normalized: bool = True) -> NDArray[np.float64] | None:
        """The blurs of all steps convolved with one another: what a point of light becomes.

        Parameters
        ----------
        normalized
            Whether the kernel is scaled to a sum of 1. Without it the sum is the light that arrives, which some
            published kernels of short exposures have less of.

        Returns
        -------
        ndarray or None
            ``[K, K]``, K odd, zero shift in the middle; ``[[1]]`` of a draw that does not blur. None where the blur
            differs from pixel to pixel, so that no single kernel stands for it.

        Not modeled: what happens between and after the blurs (clipping, demosaicking, resampling, sharpening,
        compression).
        """
        if any(step.varies for _, step in self.steps):
            return None
        total = np.ones((1, 1))
        for _, step in self.steps:
            if (spread := step.point_spread()) is not None:
                total = _convolved(total, spread.to_dense())
        return total / total.sum() if normalized and total.sum() > 0 else total

    @property
    def is_circular(self) -> bool:
        """Whether a step continues the picture by its other side, which no window shows."""
        return any(getattr(step, "border", None) == "circular" for _, step in self.steps)

    def reach_px(self, frame: Frame) -> int | None:
        """The margin in px within which the pixels of a window find all their light; None if unbounded.

        Where a reach depends on the depth, the frame must show all of it: the window with a margin of this width.
        """
        needs = _needs_px((self,), frame)
        return None if needs is None else needs[0]

    def assets(self) -> tuple[str, ...]:
        return tuple(digest for _, step in self.steps for digest in step.assets())

    def to_dict(self) -> dict[str, Any]:
        """``{"step": [{"name": ..., "kind": ..., field: value, ...}, ...]}``: a recipe with nothing left random.

        ``"target": "source"`` stands beside it where the sharp picture is the source itself.
        """
        steps = [{"name": name, **step.to_dict()} for name, step in self.steps]
        return {"step": steps} if self.target == "scene" else {"target": self.target, "step": steps}

    @staticmethod
    def from_dict(values: Mapping[str, Any], kinds: Iterable[type[Degradation]]) -> Draw:
        """The draw of :meth:`to_dict`.

        Raises
        ------
        InvalidValueError
            It has another form, or a step has numbers outside their range.
        RecipeError
            A step is of no known kind.
        """
        kinds = tuple(kinds)
        entries = values.get("step") if isinstance(values, Mapping) else None
        if not isinstance(entries, list | tuple) or not all(isinstance(entry, Mapping) for entry in entries):
            raise InvalidValueError(
                "A draw is made of a table with a list of steps, each a table with kind and fields, got "
                f"{type(values).__name__ if entries is None else type(entries).__name__}.",
                fix="It is what Draw.to_dict gives: {'step': [{'name': ..., 'kind': ..., ...}, ...]}.",
            )
        target = values.get("target", "scene")
        if target not in ("scene", "source"):
            raise InvalidValueError(f"The target of a draw must be 'scene' or 'source', got {target!r}.")
        steps = []
        for entry in entries:
            fields = dict(entry)
            name = fields.pop("name", fields.get("kind"))
            if not isinstance(name, str):
                raise InvalidValueError(f"The name of a step must be a string, got {name!r}.")
            steps.append((name, Degradation.from_dict(fields, kinds)))
        return Draw(tuple(steps), target)


_LOOK_PX = 64  # around a window, of what its reach may depend on: most reach less far, so that one look is enough

Window = tuple[int, int, int, int]
"""A part of a frame: top, left, height and width in px of the frame, as :meth:`Frame.crop` takes them."""


def apply(draws: Sequence[Draw], frame: Frame, *, window: Window | None = None, margin_px: int = 0) -> Frame:
    """``draws[b]`` acts on picture ``b``; steps of one kind run as one call over the batch.

    Parameters
    ----------
    draws
        One per picture, all of as many steps.
    frame
        What the first step takes.
    window
        The part of the frame that comes back. It is the same part of the whole result (up to rounding where a
        transform or a warp sees less), for the work of the part and of what its light comes from: each step's share of
        that is cut off as soon as no later step needs it. Where a step's reach is unbounded, it sees the whole frame.
    margin_px
        Width of a margin that the frame has and the result has not; like the window inside the margin, but no border of
        the frame may touch the result.

    Raises
    ------
    InvalidValueError
        Not one draw per picture, draws of different length, a step that does not take the frame's encoding, a window
        outside the frame, or a margin smaller than the reach of the steps.
    """
    given: object = draws
    if not isinstance(given, Sequence) or not all(isinstance(draw, Draw) for draw in given):
        kinds = (
            {type(draw).__name__ for draw in given} if isinstance(given, Sequence) else {f"one {type(given).__name__}"}
        )
        got = ", ".join(sorted(kinds))
        raise InvalidValueError(
            f"apply takes a list of draws, one per picture, got {got}.",
            fix="A single draw or degradation is called with the frame: draw(frame).",
        )
    check_frame("apply", frame)
    if len(draws) != len(frame):
        raise InvalidValueError(f"apply needs one draw per picture, got {len(draws)} for {len(frame)}.")
    lengths = {len(d.steps) for d in draws}
    if len(lengths) > 1:
        raise InvalidValueError(
            f"Draws of one batch must come from one recipe, got draws of {sorted(lengths)} steps.",
            fix="Apply them one by one.",
        )
    return _through(draws, frame, *_around(draws, frame, window, margin_px))[0]


def _around(
    draws: Sequence[Draw], frame: Frame, window: Window | None, margin_px: int
) -> tuple[Window | None, Sequence[int]]:
    """The window that comes back (None: all), and how many px around it each step and the result need."""
    steps = len(draws[0].steps) if draws else 0
    if window is None and margin_px == 0:
        return None, (0,) * (steps + 1)
    if window is None:
        needs = _needs_px(draws, frame)
        if needs is None or needs[0] > margin_px:
            raise InvalidValueError(
                f"margin_px must be at least the reach of the steps, {needs and needs[0]} px, got {margin_px}.",
                why="Pixels nearer to the edge of the frame lack light from beyond it.",
                fix="Give the frame a wider margin, or use margin_px=0 and let each step's border decide.",
            )
        height, width = frame.size_px
        return (margin_px, margin_px, height - 2 * margin_px, width - 2 * margin_px), needs
    if margin_px:
        raise InvalidValueError("A window and a margin cannot be asked for at once.", fix="Leave one of them out.")
    frame.crop(*window)  # refuses what lies outside
    top, left, height, width = window
    room = min(top, left, frame.size_px[0] - top - height, frame.size_px[1] - left - width)
    circular, needed = any(draw.is_circular for draw in draws), _LOOK_PX
    while True:
        # A reach may depend on the depth, so it is that of the window with what is around it.
        part, _ = _cut(frame, window, needed)
        needs = _needs_px(draws, part)
        if needs is None or (circular and needs[0] > room):
            return window, (max(frame.size_px),) * steps + (0,)
        if needs[0] <= needed or part is frame:
            return window, needs
        needed = needs[0]


def _needs_px(draws: Sequence[Draw], frame: Frame) -> list[int] | None:
    """How many px around a window are needed before each step and after the last; None: unbounded."""
    alike = all(draw is draws[0] for draw in draws)
    needs = [0] * (len(draws[0].steps) + 1)
    for draw, pictures in [(draws[0], frame)] if alike else zip(draws, frame, strict=True):
        reaches = []
        for _, step in draw.steps:
            if (reach := step.reach_px(pictures)) is None:
                return None
            reaches.append(reach)
            pictures = step.geometry(pictures)
        needs = list(map(max, needs, [*accumulate(reversed(reaches), initial=0)][::-1]))
    return needs


def _through(
    draws: Sequence[Draw], frame: Frame, window: Window | None, needs: Sequence[int]
) -> tuple[Frame, Window | None]:
    """A frame after all steps, cut to the window and what is needed around it; and the window in what is left."""
    frame, window = _cut(frame, window, needs[0])
    for position, needed in enumerate(needs[1:]):
        frame = _step([draw.steps[position][1] for draw in draws], frame)
        frame, window = _cut(frame, window, needed)
    return frame, window


def _cut(frame: Frame, window: Window | None, around_px: int) -> tuple[Frame, Window | None]:
    """A window with so many px around it as far as the frame has them, and the window in it."""
    if window is None:
        return frame, None
    top, left, height, width = window
    rows, columns = frame.size_px
    first, last = max(0, top - around_px), min(rows, top + height + around_px)
    begin, end = max(0, left - around_px), min(columns, left + width + around_px)
    if (first, begin, last, end) != (0, 0, rows, columns):
        frame = frame.crop(first, begin, last - first, end - begin)
    return frame, (top - first, left - begin, height, width)


def _step(steps: Sequence[Degradation], frame: Frame) -> Frame:
    """``steps[b]`` acts on picture ``b``, those of one kind in one call."""
    groups: dict[type[Degradation], list[int]] = {}
    for b, step in enumerate(steps):
        groups.setdefault(type(step), []).append(b)
    for kind in groups:
        _check_encoding(kind, frame)
    if len(groups) == 1:
        (kind,) = groups
        return kind.apply(steps, frame)
    parts = [kind.apply([steps[b] for b in chosen], frame[chosen]) for kind, chosen in groups.items()]
    order = np.argsort(np.concatenate([np.asarray(chosen) for chosen in groups.values()]))
    return Frame.stack(parts)[order.tolist()]


def _convolved(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Full convolution of two small kernels: the sum of shifted copies of one."""
    out = np.zeros((a.shape[0] + b.shape[0] - 1, a.shape[1] + b.shape[1] - 1))
    for row, column in zip(*np.nonzero(a), strict=True):
        out[row : row + b.shape[0], column : column + b.shape[1]] += a[row, column] * b
    return out


BorderName = Literal["reflect", "replicate", "circular", "constant"]
