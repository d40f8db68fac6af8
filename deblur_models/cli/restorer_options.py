"""Options of commands that restore pictures, and the restorers they name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from blursynth.cli import console
from blursynth.cli.arguments import imported, parse_value
from blursynth.errors import InvalidValueError

if TYPE_CHECKING:
    from deblur_models.evaluate import DetectionTask
    from deblur_models.restore.network_restorer import NetworkRestorer
    from deblur_models.restore.restorer import Restorer

__all__ = [
    "PIPELINE_HELP",
    "Device",
    "Ensemble",
    "LocalPx",
    "Overlap",
    "Padding",
    "Precision",
    "Providers",
    "Tile",
    "TurnKernels",
    "detection_task",
    "live_bar",
    "load_restorer",
    "method_restorer",
    "pipeline_restorer",
    "split_name",
]

Tile = Annotated[
    int | None,
    typer.Option(
        "--tile",
        metavar="PX",
        help="Side of the tiles that a network sees; 0: the whole picture. Default: 512, or the whole picture up to 2 "
        "megapixels for networks whose results depend on the tile.",
        show_default=False,
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        "--overlap",
        metavar="PX",
        help="Overlap of neighboring tiles. Default: 64 px, or a quarter of small tiles.",
        show_default=False,
    ),
]
Ensemble = Annotated[
    bool, typer.Option("--ensemble", help="Average over rotations and mirror images (slightly better, 8 times slower).")
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="auto|cpu|cuda[:N]|mps", help="Where networks run; auto: a GPU if available."),
]
Precision = Annotated[str, typer.Option("--precision", metavar="float32|bf16|fp16", help="Precision of networks.")]
Providers = Annotated[
    list[str] | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Execution provider of ONNX Runtime for .onnx files, such as CUDAExecutionProvider; may be repeated. "
        "Default: that of --device.",
        show_default=False,
    ),
]
LocalPx = Annotated[
    int | None,
    typer.Option(
        "--local-px",
        metavar="PX",
        help="Side of the windows that NAFNet and HINet average over; 0: the whole picture. Default: the value in the "
        "checkpoint.",
        show_default=False,
    ),
]

PIPELINE_HELP = (
    "Restorers one after the other, as for --method and --network: wiener+run/, or richardson_lucy:iterations=10+"
    "photographs. A network gets what the method before it gives."
)

Padding = Annotated[
    str,
    typer.Option(
        "--padding",
        metavar="mirror|published",
        help="Padding where sides are not multiples of what a network needs: the mirrored picture, or the padding of "
        "its published code, to compare with published figures.",
    ),
]


TurnKernels = Annotated[
    bool,
    typer.Option(
        "--turn-kernel",
        "--turn-kernels",
        help="Rotate kernels from files by 180 degrees, for kernels defined by correlation, such as Levin's.",
    ),
]


@contextmanager
def live_bar(what: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A function that updates a live bar on a terminal; in a pipe it does nothing."""
    if not sys.stderr.isatty():
        yield lambda **_: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.console(stderr=True), transient=True) as bar:
        yield partial(bar.update, bar.add_task(what, total=total))


def split_name(text: str) -> tuple[str, str]:
    """``NAME=PATH`` split into parts; a path alone is named after its file, or after its folder if that says more.

    >>> split_name("ours=runs/a/best.safetensors"), split_name("runs/a/best.safetensors"), split_name("runs/a/")
    (('ours', 'runs/a/best.safetensors'), ('a', 'runs/a/best.safetensors'), ('a', 'runs/a/'))
    """
    name, equals, rest = text.partition("=")
    if equals and name and "/" not in name and not Path(text).exists():
        return name, rest
    path = Path(text)
    return (path.resolve().parent.name if path.stem in ("best", "last") and path.suffix else path.stem), text


def load_restorer(
    text: str,
    *,
    tile: int | None,
    overlap: int | None,
    ensemble: bool,
    device: str,
    precision: str,
    local_px: int | None,
    padding: str = "mirror",
    providers: Sequence[str] | None = None,
) -> NetworkRestorer:
    """The network of ``PATH`` or ``NAME=PATH`` with the options of the command; PATH may be an exported .onnx file.

    ``tile`` 0 is the whole picture. None is 512 px; networks whose results depend on the tile get the whole picture
    if it has at most two million pixels.
    """
    if tile is not None and tile < 0:
        raise InvalidValueError(f"--tile must be >= 0 px, got {tile}.", fix="0 gives the network the whole picture.")
    from deblur_models.device import autocast_type, torch_device
    from deblur_models.restore.network_restorer import NetworkRestorer, usual_tiles, with_local_px
    from deblur_models.restore.opening import open_network

    place, autocast = torch_device(device), autocast_type(precision)

    name, path = split_name(text)
    network = open_network(path, device=place, providers=providers or ())
    if local_px is not None:
        network = with_local_px(network, local_px)
    return NetworkRestorer(
        network,
        name=name,
        **(usual_tiles(network) if tile is None else {"tile_px": tile or None}),
        overlap_px=overlap,
        ensemble=ensemble,
        device=place,
        autocast=autocast,
        padding=cast("Any", padding),  # checked there
    )


def method_restorer(text: str) -> Restorer:
    """A classical method with its parameters: ``wiener``, or ``richardson_lucy:iterations=30,noise=0.01``."""
    from deblur_models.classical import make_classical

    kind, values = kind_and_values(text, "--method")
    method = make_classical({"kind": kind, **values})
    method.check_ready()
    return method


def pipeline_restorer(text: str, load: Callable[[str], Restorer]) -> Restorer:
    """``STEP+STEP``: methods as for ``--method``, and networks as for ``--network``, which ``load`` reads."""
    from deblur_models.classical import ALL
    from deblur_models.restore.pipeline import Pipeline

    steps = [step.strip() for step in text.split("+")]
    if len(steps) < 2 or not all(steps):
        raise InvalidValueError(
            f"--pipeline must be STEP+STEP, got {text!r}.", fix="For example wiener+run/: a method, then a network."
        )
    kinds = {kind.kind for kind in ALL}
    return Pipeline([method_restorer(step) if step.partition(":")[0] in kinds else load(step) for step in steps])


def detection_task(text: str, labels: Path | None, min_score: float) -> DetectionTask:
    """The task of ``--detector FILE.onnx``, ``KIND:FIELD=VALUE,...`` or ``MODULE:CLASS:FIELD=VALUE,...``."""
    from deblur_models.evaluate.detection import CocoLabels, DetectionTask, Detector, make_detector, open_detector

    module, _, rest = text.partition(":")
    name, _, settings = rest.partition(":")
    detector: Detector
    if text.lower().endswith(".onnx") and "=" not in text:
        detector = open_detector(text)
    elif name.isidentifier():
        kind = imported(f"{module}:{name}")
        if not isinstance(kind, type) or not issubclass(kind, Detector):
            raise InvalidValueError(
                f"--detector {text}: {module}:{name} is no detector.",
                fix="Derive a class from deblur_models.evaluate.detection.Detector.",
            )
        detector = kind(**kind_and_values(f"{name}:{settings}", "--detector")[1])
    else:
        kind_name, values = kind_and_values(text, "--detector")
        detector = make_detector({"kind": kind_name, **values})
    return DetectionTask(detector, None if labels is None else CocoLabels(labels, detector.class_names), min_score)


def kind_and_values(text: str, option: str) -> tuple[str, dict[str, Any]]:
    """``KIND:FIELD=VALUE,...`` split into parts; values are TOML, paths may be unquoted.

    >>> kind_and_values("wiener:balance=0.1,linear_light=false", "--method")
    ('wiener', {'balance': 0.1, 'linear_light': False})
    >>> kind_and_values("niqe:parameters=./sharp.json", "--metric")
    ('niqe', {'parameters': 'sharp.json'})
    """
    kind, _, rest = text.partition(":")
    values: dict[str, Any] = {}
    for setting in filter(None, (part.strip() for part in rest.split(","))):
        field, equals, value = setting.partition("=")
        if not equals:
            raise InvalidValueError(
                f"{option} {text}: {setting!r} is not a setting.", fix="Write KIND:FIELD=VALUE,FIELD=VALUE."
            )
        is_path = value.strip().startswith(("/", ".", "~"))
        values[field.strip()] = str(Path(value.strip()).expanduser()) if is_path else parse_value(value)
    return kind.strip(), values


def different_names(names: Sequence[str]) -> None:
    """Reject two restorers with the same name, since their results would go to the same file."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidValueError(
            f"Two restorers are named {twice[0]!r}.",
            fix=f"Name networks, as in --network {twice[0]}-b=PATH; a method is measured once per report.",
        )
