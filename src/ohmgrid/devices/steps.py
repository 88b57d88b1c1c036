"""Resistive devices as data: classes of crosspoints with the parameters of the field.

Names, defaults and numbers are those of aihwkit 1.2.0 (docs/devices.md), in normalised weight
units (range about -1..1), so that a researcher's configuration carries over unchanged.
Standard library only: model, gateware and command line all read it.
"""

from dataclasses import dataclass
from typing import ClassVar

from ohmgrid.devices.base import StepDevice, check_floats
from ohmgrid.devices.laws import Law, Spread, interpolate
from ohmgrid.doors.checks import ConfigError, check_flag, check_float, check_int
from ohmgrid.portable import exp, expm1, power

__all__ = [
    "ConstantStep",
    "ExpStep",
    "LinearStep",
    "PiecewiseStep",
    "PowStep",
    "PowStepReference",
    "SoftBounds",
    "SoftBoundsPmax",
    "SoftBoundsReference",
]


@dataclass(frozen=True)
class ConstantStep(StepDevice):
    """The same step everywhere: ``w += s (1 + c xi)``."""

    kind: ClassVar[str] = "ConstantStep"


@dataclass(frozen=True)
class LinearStep(StepDevice):
    """A step that falls linearly with the weight.

    ``w += s (1 - gamma w / b) (1 + c xi)`` with `mult_noise`, else
    ``w += s (1 - gamma w / b + c xi)``, where b is the bound that the pulse drives towards.
    """

    gamma_up: float = 0.0
    """Slope of the up step: 1 means no step left at the upper bound."""
    gamma_down: float = 0.0
    """Slope of the down step."""
    gamma_up_dtod: float = 0.05
    """Device-to-device spread of ``gamma_up`` (absolute)."""
    gamma_down_dtod: float = 0.05
    """Device-to-device spread of ``gamma_down`` (absolute)."""
    allow_increasing: bool = False
    """Slopes of both signs (true) or their magnitudes (false)."""
    mean_bound_reference: bool = True
    """Slopes refer to the mean bounds (true) or to the cell's own (false)."""
    mult_noise: bool = True
    """Cycle-to-cycle noise multiplies the whole step (true) or is added to it (false)."""
    write_noise_std: float = 0.0
    """Spread of the visible around the hidden weight, in ``dw_min``; drawn anew by each pulse."""
    reverse_up: bool = False
    """The up step grows away from the lower bound (with `mult_noise` only)."""
    reverse_down: bool = False
    """The down step grows away from the upper bound (with `mult_noise` only)."""
    reverse_offset: float = 0.01
    """Added to the magnitude of a bound that `reverse_up` or `reverse_down` refers to."""

    kind: ClassVar[str] = "LinearStep"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_floats(self, -1.9, 1.9, "gamma_up", "gamma_down")
        check_floats(self, 0.0, 0.5, "gamma_up_dtod", "gamma_down_dtod")
        check_floats(self, 0.0, 1000.0, "write_noise_std")
        check_float("reverse_offset", self.reverse_offset, 1e-6, 1.0)
        flags = ("allow_increasing", "mean_bound_reference", "mult_noise")
        for name in (*flags, "reverse_up", "reverse_down"):
            check_flag(name, getattr(self, name))
        if (self.reverse_up or self.reverse_down) and not self.mult_noise:
            raise ConfigError(
                "reverse_up, reverse_down", "expected mult_noise with them, got false"
            )

    def law(self) -> Law:
        own, up, down = not self.mean_bound_reference, 1.0, 1.0
        # Slopes of a reversed step, in units of the bound ahead or, of a cell's own, behind.
        if self.reverse_up:
            bound = self.w_min - self.reverse_offset
            up = -self.w_min / bound if own else self.w_max / bound
        if self.reverse_down:
            bound = self.w_max + self.reverse_offset
            down = -self.w_max / bound if own else self.w_min / bound
        return Law(
            own_bounds=own,
            behind_up=own and self.reverse_up,
            behind_down=own and self.reverse_down,
            noise="multiplicative" if self.mult_noise else "additive",
            up=lambda p: -p * up,
            down=lambda p: -p * down,
            gamma_up=Spread(self.gamma_up, self.gamma_up_dtod),
            gamma_down=Spread(self.gamma_down, self.gamma_down_dtod),
            signed_gamma=self.allow_increasing,
        )


@dataclass(frozen=True)
class SoftBounds(StepDevice):
    """A step that vanishes at the cell's own bound: ``w += s (1 - w / b) (1 + c xi)``."""

    mult_noise: bool = True
    """Cycle-to-cycle noise multiplies the whole step (true) or is added to it (false)."""
    write_noise_std: float = 0.0
    """Spread of the visible around the hidden weight, in ``dw_min``; drawn anew by each pulse."""

    kind: ClassVar[str] = "SoftBounds"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("mult_noise", self.mult_noise)
        check_floats(self, 0.0, 1000.0, "write_noise_std")

    def law(self) -> Law:
        return Law(
            own_bounds=True,
            noise="multiplicative" if self.mult_noise else "additive",
            gamma_up=Spread(1.0),
            gamma_down=Spread(1.0),
        )


@dataclass(frozen=True)
class SoftBoundsPmax(SoftBounds):
    """Soft bounds by what a measurement gives: ``p_max`` pulses from one end to the other.

    ``dw_min, w_min, w_max, up_down`` follow from the parameters below (and replace what is given).
    """

    p_max: int = 1000
    """Pulses that drive a device from ``range_min`` to ``range_max``."""
    alpha: float = 0.0005
    """Relative step: ``dw_min = B alpha``."""
    range_min: float = -1.0
    """Weight before those pulses (< 0)."""
    range_max: float = 1.0
    """Weight after them (> 0)."""

    kind: ClassVar[str] = "SoftBoundsPmax"

    def __post_init__(self) -> None:
        check_int("p_max", self.p_max, 1, 10**7)
        check_float("alpha", self.alpha, 1e-7, 1.0)
        check_float("range_min", self.range_min, -8.0, -1e-3)
        check_float("range_max", self.range_max, 1e-3, 8.0)
        factor = (self.range_max - self.range_min) / -expm1(-self.p_max * self.alpha)
        derived = {
            "w_min": self.range_min,
            "w_max": self.range_min + factor,
            "dw_min": factor * self.alpha,
            "up_down": 1 + 2 * self.range_min / factor,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        super().__post_init__()


@dataclass(frozen=True)
class SoftBoundsReference(StepDevice):
    """Soft bounds of a device from whose weight a reference device's is subtracted.

    With ``v = w + ref``: ``v += s (1 - v / b + c xi)``, clipped to the bounds; ``w = v - ref``.
    """

    mult_noise: bool = False
    """Cycle-to-cycle noise multiplies the whole step (true) or is added to it (false)."""
    write_noise_std: float = 0.0
    """Spread of the visible around the hidden weight, in ``dw_min``; drawn anew by each pulse."""
    slope_up_dtod: float = 0.0
    """Device-to-device spread of the up slope: the upper bound is divided by ``|1 + dtod xi|``."""
    slope_down_dtod: float = 0.0
    """Device-to-device spread of the down slope, likewise for the lower bound."""
    reference_mean: float = 0.0
    """Mean weight of the reference device."""
    reference_std: float = 0.0
    """Device-to-device spread of it (absolute)."""
    subtract_symmetry_point: bool = False
    """The reference is moved by the device's symmetry point, where up and down steps are equal."""

    kind: ClassVar[str] = "SoftBoundsReference"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("mult_noise", self.mult_noise)
        check_flag("subtract_symmetry_point", self.subtract_symmetry_point)
        check_floats(self, 0.0, 1000.0, "write_noise_std")
        check_floats(self, 0.0, 1.0, "slope_up_dtod", "slope_down_dtod", "reference_std")
        check_floats(self, -1.0, 1.0, "reference_mean")

    @property
    def reference(self) -> tuple[float, float, bool]:
        return (self.reference_mean, self.reference_std, self.subtract_symmetry_point)

    def law(self) -> Law:
        return Law(
            own_bounds=True,
            noise="multiplicative" if self.mult_noise else "additive",
            gamma_up=Spread(1.0),
            gamma_down=Spread(1.0),
            divide_max=self.slope_up_dtod,
            divide_min=self.slope_down_dtod,
        )


@dataclass(frozen=True)
class ExpStep(StepDevice):
    """A step that changes exponentially with the weight.

    Up ``s max(1 - A_up exp(gamma_up z), 0)``, down ``s max(1 - A_down exp(-gamma_down z), 0)`` with
    ``z = 2 a w / (b_max - b_min) + b``. With `dw_min_std_add` or `dw_min_std_slope` the noise of a
    step dw is ``dw_min_std (|dw| + add + slope |w|)``.
    """

    A_up: float = 0.00081
    A_down: float = 0.36833
    gamma_up: float = 12.44625
    gamma_down: float = 12.78785
    a: float = 0.244
    b: float = 0.2425
    dw_min_std_add: float = 0.0
    """Part of the noise that no step scales, in ``dw_min_std`` weight units."""
    dw_min_std_slope: float = 0.0
    """Part of the noise that the weight's magnitude scales, in ``dw_min_std``."""
    write_noise_std: float = 0.0
    """Spread of the visible around the hidden weight, in ``dw_min``; drawn anew by each pulse."""

    kind: ClassVar[str] = "ExpStep"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_floats(self, -1000.0, 1000.0, "A_up", "A_down")
        check_floats(self, -50.0, 50.0, "gamma_up", "gamma_down")
        check_floats(self, -10.0, 10.0, "a", "b")
        check_floats(self, 0.0, 10.0, "dw_min_std_add", "dw_min_std_slope")
        check_floats(self, 0.0, 1000.0, "write_noise_std")

    def _up(self, position: float) -> float:
        z = 2 * self.a * position + self.b
        return max(1 - self.A_up * exp(min(self.gamma_up * z, 80.0)), 0.0)

    def _down(self, position: float) -> float:
        z = 2 * self.a * position + self.b
        return max(1 - self.A_down * exp(min(-self.gamma_down * z, 80.0)), 0.0)

    @property
    def granularity(self) -> float:
        # The down step alone, as the reference simulator codes it (docs/devices.md).
        step = self.dw_min * (1 - max(self.up_down, 0.0)) * self._down(0.0)
        return step if step > 0 else self.dw_min

    def law(self) -> Law:
        complex_noise = self.dw_min_std > 0 and bool(self.dw_min_std_add or self.dw_min_std_slope)
        return Law(
            position="range",
            own_bounds=True,
            noise="complex" if complex_noise else "multiplicative",
            offset=0.0,
            up=self._up,
            down=self._down,
            gamma_up=Spread(1.0),
            gamma_down=Spread(1.0),
            noise_add=self.dw_min_std_add,
            noise_slope=self.dw_min_std_slope,
        )


@dataclass(frozen=True)
class PowStep(StepDevice):
    """A step that falls as a power of the room that is left: ``s (room / range)^gamma``."""

    pow_gamma: float = 1.0
    """Mean exponent."""
    pow_gamma_dtod: float = 0.1
    """Device-to-device spread of the exponent, relative to it."""
    pow_up_down: float = 0.0
    """Asymmetry of up and down exponent, as `up_down` of the steps."""
    pow_up_down_dtod: float = 0.0
    """Device-to-device spread of that asymmetry."""
    write_noise_std: float = 0.0
    """Spread of the visible around the hidden weight, in ``dw_min``; drawn anew by each pulse."""

    kind: ClassVar[str] = "PowStep"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_float("pow_gamma", self.pow_gamma, 0.0, 3.5)
        check_floats(self, 0.0, 1.0, "pow_gamma_dtod", "pow_up_down_dtod")
        check_float("pow_up_down", self.pow_up_down, -0.99, 0.99)
        check_floats(self, 0.0, 1000.0, "write_noise_std")

    @property
    def granularity(self) -> float:
        return self.dw_min * power(0.5, self.pow_gamma)

    def law(self) -> Law:
        mean, balance = self.pow_gamma, self.pow_up_down
        spread = mean * self.pow_gamma_dtod
        return Law(
            position="room",
            own_bounds=True,
            power=True,
            gamma_up=Spread(mean * (1 + min(balance, 0.0)), spread),
            gamma_down=Spread(mean * (1 - max(balance, 0.0)), spread),
            gamma_common=True,
            gamma_balance=mean * self.pow_up_down_dtod,
        )


@dataclass(frozen=True)
class PowStepReference(PowStep):
    """`PowStep` of a device from whose weight a reference device's is subtracted."""

    reference_mean: float = 0.0
    """Mean weight of the reference device."""
    reference_std: float = 0.0
    """Device-to-device spread of it (absolute)."""
    subtract_symmetry_point: bool = False
    """The reference is moved by the device's symmetry point, where up and down steps are equal."""

    kind: ClassVar[str] = "PowStepReference"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("subtract_symmetry_point", self.subtract_symmetry_point)
        check_floats(self, 0.0, 1.0, "reference_std")
        check_floats(self, -1.0, 1.0, "reference_mean")
        if self.write_noise_std:
            raise ConfigError(
                "write_noise_std", f"{self.kind} has none, got {self.write_noise_std}"
            )

    @property
    def reference(self) -> tuple[float, float, bool]:
        return (self.reference_mean, self.reference_std, self.subtract_symmetry_point)


@dataclass(frozen=True)
class PiecewiseStep(StepDevice):
    """A measured step: straight lines between nodes at equal distances over the cell's range."""

    piecewise_up: tuple[float, ...] = (1.0,)
    """Up step at the nodes from lower to upper bound, in ``dw_min`` (one node: the same step)."""
    piecewise_down: tuple[float, ...] = (1.0,)
    """Down step at the same nodes."""
    write_noise_std: float = 0.0
    """Spread of the visible around the hidden weight, in ``dw_min``; drawn anew by each pulse."""

    kind: ClassVar[str] = "PiecewiseStep"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("piecewise_up", "piecewise_down"):
            nodes = getattr(self, name)
            if not isinstance(nodes, (list, tuple)) or not 1 <= len(nodes) <= 64:
                raise ConfigError(name, f"expected 1 to 64 numbers, got {nodes!r}")
            for node in nodes:
                check_float(name, node, -100.0, 100.0)
            object.__setattr__(self, name, tuple(float(node) for node in nodes))
        if len(self.piecewise_up) != len(self.piecewise_down):
            raise ConfigError(
                "piecewise_up, piecewise_down",
                "expected equal lengths, got "
                f"{len(self.piecewise_up)} and {len(self.piecewise_down)}",
            )
        check_floats(self, 0.0, 1000.0, "write_noise_std")

    @property
    def granularity(self) -> float:
        step = self.dw_min * self.piecewise_up[len(self.piecewise_up) // 2]
        return step if step > 0 else self.dw_min

    def law(self) -> Law:
        return Law(
            position="room",
            own_bounds=True,
            offset=0.0,
            up=lambda room: interpolate(self.piecewise_up, 1 - room),
            down=lambda room: interpolate(self.piecewise_down, room),
            gamma_up=Spread(1.0),
            gamma_down=Spread(1.0),
        )
