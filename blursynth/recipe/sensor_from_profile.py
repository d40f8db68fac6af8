"""A sensor that is drawn from a calibrated camera."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, final

from blursynth.cameras.profile import NoiseModel, SensorProfile, load_sensor_profile, rounded, sensor_profile_names
from blursynth.core import Degradation
from blursynth.degradations.sensor.sensor import Sensor
from blursynth.errors import BlursynthError, InvalidValueError, RecipeError
from blursynth.frame import Frame
from blursynth.recipe.distributions import Choice, Distribution, Earlier, field_schema, parse, pick
from blursynth.recipe.samplers import Random, Sampler, parse_fields, parsed_field
from blursynth.records.streams import Stream
from blursynth.records.toml import beside

__all__ = ["SensorFromProfile"]

# Two names of one setting of a camera.
_SAME_SETTING = {
    "gain_dn_per_e": "iso",
    "iso": "gain_dn_per_e",
    "white_level_e": "photons_at_white",
    "photons_at_white": "white_level_e",
}


@final
class SensorFromProfile(Sampler):
    """A sensor whose gain, noise, offsets and colors are drawn jointly from a calibrated camera.

    The draw is a plain :class:`~blursynth.kinds.Sensor` that holds all parameters, so it replays without the camera's
    file.

    Parameters
    ----------
    camera
        A :class:`~blursynth.SensorProfile`, the name of one (:func:`~blursynth.sensor_profile_names`), the path of a
        .toml file, its table, or ``{"choice": [...], "weights": [...]}`` of these.
    iso
        ISO setting, a number or a distribution; only for cameras whose gain is linear in ISO.
    photons_at_white
        Photons per green pixel at linear 1.0. Multiplied by the camera's quantum efficiency, this gives
        ``white_level_e``.
    read_noise_model
        ``tukey_lambda`` or ``gaussian``; by default the better one that the camera has.
    **fields
        Fields of the sensor, numbers or distributions, that replace those from the camera. ``gain_dn_per_e`` selects
        the setting, and the noise follows it; by default the gain is drawn from the camera's range. By default,
        ``white_level_e`` maps white to the top code of the converter.

    Examples
    --------
    >>> from blursynth import LogUniform
    >>> SensorFromProfile("sony-a7s2", iso=LogUniform(800, 25600), exposure_s=0.05)
    SensorFromProfile('Sony Alpha 7S II', iso=LogUniform(low=800, high=25600), exposure_s=Constant(value=0.05))

    Raises
    ------
    RecipeError
        There is no such camera, it has no such setting, a field is unknown, or the sensor refuses a value.
    """

    more_fields = ("camera", "iso", "photons_at_white", "read_noise_model")
    """Fields of a ``sensor`` step beside those of the kind; a step that has one is read by this sampler."""

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
        self.settings: dict[str, Distribution] = {}
        for name, value in (("iso", iso), ("photons_at_white", photons_at_white)):
            if value is not None:
                self.settings[name] = parsed_field(name, value)
        self.given = parse_fields(Sensor, fields, self.more_fields)
        for one, other in _SAME_SETTING.items():
            if one in self.settings and other in self.given:
                raise RecipeError(
                    f"give it or {other}, not both.", why="One determines the other.", place=one, field=one
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
                    f"camera {profile.name!r} has no quantum_efficiency.",
                    fix="Add it to the camera's file, or give white_level_e.",
                    place="photons_at_white",
                )
            base = profile.draw(Stream(0, 0, "check"), read_noise_model=self.read_noise_model)
        except InvalidValueError as error:
            raise error.at("", RecipeError) from None
        # Given fields are checked like those of any other kind, and replace those from the camera.
        Random(Sensor, **{**base, **self.given})

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> SensorFromProfile:
        """The sampler of a step, from its fields without ``kind``."""
        if "camera" not in fields:
            alone = next(name for name in cls.more_fields if name in fields)
            raise RecipeError(
                "this field needs a calibrated camera.",
                fix='Give one, for example camera = "sony-a7s2".',
                place=alone,
                field=alone,
            )
        return cls(**fields)

    @classmethod
    def kept(cls, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a step that remain when ``new`` ones are merged into them.

        A setting replaces its synonym; a camera replaces the parameters of a sensor that had none.
        """
        if "camera" in old:
            gone = [other for one, other in _SAME_SETTING.items() if one in new and other not in new]
            return {name: value for name, value in old.items() if name not in gone}
        return {} if "camera" in new else dict(old)

    @classmethod
    def located(cls, fields: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Fields of a step, with relative paths resolved from the folder of their file."""
        return {**fields, "camera": _located(fields["camera"], folder)} if "camera" in fields else fields

    @classmethod
    def schema(cls, kind: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
        """The JSON schema of a sensor step, with or without a camera, from that of the kind alone.

        Referenced schemas are added to ``definitions``.
        """
        definitions["calibrated_camera"] = _table_schema()
        positive: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0}
        camera = {
            "camera": _camera_schema(),
            "iso": field_schema({**positive, "description": "ISO setting of the camera"}),
            "photons_at_white": field_schema({**positive, "description": "photons per green pixel at white"}),
            "read_noise_model": {
                "description": "by default the better one that the camera has",
                "enum": ["tukey_lambda", "gaussian"],
            },
        }
        return {
            **kind,
            "required": ["kind"],
            "properties": {**kind["properties"], **camera},
            "anyOf": [
                {"required": [name for name in kind["required"] if name != "kind"]},
                {"required": ["camera"]},
            ],
            "dependentRequired": {name: ["camera"] for name in cls.more_fields if name != "camera"},
        }

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
            drawn["white_level_e"] = rounded(photons * cast(float, profile.quantum_efficiency))
        elif {"bit_depth", "black_level_dn"} & values.keys():
            final_values = {**drawn, **values}
            levels = 2 ** final_values["bit_depth"] - 1 - final_values["black_level_dn"]
            drawn["white_level_e"] = rounded(levels / final_values["gain_dn_per_e"])
        if "seed" not in values:
            values["seed"] = stream.child("seed").seed63()
        return Sensor(**{**drawn, **values})

    def kinds(self) -> tuple[type[Degradation], ...]:
        return (Sensor,)

    def distributions(self) -> Iterable[tuple[str, Distribution]]:
        # The camera is a choice even if there is only one, since its parameters are drawn.
        names = tuple(profile.name for profile in self.cameras)
        return [("camera", Choice(names, self.weights)), *self.settings.items(), *self.given.items()]

    def to_dict(self) -> dict[str, Any]:
        """Includes the camera's whole table, so that a stored recipe needs no file and its hash covers the camera."""
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


def _cameras(camera: Any) -> tuple[tuple[SensorProfile, ...], tuple[float, ...]]:
    """Profiles and their weights."""
    if not isinstance(camera, Mapping) or "choice" not in camera:
        return (_camera(camera),), ()
    options = camera["choice"]
    if not isinstance(options, Sequence) or isinstance(options, str) or not options:
        raise RecipeError(f"choice needs a list of cameras, got {options!r}.", place="camera")
    try:  # of indices, so that weights are checked like those of any other choice
        choice = cast(Choice, parse({**camera, "choice": list(range(len(options)))}))
    except BlursynthError as error:
        raise error.at("camera", RecipeError) from None
    return tuple(_camera(option) for option in options), choice.weights


def _camera(camera: Any) -> SensorProfile:
    if isinstance(camera, SensorProfile):
        return camera
    if isinstance(camera, Mapping):
        return SensorProfile.from_dict(camera)
    return load_sensor_profile(camera)


def _located(camera: Any, folder: Path) -> Any:
    """Resolved paths of camera files."""
    if isinstance(camera, str) and camera.endswith(".toml"):
        return beside(camera, folder)
    if isinstance(camera, Mapping) and isinstance(camera.get("choice"), list):
        return {**camera, "choice": [_located(option, folder) for option in camera["choice"]]}
    return camera


def _camera_schema() -> dict[str, Any]:
    one: dict[str, Any] = {
        "anyOf": [
            {"enum": list(sensor_profile_names())},
            {"type": "string", "pattern": "\\.toml$"},
            {"$ref": "#/$defs/calibrated_camera"},
        ]
    }
    several = {
        "type": "object",
        "required": ["choice"],
        "properties": {
            "choice": {"type": "array", "minItems": 1, "items": one},
            "weights": {"type": "array", "items": {"type": "number", "minimum": 0}},
        },
        "additionalProperties": False,
    }
    return {
        "description": "calibrated camera that the parameters are drawn from: a name, the path of a .toml file, its "
        "table, or a choice of these",
        "anyOf": [*one["anyOf"], several],
    }


def _table_schema() -> dict[str, Any]:
    """A camera written out in the recipe, as in stored recipes; its loader validates the content of its tables."""
    fields = SensorProfile.model_fields
    return {
        "type": "object",
        "description": "a calibrated camera, with the content of its file",
        "required": [name for name, field in fields.items() if field.is_required()],
        "properties": dict.fromkeys(fields, True),
        "additionalProperties": False,
    }
