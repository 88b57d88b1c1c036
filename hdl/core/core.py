"""The core: one lane array for all arrays of a net; commands, the array table, the engines.

A command stream starts everything (`ohmgrid.host.protocol`), vectors come in on `i`, results
leave on `o`, and each command but a register write is answered on `r`.
"""

from amaranth.hdl import Assert, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.array.array import LaneArray
from ohmgrid.hdl.array.bundles import sweep_layout
from ohmgrid.hdl.array.cell_port import job_layout
from ohmgrid.hdl.base.noise import KeySchedule
from ohmgrid.hdl.core.array_table import ArrayTable
from ohmgrid.hdl.core.jobs import (
    KEY,
    STATE_LAYOUT,
    WAY,
    Work,
    either,
)
from ohmgrid.hdl.core.loader import Loader
from ohmgrid.hdl.core.multiply import Multiply
from ohmgrid.hdl.core.pulser import Pulser
from ohmgrid.hdl.core.settings import Settings
from ohmgrid.hdl.core.time_effects import TimeEffects
from ohmgrid.hdl.periphery.lines import Lines, pass_layout
from ohmgrid.hdl.periphery.voltages import Voltages
from ohmgrid.host.protocol import (
    COMMAND_BITS,
    OUT_BITS,
    WORD_PLACE,
    Op,
)
from ohmgrid.registers.arrays import ENTRIES, WORD_BITS
from ohmgrid.registers.map import AGING

__all__ = ["Core"]


class Core(wiring.Component):
    """All arrays of a net in ``lanes`` lanes, of any shapes up to the build's memory.

    Parameters
    ----------
    config : Config
        Formats and build; everything else is loaded at run time.

    Members
    -------
    cmd : In stream of `COMMAND_BITS` bits
    i : In stream, signed: activations, errors or conductances
    o : Out stream, signed(OUT_BITS): results or conductances
    r : Out stream of 64 bits: answers (`ohmgrid.host.protocol.Answer`)
    busy : Out(1)
        A command is being worked on.
    errors : Out(8)
        `ohmgrid.host.protocol.Error` bits of the command at work (collision: since reset).
    """

    def __init__(self, config: Config):
        self.config = config
        formats = config.formats
        super().__init__(
            {
                "cmd": In(stream.Signature(COMMAND_BITS)),
                "i": In(stream.Signature(signed(max(formats.edge_bits, formats.weight_bits)))),
                "o": Out(stream.Signature(signed(OUT_BITS))),
                "r": Out(stream.Signature(64)),
                "busy": Out(1),
                "errors": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, build = self.config, self.config.build
        m.submodules.schedule = self._schedule = KeySchedule()
        m.submodules.settings = self._settings = Settings(build.device_sets)
        m.submodules.table = self._table = ArrayTable(config)
        m.submodules.loader = self._loader = Loader(config)
        m.submodules.lines = self._lines = Lines(config)
        m.submodules.array = self._array = LaneArray(config)
        m.submodules.multiply = self._multiply = Multiply(config, self._array.sum_bits)
        m.submodules.pulser = self._pulser = Pulser(config)
        # A build without it asks for nothing in its place.
        self._time = TimeEffects(config, self._array.turn)
        if build.time:
            m.submodules.time = self._time

        # The command at work.
        self._op, self._arg, self._argument = Signal(8), Signal(8), Signal(64)
        self._illegal, self._update = Signal(), Signal()
        self._registers = self._settings.registers
        # Registers, for they choose settings all over the core; true from the dispatch's end on.
        self._backward = Signal()
        m.d.sync += self._backward.eq(self._op == Op.BACKWARD)

        self._way = self._direction(m)
        self._place(m)
        self._connect_lines(m)
        self._connect_engines(m)
        self._wrong = self._shape_wrong(m)
        self._answer(m)
        self._commands(m)
        return m

    def _place(self, m):
        """Say where the array at work lies, and bring it its devices."""
        array, entry, pulser = self._array, self._table.entry, self._pulser
        at = array.array
        # Devices of pairs are lines of their own in a refresh, if they lie on the serial side.
        split = pulser.sweep.split & ~entry.turned
        paired = entry.paired & ~split
        rows = Mux(split, entry.rows << 1, entry.rows)
        row = Mux(split, entry.output_line << 1, entry.output_line)
        m.d.sync += [
            at.serial.eq(Mux(entry.turned, entry.cols, rows)),
            at.lane_lines.eq(Mux(entry.turned, rows, entry.cols)),
            at.serial_line.eq(Mux(entry.turned, entry.input_line, row)),
            at.lane_line.eq(Mux(entry.turned, row, entry.input_line)),
            at.origin.eq(entry.origin),
            at.turned.eq(entry.turned),
            at.paired.eq(paired),
        ]
        m.d.comb += [
            self._settings.device_set.eq(entry.device_set),
            array.registers.eq(self._settings.device),
            array.device_set.eq(entry.device_set),
            array.table_write.eq(self._settings.table_write),
            *(array.aging[name].eq(self._registers[name]) for name in AGING),
        ]

    def _connect_lines(self, m):
        """Connect the lines' memories to the array, and to whichever engine makes a pass."""
        lines, array, time = self._lines, self._array, self._time
        entry, way = self._table.entry, self._way
        m.d.comb += [
            lines.job.eq(
                either(
                    pass_layout(self.config),
                    self._multiply.lines,
                    self._pulser.lines,
                    time.lines,
                    self._loader.lines,
                )
            ),
            lines.value.eq(Mux(time.active, time.value, self.i.payload)),
            *(getattr(lines, name).eq(way[name]) for name in Voltages.REGISTERS),
            lines.key.eq(self._schedule.key),
            lines.keys.static.eq(entry.static_key),
            lines.keys.sub.eq(self._pulser.sub),
            lines.keys.row.eq(entry.output_line << entry.paired),
            lines.keys.column.eq(entry.input_line),
            lines.row_line.eq(array.row_line),
            lines.row_key.eq(array.row_key),
            lines.column_line.eq(array.column_line),
            array.rows.eq(lines.rows),
            array.columns.eq(lines.columns),
            array.list.eq(lines.list),
        ]
        # Registers: the states of engines reach every bit of the key.
        asked = Signal(KEY)
        m.d.sync += asked.eq(
            either(KEY, self._multiply.key, self._pulser.key, time.key, self._loader.key)
        )
        m.d.comb += [
            self._schedule.load.eq(self._loader.seed),
            self._schedule.start.eq(asked.start),
            self._schedule.verb.eq(asked.verb),
            self._schedule.step.eq(asked.step),
            self._schedule.seed.eq(self._registers.seed),
            self._schedule.tile.eq(self._table.entry.number),
        ]

    def _direction(self, m):
        """Return the registers of the direction at work."""
        entry, registers = self._table.entry, self._registers

        def of(name):
            for source in (registers, entry):
                if name in source.shape().members:
                    return source[name]
            # A build without the physics that it is of.
            return Const(0, 1)

        way = Signal(WAY)
        m.d.comb += [
            way[name].eq(Mux(self._backward, of(f"backward_{name}"), of(f"forward_{name}")))
            for name in WAY.members
        ]
        return way

    def _connect_engines(self, m):
        """Connect the engines to what they use."""
        array, lines, entry = self._array, self._lines, self._table.entry
        multiply, pulser, time = self._multiply, self._pulser, self._time
        loader = self._loader
        one = {
            name: Signal(self.config.formats.edge_bits, name=name) for name in ("x_one", "d_one")
        }
        m.d.sync += [
            one["x_one"].eq(1 << self._registers.x_frac),
            one["d_one"].eq(1 << self._registers.d_frac),
        ]
        for engine in (multiply, pulser, time):
            m.d.comb += [
                engine.registers.eq(self._registers),
                engine.x_one.eq(one["x_one"]),
            ]
        for engine in (multiply, pulser, time, loader):
            m.d.comb += [
                engine.key_done.eq(self._schedule.done),
                engine.lines_busy.eq(lines.busy),
                engine.entry.eq(entry),
            ]
        for engine in (time, loader):
            m.d.comb += [engine.taken.eq(lines.taken), engine.cells_busy.eq(array.cells_busy)]
        for engine in (multiply, pulser):
            m.d.comb += [engine.d_one.eq(one["d_one"]), engine.sweep_busy.eq(array.busy)]
        m.d.comb += [
            multiply.backward.eq(self._backward),
            multiply.way.eq(self._way),
            multiply.op_key.eq(self._schedule.key),
            multiply.power.eq(lines.power),
            multiply.tree_sum.eq(array.tree_sum),
            multiply.chain_valid.eq(array.chain_valid),
            multiply.chain_sum.eq(array.chain_sum),
            array.tree_address.eq(multiply.tree_address),
            array.start.eq(multiply.sweep_start | pulser.sweep_start),
            array.job.eq(either(sweep_layout(self.config), multiply.sweep, pulser.sweep)),
            pulser.start.eq(self._update | time.pulse),
            pulser.refresh.eq(time.active),
            pulser.column.eq(time.column),
            pulser.offset.eq(time.offset),
            pulser.before.eq(time.before),
            pulser.x_max.eq(Mux(time.active, lines.column_max, entry.x_max)),
            pulser.d_max.eq(Mux(time.active, lines.row_max, entry.d_max)),
            time.pulsed.eq(pulser.done),
            time.seen.eq(array.seen),
            array.cells.eq(either(job_layout(self.config), time.cells, loader.cells)),
            loader.setup.eq(self._op == Op.SETUP),
            loader.vector.eq((self._op == Op.LOAD_X) | (self._op == Op.LOAD_D)),
            loader.errors.eq(self._op == Op.LOAD_D),
            loader.reads.eq(self._op == Op.READ_CELLS),
            loader.references.eq(self._op == Op.WRITE_REFERENCES),
            loader.valid.eq(self.i.valid),
            array.cells_i.payload.eq(self.i.payload),
        ]

    def _answer(self, m):
        """Answer word and error bits."""
        # A register by itself: a simulator that meets logic in a check takes it for feedback.
        sound = Signal(init=1)
        m.d.sync += [
            sound.eq(sound & ~self._array.collision),
            Assert(sound, "a cell was written while it was read"),
        ]
        passes, bl, saturated = Signal(8), Signal(8), Signal(32)
        multiplies = (self._op == Op.FORWARD) | (self._op == Op.BACKWARD)
        m.d.comb += [
            self.errors.eq(Cat(self._illegal, self._wrong & self.busy, ~sound)),
            passes.eq(Mux(self._op == Op.FORWARD, self._multiply.passes, 1)),
            bl.eq(Mux(self._op == Op.UPDATE, self._bl(m), 0)),
            saturated.eq(Mux(multiplies, self._multiply.saturated, 0)),
            self.r.payload.eq(Cat(self._op, self.errors, passes, bl, saturated)),
        ]

    def _bl(self, m):
        """Return the slots of the update, which a refresh after it does not change."""
        bl = Signal.like(self._pulser.bl)
        with m.If(self._pulser.done & ~self._time.active):
            m.d.sync += bl.eq(self._pulser.bl)
        return bl

    def _shape_wrong(self, m):
        """Return whether the array at work is none that the build can hold."""
        entry, build = self._table.entry, self.config.build
        wrong = Signal()
        m.d.sync += wrong.eq(
            (entry.rows == 0)
            | (entry.cols == 0)
            | ((entry.output_line + entry.rows << entry.paired) > build.outputs)
            | (entry.input_line + entry.cols > build.inputs)
        )
        return wrong

    def _commands(self, m):
        """Take commands, do them, answer."""
        table, multiply, pulser, time = self._table, self._multiply, self._pulser, self._time
        loader, settings = self._loader, self._settings
        work, op = Work(m), self._op
        # What verbs change of the entry; all else stays.
        after, before = Signal(STATE_LAYOUT), Value.cast(table.entry)[: STATE_LAYOUT.size]
        m.d.comb += [
            settings.number.eq(self._arg),
            settings.data.eq(self._argument),
            table.number.eq(self._arg),
            table.word.eq(self._argument[WORD_PLACE:]),
            table.data.eq(self._argument[:WORD_BITS]),
            after.eq(before),
            table.state.eq(after),
        ]
        self._counts(m, after)
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.cmd.ready.eq(1)
                m.d.sync += Cat(op, self._arg, self._argument).eq(self.cmd.payload)
                with m.If(self.cmd.valid):
                    m.next = "DISPATCH"
            with m.State("DISPATCH"):
                m.next = "LOAD"
                with m.If(op == Op.SET):
                    m.d.comb += settings.write.eq(1)
                    m.next = "IDLE"
                with m.Elif(self._known()):
                    with m.If(op == Op.ENTRY):
                        m.next = "WRITE_ENTRY"
                with m.Else():
                    m.d.sync += self._illegal.eq(1)
                    m.next = "ANSWER"
            with m.State("WRITE_ENTRY"):
                with work.until_done(table.write, table.busy):
                    m.next = "IDLE"
            with m.State("LOAD"):
                with work.until_done(table.load, table.busy):
                    m.next = "SETTLE"
            # Registers follow the entry.
            with m.State("SETTLE"):
                m.next = "SETTLED"
            with m.State("SETTLED"):
                m.next = "CHECK"
            with m.State("CHECK"):
                m.next = "ANSWER"
                with m.If(~self._wrong):
                    self._starts(m)
            with m.State("LOADER"):
                with work.until_done(loader.start, ~loader.done):
                    m.d.comb += table.change.eq(loader.vector)
                    m.next = "ANSWER"
                m.d.comb += self._pass_streams(m)
            with m.State("MULTIPLY"):
                with work.until_done(multiply.start, ~multiply.done):
                    m.d.comb += table.change.eq(1)
                    m.next = "ANSWER"
            with m.State("UPDATE"):
                with work.until_done(self._update, ~pulser.done):
                    m.d.comb += table.change.eq(1)
                    m.next = "ANSWER"
                    with m.If(time.due):
                        m.d.comb += time.start.eq(1)
                        m.next = "TIME"
            with m.State("TIME"), m.If(time.done):
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.r.valid.eq(1)
                with m.If(self.r.ready):
                    m.d.sync += self._illegal.eq(0)
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        with m.If(settings.unknown):
            m.d.sync += self._illegal.eq(1)
        with m.If(fsm.ongoing("MULTIPLY")):
            m.d.comb += [
                self.o.valid.eq(multiply.o.valid),
                self.o.payload.eq(multiply.o.payload),
                multiply.o.ready.eq(self.o.ready),
            ]

    def _known(self):
        """Return whether the command at work is one, for an array that there can be."""
        ops = [op for op in Op if op not in (Op.SET, Op.WRITE_REFERENCES)]
        if self.config.build.references:
            ops.append(Op.WRITE_REFERENCES)
        return Cat(self._op == op for op in ops).any() & (self._arg < ENTRIES)

    def _starts(self, m):
        """Go to the state that a command on an array begins with."""
        states = {Op.FORWARD: "MULTIPLY", Op.BACKWARD: "MULTIPLY", Op.UPDATE: "UPDATE"}
        m.next = "LOADER"
        with m.Switch(self._op):
            for op, state in states.items():
                with m.Case(op):
                    m.next = state

    def _pass_streams(self, m):
        """Return what connects the streams while the loader is at work."""
        array, passing = self._array, self._loader.passing
        return [
            self.i.ready.eq(Mux(passing, array.cells_i.ready, self._loader.ready)),
            array.cells_i.valid.eq(passing & self.i.valid & array.cells_i.ready),
            self.o.valid.eq(passing & array.cells_o.valid),
            self.o.payload.eq(array.cells_o.payload),
            array.cells_o.ready.eq(passing & self.o.ready),
        ]

    def _counts(self, m, after):
        """Say what a command changes of the entry when it has ended."""
        entry, lines, time = self._table.entry, self._lines, self._time
        with m.Switch(self._op):
            with m.Case(Op.SETUP):
                m.d.comb += [
                    after.static_key.eq(self._schedule.key),
                    self._table.change.eq(self._loader.keyed),
                ]
            with m.Case(Op.LOAD_X):
                m.d.comb += after.x_max.eq(lines.column_max)
            with m.Case(Op.LOAD_D):
                m.d.comb += after.d_max.eq(lines.row_max)
            with m.Case(Op.FORWARD):
                m.d.comb += after.forward_step.eq(entry.forward_step + 1)
            with m.Case(Op.BACKWARD):
                m.d.comb += after.backward_step.eq(entry.backward_step + 1)
            with m.Case(Op.UPDATE):
                m.d.comb += after.update_step.eq(entry.update_step + 1)
                if self.config.build.time:
                    m.d.comb += [
                        after.time_left.eq(time.time_left),
                        after.refresh_left.eq(time.refresh_left),
                    ]
