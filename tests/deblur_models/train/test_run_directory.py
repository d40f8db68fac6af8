"""Folders of runs that came from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from blursynth.errors import DatasetError
from deblur_models.config.configuration import configuration_names, load_configuration
from deblur_models.train.run_directory import RunDirectory

CONFIGURATION = load_configuration(configuration_names()[0])


def test_no_line_is_added_to_a_file_outside(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").symlink_to(tmp_path / "victim")
    (tmp_path / "run" / "configuration.json").write_text("{}")
    with pytest.raises(DatasetError, match="link out of"):
        RunDirectory(tmp_path / "run", CONFIGURATION, resume=True)


@pytest.mark.parametrize("text", ["[" * 5000, "[]", "{", '{"a": ' + "9" * 5000 + "}"])
def test_a_damaged_description_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "configuration.json").write_text(text)
    with pytest.raises(DatasetError, match="is damaged"):
        RunDirectory(tmp_path, CONFIGURATION, resume=True)
