"""Courses of conductance under pulses: what a file of measurements comes to."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ohmgrid.doors.checks import ConfigError

__all__ = ["FEWEST_PULSES", "Course", "Measurement", "StepCurve", "sweeps"]

FEWEST_PULSES = 8
"""Fewest values of a measurement; of each direction, a quarter of it."""
SHORTEST_SWEEP = 8
"""Pulses of one direction that make a sweep of their own."""


@dataclass(frozen=True)
class Course:
    """One device under a train of pulses; arrays of shape (values,)."""

    device: str
    values: np.ndarray
    """Conductance after each pulse (or what stands for it), float64."""
    up: np.ndarray
    """Whether the pulse that led to a value was an up pulse, bool."""
    begins: np.ndarray
    """Whether a value begins anew: no pulse led to it from the value before, bool."""


@dataclass(frozen=True)
class Measurement:
    """Courses of one kind of device, as read."""

    courses: tuple[Course, ...]
    unit: str
    """Unit of the values: ``S``, ``A``, ``V``, ``counts`` or empty."""
    read: str = ""
    """What was read, in one line."""
    warnings: tuple[str, ...] = ()
    """What a user should know of it, one line each."""

    def check(self) -> None:
        """Raise `ConfigError` unless pulses of both directions move the devices."""
        count = sum(len(course.values) for course in self.courses)
        if count < FEWEST_PULSES:
            raise ConfigError("pulse", f"expected at least {FEWEST_PULSES} values, got {count}")
        led = [course.up[~course.begins] for course in self.courses]
        for name, pulses in (
            ("up", sum(int(up.sum()) for up in led)),
            ("down", sum(int((~up).sum()) for up in led)),
        ):
            if pulses < FEWEST_PULSES // 4:
                raise ConfigError(
                    "direction",
                    f"expected several up and several down pulses, got {pulses} {name}",
                )
        largest = max(float(np.abs(course.values).max()) for course in self.courses)
        for course in self.courses:
            # What is lost in the rounding of the largest one, as all share a scale, is no change.
            if not np.ptp(course.values) > 1e-9 * largest:
                which = f"device {course.device!r} to" if course.device else "values that"
                raise ConfigError(
                    "measurement",
                    f"expected {which} change under pulses, by more than 1e-9 of the largest "
                    "value of all",
                )


@dataclass(frozen=True)
class StepCurve:
    """Steps of a device at equal distances over its range, in weight units."""

    up: tuple[float, ...]
    down: tuple[float, ...]
    read: str = ""


def sweeps(course: Course) -> list[slice]:
    """Return the parts of a course that are fitted each from a start of its own.

    Noise of pulses adds up over a course; a part that begins anew at each turn keeps it from
    drowning what the pulses do on average. Trains of few pulses of a direction stay together.
    """
    begins = set(np.flatnonzero(course.begins).tolist()) | {0}
    # A turn: the pulse that led to this value is the first of its direction.
    turns = (np.flatnonzero(np.diff(course.up)) + 1).tolist()
    edges = sorted({*begins, *turns, len(course.values)})
    lengths = {a: b - a for a, b in pairwise(edges)}
    cuts = sorted(begins)
    for turn in turns:
        before = max(edge for edge in edges if edge < turn)
        if lengths[turn] >= SHORTEST_SWEEP and lengths[before] >= SHORTEST_SWEEP:
            cuts.append(turn)
    cuts = sorted({*cuts, len(course.values)})
    # The value before a turn is where the sweep starts.
    return [slice(a if a in begins else a - 1, b) for a, b in pairwise(cuts)]
