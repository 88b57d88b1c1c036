"""Examples out of bytes: golden model of the example store, written from `docs/examples.md`."""

from typing import NamedTuple

import numpy as np

from ohmgrid.registers.examples import (
    LABEL_BYTES,
    VALUE_BITS,
    ExampleError,
    ExampleFormat,
)

__all__ = ["Example", "ExampleMemory", "SdramExampleMemory", "decode_example"]


class Example(NamedTuple):
    """What a store gives of an example."""

    label: int
    values: np.ndarray
    """int16, shape (values,)."""
    errors: int
    """Bits of `ExampleError`."""


def decode_example(data: bytes, form: ExampleFormat, table: np.ndarray) -> Example:
    """Return the label and the values that bytes stand for.

    Bytes that are missing are 0; those behind the last value do not count.

    Parameters
    ----------
    data : bytes
        One at least.
    form : ExampleFormat
    table : int16, shape (256,)
        Value of each pixel; values of 16 bits do not pass it.

    Raises
    ------
    ValueError
        Without a byte there is no example.
    """
    if not data:
        raise ValueError("data: expected the bytes of an example, got none")
    # No example needs more: a code byte for each unit, and its bytes.
    most = LABEL_BYTES + form.units * (1 + form.unit_bytes)
    source = data[:most].ljust(most, b"\0")
    body = source[LABEL_BYTES:]
    if form.runs:
        units, used, errors = _expand(body, form)
    else:
        used, errors = form.units * form.unit_bytes, 0
        units = body[:used]
    used += LABEL_BYTES
    errors |= ExampleError.SHORT if len(data) < used else 0
    errors |= ExampleError.LONG if len(data) > used else 0
    label = int.from_bytes(source[:LABEL_BYTES], "little")
    if form.bits == VALUE_BITS:
        return Example(label, np.frombuffer(units, "<i2"), errors)
    bits = np.unpackbits(np.frombuffer(units, np.uint8), bitorder="little")
    pixels = bits.reshape(-1, form.bits) @ (1 << np.arange(form.bits))
    return Example(label, table[pixels[: form.values]], errors)


def _expand(body: bytes, form: ExampleFormat) -> tuple[bytes, int, int]:
    """Return units without their code bytes, how many bytes they took, and errors."""
    size, whole = form.unit_bytes, form.units * form.unit_bytes
    units, used, errors = bytearray(), 0, 0
    while len(units) < whole:
        code = body[used]
        used += 1
        left = whole - len(units)
        if code == 0:
            units += bytes(left)
            break
        zeros, literals = (code >> 4) * size, (code & 15) * size
        if zeros + literals > left:
            errors = int(ExampleError.CODE)
        zeros = min(zeros, left)
        literals = min(literals, left - zeros)
        units += bytes(zeros) + body[used : used + literals]
        used += literals
    return bytes(units), used, errors


class ExampleMemory:
    """Examples that are kept, and given by their number.

    Parameters
    ----------
    size : int
        Bytes.
    examples : int
        Most examples.
    """

    def __init__(self, size: int, examples: int) -> None:
        self._size, self._most = size, examples
        self._kept: list[bytes] = []
        self.errors = 0
        """Bits of `ExampleError` of all that was asked for since it was made."""

    def keep(self, data: bytes) -> None:
        """Keep an example, behind those that are there, if there is room for all of it."""
        if self._has_room([*self._kept, data]):
            self._kept.append(data)
        else:
            self.errors |= ExampleError.FULL

    def _has_room(self, kept: list[bytes]) -> bool:
        return sum(map(len, kept)) <= self._size and len(kept) <= self._most

    def forget(self) -> None:
        """Forget all examples."""
        self._kept.clear()

    def replay(self, number: int) -> bytes | None:
        """Return the bytes of an example; none if no example of this number is kept."""
        if number >= len(self._kept):
            self.errors |= ExampleError.NUMBER
            return None
        return self._kept[number]


class SdramExampleMemory(ExampleMemory):
    """The same in an SDRAM: each example takes whole bursts of 16 bytes, and one for its entry.

    Parameters
    ----------
    size : int
        Bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, size)

    def _has_room(self, kept: list[bytes]) -> bool:
        places = [place for data in kept for place in range(0, len(data), 16)]
        return 16 * (len(places) + len(kept)) <= self._size
