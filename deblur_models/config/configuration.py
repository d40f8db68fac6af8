"""What a training run is made of: a TOML file, checked in full before any work starts.

Tables: ``[network]``, ``[[loss]]``, ``[data.NAME]``, ``[[stage]]``, ``[validation]``, ``[optimizer]``, ``[schedule]``,
``[run]``, where there is an adversary ``[adversarial]``, and ``[augmentation]`` for more than turns. A file may begin
with ``extends = "NAME or path"`` of another one.
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
    "Validation",
    "configuration_names",
    "load_configuration",
]


class ConfigurationError(BlursynthError, ValueError):
    """A training configuration cannot be used: a misspelt table or field, an impossible combination."""


class DataTable(Record):
    """``[data.NAME]``: photographs that are blurred on the fly, or pairs that exist.

    Exactly one of ``photos`` and ``pairs`` is given. With ``blur_network`` only their sharp pictures are used: a
    network that learned to blur makes the blurred ones, on the training device, with noise that is a function of the
    seed and the number of the sample. Windows of photographs are then chosen by the recipe 'sharp'.
    """

    photos: str | tuple[str, ...] | None = Field(
        default=None,
        description="sharp photographs: folder, glob, file or several; 'bundled:training' are those of scikit-image",
    )
    recipe: str = Field(default="mixed", description="recipe that blurs the photographs, a name or a path")
    blur_network: str | None = Field(
        default=None,
        description="checkpoint or run of a network that blurs the sharp pictures, instead of a recipe or of the blur "
        "of pairs",
    )
    downscale: int = Field(default=1, ge=1, le=8, description="factor by which photographs are made smaller first")
    min_detail: float | None = Field(
        default=None,
        gt=0,
        lt=1e4,
        description="least detail of a patch, the standard deviation of its Laplacian in codes of 8 bits: 10 leaves "
        "out what is flat or out of focus",
    )
    depth: str | None = Field(default=None, description="folder of depth maps of the photographs, in meters")
    on_device: bool | None = Field(
        default=None, description="whether blur is computed on the training device; by default on CUDA devices only"
    )
    reuse: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="number of times that each blurred patch is shown, for blur that takes longer than learning",
    )
    pairs: str | None = Field(default=None, description="a blursynth data set, or a folder of real pairs")
    sharp: str | None = Field(default=None, description="folder of the sharp pictures, if pairs has the blurred")
    share: float = Field(
        default=1.0, gt=0, le=1e6, description="frequency of samples from here, relative to other tables"
    )
    seed: int | None = Field(default=None, ge=0, lt=2**62, description="seed of the blur; by default that of the run")

    def model_post_init(self, context: object) -> None:
        _check_source(self)
        if self.blur_network is not None:
            _refuse(self, _OF_RECIPES, "goes with a recipe, and here blur_network blurs")


class Stage(Record):
    """``[[stage]]``: a part of the training with its own size of patches and its own data."""

    steps: int = Field(ge=1, le=10**9, description="number of steps (updates of the network)")
    patch_px: int = Field(ge=8, le=4096, description="side of the square patches")
    batch: int = Field(
        ge=1, le=65536, description="number of patches per step, over all processes and accumulated parts"
    )
    accumulate: int = Field(
        default=1, ge=1, le=1024, description="number of parts that a process works through its batch in"
    )
    data: tuple[str, ...] = Field(default=(), description="names of the data tables to use; by default all")
    learning_rate_factor: float = Field(default=1.0, gt=0, le=1e3, description="factor of the schedule's learning rate")

    def model_post_init(self, context: object) -> None:
        if self.batch % self.accumulate:
            raise InvalidValueError(
                f"batch {self.batch} cannot be worked through in {self.accumulate} equal parts.",
                field="accumulate",
                value=self.accumulate,
            )


class Validation(Record):
    """``[validation]``: pairs that are looked at while training; those of photographs are drawn once and kept.

    How often they are looked at, how many are shown and which look is kept as the best (``may_change``) may differ when
    a run goes on.
    """

    may_change: ClassVar[frozenset[str]] = frozenset({"every", "pictures", "no_harm_db"})

    photos: str | tuple[str, ...] | None = Field(default=None, description="held-out photographs, as in a data table")
    recipe: str = Field(default="mixed", description="recipe that blurs them")
    downscale: int = Field(default=1, ge=1, le=8, description="factor by which they are made smaller first")
    pairs: str | None = Field(default=None, description="a blursynth data set, or a folder of real pairs")
    sharp: str | None = Field(default=None, description="folder of the sharp pictures, if pairs has the blurred")
    count: int = Field(default=16, ge=1, le=100_000, description="number of pairs that are looked at")
    size_px: int = Field(default=192, ge=11, le=8192, description="side of the samples made from photographs")
    seed: int = Field(default=999_983, ge=0, lt=2**62, description="seed of their blur; not that of the training")
    every: int = Field(default=500, ge=1, le=10**9, description="steps between two looks")
    pictures: int = Field(default=4, ge=0, le=64, description="before/after pictures written at each look")
    no_harm_db: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="PSNR between sharp pictures and what the network makes of them that the best look must reach; "
        "0: any",
    )

    def model_post_init(self, context: object) -> None:
        _check_source(self)

    @property
    def origin(self) -> str:
        """Where the pairs come from, for people: ``bundled:held-out with steady-hand``, or a path."""
        if self.photos is None:
            return str(self.pairs)
        photos = self.photos if isinstance(self.photos, str) else ", ".join(self.photos)
        return f"{photos} with {self.recipe}"


class Optimizer(Record):
    """``[optimizer]``: how weights follow their gradients."""

    kind: Literal["adamw", "adam"] = Field(default="adamw", description="adamw decays weights apart from gradients")
    learning_rate: float = Field(
        default=1e-3, gt=0, le=10, description="size of the steps at the start, after warming up"
    )
    betas: tuple[float, float] = Field(default=(0.9, 0.9), description="decay of the two running means of gradients")
    epsilon: float = Field(default=1e-8, gt=0, le=1, description="number added to the root of the mean square")
    weight_decay: float = Field(default=0.0, ge=0, le=10, description="pull of the weights to zero")
    clip_norm: float = Field(default=0.0, ge=0, le=1e9, description="largest norm of all gradients together; 0: any")


class Schedule(Record):
    """``[schedule]``: the learning rate over the run.

    ``constant``; ``cosine`` from ``hold`` to the end; ``linear`` from ``hold`` to the end; ``polynomial``: what is left
    of the way from ``hold`` to the end to the power of ``power``; ``steps``: times ``factor`` at each of
    ``milestones``. Places are fractions of the run, so that a shorter run keeps its shape.
    """

    kind: Literal["constant", "cosine", "linear", "polynomial", "steps"] = Field(
        default="cosine", description="shape of the curve"
    )
    warmup_steps: int = Field(default=0, ge=0, le=10**8, description="steps over which it rises from zero")
    hold: float = Field(default=0.0, ge=0, lt=1, description="fraction of the run before it falls")
    final_factor: float = Field(
        default=1e-3, ge=0, le=1, description="share of the learning rate that is left at the end"
    )
    power: float = Field(
        default=1.0, gt=0, le=100, description="exponent (kind 'polynomial'); 1 is linear, SRN-DeblurNet has .3"
    )
    milestones: tuple[float, ...] = Field(default=(0.4, 0.6, 0.8), description="fractions of the run (kind 'steps')")
    factor: float = Field(default=0.5, gt=0, le=1, description="number that it is multiplied by there (kind 'steps')")

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
    """``[run]``: where and how it is computed.

    What only says where, how fast and how often it is written down (``may_change``) may differ when a run goes on.
    """

    may_change: ClassVar[frozenset[str]] = frozenset(
        {
            "device", "compile", "channels_last", "tf32", "cudnn", "checkpoint_activations", "workers", "threads",
            "parallel", "checkpoint_every", "log_every", "tensorboard",
        }
    )  # fmt: skip

    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["float32", "bf16", "fp16"] = Field(default="float32", description="of autocast")
    compile: bool = Field(default=False, description="whether torch.compile compiles the network")
    channels_last: bool = Field(default=False, description="whether pictures lie channels-last in memory")
    tf32: bool = Field(
        default=True,
        description="whether CUDA devices multiply float32 with 10 bits of mantissa (TF32), in sums of float32",
    )
    cudnn: Literal["benchmark", "heuristic", "deterministic"] = Field(
        default="benchmark",
        description="how convolutions on CUDA devices are chosen: by trying which is the fastest for each size, by "
        "rule, or only those that repeat bit for bit",
    )
    checkpoint_activations: bool = Field(
        default=False,
        description="whether blocks of the network are computed again in the backward pass instead of kept: less "
        "memory, about a third more time",
    )
    workers: int = Field(default=0, ge=0, le=1024, description="processes that read and blur ahead; 0: none apart")
    threads: int = Field(default=0, ge=0, le=1024, description="threads of torch on the CPU; 0: as torch chooses")
    parallel: Literal["ddp", "fsdp"] = Field(default="ddp", description="how processes of torchrun share the work")
    ema_decay: float = Field(default=0.999, ge=0, lt=1, description="decay of the running average of weights; 0: none")
    encoder_weights: str = Field(
        default="",
        description="file of the backbone's pretrained weights, as timm or the published code names them: .safetensors "
        "or a .pth of tensors alone; empty: it begins with random ones",
    )
    frozen_encoder_steps: int = Field(default=0, ge=0, le=10**8, description="steps before a backbone learns too")
    checkpoint_every: int = Field(default=500, ge=1, le=10**9, description="steps between checkpoints")
    log_every: int = Field(default=20, ge=1, le=10**6, description="steps between lines of the log")
    augment: bool | Literal["mirror"] = Field(
        default=True,
        description="flips and turns of patches, besides [augmentation]: true, those by quarters, each of the eight "
        "ways as often; 'mirror', one in two left to right; false, none",
    )
    tensorboard: bool = Field(default=False, description="whether events for TensorBoard are written too")


class Adversary(Record):
    """``[adversarial]``: a loss, a discriminator and how the two sides take turns."""

    loss: Annotated[AdversarialLoss, among(ADVERSARIAL, noun="adversarial loss")] = Field(
        description="what the two sides play"
    )
    discriminator: Annotated[Architecture, among(DISCRIMINATORS, noun="discriminator")] = Field(
        description="the other side"
    )
    steps: int = Field(default=1, ge=1, le=100, description="updates of the discriminator per update of the network")
    learning_rate: float = Field(default=1e-4, gt=0, le=10, description="size of the discriminator's steps")
    betas: tuple[float, float] | None = Field(
        default=None, description="betas of the discriminator's optimizer; by default those of [optimizer]"
    )
    weight_decay: float | None = Field(
        default=None, ge=0, le=10, description="pull of its weights to zero; by default that of [optimizer]"
    )
    from_step: int = Field(
        default=0, ge=0, le=10**9, description="first step of the adversary, before which the network learns alone"
    )
    start_from: str | None = Field(
        default=None,
        description="checkpoint of a discriminator, imported or of an adversarial run, whose weights it begins with",
    )


class Configuration(Record):
    """A training run, checked. :meth:`to_dict` is what the file would hold."""

    summary: str = Field(default="", description="what it trains, in a line")
    seed: int = Field(default=0, ge=0, lt=2**62, description="seed of weights, order, blur and turns")
    start_from: str | None = Field(default=None, description="checkpoint or run whose weights it begins with")
    network: Annotated[NetworkConfig | BlurGeneratorConfig, among(TRAINABLE, noun="network")] = Field(
        description="which network learns"
    )
    loss: tuple[Annotated[Loss, among(ALL, noun="loss")], ...] = Field(min_length=1, description="what it minimizes")
    data: dict[str, DataTable] = Field(
        min_length=1, description="what it learns from: tables, each with a name, [data.anyname]"
    )
    stage: tuple[Stage, ...] = Field(min_length=1, description="how long, with what patches")
    validation: Validation | None = None
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    run: Run = Run()
    augmentation: Augmentation | None = None
    adversarial: Adversary | None = None
    reblur: ReBlur | None = None

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
                f"no_harm_db asks for sharp pictures that stay as they are, and {self.network.kind} blurs them.",
                fix="Leave it out.",
                place="[validation]",
                field="no_harm_db",
                value=self.validation.no_harm_db,
            )
        if self.augmentation is not None:
            raise InvalidValueError(
                f"corrupts blurred pictures, and {self.network.kind} would learn to make them like that.",
                fix="Leave it out; run.augment flips and turns both pictures.",
                place="[augmentation]",
            )

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stage)

    def stage_at(self, step: int) -> tuple[int, int, int]:
        """Number of the stage of a step, and the first step and the number of its first sample."""
        first = sample = 0
        for number, stage in enumerate(self.stage):
            if step < first + stage.steps:
                return number, first, sample
            first, sample = first + stage.steps, sample + stage.steps * stage.batch
        raise InvalidValueError(f"The run has {self.steps} steps, so there is no step {step}.")

    def to_dict(self, *, defaults: bool = True) -> dict[str, Any]:
        tables: dict[str, Any] = without_none(super().to_dict(defaults=defaults))
        if "reblur" in tables:
            del tables["reblur"]["kind"]  # which the name of its table says
        return tables

    def of_length(self, steps: int) -> Configuration:
        """The same run in so many steps: every stage, the warm-up and what else begins or ends at a step in proportion.

        What is done every so many steps (looks, checkpoints, lines of the log) stays.

        Raises
        ------
        InvalidValueError
            Less than one step per stage.
        """
        if steps < len(self.stage):
            raise InvalidValueError(
                f"A run of {len(self.stage)} stages needs as many steps at least, got {steps}.",
                fix="Ask for more steps, or take stages out of the configuration.",
            )
        whole, done, begun = self.steps, 0, 0
        stages = []
        for number, stage in enumerate(self.stage):
            begun += stage.steps
            later = len(self.stage) - 1 - number
            until = min(max(round(begun * steps / whole), done + 1), steps - later)  # each keeps one step
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
        """Where another run learns something else, as ``optimizer.learning_rate 0.001 (now 0.0001)``, for a message.

        Two spellings of one path (``photos`` and ``./photos/``) are not a difference. Where data is found is not
        compared here (:meth:`moved`), since it may have been moved.
        """
        return self._changes(other, of_places=False)

    def moved(self, other: Mapping[str, Any]) -> list[str]:
        """Where another run finds its data elsewhere, in the same form: whether it is the same, its content says."""
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
}
"""Tables whose fields do not depend on a kind, as the other tables' do."""


_PATHS = frozenset(
    {
        "photos", "pairs", "sharp", "depth", "recipe", "blur_network", "start_from", "weights_file", "encoder_weights",
    }
)  # fmt: skip
"""Last names of fields that hold paths."""


def _is_place(key: str) -> bool:
    """Whether a field says where pictures, pairs, a recipe or a network of data lie."""
    table, _, name = key.rpartition(".")
    of_data = table.startswith("data.") or table == "validation"
    return of_data and name in {"photos", "pairs", "sharp", "depth", "recipe", "blur_network"}


def _respelt(key: str, value: Any) -> Any:
    """A path, or several, in one spelling; other values as they are."""
    if key.rpartition(".")[2] not in _PATHS:
        return value
    if isinstance(value, list):
        return [_respelt(key, entry) for entry in value]
    return os.path.abspath(value) if isinstance(value, str) and not value.startswith("bundled:") else value


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
    """Names of the configurations that ship with the package."""
    return _FILES.names()


def load_configuration(
    source: str | Path | Mapping[str, Any], changes: Mapping[str, Any] | None = None
) -> Configuration:
    """A configuration by name, from a file, or from its tables.

    Parameters
    ----------
    source
        Name of one that ships, path of a .toml file, or tables. Paths in a file are relative to the working directory.
    changes
        Dotted names and values that replace its own, e.g. ``{"optimizer.learning_rate": 1e-4, "stage.0.steps": 100}``;
        a table is replaced as a whole, None takes it out. Entries of arrays are counted from 0.

    Raises
    ------
    ConfigurationError
        There is none, a table or field is unknown or out of range, or two do not fit together.
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
    """Weights of a backbone go to a network that has one, once; and none is frozen that nobody has trained."""
    run, network, start_from = configuration.run, configuration.network, configuration.start_from
    has_encoder = "encoder" in type(network).model_fields
    if run.encoder_weights and not has_encoder:
        raise InvalidValueError(
            f"encoder_weights = {run.encoder_weights!r}, and {network.kind} has no pretrained encoder.",
            fix="Leave it out.",
            place="[run]",
            field="encoder_weights",
            value=run.encoder_weights,
        )
    if run.encoder_weights and start_from is not None:
        raise InvalidValueError(
            f"encoder_weights = {run.encoder_weights!r} and start_from = {start_from!r} both say what the encoder "
            "begins with.",
            fix="Leave one of them out; a checkpoint has the weights of its encoder in it.",
            place="[run]",
            field="encoder_weights",
            value=run.encoder_weights,
        )
    if has_encoder and run.frozen_encoder_steps and not run.encoder_weights and start_from is None:
        raise InvalidValueError(
            f"frozen_encoder_steps = {run.frozen_encoder_steps} keeps the encoder as it begins, and without "
            "encoder_weights it begins with random weights.",
            why="The rest of the network would learn to live with features that mean nothing.",
            fix="Give encoder_weights, a file of timm's weights for the backbone, or frozen_encoder_steps = 0.",
            place="[run]",
            field="frozen_encoder_steps",
            value=run.frozen_encoder_steps,
        )


def _check_reblur(configuration: Configuration) -> None:
    """Restored pictures can be blurred again where they are restored, and are those of the draw."""
    if configuration.reblur is None:
        return
    what = fix = ""
    if isinstance(configuration.network, BlurGeneratorConfig):
        what = f"blurs restored pictures again, and {configuration.network.kind} restores none."
        fix = "Leave [reblur] out, or train a network that restores."
    elif configuration.run.augment:
        what = "blurs restored pictures again with their draw, which does not fit turned pictures."
        fix = "Write augment = false in [run]."
    elif configuration.augmentation is not None:
        what = (
            "blurs restored pictures again with their draw, which does not fit pictures that [augmentation] moved and "
            "corrupted."
        )
        fix = "Leave one of the two tables out."
    if what:
        raise InvalidValueError(what, fix=fix, place="[reblur]")


_OF_RECIPES = ("recipe", "depth", "on_device", "reuse")


def _check_source(table: DataTable | Validation) -> None:
    """Photographs or pairs, and no field that would only mean something for the other."""
    if (table.photos is None) == (table.pairs is None):
        raise InvalidValueError(
            f"needs either photos (blurred on the fly) or pairs, got {'neither' if table.photos is None else 'both'}.",
            field="photos",
        )
    if table.pairs is None:
        _refuse(table, ("sharp",), "goes with pairs only")
    else:
        _refuse(table, ("downscale", "min_detail", *_OF_RECIPES), "goes with photos only")


def _refuse(table: DataTable | Validation, names: Sequence[str], why: str) -> None:
    """Fields that say something, where they would mean nothing."""
    fields = type(table).model_fields
    for name in names:
        value = getattr(table, name, None)
        if name in fields and value != fields[name].default:
            raise InvalidValueError(f"{name} = {value!r} {why}.", fix="Leave it out.", field=name, value=value)
