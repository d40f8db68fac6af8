"""Camera shake with roll: the center of the picture stays sharp, the corners are blurred into arcs.

python examples/06_camera_shake.py [FOLDER]        # default: examples/output

Makes three pictures: a hand-held exposure with roll, the same through a rolling shutter beside the picture of a global
shutter, and the enlarged blur of nine points of the picture.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import blursynth as bs

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
OUT.mkdir(parents=True, exist_ok=True)
PHOTOGRAPH = Path(find_spec("skimage").origin).parent / "data" / "astronaut.png"  # NASA, public domain

# The focal length converts angles to pixels: 4.2 mm over 5.6 um are 750 px, so a rotation by 1 mrad moves 0.75 px.
camera = bs.kinds.SetIntrinsics(focal_length_mm=4.2, pixel_pitch_um=5.6)
light = camera(bs.kinds.Decode()(bs.read_frame(PHOTOGRAPH)))

# A hand-held tenth of a second. Amplitudes are standard deviations of the angles; the seed determines the motion.
shake = bs.kinds.CameraShake(exposure_s=0.1, pitch_mrad=3.0, yaw_mrad=3.0, roll_mrad=60.0, drift_hz=2.0, seed=4)
blurred = shake(light)
bs.write_picture(OUT / "camera_shake.png", bs.kinds.Encode()(blurred))
poses = shake.warps(light).matrix.shape[1]
print(f"{shake}")
print(f"{poses} poses; light moves by up to {shake.reach_px(light)} px")
print(f"centroids lie within {shake.residual_centroid_px(light):.3f} px of the sharp picture")

# The same hand, the rows exposed one after another within 30 ms, against one pose for all rows: the picture is bent.
numbers = shake.fields() | {"readout_s": 0.03, "centered_on": "global_shutter", "exposure_s": 0.02}
rolling = bs.kinds.RollingShutter(**numbers)
bs.write_picture(OUT / "rolling_shutter.png", bs.kinds.Encode()(rolling(light)))
print(f"rolling shutter: rows are displaced by up to {rolling.residual_centroid_px(light):.1f} px")

# The blur of nine points of light: the point spreads of a picture with non-uniform blur.
height, width = light.size_px
points = np.zeros_like(light.image)
cell = 49
for row in np.linspace(cell, height - 1 - cell, 3).astype(int):
    for column in np.linspace(cell, width - 1 - cell, 3).astype(int):
        points[..., row, column] = 1.0
spreads = shake(light.with_image(points)).image[0]
tiles = []
for row in np.linspace(cell, height - 1 - cell, 3).astype(int):
    line = []
    for column in np.linspace(cell, width - 1 - cell, 3).astype(int):
        half = cell // 2
        tile = spreads[:, row - half : row + half + 1, column - half : column + half + 1]
        line.append(np.pad(tile / tile.max(), ((0, 0), (0, 1), (0, 1)), constant_values=0.15))
    tiles.append(np.concatenate(line, axis=2))
enlarged = np.concatenate(tiles, axis=1).repeat(4, axis=1).repeat(4, axis=2)
bs.write_picture(OUT / "camera_shake_points.png", bs.kinds.Encode()(bs.Frame(enlarged, "linear")))
names = ("camera_shake.png", "rolling_shutter.png", "camera_shake_points.png")
print(f"written: {', '.join(str(OUT / name) for name in names)}")
