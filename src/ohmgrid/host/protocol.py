"""Commands and answers of a core: what a host and the gateware agree on.

A command is ``{op: 8, arg: 8, data: 64}``, an answer one 64-bit word; registers and their numbers
are in `ohmgrid.registers.map`, the array table in `ohmgrid.registers.arrays`. Standard library
only.
"""

from enum import IntEnum
from typing import NamedTuple

from ohmgrid.registers.arrays import WORD_BITS

__all__ = [
    "COMMAND_BITS",
    "EXAMPLES_BITS",
    "INNER",
    "OUT_BITS",
    "READ_COUNT",
    "SET_BIT",
    "SILENT",
    "TABLE_DATA_BITS",
    "WORD_PLACE",
    "Answer",
    "Error",
    "Op",
    "command",
    "table_command",
]


class Op(IntEnum):
    """What a command does; all but `SET` and `ENTRY` answer with one word when they are done.

    Of these, ``arg`` is the number of the array. Numbers without a name are free, 32 to 63
    reserved: for sums over several arrays and noise that the host asks for.
    """

    SET = 1
    """Write register ``arg`` of `ohmgrid.registers.map` with ``data``."""
    SETUP = 2
    """Derive the static noise keys from seed, tile number and shape."""
    LOAD_X = 3
    """Take as many activations as the array has columns from the input stream."""
    LOAD_D = 4
    """Take as many errors as the array has rows from the input stream."""
    FORWARD = 5
    """Send the outputs of all rows."""
    BACKWARD = 6
    """Send those of all columns."""
    UPDATE = 7
    """Apply pulses for the loaded activations and errors."""
    READ_CELLS = 9
    """Send all conductances in memory order."""
    WRITE_CELLS = 10
    """Take all conductances from the input stream, in memory order."""
    WRITE_REFERENCES = 11
    """Take the weights of all reference devices likewise (builds with ``references``)."""
    ENTRY = 12
    """Write a word of entry ``arg`` of the array table: ``data`` is ``word << WORD_PLACE | value``.
    """
    RUN = 13
    """Run the step table (`ohmgrid.registers.steps`) from its first step on: ``data`` is
    ``batch << EXAMPLES_BITS | examples``; with ``arg`` 1 its clipping and pulses are counted.
    Examples come on the input stream, label before inputs; those that a COUNT step counts are
    answered, and so is the end."""
    LOSS = 14
    """Not for hosts: what a LOSS step does with an array."""
    SEND = 15
    """Not for hosts: what a SEND step does."""
    COUNTER = 17
    """Send counter ``data`` of row ``arg`` (`ohmgrid.registers.meters`): the answer holds the count
    above its op. Taken while a run is at work, too."""
    PULSE = 19
    """What `UPDATE` does but for what time does after it."""
    AGE = 20
    """Let time pass as after an update: cells leak, diffuse and are refreshed as is due."""
    READ_BETWEEN = 21
    """Send words of what lies between the arrays of a weight, from a table of
    `ohmgrid.registers.map.TRAINER`: ``data`` is ``table | first << 8 | words << READ_COUNT``."""
    LINE = 8
    """Not for hosts: what a LINE step does."""
    PLAN = 18
    """Not for hosts: what a PLAN step does with an array that no step has named before."""
    COUNT = 16
    """Not for hosts: names the answer about an example, with `Answer.passes` 1 for a hit and its
    word (`ohmgrid.net.Answer`) in `Answer.saturated`."""


INNER = (Op.LOSS, Op.SEND, Op.PLAN, Op.LINE, Op.COUNT)
"""Commands that steps alone give."""

READ_COUNT = 32
"""Where a command says how many words are read."""

SILENT = (Op.SET, Op.ENTRY)
"""Commands without an answer."""


class Error(IntEnum):
    """Bits of an answer's error field."""

    ILLEGAL = 1
    """Unknown op, register or array: nothing was done."""
    SHAPE = 2
    """The array's rows or columns are 0 or more than the build holds: nothing was done."""
    COLLISION = 4
    """A cell was written while it was read (a fault of the gateware; sticky)."""


OUT_BITS = 40
"""Width of a result: an ADC code times the input's scale, doubled for each halving (36 bits), or an
exact sum (of the widest array that has an ADC)."""

EXAMPLES_BITS = 32
"""Width of the number of examples of a run."""

COMMAND_BITS = 80
"""Width of a command: op in bits 0..7, arg in 8..15, data in 16..79."""

TABLE_DATA_BITS = 40
"""Data of a command that writes an entry of a device's table is
``address << TABLE_DATA_BITS | entry``."""

SET_BIT = 63
"""Bit of the data of a command that writes a register or table of which there are two sets: the one
it belongs to."""

WORD_PLACE = WORD_BITS
"""Place of a word's number in the data of `Op.ENTRY`."""


def command(op: int, arg: int = 0, data: int = 0) -> int:
    """Return a command as one integer of `COMMAND_BITS` bits."""
    return int(op) | arg << 8 | data << 16


def table_command(table: int, address: int, entry: int, device_set: int = 0) -> int:
    """Return the command that writes one entry of a table of `ohmgrid.registers.map.TABLES`."""
    data = device_set << SET_BIT | address << TABLE_DATA_BITS | entry
    return command(Op.SET, table, data)


class Answer(NamedTuple):
    """One word of the answer stream, decoded."""

    op: int
    error: int
    """Bits of `Error`."""
    passes: int
    """Passes of bound management."""
    bl: int
    """Slots of the update."""
    saturated: int
    """Outputs that the ADC clipped."""

    @classmethod
    def decode(cls, word: int) -> "Answer":
        """Split a 64-bit answer: op 8, error 8, passes 8, bl 8, saturated 32 bits."""
        return cls(
            word & 255,
            word >> 8 & 255,
            word >> 16 & 255,
            word >> 24 & 255,
            word >> 32 & (2**32 - 1),
        )

    def encode(self) -> int:
        """Return the answer as one word."""
        return self.op | self.error << 8 | self.passes << 16 | self.bl << 24 | self.saturated << 32
