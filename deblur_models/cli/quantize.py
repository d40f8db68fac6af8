"""``deblur quantize``: an exported network in 8-bit integers, as far as a stated loss allows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from blursynth.cli import console
from deblur_models.cli.restorer_options import live_bar

EPILOG = """\b
Examples:
  deblur quantize network.onnx --out network.int8.onnx
  deblur quantize photographs --out photographs.int8.onnx --max-loss-db 0.05
  deblur quantize network.onnx --out network.int8.onnx --photos photos/ --calibration minmax
  deblur apply blurred.jpg --network network.int8.onnx

The ranges of all values are measured on blurred photographs, the loss on others: PSNR of the restored pictures against
the sharp ones, in float32 minus in integers. Where all layers in integers lose more than --max-loss-db, the most
sensitive ones stay in float32. The same figures are in NAME.parity.json.
"""


def command(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="A float32 .onnx file of deblur export; or a .safetensors file, a run directory, or the name of a "
            "network that ships, which is exported first.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The .onnx file to write.")],
    samples: Annotated[
        int, typer.Option("--samples", metavar="N", help="Blurred pictures for the calibration, of 192 px.")
    ] = 64,
    calibration: Annotated[
        str,
        typer.Option(
            "--calibration",
            metavar="percentile|entropy|minmax",
            help="How ranges follow from the values seen.",
        ),
    ] = "percentile",
    max_loss_db: Annotated[
        float, typer.Option("--max-loss-db", metavar="DB", help="Largest loss of PSNR on held-out pictures.")
    ] = 0.1,
    photos: Annotated[
        Path | None,
        typer.Option(
            "--photos",
            metavar="FOLDER",
            help="Sharp photographs, three quarters for the calibration, the others for the loss. Default: those of "
            "scikit-image.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="RECIPE", help="Blur of the photographs: a name or a .toml file.")
    ] = "default",
    fine_tune: Annotated[
        int,
        typer.Option(
            "--fine-tune",
            metavar="STEPS",
            help="Train first for STEPS steps, with values rounded to integers (quantization-aware; needs torchao).",
        ),
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
) -> None:
    """Convert an exported network to 8-bit integers (INT8)."""
    from deblur_models.export import quantize_network

    with live_bar("quantizing") as update:
        done = quantize_network(
            network,
            out,
            samples=samples,
            calibration=cast("Any", calibration),  # checked there
            max_loss_db=max_loss_db,
            photos=photos,
            recipe=recipe,
            fine_tuning_steps=fine_tune,
            overwrite=force,
            on_step=lambda what, number, total: update(description=what, completed=number, total=total),
        )
    loss = done.loss
    console.table(
        (f"{loss.pairs} held-out pictures", "float32", "int8", "lost dB"),
        [
            ("PSNR, mean", f"{loss.psnr_float32:.2f}", f"{loss.psnr_int8:.2f}", f"{loss.mean_db:.3f}"),
            ("PSNR, pooled", "", "", f"{loss.pooled_db:.3f}"),
            ("PSNR, worst picture", "", "", f"{loss.worst_db:.3f}"),
            (
                "no harm to sharp ones",
                f"{loss.no_harm_float32:.2f}",
                f"{loss.no_harm_int8:.2f}",
                f"{loss.no_harm_float32 - loss.no_harm_int8:.3f}",
            ),
        ],
        right=("float32", "int8", "lost dB"),
    )
    kept = f"; in float32: {', '.join(done.float32_layers)}" if done.float32_layers else ""
    console.echo(f"\n{done.layers - len(done.float32_layers)} of {done.layers} layers in integers{kept}")
    sizes = f"{console.bytes_text(done.bytes)} instead of {console.bytes_text(done.bytes_float32)}"
    console.echo(f"written: {done.path}, {sizes}")
