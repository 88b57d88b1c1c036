"""Choppers: the signs of columns and rows that an array learns with, and when they turn.

The twins are `learn` and `_turn` of `ohmgrid.model.core.transfer.TransferTile`.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.noise import LineKey
from ohmgrid.hdl.core.jobs import ADDRESS_BITS, REGISTERS, TRAINER_WRITE, entry_layout, shared_port
from ohmgrid.registers.map import ROW_SIGNS, TRAINER
from ohmgrid.registers.noise import KEY_BITS, Purpose

__all__ = ["Choppers"]

DRAWN = 16
"""Random bits that decide whether a sign turns."""


class Choppers(wiring.Component):
    """Signs of the lines of all arrays, by their places at the edge.

    Parameters
    ----------
    config : Config

    Members
    -------
    write : In(TRAINER_WRITE)
        The table of signs.
    side, line : In ; looked : Out(1)
        Whether the sign of any line is turned, a cycle later.
    entry : In(entry_layout), column : In
        The array at work, and the column of it that was read last; some cycles later
    turned, just : Out(1)
        whether that one's sign is turned, and was turned by the read before.
    row : In ; row_turned : Out(1)
        Whether that of a row of it is, a cycle later.
    start, flips : In(1), busy : Out(1)
        Strobe: the column's sign turns as is drawn, or as it ``flips``, and after the last column
        those of rows.
    key : In(64)
        Of the operation.
    registers : In(REGISTERS)
    reading : In(1), address : In ; word : Out(2)
        While a host reads the table of signs: two cycles later.
    """

    def __init__(self, config: Config):
        self._build = build = config.build
        flags = ("side", "start", "flips", "reading")
        super().__init__(
            {
                **dict.fromkeys(flags, In(1)),
                **dict.fromkeys(("looked", "turned", "just", "row_turned", "busy"), Out(1)),
                "write": In(TRAINER_WRITE),
                "line": In(range(build.lines)),
                "entry": In(entry_layout(config)),
                "column": In(range(build.inputs)),
                "row": In(range(build.outputs)),
                "key": In(KEY_BITS),
                "registers": In(REGISTERS),
                "address": In(ADDRESS_BITS),
                "word": Out(2),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entry, build = self.entry, self._build
        m.submodules.columns = columns = Memory(shape=unsigned(2), depth=build.inputs, init=[])
        m.submodules.rows = rows = Memory(shape=unsigned(1), depth=build.outputs, init=[])
        looks = [memory.read_port() for memory in (columns, rows)]
        column, row = columns.read_port(), rows.read_port()
        writes = [memory.write_port() for memory in (columns, rows)]
        of_rows, by_rows = self.address >= ROW_SIGNS, Signal()
        side, read_rows = Signal(), Signal()
        m.submodules.drawn = drawn = LineKey()
        # A line of the array after the other: the column, then all rows.
        number, wait = Signal.like(entry.rows), Signal(range(drawn.latency + 2))
        line = Signal.like(column.addr, reset_less=True)
        last = Signal()
        m.d.sync += [
            *(side.eq(self.side), read_rows.eq(of_rows)),
            line.eq(entry.input_line + self.column),
            last.eq(self.column + 1 == entry.cols),
        ]
        here = entry.output_line + Mux(self.busy, number, self.row)
        m.d.comb += [
            *(look.addr.eq(self.line) for look in looks),
            self.looked.eq(Mux(side, looks[1].data, looks[0].data[0])),
            column.addr.eq(Mux(self.reading, self.address, line)),
            row.addr.eq(Mux(self.reading, self.address, here)),
            Cat(self.turned, self.just).eq(column.data),
            self.row_turned.eq(row.data),
            drawn.key.eq(self.key),
            drawn.index.eq(Mux(by_rows, number, self.column)),
            drawn.purpose.eq(Mux(by_rows, Purpose.TRAIN_D, Purpose.TRAIN_X)),
        ]
        m.d.sync += self.word.eq(Mux(read_rows, row.data, column.data))
        turns = (drawn.o[:DRAWN] < self.registers.flip) | self.flips
        turned = Cat(self.turned ^ turns, turns)
        row_turned = row.data ^ (drawn.o[:DRAWN] < self.registers.row_flip)
        loads = self.write.en & (self.write.table == TRAINER["sign"])
        to_rows = self.write.address >= ROW_SIGNS
        puts = Signal()
        m.d.comb += [
            *shared_port(writes[0], self.write, loads & ~to_rows, puts & ~by_rows, line, turned),
            *shared_port(writes[1], self.write, loads & to_rows, puts & by_rows, here, row_turned),
        ]
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.sync += [number.eq(0), wait.eq(0), by_rows.eq(0)]
                with m.If(self.start):
                    m.next = "DRAW"
            with m.State("DRAW"):
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == drawn.latency + 1):
                    m.d.comb += puts.eq(1)
                    m.d.sync += [wait.eq(0), by_rows.eq(1), number.eq(number + by_rows)]
                    with m.If(~last | (by_rows & (number + 1 == entry.rows))):
                        m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        return m
