"""The first layer at which a runtime's results are not those of torch, found by bisection over intermediate results."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from deblur_models.export.onnx_graph import cut_at, layers_of
from deblur_models.export.runtimes import RuntimeFailure, run_in

if TYPE_CHECKING:
    import onnx

__all__ = ["first_layer_that_differs"]


def first_layer_that_differs(
    model: onnx.ModelProto,
    program: torch.export.ExportedProgram,
    runtime: str,
    picture: NDArray[np.float32],
    tolerance: float,
) -> str:
    """The name of the layer, with the kind of its operation and its error; empty if every layer agrees.

    Each step cuts the graph off after half of the remaining values, runs it, and compares the value with torch's by
    their largest difference relative to the largest value. What differs early is taken to differ later.

    Parameters
    ----------
    model, program
        The exported graph, and the program of torch that it was made from.
    runtime
        The runtime that gives other results.
    picture
        ``[1, 3, H, W]``, with which they were seen.
    tolerance
        The largest relative difference of a value.
    """
    expected, halves = _values(program, torch.from_numpy(picture))
    values = [(name, layer) for name, layer in layers_of(model) if name in expected]

    def error(name: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "part.onnx"
            path.write_bytes(cut_at(model, name, expected[name].ndim, half=halves[name]).SerializeToString())
            try:
                found = run_in(runtime, path, [picture])[0]
            except RuntimeFailure:
                return np.inf
        wanted = expected[name]
        if found.shape != wanted.shape:
            return np.inf
        scale = max(float(np.abs(wanted).max()), 1e-6)
        largest = float(np.abs(found.astype(np.float64) - wanted).max()) / scale
        return largest if np.isfinite(largest) else np.inf

    good, bad = -1, len(values)
    errors = {}
    while bad - good > 1:
        middle = (good + bad) // 2
        errors[middle] = error(values[middle][0])
        good, bad = (middle, bad) if errors[middle] <= tolerance else (good, middle)
    if bad == len(values):
        return ""
    name, layer = values[bad]
    kind = next(node.op_type for node in model.graph.node if name in node.output)
    how = f"a relative error of {errors[bad]:.1e}" if np.isfinite(errors[bad]) else "no result"
    return f"{layer} ({kind}, {how})"


def _values(
    program: torch.export.ExportedProgram, picture: torch.Tensor
) -> tuple[dict[str, NDArray[Any]], dict[str, bool]]:
    """Every map of features in a program by its name, and whether it is in half precision."""
    found: dict[str, NDArray[Any]] = {}
    halves: dict[str, bool] = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            result = super().run_node(n)
            if isinstance(result, torch.Tensor) and result.is_floating_point() and result.ndim > 2:
                found[n.name], halves[n.name] = result.float().numpy(), result.dtype == torch.float16
            return result

    with torch.no_grad():
        Recorder(program.module(check_guards=False)).run(picture)
    return found, halves
