"""From photographs to a verified data set, with the commands that you would type. Run it with: make demo

The photographs come with the scikit-image package; nothing is downloaded. Running it again reuses existing results.

    python examples/00_demo.py [FOLDER]        # default: demo
"""

import os
import shlex
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

PHOTOGRAPHS = {  # name: license, as scikit-image states it
    "astronaut.png": "NASA, public domain",
    "chelsea.png": "Stefan van der Walt, CC0",
    "coffee.png": "Rachel Michetti, CC0",
    "rocket.jpg": "SpaceX, public domain",
    "motorcycle_left.png": "Middlebury 2014 stereo benchmark, no license stated; cite Scharstein et al., GCPR 2014",
    "hubble_deep_field.jpg": "NASA, public domain",
}
COUNT = os.environ.get("BLURSYNTH_DEMO_COUNT", "64")


def blursynth(*arguments: str) -> None:
    """Print a command and run it."""
    print(f"\n$ blursynth {shlex.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "blursynth", *arguments])
    if done.returncode:
        print(f"\nThat failed. To start over, remove the folder {arguments[1]} and run this again.")
        sys.exit(done.returncode)


def main() -> None:
    start = time.monotonic()
    here = Path(os.path.relpath(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "demo"))
    here.mkdir(parents=True, exist_ok=True)
    package = find_spec("skimage")
    if package is None or package.origin is None:
        sys.exit("The demo needs scikit-image for its photographs. Install it with: pip install 'blursynth[demo]'")
    folder = Path(package.origin).parent / "data"
    found = [folder / name for name in PHOTOGRAPHS if (folder / name).is_file()]
    sources = here / "photographs.txt"
    sources.write_text("# photographs inside the scikit-image package\n" + "".join(f"{p}\n" for p in found))

    print("The photographs, from the scikit-image package:")
    for picture in found:
        print(f"  {picture.name:22} {PHOTOGRAPHS[picture.name]}")
    print("(The first run on a machine compiles for about 20 s; later runs reuse the result.)")
    data = str(here / "dataset")
    blursynth("generate", str(sources), data, "--recipe", "default", "--count", COUNT, "--size", "256", "--seed", "7")
    blursynth("verify", data, "--deep", "--replay", "4")
    blursynth("inspect", data, "--sheet", str(here / "contact_sheet.png"))

    print(f"""
Done in {time.monotonic() - start:.0f} s.

  {here / "contact_sheet.png"}    start here
  {here / "dataset"}              the pairs: a zarr 3 group, with all parameters in draws/*.jsonl
  {here / "dataset" / "README.md"}    its data card

What to try next:

  blursynth preview your-photo.jpg --output sheet.png            # the same for your own picture
  blursynth preview your-photo.jpg --set shake.sigma_px=15       # where the hand sways, more strongly
  blursynth generate your-photos/ pairs/ --count 1000 --dry-run  # estimate size and time
  blursynth kinds                                                # what a camera can do to light
  blursynth recipes default > mine.toml                          # a starting point for your own recipe

The command is in {os.path.relpath(Path(sys.executable).parent)}{os.sep}; examples/ shows the same in Python.""")


if __name__ == "__main__":  # workers import the script that starts them
    main()
