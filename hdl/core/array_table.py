"""The array table: entries in a memory, the one at work in registers.

Fields and words are those of `ohmgrid.registers.arrays`. To load an entry its words come in at
one end of a register while the words of the entry before, which verbs have changed, go out at the
other.
"""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.carry import CountOrTake
from ohmgrid.hdl.core.jobs import entry_layout
from ohmgrid.registers.arrays import COUNT_BITS, ENTRIES, STATE, STEPS, WORD_BITS, entry_fields

__all__ = ["CHANGE", "ArrayTable", "planned_layout"]

LEFT = ("time_left", "refresh_left")
CHANGE = data.StructLayout(
    {
        **dict.fromkeys(STEPS, 1),
        **dict.fromkeys(("left", "transfer_left", "column", "static_key"), 1),
    }
)
"""What a verb changes: a step is counted, countdowns, a column and a key become what comes."""

PLANNED = (
    *("rows", "cols", "input_line", "output_line", "turned", "paired", "serial", "number"),
    *("rate", "rate_shift", "bl", "factor", "update_step", "device_set"),
)
"""Fields that an update is planned from."""


def planned_layout() -> data.StructLayout:
    """Return the layout of what is known of an array whose update is planned."""
    fields = entry_fields(False)
    return data.StructLayout({name: fields[name] for name in PLANNED})


def beyond(first: Value, count: Value, room: int) -> Value:
    """Return whether so many lines from the first one on are more than there are."""
    bits = room.bit_length()
    large = Cat(first[bits:], count[bits:]).any()
    return large | (first[:bits] + count[:bits] > room)


class ArrayTable(wiring.Component):
    """Holds all entries; loads one.

    Parameters
    ----------
    config : Config

    Members
    -------
    number : In
        The entry wanted, or written to.
    load : In(1)
        Strobe: load the entry, if it is not at work already.
    write, word, data : In
        Strobe: put the entry at work away, and write a word of an entry.
    busy : Out(1)
        High from the strobe on until that is done.
    entry : Out(entry_layout)
        The entry at work.
    wrong : Out(1)
        Its array is none that the build can hold, or its number none of the build's entries; a
        cycle later.
    change : In(CHANGE), time_left, refresh_left, transfer_left, column, static_key : In
        Strobes, while not `busy`: what verbs of this build change of it.
    beside : In, fetch : In(1), fetched : Out(1), planned : Out(planned_layout)
        Strobe: what an update of another array is planned from comes (strobe), and stays; the entry
        at work stays, too, and goes first.
    """

    def __init__(self, config: Config):
        self._layout, self._build = entry_layout(config), config.build
        self._words = -(-self._layout.size // WORD_BITS)
        super().__init__(
            {
                "number": In(range(ENTRIES)),
                "load": In(1),
                "write": In(1),
                "word": In(range(self._words)),
                "data": In(WORD_BITS),
                "busy": Out(1),
                "entry": Out(self._layout),
                "wrong": Out(1),
                "change": In(CHANGE),
                **dict.fromkeys(LEFT, In(COUNT_BITS)),
                **{name: In(STATE[name]) for name in ("transfer_left", "column", "static_key")},
                "beside": In(range(ENTRIES)),
                "fetch": In(1),
                "fetched": Out(1),
                "planned": Out(planned_layout()),
            }
        )

    @property
    def cycles(self) -> int:
        """Cycles that `busy` is high while another entry is loaded."""
        return self._words + 2

    @property
    def planned_words(self) -> list[int]:
        """Words of an entry that an update is planned from."""
        fields = [self._layout[name] for name in PLANNED]
        ends = [(field.offset, field.offset + field.width - 1) for field in fields]
        return sorted({n for a, b in ends for n in range(a // WORD_BITS, b // WORD_BITS + 1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.entries = entries = Memory(
            shape=unsigned(WORD_BITS),
            depth=self._build.arrays << (self._words - 1).bit_length(),
            init=[],
            # One of a few entries in LUTs would take more of them than the build saves.
            attrs={"ram_style": "block"},
        )
        write, read = entries.write_port(), entries.read_port()
        # Words without a reset, as all below that is wide: what there is says `valid`.
        chain = Signal(self._words * WORD_BITS, reset_less=True)
        loaded, valid = Signal(range(ENTRIES)), Signal()
        word, writes = Signal(range(self._words + 1)), Signal()
        # What there is no entry for is never put away.
        there = self.number < self._build.arrays
        # The word that is read now goes in, and the one beside it out, in the next cycle.
        moves = Signal()
        place = Signal(range(self._words))
        m.d.sync += [moves.eq(0), place.eq(word)]
        m.d.comb += [
            self.entry.eq(chain),
            write.addr.eq(Cat(place, loaded)),
            write.data.eq(chain),
            write.en.eq(moves & valid),
            self.busy.eq(1),
        ]
        entry, build = self.entry, self._build
        m.d.sync += self.wrong.eq(
            (entry.rows == 0)
            | (entry.cols == 0)
            | beyond(entry.output_line, entry.rows << entry.paired, build.outputs)
            | beyond(entry.input_line, entry.cols, build.inputs)
            | ~there
        )
        moved = data.View(self._layout, Cat(chain[WORD_BITS:], read.data)[: self._layout.size])
        rest = Cat(chain[WORD_BITS:], read.data)[self._layout.size :]
        held = data.View(self._layout, chain[: self._layout.size])
        for name in STEPS:
            m.submodules[name] = step = CountOrTake(STATE[name])
            m.d.comb += [
                step.a.eq(held[name]),
                step.b.eq(moved[name]),
                step.take.eq(moves),
                step.count.eq(self.change[name]),
            ]
            m.d.sync += held[name].eq(step.o)
        with m.If(self.change.static_key):
            m.d.sync += held.static_key.eq(self.static_key)
        # Countdowns of what this build does not do never change.
        if self._build.time:
            with m.If(self.change.left):
                m.d.sync += [held[name].eq(getattr(self, name)) for name in LEFT]
        if self._build.transfers:
            for name in ("transfer_left", "column"):
                with m.If(self.change[name]):
                    m.d.sync += held[name].eq(getattr(self, name))
        with m.If(moves):
            m.d.sync += chain[self._layout.size :].eq(rest)
            m.d.sync += [
                held[name].eq(moved[name]) for name in self._layout.members if name not in STEPS
            ]
        with m.FSM() as fsm:
            with m.State("READY"):
                m.d.comb += self.busy.eq(self.load | self.write)
                m.d.sync += [word.eq(0), writes.eq(self.write)]
                with m.If(self.write & ~valid):
                    m.next = "WRITE"
                with m.Elif(self.write | (self.load & ~(valid & (loaded == self.number)))):
                    m.next = "MOVE"
                with m.Elif(self.load):
                    m.next = "DONE"
            with m.State("MOVE"):
                m.d.sync += [moves.eq(1), word.eq(word + 1)]
                with m.If(word == self._words - 1):
                    m.next = "MOVED"
            with m.State("MOVED"):
                m.d.sync += [loaded.eq(self.number), valid.eq(~writes & there)]
                m.next = "DONE"
                with m.If(writes):
                    m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [
                    write.en.eq(1),
                    write.addr.eq(Cat(self.word, self.number)),
                    write.data.eq(self.data),
                ]
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.busy.eq(0)
                m.next = "READY"
        moving = fsm.ongoing("MOVE") | fsm.ongoing("MOVED")
        beside = self._fetch(m, read, moving, valid & (loaded == self.beside))
        m.d.comb += read.addr.eq(
            Mux(moving, Cat(word[: len(place)], self.number), Cat(beside, self.beside))
        )
        return m

    def _fetch(self, m, read, moving, at_work):
        """Read the words that an update is planned from, while no entry moves.

        If one does it begins anew, for what was read may have changed. What verbs change of the
        entry at work is in its registers alone.
        """
        words = self.planned_words
        chain = Signal(len(words) * WORD_BITS, reset_less=True)
        count, fetching, arrives = Signal(range(len(words) + 1)), Signal(), Signal()
        reads = fetching & ~moving & (count != len(words))
        ends = fetching & ~moving & (count == len(words)) & ~arrives
        m.d.sync += [arrives.eq(reads), self.fetched.eq(ends)]
        with m.If(arrives):
            m.d.sync += chain.eq(Cat(chain[WORD_BITS:], read.data))
        with m.If(self.fetch | moving):
            m.d.sync += count.eq(0)
        with m.Elif(reads):
            m.d.sync += count.eq(count + 1)
        with m.If(self.fetch):
            m.d.sync += fetching.eq(1)
        with m.Elif(ends):
            m.d.sync += fetching.eq(0)
            for name in PLANNED:
                field = self._layout[name]
                word, place = divmod(field.offset, WORD_BITS)
                at = words.index(word) * WORD_BITS + place
                here = chain[at : at + field.width]
                if name in STATE:
                    here = Mux(at_work, self.entry[name], here)
                m.d.sync += self.planned[name].eq(here)
        word = Signal(range(self._words))
        m.d.comb += word.eq(Array(words)[count])
        return word
