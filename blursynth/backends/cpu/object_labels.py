"""Random objects, from near to far and row by row, in numba.

An ellipse or a polygon meets a row in one or several spans, which follow from its outline; of a blob, pixels are looked
at as far apart as the outline is away, at least. What is painted is covered no more, so a pixel costs about the same
however many objects overlap there. Positions are absolute, so a window shows what the whole shows.
"""

# numba carries no types.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.cpu.compilation import compiled
from blursynth.physics.object_layout import (
    FARTHEST_CORNER,
    LARGEST_REACH,
    LONGEST_ASPECT,
    MOST_CORNERS,
    NEAREST_CORNER,
    WAVE_HEIGHT,
    WAVES,
    ObjectLayout,
)

__all__ = ["object_labels"]

_WAVE_COUNT, _FIRST_WAVE = len(WAVES), WAVES[0]


@compiled
def _fill(line, left, start, end, label):
    """Paint the free pixels of a row whose absolute columns lie within start .. end."""
    for column in range(max(0, math.ceil(start) - left), min(line.size, math.floor(end) - left + 1)):
        if line[column] == 0:
            line[column] = label


@compiled
def _ellipse(labels, rows, top, left, center, radius, numbers, label):
    aspect, angle = LONGEST_ASPECT ** numbers[0], math.pi * numbers[1]
    cosine, sine = math.cos(angle), math.sin(angle)
    # along^2 / aspect + across^2 aspect = 1 as a x^2 + 2 b y x + c y^2 = 1
    a = cosine * cosine / aspect + sine * sine * aspect
    b = sine * cosine * (1.0 / aspect - aspect)
    c = sine * sine / aspect + cosine * cosine * aspect
    for row in range(rows[0], rows[1]):
        y = (row + top - center[0]) / radius
        square = b * b * y * y - a * (c * y * y - 1.0)
        if square >= 0.0:
            half = math.sqrt(square)
            start, end = (-b * y - half) / a, (-b * y + half) / a
            _fill(labels[row], left, center[1] + radius * start, center[1] + radius * end, label)


@compiled
def _polygon(labels, rows, top, left, center, radius, numbers, label):
    corners = 3 + min(int((MOST_CORNERS - 2) * numbers[0]), MOST_CORNERS - 3)
    px, py = np.empty(MOST_CORNERS), np.empty(MOST_CORNERS)
    crossing = np.empty(MOST_CORNERS)
    for i in range(corners):
        angle = 2 * math.pi * (i + 0.6 * (numbers[2 + i] - 0.5)) / corners + 2 * math.pi * numbers[1]
        distance = NEAREST_CORNER + (FARTHEST_CORNER - NEAREST_CORNER) * numbers[10 + i]
        px[i], py[i] = distance * math.cos(angle), distance * math.sin(angle)
    for row in range(rows[0], rows[1]):
        y = (row + top - center[0]) / radius
        count = 0
        for i in range(corners):
            j = i + 1 if i + 1 < corners else 0
            if (py[i] <= y) != (py[j] <= y):
                x = px[i] + (y - py[i]) * (px[j] - px[i]) / (py[j] - py[i])
                place = count  # sorted in
                while place > 0 and crossing[place - 1] > x:
                    crossing[place] = crossing[place - 1]
                    place -= 1
                crossing[place] = x
                count += 1
        for i in range(0, count, 2):
            start, end = center[1] + radius * crossing[i], center[1] + radius * crossing[i + 1]
            _fill(labels[row], left, start, end, label)


@compiled
def _blob(labels, rows, top, left, center, radius, numbers, label):
    real_height, imaginary_height = np.empty(_WAVE_COUNT), np.empty(_WAVE_COUNT)
    total, steepest = 0.0, 0.0
    for i in range(_WAVE_COUNT):
        height, phase = WAVE_HEIGHT / (_FIRST_WAVE + i) * numbers[2 * i], 2 * math.pi * numbers[2 * i + 1]
        real_height[i], imaginary_height[i] = height * math.cos(phase), height * math.sin(phase)
        total += height
        steepest += (_FIRST_WAVE + i) * height  # by angle
    within, around = max(1.0 - total, 0.0), (1.0 + total) ** 2
    for row in range(rows[0], rows[1]):
        y = (row + top - center[0]) / radius
        if y * y > around:
            continue
        line, half = labels[row], radius * math.sqrt(around - y * y)
        column = max(0, math.ceil(center[1] - half) - left)
        end = min(line.size, math.floor(center[1] + half) - left + 1)
        while column < end:
            if line[column] != 0:
                column += 1
                continue
            x = (column + left - center[1]) / radius
            distance = math.sqrt(y * y + x * x)
            way, inside = within - distance, True  # how far it is to another answer, at least
            if way < 0.0:
                # Powers of z = exp(i angle) stand for the angle.
                cosine, sine = x / distance, y / distance
                real, imaginary, outline = cosine, sine, 1.0
                for i in range(_WAVE_COUNT):
                    real, imaginary = real * cosine - imaginary * sine, real * sine + imaginary * cosine
                    outline += real_height[i] * real - imaginary_height[i] * imaginary
                inside = distance <= outline
                # The gradient of their difference, as far as three quarters of the distance from the middle.
                steep = steepest / (0.75 * distance)
                way = min(abs(distance - outline) / math.sqrt(1.0 + steep * steep), 0.25 * distance)
            last = min(column + 1 + int(0.999 * radius * way), end)
            while column < last:
                if inside and line[column] == 0:
                    line[column] = label
                column += 1


@compiled
def _paint(center, radius, shape, numbers, top, left, labels):
    for n in range(radius.size - 1, -1, -1):
        reach = LARGEST_REACH * radius[n]
        first = max(0, math.ceil(center[n, 0] - reach) - top)
        last = min(labels.shape[0] - 1, math.floor(center[n, 0] + reach) - top)
        if first > last or center[n, 1] + reach < left or center[n, 1] - reach > left + labels.shape[1] - 1:
            continue
        rows = (first, last + 1)
        if shape[n] == 0:
            _ellipse(labels, rows, top, left, center[n], radius[n], numbers[n], n + 1)
        elif shape[n] == 1:
            _polygon(labels, rows, top, left, center[n], radius[n], numbers[n], n + 1)
        else:
            _blob(labels, rows, top, left, center[n], radius[n], numbers[n], n + 1)


def object_labels(layout: ObjectLayout, origin_px: tuple[int, int], size_px: tuple[int, int]) -> NDArray[np.int32]:
    """Which object every pixel of a window shows."""
    labels = np.zeros(size_px, np.int32)
    top, left = (int(first) for first in origin_px)
    _paint(layout.center_px, layout.radius_px, layout.shape, layout.numbers, top, left, labels)
    return labels
