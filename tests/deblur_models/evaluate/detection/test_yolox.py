"""The built-in detector: what goes in, how boxes are decoded, and which files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blursynth.errors import BlursynthError, InvalidValueError, PictureError
from blursynth.io.pictures import read_pixels
from deblur_models.evaluate.detection import Yolox, make_detector
from deblur_models.evaluate.detection.onnx_detector import COCO_CLASSES, Placed

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_what_is_bright_in_a_cell(detector: Yolox) -> None:
    """A picture of 64 x 32 px is seen at half its size, so a cell of 8 px is 16 px of it."""
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[16:32, 32:48, 0] = 255  # red: the last channel of the input, class 0 of the model
    picture[0:16, 16:32, 2] = 204  # blue
    found = detector.detect(picture)
    order = np.argsort(-found.scores)
    likely = found.chosen(order[found.scores[order] > 0.5])
    assert likely.classes.tolist() == [0, 1]
    assert likely.scores == pytest.approx([1.0, 0.8], abs=1e-6)
    assert likely.boxes.tolist() == [[32, 16, 16, 16], [16, 0, 16, 16]]
    assert np.all((found.boxes[:, 1] >= 32) | (found.boxes[:, 0] < 64)), "gray 114 below the picture is found, too"
    assert found.scores.min() > detector.min_score


def test_the_letterbox() -> None:
    yolox = Yolox(model="n.onnx")
    placed = yolox.place(np.full((30, 100, 3), (10, 20, 30), np.uint8), 32, 64)
    put_in = yolox.values(placed.codes)
    assert (placed.scale, placed.offset) == ((0.64, 0.64), (0, 0))
    assert put_in.shape == (1, 3, 32, 64)
    assert put_in[0, :, 18, 63].tolist() == [30, 20, 10], "BGR"
    assert (put_in[0, :, 19:] == 114).all()  # 30 px become 19.2, which is cut
    assert Placed.of(np.zeros((1000, 2, 3), np.uint8), 32, 32, centered=False).codes[:, 0].max() == 0


def test_boxes_of_one_object(tmp_path: Path) -> None:
    """Of overlapping boxes of one class the best stays; one of another class may lie there, too."""
    model = fixed_model(tmp_path / "n.onnx", {
        0: (0.0, 0.0, np.log(2.0), np.log(1.0), 0.9, 1.0, 0.0),  # 16 x 8 about (0, 0)
        1: (-1.0, 0.0, np.log(2.0), np.log(1.0), 0.8, 1.0, 0.0),  # the same, from the next cell
        4: (0.0, -1.0, np.log(2.0), np.log(1.0), 0.7, 0.3, 1.0),  # the same, from the next row, of the other class
        20: (0.25, 0.5, np.log(0.5), np.log(0.25), 1.0, 0.6, 0.0),  # 16 x 8 about (8, 16), from the cell of 32 px
    })  # fmt: skip
    found = Yolox(model=model, classes=names(tmp_path)).detect(np.zeros((32, 32, 3), np.uint8))
    order = np.argsort(-found.scores)
    assert found.scores[order] == pytest.approx([0.9, 0.7, 0.6])
    assert found.classes[order].tolist() == [0, 1, 0]
    assert found.boxes[order] == pytest.approx(np.array([[-8, -4, 16, 8], [-8, -4, 16, 8], [0, 12, 16, 8]]), abs=1e-5)
    decoded = Yolox(model=model, classes=names(tmp_path), decoded=True).detect(np.zeros((64, 64, 3), np.uint8))
    best = int(decoded.scores.argmax())
    assert decoded.boxes[best] == pytest.approx([-np.log(2), 0, 2 * np.log(2), 0], abs=1e-5), "of twice the size"


def test_models_of_another_form(tmp_path: Path) -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    row = (0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0)
    model = fixed_model(tmp_path / "a.onnx", {0: row})
    with pytest.raises(
        InvalidValueError, match=r"output must be \[1, 21, 85\], got \[1, 21, 7\].*names of its classes"
    ):
        Yolox(model=model).check_ready()
    with pytest.raises(InvalidValueError, match=r"scores outside 0\.\.1 \(0 to 3\)"):
        Yolox(model=fixed_model(tmp_path / "b.onnx", {0: (*row[:4], 3.0, 1, 0)}), classes=names(tmp_path)).detect(
            picture
        )
    with pytest.raises(InvalidValueError, match="not finite"):
        Yolox(model=fixed_model(tmp_path / "c.onnx", {0: (np.nan, *row[1:])}), classes=names(tmp_path)).detect(picture)
    large = Yolox(model=fixed_model(tmp_path / "d.onnx", {0: (0, 0, 500, 500, 1, 1, 0)}), classes=names(tmp_path))
    assert np.isfinite(large.detect(picture).boxes).all()
    with pytest.raises(InvalidValueError, match=r"one float32 input \[1, 3, H, W\], got images \[1, 4, 32, 32\]"):
        Yolox(model=fixed_model(tmp_path / "e.onnx", {0: row}, channels=4)).detect(picture)
    with pytest.raises(PictureError, match="there is no such file"):
        Yolox(model=str(tmp_path / "none.onnx")).check_ready()
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(PictureError, match="is not an ONNX model"):
        Yolox(model=str(tmp_path / "text.onnx")).check_ready()


def test_names(tmp_path: Path) -> None:
    assert len(COCO_CLASSES) == 80
    assert (COCO_CLASSES[2], COCO_CLASSES[-1]) == ("car", "toothbrush")
    (tmp_path / "twice.txt").write_text("a\na\n")
    with pytest.raises(InvalidValueError, match="must name classes, each once"):
        _ = Yolox(model="n.onnx", classes=str(tmp_path / "twice.txt")).class_names
    with pytest.raises(InvalidValueError, match="There is no detector 'yolo'"):
        make_detector({"kind": "yolo", "model": "n.onnx"})
    with pytest.raises(BlursynthError, match=r"Yolox\.nms_iou must be < 1"):
        make_detector({"kind": "yolox", "model": "n.onnx", "nms_iou": 1.0})


def test_results_depend_on_the_model(tmp_path: Path) -> None:
    first, second = (fixed_model(tmp_path / f"{n}.onnx", {0: (n, 0, 0, 0, 1, 1, 0)}) for n in (1, 2))
    assert Yolox(model=first).about()["sha256"]["1.onnx"] != Yolox(model=second).about()["sha256"]["2.onnx"]
    assert Yolox(model=first).about() == Yolox(model=first).about()
    assert Yolox(model=first).about() != Yolox(model=first, nms_iou=0.5).about()


@pytest.mark.real_data
def test_yolox_nano_on_photographs(real_data: Path) -> None:
    """What a person sees in these photographs, and where."""
    nano = Yolox(model=str(real_data / "weights" / "yolox_nano" / "yolox_nano.onnx"))
    for name, expected in {
        "skimage/chelsea.png": ["cat"],
        "skimage/astronaut.png": ["person"],
        "kodak24/kodim05.png": ["motorcycle"] * 4,
        "kodak24/kodim06.png": ["boat"] * 2,
    }.items():
        found = nano.detect(read_pixels(real_data / "photos" / name))
        likely = found.chosen(found.scores >= 0.5)
        assert [nano.class_names[kind] for kind in likely.classes] == expected, name
    face = nano.detect(read_pixels(real_data / "photos/skimage/astronaut.png"))
    x, y, width, height = face.boxes[face.scores.argmax()]
    assert x < 175 < 275 < x + width, "the astronaut's head lies between these columns"
    assert y < 60 < 400 < y + height
    assert face.scores.max() > 0.8


def names(folder: Path) -> str:
    (folder / "names.txt").write_text("red\nblue\n")
    return str(folder / "names.txt")


def fixed_model(path: Path, rows: dict[int, Any], channels: int = 3) -> str:
    """A model for 32 x 32 px, with 21 cells and two classes, that gives the same rows for every picture."""
    helper = onnx.helper
    table = np.zeros((1, 21, 7), np.float32)
    for place, row in rows.items():
        table[0, place] = row
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nil"]),
        helper.make_node("Add", ["rows", "nil"], ["output"]),
    ]
    put_in = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, channels, 32, 32])
    out = helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, [1, 21, 7])
    constants = [onnx.numpy_helper.from_array(v, n) for v, n in ((table, "rows"), (np.zeros(1, np.float32), "zero"))]
    graph = helper.make_graph(nodes, "fixed", [put_in], [out], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path.write_bytes(made.SerializeToString())
    return str(path)
