"""From a device to the integers that every engine loads: tables and registers.

All rounding of real parameters happens here, once, before any bit of a run is computed.
Whatever differs between devices is a table over the ten random bits of a draw, so that any
distribution costs the same; the step curve is a table over the position of the weight.
Standard library only. ``model/device/step.py`` has the arithmetic that reads them.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.devices.laws import DRAWS, Law, Spread
from ohmgrid.doors.checks import ConfigError
from ohmgrid.periphery import SLOTS
from ohmgrid.portable import ceil_log2, exp, floor_log2, normal_density, normal_quantile
from ohmgrid.registers.curves import (
    POSITIONS,
    WORST_FIT,
    bend,
    extent,
    fit_error,
    largest_node,
    sides,
    table_nodes,
)
from ohmgrid.registers.noise import GAUSS_SIGMA

__all__ = [
    "DEVIATES",
    "DeviceRegisters",
    "device_registers",
    "full_scale",
]

COUNT_BITS = SLOTS.bit_length()
"""Width of a number of pulses of one visit."""
REL_FRAC = 10
"""Fraction bits of relative quantities in the device: 1024 means 1.0."""
REL_BITS = 15
"""Width of a relative step (unsigned): below 32."""
STEP_BITS = REL_BITS + 1
"""Width of a relative step as drawn (signed)."""
GAMMA_BITS = 13
"""Width of a slope or exponent (signed): below 4."""
C2C_FRAC = 9
"""Fraction bits of the cycle-to-cycle noise table."""
C2C_BITS = 12
"""Width of its entries (unsigned)."""
STEP_FRAC = 12
"""Fraction bits, below one weight LSB, to which a step is computed before it is rounded."""
DW_BITS = 17
"""Width of the step register (unsigned)."""
CURVE_BITS = 18
"""Width of a step curve and of a local step (signed)."""
NODE_BITS = CURVE_BITS - 1
"""Width of a node of a curve's table (signed), so that a difference of two has `CURVE_BITS`."""
TOTAL_BITS = 22
"""Width of all pulses together (signed)."""
ADDITIVE_SHIFT = 3
"""Additive noise scales with the relative step so many bits up: as wide as a weight."""
SLOPE_FRAC = 16
"""Right shift of the noise that the weight's magnitude scales."""
VISIBLE_FRAC = 2
"""Right shift of the write noise."""
VISIBLE_BITS = 12
"""Width of the write noise register (unsigned)."""
DITHER_BITS = 4
"""With write noise, a clipped weight is random in so many low bits: each pulse draws anew."""
DRAW_BITS, DRAW_START = DRAWS.bit_length() - 1, 26
"""Bits of a dynamic noise word, and the first of them, that choose one of a room's steps."""
ROOM_DITHER_BITS = 6
"""Its lowest bits, which choose between the rooms beside a place: nobody else takes them, as there
is no other noise."""
SERIAL_C2C = 0.33
"""Above this cycle-to-cycle noise, pulses are applied slot by slot: clipping at each matters."""
SERIAL_BEND = 0.1
"""So are they where 31 pulses change the step by more than this part of it."""

LEAST_FRAC = 4
"""Fewest fraction bits of a step curve that still hold its shape."""

NOISES = ("multiplicative", "additive", "complex")


def _deviates(count: int) -> tuple[float, ...]:
    """Return ``count`` (even) equally likely values of a standard normal: the means of as many
    equal parts of it, stretched to a variance of 1.
    """
    upper = [normal_density(normal_quantile(k / count)) for k in range(count // 2, count)]
    densities = [0.0, *upper[:0:-1], *upper, 0.0]
    means = [count * (left - right) for left, right in pairwise(densities)]
    sigma = math.sqrt(math.fsum(z * z for z in means) / count)
    return tuple(z / sigma for z in means)


DEVIATES = _deviates(1024)
"""Standard normal deviate of each value of ten random bits."""


def full_scale(device: StepDevice) -> float:
    """Weight, in weight units, at which the register saturates: a power of two.

    The smallest that holds the bounds of all but one in a thousand devices (3.3 sigma).
    """
    mean, std, _ = device.reference
    reach = max(
        device.w_max * (1 + 3.3 * device.w_max_dtod) + max(-mean, 0.0) + 3.3 * std,
        -device.w_min * (1 + 3.3 * device.w_min_dtod) + max(mean, 0.0) + 3.3 * std,
    )
    return math.ldexp(1.0, ceil_log2(reach))


@dataclass(frozen=True)
class DeviceRegisters:
    """Integer parameters of a step device; every table of 1024 is indexed by ten random bits."""

    gain: tuple[int, ...]
    """Relative step as drawn, `REL_FRAC` fraction bits, 16 bits signed."""
    balance: tuple[int, ...]
    """What the up step has more and the down step less."""
    bias_up: int
    """Mean of the relative up step less 1.0 (<= 0)."""
    bias_down: int
    upper: tuple[int, ...]
    """Upper bound as drawn, weight LSB."""
    lower: tuple[int, ...]
    gamma_up: tuple[int, ...]
    """Slope or exponent of the up curve, `REL_FRAC` fraction bits, `GAMMA_BITS` bits."""
    gamma_down: tuple[int, ...]
    gamma_balance: tuple[int, ...]
    """What the up slope has more and the down slope less."""
    reference: tuple[int, ...]
    """Weight of the reference device as drawn, weight LSB."""
    symmetry_point: bool
    """The reference is moved by the symmetry point of its device."""
    gamma_common: bool
    """Both directions draw their slope with the same bits."""
    signed_gamma: bool
    """A slope keeps its sign."""
    b_max: int
    """Mean upper bound, weight LSB."""
    b_min: int
    own_bounds: bool
    """Positions refer to the cell's own bounds instead of `b_max` and `b_min`."""
    position: int
    """Index into `POSITIONS`."""
    behind_up: bool
    """Up pulses: position ``bound`` refers to the bound behind."""
    behind_down: bool
    power: bool
    """The curve is a power of the position; `curve_up` and `curve_down` are not used."""
    curve_up: tuple[int, ...]
    """Nodes of the up curve's table over all positions, ``curve_frac`` fraction bits."""
    curve_down: tuple[int, ...]
    steps: tuple[int, ...]
    """Steps to draw from instead of a place on a curve, as nodes of one; empty: none are drawn. All
    up steps come first, of each direction `DRAWS` for each of `ROOMS` rooms."""
    offset: int
    """Added to slope times table."""
    curve_frac: int
    """Fraction bits of curve, local step and total."""
    noise: int
    """Index into `NOISES`."""
    noise_add: int
    """Constant part of complex noise, ``curve_frac`` fraction bits."""
    noise_slope: int
    """Part of complex noise for one weight LSB, `SLOPE_FRAC` more."""
    c2c: tuple[int, ...]
    """Noise of n coincident pulses, n = 0..31: ``c sqrt(n)``, `C2C_FRAC` fraction bits."""
    dw: int
    """Step at w = 0 for one LSB of the total, in ``2**-(STEP_FRAC + dw_shift)`` weight LSB."""
    dw_shift: int
    """0, 4, 8 or 12."""
    visible: int
    """Write noise for one LSB of a deviate, `VISIBLE_FRAC` fraction bits; 0: none."""
    corrupt: int
    """Probability of a stuck device, 0..65536."""
    corrupt_range: int
    """Largest magnitude of a stuck weight, weight LSB."""
    perfect_bias: bool
    serial: bool
    """Pulses act slot by slot instead of all at once."""
    granularity: float
    """Weight granularity in weight units (not loaded; for the scaling of trains only)."""
    lsb: float
    """One weight LSB in weight units (not loaded)."""

    @property
    def flat(self) -> bool:
        """The step does not depend on the weight."""
        slopes = (*self.gamma_up, *self.gamma_down, *self.gamma_balance)
        return not (self.power or any(slopes))

    @property
    def references(self) -> bool:
        """Devices have reference devices."""
        return self.symmetry_point or any(self.reference)

    @property
    def constant(self) -> bool:
        """The step does not depend on the weight, and its noise scales with it."""
        return (
            self.flat
            and self.offset == 1 << self.curve_frac
            and NOISES[self.noise] == "multiplicative"
        )

    @property
    def segments(self) -> int:
        """Segments of the curve tables."""
        return len(self.curve_up) - 1


def _clip(value: float, bits: int) -> int:
    top = (1 << (bits - 1)) - 1
    return max(-top, min(top, round(value)))


def _ratio(sigma: float, divide: float) -> list[float]:
    """Return 1024 equally likely values of ``(1 + sigma xi) / |1 + divide xi'|``."""
    if divide == 0:
        return [1 + sigma * z for z in DEVIATES]
    smallest = 1e-6
    divisors = [max(abs(1 + divide * z), smallest) for z in DEVIATES]
    every = sorted((1 + sigma * z) / divisor for z in DEVIATES for divisor in divisors)
    return every[512::1024]


# With its tables a device takes 285 kB: a run has one or two, a test or a sweep any number.
@lru_cache(maxsize=32)
def device_registers(device: Device, weight_bits: int, segments: int) -> DeviceRegisters:
    """Round a device's parameters to the registers that every engine loads.

    Parameters
    ----------
    device : Device
        Of a pair, the device that both arrays are made of.
    weight_bits : int
        Width of the conductance register.
    segments : int
        Segments of the step curve's table, a power of two.

    Raises
    ------
    ConfigError
        If a step does not fit its register, or the curve not its table.
    """
    device = device.unit
    one = 1 << REL_FRAC
    law = device.law()
    lsb = full_scale(device) / (1 << (weight_bits - 1))
    error = fit_error(device, segments)
    if error > WORST_FIT:
        raise ConfigError(
            "curve_segments",
            f"expected enough segments for this step curve (error below "
            f"{WORST_FIT:.0%} of the largest step), got {segments} with {error:.1%}",
        )

    c2c = device.dw_min_std
    # Each pulse draws its own step.
    serial = bool(law.draws) or c2c > SERIAL_C2C or bend(device, law) > SERIAL_BEND
    gain = [
        exp(device.dw_min_dtod * z) if device.dw_min_dtod_log_normal else 1 + device.dw_min_dtod * z
        for z in DEVIATES
    ]
    least = -math.inf if device.enforce_consistency else 0.0
    gain = [max(least, value) for value in gain]
    balance = [device.up_down_dtod * z for z in DEVIATES]
    frac = _curve_frac(device, law, serial, max(gain) + max(balance))
    nodes = [table_nodes(law, f, segments) for f, _ in sides(law)]
    if not law.power:
        largest = extent(device, law) if law.draws else largest_node(device, law, segments)
        frac = min(frac, floor_log2((1 << (CURVE_BITS - 2)) / max(largest, 1.0)))
    if frac < LEAST_FRAC:
        raise ConfigError(
            "device",
            "expected steps and noise of at most a few thousand dw_min in one update, got "
            f"2**{LEAST_FRAC - frac} times as much (dw_min {device.dw_min:g})",
        )
    unit = 1 << frac

    def spread(gamma: Spread) -> tuple[int, ...]:
        return tuple(_clip(one * (gamma.mean + gamma.std * z), GAMMA_BITS) for z in DEVIATES)

    def bounds(mean: float, sigma: float, divide: float) -> tuple[int, ...]:
        ratios = (max(least, ratio) for ratio in _ratio(sigma, divide))
        return tuple(_clip(mean / lsb * ratio, weight_bits) for ratio in ratios)

    dw, dw_shift = _dw(device.dw_min / lsb, frac)
    return DeviceRegisters(
        gain=tuple(_clip(one * value, REL_BITS + 1) for value in gain),
        balance=tuple(_clip(one * value, REL_BITS + 1) for value in balance),
        bias_up=round(one * min(device.up_down, 0.0)),
        bias_down=round(-one * max(device.up_down, 0.0)),
        upper=bounds(device.w_max, device.w_max_dtod, law.divide_max),
        lower=bounds(device.w_min, device.w_min_dtod, law.divide_min),
        gamma_up=spread(law.gamma_up),
        gamma_down=spread(law.gamma_down),
        gamma_balance=tuple(_clip(one * law.gamma_balance * z, GAMMA_BITS) for z in DEVIATES),
        reference=tuple(
            _clip((device.reference[0] + device.reference[1] * z) / lsb, weight_bits)
            for z in DEVIATES
        ),
        symmetry_point=device.reference[2],
        gamma_common=law.gamma_common,
        signed_gamma=law.signed_gamma,
        b_max=_clip(device.w_max / lsb, weight_bits),
        b_min=_clip(device.w_min / lsb, weight_bits),
        own_bounds=law.own_bounds,
        position=POSITIONS.index(law.position),
        behind_up=law.behind_up,
        behind_down=law.behind_down,
        power=law.power,
        # One bit less, so that the difference of two nodes has CURVE_BITS.
        curve_up=tuple(_clip(value * unit, CURVE_BITS - 1) for value in nodes[0]),
        curve_down=tuple(_clip(value * unit, CURVE_BITS - 1) for value in nodes[1]),
        steps=tuple(
            _clip(step * unit, CURVE_BITS - 1)
            for table in law.draws
            for row in table
            for step in row
        ),
        offset=round(law.offset * unit),
        curve_frac=frac,
        noise=NOISES.index(law.noise),
        noise_add=_fits("dw_min_std_add", law.noise_add / device.dw_min * unit, CURVE_BITS - 1),
        noise_slope=_fits(
            "dw_min_std_slope",
            law.noise_slope / device.dw_min * lsb * unit * (1 << SLOPE_FRAC),
            CURVE_BITS - 1,
        ),
        c2c=tuple(
            min((1 << 12) - 1, round(c2c * math.sqrt(n) * (1 << C2C_FRAC)))
            for n in range(SLOTS + 1)
        ),
        dw=dw,
        dw_shift=dw_shift,
        visible=_fits(
            "write_noise_std",
            device.write_noise / lsb / GAUSS_SIGMA * (1 << VISIBLE_FRAC),
            VISIBLE_BITS,
        ),
        corrupt=round(device.corrupt_devices_prob * 65536),
        corrupt_range=_clip(device.corrupt_devices_range / lsb, weight_bits),
        perfect_bias=device.perfect_bias,
        serial=serial,
        granularity=device.granularity,
        lsb=lsb,
    )


def _fits(name: str, value: float, bits: int) -> int:
    if round(value) >= 1 << bits:
        raise ConfigError(
            name,
            f"expected at most {(1 << bits) / value:.3g} times the value given "
            f"for these bounds and this dw_min",
        )
    return round(value)


def _curve_frac(device: StepDevice, law: Law, serial: bool, gain: float) -> int:
    """Return the fraction bits with which local step, noise and total of all pulses fit."""
    step = gain * extent(device, law)
    noise = {
        "multiplicative": step,
        "additive": gain,
        "complex": step
        + law.noise_add / device.dw_min
        + law.noise_slope / device.dw_min * max(device.w_max, -device.w_min),
    }[law.noise]
    pulses = 1 if serial else SLOTS
    total = pulses * step + 3.7 * device.dw_min_std * math.sqrt(pulses) * noise
    local = floor_log2((1 << (CURVE_BITS - 1)) / max(step, noise, 1.0))
    return min(local, floor_log2((1 << (TOTAL_BITS - 1)) / max(total, 1.0)), 14)


def _dw(step: float, frac: int) -> tuple[int, int]:
    """Return ``dw`` and ``dw_shift`` for a step at w = 0 of so many LSB."""
    shift = 12
    while round(math.ldexp(step, STEP_FRAC - frac + shift)) >= 1 << DW_BITS:
        shift -= 4
        if shift < 0:
            most = math.ldexp(1.0, DW_BITS - STEP_FRAC + frac)
            raise ConfigError(
                "dw_min",
                f"expected at most {most / step:.2g} times the value given for these "
                "bounds and this step curve",
            )
    return round(math.ldexp(step, STEP_FRAC - frac + shift)), shift
