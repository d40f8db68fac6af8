"""One picture restored, in the form that it has in a program."""

from __future__ import annotations

from typing import Any

import torch

from blursynth.transforms.forms import opened
from deblur_models.networks import Network
from deblur_models.networks.network import device_of
from deblur_models.restore.network_restorer import NetworkRestorer, usual_tiles

__all__ = ["restore_picture"]


def restore_picture(network: Network, picture: Any, **options: Any) -> Any:
    """A blurred picture restored by a network: of the same type, dtype, layout and device.

    Parameters
    ----------
    network
        Runs where its weights are, in ``eval()`` for as long as this takes.
    picture
        A tensor ``[C, H, W]`` or ``[B, C, H, W]``, an array ``[H, W]``, ``[H, W, C]`` or ``[B, H, W, C]``, or a picture
        of Pillow; codes of uint8 or numbers in 0..1, as :mod:`blursynth.transforms` takes them. Of any size: large ones
        are restored in tiles.
    **options
        As :class:`~deblur_models.restore.network_restorer.NetworkRestorer` takes them: ``tile_px``, ``ensemble``,
        ``autocast`` ...

    Returns
    -------
    Any
        The restored picture, cut to 0..1.

    Raises
    ------
    InvalidValueError
        It is not a picture, or options that do not fit.

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
        restorer = NetworkRestorer(network, **{"device": device_of(network), **usual_tiles(network), **options})
        restored = restorer.restore(torch.as_tensor(planes)).clamp(0, 1)
    finally:
        network.train(training)
    return back(restored if isinstance(planes, torch.Tensor) else restored.numpy())
