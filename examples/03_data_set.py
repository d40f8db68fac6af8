"""Make a data set, open it, read it, and render a sample again.

python examples/03_data_set.py [FOLDER]        # default: examples/output
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import zarr

import blursynth as bs
from blursynth import dataset


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
    photographs = Path(find_spec("skimage").origin).parent / "data"
    sources = [photographs / "astronaut.png", photographs / "coffee.png", photographs / "rocket.jpg"]

    # Plan it first. Nothing is written yet.
    request = dataset.DatasetRequest(
        sources=sources, recipe="default", count=12, size_px=128, seed=7, store="kernel"
    )  # as a file: request.to_toml()
    planned = dataset.plan(request, workers=1)
    print(f"{planned.count} pairs, about {planned.disk_bytes / 1e6:.1f} MB, {planned.seconds:.1f} s")

    # Make it. If it is interrupted, the same call resumes; a finished data set is left unchanged.
    report = dataset.generate(request, out / "pairs", workers=1)
    print(f"made {report.samples} pairs; digest of the pixels {report.digest['pixels'][:16]}")

    # Read it: pixels with the parameters that made them.
    pairs = bs.open_dataset(out / "pairs")
    sample = pairs[5]
    print(f"sample 5 of {len(pairs)}: {sample.sharp.shape} {sample.sharp.dtype} from {sample.source}")
    print(sample.draw["shake"])
    batch = pairs.batch([0, 3, 7])
    print(f"a batch: {batch.blurred.shape}")

    # Any zarr 3 reader can open it, too.
    group = zarr.open_group(out / "pairs", mode="r")
    assert (group["blurred"][5] == sample.blurred).all()

    # A sample can be rendered again from its record, byte for byte.
    again = dataset.replay(out / "pairs", 5)
    print(f"rendered again: {'the same bytes' if again.equal else again.differences}")
    assert again.equal
    assert dataset.verify(out / "pairs", deep=True).ok


if __name__ == "__main__":  # with workers > 1, each worker imports this script
    main()
