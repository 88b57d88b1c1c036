"""Examples that a board keeps: loaded once, ordered by number, the same bits as sent each time."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from tile_cases import LEAST

from ohmgrid.config import Config
from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_core
from ohmgrid.gateware.board import BoardCore
from ohmgrid.model.core.core import Core
from ohmgrid.net import Net
from ohmgrid.sim.virtual import PseudoTerminal, VirtualBoard, build_board
from ohmgrid.training.data import Dataset
from ohmgrid.training.plan import Plan
from ohmgrid.training.session import Session

BUILD = replace(LEAST, queue=4, words=400, inputs=40, outputs=30, edge=2, link=512)
BUILDS = {
    "bram": replace(BUILD, store=1024),
    "sdram": replace(BUILD, store=2048, store_in="sdram"),
}
PLAN = Plan(layers="16-8-10", epochs=2)
NET = Net((16, 8, 10))
KEPT = {(24, 6): 30, (24, 60): 24, (60, 6): 6, (90, 90): 0}
"""Of so many examples to train on and to test with; the larger parts do not fit."""


def config(where: str) -> Config:
    return Config(seed=11, batch=2, build=BUILDS[where], device=PRESETS["gokmen-vlasov"])


def random_data(rng: np.random.Generator, train: int, test: int) -> Dataset:
    x = rng.integers(0, 17, (train + test, 16)) << 8
    labels = rng.integers(0, 10, train + test)
    return Dataset("random", x[:train], labels[:train], x[train:], labels[train:], (16,))


class Served:
    """A virtual board that can begin anew behind the same port."""

    def __init__(self, where: str):
        self.line, self._config = PseudoTerminal(), config(where)
        self.start()

    def start(self) -> None:
        self._stop = threading.Event()
        board = VirtualBoard(self._config, self.line)
        self._thread = threading.Thread(target=board.serve, args=(self._stop,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


# A board of each kind is built: minutes.
SLOW = [pytest.param(where, marks=pytest.mark.slow) for where in ("sdram", "bram")]


@pytest.fixture(scope="module", params=SLOW)
def served(request):
    board = Served(request.param)
    yield board, config(request.param)
    board.stop()
    board.line.close()


def finish(session: Session) -> tuple[str, list]:
    """Train to the end; return what it came to."""
    assert session.run(lambda: False, lambda progress: None, lambda row: None)
    # Losses are summed block by block, and an engine learns how long its blocks are.
    left_out = ("seconds", "train_loss")
    rows = [{k: v for k, v in row.items() if k not in left_out} for row in session.history]
    return session.state_sha256, rows


@pytest.mark.parametrize(
    "sizes",
    [
        sizes if n % 3 == 0 else pytest.param(sizes, marks=pytest.mark.slow)
        for n, sizes in enumerate(KEPT)
    ],
)
def test_examples_that_are_kept_or_sent_give_the_same_bits(served, sizes, rng):
    (board, own), data = served, random_data(rng, *sizes)
    golden = Session(own, PLAN, data, Core(own, NET))
    core = BoardCore(own, NET, board.line.name)
    session = Session(own, PLAN, data, core)
    assert core.kept == KEPT[sizes]
    for one in (golden, session):
        one.start()
    assert finish(session) == finish(golden)
    # Examples that nobody has told of come as ever; values of another form too.
    for other in (random_data(rng, 9, 0), replace(data, train_x=data.train_x[:9] + 1)):
        x, labels = other.train_x[:9], other.train_labels[:9]
        assert core.train(x, labels, 0.1, 2) == golden.core.train(x, labels, 0.1, 2)
    assert core.train_one(data.train_x[0], 3, 0.1) == golden.core.train_one(data.train_x[0], 3, 0.1)
    assert session.state_sha256 == golden.state_sha256
    assert core.link.status().example_errors == 0
    core.close()


def test_a_board_that_begins_anew_is_loaded_again(served, rng):
    (board, own), data = served, random_data(rng, 24, 6)
    golden = Session(own, PLAN, data, Core(own, NET))
    core = BoardCore(own, NET, board.line.name)
    session, lost = Session(own, PLAN, data, core), list[str]()
    for one in (golden, session):
        one.start()
    session.advance()
    board.stop()
    board.start()
    assert session.run(lambda: False, lambda p: None, lambda row: None, lost.append)
    assert len(lost) == 1
    assert core.kept == 30
    assert finish(golden)[0] == session.state_sha256
    core.close()


def test_an_order_takes_three_bytes(served, rng):
    """Those of frames and of a host's acknowledgements come on top."""
    (board, own), data = served, random_data(rng, 24, 6)
    core, spent = BoardCore(own, NET, board.line.name), {}
    core.initialise()
    for sets in ([], [(data.train_x, data.train_labels)]):
        core.keep(sets)
        # Tables and forms go once.
        core.train(data.train_x, data.train_labels, 0.1, 2)
        written = []
        for count in (100, 400):
            chosen, before = rng.integers(0, 24, count), core.link.written
            core.train(data.train_x[chosen], data.train_labels[chosen], 0.1, 2)
            written.append(core.link.written - before)
        spent[len(sets)] = (written[1] - written[0]) / 300
    print(spent)
    assert 15 < spent[0] < 30
    assert 3 < spent[1] < 4
    core.close()


@pytest.mark.slow
def test_a_virtual_engine_trains_out_of_its_sdram(rng):
    own, data = config("sdram"), random_data(rng, 24, 6)
    results = []
    for engine in ("model", "virtual"):
        core = make_core(engine, own, NET)
        session = Session(own, PLAN, data, core)
        session.start()
        results.append(finish(session))
        core.close()
    assert results[0] == results[1]


def test_a_simulator_has_its_limit():
    large = config("sdram").replace(build={"store": 32 << 20})
    with pytest.raises(ConfigError, match=r"^build.store: expected at most 1048576 bytes of a sim"):
        build_board(large)
    with pytest.raises(ConfigError, match=r"^store: expected 0..33554432, got 33554464$"):
        large.replace(build={"store": (32 << 20) + 32})
    with pytest.raises(ConfigError, match=r"^store: expected 0..1048576, got 33554432$"):
        large.replace(build={"store_in": "bram"})
    with pytest.raises(ConfigError, match=r"^store: expected a multiple of 32, got 100$"):
        large.replace(build={"store": 100})
