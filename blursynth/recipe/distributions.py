"""Distributions of one parameter: a recipe has them where a degradation has a plain value.

Each is monotone in one uniform random number (inverse distribution function) and is rounded to nine significant
digits, so that a draw is readable and the same on every platform.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any, ClassVar, cast, final

import numpy as np
from numpy.typing import NDArray

from blursynth.core import Degradation
from blursynth.errors import InvalidValueError, RecipeError, did_you_mean
from blursynth.frame import Encoding, Frame
from blursynth.physics.color import srgb_to_linear
from blursynth.records.kind import snake
from blursynth.records.schema import summary
from blursynth.records.streams import Stream

__all__ = [
    "ALL",
    "SHARE",
    "Beta",
    "Choice",
    "Constant",
    "DepthQuantile",
    "Distribution",
    "Integer",
    "LogUniform",
    "Meter",
    "Normal",
    "Product",
    "Quotient",
    "SameAs",
    "TruncatedNormal",
    "Uniform",
    "field_schema",
    "parse",
]

Plain = bool | int | float | str | None
Earlier = Mapping[str, Degradation]
Schema = dict[str, Any]

_NUMBER: Schema = {"type": "number"}
_POSITIVE: Schema = {"type": "number", "exclusiveMinimum": 0}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}

# (raw >> 11 + 0.5) 2^-53 lies within 2^-54 of 0 and 1, so a normal deviate stays within 8.3 standard deviations.
_NORMAL_REACH = 8.3

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Distribution(ABC):
    """A distribution of one plain value. Its name in TOML is that of the class in snake case."""

    word: ClassVar[str]
    options: ClassVar[Mapping[str, Schema]] = {}
    """Parameters beside the list of the others in TOML, with their JSON schemas."""

    def __init_subclass__(cls) -> None:
        cls.word = snake(cls.__name__)

    @abstractmethod
    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        """Draw one value. ``earlier`` holds the steps of this draw that are already known."""

    @abstractmethod
    def extremes(self) -> tuple[Plain, ...]:
        """The limits of the range (or all values), so that a recipe can be validated before any work starts."""

    def to_plain(self) -> Any:
        """The form used in TOML and JSON."""
        return {self.word: list(vars(self).values())}

    def depends_on(self) -> tuple[SameAs, ...]:
        """The fields of earlier steps that it depends on."""
        return ()

    @property
    def sees_frame(self) -> bool:
        """Whether it depends on the content of the frame."""
        return False

    @property
    def sees_pixels(self) -> bool:
        """Whether it depends on the pixels of the frame, not only on its depth."""
        return self.sees_frame


def _rounded(value: float, low: float = -math.inf, high: float = math.inf) -> float:
    return min(max(float(f"{value:.9g}"), low), high)


def _quantile(values: NDArray[np.floating], share: float) -> float:
    """:func:`numpy.quantile` in a tenth of the time: order statistics of the few values that a sample brackets."""
    values = values.ravel()
    place = share * (values.size - 1)
    below = int(place)
    some = np.sort(values[::61])
    at, aside = below / values.size * some.size, 2.0 * math.sqrt(some.size)
    middle = some[int(at)]
    if np.count_nonzero(values < middle) <= below < np.count_nonzero(values <= middle) - 1:
        return float(middle)  # scenes of layers have few depths
    least = some[int(at - aside)] if at >= aside else -math.inf
    most = some[int(at + aside)] if at + aside < some.size else math.inf
    first, last = int(np.count_nonzero(values < least)), int(np.count_nonzero(values <= most))
    if first <= below and below + 1 < last:  # or else the sample was unlucky, or it is the last value
        values, below, place = values[(values >= least) & (values <= most)], below - first, place - first
    parted = np.partition(values, below)
    low, high = float(parted[below]), float(parted[below + 1 :].min(initial=np.inf))
    return low + (high - low) * (place - below) if place > below else low


def _check_numbers(word: str, **numbers: float) -> None:
    """Refuse parameters that are not finite numbers, and a ``low`` above ``high``."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidValueError(f"{word}: {name} must be a finite number, got {value!r}.")
    low, high = numbers.get("low", -math.inf), numbers.get("high", math.inf)
    if low > high:
        raise InvalidValueError(f"{word}: low must not exceed high, got [{low}, {high}].", fix="Swap them.")


class _Bounded(Distribution):
    """A distribution between two parameters, ``low`` and ``high``, all of whose parameters are numbers."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_numbers(self.word, **vars(self))

    def extremes(self) -> tuple[Plain, ...]:
        return (float(self.low), float(self.high))


@dataclass(frozen=True)
class Constant(Distribution):
    """Always the same value. In TOML: the value itself."""

    value: Plain

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        return self.value

    def extremes(self) -> tuple[Plain, ...]:
        return (self.value,)

    def to_plain(self) -> Any:
        return self.value


@dataclass(frozen=True)
class Uniform(_Bounded):
    """Uniform distribution between ``low`` and ``high``. In TOML: ``{ uniform = [4.0, 40.0] }``."""

    low: float
    high: float

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        return _rounded(self.low + (self.high - self.low) * stream.uniform(), self.low, self.high)


@dataclass(frozen=True)
class LogUniform(_Bounded):
    """Uniform in the logarithm between ``low`` > 0 and ``high``. In TOML: ``{ log_uniform = [2000, 20000] }``."""

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise InvalidValueError(
                f"{self.word}: low must be > 0, got {self.low}.",
                why="Zero has no logarithm.",
                fix="Use uniform, or give the step a probability.",
            )

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        ratio = math.log(self.high / self.low)
        return _rounded(self.low * math.exp(ratio * stream.uniform()), self.low, self.high)


@dataclass(frozen=True)
class Normal(Distribution):
    """Gaussian with ``mean`` and standard deviation ``sd``. In TOML: ``{ normal = [0.0, 1.0] }``.

    A draw stays within 8.3 standard deviations. For a bounded field, use :class:`TruncatedNormal`.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _check_numbers(self.word, **vars(self))
        if self.sd < 0:
            raise InvalidValueError(f"{self.word}: sd must be >= 0, got {self.sd}.")

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        return _rounded(self.mean + self.sd * NormalDist().inv_cdf(stream.uniform()))

    def extremes(self) -> tuple[Plain, ...]:
        return (self.mean - _NORMAL_REACH * self.sd, self.mean + _NORMAL_REACH * self.sd)


@dataclass(frozen=True)
class TruncatedNormal(_Bounded):
    """Gaussian conditioned on ``low <= x <= high``. In TOML: ``{ truncated_normal = [mean, sd, low, high] }``."""

    mean: float
    sd: float
    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sd <= 0:
            raise InvalidValueError(f"{self.word}: sd must be > 0, got {self.sd}.", fix="Use a constant.")
        if self._mass() < 1e-12:
            raise InvalidValueError(
                f"{self.word}: [{self.low}, {self.high}] is too far from the mean {self.mean} (sd {self.sd}).",
                fix="Move the mean, or use uniform.",
            )

    def _mass(self) -> float:
        normal = NormalDist(self.mean, self.sd)
        return normal.cdf(self.high) - normal.cdf(self.low)

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        normal = NormalDist(self.mean, self.sd)
        share = normal.cdf(self.low) + self._mass() * stream.uniform()
        return _rounded(normal.inv_cdf(min(max(share, 1e-300), 1 - 2.0**-53)), self.low, self.high)


@dataclass(frozen=True)
class Choice(Distribution):
    """One of the given values, with optional weights. In TOML: ``{ choice = [8, 10], weights = [1, 3] }``."""

    values: tuple[Plain, ...]
    weights: tuple[float, ...] = ()
    options = {"weights": {"type": "array", "items": {"type": "number", "minimum": 0}}}  # noqa: RUF012

    def __post_init__(self) -> None:
        if not self.values:
            raise InvalidValueError("choice needs at least one value, got none.")
        if self.weights:
            if len(self.weights) != len(self.values):
                raise InvalidValueError(
                    f"choice needs one weight per value, got {len(self.weights)} weights for {len(self.values)} values."
                )
            _check_numbers(self.word, **{f"weights[{i}]": w for i, w in enumerate(self.weights)})
            if min(self.weights) < 0 or sum(self.weights) <= 0:
                raise InvalidValueError(
                    f"choice: weights must be >= 0 with a sum > 0, got {list(self.weights)}.",
                    why="They are relative frequencies.",
                )

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        return self.values[pick(self.weights or (1.0,) * len(self.values), stream)]

    def extremes(self) -> tuple[Plain, ...]:
        return self.values

    def to_plain(self) -> Any:
        return {self.word: list(self.values), **({"weights": list(self.weights)} if self.weights else {})}


@dataclass(frozen=True)
class Integer(_Bounded):
    """A uniform integer from ``low`` to ``high``, inclusive. In TOML: ``{ integer = [70, 98] }``."""

    low: int
    high: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidValueError(f"integer: {name} must be an integer, got {value!r}.", fix="Use uniform.")
        super().__post_init__()

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        return self.low + min(int(stream.uniform() * (self.high - self.low + 1)), self.high - self.low)

    def extremes(self) -> tuple[Plain, ...]:
        return (self.low, self.high)


@dataclass(frozen=True)
class Beta(_Bounded):
    """``low + (high - low) x`` with x ~ Beta(a, b). In TOML: ``{ beta = [a, b, low, high] }`` (by default 0, 1)."""

    a: float
    b: float
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.a <= 0 or self.b <= 0:
            raise InvalidValueError(f"beta: a and b must be > 0, got a = {self.a}, b = {self.b}.")

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        from scipy.special import betaincinv  # loaded here, so that only recipes with a beta load scipy

        share = float(betaincinv(self.a, self.b, stream.uniform()))
        return _rounded(self.low + (self.high - self.low) * share, self.low, self.high)


@dataclass(frozen=True)
class DepthQuantile(_Bounded):
    """A depth of the picture in meters: its quantile u, u uniform in [low, high].

    In TOML: ``{ depth_quantile = [0.1, 0.9] }``.

    Focus distances drawn this way lie on something in the picture.
    """

    low: float
    high: float

    @property
    def sees_frame(self) -> bool:
        return True

    @property
    def sees_pixels(self) -> bool:
        return False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low < 0 or self.high > 1:
            raise InvalidValueError(f"depth_quantile: quantiles lie in [0, 1], got [{self.low}, {self.high}].")

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        if frame.depth_m is None:
            raise InvalidValueError(
                "depth_quantile needs a depth map, but the frame has none.", fix="Give read_frame a depth file."
            )
        share = self.low + (self.high - self.low) * stream.uniform()
        return _rounded(_quantile(np.asarray(frame.depth_m[0]), share))

    def extremes(self) -> tuple[Plain, ...]:
        return (1.0,)  # any depth of a frame is a positive number of meters


@dataclass(frozen=True)
class Meter(_Bounded):
    """A light meter: the gain that sets a quantile of the picture's luminance to a level, log-uniform in [low, high].

    In TOML: ``{ meter = [0.5, 0.1, 0.2] }`` sets the median to .1 to .2 of white. Use it for sources whose white is
    arbitrary, such as HDR panoramas. Luminance is that of linear sRGB (.2126, .7152, .0722); codes of files with a
    response curve are first decoded as sRGB. If the quantile is black, the mean is used instead; a black picture gets a
    gain of 1.
    """

    quantile: float
    low: float
    high: float

    @property
    def sees_frame(self) -> bool:
        return True

    def __post_init__(self) -> None:
        super().__post_init__()
        LogUniform(self.low, self.high)
        if not 0 <= self.quantile <= 1:
            raise InvalidValueError(f"meter: the quantile lies in [0, 1], got {self.quantile}.")

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        image = np.asarray(frame.image[0], np.float64)
        light = srgb_to_linear(image) if frame.encoding is Encoding.DISPLAY else image
        luminance = np.tensordot(_LUMINANCE, light, 1) if len(light) == 3 else light.mean(axis=0)
        level = _quantile(luminance, self.quantile)
        if not level > 0:
            level = float(luminance.mean())  # the quantile is black; use the rest
        if not level > 0:
            return 1.0  # no gain can brighten a black picture
        wanted = self.low * math.exp(math.log(self.high / self.low) * stream.uniform())
        return _rounded(wanted / level)

    def extremes(self) -> tuple[Plain, ...]:
        return (1.0,)  # some positive number


@dataclass(frozen=True)
class SameAs(Distribution):
    """The value of a field of an earlier step. In TOML: ``{ same_as = "shake.length_px" }``."""

    field: str

    def __post_init__(self) -> None:
        if not isinstance(self.field, str) or self.field.count(".") != 1:
            raise InvalidValueError(f'same_as must be "step.field", got {self.field!r}.')

    @property
    def step(self) -> str:
        return self.field.split(".")[0]

    @property
    def name(self) -> str:
        return self.field.split(".")[1]

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        return cast(Plain, getattr(earlier[self.step], self.name))

    def depends_on(self) -> tuple[SameAs, ...]:
        return (self,)

    def extremes(self) -> tuple[Plain, ...]:
        return ()  # known only once the earlier step is; the recipe checks that it exists

    def to_plain(self) -> Any:
        return {self.word: self.field}


@dataclass(frozen=True)
class _Combined(Distribution):
    """One value computed from several factors: the base of :class:`Product` and :class:`Quotient`.

    A factor is a number, a distribution, or ``"step.field"`` of an earlier step. The result is clipped to ``low`` and
    ``high`` if they are given.
    """

    factors: tuple[Distribution, ...]
    low: float | None = None
    high: float | None = None
    options = {"low": _NUMBER, "high": _NUMBER}  # noqa: RUF012

    def __init__(self, *factors: Any, low: float | None = None, high: float | None = None) -> None:
        parsed = tuple(SameAs(f) if isinstance(f, str) else parse(f) for f in factors)
        for name, value in (("factors", parsed), ("low", low), ("high", high)):
            object.__setattr__(self, name, value)
        _check_numbers(self.word, **self._bounds)
        if len(parsed) < 2:
            raise InvalidValueError(f"{self.word} needs at least two factors, got {len(parsed)}.")

    @property
    def _bounds(self) -> dict[str, float]:
        """The limits that are given."""
        return {name: value for name, value in (("low", self.low), ("high", self.high)) if value is not None}

    @property
    def sees_frame(self) -> bool:
        return any(f.sees_frame for f in self.factors)

    @property
    def sees_pixels(self) -> bool:
        return any(f.sees_pixels for f in self.factors)

    @staticmethod
    @abstractmethod
    def _combined(numbers: Sequence[float]) -> float: ...

    def _held(self, numbers: Sequence[Any]) -> float:
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise InvalidValueError(f"{self.word} takes numbers, got {number!r}.")
        return _rounded(self._combined(numbers), **{name: float(bound) for name, bound in self._bounds.items()})

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Plain:
        return self._held([f.sample(stream.child(str(i)), frame, earlier) for i, f in enumerate(self.factors)])

    def depends_on(self) -> tuple[SameAs, ...]:
        return tuple(r for f in self.factors for r in f.depends_on())

    def extremes(self) -> tuple[Plain, ...]:
        ends = [f.extremes() for f in self.factors]
        if all(ends) and not self.sees_frame:
            found = [self._held(numbers) for numbers in itertools.product(*ends)]
            return (min(found), max(found))
        return tuple(map(float, self._bounds.values()))

    def to_plain(self) -> Any:
        factors = [f.field if isinstance(f, SameAs) else f.to_plain() for f in self.factors]
        return {self.word: factors, **self._bounds}


@final
class Product(_Combined):
    """The product of numbers, distributions and fields of earlier steps, clipped to ``low`` and ``high``.

    In TOML: ``{ product = ["exposure.exposure_s", { log_uniform = [50.0, 400.0] }], high = 70.0 }``, so that a longer
    exposure moves farther.
    """

    @staticmethod
    def _combined(numbers: Sequence[float]) -> float:
        return math.prod(numbers)


@final
class Quotient(_Combined):
    """The first factor divided by all others, clipped to ``low`` and ``high``.

    In TOML: ``{ quotient = [1.0, "exposure.gain"] }``.
    """

    @staticmethod
    def _combined(numbers: Sequence[float]) -> float:
        below = math.prod(numbers[1:])
        if below == 0:
            raise InvalidValueError(f"quotient: divides {numbers[0]} by 0.", fix="Give a divisor that is never 0.")
        return numbers[0] / below


def pick(weights: Sequence[float], stream: Stream) -> int:
    """An index drawn with the given relative frequencies."""
    level = stream.uniform() * sum(weights)
    for i, weight in enumerate(weights):
        level -= weight
        if level < 0:
            return i
    return max(i for i, weight in enumerate(weights) if weight > 0)


ALL: tuple[type[Distribution], ...] = (
    Uniform, LogUniform, Normal, TruncatedNormal, Choice, Integer, Beta, DepthQuantile, Meter, SameAs, Product,
    Quotient,
)  # fmt: skip

# Names of distributions in other libraries, for messages.
_OTHER_WORDS = {
    "between": "uniform",
    "gauss": "normal",
    "gaussian": "normal",
    "max": "uniform",
    "min": "uniform",
    "one_of": "choice",
    "options": "choice",
    "randint": "integer",
    "randn": "normal",
    "range": "uniform",
    "values": "choice",
}


def parse(value: Any) -> Distribution:
    """A distribution from its TOML form; a plain value is a constant.

    >>> parse({"uniform": [4, 40]})
    Uniform(low=4, high=40)
    >>> parse(2.0)
    Constant(value=2.0)

    Raises
    ------
    RecipeError
        There is no such distribution, or it has the wrong number of parameters.
    """
    if isinstance(value, Distribution):
        return value
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool | int | float | str):
        return Constant(value)
    if not isinstance(value, Mapping):
        several = f"For one of several values, write {{ choice = {value!r} }}." if isinstance(value, list) else ""
        if isinstance(value, tuple) and len(value) == 2:
            several = f"For a number between the two, write Uniform{value!r}; for one of them, Choice({value!r})."
        raise RecipeError(f"A field holds a number, a string, or a distribution, got {value!r}.", fix=several)
    known = {d.word: d for d in ALL}
    names = [name for name in value if name in known]
    if len(names) != 1:
        if not value or len(names) > 1:
            raise RecipeError(
                f"A distribution needs exactly one name, got {', '.join(names) or 'an empty table'}.",
                fix="For example { uniform = [1.0, 2.0] }.",
            )
        got = next(iter(value))
        meant = _OTHER_WORDS.get(str(got).lower(), str(got).lower())
        raise RecipeError(f"There is no distribution {got!r}.", fix=did_you_mean(meant, known))
    (word,) = names
    made: Any = known[word]
    options = {name: item for name, item in value.items() if name != word}
    if extra := sorted(options.keys() - made.options.keys()):
        raise RecipeError(f"{word} has no parameter {extra[0]!r}.", fix="Give its parameters in the list.")
    given = value[word]
    if made is SameAs:
        return SameAs(given)
    if not _is_list(given):
        what = "values" if made is Choice else "numbers"
        raise RecipeError(f"{word} needs a list of {what}, got {given!r}.", fix=f"Write {{ {word} = [...] }}.")
    if made is Choice:
        weights = options.get("weights", ())
        if not _is_list(weights):
            raise RecipeError(f"choice: weights must be a list of numbers, got {weights!r}.")
        return Choice(tuple(given), tuple(weights))
    try:
        return cast(Distribution, made(*given, **options))
    except TypeError:
        names = [parameter.name for parameter in fields(made)]
        raise RecipeError(f"{word} needs [{', '.join(names)}], got {list(given)!r}.") from None


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def field_schema(field: Schema) -> Schema:
    """The JSON schema of a field of a recipe: a plain value, or one of the distributions that can give it."""
    plain = next((o for o in field.get("anyOf", ()) if o.get("type") != "null"), field)
    plain = {key: value for key, value in plain.items() if key not in ("title", "description", "default")}
    forms: list[Schema] = [
        plain,
        _form(Choice, {"type": "array", "items": plain, "minItems": 1}),
        _form(SameAs, {"type": "string", "pattern": "^[^.]+\\.[^.]+$"}),
    ]
    if plain.get("type") == "number":
        forms += [
            _form(Uniform, _list(plain, plain)),
            _form(LogUniform, _list({"allOf": [plain, _POSITIVE]}, plain)),
            _form(Normal, _list(_NUMBER, {"type": "number", "minimum": 0})),
            _form(TruncatedNormal, _list(_NUMBER, _POSITIVE, plain, plain)),
            _form(Integer, _list(*({**plain, "type": "integer"},) * 2)),
            _form(Beta, _list(_POSITIVE, _POSITIVE, plain, plain, least=2)),
            _form(DepthQuantile, _list(SHARE, SHARE)),
            _form(Meter, _list(SHARE, _POSITIVE, _POSITIVE)),
            *(_form(combined, {"type": "array", "minItems": 2}) for combined in (Product, Quotient)),
        ]
    elif plain.get("type") == "integer":
        forms.append(_form(Integer, _list(plain, plain)))
    elif "sha256" in plain.get("pattern", ""):
        for word, what in (("file", "the array of a file"), ("files", "one of the arrays of some files")):
            forms.append(_table(word, {"type": "string"}, f"{what}, relative to the recipe"))
    kept = {key: field[key] for key in ("description", "default") if field.get(key) is not None}
    return {**kept, "anyOf": forms}


def _list(*items: Schema, least: int | None = None) -> Schema:
    return {"type": "array", "prefixItems": list(items), "items": False, "minItems": least or len(items)}


def _form(kind: type[Distribution], value: Schema) -> Schema:
    return _table(kind.word, value, summary(kind), kind.options)


def _table(word: str, value: Schema, description: str, options: Mapping[str, Schema] = {}) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": [word],
        "properties": {word: value, **options},
        "additionalProperties": False,
    }
