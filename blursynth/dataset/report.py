"""A page about a data set: pairs to compare, what was drawn, sharpness, noise, sources, and how to make it again.

Names, licenses and summaries come from untrusted files: all of them are escaped, and the page refers to nothing
outside.
"""

from __future__ import annotations

import html
import json
import math
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.dataset.card import NOT_STATED
from blursynth.dataset.contact_sheet import Row, blur_picture, describe_draw, encoded
from blursynth.dataset.detail import detail_of
from blursynth.dataset.drawn_numbers import drawn_numbers, some_records
from blursynth.dataset.files import read_sealed, write_atomically
from blursynth.dataset.manifest import finished_shards, read_manifest
from blursynth.dataset.progress import OnProgress, Progress
from blursynth.dataset.reader import Dataset, open_dataset
from blursynth.dataset.samples import Sample
from blursynth.dataset.sources import NotUsed
from blursynth.errors import BlursynthError, DatasetError
from blursynth.frame import Encoding
from blursynth.io import page_parts
from blursynth.io.folders import expanded
from blursynth.io.object_store import Place
from blursynth.recipe.recipe import load_recipe
from blursynth.records.text import printable
from blursynth.records.units import number, split_unit

__all__ = ["report"]

SHOWN = 12  # pairs in the gallery
MEASURED = 400  # pairs whose sharpness and noise are measured
_LONGEST_PX = 320  # side of a picture in the gallery; larger ones are cut in the middle
_QUIETEST = 0.745  # noise of the quietest tenth of blocks over that of all, for white noise: by simulation
_MOST_ROWS = 50  # of the tables of sources, licenses and skipped inputs
_LONGEST_TEXT = 300  # characters of one untrusted string


def report(
    dataset: str | Path | Dataset, out: str | Path | None = None, *, on_progress: OnProgress | None = None
) -> Path:
    """Write one self-contained HTML page about a data set, finished or not.

    Pairs with a slider between sharp and blurred, the kernel of each, the distribution of every number that was drawn,
    sharpness before and after and noise (of at most 400 evenly spaced pairs), sources with their licenses, inputs that
    were not used, sizes, digests, and the command that makes it again.

    Parameters
    ----------
    dataset
        A data set or its folder.
    out
        The page, .html; by default ``NAME.html`` beside the folder, in the current one for object storage. An existing
        page is replaced.

    Raises
    ------
    DatasetError
        It is not a data set, it is damaged, or the page cannot be written.
    """
    opened = dataset if isinstance(dataset, Dataset) else open_dataset(dataset, allow_unfinished=True)
    beside = opened.path.parent if isinstance(opened.path, Path) else Path()
    path = beside / f"{opened.path.name}.html" if out is None else expanded(out)
    if path.suffix.lower() not in (".html", ".htm"):
        raise DatasetError(f"{path}: a report is a page, so its name must end in .html.", fix=f"Write {path}.html.")
    if not path.parent.is_dir():
        raise DatasetError(f"{path.parent}: there is no such folder.", fix="Make it, or choose another place.")
    write_atomically(path, to_html(opened, on_progress=on_progress).encode())
    return path


def to_html(opened: Dataset, *, on_progress: OnProgress | None = None) -> str:
    """The text of the page."""
    spec = opened.spec
    records = some_records(opened)
    indices = [int(record["index"]) for record in records]
    shown = _spread(records, SHOWN)
    measured = _evenly(indices, MEASURED)
    total = len(shown) + len(measured)

    def tell(done: int) -> None:
        if on_progress is not None:
            on_progress(Progress("report", done, total))

    gallery = []
    for done, index in enumerate(shown, 1):
        gallery.append(_card(opened[index], opened))
        tell(done)
    plots = _measurements(opened, measured, lambda done: tell(len(shown) + done))
    page = Template((resources.files("blursynth.dataset") / "report.html").read_text("utf-8"))
    recipe = json.dumps(spec.recipe, indent=1, ensure_ascii=False, allow_nan=False)
    return page.substitute(
        title=_text(opened.path.name),
        summary=_text(spec.summary or (opened.recipe and opened.recipe.summary) or spec.recipe_name),
        facts=_table(_facts(opened)),
        gallery="".join(gallery) or "<p>No shard is finished yet.</p>",
        plots="".join(plots),
        drawn="".join(_drawn(opened, records)) if records else "",
        looked=f"{len(records):,} of {spec.count:,} samples" if len(records) < spec.count else "all samples",
        sources=_counted((s.name for s in spec.sources), Counter(r["source"] for r in records), "samples among these"),
        licenses=_counted([], Counter(s.credit or NOT_STATED for s in spec.sources), "sources"),
        skipped=_skipped(opened.path),
        command=_text(_command(opened), lines=True),
        recipe=_text(recipe, lines=True),
    )


def _text(text: object, *, lines: bool = False) -> str:
    shown = printable(text, lines=lines)
    return html.escape(shown if lines or len(shown) <= _LONGEST_TEXT else shown[:_LONGEST_TEXT] + "...")


def _table(rows: Iterable[tuple[str, object]], head: Sequence[str] = ()) -> str:
    heads = "".join(f"<th>{_text(name)}</th>" for name in head)
    above = f"<thead><tr>{heads}</tr></thead>" if heads else ""
    body = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows)
    return f"<div class='scroll'><table>{above}<tbody>{body}</tbody></table></div>"


def _evenly(values: Sequence[int], most: int) -> list[int]:
    count = min(most, len(values))
    return [values[i * len(values) // count] for i in range(count)]


def _spread(records: Sequence[dict[str, Any]], most: int) -> list[int]:
    """Samples of different sources as long as there are some."""
    first = {record["source"]: int(record["index"]) for record in reversed(records)}
    chosen = _evenly(sorted(first.values()), most)
    others = sorted({int(record["index"]) for record in records}.difference(chosen))
    return sorted([*chosen, *_evenly(others, most - len(chosen))])


def _facts(opened: Dataset) -> list[tuple[str, object]]:
    spec = opened.spec
    done = [shard for shard in finished_shards(opened.path) if shard < spec.shards]
    size = 0
    damaged = []
    for shard in done:
        try:
            size += read_manifest(opened.path, shard, spec).size
        except DatasetError:
            damaged.append(shard)
    state = "finished" if opened.finished else f"not finished: {len(done)} of {spec.shards} shards"
    if damaged:
        state += f"; {len(damaged)} manifests are damaged (blursynth repair)"
    rows: list[tuple[str, object]] = [
        ("pairs", f"{spec.count:,} of {spec.size_px} x {spec.size_px} px"),
        ("state", state),
        *([("imported", spec.recipe_name)] if spec.is_real else [("recipe", spec.recipe_name), ("seed", spec.seed)]),
        ("sources", f"{len(spec.sources):,}"),
        ("license", spec.license or NOT_STATED),
        ("layout", f"{spec.shards:,} shards of {spec.shard_length:,} samples, codec {spec.codec}"),
        ("arrays", ", ".join(f"{a.name} {a.dtype} {list(a.shape)}" for a in spec.arrays)),
        ("size", f"{size / 1e6:,.1f} MB on disk, {spec.count * spec.sample_bytes / 1e6:,.1f} MB in memory"),
        ("made with", ", ".join(f"{k} {v}" for k, v in spec.environment.get("versions", {}).items() if v)),
    ]
    return rows + [(f"digest of {name}", value) for name, value in opened.digest.items()]


def _card(sample: Sample, opened: Dataset) -> str:
    """A pair under a slider, its kernel, and what was drawn for it."""
    sharp, blurred = (_codes(picture) for picture in (sample.sharp, sample.blurred))
    side = sharp.shape[0] * max(1, _LONGEST_PX // sharp.shape[0])
    blur = blur_picture(Row(sample.sharp, sample.blurred, sample.draw), 160)
    rows = [(name, values) for name, values in describe_draw(sample.draw, opened.recipe) if values]
    return (
        f'<figure class="pair"><div class="both" style="width:{side}px;aspect-ratio:1">'
        f"{page_parts.picture(blurred, 'blurred')}{page_parts.picture(sharp, 'sharp', 'top')}"
        f'<input type="range" min="0" max="100" value="50" aria-label="sharp left, blurred right"></div>'
        f'<div class="kernel">{page_parts.picture(blur, "blur")}</div>'
        f"<figcaption><details><summary><b>{sample.index}</b> {_text(sample.source)}</summary><dl>"
        + "".join(f"<dt>{_text(name)}</dt><dd>{_text(values)}</dd>" for name, values in rows)
        + "</dl></details></figcaption></figure>"
    )


def _codes(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """8-bit codes of the middle of a stored picture."""
    first = [max(0, (side - _LONGEST_PX) // 2) for side in picture.shape[:2]]
    return encoded(picture[tuple(slice(start, start + _LONGEST_PX) for start in first)])


def _values(picture: NDArray[Any]) -> NDArray[np.float32]:
    scale = np.iinfo(picture.dtype).max if picture.dtype.kind == "u" else 1
    return np.asarray(picture, np.float32) / np.float32(scale)


def _measurements(opened: Dataset, indices: Sequence[int], tell: Any) -> list[str]:
    """Sharpness of both pictures, noise of both, and how far they are apart."""
    if not indices:
        return []
    linear = opened.spec.arrays[0].dtype == "float32"
    encoding = Encoding.LINEAR if linear else Encoding.DISPLAY
    detail, noise, psnr = [], [], []
    for done, first in enumerate(range(0, len(indices), 16), 1):
        batch = opened.batch(indices[first : first + 16])
        for pair in zip(batch.sharp, batch.blurred, strict=True):
            planes = [np.moveaxis(_values(picture), -1, 0) for picture in pair]
            detail.append([detail_of(one, encoding) for one in planes])
            noise.append([noise_codes(one) for one in planes])
            error = float(np.mean((planes[0] - planes[1]) ** 2, dtype=np.float64))
            psnr.append(-10 * math.log10(error) if error > 0 else math.inf)
        tell(min(16 * done, len(indices)))
    found = [_histograms("Detail (standard deviation of the Laplacian)", "codes", detail)]
    found.append(_histograms("Noise of flat places", "codes", noise))
    same = sum(map(math.isinf, psnr))
    finite = [[value] for value in psnr if math.isfinite(value)]
    if finite:
        note = f"; {same} of {len(psnr)} pairs are equal" if same else ""
        found.append(_histograms(f"PSNR of blurred against sharp{note}", "dB", finite, names=("pairs",)))
    return found


def noise_codes(planes: NDArray[np.floating]) -> float:
    """Standard deviation of the noise of a picture ``[3, H, W]`` in 8-bit codes, of green where it is flattest.

    The median over blocks of 8 px, of the tenth with the least of it (divided by .745, its share of that of all blocks
    where there is nothing but noise), of the deviation that the mask
    ``[1 -2 1; -2 4 -2; 1 -2 1] / 6`` leaves: it removes edges and slopes and keeps white noise. Noise that the camera
    has smoothed is underestimated.

    Source: Immerkaer, "Fast Noise Variance Estimation", CVIU 64, 1996.
    """
    green = 255.0 * np.asarray(planes[1], np.float64)
    rows = green[:-2] - 2 * green[1:-1] + green[2:]
    left = (rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]) / 6
    tall, wide = (n // 8 for n in left.shape)
    if not tall or not wide:
        return float(left.std())
    blocks = left[: 8 * tall, : 8 * wide].reshape(tall, 8, wide, 8).std(axis=(1, 3)).ravel()
    return float(np.median(np.sort(blocks)[: max(1, len(blocks) // 10)])) / _QUIETEST


def _bins(values: Sequence[object]) -> int:
    return min(24, max(6, len(values) // 4))


def _histograms(
    title: str,
    unit: str,
    values: Sequence[Sequence[float]],
    names: Sequence[str] = ("sharp", "blurred"),
) -> str:
    table = np.array(values, np.float64)
    low, high = float(table.min()), float(table.max())
    edges = np.linspace(low, high if high > low else low + 1, _bins(values) + 1)
    groups = [(name, np.histogram(column, edges)[0] / len(column)) for name, column in zip(names, table.T, strict=True)]
    return page_parts.bars(title, unit, [number(edge) for edge in edges[:-1].tolist()], groups)


def _drawn(opened: Dataset, records: Sequence[dict[str, Any]]) -> Iterable[str]:
    """A plot for every number that was drawn, under the name and share of its kind."""
    for step in drawn_numbers(records, opened.kinds):
        yield f"<h3>{_text(step.name)}: {_text(step.kind)}, {100 * step.count / len(records):.0f} %</h3>"
        plots = []
        for field, values in step.fields.items():
            words, unit = split_unit(field)
            few = len(set(values)) <= 12 and all(isinstance(v, int | str) for v in values)
            if few or not all(isinstance(v, int | float) for v in values):
                counts = Counter(map(str, values)).most_common(12)
                shares = np.array([count / len(values) for _, count in counts])
                plots.append(page_parts.bars(words, unit, [printable(v)[:20] for v, _ in counts], [(words, shares)]))
            else:
                plots.append(_histograms(words, unit, [[float(v)] for v in values], names=(words,)))
        yield f'<div class="plots small">{"".join(plots)}</div>' if plots else "<p>Always the same.</p>"


def _counted(names: Iterable[str], counts: Counter[str], what: str) -> str:
    rows = sorted({**dict.fromkeys(names, 0), **counts}.items(), key=lambda row: (-row[1], row[0]))
    table = _table(((name, f"{count:,}") for name, count in rows[:_MOST_ROWS]), ("", what))
    return table + (f"<p>And {len(rows) - _MOST_ROWS:,} more.</p>" if len(rows) > _MOST_ROWS else "")


def _skipped(out: Place) -> str:
    """Inputs that were not used, and why."""
    try:
        found = read_sealed(out / "skipped.json", "the list of unused inputs", NotUsed)
    except BlursynthError as error:
        return f"<p>{_text(error)}</p>"
    rows = [(one.name, one.why) for one in (*found.skipped, *found.duplicates)]
    if not rows and not found.ignored:
        return "<p>None.</p>"
    more = [(f"*{ending}", f"{count} files of another format") for ending, count in found.ignored.items()]
    table = _table([*rows[:_MOST_ROWS], *more[:_MOST_ROWS]])
    return table + (f"<p>And {len(rows) - _MOST_ROWS:,} more.</p>" if len(rows) > _MOST_ROWS else "")


def _command(opened: Dataset) -> str:
    """The command that makes it again, as far as the data set knows it."""
    spec = opened.spec
    if opened.recipe is None:
        name, _, split = spec.recipe_name.partition(" ")
        codec = ["--codec", spec.codec] if spec.codec != "lz4" else []
        return shlex.join(
            ["blursynth", "import", name, "FOLDER", "OUT", "--split", split, "--size", str(spec.size_px), *codec]
        )
    words = ["blursynth", "generate", "SOURCES", "OUT", "--recipe", spec.recipe_name, "--count", spec.count]
    words += ["--size", spec.size_px, "--seed", spec.seed]
    for option, value, default in (
        ("--crops-per-source", spec.crops_per_source, 1), ("--downscale", spec.downscale, 1),
        ("--min-detail", spec.min_detail, None), ("--codec", spec.codec, "lz4"),
    ):  # fmt: skip
        words += [option, value] if value != default else []
    stored = [a.name for a in spec.arrays if a.name in ("kernel", "params")]
    words += ["--store", ",".join(stored)] if stored else []
    line = " ".join(shlex.quote(str(word)) for word in words)
    try:
        same = load_recipe(spec.recipe_name, kinds=opened.kinds).to_dict() == opened.recipe.to_dict()
    except BlursynthError:
        same = False
    return line if same else f"{line}\n# The recipe is not one that ships, or was changed: it is the one below."
