"""Configurations: what a file says, what changes change, and that mistakes are told before any work."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from hypothesis import given
from hypothesis import strategies as st

from blursynth.errors import InvalidValueError
from deblur_models.config.configuration import (
    Configuration,
    ConfigurationError,
    DataTable,
    Optimizer,
    Run,
    Schedule,
    Stage,
    Validation,
    configuration_names,
    load_configuration,
)
from deblur_models.networks import discriminator_config

SMALL: dict[str, Any] = {
    "network": {"kind": "nafnet", "size": "tiny"},
    "loss": [{"kind": "charbonnier"}],
    "data": {"a": {"photos": "photos"}},
    "stage": [{"steps": 10, "patch_px": 64, "batch": 4}],
}

EVERYTHING: dict[str, Any] = {
    "summary": "all of it",
    "seed": 7,
    "start_from": "runs/a/best",
    "network": {"kind": "hinet", "size": "tiny"},
    "loss": [
        {"kind": "psnr", "weight": 0.5},
        {"kind": "fft_l1", "weight": 0.1},
        {"kind": "perceptual", "weights_file": "vgg19.pth"},
    ],
    "data": {
        "a": {"photos": ["one", "bundled:training"], "recipe": "clean", "downscale": 2, "depth": "maps", "share": 2.0,
              "on_device": False, "reuse": 3, "seed": 5},
        "b": {"pairs": "real/blur", "sharp": "real/gt", "share": 1},
    },
    "stage": [
        {"steps": 10, "patch_px": 64, "batch": 4, "data": ["a"]},
        {"steps": 5, "patch_px": 96, "batch": 6, "accumulate": 3, "learning_rate_factor": 0.1},
    ],
    "validation": {"pairs": "held", "sharp": "held/gt", "count": 3, "every": 7},
    "optimizer": {"kind": "adam", "learning_rate": 1, "betas": [0.5, 0.999], "weight_decay": 1e-3, "clip_norm": 1},
    "schedule": {"kind": "steps", "warmup_steps": 3, "milestones": [0.25, 0.5]},
    "run": {"augment": False, "precision": "bf16", "workers": 2, "frozen_encoder_steps": 4},
    "reblur": {"weight": 0.1, "form": "charbonnier"},
    "adversarial": {
        "loss": {"kind": "ragan_ls", "weight": 0.01},
        "discriminator": {"kind": "double_patchgan", "size": "tiny"},
        "steps": 2,
        "learning_rate": 2e-4,
        "from_step": 5,
    },
}  # fmt: skip


def changed(**changes: Any) -> Configuration:
    return load_configuration(SMALL, {k.replace("__", "."): v for k, v in changes.items()})


def test_everything_that_is_written_is_read() -> None:
    made = load_configuration(EVERYTHING)
    assert made.network.kind == "hinet"
    assert [(loss.kind, loss.weight) for loss in made.loss] == [("psnr", 0.5), ("fft_l1", 0.1), ("perceptual", 1.0)]
    assert made.data["a"] == DataTable(
        photos=("one", "bundled:training"), recipe="clean", downscale=2, depth="maps", share=2.0, on_device=False,
        reuse=3, seed=5,
    )  # fmt: skip
    assert made.data["b"] == DataTable(pairs="real/blur", sharp="real/gt")
    assert made.stage[1] == Stage(steps=5, patch_px=96, batch=6, accumulate=3, learning_rate_factor=0.1)
    assert made.validation == Validation(pairs="held", sharp="held/gt", count=3, every=7)
    assert made.optimizer == Optimizer(
        kind="adam", learning_rate=1.0, betas=(0.5, 0.999), weight_decay=1e-3, clip_norm=1.0
    )
    assert made.schedule == Schedule(kind="steps", warmup_steps=3, milestones=(0.25, 0.5))
    assert made.run == Run(augment=False, precision="bf16", workers=2, frozen_encoder_steps=4)
    assert made.reblur is not None
    assert (made.reblur.weight, made.reblur.form) == (0.1, "charbonnier")
    assert made.adversarial is not None
    assert made.adversarial.loss.kind == "ragan_ls"
    assert made.adversarial.discriminator.kind == "double_patchgan"
    assert (made.adversarial.steps, made.adversarial.learning_rate, made.adversarial.from_step) == (2, 2e-4, 5)
    assert (made.summary, made.seed, made.start_from, made.steps) == ("all of it", 7, "runs/a/best", 15)


AUGMENTED = {k: v for k, v in EVERYTHING.items() if k != "reblur"} | {
    "augmentation": {"geometric": 0.25, "jpeg_quality": [60, 80], "gamma": [0.5, 2]}
}


@pytest.mark.parametrize("tables", [SMALL, EVERYTHING, AUGMENTED], ids=["small", "everything", "augmented"])
def test_what_is_written_back_is_read_as_the_same(tables: Mapping[str, Any], tmp_path: Path) -> None:
    made = load_configuration(tables)
    assert load_configuration(made.to_dict()) == made
    assert load_configuration(json.loads(json.dumps(made.to_dict()))) == made
    (tmp_path / "run.toml").write_text(tomli_w.dumps(made.to_dict()))
    assert load_configuration(tmp_path / "run.toml") == made
    assert made.differences(json.loads(json.dumps(made.to_dict()))) == []


@pytest.mark.parametrize("name", configuration_names())
def test_every_configuration_that_ships_reads(name: str) -> None:
    made = load_configuration(name)
    assert made.summary
    assert made.steps > 0
    assert made.validation is not None
    assert load_configuration(made.to_dict()) == made


def test_there_are_configurations() -> None:
    assert "small" in configuration_names()


@given(
    steps=st.lists(st.integers(1, 50), min_size=1, max_size=4),
    batches=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    at=st.floats(0, 1, exclude_max=True),
)
def test_stages_follow_each_other(steps: list[int], batches: list[int], at: float) -> None:
    made = changed(stage=[{"steps": s, "patch_px": 16, "batch": b} for s, b in zip(steps, batches, strict=False)])
    assert made.steps == sum(steps)
    step = int(at * made.steps)
    number, first, sample = made.stage_at(step)
    assert first == sum(steps[:number]) <= step < first + steps[number]
    assert sample == sum(s * b for s, b in zip(steps[:number], batches, strict=False))
    with pytest.raises(InvalidValueError, match=f"there is no step {made.steps}"):
        made.stage_at(made.steps)


# Schedules

PLACES = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n)))


@given(PLACES, st.floats(0, 0.95), st.floats(0, 1))
def test_cosine(place: tuple[int, int], hold: float, final: float) -> None:
    step, steps = place
    falling = max(0.0, (step / steps - hold) / (1 - hold))
    expected = final + (1 - final) * (1 + math.cos(math.pi * falling)) / 2
    assert Schedule(kind="cosine", hold=hold, final_factor=final).at(step, steps) == pytest.approx(expected)


@given(PLACES, st.floats(0, 0.95), st.floats(0, 1))
def test_linear(place: tuple[int, int], hold: float, final: float) -> None:
    step, steps = place
    falling = max(0.0, (step / steps - hold) / (1 - hold))
    expected = 1 - (1 - final) * falling
    assert Schedule(kind="linear", hold=hold, final_factor=final).at(step, steps) == pytest.approx(expected)


@given(PLACES, st.integers(0, 100))
def test_warming_up(place: tuple[int, int], warmup: int) -> None:
    step, steps = place
    factor = Schedule(kind="constant", warmup_steps=warmup).at(step, steps)
    assert factor == pytest.approx(min(1.0, (step + 1) / (warmup + 1)))
    assert 0 < factor <= 1


@given(PLACES, st.lists(st.floats(0, 1), max_size=4), st.floats(0.1, 1))
def test_steps(place: tuple[int, int], milestones: list[float], factor: float) -> None:
    step, steps = place
    passed = sum(step / steps >= m for m in milestones)
    made = Schedule(kind="steps", milestones=tuple(milestones), factor=factor)
    assert made.at(step, steps) == pytest.approx(factor**passed)


@given(st.sampled_from(["constant", "cosine", "linear", "steps"]), st.integers(2, 2000))
def test_a_schedule_never_rises_after_warming_up(kind: Any, steps: int) -> None:
    curve = [Schedule(kind=kind).at(step, steps) for step in range(0, steps, max(1, steps // 50))]
    assert curve[0] == 1.0
    assert all(later <= earlier for earlier, later in itertools.pairwise(curve))
    assert min(curve) >= 1e-3


# Files and changes


def test_a_file_extends_another(tmp_path: Path) -> None:
    (tmp_path / "below.toml").write_text(tomli_w.dumps(SMALL | {"optimizer": {"learning_rate": 0.1, "clip_norm": 2.0}}))
    (tmp_path / "above.toml").write_text(
        'extends = "below.toml"\nseed = 4\n[optimizer]\nlearning_rate = 0.2\n[data.b]\npairs = "x"\n'
        '[[stage]]\nsteps = 3\npatch_px = 32\nbatch = 2\n[network]\nkind = "hinet"\nsize = "tiny"\n'
    )
    made = load_configuration(tmp_path / "above.toml")
    assert (made.seed, made.optimizer.learning_rate, made.optimizer.clip_norm) == (4, 0.2, 2.0)
    assert set(made.data) == {"a", "b"}
    assert [s.steps for s in made.stage] == [3], "arrays replace"
    assert made.network.kind == "hinet", "tables of another kind replace"
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "top.toml").write_text('extends = "../above.toml"\nseed = 5\n')
    assert load_configuration(tmp_path / "deep" / "top.toml").seed == 5
    (tmp_path / "curve.toml").write_text('extends = "below.toml"\n[optimizer]\nkind = "adam"\n')
    curve = load_configuration(tmp_path / "curve.toml").optimizer
    assert (curve.kind, curve.clip_norm) == ("adam", 2.0), "all kinds of optimizers have the same fields"
    (tmp_path / "shipped.toml").write_text('extends = "small"\nseed = 9\n')
    assert load_configuration(tmp_path / "shipped.toml").stage == load_configuration("small").stage


def test_files_that_extend_in_a_circle_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    (tmp_path / "c.toml").write_text("extends = 3\n")
    (tmp_path / "d.toml").write_text('extends = "nowhere.toml"\n')
    for name, message in (
        ("a", "configurations extend each other in a circle"),
        ("c", "must be a name or a path, got 3"),
        ("d", "cannot be read"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            load_configuration(tmp_path / f"{name}.toml")


def test_files_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("a = = 3")
    with pytest.raises(ConfigurationError, match=r"bad.toml: is not valid TOML"):
        load_configuration(tmp_path / "bad.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"bytes.toml: is not a text file in UTF-8"):
        load_configuration(tmp_path / "bytes.toml")
    with pytest.raises(ConfigurationError, match=r"There is no configuration 'smal'.*'small'"):
        load_configuration("smal")
    with pytest.raises(ConfigurationError, match=r"none.toml: cannot be read"):
        load_configuration(tmp_path / "none.toml")


def test_a_missing_file_with_the_name_of_one_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigurationError, match=r"small.toml: there is no such file. Did you mean the built-in configuration 'small'"
    ):
        load_configuration("small.toml")
    with pytest.raises(
        ConfigurationError, match=r"other.toml: cannot be read \(No such file or directory\)\. Check the path\.$"
    ):
        load_configuration("other.toml")


def test_another_kind_of_network_replaces_its_table() -> None:
    made = load_configuration("small", {"network.kind": "nafnet"})
    assert made.network == load_configuration(SMALL, {"network": {"kind": "nafnet"}}).network
    for changes in ({"network.width": 8, "network.kind": "nafnet"}, {"network.kind": "nafnet", "network.width": 8}):
        assert load_configuration("small", changes).network.fields()["width"] == 8
    same = load_configuration("small", {"network.kind": "drunet"})
    assert same.network == load_configuration("small").network
    other = load_configuration(
        EVERYTHING, {"adversarial.discriminator.kind": "patchgan", "schedule.kind": "cosine", "optimizer.kind": "adamw"}
    )
    assert other.adversarial is not None
    assert other.adversarial.discriminator == discriminator_config({"kind": "patchgan"})
    assert other.schedule.warmup_steps == 3, "kinds of schedules share their fields"
    assert other.optimizer.learning_rate == 1.0


def test_changes_by_dotted_names() -> None:
    before = json.dumps(SMALL)
    made = changed(
        optimizer__learning_rate=0.5, stage__0__steps=3, network__width=8, run__device="cpu", seed=3, data__a__seed=4,
        loss__0__weight=2, validation={"photos": "x"}, schedule__milestones=[0.1],
    )  # fmt: skip
    assert (made.optimizer.learning_rate, made.stage[0].steps, made.stage[0].batch) == (0.5, 3, 4)
    assert made.network.fields()["width"] == 8
    assert (made.run.device, made.seed, made.data["a"].seed, made.loss[0].weight) == ("cpu", 3, 4, 2)
    assert made.validation == Validation(photos="x")
    assert made.schedule.milestones == (0.1,)
    assert load_configuration(EVERYTHING, {"validation": None, "adversarial": None}).adversarial is None
    two = load_configuration(EVERYTHING, {"stage.1": None, "optimizer.betas.0": 0.7})
    assert len(two.stage) == 1
    assert two.optimizer.betas == (0.7, 0.999)
    assert json.dumps(SMALL) == before, "given tables stay as they are"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser.learning_rate": 1}, r"has no field 'optimiser'. Did you mean 'optimizer'\?"),
        ({"optimizer.learning_rat": 1}, r"\[optimizer\]: has no field 'learning_rat'. Did you mean"),
        ({"optimizer.learning_rate": "fast"}, r"\[optimizer\].*learning_rate must be a number, got 'fast'"),
        ({"optimizer.learning_rate": True}, r"learning_rate must be a number, got True"),
        (
            {"optimizer.learning_rate": 0},
            r"learning_rate must be > 0.0, got 0. It is the learning rate at the start",
        ),
        ({"optimizer.betas": [0.5]}, r"\[optimizer\].*betas"),
        ({"optimizer.kind": "sgd"}, r"kind must be 'adamw' or 'adam', got 'sgd'"),
        ({"optimizer": 3}, r"configuration: optimizer must be a table, got 3"),
        ({"stage.0.steps": 1.5}, r"\[\[stage\]\] 1: steps must be an integer, got 1.5"),
        ({"stage.0.steps": 0}, r"steps must be >= 1, got 0"),
        ({"stage.0.data": ["a", "bb"]}, r"\[\[stage\]\] 1: there is no \[data.bb\]"),
        ({"stage.0.accumulate": 3}, r"batch 4 cannot be split into 3 equal parts"),
        (
            {"stage.1.steps": 3},
            r"'stage.1.steps' refers to entry '1' of an array with 1. Entries are counted from 0 to 0",
        ),
        ({"stage.steps": 3}, r"'stage.steps' refers to entry 'steps' of an array with 1.*as in stage.0.steps"),
        (
            {"stage": {"steps": 3}},
            r"stage must be an array of tables, got one table. Write \[\[stage\]\] with double brackets",
        ),
        ({"seed.x": 3, "seed": 1}, None),
        ({"optimizer.kind": "adam", "optimizer.kind.x": 3}, r"refers to a part of kind = 'adam', which has no parts"),
        ({"data": [{"photos": "x"}]}, r"data must be a table, got "),
        (
            {"data": {"photos": "x"}},
            r"data.photos must be a table, got 'x'. It is the training data: tables, each with a name, \[data.anyname\]",
        ),
        ({"data.a.pairs": "x"}, r"\[data.a\]: needs either photos \(blurred on the fly\) or pairs, got both"),
        ({"data.a.photos": None}, r"\[data.a\]: needs either photos .* got neither"),
        ({"data.a.sharp": "x"}, r"\[data.a\]: sharp = 'x' requires pairs. Leave it out"),
        ({"data.b": {"pairs": "x", "downscale": 2}}, r"\[data.b\]: downscale = 2 requires photos"),
        ({"data.b": {"pairs": "x", "min_detail": 5.0}}, r"\[data.b\]: min_detail = 5.0 requires photos"),
        ({"data.b": {"pairs": "x", "recipe": "clean"}}, r"recipe = 'clean' requires photos"),
        ({"data.a.share": 0}, r"share must be > 0"),
        ({"data": None}, r"needs data \(training data"),
        ({"network": None}, r"configuration: needs network \(network to train\)"),
        ({"stage": []}, r"stage must have at least 1 entries, got none"),
        ({"loss": None}, r"needs loss \(losses to minimize\)"),
        ({"network.kind": "nafnett"}, r"\[network\]: There is no network 'nafnett'. Did you mean 'nafnet'\?"),
        ({"network.size": "huge"}, r"\[network\]: nafnet has no size 'huge'"),
        ({"network.widht": 8}, r"\[network\]: has no field 'widht'. Did you mean 'width'\?"),
        ({"network": "nafnet"}, r"network: A network must be a table with its kind, got 'nafnet'"),
        ({"loss.0.kind": "charbonier"}, r"\[\[loss\]\] 1: There is no loss 'charbonier'. Did you mean 'charbonnier'\?"),
        ({"loss.0.kind": None}, r"\[\[loss\]\] 1: needs a kind"),
        ({"validation": {"count": 3}}, r"\[validation\]: needs either photos"),
        ({"validation": {"photos": "x", "sharp": "y"}}, r"\[validation\]: sharp = 'y' requires pairs"),
        ({"seed": -1}, r"seed must be >= 0, got -1"),
        ({"seed": True}, r"seed must be an integer"),
        ({"start_from": 5}, r"start_from must be a string, got 5"),
        ({"summary": 5}, r"summary must be a string, got 5"),
        ({"reblur": {"weight": 0.1}}, r"\[reblur\]: .*Set augment = false in \[run\]"),
        (
            {"reblur": {"weight": 0.1}, "run.augment": False, "augmentation": {}},
            r"\[reblur\]: .* does not fit pictures that \[augmentation\] moved and corrupted. Leave one of the two",
        ),
        ({"augmentation": {"gamma": [2, 1]}}, r"\[augmentation\]: gamma must be two numbers"),
        ({"augmentation": {"blur": 2}}, r"\[augmentation\]: has no field 'blur'"),
        ({"augmentation": 3}, r"augmentation must be a table, got 3"),
        ({"adversarial": 3}, r"adversarial must be a table, got 3"),
        ({"adversarial.losss": {}}, r"\[adversarial\]: .*has no field 'losss'. Did you mean 'loss'\?"),
        ({"adversarial.loss": {"kind": "lsgan"}}, r"\[adversarial\]: needs discriminator"),
        (
            {"adversarial": {"loss": {"kind": "l1"}, "discriminator": {"kind": "patchgan"}}},
            r"\[adversarial\] \[loss\]: There is no adversarial loss 'l1'",
        ),
        (
            {"adversarial": {"loss": {"kind": "lsgan"}, "discriminator": {"kind": "patchgan"}, "steps": 0}},
            r"\[adversarial\].*steps must be >= 1, got 0",
        ),
        ({"extends": "small"}, r"has no field 'extends'"),
        ({"run.precision": "fp8"}, r"\[run\].*precision must be"),
        ({"schedule.hold": 1}, r"hold must be < 1"),
    ],
)
def test_mistakes_are_reported(changes: dict[str, Any], message: str | None) -> None:
    if message is None:
        assert load_configuration(SMALL, {"seed": 1}).seed == 1
        message = r"refers to a part of seed = 1"
        changes = {"seed": 1, "seed.x": 3}
    with pytest.raises(ConfigurationError, match=message):
        load_configuration(SMALL, changes)


def test_differences_name_what_is_learned_and_not_how_it_is_computed() -> None:
    made = load_configuration(SMALL)
    free = load_configuration(
        SMALL,
        {"summary": "x", "run": {"device": "cpu", "workers": 3, "threads": 2, "log_every": 1, "checkpoint_every": 5,
                                 "compile": True, "channels_last": True, "tensorboard": True, "parallel": "fsdp"}},
    )  # fmt: skip
    assert made.differences(free.to_dict()) == []
    other = load_configuration(
        SMALL, {"run.ema_decay": 0.5, "stage.0.batch": 8, "data.a.seed": 4, "loss.0.kind": "l1", "validation": None}
    )
    assert other.differences(made.to_dict()) == [
        "data.a.seed absent (now 4)",
        "loss.0.epsilon 0.001 (now absent)",
        "loss.0.kind charbonnier (now l1)",
        "run.ema_decay 0.999 (now 0.5)",
        "stage.0.batch 4 (now 8)",
    ]


def test_spellings_of_a_path_and_the_validation_interval_are_no_difference() -> None:
    tables = {**EVERYTHING, "validation": {"photos": "held", "every": 5, "pictures": 1}}
    before = load_configuration(tables).to_dict()
    same = load_configuration(
        tables,
        {"validation": {"photos": "./held/", "every": 6, "pictures": 2}, "data.b.pairs": "real/blur/",
         "data.a.photos": ["./one", "bundled:training"], "start_from": str(Path("runs/a/best").resolve())},
    )  # fmt: skip
    assert same.differences(before) == []
    other = load_configuration(tables, {"validation.photos": "held2", "data.a.photos": ["one"], "start_from": "b"})
    assert len(other.differences(before)) == 1
    assert [told.split()[0] for told in other.moved(before)] == ["data.a.photos", "validation.photos"]
    assert same.moved(before) == []


def test_a_run_of_another_length_keeps_its_shape() -> None:
    """Rates at the same fractions of the run, and stages that end at them."""
    tables = {**SMALL, "stage": [{"steps": n, "patch_px": 16, "batch": 4} for n in (600, 300, 100)],
              "schedule": {"kind": "cosine", "warmup_steps": 50}}  # fmt: skip
    whole = load_configuration(tables)
    for steps in (100, 333, 5000):
        made = whole.of_length(steps)
        assert made.steps == steps
        ends = [sum(stage.steps for stage in made.stage[: i + 1]) for i in range(3)]
        assert ends == [round(steps * share) for share in (0.6, 0.9, 1.0)]
        assert made.schedule.warmup_steps == round(50 * steps / 1000)
        for place in (0.2, 0.5, 0.9):
            there = made.schedule.at(round(place * steps), steps)
            assert there == pytest.approx(whole.schedule.at(round(place * 1000), 1000), rel=0.02)
    assert whole.of_length(1000) == whole
    assert [stage.steps for stage in whole.of_length(3).stage] == [1, 1, 1]
    with pytest.raises(InvalidValueError, match="A run of 3 stages needs at least as many steps, got 2"):
        whole.of_length(2)


def test_the_discriminator_may_have_an_optimizer_of_its_own() -> None:
    from deblur_models.train.learner import Learner
    from deblur_models.train.processes import Processes

    both = {"loss": {"kind": "lsgan"}, "discriminator": {"kind": "patchgan", "size": "tiny"}}
    tables = {**SMALL, "stage": [{"steps": 1, "patch_px": 32, "batch": 1}], "adversarial": both,
              "optimizer": {"betas": [0.9, 0.95], "weight_decay": 0.1}}  # fmt: skip
    for own, wanted in (({}, ((0.9, 0.95), 0.1)), ({"betas": [0.5, 0.99], "weight_decay": 0.0}, ((0.5, 0.99), 0.0))):
        made = load_configuration({**tables, "adversarial": {**both, **own}})
        assert load_configuration(made.to_dict()).to_dict() == made.to_dict()
        optimizer = Learner(made, Processes(0, 1, torch.device("cpu"))).discriminator_optimizer
        assert optimizer is not None
        assert (optimizer.defaults["betas"], optimizer.defaults["weight_decay"]) == wanted


def test_held_out_pairs_say_where_they_come_from() -> None:
    assert Validation(photos="bundled:held-out", recipe="mixed").origin == "bundled:held-out with mixed"
    assert Validation(photos=("a", "b"), recipe="clean").origin == "a, b with clean"
    assert Validation(pairs="held/blur", sharp="held/gt").origin == "held/blur"
