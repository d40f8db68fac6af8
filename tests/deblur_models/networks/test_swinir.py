"""SwinIR: windows, their masks and positions against a plain loop; stochastic depth; names of the published code."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blursynth.errors import InvalidValueError
from deblur_models.networks import create_network
from deblur_models.networks.swinir import SwinBlock, SwinIRConfig, WindowAttention, relative_positions, seam_masks


def attention(window_px: int, shift_px: int, seed: int = 0) -> WindowAttention:
    torch.manual_seed(seed)
    layer = WindowAttention(6, 2, window_px, shift_px).double()
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return layer


def by_hand(layer: WindowAttention, x: np.ndarray) -> np.ndarray:
    """Every pixel sees the pixels of its window; windows start at the shift and are cut off by the picture's edges."""
    height, width, channels = x.shape
    side, heads = layer.window_px, layer.heads
    weights = {name: value.detach().numpy() for name, value in layer.state_dict().items()}
    qkv = x @ weights["qkv.weight"].T + weights["qkv.bias"]
    query, key, value = np.split(qkv.reshape(height, width, -1), 3, axis=-1)
    depth = channels // heads
    attended = np.zeros_like(x)

    def window(place: int, length: int) -> range:
        start = (place - layer.shift_px) // side * side + layer.shift_px
        return range(max(start, 0), min(start + side, length))

    for row, column, head in itertools.product(range(height), range(width), range(heads)):
        seen = list(itertools.product(window(row, height), window(column, width)))
        part = slice(head * depth, (head + 1) * depth)
        scores = [
            query[row, column, part] @ key[r, c, part] / np.sqrt(depth)
            + weights["relative_position_bias_table"][
                (row - r + side - 1) * (2 * side - 1) + (column - c + side - 1), head
            ]
            for r, c in seen
        ]
        share = np.exp(np.array(scores) - max(scores))
        share /= share.sum()
        attended[row, column, part] = sum(s * value[r, c, part] for s, (r, c) in zip(share, seen, strict=True))
    return attended @ weights["proj.weight"].T + weights["proj.bias"]


@settings(max_examples=12, deadline=None)
@given(
    window_px=st.integers(2, 5),
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
    shifted=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_windows_equal_a_plain_loop(window_px: int, rows: int, columns: int, shifted: bool, seed: int) -> None:
    layer = attention(window_px, window_px // 2 if shifted else 0, seed)
    x = torch.randn(2, rows * window_px, columns * window_px, 6, dtype=torch.float64)
    with torch.no_grad():
        ours = layer(x).numpy()
    for picture, expected in zip(ours, x.numpy(), strict=True):
        np.testing.assert_allclose(picture, by_hand(layer, expected), atol=1e-10)


def test_a_shift_lets_nothing_over_the_seam() -> None:
    """The upper left corner is rolled beside the lower right one; neither sees the other."""
    layer = attention(8, 4)
    x = torch.zeros(1, 16, 16, 6, dtype=torch.float64, requires_grad=True)
    layer(x)[0, :4, :4].sum().backward()
    assert x.grad is not None
    assert x.grad[0, :4, :4].abs().sum() > 0
    assert x.grad[0, 4:].abs().max() < 1e-30
    assert x.grad[0, :, 4:].abs().max() < 1e-30


def test_masks_by_kind_of_window() -> None:
    inside, right, below, corner = seam_masks(4, 2).reshape(4, 4, 4, 4, 4)  # kind, row, column, row, column
    assert not inside.any()
    assert right[0, 1, 3, 2] == -100
    assert right[0, 1, 3, 0] == 0
    assert below[1, 0, 2, 3] == -100
    assert below[1, 0, 0, 3] == 0
    for here, there in (((0, 0), (2, 2)), ((0, 3), (3, 0)), ((0, 0), (0, 2)), ((0, 0), (2, 0))):
        assert corner[(*here, *there)] == -100
    assert corner[3, 2, 2, 3] == 0
    assert torch.equal(corner, corner.permute(2, 3, 0, 1))
    assert not seam_masks(4, 0).any()


def test_equal_offsets_share_an_entry_of_the_table() -> None:
    side = 3
    table = relative_positions(side)
    entries: dict[tuple[int, int], set[int]] = {}
    places = list(itertools.product(range(side), repeat=2))
    for (i, (r0, c0)), (j, (r1, c1)) in itertools.product(enumerate(places), repeat=2):
        entries.setdefault((r0 - r1, c0 - c1), set()).add(int(table[i, j]))
    assert all(len(found) == 1 for found in entries.values())
    assert sorted(e for found in entries.values() for e in found) == list(range((2 * side - 1) ** 2))


def test_only_weights_are_stored() -> None:
    """Masks and positions follow from the configuration; a state fits pictures of every size."""
    network = create_network("swinir", "tiny")
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}


def test_without_its_last_convolution_it_changes_nothing() -> None:
    network = create_network("swinir", "tiny").eval()
    torch.nn.init.zeros_(network.conv_last.weight)
    torch.nn.init.zeros_(network.conv_last.bias)
    picture = torch.rand(1, 3, 19, 30)
    with torch.no_grad():
        assert torch.equal(network(picture), picture)


def test_the_mean_color_is_black_to_the_network() -> None:
    network = create_network("swinir", "tiny").eval()
    seen = []
    network.conv_first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(torch.tensor([0.4488, 0.4371, 0.4040])[None, :, None, None].expand(1, 3, 8, 8))
    assert seen[0].abs().max() < 1e-7


def test_blocks_are_dropped_more_often_with_depth() -> None:
    network = create_network("swinir", "light")
    blocks = [module for module in network.modules() if isinstance(module, SwinBlock)]
    assert [b.drop_path for b in blocks] == pytest.approx(np.linspace(0, 0.1, 24), abs=1e-7)
    assert [b.attn.shift_px for b in blocks] == [0, 4] * 12


def test_dropped_pictures_are_zero_and_the_rest_makes_up_for_them() -> None:
    block = SwinBlock(SwinIRConfig.of_size("tiny"), 0, 0.3)
    torch.manual_seed(5)
    number = 20_000
    x = torch.ones(number, 1, 1, 2)
    skipped = block.train().skip(x)
    assert skipped.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    assert torch.equal(skipped[..., 0], skipped[..., 1])  # whole pictures
    sigma = np.sqrt(0.3 * 0.7 / number) / 0.7
    assert abs(skipped.mean().item() - 1) < 5 * sigma
    assert torch.equal(block.eval().skip(x), x)


def test_half_precision_stays_near() -> None:
    torch.manual_seed(0)
    network = create_network("swinir", "tiny").eval()
    picture = torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        exact = network(picture)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(picture)
    assert (half - exact).abs().max() < 0.02


def test_names_of_the_published_code() -> None:
    config = SwinIRConfig(width=12, depths=(1, 2), heads=2, window_px=4)
    block = [
        "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias",
        "attn.relative_position_bias_table", "attn.relative_position_index",
        "attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias",
        "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias",
    ]  # fmt: skip
    outside = (
        "conv_first",
        "patch_embed.norm",
        "layers.0.conv",
        "layers.1.conv",
        "norm",
        "conv_after_body",
        "conv_last",
    )
    names = [f"{name}.{part}" for name in outside for part in ("weight", "bias")]
    for group, place in ((0, 0), (1, 0), (1, 1)):
        names += [f"layers.{group}.residual_group.blocks.{place}.{part}" for part in block]
    names.append("layers.1.residual_group.blocks.1.attn_mask")
    renamed = config.from_original({name: torch.zeros(1) for name in names})
    own = config.build().state_dict()
    assert set(renamed) == set(own)
    assert set(config.from_original(own)) == set(own)
    assert "head.weight" in config.from_original({"head.weight": torch.zeros(1)})  # left for the comparison


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 16, "heads": 3}, "multiple of heads, got 16 and 3"),
        ({"depths": (2, 0)}, "at least 1 each"),
        ({"drop_path": 1.0}, "must be < 1"),
        ({"window_px": 1}, "window_px must be >= 2"),
    ],
)
def test_impossible_numbers_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        SwinIRConfig.of_size("tiny", **fields)
