"""deblur_models: train, evaluate and apply deblurring networks on the synthetic blur of :mod:`blursynth`.

>>> import torch
>>> import deblur_models as dm
>>> network = dm.create_network("nafnet", size="tiny")
>>> network(torch.rand(1, 3, 30, 45)).shape
torch.Size([1, 3, 30, 45])

Networks are torch modules that map images ``[B, 3, H, W]`` of encoded (DISPLAY) values in 0..1, of any size, to
restored ones, so they fit into any training loop. Every name is loaded on first use.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deblur_models import losses, metrics, networks
    from deblur_models.api import apply_network, evaluate_network, train_network
    from deblur_models.checkpoints.checkpoint import load_network, save_network
    from deblur_models.config.configuration import Configuration, configuration_names, load_configuration
    from deblur_models.export.exporting import export_network
    from deblur_models.export.quantize import quantize_network
    from deblur_models.networks import Network, create_network, list_networks
    from deblur_models.restore.network_restorer import NetworkRestorer
    from deblur_models.restore.onnx_network import OnnxNetwork
    from deblur_models.restore.picture import restore_picture

__all__ = [  # noqa: RUF022  in the order of use
    # Networks, with fresh weights or those of a checkpoint.
    "Network",
    "list_networks",
    "create_network",
    "load_network",
    "save_network",
    # Training, as `deblur train` does it.
    "Configuration",
    "configuration_names",
    "load_configuration",
    "train_network",
    # Use and evaluation.
    "apply_network",
    "restore_picture",
    "NetworkRestorer",
    "evaluate_network",
    # Files for other runtimes, and their use in the place of networks.
    "export_network",
    "quantize_network",
    "OnnxNetwork",
    # What training loops of yours may want: modules of their own.
    "networks",
    "losses",
    "metrics",
]

_NAMES_OF = {
    "api": "apply_network evaluate_network train_network",
    "checkpoints.checkpoint": "load_network save_network",
    "config.configuration": "Configuration configuration_names load_configuration",
    "export.exporting": "export_network",
    "export.quantize": "quantize_network",
    "networks": "Network create_network list_networks",
    "restore.network_restorer": "NetworkRestorer",
    "restore.onnx_network": "OnnxNetwork",
    "restore.picture": "restore_picture",
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}
_MODULES = ("losses", "metrics", "networks")

if not TYPE_CHECKING:  # to type checkers a module with __getattr__ has every name

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"deblur_models.{name}")
        if name not in _MODULE_OF:
            # With name and module at hand Python adds what else may be meant.
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
        globals()[name] = value = getattr(importlib.import_module(f"deblur_models.{_MODULE_OF[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
