"""Single neurons: their formulas, their order, and another solver."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_neurons
from ohmgrid.studies.onset import fhn_growth, hopf_points
from ohmgrid.studies.oscillation import oscillation_of, real
from ohmgrid.systems import Drive, Fhn, Lif


def test_hopf_points_by_the_growth_of_a_small_perturbation():
    low, high = hopf_points(Fhn(), 0.2, 1.6)
    assert low == pytest.approx(0.33128, rel=0.01)
    assert high == pytest.approx(1.41872, rel=0.01)
    for current in (0.32, 1.43):
        assert fhn_growth(Fhn(), current).rate < 0
    for current in (0.34, 1.41):
        assert fhn_growth(Fhn(), current).rate > 0


@pytest.mark.parametrize(("current", "period"), [(0.5, 39.5), (1.0, 36.7)])
def test_periods_of_fitzhugh_nagumo(current, period):
    neurons = make_neurons("compiled", Fhn(Drive((current,))))
    states, spikes = neurons.run(32 * 800)
    found = oscillation_of(real(states)[:, 0], 1 / 32).period
    assert found == pytest.approx(period, rel=0.01)
    assert spikes.sum() in (20, 21, 22)


def test_fitzhugh_nagumo_is_that_of_another_solver_to_second_order():
    times = np.arange(5.0, 80.0, 5.0)
    wanted = solve_ivp(
        lambda t, y: (y[0] - y[0] ** 3 / 3 - y[1] + 0.5, (y[0] + 0.7 - 0.8 * y[1]) / 12.5),
        (0, 80),
        (-1.0, 0.2),
        t_eval=times,
        rtol=1e-10,
        atol=1e-12,
    ).y

    def error(step: float) -> float:
        neurons = make_neurons("compiled", Fhn(Drive((0.5,)), step=step), 1, (-1.0, 0.2))
        values = real(neurons.run(round(80 / step))[0])[np.rint(times / step).astype(int) - 1, :, 0]
        return np.abs(values - wanted.T).max()

    errors = [error(step) for step in (1 / 4, 1 / 8, 1 / 16)]
    for coarse, fine in pairwise(errors):
        assert 3.4 < coarse / fine < 4.6
    # What is left is rounding: 1e-4 where v rises fast.
    assert error(1 / 128) < 2e-4


@pytest.mark.parametrize("refractory", [0.0, 0.1])
def test_rates_of_integrate_and_fire_over_a_decade_of_currents(refractory):
    currents = tuple(1.2 * 10 ** (k / 8) for k in range(9))
    neuron = Lif(Drive(currents), refractory=refractory, step=0.01)
    _, spikes = make_neurons("compiled", neuron, len(currents)).run(20000)
    for place, current in enumerate(currents):
        fired = np.flatnonzero(spikes[:, place])
        rate = (len(fired) - 1) / ((fired[-1] - fired[0]) * neuron.step)
        assert rate == pytest.approx(neuron.rate(current), rel=0.002)


def test_below_the_threshold_it_is_silent_and_above_a_kick_fires_at_once():
    quiet = make_neurons("compiled", Lif(Drive((0.99,))))
    states, spikes = quiet.run(2000)
    assert not spikes.any()
    assert real(states)[-1, 0, 0] == pytest.approx(0.99, abs=1e-6)
    drive = Drive((0.0,), rate=2.0, kick=1.5)
    _, spikes = make_neurons("compiled", Lif(drive, refractory=0.0), 50).run(10000)
    # Every event is a spike: 50 neurons, 100 RC, 2 an RC.
    assert spikes.sum() == pytest.approx(10000, abs=5 * 100)
    gaps = np.diff(np.flatnonzero(spikes[:, 0])) * 0.01
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.3)


def test_neurons_have_events_of_their_own_and_a_seed_brings_them_back():
    def run(seed: int) -> np.ndarray:
        drive = Drive((0.5,), rate=3.0, kick=0.3, seed=seed)
        return make_neurons("compiled", Lif(drive), 4).run(3000)[1]

    first = run(1)
    assert (first == run(1)).all()
    assert (first != run(2)).any()
    assert len({first[:, place].tobytes() for place in range(4)}) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lif(reset=1.0), "reset: expected less than the threshold"),
        (lambda: Lif(step=0.9), r"step: expected 0.0001..0.5, got 0.9"),
        (lambda: Lif(Drive(rate=500.0)), "event-rate: expected at most an event a sample, 100"),
        (lambda: Drive((99.0,)), "current: expected"),
        (lambda: make_neurons("model", Fhn(), 1, (1.0,)), "begin: expected v, w, got 1"),
        (lambda: make_neurons("model", Fhn(Drive((1.0, 2.0))), 3), "current: expected one, or"),
        (lambda: make_neurons("model", Fhn(), 0), "count: expected 1..1024, got 0"),
    ],
)
def test_wrong_neurons_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
