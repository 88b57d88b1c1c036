"""Resistive devices as data: the parameters of one family of crosspoints and their presets.

Names, defaults and numbers are those of aihwkit 1.2.0 (docs/physics.md), in normalised weight
units (range about -1..1), so that a researcher's configuration carries over unchanged.
Standard library only: model, gateware and command line all read it.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from ohmgrid.checks import ConfigError, check_flag, check_float

__all__ = [
    "DEVICE_CLASSES",
    "PRESETS",
    "ConstantStep",
    "LinearStep",
    "SoftBounds",
    "StepDevice",
    "device_from_dict",
    "device_to_dict",
    "preset",
]


@dataclass(frozen=True)
class StepDevice:
    """What every pulsed device has: a step, its spreads and noise, and bounds.

    One pulse moves the weight by ``dw_min * (G +- r) * curve(w) * (1 + dw_min_std * xi)`` and clips
    it to the cell's own bounds; ``xi`` is a standard normal drawn at each pulse.
    """

    dw_min: float = 0.001
    """Mean step of a device at w = 0, in weight units (> 0)."""
    dw_min_dtod: float = 0.3
    """Device-to-device spread of the step, relative to ``dw_min``."""
    dw_min_std: float = 0.3
    """Cycle-to-cycle noise of a step, relative to ``dw_min`` (c2c)."""
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

    kind: ClassVar[str] = "StepDevice"

    def __post_init__(self) -> None:
        check_float("dw_min", self.dw_min, 1e-6, 1.0)
        for name in ("dw_min_dtod", "up_down_dtod", "w_max_dtod", "w_min_dtod"):
            check_float(name, getattr(self, name), 0.0, 1.0)
        check_float("dw_min_std", self.dw_min_std, 0.0, 7.9)
        check_float("up_down", self.up_down, -0.99, 0.99)
        check_float("w_max", self.w_max, 0.0, 8.0)
        check_float("w_min", self.w_min, -8.0, 0.0)
        if self.w_max - self.w_min <= 0:
            raise ConfigError(f"w_max - w_min: expected > 0, got {self.w_max} - {self.w_min}")

    @property
    def gammas(self) -> tuple[float, float, float, float]:
        """Slopes ``(gamma_up, gamma_up_dtod, gamma_down, gamma_down_dtod)`` of the step curve."""
        return (0.0, 0.0, 0.0, 0.0)

    @property
    def own_bounds(self) -> bool:
        """Whether a slope refers to the cell's own bound rather than to the mean bound."""
        return False

    @property
    def multiplicative(self) -> bool:
        """Whether cycle-to-cycle noise scales with the step curve."""
        return True


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
    mean_bound_reference: bool = True
    """Slopes refer to the mean bounds (true) or to the cell's own (false)."""
    mult_noise: bool = True
    """Cycle-to-cycle noise multiplies the whole step (true) or is added to it (false)."""

    kind: ClassVar[str] = "LinearStep"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("gamma_up", "gamma_down"):
            check_float(name, getattr(self, name), 0.0, 1.9)
        for name in ("gamma_up_dtod", "gamma_down_dtod"):
            check_float(name, getattr(self, name), 0.0, 0.5)
        check_flag("mean_bound_reference", self.mean_bound_reference)
        check_flag("mult_noise", self.mult_noise)

    @property
    def gammas(self) -> tuple[float, float, float, float]:
        return (self.gamma_up, self.gamma_up_dtod, self.gamma_down, self.gamma_down_dtod)

    @property
    def own_bounds(self) -> bool:
        return not self.mean_bound_reference

    @property
    def multiplicative(self) -> bool:
        return self.mult_noise


@dataclass(frozen=True)
class SoftBounds(StepDevice):
    """A step that vanishes at the cell's own bound: ``w += s (1 - w / b) (1 + c xi)``."""

    mult_noise: bool = True
    """Cycle-to-cycle noise multiplies the whole step (true) or is added to it (false)."""

    kind: ClassVar[str] = "SoftBounds"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("mult_noise", self.mult_noise)

    @property
    def gammas(self) -> tuple[float, float, float, float]:
        return (1.0, 0.0, 1.0, 0.0)

    @property
    def own_bounds(self) -> bool:
        return True

    @property
    def multiplicative(self) -> bool:
        return self.mult_noise


DEVICE_CLASSES: dict[str, type[StepDevice]] = {
    cls.kind: cls for cls in (ConstantStep, LinearStep, SoftBounds)
}

PRESETS: dict[str, StepDevice] = {
    "idealized": ConstantStep(dw_min=0.0002, up_down_dtod=0.0, w_max=1.0, w_min=-1.0),
    "gokmen-vlasov": ConstantStep(dw_min=0.0016, w_max=1.0, w_min=-1.0),
    "ecram": LinearStep(
        dw_min=0.002,
        dw_min_dtod=0.1,
        w_max=1.1724,
        w_max_dtod=0.05,
        w_min=-0.8276,
        w_min_dtod=0.05,
        gamma_up=0.1153,
        gamma_down=0.5085,
    ),
}
"""Device presets by the name the command line uses."""


def preset(name: str) -> StepDevice:
    """Return the preset ``name``; raise `ConfigError` naming the known ones."""
    if name not in PRESETS:
        raise ConfigError(f"device: expected one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def device_from_dict(data: dict[str, Any]) -> StepDevice:
    """Build a device from ``{"preset": NAME}`` or ``{"class": KIND, parameter: value, ...}``.

    With a preset, further keys replace single parameters of it.
    """
    data = dict(data)
    if "preset" in data:
        base = preset(data.pop("preset"))
        cls, values = type(base), asdict(base)
    else:
        kind = data.pop("class", None)
        if kind not in DEVICE_CLASSES:
            known = ", ".join(DEVICE_CLASSES)
            raise ConfigError(f"device class: expected one of {known}, got {kind!r}")
        cls, values = DEVICE_CLASSES[kind], {}
    known_names = [f.name for f in fields(cls)]
    for key, value in data.items():
        if key not in known_names:
            raise ConfigError(
                f"device: unknown parameter {key!r}; {cls.kind} takes {', '.join(known_names)}"
            )
        values[key] = value
    return cls(**values)


def device_to_dict(device: StepDevice) -> dict[str, Any]:
    """Return the device as ``{"class": KIND, parameter: value, ...}``."""
    return {"class": device.kind, **asdict(device)}
