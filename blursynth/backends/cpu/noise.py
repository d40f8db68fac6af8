"""Shot noise and normal noise in numba, keyed per pixel.

**Words.** One Philox4x32-10 block belongs to each pixel and channel: its counter is (row, column, channel, 0) in
absolute coordinates, modulo 2**32, its key the sample's seed (low word, high word). Of its four words the shot noise
takes 0 and 2, the normal noise 1 and 3. The noise that a row shares takes the words 1 and 3 of the counter
(row, 0, channel, 1), that of a column those of (0, column, channel, 2). What is fixed for a pixel of a sensor takes the
counter (row, column, channel, 3) under the sensor's own seed: words 0 and 2 for its response, 1 and 3 for its dark
offset. So a tile equals the whole, no number waits for another one, and all kinds of noise may share a seed.

**From words to probability.** Of a pair (high, low) the top bit of ``high`` is the side of the median (1 = above), and
the other 63 bits m give the tail's probability ``p = (m + 1/2) / 2**64``, between 2**-65 and 1/2: the tails are as
finely resolved as the middle.

**Poisson.** The result is the inverse of the distribution function at this p, hence exact: the smallest n with
``P(N <= n) >= p`` below the median, with ``P(N > n) <= p`` above it. A first pass in float32, several pixels at a time,
finds the answer for nearly all of them together with a bound of its own error: from ``SMALL_MEAN`` on by Temme's
expansion of the quantile, below by adding up the distribution. Pixels whose answer lies within the bound of a whole
number are settled one by one with the distribution function in float64 (relative error below 1e-12).

**Normal.** The inverse of the normal distribution by rational approximations in float32, error below 1.2e-6
of a standard deviation or 4e-7 of the value, whichever is larger; the numbers reach 9.2 standard deviations (a tail of
2**-65).

**Tukey-lambda.** ``Q(u) = (u^l - (1 - u)^l) / l`` in the form ``q^l (exp(l t) - 1) / l`` with the tail's probability p,
``q = 1 - p`` and ``t = log(p / q)``: nothing is lost in either tail, nor for small l, down to the logistic ``Q = t``.
In float32, error below 4e-7 of a standard deviation or 2e-6 of the value, whichever is larger.

All floating point operations are single roundings (see ``intrinsics``), so the bytes depend on neither vector width nor
compiler, and a version for another device that uses the same operations agrees to the bit.

Sources: Giles, "Algorithm 955: approximation of the inverse Poisson cumulative distribution function", ACM TOMS
42(1):7, 2016; Temme, "Asymptotic inversion of incomplete gamma functions", Math. Comp. 58, 1992; DiDonato and Morris,
ACM TOMS 12(4), 1986; Loader, "Fast and accurate computation of binomial probabilities", 2000. The coefficients are our
own fits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.checks import check_origin, check_seed
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.cpu.elementary import exp_minus_one, exp_of_negative, natural_log
from blursynth.backends.cpu.intrinsics import as_int32, floor, fma, rint
from blursynth.backends.cpu.philox import philox4x32, seed_words
from blursynth.errors import InvalidValueError

__all__ = ["COLUMN", "MAX_MEAN", "PATTERN", "PIXEL", "ROW", "gaussian_noise", "poisson"]

PIXEL = np.uint64(0)
ROW = np.uint64(1)
COLUMN = np.uint64(2)
PATTERN = np.uint64(3)
"""Last word of the counter: what the block is for."""

MAX_MEAN = 1e8
"""Largest mean of the shot noise: beyond it the first pass would decide too little."""

CHUNK = 1024
"""Pixels that are worked on together; their scratch stays in the cache."""

SMALL_MEAN = np.float32(7.0)
_TERMS = 24  # P(N > 24) of mean 7 is 5e-8, below the bound of the first pass
MOST_SUMMED = np.float32(24.0)  # above, a count that the expansion does not reach (s < -.75) is rare
_FEW = 4  # such counts in a chunk that are as well settled one by one

f4 = np.float32
_ZERO, _ONE, _TWO, _HALF = f4(0), f4(1), f4(2), f4(0.5)
_MASK32 = np.uint64(0xFFFFFFFF)
_EPSILON_64 = f4(2.0**-65)

# What is left to do for a pixel after the first pass.
_DONE, _AT, _SEARCH, _RISE = np.int32(0), np.int32(1), np.int32(2), np.int32(4)

# Bound of the error of the first pass: k / mean for the rest of the expansion, k sqrt(mean) for the normal number and
# its rounding, and a constant. At least twice what was measured; see tests/backends/test_noise.py.
_BOUND_EXPANSION, _BOUND_NORMAL, _BOUND_ROUNDING = f4(6e-4), f4(3e-6), f4(1e-5)
_BOUND_SUM = f4(2e-6)


@compiled
def words(seed, tag, channel, row, column, count, w0, w1, w2, w3):  # type: ignore[no-untyped-def]
    """Philox blocks of ``count`` pixels of a row, one array per word."""
    k0, k1 = seed_words(seed)
    c0 = np.uint64(row) & _MASK32
    c2 = np.uint64(channel) & _MASK32
    first = np.uint64(column)
    for i in range(count):
        a, b, c, d = philox4x32(c0, (first + np.uint64(i)) & _MASK32, c2, tag, k0, k1)
        w0[i] = np.uint32(a)
        w1[i] = np.uint32(b)
        w2[i] = np.uint32(c)
        w3[i] = np.uint32(d)


@compiled
def _tail_probability(high, low):  # type: ignore[no-untyped-def]
    """p of a pair of words in float32, rounded relative to p; the low word counts only far out in the tails."""
    m = np.int32(high & np.uint32(0x7FFFFFFF))
    fine = fma(f4(low), f4(2.0**-64), _EPSILON_64)
    return m, fma(f4(m), f4(2.0**-32), fine)


@compiled
def standard_normal(high, low):  # type: ignore[no-untyped-def]
    """The normal number of a pair of words, float32."""
    m, p = _tail_probability(high, low)
    x = fma(f4(np.int32(np.int32(0x7FFFFFFF) - m)), f4(2.0**-31), f4(2.0**-32))  # 1 - 2 p without cancellation
    s = x * x
    n1 = fma(s, f4(-0.06417891383171082), f4(0.8307787179946899))
    n1 = fma(n1, s, f4(-1.9758100509643555))
    n1 = fma(n1, s, f4(1.2533141374588013)) * x
    d1 = fma(s, f4(-0.14588826894760132), f4(1.0001418590545654))
    d1 = fma(d1, s, f4(-1.8382641077041626))
    d1 = fma(d1, s, _ONE)
    t = np.sqrt(-natural_log(p)) - f4(1.6)
    n2 = fma(t, f4(0.035283561795949936), f4(0.49733856320381165))
    n2 = fma(n2, t, f4(2.087789535522461))
    n2 = fma(n2, t, f4(3.180028200149536))
    n2 = fma(n2, t, f4(1.4234371185302734))
    d2 = fma(t, f4(0.024941666051745415), f4(0.3122771680355072))
    d2 = fma(d2, t, f4(1.0343130826950073))
    d2 = fma(d2, t, _ONE)
    central = x < f4(0.85)
    n = n1 if central else n2
    d = d1 if central else d2
    z = n / d
    return z if np.int32(high) < 0 else -z


@compiled
def tukey_lambda(high, low, shape, scale):  # type: ignore[no-untyped-def]
    """The Tukey-lambda number of a pair of words, float32; ``scale`` is 1 / (shape times the standard deviation).

    The shape must not be 0; one of 1e-9 is the logistic distribution to the last bit.
    """
    m, p = _tail_probability(high, low)
    x = fma(f4(np.int32(np.int32(0x7FFFFFFF) - m)), f4(2.0**-31), f4(2.0**-32))  # 1 - 2 p without cancellation
    log_q = natural_log(fma(x, _HALF, _HALF))
    low_end = exp_minus_one(shape * (natural_log(p) - log_q)) * scale
    z = fma(exp_minus_one(shape * log_q), low_end, low_end)
    return z if np.int32(high) >= 0 else -z


@compiled
def expansion(mean, z):  # type: ignore[no-untyped-def]
    """Quantile of the Poisson distribution by Temme's expansion, for float32 means of SMALL_MEAN and more.

    ``x = mean + sqrt(mean) z + z**2 A(s) + B(s) + C(s) / mean`` with ``s = z / sqrt(mean)`` of a normal number z; A, B
    and C are polynomials on -0.75 <= s <= 1.85. The count is floor(x).

    Returns the difference between x and the mean, its error bound, and s.
    """
    root = np.sqrt(mean)
    inverse = _ONE / root
    s = z * inverse
    a = fma(s, f4(-3.649954578577308e-06), f4(2.6065574274980463e-05))
    a = fma(a, s, f4(-7.911208376754075e-05))
    a = fma(a, s, f4(0.000150071777170524))
    a = fma(a, s, f4(-0.0002615562407299876))
    a = fma(a, s, f4(0.0005488113965839148))
    a = fma(a, s, f4(-0.0013278890401124954))
    a = fma(a, s, f4(0.0037050130777060986))
    a = fma(a, s, f4(-0.013889215886592865))
    a = fma(a, s, f4(0.16666662693023682))
    b = fma(s, f4(3.256372656323947e-05), f4(-0.00021148468658793718))
    b = fma(b, s, f4(0.000575184472836554))
    b = fma(b, s, f4(-0.0009855545358732343))
    b = fma(b, s, f4(0.001648997305892408))
    b = fma(b, s, f4(-0.00346979103051126))
    b = fma(b, s, f4(0.008634776808321476))
    b = fma(b, s, f4(-0.027782859280705452))
    b = fma(b, s, f4(0.33333370089530945))
    c = fma(s, f4(0.0016657327068969607), f4(-0.007465275004506111))
    c = fma(c, s, f4(0.012816148810088634))
    c = fma(c, s, f4(-0.013881521299481392))
    c = fma(c, s, f4(0.01674466021358967))
    c = fma(c, s, f4(-0.019701505079865456))
    rest = fma(z * z, a, fma(c, inverse * inverse, b))
    bound = fma(inverse * inverse, _BOUND_EXPANSION, fma(root, _BOUND_NORMAL, _BOUND_ROUNDING))
    return fma(root, z, rest), bound, s


@compiled
def _guess_large(mean, w0, w2, size, count, pending):  # type: ignore[no-untyped-def]
    """Counts of means >= SMALL_MEAN, and what is left to do about them."""
    # Two loops, because one is a chain of operations so long that a processor cannot work on the next pixels meanwhile.
    for i in range(size):
        count[i] = mean.dtype.type(standard_normal(w0[i], w2[i]))
    for i in range(size):
        whole = floor(mean[i])
        shift, bound, s = expansion(f4(mean[i]), f4(count[i]))
        x = shift + f4(mean[i] - whole)
        near = rint(x)
        gap = x - near
        code = _AT if abs(gap) < bound else _DONE
        code = _SEARCH if s > f4(1.85) else code
        code = _RISE if s < f4(-0.75) else code
        below = near if (gap >= _ZERO or code != _DONE) else near - _ONE
        count[i] = whole + mean.dtype.type(below)
        pending[i] = code


_RECIPROCAL_FACTORIALS = np.array([1.0 / math.factorial(k) for k in range(_TERMS + 1)], np.float32)


_NEVER = np.uint32(0xFFFFFFFF)
_TWICE_BOUND_SUM = np.uint32((2 * _BOUND_SUM).view(np.uint32))


@compiled
def _four_terms(k, lam, power, excess, count, least):  # type: ignore[no-untyped-def]
    """Terms k+1..k+4 of the distribution function; how many of its values lie below u, and the least excess above.

    Signs are taken from the bits of a float32, and the bits of numbers >= 0 are in the order of the numbers, with all
    negative ones above them: no comparison is made, and nothing is chosen.
    """
    for step in (1, 2, 3, 4):
        bits = np.uint32(as_int32(excess))
        count = np.uint32(count + (bits >> np.uint32(31)))
        least = bits if bits < least else least
        power *= lam
        excess = fma(power, _RECIPROCAL_FACTORIALS[k + step], excess)
    return power, excess, count, least


@compiled
def _guess_small(mean, w0, w2, size, count, pending):  # type: ignore[no-untyped-def]
    """Counts of means < SMALL_MEAN by adding up the distribution, or of low counts of means < MOST_SUMMED."""
    for i in range(size):
        lam = f4(mean[i])
        _m, p = _tail_probability(w0[i], w2[i])
        u = p if np.int32(w0[i]) >= 0 else _ONE - p
        power = exp_of_negative(lam)
        excess = power - (u - _BOUND_SUM)
        n, least = np.uint32(0), _NEVER
        # Straight code, because a loop in here would keep LLVM from working on several pixels at a time.
        power, excess, n, least = _four_terms(0, lam, power, excess, n, least)
        power, excess, n, least = _four_terms(4, lam, power, excess, n, least)
        power, excess, n, least = _four_terms(8, lam, power, excess, n, least)
        power, excess, n, least = _four_terms(12, lam, power, excess, n, least)
        power, excess, n, least = _four_terms(16, lam, power, excess, n, least)
        power, excess, n, least = _four_terms(20, lam, power, excess, n, least)
        count[i] = mean.dtype.type(np.int32(n))
        pending[i] = _DONE if least >= _TWICE_BOUND_SUM else _SEARCH


@compiled
def _sum_small(mean, w0, w2, size, count, pending, code, drawn, number):  # type: ignore[no-untyped-def]
    """Of what _guess_large left, what is better summed: drawn together, several pixels at a time."""
    where, high, low = drawn[0], drawn[1], drawn[2]
    for i in range(size):
        lam = f4(mean[i])
        code[i] = np.int32((lam < SMALL_MEAN) | ((pending[i] == _RISE) & (lam < MOST_SUMMED)))
    few = np.uint64(0)  # without a sign: an index that cannot count from the end
    for i in range(size):
        where[few] = i
        few += np.uint64(code[i])
    for j in range(few):
        i = where[j]
        number[0, j], high[j], low[j] = mean[i], w0[i], w2[i]
    _guess_small(number[0], high, low, np.int64(few), number[1], code)
    for j in range(few):
        i = where[j]
        count[i], pending[i] = number[1, j], code[j]


_FACTORIALS = np.array([math.factorial(k) for k in range(17)], np.float64)


@compiled
def _probability(k, mean):  # type: ignore[no-untyped-def]
    """P(N = k) in float64, after Loader: no large numbers are subtracted."""
    if k < 17:
        return math.exp(-mean) * mean**k / _FACTORIALS[k] if mean < 600.0 else 0.0
    r = 1.0 / k
    stirling = r * (1 / 12 - r * r * (1 / 360 - r * r * (1 / 1260 - r * r * (1 / 1680 - r * r * (1 / 1188)))))
    mu = (mean - k) * r
    return math.exp(-k * (mu - math.log1p(mu)) - stirling) / math.sqrt(2.0 * math.pi * k)


@compiled
def tail(k, mean, above):  # type: ignore[no-untyped-def]
    """P(N <= k), or P(N > k) if ``above``, in float64; relative error below 1e-12 for the smaller of the two."""
    if k < 0:
        return 1.0 if above else 0.0
    if mean >= 1000.0 and k >= 250:
        return _tail_expansion(k, mean, above)
    if above:
        j = k + 1.0
        term = _probability(k + 1, mean)
        total = term
        while term > total * 1e-17:
            j += 1.0
            term *= mean / j
            total += term
        return total
    j = float(k)
    term = _probability(k, mean)
    total = term
    while term > total * 1e-17:
        term *= j / mean
        j -= 1.0
        total += term
    return total


# Temme's series of Q(a, x): rows are powers of 1 / a, columns powers of eta (DLMF 8.12.12), from exact fractions.
_D0 = (
    -0.3333333333333333,
    0.08333333333333333,
    -0.014814814814814815,
    0.0011574074074074073,
    0.0003527336860670194,
    -0.0001787551440329218,
    3.919263178522438e-05,
    -2.185448510679992e-06,
    -1.85406221071516e-06,
    8.296711340953087e-07,
    -1.7665952736826078e-07,
    6.707853543401498e-09,
    1.0261809784240309e-08,
    -4.382036018453353e-09,
    9.14769958223679e-10,
    -2.5514193994946248e-11,
)
_D1 = (
    -0.001851851851851852,
    -0.003472222222222222,
    0.0026455026455026454,
    -0.0009902263374485596,
    0.00020576131687242798,
    -4.018775720164609e-07,
    -1.8098550334489977e-05,
    7.64916091608111e-06,
    -1.6120900894563446e-06,
    4.647127802807434e-09,
    1.378633446915721e-07,
    -5.752545603517705e-08,
)
_D2 = (
    0.004133597883597883,
    -0.0026813271604938273,
    0.0007716049382716049,
    2.0093878600823047e-06,
    -0.0001073665322636516,
    5.2923448829120125e-05,
    -1.2760635188618728e-05,
    3.423578734096138e-08,
    1.3721957309062934e-06,
)
_D3 = (
    0.0006494341563786008,
    0.00022947209362139917,
    -0.0004691894943952557,
    0.00026772062206283885,
    -7.561801671883977e-05,
)
_D4 = (-0.0008618882909167117, 0.0007840392217200666, -0.0002990724803031902)
_D = np.zeros((5, 16))
for _row, _values in enumerate((_D0, _D1, _D2, _D3, _D4)):
    _D[_row, : len(_values)] = _values


@compiled
def _tail_expansion(k, mean, above):  # type: ignore[no-untyped-def]
    """:func:`tail` for large means: P(N <= k) = Q(a, mean), a = k + 1, by Temme's uniform expansion."""
    a = k + 1.0
    mu = (mean - a) / a
    eta = math.sqrt(max(2.0 * (mu - math.log1p(mu)), 0.0))
    if abs(mu) < 1e-3:  # the difference above would lose half of its digits
        eta = abs(mu) * (1 - mu * (1 / 3 - mu * (7 / 36 - mu * (73 / 540 - mu * (1331 / 12960)))))
    if mu < 0:
        eta = -eta
    series = 0.0
    for row in range(4, -1, -1):
        c = 0.0
        for n in range(15, -1, -1):
            c = c * eta + _D[row, n]
        series = series / a + c
    rest = math.exp(-0.5 * a * eta * eta) / math.sqrt(2.0 * math.pi * a) * series
    if above:
        return 0.5 * math.erfc(-eta * math.sqrt(0.5 * a)) - rest
    return 0.5 * math.erfc(eta * math.sqrt(0.5 * a)) + rest


@compiled
def _too_small(k, mean, above, p):  # type: ignore[no-untyped-def]
    return tail(k, mean, True) > p if above else tail(k, mean, False) < p


@compiled
def settle(mean, high, low, code, candidate):  # type: ignore[no-untyped-def]
    """The exact count of one pixel, from what the first pass left: a candidate and a code of what it is worth."""
    if mean <= 0.0:
        return 0.0
    above = (high >> np.uint32(31)) == np.uint32(1)
    m = np.float64(np.uint64(high & np.uint32(0x7FFFFFFF)) << np.uint64(32) | np.uint64(low))
    p = (m + 0.5) * 2.0**-64
    if code == _RISE and mean < 600.0:
        k = np.int64(0)
        term = math.exp(-mean)
        total = term
        while total < p and k < 1000:
            k += 1
            term *= mean / k
            total += term
        return float(k)
    # The smallest k with P(N <= k) >= p, or with P(N > k) <= p: upwards if the candidate is too small, else downwards.
    k = np.int64(max(candidate, 0.0))
    if _too_small(k, mean, above, p):
        k += 1
        while _too_small(k, mean, above, p):
            k += 1
        return float(k)
    while k > 0 and not _too_small(k - 1, mean, above, p):
        k -= 1
    return float(k)


@compiled
def counts(mean, w0, w2, size, count, state, drawn, number):  # type: ignore[no-untyped-def]
    """Poisson counts of ``size`` means with their words 0 and 2. False if a mean is out of range.

    ``state`` ``[2, CHUNK]`` int32, ``drawn`` ``[3, CHUNK]`` uint32 and ``number`` ``[2, CHUNK]`` of the image's dtype
    are scratch: allocated once per picture, since an allocation costs as much as fifty pixels.
    """
    pending = state[0]
    kinds = np.int32(0)
    for i in range(size):
        kind = np.int32(1) if f4(mean[i]) < SMALL_MEAN else np.int32(2)
        kind = kind if (mean[i] >= 0) & (mean[i] <= MAX_MEAN) else np.int32(4)
        kinds = np.int32(kinds | kind)
    if kinds & np.int32(4):
        return False
    if kinds & np.int32(2):
        _guess_large(mean, w0, w2, size, count, pending)
        rises = np.int32(0)
        for i in range(size):
            rises = np.int32(rises + np.int32(pending[i] == _RISE))
        if kinds == np.int32(3) or rises > _FEW:
            _sum_small(mean, w0, w2, size, count, pending, state[1], drawn, number)
    else:
        _guess_small(mean, w0, w2, size, count, pending)
    left = np.int32(0)
    for i in range(size):
        left = np.int32(left | pending[i])
    if left != 0:
        for i in range(size):
            if pending[i] != _DONE:
                count[i] = settle(np.float64(mean[i]), w0[i], w2[i], pending[i], np.float64(count[i]))
    return True


@compiled
def _poisson_image(mean, seed, origin, out):  # type: ignore[no-untyped-def]
    batch, channels, height, width = mean.shape
    w0, w1 = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.uint32)
    w2, w3 = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.uint32)
    state, drawn, number = (
        np.empty((2, CHUNK), np.int32),
        np.empty((3, CHUNK), np.uint32),
        np.empty((2, CHUNK), mean.dtype),
    )
    for b in range(batch):
        for c in range(channels):
            for r in range(height):
                for left in range(0, width, CHUNK):
                    size = min(CHUNK, width - left)
                    words(seed[b], PIXEL, c, origin[b, 0] + r, origin[b, 1] + left, size, w0, w1, w2, w3)
                    span = slice(left, left + size)
                    if not counts(mean[b, c, r, span], w0, w2, size, out[b, c, r, span], state, drawn, number):
                        return False
    return True


@compiled
def add_normal(image, sigma, high, low, size, out):  # type: ignore[no-untyped-def]
    """``out = image + sigma n`` for ``size`` pixels of a row with their words 1 and 3; rounded once."""
    for i in range(size):
        out[i] = fma(sigma, image.dtype.type(standard_normal(high[i], low[i])), image[i])


@compiled
def add_tukey_lambda(image, sigma, shape, scale, high, low, size, out):  # type: ignore[no-untyped-def]
    """:func:`add_normal` with numbers of :func:`tukey_lambda`."""
    for i in range(size):
        out[i] = fma(sigma, image.dtype.type(tukey_lambda(high[i], low[i], shape, scale)), image[i])


@compiled
def _gaussian_image(image, sigma, seed, origin, out):  # type: ignore[no-untyped-def]
    batch, channels, height, width = image.shape
    w0, w1 = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.uint32)
    w2, w3 = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.uint32)
    for b in range(batch):
        scale = image.dtype.type(sigma[b])
        for c in range(channels):
            for r in range(height):
                for left in range(0, width, CHUNK):
                    size = min(CHUNK, width - left)
                    words(seed[b], PIXEL, c, origin[b, 0] + r, origin[b, 1] + left, size, w0, w1, w2, w3)
                    span = slice(left, left + size)
                    add_normal(image[b, c, r, span], scale, w1, w3, size, out[b, c, r, span])


def poisson(
    mean: NDArray[np.floating], seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
) -> NDArray[np.floating]:
    """Poisson counts of the given means, keyed per pixel."""
    mean, seed, origin = checked(mean, seed, origin_px)
    out = np.empty_like(mean)
    if not _poisson_image(mean, seed, origin, out):
        raise_bad_mean(mean)
    return out


def gaussian_noise(
    image: NDArray[np.floating],
    sigma: NDArray[np.float64],
    seed: NDArray[np.uint64],
    *,
    origin_px: NDArray[np.int64],
) -> NDArray[np.floating]:
    """``image + sigma[b] n``, keyed per pixel."""
    image, seed, origin = checked(image, seed, origin_px)
    sigma = np.ascontiguousarray(np.broadcast_to(np.asarray(sigma, np.float64), (image.shape[0],)))
    if not ((sigma >= 0) & np.isfinite(sigma)).all():
        raise InvalidValueError(
            f"sigma must be >= 0 and finite, got {sigma.tolist()}.",
            why="It is a standard deviation, not a variance.",
        )
    out = np.empty_like(image)
    _gaussian_image(image, sigma, seed, origin, out)
    return out


def checked(
    image: NDArray[np.floating], seed: NDArray[np.uint64], origin_px: NDArray[np.int64]
) -> tuple[NDArray[np.floating], NDArray[np.uint64], NDArray[np.int64]]:
    """Contiguous arrays of the kinds that the kernels are compiled for."""
    if image.ndim != 4 or image.dtype not in (np.float32, np.float64):
        raise InvalidValueError(
            f"Noise needs a float32 or float64 image [B, C, H, W], got {image.dtype} {image.shape}.",
            fix="Add the missing axes, or convert it.",
        )
    batch = image.shape[0]
    return (
        np.ascontiguousarray(image),
        np.ascontiguousarray(check_seed(seed, batch), np.uint64),
        check_origin(origin_px, batch),
    )


def raise_bad_mean(mean: NDArray[np.floating]) -> None:
    """Raise an error that names the mean which the kernel refused."""
    with np.errstate(invalid="ignore"):
        bad = np.argwhere(~((mean >= 0) & (mean <= MAX_MEAN)))
    where = tuple(int(i) for i in bad[0])
    raise InvalidValueError(
        f"The mean of a Poisson distribution must be 0 to {MAX_MEAN:g}, got {mean[where]} at [b, c, row, column] = "
        f"{list(where)} and {len(bad) - 1} other places.",
        why="It is a number of electrons.",
        fix="Clamp the picture at 0 before the shot noise; a restored or FFT-blurred picture may go below it.",
    )
