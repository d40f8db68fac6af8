"""Your own kind: haze, as one class. It works in recipes, files, draws and data sets like the built-in kinds.

python examples/04_own_kind.py [FOLDER]        # default: examples/output
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field

import blursynth as bs
from blursynth.dataset.contact_sheet import Row, write_contact_sheet
from blursynth.testing import check_degradation


class Haze(bs.Degradation):
    """Koschmieder's law for one distance: a share of the scene's light arrives, and the air adds its own light.

    ``y = t x + (1 - t) a``, t = transmission, a = airlight.

    Not modeled: depth, which would make the transmission differ from pixel to pixel; color of the air.
    """

    transmission: float = Field(gt=0, le=1, description="share of the scene's light that arrives; 1 is clear air")
    airlight: float = Field(default=0.8, ge=0, le=1, description="light of the air itself, 1.0 = white")

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: bs.Frame) -> bs.Frame:
        # One call for a batch in which every picture has its own numbers.
        share = np.array([s.transmission for s in steps], frame.image.dtype)[:, None, None, None]
        air = np.array([s.airlight for s in steps], frame.image.dtype)[:, None, None, None]
        return frame.with_image(share * frame.image + (1 - share) * air)

    # target() is not overridden: the sharp picture has no haze, since a network is to learn to remove it.


# The contract of every kind: JSON round trip, replay, batches, windows, every field changes the picture.
check_degradation(Haze(transmission=0.5), identity=Haze(transmission=1.0))

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
OUT.mkdir(parents=True, exist_ok=True)
(OUT / "hazy.toml").write_text("""\
summary = "The default camera on a hazy day"
extends = "default"

[[step]]
kind = "haze"
after = "decode"
transmission = { uniform = [0.3, 0.9] }
airlight = { uniform = [0.6, 0.9] }
""")

recipe = bs.load_recipe(OUT / "hazy.toml", kinds=(*bs.kinds.ALL, Haze))
frame = bs.read_frame(Path(find_spec("skimage").origin).parent / "data" / "rocket.jpg")
rows = []
for index in range(3):
    draw = recipe.sample(frame, seed=1, index=index)
    rows.append(Row.of_pair(draw.pair(frame, window=(100, 100, 256, 256)), draw, f"draw {index}"))
    print(draw["haze"])
write_contact_sheet(OUT / "hazy.png", rows, title=recipe.summary, subtitle="seed 1", recipe=recipe)
print(f"written: {OUT / 'hazy.toml'}, {OUT / 'hazy.png'}")
