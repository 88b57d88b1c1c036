"""Tables and scales of the layer arithmetic: the numbers between one tile and the next.

Everything is computed with `decimal` or with exact operations on floats, never with the platform's
``exp``, so that every machine holds the same bits. Standard library only: the golden trainer and a
trainer in gateware load the same numbers.

A result of a tile times a scale is a number with `PRE_FRAC` fraction bits wherever a table follows;
its upper bits are the index. Entry k of an activation holds the function in the middle of its
interval, so that no rounding comes before the table and odd functions stay odd; the exponential is
the product of two tables, one for the upper and one for the lower bits of its index::

    value[k]  = f((k + 1/2) / 128 - 8)       k = clip((pre >> INDEX_SHIFT) + 1024, 0, 2047)
    coarse[k] = exp(-k)                      k = index >> 7
    fine[k]   = exp(-k / 128)                k = index & 127
"""

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache
from typing import NamedTuple

from ohmgrid.doors.checks import ConfigError, check_choice
from ohmgrid.registers.scales import normalised

__all__ = [
    "ACTIVATIONS",
    "EXP_FRAC",
    "FAR_BITS",
    "FINE_BITS",
    "GUARD",
    "GUARDED_BITS",
    "INDEX_SHIFT",
    "LINEAR",
    "LOSS_BITS",
    "LOSS_FRAC",
    "MOST_CLASSES",
    "PRE_FRAC",
    "RELU_X_FRAC",
    "SCALE_BITS",
    "SHARE_BITS",
    "SLOPE_FRAC",
    "TABLE_SIZE",
    "ExpTables",
    "Scale",
    "activation_table",
    "exp_tables",
    "half_table",
    "scale_registers",
]

ACTIVATIONS = ("sigmoid", "tanh", "relu")
"""Activations by the name the command line uses; ReLU needs no table."""
LINEAR = len(ACTIVATIONS)
"""Number of no activation. A ReLU at the output would never learn where it is off: under a squared
error it is linear."""

PRE_FRAC = 12
"""Fraction bits of a pre-activation before a table: 4096 means 1.0."""
RELU_X_FRAC = 10
"""Fraction bits of the activations of ReLU nets, which reach 9 to 15 where others stay below 1."""
FAR_BITS = 16
"""Width of an output's distance from the largest one (unsigned, `PRE_FRAC` fraction bits): beyond
its 16.0 an exponential is 0."""
INDEX_SHIFT = 5
"""Lower bits of a pre-activation that no table sees: an entry covers 1/128."""
TABLE_SIZE = 2048
"""Places of an index: +-8 for activations, 0 to 16 for the exponential."""
SLOPE_FRAC = 14
"""Fraction bits of a derivative: 16384 means 1.0."""
GUARD = 4
"""Fraction bits of an error beyond ``d_frac`` before it meets the derivative."""
GUARDED_BITS = 22
"""Width of an error with guard bits."""
EXP_FRAC = 16
"""Fraction bits of an exponential: 65536 means 1.0."""
SHARE_BITS = EXP_FRAC + 1
"""Width of an exponential: 1.0 is one of them."""
FINE_BITS = 7
"""Bits of an exponential's index that the fine table takes."""
MOST_CLASSES = 255
"""Most outputs of softmax: the sum of their exponentials then has 24 bits."""
LOSS_FRAC = 14
"""Fraction bits of the loss of a squared error."""
LOSS_BITS = 32
"""Width of it (unsigned); it saturates."""
SCALE_BITS = 18
"""Width of the mantissa of a scale (unsigned, normalised)."""

# Far beyond any entry's last bit; libmpdec's exp is correctly rounded, hence equal everywhere.
_CONTEXT = Context(prec=40, rounding=ROUND_HALF_EVEN)


class ExpTables(NamedTuple):
    """``exp`` of 0 to -16 in steps of 1/128 as a product, `EXP_FRAC` fraction bits each."""

    coarse: tuple[int, ...]
    """``exp(-k)``, k = 0..15."""
    fine: tuple[int, ...]
    """``exp(-k / 128)``, k = 0..127."""


class Scale(NamedTuple):
    """A positive real factor as integers: ``mantissa / 2**shift``."""

    mantissa: int
    """`SCALE_BITS` bits, the top one set; or 1, of a power of two."""
    shift: int
    """Right shift after the product, >= 1."""


def _fixed(value: Decimal, frac: int) -> int:
    return int((value * (1 << frac)).to_integral_value())


def _sigmoid(v: Decimal) -> Decimal:
    return 1 / (1 + (-v).exp())


def _tanh(v: Decimal) -> Decimal:
    return 2 / (1 + (-2 * v).exp()) - 1


_FUNCTIONS: dict[str, Callable[[Decimal], Decimal]] = {"sigmoid": _sigmoid, "tanh": _tanh}


@cache
def activation_table(name: str, x_frac: int) -> tuple[int, ...]:
    """Return the values of ``sigmoid`` or ``tanh`` over +-8: `TABLE_SIZE` entries.

    No entry is a limit of the function, 1.0 or (sigmoid) 0.0, -1.0 (tanh): the slope is computed
    from the value, and where it were 0 a cell would be cut off from its error for good.

    Parameters
    ----------
    name : str
    x_frac : int
        Fraction bits of the values.
    """
    check_choice("activation table", name, tuple(_FUNCTIONS))
    function, top = _FUNCTIONS[name], (1 << x_frac) - 1
    low = 1 if name == "sigmoid" else -top
    with localcontext(_CONTEXT):
        middles = (Decimal(2 * k + 1) / 256 - 8 for k in range(TABLE_SIZE))
        return tuple(min(max(_fixed(function(v), x_frac), low), top) for v in middles)


def half_table(name: str, x_frac: int) -> tuple[int, ...]:
    """Return what tells a table of `activation_table`: its upper half, from the middle value on.

    Around its middle value m, 1/2 of ``sigmoid`` and 0 of ``tanh``, a table is odd to the bit::

        value[1024 + k] = m + half[k]        value[1023 - k] = m - half[k]        k = 0..1023

    Parameters
    ----------
    name : str
    x_frac : int
        Fraction bits of the values.

    Returns
    -------
    ``TABLE_SIZE / 2`` entries, 0 to ``2**x_frac - 1``
    """
    middle = 1 << (x_frac - 1) if name == "sigmoid" else 0
    return tuple(value - middle for value in activation_table(name, x_frac)[TABLE_SIZE // 2 :])


@cache
def exp_tables() -> ExpTables:
    """Return the two tables whose product is the exponential."""
    with localcontext(_CONTEXT):
        steps = 1 << FINE_BITS
        return ExpTables(
            coarse=tuple(_fixed(Decimal(-k).exp(), EXP_FRAC) for k in range(TABLE_SIZE // steps)),
            fine=tuple(_fixed((Decimal(-k) / steps).exp(), EXP_FRAC) for k in range(steps)),
        )


def scale_registers(name: str, factor: float) -> Scale:
    """Round a positive factor to a mantissa and a right shift.

    Parameters
    ----------
    name : str
        What the factor is, for the error line.
    factor : float
        Below ``2**(SCALE_BITS - 1)``, so that a right shift remains.
    """
    mantissa, exponent = normalised(factor, SCALE_BITS)
    if mantissa == 0 or not 1 <= exponent <= 60:
        raise ConfigError(
            name,
            f"expected a factor of 2**-42..2**{SCALE_BITS - 1}, got {factor:g}; "
            "check out_bound, adc_bits and the edge's fraction bits",
        )
    return Scale(mantissa, exponent)
