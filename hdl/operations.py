"""The order of work of forward, backward and update: states of the tile's sequencer."""

from typing import NamedTuple

from amaranth.hdl import Array, Mux, Signal

from ohmgrid.config import SLOTS, W_NOISE_TYPES, Config
from ohmgrid.hdl.array import LaneArray
from ohmgrid.hdl.lines import Lines
from ohmgrid.hdl.noise import KeySchedule
from ohmgrid.hdl.outputs import Outputs
from ohmgrid.hdl.pulses import Planner, TrainMaker
from ohmgrid.protocol import Op
from ohmgrid.read_registers import DITHER_BITS, Part, ReadRegisters, parts
from ohmgrid.streams import Verb

__all__ = ["COLUMN", "ROW", "OperationCycles", "Operations", "PulseWork", "goes"]

COLUMN, ROW = 0, 1
"""The two sides of an array, as `ohmgrid.hdl.lines.Lines` numbers them."""


def goes(m, state):
    """Return a function that moves the sequencer to ``state``."""

    def following():
        m.next = state

    return following


class Operations:
    """States of the three verbs, mixed into `ohmgrid.hdl.tile.Tile`.

    They use the tile's parts (``schedule``, ``planner``, ``lines``, ``array``, ``outputs``), its
    registers ``regs`` and the signals that it makes for one command (``op``, ``halvings``,
    ``slot``, ``pulsing``, ``mvm_key``, ``alpha``).
    """

    def _pass(self, m, name, following, side, **settings):
        """Add the states of one pass over the lines of a side."""
        lines = self.lines

        def settle():
            m.d.comb += [
                self.busy.eq(1),
                lines.side.eq(side),
                lines.count.eq(self.regs["rows" if side == ROW else "cols"]),
                lines.pace.eq(settings.get("pace", 1)),
            ]
            m.d.comb += [
                getattr(lines, key).eq(value) for key, value in settings.items() if key != "pace"
            ]

        with m.State(name):
            settle()
            m.d.comb += lines.start.eq(1)
            m.next = f"{name}_WAIT"
        with m.State(f"{name}_WAIT"):
            settle()
            with m.If(~lines.busy):
                following()

    def _key(self, m, name, following, verb, step):
        """Add the states that derive an operation key."""
        with m.State(name):
            m.d.comb += [
                self.busy.eq(1),
                self.schedule.start.eq(1),
                self.schedule.verb.eq(verb),
                self.schedule.step.eq(step),
            ]
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

        def keyed():
            m.d.sync += self.mvm_key.eq(self.schedule.key)
            m.d.comb += outputs.clear.eq(1)
            with m.If(self.alpha == 0):
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
        codes = {
            "codes": 1,
            "drive": self.read,
            "factor": fine,
            "top": fine,
            "divisor": (self.alpha << self.halvings)[: len(self.lines.divisor)],
        }
        self._pass(m, "ROW_CODES", coded, ROW, **codes)
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
                ("update_step", self.updates),
            ):
                with m.If(ops):
                    m.d.sync += regs[name].eq(regs[name] + 1)
            m.next = "ANSWER"

    def _update(self, m):
        """Plan the pulses, make trains and cycle keys, sweep; slot by slot if told."""
        planned, keyed = Signal(), Signal()
        with m.State("UPDATE"):
            m.d.comb += [
                self.busy.eq(1),
                self.planner.start.eq(1),
                self.schedule.start.eq(1),
                self.schedule.verb.eq(Verb.UPDATE),
                self.schedule.step.eq(self.regs["update_step"]),
            ]
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


class PulseWork(NamedTuple):
    """What decides how long an update takes."""

    rate_shift: int
    """`ohmgrid.registers.PulseRegisters.rate_shift`."""
    trivial: bool
    """Nothing to plan: no update management, or a vector of zeros."""
    bl: int
    """Slots of the trains; 0 means that there are none."""
    mode: int
    """Index of the pulse type in `ohmgrid.config.PULSE_TYPES`."""
    last: tuple[int, int]
    """Firing probabilities of the last row and of the last column."""
    sweeps: tuple[int, ...]
    """Cycles of each sweep, stalls included (`ohmgrid.model.sweep.sweep_cycles`; the first one of
    a fused operation is ``spaced``): one, or one for each slot."""
    last_stall: int
    """Cycles for which the first sweep's last visit is held."""


class OperationCycles:
    """Exact cycles of the verbs of a tile, if nobody makes its streams wait.

    Counted from the cycle that takes the command to the one that gives the answer, both included.

    Parameters
    ----------
    config : Config
        Formats and build.
    """

    def __init__(self, config: Config):
        build, formats = config.build, config.formats
        self._array = LaneArray(config)
        self._lanes = build.lanes
        self._lines = Lines(config)
        self._outputs = Outputs(self._array.sum_bits, max(build.max_rows, build.max_cols))
        self._planner = Planner(formats.edge_bits, formats.x_frac, formats.d_frac)
        self._makers = [TrainMaker(side, build.train_groups) for side in ("row", "column")]
        self._slots = 4 * build.train_groups
        # The state that sends the strobe, and those that wait for `done`.
        self._key = KeySchedule().cycles + 1

    def _pass(self, count: int, pace: int = 1, steps: int = 0, drive: bool = False) -> int:
        return self._lines.cycles(count, pace, steps, drive) + 1

    def _sweep(self, cycles: int) -> int:
        return 1 + cycles + self._array.drain + 1

    def _send(self, count: int) -> int:
        return 1 + self._outputs.send_cycles(count) + 1

    def _framed(self, *parts: int) -> int:
        """Return the sum with command, dispatch, the end of the verb and the answer."""
        return 2 + sum(parts) + 2

    def forward(self, rows: int, cols: int, passes: int, read: ReadRegisters | None = None) -> int:
        """Return the cycles of a forward operation.

        Parameters
        ----------
        passes : int
            0 for a vector of zeros.
        read : ReadRegisters, optional
            Non-idealities that are on.
        """
        sweep = self._sweep(self._array.sweep_cycles(rows, cols))
        # Two cycles from the address of a sum to the sum, one to see that all are converted.
        convert = rows - 1 + 2 + self._latency(read) + 1
        one = self._pass(cols, drive=read is not None) + sweep + convert
        if read is not None:
            one = len(parts(read)) * one + self._alone(cols, rows, read)
        return self._framed(self._key, passes * one, self._send(rows))

    def backward(
        self, rows: int, cols: int, zero: bool = False, read: ReadRegisters | None = None
    ) -> int:
        """Return the cycles of a backward operation; ``zero`` for a vector of zeros."""
        work = [self._key, self._send(cols)]
        if not zero:
            work += [self._before(rows, cols, read), self._backward_sweep(rows, cols, read)]
        return self._framed(*work)

    def _latency(self, read: ReadRegisters | None) -> int:
        """Return the cycles from a sum until it is converted, or stored."""
        return self._outputs.latency if read is None else self._outputs.store_latency

    def _alone(self, inputs: int, outputs: int, read: ReadRegisters) -> int:
        """Return the cycles of a pass beside those of its sweeps."""
        cycles = self._outputs.convert_cycles(outputs, read)
        if read.w_kind and Part.POWER not in parts(read):
            cycles += self._pass(inputs, drive=True) + self._outputs.store_latency + 1
        return cycles

    def _backward_sweep(self, rows: int, cols: int, read: ReadRegisters | None) -> int:
        sweep = self._array.sweep_cycles(rows, cols)
        codes = self._pass(rows, drive=read is not None)
        return codes + self._converted(cols, sweep, 0, self._sweep(sweep), read)

    def _before(self, rows: int, cols: int, read: ReadRegisters | None) -> int:
        """Return the cycles of a backward pass beside its last sweep."""
        if read is None:
            return 0
        sweeps = (len(parts(read)) - 1) * self._backward_sweep(rows, cols, read)
        return sweeps + self._alone(rows, cols, read)

    def _converted(
        self, cols: int, sweep: int, last_stall: int, swept: int, read: ReadRegisters | None
    ) -> int:
        """Return the cycles until all is swept (after ``swept`` cycles) and converted or stored.

        The sums of a sweep's last block come out, one a cycle, from two cycles after its last
        visit came to stage D.
        """
        in_block = (cols - 1) % self._lanes + 1
        last_sum = sweep - last_stall + 2 + in_block
        return max(swept, last_sum + self._latency(read)) + 1

    def update(self, rows: int, cols: int, work: PulseWork) -> int:
        """Return the cycles of an update."""
        swept = self._pulsed(rows, cols, work) if work.bl else 0
        return self._framed(self._planned(rows, cols, work), swept)

    def backward_update(
        self,
        rows: int,
        cols: int,
        work: PulseWork,
        zero: bool = False,
        read: ReadRegisters | None = None,
    ) -> int:
        """Return the cycles of both; ``zero`` for errors that are all zero."""
        if zero:
            return self.backward(rows, cols, zero)
        sweep = work.sweeps[0]
        swept = self._pulsed(rows, cols, work) if work.bl else self._sweep(sweep)
        return self._framed(
            self._key,
            self._before(rows, cols, read),
            self._pass(rows, drive=read is not None),
            self._planned(rows, cols, work),
            self._converted(cols, sweep, work.last_stall, swept, read),
            self._send(cols),
        )

    def _planned(self, rows: int, cols: int, work: PulseWork) -> int:
        """Return the cycles of plan, operation key and trains."""
        planner = self._planner.cycles(work.rate_shift, work.trivial)
        cycles = max(planner, self._key - 1) + 2
        if work.bl:
            stochastic = work.mode == 0
            pace = -(-work.bl // self._slots)
            paces = (pace, pace) if stochastic else (work.bl, 1)
            for lines, pace, maker, p in zip(
                (rows, cols), paces, self._makers, work.last, strict=True
            ):
                cycles += self._pass(lines, pace, maker.steps(p, work.bl, work.mode))
        return cycles

    def _pulsed(self, rows: int, cols: int, work: PulseWork) -> int:
        """Return the cycles of all sweeps; new cycle keys come before each but the first."""
        keys = self._pass(rows) + self._pass(cols)
        return sum(map(self._sweep, work.sweeps)) + (len(work.sweeps) - 1) * keys
