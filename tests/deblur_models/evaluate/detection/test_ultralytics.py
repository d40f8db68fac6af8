"""Models as Ultralytics exports them. Against its own code (8.4.190) with the model of NudeNet 3.4.2, a YOLOv8, on the 16
photographs of Kodak and scikit-image: 25 boxes with a score above .05, all scores equal to four digits, boxes to .001 px."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blursynth.errors import InvalidValueError
from deblur_models.evaluate.detection import Ultralytics, Yolox, open_detector

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# Of 64 x 32 px: center, width and height, and the scores of a cat and a "dog's nose"; each column is a box.
BOXES = np.array([[32, 16, 20, 10, 0.9, 0.1], [33, 16, 20, 10, 0.8, 0.2], [32, 16, 20, 10, 0.1, 0.7]], np.float32).T


def model(path: Path, table: np.ndarray = BOXES, names: str = """{0: 'cat', 1: "dog's nose"}""") -> str:
    """Gives the same boxes for every picture, with scores times the mean of the input, which is 1 for white."""
    helper = onnx.helper
    scores = np.concatenate([np.zeros((4, table.shape[1])), table[4:]]).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["scores", "mean"], ["seen"]),
        helper.make_node("Add", ["boxes", "seen"], ["table"]),
        helper.make_node("Unsqueeze", ["table", "first"], ["output0"]),
    ]
    constants = {"scores": scores, "boxes": table - scores, "first": np.array([0], np.int64)}
    graph = helper.make_graph(
        nodes,
        "fixed",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3, 32, 64])],
        [helper.make_tensor_value_info("output0", onnx.TensorProto.FLOAT, [1, *table.shape])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    helper.set_model_props(made, {"names": names, "task": "detect"} if names else {})
    path.write_bytes(made.SerializeToString())
    return str(path)


def test_what_comes_out(tmp_path: Path) -> None:
    """A white picture of 100 x 100 px fills the middle half of the input, at .32 of its size from column 16 on."""
    detector = open_detector(model(tmp_path / "n.onnx"))
    assert isinstance(detector, Ultralytics)
    assert detector.class_names == ("cat", "dog's nose")
    found = detector.detect(np.full((100, 100, 3), 255, np.uint8))
    mean = (255 + 114) / 2 / 255
    assert found.scores == pytest.approx([0.9 * mean, 0.7 * mean], abs=1e-5), "the second cat is the first one again"
    assert found.classes.tolist() == [0, 1]
    # x: (32 - 10 - 16) / .32 = 18.75; y: (16 - 5) / .32 = 34.375
    assert found.boxes == pytest.approx(np.array([[18.75, 34.375, 62.5, 31.25]] * 2))


def test_what_goes_in(tmp_path: Path) -> None:
    detector = Ultralytics(model=model(tmp_path / "n.onnx"))
    placed = detector.place(np.full((33, 100, 3), (255, 51, 0), np.uint8), 32, 64)
    assert placed.scale == (0.64, 21 / 33)
    assert placed.offset == (0, 5)  # 11 rows are left: 5 above and 6 below
    put_in = detector.values(placed.codes)
    assert put_in.dtype == np.float32
    assert put_in[0, :, 5, 0] == pytest.approx([1.0, 0.2, 0.0]), "RGB"
    assert put_in[0, :, 4, 0] == pytest.approx([114 / 255] * 3)
    assert put_in[0, :, 26, 0] == pytest.approx([114 / 255] * 3)


def test_models_of_another_form(tmp_path: Path) -> None:
    picture = np.full((32, 64, 3), 255, np.uint8)
    with pytest.raises(InvalidValueError, match=r"output must be \[1, 6, 3\], got \[1, 5, 3\].*and 2 classes"):
        Ultralytics(model=model(tmp_path / "a.onnx", BOXES[:5])).detect(picture)
    for number, names in enumerate(("", "{1: 'cat', 0: 'dog'}", "{0: 'cat', 2: 'dog'}", "__import__('os')")):
        unnamed = model(tmp_path / f"{number}.onnx", names=names)
        assert isinstance(open_detector(unnamed), Yolox), names
        with pytest.raises(InvalidValueError, match="does not name its classes"):
            Ultralytics(model=unnamed).detect(picture)
        (tmp_path / "names.txt").write_text("a\nb\n")
        named = Ultralytics(model=unnamed, classes=str(tmp_path / "names.txt"))
        assert named.class_names == ("a", "b")
        assert len(named.detect(picture)) == 2
