"""A study as files: a page and its pictures for raters, and the key for whoever runs it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blursynth.dataset.files import read_bounded
from blursynth.errors import Argument, DatasetError, InvalidValueError
from blursynth.io.folders import expanded
from blursynth.records.text import printable
from deblur_models.data.picture_file import write_whole
from deblur_models.evaluate.evaluation import spread
from deblur_models.study.design import (
    KEY_FILE,
    MOST_TRIALS,
    REFERENCE,
    Content,
    Design,
    StudyKey,
    Trial,
    study_name,
    versions_shown,
)
from deblur_models.study.pictures import (
    Versions,
    check_sizes,
    crop,
    most_different,
    read_versions,
    read_windows,
)

__all__ = ["MadeStudy", "make_study"]

FOR_RATERS = "for-raters"

_USUAL_ITEMS = 12
_USUAL_CROP_PX = 512
_FEWEST_ITEMS = 3  # with two, their pictures would alternate, and raters know what comes next
_TRIAL_S = {"single": 7.0, "pairs": 10.0}  # that a rater takes for one, roughly
_LARGEST_EMBEDDED_BYTES = 50 << 20
_CONSENT = (
    "Taking part is voluntary, and you may stop at any time. Your answers, and what you say about your screen and your "
    "eyes, are kept in a file that you send back yourself; it holds no name, and this page sends nothing to anybody."
)


@dataclass(frozen=True)
class MadeStudy:
    """``page`` is for raters, in a folder of its own; ``key_file`` must not reach them."""

    key: StudyKey
    page: Path
    key_file: Path
    trials: int
    """For each rater, with repetitions and practice."""
    minutes: float
    """An estimate for each rater, without breaks."""


def make_study(
    pictures: Sequence[Versions],
    out: str | Path,
    *,
    design: Design = "single",
    items: int | None = None,
    size_px: int | None = None,
    crops: str | Path | None = None,
    repeats: int | None = None,
    practice: int = 5,
    ties: bool = False,
    flicker: bool = False,
    session_minutes: float = 20.0,
    title: str = "Which pictures look good?",
    consent: str | Path | None = None,
    single_file: bool = False,
    seed: int = 0,
    on_picture: Callable[[int, int], None] | None = None,
) -> MadeStudy:
    """Make the page of a blind study, its pictures and its key.

    Parameters
    ----------
    pictures
        From :func:`~deblur_models.study.pictures.of_folders` or ``of_report``. The versions called
        :data:`~deblur_models.study.design.REFERENCE` are the hidden reference.
    out
        A new or empty folder. It receives ``for-raters/`` and ``study-key.json``.
    design
        ``single``: one picture at a time is rated from 1 (bad) to 5 (excellent), ITU-T P.910's ACR with hidden
        reference. ``pairs``: every pair of versions of a picture is compared.
    items
        Number of pictures, evenly spread; by default up to 12. One more is shown for practice.
    size_px
        Side of the square crops; by default 512, or the shortest side of a picture.
    crops
        A CSV file ``name,left,top`` for pictures whose crop is not to be chosen by
        :func:`~deblur_models.study.pictures.most_different`.
    repeats
        Number of trials that each rater sees a second time; by default a tenth.
    practice
        Number of trials before those that count. They span the range of quality.
    ties
        Whether "no difference" may be answered to a pair.
    flicker
        Show a pair in one place, switched by a key, instead of side by side.
    session_minutes
        Time after which the page demands a break; at most 30 (BT.500).
    consent
        A text file of what raters agree to.
    single_file
        Put the pictures into the page itself.
    seed
        Of the names of files, and of which pictures are for practice.

    Raises
    ------
    InvalidValueError, DatasetError, PictureError
        Checked before the first file is written.
    """
    _demand(design in ("single", "pairs"), "design", design, "single or pairs")
    _demand(items is None or items >= _FEWEST_ITEMS, "items", items, f">= {_FEWEST_ITEMS}",
           "With fewer pictures, raters see the same one again and again.")  # fmt: skip
    _demand(size_px is None or 16 <= size_px <= 4096, "size_px", size_px, "16 to 4096")
    _demand(practice >= 0, "practice", practice, ">= 0")
    _demand(0 < session_minutes <= 30, "session_minutes", session_minutes, "> 0 and <= 30",
           "Raters tire: ITU-R BT.500 ends a session after half an hour.")  # fmt: skip
    if design == "single" and (ties or flicker):
        raise InvalidValueError(
            (Argument("ties" if ties else "flicker"), " is for pairs, but single pictures are shown.")
        )
    methods = list(pictures[0].files) if pictures else []
    _check_methods(methods)
    folder = expanded(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder}: exists and is not an empty folder.", fix="Choose another place.")
    text = _CONSENT if consent is None else _read_consent(expanded(consent))
    rng = np.random.Generator(np.random.Philox(seed))
    shown, for_practice = _chosen(pictures, items, practice, rng)
    everything = [*shown, *for_practice]
    sizes = check_sizes(everything, size_px or 16)
    side = size_px or min(_USUAL_CROP_PX, *(min(size) for size in sizes.values()))
    windows = {} if crops is None else read_windows(crops, sizes, side)
    count = len(versions_shown(methods, design)) * len(shown)
    repeats = min(max(2, round(count / 10)), count // 3) if repeats is None else repeats
    _demand(0 <= repeats <= count // 3, "repeats", repeats, f"0 to {count // 3}",
           "Those of the first third of the trials are shown again in the last.")  # fmt: skip
    _demand(count + practice <= MOST_TRIALS, "items", len(shown), f"fewer: {count} trials are more than {MOST_TRIALS}")

    cut = _Cut(methods, design, side, practice, rng)
    for index, one in enumerate(everything):
        if on_picture is not None:
            on_picture(index, len(everything))
        cut.add(one, windows.get(one.name), practice=index >= len(shown))
    order = list(cut.trials)
    rng.shuffle(order)  # that of methods would be seen in the page's text
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in cut.pictures.items()}
    key = StudyKey(
        study=study_name({name: trial.to_dict() for name, trial in cut.trials.items()}, digests), design=design,
        ties=ties, flicker=flicker, size_px=side, repeats=repeats, methods=tuple(methods), contents=tuple(cut.contents),
        trials={name: cut.trials[name] for name in order},
    )  # fmt: skip
    settings: dict[str, Any] = {
        "study": key.study, "design": design, "ties": ties, "flicker": flicker, "sizePx": side, "repeats": repeats,
        "sessionMinutes": session_minutes,
        "trials": [
            {"id": name, "content": trial.content, "practice": trial.practice, "files": cut.files[name]}
            for name, trial in key.trials.items()
        ],
    }  # fmt: skip
    place, pictures_bytes = folder / FOR_RATERS, sum(map(len, cut.pictures.values()))
    if not single_file:
        for name in sorted(cut.pictures):
            write_whole(place / "pictures" / f"{name}.png", cut.pictures[name])
    elif pictures_bytes <= _LARGEST_EMBEDDED_BYTES:
        settings["embedded"] = {name: base64.b64encode(data).decode() for name, data in cut.pictures.items()}
    else:
        raise InvalidValueError(
            (Argument("single_file"), f": the pictures have {pictures_bytes / 1e6:.0f} MB, more than the "
             f"{_LARGEST_EMBEDDED_BYTES / 1e6:.0f} MB that browsers open well."),
            fix="Leave it out and hand out the folder, or choose fewer or smaller pictures.",
        )  # fmt: skip
    number = len(key.trials) + repeats
    minutes = number * _TRIAL_S[design] / 60
    write_whole(place / "index.html", _page(settings, title, text, minutes).encode())
    write_whole(folder / KEY_FILE, (json.dumps(key.to_dict(), indent=1, allow_nan=False) + "\n").encode())
    return MadeStudy(key, place / "index.html", folder / KEY_FILE, number, minutes)


class _Cut:
    """Crops as files with random names, and the trials that show them: ``files[trial]`` are names in ``pictures``."""

    def __init__(
        self, methods: Sequence[str], design: Design, size_px: int, practice: int, rng: np.random.Generator
    ) -> None:
        self.contents: list[Content] = []
        self.pictures: dict[str, bytes] = {}
        self.trials: dict[str, Trial] = {}
        self.files: dict[str, list[str]] = {}
        self._methods, self._design, self._size_px, self._practice, self._rng = methods, design, size_px, practice, rng

    def add(self, one: Versions, window: tuple[int, int] | None, *, practice: bool) -> None:
        """Cut all versions of a picture at ``(top, left)``, or where they differ most, and make its trials."""
        codes, methods = read_versions(one), self._methods
        window = window or most_different(list(codes.values()), self._size_px)
        parts = {method: crop(codes[method], window, self._size_px) for method in methods}
        if all(np.array_equal(part, parts[methods[0]]) for part in parts.values()):
            raise InvalidValueError(
                f"{one.name}: all versions are equal in every pixel of the crop.",
                fix="Leave it out, or check the folders.",
            )
        names = {method: self._name() for method in methods}
        self.pictures |= {names[method]: _png(part) for method, part in parts.items()}
        if practice:
            shown = _for_practice(parts, self._design, self._practice, self._rng)
        else:
            shown = versions_shown(methods, self._design)
        for versions in shown:
            trial = self._name()
            self.trials[trial] = Trial(content=len(self.contents), methods=versions, practice=practice)
            self.files[trial] = [names[method] for method in versions]
        self.contents.append(Content(name=printable(one.name), top=window[0], left=window[1]))

    def _name(self) -> str:
        """A name that nothing has yet."""
        while (name := self._rng.bytes(6).hex()) in self.pictures or name in self.trials:
            pass
        return name


def _demand(holds: bool, name: str, got: object, wanted: str, why: str = "") -> None:
    if not holds:
        raise InvalidValueError((Argument(name), f" must be {wanted}, got {got}."), why=why, field=name, value=got)


def _check_methods(methods: Sequence[str]) -> None:
    if len(methods) < 2:
        raise InvalidValueError(
            f"A study compares at least two versions of a picture, got {len(methods)}.",
            fix="Give NAME=FOLDER of several methods, or --sharp FOLDER for the hidden reference.",
        )
    for name in methods:
        if printable(name) != name or not 0 < len(name.strip()) <= 60:
            raise InvalidValueError(f"{name[:80]!r} is no name for a method.", fix="Use 1 to 60 printable characters.")


def _read_consent(path: Path) -> str:
    try:
        return "\n".join(read_bounded(path, 1 << 16).decode("utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as text ({getattr(error, 'strerror', None) or error}).") from None


def _chosen(
    pictures: Sequence[Versions], items: int | None, practice: int, rng: np.random.Generator
) -> tuple[list[Versions], list[Versions]]:
    """Pictures to rate, and the one for practice, which is none of these."""
    spare = 1 if practice else 0
    wanted = min(_USUAL_ITEMS, len(pictures) - spare) if items is None else items
    if wanted < _FEWEST_ITEMS or wanted + spare > len(pictures):
        raise InvalidValueError(
            f"{max(wanted, _FEWEST_ITEMS)} pictures{' and one for practice' if spare else ''} are needed, got "
            f"{len(pictures)}.",
            why="Practice shows a picture that is not rated later." if spare else "",
            fix="Give more pictures" + (", or --practice 0." if spare else "."),
        )
    chosen = [pictures[i] for i in spread(len(pictures), wanted + spare)]
    return chosen, [chosen.pop(int(rng.integers(len(chosen))))] if spare else []


def _for_practice(
    parts: Mapping[str, NDArray[np.uint8]], design: Design, count: int, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """Trials that span the range: of single pictures the best, the worst and some between, by distance from sharp."""
    everything = versions_shown(list(parts), design)
    if design == "pairs":
        return [everything[i] for i in rng.permutation(len(everything))[:count]]
    best = parts[REFERENCE].astype(np.float64) if REFERENCE in parts else np.mean([*parts.values()], axis=0)
    by_distance = sorted(parts, key=lambda method: float(((parts[method] - best) ** 2).mean()))
    return [(by_distance[i],) for i in spread(len(by_distance), count)]


def _png(codes: NDArray[np.uint8]) -> bytes:
    """Without metadata, which could tell one method's files from another's."""
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(codes)).save(file, "PNG")
    return file.getvalue()


def _page(settings: Mapping[str, Any], title: str, consent: str, minutes: float) -> str:
    # "<" can only be inside strings of JSON, where its escape means the same and cannot end the script.
    data = json.dumps(settings, allow_nan=False).replace("<", "\\u003c")
    template = Template((files("deblur_models.study") / "page.html").read_text("utf-8"))
    paragraphs = "".join(f"<p>{html.escape(part)}</p>" for part in consent.split("\n\n") if part.strip())
    session = math.ceil(settings["sessionMinutes"])
    estimate = "a minute" if minutes < 1.5 else f"{minutes:.0f} minutes"
    page = template.substitute(
        title=html.escape(title), consent=paragraphs, settings=data, session=session, estimate=estimate
    )
    return printable(page, lines=True)
