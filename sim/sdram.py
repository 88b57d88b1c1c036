"""An SDRAM, simulated: it holds words, and fails with a line at a command that comes too soon.

Written from data sheets, not from the controller: times are counted in picoseconds since what they
are measured from, and compared with those of the chip.
"""

from amaranth.hdl import Array, Assert, Cat, Module, Mux, Signal, Value, ValueLike, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from ohmgrid.doors.checks import check_int
from ohmgrid.hdl.base.sdram import SDRAM_PINS
from ohmgrid.registers.sdram import BURST, WORD_BITS, SdramChip

__all__ = ["MOST_WORDS", "SimulatedSdram"]

MOST_WORDS = 1 << 19
"""A simulator begins by writing each of them."""
BANKS = 4
LEAST_REFRESHES = 2
"""Of a chip that starts."""
NOTHING = 0xBAAD
"""What comes from pins that nobody drives: no zeros, so that it is seen in what is read."""


def picoseconds(ns: float) -> int:
    """Return a time of a data sheet in whole picoseconds."""
    return round(1000 * ns)


class Age:
    """Picoseconds since something happened, up to the longest that anybody asks for."""

    def __init__(self, m: Module, name: str, most_ps: int, period_ps: int, old: bool = True):
        top = most_ps + period_ps
        self._m = m
        self.value = Signal(range(top + 1), name=name, init=top if old else 0)
        m.d.sync += self.value.eq(Mux(self.value <= most_ps, self.value + period_ps, self.value))
        self._period_ps = period_ps

    def begin(self) -> None:
        """It happens now; a cycle from now it is one period ago."""
        self._m.d.sync += self.value.eq(self._period_ps)


class SimulatedSdram(wiring.Component):
    """Four banks, bursts of eight, rows closed by PRECHARGE or by READ and WRITE themselves.

    Each rule is an ``Assert`` whose line begins with ``SDRAM:``.

    Parameters
    ----------
    chip : SdramChip
        Whose times are demanded.
    clock_hz : int
    words : int
        That it holds, from place 0 on, fewer than the chip's: none may be asked for behind them.
    late : int
        As of `ohmgrid.hdl.base.sdram.Sdram`.

    Members
    -------
    pins : In(SDRAM_PINS)
    """

    pins: In(SDRAM_PINS)

    def __init__(self, chip: SdramChip, clock_hz: int, words: int, late: int = 0):
        check_int("words", words, BURST, MOST_WORDS)
        self._chip, self._words, self._late = chip, words, late
        self._period_ps = -(-(10**12) // clock_hz)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        chip, pins, period = self._chip, self.pins, self._period_ps

        def demand(when: ValueLike, holds: ValueLike, line: str) -> None:
            with m.If(when):
                m.d.sync += Assert(holds, f"SDRAM: {line}")

        def age(name: str, ns: float, old: bool = True) -> Age:
            return Age(m, name, picoseconds(ns), period, old)

        def is_command(ras: int, cas: int, we: int) -> Value:
            want = Cat(pins.ras, pins.cas, pins.we) == (ras | cas << 1 | we << 2)
            return pins.cs & want

        activates, reads, writes = is_command(1, 0, 0), is_command(0, 1, 0), is_command(0, 1, 1)
        precharges, refreshes = is_command(1, 0, 1), is_command(1, 1, 0)
        sets, stops = is_command(1, 1, 1), is_command(0, 0, 1)
        any_command = pins.cs & Cat(pins.ras, pins.cas, pins.we).any()
        bursts, by_itself = reads | writes, pins.a[10]

        # The start.
        power = age("power", chip.power_up_ns, old=False)
        refreshed, ready, closed_all = Signal(range(LEAST_REFRESHES + 1)), Signal(), Signal()
        with m.If(refreshes & (refreshed != LEAST_REFRESHES)):
            m.d.sync += refreshed.eq(refreshed + 1)
        with m.If(sets):
            m.d.sync += ready.eq(1)
        with m.If(precharges & by_itself):
            m.d.sync += closed_all.eq(1)
        demand(any_command, pins.clk_en, "a command while the clock is disabled")
        demand(
            any_command,
            power.value >= picoseconds(chip.power_up_ns),
            f"a command within the {chip.power_up_ns:g} ns of power-up",
        )
        demand(any_command, closed_all | precharges, "a command before the first PRECHARGE of all")
        demand(sets, refreshed == LEAST_REFRESHES, "mode set before two REFRESH")
        demand(activates | bursts, ready, "a row is opened before the mode is set")
        demand(sets, pins.a == chip.cas << 4 | 3, f"a mode but bursts of 8 and CAS {chip.cas}")
        demand(stops, 0, "a burst is stopped")

        # What holds for all banks.
        mode_age, refresh_age = Signal(range(chip.mrd_cycles + 1)), age("fresh", chip.refi_ns)
        with m.If(mode_age != 0):
            m.d.sync += mode_age.eq(mode_age - 1)
        with m.If(sets):
            m.d.sync += mode_age.eq(chip.mrd_cycles - 1)
        demand(any_command, mode_age == 0, f"a command within {chip.mrd_cycles} cycles (tMRD)")
        # Those of the start count from the mode on.
        with m.If(refreshes | sets):
            refresh_age.begin()
        since = age("since_refresh", chip.rfc_ns)
        with m.If(refreshes):
            since.begin()
        demand(
            any_command,
            since.value >= picoseconds(chip.rfc_ns),
            f"a command within {chip.rfc_ns:g} ns of a REFRESH (tRFC)",
        )
        demand(
            ready,
            refresh_age.value <= picoseconds(chip.refi_ns),
            f"no REFRESH for {chip.refi_ns:g} ns (tREFI)",
        )

        # Banks.
        row = Array(Signal(chip.row_bits, name=f"row{b}") for b in range(BANKS))
        is_open = Array(Signal(name=f"open{b}") for b in range(BANKS))
        none_open = ~Cat(*is_open).any()
        demand(refreshes | sets, none_open, "REFRESH or mode set while a row is open")
        for b in range(BANKS):
            mine = pins.ba == b
            opened = age(f"opened{b}", max(chip.rc_ns, chip.ras_ns, chip.rcd_ns))
            closed, written = age(f"closed{b}", chip.rp_ns), age(f"written{b}", chip.wr_ns)
            # A burst that closes its row: words to come, then recovery of a write.
            left, recovers = Signal(range(BURST + 1), name=f"left{b}"), Signal(name=f"recovers{b}")
            of_write = Signal(name=f"of_write{b}")
            closes = precharges & (by_itself | mine) & is_open[b]
            demand(mine & activates, ~is_open[b], f"ACTIVATE of bank {b}, which has an open row")
            for when, what in (
                (mine & activates, "ACTIVATE"), (refreshes, "REFRESH"), (sets, "mode set")
            ):  # fmt: skip
                demand(
                    when,
                    closed.value >= picoseconds(chip.rp_ns),
                    f"{what} within {chip.rp_ns:g} ns of a precharge of bank {b} (tRP)",
                )
            demand(
                mine & activates,
                opened.value >= picoseconds(chip.rc_ns),
                f"ACTIVATE within {chip.rc_ns:g} ns of the last one of bank {b} (tRC)",
            )
            demand(mine & bursts, is_open[b] & ~recovers, f"a burst of bank {b}, no row is open")
            demand(
                mine & bursts,
                opened.value >= picoseconds(chip.rcd_ns),
                f"a burst within {chip.rcd_ns:g} ns of ACTIVATE of bank {b} (tRCD)",
            )
            demand(closes, left == 0, f"PRECHARGE of bank {b} within a burst")
            demand(
                closes,
                written.value >= picoseconds(chip.wr_ns),
                f"PRECHARGE within {chip.wr_ns:g} ns of a write to bank {b} (tWR)",
            )
            with m.If(left != 0):
                m.d.sync += left.eq(left - 1)
                # The last word of a write goes in with the cycle before.
                with m.If(of_write):
                    written.begin()
            over = recovers & (left == 0) & (written.value >= picoseconds(chip.wr_ns))
            with m.If(mine & bursts):
                m.d.sync += [left.eq(BURST - 1), recovers.eq(by_itself), of_write.eq(writes)]
                with m.If(writes):
                    written.begin()
            demand(
                closes | over,
                opened.value >= picoseconds(chip.ras_ns),
                f"precharge within {chip.ras_ns:g} ns of ACTIVATE of bank {b} (tRAS)",
            )
            with m.If(closes | over):
                m.d.sync += [is_open[b].eq(0), recovers.eq(0)]
                closed.begin()
            with m.If(mine & activates):
                m.d.sync += [is_open[b].eq(1), row[b].eq(pins.a)]
                opened.begin()
        self._move(m, demand, reads, writes, row)
        return m

    def _move(self, m, demand, reads, writes, row) -> None:
        """Move the words of bursts."""
        chip, pins = self._chip, self.pins
        m.submodules.words = words = Memory(shape=unsigned(WORD_BITS), depth=self._words, init=[])
        write, read = words.write_port(granularity=8), words.read_port(domain="comb")
        # Rows of four banks side by side, as in the controller: one place after the other.
        base = Cat(pins.a[: chip.column_bits], pins.ba, row[pins.ba])
        at, left, is_write = Signal(len(base)), Signal(range(BURST)), Signal()
        begins = reads | writes
        place = Mux(begins, base, at)
        low = (BURST - 1).bit_length()
        moves, writing = begins | (left != 0), Mux(begins, writes, is_write)
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(begins):
            m.d.sync += [left.eq(BURST - 1), is_write.eq(writes)]
        # Within its eight words a burst goes round.
        m.d.sync += at.eq(Cat((place[:low] + 1)[:low], place[low:]))
        demand(begins, left == 0, "a burst within a burst")
        demand(moves, place < self._words, f"a place behind the {self._words} words that there are")
        demand(moves & writing, pins.dq_oe, "a write whose words nobody drives")
        m.d.comb += [
            write.addr.eq(place),
            write.data.eq(pins.dq_o),
            write.en.eq(Mux(moves & writing, ~pins.dqm, 0)),
            read.addr.eq(place),
        ]
        way, word = moves & ~writing, read.data
        for stage in range(chip.cas - 1 + self._late):
            way_after, word_after = Signal(name=f"way{stage}"), Signal(16, name=f"word{stage}")
            m.d.sync += [way_after.eq(way), word_after.eq(word)]
            way, word = way_after, word_after
        demand(way, ~pins.dq_oe, "the chip and the board drive the same pins")
        demand(way, pins.dqm == 0, "words that are read are masked")
        m.d.comb += pins.dq_i.eq(Mux(way, word, NOTHING))
