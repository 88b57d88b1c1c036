"""The edge: buffers that hold the vectors of one or more examples, activations and errors."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.carry import AddSub
from ohmgrid.hdl.base.pipeline import delayed, strobe_after

__all__ = ["BLOCK", "FETCH", "LOOK", "SIZED", "Edge", "edge_depths", "vector_layout"]

FETCH = 3
"""Cycles from the number of a line until its value is there."""
BLOCK = {"ram_style": "block"}
"""Attributes of a memory that, for few lines, would else be made of LUTs."""
LOOK = 2
"""Cycles of a look at a place."""
SIZED = 3
"""Cycles from a vector's last value until its largest magnitude is there."""


def edge_depths(config: Config) -> tuple[int, int]:
    """Return the values that the buffers of columns and of rows hold.

    Those of all lines for each of ``edge`` examples, and once more where pairs are refreshed or
    columns transferred: with vectors of their own.
    """
    build = config.build
    slots = build.edge + (build.time or build.transfers)
    return build.inputs * slots, build.outputs * slots


def vector_layout(config: Config) -> data.StructLayout:
    """Return the layout of what brings a vector to a buffer.

    ``clear`` (strobe): ``count`` values for the lines of ``side`` (0: columns, 1: rows) from the
    ``first`` one on follow; ``biased``: and 1.0 for the line behind them. ``take`` (strobe) takes
    the next value.
    """
    lines = config.build.lines
    return data.StructLayout(
        {
            **{"side": 1, "count": range(lines + 1), "first": range(lines)},
            **{"clear": 1, "biased": 1, "take": 1},
        }
    )


class Edge(wiring.Component):
    """Takes vectors, and gives their values.

    Parameters
    ----------
    config : Config

    Members
    -------
    vector : In(vector_layout)
    value : In
        What ``vector.take`` takes.
    one : In
        1.0 of an activation.
    taken : Out(1)
        That value was the last.
    column_max, row_max : Out
        Largest magnitudes of the vectors taken last, `SIZED` cycles after the last value.
    column_count : Out
        Columns of that vector other than 0, likewise.
    column_base, row_base : In
        Where the vectors of the example at work begin.
    side, start, number, skip : In
        Of the vector that begins at ``start`` of a side, the value of the line of this number, or,
        with ``skip``, of that column of those that are not 0:
    found, index : Out
        `FETCH` cycles later, and which line of the vector it is.
    look : In, looked : Out
        Of this place of the columns the value, `LOOK` cycles later: beside all that.
    """

    def __init__(self, config: Config):
        build, bits = config.build, config.formats.edge_bits
        self._depths = columns, rows = edge_depths(config)
        self._lines = range(build.lines)
        super().__init__(
            {
                "vector": In(vector_layout(config)),
                "value": In(signed(bits)),
                "one": In(bits),
                "taken": Out(1),
                "column_max": Out(bits),
                "row_max": Out(bits),
                "column_count": Out(range(build.inputs + 1)),
                "column_base": In(range(columns)),
                "row_base": In(range(rows)),
                "side": In(1),
                "start": In(range(max(columns, rows))),
                "number": In(range(build.lines + 1)),
                "skip": In(1),
                "found": Out(signed(bits)),
                "index": Out(range(build.lines + 1)),
                "look": In(range(columns)),
                "looked": Out(signed(bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        columns, rows = (
            Memory(shape=signed(len(self.value)), depth=depth, init=[], attrs=BLOCK)
            for depth in self._depths
        )
        m.submodules.columns, m.submodules.rows = columns, rows
        m.submodules.nonzero = nonzero = Memory(
            shape=unsigned(len(self.index)), depth=self._depths[0], init=[], attrs=BLOCK
        )
        writes = self._take(m)
        for side, memory in enumerate((columns, rows)):
            write = memory.write_port()
            m.d.comb += [
                write.en.eq(writes.en & (writes.side == side)),
                write.addr.eq(writes.place),
                write.data.eq(writes.value),
            ]
        self._list(m, nonzero.write_port(), writes)

        listed, column, row = nonzero.read_port(), columns.read_port(), rows.read_port()
        # A block RAM of its own, so that no pass has to wait.
        looked = columns.read_port()
        # Out of the list, to a place, to the value; a register stands behind each block RAM.
        index, place = Signal.like(self.index), Signal.like(self.start)
        skips, start = delayed(m, self.skip, "skips"), delayed(m, self.start, "begins")
        which = Mux(skips, listed.data, delayed(m, self.number, "asked"))
        m.d.sync += [
            index.eq(which),
            place.eq(start + which),
            self.index.eq(index),
            self.looked.eq(looked.data),
        ]
        m.d.comb += [
            listed.addr.eq(self.start + self.number),
            column.addr.eq(place),
            looked.addr.eq(self.look),
            row.addr.eq(place),
            self.found.eq(Mux(delayed(m, self.side, "of", FETCH), row.data, column.data)),
        ]
        return m

    def _take(self, m):
        """A vector comes in: largest magnitude, and what is written to a buffer.

        What is written passes a register, so that 1.0 can go to its own place in between.
        """
        vector, held = self.vector, delayed(m, self.vector, "held")
        places = range(max(self._depths))
        begin = vector.first + Mux(vector.side, self.row_base, self.column_base)
        number, place = Signal.like(self.number), Signal(places)
        with m.If(vector.clear):
            m.d.sync += [number.eq(0), place.eq(begin)]
        with m.Elif(vector.take):
            m.d.sync += [number.eq(number + 1), place.eq(place + 1)]
        # Of the value in the register.
        here, behind = delayed(m, place, "here"), Signal(places)
        value = delayed(m, self.value, "taken_value")
        last = Signal.like(vector.count)
        m.d.sync += [behind.eq(begin + vector.count), last.eq(vector.count - 1)]
        writes = Signal(
            data.StructLayout({"en": 1, "side": 1, "place": places, "value": signed(len(value))})
        )
        m.d.comb += [
            writes.en.eq(held.take | (held.clear & held.biased)),
            writes.side.eq(held.side),
            writes.place.eq(Mux(held.clear, behind, here)),
            writes.value.eq(Mux(held.clear, self.one, value)),
            self.taken.eq(vector.take & (number == last)),
        ]
        m.submodules.size = size = AddSub(len(self.column_max))
        m.d.comb += [size.b.eq(value), size.less.eq(value < 0)]
        magnitude = delayed(m, size.o, "magnitude")
        sized = [strobe_after(m, held.take & (held.side == side), 1, "sized") for side in (0, 1)]
        for side, largest in enumerate((self.column_max, self.row_max)):
            with m.If(vector.clear & (vector.side == side)):
                m.d.sync += largest.eq(Mux(vector.biased, self.one, 0))
            with m.Elif(sized[side] & (magnitude > largest)):
                m.d.sync += largest.eq(magnitude)
        return writes

    def _list(self, m, write, writes):
        """List the columns that are not 0 as they are taken: where the vector begins, one by one.

        The always-on input is the first of them: its line is known before.
        """
        vector, count = self.vector, self.column_count
        begin = Signal(range(self._depths[0]))
        lists = writes.en & ~writes.side & (writes.value != 0)
        m.d.comb += [
            write.en.eq(lists),
            write.addr.eq(begin + count),
            write.data.eq(writes.place - begin),
        ]
        with m.If(vector.clear & ~vector.side):
            m.d.sync += [count.eq(0), begin.eq(vector.first + self.column_base)]
        with m.Elif(lists):
            m.d.sync += count.eq(count + 1)
