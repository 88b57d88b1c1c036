"""The dynamics unit gives the golden model's bits: any network, any neurons, on a tile too."""

import numpy as np
import pytest
from dynamics_cases import SEEDS, delay_nets, neurons_of
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tile_cases import BUILDS

from ohmgrid.config import BuildConfig, Config
from ohmgrid.devices.presets import preset
from ohmgrid.doors.checks import ConfigError
from ohmgrid.dynamics import NetState, OnTile
from ohmgrid.engines import make_network, make_neurons
from ohmgrid.gateware.dynamics import UnitNetwork, UnitNeurons
from ohmgrid.gateware.dynamics_board import no_tile
from ohmgrid.hdl.dynamics.unit import Unit
from ohmgrid.host.protocol import command
from ohmgrid.model.dynamics.network import Network
from ohmgrid.model.dynamics.neurons import Neurons
from ohmgrid.registers.dynamics import OUT_FRAC, STATE_BITS, net_registers
from ohmgrid.sim.cxxrtl.library import build
from ohmgrid.sim.dynamics import SimulatedUnit
from ohmgrid.systems import DelayNet, Drive, Fhn, Lif

ENGINES = ("model", "rtl")


@given(st.data(), st.integers(1, 6), SEEDS)
def test_networks_are_equal_bit_for_bit(data, lines, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(lines, lines)) * data.draw(st.sampled_from([1e-6, 0.3, 3.0]))
    net, other = data.draw(delay_nets(lines)), data.draw(delay_nets(lines))
    both = [make_network(engine, net, matrix) for engine in ENGINES]
    begin = rng.uniform(-7.9, 7.9, lines)
    for network in both:
        network.start(begin)
    first, second = (network.run(30) for network in both)
    assert_array_equal(first, second)
    depth = len(both[0].state().ring)
    if net_registers(other, lines).depth <= depth:
        for network in both:
            network.retune(other)
    first, second = (network.run(9) for network in both)
    assert_array_equal(first, second)
    # Any state, up to the ends.
    top = (1 << (STATE_BITS - 1)) - 1
    u, y = rng.choice([-1, 1], (2, lines)) * (top >> rng.integers(0, 3, (2, lines)))
    ring = rng.integers(-1, 2, (depth, lines)) << OUT_FRAC
    samples = int(rng.integers(1 << 36))
    for network in both:
        network.load(NetState(u, y, ring, samples))
    first, second = (network.run(9) for network in both)
    assert_array_equal(first, second)
    for one, two in zip(*(network.state() for network in both), strict=True):
        assert_array_equal(one, two)


@given(st.data(), st.integers(1, 9))
def test_neurons_are_equal_bit_for_bit(data, count):
    neuron = data.draw(neurons_of(count))
    begin = tuple(data.draw(st.floats(-7.9, 7.9)) for _ in neuron.VARIABLES)
    both = [make_neurons(engine, neuron, count, begin) for engine in ENGINES]
    for samples in (25, 0, 15):
        for one, two in zip(*(neurons.run(samples) for neurons in both), strict=True):
            assert_array_equal(one, two)
    for one, two in zip(*(neurons.state() for neurons in both), strict=True):
        assert_array_equal(one, two)


@pytest.mark.parametrize(
    "neuron",
    [
        Lif(Drive((15.0,), 1.9, 8.0), threshold=8.0, reset=7.0, refractory=0.5 * 2**15, step=0.5),
        Lif(Drive((15.0,)), threshold=8.0, reset=-8.0, step=0.5),
        Lif(Drive((1.5,)), reset=-1.0, refractory=0.013, step=0.01),
        Fhn(Drive((15.0, -15.0), 0.3, 8.0), a=4.0, b=1.9, tau=0.1, threshold=0.0, step=0.25),
    ],
)
def test_neurons_at_the_ends_of_their_parameters(neuron):
    count = len(neuron.drive.currents)
    states, spikes = zip(
        *(make_neurons(e, neuron, count, (7.9,) * len(neuron.VARIABLES)).run(600) for e in ENGINES),
        strict=True,
    )
    assert_array_equal(*states)
    assert_array_equal(*spikes)
    assert spikes[0].any()


@pytest.mark.slow
def test_a_network_on_a_core_has_the_bits_of_a_tile(rng):
    """Unit and core are gateware both; vectors go from one to the other, no host between."""
    config = Config(seed=3, build=BUILDS[4], device=preset("gokmen-vlasov"))
    net = DelayNet(4.0, (0.3, 0.05, 0.12), 0.01)
    matrix = rng.normal(size=(3, 3))
    both = [make_network(engine, net, matrix, OnTile(config)) for engine in ENGINES]
    begin = rng.uniform(-1, 1, 3)
    for _ in range(2):
        for network in both:
            network.start(begin)
        for samples in (12, 0, 1):
            first, second = (network.run(samples) for network in both)
            assert_array_equal(first, second)
    for one, two in zip(*(network.state() for network in both), strict=True):
        assert_array_equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize(("neurons", "lanes"), [(1, 1), (2, 2), (8, 4)])
def test_no_bit_depends_on_sizes_and_lanes(neurons, lanes, rng):
    library = build(lambda: Unit(neurons, 16 * neurons, lanes), "unit")

    def reach(lines: int, outputs: int) -> SimulatedUnit:
        instance = library.instance()
        instance.reset()
        unit = SimulatedUnit(instance)
        unit.lanes = lanes
        return unit

    for lines in {1, neurons, max(1, neurons - 1)}:
        matrix = rng.normal(size=(lines, lines))
        net = DelayNet(3.0, tuple(rng.uniform(1, 10, lines) * 0.05), 0.05)
        both = [Network(net, matrix), UnitNetwork(net, matrix, None, reach, no_tile)]
        begin = rng.uniform(-1, 1, lines)
        for network in both:
            network.start(begin)
        first, second = (network.run(40) for network in both)
        assert_array_equal(first, second)
        neuron = Lif(Drive((2.0,), 3.0, 0.4))
        one, two = Neurons(neuron, lines), UnitNeurons(neuron, lines, (), reach)
        for found, wanted in zip(two.run(60), one.run(60), strict=True):
            assert_array_equal(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize(("lines", "depth"), [(17, 2), (100, 30), (256, 500)])
def test_a_large_network_has_the_same_bits(lines, depth, rng):
    matrix = rng.normal(size=(lines, lines)) / np.sqrt(lines)
    net = DelayNet(3.0, tuple(rng.uniform(1, depth, lines) * 0.01), 0.01)
    both = [make_network(engine, net, matrix) for engine in ("compiled", "rtl")]
    begin = rng.uniform(-1, 1, lines)
    for network in both:
        network.start(begin)
    for samples in (1, 6):
        first, second = (network.run(samples) for network in both)
        assert_array_equal(first, second)
    for one, two in zip(*(network.state() for network in both), strict=True):
        assert_array_equal(one, two)


def test_a_unit_refuses_what_it_does_not_know():
    unit = SimulatedUnit.alone(1, 0)
    answers = unit.transact([command(99), command(13)], 0, 2).answers
    assert answers.tolist() == [99 | 1 << 8, 13]
    network = make_network("rtl", DelayNet(), -np.ones((1, 1)))
    assert isinstance(network, UnitNetwork)
    with pytest.raises(ConfigError, match="delay: expected at most 254 samples, got 2000"):
        network.retune(DelayNet(delays=(10.0,)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ({"dynamics": 12}, "dynamics: expected a power of two"),
        ({"dynamics": 16, "ring": 32}, "ring: expected"),
        ({"dynamics": 8}, "lanes: expected"),
        ({"dynamics": 16, "store": 32}, "store: expected 0..0, got 32"),
    ],
)
def test_builds_that_no_unit_has_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        BuildConfig(**build)
