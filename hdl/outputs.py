"""From sums to results: output noise, ADC, the buffer of codes, and scaling on the way out."""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.converters import Adc
from ohmgrid.hdl.noise import LineKey, gaussian
from ohmgrid.hdl.pipeline import delayed
from ohmgrid.streams import GAUSS_BITS, Purpose

__all__ = ["OUT_BITS", "Outputs"]

ADC_BITS = 12
ALPHA_BITS = 17
HALVING_BITS = 3
OUT_BITS = ADC_BITS + ALPHA_BITS + (1 << HALVING_BITS) - 1
"""Width of a result: an ADC code times the input's scale, doubled for each halving."""


class Outputs(wiring.Component):
    """ADC of a vector of sums, one a cycle, into a buffer; then the results as a stream.

    Parameters
    ----------
    sum_bits : int
        Width of a sum.
    max_lines : int
        Most results of an operation.

    Members
    -------
    clear : In(1)
        Strobe: the next sum is that of line 0, nothing has saturated yet.
    valid, sum : In
        A sum; lines come in order.
    key, sub : In
        Operation key and pass (halvings), for the noise.
    scale, shift, noise, half : In
        Registers of the ADC.
    count : Out
        Codes in the buffer.
    saturated : Out
        How many of them were clipped.
    send : In(1)
        Strobe: send ``lines`` results ``code * alpha << halvings``.
    lines, alpha, halvings : In
    busy : Out(1)
        High while results are being sent.
    o : stream of signed(OUT_BITS)
    """

    def __init__(self, sum_bits, max_lines):
        self.sum_bits, self.max_lines = sum_bits, max_lines
        super().__init__(
            {
                "clear": In(1),
                "valid": In(1),
                "sum": In(signed(sum_bits)),
                "key": In(64),
                "sub": In(8),
                "scale": In(18),
                "shift": In(6),
                "noise": In(21),
                "half": In(ADC_BITS - 1),
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

    @property
    def latency(self):
        """Cycles from a sum until `count` holds its code."""
        return self._line_key.latency + 1 + self._adc.latency + 1

    def send_cycles(self, lines):
        """Return the cycles that `busy` is high when ``lines`` results leave and none waits."""
        return lines + 3

    def elaborate(self, platform):
        m = Module()
        m.submodules.line_key = line_key = self._line_key
        m.submodules.adc = adc = self._adc

        line = Signal(range(self.max_lines + 1))
        m.d.comb += [
            line_key.key.eq(self.key),
            line_key.index.eq(line),
            line_key.sub.eq(self.sub),
            line_key.purpose.eq(Purpose.OUTPUT),
            line_key.i_valid.eq(self.valid),
        ]
        gauss = Signal(signed(9), reset_less=True)
        m.d.sync += gauss.eq(gaussian(line_key.o[:GAUSS_BITS]))
        m.d.comb += [
            adc.sum.eq(delayed(m, self.sum, "sum", line_key.latency + 1)),
            adc.gauss.eq(gauss),
            adc.scale.eq(self.scale),
            adc.shift.eq(self.shift),
            adc.noise.eq(self.noise),
            adc.half.eq(self.half),
        ]
        done = Signal(self.latency - 1)
        m.d.sync += done.eq(done << 1 | self.valid)

        m.submodules.buffer = buffer = Memory(
            shape=unsigned(ADC_BITS), depth=self.max_lines, init=[]
        )
        write, read = buffer.write_port(), buffer.read_port()
        m.d.comb += [
            write.en.eq(done[-1]),
            write.addr.eq(self.count),
            write.data.eq(adc.code),
        ]
        with m.If(self.valid):
            m.d.sync += line.eq(line + 1)
        with m.If(done[-1]):
            m.d.sync += [
                self.count.eq(self.count + 1),
                self.saturated.eq(self.saturated + adc.clipped),
            ]
        with m.If(self.clear):
            m.d.sync += [line.eq(0), self.count.eq(0), self.saturated.eq(0)]

        # Sending: address, code, product, scaled result; all wait while the stream does.
        left = Signal(range(self.max_lines + 1))
        moves = ~self.o.valid | self.o.ready
        at_code, at_product = Signal(), Signal()
        product = Signal(signed(ADC_BITS + ALPHA_BITS), reset_less=True)
        m.d.comb += read.en.eq(moves)
        with m.If(self.send):
            m.d.sync += [left.eq(self.lines), read.addr.eq(0)]
        with m.Elif(moves & (left != 0)):
            m.d.sync += [left.eq(left - 1), read.addr.eq(read.addr + 1)]
        with m.If(moves):
            m.d.sync += [
                at_code.eq(left != 0),
                at_product.eq(at_code),
                product.eq(read.data.as_signed() * self.alpha),
                self.o.valid.eq(at_product),
                self.o.payload.eq(product << self.halvings),
            ]
        m.d.comb += self.busy.eq((left != 0) | at_code | at_product | self.o.valid)
        return m
