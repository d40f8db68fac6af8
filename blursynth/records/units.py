"""The units in the suffixes of field names, in readable form.

>>> split_unit("length_px")
('length', 'px')
>>> split_unit("exposure_fraction")
('exposure fraction', '')
>>> quantity("full_well_e", 5230.4)
'full well 5,230 e-'
"""

from __future__ import annotations

__all__ = ["UNITS", "number", "quantity", "split_unit"]

UNITS = {
    "dn_per_e": "DN/e-",
    "e_per_s": "e-/s",
    "px": "px",
    "deg": "deg",
    "mrad": "mrad",
    "rad": "rad",
    "hz": "Hz",
    "dn": "DN",
    "nm": "nm",
    "um": "um",
    "mm": "mm",
    "m": "m",
    "s": "s",
    "e": "e-",
}
"""Suffix of a name -> unit; longer suffixes come first."""


def split_unit(name: str) -> tuple[str, str]:
    """Words and unit of a field's name; the unit is empty for counts, ratios and strings."""
    for ending, unit in UNITS.items():
        if name.endswith(f"_{ending}"):
            return name.removesuffix(f"_{ending}").replace("_", " "), unit
    return name.replace("_", " "), ""


def number(value: object) -> str:
    """A value with at most three to four digits.

    >>> number(0.012345), number(23.456), number(12345.6), number(True), number("420")
    ('0.0123', '23.5', '12,346', 'yes', '420')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**9 else f"{value:.3e}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
    if value is None:
        return "by default"
    text = str(value)
    return f"{text[:15]}..." if text.startswith("sha256:") else text


def quantity(name: str, value: object) -> str:
    """A field with its value and unit."""
    label, unit = split_unit(name)
    if unit == "deg":
        return f"{label} {number(value)}°"
    return f"{label} {number(value)} {unit}".rstrip()
