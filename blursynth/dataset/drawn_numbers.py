"""The numbers that were drawn for the samples of a data set, step by step, for those who show their distribution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from blursynth.core import Degradation
from blursynth.dataset.manifest import finished_shards
from blursynth.dataset.reader import Dataset

__all__ = ["DrawnStep", "drawn_numbers", "field_order", "some_records"]

MOST_RECORDS = 20_000  # more take time to read and do not change a histogram


@dataclass(frozen=True)
class DrawnStep:
    """A kind of a step: how many of the samples had it, and the values of its fields that were not always the same."""

    name: str
    kind: str
    count: int
    fields: dict[str, list[Any]]


def some_records(opened: Dataset, most: int = MOST_RECORDS) -> list[dict[str, Any]]:
    """Records of the existing samples, evenly spaced if there are very many."""
    spec = opened.spec
    every = max(1, spec.count // most)
    present = set(finished_shards(opened.path))
    return [opened.record(i) for i in range(0, spec.count, every) if i // spec.shard_length in present]


def drawn_numbers(records: Sequence[dict[str, Any]], kinds: Sequence[type[Degradation]]) -> Iterator[DrawnStep]:
    """The kinds of each step, most frequent first; seeds are left out. Nothing of real pairs."""
    draws = [record["draw"] for record in records if record["draw"] is not None]
    for position, first in enumerate(draws[0]["step"] if draws else ()):
        steps = [draw["step"][position] for draw in draws]
        for kind, count in Counter(step["kind"] for step in steps).most_common():
            mine = [step for step in steps if step["kind"] == kind]
            values = {
                field: [step[field] for step in mine if step[field] is not None]
                for field in field_order(mine[0], kinds)
                if field != "seed"
            }
            varied = {field: found for field, found in values.items() if len(set(found)) > 1}
            yield DrawnStep(first["name"], kind, count, varied)


def field_order(step: dict[str, Any], kinds: Sequence[type[Degradation]]) -> list[str]:
    """The fields of a step, in the order in which its kind declares them."""
    declared = next((list(kind.model_fields) for kind in kinds if kind.kind == step["kind"]), [])
    return [name for name in declared if name in step]
