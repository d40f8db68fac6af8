"""The request for a data set: one record of its pictures, what happens to their light, and the number of pairs.

In a file, ``dataset.toml``::

    summary = "Photographs in a shaking hand"
    sources = ["photos/", "more.txt"]     # relative to this file, like depth, labels and recipe files
    recipe = "mixed"
    changes = { "shake.length_px" = 20 }
    count = 500
    size_px = 256
    seed = 7

    [digest]
    draws = "..."                         # of the finished data set: the same on every machine
    pixels = "..."                        # the same on machines with these versions and this kind of processor

With ``[[split]]`` tables it describes several data sets, each in a folder with the name of its split::

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
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainValidator

from blursynth.dataset.bundled import BUNDLED_PREFIX
from blursynth.dataset.files import Sha256
from blursynth.dataset.shards import Codec
from blursynth.dataset.source_list import SourceList
from blursynth.errors import MISSING, Argument, InvalidValueError, did_you_mean
from blursynth.io.depth import DepthFormat
from blursynth.io.downscale import FACTORS
from blursynth.recipe.recipe import Recipe, load_recipe
from blursynth.records.kind import Record
from blursynth.records.toml import TomlFiles, beside, change, without_none

__all__ = ["DatasetRequest", "ExpectedDigest", "Split", "dataset_names", "load_request"]

STORABLE = ("kernel", "params")
_NAME = re.compile(r"\w[\w.-]*")  # name of a split, which is also that of a folder


def _places(given: Any) -> tuple[str, ...]:
    """Sources as strings; not validated by pydantic, since file names need not be UTF-8."""
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
    """Flatten ``{"shake": {"length_px": 20}}``, which is how TOML reads ``shake.length_px = 20``, to dotted names."""
    if not isinstance(given, Mapping):
        return given
    dotted: dict[str, Any] = {}
    for step, value in given.items():
        of_step = isinstance(value, Mapping) and "." not in step
        dotted.update({f"{step}.{field}": item for field, item in value.items()} if of_step else {step: value})
    return dotted


def _pair(given: Any) -> Any:
    return tuple(map(float, given)) if isinstance(given, list | tuple) and len(given) == 2 else given


_TEXT = BeforeValidator(lambda given: os.fspath(given) if isinstance(given, Path) else given)
_NAMES = BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)
Places = Annotated[tuple[str, ...], PlainValidator(_places)]
_Count = Annotated[int, Field(ge=1, lt=2**63, description="number of pairs")]
_Share = Annotated[float, Field(ge=0, le=1)]
_Seed = Annotated[int, Field(ge=0, lt=2**63, description="seed of the draws")]


class ExpectedDigest(Record):
    """The digests that a finished data set must have.

    Parameters
    ----------
    draws
        Digest of every record (picture, window and parameters). It is the same on every machine.
    pixels
        Digest of every array. It is the same with the same versions on the same kind of processor.
    environment
        sha256 of the environment in which ``pixels`` was computed, as in ``Report.environment``. In this environment,
        different pixels are an error; elsewhere they only give a note.
    first
        The digests are those of the first so many samples, which take minutes where all take hours. A sample does not
        depend on the number of samples. None: of all.
    """

    draws: Sha256
    pixels: Sha256 | None = None
    environment: Sha256 | None = None
    first: Annotated[int, Field(ge=1)] | None = None


class Split(Record):
    """A part of a request that becomes a separate data set, such as "train" or "validation".

    Parameters
    ----------
    name
        Name of the split and of its folder.
    count, sources, digest
        As in :class:`DatasetRequest`. The sources default to those of the request.
    share
        Share of the request's pictures that it takes, 0 to 1, instead of sources of its own. Which ones follows from
        their content, see ``share`` of :class:`DatasetRequest`, so that none changes sides when sources are added.
    seed
        By default the seed of the request plus the index of the split (from 0), so that no two splits draw the same
        numbers.
    """

    name: str
    count: _Count
    sources: Places | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: _Seed | None = None
    digest: ExpectedDigest | None = None


class DatasetRequest(Record):
    """Description of a data set to make.

    Parameters
    ----------
    sources
        Folders (searched recursively, including linked folders), globs, picture files, ``.tar`` and ``.parquet`` files
        of pictures, data sets of this library (their sharp pictures) and zarr 3 arrays (``[N, H, W, C]`` or ``[N, C, H,
        W]``), both also as URLs, ``.txt`` files with one path per line (``#`` starts a comment; paths are relative to
        the list), the photographs bundled with scikit-image (``bundled:training``, ``bundled:held-out``), or a list of
        these.
    recipe
        What happens to the light: the name of a recipe that comes with the library, the path of a .toml file, or a
        :class:`~blursynth.Recipe`.
    changes
        Changes to parameters of the recipe, as for :func:`blursynth.load_recipe`: ``{"shake.length_px": 20}``.
    count
        Number of pairs; None for an endless :class:`~blursynth.dataset.OnlineDataset`.
    size_px
        Side of the square pictures of a pair in px, >= 8. Smaller sources are skipped.
    seed
        Seed of the draws, 0 <= seed < 2^63.
    store
        What to store with each pair: ``"kernel"`` (for uniform blur) and ``"params"`` (numeric columns).
    kernel_size_px
        Side of the stored kernels in px, odd; a larger kernel is an error.
    crops_per_source
        Number of consecutive samples that share a source picture. With 1, each sample chooses its own. Larger values
        are faster if decoding large pictures takes longer than blurring crops. Every source is used once, in shuffled
        order, before any is used again, except that sources too small for a draw are replaced by larger ones.
    min_detail
        Leave out crops that are flat or out of focus, that is, with less detail than this: a standard deviation of the
        Laplacian in 8-bit codes (:func:`~blursynth.dataset.detail.detail_of`); 10 is a typical limit. Another window of
        the picture is tried instead, or another picture after 16 windows. None: accept every crop.
    depth
        Folder of the pictures' depth maps (searched recursively), or one file for a single picture. The map of
        ``street/a.jpg`` is ``street/a.npy`` (or another known format), or the only ``a.npy`` in the folder. Pictures
        without a usable map are skipped. A map must have the picture's shape after its EXIF orientation is applied.
    depth_format
        Meaning of the values in the depth maps; by default meters.
    labels
        Folder of label maps (which object each pixel shows, 0 = none), or one file; found like ``depth``.
    linear
        Whether the values of 16-bit pictures are linear light, as raw converters can write them. Those of Radiance
        .hdr, OpenEXR and floating-point TIFF files always are.
    licenses
        A .csv or .json file with the license, attribution and url of each picture by name or pattern, which go into the
        records of samples and into the card (:mod:`blursynth.dataset.licenses`). Names in it that apply to no picture,
        and pictures without a license, are logged as warnings. Without it, those that a Parquet file or WebDataset or
        a picture's EXIF data state.
    source_list
        A list of the pictures to use, with the sha256 of each (:class:`~blursynth.dataset.source_list.SourceList`):
        ``{file = "list.csv", names = "sharp/*", command = "the command that gets them"}``. One that is missing or has
        another content is an error before work starts; others are not used. Licenses in it go into records, as those of
        ``licenses`` do.
    near_duplicates
        What becomes of pictures that look alike, such as resized copies and bursts (at most 6 of 64 bits of their
        :func:`~blursynth.io.perceptual_hash.perceptual_hash` differ): ``"keep"`` does not look for them, ``"report"``
        names them, ``"skip"`` uses the largest of each group. With ``report`` and ``skip``, splits that share some are
        refused; splits by ``share`` always look for them.
    min_source_px
        Leave out pictures with a side shorter than this, before downscaling.
    min_source_detail
        Leave out pictures in which nothing is sharp: those whose sharpest tile of 256 x 256 px has less detail than
        this, measured as for ``min_detail``, before downscaling.
    share
        Use only the pictures whose place between 0 and 1 lies in ``share[0] <= place < share[1]``; a hash of its
        content gives each picture a place. Splits with a ``share`` become such requests.
    split_by
        ``"folder"``: pictures of one folder, such as those of a burst, have one place, that of its name.
    downscale
        Factor from 1 to 8 by which pictures and maps are first downscaled, in linear light
        (:func:`blursynth.downscale`); use 2 to 4 for noisy or JPEG-compressed photographs.
    shard_length
        Samples per shard. By default about 128 MB per array, less if some workers would be idle; an existing data set
        keeps its shard length.
    codec
        How pixels are stored. ``"lz4"`` compresses them without loss (noisy photographs to about 80 %); ``"none"`` does
        not, which reads about four times as fast. Both are checked by crc32c and read by any zarr reader.
    summary, license
        A one-line description and the license of the whole data set; both appear in its data card.
    digest
        Digests that the finished data set must have.
    split
        Parts that become separate data sets, instead of one with ``count`` pairs. They must not share pictures.

    Raises
    ------
    InvalidValueError
        A value is out of range; ``field`` and ``value`` say which.

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
        description="least standard deviation of the Laplacian that a crop may have, in 8-bit codes; 10 leaves out "
        "crops that are flat or out of focus",
    )
    depth: Annotated[str | None, _TEXT] = None
    depth_format: DepthFormat | None = None
    labels: Annotated[str | None, _TEXT] = None
    linear: bool = False
    licenses: Annotated[str | None, _TEXT] = None
    source_list: SourceList | None = None
    near_duplicates: Literal["keep", "report", "skip"] = "keep"
    min_source_px: int = Field(default=1, ge=1, lt=2**31, description="least side of a source in px")
    min_source_detail: float | None = Field(
        default=None, gt=0, lt=1e4, description="least detail of the sharpest part of a source, as of min_detail"
    )
    share: Annotated[tuple[_Share, _Share], BeforeValidator(_pair)] | None = None
    split_by: Literal["picture", "folder"] = "picture"
    downscale: int = Field(default=1, ge=1, le=FACTORS[1], description="factor by which pictures are downscaled")
    shard_length: int | None = Field(default=None, ge=1, lt=2**63, description="number of samples per shard")
    codec: Codec = "lz4"
    summary: str = ""
    license: str = ""
    digest: ExpectedDigest | None = None
    split: tuple[Split, ...] = ()

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        own = [split.name for split in self.split if split.sources is not None]
        if not self.sources and self.source_list is None and not (self.split and len(own) == len(self.split)):
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
                fix="Also give the folder of the depth maps.",
                field="depth_format",
                value=self.depth_format,
            )
        if self.source_list is not None and own:
            fix = "Give shares of the listed pictures, or a request for each."
            raise _invalid("source_list", "cannot be given together with splits that have sources", own[0], fix=fix)
        for digest, count in ((self.digest, self.count), *((split.digest, split.count) for split in self.split)):
            if digest is not None and count is not None and (digest.first or 0) > count:
                raise _invalid("digest.first", f"must be at most the count, {count}", digest.first)
        names = [split.name for split in self.split]
        for name in names:
            if not _NAME.fullmatch(name) or names.count(name) > 1:
                must = "must have unique names that are valid folder names"
                raise _invalid("split", must, name, fix='For example "train" and "validation".')
        shares = [split for split in self.split if split.share is not None]
        if (total := sum(split.share or 0 for split in shares)) > 1 + 1e-9:
            raise _invalid("split", f"must have shares of at most 1 together, got {total:g}")
        for split in shares:
            if split.sources is not None:
                fix = "Give one of the two; shares are of the pictures of the whole request."
                raise _invalid("split", "cannot have both sources and a share", split.name, fix=fix)
        if self.share is not None and not 0 <= self.share[0] < self.share[1] <= 1:
            raise _invalid("share", "must be two numbers 0 <= first < last <= 1", self.share)
        if self.share is not None and shares:
            raise _invalid("share", "cannot be given together with splits that have shares")
        if self.split and (self.count is not None or self.digest is not None):
            given = "count" if self.count is not None else "digest"
            raise _invalid(given, "cannot be given together with split", fix="Give it for each split.")

    @cached_property
    def loaded_recipe(self) -> Recipe:
        """The recipe with the changes applied."""
        if isinstance(self.recipe, str):
            return load_recipe(self.recipe, changes=self.changes)
        if self.changes:
            raise _invalid("changes", "applies only to recipes given by name", self.changes, fix="Change the Recipe.")
        return self.recipe

    def parts(self, only: str | None = None) -> dict[str, DatasetRequest]:
        """The request of each split by name, or of one; a request without splits itself under an empty name."""
        if only is not None and only not in (names := [split.name for split in self.split]):
            what = f": there is no split {only!r}." if names else f": this request has no splits, got {only!r}."
            fix = did_you_mean(only, names) if names else ""
            raise InvalidValueError((Argument("only"), what), fix=fix, field="only", value=only)
        if not self.split:
            return {"": self}
        parts, first = {}, 0.0
        for number, split in enumerate(self.split):
            share: dict[str, Any] = {}
            if split.share is not None:
                last = min(first + split.share, 1.0)
                looked = "report" if self.near_duplicates == "keep" else self.near_duplicates
                share = {"share": (first, last if last < 1 - 1e-9 else 1.0), "near_duplicates": looked}
                first = last
            parts[split.name] = self.replace(
                split=(),
                count=split.count,
                digest=split.digest,
                sources=split.sources or self.sources,
                seed=self.seed + number if split.seed is None else split.seed,
                **share,
            )
        return parts if only is None else {only: parts[only]}

    def beginning(self, count: int) -> DatasetRequest:
        """The request for the first ``count`` samples, of each split if there are some.

        Expected digests stay where they are of no more samples.
        """

        def cut(part: DatasetRequest | Split) -> dict[str, Any]:
            if part.count is not None and count >= part.count:
                return {}
            held = part.digest is not None and part.digest.first is not None and part.digest.first <= count
            return {"count": count, "digest": part.digest if held else None}

        if self.split:
            return self.replace(split=tuple(split.replace(**cut(split)) for split in self.split))
        return self.replace(**cut(self))

    def to_dict(self, *, defaults: bool = False) -> dict[str, Any]:
        """Fields that differ from their defaults, as plain values as in JSON."""
        plain = super().to_dict(defaults=defaults)
        return {**plain, "recipe": self.recipe.to_dict()} if isinstance(self.recipe, Recipe) else plain

    def to_toml(self) -> str:
        """The request as the text of a TOML file."""
        import tomli_w

        return tomli_w.dumps(without_none(self.to_dict()))


def _invalid(name: str, must: str, value: Any = MISSING, **more: Any) -> InvalidValueError:
    got = "" if value is MISSING else f", got {value!r}"
    return InvalidValueError((Argument(name), f" {must}{got}."), field=name, value=value, **more)


def shipped_folder() -> Path:
    """Folder of the requests that come with the library: in the wheel, or in the checkout that it runs from."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "datasets"
    return inside if inside.is_dir() else package.parent / "datasets"


def dataset_names() -> tuple[str, ...]:
    """Names of the data sets whose requests come with the library."""
    return tuple(sorted(path.parent.name for path in shipped_folder().glob("*/dataset.toml")))


def load_request(source: str | Path, *, changes: Mapping[str, Any] | None = None) -> DatasetRequest:
    """A request by name, or from a .toml file.

    Parameters
    ----------
    source
        Name of a data set that comes with the library (:func:`dataset_names`), or the path of a .toml file. Paths in
        the file are relative to its folder.
    changes
        Fields to replace: ``{"count": 500, "depth_format.fill": "nearest", "recipe.shake.length_px": 20}``. Names that
        begin with ``recipe.`` change the recipe. A changed request has no expected digest.

    Raises
    ------
    InvalidValueError
        It does not exist, is not TOML, or a value is out of range; the message says where.
    """
    if isinstance(source, str) and not source.endswith(".toml"):
        names = dataset_names()
        if source not in names:
            fix = f"{did_you_mean(source, names)} The name of your own file must end in .toml."
            raise InvalidValueError(f"There is no data set {source!r}.", fix=fix, field="source", value=source)
        source = shipped_folder() / source / "dataset.toml"
    tables = _FILES.read(source)
    if changes:
        dotted = {re.sub(r"^recipe\.", "changes.", name): value for name, value in changes.items()}
        tables = change(tables, {"digest": None, **dotted}, error=InvalidValueError)
    try:
        return DatasetRequest(**tables.values)
    except InvalidValueError as error:  # as plain text, since in a file a parameter is not an option of a command
        there = error.at(tables.name)
        raise InvalidValueError(
            there.what, why=there.why, fix=there.fix, place=there.place, field=there.field, value=there.value
        ) from None


def _located(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Values of a file with its paths resolved from the working folder."""

    def from_here(place: Any) -> Any:
        if isinstance(place, list):
            return [from_here(item) for item in place]
        own = isinstance(place, str) and not place.startswith(BUNDLED_PREFIX) and "://" not in place
        return beside(place, folder) if own else place

    found = {
        key: from_here(value) if key in ("sources", "depth", "labels", "licenses") else value
        for key, value in values.items()
    }
    if isinstance(recipe := found.get("recipe"), str) and recipe.endswith(".toml"):
        found["recipe"] = from_here(recipe)
    if isinstance(listed := found.get("source_list"), dict) and isinstance(listed.get("file"), str):
        found["source_list"] = {**listed, "file": from_here(listed["file"])}
    if isinstance(splits := found.get("split"), list):
        found["split"] = [_located(split, folder) if isinstance(split, dict) else split for split in splits]
    return found


_FILES = TomlFiles("request", InvalidValueError, located=_located)
