"""Evaluation of restorers: every metric with its protocol, grouped by blur, compared with no restoration.

A report is a folder. The measurements of a picture are written immediately (``results/RESTORER.jsonl``), so that
evaluation resumes where it was stopped. ``summary.json`` and ``index.html`` are created from those lines at the end,
next to ``pairs.jsonl``, which describes the blur of every pair. Infinite values are stored as ``"inf"`` in JSON.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blursynth.errors import BlursynthError, DatasetError, InvalidValueError, PictureError
from blursynth.io.folders import expanded
from blursynth.records.text import printable
from deblur_models.classical import turned_fits_better
from deblur_models.data.collate import values_of
from deblur_models.data.pair_set import FolderPairs, PairSample, PairSet, StoredPairs
from deblur_models.data.picture_file import write_whole
from deblur_models.evaluate.detection import DetectionTask
from deblur_models.evaluate.kernels import Kernels, kernel_of_draw
from deblur_models.evaluate.references import References
from deblur_models.evaluate.severity import PairFacts, pair_facts
from deblur_models.evaluate.speed import measure_speed, network_cost
from deblur_models.evaluate.statistics import BASELINE, by_kind, by_severity, summarize
from deblur_models.evaluate.store import Store, claim, describe_restorer, plain, restored_stem, slug, write_picture
from deblur_models.evaluate.usable_metrics import size_of
from deblur_models.metrics import Metric, best_over_trajectory, no_harm
from deblur_models.restore.network_restorer import Identity, NetworkRestorer
from deblur_models.restore.onnx_network import OnnxNetwork
from deblur_models.restore.restorer import Restorer

__all__ = ["Evaluation", "OnPicture", "evaluate"]

_LOG = logging.getLogger(__name__)


OnPicture = Callable[[int, int, str], None]
"""Called before each restoration with the number done, the total number, and a description of the next one."""


@dataclass
class Evaluation:
    """Results: ``values[restorer][index]`` are lines of the results, ``summary`` holds the content of the report."""

    facts: list[PairFacts]
    values: dict[str, dict[int, dict[str, Any]]]
    summary: dict[str, Any]
    folder: Path


@dataclass(frozen=True)
class _Plan:
    pairs: PairSet
    chosen: tuple[int, ...]
    metrics: tuple[Metric, ...]
    references: References | None
    kernels: Kernels | None
    harmed: frozenset[int]
    shown: tuple[int, ...]
    folder: Path
    detection: DetectionTask | None = None
    warned: set[str] = field(default_factory=set)


def evaluate(
    pairs: PairSet,
    restorers: Sequence[Restorer],
    out: str | Path,
    *,
    metrics: Sequence[Metric],
    references: References | None = None,
    kernels: Kernels | None = None,
    limit: int | None = None,
    harm: int = 50,
    pictures: int = 12,
    cost_px: tuple[int, int] | None = (256, 256),
    force: bool = False,
    left_out: Mapping[str, str] | None = None,
    kernels_about: str = "given",
    detection: DetectionTask | None = None,
    on_picture: OnPicture | None = None,
) -> Evaluation:
    """Measure restorers, and the unrestored blurred pictures, on pairs.

    Restored pictures are clipped to 0..1 and rounded to the codes of the set before they are measured, as if they had
    been written and read. A pair that cannot be read is skipped; ``summary["failed"]`` says which and why, and it is
    tried again when evaluation is resumed. If a given kernel explains a blurred picture clearly worse than the same
    kernel rotated by 180 degrees, a warning is logged once.

    Parameters
    ----------
    pairs
        If they have draws, the report contains tables by severity and by kind of blur.
    restorers
        They need different names. Those that need a kernel skip pictures without a single known kernel; their gain is
        computed over the same pictures without restoration.
    out
        Folder of the report. Existing results are kept if they have the same data, metrics and restorers.
    metrics
        Groups are compared by the first one; ``psnr`` must be among them. If the set has no sharp pictures, they are
        those that need none.
    references
        For sets with several sharp pictures per blurred one: adds the best PSNR over them
        (:func:`~deblur_models.metrics.best_over_trajectory`) as ``psnr_trajectory``.
    kernels
        Provides the kernel of a pair to methods; by default the kernel of its draw.
    limit
        Maximum number of pairs, evenly spread over the set.
    harm
        Number of sharp pictures, evenly spread, that restorers should leave unchanged.
    pictures
        Number of pairs, evenly spread, whose pictures are written for the report.
    cost_px
        Height and width for timing and operation counts of networks; None skips them.
    force
        Discard results of other data, metrics or restorers in the folder.
    left_out
        Metrics that are not measured, and why; shown in the report.
    kernels_about
        Origin of ``kernels``, so that results of other kernels are not mixed with these.
    detection
        A detector that judges restored pictures by the objects that it finds in them.
    on_picture
        Called before every restoration.

    Raises
    ------
    InvalidValueError
        Names are not unique, ``psnr`` is missing, a method needs kernels of real pairs, or restored pictures are not
        finite.
    DatasetError
        The folder holds results of other settings, or no pair can be read.
    """
    everything: list[Restorer] = [Identity(), *restorers]
    names = [r.name for r in everything]
    slugs = [slug(name) for name in names]
    if len(set(slugs)) < len(slugs):
        twice = next(n for n, s in zip(names, slugs, strict=True) if slugs.count(s) > 1)
        raise InvalidValueError(f"Two restorers are named {twice!r}.", fix="Give them different names.")
    if taken := {"sharp", "blurred"} & set(slugs):
        raise InvalidValueError(
            f"A restorer is named {taken.pop()!r}, like a picture of a pair.", fix="Give it another name."
        )
    measured = [m.name for m in metrics]
    if not pairs.has_sharp and (references is not None or any(m.needs_sharp for m in metrics)):
        needs = "references" if references is not None else next(m.name for m in metrics if m.needs_sharp)
        raise InvalidValueError(
            f"{pairs.name} has no sharp pictures to compare with, which {needs} needs.", fix="Measure niqe alone."
        )
    if ("psnr" not in measured and pairs.has_sharp) or not measured or len(set(measured)) < len(measured):
        raise InvalidValueError(
            f"metrics must be unique and include psnr, got {', '.join(measured) or 'none'}.",
            why="Gains over no restoration are reported in dB.",
        )
    for name, value, least in (("limit", limit, 1), ("harm", harm, 0), ("pictures", pictures, 0)):
        if value is not None and value < least:
            raise InvalidValueError(f"{name} must be >= {least}, got {value}.")
    chosen = spread(len(pairs), limit)
    blind = [r.name for r in restorers if r.needs_kernel]
    if blind and kernels is None and _without_draws(pairs, chosen):
        raise InvalidValueError(
            f"{blind[0]} needs the kernel of each picture, but the blur of {pairs.name} is unknown.",
            fix="Provide the kernels, or use a blursynth data set, which records them.",
        )
    if detection is not None:
        detection.check(_sources(pairs, chosen), has_sharp=pairs.has_sharp)
    where = [chosen[i] for i in spread(len(chosen), harm)] if harm and pairs.has_sharp else []
    shown = [chosen[i] for i in spread(len(chosen), pictures)] if pictures else []
    plan = _Plan(
        pairs, tuple(chosen), tuple(metrics), references, kernels, frozenset(where), tuple(shown), expanded(out),
        detection,
    )  # fmt: skip
    settings = {
        "data": _identity(pairs),
        "metrics": {m.name: m.protocol for m in metrics},
        "references": references is not None,
        "kernels": kernels_about if kernels is not None else "of the draws",
        "harm": sorted(plan.harmed),
        "chosen": len(chosen),
        "detection": None if detection is None else detection.about(),
    }
    claim(plan.folder, settings, force=force)
    stores = [Store(plan.folder / "results" / f"{s}.jsonl", describe_restorer(r), force=force)
              for s, r in zip(slugs, everything, strict=True)]  # fmt: skip
    facts, failed = _measure(plan, everything, stores, on_picture)
    if not facts:
        raise DatasetError(f"{pairs.name}: none of the {len(chosen)} pairs can be read. {failed[0]['why']}")
    measured_pairs = [fact.index for fact in facts]
    values = {name: store.lines for name, store in zip(names, stores, strict=True)}
    summary = summarize(measured_pairs, facts, values, plan.metrics, references is not None)
    if detection is not None:
        groups = {"severity": by_severity(facts), "kind": by_kind(facts)}
        summary["detection"] = detection.summarize(measured_pairs, values, BASELINE, groups)
        summary["protocols"] |= detection.protocol()
    summary["data"] = {"name": pairs.name, "pairs": len(pairs), "measured": len(facts), "sharp": pairs.has_sharp}
    if isinstance(pairs, FolderPairs):
        summary["data"] |= {"other_files": pairs.ignored, "not_looked_at": [list(one) for one in pairs.left_out]}
    summary["failed"] = failed
    summary["pictures"] = [
        {"index": i, "name": fact.name, "folder": f"pictures/{i:06d}",
         "shown": [n for n in names if (plan.folder / f"pictures/{i:06d}" / f"{restored_stem(n)}.png").exists()]}
        for fact in facts if (i := fact.index) in plan.shown
    ]  # fmt: skip
    summary["cost"] = {r.name: _cost(r, cost_px) for r in everything if cost_px and isinstance(r, NetworkRestorer)}
    summary["left_out"] = dict(left_out or {})
    summary["restorers"] = {r.name: _about(r, s.about) for r, s in zip(everything, stores, strict=True)}
    known = "".join(json.dumps(plain(f.to_dict()), allow_nan=False) + "\n" for f in facts)
    write_whole(plan.folder / "pairs.jsonl", known.encode())
    write_whole(plan.folder / "summary.json", (json.dumps(plain(summary), indent=1, allow_nan=False) + "\n").encode())
    return Evaluation(facts, values, summary, plan.folder)


def _measure(
    plan: _Plan, restorers: Sequence[Restorer], stores: Sequence[Store], on_picture: OnPicture | None
) -> tuple[list[PairFacts], list[dict[str, Any]]]:
    """Restore and measure pairs without results; pairs with complete results are not read.

    Also returns the pairs that cannot be read, and why.
    """
    facts: list[PairFacts] = []
    failed: list[dict[str, Any]] = []
    total = len(plan.chosen) * len(restorers)
    for place, index in enumerate(plan.chosen):
        left = [
            (number, restorer, store)
            for number, (restorer, store) in enumerate(zip(restorers, stores, strict=True))
            if index not in store.lines or _picture_missing(plan, restorer, store.lines[index])
        ]
        baseline = stores[0].lines.get(index)
        if not left and baseline is not None:
            facts.append(PairFacts.from_dict(baseline["blur"]))
            continue
        kernel: NDArray[np.floating] | None = None
        try:
            sample = plan.pairs[index]
            if any(restorer.needs_kernel for _, restorer, _ in left):
                kernel = (plan.kernels or kernel_of_draw)(sample)
        except BlursynthError as error:
            failed.append(_left_out(plan.pairs, index, error))
            continue
        if kernel is not None and plan.kernels is not None:
            _look_at_kernel(plan, sample, kernel)
        known = pair_facts(index, sample) if baseline is None else PairFacts.from_dict(baseline["blur"])
        if index in plan.shown:
            halves = {"blurred": sample.blurred} | ({"sharp": sample.sharp} if plan.pairs.has_sharp else {})
            for name, codes in halves.items():
                write_picture(_picture_file(plan, index, name), values_of(codes, "cpu")[None].contiguous())
        try:
            for number, restorer, store in left:
                if on_picture is not None:
                    on_picture(place * len(restorers) + number, total, f"{restorer.name}: {sample.name}")
                line = _measured(plan, restorer, index, sample, kernel)
                store.add({**line, "blur": known.to_dict()} if restorer.name == BASELINE else line)
        except PictureError as error:  # one of several references
            failed.append(_left_out(plan.pairs, index, error))
        else:
            facts.append(known)
    if on_picture is not None:
        on_picture(total, total, "")
    return facts, failed


def _left_out(pairs: PairSet, index: int, error: BlursynthError) -> dict[str, Any]:
    name = pairs.names[index] if isinstance(pairs, FolderPairs) else f"{index:06d}"
    _LOG.debug("%s is skipped: %s", name, error)
    return {"index": index, "name": name, "why": printable(error).rstrip(".")}


def _look_at_kernel(plan: _Plan, sample: PairSample, kernel: NDArray[np.floating]) -> None:
    if "kernels" in plan.warned or not turned_fits_better(kernel, sample.sharp, sample.blurred):
        return
    plan.warned.add("kernels")
    _LOG.warning(
        "%s: its kernel rotated by 180 degrees explains the blurred picture clearly better than the kernel itself. "
        "The blurred picture must be the sharp one convolved with the kernel; rotate kernels that are defined by "
        "correlation, such as Levin's. Other pictures are not reported.",
        sample.name,
    )


def _without_draws(pairs: PairSet, chosen: Sequence[int]) -> bool:
    """Whether the first pair that can be read has no draw."""
    for index in chosen:
        try:
            return pairs[index].draw is None
        except BlursynthError as error:
            _LOG.debug("pair %d cannot be read: %s", index, error)
    return False  # reported when they are measured


def _measured(
    plan: _Plan, restorer: Restorer, index: int, sample: PairSample, kernel: NDArray[np.floating] | None
) -> dict[str, Any]:
    """The result line of one restorer and one pair."""
    line: dict[str, Any] = {"index": index, "name": sample.name}
    if restorer.needs_kernel and kernel is None:
        return {**line, "skipped": "no single kernel is known"}
    sharp, blurred = (values_of(codes, "cpu")[None].contiguous() for codes in (sample.sharp, sample.blurred))
    top = float(np.iinfo(sample.blurred.dtype).max)
    kernels = kernel[None] if restorer.needs_kernel and kernel is not None else None
    began = time.perf_counter()
    restored = restorer.restore(blurred, kernels)
    seconds = time.perf_counter() - began
    if not bool(torch.isfinite(restored).all()):
        raise InvalidValueError(
            f"{restorer.name} produces NaN or infinite values for picture {sample.name!r}.",
            fix="Use full precision (float32), or another checkpoint.",
        )
    restored = (restored.clamp(0.0, 1.0) * top).round() / top
    line["values"] = _values(plan, restored, sharp, sample)
    if plan.detection is not None:
        line["objects"] = plan.detection.found(restored)
        if restorer.name == BASELINE:
            line |= plan.detection.truth(sample, sharp if plan.pairs.has_sharp else None)
    if index in plan.harmed and restorer.name != BASELINE:
        line["no_harm"] = float(no_harm(restorer, sharp)[0])
    line["seconds"] = seconds
    if index in plan.shown and restorer.name != BASELINE:
        write_picture(_picture_file(plan, index, restored_stem(restorer.name)), restored)
    return line


def _picture_file(plan: _Plan, index: int, name: str) -> Path:
    return plan.folder / "pictures" / f"{index:06d}" / f"{name}.png"


def _picture_missing(plan: _Plan, restorer: Restorer, line: Mapping[str, Any]) -> bool:
    """Whether the report shows this pair, but its restored picture is not written yet."""
    index = line["index"]
    if index not in plan.shown or "skipped" in line:
        return False
    name = "blurred" if restorer.name == BASELINE else restored_stem(restorer.name)
    return not _picture_file(plan, index, name).exists()


def _values(plan: _Plan, restored: Tensor, sharp: Tensor, sample: PairSample) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for metric in plan.metrics:
        try:
            value = float(metric(restored, sharp)[0])
            values[metric.name] = None if math.isnan(value) else value
        except InvalidValueError as error:  # the picture is too small for it, or flat
            values[metric.name] = None
            if metric.name not in plan.warned:
                plan.warned.add(metric.name)
                _LOG.warning("%s is not measured on %s: %s", metric.name, sample.name, error)
    if plan.references is not None:
        values["psnr_trajectory"] = best_over_trajectory(restored[0], plan.references(sample)).value
    return values


def _sources(pairs: PairSet, chosen: Sequence[int]) -> list[str]:
    """Names of the pictures that pairs come from."""
    if isinstance(pairs, FolderPairs):
        return [pairs.blurred[i].name for i in chosen]
    return [source.name for source in pairs.dataset.spec.sources] if isinstance(pairs, StoredPairs) else []


def _identity(pairs: PairSet) -> dict[str, Any]:
    if isinstance(pairs, StoredPairs):
        return {"name": pairs.name, "pairs": len(pairs), "pixels": pairs.dataset.digest.get("pixels")}
    listed: list[Any] = [size_of(pairs, i) for i in range(len(pairs))]
    if isinstance(pairs, FolderPairs):
        listed += [(name, path.stat().st_size) for name, path in zip(pairs.names, pairs.blurred, strict=True)]
    return {"name": pairs.name, "pairs": len(pairs), "pixels": hashlib.sha256(repr(listed).encode()).hexdigest()}


def _about(restorer: Restorer, about: Mapping[str, Any]) -> dict[str, Any]:
    """With the tile size that was used if memory did not suffice for the requested one."""
    if isinstance(restorer, NetworkRestorer) and restorer.tile_px != about["tile_px"]:
        return {**about, "tile_px_for_lack_of_memory": restorer.tile_px}
    return dict(about)


def _cost(restorer: NetworkRestorer, size_px: tuple[int, int]) -> dict[str, Any]:
    network = restorer.network
    speed = measure_speed(
        network, *size_px, device=restorer.device, autocast=restorer.autocast, channels_last=restorer.channels_last
    ).to_dict()
    if isinstance(network, OnnxNetwork):
        speed |= {"device": ", ".join(network.providers), "precision": network.about.get("precision", "")}
    return {**network_cost(network, *size_px).to_dict(), "speed": speed}


def spread(count: int, wanted: int | None) -> list[int]:
    """``wanted`` indices below ``count``, evenly spread and including the first; all of them for None.

    >>> spread(10, 3), spread(4, None), spread(2, 5)
    ([0, 4, 9], [0, 1, 2, 3], [0, 1])
    """
    if wanted is None or wanted >= count:
        return list(range(count))
    return sorted({int(i) for i in np.linspace(0, count - 1, wanted)})
