"""Examples in an SDRAM: bytes in whole bursts, and a burst for each that says where they lie."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.sdram import SDRAM_ACCESS
from ohmgrid.hdl.core.example_decoder import BYTE
from ohmgrid.hdl.core.example_memory import forget_when_idle
from ohmgrid.registers.examples import NUMBER_BITS
from ohmgrid.registers.sdram import BURST, CHUNK_BYTES, ULX3S_SDRAM, WORD_BITS

__all__ = ["SdramExamples"]

PLACE_BITS = 32
"""Of the bursts' numbers, and of lengths in bytes, as they lie in the memory."""


class SdramExamples(wiring.Component):
    """As `ohmgrid.hdl.core.example_memory.ExampleMemory`, in an SDRAM that the board has.

    Examples lie one behind the other from place 0 on, each from a burst of its own on; what an
    example's last burst has left over counts for nothing. The last burst of the memory says of the
    first example where it begins and how long it is, the one before it of the second, and so on.
    A reset leaves the SDRAM alone, and waits until the accesses before it are over.

    Parameters
    ----------
    size : int
        Bytes, whole bursts.

    Members
    -------
    sdram : Out(SDRAM_ACCESS)
    i, forget, stored, order, o, number, full :
        As there.
    busy : Out(1)
        An example is being given, or put away.
    """

    def __init__(self, size: int):
        check_int("size", size, 2 * CHUNK_BYTES, ULX3S_SDRAM.size)
        if size % CHUNK_BYTES:
            raise ValueError(f"size: expected whole bursts of {CHUNK_BYTES} bytes, got {size}")
        self._chunks = size // CHUNK_BYTES
        super().__init__(
            {
                "sdram": Out(SDRAM_ACCESS),
                "i": In(stream.Signature(BYTE)),
                "forget": In(1),
                "stored": Out(range(self._chunks)),
                "order": In(stream.Signature(NUMBER_BITS)),
                "o": Out(stream.Signature(BYTE)),
                **dict.fromkeys(("number", "full", "busy"), Out(1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        sdram, chunks = self.sdram, self._chunks
        forgets, settled = Signal(), Signal()
        with m.If(sdram.idle):
            m.d.sync += settled.eq(1)
        # What writes goes first; what reads waits for it.
        write, read = Signal(), Signal()
        write_at, read_at = Signal(range(chunks)), Signal(range(chunks))
        took = Signal()
        m.d.comb += [
            sdram.access.valid.eq(write | read),
            sdram.access.payload.write.eq(write),
            sdram.access.payload.chunk.eq(Mux(write, write_at, read_at)),
            took.eq(sdram.access.ready),
        ]
        keeps_calm = self._keep(m, write, write_at, took, forgets, settled)
        gives_none = self._give(m, read, read_at, took & ~write, forgets, settled & keeps_calm)
        forget_when_idle(m, self, forgets, keeps_calm & gives_none)
        return m

    def _keep(self, m, write, at, took, forgets, settled):
        """Write the bytes of an example, then its entry; return whether nothing is written."""
        chunks, sdram, i = self._chunks, self.sdram, self.i
        chunk = Signal(8 * CHUNK_BYTES, reset_less=True)
        place, start = Signal(range(chunks + 1)), Signal(range(chunks + 1))
        filled, length = Signal(range(CHUNK_BYTES)), Signal(PLACE_BITS)
        ended, entry, lost = Signal(), Signal(), Signal()
        # One burst is kept for the entry.
        fits = ~lost & (place + 1 + self.stored < chunks)
        taken = i.valid & i.ready
        m.d.comb += [
            sdram.w.eq(chunk[:WORD_BITS]),
            at.eq(Mux(entry, chunks - 1 - self.stored, place)),
        ]
        with m.If(sdram.w_next):
            m.d.sync += chunk.eq(chunk >> WORD_BITS)

        def fill(byte):
            m.d.sync += [chunk.eq(Cat(chunk[8:], byte)), filled.eq(filled + 1)]
            with m.If(filled == CHUNK_BYTES - 1):
                m.next = "WRITE"

        with m.FSM() as fsm:
            with m.State("TAKE"):
                m.d.comb += [i.ready.eq(settled & ~forgets), self.full.eq(taken & ~fits)]
                with m.If(taken & fits):
                    m.d.sync += [length.eq(length + 1), ended.eq(i.payload.last)]
                    with m.If(i.payload.last):
                        m.next = "PAD"
                    fill(i.payload.byte)
                with m.Elif(taken):
                    m.d.sync += lost.eq(~i.payload.last)
                    with m.If(i.payload.last):
                        m.d.sync += [place.eq(start), length.eq(0)]
                with m.If(forgets):
                    m.d.sync += [place.eq(0), start.eq(0), filled.eq(0), length.eq(0), lost.eq(0)]
            with m.State("PAD"):
                fill(Const(0, 8))
            with m.State("WRITE"):
                m.d.comb += write.eq(1)
                with m.If(took):
                    m.next = "WAIT"
            # Until the last word has gone: then the chunk may be filled again.
            with m.State("WAIT"):
                with m.If(sdram.idle):
                    m.d.sync += place.eq(place + ~entry)
                    m.next = "TAKE"
                    with m.If(ended & ~entry):
                        m.d.sync += [chunk.eq(Cat(start | Const(0, PLACE_BITS), length))]
                        m.d.sync += entry.eq(1)
                        m.next = "WRITE"
                    with m.If(entry):
                        m.d.sync += [entry.eq(0), ended.eq(0), start.eq(place), length.eq(0)]
                        m.d.sync += self.stored.eq(self.stored + 1)
        return fsm.ongoing("TAKE")

    def _give(self, m, read, at, took, forgets, calm):
        """Read an entry that is asked for, then what it names; return whether nothing is given."""
        sdram, order = self.sdram, self.order
        m.submodules.queue = queue = SyncFIFOBuffered(width=WORD_BITS, depth=2 * BURST)
        number = Signal(range(self._chunks), reset_less=True)
        # Words of the entry; then what is left to read and to give.
        entry = Signal(2 * PLACE_BITS, reset_less=True)
        begin, length = entry[:PLACE_BITS], entry[PLACE_BITS:]
        words, on_way = Signal(range(BURST + 1)), Signal()
        place, unread = Signal(range(self._chunks), reset_less=True), Signal(PLACE_BITS)
        left, high, in_burst = Signal(PLACE_BITS), Signal(), Signal(range(BURST))
        known, indexing = Signal(), Signal()
        m.d.comb += known.eq(order.payload < self.stored)
        with m.If(read & took):
            m.d.sync += [on_way.eq(1), words.eq(0)]
        with m.If(sdram.r_next):
            m.d.sync += words.eq(words + 1)
            with m.If(words == BURST - 1):
                m.d.sync += on_way.eq(0)
        with m.If(sdram.r_next & indexing & (words < 2 * PLACE_BITS // WORD_BITS)):
            m.d.sync += entry.eq(Cat(entry[WORD_BITS:], sdram.r))
        gone = Signal()
        m.d.comb += [
            queue.w_data.eq(sdram.r),
            # Not what a reset has left on its way.
            queue.w_en.eq(sdram.r_next & on_way & ~indexing),
            at.eq(Mux(indexing, self._chunks - 1 - number, place)),
            self.o.payload.byte.eq(queue.r_data.word_select(high, 8)),
            self.o.payload.last.eq(left == 1),
            self.o.valid.eq(queue.r_rdy & (left != 0)),
            # Behind the last byte come the words of its burst that are nobody's.
            gone.eq(Mux(left == 0, 1, self.o.ready & (high | (left == 1)))),
            queue.r_en.eq(queue.r_rdy & gone),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [left.eq(left - 1), high.eq(~high & (left != 1))]
        with m.If(queue.r_en):
            m.d.sync += in_burst.eq(in_burst + 1)
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += [
                    order.ready.eq(calm & ~forgets),
                    self.number.eq(order.valid & order.ready & ~known),
                ]
                m.d.sync += number.eq(order.payload)
                with m.If(order.valid & order.ready & known):
                    m.next = "INDEX"
            with m.State("INDEX"):
                m.d.comb += [read.eq(1), indexing.eq(1)]
                with m.If(took):
                    m.next = "ENTRY"
            with m.State("ENTRY"):
                m.d.comb += indexing.eq(1)
                with m.If(~on_way):
                    m.d.sync += [place.eq(begin), left.eq(length), unread.eq(length)]
                    m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += read.eq((unread != 0) & ~on_way & (queue.level <= BURST))
                with m.If(read & took):
                    m.d.sync += place.eq(place + 1)
                    m.d.sync += unread.eq(Mux(unread > CHUNK_BYTES, unread - CHUNK_BYTES, 0))
                with m.If((left == 0) & (unread == 0) & ~on_way & (in_burst == 0)
                          & (queue.level == 0)):  # fmt: skip
                    m.next = "IDLE"
        return fsm.ongoing("IDLE")
