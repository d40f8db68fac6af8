"""Blur as a transform of torchvision's kind: pictures in, blurred pictures of the same form out.

>>> import numpy as np
>>> picture = np.full((24, 32, 3), 128, np.uint8)
>>> blurred = RandomBlur("clean", seed=7)(picture)
>>> blurred.shape, blurred.dtype
((24, 32, 3), dtype('uint8'))

=================  ===================================================================================
``RandomBlur``     a recipe, with other numbers for every picture
``Blur``           one degradation or draw, with the same numbers for every picture
``BlurredSharp``   what both give with ``returns="pair"``
=================  ===================================================================================

The type of a picture tells its layout. Tensors of torch have channels first, ``[C, H, W]`` or ``[B, C, H, W]``; arrays
of NumPy have them last or not at all, ``[H, W]``, ``[H, W, C]`` or ``[B, H, W, C]``; C is 1 or 3. Values are codes
(uint8, and uint16 of arrays) or floating-point numbers in 0..1, of a display picture as it lies in a file; of Pillow
there are the modes L and RGB. A gray picture comes back as the luma of what the camera makes of it.
"""

from blursynth.transforms.transform import Blur, BlurredSharp, RandomBlur

__all__ = ["Blur", "BlurredSharp", "RandomBlur"]
