"""The core abstraction: a degradation is an immutable record of plain values; calling it replays it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.errors import InvalidValueError, RecipeError, did_you_mean
from blursynth.frame import Encoding, Frame, Window
from blursynth.records.kind import Kind, find_kind, make

if TYPE_CHECKING:
    from blursynth.physics.point_spread import PointSpreads

__all__ = ["TARGETS", "Degradation", "Draw", "Identity", "Pair", "ShortExposure", "Target", "apply", "as_target"]


class Degradation(Kind):
    """One thing that happens to light or to a picture on its way through the camera.

    Subclasses are final records with an :meth:`apply`; ``takes`` and ``gives`` are their input and output encodings
    (None: any encoding, which is kept).
    """

    takes: ClassVar[Encoding | None] = Encoding.LINEAR
    gives: ClassVar[Encoding | None] = Encoding.LINEAR
    in_target: ClassVar[bool] = False
    """Whether the sharp target passes through it, too. If not, it is to be restored."""
    sets_geometry: ClassVar[bool] = False
    """Whether it sets depth, labels or camera of the frame and leaves all pixels unchanged."""
    makes_light: ClassVar[bool] = False
    """Whether it turns codes into light (decodes, or extends clipped values), which a linear frame does not need."""
    codes_for_light: ClassVar[Mapping[str, float]] = {}
    """Parameters with which a kind that makes light leaves codes unchanged, for chains that work on codes."""
    code_bits: ClassVar[int | None] = None
    """Bits of the codes that it writes, whatever its input: those of a file format."""
    varies: ClassVar[bool] = False
    """Whether its blur differs from pixel to pixel, so that no single kernel represents it."""
    blurs: ClassVar[bool] = False
    """Whether it spreads light over pixels deterministically, without noise: what deblurring undoes."""

    in_one_call: ClassVar[bool] = False
    """Whether kinds that share this :meth:`apply` may be applied in one call: it asks the steps, and not the class."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "apply" in cls.__dict__ and "apply_within" not in cls.__dict__:
            # That of the kind which it extends would pass over its own way of applying steps.
            cls.apply_within = Degradation.__dict__["apply_within"]  # type: ignore[method-assign]

    @classmethod
    def example(cls) -> Self:
        """A record that shows what the kind does: the first of each field's ``examples``, or else its default."""
        fields = {name: field.examples[0] for name, field in cls.model_fields.items() if field.examples}
        return cls(**({"seed": 1} if "seed" in cls.model_fields else {}), **fields)

    @classmethod
    @abstractmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        """Apply ``steps[b]`` to picture ``b`` of the frame, which is not modified."""

    @classmethod
    def apply_within(cls, steps: Sequence[Self], frame: Frame, window: Window) -> Frame:
        """The same window of :meth:`apply`, up to rounding; kinds override it that need not compute the rest."""
        return cropped(cls.apply(steps, frame), window)

    def target(self) -> Degradation:
        """The step that the sharp target passes through instead: itself if it is ``in_target``, or else nothing.

        It reaches no farther than the step itself.
        """
        return self if self.in_target else Identity()

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        """The step that a short exposure of the same camera passes through instead: by default itself.

        A kind of motion gives what happens during the fraction of the exposure, centered at zero shift; a kind of noise
        gives the same noise, weaker and independent; the step keeps its encodings.
        """
        return self

    def reach_px(self, frame: Frame) -> int | None:
        """How far, in px, the light of a pixel may travel; None if unbounded (such a step cannot be tiled)."""
        return 0

    def point_spread(self) -> PointSpreads | None:
        """The point spread, as a batch of one; None if the step ``varies`` or does not blur."""
        return None

    def for_light(self) -> Degradation:
        """What a recipe draws instead for a frame that is already linear: nothing, if this kind makes light."""
        return Identity() if self.makes_light else self

    def geometry(self, frame: Frame) -> Frame:
        """The frame as later steps see it for their reach and draws: with depth, labels and camera after this step."""
        return type(self).apply((self,) * len(frame), frame) if self.sets_geometry else frame

    def assets(self) -> tuple[str, ...]:
        """Names of the measured arrays (kernels, paths, curves) that this record refers to in its fields."""
        named = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value for value in named if isinstance(value, str) and value.startswith("sha256:"))

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


STEP_BETWEEN = {
    (Encoding.DISPLAY, Encoding.LINEAR): "Put a decode step before it: blur happens to light, not to file codes.",
    (Encoding.LINEAR, Encoding.DISPLAY): "Put an encode step before it.",
    (Encoding.RAW, Encoding.LINEAR): "Put a develop step before it.",
    (Encoding.LINEAR, Encoding.RAW): "Put a sensor step before it.",
}
"""How to make a frame of one encoding fit a step that takes another."""


def check_frame(what: str, frame: object) -> None:
    """Refuse anything but a frame, such as an array; ``what`` names the operation in the message."""
    if not isinstance(frame, Frame):
        raise InvalidValueError(
            f"{what} acts on a Frame, got {type(frame).__name__}.",
            why="An array alone does not say what its values mean.",
            fix="Write blursynth.Frame(array, 'linear'), blursynth.Frame.from_uint8(array) or "
            "blursynth.read_frame(path).",
        )


def _check_encoding(kind: type[Degradation], frame: Frame) -> None:
    check_frame(kind.kind, frame)
    if kind.takes is not None and frame.encoding is not kind.takes:
        light_as_codes = (frame.encoding, kind.takes) == (Encoding.LINEAR, Encoding.DISPLAY)
        raise InvalidValueError(
            f"{kind.kind} takes a {kind.takes} frame, got a {frame.encoding} one.",
            why="A recipe draws no decode step for frames that are already linear." if light_as_codes else "",
            fix=STEP_BETWEEN.get((frame.encoding, kind.takes), ""),
        )


class Identity(Degradation):
    """Leaves the frame unchanged. It is the target of degradations to be restored, and an option for ``one_of``."""

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


class Target(Kind):
    """What the sharp picture of a pair is: which step it passes through for every step of the blurred one."""

    suffix: ClassVar[str] = "Target"
    may_reach_farther: ClassVar[bool] = False
    """Whether its steps may reach farther than those of the blurred picture."""

    @abstractmethod
    def step(self, name: str, step: Degradation) -> Degradation:
        """The step of the sharp picture in place of the ``step`` with this name."""

    def unknown_steps(self, names: Collection[str]) -> tuple[str, ...]:
        """The steps that it names and that are not among these."""
        return ()

    def written(self) -> Any:
        """Plain values as in TOML and JSON: the name of the kind if it has no fields, or else a table."""
        return self.to_dict() if type(self).model_fields else self.kind


class SceneTarget(Target):
    """The same scene through the same camera without blur, noise, mosaic and compression."""

    def step(self, name: str, step: Degradation) -> Degradation:
        return step.target()


class SourceTarget(Target):
    """The picture as it was given."""

    def step(self, name: str, step: Degradation) -> Degradation:
        return Identity()


class ShortExposure(Target):
    """A short exposure of the same camera, as real pairs have it: through its lens, mosaic, development and file.

    The camera, and everything that moves, moves only during the ``fraction`` in the middle of the exposure, and the
    noise is weaker. Everything else is that of the blurred picture.

    The mean position during the short exposure is that of the scene (zero shift), and so is that of the blurred picture
    during its own, so the two are aligned. The pairs of real data sets are, too, where they have been registered. Not
    modeled: how far the middle of an exposure is from its mean, which pairs that were not registered show.

    Source: the pairs of RealBlur (Rim et al., ECCV 2020) and RSBlur (Rim et al., ECCV 2022) are such, of two sensors
    behind one lens; GoPro (Nah et al., CVPR 2017) and REDS take one frame of a video as the sharp picture.
    """

    may_reach_farther: ClassVar[bool] = True  # a part of a path, re-centered, may lie farther out than in the whole

    fraction: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="part of the exposure, in its middle, during which the short one's shutter is open; 0 is a moment",
    )
    noise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="standard deviation of its noise relative to that of the blurred picture: 0 is none, or .05 to 1; "
        "1 / sqrt(n) is the mean of n exposures, or one with n times the light",
    )
    quality: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="quality of its file (JPEG, WebP) is at least this; by default that of the blurred picture",
    )
    without: tuple[str, ...] = Field(
        default=(),
        description="names of steps that it does not pass through, although the camera has them: "
        "what they do is to be restored, too",
    )

    def model_post_init(self, context: object) -> None:
        if 0 < self.noise < LEAST_NOISE:
            raise ValueError(
                f"noise must be 0 or at least {LEAST_NOISE}, got {self.noise}; the mean of more than "
                f"{1 / LEAST_NOISE**2:.0f} exposures has no visible noise, so use 0."
            )

    def step(self, name: str, step: Degradation) -> Degradation:
        return step.target() if name in self.without else step.short_exposure(self)

    def unknown_steps(self, names: Collection[str]) -> tuple[str, ...]:
        return tuple(name for name in self.without if name not in names)

    @property
    def exposures(self) -> float:
        """How many exposures of the blurred picture's light have a mean with this noise, which is not 0."""
        return 1.0 / self.noise**2


LEAST_NOISE = 0.05
TARGETS: tuple[type[Target], ...] = (SceneTarget, SourceTarget, ShortExposure)
"""What the sharp picture of a pair may be."""

_OTHER_NOISE = 0x2545F4914F6CDD1D


def other_seed(seed: int) -> int:
    """The seed of the noise of another exposure: never the same, and not that of a third one's other exposure."""
    return seed ^ _OTHER_NOISE


def as_target(value: Target | str | Mapping[str, Any]) -> Target:
    """A target from its plain form: the name of its kind, or a table.

    Raises
    ------
    InvalidValueError
        There is no such target, or a field is unknown or out of range.
    """
    if isinstance(value, Target):
        return value
    return _named_target(value) if isinstance(value, str) else make(value, TARGETS, noun="target")


@lru_cache(maxsize=16)
def _named_target(name: str) -> Target:
    return find_kind(name, TARGETS, noun="target")()


@dataclass(frozen=True, eq=False)
class Reach:
    """How far the light of a window comes from, step by step; see :meth:`Draw.reach`.

    Parameters
    ----------
    needs_px
        Width of the margin in px that is needed around the window before each step and, last, after all of them.
    geometry
        Frames with the depth, labels and camera after each step, one per picture or one of them all; None where the
        step sets none of these, or the frames do not know exactly what it sets.
    """

    needs_px: tuple[int, ...]
    geometry: tuple[Sequence[Frame] | None, ...]


@dataclass(frozen=True)
class Draw:
    """Everything that happens to one picture: named degradations with no randomness left.

    Calling it blurs a frame; :meth:`pair` also returns the sharp target; :meth:`to_dict` is the provenance record.
    """

    steps: tuple[tuple[str, Degradation], ...]
    target: Target
    """The sharp picture of a pair: ``scene``, the same scene through the same camera without blur, noise, mosaic and
    compression, ``source``, the picture as it was given, or ``short_exposure``, see :class:`ShortExposure`."""

    def __init__(
        self, steps: tuple[tuple[str, Degradation], ...], target: Target | str | Mapping[str, Any] = "scene"
    ) -> None:
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "target", as_target(target))
        names = [name for name, _ in steps]
        for unknown in self.target.unknown_steps(names):
            raise InvalidValueError(
                f"The target leaves out the step {unknown!r}, which the draw does not have.",
                fix=did_you_mean(unknown, names),
            )

    def __getitem__(self, name: str) -> Degradation:
        for step, degradation in self.steps:
            if step == name:
                return degradation
        raise InvalidValueError(f"The draw has no step {name!r}.", fix=did_you_mean(name, [n for n, _ in self.steps]))

    def __call__(self, frame: Frame, *, window: Window | None = None, margin_px: int = 0) -> Frame:
        """Blur every picture of the frame, or a window of it; see :func:`apply`."""
        return apply((self,) * len(frame), frame, window=window, margin_px=margin_px)

    def target_draw(self) -> Draw:
        """The steps that the sharp picture passes through."""
        return Draw(tuple((name, self.target.step(name, step)) for name, step in self.steps))

    def pair(
        self, frame: Frame, *, window: Window | None = None, margin_px: int = 0, reach: Reach | None = None
    ) -> Pair:
        """The sharp target and the blurred picture of a frame, or of a window of it.

        Parameters
        ----------
        frame, window, margin_px
            See :func:`apply`.
        reach
            :meth:`reach` of the frame, so that it is not computed again; only with a margin.

        Notes
        -----
        A data set draws from the window alone: ``recipe.sample(frame.crop(*window))``.

        Examples
        --------
        >>> frame = Frame(np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64), "linear")
        >>> Draw((("nothing", Identity()),)).pair(frame, window=(8, 0, 32, 48)).blurred
        Frame(1x1x32x48 linear)
        """
        check_frame("a draw", frame)
        return pairs((self,) * len(frame), frame, window=window, margin_px=margin_px, reach=reach)

    def kernel(self, *, normalized: bool = True) -> NDArray[np.float64] | None:
        """The point spread of the draw: the blurs of all steps, convolved with one another.

        Parameters
        ----------
        normalized
            Whether the kernel is scaled to a sum of 1. Otherwise the sum is the share of light that arrives, which is
            less than 1 for some published kernels of short exposures.

        Returns
        -------
        ndarray or None
            ``[K, K]``, K odd, zero shift in the middle; ``[[1]]`` for a draw that does not blur. None if the blur
            differs from pixel to pixel, so that no single kernel represents it.

        It is that of the blurred picture alone: the sharp picture of a ``short_exposure`` has that of
        ``draw.target_draw()``.

        Not modeled: operations between and after the blurs (clipping, demosaicking, sharpening, compression).
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
        """Whether a step wraps around to the other side of the picture, which no window shows."""
        return any(getattr(step, "border", None) == "circular" for _, step in self.steps)

    def reach_px(self, frame: Frame) -> int | None:
        """The margin in px that contains all light reaching the pixels of a window of a pair; None if unbounded.

        If a reach depends on the depth, the frame must include all of it: the window with a margin of this width.
        """
        reach = self.reach(frame)
        return None if reach is None else reach.needs_px[0]

    def reach(self, frame: Frame, *, seen: Sequence[Frame] | None = None) -> Reach | None:
        """How far the light of a window comes from, and what that depends on; None if unbounded.

        Parameters
        ----------
        frame
            The window; if a reach depends on the depth, with a margin at least as wide as the result.
        seen
            :meth:`seen` of the frame, if it is known.
        """
        return _reach_of((self,), frame, None if seen is None else [seen])

    def seen(self, frame: Frame) -> tuple[Frame, ...]:
        """The frame after each step with the depth, labels and camera that it sets; no pixel is computed."""
        return tuple(accumulate((step for _, step in self.steps), lambda one, step: step.geometry(one), initial=frame))[
            1:
        ]

    def assets(self) -> tuple[str, ...]:
        return tuple(digest for _, step in self.steps for digest in step.assets())

    def to_dict(self) -> dict[str, Any]:
        """``{"step": [{"name": ..., "kind": ..., field: value, ...}, ...]}``: a recipe with no randomness left.

        ``"target": "source"``, or the table of a short exposure, is added if the sharp picture is not the scene.
        """
        steps = [{"name": name, **step.to_dict()} for name, step in self.steps]
        return {"step": steps} if self.target.kind == "scene" else {"target": self.target.written(), "step": steps}

    @staticmethod
    def from_dict(values: Mapping[str, Any], kinds: Iterable[type[Degradation]]) -> Draw:
        """The inverse of :meth:`to_dict`.

        Raises
        ------
        InvalidValueError
            It has another form, or a step has values out of range.
        RecipeError
            A step is of an unknown kind.
        """
        kinds = tuple(kinds)
        entries = values.get("step") if isinstance(values, Mapping) else None
        if not isinstance(entries, list | tuple) or not all(isinstance(entry, Mapping) for entry in entries):
            raise InvalidValueError(
                "A draw must be a table with a list of steps, each a table with kind and fields, got "
                f"{type(values).__name__ if entries is None else type(entries).__name__}.",
                fix="Use the form of Draw.to_dict: {'step': [{'name': ..., 'kind': ..., ...}, ...]}.",
            )
        try:
            target = as_target(values.get("target", "scene"))
        except InvalidValueError as error:
            raise error.at("target of a draw") from None
        steps = []
        for entry in entries:
            fields = dict(entry)
            name = fields.pop("name", fields.get("kind"))
            if not isinstance(name, str):
                raise InvalidValueError(f"The name of a step must be a string, got {name!r}.")
            steps.append((name, Degradation.from_dict(fields, kinds)))
        return Draw(tuple(steps), target)


LOOK_PX = 64  # first guess of the margin that a reach may depend on; most reaches are smaller, so one pass suffices


def apply(draws: Sequence[Draw], frame: Frame, *, window: Window | None = None, margin_px: int = 0) -> Frame:
    """Apply ``draws[b]`` to picture ``b``; steps of one kind run as one call over the batch.

    Parameters
    ----------
    draws
        One draw per picture, all with the same number of steps.
    frame
        A frame in the encoding of the first step.
    window
        The part of the frame to return. It equals the same part of the whole result (up to rounding where a transform
        or a warp sees less), but only this part and the surroundings that its light comes from are computed; the
        surroundings are cropped as soon as no later step needs them. A step with unbounded reach sees the whole frame.
    margin_px
        Width of a margin of the frame that is not part of the result. This is like a window inside the margin, except
        that no border of the frame may affect the result.

    Raises
    ------
    InvalidValueError
        There is not one draw per picture, the draws differ in length, a step does not take the frame's encoding, the
        window is outside the frame, or the margin is smaller than the reach of the steps.
    """
    given: object = draws
    if not isinstance(given, Sequence) or not all(isinstance(draw, Draw) for draw in given):
        kinds = (
            {type(draw).__name__ for draw in given} if isinstance(given, Sequence) else {f"one {type(given).__name__}"}
        )
        raise InvalidValueError(
            f"apply takes a list of draws, one per picture, got {', '.join(sorted(kinds))}.",
            fix="Call a single draw or degradation with the frame: draw(frame).",
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
    window, reach = _around(draws, frame, window, margin_px, None)
    return _through(draws, frame, window, reach, range(lengths.pop() if lengths else 0))[0]


def pairs(
    draws: Sequence[Draw],
    frame: Frame,
    *,
    window: Window | None = None,
    margin_px: int = 0,
    reach: Reach | None = None,
) -> Pair:
    """:meth:`Draw.pair` of a batch with a draw for each picture, all of one recipe; see :func:`apply`."""
    window, reach = _around(draws, frame, window, margin_px, reach)
    # Steps at the start that both pictures share (decoding, the depth of the scene) run once.
    positions = range(len(draws[0].steps))
    own = {id(draw): draw for draw in draws}
    alike = min(map(_shared_steps, own.values()))
    frame, window = _through(draws, frame, window, reach, positions[:alike])
    blurred, _ = _through(draws, frame, window, reach, positions[alike:])
    rest = {name: Draw(draw.target_draw().steps[alike:]) for name, draw in own.items()}
    return Pair(sharp=apply([rest[id(draw)] for draw in draws], frame, window=window), blurred=blurred)


def _shared_steps(draw: Draw) -> int:
    """How many steps at the start are the same for both pictures."""
    differ = (n for n, (name, step) in enumerate(draw.steps) if draw.target.step(name, step) != step)
    return next(differ, len(draw.steps))


def known_reach(draws: Sequence[Draw], frames: Sequence[Frame], needs_px: Sequence[Sequence[int]]) -> Reach:
    """The reach of a batch whose pictures' own margins are known, from :attr:`Reach.needs_px` of each.

    ``frames`` are the pictures with the common margin, one by one and without pixels.
    """
    seen = [draw.seen(one) for draw, one in zip(draws, frames, strict=True)]
    return Reach(tuple(map(max, zip(*needs_px, strict=True))), _geometry_of(draws, seen))


def _around(
    draws: Sequence[Draw], frame: Frame, window: Window | None, margin_px: int, known: Reach | None
) -> tuple[Window | None, Reach]:
    """The window to return (None: all), and the reach of the steps around it; ``known`` if it is known already."""
    steps = len(draws[0].steps) if draws else 0
    if window is None and margin_px == 0:
        return None, known or Reach((0,) * (steps + 1), (None,) * steps)
    if window is None:
        reach = known or _reach_of(draws, frame)
        if reach is None or reach.needs_px[0] > margin_px:
            raise InvalidValueError(
                f"margin_px must be at least the reach of the steps, {reach and reach.needs_px[0]} px, "
                f"got {margin_px}.",
                why="Pixels nearer to the edge of the frame lack light from beyond it.",
                fix="Give the frame a wider margin, or use margin_px=0 and let each step's border decide.",
            )
        height, width = frame.size_px
        window = (margin_px, margin_px, height - 2 * margin_px, width - 2 * margin_px)
        frame.crop(*window)  # raises if the margin leaves nothing
        return window, reach
    if margin_px:
        raise InvalidValueError("A window and a margin cannot be given together.", fix="Leave one of them out.")
    frame.crop(*window)  # raises for a window outside the frame
    top, left, height, width = window
    room = min(top, left, frame.size_px[0] - top - height, frame.size_px[1] - left - width)
    circular, needed = any(draw.is_circular for draw in draws), LOOK_PX
    while True:
        # A reach may depend on the depth, so it is computed for the window with its surroundings.
        part, _ = cut(frame, window, needed)
        reach = _reach_of(draws, part)
        if reach is None or (circular and reach.needs_px[0] > room):
            return window, Reach((max(frame.size_px),) * steps + (0,), (None,) * steps)
        if reach.needs_px[0] <= needed or part is frame:
            return window, reach
        needed = reach.needs_px[0]


def _reach_of(draws: Sequence[Draw], frame: Frame, seen: Sequence[Sequence[Frame]] | None = None) -> Reach | None:
    """The largest reach of the draws, and the geometry of all; ``seen`` are the frames after each step of each draw."""
    alike = all(draw is draws[0] for draw in draws)
    chosen = [(draws[0], frame)] if alike else list(zip(draws, frame, strict=True))
    seen = seen or [draw.seen(pictures) for draw, pictures in chosen]
    needs = [0] * (len(draws[0].steps) + 1)
    for (draw, pictures), after in zip(chosen, seen, strict=True):
        before = (pictures, *after)
        chains = [draw.steps]
        if draw.target.may_reach_farther:
            chains.append(draw.target_draw().steps)
        for steps in chains:
            reaches = [step.reach_px(one) for (_, step), one in zip(steps, before, strict=False)]
            known = [reach for reach in reaches if reach is not None]
            if len(known) < len(reaches):
                return None
            needs = list(map(max, needs, [*accumulate(reversed(known), initial=0)][::-1]))
    return Reach(tuple(needs), _geometry_of([draw for draw, _ in chosen], seen))


def _geometry_of(draws: Sequence[Draw], seen: Sequence[Sequence[Frame]]) -> tuple[Sequence[Frame] | None, ...]:
    """:attr:`Reach.geometry` from the frames after each step of each draw."""
    geometry: list[Sequence[Frame] | None] = []
    exact = True
    for position in range(len(draws[0].steps)):
        steps = [draw.steps[position][1] for draw in draws]
        exact = exact and all(type(step).geometry is Degradation.geometry for step in steps)
        of_step = exact and all(step.sets_geometry for step in steps)
        geometry.append([after[position].without_pixels() for after in seen] if of_step else None)
    return tuple(geometry)


def _through(
    draws: Sequence[Draw], frame: Frame, window: Window | None, reach: Reach, positions: range
) -> tuple[Frame, Window | None]:
    """The frame after some of the steps, cropped to the window and the margin it needs, and the window in that crop."""
    frame, window = cut(frame, window, reach.needs_px[positions.start])
    for position in positions:
        known = reach.geometry[position]
        needed, window = _needed(frame.size_px, window, reach.needs_px[position + 1])
        if known is not None:
            frame = cropped(frame.with_geometry_of(known), needed)
        else:
            frame = _step([draw.steps[position][1] for draw in draws], frame, needed)
    return frame, window


def cut(frame: Frame, window: Window | None, around_px: int) -> tuple[Frame, Window | None]:
    """A window with a margin of this many px, where the frame has them, and the window within that crop."""
    needed, window = _needed(frame.size_px, window, around_px)
    return cropped(frame, needed), window


def _needed(size_px: tuple[int, int], window: Window | None, around_px: int) -> tuple[Window, Window | None]:
    """The crop that :func:`cut` makes of a frame of this size, and the window within it."""
    rows, columns = size_px
    if window is None:
        return (0, 0, rows, columns), None
    top, left, height, width = window
    first, last = max(0, top - around_px), min(rows, top + height + around_px)
    begin, end = max(0, left - around_px), min(columns, left + width + around_px)
    return (first, begin, last - first, end - begin), (top - first, left - begin, height, width)


def cropped(frame: Frame, window: Window) -> Frame:
    """:meth:`Frame.crop`, but the frame itself if the window is all of it."""
    return frame if window == (0, 0, *frame.size_px) else frame.crop(*window)


def _step(steps: Sequence[Degradation], frame: Frame, window: Window) -> Frame:
    """A window of what ``steps[b]`` make of picture ``b``, those of kinds that go together in one call."""
    for kind in dict.fromkeys(map(type, steps)):
        _check_encoding(kind, frame)

    def sort(step: Degradation) -> object:
        kind: Any = type(step)
        return kind.apply.__func__ if kind.in_one_call else kind

    return in_groups(steps, frame, sort, lambda alike, part: type(alike[0]).apply_within(alike, part, window))


S = TypeVar("S")
D = TypeVar("D", bound=Degradation)


def in_groups(
    steps: Sequence[S], frame: Frame, key: Callable[[S], object], act: Callable[[Sequence[S], Frame], Frame]
) -> Frame:
    """Act on the pictures whose steps (or numbers of steps) have one key in one call, and put the results in order."""
    groups: dict[object, list[int]] = {}
    for b, step in enumerate(steps):
        groups.setdefault(key(step), []).append(b)
    if len(groups) == 1:
        return act(steps, frame)
    parts = [act([steps[b] for b in chosen], frame[chosen]) for chosen in groups.values()]
    order = np.argsort(np.concatenate([np.asarray(chosen) for chosen in groups.values()]))
    return Frame.stack(parts)[order.tolist()]


def one_by_one(steps: Sequence[D], frame: Frame, act: Callable[[D, Frame], Any]) -> Frame:
    """The frame with the images that ``act`` makes of each step and its picture, a frame of one."""
    pictures = [one.with_image(act(step, one)) for step, one in zip(steps, frame, strict=True)]
    return frame.with_image(pictures[0].image if len(pictures) == 1 else Frame.stack(pictures).image)


def _convolved(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Full convolution of two small kernels: the sum of shifted copies of one."""
    out = np.zeros((a.shape[0] + b.shape[0] - 1, a.shape[1] + b.shape[1] - 1))
    for row, column in zip(*np.nonzero(a), strict=True):
        out[row : row + b.shape[0], column : column + b.shape[1]] += a[row, column] * b
    return out


BorderName = Annotated[
    Literal["reflect", "replicate", "circular", "constant"],
    Field(description="continuation of the picture beyond its edge; data sets crop such pixels"),
]
"""A field of kinds that read light from beyond the edge."""
