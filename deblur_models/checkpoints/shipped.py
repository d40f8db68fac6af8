"""Networks that ship with the package: a checkpoint in half precision and a model card each, in ``weights/``."""

from __future__ import annotations

from pathlib import Path

from blursynth.errors import InvalidValueError, did_you_mean

__all__ = ["DEFAULT", "model_card", "shipped_names", "shipped_network"]

DEFAULT = "photographs"
"""The network that restores pictures where none is named; the configuration of this name trains it."""

FOLDER = Path(__file__).resolve().parents[1] / "weights"


def shipped_names() -> tuple[str, ...]:
    """Names of the networks that ship, for :func:`deblur_models.load_network`."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))


def shipped_network(name: str = DEFAULT) -> Path:
    """The weights file of a network that ships.

    Raises
    ------
    InvalidValueError
        There is none of this name.
    """
    names = shipped_names()
    if name not in names:
        raise InvalidValueError(
            f"There is no network {name!r} in this installation.",
            fix=did_you_mean(name, names) if names else "Give the path of a checkpoint or a run: none ships with it.",
        )
    return FOLDER / f"{name}.safetensors"


def model_card(name: str = DEFAULT) -> str:
    """The model card of a network that ships, as Markdown: data, recipe, command, figures, limits, license."""
    return shipped_network(name).with_suffix(".md").read_text("utf-8")
