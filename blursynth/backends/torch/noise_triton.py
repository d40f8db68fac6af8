"""Noise keyed per pixel in Triton: the words, the numbers and the counts of :mod:`blursynth.backends.cpu.noise`.

Words come from Philox4x32-10 with the same counters and keys. Normal and Tukey-lambda numbers consist of the same
single roundings as on the CPU (``fma``, IEEE division and square root, no other contraction), so they have the same
bits: held in Triton's interpreter, not yet on a GPU.

Poisson counts are exact, as on the CPU: a first pass in float32 determines nearly all of them together with a bound of
its own error, and puts the others on a list; a second kernel settles those with the distribution function in float64
(relative error below 1e-12). The list is counted on the device, so nothing waits for it. Counts differ from the CPU's
only where two evaluations of the distribution function, 1e-12 apart, lie on both sides of the pixel's probability.

Floor: a picture is read and written once (8 bytes per pixel in float32), with some 150 operations per pixel: the ten
rounds of Philox and two polynomials.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import triton
import triton.language as tl
from scipy import special

from blursynth.backends.cpu.noise import _D
from blursynth.backends.torch.grid_triton import on_device_of
from blursynth.backends.torch.tensors import sent

__all__ = [
    "constants",
    "first_pass",
    "gaussian_noise",
    "normal",
    "rounded",
    "settled",
    "shared_noise",
    "tukey",
    "words",
]

Tensor = torch.Tensor
_BLOCK = 1024

# Places in the table of numbers that the kernels read.
_FACTORIALS = tl.constexpr(0)  # 1 / k! for k = 0 .. 24
_ERFCX = tl.constexpr(32)  # Chebyshev series of erfc(x) exp(x^2) / t over 2 t - 1, t = 2 / (2 + x)
_ERFCX_TERMS = tl.constexpr(24)
_TEMME = tl.constexpr(64)  # five rows of sixteen: powers of 1 / a and of eta
_TERMS = tl.constexpr(24)
_LEAST_LARGE = tl.constexpr(7.0)


@lru_cache(maxsize=8)
def constants(device: torch.device) -> Tensor:
    """Numbers that the kernels read, float64, once per device."""
    table = np.zeros(144)
    table[:25] = 1.0 / special.factorial(np.arange(25.0))
    nodes = np.cos((np.arange(64) + 0.5) * np.pi / 64)
    t = (nodes + 1.0) / 2.0
    series = np.polynomial.chebyshev.chebfit(nodes, special.erfcx(2.0 / t - 2.0) / t, 63)
    table[32:56] = series[:24]
    table[64:144] = _D.reshape(-1)
    return torch.from_numpy(table).to(device)


@triton.jit
def words(seed, tag, channel, row, column):
    """The four words of the counter (row, column, channel, tag) under a 64-bit key; rows and columns modulo 2^32."""
    return tl.philox(seed, row.to(tl.int32), column.to(tl.int32), channel, tag)


@triton.jit
def rounded(x):
    """The nearest integer, halves to even."""
    down = tl.floor(x)
    rest = x - down
    odd = tl.floor(down * 0.5) * 2.0 != down
    return tl.where((rest > 0.5) | ((rest == 0.5) & odd), down + 1.0, down)


@triton.jit
def _natural_log(x):
    bits = x.to(tl.int32, bitcast=True)
    exponent = (bits - 0x3F3504F3) >> 23
    t = (bits - (exponent << 23)).to(tl.float32, bitcast=True) - 1.0
    y = tl.fma(t, 0.09271783381700516, -0.14118380844593048)
    y = tl.fma(y, t, 0.1467650830745697)
    y = tl.fma(y, t, -0.16592863202095032)
    y = tl.fma(y, t, 0.19985119998455048)
    y = tl.fma(y, t, -0.2500092089176178)
    y = tl.fma(y, t, 0.3333341181278229)
    y = tl.fma(y, t, -0.5)
    y = tl.fma(y, t * t, t)
    return tl.fma(exponent.to(tl.float32), 0.6931471805599453, y)


@triton.jit
def _exponential_parts(x):
    """``exp(x) = (1 + y) 2^k`` of float32 -80 < x < 80: y and 2^k."""
    k = rounded(x * 1.4426950408889634)
    t = tl.fma(k, -0.693145751953125, x)
    t = tl.fma(k, -1.42860682030941723212e-6, t)
    y = tl.fma(t, 0.001393364043906331, 0.008363175205886364)
    y = tl.fma(y, t, 0.04166646674275398)
    y = tl.fma(y, t, 0.16666576266288757)
    y = tl.fma(y, t, 0.5)
    y = tl.fma(y, t * t, t)
    return y, ((k.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def _tail_probability(high, low):
    """p of a pair of words in float32, the upper 31 bits of it, and ``1 - 2 p`` without cancellation."""
    m = (high & 0x7FFFFFFF).to(tl.int32, bitcast=True)
    fine = tl.fma(low.to(tl.float32), 5.421010862427522e-20, 2.710505431213761e-20)  # 2^-64, 2^-65
    p = tl.fma(m.to(tl.float32), 2.3283064365386963e-10, fine)  # 2^-32
    x = tl.fma((0x7FFFFFFF - m).to(tl.float32), 4.656612873077393e-10, 2.3283064365386963e-10)
    return p, x


@triton.jit
def normal(high, low):
    """The normal number of a pair of words, float32."""
    p, x = _tail_probability(high, low)
    s = x * x
    n1 = tl.fma(s, -0.06417891383171082, 0.8307787179946899)
    n1 = tl.fma(n1, s, -1.9758100509643555)
    n1 = tl.fma(n1, s, 1.2533141374588013) * x
    d1 = tl.fma(s, -0.14588826894760132, 1.0001418590545654)
    d1 = tl.fma(d1, s, -1.8382641077041626)
    d1 = tl.fma(d1, s, 1.0)
    t = tl.sqrt_rn(-_natural_log(p)) - 1.6
    n2 = tl.fma(t, 0.035283561795949936, 0.49733856320381165)
    n2 = tl.fma(n2, t, 2.087789535522461)
    n2 = tl.fma(n2, t, 3.180028200149536)
    n2 = tl.fma(n2, t, 1.4234371185302734)
    d2 = tl.fma(t, 0.024941666051745415, 0.3122771680355072)
    d2 = tl.fma(d2, t, 1.0343130826950073)
    d2 = tl.fma(d2, t, 1.0)
    central = x < 0.85
    z = tl.div_rn(tl.where(central, n1, n2), tl.where(central, d1, d2))
    return tl.where(high.to(tl.int32, bitcast=True) < 0, z, -z)


@triton.jit
def tukey(high, low, shape, scale):
    """The Tukey-lambda number of a pair of words, float32; ``scale`` is 1 / (shape times the standard deviation)."""
    p, x = _tail_probability(high, low)
    log_q = _natural_log(tl.fma(x, 0.5, 0.5))
    y, power = _exponential_parts(shape * (_natural_log(p) - log_q))
    low_end = tl.fma(power, y, power - 1.0) * scale
    y, power = _exponential_parts(shape * log_q)
    z = tl.fma(tl.fma(power, y, power - 1.0), low_end, low_end)
    return tl.where(high.to(tl.int32, bitcast=True) >= 0, z, -z)


@triton.jit
def _first_large(mean, high, low):
    """Counts of means of 7 and more by Temme's expansion of the quantile, and whether they are in doubt."""
    z = normal(high, low)
    lam = tl.maximum(mean.to(tl.float32), 1.0)
    root = tl.sqrt_rn(lam)
    inverse = tl.div_rn(tl.full(root.shape, 1.0, tl.float32), root)
    s = z * inverse
    a = tl.fma(s, -3.649954578577308e-06, 2.6065574274980463e-05)
    a = tl.fma(a, s, -7.911208376754075e-05)
    a = tl.fma(a, s, 0.000150071777170524)
    a = tl.fma(a, s, -0.0002615562407299876)
    a = tl.fma(a, s, 0.0005488113965839148)
    a = tl.fma(a, s, -0.0013278890401124954)
    a = tl.fma(a, s, 0.0037050130777060986)
    a = tl.fma(a, s, -0.013889215886592865)
    a = tl.fma(a, s, 0.16666662693023682)
    b = tl.fma(s, 3.256372656323947e-05, -0.00021148468658793718)
    b = tl.fma(b, s, 0.000575184472836554)
    b = tl.fma(b, s, -0.0009855545358732343)
    b = tl.fma(b, s, 0.001648997305892408)
    b = tl.fma(b, s, -0.00346979103051126)
    b = tl.fma(b, s, 0.008634776808321476)
    b = tl.fma(b, s, -0.027782859280705452)
    b = tl.fma(b, s, 0.33333370089530945)
    c = tl.fma(s, 0.0016657327068969607, -0.007465275004506111)
    c = tl.fma(c, s, 0.012816148810088634)
    c = tl.fma(c, s, -0.013881521299481392)
    c = tl.fma(c, s, 0.01674466021358967)
    c = tl.fma(c, s, -0.019701505079865456)
    rest = tl.fma(z * z, a, tl.fma(c, inverse * inverse, b))
    # The bounds of the CPU's first pass.
    bound = tl.fma(inverse * inverse, 6e-4, tl.fma(root, 3e-6, 1e-5))
    shift = tl.fma(root, z, rest)
    whole = tl.floor(mean)
    x = shift + (mean - whole).to(tl.float32)
    near = rounded(x)
    doubt = (tl.abs(x - near) < bound) | (s > 1.85) | (s < -0.75)
    below = tl.where((x >= near) | doubt, near, near - 1.0)
    return whole + below.to(mean.dtype), doubt


@triton.jit
def _first_small(mean, high, low, table):
    """Counts of means below 7 by adding up the distribution, and whether they are in doubt."""
    p, _x = _tail_probability(high, low)
    lam = mean.to(tl.float32)
    u = tl.where(high.to(tl.int32, bitcast=True) >= 0, p, 1.0 - p)
    y, power = _exponential_parts(-lam)
    power = tl.fma(power, y, power)
    total = power
    at_least, at_most = tl.zeros_like(u), tl.zeros_like(u)
    for k in range(1, _TERMS + 1):
        at_least += tl.where(u - 2e-6 > total, 1.0, 0.0)
        at_most += tl.where(u + 2e-6 > total, 1.0, 0.0)
        power *= lam
        total = tl.fma(power, tl.load(table + _FACTORIALS + k).to(tl.float32), total)
    return at_least.to(mean.dtype), at_least != at_most


@triton.jit
def first_pass(mean, high, low, table):
    """Poisson counts as far as float32 determines them, and where it does not."""
    small = mean < _LEAST_LARGE
    count, doubt = _first_large(mean, high, low)
    if tl.max(small.to(tl.int32), axis=0) > 0:
        few, doubt_few = _first_small(tl.where(small, mean, 0.0), high, low, table)
        count = tl.where(small, few, count)
        doubt = tl.where(small, doubt_few, doubt)
    return count, doubt & (mean > 0)


@triton.jit
def _log_of_one_plus(x):
    """log(1 + x) in float64 without the rounding of 1 + x (W. Kahan)."""
    u = 1.0 + x
    near = u == 1.0
    return tl.where(near, x, tl.log(u) * x / tl.where(near, 1.0, u - 1.0))


@triton.jit
def _probability(k, mean):
    """P(N = k) in float64, after Loader for k of 17 and more."""
    few = tl.exp(-tl.minimum(mean, 700.0))
    for i in range(1, 17):
        few = tl.where(k >= i, few * mean / i, few)
    few = tl.where(mean < 600.0, few, 0.0)
    many = tl.maximum(k, 17.0)
    r = 1.0 / many
    q = r * r
    stirling = r * (1 / 12 - q * (1 / 360 - q * (1 / 1260 - q * (1 / 1680 - q * (1 / 1188)))))
    mu = (mean - many) * r
    large = tl.exp(-many * (mu - _log_of_one_plus(mu)) - stirling) / tl.sqrt(6.283185307179586 * many)
    return tl.where(k < 17.0, few, large)


@triton.jit
def _added_up(k, mean, above, wanted):
    """P(N <= k), or P(N > k) where ``above``, term by term, where wanted; k >= 0."""
    j = tl.where(above, k + 1.0, k)
    term = tl.where(wanted, _probability(j, mean), 0.0)
    total = term
    while tl.max((term > total * 1e-17).to(tl.int32), axis=0) > 0:
        at = tl.maximum(j, 0.0)  # the sum downwards ends at 0
        term *= tl.where(above, mean / (at + 1.0), at / mean)
        total += term
        j += tl.where(above, 1.0, -1.0)
    return total


@triton.jit
def _expanded(k, mean, above, table):
    """The same for large means by Temme's uniform expansion (DLMF 8.12)."""
    a = k + 1.0
    mu = (mean - a) / a
    near = tl.abs(mu) * (1 - mu * (1 / 3 - mu * (7 / 36 - mu * (73 / 540 - mu * (1331 / 12960)))))
    eta = tl.sqrt(tl.maximum(2.0 * (mu - _log_of_one_plus(mu)), 0.0))
    eta = tl.where(tl.abs(mu) < 1e-3, near, eta)
    eta = tl.where(mu < 0, -eta, eta)
    series = tl.zeros_like(eta)
    for row in range(5):
        c = tl.zeros_like(eta)
        for n in range(16):
            c = c * eta + tl.load(table + _TEMME + 16 * (4 - row) + 15 - n)
        series = series / a + c
    half = 0.5 * a * eta * eta
    rest = tl.exp(-half) / tl.sqrt(6.283185307179586 * a) * series
    # erfc of the absolute value: exp(-x^2) t times a Chebyshev series, by Clenshaw's recurrence.
    x = tl.sqrt(half)
    t = 2.0 / (2.0 + x)
    s = 2.0 * t - 1.0
    b1, b2 = tl.zeros_like(x), tl.zeros_like(x)
    for n in range(_ERFCX_TERMS - 1):
        b0 = 2.0 * s * b1 - b2 + tl.load(table + _ERFCX + _ERFCX_TERMS - 1 - n)
        b2 = b1
        b1 = b0
    erfc = tl.exp(-half) * t * (s * b1 - b2 + tl.load(table + _ERFCX))
    low_side = eta >= 0
    below = tl.where(low_side, 0.5 * erfc, 1.0 - 0.5 * erfc)
    beyond = tl.where(low_side, 1.0 - 0.5 * erfc, 0.5 * erfc)
    return tl.where(above, beyond - rest, below + rest)


@triton.jit
def _too_small(k, mean, above, p, asked, table):
    """Whether each count asked for is below the quantile: P(N > k) > p where ``above``, else P(N <= k) < p."""
    at = tl.maximum(k, 0.0)
    large = (mean >= 1000.0) & (k >= 250.0)
    tail = _added_up(at, mean, above, asked & (large == 0) & (k >= 0))
    if tl.max((large & asked).to(tl.int32), axis=0) > 0:
        tail = tl.where(large, _expanded(at, mean, above, table), tail)
    tail = tl.where(k < 0, tl.where(above, 1.0, 0.0), tail)
    return asked & tl.where(above, tail > p, tail < p)


@triton.jit
def settled(mean, high, low, candidate, asked, table):
    """The exact counts, in float64, where asked for, from candidates near them."""
    mean = tl.where(asked, mean.to(tl.float64), 1.0)
    above = high.to(tl.int32, bitcast=True) < 0
    m = ((high & 0x7FFFFFFF).to(tl.uint64) << 32) | low.to(tl.uint64)
    p = (m.to(tl.float64) + 0.5) * 5.421010862427522e-20
    k = tl.maximum(candidate.to(tl.float64), 0.0)
    rising = _too_small(k, mean, above, p, asked, table)
    falling = asked & (rising == 0)
    while tl.max(rising.to(tl.int32), axis=0) > 0:
        k += tl.where(rising, 1.0, 0.0)
        rising = _too_small(k, mean, above, p, rising, table)
    falling = falling & (k > 0)
    while tl.max(falling.to(tl.int32), axis=0) > 0:
        falling = falling & (_too_small(k - 1.0, mean, above, p, falling, table) == 0)
        k -= tl.where(falling, 1.0, 0.0)
        falling = falling & (k > 0)
    return k


@triton.jit
def _gaussian(
    source,  # [B, C, H, W]
    out,
    sigma,  # [B]
    keys,  # [B, 3] seed, row and column of the first pixel
    channels,
    width,
    area,
    BLOCK: tl.constexpr,
):
    plane = tl.program_id(1)
    b, channel = plane // channels, plane % channels
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column = tl.load(keys + 3 * b + 1) + i // width, tl.load(keys + 3 * b + 2) + i % width
    _w0, w1, _w2, w3 = words(tl.load(keys + 3 * b), 0, channel, row, column)
    here = plane.to(tl.int64) * area + i
    x = tl.load(source + here, mask=i < area, other=0.0)
    scale = tl.load(sigma + b).to(x.dtype)
    tl.store(out + here, tl.fma(tl.zeros_like(x) + scale, normal(w1, w3).to(x.dtype), x), mask=i < area)


@triton.jit
def _shared(
    out,  # [B, C, SIZE]
    sigma,  # [B]
    keys,  # [B, 3]
    channels,
    size,
    TAG: tl.constexpr,  # 1: what a row shares, 2: what a column shares
    BLOCK: tl.constexpr,
):
    plane = tl.program_id(1)
    b, channel = plane // channels, plane % channels
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    place = tl.load(keys + 3 * b + TAG) + i
    nowhere = tl.zeros_like(place)
    if TAG == 1:
        _w0, w1, _w2, w3 = words(tl.load(keys + 3 * b), 1, channel, place, nowhere)
    else:
        _w0, w1, _w2, w3 = words(tl.load(keys + 3 * b), 2, channel, nowhere, place)
    number = out.dtype.element_ty
    noise = tl.load(sigma + b).to(number) * normal(w1, w3).to(number)
    tl.store(out + plane.to(tl.int64) * size + i, noise, mask=i < size)


def gaussian_noise(image: Tensor, sigma: Tensor, keys: Tensor) -> Tensor:
    """``image + sigma[b] n``; see :func:`blursynth.backends.torch.sensor.gaussian_noise`."""
    image = image.contiguous()
    out = torch.empty_like(image)
    batch, channels, height, width = image.shape
    grid = triton.cdiv(height * width, _BLOCK), batch * channels
    with on_device_of(image):
        _gaussian[grid](
            image, out, sent(sigma, image.device), sent(keys, image.device).contiguous(), channels, width,
            height * width, BLOCK=_BLOCK, enable_fp_fusion=False,
        )  # fmt: skip
    return out


def shared_noise(shape: tuple[int, int, int], tag: int, sigma: Tensor, keys: Tensor, like: Tensor) -> Tensor:
    """``[B, C, size]`` what the rows (tag 1) or the columns (tag 2) share; sigma and keys on the device."""
    batch, channels, size = shape
    out = like.new_empty(shape)
    block = 128
    with on_device_of(like):
        _shared[(triton.cdiv(size, block), batch * channels)](
            out, sigma, keys, channels, size, TAG=tag, BLOCK=block, enable_fp_fusion=False
        )
    return out
