"""The sharp pictures that a data set is made of: found, checked, hashed and put in order."""

from __future__ import annotations

import glob
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from blursynth.dataset.progress import OnProgress, Progress
from blursynth.depth import DEPTH_SUFFIXES, LABEL_SUFFIXES, DepthFormat, read_depth_map, read_labels
from blursynth.errors import BlursynthError, InvalidValueError, MissingExtraError, PictureError
from blursynth.frame import Encoding
from blursynth.io import PICTURE_SUFFIXES, file_sha256, peek, read_codes, read_light
from blursynth.resolution import check_factor
from blursynth.toml import read_text

__all__ = ["DEPTH_ROOT", "LABELS_ROOT", "Scan", "Skipped", "Source", "scan_sources"]

# Keys of the folders of maps among the roots; no first part of a picture's name begins with a slash.
DEPTH_ROOT, LABELS_ROOT = "/depth", "/labels"


@dataclass(frozen=True)
class Source:
    """One sharp picture. ``name`` is relative to where the sources were given, with forward slashes.

    ``depth`` and ``labels`` are its maps, relative to their folders; empty where there is none. ``encoding`` is
    ``"linear"`` for sources of light, whose numbers have no response curve; empty for pictures of a display.
    """

    name: str
    sha256: str
    height: int
    width: int
    bit_depth: int
    licence: str
    icc_profile: str
    depth: str = ""
    depth_sha256: str = ""
    labels: str = ""
    labels_sha256: str = ""
    encoding: str = ""

    @property
    def is_light(self) -> bool:
        """Whether its numbers are light and not codes of a display."""
        return self.encoding == Encoding.LINEAR

    def to_dict(self) -> dict[str, Any]:
        """As in ``dataset.json``, without the maps that it does not have and the encoding that all once had."""
        optional = ("depth", "depth_sha256", "labels", "labels_sha256", "encoding")
        return {name: value for name, value in asdict(self).items() if value or name not in optional}


@dataclass(frozen=True)
class Skipped:
    """An input that is not used, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Scan:
    """What was found.

    Parameters
    ----------
    usable
        In the order that samples choose from: by content hash, so that neither names nor places of the files matter.
    skipped
        Inputs that cannot be used.
    duplicates
        Inputs whose content another one has; each content is used once.
    roots
        Folder on this machine for each first part of the names ("" when all lie in one), and those of the maps.
    depth_format
        What the numbers of the depth maps mean; None without depth maps.
    downscale
        By how much the pictures are made smaller before anything else; 1 for not at all.
    notes
        What to know about the sources that are used.
    """

    usable: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    duplicates: tuple[Skipped, ...]
    roots: dict[str, str]
    depth_format: DepthFormat | None = None
    downscale: int = 1
    notes: tuple[str, ...] = ()

    def path(self, source: Source) -> Path:
        return source_path(source.name, self.roots)


def source_path(name: str, roots: dict[str, str]) -> Path:
    if "" in roots:
        return Path(roots[""], name)
    first, _, rest = name.partition("/")
    if first not in roots:
        raise PictureError(f"{name}: it is not known where this source lies.", fix="Give the folder of the sources.")
    return Path(roots[first], rest)


def scan_sources(
    sources: str | Path | Iterable[str | Path],
    *,
    depth: str | Path | None = None,
    depth_format: DepthFormat | None = None,
    labels: str | Path | None = None,
    linear: bool = False,
    downscale: int = 1,
    size_px: int = 1,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> Scan:
    """Find the pictures, decode each once, and list what can be used.

    Parameters
    ----------
    sources
        Folders (searched with their sub-folders), globs, picture files, ``.txt`` files with one path per line (``#``
        begins a comment; paths are relative to the list), or several of these.
    depth
        Folder of the pictures' depth maps, searched with its sub-folders, or one file for one picture. The map of
        ``street/a.jpg`` is ``street/a.npy`` (or another known format), or the only ``a.npy`` there is. Pictures without
        a map that can be used are skipped. A map must have the shape of the picture as its EXIF orientation turns it.
    depth_format
        What the numbers of the depth maps mean; by default metres.
    labels
        Folder of label maps (which object each pixel shows, 0 = none), or one file; as ``depth``.
    linear
        Whether the numbers of 16-bit pictures are light, as raw converters write them on request. Radiance .hdr,
        OpenEXR and floating-point TIFF always are.
    downscale
        1 to 8: by how much pictures and maps are made smaller first, in linear light (:func:`blursynth.downscale`);
        2 to 4 for photographs that are noisy or were JPEG'd.
    size_px
        Pictures that are smaller (after that) are skipped.
    workers
        Threads that decode; by default the number of cores.

    Raises
    ------
    PictureError
        A given path does not exist, or nothing usable is left; the message says why inputs were skipped.
    InvalidValueError
        ``linear`` is given and no picture has 16 bits.

    Notes
    -----
    Every picture is decoded in full, because a file that is cut off has a sound header: the set of usable sources must
    be known before the first sample is drawn.
    """
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    check_factor(downscale, name="downscale", least=1)
    if not given:
        raise InvalidValueError("sources is empty.", fix="Give a folder, a glob, a picture or a list of these.")
    if depth is None and depth_format is not None:
        raise InvalidValueError("depth_format is given without depth.", fix="Give the folder of the depth maps, too.")
    named, roots = _named(given)
    if not named:
        raise PictureError(
            f"No pictures in {', '.join(str(g) for g in given)}.", fix=f"Known formats: {', '.join(PICTURE_SUFFIXES)}."
        )
    form = None if depth is None else depth_format or DepthFormat()
    maps = {}
    for key, place, suffixes in ((DEPTH_ROOT, depth, DEPTH_SUFFIXES), (LABELS_ROOT, labels, LABEL_SUFFIXES)):
        if place is not None:
            maps[key] = _Maps(key.removeprefix("/"), Path(place).expanduser(), suffixes, named, several="" not in roots)
            roots[key] = str(maps[key].folder)
    usable: list[Source] = []
    skipped: list[Skipped] = []
    items = sorted(named.items())
    last = 0.0
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=workers or available_cores()) as pool:
        # read_codes mutes Pillow with a switch of the whole process; muted around all threads, and restored after
        # the last one, it cannot be left in a wrong position by two of them.
        warnings.simplefilter("ignore")
        try:
            # PIL and hashlib let go of the interpreter's lock, so threads decode in parallel.
            for done, found in enumerate(
                pool.map(lambda item: _examine(item[0], item[1], size_px, maps, form, linear, downscale), items), 1
            ):
                if isinstance(found, Source):
                    usable.append(found)
                else:
                    skipped.append(found)
                if on_progress is not None and (done == len(items) or time.monotonic() - last > 0.1):
                    last = time.monotonic()
                    on_progress(Progress("scan", done, len(items), skipped=tuple((s.name, s.why) for s in skipped)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    first: dict[str, Source] = {}
    duplicates = []
    for source in usable:  # by name, so the name that is kept does not depend on the order of threads
        if source.sha256 in first:
            duplicates.append(Skipped(source.name, f"same content as {first[source.sha256].name}"))
        else:
            first[source.sha256] = source
    if not first:
        raise PictureError(
            f"None of the {len(items)} inputs can be used: {reasons(skipped)}.",
            fix="Check the pictures, or ask for smaller crops."
            if not maps
            else "Check the pictures and their maps; read_depth and read_labels of one file say how to mend it.",
        )
    ordered = tuple(first[key] for key in sorted(first))
    notes = _linear_notes(ordered) if linear else ()
    return Scan(ordered, tuple(skipped), tuple(duplicates), roots, form, downscale, notes)


def _linear_notes(sources: Sequence[Source]) -> tuple[str, ...]:
    """What ``linear`` leaves as it is; an error where it would change nothing."""
    codes = [source for source in sources if not source.is_light]
    if not codes:
        return ()
    of = f"{len(codes)} of {len(sources)} pictures" if sources[1:] else "the picture"
    one = len(codes) == 1
    shown = f"{of} ({min(source.name for source in codes)}{'' if one else ', ...'}) {'has' if one else 'have'} 8 bits"
    if not any(source.bit_depth == 16 for source in sources):
        raise InvalidValueError(
            f"linear=True changes nothing here: {shown}, and none has 16.",
            why="8 bits are codes of a display: too few for light.",
            fix="Leave linear=True out, or give the 16-bit pictures of the raw converter.",
        )
    taken = "is taken as codes" if one else "are taken as codes"
    return (f"{shown} and {taken} of a display: linear=True is for pictures of 16 bits.",)


def size_text(height: int, width: int) -> str:
    """The size of a picture as people read it.

    >>> size_text(768, 512)
    '512 x 768 px (width x height)'
    """
    return f"{width} x {height} px (width x height)"


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not offered by every system
        return os.cpu_count() or 1


def reasons(skipped: Sequence[Skipped], most: int = 3) -> str:
    """The first few reasons in words."""
    text = "; ".join(f"{s.name}: {s.why}" for s in skipped[:most])
    return text + (f"; and {len(skipped) - most} more" if len(skipped) > most else "")


class _Maps:
    """The depth or label maps of a folder, found by the names of the pictures."""

    def __init__(
        self, what: str, place: Path, suffixes: Sequence[str], named: dict[str, Path], *, several: bool
    ) -> None:
        self.what, self._suffixes, self._several = what, suffixes, several
        if place.is_file():
            if len(named) > 1:
                raise InvalidValueError(
                    f"{what} is one file, {place}, for {len(named)} pictures.", fix="Give the folder of the maps."
                )
            self.folder = place.resolve().parent
            self._only: str | None = place.resolve().name
            return
        if not place.is_dir():
            raise PictureError(f"{place}: there is no such folder of {what} maps.", fix="Check the path.")
        self.folder, self._only = place.resolve(), None
        self._by_path: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for parent, names, files in os.walk(self.folder):
            names[:] = sorted(n for n in names if not n.startswith("."))
            for file in sorted(files):
                if Path(file).suffix.lower() in suffixes and not file.startswith("."):
                    found = Path(parent, file).relative_to(self.folder)
                    self._by_path.setdefault(found.with_suffix("").as_posix(), []).append(found.as_posix())
                    self._by_stem.setdefault(found.stem, []).append(found.as_posix())
        self._stems: dict[str, int] = {}
        for name in named:
            stem = Path(name).stem
            self._stems[stem] = self._stems.get(stem, 0) + 1

    def of(self, name: str) -> str:
        """The map of a picture; PictureError says why there is none."""
        if self._only is not None:
            return self._only
        whole = Path(name).with_suffix("").as_posix()
        # Of several folders of pictures the first part of a name is the folder's, which the maps need not repeat.
        for key in (whole, whole.partition("/")[2]) if self._several else (whole,):
            if key in self._by_path:
                return self._one(self._by_path[key])
        stem = Path(name).stem
        if stem not in self._by_stem:
            raise PictureError(f"there is no {self.what} map {stem} ({', '.join(self._suffixes)}).")
        if self._stems[stem] > 1:
            raise PictureError(
                f"several pictures are called {stem}, and no {self.what} map lies in a folder of this one's name."
            )
        return self._one(self._by_stem[stem])

    def _one(self, found: list[str]) -> str:
        if len(found) > 1:
            raise PictureError(f"which of its {self.what} maps is meant is not clear: {', '.join(sorted(found))}.")
        return found[0]


def _examine(
    name: str,
    path: Path,
    size_px: int,
    maps: dict[str, _Maps],
    form: DepthFormat | None,
    linear: bool,
    downscale: int,
) -> Source | Skipped:
    try:
        info = peek(path)
        if min(info.height, info.width) < size_px * downscale:
            least = f"{size_px} px" if downscale == 1 else f"{size_px * downscale} px, {size_px} px at 1/{downscale}"
            return Skipped(name, f"{size_text(info.height, info.width)} is smaller than {least}")
        digest = file_sha256(path)
        light = info.encoding is Encoding.LINEAR
        pixels: NDArray[Any] = read_light(path) if light else read_codes(path)
        if pixels.shape[:2] != (info.height, info.width):
            return Skipped(name, "its header and its pixels disagree in size")
        depth = 8 * pixels.dtype.itemsize
        encoding = str(Encoding.LINEAR) if light or (linear and depth == 16) else ""
        source = Source(name, digest, info.height, info.width, depth, info.licence, info.icc_profile, encoding=encoding)
        for known in maps.values():
            source = _with_map(source, known, form)
        return source
    except MissingExtraError:
        raise  # the same for all of them
    except BlursynthError as error:
        return Skipped(name, error.what.removeprefix(f"{path}: ").rstrip("."))
    except OSError as error:
        return Skipped(name, f"cannot be read ({error.strerror})")


def _with_map(source: Source, maps: _Maps, form: DepthFormat | None) -> Source:
    """The source with its map, which is read in full, since only then is it known to be of use."""
    relative = maps.of(source.name)
    path = maps.folder / relative
    digest = file_sha256(path)
    size = source.height, source.width
    try:
        if maps.what == "labels":
            read_labels(path, size_px=size)
            return replace(source, labels=relative, labels_sha256=digest)
        read_depth_map(path, form, size_px=size)
        return replace(source, depth=relative, depth_sha256=digest)
    except PictureError as error:
        raise PictureError(f"its {maps.what} map {relative}: {error.what.removeprefix(f'{path}: ')}") from None


def _named(given: Sequence[str | Path]) -> tuple[dict[str, Path], dict[str, str]]:
    """Names and paths of all pictures, and the folders that the names are relative to."""
    folders: list[tuple[Path, list[Path]]] = []
    files: list[Path] = []
    for entry in given:
        path = Path(entry).expanduser()
        if path.is_dir():
            folders.append((path.resolve(), _pictures(path.resolve())))
        elif path.is_file() and path.suffix.lower() == ".txt":
            files += _listed(path)
        elif path.exists():
            files.append(path.resolve())
        elif glob.has_magic(str(entry)):
            matches = [Path(p).resolve() for p in glob.glob(str(path), recursive=True)]
            if not matches:
                raise PictureError(f"{entry}: no file matches.", fix="Quote the pattern and check the path.")
            files += [p for p in matches if p.is_file() and p.suffix.lower() in PICTURE_SUFFIXES]
            for folder in (p for p in matches if p.is_dir()):
                files += _pictures(folder)
        else:
            raise PictureError(f"{entry}: there is no such file or folder.", fix="Check the path.")
    if files:
        common = Path(os.path.commonpath([p.parent for p in files]))
        folders.append((common, files))
    groups: dict[Path, list[Path]] = {}
    for folder, paths in folders:
        groups.setdefault(folder, []).extend(paths)
    if len(groups) == 1:
        (only,) = groups
        return {p.relative_to(only).as_posix(): p for p in groups[only]}, {"": str(only)}
    named: dict[str, Path] = {}
    roots: dict[str, str] = {}
    for folder, paths in groups.items():
        label, number = folder.name or "root", 2
        while label in roots:
            label, number = f"{folder.name}-{number}", number + 1
        roots[label] = str(folder)
        named.update({f"{label}/{p.relative_to(folder).as_posix()}": p for p in paths})
    return named, roots


def _pictures(folder: Path) -> list[Path]:
    found = []
    for parent, names, files in os.walk(folder):
        names[:] = sorted(n for n in names if not n.startswith("."))
        found += [
            Path(parent, f) for f in files if not f.startswith(".") and Path(f).suffix.lower() in PICTURE_SUFFIXES
        ]
    return found


def _listed(path: Path) -> list[Path]:
    lines = read_text(path, error=PictureError, fix="A list has one path per line.").splitlines()
    entries = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not entries:
        raise PictureError(f"{path}: the list is empty.", fix="Write one path per line.")
    paths = [(path.parent / e).resolve() for e in entries]
    for number, (entry, p) in enumerate(zip(entries, paths, strict=True), 1):
        if not p.exists():
            raise PictureError(f"{path}: entry {number}, {entry!r}: there is no such file.", fix="Mend the list.")
    return paths
