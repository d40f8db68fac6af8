"""What ``deblur methods`` and ``deblur losses`` list is what can be chosen."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner, Result

from deblur_models import classical, losses
from deblur_models.cli import app as cli


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments, prog_name="deblur")


@pytest.mark.parametrize(
    ("command", "records"),
    [("methods", classical.ALL), ("losses", (*losses.ALL, *losses.ADVERSARIAL, *losses.CONSISTENCY))],
)
def test_every_one_is_listed_and_shows_its_fields(command: str, records: tuple[type, ...]) -> None:
    listed = run(command)
    assert listed.exit_code == 0, listed.output
    for record in records:
        line = next(text for text in listed.stdout.splitlines() if text.split()[:1] == [record.kind])
        assert len(line.split()) > 2, line
        assert ("adversarial" in line.split()[1:2]) == (record in losses.ADVERSARIAL)
        shown = run(command, record.kind)
        assert shown.exit_code == 0, shown.output
        for field in record.model_fields:
            assert re.search(rf"^ *{field} ", shown.stdout, re.MULTILINE), shown.stdout


def test_what_is_misspelt_is_told() -> None:
    for command, word, meant in (("methods", "wienerr", "wiener"), ("losses", "charbonier", "charbonnier")):
        result = run(command, word)
        assert result.exit_code == 2
        assert f"Did you mean '{meant}'?" in result.output
