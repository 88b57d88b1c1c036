"""The core: one lane array for all arrays of a net; commands, the array table, the engines.

A command stream starts everything (`ohmgrid.host.protocol`), vectors come in on `i`, results
leave on `o`, and each command but a register write is answered on `r`.
"""

from amaranth.hdl import Assert, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import Config
from ohmgrid.hdl.array.array import LaneArray
from ohmgrid.hdl.array.bundles import sweep_layout
from ohmgrid.hdl.array.cell_port import job_layout
from ohmgrid.hdl.base.arith import saturate
from ohmgrid.hdl.core.array_table import ArrayTable
from ohmgrid.hdl.core.between import Between, connect_between
from ohmgrid.hdl.core.commands import Commands
from ohmgrid.hdl.core.counters import Counters, amounts_of
from ohmgrid.hdl.core.jobs import KEY, WAY, either, lies, of_direction, same
from ohmgrid.hdl.core.key_desk import KeyDesk
from ohmgrid.hdl.core.loader import Loader
from ohmgrid.hdl.core.maxima import Maxima
from ohmgrid.hdl.core.multiply import Multiply
from ohmgrid.hdl.core.onward import Onward
from ohmgrid.hdl.core.pulser import Pulser
from ohmgrid.hdl.core.sequencer import Sequencer
from ohmgrid.hdl.core.settings import Settings
from ohmgrid.hdl.core.time_effects import TimeEffects
from ohmgrid.hdl.core.transfer import Transfers
from ohmgrid.hdl.core.update import Update
from ohmgrid.hdl.periphery.edge import vector_layout
from ohmgrid.hdl.periphery.lines import Lines
from ohmgrid.hdl.periphery.passes import pass_layout
from ohmgrid.hdl.periphery.voltages import Voltages
from ohmgrid.host.protocol import COMMAND_BITS, OUT_BITS, WORD_PLACE
from ohmgrid.registers.arrays import WORD_BITS
from ohmgrid.registers.map import AGING, TRAINER
from ohmgrid.registers.steps import ARRAY_BITS

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
        m.submodules.keys = self._keys = KeyDesk()
        m.submodules.settings = self._settings = Settings(build.device_sets)
        m.submodules.table = self._table = ArrayTable(config)
        m.submodules.loader = self._loader = Loader(config)
        m.submodules.lines = self._lines = Lines(config)
        m.submodules.array = self._array = LaneArray(config)
        m.submodules.multiply = self._multiply = Multiply(config, self._array.sum_bits)
        m.submodules.pulser = self._pulser = Pulser(config)
        m.submodules.update = self._update = Update(config)
        m.submodules.onward = self._onward = Onward(config)
        m.submodules.maxima = self._maxima = Maxima(config)
        m.submodules.sequencer = self._sequencer = Sequencer(config)
        m.submodules.counters = self._counters = Counters(config)
        # A build without it asks for nothing in its place.
        self._time, self._transfers = TimeEffects(config, self._array.turn), Transfers(config)
        self._between = Between(config)
        if build.time:
            m.submodules.time = self._time
        if build.transfers:
            m.submodules.transfers = self._transfers
        if build.buffers:
            m.submodules.between = self._between

        m.submodules.commands = self._commands = Commands(config)
        self._registers, self._kinds = self._settings.registers, self._commands.kinds
        entry = self._table.entry
        # The array whose vectors the verb at work takes: its own, but in transfers.
        self._owner = Signal(ARRAY_BITS)
        m.d.comb += self._owner.eq(
            Mux(self._sequencer.running, self._sequencer.owner, self._commands.arg)
            if build.transfers
            else self._commands.arg
        )
        # Results go to what lies between arrays, or errors come from there.
        self._through = Signal()
        self._way = way = Signal(WAY)
        m.d.comb += way.eq(of_direction(self._kinds.backward, self._registers, entry))
        self._place(m)
        self._connect_lines(m)
        self._connect_engines(m)
        self._connect_trainer(m)
        self._connect_commands(m)
        self._connect_streams(m)
        self._change_entry(m)
        if build.buffers:
            connect_between(
                *(m, self._between, self._through, self._keys),
                *(self._settings, self._table, self._commands, self._sequencer),
                *(self._multiply, self._loader, self._lines, self._maxima, self._pulser),
            )
        return m

    def _place(self, m):
        """Say where the array at work lies, and bring it its devices."""
        array, entry = self._array, self._table.entry
        m.d.sync += lies(array.array, entry, self._update.sweep.split)
        m.d.comb += [
            self._settings.device_set.eq(entry.device_set),
            array.registers.eq(self._settings.device),
            array.device_set.eq(entry.device_set),
            array.table_write.eq(self._settings.table_write),
            *(array.aging[name].eq(self._registers[name]) for name in AGING),
        ]

    def _connect_lines(self, m):
        """Connect the lines' memories to the array, and to whichever engine makes a pass."""
        lines, array, time, build = self._lines, self._array, self._time, self.config.build
        entry, way, keys = self._table.entry, self._way, self._keys
        engines = (self._multiply, self._update, time, self._loader, self._between)
        # What comes from beyond the edge is clipped: magnitudes have a bit less.
        own = saturate(self.i.payload, self.config.formats.edge_bits)
        own = Mux(self._through, self._between.value, own)
        came = Mux(self._commands.flowing, self._onward.value, own)
        came = Mux(self._loader.line, Mux(self._loader.hot, lines.one, 0), came)
        # A register: all engines have passes made.
        m.d.sync += lines.job.eq(
            either(
                pass_layout(self.config),
                self._multiply.lines,
                time.lines,
                self._loader.lines,
                self._onward.lines,
            )
        )
        m.d.comb += [
            lines.vector.eq(
                either(
                    vector_layout(self.config),
                    *(time.vector, self._loader.edge, self._onward.vector, self._sequencer.vector),
                )
            ),
            lines.value.eq(Mux(time.active, time.value, came)),
            *(getattr(lines, name).eq(way[name]) for name in Voltages.REGISTERS),
            lines.trains.eq(self._pulser.lines),
            lines.keys.static.eq(entry.static_key),
            lines.keys.sub.eq(self._update.sub),
            lines.keys.row.eq(entry.output_line << entry.paired),
            lines.keys.column.eq(entry.input_line),
            lines.row_line.eq(array.row_line),
            lines.row_key.eq(array.row_key),
            lines.column_line.eq(array.column_line),
            array.rows.eq(lines.rows),
            array.columns.eq(lines.columns),
            *(*same(array, lines, "codes", "pulses"), array.coding.eq(lines.busy)),
            keys.load.eq(self._loader.seed),
            keys.seed.eq(self._registers.seed),
            keys.verb.eq(either(KEY, *(engine.key for engine in engines))),
            keys.verb_tile.eq(entry.number),
            keys.pulser.eq(self._pulser.key),
            keys.pulser_tile.eq(self._table.planned.number),
        ]
        # What passes make keys of: of a verb's, driven codes, and what no sweep computes.
        wanted = Mux(self._commands.multiplying, build.read_physics, not build.computed_keys)
        with m.If(self._pulser.begins):
            m.d.sync += lines.key.eq(keys.planned)
        with m.Elif(keys.verb_done & wanted):
            m.d.sync += lines.key.eq(keys.key)
        with m.If(keys.verb_done):
            m.d.sync += lines.keys.cycle.eq(keys.key)

    def _connect_engines(self, m):
        """Connect the engines to what they use."""
        array, lines, entry = self._array, self._lines, self._table.entry
        multiply, pulser, time = self._multiply, self._pulser, self._time
        loader, update, table = self._loader, self._update, self._table
        one = {
            name: Signal(self.config.formats.edge_bits, name=name) for name in ("x_one", "d_one")
        }
        m.d.sync += [
            one["x_one"].eq(1 << self._registers.x_frac),
            one["d_one"].eq(1 << self._registers.d_frac),
            # As an activation: 1.0 may be one LSB beyond the edge.
            lines.one.eq(one["x_one"] - one["x_one"][-1]),
        ]
        for engine in (multiply, time):
            m.d.comb += engine.registers.eq(self._registers)
        for engine in (multiply, update, time, loader):
            m.d.comb += [engine.key_done.eq(self._keys.verb_done), engine.entry.eq(entry)]
        for engine in (multiply, time, loader):
            m.d.comb += engine.lines_busy.eq(lines.busy)
        for engine in (time, loader):
            m.d.comb += [engine.taken.eq(lines.taken), engine.cells_busy.eq(array.cells_busy)]
        for engine in (multiply, pulser):
            m.d.comb += [engine.x_one.eq(one["x_one"]), engine.d_one.eq(one["d_one"])]
        for engine in (multiply, update):
            m.d.comb += engine.sweep_busy.eq(array.busy)
        for engine in (update, pulser):
            m.d.comb += [
                engine.array.eq(self._commands.arg),
                engine.refresh.eq(time.active),
                engine.column.eq(time.column),
            ]
        m.d.comb += [
            pulser.registers.eq(self._settings.planned),
            pulser.one_chunk.eq(self._settings.one_chunk),
            self._settings.planned_set.eq(table.planned.device_set),
            time.one.eq(lines.one),
            self._onward.d_one.eq(one["d_one"]),
            multiply.backward.eq(self._kinds.backward),
            *(multiply.way.eq(self._way), multiply.op_key.eq(self._keys.key)),
            *same(multiply, lines, "power", "asks"),
            *same(lines, multiply, "granted", "key_made"),
            *same(multiply, array, "tree_valid", "tree_sum", "chain_valid", "chain_sum"),
            multiply.lines_begun.eq(lines.begun),
            array.start.eq(multiply.sweep_start | update.sweep_start),
            array.job.eq(either(sweep_layout(self.config), multiply.sweep, update.sweep)),
            update.start.eq(self._commands.update | time.pulse),
            update.waits.eq(time.due & ~time.active & ~self._kinds.pulse),
            update.taking.eq(self._sequencer.taking),
            *same(update, time, "offset", "before"),
            *same(update, pulser, "pending", "ready", "kept", "served", "made"),
            *same(pulser, update, "used", "wants"),
            pulser.forget.eq(self._sequencer.start | self._sequencer.forget),
            pulser.rewritten.eq(self._maxima.rewritten),
            pulser.plan.eq(self._sequencer.plan),
            pulser.plan_array.eq(self._sequencer.planned),
            *same(self._sequencer, pulser, "pending", "reading", "ready", "room"),
            table.fetch.eq(pulser.fetch),
            pulser.fetched.eq(table.fetched),
            table.beside.eq(pulser.at),
            self._maxima.beside.eq(Mux(pulser.own, self._owner, pulser.at)),
            pulser.entry.eq(table.planned),
            pulser.key_done.eq(self._keys.pulser_done),
            pulser.lines_busy.eq(lines.trains_busy),
            pulser.lines_clipped.eq(lines.clipped),
            pulser.pulses.eq(lines.pulses),
            *same(multiply, self._maxima.found, "x_max", "d_max", "x_count"),
            pulser.x_count.eq(self._maxima.planned.x_count),
            pulser.x_max.eq(Mux(time.active, lines.column_max, self._maxima.planned.x_max)),
            pulser.d_max.eq(Mux(time.active, lines.row_max, self._maxima.planned.d_max)),
            time.pulsed.eq(update.done),
            time.seen.eq(array.seen),
            array.cells.eq(either(job_layout(self.config), time.cells, loader.cells)),
            loader.setup.eq(self._kinds.setup),
            loader.vector.eq(self._kinds.load_x | self._kinds.load_d | self._kinds.line),
            loader.line.eq(self._kinds.line),
            loader.errors.eq(self._kinds.load_d),
            loader.biased.eq(self._sequencer.running & self._sequencer.biased),
            loader.reads.eq(self._kinds.read_cells),
            loader.references.eq(self._kinds.write_references),
            loader.valid.eq(self.i.valid | self._through),
            array.cells_i.payload.eq(saturate(self.i.payload, self.config.formats.weight_bits)),
        ]

    def _connect_trainer(self, m):
        """Connect what runs the step table, and what brings results to the edge."""
        lines, time, onward = self._lines, self._time, self._onward
        sequencer, maxima, registers = self._sequencer, self._maxima, self._registers
        build, write = self.config.build, self._settings.trainer_write
        # A refresh, or a transfer, has vectors of its own, behind those of all examples.
        away = Signal()
        apart = time.active | sequencer.apart
        m.d.sync += [
            away.eq(time.active),
            lines.column_base.eq(Mux(apart, build.edge * build.inputs, sequencer.column_base)),
            lines.row_base.eq(Mux(apart, build.edge * build.outputs, sequencer.row_base)),
        ]
        m.d.comb += [
            sequencer.write.eq(write),
            sequencer.order.eq(self._commands.argument),
            sequencer.halted.eq(self._update.alone | self._commands.pass_time | time.active | away),
            sequencer.counts_more.eq(self._commands.arg[0]),
            *(sequencer.label_valid.eq(self.i.valid), sequencer.i.eq(self.i.payload)),
            *same(onward, sequencer, "job", "label", "column_base"),
            onward.entry.eq(self._table.entry),
            onward.backward.eq(self._kinds.backward),
            *same(onward, registers, "x_frac", "d_frac"),
            onward.lines_busy.eq(lines.busy),
            *same(onward, lines, "number", "shared_valid", "shared", "looked"),
            *same(onward.table_write, write, "address", "data"),
            onward.table_write.en.eq(write.en & (write.table == TRAINER["activation"])),
            *same(lines, onward, "share", "look"),
            maxima.slot.eq(Mux(sequencer.apart, build.edge, sequencer.slot)),
            *(maxima.count.eq(lines.column_count), maxima.array.eq(self._owner)),
            sequencer.due.eq(self._transfers.due),
            maxima.brought.eq(onward.done & sequencer.job.stores),
            *same(maxima, sequencer.job, "target", "side"),
            maxima.loaded.eq(self._loader.done & self._loader.vector),
            maxima.errors.eq(self._loader.errors),
            *(maxima.taken.eq(sequencer.taken), maxima.taken_for.eq(sequencer.target)),
            *same(maxima, lines, "column_max", "row_max"),
            sequencer.inputs.eq(self._table.entry.cols - 1),
            sequencer.serial.eq(self._table.entry.serial),
            sequencer.vector_taken.eq(lines.taken),
        ]

    def _count(self, m):
        """Count what the verb at work came to; return it."""
        update, array, commands = self._update, self._array, self._commands
        counters, sequencer, multiply = self._counters, self._sequencer, self._multiply
        amounts = amounts_of(
            m, self.config, self._time.active, update, array, multiply, self._onward
        )
        m.d.comb += [
            array.count.eq(multiply.start | update.start),
            *same(counters, sequencer, "start", "counts"),
            *(counters.array.eq(commands.arg), counters.target.eq(sequencer.job.target)),
            *(counters.row.eq(commands.arg), counters.field.eq(commands.argument)),
            counters.amounts.eq(amounts),
        ]
        return amounts

    def _connect_commands(self, m):
        """Connect what takes commands to all that does them."""
        commands, table, settings = self._commands, self._table, self._settings
        multiply, update, onward = self._multiply, self._update, self._onward
        loader, time, sequencer = self._loader, self._time, self._sequencer
        counters = self._counters
        # A register by itself: a simulator that meets logic in a check takes it for feedback.
        sound = Signal(init=1)
        m.d.sync += [
            sound.eq(sound & ~self._array.collision),
            Assert(sound, "a cell was written while it was read"),
        ]
        wiring.connect(m, wiring.flipped(self.cmd), commands.cmd)
        wiring.connect(m, commands.r, wiring.flipped(self.r))
        m.d.comb += [
            *same(self, commands, "busy", "errors"),
            settings.write.eq(commands.set),
            settings.number.eq(commands.arg),
            settings.data.eq(commands.argument),
            table.load.eq(commands.load),
            table.write.eq(commands.write_entry),
            table.number.eq(commands.arg),
            table.word.eq(commands.argument[WORD_PLACE:]),
            table.data.eq(commands.argument[:WORD_BITS]),
            loader.start.eq(commands.load_vector),
            multiply.start.eq(commands.multiply),
            multiply.inner.eq(commands.inner_results),
            multiply.again.eq(self._kinds.loss | self._kinds.send),
            time.start.eq(commands.pass_time),
            sequencer.start.eq(commands.run),
            commands.unknown.eq(settings.unknown),
            commands.table_busy.eq(table.busy),
            commands.loader_done.eq(loader.done),
            commands.multiply_done.eq(multiply.done),
            commands.brought.eq(onward.done),
            commands.updated.eq(update.done),
            commands.time_due.eq(time.due),
            commands.time_passed.eq(time.done),
            commands.wrong.eq(table.wrong),
            commands.sound.eq(sound),
            commands.amounts.eq(self._count(m)),
            *same(commands, onward, "hit", "word"),
            *same(commands, sequencer, "go", "inner", "ended", "illegal", "answer_valid"),
            commands.step_op.eq(sequencer.op),
            commands.step_array.eq(sequencer.array),
            commands.steps.eq(sequencer.running),
            commands.counting.eq(counters.busy),
            commands.counter.eq(counters.value),
            *same(sequencer, commands, "accepted", "done", "failed", "answer_ready"),
            counters.add.eq(commands.count),
            counters.op.eq(commands.counted_op),
        ]

    def _connect_streams(self, m):
        """Connect the streams to the one engine that passes words."""
        array, loader, multiply = self._array, self._loader, self._multiply
        commands, sequencer = self._commands, self._sequencer
        inner, through, between = commands.inner_results, self._through, self._between
        m.d.sync += [
            self._onward.start.eq(commands.bring | multiply.anew),
            self._onward.i_valid.eq(multiply.o.valid & inner),
            self._onward.i.eq(multiply.o.payload),
        ]
        m.d.comb += multiply.o.ready.eq(self.o.ready | inner | through)
        with m.If(commands.multiplying):
            m.d.comb += [
                self.o.valid.eq(multiply.o.valid & ~inner & ~through),
                self.o.payload.eq(multiply.o.payload),
            ]
        m.d.comb += between.o.ready.eq(self.o.ready)
        with m.If(between.reading):
            m.d.comb += same(self.o, between.o, "valid", "payload")
        with m.If(sequencer.running):
            m.d.comb += self.i.ready.eq(sequencer.label_ready)
        with m.If(commands.loading):
            m.d.comb += self.i.ready.eq(loader.ready & ~through)
            with m.If(loader.passing):
                m.d.comb += [
                    self.i.ready.eq(array.cells_i.ready),
                    array.cells_i.valid.eq(self.i.valid & array.cells_i.ready),
                    self.o.valid.eq(array.cells_o.valid),
                    self.o.payload.eq(array.cells_o.payload),
                    array.cells_o.ready.eq(self.o.ready),
                ]

    def _change_entry(self, m):
        """Say what a command changes of the entry when it has ended; all else stays."""
        table, commands = self._table, self._commands
        ops = {
            "forward_step": self._kinds.forward,
            "backward_step": self._kinds.backward,
            "update_step": self._kinds.update | self._kinds.pulse | self._kinds.age,
            "left": self._kinds.update | self._kinds.age,
            "transfer_left": self._kinds.update,
            "column": self._kinds.forward,
        }
        transfers = self._transfers
        m.d.comb += [
            *(table.change[name].eq(commands.changed & ops[name]) for name in ops),
            table.change.static_key.eq(self._loader.keyed),
            table.static_key.eq(self._keys.key),
            *same(table, self._time, "time_left", "refresh_left"),
            table.transfer_left.eq(transfers.left),
            table.column.eq(transfers.column),
            transfers.entry.eq(table.entry),
            transfers.updated.eq(table.change.transfer_left),
            transfers.clear.eq(self._sequencer.start),
        ]
