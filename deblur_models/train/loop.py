"""The training loop, from the first step to the last checkpoint."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from blursynth.errors import DatasetError, InvalidValueError
from blursynth.io.folders import expanded
from deblur_models.config.configuration import Configuration
from deblur_models.data import Batch, Collated, batches, make_batch
from deblur_models.data.collate import LearnedBlur
from deblur_models.device import arithmetic, torch_device
from deblur_models.train.learner import Learner, TrainingError
from deblur_models.train.prefetch import Prefetcher
from deblur_models.train.prepare import Prepared, compare, prepare
from deblur_models.train.processes import Processes, process_group
from deblur_models.train.run_directory import RunDirectory
from deblur_models.train.timer import Timer
from deblur_models.train.validation import ValidationResult

__all__ = ["Progress", "Result", "check", "train"]

log = logging.getLogger(__name__)

SAME_WISH_S = 2.0
"""Signals within this time of the first one count as the same request."""


@dataclass(frozen=True)
class Progress:
    """Progress of a run. ``losses`` are means since the last report; ``seconds`` breaks down the time of a step.

    ``skipped`` counts the steps so far that fp16 skipped because gradients overflowed.
    """

    step: int
    steps: int
    stage: int
    losses: Mapping[str, float]
    learning_rate: float
    images_per_s: float
    seconds: Mapping[str, float]
    validation: ValidationResult | None = None
    skipped: int = 0


@dataclass(frozen=True)
class Result:
    """The result of a run."""

    out: Path
    step: int
    finished: bool
    validation_results: Sequence[tuple[int, ValidationResult]]
    """Steps after which this call ran validation, with the scores."""
    best: ValidationResult | None
    """The scores of the network in ``best.*``."""
    start_step: int = 0
    """The step from which it resumed; for a run that was already finished, its last step."""
    skipped: int = 0
    """Number of steps that fp16 skipped because gradients overflowed."""


def train(
    configuration: Configuration,
    out: str | Path,
    *,
    resume: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    on_start: Callable[[int], None] | None = None,
    progress_every_s: float = 30.0,
) -> Result:
    """Train a network, or resume the run if the folder holds an unfinished one of this configuration.

    A resumed run requires the same pictures, pairs, recipes and networks, but they may have been moved.

    On the CPU, a run that was stopped and resumed has the same weights, bit for bit, as an uninterrupted one, given the
    same number of threads. On Ctrl-C or SIGTERM, a checkpoint is written before the run stops.

    Parameters
    ----------
    configuration
        The configuration; see :func:`deblur_models.config.configuration.load_configuration`.
    out
        Run directory; see :class:`deblur_models.train.run_directory.RunDirectory`.
    resume
        If False, a folder that already holds a run is an error.
    on_progress
        Called in the first process every ``run.log_every`` steps and after each validation; in between, after the first
        step once ``progress_every_s`` have passed since the last call (with the means of this process).
    on_start
        Called once, in the first process, after all checks, with the step from which the run starts or resumes.

    Raises
    ------
    BlursynthError
        Data, weights files or folders cannot be used; raised before training starts.
    TrainingError
        A loss is NaN or infinite, or fp16 skipped every step; earlier checkpoints are kept.
    """
    run = configuration.run
    if run.threads:
        torch.set_num_threads(run.threads)
    _check_teacher(configuration, expanded(out))
    directory = RunDirectory(expanded(out), configuration, resume=resume)
    state = directory.resumed()
    step = 0 if state is None else int(state.manifest["step"])
    # Data and weights files come first, since their problems are the same on every machine.
    finished = state is not None and step == configuration.steps
    prepared = None if finished and not directory.moved else prepare(configuration)
    with process_group(run.device) as processes, arithmetic(processes.device, tf32=run.tf32, cudnn=run.cudnn):
        if len(set(processes.gathered(step))) > 1:
            raise DatasetError(
                f"{out}: the processes see different states of the run; this one sees step {step}.",
                fix="Choose a folder shared by all of them.",
            )
        if state is not None and prepared is not None:
            compare(out, state.manifest, prepared, directory.moved)
        if state is not None and finished:
            best = _result_of(state.manifest["best"])
            return Result(expanded(out), step, True, (), best, step, _skipped(state.manifest))
        assert prepared is not None
        learned = {name: network.to(processes.device).blur_by_seed for name, network in prepared.blurring.items()}
        learner = Learner(configuration, processes, prepared.initial)
        first = directory if processes.is_first else None
        loop = _Loop(
            configuration, processes, prepared, learned, learner, first, expanded(out), on_progress, progress_every_s
        )
        if state is not None:
            learner.load(state)
            loop.load(state.manifest)
        if processes.is_first:
            directory.begin(step)
            if on_start is not None:
                on_start(step)
        try:
            with _stopped_gently() as stopped:
                return loop.run(step, stopped)
        finally:
            directory.close()


def check(configuration: Configuration) -> None:
    """Run all checks of :func:`train` before its first step: pictures, pairs, weights files, and their consistency.

    If the configured device is not available, a warning says so, and the rest is checked on the CPU, since the run may
    be intended for another machine.
    """
    prepared = prepare(configuration)
    device = configuration.run.device
    try:
        torch_device(device)
    except InvalidValueError as error:
        if device.partition(":")[0] not in ("cuda", "mps"):
            raise
        log.warning("%s The run would not start here; the rest was checked on the CPU.", error.what)
        configuration = configuration.replace(run=configuration.run.replace(device="cpu"))
    with process_group(configuration.run.device) as processes:
        Learner(configuration, processes, prepared.initial)


@dataclass(eq=False)
class _Loop:
    configuration: Configuration
    processes: Processes
    prepared: Prepared
    learned: Mapping[str, LearnedBlur]
    learner: Learner
    directory: RunDirectory | None
    out: Path
    on_progress: Callable[[Progress], None] | None
    progress_every_s: float
    start_step = 0
    counted = 0
    skipped = 0
    """Total up to the last report."""
    best: ValidationResult | None = None

    def __post_init__(self) -> None:
        self.progress_at, self.timer = time.perf_counter(), Timer(self.processes.device)
        self.validation_results: list[tuple[int, ValidationResult]] = []
        self.sums: dict[str, Tensor] = {}

    def load(self, manifest: Mapping[str, Any]) -> None:
        """Resume where a checkpoint was written, even between two reports."""
        self.best, self.counted = _result_of(manifest["best"]), manifest["unreported"]["steps"]
        device = self.processes.device
        self.sums = {name: torch.tensor(value, device=device) for name, value in manifest["unreported"]["sums"].items()}
        self.skipped = _skipped(manifest) - round(manifest["unreported"]["sums"].get("skipped", 0.0))

    def run(self, step: int, stopped: Callable[[], bool]) -> Result:
        configuration, run, total = self.configuration, self.configuration.run, self.configuration.steps
        self.start_step = step
        if step == 0 and configuration.validation is not None:
            self._validate(0, save=False)
        while step < total:
            number, first, first_sample = configuration.stage_at(step)
            stage = configuration.stage[number]
            samples = self._batches(number, step - first, first_sample)
            with closing(Prefetcher(samples, self._batch, self.processes.device, lambda: self.timer)) as prefetcher:
                while step < first + stage.steps:
                    parts = prefetcher.take()
                    prefetcher.prefetch()
                    factor = configuration.schedule.at(step, total) * stage.learning_rate_factor
                    with self.timer.device("network"):
                        values = self.learner.update(parts, step, factor)
                    step += 1
                    self._count(values, sum(map(len, parts)) * self.processes.ranks)
                    report = step % run.log_every == 0 or step == total
                    validate = configuration.validation is not None and (
                        step % configuration.validation.every == 0 or step == total
                    )
                    stop = self.processes.any(stopped()) if step % 10 == 0 or self.processes.ranks == 1 else False
                    save = stop or step % run.checkpoint_every == 0 or step == total
                    if report or validate or save or self.processes.device.type == "cpu":
                        self._check_finite(values, step, parts)  # before any value is accumulated
                    if report:
                        self._report(step, number, factor)
                    elif time.perf_counter() - self.progress_at >= self.progress_every_s:
                        self._call_back(self._progress(step, number, factor, self._means()))
                    if validate:
                        self._validate(step, save=True)
                    if save:
                        self._save(step)
                    if stop:
                        return self._result(step)
        return self._result(step)

    def _batches(self, number: int, done: int, first_sample: int) -> Iterator[list[Collated]]:
        stage, run = self.configuration.stage[number], self.configuration.run
        return iter(
            batches(
                self.prepared.stages[number],
                first=done,
                last=stage.steps,
                batch=stage.batch,
                parts=stage.accumulate,
                offset=first_sample,
                workers=run.workers,
                rank=self.processes.rank,
                ranks=self.processes.ranks,
                pin_memory=self.processes.device.type == "cuda",
            )
        )

    def _batch(self, collated: Collated) -> Batch:
        batch = make_batch(collated, self.processes.device, self.learned)
        return batch.channels_last() if self.configuration.run.channels_last else batch

    def _count(self, values: Mapping[str, Tensor], samples: int) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value.detach()
        self.counted += 1
        self.timer.samples += samples

    def _check_finite(self, values: Mapping[str, Tensor], step: int, parts: Sequence[Batch]) -> None:
        self.learner.check_scales()
        if step == self.configuration.steps == self._skipped_so_far():
            raise TrainingError(
                f"All {step:,} steps were skipped because gradients overflowed in fp16; nothing was learned.",
                why="The loss scale starts at 65,536 and is halved at each such step, until gradients fit.",
                fix='Train longer, or use run.precision = "bf16" or "float32".',
            )
        wrong = [name for name, value in values.items() if not math.isfinite(value.item())]
        if not self.processes.any(bool(wrong)):
            return
        if not wrong:
            raise TrainingError(f"Step {step}: a loss is NaN or infinite in another process, which says more.")
        sources = sorted({source for part in parts for source in part.sources})
        finite = all(torch.isfinite(p.sharp).all() and torch.isfinite(p.blurred).all() for p in parts)
        raise TrainingError(
            f"Step {step}: {', '.join(f'{name} is {values[name].item()}' for name in wrong)}, and an update would "
            f"destroy the weights. The pictures of this step are {'finite' if finite else 'NOT finite'} (from "
            f"{', '.join(sources[:4])}{' and others' if len(sources) > 4 else ''}).",
            why="Usually the learning rate is too high, or half precision overflowed.",
            fix="Lower optimizer.learning_rate, set optimizer.clip_norm, warm up longer, or use bf16 or float32; "
            "checkpoints from before this step are kept.",
        )

    def _means(self) -> dict[str, float]:
        """Losses since the last report; the norm of gradients over the steps that were not skipped."""
        sums = {name: value.item() for name, value in self.sums.items()}
        taken = self.counted - round(sums.pop("skipped", 0.0))
        means = {name: value / self.counted for name, value in sums.items()}
        return means | {"gradient_norm": sums["gradient_norm"] / taken if taken else math.nan}

    def _skipped_so_far(self) -> int:
        return self.skipped + round(float(self.sums.get("skipped", 0.0)))

    def _progress(self, step: int, stage: int, factor: float, losses: Mapping[str, float]) -> Progress:
        elapsed = time.perf_counter() - self.timer.started
        return Progress(
            step=step,
            steps=self.configuration.steps,
            stage=stage,
            losses=losses,
            learning_rate=self.configuration.optimizer.learning_rate * factor,
            images_per_s=self.timer.samples / elapsed,
            seconds={name: value / self.counted for name, value in self.timer.seconds().items()},
            skipped=self._skipped_so_far(),
        )

    def _call_back(self, progress: Progress) -> None:
        self.progress_at = time.perf_counter()
        if self.on_progress is not None and self.directory is not None:
            self.on_progress(progress)

    def _report(self, step: int, stage: int, factor: float) -> None:
        self.processes.mean(self.sums.values())
        losses = self._means()
        progress = self._progress(step, stage, factor, losses)
        fp16 = {"skipped_steps": progress.skipped} if "skipped" in self.sums else {}
        self.skipped = progress.skipped
        self.sums, self.counted, self.timer = {}, 0, Timer(self.processes.device)
        if self.directory is not None:
            values = {"learning_rate": progress.learning_rate, "images_per_s": progress.images_per_s}
            seconds = {f"seconds_{k}": v for k, v in progress.seconds.items()}
            self.directory.line("training", step, {"stage": stage, **losses, **fp16, **values, **seconds})
        self._call_back(progress)

    def _validate(self, step: int, *, save: bool) -> None:
        network = self.learner.best()
        weights = self.learner.weights() if save and self.learner.sharded else None
        begin = time.perf_counter()
        held_out = self.prepared.held_out
        assert held_out is not None
        result = held_out.validate(network, self.processes, self.out / "samples" / f"{step:07d}.png" if save else None)
        self.validation_results.append((step, result))
        best = save and (self.best is None or self._rank(result) > self._rank(self.best))
        self.best = result if best else self.best
        if self.directory is not None:
            self.directory.line("validation", step, {**result.to_dict(), "seconds": time.perf_counter() - begin})
            if best:
                self.directory.save_best(self.learner, step, result, weights or self.learner.weights())
        done = max(step - 1, 0)
        stage = self.configuration.stage_at(done)[0]
        factor = self.configuration.schedule.at(done, self.configuration.steps)
        factor *= self.configuration.stage[stage].learning_rate_factor
        rate = self.configuration.optimizer.learning_rate * factor
        self._call_back(
            Progress(step, self.configuration.steps, stage, {}, rate, 0.0, {}, result, skipped=self._skipped_so_far())
        )
        self.timer.started += time.perf_counter() - begin  # validation is not part of the throughput of training
        self.processes.wait()

    def _rank(self, result: ValidationResult) -> tuple[float, float]:
        settings = self.configuration.validation
        assert settings is not None
        return result.rank(settings.no_harm_db, settings.best_by)

    def _save(self, step: int) -> None:
        tensors = self.learner.tensors()
        self.processes.mean(self.sums.values())
        if self.directory is not None:
            sums = {name: value.item() for name, value in self.sums.items()}
            more = {
                "best": None if self.best is None else self.best.to_dict(),
                **self.prepared.to_dict(),
                "skipped": self._skipped_so_far(),
                "unreported": {"steps": self.counted, "sums": sums},
            }
            self.directory.save(self.learner, step, tensors, more)
        self.processes.wait()

    def _result(self, step: int) -> Result:
        finished, skipped = step == self.configuration.steps, self._skipped_so_far()
        return Result(self.out, step, finished, tuple(self.validation_results), self.best, self.start_step, skipped)


def _check_teacher(configuration: Configuration, out: Path) -> None:
    """A run cannot be its own teacher, whose weights must not change."""
    if configuration.teacher is None:
        return
    teacher = expanded(configuration.teacher.network).resolve()
    if out.resolve() in (teacher, *teacher.parents):
        raise InvalidValueError(
            f"{configuration.teacher.network!r} is the folder of the run itself.",
            why="The teacher would change while the network learns from it.",
            fix="Choose another folder for the run.",
            place="[teacher]",
            field="network",
        )


def _skipped(manifest: Mapping[str, Any]) -> int:
    return int(manifest.get("skipped", 0))  # earlier versions did not count skipped steps


def _result_of(values: Mapping[str, Any] | None) -> ValidationResult | None:
    return None if values is None else ValidationResult.from_dict(values)


@contextmanager
def _stopped_gently() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a request that is handled at the end of a step; a later one stops at once.

    Under torchrun, one Ctrl-C arrives twice, from the terminal and from torchrun.
    """
    wished, since = False, 0.0

    def wish(number: int, frame: FrameType | None) -> None:
        nonlocal wished, since
        if wished and time.monotonic() - since >= SAME_WISH_S:
            raise KeyboardInterrupt
        if wished:
            return
        wished, since = True, time.monotonic()
        log.warning("Stopping after this step; press again to stop at once, without a checkpoint.")

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, wish)
        except ValueError:  # signals work only in the main thread
            break
    try:
        yield lambda: wished
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
