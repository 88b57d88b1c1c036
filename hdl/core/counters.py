"""Counters: what the verbs of a run came to, added up while the next one is at work."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.host.protocol import Op
from ohmgrid.registers.meters import ARRAY_FIELDS, METER_BITS, ROW_FIELDS, TOTAL_FIELDS, TOTALS
from ohmgrid.registers.steps import ARRAY_BITS

__all__ = ["AMOUNTS", "Counters"]

AMOUNT_BITS = 32
AMOUNTS = data.StructLayout(
    {
        **{"saturated": AMOUNT_BITS, "passes": 8, "activations": 16, "errors": 16},
        **{"up": AMOUNT_BITS, "down": AMOUNT_BITS, "active": 1, "below": 1, "clipped": 1},
        **{"slots": 8, "held": AMOUNT_BITS, "visits": AMOUNT_BITS, "hit": 1},
    }
)
"""What a verb came to; which of it counts depends on the verb."""


class Counters(wiring.Component):
    """A memory of counters, and what adds to it.

    Members
    -------
    start : In(1)
        Strobe: a run begins.
    add : In(1)
        Strobe, not while `busy`: a verb has ended.
    counts : In(1)
        With it: what it came to is counted, not only its cycles.
    op, array, target : In
        Which one, of which array, and the array that its results went to.
    amounts : In(AMOUNTS)
    busy : Out(1)
    row, field : In
        Counter that is read:
    value : Out(METER_BITS)
        two cycles later, while not `busy`.
    """

    def __init__(self):
        super().__init__(
            {
                "start": In(1),
                "add": In(1),
                "counts": In(1),
                "op": In(8),
                "array": In(ARRAY_BITS),
                "target": In(ARRAY_BITS),
                "amounts": In(AMOUNTS),
                "busy": Out(1),
                "row": In(ARRAY_BITS),
                "field": In(range(ROW_FIELDS)),
                "value": Out(METER_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=unsigned(METER_BITS), depth=ROW_FIELDS << ARRAY_BITS, init=[]
        )
        write, read = memory.write_port(), memory.read_port()
        # A verb's cycles are those since the one before ended.
        cycles = Signal(AMOUNT_BITS)
        of = Signal(data.StructLayout({"op": 8, "array": ARRAY_BITS, "target": ARRAY_BITS}))
        counts, took, held = Signal(), Signal.like(cycles), Signal(AMOUNTS)
        m.d.sync += cycles.eq(Mux(self.start, 0, cycles + 1))
        with m.If(self.add):
            m.d.sync += [
                cycles.eq(0),
                took.eq(cycles),
                counts.eq(self.counts),
                held.eq(self.amounts),
                of.op.eq(self.op),
                of.array.eq(self.array),
                of.target.eq(self.target),
            ]
        forward, backward = of.op == Op.FORWARD, of.op == Op.BACKWARD
        update, loss = of.op == Op.UPDATE, of.op == Op.LOSS
        learned = {
            "adc_forward": (forward, held.saturated),
            "adc_backward": (backward, held.saturated),
            "activation": (forward | loss, held.activations),
            "error": (backward | loss, held.errors),
            "pulses_up": (update, held.up),
            "pulses_down": (update, held.down),
            "updates": (update, held.active),
            "below_pulse": (update, held.below),
            "clipped_trains": (update, held.clipped),
            "passes": (forward, held.passes),
        }
        always = {
            "cycles_forward": (forward, took),
            "cycles_backward": (backward, took),
            "cycles_update": (update, took),
            "cycles_loss": (loss, took),
            "slots": (update, held.slots),
            "held": (update, held.held),
        }
        total = {
            "examples": (of.op == Op.COUNT, 1),
            "hits": (of.op == Op.COUNT, held.hit),
            "cycles_take": (of.op == Op.LOAD_X, took),
            "visits": (forward | backward | update, held.visits),
        }
        amounts = [Signal(AMOUNT_BITS, name=f"amount{n}") for n in range(2 * ROW_FIELDS)]
        for place, name in enumerate(ARRAY_FIELDS):
            condition, amount = (learned | always)[name]
            wanted = condition & (counts if name in learned else 1)
            m.d.comb += amounts[place].eq(Mux(wanted, amount, 0))
        for place, name in enumerate(TOTAL_FIELDS):
            condition, amount = total[name]
            m.d.comb += amounts[ROW_FIELDS + place].eq(Mux(condition, amount, 0))

        # One after the other: place, amount and what was there, the sum.
        place = Signal(range(2 * ROW_FIELDS))
        amount = Signal(AMOUNT_BITS)
        field = place[: ROW_FIELDS.bit_length() - 1]
        errors = ARRAY_FIELDS.index("error")
        row = Mux(place[-1], TOTALS, Mux((field == errors) & backward, of.target, of.array))
        last = ROW_FIELDS + len(TOTAL_FIELDS) - 1
        m.d.comb += [
            self.busy.eq(1),
            read.addr.eq(Cat(field, row)),
            self.value.eq(read.data),
            write.addr.eq(Cat(field, row)),
            write.data.eq(read.data + amount),
        ]
        m.d.sync += amount.eq(Array(amounts)[place])
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.busy.eq(0), read.addr.eq(Cat(self.field, self.row))]
                m.d.sync += place.eq(0)
                with m.If(self.add):
                    m.next = "READ"
            with m.State("READ"):
                m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += write.en.eq(1)
                m.d.sync += place.eq(place + 1)
                m.next = "READ"
                with m.If(place == last):
                    m.next = "IDLE"
        return m
