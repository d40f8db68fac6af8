"""The request for a data set: one record that says which pictures, what happens to their light, and how many pairs.

In a file, ``dataset.toml``::

    summary = "Photographs in a shaking hand"
    sources = ["photos/", "more.txt"]     # relative to this file, as depth, labels and the file of a recipe are
    recipe = "mixed"
    changes = { "shake.length_px" = 20 }
    count = 500
    size_px = 256
    seed = 7

    [digest]
    draws = "..."                         # of the finished data set: the same on every machine
    pixels = "..."                        # the same on machines with these versions and this kind of processor

With ``[[split]]`` tables it is several data sets, each in a folder of its name::

    [[split]]
    name = "train"
    sources = "bundled:training"
    count = 400
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, PlainValidator

from blursynth.dataset.bundled import BUNDLED_PREFIX
from blursynth.dataset.files import Sha256
from blursynth.errors import MISSING, Argument, InvalidValueError, did_you_mean
from blursynth.io.depth import DepthFormat
from blursynth.io.downscale import FACTORS
from blursynth.recipe.recipe import Recipe, load_recipe
from blursynth.records.kind import Record
from blursynth.records.toml import TomlFiles, beside, change, without_none

__all__ = ["DatasetRequest", "ExpectedDigest", "Split", "dataset_names", "load_request"]

STORABLE = ("kernel", "params")
_NAME = re.compile(r"\w[\w.-]*")  # of a split, which is that of a folder


def _places(given: Any) -> tuple[str, ...]:
    """Sources as texts; not as pydantic has them, since names of files need not be UTF-8."""
    found = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(place, str | Path) for place in found):
        raise ValueError("must be a folder, a glob, a picture or a list of these")
    return tuple(map(os.fspath, found))


def _recipe(given: Any) -> str | Recipe:
    if isinstance(given, Mapping):
        return Recipe.from_dict(given)
    if not isinstance(given, str | Path | Recipe):
        raise ValueError("must be the name of a recipe, the path of a .toml file, or a Recipe")
    return given if isinstance(given, Recipe) else os.fspath(given)


def _changes(given: Any) -> Any:
    """``{"shake": {"length_px": 20}}``, as TOML reads ``shake.length_px = 20``, by dotted names."""
    if not isinstance(given, Mapping):
        return given
    dotted: dict[str, Any] = {}
    for step, value in given.items():
        of_step = isinstance(value, Mapping) and "." not in step
        dotted.update({f"{step}.{field}": item for field, item in value.items()} if of_step else {step: value})
    return dotted


_TEXT = BeforeValidator(lambda given: os.fspath(given) if isinstance(given, Path) else given)
_NAMES = BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)
Places = Annotated[tuple[str, ...], PlainValidator(_places)]
_Count = Annotated[int, Field(ge=1, lt=2**63, description="number of pairs")]
_Seed = Annotated[int, Field(ge=0, lt=2**63, description="seed of the draws")]


class ExpectedDigest(Record):
    """The digests that a finished data set must have.

    Parameters
    ----------
    draws
        Of every record: which picture, window and numbers. The same everywhere.
    pixels
        Of every array: the same with the same versions on the same kind of processor.
    environment
        sha256 of the environment in which ``pixels`` was found, as ``Report.environment`` says it. In it other pixels
        are an error; elsewhere they are a note.
    """

    draws: Sha256
    pixels: Sha256 | None = None
    environment: Sha256 | None = None


class Split(Record):
    """A part of a request that is a data set of its own, such as "train" or "validation".

    Parameters
    ----------
    name
        Of its folder.
    count, sources, digest
        As those of :class:`DatasetRequest`; by default its sources.
    seed
        By default the request's, plus the number of the split counted from 0, so that no two splits draw the same
        numbers.
    """

    name: str
    count: _Count
    sources: Places | None = None
    seed: _Seed | None = None
    digest: ExpectedDigest | None = None


class DatasetRequest(Record):
    """What a data set shall be.

    Parameters
    ----------
    sources
        Folders (searched with their sub-folders, linked ones too), globs, picture files, ``.txt`` files with one path
        per line (``#`` begins a comment; paths are relative to the list), photographs inside scikit-image
        (``bundled:training``, ``bundled:held-out``), or several of these.
    recipe
        What happens to the light: the name of a recipe that comes with the library, the path of a .toml file, or a
        :class:`~blursynth.Recipe`.
    changes
        Of the recipe's numbers, as :func:`blursynth.load_recipe` takes them: ``{"shake.length_px": 20}``.
    count
        Number of pairs; None: endless, for :class:`~blursynth.dataset.OnlineDataset`.
    size_px
        Side of the square pictures of a pair in px, >= 8. Smaller sources are skipped.
    seed
        Seed of the draws, 0 <= seed < 2^63.
    store
        What is stored beside the pair: ``"kernel"`` (of uniform blurs) and ``"params"`` (numeric columns).
    kernel_size_px
        Side of the stored kernels in px, odd; a larger kernel is an error.
    crops_per_source
        How many consecutive samples share a source picture. 1: each chooses its own. More is faster when decoding large
        pictures takes longer than blurring crops. Every source is used once before any is used again, in a shuffled
        order, except that sources too small for a draw leave their turn to larger ones.
    min_detail
        Leave out crops that are flat or out of focus: those with less detail than this, a standard deviation of the
        Laplacian in codes of 8 bits (:func:`~blursynth.dataset.detail.detail_of`); 10 is a usual limit. Another window
        of the picture is taken instead, or another picture where 16 of them show too little. None: every crop is taken.
    depth
        Folder of the pictures' depth maps, searched with its sub-folders, or one file for one picture. The map of
        ``street/a.jpg`` is ``street/a.npy`` (or another known format), or the only ``a.npy`` there is. Pictures without
        a map that can be used are skipped. A map must have the shape of the picture as its EXIF orientation turns it.
    depth_format
        What the numbers of the depth maps mean; by default meters.
    labels
        Folder of label maps (which object each pixel shows, 0 = none), or one file; as ``depth``.
    linear
        Whether the numbers of 16-bit pictures are light, as raw converters write them on request. Radiance .hdr,
        OpenEXR and floating-point TIFF always are.
    downscale
        1 to 8: by how much pictures and maps are made smaller first, in linear light (:func:`blursynth.downscale`);
        2 to 4 for photographs that are noisy or were JPEG'd.
    shard_length
        Samples per shard; by default about 128 MB per array, less if workers would have nothing to do, and always that
        of a data set that was begun.
    summary, license
        For people: what it is, in one line, and the license of the whole; both stand in its data card.
    digest
        What the finished data set must have.
    split
        Parts that are data sets of their own, instead of one of ``count`` pairs. No picture may be in two of them.

    Raises
    ------
    InvalidValueError
        A value out of range; ``field`` and ``value`` say which.

    Examples
    --------
    >>> request = DatasetRequest(sources="photos/", recipe="mixed", count=500)
    >>> request.replace(seed=3).seed
    3
    """

    names_arguments: ClassVar[bool] = True

    sources: Places = ()
    recipe: Annotated[str | Recipe, PlainValidator(_recipe)] = "default"
    changes: Annotated[dict[str, Any], BeforeValidator(_changes)] = Field(default_factory=dict)
    count: _Count | None = None
    size_px: int = Field(default=256, ge=8, lt=2**31, description="side of the square pictures in px")
    seed: _Seed = 0
    store: Annotated[tuple[str, ...], _NAMES] = ()
    kernel_size_px: int = Field(default=129, ge=1, lt=2**15, description="side of the stored kernels in px, odd")
    crops_per_source: int = Field(default=1, ge=1, lt=2**63)
    min_detail: float | None = Field(
        default=None,
        gt=0,
        lt=1e4,
        description="least standard deviation of the Laplacian that a crop may have, in codes of 8 bits; 10 leaves out "
        "what is flat or out of focus",
    )
    depth: Annotated[str | None, _TEXT] = None
    depth_format: DepthFormat | None = None
    labels: Annotated[str | None, _TEXT] = None
    linear: bool = False
    downscale: int = Field(default=1, ge=1, le=FACTORS[1], description="factor by which pictures are made smaller")
    shard_length: int | None = Field(default=None, ge=1, lt=2**63, description="number of samples per shard")
    summary: str = ""
    license: str = ""
    digest: ExpectedDigest | None = None
    split: tuple[Split, ...] = ()

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        if not self.sources and not (self.split and all(split.sources for split in self.split)):
            raise InvalidValueError(
                (Argument("sources"), ": there are none."),
                fix="Give a folder, a glob, a picture or a list of these.",
                field="sources",
            )
        for name in self.store:
            if name not in STORABLE:
                fix = did_you_mean(name, STORABLE)
                raise InvalidValueError(
                    (Argument("store"), f": there is no array {name!r}."), fix=fix, field="store", value=name
                )
        if self.kernel_size_px % 2 == 0:
            why = "Zero shift is the pixel in the middle."
            raise _invalid("kernel_size_px", "must be odd", self.kernel_size_px, why=why)
        if self.depth is None and self.depth_format is not None:
            raise InvalidValueError(
                (Argument("depth_format"), " is given without ", Argument("depth"), "."),
                fix="Give the folder of the depth maps, too.",
                field="depth_format",
                value=self.depth_format,
            )
        names = [split.name for split in self.split]
        for name in names:
            if not _NAME.fullmatch(name) or names.count(name) > 1:
                must = "has names that are those of folders, each once"
                raise _invalid("split", must, name, fix='For example "train" and "validation".')
        if self.split and (self.count is not None or self.digest is not None):
            given = "count" if self.count is not None else "digest"
            raise _invalid(given, "is given beside split", fix="Give it to each split.")

    @cached_property
    def loaded_recipe(self) -> Recipe:
        """The recipe with its changes."""
        if isinstance(self.recipe, str):
            return load_recipe(self.recipe, changes=self.changes)
        if self.changes:
            raise _invalid("changes", "is for recipes by name", self.changes, fix="Change the Recipe itself.")
        return self.recipe

    def parts(self) -> dict[str, DatasetRequest]:
        """The request of each split by its name; of a request without splits itself, by an empty name."""
        if not self.split:
            return {"": self}
        return {
            split.name: self.replace(
                split=(),
                count=split.count,
                digest=split.digest,
                sources=split.sources or self.sources,
                seed=self.seed + number if split.seed is None else split.seed,
            )
            for number, split in enumerate(self.split)
        }

    def to_dict(self, *, defaults: bool = False) -> dict[str, Any]:
        """Fields as plain values, as in JSON; those that differ from their defaults."""
        plain = super().to_dict(defaults=defaults)
        return {**plain, "recipe": self.recipe.to_dict()} if isinstance(self.recipe, Recipe) else plain

    def to_toml(self) -> str:
        """The text of a file."""
        import tomli_w

        return tomli_w.dumps(without_none(self.to_dict()))


def _invalid(name: str, must: str, value: Any = MISSING, **more: Any) -> InvalidValueError:
    got = "" if value is MISSING else f", got {value!r}"
    return InvalidValueError((Argument(name), f" {must}{got}."), field=name, value=value, **more)


def _folder() -> Path:
    """The requests that come with the library: in its wheel, or in the checkout that it is run from."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "datasets"
    return inside if inside.is_dir() else package.parent / "datasets"


def dataset_names() -> tuple[str, ...]:
    """Names of the data sets whose requests come with the library."""
    return tuple(sorted(path.parent.name for path in _folder().glob("*/dataset.toml")))


def load_request(source: str | Path, *, changes: Mapping[str, Any] | None = None) -> DatasetRequest:
    """A request by name, or from a .toml file.

    Parameters
    ----------
    source
        Name of a data set that comes with the library (:func:`dataset_names`), or the path of a .toml file. Paths in
        the file are relative to its folder.
    changes
        ``{"count": 500, "depth_format.fill": "nearest", "recipe.shake.length_px": 20}``: fields to replace; what begins
        with ``recipe.`` goes to the recipe. A changed request has no expected digest.

    Raises
    ------
    InvalidValueError
        It does not exist, is no TOML, or a value is out of range; the message names the place.
    """
    if isinstance(source, str) and not source.endswith(".toml"):
        names = dataset_names()
        if source not in names:
            fix = f"{did_you_mean(source, names)} A file of your own must end in .toml."
            raise InvalidValueError(f"There is no data set {source!r}.", fix=fix, field="source", value=source)
        source = _folder() / source / "dataset.toml"
    tables = _FILES.read(source)
    if changes:
        dotted = {re.sub(r"^recipe\.", "changes.", name): value for name, value in changes.items()}
        tables = change(tables, {"digest": None, **dotted}, error=InvalidValueError)
    try:
        return DatasetRequest(**tables.values)
    except InvalidValueError as error:  # in plain text: in a file a parameter is not an option of a command
        there = error.at(tables.name)
        raise InvalidValueError(
            there.what, why=there.why, fix=there.fix, place=there.place, field=there.field, value=there.value
        ) from None


def _located(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Values of a file with its paths as they are from here."""

    def from_here(place: Any) -> Any:
        if isinstance(place, list):
            return [from_here(item) for item in place]
        own = isinstance(place, str) and not place.startswith(BUNDLED_PREFIX)
        return beside(place, folder) if own else place

    found = {key: from_here(value) if key in ("sources", "depth", "labels") else value for key, value in values.items()}
    if isinstance(recipe := found.get("recipe"), str) and recipe.endswith(".toml"):
        found["recipe"] = from_here(recipe)
    if isinstance(splits := found.get("split"), list):
        found["split"] = [_located(split, folder) if isinstance(split, dict) else split for split in splits]
    return found


_FILES = TomlFiles("request", InvalidValueError, located=_located)
