"""Write the network of a run to ``deblur_models/weights`` in half precision: ``make weights``.

``python benchmarks/ship_network.py RUN NAME``; the model card, NAME.md, is written by hand, with the figures that this
prints where ``BLURSYNTH_REAL_DATA`` names the folder of the real pairs. It takes the last checkpoint of the run: the
learning rate is at its end there, and the validation says that sharp pictures are left alone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
from measure import table
from real_pairs import real_pairs, score, sharp_photographs

from deblur_models import load_network, save_network
from deblur_models.checkpoints.checkpoint import load_checkpoint
from deblur_models.checkpoints.shipped import FOLDER
from deblur_models.metrics import no_harm
from deblur_models.restore.network_restorer import NetworkRestorer

MOST_BYTES = 2_500_000


def main(run: Path, name: str) -> None:
    last = run / "last.safetensors"
    manifest = load_checkpoint(last).manifest
    network = load_network(last)
    kept = {key: manifest[key] for key in ("configuration", "step", "validation") if key in manifest}
    save_network(network, FOLDER / name, half=True, license="MIT", **kept)
    path = FOLDER / f"{name}.safetensors"
    if path.stat().st_size > MOST_BYTES:
        path.unlink()
        path.with_suffix(".json").unlink()
        sys.exit(f"{run}: more than {MOST_BYTES:,} bytes in half precision; choose a smaller network")
    picture = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        error = (load_network(path)(picture) - network(picture)).square().mean()
    print(f"{path}: {path.stat().st_size:,} bytes; float16 changes results by {-10 * error.log10():.0f} dB (PSNR)")
    if not path.with_suffix(".md").exists():
        print(f"its model card is missing: {path.with_suffix('.md')}")
    if folder := os.environ.get("BLURSYNTH_REAL_DATA"):
        print(figures(NetworkRestorer(load_network(path)), Path(folder)))


def figures(restorer: NetworkRestorer, folder: Path) -> str:
    """Gain in dB on real pairs, and PSNR of what becomes of sharp photographs against themselves, as tables."""

    def restored(picture: torch.Tensor) -> torch.Tensor:
        return (restorer.restore(picture).clamp(0, 1) * 255).round() / 255

    gains: dict[str, list[tuple[float, float]]] = {}
    for pair in real_pairs(folder):
        gains.setdefault(pair.group, []).append((score(pair.blurred, pair), score(restored(pair.blurred), pair)))
    rows = []
    for group, values in gains.items():
        blurred, after = np.array(values).T
        gain = after - blurred
        rows.append([group, len(gain), f"{blurred.mean():.2f}", f"{after.mean():.2f}", f"{gain.mean():+.2f}",
                     f"{gain.min():+.2f} .. {gain.max():+.2f}"])  # fmt: skip
    harm = []
    for group, pictures in sharp_photographs(folder).items():
        found = [float(no_harm(restorer, picture)) for picture in pictures]
        harm.append([group, len(found), f"{np.mean(found):.1f}", f"{min(found):.1f}"])
    return "\n\n".join(
        (
            table(["real pairs", "number", "blurred dB", "restored dB", "gain", "least .. greatest"], rows),
            table(["left alone", "number", "mean dB", "least"], harm),
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
