"""Where oscillation begins, by growth alone, against theory; what a network does beyond."""

import math

import numpy as np
import pytest

from ohmgrid.studies import delay_theory as theory
from ohmgrid.studies.matrices import all_inhibitory, random_symmetric, ring
from ohmgrid.studies.onset import Question, critical_delay, critical_gain
from ohmgrid.studies.oscillation import long_run, sweep

FEW = [("inhibitory", 1, 1.5), ("inhibitory", 1, 2.0), ("inhibitory", 1, 4.0)]
FEW += [("inhibitory", 3, 2.0), ("inhibitory", 4, 4.0), ("inhibitory", 8, 2.0), ("random", 8, 4.0)]
ALL = [("inhibitory", count, gain) for count in (3, 4, 8) for gain in (1.2, 1.5, 2.0, 4.0, 9.0)]
ALL += [("random", 4 + seed, gain) for seed in range(1, 7) for gain in (2.0, 3.0, 5.0)]


def matrix_of(kind: str, count: int) -> np.ndarray:
    return all_inhibitory(count) if kind == "inhibitory" else random_symmetric(count, count - 4)


def check_onset(kind: str, count: int, gain: float) -> None:
    matrix = matrix_of(kind, count)
    least = abs(np.linalg.eigvalsh(matrix)[0])
    delay, omega = critical_delay(Question(matrix), gain, high=40.0)
    if gain * least < 1:
        assert delay is None
        return
    root = math.sqrt(gain**2 * least**2 - 1)
    wanted = math.acos(-1 / (gain * least)) / root
    assert theory.critical_delay(gain, matrix) == pytest.approx(wanted, rel=1e-9)
    if wanted > 40.0:
        assert delay is None
        return
    assert delay == pytest.approx(wanted, rel=0.02)
    assert omega == pytest.approx(root, rel=0.01)


@pytest.mark.parametrize(("kind", "count", "gain"), FEW)
def test_critical_delay_and_onset_frequency(kind, count, gain):
    check_onset(kind, count, gain)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count", "gain"), ALL)
def test_critical_delay_of_many(kind, count, gain):
    check_onset(kind, count, gain)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_critical_delay_of_any_matrix(seed):
    """Not symmetric: modes that turn, either way."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 7))
    matrix = rng.normal(size=(count, count))
    matrix /= np.abs(matrix).sum(axis=1).max()
    gain = float(rng.uniform(1.5, 6.0))
    wanted = theory.critical_delay(gain, matrix)
    delay, _ = critical_delay(Question(matrix), gain)
    if wanted > 20.0:
        assert delay is None
    else:
        assert delay == pytest.approx(wanted, rel=0.02)


def test_the_values_of_the_paper():
    found = [theory.critical_delay(gain, -np.ones((1, 1))) for gain in (1.5, 2.0, 4.0)]
    assert found == pytest.approx([2.0577, 1.2092, 0.4708], abs=1e-4)
    for count, wanted in ((3, 0.6931), (4, 0.4055), (8, 0.1542)):
        values = np.linalg.eigvalsh(all_inhibitory(count))
        assert theory.high_gain_delay(values[0], values[-1]) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(("gain", "delay"), [(60.0, 0.3), (60.0, 1.0), (60.0, 3.0)])
def test_the_period_at_high_gain(gain, delay):
    found = long_run(Question(-np.ones((1, 1))), gain, delay).period
    wanted = 2 * (delay + math.log(2 - math.exp(-delay)))
    assert found == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize(("count", "delay"), [(3, 0.5), (5, 2.0)])
def test_the_onset_of_a_ring(count, delay):
    gain, omega = critical_gain(Question(ring(count)), delay)
    assert omega * delay + math.atan(omega) == pytest.approx(math.pi / count, rel=0.02)
    assert gain == pytest.approx(math.sqrt(1 + omega**2), rel=0.02)
    assert (omega, gain) == pytest.approx(theory.ring_onset(count, delay), rel=0.02)


@pytest.mark.parametrize("delay", [0.05, 1.0, 8.0, 30.0])
def test_silence_below_unit_gain_at_any_delay(delay):
    for matrix, gain in ((-np.ones((1, 1)), 0.9), (all_inhibitory(4), 0.9)):
        found = long_run(Question(matrix), gain, delay)
        assert found.period is None
        assert found.swing < 0.05


def test_a_search_that_finds_nothing_says_so():
    assert critical_delay(Question(all_inhibitory(3)), 0.9) == (None, 0.0)
    assert theory.critical_delay(0.9, all_inhibitory(3)) == math.inf
    assert critical_delay(Question(np.eye(2) * 0.5), 4.0) == (None, 0.0)
    assert critical_delay(Question(ring(3)), 4.0)[0] == 0.0
    assert theory.critical_delay(4.0, ring(3)) == 0.0


def test_a_map_agrees_with_theory_away_from_the_border():
    matrix = all_inhibitory(3)
    gains, delays = [0.8, 1.5, 2.0, 3.0], [0.4, 1.0, 2.6]
    swings = sweep(Question(matrix), gains, delays)
    assert swings is not None
    for row, gain in enumerate(gains):
        for column, delay in enumerate(delays):
            assert (swings[row, column] > 0) == (delay > theory.critical_delay(gain, matrix))
    assert sweep(Question(matrix), gains, delays, stop=lambda: True) is None
