"""One photograph through every stage of a camera at night. Makes the pictures of docs/camera.md.

python examples/07_through_the_camera.py [FOLDER]        # default: examples/output

Applies a draw of the recipe `phone-night` step by step and shows each stage.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import blursynth as bs

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
OUT.mkdir(parents=True, exist_ok=True)
PHOTOGRAPH = Path(find_spec("skimage").origin).parent / "data" / "rocket.jpg"  # SpaceX, CC0
WINDOW = (187, 60, 240, 320)  # top, left, height, width: the lamps
CLOSE = (364, 136, 40, 54)  # a lamp and the foot of a tower, to be enlarged

# Draw the parameters first. The changes fix those that the page discusses; the rest is random.
recipe = bs.load_recipe(
    "phone-night",
    changes={
        "lamps.peak": 40.0,
        "exposure.exposure_s": 0.125,
        "shake.length_px": 34.0,
        "shake.anxiety": 0.0025,
        "sensor.iso": 1600,
        "denoise.probability": 1.0,
        "sharpen.probability": 1.0,
        "sharpen.amount": 0.8,
        "jpeg.quality": 85,
    },
)
file = bs.read_frame(PHOTOGRAPH)
draw = recipe.sample(file, seed=4, index=1)
stages = {"file": file}
for name, step in draw.steps:
    stages[name] = step(stages[list(stages)[-1]])
pair = draw.pair(file)
assert np.array_equal(pair.blurred.image, stages["jpeg"].image)

sensor = draw["sensor"]
print(f"exposure {draw['exposure'].exposure_s} s, path {draw['shake'].length_px} px")
print(f"white makes {sensor.white_level_e:.0f} electrons, read noise {sensor.read_noise_e:.2f} electrons")
print(f"brightest lamp: {stages['decode'].image.max():.1f} in the file, {stages['lamps'].image.max():.1f} extended,")
print(f"    {stages['shake'].image.max():.1f} blurred, of which the sensor holds 1")


def tile(frame: bs.Frame, window: tuple[int, int, int, int], enlarged: int = 1) -> np.ndarray:
    """A window of a frame as it looks on a display, [H, W, 3]."""
    part = frame.crop(*window)
    shown = draw["encode"](part) if frame.encoding is bs.Encoding.LINEAR else part
    return np.moveaxis(shown.image[0], 0, -1).repeat(enlarged, 0).repeat(enlarged, 1)


def sheet(name: str, tiles: list[tuple[str, np.ndarray]], gap: int = 8, head: int = 24) -> None:
    height, width = tiles[0][1].shape[:2]
    picture = Image.new("RGB", (len(tiles) * (width + gap) - gap, height + head), "white")
    pen = ImageDraw.Draw(picture)
    for number, (title, pixels) in enumerate(tiles):
        left = number * (width + gap)
        codes = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        picture.paste(Image.fromarray(codes), (left, head))
        pen.text((left + width / 2, head - 7), title, fill=(60, 62, 68), font=ImageFont.load_default(14), anchor="ms")
    picture.save(OUT / name, quality=88)


def darker(frame: bs.Frame) -> bs.Frame:
    """Three stops darker, so that light above white is visible."""
    return bs.kinds.Exposure(exposure_s=1.0, metered_s=8.0)(frame)


sheet(
    "camera_light.jpg",
    [
        ("the file", tile(stages["file"], WINDOW)),
        ("its light, 3 stops darker", tile(darker(stages["decode"]), WINDOW)),
        ("lamps beyond white, 3 stops darker", tile(darker(stages["lamps"]), WINDOW)),
        ("what falls on the sensor", tile(stages["shake"], WINDOW)),
    ],
)

# The raw values of the sensor: each pixel has one color. Shown as gray, and in the colors of the filters.
raw = stages["sensor"]
scaled = (raw.image - raw.raw.black_dn[0]) / (raw.raw.white_dn[0] - raw.raw.black_dn[0])
gray = raw.with_image(np.repeat(scaled, 3, axis=1), "linear", raw=None)
sites = np.array(["RGB".index(letter) for letter in raw.raw.mosaic[0]]).reshape(2, 2)
height, width = raw.size_px
seen = np.tile(sites, (height // 2 + 1, width // 2 + 1))[:height, :width]
colored = gray.with_image(scaled * (seen == np.arange(3)[:, None, None]))
sheet(
    "camera_sensor.jpg",
    [
        ("light", tile(stages["shake"], CLOSE, 6)),
        ("numbers of the sensor", tile(gray, CLOSE, 6)),
        ("with their filters' colors", tile(colored, CLOSE, 6)),
        ("developed", tile(stages["develop"], CLOSE, 6)),
    ],
)
sheet(
    "camera_file.jpg",
    [
        ("developed, 8 bit", tile(stages["encode"], CLOSE, 6)),
        ("denoised", tile(stages["denoise"], CLOSE, 6)),
        ("sharpened", tile(stages["sharpen"], CLOSE, 6)),
        ("JPEG, quality 85", tile(stages["jpeg"], CLOSE, 6)),
    ],
)
sheet(
    "camera_pair.jpg",
    [("the sharp picture", tile(pair.sharp, WINDOW)), ("the blurred one", tile(pair.blurred, WINDOW))],
)
names = ("camera_light.jpg", "camera_sensor.jpg", "camera_file.jpg", "camera_pair.jpg")
print(f"written: {', '.join(str(OUT / name) for name in names)}")
