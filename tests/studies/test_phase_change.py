"""Phase-change devices: programming, drift and reading against their closed forms."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ohmgrid import portable
from ohmgrid.doors.checks import ConfigError
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.registers.noise import Verb, reading_step
from ohmgrid.studies import array_functions
from ohmgrid.studies.phase_change import MODELS, Curve, PowerLaw, Programmed, to_pairs
from ohmgrid.studies.retention import normals

ROWS, COLS = 300, 400
DAY = 86400.0

PROGRAM_STD = {
    "pcm": {0.1: 0.448249, 0.5: 0.952705, 1.0: 1.05538},
    "hermes": {0.1: 0.557718, 0.5: 0.991014, 1.0: 1.092703},
    "hermes-single": {0.1: 0.369319, 0.5: 0.865313, 1.0: 1.007546},
    "state-independent": {0.1: 0.2, 0.5: 0.2, 1.0: 0.2},
}
"""Microsiemens over u: the polynomials, by hand."""

DRIFT = {
    "pcm": {0.5: (0.049, 0.008), 0.05: (0.0708338, 0.0315467)},
    "hermes": {0.5: (0.0564, 0.009), 0.05: (0.0977348, 0.0293501)},
    "hermes-single": {0.5: (0.0564, 0.012075), 0.05: (0.0977348, 0.0336488)},
}
"""Mean and standard deviation of the exponent over u."""

READ = {"pcm": 0.0138083, "hermes": 0.0167125, "hermes-single": 0.0217, "state-independent": 0.04}
"""Relative 1/f noise at u = 0.5, but for the factor of time."""


def drawn(repeat: int = 0, sub: int = 0) -> np.ndarray:
    """Return standard normals as a study draws them, of a fixed seed: shape (2, 2, ROWS, COLS)."""
    key = op_key(seed_key(7), Verb.RETENTION, 0, reading_step(repeat, 0))
    return normals(key, ROWS, COLS, sub)


def programmed(name: str, u: float, **changes) -> tuple[Programmed, float]:
    model = replace(MODELS[name], **changes)
    target = u * model.g_max
    return model.program(np.full((2, ROWS, COLS), target), *drawn()), target


def test_arrays_have_the_bits_of_single_numbers(fixed_rng):
    x = np.concatenate([fixed_rng.uniform(-40, 40, 2000), [0.0, -0.0, -1e6]])
    assert array_functions.exp(x).tolist() == [portable.exp(one) for one in x.tolist()]
    x = np.concatenate([10 ** fixed_rng.uniform(-12, 12, 2000), [1.0, 1e-300]])
    assert array_functions.log(x).tolist() == [portable.log(one) for one in x.tolist()]


def test_what_is_drawn_is_standard_and_independent():
    draws = np.stack([drawn(), drawn(sub=1), drawn(repeat=1)]).reshape(12, -1)
    count = draws.shape[1]
    assert np.abs(draws.mean(axis=1)).max() < 4 / math.sqrt(count)
    assert np.abs(draws.std(axis=1) - 1).max() < 4 / math.sqrt(2 * count)
    correlations = np.corrcoef(draws) - np.eye(12)
    assert np.abs(correlations).max() < 4.5 / math.sqrt(count)


@pytest.mark.parametrize("name", PROGRAM_STD)
def test_programming_spreads_as_the_polynomial_says(name):
    for u, sigma in PROGRAM_STD[name].items():
        found, target = programmed(name, u)
        errors = found.conductance - target
        assert found.conductance.min() >= 0
        assert abs(errors.mean()) < 4 * sigma / math.sqrt(errors.size)
        assert abs(errors.std() - sigma) < 4 * sigma / math.sqrt(2 * errors.size)


def test_a_device_that_is_off_is_programmed_to_nothing_or_a_little():
    found, _ = programmed("pcm", 0.0)
    # Half a normal distribution: its mean is sigma / sqrt(2 pi).
    assert found.conductance.mean() == pytest.approx(0.26348 / math.sqrt(math.tau), rel=0.01)
    assert np.mean(found.conductance == 0) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", DRIFT)
def test_exponents_are_drawn_as_measured(name):
    for u, (mean, std) in DRIFT[name].items():
        nu = programmed(name, u)[0].exponent
        # So close to 0 that magnitudes would count: 2.2 sigma and more.
        bias = 0.0 if mean > 4 * std else 0.02 * std
        assert abs(nu.mean() - mean) < 4 * std / math.sqrt(nu.size) + bias
        assert nu.std() == pytest.approx(std, rel=0.005 if mean > 4 * std else 0.06)
        assert nu.min() >= 0


@pytest.mark.parametrize("name", MODELS)
def test_a_fit_of_drift_finds_the_exponent_that_was_drawn(name):
    model = replace(MODELS[name], read_scale=0.0)
    targets = np.linspace(0.2, 1.0, 40)[None, :] * model.g_max
    noise = np.random.default_rng(3).standard_normal((2, 1, 40))
    found = model.program(targets, *noise)
    times = np.logspace(1, 8, 15)
    readings = [model.reading(found, t, noise[0]) for t in times]
    logs = np.log(np.concatenate(readings))
    slopes = np.polyfit(np.log((times + model.t_0) / model.t_0), logs, 1)[0]
    # pcm's exponents are at 0.03 or beyond; state-independent ones may be close to 0.
    assert np.allclose(-slopes, found.exponent[0], rtol=0.01, atol=1e-9)
    assert np.array_equal(model.drifted(found, 0.0), found.conductance)


@pytest.mark.parametrize("name", READ)
def test_reading_spreads_by_the_1_f_noise(name):
    model = replace(MODELS[name], program_scale=0.0, drift_scale=0.0)
    found, target = programmed(name, 0.5, program_scale=0.0, drift_scale=0.0)
    noise, _ = drawn(sub=1)
    for seconds in (0.0, DAY):
        readings = model.reading(found, seconds, noise) / target
        time = math.sqrt(
            math.log((seconds + model.t_0 + model.t_read) / (2 * model.t_read)),
        )
        sigma = READ[name] * time
        assert abs(readings.mean() - 1) < 4 * sigma / math.sqrt(readings.size)
        assert readings.std() == pytest.approx(sigma, rel=4 / math.sqrt(2 * readings.size))


def test_noise_scales_with_the_largest_conductance_but_where_it_is_absolute():
    targets = np.array([0.0, 0.3, 1.0])
    for name, factor in (("pcm", 2.0), ("hermes", 2.0), ("state-independent", 1.0)):
        model = MODELS[name]
        double = replace(model, g_max=2 * model.g_max)
        sigmas = model.program_std(targets * model.g_max)
        assert double.program_std(targets * double.g_max) == pytest.approx(factor * sigmas)
        spreads = [
            one.program(targets * one.g_max, np.zeros(3), np.zeros(3)).spread
            for one in (model, double)
        ]
        assert spreads[1] == pytest.approx(spreads[0] * factor / 2)


def test_pairs_hold_the_weights():
    weights = np.array([[0.5, -0.25], [0.0, -1.0]])
    pairs, scale = to_pairs(weights, 25.0)
    assert scale == 25.0
    assert pairs.tolist() == [[[12.5, 0.0], [0.0, 0.0]], [[0.0, 6.25], [0.0, 25.0]]]
    nothing, _ = to_pairs(np.zeros((2, 3)), 25.0)
    assert not nothing.any()


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: replace(MODELS["pcm"], g_max=0.0), "g-max: expected"),
        (lambda: replace(MODELS["pcm"], t_0=0.0), "t_0: expected"),
        (lambda: replace(MODELS["pcm"], t_read=30.0), "t_read: expected"),
        (lambda: replace(MODELS["pcm"], read_scale=-1.0), "read_scale: expected"),
        (lambda: Curve(0.1, 0.0, 1.0, 0.5), "high: expected"),
        (lambda: PowerLaw(0.1, 0.5, 0.0, 0.5), "least: expected"),
    ],
)
def test_wrong_parameters_get_a_line(make, line):
    with pytest.raises(ConfigError, match=line):
        make()
