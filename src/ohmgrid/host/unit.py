"""Commands of a dynamics unit: what a host and the gateware agree on.

Commands and answers have the form of a core's (`ohmgrid.host.protocol`): any way to a core is one
to a unit. Results are ``value << 1 | spike``. Standard library only.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum

from ohmgrid.host.protocol import command
from ohmgrid.registers.dynamics import (
    DELAY_FRAC,
    THIRD,
    TIMER_FRAC,
    DriveRegisters,
    FhnRegisters,
    LifRegisters,
    NetRegisters,
)

__all__ = [
    "ADDRESS_PLACE",
    "CONSTANTS",
    "Program",
    "Register",
    "Setting",
    "Shift",
    "Space",
    "UnitOp",
    "Variable",
    "drive_commands",
    "matrix_commands",
    "network_commands",
    "neuron_commands",
    "read",
    "run",
    "write",
]

ADDRESS_PLACE = 40
"""Bits of a value; an address is above."""


class UnitOp(IntEnum):
    """What a command does; all but `SET` answer with one word when they are done."""

    SET = 1
    """Write one word of the `Space` ``arg``: ``data`` is ``address << ADDRESS_PLACE | value``."""
    RUN = 13
    """Run ``data`` samples, and send each one's states, neuron by neuron: U; V and W; or V."""
    READ = 21
    """Send words of the `Space` ``arg``: ``data`` is ``address << ADDRESS_PLACE | count``."""


class Space(IntEnum):
    """What a command writes or reads."""

    SETTING = 0
    REGISTER = 1
    SHIFT = 2
    STATE = 3
    """Of neuron i `Variable` k is at ``4 i + k``; can be read."""
    NODE = 4
    """Nodes of the function's table."""
    RING = 5
    """Output j of sample k is at ``j depth + k mod depth``; can be read."""
    WEIGHT = 6
    """J, by rows, each filled up with zeros to a multiple of the lanes."""


class Setting(IntEnum):
    """Addresses of `Space.SETTING`."""

    PROGRAM = 0
    """A `Program`."""
    LAST = 1
    """Neurons, less one."""
    COLUMNS = 2
    """Columns of J over lanes, rounded up, less one."""
    SAMPLE = 3
    """Samples so far."""
    MASK = 4
    """Samples in the ring buffer, a power of two, less one."""
    SEED_LOW = 5
    SEED_HIGH = 6
    """Seed of the events, 32 bits each; the high ones last."""
    EVENTS = 7
    """Their threshold."""


class Program(IntEnum):
    """What a unit computes."""

    NETWORK = 0
    """A network with delay on the unit's own crossbar,"""
    NETWORK_OUTSIDE = 1
    """or on one beside it: `x` goes out, `y` comes in."""
    FHN = 2
    LIF = 3


class Register(IntEnum):
    """Addresses of `Space.REGISTER`: factors and states; from `TEMPORARY` on the unit's own."""

    ZERO = 0
    ONE = 1
    """A sample, `TIMER_FRAC` fraction bits."""
    THIRD = 2
    GAIN = 3
    OLD = 4
    NEW = 5
    SCALE = 6
    """What a crossbar gives becomes a state."""
    STEP = 7
    RECOVERY = 8
    A = 9
    B = 10
    THRESHOLD = 11
    KICK = 12
    RATE = 13
    RESET = 14
    HOLD = 15
    TEMPORARY = 16


CONSTANTS: dict[int, int] = {Register.ZERO: 0, Register.ONE: 1 << TIMER_FRAC, Register.THIRD: THIRD}
"""Registers that nobody writes."""


class Shift(IntEnum):
    """Addresses of `Space.SHIFT`: right shifts, 0 to 63."""

    GAIN = 0
    RATE = 1
    """Of `Register.OLD`, `NEW` and `RATE`."""
    SCALE = 2
    DROP = 3
    """Bits that an output loses at an outside crossbar's edge."""
    STEP = 4
    STEP_MEAN = 5
    """One more: of the sum of two slopes."""
    RECOVERY = 6
    RECOVERY_MEAN = 7


class Variable(IntEnum):
    """What a unit remembers of a neuron: a network's, and single ones'."""

    U = 0
    Y = 1
    DELAY = 2
    """Samples, `DELAY_FRAC` fraction bits."""
    V = 0
    W = 1
    TIMER = 1
    CURRENT = 2


def write(space: Space, address: int, value: int) -> int:
    """Return the command that writes a word; a value below 0 in two's complement."""
    word = value & ((1 << ADDRESS_PLACE) - 1)
    return command(UnitOp.SET, space, address << ADDRESS_PLACE | word)


def read(space: Space, address: int, count: int) -> int:
    """Return the command that sends so many words from an address on."""
    return command(UnitOp.READ, space, address << ADDRESS_PLACE | count)


def run(samples: int) -> int:
    """Return the command that runs so many samples."""
    return command(UnitOp.RUN, 0, samples)


def _settings(values: dict[Setting, int]) -> Iterator[int]:
    for setting, value in values.items():
        yield write(Space.SETTING, setting, value)


def network_commands(
    registers: NetRegisters, depth: int, scale: tuple[int, int], drop: int | None
) -> Iterator[int]:
    """Return the commands that write a network's registers and table.

    Parameters
    ----------
    registers : NetRegisters
    depth : int
        Samples in the ring buffer, a power of two.
    scale : (int, int)
        What the crossbar gives, as a state: mantissa, shift.
    drop : int or None
        Of an outside crossbar, the bits that an output loses at its edge; None: the unit's own.
    """
    lines = len(registers.whole)
    yield from _settings(
        {
            Setting.PROGRAM: Program.NETWORK if drop is None else Program.NETWORK_OUTSIDE,
            Setting.LAST: lines - 1,
            Setting.MASK: depth - 1,
        }
    )
    factors = {
        Register.GAIN: registers.gain,
        Register.OLD: registers.old,
        Register.NEW: registers.new,
        Register.SCALE: scale[0],
    }
    shifts = {
        Shift.GAIN: registers.gain_shift,
        Shift.RATE: registers.rate_shift,
        Shift.SCALE: scale[1],
        Shift.DROP: drop or 0,
    }
    yield from _numbers(factors, shifts)
    for place, node in enumerate(registers.nodes):
        yield write(Space.NODE, place, node)
    for line, (whole, part) in enumerate(zip(registers.whole, registers.part, strict=True)):
        yield write(Space.STATE, 4 * line + Variable.DELAY, whole << DELAY_FRAC | part)


def _numbers(factors: dict[Register, int], shifts: dict[Shift, int]) -> Iterator[int]:
    for register, value in factors.items():
        yield write(Space.REGISTER, register, value)
    for shift, value in shifts.items():
        yield write(Space.SHIFT, shift, value)


def matrix_commands(rows: Sequence[Sequence[int]], lanes: int) -> Iterator[int]:
    """Return the commands that write exact weights."""
    columns = -(-len(rows) // lanes)
    yield from _settings({Setting.COLUMNS: columns - 1})
    for row, weights in enumerate(rows):
        for place in range(columns * lanes):
            weight = weights[place] if place < len(weights) else 0
            yield write(Space.WEIGHT, row * columns * lanes + place, weight)


def neuron_commands(registers: FhnRegisters | LifRegisters) -> Iterator[int]:
    """Return the commands that write the registers of single neurons."""
    if isinstance(registers, FhnRegisters):
        program = Program.FHN
        factors = {
            Register.STEP: registers.step,
            Register.RECOVERY: registers.recovery,
            Register.A: registers.a,
            Register.B: registers.b,
        }
        shifts = {
            Shift.STEP: registers.step_shift,
            Shift.STEP_MEAN: registers.step_shift + 1,
            Shift.RECOVERY: registers.recovery_shift,
            Shift.RECOVERY_MEAN: registers.recovery_shift + 1,
        }
    else:
        program = Program.LIF
        factors = {
            Register.RATE: registers.rate,
            Register.RESET: registers.reset,
            Register.HOLD: registers.hold,
        }
        shifts = {Shift.RATE: registers.rate_shift}
    yield from _settings({Setting.PROGRAM: program})
    yield from _numbers(factors | {Register.THRESHOLD: registers.threshold}, shifts)


def drive_commands(drive: DriveRegisters, seed: int, count: int) -> Iterator[int]:
    """Return the commands that write what goes into so many single neurons."""
    yield from _settings(
        {
            Setting.LAST: count - 1,
            Setting.SEED_LOW: seed & 0xFFFFFFFF,
            Setting.SEED_HIGH: seed >> 32,
            Setting.EVENTS: drive.threshold,
        }
    )
    yield write(Space.REGISTER, Register.KICK, drive.kick)
    currents = drive.currents * (count if len(drive.currents) == 1 else 1)
    for neuron, current in enumerate(currents):
        yield write(Space.STATE, 4 * neuron + Variable.CURRENT, current)
