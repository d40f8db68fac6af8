"""The compute layer: the same operations, several implementations.

``cpu`` is numba, ``torch`` custom operators on tensors. Which one runs is decided by the array's own type
(:func:`for_array`), never by a global switch. ``oracle`` is slow, obvious and float64, and for tests only.

An operation is a method of :class:`Backend` and, in each of the three packages, a function of that name which its file
lists in ``__all__``; nothing else names it.

Both names are loaded when they are first used, so that the modules of this folder that do without arrays load without
them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blursynth.backends.protocol import Backend, for_array

__all__ = ["Backend", "for_array"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'blursynth.backends' has no attribute {name!r}")
        from blursynth.backends import protocol

        globals()[name] = value = getattr(protocol, name)
        return value
