"""Files of weights, read without running any code in them.

Checkpoints of published code are pickles, which can contain programs. Only tensors and plain containers
(``weights_only``), arrays without objects, and safetensors are read here; anything else that a file requests is
rejected by name.
"""

from __future__ import annotations

import logging
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blursynth.errors import DatasetError, require
from blursynth.io.folders import expanded

__all__ = ["read_weights"]

logger = logging.getLogger(__name__)

CONTAINERS = (
    "params_ema", "params", "state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model_state",
    "model", "generator", "netG", "net_g", "G", "g_state_dict", "network", "net", "weights",
)  # fmt: skip
"""Keys of weights in published checkpoints, next to epochs and optimizers; averages come before plain weights."""

DISCRIMINATOR_CONTAINERS = (
    "discriminator", "netD", "net_d", "D", "d_state_dict", "state_dict", "model_state_dict", "model", "weights",
)  # fmt: skip
"""The same for discriminators, which may be stored together with their generator."""

WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that DataParallel, running averages and torch.compile add to every name."""

MOST_TIMES = 32
"""Maximum compression ratio of an archive of weights; learned values hardly compress."""

EXPORT = (
    "On a machine with TensorFlow, write the variables as arrays and import those: "
    "reader = tf.train.load_checkpoint(PREFIX); "
    "numpy.savez('weights.npz', **{n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()})"
)
KEEP_TENSORS = (
    "If you trust the file and have the code that wrote it, load it with that code and save only the tensors: "
    "safetensors.torch.save_file(network.state_dict(), 'weights.safetensors')"
)


def read_weights(path: str | Path, containers: Sequence[str] = CONTAINERS) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU, without surrounding containers and wrappers.

    The file type is detected from its bytes, not from its name: DeblurGAN-v2's ``.h5`` is a torch file.

    Parameters
    ----------
    path
        A torch file (of any version, with any suffix), ``.safetensors``, or ``.npz`` with one array per variable (for
        weights from TensorFlow).
    containers
        Names under which the weights may be stored, in order of preference.

    Raises
    ------
    DatasetError
        It does not exist, is not a checkpoint, is damaged, is a TensorFlow file, or holds objects of unknown classes.
    """
    path = expanded(path)
    loaded = _load(path)
    if isinstance(loaded, Mapping):
        for name in _containers_of(loaded, containers):
            logger.info("%s: weights are under %r", path, name)
            loaded = loaded[name]
    if not isinstance(loaded, Mapping):
        raise DatasetError(
            f"{path}: holds {_what(loaded)}, not weights by name.",
            fix="Save network.state_dict() instead.",
        )
    odd = [f"{name!r} ({_what(value)})" for name, value in loaded.items() if not _is_weight(name, value)]
    if odd or not loaded:
        raise DatasetError(
            f"{path}: has entries that are not weights: {some_of(odd)}." if odd else f"{path}: contains no weights.",
            why=f"Weights are dense tensors by name, at top level or under one of {', '.join(map(repr, containers))}.",
            fix="Save only the tensors, for example with safetensors.torch.save_file.",
        )
    return _without_wrappers({name: value.detach() for name, value in loaded.items()})


def _containers_of(loaded: Mapping[Any, Any], known: Sequence[str]) -> Iterator[str]:
    """The keys that lead from the top level of a checkpoint to its weights, outermost first."""
    for _ in range(8):  # a pickle may contain itself
        inside = next((name for name in known if isinstance(loaded.get(name), Mapping) and loaded[name]), None)
        if inside is None:
            return
        yield inside
        loaded = loaded[inside]


def _without_wrappers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if "n_averaged" in state and all(name.startswith("module.") for name in state if name != "n_averaged"):
        state = {name: tensor for name, tensor in state.items() if name != "n_averaged"}  # of torch's AveragedModel
    while True:
        wrapper = next((w for w in WRAPPERS if all(name.startswith(w) for name in state)), None)
        if wrapper is None:
            return state
        state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}


def _is_weight(name: object, value: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"  # saved from the meta device it has no values
        and not value.is_quantized
        # A view that repeats its values (stride 0) may claim any size.
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _load(path: Path) -> Any:
    if path.is_dir():
        raise DatasetError(
            f"{path}: is a folder, not a checkpoint.",
            fix=f"It is a SavedModel of TensorFlow. {EXPORT}"
            if (path / "saved_model.pb").exists()
            else "Give a file in it.",
        )
    if path.exists() and not path.is_file():  # opening a pipe would block
        raise DatasetError(f"{path}: is a device or a pipe, not a checkpoint.", fix="Check the path.")
    if not path.exists():
        if path.with_name(path.name + ".index").exists():
            raise DatasetError(f"{path}: is the prefix of a TensorFlow checkpoint.", fix=EXPORT)
        raise DatasetError(f"{path}: there is no such file.")
    try:
        with path.open("rb") as file:
            head = file.read(512)
            size = file.seek(0, 2)
            file.seek(max(size - 8, 0))
            tail = file.read()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None
    _refuse_others(path, head, tail)
    if head.startswith(b"PK"):
        return _load_archive(path)
    if head[8:9] == b"{":
        return _load_safetensors(path, size, int.from_bytes(head[:8], "little"))
    if head.startswith(b"\x80"):  # torch before 1.6: consecutive pickles
        return _load_torch(path)
    raise DatasetError(
        f"{path}: is not a checkpoint.",
        why=f"Torch, safetensors and npz files do not begin with {head[:8]!r}.",
    )


def _refuse_others(path: Path, head: bytes, tail: bytes) -> None:
    """Reject other file types by name."""
    if not head:
        raise DatasetError(f"{path}: is empty.", fix="Copy or download it again.")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        raise DatasetError(f"{path}: is an HDF5 file of Keras or TensorFlow, not a torch file.", fix=EXPORT)
    if (
        tail == bytes.fromhex("57fb808b247547db")  # TensorFlow's tables of variables (.index)
        or re.search(r"\.data-\d{5}-of-\d{5}$", path.name)
        or head.startswith((b"model_checkpoint_path:", b"TFL3"))
        or path.suffix in (".pb", ".meta")
    ):
        raise DatasetError(f"{path}: is a TensorFlow file, which cannot be read here.", fix=EXPORT)
    if head.startswith(b"version https://git-lfs"):
        raise DatasetError(f"{path}: is a pointer of Git LFS, not the file itself.", fix="Fetch it with: git lfs pull")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DatasetError(
            f"{path}: is a web page.",
            why="Many servers send a confirmation page instead of a large file.",
            fix="Download it in a browser.",
        )
    if head.startswith(b"\x93NUMPY"):
        raise DatasetError(f"{path}: is a single unnamed array.", fix="Write numpy.savez('weights.npz', **arrays).")
    if path.suffix in (".t7", ".net") and not head.startswith((b"PK", b"\x80")):
        raise DatasetError(f"{path}: is a file of Lua Torch7, which cannot be read here.")


def _load_archive(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise _damaged(path, error) from None
    if size > MOST_TIMES * path.stat().st_size:
        raise DatasetError(
            f"{path}: has {path.stat().st_size:,} bytes but expands to {size:,}, more than {MOST_TIMES} times as many.",
            why="Weights cannot be compressed that much, so it was made to exhaust memory.",
        )
    if names and all(name.endswith(".npy") for name in names):
        return _load_arrays(path)
    if any(name.endswith("/constants.pkl") for name in names):
        raise DatasetError(
            f"{path}: is a TorchScript program, not just weights.",
            fix="If you trust it: safetensors.torch.save_file(torch.jit.load(FILE).state_dict(), OUT)",
        )
    if not any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        raise DatasetError(
            f"{path}: is a zip archive, not a checkpoint; it contains {some_of(names)}.",
            fix="If it contains checkpoints, unpack it.",
        )
    return _load_torch(path)


def _load_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about newer pickle protocols, which are reported below
            return torch.load(path, weights_only=True, map_location="cpu")
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes can raise anything
        said = str(error)
        refused = re.search(
            r"GLOBAL (\S+) was not an allowed|unsupported GLOBAL (\S+) whose module|"
            r"unrecognized function (.+?)(?: which|$)|build for type (\S+)|instantiate (?:an object of )?class (\S+)",
            said,
            re.MULTILINE,
        )
        named = None if refused is None else next(group for group in refused.groups() if group)
        wanted = named or _wanted_by_pickle(path)
        if wanted == "":
            raise DatasetError(
                f"{path}: is a pickle not written by torch.save.",
                why="Only pickles of torch.save are read, which do not need to run code.",
                fix=KEEP_TENSORS,
            ) from None
        if wanted is None:
            raise _damaged(path, _without_advice(said) or type(error).__name__) from None
        raise DatasetError(
            f"{path}: requests {wanted}, which is not a tensor. No code was run.",
            why="Reading objects of other classes would run code from the file.",
            fix=KEEP_TENSORS,
        ) from None


def _wanted_by_pickle(path: Path) -> str | None:
    """The first class or function that a pickle requests besides tensors, found without running it.

    "" if it is intact and requests none, so that torch only rejects its protocol; None if it is damaged, or written by
    torch.save.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                pickled = archive.read(next(n for n in archive.namelist() if n.rpartition("/")[2] == "data.pkl"))
        else:
            pickled = path.read_bytes()
        pushed: list[str] = []
        memo: dict[int, str] = {}
        protocol = 0
        for operation, argument, _ in pickletools.genops(pickled):
            if operation.name == "PROTO":
                protocol = int(argument or 0)
            elif operation.name == "MEMOIZE":
                memo[len(memo)] = pushed[-1] if pushed else ""
            elif operation.name in ("PUT", "BINPUT", "LONG_BINPUT"):
                memo[int(argument or 0)] = pushed[-1] if pushed else ""
            elif operation.name in ("GET", "BINGET", "LONG_BINGET"):
                pushed.append(memo.get(int(argument or 0), ""))
            elif isinstance(argument, str) and operation.name not in ("GLOBAL", "INST"):
                pushed.append(argument)
            elif operation.name in ("GLOBAL", "INST", "STACK_GLOBAL"):
                # pickletools separates module and name by a space
                wanted = str(argument).replace(" ", ".") if argument is not None else ".".join(pushed[-2:])
                if not wanted.startswith(("torch.", "collections.OrderedDict")):
                    return wanted
    except Exception:  # damaged bytes can raise anything
        return None
    return "" if protocol > 2 else None


def _without_advice(said: str) -> str:
    """The error message of torch, without its advice to run the code in the file."""
    if "weights_only" not in said:
        return said
    found = re.search(r"WeightsUnpickler error:(.*?)(?:Check the documentation|$)", said, re.DOTALL)
    return found[1].strip() if found else ""


def _load_safetensors(path: Path, size: int, header: int) -> dict[str, Tensor]:
    safetensors = require("safetensors.torch", extra="train", purpose="Reading safetensors")
    if header > size - 8:
        raise _damaged(path, f"its header of {header} bytes does not fit into {size}")
    try:
        loaded: dict[str, Tensor] = safetensors.load_file(path, device="cpu")
    except Exception as error:  # safetensors has its own error, derived from Exception
        raise _damaged(path, error) from None
    return loaded


def _load_arrays(path: Path) -> dict[str, Tensor]:
    loaded = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                array = arrays[name]
                loaded[name] = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
    except TypeError:
        raise DatasetError(
            f"{path}: the array {name!r} has dtype {array.dtype}, which is not numeric.", fix="Leave it out."
        ) from None
    except Exception as error:  # zip, zlib, headers and numpy raise different errors
        if "allow_pickle" in str(error):
            raise DatasetError(
                f"{path}: the array {name!r} contains Python objects, not numbers. No code was run.",
                why="Reading them would run code from the file.",
                fix="Write only arrays of numbers.",
            ) from None
        raise _damaged(path, error) from None
    return loaded


def _damaged(path: Path, error: object) -> DatasetError:
    said = " ".join(str(error).split()) or type(error).__name__
    return DatasetError(
        f"{path}: is damaged or cut off ({said[:200]}).",
        fix="Copy or download it again, and compare its size with the original's.",
    )


def shape_of(tensor: Tensor) -> str:
    return str(list(tensor.shape)) + ("" if tensor.is_floating_point() else f" {str(tensor.dtype).split('.')[-1]}")


def _what(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {shape_of(value)} on {value.device.type}, {value.layout}".replace(", torch.strided", "")
    return f"a {type(value).__name__}"


def some_of(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
