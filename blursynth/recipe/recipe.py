"""Recipes: named samplers in the order of light through a camera."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

from blursynth import degradations
from blursynth.core import Degradation, Draw, Target, check_frame
from blursynth.errors import BlursynthError, InvalidValueError, RecipeError, did_you_mean
from blursynth.frame import Encoding, Frame
from blursynth.io import assets
from blursynth.io.folders import expanded
from blursynth.recipe.distributions import Constant, SameAs
from blursynth.recipe.samplers import CAMERA_FIELDS, Sampler, as_sampler, parse_sampler
from blursynth.records.streams import Stream
from blursynth.records.toml import parse_toml, read_toml

__all__ = ["Recipe", "load_recipe", "recipe_names"]

_MOST_PARENTS = 32
_TOP_LEVEL = {"summary", "source", "target", "extends", "remove", "step"}

# Two names of one setting of a camera: the one that a recipe gives takes the place of an inherited other.
_SAME_SETTING = {
    "gain_dn_per_e": "iso",
    "iso": "gain_dn_per_e",
    "white_level_e": "photons_at_white",
    "photons_at_white": "white_level_e",
}


@dataclass(frozen=True, eq=False)
class Recipe:
    """Named samplers in the order of light through a camera.

    A recipe is not callable: nothing can be blurred without first having the numbers in hand.

    Parameters
    ----------
    steps
        ``(name, sampler or degradation)`` pairs, or these alone, named after their kind. Names are unique; they name
        the random streams, so renaming a step changes its numbers and adding one changes no other's.
    summary
        What it is, in one line.
    name
        How messages call it.
    source
        Where its numbers come from.
    target
        What the sharp picture of a pair is: ``scene``, the same scene through the same camera without blur, noise,
        mosaic and compression, or ``source``, the picture as it was given.

    Raises
    ------
    RecipeError
        A step takes another encoding than the step before it gives, a name stands twice, or a ``same_as`` refers to
        nothing.

    Examples
    --------
    >>> import blursynth as bs
    >>> soft = bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.4, 2.0))
    >>> bs.Recipe([("decode", bs.kinds.Decode()), ("lens", soft)])
    Recipe('unnamed': decode, lens)
    """

    steps: tuple[tuple[str, Sampler], ...]
    summary: str = ""
    name: str = "unnamed"
    source: str = ""
    target: Target = "scene"

    def __init__(
        self,
        steps: Iterable[tuple[str, Sampler | Degradation] | Sampler | Degradation],
        *,
        summary: str = "",
        name: str = "unnamed",
        source: str = "",
        target: Target = "scene",
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "summary", summary)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "target", target)
        if isinstance(steps, Sampler | Degradation | Mapping | str) or not isinstance(steps, Iterable):
            raise RecipeError(
                f"A recipe is made of a list of steps, got {type(steps).__name__}.",
                fix="Write Recipe([('lens', GaussianBlur(sigma_px=1.0)), ...]); plain values are for Recipe.from_dict.",
            )
        named = []
        for item in steps:
            if isinstance(item, tuple) and len(item) == 2:
                named.append((item[0], as_sampler(item[1])))
            else:
                sampler = as_sampler(cast(Sampler, item))
                named.append((sampler.kinds()[0].kind, sampler))
        object.__setattr__(self, "steps", tuple(named))
        self._check()

    def _check(self) -> None:
        if self.target not in ("scene", "source"):
            raise RecipeError(f"{self.name} target: must be 'scene' or 'source', got {self.target!r}.")
        if self.target == "source" and self.steps and self.takes is not self.gives:
            raise RecipeError(
                f"{self.name} target: 'source' needs a recipe that gives what it takes, got {self.takes} -> "
                f"{self.gives}.",
                why="The two pictures of a pair must be of one encoding.",
            )
        if not self.steps:
            raise RecipeError(f"Recipe {self.name!r} has no steps.", fix="Add [[step]] tables with a kind.")
        known: dict[str, Sampler] = {}
        encoding = self.takes
        for step, sampler in self.steps:
            place = f"{self.name} [{step}]"
            if not step or "." in step or not isinstance(step, str):
                raise RecipeError(f"{place}: a step's name is a non-empty string without dots.")
            if step in known:
                raise RecipeError(
                    f"{place}: the name stands twice.", why="It names the random stream.", fix="Rename one."
                )
            for field, distribution in sampler.distributions():
                for other in distribution.depends_on():
                    _check_same_as(f"{place} {field}", distribution.word, other, known)
            try:
                encoding = sampler.gives(encoding)
            except RecipeError as error:
                raise RecipeError(f"{place}: {error}") from None
            known[step] = sampler

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
        """The encoding of what it makes."""
        encoding = self.takes
        for _, sampler in self.steps:
            encoding = sampler.gives(encoding)
        return encoding

    @property
    def sees_frame(self) -> bool:
        """Whether its draws depend on what is in the frame (such as its depth), not only on seed and index."""
        return any(d.sees_frame for _, sampler in self.steps for _, d in sampler.distributions())

    @property
    def is_random(self) -> bool:
        """False for a provenance record: every number is known."""
        return any(
            len(sampler.kinds()) > 1
            or any(not isinstance(d, Constant) for _, d in sampler.distributions())
            or any("seed" in k.model_fields and "seed" not in dict(sampler.distributions()) for k in sampler.kinds())
            for _, sampler in self.steps
        )

    def sample(self, frame: Frame, *, seed: int, index: int) -> Draw:
        """The numbers of sample ``index`` of the data set ``seed``: a pure function of these (and the frame's depth).

        A sampler sees the frame with the depth that earlier steps have given it. For a frame that is light already (an
        HDR file) nothing is drawn in place of decoding and of light beyond white.

        Raises
        ------
        InvalidValueError
            The frame lacks what a sampler needs, or a combination of drawn numbers is impossible.
        """
        check_frame(f"Recipe {self.name!r}", frame)
        earlier: dict[str, Degradation] = {}
        steps = []
        sees_frame = self.sees_frame
        is_linear = frame.encoding is Encoding.LINEAR
        for name, sampler in self.steps:
            try:
                step = sampler.sample(Stream(seed, index, name), frame, earlier)
            except InvalidValueError as error:
                place = f"{self.name} [{name}], sample {index} of seed {seed}"
                raise InvalidValueError(f"{place}: {error.what}", why=error.why, fix=error.fix) from None
            earlier[name] = step  # also where nothing stands in its place: others may refer to its numbers
            steps.append((name, step.for_light() if is_linear else step))
            is_linear = is_linear and step.gives in (None, Encoding.LINEAR)
            if sees_frame:
                frame = step.geometry(frame)
        return Draw(tuple(steps), self.target)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in TOML and JSON; the inverse is :meth:`from_dict`."""
        head = {"summary": self.summary, "source": self.source}
        return {
            **{key: value for key, value in head.items() if value},
            **({} if self.target == "scene" else {"target": self.target}),
            "step": [{"name": name, **sampler.to_dict()} for name, sampler in self.steps],
        }

    @staticmethod
    def from_dict(
        values: Mapping[str, Any], kinds: Sequence[type[Degradation]] = degradations.ALL, *, name: str = "unnamed"
    ) -> Recipe:
        """A recipe from plain values, checked."""
        if not isinstance(values, Mapping):
            raise RecipeError(
                f"{name}: a recipe is made of a table with steps, got {type(values).__name__}.",
                fix="load_recipe takes names and paths.",
            )
        kinds = _checked_kinds(kinds)
        for key in values:
            if key not in _TOP_LEVEL:
                raise RecipeError(
                    f"{name}: there is no key {key!r} at the top.", fix=did_you_mean(str(key), _TOP_LEVEL)
                )
        for key in ("summary", "source", "target"):
            if not isinstance(values.get(key, ""), str):
                raise RecipeError(f"{name} {key}: it must be a string, got {values[key]!r}.")
        steps: list[tuple[str, Sampler]] = []
        for entry in _entries(values, name):
            fields = dict(entry)
            given = fields.pop("name", None)
            if given is not None and not isinstance(given, str):
                raise RecipeError(f"{name} step {len(steps) + 1}: its name must be a string, got {given!r}.")
            step = str(given or fields.get("kind") or f"step {len(steps) + 1}")
            try:
                steps.append((step, parse_sampler(fields, kinds)))
            except BlursynthError as error:
                raise RecipeError(f"{name} [{step}] {error}", field=error.field, value=error.value) from None
        return Recipe(
            steps,
            summary=values.get("summary", ""),
            source=values.get("source", ""),
            target=values.get("target", "scene"),
            name=name,
        )

    def to_toml(self) -> str:
        """The text of a recipe file."""
        import tomli_w

        return tomli_w.dumps(_without_none(self.to_dict()))

    def sha256(self) -> str:
        """Hash of everything that decides the draws."""
        decides = self.to_dict()["step"] if self.target == "scene" else [self.target, self.to_dict()["step"]]
        text = json.dumps(decides, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Recipe({self.name!r}: {', '.join(name for name, _ in self.steps)})"


def _check_same_as(place: str, word: str, other: SameAs, known: Mapping[str, Sampler]) -> None:
    if other.step not in known:
        raise RecipeError(
            f"{place}: {word} refers to {other.step!r}, which is no earlier step.",
            fix=did_you_mean(other.step, known),
        )
    for kind in known[other.step].kinds():
        if other.name not in kind.model_fields:
            raise RecipeError(
                f"{place}: {word} refers to {other.field!r}, but {kind.kind} has no such field.",
                fix=did_you_mean(other.name, kind.model_fields),
            )


def _entries(values: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    entries = values.get("step", [])
    if not isinstance(entries, Sequence) or not all(isinstance(e, Mapping) for e in entries):
        raise RecipeError(
            f"{name}: step must be an array of tables, got "
            f"{'one table' if isinstance(entries, Mapping) else type(entries).__name__}.",
            why="Their order is the order of physics.",
            fix="Write [[step]] with two brackets.",
        )
    return entries


def _without_none(value: Any) -> Any:
    """TOML has no null; a field that is None is at its default, so it is left out."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with the library."""
    folder = resources.files("blursynth.recipe")
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


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
        Degradations that it may use; people's own: ``kinds=(*blursynth.kinds.ALL, Mine)``.
    changes
        ``{"shake.length_px": 20.0}``: fields to replace, by step and name, as a recipe that ``extends`` this one would:
        for a step with ``one_of`` they go to every option that has such a field, and ``kind`` replaces the step. The
        summary of the recipe then says so.

    Raises
    ------
    RecipeError
        It does not exist, is no TOML, or cannot be built; the message names the place.
    """
    kinds = _checked_kinds(kinds)
    if changes is not None and not isinstance(changes, Mapping):
        raise RecipeError(
            f"changes must be a table of step.field and value, got {changes!r}.", fix='Write {"shake.length_px": 20.0}.'
        )
    values, name, folder = _read(source)
    values = _extended(values, name, folder, (), kinds)
    if changes:
        values = _with_changes(values, changes, name, kinds)
    try:
        values = assets.resolve(values, folder)
    except BlursynthError as error:
        raise RecipeError(f"{name}: {error}") from None
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
                            f"{recipe.name} [{step}] {field}: {error.what}",
                            why="A name alone does not say where its numbers are.",
                            fix=f'Write {field} = {{ file = "kernel.npy" }}, or files = ... for one of several.',
                        ) from None


def _read(source: str | Path, relative_to: Path | None = None) -> tuple[dict[str, Any], str, Path | None]:
    """(values, name for messages, folder that relative paths start from)."""
    if not isinstance(source, str | Path):
        raise RecipeError(
            f"A recipe is loaded by its name or the path of a .toml file, got {type(source).__name__}.",
            fix="Recipe.from_dict takes plain values." if isinstance(source, Mapping) else "",
        )
    if isinstance(source, str) and not source.endswith(".toml"):
        if source not in recipe_names():
            raise RecipeError(
                f"There is no recipe {source!r}.",
                fix=f"{did_you_mean(source, recipe_names())} A file of your own must end in .toml.",
            )
        text = (resources.files("blursynth.recipe") / f"{source}.toml").read_text("utf-8")
        return parse_toml(text, source, error=RecipeError), source, None
    path = expanded(source) if relative_to is None else relative_to / source
    values = read_toml(path, error=RecipeError, name=path.name, fix="A recipe is a TOML file.")
    return _with_camera_paths(values, path.parent), path.name, path.parent


def _with_camera_paths(values: Any, folder: Path | None) -> Any:
    """Paths of camera files relative to where the recipe lies, as paths from here."""
    if isinstance(values, dict):
        return {
            key: _camera_path(item, folder) if key == "camera" else _with_camera_paths(item, folder)
            for key, item in values.items()
        }
    return [_with_camera_paths(item, folder) for item in values] if isinstance(values, list) else values


def _camera_path(camera: Any, folder: Path | None) -> Any:
    if isinstance(camera, str) and camera.endswith(".toml") and folder is not None:
        return str(folder / camera)
    if isinstance(camera, dict) and isinstance(camera.get("choice"), list):
        return {**camera, "choice": [_camera_path(option, folder) for option in camera["choice"]]}
    return camera


def _extended(
    values: dict[str, Any],
    name: str,
    folder: Path | None,
    seen: tuple[str, ...],
    kinds: Sequence[type[Degradation]],
) -> dict[str, Any]:
    """Put the steps of a recipe over those of the one it extends.

    A step with the name of a parent's step changes it (:func:`_put_over`); others are appended, or put ``before`` or
    ``after`` a named one. ``remove`` lists steps to leave out.
    """
    parent_name = values.pop("extends", None)
    removed = values.pop("remove", [])
    if parent_name is None:
        if removed:
            raise RecipeError(f"{name} remove: there is nothing to remove from without extends.")
        return values
    if not isinstance(removed, list) or not all(isinstance(step, str) for step in removed):
        raise RecipeError(f"{name} remove: must be a list of names of steps, got {removed!r}.")
    if not isinstance(parent_name, str):
        raise RecipeError(f"{name} extends: must be a name or a path, got {parent_name!r}.")
    try:
        parent, parent_label, parent_folder = _read(parent_name, folder)
    except RecipeError as error:
        raise RecipeError(f"{name} extends: {error}") from None
    identity = str((parent_folder or Path()) / parent_label)
    if identity in seen:
        raise RecipeError(f"{name}: recipes extend each other in a circle: {' -> '.join((*seen, identity))}.")
    if len(seen) >= _MOST_PARENTS:
        raise RecipeError(f"{name}: has more than {_MOST_PARENTS} recipes below it, one extending the other.")
    parent = _extended(parent, parent_label, parent_folder, (*seen, identity), kinds)
    steps = [dict(e) for e in _entries(parent, parent_label)]
    names = [str(e.get("name") or e.get("kind")) for e in steps]
    for gone in removed:
        if gone not in names:
            raise RecipeError(f"{name} remove: {parent_name} has no step {gone!r}.", fix=did_you_mean(str(gone), names))
        del steps[names.index(gone)]
        names.remove(gone)
    for entry in _entries(values, name):
        fields = dict(entry)
        step = str(fields.get("name") or fields.get("kind"))
        before, after = fields.pop("before", None), fields.pop("after", None)
        if step in names and before is None and after is None:
            at = names.index(step)
            steps[at] = _put_over(steps[at], fields, f"{name} [{step}]", kinds)
            continue
        if step not in names and not {"kind", "one_of"} & set(fields):
            raise RecipeError(
                f"{name} [{step}]: {parent_name} has no step {step!r} to change, and a new one needs a kind.",
                fix=did_you_mean(step, names),
            )
        at = len(steps)
        anchor = before if before is not None else after
        if anchor is not None:
            if anchor not in names:
                raise RecipeError(
                    f"{name} [{step}]: {parent_name} has no step {anchor!r}.", fix=did_you_mean(str(anchor), names)
                )
            at = names.index(anchor) + (after is not None)
        steps.insert(at, fields)
        names.insert(at, step)
    changed = [str(e.get("name") or e.get("kind")) for e in _entries(values, name)]
    changed += [f"without {gone}" for gone in removed]
    summary = _noted(parent.get("summary"), ", ".join(changed)) if changed else parent.get("summary", "")
    return {**parent, "summary": summary, **{k: v for k, v in values.items() if k != "step"}, "step": steps}


def _put_over(
    old: Mapping[str, Any], fields: Mapping[str, Any], place: str, kinds: Sequence[type[Degradation]]
) -> dict[str, Any]:
    """A step with some of its fields changed: the one rule of recipes that extend others and of ``changes``.

    Another kind, or ``one_of`` where there was none, replaces all that the step had; so does a camera the numbers of a
    sensor that had none. Of a step with ``one_of`` every option that has a given field takes it; ``probability`` is the
    step's own.
    """
    old = dict(old)
    said = {"kind", "one_of"} & set(fields)  # what it is now; if it does not say, it is what it was
    if said and not (fields.get("kind") == old.get("kind") and said == {"kind", "one_of"} & set(old)):
        name = {"name": old["name"]} if "name" in old else {"name": old["kind"]} if "kind" in old else {}
        return {**name, **fields}
    if "one_of" in old and not said:
        own = {key: value for key, value in fields.items() if key in ("name", "probability")}
        options = old["one_of"]
        for field, value in fields.items():
            if field not in own:
                options = _with_field_of_options(options, field, value, place, kinds)
        return {**old, **own, "one_of": options}
    for new, replaced in _SAME_SETTING.items():
        if "camera" in old and new in fields and replaced not in fields:
            old.pop(replaced, None)
    if "camera" in fields and "camera" not in old:
        # A camera draws what the numbers of the sensor were: they would stand in its way.
        old = {key: value for key, value in old.items() if key in ("name", "kind", "weight", "probability")}
    return {**old, **fields}


def _with_field_of_options(
    options: Any, field: str, value: Any, place: str, kinds: Sequence[type[Degradation]]
) -> list[Any]:
    """Options with a field changed in each that has it."""
    if not isinstance(options, list) or not all(isinstance(option, Mapping) for option in options):
        raise RecipeError(f"{place} one_of needs a list of tables with weight, kind and fields.")
    known: set[str] = set()
    changed = [_with_field_of_option(option, field, value, place, kinds, known) for option in options]
    if field not in known:
        raise RecipeError(f"{place} {field}: no option of one_of has such a field.", fix=did_you_mean(field, known))
    return changed


def _with_field_of_option(
    option: Mapping[str, Any],
    field: str,
    value: Any,
    place: str,
    kinds: Sequence[type[Degradation]],
    known: set[str],
) -> dict[str, Any]:
    """An option, with the field changed if it has it; what fields it has is added to ``known``."""
    if "one_of" in option:  # an option that is a choice itself
        if not isinstance(option["one_of"], list) or not all(isinstance(o, Mapping) for o in option["one_of"]):
            raise RecipeError(f"{place} one_of needs a list of tables with weight, kind and fields.")
        inner = [_with_field_of_option(o, field, value, place, kinds, known) for o in option["one_of"]]
        return {**option, "one_of": inner}
    kind = next((k for k in kinds if k.kind == option.get("kind")), None)
    names = set(option) - {"kind", "weight", "probability"}
    if kind is not None:
        names |= set(kind.model_fields)
        if "camera" in option:
            names |= set(CAMERA_FIELDS)
    known |= names
    return _put_over(option, {field: value}, place, kinds) if field in names else dict(option)


def _with_changes(
    values: Mapping[str, Any], changes: Mapping[str, Any], name: str, kinds: Sequence[type[Degradation]]
) -> dict[str, Any]:
    """``step.field`` changed, all of one step at once, so that their order does not matter; the summary says so."""
    entries = [dict(entry) for entry in _entries(values, name)]
    names = [str(entry.get("name") or entry.get("kind")) for entry in entries]
    of_step: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        step, dot, field = str(path).partition(".")
        if not dot or not field:
            raise RecipeError(f"A change is step.field=value, got {path!r}.", fix="For example shake.length_px=20.")
        if step not in names:
            raise RecipeError(f"{path}: {name} has no step {step!r}.", fix=did_you_mean(step, names))
        if field in ("name", "before", "after"):
            raise RecipeError(
                f"{path}: a change gives a step other numbers, not another {'name' if field == 'name' else 'place'}.",
                why="The name is that of its random stream, and the order is the order of physics.",
                fix=f'Write a recipe with extends = "{name}" for that.',
            )
        of_step.setdefault(step, {})[field] = value
    for step, fields in of_step.items():
        at = names.index(step)
        entries[at] = _put_over(entries[at], fields, f"{name} [{step}]", kinds)
    note = ", ".join(f"{path} = {_shown(value)}" for path, value in changes.items())
    return {**values, "summary": _noted(values.get("summary"), note), "step": entries}


def _noted(summary: Any, note: str) -> Any:
    """A summary with what was changed since it was written; what is no text is left to the check."""
    if not isinstance(summary or "", str):
        return summary
    return f"{summary}; changed: {note}" if summary else f"changed: {note}"


def _shown(value: Any) -> str:
    """A value as TOML has it, for people."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else f"{value}"
