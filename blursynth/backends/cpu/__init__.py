"""The backend of numpy arrays: numba, one file per operation."""

from blursynth.backends.cpu.memory import keep_freed_memory
from blursynth.backends.protocol import operations

globals().update(operations(__name__))
keep_freed_memory()
