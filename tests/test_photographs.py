"""What the network that ships is made of: the list of openly licensed photographs, and the scripts that fetch them and
that put a network into the package."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from blursynth.cli.app import app
from blursynth.dataset import photographs
from blursynth.dataset.licenses import rows_of
from blursynth.dataset.photographs import photographs_list
from blursynth.errors import DatasetError
from deblur_models.checkpoints.checkpoint import load_checkpoint, save_network
from deblur_models.networks import create_network

ROOT = Path(__file__).resolve().parents[1]


def script_of(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listed() -> list[dict[str, str]]:
    return [row for _, row in rows_of(photographs_list())]


def test_the_list_says_what_each_photograph_is() -> None:
    assert len({one["name"] for one in listed()}) == len({one["sha256"] for one in listed()}) == len(listed())
    card = (ROOT / "datasets/photographs/README.md").read_text()
    for one in listed():
        assert re.fullmatch(r"(sharp|shallow)/[a-z0-9-]+\.jpg", one["name"])
        assert re.fullmatch(r"[0-9a-f]{64}", one["sha256"])
        assert min(int(one["width"]), int(one["height"])) > 600
        assert one["license"]
        assert one["author"]
        assert not Path(one["path"]).is_absolute()
        assert f"| {one['package']} |" in card
    for kind in ("sharp", "shallow"):
        assert f"`photographs/{kind}/` | {sum(one['name'].startswith(kind) for one in listed())} |" in card


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_photographs_are_taken_out_of_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    (tree / "usr/share").mkdir(parents=True)
    (tree / "usr/share/Big Picture.jpg").write_bytes(b"light")
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: pictures\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: pictures\n"
    )
    out = tmp_path / "photographs"
    (out / "packages").mkdir(parents=True)
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", str(tree), str(out / "packages/pictures_1_all.deb")],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "photographs.d").mkdir()
    own = tmp_path / "photographs.d/list.tsv"
    head = "# name\tpackage\tpath\tsha256\n"
    line = "sharp/big.jpg\tpictures\tusr/share/Big Picture.jpg\t"
    own.write_text(head + line + hashlib.sha256(b"light").hexdigest() + "\n")
    monkeypatch.setattr(photographs, "photographs_list", lambda: own)
    result = CliRunner().invoke(app, ["photographs", str(out)])
    assert result.exit_code == 0, result.output
    assert "1 photographs" in result.output
    assert (out / "sharp/big.jpg").read_bytes() == b"light"
    own.write_text(head + line + hashlib.sha256(b"shade").hexdigest() + "\n")
    with pytest.raises(DatasetError, match=r"Big Picture\.jpg: is not in pictures_1_all\.deb as listed"):
        photographs.fetch_photographs(out)
    (out / "packages/pictures_2_all.deb").write_bytes(b"")
    with pytest.raises(
        DatasetError, match=r"one \.deb file of pictures, but there is pictures_1_all\.deb, pictures_2_"
    ):
        photographs.fetch_photographs(out)


def test_a_package_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(
        DatasetError, match=r"lomiri-wallpapers-16\.04: cannot be fetched: there is no apt-get here"
    ) as caught:
        photographs.fetch_photographs(tmp_path / "out")
    assert f"Put its .deb file into {tmp_path / 'out/packages'}" in str(caught.value)
    apt = tmp_path / "bin/apt-get"
    apt.write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
    apt.chmod(0o755)
    with pytest.raises(DatasetError, match=r"cannot be fetched \(E: Unable to locate package\)"):
        photographs.fetch_photographs(tmp_path / "out")


def test_the_network_of_a_run_ships_in_half_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delenv("BLURSYNTH_REAL_DATA", raising=False)
    ship = script_of("ship_network")
    monkeypatch.setattr(ship, "FOLDER", tmp_path / "weights")
    network = create_network("nafnet", "tiny", width=8)
    save_network(network, tmp_path / "run/last", step=7, configuration={"seed": 1}, license="unknown")
    ship.main(tmp_path / "run", "photographs")
    manifest = load_checkpoint(tmp_path / "weights/photographs").manifest
    assert (manifest["stored"], manifest["step"], manifest["configuration"]) == ("float16", 7, {"seed": 1})
    assert manifest["license"] == "MIT"
    said = capsys.readouterr().out
    assert "its model card is missing" in said
    change_db = re.search(r"changes results by (\d+) dB", said)
    assert change_db is not None
    assert int(change_db[1]) > 70
    monkeypatch.setattr(ship, "MOST_BYTES", 1000)
    with pytest.raises(SystemExit, match="more than 1,000 bytes in half precision"):
        ship.main(tmp_path / "run", "large")
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == [
        "photographs.json", "photographs.safetensors",
    ]  # fmt: skip
