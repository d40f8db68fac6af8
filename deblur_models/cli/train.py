"""``deblur train``: train a network from sharp pictures alone, from pairs, or from both."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blursynth.cli import console
from blursynth.cli.arguments import parse_changes
from blursynth.errors import InvalidValueError
from blursynth.io.decoders import CODE_SUFFIXES
from blursynth.io.folders import walk

if TYPE_CHECKING:
    from deblur_models.config.configuration import Configuration
    from deblur_models.train import Progress, Result
    from deblur_models.train.validation import ValidationResult

LINES_S, TERMINAL_S = 30.0, 1.0
"""Seconds between two progress updates: lines of a log, and updates of the bar on a terminal."""

EPILOG = """\b
Examples:
  deblur train small --out run/                                   # from photographs bundled with scikit-image
  deblur train small --photos photos/ --recipe mixed --out run/   # from yours, blurred on the fly
  deblur train small --data pairs/ --out run/                     # from a data set of blursynth generate
  deblur train small --steps 600 --out run/                       # a tenth of the steps, scaled schedule
  deblur train mine.toml --out run/ --set optimizer.learning_rate=5e-4 --set stage.0.steps=2000
  torchrun --nproc-per-node 4 -m deblur_models train nafnet-32 --photos photos/ --out run/

`deblur train --list` lists the bundled configurations, `deblur fields` their fields. Running the same command again
resumes where it stopped.
"""


def command(
    configuration: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help="Bundled name, or a .toml file.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="Run directory.", show_default=False)
    ] = None,
    photos: Annotated[
        str | None,
        typer.Option(
            "--photos",
            metavar="DIR",
            help="Sharp photographs instead of those of the configuration.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Recipe that blurs the photographs.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PAIRS",
            help="Pairs instead of those of the configuration: a data set or a folder.",
            show_default=False,
        ),
    ] = None,
    sharp: Annotated[
        Path | None,
        typer.Option(
            "--sharp", metavar="DIR", help="Sharp pictures, if --data holds the blurred ones.", show_default=False
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option("--validation", metavar="PAIRS|DIR", help="Held-out pairs or photographs.", show_default=False),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            min=1,
            help="Total number of steps; stages are scaled in proportion.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", "-s", help="Seed of the run.", show_default=False)] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="TABLE.FIELD=VALUE", help="Change a field; may be repeated.", show_default=False),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Fail if the folder holds a run, instead of resuming it.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show the configuration, without training.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the bundled configurations and exit.")] = False,
) -> None:
    """Train a network.

    Photographs are blurred on the fly; pairs are used unchanged.
    """
    from deblur_models.config.configuration import configuration_names, load_configuration

    if list_:
        rows = [(name, load_configuration(name).summary) for name in configuration_names()]
        console.table(("configuration", "description"), rows)
        return
    if configuration is None:
        raise InvalidValueError(
            "deblur train needs a configuration.", fix="List the bundled ones with deblur train --list."
        )
    if out is None and not dry_run:
        raise InvalidValueError("--out is missing: the run directory.")
    changes = _changes(load_configuration(configuration).to_dict(), photos, recipe, data, sharp, validation)
    changes |= {"seed": seed} if seed is not None else {}
    changes |= {"run.device": device} if device is not None else {}
    wanted = load_configuration(configuration, {**changes, **parse_changes(set_, form="TABLE.FIELD")})
    wanted = wanted if steps is None else wanted.of_length(steps)
    from deblur_models.train import check, train

    first = os.environ.get("RANK", "0") == "0"
    if first and data is not None and validation is None and wanted.validation is not None:
        console.echo(
            f"Validation uses the configuration's held-out pairs ({wanted.validation.origin}); "
            "set your own with --validation.",
            err=True,
        )
    if dry_run:
        import json

        check(wanted)
        console.echo(json.dumps(wanted.to_dict(), indent=1, allow_nan=False))
        return
    assert out is not None

    with _shown(first, wanted, out) as (show, starts):
        every_s = TERMINAL_S if sys.stderr.isatty() else LINES_S
        result = train(wanted, out, resume=not fresh, on_progress=show, on_start=starts, progress_every_s=every_s)
    if first:
        _summary(result, wanted)
    if not result.finished:
        raise typer.Exit(130)


def _changes(
    tables: dict[str, Any],
    photos: str | None,
    recipe: str | None,
    data: Path | None,
    sharp: Path | None,
    validation: str | None,
) -> dict[str, Any]:
    """The changes that --photos, --recipe, --data, --sharp and --validation make to the tables of a configuration.

    Photographs replace existing ones, so that shares, reuse, tables of unblurred pictures and the stages stay. Pairs
    replace all data tables, or together with photographs, all other pairs.
    """
    changes: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = tables["data"]
    if sharp is not None and data is None:
        raise InvalidValueError(
            f"--sharp {sharp}: requires --data.", fix="Give the folder of the blurred pictures with --data."
        )
    if recipe is not None and photos is None and (data or not any(map(_by_recipe, own.values()))):
        raise InvalidValueError(
            f"--recipe {recipe}: nothing is blurred here, since training uses existing pairs.",
            fix="Give sharp photographs with --photos, or leave --recipe out.",
        )
    if recipe is not None:
        by_recipe = [name for name, t in own.items() if _by_recipe(t)]
        # Tables of unblurred pictures stay sharp, unless there are no others.
        blurred = [name for name in by_recipe if own[name]["recipe"] != "sharp"] or by_recipe
        changes |= {f"data.{name}.recipe": recipe for name in blurred}
    if photos is not None:
        exchanged = {name: t for name, t in own.items() if "photos" in t}
        changes |= {f"data.{name}.photos": photos for name in exchanged}
        changes |= {f"data.{name}.depth": None for name, t in exchanged.items() if "depth" in t}  # maps of the others
        if not exchanged:
            changes |= {"data": {"photos": {"photos": photos, "recipe": recipe or "mixed"}}, "stage": _free(tables)}
    if data is not None:
        given = {"pairs": str(data)} | ({"sharp": str(sharp)} if sharp is not None else {})
        kept = {name: t for name, t in own.items() if "photos" in t} if photos is not None else {}
        if photos is not None and not kept:
            changes["data"]["pairs"] = given
        else:
            name = "pairs" if "pairs" not in kept else "given_pairs"
            stages = _free(tables) if not kept else [_with(stage, name, kept) for stage in tables["stage"]]
            changes = {"data": {**kept, name: given}, "stage": stages, **changes}
    check = tables.get("validation", {})
    if validation is not None:
        pairs = (Path(validation) / "dataset.json").exists() or _has_pairs(Path(validation))
        others = ("photos", "pairs", "sharp", *(("recipe", "downscale") if pairs else ()))
        kept = {k: v for k, v in check.items() if k not in others}
        changes["validation"] = {**kept, "pairs" if pairs else "photos": validation}
    if recipe is not None and "pairs" not in changes.get("validation", check):
        changes["validation.recipe"] = recipe
    return changes


def _free(tables: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages, each with all data."""
    return [{k: v for k, v in stage.items() if k != "data"} for stage in tables["stage"]]


def _with(stage: dict[str, Any], name: str, kept: Collection[str]) -> dict[str, Any]:
    """A stage with one more data table, besides those that are kept."""
    names = [other for other in stage["data"] if other in kept]
    return {**stage, "data": [*names, name] if stage["data"] else []}


def _by_recipe(table: dict[str, Any]) -> bool:
    return "photos" in table and "blur_network" not in table


def _has_pairs(folder: Path) -> bool:
    from deblur_models.data.pair_set import BLURRED_NAMES

    if not folder.is_dir():
        return False
    inside = walk(folder, CODE_SUFFIXES)
    return any(part.lower() in BLURRED_NAMES for file in inside.files for part in file.parts[:-1])


@contextmanager
def _shown(
    first: bool, configuration: Configuration, out: Path
) -> Iterator[tuple[Callable[[Progress], None] | None, Callable[[int], None] | None]]:
    """The callbacks for progress and for the start: a live bar on a terminal; elsewhere one line per validation, and
    one in between after a long silence."""
    if not first:
        yield None, None
        return
    began, start_step, last = time.monotonic(), 0, -math.inf
    origin = "" if configuration.validation is None else configuration.validation.origin

    def starts(step: int) -> None:
        nonlocal began, start_step
        began, start_step = time.monotonic(), step
        if step > 0:
            console.echo(f"{out}: resuming from step {step:,} of {configuration.steps:,}.", err=True)

    if not sys.stderr.isatty():
        console.echo(f"{out}: checking the pictures.", err=True)

        def lines(progress: Progress) -> None:
            nonlocal last
            if progress.validation is not None or time.monotonic() - last >= LINES_S:
                last = time.monotonic()
                console.echo(_text(progress, time.monotonic() - began, progress.step - start_step, origin), err=True)

        yield lines, starts
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[text]}"))
    with Bar(*columns, console=console.console(stderr=True)) as bar:
        task = bar.add_task("", total=None, text="checking the pictures")

        def show(progress: Progress) -> None:
            if progress.validation is not None:
                text = _text(progress, time.monotonic() - began, progress.step - start_step, origin)
                bar.console.print(text, markup=False)
                bar.update(task, completed=progress.step, total=progress.steps)
                return
            parts = [f"{name} {value:.4g}" for name, value in progress.losses.items() if name != "gradient_norm"]
            parts.append(f"{progress.images_per_s:.3g} patches/s")
            bar.update(task, completed=progress.step, total=progress.steps, text=", ".join(parts))

        yield show, starts


def _text(progress: Progress, elapsed_s: float, steps: int, origin: str) -> str:
    """One line: progress, elapsed and estimated time (by the ``steps`` of this session), and the latest values."""
    head = f"step {progress.step:,} of {progress.steps:,} ({console.seconds_text(elapsed_s)}"
    if steps > 0 and progress.step < progress.steps:
        left_s = elapsed_s / steps * (progress.steps - progress.step)
        head += f", about {console.seconds_text(left_s)} left"
    head += ")"
    if progress.validation is not None:
        scores = progress.validation
        return (
            f"{head}: held-out PSNR {scores.psnr:.2f} dB, SSIM {scores.ssim:.4f} "
            f"({scores.input} {scores.psnr_input:.2f} dB, {scores.ssim_input:.4f}; "
            f"{scores.gain_name} {scores.gain_db:+.2f} dB"
            f"{'' if scores.pooled_gain_db is None else f', pooled {scores.pooled_gain_db:+.2f} dB'}"
            f"{'' if scores.no_harm_db is None else f'; no harm {scores.no_harm_db:.1f} dB'})"
            f"{f'; held-out: {origin}' if progress.step == 0 else ''}"
        )
    losses = ", ".join(f"{name} {value:.4g}" for name, value in progress.losses.items())
    total = sum(progress.seconds.values()) or 1.0
    split = ", ".join(f"{name} {100 * value / total:.0f} %" for name, value in progress.seconds.items())
    skipped = f"; {progress.skipped:,} steps skipped" if progress.skipped else ""
    return f"{head}: {losses}; {progress.images_per_s:.3g} patches/s ({split}){skipped}"


def _cells(scores: ValidationResult) -> tuple[str, str, str, str, str]:
    no_harm = "" if scores.no_harm_db is None else f"{scores.no_harm_db:.1f}"
    pooled = "" if scores.pooled_gain_db is None else f"{scores.pooled_gain_db:+.2f}"
    return f"{scores.psnr:.2f}", f"{scores.ssim:.4f}", f"{scores.gain_db:+.2f}", pooled, no_harm


def _summary(result: Result, configuration: Configuration) -> None:
    from deblur_models.networks import BlurGeneratorConfig

    if not result.finished:
        console.echo(f"Stopped after step {result.step:,}; the same command resumes there.", err=True)
        return
    if result.start_step == result.step:
        console.echo(
            f"{result.out}: is finished ({result.step:,} steps); nothing was done. To continue training, write "
            f'start_from = "{result.out}" in a configuration and choose a new folder.',
            err=True,
        )
    if result.skipped:
        console.echo(
            f"{result.skipped:,} of {result.step:,} steps were skipped because gradients overflowed in fp16.", err=True
        )
    blurs = isinstance(configuration.network, BlurGeneratorConfig)
    rows = []
    if result.validation_results and configuration.validation is not None:
        step, scores = result.validation_results[-1]
        numbers = ("PSNR dB", "SSIM", f"{scores.gain_name} dB", "pooled dB", "no harm dB")
        rows = [
            (f"{scores.input}, unchanged", f"{scores.psnr_input:.2f}", f"{scores.ssim_input:.4f}", "", "", ""),
            (f"network after {step:,} steps", *_cells(scores)),
        ]
        if result.best is not None and result.best != scores:
            best = "the closest, RUN/best" if blurs else "the best, which RUN refers to"
            rows.append((best, *_cells(result.best)))
        console.echo(f"held-out: {configuration.validation.origin}")
        console.table(("held-out pairs", *numbers), rows, right=numbers)
        if blurs:
            console.echo(
                "PSNR compares with the blur of the pairs, which a network that draws random blur cannot know: a "
                "higher value is not more realistic. Look at the pictures in samples/."
            )
        kept, wanted = (result.best or scores).no_harm_db, configuration.validation.no_harm_db
        if kept is not None and kept < wanted:
            console.echo(f"No network reached no_harm_db = {wanted:g}; the one that came closest is kept.", err=True)
    last = result.out / "last"  # the folder alone would refer to the closest
    use = f'blur_network = "{last}"' if blurs else f"deblur apply PICTURES --network {result.out} --out restored/"
    console.echo(f"{result.out}: use it with  {use}{'  in a table [data.NAME]' if blurs else ''}")
