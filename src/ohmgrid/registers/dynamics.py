"""Registers and tables of systems in continuous time: every rounding of a real number.

A state is an integer of `STATE_BITS` bits, `STATE_FRAC` of them fraction; a neuron's output one of
`OUT_BITS`. Laws are in `ohmgrid.model.dynamics.laws`, equations in docs/dynamics.md. Standard
library only.
"""

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache

from ohmgrid.doors.checks import ConfigError
from ohmgrid.portable import expm1
from ohmgrid.registers.scales import normalised
from ohmgrid.systems import DelayNet, Drive, Fhn, Lif

__all__ = [
    "COEFFICIENT_FRAC",
    "CUBE_FRAC",
    "DELAY_FRAC",
    "EVENT_BITS",
    "MATRIX_BITS",
    "NODE_BITS",
    "OUT_BITS",
    "OUT_FRAC",
    "PART_BITS",
    "PRE_BITS",
    "PRE_FRAC",
    "RATE_BITS",
    "SPAN_BITS",
    "STATE_BITS",
    "STATE_FRAC",
    "THIRD",
    "THIRD_FRAC",
    "TIMER_FRAC",
    "DriveRegisters",
    "FhnRegisters",
    "LifRegisters",
    "NetRegisters",
    "drive_registers",
    "fhn_registers",
    "function_nodes",
    "lif_registers",
    "matrix_shift",
    "net_registers",
    "state_of",
]

STATE_BITS, STATE_FRAC = 32, 27
"""A state: +-16 in steps of 2**-27."""
OUT_BITS, OUT_FRAC = 18, 16
"""A neuron's output, and an entry of its function's table: +-2 in steps of 2**-16."""
MATRIX_BITS = 18
"""Width of an exact weight: one input of a multiplier block."""
RATE_BITS = 18
"""Width of the mantissas of gain, step and rates."""
PRE_BITS, PRE_FRAC = 20, 16
"""A scaled state, which looks up the table: +-8."""
NODE_BITS = 9
"""Upper bits of it: they choose one of 512 segments of the table."""
PART_BITS = PRE_BITS - NODE_BITS
"""Lower bits: the place within a segment."""
DELAY_FRAC = 8
"""Fraction bits of a delay in samples."""
SPAN_BITS = 31
"""Width to which states of single neurons saturate: +-8."""
CUBE_FRAC = 20
"""Fraction bits of v where it is squared and cubed: 24 bits with sign and +-8."""
THIRD_FRAC = 18
THIRD = round((1 << THIRD_FRAC) / 3)
"""A third."""
COEFFICIENT_FRAC = 16
"""Fraction bits of b."""
TIMER_FRAC = 16
"""Fraction bits of a refractory time in samples, and of the part of a sample after a spike."""
EVENT_BITS = 16
"""Random bits that decide whether an event comes in a sample."""
MOST_SHIFT = 30
"""Most fraction bits of an exact weight; weights below 16 have at least 13."""

# Far beyond any entry's last bit; libmpdec's exp is correctly rounded, hence equal everywhere.
_CONTEXT = Context(prec=40, rounding=ROUND_HALF_EVEN)


def state_of(value: float) -> int:
    """Return a real number as a state."""
    return round(math.ldexp(value, STATE_FRAC))


def _rate(name: str, value: float) -> tuple[int, int]:
    """Return mantissa (`RATE_BITS` bits) and right shift, >= 1, of a factor > 0."""
    mantissa, shift = normalised(value, RATE_BITS)
    if not 1 <= shift <= 40:
        raise ConfigError(name, f"expected a factor of 2**-23..2**17, got {value:g}")
    return mantissa, shift


@cache
def function_nodes(name: str) -> tuple[int, ...]:
    """Return a function at -8, -8 + 1/32, ..., 8: ``2**NODE_BITS + 1`` outputs."""
    size = 1 << NODE_BITS
    with localcontext(_CONTEXT):
        places = [Decimal(2 * k - size) / (size // 8) for k in range(size + 1)]
        if name == "tanh":
            values = [2 / (1 + (-2 * v).exp()) - 1 for v in places]
        else:
            values = [min(max(v, Decimal(-1)), Decimal(1)) for v in places]
        return tuple(int((v * (1 << OUT_FRAC)).to_integral_value()) for v in values)


@dataclass(frozen=True)
class NetRegisters:
    """A network with delay, all integers; run-time registers, but for the number of lines."""

    gain: int
    """Mantissa; ``u gain / 2**gain_shift`` looks up the table, `PRE_FRAC` fraction bits."""
    gain_shift: int
    old: int
    """Weight of the crossbar's result at the sample before: mantissa."""
    new: int
    """Weight of its result at this sample."""
    rate_shift: int
    """Right shift of the product with either."""
    nodes: tuple[int, ...]
    """Table of the function: ``2**NODE_BITS + 1`` outputs."""
    whole: tuple[int, ...]
    """Delay of each line: whole samples, >= 1,"""
    part: tuple[int, ...]
    """and 1/2**DELAY_FRAC of a sample."""

    @property
    def depth(self) -> int:
        """Samples that a ring buffer needs to hold, a power of two."""
        return 1 << (max(self.whole) + 1).bit_length()


def net_registers(net: DelayNet, lines: int) -> NetRegisters:
    """Round the parameters of a network with so many lines."""
    gain, gain_shift = _rate("gain", math.ldexp(net.gain, PRE_FRAC - STATE_FRAC))
    # What is held between two samples decays by 1 - exp(-h); of it, the part that a straight line
    # from 0 to 1 brings is 1 - (1 - exp(-h)) / h.
    total = -expm1(-net.step)
    mantissa, shift = _rate("step", total)
    new = round(math.ldexp(1.0 - total / net.step, shift))
    samples = [round(math.ldexp(delay / net.step, DELAY_FRAC)) for delay in net.line_delays(lines)]
    return NetRegisters(
        gain=gain,
        gain_shift=gain_shift,
        old=mantissa - new,
        new=new,
        rate_shift=shift,
        nodes=function_nodes(net.function),
        whole=tuple(one >> DELAY_FRAC for one in samples),
        part=tuple(one & ((1 << DELAY_FRAC) - 1) for one in samples),
    )


def matrix_shift(largest: float) -> int:
    """Return the fraction bits of exact weights whose largest magnitude is ``largest``."""
    if not largest < 16:
        raise ConfigError("matrix", f"expected weights below 16, got {largest:g}")
    return min(MATRIX_BITS - 1 - math.frexp(largest)[1], MOST_SHIFT)


@dataclass(frozen=True)
class DriveRegisters:
    """What goes into single neurons."""

    currents: tuple[int, ...]
    """One for all neurons, or one each: states."""
    kick: int
    """A state."""
    threshold: int
    """An event comes where `EVENT_BITS` random bits are below it."""


def drive_registers(drive: Drive, step: float) -> DriveRegisters:
    """Round a drive at a sampling time."""
    return DriveRegisters(
        currents=tuple(map(state_of, drive.currents)),
        kick=state_of(drive.kick),
        threshold=round(math.ldexp(drive.rate * step, EVENT_BITS)),
    )


@dataclass(frozen=True)
class FhnRegisters:
    """FitzHugh-Nagumo neurons, all integers."""

    step: int
    """Mantissa of the time between samples."""
    step_shift: int
    recovery: int
    """Mantissa of that time over tau."""
    recovery_shift: int
    a: int
    """A state."""
    b: int
    """`COEFFICIENT_FRAC` fraction bits."""
    threshold: int
    """A state."""


def fhn_registers(neuron: Fhn) -> FhnRegisters:
    """Round the parameters of FitzHugh-Nagumo neurons."""
    step, step_shift = _rate("step", neuron.step)
    recovery, recovery_shift = _rate("tau", neuron.step / neuron.tau)
    return FhnRegisters(
        step=step,
        step_shift=step_shift,
        recovery=recovery,
        recovery_shift=recovery_shift,
        a=state_of(neuron.a),
        b=round(math.ldexp(neuron.b, COEFFICIENT_FRAC)),
        threshold=state_of(neuron.threshold),
    )


@dataclass(frozen=True)
class LifRegisters:
    """Leaky integrate-and-fire neurons, all integers."""

    rate: int
    """Mantissa of ``1 - exp(-step / RC)``."""
    rate_shift: int
    threshold: int
    """A state."""
    reset: int
    """A state."""
    hold: int
    """Refractory time in samples, `TIMER_FRAC` fraction bits."""


def lif_registers(neuron: Lif) -> LifRegisters:
    """Round the parameters of leaky integrate-and-fire neurons."""
    rate, rate_shift = _rate("step", -expm1(-neuron.step / neuron.rc))
    return LifRegisters(
        rate=rate,
        rate_shift=rate_shift,
        threshold=state_of(neuron.threshold),
        reset=state_of(neuron.reset),
        hold=round(math.ldexp(neuron.refractory / neuron.step, TIMER_FRAC)),
    )
