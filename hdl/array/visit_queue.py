"""Visits with cells to update, on their way from a group's lanes to its device unit."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_power_of_two
from ohmgrid.hdl.base.own_register import OwnRegister
from ohmgrid.periphery import SLOTS

__all__ = ["VisitQueue", "queued_layout"]

SLICE = 64
"""Bits of a slice of the memory."""


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
        m.submodules.hits = hits = Memory(shape=unsigned(self._count), depth=self._depth, init=[])
        write_hits, second = hits.write_port(), hits.read_port(domain="comb")

        # A visit is written to the next place as it comes; with a hit, the place is taken. So no
        # hit stands in the way of a write.
        pushed, place, first = Signal(), Signal.like(second.addr), Signal.like(second.addr)
        next_place, next_first = Signal.like(place), Signal.like(first)
        hit = self.hits.any()
        m.d.comb += [
            next_place.eq(place + (self.valid & hit)),
            write_hits.en.eq(self.valid),
            write_hits.addr.eq(place),
            write_hits.data.eq(self.hits),
        ]
        m.d.sync += [
            place.eq(next_place),
            pushed.eq(self.valid & hit),
            self.missed.eq(self.valid & ~hit),
        ]
        # The first visit in the memory: its lowest lane, and the lanes after that.
        stored, ahead = Signal(range(self._depth + 1)), Signal()
        ahead_lane, ahead_left = Signal.like(self.lane), Signal(self._count)
        ahead_last = Signal()
        left, last = Signal(self._count), Signal()
        # Known a cycle before: it moves all of a visit on. High if there is a visit ahead, and none
        # at work or that one's last cell.
        pop, next_pop, take = Signal(), Signal(), Signal()
        next_ahead, next_valid, next_last = Signal(), Signal(), Signal()
        others = _others(left)
        m.d.comb += [
            next_first.eq(first + pop),
            take.eq((stored != 0) & (~ahead | pop)),
            next_ahead.eq(take | (ahead & ~pop)),
            next_valid.eq(pop | (self.o_valid & ~last)),
            next_last.eq(Mux(pop, ahead_last, ~others.any())),
            next_pop.eq(next_ahead & (~next_valid | next_last)),
        ]
        m.d.sync += [
            stored.eq(stored + pushed - take),
            second.addr.eq(second.addr + take),
            first.eq(next_first),
            ahead.eq(next_ahead),
            pop.eq(next_pop),
        ]
        bank = self._visits(m, next_place, next_first, next_pop)
        with m.If(take):
            m.d.sync += [
                ahead_lane.eq(_lowest(second.data)),
                ahead_left.eq(_others(second.data)),
                ahead_last.eq(~_others(second.data).any()),
            ]

        # The visit at work: a cell leaves in each cycle.
        m.d.sync += [
            self.lane.eq(Mux(pop, ahead_lane, _lowest(left))),
            left.eq(Mux(pop, ahead_left, others)),
            last.eq(next_last),
            self.o_valid.eq(next_valid),
        ]

        behind = pushed | (stored != 0) | ahead
        oldest = Mux(self.o_valid, self.o.bank, bank)
        m.d.comb += [
            self.popped.eq(pop),
            self.waits.eq(behind | self.o_valid),
            self.bank_used.eq(self.waits & (oldest == self.bank)),
        ]
        return m

    def _visits(self, m, next_place, next_first, next_pop):
        """Write what comes, and bring the visit at the first place to work; return its bank.

        The memory is in slices, each with addresses of its own, and a strobe for the registers
        behind it: they are many LUT RAMs, and one register for all of them may be far from some.
        """
        words, bits = [], Value.cast(self.i)
        # What it is of has a reset: ``o_valid``.
        at_work = Signal(len(bits), reset_less=True)
        m.d.comb += Value.cast(self.o).eq(at_work)
        for number, start in enumerate(range(0, len(bits), SLICE)):
            part = bits[start : start + SLICE]
            store = Memory(shape=unsigned(len(part)), depth=self._depth, init=[])
            write, read = store.write_port(), store.read_port(domain="comb")
            for name, port, address in (("to", write, next_place), ("from", read, next_first)):
                register = OwnRegister(len(address))
                m.submodules[f"{name}{number}"] = register
                m.d.comb += [register.i.eq(address), port.addr.eq(register.o)]
            m.submodules[f"visits{number}"] = store
            m.d.comb += [write.en.eq(self.valid), write.data.eq(part)]
            m.submodules[f"pop{number}"] = pop = OwnRegister()
            m.d.comb += pop.i.eq(next_pop)
            with m.If(pop.o):
                m.d.sync += at_work[start : start + SLICE].eq(read.data)
            words.append(read.data)
        return data.View(self._visit, Cat(*words)).bank


def _others(lanes):
    """Return all lanes but the lowest."""
    return lanes & (lanes - 1)[: len(lanes)]


def _lowest(lanes):
    """Return the number of the lowest lane."""
    number = Mux(lanes[-1], len(lanes) - 1, 0)
    for lane in range(len(lanes) - 2, -1, -1):
        number = Mux(lanes[lane], lane, number)
    return number
