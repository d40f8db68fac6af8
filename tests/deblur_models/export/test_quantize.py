"""Networks in integers: rounding that is as fine as 8 bits allow, integer convolutions in the runtime, a loss in limits."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from typer.testing import CliRunner

import deblur_models as dm
from blursynth.errors import DatasetError, InvalidValueError, MissingExtraError
from deblur_models.cli import app as cli
from deblur_models.export import export_network, quantize, quantize_network
from deblur_models.export.int8 import Quantizer
from deblur_models.export.quantize import Loss
from deblur_models.networks import Network, create_network

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("skimage")
LAST = "m_tail"


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(1)
    network = create_network("drunet", size="tiny").eval()
    with torch.no_grad():
        for name, weights in network.named_parameters():
            weights *= 0.1 if name.startswith(LAST) else 1.0  # the result is near the picture, as in a trained network
    return network


@pytest.fixture(scope="module")
def file(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quantize") / "net.onnx"
    return export_network(network, path, runtimes=["onnxruntime"], license="CC0-1.0").path


def pictures(number: int, side_px: int = 48) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    random = np.random.default_rng(5)
    return [random.random((1, 3, side_px, side_px + 8), np.float32) for _ in range(number)]


@pytest.fixture(scope="module")
def quantizer(file: Path) -> Quantizer:
    return Quantizer(onnx.load(file), pictures(3), "minmax")


def smooth(batch: int, height: int, width: int) -> torch.Tensor:
    coarse = torch.rand(batch, 3, 4, 5, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


def run(model: Any, picture: Any) -> Any:
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: picture})[0]


def constants(model: Any) -> dict[str, Any]:
    return {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}


# Rounding


def test_weights_are_integers_of_7_bits_with_a_scale_for_each_channel(quantizer: Quantizer, file: Path) -> None:
    made, weights = constants(quantizer.quantized()), constants(onnx.load(file))
    found = 0
    for name, weight in weights.items():
        if weight.ndim != 4:
            continue
        integers, scale = made[f"{name}_quantized"], made[f"{name}_scale"]
        channels = 1 if "_up" in name and ".0.weight" in name and integers.shape[2:] == (2, 2) else 0
        wide = np.moveaxis(weight, channels, 0).reshape(weight.shape[channels], -1)
        assert integers.dtype == np.int8
        assert np.abs(integers.astype(int)).max() == 64
        assert scale.shape == wide.shape[:1]
        np.testing.assert_allclose(scale, np.abs(wide).max(axis=1) / 64, rtol=1e-5)  # as fine as the range allows
        steps = np.moveaxis(integers, channels, 0).reshape(wide.shape) * scale[:, None]
        assert (np.abs(steps - wide) <= scale[:, None] / 2 * (1 + 1e-4)).all()
        found += 1
    assert found == len([node for node in onnx.load(file).graph.node if node.op_type.startswith("Conv")])


def shifting(channels: Sequence[int], right_px: int) -> Any:
    """Weights that give other channels, moved to the right: one 1 for each."""
    weights = np.zeros((3, 3, 3, 3), np.float32)
    for place, channel in enumerate(channels):
        weights[place, channel, 1, 1 - right_px] = 1
    return weights


def test_what_8_bits_hold_exactly_stays_the_same() -> None:
    helper = onnx.helper
    sides = ["batch", 3, "height", "width"]
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Conv", ["picture", "first"], ["a"], "one", pads=[1, 1, 1, 1]),
                helper.make_node("Relu", ["a"], ["b"], "relu"),
                helper.make_node("Conv", ["b", "second"], ["restored"], "two", pads=[1, 1, 1, 1]),
            ],
            "shifts",
            [helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, sides)],
            [helper.make_tensor_value_info("restored", onnx.TensorProto.FLOAT, sides)],
            [
                onnx.numpy_helper.from_array(shifting((1, 2, 0), 1), "first"),
                onnx.numpy_helper.from_array(shifting((1, 0, 2), -1), "second"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    codes = np.random.default_rng(3).integers(0, 256, (1, 3, 20, 31))
    codes[:, :, 0, :2] = (0, 255)
    picture = (codes / 255).astype(np.float32)
    there = np.zeros_like(picture)
    there[..., 1:] = picture[:, (1, 2, 0)][..., :-1]
    expected = np.zeros_like(picture)
    expected[..., :-1] = there[:, (1, 0, 2)][..., 1:]
    found = run(Quantizer(model, [picture], "minmax").quantized(), picture)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(expected, picture)


def with_weights(file: Path, **changes: Callable[[Any], None]) -> Any:
    """The model with some weights changed in place; dots of their names are written as double underscores."""
    model = onnx.load(file)
    left = {f"network.{name.replace('__', '.')}": change for name, change in changes.items()}
    for one in model.graph.initializer:
        if one.name in left:
            weights = onnx.numpy_helper.to_array(one).copy()
            left.pop(one.name)(weights)
            one.CopyFrom(onnx.numpy_helper.from_array(weights, one.name))
    assert not left
    return model


def test_the_picture_itself_is_not_rounded(file: Path) -> None:
    model = with_weights(file, m_tail__weight=lambda w: w.fill(0), m_tail__bias=lambda b: b.fill(0))
    (picture,) = pictures(1, 41)
    np.testing.assert_array_equal(run(Quantizer(model, [picture], "minmax").quantized(), picture), picture)


@pytest.mark.parametrize("calibration", ["percentile", "minmax"])
def test_integers_are_near_float32(calibration: Any, file: Path, network: Network) -> None:
    *seen, other = pictures(4)
    found = run(Quantizer(onnx.load(file), seen, calibration).quantized(), other)
    with torch.no_grad():
        expected = network(torch.from_numpy(other)).numpy()
    change = np.abs(expected - other).mean()
    assert 0 < np.abs(found - expected).mean() < 0.05 * change


# In the runtime


def test_onnx_runtime_convolves_integers(quantizer: Quantizer, tmp_path: Path) -> None:
    def kinds(float32_nodes: Sequence[str]) -> list[str]:
        options = runtime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 4
        runtime.InferenceSession(quantizer.quantized(float32_nodes).SerializeToString(), options)
        return [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]

    convolutions = [name for name in quantizer.layers if name.startswith("node_conv2d")]  # and one that is transposed
    found = kinds(())
    assert len(convolutions) == 9
    assert (found.count("QLinearConv"), found.count("Conv"), found.count("FusedConv")) == (9, 0, 0)
    assert (found.count("QLinearAdd"), found.count("Add")) == (5, 3)  # 3: of indices, and of the picture
    for in_float32 in (convolutions[1:2], convolutions[::2], convolutions[:-1]):
        found = kinds(in_float32)
        assert found.count("QLinearConv") == 9 - len(in_float32)
        assert found.count("Conv") + found.count("FusedConv") == len(in_float32)


def test_the_graph_is_valid_onnx(quantizer: Quantizer) -> None:
    for in_float32 in ((), list(quantizer.layers)[::2]):
        onnx.checker.check_model(quantizer.quantized(in_float32), full_check=True)


def test_one_layer_in_integers_changes_less_than_all(quantizer: Quantizer, file: Path) -> None:
    (picture,) = pictures(1)
    expected = run(onnx.load(file), picture)
    others = [node for node, layer in quantizer.layers.items() if layer != "m_body.0.res.0"]
    assert len(others) == 9
    errors = [np.square(run(quantizer.quantized(left), picture) - expected).mean() for left in (others, ())]
    assert 0 < errors[0] < errors[1] / 2


def test_index_arithmetic_is_left_alone(quantizer: Quantizer) -> None:
    layers = set(quantizer.layers.values())
    assert {"m_head", "m_tail", "m_down1.0.res.0", "m_up1.0"} <= layers
    rounded = {
        name for node in quantizer.quantized().graph.node if node.op_type == "QuantizeLinear" for name in node.input
    }
    outside = {"relu", "relu_1", "minimum", "picture", "index_select_1", "pixel_shuffle", "restored"}
    assert not {name for name in rounded if name.partition("_Quant")[0] in outside}


# Which layers


def test_the_layer_that_rounding_destroys_is_the_most_sensitive(file: Path, tmp_path: Path) -> None:
    def dead(bias: Any) -> None:
        bias[7] = -1000  # so that channel 7 is 0 after the ReLU

    def wide(weights: Any) -> None:
        weights *= 5
        weights[:, 7] = 1000  # changes nothing, but makes the steps of all other weights coarse

    model = with_weights(file, m_body__0__res__0__bias=dead, m_body__0__res__2__weight=wide)
    onnx.save(model, tmp_path / "net.onnx")
    quantizer = Quantizer(model, pictures(2), "minmax")

    def int8(nodes: Sequence[str]) -> dm.OnnxNetwork:
        (tmp_path / "int8.onnx").write_bytes(quantizer.quantized(nodes).SerializeToString())
        return dm.OnnxNetwork(tmp_path / "int8.onnx")

    done: list[int] = []
    ranked = quantize._most_sensitive_first(
        quantizer.layers, dm.OnnxNetwork(tmp_path / "net.onnx"), int8, [torch.from_numpy(x) for x in pictures(2)],
        lambda what, number, total: done.append(number),
    )  # fmt: skip
    assert quantizer.layers[ranked[0]] == "m_body.0.res.2"
    assert sorted(ranked) == sorted(quantizer.layers)
    assert done == list(range(1, len(ranked) + 1))


def loss(db: float) -> Loss:
    return Loss(
        pairs=1, psnr_float32=30, psnr_int8=30 - db, pooled_db=0, worst_db=db, no_harm_float32=0, no_harm_int8=0
    )


@pytest.mark.parametrize("needed", [1, 2, 5, 8, None])
def test_as_few_layers_as_needed_stay_in_float32(needed: int | None) -> None:
    ranked = [f"layer {number}" for number in range(9)]
    tried: list[int] = []

    def loss_of(nodes: Sequence[str]) -> Loss:
        assert list(nodes) == ranked[: len(nodes)]
        tried.append(len(nodes))
        return loss(0.05 if needed is not None and len(nodes) >= needed else 0.2)

    found = quantize._fewest(ranked, loss_of, 0.1, lambda *_: None)
    assert len(tried) <= 4
    if needed is None:
        assert found is None
    else:
        assert found is not None
        assert list(found[0]) == ranked[:needed]
        assert found[1].db == pytest.approx(0.05)


def test_the_loss_counts_pictures_and_their_pooled_error() -> None:
    before = np.array([[1e-2, 1e-4], [1e-4, 0.0]])
    after = np.array([[1e-2, 2e-4], [1e-3, 1e-10]])
    found = Loss.between(before, after)
    assert found.mean_db == pytest.approx(10 * np.log10(2) / 2)
    assert found.worst_db == pytest.approx(10 * np.log10(2))
    assert found.pooled_db == pytest.approx(10 * np.log10(1.02e-2 / 1.01e-2))
    assert (found.no_harm_float32, found.no_harm_int8) == pytest.approx((70, 65))  # an equal picture counts as 100 dB
    assert found.db == found.mean_db
    assert Loss.between(after[:, :1], before[:, :1] * 2).db == pytest.approx(10 * np.log10(2))


# Files


def test_a_file_in_integers_is_used_like_its_network(file: Path, tmp_path: Path, monkeypatch: Any, capfd: Any) -> None:
    monkeypatch.setattr(quantize, "HELD_OUT_PAIRS", 3)
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    done = quantize_network(file, tmp_path / "net.int8.onnx", samples=2, max_loss_db=50)
    assert "".join(capfd.readouterr()) == ""  # onnxruntime.quantization prints, and sets up logging
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.int8.onnx", "net.int8.parity.json"]
    assert done.bytes == done.path.stat().st_size < 0.6 * done.bytes_float32

    int8, float32 = dm.OnnxNetwork(done.path), dm.OnnxNetwork(file)
    kept = {name: value for name, value in int8.about.items() if name not in ("precision", "quantization")}
    assert kept == {name: value for name, value in float32.about.items() if name != "precision"}
    assert kept["license"] == "CC0-1.0"
    assert int8.about["precision"] == "int8"
    assert json.loads(int8.about["quantization"]) == {
        "calibration": "percentile", "samples": 2, "photos": "scikit-image", "recipe": "default", "fine_tuning_steps": 0,
        "float32_layers": [],
    }  # fmt: skip
    for secret in (str(tmp_path), str(file.parent), sys.prefix):
        assert secret.encode() not in done.path.read_bytes()
    for shape in ((2, 33, 47), (1, 5, 60), (1, 1, 1)):
        x = smooth(*shape)
        assert 0 < (int8(x) - float32(x)).abs().max() < 0.05

    said = json.loads((tmp_path / "net.int8.parity.json").read_text())
    assert (said["precision"], said["bytes"], said["layers"]) == ("int8", done.bytes, done.layers)
    pairs = quantize._pairs(quantize._photographs(None, "held-out", "default", 192, 3))
    scores = [
        [peak_signal_noise_ratio(sharp.numpy(), ((n(x).clamp(0, 1) * 255).round() / 255).numpy(), data_range=1)
         for x, sharp in pairs] for n in (float32, int8)
    ]  # fmt: skip
    assert (said["loss"]["psnr_float32"], said["loss"]["psnr_int8"]) == pytest.approx(np.mean(scores, axis=1), abs=1e-4)
    assert said["loss"]["worst_db"] == pytest.approx(np.subtract(*scores).max(), abs=1e-3)


def test_the_command_line_prints_what_is_lost(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "HELD_OUT_PAIRS", 2)
    words = ["quantize", file, "--out", tmp_path / "net.int8.onnx", "--samples", 1, "--max-loss-db", 50]
    said = CliRunner().invoke(cli.app, [str(word) for word in words], prog_name="deblur")
    assert said.exit_code == 0, said.output
    report = json.loads((tmp_path / "net.int8.parity.json").read_text())
    assert f"{report['loss']['mean_db']:.3f}" in said.output
    assert "10 of 10 layers in integers\n" in said.output
    assert "written: " in said.output
    again = CliRunner().invoke(cli.app, [str(word) for word in words], prog_name="deblur")
    assert (again.exit_code, "already exists" in again.output) == (2, True)


def test_the_loss_is_measured_on_photographs_that_the_calibration_does_not_see(tmp_path: Path) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(random.integers(0, 256, (70, 80, 3), np.uint8)).save(tmp_path / f"{number}.png")
    used = [
        {sample.source for sample in quantize._photographs(tmp_path, part, "sharp", 64, 16)}
        for part in ("training", "held-out")
    ]
    assert all(used)
    assert not used[0] & used[1]
    assert len(used[0]) > len(used[1])


def test_files_of_one_size_are_calibrated_at_it(
    file: Path, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "HELD_OUT_PAIRS", 1)
    model = onnx.load(file)
    for value in (model.graph.input[0], model.graph.output[0]):
        for dim, length in zip(value.type.tensor_type.shape.dim, (1, 3, 50, 230), strict=True):
            dim.dim_value = length
    onnx.save(model, tmp_path / "fixed.onnx")
    done = quantize_network(tmp_path / "fixed.onnx", tmp_path / "int8.onnx", samples=1, max_loss_db=50)
    int8 = dm.OnnxNetwork(done.path)
    assert int8.size_px == (50, 230)
    x = smooth(1, 50, 230)
    assert 0 < (int8(x) - network(x)).abs().max() < 0.05


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"calibration": "entropie"}, "There is no calibration 'entropie'. Did you mean 'entropy'"),
        ({"samples": 0}, "samples must be 1 to 4096, got 0"),
        ({"max_loss_db": 0.0}, "max_loss_db must be > 0 and finite, got 0.0"),
        ({"max_loss_db": float("nan")}, "max_loss_db must be > 0 and finite, got nan"),
        ({"fine_tuning_steps": -1}, "fine_tuning_steps must be 0 to 1000000, got -1"),
        ({"fine_tuning_steps": 1}, "only the weights of a checkpoint can be fine-tuned"),
        ({"photos": "none/"}, "none"),
        ({"recipe": "defualt"}, "defualt"),
    ],
)
def test_bad_arguments_are_refused_before_work(
    options: dict[str, Any], words: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quantize, "Quantizer", lambda *a, **k: pytest.fail("work began"))
    with pytest.raises((InvalidValueError, DatasetError, ValueError), match=words):
        quantize_network(file, tmp_path / "net.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_quantized_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"net.onnx: already exists"):
        quantize_network(file, file)
    with pytest.raises(InvalidValueError, match=r"files of the format onnx end in .onnx"):
        quantize_network(file, tmp_path / "net.int8")
    model = onnx.load(file)
    for one in model.metadata_props:
        one.value = "float16" if one.key == "precision" else one.value
    onnx.save(model, tmp_path / "half.onnx")
    with pytest.raises(DatasetError, match=r"half.onnx: has the precision float16, but ranges are measured in float32"):
        quantize_network(tmp_path / "half.onnx", tmp_path / "net.onnx")
    onnx.save(onnx.load(file), tmp_path / "apart.onnx", save_as_external_data=True, size_threshold=1024)
    with pytest.raises(DatasetError, match=r"apart.onnx: has weights in other files"):
        quantize_network(tmp_path / "apart.onnx", tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_a_missing_torchao_is_reported_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setattr(quantize, "export_network", lambda *a, **k: pytest.fail("work began"))
    with pytest.raises(MissingExtraError, match=r"torchao.*qat"):
        quantize_network("photographs", tmp_path / "net.onnx", fine_tuning_steps=1)


def test_a_loss_that_no_layers_can_meet_is_an_error(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "HELD_OUT_PAIRS", 1)
    monkeypatch.setattr(quantize.Loss, "between", lambda before, after: loss(0.2))
    monkeypatch.setattr(quantize, "_most_sensitive_first", lambda nodes, *_: list(nodes))
    with pytest.raises(DatasetError, match=r"every layer in integers 0.20 dB are lost, and only with every layer in"):
        quantize_network(file, tmp_path / "net.onnx", samples=1)
    assert list(tmp_path.iterdir()) == []


def test_graphs_without_convolutions_are_refused() -> None:
    helper = onnx.helper
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], "relu")], "none", values[:1], values[1:])
    with pytest.raises(DatasetError, match="no convolutions"):
        Quantizer(helper.make_model(graph), pictures(1), "minmax")


def test_values_that_are_not_finite_are_an_error(file: Path) -> None:
    with pytest.raises(DatasetError, match="ONNX Runtime cannot quantize the graph: "):
        Quantizer(onnx.load(file), [np.full((1, 3, 8, 8), np.nan, np.float32)], "percentile")
