"""UART: receiver and transmitter equal their twins in every cycle, whatever the line does."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from numpy.testing import assert_array_equal

from ohmgrid.hdl.link.uart import Uart
from ohmgrid.model.link.uart import ERRORS, count, frame, receive, transmit
from ohmgrid.registers.baud import samples_per_bit
from ohmgrid.sim.cxxrtl.library import build

CYCLES = 40_000
STAGES = 2
"""Cycles from a line to the first register that may look at it."""
FIXED = [(96, 12), (100, 12), (80, 3), (16, 1)]
"""Clock and rate: the fewest cycles a bit, the fewest of 16 samples, fractions in between."""


class Uarts(wiring.Component):
    """UARTs side by side, all ports of each in a word of every cycle."""

    def __init__(self, rates, width):
        self._uarts = [Uart(clock_hz, baud, width) for clock_hz, baud in rates]
        members = {}
        for n in range(len(rates)):
            members[f"drive{n}"] = In(stream.Signature(12, always_ready=True))
            members[f"seen{n}"] = Out(
                stream.Signature(11 + 4 * width, always_valid=True, always_ready=True)
            )
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        for n, uart in enumerate(self._uarts):
            m.submodules[f"uart{n}"] = uart
            drive = getattr(self, f"drive{n}").payload
            m.d.comb += [
                Cat(uart.rx, uart.o.ready, uart.clear, uart.i.valid, uart.i.payload).eq(drive),
                getattr(self, f"seen{n}").payload.eq(
                    Cat(uart.o.valid, uart.o.payload, uart.i.ready, uart.tx, uart.errors)
                ),
            ]
        return m


def random_line(rng: np.random.Generator, per_bit: float) -> np.ndarray:
    """Return the levels of a line: frames of any rate and quality, breaks, pauses, noise."""
    levels: list[np.ndarray] = []
    length = 0
    while length < CYCLES:
        match rng.integers(8):
            case 0:  # a pause, or a break
                part = np.full(int(rng.integers(1, 25 * per_bit)), rng.integers(2))
            case 1:
                part = rng.integers(0, 2, int(rng.integers(1, 12 * per_bit)))
            case _:
                words = rng.choice([0, 255, *rng.integers(0, 256, 6)], int(rng.integers(1, 6)))
                bits = [bit for word in words for bit in frame(int(word))]
                step = per_bit * rng.choice([1.0, rng.uniform(0.9, 1.1)])
                edges = step * (
                    np.arange(len(bits) + 1) + rng.choice([0.0, 0.1, 0.3]) * rng.random()
                )
                part = np.repeat(bits, np.diff(np.round(edges).astype(int)))
        part = part ^ (rng.random(len(part)) < rng.choice([0.0, 0.01, 0.1]))
        levels.append(part)
        length += len(part)
    return np.concatenate(levels)[:CYCLES].astype(bool)


def random_pace(rng: np.random.Generator, per_bit: float) -> np.ndarray:
    """Return in which cycles somebody is ready, now and then not for a whole frame."""
    rests = rng.choice([0, 1, 3, round(15 * per_bit)], CYCLES)
    ready = np.zeros(CYCLES, bool)
    ready[np.minimum(np.cumsum(1 + rests), CYCLES - 1)] = True
    return ready


def random_offers(rng: np.random.Generator, per_bit: float) -> list[tuple[int, int]]:
    """Return bytes to send and from when on each one waits: in line, at the last moment, later."""
    most = int(CYCLES / (10 * per_bit)) + 2
    gaps = per_bit * rng.choice([0, 9, 10, 10.1, 12, 30], most)
    cycles = np.cumsum(gaps + rng.integers(0, 3, most)).astype(int)
    return list(zip(cycles.tolist(), rng.integers(0, 256, most).tolist(), strict=True))


def random_rates(rng: np.random.Generator) -> list[tuple]:
    """Return clocks and rates, the first ones always the same."""
    clocks = rng.integers(10**6, 2 * 10**8, 3).tolist()
    return [*FIXED, *((c, Fraction(c) / Fraction(rng.uniform(7.9, 50))) for c in clocks)]


def test_every_cycle_equals_the_model(tmp_path, monkeypatch, rng):
    """Any rate; frames right and wrong, noise, breaks; bytes taken late; counters full, cleared."""
    monkeypatch.setenv("OHMGRID_CACHE", str(tmp_path))
    rates, width = random_rates(rng), int(rng.integers(2, 6))
    sim = build(Uarts(rates, width), "uarts").instance()
    drives, golden = {}, {}
    for n, rate in enumerate(rates):
        per_bit = float(Fraction(rate[0]) / Fraction(rate[1]))
        line, ready = random_line(rng, per_bit), random_pace(rng, per_bit)
        clear = rng.random(CYCLES) < 1 / (300 * per_bit)
        offers = random_offers(rng, per_bit)
        sent = transmit(offers, CYCLES, *rate)
        valid, byte = np.zeros(CYCLES, bool), np.zeros(CYCLES, int)
        free = 0
        for (offered, word), taken in zip(offers, [*sent.taken, CYCLES], strict=False):
            waits = slice(max(offered, free), taken + 1)
            valid[waits], byte[waits] = True, word
            free = taken + 1
        drives[f"drive{n}"] = line | ready << 1 | clear << 2 | valid << 3 | byte << 4
        seen_line = np.concatenate([np.ones(STAGES, bool), line[:-STAGES]])
        golden[f"seen{n}"] = receive(seen_line, ready, *rate), ready, clear, valid, sent
    seen, _ = sim.transact(drives, dict.fromkeys(golden, CYCLES), CYCLES)
    for name, (received, ready, clear, valid, sent) in golden.items():
        words = seen[name].astype(np.int64)
        taken = np.flatnonzero(words & ready)
        assert received.taken == list(zip(taken, (words[taken] >> 1) & 255, strict=True)), name
        assert_array_equal(np.flatnonzero((words >> 9) & valid), sent.taken, err_msg=name)
        assert_array_equal((words >> 10) & 1, sent.line, err_msg=name)
        for k, error in enumerate(ERRORS):
            found = (words >> (11 + k * width)) & ((1 << width) - 1)
            wanted = count(received.errors[error], clear, width)
            assert_array_equal(found, wanted, err_msg=f"{name} {error}")


@pytest.mark.parametrize("off", [-0.02, 0.02])
@pytest.mark.parametrize("rate", [*FIXED, (80, 6)])
def test_a_sender_that_is_off_by_two_percent_loses_no_byte(rate, off, fixed_rng):
    """Edges are early or late by up to 5 % of a bit, and fall between clock cycles."""
    sent = fixed_rng.integers(0, 256, 300).tolist()
    bits = [bit for byte in sent for bit in frame(byte)]
    jitter = fixed_rng.uniform(-0.05, 0.05, len(bits))
    edges = 10 + (np.arange(len(bits)) / (1 + off) + jitter) * rate[0] / rate[1]
    cycles = np.arange(int(edges[-1]) + 2 * rate[0])
    line = np.array([1, *bits], bool)[np.searchsorted(edges, cycles, side="right")]
    found = receive(line, np.ones(len(line), bool), *rate)
    assert [byte for _, byte in found.taken] == sent
    if samples_per_bit(*rate) == 8:  # three samples are a quarter of a bit: they may differ
        found.errors["noise"].clear()
    assert not any(found.errors.values())
