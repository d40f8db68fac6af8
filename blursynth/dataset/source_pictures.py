"""Where the sharp pictures of a data set are read: files, members of containers, and samples of arrays.

``pairs/000012`` is sharp picture 12 of the data set ``pairs``, and ``pictures.zarr/000012`` that of a plain zarr array.
Their bytes are those of the pixels, ``[H, W, 3]``, so that their sha256 is what the record of the sample states.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from blursynth.dataset.licenses import Rights, rights_in_container, rights_of
from blursynth.dataset.zarr_pictures import MOST_PICTURES, ZarrPictures
from blursynth.errors import PictureError
from blursynth.frame import Encoding
from blursynth.io.decoders import PictureInfo, check_bytes
from blursynth.io.folders import as_place
from blursynth.io.hdr import checked_light
from blursynth.io.object_store import Place
from blursynth.io.pictures import file_sha256, read_header, read_light, read_pixels
from blursynth.records.text import path_of, printable

if TYPE_CHECKING:
    from blursynth.dataset.reader import Dataset
    from blursynth.dataset.sources import Source

__all__ = ["PictureArray", "PictureFile", "SamplePicture", "SourcePicture", "SourcePictures", "holds_array"]


@dataclass(frozen=True)
class PictureFile:
    """A picture file, or a member of a .tar or .parquet file."""

    path: Path

    def header(self, most_bytes: int) -> PictureInfo:
        """Size, type and license, if decoding it takes no more memory than ``most_bytes``."""
        return read_header(self.path, most_bytes=most_bytes)

    def sha256(self) -> str:
        """Of the bytes of the file."""
        return file_sha256(self.path)

    def pixels(self, *, light: bool) -> NDArray[Any]:
        """``[H, W, 3]``: codes, or the light of a file of floats."""
        return read_light(self.path) if light else read_pixels(self.path)

    def rights(self) -> Rights:
        """What the container states about it."""
        return rights_in_container(self.path)

    def original(self) -> tuple[str, str]:
        """Name and sha256 of the picture that it is a part of; empty, since files are originals."""
        return "", ""

    def __str__(self) -> str:
        return str(self.path)


class PictureArray:
    """The sharp pictures of a data set, or those of a plain zarr array.

    Raises
    ------
    PictureError, DatasetError
        It is damaged, not finished, or of a kind that is not read.
    """

    def __init__(self, place: Place) -> None:
        from blursynth.dataset.reader import Dataset  # its description is made of sources

        self.place = place
        self.pairs: Dataset | None = None
        self.sources: dict[str, Source] = {}  # of a data set, by sha256
        if (place / "dataset.json").is_file():
            self.pairs = Dataset(place, (), allow_unfinished=False)
            self.sources = {source.sha256: source for source in self.pairs.spec.sources}
        elif (place.parent / "dataset.json").is_file():
            raise PictureError(
                "is an array of a data set, which alone does not say whose pictures they are.",
                fix=f"Give the data set, {place.parent}: its sharp pictures are taken.",
                place=str(place),
            )
        else:
            self.plain = ZarrPictures(place)
        if len(self) > MOST_PICTURES:
            raise PictureError(
                f"states {len(self):,} pictures, where at most {MOST_PICTURES:,} are possible.",
                why="A small file can state any number of them.",
                place=str(place),
            )

    def __len__(self) -> int:
        return len(self.plain if self.pairs is None else self.pairs)

    def name(self, index: int) -> str:
        """The last part of the name of a picture; names are in the order of numbers."""
        return f"{index:06d}"

    def info(self) -> PictureInfo:
        """Size and type of every picture."""
        if self.pairs is None:
            of = self.plain
            height, width, dtype, needed = of.height, of.width, of.dtype, of.decoded_bytes
        else:
            sharp = next(array for array in self.pairs.spec.arrays if array.name == "sharp")
            height, width, dtype, needed = *sharp.shape[:2], np.dtype(sharp.dtype), 2 * sharp.nbytes
        encoding = Encoding.LINEAR if dtype.kind == "f" else Encoding.DISPLAY
        return PictureInfo(height, width, "RGB", 8 * dtype.itemsize, "", "", encoding, needed)


@dataclass(frozen=True)
class SamplePicture:
    """One picture of an array, which is decoded once."""

    array: PictureArray
    index: int

    def header(self, most_bytes: int) -> PictureInfo:
        """As of :class:`PictureFile`."""
        info = self.array.info()
        check_bytes(self.place, info.decoded_bytes, most_bytes)
        return info

    def sha256(self) -> str:
        """Of the pixels as they are stored."""
        return hashlib.sha256(self._stored.data).hexdigest()

    def pixels(self, *, light: bool) -> NDArray[Any]:
        """As of :class:`PictureFile`."""
        if light is not (self._stored.dtype.kind == "f"):
            raise PictureError(f"holds {self._stored.dtype} now.", place=str(self))
        return checked_light(self._stored.copy(), str(self)) if light else self._stored

    def rights(self) -> Rights:
        """Those of the picture that it was cut from, else the license of its data set; or what a plain array states."""
        pairs = self.array.pairs
        try:
            if pairs is None:
                return rights_of(self.array.plain.attributes)
            return rights_of(self._source.provenance).or_else(rights_of({"license": pairs.spec.license}))
        except ValueError as error:
            raise PictureError(f"what is stated about it is not usable ({error}).", place=str(self)) from None

    def original(self) -> tuple[str, str]:
        """Name and sha256 of the picture that it was cut from, through any number of data sets."""
        if self.array.pairs is None:
            return "", ""
        return printable(self._source.original or self._source.name), self._source.photograph_sha256

    @cached_property
    def _stored(self) -> NDArray[Any]:
        pairs = self.array.pairs
        if pairs is None:
            return self.array.plain.read(self.index)
        pixels: NDArray[Any] = pairs.array("sharp", [self.index], threads=1)[0]
        return pixels

    @cached_property
    def _source(self) -> Source:
        pairs = self.array.pairs
        assert pairs is not None
        record = pairs.record(self.index)
        if record["sha256"].get("sharp") != self.sha256() or record["source_sha256"] not in self.array.sources:
            raise PictureError("is not the picture of its record.", place=str(self))
        return self.array.sources[record["source_sha256"]]

    @property
    def place(self) -> Place:
        """Its name."""
        return self.array.place / self.array.name(self.index)

    def __str__(self) -> str:
        return str(self.place)


SourcePicture: TypeAlias = PictureFile | SamplePicture


def holds_array(place: Place) -> bool:
    """Whether a folder is a data set of this library, or a zarr 3 array or group."""
    about = place / "zarr.json"
    return os.path.isfile(about) if isinstance(about, Path) else about.is_file()


class SourcePictures:
    """The pictures below some folders, by their names.

    Parameters
    ----------
    roots
        Folder or URL for each first part of the names, "" if it is one for all.
    arrays
        Arrays that are open already, by their places.
    """

    def __init__(self, roots: Mapping[str, str], arrays: Mapping[Place, PictureArray] | None = None) -> None:
        self._roots = dict(roots)
        self._arrays: dict[Place, PictureArray | None] = dict(arrays or {})

    def at(self, name: str) -> SourcePicture:
        """The picture of a source; it is not read yet.

        Raises
        ------
        PictureError, DatasetError
            Where it lies is not known, or the array that it is in cannot be read.
        """
        place = located(name, self._roots)
        if place.name.isdecimal():
            folder = place.parent
            if folder not in self._arrays:
                self._arrays[folder] = PictureArray(folder) if holds_array(folder) else None
            array = self._arrays[folder]
            if array is not None:
                if int(place.name) >= len(array) or array.name(int(place.name)) != place.name:
                    raise PictureError(f"there is no such picture among {len(array):,}.", place=str(place))
                return SamplePicture(array, int(place.name))
        if not isinstance(place, Path):
            raise PictureError("there is no such data set or array.", fix="Check the name.", place=str(place))
        return PictureFile(place)


def located(name: str, roots: Mapping[str, str]) -> Place:
    """Where the file, or the sample, of this name lies."""
    first, _, rest = ("", "", name) if "" in roots else name.partition("/")
    if first not in roots:
        raise PictureError(f"{name}: the location of this source is not known.", fix="Give the folder of the sources.")
    root = as_place(roots[first])
    return root / path_of(rest) if isinstance(root, Path) else root / rest
