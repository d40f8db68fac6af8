"""Write the network of a run to ``deblur_models/weights`` in half precision: ``make weights``.

``python benchmarks/ship_network.py RUN NAME``; the model card, NAME.md, is written by hand, with the figures that
``deblur evaluate`` gives.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from deblur_models import load_network, save_network
from deblur_models.checkpoints.checkpoint import load_checkpoint
from deblur_models.checkpoints.shipped import FOLDER

MOST_BYTES = 2_500_000


def main(run: Path, name: str) -> None:
    manifest = load_checkpoint(run).manifest
    network = load_network(run)
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
