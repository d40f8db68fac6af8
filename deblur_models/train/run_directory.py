"""What is written while training: lines of JSON, events for TensorBoard, pictures, checkpoints."""

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
    """The folder of a run.

    ::

        configuration.json   what is trained
        log.jsonl            one line per report of the losses and per validation
        last.*, previous.*   the state of the run, and the one before it
        best.*               the network that did best on the held-out pairs so far (:meth:`ValidationResult.rank`)
        samples/             held-out pictures: input, output, target of the network
        events/              for TensorBoard, where wanted

    Raises
    ------
    DatasetError
        The folder cannot be written, holds a run of another configuration, or other files and no run.

    Notes
    -----
    The folder is made by :meth:`begin`, when everything else was checked.
    """

    def __init__(self, out: Path, configuration: Configuration, *, resume: bool) -> None:
        self.out, self.configuration = out, configuration
        there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
        if not there.is_dir():
            raise DatasetError(f"{out}: cannot be made ({there} is a file).", fix="Choose another folder.")
        if not os.access(there, os.W_OK):
            raise DatasetError(f"{out}: cannot be written.", fix="Choose another folder.")
        self.moved: list[str] = []
        """Fields of data whose pictures, pairs, recipes or networks had other paths when the run was begun."""
        self._description = out / "configuration.json"
        if any((out / name).exists() for name in ("configuration.json", "last.json", "previous.json")):
            if not resume:
                raise DatasetError(
                    f"{out}: holds a run already.", fix="Let it go on (without --fresh), or choose another folder."
                )
        elif there == out and (others := sorted(p.name for p in out.iterdir() if not p.name.startswith("."))):
            raise DatasetError(
                f"{out}: holds other files and no run ({others[0]!r}{' and more' if len(others) > 1 else ''}).",
                why="A run would be written among them.",
                fix="Choose an empty folder, or one that is not there yet.",
            )
        if there == out:
            refuse_links(out)  # a run may come from elsewhere, and lines are added to its log
        if self._description.exists():
            try:
                before = read_json(self._description, "the configuration of the run")
            except DatasetError as error:
                raise DatasetError(error.what, fix="Choose another folder.") from None
            self._compare(before)
        self._events: Any = None
        self._last_is_whole = False

    def _compare(self, before: Mapping[str, Any]) -> None:
        """Refuses a run that was begun with another configuration; what data is found where is only noted."""
        self.moved = self.configuration.moved(before)
        if differences := self.configuration.differences(before):
            more = f" and {len(differences) - 12} more" if len(differences) > 12 else ""
            raise DatasetError(
                f"{self.out}: was begun with another configuration: {'; '.join(differences[:12])}{more}.",
                why="Going on would make a run that no configuration describes.",
                fix="Give the same configuration, or choose another folder. To train its weights on with this one, "
                f'choose a new folder and write start_from = "{self.out}" at the top of the configuration.',
            )

    def resumed(self) -> Checkpoint | None:
        """The state to go on from; None at the beginning. The one before it where the last one is damaged.

        Raises
        ------
        DatasetError
            There are states, and each is damaged; or they are of a run with another configuration.
        """
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
                    f"{self.out / name}.json: describes a network and not the state of a run.",
                    fix=f'Choose a new folder, and write start_from = "{self.out / name}" to begin with its weights.',
                )
            # The other file may have been deleted or edited; what the weights were trained with stands here.
            if not isinstance(found.manifest["configuration"], dict) or type(found.manifest["step"]) is not int:
                raise DatasetError(f"{self.out / name}.json: is damaged.", fix="Choose another folder.")
            self._compare(found.manifest["configuration"])
            if damage is not None:
                log.warning("%s: goes on from the checkpoint before, step %d.", self.out, found.manifest["step"])
            self._last_is_whole = name == "last"
            return found
        if damage is not None:
            raise DatasetError(
                f"{self.out}: no checkpoint of this run can be read. {damage.what}",
                fix="Choose another folder to begin anew, or copy the checkpoint back from elsewhere.",
            )
        return None

    def begin(self, step: int) -> None:
        """Makes the folder and writes down what is trained; lines of the log from after ``step`` are taken out, they
        will come again."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f"{self.out}: cannot be made ({error.strerror}).") from None
        self._write(self._description, json.dumps(self.configuration.to_dict(), indent=1, allow_nan=False) + "\n")
        path = self.out / "log.jsonl"
        if path.exists():
            require_regular(path)
            text = path.read_text("utf-8", errors="replace")
            lines = [line for line in text.splitlines(keepends=True) if _step(line) <= step]
            self._write(path, "".join(lines))

    def save(self, learner: Learner, step: int, tensors: Mapping[str, Any], more: Mapping[str, Any]) -> None:
        """The state of the run after ``step`` steps, with more of it for the JSON.

        Killed at whatever moment, the folder holds a whole state, this one or the one before.
        """
        if self._last_is_whole:
            self._keep_as_previous()
        save_checkpoint(
            self.out / "last",
            tensors,
            {**learner.manifest(), "step": step, **more, "configuration": self.configuration.to_dict()},
        )
        self._last_is_whole = True

    def _keep_as_previous(self) -> None:
        """The last checkpoint under a second name; it stays the last one until that is done."""
        try:
            (self.out / "previous.json").unlink(missing_ok=True)
            for suffix in (".safetensors", ".json"):
                last, part = self.out / f"last{suffix}", self.out / f".previous{suffix}.part"
                part.unlink(missing_ok=True)
                try:
                    os.link(last, part)
                except OSError:  # not every file system has links
                    shutil.copyfile(last, part)
                part.replace(self.out / f"previous{suffix}")
        except OSError as error:
            raise DatasetError(f"{self.out}: cannot be written ({error.strerror}).") from None

    def save_best(self, learner: Learner, step: int, result: ValidationResult, weights: Mapping[str, Any]) -> None:
        """The network alone, with its averaged weights."""
        save_checkpoint(
            self.out / "best",
            weights,
            {
                **learner.manifest(),
                "step": step,
                "validation": result.to_dict(),
                "configuration": self.configuration.to_dict(),
            },
        )

    def line(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """One line of the log, and the same numbers for TensorBoard; null stands for what is not a finite number."""
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
    except (ValueError, KeyError, TypeError, RecursionError):  # half a line, cut off by a kill
        return float("inf")
