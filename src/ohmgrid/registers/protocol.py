"""Commands, registers and answers of a tile: what a host and the gateware agree on.

A command is ``{op: 8, arg: 8, data: 64}``, an answer one 64-bit word. Standard library only.
"""

from enum import IntEnum
from typing import NamedTuple

from ohmgrid.registers.readout import READ_BITS
from ohmgrid.registers.time import AGING_BITS

__all__ = [
    "COMMAND_BITS",
    "DEVICE_TABLES",
    "TABLE_ARG",
    "TABLE_DATA_BITS",
    "TILE_REGISTERS",
    "Answer",
    "Error",
    "Op",
    "command",
    "table_command",
]


class Op(IntEnum):
    """What a command does; all but `SET` answer with one word when they are done."""

    SET = 1
    """Write register ``arg`` with ``data``."""
    SETUP = 2
    """Derive the static noise keys from seed, tile number and shape."""
    LOAD_X = 3
    """Take ``cols`` activations from the input stream."""
    LOAD_D = 4
    """Take ``rows`` errors from the input stream."""
    FORWARD = 5
    """Send ``rows`` outputs."""
    BACKWARD = 6
    """Send ``cols`` outputs."""
    UPDATE = 7
    """Apply pulses for the loaded activations and errors."""
    BACKWARD_UPDATE = 8
    """Both in one sweep: backward on the old conductances; send ``cols`` outputs."""
    READ_CELLS = 9
    """Send all conductances in memory order."""
    WRITE_CELLS = 10
    """Take all conductances from the input stream, in memory order."""
    WRITE_REFERENCES = 11
    """Take the weights of all reference devices likewise (builds with ``references``)."""


class Error(IntEnum):
    """Bits of an answer's error field."""

    ILLEGAL = 1
    """Unknown op or register: nothing was done."""
    SHAPE = 2
    """Rows or columns are 0 or more than the build holds: nothing was done."""
    COLLISION = 4
    """A cell was written while it was read (a fault of the gateware; sticky)."""


COMMAND_BITS = 80
"""Width of a command: op in bits 0..7, arg in 8..15, data in 16..79."""

TILE_REGISTERS: dict[str, int] = {
    "seed": 64,
    "number": 8,
    "rows": 17,
    "cols": 17,
    "x_frac": 4,
    "d_frac": 4,
    "forward_step": 48,
    "backward_step": 48,
    "update_step": 48,
    "forward_scale": 18,
    "forward_shift": 6,
    "forward_noise": 21,
    "forward_dac_half": 8,
    "forward_adc_half": 11,
    "forward_managed": 1,
    "forward_perfect": 1,
    "forward_passes": 4,
    "backward_scale": 18,
    "backward_shift": 6,
    "backward_noise": 21,
    "backward_dac_half": 8,
    "backward_adc_half": 11,
    "backward_managed": 1,
    "backward_perfect": 1,
    "forward_read": 1,
    **{f"forward_{name}": bits for name, bits in READ_BITS.items()},
    "backward_read": 1,
    **{f"backward_{name}": bits for name, bits in READ_BITS.items()},
    "rate": 18,
    "rate_shift": 6,
    "bl": 5,
    "factor": 22,
    "managed": 1,
    "bl_managed": 1,
    "desired_bl": 5,
    "pulse_type": 2,
    "serial": 1,
    "paired": 1,
    "time_every": 40,
    "time_left": 40,
    "refresh_every": 40,
    "refresh_left": 40,
    "refresh_upper": 11,
    "refresh_lower": 11,
    "refresh_rate": 18,
    "refresh_rate_shift": 6,
    "refresh_bl": 5,
    "refresh_factor": 22,
    "refresh_desired_bl": 5,
    **AGING_BITS,
}
"""Registers of a tile and their widths; a register's number is its place here, the device's
registers (`ohmgrid.hdl.device.ports.REGISTERS`) follow."""

DEVICE_TABLES = (
    *("gain", "balance", "upper", "lower", "gamma", "opposite", "curve", "c2c"),
    *("leak", "diffusion", "reset", "reference"),
)
"""Tables of a device (`ohmgrid.hdl.device.ports.TABLE_WRITE`); each is written as a register
whose number is `TABLE_ARG` and its place here."""
TABLE_ARG = 240
TABLE_DATA_BITS = 40
"""Data of such a command is ``address << TABLE_DATA_BITS | entry``."""


def command(op: Op, arg: int = 0, data: int = 0) -> int:
    """Return a command as one integer of `COMMAND_BITS` bits."""
    return int(op) | arg << 8 | data << 16


def table_command(table: int, address: int, entry: int) -> int:
    """Return the command that writes one entry of a device's table."""
    return command(Op.SET, TABLE_ARG + table, address << TABLE_DATA_BITS | entry)


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
