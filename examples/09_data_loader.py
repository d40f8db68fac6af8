"""Pairs in your own training loop: torch's DataLoader on a stored data set, and on pairs made on the fly.

    python examples/09_data_loader.py [FOLDER]        # default: examples/output

Both are map-style data sets, so default collation, shuffling and worker processes work.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.utils.data import DataLoader

import blursynth as bs
from blursynth.dataset import DatasetRequest, OnlineDataset, generate


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
    photographs = Path(find_spec("skimage").origin).parent / "data"
    sources = [photographs / "astronaut.png", photographs / "coffee.png"]
    request = DatasetRequest(sources=sources, recipe="clean", count=24, size_px=64, seed=7)

    # Stored pairs. A batch of the data set itself has the stored form: codes, channels last.
    generate(request, out / "stored", workers=1)
    pairs = bs.open_dataset(out / "stored")
    batch = next(iter(DataLoader(pairs, batch_size=4)))
    print({name: (tuple(values.shape), values.dtype) for name, values in batch.items()})

    # Networks take float32 [B, 3, H, W] in 0..1, as given by as_torch(). The index gives access to everything else.
    loader = DataLoader(pairs.as_torch(), batch_size=8, shuffle=True, num_workers=2, persistent_workers=True)
    network = torch.nn.Conv2d(3, 3, 5, padding=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for epoch in range(2):
        for batch in loader:
            loss = torch.nn.functional.l1_loss(network(batch["blurred"]), batch["sharp"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.3f} on samples {batch['index'].tolist()}")
    print(pairs[int(batch["index"][0])].draw["shake"])  # the parameters that blurred the first one

    # Pairs made on the fly, without storage. With a count, there are epochs, as above. Without one, the data set is
    # endless, and a sampler says which samples to read: a run that stopped after 400 resumes with range(400, ...).
    endless = OnlineDataset(request.replace(count=None, min_detail=10.0))
    for batch in DataLoader(endless.as_torch(), batch_size=4, sampler=range(400, 412), num_workers=2):
        print(f"samples {batch['index'].tolist()}: {tuple(batch['blurred'].shape)}")
    print(f"{endless.passed_over:.0%} of the windows that were tried had too little detail")


if __name__ == "__main__":  # spawned workers (macOS, Windows) import this script
    main()
