"""Files written during training: JSON lines, events for TensorBoard, pictures, checkpoints."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blursynth.dataset.files import read_json, refuse_links, require_regular
from blursynth.errors import DatasetError, require
from blursynth.io.atomic import write_atomically
from deblur_models.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from deblur_models.config.configuration import Configuration
from deblur_models.train.learner import Learner
from deblur_models.train.validation import ValidationResult

__all__ = ["RunDirectory"]

log = logging.getLogger(__name__)


class RunDirectory:
    """The directory of a run.

    ::

        configuration.json   the configuration
        log.jsonl            one line per report of losses, and per validation
        last.*, previous.*   the latest checkpoint of the run, and the previous one
        best.*               the best network so far on the held-out pairs (:meth:`ValidationResult.rank`)
        samples/             held-out pictures: input, output and target of the network
        events/              events for TensorBoard, if enabled

    The folder is created by :meth:`begin`, after everything else has been checked. It must not hold a run of another
    configuration, or other files but no run.
    """

    def __init__(self, out: Path, configuration: Configuration, *, resume: bool) -> None:
        self.out, self.configuration = out, configuration
        there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
        if not there.is_dir():
            raise DatasetError(f"{out}: cannot be created ({there} is a file).", fix="Choose another folder.")
        if not os.access(there, os.W_OK):
            raise DatasetError(f"{out}: cannot be written.", fix="Choose another folder.")
        self.moved: list[str] = []
        """Data fields whose pictures, pairs, recipes or networks had other paths when the run was started."""
        self._description = out / "configuration.json"
        if any((out / name).exists() for name in ("configuration.json", "last.json", "previous.json")):
            if not resume:
                raise DatasetError(
                    f"{out}: already holds a run.", fix="Resume it (without --fresh), or choose another folder."
                )
        elif there == out and (others := sorted(p.name for p in out.iterdir() if not p.name.startswith("."))):
            raise DatasetError(
                f"{out}: holds other files but no run ({others[0]!r}{' and more' if len(others) > 1 else ''}).",
                why="The files of the run would be mixed with them.",
                fix="Choose an empty or new folder.",
            )
        if there == out:
            refuse_links(out)  # a run may come from elsewhere, and its log is appended to
        if self._description.exists():
            try:
                before = read_json(self._description, "the configuration of the run")
            except DatasetError as error:
                raise DatasetError(error.what, fix="Choose another folder.") from None
            self._compare(before)
        self._events: Any = None
        self._last_is_whole = False

    def _compare(self, before: Mapping[str, Any]) -> None:
        """Reject a run that was started with another configuration; moved data is only noted."""
        self.moved = self.configuration.moved(before)
        if differences := self.configuration.differences(before):
            more = f" and {len(differences) - 12} more" if len(differences) > 12 else ""
            raise DatasetError(
                f"{self.out}: was started with another configuration: {'; '.join(differences[:12])}{more}.",
                why="Resuming would produce a run that no configuration describes.",
                fix="Use the same configuration, or choose another folder. To continue training its weights with this "
                f'one, choose a new folder and write start_from = "{self.out}" at the top of the configuration.',
            )

    def resumed(self) -> Checkpoint | None:
        """The checkpoint to resume from, None at the beginning. If the last one is damaged, the previous one."""
        damage: DatasetError | None = None
        for name in ("last", "previous"):
            if not (self.out / f"{name}.json").exists():
                continue
            try:
                found = load_checkpoint(self.out / name)
            except DatasetError as error:
                log.warning("%s", error)
                damage = error
                continue
            if not {"step", "configuration"} <= found.manifest.keys():
                raise DatasetError(
                    f"{self.out / name}.json: describes a network, not the state of a run.",
                    fix=f'Choose a new folder, and write start_from = "{self.out / name}" to start from its weights.',
                )
            # The other file may have been deleted or edited; this one records the configuration of the weights.
            if not isinstance(found.manifest["configuration"], dict) or type(found.manifest["step"]) is not int:
                raise DatasetError(f"{self.out / name}.json: is damaged.", fix="Choose another folder.")
            self._compare(found.manifest["configuration"])
            if damage is not None:
                log.warning("%s: resuming from the previous checkpoint, step %d.", self.out, found.manifest["step"])
            self._last_is_whole = name == "last"
            return found
        if damage is not None:
            raise DatasetError(
                f"{self.out}: no checkpoint of this run can be read. {damage.what}",
                fix="Choose another folder to start over, or restore the checkpoint from a backup.",
            )
        return None

    def begin(self, step: int) -> None:
        """Create the folder and write the configuration; log lines after ``step`` are removed, since they will be
        written again."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f"{self.out}: cannot be created ({error.strerror}).") from None
        self._write(self._description, json.dumps(self.configuration.to_dict(), indent=1, allow_nan=False) + "\n")
        path = self.out / "log.jsonl"
        if path.exists():
            require_regular(path)
            text = path.read_text("utf-8", errors="replace")
            lines = [line for line in text.splitlines(keepends=True) if _step(line) <= step]
            self._write(path, "".join(lines))

    def save(self, learner: Learner, step: int, tensors: Mapping[str, Any], more: Mapping[str, Any]) -> None:
        """Write the state of the run after ``step`` steps, with additional entries for the JSON.

        If the process is killed at any moment, the folder still holds a complete state, this one or the previous one.
        """
        if self._last_is_whole:
            self._keep_as_previous()
        more = {"step": step, **more, "configuration": self.configuration.to_dict()}
        save_checkpoint(self.out / "last", tensors, {**learner.manifest(), **more})
        self._last_is_whole = True

    def _keep_as_previous(self) -> None:
        """Keep the last checkpoint under a second name; it remains the last one until that is done."""
        try:
            (self.out / "previous.json").unlink(missing_ok=True)
            for suffix in (".safetensors", ".json"):
                last, part = self.out / f"last{suffix}", self.out / f".previous{suffix}.part"
                part.unlink(missing_ok=True)
                try:
                    os.link(last, part)
                except OSError:  # not every file system supports links
                    shutil.copyfile(last, part)
                part.replace(self.out / f"previous{suffix}")
        except OSError as error:
            raise DatasetError(f"{self.out}: cannot be written ({error.strerror}).") from None

    def save_best(self, learner: Learner, step: int, result: ValidationResult, weights: Mapping[str, Any]) -> None:
        """Write only the network, with its averaged weights."""
        more = {"step": step, "validation": result.to_dict(), "configuration": self.configuration.to_dict()}
        save_checkpoint(self.out / "best", weights, {**learner.manifest(), **more})

    def line(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Write a line of the log, and the same values for TensorBoard; non-finite values become null."""
        values = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}, allow_nan=False) + "\n")
        if self.configuration.run.tensorboard:
            if self._events is None:
                board = require("torch.utils.tensorboard", extra="train", purpose="Writing events for TensorBoard")
                self._events = board.SummaryWriter(str(self.out / "events"), purge_step=step)
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._events.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        if self._events is not None:
            self._events.close()

    def _write(self, path: Path, text: str) -> None:
        try:
            write_atomically(path, text.encode())
        except OSError as error:
            raise DatasetError(f"{path}: cannot be written ({error.strerror}).") from None


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):  # an incomplete line of a killed process
        return float("inf")
