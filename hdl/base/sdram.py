"""Bursts in and out of an SDRAM: start of the chip, refreshes, and one access after the other."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmgrid.doors.checks import check_int
from ohmgrid.registers.sdram import BURST, ULX3S_SDRAM, WORD_BITS, SdramChip, SdramCycles

__all__ = ["SDRAM_ACCESS", "SDRAM_PINS", "Sdram", "access_layout"]

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


SDRAM_ACCESS = wiring.Signature(
    {
        "access": Out(stream.Signature(access_layout(ULX3S_SDRAM))),
        "w": Out(WORD_BITS),
        "w_next": In(1),
        "r": In(WORD_BITS),
        "r_next": In(1),
        "idle": In(1),
    }
)
"""What whoever reads and writes has: `Sdram.user`."""


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
    user : In(SDRAM_ACCESS)
        ``access``: a burst to read or write; taken when those before it are over. ``w``: the next
        word to write, from when its access is taken on; with the strobe ``w_next`` it goes, and
        another one comes. With the strobe ``r_next``, ``r`` is the next word that was read: nobody
        can make it wait. ``idle``: no access is on its way.
    """

    def __init__(self, chip: SdramChip, clock_hz: int, late: int = 0):
        check_int("late", late, 0, 1)
        self._chip, self._cycles = chip, SdramCycles.at(chip, clock_hz)
        self._late = late
        super().__init__({"pins": Out(SDRAM_PINS), "user": In(SDRAM_ACCESS)})

    def elaborate(self, platform):
        m = Module()
        pins, user, cycles = self.pins, self.user, self._cycles
        chunk = user.access.payload.chunk
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

        m.d.sync += [pins.clk_en.eq(1), pins.cs.eq(0), since.eq(since + 1), user.r.eq(pins.dq_i)]
        with m.If(since == period - 1):
            m.d.sync += [since.eq(0), due.eq(1)]
        m.d.comb += user.w_next.eq(words[0])
        m.d.sync += [pins.dq_o.eq(user.w), pins.dq_oe.eq(words[0]), words.eq(words[1:])]
        m.d.sync += [coming.eq(coming[1:]), user.r_next.eq(coming[0])]
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
                    m.d.comb += user.access.ready.eq(~due)
                    with m.If(due):
                        command(1, 1, 0, cycles.rfc)
                        m.d.sync += due.eq(0)
                    with m.Elif(user.access.valid):
                        command(1, 0, 0, cycles.rcd)
                        m.d.sync += [pins.ba.eq(bank), pins.a.eq(row)]
                        m.d.sync += writes.eq(user.access.payload.write)
                        m.d.sync += column.eq(Cat(Const(0, burst_bits), line))
                        m.next = "BURST"
            with m.State("BURST"):
                with m.If(wait == 0):
                    m.d.sync += pins.a.eq(ALL_BANKS | column)
                    with m.If(writes):
                        command(0, 1, 1, cycles.write)
                        # The first word goes with the command.
                        m.d.comb += user.w_next.eq(1)
                        m.d.sync += [pins.dq_oe.eq(1), words.eq((1 << BURST - 1) - 1)]
                    with m.Else():
                        command(0, 1, 0, cycles.read)
                        m.d.sync += coming[-BURST:].eq(~0)
                    m.next = "IDLE"
        m.d.comb += user.idle.eq(fsm.ongoing("IDLE") & ~coming.any() & ~user.r_next & ~words.any())
        return m
