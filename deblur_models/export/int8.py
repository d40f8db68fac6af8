"""ONNX graphs whose convolutions compute with 8-bit integers, made by ONNX Runtime's quantizer."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import DatasetError
from blursynth.io.onnx_session import open_onnx
from deblur_models.export.onnx_graph import layers_of

if TYPE_CHECKING:
    import onnx

__all__ = ["CALIBRATIONS", "Calibration", "Quantizer"]

Calibration = Literal["percentile", "entropy", "minmax"]
CALIBRATIONS: tuple[Calibration, ...] = ("percentile", "entropy", "minmax")
"""How the range of a value follows from what was seen of it: all but 1 in 100,000, the range whose integers have the
distribution that is nearest to that of the values (Kullback-Leibler divergence), or everything."""

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_JOINS = ("Add", "Concat", "MaxPool")
_ACTIVATIONS = ("Relu", "Clip")  # these become limits of the integers before them
_TYPES = [*_CONVOLUTIONS, *_JOINS, *_ACTIVATIONS]


class Quantizer:
    r"""A graph in float32 with the ranges of its values, from which graphs with integers are made.

    A value :math:`x` is held as the integer :math:`q = \mathrm{round}(x / s) + z`. Feature maps have 8 bits, unsigned,
    with one scale :math:`s` and zero point :math:`z` from their range; weights 7 bits, signed, with :math:`z = 0` and
    a scale for each output channel. Processors without VNNI add two products of 8 bits in 16 bits: with 8 bits in the
    weights, too, such sums can be too large and are cut off, with 7 they fit, so that results are the same everywhere.

    Integers are used in convolutions, and in the additions, concatenations, poolings and activations between them;
    everything else, such as padding and the addition of the input to the output, stays as it is.

    Parameters
    ----------
    model
        A graph in float32 with one input.
    pictures
        What the ranges are measured on: arrays ``[1, 3, H, W]`` in 0..1.
    calibration
        One of :data:`CALIBRATIONS`.
    on_picture
        Called after each picture with the number done.

    Raises
    ------
    DatasetError
        It has no convolutions, or ONNX Runtime cannot run it on the pictures.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        pictures: Sequence[NDArray[np.float32]],
        calibration: Calibration,
        on_picture: Callable[[int], None] = lambda done: None,
    ) -> None:
        import onnx
        from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

        self._nodes = _between_convolutions(model)
        if not self._nodes:
            raise DatasetError("The graph has no convolutions, which are what is quantized.")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "float32.onnx"
            with _quantizer_of_onnxruntime():
                onnx.save(model, path)
                self._model = load_model_with_shape_infer(path)
            self._ranges = _ranges(path, pictures, calibration, on_picture)

    @property
    def layers(self) -> Mapping[str, str]:
        """Names of the nodes that are convolutions, in their order, and of the layers in the network that they are."""
        names = dict(layers_of(self._model))
        return {node.name: names[node.output[0]] for node in self._nodes if node.op_type in _CONVOLUTIONS}

    def quantized(self, in_float32: Collection[str] = ()) -> onnx.ModelProto:
        """The graph in integers, except for some convolutions: at least one of :attr:`layers` must be left."""
        from onnxruntime.quantization import CalibrationMethod, QuantType
        from onnxruntime.quantization.calibrate import TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        names: list[str] = []
        integers: set[str] = set()
        for node in self._nodes:
            is_convolution = node.op_type in _CONVOLUTIONS
            if node.name not in in_float32 if is_convolution else integers.intersection(node.input):
                names.append(node.name)
                integers.update(node.output)
        with _quantizer_of_onnxruntime():
            quantizer = QDQQuantizer(
                copy.deepcopy(self._model),
                True,  # a scale for each channel
                True,  # 7 bits in weights
                QuantType.QInt8,
                QuantType.QUInt8,
                TensorsData(CalibrationMethod.MinMax, dict(self._ranges)),
                names,
                [],
                _TYPES,
                {},
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()
        made: onnx.ModelProto = quantizer.model.model
        _keep_in_float32(made, in_float32)
        del made.graph.value_info[:]  # of values that are gone, too
        kept = [one for one in made.metadata_props if one.key != "onnx.infer"]  # a note of its own
        del made.metadata_props[:]
        made.metadata_props.extend(kept)
        return made


def _keep_in_float32(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Keep ONNX Runtime from quantizing convolutions that are left in float32.

    Between integers it does so itself, with one scale for all weights (its WeightBiasQuantization), unless the scale of
    the input is a vector. So they get their input by a vector whose elements are all that scale.
    """
    import onnx

    makers = {output: node for node in model.graph.node for output in node.output}
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    for place, node in reversed(list(enumerate(model.graph.node))):
        given = makers.get(node.input[0]) if node.name in names else None
        if given is None or given.op_type != "DequantizeLinear":
            continue
        weights = constants[node.input[1]]
        groups = next((one.i for one in node.attribute if one.name == "group"), 1)
        channels = weights.shape[1] * groups if node.op_type == "Conv" else weights.shape[0]
        inputs = [given.input[0]]
        for name in given.input[1:]:
            inputs.append(f"{node.name}_{name}")
            vector = np.full(channels, constants[name])
            model.graph.initializer.append(onnx.numpy_helper.from_array(vector, inputs[-1]))
        node.input[0] = f"{node.name}_input"
        made = onnx.helper.make_node("DequantizeLinear", inputs, [node.input[0]], f"{node.name}_dequantize", axis=1)
        model.graph.node.insert(place, made)


def _between_convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Convolutions with constant weights, and what joins feature maps on the way from one to another."""
    constants = {one.name for one in model.graph.initializer}
    nodes = list(model.graph.node)
    convolutions = [node for node in nodes if node.op_type in _CONVOLUTIONS and node.input[1] in constants]
    after = {output for node in convolutions for output in node.output}
    for node in nodes:  # in order of computation
        if node.op_type != "Shape" and after.intersection(node.input):
            after.update(node.output)
    before = {node.input[0] for node in convolutions}
    for node in reversed(nodes):
        if node.op_type != "Shape" and before.intersection(node.output):
            before.update(node.input)

    def joins(node: onnx.NodeProto) -> bool:
        maps = node.input[:1] if node.op_type in _ACTIVATIONS else node.input
        on_the_way = after.intersection(maps) and before.intersection(node.output)
        return bool(node.op_type in (*_JOINS, *_ACTIVATIONS) and on_the_way and not constants.intersection(maps))

    names = {node.name for node in convolutions}
    return [node for node in nodes if node.name in names or joins(node)]


def _ranges(
    path: Path,
    pictures: Sequence[NDArray[np.float32]],
    calibration: Calibration,
    on_picture: Callable[[int], None],
) -> dict[str, tuple[Any, Any]]:
    """Least and largest value of every feature map; the folder of the graph gets another file."""
    from onnxruntime.quantization.calibrate import EntropyCalibrater, MinMaxCalibrater, PercentileCalibrater

    of = {"percentile": PercentileCalibrater, "entropy": EntropyCalibrater, "minmax": MinMaxCalibrater}[calibration]
    augmented = path.with_name("with_outputs.onnx")
    with _quantizer_of_onnxruntime():
        calibrater = of(path, _TYPES, augmented_model_path=str(augmented))
        calibrater.augment_graph()
    calibrater.infer_session = open_onnx(augmented, purpose="Quantization", extra="onnx")  # with limits of memory
    name = calibrater.infer_session.get_inputs()[0].name
    for done, picture in enumerate(pictures, start=1):
        with _quantizer_of_onnxruntime():
            calibrater.collect_data(_Reader({name: picture}))  # one at a time, since it holds what it gets in memory
        on_picture(done)
    with _quantizer_of_onnxruntime():
        return {name: values.range_value for name, values in calibrater.compute_data().items()}


class _Reader:
    """A ``CalibrationDataReader`` of one picture."""

    def __init__(self, feeds: Mapping[str, NDArray[np.float32]]) -> None:
        self._left = [feeds]

    def get_next(self) -> Mapping[str, NDArray[np.float32]] | None:
        return self._left.pop() if self._left else None


@contextlib.contextmanager
def _quantizer_of_onnxruntime() -> Iterator[None]:
    """Its errors as ours, and nothing of what it prints, and logs to the root logger."""
    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)  # else its logging.warning() would set up logging
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception as error:  # of many types: of the runtime, of onnx, of NumPy for values that are not finite
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"ONNX Runtime cannot quantize the graph: {reason[:300].rstrip('.')}.") from None
    finally:
        root.setLevel(level)
        root.removeHandler(silent)
