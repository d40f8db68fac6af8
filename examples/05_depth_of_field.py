"""Pull the focus through a synthetic scene, from the flowers in front to the hills, and inspect the edges.

python examples/05_depth_of_field.py [FOLDER]        # default: examples/output
"""

import sys
from pathlib import Path

import numpy as np

import blursynth as bs
from blursynth.physics.thin_lens import depth_of_field_m

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
OUT.mkdir(parents=True, exist_ok=True)

# A scene with every kind of edge: thin stems close by, a fence, lamps, a floor that runs into the distance, hills.
HEIGHT, WIDTH = 480, 640
rng = np.random.default_rng(5)
rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
light = np.empty((3, HEIGHT, WIDTH))
horizon = 190
sky = np.clip(rows / horizon, 0, 1)
light[:] = np.array([0.35, 0.5, 0.8])[:, None, None] * (0.6 + 0.4 * sky)
depth_m = np.full((HEIGHT, WIDTH), 300.0)


def put(mask: np.ndarray, color: np.ndarray, distance_m: float | np.ndarray) -> None:
    """Draw an opaque object in front of the scene so far."""
    light[:, mask] = (color * np.ones((3, HEIGHT, WIDTH)))[:, mask]
    depth_m[mask] = (distance_m * np.ones((HEIGHT, WIDTH)))[mask]


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    return np.array([red, green, blue])[:, None, None]


ridge = horizon - 40 - 25 * np.sin(columns / 90) - 12 * np.sin(columns / 31 + 1)
put((rows > ridge) & (rows <= horizon), rgb(0.12, 0.22, 0.2), 80.0)
floor_m = np.where(rows > horizon, 1.1 * 800 / np.maximum(rows - horizon, 1), 300.0)
tiles = (np.floor(floor_m * 2) + np.floor((columns - WIDTH / 2) / 800 * floor_m * 2)) % 2
put((rows > horizon) & (floor_m < 80), rgb(0.45, 0.4, 0.3) * (0.35 + 0.65 * tiles), floor_m)
for x in range(30, WIDTH, 60):  # lamps: points of light far above white
    put((rows - horizon + 12) ** 2 + (columns - x) ** 2 < 5, rgb(30.0, 22.0, 9.0), 25.0)
for x in range(0, WIDTH, 28):  # a fence, with gaps to look through
    put((abs(columns - x) < 6) & (abs(rows - 230) < 62), rgb(0.75, 0.73, 0.7) * (0.8 + 0.2 * np.sin(rows / 3)), 4.0)
put((abs(rows - 200) < 5) | (abs(rows - 260) < 5), rgb(0.7, 0.68, 0.65), 4.05)
for x, y, size in ((150, 300, 46), (420, 270, 58), (560, 350, 40)):  # flowers on stems
    stem = abs(columns - x - 18 * np.sin((rows - y) / 90)) < 3
    put(stem & (rows > y), rgb(0.1, 0.3, 0.05), 0.8)
    angle, radius = np.arctan2(rows - y, columns - x), np.hypot(rows - y, columns - x)
    petals = radius < size * (0.75 + 0.25 * np.cos(7 * angle))
    put(petals, rgb(0.85, 0.15, 0.25) * (0.6 + 0.4 * np.cos(7 * angle)) + 0.05, 0.8 - 0.02 * np.cos(angle))
    put(radius < size * 0.25, rgb(0.9, 0.7, 0.1) * (0.8 + 0.2 * rng.random((HEIGHT, WIDTH))), 0.77)

camera = bs.Intrinsics(focal_length_mm=35.0, pixel_pitch_um=36000 / WIDTH)
frame = bs.Frame(light.astype(np.float32), "linear", depth_m=depth_m.astype(np.float32), camera=camera)

encode = bs.kinds.Encode()
pull = []
for focus_m in (0.8, 1.5, 4.0, 80.0):
    lens = bs.kinds.Defocus(f_number=0.95, focus_distance_m=focus_m, blades=9, parts=4)
    near_m, far_m = depth_of_field_m(
        1.0,
        focal_length_mm=camera.focal_length_mm,
        f_number=lens.f_number,
        focus_distance_m=focus_m,
        pixel_pitch_um=camera.pixel_pitch_um,
    )
    print(f"focus at {focus_m:g} m: sharp within a pixel from {near_m:.2f} m to {far_m:.2f} m")
    pull.append(encode(lens(frame)).image[0])
top, bottom = (np.concatenate(pair, axis=2) for pair in (pull[:2], pull[2:]))
bs.write_picture(OUT / "focus_pull.png", np.concatenate([top, bottom], axis=1))

# Three more: a plane of focus that lies along the floor, cat's eyes, and blurring without occlusion.
others = {
    "tilted_focus": bs.kinds.Defocus(f_number=0.95, focus_distance_m=4.0, tilt_deg=75.0, tilt_azimuth_deg=90.0),
    "cats_eyes": bs.kinds.Defocus(f_number=0.95, focus_distance_m=0.8, cats_eye=0.8, tolerance_px=0.2),
    "without_occlusion": bs.kinds.Defocus(f_number=0.95, focus_distance_m=80.0, form="gather"),
}
for name, lens in others.items():
    bs.write_picture(OUT / f"{name}.png", encode(lens(frame)))
print(f"written: {OUT / 'focus_pull.png'}, {', '.join(f'{name}.png' for name in others)}")
