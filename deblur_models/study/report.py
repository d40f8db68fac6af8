"""The result of a study as one HTML page: scores with intervals, differences, pictures, raters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from deblur_models.data.picture_file import write_whole
from deblur_models.evaluate.report.page import page, section, table

__all__ = ["number", "p_text", "with_interval", "write_results"]

_HIGHEST_RATERS = 10_000  # needed, beyond which no study goes

Summary = Mapping[str, Any]


def write_results(summary: Summary, folder: Path) -> Path:
    """Write ``summary.json`` and ``index.html`` into the folder, and return the path of the page."""
    single = summary["design"] == "single"
    pairs = f"pair comparison ({'in one place' if summary['flicker'] else 'side by side'})"
    kind = "single stimulus (absolute category rating)" if single else pairs
    used = summary["raters_used"]
    subtitle = f"{kind}: {used} raters, {len(summary['pictures'])} pictures, {summary['answers']:,} answers"
    unit = "grades" if single else "of a share of preferences away from 50 %"
    sections = [
        section("To be noted", _list(summary["notes"])),
        section("Scores", _forest(summary) + _scores(summary), _ABOUT_SCORES[summary["design"]]),
        section(
            "Differences",
            _differences(summary),
            f"Raters needed: to find a difference of {summary['difference']:g} {unit}. Better in: number of pictures.",
        ),
        section("Answers", _grades(summary), "Shares of the grades from 1 (bad) to 5 (excellent).") if single else "",
        "" if single else section("Preferences", _preferences(summary), "How often a row was preferred to a column."),
        section("By picture", _pictures(summary), "Mean opinion scores." if single else "Share of comparisons won."),
        section("Agreement", _agreement(summary)),
        section("Raters", _raters(summary)),
        section("Viewing conditions", _conditions(summary)),
        section("Not counted", _list([f"{file}: {why}" for file, why in summary["left_out"]])),
        section("How it is computed", _terms(summary["protocols"])),
    ]  # fmt: skip
    write_whole(folder / "summary.json", (json.dumps(summary, indent=1, allow_nan=False) + "\n").encode())
    path = folder / "index.html"
    write_whole(path, page("Results of a study", subtitle, sections))
    return path


_ABOUT_SCORES = {
    "single": "Bars are 95 % intervals over raters, small dots single pictures.",
    "pairs": "Bradley-Terry scores; bars are 95 % intervals. A difference of 1.1 is a preference of 3 : 1.",
}


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A number with a real minus sign.

    >>> number(-1.234), number(None), number(0.5, 1, signed=True)
    ('−1.23', '–', '+0.5')
    """
    if value is None:
        return "–"
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return text.replace("-", "−")


def with_interval(value: float | None, half_width: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A value with half the width of its interval.

    >>> with_interval(3.5, 0.25), with_interval(3.5, None)
    ('3.50 ± 0.25', '3.50')
    """
    text = number(value, digits, signed=signed)
    return text if value is None or half_width is None else f"{text} ± {number(half_width, digits)}"


def p_text(p: float | None) -> str:
    """A p-value.

    >>> p_text(0.0004), p_text(0.0312), p_text(None)
    ('< 0.001', '0.031', '–')
    """
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def needed_text(raters: int | None) -> str:
    """How many raters are needed."""
    return "–" if raters is None else f"{raters:,}" if raters <= _HIGHEST_RATERS else f"> {_HIGHEST_RATERS:,}"


def share_text(value: float | None) -> str:
    """A share in percent.

    >>> share_text(0.666), share_text(None)
    ('67 %', '–')
    """
    return "–" if value is None else f"{100 * value:.0f} %"


def ranked(summary: Summary) -> list[str]:
    """The methods, the best first."""
    kind = "mos" if summary["design"] == "single" else "score"
    return sorted(summary["methods"], key=lambda method: -summary["scores"][method][kind])


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else ""


def _terms(terms: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(term)}</dt><dd>{escape(text)}.</dd>' for term, text in terms.items())}</dl>"


def _scores(summary: Summary) -> str:
    rows = []
    for method in ranked(summary):
        line = summary["scores"][method]
        if summary["design"] == "single":
            rows.append([
                escape(method), with_interval(line["mos"], line["half_width"]),
                with_interval(line["dmos"], line["dmos_half_width"]),
                with_interval(line["model"], line["model_half_width"]),
            ])  # fmt: skip
        else:
            rows.append([
                escape(method), with_interval(line["score"], line["half_width"], signed=True), share_text(line["won"])
            ])  # fmt: skip
    heads = ["method", "MOS", "DMOS", "model of P.910"] if summary["design"] == "single" else ["method", "score", "won"]
    return table(heads, rows)


def _differences(summary: Summary) -> str:
    rows = []
    for row in sorted(summary["differences"], key=lambda row: -abs(row["difference"] or 0.0)):
        first, second, difference = row["first"], row["second"], row["difference"]
        wins = [row["pictures_first"], row["pictures_second"]]
        share = row.get("share")
        if difference is not None and difference < 0:
            first, second, difference, wins = second, first, -difference, wins[::-1]
            share = None if share is None else 1 - share
        shown = with_interval(difference, row["half_width"], signed=True)
        shown = f'<span class="good">{shown}</span>' if row["significant"] else shown
        preferred = [share_text(share)] if summary["design"] == "pairs" else []
        rows.append([
            f"{escape(first)} − {escape(second)}", shown, *preferred, p_text(row["p"]), f"{wins[0]} : {wins[1]}",
            needed_text(row["needed"]),
        ])  # fmt: skip
    share = ["preferred"] if summary["design"] == "pairs" else []
    return table(["methods", "difference", *share, "p (Holm)", "better in", "raters needed"], rows)


def _forest(summary: Summary) -> str:
    """A row per method: its score, its interval, and a dot for every picture."""
    single = summary["design"] == "single"
    kind, methods = "mos" if single else "score", ranked(summary)
    lines = [summary["scores"][method] for method in methods]
    ends = [line[kind] + sign * (line["half_width"] or 0.0) for line in lines for sign in (-1, 1)]
    low, high = (1.0, 5.0) if single else (min(ends) - 0.2, max(ends) + 0.2)
    width, left, row_px, edge = 640, 150, 30, 14
    height = row_px * len(methods) + 40

    def place(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (width - left - edge)

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Scores with their intervals">']
    ticks = range(1, 6) if single else _ticks(low, high)
    for tick in ticks:
        x = place(tick)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{height - 34}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 20}" text-anchor="middle">{f"{tick:g}".replace("-", "−")}</text>')
    label = "MOS (1 bad, 5 excellent)" if single else "Bradley-Terry score"
    parts.append(f'<text x="{(left + width - edge) / 2}" y="{height - 4}" text-anchor="middle">{label}</text>')
    for index, (method, line) in enumerate(zip(methods, lines, strict=True)):
        y = 6 + row_px * (index + 0.5)
        name = method if len(method) <= 22 else f"{method[:21]}…"
        parts.append(f'<text x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        for picture in summary["pictures"] if single else ():
            mean = picture["scores"][method]["mos"]
            if mean is not None:
                title = f"{picture['name']}: {mean:.2f}"
                parts.append(
                    f'<circle cx="{place(mean):.1f}" cy="{y:.1f}" r="3" fill="var(--c0)" fill-opacity=".45"><title>'
                    f"{escape(title)}</title></circle>"
                )
        if line["half_width"] is not None:
            ends = [place(line[kind] + sign * line["half_width"]) for sign in (-1, 1)]
            where = f'x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{y:.1f}" y2="{y:.1f}"'
            parts.append(f'<line {where} stroke="var(--c1)" stroke-width="3"/>')
        parts.append(
            f'<circle cx="{place(line[kind]):.1f}" cy="{y:.1f}" r="5" fill="var(--c1)"><title>'
            f"{escape(method)}: {line[kind]:.2f}</title></circle>"
        )
    return f'<figure class="plot" style="max-width: 44rem; margin-bottom: 1rem">{"".join(parts)}</svg></figure>'


def _ticks(low: float, high: float) -> list[float]:
    step = next((s for s in (0.2, 0.5, 1.0, 2.0, 5.0) if (high - low) / s <= 8), (high - low) / 4)
    first = int(low / step) - 1
    return [k * step for k in range(first, first + 12) if low <= k * step <= high]


_GRADE_COLORS = ("#b2182b", "#ef8a62", "#c9c9c9", "#67a9cf", "#2166ac")  # told apart without red and green, too


def _grades(summary: Summary) -> str:
    """A row per method: the shares of the five grades."""
    methods = ranked(summary)
    width, left, row_px, edge = 640, 150, 30, 14
    height = row_px * len(methods) + 12
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Shares of grades">']
    for index, method in enumerate(methods):
        grades = summary["scores"][method]["grades"]
        y, x = 6 + row_px * index, float(left)
        name = method if len(method) <= 22 else f"{method[:21]}…"
        parts.append(f'<text x="{left - 10}" y="{y + row_px / 2 + 2:.1f}" text-anchor="end">{escape(name)}</text>')
        for grade, (count, color) in enumerate(zip(grades, _GRADE_COLORS, strict=True), 1):
            wide = (width - left - edge) * count / max(sum(grades), 1)
            title = f"<title>{grade}: {count} of {sum(grades)}</title>"
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{row_px - 6}" fill="{color}">{title}</rect>'
            )
            if wide > 16:
                ink = "#fff" if grade in (1, 5) else "#000"
                parts.append(
                    f'<text x="{x + wide / 2:.1f}" y="{y + row_px / 2 + 2:.1f}" text-anchor="middle" '
                    f'style="fill: {ink}">{grade}</text>'
                )
            x += wide
    return f'<figure class="plot" style="max-width: 44rem">{"".join(parts)}</svg></figure>'


def _preferences(summary: Summary) -> str:
    methods = ranked(summary)
    shares = {(row["first"], row["second"]): row["share"] for row in summary["differences"]}
    shares |= {(b, a): None if share is None else 1 - share for (a, b), share in shares.items()}
    rows = [
        [escape(row), *("" if row == column else share_text(shares[row, column]) for column in methods)]
        for row in methods
    ]
    return table(["", *map(escape, methods)], rows)


def _pictures(summary: Summary) -> str:
    methods = ranked(summary)
    rows = []
    for picture in summary["pictures"]:
        cells = []
        for method in methods:
            line = picture["scores"][method]
            cells.append(
                with_interval(line["mos"], line["half_width"], 1) if "mos" in line else share_text(line["won"])
            )
        rows.append([escape(picture["name"]), *cells])
    return table(["picture", *map(escape, methods)], rows)


def _agreement(summary: Summary) -> str:
    found = summary["reliability"]
    terms = {
        "same answer to a trial shown again": f"{share_text(found['same'])} of {found['repeats']}",
        "alpha": f"{number(found['alpha'])} (Krippendorff, ordered answers; 1 agreement, 0 chance)",
    }
    if summary["design"] == "single":
        terms["mean difference"] = f"{number(found['mean_absolute_difference'])} grades between the two answers"
    else:
        terms["first picture preferred"] = (
            f"{share_text(summary['first_preferred'])} (50 % without a habit of one side)"
        )
        terms["no difference"] = f"{share_text(summary['ties'])} of answers"
    return _terms(terms)


def _raters(summary: Summary) -> str:
    rows = []
    for rater in summary["raters"]:
        cells = [
            escape(rater["rater"]),
            str(rater["answers"]),
            f"{rater['seconds']:.1f}",
            f"{rater['same']} of {rater['repeats']}",
        ]
        if summary["design"] == "single":
            cells += [
                number(rater["bias"], signed=True),
                number(rater["inconsistency"]),
                "rejected" if rater["rejected"] else "",
            ]
        else:
            cells.append(share_text(rater["agreement"]))
        rows.append(cells)
    more = ["bias, grades", "inconsistency, grades", "screening"] if summary["design"] == "single" else ["agreement"]
    return table(["rater", "answers", "median s", "repeats alike", *more], rows)


def _conditions(summary: Summary) -> str:
    return _terms({
        name.replace("_", " "): ", ".join(f"{word}: {count}" for word, count in counts.items())
        for name, counts in summary["conditions"].items()
    })  # fmt: skip
