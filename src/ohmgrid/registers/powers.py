"""Tables of a logarithm and of a power of two: what an exponent needs in integers.

Computed with `decimal`, whose logarithm and exponential are correctly rounded, so that every
machine holds the same bits. Entries stand for the middle of their interval. Standard library only.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

__all__ = ["LOG_FRAC", "LOG_TABLE", "POWER_BITS", "POWER_TABLE", "TABLE_BITS"]

TABLE_BITS = 8
"""Both tables have ``2**TABLE_BITS`` entries: a relative error of at most 0.14 % each."""
LOG_FRAC = 11
"""Fraction bits of a logarithm."""
POWER_BITS = 17
"""Fraction bits of a power."""


def _tables() -> tuple[tuple[int, ...], tuple[int, ...]]:
    size = 1 << TABLE_BITS
    with localcontext(Context(prec=40, rounding=ROUND_HALF_EVEN)):
        two = Decimal(2).ln()
        middles = [Decimal(2 * k + 1) / (2 * size) for k in range(size)]
        logs = [(1 - (1 + m).ln() / two) * (1 << LOG_FRAC) for m in middles]
        powers = [(-m * two).exp() * (1 << POWER_BITS) for m in middles]
        return tuple(int(v.to_integral_value()) for v in logs), tuple(
            int(v.to_integral_value()) for v in powers
        )


LOG_TABLE, POWER_TABLE = _tables()
"""``-log2((1 + m) / 2)`` and ``2**-m`` for m in 0..1."""
