"""Training: ``prepare`` (checks before the start), ``initial`` (initial networks), ``loop`` (the training loop),
``learner`` (weights and their updates), ``validation``, ``run_directory`` (files of a run), ``processes``,
``prefetch`` and ``timer``."""

from deblur_models.train.learner import Learner, TrainingError
from deblur_models.train.loop import Progress, Result, check, train

__all__ = ["Learner", "Progress", "Result", "TrainingError", "check", "train"]
