"""What time does to a cell: a pipeline of one cell a cycle. Twin of `ohmgrid.model.device.aging`.

It also reads cells for a refresh (`ohmgrid.model.core.refresh`), for that takes the same product.
"""

from enum import IntEnum

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.arith import saturate, shift_round
from ohmgrid.hdl.base.noise import CellMix, gaussian
from ohmgrid.hdl.base.pipeline import moving
from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.hdl.device.ports import REGISTERS, TABLE_WRITE
from ohmgrid.hdl.device.static import StaticProperties, field
from ohmgrid.hdl.device.tables import Tables, aging_tables, looked_up, static_tables
from ohmgrid.registers.device import STEP_FRAC
from ohmgrid.registers.edge import ADC_FRAC, ADC_MANTISSA
from ohmgrid.registers.map import AGING
from ohmgrid.registers.noise import GAUSS_BITS

__all__ = [
    "AGING_REGISTERS",
    "CODE_BITS",
    "Aging",
    "Change",
]

CODE_BITS = 12
"""Width of the code of a read (signed)."""
SHIFT_BITS = AGING["read_shift"].bits

AGING_REGISTERS = data.StructLayout({name: register.bits for name, register in AGING.items()})


class Change(IntEnum):
    """What happens to a cell."""

    AGE = 0
    RESET = 1
    READ = 2


class Aging(wiring.Component):
    """Leak and diffusion, reset, or read of a cell, `latency` cycles after its operands.

    Parameters
    ----------
    weight_bits : int
    sets : int
        Kinds of devices that the tables hold, 1 or 2.
    lut_delays : bool
        Long delays lie in LUT RAM, not in block RAM.

    Members
    -------
    valid : In(1)
        Operands stand on the inputs.
    weight, reference : In(signed(weight_bits))
    row_static, col_static : In(64), static line keys
    row_cycle, col_cycle : In(32), low halves of the operation's line keys
    bias : In(1)
        The cell is in the always-on column.
    change : In(Change)
        Constant while cells are in flight, as are the registers.
    device : In(REGISTERS)
    registers : In(AGING_REGISTERS)
    table_write, device_set : In
        As ``write`` and ``device_set`` of `ohmgrid.hdl.device.tables.Tables`.
    o : Out(signed(weight_bits))
        The new weight; that of a stuck cell means nothing.
    stuck : Out(1)
    code : Out(signed(CODE_BITS))
        What the ADC reads.
    """

    def __init__(self, weight_bits: int, sets: int = 1, lut_delays: bool = False):
        self._bits, self._lut_delays = weight_bits, lut_delays
        self._mixes = [CellMix() for _ in range(4)]
        self._static = StaticProperties(weight_bits, slopes=False, lut_delays=lut_delays)
        of_cell = static_tables(weight_bits, slopes=False)
        own = aging_tables(weight_bits)
        self._tables = Tables(
            {"upper": of_cell["upper"], "lower": of_cell["lower"], **own}, 1, sets
        )
        super().__init__(
            {
                "valid": In(1),
                "weight": In(signed(weight_bits)),
                "reference": In(signed(weight_bits)),
                "row_static": In(64),
                "col_static": In(64),
                "row_cycle": In(32),
                "col_cycle": In(32),
                "bias": In(1),
                "change": In(2),
                "device": In(REGISTERS),
                "registers": In(AGING_REGISTERS),
                "table_write": In(TABLE_WRITE),
                "device_set": In(1),
                "o": Out(signed(weight_bits)),
                "stuck": Out(1),
                "code": Out(signed(CODE_BITS)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from operands to results."""
        leak = Stages.product_cycles(self._bits + 3, ADC_MANTISSA, block=True) + 3
        return 1 + self._mixes[0].latency + Tables.latency + 3 + leak + 5

    def elaborate(self, platform):
        m = Module()
        active = moving(m, self.valid, self.latency)
        pipe = self._pipe = Stages(m, active, not self._lut_delays)
        m.submodules.tables = tables = self._tables
        m.d.comb += [tables.write.eq(self.table_write), tables.device_set.eq(self.device_set)]

        def operand(name: str) -> Timed:
            # Only with `valid`: the inputs change in every cycle of a sweep.
            held = Signal.like(getattr(self, name), name=f"held_{name}", reset_less=True)
            with m.If(self.valid):
                m.d.sync += held.eq(getattr(self, name))
            return Timed(held, 1)

        names = ("weight", "reference", "row_static", "col_static", "row_cycle", "col_cycle")
        weight, reference, *keys = (operand(name) for name in names)
        words = self._words(m, *(key.value for key in keys))
        upper, lower, stuck = self._properties(m, words, operand("bias"), ~active)
        leak, walk, centre = self._drawn(words, reference)
        ages, reads = self.change == Change.AGE, self.change == Change.READ
        registers = self.registers

        def deviate(word: Value) -> Value:
            bits = Mux(self.change == Change.RESET, word[GAUSS_BITS:], word)[:GAUSS_BITS]
            return gaussian(bits)

        def rounding(word: Value) -> Value:
            start = GAUSS_BITS
            late = word[2 * start : 2 * start + STEP_FRAC]
            return Mux(ages, word[start : start + STEP_FRAC], Mux(reads, 0, late))

        z = pipe.stage("noise", "z", deviate, words[0])
        factor = pipe.stage(
            "noise",
            "factor",
            lambda walk: Mux(ages, walk, Mux(reads, registers.read_noise, registers.reset_noise)),
            walk,
        )
        noise = pipe.product("noise", "product", factor, z, block=False)
        dither = pipe.stage("noise", "dither", rounding, words[0])

        away = pipe.stage(
            "leak", "away", lambda w, centre: Mux(reads, w, w - centre), weight, centre
        )
        scale = pipe.stage(
            "leak", "scale", lambda leak: Mux(reads, registers.read_scale, leak), leak
        )
        moved = self._shifted(pipe.product("leak", "product", away, scale, block=True))

        def start(w: Value, centre: Value) -> Value:
            return Cat(Const(0, STEP_FRAC), Mux(ages, w, Mux(reads, 0, centre))).as_signed()

        def change(base: Value, moved: Value) -> Value:
            return base + Mux(ages, -moved, Mux(reads, moved, 0))

        base = pipe.stage("sum", "base", start, weight, centre)
        total = pipe.stage("sum", "total", change, base, moved)
        noisy = pipe.stage("sum", "noisy", lambda noise, dither: noise + dither, noise, dither)
        total = pipe.stage("sum", "all", lambda total, noisy: total + noisy, total, noisy)
        self._results(total, reference, upper, lower, registers.read_half)
        m.d.comb += self.stuck.eq(pipe.at(stuck, self.latency))
        return m

    def _words(self, m, row_static, col_static, row_cycle, col_cycle) -> list[Timed]:
        """Return the operation's word of the cell, then its static words 1, 2 and 3."""
        row_lo, row_hi, col_lo, col_hi = (
            static[half : half + 32] for static in (row_static, col_static) for half in (0, 32)
        )
        words = []
        sources = ((row_cycle, col_cycle), (row_hi, col_hi), (row_lo, col_hi), (row_hi, col_lo))
        for name, mix, (row, col) in zip(
            ("cycle", "static1", "static2", "static3"), self._mixes, sources, strict=True
        ):
            m.submodules[f"hash_{name}"] = mix
            m.d.comb += [mix.row_key.eq(row), mix.col_key.eq(col)]
            words.append(Timed(mix.o, 1 + mix.latency))
        return words

    def _properties(self, m, words, bias: Timed, resting: Value) -> list[Timed]:
        """Return the magnitudes of the cell's bounds, and whether it is stuck."""
        static = m.submodules.static = self._static
        time = words[1].time
        m.d.comb += [
            static.word1.eq(words[1].value),
            static.word2.eq(self._pipe.at(words[2], time + 1)),
            static.bias.eq(self._pipe.at(bias, time)),
            static.resting.eq(resting),
            static.registers.eq(self.device),
            *(self._tables.lookup0[name].eq(static.lookup[name]) for name in ("upper", "lower")),
            *(static.entries[name].eq(self._tables.entries0[name]) for name in ("upper", "lower")),
        ]
        return [Timed(o, time + static.latency) for o in (static.upper, static.lower, static.stuck)]

    def _drawn(self, words: list[Timed], reference: Timed) -> tuple[Timed, Timed, Timed]:
        """Return the part that leaks, the size of a diffusion, and where leak and reset lead."""
        pipe, (_, first, second, third) = self._pipe, words

        def table(name: str, address: Timed) -> Timed:
            return looked_up(pipe, self._tables.lookup0, self._tables.entries0, name, address)

        leak = table("leak", second.slice(16, 16 + GAUSS_BITS))
        walk = table("diffusion", field(third, 1))
        bias = table("reset", field(third, 2))
        index = Cat(first.value[30:], second.value[26:], third.value[30:])
        drawn = table("reference", Timed(index, first.time))

        def symmetry_point(reference: Value, drawn: Value) -> Value:
            return Mux(self.registers.symmetric, reference - drawn, 0)

        point = pipe.stage("centre", "point", symmetry_point, reference, drawn)
        centre = pipe.stage("centre", "sum", lambda b, p: b + p, bias, point)
        return leak, walk, centre

    def _shifted(self, product: Timed) -> Timed:
        """Return a product with `STEP_FRAC` more fraction bits, shifted back by the register."""
        registers = self.registers
        shift = Mux(self.change == Change.READ, registers.read_shift, registers.leak_shift)
        wide = Timed(Cat(Const(0, STEP_FRAC), product.value).as_signed(), product.time)
        for place in range(0, SHIFT_BITS, 2):

            def part(value: Value, place=place) -> Value:
                return value >> Cat(Const(0, place), shift[place : place + 2])

            wide = self._pipe.stage("leak", f"shift{place}", part, wide)
        return wide

    def _results(self, total, reference, upper, lower, half) -> None:
        """Round and clip: a weight to the cell's own bounds, a code to the ADC's range."""
        pipe = self._pipe

        def clip(value: Value, low: Value, high: Value) -> Value:
            return Mux(value < low, low, Mux(value > high, high, value))

        def settle(total: Value, reference: Value) -> Value:
            return (total >> STEP_FRAC) + reference

        def kept(value: Value, upper: Value, lower: Value) -> Value:
            return clip(value, -lower, upper)[: self._bits].as_signed()

        def stored(value: Value, reference: Value) -> Value:
            return saturate(value - reference, self._bits)

        value = pipe.stage("end", "value", settle, total, reference)
        value = pipe.stage("end", "clipped", kept, value, upper, lower)
        value = pipe.stage("end", "new", stored, value, reference)
        code = pipe.stage("end", "rounded", lambda total: shift_round(total, ADC_FRAC), total)
        code = pipe.stage("end", "code", lambda code: clip(code, -half, half)[:CODE_BITS], code)
        pipe.m.d.comb += [
            self.o.eq(pipe.at(value, self.latency)),
            self.code.eq(pipe.at(code, self.latency)),
        ]
