"""Memory of pictures, kept by the process between the steps."""

from __future__ import annotations

import numpy as np

__all__ = ["keep_freed_memory"]

_LARGEST_KEPT = 31 << 20  # bytes; blocks above 32 MiB do not change what glibc keeps


def keep_freed_memory() -> None:
    """Make glibc keep what is freed, up to 62 MiB, instead of returning it to the system.

    Every step frees a picture, and the next one asks for another. By default each of them would be mapped anew, page by
    page, which takes as long as a pass over the picture costs several times over. glibc learns the sizes that a program
    uses from the blocks that it frees: one large block, of which no page is ever touched, says enough. Other allocators
    take no notice.
    """
    np.empty(_LARGEST_KEPT, np.uint8)
