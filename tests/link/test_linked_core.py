"""The virtual board: a net trains over its link as in the model; what does not fit is refused."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tile_cases import LEAST

from ohmgrid.config import BuildConfig, Config
from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import check_engine, make_core
from ohmgrid.gateware import board as board_module
from ohmgrid.gateware import check as check_module
from ohmgrid.gateware.board import BoardCore
from ohmgrid.gateware.check import BoardCheck, memory_places
from ohmgrid.host import link as link_module
from ohmgrid.host.identity import BoardError, make_identity, parse_identity
from ohmgrid.host.ports import SerialPort, is_port, open_port
from ohmgrid.model.core.core import Core
from ohmgrid.net import Net
from ohmgrid.sim.virtual import PseudoTerminal, VirtualBoard

BUILD = replace(LEAST, queue=4, words=400, inputs=40, outputs=30, edge=2, link=512)
CONFIG = Config(seed=11, build=BUILD, device=PRESETS["gokmen-vlasov"])
NET = Net((16, 8, 10))
PROGRAM = sys.executable, "-c", "from ohmgrid.cli import main; main()"


@pytest.fixture(scope="module")
def port():
    """The port of a virtual board that is there for all tests."""
    line, stop = PseudoTerminal(), threading.Event()
    served = VirtualBoard(CONFIG, line)
    thread = threading.Thread(target=served.serve, args=(stop,), daemon=True)
    thread.start()
    yield line.name
    stop.set()
    thread.join()
    line.close()


def examples(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    levels = rng.integers(0, 17, (count, NET.layers[0])) << CONFIG.formats.x_frac - 4
    return levels, rng.integers(0, NET.layers[-1], count)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_net_trains_on_a_board_as_in_the_model(port, batch, rng):
    golden, board = Core(CONFIG.replace(batch=batch), NET), BoardCore(
        CONFIG.replace(batch=batch), NET, port
    )  # fmt: skip
    for core in (golden, board):
        core.initialise()
    for count in (1, 9, 30):
        pixels, labels = examples(rng, count)
        if count == 30:
            # More grey values than pixels have: 16 bits each.
            pixels = rng.integers(-4096, 4096, pixels.shape)
        assert board.train(pixels, labels, 0.1, batch) == golden.train(pixels, labels, 0.1, batch)
        assert board.count_hits(pixels, labels) == golden.count_hits(pixels, labels)
    assert board.counters == golden.counters
    for one, other in zip(board.state(), golden.state(), strict=True):
        assert_array_equal(one.weights, other.weights)
        assert one.steps == other.steps
    x, d = rng.integers(-3000, 3000, 17), rng.integers(-3000, 3000, 8)
    for core in (golden, board):
        core.update(0, x, d, 0.1)
    assert_array_equal(board.forward(0, x), golden.forward(0, x))
    assert_array_equal(board.backward(0, d), golden.backward(0, d))
    assert board.link.status().bad == 0
    board.close()


class BadLine(SerialPort):
    """A line that now and then changes a bit of what it carries, or loses some."""

    damages = 0

    def __init__(self, name: str, rng: np.random.Generator):
        super().__init__(name)
        self._rng = rng

    def _over(self, data: bytes) -> bytes:
        if not data or self._rng.random() > 0.03:
            return data
        self.damages += 1
        line, at = bytearray(data), int(self._rng.integers(len(data)))
        if self._rng.random() < 0.5:
            line[at] ^= 1 << int(self._rng.integers(8))
        else:
            del line[at : at + int(self._rng.integers(1, 300))]
        return bytes(line)

    def read(self, seconds: float) -> bytes:
        return self._over(super().read(seconds))

    def write(self, data: bytes) -> None:
        super().write(self._over(data))


def test_a_bad_line_changes_no_bit(port, rng, monkeypatch):
    line = BadLine(port, rng)
    monkeypatch.setattr(board_module, "open_port", lambda name: line)
    monkeypatch.setattr(link_module, "RETRY_S", 0.05)
    golden, core = Core(CONFIG, NET), BoardCore(CONFIG, NET, port)
    pixels, labels = examples(rng, 40)
    for one in (golden, core):
        one.initialise()
    while line.damages < 12:
        assert core.train(pixels, labels, 0.1) == golden.train(pixels, labels, 0.1)
    for one, other in zip(core.state(), golden.state(), strict=True):
        assert_array_equal(one.weights, other.weights)
    core.close()


def test_a_check_finds_nothing_and_names_the_limit(port, monkeypatch):
    monkeypatch.setattr(check_module, "SPEED_S", 0.1)
    monkeypatch.setattr(check_module, "FILL", 500)
    with BoardCheck(port) as test:
        assert test.identity()["lanes"] == 2
        assert sum(test.memory()) == 4 * test.cells
        assert test.memory_result == {"cells": test.cells, "wrong": 0, "first": ""}
        assert test.cells == BUILD.lanes * BUILD.words
        assert sum(test.train(60)) == 60
        assert test.where == ""
        result = test.speed()
    assert result["limit"] == "core"
    assert result["core"]["cycles"] > 100


def test_a_check_finds_what_differs(port, monkeypatch):
    real = Core.train

    def faulty(core, pixels, labels, lr, batch=1):
        outcome = real(core, pixels, labels, lr, batch)
        if type(core) is Core:
            core.tiles[1].weights[2, 3] += 1
        return outcome

    monkeypatch.setattr(Core, "train", faulty)
    with BoardCheck(port) as test:
        assert sum(test.train(60)) == 25
        assert test.where == "layer 1, row 2, column 3 by step 25"


@pytest.mark.parametrize(
    "build",
    [BUILD, BuildConfig(), BuildConfig(lanes=50, inputs=17, outputs=9, words=100)],
)
def test_places_of_the_memory_test_cover_all_that_an_array_reaches(build):
    places = [*memory_places(build)]
    assert places[0].base == 0
    for place, after in zip(places, [*places[1:], None], strict=True):
        end = place.base + place.words(build.lanes)
        assert end == (after.base if after else build.words)
        assert place.cols <= build.inputs
        assert place.rows <= build.outputs


def test_boards_that_do_not_fit_are_refused_in_a_line(port):
    with pytest.raises(BoardError, match=r"cannot hold this net: .*; build it with more"):
        BoardCore(CONFIG, Net((64, 32, 10)), port)
    other = CONFIG.replace(formats={"weight_bits": 14})
    with pytest.raises(BoardError, match=r"expected a board with formats.weight_bits = 14, it has"):
        BoardCore(other, NET, port)
    leaky = CONFIG.replace(device=PRESETS["capacitor"])
    with pytest.raises(BoardError, match=r"cannot hold this net: build\.\w+: expected true for"):
        BoardCore(leaky, NET, port)


def test_an_identity_says_what_was_built():
    config = Config(build=BuildConfig(lanes=84, words=2048, link=4096))
    data = make_identity(config, 80_000_000)
    identity = parse_identity(data)
    assert (identity.build, identity.clock_hz) == (config.build, 80_000_000)
    assert len(data) < 240
    with pytest.raises(BoardError, match="board: expected protocol 1, got 9; build it with this"):
        parse_identity(bytes([9]) + data[1:])
    with pytest.raises(BoardError, match="board: expected at least 23 bytes of it, got 5"):
        parse_identity(data[:5])
    with pytest.raises(BoardError, match="board: expected a description of its gateware"):
        parse_identity(data[:-1])
    with pytest.raises(BoardError, match="lames: expected an option that this version knows"):
        parse_identity(data.replace(b"lanes", b"lames"))
    with pytest.raises(BoardError, match=r"for what ohmgrid .* does not know; build it anew"):
        parse_identity(data.replace(b"84", b"83"))


def test_ports_that_are_none_get_their_line(tmp_path):
    with pytest.raises(BoardError, match=r"/dev/ttyNONE9: no such port; there are: "):
        open_port("/dev/ttyNONE9").open()
    (tmp_path / "file").write_text("")
    with pytest.raises(BoardError, match="file: expected a serial port, got an error"):
        open_port(str(tmp_path / "file")).open()
    with pytest.raises(ConfigError, match="engine: expected PORT@BAUD with bits a second"):
        open_port("/dev/ttyUSB0@fast")
    assert open_port("/dev/ttyUSB0@115200").baud == 115200
    assert is_port("COM3")
    assert not is_port("rtl")
    check_engine("/dev/ttyUSB0")
    with pytest.raises(
        ConfigError, match="engine: expected one of model, compiled, rtl, virtual, PORT"
    ):
        check_engine("boart")


def test_a_port_in_use_gets_its_line(port):
    first = open_port(port)
    first.open()
    with pytest.raises(BoardError, match="busy: another program uses it; close that one first"):
        open_port(port).open()
    first.close()


def run(*arguments: object, code: int = 0) -> str:
    """Run the program; return what it prints."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout


class Served:
    """A virtual board in a process of its own."""

    def __init__(self, folder: Path):
        self.name, self._config = folder / "board", folder / "board.toml"
        lines = [f"{k} = {json.dumps(v)}" for k, v in vars(BUILD).items()]
        self._config.write_text("[build]\n" + "\n".join(lines) + "\n")
        self.start()

    def start(self) -> None:
        command = [*PROGRAM, "board", "serve", "--virtual", "--json"]
        self._process = subprocess.Popen(
            [*command, "--name", str(self.name), "--config", str(self._config)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        said = json.loads(self._process.stdout.readline())
        assert said["port"] == str(self.name)

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._close()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(20) == 0
        self._close()
        assert not os.path.lexists(self.name)

    def _close(self) -> None:
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


RUN = ("--data", "digits", "--pool", "2", "--layers", "16-8-10", "--device", "gokmen-vlasov")


@pytest.mark.slow
@pytest.mark.parametrize(("hosts", "boards"), [(20, 5)])
def test_whatever_is_killed_a_run_ends_with_the_same_bits(tmp_path, rng, hosts, boards):
    """The host at random moments, and the board: each goes on from the last checkpoint."""
    want = json.loads(run("train", *RUN, "--epochs", 1, "--engine", "compiled", "--json"))
    served, out = Served(tmp_path), tmp_path / "run"
    command = ["train", *RUN, "--epochs", 1, "--checkpoint-every", 0.3, "--out", out]

    def start() -> subprocess.Popen:
        there = (out / "checkpoint.npz").exists()
        options = ["--resume"] if there else ["--force"]
        return subprocess.Popen(
            [*PROGRAM, *map(str, command), *options, "--engine",
             str(served.name)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wait_for_a_checkpoint() -> None:
        while not (out / "checkpoint.npz").exists() and process.poll() is None:
            time.sleep(0.05)

    killed = [*["host"] * hosts, *["board"] * boards]
    rng.shuffle(killed)
    process = start()
    try:
        wait_for_a_checkpoint()
        for what in killed:
            time.sleep(float(rng.uniform(0.3, 3.0)))
            if process.poll() is not None:
                break  # it was faster
            if what == "host":
                process.kill()
                process.communicate()
                process = start()
            else:
                served.kill()
                served.start()
        errors = ""
        for _ in range(boards + 1):
            _, errors = process.communicate(timeout=300)
            if process.returncode == 0:
                break
            # A board was killed while the host had not yet seen that it is one.
            assert "the port has gone" in errors or "no such port" in errors, errors
            process = start()
        assert process.returncode == 0, errors
        served.stop()
    finally:
        process.kill()
        process.communicate()
        served.kill()
    found = json.loads((out / "metrics.json").read_text())
    assert found["state_sha256"] == want["state_sha256"]
    assert found["counters"] == want["counters"]
    assert found["lanes"] == BUILD.lanes


def test_a_virtual_engine_starts_a_board_by_itself(rng):
    golden, core = Core(CONFIG, NET), make_core("virtual", CONFIG, NET)
    pixels, labels = examples(rng, 8)
    for one in (golden, core):
        one.initialise()
        one.train(pixels, labels, 0.1)
    for one, other in zip(core.state(), golden.state(), strict=True):
        assert_array_equal(one.weights, other.weights)
    core.close()
