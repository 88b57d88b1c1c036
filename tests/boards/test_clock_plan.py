"""Clock plans: limits of the PLLs, the nearest clock that is not above, and what cannot be."""

from fractions import Fraction

import pytest

from ohmgrid.boards.clock_plan import plan_clock
from ohmgrid.doors.checks import ConfigError

# Family -> limits of VCO and phase detector in MHz, written from the data sheets a second time.
SHEETS = {
    "ecp5": (400, 800, 3.125, 400),
    "gowin": (500, 1250, 3, 400),
    "xilinx": (600, 1200, 10, 450),
}


def check(plan, family):
    """Hold a plan against the data sheet, from its dividers alone."""
    vco_low, vco_high, phase_low, phase_high = SHEETS[family]
    inside, feedback, out = (plan.dividers[name] for name in ("input", "feedback", "output"))
    phase = Fraction(plan.input_hz, inside)
    vco = phase * feedback * (1 if family == "xilinx" else out)
    hz = vco / out
    assert hz == plan.hz
    assert phase_low * 10**6 <= phase <= phase_high * 10**6
    assert vco_low * 10**6 <= vco <= vco_high * 10**6


@pytest.mark.parametrize("family", SHEETS)
def test_random_clocks_are_within_the_data_sheet_or_refused(family, rng):
    made = 0
    for _ in range(60):
        own = int(rng.integers(12, 200)) * 1_000_000
        wanted = int(rng.integers(10, 240))
        try:
            plan = plan_clock(family, own, wanted)
        except ConfigError:
            continue
        made += 1
        assert Fraction(wanted * 10**6) * Fraction(98, 100) <= plan.hz <= wanted * 10**6
        if own == wanted * 10**6:
            assert not plan.dividers
        else:
            check(plan, family)
    assert made > 40


def test_known_clocks():
    plan = plan_clock("ecp5", 25_000_000, 80)
    assert (plan.hz, plan.dividers["input"], plan.dividers["feedback"]) == (80_000_000, 5, 16)
    assert plan_clock("gowin", 27_000_000, 54).dividers["output"] == 16
    assert plan_clock("xilinx", 200_000_000, 100).hz == 100_000_000
    assert plan_clock("ecp5", 25_000_000, 25).to_text() == (
        "25 MHz -> 25 MHz: the board's own clock"
    )


@pytest.mark.parametrize(("family", "mhz"), [("ecp5", 450), ("ecp5", 2), ("gowin", 700)])
def test_a_clock_that_no_pll_makes_is_refused_in_one_line(family, mhz):
    with pytest.raises(ConfigError, match=rf"clock: expected a clock .* got {mhz} MHz$"):
        plan_clock(family, 25_000_000, mhz)


def test_the_nearest_clocks_are_named():
    # The phase detector takes 3 MHz at least: 7 or 8 times that, and nothing between.
    with pytest.raises(ConfigError, match=r"as 21 or 24 MHz, got 23 MHz$"):
        plan_clock("gowin", 3_000_000, 23)
