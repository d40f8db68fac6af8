"""Checkpoints: bit for bit back, whole or refused, and nothing in them runs."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from blursynth.errors import DatasetError, InvalidValueError
from deblur_models.checkpoints import shipped
from deblur_models.checkpoints.checkpoint import load_checkpoint, load_network, save_checkpoint, save_network
from deblur_models.networks import Network, create_network


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return create_network("nafnet", "tiny", width=4)


@pytest.fixture
def saved(network: Network, tmp_path: Path) -> Path:
    save_network(network, tmp_path / "made", license="CC0")
    return tmp_path / "made"


def test_a_network_comes_back_bit_for_bit(network: Network, saved: Path) -> None:
    for name in (saved, f"{saved}.safetensors", f"{saved}.json"):
        again = load_network(name)
        assert again.config == network.config
        assert not again.training
        mine, theirs = network.state_dict(), again.state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    checkpoint = load_checkpoint(saved)
    manifest = checkpoint.manifest
    assert list(checkpoint.tensors) == sorted(checkpoint.tensors), "in every process in the same order"
    assert manifest["license"] == "CC0"
    assert (manifest["value_range"], manifest["multiple_px"]) == ("unit", 8)
    assert "norm" not in manifest
    assert manifest["sha256"] == hashlib.sha256(saved.with_name("made.safetensors").read_bytes()).hexdigest()


def test_the_normalization_is_written_down(tmp_path: Path) -> None:
    save_network(create_network("deblurgan", "tiny", width=4, blocks=1, norm="running"), tmp_path / "a")
    assert load_checkpoint(tmp_path / "a").manifest["norm"] == "running"
    assert load_checkpoint(tmp_path / "a").manifest["value_range"] == "symmetric"


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3),
        torch.tensor([1.5, float("nan"), float("inf")], dtype=torch.float64),
        torch.arange(12, dtype=torch.int64).reshape(3, 4).t(),
        torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        torch.tensor([1.0], dtype=torch.bfloat16),
        torch.tensor([True, False]),
        torch.rand(0, 3),
    ],
    ids=lambda t: f"{t.dtype} {tuple(t.shape)}",
)
def test_tensors_of_all_sorts_come_back(tensor: Tensor, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "deep" / "v1.2", {"network.x": tensor}, {"network": {}})
    checkpoint = load_checkpoint(tmp_path / "deep" / "v1.2")
    again = checkpoint.part("network")["x"]
    assert again.dtype == tensor.dtype
    assert again.shape == tensor.shape
    assert torch.equal(again.nan_to_num(7.0), tensor.nan_to_num(7.0))
    assert checkpoint.part("net") == {}


def test_the_average_is_taken_where_there_is_one(network: Network, tmp_path: Path) -> None:
    state = network.state_dict()
    tensors = {f"network.{k}": v for k, v in state.items()} | {f"average.{k}": v + 1 for k, v in state.items()}
    save_checkpoint(tmp_path / "run", tensors, {"network": network.config.to_dict()})
    averaged, present = load_network(tmp_path / "run"), load_network(tmp_path / "run", average=False)
    assert torch.equal(averaged.state_dict()["intro.bias"], state["intro.bias"] + 1)
    assert torch.equal(present.state_dict()["intro.bias"], state["intro.bias"])


def _tampered(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("made.safetensors", lambda b: b[:-1] + bytes([b[-1] ^ 1]), "does not belong to made.json"),
        ("made.safetensors", lambda b: b[:100], "does not belong to made.json"),
        ("made.safetensors", lambda b: b"", "does not belong to made.json"),
        ("made.json", lambda b: b[:-20], "is not valid JSON"),
        ("made.json", lambda b: b"\xff\xfe", "is not valid JSON"),
        ("made.json", lambda b: b"[1, 2]", "does not describe a network of deblur_models"),
        ("made.json", lambda b: b'{"sha256": ""}', "does not describe a network of deblur_models"),
        (
            "made.json",
            lambda b: b.replace(b'"format": 1', b'"format": 2'),
            "has format 2, but this version reads format 1",
        ),
        ("made.json", lambda b: b.replace(b'"nafnet"', b'"naf"'), "There is no network 'naf'"),
        (
            "made.json",
            lambda b: b.replace(b'"width": 4', b'"width": "4"'),
            "describes a network unknown to this version",
        ),
        ("made.json", lambda b: b.replace(b'"width": 4', b'"width": 8'), r"do not fit NAFNetConfig.*width=8"),
    ],
)
def test_damage_is_reported(saved: Path, file: str, change: Callable[[bytes], bytes], message: str) -> None:
    before = saved.with_name(file).read_bytes()
    _tampered(saved.with_name(file), change)
    assert saved.with_name(file).read_bytes() != before
    with pytest.raises(DatasetError, match=message):
        load_network(saved)


def test_a_manifest_without_a_table_is_reported(saved: Path) -> None:
    path = saved.with_name("made.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "network": 7}))
    with pytest.raises(DatasetError, match="describes a network unknown to this version: 7"):
        load_network(saved)


def test_files_of_two_checkpoints_do_not_mix(saved: Path, tmp_path: Path) -> None:
    save_network(create_network("nafnet", "tiny", width=4), tmp_path / "other")
    (tmp_path / "other.safetensors").replace(tmp_path / "made.safetensors")
    with pytest.raises(DatasetError, match=r"made.safetensors: does not belong to made.json \(its sha256 differs\)"):
        load_network(saved)


@pytest.mark.parametrize("half", ["made.safetensors", "made.json"])
def test_a_missing_half_is_reported(saved: Path, half: str) -> None:
    saved.with_name(half).unlink()
    with pytest.raises(DatasetError, match=rf"{half}: cannot be read.*A checkpoint is two files"):
        load_checkpoint(saved)


def test_missing_checkpoints_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such checkpoint"):
        load_checkpoint(tmp_path / "nothing")
    (tmp_path / "weights.bin").write_bytes(b"nonsense")
    with pytest.raises(DatasetError, match=r"weights.bin: is not a checkpoint of deblur_models. Give a run directory"):
        load_checkpoint(tmp_path / "weights.bin")
    with pytest.raises(DatasetError, match=r"holds no checkpoint \(best.json or last.json\)"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".h5"])
def test_other_formats_are_sent_to_the_importer(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"is not a checkpoint of deblur_models.*deblur import"):
        load_checkpoint(tmp_path / f"weights{suffix}")


def test_a_folder_is_its_best_else_its_last(network: Network, tmp_path: Path) -> None:
    save_network(network, tmp_path / "last", which="last")
    assert load_checkpoint(tmp_path).manifest["which"] == "last"
    save_network(network, tmp_path / "best", which="best")
    assert load_checkpoint(tmp_path).manifest["which"] == "best"


class _Runs:
    """Unpickled, it would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_nothing_in_a_checkpoint_runs(saved: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    zipped = io.BytesIO()
    torch.save(_Runs(mark), zipped)
    for content in (pickle.dumps(_Runs(mark)), zipped.getvalue()):
        for name in ("made.safetensors", "made.json"):
            before = {n: saved.with_name(n).read_bytes() for n in ("made.safetensors", "made.json")}
            saved.with_name(name).write_bytes(content)
            if name == "made.safetensors":  # the hash fits as well
                manifest = json.loads(before["made.json"])
                manifest["sha256"] = hashlib.sha256(content).hexdigest()
                saved.with_name("made.json").write_text(json.dumps(manifest))
            with pytest.raises(DatasetError, match=r"is not a safetensors file|is not valid JSON"):
                load_network(saved)
            for n, kept in before.items():
                saved.with_name(n).write_bytes(kept)
    assert not mark.exists()
    load_network(saved)


@pytest.mark.parametrize("fails", ["made.safetensors", "made.json"])
def test_a_full_disk_leaves_no_half_file(
    fails: str, network: Network, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there stays whole; of the two files the manifest comes last, so that a mixture is refused."""
    before = {p.name: p.read_bytes() for p in saved.parent.iterdir()}
    opened = Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, content: bytes) -> None:
            self.file.write(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(path: Path, *arguments: Any, **more: Any) -> Any:
        file = opened(path, *arguments, **more)
        return Full(file) if f"{fails}." in path.name else file

    monkeypatch.setattr(Path, "open", full)
    torch.nn.init.ones_(network.ending.bias)  # type: ignore[arg-type, union-attr]
    with pytest.raises(DatasetError, match=rf"{fails}: cannot be written \(No space left on device\)"):
        save_network(network, saved)
    monkeypatch.undo()
    after = {p.name: p.read_bytes() for p in saved.parent.iterdir()}
    assert after.keys() == before.keys(), "parts are taken away"
    assert after["made.json"] == before["made.json"]
    if fails == "made.safetensors":
        assert after == before
        load_network(saved)
    else:
        with pytest.raises(DatasetError, match="its sha256 differs"):
            load_network(saved)


def test_a_folder_that_cannot_be_made_is_reported(network: Network, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be created"):
        save_network(network, tmp_path / "file" / "made")


@pytest.mark.parametrize(
    "described",
    [
        None, [], "nafnet", {"kind": []}, {"kind": {}}, {"kind": "nafnet", "width": 10**9},
        {"kind": "nafnet", "encoder_blocks": [10**7], "decoder_blocks": [1]},
        {"kind": "nafnet", "encoder_blocks": [1] * 40, "decoder_blocks": [1] * 40},
        {"kind": "nafnet", "width": 512, "middle_blocks": 100, "encoder_blocks": [1] * 6, "decoder_blocks": [1] * 6},
    ],
)  # fmt: skip
def test_a_manifest_describes_no_larger_network_than_the_weights_are(saved: Path, described: object) -> None:
    beside = saved.with_suffix(".json")
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "network": described}))
    with pytest.raises(DatasetError):
        load_network(saved)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_checkpoints_are_files(saved: Path, suffix: str) -> None:
    saved.with_suffix(suffix).unlink()
    os.mkfifo(saved.with_suffix(suffix))
    with pytest.raises(DatasetError, match="is not a file"):
        load_network(saved)


def test_json_that_is_nested_without_end(saved: Path) -> None:
    for text in ("[" * 10**6, '{"network": ' + "[" * 500 + "]" * 500 + "}", '{"a": ' + "9" * 5000 + "}"):
        saved.with_suffix(".json").write_text(text)
        with pytest.raises(DatasetError, match="damaged"):
            load_network(saved)


def test_half_precision_is_half_the_size_and_loads_as_float32(network: Network, saved: Path, tmp_path: Path) -> None:
    save_network(network, tmp_path / "half", half=True)
    whole, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("made", "half"))
    tensors = load_checkpoint(tmp_path / "half").tensors
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    count = sum(tensor.numel() for tensor in tensors.values())
    assert whole - half == pytest.approx(2 * count, abs=8 * len(tensors))  # headers hold types and places
    assert load_checkpoint(tmp_path / "half").manifest["stored"] == "float16"
    again = load_network(tmp_path / "half")
    for name, tensor in network.state_dict().items():
        theirs = again.state_dict()[name]
        assert theirs.dtype == torch.float32
        assert torch.equal(theirs, tensor.half().float())
    with torch.no_grad():
        next(network.parameters()).fill_(7e4)
    with pytest.raises(InvalidValueError, match="weights beyond 65504"):
        save_network(network, tmp_path / "large", half=True)


def test_networks_that_ship_are_found_by_name(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    assert shipped.shipped_names() == ()
    with pytest.raises(InvalidValueError, match=r"no network 'photographs'.*none ships"):
        shipped.shipped_network()
    with pytest.raises(DatasetError, match=r"^photographs: there is no such checkpoint\.$"):
        load_network("photographs")
    save_network(network, tmp_path / "weights/photographs", half=True)
    (tmp_path / "weights/photographs.md").write_text("a card")
    assert shipped.shipped_names() == ("photographs",)
    assert shipped.model_card() == "a card"
    assert load_network("photographs").config == network.config
    with pytest.raises(DatasetError, match="Did you mean 'photographs'"):
        load_network("photograph")
    with pytest.raises(DatasetError, match=r"there is no such checkpoint\.$"):
        load_network("runs/photograph")  # a path is no name
    (tmp_path / "photographs").mkdir()  # as `make photographs` makes it: no run
    assert load_network("photographs").config == network.config
    save_network(create_network("nafnet", "tiny", width=8), tmp_path / "photographs/best")
    assert load_network("photographs").config.to_dict()["width"] == 8  # what is there comes first
    for file in (tmp_path / "photographs").iterdir():
        file.unlink()
    (tmp_path / "photographs").rmdir()
    save_network(create_network("nafnet", "tiny", width=8), tmp_path / "photographs")
    assert load_network("photographs").config.to_dict()["width"] == 8  # what is there comes first
    damaged = tmp_path / "weights/photographs.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    (tmp_path / "photographs.json").unlink()
    (tmp_path / "photographs.safetensors").unlink()
    with pytest.raises(DatasetError, match="sha256 differs"):
        load_network("photographs")


@pytest.mark.parametrize("name", shipped.shipped_names())
def test_what_ships_is_small_and_has_a_card(name: str) -> None:
    path = shipped.shipped_network(name)
    assert path.stat().st_size <= 2_500_000
    assert not load_network(name).training
    card = shipped.model_card(name)
    for word in ("license", "recipe", "seed", "command", "limits"):
        assert word in card.lower(), word
