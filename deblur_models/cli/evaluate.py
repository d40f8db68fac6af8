"""``deblur evaluate``: measure restorers on pairs, compared with the unrestored pictures."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blursynth.cli import console
from blursynth.errors import InvalidValueError
from blursynth.records.text import printable
from deblur_models.cli import restorer_options as options
from deblur_models.cli.memory import keep_freed_memory

if TYPE_CHECKING:
    from deblur_models.data import PairSet
    from deblur_models.evaluate import Protocol
    from deblur_models.evaluate.evaluation import OnPicture
    from deblur_models.metrics import Metric

EPILOG = """\b
Examples:
  deblur evaluate pairs/ --network run/ --out report/
  deblur evaluate pairs/ --network ours=run/ --network nafnet.safetensors --method wiener --out report/
  deblur evaluate blurred/ --sharp sharp/ --network run/ --out report/ --align 5
  deblur evaluate koehler/blurred/ --references koehler/sharp/ --network run/ --out report/
  deblur evaluate /data/RealBlur --protocol realblur-j --network run/ --out report/
  deblur evaluate pairs/ --network run/ --method wiener --pipeline wiener+run/ --out report/
  deblur evaluate pairs/ --network run/ --out report/ --detector yolox_nano.onnx

DATA is a blursynth data set, or a folder with blurred and sharp photographs. REPORT receives index.html, summary.json,
one line per picture in results/ and one per blur in pairs.jsonl. Running the same command again resumes where it
stopped. Classical methods need the kernel: the one recorded in the data set if there is only one, or --kernels. Pairs
that cannot be read are skipped with a message, the others are measured, and the exit code is 1.
"""


def command(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Pairs to measure on.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="REPORT", help="Folder of the report.")],
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            metavar="[NAME=]CHECKPOINT",
            help="A .safetensors file, a run directory or the name of a network that ships; may be given several "
            "times.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="KIND[:FIELD=VALUE,...]",
            help="A classical method, such as wiener or richardson_lucy:iterations=30; may be given several times.",
            show_default=False,
        ),
    ] = None,
    pipeline: Annotated[
        list[str] | None,
        typer.Option(
            "--pipeline",
            metavar="STEP+STEP",
            help=f"{options.PIPELINE_HELP} May be given several times.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="A public test set, which is found in DATA, and measured as in published figures. Listed by: deblur "
            "protocols.",
            show_default=False,
        ),
    ] = None,
    sharp: Annotated[
        Path | None,
        typer.Option(
            "--sharp",
            metavar="FOLDER",
            help="Sharp pictures with the same names, if DATA holds the blurred ones.",
            show_default=False,
        ),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            "--references",
            metavar="FOLDER",
            help="Several sharp pictures per blurred one, in FOLDER/NAME/; the best score over them counts (Köhler).",
            show_default=False,
        ),
    ] = None,
    kernels: Annotated[
        Path | None,
        typer.Option(
            "--kernels",
            metavar="FOLDER",
            help="Kernels of DATA for classical methods, in files named like the pictures: .npy, .mat, .csv, pictures. "
            "Blurred pictures are the sharp ones convolved with them.",
            show_default=False,
        ),
    ] = None,
    turn_kernels: options.TurnKernels = False,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="NAMES",
            help="Separated by commas. Default: those of psnr,ssim,ms_ssim,gmsd,niqe,lpips that can be measured here.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="KIND[:FIELD=VALUE,...]",
            help="Another metric with settings, e.g. niqe:parameters=FILE or lpips:backbone_weights=FILE; may be given "
            "several times.",
            show_default=False,
        ),
    ] = None,
    align: Annotated[
        int | None,
        typer.Option(
            "--align",
            metavar="PX",
            help="Also compute PSNR and SSIM at the best shift of up to PX, without the borders.",
            show_default=False,
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            metavar="FILE|KIND[:FIELD=VALUE,...]",
            help="Also measure how well objects are found: an .onnx file of YOLOX or Ultralytics, "
            "yolox:model=FILE,nms_iou=0.45, or mymodule:MyDetector:FIELD=VALUE for a detector of your own.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="The objects that --detector should find, in COCO's format (instances_*.json). Default: what it finds "
            "in the sharp pictures.",
            show_default=False,
        ),
    ] = None,
    detector_score: Annotated[
        float,
        typer.Option(
            "--detector-score",
            metavar="S",
            help="Score from which a detection counts for precision, recall and F1, and as truth without --labels.",
        ),
    ] = 0.5,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", help="Use only N pairs, evenly spread over DATA.", show_default=False),
    ] = None,
    pictures: Annotated[int, typer.Option("--pictures", metavar="N", help="Number of pairs shown in the report.")] = 12,
    harm: Annotated[
        int,
        typer.Option("--no-harm", metavar="N", help="Number of sharp pictures, which restorers should not change."),
    ] = 50,
    tile: Annotated[
        int, typer.Option("--tile", metavar="PX", help="Side of the tiles that a network sees; 0: the whole picture.")
    ] = 0,
    overlap: options.Overlap = None,
    ensemble: options.Ensemble = False,
    device: options.Device = "auto",
    provider: options.Providers = None,
    precision: options.Precision = "float32",
    local_px: options.LocalPx = None,
    padding: options.Padding = "mirror",
    cost_size: Annotated[
        str,
        typer.Option("--cost-size", metavar="WxH", help="Size for timing and counting operations; 0: skip."),
    ] = "256x256",
    force: Annotated[bool, typer.Option("--force", help="Discard the results in REPORT and measure again.")] = False,
) -> None:
    """Measure how well networks and classical methods restore blurred pictures.

    The unrestored pictures are measured too, for comparison.
    """
    keep_freed_memory()
    if not network and not method and not pipeline:
        raise InvalidValueError(
            "Give at least one --network, --method or --pipeline.",
            fix="For example: deblur evaluate pairs/ --network run/ --out report/",
        )
    if out.exists() and not out.is_dir():
        raise InvalidValueError(f"--out {out}: is a file, not a folder.", fix="Choose another place.")
    for option, value, least in (
        ("--limit", limit, 1), ("--pictures", pictures, 0), ("--no-harm", harm, 0), ("--align", align, 0),
    ):  # fmt: skip
        if value is not None and value < least:
            raise InvalidValueError(f"{option} must be >= {least}, got {value}.")
    cost_px = parse_size(cost_size)
    given = {"--sharp": sharp, "--references": references, "--align": align}
    if labels is not None and detector is None:
        raise InvalidValueError("--labels requires --detector.", fix="Leave it out.")
    if protocol is not None and (more := [option for option, value in given.items() if value is not None]):
        raise InvalidValueError(f"{more[0]} cannot be combined with --protocol.", why="The protocol decides on it.")
    from deblur_models.data import open_pairs
    from deblur_models.evaluate import evaluate, find_protocol, kernels_of_files, open_references, write_report

    public = None if protocol is None else find_protocol(protocol)
    if public is not None:
        pairs, several = public.open(data)
    elif references is not None:
        pairs, several = open_references(data, references, sharp)
    else:
        pairs, several = open_pairs(data, sharp), None
    load = partial(
        options.load_restorer,
        tile=tile,
        overlap=overlap,
        ensemble=ensemble,
        device=device,
        precision=precision,
        local_px=local_px,
        padding=padding,
        providers=provider,
    )
    restorers = [
        *map(load, network or ()),
        *map(options.method_restorer, method or ()),
        *(options.pipeline_restorer(text, load) for text in pipeline or ()),
    ]
    options.different_names([r.name for r in restorers])
    if turn_kernels and kernels is None:
        raise InvalidValueError("--turn-kernels requires --kernels.", fix="Leave it out.")
    known = kernels_of_files(kernels, pairs, turn_180=turn_kernels) if kernels is not None else None
    chosen, left_out = choose_metrics(metrics, pairs, align, metric or (), public)
    task = None if detector is None else options.detection_task(detector, labels, detector_score)

    with _progress() as show:
        try:
            found = evaluate(
                pairs, restorers, out, metrics=chosen, references=several, kernels=known, limit=limit, harm=harm,
                pictures=pictures, cost_px=cost_px, force=force, left_out=left_out, on_picture=show,
                kernels_about="given, turned" if turn_kernels else "given", detection=task,
            )  # fmt: skip
        except KeyboardInterrupt:
            console.echo(f"stopped: measurements so far are kept in {out}; the same command resumes.", err=True)
            raise typer.Exit(130) from None
    page = write_report(found)
    show_summary(found.summary)
    console.echo(f"\nwritten: {page}")
    if failed := found.summary["failed"]:
        console.echo(f"\nSkipped: {console.plural(len(failed), 'pair')}")
        console.table(("pair", "why"), [(pair["name"], pair["why"]) for pair in failed])
    about = found.summary["data"]
    if not_looked_at := about.get("not_looked_at"):
        console.echo(f"\nNot searched: {len(not_looked_at)}")
        console.table(("place", "why"), not_looked_at)
    console.show_ignored(about.get("other_files", {}))
    used = f"{console.plural(about['measured'], 'pair')} of {about['pairs']:,} measured"
    console.echo(f"{used}{f', {len(not_looked_at)} places not searched' if not_looked_at else ''}.")
    if failed:
        raise typer.Exit(1)


def choose_metrics(
    text: str | None,
    pairs: PairSet,
    align: int | None,
    more: Iterable[str] = (),
    protocol: Protocol | None = None,
) -> tuple[list[Metric], dict[str, str]]:
    """The metrics that these options select, PSNR first; and the default ones that cannot be measured, and why.

    A metric that was requested must work. Of two metrics with the same name, the one with settings (``more``) is used.
    """
    from deblur_models.evaluate import DEFAULT_METRICS, aligned_metrics, usable_metrics
    from deblur_models.metrics import metric

    names = ["psnr", *DEFAULT_METRICS] if text is None else ["psnr", *(n for n in map(str.strip, text.split(",")) if n)]
    published: list[tuple[str, Metric]] = []
    if protocol is not None:
        published = [(f"--protocol {protocol.name}", one) for one in protocol.metrics]
        measured = {one.kind for one in protocol.metrics}
        names = [] if text is None else [name for name in names[1:] if name not in measured]
    given = [(f"--metric {one}", *options.kind_and_values(one, "--metric")) for one in more]
    plain = [name for name in dict.fromkeys(names) if name not in {kind for _, kind, _ in given}]
    wanted = published + [(f"--metrics {name}", metric(name)) for name in plain]
    wanted += [(option, metric(kind, **values)) for option, kind, values in given]
    wanted += [(f"--align {align}", one) for one in (() if align is None else aligned_metrics(align))]
    usable, wrong = usable_metrics([one for _, one in wanted], pairs)
    for option, one in wanted:
        if one.name in wrong and (text is not None or not option.startswith("--metrics ")):
            error = wrong[one.name]
            raise InvalidValueError(f"{option}: {error.what}", why=error.why, fix=error.fix)
    return usable, {name: error.what for name, error in wrong.items()}


def parse_size(text: str) -> tuple[int, int] | None:
    """Height and width of ``WIDTHxHEIGHT``; None for 0.

    >>> parse_size("1280x720"), parse_size("0")
    ((720, 1280), None)
    """
    if text.strip() == "0":
        return None
    width, cross, height = text.lower().partition("x")
    if not cross or not (width.strip().isdigit() and height.strip().isdigit()) or int(width) < 1 or int(height) < 1:
        raise InvalidValueError(f"--cost-size must be WIDTHxHEIGHT in px, or 0, got {text!r}.", fix="Such as 1280x720.")
    return int(height), int(width)


def show_summary(summary: dict[str, Any]) -> None:
    """The tables of a report on the terminal."""
    from deblur_models.evaluate.report import gain_text, interval_text, number, word
    from deblur_models.evaluate.statistics import BASELINE

    better = summary["better"]
    measured = summary["data"]["measured"]
    psnr = ["psnr"] if "psnr" in better else []  # a set without sharp pictures has none
    heads = ["restorer", "pictures", *map(word, psnr), *(["gain dB", "95 %", "worse", "no harm dB"] if psnr else [])]
    rows, others = [], []
    for name, line in summary["overall"].items():
        gain = line.get("gain") if name != BASELINE else None
        harm = line.get("no_harm")
        row = [name, line["pictures"], *(number(n, line["metrics"][n]["mean"]) for n in psnr)]
        if psnr:
            row += [
                gain_text(gain),
                interval_text(gain) if gain else "–",
                f"{100 * gain['worse']:.0f} %" if gain else "–",
                number("psnr", harm["mean"]) if harm else "–",
            ]
        rows.append(row)
        others.append((name, *(number(n, line["metrics"][n]["mean"]) for n in better if n != "psnr")))
    console.echo(f"{summary['data']['name']}: {console.plural(measured, 'pair' if psnr else 'picture')}")
    console.table(heads, rows, right=heads[1:])
    if any(name != "psnr" for name in better):
        more_gains = [f"gain{name.removeprefix('psnr')}" for name in better if name.startswith("psnr_")]
        others = [
            (*row, *(gain_text(summary["overall"][row[0]].get(k) if row[0] != BASELINE else None) for k in more_gains))
            for row in others
        ]
        heads = ["restorer", *(word(n) for n in better if n != "psnr"), *(k.replace("_", " ") for k in more_gains)]
        console.table(heads, others, right=heads[1:])
    infinite = summary["overall"][BASELINE]["metrics"]["psnr"].get("infinite") if psnr else None
    if infinite:
        console.echo(
            f"{infinite} of the blurred pictures equal their sharp ones and are excluded from the means of PSNR and "
            "gain."
        )
    for key, title in (
        ("severity", "severity of the blur"), ("kind", "kind of blur"), ("blurred_psnr", "PSNR of the blurred picture"),
    ):  # fmt: skip
        groups = summary["groups"][key]
        if groups:
            console.echo(f"\nGain in dB by {title}")
            columns = ["", "pictures", "blurred", *(n for n in summary["overall"] if n != BASELINE)]
            cells = [
                (
                    group["group"],
                    group["pictures"],
                    number("psnr", group["restorers"][BASELINE]["metrics"]["psnr"]["mean"]),
                    *(gain_text(line.get("gain")) for name, line in group["restorers"].items() if name != BASELINE),
                )
                for group in groups
            ]
            console.table(columns, cells, right=columns[1:])
    if "detection" in summary:
        show_detection(summary["detection"])
    for name, why in summary["left_out"].items():
        console.echo(f"not measured: {name} ({why.rstrip('.')})")


def show_detection(found: dict[str, Any]) -> None:
    """The tables of detected objects on the terminal."""
    from deblur_models.evaluate.report import gain_text, interval_text, percent, percent_points
    from deblur_models.evaluate.statistics import BASELINE

    about = found["about"]
    truth = "the labels" if about["labels"] else f"what it finds in sharp ones (score {about['min_score']:g} or more)"
    objects, pictures = (console.plural(found[key], key.removesuffix("s")) for key in ("objects", "pictures"))
    console.echo(f"\nDetection in %, compared with {truth}: {objects} in {pictures}")
    heads = ["restorer", "precision", "recall", "F1", "gain", "95 %", "mAP .5", "mAP .5:.95", "gain", "95 %"]
    rows = []
    for name, line in found["overall"].items():
        gains = [percent_points(line.get(key)) for key in ("gain_f1", "gain_map")]
        f1, ap = ((gain_text(gain), interval_text(gain) if gain else "–") for gain in gains)
        rows.append((
            name, *(percent(line[key]) for key in ("precision", "recall", "f1")), *f1,
            *(percent(line[key]) for key in ("map_50", "map")), *ap,
        ))  # fmt: skip
    console.table(heads, rows, right=heads[1:])
    for key, title in (("severity", "severity of the blur"), ("kind", "kind of blur")):
        if groups := found["groups"][key]:
            console.echo(f"\nF1 in %, and its gain, by {title}")
            names = list(found["overall"])
            cells = [
                (group["group"], group["pictures"], group["objects"], *(
                    percent(line["f1"])
                    + (f" {gain_text(percent_points(line.get('gain_f1')))}" if name != BASELINE else "")
                    for name, line in group["restorers"].items()
                ))
                for group in groups
            ]  # fmt: skip
            columns = ["", "pictures", "objects", *names]
            console.table(columns, cells, right=columns[1:])


@contextmanager
def _progress() -> Iterator[OnPicture]:
    """A live bar on a terminal, occasional lines in a log."""
    if not sys.stderr.isatty():
        last = time.monotonic()

        def lines(done: int, total: int, what: str) -> None:
            nonlocal last
            if time.monotonic() - last > 30:
                last = time.monotonic()
                console.echo(f"measured {done} of {total}", err=True)

        yield lines
        return
    with options.live_bar("measuring") as update:
        yield lambda done, total, what: update(completed=done, total=total, description=printable(what) or "writing")
