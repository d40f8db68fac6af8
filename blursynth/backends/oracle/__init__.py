"""The oracle: slow, obvious and float64. Every other backend is compared with it; only tests import it."""

from blursynth.backends.protocol import operations

globals().update(operations(__name__))
