"""What n coincident pulses do to one crosspoint: a pipeline that takes one cell in each cycle.

The equations stand in `ohmgrid.model.device.step`, the twin of this file; widths and costs in
``docs/device.md``. Identities that save logic, all of them exact:

- ``W - s = ~(~W + s)``: a down step is an up step between two inversions;
- the bounds enclose 0, so the sign of the result tells which of them may clip it;
- a stuck cell keeps its weight: it has no result, so that its weight need not wait for one.
"""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.arith import saturate, shift_half_up
from ohmgrid.hdl.base.noise import CellMix, gaussian
from ohmgrid.hdl.base.pipeline import delayed, moving
from ohmgrid.hdl.base.popcount import Popcount
from ohmgrid.hdl.base.timed import Stages, Timed, half
from ohmgrid.hdl.device.curve import StepCurve
from ohmgrid.hdl.device.ports import REGISTERS, request_layout, result_layout
from ohmgrid.hdl.device.static import StaticProperties
from ohmgrid.hdl.device.tables import (
    Table,
    Tables,
    curve_tables,
    entries_layout,
    looked_up,
    lookup_layout,
    pulse_tables,
    static_tables,
)
from ohmgrid.registers.device import (
    ADDITIVE_SHIFT,
    C2C_BITS,
    C2C_FRAC,
    COUNT_BITS,
    CURVE_BITS,
    DITHER_BITS,
    DRAW_BITS,
    DRAW_START,
    DW_BITS,
    REL_BITS,
    REL_FRAC,
    ROOM_DITHER_BITS,
    SLOPE_FRAC,
    STEP_FRAC,
    TOTAL_BITS,
)
from ohmgrid.registers.map import MAX_WEIGHT_BITS
from ohmgrid.registers.noise import GAUSS_BITS, GAUSS_SIGMA
from ohmgrid.registers.powers import POWER_BITS

__all__ = ["DeviceUnit", "products"]

SPREAD_BITS = 16
AMPLITUDE_BITS = CURVE_BITS - 1
FINE_BITS = TOTAL_BITS - MAX_WEIGHT_BITS
"""Bits of the total that do not fit a multiplier block: LUTs multiply them."""
DITHER_START = 22
"""Bits of the dynamic word: noise 0..9, rounding 10..21, low bits of a clipped weight 22..25, what
chooses a step that is drawn 0..5 and 26..31."""


def products(curve: bool) -> tuple[str, ...]:
    """Return all products of a unit, in the order in which they are given multiplier blocks."""
    of_curve = ("local", "slope", "scale", "table") if curve else ()
    return ("step", "noise", *of_curve, "pulses", "spread")


def _amount(value: Value) -> Value:
    """Return the magnitude of a signed value that is never the lowest of its width."""
    return abs(value)[: len(value) - 1]


class _Late(NamedTuple):
    """What a cell's new weight needs besides the step."""

    value: Timed
    down: Timed
    upper: Timed
    lower: Timed
    rounding: Timed
    low: Timed
    """Low bits of a clipped weight."""
    lane: Timed
    address: Timed


class DeviceUnit(wiring.Component):
    """Pulses of one cell a cycle: ``result = visit(request)``, `latency` cycles later; no stalls.

    Static words 0, 1 and 2 come from the halves of the static keys
    (`ohmgrid.model.device.population`), the dynamic word from the cycle keys. The serial line is
    the cell's row and the lane line its column; in an array that lies turned, the other way round.

    Parameters
    ----------
    weight_bits : int
        Width of a conductance, 12..18.
    lane_bits, address_bits : int
        Widths of the tags that travel with a cell.
    multipliers : int
        How many of its `products` are made with multiplier blocks, the others are made of LUTs.
    segments : int
        Segments of the curve's tables, a power of two up to `MAX_SEGMENTS`.
    power : bool
        With the powers of PowStep.
    curve : bool
        Steps may depend on the weight; without, there is ConstantStep alone
        (`ohmgrid.registers.device.DeviceRegisters.constant`).
    tables : bool
        With the steps that TableStep draws, where there is a curve.
    references : bool
        Without, all reference weights are 0.
    lut_delays : bool
        Long delays lie in LUT RAM, not in block RAM.

    Members
    -------
    request : In(request_layout)
        ``valid``; ``weight`` and ``reference`` within +-(2**(weight_bits-1) - 1); ``bias``: the
        cell is in the always-on column; ``mask``: slots in which both lines fire, at
        least one; ``down``: the pulses lower the conductance; noise keys of both lines; tags.
    turned : In(1)
        Constant while cells are in flight, as are the registers.
    registers : In(REGISTERS)
    lookup : Out(lookup_layout)
    entries : In(entries_layout)
        Addresses in the unit's ``tables``, and their entries from `Tables`.
    result : Out(result_layout)
        Not valid for a stuck cell.
    pulses : Out(COUNT_BITS)
        Of the request of `pulses_time` cycles before.
    """

    def __init__(
        self,
        weight_bits: int,
        lane_bits: int,
        address_bits: int,
        multipliers: int = 2,
        segments: int = 128,
        power: bool = True,
        curve: bool = True,
        tables: bool = True,
        references: bool = True,
        lut_delays: bool = False,
    ):
        check_int("weight_bits", weight_bits, 12, MAX_WEIGHT_BITS)
        check_int("lane_bits", lane_bits, 1, 16)
        check_int("address_bits", address_bits, 1, 32)
        check_int("multipliers", multipliers, 0, len(products(curve)))
        self._bits, self._drawn, self._references = weight_bits, tables, references
        self._lut_delays = lut_delays
        self._blocks = products(curve)[:multipliers]
        self._mixes = [CellMix() for _ in range(4)]
        self._static = StaticProperties(weight_bits, curve, lut_delays)
        self.tables: dict[str, Table] = static_tables(weight_bits, curve) | pulse_tables()
        self._curve = None
        if curve:
            self._curve = StepCurve(weight_bits, segments, power, tables, self._blocks, lut_delays)
            self.tables |= curve_tables(segments, tables)
        widths = (weight_bits, lane_bits, address_bits)
        super().__init__(
            {
                "request": In(request_layout(*widths)),
                "turned": In(1),
                "registers": In(REGISTERS),
                "lookup": Out(lookup_layout(self.tables)),
                "entries": In(entries_layout(self.tables)),
                "result": Out(result_layout(*widths)),
                "pulses": Out(COUNT_BITS),
            }
        )

    pulses_time = Popcount.latency

    @property
    def latency(self) -> int:
        """Cycles from a request to its result."""
        cycles = self._cycles
        # When a pulse's step begins, and its noise.
        drawn = self._mixes[0].latency
        start = drawn + self._static.latency
        if self._curve:
            drawn = start = start + self._curve.latency
        step = start + (cycles("local", CURVE_BITS, REL_BITS) if self._curve else 1) + 3
        amplitude = step
        if self._curve:
            amplitude = max(step, start + 1 + cycles("scale", CURVE_BITS, CURVE_BITS)) + 2
        noise = drawn + Tables.latency + cycles("spread", GAUSS_BITS, C2C_BITS) + 1
        total = 3 + max(
            step + cycles("pulses", CURVE_BITS, COUNT_BITS),
            max(amplitude, noise) + cycles("noise", AMPLITUDE_BITS, SPREAD_BITS),
        )
        fine = Stages.product_cycles(FINE_BITS, DW_BITS, block=False)
        shifted = total + max(cycles("step", MAX_WEIGHT_BITS, DW_BITS), fine) + 2
        return shifted + 4 + (2 if self._references else 0)

    def _cycles(self, product: str, a_bits: int, b_bits: int) -> int:
        return Stages.product_cycles(a_bits, b_bits, product in self._blocks)

    def elaborate(self, platform):
        m = Module()
        pipe = Stages(m, moving(m, self.request.valid, self.latency), not self._lut_delays)
        request, result, bits = self.request, self.result, self._bits
        value, references = Timed(request.weight, 0), []
        if self._references:
            references = [Timed(request.reference, 0)]
            value = pipe.stage(
                "value", "out", lambda w, r: saturate(w + r, bits), value, *references
            )
        down = Timed(request.down, 0)
        word, rel, slope, upper, lower, stuck = self._properties(m, pipe, down)
        m.submodules.popcount = popcount = Popcount()
        m.d.comb += [popcount.i.eq(request.mask), self.pulses.eq(popcount.o)]
        count = Timed(popcount.o, popcount.latency)

        draw = word.slice(0, GAUSS_BITS)
        if self._curve:
            m.submodules.curve = self._curve
            curve = self._step_at(self._curve, pipe, value, down, word, upper, lower, slope)
            rel, draw, count, size = pipe.together(curve.time, rel, draw, count, value)
            local = self._rounded(pipe, self._product(pipe, "local", "local", curve, rel))
            amplitude = self._amplitude(pipe, local, rel, size)
        else:
            local = self._rounded(pipe, pipe.stage("local", "shifted", self._shifted, rel))
            amplitude = local.slice(0, AMPLITUDE_BITS)
        total = self._total(pipe, local, amplitude, draw, count)
        step = self._step(pipe, total)
        tags = (Timed(request.lane, 0), Timed(request.address, 0))
        late = pipe.together(
            step.time,
            *(value, down, upper, lower),
            word.slice(GAUSS_BITS, GAUSS_BITS + STEP_FRAC),
            word.slice(DITHER_START, DITHER_START + DITHER_BITS),
            *tags,
            *references,
        )
        fields = len(_Late._fields)
        cell = _Late(*late[:fields])
        updated = self._move(pipe, step, cell)
        for reference in late[fields:]:
            updated = pipe.stage("move", "distance", lambda a, b: a - b, updated, reference)
            updated = pipe.stage("move", "out", lambda value: saturate(value, bits), updated)

        early, valid = Signal(stuck.time), Signal(self.latency - stuck.time)
        m.d.sync += [
            early.eq(Cat(request.valid, early)),
            valid.eq(Cat(early[-1] & ~stuck.value, valid)),
        ]
        m.d.comb += [
            result.valid.eq(valid[-1]),
            result.weight.eq(pipe.at(updated, self.latency)),
            result.lane.eq(pipe.at(cell.lane, self.latency)),
            result.address.eq(pipe.at(cell.address, self.latency)),
        ]
        return m

    def _step_at(
        self, curve: StepCurve, pipe: Stages, value: Timed, down: Timed, *of_cell: Timed
    ) -> Timed:
        """Return the step at the weight, relative to that at 0."""
        word, upper, lower, slope = of_cell
        start = upper.time
        if self._drawn:
            dither = word.slice(0, ROOM_DITHER_BITS)
            draw = word.slice(DRAW_START, DRAW_START + DRAW_BITS)
            chance = pipe.together(start + curve.draw_time, dither, draw)
            pipe.m.d.comb += curve.draw.eq(Cat(*(bits.value for bits in chance)))
        pipe.m.d.comb += [
            curve.value.eq(pipe.at(value, start)),
            curve.down.eq(pipe.at(down, start)),
            curve.upper.eq(upper.value),
            curve.lower.eq(lower.value),
            curve.slope.eq(pipe.at(slope, start + curve.slope_time)),
            curve.resting.eq(~pipe.moving),
            curve.registers.eq(self.registers),
        ]
        self._forward(pipe.m, curve)
        return Timed(curve.curve, start + curve.latency)

    def _properties(self, m: Module, pipe: Stages, down: Timed) -> tuple[Timed, ...]:
        """Return the dynamic word, and step, slope, bounds and stuck bit of the cell."""
        request, words = self.request, []
        serial, lane = request.serial_static, request.lane_static
        # Of the row and of the column, in registers: the word they make is the last to be needed.
        low, high = (
            delayed(m, Mux(self.turned, *keys), name)
            for name, keys in (
                ("row_lower", (lane[:32], serial[:32])),
                ("column_upper", (serial[32:], lane[32:])),
            )
        )
        for mix, (name, one, other) in zip(
            self._mixes,
            (
                ("hash_cycle", request.serial_cycle, request.lane_cycle),
                ("hash_static0", serial[:32], lane[:32]),
                ("hash_static1", serial[32:], lane[32:]),
                ("hash_static2", low, high),
            ),
            strict=True,
        ):
            m.submodules[name] = mix
            m.d.comb += [mix.row_key.eq(one), mix.col_key.eq(other)]
            words.append(Timed(mix.o, mix.latency))
        time = words[0].time
        m.submodules.static = static = self._static
        m.d.comb += [
            static.word0.eq(words[1].value),
            static.word1.eq(words[2].value),
            static.word2.eq(words[3].value),
            static.down.eq(pipe.at(down, time)),
            static.bias.eq(pipe.at(Timed(request.bias, 0), time)),
            static.resting.eq(~pipe.moving),
            static.registers.eq(self.registers),
        ]
        self._forward(m, static)
        outputs = (static.rel, static.slope, static.upper, static.lower, static.stuck)
        return words[0], *(Timed(output, time + static.latency) for output in outputs)

    def _forward(self, m: Module, part: StaticProperties | StepCurve) -> None:
        """Connect a part of the unit to its tables."""
        for name in part.lookup.shape().members:
            m.d.comb += [
                self.lookup[name].eq(part.lookup[name]),
                part.entries[name].eq(self.entries[name]),
            ]

    def _product(self, pipe: Stages, part: str, name: str, a: Timed, b: Timed | Value) -> Timed:
        """Multiply ``a`` by a value or a register."""
        factor = b if isinstance(b, Timed) else Timed(b, a.time, held=True)
        return pipe.product(part, name, a, factor, name in self._blocks)

    def _shifted(self, rel: Value) -> Value:
        """Return ``rel`` times a curve that is 1 everywhere."""
        return rel << (POWER_BITS - self.registers.power_shift)[:4]

    def _rounded(self, pipe: Stages, raw: Timed) -> Timed:
        """Return the step of a pulse: the steps of cell and curve multiplied."""
        wide = pipe.stage("local", "rounded", lambda raw: shift_half_up(raw, REL_FRAC), raw)
        return pipe.saturated("local", "out", wide, CURVE_BITS)

    def _amplitude(self, pipe: Stages, local: Timed, rel: Timed, value: Timed) -> Timed:
        """Return what the noise of a pulse scales with."""
        regs, part = self.registers, "amplitude"

        def scaled_by(rel: Value, value: Value) -> Value:
            return Mux(regs.additive, rel << ADDITIVE_SHIFT, _amount(value))[:CURVE_BITS]

        def extra(product: Value) -> Value:
            return (product >> SLOPE_FRAC) + regs.noise_add

        def magnitude(local: Value) -> Value:
            return _amount(local) & (~regs.additive).replicate(AMPLITUDE_BITS)

        def amplitude(size: Value, extra: Value) -> Value:
            total = size + extra
            return total[:AMPLITUDE_BITS] | total[AMPLITUDE_BITS:].any().replicate(AMPLITUDE_BITS)

        weight = pipe.stage(part, "weight", scaled_by, rel, value)
        product = self._product(pipe, part, "scale", weight, regs.noise_factor)
        more = pipe.stage(part, "extra", extra, product)
        size = pipe.stage(part, "size", magnitude, local)
        return pipe.stage(part, "out", amplitude, size, more)

    def _total(
        self, pipe: Stages, local: Timed, amplitude: Timed, draw: Timed, count: Timed
    ) -> Timed:
        """Return the steps of all pulses with their noise, in units of the mean step."""
        shift = GAUSS_SIGMA.bit_length() - 1 + C2C_FRAC - REL_FRAC

        def noise(spread: Value) -> Value:
            return shift_half_up(spread, shift)[:SPREAD_BITS].as_signed()

        def total(pulses: Value, product: Value) -> Value:
            return (half(pulses, REL_FRAC) + product) >> REL_FRAC

        z = pipe.stage("noise", "z", gaussian, draw)
        sigma = looked_up(pipe, self.lookup, self.entries, "c2c", count)
        spread = self._product(pipe, "noise", "spread", z, sigma)
        relative = pipe.stage("noise", "out", noise, spread)

        pulses = self._product(pipe, "total", "pulses", local, count)
        product = self._product(pipe, "total", "noise", relative, amplitude)
        sums = pipe.stage("total", "sum", total, pulses, product)
        return pipe.saturated("total", "out", sums, TOTAL_BITS)

    def _step(self, pipe: Stages, total: Timed) -> Timed:
        """Return the total in weight LSB, with `STEP_FRAC` fraction bits."""
        dw, dw_shift = self.registers.dw, self.registers.dw_shift
        high = Timed(total.value[FINE_BITS:].as_signed(), total.time)
        product = self._product(pipe, "step", "step", high, dw)
        fine = pipe.product(
            "step", "fine", total.slice(0, FINE_BITS), Timed(dw, total.time, held=True), False
        )

        def joined(product: Value, fine: Value) -> Value:
            upper = (product + fine[FINE_BITS:])[: len(product)]
            return Cat(fine[:FINE_BITS], upper).as_signed()

        def shifted(step: Value) -> Value:
            four, eight = dw_shift[2], dw_shift[3]
            return Mux(eight, Mux(four, step >> 12, step >> 8), Mux(four, step >> 4, step))

        return pipe.stage(
            "step", "shifted", shifted, pipe.stage("step", "out", joined, product, fine)
        )

    def _move(self, pipe: Stages, step: Timed, cell: _Late) -> Timed:
        """Return the weight after the step, clipped to the cell's bounds."""
        regs, part, bits = self.registers, "move", self._bits - 1
        dithered = regs.visible.any()

        def moved(step: Value, rounding: Value, value: Value, down: Value) -> Value:
            start = Cat(rounding, value) ^ down.replicate(STEP_FRAC + bits + 1)
            return (start.as_signed() + step) >> STEP_FRAC

        def bound(turned: Value, down: Value, upper: Value, lower: Value, low: Value) -> Value:
            near = Mux(turned[-1] ^ down, lower, upper)
            return Cat(Mux(dithered, low, near[:DITHER_BITS]), near[DITHER_BITS:])

        def beyond(turned: Value, down: Value, limit: Value) -> Value:
            # The sign of limit - abs(moved); the lowest bit carries into the sum.
            minus = turned.as_unsigned() ^ (~turned[-1]).replicate(len(turned))
            size = Cat(~(turned[-1] ^ down), minus).as_signed()
            return (size + Cat(Const(1, 1), limit))[-1]

        def end(turned: Value, down: Value, limit: Value) -> Value:
            negative = turned[-1] ^ down
            return Cat(limit ^ negative.replicate(bits), negative)

        def inside(turned: Value, down: Value) -> Value:
            return turned[: bits + 1] ^ down.replicate(bits + 1)

        def chosen(over: Value, end: Value, inside: Value) -> Value:
            return (Mux(over, end, inside) + (over & end[-1]))[: bits + 1].as_signed()

        turned = pipe.stage(part, "turned", moved, step, cell.rounding, cell.value, cell.down)
        bounds = (cell.down, cell.upper, cell.lower, cell.low)
        limit = pipe.stage(part, "limit", bound, turned, *bounds)
        over = pipe.stage(part, "over", beyond, turned, cell.down, limit)
        stop = pipe.stage(part, "stop", end, turned, cell.down, limit)
        free = pipe.stage(part, "free", inside, turned, cell.down)
        return pipe.stage(part, "clipped", chosen, over, stop, free)
