"""``python -m deblur_models``: the command line."""

from deblur_models.cli import main

main()
