"""Photographs that come with the scikit-image package, split into a training and a held-out part."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from blursynth.errors import InvalidValueError, MissingExtraError, did_you_mean

__all__ = ["BUNDLED", "BUNDLED_PREFIX", "bundled_photographs", "with_bundled"]

BUNDLED_PREFIX = "bundled:"
"""Prefix of their names among the sources: ``bundled:training``, ``bundled:held-out``."""

BUNDLED: dict[str, dict[str, str]] = {
    "training": {
        "astronaut.png": "NASA, public domain",
        "brick.png": "CC0Textures, CC0",
        "camera.png": "Lav Varshney, CC0",
        "coins.png": "Brooklyn Museum, no known copyright restrictions",
        "grass.png": "CC0Textures, CC0",
        "gravel.png": "CC0Textures, CC0",
        "hubble_deep_field.jpg": "NASA, public domain",
        "ihc.png": "Human Protein Atlas, no known copyright restrictions",
        "rocket.jpg": "SpaceX, public domain",
        "text.png": "public domain",
    },
    "held-out": {
        "chelsea.png": "Stefan van der Walt, CC0",
        "coffee.png": "Rachel Michetti, CC0",
    },
}
"""File names and licenses, as stated by scikit-image."""


def bundled_photographs(part: str) -> list[Path]:
    """The files of ``training`` or ``held-out``.

    Raises
    ------
    MissingExtraError
        scikit-image is not installed.
    InvalidValueError
        There is no such part.
    """
    if part not in BUNDLED:
        raise InvalidValueError(
            f"There are no bundled photographs {part!r}.", fix=did_you_mean(part, BUNDLED), field="sources", value=part
        )
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise MissingExtraError(
            "The bundled photographs come with scikit-image, which is not installed.",
            fix="Install it with: pip install scikit-image, or give your own photographs.",
        )
    folder = Path(package.origin).parent / "data"
    return [folder / name for name in BUNDLED[part]]


def with_bundled(sources: Iterable[str | Path]) -> list[str | Path]:
    """Sources in which ``bundled:training`` and ``bundled:held-out`` are replaced by their files."""
    return [
        path
        for source in sources
        for path in (
            bundled_photographs(source.removeprefix(BUNDLED_PREFIX))
            if isinstance(source, str) and source.startswith(BUNDLED_PREFIX)
            else [source]
        )
    ]
