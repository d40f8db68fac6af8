"""Training and evaluation in one call each, from names and paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from deblur_models.checkpoints.checkpoint import load_network
from deblur_models.config.configuration import Configuration, load_configuration
from deblur_models.data.pair_set import PairSet, open_pairs
from deblur_models.device import torch_device
from deblur_models.evaluate.evaluation import Evaluation, evaluate
from deblur_models.evaluate.report import write_report
from deblur_models.metrics import Metric, metric
from deblur_models.networks import Network
from deblur_models.restore.network_restorer import NetworkRestorer, usual_tiles
from deblur_models.restore.restorer import Restorer
from deblur_models.train import Result, train

__all__ = ["evaluate_network", "train_network"]


def train_network(
    configuration: Configuration | str | Path,
    out: str | Path,
    *,
    changes: Mapping[str, Any] | None = None,
    **options: Any,
) -> Result:
    """Train a network as ``deblur train`` does; where the folder holds an unfinished run, go on with it.

    For a training loop of your own take :func:`deblur_models.create_network`, which is a module of torch.

    Parameters
    ----------
    configuration
        Name of one that ships (:func:`deblur_models.configuration_names`), path of a TOML file, or a configuration.
    out
        Folder of the run; :func:`deblur_models.load_network` takes it.
    changes
        Dotted names and values that replace those of a name or a file, as ``{"data.blurred.photos": "photos/",
        "stage.0.steps": 2000}``.
    **options
        As :func:`deblur_models.train.train` takes them: ``resume``, ``on_progress`` ...

    Returns
    -------
    Result
        Number of steps and scores of held-out pairs.

    Raises
    ------
    BlursynthError
        A configuration, data or folders that cannot be used, before anything is trained.
    TrainingError
        A loss is not a number.

    Examples
    --------
    ``train_network("small", "run/", changes={"data.blurred.recipe": "mixed"})`` trains on photographs of scikit-image.
    """
    if not isinstance(configuration, Configuration):
        configuration = load_configuration(configuration, changes)
    elif changes:
        configuration = load_configuration(configuration.to_dict(), changes)
    return train(configuration, out, **options)


def evaluate_network(
    network: Network | Restorer | str | Path,
    pairs: PairSet | str | Path,
    out: str | Path,
    *,
    metrics: Sequence[Metric | str] = ("psnr", "ssim"),
    device: torch.device | str = "auto",
    **options: Any,
) -> Evaluation:
    """Measure how well a network restores pairs, beside no restoration, and write a report.

    Parameters
    ----------
    network
        A network, the path of a checkpoint or a run, or anything else that restores.
    pairs
        A data set of blursynth, or a folder with blurred and sharp pictures; see
        :func:`deblur_models.data.open_pairs`.
    out
        Folder of the report, ``index.html`` and ``summary.json``; results that are there are kept.
    metrics
        By name or with settings; ``psnr`` among them.
    device
        Where the network runs; ``auto`` takes CUDA where there is one.
    **options
        As :func:`deblur_models.evaluate.evaluation.evaluate` takes them: ``limit``, ``harm``, ``pictures`` ...

    Returns
    -------
    Evaluation
        ``summary`` is what the report shows, ``values`` holds every measurement.

    Raises
    ------
    BlursynthError
        Pairs, checkpoints or metrics that cannot be used.
    """
    if isinstance(network, str | Path):
        network = load_network(network)
    if isinstance(network, Network):
        network = NetworkRestorer(network, device=torch_device(str(device)), **usual_tiles(network))
    opened = open_pairs(pairs) if isinstance(pairs, str | Path) else pairs
    wanted = [metric(one) if isinstance(one, str) else one for one in metrics]
    found = evaluate(opened, [network], out, metrics=wanted, **options)
    write_report(found)
    return found
