"""Learning from a teacher: its losses, the layers that are compared, what is kept, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blursynth.errors import BlursynthError, DatasetError, InvalidValueError
from deblur_models.checkpoints.checkpoint import load_checkpoint, load_network, save_network
from deblur_models.config.configuration import ConfigurationError, load_configuration
from deblur_models.data import Batch
from deblur_models.losses import L2
from deblur_models.networks import ALL, NetworkConfig, create_network, trainable_config
from deblur_models.train import check, train
from deblur_models.train.distillation import Distillation
from deblur_models.train.learner import Learner
from deblur_models.train.processes import Processes

Tables = Callable[..., dict[str, Any]]
ALONE = Processes(0, 1, torch.device("cpu"))
WIDER = {"width": 6, "encoder_blocks": [1], "middle_blocks": 2, "decoder_blocks": [1]}
GENTLE = {"learning_rate": 1e-3, "epsilon": 1.0}  # steps that follow the gradient


def save_teacher(path: Path, seed: int = 5, **fields: Any) -> Path:
    torch.manual_seed(seed)
    network = create_network("nafnet", size="tiny", **(WIDER | fields))
    for weight in network.parameters():  # blocks of NAFNet begin as the identity
        nn.init.normal_(weight, 0.0, 0.2)
    save_network(network, path)
    return path


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    return save_teacher(tmp_path / "teacher")


def table(path: Path, **more: Any) -> dict[str, Any]:
    return {"network": str(path), "loss": [{"kind": "l2", "weight": 3.0}], **more}


def batch(count: int = 4) -> Batch:
    sharp, noise = torch.rand((2, count, 3, 16, 16), generator=torch.Generator().manual_seed(count))
    return Batch(sharp, 0.8 * sharp + 0.2 * noise, (None,) * count, (None,) * count, ("x",) * count)


def learner(tables: dict[str, Any]) -> Learner:
    return Learner(load_configuration(tables), ALONE)


def map_of(network: nn.Module, layer: str, pictures: Tensor) -> Tensor:
    found: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda *call: found.append(call[2]))
    network(pictures)
    handle.remove()
    return found[-1]


def test_every_loss_is_that_of_its_equation_with_its_weight(tables: Tables, teacher: Path) -> None:
    asked = table(
        teacher, features_weight=0.5, attention_weight=0.25, layers=["middle_blks"], teacher_layers=["middle_blks.1"]
    )
    made = learner(tables(teacher=asked))
    mine, theirs, pictures = made.best(), load_network(teacher), batch()
    assert made.distillation is not None
    (regressor,) = made.distillation.regressors
    with torch.no_grad():
        output = (mine(pictures.blurred) - theirs(pictures.blurred)).square().mean()
        s, t = map_of(mine, "middle_blks", pictures.blurred), map_of(theirs, "middle_blks.1", pictures.blurred)
        features = ((regressor(s) - t).square().sum((1, 2, 3)) / t.square().sum((1, 2, 3))).mean()
        flat = [m.square().sum(1).flatten(1) for m in (s, t)]
        cosine = torch.nn.functional.cosine_similarity(*flat, dim=1)
    alone = learner(tables()).update([pictures], 0, 1.0)["loss"].item()
    values = made.update([pictures], 0, 1.0)
    assert values["teacher_l2"].item() == pytest.approx(output.item(), rel=1e-5)
    assert values["teacher_features"].item() == pytest.approx(features.item(), rel=1e-5)
    attention = (2 - 2 * cosine).mean().item()
    assert values["teacher_attention"].item() == pytest.approx(attention, rel=1e-4)
    wanted = alone + 3 * output.item() + 0.5 * features.item() + 0.25 * attention
    assert values["loss"].item() == pytest.approx(wanted, rel=1e-5)
    assert (s.shape[1], t.shape[1]) == (8, 12), "the regressor has work to do"


def test_parts_that_accumulate_are_the_whole(tables: Tables, teacher: Path) -> None:
    made = [
        learner(
            tables(
                optimizer=GENTLE,
                teacher=table(teacher, features_weight=0.5, attention_weight=0.5),
                stage=[{"steps": 6, "patch_px": 16, "batch": 4, "accumulate": parts}],
            )
        )
        for parts in (1, 2)
    ]
    whole = batch()
    halves = [
        Batch(whole.sharp[i : i + 2], whole.blurred[i : i + 2], (None,) * 2, (None,) * 2, ("x",) * 2) for i in (0, 2)
    ]
    made[0].update([whole], 0, 1.0)
    made[1].update(halves, 0, 1.0)
    one, other = (each.tensors() for each in made)
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-6)


def test_the_regressor_learns_at_the_rate_of_the_network(tables: Tables, teacher: Path) -> None:
    made = learner(tables(teacher=table(teacher, features_weight=1.0), optimizer={"learning_rate": 1e-2}))
    assert made.distillation is not None
    before = [weight.clone() for weight in made.distillation.regressors.parameters()]
    made.update([batch()], 0, 0.5)
    for weight, old in zip(made.distillation.regressors.parameters(), before, strict=True):
        step = (weight - old).abs().max().item()
        assert step == pytest.approx(5e-3, rel=1e-2), "Adam's first step is the learning rate"


def test_layers_of_equal_channels_are_compared_as_they_are(tables: Tables, tmp_path: Path) -> None:
    same = save_teacher(tmp_path / "same", width=4)
    made = learner(tables(teacher=table(same, features_weight=1.0)))
    assert made.distillation is not None
    assert not list(made.distillation.regressors.parameters())
    assert not [name for name in made.tensors() if name.startswith("regressor")]


def test_the_teacher_is_frozen_and_no_part_of_the_checkpoint(tables: Tables, teacher: Path, tmp_path: Path) -> None:
    made = learner(tables(teacher=table(teacher, features_weight=1.0)))
    assert made.distillation is not None
    of_teacher = made.distillation.teacher
    assert not of_teacher.training
    assert not any(weight.requires_grad for weight in of_teacher.parameters())
    for step in range(2):
        made.update([batch()], step, 1.0)
    file = load_checkpoint(teacher)
    assert all(torch.equal(value, file.part("network")[name]) for name, value in of_teacher.state_dict().items())
    wanted = {"network", "average", "optimizer", "regressors", "regressor_optimizer"}
    assert {name.split(".")[0] for name in made.tensors()} == wanted
    assert made.manifest()["teacher_sha256"] == file.manifest["sha256"]


def test_the_average_of_a_student_is_not_watched(tables: Tables, teacher: Path) -> None:
    made = learner(tables(teacher=table(teacher, features_weight=1.0)))
    assert made.average is not None
    assert made.distillation is not None
    made.average(batch().blurred)
    assert not made.distillation._of_student
    made.network(batch().blurred)
    assert made.distillation._of_student


def test_a_resumed_run_refuses_another_teacher_and_takes_a_moved_one(tables: Tables, tmp_path: Path) -> None:
    first, other = save_teacher(tmp_path / "first"), save_teacher(tmp_path / "other", seed=6)
    asked = {"stage": [{"steps": 2, "patch_px": 16, "batch": 2}], "run": {"checkpoint_every": 1}}
    train(load_configuration(tables(**asked, teacher=table(first))), tmp_path / "run")
    for suffix in (".json", ".safetensors"):
        (tmp_path / "run" / f"previous{suffix}").replace(tmp_path / "run" / f"last{suffix}")
        shutil.copy(first.with_suffix(suffix), tmp_path / f"moved{suffix}")
    with pytest.raises(DatasetError, match=r"teacher .*other has other weights than the one the run was started with"):
        train(load_configuration(tables(**asked, teacher=table(other))), tmp_path / "run")
    result = train(load_configuration(tables(**asked, teacher=table(tmp_path / "moved"))), tmp_path / "run")
    assert (result.start_step, result.step) == (1, 2)
    other_weight = {**table(first), "loss": [{"kind": "l2", "weight": 4.0}]}
    with pytest.raises(DatasetError, match=r"teacher\.loss\.0\.weight 3\.0 \(now 4\.0\)"):
        train(load_configuration(tables(**asked, teacher=other_weight)), tmp_path / "run")


def test_losses_of_every_scale_compare_the_teachers_picture_at_each(tables: Tables, teacher: Path) -> None:
    made = learner(tables(network={"kind": "mimo_unet", "size": "tiny"}, teacher=table(teacher)))
    pictures = batch()
    with torch.no_grad():
        outputs = made.best()(pictures.blurred, every_scale=True)
        targets = made.best().targets(load_network(teacher)(pictures.blurred))
        wanted = sum(L2()(o, t).item() for o, t in zip(outputs, targets, strict=True))
    assert len(outputs) == 3
    assert made.update([pictures], 0, 1.0)["teacher_l2"].item() == pytest.approx(wanted, rel=1e-5)


def test_a_teacher_of_another_range_is_asked_in_pictures(tables: Tables, tmp_path: Path) -> None:
    network = create_network("deepdeblur", size="tiny")
    assert network.config.value_range == "centered_bytes"
    save_network(network, tmp_path / "bytes")
    made, pictures = learner(tables(teacher=table(tmp_path / "bytes"))), batch()
    with torch.no_grad():
        wanted = (made.best()(pictures.blurred) - network.eval()(pictures.blurred)).square().mean().item()
    assert wanted < 10
    assert made.update([pictures], 0, 1.0)["teacher_l2"].item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.kind)
def test_every_network_has_a_layer_to_compare(config: type[NetworkConfig]) -> None:
    """The coarsest maps, and no picture."""
    network = config.of_size("tiny").build()
    settings = load_teacher_settings(features_weight=1.0)
    made = Distillation(settings, config.of_size("tiny").build(), "", network, [network.config.multiple_px * 4])
    ((mine, theirs),) = made.pairs
    assert mine == theirs
    assert network.training, "and it trains on"
    side = 4 * max(network.config.multiple_px, 8)
    with torch.no_grad():
        features = map_of(network.eval(), mine, torch.rand(1, 3, side, side))
    assert features.shape[1] > 3
    assert features.shape[-1] <= side


def load_teacher_settings(**fields: Any) -> Any:
    from deblur_models.config.configuration import Teacher

    return Teacher(network="x", **fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ["midle_blks"]}, r"student \(nafnet\) has no layer 'midle_blks'.*Did you mean 'middle_blks'"),
        (
            {"layers": ["middle_blks"], "teacher_layers": ["middle_blk.1"]},
            r"\[teacher\].*teacher \(nafnet\) has no layer 'middle_blk\.1'.*Did you mean 'middle_blks\.1'",
        ),
        ({"layers": ["middle_blks.0.sca"]}, r"middle_blks\.0\.sca of the student \(nafnet\) gives no map"),
        (
            {"layers": ["middle_blks"], "teacher_layers": ["ending"]},
            r"maps of 64 x 96 for 128 x 192 px, but the teacher's ending of 128 x 192.*same size: .*middle_blks\.0",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, tables: Tables, teacher: Path
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        check(load_configuration(tables(teacher=table(teacher, features_weight=1.0, **changes))))


def test_patches_that_networks_would_pad_differently_are_refused(tables: Tables, teacher: Path) -> None:
    made = tables(teacher=table(teacher, features_weight=1.0), stage=[{"steps": 2, "patch_px": 17, "batch": 2}])
    with pytest.raises(InvalidValueError, match=r"patch_px = 17 is not a multiple of 2"):
        check(load_configuration(made))
    check(load_configuration(made | {"teacher": table(teacher)}))  # outputs have the size of the picture


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"network": "photographs"}, r"\[teacher\].*nothing is learned"),
        ({"network": "x", "features_weight": 1, "layers": ["a"], "teacher_layers": ["a", "b"]}, r"as many as layers"),
        ({"network": "x", "loss": [{"kind": "l1"}], "layers": ["a"]}, r"features_weight and attention_weight are 0"),
        ({"network": "x", "loss": [{"kind": "l3"}]}, r"teacher.*l3"),
    ],
)
def test_tables_that_mean_nothing_are_refused(teacher: dict[str, Any], message: str, tables: Tables) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_configuration(tables(teacher=teacher))


def test_teachers_that_are_none_are_refused(tables: Tables, tmp_path: Path) -> None:
    blurs = {"kind": "bgan", "size": "tiny", "width": 4, "blocks": 1, "growth": 2}
    save_network(trainable_config(blurs).build(), tmp_path / "blurs")
    with pytest.raises(BlursynthError, match=r"\[teacher\].*holds bgan, which blurs pictures"):
        check(load_configuration(tables(teacher=table(tmp_path / "blurs"))))
    with pytest.raises(BlursynthError, match=r"\[teacher\].*no such checkpoint"):
        check(load_configuration(tables(teacher=table(tmp_path / "nothing"))))
    with pytest.raises(ConfigurationError, match=r"\[teacher\].*restores, but bgan blurs"):
        load_configuration(tables(network=blurs, teacher=table(tmp_path / "blurs")))
    for name in ("run", "run/best"):
        with pytest.raises(BlursynthError, match=r"\[teacher\].*is the folder of the run itself"):
            train(load_configuration(tables(teacher=table(tmp_path / name))), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_log_names_what_is_learned_from_the_teacher(tables: Tables, teacher: Path, tmp_path: Path) -> None:
    asked = table(teacher, features_weight=1.0, attention_weight=1.0)
    train(load_configuration(tables(teacher=asked)), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert all({"teacher_l2", "teacher_features", "teacher_attention"} <= line.keys() for line in lines)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler, while it is imported
@pytest.mark.parametrize("run", [{"compile": True}, {"checkpoint_activations": True}])
def test_computed_another_way_it_learns_the_same(
    run: dict[str, Any], tables: Tables, teacher: Path, tmp_path: Path
) -> None:
    asked = table(teacher, features_weight=1.0, attention_weight=1.0)
    made = tables(teacher=asked, optimizer=GENTLE)
    train(load_configuration(made), tmp_path / "plain")
    train(load_configuration({**made, "run": made["run"] | run}), tmp_path / "other")
    mine, theirs = (load_checkpoint(tmp_path / name / "last").tensors for name in ("plain", "other"))
    for name, value in mine.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-4, atol=1e-6)
