"""Writing to the terminal: lines, tables, progress, logs. In a pipe everything is plain text.

Nothing that is shown may control the terminal. File names and text from files can hold escape sequences, so everything
passes through :func:`~blursynth.records.text.printable` here, and commands write only with :func:`echo`.
"""

from __future__ import annotations

import copy
import logging
import os
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from blursynth.backends.compiling import shown_while_compiling
from blursynth.io.folders import HIDDEN, endings_text
from blursynth.io.object_store import Place
from blursynth.records.text import printable
from blursynth.records.units import number

if TYPE_CHECKING:
    from rich.console import Console

    from blursynth.dataset import OnProgress, Skipped

_PIPE_WIDTH = 140  # columns of a table if no terminal limits them
_NARROWEST = 28  # columns that the last column of a table needs to be readable
_LINE_EVERY_S = 30.0  # time between lines of progress in a log file
_MOST_SKIPPED = 30  # unused inputs that are listed


def console(*, stderr: bool = False) -> Console:
    """A console on the current standard output."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def echo(text: object = "", *, err: bool = False) -> None:
    """Print lines of text on standard output or standard error."""
    typer.echo(printable(text, lines=True), err=err)


def complain(message: str) -> None:
    """Print an error message as one line, whatever it quotes."""
    typer.secho("Error: ", err=True, nl=False, fg="red", bold=True)
    echo(printable(message), err=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Print a table. The columns in ``right`` are aligned right; the last column takes the remaining width.

    If the screen is too narrow, each row becomes a paragraph instead, so that nothing is cut off.
    """
    rows = [tuple(_cell(cell) for cell in row) for row in rows]
    widths = [max(len(str(cell)) for cell in (name, *column)) for name, *column in zip(columns, *rows, strict=True)]
    if rows and console().width < sum(widths[:-1]) + 3 * len(widths) + min(widths[-1], _NARROWEST):
        _paragraphs(columns, rows)
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    headed = any(columns)
    grid = Table(box=SIMPLE_HEAD if headed else None, show_header=headed, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        last = place == len(columns) - 1
        grid.add_column(Text(name), justify="right" if name in right else "left", no_wrap=not last, overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    screen = console()
    if screen.is_terminal:
        screen.print(grid)
        return
    with screen.capture() as text:
        screen.print(grid)
    echo("\n".join(line.rstrip() for line in text.get().rstrip().split("\n")))


def _cell(cell: object) -> object:
    from rich.text import Text

    return cell if isinstance(cell, Text) else printable(cell)


def _paragraphs(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    for row in rows:
        first, *middle, last = (str(cell) for cell in row)
        named = [f"{name} {cell}" if name else cell for name, cell in zip(columns[1:-1], middle, strict=True)]
        echo(first + ("   " + ", ".join(named) if named else ""))
        echo(textwrap.indent(textwrap.fill(last, max(console().width - 4, 20)), "    "))


def show_used(used: int, skipped: Sequence[Skipped], ignored: Mapping[str, int], *, before: str = "") -> None:
    """Show the inputs that are not used, and why, and then how many are, after the sentence ``before``."""
    if skipped:
        echo(f"\nNot used: {len(skipped)} of the inputs")
        table(("input", "why"), [(s.name, s.why) for s in skipped[:_MOST_SKIPPED]])
        if len(skipped) > _MOST_SKIPPED:
            echo(f"... and {len(skipped) - _MOST_SKIPPED} more; skipped.json in the data set lists all of them")
    show_ignored(ignored)
    echo(f"{before}{used_text(used, len(skipped), ignored)}.")


def show_ignored(ignored: Mapping[str, int]) -> None:
    """Show how many files in the folders are not pictures, by extension."""
    if ignored:
        echo(f"\nOther files in the folders: {endings_text(ignored)}")


def used_text(used: int, skipped: int, ignored: Mapping[str, int]) -> str:
    """How many pictures were used, and how many inputs were not.

    >>> used_text(12, 1, {".xmp": 3, "hidden": 1})
    '12 pictures used; not used: 1 of the inputs, 3 files of other formats'
    >>> used_text(1, 0, {})
    '1 picture used'
    """
    others = sum(count for ending, count in ignored.items() if ending != HIDDEN)
    parts = [f"{skipped:,} of the inputs"] if skipped else []
    parts += [f"{plural(others, 'file')} of other formats"] if others else []
    return f"{plural(used, 'picture')} used" + (f"; not used: {', '.join(parts)}" if parts else "")


def bytes_text(size: float) -> str:
    """A number of bytes in readable form.

    >>> bytes_text(12_345_678), bytes_text(512)
    ('12.3 MB', '512 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1000
    return f"{size:.3g} TB"


def plural(number: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "shard"), plural(1200, "shard")
    ('1 shard', '1,200 shards')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def seconds_text(seconds: float) -> str:
    """A time in readable form.

    >>> seconds_text(0.41), seconds_text(75), seconds_text(8000)
    ('0.4 s', '1 min 15 s', '2 h 13 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def progress_bar(unit: str, out: Place | None = None, *, quiet: bool = False) -> Iterator[OnProgress]:
    """A live bar with rate and time left on a terminal, an occasional line in a log, nothing if ``quiet``.

    Yields a callback for the parameter ``on_progress`` of the data set functions. It reports if work on ``out`` is
    resumed.
    """
    if quiet:
        yield lambda _: None
        return
    if not sys.stderr.isatty():
        yield _lines(out)
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with (
        Progress(*columns, console=console(stderr=True), transient=True) as bar,
        shown_while_compiling(lambda: _task(bar, compiled)),
    ):
        tasks: dict[str, Any] = {}
        compiled: list[float] = []
        started: dict[str, tuple[float, int]] = {}
        skipped = ""

        def begin(stage: str, description: str, total: int | None) -> None:
            for old in tasks.values():
                bar.update(old, visible=False)
            tasks[stage] = bar.add_task(description, total=total, text=skipped)

        def show(progress: Any) -> None:
            nonlocal skipped
            stage = progress.stage
            if stage not in tasks:
                if note := _going_on(progress, out):
                    bar.console.print(printable(note))
                begin(stage, _WORDS[stage], progress.total)
                started[stage] = (time.monotonic(), progress.done)
            if progress.skipped:
                skipped = f"{len(progress.skipped)} skipped"
            word = {"scan": "pictures", "verify": "checks"}.get(stage, unit)
            parts = [f"{progress.done:,} of {progress.total:,} {word}", *_pace(progress, *started[stage]), skipped]
            bar.update(
                tasks[stage],
                completed=progress.done,
                total=progress.total,
                text=", ".join(part for part in parts if part),
            )
            if progress.note:
                bar.console.print(printable(progress.note))
            if stage == "scan" and progress.done == progress.total:
                begin("ready", "preparing", None)

        yield show


@contextmanager
def compiling_line() -> Iterator[None]:
    """One line while kernels are compiled, on a terminal; it is gone when they are."""
    compiled: list[float] = []

    @contextmanager
    def show() -> Iterator[None]:
        from rich.progress import Progress, TextColumn

        columns = (TextColumn("{task.description}"), TextColumn("{task.fields[text]}"))
        with Progress(*columns, console=console(stderr=True), transient=True) as bar, _task(bar, compiled):
            yield

    if not sys.stderr.isatty():
        yield
        return
    with shown_while_compiling(show):
        yield


@contextmanager
def _task(bar: Any, compiled: list[float]) -> Iterator[None]:
    """A task of a bar while a kernel is compiled; ``compiled`` holds when each of them was begun."""
    compiled.append(time.monotonic())
    passed = f"{len(compiled)} ... {compiled[-1] - compiled[0]:.0f} s"
    task = bar.add_task("Compiling kernels for this machine (first use):", total=None, text=passed)
    try:
        yield
    finally:
        bar.remove_task(task)


def _pace(progress: Any, since: float, first: int) -> tuple[str, ...]:
    """Rate and time left, once they are known."""
    elapsed = time.monotonic() - since
    if elapsed < 0.5 or progress.done <= first:
        return ()
    rate = (progress.done - first) / elapsed
    return (f"{number(rate)} per second", f"{seconds_text((progress.total - progress.done) / rate)} left")


_WORDS = {
    "scan": "scanning the pictures",
    "generate": "making",
    "verify": "verifying",
    "warm": "compiling for this machine",
    "measure": "measuring the photographs",
    "simulate": "simulating",
    "train": "learning to read blur",
    "compare": "comparing",
    "export": "writing",
    "report": "looking",
    "fetch": "fetching",
}


def _going_on(progress: Any, out: Place | None) -> str:
    if out is None or progress.stage != "generate" or not 0 < progress.done < progress.total:
        return ""
    return f"{out} is unfinished: {progress.done:,} of {progress.total:,} samples exist and are kept; resuming."


def _lines(out: Place | None) -> OnProgress:
    last = {"time": time.monotonic()}
    stages: set[str] = set()

    def show(progress: Any) -> None:
        if progress.stage not in stages and (note := _going_on(progress, out)):
            echo(note, err=True)
        stages.add(progress.stage)
        if progress.note:
            echo(progress.note, err=True)
        now = time.monotonic()
        if now - last["time"] > _LINE_EVERY_S:
            last["time"] = now
            echo(f"{_WORDS[progress.stage]}: {progress.done} of {progress.total}", err=True)

    return show


class RichLogs(logging.Handler):
    """Hands records to rich's handler, which is loaded when the first record arrives."""

    def __init__(self) -> None:
        super().__init__()
        self._rich: logging.Handler | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self._rich is None:
            from rich.logging import RichHandler

            self._rich = RichHandler(console=console(stderr=True), show_path=False, show_time=False)
        self._rich.emit(_printable(record))


def _printable(record: logging.LogRecord) -> logging.LogRecord:
    """A record whose message and traceback cannot control the terminal."""
    shown = copy.copy(record)
    shown.msg, shown.args = printable(record.getMessage()), ()
    if record.exc_info:
        trace = logging.Formatter().formatException(record.exc_info)
        shown.msg += "\n" + printable(trace, lines=True)
        shown.exc_info = shown.exc_text = None
    return shown
