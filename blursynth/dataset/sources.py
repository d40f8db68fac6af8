"""The sharp pictures that a data set is made of: found, checked, hashed and put in order."""

from __future__ import annotations

import glob
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blursynth.dataset.progress import OnProgress, Progress
from blursynth.errors import BlursynthError, InvalidValueError, PictureError
from blursynth.io import SUFFIXES, file_sha256, peek, read_codes

__all__ = ["Scan", "Skipped", "Source", "scan_sources"]


@dataclass(frozen=True)
class Source:
    """One sharp picture. ``name`` is relative to where the sources were given, with forward slashes."""

    name: str
    sha256: str
    height: int
    width: int
    bit_depth: int
    licence: str
    icc_profile: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


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
        Folder on this machine for each first part of the names ("" when all lie in one).
    """

    usable: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    duplicates: tuple[Skipped, ...]
    roots: dict[str, str]

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
    size_px
        Smaller pictures are skipped.
    workers
        Threads that decode; by default the number of cores.

    Raises
    ------
    PictureError
        A given path does not exist, or nothing usable is left; the message says why inputs were skipped.

    Notes
    -----
    Every picture is decoded in full, because a file that is cut off has a sound header: the set of usable sources must
    be known before the first sample is drawn.
    """
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    if not given:
        raise InvalidValueError("sources is empty.", fix="Give a folder, a glob, a picture or a list of these.")
    named, roots = _named(given)
    if not named:
        raise PictureError(
            f"No pictures in {', '.join(str(g) for g in given)}.", fix=f"Known formats: {', '.join(SUFFIXES)}."
        )
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
            for done, found in enumerate(pool.map(lambda item: _examine(item[0], item[1], size_px), items), 1):
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
            fix="Check the pictures, or ask for smaller crops.",
        )
    ordered = tuple(first[key] for key in sorted(first))
    return Scan(ordered, tuple(skipped), tuple(duplicates), roots)


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


def _examine(name: str, path: Path, size_px: int) -> Source | Skipped:
    try:
        info = peek(path)
        if min(info.height, info.width) < size_px:
            return Skipped(name, f"{info.height} x {info.width} px is smaller than {size_px} px")
        digest = file_sha256(path)
        codes = read_codes(path)
        if codes.shape[:2] != (info.height, info.width):
            return Skipped(name, "its header and its pixels disagree in size")
        depth = 16 if codes.dtype.itemsize == 2 else 8
        return Source(name, digest, info.height, info.width, depth, info.licence, info.icc_profile)
    except BlursynthError as error:
        return Skipped(name, error.what.removeprefix(f"{path}: ").rstrip("."))
    except OSError as error:
        return Skipped(name, f"cannot be read ({error.strerror})")


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
            files += [p for p in matches if p.is_file() and p.suffix.lower() in SUFFIXES]
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
        found += [Path(parent, f) for f in files if not f.startswith(".") and Path(f).suffix.lower() in SUFFIXES]
    return found


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise PictureError(f"{path}: is not a text file in UTF-8.", fix="A list has one path per line.") from None
    entries = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not entries:
        raise PictureError(f"{path}: the list is empty.", fix="Write one path per line.")
    paths = [(path.parent / e).resolve() for e in entries]
    for number, (entry, p) in enumerate(zip(entries, paths, strict=True), 1):
        if not p.exists():
            raise PictureError(f"{path}: entry {number}, {entry!r}: there is no such file.", fix="Mend the list.")
    return paths
