"""The backend of torch tensors: numba on shared memory on the CPU, Triton on CUDA devices; one file per operation.

Every operation on pictures is a custom operator of torch with its own derivative (``operator.py``), so
``torch.compile`` keeps it whole.
"""

from blursynth.backends.protocol import operations

globals().update(operations(__name__))
