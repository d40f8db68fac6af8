"""Training: ``loop`` (what happens, in order), ``learner`` (weights and how they follow gradients), ``journal`` (what
is written while it happens), ``processes`` (several of them), ``validation`` (looking at held-out pairs)."""

from deblur_models.train.learner import Learner, TrainingError
from deblur_models.train.loop import Progress, Result, check, train

__all__ = ["Learner", "Progress", "Result", "TrainingError", "check", "train"]
