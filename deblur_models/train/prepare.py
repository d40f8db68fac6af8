"""Inputs of a run besides its device, checked before the first step: weights, networks, pictures and pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from blursynth.dataset import DatasetRequest, ObjectCache, OnlineDataset, scan_sources
from blursynth.dataset.schema import check_recipe
from blursynth.errors import BlursynthError, DatasetError
from deblur_models.checkpoints.checkpoint import blur_generator_of, load_checkpoint
from deblur_models.config.configuration import Configuration, DataTable, Stage
from deblur_models.data import BlurredByNetwork, Crops, OnTheFly, Source, TrainingSet, open_pairs
from deblur_models.data.skipped import log_skipped
from deblur_models.networks import BlurGenerator
from deblur_models.train.initial import InitialNetworks, initial_networks
from deblur_models.train.learner import TrainingError
from deblur_models.train.processes import rank_and_world_size
from deblur_models.train.validation import HeldOut

__all__ = ["Prepared", "compare", "prepare", "training_sets"]


@dataclass(frozen=True)
class Prepared:
    """The checked inputs of a run besides its device."""

    initial: InitialNetworks
    stages: Sequence[TrainingSet]
    held_out: HeldOut | None
    blurring: Mapping[str, BlurGenerator]
    """Networks that blur sharp pictures, by the names of the data tables that use them."""
    fingerprints: Mapping[str, str]
    """Hashes of the pictures and the blur of each data table: of their content, not of their location."""

    def to_dict(self) -> dict[str, Any]:
        """The part that a checkpoint stores."""
        return {"data": dict(self.fingerprints), "held_out": self.held_out.fingerprint if self.held_out else None}


def prepare(configuration: Configuration) -> Prepared:
    """Check all inputs of a run besides its device: weights files, networks, pictures, pairs."""
    for number, loss in enumerate(configuration.loss, 1):
        with _at(f"[[loss]] {number}"):
            loss.check_ready()
    for number, loss in enumerate(configuration.teacher.loss if configuration.teacher is not None else (), 1):
        with _at(f"[[teacher.loss]] {number}"):
            loss.check_ready()
    initial = initial_networks(configuration)
    blurring = {}
    prints: dict[str, list[str]] = {}
    for name, table in configuration.data.items():
        if table.blur_network is not None:
            with _at(f"[data.{name}]"):
                checkpoint = load_checkpoint(table.blur_network)
                blurring[name] = blur_generator_of(checkpoint, table.blur_network)
                prints[name] = [checkpoint.manifest["sha256"]]
    rank, ranks = rank_and_world_size()  # data is checked before the process group is created
    stages = training_sets(configuration, ranks)
    held_out = None
    if configuration.validation is not None:
        with _at("[validation]"):
            held_out = HeldOut(configuration.validation, rank, ranks)
    for stage in stages:
        for source in stage.sources:
            prints.setdefault(source.name, []).append(source.fingerprint())
    together = {name: hashlib.sha256("".join(of_it).encode()).hexdigest() for name, of_it in prints.items()}
    return Prepared(initial, stages, held_out, blurring, together)


def compare(out: str | Path, before: Mapping[str, Any], now: Prepared, moved: Sequence[str]) -> None:
    """Refuse to resume a run with other pictures, another blur or another teacher than it was started with."""
    teacher = now.initial.distillation
    if teacher is not None and before.get("teacher_sha256") != teacher.sha256:
        raise DatasetError(
            f"{out}: the teacher {teacher.settings.network} has other weights than the one the run was started with.",
            why="Resuming would produce a run that no configuration describes.",
            fix="Restore the previous teacher, or choose another folder.",
        )
    prints = now.to_dict()
    changed = [f"[data.{name}]" for name in prints["data"] if before["data"].get(name) != prints["data"][name]]
    if before.get("held_out", prints["held_out"]) != prints["held_out"]:
        changed.append("[validation]")
    if changed:
        other = f" ({'; '.join(moved)})" if moved else ""
        raise DatasetError(
            f"{out}: the data of {changed[0]} has changed since the run was started: pictures, pairs, recipe or "
            f"network{other}.",
            why="Resuming would produce a run that no configuration describes.",
            fix="Restore the previous data. To continue training the weights with the current data, choose a new "
            f'folder and write start_from = "{out}" at the top of the configuration.',
        )


@contextmanager
def _at(table: str) -> Iterator[None]:
    """Add the table of the configuration to errors."""
    try:
        yield
    except BlursynthError as error:
        raise error.at(table) from None


def training_sets(configuration: Configuration, ranks: int) -> list[TrainingSet]:
    """One training set per stage; every picture is checked before training starts."""
    scanned: dict[str, Any] = {}
    return [
        _training_set(configuration, number, stage, scanned, ranks) for number, stage in enumerate(configuration.stage)
    ]


def _training_set(
    configuration: Configuration, number: int, stage: Stage, scanned: dict[str, Any], ranks: int
) -> TrainingSet:
    if stage.batch % (ranks * stage.accumulate):
        raise TrainingError(
            f"[[stage]] {number + 1}: a batch of {stage.batch} cannot be divided equally among {ranks} processes "
            f"in {stage.accumulate} parts each.",
            fix="Choose a batch size that is a multiple of their product.",
        )
    names = stage.data or tuple(configuration.data)
    sources = []
    for name in names:
        with _at(f"[[stage]] {number + 1}, [data.{name}]"):
            sources.append(_source(name, configuration.data[name], stage, configuration, scanned))
    return TrainingSet(
        sources,
        [configuration.data[name].share for name in names],
        seed=configuration.seed,
        augment=configuration.run.augment,
        augmentation=configuration.augmentation,
        margin_px=_margin_px(configuration, stage),
    )


def _margin_px(configuration: Configuration, stage: Stage) -> int:
    """Width of the margin around each patch, for the augmentation."""
    return 0 if configuration.augmentation is None else configuration.augmentation.margin_px(stage.patch_px)


def _cache(configuration: Configuration) -> ObjectCache | None:
    """Where pairs in object storage are kept, if anywhere."""
    run = configuration.run
    return ObjectCache(run.cache, size_bytes=round(run.cache_gb * 1e9)) if run.cache else None


def _source(name: str, table: DataTable, stage: Stage, configuration: Configuration, scanned: dict[str, Any]) -> Source:
    seed = table.seed if table.seed is not None else configuration.seed
    margin = _margin_px(configuration, stage)
    if table.blur_network is not None:
        of_photos = {"recipe": "sharp", "on_device": False} if table.photos is not None else {}
        unblurred = table.replace(blur_network=None, **of_photos)
        return BlurredByNetwork(_source(name, unblurred, stage, configuration, scanned), seed=seed)
    if table.pairs is not None:
        if name not in scanned:
            scanned[name] = open_pairs(table.pairs, table.sharp, cache=_cache(configuration))
            log_skipped(f"data.{name}", scanned[name])
        return Crops(scanned[name], name, size_px=stage.patch_px, seed=seed, margin_px=margin)
    assert table.photos is not None
    size = stage.patch_px + 2 * margin
    request = DatasetRequest(
        sources=table.photos, recipe=table.recipe, size_px=size, seed=seed, depth=table.depth,
        downscale=table.downscale, min_detail=table.min_detail,
    )  # fmt: skip
    check_recipe(request.loaded_recipe)  # before the scan, which may take a long time
    if name not in scanned:
        scanned[name] = scan_sources(request.sources, depth=request.depth, downscale=request.downscale)
        log_skipped(f"data.{name}", scanned[name])
    made = f"{name} of {size} px"
    if made not in scanned:  # its draws are tested, which takes a second
        around = f", with {margin} px around it for [augmentation]" if margin else ""
        with _at(f"patch_px = {stage.patch_px}{around}"):
            scanned[made] = OnlineDataset(request, scan=scanned[name])
    online = scanned[made]
    on_device = _on_cuda(configuration.run.device) if table.on_device is None else table.on_device
    return OnTheFly(online, name, seed=seed, on_device=on_device, reuse=table.reuse)


def _on_cuda(device: str) -> bool:
    """Whether this is the name of a CUDA device, available or not."""
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
