"""The self-test of a board: who it is, its memory, its bits, and its speed."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import ConfigError
from ohmgrid.gateware.board import BoardCore, BoardWay, check_core, connect
from ohmgrid.host.driver import CoreDriver
from ohmgrid.host.identity import BoardError, BoardIdentity
from ohmgrid.host.ports import open_port
from ohmgrid.host.protocol import Op, command
from ohmgrid.host.registers import entry_values
from ohmgrid.model.core.core import Core
from ohmgrid.net import Net
from ohmgrid.registers.layout import Place
from ohmgrid.registers.meters import cycles_by_verb

__all__ = ["BoardCheck"]

NETS = ((64, 32, 10), (12, 8, 4), (4, 3, 2))
"""The first one that the board holds is trained."""
RATE, SEED = 0.1, 20
BLOCK = 25
"""Steps between two comparisons."""
FILL = 20_000
"""Register writes that the speed of the link is measured with."""
SPEED_S = 2.0
"""Seconds of training that the speed is measured over, at least."""


def _board_config(board: BoardIdentity) -> Config:
    """Return a configuration of simple devices for a board."""
    usual, has = FormatConfig(), board.formats
    formats = FormatConfig(
        weight_bits=has.weight_bits,
        edge_bits=has.edge_bits,
        x_frac=min(usual.x_frac, has.edge_bits - 2),
        d_frac=min(usual.d_frac, has.edge_bits - 2),
        curve_segments=has.curve_segments,
    )
    return Config(seed=SEED, formats=formats, build=board.build, device=PRESETS["gokmen-vlasov"])


def memory_places(build: BuildConfig) -> Iterator[Place]:
    """Yield arrays of one device a cell that together hold all cells that an array can hold.

    Lanes lie along the longer side of the edge; where even that is shorter than the lanes are
    many, those behind it hold no cells.
    """
    turned = build.outputs > build.inputs
    along, across = (build.outputs, build.inputs) if turned else (build.inputs, build.outputs)
    blocks = max(1, along // build.lanes)
    lines = min(along, blocks * build.lanes)
    base = 0
    while base < build.words:
        left = build.words - base
        fitting = min(blocks, left)
        serial = min(across, left // fitting)
        lane_lines = min(lines, fitting * build.lanes)
        rows, cols = (lane_lines, serial) if turned else (serial, lane_lines)
        yield Place(rows, cols, 1, turned, base, 0, 0)
        base += fitting * serial


class BoardCheck:
    """One board under test; a context.

    Parameters
    ----------
    name : str
        Of its port: ``PORT`` or ``PORT@BAUD``.

    Attributes
    ----------
    where : str
        The first difference of a training, if there is one.
    memory_result : dict
        What `memory` found: ``cells``, how many of them were ``wrong``, and the ``first``.
    """

    def __init__(self, name: str) -> None:
        self._name, self._port = name, open_port(name)
        self._link, self._board = connect(self._port)
        try:
            check_core(self._board, self._port.name)
        except BoardError:
            self._link.close()
            raise
        self._config = _board_config(self._board)
        self._core: BoardCore | None = None
        self._golden: Core | None = None
        self.where = ""
        self.memory_result: dict[str, Any] = {}

    def __enter__(self) -> "BoardCheck":
        return self

    def __exit__(self, *error: object) -> None:
        if self._core is not None:
            self._core.close()
        self._link.close()

    def identity(self) -> dict[str, Any]:
        """Return what the board says it is."""
        board = self._board
        return {
            "program": board.program,
            "gateware": board.digest.hex(),
            "clock_hz": board.clock_hz,
            "lanes": board.build.lanes,
            "words": board.build.words,
        }

    @property
    def cells(self) -> int:
        """Cells that `memory` writes and reads, once for each pattern."""
        return sum(place.rows * place.cols for place in memory_places(self._board.build))

    def memory(self) -> Iterator[int]:
        """Write random words into all cells and read them, then their negatives.

        Yield how many cells were tested since; the result is `memory_result`.
        """
        wrong, tested, first = 0, 0, ""
        driver, rng = CoreDriver(BoardWay(self._link)), np.random.default_rng(SEED)
        top = (1 << (self._config.formats.weight_bits - 1)) - 1
        places = [*memory_places(self._board.build)]
        words = [rng.integers(-top, top + 1, place.rows * place.cols) for place in places]
        physics = self._config.build.read_physics
        for sign in (1, -1):
            for op in (Op.WRITE_CELLS, Op.READ_CELLS):
                for number, place in enumerate(places):
                    entry = driver.entry(0, entry_values(self._config, place, 0), physics)
                    want = sign * words[number]
                    if op == Op.WRITE_CELLS:
                        driver.run([*entry, command(op), want])
                        yield want.size
                        continue
                    found, _ = driver.run([*entry, command(op)], want.size)
                    differ = np.flatnonzero(found != want)
                    if differ.size and not wrong:
                        at = int(differ[0])
                        first = f"cell {at} of array {number}: {found[at]} for {want[at]}"
                    wrong += int(differ.size)
                    tested += want.size if sign > 0 else 0
                    yield want.size
        self.memory_result = {"cells": tested, "wrong": wrong, "first": first}

    def _start(self) -> tuple[BoardCore, Core]:
        """Return the cores of board and model with a net that the board holds."""
        if self._core is None or self._golden is None:
            self._link.close()
            last: BoardError | None = None
            for layers in NETS:
                net = Net(layers)
                try:
                    self._core = BoardCore(self._config, net, self._name)
                except BoardError as error:
                    last = error
                    continue
                self._golden = Core(self._core.config, net)
                return self._core, self._golden
            raise last or ConfigError("port", "expected a board that holds a net")
        return self._core, self._golden

    def _examples(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return random examples of few grey values, as pictures have them."""
        core, _ = self._start()
        levels = rng.integers(0, 17, (count, core.net.layers[0]))
        levels[rng.random(levels.shape) < 0.5] = 0
        pixels = levels << max(core.config.formats.x_frac - 4, 0)
        return pixels, rng.integers(0, core.net.layers[-1], count)

    def train(self, steps: int) -> Iterator[int]:
        """Train on the board and in the model; yield how many steps were equal since."""
        core, golden = self._start()
        rng = np.random.default_rng(SEED + 1)
        for one in (core, golden):
            one.initialise()
        done = 0
        while done < steps and not self.where:
            pixels, labels = self._examples(min(BLOCK, steps - done), rng)
            found, want = (one.train(pixels, labels, RATE) for one in (core, golden))
            if found != want:
                self.where = f"hits and loss by step {done + len(labels)}"
            for layer, (one, other) in enumerate(zip(core.state(), golden.state(), strict=True)):
                differ = np.argwhere(one.weights != other.weights)
                if differ.size and not self.where:
                    row, col = differ[0].tolist()
                    self.where = (
                        f"layer {layer}, row {row}, column {col} by step {done + len(labels)}"
                    )
            done += len(labels)
            yield len(labels)

    def speed(self) -> dict[str, Any]:
        """Return the speeds of link and core, and which of them limits a training."""
        core, _ = self._start()
        link = core.link
        way = core.gateware.driver.way
        # The link alone: registers that are written again and again.
        writes = [command(Op.SET, 0, SEED)] * FILL
        begin, before = time.perf_counter(), link.written
        way.transact([*writes, command(Op.COUNTER, 0, 0)], 0, 1)
        bytes_per_s = (link.written - before) / (time.perf_counter() - begin)
        pixels, labels = self._examples(256, np.random.default_rng(SEED + 2))
        examples, before = 0, link.written
        start, begin = link.status(), time.perf_counter()
        core.clock.clear()
        while time.perf_counter() - begin < SPEED_S or not examples:
            core.train(pixels, labels, RATE)
            examples += len(labels)
        seconds, end = time.perf_counter() - begin, link.status()
        cycles = sum(cycles_by_verb(core.clock).values()) / core.clock["examples"]
        clock = self._board.clock_hz or ((end.cycles - start.cycles) % (1 << 32)) / seconds
        together, core_rate = examples / seconds, clock / cycles
        link_rate = bytes_per_s * examples / (link.written - before)
        return {
            "net": "-".join(map(str, core.net.layers)),
            "link": {
                "bytes_per_s": bytes_per_s,
                "bytes_an_example": (link.written - before) / examples,
                "examples_per_s": link_rate,
                "bad": end.bad,
                "dropped": end.dropped,
            },
            "core": {"cycles": cycles, "clock_hz": clock, "examples_per_s": core_rate},
            "examples_per_s": together,
            "limit": "link" if link_rate < core_rate else "core",
        }
