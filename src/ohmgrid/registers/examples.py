"""An example as bytes: its label and values in the form that an example store reads.

`docs/examples.md` has the format byte by byte. Encoder, golden decoder and gateware share what is
here. Standard library only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from ohmgrid.config import BuildConfig
from ohmgrid.doors.checks import ConfigError, check_flag, check_int, shown
from ohmgrid.registers.sdram import CHUNK_BYTES

__all__ = [
    "BITS",
    "LABEL_BYTES",
    "MOST_LITERALS",
    "MOST_VALUES",
    "MOST_ZEROS",
    "NUMBER_BITS",
    "PIXELS",
    "VALUE_BITS",
    "ExampleError",
    "ExampleFormat",
    "fits_store",
    "most_kept",
]

BITS = (1, 4, 8, 16)
"""Bits that a value can take; gateware is given the place in this list."""
VALUE_BITS = 16
"""Width of a value where it leaves the store, and of a label."""
LABEL_BYTES = VALUE_BITS // 8
PIXELS = 256
"""Entries of the table that makes values of pixels."""
MOST_VALUES = (1 << 16) - 1
MOST_ZEROS = MOST_LITERALS = 15
"""Units that one code byte can name."""
NUMBER_BITS = 24
"""Width of an order: the number of an example that is stored."""


SHORTEST = 32
"""Bytes of an example that a store in block RAM has a number for, on an average."""


def most_kept(build: BuildConfig) -> int:
    """Return the most examples that a build's store in block RAM has numbers for."""
    return max(2, build.store // SHORTEST)


def fits_store(lengths: Iterable[int], build: BuildConfig) -> bool:
    """Return whether a board of a build can keep examples of these lengths, in bytes.

    An SDRAM keeps whole bursts, and one more for each example.
    """
    lengths = list(lengths)
    if build.store_in == "sdram":
        bursts = sum(1 + -(-length // CHUNK_BYTES) for length in lengths)
        return bursts * CHUNK_BYTES <= build.store
    return sum(lengths) <= build.store and len(lengths) <= most_kept(build)


class ExampleError(IntEnum):
    """Bits of what was wrong with an example, or with an order for one."""

    SHORT = 1
    """The example ended before its last value: bytes that are missing were taken as 0."""
    LONG = 2
    """More bytes came behind the last value: they were dropped."""
    CODE = 4
    """A code byte named more units than were left: it was cut."""
    NUMBER = 8
    """No example of this number is stored: the order was dropped."""
    FULL = 16
    """There was no room for an example: all of it was dropped."""


@dataclass(frozen=True)
class ExampleFormat:
    """How the values of an example lie in its bytes.

    A *unit* is the least number of whole values in whole bytes: one value of 16 bits or of 8, two
    of 4, eight of 1.

    Raises
    ------
    ConfigError
        ``bits`` is none of `BITS`, or ``values`` is out of range.
    """

    bits: int
    """Of a value: 16, or a pixel's 8, 4 or 1."""
    values: int
    """Of an example, its label not counted."""
    runs: bool = False
    """Units that are 0 are named by code bytes, and do not come."""

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            choices = ", ".join(map(str, BITS))
            raise ConfigError("bits", f"expected one of {choices}, got {shown(self.bits)}")
        check_int("values", self.values, 1, MOST_VALUES)
        check_flag("runs", self.runs)

    @property
    def unit_bytes(self) -> int:
        """Bytes of a unit."""
        return max(1, self.bits // 8)

    @property
    def unit_values(self) -> int:
        """Values of a unit."""
        return max(1, 8 // self.bits)

    @property
    def units(self) -> int:
        """Units of an example; the last one may have room for more values than there are."""
        return -(-self.values // self.unit_values)

    @property
    def most_bytes(self) -> int:
        """Bytes of the longest example that an encoder makes."""
        codes = -(-self.units // MOST_LITERALS) if self.runs else 0
        return LABEL_BYTES + self.units * self.unit_bytes + codes
