"""Tables and scales of the layer arithmetic: the numbers between one tile and the next.

Everything is computed with `decimal` or with exact operations on floats, never with the platform's
``exp``, so that every machine holds the same bits. Standard library only: the golden trainer and a
trainer in gateware load the same numbers.

A pre-activation is a signed integer of `PRE_BITS` bits. Where a table follows, it has `PRE_FRAC`
fraction bits, and its upper bits are the index: entry k holds the function in the middle of its
interval, so that no rounding comes before the table and odd functions stay odd::

    value[k] = f((k + 1/2) / 128 - 8)       k = clip((pre >> INDEX_SHIFT) + 1024, 0, 2047)
    exp[k]   = exp(-k / 128)                k = min((difference + 16) >> INDEX_SHIFT, 2047)
"""

import math
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache
from typing import NamedTuple

from ohmgrid.checks import ConfigError, check_choice

__all__ = [
    "ACTIVATIONS",
    "EXP_FRAC",
    "INDEX_SHIFT",
    "PRE_BITS",
    "PRE_FRAC",
    "SCALE_BITS",
    "SLOPE_FRAC",
    "TABLE_SIZE",
    "ActivationTable",
    "Scale",
    "activation_table",
    "exp_table",
    "scale_registers",
]

ACTIVATIONS = ("sigmoid", "tanh", "relu")
"""Activations by the name the command line uses; ReLU needs no table."""

PRE_BITS = 18
"""Width of a pre-activation (signed)."""
PRE_FRAC = 12
"""Fraction bits of a pre-activation before a table: 4096 means 1.0, the range is +-32."""
INDEX_SHIFT = 5
"""Lower bits of a pre-activation that no table sees: an entry covers 1/128."""
TABLE_SIZE = 2048
"""Entries of a table: +-8 for activations, 0 to 16 for the exponential."""
SLOPE_FRAC = 14
"""Fraction bits of a derivative: 16384 means 1.0."""
EXP_FRAC = 16
"""Fraction bits of an exponential: 65536 means 1.0."""
SCALE_BITS = 18
"""Width of the mantissa of a scale (unsigned, normalised)."""

# Far beyond any entry's last bit; libmpdec's exp is correctly rounded, hence equal everywhere.
_CONTEXT = Context(prec=40, rounding=ROUND_HALF_EVEN)


class ActivationTable(NamedTuple):
    """An activation and its derivative over +-8, `TABLE_SIZE` entries each."""

    value: tuple[int, ...]
    """Activation, ``x_frac`` fraction bits."""
    slope: tuple[int, ...]
    """Derivative, `SLOPE_FRAC` fraction bits."""


class Scale(NamedTuple):
    """A positive real factor as integers: ``mantissa / 2**shift``."""

    mantissa: int
    """`SCALE_BITS` bits, the top one set."""
    shift: int
    """Right shift after the product, >= 1."""


def _fixed(value: Decimal, frac: int) -> int:
    return int((value * (1 << frac)).to_integral_value())


def _sigmoid(v: Decimal) -> tuple[Decimal, Decimal]:
    value = 1 / (1 + (-v).exp())
    return value, value * (1 - value)


def _tanh(v: Decimal) -> tuple[Decimal, Decimal]:
    value = 2 / (1 + (-2 * v).exp()) - 1
    return value, 1 - value * value


_FUNCTIONS: dict[str, Callable[[Decimal], tuple[Decimal, Decimal]]] = {
    "sigmoid": _sigmoid,
    "tanh": _tanh,
}


@cache
def activation_table(name: str, x_frac: int) -> ActivationTable:
    """Return value and derivative of ``name`` (``sigmoid`` or ``tanh``).

    Parameters
    ----------
    name : str
    x_frac : int
        Fraction bits of the values.
    """
    check_choice("activation table", name, tuple(_FUNCTIONS))
    function = _FUNCTIONS[name]
    with localcontext(_CONTEXT):
        middles = (Decimal(2 * k + 1) / 256 - 8 for k in range(TABLE_SIZE))
        pairs = [function(v) for v in middles]
        return ActivationTable(
            value=tuple(_fixed(value, x_frac) for value, _ in pairs),
            slope=tuple(_fixed(slope, SLOPE_FRAC) for _, slope in pairs),
        )


@cache
def exp_table() -> tuple[int, ...]:
    """Return ``exp(-k / 128)`` with `EXP_FRAC` fraction bits, `TABLE_SIZE` entries."""
    with localcontext(_CONTEXT):
        return tuple(_fixed((Decimal(-k) / 128).exp(), EXP_FRAC) for k in range(TABLE_SIZE))


def scale_registers(name: str, factor: float) -> Scale:
    """Round a positive factor to a mantissa and a right shift.

    Parameters
    ----------
    name : str
        What the factor is, for the error line.
    factor : float
        Below ``2**(SCALE_BITS - 1)``, so that a right shift remains.
    """
    exponent = SCALE_BITS - math.frexp(factor)[1]
    mantissa = round(math.ldexp(factor, exponent)) if factor > 0 else 0
    if mantissa == 1 << SCALE_BITS:
        mantissa, exponent = mantissa >> 1, exponent - 1
    if mantissa == 0 or not 1 <= exponent <= 60:
        raise ConfigError(
            name,
            f"expected a factor of 2**-42..2**{SCALE_BITS - 1}, got {factor:g}; "
            "check out_bound, adc_bits and the edge's fraction bits",
        )
    return Scale(mantissa, exponent)
