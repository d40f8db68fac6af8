"""The compute layer: the same operations, several implementations.

``reference`` is slow, obvious and float64: the oracle. ``cpu`` is numba. Which one runs is decided by the array's own
type (:func:`for_array`), never by a global switch.
"""

from blursynth.backends.protocol import Backend, for_array

__all__ = ["Backend", "for_array"]
