"""Samplers: degradations whose numbers are still to be drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, final

from blursynth.core import Degradation, Nothing, find_kind
from blursynth.distributions import Distribution, Earlier, parse, pick
from blursynth.errors import BlursynthError, InvalidValueError, RecipeError, did_you_mean
from blursynth.frame import Encoding, Frame
from blursynth.streams import Stream

__all__ = ["Maybe", "OneOf", "Random", "Sampler", "parse_sampler"]


class Sampler(ABC):
    """Draws one degradation. Samplers see the frame and what was drawn before them."""

    @abstractmethod
    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Degradation:
        """One degradation with no randomness left."""

    @abstractmethod
    def kinds(self) -> tuple[type[Degradation], ...]:
        """The kinds that it may give."""

    @abstractmethod
    def distributions(self) -> Iterable[tuple[str, Distribution]]:
        """(field, distribution) of all options."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The form that stands in TOML and JSON."""

    def gives(self, takes: Encoding | None) -> Encoding | None:
        """The encoding after this step, for a frame of encoding ``takes``.

        Raises
        ------
        RecipeError
            It does not take that encoding, or its options disagree.
        """
        results: set[Encoding | None] = set()
        for kind in self.kinds():
            if kind.takes is not None and takes is not None and kind.takes is not takes:
                raise RecipeError(
                    f"{kind.kind} takes a {kind.takes} frame, but the step before it gives a {takes} one.",
                    fix=_ORDER_HINTS.get((takes, kind.takes), ""),
                )
            results.add(kind.gives if kind.gives is not None else takes)
        if len(results) > 1:
            raise RecipeError(
                f"The options of one step must give the same encoding, got {sorted(str(r) for r in results)}.",
                fix="Make steps of their own of them.",
            )
        return results.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sampler) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]


_ORDER_HINTS = {
    (Encoding.DISPLAY, Encoding.LINEAR): "Put a decode step between them: blur happens to light, not to file codes.",
    (Encoding.LINEAR, Encoding.DISPLAY): "Put an encode step between them.",
    (Encoding.RAW, Encoding.LINEAR): "Put a develop step between them.",
    (Encoding.LINEAR, Encoding.RAW): "Put a sensor step between them.",
}


@final
class Random(Sampler):
    """A degradation with distributions where its numbers will go; plain values are constants.

    A field named ``seed`` that is not given is drawn. Everything is checked when it is built: unknown fields, and the
    ends of every distribution against the field's range.

    Examples
    --------
    >>> from blursynth import GaussianBlur, Uniform
    >>> Random(GaussianBlur, sigma_px=Uniform(0.5, 2.0)).to_dict()
    {'kind': 'gaussian_blur', 'sigma_px': {'uniform': [0.5, 2.0]}}

    Raises
    ------
    RecipeError
        An unknown field, or a distribution that can draw a value which the degradation refuses.
    """

    def __init__(self, kind: type[Degradation], **fields: Any) -> None:
        if not (isinstance(kind, type) and issubclass(kind, Degradation)):
            raise RecipeError(
                f"Random takes a kind of degradation, got {kind!r}.", fix="Write Random(LinearMotion, ...)."
            )
        self.kind = kind
        self.given: dict[str, Distribution] = {}
        for name, value in fields.items():
            if name not in kind.model_fields:
                raise RecipeError(
                    f"{name}: {kind.__name__} has no such field.", fix=did_you_mean(name, kind.model_fields)
                )
            try:
                self.given[name] = parse(value)
            except BlursynthError as error:
                raise RecipeError(f"{name}: {error}") from None
        self._draw_seed = "seed" in kind.model_fields and "seed" not in fields
        self._check_ranges()

    def _check_ranges(self) -> None:
        """Build the record with every distribution at each of its ends, the others at their first."""
        first = {name: d.extremes()[0] for name, d in self.given.items() if d.extremes()}
        later = {name for name, d in self.given.items() if not d.extremes()}
        if self._draw_seed:
            first["seed"] = 0
        trials = [(name, value) for name, d in self.given.items() for value in d.extremes()] or [("", None)]
        for name, value in trials:
            if later:  # some numbers are known only in the draw; check the others one by one
                self._check_alone(name, value, first, later)
                continue
            try:
                self.kind(**({**first, name: value} if name else first))
            except InvalidValueError as error:
                # The trial of one field meets the faults of the others too.
                other = f"{self.kind.__name__}." in str(error) and f"{self.kind.__name__}.{name} " not in str(error)
                raise RecipeError(str(error) if other or not name else f"{name}: {error}") from None

    def _check_alone(self, name: str, value: Any, first: Mapping[str, Any], later: set[str]) -> None:
        try:
            self.kind(**({**first, name: value} if name else first))
        except InvalidValueError as error:
            # A field that is still to come is missing now: only a complaint about this field counts.
            if f"{self.kind.__name__}.{name} " in str(error):
                raise RecipeError(f"{name}: {error}") from None

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Degradation:
        values = {name: d.sample(stream.child(name), frame, earlier) for name, d in self.given.items()}
        if self._draw_seed:
            values["seed"] = stream.child("seed").seed63()
        return self.kind(**values)

    def kinds(self) -> tuple[type[Degradation], ...]:
        return (self.kind,)

    def distributions(self) -> Iterable[tuple[str, Distribution]]:
        return self.given.items()

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind.kind, **{name: d.to_plain() for name, d in self.given.items()}}

    def __repr__(self) -> str:
        return f"Random({self.kind.__name__}, {', '.join(f'{k}={v!r}' for k, v in self.given.items())})"


@final
class OneOf(Sampler):
    """One of several samplers, with relative frequencies.

    Parameters
    ----------
    *options
        ``(weight, sampler)`` pairs, weight >= 0.
    """

    def __init__(self, *options: tuple[float, Sampler | Degradation]) -> None:
        if not options:
            raise RecipeError("one_of needs at least one option, got none.")
        self.options = tuple((float(weight), as_sampler(sampler)) for weight, sampler in options)
        weights = [weight for weight, _ in self.options]
        if not all(0 <= w < float("inf") for w in weights) or sum(weights) <= 0:
            raise RecipeError(
                f"one_of: weights must be >= 0 with a sum > 0, got {weights}.", why="They are relative frequencies."
            )

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Degradation:
        chosen = pick([weight for weight, _ in self.options], stream.child("one_of"))
        return self.options[chosen][1].sample(stream, frame, earlier)

    def kinds(self) -> tuple[type[Degradation], ...]:
        return tuple(kind for _, sampler in self.options for kind in sampler.kinds())

    def distributions(self) -> Iterable[tuple[str, Distribution]]:
        return [item for _, sampler in self.options for item in sampler.distributions()]

    def to_dict(self) -> dict[str, Any]:
        return {"one_of": [{"weight": weight, **sampler.to_dict()} for weight, sampler in self.options]}

    def __repr__(self) -> str:
        return f"OneOf({', '.join(repr(o) for o in self.options)})"


@final
class Maybe(Sampler):
    """A sampler that happens with a probability; otherwise :class:`~blursynth.Nothing`.

    The encoding must not change.
    """

    def __init__(self, probability: float, sampler: Sampler | Degradation) -> None:
        if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise RecipeError(f"probability must lie in [0, 1], got {probability!r}.")
        self.probability = float(probability)
        self.sampler = as_sampler(sampler)

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Degradation:
        if stream.child("maybe").uniform() >= self.probability:
            return Nothing()
        return self.sampler.sample(stream, frame, earlier)

    def kinds(self) -> tuple[type[Degradation], ...]:
        return (*self.sampler.kinds(), Nothing)

    def distributions(self) -> Iterable[tuple[str, Distribution]]:
        return self.sampler.distributions()

    def to_dict(self) -> dict[str, Any]:
        return {"probability": self.probability, **self.sampler.to_dict()}

    def __repr__(self) -> str:
        return f"Maybe({self.probability}, {self.sampler!r})"


def as_sampler(value: Sampler | Degradation) -> Sampler:
    """A degradation is a sampler with nothing left random."""
    if isinstance(value, Sampler):
        return value
    if isinstance(value, Degradation):
        return Random(type(value), **value.fields())
    raise RecipeError(
        f"A step is a sampler or a degradation, got {type(value).__name__}.", fix="Write Random(Kind, field=...)."
    )


def parse_sampler(entry: Mapping[str, Any], kinds: Sequence[type[Degradation]]) -> Sampler:
    """A sampler from its TOML form: ``kind`` and fields; or ``one_of``; with ``probability`` for a maybe."""
    fields = dict(entry)
    if "probability" in fields:
        return Maybe(fields.pop("probability"), parse_sampler(fields, kinds))
    if "one_of" in fields:
        options = fields.pop("one_of")
        if fields:
            raise RecipeError(
                f"A step with one_of has no fields of its own, got {sorted(fields)[0]!r}.",
                fix="Put it into the options.",
            )
        if not isinstance(options, Sequence) or not all(isinstance(o, Mapping) for o in options):
            raise RecipeError("one_of needs a list of tables with weight, kind and fields.")
        pairs = []
        for option in options:
            rest = dict(option)
            weight = rest.pop("weight", 1.0)
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise RecipeError(f"weight must be a number, got {weight!r}.")
            pairs.append((cast(float, weight), parse_sampler(rest, kinds)))
        return OneOf(*pairs)
    return Random(find_kind(fields.pop("kind", None), kinds), **fields)
