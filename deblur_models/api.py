"""Training, evaluation and use in one call each, from names and paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from blursynth.errors import InvalidValueError
from deblur_models.checkpoints.shipped import DEFAULT
from deblur_models.config.configuration import Configuration, load_configuration
from deblur_models.data.pair_set import PairSet, open_pairs
from deblur_models.device import torch_device
from deblur_models.evaluate.evaluation import Evaluation, evaluate
from deblur_models.evaluate.protocols import find_protocol
from deblur_models.evaluate.report import write_report
from deblur_models.metrics import Metric, metric
from deblur_models.networks import Network
from deblur_models.restore.files import BESIDE, RestoredFiles, plan_files, restore_files
from deblur_models.restore.network_restorer import NetworkRestorer, usual_tiles
from deblur_models.restore.onnx_network import OnnxNetwork
from deblur_models.restore.opening import open_network
from deblur_models.restore.restorer import Restorer
from deblur_models.train import Result, train

__all__ = ["apply_network", "evaluate_network", "train_network"]


def train_network(
    configuration: Configuration | str | Path,
    out: str | Path,
    *,
    changes: Mapping[str, Any] | None = None,
    **options: Any,
) -> Result:
    """Train a network as ``deblur train`` does; resume the run if the folder holds an unfinished one.

    For your own training loop, use :func:`deblur_models.create_network`, which returns a torch module.

    Parameters
    ----------
    configuration
        A bundled name (:func:`deblur_models.configuration_names`), the path of a TOML file, or a configuration.
    out
        Run directory; :func:`deblur_models.load_network` accepts it.
    changes
        Dotted names and values that override the named configuration or file, as ``{"data.blurred.photos": "photos/",
        "stage.0.steps": 2000}``.
    **options
        Passed to :func:`deblur_models.train.train`: ``resume``, ``on_progress`` ...

    Returns
    -------
    Result
        Number of steps and scores on held-out pairs.

    Raises
    ------
    BlursynthError
        The configuration, data or folders cannot be used; raised before training starts.
    TrainingError
        A loss is NaN or infinite.

    Examples
    --------
    ``train_network("small", "run/", changes={"data.blurred.recipe": "mixed"})`` trains on scikit-image photographs.
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
    metrics: Sequence[Metric | str] | None = None,
    protocol: str | None = None,
    device: torch.device | str = "auto",
    **options: Any,
) -> Evaluation:
    """Measure how well a network restores pairs, compared with no restoration, and write a report.

    Parameters
    ----------
    network
        A network, the path of a checkpoint or a run, or any other restorer.
    pairs
        A blursynth data set, or a folder with blurred and sharp pictures; see
        :func:`deblur_models.data.open_pairs`.
    out
        Folder of the report, ``index.html`` and ``summary.json``; existing results are kept.
    metrics
        By name or with settings; they must include ``psnr``. By default those of the protocol, or ``psnr`` and
        ``ssim``.
    protocol
        The name of a public test set (see :data:`deblur_models.evaluate.PROTOCOLS`), which is found in the folder
        ``pairs``.
    device
        Where the network runs; ``auto`` uses CUDA if available.
    **options
        Passed to :func:`deblur_models.evaluate.evaluation.evaluate`: ``limit``, ``harm``, ``pictures`` ...

    Returns
    -------
    Evaluation
        ``summary`` holds what the report shows, ``values`` holds every measurement.

    Raises
    ------
    BlursynthError
        Pairs, checkpoints, metrics or the protocol cannot be used.

    Examples
    --------
    ``evaluate_network("run/", "/data/RealBlur", "report/", protocol="realblur-j")`` measures after registration, as the
    published figures are.
    """
    restorer = _restorer(network, device)
    if protocol is not None:
        if isinstance(pairs, PairSet):
            raise InvalidValueError(f"protocol {protocol!r} needs the folder of the set, got pairs.")
        public = find_protocol(protocol)
        opened, options["references"] = public.open(pairs)
        metrics = public.metrics if metrics is None else metrics
    else:
        opened = open_pairs(pairs) if isinstance(pairs, str | Path) else pairs
    wanted = [metric(one) if isinstance(one, str) else one for one in metrics or ("psnr", "ssim")]
    found = evaluate(opened, [restorer], out, metrics=wanted, **options)
    write_report(found)
    return found


def apply_network(
    pictures: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    network: Network | Restorer | str | Path = DEFAULT,
    strength: float = 1.0,
    overwrite: bool = False,
    device: torch.device | str = "auto",
) -> RestoredFiles:
    """Restore picture files as ``deblur apply`` does; they keep format, bit depth, transparency and metadata.

    For arrays, tensors and Pillow images, use :func:`deblur_models.restore_picture`.

    Parameters
    ----------
    pictures
        Files, folders and patterns.
    out
        Folder for the restored pictures, which keep their names; None writes each next to its original, as
        ``NAME-deblurred``.
    network
        The name of a network that ships, the path of a checkpoint or a run, a network, or any other restorer that needs
        no kernel.
    strength
        0 to 1.5: the picture plus ``strength`` times its change by restoration.
    overwrite
        Whether to overwrite existing restored pictures.
    device
        Where the network runs; ``auto`` uses CUDA if available.

    Returns
    -------
    RestoredFiles
        ``restored`` holds pictures, their restored files, and how much they changed (``looks_sharp``: hardly);
        ``failed`` those that were not restored, and why.

    Raises
    ------
    BlursynthError
        No picture is found, the checkpoint cannot be used, or the strength is out of range.

    Examples
    --------
    ``apply_network("photo.jpg")`` writes ``photo-deblurred.jpg``.
    """
    given = [pictures] if isinstance(pictures, str | Path) else pictures
    planned = plan_files(given, out, BESIDE if out is None else "")
    done = restore_files(planned.jobs, _restorer(network, device), strength=strength, overwrite=overwrite)
    return RestoredFiles(done.restored, [*planned.left_out, *done.failed])


def _restorer(network: Network | Restorer | str | Path, device: torch.device | str) -> Restorer:
    place = torch_device(str(device))
    opened = open_network(network, device=place) if isinstance(network, str | Path) else network
    if isinstance(opened, Network | OnnxNetwork):
        return NetworkRestorer(opened, device=place, **usual_tiles(opened))
    return opened
