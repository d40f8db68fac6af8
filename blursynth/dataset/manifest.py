"""``manifest/<shard>.json``: the proof that a shard is finished. No manifest, no shard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from blursynth.dataset.files import read_json, write_atomically
from blursynth.dataset.schema import Spec
from blursynth.errors import DatasetError

__all__ = ["Manifest", "StoredObject", "draws_path", "finished_shards", "manifest_path", "read_manifest"]


@dataclass(frozen=True)
class StoredObject:
    """One file of a shard, named relative to the data set."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What lies on the disk for one shard.

    ``content`` has for each array the sha256 of the concatenated sha256 of its samples, before compression;
    ``draws`` the sha256 of the records without their pixels' hashes, which is the same on every platform.
    """

    shard: int
    first: int
    last: int  # one beyond the last sample
    request_sha256: str
    environment_sha256: str
    objects: tuple[StoredObject, ...]
    content: dict[str, str]
    draws: str

    def write(self, out: Path) -> None:
        text = json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_atomically(manifest_path(out, self.shard), text.encode())

    @property
    def size(self) -> int:
        return sum(o.size for o in self.objects)


def manifest_path(out: Path, shard: int) -> Path:
    return out / "manifest" / f"{shard:06d}.json"


def draws_path(out: Path, shard: int) -> Path:
    return out / "draws" / f"{shard:06d}.jsonl"


def read_manifest(out: Path, shard: int, spec: Spec) -> Manifest:
    """The manifest of a shard.

    Raises
    ------
    DatasetError
        It is missing, damaged, or belongs to another data set.
    """
    path = manifest_path(out, shard)
    values = read_json(path, "the manifest")
    try:
        objects = tuple(StoredObject(**o) for o in values.pop("objects"))
        manifest = Manifest(objects=objects, **values)
        ok = manifest.shard == shard and range(manifest.first, manifest.last) == spec.range_of(shard)
        ok = ok and all(isinstance(o.size, int) and isinstance(o.sha256, str) for o in objects)
    except (KeyError, TypeError, AttributeError):
        ok = False
    if not ok:
        raise DatasetError(
            f"{path}: the manifest is damaged.", fix="Delete it and run blursynth resume: the shard is made again."
        )
    if manifest.request_sha256 != spec.sha256():
        raise DatasetError(f"{path}: belongs to another data set.", fix="Restore the folder from a backup.")
    return manifest


def finished_shards(out: Path) -> Iterator[int]:
    """Numbers of the shards that have a manifest."""
    folder = out / "manifest"
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if re.fullmatch(r"\d{6,}\.json", path.name):
                yield int(path.stem)


def shard_state(out: Path, shard: int, spec: Spec) -> Manifest | None:
    """The manifest if the shard's files are there with their sizes; None if the shard must be made."""
    if not manifest_path(out, shard).exists():
        return None
    try:
        manifest = read_manifest(out, shard, spec)
    except DatasetError:
        return None  # a manifest that proves nothing is none
    for stored in manifest.objects:
        try:
            if (out / stored.path).stat().st_size != stored.size:
                return None
        except OSError:
            return None
    return manifest


def relative(path: Path, out: Path) -> str:
    return path.relative_to(out).as_posix()
