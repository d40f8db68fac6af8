"""Public sets of real pairs, by name: where their pictures lie, whose they are, and under which license.

Licenses are those that the authors of a set state: RealBlur's and RSBlur's in their repositories, GoPro's and REDS's on
their pages, as quoted by others. Where none was found, they are ``NOT_STATED``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from blursynth.errors import Argument, InvalidValueError, did_you_mean
from blursynth.io.pair_layouts import Folders, Layout, ListFile

__all__ = ["NOT_STATED", "PUBLIC_SETS", "PublicSet", "public_set"]

NOT_STATED = "not stated"


@dataclass(frozen=True)
class PublicSet:
    """A set of pairs.

    Parameters
    ----------
    name
        Its name on the command line, which is also that of its protocol in ``deblur evaluate``.
    summary
        What it is.
    license, citation, url
        The license that its authors state, whom to cite, and where both stand.
    layouts
        Where the pictures of each split lie: the first that fits.
    pairs
        Number of pairs of each split, as far as it is known.
    """

    name: str
    summary: str
    license: str
    citation: str
    url: str
    layouts: Mapping[str, tuple[Layout, ...]]
    pairs: Mapping[str, int]

    def split(self, name: str) -> tuple[Layout, ...]:
        """The layouts of a split.

        Raises
        ------
        InvalidValueError
            There is no such split.
        """
        if name not in self.layouts:
            raise InvalidValueError(
                (Argument("split"), f": {self.name} has no split {name!r}, only {', '.join(self.layouts)}."),
                fix=did_you_mean(name, self.layouts),
                field="split",
                value=name,
            )
        return self.layouts[name]


def public_set(name: str) -> PublicSet:
    """The set of a name.

    Raises
    ------
    InvalidValueError
        There is none.
    """
    if name not in PUBLIC_SETS:
        fix = f"{did_you_mean(name, PUBLIC_SETS)} Known are {', '.join(PUBLIC_SETS)}."
        raise InvalidValueError(f"There is no public set {name!r}.", fix=fix, field="name", value=name)
    return PUBLIC_SETS[name]


def _splits(names: Sequence[str], *layouts: Layout) -> dict[str, tuple[Layout, ...]]:
    """Layouts of each split, whose name replaces ``{split}`` in paths and names of files."""

    return {split: tuple(layout.of_split(split) for layout in layouts) for split in names}


def _mprnet(name: str) -> tuple[Layout, ...]:
    """The flat folders in which MPRNet and its successors pass sets on."""
    return (
        Folders(f"{name}/{{split}}/input/{{picture}}", f"{name}/{{split}}/target/{{picture}}"),
        Folders(f"{{split}}/{name}/input/{{picture}}", f"{{split}}/{name}/target/{{picture}}"),
    )


# As the author divided it: https://github.com/shuochsu/DeepVideoDeblurring/issues/2
_DVD_TEST = (
    "720p_240fps_2", "IMG_0003", "IMG_0021", "IMG_0030", "IMG_0031", "IMG_0032", "IMG_0033", "IMG_0037", "IMG_0039",
    "IMG_0049",
)  # fmt: skip


def _dvd(split: str) -> tuple[Layout, ...]:
    """The tree of its archive, and that of STFAN and others, with a folder for each split."""
    whole = Folders("quantitative_datasets/{scene}/input/{frame}", "quantitative_datasets/{scene}/GT/{frame}")
    return (
        replace(whole, scenes=_DVD_TEST, other_scenes=split == "train"),
        Folders(f"{split}/{{scene}}/input/{{frame}}", f"{split}/{{scene}}/GT/{{frame}}"),
    )


_BOTH = ("train", "test")
_GOPRO = PublicSet(
    name="gopro",
    summary="means of consecutive video frames' codes",
    license="CC BY 4.0",
    citation="Nah, Kim, Lee: Deep Multi-Scale Convolutional Neural Network for Dynamic Scene Deblurring, CVPR 2017",
    url="https://seungjunnah.github.io/Datasets/gopro",
    layouts=_splits(
        _BOTH,
        Folders("{split}/{scene}/blur/{frame}", "{split}/{scene}/sharp/{frame}"),
        Folders("{split}/blur/{frame}", "{split}/sharp/{frame}"),
        *_mprnet("GoPro"),
    ),
    pairs={"train": 2103, "test": 1111},
)
_REDS = PublicSet(
    name="reds",
    summary="means of interpolated video frames",
    license="CC BY 4.0",
    citation="Nah et al.: NTIRE 2019 Challenge on Video Deblurring and Super-Resolution: Dataset and Study, CVPRW 2019",
    url="https://seungjunnah.github.io/Datasets/reds",
    layouts=_splits(("train", "val"), Folders("{split}_blur/{clip}/{frame}", "{split}_sharp/{clip}/{frame}")),
    pairs={"train": 24000, "val": 3000},
)
_SETS = (
    _GOPRO,
    replace(
        _GOPRO,
        name="gopro-gamma",
        summary="means of consecutive video frames' light, gamma 2.2",
        layouts=_splits(_BOTH, Folders("{split}/{scene}/blur_gamma/{frame}", "{split}/{scene}/sharp/{frame}")),
    ),
    PublicSet(
        name="hide",
        summary="means of consecutive video frames, people in motion",
        license=NOT_STATED,
        citation="Shen et al.: Human-Aware Motion Deblurring, ICCV 2019",
        url="https://github.com/joanshen0508/HA_deblur",
        layouts={
            split: (*_splits(_BOTH, *_mprnet("HIDE"))[split], Folders(blurred, "GT/{picture}", shared=True))
            for split, blurred in (("train", "train/{picture}"), ("test", "test/{part}/{picture}"))
        },
        pairs={"train": 6397, "test": 2025},
    ),
    _REDS,
    replace(
        _REDS,
        name="reds-jpeg",
        summary="means of interpolated video frames, as JPEG",
        layouts=_splits(("train", "val"), Folders("{split}_blur_jpeg/{clip}/{frame}", "{split}_sharp/{clip}/{frame}")),
    ),
    *(
        PublicSet(
            name=f"realblur-{letter.lower()}",
            summary=f"two cameras behind a beam splitter, {what}",
            license="CC BY 4.0",
            citation="Rim, Lee, Won, Cho: Real-World Blur Dataset for Learning and Benchmarking Deblurring Algorithms, "
            "ECCV 2020",
            url="https://github.com/rimchang/RealBlur",
            layouts=_splits(_BOTH, ListFile(f"RealBlur_{letter}_{{split}}_list.txt"), *_mprnet(f"RealBlur_{letter}")),
            pairs={"train": 3758, "test": 980},
        )
        for letter, what in (("J", "the camera's JPEG files"), ("R", "developed from raw files"))
    ),
    PublicSet(
        name="rsblur",
        summary="two cameras behind a beam splitter",
        license="CC BY 4.0",
        citation="Rim et al.: Realistic Blur Synthesis for Learning Image Deblurring, ECCV 2022",
        url="https://github.com/rimchang/RSBlur",
        layouts=_splits(("train", "val", "test"), ListFile("RSBlur_real_{split}.txt")),
        pairs={"test": 3360},
    ),
    PublicSet(
        name="dvd",
        summary="means of consecutive video frames",
        license=NOT_STATED,
        citation="Su et al.: Deep Video Deblurring for Hand-held Cameras, CVPR 2017",
        url="https://www.cs.ubc.ca/labs/imager/tr/2017/DeepVideoDeblurring/",
        layouts={split: _dvd(split) for split in _BOTH},
        pairs={},
    ),
)

PUBLIC_SETS = {one.name: one for one in _SETS}
"""All sets by name."""
