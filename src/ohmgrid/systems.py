"""Systems in continuous time, as configured: networks with delay, single neurons; frozen, checked.

Equations are in docs/dynamics.md. Standard library only.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from ohmgrid.doors.checks import (
    ConfigError,
    check_choice,
    check_float,
    check_int,
    make_plain,
    shown,
)
from ohmgrid.portable import log

__all__ = ["FUNCTIONS", "MOST_DEPTH", "MOST_UNITS", "DelayNet", "Drive", "Fhn", "Lif", "Neuron"]

FUNCTIONS = ("tanh", "clip")
"""Functions of a network's neurons: odd, of slope 1 at 0; ``clip`` is straight up to +-1."""
MOST_UNITS = 1024
"""Most neurons of a system."""
MOST_DEPTH = 1 << 14
"""Most samples that a ring buffer of delayed outputs holds."""
MOST_STATE = 8.0
"""Bound of thresholds: neurons' states saturate there."""
MOST_CURRENT = 15.0


def _numbers(name: str, values: object, low: float, high: float) -> None:
    """Raise `ConfigError` unless ``values`` are numbers within bounds, at least one."""
    if not isinstance(values, tuple) or not 1 <= len(values) <= MOST_UNITS:
        raise ConfigError(name, f"expected 1..{MOST_UNITS} numbers, got {shown(values)}")
    for value in values:
        check_float(name, value, low, high)


@dataclass(frozen=True)
class DelayNet:
    """``du_i/dt = -u_i + sum_j J_ij f(gain u_j(t - delay_j))``; times in units of RC.

    Marcus and Westervelt, Phys. Rev. A 39, 347 (1989). The matrix J comes beside it.
    """

    gain: float = 2.0
    """Slope of a neuron at 0."""
    delays: tuple[float, ...] = (1.0,)
    """Of each line from its neuron to the crossbar, or one for all of them, RC."""
    step: float = 0.005
    """Time between samples, RC; a delay is at least as long."""
    function: str = "tanh"
    """One of `FUNCTIONS`."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_float("gain", self.gain, 0.001, 1000.0)
        check_float("step", self.step, 1e-4, 0.5)
        check_choice("function", self.function, FUNCTIONS)
        _numbers("delay", self.delays, self.step, self.step * (MOST_DEPTH - 2))

    def line_delays(self, lines: int) -> tuple[float, ...]:
        """Return the delay of each of ``lines`` lines, RC."""
        if len(self.delays) not in (1, lines):
            raise ConfigError(
                "delay",
                f"expected one delay or one for each of {lines} lines, got {len(self.delays)}",
            )
        return self.delays * lines if len(self.delays) == 1 else self.delays


@dataclass(frozen=True)
class Drive:
    """What goes into single neurons: a current of each, and events at random times."""

    currents: tuple[float, ...] = (0.0,)
    """One for all neurons, or one each."""
    rate: float = 0.0
    """Poisson events that a neuron gets in a unit of time, on average."""
    kick: float = 0.0
    """What an event adds to the neuron's (first) variable at once."""
    seed: int = 1
    """64-bit seed of the events."""

    def __post_init__(self) -> None:
        make_plain(self)
        _numbers("current", self.currents, -MOST_CURRENT, MOST_CURRENT)
        check_float("event-rate", self.rate, 0.0, 1e6)
        check_float("kick", self.kick, -MOST_STATE, MOST_STATE)
        check_int("seed", self.seed, 0, (1 << 64) - 1)


@dataclass(frozen=True)
class Fhn:
    """FitzHugh-Nagumo: ``v' = v - v^3/3 - w + I``, ``w' = (v + a - b w) / tau``."""

    VARIABLES: ClassVar[tuple[str, ...]] = ("v", "w")

    drive: Drive = field(default_factory=Drive)
    a: float = 0.7
    b: float = 0.8
    tau: float = 12.5
    threshold: float = 0.5
    """A spike is where v rises past it."""
    step: float = 1 / 32
    """Time between samples."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_float("a", self.a, -4.0, 4.0)
        check_float("b", self.b, 0.0, 1.9)
        check_float("tau", self.tau, 0.1, 1000.0)
        check_float("threshold", self.threshold, -MOST_STATE, MOST_STATE)
        check_float("step", self.step, 1e-3, 0.25)
        _check_events(self.drive, self.step)


@dataclass(frozen=True)
class Lif:
    """Leaky integrate-and-fire: ``RC V' = -V + R I``; at the threshold V is reset, and held."""

    VARIABLES: ClassVar[tuple[str, ...]] = ("V",)

    drive: Drive = field(default_factory=Drive)
    """Currents are ``R I``, in the unit of V."""
    rc: float = 1.0
    """Time constant, in the unit of time."""
    threshold: float = 1.0
    reset: float = 0.0
    """What V is set to at a spike."""
    refractory: float = 0.0
    """Time for which it is held there."""
    step: float = 0.01
    """Time between samples."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_float("rc", self.rc, 1e-6, 1e6)
        check_float("threshold", self.threshold, 1e-3, MOST_STATE)
        check_float("reset", self.reset, -MOST_STATE, self.threshold)
        if self.reset == self.threshold:
            raise ConfigError("reset", f"expected less than the threshold, got {self.reset:g}")
        check_float("step", self.step, 1e-4 * self.rc, 0.5 * self.rc)
        check_float("refractory", self.refractory, 0.0, self.step * (1 << 15))
        _check_events(self.drive, self.step)

    def rate(self, current: float) -> float:
        """Return spikes in a unit of time at a constant current: 0 where it never gets there."""
        if current <= self.threshold:
            return 0.0
        rise = log((current - self.reset) / (current - self.threshold))
        return 1.0 / (self.refractory + self.rc * rise)


Neuron = Fhn | Lif


def _check_events(drive: Drive, step: float) -> None:
    if drive.rate * step > 1:
        raise ConfigError(
            "event-rate",
            f"expected at most an event a sample, {1 / step:g}, got {drive.rate:g}",
        )
