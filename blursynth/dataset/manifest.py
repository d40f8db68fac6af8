"""``manifest/<shard>.json``: the proof that a shard is finished. No manifest, no shard."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from blursynth.dataset.files import Sha256, read_sealed, sealed, size_of, write_atomically
from blursynth.dataset.sample_records import RECORD_BYTES, index_path, index_size, lines_path
from blursynth.dataset.schema import ArraySpec, Spec
from blursynth.dataset.shards import largest_chunk
from blursynth.errors import Argument, DatasetError, InvalidValueError, Message
from blursynth.io.object_store import ObjectPath, Place

__all__ = [
    "Manifest",
    "StoredObject",
    "chosen_shards",
    "finished_shards",
    "manifest_path",
    "missing_shards",
    "read_manifest",
    "shard_files",
]

MANIFEST_BYTES = 2**16
_LATE = 64  # what listings of some stores show late is asked for by name, if it is no more than so many


@dataclass(frozen=True)
class StoredObject:
    """One file of a shard, named relative to the data set."""

    path: str
    size: int
    sha256: Sha256


@dataclass(frozen=True)
class Manifest:
    """The files on disk of one shard.

    For each array, ``content`` holds the sha256 of the concatenated sha256 of its samples before compression.
    ``draws`` is the sha256 of the records without their pixel hashes, which is the same on every platform.
    """

    shard: int
    first: int
    last: int  # one past the last sample
    request_sha256: Sha256
    environment_sha256: Sha256
    objects: tuple[StoredObject, ...]
    content: dict[str, Sha256]
    draws: Sha256

    def write(self, out: Place, *, exclusive: bool = False) -> bool:
        """Write it; False if ``exclusive`` and there is one."""
        return write_atomically(manifest_path(out, self.shard), sealed(asdict(self)), exclusive=exclusive)

    @property
    def size(self) -> int:
        return sum(o.size for o in self.objects)


def manifest_path(out: Place, shard: int) -> Place:
    return out / "manifest" / f"{shard:06d}.json"


def shard_files(out: Place, spec: Spec, shard: int) -> dict[str, int]:
    """The files of a shard, relative to the data set, and the maximum size of each."""
    count = len(spec.range_of(shard))
    arrays = {relative(spec.shard_path(out, a, shard), out): _most_bytes(a, spec, count) for a in spec.arrays}
    lines, index = relative(lines_path(out, shard), out), relative(index_path(out, shard), out)
    return {**arrays, lines: count * RECORD_BYTES, index: index_size(count)}


def _most_bytes(array: ArraySpec, spec: Spec, count: int) -> int:
    if array.whole:
        return largest_chunk(array.nbytes * spec.shard_length) + 16 + 4
    return largest_chunk(array.nbytes) * count + 16 * spec.shard_length + 4


def read_manifest(out: Place, shard: int, spec: Spec) -> Manifest:
    """The manifest of a shard."""
    path = manifest_path(out, shard)
    fix = "Delete it and run blursynth resume to make the shard again."
    try:
        manifest = read_sealed(path, "the manifest", Manifest, MANIFEST_BYTES)
    except DatasetError as error:
        raise DatasetError(error.what, why=error.why, fix=fix if path.exists() else "Run blursynth resume.") from None
    # It must name exactly the files that the specification implies, so that no other path is ever opened.
    files = shard_files(out, spec, shard)
    ok = manifest.shard == shard and range(manifest.first, manifest.last) == spec.range_of(shard)
    ok = ok and [o.path for o in manifest.objects] == list(files)
    ok = ok and all(0 <= o.size <= files[o.path] for o in manifest.objects)
    if not ok or set(manifest.content) != {a.name for a in spec.arrays}:
        raise DatasetError(f"{path}: the manifest is not that of shard {shard} of this data set.", fix=fix)
    if manifest.request_sha256 != spec.sha256():
        raise DatasetError(f"{path}: belongs to another data set.", fix="Restore the folder from a backup.")
    return manifest


def finished_shards(out: Place) -> Iterator[int]:
    """Indices of the shards that have a manifest."""
    folder = out / "manifest"
    if folder.is_dir():
        for name in sorted(path.name for path in folder.iterdir()):
            if re.fullmatch(r"[0-9]{6,9}\.json", name):
                yield int(name.removesuffix(".json"))


def missing_shards(out: Place, spec: Spec) -> list[int]:
    """Indices of the shards that have no manifest."""
    missing = sorted(set(range(spec.shards)).difference(finished_shards(out)))
    if isinstance(out, ObjectPath) and len(missing) <= _LATE:
        return [shard for shard in missing if not manifest_path(out, shard).is_file()]
    return missing


def chosen_shards(shards: tuple[int, int] | None, spec: Spec) -> range:
    """The shards ``a <= s < b`` that a caller asks for, or all.

    Raises
    ------
    InvalidValueError
        There is none among them.
    """
    if shards is None:
        return range(spec.shards)
    first, last = shards
    if not 0 <= first < last:
        raise InvalidValueError(
            (Argument("shards"), f" must be (a, b) with 0 <= a < b, got {shards!r}."), field="shards", value=shards
        )
    if first >= spec.shards:
        what: Message = (Argument("shards"), f" {first}:{last} lie beyond the last; the data set has {spec.shards}.")
        raise InvalidValueError(what, field="shards", value=shards)
    return range(first, min(last, spec.shards))


def shard_state(out: Place, shard: int, spec: Spec, sizes: Mapping[str, int] | None = None) -> Manifest | None:
    """The manifest if the shard's files exist with the right sizes; None if the shard must be made.

    ``sizes`` are those of a listing; without it every file is asked for.
    """
    if sizes is None and not manifest_path(out, shard).exists():
        return None
    try:
        manifest = read_manifest(out, shard, spec)
    except DatasetError:
        return None  # a manifest that proves nothing counts as missing
    for stored in manifest.objects:
        try:
            size = size_of(out / stored.path) if sizes is None else sizes.get(stored.path)
            if size != stored.size:
                return None
        except OSError:
            return None
    return manifest


def relative(path: Place, out: Place) -> str:
    """The name of a file of a data set."""
    if isinstance(path, ObjectPath):
        return str(path).removeprefix(f"{out}/")
    return path.relative_to(str(out)).as_posix()
