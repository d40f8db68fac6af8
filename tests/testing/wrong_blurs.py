"""Wrong blurs, each with one fault that is met in practice, and the law that is meant to see it.

They are variations of few lines of numpy that are right: an explicit sum over the taps of a kernel, with ``numpy.pad``
beyond the edges.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

import blursynth as bs
from blursynth.testing import Adapter, Noise, laws
from blursynth.testing.degradations import adapted
from blursynth.testing.laws.law import Law

Array = NDArray[Any]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Wrong:
    """A wrong blur, the law that must see it, and what it is made of where it is right."""

    name: str
    law: Law
    blur: Function
    adapter: Adapter
    right: Function | None = None
    right_adapter: Adapter | None = None


# An asymmetric kernel whose centroid is its middle: (1, 1) is heavy and near, (-1, -2) and (-1, 0) light and far.
KERNEL = np.zeros((3, 5))
KERNEL[2, 3], KERNEL[0, 1], KERNEL[1, 2], KERNEL[0, 2], KERNEL[2, 1], KERNEL[0, 4] = (
    0.25,
    0.125,
    0.25,
    0.125,
    0.125,
    0.125,
)
KERNEL /= KERNEL.sum()


def convolved(image: Array, kernel: Array, mode: Any = "reflect", axes: tuple[int, int] = (0, 1)) -> Array:
    """``k * x`` of ``[H, W, C]`` by its taps."""
    half = (kernel.shape[0] // 2, kernel.shape[1] // 2)
    pad = [(0, 0)] * image.ndim
    for axis, reach in zip(axes, half, strict=True):
        pad[axis] = (reach, reach)
    grown = np.pad(image.astype(np.float64), pad, mode=mode)
    out = np.zeros(image.shape)
    for (row, column), weight in np.ndenumerate(kernel):
        part = [slice(None)] * image.ndim
        for axis, at, reach in zip(axes, (row, column), half, strict=True):
            start = 2 * reach - at
            part[axis] = slice(start, start + image.shape[axis])
        out += weight * grown[tuple(part)]
    return out.astype(image.dtype) if image.dtype.kind == "f" else out


def right(image: Array) -> Array:
    return convolved(image, KERNEL)


F64 = Adapter(dtype="float64", border="reflect", kernel=KERNEL, centered=False)
CENTERED = np.array([[0.0, 0.1, 0.1], [0.1, 0.4, 0.1], [0.1, 0.1, 0.0]])
MIDDLE = F64.replace(kernel=CENTERED, centered=True)


def centered(image: Array) -> Array:
    return convolved(image, CENTERED)


def srgb_decode(v: Array) -> Array:
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def srgb_encode(v: Array) -> Array:
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * np.maximum(v, 1e-12) ** (1 / 2.4) - 0.055)


def in_light(image: Array) -> Array:
    return srgb_encode(right(srgb_decode(image)))


SRGB = F64.replace(light="srgb", accuracy=1e-7)


# uint8


def rounded(image: Array) -> Array:
    out = convolved(image, KERNEL)
    return out if image.dtype.kind == "f" else np.clip(np.rint(out), 0, 255).astype(np.uint8)


def truncated(image: Array) -> Array:
    out = convolved(image, KERNEL)
    return out if image.dtype.kind == "f" else np.clip(out, 0, 255).astype(np.uint8)


def overflowing(image: Array) -> Array:
    return (1.1 * convolved(image, KERNEL)).astype(np.int64).astype(np.uint8)


ROW, COLUMN = np.array([[0.2, 0.5, 0.3]]), np.array([[0.3], [0.3], [0.4]])


def twice_rounded(image: Array) -> Array:
    out = image
    for kernel in (ROW, COLUMN):
        out = convolved(out, kernel)
        if image.dtype.kind != "f":
            out = np.rint(out).astype(np.uint8)
    return out


U8 = F64.replace(dtype="uint8", other_dtypes=("float32",))


# The program


def stretched(image: Array) -> Array:
    out = right(image)
    return (out - out.min()) / max(np.ptp(out), 1e-9)


def in_place(image: Array) -> Array:
    image[:] = right(image)
    return image


_GENERATOR = np.random.default_rng(3)


def jittered(image: Array) -> Array:
    return right(image) * (1 + 1e-6 * _GENERATOR.normal())


def without_strides(image: Array) -> Array:
    flat = np.frombuffer((image.base if image.base is not None else image).tobytes(), image.dtype)
    return right(flat[: image.size].reshape(image.shape))


def cropped(image: Array) -> Array:
    return right(image)[: image.shape[0] // 2 * 2]


NHWC = F64.replace(layout="NHWC")


def batch(image: Array) -> Array:
    return np.stack([right(one) for one in image])


def of_batch_mean(image: Array) -> Array:
    return batch(image) + 0.01 * (image.mean() - image.mean(axis=(1, 2, 3), keepdims=True))


def torch_blur(mode: str) -> Function:
    """Three taps along the columns, black beyond the edges; ``detached`` has another derivative."""

    def blur(image: Any) -> Any:
        import torch

        grown = torch.nn.functional.pad(image, (1, 1))
        left = grown[..., :-2].detach() if mode == "detached" else grown[..., :-2]
        return 0.5 * image + 0.3 * left + 0.2 * grown[..., 2:]

    return blur


TORCH = Adapter(layout="NCHW", dtype="float64", array="torch", border="constant", derivative=True, centered=False)


# Families


def gaussian(sigma: float) -> Function:
    def blur(image: Array) -> Array:
        return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="mirror", truncate=6) if sigma else image

    return blur


FAMILY = Adapter(dtype="float64", border="reflect", strength=gaussian, gaussian=True, truncate=6.0)


def with_kernel_of(angle_deg: float, sense: float = 1.0) -> Function:
    """A blur along a line that is heavier at its end, in a direction from +x to +y; ``sense`` -1 turns the wrong way."""

    def kernel() -> Array:
        out = np.zeros((7, 7))
        for t in np.linspace(-1, 1, 41):
            x = 3 * t * np.cos(np.radians(angle_deg))
            y = 3 * t * np.sin(sense * np.radians(angle_deg))
            column, row = int(np.floor(x)) + 3, int(np.floor(y)) + 3
            fx, fy = x - np.floor(x), y - np.floor(y)
            for dy, dx, share in (
                (0, 0, (1 - fy) * (1 - fx)),
                (0, 1, (1 - fy) * fx),
                (1, 0, fy * (1 - fx)),
                (1, 1, fy * fx),
            ):
                if share > 0:
                    out[min(row + dy, 6), min(column + dx, 6)] += share * (1.5 + t)
        return out / out.sum()

    return lambda image: convolved(image, kernel())


MIRRORED_DEG = {"left-right": lambda a: 180 - a, "up-down": lambda a: -a, "transposed": lambda a: 90 - a}


def line(sense: float) -> tuple[Function, Adapter]:
    """A blur at 25 degrees, and the same as the world's mirror images have it."""
    made = {mirror: with_kernel_of(turn(25.0), sense) for mirror, turn in MIRRORED_DEG.items()}
    # The turned sense is consistent with itself under mirrors, so the mirrored blur is made by the right one.
    right_ones = {mirror: with_kernel_of(turn(25.0)) for mirror, turn in MIRRORED_DEG.items()}
    del made
    return with_kernel_of(25.0, sense), Adapter(dtype="float64", mirrored=right_ones.__getitem__, centered=False)


# Time: light moves 6 px to the right and 3 down, faster at the end.


def path(t: float) -> tuple[float, float]:
    return 3.0 * t * t - 1.0, 6.0 * t * t - 2.0


def exposed(backwards: bool = False, gap: float = 0.0) -> Callable[[float, float], Function]:
    def make(start: float, end: float) -> Function:
        times = (np.arange(240) + 0.5) / 240
        times = times[(times > start) & (times < end - gap * (end < 1))]
        kernel = np.zeros((11, 15))
        for t in times:
            y, x = path(1 - t if backwards else t)
            row, column = int(np.floor(y)), int(np.floor(x))
            fy, fx = y - row, x - column
            kernel[row + 5, column + 7] += (1 - fy) * (1 - fx)
            kernel[row + 5, column + 8] += (1 - fy) * fx
            kernel[row + 6, column + 7] += fy * (1 - fx)
            kernel[row + 6, column + 8] += fy * fx
        return lambda image: convolved(image, kernel / kernel.sum())

    return make


EXPOSED = Adapter(dtype="float64", border="reflect", centered=False, path_px=path)


def rows_shifted(px_a_row: float) -> Function:
    def blur(image: Array) -> Array:
        middle = (len(image) - 1) / 2
        shifted = [
            ndimage.shift(row, (px_a_row * (r - middle), 0), order=1, mode="nearest") for r, row in enumerate(image)
        ]
        return np.stack(shifted)

    return blur


SHUTTER = Adapter(dtype="float64", row_shift_px=0.25, reach_px=16, smallest_px=2)


# Depth: a box as wide as |1 - focus / z| says, 2 m in focus.


def box(width: int) -> Array:
    return np.full((2 * width + 1, 2 * width + 1), 1.0 / (2 * width + 1) ** 2)


def depth_blur(how: str = "right") -> Function:
    """Two or more layers from the farthest to the nearest, each blurred with its cover; what is hidden is continued.

    Right for walls, and for a patch in focus before a wall of one distance.
    """

    def blur(image: Array, depth_m: Array) -> Array:
        image, depth_m = image.astype(np.float64), np.asarray(depth_m, np.float64)
        if how == "disparity":
            depth_m = 1.0 / depth_m
        if how == "blended":  # each pixel by its own kernel, whatever it takes in
            out = np.zeros(image.shape)
            for distance in np.unique(depth_m):
                out += (depth_m == distance)[..., None] * convolved(image, box(width(distance)), "edge")
            return out
        out = np.zeros(image.shape)
        for distance in np.unique(depth_m)[::-1]:
            cover = (depth_m == distance).astype(np.float64)
            behind = depth_m >= distance
            index = ndimage.distance_transform_edt(~(cover > 0), return_distances=False, return_indices=True)
            color = image[tuple(index)] if distance == depth_m.max() else image * cover[..., None]
            soft = cover if distance < depth_m.max() else np.ones_like(cover)
            del behind
            kernel = box(width(distance))
            light = convolved(color * soft[..., None] if distance < depth_m.max() else color, kernel, "edge")
            share = convolved(soft[..., None], kernel, "edge")
            out = light + (1 - share) * out
            if how == "dark seams" and distance < depth_m.max():
                out = out * (1 - 0.2 * (share < 1) * (share > 0))
        if how == "glow":
            out = 0.9 * out + 0.1 * convolved(image, box(1), "edge")
        if how == "far":
            out = out * np.where(depth_m.max() > 1e7, np.nan, 1.0)
        return out

    def width(distance: float) -> int:
        off = abs(1.0 / distance - 0.5) * 2
        if how == "never sharp":
            return 1 + round(3 * min(off, 1.0))
        if how == "sharp again":
            return round(3 * min(off, 1.0)) if off < 0.6 else 0
        return round(3 * min(off, 1.0))

    return blur


DEPTH = Adapter(dtype="float64", depth="depth_m", focus_distance_m=2.0, reach_px=4, varies=True)


def one_sided(distance_m: float, sense: float = 1.0) -> Array:
    """A line to the right of what is nearer than the focus, and to the left of what is farther: half an aperture."""
    width = round(float(np.clip(sense * (4.0 / distance_m - 2.0), -4, 4)))
    kernel = np.zeros((1, 9))
    kernel[0, 4 : 5 + width] = kernel[0, 4 + min(width, 0) : 5] = 1.0
    return kernel / kernel.sum()


def half_aperture(sense: float) -> Function:
    return lambda image, depth_m: convolved(image, one_sided(float(np.mean(depth_m)), sense))


HALF = Adapter(dtype="float64", depth="depth_m", kernel=one_sided, centered=False, reach_px=5)


# Noise

NOISE = Adapter(dtype="float64", layout="NHWC", seed="seed", noise=Noise(gain=0.01, read_sigma=0.02))


def noisy(how: str = "right") -> Function:
    def blur(image: Array, seed: int) -> Array:
        rng = np.random.default_rng(0 if how == "one seed" else seed)
        mean = np.stack([convolved(one, box(2)) for one in image]) if how != "unblurred" else image
        shot = image if how == "before the blur" else mean
        gain = 0.01 * np.sqrt(0.01) if how == "square" else 0.01
        if how == "constant":
            shot = 0 * shot + 0.5
        sigma = np.sqrt(gain * np.maximum(shot, 0) + 0.02**2)
        shape: tuple[int, ...] = image.shape
        if how == "gray":
            shape = (*image.shape[:-1], 1)
        if how == "same in a batch":
            shape = (1, *image.shape[1:])
        if how == "rows":
            shape = (*image.shape[:2], 1, image.shape[3])
        noise = np.broadcast_to(rng.normal(size=shape), image.shape)
        if how == "brighter":
            noise = np.abs(noise)
        if how == "before the blur":
            return np.stack([convolved(one, box(2)) for one in image + sigma * noise])
        return mean + sigma * noise

    return blur


# Files


def mosaic(pattern: str) -> Function:
    def blur(image: Array) -> Array:
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
        site = np.array(["RGB".index(letter) for letter in pattern])[2 * (rows % 2) + columns % 2]
        return np.take_along_axis(image, site[..., None], axis=2)

    return blur


def jpeg(how: str = "right") -> Callable[[int], Function]:
    def make(quality: int) -> Function:
        def codec(image: Array) -> Array:
            given = np.pad(image, ((3, 0), (5, 0), (0, 0)), mode="edge") if how == "grid" else image
            buffer = io.BytesIO()
            setting = 101 - quality if how == "reversed" else min(quality, 60) if how == "stuck" else quality
            Image.fromarray(given).save(buffer, "JPEG", quality=setting, subsampling=0)
            out = np.asarray(Image.open(buffer))
            return out[3:, 5:] if how == "grid" else out

        return codec

    return make


CODEC = Adapter(dtype="uint8")


def _jpeg(how: str, law: Law) -> Wrong:
    made, good = jpeg(how), jpeg()
    return Wrong(f"JPEG: {how}", law, made(75), CODEC.replace(jpeg=made), good(75), CODEC.replace(jpeg=good))


def _with(change: Callable[[Array], Array]) -> Function:
    return lambda image: change(right(image))


def _adjoint(mode: str, flipped: bool) -> Function:
    """The transpose of :func:`right`, for black borders; otherwise wrong."""
    kernel = KERNEL[::-1, ::-1] if flipped else KERNEL
    return lambda image: convolved(image, kernel, mode)


BLACK = F64.replace(border="constant")
TRANSPOSED = BLACK.replace(adjoint=_adjoint("constant", True))


def black(image: Array) -> Array:
    return convolved(image, KERNEL, "constant")


def _exposure(law: Law, name: str, **how: Any) -> Wrong:
    made, good = exposed(**how), exposed()
    whole = good(0.0, 1.0) if law is laws.exposure_sum else made(0.0, 1.0)
    return Wrong(name, law, whole, EXPOSED.replace(exposure=made), good(0.0, 1.0), EXPOSED.replace(exposure=good))


def _family(law: Law, name: str, strength: Callable[[float], Function]) -> Wrong:
    return Wrong(name, law, strength(2.0), FAMILY.replace(strength=strength), gaussian(2.0), FAMILY)


def _depth(law: Law, name: str, how: str) -> Wrong:
    return Wrong(name, law, depth_blur(how), DEPTH, depth_blur(), DEPTH)


def _noise(law: Law, how: str) -> Wrong:
    return Wrong(f"noise: {how}", law, noisy(how), NOISE, noisy(), NOISE)


DEFOCUS = adapted(bs.kinds.Defocus(f_number=2.0, focus_distance_m=2.0), depth="depth_m", focus_distance_m=2.0)

LINE_WRONG, LINE = line(-1.0), line(1.0)
CUT = KERNEL.copy()
CUT[:, 4] = 0

WRONG: tuple[Wrong, ...] = (
    Wrong("flipped kernel", laws.impulse_response, lambda x: convolved(x, KERNEL[::-1, ::-1]), F64, right),
    Wrong("mirrored kernel", laws.impulse_response, lambda x: convolved(x, KERNEL[:, ::-1]), F64, right),
    Wrong("one pixel off", laws.impulse_response, _with(lambda y: np.roll(y, 1, axis=1)), F64, right),
    Wrong(
        "even kernel",
        laws.centroid,
        lambda x: convolved(x, np.array([[0, 0.5, 0.5]])),
        MIDDLE.replace(kernel=None),
        centered,
    ),
    Wrong(
        "anchor off by one",
        laws.centroid,
        lambda x: np.roll(centered(x), 1, axis=0),
        MIDDLE.replace(kernel=None),
        centered,
    ),
    Wrong("wrap-around", laws.no_wrap_around, lambda x: convolved(x, KERNEL, "wrap"), F64, right),
    Wrong("not normalized", laws.constants, lambda x: 1.02 * right(x), F64, right),
    Wrong("cut off", laws.flux, lambda x: convolved(x, CUT), F64, right),
    Wrong("black border", laws.border, black, F64, right),
    Wrong("repeated edge pixel", laws.border, lambda x: convolved(x, KERNEL, "symmetric"), F64, right),
    Wrong(
        "a gain that rises",
        laws.translation,
        lambda x: right(x) * np.linspace(1, 1.01, x.shape[1])[:, None],
        F64,
        right,
    ),
    Wrong(
        "erosion of dark places", laws.commutation, lambda x: np.where(right(x) < 0.05, 0.9, 1.0) * right(x), F64, right
    ),
    Wrong(
        "median",
        laws.linearity,
        lambda x: ndimage.median_filter(x, (3, 3, 1), mode="mirror"),
        F64.replace(kernel=None),
        right,
    ),
    Wrong("stretched to the full range", laws.linearity, stretched, F64, right),
    Wrong("BGR", laws.channels, lambda x: right(x)[..., ::-1], F64, right),
    Wrong(
        "blurred along channels", laws.channels, lambda x: ndimage.uniform_filter(x, 3), F64.replace(kernel=None), right
    ),
    Wrong("sharpening", laws.positivity, lambda x: 1.5 * x - 0.5 * right(x), F64.replace(kernel=None), right),
    Wrong("sums that overflow", laws.value_range, overflowing, U8, rounded),
    Wrong("truncated", laws.dtypes, truncated, U8, rounded),
    Wrong("rounded twice", laws.dtypes, twice_rounded, U8.replace(kernel=None), rounded),
    Wrong(
        "adjoint not flipped",
        laws.adjoint,
        black,
        BLACK.replace(adjoint=_adjoint("constant", False)),
        black,
        TRANSPOSED,
    ),
    Wrong(
        "adjoint with another border",
        laws.adjoint,
        black,
        BLACK.replace(adjoint=_adjoint("edge", True)),
        black,
        TRANSPOSED,
    ),
    Wrong("encoded values averaged", laws.linear_light, right, SRGB.replace(kernel=None), in_light),
    Wrong(
        "clipped before the blur", laws.saturation, lambda x: right(np.minimum(x, 1)), F64.replace(largest=4.0), right
    ),
    Wrong("an odd row is lost", laws.shapes, cropped, F64, right),
    Wrong("the input is changed", laws.input_unchanged, in_place, F64, right),
    Wrong("a global generator", laws.determinism, jittered, F64, right),
    Wrong("strides ignored", laws.memory_layout, without_strides, F64, right),
    Wrong("statistics of the batch", laws.batches, of_batch_mean, NHWC, batch),
    Wrong("the first picture's blur for all", laws.batches, lambda x: np.stack([right(x[0])] * len(x)), NHWC, batch),
    Wrong("a detached derivative", laws.derivatives, torch_blur("detached"), TORCH, torch_blur("right")),
    Wrong("angles that turn the other way", laws.mirrors, *LINE_WRONG, *LINE),
    _family(laws.semigroup, "a radius for a sigma", lambda s: gaussian(s**0.9)),
    _family(laws.monotonicity, "severities out of order", lambda s: gaussian({0.5: 1.0, 1.0: 0.5}.get(s, s))),
    _family(laws.identity_limit, "never sharp", lambda s: gaussian(max(s, 0.5))),
    _exposure(laws.exposure_sum, "a gap between two frames", gap=0.1),
    _exposure(laws.path_order, "time reversed", backwards=True),
    Wrong("rows from the bottom", laws.row_time, rows_shifted(-0.25), SHUTTER, rows_shifted(0.25)),
    _depth(laws.in_focus, "never sharp", "never sharp"),
    _depth(laws.depth_order, "sharp again far from the focus", "sharp again"),
    _depth(laws.in_focus, "disparity for distance", "disparity"),
    Wrong("near and far exchanged", laws.impulse_response, half_aperture(-1), HALF, half_aperture(1)),
    _depth(laws.far_limit, "NaN in the sky", "far"),
    _depth(laws.occlusion, "the wall's light before it", "glow"),
    _depth(laws.no_glow, "bleeding over edges of depth", "blended"),
    Wrong("dark seams between steps", laws.staircase, depth_blur("dark seams"), DEPTH, *DEFOCUS),
    _noise(laws.photon_transfer, "square"),
    _noise(laws.photon_transfer, "brighter"),
    _noise(laws.photon_transfer, "constant"),
    _noise(laws.whiteness, "rows"),
    _noise(laws.whiteness, "before the blur"),
    _noise(laws.noise_after_blur, "before the blur"),
    _noise(laws.noise_independence, "gray"),
    _noise(laws.noise_independence, "same in a batch"),
    _noise(laws.noise_independence, "one seed"),
    Wrong(
        "Bayer pattern off by one",
        laws.mosaic_phase,
        mosaic("GRBG"),
        F64.replace(kernel=None, border=None, mosaic="RGGB"),
        mosaic("RGGB"),
    ),
    _jpeg("grid", laws.jpeg_of_libjpeg),
    _jpeg("reversed", laws.jpeg_monotonicity),
    _jpeg("reversed", laws.jpeg_of_libjpeg),
    _jpeg("stuck", laws.jpeg_of_libjpeg),
)
