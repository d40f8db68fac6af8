"""Train on your own pictures with synthetic blur, in a plain PyTorch loop: a transform, a DataLoader, a network.

    python examples/10_own_data.py [FOLDER]        # default: examples/output

BLURSYNTH_EXAMPLE_STEPS sets the number of steps; the default of 30 takes only a few seconds.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import blursynth as bs
import deblur_models as dm

STEPS = int(os.environ.get("BLURSYNTH_EXAMPLE_STEPS", "30"))


class MyPictures(Dataset):
    """Stands for your data set: uint8 tensors [3, 32, 32], cropped from two photographs."""

    def __init__(self, transform):
        folder = Path(find_spec("skimage").origin).parent / "data"
        photographs = [np.array(Image.open(folder / name).convert("RGB")) for name in ("astronaut.png", "coffee.png")]
        tensors = [torch.from_numpy(photograph).movedim(-1, 0) for photograph in photographs]
        self.tensors = [t[:, y : y + 32, x : x + 32] for t in tensors for y in (80, 200, 300) for x in (60, 200)]
        self.transform = transform

    def __len__(self):
        return len(self.tensors)

    def __getitem__(self, index):
        return self.transform(self.tensors[index])


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
    torch.manual_seed(0)

    # From here on, this is your code. Every epoch blurs each picture anew, differently in each worker.
    pictures = MyPictures(transform=bs.transforms.RandomBlur("clean", returns="pair"))
    loader = DataLoader(pictures, batch_size=4, shuffle=True, num_workers=2, persistent_workers=True)
    network = dm.create_network("attention_unet", size="tiny")
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    batches = (batch for _ in range(STEPS) for batch in loader)  # epoch after epoch
    for step, (blurred, sharp) in zip(range(STEPS), batches, strict=False):
        loss = torch.nn.functional.l1_loss(network(blurred / 255), sharp / 255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (0, STEPS - 1):
            print(f"step {step + 1}: loss {loss.item():.4f}")

    # Restore pictures of any size and type, and save a checkpoint that `deblur apply` can also use.
    photograph = Image.open(Path(find_spec("skimage").origin).parent / "data" / "astronaut.png").convert("RGB")
    blurred = bs.transforms.RandomBlur("clean", seed=7)(photograph.crop((160, 40, 320, 200)))
    dm.restore_picture(network, blurred).save(out / "own_data_restored.png")
    dm.save_network(network, out / "own_network")
    print(f"written: {out / 'own_data_restored.png'}, {out / 'own_network.safetensors'}")


if __name__ == "__main__":  # spawned workers (macOS, Windows) import this script
    main()
