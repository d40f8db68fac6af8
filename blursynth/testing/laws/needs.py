"""When a law applies: each gives None, or the reason why not."""

from __future__ import annotations

from collections.abc import Callable

from blursynth.testing.adapter import Adapter

__all__ = ["all_of", "claim", "convolves", "exact", "linear"]

Need = Callable[[Adapter], str | None]


def claim(name: str) -> Need:
    """The adapter has a value in this field."""

    def need(adapter: Adapter) -> str | None:
        value = getattr(adapter, name)
        return (
            f"Adapter.{name} is not given"
            if value is None or value is False or (isinstance(value, tuple) and not value)
            else None
        )

    return need


def exact(adapter: Adapter) -> str | None:
    """Its result has no noise."""
    return "the blur adds noise" if adapter.noise is not None else None


def linear(adapter: Adapter) -> str | None:
    """It is a linear operator, up to rounding."""
    if adapter.jpeg is not None:
        return "a codec is not linear"
    if not adapter.linear:
        return "Adapter.linear is False"
    return exact(adapter)


def same_size_of_channels(adapter: Adapter) -> str | None:
    """Its result has the channels of its picture."""
    return "the result is a mosaic" if adapter.mosaic is not None else None


def convolves(adapter: Adapter) -> str | None:
    """It is one convolution, at least where the distance is constant."""
    if adapter.varies or adapter.row_shift_px is not None:
        return "the blur varies over the picture"
    return linear(adapter) or same_size_of_channels(adapter)


def all_of(*needs: Need) -> Need:
    """All of them; the first reason counts."""

    def need(adapter: Adapter) -> str | None:
        return next((reason for one in needs if (reason := one(adapter)) is not None), None)

    return need
