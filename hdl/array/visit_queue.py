"""Visits with cells to update, on their way from a group's lanes to its device unit."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS
from ohmgrid.doors.checks import check_power_of_two

__all__ = ["VisitQueue", "queued_layout"]


def queued_layout(
    lanes: int, weight_bits: int, address_bits: int, bank_bits: int
) -> data.StructLayout:
    """Return the layout of what waits: a word of each lane, and what the serial line gives."""
    return data.StructLayout(
        {
            "weights": data.ArrayLayout(unsigned(weight_bits), lanes),
            "train": SLOTS,
            "sign": 1,
            "static": 64,
            "cycle": 32,
            "minus": 1,
            "bias": 1,
            "address": address_bits,
            "bank": bank_bits,
        }
    )


class VisitQueue(wiring.Component):
    """Takes a visit a cycle, gives back one hit cell a cycle: visits in order, lowest lane first.

    The visit at work stands in registers, the others in a memory (LUT RAM on ECP5), and of the
    first of those the hits in registers, too: what decides on the next cell comes out of none.
    Whoever sends visits sends no more than there are places, less those `returned`. The twin, which
    counts the cycles, is `ohmgrid.model.array.visit_queue`.

    Parameters
    ----------
    visit : StructLayout
        As from `queued_layout`.
    depth : int
        Visits that the memory holds, a power of two, >= 4.

    Members
    -------
    valid : In(1)
        A visit comes; without a hit it is passed over.
    hits, i : In
        The lanes it hits, and what it is.
    o : Out
        The visit at work.
    o_valid : Out(1)
        A cell of it leaves in this cycle,
    lane : Out
        that of this lane.
    missed, popped : Out(1)
        A place is free again: that of a visit without a hit, a cycle after it came; or that of one
        which is at work from now on.
    waits : Out(1)
        A visit is in the queue.
    bank : In
    bank_used : Out(1)
        The visit that came first of those in the queue is one of that bank.
    """

    def __init__(self, visit: data.StructLayout, depth: int):
        check_power_of_two("depth", depth, 4, 1 << 10)
        self._visit, self._depth = visit, depth
        self._count = visit["weights"].shape.length
        super().__init__(
            {
                "valid": In(1),
                "hits": In(self._count),
                "i": In(visit),
                "o": Out(visit),
                "o_valid": Out(1),
                "lane": Out(range(max(2, self._count))),
                "missed": Out(1),
                "popped": Out(1),
                "waits": Out(1),
                "bank": In(visit["bank"].shape),
                "bank_used": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.visits = visits = Memory(shape=self._visit, depth=self._depth, init=[])
        m.submodules.hits = hits = Memory(shape=unsigned(self._count), depth=self._depth, init=[])
        write, first = visits.write_port(), visits.read_port(domain="comb")
        write_hits, second = hits.write_port(), hits.read_port(domain="comb")

        # A visit is written to the next place as it comes; with a hit, the place is taken. So no
        # hit stands in the way of a write.
        pushed = Signal()
        m.d.comb += [
            write.en.eq(self.valid),
            write.data.eq(self.i),
            write_hits.en.eq(self.valid),
            write_hits.addr.eq(write.addr),
            write_hits.data.eq(self.hits),
        ]
        hit = self.hits.any()
        with m.If(self.valid & hit):
            m.d.sync += write.addr.eq(write.addr + 1)
        m.d.sync += [pushed.eq(self.valid & hit), self.missed.eq(self.valid & ~hit)]

        # The first visit in the memory: its lowest lane, and the lanes after that.
        stored, ahead = Signal(range(self._depth + 1)), Signal()
        ahead_lane, ahead_left = Signal.like(self.lane), Signal(self._count)
        ahead_last = Signal()
        left, last = Signal(self._count), Signal()
        pop, take = Signal(), Signal()
        m.d.comb += [
            pop.eq(ahead & (~self.o_valid | last)),
            take.eq((stored != 0) & (~ahead | pop)),
        ]
        m.d.sync += [
            stored.eq(stored + pushed - take),
            second.addr.eq(second.addr + take),
            first.addr.eq(first.addr + pop),
            ahead.eq(take | (ahead & ~pop)),
        ]
        with m.If(take):
            m.d.sync += [
                ahead_lane.eq(_lowest(second.data)),
                ahead_left.eq(_others(second.data)),
                ahead_last.eq(~_others(second.data).any()),
            ]

        # The visit at work: a cell leaves in each cycle.
        others = _others(left)
        m.d.sync += [
            self.lane.eq(Mux(pop, ahead_lane, _lowest(left))),
            left.eq(Mux(pop, ahead_left, others)),
            last.eq(Mux(pop, ahead_last, ~others.any())),
            self.o_valid.eq(pop | (self.o_valid & ~last)),
        ]
        with m.If(pop):
            m.d.sync += self.o.eq(first.data)

        behind = pushed | (stored != 0) | ahead
        oldest = Mux(self.o_valid, self.o.bank, first.data.bank)
        m.d.comb += [
            self.popped.eq(pop),
            self.waits.eq(behind | self.o_valid),
            self.bank_used.eq(self.waits & (oldest == self.bank)),
        ]
        return m


def _others(lanes):
    """Return all lanes but the lowest."""
    return lanes & (lanes - 1)[: len(lanes)]


def _lowest(lanes):
    """Return the number of the lowest lane."""
    number = Mux(lanes[-1], len(lanes) - 1, 0)
    for lane in range(len(lanes) - 2, -1, -1):
        number = Mux(lanes[lane], lane, number)
    return number
