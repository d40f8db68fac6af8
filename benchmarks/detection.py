"""What blur and restoration change for a detector, whose truth is what it finds in sharp pictures.

``BLURSYNTH_REAL_DATA=folder python benchmarks/detection.py``: YOLOX nano, photographs that nothing was trained on,
blur of the recipe ``default``; and a real pair of the GoPro set. Minutes on two cores.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from measure import machine, table, version

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate
from deblur_models.checkpoints.checkpoint import load_network
from deblur_models.classical import make_classical
from deblur_models.data import PairSet, open_pairs
from deblur_models.evaluate import DetectionTask, evaluate
from deblur_models.evaluate.detection import Yolox
from deblur_models.metrics import metric
from deblur_models.restore import NetworkRestorer, Restorer

COUNT, SIDE_PX, SEED = 104, 384, 3
PSNR = (metric("psnr"),)


def main() -> str:
    """The section of BENCHMARKS.md."""
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    title = "## Detection"
    if not folder:
        return f"{title}\n\nNot measured: the environment variable `BLURSYNTH_REAL_DATA` names no folder."
    real = Path(folder)
    gopro = real / "blur" / "gopro_nah_examples"
    photographs = [*sorted((real / "photos" / "kodak24").glob("*.png")), gopro / "Istanbul_sharp1.png"]
    task = DetectionTask(Yolox(model=str(real / "weights" / "yolox_nano" / "yolox_nano.onnx")))
    network = NetworkRestorer(load_network("photographs"), name="photographs")
    wiener = make_classical({"kind": "wiener"})
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        recipe = bs.load_recipe("default")
        request = DatasetRequest(sources=photographs, recipe=recipe, count=COUNT, size_px=SIDE_PX, seed=SEED)
        generate(request, out / "pairs", workers=1)
        made = detected(open_pairs(out / "pairs"), [network, wiener], task, out / "made")
        istanbul = open_pairs(gopro / "Istanbul_blur1.png", gopro / "Istanbul_sharp1.png")
        one = detected(istanbul, [network], task, out / "real")
    return "\n\n".join([
        title,
        f"{machine()}; {version('onnxruntime')}. `deblur evaluate PAIRS --network photographs --method wiener "
        "--detector yolox_nano.onnx`: YOLOX nano (416 px); truth is what it finds in the sharp pictures with a score "
        f"of {task.min_score:g} or more, at an IoU of .5. In percent; gains over the blurred pictures, with the 95 % "
        "intervals of the pairs, which are too narrow, since pairs share photographs.",
        f"{COUNT} pairs of {SIDE_PX} px that `default` makes of {len(photographs)} photographs (Kodak, and a frame of "
        f"GoPro): {made['objects']} objects, {classes(made)}. Wiener is given the kernels.",
        overall(made),
        by_severity(made),
        f"One real pair (GoPro Istanbul, in sight while recipes were tuned): {one['objects']} objects, {classes(one)}.",
        overall(one, intervals=False),
    ])  # fmt: skip


def detected(pairs: PairSet, restorers: list[Restorer], task: DetectionTask, out: Path) -> dict[str, Any]:
    """The detections in the summary of an evaluation."""
    found = evaluate(pairs, restorers, out, metrics=PSNR, harm=0, pictures=0, cost_px=None, detection=task)
    summary: dict[str, Any] = found.summary["detection"]
    return summary


def classes(found: dict[str, Any]) -> str:
    """The most frequent ones with their numbers."""
    shown = [f"{line['objects']} {line['class']}" for line in found["classes"][:6]]
    others = sum(line["objects"] for line in found["classes"][6:])
    return ", ".join([*shown, *([f"{others} of other classes"] if others else [])])


def overall(found: dict[str, Any], *, intervals: bool = True) -> str:
    """The main table."""
    rows = []
    for name, line in found["overall"].items():
        row = [name, line["true_positives"], line["false_positives"]]
        row += [f"{100 * line[key]:.1f}" for key in ("precision", "recall", "f1")]
        row += [gain(line, "gain_f1", intervals=intervals), f"{100 * line['map_50']:.1f}", f"{100 * line['map']:.1f}"]
        rows.append([*map(str, row), gain(line, "gain_map", intervals=intervals)])
    header = ["pictures", "found", "false", "precision", "recall", "F1", "gain", "mAP .5", "mAP .5:.95", "gain"]
    return table(header, rows)


def by_severity(found: dict[str, Any]) -> str:
    """F1 by the width of the recorded kernels."""
    rows = []
    for group in found["groups"]["severity"]:
        row = [group["group"], str(group["pictures"]), str(group["objects"])]
        for line in group["restorers"].values():
            f1 = "" if line["f1"] is None else f"{100 * line['f1']:.1f}"
            row.append(f"{f1} {gain(line, 'gain_f1', intervals=True)}".strip())
        rows.append(row)
    return table(["F1 by severity of the blur", "pairs", "objects", *found["overall"]], rows)


def gain(line: dict[str, Any], name: str, *, intervals: bool) -> str:
    if name not in line:
        return ""
    mean, low, high = (100 * line[name][key] for key in ("mean", "low", "high"))
    return f"{mean:+.1f}" + (f" ({low:+.1f} .. {high:+.1f})" if intervals else "")


if __name__ == "__main__":
    print(main())
