"""Making one shard: render, compress, flush, rename, and only then write its manifest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from blursynth.core import Degradation
from blursynth.dataset.asset_files import load_assets
from blursynth.dataset.cut import renderer_of
from blursynth.dataset.files import canonical, disk_error, sha256_hex, write_atomically
from blursynth.dataset.folder import DatasetFolder
from blursynth.dataset.manifest import (
    Manifest,
    StoredObject,
    manifest_path,
    read_manifest,
    relative,
    shard_state,
)
from blursynth.dataset.render import Placement
from blursynth.dataset.sample_records import encode_index, index_path, lines_path
from blursynth.dataset.schema import environment, environment_sha256, load_spec
from blursynth.dataset.shards import ShardFile, ShardObject, encode_chunk, write_shard_file
from blursynth.errors import Argument, DatasetError
from blursynth.io.object_store import ObjectPath, Place

__all__ = ["Event", "Job", "ShardMaker"]

REPORT_S = 0.2  # time between two progress reports


@dataclass(frozen=True, eq=False)
class Job:
    """What a worker needs to know: the data set's folder, the kinds that its recipe uses, and where its sources are.

    ``any_environment`` allows other versions or another processor than those in ``dataset.json``.
    """

    folder: DatasetFolder
    kinds: tuple[type[Degradation], ...]
    roots: dict[str, str]
    any_environment: bool
    cache_bytes: int

    @property
    def out(self) -> Place:
        """The data set's folder, absolute."""
        return self.folder.path

    def key(self) -> str:
        """Equal for jobs that the same maker can do."""
        rest = (str(self.out), self.kinds, sorted(self.roots.items()), self.any_environment, self.cache_bytes)
        return f"{self.folder.description_sha256} {rest}"


@dataclass(frozen=True)
class Event:
    """``done`` samples of a shard are made; ``manifest`` is set when the shard is finished."""

    shard: int
    done: int
    manifest: Manifest | None = None
    note: str = ""


class ShardMaker:
    """Makes shards of one data set in this process, if it sees the right folder and is in the right environment."""

    def __init__(self, job: Job) -> None:
        self.job = job
        # As seen from here: the device and inode of a shared folder may differ between machines.
        self.folder = DatasetFolder.begun(job.out, description_sha256=job.folder.description_sha256)
        self.spec = load_spec(job.out)
        here = environment()
        self.environment_sha256 = environment_sha256()
        if self.spec.environment != here and not job.any_environment:
            raise _other_environment(job.out, self.spec.environment, here)
        load_assets(self.spec.recipe, job.out)
        self.renderer = renderer_of(self.spec, job.kinds, job.roots, cache_bytes=job.cache_bytes)

    def make(self, shard: int, *, again: bool) -> Iterator[Event]:
        """Make a shard unless it exists, or even then if ``again``; the last event has its manifest."""
        spec, out = self.spec, self.job.out
        self.folder.check()
        if not again and (present := shard_state(out, shard, spec)) is not None:
            yield Event(shard, len(spec.range_of(shard)), present)
            return
        samples = spec.range_of(shard)
        placements: dict[int, Placement] = {}
        chunks: dict[str, list[bytes]] = {a.name: [b""] * len(samples) for a in spec.arrays}
        digests: dict[str, list[bytes]] = {a.name: [b""] * len(samples) for a in spec.arrays}
        whole = {a.name: a.empty(spec.shard_length) for a in spec.arrays if a.whole}
        last = time.monotonic()
        for done, placement in enumerate(self.renderer.in_order(samples), 1):
            position = placement.index - samples.start
            placements[position] = placement
            for name, pixels in self.renderer.render(placement).items():
                digests[name][position] = hashlib.sha256(pixels.data).digest()
                if name in whole:
                    whole[name][position] = pixels
                else:
                    chunks[name][position] = encode_chunk(pixels, spec.codec)
            if time.monotonic() - last > REPORT_S:
                yield Event(shard, done)
                last = time.monotonic()
        for name, table in whole.items():
            chunks[name] = [encode_chunk(table, spec.codec)]

        lines, draws = [], hashlib.sha256()
        for position, placement in sorted(placements.items()):
            record = self.renderer.record(placement)
            draws.update(canonical(record) + b"\n")
            record["sha256"] = {name: digests[name][position].hex() for name in digests}
            lines.append(canonical(record) + b"\n")
        draws_files = {lines_path(out, shard): b"".join(lines), index_path(out, shard): encode_index(lines)}
        written: list[ShardFile | ShardObject] = []
        try:
            self.folder.check()
            for array in spec.arrays:
                length = 1 if array.whole else spec.shard_length
                self.folder.make(spec.shard_path(out, array, shard).parent)
                written.append(write_shard_file(spec.shard_path(out, array, shard), chunks[array.name], length))
            objects = [StoredObject(relative(f.path, out), f.size, f.sha256) for f in written]
            objects += [StoredObject(relative(p, out), len(data), sha256_hex(data)) for p, data in draws_files.items()]
            manifest = Manifest(
                shard=shard,
                first=samples.start,
                last=samples.stop,
                request_sha256=spec.sha256(),
                environment_sha256=self.environment_sha256,
                objects=tuple(objects),
                content={name: sha256_hex(b"".join(parts)) for name, parts in digests.items()},
                draws=draws.hexdigest(),
            )
            self._check_against_earlier(manifest)
            for path, data in draws_files.items():
                write_atomically(path, data)
            for file in written:
                file.commit()
            # In object storage no lock kept another writer out, so the first manifest stays.
            if not manifest.write(out, exclusive=not again and isinstance(out, ObjectPath)):
                self._check_against_first(manifest)
            self.folder.check()  # otherwise the new files are elsewhere
        except OSError as error:
            self.folder.check()  # the most likely reason for a missing folder
            raise disk_error(error, out) from None
        finally:
            for file in written:
                file.discard()
        yield Event(shard, len(samples), manifest)

    def _check_against_earlier(self, manifest: Manifest) -> None:
        if not manifest_path(self.job.out, manifest.shard).exists():
            return
        try:
            earlier = read_manifest(self.job.out, manifest.shard, self.spec)
        except DatasetError:
            return  # it proves nothing, so there is nothing to compare the new one with
        if earlier.content != manifest.content or earlier.draws != manifest.draws:
            raise DatasetError(
                f"Shard {manifest.shard} was made twice with different content.",
                why="The same specification must give the same bytes, so a version, processor or source must differ.",
                fix="Make the data set again from the start, on one kind of machine.",
            )

    def _check_against_first(self, manifest: Manifest) -> None:
        """Another writer made this shard at the same time: the same objects are no matter of who was first."""
        try:
            first = read_manifest(self.job.out, manifest.shard, self.spec)
        except DatasetError:
            manifest.write(self.job.out)  # what was there proves nothing
            return
        if first.objects != manifest.objects:
            raise DatasetError(
                f"{self.job.out}: another process made shard {manifest.shard} at the same time, with other content.",
                why="The same specification must give the same bytes, so a version, processor or source must differ.",
                fix="Let one kind of machine write it, and run blursynth repair, which makes the shard again.",
            )


def _other_environment(out: Place, there: dict[str, object], here: dict[str, object]) -> DatasetError:
    changes = []
    for key in sorted({*there, *here}):
        old, new = there.get(key), here.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            parts = sorted({*old, *new})
            changes += [f"{p} {old.get(p)} there, {new.get(p)} here" for p in parts if old.get(p) != new.get(p)]
        elif isinstance(old, list) and isinstance(new, list):
            changes.append(f"{key} differ in {', '.join(sorted({*old} ^ {*new}))}")
        else:
            changes.append(f"{key} {old} there, {new} here")
    return DatasetError(
        f"{out}: was started in another environment ({'; '.join(changes)}).",
        why="Pixels are byte-identical only with the same versions and CPU features.",
        fix=(
            "Use the same environment, or allow it with ",
            Argument("any_environment", True),
            "; every manifest records its own.",
        ),
    )
