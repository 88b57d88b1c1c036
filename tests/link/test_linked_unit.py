"""A dynamics unit behind its link: a virtual board has the golden model's bits."""

from threading import Event, Thread

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from ohmgrid.config import BuildConfig, Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.dynamics import OnTile
from ohmgrid.engines import make_core, make_network, make_neurons
from ohmgrid.gateware.check import BoardCheck
from ohmgrid.host.identity import BoardError
from ohmgrid.net import Net
from ohmgrid.sim.virtual import PseudoTerminal, VirtualBoard
from ohmgrid.systems import DelayNet, Drive, Lif


@pytest.mark.slow
def test_a_virtual_board_with_a_unit_gives_the_same_bits_and_says_what_it_has_not():
    matrix = np.array([[0.0, -0.9], [0.5, 0.0]])
    net = DelayNet(4.0, (0.3, 0.05), 0.05)
    both = [make_network(engine, net, matrix) for engine in ("model", "virtual")]
    for network in both:
        network.start(np.array([0.3, -0.2]))
    first, second = (network.run(40) for network in both)
    assert_array_equal(first, second)
    assert_array_equal(both[0].state().ring, both[1].state().ring)
    neuron = Lif(Drive((2.0, 3.0), 4.0, 0.3))
    states, spikes = zip(
        *(make_neurons(engine, neuron, 2).run(50) for engine in ("model", "virtual")), strict=True
    )
    assert_array_equal(*states)
    assert_array_equal(*spikes)
    assert spikes[0].any()
    with pytest.raises(ConfigError, match="device: expected none on a board"):
        make_network("virtual", net, matrix, OnTile(Config()))


@pytest.mark.slow
def test_a_board_with_a_unit_has_no_core_and_room_for_so_many_neurons():
    line, stop = PseudoTerminal(), Event()
    # The sizes of the test above: built once.
    build = BuildConfig(dynamics=16, ring=1 << 12, lanes=1)
    board = Thread(target=VirtualBoard(Config(build=build), line).serve, args=(stop,), daemon=True)
    board.start()
    try:
        neurons = make_neurons(line.name, Lif(Drive((2.0,))), 3)
        assert neurons.run(2)[0].shape == (2, 1, 3)
        del neurons
        with pytest.raises(BoardError, match=r"dynamics unit \(16 neurons, 4096 outputs .* 17"):
            make_neurons(line.name, Lif(), 17)
        with pytest.raises(BoardError, match="expected a core, got a dynamics unit"):
            BoardCheck(line.name)
        with pytest.raises(BoardError, match="expected a core, got a dynamics unit"):
            make_core(line.name, Config(), Net((2, 2), "relu", "squared"))
    finally:
        stop.set()
        board.join()
        line.close()
