"""Known devices come back from measurements of them, and a fit that is not right says so."""

from dataclasses import replace

import numpy as np
import pytest
from measured import EVEN, course, known_devices, measured, measurement, true_step

from ohmgrid.config import Config
from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.steps import ExpStep, LinearStep, PiecewiseStep, SoftBounds
from ohmgrid.doors.checks import ConfigError
from ohmgrid.measurements.candidates import CANDIDATES, CLASSES, Curve, piecewise
from ohmgrid.measurements.courses import Course, Measurement, StepCurve
from ohmgrid.measurements.fitting import Fit, device_of_steps, fit_measurement
from ohmgrid.measurements.replay import Train, mean_steps, replay, step_table
from ohmgrid.studies.staircase import staircase

LONG = ("PowStep", "SoftBounds", "ConstantStep")
"""Classes that are fitted in the tests that take minutes alone."""


def check_true(device: StepDevice, weights: np.ndarray, up: np.ndarray, noise: float) -> None:
    """Fail unless a fit to a measurement returns the device that it was made with."""
    fit = fit_measurement(measurement(measured(weights, up)))
    assert device.kind in [trial.kind for trial in fit.trials[:2]]
    assert fit.chosen.step == pytest.approx(true_step(device, weights), rel=0.05)
    assert fit.device.dw_min_std == pytest.approx(noise, rel=0.15)
    assert fit.chosen.misfit <= 1.3 * min(trial.misfit for trial in fit.trials)
    assert fit.trusted


@pytest.mark.parametrize(
    "device",
    [
        pytest.param(device, marks=[pytest.mark.slow] if device.kind in LONG else [])
        for device in known_devices()
    ],
    ids=lambda device: device.kind,
)
def test_a_known_device_comes_back(device: StepDevice, fixed_rng: np.random.Generator):
    check_true(device, *course(device, fixed_rng, 150, 3, noise=0.2), 0.2)


@pytest.mark.parametrize(("noise", "read"), [(0.05, 0.0), (0.2, 0.005)])
def test_exponentials_that_end_before_the_range_come_back(
    noise: float, read: float, fixed_rng: np.random.Generator
):
    """Up steps end at 0.36 and down steps at -0.24, the first up train comes from -0.9."""
    device = ExpStep(
        **EVEN, w_max=1.0, w_min=-1.0, dw_min=0.03, A_up=0.34, A_down=0.43, gamma_up=6.0,
        gamma_down=7.0, a=0.5, b=0.0,
    )  # fmt: skip
    weights, up = course(device, fixed_rng, 90, 2, noise, read)
    fit = fit_measurement(measurement(measured(weights, up)))
    assert fit.device.kind == "ExpStep"
    assert fit.chosen.step == pytest.approx(true_step(device, weights), rel=0.05)
    assert fit.chosen.misfit <= 1.3 * min(trial.misfit for trial in fit.trials)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.1, 0.3])
@pytest.mark.parametrize("pulses", [120, 250])
@pytest.mark.parametrize("device", known_devices(), ids=lambda device: device.kind)
def test_known_devices_come_back_from_other_measurements(
    device: StepDevice, pulses: int, noise: float, fixed_rng: np.random.Generator
):
    check_true(device, *course(device, fixed_rng, pulses, 4, noise), noise)


def figures(fit: Fit) -> dict[str, np.ndarray]:
    """Return what a fit says of each class."""
    return {
        trial.kind: np.array([
            len(getattr(trial.device, "piecewise_up", ())), trial.misfit, trial.held_out,
            trial.step, trial.ratio, trial.noise.step, trial.noise.read, trial.step_error,
        ])
        for trial in fit.trials
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("device", known_devices(), ids=lambda device: device.kind)
def test_a_fit_hangs_neither_on_the_unit_nor_on_last_bits(device, rng: np.random.Generator):
    pulses, cycles = int(rng.integers(40, 120)), int(rng.integers(1, 4))
    one = measured(*course(device, rng, pulses, cycles, float(rng.uniform(0.05, 0.5))))
    values = one.values * np.exp(rng.uniform(-30, 30))
    values = np.nextafter(values, values * rng.choice([0.5, 1.0, 2.0], len(values)))
    first, second = (fit_measurement(measurement(c)) for c in (one, replace(one, values=values)))
    assert first.device.kind == second.device.kind
    assert first.alike == second.alike
    assert [trial.kind for trial in first.trials] == [trial.kind for trial in second.trials]
    before, after = figures(first), figures(second)
    for kind, found in before.items():
        assert after[kind] == pytest.approx(found, rel=1e-6)


@pytest.mark.slow
def test_a_value_far_from_all_others_is_left_out(fixed_rng: np.random.Generator):
    device = known_devices()[1]
    weights, up = course(device, fixed_rng, 80, 2, noise=0.1)
    clean = fit_measurement(measurement(measured(weights, up)))
    assert len(clean.left_out) == 0
    weights[[0, 120]] += 2.0
    fit = fit_measurement(measurement(measured(weights, up)))
    assert len(fit.left_out) == 2
    assert fit.left_out.min() > 0.5
    assert fit.chosen.misfit < 1.2 * clean.chosen.misfit
    assert fit.floor < 1.2 * clean.floor
    assert fit.chosen.step == pytest.approx(clean.chosen.step, rel=0.02)


def test_classes_that_the_data_do_not_tell_apart_are_named(fixed_rng: np.random.Generator):
    """A straight line is a power of 1."""
    device = known_devices()[2]
    fit = fit_measurement(measurement(measured(*course(device, fixed_rng, 60, 1, noise=0.5))))
    assert {"LinearStep", "SoftBounds"} <= {fit.device.kind, *fit.alike}
    behind = {trial.kind: trial.behind for trial in fit.trials}
    assert all(behind[kind] < fit.chosen.behind + 10 for kind in fit.alike)
    assert fit.chosen.step_error > 0.02 * fit.chosen.step


def test_noise_of_reads_is_told_from_noise_of_steps(fixed_rng: np.random.Generator):
    device = known_devices()[1]
    weights, up = course(device, fixed_rng, 200, 3, noise=0.5, read=0.02)
    fit = fit_measurement(measurement(measured(weights, up)))
    half = np.ptp(weights) / 2
    assert fit.chosen.noise.read * half == pytest.approx(0.02, rel=0.2)
    assert fit.device.dw_min_std == pytest.approx(0.5, rel=0.4)
    # Repeats differ by more than reads: what steps add up to.
    assert 0.7 * 0.02 < fit.floor * 2 * half < 0.1


@pytest.mark.slow
def test_additive_noise_is_told_from_noise_that_scales(fixed_rng: np.random.Generator):
    device = SoftBounds(**EVEN, dw_min=0.03, dw_min_std=0.4, w_max=1.0, w_min=-1.0)
    for additive in (True, False):
        grid = np.linspace(-1, 1, 401)
        rise, fall = mean_steps(device, grid)
        up = np.r_[True, np.tile(np.arange(160) < 80, 4)]
        weights = np.full(len(up), -0.9)
        for k in range(1, len(up)):
            size = np.interp(weights[k - 1], grid, rise if up[k] else fall)
            size += 0.4 * (0.03 if additive else size) * fixed_rng.standard_normal()
            weights[k] = np.clip(weights[k - 1] + (size if up[k] else -size), -1, 1)
        fit = fit_measurement(measurement(measured(weights, up)), "SoftBounds")
        assert isinstance(fit.device, SoftBounds)
        assert fit.device.mult_noise is not additive


@pytest.mark.slow
def test_devices_that_differ_give_their_spread(fixed_rng: np.random.Generator):
    device = known_devices()[2]
    gains = np.array([0.7, 0.85, 1.0, 1.0, 1.15, 1.3])
    courses = [
        measured(*course(device, fixed_rng, 100, 2, 0.1, gain=gain), name=f"d{k}")
        for k, gain in enumerate(gains)
    ]
    fit = fit_measurement(measurement(*courses))
    assert fit.device.dw_min_dtod == pytest.approx(gains.std(ddof=1), rel=0.3)
    assert fit.device.up_down_dtod < 0.05
    assert fit.chosen.misfit < 0.02


def test_a_class_and_its_nodes_can_be_chosen(fixed_rng: np.random.Generator):
    data = measurement(measured(*course(known_devices()[0], fixed_rng, 60, 1, 0.1)))
    assert fit_measurement(data, "PowStep").device.kind == "PowStep"
    device = fit_measurement(data, "PiecewiseStep", nodes=6).device
    assert isinstance(device, PiecewiseStep)
    assert len(device.piecewise_up) == 6
    assert min(device.piecewise_up + device.piecewise_down) > 0
    with pytest.raises(ConfigError, match=r"nodes: expected 2\.\.64, got 1"):
        fit_measurement(data, nodes=1)


def test_what_no_device_does_is_not_trusted():
    """An up train that falls again for its second half."""
    rise = np.r_[np.linspace(0, 1, 40), np.linspace(1, 0.1, 40)]
    values = np.r_[rise, rise[::-1]]
    data = Measurement((Course("", values, np.arange(160) < 80, np.arange(160) == 0),), "")
    fit = fit_measurement(data)
    assert not fit.trusted
    assert fit.chosen.misfit > 0.05


@pytest.mark.parametrize(
    ("values", "up", "line"),
    [
        (np.ones(20), np.arange(20) < 10, "expected values that change under pulses"),
        (1e90 + np.arange(20.0), np.arange(20) < 10, "expected values that change under pulses"),
        (np.arange(20.0), np.ones(20, bool), "expected several up and several down pulses, got 0"),
        (np.arange(4.0), np.arange(4) < 2, "expected at least 8 values, got 4"),
    ],
)
def test_measurements_that_make_no_device(values: np.ndarray, up: np.ndarray, line: str):
    with pytest.raises(ConfigError, match=line):
        fit_measurement(Measurement((Course("", values, up, np.arange(len(values)) == 0),), ""))


def test_steps_on_bins_are_a_device():
    device = device_of_steps(StepCurve((0.001, 0.005, 0.001), (0.004, 0.006, 0.002)))
    up, down = mean_steps(device, np.array([-1.0, 0.0, 1.0]))
    assert up == pytest.approx([0.001, 0.005, 0.001])
    assert down == pytest.approx([0.004, 0.006, 0.002])
    with pytest.raises(ConfigError, match="expected a step above 0 at mid-range"):
        device_of_steps(StepCurve((0.0,), (0.0,)))


@pytest.mark.parametrize(
    "device",
    [one for one in known_devices() if one.granularity == one.dw_min],
    ids=lambda device: device.kind,
)
def test_a_replayed_course_is_that_of_the_engine(device: StepDevice):
    """Without noise the compiled engine's devices go where the replay goes, a pulse a request."""
    calm = replace(device, dw_min_std=0.0)
    up, down = 40, 40
    weights = staircase(Config(device=calm), up, down, 16).arrays["mean"]
    train = Train(
        weights, np.arange(up + down + 1) <= up, np.ones(len(weights)),
        np.array([0, len(weights)]), weights, np.ones(len(weights)),
    )  # fmt: skip
    found = replay(train, step_table(calm, 257), np.ones(len(weights)))
    assert found == pytest.approx(weights, abs=2e-3)


def test_steps_of_powers_and_exponentials_are_those_of_their_equations():
    *_, exponential, power, _ = known_devices()
    weights = np.linspace(-1, 1, 9)
    up, down = mean_steps(exponential, weights)
    assert up == pytest.approx(0.025 * np.maximum(1 - 0.1 * np.exp(5 * weights / 2), 0))
    assert down == pytest.approx(0.025 * np.maximum(1 - 0.2 * np.exp(-4 * weights / 2), 0))
    up, down = mean_steps(power, weights)
    assert up == pytest.approx(0.05 * ((1 - weights) / 2) ** 2.2)
    assert down == pytest.approx(0.05 * ((1 + weights) / 2) ** 2.2)


@pytest.mark.parametrize("candidate", [*CANDIDATES, piecewise(5)], ids=lambda c: c.kind)
def test_a_candidate_starts_near_its_own_curve(candidate):
    """Parameters guessed from a class's own steps have those steps, nearly."""
    device = next(one for one in known_devices() if one.kind == candidate.kind)
    weights = np.linspace(-0.95, 0.95, 21)
    up, down = mean_steps(device, weights)
    starts = [np.array(start) for start in candidate.starts(Curve(weights, up, down))]
    errors = []
    for start in starts:
        found = candidate.steps(start, weights)
        pairs = zip(found, (up, down), strict=True)
        errors.append(max(np.abs(a - b).mean() / b.mean() for a, b in pairs))
    assert candidate.build(starts[0]).kind == device.kind
    assert min(errors) < 0.3


@pytest.mark.parametrize("candidate", [*CANDIDATES, *map(piecewise, (2, 7))], ids=lambda c: c.kind)
def test_steps_of_a_candidate_are_those_of_its_device(candidate, rng: np.random.Generator):
    for _ in range(20):
        lower, upper = candidate.within(rng.uniform(candidate.lower, candidate.upper))
        parameters = rng.uniform(np.maximum(lower, -3), np.minimum(upper, 3))
        sizes = np.array(candidate.lower) > 0
        sizes[-2:] = False
        parameters[sizes] = rng.uniform(0.002, 0.1, sizes.sum())
        low, high = parameters[-1], parameters[-2]
        weights = np.linspace(low, high, 41)
        true = mean_steps(candidate.build(parameters), weights)
        for found, expected in zip(candidate.steps(parameters, weights), true, strict=True):
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
        table = candidate.table(parameters)
        weights = np.linspace(table.low, table.high, 13)
        true = candidate.steps(parameters, weights)
        grid = np.linspace(table.low, table.high, len(table.up))
        for found, expected in zip((table.up, table.down), true, strict=True):
            # A power below 1 ends as steeply as no table does.
            off = np.abs(np.interp(weights, grid, found) - expected)[1:-1]
            assert off.max() < 0.02 * np.abs(expected).max()


def test_classes_are_those_that_files_may_name():
    assert set(CLASSES) >= {"ConstantStep", "LinearStep", "SoftBounds", "ExpStep", "PowStep"}
    assert LinearStep.kind in CLASSES
