"""``deblur serve`` as a user runs it."""

from __future__ import annotations

import http.client
import io
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from deblur_models import serve
from deblur_models.checkpoints.checkpoint import save_network
from deblur_models.cli import app as cli
from deblur_models.networks import create_network


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "small.safetensors"
    save_network(create_network("nafnet", "tiny", width=4), path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["serve", *map(str, arguments)], prog_name="deblur")


def test_a_process_serves_without_writing_a_byte_and_stops_when_told(network: Path, tmp_path: Path) -> None:
    codes = np.random.Generator(np.random.Philox(1)).integers(0, 256, (900, 700, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(codes).save(file, "PNG")

    def no_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # the kernel refuses every byte for a file

    command = [sys.executable, "-m", "deblur_models", "serve", "--network", str(network), "--port", "0", "--tile", "0"]
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, preexec_fn=no_files,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        assert started.stdout is not None
        shown = started.stdout.readline()
        found = re.fullmatch(r"small at http://127\.0\.0\.1:(\d+) \(Ctrl-C to stop\)\n", shown)
        assert found, (shown, started.stderr and started.stderr.read())
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("POST", "/restore?format=tif", file.getvalue(), {"Content-Type": "image/png"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert np.asarray(Image.open(io.BytesIO(answer.read()))).shape == codes.shape
        connection.close()
        started.send_signal(signal.SIGTERM)
        out, err = started.communicate(timeout=20)
        assert (started.returncode, out, err) == (0, "stopped\n", "")
        assert list(tmp_path.iterdir()) == []
    finally:
        started.kill()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Services that the command makes, without serving."""
    kept: list[Any] = []

    class Server:
        def run(self, sockets: list[Any]) -> None: ...

    def make_server(service: serve.Service, **options: Any) -> Server:
        kept.append((service, options))
        service.batcher.stop()
        return Server()

    monkeypatch.setattr(serve, "make_server", make_server)
    return kept


def test_other_machines_are_let_in_with_a_warning(network: Path, made: list[Any]) -> None:
    result = run("--network", network, "--port", 0)
    assert (result.exit_code, result.stderr) == (0, "")
    result = run("--network", network, "--port", 0, "--host", "0.0.0.0", "--allow-host", "box.lan")
    assert result.exit_code == 0
    assert "Warning: whoever can reach 0.0.0.0 can use this server" in result.stderr
    assert "there are no passwords" in result.stderr
    assert made[1][1] == {"hosts": ["0.0.0.0", "box.lan"]}


def test_options_become_limits(network: Path, made: list[Any]) -> None:
    run("--network", network, "--port", 0, "--max-mb", 2, "--max-megapixels", 3, "--memory-mb", 5, "--requests", 7,
        "--timeout", 11, "--transfer-timeout", 13, "--batch-megapixels", 0.5, "--batch-wait-ms", 17)  # fmt: skip
    assert made[0][0].limits == serve.Limits(2_000_000, 3_000_000, 5_000_000, 7, 11.0, 13.0, 500_000, 0.017)
    assert run("--network", network, "--port", 0).exit_code == 0
    assert made[1][0].limits == serve.Limits()


def test_what_cannot_be_served_is_an_error(network: Path, tmp_path: Path) -> None:
    for arguments, text in {
        ("--network", tmp_path / "none"): "none",
        ("--network", network, "--host", "no such host"): "cannot be listened on",
        ("--network", network, "--max-mb", "0"): "upload_bytes must be > 0",
        ("--network", network, "--batch-wait-ms", "1e9"): "batch_wait_s must be 0 to 10 s",
    }.items():
        result = run(*arguments)
        assert (result.exit_code, text in result.stderr) == (2, True), result.stderr


def test_a_missing_package_is_named_with_its_extra(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("deblur_models.serve", "fastapi"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    result = run("--network", network)
    assert result.exit_code == 2
    assert "fastapi is not installed" in result.stderr
    assert "extra 'serve'" in result.stderr
