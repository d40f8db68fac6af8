"""Triton kernels, one file per operation, as ``torch_ops`` calls them for tensors on CUDA devices.

Without a GPU the same code runs in Triton's interpreter, on tensors of the CPU, when ``TRITON_INTERPRET=1`` is set
before triton is loaded; so it is tested, slowly and on tiny pictures. A picture's pixels lie along x, and so do
neighbouring threads: loads and stores are coalesced, and the taps, which all threads of a program read together, stay
in the first cache.

How fast they are on a GPU has not been measured yet; each file names the floor that it is to be held against.
"""

from blursynth.errors import require

require("triton", extra="cuda", purpose="Work on a CUDA device")
