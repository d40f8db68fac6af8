"""Means, gains over no restoration with their intervals, and the same by groups of pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from deblur_models.evaluate.severity import PairFacts
from deblur_models.evaluate.store import FORMAT
from deblur_models.metrics import Metric
from deblur_models.restore.network_restorer import Identity

__all__ = ["BASELINE", "bootstrap_mean", "by_kind", "by_severity", "summarize"]

SEVERITY_EDGES_PX = (0.5, 1.0, 2.0, 4.0, 8.0)
BASELINE = Identity.name


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
            "best PSNR in dB of the luma over the sharp pictures along the camera's path, with the restored one scaled "
            "by least squares and shifted by whole px (after Köhler et al. 2012)"
        )
    whole = {name: _line(chosen, lines, values[BASELINE], names) for name, lines in values.items()}
    before = {i: v for i in chosen if (v := _value(values[BASELINE], i, "psnr")) is not None and math.isfinite(v)}
    return {
        "format": FORMAT,
        "protocols": {
            **protocols,
            "rounding": "restored pictures are clipped to 0..1 and rounded to the codes of the set before they are "
            "measured",
            "infinite": "pictures with infinite PSNR, blurred or restored, are excluded from means of PSNR",
            "gain": "mean over pictures of restored PSNR minus blurred PSNR, in dB, with the 95 % interval of 2000 "
            "bootstrap samples of the pictures",
            "no_harm": "PSNR in dB of a restored sharp picture against that picture, not rounded; 40 dB is invisible",
            "severity": "root mean square width in px of the combined kernel (PSF) of the draw's blurs; at the center "
            "of the picture if it varies",
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
                ("severity", by_severity(facts)),
                ("kind", by_kind(facts)),
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
        # A blurred picture that equals its sharp one is excluded from all means, so that they cover the same pictures;
        # a group without other pictures keeps them.
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
    """The gain of a metric in dB over no restoration; pictures where either is infinite are not counted."""
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
    """The percentile interval of the mean over resampled sets with this coverage; for one value, the value itself.

    It shows how much the mean depends on the choice of pictures, but not the variation between training runs.
    """
    numbers = np.asarray(values, np.float64)
    rng = np.random.Generator(np.random.Philox(seed))
    means = [numbers[rng.integers(0, len(numbers), len(numbers))].mean() for _ in range(samples)]
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def by_severity(facts: Sequence[PairFacts]) -> list[tuple[str, list[int]]]:
    edges = (0.0, *SEVERITY_EDGES_PX, math.inf)
    groups = []
    for low, high in pairwise(edges):
        label = f"{low:g} to {high:g} px" if math.isfinite(high) else f"{low:g} px and more"
        groups.append((label, [f.index for f in facts if f.severity_px is not None and low <= f.severity_px < high]))
    groups.append(("varies, unknown", [f.index for f in facts if f.severity_px is None and f.known]))
    return groups if any(f.known for f in facts) else []


def by_kind(facts: Sequence[PairFacts]) -> list[tuple[str, list[int]]]:
    kinds = sorted({kind for f in facts for kind in f.kinds})
    together: dict[tuple[int, ...], list[str]] = {}  # kinds in the same pictures form one group
    for kind in kinds:
        together.setdefault(tuple(f.index for f in facts if kind in f.kinds), []).append(kind.replace("_", " "))
    groups = [(" + ".join(names), list(members)) for members, names in together.items()]
    groups.append(("no blur", [f.index for f in facts if f.known and not f.kinds]))
    return groups if any(f.known for f in facts) else []


def _by_quartile(before: Mapping[int, float]) -> list[tuple[str, list[int]]]:
    """By the PSNR of the blurred picture; with fewer than eight pictures, quarters are meaningless."""
    if len(before) < 8:
        return []
    order = sorted(before, key=lambda i: (before[i], i))
    groups = []
    for number, part in enumerate(np.array_split(np.asarray(order), 4)):
        members = [int(i) for i in part]
        word = ("worst", "second", "third", "best")[number]
        groups.append((f"{word} quarter ({before[members[0]]:.1f} to {before[members[-1]]:.1f} dB)", members))
    return groups
