"""ONNX files that need not be trusted, opened by ONNX Runtime: for depth networks, detectors and exported networks."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blursynth.backends.cores import memory_bytes
from blursynth.errors import MissingExtraError, PictureError, require
from blursynth.io.folders import check_readable

__all__ = ["open_onnx"]

# Before 1.24 weights could lie outside the file's folder, and before 1.28 loading computed constants of any size.
_OLDEST = (1, 28)

_LARGEST_CONSTANT_BYTES = 1 << 26  # computed while a file is loaded, before the limit of memory holds


def open_onnx(
    path: Path,
    *,
    purpose: str,
    extra: str,
    providers: Sequence[str] = ("CPUExecutionProvider",),
    threads: int | None = None,
) -> Any:
    """An ``onnxruntime.InferenceSession`` of a file.

    What the file can do is limited: weights may lie beside it but not outside its folder; there are no operators but
    ONNX Runtime's own, since no library of operators is loaded; all sessions of the process together get half of the
    machine's memory on the CPU, beyond which running fails with an error. Time is not limited.

    Parameters
    ----------
    path
        An .onnx file.
    purpose, extra
        For the error if ONNX Runtime is missing: what it is needed for, and the extra that installs it.
    providers
        Names of ONNX Runtime's execution providers, in order of preference.
    threads
        Number of threads within an operator; by default one per core.

    Raises
    ------
    MissingExtraError
        ONNX Runtime is not installed, or too old for these limits.
    PictureError
        The file is missing, damaged, or breaks one of the limits.
    """
    runtime = require("onnxruntime", extra=extra, purpose=purpose)
    if tuple(map(int, re.findall(r"\d+", runtime.__version__)[:2])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise MissingExtraError(
            f"{purpose} needs onnxruntime {oldest} or newer, got {runtime.__version__}.",
            why="Older versions read files outside the folder of a model.",
            fix=f"Install it with: pip install 'onnxruntime>={oldest}'.",
        )
    check_readable(path, "file")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # its warnings would stand beside our errors
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry(
        "optimization.constant_folding_max_output_size_in_bytes", str(_LARGEST_CONSTANT_BYTES)
    )
    if _limit_memory(runtime):
        options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return runtime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # the runtime's own errors are of many types
        reason = str(error).splitlines()[0]
        reason = reason.partition("failed:")[2] or re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", reason)
        raise PictureError(
            f"is not an ONNX model that can be run ({reason.strip().rstrip('.')}).",
            fix="Export the network again, or convert it to an older opset.",
            place=str(path),
        ) from None


@functools.cache
def _limit_memory(runtime: Any) -> bool:
    """Make one allocator for all sessions, with half of the machine's memory; whether that is known."""
    memory = memory_bytes()
    if memory is None:
        return False
    cpu = runtime.OrtMemoryInfo("Cpu", runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, runtime.OrtMemType.DEFAULT)
    runtime.create_and_register_allocator(cpu, runtime.OrtArenaCfg({"max_mem": memory // 2}))
    return True
