"""Where the members of a .tar file lie, read from its headers alone."""

from __future__ import annotations

import errno
import hashlib
import os
import tarfile
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from blursynth.errors import PictureError

__all__ = ["TarIndex", "TarListing", "read_tar"]

LARGEST_HEADER_BYTES = 1 << 20  # of extended headers, which hold long names

_BLOCK = 512  # of a tar
_PADDING = 64 * 1024  # zeros that programs write behind the end marker: 10,240 bytes as a rule
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_WITHOUT_DATA = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)
_COMPRESSED = (
    (b"\x1f\x8b", "gzip", "gunzip"), (b"BZh", "bzip2", "bunzip2"), (b"\xfd7zXZ", "xz", "unxz"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
)  # fmt: skip
_KINDS = {
    tarfile.LNKTYPE: "a link, which is not followed", tarfile.SYMTYPE: "a link, which is not followed",
    tarfile.FIFOTYPE: "a pipe (FIFO)", tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device",
}  # fmt: skip


@dataclass
class TarListing:
    places: dict[str, tuple[int, int]] = field(default_factory=dict)  # name: (offset of its bytes, their number)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def read_tar(container: Path) -> TarListing:
    """Read all headers of a tar: ustar, GNU and pax.

    Every step leads forward in the file and no header is larger than a limit, so that the work is bounded by the size
    of the file, whatever sizes it states. Of members with one name the last counts, as when a tar is extracted.
    """
    listing, size = TarListing(), os.stat(container).st_size
    with container.open("rb", buffering=0) as file:
        at, extended = 0, dict[str, str]()
        while True:
            file.seek(at)
            block = file.read(_BLOCK)
            if not at and (wrong := _not_a_tar(block)):
                raise PictureError(wrong[0], fix=wrong[1], place=str(container))
            if not block:
                listing.left_out.append(("", "it has no end marker, so members may be missing"))
                break
            if not any(block):
                if size - at > _PADDING:
                    behind = f"{size - at:,} bytes behind its end marker are not read (a concatenated tar?)"
                    listing.left_out.append(("", behind))
                break
            try:
                header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
                if header.size < 0:
                    raise tarfile.HeaderError("negative size")
                header, data, sparse = _extended(file, header, at + _BLOCK, extended)
            except (tarfile.HeaderError, ValueError) as error:
                why = f"it is damaged at byte {at:,} ({error}); members behind are not read"
                listing.left_out.append(("", why))
                break
            after = data + (0 if header.type in _WITHOUT_DATA else -(-header.size // _BLOCK) * _BLOCK)
            if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME):
                at = after
                continue
            if header.type not in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK, tarfile.DIRTYPE):
                _add(listing, header, data, size, sparse=sparse)
            if header.type != tarfile.GNUTYPE_LONGLINK:
                extended.clear()
            if data + header.size > size and after > data:
                break
            at = after
    return listing


def _not_a_tar(block: bytes) -> tuple[str, str] | None:
    """What is wrong with a file that begins like this, and what to do."""
    if not block:
        return "is empty (0 bytes).", "Copy it again from the original, or leave it out."
    for magic, kind, program in _COMPRESSED:
        if block.startswith(magic):
            return (
                f"is compressed ({kind}), so its members cannot be read one by one.",
                f"Decompress it once ({program}); pictures in it are compressed already.",
            )
    try:
        if any(block):
            tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return "is not a tar, or damaged at its beginning.", "Copy it again from the original, or leave it out."
    return None


def _extended(
    file: BinaryIO, header: tarfile.TarInfo, data: int, extended: dict[str, str]
) -> tuple[tarfile.TarInfo, int, bool]:
    """A header with what extended headers before it say, where its data begin, and whether the file is sparse.

    The content of an extended header is added to ``extended``.
    """
    if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        if header.size > LARGEST_HEADER_BYTES:
            raise ValueError(f"an extended header of {header.size:,} bytes")
        file.seek(data)
        content = file.read(header.size)
        if header.type == tarfile.GNUTYPE_LONGNAME:
            extended["path"] = content.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        else:
            extended.update(_pax_records(content))
    elif header.type not in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
        header.name = extended.get("GNU.sparse.name", extended.get("path", header.name))
        if "size" in extended:
            if not extended["size"].isascii() or not extended["size"].isdigit() or len(extended["size"]) > 18:
                raise ValueError("a size that is no number")
            header.size = int(extended["size"])
    sparse = header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in extended)
    if header.type == tarfile.GNUTYPE_SPARSE:  # more blocks with its holes may follow the header
        file.seek(data - _BLOCK)
        more = file.read(_BLOCK)[482]
        while more:
            file.seek(data)
            block = file.read(_BLOCK)
            if len(block) < _BLOCK:
                raise ValueError("a sparse file that is cut off")
            data, more = data + _BLOCK, block[504]
    return header, data, sparse


def _pax_records(content: bytes) -> Iterator[tuple[str, str]]:
    """The records ``LENGTH KEY=VALUE\\n`` of an extended header, LENGTH counting all of it."""
    at = 0
    while at < len(content) and content[at] != 0:
        digits, _, _ = content[at : at + 20].partition(b" ")
        if not digits.isdigit() or not len(digits) + 2 < int(digits) <= len(content) - at:
            raise ValueError("an extended header that is damaged")
        key, equals, value = content[at + len(digits) + 1 : at + int(digits) - 1].partition(b"=")
        if not equals:
            raise ValueError("an extended header that is damaged")
        yield key.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
        at += int(digits)


def _add(listing: TarListing, header: tarfile.TarInfo, data: int, end: int, *, sparse: bool) -> None:
    path = PurePosixPath(header.name)
    name = path.as_posix()
    why = ""
    if path.is_absolute() or ".." in path.parts or name == "." or "\0" in name:
        why = "its name leads out of the tar"
    elif sparse:
        why = "a sparse file, which is not read"
    elif header.type not in _REGULAR:
        why = _KINDS.get(header.type, f"a member of the unknown type {header.type!r}")
    elif data + header.size > end:
        why = "it is cut off: the tar ends within it"
    elif name in listing.places:
        listing.left_out.append((name, "a later member has the same name"))
    if why:
        listing.left_out.append((name, why))
    else:
        listing.places[name] = data, header.size


@dataclass(frozen=True)
class TarIndex:
    """Where the members of a tar lie: 24 bytes for each, sorted by a hash of the name."""

    keys: array[int]
    offsets: array[int]
    sizes: array[int]

    @staticmethod
    def of(places: dict[str, tuple[int, int]]) -> TarIndex:
        found = sorted((_key(name), at, size) for name, (at, size) in places.items())
        columns = zip(*found, strict=True) if found else ((), (), ())
        keys, offsets, sizes = (array("Q", column) for column in columns)
        return TarIndex(keys, offsets, sizes)

    def find(self, container: Path, name: str) -> tuple[int, int]:
        key = _key(name)
        number = bisect_left(self.keys, key)
        if number == len(self.keys) or self.keys[number] != key:
            raise FileNotFoundError(errno.ENOENT, "there is no such member", str(container / name))
        return self.offsets[number], self.sizes[number]


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")
