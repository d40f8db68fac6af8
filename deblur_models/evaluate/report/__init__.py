"""The report of an evaluation as one HTML page: tables, a plot, and sliders between blurred and restored pictures.

The page only needs the folder ``pictures`` next to it: no network, no external fonts or scripts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from deblur_models.data.picture_file import write_whole
from deblur_models.evaluate.evaluation import Evaluation
from deblur_models.evaluate.report.page import page, section, table
from deblur_models.evaluate.statistics import BASELINE
from deblur_models.evaluate.store import restored_stem

__all__ = ["number", "percent", "percent_points", "write_report"]

_COLORS = 6  # of the plot, as the page defines them
_MOST_POINTS = 2000

_TITLES = {
    "severity": "By severity of the blur",
    "kind": "By kind of blur",
    "blurred_psnr": "By quality of the blurred picture",
}
_NOTES = {
    "plot": "Each dot is a picture. Above the dashed line it improved, below it got worse.",
    "severity": "Width of the recorded kernel (PSF); see the protocols below. PSNR in dB, and gain.",
    "kind": "A picture counts under every kind in its draw. PSNR in dB, and gain.",
    "blurred_psnr": "Quarters of the set by the PSNR of the blurred pictures. PSNR in dB, and gain.",
    "detection": "In percent; gains in percent points over no restoration, with 95 % intervals. Truth and rules: see "
    "the protocols below.",
    "pairs": "Move over a picture, drag, or use the arrow keys. Choose left and right; sharp is the ground truth.",
}
_WORDS = {
    "psnr": "PSNR dB",
    "psnr_aligned": "PSNR aligned dB",
    "psnr_registered": "PSNR registered dB",
    "psnr_registered_clipped": "PSNR registered, clipped dB",
    "psnr_trajectory": "PSNR trajectory dB",
    "ssim": "SSIM",
    "ssim_aligned": "SSIM aligned",
    "ssim_registered": "SSIM registered",
    "ssim_registered_clipped": "SSIM registered, clipped",
    "ms_ssim": "MS-SSIM",
    "gmsd": "GMSD",
    "niqe": "NIQE",
    "niqe_bundled": "NIQE (bundled)",
}


def write_report(evaluation: Evaluation) -> Path:
    """Write ``index.html`` into the evaluation's folder, and return its path."""
    summary = evaluation.summary
    data = summary["data"]
    count = f"{data['measured']:,} of {data['pairs']:,}" if data["measured"] < data["pairs"] else f"{data['pairs']:,}"
    restorers = len(summary["overall"]) - 1
    sections = [
        section("All pictures", _overall(summary), _reading(summary)),
        section("Blurred against restored", _plots(evaluation), _NOTES["plot"]),
        *(section(title, _groups(summary, key), _NOTES[key]) for key, title in _TITLES.items()),
        section("Detected objects", _detection(summary), _NOTES["detection"]),
        section("Pictures", _pairs(evaluation), _NOTES["pairs"]),
        section("Cost of networks", _cost(summary)),
        section("Skipped", _failed(summary)),
        section("Protocols", _protocols(summary)),
    ]
    subtitle = f"{count} pairs, {restorers} restorer{'' if restorers == 1 else 's'} and no restoration"
    path = evaluation.folder / "index.html"
    write_whole(path, page(f"Deblurring report: {data['name']}", subtitle, sections))
    return path


def number(name: str, value: float | None) -> str:
    """A value of a metric with its significant digits.

    >>> number("psnr", 28.3456), number("ssim", 0.91234), number("psnr", None), number("psnr", float("inf"))
    ('28.35', '0.9123', '–', '∞')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    digits = 2 if name.startswith(("psnr", "niqe")) else 4
    return f"{value:.{digits}f}"


def word(name: str) -> str:
    """The heading of a column."""
    return _WORDS.get(name, name)


def gain_text(gain: Mapping[str, Any] | None) -> str:
    """A gain in dB with its sign.

    >>> gain_text({"mean": 1.234}), gain_text({"mean": -0.5}), gain_text(None)
    ('+1.23', '−0.50', '–')
    """
    if gain is None:
        return "–"
    text = f"{gain['mean']:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "−")


def percent(value: float | None) -> str:
    """A share in percent.

    >>> percent(0.4567), percent(None)
    ('45.7', '–')
    """
    return "–" if value is None else f"{100 * value:.1f}"


def percent_points(gain: Mapping[str, float] | None) -> dict[str, float] | None:
    """A gain of shares, in percent points.

    >>> percent_points({"mean": 0.25, "low": -0.125, "high": 0.5})
    {'mean': 25.0, 'low': -12.5, 'high': 50.0}
    """
    return None if gain is None else {key: 100 * value for key, value in gain.items()}


def _reading(summary: Mapping[str, Any]) -> str:
    lower = [word(n) for n, better in summary["better"].items() if better == "lower"]
    text = "Higher is better" + (f", except for {', '.join(lower)}" if lower else "")
    return f"{text}. Gain: compared with no restoration on the same pictures, with its 95 % interval."


def _overall(summary: Mapping[str, Any]) -> str:
    """The main table, the most important columns first."""
    lines, better = summary["overall"], summary["better"]
    full = max(line["pictures"] for line in lines.values())
    psnr = ["psnr"] if "psnr" in better else []  # a set without sharp pictures has none
    gains = [f"gain{name.removeprefix('psnr')}" for name in better if name.startswith("psnr")]
    first = ["restorer", *(word(name) for name in psnr), *(f"{k.replace('_', ' ')} dB" for k in gains)]
    others = [name for name in better if name != "psnr"]
    first += [*(escape(word(name)) for name in others), "made worse", "no harm dB", "s per picture"]
    rows = []
    for restorer, line in lines.items():
        part = f" <small>{line['pictures']} of {full} pictures</small>" if line["pictures"] < full else ""
        head = escape(restorer) + part
        cells = [head, *(_mean(summary, restorer, name, full) for name in psnr)]
        gain, harm = line.get("gain"), line.get("no_harm")
        cells += [_interval(line.get(k)) if restorer != BASELINE else "–" for k in gains]
        cells += [_mean(summary, restorer, name, full) for name in others]
        cells.append("–" if restorer == BASELINE or gain is None else f"{100 * gain['worse']:.0f} %")
        least = "" if harm is None else f"<small>min {number('psnr', harm['least'])}</small>"
        cells.append("–" if harm is None else f"{number('psnr', harm['mean'])} {least}")
        cells.append("–" if restorer == BASELINE or line["seconds"] is None else f"{line['seconds']:.3g}")
        rows.append(cells)
    return table(first, rows)


def _mean(summary: Mapping[str, Any], restorer: str, name: str, full: int) -> str:
    """The mean of a metric, bold if it is the best of the restorers that restored every picture."""
    means = {
        n: line["metrics"][name]["mean"]
        for n, line in summary["overall"].items()
        if line["pictures"] == full and line["metrics"][name]["mean"] is not None
    }
    found = summary["overall"][restorer]["metrics"][name]
    text = number(name, found["mean"])
    if means and len(means) > 1:
        best = (max if summary["better"][name] == "higher" else min)(means, key=lambda n: means[n])
        text = f'<span class="best">{text}</span>' if best == restorer else text
    if 0 < found["pictures"] < summary["overall"][restorer]["pictures"]:
        text += f" <small>{found['pictures']} pictures</small>"
    return text


def _interval(gain: Mapping[str, Any] | None) -> str:
    return "–" if gain is None else f"{_signed(gain)} <small>{interval_text(gain)}</small>"


def interval_text(gain: Mapping[str, Any]) -> str:
    """The interval of a gain.

    >>> interval_text({"low": -0.123, "high": 4.0})
    '−0.12 to +4.00'
    """
    return f"{gain['low']:+.2f} to {gain['high']:+.2f}".replace("-", "−")


def _signed(gain: Mapping[str, Any]) -> str:
    text = gain_text(gain)
    sort = {"+": "good", "−": "bad"}.get(text[0], "faint")
    return f'<span class="{sort}">{text}</span>'


def _groups(summary: Mapping[str, Any], key: str) -> str:
    if not summary["groups"][key]:
        return ""
    restorers = list(summary["overall"])
    heads = ["", "pictures", *(escape(r) for r in restorers)]
    rows = []
    for group in summary["groups"][key]:
        cells = [escape(group["group"]), f"{group['pictures']:,}"]
        for restorer in restorers:
            line = group["restorers"][restorer]
            if line["metrics"]["psnr"]["mean"] is None:
                cells.append("–")
                continue
            text = f"{number('psnr', line['metrics']['psnr']['mean'])}"
            if restorer != BASELINE:
                text += f" {_signed(line['gain'])}" if "gain" in line else ""
                if line["pictures"] < group["pictures"]:
                    text += f" <small>of {line['pictures']}</small>"
            cells.append(text)
        rows.append(cells)
    return table(heads, rows)


def _detection(summary: Mapping[str, Any]) -> str:
    """Scores of detections: overall, by class, and by groups of pictures."""
    if "detection" not in summary:
        return ""
    found = summary["detection"]
    names = list(found["overall"])
    heads = ["restorer", "precision", "recall", "F1", "gain F1", "mAP .5", "gain", "mAP .5:.95", "gain"]
    rows = []
    for name, line in found["overall"].items():
        f1, ap_50, ap = (_interval(percent_points(line.get(f"gain_{key}"))) for key in ("f1", "map_50", "map"))
        rows.append([
            escape(name), *(percent(line[key]) for key in ("precision", "recall", "f1")), f1,
            percent(line["map_50"]), ap_50, percent(line["map"]), ap,
        ])  # fmt: skip
    parts = [f"<p>{found['objects']:,} objects in {found['pictures']:,} pictures.</p>", table(heads, rows)]
    by_class = [
        [escape(line["class"]), f"{line['objects']:,}", *(
            f"{percent(one['ap_50'])} <small>{percent(one['ap'])}</small>" for one in line["restorers"].values()
        )]
        for line in found["classes"]
    ]  # fmt: skip
    if by_class:
        parts.append("<h3>AP by class, at an IoU of .5, and <small>over .5 to .95</small></h3>")
        parts.append(table(["", "objects", *map(escape, names)], by_class))
    for key in ("severity", "kind"):
        rows = [
            [escape(group["group"]), f"{group['pictures']:,}", f"{group['objects']:,}", *(
                percent(line["f1"])
                + (f" {_interval(gain)}" if (gain := percent_points(line.get("gain_f1"))) is not None else "")
                for line in group["restorers"].values()
            )]
            for group in found["groups"][key]
        ]  # fmt: skip
        if rows:
            parts.append(f"<h3>F1, and its gain, {escape(_TITLES[key].lower())}</h3>")
            parts.append(table(["", "pictures", "objects", *map(escape, names)], rows))
    return "\n".join(parts)


@dataclass(frozen=True)
class _Dot:
    x: float
    y: float
    color: int
    title: str


def _plots(evaluation: Evaluation) -> str:
    restorers = [name for name in evaluation.values if name != BASELINE]
    before = evaluation.values[BASELINE]
    severity = {fact.index: fact.severity_px for fact in evaluation.facts}
    against, gains = [], []
    for place, restorer in enumerate(restorers):
        color = place % (_COLORS - 1) + 1
        for index, line in list(evaluation.values[restorer].items())[:_MOST_POINTS]:
            x = before.get(index, {}).get("values", {}).get("psnr")
            y = line.get("values", {}).get("psnr")
            if x is None or y is None or not math.isfinite(x) or not math.isfinite(y):
                continue
            title = f"{line['name']}: {x:.2f} to {y:.2f} dB, {restorer}"
            against.append(_Dot(x, y, color, title))
            width = severity.get(index)
            if width is not None:
                gains.append(_Dot(width, y - x, color, title))
    if not against:
        return ""
    keys = "".join(
        f'<span class="key"><i style="background: var(--c{place % (_COLORS - 1) + 1})"></i>{escape(name)}</span>'
        for place, name in enumerate(restorers)
    )
    plots = [_plot(against, "PSNR of the blurred picture, dB", "restored, dB", same=True)]
    if gains:
        plots.append(_plot(gains, "severity of the blur, px", "gain, dB", same=False))
    figures = "".join(f'<figure class="plot">{plot}</figure>' for plot in plots)
    return f'<div class="plots">{figures}</div><p>{keys}</p>'


def _plot(dots: Sequence[_Dot], across: str, up: str, *, same: bool) -> str:
    """Dots with axes. ``same``: both axes are equal, and the dashed line of no change is diagonal; else it is at 0."""
    side, margin, edge = 400, 46, 10
    low_x, high_x = _limits([d.x for d in dots] + ([d.y for d in dots] if same else [0.0]))
    low_y, high_y = (low_x, high_x) if same else _limits([d.y for d in dots] + [0.0])

    def place_x(value: float) -> float:
        return margin + (value - low_x) / (high_x - low_x) * (side - margin - edge)

    def place_y(value: float) -> float:
        return side - margin - (value - low_y) / (high_y - low_y) * (side - margin - edge)

    label = f"{up} over {across}"
    parts = [f'<svg viewBox="0 0 {side} {side}" role="img" aria-label="{escape(label)}">']
    for tick in _ticks(low_x, high_x):
        x = place_x(tick)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{edge}" y2="{side - margin}"/>')
        parts.append(f'<text x="{x:.1f}" y="{side - margin + 14}" text-anchor="middle">{_tick(tick)}</text>')
    for tick in _ticks(low_y, high_y):
        y = place_y(tick)
        parts.append(f'<line class="axis" x1="{margin}" x2="{side - edge}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{margin - 5}" y="{y + 4:.1f}" text-anchor="end">{_tick(tick)}</text>')
    ends = ((low_x, low_y), (high_x, high_y)) if same else ((low_x, 0.0), (high_x, 0.0))
    (x1, y1), (x2, y2) = ((place_x(x), place_y(y)) for x, y in ends)
    parts.append(f'<line class="same" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    for dot in dots:
        parts.append(
            f'<circle cx="{place_x(dot.x):.1f}" cy="{place_y(dot.y):.1f}" r="3.2" fill="var(--c{dot.color})" '
            f'fill-opacity=".7"><title>{escape(dot.title)}</title></circle>'
        )
    middle = (side + margin) / 2
    parts.append(f'<text x="{middle}" y="{side - 4}" text-anchor="middle">{escape(across)}</text>')
    parts.append(
        f'<text x="11" y="{middle - margin}" text-anchor="middle" transform="rotate(-90 11 {middle - margin})">'
        f"{escape(up)}</text></svg>"
    )
    return "".join(parts)


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = math.floor(min(values)), math.ceil(max(values))
    return float(low), float(max(high, low + 1))


def _ticks(low: float, high: float) -> list[float]:
    step = next(s for s in (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 500) if (high - low) / s <= 8)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _pairs(evaluation: Evaluation) -> str:
    figures = []
    facts = {f.index: f for f in evaluation.facts}
    for picture in evaluation.summary["pictures"]:
        index, folder = picture["index"], picture["folder"]
        restored = [name for name in picture["shown"] if name != BASELINE]
        choices = [("blurred", "blurred"), *((n, restored_stem(n)) for n in restored)]
        choices += [("sharp", "sharp")] if evaluation.summary["data"]["sharp"] else []
        right = choices[min(1, len(choices) - 1)][0]
        width, height = _size(evaluation.folder / folder / "blurred.png")
        fact = facts[index]
        about = [f"{width} × {height} px"]
        if fact.severity_px is not None:
            about.append(f"blur {fact.severity_px:.1f} px" + (" at the center, varying" if fact.varies else ""))
        elif fact.varies:
            about.append("blur varies")
        scores = []
        for name in (BASELINE, *restored):
            value = evaluation.values[name].get(index, {}).get("values", {}).get("psnr")
            scores.append(f"{escape('blurred' if name == BASELINE else name)} {number('psnr', value)}")
        measured = f" · PSNR {' · '.join(scores)} dB" if evaluation.summary["data"]["sharp"] else ""
        source = f", {escape(fact.source)}" if fact.source and fact.source != picture["name"] else ""

        def options(chosen: str, folder: str = folder, choices: Sequence[tuple[str, str]] = choices) -> str:
            return "".join(
                f'<option value="{escape(folder)}/{escape(file)}.png"{" selected" if name == chosen else ""}>'
                f"{escape(name)}</option>"
                for name, file in choices
            )

        files_of = dict(choices)
        figures.append(
            f'<figure class="pair"><div class="slider{" small" if width < 160 else ""}">'
            f'<img class="under" src="{escape(folder)}/{escape(files_of[right])}.png" alt="{escape(right)}" '
            f'width="{width}" height="{height}" loading="lazy">'
            f'<img class="over" src="{escape(folder)}/blurred.png" alt="blurred" width="{width}" height="{height}" '
            f'loading="lazy"><span class="edge"></span>'
            f'<input type="range" min="0" max="100" step="1" value="50" '
            f'aria-label="Share of the left picture, pair {escape(picture["name"])}"></div>'
            f'<div class="sides"><label>left<select data-side="left">{options("blurred")}</select></label>'
            f'<label>right<select data-side="right">{options(right)}</select></label></div>'
            f"<figcaption><strong>{escape(picture['name'])}</strong>{source}<br><small>{', '.join(about)}"
            f"{measured}</small></figcaption></figure>"
        )
    if not figures:
        return ""
    together = (
        '<p><label><input type="checkbox" id="together" checked> '
        "choose left and right for all pictures together</label></p>"
    )
    return together + '<div class="pairs">\n' + "\n".join(figures) + "\n</div>"


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path, formats=("PNG",)) as picture:
        return picture.width, picture.height


def _cost(summary: Mapping[str, Any]) -> str:
    if not summary["cost"]:
        return ""
    first = next(iter(summary["cost"].values()))
    size = f"{first['width']} × {first['height']} px"
    heads = [
        "network",
        "weights",
        "weights used",
        f"GMACs<br>{size}",
        f"pictures/s<br>{size}",
        "memory MB",
        "measured on",
    ]
    rows = []
    for name, cost in summary["cost"].items():
        speed = cost["speed"]
        memory = speed["memory_bytes"] if speed["memory_bytes"] is not None else cost["memory_bytes"]
        threads = (
            f", {speed['threads']} thread{'' if speed['threads'] == 1 else 's'}" if speed["device"] == "cpu" else ""
        )
        rows.append([
            escape(name), f"{cost['stored_weights']:,}", f"{cost['used_weights']:,}", f"{cost['macs'] / 1e9:.3g}",
            f"{speed['pictures_per_second']:.3g}", f"{memory / 1e6:.3g}",
            escape(f"{speed['device']}{threads}, {speed['precision']}"),
        ])  # fmt: skip
    return table(heads, rows)


def _failed(summary: Mapping[str, Any]) -> str:
    """Pairs that could not be read."""
    rows = [[escape(pair["name"]), escape(pair["why"])] for pair in summary.get("failed", ())]
    return table(["pair", "reason"], rows) if rows else ""


def _settings(about: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in about.items() if k not in ("name", "weights") and v not in (None, False))


def _protocols(summary: Mapping[str, Any]) -> str:
    terms = {word(name) if name in summary["better"] else name: text for name, text in summary["protocols"].items()}
    listed = [f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(text)}</dd>" for name, text in terms.items()]
    for name, why in summary.get("left_out", {}).items():
        listed.append(f"<dt>{escape(word(name))}</dt><dd>not measured: {escape(why)}</dd>")
    if summary["cost"]:
        listed.append(
            "<dt>cost</dt><dd>MACs are half of the floating-point operations of convolutions, matrix products and "
            "attention; time is the median of several single pictures, synchronized, after a warm-up; memory is the "
            "peak of CUDA's allocator, elsewhere the counted sum of weights and intermediate results</dd>"
        )
    for name, about in summary["restorers"].items():
        steps = [f"{step['name']}: {_settings(step)}".removesuffix(": ") for step in about.get("steps", ())]
        if plain := "; then ".join(steps) or _settings(about):
            listed.append(f"<dt>{escape(name)}</dt><dd>{escape(plain)}</dd>")
    return f"<dl>\n{''.join(listed)}\n</dl>"
