"""Training pairs from blursynth data sets, photographs blurred on the fly, and folders of real pairs."""

from __future__ import annotations

from deblur_models.data.augmentation import Augmentation
from deblur_models.data.batch import Batch
from deblur_models.data.collate import Collated, collate, make_batch
from deblur_models.data.pair_set import FolderPairs, PairSample, PairSet, StoredPairs, open_pairs
from deblur_models.data.training_set import (
    BlurredByNetwork,
    Crops,
    OnTheFly,
    Source,
    TrainingSet,
    batches,
)

__all__ = [
    "Augmentation",
    "Batch",
    "BlurredByNetwork",
    "Collated",
    "Crops",
    "FolderPairs",
    "OnTheFly",
    "PairSample",
    "PairSet",
    "Source",
    "StoredPairs",
    "TrainingSet",
    "batches",
    "collate",
    "make_batch",
    "open_pairs",
]
