"""Examples in block RAM: bytes as they came, and an index of where each example begins."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.block_ram import BlockRam
from ohmgrid.hdl.core.example_decoder import BYTE
from ohmgrid.registers.examples import NUMBER_BITS

__all__ = ["ExampleMemory", "forget_when_idle"]

QUEUE = 8
"""Bytes that have been read and wait: a block RAM with a register cannot hold them itself."""


def forget_when_idle(m, memory, forgets, idle):
    """Forget the examples that a memory keeps, as it is asked, once none is on its way; say whether
    it is busy. ``forgets`` is high meanwhile."""
    with m.If(memory.forget):
        m.d.sync += forgets.eq(1)
    with m.Elif(idle):
        m.d.sync += forgets.eq(0)
    with m.If(forgets & idle):
        m.d.sync += memory.stored.eq(0)
    m.d.comb += memory.busy.eq(~idle)


class ExampleMemory(wiring.Component):
    """Keeps examples in the order in which they come, and gives their bytes by number.

    A byte and its ``last`` are a word of nine bits, as wide as a block RAM's: so an example's end
    needs no place of its own.

    Parameters
    ----------
    size : int
        Bytes.
    examples : int
        Most examples.

    Members
    -------
    i : In(stream.Signature(BYTE))
        Examples to keep. One that does not fit is dropped whole.
    forget : In(1)
        Strobe: once no example is being given, forget all, one that has come in part too.
    stored : Out
        Examples that are there whole.
    order : In(stream.Signature(24))
        Number of an example to give, counted from 0.
    o : Out(stream.Signature(BYTE))
    number, full : Out(1)
        Strobes: `ohmgrid.registers.examples.ExampleError`.
    busy : Out(1)
        An example is being given.
    """

    def __init__(self, size: int, examples: int):
        check_int("size", size, 2, 1 << 20)
        check_int("examples", examples, 2, 1 << 16)
        self._size, self._examples = size, examples
        super().__init__(
            {
                "i": In(stream.Signature(BYTE)),
                "forget": In(1),
                "stored": Out(range(examples + 1)),
                "order": In(stream.Signature(NUMBER_BITS)),
                "o": Out(stream.Signature(BYTE)),
                **dict.fromkeys(("number", "full", "busy"), Out(1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.kept = kept = BlockRam(BYTE.size, self._size)
        m.submodules.begins = begins = Memory(
            shape=unsigned((self._size - 1).bit_length()), depth=self._examples, init=[]
        )
        forgets, idle = Signal(), Signal()
        self._keep(m, kept, begins.write_port(), forgets)
        m.d.comb += idle.eq(self._give(m, kept, begins.read_port(), forgets))
        forget_when_idle(m, self, forgets, idle)
        return m

    def _keep(self, m, kept, begin, forgets):
        """Write bytes behind those of the last example; count it with its last one."""
        place, start = Signal(range(self._size + 1)), Signal(range(self._size + 1))
        lost = Signal()
        fits = ~lost & (place != self._size) & (self.stored != self._examples)
        taken = self.i.valid & self.i.ready
        m.d.comb += [
            self.i.ready.eq(~forgets),
            kept.write.eq(taken & fits),
            kept.write_address.eq(place),
            kept.data.eq(self.i.payload),
            begin.en.eq(taken & fits),
            begin.addr.eq(self.stored),
            begin.data.eq(start),
            self.full.eq(taken & ~fits),
        ]
        with m.If(taken):
            m.d.sync += [place.eq(place + fits), lost.eq(~fits & ~self.i.payload.last)]
            with m.If(self.i.payload.last & fits):
                m.d.sync += [start.eq(place + 1), self.stored.eq(self.stored + 1)]
            with m.Elif(self.i.payload.last):
                m.d.sync += place.eq(start)
        with m.If(forgets):
            m.d.sync += [place.eq(0), start.eq(0), lost.eq(0)]

    def _give(self, m, kept, begin, forgets):
        """Read an example that is asked for up to its last byte; return whether none is."""
        m.submodules.queue = queue = SyncFIFOBuffered(width=BYTE.size, depth=QUEUE)
        at, reads = Signal(range(self._size)), Signal()
        # Read some cycles ago: they come into the queue, which has to have room for them.
        passed = Signal(kept.latency)
        byte = data.View(BYTE, kept.o0)
        known = self.order.payload < self.stored
        m.d.sync += passed.eq(Cat(reads, passed))
        m.d.comb += [
            begin.addr.eq(self.order.payload),
            kept.read0.eq(reads),
            kept.address0.eq(at),
            queue.w_data.eq(byte),
            queue.w_en.eq(passed[-1]),
            self.o.payload.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += [
                    self.order.ready.eq(~forgets),
                    self.number.eq(self.order.valid & self.order.ready & ~known),
                ]
                with m.If(self.order.valid & self.order.ready & known):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.sync += at.eq(begin.data)
                m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += reads.eq(queue.level < QUEUE - kept.latency)
                m.d.sync += at.eq(at + reads)
                with m.If(passed[-1] & byte.last):
                    # What was read behind the last byte is of no example, or of another one.
                    m.d.sync += passed.eq(0)
                    m.next = "IDLE"
        return fsm.ongoing("IDLE") & (queue.level == 0)
