"""A detector of 32 x 32 px that finds what is red or blue in the cells of its grids, made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deblur_models.evaluate.detection import Yolox


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Yolox:
    """Rows of YOLOX: the box is the cell, and the values of ``red`` and ``blue`` are the means of these channels."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, folder = onnx.helper, tmp_path_factory.mktemp("detector")
    nodes = []
    for stride in (8, 16, 32):
        pool = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
        nodes.append(helper.make_node("AveragePool", ["images"], [f"mean{stride}"], **pool))
        nodes.append(helper.make_node("Reshape", [f"mean{stride}", "flat"], [f"cells{stride}"]))
    nodes += [
        helper.make_node("Concat", ["cells8", "cells16", "cells32"], ["codes"], axis=2),  # [1, 3, 21], blue first
        helper.make_node("Transpose", ["codes"], ["by_cell"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["by_cell", "to_row"], ["values"]),
        helper.make_node("Add", ["values", "box"], ["output"]),
    ]
    to_row = np.zeros((3, 7), np.float32)
    to_row[2, 5] = to_row[0, 6] = 1 / 255
    box = np.array([0.5, 0.5, 0, 0, 1, 0, 0], np.float32)  # the center of the cell, e^0 strides wide, certain
    constants = {"flat": np.array([1, 3, -1], np.int64), "to_row": to_row, "box": box}
    graph = helper.make_graph(
        nodes,
        "red and blue",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, [1, 21, 7])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model: Path = folder / "red_and_blue.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    model.write_bytes(made.SerializeToString())
    (folder / "names.txt").write_text("red\nblue\n")
    return Yolox(model=str(model), classes=str(folder / "names.txt"))
