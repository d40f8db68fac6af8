"""Clear -> blur -> clear: a network learns to deblur from sharp photographs alone, for only a few seconds.

    python examples/08_train_a_network.py [FOLDER]        # default: examples/output

BLURSYNTH_EXAMPLE_STEPS sets the number of steps. For serious training, use `deblur train small --out run/`.
"""

import os
import sys
from pathlib import Path

from deblur_models.checkpoints.checkpoint import load_network
from deblur_models.config.configuration import load_configuration
from deblur_models.train import train

STEPS = int(os.environ.get("BLURSYNTH_EXAMPLE_STEPS", "30"))


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "output") / "network"
    wanted = load_configuration(
        "small",
        {
            "stage": [{"steps": STEPS, "patch_px": 32, "batch": 4}],
            "network": {"kind": "attention_unet", "size": "tiny"},
            "data.blurred.recipe": "clean",
            "validation.recipe": "clean",
            "validation.count": 2,
            "validation.every": STEPS,
        },
    )
    result = train(wanted, folder)
    for step, scores in result.validation_results:
        print(f"after {step:3} steps: {scores.psnr:.2f} dB, doing nothing {scores.psnr_input:.2f} dB")
    network = load_network(folder)
    print(f"{folder}: {network.config.kind} with {sum(w.numel() for w in network.parameters()):,} weights")


if __name__ == "__main__":
    main()
