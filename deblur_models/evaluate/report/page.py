"""The form of reports: one HTML page that loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

from blursynth.records.text import printable

__all__ = ["page", "section", "table"]


def page(title: str, subtitle: str, sections: Sequence[str]) -> bytes:
    """The whole page; sections are HTML, and empty ones are left out."""
    text = Template((files("deblur_models.evaluate.report") / "report.html").read_text("utf-8")).substitute(
        title=escape(title), subtitle=escape(subtitle), body="\n".join(section for section in sections if section)
    )
    # File names may contain marks that change the direction of all following text, or bytes that are not UTF-8.
    return printable(text, lines=True).encode()


def section(title: str, content: str, note: str = "") -> str:
    """A heading with HTML below it; nothing if there is none."""
    if not content:
        return ""
    text = f'<p class="faint">{escape(note)}</p>' if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{text}\n{content}\n</section>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already."""
    top = "".join(f'<th scope="col">{head}</th>' for head in heads)
    body = "\n".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        for first, *cells in rows
    )
    inner = f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="scroll" tabindex="0"><table>\n{inner}</table></div>'
