"""What a host sends to an example store: examples as bytes, and the table of their pixels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ohmgrid.registers.examples import (
    LABEL_BYTES,
    MOST_LITERALS,
    MOST_ZEROS,
    PIXELS,
    VALUE_BITS,
    ExampleFormat,
)

__all__ = ["Encoding", "choose_encoding", "encode_example"]

LARGEST = (1 << (VALUE_BITS - 1)) - 1


class Encoding(NamedTuple):
    """A format that loses nothing of a data set."""

    form: ExampleFormat
    table: np.ndarray
    """Value of each pixel (int16, shape (`PIXELS`,)); with values of 16 bits there are none."""
    coded: np.ndarray
    """What `encode_example` takes (shape (examples, values))."""


def choose_encoding(values: np.ndarray, runs: bool = True) -> Encoding:
    """Return the narrowest format that holds all values of a data set.

    Pixel 0 is the value that comes most often: it is what runs of zeros are made of.

    Parameters
    ----------
    values : integers, shape (examples, values)
        As they are at the edge, 16 bits signed.
    runs : bool
        Code runs of zeros.

    Raises
    ------
    ValueError
        If a value does not fit 16 bits, or there is none.
    """
    values = np.asarray(values)
    if values.ndim != 2 or not values.size or values.dtype.kind not in "biu":
        raise ValueError(
            "values: expected integers of shape (examples, values), "
            f"got {values.dtype} of shape {values.shape}"
        )
    low, high = int(values.min()), int(values.max())
    if low < -LARGEST - 1 or high > LARGEST:
        raise ValueError(
            f"values: expected {-LARGEST - 1}..{LARGEST} at the edge, got {low} to {high}"
        )
    distinct, place, count = np.unique(values, return_inverse=True, return_counts=True)
    bits = next((bits for bits in (1, 4, 8) if len(distinct) <= 1 << bits), 16)
    form = ExampleFormat(bits, values.shape[1], runs)
    table = np.zeros(PIXELS, np.int16)
    if bits == VALUE_BITS:
        return Encoding(form, table, values.astype(np.int16))
    first = int(count.argmax())
    pixel_of = np.arange(len(distinct)) + (np.arange(len(distinct)) < first)
    pixel_of[first] = 0
    table[pixel_of] = distinct
    return Encoding(form, table, pixel_of[place].reshape(values.shape).astype(np.uint8))


def encode_example(label: int, values: ArrayLike, form: ExampleFormat) -> bytes:
    """Return an example as bytes.

    Parameters
    ----------
    label : int
    values : integers, shape (form.values,)
        16 bits signed, or pixels of fewer bits.
    form : ExampleFormat

    Raises
    ------
    ValueError
        If the label does not fit, the values are not as many as the format says, or one of them
        has too many bits.
    """
    values = np.asarray(values)
    if not 0 <= label < 1 << VALUE_BITS:
        raise ValueError(f"label: expected 0..{(1 << VALUE_BITS) - 1}, got {label}")
    if values.shape != (form.values,) or values.dtype.kind not in "biu":
        raise ValueError(
            f"values: expected {form.values} integers, got {values.dtype} of shape {values.shape}"
        )
    wide = form.bits == VALUE_BITS
    low, high = (-LARGEST - 1, LARGEST) if wide else (0, (1 << form.bits) - 1)
    if values.min() < low or values.max() > high:
        raise ValueError(
            f"values: expected {low}..{high} in {form.bits} bits, "
            f"got {values.min()} to {values.max()}"
        )
    units = _units(values, form)
    body = _coded(units, form) if form.runs else units.tobytes()
    return int(label).to_bytes(LABEL_BYTES, "little") + body


def _units(values: np.ndarray, form: ExampleFormat) -> np.ndarray:
    """Return units (little-endian, shape (form.units,)): the first value is the lowest bits."""
    if form.bits >= 8:
        return values.astype("<i2" if form.bits == VALUE_BITS else np.uint8)
    room = np.zeros(form.units * form.unit_values, np.uint8)
    room[: form.values] = values
    shifts = np.arange(form.unit_values, dtype=np.uint8) * np.uint8(form.bits)
    return np.bitwise_or.reduce(room.reshape(form.units, -1) << shifts, axis=1, dtype=np.uint8)


def _coded(units: np.ndarray, form: ExampleFormat) -> bytes:
    """Return units behind code bytes.

    A single zero within other units is cheaper sent than named if it is one byte.
    """
    gap = 3 - form.unit_bytes
    some = np.flatnonzero(units)
    cuts = np.diff(some, prepend=-gap - 1, append=form.units + gap) > gap
    begins, ends = some[cuts[:-1]], some[cuts[1:]] + 1
    out, at = bytearray(), 0
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        skipped, full = (begin - at) % MOST_ZEROS, (begin - at) // MOST_ZEROS
        out += bytes([MOST_ZEROS << 4]) * full
        for start in range(begin, end, MOST_LITERALS):
            literals = units[start : min(start + MOST_LITERALS, end)]
            out.append(skipped << 4 | len(literals))
            out += literals.tobytes()
            skipped = 0
        at = end
    if at < form.units:
        out.append(0)
    return bytes(out)
