"""Recipes: named samplers in the order of light through a camera."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from blursynth import degradations
from blursynth.core import Degradation, Draw, Target, as_target, check_frame
from blursynth.degradations.sensor.sensor import Sensor
from blursynth.degradations.synonyms import SYNONYMS
from blursynth.errors import BlursynthError, InvalidValueError, RecipeError, did_you_mean
from blursynth.frame import Encoding, Frame, Window
from blursynth.io import assets
from blursynth.recipe.distributions import Constant, SameAs
from blursynth.recipe.samplers import Maybe, OneOf, Random, Sampler, as_sampler
from blursynth.recipe.sensor_from_profile import SensorFromProfile
from blursynth.records.kind import find_kind
from blursynth.records.streams import Stream
from blursynth.records.toml import Tables, TomlFiles, change, merged, without_none

__all__ = ["Recipe", "load_recipe", "recipe_names"]

_TOP_LEVEL = {"summary", "source", "target", "step"}


@dataclass(frozen=True, eq=False)
class Recipe:
    """Named samplers in the order of light through a camera.

    A recipe is not callable: its parameters must be drawn before anything can be blurred.

    Parameters
    ----------
    steps
        ``(name, sampler or degradation)`` pairs, or samplers or degradations alone, which are named after their kind.
        Names must be unique. They also name the random streams, so renaming a step changes its draws, while adding a
        step does not change those of others.
    summary
        A one-line description.
    name
        Name used in messages.
    source
        Where its parameters come from.
    target
        The sharp picture of a pair: ``scene``, the same scene through the same camera without blur, noise, mosaic and
        compression, ``source``, the picture as it was given, or ``short_exposure``, see
        :class:`blursynth.ShortExposure`.

    Raises
    ------
    RecipeError
        A step takes a different encoding than the previous step gives, a name is used twice, or a ``same_as`` refers to
        nothing.

    Examples
    --------
    >>> import blursynth as bs
    >>> soft = bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.4, 2.0))
    >>> bs.Recipe([("decode", bs.kinds.Decode()), ("lens", soft)])
    Recipe('unnamed': decode, lens)
    """

    steps: tuple[tuple[str, Sampler], ...]
    summary: str
    name: str
    source: str
    target: Target

    def __init__(
        self,
        steps: Iterable[tuple[str, Sampler | Degradation] | Sampler | Degradation],
        *,
        summary: str = "",
        name: str = "unnamed",
        source: str = "",
        target: Target | str | Mapping[str, Any] = "scene",
    ) -> None:
        if isinstance(steps, Sampler | Degradation | Mapping | str) or not isinstance(steps, Iterable):
            raise RecipeError(
                f"A recipe takes a list of steps, got {type(steps).__name__}.",
                fix="Write Recipe([('lens', GaussianBlur(sigma_px=1.0)), ...]); use Recipe.from_dict for plain values.",
            )
        named = []
        for item in steps:
            if isinstance(item, tuple) and len(item) == 2:
                named.append((item[0], as_sampler(item[1])))
            else:
                sampler = as_sampler(cast(Sampler, item))
                named.append((sampler.kinds()[0].kind, sampler))
        try:
            target = as_target(target)
        except InvalidValueError as error:
            raise error.at(f"{name} target", RecipeError) from None
        values = {"steps": tuple(named), "summary": summary, "name": name, "source": source, "target": target}
        for key, value in values.items():
            object.__setattr__(self, key, value)
        self._check()

    def _check(self) -> None:
        if self.target.kind == "source" and self.steps and self.takes is not self.gives:
            raise RecipeError(
                f"'source' needs a recipe that gives the encoding it takes, got {self.takes} -> {self.gives}.",
                why="The two pictures of a pair must have the same encoding.",
                place=f"{self.name} target",
                field="target",
                value=self.target,
            )
        if not self.steps:
            raise RecipeError(f"Recipe {self.name!r} has no steps.", fix="Add [[step]] tables with a kind.")
        known: dict[str, Sampler] = {}
        encoding = self.takes
        for step, sampler in self.steps:
            place = f"{self.name} [{step}]"
            if not step or "." in step or not isinstance(step, str):
                raise RecipeError("the name must be a non-empty string without dots.", place=place, value=step)
            if step in known:
                raise RecipeError(
                    "the name is used twice.", why="It names the random stream.", fix="Rename one.", place=place
                )
            for field, distribution in sampler.distributions():
                for other in distribution.depends_on():
                    _check_same_as(f"{place} {field}", distribution.word, other, known)
            try:
                encoding = sampler.gives(encoding)
            except RecipeError as error:
                raise error.at(place) from None
            known[step] = sampler
        for unknown in self.target.unknown_steps(known):
            raise RecipeError(
                f"the target leaves out the step {unknown!r}, which the recipe does not have.",
                fix=did_you_mean(unknown, known),
                place=f"{self.name} target.without",
                field="without",
                value=unknown,
            )

    @property
    def takes(self) -> Encoding | None:
        """The encoding that frames must have: DISPLAY for a recipe that begins with a decode step."""
        for _, sampler in self.steps:
            for kind in sampler.kinds():
                if kind.takes is not None:
                    return kind.takes
        return None

    @property
    def gives(self) -> Encoding | None:
        """The encoding of its result."""
        encoding = self.takes
        for _, sampler in self.steps:
            encoding = sampler.gives(encoding)
        return encoding

    @property
    def sees_frame(self) -> bool:
        """Whether its draws depend on the content of the frame (such as its depth), not only on seed and index."""
        return any(d.sees_frame for _, sampler in self.steps for _, d in sampler.distributions())

    @property
    def sees_pixels(self) -> bool:
        """Whether its draws depend on the pixels of the frame, not only on its depth."""
        return any(d.sees_pixels for _, sampler in self.steps for _, d in sampler.distributions())

    @property
    def is_random(self) -> bool:
        """False for a provenance record, in which all parameters are known."""
        return any(
            len(sampler.kinds()) > 1
            or any(not isinstance(d, Constant) for _, d in sampler.distributions())
            or any("seed" in k.model_fields and "seed" not in dict(sampler.distributions()) for k in sampler.kinds())
            for _, sampler in self.steps
        )

    def sample(self, frame: Frame, *, seed: int, index: int) -> Draw:
        """Draw sample ``index`` of the data set with this ``seed``: a pure function of these (and the frame's depth).

        A sampler sees the frame with the depth that earlier steps have set. For a frame that is already linear (an HDR
        file), decoding and the extension of light beyond white are skipped.

        Raises
        ------
        InvalidValueError
            The frame lacks something that a sampler needs, or a combination of drawn values is impossible.
        """
        check_frame(f"Recipe {self.name!r}", frame)
        return self.sample_within(frame, (0, 0, *frame.size_px), seed=seed, index=index)[0]

    def sample_within(self, frame: Frame, window: Window, *, seed: int, index: int) -> tuple[Draw, tuple[Frame, ...]]:
        """:meth:`sample` of a window, and the frame after each step with what it sets: depth, labels and camera.

        The draw is that of ``frame.crop(*window)``. The frames are those that :meth:`Draw.reach` takes, for which a
        window has a margin; a scene is then computed once for both.
        """
        earlier: dict[str, Degradation] = {}
        steps, frames = [], []
        is_linear = frame.encoding is Encoding.LINEAR
        part = frame.crop(*window)
        for name, sampler in self.steps:
            try:
                step = sampler.sample(Stream(seed, index, name), part, earlier)
            except InvalidValueError as error:
                raise error.at(f"{self.name} [{name}], sample {index} of seed {seed}") from None
            earlier[name] = step  # even if it is skipped, since others may refer to its values
            steps.append((name, step.for_light() if is_linear else step))
            is_linear = is_linear and step.gives in (None, Encoding.LINEAR)
            if (after := step.geometry(frame)) is not frame:
                frame, part = after, after.crop(*window)
            frames.append(frame)
        return Draw(tuple(steps), self.target), tuple(frames)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in TOML and JSON; the inverse is :meth:`from_dict`."""
        head = {"summary": self.summary, "source": self.source}
        return {
            **{key: value for key, value in head.items() if value},
            **({} if self.target.kind == "scene" else {"target": self.target.written()}),
            "step": [{"name": name, **sampler.to_dict()} for name, sampler in self.steps],
        }

    @staticmethod
    def from_dict(
        values: Mapping[str, Any], kinds: Sequence[type[Degradation]] = degradations.ALL, *, name: str = "unnamed"
    ) -> Recipe:
        """A validated recipe from plain values."""
        if not isinstance(values, Mapping):
            raise RecipeError(
                f"a recipe must be a table with steps, got {type(values).__name__}.",
                fix="Use load_recipe for names and paths.",
                place=name,
            )
        kinds = _checked_kinds(kinds)
        for key in values:
            if key not in _TOP_LEVEL:
                raise RecipeError(
                    f"there is no key {key!r} at the top.",
                    fix=did_you_mean(str(key), _TOP_LEVEL),
                    place=name,
                    field=str(key),
                )
        for key in ("summary", "source"):
            if not isinstance(values.get(key, ""), str):
                raise RecipeError(
                    f"it must be a string, got {values[key]!r}.", place=f"{name} {key}", field=key, value=values[key]
                )
        steps: list[tuple[str, Sampler]] = []
        for entry in _entries(values, name):
            fields = dict(entry)
            given = fields.pop("name", None)
            if given is not None and not isinstance(given, str):
                raise RecipeError(
                    f"its name must be a string, got {given!r}.", place=f"{name} step {len(steps) + 1}", field="name"
                )
            step = str(given or fields.get("kind") or f"step {len(steps) + 1}")
            try:
                steps.append((step, _sampler(fields, kinds)))
            except BlursynthError as error:
                raise error.at(f"{name} [{step}]", RecipeError) from None
        return Recipe(
            steps,
            summary=values.get("summary", ""),
            source=values.get("source", ""),
            target=values.get("target", "scene"),
            name=name,
        )

    def to_toml(self) -> str:
        """The recipe as the text of a TOML file."""
        import tomli_w

        return tomli_w.dumps(without_none(self.to_dict()))

    def sha256(self) -> str:
        """Hash of everything that determines the draws."""
        steps = self.to_dict()["step"]
        decides = steps if self.target.kind == "scene" else [self.target.written(), steps]
        text = json.dumps(decides, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Recipe({self.name!r}: {', '.join(name for name, _ in self.steps)})"


def _sampler(entry: Mapping[str, Any], kinds: Sequence[type[Degradation]]) -> Sampler:
    """A sampler from its TOML form: ``kind`` and fields; or ``one_of``; with ``probability`` for a maybe."""
    fields = dict(entry)
    if "probability" in fields:
        return Maybe(fields.pop("probability"), _sampler(fields, kinds))
    if "one_of" in fields:
        options = fields.pop("one_of")
        if not isinstance(options, Sequence) or not all(isinstance(o, Mapping) for o in options):
            raise RecipeError("one_of needs a list of tables with weight, kind and fields.")
        if fields:
            raise RecipeError(
                f"A step with one_of cannot have fields of its own, got {sorted(fields)[0]!r}.",
                why="It would be ambiguous whether this field or that of an option applies.",
                fix="Move it into the options. (Later changes of the step, by a recipe that extends this one or by "
                "name, apply to every option that has such a field.)",
            )
        pairs = []
        for option in options:
            rest = dict(option)
            weight = rest.pop("weight", 1.0)
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise RecipeError(f"weight must be a number, got {weight!r}.")
            pairs.append((cast(float, weight), _sampler(rest, kinds)))
        return OneOf(*pairs)
    kind = find_kind(fields.pop("kind", None), kinds, synonyms=SYNONYMS, error=RecipeError)
    if kind is Sensor and not fields.keys().isdisjoint(SensorFromProfile.more_fields):
        return SensorFromProfile.from_fields(fields)
    return Random(kind, **fields)


def _check_same_as(place: str, word: str, other: SameAs, known: Mapping[str, Sampler]) -> None:
    if other.step not in known:
        raise RecipeError(
            f"{word} refers to {other.step!r}, which is not an earlier step.",
            fix=did_you_mean(other.step, known),
            place=place,
        )
    for kind in known[other.step].kinds():
        if other.name not in kind.model_fields:
            raise RecipeError(
                f"{word} refers to {other.field!r}, but {kind.kind} has no such field.",
                fix=did_you_mean(other.name, kind.model_fields),
                place=place,
            )


def _entries(values: Mapping[str, Any], name: str, key: str = "step") -> Sequence[Mapping[str, Any]]:
    entries = values.get(key, [])
    if not isinstance(entries, Sequence) or not all(isinstance(e, Mapping) for e in entries):
        raise RecipeError(
            f"{key} must be an array of tables, got "
            f"{'one table' if isinstance(entries, Mapping) else type(entries).__name__}.",
            why="Steps have an order: that of the light." if key == "step" else "",
            fix=f"Write [[{key}]] with double brackets." if key == "step" else "",
            place=name,
            field=key,
            value=entries,
        )
    return entries


def _located(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Tables of a recipe with resolved paths of other files, and with array files replaced by array names."""

    def in_steps(entries: Any) -> Any:
        if not isinstance(entries, list):
            return entries
        return [in_step(entry) if isinstance(entry, dict) else entry for entry in entries]

    def in_step(entry: dict[str, Any]) -> dict[str, Any]:
        entry = SensorFromProfile.located(entry, folder)
        return {**entry, "one_of": in_steps(entry["one_of"])} if "one_of" in entry else entry

    if "step" in values:
        values = {**values, "step": in_steps(values["step"])}
    resolved: dict[str, Any] = assets.resolve(values, folder)
    return resolved


_FILES = TomlFiles("recipe", RecipeError, "blursynth.recipe", _located)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with the library."""
    return _FILES.names()


def load_recipe(
    source: str | Path,
    *,
    kinds: Sequence[type[Degradation]] = degradations.ALL,
    changes: Mapping[str, Any] | None = None,
) -> Recipe:
    """A recipe by name, or from a .toml file.

    Parameters
    ----------
    source
        Name of a recipe that comes with the library (:func:`recipe_names`), or path of a .toml file.
    kinds
        Degradations that it may use. To add custom ones: ``kinds=(*blursynth.kinds.ALL, Mine)``.
    changes
        Fields to replace, by step and name: ``{"shake.length_px": 20.0}``. As in a recipe that ``extends`` this
        one, a step with ``one_of`` has the field changed in every option that has it, and ``kind`` replaces
        the step. ``target`` and ``target.fraction`` change the sharp picture. The changes are added to the summary of
        the recipe.

    Raises
    ------
    RecipeError
        It does not exist, is not TOML, or cannot be built; the message says where.
    """
    kinds = _checked_kinds(kinds)
    if changes is not None and not isinstance(changes, Mapping):
        raise RecipeError(
            f"changes must map step.field to values, got {changes!r}.", fix='Write {"shake.length_px": 20.0}.'
        )
    tables = _FILES.read(source, merge=partial(_extended, kinds=kinds))
    name, values = tables.name, tables.values
    if "remove" in values:
        raise RecipeError("remove needs extends.", place=f"{name} remove", field="remove")
    if changes:
        try:
            resolved = assets.resolve(dict(changes), tables.folder)
        except BlursynthError as error:
            raise error.at(name, RecipeError) from None
        note = ", ".join(f"{path} = {_shown(value)}" for path, value in changes.items())
        values = {**_with_changes(values, resolved, name, kinds), "summary": _noted(values.get("summary"), note)}
    recipe = Recipe.from_dict(values, kinds, name=name)
    _check_assets(recipe)
    return recipe


def _checked_kinds(kinds: object) -> tuple[type[Degradation], ...]:
    if not isinstance(kinds, Iterable) or isinstance(kinds, type | str):
        raise RecipeError(
            f"kinds must be a list of degradations, got {kinds!r}.", fix="Write (*blursynth.kinds.ALL, Mine)."
        )
    found = tuple(kinds)
    for kind in found:
        if not (isinstance(kind, type) and issubclass(kind, Degradation)):
            raise RecipeError(
                f"kinds must be a list of degradations, got {kind!r} in it.", fix="Write (*blursynth.kinds.ALL, Mine)."
            )
    return found


def _check_assets(recipe: Recipe) -> None:
    for step, sampler in recipe.steps:
        for field, distribution in sampler.distributions():
            for value in distribution.extremes():
                if isinstance(value, str) and value.startswith("sha256:"):
                    try:
                        assets.get(value)
                    except InvalidValueError as error:
                        raise RecipeError(
                            error.what,
                            why="A name alone does not say where the array is stored.",
                            fix=f'Write {field} = {{ file = "kernel.npy" }}, or files = ... for one of several.',
                            place=f"{recipe.name} [{step}] {field}",
                        ) from None


def _extended(below: Tables, above: Tables, *, kinds: Sequence[type[Degradation]]) -> dict[str, Any]:
    """Merge the steps of a recipe into those of the one it extends.

    A step with the name of a parent's step changes it (:func:`_put_over`); others are appended, or inserted ``before``
    or ``after`` a named one. ``remove`` lists steps to leave out. Fields of a ``target`` replace those of the parent's,
    unless it is of another kind.
    """
    name, values = above.name, dict(above.values)
    removed = values.pop("remove", [])
    if not isinstance(removed, list) or not all(isinstance(step, str) for step in removed):
        raise RecipeError(f"must be a list of step names, got {removed!r}.", place=f"{name} remove", field="remove")
    steps = [dict(entry) for entry in _entries(below.values, below.name)]
    names = [_name(entry) for entry in steps]
    for gone in removed:
        at = _position(gone, names, below.name, place=f"{name} remove", field="remove")
        del steps[at], names[at]
    for entry in _entries(values, name):
        fields = dict(entry)
        step = _name(fields)
        place = f"{name} [{step}]"
        before, after = fields.pop("before", None), fields.pop("after", None)
        if step in names and before is None and after is None:
            at = names.index(step)
            steps[at] = _put_over(steps[at], fields, place, kinds)
            continue
        if step not in names and not {"kind", "one_of"} & set(fields):
            raise RecipeError(
                f"{below.name} has no step {step!r} to change, and a new one needs a kind.",
                fix=did_you_mean(step, names),
                place=place,
            )
        at = len(steps)
        anchor = before if before is not None else after
        if anchor is not None:
            at = _position(anchor, names, below.name, place=place) + (after is not None)
        steps.insert(at, fields)
        names.insert(at, step)
    changed = [_name(entry) for entry in _entries(values, name)] + [f"without {gone}" for gone in removed]
    changed += ["target"] * ("target" in values)
    summary = below.values.get("summary", "")
    noted = _noted(summary, ", ".join(changed)) if changed else summary
    targets = [_target_table(owner.values) for owner in (below, above)]
    target = merged(*targets, of_a_kind=("target",))
    return {**below.values, "summary": noted, **values, **target, "step": steps}


def _target_table(values: Mapping[str, Any]) -> dict[str, Any]:
    """The target of a recipe as a table; empty if it names none."""
    if "target" not in values:
        return {}
    return {"target": {"kind": values["target"]} if isinstance(values["target"], str) else values["target"]}


def _position(step: object, names: Sequence[str], owner: str, **about: str) -> int:
    """The position of a step in the recipe ``owner``."""
    if step not in names:
        raise RecipeError(f"{owner} has no step {step!r}.", fix=did_you_mean(str(step), names), **about)
    return names.index(str(step))


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("name") or entry.get("kind"))


def _put_over(
    old: Mapping[str, Any], fields: Mapping[str, Any], place: str, kinds: Sequence[type[Degradation]]
) -> dict[str, Any]:
    """A step with some of its fields changed: the common rule of recipes that extend others and of ``changes``.

    Another kind, or ``one_of`` where there was none, replaces everything the step had; a camera replaces the parameters
    of a sensor that had none. In a step with ``one_of``, every option that has a given field receives it;
    ``probability`` belongs to the step itself.
    """
    old = dict(old)
    said = {"kind", "one_of"} & set(fields)  # its new form; unchanged if neither is given
    if said and not (fields.get("kind") == old.get("kind") and said == {"kind", "one_of"} & set(old)):
        name = {"name": old["name"]} if "name" in old else {"name": old["kind"]} if "kind" in old else {}
        return {**name, **fields}
    if "one_of" in old and not said:
        own = {key: value for key, value in fields.items() if key in ("name", "probability")}
        options = _entries(old, place, "one_of")
        for field, value in fields.items():
            if field not in own:
                options = _with_field_of_options(options, field, value, place, kinds)
        return {**old, **own, "one_of": options}
    own = {key: value for key, value in old.items() if key in ("name", "kind", "weight", "probability")}
    rest = {key: value for key, value in old.items() if key not in own}
    if _is_sensor(old, kinds):
        rest = SensorFromProfile.kept(rest, fields)
    return {**own, **rest, **fields}


def _is_sensor(step: Mapping[str, Any], kinds: Sequence[type[Degradation]]) -> bool:
    return Sensor in kinds and step.get("kind") == Sensor.kind


def _with_field_of_options(
    options: Sequence[Mapping[str, Any]], field: str, value: Any, place: str, kinds: Sequence[type[Degradation]]
) -> list[Any]:
    """Options with a field changed in every option that has it."""
    known: set[str] = set()

    def changed(option: Mapping[str, Any]) -> dict[str, Any]:
        if "one_of" in option:  # an option that is itself a choice
            return {**option, "one_of": [changed(inner) for inner in _entries(option, place, "one_of")]}
        names = set(option) - {"kind", "weight", "probability"}
        for kind in kinds:
            if kind.kind == option.get("kind"):
                names |= set(kind.model_fields)
        if "camera" in option and _is_sensor(option, kinds):
            names |= set(SensorFromProfile.more_fields)
        known.update(names)
        return _put_over(option, {field: value}, place, kinds) if field in names else dict(option)

    result = [changed(option) for option in options]
    if field not in known:
        raise RecipeError(
            f"no option of one_of has a field {field!r}.",
            fix=did_you_mean(field, known),
            place=place,
            field=field,
            value=value,
        )
    return result


def _with_changes(
    values: Mapping[str, Any], changes: Mapping[str, Any], name: str, kinds: Sequence[type[Degradation]]
) -> dict[str, Any]:
    """Apply changes of ``step.field``, all changes of a step at once so that their order does not matter."""
    entries = [dict(entry) for entry in _entries(values, name)]
    names = [_name(entry) for entry in entries]
    of_step: dict[str, dict[str, Any]] = {}
    of_target: dict[str, Any] = {}
    for path, value in changes.items():
        step, dot, field = str(path).partition(".")
        if step == "target" and step not in names:
            of_target["target.kind" if isinstance(value, str) and not dot else path] = value
            continue
        if not dot or not field:
            raise RecipeError(f"A change is step.field=value, got {path!r}.", fix="For example shake.length_px=20.")
        _position(step, names, name, place=str(path), field=str(path))
        if field in ("name", "before", "after"):
            raise RecipeError(
                f"a change can replace the fields of a step, not its {'name' if field == 'name' else 'place'}.",
                why="The name is that of its random stream, and the order is that of the light.",
                fix=f'Write a recipe with extends = "{name}" for that.',
                place=path,
                field=path,
            )
        of_step.setdefault(step, {})[field] = value
    for step, fields in of_step.items():
        at = names.index(step)
        entries[at] = _put_over(entries[at], fields, f"{name} [{step}]", kinds)
    before = Tables(_target_table(values), name)
    target = change(before, of_target, error=RecipeError, of_a_kind=("target",)).values
    return {**values, **target, "step": entries}


def _noted(summary: Any, note: str) -> Any:
    """A summary with the changes appended; validation handles a summary that is not a string."""
    if not isinstance(summary or "", str):
        return summary
    return f"{summary}; changed: {note}" if summary else f"changed: {note}"


def _shown(value: Any) -> str:
    """A value in readable TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else f"{value}"
