"""Options of pytest for tests made by :func:`blursynth.testing.obeys`, and a table of what they measured.

Installed with blursynth, pytest imports it in every run, so it loads nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

PROFILES = ("dev", "ci", "thorough")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options; each is read by the decorator."""
    group = parser.getgroup("laws of blur")
    group.addoption(
        "--laws-profile",
        dest="laws_profile",
        choices=PROFILES,
        help="how long each law is tried: dev (seconds), ci, thorough (minutes); before what the tests say",
    )
    group.addoption(
        "--laws-pictures",
        dest="laws_pictures",
        metavar="DIR",
        help="folder for pictures of violations; by default one in pytest's cache",
    )
    group.addoption(
        "--laws-power",
        dest="laws_power",
        action="store_true",
        help="measure the smallest violation that each law would have seen, and show it in the summary",
    )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Law, measured, allowed and power of every test of a law that ran; with -q only if the power was asked for."""
    power = bool(config.getoption("laws_power"))
    if terminalreporter.verbosity < 0 and not power:
        return
    tests: dict[str, list[dict[str, str]]] = {}
    for report in (r for outcome in ("passed", "failed") for r in terminalreporter.stats.get(outcome, ())):
        for name, found in report.user_properties if report.when == "call" else ():
            if name == "law" and isinstance(found, dict):
                tests.setdefault(_without(report.nodeid, found["law"]), []).append(found)
    if not tests:
        return
    from blursynth.testing.report import aligned

    columns = ("law", "status", "measured", "allowed", *(("power",) if power else ()))
    terminalreporter.section("laws of blur")
    for test, rows in tests.items():
        terminalreporter.write_line(test)
        rows.sort(key=lambda one: one["law"])  # processes of pytest-xdist end in any order
        for line in aligned(columns, [[one[column] for column in columns] for one in rows]):
            terminalreporter.write_line(f"  {line}")


def _without(nodeid: str, law: str) -> str:
    """The name of a test without the law among its parameters."""
    name, bracket, inside = nodeid.partition("[")
    if not bracket:
        return nodeid
    parts = inside.removesuffix("]").split("-")
    if law in parts:
        parts.remove(law)
    return f"{name}[{'-'.join(parts)}]" if parts else name
