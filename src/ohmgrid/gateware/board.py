"""The `board` engine: a net on a board, behind its link."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np

from ohmgrid.config import BuildConfig, Config
from ohmgrid.core import StateLost
from ohmgrid.doors.checks import ConfigError
from ohmgrid.gateware.core import GatewareCore
from ohmgrid.gateware.held import Gateware
from ohmgrid.host.driver import Examples, Item
from ohmgrid.host.identity import BoardError, BoardIdentity, parse_identity
from ohmgrid.host.link import Link
from ohmgrid.host.ports import Port, open_port
from ohmgrid.host.protocol import Op, command
from ohmgrid.host.records import RecordMaker, RecordTaker
from ohmgrid.model.core.order import Order
from ohmgrid.net import Answer, Net
from ohmgrid.registers.examples import ExampleError
from ohmgrid.registers.meters import TOTALS
from ohmgrid.registers.steps import Step
from ohmgrid.tile import TileState

__all__ = ["BoardCore", "BoardWay", "check_core", "config_of_board", "connect"]

ATTEMPTS = 5
NO_STORE = BuildConfig()
BLOCK_S, MOST_BLOCK = 0.3, 1 << 14
"""Seconds of a block: a host and a board wait for each other once in each."""


class BoardWay:
    """A way to the core of a board (`ohmgrid.host.driver.Transport`), in a session of its own.

    Parameters
    ----------
    link : Link
        Begins a session.
    build : BuildConfig
        Of the board.
    sets : sequence of Examples
        For its store.
    """

    def __init__(
        self, link: Link, build: BuildConfig = NO_STORE, sets: Sequence[Examples] = ()
    ) -> None:
        self.link, self._build = link, build
        link.begin()
        self._maker, self._taker = RecordMaker(), RecordTaker()
        self.keep(sets)

    def keep(self, sets: Sequence[Examples]) -> None:
        """Load the board's store, where it has one, with the sets that fit; wait until it is done.

        Raises
        ------
        BoardError
            The board had no room for what fits its build.
        """
        if not (self._build.store and sets):
            return
        # A command behind them is answered when all are there.
        last = self._maker.make([command(Op.COUNTER, TOTALS, 0)])
        self._exchange(chain(self._maker.keep(sets, self._build), last), 0, 1)
        if errors := self.link.status().example_errors:
            names = [error.name for error in ExampleError if errors & error]
            raise BoardError(
                f"board: expected room for {self._maker.kept} examples in its store, "
                f"got {', '.join(names)}"
            )

    @property
    def kept(self) -> int:
        """Examples that the board keeps."""
        return self._maker.kept

    def transact(
        self, items: Sequence[Item], results: int, answers: int
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Send commands and words as records, and wait for what comes; see `Transport`."""
        return *self._exchange(self._maker.make(items), results, answers), 0

    def _exchange(
        self, records: Iterable[bytes], results: int, answers: int
    ) -> tuple[np.ndarray, np.ndarray]:
        taker, link = self._taker, self.link

        def done() -> bool:
            if link.came:
                taker.take(bytes(link.came))
                link.came.clear()
            return len(taker.results) >= results and len(taker.answers) >= answers

        link.exchange(records, done)
        came = np.array(taker.results[:results], np.int64)
        answered = np.array(taker.answers[: max(answers, 0)], np.uint64)
        del taker.results[:results], taker.answers[: max(answers, 0)]
        return came, answered


def steadily(load: Callable[[], object]) -> None:
    """Load what a board is to hold; once more where it has begun anew meanwhile."""
    for _ in range(ATTEMPTS - 1):
        try:
            load()
        except StateLost:
            continue
        return
    load()


def tell(line: str) -> None:
    """Tell a user what becomes of the port."""
    print(line, file=sys.stderr, flush=True)


def connect(port: Port) -> tuple[Link, BoardIdentity]:
    """Return an open link, and what is behind it.

    Raises
    ------
    BoardError
        If the port cannot be opened, nobody answers, or it is of another protocol.
    """
    link = Link(port, tell)
    try:
        return link, parse_identity(link.identity())
    except BoardError as error:
        link.close()
        line = str(error)
        raise BoardError(line if line.startswith(port.name) else f"{port.name}: {line}") from None


def check_core(board: BoardIdentity, name: str) -> None:
    """Raise `BoardError` if a board has a dynamics unit, and no core."""
    if board.build.dynamics:
        raise BoardError(f"{name}: expected a core, got a dynamics unit; build it with a core")


def config_of_board(config: Config, board: BoardIdentity, name: str) -> Config:
    """Return a configuration with a board's build, which changes none of its bits.

    Raises
    ------
    BoardError
        If the board has other formats than the configuration asks for, or no core.
    """
    check_core(board, name)
    for field in ("weight_bits", "edge_bits", "curve_segments"):
        want, has = getattr(config.formats, field), getattr(board.formats, field)
        if want != has:
            raise BoardError(
                f"{name}: expected a board with formats.{field} = {want}, it has {has}; build it "
                f"with {want}, or train with {has}"
            )
    return config.replace(build=board.build)


class BoardCore(GatewareCore):
    """A net on a board that trains by itself.

    Parameters
    ----------
    config : Config
        Its build is left aside: the board has its own.
    net : Net
    name : str
        Of the port: ``PORT`` or ``PORT@BAUD``.

    Raises
    ------
    BoardError
        If the board is not there, or cannot hold the net: the line says what to build.
    """

    def __init__(self, config: Config, net: Net, name: str) -> None:
        port = open_port(name)
        self._sets: list[Examples] = []
        """Examples for the board's store, in each session anew."""
        self.link, board = connect(port)
        try:
            own = config_of_board(config, board, port.name)
            try:
                gateware = Gateware(own, net.shapes, self._begin)
                self._build = own.build
                steadily(lambda: super(BoardCore, self).__init__(own, net, gateware))
            except ConfigError as error:
                build = own.build
                raise BoardError(
                    f"{port.name}: its gateware ({build.lanes} lanes, {build.words} words a lane, "
                    f"{build.inputs} inputs, {build.outputs} outputs) cannot hold this net: "
                    f"{error}; build it with more"
                ) from None
        except BaseException:
            self.link.close()
            raise

    def _begin(self) -> BoardWay:
        self._way = BoardWay(self.link, self._build, self._sets)
        return self._way

    def keep(self, sets: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Load examples into the board's store, if they fit: then orders bring them, 3 bytes each.

        See `ohmgrid.core.Core.keep`. What does not fit is sent each time.
        """
        self._sets = [Examples(labels, pixels) for pixels, labels in sets]
        try:
            if not self.gateware.lost:
                self._way.keep(self._sets)
        except StateLost as lost:
            # With the next state they are loaded, too.
            self.gateware.lost = str(lost)

    @property
    def kept(self) -> int:
        """Examples that the board keeps."""
        return self._way.kept

    def load(self, states: Sequence[TileState]) -> None:
        """Take over the states of all layers, though the board may begin anew meanwhile."""
        steadily(lambda: super(BoardCore, self).load(states))

    def run(
        self, steps: list[Step], pixels: np.ndarray, labels: np.ndarray, order: Order
    ) -> list[Answer]:
        """Run a step table on the board, and learn how fast it is; see `GatewareCore.run`."""
        begin = time.perf_counter()
        answers = super().run(steps, pixels, labels, order)
        rate = len(labels) / max(time.perf_counter() - begin, 1e-6)
        self.block = min(max(int(BLOCK_S * rate), 1), MOST_BLOCK)
        return answers

    def close(self) -> None:
        """Close the port."""
        super().close()
        self.link.close()
