"""Training: ``prepare`` (what is checked first), ``initial`` (networks before the first step), ``loop`` (the steps),
``learner`` (weights and how they follow gradients), ``validation``, ``run_directory`` (what is written), ``processes``,
``prefetch`` and ``timer``."""

from deblur_models.train.learner import Learner, TrainingError
from deblur_models.train.loop import Progress, Result, check, train

__all__ = ["Learner", "Progress", "Result", "TrainingError", "check", "train"]
