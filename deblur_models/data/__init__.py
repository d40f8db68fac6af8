"""Where pairs for training come from: data sets of blursynth, photographs blurred on the fly, folders of real pairs."""

from __future__ import annotations

from deblur_models.data.batch import Batch

__all__ = ["Batch"]
