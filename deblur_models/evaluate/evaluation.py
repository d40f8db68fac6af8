"""How well pictures are restored: every metric with its protocol, by how they were blurred, beside no restoration.

A report is a folder. What is measured of a picture is written at once (``results/RESTORER.jsonl``), so that evaluation
goes on where it was stopped; ``summary.json`` and ``index.html`` are made of those lines at the end, beside
``pairs.jsonl``, which says of every pair how it was blurred. Infinite values stand as ``"inf"`` in JSON.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blursynth.core import Degradation, Draw
from blursynth.dataset.files import read_json, refuse_links, require_regular
from blursynth.errors import BlursynthError, DatasetError, InvalidValueError, PictureError
from blursynth.frame import Encoding, Frame
from blursynth.io.folders import expanded
from blursynth.io.pictures import read_header
from blursynth.records.kind import Record
from blursynth.records.text import printable
from deblur_models.classical import turned_fits_better
from deblur_models.data.pair_set import FolderPairs, PairSample, PairSet, StoredPairs
from deblur_models.data.picture_file import write_whole
from deblur_models.evaluate.speed import measure_speed, network_cost
from deblur_models.metrics import Metric, best_over_trajectory, no_harm
from deblur_models.restore.network_restorer import Identity, NetworkRestorer
from deblur_models.restore.restorer import Restorer

__all__ = [
    "Evaluation",
    "OnPicture",
    "PairFacts",
    "bootstrap_mean",
    "evaluate",
    "kernel_of_draw",
    "pair_facts",
    "severity_px",
]

_LOG = logging.getLogger(__name__)

FORMAT = 1
SEVERITY_EDGES_PX = (0.5, 1.0, 2.0, 4.0, 8.0)
BASELINE = Identity.name
_LEAST_WIDTH_PX = 0.05  # a blur narrower than this moves no code of a picture

OnPicture = Callable[[int, int, str], None]
"""Called before each restoration with the number done, the number of all, and what comes now."""

References = Callable[[PairSample], Iterable[Tensor]]
"""Several sharp pictures ``[3, H, W]`` in 0..1 of one blurred picture, along the path of the camera."""

Kernels = Callable[[PairSample], NDArray[np.floating] | None]
"""The kernel ``[K, K]`` of a pair, K odd, sum 1; None where no single one is known."""


@dataclass(frozen=True)
class PairFacts:
    """What is known of a pair's blur before anything restores it.

    Parameters
    ----------
    severity_px
        Root mean square width of the point spread that the draw's blurs make together, in px; at the middle of the
        picture where it ``varies``; None where there is no draw, or where a varying blur cannot be made again without
        its depth map.
    kinds
        Kinds of blur in the draw, without those that are too narrow to be seen.
    """

    index: int
    name: str
    source: str
    severity_px: float | None
    varies: bool
    known: bool
    kinds: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "index": self.index, "name": self.name, "source": self.source, "severity_px": self.severity_px,
            "varies": self.varies, "known": self.known, "kinds": list(self.kinds),
        }  # fmt: skip

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> PairFacts:
        return PairFacts(**{**values, "kinds": tuple(values["kinds"])})


def pair_facts(index: int, sample: PairSample) -> PairFacts:
    """See :class:`PairFacts`."""
    draw = sample.draw
    if draw is None:
        return PairFacts(index, sample.name, sample.source, None, False, False, ())
    blurs = [step for _, step in draw.steps if type(step).blurs]
    kinds = {s.kind for s in blurs if (v := _variance(s)) is None or v > _LEAST_WIDTH_PX**2}
    varies = any(type(step).varies for _, step in draw.steps)
    return PairFacts(
        index, sample.name, sample.source, severity_px(draw, sample.geometry), varies, True, tuple(sorted(kinds))
    )


def kernel_of_draw(sample: PairSample) -> NDArray[np.floating] | None:
    """The kernel of the pair's draw; None where it varies over the picture, and of real pairs."""
    return None if sample.draw is None else sample.draw.kernel()


def severity_px(draw: Draw, geometry: Frame | None = None) -> float | None:
    """``sqrt(E|x - E x|^2)`` of the place x to which the draw's blurs send the light of a point, in px.

    Variances of blurs one after another add up. A blur that varies over the picture is measured by the light of a point
    in the middle of ``geometry``, a frame that says where the picture lies; None without it, or where such a blur needs
    depth or labels that are not there.

    Not counted: resampling, demosaicking, denoising and compression, which have no point spread of their own. Negative
    weights (sinc kernels) may lower the variance, at most to 0.
    """
    total = sum(v for v in (_variance(step) for _, step in draw.steps) if v is not None)
    if any(type(step).varies for _, step in draw.steps):
        varying = _varying_variance(draw, geometry)
        if varying is None:
            return None
        total += varying
    return math.sqrt(max(total, 0.0))


def _variance(step: Degradation) -> float | None:
    """Of a blur with one point spread; None for anything else."""
    spread = step.point_spread()
    if spread is None:
        return None
    rows, columns, weight = spread.dy.astype(float), spread.dx.astype(float), spread.weight
    total = float(weight.sum())
    if not total:
        return 0.0
    center = float(weight @ rows) / total, float(weight @ columns) / total
    return float(weight @ ((rows - center[0]) ** 2 + (columns - center[1]) ** 2)) / total


def _varying_variance(draw: Draw, geometry: Frame | None) -> float | None:
    if geometry is None:
        return None
    height, width = geometry.size_px
    light = np.zeros((1, 3, height, width), np.float32)
    light[..., height // 2, width // 2] = 1.0
    frame = geometry.with_image(light, Encoding.LINEAR)
    try:
        for _, step in draw.steps:
            if type(step).varies or type(step).sets_geometry:
                frame = step(frame)
    except BlursynthError as error:
        _LOG.debug("the blur at the middle of a picture is not known: %s", error)
        return None
    arrived = np.asarray(frame.image[0].mean(axis=0), np.float64).clip(0.0, None)
    total = arrived.sum()
    if total <= 0:
        return None  # all of it left the picture
    rows, columns = np.arange(height, dtype=float), np.arange(width, dtype=float)
    by_row, by_column = arrived.sum(axis=1) / total, arrived.sum(axis=0) / total
    variance = by_row @ (rows - by_row @ rows) ** 2 + by_column @ (columns - by_column @ columns) ** 2
    return float(variance)


@dataclass
class Evaluation:
    """What was measured: ``values[restorer][index]`` are lines of the results, ``summary`` is what the report shows."""

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
    kernels_about: str = "given"
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
    on_picture: OnPicture | None = None,
) -> Evaluation:
    """Measure restorers, and the blurred pictures as they are, on pairs.

    Restored pictures are cut to 0..1 and rounded to the codes of the set before they are measured, as if they had been
    written and read. A pair that cannot be read is left out; ``summary["failed"]`` says which and why, and it is tried
    again when evaluation goes on. Where a given kernel explains a blurred picture clearly worse than the same kernel
    turned by 180 degrees, a warning says so once.

    Parameters
    ----------
    pairs
        With their draws, tables by severity and by kind of blur follow.
    restorers
        Different names. Those that need a kernel are left out of pictures where no single one is known; their gain is
        held against the same pictures without restoration.
    out
        Folder of the report. Results that are there are kept, if they are of the same data, metrics and restorers.
    metrics
        The first is what groups are compared by; ``psnr`` must be among them.
    references
        For sets with several sharp pictures per blurred one: adds the best PSNR over them
        (:func:`~deblur_models.metrics.best_over_trajectory`) as ``psnr_trajectory``.
    kernels
        What tells methods the kernel of a pair; by default its draw does.
    limit
        Only so many pairs, evenly spread over the set.
    harm
        On how many sharp pictures, evenly spread, a restorer is tried that has nothing to restore.
    pictures
        Of how many pairs, evenly spread, pictures are written for the report.
    cost_px
        Height and width at which networks are timed and counted; None leaves it out.
    force
        Throw away results of other data, metrics or restorers that are in the folder.
    left_out
        Metrics that are not measured, and why; stands in the report.
    kernels_about
        How ``kernels`` came about, where results of other kernels must not be mixed with these.
    on_picture
        Told of every restoration.

    Raises
    ------
    InvalidValueError
        Names that are not different, no ``psnr``, a method that needs kernels of real pairs, or pictures that are not
        numbers.
    DatasetError
        The folder holds results of something else, or no pair can be read.
    """
    everything: list[Restorer] = [Identity(), *restorers]
    names = [r.name for r in everything]
    slugs = [slug(name) for name in names]
    if len(set(slugs)) < len(slugs):
        twice = next(n for n, s in zip(names, slugs, strict=True) if slugs.count(s) > 1)
        raise InvalidValueError(f"Two restorers are called {twice!r}.", fix="Give them different names.")
    if taken := {"sharp", "blurred"} & set(slugs):
        raise InvalidValueError(
            f"A restorer is called {taken.pop()!r}, as the pictures of a pair are.", fix="Give it another name."
        )
    measured = [m.name for m in metrics]
    if "psnr" not in measured or len(set(measured)) < len(measured):
        raise InvalidValueError(
            f"metrics must be different and psnr among them, got {', '.join(measured) or 'none'}.",
            why="Gains over no restoration are told in dB.",
        )
    for name, value, least in (("limit", limit, 1), ("harm", harm, 0), ("pictures", pictures, 0)):
        if value is not None and value < least:
            raise InvalidValueError(f"{name} must be >= {least}, got {value}.")
    chosen = spread(len(pairs), limit)
    blind = [r.name for r in restorers if r.needs_kernel]
    if blind and kernels is None and _without_draws(pairs, chosen):
        raise InvalidValueError(
            f"{blind[0]} needs the kernel of each picture, and nothing is known of the blur of {pairs.name}.",
            fix="Give the kernels (--kernels), or measure on a data set of blursynth, which records them.",
        )
    where = [chosen[i] for i in spread(len(chosen), harm)] if harm else []
    shown = [chosen[i] for i in spread(len(chosen), pictures)] if pictures else []
    plan = _Plan(
        pairs, tuple(chosen), tuple(metrics), references, kernels, frozenset(where), tuple(shown), expanded(out),
        kernels_about,
    )  # fmt: skip
    _claim(plan, force=force)
    stores = [_Store(plan.folder / "results" / f"{s}.jsonl", describe_restorer(r), force=force)
              for s, r in zip(slugs, everything, strict=True)]  # fmt: skip
    facts, failed = _measure(plan, everything, stores, on_picture)
    if not facts:
        raise DatasetError(f"{pairs.name}: none of the {len(chosen)} pairs can be read. {failed[0]['why']}")
    measured_pairs = [fact.index for fact in facts]
    values = {name: store.lines for name, store in zip(names, stores, strict=True)}
    summary = summarize(measured_pairs, facts, values, plan.metrics, references is not None)
    summary["data"] = {"name": pairs.name, "pairs": len(pairs), "measured": len(facts)}
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
    known = "".join(json.dumps(_plain(f.to_dict()), allow_nan=False) + "\n" for f in facts)
    write_whole(plan.folder / "pairs.jsonl", known.encode())
    write_whole(plan.folder / "summary.json", (json.dumps(_plain(summary), indent=1, allow_nan=False) + "\n").encode())
    return Evaluation(facts, values, summary, plan.folder)


def _measure(
    plan: _Plan, restorers: Sequence[Restorer], stores: Sequence[_Store], on_picture: OnPicture | None
) -> tuple[list[PairFacts], list[dict[str, Any]]]:
    """Restore and measure what has no line yet; pairs that have all of theirs are not even read.

    Also gives the pairs that cannot be read, and why.
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
            for name, codes in (("sharp", sample.sharp), ("blurred", sample.blurred)):
                _write_picture(_picture_file(plan, index, name), _tensor(codes))
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
    _LOG.debug("%s is left out: %s", name, error)
    return {"index": index, "name": name, "why": printable(error).rstrip(".")}


def _look_at_kernel(plan: _Plan, sample: PairSample, kernel: NDArray[np.floating]) -> None:
    if "kernels" in plan.warned or not turned_fits_better(kernel, sample.sharp, sample.blurred):
        return
    plan.warned.add("kernels")
    _LOG.warning(
        "%s: its kernel turned by 180 degrees explains the blurred picture clearly better than the kernel itself. "
        "A picture is its sharp one convolved with the kernel; turn kernels for correlation, such as Levin's "
        "(--turn-kernels). Other pictures are not named.",
        sample.name,
    )


def _without_draws(pairs: PairSet, chosen: Sequence[int]) -> bool:
    """Whether the first pair that can be read has no draw."""
    for index in chosen:
        try:
            return pairs[index].draw is None
        except BlursynthError as error:
            _LOG.debug("pair %d cannot be read: %s", index, error)
    return False  # which is told when they are measured


def _measured(
    plan: _Plan, restorer: Restorer, index: int, sample: PairSample, kernel: NDArray[np.floating] | None
) -> dict[str, Any]:
    """The line of one restorer and one pair."""
    line: dict[str, Any] = {"index": index, "name": sample.name}
    if restorer.needs_kernel and kernel is None:
        return {**line, "skipped": "no single kernel is known"}
    sharp, blurred = _tensor(sample.sharp), _tensor(sample.blurred)
    top = float(np.iinfo(sample.blurred.dtype).max)
    kernels = kernel[None] if restorer.needs_kernel and kernel is not None else None
    began = time.perf_counter()
    restored = restorer.restore(blurred, kernels)
    seconds = time.perf_counter() - began
    if not bool(torch.isfinite(restored).all()):
        raise InvalidValueError(
            f"{restorer.name} makes values that are not numbers of picture {sample.name!r}.",
            fix="Use full precision (float32), or another checkpoint.",
        )
    restored = (restored.clamp(0.0, 1.0) * top).round() / top
    line["values"] = _values(plan, restored, sharp, sample)
    if index in plan.harmed and restorer.name != BASELINE:
        line["no_harm"] = float(no_harm(restorer, sharp)[0])
    line["seconds"] = seconds
    if index in plan.shown and restorer.name != BASELINE:
        _write_picture(_picture_file(plan, index, restored_stem(restorer.name)), restored)
    return line


def _picture_file(plan: _Plan, index: int, name: str) -> Path:
    return plan.folder / "pictures" / f"{index:06d}" / f"{name}.png"


def _picture_missing(plan: _Plan, restorer: Restorer, line: Mapping[str, Any]) -> bool:
    """Whether the report shows this pair, and its restored picture was not written yet."""
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
        except InvalidValueError as error:  # a picture that is too small for it, or flat
            values[metric.name] = None
            if metric.name not in plan.warned:
                plan.warned.add(metric.name)
                _LOG.warning("%s is not measured on %s: %s", metric.name, sample.name, error)
    if plan.references is not None:
        values["psnr_trajectory"] = best_over_trajectory(restored[0], plan.references(sample)).value
    return values


class _Store:
    """Lines of one restorer on the disk: a heading that says what it is, then one line per picture."""

    def __init__(self, path: Path, about: dict[str, Any], *, force: bool) -> None:
        self.path, self.about = path, about
        self.lines: dict[int, dict[str, Any]] = {}
        heading = json.dumps({"format": FORMAT, "restorer": about}, sort_keys=True, allow_nan=False)
        if path.exists() and not force:
            require_regular(path)
            lines = path.read_text("utf-8", errors="replace").split("\n")
            if lines[0] != heading:
                raise DatasetError(
                    f"{path}: holds results of another restorer of this name, or of other settings.",
                    fix="Give it another name (--network NAME=PATH), another --out, or --force to measure again.",
                )
            for text in lines[1:-1]:  # what follows the last end of line was cut off
                try:
                    line = json.loads(text)
                    self.lines[int(line["index"])] = _numbers(line)
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    raise DatasetError(f"{path}: is damaged.", fix="Measure again with --force.") from None
            if lines[-1] or path.stat().st_nlink > 1:  # lines are added to it, and shall not be added to another file
                write_whole(path, ("\n".join(lines[:-1]) + "\n").encode())
        else:
            write_whole(path, f"{heading}\n".encode())

    def add(self, line: dict[str, Any]) -> None:
        self.lines[line["index"]] = line
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_plain(line), allow_nan=False) + "\n")


def _claim(plan: _Plan, *, force: bool) -> None:
    """Say in the folder what is measured in it, or see that it is the same as before."""
    settings = {
        "format": FORMAT,
        "data": _identity(plan.pairs),
        "metrics": {m.name: m.protocol for m in plan.metrics},
        "references": plan.references is not None,
        "kernels": plan.kernels_about if plan.kernels is not None else "of the draws",
        "harm": sorted(plan.harmed),
        "chosen": len(plan.chosen),
    }
    if plan.folder.is_dir():
        refuse_links(plan.folder)  # lines are added to what lies there, and --force deletes
    path = plan.folder / "settings.json"
    content = (json.dumps(settings, indent=1, allow_nan=False) + "\n").encode()
    if path.exists() and not force:
        try:
            there = read_json(path, "the settings of the evaluation")
        except DatasetError:
            there = {}
        other = [k for k in settings if there.get(k) != settings[k]]
        if other:
            words = {"data": "data", "metrics": "metrics", "references": "references", "harm": "pictures for no harm",
                     "chosen": "numbers of pairs", "format": "versions", "kernels": "kernels"}  # fmt: skip
            raise DatasetError(
                f"{plan.folder}: holds a report of other {' and '.join(words[k] for k in other)}.",
                fix="Choose another --out, or --force to measure again.",
            )
        return
    if force:
        for old in (plan.folder / "results").glob("*.jsonl"):
            old.unlink()
        for old in (plan.folder / "pictures").glob("*/*.png"):
            old.unlink()
    write_whole(path, content)


def _identity(pairs: PairSet) -> dict[str, Any]:
    if isinstance(pairs, StoredPairs):
        return {"name": pairs.name, "pairs": len(pairs), "pixels": pairs.dataset.digest.get("pixels")}
    listed: list[Any] = [size_of(pairs, i) for i in range(len(pairs))]
    if isinstance(pairs, FolderPairs):
        listed += [(name, path.stat().st_size) for name, path in zip(pairs.names, pairs.blurred, strict=True)]
    return {"name": pairs.name, "pairs": len(pairs), "pixels": hashlib.sha256(repr(listed).encode()).hexdigest()}


def size_of(pairs: PairSet, index: int) -> tuple[int, int] | None:
    """Height and width of a pair; None where it cannot be read."""
    try:
        if isinstance(pairs, FolderPairs):  # which looks at all of its files together
            info = read_header(pairs.blurred[index])
            return info.height, info.width
        return pairs.size_px(index)
    except PictureError:
        return None


def describe_restorer(restorer: Restorer) -> dict[str, Any]:
    """What decides its results, as plain values; of a network also the hash of its weights."""
    about: dict[str, Any] = {"name": restorer.name}
    if isinstance(restorer, NetworkRestorer):
        digest = hashlib.sha256()
        for name, tensor in restorer.network.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        about |= {
            "network": restorer.network.config.to_dict(),
            "weights": digest.hexdigest(),
            "tile_px": restorer.tile_px,
            **({"whole_up_to_px": restorer.whole_up_to_px} if restorer.whole_up_to_px else {}),
            "overlap_px": restorer.overlap_px,
            "ensemble": restorer.ensemble,
            **({"padding": restorer.padding} if restorer.padding != "mirror" else {}),
            "precision": "float32" if restorer.autocast is None else str(restorer.autocast).removeprefix("torch."),
        }
    elif isinstance(restorer, Record):
        about |= restorer.fields()
    return about


def _about(restorer: Restorer, about: Mapping[str, Any]) -> dict[str, Any]:
    """With the tile that was left where memory did not suffice for the one that was asked for."""
    if isinstance(restorer, NetworkRestorer) and restorer.tile_px != about["tile_px"]:
        return {**about, "tile_px_for_lack_of_memory": restorer.tile_px}
    return dict(about)


def _cost(restorer: NetworkRestorer, size_px: tuple[int, int]) -> dict[str, Any]:
    network = restorer.network
    return {
        **network_cost(network, *size_px).to_dict(),
        "speed": measure_speed(
            network, *size_px, device=restorer.device, autocast=restorer.autocast, channels_last=restorer.channels_last
        ).to_dict(),
    }


def summarize(
    chosen: Sequence[int],
    facts: Sequence[PairFacts],
    values: Mapping[str, Mapping[int, Mapping[str, Any]]],
    metrics: Sequence[Metric],
    trajectory: bool = False,
) -> dict[str, Any]:
    """Means, gains over no restoration with their intervals, and the same by groups of pictures."""
    names = [m.name for m in metrics] + (["psnr_trajectory"] if trajectory else [])
    protocols = {m.name: m.protocol for m in metrics}
    if trajectory:
        protocols["psnr_trajectory"] = (
            "best PSNR in dB of the luma over the sharp pictures along the camera's path, the restored one scaled by "
            "least squares and moved by whole px (after Köhler et al. 2012)"
        )
    whole = {name: _line(chosen, lines, values[BASELINE], names) for name, lines in values.items()}
    before = {i: v for i in chosen if (v := _value(values[BASELINE], i, "psnr")) is not None and math.isfinite(v)}
    return {
        "format": FORMAT,
        "protocols": {
            **protocols,
            "rounding": "restored pictures are cut to 0..1 and rounded to the codes of the set before they are "
            "measured",
            "infinite": "pictures whose PSNR is infinite, blurred or restored, are in no mean of PSNR",
            "gain": "mean over pictures of PSNR restored minus PSNR blurred, in dB, with the 95 % interval of 2000 "
            "bootstrap samples of the pictures",
            "no_harm": "PSNR in dB of a restored sharp picture against that picture, not rounded; 40 dB cannot be seen",
            "severity": "root mean square width in px of the point spread of the draw's blurs; at the middle of the "
            "picture where it varies",
        },
        "better": {**{m.name: m.better for m in metrics}, **({"psnr_trajectory": "higher"} if trajectory else {})},
        "overall": whole,
        "groups": {
            title: [
                {
                    "group": label,
                    "pictures": len(members),
                    "restorers": {n: _line(members, lines, values[BASELINE], names) for n, lines in values.items()},
                }
                for label, members in groups
                if members
            ]
            for title, groups in (
                ("severity", _by_severity(facts)),
                ("kind", _by_kind(facts)),
                ("blurred_psnr", _by_quartile(before)),
            )
        },
    }


def _line(
    members: Sequence[int],
    lines: Mapping[int, Mapping[str, Any]],
    base: Mapping[int, Mapping[str, Any]],
    names: list[str],
) -> dict[str, Any]:
    found: dict[str, Any] = {"pictures": sum("values" in lines.get(i, {}) for i in members), "metrics": {}}
    for name in names:
        # A blurred picture that equals its sharp one is in no restorer's mean, so that all means are over the same
        # pictures; a group that holds nothing else keeps them.
        same = [i for i in members if not math.isinf(_value(base, i, name) or 0.0)] or members
        numbers = [v for i in same if (v := _value(lines, i, name)) is not None]
        finite = [v for v in numbers if math.isfinite(v)]
        infinite = sum(math.isinf(_value(lines, i, name) or 0.0) for i in members)
        found["metrics"][name] = {
            "mean": float(np.mean(finite)) if finite else math.inf if numbers else None,
            "pictures": len(finite) or len(numbers),
            **({"infinite": infinite} if infinite else {}),
        }
    for name in names:
        if name.startswith("psnr") and (gain := _gain(members, lines, base, name)) is not None:
            found["gain" if name == "psnr" else f"gain_{name.removeprefix('psnr_')}"] = gain
    harm = [float(lines[i]["no_harm"]) for i in members if "no_harm" in lines.get(i, {})]
    if harm:
        finite = [v for v in harm if math.isfinite(v)]
        found["no_harm"] = {
            "mean": float(np.mean(finite)) if finite else math.inf, "least": min(harm), "pictures": len(harm),
            "above_40_db": float(np.mean(np.asarray(harm) > 40)),
        }  # fmt: skip
    seconds = [float(lines[i]["seconds"]) for i in members if "seconds" in lines.get(i, {})]
    found["seconds"] = float(np.median(seconds)) if seconds else None
    return found


def _gain(
    members: Sequence[int], lines: Mapping[int, Mapping[str, Any]], base: Mapping[int, Mapping[str, Any]], name: str
) -> dict[str, Any] | None:
    """Of a metric in dB over no restoration; pictures where either is infinite are not counted."""
    gains = []
    for i in members:
        after, before = _value(lines, i, name), _value(base, i, name)
        if after is not None and before is not None and math.isfinite(after) and math.isfinite(before):
            gains.append(after - before)
    if not gains:
        return None
    low, high = bootstrap_mean(gains)
    worse = float(np.mean(np.asarray(gains) < 0))
    return {"mean": float(np.mean(gains)), "low": low, "high": high, "pictures": len(gains), "worse": worse}


def _value(lines: Mapping[int, Mapping[str, Any]], index: int, name: str) -> float | None:
    value = lines.get(index, {}).get("values", {}).get(name)
    return None if value is None else float(value)


def bootstrap_mean(
    values: Sequence[float], *, samples: int = 2000, share: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The interval of the mean that holds this share of resampled sets (percentiles); the value itself of a single one.

    It tells how far the mean depends on which pictures are in the set. Not told: what another training run would give.
    """
    numbers = np.asarray(values, np.float64)
    rng = np.random.Generator(np.random.Philox(seed))
    means = [numbers[rng.integers(0, len(numbers), len(numbers))].mean() for _ in range(samples)]
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def _by_severity(facts: Sequence[PairFacts]) -> list[tuple[str, list[int]]]:
    edges = (0.0, *SEVERITY_EDGES_PX, math.inf)
    groups = []
    for low, high in pairwise(edges):
        label = f"{low:g} to {high:g} px" if math.isfinite(high) else f"{low:g} px and more"
        groups.append((label, [f.index for f in facts if f.severity_px is not None and low <= f.severity_px < high]))
    groups.append(("varies, not known", [f.index for f in facts if f.severity_px is None and f.known]))
    return groups if any(f.known for f in facts) else []


def _by_kind(facts: Sequence[PairFacts]) -> list[tuple[str, list[int]]]:
    kinds = sorted({kind for f in facts for kind in f.kinds})
    together: dict[tuple[int, ...], list[str]] = {}  # kinds that are in the same pictures say the same
    for kind in kinds:
        together.setdefault(tuple(f.index for f in facts if kind in f.kinds), []).append(kind.replace("_", " "))
    groups = [(" + ".join(names), list(members)) for members, names in together.items()]
    groups.append(("no blur", [f.index for f in facts if f.known and not f.kinds]))
    return groups if any(f.known for f in facts) else []


def _by_quartile(before: Mapping[int, float]) -> list[tuple[str, list[int]]]:
    """By the PSNR of the blurred picture; fewer than eight pictures have no quarters worth looking at."""
    if len(before) < 8:
        return []
    order = sorted(before, key=lambda i: (before[i], i))
    groups = []
    for number, part in enumerate(np.array_split(np.asarray(order), 4)):
        members = [int(i) for i in part]
        word = ("worst", "second", "third", "best")[number]
        groups.append((f"{word} quarter ({before[members[0]]:.1f} to {before[members[-1]]:.1f} dB)", members))
    return groups


def spread(count: int, wanted: int | None) -> list[int]:
    """So many of ``count`` numbers, evenly spread, the first one among them; all of them for None.

    >>> spread(10, 3), spread(4, None), spread(2, 5)
    ([0, 4, 9], [0, 1, 2, 3], [0, 1])
    """
    if wanted is None or wanted >= count:
        return list(range(count))
    return sorted({int(i) for i in np.linspace(0, count - 1, wanted)})


def slug(name: str) -> str:
    """A name as a part of a file's name.

    >>> slug("no restoration"), slug("NAFNet/32 (ours)")
    ('no-restoration', 'nafnet-32-ours')
    """
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-.") or "restorer"


def restored_stem(name: str) -> str:
    """What the files of a restorer's pictures are called."""
    return f"restored-{slug(name)}"


def _tensor(codes: NDArray[Any]) -> Tensor:
    top = np.float32(np.iinfo(codes.dtype).max)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(codes, -1, 0)[None] / top))


def _write_picture(path: Path, picture: Tensor) -> None:
    from io import BytesIO

    from PIL import Image

    codes = (picture[0].clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).movedim(0, -1).numpy()
    file = BytesIO()
    Image.fromarray(codes).save(file, "PNG")
    write_whole(path, file.getvalue())


def _plain(value: Any) -> Any:
    """For JSON, which has no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _numbers(line: dict[str, Any]) -> dict[str, Any]:
    """The inverse for a line of results."""
    if "values" in line:
        line["values"] = {k: None if v is None else float(v) for k, v in line["values"].items()}
    if "no_harm" in line:
        line["no_harm"] = float(line["no_harm"])
    return line
