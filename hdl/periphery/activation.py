"""Activations and their slopes: stages of a pipeline.

A table is odd around its middle value m (`ohmgrid.registers.layers.half_table`): it is stored from
there on, as ``c = a - m``, and a slope is that of the middle less ``c**2``:
``a (1 - a) = 1/4 - (a - 1/2)**2`` for sigmoid, ``1 - a**2`` for tanh.
"""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from ohmgrid.hdl.base.arith import beyond, saturate
from ohmgrid.hdl.base.block_ram import BlockRam
from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.hdl.periphery.function_job import Choice
from ohmgrid.registers.layers import INDEX_SHIFT, SLOPE_FRAC, TABLE_SIZE

__all__ = ["Activation", "activation_of", "slope_of", "table_layout"]

PART = "activations"
"""Submodule of the values' stages."""
SLOPES = "slopes"
INDEX_BITS = (TABLE_SIZE - 1).bit_length()
CENTRED_FRAC = 15
"""Fraction bits of a value less the middle one, before it is squared."""


class Activation(NamedTuple):
    """What is found for a scaled result."""

    value: Timed
    word: Timed
    """Distance of the value from the middle one, where there is a table."""
    clipped: Timed
    """An edge clipped the value."""


def table_layout(edge_bits: int) -> data.StructLayout:
    """Return the layout of a write to the activation's table.

    ``data`` at ``address``: an entry of `ohmgrid.registers.layers.half_table`.
    """
    return data.StructLayout({"en": 1, "address": range(TABLE_SIZE // 2), "data": edge_bits - 1})


def _table(m: Module, write: data.View, place: Timed, bits: int) -> Timed:
    """Add the memory of a table; return what stands at a place."""
    m.submodules.table = table = BlockRam(bits - 1, TABLE_SIZE // 2)
    written = Signal.like(write)
    m.d.sync += written.eq(write)
    m.d.comb += [
        table.write.eq(written.en),
        table.write_address.eq(written.address),
        table.data.eq(written.data),
        table.read0.eq(1),
        table.address0.eq(place.value),
    ]
    return Timed(table.o0, place.time + table.latency)


def activation_of(
    pipe: Stages, choice: Choice, write: data.View, scaled: Timed, bits: int
) -> Activation:
    """Return the activation of a scaled result.

    Parameters
    ----------
    pipe : Stages
    choice : Choice
    write : View of `table_layout`
    scaled : Timed
    bits : int
        Width of an edge value.
    """

    def entry(scaled: Value) -> Value:
        """Place in the half table: below the middle the same from the other side."""
        index, sign = scaled[INDEX_SHIFT:], scaled[-1]
        far = (index[INDEX_BITS - 1 : -1] ^ sign.replicate(len(index) - INDEX_BITS)).any()
        folded = index[: INDEX_BITS - 1] ^ sign.replicate(INDEX_BITS - 1)
        return folded | far.replicate(INDEX_BITS - 1)

    place = pipe.stage(PART, "entry", entry, scaled)
    word = _table(pipe.m, write, place, bits)
    clipped = pipe.stage(
        PART,
        "clipped",
        lambda scaled, table, relu: beyond(scaled, bits) & ~table & ~(relu & scaled[-1]),
        *(scaled, choice.table, choice.relu),
    )
    direct = pipe.stage(
        PART,
        "direct",
        lambda scaled, clipped, relu: Mux(relu & scaled[-1], 0, saturate(scaled, bits, clipped)),
        *(scaled, clipped, choice.relu),
    )

    def value(word: Value, direct: Value, scaled: Value, table: Value, middle: Value) -> Value:
        sign = scaled[-1]
        found = Cat(word ^ sign.replicate(len(word)), sign).as_signed()
        # The carry of a negation comes from a bit below.
        total = Cat(Const(1, 1), Mux(table, found, direct)) + Cat(table & sign, middle)
        return total[1 : 1 + bits].as_signed()

    operands = (word, direct, scaled, choice.table, choice.middle)
    return Activation(pipe.stage(PART, "value", value, *operands), word, clipped)


def slope_of(pipe: Stages, choice: Choice, word: Timed, activation: Timed) -> Timed:
    """Return the slope, in a BELOW job of an activation, else of a word of the table.

    ``slope = middle slope - rint(c**2)``.
    """
    bits = CENTRED_FRAC + 1
    centred = pipe.stage(
        SLOPES,
        "centred",
        lambda activation, middle: (activation - middle)[:bits].as_signed(),
        *(activation, choice.middle),
    )

    def stretched(centred: Value, word: Value, below: Value, stretch: Value) -> Value:
        value = Mux(below, centred, word)
        return Mux(stretch[2], value << 4, value)[:bits].as_signed()

    operands = (centred, word, choice.below, choice.stretch)
    half = pipe.stage(SLOPES, "stretched", stretched, *operands)
    wide = pipe.stage(
        SLOPES,
        "wide",
        lambda half, stretch, curved: Mux(curved, (half << stretch[:2])[:bits].as_signed(), 0),
        *(half, choice.stretch, choice.curved),
    )
    square = pipe.product(SLOPES, "square", wide, wide, block=True)
    shift = 2 * CENTRED_FRAC - SLOPE_FRAC
    off = pipe.stage(SLOPES, "off", lambda activation: activation <= 0, activation)

    def less(square: Value, off: Value, gentle: Value, stepped: Value) -> Value:
        """``middle - rint(square)`` by one adder: the half goes in a bit below.

        There are no ties: no square is ``2**15`` times an odd number.
        """
        full = ~(gentle | (stepped & off))
        middle = Cat(Const(0, SLOPE_FRAC - 2), gentle, Const(0, 1), full)
        taken = square[shift - 1 : shift + len(middle)]
        return (Cat(Const(0, 1), middle) - taken)[1 : 1 + len(middle)]

    return pipe.stage(SLOPES, "slope", less, square, off, choice.gentle, choice.stepped)
