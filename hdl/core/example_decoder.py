"""From the bytes of an example to the words that a core takes: `docs/examples.md` has the format.

One part makes units of bytes, the next one takes them apart into pixels and looks these up in the
table. A queue of a few words stands before each of them, so that no ``ready`` goes through both.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.registers.examples import BITS, MOST_VALUES, PIXELS, VALUE_BITS

__all__ = ["BYTE", "FORM", "TABLE_WRITE", "ExampleDecoder"]

BYTE = data.StructLayout({"byte": 8, "last": 1})
"""A byte of an example; ``last``: the example ends with it."""
FORM = data.StructLayout({"bits": range(len(BITS)), "runs": 1, "values": range(MOST_VALUES + 1)})
"""`ohmgrid.registers.examples.ExampleFormat`; ``bits`` is the place in `BITS`."""
TABLE_WRITE = data.StructLayout({"en": 1, "pixel": range(PIXELS), "value": signed(VALUE_BITS)})
"""Writes the value of a pixel."""
WIDE = BITS.index(VALUE_BITS)
MOST_PIXELS = 8
"""Of a unit."""
QUEUE = 4
"""Words of a queue: fewer would not take one and give one in the same cycle."""


class ExampleDecoder(wiring.Component):
    """Expands examples: a byte in or a word out a cycle, whichever are more.

    An example is the bytes up to one that is ``last``, whatever is in them: an example that is
    damaged gives as many words as any other, and never harms the next one.

    Members
    -------
    i : In(stream.Signature(BYTE))
    o : Out(stream.Signature(signed(16)))
        The label, then the values.
    form : In(FORM)
        Constant while `busy`, and from two cycles before.
    table : In(TABLE_WRITE)
        Likewise.
    short, long, code : Out(1)
        Strobes: `ohmgrid.registers.examples.ExampleError`.
    busy : Out(1)
        Of an example there are bytes, but not all words have left.
    """

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(BYTE)),
                "o": Out(stream.Signature(signed(VALUE_BITS))),
                "form": In(FORM),
                "table": In(TABLE_WRITE),
                **dict.fromkeys(("short", "long", "code", "busy"), Out(1)),
            }
        )
        # Between the parts: a word that leaves as it is (``whole``), or so many pixels.
        self._unit = data.StructLayout(
            {"word": VALUE_BITS, "whole": 1, "count": range(MOST_PIXELS + 1)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.bytes = came = SyncFIFOBuffered(width=BYTE.size, depth=QUEUE)
        m.submodules.units = made = SyncFIFOBuffered(width=self._unit.size, depth=QUEUE)
        m.d.comb += [
            came.w_data.eq(self.i.payload),
            came.w_en.eq(self.i.valid),
            self.i.ready.eq(came.w_rdy),
        ]
        working = self._units(m, came, made)
        waiting = self._words(m, made)
        m.d.comb += self.busy.eq(working | waiting | (came.level != 0) | (made.level != 0))
        return m

    def _units(self, m, came, made):
        """Make units of bytes; return whether an example is at work."""
        unit, accepts = Signal(self._unit), made.w_rdy
        m.d.comb += made.w_data.eq(unit)
        # What follows from the format, from registers.
        form = self.form
        odd = Array([form.values[:3], form.values[:1], 0, 0])[form.bits]
        per_unit = Array([MOST_PIXELS, 2, 1, 1])[form.bits]
        wide, runs = delayed(m, form.bits == WIDE, "wide"), delayed(m, form.runs, "runs")
        pixels = delayed(m, per_unit, "pixels")
        last_pixels = delayed(m, Mux(odd == 0, per_unit, odd), "last_pixels")
        whole = (form.values >> Array([3, 1, 0, 0])[form.bits]) + (odd != 0)
        all_units = delayed(m, whole[: len(form.values)], "all_units")

        # Behind the last byte come zeros, as many as it takes. A byte of 16 bits waits for the
        # other one.
        ended, wants = Signal(), Signal()
        low, half = Signal(8, reset_less=True), Signal()
        here = data.View(BYTE, came.r_data)
        byte = Mux(ended, 0, here.byte)
        there = came.r_rdy | ended
        takes = wants & there
        m.d.comb += [came.r_en.eq(wants & ~ended), self.short.eq(takes & ended)]
        with m.If(takes & here.last):
            m.d.sync += ended.eq(1)

        # What is left of the example, and of what the code byte said: ``rest``, all that is left.
        units, zeros, literals = Signal.like(all_units), Signal(4), Signal(4)
        rest = Signal()

        def pair():
            """A unit of two bytes: keep the first one, make a unit with the second one."""
            m.d.comb += [
                unit.word.eq(Cat(low, byte)),
                made.w_en.eq(half & there),
                wants.eq(~half | accepts),
            ]
            with m.If(takes):
                m.d.sync += [half.eq(~half), low.eq(byte)]

        m.d.comb += unit.word.eq(byte)
        with m.FSM() as fsm:
            with m.State("LABEL"):
                m.d.comb += [unit.whole.eq(1), unit.count.eq(1)]
                m.d.sync += [units.eq(all_units), zeros.eq(0), literals.eq(0), rest.eq(0)]
                pair()
                with m.If(takes & half):
                    m.next = "VALUES"
            with m.State("VALUES"):
                m.d.comb += [
                    unit.whole.eq(wide),
                    unit.count.eq(Mux(units == 1, last_pixels, pixels)),
                ]
                with m.If(units == 0):
                    m.next = "END"
                with m.Elif((zeros != 0) | rest):
                    m.d.comb += [made.w_en.eq(1), unit.word.eq(0)]
                    with m.If(accepts):
                        m.d.sync += zeros.eq(zeros - ~rest)
                with m.Elif(~runs | (literals != 0)):
                    with m.If(wide):
                        pair()
                    with m.Else():
                        m.d.comb += [made.w_en.eq(there), wants.eq(accepts)]
                    with m.If(made.w_en & accepts):
                        m.d.sync += literals.eq(literals - runs)
                with m.Else():
                    m.d.comb += wants.eq(1)
                    with m.If(takes):
                        m.d.sync += [zeros.eq(byte[4:]), literals.eq(byte[:4]), rest.eq(byte == 0)]
                with m.If(made.w_en & accepts):
                    m.d.sync += units.eq(units - 1)
            with m.State("END"):
                m.d.comb += self.code.eq((zeros != 0) | (literals != 0))
                m.d.sync += ended.eq(0)
                m.next = "LABEL"
                with m.If(~ended):
                    m.next = "DROP"
            with m.State("DROP"):
                m.d.comb += [came.r_en.eq(1), self.long.eq(came.r_rdy)]
                with m.If(came.r_rdy & here.last):
                    m.next = "LABEL"
        return ~fsm.ongoing("LABEL") | half

    def _words(self, m, made):
        """Take units apart, look pixels up; return whether a word waits."""
        m.submodules.values = values = Memory(shape=signed(VALUE_BITS), depth=PIXELS, init=[])
        write, read = values.write_port(), values.read_port()
        unit, left = Signal(self._unit, reset_less=True), Signal(range(MOST_PIXELS + 1))
        there, whole = Signal(), Signal(reset_less=True)
        word = Signal(VALUE_BITS, reset_less=True)
        moves = ~self.o.valid | self.o.ready
        bits = delayed(m, self.form.bits, "bits")
        m.d.comb += [
            write.en.eq(self.table.en),
            write.addr.eq(self.table.pixel),
            write.data.eq(self.table.value),
            read.en.eq(moves),
            read.addr.eq(Array([unit.word[:1], unit.word[:4], unit.word[:8], 0])[bits]),
            made.r_en.eq(moves & (left <= 1)),
        ]
        with m.If(moves):
            m.d.sync += [
                left.eq(left - (left != 0)),
                unit.word.eq(unit.word >> Array([1, 4, 8, 8])[bits]),
                # The word of the table, and beside it what passes by.
                *(there.eq(left != 0), whole.eq(unit.whole), word.eq(unit.word)),
                self.o.valid.eq(there),
                self.o.payload.eq(Mux(whole, word.as_signed(), read.data)),
            ]
        with m.If(made.r_en & made.r_rdy):
            m.d.sync += [unit.eq(made.r_data), left.eq(data.View(self._unit, made.r_data).count)]
        return (left != 0) | there | self.o.valid
