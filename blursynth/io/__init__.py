"""Reading and writing files: pictures, arrays, HDR files, depth maps and assets."""

from blursynth.io.arrays import read_arrays
from blursynth.io.pictures import read_frame, write_picture

__all__ = ["read_arrays", "read_frame", "write_picture"]
