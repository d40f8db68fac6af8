"""Sources of depth: files of depth, disparity and labels, and networks that estimate depth.

==============  ===================================================================
``formats``     .npy, .npz, gray pictures, PFM, OpenEXR as stored values
``maps``        meters, with unknown pixels filled, and object labels on the picture's grid
``network``     an ONNX network that estimates depth from one picture
==============  ===================================================================
"""

from blursynth.io.depth.formats import DEPTH_SUFFIXES, LABEL_SUFFIXES
from blursynth.io.depth.maps import DepthFormat, DepthMap, fill_holes, read_depth, read_depth_map, read_labels
from blursynth.io.depth.network import DepthNetwork

__all__ = [
    "DEPTH_SUFFIXES",
    "LABEL_SUFFIXES",
    "DepthFormat",
    "DepthMap",
    "DepthNetwork",
    "fill_holes",
    "read_depth",
    "read_depth_map",
    "read_labels",
]
