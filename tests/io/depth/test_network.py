"""Depth from an ONNX network, tried with tiny networks that are made here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blursynth as bs
from blursynth.errors import InvalidValueError, MissingExtraError, PictureError
from blursynth.io.depth import DepthNetwork

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

ANY = ["n", 3, "h", "w"]


def model(
    path: Path, nodes: Sequence[Any], shape: Sequence[Any] = ANY, *, constants: Sequence[Any] = (), kind: int = 1
) -> Path:
    helper = onnx.helper
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("picture", kind, shape)],
        [helper.make_tensor_value_info("depth", kind, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    onnx.save(made, str(path))
    return path


def mean_of_channels(path: Path, shape: Sequence[Any] = ANY, *, keep: int = 0) -> Path:
    """Inverse depth = mean of the (normalized) channels, ``[1, H, W]`` or with keep=1 ``[1, 1, H, W]``."""
    node = onnx.helper.make_node("ReduceMean", ["picture"], ["depth"], axes=[1], keepdims=keep)
    return model(path, [node], shape)


def gray(rows: int = 40, columns: int = 60) -> bs.Frame:
    ramp = np.linspace(0.0, 1.0, columns, dtype=np.float32)
    return bs.Frame(np.broadcast_to(ramp, (2, 3, rows, columns)), "display")


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("shape", [ANY, [1, 3, 40, 60]])
def test_brightest_is_nearest_and_inverse_depth_is_linear(keep: int, shape: list[Any], tmp_path: Path) -> None:
    path = mean_of_channels(tmp_path / "n.onnx", shape, keep=keep)
    network = DepthNetwork(path, near_m=1.0, far_m=9.0, input_size_px=40, multiple_px=20)
    frame = network(gray())
    assert frame.depth_m.shape == (2, 40, 60)
    assert frame.depth_m.dtype == np.float32
    assert frame.encoding is bs.Encoding.DISPLAY
    expected = 1 / (1 / 9 + np.linspace(0, 1, 60) * (1 - 1 / 9))
    assert np.allclose(frame.depth_m[0], expected, rtol=1e-5)
    assert (float(frame.depth_m.min()), float(frame.depth_m.max())) == pytest.approx((1.0, 9.0), rel=1e-6)


def test_size_and_normalization_of_the_input(tmp_path: Path) -> None:
    """The network sees (value - mean) / std at the size it was told; its output may have another size."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Shape", ["picture"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["sizes"], to=1),
        helper.make_node("Gather", ["sizes", "index"], ["size"]),  # height and width
        helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[0, 2, 3], keepdims=0),  # 3 channels
        helper.make_node("Concat", ["size", "mean", "more"], ["all"], axis=0),
        helper.make_node("Reshape", ["all", "to"], ["depth"]),
    ]
    constants = [
        ("index", np.array([2, 3], np.int64)),
        ("more", np.array([200.0], np.float32)),
        ("to", np.array([1, 2, 3], np.int64)),
    ]
    path = model(tmp_path / "n.onnx", nodes, constants=constants)
    picture = np.empty((1, 3, 100, 151), np.float32)
    picture[:] = np.array([0.5, 0.25, 1.0]).reshape(1, 3, 1, 1)
    options = {"gives": "depth_m", "mean": (0.5, 0.0, 0.0), "std": (1.0, 0.5, 0.25), "near_m": 1e-3, "far_m": 1e3}
    network = DepthNetwork(path, **options, input_size_px=64, multiple_px=14)  # type: ignore[arg-type]
    found = network(bs.Frame(picture, "display")).depth_m[0]
    # 64 / 14 rounds to 5, 96.6 / 14 to 7.
    assert np.allclose([found[0, 0], found[0, 75], found[0, -1]], [70, 98, 1e-3], rtol=1e-5)
    assert np.allclose([found[-1, 0], found[-1, 75], found[-1, -1]], [0.5, 4.0, 200], rtol=1e-5)


def test_gray_pictures_and_float64(tmp_path: Path) -> None:
    network = DepthNetwork(mean_of_channels(tmp_path / "n.onnx"), near_m=1.0, far_m=5.0, input_size_px=28)
    one = gray().image[:, :1].astype(np.float64)
    assert network(bs.Frame(one, "display")).depth_m.dtype == np.float64


def broken(build: Callable[[Path], Path]) -> Callable[[Path], DepthNetwork]:
    return lambda folder: DepthNetwork(build(folder / "n.onnx"), near_m=1.0, far_m=5.0, input_size_px=28)


def simple(operator: str, **attributes: Any) -> Callable[[Path], Path]:
    return lambda path: model(path, [onnx.helper.make_node(operator, ["picture"], ["depth"], **attributes)])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (simple("Relu"), r"its first output has the shape \(1, 3, 28, 42\), not one depth map"),
        (simple("ReduceMean", axes=[1, 2, 3], keepdims=0), r"its first output has the shape \(1,\)"),
        (simple("ReduceMax", axes=[2], keepdims=0), r"its first output has the shape \(1, 3, 42\), not one depth map"),
        (simple("ReduceMax", axes=[0, 1, 2], keepdims=0), r"its first output has the shape \(42,\)"),
        (
            lambda path: model(
                path,
                [onnx.helper.make_node("Log", ["picture"], ["log"]),
                 onnx.helper.make_node("ReduceMean", ["log"], ["depth"], axes=[1], keepdims=0)],
            ),
            "its output is not finite. Check mean and std",
        ),
        (
            lambda path: model(
                path,
                [onnx.helper.make_node("Sub", ["picture", "picture"], ["nil"]),
                 onnx.helper.make_node("ReduceMean", ["nil"], ["depth"], axes=[1], keepdims=0)],
            ),
            "its output is 0 everywhere. A picture without near and far has no relative depth",
        ),
    ],
)  # fmt: skip
def test_outputs_that_are_no_depth(build: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    network = broken(build)(tmp_path)
    with pytest.raises(InvalidValueError, match=f"n.onnx: {words}"):
        network(gray())


@pytest.mark.parametrize(
    ("shape", "kind"),
    [([1, 1, "h", "w"], 1), (["n", "h", "w", 3], 1), ([4, 3, 32, 32], 1), (["n", 3, "h"], 1), (ANY, 11)],
)
def test_inputs_that_are_no_picture(shape: list[Any], kind: int, tmp_path: Path) -> None:
    path = model(tmp_path / "n.onnx", [onnx.helper.make_node("Identity", ["picture"], ["depth"])], shape, kind=kind)
    with pytest.raises(InvalidValueError, match=r"n.onnx: must have one float32 input \[1, 3, H, W\], got picture \["):
        DepthNetwork(path, near_m=1.0, far_m=5.0)


def test_an_input_size_that_the_network_cannot_take(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Add", ["picture", "grid"], ["sum"])
    mean = onnx.helper.make_node("ReduceMean", ["sum"], ["depth"], axes=[1], keepdims=0)
    path = model(tmp_path / "n.onnx", [node, mean], constants=[("grid", np.zeros((3, 32, 32), np.float32))])
    with pytest.raises(InvalidValueError, match=r"does not accept an input of 28 x 42 px .*Give the input_size_px"):
        DepthNetwork(path, near_m=1.0, far_m=5.0, input_size_px=28)(gray())


def test_metric_networks(tmp_path: Path) -> None:
    path = mean_of_channels(tmp_path / "n.onnx")
    with pytest.raises(InvalidValueError, match="gives depths down to -"):
        DepthNetwork(path, gives="depth_m", input_size_px=28)(gray())
    assert DepthNetwork(path, gives="depth_m", near_m=0.5, input_size_px=28)(gray()).depth_m.min() == 0.5
    network = DepthNetwork(path, gives="depth_m", mean=(-1, -1, -1), std=(1, 1, 1), input_size_px=40, multiple_px=20)
    assert np.allclose(network(gray()).depth_m[0], 1 + np.linspace(0, 1, 60), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "near_m and far_m are needed for relative inverse depth"),
        ({"near_m": 5.0, "far_m": 1.0}, "near_m must be less than far_m, got 5 and 1"),
        ({"near_m": 0.0, "far_m": 1.0}, "near_m must be > 0"),
        ({"near_m": 1.0, "far_m": 2.0, "gives": "depth"}, "gives must be 'inverse_depth' or 'depth_m', got 'depth'"),
        ({"near_m": 1.0, "far_m": 2.0, "input_size_px": 0}, "input_size_px must be an integer from 1 to 8192"),
        ({"near_m": 1.0, "far_m": 2.0, "std": (1, 0, 1)}, "std > 0"),
        ({"near_m": 1.0, "far_m": 2.0, "mean": (1, 1)}, "mean and std must be three numbers each"),
    ],
)  # fmt: skip
def test_bad_arguments(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=words):
        DepthNetwork(mean_of_channels(tmp_path / "n.onnx"), **options)


def test_files_that_are_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    for name, words in {
        "nothere.onnx": "there is no such file",
        "": "is a folder",
        "text.onnx": "is not an ONNX model",
    }.items():
        with pytest.raises(PictureError, match=words):
            DepthNetwork(tmp_path / name, near_m=1.0, far_m=5.0)
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"Depth from a network needs the package 'onnxruntime'.*extra 'depth'"):
        DepthNetwork(tmp_path / "text.onnx", near_m=1.0, far_m=5.0)


def test_frames_that_are_no_pictures(tmp_path: Path) -> None:
    network = DepthNetwork(mean_of_channels(tmp_path / "n.onnx"), near_m=1.0, far_m=5.0)
    with pytest.raises(InvalidValueError, match="takes a display frame of 1 or 3 channels, got Frame"):
        network(bs.kinds.Decode()(gray()))
    with pytest.raises(InvalidValueError, match="got ndarray"):
        network(gray().image)  # type: ignore[arg-type]
