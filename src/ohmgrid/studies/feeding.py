"""How many examples a second each way of feeding a core brings it, beside what the core can do."""

from dataclasses import dataclass

import numpy as np

from ohmgrid.config import BuildConfig
from ohmgrid.host.examples import choose_encoding, encode_example
from ohmgrid.host.frames import CRC_BYTES, HEADER_BYTES, MOST_PAYLOAD
from ohmgrid.registers.examples import (
    LABEL_BYTES,
    MOST_LITERALS,
    NUMBER_BITS,
    ExampleFormat,
    fits_store,
)
from ohmgrid.registers.sdram import CHUNK_BYTES, ULX3S_SDRAM, SdramCycles

__all__ = ["Feed", "feeding"]

BITS_A_BYTE = 10
"""Of a UART: start, eight, stop."""
RECORD_BYTES = 3
"""Of an example on the link, beside its own: kind and length."""
FRAME_BYTES = HEADER_BYTES + CRC_BYTES + 2
"""Of a frame, beside its payload: COBS takes one byte, and a 0 ends it."""
BRAM_CYCLES, SDRAM_CYCLES, SDRAM_ACCESSES = 2, -3, 2
"""Of an example, beside its label's bytes, its values and its codes; with an SDRAM also accesses to
its entry and its first burst, whose last words come beside the first values."""


@dataclass(frozen=True)
class Feed:
    """One way of feeding a core."""

    way: str
    """``uart raw``, ``uart runs``, ``uart order``, ``bram``, ``sdram`` or ``core``."""
    bytes_an_example: float
    """On the link, frames included, for those by UART; else in the memory."""
    examples_per_s: float
    needs: int = 0
    """Bytes of memory that the whole set takes."""
    there: bool = True
    """The build has it, and the whole set has room there."""


def link_bytes(payload: float) -> float:
    """Return the bytes on the line of so many bytes of a stream, in whole frames."""
    return payload * (MOST_PAYLOAD + FRAME_BYTES) / MOST_PAYLOAD


def _codes(example: bytes, form: ExampleFormat) -> int:
    """Return how many of the bytes of an example with runs are codes: each takes a cycle."""
    at, count = LABEL_BYTES, 0
    while form.runs and at < len(example):
        at += 1 + (example[at] & MOST_LITERALS) * form.unit_bytes
        count += 1
    return count


def feeding(
    pixels: np.ndarray,
    labels: np.ndarray,
    build: BuildConfig,
    baud: int,
    clock_hz: int,
    core_per_s: float | None = None,
) -> list[Feed]:
    """Return what each way of feeding a core reaches with a data set, and the core itself.

    Acknowledgements of the board's answers (11 bytes for each 256) are left out, and so is what
    else the core takes in: it is fed all the time.

    Parameters
    ----------
    pixels : integers, shape (examples, inputs)
        As at the edge.
    labels : integers, shape (examples,)
    build : BuildConfig
        Its store is asked whether the set has room; both kinds of memory are listed.
    baud : int
        Of the board's UART.
    clock_hz : int
        Of the board; an SDRAM has to bear it.
    core_per_s : float, optional
        Examples a second that the core can train, for a row ``core``.
    """
    byte_rate, values = baud / BITS_A_BYTE, pixels.shape[1]
    lengths, codes = {}, 0
    for runs in (False, True):
        form, _, coded = choose_encoding(pixels, runs)
        made = [encode_example(*each, form) for each in zip(labels.tolist(), coded, strict=True)]
        lengths[runs] = np.array([len(example) for example in made])
        codes = sum(_codes(example, form) for example in made)
    rows, own = [], lengths[True]
    kept = fits_store(own.tolist(), build)
    for way, each in (
        ("uart raw", RECORD_BYTES + lengths[False].mean()),
        ("uart runs", RECORD_BYTES + lengths[True].mean()),
        ("uart order", NUMBER_BITS / 8),
    ):
        each = link_bytes(float(each))
        # An order is for what is kept.
        rows.append(Feed(way, each, byte_rate / each, there=kept or way != "uart order"))
    cycles = LABEL_BYTES + values + codes / len(own)
    times = SdramCycles.at(ULX3S_SDRAM, clock_hz)
    bursts = CHUNK_BYTES * (1 + -(-own // CHUNK_BYTES))
    for where, size, taken in (
        ("bram", own, cycles + BRAM_CYCLES),
        ("sdram", bursts, cycles + SDRAM_CYCLES + SDRAM_ACCESSES * (times.rcd + times.read)),
    ):
        there = build.store_in == where and kept
        rows.append(
            Feed(where, float(size.mean()), clock_hz / float(taken), int(size.sum()), there)
        )
    if core_per_s is not None:
        rows.append(Feed("core", 0.0, core_per_s))
    return rows
