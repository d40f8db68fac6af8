"""``deblur export``: a network as a file for ONNX Runtime, OpenCV and others, checked before it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from blursynth.cli import console
from blursynth.errors import InvalidValueError

EPILOG = """\b
Examples:
  deblur export run/ --out network.onnx
  deblur export photographs --out photographs.onnx --precision float16
  deblur export run/ --out network.onnx --size 1280x720 --runtime opencv
  deblur export run/ --out network.xml --format openvino
  deblur apply blurred.jpg --network network.onnx

The graph takes pictures [B, 3, H, W], RGB in 0..1, of any size (or of --size), and pads and crops inside. Before the
file gets its name it restores three blurred photographs in each runtime; what it prints is how far each result is from
that of the network. The same is in NAME.parity.json. Beyond the tolerance nothing is written.
"""


def command(
    network: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A .safetensors file, a run directory, or the name of a network that ships.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write: .onnx, .pt2 or .xml.")],
    format: Annotated[
        str, typer.Option("--format", metavar="onnx|exported-program|openvino", help="Format of the file.")
    ] = "onnx",
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="WxH",
            help="The only size that the graph takes, for runtimes that need one. Default: any size.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", metavar="float32|float16", help="Precision of weights and computation.")
    ] = "float32",
    opset: Annotated[
        int, typer.Option("--opset", metavar="N", help="Version of the operators of ONNX, 18 to 23.")
    ] = 18,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            "--runtime",
            metavar="NAME",
            help="Runtime that must give the network's pictures: onnxruntime, opencv, openvino or torch; may be "
            "repeated. Default: that of the format, and for onnx also opencv, which may refuse.",
            show_default=False,
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            metavar="FOLDER",
            help="Blurred photographs for the comparison. Default: those of scikit-image, blurred here.",
            show_default=False,
        ),
    ] = None,
    license: Annotated[
        str,
        typer.Option("--license", help="License of the weights. Default: that of the checkpoint.", show_default=False),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
) -> None:
    """Export a network for ONNX Runtime, OpenCV, OpenVINO or torch."""
    from deblur_models.export import export_network

    done = export_network(
        network,
        out,
        format=cast("Any", format),  # checked there
        size_px=None if size is None else parse_size(size),
        precision=cast("Any", precision),
        opset=opset,
        runtimes=runtime or (),
        pictures=pictures,
        overwrite=force,
        license=license,
    )
    rows = [
        (one.runtime, one.version, f"{one.width}x{one.height}", f"{one.largest:.1e}", f"{one.psnr_db:.0f}")
        for one in done.parity
    ]
    console.table(
        ("runtime", "version", "picture", "largest difference", "PSNR dB"),
        rows,
        right=("largest difference", "PSNR dB"),
    )
    for name, why in done.refused.items():
        console.echo(f"\n{name} cannot run it: {why}")
    console.echo(f"\nwritten: {done.path}, {console.bytes_text(done.bytes)}")


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of ``WIDTHxHEIGHT``.

    >>> parse_size("1280x720")
    (720, 1280)
    """
    width, cross, height = text.lower().partition("x")
    if not cross or not (width.strip().isdigit() and height.strip().isdigit()):
        raise InvalidValueError(f"--size must be WIDTHxHEIGHT in px, got {text!r}.", fix="Such as 1280x720.")
    return int(height), int(width)
