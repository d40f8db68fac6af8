"""``python -m blursynth``: the command line."""

from blursynth.cli import main

main()
