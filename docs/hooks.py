"""What the site's build adds to the pages of this folder.

Pages that follow from the code (kinds and recipes with pictures, examples, laws, modules), files of the repository's
root, links that hold both here and there, and formulas as MathML, which browsers show without a script.
"""

from __future__ import annotations

import ast
import html
import importlib
import json
import logging
import posixpath
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT)]

import gallery  # noqa: E402  found by the line above

LOG = logging.getLogger("mkdocs.plugins.blursynth")  # what it warns of fails a strict build

ROOT_PAGES = {
    "BENCHMARKS.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
CONFIGURATIONS = sorted((ROOT / "deblur_models" / "config").glob("*.toml"))

SITE = {
    "README.md": "index.md",
    **ROOT_PAGES,
    **{f"examples/{path.name}": f"examples/{path.stem}.md" for path in EXAMPLES},
    **{f"deblur_models/config/{path.name}": f"configurations/{path.stem}.md" for path in CONFIGURATIONS},
}
"""Files of the repository outside this folder, and their pages."""


# Navigation


def on_config(config: MkDocsConfig) -> None:
    made = {
        "generated examples": [{_title(path): SITE[f"examples/{path.name}"]} for path in EXAMPLES],
        "generated configurations": [{p.stem: SITE[f"deblur_models/config/{p.name}"]} for p in CONFIGURATIONS],
        "generated gallery": gallery.nav(),
        "generated api": _api_nav(),
    }
    config.nav = _filled(config.nav, made)
    config.watch += [str(ROOT / "blursynth"), str(ROOT / "deblur_models")]


def _filled(nav: Any, made: dict[str, list[Any]]) -> Any:
    if isinstance(nav, dict):
        return {title: _filled(part, made) for title, part in nav.items()}
    if isinstance(nav, list):
        return made[nav[0]] if len(nav) == 1 and nav[0] in made else [_filled(part, made) for part in nav]
    return nav


# Pages that are made


def on_files(files: Files, config: MkDocsConfig) -> Files:
    def add(address: str, content: str | bytes) -> None:
        files.append(File.generated(config, address, content=content))

    for name, address in ROOT_PAGES.items():
        add(address, (ROOT / name).read_text("utf-8"))
    for path in EXAMPLES:
        add(SITE[f"examples/{path.name}"], _example_page(path))
    for path in CONFIGURATIONS:
        text = path.read_text("utf-8").strip()
        add(SITE[f"deblur_models/config/{path.name}"], f"# Configuration {path.stem}\n\n```toml\n{text}\n```\n")
    add("testing/laws.md", _laws_page())
    for address, content in (*gallery.pages(), *_api_pages()):
        add(address, content)
    return files


def _title(example: Path) -> str:
    return example.stem[3:].replace("_", " ").capitalize()


def _example_page(path: Path) -> str:
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    about = ast.get_docstring(tree) or ""
    code = "\n".join(source.splitlines()[tree.body[0].end_lineno :]).strip()
    about = re.sub(r"^python .*$", lambda line: f"```sh\n{line[0]}\n```", about, flags=re.MULTILINE)
    return f"# {_title(path)}\n\n{about}\n\n```python\n{code}\n```\n"


def _laws_page() -> str:
    from blursynth.testing import laws, report

    about = "What `blursynth.testing` holds a blur against. [Testing a blur](../testing.md) says how."
    return f"# Laws of blur\n\n{about}\n\n{report.law_list(laws.ALL)}"


# API: a page for each package whose __init__ names what is public, and for each chapter of physics

PACKAGES = ("blursynth", "deblur_models")


def _names(module: str) -> list[str]:
    return list(getattr(importlib.import_module(module), "__all__", ()))


@cache
def _modules() -> dict[str, list[str]]:
    """Public modules and the names that their pages show: those that no earlier page has."""
    shown: set[int] = set()
    modules: dict[str, list[str]] = {}
    for package in PACKAGES:
        folder = ROOT / package
        inside = sorted(
            {p.parent.name for p in folder.glob("*/__init__.py")} | {p.stem for p in folder.glob("[a-z]*.py")}
        )
        chapters = [f"physics.{p.stem}" for p in sorted((folder / "physics").glob("[a-z]*.py"))]
        for name in (package, *(f"{package}.{part}" for part in (*inside, *chapters))):
            if name.endswith(".cli") or name == "blursynth.degradations":  # the gallery has a page for each kind
                continue
            module = importlib.import_module(name)
            members = {member: getattr(module, member) for member in _names(name)}
            new = [
                member
                for member, value in members.items()
                if id(value) not in shown
                and getattr(value, "__module__", name).startswith(PACKAGES)
                and not isinstance(value, type(sys))
            ]
            shown.update(id(members[member]) for member in new)
            if new:
                modules[name] = new
    return modules


def _api_pages() -> list[tuple[str, str]]:
    rows, result = [], []
    for name, members in _modules().items():
        rows.append(f"| [{name}]({name}.md) | {gallery.summary(importlib.import_module(name).__doc__)} |")
        options = ("heading_level: 1", "show_root_full_path: true", f"members: {json.dumps(members)}")
        listed = "".join(f"      {option}\n" for option in options)
        result.append((f"api/{name}.md", f"::: {name}\n    options:\n{listed}"))
    rows.append("| [blursynth.kinds](../gallery/index.md) | The kinds of steps, each with pictures and its fields. |")
    index = [
        "# API",
        "Arrays are planar, `[B, C, H, W]`. A name with a unit ends in it. Angles turn clockwise on the screen.",
        "\n".join(["| module | what it has |", "|---|---|", *rows]),
    ]
    return [("api/index.md", "\n\n".join(index) + "\n"), *result]


def _api_nav() -> list[Any]:
    physics = [
        {name.rpartition(".")[2]: f"api/{name}.md"} for name in _modules() if name.startswith("blursynth.physics.")
    ]
    others = [{name: f"api/{name}.md"} for name in _modules() if not name.startswith("blursynth.physics.")]
    first = [entry for entry in others if next(iter(entry)).startswith("blursynth")]
    return ["api/index.md", *first, {"blursynth.physics": physics}, *[e for e in others if e not in first]]


# Links and formulas


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links are those of the repository, so that they also hold where it is browsed."""
    here = page.file.src_uri
    outside = {address: name for name, address in SITE.items() if name != "README.md"}
    repository = outside.get(here, f"docs/{here}")

    def moved(match: re.Match[str]) -> str:
        target, hash_, anchor = match[1].partition("#")
        if not target or "://" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(repository), target))
        address = path.removeprefix("docs/") if path.startswith("docs/") else SITE.get(path)
        if address is None:
            LOG.warning("%s links to %s, which has no page", repository, target)
            return match[0]
        return f"]({posixpath.relpath(address, posixpath.dirname(here) or '.')}{hash_}{anchor})"

    if here.startswith(("api/", "gallery/", "testing/")):  # made for the site
        return markdown
    parts = re.split(r"(^```.*?^```)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(p if p.startswith("```") else re.sub(r"\]\(([^)\s]+)\)", moved, p) for p in parts)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    def formula(match: re.Match[str]) -> str:
        text = html.unescape(match[1])
        return convert(text[2:-2], display="block" if text.startswith("\\[") else "inline")

    return re.sub(r'<(?:span|div) class="arithmatex">(.*?)</(?:span|div)>', formula, content, flags=re.DOTALL)
