"""Networks with delay: their laws, their order, and another solver of equations with delay."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ohmgrid.config import Config
from ohmgrid.devices.presets import preset
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.dynamics import OnTile
from ohmgrid.engines import make_network
from ohmgrid.model.dynamics.laws import output
from ohmgrid.model.dynamics.network import Network
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.dynamics import OUT_FRAC, STATE_FRAC, net_registers
from ohmgrid.studies.oscillation import oscillation_of, real
from ohmgrid.systems import DelayNet

MATRIX = np.array([[-0.3, -0.5, 0.2], [-0.4, -0.1, -0.5], [-0.6, -0.3, -0.1]])
BEGIN = np.array([0.1, -0.05, 0.2])
INVERTER = -np.ones((1, 1))


@pytest.mark.parametrize("gain", [0.5, 3.0])
def test_a_neuron_is_its_function_and_no_stair(gain):
    registers = net_registers(DelayNet(gain=gain), 1)
    nodes = np.array(registers.nodes, np.int64)
    u = np.linspace(-3, 3, 20001)
    states = np.rint(np.ldexp(u, STATE_FRAC)).astype(np.int64)
    found = output(states, registers.gain, registers.gain_shift, nodes) / (1 << OUT_FRAC)
    # A straight line over 1/32 is off by 1/32^2 / 8 times the second derivative, at most 0.77.
    assert np.abs(found - np.tanh(gain * u)).max() < 0.77 / 32**2 / 8 + 2 / (1 << OUT_FRAC)
    near = np.arange(-50, 51, dtype=np.int64) << (STATE_FRAC - OUT_FRAC)
    own = output(near, registers.gain, registers.gain_shift, nodes)
    assert (np.abs(own - gain * np.arange(-50, 51)) <= 1).all()
    assert set(np.diff(own)) <= {int(gain), int(gain) + 1}


def test_delay_and_gain_are_registers_of_a_run():
    network = Network(DelayNet(2.0, (1.0,), 0.01), MATRIX)
    network.start(BEGIN)
    before = network.run(10)
    network.retune(DelayNet(3.0, (0.3, 0.2, 0.015), 0.01))
    assert network.registers.whole == (30, 20, 1)
    assert network.registers.part == (0, 0, 128)
    assert (network.run(10) != before).any()
    with pytest.raises(ConfigError, match="delay: expected at most 126 samples, got 200"):
        network.retune(DelayNet(3.0, (2.0,), 0.01))


def test_a_straight_line_between_samples_adds_no_delay_and_a_held_sample_adds_half_of_one():
    def period(delay: float, step: float, held: bool) -> float:
        network = make_network("compiled", DelayNet(4.0, (delay,), step), INVERTER)
        registers = network.registers  # type: ignore[attr-defined]
        if held:
            total = registers.old + registers.new
            network.registers = replace(registers, old=total, new=0)  # type: ignore[attr-defined]
        network.start(np.array([0.3]))
        found = oscillation_of(real(network.run(round(120 / step))), step).period
        assert found is not None
        return found

    fine, later = period(1.0, 0.002, False), period(1.02, 0.002, False)
    assert later - fine > 0.04
    assert period(1.0, 0.04, False) == pytest.approx(fine, abs=0.002)
    assert period(1.0, 0.04, True) == pytest.approx(later, abs=0.002)


def solved(gain: float, delays: tuple[float, ...], times: np.ndarray) -> np.ndarray:
    """Return the states of `MATRIX` by JiTCDDE: adaptive Bogacki and Shampine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jitcdde import jitcdde, t, y
        from symengine import tanh

        lines = range(len(MATRIX))
        fired: list[Any] = [tanh(gain * y(j, t - delays[j])) for j in lines]
        slopes = [-y(i) + sum(MATRIX[i, j] * fired[j] for j in lines) for i in lines]
        solver = jitcdde(slopes, verbose=False)
        solver.constant_past(BEGIN)
        # In Python: C would ask for Python's headers.
        solver.generate_lambdas(simplify=False)
        solver.set_integration_parameters(rtol=1e-8, atol=1e-10, first_step=1e-3, max_step=0.05)
        solver.step_on_discontinuities()
        return np.array([solver.integrate(time) for time in times])


def test_traces_are_those_of_another_solver_to_second_order():
    delays, times = (1.0, 1.5, 2.0), np.arange(10.0, 25.0)
    wanted = solved(4.0, delays, times)
    assert np.ptp(wanted, axis=0).max() > 0.3

    def error(step: float) -> float:
        network = make_network("compiled", DelayNet(4.0, delays, step), MATRIX)
        network.start(BEGIN)
        trace = real(network.run(round(times[-1] / step)))
        return np.abs(trace[np.rint(times / step).astype(int) - 1] - wanted).max()

    errors = [error(step) for step in (1 / 2, 1 / 4, 1 / 8, 1 / 16)]
    # docs/dynamics.md has them: a quarter for half a step.
    assert errors == pytest.approx([0.114, 0.0321, 0.00805, 0.0019], rel=0.02)
    # What is left is the table's: 1e-4 of an output.
    assert error(1 / 80) < 3e-4


def test_a_perfect_tile_is_the_exact_crossbar():
    device = ConstantStep(w_max_dtod=0.0, w_min_dtod=0.0, w_max=1.0, w_min=-1.0)
    tile = OnTile(Config(device=device, forward=ConverterConfig(perfect=True)))
    net = DelayNet(3.0, (0.7,), 0.02)
    traces = []
    for crossbar in (None, tile):
        network = make_network("compiled", net, MATRIX, crossbar)
        network.start(BEGIN)
        traces.append(real(network.run(1000)))
        assert network.clipped == 0
    # Outputs lose four bits at the tile's edge.
    assert 0 < np.abs(traces[0] - traces[1]).max() < 3e-3


def test_devices_that_leak_make_it_weaker():
    device = ConstantStep(w_max_dtod=0.0, w_min_dtod=0.0, lifetime=500.0, lifetime_dtod=0.0)
    config = Config(device=device, forward=ConverterConfig(perfect=True))
    drives = []
    for age in (0, 250):
        network = Network(DelayNet(), INVERTER, OnTile(config, age=age))
        network.start(np.array([1.0]))
        drives.append(network.state().y[0])
    assert drives[1] / drives[0] == pytest.approx(np.exp(-0.5), rel=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Network(DelayNet(), np.ones((2, 3))), "matrix: expected as many rows as columns"),
        (lambda: Network(DelayNet(), np.full((1, 1), np.nan)), "matrix: expected finite numbers"),
        (lambda: Network(DelayNet(), np.full((1, 1), 99.0)), "matrix: expected weights below 16"),
        (lambda: Network(DelayNet(delays=(1.0, 2.0)), MATRIX), "delay: expected one delay or one"),
        (lambda: Network(DelayNet(), MATRIX).start(np.ones(2)), "start: expected 3 states within"),
        (
            lambda: Network(DelayNet(), MATRIX, OnTile(Config(device=preset("pcm-3t1c")))),
            "device: expected a single device or a pair of them, got PcmCapacitor",
        ),
        (lambda: DelayNet(step=0.9), "step: expected"),
        (lambda: DelayNet(delays=(0.001,)), "delay: expected"),
        (lambda: DelayNet(delays=()), "delay: expected 1..1024 numbers"),
        (lambda: DelayNet(function="relu"), "function: expected one of tanh, clip"),
        (
            lambda: make_network("fpga", DelayNet(), MATRIX),
            "engine: expected one of model, compiled, rtl, virtual, PORT, got 'fpga'",
        ),
    ],
)
def test_wrong_networks_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
