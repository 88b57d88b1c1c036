"""From measured courses to a device: every class that may have made them is tried and compared.

What is fitted is the course, what the pulses did to the conductance, not single steps. Classes are
told apart by their likelihood less a price of their parameters: of whole courses where noise is
that of reads, of the likeliest steps where steps have noise, which adds up over a course. How a
class does with values that it was not fitted to is said beside it.
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
from ohmgrid.measurements.ranking import Score, judge_courses, judge_steps
from ohmgrid.measurements.replay import Train, mean_steps
from ohmgrid.measurements.residuals import Noise, find_noise
from ohmgrid.measurements.train import Devices, floor, make_train
from ohmgrid.measurements.trials import (
    Data,
    Tried,
    by_courses,
    first_curve,
    held_out,
    make_data,
)

__all__ = ["Fit", "Trial", "device_of_steps", "fit_measurement"]

LARGE_MISFIT = 0.05
"""Misfit above which a fit is not to be trusted (or twice the noise of the data, if larger)."""
ROUGH_NOISE, LEAST_NOISE = 0.02, 1e-4
"""Noise of a value, weight units: of a first fit, and the least that data are known to."""
EQUAL, ALIKE = 2.0, 10.0
"""Differences of the criterion that are not worth a mention, and that leave a class in question: up
to e and 150 to 1, if no class is expected more than another."""
OUTLIER, LEAST_OUTLIER, ALONE = 8.0, 0.1, 1.5
"""Deviation of a value that is left out: in median deviations, and at least, weight units; and
beside the value before and after it."""
SIMPLE = 3
"""Classes of few parameters, the first of all candidates."""
PASSES = 4
"""Most times that noise is taken from the best class so far, and all classes compared in it."""
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
    behind: float = np.inf
    """Bayesian information criterion, less the best class's."""
    step: float = 0.0
    """Mean size of an up and a down step at mid-range, over half the measured range."""
    step_error: float = 0.0
    """Standard error of it."""
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
    left_out: np.ndarray
    """Deviations, over the measured range, of values far from all others, which do not count."""

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
    def alike(self) -> tuple[str, ...]:
        """Classes that the data do not tell from the chosen one."""
        limit = self.chosen.behind + ALIKE
        return tuple(
            trial.kind
            for trial in self.trials
            if trial.kind != self.chosen.kind and trial.behind < limit
        )

    @property
    def trusted(self) -> bool:
        """Whether the misfit is small, or that of the data's own noise."""
        return self.chosen.misfit <= self.limit


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
        Nodes of `PiecewiseStep`, 2..64, instead of as many as the data ask for.

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
        found = _tried(train, nodes)
        far = found.data.counts == 0
        noise_floor = floor(replace(train, values=np.where(far, train.calm, train.values)))
        ranked = _ranked(found)
    possible = [trial for trial in ranked if not trial.problem]
    if not possible:
        raise ConfigError("measurement", f"no device has such pulses: {ranked[0].problem}")
    chosen = possible[0]
    if kind is not None:
        chosen = next(trial for trial in ranked if trial.kind == kind)
        if chosen.problem:
            raise ConfigError("class", f"expected one that fits, {kind}: {chosen.problem}")
    spread = replace(chosen, device=_with_spreads(chosen, devices))
    assert spread.course is not None
    left_out = np.abs(spread.course - train.values)[far] / 2
    return Fit(measurement, train, devices, spread, tuple(ranked), noise_floor, left_out)


def _scaled(measurement: Measurement) -> tuple[Train, Devices]:
    """Return a train in the scale, of each device or common, that one curve describes better."""
    own = make_train(measurement, own_range=True)
    if len(own[1].pulses) < 2:
        return own
    common = make_train(measurement, own_range=False)
    misfits = [_rough(train)[0].misfit for train, _ in (own, common)]
    return own if misfits[0] <= misfits[1] else common


class _Found(NamedTuple):
    """All that was tried."""

    data: Data
    tried: list[Tried]
    scores: list[Score]


def _rough(train: Train) -> tuple[Tried, Data]:
    """Return a curve of five nodes, and the data with the noise that it leaves, less outliers."""
    candidate = piecewise(5)
    starts = _starts(candidate, [first_curve(train)])
    data = make_data(train, ROUGH_NOISE)
    found = by_courses(data, candidate, starts)
    # What is left out makes a course that others are far from.
    for _ in range(PASSES):
        counts = np.where(_outliers(train, found), 0.0, data.counts)
        if np.array_equal(counts, data.counts):
            break
        data = replace(data, counts=counts)
        found = by_courses(data, candidate, starts)
    return found, replace(data, noise=float(np.clip(2 * found.misfit, LEAST_NOISE, 1.0)))


def _outliers(train: Train, found: Tried) -> np.ndarray:
    """Return which values, bool, are alone far from a course: what steps add up to is not alone."""
    far = np.zeros(len(train.values), bool)
    if found.problem:
        return far
    rest = np.abs(found.course - train.values)
    limit = max(OUTLIER * float(np.median(rest)), LEAST_OUTLIER)
    for part in train.sweeps:
        own = rest[part]
        around = np.maximum(np.r_[0.0, own[:-1]], np.r_[own[1:], 0.0])
        far[part] = (own > limit) & (own > ALONE * around)
    return far


def _tried(train: Train, nodes: int | None) -> _Found:
    """Fit all classes by their courses, and compare them in the noise that the best one leaves."""
    counts = NODE_COUNTS if nodes is None else (nodes,)
    candidates = [*CANDIDATES, *map(piecewise, counts)]
    rough, data = _rough(train)
    guesses = [first_curve(train)]
    if not rough.problem:
        weights = guesses[0].weights
        guesses.append(Curve(weights, *rough.candidate.steps(rough.best.parameters, weights)))
    tried = [by_courses(data, one, _starts(one, guesses)) for one in candidates]
    scores = [Score(one.misfit, np.inf) for one in tried]
    # A curve that follows noise leaves too little of it; one that is off leaves too much, which the
    # second pass puts right.
    place = int(np.argmin([one.misfit for one in tried[:SIMPLE]]))
    for _ in range(PASSES):
        reference = tried[place]
        if reference.problem:
            break
        noise = find_noise(data.train, reference.table, reference.best.device)
        if noise.step > 0:
            scores = judge_steps(data, tried, noise, reference, scores)
        else:
            scores = judge_courses(data, tried, reference)
        first = _first(scores)
        # The noise of one that is as good would put the same classes in another order, and back.
        if scores[place].criterion <= scores[first].criterion + EQUAL:
            break
        place = first
    return _Found(data, tried, scores)


def _starts(candidate: Candidate, guesses: Sequence[Curve]) -> list[np.ndarray]:
    return [np.array(start) for curve in guesses for start in candidate.starts(curve)]


def _first(scores: Sequence[Score]) -> int:
    return int(np.argmin([score.criterion for score in scores]))


def _ranked(found: _Found) -> list[Trial]:
    """Return a trial of each class, best first.

    Of classes that the criterion all but takes for one, that with the smallest misfit.
    """
    best = found.scores[_first(found.scores)].criterion

    def place(k: int) -> tuple[bool, float]:
        behind = found.scores[k].criterion - best
        return (False, found.tried[k].misfit) if behind < EQUAL else (True, behind)

    kinds: dict[str, int] = {}
    for k in sorted(range(len(found.tried)), key=place):
        kinds.setdefault(found.tried[k].candidate.kind, k)
    trials = []
    # A class's own curve may be off by more than the noise, and one that is as good with a smaller
    # misfit follows some of it: that of the best criterion tells it.
    first = found.tried[_first(found.scores)]
    for kind, k in kinds.items():
        one = found.tried[k]
        if one.problem:
            trials.append(Trial(kind, one.problem))
            continue
        device = one.best.device
        up, down = (float(side[0]) for side in mean_steps(device, np.zeros(1)))
        trials.append(Trial(
            kind,
            device=device,
            misfit=one.misfit,
            held_out=held_out(found.data, one),
            behind=float(found.scores[k].criterion - best),
            step=(up + down) / 2,
            step_error=(up + down) / 2 * found.scores[k].error,
            ratio=up / down if down > 0 else np.inf,
            noise=find_noise(found.data.train, first.table, device),
            course=one.course,
        ))  # fmt: skip
    return trials


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
