"""What was found when a blur was held against laws, as a table, a page and JSON.

>>> from scipy.ndimage import uniform_filter
>>> from blursynth.testing import Adapter, laws, report
>>> def blur(image):
...     return uniform_filter(image, (3, 3, 1), mode="nearest")
>>> results = list(laws.examine(blur, Adapter(), laws=[laws.channels, laws.border], power=False))
>>> print(report.to_table(results))
law       status  measured    allowed
channels  kept    0 of white  4e-05
<BLANKLINE>
1 kept, 1 not applicable
Adapter.border is not given: border
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from blursynth.records.text import printable

if TYPE_CHECKING:
    from blursynth.testing.laws.law import Law, Result

__all__ = ["STATUSES", "aligned", "law_list", "not_held", "row", "summary", "to_html", "to_json", "to_table"]

STATUSES = {
    "violated": "the blur breaks the law",
    "failed": "the blur raised an error",
    "blind": "kept, but not even the largest fault would have been seen",
    "kept": "every case tried keeps the law",
    "exempt": "the blur does not claim the law",
    "not applicable": "the law needs a claim that is not made",
}
"""What each status means, worst first."""

NOT_HELD = ("exempt", "not applicable")


def row(result: Result) -> dict[str, str]:
    """Law, status, measured, allowed, power and reason in words."""
    found, fault = result.measurement, result.law.fault
    return {
        "law": result.law.name,
        "status": result.status,
        "measured": "" if found is None else f"{found.deviation:.3g} {found.unit}",
        "allowed": "" if found is None else f"{found.allowed:.3g}",
        "power": "" if result.power is None else f"{result.power:.2g} {fault.unit}",
        "why": printable(result.why),
    }


def aligned(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table.

    >>> aligned(("law", "status"), [("flux", "kept"), ("linearity", "violated")])
    ['law        status', 'flux       kept', 'linearity  violated']
    """
    table = [tuple(columns), *(tuple(one) for one in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(one, widths, strict=True)).rstrip() for one in table]


def summary(results: Iterable[Result]) -> str:
    """How many results have which status, such as "12 kept, 2 violated"."""
    counts = Counter(result.status for result in results)
    return ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])


def not_held(results: Iterable[Result]) -> list[tuple[str, list[str]]]:
    """Reasons for which laws were not held against the blur, each with the names of these laws."""
    reasons: dict[str, list[str]] = {}
    for result in results:
        if result.status in NOT_HELD:
            reasons.setdefault(result.why, []).append(result.law.name)
    return list(reasons.items())


def _worst_first(results: Iterable[Result]) -> list[Result]:
    order = list(STATUSES)
    return sorted(results, key=lambda result: order.index(result.status))


def to_table(results: Iterable[Result]) -> str:
    """Plain text: a line for each law that was held against the blur, what is wrong, and why others were not held."""
    results = list(results)
    held = [result for result in results if result.status not in NOT_HELD]
    columns = ["law", "status", "measured", "allowed"]
    if any(result.power is not None for result in held):
        columns.append("power")
    parts = [aligned(columns, [[row(result)[column] for column in columns] for result in held])] if held else []
    wrong = [result for result in held if result.status in ("violated", "failed")]
    parts += [printable(result, lines=True).split("\n") for result in wrong]
    parts.append([summary(results), *(f"{printable(why)}: {', '.join(names)}" for why, names in not_held(results))])
    return "\n\n".join("\n".join(lines) for lines in parts)


# JSON


def to_json(results: Iterable[Result]) -> str:
    """JSON: an object with the version and ``laws``, a list with one object, on one line, for each result.

    Numbers that JSON does not have are the strings "nan", "inf" and "-inf". Arrays of a counterexample are complete,
    as ``{"shape": ..., "dtype": ..., "values": ...}``, so that it can be tried again.
    """
    from blursynth import __version__

    lines = [json.dumps(_object(result), allow_nan=False) for result in results]
    version = json.dumps(__version__, allow_nan=False)
    return f'{{"blursynth": {version}, "laws": [\n' + ",\n".join(lines) + "\n]}\n"


def _object(result: Result) -> dict[str, Any]:
    law, measured = result.law, result.measurement
    case = None if result.case is None else {name: _plain(value) for name, value in result.case.items()}
    return {
        "blur": result.blur,
        "law": law.name,
        "topic": law.topic,
        "status": result.status,
        "why": result.why,
        "statement": law.statement,
        "looks_like": law.looks_like,
        "reference": law.reference,
        "tolerance": law.tolerance,
        "measured": None if measured is None else _plain(measured.deviation),
        "allowed": None if measured is None else _plain(measured.allowed),
        "unit": None if measured is None else measured.unit,
        "fault": law.fault.what,
        "fault_unit": law.fault.unit,
        "power": _plain(result.power),
        "counterexample": case,
        "examples": result.examples,
        "seconds": round(result.seconds, 3),
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "dtype": str(value.dtype), "values": _plain(value.tolist())}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    return value if value is None or isinstance(value, bool | int | str) else str(value)


# A page


def to_html(results: Iterable[Result], *, title: str | None = None) -> str:
    """A page about one blur, without scripts and with pictures inside: a table of laws, and what was found of each.

    Parameters
    ----------
    title
        By default the name of the blur.
    """
    results = list(results)
    title = title or (results[0].blur if results else "Laws of blur")
    template = Template(resources.files("blursynth.testing").joinpath("report.html").read_text("utf-8"))
    held = [result for result in _worst_first(results) if result.status not in NOT_HELD]
    body = [_overview(held), *(_section(result) for result in held), _others(results)]
    return template.substitute(title=_safe(title), subtitle=_safe(summary(results)), body="\n".join(body))


def _safe(text: object) -> str:
    return html.escape(printable(text))


def _badge(status: str) -> str:
    return f'<span class="badge {status.replace(" ", "-")}" title="{_safe(STATUSES[status])}">{_safe(status)}</span>'


def _overview(held: Sequence[Result]) -> str:
    if not held:
        return "<p>No law was held against the blur.</p>"
    rows = []
    for result in held:
        words = {name: _safe(value) for name, value in row(result).items()}
        rows.append(
            f'<tr><th scope="row"><a href="#{words["law"]}">{words["law"]}</a></th><td>{_badge(result.status)}</td>'
            f"<td>{words['measured']}</td><td>{words['allowed']}</td><td>{words['power']}</td></tr>"
        )
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("law", "status", "measured", "allowed", "would have seen")
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _section(result: Result) -> str:
    law = result.law
    parts = [
        f'<section id="{_safe(law.name)}" class="{result.status}">',
        f"<h2>{_safe(law.name)} {_badge(result.status)}</h2>",
        f'<p class="statement">{_safe(law.statement)}</p>',
        f"<dl>{''.join(_fact(name, text) for name, text in _facts(result))}</dl>",
        _panels(result),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _facts(result: Result) -> list[tuple[str, str]]:
    from blursynth.testing.laws.law import describe

    law, found, fault = result.law, result.measurement, result.law.fault
    facts: list[tuple[str, str]] = [("error", result.why)] if result.status == "failed" else []
    if found is not None:
        facts.append(("measured", f"{found.deviation:.3g} {found.unit}, allowed {found.allowed:.3g}"))
    facts.append(("tolerance", law.tolerance))
    if result.power is not None:
        facts.append(("power", f"{fault.what} of {result.power:.2g} {fault.unit} would have been seen"))
    elif result.status == "blind":
        facts.append(("power", f"not even {fault.what} of {fault.largest:.2g} {fault.unit} would have been seen"))
    if result.case is not None:
        lines = [f"{name}: {describe(value)}" for name, value in result.case.items()]
        if found is not None and found.got is not None and found.got.size <= 40:
            lines += [f"got: {describe(found.got)}", f"expected: {describe(found.expected)}"]
        facts.append(("counterexample", "\n".join(lines)))
    facts += [("in practice", law.looks_like), ("reference", law.reference)]
    facts.append(("tried", f"{result.examples} cases in {result.seconds:.1f} s"))
    return facts


def _fact(name: str, text: str) -> str:
    # Lines of a counterexample are each made safe, and stay lines
    return f"<dt>{name}</dt><dd>{'<br>'.join(_safe(line) for line in text.split(chr(10)))}</dd>"


def _panels(result: Result) -> str:
    from blursynth.testing.picture import enlargement, panels, png

    shown = panels(result) if result.case is not None else []
    if not shown:
        return ""
    factor = enlargement(shown)
    figures = []
    for panel in shown:
        data = base64.b64encode(png(panel.pixels)).decode()
        height, width = panel.pixels.shape[:2]
        figures.append(
            f'<figure><img src="data:image/png;base64,{data}" alt="{_safe(panel.name)}: {_safe(panel.note)}" '
            f'width="{width * factor}" height="{height * factor}">'
            f"<figcaption><b>{_safe(panel.name)}</b><br>{_safe(panel.note)}</figcaption></figure>"
        )
    return f'<div class="panels">{"".join(figures)}</div>'


def _others(results: Sequence[Result]) -> str:
    others = [result for result in results if result.status in NOT_HELD]
    if not others:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{_safe(result.law.name)}</th><td>{_badge(result.status)}</td>'
        f'<td class="text">{_safe(result.why)}</td><td class="text">{_safe(result.law.statement)}</td></tr>'
        for result in others
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("law", "status", "reason", "statement"))
    return (
        f"<details><summary>Laws that were not held against the blur: {len(others)}</summary>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


# All laws


def law_list(laws: Iterable[Law]) -> str:
    """All laws as Markdown with HTML: a heading for each topic and each law, and what it says."""
    parts: list[str] = []
    topic = None
    for law in laws:
        if law.topic != topic:
            topic = law.topic
            parts.append(f"## {topic.capitalize()}")
        facts = (
            ("tolerance", law.tolerance),
            ("violations look like", law.looks_like),
            ("its power is measured with", f"{law.fault.what}, in {law.fault.unit}"),
            ("reference", law.reference),
        )
        listed = "".join(f"<dt>{name}</dt><dd>{_safe(text)}</dd>" for name, text in facts)
        parts.append(f"### {law.name}\n\n<p><b>{_safe(law.statement)}</b></p>\n<dl>{listed}</dl>")
    return "\n\n".join(parts) + "\n"
