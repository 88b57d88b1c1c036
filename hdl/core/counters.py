"""Counters: what the verbs of a run came to, added up while the next one is at work."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.core.jobs import same
from ohmgrid.host.protocol import Op
from ohmgrid.registers.meters import ARRAY_FIELDS, METER_BITS, ROW_FIELDS, TOTAL_FIELDS, TOTALS
from ohmgrid.registers.steps import ARRAY_BITS

__all__ = ["Counters", "amounts_layout", "amounts_of"]

AMOUNT_BITS = 32
MOST_OF_A_CELL = 256
"""Pulses, visits and cycles of waiting that an update has for each cell, at most: two for each slot
of the longest train."""


def amounts_layout(config: Config) -> data.StructLayout:
    """Return the layout of what a verb came to; which of it counts depends on the verb."""
    build = config.build
    cells = (build.words * build.lanes * MOST_OF_A_CELL).bit_length()
    each = min(AMOUNT_BITS, cells)
    return data.StructLayout(
        {
            **{"saturated": AMOUNT_BITS, "passes": 8, "activations": 16, "errors": 16},
            **{"up": each, "down": each, "active": 1, "below": 1, "clipped": 1},
            **{"slots": 8, "held": each, "visits": each, "hit": 1},
        }
    )


def amounts_of(
    m: Module,
    config: Config,
    refresh: Value,
    update: Any,
    array: Any,
    multiply: Any,
    onward: Any,
) -> data.View:
    """Return what the verb at work came to, once it has ended.

    Parameters
    ----------
    m : Module
    config : Config
    refresh : Value
        A refresh is at work, which pulses, too, and is not counted.
    update, array, multiply, onward : Component
        The engines of a core.
    """
    amounts = Signal(amounts_layout(config), name="amounts")
    updated = update.done & ~refresh
    with m.If(updated):
        m.d.sync += [
            amounts.slots.eq(update.plan.bl),
            *same(amounts, array, "up", "down", "held"),
            *same(amounts, update.plan, "active", "below", "clipped"),
        ]
    with m.If(multiply.done | updated):
        m.d.sync += amounts.visits.eq(array.visits)
    m.d.sync += [
        *same(amounts, multiply, "saturated", "passes"),
        *same(amounts, onward, "activations", "errors", "hit"),
    ]
    return amounts


class Counters(wiring.Component):
    """A memory of counters, and what adds to it.

    Parameters
    ----------
    config : Config

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
    amounts : In(amounts_layout)
    busy : Out(1)
    row, field : In
        Counter that is read:
    value : Out(METER_BITS)
        two cycles later, while not `busy`.
    """

    def __init__(self, config: Config):
        self._amounts = amounts_layout(config)
        super().__init__(
            {
                "start": In(1),
                "add": In(1),
                "counts": In(1),
                "op": In(8),
                "array": In(ARRAY_BITS),
                "target": In(ARRAY_BITS),
                "amounts": In(self._amounts),
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
        counts, took, held = Signal(), Signal.like(cycles), Signal(self._amounts)
        # Whether one starts is known late in a cycle: its first cycle is counted in the next one.
        started = Signal()
        m.d.sync += [started.eq(self.start), cycles.eq(Mux(started, 1, cycles + 1))]
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
        update, loss = (of.op == Op.UPDATE) | (of.op == Op.PULSE), of.op == Op.LOSS
        ended = of.op == Op.COUNT
        learned = {
            "adc_forward": (forward, "saturated"),
            "adc_backward": (backward, "saturated"),
            "activation": (forward | loss, "activations"),
            "error": (backward | loss, "errors"),
            "pulses_up": (update, "up"),
            "pulses_down": (update, "down"),
            "updates": (update, "active"),
            "below_pulse": (update, "below"),
            "clipped_trains": (update, "clipped"),
            "passes": (forward, "passes"),
        }
        always = {
            "cycles_forward": (forward, "cycles"),
            "cycles_backward": (backward, "cycles"),
            "cycles_update": (update | (of.op == Op.AGE) | (of.op == Op.LINE), "cycles"),
            "cycles_loss": (loss, "cycles"),
            "slots": (update, "slots"),
            "held": (update, "held"),
        }
        total = {
            "examples": (ended, "one"),
            "hits": (ended, "hit"),
            "cycles_take": (of.op == Op.LOAD_X, "cycles"),
            "visits": (forward | backward | update, "visits"),
        }
        # Of each place whether it counts, and which of the amounts: few choices for wide words.
        kinds = {
            "cycles": took,
            "one": Const(1, 1),
            **{name: held[name] for name in self._amounts.members},
        }
        order = list(kinds)
        wanted, chosen = [], []
        for table, names in (({**learned, **always}, ARRAY_FIELDS), (total, TOTAL_FIELDS)):
            for name in names:
                condition, kind = table[name]
                wanted.append(condition & (counts if name in learned else 1))
                chosen.append(order.index(kind))

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
        m.d.sync += amount.eq(
            Mux(Array(wanted)[place], Array(kinds.values())[Array(chosen)[place]], 0)
        )
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
