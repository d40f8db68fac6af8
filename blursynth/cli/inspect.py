"""``blursynth inspect``: what a data set holds, and how its drawn numbers are distributed."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blursynth.cli import arguments, console
from blursynth.errors import DatasetError, InvalidValueError
from blursynth.records.text import printable

if TYPE_CHECKING:
    from blursynth.core import Degradation
    from blursynth.dataset import Dataset

EPILOG = """\b
Examples:
  blursynth inspect dataset/
  blursynth inspect dataset/ --sample 12
  blursynth inspect dataset/ --sheet sheet.png --rows 10
"""

_BARS = "▁▂▃▄▅▆▇█"


def command(
    out: arguments.Dataset,
    sample: Annotated[
        int | None, typer.Option("--sample", metavar="I", help="Show this sample in full, and nothing else.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Also draw a contact sheet of some samples to this picture.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", help="Number of samples on the sheet.")] = 8,
) -> None:
    """Show what a data set holds.

    Lists counts, sizes, the distributions of the drawn parameters, and one sample in full.
    """
    from blursynth import dataset

    if not 1 <= rows <= 100:
        raise InvalidValueError(f"--rows must be 1 to 100, got {rows}.")
    with arguments.shipped_kinds():
        _show(dataset.open_dataset(out, allow_unfinished=True), sample, sheet, rows)


def _show(opened: Dataset, sample: int | None, sheet: Path | None, rows: int) -> None:
    from blursynth.dataset.drawn_numbers import some_records

    if sample is not None:
        if not 0 <= sample < len(opened):
            raise DatasetError(f"{opened.path}: there is no sample {sample}; it has {len(opened)}, counted from 0.")
        _show_sample(opened, sample)
        return
    records = some_records(opened)
    if sheet is not None and records:
        # Before anything is printed, since the reader of a pipe may stop early, as `| head` does.
        _draw_sheet(opened, sheet, [int(record["index"]) for record in records], rows)
    _show_head(opened)
    if not records:
        console.echo("No shard is finished, so there is nothing to count yet.")
        return
    sampled = f", from {len(records):,} samples" if len(records) < len(opened) else ""
    if not opened.spec.is_real:
        console.echo(f"\nDrawn numbers{sampled}")
        _show_distributions(list(_distributions(records, opened.kinds)))
    _show_sample(opened, int(records[0]["index"]))
    if sheet is not None:
        console.echo(f"\nwritten: {sheet}")


def _show_head(opened: Dataset) -> None:
    spec = opened.spec
    from blursynth.dataset.manifest import finished_shards, read_manifest

    done = [s for s in finished_shards(opened.path) if s < spec.shards]
    size = sum(read_manifest(opened.path, s, spec).size for s in done)
    state = "finished" if opened.finished else f"not finished: {len(done)} of {spec.shards} shards"
    rows = [
        ("pairs", f"{spec.count:,} of {spec.size_px} px, {state}"),
        ("imported" if spec.is_real else "recipe", f"{spec.recipe_name}: {_summary(opened)}".rstrip(": ")),
        *([] if spec.is_real else [("seed", str(spec.seed))]),
        ("sources", console.plural(len(spec.sources), "picture")),
        ("licenses", _counted(s.license or "not stated in the file" for s in spec.sources)),
        ("arrays", ", ".join(f"{a.name} {a.dtype} {list(a.shape)}" for a in spec.arrays)),
        ("layout", f"{console.plural(spec.shards, 'shard')} of {console.plural(spec.shard_length, 'sample')}"),
        ("size", f"{console.bytes_text(size)} on disk, {console.bytes_text(spec.count * spec.sample_bytes)} in memory"),
    ]
    if opened.digest:
        rows.append(("digest", f"pixels {opened.digest['pixels'][:16]}, draws {opened.digest['draws'][:16]}"))
    versions = spec.environment.get("versions", {})
    rows.append(("made with", ", ".join(f"{k} {v}" for k, v in versions.items() if k in ("blursynth", "numpy"))))
    console.echo(str(opened.path))
    console.table(("", ""), rows)


def _summary(opened: Dataset) -> str:
    return opened.spec.summary if opened.recipe is None else opened.recipe.summary


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values).most_common()
    text = ", ".join(f"{what} ({number})" for what, number in counts[:4])
    return text + (f" and {len(counts) - 4} others" if len(counts) > 4 else "")


def _show_distributions(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows: one cell is a heading, three are a field with its shares, more are quantiles and a histogram.

    A narrow screen shows fewer columns but never cuts one off: the 5 % and 95 % are dropped first, then the histogram.
    """
    names = ("step and field", "unit", "least", "5 %", "median", "95 %", "greatest", "histogram")
    full = [names, *(row for row in rows if len(row) == len(names))]
    widths = [max(len(row[i]) for row in full) for i in range(len(names))]
    widths[0] = max([widths[0], *(len(row[0]) for row in rows if len(row) > 1)])
    shown = set(range(len(names)))
    room = console.console().width - 1
    for gone in ({3, 5}, {7}, {1}):
        if 1 + sum(widths[i] + 2 for i in shown) - 2 > room:
            shown -= gone

    def line(row: Sequence[str]) -> str:
        cells = (row[i].rjust(widths[i]) if 2 <= i <= 6 else row[i].ljust(widths[i]) for i in sorted(shown))
        return (" " + "  ".join(cells)).rstrip()

    console.echo(line(names))
    for row in rows:
        if len(row) == len(names):
            console.echo(line(row))
        elif len(row) == 1:
            console.echo(f" {row[0]}")
        else:
            start = " " + "  ".join(row[i].ljust(widths[i]) for i in (0, 1) if i in shown) + "  "
            lines = textwrap.wrap(row[2], max(room - len(start), 12))
            for number, part in enumerate(lines):
                console.echo((start if number == 0 else " " * len(start)) + part)


def _distributions(records: Sequence[dict[str, Any]], kinds: Sequence[type[Degradation]]) -> Iterator[tuple[str, ...]]:
    from blursynth.dataset.drawn_numbers import drawn_numbers
    from blursynth.records.units import number, split_unit

    for step in drawn_numbers(records, kinds):
        yield (f"{step.name}: {step.kind}, {100 * step.count / len(records):.0f} %",)
        for field, values in step.fields.items():
            unit = split_unit(field)[1]
            few = len(set(values)) <= 8 and all(isinstance(v, int) for v in values)
            if few or isinstance(values[0], str):
                shares = [f"{number(v)}: {100 * n / step.count:.0f}%" for v, n in Counter(values).most_common(8)]
                yield (f"  {field}", unit, ", ".join(shares))
                continue
            ordered = sorted(values)
            some = (ordered[min(int(q * step.count), len(ordered) - 1)] for q in (0, 0.05, 0.5, 0.95, 1))
            yield (f"  {field}", unit, *(number(v) for v in some), _histogram(values))


def _draw_sheet(opened: Dataset, path: Path, present: Sequence[int], rows: int) -> None:
    """Write a contact sheet of evenly spaced existing samples."""
    from blursynth.dataset.contact_sheet import Row, write_contact_sheet

    number = min(rows, len(present))
    chosen = [opened[present[i * len(present) // number]] for i in range(number)]
    spec = opened.spec
    write_contact_sheet(
        path,
        [Row(s.sharp, s.blurred, s.draw, f"sample {s.index} · {s.source}") for s in chosen],
        title=f"{printable(opened.path.name)}: {'imported' if spec.is_real else 'recipe'} {spec.recipe_name}",
        subtitle=f"{'' if spec.is_real else f'seed {spec.seed} · '}{spec.count:,} pairs · {_summary(opened)}".rstrip(
            " ·"
        ),
        recipe=opened.recipe,
    )


def _histogram(values: Sequence[float], bins: int = 16) -> str:
    """Counts in equal bins from the least to the greatest value; an empty bin is a space."""
    import sys

    low, high = min(values), max(values)
    counts = [0] * bins
    for value in values:
        counts[min(int((value - low) / (high - low) * bins), bins - 1)] += 1
    # Where these characters cannot be encoded, as in an old code page, digits from 1 to 8 stand for the heights.
    try:
        _BARS.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        bars = _BARS
    except UnicodeEncodeError:
        bars = "12345678"
    return "".join(bars[math.ceil(8 * c / max(counts)) - 1] if c else " " for c in counts)


def _show_sample(opened: Dataset, index: int) -> None:
    from blursynth.dataset.drawn_numbers import field_order
    from blursynth.records.units import split_unit

    record = opened.record(index)
    window = record["window"]
    console.echo(f"\nSample {index}")
    rows = [
        ("source", record["source"]),
        ("sha256", record["source_sha256"]),
        ("license", record["license"] or "not stated in the file"),
        *((key, record[key]) for key in ("attribution", "url", "original") if record.get(key)),
        (
            "window",
            f"{window['size']} px at row {window['top']}, column {window['left']}, {window['reach']} px around it used",
        ),
    ]
    console.table(("", ""), rows)
    if record["draw"] is None:
        console.echo("A real pair: nothing was drawn.")
        return
    target = record["draw"].get("target", "scene")
    target = {"kind": target} if isinstance(target, str) else dict(target)
    fields = [(f"the sharp picture: {target.pop('kind')}", "")]
    fields += [(f"  {name}", "by default" if value is None else str(value)) for name, value in target.items()]
    for step in record["draw"]["step"]:
        fields.append((f"{step['name']}: {step['kind']}", ""))
        for field in field_order(step, opened.kinds):
            value = step[field]
            shown = "by default" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            fields.append((f"  {field}", shown if value is None else f"{shown} {split_unit(field)[1]}".rstrip()))
    console.table(("step and field", "value"), fields)
