"""Blur one picture, with your own parameters and with those of a recipe. Makes the first picture of the README.

python examples/01_blur_one_picture.py [FOLDER]        # default: examples/output
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import blursynth as bs
from blursynth.dataset.contact_sheet import describe_draw, kernel_picture

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
PHOTOGRAPH = Path(find_spec("skimage").origin).parent / "data" / "astronaut.png"  # NASA, public domain

# A file holds codes, but blur happens to light, so decode first.
frame = bs.read_frame(PHOTOGRAPH)
light = bs.kinds.Decode()(frame)

# Your own parameters: a degradation is a record of plain values that can be called.
panning = bs.kinds.LinearMotion(length_px=18.0, angle_deg=10.0)
bs.write_picture(OUT / "panning.png", bs.kinds.Encode()(panning(light)))

# Parameters from a recipe: the draw comes first, and can be inspected before any pixel is computed.
recipe = bs.load_recipe("default", changes={"shake.length_px": 48.0, "shake.anxiety": 0.006})
draw = recipe.sample(frame, seed=7, index=35)
for step, numbers in describe_draw(draw):
    print(f"{step}: {numbers}")

# A window of the picture, including light from around it.
SIZE = 280
pair = draw.pair(frame, window=(52, 84, SIZE, SIZE))

# The three of them side by side.
GAP, HEAD = 12, 30
sheet = Image.new("RGB", (3 * SIZE + 2 * GAP, SIZE + HEAD), "white")
pen = ImageDraw.Draw(sheet)
tiles = (
    ("sharp", np.moveaxis(pair.sharp.image[0], 0, -1) * 255),
    ("point spread, enlarged", kernel_picture(draw.kernel(), SIZE)),
    ("what the camera writes", np.moveaxis(pair.blurred.image[0], 0, -1) * 255),
)
for number, (title, tile) in enumerate(tiles):
    left = number * (SIZE + GAP)
    sheet.paste(Image.fromarray(np.rint(tile).astype(np.uint8)), (left, HEAD))
    pen.text((left + SIZE / 2, HEAD - 9), title, fill=(60, 62, 68), font=ImageFont.load_default(17), anchor="ms")
sheet.save(OUT / "opening.png", optimize=True)
print(f"written: {OUT / 'panning.png'}, {OUT / 'opening.png'}")
