"""``index.json``: marks a data set as finished and holds the digests of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice

from blursynth.dataset.card import write_card
from blursynth.dataset.files import JSON_BYTES, Sha256, canonical, read_sealed, sealed, sha256_hex, write_atomically
from blursynth.dataset.manifest import Manifest, read_manifest
from blursynth.dataset.sample_records import RecordReader
from blursynth.dataset.schema import Spec
from blursynth.errors import DatasetError
from blursynth.io.object_store import Place

__all__ = [
    "Digest",
    "Index",
    "content_digest",
    "derived_index",
    "index_fits",
    "passed_over_share",
    "read_index",
    "write_index",
]


@dataclass(frozen=True)
class Digest:
    """``pixels``: sha256 over the sha256 of every sample's arrays; ``draws``: over every record without them.

    Both are computed in sample order, so they do not depend on the shard length.
    """

    pixels: Sha256
    draws: Sha256


@dataclass(frozen=True)
class Index:
    """The content of ``index.json``. All of it follows from the manifests, the records and the files that it names.

    ``files`` holds the sha256 of files that are derived once and then kept: the data card and the Croissant metadata.
    """

    request_sha256: Sha256
    count: int
    shards: int
    disk_bytes: int
    digest: Digest
    objects_sha256: Sha256
    environments: tuple[Sha256, ...]
    files: dict[str, Sha256]

    def to_json(self) -> bytes:
        return sealed(asdict(self))


def content_digest(out: Place, spec: Spec, first: int | None = None) -> Digest:
    """The digests of pixels and draws, from the records: of the first so many samples, or of all."""
    pixels, draws = hashlib.sha256(), hashlib.sha256()
    names = [a.name for a in spec.arrays]
    left = spec.count if first is None else first
    for shard in range(-(-left // spec.shard_length)):
        try:
            for record in islice(RecordReader(out, shard, spec.range_of(shard)).read_all(), left):
                left -= 1
                hashes = record.pop("sha256")
                for name in names:
                    pixels.update(bytes.fromhex(hashes[name]))
                draws.update(canonical(record) + b"\n")
        except (DatasetError, ValueError, KeyError) as error:
            what = error.what if isinstance(error, DatasetError) else f"{out}: a record of shard {shard} is damaged."
            raise DatasetError(what, fix=f"Make it again: blursynth resume {out} --redo {shard}.") from None
    return Digest(pixels.hexdigest(), draws.hexdigest())


def derived_index(out: Place, spec: Spec, files: dict[str, str]) -> Index:
    """The index of a data set with these manifests and records."""
    manifests = [read_manifest(out, shard, spec) for shard in range(spec.shards)]
    return _index_of(spec, manifests, content_digest(out, spec), files)


def index_fits(index: Index, spec: Spec, manifests: Sequence[Manifest]) -> bool:
    """Whether an index matches the manifests of all shards; it does not after a shard was made again."""
    return index == _index_of(spec, manifests, index.digest, index.files)


def _index_of(spec: Spec, manifests: Sequence[Manifest], digest: Digest, files: dict[str, str]) -> Index:
    return Index(
        request_sha256=spec.sha256(),
        count=spec.count,
        shards=spec.shards,
        disk_bytes=sum(m.size for m in manifests),
        digest=digest,
        objects_sha256=sha256_hex("".join(o.sha256 for m in manifests for o in m.objects).encode()),
        environments=tuple(sorted({m.environment_sha256 for m in manifests})),
        files=files,
    )


def passed_over_share(out: Place, spec: Spec, shards: Iterable[int]) -> float:
    """Share of the windows tried for these shards that had too little detail."""
    passed_over = samples = 0
    for shard in shards:
        for record in RecordReader(out, shard, spec.range_of(shard)).read_all():
            passed_over += int(record["passed_over"])
            samples += 1
    return passed_over / max(1, passed_over + samples)


def write_index(out: Place, spec: Spec) -> Index:
    """Write the data card, the Croissant metadata and finally ``index.json``, which holds their hashes."""
    index = derived_index(out, spec, {})
    files = write_card(out, spec, asdict(index.digest))
    index = replace(index, files=files)
    write_atomically(out / "index.json", index.to_json())
    return index


def read_index(out: Place, spec: Spec) -> Index | None:
    """The index, or None if the data set is not finished."""
    path = out / "index.json"
    if not path.exists():
        return None
    fix = "Delete it and run blursynth resume to write it again."
    try:
        index = read_sealed(path, "the index", Index, JSON_BYTES)
    except DatasetError as error:
        raise DatasetError(error.what, why=error.why, fix=fix) from None
    if index.request_sha256 != spec.sha256():
        raise DatasetError(f"{path}: belongs to another data set.", fix=fix)
    return index
