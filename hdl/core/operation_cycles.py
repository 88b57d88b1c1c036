"""How long the verbs of a tile take, cycle by cycle, as `hdl.core.operations` orders them."""

from typing import NamedTuple

from ohmgrid.config import Config
from ohmgrid.hdl.array.array import LaneArray
from ohmgrid.hdl.base.noise import KeySchedule
from ohmgrid.hdl.periphery.lines import Lines
from ohmgrid.hdl.periphery.outputs import Outputs
from ohmgrid.hdl.periphery.pulses import Planner, TrainMaker
from ohmgrid.registers.readout import Part, ReadRegisters, parts

__all__ = ["OperationCycles", "PulseWork"]


class PulseWork(NamedTuple):
    """What decides how long an update takes."""

    rate_shift: int
    """`ohmgrid.registers.edge.PulseRegisters.rate_shift`."""
    trivial: bool
    """Nothing to plan: no update management, or a vector of zeros."""
    bl: int
    """Slots of the trains; 0 means that there are none."""
    mode: int
    """Index of the pulse type in `ohmgrid.config.PULSE_TYPES`."""
    last: tuple[int, int]
    """Firing probabilities of the last row and of the last column."""
    sweeps: tuple[int, ...]
    """Cycles of each sweep (`model.array.sweep.sweep_cycles`; the first one of a fused operation
    is ``spaced``): one, or one for each slot."""
    last_visit: int
    """Those of the first sweep until its last visit is sent."""


class OperationCycles:
    """Exact cycles of the verbs of a tile, if nobody makes its streams wait.

    Counted from the cycle that takes the command to the one that gives the answer, both included.

    Parameters
    ----------
    config : Config
        Formats and build, and whether weights are pairs of devices.
    """

    def __init__(self, config: Config):
        build, formats = config.build, config.formats
        self._devices = 2 if config.device.paired else 1
        self._array = LaneArray(config)
        self._lanes = build.lanes
        self._lines = Lines(config)
        self._outputs = Outputs(self._array.sum_bits, max(build.max_rows, build.max_cols))
        self._planner = Planner(formats.edge_bits)
        self._maker = TrainMaker(build.train_groups)
        self._slots = 4 * build.train_groups
        # The state before the strobe, its register, and those that wait for `done`.
        self._key = KeySchedule().cycles + 2

    def _pass(self, count: int, pace: int = 1, steps: int = 0, drive: bool = False) -> int:
        return self._lines.cycles(count, pace, steps, drive) + 1

    def _sweep(self, cycles: int, update: bool = False) -> int:
        return 1 + cycles + self._array.drain(update) + 1

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
        sweep = self._sweep(self._array.sweep_cycles(self._devices * rows, cols))
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

    def _alone(self, inputs: int, outputs: int, read: ReadRegisters, pace: int = 1) -> int:
        """Return the cycles of a pass beside those of its sweeps."""
        cycles = self._outputs.convert_cycles(outputs, read)
        if read.w_kind and Part.POWER not in parts(read):
            cycles += self._pass(inputs, pace, drive=True) + self._outputs.store_latency + 1
        return cycles

    def _row_codes(self, rows: int, read: ReadRegisters | None) -> int:
        return self._pass(rows, self._devices, drive=read is not None)

    def _backward_sweep(self, rows: int, cols: int, read: ReadRegisters | None) -> int:
        sweep = self._array.sweep_cycles(self._devices * rows, cols)
        codes = self._row_codes(rows, read)
        return codes + self._converted(cols, sweep, self._sweep(sweep), read)

    def _before(self, rows: int, cols: int, read: ReadRegisters | None) -> int:
        """Return the cycles of a backward pass beside its last sweep."""
        if read is None:
            return 0
        sweeps = (len(parts(read)) - 1) * self._backward_sweep(rows, cols, read)
        return sweeps + self._alone(rows, cols, read, self._devices)

    def _converted(self, cols: int, last_visit: int, swept: int, read: ReadRegisters | None) -> int:
        """Return the cycles until all is swept (after ``swept`` cycles) and converted or stored.

        The sums of a sweep's last block come out, one a cycle, when what its last visit (sent
        after ``last_visit`` cycles) has added is in the chain.
        """
        in_block = (cols - 1) % self._lanes + 1
        last_sum = last_visit + self._array.to_chain + in_block - 1
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
        swept = self._pulsed(rows, cols, work) if work.bl else self._sweep(work.sweeps[0])
        return self._framed(
            self._key,
            self._before(rows, cols, read),
            self._row_codes(rows, read),
            self._planned(rows, cols, work),
            self._converted(cols, work.last_visit, swept, read),
            self._send(cols),
        )

    def time(self, rows: int, cols: int, ages: bool, columns: dict[int, PulseWork] | None) -> int:
        """Return the cycles that an update takes longer if something is due after it.

        Parameters
        ----------
        ages : bool
            Leak and diffusion are due.
        columns : dict of PulseWork, or None
            None: no refresh is due. Otherwise the columns of which it finds pairs due, and what
            writes them back: ``last`` of the last row of devices and of the last column, sweeps of
            the column's block.
        """
        devices = self._devices * rows
        keyed = self._key + self._pass(devices) + self._pass(cols)
        visit = self._array.visit_cycles(devices, cols) + 1
        # One state finds out what is due next, another one follows in the end.
        cycles = 2
        if ages:
            cycles += 1 + keyed + visit
        if columns is not None:
            cycles += 1 + self._refreshed(rows, cols, keyed, columns)
        return cycles

    def _refreshed(self, rows: int, cols: int, keyed: int, columns: dict[int, PulseWork]) -> int:
        """Return the cycles of a refresh; ``keyed`` are those that make its keys."""
        devices, cycles, stale = self._devices * rows, 0, True
        for first in range(0, cols, self._lanes):
            block = range(first, min(first + self._lanes, cols))
            cycles += keyed if stale else 0
            stale = False
            # One state follows a block's reads, one leads to the next block.
            cycles += self._array.visit_cycles(devices, len(block), single=True) + 1 + 2
            if not columns.keys() & set(block):
                continue
            # To look at a column takes three, the first of these is counted.
            cycles += 3 * len(block) - 1
            for work in (columns[column] for column in block if column in columns):
                cycles += keyed if stale else 0
                stale = True
                cycles += self._array.column_cycles(devices) + 1 + cols + 2
                cycles += self._planned(rows, cols, work) + 1
                cycles += self._pulsed(rows, cols, work) if work.bl else 0
        return cycles

    def _planned(self, rows: int, cols: int, work: PulseWork) -> int:
        """Return the cycles of plan, operation key and trains."""
        planner = self._planner.cycles(work.rate_shift, work.trivial)
        cycles = max(planner, self._key - 1) + 2
        if work.bl:
            stochastic = work.mode == 0
            pace = -(-work.bl // self._slots)
            paces = (pace, pace) if stochastic else (work.bl, 1)
            for lines, pace, row, p in zip(
                (self._devices * rows, cols), paces, (True, False), work.last, strict=True
            ):
                cycles += self._pass(lines, pace, self._maker.steps(p, work.bl, work.mode, row))
        return cycles

    def _pulsed(self, rows: int, cols: int, work: PulseWork) -> int:
        """Return the cycles of all sweeps; new cycle keys come before each but the first."""
        keys = self._pass(self._devices * rows) + self._pass(cols)
        sweeps = sum(self._sweep(sweep, update=True) for sweep in work.sweeps)
        return sweeps + (len(work.sweeps) - 1) * keys
