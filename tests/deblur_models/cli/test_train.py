"""``deblur train`` and ``deblur networks`` as a user runs them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from typer.testing import CliRunner, Result

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate
from deblur_models.checkpoints.checkpoint import load_checkpoint, load_network
from deblur_models.cli import app as cli
from deblur_models.cli.train import _changes
from deblur_models.config.configuration import configuration_names, load_configuration
from deblur_models.train import Learner

TINY = {
    "summary": "a few steps",
    "network": {"kind": "nafnet", "size": "tiny", "width": 4, "encoder_blocks": [1], "middle_blocks": 0,
                "decoder_blocks": [1]},
    "loss": [{"kind": "l1"}],
    "data": {"photographs": {"photos": "nowhere", "recipe": "clean"}},
    "stage": [{"steps": 3, "patch_px": 16, "batch": 2, "data": ["photographs"]}],
    "run": {"device": "cpu", "threads": 1, "log_every": 1, "checkpoint_every": 1},
}  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments], prog_name="deblur")


def passes(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", result.output), "control characters in a pipe"
    return result


def fails(*arguments: object, code: int = 2) -> str:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert "fault of deblur_models" not in result.output
    return " ".join(result.stderr.split())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(TINY))
    return tmp_path / "tiny.toml"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.Generator(np.random.Philox(1))
    folder = tmp_path_factory.mktemp("photos")
    for i in range(2):
        blocks = rng.uniform(0, 1, (3, 40, 40))
        bs.write_picture(folder / f"{i}.png", np.repeat(np.repeat(blocks, 4, 1), 4, 2))
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.Generator(np.random.Philox(2))
    for half in ("blur", "sharp"):
        bs.write_picture(folder / half / "0.png", rng.uniform(0, 1, (3, 20, 24)))
    return folder


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_list_names_what_ships() -> None:
    listed = passes("train", "--list").stdout
    for name in configuration_names():
        assert name in listed
        assert load_configuration(name).summary[:30] in listed


def test_photographs_train_a_network_and_the_same_command_resumes(
    config: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", config, "--photos", photos, "--validation", photos, "--recipe", "clean", "--out",
               tmp_path / "run", "--set", "validation.size_px=24", "--set", "validation.count=2")  # fmt: skip
    first = passes(*command)
    assert re.search(r"held-out pairs +PSNR dB +SSIM +gain dB", first.stdout)
    assert re.search(r"blurred, unchanged +\d+\.\d\d +0\.\d{4}", first.stdout)
    assert re.search(r"network after 3 steps +\d+\.\d\d +-?0\.\d{4} +[+-]\d\.\d\d", first.stdout)
    assert f"deblur apply PICTURES --network {tmp_path / 'run'}" in first.stdout
    assert re.search(r"step 3 of 3 \(.*\): held-out PSNR .* \(blurred .*; gain [+-]\d", first.stderr)
    load_network(tmp_path / "run")
    written = json.loads((tmp_path / "run" / "configuration.json").read_text())
    own = written["data"]["photographs"]
    assert written["data"] == {"photographs": {**own, "photos": str(photos), "recipe": "clean"}}
    assert written["stage"][0]["data"] == ["photographs"]
    assert f"held-out: {photos} with clean" in first.stdout
    assert re.search(r"step 0 of 3 .*; held-out: .* with clean", first.stderr)
    assert "goes on" not in first.stderr
    assert "configuration's own" not in first.stderr
    assert written["validation"]["photos"] == str(photos)
    monkeypatch.setattr(Learner, "update", lambda *_: pytest.fail("a finished run must not go on"))
    again = passes(*command)
    assert "deblur apply" in again.stdout
    told = " ".join(again.stderr.split())
    assert "is finished (3 steps); nothing was done. To continue training, write start_from = " in told
    assert "already holds a run" in fails(*command, "--fresh")
    message = fails(*command, "--seed", 5)
    assert "started with another configuration: seed 0 (now 5)" in message


def test_pairs_in_a_folder_and_a_data_set(config: Path, photos: Path, pairs: Path, tmp_path: Path) -> None:
    passes("train", config, "--data", pairs, "--validation", pairs, "--out", tmp_path / "a")
    assert load_checkpoint(tmp_path / "a" / "last").manifest["configuration"]["validation"]["pairs"] == str(pairs)
    generate(
        DatasetRequest(sources=photos, recipe=bs.load_recipe("clean"), count=2, size_px=24, seed=1),
        tmp_path / "set",
        workers=1,
    )
    out = passes("train", config, "--data", tmp_path / "set", "--validation", tmp_path / "set", "--out", tmp_path / "b")
    assert "blurred, unchanged" in out.stdout
    both = passes("train", config, "--data", pairs, "--photos", photos, "--dry-run").stdout
    assert set(json.loads(both)["data"]) == {"pairs", "photographs"}
    assert json.loads(both)["stage"][0]["data"] == ["photographs", "pairs"]
    halves = ("--data", pairs / "blur", "--sharp", pairs / "sharp")
    apart = json.loads(passes("train", config, *halves, "--dry-run").stdout)
    assert apart["data"]["pairs"]["sharp"] == str(pairs / "sharp")
    assert apart["stage"][0]["data"] == []
    assert "--sharp" in fails("train", config, "--data", pairs / "blur", "--dry-run")
    held = ("--set", f"validation={{pairs = '{pairs}'}}")
    own = passes("train", config, "--data", pairs, *held, "--dry-run").stderr
    assert f"Validation uses the configuration's held-out pairs ({pairs}); set" in " ".join(own.split())


def test_a_dry_run_looks_at_everything_and_writes_nothing(config: Path, pairs: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    shown = json.loads(passes("train", config, "--data", pairs, "--dry-run", "--seed", 4, "--device", "cpu",
                              "--set", "optimizer.learning_rate=0.5", "--set", "stage.0.steps=7",
                              "--set", "network.width=6", "--set", "schedule.kind=linear").stdout)  # fmt: skip
    assert (shown["seed"], shown["optimizer"]["learning_rate"], shown["stage"][0]["steps"]) == (4, 0.5, 7)
    assert (shown["network"]["width"], shown["schedule"]["kind"], shown["run"]["device"]) == (6, "linear", "cpu")
    assert load_configuration(shown).to_dict() == shown
    assert "nowhere" in fails("train", config, "--dry-run")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "deblur train needs a configuration. List the bundled ones with deblur train --list"),
        (("smal", "--out", "x"), "There is no configuration 'smal'. Did you mean 'small'?"),
        (("small",), "--out is missing: the run directory"),
        (("small", "--out", "x", "--set", "optimizer"), "--set optimizer: must be TABLE.FIELD=VALUE"),
        (("small", "--out", "x", "--set", "=3"), "must be TABLE.FIELD=VALUE"),
        (("small", "--out", "x", "--set", "optimiser.learning_rate=3"), "Did you mean 'optimizer'?"),
        (("small", "--out", "x", "--set", "stage.0.steps=many"), "steps must be an integer, got 'many'"),
        (("small", "--out", "x", "--device", "abacus"), "There is no device 'abacus'"),
        (("small.toml", "--out", "x"), "Did you mean the built-in configuration 'small'?"),
        (("small", "--out", "x", "--sharp", "y"), "--sharp y: requires --data"),
        (("small", "--out", "x", "--photos", "nowhere"), "nowhere"),
        (("small", "--out", "x", "--data", "nowhere"), "nowhere: does not exist"),
        (("small", "--out", "x", "--photos", ".", "--recipe", "mixd"), "mixd"),
        (("small", "--out", "x", "--data", "pairs", "--recipe", "clean"), "--recipe clean: nothing is blurred here"),
    ],
)
def test_mistakes_are_reported(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in fails("train", *arguments)
    assert not (tmp_path / "x").exists()


def test_options_become_changes(photos: Path, pairs: Path) -> None:
    tables = load_configuration({**TINY, "validation": {"photos": "held", "recipe": "default"}}).to_dict()
    assert _changes(tables, None, None, None, None, None) == {}
    assert _changes(tables, None, "default", None, None, None) == {
        "data.photographs.recipe": "default",
        "validation.recipe": "default",
    }
    assert _changes(tables, str(photos), None, None, None, None) == {"data.photographs.photos": str(photos)}
    checked = _changes(tables, None, None, None, None, str(pairs))["validation"]
    assert checked["pairs"] == str(pairs)
    assert "photos" not in checked
    assert "recipe" not in checked
    checked = _changes(tables, None, "mixed", None, None, str(photos))
    assert (checked["validation"]["photos"], checked["validation.recipe"]) == (str(photos), "mixed")


def test_photographs_take_the_place_of_those_of_every_table() -> None:
    small = load_configuration("small").to_dict()
    (stage,) = small["stage"]
    small["stage"] = [{**stage, "data": ["blurred"]}, stage]
    own = load_configuration(small)
    made = load_configuration(small, _changes(small, "mine", "mixed", None, None, None))
    assert made.stage == own.stage
    assert made.data["blurred"] == own.data["blurred"].replace(photos="mine", recipe="mixed")
    assert made.data["sharp"] == own.data["sharp"].replace(photos="mine")
    both = load_configuration(small, _changes(small, "mine", None, Path("p"), None, None))
    assert set(both.data) == {"blurred", "sharp", "pairs"}
    assert both.data["blurred"] == own.data["blurred"].replace(photos="mine")
    assert [stage.data for stage in both.stage] == [("blurred", "pairs"), ("blurred", "sharp", "pairs")]
    alone = load_configuration(small, _changes(small, None, None, Path("p"), Path("s"), None))
    assert {name: (t.pairs, t.sharp) for name, t in alone.data.items()} == {"pairs": ("p", "s")}
    assert all(stage.data == () for stage in alone.stage)
    of_pairs = {**own.to_dict(), "data": {"real": {"pairs": "r"}}, "stage": [own.to_dict()["stage"][0]]}
    other = load_configuration(of_pairs, _changes(of_pairs, "mine", "clean", Path("p"), None, None))
    assert (other.data["photos"].photos, other.data["photos"].recipe, other.data["pairs"].pairs) == (
        "mine",
        "clean",
        "p",
    )
    with_depth = {**TINY, "data": {"photographs": {"photos": "a", "recipe": "clean", "depth": "maps"}}}
    assert (
        load_configuration(with_depth, _changes(with_depth, "b", None, None, None, None)).data["photographs"].depth
        is None
    )


def test_steps_are_shared_by_the_stages_and_reported_line_by_line(
    config: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = "stage=[{steps=300, patch_px=16, batch=1}, {steps=100, patch_px=16, batch=1}]"
    command = ("train", config, "--data", pairs, "--set", stages)
    shown = json.loads(passes(*command, "--steps", 8, "--dry-run").stdout)
    assert [stage["steps"] for stage in shown["stage"]] == [6, 2]
    assert "A run of 2 stages needs at least as many steps, got 1" in fails(*command, "--steps", 1, "--dry-run")
    monkeypatch.setattr("deblur_models.cli.train.LINES_S", 0.0)
    log = ("--set", "run.log_every=100", "--set", "run.checkpoint_every=100")
    told = passes(*command, "--steps", 8, *log, "--out", tmp_path / "run").stderr.splitlines()
    assert told[0] == f"{tmp_path / 'run'}: checking the pictures."
    for step, line in enumerate(told[1:8], 1):
        assert re.fullmatch(
            rf"step {step} of 8 \(.* s, about .* s left\): l1 .*, loss .*, gradient_norm .*; .* patches/s \(.*\)", line
        )
    assert re.match(r"step 8 of 8 \([^,]* s\): l1 ", told[8])


def test_a_stop_is_reported_and_the_run_resumes(
    config: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    update = Learner.update

    def interrupted(self: Learner, parts: Any, step: int, factor: float) -> Any:
        if step == 1:
            signal.raise_signal(signal.SIGINT)
        return update(self, parts, step, factor)

    command = ("train", config, "--data", pairs, "--out", tmp_path / "run")
    monkeypatch.setattr(Learner, "update", interrupted)
    message = fails(*command, code=130)
    assert "Stopped after step 2; the same command resumes there." in message
    monkeypatch.setattr(Learner, "update", update)
    assert "resuming from step 2 of 3." in " ".join(passes(*command).stderr.split())
    assert load_checkpoint(tmp_path / "run" / "last").manifest["step"] == 3


def test_a_loss_that_is_no_number_is_a_message(
    config: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deblur_models.losses import L1

    monkeypatch.setattr(L1, "distance", lambda self, a, b: (a - b).mean() * float("nan"))
    assert "Step 1: l1 is nan" in fails("train", config, "--data", pairs, "--out", tmp_path / "run")


def test_as_a_program(config: Path, pairs: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deblur_models", "train", str(config), "--data", str(pairs), "--out",
               str(tmp_path / "run")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'run'}: use it with  deblur apply")
    assert "\x1b" not in done.stdout + done.stderr
    assert load_checkpoint(tmp_path / "run" / "last").manifest["step"] == 3


def test_networks_are_listed_with_their_weights() -> None:
    listed = passes("networks").stdout
    assert re.search(r"nafnet +32 +17,111,907", listed)
    assert re.search(r"deblurgan +published +11,378,179", listed)
    assert re.search(r"patchgan +local +2,764,737 +discriminator", listed)


def test_one_network_shows_its_fields() -> None:
    shown = passes("networks", "nafnet").stdout
    assert "NAFNet; 32 and 64 are the published widths" in shown
    assert re.search(r"width +32 +channels at full size", shown)
    assert "Sizes: 32, 64, tiny" in shown
    assert "There is no network 'nafnett'. Did you mean 'nafnet'?" in fails("networks", "nafnett")
