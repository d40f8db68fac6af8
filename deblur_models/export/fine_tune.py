"""Weights that expect to be rounded: a short training in which torchao rounds weights and feature maps."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from blursynth.errors import InvalidValueError, require
from deblur_models.export.graph import PictureGraph
from deblur_models.networks.network import Network

__all__ = ["check_torchao", "fine_tuned"]


def fine_tuned(
    network: Network,
    batch_of: Callable[[int], Tensor],
    steps: int,
    *,
    learning_rate: float = 1e-4,
    on_step: Callable[[int], None] = lambda done: None,
) -> Network:
    """A copy of a network, trained to give the network's own pictures while its values are rounded to 8 bits.

    Weights of 7 bits and feature maps of 8 are rounded in each step, and gradients pass through the rounding as if it
    were not there (Jacob et al., CVPR 2018). The copy computes in float32 again: only its weights have changed.

    Parameters
    ----------
    network
        It is not changed.
    batch_of
        Blurred pictures ``[B, 3, H, W]`` in 0..1 of a step; all of one shape.
    steps
        Number of steps. In the second half the ranges of feature maps stay as they are.
    learning_rate
        Of Adam, in the first step; it falls to 0 by a cosine.
    on_step
        Called after each step with the number done.

    Raises
    ------
    MissingExtraError
        The package torchao is not installed.
    InvalidValueError
        torch cannot trace the network.

    Notes
    -----
    Not modeled: statistics of batch norms, which stay those of ``eval()``.
    """
    check_torchao()
    network = copy.deepcopy(network).to("cpu", torch.float32).eval()
    tuned = copy.deepcopy(network)
    with _quietly():
        from torchao.quantization.pt2e import disable_observer
        from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
        from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import X86InductorQuantizer

        try:
            graph = torch.export.export(PictureGraph(tuned).eval(), (batch_of(0),)).module()
        except Exception as error:  # of many types
            reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
            raise InvalidValueError(
                f"{network.config.kind} cannot be traced: {reason.strip().rstrip('.')}.",
                fix="Quantize it without fine-tuning.",
            ) from None
        quantizer = X86InductorQuantizer()
        quantizer.set_global(_rounding())
        rounded: nn.Module = prepare_qat_pt2e(graph, quantizer)
        weights = {name: value for name, value in rounded.named_parameters() if value.requires_grad}
        optimizer = torch.optim.Adam(weights.values(), learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
        for step in range(steps):
            if step == steps // 2:
                rounded.apply(disable_observer)
            blurred = batch_of(step)
            with torch.no_grad():
                wanted = network(blurred)
            loss = (rounded(blurred) - wanted).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            on_step(step + 1)
        tuned.load_state_dict({**tuned.state_dict(), **{n.removeprefix("network."): w for n, w in weights.items()}})
    return tuned


def check_torchao() -> None:
    """Raise an error unless torchao is installed."""
    with _quietly():
        require("torchao", extra="qat", purpose="Fine-tuning for integers")


def _rounding() -> Any:
    """As in :class:`~deblur_models.export.int8.Quantizer`; the one that comes with torchao has 8 bits in weights."""
    from torchao.quantization.pt2e import FusedMovingAvgObsFakeQuantize, MovingAveragePerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantizer import QuantizationSpec
    from torchao.quantization.pt2e.quantizer.utils import QuantizationConfig

    fine = {"eps": torch.finfo(torch.float32).eps}  # of a step; the default, 2^-12, is coarse for small weights
    maps = QuantizationSpec(
        dtype=torch.uint8,
        quant_min=0,
        quant_max=255,
        qscheme=torch.per_tensor_affine,
        observer_or_fake_quant_ctr=FusedMovingAvgObsFakeQuantize.with_args(**fine),
    )
    weights = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-64,
        quant_max=63,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        observer_or_fake_quant_ctr=FusedMovingAvgObsFakeQuantize.with_args(
            observer=MovingAveragePerChannelMinMaxObserver, **fine
        ),
    )
    return QuantizationConfig(maps, maps, weights, None, is_qat=True)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without warnings of torchao about kernels for other hardware, and of torch about torchao."""
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
