"""The core abstraction: a degradation is an immutable record of plain numbers that replays by being called."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np

from blursynth.errors import InvalidValueError, RecipeError, did_you_mean
from blursynth.frame import Encoding, Frame
from blursynth.records.kind import Kind, find_kind

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
        """What the sharp target passes through instead: nothing, for what is to be restored."""
        return Identity()

    def reach_px(self, frame: Frame) -> int | None:
        """How far, in px, a pixel's light may travel; None when unbounded (such a step cannot be tiled)."""
        return 0

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
    """Refuse what is no frame, such as an array; ``what`` acts on it."""
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

    def __call__(self, frame: Frame, *, margin_px: int = 0) -> Frame:
        """Blur every picture of the frame.

        Parameters
        ----------
        frame
            What the first step takes.
        margin_px
            Width of a margin that the frame has and the result has not. Each step's share of it is cut off as soon as
            no later step needs it. With ``margin_px >= reach_px(frame)`` no border of the frame touches the result.

        Raises
        ------
        InvalidValueError
            The margin is smaller than the reach of the steps, or leaves nothing of the frame.
        """
        if margin_px == 0:
            return apply((self,) * len(frame), frame)
        reaches = self._reaches_px(frame)
        if None in reaches or sum(cast(list[int], reaches)) > margin_px:
            reach_px = None if None in reaches else sum(cast(list[int], reaches))
            raise InvalidValueError(
                f"margin_px must be at least the reach of the steps, {reach_px} px, got {margin_px}.",
                why="Pixels nearer to the edge of the frame lack light from beyond it.",
                fix="Give the frame a wider margin, or use margin_px=0 and let each step's border decide.",
            )
        left = sum(cast(list[int], reaches))
        frame = _without_margin(frame, margin_px - left)
        for (_, step), reach in zip(self.steps, cast(list[int], reaches), strict=True):
            frame = _without_margin(step(frame), reach)
        return frame

    def target_draw(self) -> Draw:
        """What the sharp picture passes through."""
        if self.target == "source":
            return Draw(tuple((name, Identity()) for name, _ in self.steps))
        return Draw(tuple((name, step.target()) for name, step in self.steps))

    def pair(self, frame: Frame, *, margin_px: int = 0) -> Pair:
        """The sharp target and the blurred picture of a frame; ``margin_px`` as in :meth:`__call__`."""
        if self.target == "source":
            return Pair(sharp=_without_margin(frame, margin_px), blurred=self(frame, margin_px=margin_px))
        # What both pictures pass through alike at the start (decoding, the scene's depth) runs once.
        rest = self
        while rest.steps and (step := rest.steps[0][1]).target() == step:
            reach = step.reach_px(frame) if margin_px else 0
            if reach != 0:
                needed = rest.reach_px(frame)  # the later steps' reach may cost time to find
                if reach is None or needed is None or needed > margin_px:
                    break  # refused below
            frame = _without_margin(Draw(rest.steps[:1])(frame), reach)
            margin_px -= reach
            rest = Draw(rest.steps[1:])
        return Pair(sharp=rest.target_draw()(frame, margin_px=margin_px), blurred=rest(frame, margin_px=margin_px))

    def reach_px(self, frame: Frame) -> int | None:
        """The margin in px within which the pixels of a window find all their light; None if unbounded.

        Where a reach depends on the depth, the frame must show all of it: the window with a margin of this width.
        """
        reaches = self._reaches_px(frame)
        return None if None in reaches else sum(cast(list[int], reaches))

    def _reaches_px(self, frame: Frame) -> list[int | None]:
        reaches = []
        for _, step in self.steps:
            reaches.append(step.reach_px(frame))
            frame = step.geometry(frame)
        return reaches

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


def apply(draws: Sequence[Draw], frame: Frame) -> Frame:
    """``draws[b]`` acts on picture ``b``; steps of one kind run as one call over the batch.

    Raises
    ------
    InvalidValueError
        Not one draw per picture, draws of different length, or a step that does not take the frame's encoding.
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
    for position in range(lengths.pop() if lengths else 0):
        steps = [d.steps[position][1] for d in draws]
        groups: dict[type[Degradation], list[int]] = {}
        for b, step in enumerate(steps):
            groups.setdefault(type(step), []).append(b)
        for kind in groups:
            _check_encoding(kind, frame)
        if len(groups) == 1:
            (kind,) = groups
            frame = kind.apply(steps, frame)
            continue
        parts = [kind.apply([steps[b] for b in chosen], frame[chosen]) for kind, chosen in groups.items()]
        order = np.argsort(np.concatenate([np.asarray(chosen) for chosen in groups.values()]))
        frame = Frame.stack(parts)[order.tolist()]
    return frame


def _without_margin(frame: Frame, margin_px: int) -> Frame:
    height, width = frame.size_px
    return frame.crop(margin_px, margin_px, height - 2 * margin_px, width - 2 * margin_px) if margin_px else frame


BorderName = Literal["reflect", "replicate", "circular", "constant"]
