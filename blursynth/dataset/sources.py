"""The sharp pictures that a data set is made of: found, checked, hashed and put in order."""

from __future__ import annotations

import hashlib
import logging
import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from blursynth.backends.cores import available_cores, memory_bytes
from blursynth.dataset.bundled import with_bundled
from blursynth.dataset.detail import sharpest_detail
from blursynth.dataset.licenses import Licenses, Rights
from blursynth.dataset.near_duplicates import groups_of, linked, near_groups
from blursynth.dataset.progress import OnProgress, Progress
from blursynth.dataset.source_list import Listed, SourceList, check_listed, read_source_list
from blursynth.dataset.source_pictures import PictureArray, PictureFile, SourcePictures, holds_array
from blursynth.errors import Argument, BlursynthError, InvalidValueError, MissingExtraError, PictureError, StoreError
from blursynth.frame import Encoding
from blursynth.io.containers import CONTAINER_SUFFIXES, PACKED_SUFFIXES, exists, split
from blursynth.io.decoders import LARGEST_DECODED_BYTES
from blursynth.io.depth import DEPTH_SUFFIXES, LABEL_SUFFIXES, DepthFormat, read_depth_map, read_labels
from blursynth.io.downscale import check_factor
from blursynth.io.folders import (
    ByName,
    Inside,
    as_place,
    endings_text,
    expanded,
    matches,
    total,
    walk,
    walk_into,
    walk_with_containers,
)
from blursynth.io.object_store import Place
from blursynth.io.perceptual_hash import perceptual_hash
from blursynth.io.pictures import PICTURE_SUFFIXES, file_sha256
from blursynth.records.text import name_of, path_of, printable
from blursynth.records.toml import read_text

__all__ = ["DEPTH_ROOT", "LABELS_ROOT", "NotUsed", "Scan", "Skipped", "Source", "scan_sources"]

_LOG = logging.getLogger(__name__)

K = TypeVar("K")
T = TypeVar("T")

NearDuplicates = Literal["keep", "report", "skip"]

# Keys of the folders of maps among the roots. The first part of a picture's name never begins with a slash.
DEPTH_ROOT, LABELS_ROOT = "/depth", "/labels"

# Files in which the kernel reports the memory limit of a container: control groups, versions 2 and 1.


@dataclass(frozen=True, slots=True)
class Source:
    """One sharp picture. ``name`` is relative to the given sources, in the form of
    :func:`blursynth.records.text.name_of`; it may lead into a .tar or .parquet file (``photos.tar/0001.jpg``).

    ``depth`` and ``labels`` are its maps, relative to their folders; empty if there are none. ``encoding`` is
    ``"linear"`` for sources of light, whose values have no response curve; empty for display pictures. ``blurred`` is
    the other half of a real pair, which lies below the same folders. ``original`` is the picture that the sharp picture
    of a data set was cut from.
    """

    name: str
    sha256: str
    height: int
    width: int
    bit_depth: int
    license: str
    icc_profile: str
    depth: str = ""
    depth_sha256: str = ""
    labels: str = ""
    labels_sha256: str = ""
    encoding: str = ""
    attribution: str = ""
    url: str = ""
    blurred: str = ""
    blurred_sha256: str = ""
    original: str = ""
    original_sha256: str = ""

    @property
    def photograph_sha256(self) -> str:
        """Equal for all pictures that are parts of one: of the original, where it is another one."""
        return self.original_sha256 or self.sha256

    @property
    def provenance(self) -> dict[str, str]:
        """License, author, address and original, as in records; those that are not stated left out, but the license."""
        stated = {name: getattr(self, name) for name in ("attribution", "url", "original", "original_sha256")}
        return {"license": self.license, **{name: text for name, text in stated.items() if text}}

    @property
    def credit(self) -> str:
        """License, author and address in one line; empty where nothing is stated."""
        return ", ".join(text for text in (self.license, self.attribution, self.url) if text)

    @property
    def is_linear(self) -> bool:
        """Whether its values are linear light rather than display codes."""
        return self.encoding == Encoding.LINEAR

    def to_dict(self) -> dict[str, Any]:
        """As in ``dataset.json``: without missing maps, the default encoding, and an author or address not stated."""
        return {name: value for name, value in asdict(self).items() if value or name not in _OPTIONAL}


_OPTIONAL = {field.name for field in fields(Source) if field.default is not MISSING}


@dataclass(frozen=True)
class Skipped:
    """An unused input and the reason."""

    name: str
    why: str


@dataclass(frozen=True)
class NotUsed:
    """The content of ``skipped.json``: inputs that cannot be used, those that are the same as another one, and the
    number of files of other formats by their ending."""

    skipped: tuple[Skipped, ...]
    duplicates: tuple[Skipped, ...]
    ignored: dict[str, int]


@dataclass(frozen=True)
class Scan:
    """Result of :func:`scan_sources`.

    Parameters
    ----------
    usable
        Usable pictures, sorted by content hash so that neither names nor locations of the files affect the samples.
    skipped
        Inputs that cannot be used.
    duplicates
        Inputs with the same content as another one; each content is used once. Also near-duplicates that were left out.
    roots
        Folder on this machine for each first part of the names ("" if all are in one folder), and folders of the maps.
    depth_format
        Meaning of the values in the depth maps; None without depth maps.
    downscale
        Factor by which the pictures are downscaled before anything else; 1 for no downscaling.
    notes
        Remarks about the usable sources.
    ignored
        Number of files in the folders without the extension of a known format, by extension; those whose names begin
        with a dot count as ``"hidden"``.
    hashes
        Perceptual hash of each usable source by its sha256, if near-duplicates were looked for.
    groups
        The smallest sha256 of its group of near-duplicates, for each usable source that has some (left out or not).
    """

    usable: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    duplicates: tuple[Skipped, ...]
    roots: dict[str, str]
    depth_format: DepthFormat | None = None
    downscale: int = 1
    notes: tuple[str, ...] = ()
    ignored: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, int] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    def part(self, share: tuple[float, float], by: Literal["picture", "folder"] = "picture") -> Scan:
        """Those sources whose place between 0 and 1 lies in ``share[0] <= place < share[1]``.

        The place of a picture is a hash of its content, or of its folder's name, so that it does not change when other
        sources are added; samples of a data set have that of the picture that they were cut from. Near-duplicates have
        one place, as have folders that share some: that of the smallest name.
        """
        folders = [(s.original or s.name).rpartition("/")[0] for s in self.usable]
        keys = folders if by == "folder" else [s.photograph_sha256 for s in self.usable]
        first: dict[str, int] = {}
        together = [[first.setdefault(key, i) for i, key in enumerate(keys)]]
        near: dict[str, int] = {}
        together.append([near.setdefault(self.groups.get(s.sha256, s.sha256), i) for i, s in enumerate(self.usable)])
        if by == "picture":
            keys = [self.groups.get(s.sha256, s.photograph_sha256) for s in self.usable]
        least: dict[int, str] = {}
        numbers = linked(*together).tolist()
        for number, key in zip(numbers, keys, strict=True):
            least[number] = min(key, least.get(number, key))
        inside = {number for number, key in least.items() if share[0] <= _place_of(key) < share[1]}
        usable = tuple(s for s, number in zip(self.usable, numbers, strict=True) if number in inside)
        if not usable:
            what = f"None of the {len(self.usable)} pictures falls into the share {share[0]:g} to {share[1]:g}."
            if by == "folder":
                what += f" They lie in {len(first)} folder{'s' * (len(first) > 1)}, which are not divided."
            raise PictureError(what, fix="Give more pictures, or larger shares.")
        return replace(self, usable=usable)

    def path(self, source: Source) -> Path:
        """The file of a source, where it is one."""
        picture = SourcePictures(self.roots).at(source.name)
        if not isinstance(picture, PictureFile):
            fix = "Write its pictures as files first: blursynth export."
            raise PictureError(f"{picture}: is a sample of a data set or an array, not a file.", fix=fix)
        return picture.path

    def not_used(self) -> dict[str, Any]:
        """The unused inputs as in ``skipped.json``."""
        lists = {"skipped": self.skipped, "duplicates": self.duplicates}
        return {**{name: [vars(s) for s in unused] for name, unused in lists.items()}, "ignored": self.ignored}


def _place_of(key: str) -> float:
    """A number in 0 <= x < 1 that depends on the text alone, evenly spread."""
    digest = hashlib.blake2b(key.encode(), digest_size=8, person=b"split").digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def alike_across(scans: Mapping[str, Scan]) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """Two near-duplicates in different scans, each as (key of the scan, name); None if there are none."""
    found = [
        (split, s.name, scan.hashes[s.sha256]) for split, scan in scans.items() if scan.hashes for s in scan.usable
    ]
    for group in groups_of(near_groups([value for _, _, value in found])):
        first = found[group[0]]
        other = next((found[i] for i in group if found[i][0] != first[0]), None)
        if other is not None:
            return first[:2], other[:2]
    return None


def scan_sources(
    sources: str | Path | Iterable[str | Path],
    *,
    depth: str | Path | None = None,
    depth_format: DepthFormat | None = None,
    labels: str | Path | None = None,
    linear: bool = False,
    downscale: int = 1,
    licenses: str | Path | None = None,
    source_list: SourceList | None = None,
    near_duplicates: NearDuplicates = "keep",
    min_source_px: int = 1,
    min_source_detail: float | None = None,
    size_px: int = 1,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Scan:
    """Find the pictures, decode each once, and list what can be used.

    Parameters
    ----------
    sources, depth, depth_format, labels, linear, downscale, licenses, near_duplicates, min_source_px
        As in a :class:`~blursynth.dataset.DatasetRequest`.
    source_list, min_source_detail
        As in a :class:`~blursynth.dataset.DatasetRequest`, too.
    size_px
        Pictures that are smaller than this after downscaling are skipped.
    workers
        Number of decoding threads; by default the number of cores.

    Raises
    ------
    PictureError
        A given path does not exist, a listed picture is missing or has changed, or no input is usable; the message says
        which and why.
    InvalidValueError
        ``linear`` is given and no picture has 16 bits.

    Notes
    -----
    Every picture is decoded in full, since a truncated file can have a valid header, and the set of usable sources must
    be known before the first sample is drawn. A picture is skipped without decoding if it would need more than 4 GiB of
    memory, or more than its share of half the machine's memory when each worker decodes one.
    """
    given = with_bundled([sources] if isinstance(sources, str | Path) else sources)
    check_factor(downscale, name="downscale", least=1)
    if not given and source_list is not None:
        count = len(read_source_list(source_list))
        raise InvalidValueError(
            (Argument("sources"), f" is missing: this data set is made of {count} pictures that do not come with it."),
            fix=(f"{source_list.how_to_get()}, and give their folder: ", Argument("sources", "FOLDER"), "."),
            field="sources",
        )
    if not given:
        raise InvalidValueError("sources is empty.", fix="Give a folder, a glob, a picture or a list of these.")
    if depth is None and depth_format is not None:
        raise InvalidValueError("depth_format is given without depth.", fix="Also give the folder of the depth maps.")
    rights = None if licenses is None else Licenses(expanded(licenses))
    listed = {} if source_list is None else read_source_list(source_list)
    named, roots, inside, arrays = _named(given)
    pictures = SourcePictures(roots, arrays)
    ignored = total(found.endings for _, found in inside)
    skipped = [_skipped(f"{label}{name_of(name)}", why) for label, found in inside for name, why in found.left_out]
    if not named:
        others = f" Other files there: {endings_text(ignored)}." if ignored else ""
        others += f" Skipped: {reasons(skipped)}." if skipped else ""
        known = f"{', '.join(PICTURE_SUFFIXES)}, and these in {' and '.join(CONTAINER_SUFFIXES)} files"
        raise PictureError(
            f"No pictures in {', '.join(str(g) for g in given)}.{others}",
            fix="Check these files." if skipped else f"Known formats: {known}.",
        )
    notes: tuple[str, ...] = ()
    workers = workers or available_cores()
    if source_list is not None:
        named, notes = check_listed(source_list, listed, named, pictures, places=given, workers=workers)
    form = None if depth is None else depth_format or DepthFormat()
    maps = {}
    for key, given_maps, suffixes in ((DEPTH_ROOT, depth, DEPTH_SUFFIXES), (LABELS_ROOT, labels, LABEL_SUFFIXES)):
        if given_maps is not None:
            maps[key] = _Maps(key.removeprefix("/"), expanded(given_maps), suffixes, named, several="" not in roots)
            roots[key] = str(maps[key].folder)
            skipped += [_skipped(f"{key}/{name_of(name)}", why) for name, why in maps[key].left_out]
    usable: list[Source] = []
    look = _Look(
        size_px, maps, form, linear, downscale, share_of_memory(workers), rights, listed, near_duplicates != "keep",
        min_source_px, min_source_detail,
    )  # fmt: skip
    last = 0.0
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=workers) as pool:
        # read_pixels mutes Pillow with a process-wide setting. Muting it before all threads start and restoring it
        # after the last one ends prevents two of them from leaving it in the wrong state.
        warnings.simplefilter("ignore")
        try:
            # PIL and hashlib release the interpreter lock, so threads decode in parallel.
            results = in_order(pool, lambda name: _examine(name, pictures, look), named, 4 * workers)
            for done, found in enumerate(results, 1):
                if isinstance(found, Source):
                    usable.append(found)
                else:
                    skipped.append(found)
                if on_progress is not None and (done == len(named) or time.monotonic() - last > 0.1):
                    last = time.monotonic()
                    on_progress(Progress("scan", done, len(named), skipped=tuple((s.name, s.why) for s in skipped)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    first: dict[str, Source] = {}
    duplicates = []
    for source in usable:  # by name, so that the kept name does not depend on the order of threads
        if source.sha256 in first:
            duplicates.append(Skipped(source.name, f"same content as {first[source.sha256].name}"))
        else:
            first[source.sha256] = source
    if not first:
        if look.missing:  # nothing works without it
            raise look.missing[0]
        raise PictureError(
            f"None of the {len(named)} inputs can be used: {reasons(skipped)}.",
            fix="Check the pictures, or request smaller crops."
            if not maps
            else "Check the pictures and their maps; running blursynth preview on one picture with its map, --depth "
            "FILE or --labels FILE, shows how to fix it.",
        )
    ordered = tuple(first[key] for key in sorted(first))
    if rights is not None:
        _warn_of_licenses(rights, ordered)
    notes = (*notes, *(_linear_notes(ordered) if linear else ()), *_profile_notes(ordered))
    hashes = {source.sha256: look.hashes[source.sha256] for source in ordered} if look.hashed else {}
    scan = Scan(ordered, tuple(skipped), tuple(duplicates), roots, form, downscale, notes, ignored, hashes)
    return _without_near(scan, skip=near_duplicates == "skip") if look.hashed else scan


def _without_near(scan: Scan, *, skip: bool) -> Scan:
    """A scan with its groups of near-duplicates, of each of which only the largest picture stays where ``skip``."""
    groups = groups_of(near_groups([scan.hashes[source.sha256] for source in scan.usable]))
    if not groups:
        return scan
    members = [[scan.usable[index] for index in group] for group in groups]
    smallest = {s.sha256: min(m.sha256 for m in group) for group in members for s in group}
    if not skip:
        shown = "; ".join(", ".join(sorted(s.name for s in group)[:3]) for group in members[:3])
        more = f"; and {len(members) - 3} more groups" if len(members) > 3 else ""
        note = (
            f"{len(smallest)} pictures look like others: {shown}{more}. near_duplicates=skip keeps one of each group."
        )
        return replace(scan, groups=smallest, notes=(*scan.notes, note))
    left_out = {}
    for group in members:
        kept = min(group, key=lambda s: (-s.height * s.width, s.sha256))
        for s in group:
            if s is not kept:
                bits = (scan.hashes[s.sha256] ^ scan.hashes[kept.sha256]).bit_count()
                left_out[s.sha256] = Skipped(s.name, f"looks like {kept.name} ({bits} of 64 bits differ)")
    usable = tuple(s for s in scan.usable if s.sha256 not in left_out)
    duplicates = (*scan.duplicates, *sorted(left_out.values(), key=lambda s: s.name))
    return replace(scan, usable=usable, duplicates=duplicates, groups=smallest)


def in_order(pool: ThreadPoolExecutor, examine: Callable[[K], T], names: Iterable[K], most: int) -> Iterator[T]:
    """Results in the order of the names, of which at most ``most`` are waiting at a time."""
    waiting: deque[Future[T]] = deque()
    for name in names:
        waiting.append(pool.submit(examine, name))
        if len(waiting) == most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _warn_of_licenses(rights: Licenses, sources: Sequence[Source]) -> None:
    without = sorted(source.name for source in sources if not source.license)
    for names, what in ((rights.unused(), "entries that apply to no picture"), (without, "pictures without a license")):
        if names:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            _LOG.warning("%s: %s: %d (%s)", rights.path, what, len(names), printable(shown))


def _linear_notes(sources: Sequence[Source]) -> tuple[str, ...]:
    """A note on pictures that ``linear`` does not affect; an error if it has no effect at all."""
    codes = [source for source in sources if not source.is_linear]
    if not codes:
        return ()
    of = f"{len(codes)} of {len(sources)} pictures" if sources[1:] else "the picture"
    one = len(codes) == 1
    shown = f"{of} ({min(source.name for source in codes)}{'' if one else ', ...'}) {'has' if one else 'have'} 8 bits"
    if not any(source.bit_depth == 16 for source in sources):
        raise InvalidValueError(
            (Argument("linear", True), f" changes nothing here: {shown}, and none has 16."),
            why="8-bit pictures hold display codes; 8 bits are too few for light.",
            fix=("Leave ", Argument("linear", True), " out, or give the 16-bit pictures of the raw converter."),
            field="linear",
            value=True,
        )
    taken = "is read as display codes" if one else "are read as display codes"
    return (f"{shown} and {taken}: only 16-bit pictures can be linear.",)


def _profile_notes(sources: Sequence[Source]) -> tuple[str, ...]:
    """A note on color profiles and gammas in the pictures that are not applied."""
    stated = [source for source in sources if source.icc_profile]
    if not stated:
        return ()
    names = sorted({source.icc_profile for source in stated})
    shown = ", ".join(repr(name) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    one = len(stated) == 1
    return (
        f"{len(stated)} of {len(sources)} pictures ({min(source.name for source in stated)}{'' if one else ', ...'}) "
        f"{'states' if one else 'state'} a color profile or gamma other than sRGB ({shown}), which is not applied.",
    )


def share_of_memory(workers: int) -> int:
    """Memory limit for one picture: all pictures decoded at the same time share half of this machine's memory."""
    memory = memory_bytes()
    if memory is None:
        return LARGEST_DECODED_BYTES
    return min(LARGEST_DECODED_BYTES, memory // (2 * workers))


def size_text(height: int, width: int) -> str:
    """The size of a picture in readable form.

    >>> size_text(768, 512)
    '512 x 768 px (width x height)'
    """
    return f"{width} x {height} px (width x height)"


def reasons(skipped: Sequence[Skipped], most: int = 3) -> str:
    """The first few reasons as text."""
    text = "; ".join(f"{s.name}: {s.why}" for s in skipped[:most])
    return text + (f"; and {len(skipped) - most} more" if len(skipped) > most else "")


class _Maps:
    """The depth or label maps of a folder, matched by the names of the pictures."""

    def __init__(self, what: str, place: Path, suffixes: Sequence[str], named: Sequence[str], *, several: bool) -> None:
        self.what, self._suffixes, self._several = what, suffixes, several
        self.left_out: tuple[tuple[Path, str], ...] = ()
        if place.is_file():
            if len(named) > 1:
                raise InvalidValueError(
                    (Argument(what), f" is one file, {place}, for {len(named)} pictures."),
                    fix="Give the folder of the maps.",
                    field=what,
                    value=place,
                )
            self.folder = place.resolve().parent
            self._only: str | None = name_of(Path(place.resolve().name))
            return
        if not place.is_dir():
            raise PictureError(f"{place}: there is no such folder of {what} maps.", fix="Check the path.")
        self.folder, self._only = place.resolve(), None
        inside = walk(self.folder, suffixes)
        self.left_out = inside.left_out
        self._by_path, self._by_stem = ByName[str](), ByName[str]()
        for file in inside.files:
            self._by_path.add(name_of(file.with_suffix("")), name_of(file))
            self._by_stem.add(name_of(Path(file.stem)), name_of(file))
        self._stems: dict[str, int] = {}
        for name in named:
            stem = _stem(name)
            self._stems[stem] = self._stems.get(stem, 0) + 1

    def of(self, name: str) -> str:
        """The map of a picture; raises PictureError with the reason if there is none."""
        if self._only is not None:
            return self._only
        whole = Path(name).with_suffix("").as_posix()
        # With several folders of pictures, names begin with the folder's name, which the maps need not repeat.
        for key in (whole, whole.partition("/")[2]) if self._several else (whole,):
            if found := self._by_path.find(key):
                return self._one(found)
        stem = _stem(name)
        found = self._by_stem.find(stem)
        if not found:
            raise PictureError(f"there is no {self.what} map {stem} ({', '.join(self._suffixes)}).")
        if self._stems[stem] > 1:
            raise PictureError(
                f"several pictures are called {stem}, and no {self.what} map is in a folder named like this one's."
            )
        return self._one(found)

    def _one(self, found: list[str]) -> str:
        if len(found) > 1:
            raise PictureError(f"it has several possible {self.what} maps: {', '.join(sorted(found))}.")
        return found[0]


def _stem(name: str) -> str:
    return Path(name).stem


@dataclass(frozen=True)
class _Look:
    """The checks that every picture must pass."""

    size_px: int
    maps: Mapping[str, _Maps]
    depth_format: DepthFormat | None
    linear: bool
    downscale: int
    most_bytes: int
    rights: Licenses | None
    listed: Mapping[str, Listed]
    hashed: bool
    min_source_px: int
    min_source_detail: float | None
    hashes: dict[str, int] = field(default_factory=dict)  # perceptual, by sha256
    missing: list[MissingExtraError] = field(default_factory=list)  # packages that some pictures need


def _examine(name: str, pictures: SourcePictures, look: _Look) -> Source | Skipped:
    try:
        picture = pictures.at(name)
        info = picture.header(look.most_bytes)
        size, downscale = look.size_px, look.downscale
        if min(info.height, info.width) < size * downscale:
            least = f"{size} px" if downscale == 1 else f"{size * downscale} px, {size} px at 1/{downscale}"
            return _skipped(name, f"{size_text(info.height, info.width)} is smaller than {least}")
        if min(info.height, info.width) < look.min_source_px:
            return _skipped(
                name, f"{size_text(info.height, info.width)} is smaller than min_source_px, {look.min_source_px} px"
            )
        digest = picture.sha256()
        light = info.encoding is Encoding.LINEAR
        pixels = picture.pixels(light=light)
        if pixels.shape[:2] != (info.height, info.width):
            return _skipped(name, "its header and its pixels disagree in size")
        depth = 8 * pixels.dtype.itemsize
        encoding = str(Encoding.LINEAR) if light or (look.linear and depth == 16) else ""
        if (enough := look.min_source_detail) is not None:
            detail = sharpest_detail(pixels, Encoding(encoding or Encoding.DISPLAY), enough=enough)
            if detail < enough:
                return _skipped(name, f"its sharpest part has a detail of {detail:.1f}, less than {enough:g}")
        if look.hashed:
            look.hashes[digest] = perceptual_hash(pixels)
        rights = look.rights.of(name) if look.rights else Rights()
        rights = rights.or_else(look.listed[name].rights) if name in look.listed else rights
        rights = rights.or_else(picture.rights())
        original, original_sha256 = picture.original()
        source = Source(
            name, digest, info.height, info.width, depth, rights.license or info.license, info.icc_profile,
            encoding=encoding, attribution=rights.attribution, url=rights.url, original=original,
            original_sha256=original_sha256,
        )  # fmt: skip
        for known in look.maps.values():
            source = _with_map(source, known, look.depth_format)
        return source
    except StoreError:
        raise  # it says nothing about the picture
    except MissingExtraError as error:
        look.missing.append(error)
        return _skipped(name, str(error).rstrip("."))
    except BlursynthError as error:
        return _skipped(name, error.what.rstrip("."))
    except OSError as error:
        return _skipped(name, f"cannot be read ({error.strerror})")
    except MemoryError:
        return _skipped(name, "there is not enough memory to decode it")


def _skipped(name: str, why: str) -> Skipped:
    return Skipped(name, printable(why))  # libraries may quote file contents


def _with_map(source: Source, maps: _Maps, form: DepthFormat | None) -> Source:
    """The source with its map, which is read in full, since only then is it known to be usable."""
    relative = maps.of(source.name)
    path = maps.folder / path_of(relative)
    digest = file_sha256(path)
    size = source.height, source.width
    try:
        if maps.what == "labels":
            read_labels(path, size_px=size)
            return replace(source, labels=relative, labels_sha256=digest)
        read_depth_map(path, form, size_px=size)
        return replace(source, depth=relative, depth_sha256=digest)
    except PictureError as error:
        raise PictureError(f"its {maps.what} map {relative}: {error.what}") from None


def _named(
    given: Sequence[str | Path],
) -> tuple[list[str], dict[str, str], list[tuple[str, Inside]], dict[Place, PictureArray]]:
    """Sorted names of all pictures, the folders that the names are relative to, what is in these, and opened arrays.

    The contents come with the prefix of their file names.
    """
    folders: list[tuple[Place, Sequence[str]]] = []
    files: list[Path] = []
    looked: list[tuple[Path, Inside]] = []
    arrays: dict[Place, PictureArray] = {}
    unusable: list[tuple[str, Inside]] = []

    def add_array(place: Place) -> None:
        """All pictures of a data set, or of a zarr array."""
        try:
            array = PictureArray(place)
        except StoreError:
            raise  # it says nothing about the array
        except BlursynthError as error:
            why = error.what.removeprefix(f"{place}: ").rstrip(".")
            unusable.append(("", Inside(Path(), (), ((Path(place.name), why),))))
            return
        arrays[place] = array
        folders.append((place, [array.name(index) for index in range(len(array))]))

    def add(path: Path) -> None:
        """A file, all that is in a folder, or all members of a container."""
        if holds_array(path):
            add_array(path)
        elif path.is_dir() or path.suffix.lower() in CONTAINER_SUFFIXES:
            inside = (walk_with_containers if path.is_dir() else walk_into)(path, PICTURE_SUFFIXES)
            files.extend(inside.paths)
            looked.append((inside.root, inside))
        else:
            files.append(path)

    for entry in given:
        path = as_place(entry)
        if holds_array(path):
            add_array(path.resolve() if isinstance(path, Path) else path)
        elif not isinstance(path, Path):
            fix = "Check the name; pictures in object storage are given by a list of their URLs, a .urls file."
            raise PictureError(f"{entry}: there is no data set and no zarr array.", fix=fix)
        elif path.is_dir():
            inside = walk_with_containers(path.resolve(), PICTURE_SUFFIXES)
            folders.append((inside.root, inside.names))
            looked.append((inside.root, inside))
        elif path.is_file() and path.suffix.lower() == ".txt":
            for listed in _listed(path):
                add(listed)
        elif exists(path):
            add(path.resolve())
        elif (found := matches(entry)) is not None:
            if not found:
                raise PictureError(f"{entry}: no file matches.", fix="Quote the pattern and check the path.")
            for match in found:
                if match.is_dir() or match.suffix.lower() in (*PICTURE_SUFFIXES, *PACKED_SUFFIXES):
                    add(match.resolve())
        else:
            raise PictureError(f"{entry}: there is no such file or folder.", fix="Check the path.")
    if files:
        common = Path(os.path.commonpath([_folder_of(p) for p in files]))
        folders.append((common, [file.relative_to(common).as_posix() for file in files]))
    groups: dict[Place, set[str]] = {}
    for place, names in folders:
        groups.setdefault(place, set()).update(map(name_of, names))
    if len(groups) == 1 and isinstance(only := next(iter(groups)), Path) and not arrays:
        # In folders matched by a pattern, names of files begin with that of the folder.
        contents = [(_beginning(folder, only), inside) for folder, inside in looked]
        return sorted(groups[only]), {"": str(only)}, contents + unusable, arrays
    named, roots, labels = list[str](), dict[str, str](), dict[Place, str]()
    for folder, inside_it in groups.items():
        base = name_of(Path(folder.name)) or "root"
        label, number = base, 2
        while label in roots:
            label, number = f"{base}-{number}", number + 1
        roots[label], labels[folder] = str(folder), label
        named += [f"{label}/{name}" for name in inside_it]
    contents = [(f"{labels.get(f, name_of(Path(f.name)))}/", inside) for f, inside in looked]
    return sorted(named), roots, contents + unusable, arrays


def _folder_of(file: Path) -> Path:
    inside = split(file)
    return inside[0].parent if inside else file.parent


def _beginning(folder: Path, root: Path) -> str:
    if folder == root or root not in folder.parents:
        return ""
    return f"{name_of(folder.relative_to(root))}/"


def _listed(path: Path) -> list[Path]:
    lines = read_text(path, error=PictureError, fix="A list has one path per line.").splitlines()
    entries = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not entries:
        raise PictureError(f"{path}: the list is empty.", fix="Write one path per line.")
    # A name that is not UTF-8 is written in a list as in a record.
    named = [path.parent / expanded(e) for e in entries]
    paths = [(p if exists(p) else path.parent / path_of(e)).resolve() for e, p in zip(entries, named, strict=True)]
    for number, (entry, p) in enumerate(zip(entries, paths, strict=True), 1):
        if not exists(p):
            raise PictureError(f"{path}: entry {number}, {entry!r}: there is no such file.", fix="Correct the list.")
    return paths
