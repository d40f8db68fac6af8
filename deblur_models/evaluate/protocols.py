"""Protocols of public test sets: where their pictures lie, and what published figures measure on them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from blursynth.dataset.public_sets import public_set
from blursynth.errors import InvalidValueError, did_you_mean
from blursynth.io.pair_layouts import Folders, Layout
from deblur_models.data.pair_set import PairSet
from deblur_models.evaluate.layouts import open_layout
from deblur_models.evaluate.references import References
from deblur_models.metrics import PSNR, Aligned, Metric, Niqe, Registered, Ssim

__all__ = ["PROTOCOLS", "Protocol", "find_protocol"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Protocol:
    """A test set by name.

    ``scores`` says what published figures measure, ``metrics`` measure it, ``pairs`` is the number of pairs over which
    they are means, and ``source`` says whose figures they are.
    """

    name: str
    scores: str
    layouts: tuple[Layout, ...]
    metrics: tuple[Metric, ...]
    pairs: int
    source: str

    def open(self, folder: str | Path) -> tuple[PairSet, References | None]:
        """The pairs below a folder, and the several sharp pictures of each if the set has them.

        Another number of pairs than published figures use is logged as a warning.

        Raises
        ------
        DatasetError
            The folder does not hold the set, or pictures have no sharp partner.
        """
        pairs, references = open_layout(folder, self.layouts, self.name)
        if len(pairs) != self.pairs:
            _LOG.warning(
                "%s: %d pairs; published figures are means over %d, so the two cannot be compared.",
                self.name, len(pairs), self.pairs,
            )  # fmt: skip
        return pairs, references


def find_protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises
    ------
    InvalidValueError
        There is none.
    """
    known = {protocol.name: protocol for protocol in PROTOCOLS}
    if name not in known:
        raise InvalidValueError(f"There is no protocol {name!r}.", fix=did_you_mean(name, known))
    return known[name]


def _every_tenth(layouts: tuple[Layout, ...]) -> tuple[Layout, ...]:
    """The frames whose numbers end with 9."""
    folders = (one for one in layouts if isinstance(one, Folders))
    return tuple(replace(one, blurred=f"{one.blurred}9", sharp=f"{one.sharp}9") for one in folders)


_PLAIN = (PSNR(), Ssim())
_REGISTERED = (Registered(score="psnr"), Registered(score="ssim"))
_CLIPPED = (Registered(score="psnr", clip=True), Registered(score="ssim", clip=True))
# The middle of a kernel is not defined, so that results of blind methods are shifted, by up to half of it.
_SHIFTED = tuple(Aligned(of=one, max_shift_px=20, border_px=22) for one in _PLAIN)

PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        "gopro",
        "PSNR and SSIM of whole pictures; blur is the mean of codes (folder blur)",
        public_set("gopro").split("test"),
        _PLAIN,
        1111,
        "Nah et al. 2017; figures of DMPHN, MIMO-UNet, MPRNet, HINet, Restormer, NAFNet",
    ),
    Protocol(
        "gopro-gamma",
        "the same; blur is the mean of light, gamma 2.2 (folder blur_gamma)",
        public_set("gopro-gamma").split("test"),
        _PLAIN,
        1111,
        "Nah et al. 2017, and their figures",
    ),
    Protocol(
        "hide",
        "PSNR and SSIM of whole pictures",
        public_set("hide").split("test"),
        _PLAIN,
        2025,
        "Shen et al. 2019; figures of networks trained on GoPro",
    ),
    Protocol(
        "reds",
        "PSNR and SSIM of whole pictures, all frames of val",
        public_set("reds").split("val"),
        _PLAIN,
        3000,
        "Nah et al. 2019 (NTIRE)",
    ),
    Protocol(
        "reds-300",
        "the same, every tenth frame",
        _every_tenth(public_set("reds").split("val")),
        _PLAIN,
        300,
        "the choice of frames of HINet, for blur without JPEG",
    ),
    Protocol(
        "reds-jpeg-300",
        "the same, every tenth frame, blur with JPEG",
        (
            *_every_tenth(public_set("reds-jpeg").split("val")),
            Folders("blur_300/{picture}", "sharp_300/{picture}"),
        ),
        _PLAIN,
        300,
        "NTIRE 2021 (track 2); figures of HINet, MAXIM, NAFNet",
    ),
    *(
        Protocol(
            f"bsd-{sharp_ms}ms{blurred_ms}ms",
            f"PSNR and SSIM of whole pictures, and registered; exposures of {sharp_ms} and {blurred_ms} ms",
            (
                Folders(
                    f"BSD_{sharp_ms}ms{blurred_ms}ms/test/{{scene}}/Blur/RGB/{{frame}}",
                    f"BSD_{sharp_ms}ms{blurred_ms}ms/test/{{scene}}/Sharp/RGB/{{frame}}",
                ),
            ),
            (*_PLAIN, *_CLIPPED),
            3000,
            "Zhong et al. 2020 (ESTRNN); registered figures of Rim et al. 2022",
        )
        for sharp_ms, blurred_ms in ((1, 8), (2, 16), (3, 24))
    ),
    *(
        Protocol(
            f"realblur-{letter.lower()}",
            f"PSNR and SSIM after registration; {what}",
            public_set(f"realblur-{letter.lower()}").split("test"),
            (PSNR(), *_REGISTERED),
            980,
            "Rim et al. 2020; figures of networks trained on GoPro or RealBlur",
        )
        for letter, what in (("J", "the camera's JPEG files"), ("R", "developed from raw files"))
    ),
    Protocol(
        "rsblur",
        "PSNR and SSIM after registration, clipped to 0..1",
        public_set("rsblur").split("test"),
        (PSNR(), *_CLIPPED),
        3360,
        "Rim et al. 2022, and their benchmark",
    ),
    Protocol(
        "koehler",
        "best PSNR of the luma over the sharp pictures along the camera's path",
        (
            Folders("BlurryImages/Blurry{scene}_{path}", "GroundTruthImg/GroundTruth{scene}_{path}/{view}"),
            Folders("blurred/{picture}", "sharp/{picture}/{view}"),
        ),
        _PLAIN,
        48,
        "Köhler et al. 2012; the sharp pictures of their .mat files as pictures",
    ),
    *(
        Protocol(
            f"lai-{kind}",
            f"PSNR and SSIM of whole pictures, and at the best shift up to 20 px; {what}",
            (
                Folders(
                    f"synthetic_dataset/{kind}/{{picture}}_{word}_{{blur}}", "synthetic_dataset/ground_truth/{picture}"
                ),
            ),
            (*_PLAIN, *_SHIFTED),
            100,
            "Lai et al. 2016",
        )
        for kind, word, what in (("uniform", "kernel", "one kernel each"), ("nonuniform", "gyro", "measured shake"))
    ),
    Protocol(
        "lai-real",
        "NIQE: there are no sharp pictures",
        (Folders("real_dataset/{picture}", None),),
        (Niqe(),),
        100,
        "Lai et al. 2016",
    ),
)
"""All protocols; ``deblur protocols`` lists them."""
