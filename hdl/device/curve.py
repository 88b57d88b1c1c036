"""The step of a cell at its weight, relative to the step at 0: a pipeline of one cell a cycle.

The twin is `ohmgrid.model.device.step.step_curve`.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.devices.laws import ROOMS
from ohmgrid.doors.checks import check_power_of_two
from ohmgrid.hdl.base.arith import Divider, saturate, shift_half_up
from ohmgrid.hdl.base.timed import Stages, Timed, half
from ohmgrid.hdl.device.ports import MAX_SEGMENTS, REGISTERS
from ohmgrid.hdl.device.static import SLOPE_BITS
from ohmgrid.hdl.device.tables import (
    Tables,
    curve_tables,
    entries_layout,
    looked_up,
    lookup_layout,
)
from ohmgrid.registers.curves import BOUND_FRAC, POSITION_BITS, POSITIONS, RANGE_FRAC
from ohmgrid.registers.device import CURVE_BITS, DRAW_BITS, NODE_BITS, REL_FRAC, ROOM_DITHER_BITS
from ohmgrid.registers.powers import LOG_FRAC, LOG_TABLE, POWER_BITS, POWER_TABLE, TABLE_BITS

__all__ = ["StepCurve"]

EXPONENT_BITS = 18
"""Width of slope times logarithm, `LOG_FRAC` fraction bits."""
LOG_BITS = LOG_FRAC + 4
ROOM_BITS = ROOMS.bit_length() - 1
POWER_CYCLES, LINE_CYCLES = 5, 2
"""Cycles from the product with the slope to a power or to a line."""


class StepCurve(wiring.Component):
    """``curve`` of a cell, `latency` cycles after its weight.

    Parameters
    ----------
    weight_bits : int
    segments : int
        Segments of each table, a power of two.
    power : bool
        With the powers of PowStep.
    tables : bool
        With the steps that TableStep draws.
    blocks : collection of str
        Of its products ``table`` and ``slope``, those in multiplier blocks.
    lut_delays : bool
        Long delays lie in LUT RAM, not in block RAM.

    Members
    -------
    value : In(signed(weight_bits))
        Weight with the reference's added, within +-(2**(weight_bits-1) - 1).
    down : In(1)
    upper, lower : In(weight_bits - 1)
        Magnitudes of the cell's own bounds.
    slope : In(signed(SLOPE_BITS))
        Of the same cell, `slope_time` cycles later: what waits for it is not delayed here.
    draw : In(DRAW_BITS + ROOM_DITHER_BITS)
        Random bits of the same cell, `draw_time` cycles later: those that choose between rooms
        first.
    resting : In(1)
        May be high while no operands are in flight.
    registers : In(REGISTERS)
    lookup : Out(lookup_layout)
    entries : In(entries_layout)
        Addresses in the tables of `curve_tables`, and their entries from `Tables`.
    curve : Out(signed(CURVE_BITS))
    """

    def __init__(
        self,
        weight_bits: int,
        segments: int,
        power: bool,
        tables: bool = True,
        blocks=(),
        lut_delays: bool = False,
    ):
        check_power_of_two("segments", segments, 1, MAX_SEGMENTS)
        self._size_bits = size = weight_bits - 1
        self._segments, self._power, self._tables = segments, power, tables
        self._blocks, self._lut_delays = frozenset(blocks), lut_delays
        layout = curve_tables(segments, tables)
        # Bits of a position within a segment.
        self._part_bits = POSITION_BITS - (segments.bit_length() - 1)
        self._divider = Divider(size + 1 + POSITION_BITS, size + 1, POSITION_BITS)
        super().__init__(
            {
                "value": In(signed(weight_bits)),
                "down": In(1),
                "upper": In(size),
                "lower": In(size),
                "slope": In(signed(SLOPE_BITS)),
                "draw": In(DRAW_BITS + ROOM_DITHER_BITS),
                "resting": In(1),
                "registers": In(REGISTERS),
                "lookup": Out(lookup_layout(layout)),
                "entries": In(entries_layout(layout)),
                "curve": Out(signed(CURVE_BITS)),
            }
        )

    @property
    def draw_time(self) -> int:
        """Cycles from the weight to its place, when the random bits are taken."""
        # Four steps before the divider, one behind it.
        return 5 + self._divider.latency

    @property
    def slope_time(self) -> int:
        """Cycles from the weight to when the slope is taken."""
        product = Stages.product_cycles(CURVE_BITS, self._part_bits, "table" in self._blocks)
        # From the place a line, a logarithm, a step that is drawn; a choice after them.
        ways = [
            Tables.latency + product + 1,
            2 + Stages.READ if self._power else 0,
            2 + Tables.latency if self._tables else 0,
        ]
        return self.draw_time + max(ways) + (self._power or self._tables)

    @property
    def latency(self) -> int:
        """Cycles from the weight to the curve."""
        product = Stages.product_cycles(NODE_BITS, SLOPE_BITS, "slope" in self._blocks)
        return self.slope_time + product + (POWER_CYCLES if self._power else LINE_CYCLES)

    def elaborate(self, platform):
        m = Module()
        pipe, regs = Stages(m, ~self.resting, not self._lut_delays), self.registers
        down = Timed(self.down, 0)
        place, down = self._place(m, pipe, down)
        factor = self._line(pipe, place, down)
        logarithm = self._logarithm(pipe, place) if self._power else None
        ways = [(regs.power, logarithm)] if logarithm else []
        if self._tables:
            ways.append((regs.drawn, self._drawn(pipe, place, down)))
        if ways:
            factor = self._chosen(pipe, factor, *ways)
        slope = Timed(self.slope, factor.time)
        product = pipe.product("slope", "slope", factor, slope, "slope" in self._blocks)
        curve = self._sum(pipe, product)
        if logarithm:
            curve = self._raised(pipe, product, logarithm, curve)
        m.d.comb += self.curve.eq(curve.value)
        return m

    def _is(self, kind: str) -> Value:
        return self.registers.position == POSITIONS.index(kind)

    def _place(self, m: Module, pipe: Stages, down: Timed) -> tuple[Timed, Timed]:
        """Return the place of the weight in the tables, and ``down`` at that time or before."""
        regs, part, bits = self.registers, "position", self._size_bits
        value = Timed(self.value, 0)
        room, of_bound = self._is("room"), self._is("bound")

        def remaining(ahead: Value, value: Value, down: Value) -> Value:
            # ahead - value, or ahead + value where the pulses lead down.
            turned = Cat(~down, value.as_unsigned() ^ (~down).replicate(bits + 1)).as_signed()
            return (Cat(Const(1, 1), ahead, Const(0, 1)).as_signed() + turned) >> 1

        def above(remaining: Value, size: Value) -> Value:
            distance = remaining[:-1] & (~remaining[-1]).replicate(len(remaining) - 1)
            near = Mux(of_bound, size, size << (RANGE_FRAC - BOUND_FRAC))
            return Mux(room, distance << (POSITION_BITS - BOUND_FRAC), near)

        def below(ahead: Value, span: Value, value: Value) -> Value:
            # Zero is at position 0 even where the bound is 0.
            return Mux(of_bound, ahead, span) | (~value.any() & ~room)

        upper, lower = (
            pipe.stage(
                part,
                name,
                lambda own, mean=mean: Mux(regs.own_bounds, own, mean[:bits]),
                Timed(own, 0),
            )
            for name, own, mean in (
                ("upper", self.upper, regs.b_max),
                ("lower", self.lower, regs.b_min),
            )
        )
        size = pipe.stage(part, "size", lambda value: abs(value)[:bits], value)

        def facing(upper: Value, lower: Value, down: Value) -> Value:
            behind = of_bound & Mux(down, regs.behind_down, regs.behind_up)
            return Mux(down ^ behind, lower, upper)

        ahead = pipe.stage(part, "ahead", facing, upper, lower, down)
        span = pipe.stage(part, "span", lambda upper, lower: upper + lower, upper, lower)
        rest = pipe.stage(part, "rest", remaining, ahead, value, down)
        numerator = pipe.stage(part, "numerator", above, rest, size)
        denominator = pipe.stage(part, "denominator", below, ahead, span, value)
        m.submodules.divider = divider = self._divider
        m.d.comb += [
            divider.numerator.eq(Cat(Const(0, BOUND_FRAC), numerator.value)),
            divider.denominator.eq(pipe.at(denominator, numerator.time)),
        ]
        quotient = Timed(divider.quotient, numerator.time + divider.latency)

        def place(quotient: Value, negative: Value) -> Value:
            low, high = quotient[:-1], quotient[-1]
            low = low | (high & ~room).replicate(POSITION_BITS - 1)
            turned = Cat(low ^ negative.replicate(len(low)), Mux(room, high, ~negative))
            return (turned + negative)[:POSITION_BITS]

        negative = pipe.stage(
            part,
            "negative",
            lambda value, down: ~room & (value[-1] ^ (down & of_bound)),
            value,
            down,
        )
        negative, down = pipe.together(quotient.time, negative, down)
        return pipe.stage(part, "place", place, quotient, negative), down

    def _line(self, pipe: Stages, place: Timed, down: Timed) -> Timed:
        """Return the straight line between two nodes at the place."""
        part, bits = "curve", self._part_bits
        segment = place.value[bits:]
        address = Timed(Cat(segment, pipe.at(down, place.time)), place.time)
        word = looked_up(pipe, self.lookup, self.entries, "curve", address)
        start, change = (
            Timed(field.as_signed(), word.time)
            for field in (word.value[:NODE_BITS], word.value[CURVE_BITS:])
        )
        product = pipe.product(
            part, "between", change, place.slice(0, bits), "table" in self._blocks
        )

        def node(start: Value, product: Value) -> Value:
            return ((half(start, bits) + product) >> bits)[:NODE_BITS].as_signed()

        return pipe.stage(part, "line", node, start, product)

    def _drawn(self, pipe: Stages, place: Timed, down: Timed) -> Timed:
        """Return a step of the distribution at a room beside the place."""
        part, spare = "drawn", POSITION_BITS - ROOM_DITHER_BITS
        dither, draw = self.draw[:ROOM_DITHER_BITS], self.draw[ROOM_DITHER_BITS:]

        def row(rooms: Value, dither: Value, draw: Value, down: Value) -> Value:
            total = rooms + Cat(Const(1 << (spare - 1), spare), dither)
            return Cat(draw, total[POSITION_BITS : POSITION_BITS + ROOM_BITS], down)

        rooms = pipe.stage(part, "rooms", lambda place: (place << ROOM_BITS) - place, place)
        chance = (Timed(bits, place.time) for bits in (dither, draw))
        address = pipe.stage(part, "row", row, rooms, *chance, down)
        return looked_up(pipe, self.lookup, self.entries, "steps", address)

    @staticmethod
    def _chosen(pipe: Stages, line: Timed, *ways: tuple[Value, Timed]) -> Timed:
        """Return what a slope multiplies: the first way whose register is set, else the line."""

        def factor(line: Value, *others: Value) -> Value:
            chosen = line
            for (register, _), other in reversed(list(zip(ways, others, strict=True))):
                chosen = Mux(register, other, chosen)[:NODE_BITS]
            return chosen.as_signed()

        return pipe.stage("slope", "factor", factor, line, *(other for _, other in ways))

    def _logarithm(self, pipe: Stages, place: Timed) -> Timed:
        """Return ``-log2(place / 2**15)``; its integer part is 15 where the place is 0."""
        part = "power"

        def normal(value: Value, shifts: tuple[int, ...]) -> tuple[Value, list[Value]]:
            zeros = []
            for shift in shifts:
                empty = ~value[-shift:].any()
                value = Mux(empty, value << shift, value)[:POSITION_BITS]
                zeros.insert(0, empty)
            return value, zeros

        def coarse(place: Value) -> Value:
            value, zeros = normal(place, (8, 4))
            return Cat(value, *zeros)

        def fine(coarse: Value) -> Value:
            value, zeros = normal(coarse[:POSITION_BITS], (2, 1))
            return Cat(value[-1 - TABLE_BITS : -1], *zeros, coarse[POSITION_BITS:])

        first = pipe.stage(part, "coarse", coarse, place)
        second = pipe.stage(part, "fine", fine, first)
        memory = Memory(shape=unsigned(LOG_FRAC), depth=1 << TABLE_BITS, init=LOG_TABLE)
        mantissa = pipe.read(part, "log", memory, second.slice(0, TABLE_BITS))
        zeros = pipe.at(second.slice(TABLE_BITS, TABLE_BITS + 4), mantissa.time)
        return Timed(Cat(mantissa.value, zeros), mantissa.time)

    def _sum(self, pipe: Stages, product: Timed) -> Timed:
        """Return offset and slope times table."""
        offset = self.registers.offset

        def total(product: Value) -> Value:
            return (half(offset.as_signed(), REL_FRAC) + product) >> REL_FRAC

        sums = pipe.stage("slope", "total", total, product)
        return pipe.stage("slope", "out", lambda value: saturate(value, CURVE_BITS), sums)

    def _raised(self, pipe: Stages, product: Timed, logarithm: Timed, line: Timed) -> Timed:
        """Return the power of two of slope times logarithm where the curve is a power.

        It is 0 where the place is, whatever the exponent.
        """
        regs, part = self.registers, "power"

        def exponent(product: Value) -> Value:
            value = shift_half_up(product, REL_FRAC)
            return value[:EXPONENT_BITS] & (~value[-1]).replicate(EXPONENT_BITS)

        def shift(exponent: Value, empty: Value) -> Value:
            total = exponent[LOG_FRAC:] + regs.power_shift
            return total[:5] | (total[5:].any() | empty).replicate(5)

        def chosen(value: Value, shift: Value, line: Value) -> Value:
            return Mux(regs.power, value >> shift[:2], line)[:CURVE_BITS].as_signed()

        exponent_ = pipe.stage(part, "exponent", exponent, product)
        # All but the leading one, which every entry has.
        low = [entry - (1 << (POWER_BITS - 1)) for entry in POWER_TABLE]
        memory = Memory(shape=unsigned(POWER_BITS - 1), depth=1 << TABLE_BITS, init=low)
        fraction = pipe.read(part, "exp", memory, exponent_.slice(LOG_FRAC - TABLE_BITS, LOG_FRAC))
        empty = pipe.stage(part, "empty", lambda log: log[LOG_FRAC:].all(), logarithm)
        places = pipe.stage(part, "shift", shift, exponent_, empty)
        shifted = pipe.stage(
            part,
            "shifted",
            lambda low, shift: Cat(low, Const(1, 1)) >> Cat(Const(0, 2), shift[2:]),
            fraction,
            places,
        )
        return pipe.stage(part, "out", chosen, shifted, places, line)
