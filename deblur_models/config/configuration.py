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
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field

from blursynth.errors import BlursynthError, InvalidValueError, did_you_mean
from blursynth.io.folders import expanded
from blursynth.records.kind import Record
from blursynth.records.toml import parse_toml, read_toml
from deblur_models.data import Augmentation
from deblur_models.losses import Loss, make_adversarial, make_loss
from deblur_models.losses.adversarial import AdversarialLoss
from deblur_models.losses.consistency import ReBlur
from deblur_models.networks import (
    Architecture,
    BlurGeneratorConfig,
    NetworkConfig,
    discriminator_config,
    trainable_config,
)

__all__ = [
    "TABLES",
    "AdversarialSchedule",
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
    "read_configuration",
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


class AdversarialSchedule(Record):
    """``[adversarial]``, beside its tables ``loss`` and ``discriminator``: how the two sides take turns."""

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


@dataclass(frozen=True)
class Adversary:
    """``[adversarial]``: a loss, a discriminator and how the two sides take turns."""

    loss: AdversarialLoss
    discriminator: Architecture
    steps: int = 1
    """Updates of the discriminator per update of the network."""
    learning_rate: float = 1e-4
    from_step: int = 0
    """Before it the network learns alone."""
    betas: tuple[float, float] | None = None
    """Of the discriminator's optimizer; None: those of the network's."""
    weight_decay: float | None = None
    """Of the discriminator; None: that of the network."""
    start_from: str | None = None
    """Checkpoint whose weights the discriminator begins with."""


TABLES: Mapping[str, type[Record]] = {
    "data.NAME": DataTable,
    "stage": Stage,
    "validation": Validation,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "run": Run,
    "augmentation": Augmentation,
    "adversarial": AdversarialSchedule,
    "reblur": ReBlur,
}
"""Tables whose fields do not depend on a kind, as the other tables' do."""


@dataclass(frozen=True)
class Configuration:
    """A training run, checked. :meth:`to_dict` is what the file would hold."""

    network: NetworkConfig | BlurGeneratorConfig
    losses: tuple[Loss, ...]
    data: Mapping[str, DataTable]
    stages: tuple[Stage, ...]
    validation: Validation | None = None
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    run: Run = field(default_factory=Run)
    augmentation: Augmentation | None = None
    adversary: Adversary | None = None
    reblur: ReBlur | None = None
    seed: int = 0
    summary: str = ""
    start_from: str | None = None

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[int, int, int]:
        """Number of the stage of a step, and the first step and the number of its first sample."""
        first = sample = 0
        for number, stage in enumerate(self.stages):
            if step < first + stage.steps:
                return number, first, sample
            first, sample = first + stage.steps, sample + stage.steps * stage.batch
        raise InvalidValueError(f"The run has {self.steps} steps, so there is no step {step}.")

    def to_dict(self) -> dict[str, Any]:
        tables: dict[str, Any] = {
            "summary": self.summary,
            "seed": self.seed,
            "network": self.network.to_dict(),
            "loss": [{"kind": loss.kind, **_plain(loss)} for loss in self.losses],
            "data": {name: _plain(table) for name, table in self.data.items()},
            "stage": [_plain(stage) for stage in self.stages],
            "optimizer": _plain(self.optimizer),
            "schedule": _plain(self.schedule),
            "run": _plain(self.run),
        }
        if self.start_from is not None:
            tables["start_from"] = self.start_from
        if self.validation is not None:
            tables["validation"] = _plain(self.validation)
        if self.augmentation is not None:
            tables["augmentation"] = _plain(self.augmentation)
        if self.reblur is not None:
            tables["reblur"] = _plain(self.reblur)
        if self.adversary is not None:
            tables["adversarial"] = {
                "loss": {"kind": self.adversary.loss.kind, **_plain(self.adversary.loss)},
                "discriminator": self.adversary.discriminator.to_dict(),
                "steps": self.adversary.steps,
                "learning_rate": self.adversary.learning_rate,
                "from_step": self.adversary.from_step,
                **({} if self.adversary.start_from is None else {"start_from": self.adversary.start_from}),
            }
            if self.adversary.betas is not None:
                tables["adversarial"]["betas"] = list(self.adversary.betas)
            if self.adversary.weight_decay is not None:
                tables["adversarial"]["weight_decay"] = self.adversary.weight_decay
        return tables

    def of_length(self, steps: int) -> Configuration:
        """The same run in so many steps: every stage, the warm-up and what else begins or ends at a step in proportion.

        What is done every so many steps (looks, checkpoints, lines of the log) stays.

        Raises
        ------
        InvalidValueError
            Less than one step per stage.
        """
        if steps < len(self.stages):
            raise InvalidValueError(
                f"A run of {len(self.stages)} stages needs as many steps at least, got {steps}.",
                fix="Ask for more steps, or take stages out of the configuration.",
            )
        whole, done, begun = self.steps, 0, 0
        stages = []
        for number, stage in enumerate(self.stages):
            begun += stage.steps
            later = len(self.stages) - 1 - number
            until = min(max(round(begun * steps / whole), done + 1), steps - later)  # each keeps one step
            stages.append(stage.replace(steps=until - done))
            done = until

        def in_proportion(step: int) -> int:
            return round(step * steps / whole)

        adversary = self.adversary
        return replace(
            self,
            stages=tuple(stages),
            schedule=self.schedule.replace(warmup_steps=in_proportion(self.schedule.warmup_steps)),
            run=self.run.replace(frozen_encoder_steps=in_proportion(self.run.frozen_encoder_steps)),
            adversary=adversary and replace(adversary, from_step=in_proportion(adversary.from_step)),
        )

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Where another run learns something else, as ``optimizer.learning_rate 0.001 (now 0.0001)``, for a message.

        Two spellings of one path (``photos`` and ``./photos/``) are no difference. Where data is found is not compared
        here (:meth:`moved`), since it may have been moved.
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


def _plain(record: Record) -> dict[str, Any]:
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in record.fields().items()}
    return {k: v for k, v in values.items() if v is not None}


def configuration_names() -> tuple[str, ...]:
    """Names of the configurations that ship with the package."""
    return tuple(
        sorted(
            p.name.removesuffix(".toml") for p in files("deblur_models.config").iterdir() if p.name.endswith(".toml")
        )
    )


def read_configuration(
    source: str | Path | Mapping[str, Any], changes: Mapping[str, Any] | None = None
) -> Configuration:
    """A configuration by name, from a file, or from its tables.

    Parameters
    ----------
    source
        Name of one that ships, path of a TOML file, or tables. Paths in a file are relative to the working directory.
    changes
        Dotted names and values that replace its own, e.g. ``{"optimizer.learning_rate": 1e-4, "stage.0.steps": 100}``;
        a table is replaced as a whole, None takes it out. Entries of arrays are counted from 0.

    Raises
    ------
    ConfigurationError
        There is none, a table or field is unknown, or two do not fit together.
    InvalidValueError
        A value is out of range.
    """
    tables, name = ({**source}, "configuration") if isinstance(source, Mapping) else _read(source, ())
    for key, value in _kinds_first(changes or {}):
        _change(tables, key, value, name)
    return _built(tables, name)


def _read(source: str | Path, seen: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    path = expanded(source)
    if path.suffix == ".toml" or path.exists():
        if path.stem in configuration_names() and not path.exists():
            raise ConfigurationError(
                f"{path}: cannot be read (No such file or directory).",
                fix=f"Did you mean the configuration {path.stem!r} that ships? Write it without .toml.",
            )
        name = str(path)
        tables = read_toml(path, error=ConfigurationError, fix="A configuration is a TOML file.")
    else:
        name = str(source)
        if name not in configuration_names():
            raise ConfigurationError(
                f"There is no configuration {name!r}.",
                fix=f"{did_you_mean(name, configuration_names())} Or give the path of a .toml file.",
            )
        text = files("deblur_models.config").joinpath(f"{name}.toml").read_text("utf-8")
        tables = parse_toml(text, name, error=ConfigurationError)
    base = tables.pop("extends", None)
    if base is None:
        return tables, name
    if not isinstance(base, str) or "\0" in base:
        raise ConfigurationError(f"{name}: extends must be a name or a path, got {base!r}.")
    beside: str | Path = path.parent / base if path.exists() and base.endswith(".toml") else base
    place = str(Path(beside).resolve()) if isinstance(beside, Path) else base
    if place in seen:
        raise ConfigurationError(f"{name}: extends = {base!r} leads back to itself.")
    if len(seen) >= 32:
        raise ConfigurationError(f"{name}: has more than 32 configurations below it, one extending the other.")
    below, _ = _read(beside, (*seen, place))
    return _merged(below, tables), name


_OF_A_KIND = ("network", "adversarial.loss", "adversarial.discriminator")
"""Tables whose other fields belong to one kind, so that another kind replaces them."""


def _merged(below: dict[str, Any], above: Mapping[str, Any], way: str = "") -> dict[str, Any]:
    """Tables of ``above`` change fields of tables ``below``; arrays, and networks of another kind, replace."""
    out = dict(below)
    for key, value in above.items():
        old, name = out.get(key), f"{way}{key}"
        out[key] = value
        if isinstance(old, dict) and isinstance(value, Mapping):
            same = value.get("kind", old.get("kind")) == old.get("kind")
            if same or name not in _OF_A_KIND:
                out[key] = _merged(old, value, f"{name}.")
    return out


def _kinds_first(changes: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Changes in their order; but the kind of a network before its other fields, which are fields of that kind."""

    def place(numbered: tuple[int, str]) -> tuple[int, bool]:
        number, key = numbered
        table = key.rpartition(".")[0]
        if table in _OF_A_KIND:
            number = next(n for n, other in enumerate(changes) if other.rpartition(".")[0] == table)
        return number, key != f"{table}.kind"

    return [(key, changes[key]) for _, key in sorted(enumerate(changes), key=place)]


def _change(tables: dict[str, Any], key: str, value: Any, name: str) -> None:
    """Sets one dotted name; what lies on the way to it is copied, so that given tables stay as they are.

    Another kind of network or adversarial loss replaces its table, as in a file that extends another.
    """
    *way, last = key.split(".")
    place: Any = tables
    for part in way:
        where = _entry(place, part, key, name)
        child = place[where] if isinstance(place, list) else place.get(where, {})
        if not isinstance(child, Mapping | list | tuple):
            raise ConfigurationError(f"{name}: {key!r} names a part of {part} = {child!r}, which has none.")
        place[where] = place = dict(child) if isinstance(child, Mapping) else list(child)
    where = _entry(place, last, key, name)
    if last == "kind" and ".".join(way) in _OF_A_KIND and value not in (None, place.get("kind")):
        place.clear()
    if value is not None:
        place[where] = value
    elif isinstance(place, list):
        del place[where]
    else:
        place.pop(where, None)


def _entry(place: Any, part: str, key: str, name: str) -> Any:
    """The key of a table, or the number of an entry of an array."""
    if not isinstance(place, list):
        return part
    if not part.isdigit() or int(part) >= len(place):
        raise ConfigurationError(
            f"{name}: {key!r} names entry {part!r} of an array of {len(place)}.",
            fix=f"Entries are counted from 0 to {len(place) - 1}, as in stage.0.steps." if place else "",
        )
    return int(part)


_TABLES = (
    "summary", "seed", "start_from", "network", "loss", "data", "stage", "validation", "optimizer", "schedule", "run",
    "augmentation", "adversarial", "reblur",
)  # fmt: skip

R = TypeVar("R", bound=Record)


def _built(tables: Mapping[str, Any], name: str) -> Configuration:
    for key in tables:
        if key not in _TABLES:
            raise ConfigurationError(f"{name}: there is no table {key!r}.", fix=did_you_mean(key, _TABLES))
    for needed, why in (
        ("network", "which network learns"),
        ("data", "what it learns from"),
        ("stage", "how long, with what patches"),
        ("loss", "what it minimizes"),
    ):
        if not tables.get(needed):
            raise ConfigurationError(f"{name}: needs a table [{needed}], {why}.")
    if not isinstance(tables["data"], Mapping):
        raise ConfigurationError(
            f"{name}: data must be a table of tables.", fix="Give each a name: [data.photographs]."
        )
    for key, value in tables["data"].items():
        if not isinstance(value, Mapping):
            raise ConfigurationError(
                f"{name} [data]: {key} = {value!r}: every entry of data must be a table.",
                fix="Write [data.anyname] instead of [data].",
            )
    data = {key: _record(DataTable, value, f"{name} [data.{key}]") for key, value in tables["data"].items()}
    for key, table in data.items():
        _check_source(table, f"{name} [data.{key}]")
    stages = tuple(_record(Stage, v, f"{name} [[stage]] {i + 1}") for i, v in enumerate(_array(tables, "stage", name)))
    for i, stage in enumerate(stages):
        for wanted in stage.data:
            if wanted not in data:
                raise ConfigurationError(
                    f"{name} [[stage]] {i + 1}: there is no [data.{wanted}].", fix=did_you_mean(wanted, data)
                )
        if stage.batch % stage.accumulate:
            raise ConfigurationError(
                f"{name} [[stage]] {i + 1}: batch {stage.batch} cannot be worked through in "
                f"{stage.accumulate} equal parts."
            )
    configuration = Configuration(
        network=_named(trainable_config, tables["network"], f"{name} [network]"),
        losses=tuple(
            _named(make_loss, value, f"{name} [[loss]] {i + 1}") for i, value in enumerate(_array(tables, "loss", name))
        ),
        data=data,
        stages=stages,
        validation=_record(Validation, tables["validation"], f"{name} [validation]")
        if "validation" in tables
        else None,
        optimizer=_record(Optimizer, tables.get("optimizer", {}), f"{name} [optimizer]"),
        schedule=_record(Schedule, tables.get("schedule", {}), f"{name} [schedule]"),
        run=_record(Run, tables.get("run", {}), f"{name} [run]"),
        augmentation=_record(Augmentation, tables["augmentation"], f"{name} [augmentation]")
        if "augmentation" in tables
        else None,
        adversary=_adversary(tables["adversarial"], name) if "adversarial" in tables else None,
        reblur=_record(ReBlur, tables["reblur"], f"{name} [reblur]") if "reblur" in tables else None,
        seed=_seed(tables.get("seed", 0), name),
        summary=_text(tables, "summary", name) or "",
        start_from=_text(tables, "start_from", name),
    )
    if configuration.validation is not None:
        _check_source(configuration.validation, f"{name} [validation]")
    _check_encoder(configuration, name)
    blurs = isinstance(configuration.network, BlurGeneratorConfig)
    if blurs and configuration.validation is not None and configuration.validation.no_harm_db > 0:
        raise ConfigurationError(
            f"{name} [validation]: no_harm_db asks for sharp pictures that stay as they are, and "
            f"{configuration.network.kind} blurs them.",
            fix="Leave it out.",
        )
    if blurs and configuration.reblur is not None:
        raise ConfigurationError(
            f"{name} [reblur]: blurs restored pictures again, and {configuration.network.kind} restores none.",
            fix="Leave [reblur] out, or train a network that restores.",
        )
    if configuration.reblur is not None and configuration.run.augment:
        raise ConfigurationError(
            f"{name} [reblur]: blurs restored pictures again with their draw, which does not fit turned pictures.",
            fix="Write augment = false in [run].",
        )
    if configuration.reblur is not None and configuration.augmentation is not None:
        raise ConfigurationError(
            f"{name} [reblur]: blurs restored pictures again with their draw, which does not fit pictures that "
            "[augmentation] moved and corrupted.",
            fix="Leave one of the two tables out.",
        )
    if blurs and configuration.augmentation is not None:
        raise ConfigurationError(
            f"{name} [augmentation]: corrupts blurred pictures, and {configuration.network.kind} would learn to make "
            "them like that.",
            fix="Leave it out; run.augment flips and turns both pictures.",
        )
    return configuration


def _check_encoder(configuration: Configuration, name: str) -> None:
    """Weights of a backbone go to a network that has one, once; and none is frozen that nobody has trained."""
    run, place = configuration.run, f"{name} [run]"
    has_encoder = "encoder" in type(configuration.network).model_fields
    if run.encoder_weights and not has_encoder:
        raise ConfigurationError(
            f"{place}: encoder_weights = {run.encoder_weights!r}, and {configuration.network.kind} has no pretrained "
            "encoder.",
            fix="Leave it out.",
        )
    if run.encoder_weights and configuration.start_from is not None:
        raise ConfigurationError(
            f"{place}: encoder_weights = {run.encoder_weights!r} and start_from = {configuration.start_from!r} both "
            "say what the encoder begins with.",
            fix="Leave one of them out; a checkpoint has the weights of its encoder in it.",
        )
    if has_encoder and run.frozen_encoder_steps and not run.encoder_weights and configuration.start_from is None:
        raise ConfigurationError(
            f"{place}: frozen_encoder_steps = {run.frozen_encoder_steps} keeps the encoder as it begins, and without "
            "encoder_weights it begins with random weights.",
            why="The rest of the network would learn to live with features that mean nothing.",
            fix="Give encoder_weights, a file of timm's weights for the backbone, or frozen_encoder_steps = 0.",
        )


def _check_source(table: DataTable | Validation, place: str) -> None:
    """Photographs or pairs, and no field that would only mean something for the other."""
    if (table.photos is None) == (table.pairs is None):
        raise ConfigurationError(
            f"{place}: needs either photos (blurred on the fly) or pairs, got "
            f"{'neither' if table.photos is None else 'both'}."
        )
    of_recipes = ("recipe", "depth", "on_device", "reuse")
    if table.pairs is None:
        _refuse(table, ("sharp",), "goes with pairs only", place)
    else:
        _refuse(table, ("downscale", "min_detail", *of_recipes), "goes with photos only", place)
    if isinstance(table, DataTable) and table.blur_network is not None:
        _refuse(table, of_recipes, "goes with a recipe, and here blur_network blurs", place)


def _refuse(table: DataTable | Validation, names: Sequence[str], why: str, place: str) -> None:
    """Fields that say something, where they would mean nothing."""
    fields = type(table).model_fields
    for name in names:
        if name in fields and getattr(table, name) != fields[name].default:
            raise ConfigurationError(f"{place}: {name} = {getattr(table, name)!r} {why}.", fix="Leave it out.")


def _text(tables: Mapping[str, Any], key: str, name: str) -> str | None:
    value = tables.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name}: {key} must be a string, got {value!r}.")
    return value


def _seed(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
        raise ConfigurationError(f"{name}: seed must be an integer from 0 to 2^62 - 1, got {value!r}.")
    return value


def _array(tables: Mapping[str, Any], key: str, name: str) -> Sequence[Mapping[str, Any]]:
    entries = tables[key]
    if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
        raise ConfigurationError(
            f"{name}: {key} must be an array of tables.", fix=f"Write [[{key}]] with two brackets."
        )
    return entries


def _adversary(values: Mapping[str, Any], name: str) -> Adversary:
    place = f"{name} [adversarial]"
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{place}: must be a table, got {values!r}.")
    known = ("loss", "discriminator", *AdversarialSchedule.model_fields)
    for key in values:
        if key not in known:
            raise ConfigurationError(f"{place}: there is no field {key!r}.", fix=did_you_mean(key, known))
    for key in ("loss", "discriminator"):
        if not isinstance(values.get(key), Mapping):
            raise ConfigurationError(f'{place}: needs {key}, a table such as {{ kind = "..." }}.')
    schedule = _record(AdversarialSchedule, {k: v for k, v in values.items() if k in known[2:]}, place)
    return Adversary(
        _named(make_adversarial, values["loss"], f"{place} loss"),
        _named(discriminator_config, values["discriminator"], f"{place} discriminator"),
        schedule.steps,
        schedule.learning_rate,
        schedule.from_step,
        schedule.betas,
        schedule.weight_decay,
        schedule.start_from,
    )


def _record(kind: type[R], values: object, place: str) -> R:
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{place}: must be a table, got {values!r}.")
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    made: R = _named(lambda fields: kind(**fields), tuples, place)
    return made


def _named(make: Any, values: Mapping[str, Any], place: str) -> Any:
    """What ``make`` makes; its errors say in which table they arose."""
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{place}: must be a table, got {values!r}.")
    try:
        return make(values)
    except InvalidValueError as error:
        raise ConfigurationError(f"{place}: {error.what}", why=error.why, fix=error.fix) from None
