"""A teacher: a trained network whose output and features a smaller one, the student, learns to reproduce."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from blursynth.errors import BlursynthError, InvalidValueError, did_you_mean
from deblur_models.checkpoints.checkpoint import load_checkpoint, restoration_network_of
from deblur_models.config.configuration import Configuration, Teacher
from deblur_models.losses.distillation import attention_distance, feature_distance
from deblur_models.networks import Network

__all__ = ["Distillation", "load_distillation"]

Sizes = tuple[int, int, int]  # channels, height, width

PROBE_PX = 128
"""Least height of the picture on which maps are measured; smaller ones are padded by some backbones."""


class Distillation:
    """The frozen teacher of a run, the layers in which it is compared with the student, and the regressors.

    A regressor is a 1 x 1 convolution from the channels of a student's layer to those of the teacher's (FitNets). It
    is trained with the student and is no part of it; layers with equally many channels have none.

    ``sha256`` is that of the teacher's weights file.
    """

    def __init__(self, settings: Teacher, teacher: Network, sha256: str, student: Network, patches_px: Sequence[int]):
        self.settings, self.sha256 = settings, sha256
        self.teacher = teacher.eval().requires_grad_(False)
        self.pairs: list[tuple[str, str]] = []  # names of layers of student and teacher
        self.regressors = nn.ModuleList()
        self._of_student: dict[str, Tensor] = {}
        self._of_teacher: dict[str, Tensor] = {}
        if settings.features_weight or settings.attention_weight:
            self._pair_layers(student, patches_px)
            _record(self.teacher, {name for _, name in self.pairs}, self._of_teacher.__setitem__)

    def watch(self, student: nn.Module) -> None:
        """Keep the features of each forward pass of the student from now on, until :meth:`losses` takes them."""
        _record(student, {name for name, _ in self.pairs}, self._of_student.__setitem__)

    def losses(self, blurred: Tensor, outputs: Sequence[Tensor], student: Network, autocast: Any) -> Iterator[Any]:
        """Name, weight and unweighted value of each loss, for the student's latest outputs, those for ``blurred``."""
        with torch.no_grad(), autocast:
            taught = self.teacher(blurred)
        targets = student.targets(taught)
        for loss in self.settings.loss:
            yield f"teacher_{loss.kind}", loss.weight, loss.over_scales(outputs, targets)
        maps = [(self._of_student[mine], self._of_teacher[theirs]) for mine, theirs in self.pairs]
        self._of_student.clear()  # they hold the memory of a backward pass
        self._of_teacher.clear()
        if weight := self.settings.features_weight:
            fitted = zip(self.regressors, maps, strict=True)
            yield "teacher_features", weight, _mean(feature_distance(fit(s.float()), t) for fit, (s, t) in fitted)
        if weight := self.settings.attention_weight:
            yield "teacher_attention", weight, _mean(attention_distance(s, t) for s, t in maps)

    def _pair_layers(self, student: Network, patches_px: Sequence[int]) -> None:
        both = math.lcm(student.config.multiple_px, self.teacher.config.multiple_px)
        if uneven := [patch for patch in patches_px if patch % both]:
            raise InvalidValueError(
                f"features of both networks are compared, but patch_px = {uneven[0]} is not a multiple of {both}.",
                why="Networks pad to their own multiples, so that their maps would have different sizes.",
                fix=f"Choose patches of a multiple of {both} px, or leave out features_weight and attention_weight.",
                place="[teacher]",
            )
        probe = 2 * math.lcm(both, PROBE_PX // 2), 3 * math.lcm(both, PROBE_PX // 2)
        mine, theirs = (_map_sizes(network, *probe) for network in (student, self.teacher))
        names, theirs_names = self.settings.layers, self.settings.teacher_layers or self.settings.layers
        if not names:
            names, theirs_names = _coarsest(mine, theirs)
        for name, their_name in zip(names, theirs_names, strict=True):
            (channels, *size), (their_channels, *their_size) = (
                _size_of(name, mine, student, "layers"),
                _size_of(their_name, theirs, self.teacher, "teacher_layers"),
            )
            if size != their_size:
                equal = ", ".join(n for n, (_, *other) in theirs.items() if other == size) or "none"
                raise InvalidValueError(
                    f"the student's {name} gives maps of {size[0]} x {size[1]} for {probe[0]} x {probe[1]} px, but the "
                    f"teacher's {their_name} of {their_size[0]} x {their_size[1]}.",
                    fix=f"Layers of the teacher with maps of the same size: {equal}.",
                    place="[teacher]",
                    field="teacher_layers",
                    value=their_name,
                )
            self.pairs.append((name, their_name))
            fits = self.settings.features_weight and channels != their_channels
            self.regressors.append(nn.Conv2d(channels, their_channels, 1) if fits else nn.Identity())


def load_distillation(configuration: Configuration, student: Network) -> Distillation | None:
    """The teacher of a configuration beside its student; the weights of regressors come from torch's generator.

    Raises
    ------
    DatasetError, InvalidValueError
        The teacher cannot be read, or blurs; or layers do not exist, or do not fit.
    """
    settings = configuration.teacher
    if settings is None:
        return None
    try:
        checkpoint = load_checkpoint(settings.network)
        teacher = restoration_network_of(checkpoint, settings.network)
    except BlursynthError as error:
        raise error.at("[teacher]") from None
    patches = [stage.patch_px for stage in configuration.stage]
    return Distillation(settings, teacher, checkpoint.manifest["sha256"], student, patches)


def _coarsest(mine: dict[str, Sizes], theirs: dict[str, Sizes]) -> tuple[tuple[str], tuple[str]]:
    """The last layer of each network that gives maps of the smallest size which both have; pictures are no maps."""
    mine, theirs = ({name: size for name, size in sizes.items() if size[0] > 3} for sizes in (mine, theirs))
    common = {size[1:] for size in mine.values()} & {size[1:] for size in theirs.values()}
    if not common:
        raise InvalidValueError(
            "student and teacher have no maps of the same size, so no layers are compared by default.",
            fix="Leave out features_weight and attention_weight: the outputs can always be compared.",
            place="[teacher]",
        )
    smallest = min(common)
    last, their_last = ([n for n, size in sizes.items() if size[1:] == smallest][-1] for sizes in (mine, theirs))
    return (last,), (their_last,)


def _size_of(name: str, sizes: dict[str, Sizes], network: Network, field: str) -> Sizes:
    if name in sizes:
        return sizes[name]
    names = dict(network.named_modules())
    whose = f"{'student' if field == 'layers' else 'teacher'} ({network.config.kind})"
    what = f"the {whose} has no layer {name!r}." if name not in names else f"{name} of the {whose} gives no map."
    raise InvalidValueError(
        what,
        why="" if name not in names else "Compared are layers whose result is one tensor [B, C, H, W].",
        fix=did_you_mean(name, sizes),
        place="[teacher]",
        field=field,
        value=name,
    )


def _map_sizes(network: Network, height: int, width: int) -> dict[str, Sizes]:
    """Sizes of the maps ``[B, C, H, W]`` that layers of a network give for a picture, in the order they finish.

    Only a map has the proportions of the picture: a mean over the picture and tokens of windows have not.
    """
    found: dict[str, Sizes] = {}

    def note(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * width == output.shape[3] * height:
            found.pop(name, None)
            found[name] = (output.shape[1], output.shape[2], output.shape[3])

    names = {name for name, _ in network.named_modules() if name}
    training = network.training
    with torch.no_grad(), _recorded(network, names, note):
        network.eval()(torch.zeros(1, 3, height, width))
    network.train(training)
    return found


@contextmanager
def _recorded(network: nn.Module, names: set[str], note: Callable[[str, Any], None]) -> Iterator[None]:
    handles = _record(network, names, note)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _record(network: nn.Module, names: set[str], note: Callable[[str, Any], None]) -> list[Any]:
    """Call ``note(name, output)`` whenever one of these layers has run."""

    def hook(name: str, module: nn.Module, arguments: Any, output: Any) -> None:
        note(name, output)

    return [network.get_submodule(name).register_forward_hook(partial(hook, name)) for name in sorted(names)]


def _mean(values: Iterator[Tensor]) -> Tensor:
    return torch.stack([*values]).mean()
