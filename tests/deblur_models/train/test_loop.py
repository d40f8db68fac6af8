"""Runs: stopped and gone on, killed, damaged; what is written, what is refused, and that it learns."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from blursynth.errors import BlursynthError, DatasetError, InvalidValueError
from blursynth.io.pictures import read_pixels, write_picture
from deblur_models.checkpoints.checkpoint import load_checkpoint, load_network, save_network
from deblur_models.config.configuration import load_configuration
from deblur_models.losses import L1
from deblur_models.networks import create_network
from deblur_models.networks.timm_backbones import import_timm
from deblur_models.train import Progress, TrainingError, check, train
from deblur_models.train.learner import Learner
from deblur_models.train.validation import CAPTION_PX, ValidationResult, spread, write_sheet

Tables = Callable[..., dict[str, Any]]
ADVERSARIAL = {
    "loss": {"kind": "wgan_gp", "weight": 0.01},
    "discriminator": {"kind": "patchgan", "size": "tiny", "width": 4, "layers": 1},
    "steps": 2,
    "from_step": 1,
}


class Stop(Exception):
    """What takes the place of a power cut between two steps."""


def run(tables: Mapping[str, Any], out: Path, *, stop_after: int | None = None, **more: Any) -> Any:
    """Trains; with ``stop_after`` it is asked to stop, as by SIGTERM, in the course of that step."""
    steps = 0
    update = Learner.update

    def counted(self: Learner, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        if stop_after is not None:
            patch.setattr(Learner, "update", counted)
        return train(load_configuration(tables), out, **more)


def state(out: Path) -> dict[str, Tensor]:
    return load_checkpoint(out / "last").tensors


def lines(out: Path, kind: str = "") -> list[dict[str, Any]]:
    """The log without what the clock says."""
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in entry.items() if not k.startswith(("seconds", "images_per_s"))}
        for entry in entries
        if kind in entry["kind"]
    ]


def assert_same_run(one: Path, other: Path) -> None:
    mine, theirs = state(one), state(other)
    assert mine.keys() == theirs.keys()
    different = [name for name in mine if not torch.equal(mine[name], theirs[name])]
    assert not different
    assert lines(one) == lines(other)
    a, b = (json.loads((out / "last.json").read_text()) for out in (one, other))
    for name in ("step", "best", "unreported", "sha256"):
        assert a[name] == b[name], name


VALIDATION = {"size_px": 24, "count": 2, "every": 3, "pictures": 1}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no average": {"run": {"ema_decay": 0.0}},
    "adam with decay and steps": {
        "optimizer": {"kind": "adam", "weight_decay": 0.1},
        "schedule": {"kind": "steps", "milestones": [0.3, 0.6]},
    },
    "dropout": {
        "network": {"kind": "deblurgan", "size": "tiny", "width": 4, "blocks": 1, "dropout": 0.5},
        "loss": [{"kind": "l1"}, {"kind": "fft_l1", "weight": 0.1}],
    },
    "running statistics": {
        "network": {"kind": "deblurgan", "size": "tiny", "width": 4, "blocks": 1, "norm": "running"}
    },
    "frozen encoder, unused weights": {
        "network": {"kind": "deblurgan_v2", "size": "tiny"},
        "run": {"frozen_encoder_steps": 2},
        "stage": [{"steps": 6, "patch_px": 24, "batch": 2}],
    },
    "adversary": {"adversarial": ADVERSARIAL},
    "accumulated adversary": {
        "adversarial": {**ADVERSARIAL, "loss": {"kind": "ragan_ls", "weight": 0.01}, "from_step": 0},
        "stage": [{"steps": 6, "patch_px": 16, "batch": 4, "accumulate": 2}],
    },
    "pooled answers": {
        "adversarial": {**ADVERSARIAL, "loss": {"kind": "ragan_ls", "weight": 0.01, "pool_pictures": 7}, "from_step": 0}
    },
    "stages": {
        "stage": [
            {"steps": 2, "patch_px": 16, "batch": 4},
            {"steps": 3, "patch_px": 20, "batch": 2, "learning_rate_factor": 0.5},
            {"steps": 1, "patch_px": 24, "batch": 1},
        ]
    },
    "teacher": {
        "teacher": {"network": "teacher", "loss": [{"kind": "l1"}], "features_weight": 0.1, "attention_weight": 0.1},
        "adversarial": ADVERSARIAL,
    },
    "bf16": {"run": {"precision": "bf16"}},
    "channels last": {"run": {"channels_last": True}},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop_after", [1, 3])
def test_stopped_and_gone_on_is_as_if_never_stopped(kind: str, stop_after: int, tables: Tables, tmp_path: Path) -> None:
    made = tables(**KINDS[kind])
    if made["run"].get("frozen_encoder_steps"):
        torch.save(import_timm().create_model("mobilenetv2_035", pretrained=False).state_dict(), tmp_path / "timm.pth")
        made["run"]["encoder_weights"] = str(tmp_path / "timm.pth")
    if "teacher" in made:
        save_network(create_network("nafnet", size="tiny", width=6), tmp_path / "teacher")
        made["teacher"] = {**made["teacher"], "network": str(tmp_path / "teacher")}
    whole = run(made, tmp_path / "whole")
    assert (whole.step, whole.finished) == (6, True)
    first = run(made, tmp_path / "parts", stop_after=stop_after)
    assert (first.step, first.finished) == (stop_after, False)
    assert load_checkpoint(tmp_path / "parts").manifest["step"] == stop_after
    second = run(made, tmp_path / "parts")
    assert (second.step, second.finished) == (6, True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert all(t.isfinite().all() for t in state(tmp_path / "whole").values())


def test_validation_does_not_change_the_run(tables: Tables, pairs: Path, tmp_path: Path) -> None:
    watched = tables(validation={"pairs": str(pairs), **VALIDATION})
    run(tables(), tmp_path / "alone")
    seen = run(watched, tmp_path / "whole")
    run(watched, tmp_path / "parts", stop_after=4)
    run(watched, tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    mine, theirs = state(tmp_path / "alone"), state(tmp_path / "whole")
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert [step for step, _ in seen.validation_results] == [0, 3, 6]
    assert (tmp_path / "whole" / "samples" / "0000006.png").stat().st_size > 100


def test_the_validation_line_says_what_doing_nothing_scores(tables: Tables, pairs: Path, tmp_path: Path) -> None:
    result = run(tables(validation={"pairs": str(pairs), **VALIDATION, "count": 9}), tmp_path / "run")
    written = lines(tmp_path / "run", "validation")
    assert [line["step"] for line in written] == [0, 3, 6]
    from deblur_models.data import open_pairs
    from deblur_models.data.collate import values_of
    from deblur_models.metrics import metric

    found = [[values_of(codes, "cpu")[None] for codes in (p.blurred, p.sharp)] for p in open_pairs(pairs)]
    expected = np.mean([metric("psnr")(blurred, sharp).item() for blurred, sharp in found])
    pooled = -10 * np.log10(np.mean([float((blurred - sharp).square().mean()) for blurred, sharp in found]))
    for line in written:
        assert line["psnr_blurred"] == pytest.approx(expected)
        assert line["pairs"] == 5
        assert line["gain_db"] == pytest.approx(line["psnr"] - line["psnr_blurred"])
        assert line["pooled_psnr_blurred"] == pytest.approx(pooled)
        assert line["pooled_gain_db"] == pytest.approx(line["pooled_psnr"] - pooled)
    network = load_network(tmp_path / "run" / "last")
    with torch.inference_mode():
        scores = [metric("psnr")(network(b).clamp(0, 1), s).item() for b, s in found]
        errors = [float((network(b).clamp(0, 1) - s).square().mean()) for b, s in found]
        unharmed = [min(metric("psnr")(network(s).clamp(0, 1), s).item(), 100.0) for _, s in found]
    assert written[-1]["psnr"] == pytest.approx(np.mean(scores)), "the averaged weights are validated"
    assert written[-1]["pooled_psnr"] == pytest.approx(-10 * np.log10(np.mean(errors)))
    assert written[-1]["no_harm_db"] == pytest.approx(np.mean(unharmed))
    assert result.best is not None
    assert result.best.psnr == max(line["psnr"] for line in written[1:])
    best = load_checkpoint(tmp_path / "run" / "best").manifest
    assert best["validation"] == result.best.to_dict()
    assert load_checkpoint(tmp_path / "run").manifest == best, "a run directory refers to its best network"


def test_the_best_network_leaves_sharp_pictures_alone() -> None:
    def scores(psnr: float, no_harm_db: float | None) -> ValidationResult:
        return ValidationResult(psnr, 0.8, 28.0, 0.7, 16, "blurred" if no_harm_db is not None else "sharp", no_harm_db)

    harms, less, reaches, better = scores(30.0, 38.0), scores(29.0, 39.0), scores(29.2, 41.0), scores(29.5, 40.5)
    assert sorted((better, harms, reaches, less), key=lambda one: one.rank(40.0)) == [harms, less, reaches, better]
    assert max((harms, better), key=lambda one: one.rank(0.0)) == harms, "by PSNR alone where nothing is asked"
    assert scores(30.0, None).rank(0.0) > scores(29.0, None).rank(0.0)
    for one in (harms, scores(30.0, None)):
        assert ValidationResult.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_the_best_network_by_the_mean_squared_error() -> None:
    """20 and 40 dB have a mean squared error of .00505, 20.5 and 38 dB one of .00453."""
    earlier = ValidationResult(31.0, 0.8, 28.0, 0.7, 2)
    one = ValidationResult(30.0, 0.8, 28.0, 0.7, 2, pooled_psnr=22.97, pooled_psnr_input=20.0)
    other = ValidationResult(29.25, 0.8, 28.0, 0.7, 2, pooled_psnr=23.43, pooled_psnr_input=20.0)
    assert sorted((other, one, earlier), key=lambda r: r.rank(0.0, "pooled_psnr")) == [earlier, one, other]
    assert sorted((other, one, earlier), key=lambda r: r.rank(0.0, "psnr")) == [other, one, earlier]
    harms = replace(other, no_harm_db=30.0)
    assert max((replace(one, no_harm_db=41.0), harms), key=lambda r: r.rank(40.0, "pooled_psnr")) != harms
    for result in (one, replace(one, pooled_psnr=math.inf, input="sharp"), earlier):
        assert ValidationResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_runs_keep_the_network_of_the_best_pooled_psnr(tables: Tables, pairs: Path, tmp_path: Path) -> None:
    asked = {"pairs": str(pairs), **VALIDATION, "every": 1, "best_by": "pooled_psnr"}
    result = run(tables(validation=asked), tmp_path / "run")
    looks = lines(tmp_path / "run", "validation")[1:]
    assert result.best is not None
    assert result.best.pooled_psnr == max(line["pooled_psnr"] for line in looks)
    assert load_checkpoint(tmp_path / "run" / "best").manifest["validation"] == result.best.to_dict()


def test_what_is_kept_as_the_best_may_be_asked_for_later(tables: Tables, pairs: Path, tmp_path: Path) -> None:
    asked = {"pairs": str(pairs), **VALIDATION, "every": 1}
    run(tables(validation=asked), tmp_path / "run", stop_after=3)
    first = load_checkpoint(tmp_path / "run" / "best").manifest["validation"]
    result = run(tables(validation={**asked, "no_harm_db": 100.0}), tmp_path / "run")
    looks = [line for line in lines(tmp_path / "run", "validation") if line["step"] > 3]
    least = max([first, *looks], key=lambda line: (line["no_harm_db"], line["psnr"]))
    assert result.best is not None
    assert result.best.no_harm_db == least["no_harm_db"]
    assert load_checkpoint(tmp_path / "run" / "best").manifest["validation"] == result.best.to_dict()


def test_photographs_are_held_out_too(tables: Tables, photos: Path, tmp_path: Path) -> None:
    made = tables(
        data={"photos": {"photos": str(photos), "recipe": "clean", "on_device": True}},
        stage=[{"steps": 2, "patch_px": 16, "batch": 2}],
        validation={"photos": str(photos), "recipe": "clean", **VALIDATION},
    )
    result = run(made, tmp_path / "run")
    assert [scores.pairs for _, scores in result.validation_results] == [2, 2]
    assert result.validation_results[0][1].psnr_input == result.validation_results[1][1].psnr_input


def test_patches_without_detail_may_be_left_out(tables: Tables, photos: Path) -> None:
    """Blocks of color have their detail at the edges: a limit that none of their patches reaches is told."""
    data = {"made": {"photos": str(photos), "recipe": "clean", "min_detail": 9000.0}}
    with pytest.raises(BlursynthError, match=r"patch_px = 16.*min_detail 9000 is more than any of the 512 windows"):
        check(load_configuration("small", tables(data=data)))


def test_photographs_smaller_than_the_patch_are_reported(tables: Tables, photos: Path) -> None:
    data = {"mine": {"photos": str(photos), "recipe": "clean"}}
    made = tables(data=data, stage=[{"steps": 1, "patch_px": 500, "batch": 1}])
    with pytest.raises(BlursynthError, match=r"\[data.mine\] patch_px = 500: .*the largest of 2 has 140 x 128 px"):
        check(load_configuration(made))


def test_pictures_that_are_shown_come_from_different_sources(tmp_path: Path) -> None:
    assert spread(["a", "a", "b", "a", "c", "b"], 3) == [0, 2, 4]
    assert spread(["a", "a", "b", "a", "c", "b"], 4) == [0, 1, 2, 4]
    assert spread(["a", "a", "a"], 2) == [0, 1]
    assert spread([str(i) for i in range(16)], 4) == [0, 4, 8, 12], "of many sources some from everywhere"
    assert spread(["a", "b"], 9) == [0, 1]
    assert spread(["a", "b"], 0) == []
    rows = [(np.full((3, 20, 3 * w), 0.25, np.float32), ("blurred 1.00 dB", "", "sharp")) for w in (100, 80)]
    write_sheet(tmp_path / "sheet.png", rows)
    sheet = read_pixels(tmp_path / "sheet.png")
    assert sheet.shape == (2 * (CAPTION_PX + 20 + 4), 300, 3)
    assert (sheet[CAPTION_PX : CAPTION_PX + 20] == 64).all()
    captions = sheet[:CAPTION_PX].min(axis=(0, 2))
    assert captions[:100].min() < 100
    assert (captions[100:200] == 255).all()
    assert captions[200:].min() < 100


def test_a_killed_run_resumes_from_its_last_checkpoint(
    tables: Tables, tmp_path: Path, run_program: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    made = tables(run={"checkpoint_every": 2})
    run(made, tmp_path / "whole")
    program = (
        "import os, signal, torch; torch.set_num_threads(1)\n"
        "from deblur_models.config.configuration import load_configuration\n"
        "from deblur_models.train import train, learner\n"
        "steps, update = [], learner.Learner.update\n"
        "def kill(self, *a):\n"
        "    steps.append(1)\n"
        "    if len(steps) == 6: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return update(self, *a)\n"
        "learner.Learner.update = kill\n"
        f"train(load_configuration({made!r}), 'parts')\n"
    )
    ended = run_program(program, tmp_path)
    assert ended.returncode == -signal.SIGKILL
    assert load_checkpoint(tmp_path / "parts" / "last").manifest["step"] == 4
    with (tmp_path / "parts" / "log.jsonl").open("a") as file:
        file.write('{"kind": "training", "step": 5, "l')  # what a kill leaves of a line
    run(made, tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("half", ["last.safetensors", "last.json"])
def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(
    half: str, tables: Tables, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = tables()
    run(made, tmp_path / "whole")
    run(made, tmp_path / "parts", stop_after=4)
    path = tmp_path / "parts" / half
    path.write_bytes(path.read_bytes()[:-40])
    result = run(made, tmp_path / "parts")
    assert result.finished
    assert "resuming from the previous checkpoint, step 3" in caplog.text
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_without_a_readable_checkpoint_nothing_is_restarted(tables: Tables, tmp_path: Path) -> None:
    run(tables(), tmp_path / "run", stop_after=4)
    for name in ("last", "previous"):
        (tmp_path / "run" / f"{name}.safetensors").write_bytes(b"x")
    log = (tmp_path / "run" / "log.jsonl").read_text()
    with pytest.raises(DatasetError, match=r"no checkpoint of this run can be read"):
        run(tables(), tmp_path / "run")
    assert (tmp_path / "run" / "log.jsonl").read_text() == log


def test_killed_at_any_file_operation_a_whole_state_remains(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends after the n-th change in the folder while the second checkpoint is written, for every n."""
    from deblur_models.checkpoints import checkpoint as checkpoints

    changes = ("replace", "unlink")
    survived = []
    for dies_at in range(1, 30):
        out = tmp_path / f"run{dies_at}"
        run(tables(), out, stop_after=2)
        count = 0
        with monkeypatch.context() as patch:
            for name in changes:
                original = getattr(Path, name)

                def counted(
                    self: Path, *a: Any, original: Any = original, out: Path = out, last: int = dies_at, **k: Any
                ) -> Any:
                    nonlocal count
                    if self.parent == out and any(w in self.name for w in ("last", "previous")):
                        count += 1
                        if count == last:
                            raise Stop
                    return original(self, *a, **k)

                patch.setattr(Path, name, counted)
            try:
                run(tables(), out, stop_after=2)
            except Stop:
                pass
            else:
                break
        found = [n for n in ("last", "previous") if _readable(out / n)]
        assert found, dies_at
        survived.append(load_checkpoint(out / found[0]).manifest["step"])
    assert len(survived) > 5
    assert set(survived) <= {2, 3, 4}
    assert checkpoints.FORMAT == 1


def _readable(path: Path) -> bool:
    try:
        load_checkpoint(path)
    except DatasetError:
        return False
    return True


def test_a_signal_stops_gently(tables: Tables, tmp_path: Path) -> None:
    made = tables(stage=[{"steps": 100_000, "patch_px": 16, "batch": 1}], run={"checkpoint_every": 10**6})
    file = tmp_path / "run.toml"
    import tomli_w

    file.write_text(tomli_w.dumps(made))
    command = [sys.executable, "-m", "deblur_models", "train", str(file), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "log.jsonl"
    for _ in range(1200):
        if log.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    step = load_checkpoint(tmp_path / "run" / "last").manifest["step"]
    assert f"Stopped after step {step:,}; the same command resumes there." in messages


def test_handlers_of_signals_are_given_back(tables: Tables, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run(tables(), tmp_path / "run", stop_after=2)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_the_second_interrupt_stops_at_once(tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = Learner.update

    def impatient(self: Learner, *arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        return update(self, *arguments)

    monkeypatch.setattr(Learner, "update", impatient)
    assert run(tables(), tmp_path / "torchrun").step == 1, "two at once are one wish"
    monkeypatch.setattr("deblur_models.train.loop.SAME_WISH_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(tables(), tmp_path / "run")
    assert not (tmp_path / "run" / "last.json").exists()


def test_a_run_that_is_finished_stays_as_it_is(tables: Tables, tmp_path: Path) -> None:
    run(tables(), tmp_path / "run")
    before = (tmp_path / "run" / "last.safetensors").read_bytes()
    begun: list[int] = []
    result = run(tables(), tmp_path / "run", on_start=begun.append)
    assert (result.step, result.finished, result.start_step, begun) == (6, True, 6, [])
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before


def test_a_loss_that_is_no_number_stops_the_run(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distance, calls = L1.distance, 0

    def breaks(self: L1, restored: Tensor, sharp: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return distance(self, restored, sharp) * (float("nan") if calls == 5 else 1)

    monkeypatch.setattr(L1, "distance", breaks)
    message = (
        r"Step 5: l1 is nan, loss is nan, gradient_norm is nan, .*pictures of this step are finite \(from .*\.png"
        r".*Lower optimizer.learning_rate.*are kept"
    )
    with pytest.raises(TrainingError, match=message):
        run(tables(loss=[{"kind": "l1"}]), tmp_path / "run")
    kept = load_checkpoint(tmp_path / "run" / "last")
    assert kept.manifest["step"] == 3
    assert all(t.isfinite().all() for t in kept.tensors.values())
    assert [line["step"] for line in lines(tmp_path / "run")] == [2, 4]


def test_a_folder_with_another_run_is_refused(tables: Tables, tmp_path: Path) -> None:
    run(tables(), tmp_path / "run")
    with pytest.raises(DatasetError, match=r"already holds a run.*without --fresh"):
        run(tables(), tmp_path / "run", resume=False)
    other = tables(optimizer={"learning_rate": 1e-4}, stage=[{"steps": 7, "patch_px": 16, "batch": 4}])
    with pytest.raises(
        DatasetError,
        match=r"started with another configuration: optimizer.clip_norm 1.0 \(now 0.0\); "
        r"optimizer.learning_rate 0.003 \(now 0.0001\); stage.0.steps 6 \(now 7\)\.",
    ):
        run(other, tmp_path / "run")
    (tmp_path / "run" / "configuration.json").write_text("{")
    with pytest.raises(DatasetError, match="is damaged"):
        run(tables(), tmp_path / "run")


@pytest.mark.parametrize("kept", [("last", "previous"), ("previous",)])
def test_without_its_configuration_a_run_is_held_against_its_state(
    kept: tuple[str, ...], tables: Tables, tmp_path: Path
) -> None:
    run(tables(), tmp_path / "run", stop_after=4)
    (tmp_path / "run" / "configuration.json").unlink()
    if "last" not in kept:
        (tmp_path / "run" / "last.json").unlink()
    with pytest.raises(DatasetError, match=r"already holds a run"):
        run(tables(), tmp_path / "run", resume=False)
    message = (
        r"started with another configuration: .*0.003 \(now 0.01\).*To continue training its weights.*start_from = "
    )
    with pytest.raises(DatasetError, match=message):
        run(tables(optimizer={"learning_rate": 0.01, "clip_norm": 1.0}), tmp_path / "run")
    result = run(tables(), tmp_path / "run")
    assert (result.finished, result.start_step) == (True, 4 if "last" in kept else 3)
    run(tables(), tmp_path / "whole")
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("what", ["pairs", "photos", "recipe"])
def test_other_pictures_under_the_same_names_are_refused(
    what: str, tables: Tables, pairs: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(pairs if what == "pairs" else photos, tmp_path / "data")
    recipe = tmp_path / "mine.toml"
    recipe.write_text('extends = "clean"\n')
    picture = sorted((tmp_path / "data").rglob("*.png"))[0]
    before = (picture if what != "recipe" else recipe).read_bytes()
    data = {"pairs": "data"} if what == "pairs" else {"photos": "data", "recipe": "mine.toml"}
    with contextlib.chdir(tmp_path):
        made = tables(data={"given": data}, stage=[{"steps": 4, "patch_px": 16, "batch": 2}])
        run(made, tmp_path / "run", stop_after=2)
        if what == "recipe":
            recipe.write_text('extends = "motion-only"\n')
        else:
            height, width, _ = read_pixels(picture).shape
            write_picture(picture, np.zeros((3, height, width), np.float32))
        with pytest.raises(DatasetError, match=r"the data of \[data.given\] has changed .*start_from = "):
            run(made, tmp_path / "run")
        (picture if what != "recipe" else recipe).write_bytes(before)
        assert run(made, tmp_path / "run").finished


def test_a_folder_with_other_files_is_refused(tables: Tables, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".hidden").write_text("")
    (tmp_path / "data" / "1.png").write_text("")
    with pytest.raises(DatasetError, match=r"holds other files but no run \('1.png'\)"):
        run(tables(), tmp_path / "data")
    (tmp_path / "data" / "1.png").unlink()
    assert run(tables(), tmp_path / "data").finished
    save_network(load_network(tmp_path / "data"), tmp_path / "other" / "last")
    with pytest.raises(DatasetError, match=r"last.json: describes a network, not the state of a run"):
        run(tables(), tmp_path / "other")


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
def test_a_check_without_the_device_warns(tables: Tables, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(load_configuration(tables(run={"device": "cuda"})))
    assert "torch sees no CUDA device here. The run would not start here" in caplog.text
    with pytest.raises(InvalidValueError, match="torch sees no CUDA device here"):
        run(tables(run={"device": "cuda"}), tmp_path / "run")
    with pytest.raises(InvalidValueError, match="no device 'abacus'"):
        check(load_configuration(tables(run={"device": "abacus"})))


def test_how_it_is_computed_may_change(tables: Tables, tmp_path: Path) -> None:
    run(tables(), tmp_path / "whole")
    run(tables(), tmp_path / "parts", stop_after=3)
    run(tables(run={"checkpoint_every": 1, "device": "auto" if not torch.cuda.is_available() else "cpu"}, summary="x"),
        tmp_path / "parts")  # fmt: skip
    mine, theirs = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert json.loads((tmp_path / "parts" / "configuration.json").read_text())["run"]["checkpoint_every"] == 1


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"cannot be created \(.*file is a file\)"):
        run(tables(), tmp_path / "file" / "run")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DatasetError, match="cannot be written"):
        run(tables(), tmp_path / "run")


def test_bad_data_leaves_no_run_behind(tables: Tables, pairs: Path, tmp_path: Path) -> None:
    bad = tables(stage=[{"steps": 6, "patch_px": 64, "batch": 4}])
    for use in (lambda: run(bad, tmp_path / "run"), lambda: check(load_configuration(bad))):
        with pytest.raises(
            InvalidValueError, match=r"\[data.pairs\].*patch_px = 64 is larger than the pictures: pair 0 has 24x28 px"
        ):
            use()
    assert not (tmp_path / "run").exists()
    assert run(tables(), tmp_path / "run").finished
    check(load_configuration(tables()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": {"device": "abacus"}}, "There is no device 'abacus'"),
        ({"run": {"frozen_encoder_steps": 5}}, "nafnet has no pretrained encoder"),
        ({"start_from": "nowhere/best"}, "nowhere/best: there is no such checkpoint"),
        ({"data": {"a": {"pairs": "nowhere"}}}, r"\[data.a\]: nowhere: does not exist"),
        ({"data": {"a": {"pairs": "nowhere"}}, "run": {"device": "abacus"}}, "nowhere: does not exist"),
        ({"validation": {"pairs": "nowhere"}}, r"\[validation\]: nowhere: does not exist"),
        (
            {"loss": [{"kind": "l1"}, {"kind": "perceptual", "weights_file": "nowhere.pth"}]},
            r"\[\[loss\]\] 2: .*nowhere.pth",
        ),
        (
            {"adversarial": {**ADVERSARIAL, "discriminator": {"kind": "patchgan", "layers": 5}, "from_step": 4}},
            "needs images of at least 32 x 32 px, got 16 x 16",
        ),
    ],
)
def test_impossible_settings_are_reported_before_the_first_step(
    changes: dict[str, Any], message: str, tables: Tables, tmp_path: Path
) -> None:
    with pytest.raises(BlursynthError, match=message):
        run(tables(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_progress_is_reported_to_callers(tables: Tables, pairs: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    run(tables(validation={"pairs": str(pairs), **VALIDATION}, run={"log_every": 4}), tmp_path / "run",
        on_progress=told.append)  # fmt: skip
    assert [(p.step, p.validation is not None) for p in told] == [
        (0, True), (3, True), (4, False), (6, False), (6, True)
    ]  # fmt: skip
    assert {p.steps for p in told} == {6}
    report = told[2]
    assert set(report.losses) == {"charbonnier", "loss", "gradient_norm"}
    assert set(report.seconds) == {"data", "blur", "network"}
    assert report.images_per_s > 0
    schedule = load_configuration(tables()).schedule
    assert report.learning_rate == pytest.approx(3e-3 * schedule.at(3, 6))
    assert told[1].learning_rate == pytest.approx(3e-3 * schedule.at(2, 6))
    assert lines(tmp_path / "run", "training")[0]["charbonnier"] == report.losses["charbonnier"]


def test_events_for_tensorboard_are_written_when_wanted(tables: Tables, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tables(), tmp_path / "without")
    assert not (tmp_path / "without" / "events").exists()
    run(tables(run={"tensorboard": True}), tmp_path / "with")
    events = EventAccumulator(str(tmp_path / "with" / "events"))
    events.Reload()
    seen = events.Scalars("training/charbonnier")
    assert [e.step for e in seen] == [2, 4, 6]
    expected = [line["charbonnier"] for line in lines(tmp_path / "with", "training")]
    assert [e.value for e in seen] == pytest.approx(expected)


def test_two_stages_and_two_sorts_of_data(
    tables: Tables, pairs: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First photographs blurred on the fly, then those and real pairs, two to one."""
    seen: list[tuple[str, ...]] = []
    update = Learner.update

    def noted(self: Learner, parts: Any, step: int, factor: float) -> Any:
        seen.append(tuple("real" if draw is None else "made" for part in parts for draw in part.draws))
        return update(self, parts, step, factor)

    monkeypatch.setattr(Learner, "update", noted)
    made = tables(
        data={
            "made": {"photos": str(photos), "recipe": "clean", "share": 2.0},
            "real": {"pairs": str(pairs), "share": 1.0},
        },
        stage=[
            {"steps": 2, "patch_px": 16, "batch": 4, "data": ["made"]},
            {"steps": 10, "patch_px": 16, "batch": 6},
            {"steps": 2, "patch_px": 20, "batch": 3, "data": ["real"]},
        ],
    )
    assert run(made, tmp_path / "run").finished
    assert set(seen[0] + seen[1]) == {"made"}
    assert set(seen[-1] + seen[-2]) == {"real"}
    mixed = [sort for step in seen[2:12] for sort in step]
    assert abs(mixed.count("made") - 40) < 5 * np.sqrt(60 * 2 / 9)
    assert [line["stage"] for line in lines(tmp_path / "run", "training")] == [0, 1, 1, 1, 1, 1, 2]


def test_a_run_starts_from_the_weights_of_another(tables: Tables, tmp_path: Path) -> None:
    run(tables(), tmp_path / "first")
    start = tables(
        start_from=str(tmp_path / "first" / "last"),
        optimizer={"learning_rate": 1e-9},
        stage=[{"steps": 1, "patch_px": 16, "batch": 1}],
    )
    run(start, tmp_path / "second")
    average, present = (load_checkpoint(tmp_path / n / "last") for n in ("first", "second"))
    for name, value in average.part("average").items():
        assert torch.allclose(present.part("network")[name], value, atol=1e-7), name
    other = {**start, "network": {**start["network"], "width": 6}}
    with pytest.raises(DatasetError, match=r"a different nafnet than \[network\]: width 4 \(in \[network\] 6\)\. Use"):
        run(other, tmp_path / "third")
    other = {**start, "network": {"kind": "deblurgan", "size": "tiny"}}
    with pytest.raises(DatasetError, match=r"contains the network nafnet, but \[network\] is deblurgan\. Use the same"):
        run(other, tmp_path / "third")


def test_it_learns_one_pair_by_heart(tables: Tables, pairs: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    for half in ("blur", "sharp"):
        (one / half).mkdir(parents=True)
        (one / half / "0.png").write_bytes((pairs / half / "0.png").read_bytes())
    made = tables(
        network={"kind": "nafnet", "size": "tiny", "width": 8, "encoder_blocks": [1], "middle_blocks": 1,
                 "decoder_blocks": [1]},
        data={"one": {"pairs": str(one)}},
        stage=[{"steps": 250, "patch_px": 24, "batch": 1}],
        optimizer={"learning_rate": 1e-2, "clip_norm": 1.0},
        validation={"pairs": str(one), "count": 1, "every": 250, "pictures": 0},
        run={"augment": False, "checkpoint_every": 250, "log_every": 50},
    )  # fmt: skip
    result = run(made, tmp_path / "run")
    assert result.validation_results[-1][1].gain_db > 4


def test_another_seed_is_another_run(tables: Tables, tmp_path: Path) -> None:
    run(tables(), tmp_path / "one")
    run(tables(seed=4), tmp_path / "other")
    mine, theirs = state(tmp_path / "one"), state(tmp_path / "other")
    assert not torch.equal(mine["network.intro.weight"], theirs["network.intro.weight"])


def strict(text: str) -> Any:
    """JSON as the standard has it: no NaN, no Infinity."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_a_run_all_of_whose_steps_are_skipped_has_not_learnt(tables: Tables, tmp_path: Path) -> None:
    """Gradients of a weight of 1e6 overflow in fp16 at scales above 2^-4: twenty steps more than there are."""
    made = tables(loss=[{"kind": "l1", "weight": 1e6}], run={"precision": "fp16", "log_every": 1})
    with pytest.raises(TrainingError, match=r"All 6 steps were skipped because gradients overflowed in fp16"):
        run(made, tmp_path / "run")
    entries = [strict(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["skipped_steps"] for entry in entries] == [1, 2, 3, 4, 5]
    assert {entry["gradient_norm"] for entry in entries} == {None}
    assert strict((tmp_path / "run" / "last.json").read_text())["skipped"] == 3


def test_skipped_steps_are_counted_over_a_stop(tables: Tables, tmp_path: Path) -> None:
    """Gradients of a weight of 20 overflow in fp16 until the scale was halved a few times."""
    made = tables(loss=[{"kind": "l1", "weight": 20.0}], run={"precision": "fp16", "log_every": 4})
    whole = run(made, tmp_path / "whole")
    assert 0 < whole.skipped < 6
    run(made, tmp_path / "parts", stop_after=2)
    assert run(made, tmp_path / "parts").skipped == whole.skipped
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    entries = [strict(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert entries[-1]["skipped_steps"] == whole.skipped
    assert entries[-1]["gradient_norm"] > 0


def test_pictures_that_are_restored_exactly_are_no_infinity_in_the_log(
    tables: Tables, pairs: Path, tmp_path: Path
) -> None:
    for half in ("blur", "sharp"):  # pairs without blur
        shutil.copytree(pairs / "sharp", tmp_path / "same" / half)
    made = tables(validation={"pairs": str(tmp_path / "same"), **VALIDATION}, run={"checkpoint_every": 1})
    result = run(made, tmp_path / "run")
    looks = [strict(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [look["psnr_blurred"] for look in looks if look["kind"] == "validation"] == [None] * 3
    for name in ("last", "best"):
        strict((tmp_path / "run" / f"{name}.json").read_text())
    again = run(made, tmp_path / "run")
    assert again.best == result.best
    assert again.best is not None
    assert again.best.psnr_input == float("inf")


def test_between_two_reports_a_run_gives_signs_of_life(tables: Tables, tmp_path: Path) -> None:
    told: list[Progress] = []
    made = tables(run={"log_every": 5})
    run(made, tmp_path / "run", on_progress=told.append, progress_every_s=0.0)
    assert [progress.step for progress in told] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines(tmp_path / "run")] == [5, 6], "in the log only what was asked for"
    assert told[4].losses["charbonnier"] == lines(tmp_path / "run")[0]["charbonnier"]
    assert all(progress.losses["charbonnier"] > 0 and progress.images_per_s > 0 for progress in told)
    quiet: list[Progress] = []
    run(made, tmp_path / "quiet", on_progress=quiet.append)
    assert [progress.step for progress in quiet] == [5, 6]


@pytest.mark.parametrize("what", ["pairs", pytest.param("photos", marks=pytest.mark.slow)])
def test_a_run_resumes_with_moved_data(what: str, tables: Tables, pairs: Path, photos: Path, tmp_path: Path) -> None:
    def made(place: Path) -> dict[str, Any]:
        data = {"pairs": str(place)} if what == "pairs" else {"photos": str(place), "recipe": "clean"}
        held = {"pairs": str(place)} if what == "pairs" else {"photos": str(place), "recipe": "clean"}
        return tables(data={"given": data}, validation={**held, **VALIDATION},
                      stage=[{"steps": 4, "patch_px": 16, "batch": 2}])  # fmt: skip

    here, there, other = (tmp_path / name for name in ("here", "there", "other"))
    shutil.copytree(pairs if what == "pairs" else photos, here)
    shutil.copytree(here, other)
    picture = sorted(other.rglob("*.png"))[0]
    height, width, _ = read_pixels(picture).shape
    write_picture(picture, np.zeros((3, height, width), np.float32))
    run(made(here), tmp_path / "whole")
    run(made(here), tmp_path / "parts", stop_after=2)
    here.rename(there)
    with pytest.raises(DatasetError, match=r"the data of \[data.given\] has changed .*data.given.* \(now .*other"):
        run(made(other), tmp_path / "parts")
    assert run(made(there), tmp_path / "parts").finished
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert run(made(there), tmp_path / "whole").start_step == 4
    with pytest.raises(DatasetError, match="has changed since the run was started"):
        run(made(other), tmp_path / "whole")


def test_fp16_works_on_the_cpu_too(tables: Tables, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert run(tables(run={"precision": "fp16"}), tmp_path / "whole").finished
    assert all(t.isfinite().all() for t in state(tmp_path / "whole").values())
    run(tables(run={"precision": "fp16"}), tmp_path / "parts", stop_after=3)
    run(tables(run={"precision": "fp16"}), tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_compiled_it_computes_the_same(tables: Tables, tmp_path: Path) -> None:
    """Fused sums round otherwise: after six steps of at most 3e-3 each weights differ by far less than a step."""
    run(tables(), tmp_path / "plain")
    run(tables(run={"compile": True}), tmp_path / "compiled")
    mine, theirs = state(tmp_path / "plain"), state(tmp_path / "compiled")
    assert mine.keys() == theirs.keys()
    for name in mine:
        if name.startswith("network."):
            assert torch.allclose(mine[name], theirs[name], atol=1e-3), name


@pytest.mark.slow
def test_interrupts_of_a_terminal_leave_the_readers_alone(tables: Tables, tmp_path: Path) -> None:
    """Ctrl-C reaches the processes that read ahead as well; the run still ends its step and writes a checkpoint."""
    import tomli_w

    made = tables(stage=[{"steps": 100_000, "patch_px": 16, "batch": 1}],
                  run={"checkpoint_every": 10**6, "workers": 2})  # fmt: skip
    file = tmp_path / "run.toml"
    file.write_text(tomli_w.dumps(made))
    command = [sys.executable, "-m", "deblur_models", "train", str(file), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    log = tmp_path / "run" / "log.jsonl"
    for _ in range(2400):
        if log.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 130, messages
    assert load_checkpoint(tmp_path / "run" / "last").manifest["step"] > 0
