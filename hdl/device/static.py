"""What is fixed of a cell, from its noise words and tables: a pipeline of one cell a cycle.

The twin is `ohmgrid.model.device.step.static_properties`.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.hdl.device.ports import REGISTERS
from ohmgrid.hdl.device.tables import (
    Tables,
    entries_layout,
    looked_up,
    lookup_layout,
    static_tables,
)
from ohmgrid.registers.device import GAMMA_BITS, REL_BITS, REL_FRAC, STEP_BITS
from ohmgrid.registers.noise import GAUSS_BITS

__all__ = ["SLOPE_BITS", "StaticProperties", "field"]

SLOPE_BITS = GAMMA_BITS + 1
"""Width of a slope or exponent (signed)."""
WORD_BITS = 3 * GAUSS_BITS


def _magnitude(value: Value) -> Value:
    """Return ``abs(value)`` of a signed value that is never the lowest of its width."""
    sign = value[-1]
    return ((value.as_unsigned() ^ sign.replicate(len(value))) + sign)[: len(value) - 1]


def field(word: Timed, index: int) -> Timed:
    """Return the random bits of one draw: field ``index`` of a noise word."""
    return word.slice(GAUSS_BITS * index, GAUSS_BITS * (index + 1))


class StaticProperties(wiring.Component):
    """Step, slope and bounds of a cell in the pulses' direction, `latency` cycles after its words.

    Parameters
    ----------
    weight_bits : int
    slopes : bool
        Without, there are no slopes: ``slope`` is 0.
    lut_delays : bool
        Long delays lie in LUT RAM, not in block RAM.

    Members
    -------
    word0, word1 : In(30)
        Static noise words.
    word2 : In(16)
        A cycle later.
    down, bias : In(1)
        Direction of the pulses; the cell is in the always-on column.
    resting : In(1)
        May be high while no operands are in flight.
    registers : In(REGISTERS)
    lookup : Out(lookup_layout)
    entries : In(entries_layout)
        Addresses in the tables of `static_tables`, and their entries from `Tables`.
    rel : Out(REL_BITS)
    slope : Out(signed(SLOPE_BITS))
    upper, lower : Out(weight_bits - 1)
        Magnitudes of the bounds.
    stuck : Out(1)
    """

    def __init__(self, weight_bits: int, slopes: bool = True, lut_delays: bool = False):
        self._weight_bits, self._slopes = weight_bits, slopes
        self._lut_delays = lut_delays
        tables = static_tables(weight_bits, slopes)
        super().__init__(
            {
                "word0": In(WORD_BITS),
                "word1": In(WORD_BITS),
                "word2": In(16),
                "down": In(1),
                "bias": In(1),
                "resting": In(1),
                "registers": In(REGISTERS),
                "lookup": Out(lookup_layout(tables)),
                "entries": In(entries_layout(tables)),
                "rel": Out(REL_BITS),
                "slope": Out(signed(SLOPE_BITS)),
                "upper": Out(weight_bits - 1),
                "lower": Out(weight_bits - 1),
                "stuck": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from words to properties: tables, and four more."""
        return Tables.latency + 4

    def elaborate(self, platform):
        m = Module()
        pipe, regs = Stages(m, ~self.resting, not self._lut_delays), self.registers
        word0, word1, down = (Timed(value, 0) for value in (self.word0, self.word1, self.down))
        perfect = Timed(self.bias & regs.perfect_bias, 0)
        rel = self._rel(pipe, word0, down, perfect)
        if self._slopes:
            slope = self._slope(pipe, word0, word1, down)
            m.d.comb += self.slope.eq(pipe.at(slope, self.latency))
        upper, lower = self._bounds(pipe, word1, perfect)
        stuck = pipe.stage("stuck", "stuck", lambda word: word < regs.corrupt, Timed(self.word2, 1))
        m.d.comb += [
            self.rel.eq(pipe.at(rel, self.latency)),
            self.upper.eq(pipe.at(upper, self.latency)),
            self.lower.eq(pipe.at(lower, self.latency)),
            self.stuck.eq(pipe.at(stuck, self.latency)),
        ]
        return m

    def _table(self, pipe: Stages, name: str, address: Timed) -> Timed:
        return looked_up(pipe, self.lookup, self.entries, name, address)

    def _rel(self, pipe: Stages, word0: Timed, down: Timed, perfect: Timed) -> Timed:
        regs, part = self.registers, "rel"

        def spread(gain: Value, balance: Value, down: Value) -> Value:
            # gain - balance less 1, which goes to the bias.
            return gain + (balance.as_unsigned() ^ down.replicate(len(balance))).as_signed()

        def total(spread: Value, down: Value) -> Value:
            # Half a unit lower, twice: the carry of the + 1 that a subtraction lacks.
            bias = Mux(down, regs.bias_down, regs.bias_up).as_signed()
            return ((Cat(Const(1, 1), spread).as_signed() + Cat(down, bias).as_signed()) >> 1)[
                : STEP_BITS + 2
            ].as_signed()

        def clipped(size: Value, perfect: Value) -> Value:
            size = size[:REL_BITS] | size[REL_BITS:].any().replicate(REL_BITS)
            return Mux(perfect, 1 << REL_FRAC, size)

        gain = self._table(pipe, "gain", field(word0, 0))
        balance = self._table(pipe, "balance", field(word0, 1))
        halves = pipe.stage(part, "spread", spread, gain, balance, down)
        sums = pipe.stage(part, "total", total, halves, down)
        size = pipe.stage(part, "size", _magnitude, sums)
        return pipe.stage(part, "out", clipped, size, perfect)

    def _slope(self, pipe: Stages, word0: Timed, word1: Timed, down: Timed) -> Timed:
        regs, part = self.registers, "slope"

        def total(drawn: Value, opposite: Value, down: Value) -> Value:
            turned = Cat(down, opposite.as_unsigned() ^ down.replicate(len(opposite))).as_signed()
            return ((Cat(Const(1, 1), drawn).as_signed() + turned) >> 1)[:SLOPE_BITS].as_signed()

        def turned(total: Value) -> Value:
            sign = total[-1] & ~regs.signed_gamma
            return ((total.as_unsigned() ^ sign.replicate(SLOPE_BITS)) + sign)[
                :SLOPE_BITS
            ].as_signed()

        own, third = field(word0, 2), field(word1, 2)
        drawn = Mux(self.down & ~regs.gamma_common, third.value, own.value)
        gamma = self._table(pipe, "gamma", Timed(Cat(drawn, self.down), 0))
        opposite = self._table(pipe, "opposite", third)
        sums = pipe.stage(part, "total", total, gamma, opposite, down)
        return pipe.stage(part, "out", turned, sums)

    def _bounds(self, pipe: Stages, word1: Timed, perfect: Timed) -> tuple[Timed, Timed]:
        part, bits = "bounds", self._weight_bits

        def chosen(first: Value, second: Value, swap: Value, perfect: Value) -> Value:
            return Mux(swap, second, first) | perfect.replicate(bits - 1)

        draws = [
            self._table(pipe, name, field(word1, index))
            for index, name in enumerate(("upper", "lower"))
        ]
        upper, lower = (
            pipe.stage(part, f"size{index}", _magnitude, draw) for index, draw in enumerate(draws)
        )
        swap = pipe.stage(part, "swap", lambda upper, lower: upper < lower, *draws)
        return (
            pipe.stage(part, "b_max", chosen, upper, lower, swap, perfect),
            pipe.stage(part, "b_min", chosen, lower, upper, swap, perfect),
        )
