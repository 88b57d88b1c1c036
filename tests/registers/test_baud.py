"""Rates of a serial line: exact where they can be, refused in one line where they cannot."""

from fractions import Fraction

import pytest

from ohmgrid.doors.checks import ConfigError
from ohmgrid.registers.baud import (
    MOST_ERROR,
    bits_per_cycle,
    samples_per_bit,
    samples_per_cycle,
)


@pytest.mark.parametrize(
    ("clock_hz", "baud", "samples", "rate"),
    [
        (80e6, 3e6, 16, Fraction(3, 5)),
        (100e6, 12e6, 8, Fraction(24, 25)),
        (96e6, 12e6, 8, Fraction(1)),
        (12e6, 115200, 16, Fraction(96, 625)),
        (25e6, 9600, 16, Fraction(96, 15625)),
        (16, Fraction(1), 16, Fraction(1)),
    ],
)
def test_usual_rates_are_exact(clock_hz, baud, samples, rate):
    assert samples_per_bit(clock_hz, baud) == samples
    assert samples_per_cycle(clock_hz, baud) == rate
    assert bits_per_cycle(clock_hz, baud) == rate / samples


def test_a_rate_is_met_within_its_bound_or_refused(rng):
    met = 0
    for clock, per_bit in zip(
        rng.uniform(1e6, 3e8, 300), 10 ** rng.uniform(0, 8, 300), strict=True
    ):
        baud = clock / per_bit
        exact = Fraction(baud) / Fraction(clock)
        try:
            found = samples_per_cycle(clock, baud) / samples_per_bit(clock, baud)
            sent = bits_per_cycle(clock, baud)
        except ConfigError:
            assert exact > Fraction(1, 8) or exact < Fraction(1, 10**5)
            continue
        met += 1
        assert exact <= Fraction(1, 8) * (1 + 2 * MOST_ERROR)
        assert abs(found / exact - 1) <= MOST_ERROR
        assert abs(sent / exact - 1) <= MOST_ERROR
    assert met > 50


@pytest.mark.parametrize(
    ("clock_hz", "baud", "line"),
    [
        (
            *(100_000_000, 13_000_000),
            r"baud: expected a rate that a clock of 100000000 Hz meets within 1\.5% \(at most an "
            r"eighth of it\), got 13000000, missed by 3\.8%",
        ),
        (100_000_000, 1, r"baud: expected a rate .*, got 1, missed by"),
        (100_000_000, 0, "baud: expected a positive number, got 0"),
        (-1, 9600, "clock_hz: expected a positive number, got -1"),
        (float("nan"), 9600, "clock_hz: expected a positive number, got nan"),
        (10**8, float("inf"), "baud: expected a positive number, got inf"),
        (10**8, "fast", "baud: expected a positive number, got 'fast'"),
        (10**8, None, "baud: expected a positive number, got None"),
    ],
)
def test_a_rate_that_cannot_be_gets_one_line(clock_hz, baud, line):
    with pytest.raises(ConfigError, match=f"^{line}"):
        bits_per_cycle(clock_hz, baud)
    with pytest.raises(ConfigError, match=f"^{line}"):
        samples_per_cycle(clock_hz, baud)
