"""Compile every Triton kernel for a GPU that need not be there; started by ``test_compilation.py``."""

from __future__ import annotations

import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from blursynth.backends.torch import composite_triton as composite
from blursynth.backends.torch import convolve_triton as convolve
from blursynth.backends.torch import convolve_varying_triton as convolve_varying
from blursynth.backends.torch import noise_triton as noise
from blursynth.backends.torch import sensor_triton as sensor
from blursynth.backends.torch import srgb_triton as srgb
from blursynth.backends.torch import warp_mean_triton as warp_mean

WHOLE = {
    "dy",
    "dx",
    "row_start",
    "row_place",
    "column_start",
    "column_place",
    "first",
    "order",
    "farthest",
    "kernel",
    "tile_reach",
    "with_weight",
    "pending",
    "found",
}
REAL = {
    "source", "other", "out", "grown", "weight", "level", "geometry", "depth", "coefficient", "table", "part_weight",
    "part_center", "kept", "nothing", "light", "cover", "gone", "slope", "row", "column", "mix", "black", "numbers",
}  # fmt: skip
ALWAYS = {"tables": "*i64", "start": "*i64", "keys": "*i64", "sigma": "*fp64"}


def compiled(function: Any, number: str, target: Any, **constants: Any) -> None:
    """Numbers that are not named are whole and not known beforehand; Triton makes constants of those that are 1."""
    signature = {}
    for name in function.arg_names:
        kind = ALWAYS.get(name, "*i32" if name in WHOLE else f"*{number}" if name in REAL else "i32")
        signature[name] = "constexpr" if name in constants else kind
    for kernel, name in ((srgb._encode, "levels"), (sensor._sensor, "table"), (sensor._settle, "table")):
        if function is kernel:
            signature[name] = "*fp64"
    places = {(function.arg_names.index(name),): value for name, value in constants.items()}
    # Noise is rounded as on the CPU: nothing is contracted but what is written so.
    options = {"enable_fp_fusion": function.__module__.rsplit(".", 1)[1] not in ("noise_triton", "sensor_triton")}
    made = triton.compile(
        ASTSource(fn=function, signature=signature, constexprs=places), target=target, options=options
    )
    assert "cubin" in made.asm, function


def main(capability: int) -> None:
    target = GPUTarget("cuda", capability, 32)
    size = {"channels": 1, "height": 1, "width": 1}
    grid = {"levels": 1, "node_rows": 1, "node_columns": 1}
    tile = {"ROWS": 8, "COLUMNS": 64}
    for number in ("fp32", "fp64"):
        for border in (0,) if number == "fp32" else (3,):
            compiled(convolve._convolve, number, target, SIGN=1, SHARED=False, BORDER=border, **tile)
            options = {"SHARED": False, "SHARED_GEOMETRY": False, "LEVELLED": True, **tile}
            compiled(convolve_varying._varying, number, target, BORDER=border, **options)
            options["CIRCULAR"] = border == 3
            compiled(convolve_varying._varying_adjoint, number, target, **options)
            for mode in (0, 1, 2):
                options = {"SHARED": False, "GLOBAL": mode == 1, "DEEP": True, "BORDER": border, **tile}
                compiled(warp_mean._warp, number, target, MODE=mode, **options)
            for transpose in (False, True):
                options = {"FARTHEST": -(2**31), "BORDER": border, "SCENE_BORDER": min(border, 1), **tile}
                for new in (False, True):
                    options |= {"MIXED": new, "SLOPED": new, "CONNECTED": new, "LIMITED": new, "CHANNELS": 4}
                    compiled(composite._composite, number, target, TRANSPOSE=transpose, **options)
        compiled(convolve._fold, number, target, COLUMNS=128)
        compiled(srgb._decode, number, target, BLOCK=1024)
        compiled(srgb._encode, number, target, BLOCK=1024)
        compiled(noise._gaussian, number, target, BLOCK=1024)
        for tag in (1, 2):
            compiled(noise._shared, number, target, TAG=tag, BLOCK=128)
        options = dict.fromkeys(("COLORS", "PATTERN", "TAILS", "ROWS", "COLUMNS"), True)
        compiled(sensor._sensor, number, target, NOISE=True, BLOCK=512, **options)
        if number == "fp32":  # it takes seconds, and works in float64 anyhow
            compiled(sensor._settle, number, target, BLOCK=64, **options)
    # The smallest of everything: a picture of one pixel, one channel, one node, a reach of 1.
    compiled(
        convolve._convolve, "fp32", target, SIGN=-1, SHARED=True, BORDER=2, out_height=1, out_width=1, **size, **tile
    )
    options = {"SHARED": True, "SHARED_GEOMETRY": True, "LEVELLED": False, **size, **grid, **tile}
    compiled(convolve_varying._varying, "fp32", target, BORDER=2, **options)
    margins = dict.fromkeys(
        ("grown_height", "grown_width", "top", "left", "reach_up", "reach_down", "reach_left", "reach_right"), 1
    )
    compiled(convolve_varying._varying_adjoint, "fp32", target, CIRCULAR=False, **margins, **options)
    options = {"SHARED": True, "GLOBAL": True, "DEEP": False, "times": 1, "seen": 1, **size, **tile}
    compiled(warp_mean._warp, "fp32", target, BORDER=2, MODE=0, **options)
    options = {"FARTHEST": -(2**31), "parts": 1, **size, **tile}
    options |= {"BORDER": 2, "SCENE_BORDER": 2, "CHANNELS": 1, "MIXED": False, "SLOPED": True, "CONNECTED": True}
    compiled(composite._composite, "fp32", target, TRANSPOSE=True, LIMITED=False, **options)
    options = {**dict.fromkeys(("COLORS", "PATTERN", "TAILS", "ROWS", "COLUMNS"), False), "outs": 1, **size}
    compiled(sensor._sensor, "fp32", target, NOISE=False, BLOCK=512, **options)
    compiled(sensor._settle, "fp32", target, BLOCK=64, **options)


if __name__ == "__main__":
    main(int(sys.argv[1]))
