"""A classical method before a network, in low light, against each alone.

``BLURSYNTH_REAL_DATA=folder python benchmarks/prefilter.py``: pairs of photographs that nothing was trained on, with
known kernels. Minutes on two cores.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from measure import machine, table

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate
from deblur_models.checkpoints.checkpoint import load_network
from deblur_models.classical import make_classical
from deblur_models.data import open_pairs
from deblur_models.evaluate import bootstrap_mean, evaluate, usable_metrics
from deblur_models.metrics import metric
from deblur_models.restore import NetworkRestorer, Pipeline, Restorer

COUNT, SIDE_PX, SEED = 36, 192, 5

# What Wiener's derivation assumes, but for the noise, which grows with the light: nothing but a shake and a sensor.
SHOT_NOISE = """
[[step]]
kind = "decode"

[[step]]
name = "shake"
kind = "random_walk_motion"
length_px = { uniform = [10.0, 40.0] }
anxiety = 0.005
gaussian = 4.0
heading_deg = { uniform = [0.0, 360.0] }

[[step]]
name = "noise"
kind = "poisson_noise"
peak = 1.0

[[step]]
kind = "encode"
"""


def main() -> str:
    """The section of BENCHMARKS.md."""
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    title = "## A classical method before a network"
    if not folder:
        return f"{title}\n\nNot measured: the environment variable `BLURSYNTH_REAL_DATA` names no folder."
    photographs = sorted((Path(folder) / "photos" / "kodak24").glob("*.png"))
    parts = [
        title,
        f"{machine()}. `deblur evaluate --network photographs --method wiener --pipeline wiener+photographs ...` on "
        f"{COUNT} pairs of {SIDE_PX} px for each condition, of {len(photographs)} photographs (Kodak) that the network "
        "has not seen, with the kernels of the draws. Gain in dB over the blurred picture, and that of pipelines over "
        "Wiener alone, with the 95 % intervals of the pairs.",
    ]
    for name, recipe in conditions().items():
        parts.append(measured(name, recipe, photographs))
    return "\n\n".join(parts)


def conditions() -> dict[str, bs.Recipe]:
    """From what a phone makes of the night to shot noise alone."""
    found = {"`phone-night`: its own curve, ISO 100 to 6400, denoised, sharpened, JPEG": bs.load_recipe("phone-night")}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shot-noise.toml"
        file.write_text(SHOT_NOISE)
        for peak in (2000, 200, 50):
            name = f"paths of 10 to 40 px, shot noise of {peak:,} electrons at white"
            found[name] = bs.load_recipe(file, changes={"noise.peak": float(peak)})
    return found


def measured(name: str, recipe: bs.Recipe, photographs: list[Path]) -> str:
    """The table of one condition."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "pairs"
        request = DatasetRequest(sources=photographs, recipe=recipe, count=COUNT, size_px=SIDE_PX, seed=SEED)
        generate(request, out, workers=1)
        pairs = open_pairs(out)
        metrics, missing = usable_metrics([metric(one) for one in ("psnr", "ssim", "lpips")], pairs)
        found = evaluate(
            pairs, restorers(), Path(temporary) / "report", metrics=metrics, harm=0, pictures=0, cost_px=None
        )
    wiener = found.values["wiener"]
    rows = []
    for restorer, line in found.summary["overall"].items():
        row = [restorer, *(f"{line['metrics'][m.name]['mean']:.{2 if m.name == 'psnr' else 3}f}" for m in metrics)]
        gain = line.get("gain") if restorer != "no restoration" else None
        row.append("" if gain is None else f"{gain['mean']:+.2f} ({gain['low']:+.2f} .. {gain['high']:+.2f})")
        if "+" in restorer:
            lines = found.values[restorer]
            over = [lines[i]["values"]["psnr"] - wiener[i]["values"]["psnr"] for i in wiener]
            low, high = bootstrap_mean(over)
            row.append(f"{sum(over) / len(over):+.2f} ({low:+.2f} .. {high:+.2f})")
        rows.append([*row, ""][: len(metrics) + 3])
    header = [
        name,
        *(("PSNR dB" if m.name == "psnr" else m.name.upper()) for m in metrics),
        "gain",
        "over Wiener alone",
    ]
    note = f"\n\nNot measured: {', '.join(missing)}, whose weights are not installed." if missing else ""
    return table(header, rows) + note


def restorers() -> list[Restorer]:
    """Each alone, then one after the other."""
    network = NetworkRestorer(load_network("photographs"), name="photographs")
    wiener = make_classical({"kind": "wiener"})
    return [network, wiener, Pipeline([wiener, network]), Pipeline([network, wiener])]


if __name__ == "__main__":
    print(main())
