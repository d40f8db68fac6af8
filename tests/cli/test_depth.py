"""``blursynth depth``: maps from a network, as ``--depth`` finds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import blursynth as bs
from blursynth.cli.app import app

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="blursynth")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["picture"], ["depth"], axes=[1], keepdims=0)],
        "brighter is nearer",
        [helper.make_tensor_value_info("picture", 1, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("depth", 1, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(tmp_path / "n.onnx"))
    return tmp_path / "n.onnx"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for seed, name in enumerate(("a.png", "street/b.png")):
        bs.write_picture(folder / name, np.random.default_rng(seed).random((3, 60, 80)))
    return folder


def test_maps_are_made_kept_and_found(network: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "depth"
    common = ("depth", photos, out, "--network", network, "--size", 42)
    result = run(*common, "--near", 1, "--far", 8)
    assert result.exit_code == 0, result.output
    assert "made 2 depth maps" in result.stdout
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*")) == ["a.npy", "street", "street/b.npy"]
    depth = np.load(out / "a.npy")
    assert (depth.shape, depth.dtype) == ((60, 80), np.float32)
    assert (float(depth.min()), float(depth.max())) == pytest.approx((1, 8))
    again = run(*common, "--near", 2, "--far", 8)
    assert "made 0 depth maps; 2 kept from before" in again.stdout
    assert np.array_equal(np.load(out / "a.npy"), depth)
    made = run(
        *("generate", photos, tmp_path / "set", "-n", 2, "--size", 8, "--workers", 1, "--depth", out),
        *("--recipe", "unprocessing"),  # small pictures, small reach
    )
    assert made.exit_code == 0, made.output


def test_a_picture_that_the_network_cannot_do_is_named(network: Path, photos: Path, tmp_path: Path) -> None:
    bs.write_picture(photos / "gray.png", np.full((3, 60, 80), 0.5))
    result = run("depth", photos, tmp_path / "depth", "--network", network, "--near", 1, "--far", 8, "--size", 42)
    assert result.exit_code == 1
    assert "made 2 depth maps" in result.stdout
    assert "gray.png" in result.stdout
    assert "everywhere" in result.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--near and --far are needed for a network that gives relative inverse depth."),
        (("--near", 5, "--far", 1), "near_m must be less than far_m, got 5 and 1."),
        (("--near", 1, "--far", 5, "--mean", "1,2"), "--mean must be three numbers separated by commas, got '1,2'."),
        (("--near", 1, "--far", 5, "--network", "nowhere.onnx"), "nowhere.onnx: there is no such file."),
    ],
)
def test_errors(options: tuple[object, ...], words: str, network: Path, photos: Path, tmp_path: Path) -> None:
    result = run("depth", photos, tmp_path / "out", "--network", network, *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "out").exists()
    result = run("depth", photos, "--network", network, "--near", 1, "--far", 5)
    assert "PICTURES or OUT is missing" in result.stderr
