"""Laws of mosaics and files, held against arithmetic and libjpeg."""

from __future__ import annotations

import io

import numpy as np

from blursynth.testing.adapter import Array, Blur, Function
from blursynth.testing.laws.cases import scenes, seen_at
from blursynth.testing.laws.law import Fault, Measurement, law
from blursynth.testing.laws.linear import GAIN
from blursynth.testing.laws.needs import all_of, claim, exact
from blursynth.testing.strategies import images, st

__all__ = ["jpeg_monotonicity", "jpeg_of_libjpeg", "mosaic_phase"]


@law(
    statement="Each pixel sees one color, in the order of the pattern from the upper left corner.",
    looks_like="Green or magenta pictures, checkered edges: a Bayer pattern that is off by one row or column.",
    tolerance="1 error of a call",
    reference="Bayer, US patent 3971065",
    cases=lambda blur: scenes(blur, depth="constant"),
    fault=GAIN,
    needs=all_of(exact, claim("mosaic")),
)
def mosaic_phase(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """The value of the pattern's channel at every pixel."""
    pattern = str(blur.adapter.mosaic)
    rows, columns = np.mgrid[: x.shape[1], : x.shape[2]]
    site = np.array(["RGB".index(letter) for letter in pattern])[2 * (rows % 2) + columns % 2]
    expected = np.take_along_axis(x, site[None], axis=0)
    return Measurement.between(blur(x, **seen_at(depth_m)), expected, blur.accuracy)


def _gray(side: int = 40) -> st.SearchStrategy[Array]:
    size = st.tuples(st.integers(1, side), st.integers(1, side))
    return images(channels=1, size_px=size, kinds=("ramp", "edge", "texture", "noise", "points"))


def _brighter(blur: Blur, size: float) -> Blur:
    """Every quality has the gain."""
    made = blur.adapter.jpeg

    def jpeg(quality: int) -> Function:
        return GAIN.make(blur.other(made(quality)), size).as_function()  # type: ignore[misc]

    return blur.claiming(jpeg=jpeg)


@law(
    statement="A gray picture comes back from the codec as from libjpeg at this quality.",
    looks_like="A quality that means something else than elsewhere, a grid of blocks that begins off the corner, "
    "padding with black at the right and lower borders.",
    tolerance="1 code, for the rounding of other transforms",
    reference="libjpeg through Pillow; ITU-T T.81",
    cases=lambda blur: st.fixed_dictionaries({"x": _gray(), "quality": st.sampled_from((75, 30, 95, 50, 10))}),
    fault=Fault("a gain", "of the value", _brighter),
    needs=all_of(exact, claim("jpeg")),
)
def jpeg_of_libjpeg(blur: Blur, x: Array, quality: int) -> Measurement:
    """Gray has no chroma, so the subsampling of chroma does not matter."""
    made = blur.other(blur.adapter.jpeg(quality))  # type: ignore[misc]
    got = made(np.broadcast_to(x, (blur.adapter.channels, *x.shape[1:])).copy())
    return Measurement.between(got, np.broadcast_to(_libjpeg(x[0], quality), got.shape), 1.01 / 255 + blur.accuracy)


def _libjpeg(gray: Array, quality: int) -> Array:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.rint(gray * 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    return np.asarray(Image.open(buffer), np.float64) / 255


@law(
    statement="A higher quality has a smaller error, on average over a picture.",
    looks_like="A quality slider that is reversed, or that does nothing in part of its range.",
    tolerance="half a code in the root mean square",
    reference="quantization tables scale with the quality: ITU-T T.81, annex K, and libjpeg",
    cases=lambda blur: st.fixed_dictionaries(
        {"x": images(channels=blur.adapter.channels, size_px=(17, 24), kinds=("texture",)), "step": st.integers(0, 2)}
    ),
    fault=Fault(
        "qualities that are pulled towards the opposite end",
        "of their distance",
        lambda blur, size: blur.claiming(
            jpeg=lambda quality: blur.adapter.jpeg(round(quality + size * (105 - 2 * quality)))  # type: ignore[misc]
        ),
    ),
    needs=all_of(exact, claim("jpeg")),
)
def jpeg_monotonicity(blur: Blur, x: Array, step: int) -> Measurement:
    """Two neighbors of 10, 35, 70 and 95."""
    errors = [
        float(np.sqrt(np.mean((blur.other(blur.adapter.jpeg(quality))(x) - x) ** 2)))  # type: ignore[misc]
        for quality in (10, 35, 70, 95)[step : step + 2]
    ]
    return Measurement(errors[1] - errors[0], 0.5 / 255, "of white worse")
