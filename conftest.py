"""Which modules the doctests leave out: those whose optional libraries are not installed."""

from importlib.util import find_spec

collect_ignore_glob = []
if find_spec("torch") is None:
    collect_ignore_glob += ["blursynth/backends/torch/*"]
elif find_spec("triton") is None:
    collect_ignore_glob += ["blursynth/backends/torch/*_triton.py"]
