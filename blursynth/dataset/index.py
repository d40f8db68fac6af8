"""``index.json``: the sign that a data set is finished, with the digests of its content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from blursynth.dataset.files import canonical, read_json, sha256_hex, write_atomically
from blursynth.dataset.manifest import draws_path, read_manifest
from blursynth.dataset.schema import Spec
from blursynth.errors import DatasetError

__all__ = ["content_digest", "read_index", "write_index"]


def content_digest(out: Path, spec: Spec) -> dict[str, str]:
    """``pixels``: sha256 over the sha256 of every sample's arrays; ``draws``: over every record without them.

    Both go through the samples in order, so they do not depend on the length of shards.
    """
    pixels, draws = hashlib.sha256(), hashlib.sha256()
    names = [a.name for a in spec.arrays]
    for shard in range(spec.shards):
        path = draws_path(out, shard)
        try:
            with path.open("rb") as file:
                for line in file:
                    record = json.loads(line)
                    hashes = record.pop("sha256")
                    for name in names:
                        pixels.update(bytes.fromhex(hashes[name]))
                    draws.update(canonical(record) + b"\n")
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(
                f"{path}: the draws are missing or damaged ({type(error).__name__}).",
                fix=f"Make shard {shard} again: resume(out, redo=[{shard}]).",
            ) from None
    return {"pixels": pixels.hexdigest(), "draws": draws.hexdigest()}


def write_index(out: Path, spec: Spec) -> dict[str, Any]:
    """Write ``index.json``.

    Raises
    ------
    DatasetError
        A manifest is missing or damaged.
    """
    manifests = [read_manifest(out, shard, spec) for shard in range(spec.shards)]
    index = {
        "request_sha256": spec.sha256(),
        "count": spec.count,
        "shards": spec.shards,
        "disk_bytes": sum(m.size for m in manifests),
        "digest": content_digest(out, spec),
        "objects_sha256": sha256_hex("".join(o.sha256 for m in manifests for o in m.objects).encode()),
        "environments": sorted({m.environment_sha256 for m in manifests}),
    }
    write_atomically(out / "index.json", (json.dumps(index, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
    return index


def read_index(out: Path, spec: Spec) -> dict[str, Any] | None:
    """The index, or None if the data set is not finished.

    Raises
    ------
    DatasetError
        It is damaged or belongs to another data set.
    """
    if not (out / "index.json").exists():
        return None
    index: dict[str, Any] = read_json(out / "index.json", "the index")
    if index.get("request_sha256") != spec.sha256():
        raise DatasetError(
            f"{out / 'index.json'}: is damaged or belongs to another data set.",
            fix="Delete it and run blursynth resume, which writes it again.",
        )
    return index
