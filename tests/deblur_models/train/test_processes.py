"""Two processes that share each batch learn what one learns with the whole of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from deblur_models.checkpoints.checkpoint import load_checkpoint, save_network
from deblur_models.config.configuration import load_configuration
from deblur_models.networks import create_network
from deblur_models.networks.timm_backbones import import_timm
from deblur_models.train import train
from deblur_models.train.processes import Processes

Tables = Callable[..., dict[str, Any]]
PROGRAM = """
import json, logging, sys, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", module="torch")  # what torch tells about itself
import torch
torch.set_num_threads(1)
logging.basicConfig()
from deblur_models.config.configuration import load_configuration
from deblur_models.train import train
result = train(load_configuration(json.loads(sys.argv[1])), sys.argv[2])
print(result.step, result.finished)
"""


def in_two(program: str, *arguments: str) -> list[str]:
    """What a program prints in each of two processes, begun as torchrun would on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
              "OMP_NUM_THREADS": "1"}  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        answers = [process.communicate(timeout=180) for process in processes]
    finally:
        for process in processes:
            process.kill()
    errors = [answer[1][-2500:] for answer in answers]
    assert [process.returncode for process in processes] == [0, 0], "\n\n".join(errors)
    return [answer[0] for answer in answers]


def train_in_two(tables: dict[str, Any], out: Path) -> None:
    in_two(PROGRAM, json.dumps(tables), str(out))


def assert_close(one: Path, two: Path, tolerance: float, *, rounding: Sequence[str] = ("model.2.bias",)) -> None:
    """Relative to the largest value of each tensor.

    But for weights of the discriminator whose gradients are pure rounding: by default biases before an instance
    normalization, which takes them away again.
    """
    a, b = (load_checkpoint(out / "last").tensors for out in (one, two))
    assert a.keys() == b.keys()
    worst = {}
    for name in a:
        if name.startswith("discriminator") and any(part in name for part in rounding):
            continue
        assert a[name].shape == b[name].shape, name
        scale = max(a[name].abs().max().item(), 1e-8)
        worst[name] = (a[name] - b[name]).abs().max().item() / scale
    name = max(worst, key=lambda n: worst[n])
    assert worst[name] < tolerance, (name, worst[name])


@pytest.fixture
def shared(tables: Tables, pairs: Path) -> Callable[..., dict[str, Any]]:
    """Adam's first steps are +-1 whatever the size of a gradient, so that rounding of tiny ones would show; a large
    epsilon makes steps follow the gradient. Rounding of sums in another order is 1e-7 relative per step then."""

    def make(**run: Any) -> dict[str, Any]:
        return tables(
            optimizer={"learning_rate": 1e-3, "epsilon": 1.0, "clip_norm": 1.0},
            validation={"pairs": str(pairs), "count": 2, "every": 2, "pictures": 1},
            stage=[{"steps": 4, "patch_px": 16, "batch": 4, "accumulate": 2}],
            run={"checkpoint_every": 2, **run},
        )

    return make


@pytest.mark.parametrize("parallel", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_two_processes_are_one(parallel: str, shared: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    made = shared(parallel=parallel)
    train(load_configuration(made), tmp_path / "one")
    train_in_two(made, tmp_path / "two")
    assert_close(tmp_path / "one", tmp_path / "two", 1e-5)
    one, two = (
        [json.loads(line) for line in (tmp_path / n / "log.jsonl").read_text().splitlines()] for n in ("one", "two")
    )
    assert [(e["kind"], e["step"]) for e in one] == [(e["kind"], e["step"]) for e in two]
    for mine, theirs in zip(one, two, strict=True):
        for name in set(mine) - {"kind"} - {n for n in mine if n.startswith(("seconds", "images_per_s"))}:
            assert theirs[name] == pytest.approx(mine[name], rel=1e-4), name
    best = [load_checkpoint(tmp_path / n / "best").manifest["validation"]["psnr"] for n in ("one", "two")]
    assert best[0] == pytest.approx(best[1], rel=1e-5)
    sheets = [sorted(p.name for p in (tmp_path / n / "samples").iterdir()) for n in ("one", "two")]
    assert sheets[0] == sheets[1] == ["0000002.png", "0000004.png"]
    # Before the first step weights are the same, and each pair is restored alone: so are the scores, bit for bit.
    for name in ("psnr", "ssim", "psnr_blurred", "no_harm_db"):
        assert one[0][name] == two[0][name]


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_learn_from_one_teacher(
    parallel: str, shared: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Its losses are means over pictures, and the regressor gets the mean of the gradients."""
    save_network(create_network("nafnet", size="tiny", width=6), tmp_path / "teacher")
    made = shared(parallel=parallel)
    made["teacher"] = {
        "network": str(tmp_path / "teacher"), "loss": [{"kind": "l2"}], "features_weight": 0.5, "attention_weight": 0.5,
    }  # fmt: skip
    train(load_configuration(made), tmp_path / "one")
    train_in_two(made, tmp_path / "two")
    assert_close(tmp_path / "one", tmp_path / "two", 1e-5)
    assert any(name.startswith("regressor_optimizer") for name in load_checkpoint(tmp_path / "two" / "last").tensors)


SHARED_BATCH = """
import json, sys
from datetime import timedelta
import torch
import torch.distributed as dist
torch.set_num_threads(1)
from deblur_models.config.configuration import load_configuration
from deblur_models.train.processes import Processes
rank, ranks = int(sys.argv[1]), int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=ranks,
                        timeout=timedelta(seconds=60))
processes = Processes(rank, ranks, torch.device("cpu"))
part = torch.arange(4.0).reshape(2, 2) + 10 * rank
part.requires_grad_()
whole = processes.whole(part)
loss = (whole * whole.mean()).sum()                       # the same in every process
(gradient,) = torch.autograd.grad(loss, part)
given = [torch.full((2, 3), float(rank)), torch.tensor(float(2 + 4 * rank))]
processes.mean(given)
print(json.dumps([whole.tolist(), gradient.tolist(), [t.tolist() for t in given], processes.gathered(rank)]))
dist.destroy_process_group()
"""


def test_parts_become_the_whole_and_gradients_find_back(tmp_path: Path) -> None:
    """d/dx of sum(w) mean(w) = 2 sum(w) / n for each of n values, times the number of processes that compute it."""
    command = [sys.executable, "-c", SHARED_BATCH]
    processes = [
        subprocess.Popen([*command, str(rank), "2", str(tmp_path / "meet")], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    answers = [json.loads(process.communicate(timeout=120)[0].splitlines()[-1]) for process in processes]
    values = [[0, 1], [2, 3], [10, 11], [12, 13]]
    total = sum(map(sum, values))
    for whole, gradient, (means, mean), ranks in answers:
        assert whole == values
        assert gradient == [[pytest.approx(2 * 2 * total / 8)] * 2] * 2
        assert means == [[0.5] * 3] * 2
        assert mean == 4
        assert ranks == [0, 1]


THAWED = """
import json, sys
import torch
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)  # rounding is 1e-12 of a step, also behind normalizations of small maps
from deblur_models.config.configuration import load_configuration
from deblur_models.data import Batch
from deblur_models.train.learner import Learner
from deblur_models.train.processes import Processes, process_group

def batch(step, rank, ranks):
    sharp, noise = torch.rand((2, 2, 3, 64, 64), generator=torch.Generator().manual_seed(step))
    mine = slice(2 * rank // ranks, 2 * (rank + 1) // ranks)
    sharp, count = sharp[mine], 2 // ranks
    return Batch(sharp, 0.8 * sharp + 0.2 * noise[mine], (None,) * count, (None,) * count, ("x",) * count)

def encoder(processes):
    learner = Learner(load_configuration(json.loads(sys.argv[1])), processes)
    seen = []
    for step in range(3):
        seen.append(torch.cat([p.detach().flatten().clone() for p in learner.network.encoder_parameters()]))
        learner.update([batch(step, processes.rank, processes.ranks)], step, 1.0)
    return torch.cat([p.detach().flatten() for p in learner.network.encoder_parameters()]), *seen

with process_group("cpu") as processes:
    mine, begun, frozen, _ = encoder(processes)
    whole, *_ = encoder(Processes(0, 1, processes.device))
    other = processes.gathered(mine)[1 - processes.rank]
    largest = lambda a, b: (a - b).abs().max().item()
    print(json.dumps([largest(frozen, begun), largest(whole, begun), largest(mine, whole), largest(mine, other)]))
"""


@pytest.mark.slow
def test_an_encoder_thaws_in_both_processes(tables: Tables, tmp_path: Path) -> None:
    """Processes exchange gradients of what required them when they were joined: a frozen encoder did not.

    In float32 it would be rounding that is compared: rectifiers and normalizations of small maps make up to 10 % of it.
    """
    whole = import_timm().create_model("mobilenetv2_035", pretrained=False)
    torch.save(whole.state_dict(), tmp_path / "timm.pth")
    made = tables(
        network={"kind": "deblurgan_v2", "size": "tiny", "encoder_norm": "instance"},
        optimizer={"learning_rate": 1e-3, "epsilon": 1.0},
        run={"frozen_encoder_steps": 1, "encoder_weights": str(tmp_path / "timm.pth")},
    )
    for answer in in_two(THAWED, json.dumps(made)):
        while_frozen, step, to_one, to_other = json.loads(answer.splitlines()[-1])
        assert while_frozen == 0
        assert step > 1e-6
        assert to_one < 1e-6 * step  # 5e-13 with its gradients exchanged, 0.9 and more without
        assert to_other == 0


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_resume_where_they_stopped(
    parallel: str, shared: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Also in another number of processes than before."""
    made = shared(parallel=parallel)
    train_in_two(made, tmp_path / "whole")
    train_in_two(made, tmp_path / "parts")
    for suffix in (".json", ".safetensors"):
        (tmp_path / "parts" / f"previous{suffix}").replace(tmp_path / "parts" / f"last{suffix}")
    assert load_checkpoint(tmp_path / "parts" / "last").manifest["step"] == 2
    train_in_two(made, tmp_path / "parts")
    a, b = (load_checkpoint(tmp_path / n / "last").tensors for n in ("whole", "parts"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    for suffix in (".json", ".safetensors"):
        (tmp_path / "parts" / f"previous{suffix}").replace(tmp_path / "parts" / f"last{suffix}")
    train(load_configuration(made), tmp_path / "parts")
    assert_close(tmp_path / "whole", tmp_path / "parts", 1e-5)


@pytest.mark.parametrize("pool_pictures", [0, pytest.param(6, marks=pytest.mark.slow)])
def test_relativistic_means_are_those_of_the_whole_batch(
    pool_pictures: int, shared: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Each answer is compared with the mean over the batch, which two processes have half of each; or with a pool's."""
    made = {
        **shared(),
        "stage": [{"steps": 3, "patch_px": 16, "batch": 4}],
        "adversarial": {
            "loss": {"kind": "ragan_ls", "weight": 0.5, "pool_pictures": pool_pictures},
            "discriminator": {"kind": "patchgan", "size": "tiny", "width": 4, "layers": 1},
        },
    }
    train(load_configuration(made), tmp_path / "one")
    train_in_two(made, tmp_path / "two")
    # Differences of answers do not feel the bias of the last layer.
    assert_close(tmp_path / "one", tmp_path / "two", 1e-5, rounding=("model.2.bias", "model.5.bias"))


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_an_adversary_is_one_and_the_same_in_both(
    parallel: str, shared: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Least squares without a penalty is a mean over pictures, so that two halves make the whole."""
    made = {
        **shared(parallel=parallel),
        "adversarial": {
            "loss": {"kind": "lsgan", "weight": 0.01},
            "discriminator": {"kind": "patchgan", "size": "tiny", "width": 4, "layers": 1},
        },
    }
    train(load_configuration(made), tmp_path / "one")
    train_in_two(made, tmp_path / "two")
    assert_close(tmp_path / "one", tmp_path / "two", 1e-5)


def test_a_batch_must_be_shared_equally(tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deblur_models.train import TrainingError
    from deblur_models.train.prepare import training_sets

    made = load_configuration(tables(stage=[{"steps": 1, "patch_px": 16, "batch": 6, "accumulate": 2}]))
    assert len(training_sets(made, 3)) == 1
    with pytest.raises(TrainingError, match=r"batch of 6 cannot be divided equally among 2 processes in 2 parts each"):
        training_sets(made, 2)


def test_alone_a_process_agrees_with_itself() -> None:
    alone = Processes(0, 1, torch.device("cpu"))
    tensor = torch.ones(2)
    alone.mean([tensor])
    alone.wait()
    assert torch.equal(tensor, torch.ones(2))
    assert alone.is_first
    assert alone.gathered(3) == [3]
    assert alone.any(True)
    assert not alone.any(False)
