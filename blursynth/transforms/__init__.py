"""Blur as a transform in the style of torchvision: pictures in, blurred pictures of the same type out.

>>> import numpy as np
>>> picture = np.full((24, 32, 3), 128, np.uint8)
>>> blurred = RandomBlur("clean", seed=7)(picture)
>>> blurred.shape, blurred.dtype
((24, 32, 3), dtype('uint8'))

=================  ===================================================================================
``RandomBlur``     a recipe, with new parameters for every picture
``Blur``           one degradation or draw, with the same parameters for every picture
``BlurredSharp``   what both return with ``returns="pair"``
=================  ===================================================================================

The type of a picture determines its layout. Torch tensors have channels first, ``[C, H, W]`` or ``[B, C, H, W]``. NumPy
arrays have channels last or none, ``[H, W]``, ``[H, W, C]`` or ``[B, H, W, C]``. C is 1 or 3. Values are integer codes
(uint8, and uint16 for arrays) or floating-point values in 0..1 of a display picture, as stored in a file. Pillow images
may have the modes L and RGB. A gray picture is returned as the luma of the camera's color picture.
"""

from blursynth.transforms.transform import Blur, BlurredSharp, RandomBlur

__all__ = ["Blur", "BlurredSharp", "RandomBlur"]
