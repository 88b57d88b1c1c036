"""What every device has in common: a step, its spreads and noise, bounds, and what time does.

Names, defaults and numbers are those of aihwkit 1.2.0 (docs/devices.md), in normalised weight
units (range about -1..1). Standard library only.
"""

from dataclasses import dataclass
from typing import ClassVar

from ohmgrid.devices.laws import Law
from ohmgrid.doors.checks import ConfigError, check_flag, check_float, check_int, make_plain

__all__ = ["MOST_SIGNIFICANCE", "Device", "StepDevice", "check_floats"]

MOST_SIGNIFICANCE = 16
"""How many times what lies beside a device counts at most."""


def check_floats(device: "StepDevice", low: float, high: float, *names: str) -> None:
    """Raise `ConfigError` unless the named parameters are numbers of low..high."""
    for name in names:
        check_float(name, getattr(device, name), low, high)


@dataclass(frozen=True)
class Device:
    """What stands at a crosspoint: one step device, or several that make a weight together."""

    kind: ClassVar[str] = "Device"

    @property
    def unit(self) -> "StepDevice":
        """The step device that the crosspoint is made of."""
        raise NotImplementedError

    @property
    def paired(self) -> bool:
        """Whether a weight is the difference of two devices."""
        return False

    @property
    def arrays(self) -> int:
        """Arrays that hold a layer's weights: more than one where something goes between them."""
        return 1

    @property
    def front(self) -> "Device":
        """Device of the array that forward and backward see, where one array is seen."""
        return self.unit if self.arrays > 1 else self

    @property
    def significance(self) -> int:
        """How many times passes add what lies beside the device that is pulsed; 0: nothing does."""
        return 0

    @property
    def bounds(self) -> tuple[float, float]:
        """Mean bounds of a weight, weight units."""
        unit = self.unit
        return (-unit.w_max, unit.w_max) if self.paired else (unit.w_min, unit.w_max)

    @property
    def remark(self) -> str:
        """What every result says of it: how near it is to an ideal one. Nothing of most."""
        return ""

    @property
    def devices(self) -> int:
        """Devices of a weight: 2 for a pair."""
        return 2 if self.paired else 1


@dataclass(frozen=True)
class StepDevice(Device):
    """What every pulsed device has: a step, its spreads and noise, bounds, and what time does.

    One pulse moves the weight by ``dw_min * (G +- r) * curve(w) * (1 + dw_min_std * xi)`` and clips
    it to the cell's own bounds; ``xi`` is a standard normal drawn at each pulse.
    """

    dw_min: float = 0.001
    """Mean step of a device at w = 0, in weight units (> 0)."""
    dw_min_dtod: float = 0.3
    """Device-to-device spread of the step, relative to ``dw_min``."""
    dw_min_dtod_log_normal: bool = False
    """The step of a device is ``exp(dtod xi)`` (true) or ``1 + dtod xi`` (false) times the mean."""
    dw_min_std: float = 0.3
    """Cycle-to-cycle noise of a step, relative to it (c2c)."""
    enforce_consistency: bool = True
    """Steps are positive and bounds enclose 0, whatever is drawn. Only true is modelled."""
    up_down: float = 0.0
    """Mean asymmetry: 0.2 lowers the down steps by 20 %, -0.2 the up steps."""
    up_down_dtod: float = 0.01
    """Device-to-device spread of that asymmetry."""
    w_max: float = 0.6
    """Mean upper bound of the weight (>= 0)."""
    w_max_dtod: float = 0.3
    """Device-to-device spread of the upper bound, relative to it."""
    w_min: float = -0.6
    """Mean lower bound of the weight (<= 0)."""
    w_min_dtod: float = 0.3
    """Device-to-device spread of the lower bound, relative to it."""
    corrupt_devices_prob: float = 0.0
    """Probability of a device that is stuck at a value and never moves."""
    corrupt_devices_range: float = 0.1
    """Stuck values are uniform within the device's bounds and within plus or minus this."""
    perfect_bias: bool = False
    """The last column has the mean step, no balance and no bounds below full scale."""
    lifetime: float = 0.0
    """Updates in which a weight leaks to 1/e of its distance from the reset bias; 0: no leak."""
    lifetime_dtod: float = 0.0
    """Device-to-device spread of the lifetime, relative to it."""
    diffusion: float = 0.0
    """Standard deviation of the random walk of a weight in one update, weight units."""
    diffusion_dtod: float = 0.0
    """Device-to-device spread of the diffusion, relative to it."""
    reset: float = 0.0
    """Mean of the weight after a reset, where leaks lead to."""
    reset_dtod: float = 0.0
    """Device-to-device spread of that mean (absolute)."""
    reset_std: float = 0.01
    """Noise of a reset."""
    time_every: int = 0
    """Updates between two applications of leak and diffusion, each for all the time that has
    passed; 0 chooses the longest that changes no weight by more than about a thousandth."""

    kind: ClassVar[str] = "StepDevice"

    def __post_init__(self) -> None:
        make_plain(self)
        check_float("dw_min", self.dw_min, 1e-6, 2.0)
        check_floats(
            self, 0.0, 1.0, "up_down_dtod", "w_max_dtod", "w_min_dtod", "corrupt_devices_prob"
        )
        check_floats(self, 0.0, 1.0, "dw_min_dtod")
        check_float("dw_min_std", self.dw_min_std, 0.0, 7.9)
        check_float("up_down", self.up_down, -0.99, 0.99)
        check_float("w_max", self.w_max, 0.0, 8.0)
        check_float("w_min", self.w_min, -8.0, 0.0)
        if self.w_max - self.w_min <= 0:
            raise ConfigError("w_max - w_min", f"expected > 0, got {self.w_max} - {self.w_min}")
        for name in ("dw_min_dtod_log_normal", "enforce_consistency", "perfect_bias"):
            check_flag(name, getattr(self, name))
        if not self.enforce_consistency:
            # Of larger spreads too many draws would be negative.
            check_floats(self, 0.0, 0.5, "dw_min_dtod", "w_max_dtod", "w_min_dtod")
        check_floats(
            self, 0.0, 8.0, "corrupt_devices_range", "diffusion", "reset_dtod", "reset_std"
        )
        check_floats(self, 0.0, 1.0, "lifetime_dtod", "diffusion_dtod")
        check_float("lifetime", self.lifetime, 0.0, 1e12)
        check_float("reset", self.reset, -8.0, 8.0)
        check_int("time_every", self.time_every, 0, 1 << 20)

    @property
    def unit(self) -> "StepDevice":
        return self

    @property
    def granularity(self) -> float:
        """Weight granularity, by which pulse trains are scaled (weight units)."""
        return self.dw_min

    @property
    def write_noise(self) -> float:
        """Standard deviation of visible around hidden weight, weight units."""
        return getattr(self, "write_noise_std", 0.0) * self.dw_min

    @property
    def reference(self) -> tuple[float, float, bool]:
        """Mean and spread of the reference device, and whether it is at the symmetry point."""
        return (0.0, 0.0, False)

    def law(self) -> Law:
        """Return the step curve."""
        return Law()
