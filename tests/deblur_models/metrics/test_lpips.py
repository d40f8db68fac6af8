"""LPIPS: the arithmetic against torchmetrics with the same random weights, and that it never runs without real ones."""

from __future__ import annotations

import importlib

import pytest
import torch

from blursynth.errors import DatasetError, InvalidValueError, PictureError
from deblur_models.metrics import metric
from deblur_models.metrics.lpips import lpips_network


@pytest.mark.parametrize(("net", "side"), [("alex", 67), ("vgg", 40)])
def test_it_is_torchmetrics(net: str, side: int, torchmetrics_image) -> None:
    lpips = importlib.import_module("torchmetrics.functional.image.lpips")
    torch.manual_seed(0)
    theirs = lpips._LPIPS(pretrained=False, net=net, pnet_rand=True)
    with torch.no_grad():
        for lin in theirs.lins:
            lin.model[1].weight.abs_()
    state = theirs.state_dict()
    # Slices count the layers of torchvision's network.
    backbone = {f"features.{k.split('.', 2)[2]}": v for k, v in state.items() if k.startswith("net.slice")}
    ours = lpips_network(net, backbone | {"classifier.6.bias": torch.zeros(9)}, state)
    a, b = torch.rand(2, 2, 3, side, side + 9)
    expected = theirs(a, b, normalize=True).flatten()
    assert torch.allclose(ours(a, b), expected, atol=1e-6)
    assert torch.allclose(ours(b, a), expected, atol=1e-6)
    assert ours(a, a).abs().max() == 0
    with pytest.raises(InvalidValueError, match="do not fit"):
        lpips_network("vgg" if net == "alex" else "alex", backbone, state)
    with pytest.raises(InvalidValueError, match=r"1 of \d+ are missing .*lin2.weight"):
        lpips_network(net, backbone, {k: v for k, v in state.items() if not k.startswith("lin2")})


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_it_refuses_to_run_without_weights(net: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    m = metric("lpips", net=net)
    assert m.name == f"lpips_{net}"
    assert m.better == "lower"
    with pytest.raises(PictureError, match=rf"{tmp_path}.*random weights.*Download"):
        m.check_ready()
    picture = torch.rand(1, 3, 64, 64)
    with pytest.raises(PictureError, match="random weights"):
        m(picture, picture)
    (tmp_path / "w.pth").write_bytes(b"")
    m = metric("lpips", net=net, backbone_weights=str(tmp_path / "w.pth"), linear_weights=str(tmp_path / "no.pth"))
    with pytest.raises(PictureError, match=r"linear layers, which is not at .*no\.pth"):
        m.check_ready()


def test_only_the_published_backbone_goes_by_the_name(tmp_path, torchmetrics_image) -> None:
    """Weights of a test, saved; with torchmetrics' own file of linear layers."""
    from deblur_models.metrics.lpips import _alexnet

    torch.manual_seed(0)
    torch.save({f"features.{k}": v for k, v in _alexnet().state_dict().items()}, tmp_path / "alex.pth")
    with pytest.raises(InvalidValueError, match="not the published alexnet-owt-7be5be79"):
        metric("lpips", backbone_weights=str(tmp_path / "alex.pth")).check_ready()
    m = metric("lpips", backbone_weights=str(tmp_path / "alex.pth"), check_published=False)
    m.check_ready()
    assert m.name == "lpips_alex_unpublished_backbone"
    assert "weights of" in m.protocol
    a, b = torch.rand(2, 2, 3, 40, 50)
    value = m(a, b)
    assert value.shape == (2,)
    assert (value > 0).all()
    with pytest.raises(InvalidValueError, match="at least 31 px, got 30 x 50"):
        m(a[..., :30, :], b[..., :30, :])
    assert torch.isfinite(m(a[..., :31, :31], b[..., :31, :31])).all()


def test_a_file_of_something_else_is_refused(tmp_path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    m = metric("lpips", backbone_weights=str(tmp_path / "list.pth"), linear_weights=str(tmp_path / "list.pth"))
    with pytest.raises(DatasetError):
        m.replace(check_published=False).check_ready()
