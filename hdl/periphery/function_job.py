"""What is to be done with results: the layout of a job, and what a pipeline makes of it."""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Shape
from amaranth.lib import data

from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.base.timed import Timed
from ohmgrid.registers.layers import ACTIVATIONS, EXP_FRAC, GUARD, LINEAR, SCALE_BITS, SLOPE_FRAC
from ohmgrid.registers.steps import Func

__all__ = ["DROPPED", "Choice", "chosen", "function_layout"]

SIGMOID, RELU = ACTIVATIONS.index("sigmoid"), ACTIVATIONS.index("relu")
DROPPED = 10
"""Bits of a second product that every job shifts out."""
SHIFT_BITS = 6
FRAC_BITS = 4
LEAST_X_FRAC = 8


def function_layout() -> data.StructLayout:
    """Return the layout of a job.

    ``func``: `ohmgrid.registers.steps.Func`; ``kind``: place in `ACTIVATIONS`, or `LINEAR` (which
    stands for ReLU in a SQUARED job); ``mantissa``, ``shift``: the layer's scale, as of
    `ohmgrid.registers.layers.scale_registers`; ``x_frac``, ``d_frac``: fraction bits of
    activations and errors.
    """
    return data.StructLayout(
        {
            "func": Shape.cast(Func),
            "kind": range(LINEAR + 1),
            "mantissa": SCALE_BITS,
            "shift": SHIFT_BITS,
            "x_frac": FRAC_BITS,
            "d_frac": FRAC_BITS,
        }
    )


class Choice(NamedTuple):
    """What a job says, each in registers of its own."""

    share: Timed
    below: Timed
    output: Timed
    """A value, or the error of an output."""
    squared: Timed
    table: Timed
    """The activation has one."""
    relu: Timed
    mantissa: Timed
    amount: Timed
    """The scale's right shift, less one."""
    second: Timed
    """Right shift of the second product, less one and `DROPPED`."""
    stretch: Timed
    """Left shift of a value less the middle one."""
    middle: Timed
    """Middle value of the table, 0 without one."""
    one: Timed
    """A target of 1.0."""
    gentle: Timed
    """The slope in the middle is 1/4, not 1."""
    curved: Timed
    """The slope depends on the value."""
    stepped: Timed
    """The slope is that of a ReLU."""


def chosen(m: Module, job: data.View, edge_bits: int) -> Choice:
    """Decode a job, to registers: a cycle later.

    Parameters
    ----------
    m : Module
    job : View of `function_layout`
    edge_bits : int
        Width of an edge value.
    """
    kind, x_frac, top = job.kind, job.x_frac, (1 << (edge_bits - 1)) - 1
    share, below, squared = (job.func == f for f in (Func.SHARE, Func.BELOW, Func.SQUARED))
    table, sigmoid, sloped = kind < RELU, kind == SIGMOID, below | squared
    one = Cat(Const(0, LEAST_X_FRAC), Const(1, 1) << x_frac[:3])
    # All second products are shifted left by GUARD, as that of BELOW is longer by so many bits.
    less = GUARD - 1 - DROPPED
    second = Mux(
        squared,
        x_frac - job.d_frac + (SLOPE_FRAC + less),
        Mux(share, EXP_FRAC, SLOPE_FRAC) + less,
    )
    fields = {
        "share": share,
        "below": below,
        "output": ~share & ~below,
        "squared": squared,
        "table": table,
        "relu": kind == RELU,
        "mantissa": job.mantissa,
        "amount": (job.shift - 1)[:SHIFT_BITS],
        "second": second[:5],
        "stretch": ~x_frac[:3],
        "middle": Mux(sigmoid, one >> 1, 0)[: edge_bits - 1],
        "one": Mux(x_frac >= edge_bits - 1, top, one)[: edge_bits - 1],
        "gentle": sigmoid & sloped,
        "curved": table & sloped,
        "stepped": (kind == RELU) & below,
    }
    return Choice(
        **{
            name: Timed(delayed(m, value, f"job_{name}"), 0, held=True)
            for name, value in fields.items()
        }
    )
