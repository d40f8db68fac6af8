"""Tiles equal the whole where the receptive field allows, and the ensemble turns with the picture."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from blursynth.errors import InvalidValueError
from deblur_models.networks import Network, NetworkConfig, create_network
from deblur_models.restore.network_restorer import (
    Identity,
    NetworkRestorer,
    sees_all_of_it,
    with_local_px,
)
from deblur_models.restore.restorer import Restorer
from deblur_models.restore.tiles import windows


class LocalConfig(NetworkConfig):
    """Convolutions, some with strides, whose reach is known: 2 px at full size, 2 at a quarter of it."""

    sizes: ClassVar = {"tiny": {}}
    multiple_px: ClassVar[int] = 4  # type: ignore[misc]

    def build(self) -> Network:
        return Local(self)


class Local(Network):
    largest_px: int | None = None
    sides: list[tuple[int, int]]

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.full = nn.Conv2d(3, 3, 5, padding=2)
        self.down = nn.Conv2d(3, 4, 4, stride=4)
        self.low = nn.Conv2d(4, 3, 3, padding=1)
        self.sides = []

    def restore(self, blurred: Tensor) -> tuple[Tensor, ...]:
        self.sides.append((blurred.shape[-2], blurred.shape[-1]))
        if self.largest_px is not None and max(blurred.shape[-2:]) > self.largest_px:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB.\nmore")
        return (blurred + self.full(blurred) + F.interpolate(self.low(self.down(blurred)), scale_factor=4.0),)


def local(seed: int = 0) -> Local:
    torch.manual_seed(seed)
    network = LocalConfig().build()
    assert isinstance(network, Local)
    return network


def picture(height: int, width: int, batch: int = 1, seed: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(
    length=st.integers(1, 400),
    tile=st.integers(1, 120),
    share=st.floats(0.0, 0.5),
    multiple=st.sampled_from([1, 4, 16]),
)
def test_weights_sum_to_one_and_every_pixel_is_far_from_its_tiles_edge(
    length: int, tile: int, share: float, multiple: int
) -> None:
    overlap = int(share * tile)
    found = windows(length, tile, overlap, multiple)
    total = torch.zeros(length)
    for window in found:
        assert (window.weight > 0).any()
        assert (window.weight >= 0).all()
        assert window.start % multiple == 0
        assert 0 <= window.start <= window.first < window.last <= window.stop <= length
        assert window.stop - window.start <= -(-tile // multiple) * multiple
        if window.start > 0:
            assert window.first - window.start >= 3 * overlap // 8
        if window.stop < length:
            assert window.stop - window.last >= 3 * overlap // 8
        total[window.shown()] += window.weight
    torch.testing.assert_close(total, torch.ones(length), rtol=0, atol=1e-6)


def views(picture: Tensor) -> list[Tensor]:
    """Its eight rotations and mirror images, the picture itself first."""
    return [torch.rot90(one, turns, (-2, -1)) for one in (picture, picture.flip(-1)) for turns in range(4)]


@pytest.mark.parametrize(("height", "width"), [(33, 210), (97, 101), (160, 64), (5, 7)])
def test_tiles_equal_the_whole_where_the_receptive_field_allows(height: int, width: int) -> None:
    network, blurred = local(), picture(height, width, batch=2)
    whole = NetworkRestorer(network).restore(blurred)
    with torch.no_grad():
        torch.testing.assert_close(whole, network(blurred), rtol=0, atol=1e-6)
    network.sides.clear()
    tiled = NetworkRestorer(network, tile_px=64, overlap_px=24).restore(blurred)  # reach: 9 px = 3/8 of 24
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-6)
    assert max(max(sides) for sides in network.sides) <= 64
    assert tiled.dtype == torch.float32


def test_too_small_an_overlap_shows() -> None:
    # Else the test above could not fail.
    network, blurred = local(), picture(96, 128)
    whole = NetworkRestorer(network).restore(blurred)
    tiled = NetworkRestorer(network, tile_px=32, overlap_px=0).restore(blurred)
    assert (tiled - whole).abs().max() > 1e-2


def test_a_tiled_nafnet_with_windows_is_close_to_the_whole_and_without_them_warned_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    torch.manual_seed(0)
    network = create_network("nafnet", "tiny", width=8)
    for name, weight in network.named_parameters():
        if name.endswith(("beta", "gamma")):
            nn.init.constant_(weight, 0.3)
    blurred = picture(96, 160)
    errors = {}
    for local_px in (0, 16):
        changed = with_local_px(network, local_px)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "deblur_models"):
            whole = NetworkRestorer(changed, tile_px=160).restore(blurred)
            assert not caplog.records  # one tile holds all of it
            tiled = NetworkRestorer(changed, tile_px=96, overlap_px=48)
            errors[local_px] = (tiled.restore(blurred) - whole).abs().max()
            tiled.restore(blurred)
        assert len(caplog.records) == (local_px == 0)
    assert errors[16] < 0.1 * errors[0]


def test_pictures_up_to_a_number_of_pixels_are_taken_whole(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    network = create_network("restormer", "tiny")
    assert sees_all_of_it(network)
    assert not sees_all_of_it(create_network("srn", "tiny"))
    blurred = picture(40, 48)
    whole = NetworkRestorer(network).restore(blurred)
    with caplog.at_level(logging.WARNING, "deblur_models"):
        restorer = NetworkRestorer(network, tile_px=32, whole_up_to_px=40 * 48)
        assert torch.equal(restorer.restore(blurred), whole)
        assert not caplog.records
        assert not torch.equal(restorer.restore(picture(40, 49))[..., :48], whole)
    assert "--tile 0" in caplog.text


def test_networks_that_normalize_by_what_they_see_are_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    for norm, warned in (("instance", True), ("running", False)):
        caplog.clear()
        torch.manual_seed(0)
        restorer = NetworkRestorer(create_network("deblurgan", "tiny", norm=norm), tile_px=32, name=norm)
        with caplog.at_level(logging.WARNING, "deblur_models"):
            restorer.restore(picture(40, 48))
            restorer.restore(picture(40, 48))
        assert [r.getMessage()[: len(norm)] for r in caplog.records] == [norm] * warned


def test_with_local_px_keeps_the_weights_and_refuses_other_networks() -> None:
    network = create_network("nafnet", "tiny", width=8).eval()
    changed = with_local_px(network, 32)
    assert changed.config.fields()["local_px"] == 32
    assert not changed.training
    for a, b in zip(network.state_dict().values(), changed.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(InvalidValueError, match=r"local has no local_px.*nafnet"):
        with_local_px(local(), 32)


def test_the_ensemble_turns_with_the_picture_and_a_single_view_does_not() -> None:
    network, blurred = local(), picture(45, 70)
    plain, eight = NetworkRestorer(network, tile_px=32), NetworkRestorer(network, tile_px=32, ensemble=True)
    turned = views(blurred)
    assert len({tuple(t.flatten()[:8].tolist()) for t in turned}) == 8
    results = [eight.restore(view) for view in turned]
    for result, expected in zip(results, views(results[0]), strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=2e-6)
    assert (plain.restore(turned[1]) - views(plain.restore(blurred))[1]).abs().max() > 1e-3


def test_the_ensemble_is_the_mean_of_the_eight_views() -> None:
    network, blurred = local(), picture(32, 32)
    with torch.no_grad():
        mean = torch.stack(
            [
                torch.rot90(network(torch.rot90(blurred, k, (2, 3))), -k, (2, 3))
                for k in range(4)
            ]
            + [
                torch.rot90(network(torch.rot90(blurred.flip(3), k, (2, 3))), -k, (2, 3)).flip(3)
                for k in range(4)
            ]
        ).mean(0)  # fmt: skip
    torch.testing.assert_close(NetworkRestorer(network, ensemble=True).restore(blurred), mean, rtol=0, atol=1e-6)


def test_progress_counts_every_tile() -> None:
    seen: list[tuple[int, int]] = []
    restorer = NetworkRestorer(local(), tile_px=32, overlap_px=8, ensemble=True)
    restorer.on_tiles = lambda done, total: seen.append((done, total))
    restorer.restore(picture(40, 72))
    total = seen[0][1]
    assert total == 8 * 2 * 3
    assert seen == [(i + 1, total) for i in range(total)]


def test_out_of_memory_halves_the_tile_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    network, blurred = local(), picture(70, 300)
    whole = NetworkRestorer(network).restore(blurred)
    network.largest_px = 80
    restorer = NetworkRestorer(network)
    with caplog.at_level(logging.WARNING, "deblur_models"):
        restored = restorer.restore(blurred)
    torch.testing.assert_close(restored, whole, rtol=0, atol=1e-6)  # 3/8 of a quarter of 75 px is 7 px: still enough
    assert restorer.tile_px == 75
    assert [r.args[1] for r in caplog.records if isinstance(r.args, tuple)] == [150, 75]
    assert "more" not in caplog.text
    network.largest_px = 40
    with pytest.raises(InvalidValueError, match="not have enough memory for a tile of 64 px"):
        restorer.restore(blurred)


def test_other_errors_of_a_network_are_not_taken_for_lack_of_memory() -> None:
    network = local()
    network.full = nn.Conv2d(4, 3, 1)
    with pytest.raises(RuntimeError, match="channels"):
        NetworkRestorer(network).restore(picture(16, 16))


def test_mixed_precision_and_layout_change_little() -> None:
    network, blurred = local(), picture(40, 40)
    whole = NetworkRestorer(network).restore(blurred)
    mixed = NetworkRestorer(network, autocast=torch.bfloat16, channels_last=True, tile_px=32).restore(blurred)
    assert mixed.dtype == torch.float32
    assert 0 < (mixed - whole).abs().max() < 0.03


def test_the_network_is_used_as_it_is_in_use() -> None:
    network = create_network("nafnet", "tiny", width=8).train()
    assert not NetworkRestorer(network).network.training


def test_identity_gives_the_picture_back() -> None:
    blurred = picture(4, 4)
    assert Identity().restore(blurred) is blurred
    assert isinstance(Identity(), Restorer)
    assert isinstance(NetworkRestorer(local()), Restorer)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tile_px": 0}, "tile_px must be >= 1"),
        ({"tile_px": 64, "overlap_px": 40}, "0 to half of tile_px, got 40 for a tile of 64"),
        ({"overlap_px": -1}, "got -1"),
        ({"autocast": torch.float64}, "autocast must be"),
    ],
)
def test_bad_options_are_reported(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        NetworkRestorer(local(), **options)


def test_codes_and_gray_pictures_are_refused() -> None:
    for wrong in (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 0, 8)):
        with pytest.raises(InvalidValueError, match="restore takes floating-point tensors"):
            NetworkRestorer(local()).restore(wrong)
    with pytest.raises(InvalidValueError, match=r"restore: the picture must lie in 0\.\.1, got 0 to 255"):
        NetworkRestorer(local()).restore(torch.tensor([0.0, 255.0]).expand(1, 3, 16, 2))
