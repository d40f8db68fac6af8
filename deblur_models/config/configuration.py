"""The configuration of a training run: a TOML file, validated in full before any work starts.

Tables: ``[network]``, ``[[loss]]``, ``[data.NAME]``, ``[[stage]]``, ``[validation]``, ``[optimizer]``, ``[schedule]``,
``[run]``, for adversarial training ``[adversarial]``, ``[augmentation]`` for more than flips and rotations, and
``[teacher]`` to learn from a trained network as well. A file may begin with ``extends = "NAME or path"`` to inherit
from another one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from blursynth.errors import BlursynthError, InvalidValueError, did_you_mean
from blursynth.records.kind import Record, among
from blursynth.records.toml import Tables, TomlFiles, change, merged, without_none
from deblur_models.data import Augmentation
from deblur_models.losses import ADVERSARIAL, ALL, Loss
from deblur_models.losses.adversarial import AdversarialLoss
from deblur_models.losses.consistency import ReBlur
from deblur_models.networks import DISCRIMINATORS, TRAINABLE, Architecture, BlurGeneratorConfig, NetworkConfig

__all__ = [
    "TABLES",
    "Adversary",
    "Configuration",
    "ConfigurationError",
    "DataTable",
    "Optimizer",
    "Run",
    "Schedule",
    "Stage",
    "Teacher",
    "Validation",
    "configuration_names",
    "load_configuration",
]


class ConfigurationError(BlursynthError, ValueError):
    """A training configuration cannot be used: a misspelled table or field, or an impossible combination."""


class DataTable(Record):
    """``[data.NAME]``: photographs that are blurred on the fly, or existing pairs.

    Exactly one of ``photos`` and ``pairs`` must be given. With ``blur_network``, only their sharp pictures are used: a
    network that learned to blur generates the blurred ones on the training device, with noise that is a function of
    the seed and the sample index. Crops of photographs are then chosen by the recipe 'sharp'.
    """

    photos: str | tuple[str, ...] | None = Field(
        default=None,
        description="sharp photographs: folder, glob, file or several; 'bundled:training' uses those of scikit-image",
    )
    recipe: str = Field(default="mixed", description="recipe that blurs the photographs: a name or a path")
    blur_network: str | None = Field(
        default=None,
        description="checkpoint or run of a network that blurs the sharp pictures, replacing the recipe or the blurred "
        "pictures of pairs",
    )
    downscale: int = Field(default=1, ge=1, le=8, description="factor by which photographs are downscaled first")
    min_detail: float | None = Field(
        default=None,
        gt=0,
        lt=1e4,
        description="minimum detail of a patch: the standard deviation of its Laplacian in 8-bit codes; 10 excludes "
        "flat and out-of-focus patches",
    )
    depth: str | None = Field(default=None, description="folder with depth maps of the photographs, in meters")
    on_device: bool | None = Field(
        default=None, description="whether blur is computed on the training device; by default only on CUDA devices"
    )
    reuse: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="number of times each blurred patch is used, for blur that takes longer than the training step",
    )
    pairs: str | None = Field(default=None, description="a blursynth data set, or a folder of real pairs")
    sharp: str | None = Field(default=None, description="folder of the sharp pictures, if pairs holds the blurred ones")
    share: float = Field(
        default=1.0, gt=0, le=1e6, description="frequency of samples from this table, relative to other tables"
    )
    seed: int | None = Field(default=None, ge=0, lt=2**62, description="seed of the blur; default: the run's seed")

    def model_post_init(self, context: object) -> None:
        _check_source(self)
        if self.blur_network is not None:
            _refuse(self, _OF_RECIPES, "requires a recipe, but blur_network is set")


class Stage(Record):
    """``[[stage]]``: a part of the training with its own patch size and data."""

    steps: int = Field(ge=1, le=10**9, description="number of steps (updates of the network)")
    patch_px: int = Field(ge=8, le=4096, description="side of the square patches")
    batch: int = Field(
        ge=1, le=65536, description="number of patches per step, over all processes and accumulated parts of the batch"
    )
    accumulate: int = Field(
        default=1, ge=1, le=1024, description="number of parts of a process's batch (gradient accumulation)"
    )
    data: tuple[str, ...] = Field(default=(), description="names of the data tables to use; by default all")
    learning_rate_factor: float = Field(default=1.0, gt=0, le=1e3, description="factor of the scheduled learning rate")

    def model_post_init(self, context: object) -> None:
        if self.batch % self.accumulate:
            raise InvalidValueError(
                f"batch {self.batch} cannot be split into {self.accumulate} equal parts.",
                field="accumulate",
                value=self.accumulate,
            )


class Validation(Record):
    """``[validation]``: held-out pairs, scored during training; those made from photographs are drawn once and kept.

    How often validation runs, how many pictures are written and which network counts as the best (``may_change``) may
    differ when a run is resumed.
    """

    may_change: ClassVar[frozenset[str]] = frozenset({"every", "pictures", "no_harm_db", "best_by"})

    photos: str | tuple[str, ...] | None = Field(default=None, description="held-out photographs, as in a data table")
    recipe: str = Field(default="mixed", description="recipe that blurs them")
    downscale: int = Field(default=1, ge=1, le=8, description="factor by which they are downscaled first")
    pairs: str | None = Field(default=None, description="a blursynth data set, or a folder of real pairs")
    sharp: str | None = Field(default=None, description="folder of the sharp pictures, if pairs holds the blurred ones")
    count: int = Field(default=16, ge=1, le=100_000, description="number of pairs used")
    size_px: int = Field(default=192, ge=11, le=8192, description="side of the samples cut from photographs")
    seed: int = Field(default=999_983, ge=0, lt=2**62, description="seed of their blur, not that of the training")
    every: int = Field(default=500, ge=1, le=10**9, description="steps between two validations")
    pictures: int = Field(default=4, ge=0, le=64, description="before/after pictures written at each validation")
    no_harm_db: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="minimum PSNR between sharp pictures and the network's output for them, required of the best "
        "network; 0: none",
    )
    best_by: Literal["psnr", "pooled_psnr"] = Field(
        default="psnr",
        description="score of the best network: psnr, the mean over the pairs, or pooled_psnr, that of the mean "
        "squared error over all pairs, which strongly blurred ones decide",
    )

    def model_post_init(self, context: object) -> None:
        _check_source(self)

    @property
    def origin(self) -> str:
        """Where the pairs come from, for display: ``bundled:held-out with steady-hand``, or a path."""
        if self.photos is None:
            return str(self.pairs)
        photos = self.photos if isinstance(self.photos, str) else ", ".join(self.photos)
        return f"{photos} with {self.recipe}"


class Optimizer(Record):
    """``[optimizer]``: how gradients update the weights."""

    kind: Literal["adamw", "adam"] = Field(default="adamw", description="adamw decouples weight decay from gradients")
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="learning rate at the start, after warm-up")
    betas: tuple[float, float] = Field(default=(0.9, 0.9), description="decay of the two running means of gradients")
    epsilon: float = Field(default=1e-8, gt=0, le=1, description="value added to the root mean square of gradients")
    weight_decay: float = Field(default=0.0, ge=0, le=10, description="weight decay coefficient")
    clip_norm: float = Field(default=0.0, ge=0, le=1e9, description="maximum norm of all gradients together; 0: none")


class Schedule(Record):
    """``[schedule]``: the learning rate over the run.

    ``constant``; ``cosine`` from ``hold`` to the end; ``linear`` from ``hold`` to the end; ``polynomial``: the
    remaining fraction of the way from ``hold`` to the end, raised to ``power``; ``steps``: multiplied by ``factor`` at
    each of ``milestones``. Positions are fractions of the run, so that a shorter run keeps the shape.
    """

    kind: Literal["constant", "cosine", "linear", "polynomial", "steps"] = Field(
        default="cosine", description="shape of the curve"
    )
    warmup_steps: int = Field(default=0, ge=0, le=10**8, description="steps over which the rate rises from zero")
    hold: float = Field(default=0.0, ge=0, lt=1, description="fraction of the run before the rate falls")
    final_factor: float = Field(
        default=1e-3, ge=0, le=1, description="fraction of the learning rate that remains at the end"
    )
    power: float = Field(
        default=1.0, gt=0, le=100, description="exponent (kind 'polynomial'); 1 is linear, SRN-DeblurNet uses .3"
    )
    milestones: tuple[float, ...] = Field(default=(0.4, 0.6, 0.8), description="fractions of the run (kind 'steps')")
    factor: float = Field(default=0.5, gt=0, le=1, description="factor applied at each milestone (kind 'steps')")

    def at(self, step: int, steps: int) -> float:
        """The factor of the learning rate at a step, 0 <= step < steps."""
        warm = min(1.0, (step + 1) / (self.warmup_steps + 1))
        place = step / max(steps, 1)
        falling = min(max((place - self.hold) / (1 - self.hold), 0.0), 1.0)
        if self.kind == "cosine":
            curve = self.final_factor + (1 - self.final_factor) * (1 + math.cos(math.pi * falling)) / 2
        elif self.kind == "linear":
            curve = self.final_factor + (1 - self.final_factor) * (1 - falling)
        elif self.kind == "polynomial":
            curve = self.final_factor + (1 - self.final_factor) * (1 - falling) ** self.power
        elif self.kind == "steps":
            curve = self.factor ** sum(place >= m for m in self.milestones)
        else:
            curve = 1.0
        return warm * curve


class Run(Record):
    """``[run]``: where and how the training is computed.

    Fields that only affect where and how fast it runs and how often it reports (``may_change``) may differ when a run
    is resumed.
    """

    may_change: ClassVar[frozenset[str]] = frozenset(
        {
            "device", "compile", "channels_last", "tf32", "cudnn", "checkpoint_activations", "workers", "threads",
            "parallel", "checkpoint_every", "log_every", "tensorboard", "cache", "cache_gb",
        }
    )  # fmt: skip

    device: str = Field(default="auto", description="device: auto, cpu, cuda, cuda:1, mps")
    precision: Literal["float32", "bf16", "fp16"] = Field(default="float32", description="precision of autocast")
    compile: bool = Field(default=False, description="whether torch.compile compiles the network")
    channels_last: bool = Field(default=False, description="whether images use the channels-last memory format")
    tf32: bool = Field(
        default=True,
        description="whether CUDA devices multiply float32 with 10 mantissa bits (TF32), accumulating in float32",
    )
    cudnn: Literal["benchmark", "heuristic", "deterministic"] = Field(
        default="benchmark",
        description="how convolution algorithms on CUDA devices are chosen: by measuring the fastest for each size, by "
        "heuristics, or only those that are deterministic bit for bit",
    )
    checkpoint_activations: bool = Field(
        default=False,
        description="whether blocks of the network are recomputed in the backward pass instead of stored: less "
        "memory, about a third more time",
    )
    workers: int = Field(default=0, ge=0, le=1024, description="processes that load and blur data; 0: the main one")
    threads: int = Field(default=0, ge=0, le=1024, description="CPU threads of torch; 0: torch's default")
    cache: str = Field(
        default="", description="folder for what is read from data sets in object storage; by default nothing is kept"
    )
    cache_gb: float = Field(default=20.0, gt=0, le=1e6, description="maximum size of this folder in GB (10^9 bytes)")
    parallel: Literal["ddp", "fsdp"] = Field(default="ddp", description="parallelism of torchrun processes")
    ema_decay: float = Field(
        default=0.999, ge=0, lt=1, description="decay of the running average of weights; 0: no EMA"
    )
    encoder_weights: str = Field(
        default="",
        description="file of the backbone's pretrained weights, with the names of timm or the published code: "
        ".safetensors, or a .pth that holds only tensors; empty: random initialization",
    )
    frozen_encoder_steps: int = Field(default=0, ge=0, le=10**8, description="steps with a frozen backbone")
    checkpoint_every: int = Field(default=500, ge=1, le=10**9, description="steps between checkpoints")
    log_every: int = Field(default=20, ge=1, le=10**6, description="steps between lines of the log")
    augment: bool | Literal["mirror"] = Field(
        default=True,
        description="flips and rotations of patches, in addition to [augmentation]: true: flips and quarter turns, all "
        "eight equally often; 'mirror': every second patch flipped left to right; false: none",
    )
    tensorboard: bool = Field(default=False, description="whether to write events for TensorBoard as well")


class Adversary(Record):
    """``[adversarial]``: a loss, a discriminator and how the two sides take turns."""

    loss: Annotated[AdversarialLoss, among(ADVERSARIAL, noun="adversarial loss")] = Field(
        description="adversarial loss"
    )
    discriminator: Annotated[Architecture, among(DISCRIMINATORS, noun="discriminator")] = Field(
        description="discriminator"
    )
    steps: int = Field(default=1, ge=1, le=100, description="updates of the discriminator per update of the network")
    learning_rate: float = Field(default=1e-4, gt=0, le=10, description="learning rate of the discriminator")
    betas: tuple[float, float] | None = Field(
        default=None, description="betas of the discriminator's optimizer; default: betas of [optimizer]"
    )
    weight_decay: float | None = Field(
        default=None, ge=0, le=10, description="weight decay of the discriminator; default: weight_decay of [optimizer]"
    )
    from_step: int = Field(
        default=0, ge=0, le=10**9, description="first step of adversarial training; before it, the network trains alone"
    )
    start_from: str | None = Field(
        default=None,
        description="checkpoint with the discriminator's initial weights, imported or from an adversarial run",
    )


class Teacher(Record):
    """``[teacher]``: a trained network that the network learns from as well (knowledge distillation).

    The teacher sees the same blurred pictures. ``[[teacher.loss]]`` compares the outputs of both, by any loss of
    ``[[loss]]``; features and attention compare maps inside.
    """

    network: str = Field(description="teacher: a checkpoint, a run, or the name of a network that ships")
    loss: tuple[Annotated[Loss, among(ALL, noun="loss")], ...] = Field(
        default=(), description="losses between the outputs of network and teacher: tables [[teacher.loss]]"
    )
    features_weight: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="weight of the squared error of the features, relative to the teacher's; where the numbers of "
        "channels differ, a trained 1 x 1 convolution translates (FitNets)",
    )
    attention_weight: float = Field(
        default=0.0, ge=0, le=1e6, description="weight of the distance of the maps of activity (attention transfer)"
    )
    layers: tuple[str, ...] = Field(
        default=(),
        description="layers of the network whose maps are compared, by the names of its modules; by default the last "
        "one with the coarsest maps that both networks have",
    )
    teacher_layers: tuple[str, ...] = Field(
        default=(), description="layers of the teacher in the same order; by default those of the same names"
    )

    def model_post_init(self, context: object) -> None:
        if not (self.loss or self.features_weight or self.attention_weight):
            raise InvalidValueError(
                "nothing is learned from the teacher.",
                fix="Add a table [[teacher.loss]], features_weight or attention_weight.",
            )
        if self.layers and not (self.features_weight or self.attention_weight):
            raise InvalidValueError(
                "layers are named, but features_weight and attention_weight are 0.",
                fix="Give one of them a weight, or leave layers out.",
                field="layers",
                value=self.layers,
            )
        if self.teacher_layers and len(self.teacher_layers) != len(self.layers):
            raise InvalidValueError(
                f"teacher_layers must be as many as layers ({len(self.layers)}), got {len(self.teacher_layers)}.",
                field="teacher_layers",
                value=self.teacher_layers,
            )


class Configuration(Record):
    """A validated training configuration. :meth:`to_dict` returns the content of its file."""

    summary: str = Field(default="", description="one-line description")
    seed: int = Field(default=0, ge=0, lt=2**62, description="seed of weights, sample order, blur and augmentation")
    start_from: str | None = Field(default=None, description="checkpoint or run with the initial weights")
    network: Annotated[NetworkConfig | BlurGeneratorConfig, among(TRAINABLE, noun="network")] = Field(
        description="network to train"
    )
    loss: tuple[Annotated[Loss, among(ALL, noun="loss")], ...] = Field(min_length=1, description="losses to minimize")
    data: dict[str, DataTable] = Field(
        min_length=1, description="training data: tables, each with a name, [data.anyname]"
    )
    stage: tuple[Stage, ...] = Field(min_length=1, description="duration, patch size and data of each stage")
    validation: Validation | None = None
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    run: Run = Run()
    augmentation: Augmentation | None = None
    adversarial: Adversary | None = None
    reblur: ReBlur | None = None
    teacher: Teacher | None = None

    def model_post_init(self, context: object) -> None:
        for number, stage in enumerate(self.stage, 1):
            for wanted in stage.data:
                if wanted not in self.data:
                    raise InvalidValueError(
                        f"there is no [data.{wanted}].",
                        fix=did_you_mean(wanted, self.data),
                        place=f"[[stage]] {number}",
                        field="data",
                        value=wanted,
                    )
        _check_encoder(self)
        _check_reblur(self)
        if not isinstance(self.network, BlurGeneratorConfig):
            return
        if self.validation is not None and self.validation.no_harm_db > 0:
            raise InvalidValueError(
                f"no_harm_db asks for unchanged sharp pictures, but {self.network.kind} blurs them.",
                fix="Leave it out.",
                place="[validation]",
                field="no_harm_db",
                value=self.validation.no_harm_db,
            )
        if self.teacher is not None:
            raise InvalidValueError(
                f"a teacher restores, but {self.network.kind} blurs.", fix="Leave it out.", place="[teacher]"
            )
        if self.augmentation is not None:
            raise InvalidValueError(
                f"corrupts blurred pictures, and {self.network.kind} would learn to imitate the corruption.",
                fix="Leave it out; run.augment flips and rotates both pictures.",
                place="[augmentation]",
            )

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stage)

    def stage_at(self, step: int) -> tuple[int, int, int]:
        """Index of the stage that contains a step, the stage's first step and the index of its first sample."""
        first = sample = 0
        for number, stage in enumerate(self.stage):
            if step < first + stage.steps:
                return number, first, sample
            first, sample = first + stage.steps, sample + stage.steps * stage.batch
        raise InvalidValueError(f"The run has {self.steps} steps, so there is no step {step}.")

    def to_dict(self, *, defaults: bool = True) -> dict[str, Any]:
        tables: dict[str, Any] = without_none(super().to_dict(defaults=defaults))
        if "reblur" in tables:
            del tables["reblur"]["kind"]  # implied by the name of its table
        return tables

    def of_length(self, steps: int) -> Configuration:
        """The same run in ``steps`` steps: stages, the warm-up and everything else tied to a step scale in proportion.

        Intervals (between validations, checkpoints and lines of the log) stay the same.

        Raises
        ------
        InvalidValueError
            Fewer than one step per stage.
        """
        if steps < len(self.stage):
            raise InvalidValueError(
                f"A run of {len(self.stage)} stages needs at least as many steps, got {steps}.",
                fix="Choose more steps, or remove stages from the configuration.",
            )
        whole, done, end = self.steps, 0, 0
        stages = []
        for number, stage in enumerate(self.stage):
            end += stage.steps
            later = len(self.stage) - 1 - number
            until = min(max(round(end * steps / whole), done + 1), steps - later)  # each keeps one step
            stages.append(stage.replace(steps=until - done))
            done = until

        def in_proportion(step: int) -> int:
            return round(step * steps / whole)

        adversary = self.adversarial
        return self.replace(
            stage=tuple(stages),
            schedule=self.schedule.replace(warmup_steps=in_proportion(self.schedule.warmup_steps)),
            run=self.run.replace(frozen_encoder_steps=in_proportion(self.run.frozen_encoder_steps)),
            adversarial=adversary and adversary.replace(from_step=in_proportion(adversary.from_step)),
        )

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Fields that make another run train differently, as ``optimizer.learning_rate 0.001 (now 0.0001)``.

        Two spellings of one path (``photos`` and ``./photos/``) are not a difference. Locations of data are not
        compared here (see :meth:`moved`), since it may have been moved.
        """
        return self._changes(other, of_places=False)

    def moved(self, other: Mapping[str, Any]) -> list[str]:
        """Fields in which another run has other data locations, in the same form; only their content must match."""
        return self._changes(other, of_places=True)

    def _changes(self, other: Mapping[str, Any], *, of_places: bool) -> list[str]:
        theirs, mine = dict(_leaves(other)), dict(_leaves(json.loads(json.dumps(self.to_dict(), allow_nan=False))))
        free = {"summary"}
        free |= {f"{table.__name__.lower()}.{name}" for table in (Run, Validation) for name in table.may_change}
        return [
            f"{key} {theirs.get(key, 'absent')} (now {mine.get(key, 'absent')})"
            for key in sorted({*theirs, *mine} - free)
            if _is_place(key) == of_places
            if _respelt(key, theirs.get(key)) != _respelt(key, mine.get(key))
        ]


TABLES: Mapping[str, type[Record]] = {
    "data.NAME": DataTable,
    "stage": Stage,
    "validation": Validation,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "run": Run,
    "augmentation": Augmentation,
    "adversarial": Adversary,
    "reblur": ReBlur,
    "teacher": Teacher,
}
"""Tables whose fields do not depend on a kind, as the other tables' do."""


_PATHS = frozenset(
    {
        "photos", "pairs", "sharp", "depth", "recipe", "blur_network", "start_from", "weights_file", "encoder_weights",
        "network",
    }
)  # fmt: skip
"""Last parts of the dotted names of fields that hold paths."""


def _is_place(key: str) -> bool:
    """Whether a field is the path of pictures, pairs, a recipe, a network of the data or the teacher."""
    table, _, name = key.rpartition(".")
    if key == "teacher.network":
        return True
    of_data = table.startswith("data.") or table == "validation"
    return of_data and name in {"photos", "pairs", "sharp", "depth", "recipe", "blur_network"}


def _respelt(key: str, value: Any) -> Any:
    """A path, or several, normalized; other values unchanged."""
    if key.rpartition(".")[2] not in _PATHS:
        return value
    if isinstance(value, list):
        return [_respelt(key, entry) for entry in value]
    if not isinstance(value, str) or value.startswith("bundled:") or "://" in value:
        return value
    return os.path.abspath(value)


def _leaves(tables: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values."""
    if isinstance(tables, Mapping):
        items = [(str(name), value) for name, value in tables.items()]
    elif isinstance(tables, list) and any(isinstance(value, Mapping) for value in tables):
        items = [(str(number), value) for number, value in enumerate(tables)]
    else:
        yield key, tables
        return
    for name, value in items:
        yield from _leaves(value, f"{key}.{name}" if key else name)


_FILES = TomlFiles("configuration", ConfigurationError, "deblur_models.config")

_OF_A_KIND = ("network", "adversarial.loss", "adversarial.discriminator")
"""Tables whose other fields belong to one kind, so that another kind replaces them."""


def configuration_names() -> tuple[str, ...]:
    """Names of the configurations bundled with the package."""
    return _FILES.names()


def load_configuration(
    source: str | Path | Mapping[str, Any], changes: Mapping[str, Any] | None = None
) -> Configuration:
    """A configuration by name, from a file, or from its tables.

    Parameters
    ----------
    source
        A bundled name, the path of a .toml file, or tables. Paths in a file are relative to the working directory.
    changes
        Dotted names and values that override its own, e.g. ``{"optimizer.learning_rate": 1e-4, "stage.0.steps": 100}``.
        A table is replaced as a whole, None removes it. Entries of arrays are counted from 0.

    Raises
    ------
    ConfigurationError
        It does not exist, a table or field is unknown or out of range, or two of them are incompatible.
    """
    tables = (
        Tables(dict(source), "configuration")
        if isinstance(source, Mapping)
        else _FILES.read(source, merge=lambda below, above: merged(below.values, above.values, of_a_kind=_OF_A_KIND))
    )
    tables = change(tables, changes or {}, error=ConfigurationError, of_a_kind=_OF_A_KIND)
    try:
        return Configuration(**tables.values)
    except InvalidValueError as error:
        raise error.at(tables.name, ConfigurationError) from None


def _check_encoder(configuration: Configuration) -> None:
    """Backbone weights need a network with a backbone and a single source; an untrained backbone cannot be frozen."""
    run, network, start_from = configuration.run, configuration.network, configuration.start_from

    def wrong(field: str, what: str, *, why: str = "", fix: str) -> InvalidValueError:
        value = getattr(run, field)
        return InvalidValueError(
            f"{field} = {value!r}{what}", why=why, fix=fix, place="[run]", field=field, value=value
        )

    has_encoder = "encoder" in type(network).model_fields
    if run.encoder_weights and not has_encoder:
        raise wrong("encoder_weights", f", but {network.kind} has no pretrained encoder.", fix="Leave it out.")
    if run.encoder_weights and start_from is not None:
        raise wrong(
            "encoder_weights",
            f" and start_from = {start_from!r} both give the encoder's initial weights.",
            fix="Leave one of them out; a checkpoint contains the weights of its encoder.",
        )
    if has_encoder and run.frozen_encoder_steps and not run.encoder_weights and start_from is None:
        raise wrong(
            "frozen_encoder_steps",
            " freezes the encoder, but without encoder_weights it has random weights.",
            why="The rest of the network would be trained on meaningless features.",
            fix="Set encoder_weights to a file of timm's weights for the backbone, or set frozen_encoder_steps = 0.",
        )


def _check_reblur(configuration: Configuration) -> None:
    """Re-blurring needs a network that restores, and pictures that are aligned with their draw."""
    if configuration.reblur is None:
        return
    if isinstance(configuration.network, BlurGeneratorConfig):
        why_not = f", but {configuration.network.kind} does not restore."
        fix = "Leave [reblur] out, or train a network that restores."
    elif configuration.run.augment:
        why_not, fix = " with their draw, which does not fit rotated pictures.", "Set augment = false in [run]."
    elif configuration.augmentation is not None:
        why_not = " with their draw, which does not fit pictures that [augmentation] moved and corrupted."
        fix = "Leave one of the two tables out."
    else:
        return
    raise InvalidValueError(f"re-blurs restored pictures{why_not}", fix=fix, place="[reblur]")


_OF_RECIPES = ("recipe", "depth", "on_device", "reuse")


def _check_source(table: DataTable | Validation) -> None:
    """Photographs or pairs, and no field that only applies to the other."""
    if (table.photos is None) == (table.pairs is None):
        raise InvalidValueError(
            f"needs either photos (blurred on the fly) or pairs, got {'neither' if table.photos is None else 'both'}.",
            field="photos",
        )
    if table.pairs is None:
        _refuse(table, ("sharp",), "requires pairs")
    else:
        _refuse(table, ("downscale", "min_detail", *_OF_RECIPES), "requires photos")


def _refuse(table: DataTable | Validation, names: Sequence[str], why: str) -> None:
    """Reject fields that are set but would have no effect."""
    fields = type(table).model_fields
    for name in names:
        value = getattr(table, name, None)
        if name in fields and value != fields[name].default:
            raise InvalidValueError(f"{name} = {value!r} {why}.", fix="Leave it out.", field=name, value=value)
