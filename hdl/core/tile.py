"""The tile: commands, the order of work, lanes, sums and results.

A command stream starts everything (`ohmgrid.host.protocol`), vectors come in on `i`, results
leave on `o`, and each command but a register write is answered on `r`.
"""

from amaranth.hdl import Assert, Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.config import SLOTS
from ohmgrid.hdl.array.array import LaneArray
from ohmgrid.hdl.base.noise import KeySchedule
from ohmgrid.hdl.core.operations import COLUMN, ROW, Operations, goes
from ohmgrid.hdl.core.time_effects import TimeEffects
from ohmgrid.hdl.device.ports import REGISTERS, TABLE_WRITE
from ohmgrid.hdl.periphery.lines import Lines
from ohmgrid.hdl.periphery.outputs import Outputs
from ohmgrid.hdl.periphery.pulses import Planner
from ohmgrid.hdl.periphery.voltages import Voltages
from ohmgrid.host.protocol import COMMAND_BITS, OUT_BITS, TABLE_DATA_BITS, Op
from ohmgrid.registers.map import AGING, DEVICE, TABLES, TILE
from ohmgrid.registers.noise import Verb
from ohmgrid.registers.readout import Part

__all__ = ["Tile"]


class Tile(Operations, TimeEffects, wiring.Component):
    """One tile of ``lanes`` lanes for arrays of any shape up to its memory.

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

    def __init__(self, config):
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
        build, formats = self.config.build, self.config.formats
        m.submodules.schedule = self.schedule = KeySchedule()
        m.submodules.planner = self.planner = Planner(formats.edge_bits)
        m.submodules.lines = self.lines = Lines(self.config)
        m.submodules.array = self.array = LaneArray(self.config)
        m.submodules.outputs = self.outputs = Outputs(
            self.array.sum_bits, max(build.max_rows, build.max_cols), build.read_physics
        )

        # The command at work.
        self.op, self.arg, self.argument = Signal(8), Signal(8), Signal(64)
        self.regs = regs = {
            name: Signal(register.bits, name=name) for name, register in TILE.items()
        }
        self.halvings, self.slot = Signal(3), Signal(5)
        self.mvm_key, self.static_key = Signal(64), Signal(64)
        # Registers: the state reaches every bit of the key.
        self.key_start, self.key_verb, self.key_step = Signal(), Signal(8), Signal(48)
        m.d.sync += self.key_start.eq(0)
        self.part = Signal(Part, init=Part.VALUE)
        # 1.0 at the edge, from registers that are set long before.
        self.x_one, self.d_one = (Signal(formats.edge_bits) for _ in range(2))
        m.d.sync += [
            self.x_one.eq(1 << regs["x_frac"]),
            self.d_one.eq(1 << regs["d_frac"]),
        ]
        self.device, self.table_write = Signal(REGISTERS), Signal(TABLE_WRITE)
        self.pulsing = Signal()
        # A register: set long before a command that needs it, and not in anybody's way.
        self.device_rows = Signal(range(2 * build.max_rows + 1))
        m.d.sync += self.device_rows.eq(Mux(regs["paired"], regs["rows"] << 1, regs["rows"]))
        self.illegal = Signal()
        self._time_signals()
        # Registers, for they choose settings all over the tile; true from the dispatch's end on.
        self.backward, self.updates = Signal(), Signal()
        m.d.sync += [
            self.backward.eq(
                ((self.op == Op.BACKWARD) | (self.op == Op.BACKWARD_UPDATE)) & ~self.timing
            ),
            self.updates.eq((self.op == Op.UPDATE) | (self.op == Op.BACKWARD_UPDATE)),
        ]
        self.slots = Signal(5)
        self.alpha = Signal(17)
        self.read, self.perfect = Signal(), Signal()
        # Forward, zeros with input noise are not nothing.
        awake = self.read & (regs["forward_inp_noise"] != 0) & (self.lines.column_max == 0)
        m.d.comb += [
            self.read.eq(self._of_direction("read") & build.read_physics),
            self.perfect.eq(self._of_direction("perfect") & build.read_physics),
            self.alpha.eq(
                Mux(
                    self.backward,
                    Mux(regs["backward_managed"], self.lines.row_max, self.d_one),
                    Mux(
                        regs["forward_managed"] & ~awake,
                        self.lines.column_max,
                        self.x_one,
                    ),
                )
            ),
        ]

        self._connect(m)
        self._connect_time(m)
        self._answer(m)
        self._sums(m)
        # A register is written in the cycle after its dispatch, before the next command's.
        self.setting, writes = Signal(), Signal()
        m.d.sync += writes.eq(self.setting)
        with m.If(writes):
            self._set_register(m)
        with m.FSM():
            self._commands(m)
            self._setup(m)
            self._vectors(m)
            self._multiply(m)
            self._update(m)
            self._cells(m)
            self._time(m)
        return m

    def _of_direction(self, name):
        return Mux(self.backward, self.regs[f"backward_{name}"], self.regs[f"forward_{name}"])

    def _connect(self, m):
        """Wire the parts to each other and to the registers."""
        regs, lines, array, outputs = self.regs, self.lines, self.array, self.outputs
        for side in ("row", "column"):
            m.d.comb += getattr(lines, f"{side}_address").eq(getattr(array, f"{side}_address"))
            for name in ("code", "train", "sign", "static", "cycle"):
                m.d.comb += getattr(array, f"{side}_{name}").eq(getattr(lines, f"{side}_{name}"))
        for name in ("list_clear", "list_put", "list_row"):
            m.d.comb += getattr(array, name).eq(getattr(lines, name))
        m.d.comb += [
            lines.mode.eq(Mux(self.refreshing, 0, regs["pulse_type"])),
            lines.bl.eq(self.planner.bl),
            lines.sub.eq(Mux(lines.drive, self.halvings, self.slot)),
            lines.part.eq(self.part),
            lines.exact.eq(self.perfect),
            *(getattr(lines, name).eq(self._of_direction(name)) for name in Voltages.REGISTERS),
            lines.key.eq(self.schedule.key),
            array.registers.eq(self.device),
            array.table_write.eq(self.table_write),
            # A refresh pulses the two devices of a pair as rows of their own.
            lines.paired.eq(regs["paired"] & ~self.refreshing),
            array.paired.eq(regs["paired"] & ~self.refreshing),
            array.cells_references.eq(self.op == Op.WRITE_REFERENCES),
            array.rows.eq(self.device_rows),
            array.cols.eq(regs["cols"]),
            array.forward.eq(self.op == Op.FORWARD),
            array.backward.eq(self.backward & (self.slot == 0)),
            array.update.eq(self.pulsing),
            array.magnitude.eq((self.part == Part.LOAD) | (self.part == Part.POWER)),
            array.slots.eq(Mux(regs["serial"], (1 << self.slot)[:SLOTS], ~0)),
            outputs.key.eq(self.mvm_key),
            outputs.sub.eq(self.halvings),
            outputs.read.eq(self.read),
            outputs.exact.eq(self.perfect),
            outputs.part.eq(self.part),
            outputs.static_key.eq(self.static_key),
            outputs.backward.eq(self.backward),
            *(getattr(outputs, name).eq(self._of_direction(name)) for name in Outputs.REGISTERS),
            outputs.alpha.eq(self.alpha),
            outputs.halvings.eq(self.halvings),
            outputs.lines.eq(Mux(self.backward, regs["cols"], regs["rows"])),
            outputs.scale.eq(self._of_direction("scale")),
            outputs.shift.eq(self._of_direction("shift")),
            outputs.noise.eq(self._of_direction("noise")),
            outputs.half.eq(self._of_direction("adc_half")),
            lines.value.eq(self.i.payload),
            array.cells_i.payload.eq(self.i.payload),
            self.o.valid.eq(outputs.o.valid),
            self.o.payload.eq(outputs.o.payload),
            outputs.o.ready.eq(self.o.ready),
            self.planner.x_one.eq(self.x_one),
            self.planner.d_one.eq(self.d_one),
            self.planner.x_max.eq(self.lines.column_max),
            self.planner.d_max.eq(self.lines.row_max),
            self.schedule.start.eq(self.key_start),
            self.schedule.verb.eq(self.key_verb),
            self.schedule.step.eq(self.key_step),
            self.schedule.seed.eq(regs["seed"]),
            self.schedule.tile.eq(regs["number"]),
        ]
        m.d.sync += self.table_write.en.eq(0)
        m.d.comb += self.planner.fixed_bl.eq(self._of_update("bl"))
        for name in ("rate", "rate_shift", "factor", "desired_bl"):
            m.d.comb += getattr(self.planner, name).eq(self._of_update(name))
        for name in ("managed", "bl_managed"):
            m.d.comb += getattr(self.planner, name).eq(regs[name] | self.refreshing)
        m.d.comb += [getattr(array.aging, name).eq(regs[name]) for name in AGING]

    def _answer(self, m):
        """Answer word and error bits."""
        build = self.config.build
        rows, cols = self.regs["rows"], self.regs["cols"]
        most_rows = Mux(self.regs["paired"], build.max_rows // 2, build.max_rows)
        self.shape_wrong = Signal()
        # A register by itself: a simulator that meets logic in a check takes it for feedback.
        sound = Signal(init=1)
        m.d.sync += [
            sound.eq(sound & ~self.array.collision),
            Assert(sound, "a cell was written while it was read"),
        ]
        m.d.comb += self.shape_wrong.eq(
            (rows == 0) | (rows > most_rows) | (cols == 0) | (cols > build.max_cols)
        )
        passes, bl, saturated = Signal(8), Signal(8), Signal(32)
        m.d.comb += [
            self.errors.eq(Cat(self.illegal, self.shape_wrong & self.busy, ~sound)),
            passes.eq(Mux(self.op == Op.FORWARD, self.halvings + 1, 1)),
            bl.eq(Mux(self.updates, self.slots, 0)),
            saturated.eq(Mux(self.backward | (self.op == Op.FORWARD), self.outputs.saturated, 0)),
            self.r.payload.eq(Cat(self.op, self.errors, passes, bl, saturated)),
        ]

    def _commands(self, m):
        """Take a command, write registers, answer."""
        with m.State("IDLE"):
            m.d.comb += self.cmd.ready.eq(1)
            m.d.sync += Cat(self.op, self.arg, self.argument).eq(self.cmd.payload)
            with m.If(self.cmd.valid):
                m.next = "DISPATCH"
        with m.State("DISPATCH"):
            m.d.comb += self.busy.eq(1)
            m.d.sync += [self.halvings.eq(0), self.slot.eq(0), self.pulsing.eq(0)]
            m.next = "ANSWER"
            starts = {
                Op.SETUP: "SEED",
                Op.LOAD_X: "LOAD_X",
                Op.LOAD_D: "LOAD_D",
                Op.FORWARD: "MULTIPLY",
                Op.BACKWARD: "MULTIPLY",
                Op.UPDATE: "UPDATE",
                Op.BACKWARD_UPDATE: "MULTIPLY",
                Op.READ_CELLS: "CELLS",
                Op.WRITE_CELLS: "CELLS",
            }
            if self.config.build.references:
                starts[Op.WRITE_REFERENCES] = "CELLS"
            with m.Switch(self.op):
                with m.Case(Op.SET):
                    m.next = "IDLE"
                    m.d.comb += self.setting.eq(1)
                for op, state in starts.items():
                    with m.Case(op), m.If(~self.shape_wrong):
                        m.next = state
                with m.Default():
                    m.d.sync += self.illegal.eq(1)
        with m.State("ANSWER"):
            m.d.comb += [self.busy.eq(1), self.r.valid.eq(1)]
            with m.If(self.r.ready):
                m.d.sync += self.illegal.eq(0)
                m.next = "IDLE"

    def _set_register(self, m):
        """Write register ``arg`` of the map, or an entry of a table."""
        targets = {register.number: self.regs[name] for name, register in TILE.items()}
        targets |= {register.number: self.device[name] for name, register in DEVICE.items()}
        with m.Switch(self.arg):
            for number, target in targets.items():
                with m.Case(number):
                    m.d.sync += target.eq(self.argument)
            with m.Case(*TABLES.values()):
                # Out of a register: it goes to every device unit.
                m.d.sync += [
                    self.table_write.en.eq(1),
                    self.table_write.table.eq(self.arg),
                    self.table_write.address.eq(self.argument[TABLE_DATA_BITS:]),
                    self.table_write.data.eq(self.argument),
                ]
            with m.Default():
                m.d.sync += self.illegal.eq(1)

    def _setup(self, m):
        """Seed, static operation key, static line keys of both sides."""
        with m.State("SEED"):
            m.d.comb += [self.busy.eq(1), self.schedule.load.eq(1)]
            m.next = "SEED_WAIT"
        with m.State("SEED_WAIT"):
            m.d.comb += self.busy.eq(1)
            with m.If(self.schedule.done):
                m.next = "STATIC"

        def keyed():
            m.d.sync += self.static_key.eq(self.schedule.key)
            m.next = "STATIC_ROWS"

        self._key(m, "STATIC", keyed, Verb.STATIC, 0)
        self._pass(m, "STATIC_ROWS", goes(m, "STATIC_COLS"), ROW, static_keys=1)
        self._pass(m, "STATIC_COLS", goes(m, "ANSWER"), COLUMN, static_keys=1)

    def _vectors(self, m):
        """Take activations or errors into their edge buffer."""
        for name, side in (("LOAD_X", COLUMN), ("LOAD_D", ROW)):
            settings = [
                self.busy.eq(1),
                self.lines.side.eq(side),
                self.lines.count.eq(self.regs["rows" if side == ROW else "cols"]),
            ]
            with m.State(name):
                m.d.comb += [*settings, self.lines.clear.eq(1)]
                m.next = f"{name}_TAKE"
            with m.State(f"{name}_TAKE"):
                m.d.comb += [*settings, self.i.ready.eq(1), self.lines.take.eq(self.i.valid)]
                with m.If(self.lines.taken):
                    m.next = "ANSWER"

    def _cells(self, m):
        """Read or write all conductances."""
        array = self.array
        with m.State("CELLS"):
            m.d.comb += [
                self.busy.eq(1),
                array.cells_read.eq(self.op == Op.READ_CELLS),
                array.cells_write.eq(self.op != Op.READ_CELLS),
            ]
            m.next = "CELLS_WAIT"
        with m.State("CELLS_WAIT"):
            m.d.comb += [
                self.busy.eq(1),
                array.cells_i.valid.eq(self.i.valid),
                self.i.ready.eq(array.cells_i.ready),
                self.o.valid.eq(array.cells_o.valid),
                self.o.payload.eq(array.cells_o.payload),
                array.cells_o.ready.eq(self.o.ready),
            ]
            with m.If(~array.cells_busy):
                m.next = "ANSWER"
