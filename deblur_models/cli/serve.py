"""``deblur serve``: restore pictures over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from blursynth.cli import console
from deblur_models.cli import restorer_options as options
from deblur_models.cli.memory import keep_freed_memory

EPILOG = """\b
Examples:
  deblur serve
  deblur serve --network run/ --port 9000 --device cuda
  curl -H 'Content-Type: image/jpeg' --data-binary @photo.jpg -o restored.jpg http://127.0.0.1:8000/restore
  curl -H 'Content-Type: image/png' --data-binary @scan.png -o restored.png 'http://127.0.0.1:8000/restore?strength=0.6'

Without --network, the network that ships is used (deblur networks photographs). A browser at the server's address
shows a page to upload a picture. Nothing that is uploaded is written to disk. There are no passwords: by default only
this machine can connect.

/metrics has counters for Prometheus, /health/live and /health/ready are for supervisors. Ctrl-C finishes the pictures
that are being restored and refuses those that wait; a second one ends it at once.
"""


def command(
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            metavar="CHECKPOINT",
            help="A .safetensors or .onnx file, a run directory, or the name of a network that ships. Default: "
            "photographs.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on; 0.0.0.0: all networks.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0: any that is free.")
    ] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="A name under which browsers may ask for the server, besides localhost and addresses. Repeatable.",
            show_default=False,
        ),
    ] = None,
    tile: options.Tile = None,
    overlap: options.Overlap = None,
    ensemble: options.Ensemble = False,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    provider: options.Providers = None,
    local_px: options.LocalPx = None,
    padding: options.Padding = "mirror",
    max_mb: Annotated[float, typer.Option("--max-mb", metavar="MB", help="Size of the largest upload.")] = 64.0,
    max_megapixels: Annotated[
        float, typer.Option("--max-megapixels", metavar="MP", help="Size of the largest picture.")
    ] = 25.0,
    memory_mb: Annotated[
        float,
        typer.Option("--memory-mb", metavar="MB", help="Memory for all pictures together, besides the network."),
    ] = 4000.0,
    requests: Annotated[
        int, typer.Option("--requests", metavar="N", help="Pictures in work at a time; more are answered with 429.")
    ] = 32,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", help="Time to restore a picture, waiting included; then 503.")
    ] = 300.0,
    transfer_timeout: Annotated[
        float, typer.Option("--transfer-timeout", metavar="S", help="Time for an upload, and for its answer.")
    ] = 60.0,
    batch_megapixels: Annotated[
        float | None,
        typer.Option(
            "--batch-megapixels",
            metavar="MP",
            help="Pictures of like size that are restored together, by their pixels. Default: 0.065 (four of 128 x 128 "
            "px) on the CPU, where larger batches are not faster; 4 elsewhere.",
            show_default=False,
        ),
    ] = None,
    batch_wait_ms: Annotated[
        float,
        typer.Option("--batch-wait-ms", metavar="MS", help="Time that a picture waits for others of like size."),
    ] = 0.0,
) -> None:
    """Restore pictures over HTTP, for programs and on a web page.

    A picture comes back as deblur apply would write it.
    """
    # First, so that a package which is missing is reported before a network is loaded.
    from deblur_models.serve import Limits, Service, batch_px_on, bind, is_loopback, make_server

    keep_freed_memory()
    from deblur_models.checkpoints.shipped import DEFAULT
    from deblur_models.device import torch_device

    limits = Limits(
        upload_bytes=round(1e6 * max_mb),
        picture_px=round(1e6 * max_megapixels),
        memory_bytes=round(1e6 * memory_mb),
        requests=requests,
        timeout_s=timeout,
        transfer_timeout_s=transfer_timeout,
        batch_px=batch_px_on(torch_device(device)) if batch_megapixels is None else round(1e6 * batch_megapixels),
        batch_wait_s=batch_wait_ms / 1000,
    )
    restorer = options.load_restorer(
        network or DEFAULT,
        tile=tile,
        overlap=overlap,
        ensemble=ensemble,
        device=device,
        precision=precision,
        local_px=local_px,
        padding=padding,
        providers=provider,
    )
    with bind(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        console.echo(f"{restorer.name} at http://{shown}:{listener.getsockname()[1]} (Ctrl-C to stop)")
        if not is_loopback(host):
            console.echo(
                f"Warning: whoever can reach {host} can use this server and slow it down: there are no passwords, and "
                "pictures travel unencrypted. For more than a network that you trust, put a proxy with TLS and a login "
                "in front of it, and keep --host 127.0.0.1.",
                err=True,
            )
        make_server(Service(restorer, limits), hosts=[host, *(allow_host or [])]).run(sockets=[listener])
    console.echo("stopped")
