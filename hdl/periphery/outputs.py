"""From sums to results: output noise, ADC, the buffer of codes, and scaling on the way out."""

from itertools import pairwise

from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.noise import LineKey, gaussian
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.hdl.base.products import SoftProduct
from ohmgrid.hdl.periphery.converters import Adc
from ohmgrid.hdl.periphery.readout import LineValue, Readout
from ohmgrid.hdl.periphery.values import ASK
from ohmgrid.host.protocol import OUT_BITS
from ohmgrid.registers.map import READ_BITS
from ohmgrid.registers.noise import GAUSS_BITS, Purpose
from ohmgrid.registers.readout import MANTISSA, Part, ReadRegisters

__all__ = ["Outputs"]

ADC_BITS = 12
ALPHA_BITS = 17
HALVING_BITS = 3


class Outputs(wiring.Component):
    """ADC of a vector of sums, one a cycle, into a buffer; then the results as a stream.

    Parameters
    ----------
    sum_bits : int
        Width of a sum.
    max_lines : int
        Most results of an operation.
    read_physics : bool
        Hold what the read-side non-idealities need.

    Members
    -------
    clear : In(1)
        Strobe: the next sum is that of line 0, nothing has saturated yet.
    valid, sum : In
        A sum; lines come in order.
    key, sub : In
        Operation key and pass (halvings), for the noise.
    asks : In(ASK), granted : Out(1), key_made : Out(64)
        Others that want keys of lines have one made, where no result does; it is there so many
        cycles later as a `LineKey` takes.
    scale, shift, noise, half : In
        Registers of the ADC.
    exact : In(1)
        Results are the sums themselves (a build with ``read_physics``).
    read : In(1)
        Sums are scaled and stored for `convert`, and not converted as they come.
    part, static_key, backward : In
        `ohmgrid.registers.readout.Part` of these sums; operation key of the static verb; direction.
    load_scale, load_shift, power_shift, ir, ... out_dither : In
        `ohmgrid.registers.readout.ReadRegisters`.
    stored : Out
        Sums stored since `clear`.
    convert : In(1)
        Strobe: convert ``lines`` lines from what was stored.
    count : Out
        Codes in the buffer.
    saturated : Out
        How many of them were clipped.
    send : In(1)
        Strobe: send ``lines`` results ``code * alpha << halvings``, each once its code is there; or
        at once, if ``alpha`` is 0.
    lines, alpha, halvings : In
    busy : Out(1)
        High while results are being sent.
    o : stream of signed(OUT_BITS)
    """

    REGISTERS = ("load_scale", "load_shift", "power_shift", *LineValue.REGISTERS, "out_dither")

    def __init__(self, sum_bits, max_lines, read_physics=True):
        self.sum_bits, self.max_lines = sum_bits, max_lines
        self._read_physics = read_physics
        super().__init__(
            {
                "clear": In(1),
                "valid": In(1),
                "sum": In(signed(sum_bits)),
                "key": In(64),
                "sub": In(8),
                "asks": In(ASK),
                "granted": Out(1),
                "key_made": Out(64),
                "scale": In(18),
                "shift": In(6),
                "noise": In(21),
                "half": In(ADC_BITS - 1),
                "exact": In(1),
                "read": In(1),
                "part": In(2),
                "static_key": In(64),
                "backward": In(1),
                **{name: In(READ_BITS[name]) for name in self.REGISTERS},
                "stored": Out(range(max_lines + 1)),
                "convert": In(1),
                "count": Out(range(max_lines + 1)),
                "saturated": Out(range(max_lines + 1)),
                "send": In(1),
                "lines": In(range(max_lines + 1)),
                "alpha": In(ALPHA_BITS),
                "halvings": In(HALVING_BITS),
                "busy": Out(1),
                "o": Out(stream.Signature(signed(OUT_BITS))),
            }
        )
        self._line_key, self._adc = LineKey(), Adc(sum_bits)
        self._product = SoftProduct(ALPHA_BITS, signed(ADC_BITS), 2)
        self._readout = Readout(max_lines, self._line_key.latency, self._adc.noise_latency)

    @property
    def latency(self):
        """Cycles from a sum until `count` holds its code."""
        return self._line_key.latency + 1 + self._adc.latency + 1

    @property
    def store_latency(self):
        """Cycles from a sum until `stored` counts it."""
        return self._line_key.latency + 1 + self._adc.scale_latency + 1

    def convert_cycles(self, lines: int, registers: ReadRegisters) -> int:
        """Return the cycles from `convert` until `count` holds the last code."""
        return self._readout.cycles(lines, registers) + self._adc.ending + 1

    def send_cycles(self, lines):
        """Return the cycles that `busy` is high when ``lines`` results leave and none waits."""
        return lines + 3 + self._product.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.line_key = line_key = self._line_key
        m.submodules.adc = adc = self._adc

        # Settings stay for a whole operation: their choice ends in registers.
        held = {
            name: delayed(m, getattr(self, name), f"held_{name}")
            for name in ("scale", "shift", "noise", "half", "alpha", "halvings")
        }
        # A multiplier block has no registers of its own: theirs are to stand beside it.
        factor = delayed(m, held["alpha"], "factor")
        line = Signal(range(self.max_lines + 1))
        asked = Signal(ASK)
        m.d.comb += [
            asked.valid.eq(self.valid),
            asked.key.eq(self.key),
            asked.index.eq(line),
            asked.sub.eq(self.sub),
            asked.purpose.eq(Purpose.OUTPUT),
        ]
        self._asked = asked
        m.d.comb += [
            *(
                getattr(line_key, name).eq(Mux(asked.valid, asked[name], self.asks[name]))
                for name in ("key", "index", "sub", "purpose")
            ),
            self.granted.eq(~asked.valid),
            self.key_made.eq(line_key.o),
            adc.scale.eq(held["scale"]),
            adc.shift.eq(held["shift"]),
            adc.noise.eq(held["noise"]),
        ]
        gauss = Signal(signed(9), reset_less=True)
        m.d.sync += gauss.eq(gaussian(line_key.o[:GAUSS_BITS]))
        taken = Signal.like(self.sum, reset_less=True)
        with m.If(self.valid):
            m.d.sync += taken.eq(self.sum)
        m.d.comb += [
            adc.sum.eq(delayed(m, taken, "sum", line_key.latency)),
            adc.gauss.eq(gauss),
            adc.half.eq(held["half"]),
        ]
        done = Signal(self.latency - 1)
        m.d.sync += done.eq(done << 1 | self.valid)
        coded = done[-1]
        if self._read_physics:
            coded = self._reads(m, done)

        # An exact sum is stored as it comes, for its code takes the same time as any other's.
        exact = self.exact & self._read_physics
        width = max(ADC_BITS, self.sum_bits) if self._read_physics else ADC_BITS
        m.submodules.buffer = buffer = Memory(shape=signed(width), depth=self.max_lines, init=[])
        write, read = buffer.write_port(), buffer.read_port()
        m.d.comb += [
            write.en.eq(Mux(exact, self.valid, coded)),
            write.addr.eq(Mux(exact, line, self.count)),
            write.data.eq(Mux(exact, self.sum, adc.code)),
        ]
        with m.If(self.valid):
            m.d.sync += line.eq(line + 1)
        with m.If(coded):
            m.d.sync += [
                self.count.eq(self.count + 1),
                self.saturated.eq(self.saturated + (adc.clipped & ~exact)),
            ]
        with m.If(self.clear):
            m.d.sync += [line.eq(0), self.count.eq(0), self.saturated.eq(0)]

        # Sending: address, code, its register, product, result; all wait while the stream does. The
        # product is made of LUTs: the ways to and from a multiplier block would be the longest.
        left, sent = Signal(range(self.max_lines + 1)), Signal(range(self.max_lines + 1))
        there, none = Signal(), Signal()
        m.d.sync += none.eq((self.alpha == 0) & ~exact)
        moves = ~self.o.valid | self.o.ready
        code = Signal(signed(width), reset_less=True)
        product = self._product
        m.submodules.product = EnableInserter(moves)(product)
        whole = [code] + [Signal.like(code, name=f"whole{k}") for k in range(product.latency)]
        passed = Signal(2 + product.latency)
        m.d.comb += [
            there.eq((left != 0) & ((sent != self.count) | none)),
            read.en.eq(moves),
            read.addr.eq(sent),
            product.a.eq(factor),
            product.b.eq(code),
        ]
        with m.If(self.send):
            m.d.sync += [left.eq(self.lines), sent.eq(0)]
        with m.Elif(moves & there):
            m.d.sync += [left.eq(left - 1), sent.eq(sent + 1)]
        with m.If(moves):
            m.d.sync += [
                passed.eq(Cat(there, passed)),
                code.eq(read.data),
                self.o.valid.eq(passed[-1]),
                self.o.payload.eq(product.o << held["halvings"]),
                *(late.eq(early) for early, late in pairwise(whole)),
            ]
            with m.If(exact):
                m.d.sync += self.o.payload.eq(whole[-1])
        m.d.comb += self.busy.eq((left != 0) | passed.any() | self.o.valid)
        return m

    def _reads(self, m, done):
        """Store scaled sums, make values of them, let these enter the ADC; return when a code is
        there."""
        m.submodules.readout = readout = self._readout
        adc, line_key, asked = self._adc, self._line_key, self._asked
        m.d.comb += [
            readout.clear.eq(self.clear),
            readout.write.eq(done[self.store_latency - 2] & self.read),
            readout.scaled.eq(adc.scaled),
            readout.part.eq(self.part),
            self.stored.eq(readout.stored),
            readout.start.eq(self.convert),
            readout.lines.eq(self.lines),
            readout.answer.eq(line_key.o),
            readout.noise.eq(self.noise),
            adc.enters.eq(self.read),
            adc.value.eq(readout.value),
            adc.dithered.eq(self.read & self.out_dither),
            adc.dither.eq(readout.dither),
            *(getattr(readout, name).eq(getattr(self, name)) for name in LineValue.REGISTERS),
        ]
        with m.If(readout.ask):
            m.d.comb += [asked.valid.eq(1), asked.index.eq(readout.index)]
            with m.If(readout.static):
                m.d.comb += [asked.key.eq(self.static_key), asked.sub.eq(self.backward)]
        with m.If(self.read):
            m.d.comb += [adc.noise.eq(readout.amplitude), adc.gauss.eq(readout.gauss)]
            with m.If(self.part == Part.LOAD):
                m.d.comb += [adc.scale.eq(self.load_scale), adc.shift.eq(self.load_shift)]
            with m.If(self.part == Part.POWER):
                m.d.comb += [adc.scale.eq(1 << (MANTISSA - 1)), adc.shift.eq(self.power_shift)]
        ended = Signal(adc.ending)
        m.d.sync += ended.eq(ended << 1 | readout.valid)
        return Mux(self.read, ended[-1], done[-1])
