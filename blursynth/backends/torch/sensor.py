"""Noise and sensor of tensors: the numbers of the CPU's kernels, on shared memory or in Triton.

The derivatives:

- ``gaussian_noise`` and the read, row and column noise of a sensor are added, so the derivative passes them.
- ``poisson`` counts. Its output is a staircase whose steps lie where the seed put them, and a backward pass that
  reaches it stops with an error, rather than with a gradient of zero.
- ``sensor`` offers the derivative of its *mean*: of what the same sensor with its fixed pattern, but without shot
  noise, read noise and rounding, would have given. So a network can be trained through a camera. The derivative of the
  numbers of one exposure is a staircase here too; the mean's is what an average over many exposures follows, wherever
  neither end of the converter is within reach of the noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blursynth.backends.checks import check_count, check_origin, check_seed
from blursynth.backends.torch.operator import in_triton, on_arrays, operator
from blursynth.backends.torch.tensors import as_array, checked_image, sent
from blursynth.errors import InvalidValueError
from blursynth.frame import MOSAICS
from blursynth.physics.mosaic import pattern_colors
from blursynth.physics.radiometry import SensorParameters

__all__ = ["colors_of_pixels", "gaussian_noise", "keys_of", "of_phases", "poisson", "sensor"]

Tensor = torch.Tensor

# Columns of the tensors that carry the parameters of a batch through an operator.
_NUMBERS = (
    "white_level_e", "full_well_e", "read_noise_e", "row_noise_e", "gain_dn_per_e", "black_level_dn",
    "column_noise_e", "read_noise_shape", "dark_e", "prnu", "dsnu_e",
)  # fmt: skip
_WHOLE = ("sensor_seed", "mosaic", "bit_depth", "shot_noise", "rounding")
_BITS_MOST = 24

_SITES = torch.from_numpy(np.stack([pattern_colors(code) for code in range(1, 1 + len(MOSAICS))]))


def keys_of(image: Tensor, seed: NDArray[np.uint64], origin_px: NDArray[np.int64]) -> Tensor:
    """``[B, 3]`` seed (its bits as a signed number), row and column of the first pixel of each picture."""
    # Compilers trace shapes, not values.
    traced, batch = torch.compiler.is_compiling(), image.shape[0]
    seeds, origin = check_seed(seed, batch, traced=traced), check_origin(origin_px, batch, traced=traced)
    return torch.from_numpy(np.concatenate([seeds.astype(np.int64)[:, None], origin], axis=1))


def _unpack_keys(keys: Tensor) -> dict[str, Any]:
    rows = as_array(keys)
    return {"seed": rows[:, 0].astype(np.uint64), "origin_px": np.ascontiguousarray(rows[:, 1:3])}


def _parameters(numbers: Tensor, whole: Tensor) -> SensorParameters:
    many, few = as_array(numbers), as_array(whole)
    values: dict[str, Any] = {name: many[:, i] for i, name in enumerate(_NUMBERS)}
    values |= {name: few[:, i] for i, name in enumerate(_WHOLE)}
    rest = many[:, len(_NUMBERS) :]
    return SensorParameters(**values, from_light=rest[:, :9].reshape(-1, 3, 3), offset_dn=rest[:, 9:])


def _slope(image: Tensor, gradient: Tensor, numbers: Tensor, whole: Tensor, keys: Tensor, mosaicked: bool) -> Tensor:
    """The gradient of the light from that of the mean numbers: the transpose of the mean's derivative."""
    parameters = _parameters(numbers, whole)
    quiet, steady = numbers.clone(), whole.clone()
    for name in ("read_noise_e", "row_noise_e", "column_noise_e"):
        quiet[:, _NUMBERS.index(name)] = 0.0
    for name in ("shot_noise", "rounding"):
        steady[:, _WHOLE.index(name)] = 0
    steady[:, _WHOLE.index("bit_depth")] = _BITS_MOST  # so that the end of the converter is seen from both sides
    mean_dn = _sensor(image.detach(), quiet, steady, keys, mosaicked)

    def each(name: str) -> Tensor:
        values = torch.tensor(getattr(parameters, name), dtype=torch.float64)
        return sent(values, image.device, image.dtype)[:, None, None, None]

    response, matrix, sites = image.detach(), None, None
    if parameters.has_colors:
        matrix = sent(torch.tensor(parameters.from_light), image.device, image.dtype)
        response = torch.einsum("bij,bjhw->bihw", matrix, response)
    if mosaicked:
        codes = whole[:, _WHOLE.index("mosaic")]
        sites = colors_of_pixels(codes, keys[:, 1:3], (image.shape[2], image.shape[3]), image.device)
        response = response.gather(1, sites)
    factor = each("gain_dn_per_e") * each("white_level_e")
    electrons = response * each("white_level_e")
    if parameters.prnu.any():
        pattern = _fixed_gain(response, parameters, keys)
        factor, electrons = factor * pattern, electrons * pattern
    held = (response >= 0) & (electrons + each("dark_e") <= each("full_well_e"))
    measured = (mean_dn > 0) & (mean_dn <= each("top_dn"))
    back = torch.where(held & measured, gradient * factor, 0.0)
    if sites is not None:
        back = torch.zeros_like(image).scatter_(1, sites, back)
    return back if matrix is None else torch.einsum("bij,bihw->bjhw", matrix, back)


def _fixed_gain(like: Tensor, parameters: SensorParameters, keys: Tensor) -> Tensor:
    """``max(1 + prnu n, 0)`` of every pixel: what a plain sensor with this pattern gives of uniform light."""
    one, off = np.ones(1), np.zeros(1, np.bool_)
    plain = SensorParameters(
        one,
        np.inf * one,
        prnu=parameters.prnu,
        sensor_seed=parameters.sensor_seed,
        bit_depth=np.array([_BITS_MOST]),
        shot_noise=off,
        rounding=off,
    )
    return _sensor(torch.ones_like(like), *_packed(plain, len(like)), keys, False)


def of_phases(values: Tensor, origin_px: Tensor, size_px: tuple[int, int], device: torch.device) -> Tensor:
    """``[B, ..., H, W]`` of ``values`` ``[B, ..., 2, 2]`` for pixels of even and odd rows and columns.

    ``values`` and ``origin_px`` ``[B, 2]``, each picture's first pixel, lie on the CPU: only four numbers of each
    picture go to the device.
    """
    batch = torch.arange(len(values))[:, None, None]
    rows, columns = ((origin_px[:, axis, None] + torch.arange(2)) % 2 for axis in (0, 1))
    corner = values.movedim((-2, -1), (1, 2))[batch, rows[:, :, None], columns[:, None, :]].movedim((1, 2), (-2, -1))
    there = sent(corner.contiguous(), device)
    height, width = size_px
    return there.repeat(*(1,) * (values.dim() - 2), -(-height // 2), -(-width // 2))[..., :height, :width]


def colors_of_pixels(code: Tensor, origin_px: Tensor, size_px: tuple[int, int], device: torch.device) -> Tensor:
    """``[B, 1, H, W]`` the channel that each pixel of each picture sees; ``code`` 1 to 4, ``origin_px`` ``[B, 2]``."""
    return of_phases(_SITES[code - 1][:, None], origin_px, size_px, device)


def _on_device(image: Tensor, numbers: Tensor, whole: Tensor, keys: Tensor, mosaicked: bool) -> Tensor:
    return in_triton("sensor_triton", "sensor")(image, _parameters(numbers, whole), keys)


def _shape(image: Tensor, numbers: Tensor, whole: Tensor, keys: Tensor, mosaicked: bool) -> Tensor:
    batch, channels, height, width = image.shape
    return image.new_empty((batch, 1 if mosaicked else channels, height, width))


def _no_derivative(gradient: Tensor, mean: Tensor, keys: Tensor) -> Tensor:
    raise InvalidValueError(
        "poisson has no derivative.",
        why="Electrons are counted, so its output is a staircase.",
        fix="Take the loss before it, detach() the picture in front of it, or use the sensor, which passes the "
        "derivative of its mean.",
    )


_poisson = operator(
    "poisson",
    "Tensor mean, Tensor keys",
    on_arrays("poisson", _unpack_keys),
    in_triton("sensor_triton", "poisson"),
    derivatives={"mean": _no_derivative},
)
_gaussian = operator(
    "gaussian_noise",
    "Tensor image, Tensor sigma, Tensor keys",
    on_arrays("gaussian_noise", lambda sigma, keys: {"sigma": as_array(sigma), **_unpack_keys(keys)}),
    in_triton("noise_triton", "gaussian_noise"),
    derivatives={"image": lambda gradient, *inputs: gradient},
)
_PARAMETERS = "Tensor numbers, Tensor whole, Tensor keys, bool mosaicked"
_mean_slope = operator("sensor_slope", f"Tensor image, Tensor gradient, {_PARAMETERS}", _slope)
_sensor = operator(
    "sensor",
    f"Tensor image, {_PARAMETERS}",
    on_arrays(
        "sensor",
        lambda numbers, whole, keys, mosaicked: {"parameters": _parameters(numbers, whole), **_unpack_keys(keys)},
    ),
    _on_device,
    shape=_shape,
    derivatives={"image": lambda gradient, image, *rest: _mean_slope(image, gradient, *rest)},
)


def _packed(parameters: SensorParameters, batch: int) -> tuple[Tensor, Tensor]:
    count = len(parameters)
    check_count("sensors", count, batch)
    numbers = [getattr(parameters, name)[:, None] for name in _NUMBERS]
    numbers += [parameters.from_light.reshape(count, 9), parameters.offset_dn]
    whole = [getattr(parameters, name).astype(np.int64)[:, None] for name in _WHOLE]
    many, few = np.concatenate(numbers, axis=1), np.concatenate(whole, axis=1)
    return (
        torch.from_numpy(np.broadcast_to(many, (batch, many.shape[1])).copy()),
        torch.from_numpy(np.broadcast_to(few, (batch, few.shape[1])).copy()),
    )


def poisson(mean: Tensor, seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]) -> Tensor:
    """Poisson counts of the given means. No derivative."""
    checked_image(mean)
    return _poisson(mean, keys_of(mean, seed, origin_px))


def gaussian_noise(
    image: Tensor, sigma: NDArray[np.float64], seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
) -> Tensor:
    """``image + sigma[b] n``. The derivative is 1."""
    checked_image(image)
    scale = np.broadcast_to(np.asarray(sigma, np.float64), (image.shape[0],)).copy()
    return _gaussian(image, torch.from_numpy(scale), keys_of(image, seed, origin_px))


def sensor(
    image: Tensor, parameters: SensorParameters, seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
) -> Tensor:
    """Linear light to DN; the derivative is that of the mean number."""
    checked_image(image)
    packed = _packed(parameters, image.shape[0])
    return _sensor(image, *packed, keys_of(image, seed, origin_px), parameters.has_mosaic)
