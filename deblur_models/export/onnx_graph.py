"""ONNX graphs of networks: traced by torch, with a description inside, and cut off at a layer to compare it."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from blursynth.errors import InvalidValueError, require
from deblur_models.export.graph import PictureGraph, example_picture
from deblur_models.networks.network import Network

if TYPE_CHECKING:
    import onnx

__all__ = ["DEFAULT_OPSET", "OPSETS", "cut_at", "layers_of", "traced"]

DEFAULT_OPSET, OPSETS = 18, range(18, 24)

_INPUT, _OUTPUT = "picture", "restored"
_SCOPES = "pkg.torch.onnx.name_scopes"


def traced(
    network: Network, *, size_px: tuple[int, int] | None, opset: int, about: Mapping[str, str]
) -> tuple[onnx.ModelProto, torch.export.ExportedProgram]:
    """The network as an ONNX model whose ``metadata_props`` are ``about``, and as the program torch made it from.

    Values of the two have the same names.

    Raises
    ------
    MissingExtraError
        The packages onnx and onnxscript are not installed.
    InvalidValueError
        torch cannot trace the network.
    """
    require("onnx", extra="onnx", purpose="Export to ONNX")
    require("onnxscript", extra="onnx", purpose="Export to ONNX")
    dynamic = torch.export.Dim.DYNAMIC
    shapes = None if size_px is not None else ({0: dynamic, 2: dynamic, 3: dynamic},)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter's own code
        try:
            made = torch.onnx.export(
                PictureGraph(network).eval(), (example_picture(network, size_px),),
                dynamo=True, dynamic_shapes=shapes, input_names=[_INPUT], output_names=[_OUTPUT],
                opset_version=opset, verbose=False, external_data=False,
            )  # fmt: skip
        except Exception as error:  # of many types, and many lines
            lines = [line for line in str(error).splitlines() if line.strip()]
            reason = lines[-1] if lines else type(error).__name__
            raise InvalidValueError(
                f"{network.config.kind} cannot be exported: {reason}",
                fix="Export it for one size (size_px, --size), or with other fields of its configuration.",
            ) from None
    assert made is not None  # torch gives None only where it writes a file
    model, program = made.model_proto, made.exported_program
    assert program is not None
    _name_sides(model, size_px)
    for node in model.graph.node:
        scopes = [one.value for one in node.metadata_props if one.key == _SCOPES]
        del node.metadata_props[:]  # stack traces name folders of this machine
        if scopes:
            node.metadata_props.add(key=_SCOPES, value=scopes[0])
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    return model, program


def _name_sides(model: onnx.ModelProto, size_px: tuple[int, int] | None) -> None:
    """Call the sides of the picture batch, height and width, where torch calls them s0 and s1."""
    names = ("batch", "", "height", "width")
    if size_px is None:
        for value in (model.graph.input[0], model.graph.output[0]):
            for dim, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
                if name:
                    dim.Clear()
                    dim.dim_param = name
        # Sizes inside follow from these; those that torch noted name the old ones.
        del model.graph.value_info[:]


def layers_of(model: onnx.ModelProto) -> list[tuple[str, str]]:
    """Values in order of computation, ``(name of the value, name of the layer in the network)``."""
    found = []
    for node in model.graph.node:
        scopes = [one.value for one in node.metadata_props if one.key == _SCOPES]
        try:
            path = ast.literal_eval(scopes[0]) if scopes else []
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            path = []
        layer = path[-2].removeprefix("network.") if len(path) > 1 else ""
        found.append((node.output[0], layer or node.op_type))
    return found


def cut_at(model: onnx.ModelProto, value: str, dims: int, *, half: bool = False) -> onnx.ModelProto:
    """The part of a model that computes a value of ``dims`` dimensions, as a model whose output it is."""
    import onnx

    makers = {output: node for node in model.graph.node for output in node.output}
    needed: set[str] = set()
    wanted = [value]
    while wanted:
        name = wanted.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in makers:
            wanted += makers[name].input
    part = onnx.ModelProto()
    part.CopyFrom(model)
    graph = part.graph
    nodes = [node for node in model.graph.node if needed.intersection(node.output)]
    constants = [one for one in model.graph.initializer if one.name in needed]
    for field, kept in (("node", nodes), ("initializer", constants)):
        del getattr(graph, field)[:]
        getattr(graph, field).extend(kept)
    del graph.output[:]
    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
    graph.output.append(onnx.helper.make_tensor_value_info(value, kind, [None] * dims))
    return part


def described(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as texts for ``metadata_props``: JSON, but for those that are texts already."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, allow_nan=False) for name, value in values.items()
    }
