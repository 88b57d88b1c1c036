"""Records of the link's two streams: those that a host makes, and those that it takes apart."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ohmgrid.config import BuildConfig
from ohmgrid.host.driver import Examples, Item
from ohmgrid.host.examples import choose_encoding, encode_example
from ohmgrid.host.frames import Record, Tag
from ohmgrid.host.identity import BoardError
from ohmgrid.host.protocol import COMMAND_BITS, TABLE_DATA_BITS, Op
from ohmgrid.registers.examples import (
    BITS,
    LABEL_BYTES,
    NUMBER_BITS,
    VALUE_BITS,
    ExampleFormat,
    fits_store,
)
from ohmgrid.registers.map import TABLES, TRAINER

__all__ = ["RecordMaker", "RecordTaker"]

COMMAND_BYTES = COMMAND_BITS // 8
MOST = (1 << 16) - 1
"""Items of a record."""
ADDRESS_PLACE = 16 + TABLE_DATA_BITS
FIRST_TABLE = min(*TABLES.values(), *TRAINER.values())
"""From this number on `Op.SET` writes entries of tables."""
VALUES = 1 << VALUE_BITS
BLOCK = 1024
"""Examples that are looked at together: a whole set as integers of 64 bits may not fit."""
KEEP, FORGET = 1, 2
"""Bits of `Record.KEEP`."""


class RecordMaker:
    """Makes the records of a session's stream.

    It remembers the form in which examples come, and which of them the board keeps: of those it
    sends the numbers alone.
    """

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        """Of the examples that the board keeps, by their label and pixels."""
        self._keeps = False
        """The board takes orders now, and no examples to be given at once."""
        self._form: ExampleFormat | None = None
        self._pixels = np.zeros(0, np.int64)
        """Values that pixels stand for; and the pixel of each value, -1 if it has none."""
        self._pixel_of = np.full(VALUES, -1, np.int16)

    def make(self, items: Sequence[Item]) -> Iterator[bytes]:
        """Make the records of commands, words and examples, in their order, a piece at a time."""
        commands: list[int] = []
        for item in items:
            if isinstance(item, int):
                commands.append(item)
                continue
            yield _commands(commands)
            commands = []
            if isinstance(item, Examples):
                yield from self._examples(item)
            else:
                yield _words(item)
        yield _commands(commands)

    def _examples(self, examples: Examples) -> Iterator[bytes]:
        """Make examples, behind what their form needs that is not known yet."""
        pixels = np.asarray(examples.pixels, np.int64)
        if not pixels.shape[1]:
            # Labels alone: an array whose only input is the always-on one.
            yield _words(np.asarray(examples.labels, np.int64))
            return
        coded = self._coded(pixels)
        if coded is None:
            if self._numbers:
                # What is kept would mean something else in another form.
                self._numbers, self._keeps = {}, False
                yield bytes([Record.KEEP, FORGET])
            yield self._choose(pixels)
            coded = self._coded(pixels)
        assert self._form is not None
        assert coded is not None
        numbers = [self._numbers.get(key, -1) for key in _keys(examples.labels, coded)]
        kept = min(numbers, default=-1) >= 0
        if kept != self._keeps:
            self._keeps = kept
            yield bytes([Record.KEEP, KEEP * kept])
        if kept:
            yield _orders(np.array(numbers))
            return
        for label, values in zip(examples.labels.tolist(), coded, strict=True):
            yield _example(encode_example(label, values, self._form))

    def keep(self, sets: Iterable[Examples], build: BuildConfig) -> Iterator[bytes]:
        """Make what has a board keep sets of examples: each of them whole, or not at all.

        Equal examples are kept once. What was kept before is forgotten.

        Parameters
        ----------
        sets : iterable of Examples
            Of equally many inputs; those that come first are kept first.
        build : BuildConfig
            Of the board.
        """
        sets = [one for one in sets if one.pixels.size]
        if not sets:
            return
        self._numbers, self._keeps = {}, True
        yield self._choose(_sample([one.pixels for one in sets])) + bytes(
            [Record.KEEP, KEEP | FORGET]
        )
        assert self._form is not None
        lengths: list[int] = []
        for labels, pixels in sets:
            new: dict[bytes, bytes] = {}
            for at in range(0, len(labels), BLOCK):
                some = labels[at : at + BLOCK]
                coded = self._coded(np.asarray(pixels[at : at + BLOCK], np.int64))
                assert coded is not None
                for key, label, values in zip(
                    _keys(some, coded), some.tolist(), coded, strict=True
                ):
                    if key not in self._numbers and key not in new:
                        new[key] = encode_example(label, values, self._form)
            more = [len(example) for example in new.values()]
            if not fits_store([*lengths, *more], build):
                continue
            lengths += more
            for key, example in new.items():
                self._numbers[key] = len(self._numbers)
                yield _example(example)

    @property
    def kept(self) -> int:
        """Examples that the board keeps."""
        return len(self._numbers)

    def _coded(self, pixels: np.ndarray) -> np.ndarray | None:
        """Return what the form at work makes of values; None if it cannot hold them."""
        form = self._form
        if form is None or form.values != pixels.shape[1]:
            return None
        if form.bits == VALUE_BITS:
            return pixels
        coded = self._pixel_of[pixels & (VALUES - 1)]
        return coded if coded.min() >= 0 else None

    def _choose(self, pixels: np.ndarray) -> bytes:
        """Choose a form for these values and those before them; return the records of it."""
        width = pixels.shape[1]
        # Whole rows, of values that are there anyway.
        known = np.resize(self._pixels, -(-len(self._pixels) // width) * width)
        encoding = choose_encoding(np.concatenate([pixels, known.reshape(-1, width)]))
        form, table = encoding.form, encoding.table
        self._form = form
        place = BITS.index(form.bits) | form.runs << 7
        out = bytes([Record.FORM, place]) + form.values.to_bytes(2, "little")
        self._pixel_of[:] = -1
        if form.bits == VALUE_BITS:
            self._pixels = np.zeros(0, np.int64)
            return out
        count = 1 << form.bits
        self._pixels = np.unique(np.concatenate([pixels.ravel(), self._pixels]))
        # The first of equal entries counts: what is not used is 0.
        for pixel in reversed(range(count)):
            self._pixel_of[int(table[pixel]) & (VALUES - 1)] = pixel
        head = bytes([Record.PIXELS]) + count.to_bytes(2, "little") + b"\0"
        return out + head + table[:count].astype("<i2").tobytes()


def _keys(labels: np.ndarray, coded: np.ndarray) -> Iterator[bytes]:
    """Return what tells examples in one form apart."""
    for label, values in zip(labels.tolist(), coded, strict=True):
        yield label.to_bytes(LABEL_BYTES, "little") + values.astype(np.int16).tobytes()


def _sample(sets: Sequence[np.ndarray]) -> np.ndarray:
    """Return a few examples that have all values of sets, and most often what they most often have.

    For a choice of their form: of a large set itself it would take long.
    """
    counts = np.zeros(VALUES, np.int64)
    for pixels in sets:
        for at in range(0, len(pixels), BLOCK):
            some = np.asarray(pixels[at : at + BLOCK], np.int64) & (VALUES - 1)
            counts += np.bincount(some.ravel(), minlength=VALUES)
    values = np.flatnonzero(counts).astype(np.uint16).view(np.int16).astype(np.int64)
    most = np.int64(np.uint16(counts.argmax()).view(np.int16))
    width = sets[0].shape[1]
    rows = -(-(len(values) + 1) // width)
    out = np.full(rows * width, most)
    out[: len(values)] = values
    return out.reshape(rows, width)


def _example(example: bytes) -> bytes:
    """Return the record of an example."""
    return bytes([Record.EXAMPLE]) + len(example).to_bytes(2, "little") + example


def _orders(numbers: np.ndarray) -> bytes:
    """Return the records that order examples that are kept."""
    out = bytearray()
    for start in range(0, len(numbers), MOST):
        part = numbers[start : start + MOST]
        out += bytes([Record.ORDER]) + len(part).to_bytes(2, "little")
        out += part.astype("<i4").view(np.uint8).reshape(-1, 4)[:, : NUMBER_BITS // 8].tobytes()
    return bytes(out)


def _words(words: np.ndarray) -> bytes:
    """Return words for the core, in as few bytes as hold them all."""
    words = np.asarray(words, np.int64)
    out = bytearray()
    for start in range(0, len(words), MOST):
        part = words[start : start + MOST]
        short = part.min() >= -(1 << 15) and part.max() < 1 << 15
        kind = Record.WORDS if short else Record.CELLS
        out += bytes([kind]) + len(part).to_bytes(2, "little")
        out += part.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :kind].tobytes()
    return bytes(out)


def _commands(commands: Sequence[int]) -> bytes:
    """Return commands; those that write entries of a table one after the other as a table."""
    out, start = bytearray(), 0
    while start < len(commands):
        end = _run(commands, start)
        first = commands[start]
        if end - start > 1:
            entries = [c >> 16 & ((1 << TABLE_DATA_BITS) - 1) for c in commands[start:end]]
            size = max(1, -(-max(entries).bit_length() // 8))
            out += bytes([Record.TABLE]) + first.to_bytes(COMMAND_BYTES, "little")
            out += (end - start).to_bytes(2, "little") + bytes([size])
            out += b"".join(entry.to_bytes(size, "little") for entry in entries)
        else:
            out += bytes([Record.COMMAND]) + first.to_bytes(COMMAND_BYTES, "little")
        start = end
    return bytes(out)


def _run(commands: Sequence[int], start: int) -> int:
    """Return where the run of writes to one table ends that begins here."""
    first = commands[start]
    end = start + 1
    if first & 255 != Op.SET or first >> 8 & 255 < FIRST_TABLE:
        return end
    other = first & ~(((1 << TABLE_DATA_BITS) - 1) << 16)
    step = 1 << ADDRESS_PLACE
    while end < len(commands) and end - start < MOST:
        other += step
        if commands[end] & ~(((1 << TABLE_DATA_BITS) - 1) << 16) != other:
            break
        end += 1
    return end


class RecordTaker:
    """Takes the records of a board's stream apart.

    Attributes
    ----------
    results, answers : list of int
        Words that have come and are not taken yet.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self.results: list[int] = []
        self.answers: list[int] = []

    def take(self, data: bytes) -> None:
        """Take bytes of the stream; raise `BoardError` where they are no records."""
        self._rest += data
        rest, place = self._rest, 0
        while place < len(rest):
            tag = rest[place]
            end = place + 1 + (tag & 15)
            if end > len(rest):
                break
            body = rest[place + 1 : end]
            if tag in (Tag.RESULT, Tag.WIDE_RESULT):
                self.results.append(int.from_bytes(body, "little", signed=True))
            elif tag == Tag.ANSWER:
                self.answers.append(int.from_bytes(body, "little"))
            elif tag in (Tag.HIT, Tag.MISS):
                word = int.from_bytes(body, "little")
                self.answers.append(Op.COUNT | (tag == Tag.HIT) << 16 | word << 32)
            else:
                raise BoardError(f"board: expected a record, got the tag {tag:#x}")
            place = end
        del rest[:place]
