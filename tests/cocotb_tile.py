"""Runs inside the simulator, on the tile of test_tile.py: streams that wait, resets, nonsense.

What goes into the streams is watched at the tile's ports and fed to the golden model; what comes
out is compared with what the model said, word by word.
"""

import random
from collections import deque
from dataclasses import asdict

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from ohmgrid.model.array.sweep import memory_order
from ohmgrid.model.core.tile import Tile, TileState
from ohmgrid.model.periphery.pulses import plan_update
from ohmgrid.registers.edge import pulse_registers
from ohmgrid.registers.protocol import (
    DEVICE_TABLES,
    TABLE_ARG,
    TILE_REGISTERS,
    Answer,
    Error,
    Op,
    command,
)
from ohmgrid.sim.rtl import TileDriver, countdowns, register_values
from ohmgrid.sim.runner import parameters
from ohmgrid.training.settings import parse_settings

CONFIG = parse_settings(parameters()["config"]).config()
RATES = [0.01, 0.2]
LIMIT = 100_000
MAX_ROWS = CONFIG.build.max_rows // (2 if CONFIG.device.paired else 1)
STEPS = ("forward_step", "backward_step", "update_step")
NAMES = list(TILE_REGISTERS)
TABLES = range(TABLE_ARG, TABLE_ARG + len(DEVICE_TABLES))


class Scoreboard:
    """The golden model, fed by what the tile takes; says what the tile must send."""

    def __init__(self, rows: int, cols: int):
        self.model = Tile(CONFIG, rows, cols)
        self.row, self.col = memory_order(*self.model.device_shape, CONFIG.build.lanes)
        self.results: deque[int] = deque()
        self.answers: deque[Answer] = deque()
        self.words: list[int] = []
        self.wanted = 0
        self.op = 0
        self.error = 0
        self.shape = (rows, cols)
        self.registers: dict[str, int] = {}
        self.x = self.d = np.zeros(0, np.int64)

    def _answer(self, bl: int = 0) -> None:
        """Expect an answer."""
        forward = self.op == Op.FORWARD
        multiplied = forward or self.op in (Op.BACKWARD, Op.BACKWARD_UPDATE)
        self.answers.append(
            Answer(
                self.op,
                self.error,
                self.model.passes if forward else 1,
                bl,
                self.model.saturated if multiplied else 0,
            )
        )
        self.error = 0

    def take_command(self, word: int) -> None:
        self.op, arg, value = word & 255, word >> 8 & 255, word >> 16
        if self.op == Op.SET:
            if arg < len(NAMES):
                self.registers[NAMES[arg]] = value
            elif arg >= parameters()["registers"] and arg not in TABLES:
                self.error |= Error.ILLEGAL
            return
        if self.op not in set(Op):
            self.error |= Error.ILLEGAL
        elif (self.registers["rows"], self.registers["cols"]) != self.shape:
            self.error |= Error.SHAPE
        elif self.op in (Op.LOAD_X, Op.LOAD_D, Op.WRITE_CELLS, Op.WRITE_REFERENCES):
            rows, cols = self.shape
            self.wanted = {Op.LOAD_X: cols, Op.LOAD_D: rows}.get(Op(self.op), self.row.size)
            self.words = []
            return
        else:
            self._work()
            return
        self._answer()

    def take_word(self, word: int) -> None:
        assert self.wanted > 0, "the tile takes a word that no command asked for"
        self.words.append(word)
        self.wanted -= 1
        if self.wanted:
            return
        values = np.array(self.words, np.int64)
        if self.op == Op.LOAD_X:
            self.x = values
        elif self.op == Op.LOAD_D:
            self.d = values
        elif self.op == Op.WRITE_CELLS:
            weights = np.zeros(self.model.device_shape, np.int32)
            weights[self.row, self.col] = values
            first, second, third = (self.registers[name] for name in STEPS)
            self.model.load(TileState(weights, (first, second, third)))
        self._answer()

    def _work(self) -> None:
        """Do what the command says, on the model."""
        lr = next((lr for lr in RATES if self._rate(lr) == self.registers["rate"]), RATES[0])
        if self.op == Op.FORWARD:
            self.results.extend(self.model.forward(self.x).tolist())
        elif self.op == Op.BACKWARD:
            self.results.extend(self.model.backward(self.d).tolist())
        elif self.op == Op.UPDATE:
            self.model.update(self.x, self.d, lr)
        elif self.op == Op.BACKWARD_UPDATE:
            self.results.extend(self.model.backward_update(self.x, self.d, lr).tolist())
        elif self.op == Op.READ_CELLS:
            self.results.extend(self.model.weights[self.row, self.col].tolist())
        self._answer(self._slots(lr) if self.op in (Op.UPDATE, Op.BACKWARD_UPDATE) else 0)

    def _slots(self, lr: float) -> int:
        """Return the bit length of an update."""
        formats = CONFIG.formats
        registers = pulse_registers(CONFIG, self.model.device.granularity, lr)
        largest = int(np.abs(self.x).max()), int(np.abs(self.d).max())
        fracs = formats.x_frac, formats.d_frac
        return plan_update(*largest, CONFIG.pulses, registers, fracs).bl

    def _rate(self, lr: float) -> int:
        return pulse_registers(CONFIG, self.model.device.granularity, lr).rate


class Bench:
    """Clock, reset and the four streams, each of which waits when it likes."""

    loaded = False
    """The device's tables are there: no reset clears a memory."""

    def __init__(self, dut, rows: int, cols: int, waiting: float):
        self.dut, self.rows, self.cols = dut, rows, cols
        self.commands: deque[int] = deque()
        self.inputs: deque[int] = deque()
        self.waiting = waiting
        self.scoreboard = Scoreboard(rows, cols)
        self.offered = {"cmd": False, "i": False}
        self.driver = TileDriver(None)

    async def start(self) -> None:
        """Reset, then load everything."""
        dut = self.dut
        for stream in ("cmd", "i"):
            getattr(dut, f"{stream}__valid").value = 0
        dut.o__ready.value = 0
        dut.r__ready.value = 0
        dut.rst.value = 1
        await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        self.commands.clear()
        self.inputs.clear()
        self.offered = {"cmd": False, "i": False}
        self.scoreboard = Scoreboard(self.rows, self.cols)
        model = self.scoreboard.model
        values = register_values(CONFIG, self.rows, self.cols, 0) | dict.fromkeys(STEPS, 7)
        left = countdowns(values, 7)
        self.commands.extend(self.driver.registers(values | left))
        aging = model.aging if left else None
        device = self.driver.device(model.device, CONFIG.formats.weight_bits, aging)
        if Bench.loaded:
            device = [word for word in device if word >> 8 & 255 not in TABLES]
        self.commands.extend(device)
        self.rate(RATES[0])
        self.commands.append(command(Op.SETUP))
        board = self.scoreboard
        references = model.population.static.reference[board.row, board.col].tolist()
        self.load(Op.WRITE_REFERENCES, references)
        top = int(0.7 / model.lsb)
        self.load(Op.WRITE_CELLS, [random.randint(-top, top) for _ in range(board.row.size)])
        waiting, self.waiting = self.waiting, self.waiting if Bench.loaded else 0.0
        await self.finish()
        self.waiting, Bench.loaded = waiting, True

    def set(self, **values: int) -> None:
        self.commands.extend(self.driver.registers(values))

    def rate(self, lr: float) -> None:
        granularity = self.scoreboard.model.device.granularity
        self.set(**asdict(pulse_registers(CONFIG, granularity, lr)))

    def load(self, op: Op, words: list[int]) -> None:
        self.commands.append(command(op))
        self.inputs.extend(words)

    def load_vectors(self) -> None:
        """New activations and errors, at least one of each not zero."""
        top = (1 << (CONFIG.formats.edge_bits - 1)) - 1
        for op, count in ((Op.LOAD_X, self.cols), (Op.LOAD_D, self.rows)):
            shift = random.randrange(8)
            words = [random.choice([0, 1, 1]) * (random.randint(-top, top) >> shift)
                     for _ in range(count)]  # fmt: skip
            words[random.randrange(count)] = top >> shift
            self.load(op, words)

    async def cycle(self) -> None:
        """Drive at the falling edge; what is then offered and accepted moves at the rising one."""
        dut = self.dut
        await FallingEdge(dut.clk)
        for stream, queue in (("cmd", self.commands), ("i", self.inputs)):
            # A word once offered stays.
            self.offered[stream] = bool(queue) and (
                self.offered[stream] or random.random() >= self.waiting
            )
            getattr(dut, f"{stream}__valid").value = self.offered[stream]
            if self.offered[stream]:
                payload = getattr(dut, f"{stream}__payload")
                payload.value = queue[0] & ((1 << len(payload)) - 1)
        for stream in ("o", "r"):
            getattr(dut, f"{stream}__ready").value = random.random() >= self.waiting
        await ReadOnly()
        assert not int(dut.errors.value) & Error.COLLISION
        if self.offered["i"] and int(dut.i__ready.value):
            self.scoreboard.take_word(self.inputs.popleft())
            self.offered["i"] = False
        if self.offered["cmd"] and int(dut.cmd__ready.value):
            self.scoreboard.take_command(self.commands.popleft())
            self.offered["cmd"] = False
        if int(dut.o__valid.value) and int(dut.o__ready.value):
            assert self.scoreboard.results, "a result that nothing asked for"
            assert dut.o__payload.value.to_signed() == self.scoreboard.results.popleft()
        if int(dut.r__valid.value) and int(dut.r__ready.value):
            self._check(Answer.decode(int(dut.r__payload.value)))

    def _check(self, answer: Answer) -> None:
        assert self.scoreboard.answers, "an answer that nothing asked for"
        assert not self.scoreboard.results, "an answer before the last result"
        expected = self.scoreboard.answers.popleft()
        if expected.error:
            assert (answer.op, answer.error) == (expected.op, expected.error)
        else:
            assert answer == expected

    async def finish(self) -> None:
        """Wait until the tile has done all that it was told."""
        for _ in range(LIMIT):
            await self.cycle()
            if not (self.commands or self.inputs or self.scoreboard.answers):
                return
        raise AssertionError(
            f"no end: {len(self.commands)} commands, {len(self.inputs)} words, "
            f"{len(self.scoreboard.answers)} answers left"
        )


async def bench_of(dut) -> Bench:
    Clock(dut.clk, 10, unit="ns").start()
    rows = random.randint(1, MAX_ROWS)
    cols = random.randint(1, CONFIG.build.max_cols)
    bench = Bench(dut, rows, cols, random.choice([0.0, 0.2, 0.6]))
    dut._log.info("%d x %d, streams wait with chance %g", rows, cols, bench.waiting)
    await bench.start()
    return bench


async def work(bench: Bench, operations: int) -> None:
    """Random operations on random vectors, then all cells."""
    for _ in range(operations):
        if random.random() < 0.5:
            bench.load_vectors()
        if random.random() < 0.3:
            bench.rate(random.choice(RATES))
        op = random.choice([Op.FORWARD, Op.BACKWARD, Op.UPDATE, Op.BACKWARD_UPDATE])
        bench.commands.append(command(op))
        if CONFIG.device.paired and op in (Op.UPDATE, Op.BACKWARD_UPDATE):
            # A refresh leaves vectors of its own.
            bench.load_vectors()
    bench.commands.append(command(Op.READ_CELLS))
    await bench.finish()


@cocotb.test()
async def operations_under_any_pace(dut):
    """Every result, every answer and every cell, whatever the streams' pace."""
    bench = await bench_of(dut)
    bench.load_vectors()
    await work(bench, 8)


@cocotb.test()
async def reset_in_the_middle(dut):
    """A reset at any time leaves nothing behind."""
    bench = await bench_of(dut)
    for op in (Op.FORWARD, Op.BACKWARD_UPDATE, Op.READ_CELLS):
        bench.load_vectors()
        bench.commands.append(command(op))
        for _ in range(random.randint(30, 500)):
            await bench.cycle()
        await FallingEdge(dut.clk)
        await bench.start()
    bench.load_vectors()
    await work(bench, 3)


@cocotb.test()
async def nonsense_changes_nothing(dut):
    """Unknown commands and registers and wrong shapes are reported, and nothing else happens."""
    bench = await bench_of(dut)
    bench.load_vectors()
    for op in (0, max(Op) + 1, 255):
        bench.commands.append(op | random.getrandbits(72) << 8)
    await work(bench, 1)
    for register in (parameters()["registers"], 254):
        bench.commands.append(command(Op.SET, register, random.getrandbits(64)))
    await work(bench, 1)
    build = CONFIG.build
    for rows, cols in ((0, 1), (1, 0), (MAX_ROWS + 1, 1), (1, build.max_cols + 1)):
        bench.set(rows=rows, cols=cols)
        bench.commands.extend(command(op) for op in Op if op != Op.SET)
    await bench.finish()
    bench.set(rows=bench.rows, cols=bench.cols)
    await work(bench, 2)
