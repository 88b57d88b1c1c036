"""The golden twins of unpacker and packer: records of both streams, taken apart and made."""

from collections.abc import Iterator
from typing import NamedTuple

from ohmgrid.host.frames import Record, Tag
from ohmgrid.host.protocol import COMMAND_BITS, OUT_BITS, TABLE_DATA_BITS, Op
from ohmgrid.registers.examples import BITS

__all__ = ["Fault", "Taken", "pack_answer", "pack_result", "unpack"]

COMMAND_BYTES = COMMAND_BITS // 8
ADDRESS_PLACE = 16 + TABLE_DATA_BITS
ADDRESS_BITS = COMMAND_BITS - 1 - ADDRESS_PLACE


class Fault(ValueError):
    """Bytes that are no record."""


class Taken(NamedTuple):
    """One thing that a record brings."""

    what: str
    """``command``, ``word``, ``example``, ``form``, ``pixel``, ``keep`` or ``order``."""
    value: tuple[int, ...] | bytes
    """A number; of an example its bytes; bits, runs and values of a form; pixel and value."""


class Source:
    """Bytes from the front; raises `EOFError` where there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data, self.place = data, 0

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        self.place += count
        if self.place > len(self._data):
            raise EOFError
        return self._data[self.place - count : self.place]

    def number(self, count: int, signed: bool = False) -> int:
        """Return a number of so many bytes."""
        return int.from_bytes(self.take(count), "little", signed=signed)


def unpack(data: bytes) -> tuple[list[Taken], int]:
    """Return what whole records bring, and the bytes that they are made of.

    Raises
    ------
    Fault
        If a record has a kind that there is not, or entries of 0 bytes or of more than 5. What
        comes before it is an attribute: ``fault.args == (taken,)``.
    """
    source, taken, used = Source(data), list[Taken](), 0
    try:
        while used < len(data):
            taken += list(_record(source))
            used = source.place
    except EOFError:
        pass
    except Fault:
        raise Fault(taken) from None
    return taken, used


def _record(source: Source) -> Iterator[Taken]:
    kind = source.number(1)
    if kind not in list(Record):
        raise Fault
    if kind == Record.COMMAND:
        yield Taken("command", (source.number(COMMAND_BYTES),))
    elif kind in (Record.WORDS, Record.CELLS):
        for _ in range(source.number(2)):
            yield Taken("word", (source.number(kind, signed=True),))
    elif kind == Record.TABLE:
        yield from _table(source)
    elif kind == Record.EXAMPLE:
        if count := source.number(2):
            yield Taken("example", source.take(count))
    elif kind == Record.FORM:
        bits = source.number(1)
        yield Taken("form", (BITS[bits & 3], bits >> 7, source.number(2)))
    elif kind == Record.PIXELS:
        count, first = source.number(2), source.number(1)
        for pixel in range(first, first + count):
            yield Taken("pixel", (pixel % 256, source.number(2, signed=True)))
    elif kind == Record.KEEP:
        yield Taken("keep", (source.number(1) & 3,))
    else:
        for _ in range(source.number(2)):
            yield Taken("order", (source.number(3),))


def _table(source: Source) -> Iterator[Taken]:
    """Commands of a table: the data are the entries', the address goes up by one each time."""
    first, count, size = source.number(COMMAND_BYTES), source.number(2), source.number(1)
    if count and not 1 <= size <= TABLE_DATA_BITS // 8:
        raise Fault
    address = first >> ADDRESS_PLACE & ((1 << ADDRESS_BITS) - 1)
    fixed = (first & 0xFFFF) | (first >> (COMMAND_BITS - 1) << (COMMAND_BITS - 1))
    for _ in range(count):
        entry = source.number(size)
        yield Taken("command", (fixed | entry << 16 | address << ADDRESS_PLACE,))
        address = (address + 1) % (1 << ADDRESS_BITS)


def pack_result(value: int) -> bytes:
    """Return the record of a word that the core sends."""
    short = -(1 << 23) <= value < 1 << 23
    tag = Tag.RESULT if short else Tag.WIDE_RESULT
    return bytes([tag]) + value.to_bytes(3 if short else OUT_BITS // 8, "little", signed=True)


def pack_answer(word: int) -> bytes:
    """Return the record of an answer."""
    op, hit = word & 0xFF, word >> 16 & 1
    if op == Op.COUNT and word & 0xFFFFFFFF == op | hit << 16:
        return bytes([Tag.HIT if hit else Tag.MISS]) + (word >> 32).to_bytes(4, "little")
    return bytes([Tag.ANSWER]) + word.to_bytes(8, "little")
