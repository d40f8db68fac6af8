"""Parts of self-contained HTML pages: pictures as data, and small plots as SVG text, without a library."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bars", "lines", "picture"]

Array = NDArray[np.float64]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 420, 240, 52, 40, 26
_COLORS = ("#0b62b8", "#d9730d", "#3b8f4d", "#8a5a9c")


def picture(codes: NDArray[np.uint8], name: str = "", css: str = "") -> str:
    """An ``img`` that holds a picture ``[H, W, 3]`` as PNG; ``name`` and ``css`` are not escaped."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(codes).save(data, "PNG")
    text = base64.b64encode(data.getvalue()).decode()
    size = f'width="{codes.shape[1]}" height="{codes.shape[0]}"'
    kind = f' class="{css}"' if css else ""
    return f'<img{kind} alt="{name}" {size} src="data:image/png;base64,{text}">'


def lines(title: str, x_label: str, y_label: str, curves: Sequence[tuple[str, Array, Array]]) -> str:
    """Curves (name, x, y) on common axes; values that are not finite are left out."""
    kept = [(name, x[np.isfinite(y)], y[np.isfinite(y)]) for name, x, y in curves]
    kept = [curve for curve in kept if len(curve[1])]
    if not kept:
        return f"<p>{html.escape(title)}: nothing was measured.</p>"
    x_low, x_high = _span(np.concatenate([x for _, x, _ in kept]))
    y_low, y_high = _span(np.concatenate([y for _, _, y in kept]))
    parts = []
    for number, (_, x, y) in enumerate(kept):
        points = " ".join(f"{_x(a, x_low, x_high):.1f},{_y(b, y_low, y_high):.1f}" for a, b in zip(x, y, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{_COLORS[number % 4]}" stroke-width="2"/>')
        if len(x) < 15:
            color = f'r="3" fill="{_COLORS[number % 4]}"'
            places = ((_x(a, x_low, x_high), _y(b, y_low, y_high)) for a, b in zip(x, y, strict=True))
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" {color}/>' for a, b in places]
    return _plot(title, x_label, y_label, [name for name, _, _ in kept], parts, (x_low, x_high), (y_low, y_high))


def bars(title: str, x_label: str, names: Sequence[str], groups: Sequence[tuple[str, Array]]) -> str:
    """Shares of named bins, the groups side by side."""
    top = max(1e-9, max(float(values.max()) for _, values in groups))
    wide = (_WIDTH - _LEFT - 10) / len(names)
    each = wide * 0.8 / len(groups)
    parts = []
    for number, (_, values) in enumerate(groups):
        for place, value in enumerate(values):
            high = (_HEIGHT - _BOTTOM - _TOP) * float(value) / top
            left = _LEFT + wide * (place + 0.1) + each * number
            parts.append(
                f'<rect x="{left:.1f}" y="{_HEIGHT - _BOTTOM - high:.1f}" width="{each:.1f}" height="{high:.1f}" '
                f'fill="{_COLORS[number % 4]}"/>'
            )
    every = -(-len(names) // 9)
    for place, name in enumerate(names):
        if place % every == 0:
            middle = _LEFT + wide * (place + 0.5)
            parts.append(
                f'<text x="{middle:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{html.escape(name)}</text>'
            )
    legend = [name for name, _ in groups] if len(groups) > 1 else []
    return _plot(title, x_label, "share", legend, parts, None, (0.0, top))


def _span(values: Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    edge = 0.05 * (high - low) or 0.5
    return low - edge, high + edge


def _x(value: float, low: float, high: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - 10) * (value - low) / (high - low)


def _y(value: float, low: float, high: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * (value - low) / (high - low)


def _plot(
    title: str, x_label: str, y_label: str, names: Sequence[str], parts: Sequence[str],
    x_span: tuple[float, float] | None, y_span: tuple[float, float],
) -> str:  # fmt: skip
    marks = [
        f'<line x1="{_LEFT}" y1="{_HEIGHT - _BOTTOM}" x2="{_WIDTH - 10}" y2="{_HEIGHT - _BOTTOM}" class="axis"/>',
        f'<line x1="{_LEFT}" y1="{_TOP}" x2="{_LEFT}" y2="{_HEIGHT - _BOTTOM}" class="axis"/>',
        f'<text x="{(_WIDTH + _LEFT) / 2:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{html.escape(x_label)}</text>',
        f'<text x="12" y="{_HEIGHT / 2:.0f}" text-anchor="middle" transform="rotate(-90 12 {_HEIGHT / 2:.0f})">'
        f"{html.escape(y_label)}</text>",
    ]
    for share in (0.0, 0.5, 1.0):
        value = y_span[0] + share * (y_span[1] - y_span[0])
        y = _y(value, *y_span)
        marks.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
        if x_span is not None:
            value = x_span[0] + share * (x_span[1] - x_span[0])
            place = f'x="{_x(value, *x_span):.1f}" y="{_HEIGHT - _BOTTOM + 14}"'
            anchor = "end" if share == 1 else "middle"
            marks.append(f'<text {place} text-anchor="{anchor}">{value:.3g}</text>')
    for number, name in enumerate(names):
        left = _LEFT + 8 + 130 * number
        marks.append(f'<rect x="{left}" y="{_TOP - 18}" width="10" height="10" fill="{_COLORS[number % 4]}"/>')
        marks.append(f'<text x="{left + 14}" y="{_TOP - 9}">{html.escape(name)}</text>')
    body = "".join([*parts, *marks])
    return (
        f'<figure class="plot"><figcaption><b>{html.escape(title)}</b></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img">{body}</svg></figure>'
    )
