"""Backbones of timm as encoders with five feature maps, tapped where DeblurGAN-v2 does.

timm imports torchvision, and a torchvision built for another torch than the installed one (for CUDA with a CPU build of
torch) fails to import because two operators are missing. They are not used here; :func:`import_torchvision` handles it.
"""

from __future__ import annotations

import importlib.metadata
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import ModuleType
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from blursynth.errors import InvalidValueError, require
from deblur_models.networks.layers import with_norm_policy
from deblur_models.networks.network import NormPolicy

__all__ = [
    "BackboneName",
    "Encoder",
    "build_encoder",
    "encoder_type",
    "import_timm",
    "import_torchvision",
    "load_backbone_weights",
]

logger = logging.getLogger(__name__)

BackboneName = Literal["inception_resnet_v2", "mobilenetv2_100", "mobilenetv2_050", "mobilenetv2_035"]
"""timm's names; the number behind MobileNetV2 is the factor of its channels in percent."""

_DECLARED: list[torch.library.Library] = []  # declarations last as long as these objects


def import_torchvision() -> ModuleType:
    """Import torchvision, even if its compiled operators do not match the installed torch.

    Its Python part cannot be imported if ``nms`` and ``qnms`` are unknown to torch. They are then declared without an
    implementation and the import is retried; everything except torchvision's own detection operators works.
    """
    try:
        return require("torchvision", extra="train", purpose="A backbone of timm")
    except RuntimeError as error:
        if "torchvision::" not in str(error) or _DECLARED:
            raise
        logger.debug(
            "torchvision %s does not fit torch %s (%s). Its operators nms and qnms are declared without an "
            "implementation; they are not used here. A torchvision built for this torch makes this unnecessary.",
            importlib.metadata.version("torchvision"),
            torch.__version__,
            error,
        )
    for name in [m for m in sys.modules if m.partition(".")[0] in ("torchvision", "timm")]:
        del sys.modules[name]  # partially loaded: a second import would use them as they are
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    _DECLARED.append(library)
    return require("torchvision", extra="train", purpose="A backbone of timm")


def import_timm() -> ModuleType:
    """Import timm, after :func:`import_torchvision`."""
    import_torchvision()
    return require("timm", extra="train", purpose="A backbone of timm")


class Encoder(nn.Module, ABC):
    """A backbone up to its last tap: maps images ``[B, 3, H, W]`` in -1..1 to five feature maps, finest first.

    The maps have ``channels`` channels, and 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's sides, minus ``margins_px``.
    The sides of the image must be multiples of 32 and at least ``smallest_px``. Names of weights are those of timm.
    """

    unused: ClassVar[tuple[str, ...]]
    """Prefixes of the names of weights that are not built here."""
    smallest_px: ClassVar[int] = 32
    margins_px: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),) * 5
    """Pixels that each map lacks before and after it, because layers do not pad."""

    channels: tuple[int, ...]

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, ...]: ...

    @staticmethod
    @abstractmethod
    def timm_name(name: str) -> str:
        """timm's name of a weight of DeblurGAN-v2's published code; other names are returned unchanged."""

    @staticmethod
    @abstractmethod
    def first_name(name: str) -> str:
        """The name in the backbone of a weight that DeblurGAN-v2's checkpoints also contain as ``enc2.0....``."""


def encoder_type(name: BackboneName) -> type[InceptionResNetV2Encoder] | type[MobileNetV2Encoder]:
    return InceptionResNetV2Encoder if name == "inception_resnet_v2" else MobileNetV2Encoder


def build_encoder(name: BackboneName, norm: NormPolicy) -> Encoder:
    """The backbone with random weights from torch's generator."""
    return encoder_type(name)(name, norm)


class InceptionResNetV2Encoder(Encoder):
    """Inception-ResNet-v2 up to ``mixed_7a``.

    Its strided layers do not pad, so sides of ``32 k`` become ``16 k - 1, 8 k - 2, 4 k - 3, 2 k - 2, k - 2``, which the
    margins complete.

    Source: C. Szegedy, S. Ioffe, V. Vanhoucke and A. Alemi, "Inception-v4, Inception-ResNet and the Impact of Residual
    Connections on Learning", AAAI 2017.
    """

    unused = ("repeat_2.", "block8.", "conv2d_7b.", "classif.", "last_linear.")
    smallest_px = 128  # the smallest side whose deepest map can be mirrored
    margins_px = ((0, 1), (1, 1), (1, 2), (1, 1), (1, 1))

    def __init__(self, name: BackboneName, norm: NormPolicy) -> None:
        super().__init__()
        whole = import_timm().create_model(name, pretrained=False)
        self.channels = (32, 64, 192, 1088, 2080)
        for step in _STEPS_OF_INCEPTION:
            for part in step:
                self.add_module(part, getattr(whole, part))
        with_norm_policy(self, norm)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = []
        for step in _STEPS_OF_INCEPTION:
            for part in step:
                x = self.get_submodule(part)(x)
            maps.append(x)
        return tuple(maps)

    @staticmethod
    def timm_name(name: str) -> str:
        return name

    @staticmethod
    def first_name(name: str) -> str:
        step, *rest = name.split(".")
        parts = _STEPS_OF_INCEPTION[int(step.removeprefix("enc"))]
        if len(parts) == 1:  # not a list of parts in the published code
            return ".".join((parts[0], *rest))
        place = int(rest[0]) if rest[0].isdigit() else len(parts)
        return ".".join((parts[place], *rest[1:])) if place < len(parts) else name


class MobileNetV2Encoder(Encoder):
    """MobileNetV2 up to its second block of 160 channels.

    Source: M. Sandler, A. Howard, M. Zhu, A. Zhmoginov and L.-C. Chen, "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", CVPR 2018.
    """

    unused = ("blocks.5.2.", "blocks.6.", "conv_head.", "bn2.", "classifier.")

    def __init__(self, name: BackboneName, norm: NormPolicy) -> None:
        super().__init__()
        whole = import_timm().create_model(name, pretrained=False)
        self.conv_stem = whole.conv_stem
        self.bn1 = whole.bn1
        self.blocks = nn.Sequential(*whole.blocks[:5], whole.blocks[5][:2])
        first = whole.blocks[0][-1].conv_pw.out_channels
        self.channels = (first, *(whole.blocks[i][-1].conv_pwl.out_channels for i in (1, 2, 3, 5)))
        with_norm_policy(self, norm)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        half = self.blocks[0](self.bn1(self.conv_stem(x)))
        quarter = self.blocks[1](half)
        eighth = self.blocks[2](quarter)
        sixteenth = self.blocks[3](eighth)
        return half, quarter, eighth, sixteenth, self.blocks[5](self.blocks[4](sixteenth))

    @staticmethod
    def timm_name(name: str) -> str:
        parts = name.split(".")
        if parts[0] != "features" or len(parts) < 4 or not parts[1].isdigit():
            return name
        number = int(parts[1])
        if number in _OUTSIDE_STAGES:
            return ".".join((_OUTSIDE_STAGES[number].get(parts[2], parts[2]), *parts[3:]))
        stage = sum(number > last for last in _LAST_OF_STAGE)
        layer = (_OTHER_BLOCKS if stage else _FIRST_BLOCK).get(parts[3])
        if stage == len(_LAST_OF_STAGE) or layer is None:
            return name
        block = number - (_LAST_OF_STAGE[stage - 1] + 1 if stage else 1)
        return ".".join(("blocks", str(stage), str(block), layer, *parts[4:]))

    @staticmethod
    def first_name(name: str) -> str:
        step, *rest = name.split(".")
        if not rest[0].isdigit():
            return name
        return ".".join((str(_STEPS_OF_MOBILENET[int(step.removeprefix("enc"))] + int(rest[0])), *rest[1:]))


# The five steps into which DeblurGAN-v2's code divides the backbones, each ending at a tap: parts of
# Inception-ResNet-v2, and for MobileNetV2 the number of the first part.
_STEPS_OF_INCEPTION = (
    ("conv2d_1a",),
    ("conv2d_2a", "conv2d_2b", "maxpool_3a"),
    ("conv2d_3b", "conv2d_4a", "maxpool_5a"),
    ("mixed_5b", "repeat", "mixed_6a"),
    ("repeat_1", "mixed_7a"),
)
_STEPS_OF_MOBILENET = (0, 2, 4, 7, 11)

# The last entry of each stage of MobileNetV2 in its list ``features``, and timm's names of the layers of its blocks.
_LAST_OF_STAGE = (1, 3, 6, 10, 13, 16, 17)
_OUTSIDE_STAGES = {0: {"0": "conv_stem", "1": "bn1"}, 18: {"0": "conv_head", "1": "bn2"}}
_FIRST_BLOCK = {"0": "conv_dw", "1": "bn1", "3": "conv_pw", "4": "bn2"}
_OTHER_BLOCKS = {"0": "conv_pw", "1": "bn1", "3": "conv_dw", "4": "bn2", "6": "conv_pwl", "7": "bn3"}


def load_backbone_weights(encoder: Encoder, weights: Mapping[str, Tensor]) -> None:
    """Load the weights of a whole backbone, with timm's names or those of DeblurGAN-v2's code, into the encoder.

    Weights after the last tap are ignored, as are running statistics that the encoder does not have. If a weight is
    missing, unknown, has another shape or is not finite, an error is raised and nothing is changed.
    """
    own = encoder.state_dict()
    given = {encoder.timm_name(name): tensor for name, tensor in weights.items()}
    ignored = (".num_batches_tracked", ".running_mean", ".running_var")
    missing = sorted(set(own) - set(given))
    unknown = sorted(n for n in set(given) - set(own) if not n.startswith(encoder.unused) and not n.endswith(ignored))
    shapes = [
        f"{name} is {list(given[name].shape)}, but must be {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in given and given[name].shape != tensor.shape
    ]
    if missing or unknown or shapes:
        raise InvalidValueError(
            f"The weights do not fit {type(encoder).__name__}: {len(missing)} missing {missing[:3]}, {len(unknown)} "
            f"unknown {unknown[:3]}, {len(shapes)} with another shape {shapes[:3]}.",
            fix="Use the weights of the same backbone, with timm's names.",
        )
    broken = [name for name in own if not bool(torch.isfinite(given[name]).all())]
    if broken:
        raise InvalidValueError(f"The weights contain NaN or infinity: {len(broken)} of {len(own)}, {broken[:3]}.")
    encoder.load_state_dict({name: given[name] for name in own})
