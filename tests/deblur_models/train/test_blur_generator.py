"""Networks that learn to blur, and networks that learn from their blur."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from blursynth.dataset import DatasetRequest, OnlineDataset
from blursynth.errors import DatasetError
from blursynth.recipe.recipe import load_recipe
from deblur_models.checkpoints.checkpoint import load_blur_generator, load_checkpoint, load_network, save_network
from deblur_models.cli import app as cli
from deblur_models.cli.train import _changes
from deblur_models.config.configuration import ConfigurationError, load_configuration
from deblur_models.data import BlurredByNetwork, Crops, OnTheFly, TrainingSet, batches, collate, make_batch, open_pairs
from deblur_models.data.collate import Augmented, SharpSample, values_of
from deblur_models.metrics import metric
from deblur_models.networks import BlurGenerator, create_network, trainable_config
from deblur_models.train import check, train
from deblur_models.train.learner import Learner
from deblur_models.train.processes import Processes
from deblur_models.train.validation import HeldOut

Tables = Callable[..., dict[str, Any]]
CPU = torch.device("cpu")
BGAN = {"kind": "bgan", "size": "tiny", "width": 4, "blocks": 1, "growth": 2}
TO_BLUR: dict[str, Any] = {
    "network": BGAN,
    "loss": [{"kind": "l1"}],
    "adversarial": {
        "loss": {"kind": "relativistic_blur", "weight": 0.005},
        "discriminator": {"kind": "patchgan", "size": "tiny", "width": 4, "layers": 1},
        "steps": 2,
    },
    "stage": [{"steps": 3, "patch_px": 16, "batch": 4, "accumulate": 2}],
    "run": {"ema_decay": 0.9, "checkpoint_every": 1},
}
VALIDATION = {"count": 3, "every": 2, "pictures": 2}


class Cut(Exception):
    """What takes the place of a power cut between two steps."""


def run(tables: Mapping[str, Any], out: Path, *, cut_before: int | None = None) -> Any:
    """Trains; ``cut_before`` a step nothing more is done."""
    update = Learner.update

    def until(self: Learner, parts: Any, step: int, factor: float) -> Any:
        if step == cut_before:
            raise Cut
        return update(self, parts, step, factor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "update", until)
        return train(load_configuration(tables), out)


def assert_goes_on_as_if_never_stopped(tables: Mapping[str, Any], folder: Path) -> None:
    run(tables, folder / "whole")
    with pytest.raises(Cut):
        run(tables, folder / "parts", cut_before=1)
    run(tables, folder / "parts")
    whole, parts = (load_checkpoint(folder / name / "last").tensors for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert not [name for name in whole if not torch.equal(whole[name], parts[name])]


def random_generator(seed: int = 0) -> BlurGenerator:
    torch.manual_seed(seed)
    network = trainable_config(BGAN).build().eval()
    assert isinstance(network, BlurGenerator)
    return network


@pytest.fixture
def blur_run(tables: Tables, tmp_path: Path) -> Path:
    """A network that learned to blur for three steps."""
    run(tables(**TO_BLUR), tmp_path / "blur-run")
    return tmp_path / "blur-run"


# Learning to blur


def test_a_blur_generator_is_given_sharp_pictures_and_noise_and_held_to_the_blurred_ones(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = load_configuration(tables(**TO_BLUR))
    learner = Learner(configuration, Processes(0, 1, CPU))
    pairs = Crops(open_pairs(configuration.data["pairs"].pairs or ""), "pairs", size_px=16, seed=3)
    batch = make_batch(collate([Augmented(pairs.sample(i), i) for i in range(4)]), "cpu")
    assert not torch.equal(batch.sharp, batch.blurred)
    given: list[tuple[Tensor, Tensor]] = []
    blur, judged = type(learner.network).blur, []  # type: ignore[union-attr]

    def watched(self: Any, sharp: Tensor, noise: Tensor) -> Tensor:
        given.append((sharp, noise))
        return blur(self, sharp, noise)

    monkeypatch.setattr(type(learner.network), "blur", watched)
    assert learner.discriminator is not None
    learner.discriminator.register_forward_pre_hook(lambda _, pictures: judged.append(pictures[0].detach()))
    before = {name: value.clone() for name, value in learner.network.state_dict().items()}
    values = learner.update([batch], 0, 1.0)
    assert all(torch.equal(sharp, batch.sharp) for sharp, _ in given)
    noise = [n for _, n in given]
    assert [tuple(n.shape) for n in noise] == [(4, 4)], "once for both sides"
    real, fake = judged[::2], judged[1::2]
    assert all(torch.equal(pictures, batch.blurred) for pictures in real)
    assert not any(torch.equal(pictures, batch.blurred) for pictures in fake)
    # The learner's loss is that of the weights before the step.
    learner.network.load_state_dict(before)
    with torch.no_grad():
        assert values["l1"].item() == (learner.network(batch.sharp, noise[0]) - batch.blurred).abs().mean().item()
    given.clear()
    learner.update([batch], 0, 1.0)
    assert torch.equal(given[0][1], noise[0]), "noise is that of the step"
    learner.update([batch], 1, 1.0)
    assert not torch.equal(given[1][1], noise[0]), "and another one in every step"


@pytest.mark.parametrize("more", [{}, {"network": {**BGAN, "noise_numbers": 2}, "run": {"precision": "bf16"}}])
def test_a_stopped_run_resumes_as_if_never_stopped(more: dict[str, Any], tables: Tables, tmp_path: Path) -> None:
    made = {**TO_BLUR, **more, "run": {**TO_BLUR["run"], **more.get("run", {})}}
    assert_goes_on_as_if_never_stopped(tables(**made), tmp_path)


def test_looks_name_the_sharp_picture_as_the_line_of_doing_nothing(tables: Tables, pairs: Path, tmp_path: Path) -> None:
    run(tables(**TO_BLUR, validation={"pairs": str(pairs), **VALIDATION}), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    looks = [line for line in lines if line["kind"] == "validation"]
    assert [line["step"] for line in looks] == [0, 2, 3]
    settings = load_configuration(tables(**TO_BLUR, validation={"pairs": str(pairs), **VALIDATION})).validation
    assert settings is not None
    held_out, alone = HeldOut(settings), Processes(0, 1, CPU)
    found = [[values_of(codes, CPU)[None] for codes in (p.sharp, p.blurred)] for p in held_out.pairs.values()]
    nothing = sum(metric("psnr")(sharp, blurred).item() for sharp, blurred in found) / 3
    for line in looks:
        assert "psnr_blurred" not in line
        assert line["psnr_sharp"] == pytest.approx(nothing)
        assert "gain_db" not in line
        assert line["nearer_db"] == pytest.approx(line["psnr"] - nothing)
    network = load_blur_generator(tmp_path / "run" / "last")
    noise = torch.Generator().manual_seed(settings.seed)
    with torch.inference_mode():
        scores = [metric("psnr")(network(s, network.noise(1, noise)), b).item() for s, b in found]
    assert looks[-1]["psnr"] == pytest.approx(sum(scores) / 3)
    assert held_out.validate(network, alone) == held_out.validate(network, alone), "noise is the same each time"


def test_it_can_learn_to_blur(tables: Tables, pairs: Path, tmp_path: Path) -> None:
    made = tables(
        network=BGAN,
        loss=[{"kind": "l1"}],
        stage=[{"steps": 60, "patch_px": 16, "batch": 4}],
        optimizer={"learning_rate": 2e-2},
        validation={"pairs": str(pairs), **VALIDATION, "every": 60},
        run={"log_every": 100, "checkpoint_every": 100},
    )
    result = train(load_configuration(made), tmp_path / "run")
    assert result.validation_results[-1][1].gain_db > 1.0
    assert load_blur_generator(tmp_path / "run").config == trainable_config(BGAN)
    begun = tables(**{**TO_BLUR, "stage": [{"steps": 1, "patch_px": 16, "batch": 2}]}, start_from=str(tmp_path / "run"))
    train(load_configuration(begun), tmp_path / "begun")
    with pytest.raises(DatasetError, match=r"contains the network bgan, but \[network\] is nafnet"):
        check(load_configuration(tables(start_from=str(tmp_path / "run"))))


# Learning from its blur


def sources(pairs: Path, photos: Path) -> list[BlurredByNetwork]:
    online = OnlineDataset(DatasetRequest(sources=photos, recipe=load_recipe("sharp"), size_px=16, seed=3))
    return [
        BlurredByNetwork(Crops(open_pairs(pairs), "pairs", size_px=16, seed=3), seed=3),
        BlurredByNetwork(OnTheFly(online, "photos", seed=3), seed=3),
    ]


def test_samples_are_blurred_by_the_network_with_noise_of_their_own(pairs: Path, photos: Path) -> None:
    networks = {"pairs": random_generator(0), "photos": random_generator(1)}
    learned = {name: network.blur_by_seed for name, network in networks.items()}
    both = sources(pairs, photos)
    samples = [both[i % 2].sample(i) for i in range(6)]
    batch = make_batch(collate([Augmented(s, i) for i, s in enumerate(samples)]), "cpu", learned)
    assert batch.draws == (None,) * 6
    assert len({s.noise_seed for s in samples}) == 6
    for i, sample in enumerate(samples):
        assert isinstance(sample, SharpSample)
        network, sharp = networks[sample.network], values_of(sample.sharp, "cpu")
        noise = torch.randn(1, 4, generator=torch.Generator().manual_seed(sample.noise_seed))
        with torch.no_grad():
            blurred = network(sharp[None], noise)[0]
        assert (blurred - sharp).abs().max() > 0.01, "this network changes pictures"
        turned = [p.flip(-1).rot90(i % 4, (-2, -1)) if i >= 4 else p.rot90(i, (-2, -1)) for p in (sharp, blurred)]
        assert torch.equal(batch.sharp[i], turned[0])
        assert (batch.blurred[i] - turned[1]).abs().max() < 0.51 / 255
    assert torch.equal(batch.blurred, (batch.blurred * 255).round() / 255), "codes, as those of a stored pair"
    assert not batch.blurred.requires_grad


def test_samples_do_not_depend_on_workers(pairs: Path, photos: Path) -> None:
    training = TrainingSet(sources(pairs, photos), [1, 1], seed=1, augment=True)
    network = random_generator()
    learned = {"pairs": network.blur_by_seed, "photos": network.blur_by_seed}
    alone, ahead = (
        [make_batch(part, "cpu", learned) for (part,) in batches(training, first=0, last=2, batch=3, workers=workers)]
        for workers in (0, 1)
    )
    for one, other in zip(alone, ahead, strict=True):
        assert one.sources == other.sources
        assert torch.equal(one.sharp, other.sharp)
        assert torch.equal(one.blurred, other.blurred)


def test_from_sharp_pictures_to_a_blur_to_a_network_that_restores(
    tables: Tables, photos: Path, pairs: Path, blur_run: Path, tmp_path: Path
) -> None:
    made = tables(
        data={
            "learned": {"photos": str(photos), "blur_network": str(blur_run)},
            "more": {"pairs": str(pairs), "blur_network": f"{blur_run}/last"},
            "recipes": {"photos": str(photos), "recipe": "clean"},
        },
        stage=[{"steps": 2, "patch_px": 16, "batch": 6}],
        run={"checkpoint_every": 1},
    )
    assert load_configuration(load_configuration(made).to_dict()) == load_configuration(made)
    assert_goes_on_as_if_never_stopped(made, tmp_path)
    restored = load_network(tmp_path / "whole")(torch.rand(1, 3, 9, 11))
    assert restored.shape == (1, 3, 9, 11)


def test_a_run_does_not_resume_with_the_blur_of_another_network(
    tables: Tables, photos: Path, blur_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(blur_run, tmp_path / "blur")
    table = {"photos": str(photos), "blur_network": str(tmp_path / "blur" / "last")}
    short = [{"steps": 2, "patch_px": 16, "batch": 2}]
    made = tables(data={"learned": table}, stage=short, run={"checkpoint_every": 1})
    with pytest.raises(Cut):
        run(made, tmp_path / "run", cut_before=1)
    network = load_blur_generator(tmp_path / "blur" / "last")
    with torch.no_grad():
        next(network.parameters()).add_(0.1)
    save_network(network, tmp_path / "blur" / "last")
    with pytest.raises(DatasetError, match=r"the data of \[data.learned\] has changed .* network"):
        run(made, tmp_path / "run")


# What makes no sense


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data.a": {"photos": "p", "blur_network": "b", "recipe": "clean"}},
            r"\[data.a\]: recipe = 'clean' requires",
        ),
        ({"data.a": {"photos": "p", "blur_network": "b", "on_device": True}}, r"on_device = True requires a recipe"),
        ({"data.a": {"photos": "p", "blur_network": "b", "reuse": 4}}, r"reuse = 4 requires a recipe"),
        ({"data.a": {"blur_network": "b"}}, r"needs either photos \(blurred on the fly\) or pairs, got neither"),
        ({"reblur": {}, "run.augment": False, "network": BGAN}, r"\[reblur\]: .* bgan does not restore"),
        ({"augmentation": {}, "network": BGAN}, r"\[augmentation\]: .* bgan would learn to imitate the corruption"),
        ({"network": {"kind": "bgann"}}, r"\[network\]: There is no network 'bgann'"),
    ],
)
def test_mistakes_are_reported(changes: dict[str, Any], message: str, tables: Tables) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_configuration(tables(), changes)


def test_a_network_is_used_for_what_it_learned(tables: Tables, photos: Path, pairs: Path, tmp_path: Path) -> None:
    save_network(random_generator(), tmp_path / "blurs")
    save_network(create_network("nafnet", "tiny"), tmp_path / "restores")
    with pytest.raises(DatasetError, match="holds bgan, which blurs pictures instead of restoring them"):
        load_network(tmp_path / "blurs")
    with pytest.raises(DatasetError, match="holds nafnet, which restores pictures instead of blurring them"):
        load_blur_generator(tmp_path / "restores")
    data = {"a": {"photos": str(photos), "blur_network": str(tmp_path / "restores")}}
    with pytest.raises(DatasetError, match="instead of blurring"):
        train(load_configuration(tables(data=data)), tmp_path / "run")
    for command in (
        ["apply", str(photos), "--out", str(tmp_path / "out")],
        ["evaluate", str(pairs), "--out", str(tmp_path / "out")],
    ):
        refused = CliRunner().invoke(cli.app, [*command, "--network", str(tmp_path / "blurs.safetensors")])
        assert refused.exit_code == 2
        assert "blurs pictures instead of restoring them" in " ".join(refused.stderr.split())


def test_photographs_of_the_command_line_go_to_every_table() -> None:
    tables = load_configuration("dbgan").to_dict()
    changes = _changes(tables, "mine", "clean", None, None, None)
    made = load_configuration("dbgan", changes)
    assert {name: table.photos for name, table in made.data.items()} == {"learned": "mine", "recipes": "mine"}
    assert made.data["learned"].blur_network == "run-of-bgan/last"
    assert made.data["recipes"].recipe == "clean"


def test_the_command_line_says_what_the_run_is_for(tables: Tables, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "bgan.toml").write_text('extends = "bgan"\n[network]\nwidth = 4\nblocks = 1\ngrowth = 2\n')
    settings = ("stage.0.steps=1", "stage.0.patch_px=16", "stage.0.batch=2", "run.workers=0", "run.threads=1",
                "validation.count=1")  # fmt: skip
    command = ["train", str(tmp_path / "bgan.toml"), "--data", str(pairs), "--validation", str(pairs), "--device", "cpu",
               "--out", str(tmp_path / "run"), *(part for s in settings for part in ("--set", s))]  # fmt: skip
    ended = CliRunner().invoke(cli.app, command)
    assert ended.exit_code == 0, ended.output
    assert "sharp, unchanged" in ended.stdout
    assert f'blur_network = "{tmp_path / "run" / "last"}"' in ended.stdout, "as the configuration says"
    assert re.search(r"held-out pairs +PSNR dB +SSIM +nearer dB", ended.stdout)
    assert "a higher value is not more realistic" in ended.stdout
    assert not re.search(r"\bgain\b", ended.output)
    for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines():
        assert "gain_db" not in json.loads(line)
