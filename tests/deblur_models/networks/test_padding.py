"""What published code puts around a picture, from its own lines in numpy, held against what our networks then see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.networks import ALL, create_network
from deblur_models.restore.network_restorer import NetworkRestorer

Array = NDArray[np.float64]


def nafnet(x: Array) -> Array:
    """NAFNet_arch.py, check_image_size: torch's own padding is with zeros; tiny has three levels."""
    return np.pad(x, [(0, (8 - n % 8) % 8) for n in x.shape[:2]] + [(0, 0)])


def restormer(x: Array) -> Array:
    """Motion_Deblurring/test.py: factor 8, reflect, and only where it is needed."""
    sides = [((n + 8) // 8) * 8 - n if n % 8 else 0 for n in x.shape[:2]]
    return np.pad(x, [(0, n) for n in sides] + [(0, 0)], mode="reflect")


def swinir(x: Array) -> Array:
    """main_test_swinir.py: the picture and its mirror image side by side, cut one window further on."""
    height, width = ((n // 8 + 1) * 8 for n in x.shape[:2])
    x = np.concatenate([x, x[::-1]], 0)[:height]
    return np.concatenate([x, x[:, ::-1]], 1)[:, :width]


def deepdeblur(x: Array) -> Array:
    """data/common.py, pad: divisor 2 ** (scales - 1), mode edge; the network takes 127.5 off."""
    return np.pad(255 * x, [(0, -n % 4) for n in x.shape[:2]] + [(0, 0)], mode="edge") - 127.5


def deblurgan_v2(x: Array) -> Array:
    """predict.py: normalized first, then one more block of 32 of zeros."""
    x = (x - 0.5) / 0.5
    return np.pad(x, [(0, (n // 32 + 1) * 32 - n) for n in x.shape[:2]] + [(0, 0)])


def srn(x: Array) -> Array:
    """models/model.py, test, with the sides 720 x 1280 of run_model.py."""
    if x.shape[0] > x.shape[1]:
        x = np.transpose(x, [1, 0, 2])
    return np.pad(x, ((0, 720 - x.shape[0]), (0, 1280 - x.shape[1]), (0, 0)), mode="edge")


def drunet(x: Array) -> Array:
    """models/network_unet.py, forward: ReplicationPad2d to multiples of 8, for three halvings; tiny halves twice."""
    return np.pad(x, [(0, int(np.ceil(n / 4) * 4 - n)) for n in x.shape[:2]] + [(0, 0)], mode="edge")


PUBLISHED: dict[str, Callable[[Array], Array]] = {
    "nafnet": nafnet, "restormer": restormer, "swinir": swinir, "deepdeblur": deepdeblur, "deblurgan_v2": deblurgan_v2,
    "srn": srn, "drunet": drunet,
}  # fmt: skip


def seen(kind: str, picture: Tensor, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[Array, Tensor]:
    """What the body of a network is given of a picture, in its own range, and what comes back when it changes nothing."""
    network = create_network(kind, "tiny", **({"levels": 3} if kind in ("srn", "deepdeblur") else {}))
    given: list[Tensor] = []

    def body(x: Tensor) -> tuple[Tensor, ...]:
        given.append(x)
        return (x,)

    monkeypatch.setattr(network, "restore", body)
    restored = NetworkRestorer(network, **settings).restore(picture)
    (x,) = given
    return np.moveaxis(x[0].double().numpy(), 0, -1), restored


@pytest.mark.parametrize("size", [(33, 50), (64, 64), (61, 37)])
@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_picture_is_padded_as_its_published_code_does(
    kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    picture = torch.rand(1, 3, *size)
    expected = PUBLISHED[kind](np.moveaxis(picture[0].double().numpy(), 0, -1))
    found, restored = seen(kind, picture, monkeypatch, padding="published")
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < (1e-4 if kind == "deepdeblur" else 1e-6)
    assert restored.shape == picture.shape
    assert torch.allclose(restored, picture, atol=1e-6), "cut and turned back"


def test_ours_mirrors_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = torch.rand(1, 3, 33, 50)
    found, _ = seen("nafnet", picture, monkeypatch)
    mirrored = np.pad(np.moveaxis(picture[0].double().numpy(), 0, -1), ((0, 7), (0, 6), (0, 0)), mode="reflect")
    assert np.array_equal(found, mirrored)


def test_networks_whose_published_code_pads_nothing_say_so() -> None:
    others = [kind.kind for kind in ALL if kind.kind not in PUBLISHED]
    for kind in others:
        with pytest.raises(
            InvalidValueError, match=rf"published code of {kind} does not pad images.*nafnet, drunet, srn"
        ):
            NetworkRestorer(create_network(kind, "tiny"), padding="published")
    with pytest.raises(InvalidValueError, match="'mirror' or 'published', got 'zeros'"):
        NetworkRestorer(create_network("nafnet", "tiny"), padding="zeros")  # type: ignore[arg-type]


def test_only_the_lower_and_right_edges_differ() -> None:
    """The two ways give the same network the same picture but beyond its edge."""
    torch.manual_seed(2)
    network = create_network("deepdeblur", "tiny").eval()
    picture = torch.rand(1, 3, 98, 97)
    ours, theirs = (NetworkRestorer(network, padding=way).restore(picture) for way in ("mirror", "published"))
    apart = (ours - theirs).abs().amax((0, 1))
    assert apart[:40, :40].max() < 1e-5 < 0.01 * apart.max()


def test_a_tile_is_of_the_padded_picture_and_the_ensemble_of_padded_views() -> None:
    torch.manual_seed(3)
    network = create_network("deepdeblur", "tiny").eval()
    picture = torch.rand(1, 3, 70, 45)
    whole = NetworkRestorer(network, padding="published", ensemble=True).restore(picture)
    expected = torch.zeros_like(picture)
    for view in range(8):
        turned = torch.rot90(picture.flip(-1) if view >= 4 else picture, view % 4, (-2, -1))
        back = torch.rot90(NetworkRestorer(network, padding="published").restore(turned), -(view % 4), (-2, -1))
        expected += (back.flip(-1) if view >= 4 else back) / 8
    assert torch.allclose(whole, expected, atol=1e-6)
    tiled = NetworkRestorer(network, padding="published", tile_px=64).restore(picture)
    assert tiled.shape == picture.shape
