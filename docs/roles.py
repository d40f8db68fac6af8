"""Docstrings of the code for Markdown: the roles of reStructuredText become links, its double backticks single ones."""

from __future__ import annotations

import html
import re
from typing import Any

import griffe

_TABLE = re.compile(r"^=+ +=+\n(?P<rows>(?:(?!=).+\n)+)=+ +=+$", re.MULTILINE)
_ROLE = re.compile(r":(?:py:)?[a-z]+:`(?:(?P<title>[^<`]+?)\s*<)?(?P<short>~?)(?P<name>[\w.]+)>?`")


def to_markdown(text: str) -> str:
    """A docstring with what Markdown calls things.

    >>> to_markdown("See :func:`~blursynth.core.apply`, ``y = k * x``.")
    'See <autoref identifier="blursynth.core.apply" optional><code>apply</code></autoref>, `y = k * x`.'
    """
    head, rule, sections = text.partition("\n---")
    text = re.sub(r"^    ``(.+?)``", r"    \1", head, flags=re.MULTILINE) + rule + sections  # set apart, so code anyhow
    text = re.sub(r"``(.+?)``", r"`\1`", _ROLE.sub(_link, text), flags=re.DOTALL)
    text, section, examples = text.partition("Examples\n---")  # these are recognized as code anyhow
    text = re.sub(r"^( *)>>> .*(?:\n\1\S.*)*", _fenced, text, flags=re.MULTILINE)
    return _TABLE.sub(_table, text) + section + examples


def _fenced(match: re.Match[str]) -> str:
    return f"{match[1]}```pycon\n{match[0]}\n{match[1]}```"


def _table(match: re.Match[str]) -> str:
    """A table without headings, whose columns are set apart by two spaces or more."""
    rows = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in match["rows"].splitlines()]
    return "\n".join(["| part | what it does |", "|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def _link(match: re.Match[str]) -> str:
    name = match["name"]
    title = match["title"] or (name.rpartition(".")[2] if match["short"] else name)
    return f'<autoref identifier="{name}" optional><code>{html.escape(title)}</code></autoref>'


class Roles(griffe.Extension):
    """Rewrites every docstring when its object is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
