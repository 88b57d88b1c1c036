"""A board at the pace of a line: the host is measured with it, and the line limits a training."""

import threading

import numpy as np
import pytest

from ohmgrid.config import BuildConfig, Config
from ohmgrid.gateware import check as check_module
from ohmgrid.gateware.board import BoardCore
from ohmgrid.gateware.check import BoardCheck
from ohmgrid.net import Net
from ohmgrid.studies.paced_board import BITS_A_BYTE, CLOCK_HZ, CYCLES, PacedBoard

BAUD = 400_000
CONFIG = Config(build=BuildConfig(lanes=4, words=64))


@pytest.fixture
def port():
    board, stop = PacedBoard(CONFIG, BAUD), threading.Event()
    thread = threading.Thread(target=board.serve, args=(stop.is_set,), daemon=True)
    thread.start()
    yield board.port
    stop.set()
    thread.join()
    board.close()


def test_the_line_limits_and_the_check_says_so(port, monkeypatch):
    monkeypatch.setattr(check_module, "SPEED_S", 0.3)
    monkeypatch.setattr(check_module, "FILL", 1000)
    with BoardCheck(port) as test:
        assert test.identity()["clock_hz"] == CLOCK_HZ
        assert sum(test.memory()) == 4 * test.cells
        assert test.memory_result["wrong"] == 0
        result = test.speed()
    assert result["limit"] == "link"
    assert result["core"]["examples_per_s"] == CLOCK_HZ / CYCLES
    # No faster than the line, and as fast as it but for what the machine is busy with.
    assert 0.3 * BAUD / BITS_A_BYTE < result["link"]["bytes_per_s"] < 1.3 * BAUD / BITS_A_BYTE


def test_every_example_is_answered(port, rng):
    core = BoardCore(CONFIG, Net((9, 5, 3)), port)
    pixels, labels = rng.integers(0, 16, (40, 9)), rng.integers(0, 3, 40)
    assert core.train(pixels, labels, 0.1).hits == 40
    weights = [tile.state().weights for tile in core.tiles]
    assert [w.shape for w in weights] == [(5, 10), (3, 6)]
    for tile in core.tiles:
        state = tile.state()
        tile.load(state._replace(weights=rng.integers(-9, 9, state.weights.shape)))
    assert not np.array_equal(core.tiles[0].state().weights, weights[0])
    core.close()
