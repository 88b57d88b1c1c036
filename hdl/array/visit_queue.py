"""Visits with cells to update, on their way from a group's lanes to its device unit."""

from amaranth.hdl import Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS
from ohmgrid.doors.checks import check_power_of_two

__all__ = ["VisitQueue", "visit_layout"]


def visit_layout(
    lanes: int, weight_bits: int, address_bits: int, bank_bits: int
) -> data.StructLayout:
    """Return the layout of a visit: a word of each lane, those hit, and what the row gives them."""
    return data.StructLayout(
        {
            "hits": lanes,
            "weights": data.ArrayLayout(unsigned(weight_bits), lanes),
            "train": SLOTS,
            "sign": 1,
            "row_static": 64,
            "row_cycle": 32,
            "address": address_bits,
            "bank": bank_bits,
        }
    )


class VisitQueue(wiring.Component):
    """Takes a visit a cycle, gives back one hit cell a cycle: visits in order, lowest lane first.

    The first visit stands in registers, the others in a memory (LUT RAM on ECP5). The twin, which
    counts the cycles, is `ohmgrid.model.array.visit_queue`.

    Parameters
    ----------
    visit : StructLayout
        As from `visit_layout`.
    depth : int
        Visits that the memory holds, a power of two, >= 4.

    Members
    -------
    push, i : In
        Takes a visit, which has a hit. After a cycle in which it was `full`, one more may come.
    o : Out
        The first visit.
    valid : Out(1)
        A cell of it leaves in this cycle,
    lane : Out
        that of this lane.
    full : Out(1)
        It may take two visits more: the one that comes in this cycle and the next one.
    waits : Out(1)
        A visit is in the queue.
    bank : In
    bank_used : Out(1)
        The first visit is one of that bank.
    """

    def __init__(self, visit: data.StructLayout, depth: int):
        check_power_of_two("depth", depth, 4, 1 << 10)
        self._visit, self._depth = visit, depth
        self._count = Shape.cast(visit["hits"].shape).width
        super().__init__(
            {
                "push": In(1),
                "i": In(visit),
                "o": Out(visit),
                "valid": Out(1),
                "lane": Out(range(max(2, self._count))),
                "full": Out(1),
                "waits": Out(1),
                "bank": In(visit["bank"].shape),
                "bank_used": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=self._visit, depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        first = read.data
        level = Signal(range(self._depth + 1))
        stored, pop = Signal(), Signal()
        # The cells of the first visit that are left; all that is known of them is a register.
        left, last = Signal(self._count), Signal()

        def others(hits):
            return hits & (hits - 1)[: self._count]

        following = Mux(pop, first.hits, others(left))
        m.d.comb += [
            stored.eq(level != 0),
            pop.eq(stored & (~self.valid | last)),
            write.en.eq(self.push),
            write.data.eq(self.i),
            self.full.eq(level >= self._depth - 2),
            self.waits.eq(stored | self.valid),
            self.bank_used.eq(
                (self.valid & (self.o.bank == self.bank)) | (stored & (first.bank == self.bank))
            ),
        ]
        m.d.sync += [
            write.addr.eq(write.addr + self.push),
            read.addr.eq(read.addr + pop),
            level.eq(level + self.push - pop),
            left.eq(following),
            last.eq(~others(following).any()),
            self.valid.eq(following.any()),
        ]
        with m.If(pop):
            m.d.sync += self.o.eq(first)
        for lane, waiting in reversed(list(enumerate(following))):
            with m.If(waiting):
                m.d.sync += self.lane.eq(lane)
        return m
