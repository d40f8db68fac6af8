"""Exported files give the pictures of their networks in every runtime, at every size, or are not written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import deblur_models as dm
from blursynth.errors import DatasetError, InvalidValueError
from deblur_models.checkpoints.checkpoint import save_network
from deblur_models.export import export_network, exporting, runtimes
from deblur_models.export.layers import first_layer_that_differs
from deblur_models.export.onnx_graph import traced
from deblur_models.export.parity import blurred_pictures
from deblur_models.export.runtimes import RuntimeFailure, run_in
from deblur_models.networks import ALL, Network, create_network
from deblur_models.restore.opening import open_network

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("skimage")
ROOT = Path(__file__).resolve().parents[3]


def random_network(kind: str = "drunet", **fields: Any) -> Network:
    """With weights that are nowhere 0, so that every layer shows in the result."""
    torch.manual_seed(1)
    network = create_network(kind, size="tiny", **fields).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights += (0.05 if weights.ndim == 1 else 0.01) * torch.randn_like(weights)
    x = torch.rand(1, 3, 40, 52)
    assert (network(x) - x).abs().max() > 0.01
    return network


@pytest.fixture(scope="module")
def network() -> Network:
    return random_network()


@pytest.fixture(scope="module")
def file(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    save_network(network, folder / "net", license="CC0-1.0")
    done = export_network(folder / "net.safetensors", folder / "net.onnx", runtimes=("onnxruntime", "opencv"))
    assert {one.runtime for one in done.parity} == {"onnxruntime", "opencv"}
    assert max(one.largest for one in done.parity) < 1e-5
    return done.path


def seen_by(network: Any, *shape: int) -> np.ndarray:
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return np.asarray(network(x))


@pytest.mark.parametrize("shape", [(1, 3, 64, 96), (3, 3, 65, 97), (1, 3, 7, 40), (1, 3, 1, 1), (2, 3, 2, 3)])
def test_a_file_takes_any_size_and_batch(file: Path, network: Network, shape: tuple[int, ...]) -> None:
    np.testing.assert_allclose(seen_by(dm.OnnxNetwork(file), *shape), seen_by(network, *shape), atol=1e-5)


def test_opencv_takes_any_size(file: Path, network: Network) -> None:
    pictures = blurred_pictures([(33, 71), (64, 96)])
    for found, picture in zip(run_in("opencv", file, pictures), pictures, strict=True):
        with torch.no_grad():
            np.testing.assert_allclose(found, network(torch.from_numpy(picture)), atol=1e-5)


def test_a_file_says_what_it_is(file: Path) -> None:
    about = dm.OnnxNetwork(file).about
    assert json.loads(about["network"]) == {**create_network("drunet", size="tiny").config.to_dict()}
    said = {name: about[name] for name in ("color_order", "value_range", "size", "multiple_px", "tile_px", "license")}
    assert said == {
        "color_order": "RGB", "value_range": "0..1", "size": "any", "multiple_px": "4", "tile_px": "512",
        "license": "CC0-1.0",
    }  # fmt: skip
    assert about["source"] == "net.safetensors"
    assert about["sha256"] == json.loads(file.with_name("net.json").read_text())["sha256"]


def test_a_file_names_no_folder_of_the_machine(file: Path) -> None:
    content = file.read_bytes()
    for secret in (str(ROOT), str(file.parent), sys.prefix, ".py"):
        assert secret.encode() not in content


def test_the_comparison_is_beside_the_file(file: Path) -> None:
    report = json.loads(file.with_name("net.parity.json").read_text())
    assert report["bytes"] == file.stat().st_size
    sides = {(row["height"], row["width"]) for row in report["parity"]}
    assert len(sides) == 3
    assert any(height % 2 and width % 2 for height, width in sides)
    assert all(row["largest"] <= report["tolerance"] for row in report["parity"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [config.kind for config in ALL])
def test_every_network_runs_everywhere(kind: str, tmp_path: Path) -> None:
    network = random_network(kind)
    done = export_network(network, tmp_path / "net.onnx", runtimes=("onnxruntime", "opencv"))
    assert len(done.parity) == 6
    found = dm.OnnxNetwork(done.path)
    for shape in ((2, 3, 9, 11), (1, 3, 50, 35)):
        np.testing.assert_allclose(seen_by(found, *shape), seen_by(network, *shape), atol=2e-5)
    fixed = export_network(network, tmp_path / "fixed.onnx", size_px=(61, 90), runtimes=("onnxruntime", "opencv"))
    assert {(one.height, one.width) for one in fixed.parity} == {(61, 90)}
    program = export_network(network, tmp_path / "net.pt2", format="exported-program")
    graph = torch.export.load(program.path).module()
    np.testing.assert_allclose(seen_by(graph, 1, 3, 70, 96), seen_by(network, 1, 3, 70, 96), atol=2e-5)
    if kind != "deblurgan_v2":  # with random weights it is at the tolerance (55 dB), by the threads that sum
        half = export_network(network, tmp_path / "half.onnx", precision="float16", runtimes=("onnxruntime",))
        assert half.bytes < 0.75 * done.bytes
        assert max(one.largest for one in half.parity) > 1e-5, "nothing was rounded"
    if _has("openvino"):
        export_network(network, tmp_path / "net.xml", format="openvino")


def _has(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nafnet", "hinet"])
def test_averages_over_windows_are_in_the_graph(kind: str, tmp_path: Path) -> None:
    network = random_network(kind, local_px=48)
    done = export_network(network, tmp_path / "net.onnx", runtimes=("onnxruntime",))
    for shape in ((1, 3, 40, 52), (2, 3, 71, 48), (1, 3, 120, 33)):
        np.testing.assert_allclose(
            seen_by(dm.OnnxNetwork(done.path), *shape), seen_by(network, *shape), atol=1e-5, err_msg=str(shape)
        )


@pytest.fixture(scope="module")
def fixed(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fixed") / "fixed.onnx"
    return export_network(network, path, size_px=(37, 50)).path


def test_a_file_of_one_size_pads_smaller_pictures_and_refuses_larger_ones(fixed: Path, network: Network) -> None:
    found = dm.OnnxNetwork(fixed)
    np.testing.assert_allclose(seen_by(found, 2, 3, 37, 50), seen_by(network, 2, 3, 37, 50), atol=1e-5)
    small = torch.rand(1, 3, 20, 30)
    assert found(small).shape == small.shape
    with pytest.raises(InvalidValueError, match="takes pictures of 50 x 37 px at most, got 51 x 37 px"):
        found(torch.rand(1, 3, 37, 51))


def test_a_file_of_one_size_restores_larger_pictures_in_tiles(fixed: Path, network: Network) -> None:
    picture = torch.rand(1, 3, 90, 110, generator=torch.Generator().manual_seed(5))
    restored = dm.NetworkRestorer(dm.OnnxNetwork(fixed), overlap_px=16).restore(picture)
    with torch.no_grad():
        whole = network(picture)
    assert (restored - whole).abs().mean() < 0.05 * (whole - picture).abs().mean()  # but for the edges of tiles


@pytest.mark.slow
def test_half_precision_keeps_pictures_in_float32(network: Network, tmp_path: Path) -> None:
    done = export_network(network, tmp_path / "half.onnx", precision="float16", runtimes=("onnxruntime",))
    assert 1e-5 < max(one.largest for one in done.parity) < 5e-3
    model = onnx.load(done.path)
    kinds = {one.data_type for one in model.graph.initializer if len(one.dims) == 4}
    assert kinds == {onnx.TensorProto.FLOAT16}
    assert {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)} == {onnx.TensorProto.FLOAT}


@pytest.mark.slow
def test_a_program_of_torch_needs_this_package_no_more(network: Network, tmp_path: Path) -> None:
    done = export_network(network, tmp_path / "net.pt2", format="exported-program")
    extra = {"about.json": ""}
    graph = torch.export.load(done.path, extra_files=extra).module()
    assert json.loads(extra["about.json"])["color_order"] == "RGB"
    for shape in ((1, 3, 64, 96), (3, 3, 65, 97)):
        np.testing.assert_allclose(seen_by(graph, *shape), seen_by(network, *shape), atol=1e-6)
    with pytest.raises(InvalidValueError, match="only ONNX files are used in the place of networks"):
        open_network(done.path)


def change_layer(name: str) -> Callable[..., Any]:
    """Tracing, after which the weights of one layer are wrong by a tenth."""

    def changed(*arguments: Any, **options: Any) -> Any:
        model, program = traced(*arguments, **options)
        (weights,) = (one for one in model.graph.initializer if one.name.endswith(f"{name}.weight"))
        values = onnx.numpy_helper.to_array(weights)
        weights.CopyFrom(onnx.numpy_helper.from_array(1.1 * values, weights.name))
        return model, program

    return changed


@pytest.mark.parametrize("layer", ["m_head", pytest.param("m_up1.1.res.2", marks=pytest.mark.slow)])
def test_a_wrong_layer_is_named_and_nothing_is_written(
    layer: str, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "traced", change_layer(layer))
    with pytest.raises(
        DatasetError, match=rf"not written, since onnxruntime .* The first layer that differs: {layer} "
    ):
        export_network(network, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_no_layer_is_named_where_all_agree(network: Network) -> None:
    model, program = traced(network, size_px=None, opset=18, about={})
    (picture,) = blurred_pictures([(41, 58)])
    assert first_layer_that_differs(model, program, "onnxruntime", picture, 1e-4) == ""


def test_a_runtime_that_ends_its_process_is_an_error(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenCV does on some graphs."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -SEGV $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(runtimes.sys, "executable", str(python))
    with pytest.raises(RuntimeFailure, match="ends the process with signal 11"):
        run_in("opencv", file, blurred_pictures([(8, 8)]))


def test_what_opencv_cannot_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(RuntimeFailure, match="OpenCV: "):
        run_in("opencv", tmp_path / "text.onnx", blurred_pictures([(8, 8)]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "onx"}, "There is no format 'onx'. Did you mean 'onnx'"),
        ({"precision": "fp8"}, "precision must be 'float32' or 'float16', got 'fp8'"),
        ({"opset": 9}, "opset must be 18 to 23, got 9"),
        ({"size_px": (0, 4)}, r"size_px must be two sides of 1 to 16384 px, got \(0, 4\)"),
        ({"format": "openvino"}, "files of the format openvino end in .xml"),
        ({"runtimes": ("tensorflow",)}, "There is no runtime 'tensorflow'"),
        ({"pictures": "none/"}, "none"),
    ],
)
def test_bad_arguments_are_refused_before_work(
    options: dict[str, Any], words: str, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exporting, "traced", lambda *a, **k: pytest.fail("work began"))
    with pytest.raises((InvalidValueError, DatasetError), match=words):
        export_network(network, tmp_path / "net.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_overwritten_only_if_asked(file: Path, network: Network) -> None:
    with pytest.raises(DatasetError, match=r"net.onnx: already exists\."):
        export_network(network, file)


def test_networks_that_blur_are_refused(tmp_path: Path) -> None:
    from deblur_models.networks.bgan import BGANConfig

    save_network(BGANConfig.of_size("tiny").build(), tmp_path / "bgan")
    with pytest.raises(DatasetError, match="holds bgan, which blurs pictures"):
        export_network(tmp_path / "bgan", tmp_path / "net.onnx")


# Files of others


def remade(file: Path, place: Path, change: Callable[[Any], None]) -> Path:
    model = onnx.load(file)
    change(model)
    onnx.save(model, place)
    return place


def set_about(name: str, value: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for one in model.metadata_props:
            if one.key == name:
                one.value = value

    return change


def half_a_picture(model: Any) -> None:
    node = onnx.helper.make_node("MaxPool", [model.graph.output[0].name], ["less"], kernel_shape=[2, 2], strides=[2, 2])
    model.graph.node.append(node)
    model.graph.output[0].name = "less"
    for dim in model.graph.output[0].type.tensor_type.shape.dim:
        dim.Clear()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_about("format", "another"), "was not written by deblur export .*got|'another' instead of"),
        (set_about("network", '{"kind": "drunet", "width": 1e9}'), "describes no network of this version"),
        (set_about("network", '{"kind": "drunet", "width": 100000}'), "describes no network of this version"),
        (set_about("network", "[" * 40000), "describes no network of this version"),
        (set_about("network", "x" * 100_000), "describes no network of this version"),
    ],
)
def test_descriptions_of_others_are_checked(
    change: Callable[[Any], None], words: str, file: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=words):
        dm.OnnxNetwork(remade(file, tmp_path / "changed.onnx", change))


def test_results_of_another_shape_are_refused(file: Path, tmp_path: Path) -> None:
    network = dm.OnnxNetwork(remade(file, tmp_path / "less.onnx", half_a_picture))
    with pytest.raises(DatasetError, match=r"gave \(1, 3, 8, 8\) for a picture of \(1, 3, 16, 16\)"):
        network(torch.rand(1, 3, 16, 16))


def test_a_truncated_file_is_refused(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.onnx").write_bytes(content[:length])
        with pytest.raises((DatasetError, ValueError), match=r"cut.onnx: "):
            dm.OnnxNetwork(tmp_path / "cut.onnx")


# Use


def test_a_file_is_used_like_a_network(file: Path, network: Network, tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    Image.fromarray(codes).save(tmp_path / "a.png")
    found = dm.restore_picture(dm.OnnxNetwork(file), codes)
    assert np.abs(found.astype(int) - dm.restore_picture(network, codes)).max() <= 1  # where a value is at .5
    done = dm.apply_network(tmp_path / "a.png", tmp_path / "out", network=file)
    np.testing.assert_array_equal(np.asarray(Image.open(done.restored[0].target)), found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"autocast": torch.bfloat16}, "its precision and layout are those of its export"),
        ({"channels_last": True}, "its precision and layout are those of its export"),
    ],
)
def test_what_was_chosen_at_the_export_cannot_be_changed(options: dict[str, Any], words: str, file: Path) -> None:
    with pytest.raises(InvalidValueError, match=words):
        dm.NetworkRestorer(dm.OnnxNetwork(file), **options)


def test_providers_are_checked(file: Path) -> None:
    with pytest.raises(InvalidValueError, match="ONNX Runtime has no execution provider 'CPU' here"):
        dm.OnnxNetwork(file, providers=("CPU",))


def test_a_report_holds_a_row_for_an_exported_file(file: Path, network: Network, tmp_path: Path) -> None:
    """And its figures are those of the network, with the same tiles."""
    from deblur_models.data import open_pairs

    rng = np.random.default_rng(0)
    for folder in ("blurred", "sharp"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        sharp = rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)
        Image.fromarray(sharp).save(tmp_path / "sharp" / f"{number}.png")
        Image.fromarray(cv2.blur(sharp, (3, 5))).save(tmp_path / "blurred" / f"{number}.png")
    pairs = open_pairs(tmp_path / "blurred", tmp_path / "sharp")
    results = {}
    for name, one in (("torch", network), ("onnx", file)):
        found = dm.evaluate_network(one, pairs, tmp_path / name, metrics=("psnr",), cost_px=(32, 48))
        (row,) = (line for key, line in found.summary["overall"].items() if key != "no restoration")
        (cost,) = found.summary["cost"].values()
        results[name] = row["metrics"]["psnr"]["mean"], cost
    assert results["onnx"][0] == pytest.approx(results["torch"][0], abs=1e-3)
    assert results["onnx"][1]["stored_weights"] == results["torch"][1]["stored_weights"] > 0
    assert results["onnx"][1]["speed"]["device"] == "CPUExecutionProvider"


# Nothing but OpenCV


def test_the_example_in_python_uses_opencv_alone(file: Path, network: Network, tmp_path: Path) -> None:
    script = ROOT / "examples/opencv/restore.py"
    assert len(script.read_text().splitlines()) <= 16
    _blurred(tmp_path / "blurred.png")
    subprocess.run([sys.executable, script, file, tmp_path / "blurred.png", tmp_path / "out.png"], check=True)
    _same_as_here(network, tmp_path / "blurred.png", tmp_path / "out.png")


@pytest.mark.slow
def test_the_example_in_cpp_is_compiled_and_run(fixed: Path, network: Network, tmp_path: Path) -> None:
    compiler, headers = shutil.which("g++"), Path("/usr/include/opencv4")
    if compiler is None or not (headers / "opencv2/dnn.hpp").exists():
        pytest.skip("needs g++ and OpenCV's headers: apt-get install libopencv-dnn-dev libopencv-imgcodecs-dev")
    program = tmp_path / "restore"
    libraries = [f"-lopencv_{name}" for name in ("dnn", "imgcodecs", "imgproc", "core")]
    words = [compiler, "-O1", ROOT / "examples/opencv/restore.cpp", "-o", program, f"-I{headers}", *libraries]
    subprocess.run(words, check=True)
    _blurred(tmp_path / "blurred.png")
    subprocess.run([program, fixed, tmp_path / "blurred.png", tmp_path / "out.png"], check=True)
    _same_as_here(network, tmp_path / "blurred.png", tmp_path / "out.png")
    assert (
        subprocess.run([program, fixed, fixed, tmp_path / "no.png"], check=False, capture_output=True).returncode == 1
    )


def _blurred(path: Path) -> None:
    (picture,) = blurred_pictures([(37, 50)])
    Image.fromarray((255 * picture[0].transpose(1, 2, 0)).round().astype(np.uint8)).save(path)


def _same_as_here(network: Network, blurred: Path, restored: Path) -> None:
    found = np.asarray(Image.open(restored)).astype(int)
    expected = dm.restore_picture(network, np.asarray(Image.open(blurred)))
    assert np.abs(found - expected).max() <= 1
    assert np.abs(found - np.asarray(Image.open(blurred))).max() > 10
