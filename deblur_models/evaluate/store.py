"""Stored results of an evaluation: its settings, and a line per restorer and picture.

Infinite values are stored as ``"inf"`` in JSON.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from blursynth.dataset.files import read_json, refuse_links, require_regular
from blursynth.errors import DatasetError
from blursynth.records.kind import Record
from deblur_models.data.picture_file import write_whole
from deblur_models.restore.network_restorer import NetworkRestorer
from deblur_models.restore.onnx_network import OnnxNetwork
from deblur_models.restore.pipeline import Pipeline
from deblur_models.restore.restorer import Restorer

__all__ = ["FORMAT", "Store", "claim", "describe_restorer", "plain", "restored_stem", "slug", "write_picture"]

FORMAT = 1


class Store:
    """Results of one restorer on disk: a header that describes it, then one line per picture."""

    def __init__(self, path: Path, about: dict[str, Any], *, force: bool) -> None:
        self.path, self.about = path, about
        self.lines: dict[int, dict[str, Any]] = {}
        heading = json.dumps({"format": FORMAT, "restorer": about}, sort_keys=True, allow_nan=False)
        if path.exists() and not force:
            require_regular(path)
            lines = path.read_text("utf-8", errors="replace").split("\n")
            if lines[0] != heading:
                raise DatasetError(
                    f"{path}: holds results of another restorer with this name, or of other settings.",
                    fix="Give it another name, choose another folder, or discard the old results (force).",
                )
            for text in lines[1:-1]:  # text after the last newline was cut off
                try:
                    line = json.loads(text)
                    self.lines[int(line["index"])] = _numbers(line)
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    raise DatasetError(f"{path}: is damaged.", fix="Discard the old results (force).") from None
            if lines[-1] or path.stat().st_nlink > 1:  # do not append through a hard link to another file
                write_whole(path, ("\n".join(lines[:-1]) + "\n").encode())
        else:
            write_whole(path, f"{heading}\n".encode())

    def add(self, line: dict[str, Any]) -> None:
        self.lines[line["index"]] = line
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain(line), allow_nan=False) + "\n")


def claim(folder: Path, settings: Mapping[str, Any], *, force: bool) -> None:
    """Record the settings of an evaluation in its folder, or check that they are unchanged unless ``force``."""
    if folder.is_dir():
        refuse_links(folder)  # existing files are appended to, and force deletes them
    path = folder / "settings.json"
    settings = {"format": FORMAT, **settings}
    if path.exists() and not force:
        try:
            there = read_json(path, "the settings of the evaluation")
        except DatasetError:
            there = {}
        other = [k for k in settings if there.get(k) != settings[k]]
        if other:
            words = {"data": "data", "metrics": "metrics", "references": "references", "harm": "pictures for no harm",
                     "chosen": "numbers of pairs", "format": "versions", "kernels": "kernels",
                     "detection": "detectors"}  # fmt: skip
            raise DatasetError(
                f"{folder}: holds a report with other {' and '.join(words[k] for k in other)}.",
                fix="Choose another folder, or discard the old results (force).",
            )
        return
    if force:
        for old in (folder / "results").glob("*.jsonl"):
            old.unlink()
        for old in (folder / "pictures").glob("*/*.png"):
            old.unlink()
    write_whole(path, (json.dumps(settings, indent=1, allow_nan=False) + "\n").encode())


def describe_restorer(restorer: Restorer) -> dict[str, Any]:
    """The settings that determine its results, as plain values; for a network, also the hash of its weights."""
    about: dict[str, Any] = {"name": restorer.name}
    if isinstance(restorer, NetworkRestorer):
        digest = hashlib.sha256()
        if isinstance(restorer.network, OnnxNetwork):
            digest.update(restorer.network.path.read_bytes())
            about["providers"] = list(restorer.network.providers)
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
    elif isinstance(restorer, Pipeline):
        about["steps"] = [describe_restorer(step) for step in restorer.steps]
    elif isinstance(restorer, Record):
        about |= restorer.fields()
    return about


def slug(name: str) -> str:
    """A name as part of a file name.

    >>> slug("no restoration"), slug("NAFNet/32 (ours)")
    ('no-restoration', 'nafnet-32-ours')
    """
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-.") or "restorer"


def restored_stem(name: str) -> str:
    """The file name, without suffix, of a restorer's pictures."""
    return f"restored-{slug(name)}"


def write_picture(path: Path, picture: Tensor) -> None:
    """Write a picture ``[1, 3, H, W]`` as an 8-bit PNG."""
    codes = (picture[0].clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).movedim(0, -1).numpy()
    file = BytesIO()
    Image.fromarray(codes).save(file, "PNG")
    write_whole(path, file.getvalue())


def plain(value: Any) -> Any:
    """A value for JSON, which has no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def _numbers(line: dict[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`plain` for a line of results."""
    if "values" in line:
        line["values"] = {k: None if v is None else float(v) for k, v in line["values"].items()}
    if "no_harm" in line:
        line["no_harm"] = float(line["no_harm"])
    return line
