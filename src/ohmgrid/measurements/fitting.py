"""From measured courses to a device: every class that may have made them is tried and compared.

What is fitted is the course, what the pulses did to the conductance, not single steps. A class is
judged by values that it was not fitted to: whole sweeps where they repeat, otherwise stretches of
them. Of classes that do equally well there the one with the fewest parameters comes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.steps import PiecewiseStep
from ohmgrid.doors.checks import ConfigError, check_int
from ohmgrid.measurements.candidates import (
    CALM,
    CANDIDATES,
    NODE_COUNTS,
    Candidate,
    Curve,
    piecewise,
)
from ohmgrid.measurements.courses import Measurement, StepCurve
from ohmgrid.measurements.replay import StepTable, Train, mean_steps, replay, step_table
from ohmgrid.measurements.residuals import Noise, find_noise, free_steps
from ohmgrid.measurements.train import Devices, floor, make_train

__all__ = ["Fit", "Trial", "device_of_steps", "fit_measurement"]

LARGE_MISFIT = 0.05
"""Misfit above which a fit is not to be trusted (or twice the noise of the data, if larger)."""
FOLDS = 5
STRETCHES, SHORTEST = 16, 6
"""Stretches of a sweep, every fifth of which is held out, and the fewest values of one."""
NEAR = 1.3
"""Misfit of held-out values over the best one's that noise alone may make."""
NEAR_COURSE = 1.15
"""The same of whole courses, between classes."""
PULL = 1e-4
"""Strength, relative to a value of the data, that holds parameters which no data decide."""
NO_NOISE = Noise(0.0, 0.0, False)


@dataclass(frozen=True)
class Trial:
    """One class fitted to a measurement."""

    kind: str
    problem: str = ""
    """Why there is no fit; then nothing below holds."""
    device: StepDevice | None = None
    misfit: float = np.inf
    """Root mean square of data less course, over the measured range."""
    held_out: float = np.inf
    """The same for values that the class was not fitted to."""
    step: float = 0.0
    """Mean size of an up and a down step at mid-range, over half the measured range."""
    ratio: float = 1.0
    """Up step over down step at mid-range."""
    noise: Noise = NO_NOISE
    course: np.ndarray | None = None
    """Weights of the train's values without noise."""


@dataclass(frozen=True)
class Fit:
    """The device that describes a measurement, and how well."""

    measurement: Measurement
    train: Train
    devices: Devices
    chosen: Trial
    trials: tuple[Trial, ...]
    """All classes, best first."""
    floor: float
    """Noise of the data, root mean square over the measured range."""

    @property
    def device(self) -> StepDevice:
        """The device, with its spreads and noise."""
        assert self.chosen.device is not None
        return self.chosen.device

    @property
    def limit(self) -> float:
        """Misfit above which the fit is not to be trusted."""
        return max(LARGE_MISFIT, 2 * self.floor)

    @property
    def trusted(self) -> bool:
        """Whether the misfit is small, or that of the data's own noise."""
        return self.chosen.misfit <= self.limit


class _Solved(NamedTuple):
    parameters: np.ndarray
    device: StepDevice
    course: np.ndarray


def fit_measurement(
    measurement: Measurement, kind: str | None = None, nodes: int | None = None
) -> Fit:
    """Fit all classes of devices to a measurement.

    Parameters
    ----------
    measurement : Measurement
    kind : str, optional
        Take this one of `CLASSES` instead of the best.
    nodes : int, optional
        Nodes of `PiecewiseStep`, 2..64, instead of as many as cross-validation finds.

    Raises
    ------
    ConfigError
        Where no class has such courses, or not the one asked for.
    """
    if nodes is not None:
        check_int("nodes", nodes, 2, 64)
    measurement.check()
    with np.errstate(all="ignore"):
        train, devices = _scaled(measurement)
        curve = _first_curve(train)
        stretches = _stretches(train)
        data = _Data(train, stretches, _folds(train, stretches), curve)
        trials = [_trial(data, candidate) for candidate in CANDIDATES]
        trials.append(_piecewise(data, nodes))
        noise_floor = floor(train)
        ranked = [one.trial for one in _ranked(train, trials, NEAR_COURSE)]
        best = ranked[0].device
        if best is not None:
            ranked = [_with_noise(train, trial, best) for trial in ranked]
    possible = [trial for trial in ranked if not trial.problem]
    if not possible:
        raise ConfigError("measurement", f"no device has such pulses: {ranked[0].problem}")
    chosen = possible[0]
    if kind is not None:
        chosen = next(trial for trial in ranked if trial.kind == kind)
        if chosen.problem:
            raise ConfigError("class", f"expected one that fits, {kind}: {chosen.problem}")
    spread = replace(chosen, device=_with_spreads(chosen, devices))
    return Fit(measurement, train, devices, spread, tuple(ranked), noise_floor)


def _scaled(measurement: Measurement) -> tuple[Train, Devices]:
    """Return a train in the scale, of each device or common, that one curve describes better."""
    own = make_train(measurement, own_range=True)
    if len(own[1].pulses) < 2:
        return own
    common = make_train(measurement, own_range=False)
    errors = []
    for train, _ in (own, common):
        curve = _first_curve(train)
        solved = _solve(train, piecewise(5), curve, np.ones(len(train.values)))
        errors.append(_misfit(train, solved.course))
    return own if errors[0] <= errors[1] else common


def _first_curve(train: Train) -> Curve:
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


def _stretches(train: Train) -> Train:
    """Return a train whose sweeps are cut into stretches, each with a start of its own."""
    edges = [0]
    for part in train.sweeps:
        count = max(1, min(STRETCHES, (part.stop - part.start) // SHORTEST))
        cuts = np.linspace(part.start, part.stop, count + 1).round().astype(int)
        edges += cuts[1:].tolist()
    return replace(train, edges=np.array(edges))


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


def _solve(
    train: Train,
    candidate: Candidate,
    curve: Curve,
    counts: np.ndarray,
    start: np.ndarray | None = None,
    rounds: int = 30,
) -> _Solved:
    """Return the parameters whose courses are nearest to the values that count."""
    from scipy.optimize import least_squares

    lower, upper = np.array(candidate.lower), np.array(candidate.upper)
    margin = 1e-9 * (upper - lower)
    first = np.array(candidate.start(curve)) if start is None else start
    first = np.clip(first, lower + margin, upper - margin)
    root = np.sqrt(counts)
    strength = PULL * np.sqrt(counts.sum())
    held = np.array(list(candidate.pulls), int)
    goal = np.array(list(candidate.pulls.values()))
    # Steps differ by powers of ten: what counts of them is their logarithm.
    logarithmic = lower > 0

    def plain(p: np.ndarray) -> np.ndarray:
        return np.clip(np.where(logarithmic, np.exp(np.minimum(p, 3.0)), p), lower, upper)

    def bent(p: np.ndarray) -> np.ndarray:
        return np.where(logarithmic, np.log(np.where(logarithmic, p, 1.0)), p)

    def residuals(p: np.ndarray) -> np.ndarray:
        parameters = plain(p)
        table = step_table(candidate.build(parameters))
        course = replay(train, table, counts)
        pulls = strength * (parameters[held] - goal)
        return np.concatenate([root * (course - train.values), pulls])

    found = least_squares(
        residuals, bent(first), bounds=(bent(lower) - 1e-12, bent(upper) + 1e-12),
        x_scale="jac", diff_step=1e-4, max_nfev=rounds, ftol=1e-5, xtol=1e-5, tr_solver="lsmr",
    )  # fmt: skip
    parameters = plain(found.x)
    device = candidate.build(parameters)
    return _Solved(parameters, device, replay(train, step_table(device), counts))


def _misfit(train: Train, course: np.ndarray, where: np.ndarray | slice = slice(None)) -> float:
    """Return the root mean square of data less course over the measured range."""
    rest = ((course - train.values) * train.unit)[where]
    return float(np.sqrt((rest**2).mean())) / 2


def _held_out(data: "_Data", candidate: Candidate, full: _Solved) -> float:
    """Return the misfit of values that a class was not fitted to.

    Each stretch of them is followed from a start of its own, so that noise that has added up
    before, which no class can know, does not count.
    """
    squares = np.zeros(len(data.train.values))
    for fold in data.folds:
        counts = np.where(fold, 0.0, 1.0)
        own = _solve(data.train, candidate, data.curve, counts, full.parameters, rounds=8)
        course = replay(data.stretches, step_table(own.device), np.ones(len(fold)))
        squares[fold] = (course - data.train.values)[fold] ** 2
    return float(np.sqrt((squares * data.train.unit**2).mean())) / 2


class _Data(NamedTuple):
    """What every class is fitted to."""

    train: Train
    stretches: Train
    folds: list[np.ndarray]
    curve: Curve


class _Judged(NamedTuple):
    trial: Trial
    free: int


def _trial(data: _Data, candidate: Candidate) -> _Judged:
    train = data.train
    try:
        full = _solve(train, candidate, data.curve, np.ones(len(train.values)))
        held_out = _held_out(data, candidate, full)
    except (ConfigError, ValueError, np.linalg.LinAlgError) as error:
        problem = " ".join(str(error).split())
        return _Judged(Trial(candidate.kind, problem), candidate.free)
    up, down = (float(side[0]) for side in mean_steps(full.device, np.zeros(1)))
    trial = Trial(
        candidate.kind,
        device=full.device,
        misfit=_misfit(train, full.course),
        held_out=held_out,
        step=(up + down) / 2,
        ratio=up / down if down > 0 else np.inf,
        course=full.course,
    )
    return _Judged(trial, candidate.free)


def _piecewise(data: _Data, nodes: int | None) -> _Judged:
    """Return `PiecewiseStep` with the number of nodes that comes first of those tried."""
    counts = NODE_COUNTS if nodes is None else (nodes,)
    return _ranked(data.train, [_trial(data, piecewise(count)) for count in counts])[0]


def _ranked(train: Train, judged: Sequence[_Judged], near_course: float = np.inf) -> list[_Judged]:
    """Return all that was tried, best first.

    The one with the smallest misfit of held-out values is the best; those that come near it, by
    what noise alone may make of a misfit, are told apart by their likelihood: that of each step
    after the value before it, less a price for each parameter.
    """
    best = min(one.trial.held_out for one in judged)
    # Below a ten-thousandth of the range nothing is told by differences.
    limit = max(NEAR * best, 1e-4)
    worst = max(near_course * min(one.trial.misfit for one in judged), 1e-4)
    near = [
        k
        for k, one in enumerate(judged)
        if one.trial.held_out <= limit and one.trial.misfit <= worst and one.trial.device
    ]
    found: list[tuple[StepDevice, StepTable]] = []
    allowed = np.ones(len(train.values), bool)
    for k in near:
        device = judged[k].trial.device
        assert device is not None
        found.append((device, step_table(device)))
    if found:
        noise = find_noise(train, found[0][1], found[0][0], allowed).step
        for _, table in found:
            allowed &= free_steps(train, table, min(noise, 4.0))
    prices = {}
    for k, (device, table) in zip(near, found, strict=True):
        noise = find_noise(train, table, device, allowed)
        price = judged[k].free * float(np.log(max(noise.steps, 1)))
        prices[k] = price - 2 * noise.likelihood

    def order(k: int) -> tuple[int, float]:
        if judged[k].trial.device is None:
            return 2, 0.0
        return (0, prices[k]) if k in prices else (1, judged[k].trial.held_out)

    return [judged[k] for k in sorted(range(len(judged)), key=order)]


def _with_noise(train: Train, trial: Trial, best: StepDevice) -> Trial:
    """Return a trial with the noise that data have about the best curve of all.

    A class's own curve may be off by more than the noise; that would be taken for noise.
    """
    if trial.device is None:
        return trial
    return replace(trial, noise=find_noise(train, step_table(best), trial.device))


def _with_spreads(trial: Trial, devices: Devices) -> StepDevice:
    """Return a trial's device with its noise, and with the spreads of several devices."""
    device, noise = trial.device, trial.noise
    assert device is not None
    values: dict[str, Any] = {"dw_min_std": min(7.9, noise.step)}
    if noise.additive:
        values["mult_noise"] = False
    if hasattr(device, "write_noise_std"):
        values["write_noise_std"] = min(1000.0, noise.read / device.dw_min)
    if len(devices.pulses) > 1:
        values |= _spreads(trial, devices)
    return replace(device, **values)


def _spreads(trial: Trial, devices: Devices) -> dict[str, Any]:
    """Return spreads from device to device, less what noise alone makes of so many pulses."""
    gain = (devices.gain_up + devices.gain_down) / 2
    gain = gain / gain.mean()
    balance = (devices.gain_up - devices.gain_down) / 2
    chance = float((trial.noise.step**2 / np.maximum(devices.pulses, 1)).mean())
    device = trial.device
    assert device is not None
    found: dict[str, Any] = {
        "dw_min_dtod": min(1.0, _beyond(gain, chance)),
        "up_down_dtod": min(1.0, _beyond(balance, chance)),
    }
    if trial.course is not None and np.ptp(devices.tops) + np.ptp(devices.bottoms) > 0:
        found["w_max_dtod"] = min(1.0, float(devices.tops.std() / abs(devices.tops.mean())))
        found["w_min_dtod"] = min(1.0, float(devices.bottoms.std() / abs(devices.bottoms.mean())))
    return found


def _beyond(values: np.ndarray, chance: float) -> float:
    """Return the spread of values less a variance of chance."""
    return float(np.sqrt(max(0.0, float(values.var(ddof=1)) - chance)))


def device_of_steps(steps: StepCurve) -> PiecewiseStep:
    """Return the device of a step curve; raise `ConfigError` where no device has such steps."""
    middle = len(steps.up) // 2
    size = (steps.up[middle] + steps.down[middle]) / 2
    if not size > 0:
        raise ConfigError("steps", f"expected a step above 0 at mid-range, got {size:g}")
    try:
        return PiecewiseStep(
            **CALM, dw_min=size, w_max=1.0, w_min=-1.0,
            piecewise_up=tuple(step / size for step in steps.up),
            piecewise_down=tuple(step / size for step in steps.down),
        )  # fmt: skip
    except ConfigError as error:
        raise error.at("steps: no device has them") from None
