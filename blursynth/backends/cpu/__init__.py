"""The backend of numpy arrays: numba, one file per operation."""

from blursynth.backends.protocol import operations

globals().update(operations(__name__))
