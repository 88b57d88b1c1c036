"""Clock plans: the dividers of a PLL that make the gateware's clock of the board's.

Ranges are those of the data sheets, for the slowest grade that is built for: Lattice FPGA-TN-02200
(EHXPLLL), Gowin UG286 (rPLL of a GW2A), Xilinx UG472 and UG572 (MMCM, whole numbers only). A plan
is computed and checked before anything is elaborated.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from ohmgrid.doors.checks import ConfigError

__all__ = ["ClockPlan", "plan_clock"]

NEAR = Fraction(1, 50)
"""A clock may be below what was asked for by this much; above never: it may not be met."""


@dataclass(frozen=True)
class _Limits:
    """What a PLL can do; rates in MHz."""

    phase: tuple[int | Fraction, int]
    """At the phase detector."""
    vco: tuple[int, int]
    output: tuple[int | Fraction, int]
    inputs: int
    """Largest input divider."""
    feedback: tuple[int, int]
    """Range of the feedback divider."""
    outputs: tuple[int, ...]
    """Output dividers."""
    behind: bool
    """The feedback is taken behind the output divider: the VCO is the output times that."""


_LIMITS = {
    "ecp5": _Limits(
        phase=(Fraction(25, 8), 400),
        vco=(400, 800),
        output=(Fraction(25, 8), 400),
        inputs=128,
        feedback=(1, 80),
        outputs=tuple(range(1, 129)),
        behind=True,
    ),
    "gowin": _Limits(
        phase=(3, 400),
        vco=(500, 1250),
        output=(4, 600),
        inputs=64,
        feedback=(1, 64),
        outputs=(2, 4, 8, *range(16, 129, 16)),
        behind=True,
    ),
    "xilinx": _Limits(
        phase=(10, 450),
        vco=(600, 1200),
        output=(Fraction(469, 100), 630),
        inputs=80,
        feedback=(2, 64),
        outputs=tuple(range(1, 129)),
        behind=False,
    ),
}


@dataclass(frozen=True)
class ClockPlan:
    """How the clock is made."""

    family: str
    input_hz: int
    """The board's own clock."""
    hz: Fraction
    """The gateware's clock, exactly."""
    dividers: dict[str, int] = field(default_factory=dict)
    """``input``, ``feedback``, ``output``; nothing where the board's own clock is used."""

    @property
    def vco_hz(self) -> Fraction:
        """Rate of the PLL's oscillator."""
        inside = self.dividers["output"]
        return self.hz * inside

    def to_text(self) -> str:
        """Return the plan in one line."""
        clocks = f"{self.input_hz / 1e6:g} MHz -> {float(self.hz) / 1e6:g} MHz"
        if not self.dividers:
            return f"{clocks}: the board's own clock"
        parts = ", ".join(f"{name} {number}" for name, number in self.dividers.items())
        return f"{clocks}: dividers {parts}; VCO {float(self.vco_hz) / 1e6:g} MHz"


def plan_clock(family: str, input_hz: int, wanted_mhz: float) -> ClockPlan:
    """Return the plan whose clock is nearest to what is wanted, and not above it.

    Of equal ones that with the highest rate at the phase detector, and then with a VCO in the
    middle of its range: the least jitter.

    Parameters
    ----------
    family : str
        Of `ohmgrid.boards.board_file.FAMILIES`.
    input_hz : int
        The board's clock.
    wanted_mhz : float

    Raises
    ------
    ConfigError
        No dividers make it within 2 %; the nearest clocks are named.
    """
    wanted = Fraction(str(wanted_mhz)) * 1_000_000
    if wanted == input_hz:
        return ClockPlan(family, input_hz, wanted)
    limits = _LIMITS[family]
    middle = Fraction(sum(limits.vco) * 1_000_000, 2)
    best: tuple[tuple, ClockPlan] | None = None
    above: Fraction | None = None
    for plan in _plans(family, input_hz, wanted):
        if plan.hz > wanted:
            above = plan.hz if above is None else min(above, plan.hz)
            continue
        order = (wanted - plan.hz, plan.dividers["input"], abs(plan.vco_hz - middle))
        if best is None or order < best[0]:
            best = order, plan
    if best is None or best[1].hz < wanted * (1 - NEAR):
        near = [best[1].hz if best else None, above]
        names = " or ".join(f"{float(hz) / 1e6:.6g}" for hz in near if hz is not None)
        raise ConfigError(
            "clock",
            f"expected a clock that the PLL makes of {input_hz / 1e6:g} MHz"
            f"{f', as {names} MHz' if names else ''}, got {wanted_mhz:g} MHz",
        )
    return best[1]


def _plans(family: str, input_hz: int, wanted: Fraction) -> Iterator[ClockPlan]:
    """Return the plans with a clock near the one that is wanted, all their limits kept."""
    limits = _LIMITS[family]
    for divider in range(1, limits.inputs + 1):
        phase = Fraction(input_hz, divider)
        if not _within(phase, limits.phase):
            continue
        for output in limits.outputs:
            step = phase if limits.behind else phase / output
            exact = wanted / step
            for feedback in {int(exact), int(exact) + 1}:
                hz = step * feedback
                if (
                    limits.feedback[0] <= feedback <= limits.feedback[1]
                    and _within(hz, limits.output)
                    and _within(hz * output, limits.vco)
                ):
                    dividers = {"input": divider, "feedback": feedback, "output": output}
                    yield ClockPlan(family, input_hz, hz, dividers)


def _within(hz: Fraction, limits: tuple[int | Fraction, int]) -> bool:
    low, high = limits
    return low * 1_000_000 <= hz <= high * 1_000_000
