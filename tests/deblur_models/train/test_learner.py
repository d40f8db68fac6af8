"""One step: accumulated parts, clipping, the running average, the schedule's rate, a frozen encoder, curves."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from blursynth.errors import BlursynthError, DatasetError, InvalidValueError
from deblur_models.checkpoints.checkpoint import Checkpoint
from deblur_models.config.configuration import ConfigurationError, load_configuration
from deblur_models.data import Batch
from deblur_models.networks.nafnet import NAFNet
from deblur_models.networks.timm_backbones import import_timm
from deblur_models.train import TrainingError, check
from deblur_models.train.learner import Learner
from deblur_models.train.processes import Processes

Tables = Callable[..., dict[str, Any]]
ALONE = Processes(0, 1, torch.device("cpu"))
GENTLE = {"learning_rate": 1e-3, "epsilon": 1.0}
"""Steps that follow the gradient: Adam's own are +-1 for gradients of any size, also for those of pure rounding."""


def learner(tables: dict[str, Any]) -> Learner:
    return Learner(load_configuration(tables), ALONE)


def batch(count: int = 4, seed: int = 0, size: int = 16) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    sharp, noise = torch.rand((2, count, 3, size, size), generator=generator)
    return Batch(sharp, 0.8 * sharp + 0.2 * noise, (None,) * count, (None,) * count, ("x",) * count)


def parts_of(whole: Batch, number: int) -> list[Batch]:
    size = len(whole) // number
    return [
        Batch(whole.sharp[i : i + size], whole.blurred[i : i + size], (None,) * size, (None,) * size, ("x",) * size)
        for i in range(0, len(whole), size)
    ]


def weights(of: Learner) -> Tensor:
    return torch.cat([p.detach().flatten() for p in of.network.parameters()])


@pytest.mark.parametrize("adversary", [False, True])
def test_parts_that_accumulate_are_the_whole(adversary: bool, tables: Tables) -> None:
    changes: dict[str, Any] = {"optimizer": GENTLE, "loss": [{"kind": "l1"}, {"kind": "fft_l1", "weight": 0.1}]}
    if adversary:
        changes["adversarial"] = {
            "loss": {"kind": "lsgan", "weight": 0.1},
            "discriminator": {"kind": "patchgan", "size": "tiny", "width": 4, "layers": 1},
        }
    one, other = learner(tables(**changes)), learner(tables(**changes))
    start = weights(one)
    for step in range(3):
        values = one.update([batch(seed=step)], step, 1.0)
        in_parts = other.update(parts_of(batch(seed=step), 4), step, 1.0)
        assert values.keys() == in_parts.keys()
        for name in values:
            assert in_parts[name].item() == pytest.approx(values[name].item(), rel=1e-4), name
    moved = (weights(one) - start).abs().max()
    assert moved > 1e-5
    assert (weights(one) - weights(other)).abs().max() < 1e-4 * moved


def test_the_sum_is_that_of_the_losses_with_their_weights(tables: Tables) -> None:
    made = learner(tables(loss=[{"kind": "l1", "weight": 2.0}, {"kind": "l2"}, {"kind": "l1", "weight": 0.5}]))
    values = made.update([batch()], 0, 1.0)
    assert set(values) == {"l1", "l2", "l1.2", "loss", "gradient_norm"}
    assert values["l1"] == values["l1.2"]
    expected = 2.5 * values["l1"] + values["l2"]
    assert values["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_gradients_are_clipped_to_the_configured_norm(tables: Tables) -> None:
    """The norm that is told is the one before."""
    free = learner(tables(optimizer=GENTLE, loss=[{"kind": "l1", "weight": 100.0}]))
    norm = free.update([batch()], 0, 1.0)["gradient_norm"].item()
    gradients = torch.cat([p.grad.flatten() for p in free.network.parameters() if p.grad is not None])
    assert gradients.norm().item() == pytest.approx(norm, rel=1e-5)
    assert norm > 1
    cut = learner(tables(optimizer={**GENTLE, "clip_norm": 0.25}, loss=[{"kind": "l1", "weight": 100.0}]))
    assert cut.update([batch()], 0, 1.0)["gradient_norm"].item() == pytest.approx(norm, rel=1e-6)
    gradients = torch.cat([p.grad.flatten() for p in cut.network.parameters() if p.grad is not None])
    assert gradients.norm().item() == pytest.approx(0.25, rel=1e-4)


def test_the_average_follows_by_its_formula(tables: Tables) -> None:
    """a <- d a + (1 - d) w with d = min(decay, (1 + step) / (10 + step))."""
    made = learner(tables(run={"ema_decay": 0.2}))
    assert made.average is not None
    expected = {k: v.clone() for k, v in made.network.state_dict().items()}
    for step in range(4):
        made.update([batch(seed=step)], step, 1.0)
        decay = min(0.2, (1 + step) / (10 + step))
        expected = {k: decay * v + (1 - decay) * made.network.state_dict()[k] for k, v in expected.items()}
    for name, value in made.average.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-7), name
    assert made.best() is made.average
    assert not made.average.training
    assert learner(tables(run={"ema_decay": 0.0})).average is None


@pytest.mark.parametrize("kind", ["adamw", "adam"])
def test_the_rate_is_the_optimizers_times_the_factor(kind: str, tables: Tables) -> None:
    """Adam's first step is -rate * sign(gradient)."""
    made = learner(tables(optimizer={"kind": kind, "learning_rate": 1e-3, "epsilon": 1e-12, "weight_decay": 0.0}))
    start = weights(made)
    made.update([batch()], 0, 0.25)
    steps = (weights(made) - start).abs()
    assert steps.max().item() == pytest.approx(2.5e-4, rel=1e-2)


def test_weights_decay_where_wanted(tables: Tables) -> None:
    """AdamW: w <- w (1 - rate * decay) beside the step along the gradient, here none to speak of."""
    made = learner(tables(optimizer={"learning_rate": 1e-2, "epsilon": 1.0, "weight_decay": 0.5},
                          loss=[{"kind": "l1", "weight": 1e-6}]))  # fmt: skip
    start = weights(made)
    made.update([batch()], 0, 1.0)
    assert torch.allclose(weights(made), start * (1 - 1e-2 * 0.5), atol=1e-6)


def test_an_encoder_stays_frozen_as_long_as_wanted(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NAFNet, "encoder_parameters", lambda self: self.encoders.parameters(), raising=False)
    made = learner(tables(run={"frozen_encoder_steps": 2}))
    states = []
    for step in range(4):
        made.update([batch(seed=step)], step, 1.0)
        states.append(torch.cat([p.detach().flatten().clone() for p in made.network.encoders.parameters()]))
        others = made.network.intro.weight
        assert others.grad is not None
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[1], states[2])
    assert not torch.equal(states[2], states[3])


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_frozen_encoder_thaws_the_same_after_a_stop(
    stop: int, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NAFNet, "encoder_parameters", lambda self: self.encoders.parameters(), raising=False)
    made = tables(run={"frozen_encoder_steps": 2})
    whole, first, second = learner(made), learner(made), learner(made)
    for step in range(4):
        whole.update([batch(seed=step)], step, 1.0)
    for step in range(stop):
        first.update([batch(seed=step)], step, 1.0)
    second.load(Checkpoint(first.tensors(), first.manifest()))
    for step in range(stop, 4):
        second.update([batch(seed=step)], step, 1.0)
    mine, theirs = whole.tensors(), second.tensors()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


V2 = {"kind": "deblurgan_v2", "size": "tiny"}


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as timm stores them, drawn here; a name with the first digits of the file's sha256 as torch.hub gives."""
    folder = tmp_path_factory.mktemp("timm")
    torch.manual_seed(11)
    whole = import_timm().create_model("mobilenetv2_035", pretrained=False)
    save_file(whole.state_dict(), folder / "plain.safetensors")
    digest = hashlib.sha256((folder / "plain.safetensors").read_bytes()).hexdigest()
    return (folder / "plain.safetensors").rename(folder / f"mobilenetv2_035_ra-{digest[:8]}.safetensors")


def test_an_encoder_begins_with_the_weights_of_a_file_and_is_kept_without_gradients(
    tables: Tables, backbone: Path
) -> None:
    run = {"encoder_weights": str(backbone), "frozen_encoder_steps": 1}
    made = learner(tables(network=V2, run=run, stage=[{"steps": 2, "patch_px": 32, "batch": 2}]))
    stored = load_file(backbone)

    def moved() -> bool:
        own = made.network.fpn.encoder.state_dict()
        return any(not torch.equal(own[name], stored[name]) for name, _ in made.network.fpn.encoder.named_parameters())

    assert not moved()
    made.update([batch(2, size=32)], 0, 1.0)
    assert not moved()
    assert not any(weight.requires_grad or weight.grad is not None for weight in made.network.encoder_parameters())
    made.update([batch(2, size=32)], 1, 1.0)
    assert moved()
    assert all(weight.requires_grad for weight in made.network.parameters())


def test_a_run_with_an_encoder_checks_its_file_before_any_picture_is_read(
    tables: Tables, backbone: Path, tmp_path: Path
) -> None:
    nowhere = {"pairs": {"pairs": str(tmp_path / "nowhere")}}

    def refused(weights: Path) -> str:
        with pytest.raises(BlursynthError) as error:
            check(load_configuration(tables(network=V2, data=nowhere, run={"encoder_weights": str(weights)})))
        return str(error.value)

    missing = refused(tmp_path / "gone.pth")
    assert "encoder_weights: file " in missing
    assert "timm.create_model('mobilenetv2_035', pretrained=True)" in missing
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    assert "do not fit MobileNetV2Encoder" in refused(tmp_path / "other.pth")
    (tmp_path / "code.pth").write_bytes(pickle.dumps(print))
    assert "No code was run" in refused(tmp_path / "code.pth")
    shutil.copy(backbone, tmp_path / "mobilenetv2_035_ra-00000000.safetensors")
    assert "its name says 00000000" in refused(tmp_path / "mobilenetv2_035_ra-00000000.safetensors")
    torch.save({k: v * torch.nan for k, v in load_file(backbone).items() if v.is_floating_point()}, tmp_path / "nan.pt")
    assert "contain NaN or infinity" in refused(tmp_path / "nan.pt")
    assert "nowhere" in refused(backbone), "it fits, and the pictures are next"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": V2, "run": {"frozen_encoder_steps": 3}}, "without encoder_weights it has random weights"),
        ({"run": {"encoder_weights": "a.pth"}}, "nafnet has no pretrained encoder"),
        ({"network": V2, "run": {"encoder_weights": "a.pth"}, "start_from": "run"}, "Leave one of them out"),
    ],
)
def test_weights_of_an_encoder_that_mean_nothing_are_refused(
    changes: dict[str, Any], words: str, tables: Tables
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load_configuration(tables(**changes))


def test_asking_for_the_state_changes_nothing(tables: Tables) -> None:
    """Torch would give an optimizer that has made no step yet one with gradients of zero."""
    made = tables(
        adversarial={
            "loss": {"kind": "lsgan"},
            "discriminator": {"kind": "patchgan", "size": "tiny", "width": 4, "layers": 1},
            "from_step": 2,
        }
    )
    watched, alone = learner(made), learner(made)
    for step in range(4):
        watched.tensors()
        assert watched.discriminator_optimizer is not None
        assert bool(watched.discriminator_optimizer.state) == (step > 2)
        for each in (watched, alone):
            values = each.update([batch(seed=step)], step, 1.0)
            assert ("lsgan" in values) == ("discriminator" in values) == (step >= 2)
    mine, theirs = alone.tensors(), watched.tensors()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_adversary_learns_as_often_as_wanted(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    made = learner(
        tables(
            adversarial={
                "loss": {"kind": "wgan_gp", "weight": 0.01},
                "discriminator": {"kind": "patchgan", "size": "tiny", "width": 4, "layers": 1},
                "steps": 3,
                "learning_rate": 2e-4,
            }
        )
    )
    assert made.discriminator_optimizer is not None
    assert made.discriminator is not None
    calls, step = [], made.discriminator_optimizer.step
    monkeypatch.setattr(made.discriminator_optimizer, "step", lambda *a, **k: (calls.append(1), step(*a, **k))[1])
    values = made.update([batch()], 0, 0.5)
    assert len(calls) == 3
    assert {"wgan_gp", "discriminator", "gradient_penalty", "charbonnier", "loss"} <= set(values)
    assert made.discriminator_optimizer.param_groups[0]["lr"] == 1e-4
    assert all(p.requires_grad for p in made.discriminator.parameters())
    gradients = [p.grad for p in made.discriminator.parameters()]
    made.update([batch()], 1, 0.5)
    assert all(g is not None for g in gradients)


def test_randomness_of_a_step_is_its_own(tables: Tables) -> None:
    """Dropout is seeded by the run and the step, and leaves torch's generator where it was."""
    network = {"kind": "deblurgan", "size": "tiny", "width": 4, "blocks": 1, "dropout": 0.5}
    torch.manual_seed(1)
    one = learner(tables(network=network))
    before = torch.get_rng_state()
    one.update([batch()], 0, 1.0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other = learner(tables(network=network))
    other.update([batch()], 0, 1.0)
    assert torch.equal(weights(one), weights(other))
    third = learner(tables(network=network))
    third.update([batch()], 5, 1.0)
    assert not torch.equal(weights(one), weights(third))


@pytest.mark.parametrize("parts", [1, 2])
def test_the_network_runs_once_for_both_sides(parts: int, tables: Tables) -> None:
    """Once per part to learn; of several parts the discriminator is shown each before, without graphs."""
    network = {"kind": "deblurgan", "size": "tiny", "width": 4, "blocks": 1, "dropout": 0.5}
    made = learner(
        tables(
            network=network,
            adversarial={
                "loss": {"kind": "ragan_ls", "weight": 0.1},
                "discriminator": {"kind": "patchgan", "size": "tiny", "width": 4, "layers": 1},
            },
        )
    )
    outputs: list[Tensor] = []
    made.network.register_forward_hook(lambda _, given, output: outputs.append(output[0]))
    shown: list[Tensor] = []
    assert made.discriminator is not None
    made.discriminator.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    made.update(parts_of(batch(), parts), 0, 1.0)
    assert len(outputs) == (1 if parts == 1 else 2 * parts)
    fakes = shown[1 : 2 * parts : 2]
    assert all(torch.equal(fake, output) for fake, output in zip(fakes, outputs[:parts], strict=True))
    assert not any(fake.requires_grad for fake in fakes)
    again = outputs[-parts:]
    assert all(torch.equal(one, other) for one, other in zip(fakes, again, strict=True)), "the same random numbers"
    assert all(output.requires_grad for output in again)


def test_the_average_looks_its_tensors_up_once(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    made = learner(tables(network={"kind": "deblurgan", "size": "tiny", "width": 4, "blocks": 1, "norm": "running"}))
    assert made.average is not None
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.Module, "state_dict", lambda *_, **__: pytest.fail("asked for in every step"))
        made.update([batch()], 0, 1.0)
    fresh = learner(tables(network={"kind": "deblurgan", "size": "tiny", "width": 4, "blocks": 1, "norm": "running"}))
    fresh.load(Checkpoint({name: value.clone() for name, value in made.tensors().items()}, made.manifest()))
    for each in (made, fresh):  # what was looked up is still what learns after loading
        each.update([batch(seed=1)], 1, 1.0)
    mine, theirs = made.tensors(), fresh.tensors()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize(
    "network",
    [
        {"kind": "nafnet", "size": "tiny"},
        {"kind": "restormer", "size": "tiny"},
        {"kind": "deblurgan", "size": "tiny", "width": 4, "blocks": 2, "dropout": 0.5},
    ],
    ids=lambda network: network["kind"],
)
def test_blocks_that_are_computed_again_give_the_same_step(network: dict[str, Any], tables: Tables) -> None:
    """Bit for bit, dropout included, while less is kept for the backward pass."""
    states, kept = [], []
    for again in (False, True):
        made = learner(tables(network=network, run={"checkpoint_activations": again}))
        saved = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal saved
            saved += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            made._made(batch(), 0, 0)
        kept.append(saved)
        made.update([batch()], 0, 1.0)
        states.append(made.tensors())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert kept[1] < 0.7 * kept[0]


def test_a_network_without_blocks_cannot_compute_them_again(tables: Tables) -> None:
    network = {"kind": "deblurgan", "size": "tiny", "width": 4, "blocks": 1, "norm": "running"}
    with pytest.raises(InvalidValueError, match=r"checkpoint_activations: DeblurGan has no blocks .*without running"):
        learner(tables(network=network, run={"checkpoint_activations": True}))


def test_processes_look_for_unused_weights_only_where_there_are_some(tables: Tables) -> None:
    """MIMO-UNet has coarse outputs, which matter where a loss looks at every scale."""
    charbonnier = [{"kind": "charbonnier"}]
    assert not learner(tables())._leaves_weights_unused()
    mimo = {"kind": "mimo_unet", "size": "tiny"}
    assert not learner(tables(network=mimo, loss=charbonnier))._leaves_weights_unused()
    first = [{"kind": "ssim"}]
    assert not load_configuration(tables(loss=first)).losses[0].every_scale
    assert learner(tables(network=mimo, loss=first))._leaves_weights_unused()


def test_steps_that_fp16_skips_are_reported_and_change_nothing(tables: Tables) -> None:
    """A loss of 1e9 has gradients beyond 65504 at a scale of 65536: halved until they fit."""
    made = learner(tables(loss=[{"kind": "l1", "weight": 1e6}], run={"precision": "fp16"}))
    start, told = weights(made), []
    for step in range(3):
        values = made.update([batch(seed=step)], step, 1.0)
        assert values["skipped"] == 1
        assert values["gradient_norm"] == 0, "no number that JSON lacks"
        told.append(made.scaler.get_scale())
        assert torch.equal(weights(made), start)
    assert told == [2.0**15, 2.0**14, 2.0**13]
    assert "skipped" not in learner(tables()).update([batch()], 0, 1.0)


def test_half_precision_is_given_up_where_no_scale_fits(tables: Tables) -> None:
    made = learner(tables(run={"precision": "fp16"}))
    made.check_scales()
    made.scaler.load_state_dict({**made.scaler.state_dict(), "scale": 2.0**-14})
    made.scaler.scale(torch.ones(()))
    with pytest.raises(TrainingError, match=r"In fp16 gradients overflow at any loss scale.*6.1e-05.*bf16"):
        made.check_scales()


def test_real_pairs_do_not_count_for_re_blurring(tables: Tables) -> None:
    made = learner(tables(reblur={"weight": 0.1}, run={"augment": False}))
    values = made.update([batch()], 0, 1.0)
    assert values["re_blur"] == 0
    assert values["re_blur_share"] == 0  # fraction of steps in which it contributed
    assert values["loss"].item() == pytest.approx(values["charbonnier"].item())


def test_every_scale_of_a_network_gets_its_loss(tables: Tables) -> None:
    network = {"kind": "srn", "size": "tiny"}
    made = learner(tables(network=network, loss=[{"kind": "l1"}]))
    whole = batch(1, size=32)
    outputs, targets = made.network(whole.blurred, every_scale=True), made.network.targets(whole.sharp)
    assert len(outputs) > 1
    expected = sum((o - t).abs().mean().item() for o, t in zip(outputs, targets, strict=True))
    assert made.update([whole], 0, 1.0)["l1"].item() == pytest.approx(expected, rel=1e-5)


def test_states_of_other_networks_do_not_fit(tables: Tables) -> None:
    made = learner(tables())
    made.update([batch()], 0, 1.0)
    with pytest.raises(DatasetError, match="does not fit this configuration"):
        learner(tables(network={"kind": "nafnet", "size": "tiny"})).load(Checkpoint(made.tensors(), made.manifest()))
    with pytest.raises(DatasetError, match="does not fit this configuration"):
        learner(tables()).load(Checkpoint(made.tensors(), {}))


def test_a_start_of_other_shape_is_refused(tables: Tables, tmp_path: Path) -> None:
    from deblur_models.checkpoints.checkpoint import save_network
    from deblur_models.networks import create_network

    save_network(create_network("nafnet", "tiny"), tmp_path / "other")
    with pytest.raises(DatasetError, match="Use the same network in both"):
        learner(tables(start_from=str(tmp_path / "other")))


def test_a_learner_without_an_encoder_cannot_freeze_it(tables: Tables) -> None:
    with pytest.raises(InvalidValueError, match=r"frozen_encoder_steps is 3, and nafnet has no pretrained encoder"):
        learner(tables(run={"frozen_encoder_steps": 3}))
