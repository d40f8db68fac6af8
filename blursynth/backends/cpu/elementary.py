"""Logarithm and exponential in float32, written so that loops over them run several numbers at a time.

The library's versions are calls, which keep a loop scalar, and which differ between platforms in the last bits. These
consist of single roundings only and give the same bits everywhere.
"""

from __future__ import annotations

import numpy as np

from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.intrinsics import as_float32, as_int32, fma, rint

__all__ = ["exp_minus_one", "exp_of_negative", "natural_log"]

f4 = np.float32


@compiled
def natural_log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a normal positive float32, relative error 1.5e-7 or absolute 4e-8."""
    bits = as_int32(x)
    exponent = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))
    t = as_float32(np.int32(bits - np.int32(exponent << np.int32(23)))) - f4(1)
    y = fma(t, f4(0.09271783381700516), f4(-0.14118380844593048))
    y = fma(y, t, f4(0.1467650830745697))
    y = fma(y, t, f4(-0.16592863202095032))
    y = fma(y, t, f4(0.19985119998455048))
    y = fma(y, t, f4(-0.2500092089176178))
    y = fma(y, t, f4(0.3333341181278229))
    y = fma(y, t, f4(-0.5))
    y = fma(y, t * t, t)
    return fma(f4(exponent), f4(0.6931471805599453), y)


@compiled
def exp_of_negative(x):  # type: ignore[no-untyped-def]
    """exp(-x) of a float32 0 <= x < 80, relative error 2e-7."""
    k = rint(x * f4(-1.4426950408889634))
    # ln 2 in two parts, the first with few bits, so that the product with k is exact.
    t = fma(k, f4(-0.693145751953125), -x)
    t = fma(k, f4(-1.42860682030941723212e-6), t)
    y = fma(t, f4(0.001393364043906331), f4(0.008363175205886364))
    y = fma(y, t, f4(0.04166646674275398))
    y = fma(y, t, f4(0.16666576266288757))
    y = fma(y, t, f4(0.5))
    y = fma(y, t * t, t) + f4(1)
    return y * as_float32(np.int32(np.int32(np.int32(k) + np.int32(127)) << np.int32(23)))


@compiled
def exp_minus_one(x):  # type: ignore[no-untyped-def]
    """exp(x) - 1 of a float32 -80 < x < 80, relative error 2e-7 next to 0 too."""
    k = rint(x * f4(1.4426950408889634))
    t = fma(k, f4(-0.693145751953125), x)
    t = fma(k, f4(-1.42860682030941723212e-6), t)
    y = fma(t, f4(0.001393364043906331), f4(0.008363175205886364))
    y = fma(y, t, f4(0.04166646674275398))
    y = fma(y, t, f4(0.16666576266288757))
    y = fma(y, t, f4(0.5))
    y = fma(y, t * t, t)
    power = as_float32(np.int32(np.int32(np.int32(k) + np.int32(127)) << np.int32(23)))
    return fma(power, y, power - f4(1))
