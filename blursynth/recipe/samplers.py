"""Samplers: degradations whose numbers are still to be drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, final

import numpy as np

from blursynth.cameras.profile import NoiseModel, SensorProfile, load_sensor_profile
from blursynth.core import Degradation, Identity
from blursynth.degradations.sensor.sensor import Sensor
from blursynth.degradations.synonyms import SYNONYMS
from blursynth.errors import BlursynthError, InvalidValueError, RecipeError, did_you_mean
from blursynth.frame import Encoding, Frame
from blursynth.recipe.distributions import Choice, Distribution, Earlier, parse, pick
from blursynth.records.kind import find_kind
from blursynth.records.streams import Stream

__all__ = ["CAMERA_FIELDS", "Maybe", "OneOf", "Random", "Sampler", "SensorFromProfile", "parse_sampler"]


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


CAMERA_FIELDS = ("camera", "iso", "photons_at_white", "read_noise_model")
"""What a sensor step of a recipe may hold besides the fields of a sensor: a calibrated camera and its setting."""


@final
class SensorFromProfile(Sampler):
    """A sensor whose gain, noise, offsets and colors are drawn jointly from a calibrated camera.

    The draw is a plain :class:`~blursynth.kinds.Sensor` with all numbers in it: it replays without the camera's file.

    Parameters
    ----------
    camera
        A :class:`~blursynth.SensorProfile`, the name of one (:func:`~blursynth.sensor_profile_names`), the path of a
        .toml file, its table, or ``{"choice": [...], "weights": [...]}`` of these.
    iso
        The setting, a number or a distribution; only for cameras whose gain has a line in ISO.
    photons_at_white
        Photons that linear 1.0 brings to a green pixel; times the camera's quantum efficiency it is ``white_level_e``.
    read_noise_model
        ``tukey_lambda`` or ``gaussian``; by default the better one that the camera has.
    **fields
        Fields of the sensor that replace what the camera gives: numbers or distributions. ``gain_dn_per_e`` chooses the
        setting, and the noise follows it; by default the gain is drawn from the camera's range. ``white_level_e`` is by
        default what puts white on the converter's top code.

    Examples
    --------
    >>> from blursynth import LogUniform
    >>> SensorFromProfile("sony-a7s2", iso=LogUniform(800, 25600), exposure_s=0.05)
    SensorFromProfile('Sony Alpha 7S II', iso=LogUniform(low=800, high=25600), exposure_s=Constant(value=0.05))

    Raises
    ------
    RecipeError
        There is no such camera, it has no such setting, an unknown field, or a value that the sensor refuses.
    """

    def __init__(
        self,
        camera: SensorProfile | str | Path | Mapping[str, Any],
        *,
        iso: Any = None,
        photons_at_white: Any = None,
        read_noise_model: NoiseModel | None = None,
        **fields: Any,
    ) -> None:
        self.cameras, self.weights = _cameras(camera)
        self.read_noise_model = read_noise_model
        self.settings = {
            name: _parsed(name, value)
            for name, value in (("iso", iso), ("photons_at_white", photons_at_white))
            if value is not None
        }
        self.given: dict[str, Distribution] = {}
        for name, value in fields.items():
            if name not in Sensor.model_fields:
                known = (*Sensor.model_fields, *CAMERA_FIELDS)
                raise RecipeError(f"{name}: Sensor has no such field.", fix=did_you_mean(name, known))
            self.given[name] = _parsed(name, value)
        for names in (("iso", "gain_dn_per_e"), ("photons_at_white", "white_level_e")):
            if names[0] in self.settings and names[1] in self.given:
                raise RecipeError(
                    f"{names[0]}: give it or {names[1]}, not both.", why="The one follows from the other."
                )
        for profile in self.cameras:
            self._check(profile)

    def _check(self, profile: SensorProfile) -> None:
        try:
            for setting, check in (("iso", profile.check_iso), ("gain_dn_per_e", profile.check_gain)):
                asked = self.settings.get(setting) or self.given.get(setting)
                for value in asked.extremes() if asked is not None else ():
                    check(value)
            if "photons_at_white" in self.settings and profile.quantum_efficiency is None:
                raise InvalidValueError(
                    f"photons_at_white: camera {profile.name!r} has no quantum_efficiency.",
                    fix="Add it to the camera's file, or give white_level_e.",
                )
            base = profile.draw(Stream(0, 0, "check"), read_noise_model=self.read_noise_model)
        except InvalidValueError as error:
            raise RecipeError(str(error)) from None
        # What is given is checked like the fields of any other kind, in place of what the camera gives.
        Random(Sensor, **{**base, **self.given})

    def sample(self, stream: Stream, frame: Frame, earlier: Earlier) -> Degradation:
        place = pick(self.weights or (1.0,) * len(self.cameras), stream.child("camera")) if self.cameras[1:] else 0
        profile = self.cameras[place]
        settings = {name: d.sample(stream.child(name), frame, earlier) for name, d in self.settings.items()}
        values = {name: d.sample(stream.child(name), frame, earlier) for name, d in self.given.items()}
        drawn = profile.draw(
            stream.child("profile"),
            iso=cast(float | None, settings.get("iso")),
            gain_dn_per_e=cast(float | None, values.get("gain_dn_per_e")),
            read_noise_model=self.read_noise_model,
        )
        if "photons_at_white" in settings:
            photons = cast(float, settings["photons_at_white"])
            drawn["white_level_e"] = float(f"{photons * cast(float, profile.quantum_efficiency):.9g}")
        elif {"bit_depth", "black_level_dn"} & values.keys():
            final_values = {**drawn, **values}
            levels = 2 ** final_values["bit_depth"] - 1 - final_values["black_level_dn"]
            drawn["white_level_e"] = float(f"{levels / final_values['gain_dn_per_e']:.9g}")
        if "seed" not in values:
            values["seed"] = stream.child("seed").seed63()
        return Sensor(**{**drawn, **values})

    def kinds(self) -> tuple[type[Degradation], ...]:
        return (Sensor,)

    def distributions(self) -> Iterable[tuple[str, Distribution]]:
        # The camera is a choice even where there is one: its numbers are drawn.
        names = tuple(profile.name for profile in self.cameras)
        return [("camera", Choice(names, self.weights)), *self.settings.items(), *self.given.items()]

    def to_dict(self) -> dict[str, Any]:
        """With the whole table of the camera, so that a stored recipe needs no file and its hash tells its content."""
        tables = [profile.to_dict() for profile in self.cameras]
        camera: dict[str, Any] = tables[0] if len(tables) == 1 else {"choice": tables}
        if self.weights and len(tables) > 1:
            camera["weights"] = list(self.weights)
        model = {} if self.read_noise_model is None else {"read_noise_model": self.read_noise_model}
        plain = {name: d.to_plain() for name, d in (*self.settings.items(), *self.given.items())}
        return {"kind": Sensor.kind, "camera": camera, **model, **plain}

    def __repr__(self) -> str:
        names = " or ".join(repr(profile.name) for profile in self.cameras)
        fields = (*self.settings.items(), *self.given.items())
        return f"SensorFromProfile({', '.join((names, *(f'{k}={v!r}' for k, v in fields)))})"


def _parsed(name: str, value: Any) -> Distribution:
    try:
        return parse(value)
    except BlursynthError as error:
        raise RecipeError(f"{name}: {error}") from None


def _cameras(camera: Any) -> tuple[tuple[SensorProfile, ...], tuple[float, ...]]:
    """Profiles and their weights."""
    if isinstance(camera, Mapping) and "choice" in camera:
        options, weights = camera["choice"], camera.get("weights", ())
        if not isinstance(options, Sequence) or isinstance(options, str) or not options:
            raise RecipeError(f"camera: choice needs a list of cameras, got {options!r}.")
        if extra := set(camera) - {"choice", "weights"}:
            raise RecipeError(f"camera: choice has no parameter {sorted(extra)[0]!r}.")
        if not isinstance(weights, Sequence) or isinstance(weights, str):
            raise RecipeError(f"camera: weights must be a list of numbers, got {weights!r}.")
        try:
            Choice(tuple(range(len(options))), tuple(weights))
        except InvalidValueError as error:
            raise RecipeError(f"camera: {error}") from None
        return tuple(_camera(option) for option in options), tuple(weights)
    return (_camera(camera),), ()


def _camera(camera: Any) -> SensorProfile:
    if isinstance(camera, SensorProfile):
        return camera
    if isinstance(camera, Mapping):
        return SensorProfile.from_dict(camera)
    return load_sensor_profile(camera)


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
        # An option that is a choice itself draws from elsewhere: the same number would make both choices alike.
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
    """A sampler that happens with a probability; otherwise :class:`~blursynth.kinds.Identity`.

    The encoding must not change.
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
    """Whether a sampler is of a kind, or one of what it chooses among is."""
    if isinstance(sampler, kind):
        return True
    if isinstance(sampler, OneOf):
        return any(_holds(option, kind) for _, option in sampler.options)
    return isinstance(sampler, Maybe) and _holds(sampler.sampler, kind)


def as_sampler(value: object) -> Sampler:
    """A degradation is a sampler with nothing left random; anything else is refused."""
    if isinstance(value, Sampler):
        return value
    if isinstance(value, Degradation):
        return Random(type(value), **value.fields())
    if isinstance(value, type) and issubclass(value, Degradation):
        raise RecipeError(
            f"A step is a sampler or a degradation, got the class {value.__name__} itself.",
            fix=f"Write {value.__name__}(field=...) or Random({value.__name__}, field=...).",
        )
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
        if not isinstance(options, Sequence) or not all(isinstance(o, Mapping) for o in options):
            raise RecipeError("one_of needs a list of tables with weight, kind and fields.")
        if fields:
            raise RecipeError(
                f"A step with one_of has no fields of its own, got {sorted(fields)[0]!r}.",
                why="Whether it or an option's own would count is not said.",
                fix="Put it into the options. (What changes the step later, a recipe that extends this one or a "
                "change by name, goes to every option that has such a field.)",
            )
        pairs = []
        for option in options:
            rest = dict(option)
            weight = rest.pop("weight", 1.0)
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise RecipeError(f"weight must be a number, got {weight!r}.")
            pairs.append((cast(float, weight), parse_sampler(rest, kinds)))
        return OneOf(*pairs)
    kind = find_kind(fields.pop("kind", None), kinds, synonyms=SYNONYMS, error=RecipeError)
    if kind is Sensor and "camera" in fields:
        model = fields.get("read_noise_model")
        if model is not None and not isinstance(model, str):
            raise RecipeError(f"read_noise_model must be a string, got {model!r}.")
        return SensorFromProfile(fields.pop("camera"), **fields)
    if kind is Sensor and (alone := [name for name in CAMERA_FIELDS if name in fields]):
        raise RecipeError(
            f"{alone[0]}: it belongs to a calibrated camera.", fix='Say which: camera = "sony-a7s2", for example.'
        )
    return Random(kind, **fields)
