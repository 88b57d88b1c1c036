"""Times of an SDRAM: in nanoseconds as a data sheet has them, and in cycles of a board's clock.

The controller, the simulated chip and what is said of a board's speed share what is here. Standard
library only.
"""

from dataclasses import dataclass

from ohmgrid.doors.checks import ConfigError

__all__ = ["BURST", "CHUNK_BYTES", "ULX3S_SDRAM", "WORD_BITS", "SdramChip", "SdramCycles"]

WORD_BITS = 16
BURST = 8
"""Words of a burst: the only length that is used."""
CHUNK_BYTES = BURST * WORD_BITS // 8
"""What a burst brings."""


@dataclass(frozen=True)
class SdramChip:
    """An SDRAM of four banks and words of 16 bits; times in nanoseconds, named as in data sheets.

    The defaults are no chip's: each is at least as slow as the slowest that the ULX3S came with (of
    32 MiB: MT48LC16M16, IS42S16160G, W9825G6KH, AS4C16M16, in their 7 ns grades).
    """

    row_bits: int = 13
    column_bits: int = 9
    clock_ns: float = 7.5
    """Shortest period with `cas` cycles."""
    cas: int = 3
    """Cycles from READ to its first word."""
    power_up_ns: float = 200_000.0
    """Clock and power, before the first command."""
    rcd_ns: float = 21.0
    """ACTIVATE to READ or WRITE."""
    rp_ns: float = 21.0
    """Precharge to any command to the bank."""
    ras_ns: float = 45.0
    """ACTIVATE to precharge, at least."""
    rc_ns: float = 70.0
    """ACTIVATE to ACTIVATE of a bank."""
    rfc_ns: float = 70.0
    """REFRESH to any command."""
    wr_ns: float = 20.0
    """Last word written to precharge."""
    mrd_cycles: int = 2
    """Mode set to any command."""
    refi_ns: float = 7812.5
    """From one REFRESH to the next, at most: 8,192 rows in 64 ms."""

    @property
    def chunks(self) -> int:
        """Bursts that it holds."""
        return 4 << (self.row_bits + self.column_bits - BURST.bit_length() + 1)

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return self.chunks * CHUNK_BYTES


ULX3S_SDRAM = SdramChip()


@dataclass(frozen=True)
class SdramCycles:
    """Clock cycles of a chip at a board's clock, each rounded up (`refi`: down)."""

    cas: int
    power_up: int
    rcd: int
    rp: int
    rfc: int
    mrd: int
    refi: int
    """From one REFRESH to the next, at most."""
    read: int
    """From READ with auto-precharge to the next command."""
    write: int
    """From WRITE with auto-precharge to the next command."""

    @property
    def access(self) -> int:
        """From ACTIVATE to the next command, at most."""
        return self.rcd + max(self.read, self.write)

    @classmethod
    def at(cls, chip: SdramChip, clock_hz: int) -> "SdramCycles":
        """Return the cycles of a chip at a clock.

        Raises
        ------
        ConfigError
            The clock is too fast for the chip, or so slow that refreshing leaves no time.
        """
        fastest = int(1e9 / chip.clock_ns)
        if not 0 < clock_hz <= fastest:
            raise ConfigError(
                "clock", f"expected 1 to {fastest} Hz for the board's SDRAM, got {clock_hz}"
            )

        def cycles(ns: float) -> int:
            return max(1, -(-round(1000 * ns) * clock_hz // 10**12))

        rcd, rp, ras, rc = (cycles(ns) for ns in (chip.rcd_ns, chip.rp_ns, chip.ras_ns, chip.rc_ns))
        # A row stays open for `ras`, and its bank rests until `rc`, however short the burst.
        rest = max(ras + rp, rc) - rcd
        done = cls(
            cas=chip.cas,
            power_up=cycles(chip.power_up_ns),
            rcd=rcd,
            rp=rp,
            rfc=cycles(chip.rfc_ns),
            mrd=chip.mrd_cycles,
            refi=round(1000 * chip.refi_ns) * clock_hz // 10**12,
            # The last word has left the pins, too.
            read=max(BURST + max(rp, chip.cas), rest),
            write=max(BURST - 1 + cycles(chip.wr_ns) + rp, rest),
        )
        # An access that has begun ends before a refresh, and another one fits in between.
        needed = 2 * (done.access + 1) + done.rfc + 1
        if done.refi < needed:
            raise ConfigError(
                "clock",
                f"expected a refresh of the board's SDRAM every {chip.refi_ns:g} ns to leave time "
                f"for accesses ({needed} cycles), got {done.refi} cycles at {clock_hz} Hz",
            )
        return done
