"""Exponential, logarithm, power and normal distribution whose bits are the same on every machine.

IEEE 754 fixes every bit of ``+ - * /``, of a square root and of scaling by a power of two. It does
not fix those of ``exp``, ``log`` and ``pow``: each platform's libm rounds them in its own way, and
a table rounded from them could differ by a bit. Here they are made of those basic operations alone.
The results are within `ULPS` units in the last place of the true value (tests compare them with
`decimal`), which is far more than a table needs. Standard library only.
"""

import math

__all__ = [
    "INVERSE_LN2",
    "LN2_HIGH",
    "LN2_LOW",
    "ROOT_HALF",
    "ULPS",
    "ceil_log2",
    "exp",
    "expm1",
    "floor_log2",
    "log",
    "log1p",
    "normal_density",
    "normal_quantile",
    "power",
]

ULPS = 4
"""Largest error of `exp`, `expm1`, `log` and `log1p`, in units in the last place."""

# ln 2 as a sum: the upper part has 32 bits, so that its product with an exponent is exact.
LN2_HIGH = float.fromhex("0x1.62E42FEEp-1")
LN2_LOW = float.fromhex("0x1.A39EF35793C76p-33")
INVERSE_LN2 = float.fromhex("0x1.71547652B82FEp0")
ROOT_HALF = math.sqrt(0.5)
_ROOT_TAU = math.sqrt(math.tau)


def _reduced(x: float) -> tuple[float, int]:
    """Return ``exp(r) - 1`` and k of ``x = k ln 2 + r`` with ``|r| <= ln 2 / 2``."""
    k = round(x * INVERSE_LN2)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    # Taylor's series; the term after these is below 2**-56 of the sum.
    total = 0.0
    for n in range(14, 1, -1):
        total = (1.0 + total) * r / n
    return r + r * total, k


def exp(x: float) -> float:
    """Return e to the power of x, for x up to 709; 0 where that is too small for a float."""
    part, k = _reduced(x)
    return math.ldexp(1.0 + part, k)


def expm1(x: float) -> float:
    """Return ``exp(x) - 1``, accurate near 0 too."""
    part, k = _reduced(x)
    return math.ldexp(part, k) + (math.ldexp(1.0, k) - 1.0)


def log(x: float) -> float:
    """Return the natural logarithm of x > 0."""
    mantissa, exponent = math.frexp(x)
    if mantissa < ROOT_HALF:
        mantissa, exponent = 2.0 * mantissa, exponent - 1
    # ln m = 2 artanh f; |f| <= 0.172, so the term after these is below 2**-57 of the sum.
    f = (mantissa - 1.0) / (mantissa + 1.0)
    square = f * f
    total = 0.0
    for n in range(21, 1, -2):
        total = (total + 1.0 / n) * square
    return exponent * LN2_HIGH + (2.0 * f + (2.0 * f * total + exponent * LN2_LOW))


def log1p(x: float) -> float:
    """Return ``log(1 + x)`` of x > -1, accurate near 0 too."""
    rounded = 1.0 + x
    return log(rounded) + (x - (rounded - 1.0)) / rounded


def power(base: float, exponent: float) -> float:
    """Return ``base`` (>= 0) to the power of ``exponent`` (>= 0)."""
    if base == 0.0:
        return 0.0 if exponent else 1.0
    return exp(exponent * log(base))


def floor_log2(x: float) -> int:
    """Return the largest n with ``2**n <= x``, for x > 0. Exact."""
    return math.frexp(x)[1] - 1


def ceil_log2(x: float) -> int:
    """Return the smallest n with ``x <= 2**n``, for x > 0. Exact."""
    mantissa, exponent = math.frexp(x)
    return exponent - 1 if mantissa == 0.5 else exponent


def normal_density(x: float) -> float:
    """Return the density of the standard normal distribution."""
    return exp(-0.5 * x * x) / _ROOT_TAU


def normal_quantile(p: float) -> float:
    """Return x with a probability of p that a standard normal is below it, for p in 0.001..0.999.

    Newton's method on the distribution, whose series ``x + x^3/3 + x^5/15 + ...`` times the density
    is what lies between 0 and x.
    """
    if p < 0.5:
        return -normal_quantile(1.0 - p)
    x = 0.0
    while True:
        density = normal_density(x)
        term, total, n = x, 0.0, 1
        while term > 1e-18:
            total += term
            n += 2
            term *= x * x / n
        # The distribution is concave here: steps lead upwards until rounding ends them.
        step = (p - 0.5 - density * total) / density
        if step < 1e-14:
            return x + step
        x += step
