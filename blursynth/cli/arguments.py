"""Arguments that several subcommands share, and how they are parsed."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blursynth.errors import MISSING, Argument, BlursynthError, InvalidValueError, RecipeError
from blursynth.io.folders import as_place
from blursynth.io.object_store import Place

if TYPE_CHECKING:
    from blursynth.io.depth import DepthFormat


def _place(name: str) -> Place:
    try:
        return as_place(name)
    except InvalidValueError as error:
        raise typer.BadParameter(str(error)) from None


# A path or an object; typer knows no unions, and shows the name of the type.
Out = Annotated[
    Path,
    typer.Argument(
        parser=_place,
        metavar="OUT",
        help="Folder of the data set: new, empty, or unfinished; or a place in object storage (s3://, gs://, az://).",
    ),
]
Dataset = Annotated[
    Path,
    typer.Argument(parser=_place, metavar="DATASET", help="Folder of the data set, or its place in object storage."),
]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe", "-r", metavar="NAME|FILE", help="A recipe that comes with the library, or your own .toml file."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="STEP.FIELD=VALUE",
        help="Change a parameter of the recipe; may be repeated. Values are written as in TOML: 20, 1.5, true, "
        '"text", {uniform=[1,2]}; a bare word is a string.',
    ),
]
Workers = Annotated[int | None, typer.Option("--workers", "-w", help="Number of processes; by default one per core.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and warnings, on standard error.")]
Shards = Annotated[
    str | None, typer.Option("--shards", metavar="A:B", help="Make only shards s with A <= s < B, for job arrays.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be made, its size and time, without writing anything.")
]
Engine = Annotated[str, typer.Option("--engine", metavar="local|dask", help="Where to make the shards.")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Address of a Dask scheduler, such as tcp://host:8786; by default a local cluster is started.",
    ),
]
SourceRoot = Annotated[
    str | None, typer.Option("--sources", metavar="FOLDER", help="Folder of the source pictures, if they have moved.")
]
Depth = Annotated[
    Path | None,
    typer.Option(
        "--depth",
        metavar="FOLDER|FILE",
        help="Depth maps of the pictures, matched by file name: .npy, .npz, 16-bit .png, .tif, .pfm, .exr.",
    ),
]
DepthFormatText = Annotated[
    str | None,
    typer.Option(
        "--depth-format",
        metavar="NAME=VALUE,...",
        help="Meaning of the values in the depth maps, if not meters: meters_per_code=0.001 (millimeters of a depth "
        "camera), or focal_length_px=995,baseline_m=0.193,codes_per_px=4 (disparities). Also doffs_px, "
        "infinity_m, key, fill and resample.",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FOLDER|FILE",
        help="Label maps of the pictures, matched by file name: which object each pixel shows, 0 = none.",
    ),
]
Linear = Annotated[
    bool, typer.Option("--linear", help="Read 16-bit pictures as linear light. .hdr, .exr and float .tif always are.")
]
Downscale = Annotated[
    int,
    typer.Option(
        "--downscale",
        metavar="N",
        help="First downscale pictures by this factor (2 to 8) in linear light, for noisy or JPEG-compressed sources.",
    ),
]
LicensesFile = Annotated[
    str | None,
    typer.Option(
        "--licenses",
        metavar="FILE",
        help="A .csv or .json file of name (or pattern), license, attribution and url of the pictures, for records and "
        "the data card.",
    ),
]
NearDuplicates = Annotated[
    str,
    typer.Option(
        "--near-duplicates",
        metavar="WHAT",
        help="Pictures that look alike: keep (they are not looked for), report, or skip (use one of each group).",
    ),
]
MinSource = Annotated[
    int, typer.Option("--min-source", metavar="PX", help="Leave out pictures with a side shorter than this.")
]
MinSourceDetail = Annotated[
    float | None,
    typer.Option(
        "--min-source-detail",
        metavar="X",
        help="Leave out pictures in which nothing is sharp: whose sharpest part has less detail than X.",
    ),
]
MinDetail = Annotated[
    float | None,
    typer.Option(
        "--min-detail",
        metavar="X",
        help="Leave out crops that are flat or out of focus: those whose Laplacian has a standard deviation below X "
        "8-bit codes; 10 is a typical limit.",
    ),
]
DepthRoot = Annotated[
    Path | None, typer.Option("--depth", metavar="FOLDER", help="Folder of the depth maps, if they have moved.")
]
LabelsRoot = Annotated[
    Path | None, typer.Option("--labels", metavar="FOLDER", help="Folder of the label maps, if they have moved.")
]
AnyEnvironment = Annotated[
    bool,
    typer.Option(
        "--any-environment",
        help="Continue even if versions or processor differ from those the data set was started with.",
    ),
]


def parse_value(text: str) -> Any:
    """Parse a value written as in TOML; a bare word, or a path without spaces, is a string.

    >>> parse_value("20"), parse_value("{uniform=[1,2]}"), parse_value("paper"), parse_value("~/vgg19.pth")
    (20, {'uniform': [1, 2]}, 'paper', '~/vgg19.pth')
    """
    if not text.strip():
        raise InvalidValueError("the value is missing.", fix="For example shake.length_px=20.")
    try:
        values = tomllib.loads(f"value = {text}")
        if set(values) == {"value"}:
            return values["value"]
    except tomllib.TOMLDecodeError:
        if re.fullmatch(r"(?:[A-Za-z_]|~?/|\.{1,2}/)[\w./:+@~-]*", text):
            return text
    raise InvalidValueError(
        f"{text!r} is not a value.", fix='Write it as in TOML: 20, 1.5, true, "text", {uniform=[1,2]}.'
    )


def imported(name: str) -> Any:
    """The object that ``module:name`` names; modules are looked for in the current folder, too.

    Raises
    ------
    InvalidValueError
        There is no such module, it cannot be imported, or it has no such name.
    """
    module, _, path = name.partition(":")
    if not module or not path:
        raise InvalidValueError(f"{name!r} must be MODULE:NAME.", fix="For example mymodule:blur.")
    if module.endswith(".py") or "/" in module:
        dotted = module.removesuffix(".py").strip("./").replace("/", ".")
        raise InvalidValueError(
            f"{module} is a file, and a module is needed.", fix=f"Write {dotted}:{path}, as Python imports it."
        )
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}.")
        if missing:
            raise InvalidValueError(
                f"There is no module {module!r}, neither in this folder nor installed.",
                fix="Run the command in the folder of the module.",
            ) from None
        raise InvalidValueError(
            f"{module} cannot be imported: {type(error).__name__}: {error}.",
            fix=f'python -c "import {module}" shows where.',
        ) from None
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise InvalidValueError(
                f"{module} has no {path!r}.", fix="Name something that the module defines."
            ) from None
    return found


_EXAMPLES = {
    "STEP.FIELD": "shake.length_px=20",
    "NAME": "count=500",
    "TABLE.FIELD": "optimizer.learning_rate=1e-4",
    "FIELD": "width=32 --set encoder_blocks=[2,2,4,8]",
}


def parse_changes(settings: Sequence[str] | None, *, form: str = "STEP.FIELD") -> dict[str, Any]:
    """``--set`` options as changes for :func:`blursynth.load_recipe`; with ``form="NAME"`` as changes of a request."""
    allowed = r"target|[^.\s]+\.[^.\s]+" if form == "STEP.FIELD" else r"[^.\s]+(\.[^.\s]+)*"
    example = _EXAMPLES[form]
    changes: dict[str, Any] = {}
    for setting in settings or ():
        path, equals, text = setting.partition("=")
        path = path.strip()
        if not equals or not re.fullmatch(allowed, path):
            raise InvalidValueError(f"--set {setting}: must be {form}=VALUE.", fix=f"For example --set {example}.")
        try:
            changes[path] = parse_value(text)
        except InvalidValueError as error:
            raise error.at(f"--set {setting}") from None
    return changes


def parse_depth_format(text: str | None) -> DepthFormat | None:
    """``--depth-format`` as a DepthFormat; None if it is not given."""
    if text is None:
        return None
    from blursynth.io.depth import DepthFormat

    values: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise InvalidValueError(
                f"--depth-format must be NAME=VALUE, separated by commas, got {text!r}.",
                fix="For example meters_per_code=0.001",
            )
        fraction = re.fullmatch(r"\s*(\d+)\s*/\s*([1-9]\d*)\s*", value)  # data sets state their scales as fractions
        try:
            values[name.strip()] = int(fraction[1]) / int(fraction[2]) if fraction else parse_value(value.strip())
        except InvalidValueError as error:
            raise error.at(f"--depth-format {part.strip()}") from None
    try:
        return DepthFormat(**values)
    except InvalidValueError as error:
        raise error.at("--depth-format") from None


def parse_range(text: str | None) -> tuple[int, int] | None:
    """``A:B`` as two numbers."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+):(\d+)", text.strip())
    if found is None or int(found[1]) >= int(found[2]):
        raise InvalidValueError(f"--shards must be A:B with 0 <= A < B, got {text!r}.", fix="For example --shards 0:8.")
    return int(found[1]), int(found[2])


def engine_of(engine: str, scheduler: str | None) -> Any:
    """The value of the parameter ``engine`` of the data set functions."""
    if scheduler is not None:
        if engine != "dask":
            raise InvalidValueError("--scheduler needs --engine dask.", fix="Add it, or leave --scheduler out.")
        from blursynth.dataset.engine import DaskEngine

        return DaskEngine(scheduler)
    if engine not in ("local", "dask"):
        raise InvalidValueError(f"--engine must be local or dask, got {engine!r}.")
    return engine


_OPTIONS = {
    "size_px": "--size",
    "kernel_size_px": "--kernel-size",
    "tile_px": "--tile",
    "source_root": "--sources",
    "min_source_px": "--min-source",
    "depth_root": "--depth",
    "labels_root": "--labels",
    "session_minutes": "--session",
}
_OF_DEPTH_FORMAT = {"meters_per_code", "codes_per_px", "infinity_m", "key", "fill", "resample"}


def option(argument: Argument, known: Container[str]) -> str:
    """A parameter of the library as an option of a command; as in Python if the command has no such option.

    >>> option(Argument("size_px"), ["--size"]), option(Argument("kernel_size_px", 33), ["--kernel-size"])
    ('--size', '--kernel-size 33')
    >>> option(Argument("linear", True), ["--linear"]), option(Argument("linear", True), [])
    ('--linear', 'linear=True')
    """
    if argument.name in _OF_DEPTH_FORMAT:
        value = argument.name.upper() if argument.name == "key" else "..."
        value = value if argument.value is MISSING else argument.value
        written, name = f"--depth-format {argument.name}={value}", "--depth-format"
    else:
        name = _OPTIONS.get(argument.name, f"--{argument.name.replace('_', '-')}")
        written = name if argument.value in (MISSING, True) else f"{name} {argument.value}"
    return written if name in known else str(argument)


@contextmanager
def shipped_kinds() -> Iterator[None]:
    """Explain what to do if a data set uses custom kinds, which a command cannot load."""
    try:
        yield
    except BlursynthError as error:
        if error.field != "kind":
            raise
        raise RecipeError(own_kind_text(error.value), field=error.field, value=error.value) from None


def own_kind_text(kind: object) -> str:
    """What to do with a data set that uses a custom kind."""
    return (
        f"There is no kind {kind!r} here: the command line knows only the kinds that ship with blursynth. "
        "For a data set with custom kinds, use Python: "
        "blursynth.open_dataset(path, kinds=(*blursynth.kinds.ALL, Mine)); resume, verify and replay of "
        "blursynth.dataset also accept kinds."
    )
