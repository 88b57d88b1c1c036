"""One class of devices fitted to a train: by whole courses, then by the noise that they have."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ohmgrid.doors.checks import ConfigError
from ohmgrid.measurements.candidates import Candidate, Curve
from ohmgrid.measurements.replay import StepTable, Train, replay
from ohmgrid.measurements.solving import (
    Expected,
    Explained,
    Solved,
    of_courses,
    of_steps,
    solve,
)

__all__ = [
    "Data",
    "Tried",
    "by_courses",
    "by_steps",
    "first_curve",
    "held_out",
    "make_data",
]

FOLDS = 5
STRETCHES, SHORTEST = 16, 6
"""Stretches of a sweep, every fifth of which is held out, and the fewest values of one."""
ROUGH, NEAR, LAST = 10, 25, 80
"""Most rounds of a search: one of several, one that starts near its end, one from a guess."""
BETTER = 1e-3
"""Gain of the logarithm of the likelihood that makes one minimum better than an earlier one."""


@dataclass(frozen=True)
class Data:
    """What every class is fitted to."""

    train: Train
    stretches: Train
    """The same values, each sweep cut into stretches with starts of their own."""
    folds: list[np.ndarray]
    """Values that are held out together, bool, shape (values,)."""
    counts: np.ndarray
    """1.0, or 0.0 where a value is left out, shape (values,)."""
    noise: float
    """Standard deviation of a value around a smooth course, weight units."""

    @property
    def opens(self) -> np.ndarray:
        """Values that nothing before says anything of: first ones, and around those left out."""
        opens = self.counts == 0
        opens[1:] |= opens[:-1]
        opens[self.train.edges[:-1]] = True
        return opens

    def misfit(self, course: np.ndarray) -> float:
        """Return the root mean square of data less course over the measured range."""
        rest = ((course - self.train.values) * self.train.unit)[self.counts > 0]
        return float(np.sqrt((rest**2).mean())) / 2


class Tried(NamedTuple):
    """A class fitted to data."""

    candidate: Candidate
    problem: str = ""
    """Why there is no fit; then nothing below holds."""
    solved: Solved | None = None
    course: np.ndarray = np.empty(0)
    misfit: float = np.inf

    @property
    def table(self) -> StepTable:
        """The steps of the device."""
        return self.best.table

    @property
    def best(self) -> Solved:
        """What was found."""
        assert self.solved is not None
        return self.solved


def make_data(train: Train, noise: float) -> Data:
    """Return a train with what is held out of it."""
    edges = [0]
    for part in train.sweeps:
        count = max(1, min(STRETCHES, (part.stop - part.start) // SHORTEST))
        cuts = np.linspace(part.start, part.stop, count + 1).round().astype(int)
        edges += cuts[1:].tolist()
    stretches = replace(train, edges=np.array(edges))
    return Data(train, stretches, _folds(train, stretches), np.ones(len(train.values)), noise)


def _folds(train: Train, stretches: Train) -> list[np.ndarray]:
    """Return which values each fold holds out: sweeps where enough repeat, or stretches."""
    sweeps = train.sweeps
    ups = sum(bool(train.up[part][-1]) for part in sweeps)
    owner = np.zeros(len(train.values), int)
    seen = {True: 0, False: 0}
    for part in sweeps if min(ups, len(sweeps) - ups) >= 3 else stretches.sweeps:
        rising = bool(train.up[part][-1])
        owner[part] = seen[rising] % FOLDS
        seen[rising] += 1
    return [owner == fold for fold in range(FOLDS) if (owner == fold).any()]


def first_curve(train: Train) -> Curve:
    """Return steps over the weight: least squares of the calm values' single steps."""
    weights = np.linspace(-0.95, 0.95, 21)
    found = []
    places = np.linspace(-1, 1, 6)
    at = train.led
    moves = np.diff(train.calm, prepend=0.0)[at] / train.gain[at]
    for rising in (True, False):
        own = train.up[at] == rising
        size = moves[own] if rising else -moves[own]
        middle = (train.calm[at] + train.calm[at - 1])[own] / 2
        scaled = np.clip((middle + 1) / 2, 0, 1) * (len(places) - 1)
        basis = np.maximum(1 - np.abs(scaled[:, None] - np.arange(len(places))), 0)
        smooth = np.diff(np.eye(len(places)), axis=0) * np.sqrt(len(size)) * 0.02
        left = np.concatenate([basis, smooth])
        right = np.concatenate([size, np.zeros(len(smooth))])
        nodes = np.linalg.lstsq(left, right, rcond=None)[0]
        least = max(float(np.abs(size).mean()) * 0.02, 1e-5)
        found.append(np.interp(weights, places, np.maximum(nodes, least)))
    return Curve(weights, found[0], found[1])


def _best(
    data: Data,
    candidate: Candidate,
    explained: Explained,
    starts: list[np.ndarray],
    last: int = LAST,
) -> Tried:
    """Return the best of the minima that some starts lead to.

    Where there are several, a few rounds tell which is to be followed to its end.
    """
    found: Solved | None = None
    problem = "its courses are not finite"
    rounds = ROUGH if len(starts) > 1 else 0
    for start in starts:
        try:
            solved = solve(candidate, explained, start, rounds or last)
        except (ConfigError, ValueError, np.linalg.LinAlgError) as error:
            problem = " ".join(str(error).split())
            continue
        if np.isfinite(solved.cost) and (found is None or solved.cost < found.cost - BETTER):
            found = solved
    if found is None:
        return Tried(candidate, problem)
    if rounds:
        return _best(data, candidate, explained, [found.parameters], last)
    course = replay(data.train, found.table, data.counts)
    return Tried(candidate, "", found, course, data.misfit(course))


def by_courses(data: Data, candidate: Candidate, starts: list[np.ndarray]) -> Tried:
    """Return the class whose whole courses, from their best starts, are nearest to the data."""
    return _best(data, candidate, of_courses(data.train, data.counts, data.noise), starts)


def by_steps(data: Data, tried: Tried, noise: Expected, starts: list[np.ndarray]) -> Tried:
    """Return a class with the steps that are likeliest, from parameters that are near to them."""
    if tried.problem:
        return tried
    return _best(data, tried.candidate, of_steps(data.train, noise), starts, NEAR)


def held_out(data: Data, tried: Tried) -> float:
    """Return the misfit of values that a class was not fitted to.

    Each stretch of them is followed from a start of its own, so that noise that has added up
    before, which no class can know, does not count.
    """
    if tried.problem:
        return np.inf
    squares = np.zeros(len(data.train.values))
    for fold in data.folds:
        counts = np.where(fold, 0.0, data.counts)
        part = replace(data, counts=counts)
        explained = of_courses(data.train, counts, data.noise)
        own = _best(part, tried.candidate, explained, [tried.best.parameters], NEAR)
        if own.problem:
            return np.inf
        course = replay(data.stretches, own.table, data.counts)
        squares[fold] = (course - data.train.values)[fold] ** 2
    here = data.counts > 0
    return float(np.sqrt((squares * data.train.unit**2)[here].mean())) / 2
