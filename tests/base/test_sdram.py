"""The SDRAM's controller on a simulated chip: what is written is read, and no rule is broken.

The chip's own rules are tested too: a controller for a faster chip, or a wrong command, is caught.
"""

from dataclasses import replace

import pytest
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.base.sdram import Sdram, access_layout
from ohmgrid.registers.sdram import BURST, ULX3S_SDRAM, SdramChip, SdramCycles
from ohmgrid.sim.cxxrtl.library import build
from ohmgrid.sim.sdram import SimulatedSdram

QUICK = replace(ULX3S_SDRAM, power_up_ns=1000.0)
"""The same, without the wait at its start."""
HZ = 100_000_000
WORDS = 1 << 13
"""Two rows of each bank, and more."""


class Board(wiring.Component):
    """A controller made for one chip at another one."""

    def __init__(self, made_for: SdramChip, chip: SdramChip, hz: int, late: int = 0):
        self._parts = Sdram(made_for, hz, late), SimulatedSdram(chip, hz, WORDS, late)
        super().__init__(
            {
                "access": In(stream.Signature(access_layout(chip))),
                "w": In(stream.Signature(16)),
                "r": Out(stream.Signature(16)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.sdram, m.submodules.chip = sdram, chip = self._parts
        wiring.connect(m, sdram.pins, chip.pins)
        user = sdram.user
        wiring.connect(m, wiring.flipped(self.access), user.access)
        m.d.comb += [
            user.w.eq(self.w.payload),
            self.w.ready.eq(user.w_next),
            self.r.payload.eq(user.r),
            self.r.valid.eq(user.r_next),
            self.idle.eq(user.idle),
        ]
        return m


@pytest.mark.parametrize(
    ("hz", "late"),
    [
        (133_333_333, 1),
        (None, 1),
        *(pytest.param(hz, 0, marks=pytest.mark.slow) for hz in (8_000_000, 80_000_000)),
    ],
)
def test_what_is_written_is_read_and_the_chip_is_content(hz, late, rng):
    """At any pace, between refreshes, in any order of places, from the power-up on."""
    hz = hz or int(rng.integers(8_000_000, 133_333_333))
    print(f"{hz} Hz")
    sim = build(Board(ULX3S_SDRAM, ULX3S_SDRAM, hz, late), "sdram_board").instance()
    sim.reset()
    held: dict[int, list[int]] = {}
    for _ in range(12):
        accesses, words, want = [], [], []
        for _ in range(60):
            chunk = int(rng.integers(WORDS // BURST))
            if held and rng.random() < 0.5:
                chunk = int(rng.choice([*held]))
                want += held[chunk]
                accesses.append(chunk << 1)
            else:
                held[chunk] = rng.integers(0, 1 << 16, BURST).tolist()
                words += held[chunk]
                accesses.append(chunk << 1 | 1)
        came, _ = sim.transact(
            {"access": accesses, "w": words},
            {"r": len(want)},
            100_000,
            {"access": float(rng.choice([0.0, 0.5, 0.98]))},
            int(rng.integers(1 << 30)),
        )
        assert came["r"].tolist() == want
        sim.step(int(rng.integers(1, 3000)))
        assert sim.get("idle")


def test_a_read_takes_as_many_cycles_as_its_times_say():
    hz = 80_000_000
    sim = build(Board(ULX3S_SDRAM, ULX3S_SDRAM, hz), "sdram_board").instance()
    times = SdramCycles.at(ULX3S_SDRAM, hz)
    sim.transact({"access": [1], "w": [7] * 8}, {}, times.power_up + 200)
    _, cycles = sim.transact({"access": [0] * 1000}, {"r": 8000}, 100_000)
    spent = 1000 * (times.rcd + times.read)
    refreshes = spent // (times.refi - times.access - 2) + 2
    assert spent <= cycles <= spent + refreshes * (times.rfc + 1) + 30


def simulate(design: Module, cycles: int) -> None:
    """Run what drives itself: a failed Assert ends it."""
    sim = Simulator(design)
    sim.add_clock(1 / HZ)
    sim.run_until(cycles / HZ)


def works(made_for: SdramChip, chip: SdramChip) -> None:
    """Write and read the same three places for a while."""
    m, cycle = Module(), Signal(16)
    m.submodules.board = board = Board(made_for, chip, HZ)
    m.d.sync += cycle.eq(cycle + 1)
    m.d.comb += [
        board.access.valid.eq(1),
        board.access.payload.chunk.eq(Mux(cycle[7], 0, Mux(cycle[8], 4 * 64, 8 * 64))),
        board.access.payload.write.eq(cycle[6]),
    ]
    simulate(m, 1400)


def test_a_controller_for_this_chip_breaks_no_rule():
    works(QUICK, QUICK)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("power_up_ns", 2000.0, r"a command within the 2000 ns of power-up"),
        ("rcd_ns", 40.0, r"a burst within 40 ns of ACTIVATE of bank 0 \(tRCD\)"),
        ("rp_ns", 41.0, r"within 41 ns of a precharge of bank 0 \(tRP\)"),
        ("ras_ns", 130.0, r"precharge within 130 ns of ACTIVATE of bank 0 \(tRAS\)"),
        ("rc_ns", 150.0, r"ACTIVATE within 150 ns of the last one of bank 0 \(tRC\)"),
        ("rfc_ns", 90.0, r"a command within 90 ns of a REFRESH \(tRFC\)"),
        ("wr_ns", 70.0, r"ACTIVATE of bank 0, which has an open row"),
        ("mrd_cycles", 4, r"a command within 4 cycles \(tMRD\)"),
        ("refi_ns", 2000.0, r"no REFRESH for 2000 ns \(tREFI\)"),
        ("cas", 2, r"a mode but bursts of 8 and CAS 2"),
    ],
)
def test_a_controller_for_a_faster_chip_is_caught(name, value, line):
    with pytest.raises(AssertionError, match=f"SDRAM: .*{line}"):
        works(QUICK, replace(QUICK, **{name: value}))


ACTIVATE, READ, WRITE = (1, 0, 0), (0, 1, 0), (0, 1, 1)
PRECHARGE, REFRESH, MODE, STOP = (1, 0, 1), (1, 1, 0), (1, 1, 1), (0, 0, 1)
ALL = 1 << 10
START = [(PRECHARGE, ALL, 5), (REFRESH, 0, 9), (REFRESH, 0, 9), (MODE, 0x33, 4)]


def give(*commands: tuple[tuple[int, int, int], int, int]) -> None:
    """Give a chip commands with addresses (bank above bit 13), each with cycles until the next."""
    m, cycle, at = Module(), Signal(16), 110
    m.submodules.chip = chip = SimulatedSdram(QUICK, HZ, WORDS)
    pins = chip.pins
    m.d.sync += cycle.eq(cycle + 1)
    m.d.comb += [pins.clk_en.eq(1), pins.dq_oe.eq(any(what == WRITE for what, _, _ in commands))]
    with m.Switch(cycle):
        for (ras, cas, we), address, then in commands:
            with m.Case(at):
                m.d.comb += [pins.cs.eq(1), pins.ras.eq(ras), pins.cas.eq(cas), pins.we.eq(we)]
                m.d.comb += Cat(pins.a, pins.ba).eq(address)
            at += then
    simulate(m, at + 90)


def test_commands_in_time_are_taken():
    give(*START, (ACTIVATE, 0, 3), (READ, 8, 12), (PRECHARGE, 0, 3), (REFRESH, 0, 7))
    give(*START, (ACTIVATE, 1, 3), (WRITE, 8, 10), (PRECHARGE, 0, 3), (ACTIVATE, 0, 3))
    # Another bank need not wait for the first one.
    give(
        *START, (ACTIVATE, 0, 3), (ACTIVATE, 1 << 13, 3), (READ, ALL, 8), (READ, 1 << 13 | ALL, 13)
    )


@pytest.mark.parametrize(
    ("commands", "line"),
    [
        ([(REFRESH, 0, 9)], "a command before the first PRECHARGE of all"),
        ([(PRECHARGE, ALL, 3), (REFRESH, 0, 9), (MODE, 0x33, 3)], "mode set before two REFRESH"),
        ([*START[:3], (ACTIVATE, 0, 3)], "a row is opened before the mode is set"),
        ([*START[:3], (MODE, 0x32, 3)], "a mode but bursts of 8 and CAS 3"),
        ([*START, (READ, 0, 9)], "a burst of bank 0, no row is open"),
        ([*START, (ACTIVATE, 0, 3), (READ, ALL, 9), (READ, 8, 9)], "no row is open"),
        ([*START, (ACTIVATE, 0, 3), (READ, 0, 4), (READ, 8, 9)], "a burst within a burst"),
        ([*START, (ACTIVATE, 0, 3), (STOP, 0, 9)], "a burst is stopped"),
        ([*START, (ACTIVATE, 0, 9), (ACTIVATE, 1, 9)], "ACTIVATE of bank 0, which has an open row"),
        ([*START, (ACTIVATE, 0, 9), (REFRESH, 0, 9)], "REFRESH or mode set while a row is open"),
        ([*START, (ACTIVATE, 0, 3), (PRECHARGE, ALL, 9)], r"precharge within 45 ns .*tRAS"),
        ([*START, (ACTIVATE, 0, 3), (READ, 0, 5), (PRECHARGE, 0, 9)], "of bank 0 within a burst"),
        ([*START, (ACTIVATE, 0, 3), (WRITE, 0, 8), (PRECHARGE, 0, 9)], r"of a write .*tWR"),
        ([*START, (ACTIVATE, 0, 5), (PRECHARGE, ALL, 2), (ACTIVATE, 0, 9)], r"tRP"),
        ([*START, (ACTIVATE, 4, 3), (READ, 0, 9)], "a place behind the 8192 words"),
        ([*START, (ACTIVATE, 0, 1000)], r"no REFRESH for 7812.5 ns \(tREFI\)"),
    ],
)  # fmt: skip
def test_a_wrong_command_is_caught(commands, line):
    with pytest.raises(AssertionError, match=f"SDRAM: .*{line}"):
        give(*commands)


def test_a_clock_that_cannot_be_gets_one_line():
    with pytest.raises(
        ConfigError,
        match=r"^clock: expected 1 to 133333333 Hz for the board's SDRAM, got 140000000$",
    ):
        Sdram(ULX3S_SDRAM, 140_000_000)
    with pytest.raises(
        ConfigError,
        match=r"^clock: expected a refresh .* every 7812.5 ns to leave time for accesse",
    ):
        Sdram(ULX3S_SDRAM, 3_000_000)
    assert ULX3S_SDRAM.size == 32 << 20
    assert SdramCycles.at(ULX3S_SDRAM, 80_000_000).rcd == 2
