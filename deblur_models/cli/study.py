"""``deblur study``: judge restored pictures by people, blind."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from blursynth.cli import console
from blursynth.cli.command_group import SETTINGS
from blursynth.errors import InvalidValueError
from deblur_models.cli import restorer_options as options

if TYPE_CHECKING:
    from deblur_models.study import Versions

_MAKE_EPILOG = """\b
Examples:
  deblur study make blurred=blurred/ ours=restored/ --sharp sharp/ --out study/
  deblur study make report/ --out study/ --design pairs
  deblur study make a=a/ b=b/ --sharp sharp/ --out study/ --items 20 --size 640 --single-file

STUDY receives for-raters/, a folder with a page that works without a network, and study-key.json, which says what each
picture is: keep it away from raters. Raters open for-raters/index.html and send back the file that it saves.
"""

_RESULTS_EPILOG = """\b
Examples:
  deblur study results answers/ --key study/study-key.json --out results/
  deblur study results a.json b.json --key study/study-key.json --out results/ --difference 0.3

RESULTS receives index.html and summary.json. Files that cannot be used are left out with a message, and the exit code
is 1.
"""

app = typer.Typer(rich_markup_mode=None, context_settings=SETTINGS)


@app.callback(invoke_without_command=True)
def study(context: typer.Context) -> None:
    """Let people judge pictures, blind: make the page of a study, and compute its results."""
    if context.invoked_subcommand is None:
        console.echo(context.get_help())
        raise typer.Exit(2)


@app.command(epilog=_MAKE_EPILOG, context_settings=SETTINGS)
def make(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=FOLDER...",
            help="A folder of pictures per method, with the same names in all of them; or one report of deblur "
            "evaluate.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="STUDY", help="New folder for the study.")],
    sharp: Annotated[
        Path | None,
        typer.Option("--sharp", metavar="FOLDER", help="Sharp pictures: the hidden reference.", show_default=False),
    ] = None,
    design: Annotated[
        Literal["single", "pairs"],
        typer.Option("--design", help="Grades 1 to 5 for single pictures, or which of two is better."),
    ] = "single",
    items: Annotated[
        int | None,
        typer.Option("--items", metavar="N", help="Number of pictures. Default: up to 12.", show_default=False),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="PX", help="Side of the crops. Default: up to 512.", show_default=False),
    ] = None,
    crops: Annotated[
        Path | None,
        typer.Option(
            "--crops",
            metavar="FILE",
            help="CSV of name,left,top with crops of your choice. Others are where the versions differ most.",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            "--repeats", metavar="N", help="Trials that each rater sees twice. Default: a tenth.", show_default=False
        ),
    ] = None,
    practice: Annotated[
        int, typer.Option("--practice", metavar="N", help="Trials before those that count, of a picture of their own.")
    ] = 5,
    ties: Annotated[bool, typer.Option("--ties", help='Allow the answer "no difference" for pairs.')] = False,
    flicker: Annotated[
        bool, typer.Option("--flicker", help="Show pairs in one place, switched by a key, instead of side by side.")
    ] = False,
    session: Annotated[
        float,
        typer.Option("--session", metavar="MINUTES", help="Time after which the page asks for a break; up to 30."),
    ] = 20.0,
    title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "Which pictures look good?",
    consent: Annotated[
        Path | None,
        typer.Option("--consent", metavar="FILE", help="Text of what raters agree to.", show_default=False),
    ] = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="One page with the pictures inside, instead of a folder.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of file names, and of the picture for practice.")] = 0,
) -> None:
    """Make the page of a blind study after ITU-R BT.500 and ITU-T P.910, and its key."""
    from deblur_models.study import make_study

    found = _pictures(pictures, sharp)
    with options.live_bar("cropping") as update:
        made = make_study(
            found, out, design=design, items=items, size_px=size, crops=crops, repeats=repeats, practice=practice,
            ties=ties, flicker=flicker, session_minutes=session, title=title, consent=consent, single_file=single_file,
            seed=seed, on_picture=lambda done, total: update(completed=done, total=total),
        )  # fmt: skip
    key = made.key
    shown = len({trial.content for trial in key.counted.values()})
    console.echo(
        f"study {key.study}: {console.plural(len(key.methods), 'version')} ({', '.join(key.methods)}) of "
        f"{console.plural(shown, 'picture')}, crops of {key.size_px} px"
    )
    sessions = math.ceil(made.minutes / session)
    console.echo(
        f"each rater: {made.trials} trials, {key.repeats} of them repeated; some {made.minutes:.0f} min"
        + (f" in {sessions} sessions" if sessions > 1 else "")
    )
    what = "this file" if single_file else f"the folder {made.page.parent}"
    console.echo(f"for raters: {made.page} (hand out {what})")
    console.echo(f"for you alone: {made.key_file}")


def _pictures(given: list[str], sharp: Path | None) -> list[Versions]:
    from deblur_models.study.pictures import is_report, of_folders, of_report

    if len(given) == 1 and is_report(given[0]):
        if sharp is not None:
            raise InvalidValueError("--sharp: a report has its sharp pictures.", fix="Leave it out.")
        return of_report(given[0])
    named = [options.split_name(text) for text in given]
    options.different_names([name for name, _ in named])
    return of_folders(dict(named), sharp)


@app.command(epilog=_RESULTS_EPILOG, context_settings=SETTINGS)
def results(
    answers: Annotated[
        list[Path],
        typer.Argument(metavar="ANSWERS...", help="Files from raters, or folders of them.", show_default=False),
    ],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The study-key.json of the study.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RESULTS", help="Folder for the report.")],
    difference: Annotated[
        float | None,
        typer.Option(
            "--difference",
            metavar="D",
            help="Say how many raters are needed to find it: in grades, or for pairs in shares of preference beyond "
            "one half. Default: 0.5 or 0.1.",
            show_default=False,
        ),
    ] = None,
    no_screening: Annotated[
        bool, typer.Option("--no-screening", help="Count the raters whom BT.500 rejects, too.")
    ] = False,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Count raters who have not finished, too.")] = False,
) -> None:
    """Compute scores, intervals and differences from the answers of raters."""
    from deblur_models.study import answer_files, read_key, read_raters, summarize, write_results

    if out.exists() and not out.is_dir():
        raise InvalidValueError(f"--out {out}: is a file, not a folder.", fix="Choose another place.")
    known = read_key(key)
    raters, left_out = read_raters(answer_files(answers), known, unfinished=unfinished)
    summary = summarize(known, raters, left_out, screening=not no_screening, difference=difference)
    page = write_results(summary, out)
    show_summary(summary)
    console.echo(f"\nwritten: {page}")
    if left_out:
        console.echo(f"\nNot counted: {console.plural(len(left_out), 'file')}")
        console.table(("file", "why"), left_out)
        raise typer.Exit(1)


def show_summary(summary: dict[str, Any]) -> None:
    """The tables of a study on the terminal."""
    from deblur_models.study.report import needed_text, number, p_text, ranked, share_text, with_interval

    single = summary["design"] == "single"
    console.echo(
        f"{console.plural(summary['raters_used'], 'rater')}, {console.plural(len(summary['pictures']), 'picture')}, "
        f"{console.plural(summary['answers'], 'answer')}"
    )
    rows: list[tuple[str, ...]] = []
    for method in ranked(summary):
        line = summary["scores"][method]
        if single:
            kinds = (("mos", "half_width"), ("dmos", "dmos_half_width"), ("model", "model_half_width"))
            rows.append((method, *(with_interval(line[value], line[half]) for value, half in kinds)))
        else:
            rows.append(
                (method, with_interval(line["score"], line["half_width"], signed=True), share_text(line["won"]))
            )
    heads = ["method", *(("MOS", "DMOS", "P.910 model") if single else ("score", "won"))]
    console.table(heads, rows, right=heads[1:])
    console.echo("\nDifferences")
    heads = ["first", "second", "difference", "p (Holm)", "pictures", "raters needed"]
    rows = [
        (
            row["first"], row["second"], with_interval(row["difference"], row["half_width"], signed=True),
            p_text(row["p"]), f"{row['pictures_first']} : {row['pictures_second']}", needed_text(row["needed"]),
        )
        for row in summary["differences"]
    ]  # fmt: skip
    console.table(heads, rows, right=heads[2:])
    unit = "grades" if single else "of a share of preferences away from one half"
    console.echo(f"Raters needed: to find a difference of {summary['difference']:g} {unit}.")
    found = summary["reliability"]
    console.echo(
        f"Agreement: alpha {number(found['alpha'])}, repeated trials answered alike {share_text(found['same'])}."
    )
    for note in summary["notes"]:
        console.echo(f"Note: {note}")
