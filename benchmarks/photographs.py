"""Fetch the openly licensed photographs of ``datasets/photographs/list.tsv``: ``make photographs``.

They come in packages of Debian, which ``apt-get download`` fetches and ``dpkg-deb`` unpacks without installing them;
packages that are in the folder ``packages`` already are not fetched again. Each photograph is checked by its sha256.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "datasets" / "photographs" / "list.tsv"
RELEASE = "Debian 12 (bookworm)"


def photographs() -> list[dict[str, str]]:
    """The lines of the list, by the names of its columns."""
    lines = LIST.read_text("utf-8").removeprefix("# ").splitlines()
    return list(csv.DictReader(lines, delimiter="\t"))


def main(out: Path) -> None:
    listed = photographs()
    packages = out / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    for package in sorted({one["package"] for one in listed}):
        if not list(packages.glob(f"{package}_*.deb")):
            fetched = subprocess.run(["apt-get", "download", package], cwd=packages, check=False)
            if fetched.returncode:
                sys.exit(f"{package}: cannot be fetched. Put the .deb file of {RELEASE} into {packages} and try again.")
        (deb,) = packages.glob(f"{package}_*.deb")
        unpacked = packages / package
        shutil.rmtree(unpacked, ignore_errors=True)
        subprocess.run(["dpkg-deb", "--extract", str(deb), str(unpacked)], check=True)
        for one in (one for one in listed if one["package"] == package):
            source = unpacked / one["path"]
            if not source.is_file() or hashlib.sha256(source.read_bytes()).hexdigest() != one["sha256"]:
                sys.exit(
                    f"{one['path']}: is not in {deb.name} as listed. The list is that of {RELEASE}; other releases may "
                    f"hold other files. Put its .deb file into {packages} and try again."
                )
            target = out / one["kind"] / f"{one['name']}{source.suffix}"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
        shutil.rmtree(unpacked)
    print(f"{out}: {len(listed)} photographs, as {LIST.relative_to(ROOT)} lists them with their licenses and authors")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "photographs"))
