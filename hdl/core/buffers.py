"""Buffers between the arrays of a weight: from what is read of a column to pulses for another.

The twin is `ohmgrid.model.core.transfer.TransferTile.asked`, cell by cell
`ohmgrid.model.core.transfer_laws`. Results come as they would go to a host, a row after the other,
and pass a pipeline, one a cycle; the pulses that they ask for wait until they are taken as errors.
"""

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.base.arith import shift_round
from ohmgrid.hdl.base.pipeline import moving
from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.hdl.core.choppers import Choppers
from ohmgrid.hdl.core.jobs import (
    ADDRESS_BITS,
    KEY,
    REGISTERS,
    TRAINER_WRITE,
    Work,
    entry_layout,
    shared_port,
)
from ohmgrid.host.protocol import OUT_BITS
from ohmgrid.registers.map import TRAINER
from ohmgrid.registers.noise import KEY_BITS, Verb
from ohmgrid.registers.steps import ARRAY_BITS
from ohmgrid.registers.transfer import (
    BUFFER_BITS,
    BUFFER_FRAC,
    PART_BITS,
    PERIOD_BITS,
    SCALE_BITS,
)

__all__ = ["Buffers"]

READ_BITS = 34
"""Width of what is read of one cell: 1.0 times a weight, at most."""
LONGEST = 48
"""Cycles that no result is on its way for."""
OF_ARRAY = {
    "scale": data.StructLayout({"mantissa": SCALE_BITS, "shift": 6}),
    "first": data.StructLayout({"cell": ADDRESS_BITS}),
    "turns": data.StructLayout({"passed": 1, "before": 1, "phase": PERIOD_BITS}),
}
"""What is known of a fast array, by its place in the table ``transfer``."""


class Known(NamedTuple):
    """What is known of the array at work, and what it becomes."""

    now: Any
    keeps: Signal
    """Strobe: from now on it is this."""
    after: Signal


class Put(NamedTuple):
    """What writes a memory of cells, but for a host."""

    en: Signal
    at: Signal
    word: Signal


class Buffers(wiring.Component):
    """Buffers of all arrays, with their choppers.

    Parameters
    ----------
    config : Config

    Members
    -------
    write : In(TRAINER_WRITE)
        What a host loads.
    array : In, entry : In(entry_layout), registers : In(REGISTERS)
        The array at work, a fast one from some cycles before `start` until `busy` ends.
    start : In(1), i_valid, i : In, busy : Out(1)
        Strobe: results of a column come; all has been done with them.
    key : Out(KEY), key_done : In(1), op_key : In(64)
        Asks for the operation's key.
    again, next : In(1) ; value : Out
        Strobes: the first error that was asked for comes, the next one; this is it.
    d_one : In
        1.0 of an error.
    side, line : In ; looked : Out(1)
        As of `ohmgrid.hdl.core.choppers.Choppers`.
    reading : In(1), place : In
        While a host reads, the word that is read; so many cycles later as any table here takes, it
        is in `words`.
    """

    def __init__(self, config: Config):
        self.config = config
        edge, build = config.formats.edge_bits, config.build
        flags = ("start", "i_valid", "key_done", "again", "next", "side", "reading")
        super().__init__(
            {
                **dict.fromkeys(flags, In(1)),
                **dict.fromkeys(("busy", "looked"), Out(1)),
                "write": In(TRAINER_WRITE),
                "array": In(ARRAY_BITS),
                "entry": In(entry_layout(config)),
                "registers": In(REGISTERS),
                "i": In(signed(OUT_BITS)),
                "key": Out(KEY),
                "op_key": In(KEY_BITS),
                "value": Out(signed(edge)),
                "d_one": In(edge),
                "line": In(range(build.lines)),
                "place": In(ADDRESS_BITS),
            }
        )
        tables = ("buffer", *(("mean", "past") if build.means else ()))
        self.words = {
            **{TRAINER[name]: Signal(signed(BUFFER_BITS), name=f"{name}_word") for name in tables},
            TRAINER["sign"]: Signal(2, name="sign_word"),
        }
        """By the number of a table: its word."""

    def elaborate(self, platform):
        m = Module()
        build, entry, registers = self.config.build, self.entry, self.registers
        m.submodules.choppers = choppers = Choppers(self.config)
        of_array = {name: self._of_array(m, place) for place, name in enumerate(OF_ARRAY)}
        scale, turns = of_array["scale"].now, of_array["turns"].now
        # Of the column that was read last: the entry is at the next one.
        column = Signal(range(build.inputs))
        m.d.sync += column.eq(Mux(entry.column == 0, entry.cols, entry.column) - 1)
        m.d.comb += [
            *(choppers.write.eq(self.write), choppers.registers.eq(registers)),
            *(choppers.side.eq(self.side), choppers.line.eq(self.line)),
            *(self.looked.eq(choppers.looked), choppers.entry.eq(entry)),
            choppers.column.eq(column),
        ]

        come = Signal(range(build.outputs + 1))
        cell = Signal(ADDRESS_BITS, reset_less=True)
        result = Signal(signed(READ_BITS), reset_less=True)
        came = Signal()
        row, address = Signal.like(come, reset_less=True), Signal.like(cell, reset_less=True)
        m.d.sync += [came.eq(self.i_valid), result.eq(self.i), row.eq(come), address.eq(cell)]
        m.d.comb += choppers.row.eq(come)
        with m.If(self.start):
            m.d.sync += [come.eq(0), cell.eq(of_array["first"].now.cell + column)]
        with m.Elif(self.i_valid):
            m.d.sync += [come.eq(come + 1), cell.eq(cell + entry.cols)]

        steps = Memory(shape=unsigned(2), depth=build.outputs, init=[])
        m.submodules.steps = steps
        ended = self._pipeline(m, steps, came, result, row, address, choppers, scale, turns)
        self._give(m, steps)
        m.d.comb += [
            *(choppers.reading.eq(self.reading), choppers.address.eq(self.place)),
            self.words[TRAINER["sign"]].eq(choppers.word),
        ]

        work, next_turns = Work(m), data.View(OF_ARRAY["turns"], Signal(2 + PERIOD_BITS))
        whole = turns.phase + 1 == registers.period
        m.d.comb += [
            next_turns.phase.eq(Mux(whole, 0, turns.phase + 1)),
            next_turns.passed.eq(turns.passed | whole),
            next_turns.before.eq(turns.passed),
            choppers.flips.eq(whole),
        ]
        with m.FSM() as fsm:
            with m.State("IDLE"), m.If(self.start):
                m.next = "KEY"
            with m.State("KEY"):
                m.d.comb += [
                    self.key.verb.eq(Verb.TRANSFER),
                    self.key.step.eq(entry.forward_step - 1),
                ]
                with work.until_done(self.key.start, ~self.key_done):
                    m.d.sync += choppers.key.eq(self.op_key)
                    m.next = "ROWS"
            with m.State("ROWS"), m.If(ended == entry.rows):
                m.next = "TURN"
            with m.State("TURN"):
                with work.until_done(choppers.start, choppers.busy):
                    with m.If(column + 1 == entry.cols):
                        m.d.comb += of_array["turns"].keeps.eq(1)
                    m.next = "IDLE"
        m.d.comb += [
            of_array["turns"].after.eq(next_turns),
            self.busy.eq(~fsm.ongoing("IDLE") | self.start),
        ]
        return m

    def _of_array(self, m, place):
        """Return what is known of the array at work, at a place of its table."""
        layout = list(OF_ARRAY.values())[place]
        memory = Memory(shape=unsigned(layout.size), depth=self.config.build.arrays, init=[])
        m.submodules[list(OF_ARRAY)[place]] = memory
        write, read = memory.write_port(), memory.read_port(domain="comb")
        keeps, after = Signal(name="keeps"), Signal(layout.size, name="after")
        loads = Signal(name="loads")
        m.d.comb += [
            loads.eq(
                self.write.en
                & (self.write.table == TRAINER["transfer"])
                & (self.write.address[:2] == place)
            ),
            read.addr.eq(self.array),
            *shared_port(
                *(write, self.write, loads, keeps, self.array, after), self.write.address[2:]
            ),
        ]
        now = Signal(layout, name=f"now_{place}")
        m.d.sync += now.eq(read.data)
        return Known(now, keeps, after)

    def _memory(self, m, name):
        """Return a memory of a word a cell, and what writes it but for a host."""
        memory = Memory(shape=signed(BUFFER_BITS), depth=self.config.build.buffers, init=[])
        write = memory.write_port()
        put = Put(Signal(name="puts"), Signal(ADDRESS_BITS, name="at"), Signal(BUFFER_BITS))
        loads = self.write.en & (self.write.table == TRAINER[name])
        m.d.comb += shared_port(write, self.write, loads, put.en, put.at, put.word)
        return memory, put

    def _pipeline(self, m, steps, came, result, row, address, choppers, scale, turns):
        """Take results through their buffers; return how many of the column have been."""
        registers, means = self.registers, self.config.build.means
        s = Stages(m, moving(m, came, LONGEST))
        valid, read = Timed(came, 0, strobe=True), Timed(result, 0)
        rows, turned = Timed(row, 0), Timed(choppers.row_turned, 0)
        looked = Timed(Mux(self.reading, self.place, address), 0)
        cells = Timed(address, 0)
        own, puts = {}, {}
        for name in ("buffer", *(("mean", "past") if means else ())):
            memory, puts[name] = self._memory(m, name)
            own[name] = s.read("cells", name, memory, looked)
        m.d.comb += [self.words[TRAINER[name]].eq(word.value) for name, word in own.items()]

        change = read
        if means:
            dynamic, just = held(registers.dynamic), held(choppers.just)
            before = s.stage(
                "cells",
                "before",
                lambda mean, past, just, dynamic: Mux(dynamic, Mux(just, mean, past), 0),
                *(own["mean"], own["past"], just, dynamic),
            )
            change = s.stage("cells", "change", lambda read, past: read - past, read, before)
            self._mean(m, s, own["mean"], read, valid, cells, puts, just, dynamic)
        mantissa, less = held(scale.mantissa), held((scale.shift - 1)[:6])
        product = s.wide_product("scaled", "product", change, mantissa)
        scaled = s.shift_rounded("scaled", "scaled", product, less)
        column_turned = held(choppers.turned)
        full = s.stage(
            "added",
            "full",
            lambda buffer, value, row, column: buffer + Mux(row ^ column, -value, value),
            *(own["buffer"], scaled, turned, column_turned),
        )
        full = s.saturated("added", "whole", full, BUFFER_BITS)
        asked = s.stage(
            "added",
            "asked",
            lambda full: Cat(full >= (1 << BUFFER_FRAC), full <= -(1 << BUFFER_FRAC)),
            full,
        )
        left = self._left(s, full, asked)
        trusted = held(turns.before | ~registers.dynamic) if means else held(Const(1, 1))

        # What is left goes back; what is asked for waits.
        end = left.time
        assert end < LONGEST
        ended = Signal.like(row, name="ended")
        put = steps.write_port()
        m.d.comb += [
            puts["buffer"].en.eq(s.at(valid, end)),
            puts["buffer"].at.eq(s.at(cells, end)),
            puts["buffer"].word.eq(left.value),
            *(put.en.eq(s.at(valid, end)), put.addr.eq(s.at(rows, end))),
            put.data.eq(Mux(trusted.value, s.at(asked, end), 0)),
        ]
        with m.If(self.start):
            m.d.sync += ended.eq(0)
        with m.Elif(s.at(valid, end)):
            m.d.sync += ended.eq(ended + 1)
        return ended

    def _left(self, s, full, asked):
        """Return what is left of buffers after the pulses that they ask for."""
        registers = self.registers
        momentum, forgets = held(registers.buffer_momentum), held(registers.buffer_forgets)
        shared = s.wide_product("left", "shared", full, momentum)
        part = s.stage("left", "part", lambda value: shift_round(value, PART_BITS), shared)
        loss = (1 << PART_BITS) - registers.buffer_momentum
        loss = held((loss << (BUFFER_FRAC - PART_BITS))[: BUFFER_FRAC + 1])
        less = s.stage(
            "left",
            "less",
            lambda full, asked, loss: full - Mux(asked[0], loss, 0) + Mux(asked[1], loss, 0),
            *(full, asked, loss),
        )
        cap = held(registers.buffer_cap)
        ends = s.stage("left", "ends", lambda less, cap: Cat(less > cap, less < -cap), less, cap)
        capped = s.stage(
            "left",
            "capped",
            lambda less, ends, cap: Mux(ends[0], cap, Mux(ends[1], -cap, less)),
            *(less, ends, cap),
        )
        return s.stage(
            "left",
            "rest",
            lambda full, asked, part, capped, forgets: Mux(
                asked.any(), Mux(forgets, part, capped), full
            )[:BUFFER_BITS].as_signed(),
            *(full, asked, part, capped, forgets),
        )

    def _mean(self, m, s, mean, read, valid, cells, puts, just, dynamic):
        """Follow means, and keep what they were where a sign has turned."""
        change = s.stage("mean", "off_mean", lambda read, mean: read - mean, read, mean)
        part = s.wide_product("mean", "weighed", change, held(self.registers.mean_weight))
        step = s.stage("mean", "part", lambda value: shift_round(value, PART_BITS), part)
        after = s.stage("mean", "after", lambda mean, step: (mean + step)[:BUFFER_BITS], mean, step)
        for name, new, may in (("mean", after, dynamic), ("past", mean, just)):
            m.d.comb += [
                puts[name].en.eq(s.at(valid, new.time) & dynamic.value & may.value),
                puts[name].at.eq(s.at(cells, new.time)),
                puts[name].word.eq(new.value),
            ]

    def _give(self, m, steps):
        """Give what was asked for as errors, with the other sign."""
        place = Signal(range(self.config.build.outputs))
        port = steps.read_port(domain="comb")
        one = Signal(len(self.d_one))
        # As an error: 1.0 may be one LSB beyond the edge.
        m.d.sync += one.eq(self.d_one - self.d_one[-1])
        m.d.comb += [
            port.addr.eq(place),
            self.value.eq(Mux(port.data[0], -one, Mux(port.data[1], one, 0))),
        ]
        with m.If(self.again):
            m.d.sync += place.eq(0)
        with m.Elif(self.next):
            m.d.sync += place.eq(place + 1)


def held(value: Value) -> Timed:
    """Return a value that is the same for all rows of a column."""
    return Timed(Value.cast(value), 0, held=True)
