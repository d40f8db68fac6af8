"""The trained weights and their updates."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.utils.checkpoint import checkpoint

from blursynth.errors import BlursynthError, DatasetError, InvalidValueError
from blursynth.records.streams import Stream
from deblur_models.checkpoints.checkpoint import Checkpoint, describe
from deblur_models.config.configuration import Configuration, Optimizer
from deblur_models.data import Batch
from deblur_models.device import autocast_type
from deblur_models.losses.consistency import NothingToReblur
from deblur_models.networks import BlurGenerator, Network
from deblur_models.train.initial import InitialNetworks, initial_networks
from deblur_models.train.processes import Processes

__all__ = ["Learner", "TrainingError"]

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


LEAST_SCALE = 1e-4
"""Minimum loss scale in fp16; below it, gradients overflow at any scale and training fails."""


class TrainingError(BlursynthError, ArithmeticError):
    """Training cannot continue: a loss is NaN or infinite, or half precision cannot represent the gradients."""


class Learner:
    """Network, running average, adversary, teacher and their optimizers; :meth:`update` is one step.

    Everything random in a step (dropout, the noise of a network that blurs, the points of the gradient penalty) is
    seeded by the run's seed, the step, the process and the part of its batch, so that a resumed run is identical to an
    uninterrupted one. ``initial`` holds the initial networks, which are modified in place; by default they are created
    here.
    """

    def __init__(
        self, configuration: Configuration, processes: Processes, initial: InitialNetworks | None = None
    ) -> None:
        self.configuration, self.processes = configuration, processes
        run, device = configuration.run, processes.device
        initial = initial or initial_networks(configuration)
        network, discriminator = initial.network, initial.discriminator
        self.adversary = configuration.adversarial
        self.answers = None if self.adversary is None else self.adversary.loss.pool()
        layout = torch.channels_last if run.channels_last else torch.contiguous_format
        # The type stubs of torch lack the memory format here.
        self.network: Network | BlurGenerator = network.to(device=device, memory_format=layout).train()  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False) if run.ema_decay else None
        self.sharded = run.parallel == "fsdp" and processes.ranks > 1
        if self.sharded:
            _shard(self.network, processes)
            if self.average is not None:
                _shard(self.average, processes)
        self._averaging = None if self.average is None else _Averaging(self.average, self.network)
        self.distillation = initial.distillation
        self.regressor_optimizer = None
        if self.distillation is not None:
            self.distillation.teacher.to(device)
            self.distillation.watch(self.network)  # after the average was copied, and before anything wraps
            _share_weights(self.distillation.regressors.to(device), processes)
            if any(True for _ in self.distillation.regressors.parameters()):
                self.regressor_optimizer = _optimizer(configuration.optimizer, self.distillation.regressors)
        if run.checkpoint_activations:
            _checkpoint_blocks(self.network)
        self.model: Any = self._wrapped()
        self.optimizer = _optimizer(configuration.optimizer, self.network)
        self.scaler = torch.amp.GradScaler(device.type, enabled=run.precision == "fp16")
        self.discriminator = None if discriminator is None else discriminator.to(device).train()
        self.discriminator_optimizer = None
        if self.discriminator is not None and self.adversary is not None:
            _share_weights(self.discriminator, processes)
            own = {"betas": self.adversary.betas, "weight_decay": self.adversary.weight_decay}
            settings = configuration.optimizer.replace(
                learning_rate=self.adversary.learning_rate, **{k: v for k, v in own.items() if v is not None}
            )
            self.discriminator_optimizer = _optimizer(settings, self.discriminator)
        self.discriminator_scaler = torch.amp.GradScaler(device.type, enabled=run.precision == "fp16")
        frozen = getattr(self.network, "encoder_parameters", None)
        self._encoder = [] if frozen is None else list(frozen())
        if run.frozen_encoder_steps and not self._encoder:
            raise InvalidValueError(
                f"run.frozen_encoder_steps is {run.frozen_encoder_steps}, but {configuration.network.kind} has no "
                "pretrained encoder.",
                fix="Leave it out.",
            )
        if self.discriminator is not None:  # fail now, not at its first step
            patch = min(stage.patch_px for stage in configuration.stage)
            with torch.no_grad():
                self.discriminator(torch.zeros(2, 3, patch, patch, device=device))

    def _wrapped(self) -> Any:
        """The network wrapped for training: synchronized between processes, and compiled if requested."""
        model: nn.Module = self.network
        device = self.processes.device
        if self.processes.ranks > 1 and not self.sharded:
            model = nn.parallel.DistributedDataParallel(
                model,
                device_ids=[device.index] if device.type == "cuda" else None,
                find_unused_parameters=self._leaves_weights_unused(),
            )
        return torch.compile(model) if self.configuration.run.compile else model

    def _leaves_weights_unused(self) -> bool:
        """Whether some weights get no gradient from the losses (outputs without a loss, parts that an architecture
        stores but does not use). Processes then have to search for them in every step."""
        patch = min(stage.patch_px for stage in self.configuration.stage)
        pictures = torch.zeros(2, 3, patch, patch, device=self.processes.device)
        weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        was_training = self.network.training
        self.network.eval()  # running statistics ignore this image
        with _seeded(self.configuration.seed, 0, "unused"), torch.enable_grad():
            given, _ = self.network.input_and_target(pictures, pictures)
            outputs = self.network(*given, every_scale=True)
            looked_at = outputs if any(loss.every_scale for loss in self.configuration.loss) else outputs[:1]
            total = torch.stack([output.float().sum() for output in looked_at]).sum()
            gradients = torch.autograd.grad(total, weights, allow_unused=True)
        self.network.train(was_training)
        return any(gradient is None for gradient in gradients)

    def _freeze_encoder(self, step: int) -> None:
        """Disable gradients of the encoder while it is frozen, and enable them afterwards.

        Sharded weights keep their gradients, which :meth:`_step` drops, since sharded modules cannot be changed later.
        """
        learns = step >= self.configuration.run.frozen_encoder_steps
        if self.sharded or all(weight.requires_grad == learns for weight in self._encoder):
            return
        for weight in self._encoder:
            weight.grad = None
            weight.requires_grad_(learns)
        self.model = self._wrapped()  # DDP fixes the set of exchanged gradients when it wraps

    # One step

    def update(self, parts: Sequence[Batch], step: int, learning_rate_factor: float) -> dict[str, Tensor]:
        """Run one step of every network. Return the losses by name, and ``gradient_norm``, as tensors on the device."""
        values: dict[str, Tensor] = {}
        self._freeze_encoder(step)
        with _seeded(self.configuration.seed, step, f"step.{self.processes.rank}"):
            playing = self.adversary is not None and step >= self.adversary.from_step
            made: list[tuple[Any, Tensor]] = []
            if playing and len(parts) == 1:  # the network runs once, for both sides
                made = [self._made(parts[0], step, 0)]
                values |= self._update_discriminator(made, step, learning_rate_factor)
            elif playing:
                # The graphs of all parts do not fit into memory (the reason for parts), so the discriminator is updated
                # first, and then each part is computed again with the same random numbers.
                with torch.no_grad():
                    shown = [self._made(batch, step, number) for number, batch in enumerate(parts)]
                values |= self._update_discriminator(shown, step, learning_rate_factor)
            self.optimizer.zero_grad(set_to_none=True)
            if self.regressor_optimizer is not None:
                self.regressor_optimizer.zero_grad(set_to_none=True)
            for number, batch in enumerate(parts):
                with self._reduced_once(number == len(parts) - 1):
                    outputs, target = made[number] if made else self._made(batch, step, number)
                    total, named = self._objective(batch, outputs, target, playing)
                    self.scaler.scale(total / len(parts)).backward()
                for name, value in named.items():
                    values[name] = values.get(name, torch.zeros_like(value)) + value / len(parts)
            values |= self._step(step, learning_rate_factor)
        if self.average is not None:
            self._follow(step)
        return values

    def _made(self, batch: Batch, step: int, part: int) -> tuple[Any, Tensor]:
        """The network's outputs for a part of the batch, at every scale, and their target."""
        with _seeded(self.configuration.seed, step, f"step.{self.processes.rank}.{part}"):
            given, target = self.network.input_and_target(batch.sharp, batch.blurred)
            with self._autocast():
                return self.model(*given, every_scale=True), target

    def _objective(
        self, batch: Batch, outputs: Sequence[Tensor], target: Tensor, playing: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of losses that the network minimizes, and the unweighted terms."""
        targets = self.network.targets(target)
        total = torch.zeros((), device=batch.sharp.device)
        named: dict[str, Tensor] = {}
        for loss in self.configuration.loss:
            value = loss.over_scales(outputs, targets)
            total = total + loss.weight * value
            named[_new_name(loss.kind, named)] = value.detach()
        if self.distillation is not None and isinstance(self.network, Network):
            for name, weight, value in self.distillation.losses(batch.blurred, outputs, self.network, self._autocast()):
                total = total + weight * value
                named[_new_name(name, named)] = value.detach()
        if self.configuration.reblur is not None:
            try:
                value, share = self.configuration.reblur(outputs[0], batch), 1.0
            except NothingToReblur:  # only real pairs, or blurs that cover the whole patch: no contribution
                value, share = torch.zeros_like(total), 0.0
            total = total + self.configuration.reblur.weight * value
            named["re_blur"] = value.detach()
            named["re_blur_share"] = torch.full_like(total, share)  # fraction of steps in which it contributed
        if playing and self.adversary is not None and self.discriminator is not None:
            with _frozen(self.discriminator), self._autocast():
                real = self.discriminator(target)
                fake = self.discriminator(outputs[0])
            value = self.adversary.loss.generator_loss(self._answers(real), self._answers(fake), self.answers)
            total = total + self.adversary.loss.weight * value
            named[self.adversary.loss.kind] = value.detach()
        named["loss"] = total.detach()
        return total, named

    def _update_discriminator(self, made: Sequence[tuple[Any, Tensor]], step: int, factor: float) -> dict[str, Tensor]:
        assert self.discriminator is not None
        assert self.discriminator_optimizer is not None
        assert self.adversary is not None
        loss, named = self.adversary.loss, {}
        fakes = [(outputs[0].detach(), target) for outputs, target in made]
        skipped = torch.zeros((), device=self.processes.device)
        for turn in range(self.adversary.steps):
            self.discriminator_optimizer.zero_grad(set_to_none=True)
            total = torch.zeros((), device=self.processes.device)
            places = torch.Generator().manual_seed(
                Stream(self.configuration.seed, step, f"penalty.{self.processes.rank}.{turn}").seed63()
            )
            for fake, target in fakes:
                with self._autocast():
                    answers = self.discriminator(target), self.discriminator(fake)
                value = loss.discriminator_loss(self._answers(answers[0]), self._answers(answers[1]), self.answers)
                if loss.penalty_weight:
                    penalty = loss.gradient_penalty(self.discriminator, target, fake.float(), places)
                    value = value + loss.penalty_weight * penalty
                    named["gradient_penalty"] = penalty.detach()
                self.discriminator_scaler.scale(value / len(fakes)).backward()
                total = total + value.detach() / len(fakes)
            self.processes.mean(p.grad for p in self.discriminator.parameters() if p.grad is not None)
            for group in self.discriminator_optimizer.param_groups:
                group["lr"] = self.adversary.learning_rate * factor
            skipped = skipped + self._stepped(self.discriminator_scaler, self.discriminator_optimizer)
            named["discriminator"] = total
        if self.discriminator_scaler.is_enabled():
            named["discriminator_skipped"] = skipped
        return named

    def _answers(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """A discriminator's answers in float32, gathered from all processes if the loss takes means over the batch."""
        assert self.adversary is not None
        precise = tuple(m.float() for m in maps)
        return tuple(map(self.processes.whole, precise)) if self.adversary.loss.compares_with_means else precise

    def _stepped(self, scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> Tensor:
        """Take a step; return 1 if the scaler skipped it because gradients overflowed. Does not wait for the device."""
        one = torch.ones((), device=self.processes.device)
        before = scaler.scale(one)
        scaler.step(optimizer)
        scaler.update()
        return (scaler.scale(one) < before).float()  # only a skipped step lowers the scale

    def check_scales(self) -> None:
        """Raise an error if half precision cannot represent the gradients at all; synchronizes with the device."""
        for name, scaler in (("", self.scaler), ("the discriminator's ", self.discriminator_scaler)):
            if scaler.is_enabled() and scaler.get_scale() < LEAST_SCALE:
                raise TrainingError(
                    f"In fp16 {name}gradients overflow at any loss scale: the scale has dropped to "
                    f"{scaler.get_scale():.2g}, and all steps that overflowed were skipped.",
                    why="Weights, activations or a loss exceed the range of fp16 (65504).",
                    fix='Use run.precision = "bf16" or "float32", a lower learning rate, or a smaller weight of the '
                    "largest loss.",
                )

    def _step(self, step: int, factor: float) -> dict[str, Tensor]:
        settings, run = self.configuration.optimizer, self.configuration.run
        self.scaler.unscale_(self.optimizer)
        if step < run.frozen_encoder_steps:
            for parameter in self._encoder:
                parameter.grad = None
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(parameters, settings.clip_norm or math.inf)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor
        if self.distillation is not None and self.regressor_optimizer is not None:
            self.processes.mean(p.grad for p in self.distillation.regressors.parameters() if p.grad is not None)
            for group in self.regressor_optimizer.param_groups:
                group["lr"] = settings.learning_rate * factor
            self.scaler.step(self.regressor_optimizer)
        skipped = self._stepped(self.scaler, self.optimizer)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        if not self.scaler.is_enabled():
            return {"gradient_norm": norm}
        return {"gradient_norm": torch.where(skipped > 0, torch.zeros_like(norm), norm), "skipped": skipped}

    def _follow(self, step: int) -> None:
        """Update the running average; it decays faster at the start, so that it forgets the initial weights."""
        assert self._averaging is not None
        self._averaging.follow(min(self.configuration.run.ema_decay, (1 + step) / (10 + step)))

    def _autocast(self) -> Any:
        dtype = autocast_type(self.configuration.run.precision)
        return nullcontext() if dtype is None else torch.autocast(self.processes.device.type, dtype=dtype)

    def _reduced_once(self, last: bool) -> Any:
        """Exchange the gradients of several parts between processes only once, after the last part."""
        model = self.model
        return nullcontext() if last or not hasattr(model, "no_sync") else model.no_sync()

    # What is kept

    def weights(self) -> dict[str, Tensor]:
        """The network and its average, on the CPU.

        If weights are sharded, every process must call it, and the first one gets the full tensors.
        """
        modules = {"network": self.network} | ({} if self.average is None else {"average": self.average})
        states: Any = {name: get_model_state_dict(module, options=_WHOLE) for name, module in modules.items()}
        return {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint of the run; see :meth:`weights`."""
        kept = self.weights() | _flat("optimizer", self.network, self.optimizer)
        if self.discriminator is not None and self.discriminator_optimizer is not None:
            kept |= {f"discriminator.{k}": v for k, v in self.discriminator.state_dict().items()}
            kept |= _flat("discriminator_optimizer", self.discriminator, self.discriminator_optimizer)
        if self.answers is not None:
            kept |= {f"answers.{k}": v for k, v in self.answers.state().items()}
        if self.distillation is not None and self.regressor_optimizer is not None:
            kept |= {f"regressors.{k}": v for k, v in self.distillation.regressors.state_dict().items()}
            kept |= _flat("regressor_optimizer", self.distillation.regressors, self.regressor_optimizer)
        return kept

    def manifest(self) -> dict[str, Any]:
        """The description of the networks for the JSON of a checkpoint."""
        return {
            **describe(self.network),
            "scaler": self.scaler.state_dict(),
            "discriminator_scaler": self.discriminator_scaler.state_dict(),
            **({} if self.distillation is None else {"teacher_sha256": self.distillation.sha256}),
        }

    def load(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint of the same configuration."""
        try:
            set_model_state_dict(self.network, {**checkpoint.part("network")}, options=_WHOLE)
            if self.average is not None:
                set_model_state_dict(self.average, {**checkpoint.part("average")}, options=_WHOLE)
            _restore("optimizer", self.network, self.optimizer, checkpoint)
            if self.discriminator is not None and self.discriminator_optimizer is not None:
                self.discriminator.load_state_dict(checkpoint.part("discriminator"))
                _restore("discriminator_optimizer", self.discriminator, self.discriminator_optimizer, checkpoint)
            if self.answers is not None:
                self.answers.load(checkpoint.part("answers"))
            if self.distillation is not None and self.regressor_optimizer is not None:
                self.distillation.regressors.load_state_dict(checkpoint.part("regressors"))
                _restore("regressor_optimizer", self.distillation.regressors, self.regressor_optimizer, checkpoint)
            self.scaler.load_state_dict(checkpoint.manifest["scaler"])
            self.discriminator_scaler.load_state_dict(checkpoint.manifest["discriminator_scaler"])
        except (RuntimeError, KeyError) as error:
            raise DatasetError("The checkpoint does not fit this configuration.", why=str(error)) from None

    def best(self) -> Network | BlurGenerator:
        """The network with the averaged weights (the current weights without averaging), for evaluation.

        If weights are sharded, every process must call it, and gets the full tensors.
        """
        source = self.network if self.average is None else self.average
        if not self.sharded:
            return source
        network = self.configuration.network.build()
        network.load_state_dict(get_model_state_dict(source, options=StateDictOptions(full_state_dict=True)))
        return network.to(self.processes.device)


def _optimizer(settings: Optimizer, module: nn.Module) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    weights = list(module.parameters())
    return kind(
        weights,
        fused=True if weights[0].device.type == "cuda" else None,  # one kernel for all weights
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
    )


class _Averaging:
    """Tensors of a network and of its running average, looked up once because they stay the same objects."""

    def __init__(self, average: nn.Module, network: nn.Module) -> None:
        mine, theirs = (module.state_dict(keep_vars=True) for module in (average, network))
        numbers = [name for name, value in theirs.items() if value.is_floating_point()]
        self._mine, self._theirs = [mine[n] for n in numbers], [theirs[n] for n in numbers]
        self._copied = [(mine[n], theirs[n]) for n in sorted(theirs.keys() - set(numbers))]

    def follow(self, decay: float) -> None:
        # One call for hundreds of small weights.
        torch.optim.swa_utils.get_ema_multi_avg_fn(decay)(self._mine, self._theirs, 0)
        for mine, theirs in self._copied:
            mine.copy_(theirs)


def _checkpoint_blocks(network: nn.Module) -> None:
    """Enable activation checkpointing for blocks in lists and sequences: the backward pass recomputes activations.

    Blocks with running statistics are excluded, since recomputation would update the statistics twice.
    """
    blocks = list(_blocks(network))
    if not blocks:
        raise InvalidValueError(
            f"run.checkpoint_activations: {type(network).__name__} has no blocks that can be recomputed.",
            why="It applies to blocks in sequences, without running statistics.",
            fix="Leave it out; smaller parts (stage.N.accumulate) need less memory, too.",
        )
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost multi-layer modules that are entries of a list or a plain sequence."""
    plain = (nn.Sequential, nn.ModuleList)
    for child in module.children():
        if type(module) in plain and type(child) not in plain and any(True for _ in child.children()):
            if not any(name.endswith("running_mean") for name, _ in child.named_buffers()):
                yield child
        else:
            yield from _blocks(child)


def _share_weights(module: nn.Module, processes: Processes) -> None:
    """Broadcast the first process's weights to all processes."""
    if processes.ranks > 1:
        for tensor in module.state_dict().values():
            torch.distributed.broadcast(tensor, 0)


def _shard(module: nn.Module, processes: Processes) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(processes.device.type, (processes.ranks,))
    fully_shard(module, mesh=mesh)


def _new_name(name: str, taken: Mapping[str, Any]) -> str:
    """``l1``, then ``l1.2``, so that two losses of one kind are logged separately."""
    number = 1 + sum(other == name or other.startswith(f"{name}.") for other in taken)
    return name if number == 1 else f"{name}.{number}"


def _flat(name: str, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    if not optimizer.state:
        return {}  # before the first step, torch would run a step to create the state
    # Processes other than the first get nothing.
    state: Any = get_optimizer_state_dict(module, optimizer, options=_WHOLE).get("state", {})
    return {f"{name}.{weight}/{key}": torch.as_tensor(v) for weight, keys in state.items() for key, v in keys.items()}


def _restore(name: str, module: nn.Module, optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    state: dict[str, Any] = {}
    for key, value in checkpoint.part(name).items():
        weight, _, part = key.rpartition("/")
        state.setdefault(weight, {})[part] = value
    if not state:
        return  # before its first step, an optimizer has no state
    (group,) = optimizer.param_groups
    names = dict(module.named_parameters())
    whole: Any = {"state": state, "param_groups": [{**group, "params": list(names)}]}
    # Frozen and unused weights have no state yet, and must not get any.
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)
    set_optimizer_state_dict(module, optimizer, whole, options=options)
    for name in names.keys() - state.keys():
        optimizer.state.pop(names[name], None)


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Gradients pass through the module, but do not reach its weights."""
    before = [p.requires_grad for p in module.parameters()]
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, wanted in zip(module.parameters(), before, strict=True):
            parameter.requires_grad_(wanted)


@contextmanager
def _seeded(seed: int, step: int, name: str) -> Iterator[None]:
    """Seed torch's generators within the context; their state is restored afterwards."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(Stream(seed, step, f"torch.{name}").seed63())
        yield
