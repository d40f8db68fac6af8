"""Recipes and draws: distributions first, then plain values, then pixels.

python examples/02_recipe_and_draw.py [FOLDER]        # default: examples/output
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import blursynth as bs
from blursynth.dataset.contact_sheet import Row, write_contact_sheet

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
OUT.mkdir(parents=True, exist_ok=True)
PHOTOGRAPH = Path(find_spec("skimage").origin).parent / "data" / "coffee.png"

# A recipe in Python: any parameter of a degradation may be a distribution.
recipe = bs.Recipe(
    [
        ("decode", bs.kinds.Decode()),
        (
            "shake",
            bs.OneOf(
                (3, bs.Random(bs.kinds.RandomWalkMotion, length_px=bs.Uniform(10, 60), heading_deg=bs.Uniform(0, 360))),
                (1, bs.Random(bs.kinds.LinearMotion, length_px=bs.LogUniform(4, 30), angle_deg=bs.Uniform(0, 180))),
            ),
        ),
        ("defocus", bs.Maybe(0.5, bs.Random(bs.kinds.DiskBlur, diameter_px=bs.Uniform(2, 6)))),
        ("sensor", bs.Random(bs.kinds.Sensor, full_well_e=bs.LogUniform(500, 20_000), read_noise_e=2.0)),
        ("develop", bs.kinds.Develop()),
        ("encode", bs.kinds.Encode()),
    ],
    name="tremor",
    summary="A tremor or a pan, sometimes out of focus",
)

# The same recipe as a file, and back.
(OUT / "tremor.toml").write_text(recipe.to_toml())
assert bs.load_recipe(OUT / "tremor.toml") == recipe
print(recipe.to_toml())

# Draw 3 of seed 7 is always the same draw, here and on any other machine. It can be saved as JSON and replayed.
frame = bs.read_frame(PHOTOGRAPH)
draw = recipe.sample(frame, seed=7, index=3)
record = json.dumps(draw.to_dict(), indent=1)
print(record)
assert bs.Draw.from_dict(json.loads(record), bs.kinds.ALL) == draw

# Several draws for the same window, including light from around it.
rows = []
for index in range(4):
    draw = recipe.sample(frame, seed=7, index=index)
    pair = draw.pair(frame, window=(64, 128, 256, 256))
    rows.append(Row.of_pair(pair, draw, f"draw {index}, light from up to {draw.reach_px(frame)} px away"))
write_contact_sheet(OUT / "draws.png", rows, title=recipe.summary, subtitle="seed 7", recipe=recipe)
print(f"written: {OUT / 'tremor.toml'}, {OUT / 'draws.png'}")
