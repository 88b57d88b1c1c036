"""The rate of a serial line, made of a clock: how often a clock cycle has a sample or a bit."""

from fractions import Fraction

from ohmgrid.doors.checks import ConfigError, shown

__all__ = ["MOST_ERROR", "bits_per_cycle", "samples_per_bit", "samples_per_cycle"]

MOST_ERROR = Fraction(3, 200)
"""A rate may be off by this much: half of what an 8N1 receiver bears is left to the other side."""

MOST_DENOMINATOR = 1 << 20
"""An accumulator counts to this at most. Of usual clocks and rates the fraction is exact."""

FINE, COARSE = 16, 8


def samples_per_bit(clock_hz: float | Fraction, baud: float | Fraction) -> int:
    """Return how many times a receiver may look at a bit: 16, or 8 if the clock is slow."""
    per_bit = _positive("clock_hz", clock_hz) / _positive("baud", baud)
    return FINE if per_bit >= FINE else COARSE


def samples_per_cycle(clock_hz: float | Fraction, baud: float | Fraction) -> Fraction:
    """Return the samples that a receiver takes in a clock cycle, at most 1.

    Raises
    ------
    ConfigError
        If the rate is missed by more than `MOST_ERROR`: with fewer than 8 clock cycles a bit, or
        of rates below some bits a second. Or if one of the two is not a positive number.
    """
    return _per_cycle(clock_hz, baud, samples_per_bit(clock_hz, baud))


def bits_per_cycle(clock_hz: float | Fraction, baud: float | Fraction) -> Fraction:
    """Return the bits that a transmitter sends in a clock cycle; raises as `samples_per_cycle`."""
    samples_per_cycle(clock_hz, baud)
    return _per_cycle(clock_hz, baud, 1)


def _per_cycle(clock_hz: float | Fraction, baud: float | Fraction, events: int) -> Fraction:
    """Return the nearest fraction, of at most 1, to this many events a bit."""
    clock, rate = _positive("clock_hz", clock_hz), _positive("baud", baud)
    wanted = rate * events / clock
    nearest = min(wanted, Fraction(1)).limit_denominator(MOST_DENOMINATOR)
    error = abs(nearest / wanted - 1)
    if error > MOST_ERROR:
        raise ConfigError(
            "baud",
            f"expected a rate that a clock of {shown(clock_hz)} Hz meets within "
            f"{float(MOST_ERROR):.1%} (at most an eighth of it), got {shown(baud)}, "
            f"missed by {float(error):.1%}",
        )
    return nearest


def _positive(name: str, value: float | Fraction) -> Fraction:
    try:
        exact = Fraction(value)
    except (TypeError, ValueError, OverflowError):
        exact = Fraction(0)
    if exact <= 0:
        raise ConfigError(name, f"expected a positive number, got {shown(value)}")
    return exact
