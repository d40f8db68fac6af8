"""SRN-DeblurNet against TensorFlow 1's definitions, written out in numpy: padding, resizing, memory, whole network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from deblur_models.networks.network import count_weights
from deblur_models.networks.srn import ConvLSTM, SameConv2d, SRNConfig, double, every_nth

Array = NDArray[np.float64]


def same_conv(x: Array, kernel: Array, bias: Array, stride: int = 1) -> Array:
    """TensorFlow's ``conv2d`` with SAME: x [H, W, C], kernel [kh, kw, C, D]; sums written out."""
    height, width = x.shape[:2]
    rows, columns = math.ceil(height / stride), math.ceil(width / stride)
    above = max((rows - 1) * stride + kernel.shape[0] - height, 0) // 2
    before = max((columns - 1) * stride + kernel.shape[1] - width, 0) // 2
    out = np.tile(bias, (rows, columns, 1)).astype(np.float64)
    for r in range(rows):
        for c in range(columns):
            for i in range(kernel.shape[0]):
                for j in range(kernel.shape[1]):
                    y, z = r * stride + i - above, c * stride + j - before
                    if 0 <= y < height and 0 <= z < width:
                        out[r, c] += x[y, z] @ kernel[i, j]
    return out


def same_conv_transpose(x: Array, kernel: Array, bias: Array, stride: int = 2) -> Array:
    """TensorFlow's ``conv2d_transpose`` with SAME: the gradient of ``conv2d``; kernel [kh, kw, D, C]."""
    height, width = x.shape[0] * stride, x.shape[1] * stride
    above = max((x.shape[0] - 1) * stride + kernel.shape[0] - height, 0) // 2
    before = max((x.shape[1] - 1) * stride + kernel.shape[1] - width, 0) // 2
    out = np.tile(bias, (height, width, 1)).astype(np.float64)
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(kernel.shape[0]):
                for j in range(kernel.shape[1]):
                    y, z = r * stride + i - above, c * stride + j - before
                    if 0 <= y < height and 0 <= z < width:
                        out[y, z] += kernel[i, j] @ x[r, c]
    return out


def legacy_resize(x: Array, height: int, width: int) -> Array:
    """TensorFlow 1's ``resize_images(method=BILINEAR)``: output pixel i looks at ``i * before / after``."""
    for axis, after in ((0, height), (1, width)):
        before = x.shape[axis]
        place = np.arange(after) * (before / after)
        low = np.floor(place).astype(int)
        share = (place - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        high = np.minimum(low + 1, before - 1)
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm_step(x: Array, cell: Array, output: Array, kernel: Array, bias: Array) -> tuple[Array, Array]:
    new_input, candidate, forget, gate = np.split(same_conv(np.concatenate([x, output], 2), kernel, bias), 4, axis=2)
    cell = cell * sigmoid(forget + 1.0) + sigmoid(new_input) * np.tanh(candidate)
    return cell, np.tanh(cell) * sigmoid(gate)


def nhwc(x: torch.Tensor) -> Array:
    return x[0].permute(1, 2, 0).double().numpy()


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    kernel_px=st.sampled_from([1, 2, 3, 4, 5]),
    stride=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 2**31),
)
def test_padding_is_that_of_same(height: int, width: int, kernel_px: int, stride: int, seed: int) -> None:
    torch.manual_seed(seed)
    conv = SameConv2d(2, 3, kernel_px, stride).double()
    x = torch.rand(1, 2, height, width, dtype=torch.float64)
    assert conv.bias is not None
    kernel, bias = conv.weight.detach().permute(2, 3, 1, 0).numpy(), conv.bias.detach().numpy()
    expected = same_conv(nhwc(x), kernel, bias, stride)
    np.testing.assert_allclose(nhwc(conv(x).detach()), expected, atol=1e-12)


def test_same_differs_from_symmetric_padding() -> None:
    """The trap itself: padding by two on both sides is another function where the stride is two."""
    conv = SameConv2d(1, 1, 5, 2)
    x = torch.rand(1, 1, 8, 8)
    symmetric = torch.nn.functional.conv2d(x, conv.weight, conv.bias, stride=2, padding=2)
    shifted = torch.nn.functional.conv2d(torch.nn.functional.pad(x, (1, 2, 1, 2)), conv.weight, conv.bias, stride=2)
    assert not torch.allclose(conv(x), symmetric, atol=1e-3)
    assert torch.equal(conv(x), shifted)


@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_doubling_is_the_legacy_resize(height: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.rand(1, 2, height, width, dtype=torch.float64)
    np.testing.assert_allclose(nhwc(double(x)), legacy_resize(nhwc(x), 2 * height, 2 * width), atol=1e-14)


@given(height=st.integers(1, 5), width=st.integers(1, 5), n=st.sampled_from([1, 2, 4]), seed=st.integers(0, 2**31))
def test_leaving_out_pixels_is_the_legacy_resize(height: int, width: int, n: int, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.rand(1, 2, n * height, n * width, dtype=torch.float64)
    assert np.array_equal(nhwc(every_nth(x, n)), legacy_resize(nhwc(x), height, width))


def test_gates_of_the_memory() -> None:
    """Two steps, the second with the state of the first, against the equations written by hand."""
    torch.manual_seed(0)
    lstm = ConvLSTM(3).double()
    torch.nn.init.normal_(lstm.gates.weight, std=0.5)
    assert lstm.gates.bias is not None
    torch.nn.init.normal_(lstm.gates.bias)
    kernel, bias = lstm.gates.weight.detach().permute(2, 3, 1, 0).numpy(), lstm.gates.bias.detach().numpy()
    first, second = torch.rand(2, 1, 3, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        state = lstm(first, None)
        cell, output = lstm(second, state)
    zeros = np.zeros((4, 5, 3))
    expected_cell, expected_output = lstm_step(
        nhwc(second), *lstm_step(nhwc(first), zeros, zeros, kernel, bias), kernel, bias
    )
    np.testing.assert_allclose(nhwc(cell), expected_cell, atol=1e-12)
    np.testing.assert_allclose(nhwc(output), expected_output, atol=1e-12)


def test_a_fresh_memory_remembers() -> None:
    """With weights of zero the forget gate is sigmoid(1), not one half."""
    lstm = ConvLSTM(1)
    torch.nn.init.zeros_(lstm.gates.weight)
    assert lstm.gates.bias is not None
    torch.nn.init.zeros_(lstm.gates.bias)
    cell, _ = lstm(torch.ones(1, 1, 2, 2), (torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)))
    assert torch.allclose(cell, torch.full_like(cell, 1 / (1 + math.exp(-1))))


def tensorflow_variables(channels: int, width: int, blocks: int, lstm: bool) -> dict[str, Array]:
    """Variables as the published code names and shapes them, with random numbers."""
    rng = np.random.default_rng(1)
    variables: dict[str, Array] = {}

    def layer(name: str, *shape: int, out: int) -> None:
        variables[f"g_net/{name}/weights"] = rng.normal(0, math.prod(shape[:2]) ** -0.5 / 2, shape)
        variables[f"g_net/{name}/biases"] = rng.normal(0, 0.1, out)

    def block(name: str, w: int) -> None:
        for number in (1, 2):
            layer(f"{name}/conv{number}", 5, 5, w, w, out=w)

    widths = [width, 2 * width, 4 * width]
    for level, (before, w) in enumerate(zip([2 * channels, *widths], widths, strict=False), 1):
        layer(f"enc{level}_1", 5, 5, before, w, out=w)
        for place in range(2, blocks + 2):
            block(f"enc{level}_{place}", w)
    if lstm:
        layer("convLSTM/LSTM_conv", 3, 3, 8 * width, 16 * width, out=16 * width)
    for level in (3, 2, 1):
        w = widths[level - 1]
        if level < 3:
            layer(f"dec{level}_{blocks + 1}", 4, 4, w, 2 * w, out=w)
        for place in range(blocks, 0, -1):
            block(f"dec{level}_{place}", w)
    layer("dec1_0", 5, 5, width, channels, out=channels)
    return variables


def tensorflow_forward(picture: Array, variables: dict[str, Array], blocks: int, lstm: bool) -> list[Array]:
    """The published graph on one picture [H, W, C]; outputs from coarse to fine."""

    def conv(x: Array, name: str, stride: int = 1) -> Array:
        return same_conv(x, variables[f"g_net/{name}/weights"], variables[f"g_net/{name}/biases"], stride)

    def relu(x: Array) -> Array:
        return np.maximum(x, 0)

    def block(x: Array, name: str) -> Array:
        return x + conv(relu(conv(x, f"{name}/conv1")), f"{name}/conv2")

    height, width = picture.shape[:2]
    guess, outputs = picture, []
    wide = variables["g_net/enc3_1/biases"].size
    cell = output = np.zeros((height // 4, width // 4, wide))
    for n in (4, 2, 1):
        rows, columns = height // n, width // n
        x = np.concatenate([legacy_resize(picture, rows, columns), legacy_resize(guess, rows, columns)], 2)
        cell, output = (legacy_resize(s, rows // 4, columns // 4) for s in (cell, output))
        skips = []
        for level in (1, 2, 3):
            x = relu(conv(x, f"enc{level}_1", stride=1 if level == 1 else 2))
            for place in range(2, blocks + 2):
                x = block(x, f"enc{level}_{place}")
            skips.append(x)
        if lstm:
            lstm_conv = (variables[f"g_net/convLSTM/LSTM_conv/{part}"] for part in ("weights", "biases"))
            cell, output = lstm_step(x, cell, output, *lstm_conv)
            x = output
        for level in (3, 2, 1):
            if level < 3:
                name = f"g_net/dec{level}_{blocks + 1}"
                x = relu(same_conv_transpose(x, variables[f"{name}/weights"], variables[f"{name}/biases"]))
                x = x + skips[level - 1]
            for place in range(blocks, 0, -1):
                x = block(x, f"dec{level}_{place}")
        guess = conv(x, "dec1_0")
        outputs.append(guess)
    return outputs


@pytest.mark.parametrize(("channels", "lstm", "blocks"), [(1, True, 2), (1, False, 1), (3, True, 1), (3, False, 1)])
def test_the_whole_network_is_the_published_graph(channels: Any, lstm: bool, blocks: int) -> None:
    """Exported variables go in; the three outputs are those of the graph written out in TensorFlow's definitions."""
    variables = tensorflow_variables(channels, 2, blocks, lstm)
    config = SRNConfig(channels=channels, width=2, blocks=blocks, lstm=lstm)
    network = config.build().double()
    network.load_state_dict(config.from_original({f"{k}:0": torch.from_numpy(v) for k, v in variables.items()}))
    picture = np.random.default_rng(2).random((16, 32, 3))
    with torch.no_grad():
        outputs = network(torch.from_numpy(picture).permute(2, 0, 1)[None], every_scale=True)
    parts = [picture] if channels == 3 else [picture[..., c : c + 1] for c in range(3)]
    expected = [tensorflow_forward(part, variables, blocks, lstm) for part in parts]
    for found, wanted in zip(outputs, reversed(list(zip(*expected, strict=True))), strict=True):
        assert np.abs(np.concatenate(wanted, 2)).max() > 0.1
        np.testing.assert_allclose(nhwc(found), np.concatenate(wanted, 2), atol=1e-9)


@pytest.mark.parametrize(("size", "weights"), [("lstm", 8_056_609), ("gray", 6_876_449), ("color", 6_881_251)])
def test_weights_of_the_three_published_networks(size: str, weights: int) -> None:
    with torch.device("meta"):
        assert count_weights(SRNConfig.of_size(size).build()) == weights


def test_names_of_the_published_checkpoint_all_fit() -> None:
    """All names at full size, what the optimizer stored is left out, and what is unknown stays to be seen."""
    variables = {k: torch.empty(v.shape) for k, v in tensorflow_variables(1, 32, 3, True).items()}
    stored = {f"{k}/Adam{i}": v for k, v in variables.items() for i in ("", "_1")}
    others = {name: torch.zeros(()) for name in ("beta1_power", "beta2_power", "Variable")}
    with torch.device("meta"):
        network = SRNConfig.of_size("lstm").build()
    shapes = {k: v.shape for k, v in network.state_dict().items()}
    mapped = network.config.from_original({**variables, **stored, **others})
    assert {k: v.shape for k, v in mapped.items()} == shapes
    strange = ("enc4_1", "enc1_5/conv1", "enc1_2", "dec3_4", "dec1_5/conv1", "dec2_4/conv1", "convLSTM/other")
    unknown = {f"g_net/{layer}/weights": torch.zeros(1) for layer in strange} | {"d_net/conv/weights": torch.zeros(1)}
    assert set(network.config.from_original(unknown)) == set(unknown)


def test_colors_are_restored_one_by_one_where_the_weights_are_gray() -> None:
    torch.manual_seed(0)
    network = SRNConfig(width=4, blocks=1).build()
    gray = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        restored = network(gray.expand(-1, 3, -1, -1))
        assert torch.equal(restored[:, 0], restored[:, 2])
        changed = network(torch.cat((gray, gray, torch.rand(2, 1, 32, 32)), 1))
    assert torch.allclose(changed[:, :2], restored[:, :2], atol=1e-6)
    assert not torch.allclose(changed[:, 2], restored[:, 2], atol=1e-3)


def test_no_gradient_flows_back_to_a_coarser_result() -> None:
    """Without memory the finest output alone trains the finest pass alone, as in the published code."""
    torch.manual_seed(0)
    network = SRNConfig(channels=3, width=4, blocks=0, lstm=False).build()
    passes: list[torch.Tensor] = []
    network.ending.register_forward_hook(lambda *args: passes.append(args[-1]))
    fine, *_ = network(torch.rand(1, 3, 32, 32), every_scale=True)
    coarsest, middle, finest = passes
    found = torch.autograd.grad(fine.sum(), (coarsest, middle, finest), allow_unused=True)
    assert [g is None for g in found] == [True, True, False]


def test_the_state_carries_gradient_between_scales() -> None:
    torch.manual_seed(0)
    network = SRNConfig(channels=3, width=4, blocks=0).build()
    assert network.lstm is not None
    states: list[torch.Tensor] = []
    network.lstm.register_forward_hook(lambda *args: states.append(args[-1][0]))
    fine, *_ = network(torch.rand(1, 3, 32, 32), every_scale=True)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(fine.sum(), states))


def test_targets_lie_where_the_network_looks() -> None:
    sharp = torch.rand(1, 3, 18, 21)
    full, half, quarter = SRNConfig.of_size("tiny").build().targets(sharp)
    assert full is sharp
    assert torch.equal(half, sharp[..., ::2, ::2])
    assert torch.equal(quarter, sharp[..., ::4, ::4])


@pytest.mark.parametrize("wrong", [{"channels": 2}, {"levels": 0}, {"width": 1}, {"lstm": 1}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        SRNConfig(**wrong)
