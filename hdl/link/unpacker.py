"""Records of a host's stream: taken apart into commands, words and examples (docs/protocol.md)."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.hdl.core.example_decoder import BYTE, FORM, TABLE_WRITE
from ohmgrid.host.frames import Record
from ohmgrid.host.protocol import COMMAND_BITS, TABLE_DATA_BITS
from ohmgrid.registers.examples import NUMBER_BITS

__all__ = ["Unpacker"]

COMMAND_BYTES = COMMAND_BITS // 8
COUNT_AT, MORE_AT = COMMAND_BYTES, COMMAND_BYTES + 2
"""Where how many there are is put, and the byte behind it."""
DATA_AT = 2
"""Where the data of a command begin."""
ROOM = MORE_AT + 1

HEADS = {
    Record.COMMAND: (0, COMMAND_BYTES),
    Record.WORDS: (COUNT_AT, MORE_AT),
    Record.CELLS: (COUNT_AT, MORE_AT),
    Record.TABLE: (0, ROOM),
    Record.EXAMPLE: (COUNT_AT, MORE_AT),
    Record.FORM: (0, 3),
    Record.PIXELS: (COUNT_AT, ROOM),
    Record.KEEP: (0, 1),
    Record.ORDER: (COUNT_AT, MORE_AT),
}
"""Where the bytes behind a record's kind are put: from, up to."""
ITEMS = {
    Record.WORDS: (0, 2),
    Record.CELLS: (0, 3),
    Record.PIXELS: (0, 2),
    Record.ORDER: (0, 3),
}
"""Where those of an item are put; of a table it depends on the record."""


class Unpacker(wiring.Component):
    """Takes a byte a cycle, or waits for whoever takes what is in it.

    Parameters
    ----------
    word_bits : int
        Width of a word of the core's.

    Members
    -------
    i : In(stream.Signature(8))
    cmd : Out(stream.Signature(COMMAND_BITS))
    words : Out(stream.Signature(signed(word_bits)))
        Never while examples are on their way.
    examples : Out(stream.Signature(BYTE)), order : Out(stream.Signature(NUMBER_BITS))
    kept, forget : Out(1), form : Out(FORM), table : Out(TABLE_WRITE)
        As of `ohmgrid.hdl.core.example_store.ExampleStore`.
    store_busy : In(1)
        Its `busy`.
    fault : Out(1)
        What came is no record: nothing is taken any more.
    busy : Out(1)
    """

    def __init__(self, word_bits: int):
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "cmd": Out(stream.Signature(COMMAND_BITS)),
                "words": Out(stream.Signature(signed(word_bits))),
                "examples": Out(stream.Signature(BYTE)),
                "order": Out(stream.Signature(NUMBER_BITS)),
                "kept": Out(1),
                "forget": Out(1),
                "form": Out(FORM),
                "table": Out(TABLE_WRITE),
                "store_busy": In(1),
                "fault": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        i, examples = self.i, self.examples
        kind, place, end = Signal(8), Signal(range(ROOM + 1)), Signal(range(ROOM + 1))
        room = Signal(8 * ROOM, reset_less=True)
        count = room[8 * COUNT_AT : 8 * MORE_AT]
        more = room[8 * MORE_AT :]
        low = room[:16].as_signed()
        # A store may say a cycle late that it is busy.
        calm, still = Signal(), Signal()
        m.d.sync += still.eq(~self.store_busy & ~(examples.valid & examples.ready))
        m.d.comb += calm.eq(still & ~self.store_busy)
        m.d.comb += [
            self.cmd.payload.eq(room[:COMMAND_BITS]),
            self.words.payload.eq(Mux(kind == Record.WORDS, low, room[:24].as_signed())),
            self.order.payload.eq(room[:NUMBER_BITS]),
            self.table.pixel.eq(more),
            self.table.value.eq(low),
            examples.payload.byte.eq(i.payload),
            examples.payload.last.eq(count == 1),
        ]

        def head():
            """Gather what lies behind the kind."""
            with m.Switch(i.payload):
                for record, (begins, ends) in HEADS.items():
                    with m.Case(record):
                        m.d.sync += [place.eq(begins), end.eq(ends)]

        def item():
            """Gather the next item, or go on to the next record."""
            m.next = "GATHER"
            with m.Switch(kind):
                for record, (begins, ends) in ITEMS.items():
                    with m.Case(record):
                        m.d.sync += [place.eq(begins), end.eq(ends)]
                with m.Case(Record.TABLE):
                    m.d.sync += [place.eq(DATA_AT), end.eq(DATA_AT + more[:3])]
                    # Bytes that an entry does not have are 0.
                    m.d.sync += room[8 * DATA_AT : 8 * DATA_AT + TABLE_DATA_BITS].eq(0)

        def given(valid, ready, *, last=None):
            """Give an item away, then gather the next one, if there is one."""
            m.d.comb += valid.eq(1)
            with m.If(ready):
                m.d.sync += count.eq(count - 1)
                item()
                with m.If((count == 1) if last is None else last):
                    m.next = "KIND"

        headed = Signal()
        with m.FSM() as fsm:
            with m.State("KIND"):
                m.d.comb += i.ready.eq(1)
                m.d.sync += [kind.eq(i.payload), headed.eq(0)]
                with m.If(i.valid):
                    head()
                    m.next = "GATHER"
                    known = Cat(i.payload == record for record in HEADS).any()
                    with m.If(~known):
                        m.d.sync += self.fault.eq(1)
                        m.next = "FAULT"
            with m.State("GATHER"):
                m.d.comb += i.ready.eq(1)
                with m.If(i.valid):
                    for at in range(ROOM):
                        with m.If(place == at):
                            m.d.sync += room[8 * at : 8 * at + 8].eq(i.payload)
                    m.d.sync += place.eq(place + 1)
                    with m.If(place == end - 1):
                        m.next = "GATHERED"
            with m.State("GATHERED"):
                m.d.sync += headed.eq(1)
                with m.If(~headed & ((kind == Record.COMMAND) | (kind == Record.FORM)
                                     | (kind == Record.KEEP))):  # fmt: skip
                    m.next = "GIVE"
                with m.Elif(headed):
                    m.next = "GIVE"
                with m.Else():
                    item()
                    with m.If(kind == Record.EXAMPLE):
                        m.next = "EXAMPLE"
                    with m.If(count == 0):
                        m.next = "KIND"
                    wrong = (more[:3] == 0) | (more > TABLE_DATA_BITS // 8)
                    with m.If((kind == Record.TABLE) & wrong & (count != 0)):
                        m.d.sync += self.fault.eq(1)
                        m.next = "FAULT"
            with m.State("GIVE"), m.Switch(kind):
                with m.Case(Record.COMMAND):
                    given(self.cmd.valid, self.cmd.ready, last=True)
                with m.Case(Record.TABLE):
                    given(self.cmd.valid, self.cmd.ready)
                    with m.If(self.cmd.ready):
                        address = room[8 * DATA_AT + TABLE_DATA_BITS : COMMAND_BITS - 1]
                        m.d.sync += address.eq(address + 1)
                with m.Case(Record.WORDS, Record.CELLS), m.If(calm):
                    given(self.words.valid, self.words.ready)
                with m.Case(Record.ORDER):
                    given(self.order.valid, self.order.ready)
                with m.Case(Record.PIXELS), m.If(calm):
                    given(self.table.en, Const(1))
                    m.d.sync += more.eq(more + 1)
                with m.Case(Record.FORM), m.If(calm):
                    m.d.sync += [
                        self.form.bits.eq(room[:2]),
                        self.form.runs.eq(room[7]),
                        self.form.values.eq(room[8:24]),
                    ]
                    m.next = "KIND"
                with m.Case(Record.KEEP), m.If(calm):
                    m.d.sync += self.kept.eq(room[0])
                    m.d.comb += self.forget.eq(room[1])
                    m.next = "KIND"
            with m.State("EXAMPLE"):
                m.d.comb += [examples.valid.eq(i.valid), i.ready.eq(examples.ready)]
                with m.If(i.valid & examples.ready):
                    m.d.sync += count.eq(count - 1)
                    with m.If(count == 1):
                        m.next = "KIND"
            with m.State("FAULT"):
                pass
        m.d.comb += self.busy.eq(~fsm.ongoing("KIND") & ~fsm.ongoing("FAULT"))
        return m
