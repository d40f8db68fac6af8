"""Depth from where users have it: files of depth, disparity and labels, and networks that guess it.

==============  ===================================================================
``formats``     .npy, .npz, grey pictures, PFM, OpenEXR as the numbers they hold
``holes``       unknown pixels, filled
``maps``        metres and object numbers on the picture's grid
``network``     an ONNX network that estimates depth from one picture
==============  ===================================================================
"""

from blursynth.depth.formats import DEPTH_SUFFIXES, LABEL_SUFFIXES
from blursynth.depth.holes import fill_holes
from blursynth.depth.maps import DepthFormat, DepthMap, read_depth, read_depth_map, read_labels
from blursynth.depth.network import DepthNetwork

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
