"""Phase-change devices as data: how a conductance is programmed, drifts and is read.

Conductances are in microsiemens, times in seconds; u is a conductance divided by the largest one.
docs/retention.md has the equations and where the numbers come from.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ohmgrid import portable
from ohmgrid.doors.checks import check_float, make_plain
from ohmgrid.studies.array_functions import exp, log

__all__ = ["MODELS", "Curve", "NoiseModel", "PowerLaw", "Programmed", "to_pairs"]

LEAST_U = 1e-7
"""Where logarithms begin: a device that is off has none."""
MOST_G, MOST_T = 1e6, 1e9


def _polynomial(coefficients: tuple[float, ...], u: np.ndarray) -> np.ndarray:
    """Return ``sum_k coefficients[k] u^k``."""
    total = np.zeros_like(u)
    for coefficient in reversed(coefficients):
        total = total * u + coefficient
    return total


@dataclass(frozen=True)
class Curve:
    """``clip(slope ln u + offset, low, high)`` below `until`, from there on a polynomial of u."""

    slope: float
    offset: float
    low: float
    high: float
    until: float = math.inf
    beyond: tuple[float, ...] = ()
    """Coefficients of that polynomial, the constant first."""

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("slope", "offset", "low"):
            check_float(name, getattr(self, name), -10.0, 10.0)
        check_float("high", self.high, self.low, 10.0)

    def at(self, u: np.ndarray) -> np.ndarray:
        """Return the value at each u (float64, any shape)."""
        near = self.slope * log(np.maximum(u, LEAST_U)) + self.offset
        near = np.clip(near, self.low, self.high)
        if not self.beyond:
            return near
        return np.where(u < self.until, near, _polynomial(self.beyond, u))


@dataclass(frozen=True)
class PowerLaw:
    """``min(factor / max(u^exponent, least), most)``."""

    factor: float
    exponent: float
    least: float
    most: float

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("factor", "exponent", "most"):
            check_float(name, getattr(self, name), 0.0, 10.0)
        check_float("least", self.least, 1e-9, 1.0)

    def at(self, u: np.ndarray) -> np.ndarray:
        """Return the value at each u (float64, any shape)."""
        powers = exp(self.exponent * log(np.maximum(u, LEAST_U)))
        return np.minimum(self.factor / np.maximum(powers, self.least), self.most)


def _constant(value: float) -> Curve:
    return Curve(0.0, value, value, value)


class Programmed(NamedTuple):
    """Devices after programming; each field float64, of one shape."""

    conductance: np.ndarray
    """At `NoiseModel.t_0`, uS."""
    exponent: np.ndarray
    """Of the drift."""
    spread: np.ndarray
    """Of the 1/f noise, relative."""


@dataclass(frozen=True)
class NoiseModel:
    """What programming, time and reading do to a device that is to hold a conductance.

    With g_T what is asked for, and a standard normal xi of its own each time::

        g_P = max(g_T + S (g_max / g_fit) P(u_T) xi, 0)         P: `programming`, S: `program_scale`
        nu  = drift_scale |mean(u_T) + std(u_T) xi|
        g_D = g_P (t / t_0)^-nu                                 t = seconds after programming + t_0
        g   = max(g_D (1 + read_scale Q(u_P) sqrt(ln((t + t_read) / (2 t_read))) xi), 0)
    """

    g_max: float
    """Conductance of the largest weight of a layer, uS."""
    t_0: float
    """When devices are first read, and drift begins to count."""
    t_read: float
    """Duration of a reading."""
    programming: tuple[float, ...]
    """Coefficients of the standard deviation over u, the constant first: uS at `g_fit`."""
    g_fit: float
    """Largest conductance of the devices that were measured, uS."""
    drift_mean: Curve
    drift_std: Curve
    read: Curve | PowerLaw
    """Q, relative; if `absolute` in uS at the largest conductance."""
    absolute: bool = False
    """Programming and read noise stay as many microsiemens whatever `g_max` is."""
    program_scale: float = 1.0
    drift_scale: float = 1.0
    read_scale: float = 1.0

    def __post_init__(self) -> None:
        make_plain(self)
        check_float("g-max", self.g_max, 1e-6, MOST_G)
        check_float("g_fit", self.g_fit, 1e-6, MOST_G)
        check_float("t_0", self.t_0, 1e-3, MOST_T)
        check_float("t_read", self.t_read, 1e-12, self.t_0)
        for name in ("program_scale", "drift_scale", "read_scale"):
            check_float(name, getattr(self, name), 0.0, 100.0)

    def program_std(self, targets: np.ndarray) -> np.ndarray:
        """Return the standard deviation, uS, with which targets (uS, any shape) are met."""
        factor = 1.0 if self.absolute else self.g_max / self.g_fit
        return self.program_scale * factor * _polynomial(self.programming, targets / self.g_max)

    def program(self, targets: np.ndarray, noise: np.ndarray, drift: np.ndarray) -> Programmed:
        """Programme devices.

        Parameters
        ----------
        targets : float64, any shape
            Conductances, uS.
        noise, drift : float64, the same shape
            Standard normals, for what is programmed and for how it drifts.
        """
        u = targets / self.g_max
        reached = np.maximum(targets + self.program_std(targets) * noise, 0.0)
        exponent = np.abs(self.drift_mean.at(u) + self.drift_std.at(u) * drift)
        spread = self.read.at(reached / self.g_max)
        if self.absolute:
            spread = spread / self.g_max
        return Programmed(reached, self.drift_scale * exponent, self.read_scale * spread)

    def drifted(self, programmed: Programmed, seconds: float) -> np.ndarray:
        """Return the conductances, uS, so many seconds after programming, as nobody reads them."""
        passed = portable.log((seconds + self.t_0) / self.t_0)
        return programmed.conductance * exp(-programmed.exponent * passed)

    def reading(self, programmed: Programmed, seconds: float, noise: np.ndarray) -> np.ndarray:
        """Return the conductances, uS, as they are read so many seconds after programming.

        Parameters
        ----------
        programmed : Programmed
        seconds : float
        noise : float64, of the same shape
            Standard normals.
        """
        since = seconds + self.t_0
        grown = math.sqrt(portable.log((since + self.t_read) / (2 * self.t_read)))
        relative = 1.0 + programmed.spread * grown * noise
        return np.maximum(self.drifted(programmed, seconds) * relative, 0.0)


def to_pairs(weights: np.ndarray, g_max: float) -> tuple[np.ndarray, float]:
    """Return a pair of conductances for each weight, of which one is 0, and uS for a weight of 1.

    Parameters
    ----------
    weights : float64, shape (rows, cols)
        The largest magnitude becomes ``g_max``.
    g_max : float
        uS.

    Returns
    -------
    float64, shape (2, rows, cols), uS: plus and minus devices; float
    """
    largest = float(np.abs(weights).max())
    scale = g_max / largest if largest else 1.0
    return np.stack([np.maximum(weights, 0.0), np.maximum(-weights, 0.0)]) * scale, scale


_HERMES_MEAN = Curve(-0.0387, -0.0182, 0.072, 0.13, 0.0945, (0.0736, -0.0126, -0.0436))

MODELS = {
    "pcm": NoiseModel(
        g_max=25.0,
        t_0=20.0,
        t_read=250e-9,
        programming=(0.26348, 1.9650, -1.1731),
        g_fit=25.0,
        drift_mean=Curve(-0.0155, 0.0244, 0.049, 0.1),
        drift_std=Curve(-0.0125, -0.0059, 0.008, 0.045),
        read=PowerLaw(0.0088, 0.65, 1e-3, 0.2),
    ),
    "hermes": NoiseModel(
        g_max=20.7,
        t_0=300.0,
        t_read=512e-9,
        programming=(0.16603222, 4.71806468, -8.48101252, 4.68961419),
        g_fit=20.7,
        drift_mean=_HERMES_MEAN,
        drift_std=Curve(-0.0117, -0.0057, 0.0091, 0.04, 0.3055, (0.0073, 0.0093, -0.0118)),
        read=Curve(-0.0117, -0.0069, 0.015, 0.04, 0.16, (0.0123, 0.0211, -0.0280, 0.0069)),
    ),
    "hermes-single": NoiseModel(
        g_max=10.35,
        t_0=200.0,
        t_read=512e-9,
        programming=(0.15781817, 2.32443916, -2.16310839, 0.68841818),
        g_fit=10.35,
        drift_mean=_HERMES_MEAN,
        drift_std=Curve(-0.0120, -0.0023, 0.0124, 0.04, 0.3039, (0.0104, 0.0116, -0.0165)),
        read=Curve(-0.0078, 0.0038, 0.0179, 0.04, 0.1591, (0.0088, 0.0768, -0.1352, 0.0664)),
    ),
    "state-independent": NoiseModel(
        g_max=25.0,
        t_0=20.0,
        t_read=250e-9,
        programming=(0.2,),
        g_fit=25.0,
        drift_mean=_constant(0.1),
        drift_std=_constant(0.05),
        read=_constant(1.0),
        absolute=True,
    ),
}
"""Noise models by the name that the command line uses."""
