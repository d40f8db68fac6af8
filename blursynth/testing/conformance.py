"""The contract of a degradation, checked on one example of it."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np

from blursynth.core import Degradation, Draw, ShortExposure
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame, Intrinsics, RawMetadata
from blursynth.physics.mosaic import color_sites, mosaic_code

__all__ = ["check_degradation", "pictures"]


def pictures(
    encoding: Encoding | None = Encoding.LINEAR,
    *,
    batch: int = 2,
    channels: int = 3,
    size_px: tuple[int, int] = (37, 42),
    seed: int = 0,
    dtype: Any = np.float32,
    origin_px: tuple[int, int] = (0, 0),
    mosaic: str | None = None,
) -> Frame:
    """Smooth random pictures with edges, bright and dark, of the given encoding.

    Each has depth (a slanted plane, 1.5 to 4 m away, and a disk before it, 0.4 to 0.6 m away), labels (1 on the disk)
    and a camera of 4.2 mm and 1.4 um, with which a turn by 1 mrad moves the picture by 3 px. A RAW frame may have a
    ``mosaic``, and then has colors to be undone.
    """
    rng = np.random.default_rng(seed)
    height, width = size_px
    rows, columns = np.mgrid[:height, :width]
    image = np.empty((batch, channels, height, width), dtype)
    for b in range(batch):
        for c in range(channels):
            phase = rng.uniform(0, 6, 4)
            wave = np.sin(rows / 5 + phase[0]) * np.cos(columns / (6 + phase[1]) + phase[2])
            edge = (rows + columns * (c + 1) / 3 > rng.uniform(10, 50)) * 0.35
            image[b, c] = np.clip(0.35 + 0.25 * wave + edge + rng.uniform(-0.03, 0.03, (height, width)), 0, 1)
    levels = None
    if encoding is Encoding.DISPLAY:
        image = (np.rint(image * 255) / 255).astype(dtype)
    if encoding is Encoding.RAW:
        image = np.rint(64 + 900 * image).astype(dtype)
        levels = RawMetadata(np.full(batch, 64.0), np.full(batch, 964.0))
        if mosaic is not None:  # what the pixels would see through their filters, with a color cast
            sites = color_sites(mosaic_code(mosaic), origin_px, size_px)
            image = np.take_along_axis(image, np.broadcast_to(sites, (batch, 1, *size_px)), axis=1)
            matrix = [[1.5, -0.4, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.5, 1.5]]
            levels = RawMetadata(
                levels.black_dn, levels.white_dn, (mosaic,) * batch, np.array([2.0, 1.0, 1.6]), np.array(matrix)
            )
    # The noise above is drawn first, so that the pictures stay what they were without depth.
    labels = np.empty((batch, height, width), np.int32)
    depth_m = np.empty((batch, height, width), dtype)
    for b in range(batch):
        middle = rng.uniform(0.35, 0.65, 2) * size_px
        labels[b] = np.hypot(rows - middle[0], columns - middle[1]) < min(size_px) / 5
        plane = 1.5 + 1.5 * rows / height + columns / width
        depth_m[b] = np.where(labels[b] == 1, rng.uniform(0.4, 0.6), plane)
    return Frame(
        image,
        encoding or Encoding.LINEAR,
        depth_m=depth_m,
        labels=labels,
        camera=(Intrinsics(focal_length_mm=4.2, pixel_pitch_um=1.4),) * batch,
        origin_px=np.array(origin_px, np.int64),
        raw=levels,
    )


def check_degradation(
    example: Degradation, *, identity: Degradation | None = None, frame: Frame | None = None, tolerance: float = 1e-6
) -> None:
    """Raise AssertionError where an example of a kind breaks the contract of degradations.

    JSON round trip; unknown fields refused; replay to the bit; the input not changed; shape and dtype kept; float64
    and float32 agree; a batch equals its pictures one by one; a window, of which it sees as much around it as
    ``reach_px`` says, equals the same window of the whole; every field changes the output; the target keeps the
    encodings and reaches no further; a short exposure keeps the encodings and the shape. Depth, labels and camera count
    as output, too; a kind that sets them (``sets_geometry``) leaves every pixel as it is, and so do its target and its
    short exposure.

    Parameters
    ----------
    example
        A record whose effect on ``frame`` is visible.
    identity
        A record of the same kind that must leave the frame unchanged (within ``tolerance``), if the kind has one.
    frame
        Two or more pictures; by default :func:`pictures` in the encoding that the kind takes.
    """
    kind = type(example)
    frame = pictures(kind.takes) if frame is None else frame
    record = json.loads(json.dumps(example.to_dict(), allow_nan=False))
    assert Degradation.from_dict(record, (kind,)) == example, "JSON round trip"
    draw = Draw((("step", example),))
    assert Draw.from_dict(json.loads(json.dumps(draw.to_dict(), allow_nan=False)), (kind,)) == draw, (
        "JSON round trip of a draw"
    )
    _check_unknown_field(example)

    before = {name: values.copy() for name, values in _arrays(frame).items()}
    result = example(frame)
    assert _equal(_arrays(frame), before), "the input was changed"
    assert _equal(_arrays(example(frame)), _arrays(result)), "replay differs"
    assert result.image.dtype == frame.image.dtype, "the dtype was changed"
    assert (len(result), result.size_px) == (len(frame), frame.size_px), "the shape was changed"
    if Encoding.RAW not in (kind.takes, kind.gives):  # a mosaic has one channel
        assert result.channels == frame.channels, "the number of channels was changed"
    assert result.encoding is (kind.gives or frame.encoding), "it gives another encoding than it declares"
    assert np.isfinite(result.image).all(), "the result is not finite"
    target = example.target()
    assert (type(target).gives or frame.encoding) is result.encoding or type(target).takes is None, "target's encoding"
    reach, of_target = example.reach_px(frame), target.reach_px(frame)
    assert reach is None or (of_target is not None and of_target <= reach), "the target reaches further than the step"

    for exposure in (ShortExposure(), ShortExposure(fraction=0.3, noise=0.5)):
        short = example.short_exposure(exposure)
        given = type(short).gives
        assert (given or frame.encoding) is result.encoding or type(short).takes is None, "short exposure's encoding"
        assert Degradation.from_dict(short.to_dict(), (kind, type(short))) == short, (
            "JSON round trip of a short exposure"
        )
        assert short(frame).size_px == frame.size_px, "a short exposure changes the shape"
        assert not kind.sets_geometry or short == example, "a short exposure must have the same geometry"

    if kind.sets_geometry:
        assert np.array_equal(result.image, frame.image), "a step that sets geometry changes pixels"
        assert target == example, "the target must have the same geometry"

    one_by_one = Frame.stack([example(frame[b]) for b in range(len(frame))])
    assert _equal(_arrays(one_by_one), _arrays(result)), "a batch differs from its pictures one by one"
    assert one_by_one.camera == result.camera, "a batch's cameras differ from its pictures' one by one"
    _check_window(example, frame, result)
    _check_fields(example, frame, result)
    if identity is not None:
        assert type(identity) is kind
        difference = np.abs(identity(frame).image - frame.image).max()
        assert difference <= tolerance, f"the identity changes the frame by {difference}"


def _arrays(frame: Frame) -> dict[str, Any]:
    """Everything that a step may change and that has a value per pixel."""
    arrays = {"image": frame.image, "depth_m": frame.depth_m, "labels": frame.labels}
    return {name: values for name, values in arrays.items() if values is not None}


def _equal(some: dict[str, Any], others: dict[str, Any]) -> bool:
    return set(some) == set(others) and all(np.array_equal(some[name], others[name]) for name in some)


def _check_unknown_field(example: Degradation) -> None:
    try:
        type(example)(**{**example.fields(), "no_such_field": 1})
    except InvalidValueError as error:
        if "no_such_field" not in str(error):
            raise AssertionError("the message does not name the unknown field") from None
    else:
        raise AssertionError("an unknown field was accepted")


def _check_window(example: Degradation, frame: Frame, whole: Frame) -> None:
    draw = Draw((("step", example),))
    height, width = frame.size_px
    for top, left in ((0, 0), (height // 3, width // 3), (height - 5, width - 4)):
        window = (top, left, 5, 4)
        parts, wholes = _arrays(draw(frame, window=window)), _arrays(whole)
        assert set(parts) == set(wholes), "a window has another geometry than the whole"
        for name, expected in _arrays(whole.crop(*window)).items():
            scale = float(np.abs(wholes[name]).max())
            assert np.abs(parts[name] - expected).max() <= 1e-6 * scale, f"{name} of a window differs from the whole"


def _check_fields(example: Degradation, frame: Frame, result: Frame) -> None:
    """Check that every field has an effect."""
    for name in type(example).model_fields:
        for value in other_values(example, name):
            try:
                changed = example.replace(**{name: value})(frame)
            except InvalidValueError:
                continue  # not every trial value lies in the field's range
            levels = (changed.raw, result.raw)
            if (
                not _equal(_arrays(changed), _arrays(result))
                or changed.camera != result.camera
                or (None not in levels and not np.array_equal(levels[0].white_dn, levels[1].white_dn))  # type: ignore[union-attr]
            ):
                break
        else:
            raise AssertionError(f"{type(example).__name__}.{name} changes nothing")


def other_values(example: Degradation, name: str) -> Iterator[Any]:
    value = getattr(example, name)
    annotation = type(example).model_fields[name].annotation
    choices = [a for a in (annotation, *typing.get_args(annotation)) if typing.get_origin(a) is typing.Literal]
    if choices:
        yield from (option for option in typing.get_args(choices[0]) if option != value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value * 2, value // 2)
    elif isinstance(value, float) or value is None:
        start = value or 0.0
        yield from (start * 1.5, start / 2, start + 0.1, start - 0.1, start + 1.0, 0.5, 20.0, 500.0, 5000.0)
        if value is None:
            yield from (1, 2, 20)
    elif isinstance(value, str):
        from blursynth.io import assets

        shape = assets.get(value).shape
        changed = assets.get(value) * np.linspace(1.0, 2.0, shape[-1])
        yield assets.register(changed)
