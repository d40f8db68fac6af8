"""The structure of a data set: ``dataset.json``, which never changes once written, and the zarr arrays beside it."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, lru_cache
from importlib import metadata
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from blursynth.core import Degradation, Identity
from blursynth.dataset.files import (
    Sha256,
    canonical,
    parsed,
    sealed,
    sha256_hex,
    typed_json,
    write_unless_same,
)
from blursynth.dataset.request import DatasetRequest
from blursynth.dataset.shards import CHUNK_BYTES, Codec
from blursynth.dataset.sources import Scan, Source
from blursynth.errors import Argument, DatasetError, Message, RecipeError
from blursynth.frame import Encoding
from blursynth.io.object_store import Place
from blursynth.recipe.recipe import Recipe
from blursynth.recipe.samplers import Sampler
from blursynth.records.text import is_inside

__all__ = [
    "COPIES",
    "ArraySpec",
    "Spec",
    "build_spec",
    "check_encodings",
    "check_recipe",
    "create_store",
    "environment",
    "environment_sha256",
    "load_spec",
    "spec_of_pairs",
    "windows_in",
]

# That are read: 7 adds the codec "none", 8 attributions of sources, 9 real pairs, 10 sources that are samples of other
# data sets. Data sets without these are still written as 6.
SCHEMAS = (6, 7, 8, 9, 10)
FORMAT = "blursynth-dataset"
SHARD_BYTES = 128 * 2**20  # raw bytes of one shard of the largest array; 64 to 256 MB suit reading and resuming
MOST_SHARDS = 2**20  # of a data set, and samples of a shard: bounds loops over untrusted counts
COPIES = "copies"  # folder of second copies (see copies.py)
PICTURE_TYPES = ("uint8", "uint16", "float32")
ENDLESS = 2**62  # count of an endless data set, which is not stored


@dataclass(frozen=True)
class ArraySpec:
    """One zarr array: the first axis is the sample."""

    name: str
    shape: tuple[int, ...]  # of one sample
    dtype: str
    dimensions: tuple[str, ...]
    whole: bool = False  # one chunk for the whole shard (small columns) instead of one per sample

    @cached_property
    def nbytes(self) -> int:
        """Bytes of one sample."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def empty(self, length: int) -> Any:
        """An array of ``length`` unset samples: NaN or 0."""
        dtype = np.dtype(self.dtype)
        return np.full((length, *self.shape), np.nan if dtype.kind == "f" else 0, dtype)


_Count = Annotated[int, Field(ge=1, lt=2**63)]


@dataclass(frozen=True)
class Spec:
    """Everything that determines the bytes of a data set: the content of ``dataset.json``.

    ``request`` determines the samples; ``environment`` is the software and the processor that their pixels depend on.
    """

    # Types are validated, since the file may be untrusted.
    recipe: dict[str, Any]
    recipe_name: str
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    count: _Count
    size_px: _Count
    shard_length: _Count
    crops_per_source: _Count
    arrays: tuple[ArraySpec, ...]  # by name
    columns: tuple[str, ...]
    sources: tuple[Source, ...]
    environment: dict[str, Any] = field(default_factory=dict)
    depth_format: dict[str, Any] | None = None  # meaning of the values in depth maps; None without maps
    downscale: Annotated[int, Field(ge=1, le=64)] = 1  # applied to pictures first; windows refer to the result
    # Minimum detail of the window of every sample; None: any.
    min_detail: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    codec: Codec = "lz4"
    summary: str = ""
    license: str = ""

    @property
    def schema(self) -> int:
        """The lowest schema that has all it uses, so that older versions read what they can."""
        if self.is_real:
            return 9
        if any(source.original for source in self.sources):
            return 10
        if any(source.attribution or source.url for source in self.sources):
            return 8
        return 6 if self.codec == "lz4" else 7

    @cached_property
    def is_real(self) -> bool:
        """Whether its pairs were imported, so that their blur is real: nothing was drawn, and there is no recipe."""
        return any(source.blurred for source in self.sources)

    @property
    def has_maps(self) -> bool:
        """Whether its pictures come with depth or labels."""
        return any(s.depth or s.labels for s in self.sources)

    @property
    def shards(self) -> int:
        return -(-self.count // self.shard_length)

    def range_of(self, shard: int) -> range:
        """Numbers of the samples of a shard."""
        return range(shard * self.shard_length, min(self.count, (shard + 1) * self.shard_length))

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample before compression."""
        return sum(a.nbytes for a in self.arrays)

    def shard_path(self, out: Place, array: ArraySpec, shard: int) -> Place:
        return out.joinpath(array.name, "c", str(shard), *["0"] * len(array.shape))

    def request(self) -> dict[str, Any]:
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "environment"}
        return {
            **{name: value for name, value in own.items() if name not in _OPTIONAL or value != _OPTIONAL[name]},
            "recipe_sha256": sha256_hex(canonical(self.recipe["step"])),
            "codecs": ["crc32c"] if self.codec == "none" else ["blosc lz4 5 bitshuffle", "crc32c"],
            "streams": "blursynth-stream-1",
            "arrays": [asdict(array) for array in self.arrays],
            "sources": [source.to_dict() for source in self.sources],
        }

    def to_json(self) -> bytes:
        """The text of ``dataset.json``; an error if it could not be read again."""
        for wrong in _impossible(self):
            raise DatasetError(f"This data set cannot be stored: {wrong}.", fix="Request fewer or smaller samples.")
        return sealed(
            {
                "format": FORMAT,
                "schema": self.schema,
                "request_sha256": self.sha256(),
                "request": self.request(),
                "environment": self.environment,
            }
        )

    def sha256(self) -> str:
        """Hash of the request: equal for data sets with the same samples in the same shards."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        return sha256_hex(canonical(self.request()))

    def differences(self, now: Spec) -> list[Message]:
        """A description of the entries in which another request differs from this one."""
        there, here = ({**_OPTIONAL, **spec.request()} for spec in (self, now))
        found: list[Message] = []
        for key in dict.fromkeys((*there, *here)):
            # What follows from the recipe and the codec is named already.
            if there.get(key) != here.get(key) and key not in ("recipe_sha256", "codecs"):
                if key == "sources":
                    found.append(f"sources ({_changed_sources(there[key], here[key])})")
                    continue
                short = isinstance(there.get(key), str | int | float | None)
                found.append((Argument(key), f" ({there[key]!r} there, {here[key]!r} now)") if short else key)
        return found


_OPTIONAL = {
    f.name: f.default
    for f in fields(Spec)
    if f.name in ("depth_format", "downscale", "min_detail", "codec", "summary", "license")
}


def _changed_sources(there: Sequence[Mapping[str, Any]], here: Sequence[Mapping[str, Any]]) -> str:
    """A description of the differences between two lists of sources."""
    before, now = ({str(s["name"]): dict(s) for s in sources} for sources in (there, here))
    words = []
    for name in sorted(before.keys() | now.keys()):
        if name not in before or name not in now:
            words.append(f"{name} is {'new' if name not in before else 'missing'}")
        elif before[name] != now[name]:
            keys = [k for k in dict.fromkeys((*before[name], *now[name])) if before[name].get(k) != now[name].get(k)]
            what = {
                "depth_sha256": "its depth map",
                "labels_sha256": "its label map",
                "sha256": "its content",
                "blurred_sha256": "its blurred picture",
                "encoding": "whether it is light",
            }
            words.append(f"{name}: {', '.join(what.get(k, k) for k in keys)} changed")
    return "; ".join([*words[:3], f"and {len(words) - 3} more"] if len(words) > 3 else words)


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """The software and the processor that pixels depend on."""
    names = ("blursynth", "numpy", "scipy", "numba", "llvmlite", "opencv-python-headless", "pillow", "numcodecs")
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "versions": versions,
        "jpeg": _opencv_jpeg(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cpu_features": sorted({*simd.get("baseline", ()), *simd.get("found", ())}),
    }


def environment_sha256() -> str:
    """Of :func:`environment`."""
    return sha256_hex(canonical(environment()))


def _opencv_jpeg() -> str:
    import cv2

    for line in cv2.getBuildInformation().splitlines():
        name, _, value = line.strip().partition(":")
        if name == "JPEG":
            return " ".join(value.split())
    return ""


@dataclass(frozen=True)
class _Environment:
    versions: dict[str, str]
    jpeg: str
    machine: str
    system: str
    cpu_features: tuple[str, ...]


@dataclass(frozen=True)
class _Document:
    request_sha256: Sha256
    request: Spec
    environment: _Environment


def load_spec(out: Place) -> Spec:
    """Read ``dataset.json`` and check that it describes a possible data set."""
    path = out / "dataset.json"
    if not path.exists():
        if (out / COPIES / "dataset.json").exists():
            raise DatasetError(
                f"{path}: the description of the data set is missing.",
                fix=f"Run blursynth repair {out}, which restores it from its copy.",
            )
        if within := [found for found in _inside(out) if (found / "dataset.json").exists()]:
            names = [repr(folder.name) for folder in within]
            few = names if len(names) < 4 else [*names[:3], "others"]
            listed = f"{', '.join(few[:-1])} and {few[-1]}" if few[1:] else few[0]
            raise DatasetError(
                f"{out}: holds the data set{'s' * (len(names) > 1)} {listed}, but is not one itself.",
                fix=f"Open one of them: {within[0]}." if names[1:] else f"Open it: {within[0]}.",
            )
        what = "there is no such folder" if not out.exists() else "is not a blursynth data set (it has no dataset.json)"
        raise DatasetError(f"{out}: {what}.", fix="Check the path; make one with blursynth generate.")
    what = "the description of the data set"
    document, data = parsed(path, what)
    if document.get("format") != FORMAT:
        raise DatasetError(f"{path}: is not a description of a blursynth data set.", fix="Check the path.")
    if (schema := document.get("schema")) not in SCHEMAS:
        newer = isinstance(schema, int) and schema > SCHEMAS[-1]
        raise DatasetError(
            f"{path}: has schema {schema!r}, but this version reads {SCHEMAS[0]} to {SCHEMAS[-1]}.",
            fix="Update blursynth." if newer else "Use the version that wrote it.",
        )
    fix = f"Run blursynth repair {out}, which restores it from its copy; or restore it from a backup."
    try:
        typed = typed_json(_Document, data)
    except ValueError as error:
        raise DatasetError(f"{path}: is damaged ({error}).", fix=fix) from None
    spec = replace(typed.request, environment=document["environment"])
    for wrong in _impossible(spec):
        what = f"{path}: does not describe a data set made by blursynth: {wrong}."
        raise DatasetError(what, fix="Check where it came from.")
    try:
        same = spec.to_json() == data
    except (ValueError, KeyError, RecursionError):  # NaN, lone surrogates, a recipe without steps
        same = False
    if not same:
        raise DatasetError(f"{path}: was changed after it was written (its sha256 does not match).", fix=fix)
    return spec


def _inside(out: Place) -> list[Place]:
    """What is directly inside a folder, in order; nothing if it is no folder or cannot be listed."""
    try:
        return sorted(out.iterdir())
    except OSError:
        return []


def _impossible(spec: Spec) -> Iterator[str]:
    """Descriptions of impossible properties: sizes that nothing can hold, and paths that lead elsewhere."""
    if spec.shards > MOST_SHARDS or spec.shard_length > MOST_SHARDS:
        yield (
            f"{spec.count:,} samples in shards of {spec.shard_length:,}, where at most {MOST_SHARDS:,} shards of "
            f"{MOST_SHARDS:,} are possible"
        )
    arrays = {array.name: array for array in spec.arrays}
    names = [array.name for array in spec.arrays]
    if names != sorted(arrays) or not {"blurred", "sharp"} <= set(names) <= {"blurred", "kernel", "params", "sharp"}:
        yield f"its arrays are {', '.join(map(repr, names))}"
        return
    dtype, kernel_px = arrays["sharp"].dtype, sum(arrays["kernel"].shape[:1]) if "kernel" in arrays else None
    expected = _arrays(spec.size_px, dtype, kernel_px, spec.columns if "params" in arrays else None)
    for array, wanted in zip(spec.arrays, expected, strict=True):
        even = array.name == "kernel" and array.shape[0] % 2 == 0
        if array != wanted or dtype not in PICTURE_TYPES or even:
            yield f"its array {array.name} has an invalid type, shape or axes"
            return
        chunk = array.nbytes * (spec.shard_length if array.whole else 1)
        if not 0 <= chunk <= CHUNK_BYTES:
            yield f"one chunk of its array {array.name} has {chunk:,} bytes, where at most {CHUNK_BYTES:,} are possible"
    if not spec.sources:
        yield "it has no sources"
    for source in spec.sources:
        if not (0 < source.height < 2**31 and 0 < source.width < 2**31):
            yield f"its source {source.name!r} has {source.height} x {source.width} px"
        for name in (source.name, source.depth, source.labels, source.blurred):
            if name and not is_inside(name):
                yield f"its source {name!r} is not a path inside a folder"
    steps = spec.recipe.get("step")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        yield "its recipe has no list of steps"
    elif _names_files(steps):
        yield "its recipe names a file instead of containing its content"
    elif spec.is_real:
        yield from _impossible_import(spec, names)


def _impossible_import(spec: Spec, arrays: Sequence[str]) -> Iterator[str]:
    """The same of real pairs."""
    if spec.recipe["step"] or arrays != ["blurred", "sharp"] or spec.has_maps or spec.downscale != 1:
        yield "it has real pairs, but also a recipe, maps, kernels or a factor of downscaling"
    depth = {"uint8": 8, "uint16": 16}.get(spec.arrays[0].dtype)
    for source in spec.sources:
        if not (source.blurred and source.blurred_sha256) or source.is_linear or source.bit_depth != depth:
            yield f"its source {source.name!r} is no pair of {spec.arrays[0].dtype} like the others"
            return
        if min(source.height, source.width) < spec.size_px:
            yield f"its source {source.name!r} is smaller than {spec.size_px} px"
            return
    windows = sum(windows_in(source, spec.size_px) for source in spec.sources)
    if spec.count != windows:
        yield f"it has {spec.count:,} samples, but its pictures have {windows:,} windows"


def windows_in(source: Source, size_px: int) -> int:
    """Number of windows of a real pair: the fewest that cover it."""
    return -(-source.height // size_px) * -(-source.width // size_px)


def _names_files(values: Any) -> bool:
    """Whether the camera of a sensor step is the path of a file; a stored recipe must contain the camera itself."""
    if isinstance(values, Mapping):
        camera = values.get("camera")
        options = camera.get("choice") if isinstance(camera, Mapping) else camera
        if any(isinstance(option, str) for option in (options if isinstance(options, list) else [options])):
            return True
        return any(_names_files(value) for value in values.values())
    return isinstance(values, list) and any(_names_files(value) for value in values)


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe that takes or gives raw sensor values: a data set holds pictures."""
    if _result_encoding(recipe) is Encoding.RAW:
        raise RecipeError(
            f"Recipe {recipe.name!r} gives raw sensor values, which data sets cannot hold.",
            why="The target is not rounded, so the two pictures have no common integer type.",
            fix="End it with a develop step (linear light, stored as float32) or an encode step (8 or 16 bits).",
        )


def _arrays(size_px: int, dtype: str, kernel_px: int | None, columns: Sequence[str] | None) -> tuple[ArraySpec, ...]:
    """The arrays of a data set, by name; without kernels or parameters where these are None."""
    pixels = (size_px, size_px, 3), dtype, ("row", "column", "channel")
    pictures = [ArraySpec(name, *pixels) for name in ("blurred", "sharp")]
    kernel = ArraySpec("kernel", (kernel_px or 0, kernel_px or 0), "float32", ("kernel_row", "kernel_column"))
    params = ArraySpec("params", (len(columns or ()),), "float64", ("column",), whole=True)
    stored = [*pictures, *([] if kernel_px is None else [kernel]), *([] if columns is None else [params])]
    return tuple(sorted(stored, key=lambda array: array.name))


def build_spec(request: DatasetRequest, scan: Scan, workers: int) -> Spec:
    """The specification of a request whose pictures were scanned."""
    recipe, size = request.loaded_recipe, request.size_px
    dtype = _code_type(recipe) if _result_encoding(recipe) is Encoding.DISPLAY else "float32"
    kernel_px = request.kernel_size_px if "kernel" in request.store else None
    columns = numeric_columns(recipe) if "params" in request.store else None
    arrays = _arrays(size, dtype, kernel_px, columns)
    count = ENDLESS if request.count is None else request.count
    return Spec(
        recipe=recipe.to_dict(),
        recipe_name=recipe.name,
        seed=request.seed,
        count=count,
        size_px=size,
        shard_length=_shard_length(request.shard_length, count, arrays, workers),
        crops_per_source=request.crops_per_source,
        arrays=arrays,
        columns=columns or (),
        sources=scan.usable,
        environment=environment(),
        depth_format=None if scan.depth_format is None else scan.depth_format.to_dict(defaults=False),
        downscale=scan.downscale,
        min_detail=None if request.min_detail is None else float(request.min_detail),
        codec=request.codec,
        summary=request.summary,
        license=request.license,
    )


def spec_of_pairs(
    scan: Scan,
    name: str,
    *,
    size_px: int,
    shard_length: int | None,
    codec: Codec,
    summary: str,
    license: str,
    workers: int,
) -> Spec:
    """The specification of real pairs that were scanned, to be cut into all their windows; ``name`` is of their set."""
    arrays = _arrays(size_px, f"uint{scan.usable[0].bit_depth}", None, None)
    count = sum(windows_in(source, size_px) for source in scan.usable)
    return Spec(
        recipe={"step": []},
        recipe_name=name,
        seed=0,
        count=count,
        size_px=size_px,
        shard_length=_shard_length(shard_length, count, arrays, workers),
        crops_per_source=1,
        arrays=arrays,
        columns=(),
        sources=scan.usable,
        environment=environment(),
        codec=codec,
        summary=summary,
        license=license,
    )


def _shard_length(given: int | None, count: int, arrays: Sequence[ArraySpec], workers: int) -> int:
    """Samples of a full shard: by default about 128 MB per array, less if some workers would be idle."""
    if given is None:
        by_size = 2 ** int(math.log2(max(1, SHARD_BYTES / max(a.nbytes for a in arrays))))
        given = max(1, min(by_size, max(16, -(-count // (4 * workers)))))
        while -(-count // given) > MOST_SHARDS and count != ENDLESS:
            given *= 2  # larger shards rather than none
    return min(given, count)


def _result_encoding(recipe: Recipe) -> Encoding | None:
    if recipe.takes is Encoding.RAW:
        raise RecipeError(
            f"Recipe {recipe.name!r} takes raw frames, but picture files are display frames or light.",
            fix="Start it with a decode step.",
        )
    encoding: Encoding | None = recipe.takes or Encoding.DISPLAY
    for _, sampler in recipe.steps:
        encoding = sampler.gives(encoding)
    return encoding


def _code_type(recipe: Recipe) -> str:
    """uint16 for recipes that end with codes of more than 8 bits, according to the last step that makes codes."""
    bits = 8
    for _, sampler in recipe.steps:
        given = dict(sampler.distributions())
        for kind in sampler.kinds():
            if (
                kind.gives is Encoding.DISPLAY
                and kind.takes is not Encoding.DISPLAY
                and "bit_depth" in kind.model_fields
            ):
                drawn = given["bit_depth"].extremes() if "bit_depth" in given else ()
                bits = max((v for v in drawn if isinstance(v, int)), default=kind.model_fields["bit_depth"].default)
            bits = kind.code_bits or bits
    return "uint8" if bits <= 8 else "uint16"


def _takes_codes_for_light(sampler: Sampler) -> bool:
    """Whether a decoding step leaves codes unchanged, for chains that work on codes."""
    given = dict(sampler.distributions())
    return any(
        kind.codes_for_light
        and all(
            (given[name].extremes() if name in given else (kind.model_fields[name].default,)) == (value,)
            for name, value in kind.codes_for_light.items()
        )
        for kind in sampler.kinds()
    )


def check_encodings(recipe: Recipe, sources: Sequence[Source]) -> None:
    """Refuse sources whose encoding the recipe does not take. Decode steps are not drawn for sources of light.

    That is, display pictures for a recipe that starts with light, or light for one that works on codes from the start.
    """
    codes = next((s for s in sources if not s.is_linear), None)
    light = next((s for s in sources if s.is_linear), None)
    if codes is not None and recipe.takes is Encoding.LINEAR:
        deep = codes.bit_depth == 16
        linear = (" Or, if the 16-bit pictures are linear, give ", Argument("linear", True), ".") if deep else ()
        raise RecipeError(
            f"Recipe {recipe.name!r} takes linear frames, but {codes.name} holds display codes.",
            fix=(
                "Start it with a decode step; linear files skip it.",
                *linear,
            ),
        )
    if light is None:
        return
    if recipe.target.kind == "source" and _result_encoding(recipe) is not Encoding.LINEAR:
        raise RecipeError(
            f"Recipe {recipe.name!r} gives the source itself as the sharp picture, but {light.name} holds light.",
            why="The two pictures of a pair would have different encodings.",
            fix="Leave out either target or such files.",
        )
    encoding: Encoding | None = Encoding.LINEAR
    decodes = True
    try:
        for _, sampler in recipe.steps:
            kinds = sampler.kinds()
            decodes = decodes and all(k.makes_light or k.sets_geometry or k is Identity for k in kinds)
            if decodes and _takes_codes_for_light(sampler):
                raise RecipeError("codes are required")
            if not decodes:
                encoding = sampler.gives(encoding)
        fits = encoding is _result_encoding(recipe)
    except RecipeError:
        fits = False
    if not fits:
        raise RecipeError(
            f"Recipe {recipe.name!r} works on display codes, but {light.name} holds light.",
            fix="Use a recipe that starts with a decode step and ends with an encode step, or leave such files out.",
        )


def numeric_columns(recipe: Recipe) -> tuple[str, ...]:
    """``step.field`` of every numeric parameter of a draw, without seeds, since 63 bits do not fit into a float64."""
    found: dict[str, None] = {}
    for step, sampler in recipe.steps:
        for kind in sampler.kinds():
            for name, info in kind.model_fields.items():
                kinds = set(getattr(info.annotation, "__args__", (info.annotation,)))
                if name != "seed" and kinds & {float, int, bool}:
                    found[f"{step}.{name}"] = None
    return tuple(found)


def column_values(columns: Sequence[str], steps: Mapping[str, Degradation]) -> list[float]:
    """The numeric parameters of one draw; NaN if the drawn kind has no such field or it is unset."""
    values = []
    for column in columns:
        step, _, name = column.partition(".")
        value = getattr(steps.get(step), name, None)
        values.append(float(value) if isinstance(value, int | float) else math.nan)
    return values


def create_store(out: Place, spec: Spec) -> None:
    """Write the metadata of the zarr group and its arrays if they are missing or damaged.

    They follow from the specification alone, so any process may write them, any number of times.
    """
    for name, data in store_files(spec).items():
        write_unless_same(out / name, data)


def store_files(spec: Spec) -> dict[str, bytes]:
    """The zarr 3 metadata of the group and its arrays, by path, as zarr-python writes it."""
    about = {"schema": spec.schema, "dataset": "dataset.json", "recipe": spec.recipe_name, "count": spec.count}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"blursynth": about}}
    arrays = {f"{array.name}/zarr.json": _array_metadata(array, spec) for array in spec.arrays}
    return {
        name: (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
        for name, document in {"zarr.json": group, **arrays}.items()
    }


def _array_metadata(array: ArraySpec, spec: Spec) -> dict[str, Any]:
    length, itemsize = spec.shard_length, np.dtype(array.dtype).itemsize
    order = {"name": "bytes", "configuration": {"endian": "little"}} if itemsize > 1 else {"name": "bytes"}
    blosc = {"typesize": itemsize, "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}
    compression = [] if spec.codec == "none" else [{"name": "blosc", "configuration": blosc}]
    sharding = {
        "chunk_shape": [length if array.whole else 1, *array.shape],
        "codecs": [order, *compression, {"name": "crc32c"}],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [spec.count, *array.shape],
        "data_type": array.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [length, *array.shape]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if array.whole else 0.0 if array.dtype == "float32" else 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {"columns": list(spec.columns)} if array.name == "params" else {},
        "dimension_names": ["sample", *array.dimensions],
        "storage_transformers": [],
    }
