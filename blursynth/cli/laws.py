"""``blursynth laws``: hold a blur against the laws of blur."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blursynth.cli import arguments, console
from blursynth.errors import InvalidValueError

if TYPE_CHECKING:
    from blursynth.testing import Adapter
    from blursynth.testing.laws.law import Law, Result

EPILOG = """\b
Examples:
  blursynth laws mymodule:blur --dtype uint8 --border replicate
  blursynth laws mymodule:blur --adapter mymodule:ADAPTER --profile thorough --html laws.html
  blursynth laws gaussian_blur --set sigma_px=2.5
  blursynth laws --list

The exit code is 1 if the blur breaks a law or raises an error.
"""

_BROKEN = ("violated", "failed")


def _field(name: str, text: str, *, metavar: str | None = None, option: str | None = None) -> Any:
    """An option for a field of the adapter."""
    return typer.Option(
        option or f"--{name.replace('_', '-')}",
        metavar=metavar,
        help=text,
        show_default=False,
    )


def command(
    blur: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE:FUNCTION|KIND", help="A function, or a kind of blursynth's own.", show_default=False
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the laws and what they say, and exit.")] = False,
    law: Annotated[
        list[str] | None,
        typer.Option("--law", metavar="NAME", help="Only this law; may be repeated.", show_default=False),
    ] = None,
    profile: Annotated[
        str, typer.Option("--profile", metavar="dev|ci|thorough", help="How long each law is tried.")
    ] = "dev",
    power: Annotated[
        bool, typer.Option("--power/--no-power", help="Measure the smallest violation that would have been seen.")
    ] = True,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with pictures of violations.", show_default=False),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the results as JSON.", show_default=False)
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter",
            metavar="MODULE:NAME",
            help="An Adapter for claims that are functions; options change its fields.",
            show_default=False,
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field of the kind; may be repeated.", show_default=False),
    ] = None,
    layout: Annotated[str | None, _field("layout", "Axes: HW, HWC (default), CHW, NHW, NHWC, NCHW.")] = None,
    dtype: Annotated[str | None, _field("dtype", "Type: uint8, uint16, float32 (default), float64.")] = None,
    white: Annotated[float | None, _field("white", "Value of white, if not 1 or the largest integer.")] = None,
    array: Annotated[str | None, _field("array", "numpy (default) or torch.")] = None,
    device: Annotated[str | None, _field("device", "Device of tensors, such as cuda.")] = None,
    channels: Annotated[int | None, _field("channels", "Number of channels; 3 by default.")] = None,
    smallest_px: Annotated[
        int | None, _field("smallest_px", "Smallest height and width that it takes, in px.", option="--smallest")
    ] = None,
    depth: Annotated[
        str | None, _field("depth", "Argument that takes distances in m, if it has one.", metavar="NAME")
    ] = None,
    seed: Annotated[str | None, _field("seed", "Argument that takes a seed, if it has one.", metavar="NAME")] = None,
    accuracy: Annotated[float | None, _field("accuracy", "Largest error of one call, of white.")] = None,
    reach_px: Annotated[
        int | None, _field("reach_px", "How far light is spread at most, in px.", option="--reach")
    ] = None,
    border: Annotated[
        str | None, _field("border", "Beyond the edge: reflect, symmetric, replicate, circular or constant.")
    ] = None,
    light: Annotated[str | None, _field("light", "values (default), or srgb: takes codes and blurs light.")] = None,
    largest: Annotated[float | None, _field("largest", "Largest value that it takes, of white.")] = None,
    linear: Annotated[bool | None, _field("linear", "It is a linear operator.", option="--linear/--not-linear")] = None,
    varies: Annotated[
        bool | None, _field("varies", "It differs between places.", option="--varies/--no-varies")
    ] = None,
    centered: Annotated[
        bool | None,
        _field("centered", "The centroid of its point spread is at the point.", option="--centered/--no-centered"),
    ] = None,
    derivative: Annotated[
        bool | None, _field("derivative", "torch can differentiate it.", option="--derivative/--no-derivative")
    ] = None,
    other_dtypes: Annotated[
        list[str] | None,
        _field("other_dtypes", "A further type that it takes; may be repeated.", option="--other-dtype"),
    ] = None,
    row_shift_px: Annotated[
        float | None,
        _field("row_shift_px", "Shift of each row against the one above, in px.", option="--row-shift"),
    ] = None,
    focus_distance_m: Annotated[
        float | None,
        _field("focus_distance_m", "With --depth: distance in m that is not blurred.", option="--focus-distance"),
    ] = None,
    noise: Annotated[
        str | None,
        _field("noise", "Variance per unit of mean and sigma in the dark, of white.", metavar="GAIN,READ_SIGMA"),
    ] = None,
    mosaic: Annotated[str | None, _field("mosaic", "Color filters of its result, such as RGGB.")] = None,
) -> None:
    """Hold any blur against the laws of blur.

    Say how the function is called and what it claims; laws that need a claim that is not made are not held against it.
    """
    if listed:
        _show_list()
        return
    if blur is None:
        raise InvalidValueError(
            "No blur is given.", fix="Write blursynth laws mymodule:blur, or blursynth laws --list to see the laws."
        )
    from blursynth.testing import laws
    from blursynth.testing.laws.law import PROFILES

    if profile not in PROFILES:
        raise InvalidValueError(f"--profile must be {', '.join(PROFILES)}, got {profile!r}.")
    chosen = [laws.find(name) for name in dict.fromkeys(law)] if law else list(laws.ALL)
    fields = {
        "layout": layout, "dtype": dtype, "white": white, "array": array, "device": device, "channels": channels,
        "smallest_px": smallest_px, "depth": depth, "seed": seed, "accuracy": accuracy, "reach_px": reach_px,
        "border": border, "light": light, "largest": largest, "linear": linear, "varies": varies, "centered": centered,
        "derivative": derivative, "other_dtypes": tuple(other_dtypes) if other_dtypes else None,
        "row_shift_px": row_shift_px, "focus_distance_m": focus_distance_m, "noise": _noise(noise), "mosaic": mosaic,
    }  # fmt: skip
    given = {name: value for name, value in fields.items() if value is not None}
    if ":" in blur:
        function, known = _function(blur, adapter, changes, given)
    else:
        function, known = _kind(blur, adapter, changes, given, any_law=not law)
    with _progress(len(chosen)) as watch:
        results = list(watch(laws.examine(function, known, laws=chosen, profile=profile, power=power), chosen))
    _show(results)
    _write(results, html, json)
    if not any(result.status not in ("exempt", "not applicable") for result in results):
        raise InvalidValueError(
            f"None of the laws applies to {blur}.", fix="Make claims by options or an adapter, or choose other laws."
        )
    if any(result.status in _BROKEN for result in results):
        raise typer.Exit(1)


# What is tried


def _function(
    name: str, adapter: str | None, changes: list[str] | None, given: dict[str, Any]
) -> tuple[Callable[..., Any], Adapter]:
    from blursynth.testing import Adapter

    if changes:
        raise InvalidValueError(
            f"--set changes fields of kinds, and {name} is a function.",
            fix="Name a function without further arguments, such as a functools.partial.",
        )
    function = arguments.imported(name)
    if isinstance(function, type) or not callable(function):
        what = "a class" if isinstance(function, type) else f"no function but a value of type {type(function).__name__}"
        raise InvalidValueError(f"{name} is {what}.", fix="Name a function, or an instance that can be called.")
    if adapter is None:
        return function, Adapter(**given)
    known = arguments.imported(adapter)
    if not isinstance(known, Adapter):
        raise InvalidValueError(
            f"--adapter {adapter} is no Adapter but a value of type {type(known).__name__}.",
            fix="Write ADAPTER = blursynth.testing.Adapter(...) in the module.",
        )
    return function, known.replace(**given)


def _kind(
    name: str, adapter: str | None, changes: list[str] | None, given: dict[str, Any], *, any_law: bool
) -> tuple[Callable[..., Any], Adapter]:
    import numpy as np

    from blursynth.degradations import ALL
    from blursynth.degradations.synonyms import SYNONYMS
    from blursynth.records.kind import find_kind
    from blursynth.testing.adapter import Blur
    from blursynth.testing.degradations import adapted

    if adapter is not None or "layout" in given:
        option = "--layout" if adapter is None else "--adapter"
        raise InvalidValueError(f"{option} is for functions; kinds say themselves how they are called.")
    kind = find_kind(name, ALL, synonyms=SYNONYMS)
    if any_law and not kind.blurs:
        raise InvalidValueError(
            f"{kind.kind} is no blur, so that most laws of blur say nothing about it.", fix="Choose laws with --law."
        )
    step = kind.example().replace(**arguments.parse_changes(changes, form="NAME"))
    function, known = adapted(step, **given)
    try:  # what it needs in addition to the picture
        Blur(function, known)(np.zeros((known.channels, 9, 9)))
    except InvalidValueError as error:
        if error.field != "depth_m" or "depth" in given:
            raise
        return adapted(step, **given, depth="depth_m")
    return function, known


def _noise(text: str | None) -> Any:
    from blursynth.testing import Noise

    if text is None:
        return None
    try:
        gain, sigma = (float(part) for part in text.split(","))
    except ValueError:
        raise InvalidValueError(
            f"--noise must be two numbers, got {text!r}.", fix="For example --noise 0.0002,0.001."
        ) from None
    return Noise(gain=gain, read_sigma=sigma)


# What is shown


def _show_list() -> None:
    from blursynth.testing import laws

    console.table(("law", "topic", "statement"), [(one.name, one.topic, one.statement) for one in laws.ALL])


class _progress:
    """A live bar with the name of the law that is held, on a terminal only."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._bar: Any = None

    def __enter__(self) -> Callable[[Iterable[Result], list[Law]], Iterator[Result]]:
        if sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(*columns, console=console.console(stderr=True), transient=True)
            self._bar.start()
        return self._watch

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _watch(self, results: Iterable[Result], laws: list[Law]) -> Iterator[Result]:
        if self._bar is None:
            yield from results
            return
        task = self._bar.add_task(laws[0].name, total=self._total)
        for n, result in enumerate(results, 1):
            self._bar.update(task, completed=n, description=laws[min(n, len(laws) - 1)].name)
            yield result


def _show(results: list[Result]) -> None:
    from blursynth.testing.report import NOT_HELD, not_held, row, summary

    held = [row(result) for result in results if result.status not in NOT_HELD]
    if held:
        console.table(
            ("law", "status", "measured", "allowed", "would have seen"),
            [(one["law"], one["status"], one["measured"], one["allowed"], one["power"]) for one in held],
        )
    for result in results:
        if result.status in _BROKEN:
            console.echo(f"\n{result}")
    console.echo(f"\n{results[0].blur}: {summary(results)}")
    for why, names in not_held(results):
        console.echo(f"  {why}: {', '.join(names)}")


def _write(results: list[Result], html: Path | None, json: Path | None) -> None:
    from blursynth.io.atomic import write_atomically
    from blursynth.testing.report import to_html, to_json

    for path, text in ((html, to_html), (json, to_json)):
        if path is not None:
            write_atomically(path, text(results).encode())
            console.echo(f"{path} written")
