"""Measurements of known devices, and the forms in which people store such."""

from typing import Any

import numpy as np

from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.steps import (
    ConstantStep,
    ExpStep,
    LinearStep,
    PiecewiseStep,
    PowStep,
    SoftBounds,
)
from ohmgrid.measurements.courses import Course, Measurement
from ohmgrid.measurements.replay import mean_steps

__all__ = ["EVEN", "course", "known_devices", "measured", "measurement", "true_step"]

EVEN: dict[str, Any] = {
    "dw_min_dtod": 0.0,
    "up_down_dtod": 0.0,
    "w_max_dtod": 0.0,
    "w_min_dtod": 0.0,
}
"""All devices are the mean one."""
OFFSET, SCALE = 5e-6, 3e-6
"""Siemens at w = 0 and of one weight unit."""


def known_devices() -> list[StepDevice]:
    """Return a device of each class that is fitted, with bounds -1 and 1."""
    ends: dict[str, Any] = {"w_max": 1.0, "w_min": -1.0}
    return [
        ConstantStep(**EVEN, **ends, dw_min=0.012, up_down=0.2),
        LinearStep(
            **EVEN, **ends, dw_min=0.02, gamma_up=0.7, gamma_down=0.4,
            gamma_up_dtod=0.0, gamma_down_dtod=0.0,
        ),
        SoftBounds(**EVEN, **ends, dw_min=0.03, up_down=-0.1),
        ExpStep(
            **EVEN, **ends, dw_min=0.025, A_up=0.1, A_down=0.2, gamma_up=5.0, gamma_down=4.0,
            a=0.5, b=0.0,
        ),
        PowStep(**EVEN, **ends, dw_min=0.05, pow_gamma=2.2, pow_gamma_dtod=0.0),
        PiecewiseStep(
            **EVEN, **ends, dw_min=0.02, piecewise_up=(1.6, 0.5, 1.0, 0.8, 0.3),
            piecewise_down=(0.4, 0.9, 0.7, 1.5, 1.2),
        ),
    ]  # fmt: skip


def course(
    device: StepDevice,
    rng: np.random.Generator,
    pulses: int,
    cycles: int,
    noise: float,
    read: float = 0.0,
    gain: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights after each pulse of up and down trains, and directions; the first is a start.

    Parameters
    ----------
    device : StepDevice
        Its mean device is pulsed, each step with ``noise`` relative to it.
    rng : Generator
    pulses : int
        Of each train.
    cycles : int
        Up and down trains.
    noise, read : float
        Of steps, relative to them; of values, weight units.
    gain : float
        Step over the mean device's.
    """
    grid = np.linspace(device.w_min, device.w_max, 2001)
    rise, fall = mean_steps(device, grid)
    up = np.r_[True, np.tile(np.arange(2 * pulses) < pulses, cycles)]
    weights = np.empty(len(up))
    weights[0] = 0.9 * device.w_min
    for k in range(1, len(up)):
        size = np.interp(weights[k - 1], grid, rise if up[k] else fall)
        size *= gain * (1 + noise * rng.standard_normal())
        moved = weights[k - 1] + (size if up[k] else -size)
        weights[k] = np.clip(moved, device.w_min, device.w_max)
    return weights + read * rng.standard_normal(len(up)), up


def measured(weights: np.ndarray, up: np.ndarray, name: str = "") -> Course:
    """Return a course in siemens."""
    return Course(name, OFFSET + SCALE * weights, up, np.arange(len(up)) == 0)


def measurement(*courses: Course) -> Measurement:
    """Return a measurement in siemens."""
    return Measurement(courses, "S")


def true_step(device: StepDevice, weights: np.ndarray) -> float:
    """Return the mean step in the middle of what was measured, over half of that range."""
    middle, half = (weights.max() + weights.min()) / 2, np.ptp(weights) / 2
    up, down = mean_steps(device, np.array([middle]))
    return float(up[0] + down[0]) / 2 / half
