"""Quotients against fractions."""

from fractions import Fraction

import numpy as np
import pytest

from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.base.quotient import Quotient
from ohmgrid.model.base.arith import divide_round
from ohmgrid.sim.tables import run_pipeline


def expected(numerator: int, denominator: int, bits: int) -> int:
    """Return the quotient: rounded, ties to even, at most so many bits."""
    top = (1 << bits) - 1
    return min(round(Fraction(numerator, denominator)), top) if denominator else top


@pytest.mark.parametrize("trial", range(12))
def test_quotient_is_rounded_to_nearest(trial, rng):
    bits = int(rng.integers(1, 18))
    wide, narrow = int(rng.integers(bits, 40)), int(rng.integers(1, 26))
    numerators = [int(rng.integers(1 << wide)) >> int(rng.integers(wide)) for _ in range(300)]
    denominators = [int(rng.integers(1 << narrow)) >> int(rng.integers(narrow)) for _ in range(300)]
    # Ties, and both ends.
    for _ in range(100):
        half = int(rng.integers(1, max(2, 1 << (narrow - 1))))
        tie = (2 * int(rng.integers(1 << bits)) + 1) * half
        if tie < 1 << wide and 2 * half < 1 << narrow:
            numerators.append(tie)
            denominators.append(2 * half)
    numerators += [0, (1 << wide) - 1, 1]
    denominators += [0, (1 << narrow) - 1, 0]
    found = run_pipeline(
        Quotient(wide, narrow, bits),
        {"numerator": numerators, "denominator": denominators},
        ["quotient"],
        {},
    )
    pairs = zip(numerators, denominators, strict=True)
    assert found["quotient"] == [expected(*pair, bits) for pair in pairs]
    # The model's own division, of what it is made for.
    n, d = np.array(numerators), np.array(denominators)
    top = (1 << bits) - 1
    nearest = np.minimum(divide_round(n, np.maximum(d, 1)), top)
    assert found["quotient"] == np.where(d == 0, top, nearest).tolist()


def test_bad_widths_say_what_was_expected():
    with pytest.raises(ConfigError, match=r"quotient_bits: expected 1..8, got 9"):
        Quotient(8, 8, 9)
