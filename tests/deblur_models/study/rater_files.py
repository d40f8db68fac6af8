"""Files as raters send them back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deblur_models.study import StudyKey


def rater_file(
    key: StudyKey, seed: int, answer: Callable[[tuple[str, ...], int], Any], **changes: Any
) -> dict[str, Any]:
    """What the page writes; ``answer`` is given what a trial shows, and the picture."""
    given = [
        {
            "trial": name,
            "part": part,
            "answer": answer(trial.methods, trial.content),
            "swapped": False,
            "ms": 2000 + seed,
        }
        for part, trials in (
            ("practice", {name: trial for name, trial in key.trials.items() if trial.practice}),
            ("test", key.counted),
            ("repeat", dict(list(key.counted.items())[: key.repeats])),
        )
        for name, trial in trials.items()
    ]
    conditions = {
        "diagonal_inches": 24, "distance_cm": 60, "device": "monitor", "light": "dim", "vision": "corrected",
        "color_vision": "normal", "expert": "no", "age": "30 to 49",
    }  # fmt: skip
    screen = {"width": 1920, "height": 1080, "ratio": 1.25, "inner_width": 1500, "inner_height": 800}
    return {
        "format": 1, "study": key.study, "seed": seed, "participant": "", "begun": "2024-05-01T10:00:00.000Z",
        "last_ms": 1714557600000, "session_ms": 90000, "conditions": conditions, "screens": [screen], "answers": given,
        **changes,
    }  # fmt: skip


def write(folder: Path, content: dict[str, Any], name: str = "") -> Path:
    path = folder / (name or f"answers-{content['seed']}.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path
