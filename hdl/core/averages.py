"""Averages of the largest activations and errors, and the rate of an update that follows from them.

The twins are `averaged` and `rate_of` of `ohmgrid.model.core.transfer_laws`. A bit a cycle: an
update takes far longer.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.arith import SerialProduct, shift_round
from ohmgrid.hdl.core.jobs import ADDRESS_BITS, REGISTERS, TRAINER_WRITE, shared_port
from ohmgrid.registers.edge import RATE_BITS
from ohmgrid.registers.map import TRAINER
from ohmgrid.registers.steps import ARRAY_BITS
from ohmgrid.registers.transfer import AVERAGE_BITS, AVERAGE_FRAC, RATE_FRAC

__all__ = ["Averages"]

WORD_BITS = 33
"""Width of an average."""
CUT = AVERAGE_FRAC - RATE_FRAC
FACTOR_BITS = WORD_BITS - CUT
PRODUCT_BITS = 2 * FACTOR_BITS
QUOTIENT_BITS = RATE_BITS + 1
MOST_SHIFT = 63


class Averages(wiring.Component):
    """Averages of all arrays.

    Parameters
    ----------
    config : Config

    Members
    -------
    write : In(TRAINER_WRITE)
        The table of averages.
    start : In(1), array : In, x_max, d_max : In
        Strobe: an update of this array is to come, with vectors of these largest magnitudes, which
        stay until
    done : Out(1), rate, rate_shift : Out
        a strobe; then this is its rate, until the next start.
    registers : In(REGISTERS)
    address : In
        Of the word of the table that a host reads, while no update comes: two cycles later it is in
        `words`.
    """

    def __init__(self, config: Config):
        edge = config.formats.edge_bits
        self._arrays = config.build.arrays
        super().__init__(
            {
                "write": In(TRAINER_WRITE),
                "start": In(1),
                "array": In(ARRAY_BITS),
                "x_max": In(edge - 1),
                "d_max": In(edge - 1),
                "done": Out(1),
                "rate": Out(RATE_BITS),
                "rate_shift": Out(6),
                "registers": In(REGISTERS),
                "address": In(ADDRESS_BITS),
            }
        )
        self.words = {TRAINER["average"]: Signal(WORD_BITS, name="average_word")}
        """By the number of a table: its word."""

    def elaborate(self, platform):
        m = Module()
        memory = Memory(shape=unsigned(WORD_BITS), depth=2 * self._arrays, init=[])
        m.submodules.averages = memory
        port, write = memory.read_port(), memory.write_port()
        m.submodules.weighted = weighted = SerialProduct(WORD_BITS + 1, AVERAGE_BITS + 1)
        m.submodules.product = product = SerialProduct(FACTOR_BITS + 1, FACTOR_BITS)
        errors, busy = Signal(), Signal()
        largest = Mux(errors, self.d_max, self.x_max)
        value = Signal(WORD_BITS, reset_less=True)
        difference = Signal(signed(WORD_BITS + 1), reset_less=True)
        moved = Signal(signed(WORD_BITS + 1), reset_less=True)
        found = Signal(WORD_BITS, reset_less=True)
        kept = [Signal(WORD_BITS, name=f"average{k}", reset_less=True) for k in range(2)]
        loads, puts = self.write.en & (self.write.table == TRAINER["average"]), Signal()
        own = Cat(errors, self.array)
        m.d.comb += [
            port.addr.eq(Mux(busy, own, self.address)),
            *shared_port(write, self.write, loads, puts, own, found),
            *(weighted.a.eq(difference), weighted.b.eq(self.registers.average_weight)),
            weighted.bits.eq(AVERAGE_BITS + 1),
            *(product.a.eq(kept[0][CUT:]), product.b.eq(kept[1][CUT:])),
            product.bits.eq(FACTOR_BITS),
        ]
        m.d.sync += [
            self.words[TRAINER["average"]].eq(port.data),
            value.eq(largest << AVERAGE_FRAC),
            difference.eq(value - port.data),
            moved.eq(port.data + shift_round(weighted.o, AVERAGE_BITS)),
        ]
        # Both sides of the quotient, shifted up until their highest bits are set.
        above = Signal(PRODUCT_BITS, reset_less=True)
        below = Signal(PRODUCT_BITS, reset_less=True)
        shift = Signal(signed(8), reset_less=True)
        rest = Signal(PRODUCT_BITS + 1, reset_less=True)
        count = Signal(range(QUOTIENT_BITS))
        quotient = Signal(QUOTIENT_BITS, reset_less=True)
        fits = rest >= below
        high = quotient[-1]
        less = shift - high
        m.d.sync += self.done.eq(0)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [errors.eq(0), busy.eq(self.start)]
                with m.If(self.start):
                    m.next = "READ"
            with m.State("READ"):
                m.next = "READY"
            with m.State("READY"):
                m.next = "WEIGH"
            with m.State("WEIGH"):
                m.d.comb += weighted.start.eq(1)
                m.next = "WEIGHED"
            with m.State("WEIGHED"), m.If(weighted.done):
                m.next = "MOVE"
            with m.State("MOVE"):
                m.next = "CHOOSE"
            with m.State("CHOOSE"):
                m.d.sync += found.eq(moved)
                # The first that is not 0 is the average; zeros do not count.
                with m.If(largest == 0):
                    m.d.sync += found.eq(port.data)
                with m.Elif(port.data == 0):
                    m.d.sync += found.eq(value)
                m.next = "KEEP"
            with m.State("KEEP"):
                m.d.comb += puts.eq(1)
                m.d.sync += [kept[1].eq(found), kept[0].eq(kept[1]), errors.eq(1)]
                m.next = "READ"
                with m.If(errors):
                    m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.d.comb += product.start.eq(1)
                m.next = "MULTIPLIED"
            with m.State("MULTIPLIED"), m.If(product.done):
                m.d.sync += [
                    *(above.eq(self.registers.slots), below.eq(product.o)),
                    *(shift.eq(RATE_BITS), count.eq(0)),
                ]
                m.next = "NORMALISE"
                with m.If((self.registers.slots == 0) | (product.o == 0)):
                    m.d.sync += [self.rate.eq(0), self.rate_shift.eq(0), self.done.eq(1)]
                    m.next = "IDLE"
            with m.State("NORMALISE"):
                ups = [~above[-1], ~below[-1]]
                m.d.sync += shift.eq(shift + ups[0] - ups[1])
                with m.If(ups[0]):
                    m.d.sync += above.eq(above << 1)
                with m.If(ups[1]):
                    m.d.sync += below.eq(below << 1)
                with m.If(~Cat(ups).any()):
                    m.d.sync += rest.eq(above)
                    m.next = "DIVIDE"
            with m.State("DIVIDE"):
                m.d.sync += [
                    rest.eq(Mux(fits, rest - below, rest) << 1),
                    quotient.eq(Cat(fits, quotient)),
                    count.eq(count + 1),
                ]
                with m.If(count == QUOTIENT_BITS - 1):
                    m.next = "ROUND"
            with m.State("ROUND"):
                m.d.sync += [
                    self.rate.eq(Mux(high, quotient[1:], quotient)),
                    self.rate_shift.eq(Mux(less > MOST_SHIFT, MOST_SHIFT, less)),
                    self.done.eq(1),
                ]
                with m.If((shift < 0) | (less < 0)):
                    m.d.sync += [self.rate.eq(Const(1).replicate(RATE_BITS)), self.rate_shift.eq(0)]
                m.next = "IDLE"
        return m
