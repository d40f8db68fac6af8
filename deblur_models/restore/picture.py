"""Restoration of one image, as a tensor, array or Pillow image."""

from __future__ import annotations

from typing import Any

import torch

from blursynth.transforms.forms import opened
from deblur_models.networks import Network
from deblur_models.networks.network import device_of
from deblur_models.restore.network_restorer import NetworkRestorer, usual_tiles
from deblur_models.restore.onnx_network import OnnxNetwork

__all__ = ["restore_picture"]


def restore_picture(network: Network | OnnxNetwork, picture: Any, **options: Any) -> Any:
    """Restore a blurred image with a network; type, dtype, layout and device stay the same.

    Parameters
    ----------
    network
        Runs on the device of its weights, temporarily in ``eval()`` mode; or one in an ONNX file.
    picture
        A tensor ``[C, H, W]`` or ``[B, C, H, W]``, an array ``[H, W]``, ``[H, W, C]`` or ``[B, H, W, C]``, or a Pillow
        image; uint8 codes or values in 0..1, as in :mod:`blursynth.transforms`. It may have any size: large images are
        restored in tiles.
    **options
        Passed to :class:`~deblur_models.restore.network_restorer.NetworkRestorer`: ``tile_px``, ``ensemble``,
        ``autocast`` ...

    Returns
    -------
    Any
        The restored image, clipped to 0..1.

    Raises
    ------
    InvalidValueError
        It is not an image, or options are invalid.

    Examples
    --------
    >>> import numpy as np
    >>> import deblur_models as dm
    >>> network = dm.create_network("nafnet", size="tiny")
    >>> dm.restore_picture(network, np.zeros((20, 30, 3), np.uint8)).shape
    (20, 30, 3)
    """
    planes, back = opened(picture)
    training = network.training
    try:
        device = "cpu" if isinstance(network, OnnxNetwork) else device_of(network)
        restorer = NetworkRestorer(network, **{"device": device, **usual_tiles(network), **options})
        restored = restorer.restore(torch.as_tensor(planes)).clamp(0, 1)
    finally:
        network.train(training)
    return back(restored if isinstance(planes, torch.Tensor) else restored.numpy())
