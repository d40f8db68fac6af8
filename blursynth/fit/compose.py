"""A recipe file from what was found: every number with a comment of how."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.fit.camera import Camera, Step, camera_steps
from blursynth.fit.components import COMPONENTS, blur_steps

__all__ = ["recipe_text", "shake_options"]

_TARGET_QUALITY = 97  # of the sharp picture's file at least: blocks are to be restored
_LEAST_SHARE = 0.005  # of an option of the recipe; the others share what rarer ones had


def shake_options(shares: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The options of a ``one_of`` with the shares of the components as weights, without the rarest."""
    kept = np.where(shares >= min(_LEAST_SHARE, float(shares.max())), shares, 0.0)
    kept = kept / kept.sum()
    pairs = zip(COMPONENTS, kept.tolist(), strict=True)
    return [{"weight": round(share, 4), **component.option()} for component, share in pairs if share > 0]


def recipe_text(camera: Camera, shares: NDArray[np.float64], *, summary: str, source: str, blur: str) -> str:
    """The text of a recipe's TOML file; ``blur`` says how the lengths were found."""
    head = [f"summary = {_toml(summary)}", f"source = {_toml(source)}"]
    head += [
        "",
        "[target] # the same camera without its blur and noise: what real pairs have",
        'kind = "short_exposure"',
    ]
    head += ['without = ["shake"] # a disc is to be restored, too']
    head += [f"quality = {_TARGET_QUALITY}"] if camera.jpeg else []
    lens = camera.how.get("lens_sigma_px", "prior")
    steps = camera_steps(camera, blur_steps(camera.lens_sigma_px, shake_options(shares), lens))
    comments = {"shake": blur}
    return "\n".join([*head, *(_step(step, comments.get(step.name, "")) for step in steps)]) + "\n"


def _step(step: Step, comment: str) -> str:
    lines = [f"\n[[step]]{f' # {comment}' if comment else ''}", f"name = {_toml(step.name)}"]
    values = dict(step.values)
    options: Sequence[Mapping[str, Any]] = values.pop("one_of", ())
    for name, value in values.items():
        how = "" if name == "kind" else step.how.get(name, "")
        lines.append(f"{name} = {_toml(value)}{f' # {how}' if how else ''}")
    for option in options:
        lines += ["", "[[step.one_of]]", *(f"{name} = {_toml(value)}" for name, value in option.items())]
    return "\n".join(lines)


def _toml(value: Any) -> str:
    """A value as TOML, tables inline.

    >>> _toml({"choice": ["a", 2], "weights": [0.5, 1]})
    '{ choice = ["a", 2], weights = [0.5, 1] }'
    """
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
