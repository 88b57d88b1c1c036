"""Bytes on a serial line, 8N1: a start bit (low), eight data bits, the lowest first, a stop bit.

The bits of a line have a rate of their own, which no divider of the clock needs to meet: an
accumulator gains the fraction of a bit, or of a sample, that passes in a clock cycle. It is exact,
so that nothing adds up however long bytes follow each other.
"""

from fractions import Fraction

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.registers.baud import bits_per_cycle, samples_per_bit, samples_per_cycle

__all__ = ["DATA_BITS", "Uart", "UartReceiver", "UartTransmitter", "error_counters"]

DATA_BITS = 8
ERRORS = ("framing", "overrun", "noise", "breaks")


def error_counters(width: int) -> data.StructLayout:
    """Return the counters of a receiver.

    ``framing``
        The stop bit was low: the byte is lost.
    ``overrun``
        The byte before had not been taken: the new one is lost.
    ``noise``
        The three samples of a bit were not equal, once a frame, whose byte is what most of them
        say; or a start bit was none.
    ``breaks``
        The line was low for a whole frame, stop bit included.
    """
    check_int("width", width, 1, 64)
    return data.StructLayout(dict.fromkeys(ERRORS, width))


class UartReceiver(wiring.Component):
    """Bytes from a line.

    The line falls: a start bit, if it is still low in its middle. Each bit is what two of the three
    samples around its middle say: the 7th, 8th and 9th sixteenth of it, or the 3rd, 4th and 5th
    eighth if a bit has less than 16 clock cycles. A byte is there as soon as its stop bit has been
    seen; the line may fall again at once. After a low stop bit the line has to rise first.

    Parameters
    ----------
    clock_hz, baud : int, float or Fraction
        Clock, and bits a second: at most an eighth of it.
    width : int
        Bits of a counter.

    Members
    -------
    i : In(1)
        The line, of any clock.
    o : Out(stream.Signature(8))
        Bytes. One waits; what comes before it is taken is lost, and counted.
    errors : Out(error_counters(width))
        Since `clear`; a counter stays at its largest value.
    clear : In(1)
        Strobe: no error has been seen. One of the same cycle counts.

    Raises
    ------
    ConfigError
        The clock does not meet the rate within 1.5 %.
    """

    def __init__(self, clock_hz: float | Fraction, baud: float | Fraction, width: int = 16):
        self._samples = samples_per_bit(clock_hz, baud)
        self._rate = samples_per_cycle(clock_hz, baud)
        super().__init__(
            {
                "i": In(1),
                "o": Out(stream.Signature(DATA_BITS)),
                "errors": Out(error_counters(width)),
                "clear": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.i, line, init=1)

        # Negative until a sample is due; never above what one cycle adds.
        gain, whole = self._rate.numerator, self._rate.denominator
        elapsed = Signal(range(-whole, gain + 1))
        due = ~elapsed[-1]
        m.d.sync += elapsed.eq(elapsed + Mux(due, gain - whole, gain))

        middle = self._samples // 2
        part = Signal(range(self._samples))  # of a bit, since the line fell
        bit = Signal(range(DATA_BITS + 2))
        first, second, noisy = Signal(), Signal(), Signal()
        value = Signal(DATA_BITS)
        level = (first & second) | (first & line) | (second & line)
        differ = (first ^ line) | (second ^ line)
        end = Signal()
        events = {name: Signal(name=name) for name in ERRORS}

        with m.FSM():
            # The state after a reset: the line may be in the middle of a frame.
            with m.State("HIGH"):
                with m.If(line):
                    m.next = "IDLE"
            with m.State("IDLE"):
                with m.If(~line):
                    # It fell between two cycles: half a cycle of delay, and another one until a
                    # sample, are made up for by a cycle. In that one, a sample of 1 cycle is past.
                    past = gain // whole
                    m.d.sync += [
                        elapsed.eq(2 * gain - (past + 1) * whole),
                        part.eq(past),
                        bit.eq(0),
                        noisy.eq(0),
                    ]
                    m.next = "FRAME"
            with m.State("FRAME"):
                with m.If(due):
                    m.d.sync += part.eq(part + 1)
                    with m.If(part == self._samples - 1):
                        m.d.sync += bit.eq(bit + 1)
                    with m.If(part == middle - 2):
                        m.d.sync += first.eq(line)
                    with m.If(part == middle - 1):
                        m.d.sync += second.eq(line)
                    with m.If(part == middle):
                        m.d.sync += noisy.eq(noisy | differ)
                        with m.If(bit == DATA_BITS + 1):
                            m.d.comb += events["noise"].eq(noisy | differ)
                            with m.If(level):
                                m.d.comb += end.eq(1)
                                m.next = "IDLE"
                            with m.Else():
                                m.d.comb += [
                                    events["breaks"].eq(value == 0),
                                    events["framing"].eq(value != 0),
                                ]
                                m.next = "HIGH"
                        with m.Elif(bit != 0):
                            m.d.sync += value.eq(Cat(value[1:], level))
                        with m.Elif(level):
                            m.d.comb += events["noise"].eq(1)
                            m.next = "IDLE"

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(end):
            with m.If(self.o.valid & ~self.o.ready):
                m.d.comb += events["overrun"].eq(1)
            with m.Else():
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(value)]

        for name, event in events.items():
            counter = self.errors[name]
            with m.If(self.clear):
                m.d.sync += counter.eq(event)
            with m.Elif(event & ~counter.all()):
                m.d.sync += counter.eq(counter + 1)
        return m


class UartTransmitter(wiring.Component):
    """Bytes onto a line, one right after the other as long as there are some.

    Parameters
    ----------
    clock_hz, baud : int, float or Fraction
        As `UartReceiver`.

    Members
    -------
    i : In(stream.Signature(8))
        Bytes; the next one is taken in the last cycle of a stop bit.
    o : Out(1)
        The line: high while nothing is sent.

    Raises
    ------
    ConfigError
        The clock does not meet the rate within 1.5 %.
    """

    def __init__(self, clock_hz: float | Fraction, baud: float | Fraction):
        self._rate = bits_per_cycle(clock_hz, baud)
        super().__init__({"i": In(stream.Signature(DATA_BITS)), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # Negative until a bit ends; 0 while nothing is sent, so that a byte goes at once.
        gain, whole = self._rate.numerator, self._rate.denominator
        elapsed = Signal(range(-whole, gain + 1))
        ends = ~elapsed[-1]
        left = Signal(range(DATA_BITS + 3))  # bits of the frame, this one too
        following = Signal(DATA_BITS + 1, init=-1)
        line = Signal(init=1)
        m.d.comb += [self.o.eq(line), self.i.ready.eq(ends & (left <= 1))]
        m.d.sync += elapsed.eq(elapsed + Mux(ends, gain - whole, gain))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [line.eq(0), following.eq(Cat(self.i.payload, 1)), left.eq(DATA_BITS + 2)]
        with m.Elif(left <= 1):
            with m.If(ends):
                m.d.sync += [elapsed.eq(0), left.eq(0)]
        with m.Elif(ends):
            m.d.sync += [Cat(line, following).eq(Cat(following, 1)), left.eq(left - 1)]
        return m


class Uart(wiring.Component):
    """A receiver and a transmitter of the same rate.

    Parameters
    ----------
    clock_hz, baud, width
        As `UartReceiver`.

    Members
    -------
    rx : In(1)
        The line from the other side, of any clock.
    tx : Out(1)
        The line to it.
    i : In(stream.Signature(8))
        Bytes to send.
    o : Out(stream.Signature(8))
        Bytes received.
    errors : Out(error_counters(width))
        Of the receiver.
    clear : In(1)
        Strobe: no error has been seen.

    Raises
    ------
    ConfigError
        The clock does not meet the rate within 1.5 %.
    """

    def __init__(self, clock_hz: float | Fraction, baud: float | Fraction, width: int = 16):
        self._receiver = UartReceiver(clock_hz, baud, width)
        self._transmitter = UartTransmitter(clock_hz, baud)
        super().__init__(
            {
                "rx": In(1),
                "tx": Out(1),
                "i": In(stream.Signature(DATA_BITS)),
                "o": Out(stream.Signature(DATA_BITS)),
                "errors": Out(error_counters(width)),
                "clear": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = self._receiver
        m.submodules.transmitter = transmitter = self._transmitter
        wiring.connect(m, receiver.o, wiring.flipped(self.o))
        wiring.connect(m, wiring.flipped(self.i), transmitter.i)
        m.d.comb += [
            receiver.i.eq(self.rx),
            receiver.clear.eq(self.clear),
            self.errors.eq(receiver.errors),
            self.tx.eq(transmitter.o),
        ]
        return m
