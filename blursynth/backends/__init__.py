"""The compute layer: the same operations, several implementations.

``cpu`` is numba, ``torch`` custom operators on tensors. Which one runs is decided by the array's own type
(:func:`for_array`), never by a global switch. ``oracle`` is slow, obvious and float64, and for tests only.

An operation is a method of :class:`Backend` and, in each of the three packages, a function of that name which its file
lists in ``__all__``; nothing else names it.
"""

from blursynth.backends.protocol import Backend, for_array

__all__ = ["Backend", "for_array"]
