"""Cycles of the parts of a core, asked of the gateware's components, and the few that none of them
names: states that take a cycle each, counted in `ohmgrid.hdl.core`.
"""

from dataclasses import dataclass

from ohmgrid.config import Config
from ohmgrid.hdl.array.array import LaneArray
from ohmgrid.hdl.base.noise import KeySchedule
from ohmgrid.hdl.core.array_table import ArrayTable
from ohmgrid.hdl.core.multiply import GONE
from ohmgrid.hdl.core.onward import SETTLE
from ohmgrid.hdl.periphery.functions import Functions
from ohmgrid.hdl.periphery.lines import Lines
from ohmgrid.hdl.periphery.outputs import Outputs
from ohmgrid.hdl.periphery.pulses import Planner, TrainMaker
from ohmgrid.periphery import PULSE_TYPES
from ohmgrid.registers.device import device_registers
from ohmgrid.registers.meters import ROW_FIELDS, TOTAL_FIELDS

__all__ = ["Fixed", "Latencies"]


@dataclass(frozen=True)
class Fixed:
    """Cycles that follow from states and registers alone."""

    decode: int = 3
    """Of a step: address, word, what it names; then it is decoded."""
    settle: int = 3
    """Registers follow an entry, and it is checked."""
    loader: int = 5
    """Of a vector that is taken, beside a cycle an input."""
    taker: int = 6
    """Of an example that is taken beside updates, likewise, once its place is free."""
    fetched: int = 3
    """From the last word that an update is planned from until planning begins."""
    first_code: int = -1
    """A sweep begins with the first code: a pass of one line would take as many more cycles."""
    heard: int = 1
    """From the end of an engine's work until commands go on."""
    begins: int = 1
    """From an engine's strobe until its pass begins."""
    sum: int = 1
    """From a sum of the array until it enters the outputs."""
    sums: int = 5
    """From the last sum of a tree until the array is idle, as `LaneArray.drain` counts."""
    brought: int = 4
    """Beside functions, their end and `SETTLE`: from a result until its vector is at the edge."""
    repeat: int = GONE
    """Until another pass begins, if what left of the one before has to be void."""


class Latencies:
    """Cycles of the components of a build, for one configuration.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    device : DeviceRegisters
    array, lines : LaneArray, Lines
    key, entry, fetch : int
        An operation's key; an entry, loaded; the words that an update is planned from.
    outputs, store : int
        From a sum to its code, and to where it is stored for the physics of reads.
    send : int
        From the last code until the last result has left, less a cycle.
    driven : int
        Of a pass of codes with the physics of reads, less a cycle a line; then comes its sweep.
    functions, squares : int
        From a result to what is made of it; and from the last value to the sum of squares.
    counters : int
        Cycles in which counters are at work.
    """

    def __init__(self, config: Config) -> None:
        build = config.build
        self.config, self.fixed = config, Fixed()
        formats = config.formats
        self.device = device_registers(
            config.device.unit, formats.weight_bits, formats.curve_segments
        )
        self.array, self.lines = LaneArray(config), Lines(config)
        self._outputs = Outputs(self.array.sum_bits, build.lines, build.read_physics)
        functions = Functions(config)
        self._maker = TrainMaker(build.train_groups, build.counted_trains)
        self._planner = Planner(formats.edge_bits)
        table = ArrayTable(config)
        self.key, self.entry = KeySchedule().cycles, table.cycles
        self.functions = functions.latency
        self.squares = functions.squares_latency - functions.latency + 1
        fixed = self.fixed
        self.driven = fixed.begins + self.lines.cycles(1, drive=True)
        self.outputs = fixed.sum + self._outputs.latency
        self.store = fixed.sum + self._outputs.store_latency
        self.send = self._outputs.send_cycles(0)
        self.fetch = len(table.planned_words)
        self.settle = SETTLE
        self.counters = 2 * (ROW_FIELDS + len(TOTAL_FIELDS))
        self._mode = PULSE_TYPES.index(config.pulses.pulse_type)

    def send_all(self, lines: int) -> int:
        """Return the cycles in which results that are there leave."""
        return self._outputs.send_cycles(lines)

    def convert(self, lines, registers) -> int:
        """Return the cycles from sums to codes with the physics of reads."""
        return self._outputs.convert_cycles(lines, registers)

    def plan(self, rate_shift: int, nothing: bool) -> int:
        """Return the cycles in which an update is planned."""
        return self._planner.cycles(rate_shift, nothing, self.config.pulses.managed)

    def pace(self, bl: int, row: bool, chunk: int) -> int:
        """Return the cycles from a line to the next one, in a pass of trains: of one that fires."""
        return self._maker.steps(1, bl, self._mode, row, chunk)

    def last_train(self, steps: int) -> int:
        """Return the cycles from the last line's turn until a pass of trains has ended."""
        return self.lines.cycles(1, steps=steps)

    def last_key(self) -> int:
        """Return the cycles from the last line's turn until a pass of keys has ended."""
        return self.lines.cycles(1, keys=True)
