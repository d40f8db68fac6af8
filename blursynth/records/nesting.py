"""The nesting depth of lists and tables in a file. Deeper nesting than people write would overflow the stack."""

from __future__ import annotations

from typing import Any

__all__ = ["MOST_LEVELS", "is_too_deep"]

MOST_LEVELS = 64


def is_too_deep(value: Any) -> bool:
    """Whether a value of JSON or TOML has more than :data:`MOST_LEVELS` levels.

    >>> is_too_deep({"step": [{"length_px": {"uniform": [4.0, 40.0]}}]})
    False
    """
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
