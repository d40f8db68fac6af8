"""What an ONNX file of somebody else can and cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blursynth.errors import BlursynthError, MissingExtraError, PictureError
from blursynth.io.onnx_session import open_onnx

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

WHAT = {"purpose": "This test", "extra": "depth"}


def model(path: Path, nodes: list[Any], constants: tuple[Any, ...] = ()) -> Path:
    """``y = f(x)`` of four numbers; operators without a domain, or of ``mine``."""
    helper = onnx.helper
    put_in, out = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph(nodes, "test", [put_in], [out], list(constants))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
    return path


def elsewhere(location: str) -> Any:
    """Four numbers that lie in a file."""
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def add(**options: Any) -> Any:
    return onnx.helper.make_node("Add", ["x", "w"], ["y"], **options)


def test_weights_lie_in_the_folder_of_the_file(tmp_path: Path) -> None:
    inside = tmp_path / "model"
    inside.mkdir()
    for place in (tmp_path / "secret", inside / "weights"):
        place.write_bytes(np.arange(1, 5, dtype=np.float32).tobytes())
    (inside / "link").symlink_to(tmp_path / "secret")
    session = open_onnx(model(inside / "n.onnx", [add()], (elsewhere("weights"),)), **WHAT)
    assert session.run(None, {"x": np.zeros(4, np.float32)})[0].tolist() == [1, 2, 3, 4]
    for location in ("../secret", str(tmp_path / "secret"), "link", "../model/../secret", "*/_ORT_MEM_ADDR_/*"):
        with pytest.raises(PictureError, match="is not an ONNX model that can be run") as error:
            open_onnx(model(inside / "n.onnx", [add()], (elsewhere(location),)), **WHAT)
        assert "[ONNXRuntimeError]" not in str(error.value)


def test_operators_are_those_of_the_runtime(tmp_path: Path) -> None:
    constant = onnx.numpy_helper.from_array(np.ones(4, np.float32), "w")
    path = model(tmp_path / "n.onnx", [add(domain="mine")], (constant,))
    with pytest.raises(PictureError, match=r"n\.onnx: .*mine:Add.* is not a registered function/op"):
        open_onnx(path, **WHAT)


def test_memory_is_limited(tmp_path: Path) -> None:
    """Of a constant of 3.2 TB: neither while it is loaded, where constants are computed, nor when it runs."""
    helper = onnx.helper
    nodes = [
        helper.make_node("ConstantOfShape", ["w"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    for count, runs in ((1000, True), (8 * 10**11, False)):
        constant = onnx.numpy_helper.from_array(np.array([count], np.int64), "w")
        session = open_onnx(model(tmp_path / "n.onnx", nodes, (constant,)), **WHAT)
        if runs:
            session.run(None, {"x": np.zeros(4, np.float32)})
            continue
        with pytest.raises(Exception, match=r"Available memory of .* is smaller than requested bytes of 32000000"):
            session.run(None, {"x": np.zeros(4, np.float32)})


def test_damaged_files(tmp_path: Path) -> None:
    """Every cut, and every byte turned over: an error or another network, but no end of the process."""
    constant = onnx.numpy_helper.from_array(np.ones(4, np.float32), "w")
    whole = model(tmp_path / "n.onnx", [add()], (constant,)).read_bytes()
    path = tmp_path / "damaged.onnx"
    refused = 0
    for place in range(len(whole)):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            try:
                open_onnx(path, **WHAT)
            except BlursynthError:
                refused += 1
    assert refused > len(whole)


def test_an_old_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", "1.9.2")
    with pytest.raises(MissingExtraError, match=r"needs onnxruntime 1\.28 or newer, got 1\.9\.2"):
        open_onnx(tmp_path / "n.onnx", **WHAT)
