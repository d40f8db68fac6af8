"""The training loop, from the first check to the last checkpoint."""

from __future__ import annotations

import hashlib
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from blursynth.dataset import OnlineDataset, scan_sources
from blursynth.errors import BlursynthError, DatasetError, InvalidValueError
from blursynth.io.folders import expanded
from blursynth.recipe.recipe import load_recipe
from deblur_models.checkpoints.checkpoint import load_blur_generator, load_checkpoint
from deblur_models.config.configuration import Configuration, DataTable, Stage
from deblur_models.data import (
    Batch,
    BlurredByNetwork,
    Collated,
    Crops,
    OnTheFly,
    Source,
    TrainingSet,
    batches,
    make_batch,
    open_pairs,
)
from deblur_models.data.bundled import photographs
from deblur_models.data.collate import LearnedBlur
from deblur_models.data.left_out import tell_left_out
from deblur_models.device import arithmetic, torch_device
from deblur_models.networks import BlurGenerator
from deblur_models.train.ahead import Ahead
from deblur_models.train.learner import Learner, TrainingError, begun, begun_discriminator
from deblur_models.train.processes import Processes, process_group, rank_and_world_size
from deblur_models.train.run_directory import RunDirectory
from deblur_models.train.times import Times
from deblur_models.train.validation import HeldOut, ValidationResult

__all__ = ["Progress", "Result", "check", "train"]

log = logging.getLogger(__name__)

SAME_WISH_S = 2.0
"""Signals that come within this time of the first one ask for the same."""


@dataclass(frozen=True)
class Progress:
    """How far a run is. ``losses`` are means since the last report; ``seconds`` says where the time of a step goes.

    ``skipped`` counts the steps so far that fp16 skipped, since gradients overflowed.
    """

    step: int
    steps: int
    stage: int
    losses: Mapping[str, float]
    learning_rate: float
    images_per_s: float
    seconds: Mapping[str, float]
    look: ValidationResult | None = None
    skipped: int = 0


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    out: Path
    step: int
    finished: bool
    looks: Sequence[tuple[int, ValidationResult]]
    best: ValidationResult | None
    """The look that ``best.*`` was written at."""
    began_at: int = 0
    """The step that it went on from; of a run that was finished already, its last one."""
    skipped: int = 0
    """Number of steps that fp16 skipped, since gradients overflowed."""


def train(
    configuration: Configuration,
    out: str | Path,
    *,
    resume: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    on_begin: Callable[[int], None] | None = None,
    tell_every_s: float = 30.0,
) -> Result:
    """Train a network; where the folder holds an unfinished run of this configuration, go on with it.

    It goes on with the same pictures, pairs, recipes and networks, wherever they lie by now.

    On the CPU a run that was stopped and went on has the same weights, bit for bit, as one that was not, with the same
    number of threads. Stopped by Ctrl-C or SIGTERM it writes a checkpoint first.

    Parameters
    ----------
    configuration
        What to train; see :func:`deblur_models.config.configuration.load_configuration`.
    out
        Folder of the run; see :class:`deblur_models.train.run_directory.RunDirectory`.
    resume
        False refuses a folder that holds a run already.
    on_progress
        Called every ``run.log_every`` steps, after each look at the held-out pairs, and in between after the first step
        for which ``tell_every_s`` have passed since the last call (with the means of this process); in the first
        process.
    on_begin
        Called once, in the first process, when everything was looked at: with the step that the run goes on from.

    Raises
    ------
    BlursynthError
        Data, weights files or folders that cannot be used, before anything is trained.
    TrainingError
        A loss is not a number, or fp16 skipped every step; the checkpoints that were written before are kept.
    """
    run = configuration.run
    if run.threads:
        torch.set_num_threads(run.threads)
    journal = RunDirectory(expanded(out), configuration, resume=resume)
    state = journal.resumed()
    step = 0 if state is None else int(state.manifest["step"])
    # Data and weights files come first: what is wrong with them is the same on every machine.
    finished = state is not None and step == configuration.steps
    prepared = None if finished and not journal.moved else _prepared(configuration)
    with process_group(run.device) as processes, arithmetic(processes.device, tf32=run.tf32, cudnn=run.cudnn):
        if not processes.agree(step):
            raise DatasetError(
                f"{out}: the processes see different states of the run, this one step {step}.",
                fix="Choose a folder that all of them share.",
            )
        if state is not None and prepared is not None:
            _compare(out, state.manifest, prepared, journal.moved)
        if state is not None and finished:
            best = _look_of(state.manifest["best"])
            return Result(expanded(out), step, True, (), best, step, _skipped(state.manifest))
        assert prepared is not None
        learned = {name: network.to(processes.device).blur_by_seed for name, network in prepared.blurring.items()}
        learner = Learner(configuration, processes)
        loop = _Loop(
            configuration,
            processes,
            prepared,
            learned,
            learner,
            journal if processes.is_first else None,
            expanded(out),
            on_progress,
            tell_every_s,
        )
        if state is not None:
            learner.load(state)
            loop.load(state.manifest)
        if processes.is_first:
            journal.begin(step)
            if on_begin is not None:
                on_begin(step)
        try:
            with _stopped_gently() as stopped:
                return loop.run(step, stopped)
        finally:
            journal.close()


def check(configuration: Configuration) -> None:
    """All that :func:`train` looks at before its first step: pictures, pairs, weights files, the fit of everything.

    On a machine without the device of the configuration that is told by a warning, and the rest is looked at on the
    CPU: the run itself may be meant for another machine.

    Raises
    ------
    BlursynthError
        What :func:`train` would raise.
    """
    _prepared(configuration)
    device = configuration.run.device
    try:
        torch_device(device)
    except InvalidValueError as error:
        if device.partition(":")[0] not in ("cuda", "mps"):
            raise
        log.warning("%s Here the run would not begin; the rest was looked at on the CPU.", error.what)
        configuration = configuration.replace(run=configuration.run.replace(device="cpu"))
    with process_group(configuration.run.device) as processes:
        Learner(configuration, processes)


@dataclass(frozen=True)
class _Prepared:
    """What a run needs besides its device, each looked at."""

    stages: Sequence[TrainingSet]
    held_out: HeldOut | None
    blurring: Mapping[str, BlurGenerator]
    """Networks that blur sharp pictures, by the names of the data tables that wait for them."""
    fingerprints: Mapping[str, str]
    """Of the pictures and the blur of each data table: of what is in them, not of where they lie."""

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"data": dict(self.fingerprints), "held_out": self.held_out.fingerprint if self.held_out else None}


def _prepared(configuration: Configuration) -> _Prepared:
    for number, loss in enumerate(configuration.loss, 1):
        with error_context(f"[[loss]] {number}"):
            loss.check_ready()
    if configuration.start_from is not None or configuration.run.encoder_weights:
        with torch.random.fork_rng(devices=[]):
            begun(configuration)
    if configuration.adversarial is not None and configuration.adversarial.start_from is not None:
        begun_discriminator(configuration.adversarial)
    blurring = {}
    prints: dict[str, list[str]] = {}
    for name, table in configuration.data.items():
        if table.blur_network is not None:
            with error_context(f"[data.{name}]"):
                blurring[name] = load_blur_generator(table.blur_network)
                prints[name] = [load_checkpoint(table.blur_network).manifest["sha256"]]
    rank, ranks = rank_and_world_size()  # data are looked at before the processes are joined
    stages = _training_sets(configuration, ranks)
    held_out = None
    if configuration.validation is not None:
        with error_context("[validation]"):
            held_out = HeldOut(configuration.validation, rank, ranks)
    for stage in stages:
        for source in stage.sources:
            prints.setdefault(source.name, []).append(source.fingerprint())
    together = {name: hashlib.sha256("".join(of_it).encode()).hexdigest() for name, of_it in prints.items()}
    return _Prepared(stages, held_out, blurring, together)


def _compare(out: str | Path, before: Mapping[str, Any], now: _Prepared, moved: Sequence[str]) -> None:
    """Refuses to go on with other pictures or another blur than a run was begun with."""
    prints = now.to_dict()
    changed = [f"[data.{name}]" for name in prints["data"] if before["data"].get(name) != prints["data"][name]]
    if before.get("held_out", prints["held_out"]) != prints["held_out"]:
        changed.append("[validation]")
    if changed:
        other = f" ({'; '.join(moved)})" if moved else ""
        raise DatasetError(
            f"{out}: what {changed[0]} names has changed since the run was begun: pictures, pairs, recipe or "
            f"network{other}.",
            why="Going on would make a run that no configuration describes.",
            fix="Put back what it was. To train the weights on with what is there now, choose a new folder and write "
            f'start_from = "{out}" at the top of the configuration.',
        )


@contextmanager
def error_context(table: str) -> Iterator[None]:
    """Errors say in which table of the configuration they arose."""
    try:
        yield
    except BlursynthError as error:
        raise error.at(table) from None


class _Loop:
    def __init__(
        self,
        configuration: Configuration,
        processes: Processes,
        prepared: _Prepared,
        learned: Mapping[str, LearnedBlur],
        learner: Learner,
        journal: RunDirectory | None,
        out: Path,
        on_progress: Callable[[Progress], None] | None,
        tell_every_s: float,
    ) -> None:
        self.configuration, self.processes, self.prepared = configuration, processes, prepared
        self.learned, self.learner, self.journal, self.out = learned, learner, journal, out
        self.on_progress, self.tell_every_s, self.told_at = on_progress, tell_every_s, time.perf_counter()
        self.began_at = 0
        self.best: ValidationResult | None = None
        self.looks: list[tuple[int, ValidationResult]] = []
        self.sums: dict[str, Tensor] = {}
        self.counted = 0
        self.skipped = 0
        """Up to the last report."""
        self.times = Times(processes.device)

    def load(self, manifest: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was written, also in the middle between two reports."""
        self.best, self.counted = _look_of(manifest["best"]), manifest["unreported"]["steps"]
        device = self.processes.device
        self.sums = {name: torch.tensor(value, device=device) for name, value in manifest["unreported"]["sums"].items()}
        self.skipped = _skipped(manifest) - round(manifest["unreported"]["sums"].get("skipped", 0.0))

    def run(self, step: int, stopped: Callable[[], bool]) -> Result:
        configuration, run, total = self.configuration, self.configuration.run, self.configuration.steps
        self.began_at = step
        if step == 0 and configuration.validation is not None:
            self._look(0, save=False)
        while step < total:
            number, first, first_sample = configuration.stage_at(step)
            stage = configuration.stage[number]
            samples = self._batches(number, step - first, first_sample)
            ahead = Ahead(samples, self._batch, self.processes.device, lambda: self.times)
            while step < first + stage.steps:
                parts = ahead.take()
                factor = configuration.schedule.at(step, total) * stage.learning_rate_factor
                with self.times.on("network"):
                    values = self.learner.update(parts, step, factor)
                ahead.prepare()
                step += 1
                self._count(values, sum(map(len, parts)) * self.processes.ranks)
                report = step % run.log_every == 0 or step == total
                look = configuration.validation is not None and (
                    step % configuration.validation.every == 0 or step == total
                )
                stop = self.processes.any(stopped()) if step % 10 == 0 or self.processes.ranks == 1 else False
                save = stop or step % run.checkpoint_every == 0 or step == total
                if report or look or save or self.processes.device.type == "cpu":
                    self._check_finite(values, step, parts)  # before anything of it is kept
                if report:
                    self._report(step, number, factor)
                elif time.perf_counter() - self.told_at >= self.tell_every_s:
                    self._tell(self._progress(step, number, factor, self._means()))
                if look:
                    self._look(step, save=True)
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
        self.times.samples += samples

    def _check_finite(self, values: Mapping[str, Tensor], step: int, parts: Sequence[Batch]) -> None:
        self.learner.check_scales()
        if step == self.configuration.steps == self._skipped_so_far():
            raise TrainingError(
                f"All {step:,} steps were skipped, since their gradients overflowed in fp16: nothing was learnt.",
                why="The scale of losses begins at 65,536 and is halved at each such step, until gradients fit.",
                fix='Train longer, or use run.precision = "bf16" or "float32".',
            )
        wrong = [name for name, value in values.items() if not math.isfinite(value.item())]
        if not self.processes.any(bool(wrong)):
            return
        if not wrong:
            raise TrainingError(f"Step {step}: a loss is not a number in another process, which says more.")
        sources = sorted({source for part in parts for source in part.sources})
        finite = all(torch.isfinite(p.sharp).all() and torch.isfinite(p.blurred).all() for p in parts)
        raise TrainingError(
            f"Step {step}: {', '.join(f'{name} is {values[name].item()}' for name in wrong)}, and weights that follow "
            f"it are lost. The pictures of the step are {'finite' if finite else 'NOT finite'} (from "
            f"{', '.join(sources[:4])}{' and others' if len(sources) > 4 else ''}).",
            why="Most often the learning rate is too high, or half precision overflowed.",
            fix="Lower optimizer.learning_rate, set optimizer.clip_norm, warm up longer, or use bf16 or float32; "
            "the checkpoints written before this step are kept.",
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
        elapsed = time.perf_counter() - self.times.started
        return Progress(
            step=step,
            steps=self.configuration.steps,
            stage=stage,
            losses=losses,
            learning_rate=self.configuration.optimizer.learning_rate * factor,
            images_per_s=self.times.samples / elapsed,
            seconds={name: value / self.counted for name, value in self.times.seconds().items()},
            skipped=self._skipped_so_far(),
        )

    def _tell(self, progress: Progress) -> None:
        self.told_at = time.perf_counter()
        if self.on_progress is not None and self.journal is not None:
            self.on_progress(progress)

    def _report(self, step: int, stage: int, factor: float) -> None:
        self.processes.mean(self.sums.values())
        losses = self._means()
        progress = self._progress(step, stage, factor, losses)
        fp16 = {"skipped_steps": progress.skipped} if "skipped" in self.sums else {}
        self.skipped = progress.skipped
        self.sums, self.counted, self.times = {}, 0, Times(self.processes.device)
        if self.journal is not None:
            self.journal.line(
                "training",
                step,
                {
                    "stage": stage,
                    **losses,
                    **fp16,
                    "learning_rate": progress.learning_rate,
                    "images_per_s": progress.images_per_s,
                    **{f"seconds_{k}": v for k, v in progress.seconds.items()},
                },
            )
        self._tell(progress)

    def _look(self, step: int, *, save: bool) -> None:
        network = self.learner.best()
        weights = self.learner.weights() if save and self.learner.sharded else None
        begin = time.perf_counter()
        held_out = self.prepared.held_out
        assert held_out is not None
        look = held_out.look(network, self.processes, self.out / "samples" / f"{step:07d}.png" if save else None)
        self.looks.append((step, look))
        best = save and (self.best is None or self._rank(look) > self._rank(self.best))
        self.best = look if best else self.best
        if self.journal is not None:
            self.journal.line("validation", step, {**look.to_dict(), "seconds": time.perf_counter() - begin})
            if best:
                self.journal.save_best(self.learner, step, look, weights or self.learner.weights())
        done = max(step - 1, 0)
        stage = self.configuration.stage_at(done)[0]
        factor = self.configuration.schedule.at(done, self.configuration.steps)
        factor *= self.configuration.stage[stage].learning_rate_factor
        rate = self.configuration.optimizer.learning_rate * factor
        self._tell(
            Progress(step, self.configuration.steps, stage, {}, rate, 0.0, {}, look, skipped=self._skipped_so_far())
        )
        self.times.started += time.perf_counter() - begin  # looking is no part of the pace of training
        self.processes.wait()

    def _rank(self, look: ValidationResult) -> tuple[float, float]:
        assert self.configuration.validation is not None
        return look.rank(self.configuration.validation.no_harm_db)

    def _save(self, step: int) -> None:
        tensors = self.learner.tensors()
        self.processes.mean(self.sums.values())
        if self.journal is not None:
            sums = {name: value.item() for name, value in self.sums.items()}
            best = None if self.best is None else self.best.to_dict()
            more = {
                "best": best,
                **self.prepared.to_dict(),
                "skipped": self._skipped_so_far(),
                "unreported": {"steps": self.counted, "sums": sums},
            }
            self.journal.save(self.learner, step, tensors, more)
        self.processes.wait()

    def _result(self, step: int) -> Result:
        finished, skipped = step == self.configuration.steps, self._skipped_so_far()
        return Result(self.out, step, finished, tuple(self.looks), self.best, self.began_at, skipped)


def _skipped(manifest: Mapping[str, Any]) -> int:
    return int(manifest.get("skipped", 0))  # runs of earlier versions did not count


def _look_of(values: Mapping[str, Any] | None) -> ValidationResult | None:
    return None if values is None else ValidationResult.from_dict(values)


def _training_sets(configuration: Configuration, ranks: int) -> list[TrainingSet]:
    """One per stage; every picture is looked at before anything is trained."""
    looked_at: dict[str, Any] = {}
    return [
        _training_set(configuration, number, stage, looked_at, ranks)
        for number, stage in enumerate(configuration.stage)
    ]


def _training_set(
    configuration: Configuration, number: int, stage: Stage, looked_at: dict[str, Any], ranks: int
) -> TrainingSet:
    if stage.batch % (ranks * stage.accumulate):
        raise TrainingError(
            f"[[stage]] {number + 1}: a batch of {stage.batch} cannot be shared equally by {ranks} processes "
            f"in {stage.accumulate} parts each.",
            fix="Choose a batch that is a multiple of both.",
        )
    names = stage.data or tuple(configuration.data)
    sources = []
    for name in names:
        with error_context(f"[[stage]] {number + 1}, [data.{name}]"):
            sources.append(_source(name, configuration.data[name], stage, configuration, looked_at))
    return TrainingSet(
        sources,
        [configuration.data[name].share for name in names],
        seed=configuration.seed,
        augment=configuration.run.augment,
        augmentation=configuration.augmentation,
        margin_px=_margin_px(configuration, stage),
    )


def _margin_px(configuration: Configuration, stage: Stage) -> int:
    """Width of what samples have around their patch, for the augmentation."""
    return 0 if configuration.augmentation is None else configuration.augmentation.margin_px(stage.patch_px)


def _source(
    name: str, table: DataTable, stage: Stage, configuration: Configuration, looked_at: dict[str, Any]
) -> Source:
    seed = table.seed if table.seed is not None else configuration.seed
    margin = _margin_px(configuration, stage)
    if table.blur_network is not None:
        unblurred = table.replace(blur_network=None, recipe="sharp", on_device=False)
        return BlurredByNetwork(_source(name, unblurred, stage, configuration, looked_at), seed=seed)
    if table.pairs is not None:
        if name not in looked_at:
            looked_at[name] = open_pairs(table.pairs, table.sharp)
            tell_left_out(f"data.{name}", looked_at[name])
        return Crops(looked_at[name], name, size_px=stage.patch_px, seed=seed, margin_px=margin)
    assert table.photos is not None
    recipe = load_recipe(table.recipe)
    if name not in looked_at:
        looked_at[name] = scan_sources(photographs(table.photos), depth=table.depth, downscale=table.downscale)
        tell_left_out(f"data.{name}", looked_at[name])
    size = stage.patch_px + 2 * margin
    made = f"{name} of {size} px"
    if made not in looked_at:  # its draws are tried out, which takes a second
        around = f", with {margin} px around it for [augmentation]" if margin else ""
        with error_context(f"patch_px = {stage.patch_px}{around}"):
            looked_at[made] = OnlineDataset(
                looked_at[name], recipe, size_px=size, seed=seed, min_detail=table.min_detail
            )
    online = looked_at[made]
    on_device = _on_cuda(configuration.run.device) if table.on_device is None else table.on_device
    return OnTheFly(online, name, seed=seed, on_device=on_device, reuse=table.reuse)


def _on_cuda(device: str) -> bool:
    """Whether a device of this name is one of CUDA, whether or not it is there."""
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


@contextmanager
def _stopped_gently() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into a wish that is seen at the end of a step; a later one stops at once.

    Under torchrun one Ctrl-C comes twice, from the terminal and from torchrun.
    """
    wished, since = False, 0.0

    def wish(number: int, frame: FrameType | None) -> None:
        nonlocal wished, since
        if wished and time.monotonic() - since >= SAME_WISH_S:
            raise KeyboardInterrupt
        if wished:
            return
        wished, since = True, time.monotonic()
        log.warning("Stopping after this step; once more stops at once, without a checkpoint.")

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, wish)
        except ValueError:  # only the main thread of a program is told
            break
    try:
        yield lambda: wished
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
