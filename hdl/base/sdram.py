"""Bursts in and out of an SDRAM: start of the chip, refreshes, and one access after the other."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.registers.sdram import BURST, WORD_BITS, SdramChip, SdramCycles

__all__ = ["SDRAM_PINS", "Sdram", "access_layout"]

ADDRESS_BITS, BANK_BITS = 13, 2
ALL_BANKS = 1 << 10
"""Bit of an address: PRECHARGE means all banks, READ and WRITE close their row by themselves."""
REFRESHES = 8
"""Of a chip that starts."""

SDRAM_PINS = wiring.Signature(
    {
        **dict.fromkeys(("clk_en", "cs", "ras", "cas", "we"), Out(1)),
        "ba": Out(BANK_BITS),
        "a": Out(ADDRESS_BITS),
        "dqm": Out(WORD_BITS // 8),
        "dq_o": Out(WORD_BITS),
        "dq_oe": Out(1),
        "dq_i": In(WORD_BITS),
    }
)
"""Pins of a chip but its clock, named as in amaranth-boards; 1 is what a name says, whatever the
pin's level."""


def access_layout(chip: SdramChip) -> data.StructLayout:
    """Return the layout of a request: the burst's number, and whether it is written."""
    return data.StructLayout({"write": 1, "chunk": range(chip.chunks)})


class Sdram(wiring.Component):
    """Reads and writes bursts of eight words at places of eight words, and closes the row of each.

    All outputs come from registers, and `dq_i` goes into one. The chip's clock is the board's to
    give: of the same frequency, its edge where a command has come and its words are in time.

    Parameters
    ----------
    chip : SdramChip
    clock_hz : int
        Of the domain ``sync``.
    late : int
        0 where the chip's edge lies between two of ``sync`` and its words reach the second one; 1
        where they come a cycle later, as with one and the same clock.

    Members
    -------
    pins : Out(SDRAM_PINS)
    access : In(stream.Signature(access_layout(chip)))
        A burst to read or write; taken when those before it are over.
    w : In(16)
        The next word to write, from when its access is taken on.
    w_next : Out(1)
        Strobe: `w` goes, and another one comes.
    r : Out(16)
    r_next : Out(1)
        Strobe: `r` is the next word that was read. Nobody can make it wait.
    idle : Out(1)
        No access is on its way.
    """

    def __init__(self, chip: SdramChip, clock_hz: int, late: int = 0):
        check_int("late", late, 0, 1)
        self._chip, self._cycles = chip, SdramCycles.at(chip, clock_hz)
        self._late = late
        super().__init__(
            {
                "pins": Out(SDRAM_PINS),
                "access": In(stream.Signature(access_layout(chip))),
                "w": In(WORD_BITS),
                "w_next": Out(1),
                "r": Out(WORD_BITS),
                "r_next": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        pins, cycles, chunk = self.pins, self._cycles, self.access.payload.chunk
        burst_bits = (BURST - 1).bit_length()
        lines = 1 << self._chip.column_bits - burst_bits
        line_bits = lines.bit_length() - 1
        # Banks follow one another within rows of the same number.
        line, bank = chunk[:line_bits], chunk[line_bits : line_bits + BANK_BITS]
        row = chunk[line_bits + BANK_BITS :]
        column = Signal(self._chip.column_bits, reset_less=True)
        writes = Signal(reset_less=True)
        longest = max(cycles.power_up, cycles.read, cycles.write, cycles.rfc)
        wait, started = Signal(range(longest + 1), init=cycles.power_up), Signal(range(REFRESHES))
        # As many cycles before the last one that is allowed as an access may take.
        period = cycles.refi - cycles.access - 2
        since, due = Signal(range(period)), Signal()
        words, coming = Signal(BURST), Signal(cycles.cas + self._late + BURST - 1)

        def command(ras: int, cas: int, we: int, then: int) -> None:
            """Give a command, and no other one for some cycles."""
            m.d.sync += [pins.cs.eq(1), pins.ras.eq(ras), pins.cas.eq(cas), pins.we.eq(we)]
            m.d.sync += wait.eq(then - 1)

        m.d.sync += [pins.clk_en.eq(1), pins.cs.eq(0), since.eq(since + 1), self.r.eq(pins.dq_i)]
        with m.If(since == period - 1):
            m.d.sync += [since.eq(0), due.eq(1)]
        m.d.comb += self.w_next.eq(words[0])
        m.d.sync += [pins.dq_o.eq(self.w), pins.dq_oe.eq(words[0]), words.eq(words[1:])]
        m.d.sync += [coming.eq(coming[1:]), self.r_next.eq(coming[0])]
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.FSM() as fsm:
            with m.State("POWER"):
                m.d.sync += pins.dqm.eq(~0)
                with m.If(wait == 0):
                    command(1, 0, 1, cycles.rp)
                    m.d.sync += pins.a.eq(ALL_BANKS)
                    m.next = "START"
            with m.State("START"):
                with m.If(wait == 0):
                    command(1, 1, 0, cycles.rfc)
                    m.d.sync += started.eq(started + 1)
                    with m.If(started == REFRESHES - 1):
                        m.next = "MODE"
            with m.State("MODE"):
                with m.If(wait == 0):
                    command(1, 1, 1, cycles.mrd)
                    m.d.sync += [pins.ba.eq(0), pins.a.eq(cycles.cas << 4 | burst_bits)]
                    # The last refresh of the start is a while ago.
                    m.d.sync += [since.eq(0), due.eq(1), pins.dqm.eq(0)]
                    m.next = "IDLE"
            with m.State("IDLE"):
                with m.If(wait == 0):
                    m.d.comb += self.access.ready.eq(~due)
                    with m.If(due):
                        command(1, 1, 0, cycles.rfc)
                        m.d.sync += due.eq(0)
                    with m.Elif(self.access.valid):
                        command(1, 0, 0, cycles.rcd)
                        m.d.sync += [pins.ba.eq(bank), pins.a.eq(row)]
                        m.d.sync += writes.eq(self.access.payload.write)
                        m.d.sync += column.eq(Cat(Const(0, burst_bits), line))
                        m.next = "BURST"
            with m.State("BURST"):
                with m.If(wait == 0):
                    m.d.sync += pins.a.eq(ALL_BANKS | column)
                    with m.If(writes):
                        command(0, 1, 1, cycles.write)
                        # The first word goes with the command.
                        m.d.comb += self.w_next.eq(1)
                        m.d.sync += [pins.dq_oe.eq(1), words.eq((1 << BURST - 1) - 1)]
                    with m.Else():
                        command(0, 1, 0, cycles.read)
                        m.d.sync += coming[-BURST:].eq(~0)
                    m.next = "IDLE"
        m.d.comb += self.idle.eq(fsm.ongoing("IDLE") & ~coming.any() & ~self.r_next & ~words.any())
        return m
