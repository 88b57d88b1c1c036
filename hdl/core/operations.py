"""The order of work of forward, backward and update: states of the tile's sequencer."""

from amaranth.hdl import Array, Mux, Signal

from ohmgrid.config import SLOTS, W_NOISE_TYPES
from ohmgrid.registers.noise import Verb
from ohmgrid.registers.protocol import Op
from ohmgrid.registers.readout import DITHER_BITS, Part

__all__ = ["COLUMN", "ROW", "Operations", "goes"]

COLUMN, ROW = 0, 1
"""The two sides of an array, as `ohmgrid.hdl.periphery.lines.Lines` numbers them."""


def goes(m, state):
    """Return a function that moves the sequencer to ``state``."""

    def following():
        m.next = state

    return following


class Operations:
    """States of the three verbs, mixed into `ohmgrid.hdl.core.tile.Tile`.

    They use the tile's parts (``schedule``, ``planner``, ``lines``, ``array``, ``outputs``), its
    registers ``regs`` and the signals that it makes for one command (``op``, ``halvings``,
    ``slot``, ``pulsing``, ``mvm_key``, ``alpha``, ``device_rows``).
    """

    def _pass(self, m, name, following, side, **settings):
        """Add the states of one pass over the lines of a side."""
        lines = self.lines

        def settle():
            m.d.comb += [
                self.busy.eq(1),
                lines.side.eq(side),
                lines.count.eq(self.device_rows if side == ROW else self.regs["cols"]),
                lines.pace.eq(1),
            ]
            m.d.comb += [getattr(lines, key).eq(value) for key, value in settings.items()]

        with m.State(name):
            settle()
            m.d.comb += lines.start.eq(1)
            m.next = f"{name}_WAIT"
        with m.State(f"{name}_WAIT"):
            settle()
            with m.If(~lines.busy):
                following()

    def _start_key(self, m, verb, step):
        """Start the key schedule in the next cycle."""
        m.d.sync += [self.key_start.eq(1), self.key_verb.eq(verb), self.key_step.eq(step)]

    def _key(self, m, name, following, verb, step):
        """Add the states that derive an operation key."""
        with m.State(name):
            m.d.comb += self.busy.eq(1)
            self._start_key(m, verb, step)
            m.next = f"{name}_WAIT"
        with m.State(f"{name}_WAIT"):
            m.d.comb += self.busy.eq(1)
            with m.If(self.schedule.done):
                following()

    def _sums(self, m):
        """Feed the converter: forward from the memory of sums, backward as columns come out."""
        array, outputs = self.array, self.outputs
        forward = self.op == Op.FORWARD
        self.row = Signal(range(self.config.build.max_rows + 1))
        self.reading = Signal(2)
        m.d.sync += [self.row.eq(0), self.reading.eq(self.reading << 1)]
        m.d.comb += [
            array.sum_address.eq(self.row),
            outputs.valid.eq(Mux(forward, self.reading[1], array.column_valid)),
            outputs.sum.eq(Mux(forward, array.row_sum, array.column_sum)),
        ]

    def _sweeps(self, m):
        """Return two functions that go to the first and to the next sweep of a pass.

        Without read-side non-idealities there is one, of values.
        """

        def drop():
            return self.read & (self._of_direction("ir") != 0)

        def power():
            return self.read & (self._of_direction("w_kind") != 0)

        def codes():
            with m.If(self.backward):
                m.next = "ROW_CODES"
            with m.Else():
                m.next = "COL_CODES"

        def first():
            m.d.sync += self.part.eq(Mux(drop(), Part.LOAD, Mux(power(), Part.POWER, Part.VALUE)))
            codes()

        def following():
            m.d.comb += self.outputs.clear.eq(1)
            m.d.sync += self.part.eq(
                Mux(
                    self.part == Part.LOAD,
                    Part.POSITION,
                    Mux((self.part == Part.POSITION) & power(), Part.POWER, Part.VALUE),
                )
            )
            codes()

        return first, following

    def _multiply(self, m):
        """Forward and backward: codes, sweep, conversion, another pass if an output clipped."""
        regs, array, outputs = self.regs, self.array, self.outputs
        first_sweep, next_sweep = self._sweeps(m)
        last_sweep = self.part == Part.VALUE
        # Powers without weights are summed while the codes are made.
        additive = self._of_direction("w_kind") == W_NOISE_TYPES.index("additive-constant")

        # Long settled when the key is there.
        nothing = Signal()
        m.d.sync += nothing.eq((self.alpha == 0) & ~self.perfect)

        def keyed():
            m.d.sync += self.mvm_key.eq(self.schedule.key)
            m.d.comb += outputs.clear.eq(1)
            with m.If(nothing):
                m.next = "MULTIPLIED"
            with m.Else():
                first_sweep()

        def coded():
            with m.If((self.part == Part.POWER) & additive):
                m.next = "POWER"
            with m.Elif(self.updates & last_sweep):
                m.next = "UPDATE"
            with m.Else():
                m.next = "SWEEP"

        step = Mux(self.backward, regs["backward_step"], regs["forward_step"])
        verb = Mux(self.backward, Verb.BACKWARD, Verb.FORWARD)
        self._key(m, "MULTIPLY", keyed, verb, step)
        half = self._of_direction("dac_half")
        fine = Mux(self.read & self._of_direction("inp_dither"), half << DITHER_BITS, half)
        exact = self.perfect
        codes = {
            "codes": 1,
            "drive": self.read,
            "factor": Mux(exact, 1, fine),
            "top": Mux(exact, ~0, fine),
            "divisor": Mux(exact, 1, (self.alpha << self.halvings)[: len(self.lines.divisor)]),
        }
        pace = Mux(regs["paired"], 2, 1)
        self._pass(m, "ROW_CODES", coded, ROW, count=regs["rows"], pace=pace, **codes)
        self._pass(m, "COL_CODES", coded, COLUMN, **codes)

        with m.State("SWEEP"):
            m.d.comb += [self.busy.eq(1), array.start.eq(1)]
            m.next = "SWEEP_WAIT"
        with m.State("SWEEP_WAIT"):
            m.d.comb += self.busy.eq(1)
            with m.If(~array.busy):
                with m.If(self.op == Op.FORWARD):
                    m.next = "CONVERT"
                with m.Elif(self.pulsing & regs["serial"] & (self.slot + 1 != self.planner.bl)):
                    m.d.sync += self.slot.eq(self.slot + 1)
                    m.next = "ROW_KEYS"
                with m.Elif(self.backward):
                    m.next = "CONVERT_WAIT"
                with m.Else():
                    m.next = "FINISH"

        with m.State("CONVERT"):
            m.d.comb += self.busy.eq(1)
            m.d.sync += [self.row.eq(self.row + 1), self.reading.eq(self.reading << 1 | 1)]
            with m.If(self.row == regs["rows"] - 1):
                m.next = "CONVERT_WAIT"
        with m.State("POWER"):
            m.d.comb += [
                self.busy.eq(1),
                outputs.valid.eq(1),
                outputs.sum.eq(self.lines.power),
            ]
            m.next = "POWER_WAIT"
        with m.State("POWER_WAIT"):
            m.d.comb += self.busy.eq(1)
            with m.If(outputs.stored == 1):
                next_sweep()

        def converted():
            m.next = "MULTIPLIED"
            with m.If(
                ~self.backward
                & (outputs.saturated != 0)
                & (self.halvings + 1 < regs["forward_passes"])
            ):
                m.d.comb += outputs.clear.eq(1)
                m.d.sync += self.halvings.eq(self.halvings + 1)
                first_sweep()

        with m.State("CONVERT_WAIT"):
            m.d.comb += self.busy.eq(1)
            with m.If(self.read & (outputs.stored == outputs.lines)):
                with m.If(last_sweep):
                    m.d.comb += outputs.convert.eq(1)
                    m.next = "READ_WAIT"
                with m.Else():
                    next_sweep()
            with m.If(~self.read & (outputs.count == outputs.lines)):
                converted()
        with m.State("READ_WAIT"):
            m.d.comb += self.busy.eq(1)
            with m.If(outputs.count == outputs.lines):
                converted()
        with m.State("MULTIPLIED"):
            m.d.comb += [self.busy.eq(1), outputs.send.eq(1)]
            m.next = "SEND"
        with m.State("SEND"):
            m.d.comb += self.busy.eq(1)
            with m.If(~outputs.busy):
                m.next = "FINISH"
        with m.State("FINISH"):
            m.d.comb += self.busy.eq(1)
            for name, ops in (
                ("forward_step", self.op == Op.FORWARD),
                ("backward_step", self.backward),
                ("update_step", self.updates & ~self.refreshing),
            ):
                with m.If(ops):
                    m.d.sync += regs[name].eq(regs[name] + 1)
            self._count_down(m, "ANSWER")

    def _update(self, m):
        """Plan the pulses, make trains and cycle keys, sweep; slot by slot if told."""
        planned, keyed = Signal(), Signal()
        verb, step = self._update_key()
        with m.State("UPDATE"):
            m.d.comb += [self.busy.eq(1), self.planner.start.eq(1)]
            self._start_key(m, verb, step)
            m.d.sync += [planned.eq(0), keyed.eq(0)]
            m.next = "UPDATE_WAIT"
        with m.State("UPDATE_WAIT"):
            m.d.comb += self.busy.eq(1)
            m.d.sync += [
                planned.eq(planned | self.planner.done),
                keyed.eq(keyed | self.schedule.done),
            ]
            with m.If(planned & keyed):
                m.d.sync += self.pulsing.eq(self.planner.bl != 0)
                with m.If(~self.refreshing):
                    m.d.sync += self.slots.eq(self.planner.bl)
                with m.If(self.planner.bl != 0):
                    m.next = "ROW_TRAINS"
                with m.Elif(self.backward):
                    m.next = "SWEEP"
                with m.Else():
                    m.next = "FINISH"

        planner, lines = self.planner, self.lines
        slots = 4 * self.config.build.train_groups
        pace = Array(max(1, -(-bl // slots)) for bl in range(SLOTS + 1))[planner.bl]
        common = {"trains": 1, "cycle_keys": 1, "top": 1 << 16}
        self._pass(
            m,
            "ROW_TRAINS",
            goes(m, "COL_TRAINS"),
            ROW,
            factor=planner.d_factor,
            divisor=planner.d_divisor,
            pace=Mux(lines.mode == 0, pace, planner.bl),
            **common,
        )
        self._pass(
            m,
            "COL_TRAINS",
            goes(m, "SWEEP"),
            COLUMN,
            factor=planner.x_factor,
            divisor=planner.x_divisor,
            pace=Mux(lines.mode == 0, pace, 1),
            **common,
        )
        self._pass(m, "ROW_KEYS", goes(m, "COL_KEYS"), ROW, cycle_keys=1)
        self._pass(m, "COL_KEYS", goes(m, "SWEEP"), COLUMN, cycle_keys=1)
