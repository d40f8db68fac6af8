"""Samplers: degradations whose parameters are still to be drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any, final

import numpy as np

from blursynth.core import STEP_BETWEEN, Degradation, Identity
from blursynth.errors import BlursynthError, RecipeError, joined
from blursynth.frame import Encoding, Frame
from blursynth.recipe.distributions import Distribution, Earlier, parse, pick
from blursynth.records.kind import unknown_field
from blursynth.records.streams import Stream

__all__ = ["Maybe", "OneOf", "Random", "Sampler", "parse_fields", "parsed_field"]


class Sampler(ABC):
    """Draws one degradation. Samplers see the frame and the steps that were drawn before."""

    @abstractmethod
    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Degradation:
        """Draw one degradation, with no randomness left."""

    @abstractmethod
    def kinds(self) -> tuple[type[Degradation], ...]:
        """The kinds that it may draw."""

    @abstractmethod
    def distributions(self) -> Iterable[tuple[str, Distribution]]:
        """(field, distribution) of all options."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The form used in TOML and JSON."""

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
                    fix=STEP_BETWEEN.get((takes, kind.takes), ""),
                )
            results.add(kind.gives if kind.gives is not None else takes)
        if len(results) > 1:
            raise RecipeError(
                f"The options of one step must give the same encoding, got {sorted(str(r) for r in results)}.",
                fix="Turn them into separate steps.",
            )
        return results.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sampler) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]


@final
class Random(Sampler):
    """A degradation with distributions instead of parameters; plain values are constants.

    A field named ``seed`` is drawn unless it is given. Unknown fields are refused, and the limits of every distribution
    are checked against the range of its field, when the sampler is created.

    Examples
    --------
    >>> from blursynth import Uniform, kinds
    >>> Random(kinds.GaussianBlur, sigma_px=Uniform(0.5, 2.0)).to_dict()
    {'kind': 'gaussian_blur', 'sigma_px': {'uniform': [0.5, 2.0]}}

    Raises
    ------
    RecipeError
        A field is unknown, or a distribution can draw a value that the degradation refuses.
    """

    def __init__(self, kind: type[Degradation], **fields: Any) -> None:
        if not (isinstance(kind, type) and issubclass(kind, Degradation)):
            raise RecipeError(
                f"Random takes a kind of degradation, got {kind!r}.", fix="Write Random(LinearMotion, ...)."
            )
        self.kind = kind
        self.given = parse_fields(kind, fields)
        self._draw_seed = "seed" in kind.model_fields and "seed" not in fields
        self._check_ranges()

    def _check_ranges(self) -> None:
        """Try every distribution at each of its limits, with the others at their first."""
        first = {name: d.extremes()[0] for name, d in self.given.items() if d.extremes()}
        if self._draw_seed:
            first["seed"] = 0
        trials = [(name, value) for name, d in self.given.items() for value in d.extremes()] or [("", None)]
        for name, value in trials:
            found = self.kind.faults({**first, name: value} if name else first)
            if len(first) < len(self.given) + self._draw_seed:
                # Some values are known only in the draw and are missing now, so only errors about this field count.
                found = tuple(fault for fault in found if name and fault.field == name)
            # The trial of one field also meets the errors of the others.
            if own := [fault for fault in found if fault.field in ("", name)] or found:
                raise joined(own).at("" if own[0].field else name, RecipeError)

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
        for option in options:
            if (
                not isinstance(option, tuple)
                or len(option) != 2
                or isinstance(option[0], bool)
                or not isinstance(option[0], int | float | np.integer | np.floating)
            ):
                raise RecipeError(
                    f"one_of takes pairs of a weight and a sampler, got {option!r}.",
                    fix="Write OneOf((1.0, Identity()), (2.0, Random(GaussianBlur, sigma_px=Uniform(0, 2)))).",
                )
        self.options = tuple((float(weight), as_sampler(sampler)) for weight, sampler in options)
        weights = [weight for weight, _ in self.options]
        if not all(0 <= w < float("inf") for w in weights) or sum(weights) <= 0:
            raise RecipeError(
                f"one_of: weights must be >= 0 with a sum > 0, got {weights}.", why="They are relative frequencies."
            )

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Degradation:
        chosen = pick([weight for weight, _ in self.options], stream.child("one_of"))
        option = self.options[chosen][1]
        # An option that is itself a choice draws from another stream: the same number would tie the two choices.
        return option.sample(stream.child("option") if _holds(option, OneOf) else stream, frame, earlier)

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
    """A sampler that is applied with a probability; otherwise the step is :class:`~blursynth.kinds.Identity`.

    The sampler must not change the encoding.
    """

    def __init__(self, probability: float, sampler: Sampler | Degradation) -> None:
        if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise RecipeError(f"probability must lie in [0, 1], got {probability!r}.")
        self.probability = float(probability)
        self.sampler = as_sampler(sampler)

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Degradation:
        if stream.child("maybe").uniform() >= self.probability:
            return Identity()
        inner = stream.child("then") if _holds(self.sampler, Maybe) else stream
        return self.sampler.sample(inner, frame, earlier)

    def kinds(self) -> tuple[type[Degradation], ...]:
        return (*self.sampler.kinds(), Identity)

    def distributions(self) -> Iterable[tuple[str, Distribution]]:
        return self.sampler.distributions()

    def to_dict(self) -> dict[str, Any]:
        return {"probability": self.probability, **self.sampler.to_dict()}

    def __repr__(self) -> str:
        return f"Maybe({self.probability}, {self.sampler!r})"


def _holds(sampler: Sampler, kind: type[Sampler]) -> bool:
    """Whether a sampler, or one of its options, is of a kind."""
    if isinstance(sampler, kind):
        return True
    if isinstance(sampler, OneOf):
        return any(_holds(option, kind) for _, option in sampler.options)
    return isinstance(sampler, Maybe) and _holds(sampler.sampler, kind)


def as_sampler(value: object) -> Sampler:
    """Convert a degradation to a sampler without randomness; anything else is refused."""
    if isinstance(value, Sampler):
        return value
    if isinstance(value, Degradation):
        return Random(type(value), **value.fields())
    if isinstance(value, type) and issubclass(value, Degradation):
        raise RecipeError(
            f"A step must be a sampler or a degradation, got the class {value.__name__} itself.",
            fix=f"Write {value.__name__}(field=...) or Random({value.__name__}, field=...).",
        )
    raise RecipeError(
        f"A step must be a sampler or a degradation, got {type(value).__name__}.", fix="Write Random(Kind, field=...)."
    )


def parse_fields(
    kind: type[Degradation], fields: Mapping[str, Any], more: Collection[str] = ()
) -> dict[str, Distribution]:
    """Distributions of the fields of a kind from their TOML form; messages also list ``more`` as known."""
    parsed = {}
    for name, value in fields.items():
        if name not in kind.model_fields:
            raise unknown_field(kind, name, value, more).at("", RecipeError)
        parsed[name] = parsed_field(name, value)
    return parsed


def parsed_field(name: str, value: Any) -> Distribution:
    """The distribution of one field from its TOML form."""
    try:
        return parse(value)
    except BlursynthError as error:
        raise error.at(name, RecipeError) from None
