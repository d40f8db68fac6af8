"""What ``deblur methods``, ``deblur losses`` and ``deblur fields`` list is what can be chosen."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner, Result

from deblur_models import classical, losses
from deblur_models.cli import app as cli
from deblur_models.config.configuration import TABLES, load_configuration


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


def test_misspelled_names_are_reported() -> None:
    for command, word, meant in (("methods", "wienerr", "wiener"), ("losses", "charbonier", "charbonnier")):
        result = run(command, word)
        assert result.exit_code == 2
        assert f"Did you mean '{meant}'?" in result.output


def test_every_table_of_a_configuration_is_listed_and_shows_its_fields() -> None:
    listed = run("fields").stdout
    tables = load_configuration("deblurgan-v2-mobile").to_dict()
    for name in tables:
        assert re.search(rf"^ *{name}(\.NAME)? ", listed, re.MULTILINE), name
    for name, record in TABLES.items():
        shown = run("fields", name.removesuffix(".NAME"))
        assert shown.exit_code == 0, shown.output
        for field in record.model_fields:
            assert re.search(rf"^ *{field} ", shown.stdout, re.MULTILINE), shown.stdout
    assert "(one of adamw, adam)" in run("fields", "[optimizer]").stdout
    for name, command in (("network", "networks"), ("adversarial.loss", "losses")):
        assert f"`deblur {command}`" in run("fields", name).stdout
    assert "at the top" in run("fields", "seed").stdout
    wrong = run("fields", "optimiser")
    assert wrong.exit_code == 2
    assert "Did you mean 'optimizer'?" in wrong.output


def test_a_missing_package_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **options: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("deblur_models.cli.losses.console.table", missing)
    result = run("losses")
    assert result.exit_code == 2
    assert "torch is not installed" in result.output
    assert "extra 'train'" in result.output
