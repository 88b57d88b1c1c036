"""From the sums of all sweeps to the value that the ADC rounds: twin of `model.periphery.readout`.

Line after line, with one adder for all products: only who asks for these non-idealities waits.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.arith import SerialProduct, SquareRoot
from ohmgrid.hdl.base.noise import gaussian
from ohmgrid.periphery import W_NOISE_TYPES
from ohmgrid.registers.map import READ_BITS
from ohmgrid.registers.noise import GAUSS_BITS
from ohmgrid.registers.readout import (
    IR_FRAC,
    KEEP_BITS,
    KEEP_FRAC,
    LOAD_BITS,
    LOAD_FRAC,
    MANTISSA,
    NOISE_BITS,
    REACH_BITS,
    ROOT_FRAC,
    SPREAD_FRAC,
    Part,
    ReadRegisters,
)

__all__ = ["LineValue", "Readout"]

VALUE_BITS = REACH_BITS + 1
ROOT_BITS = REACH_BITS // 2 + ROOT_FRAC
INNER_BITS = LOAD_FRAC + 4
CURVE_BITS = LOAD_FRAC + 6
DROP_BITS = CURVE_BITS
SPREAD_BITS = NOISE_BITS + SPREAD_FRAC


def reach(value: Value) -> Value:
    """Saturate a line's value: ``-2**REACH_BITS`` to ``2**REACH_BITS - 1``."""
    sign = value[-1]
    beyond = (value[REACH_BITS:] ^ sign.replicate(len(value) - REACH_BITS)).any()
    low = Mux(beyond, (~sign).replicate(REACH_BITS), value[:REACH_BITS])
    return Cat(low, sign).as_signed()


class LineValue(wiring.Component):
    """Value and output noise of one line: `model.periphery.readout.values` and ``amplitudes``.

    Members
    -------
    start : In(1)
        Strobe: the inputs are there and stay until `done`.
    value, load, position, power : In(signed(31))
        Scaled sums; those that the registers do not ask for are ignored.
    key, static_key : In(64)
        Line keys (OUTPUT, line, pass) and (OUTPUT, line, direction) of the static verb.
    noise : In(21)
        `ohmgrid.registers.edge.ConverterRegisters.noise`.
    ir, w_kind, w_scale, w_shift, out_keep, out_spread : In
        `ohmgrid.registers.readout.ReadRegisters`.
    done : Out(1)
        High for one cycle, `cycles` cycles after `start`.
    o : Out(signed(31))
        The value, until the next start.
    amplitude : Out(21)
        The line's output noise for one Gaussian LSB, likewise.
    gauss : Out(signed(9))
        The draw of that noise, from the cycle after `done`.
    """

    REGISTERS = ("ir", "w_kind", "w_scale", "w_shift", "out_keep", "out_spread")

    def __init__(self):
        sums = ("value", "load", "position", "power")
        super().__init__(
            {
                "start": In(1),
                **{name: In(signed(VALUE_BITS)) for name in sums},
                "key": In(64),
                "static_key": In(64),
                "noise": In(NOISE_BITS),
                **{name: In(READ_BITS[name]) for name in self.REGISTERS},
                "done": Out(1),
                "o": Out(signed(VALUE_BITS)),
                "amplitude": Out(NOISE_BITS),
                "gauss": Out(signed(9)),
            }
        )
        self._root = SquareRoot(REACH_BITS + 2 * ROOT_FRAC)

    def cycles(self, registers: ReadRegisters) -> int:
        """Return the cycles from `start` to `done`."""
        cycles = 1
        if registers.ir:
            # Each product: its start, its bits, its end; then the subtraction.
            cycles += sum(2 + bits for bits in (LOAD_BITS + 1, INNER_BITS, IR_FRAC, DROP_BITS))
        if registers.w_kind:
            shifts = registers.w_shift // 8 + registers.w_shift % 8 + 1
            cycles += 1 + self._root.cycles + 2 + ROOT_BITS + 2 + MANTISSA + shifts
        if registers.out_keep != 1 << KEEP_FRAC:
            cycles += 2 + KEEP_BITS
        if registers.out_spread:
            cycles += 2 + SPREAD_BITS
        return cycles

    def _product(self, m, name, a, b, bits, then):
        """Add the states of ``a * b``; ``then`` takes the product when it is there."""
        product = self._multiplier

        def factors():
            m.d.comb += [product.a.eq(a), product.b.eq(b), product.bits.eq(bits)]

        with m.State(name):
            factors()
            m.d.comb += product.start.eq(1)
            m.next = f"{name}_WAIT"
        with m.State(f"{name}_WAIT"):
            factors()
            with m.If(product.done):
                then(product.o >> (len(product.b) - bits))

    def elaborate(self, platform):
        m = Module()
        m.submodules.root = root = self._root
        m.submodules.multiplier = self._multiplier = SerialProduct(VALUE_BITS, SPREAD_BITS)
        held = Signal(CURVE_BITS, reset_less=True)
        wide = Signal(signed(VALUE_BITS + MANTISSA), reset_less=True)
        left = Signal.like(self.w_shift)
        # One table of the Gaussian serves all three draws.
        reading, spreading = Signal(), Signal()
        bits = Mux(
            reading,
            self.key[16 : 16 + GAUSS_BITS],
            Mux(spreading, self.static_key[:GAUSS_BITS], self.key[:GAUSS_BITS]),
        )
        m.d.sync += self.gauss.eq(gaussian(bits))
        load = self.load[:LOAD_BITS] | self.load[LOAD_BITS:].any().replicate(LOAD_BITS)
        a = Signal(LOAD_BITS)
        m.d.comb += [a.eq(load), root.value.eq(self.power[:REACH_BITS] << 2 * ROOT_FRAC)]

        def go_from(step):
            """Go to the first step, from ``step`` on, that the registers ask for."""
            steps = [
                ("FALL", self.ir != 0),
                ("ROOT", self.w_kind != 0),
                ("KEEP", self.out_keep != 1 << KEEP_FRAC),
                ("SPREAD", self.out_spread != 0),
            ]
            m.next = "DONE"
            for name, wanted in reversed(steps[step:]):
                with m.If(wanted):
                    m.next = name

        def fallen(product):
            m.d.sync += held.eq((10 << LOAD_FRAC) - (product >> LOAD_FRAC))
            m.next = "CURVE"

        def curved(product):
            m.d.sync += held.eq(product >> LOAD_FRAC)
            m.next = "STRENGTH"

        def strong(product):
            m.d.sync += held.eq(product >> IR_FRAC)
            m.next = "DROP"

        def dropped(product):
            m.d.sync += self.o.eq(reach(self.o - (product >> LOAD_FRAC)))
            go_from(1)

        def noisy(product):
            m.d.sync += wide.eq(product)
            m.next = "NOISE"

        def scaled(product):
            m.d.sync += [wide.eq(product), left.eq(self.w_shift)]
            m.next = "SHIFT"

        def kept(product):
            with m.If(self.o < 0):
                m.d.sync += self.o.eq(reach(product >> KEEP_FRAC))
            go_from(3)

        def spread(product):
            total = Signal(signed(NOISE_BITS + SPREAD_FRAC + 4))
            size = Mux(total < 0, -total, total)[: len(total) - 1]
            m.d.comb += total.eq(self.noise + (product >> SPREAD_FRAC))
            beyond = size[NOISE_BITS:].any().replicate(NOISE_BITS)
            m.d.sync += self.amplitude.eq(size[:NOISE_BITS] | beyond)
            m.next = "DONE"

        with m.FSM() as fsm:
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [self.o.eq(self.value), self.amplitude.eq(self.noise)]
                    go_from(0)
            # c(a) = a (a (a - 4) + 10) / 20
            four = 4 << LOAD_FRAC
            self._product(m, "FALL", a, (four - a)[: LOAD_BITS + 1], LOAD_BITS + 1, fallen)
            self._product(m, "CURVE", a, held, INNER_BITS, curved)
            self._product(m, "STRENGTH", held, self.ir, IR_FRAC, strong)
            self._product(m, "DROP", self.position, held, DROP_BITS, dropped)
            with m.State("ROOT"):
                m.d.comb += root.start.eq(1)
                m.next = "ROOT_WAIT"
            with m.State("ROOT_WAIT"):
                with m.If(root.done):
                    m.next = "DRAW"
            self._product(m, "DRAW", self.gauss, root.root, ROOT_BITS, noisy)
            self._product(m, "NOISE", wide[:VALUE_BITS].as_signed(), self.w_scale, MANTISSA, scaled)
            with m.State("SHIFT"):
                with m.If(left[3:].any()):
                    m.d.sync += [wide.eq(wide >> 8), left.eq(left - 8)]
                with m.Elif(left != 0):
                    m.d.sync += [wide.eq(wide >> 1), left.eq(left - 1)]
                with m.Else():
                    m.d.sync += self.o.eq(reach(self.o + wide))
                    go_from(2)
            self._product(m, "KEEP", self.o, self.out_keep, KEEP_BITS, kept)
            self._product(m, "SPREAD", self.gauss, self.out_spread, SPREAD_BITS, spread)
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        m.d.comb += [
            reading.eq(fsm.ongoing("ROOT_WAIT") | fsm.ongoing("DRAW") | fsm.ongoing("DRAW_WAIT")),
            spreading.eq(fsm.ongoing("SPREAD") | fsm.ongoing("SPREAD_WAIT")),
        ]
        return m


class Readout(wiring.Component):
    """Memory of the scaled sums of all sweeps, and line after line their `LineValue`.

    Parameters
    ----------
    max_lines : int
    key_latency : int
        Cycles from ``ask`` to the line key.
    noise_latency : int
        Cycles for which a line's Gaussian and its amplitude stand before its value is `valid`.

    Members
    -------
    clear : In(1)
        Strobe: the next sum is that of line 0.
    write : In(1)
    scaled : In(signed(31))
        Scaled sum of the next line.
    part : In(2)
        `ohmgrid.registers.readout.Part` that it belongs to.
    stored : Out
        Sums since `clear`.
    start : In(1)
        Strobe: make the values of ``lines`` lines.
    lines : In
    ask, static, index : Out
        Wants the line key of a line: of the pass, or of the static verb.
    answer : In(64)
    noise, ir, ... : In
        As for `LineValue`.
    valid : Out(1)
        ``value`` is that of the next line.
    value, amplitude, gauss, dither : Out
        The dither is that of the cycle after ``valid``.
    """

    def __init__(self, max_lines, key_latency, noise_latency):
        self.max_lines = max_lines
        self._key_latency, self._noise_latency = key_latency, noise_latency
        self._line = LineValue()
        super().__init__(
            {
                "clear": In(1),
                "write": In(1),
                "scaled": In(signed(VALUE_BITS)),
                "part": In(2),
                "stored": Out(range(max_lines + 1)),
                "start": In(1),
                "lines": In(range(max_lines + 1)),
                "ask": Out(1),
                "static": Out(1),
                "index": Out(16),
                "answer": In(64),
                "noise": In(NOISE_BITS),
                **{name: In(READ_BITS[name]) for name in LineValue.REGISTERS},
                "valid": Out(1),
                "value": Out(signed(VALUE_BITS)),
                "amplitude": Out(NOISE_BITS),
                "gauss": Out(signed(9)),
                "dither": Out(16),
            }
        )

    def cycles(self, lines: int, registers: ReadRegisters) -> int:
        """Return the cycles from `start` to the last line's `valid`."""
        return lines * (self._gather + 1 + self._line.cycles(registers) + self._noise_latency + 1)

    @property
    def _gather(self) -> int:
        """Cycles that collect a line's sums and keys."""
        return max(len(Part) + 1, self._key_latency + 2)

    def elaborate(self, platform):
        m = Module()
        m.submodules.line_value = line = self._line
        lines = range(self.max_lines)
        m.submodules.sums = sums = Memory(
            shape=unsigned(VALUE_BITS),
            depth=len(Part) << (self.max_lines - 1).bit_length(),
            init=[],
        )
        write, read = sums.write_port(), sums.read_port()
        place = Signal(lines)
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(Cat(self.part, self.stored)),
            write.data.eq(self.scaled),
        ]
        with m.If(self.clear):
            m.d.sync += self.stored.eq(0)
        with m.Elif(self.write):
            m.d.sync += self.stored.eq(self.stored + 1)

        # A part's address goes out in cycle `step`, its word is there in the next; two keys are
        # asked for in cycles 0 and 1.
        step = Signal(range(max(self._gather, self._noise_latency) + 1))
        gathering = Signal()
        common = (step == Part.POWER) & (self.w_kind != W_NOISE_TYPES.index("pcm-read"))
        m.d.comb += [
            read.addr.eq(Cat(step[:2], Mux(common, 0, place))),
            self.index.eq(place),
            self.ask.eq(gathering & (step < 2)),
            self.static.eq(step == 1),
        ]
        words = {
            Part.VALUE: line.value,
            Part.LOAD: line.load,
            Part.POSITION: line.position,
            Part.POWER: line.power,
        }
        for part, target in words.items():
            word = Signal.like(target, name=f"word_{part.name.lower()}", reset_less=True)
            with m.If(gathering & (step == part + 1)):
                m.d.sync += word.eq(read.data)
            m.d.comb += target.eq(word)
        keys = [Signal(64, name=name, reset_less=True) for name in ("pass_key", "static_key")]
        for n, key in enumerate(keys):
            with m.If(gathering & (step == n + self._key_latency)):
                m.d.sync += key.eq(self.answer)
        m.d.comb += [
            line.key.eq(keys[0]),
            line.static_key.eq(keys[1]),
            line.noise.eq(self.noise),
            self.value.eq(line.o),
            self.amplitude.eq(line.amplitude),
            self.gauss.eq(line.gauss),
            self.dither.eq(keys[0][32:48]),
            *(getattr(line, name).eq(getattr(self, name)) for name in LineValue.REGISTERS),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [place.eq(0), step.eq(0)]
                with m.If(self.start):
                    m.next = "GATHER"
            with m.State("GATHER"):
                m.d.comb += gathering.eq(1)
                m.d.sync += step.eq(step + 1)
                with m.If(step == self._gather - 1):
                    m.next = "START"
            with m.State("START"):
                m.d.comb += line.start.eq(1)
                m.next = "COMPUTE"
            with m.State("COMPUTE"):
                m.d.sync += step.eq(0)
                with m.If(line.done):
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.d.sync += step.eq(step + 1)
                with m.If(step == self._noise_latency):
                    m.d.comb += self.valid.eq(1)
                    m.d.sync += [step.eq(0), place.eq(place + 1)]
                    m.next = "GATHER"
                    with m.If(place == self.lines - 1):
                        m.next = "IDLE"
        return m
