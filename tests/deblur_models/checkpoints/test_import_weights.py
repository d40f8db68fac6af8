"""Published checkpoints: what comes back bit for bit, what is refused and in which words, and that nothing of a file runs."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from blursynth.errors import DatasetError, InvalidValueError
from deblur_models.checkpoints.checkpoint import load_discriminator, load_network, save_network
from deblur_models.checkpoints.import_weights import import_discriminator, import_original, shapes_of
from deblur_models.checkpoints.weights_file import CONTAINERS, read_weights
from deblur_models.cli import app as cli
from deblur_models.config.configuration import Adversary
from deblur_models.losses import make_adversarial
from deblur_models.networks import ALL, NetworkConfig, count_weights, create_network, network_config
from deblur_models.networks.nafnet import NAFNetConfig
from deblur_models.networks.patchgan import DoublePatchGanConfig, PatchGanConfig
from deblur_models.networks.restormer import RestormerConfig
from deblur_models.train.initial import initial_discriminator

CONFIG = NAFNetConfig(width=4, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,))


def scattered_state(config: NetworkConfig) -> dict[str, Tensor]:
    """A state in which no two weights are equal, buffers included."""
    torch.manual_seed(3)
    network = config.build()
    return {
        name: torch.randn_like(tensor) if tensor.is_floating_point() else tensor.clone()
        for name, tensor in network.state_dict().items()
    }


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return scattered_state(CONFIG)


@pytest.fixture(scope="module")
def files(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of each kind."""
    folder = tmp_path_factory.mktemp("files")
    for name, writer in WRITERS.items():
        writer(state, folder / name)
    return folder


def as_torch(state: Any, path: Path) -> Path:
    torch.save(state, path)
    return path


def as_old_torch(state: Any, path: Path) -> Path:
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def as_safetensors(state: dict[str, Tensor], path: Path) -> Path:
    safetensors.torch.save_file(state, path)
    return path


def as_arrays(state: dict[str, Tensor], path: Path) -> Path:
    np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})
    return path


WRITERS: dict[str, Callable[[Any, Path], Path]] = {
    "weights.pth": as_torch,
    "weights.pt": as_old_torch,
    "weights.h5": as_torch,
    "weights": as_old_torch,
    "weights.safetensors": as_safetensors,
    "weights.npz": as_arrays,
}


def assert_equal(network: nn.Module, state: dict[str, Tensor]) -> None:
    got = network.state_dict()
    assert got.keys() == state.keys()
    assert [name for name in state if not torch.equal(got[name], state[name])] == []


# ---------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_comes_back(name: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    network = import_original(WRITERS[name](state, tmp_path / name), CONFIG)
    assert_equal(network, state)
    assert network.config == CONFIG
    assert not network.training


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("writer", [as_torch, as_old_torch])
def test_every_container_is_opened(
    container: str, writer: Callable[[Any, Path], Path], state: dict[str, Tensor], tmp_path: Path
) -> None:
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}
    held = {"epoch": 7, "optimizer": optimizer, "best": 31.5, container: OrderedDict(state)}
    assert_equal(import_original(writer(held, tmp_path / "file.pth"), CONFIG), state)


def test_the_average_is_taken_before_what_it_averages(state: dict[str, Tensor], tmp_path: Path) -> None:
    stale = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    path = as_torch({"params": stale, "params_ema": state}, tmp_path / "file.pth")
    assert_equal(import_original(path, CONFIG), state)


def test_containers_in_containers(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = as_torch({"model": {"netG": {"state_dict": state}, "netD": {}}}, tmp_path / "file.pth")
    assert_equal(import_original(path, CONFIG), state)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."]
)
def test_wrappers_are_taken_off(prefix: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    wrapped = {prefix + name: tensor for name, tensor in state.items()}
    assert_equal(import_original(as_torch(wrapped, tmp_path / "file.pth"), CONFIG), state)


def test_torch_s_own_wrappers(state: dict[str, Tensor], tmp_path: Path) -> None:
    network = CONFIG.build()
    network.load_state_dict(state)
    averaged = torch.optim.swa_utils.AveragedModel(network)
    for number, wrapped in enumerate((nn.DataParallel(network), averaged)):
        path = as_torch(wrapped.state_dict(), tmp_path / f"{number}.pth")
        assert_equal(import_original(path, CONFIG), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype, state: dict[str, Tensor], tmp_path: Path) -> None:
    path = as_torch({name: tensor.to(dtype) for name, tensor in state.items()}, tmp_path / "file.pth")
    assert_equal(import_original(path, CONFIG), {name: tensor.to(dtype).float() for name, tensor in state.items()})


def test_arrays_of_other_machines(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez_compressed(path, **{name: np.asfortranarray(t.numpy().astype(">f4")) for name, t in state.items()})
    assert_equal(import_original(path, CONFIG), state)


def test_names_of_tensorflow_s_variables_survive_npz(tmp_path: Path) -> None:
    config = network_config({"kind": "srn", "size": "tiny"})
    path = tmp_path / "weights.npz"
    np.savez(path, **{"g_net/enc1_1/weights": np.zeros((5, 5, 6, 32), np.float32), "global_step": np.int64(5)})
    assert set(read_weights(path)) == {"g_net/enc1_1/weights", "global_step"}
    with pytest.raises(InvalidValueError, match="global_step"):
        import_original(path, config)


def test_kernels_without_their_axes_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", **{"g_net/enc1_1/weights": np.zeros(5, np.float32)})
    with pytest.raises(InvalidValueError, match="do not have the axes"):
        import_original(tmp_path / "weights.npz", network_config({"kind": "srn", "size": "tiny"}))


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.kind)
def test_every_network_takes_its_own_state_bit_for_bit(config: type[NetworkConfig], tmp_path: Path) -> None:
    tiny = config.of_size("tiny")
    state = scattered_state(tiny)
    for path in (as_torch(state, tmp_path / "own.pth"), as_safetensors(state, tmp_path / "own.safetensors")):
        assert_equal(import_original(path, tiny), state)


@pytest.mark.parametrize(
    ("config", "size"),
    [(config, size) for config in ALL for size in config.sizes],
    ids=lambda case: case if isinstance(case, str) else case.kind,
)
def test_every_size_knows_its_own_names(config: type[NetworkConfig], size: str) -> None:
    made = config.of_size(size)
    own = shapes_of(made)
    renamed = made.from_original(own)
    assert set(renamed) == set(own)
    assert all(renamed[name].shape == own[name].shape for name in renamed)


def test_the_caller_s_random_numbers_stay(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = as_torch(state, tmp_path / "file.pth")
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    import_original(path, CONFIG)
    assert torch.equal(torch.rand(3), expected)


# ----------------------------------------------------------------------------------------------------- hostile and broken


class Hostile:
    """Runs a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("writer", [as_torch, as_old_torch])
def test_a_hostile_file_is_refused_and_not_run(
    writer: Callable[[Any, Path], Path], state: dict[str, Tensor], tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    path = writer({"state_dict": state, "extra": Hostile(mark)}, tmp_path / "hostile.pth")
    with pytest.raises(DatasetError, match=r"requests (posix|nt|os)\.mkdir, which is not a tensor.*No code was run"):
        import_original(path, CONFIG)
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the file is what it claims to be
    assert mark.exists()


def test_a_bare_hostile_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = tmp_path / "hostile.pth"
    path.write_bytes(b"\x80\x02cos\nmkdir\nX" + len(str(mark)).to_bytes(4, "little") + str(mark).encode() + b"\x85R.")
    with pytest.raises(DatasetError, match="mkdir"):
        import_original(path, CONFIG)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_hostile_pickle_of_any_protocol_is_named_and_not_run(protocol: int, zipped: bool, tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "hostile.pth"
    held = {"state_dict": {"a": Hostile(mark)}}
    if zipped:
        torch.save(held, path, pickle_protocol=protocol)
    else:
        path.write_bytes(pickle.dumps(held, protocol=protocol))
    with pytest.raises(DatasetError, match=r"requests (posix|nt|os)\.mkdir, which is not a tensor") as caught:
        import_original(path, CONFIG)
    assert "No code was run" in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert not mark.exists()


def test_a_pickle_that_torch_did_not_write_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "plain.pth"
    path.write_bytes(pickle.dumps({"a": [1.0, 2.0]}))
    with pytest.raises(DatasetError, match=r"a pickle not written by torch\.save") as caught:
        read_weights(path)
    assert "weights_only" not in str(caught.value)
    path.write_bytes(pickle.dumps({"a": [1.0, 2.0]})[:-4])
    with pytest.raises(DatasetError, match="damaged or cut off") as caught:
        read_weights(path)
    assert "weights_only" not in str(caught.value)


def test_hostile_arrays_are_refused_and_not_run(state: dict[str, Tensor], tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = tmp_path / "hostile.npz"
    held = {name: tensor.numpy() for name, tensor in state.items()}
    np.savez(path, **held, extra=np.array([Hostile(mark)], dtype=object))
    with pytest.raises(DatasetError, match="'extra' contains Python objects"):
        import_original(path, CONFIG)
    assert not mark.exists()


@pytest.mark.parametrize("writer", [as_torch, as_old_torch])
def test_an_unknown_class_is_named(writer: Callable[[Any, Path], Path], tmp_path: Path) -> None:
    path = tmp_path / "module.pth"
    writer({"opt": argparse.Namespace(lr=1e-4), "model": {}}, path)  # what many training scripts store
    with pytest.raises(DatasetError, match=r"requests argparse\.Namespace, which is not a tensor.*save_file"):
        read_weights(path)


def test_a_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.trace(nn.Conv2d(3, 3, 1), torch.rand(1, 3, 4, 4)), path)
    with pytest.raises(DatasetError, match="TorchScript"):
        read_weights(path)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_off_is_refused_wherever_it_ends(
    name: str, share: float, files: Path, tmp_path: Path
) -> None:
    whole = (files / name).read_bytes()
    path = tmp_path / f"cut_{name}"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        DatasetError, match=r"empty|damaged or cut off|not a checkpoint|requests \S+, which is not a tensor"
    ):
        import_original(path, CONFIG)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_damaged_byte_is_an_error_of_ours_or_a_number(
    name: str, place: float, value: int, files: Path, tmp_path: Path
) -> None:
    content = bytearray((files / name).read_bytes())
    content[int(place * min(len(content), 3000))] = value
    path = tmp_path / f"damaged_{name}"
    path.write_bytes(content)
    try:
        network = import_original(path, CONFIG)
    except (DatasetError, InvalidValueError):
        return
    assert all(torch.isfinite(tensor).all() for tensor in network.state_dict().values())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pth", b"", "is empty"),
        ("a.pth", b"weights", "is not a checkpoint"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file.*tf.train.load_checkpoint"),
        ("a.pth", b"\n<!DOCTYPE html><html>", "is a web page"),
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
        ("a.npz", b"\x93NUMPY\x01\x00", "a single unnamed array"),
        ("checkpoint", b'model_checkpoint_path: "deblur.model-523000"\n', "is a TensorFlow file"),
        ("deblur.model-523000.data-00000-of-00001", bytes(64), "is a TensorFlow file.*numpy.savez"),
        ("deblur.model-523000.index", bytes(64) + bytes.fromhex("57fb808b247547db"), "is a TensorFlow file"),
        ("a.t7", b"\x04\x00\x00\x00\x01", "Lua Torch7"),
        ("a.safetensors", (1 << 40).to_bytes(8, "little") + b"{}", "damaged or cut off"),
        ("a.zip", b"PK\x05\x06" + bytes(18), "zip archive, not a checkpoint"),
    ],
)
def test_other_files_are_told_apart(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        import_original(tmp_path / name, CONFIG)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        read_weights(tmp_path / "nothing.pth")
    with pytest.raises(DatasetError, match=r"is a folder.*Give a file"):
        read_weights(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\x08")
    with pytest.raises(DatasetError, match=r"is a folder.*TensorFlow"):
        read_weights(tmp_path)
    (tmp_path / "deblur.model-523000.index").write_bytes(b"\x00")
    with pytest.raises(DatasetError, match="prefix of a TensorFlow checkpoint"):
        read_weights(tmp_path / "deblur.model-523000")


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (torch.rand(3), r"holds a tensor \[3\]"),
        ([torch.rand(3)], "holds a list, not weights"),
        ({}, "contains no weights"),
        ({"epoch": 3, "optimizer": {"lr": 1.0}}, r"'epoch' \(a int\), 'optimizer' \(a dict\).*'params_ema'"),
        ({"a": torch.rand(2), 5: torch.rand(2)}, "5 "),
        ({"a": torch.rand(3, 3).to_sparse()}, "sparse"),
        ({"a": torch.rand(3, 3, device="meta")}, "meta"),
    ],
)
def test_what_is_not_weights_by_name_is_refused(held: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        read_weights(as_torch(held, tmp_path / "file.pth"))


def test_a_file_that_holds_itself_ends(tmp_path: Path) -> None:
    held: dict[str, Any] = {"epoch": 1}
    held["model"] = held
    with pytest.raises(DatasetError, match="'epoch'"):
        read_weights(as_torch(held, tmp_path / "file.pth"))


def test_arrays_of_words_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "words.npz", a=np.zeros(3), note=np.array("hello"))
    with pytest.raises(DatasetError, match="'note' has dtype <U5, which is not numeric"):
        read_weights(tmp_path / "words.npz")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, state: dict[str, Tensor], tmp_path: Path) -> None:
    broken = {name: tensor.clone() for name, tensor in state.items()}
    broken["ending.weight"][0, 0, 0, 0] = value
    with pytest.raises(InvalidValueError, match=f"1 of {len(state)} weights contain NaN or infinity: ending.weight"):
        import_original(as_torch(broken, tmp_path / "file.pth"), CONFIG)


def test_our_own_checkpoints_are_read_elsewhere(tmp_path: Path) -> None:
    save_network(CONFIG.build(), tmp_path / "ours")
    with pytest.raises(InvalidValueError, match="load_network"):
        import_original(tmp_path / "ours.safetensors", CONFIG)


# ---------------------------------------------------------------------------------------------------------------- misfits


def misfit(state: dict[str, Tensor], config: NetworkConfig, tmp_path: Path) -> list[str]:
    path = as_torch(state, tmp_path / "file.pth")
    with pytest.raises(InvalidValueError) as caught:
        import_original(path, config)
    return str(caught.value).split("\n")


def test_a_renamed_weight_is_shown(state: dict[str, Tensor], tmp_path: Path) -> None:
    renamed = {("end.weight" if name == "ending.weight" else name): tensor for name, tensor in state.items()}
    number = len(state)
    assert misfit(renamed, CONFIG, tmp_path)[0].endswith(
        f"does not contain the weights of {CONFIG!r}: {number - 1} of its {number} match."
    )
    assert misfit(renamed, CONFIG, tmp_path)[1:] == [
        "In the network but not in the file (1):",
        "  ending.weight  [3, 4, 3, 3]",
        "In the file but not in the network (1):",
        "  end.weight  [3, 4, 3, 3]",
    ]


def test_shapes_stand_in_columns(state: dict[str, Tensor], tmp_path: Path) -> None:
    bent = dict(state) | {
        "intro.bias": torch.zeros(4, 1),
        "ending.weight": torch.zeros(1),
        "ending.bias": torch.zeros(3).int(),
    }
    assert misfit(bent, CONFIG, tmp_path)[1:] == [
        "With another shape (3):",
        "  intro.bias     [4, 1] in the file,     [4] in the network",
        "  ending.weight  [1] in the file,        [3, 4, 3, 3] in the network",
        "  ending.bias    [3] int32 in the file,  [3] in the network",
    ]


def test_long_tables_are_cut_and_counted(tmp_path: Path) -> None:
    lines = misfit({f"strange.{i}": torch.zeros(1) for i in range(40)}, CONFIG, tmp_path)
    missing = next(i for i, line in enumerate(lines) if line.startswith("In the network"))
    unknown = next(i for i, line in enumerate(lines) if line.startswith("In the file"))
    number = len(shapes_of(CONFIG))
    assert lines[missing] == f"In the network but not in the file ({number}):"
    assert lines[unknown - 1] == f"  and {number - 12} more"
    assert unknown - missing == 14  # a title, twelve weights, and how many more
    assert lines[unknown + 13] == "  and 28 more"
    assert lines[unknown] == "In the file but not in the network (40):"


def test_another_size_is_recognized(tmp_path: Path) -> None:
    tiny = scattered_state(NAFNetConfig.of_size("tiny"))
    lines = misfit(tiny, NAFNetConfig.of_size("64"), tmp_path)
    assert "weights of nafnet, size '64': " in lines[0]
    assert lines[1] == "These are the weights of nafnet, size 'tiny'; import them with --network nafnet --size tiny."
    assert len(lines) < 18  # the answer does not scroll away


@pytest.mark.parametrize(("config", "other"), list(zip(ALL, ALL[1:] + ALL[:1], strict=True)), ids=lambda c: c.kind)
def test_another_kind_is_recognized(config: type[NetworkConfig], other: type[NetworkConfig], tmp_path: Path) -> None:
    state = scattered_state(config.of_size("tiny"))
    lines = misfit(state, other.of_size("tiny"), tmp_path)
    flags = f"--network {config.kind} --size tiny"
    assert lines[1] == f"These are the weights of {config.kind}, size 'tiny'; import them with {flags}."


def test_a_close_relative_is_named(tmp_path: Path) -> None:
    state = scattered_state(NAFNetConfig.of_size("tiny"))
    state["extra"] = state.pop("ending.weight")
    lines = misfit(state, network_config({"kind": "restormer", "size": "tiny"}), tmp_path)
    assert lines[1] == "They are closer to nafnet, size 'tiny', of which 99% match."


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_misfit_passes(data: st.DataObject, state: dict[str, Tensor], tmp_path: Path) -> None:
    """Whatever single weight is dropped, added, renamed, bent or made integers: it is refused and named."""
    name = data.draw(st.sampled_from(sorted(state)))
    change = data.draw(st.sampled_from(["drop", "add", "rename", "bend", "round"]))
    changed = dict(state)
    if change in ("drop", "rename"):
        del changed[name]
    if change in ("add", "rename"):
        changed[f"{name}.odd"] = state[name]
    if change == "bend":
        changed[name] = state[name][None]
    if change == "round":
        changed[name] = state[name].long()
    assert any(name in line for line in misfit(changed, CONFIG, tmp_path)[1:])


def test_original_names_go_through_the_configuration(tmp_path: Path) -> None:
    """A checkpoint under the published code's names, with what it stores beside the weights."""
    network = create_network("swinir", "tiny")
    state = scattered_state(network.config)
    original = {"params": {}}
    for name, tensor in state.items():
        theirs = name.replace(".blocks.", ".residual_group.blocks.").replace("norm_first.", "patch_embed.norm.")
        theirs = theirs.replace(".fc1.", ".mlp.fc1.").replace(".fc2.", ".mlp.fc2.")
        original["params"][theirs] = tensor
    for block in ("layers.0.residual_group.blocks.1", "layers.1.residual_group.blocks.1"):
        original["params"][f"{block}.attn_mask"] = torch.zeros(4, 64, 64)
        original["params"][f"{block}.attn.relative_position_index"] = torch.zeros(64, 64).long()
    assert_equal(import_original(as_torch(original, tmp_path / "file.pth"), network.config), state)


# ----------------------------------------------------------------------------------------------------- the command line


def imported(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["import", *(str(a) for a in arguments)])


NAFNET_SIDD = ("width=4", "encoder_blocks=[2,2,4,8]", "middle_blocks=12", "decoder_blocks=[2,2,2,2]")
"""Blocks as in options/train/SIDD/NAFNet-width32.yml of NAFNet's code; the width is small here."""


@pytest.mark.parametrize(
    ("kind", "fields", "config"),
    [
        (
            "nafnet",
            NAFNET_SIDD,
            NAFNetConfig(width=4, encoder_blocks=(2, 2, 4, 8), middle_blocks=12, decoder_blocks=(2, 2, 2, 2)),
        ),
        (
            "restormer",
            ("width=4", "blocks=[1,1]", "heads=[1,2]", "refinement_blocks=0", "layer_norm=bias_free"),
            RestormerConfig(width=4, blocks=(1, 1), heads=(1, 2), refinement_blocks=0, layer_norm="bias_free"),
        ),
    ],
)
def test_shapes_other_than_the_sizes_are_given_field_by_field(
    kind: str, fields: tuple[str, ...], config: NetworkConfig, tmp_path: Path
) -> None:
    state = scattered_state(config)
    path = as_torch({"params": state}, tmp_path / "file.pth")
    refused = imported(path, "--network", kind, "--out", tmp_path / "net")
    assert refused.exit_code == 2
    made = imported(path, "--network", kind, *(p for f in fields for p in ("--set", f)), "--out", tmp_path / "net")
    assert made.exit_code == 0, made.output
    assert f"{kind}, {count_weights(config.build()):,} weights" in made.stdout
    network = load_network(tmp_path / "net")
    assert network.config == config
    assert_equal(network, state)


def test_numbers_of_weights_of_nafnet_for_noise() -> None:
    """29.16 M and 115.98 M, as the paper's table has them."""
    blocks = {"encoder_blocks": (2, 2, 4, 8), "middle_blocks": 12, "decoder_blocks": (2, 2, 2, 2)}
    with torch.device("meta"):
        counts = [count_weights(NAFNetConfig(width=width, **blocks).build()) / 1e6 for width in (32, 64)]  # type: ignore[arg-type]
    assert counts == pytest.approx([29.16, 115.98], abs=0.005)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("width", "must be FIELD=VALUE"),
        ("kind=hinet", "is set with --network"),
        ("size=64", "is set with --size"),
        ("widht=4", "Did you mean 'width'?"),
        ("width=0", "width must be >= 4"),
    ],
)
def test_wrong_fields_are_reported(setting: str, words: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    path = as_torch(state, tmp_path / "file.pth")
    result = imported(path, "--network", "nafnet", "--set", setting, "--out", tmp_path / "net")
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


def test_a_misfit_says_that_fields_can_be_given(tmp_path: Path) -> None:
    state = scattered_state(NAFNetConfig.of_size("tiny", middle_blocks=3))
    assert "--set FIELD=VALUE" in misfit(state, NAFNetConfig.of_size("tiny"), tmp_path)[-1]


def test_the_table_of_a_misfit_stands_in_lines_and_the_error_comes_last(tmp_path: Path) -> None:
    state = scattered_state(NAFNetConfig.of_size("tiny", middle_blocks=1))
    state["evil\x1b[2J\nError: nothing"] = torch.zeros(1)
    refused = imported(
        as_torch(state, tmp_path / "file.pth"), "--network", "nafnet", "--size", "tiny", "--out", tmp_path
    )
    assert refused.exit_code == 2
    lines = refused.stderr.strip().split("\n")
    assert any(line.startswith("In the file but not in the network (") for line in lines)
    assert any("evil\\x1b[2J\\x0aError: nothing" in line for line in lines)
    (last,) = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    assert "does not contain the weights of nafnet, size 'tiny'" in " ".join(lines[last:])
    assert "\\x0a" not in " ".join(lines[last:])


@pytest.mark.parametrize("statistics", [False, True])
def test_a_discriminator_is_imported_and_begins_a_run(statistics: bool, tmp_path: Path) -> None:
    """As DeblurGAN's code saves it, with running statistics or without, beside the network that it judged."""
    config = PatchGanConfig(width=4, layers=2)
    torch.manual_seed(4)
    state = {name: torch.randn_like(tensor) for name, tensor in config.build().state_dict().items()}
    stored = dict(state)
    if statistics:
        stored |= {f"model.3.{name}": torch.ones(8) for name in ("running_mean", "running_var")}
    path = as_torch({"netG": {"a": torch.ones(1)}, "netD": stored}, tmp_path / "latest_net_D.pth")
    fields = ("--set", "width=4", "--set", "layers=2")
    made = imported(path, "--network", "patchgan", *fields, "--out", tmp_path / "critic")
    assert made.exit_code == 0, made.output
    assert_equal(load_discriminator(tmp_path / "critic"), state)
    with pytest.raises(DatasetError, match="holds patchgan, a discriminator, which does not produce pictures"):
        load_network(tmp_path / "critic")
    adversary = Adversary(
        loss=make_adversarial({"kind": "wgan_gp"}), discriminator=config, start_from=str(tmp_path / "critic")
    )
    assert_equal(initial_discriminator(adversary), state)
    other = Adversary(
        loss=make_adversarial({"kind": "wgan_gp"}), discriminator=PatchGanConfig(), start_from=str(tmp_path / "critic")
    )
    with pytest.raises(DatasetError, match="Use the same discriminator in both"):
        initial_discriminator(other)
    wrong = imported(path, "--network", "patchgan", "--out", tmp_path / "b")
    assert wrong.exit_code == 2
    assert "does not contain the weights of patchgan, size 'local'" in " ".join(wrong.output.split())


def test_both_discriminators_of_deblurgan_v2_in_one_file(tmp_path: Path) -> None:
    config = DoublePatchGanConfig.of_size("tiny")
    torch.manual_seed(5)
    state = {name: torch.randn_like(tensor) for name, tensor in config.build().state_dict().items()}
    wrapped = {f"{name.partition('.')[0]}.module.{name.partition('.')[2]}": t for name, t in state.items()}
    for stored in (state, wrapped):
        assert_equal(import_discriminator(as_torch(stored, tmp_path / "d.pth"), config), state)


def test_a_checkpoint_without_a_discriminator_says_so(tmp_path: Path) -> None:
    save_network(CONFIG.build(), tmp_path / "net")
    with pytest.raises(DatasetError, match="holds no discriminator"):
        load_discriminator(tmp_path / "net")


def test_archives_and_views_that_claim_more_than_they_hold(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(1_000_000, np.float32))
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as plain, zipfile.ZipFile(tmp_path / "b.pth", "w", 8) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    for name in ("a.npz", "b.pth"):
        with pytest.raises(DatasetError, match="made to exhaust memory"):
            read_weights(tmp_path / name)
    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "c.pth")
    with pytest.raises(DatasetError, match="not weights"):
        read_weights(tmp_path / "c.pth")
    os.mkfifo(tmp_path / "d.pth")
    with pytest.raises(DatasetError, match="a pipe"):
        read_weights(tmp_path / "d.pth")
