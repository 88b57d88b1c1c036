"""Runs inside the simulator, on the core of test_gateware.py: streams that wait, resets, nonsense.

What goes into the streams is watched at the core's ports and fed to the golden model; what comes
out is compared with what the model said, word by word.
"""

import random
from collections import deque
from dataclasses import asdict
from functools import partial

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from ohmgrid.config import LayoutConfig
from ohmgrid.host.driver import CoreDriver
from ohmgrid.host.protocol import EXAMPLES_BITS, INNER, SILENT, Answer, Error, Op, command
from ohmgrid.host.registers import core_values, countdowns, entry_values
from ohmgrid.host.trainer import load_activation, load_places, load_scales, load_steps
from ohmgrid.model.array.sweep import memory_order
from ohmgrid.model.core.core import Core
from ohmgrid.model.core.sequencer import Order
from ohmgrid.model.core.tile import Tile, TileState
from ohmgrid.model.periphery.pulses import plan_update
from ohmgrid.net import Net
from ohmgrid.registers import orders
from ohmgrid.registers.arrays import ENTRIES, STEPS
from ohmgrid.registers.edge import pulse_registers
from ohmgrid.registers.layout import Place, place_arrays
from ohmgrid.registers.map import CORE, DEVICE, TABLES, TRAINER
from ohmgrid.sim.runner import parameters
from ohmgrid.training.settings import parse_settings

CONFIG = parse_settings(parameters()["config"]).config()
RATES = [0.05]
STEP = 7
LIMIT = 100_000
MAX_ROWS = CONFIG.build.outputs // 2 // CONFIG.device.devices
MAX_COLS = CONFIG.build.inputs // 2
REGISTERS = {register.number for register in (*CORE.values(), *DEVICE.values())}
REGISTERS |= {*TABLES.values(), *TRAINER.values()}
VERBS = [op for op in Op if op not in (*SILENT, *INNER, Op.RUN, Op.COUNTER)]
"""Commands on an array."""
PAIRED = CONFIG.device.paired


class Array:
    """One array: its golden model, its vectors, and the state that the core holds of it."""

    def __init__(self, place: Place, number: int):
        self.place, self.number = place, number
        self.model = Tile(CONFIG, place.rows, place.cols, number)
        self.row, self.col = memory_order(
            *self.model.device_shape, CONFIG.build.lanes, place.turned, place.devices
        )
        self.x = np.zeros(place.cols, np.int64)
        self.d = np.zeros(place.rows, np.int64)
        self.lr = RATES[0]

    def slots(self) -> int:
        """Return the bit length of an update."""
        formats = CONFIG.formats
        registers = pulse_registers(CONFIG, self.model.device.granularity, self.lr)
        largest = int(np.abs(self.x).max()), int(np.abs(self.d).max())
        fracs = formats.x_frac, formats.d_frac
        return plan_update(*largest, CONFIG.pulses, registers, fracs).bl


class Scoreboard:
    """Golden models, fed by what the core takes; they say what it must send."""

    def __init__(self, places: list[Place]):
        self.arrays = [Array(place, number) for number, place in enumerate(places)]
        self.results: deque[int] = deque()
        self.answers: deque[Answer] = deque()
        self.words: list[int] = []
        self.wanted = 0
        self.op = 0
        self.error = 0
        self.array = self.arrays[0]
        self.steps = (STEP, STEP, STEP)
        self.learn = lambda: []
        """Trains with the examples of the next run; returns their answers."""

    def _answer(self, bl: int = 0) -> None:
        """Expect an answer."""
        forward, model = self.op == Op.FORWARD, self.array.model
        multiplied = forward or self.op == Op.BACKWARD
        self.answers.append(
            Answer(
                self.op,
                self.error,
                model.passes if forward else 1,
                bl,
                model.saturated if multiplied else 0,
            )
        )
        self.error = 0

    def take_command(self, word: int) -> None:
        self.op, arg = word & 255, word >> 8 & 255
        if self.op == Op.SET:
            if arg not in REGISTERS:
                self.error |= Error.ILLEGAL
            return
        if self.op == Op.RUN:
            told = [Answer(Op.COUNT, 0, answer.hit, 0, answer.word) for answer in self.learn()]
            self.answers.extend([*told, Answer(Op.RUN, 0, 1, 0, 0)])
            return
        if self.op not in (*VERBS, Op.ENTRY) or arg >= ENTRIES:
            self.error |= Error.ILLEGAL
        elif self.op == Op.ENTRY:
            return
        elif arg >= len(self.arrays):
            self.error |= Error.SHAPE
        else:
            self.array = array = self.arrays[arg]
            if self.op in (Op.LOAD_X, Op.LOAD_D, Op.WRITE_CELLS, Op.WRITE_REFERENCES):
                counts = {Op.LOAD_X: array.place.cols, Op.LOAD_D: array.place.rows}
                self.wanted = counts.get(Op(self.op), array.row.size)
                self.words = []
            else:
                self._work()
            return
        self._answer()

    def take_word(self, word: int) -> None:
        if self.op == Op.RUN:
            return
        assert self.wanted > 0, "the core takes a word that no command asked for"
        self.words.append(word)
        self.wanted -= 1
        if self.wanted:
            return
        values, array = np.array(self.words, np.int64), self.array
        if self.op == Op.LOAD_X:
            array.x = values
        elif self.op == Op.LOAD_D:
            array.d = values
        elif self.op == Op.WRITE_CELLS:
            weights = np.zeros(array.model.device_shape, np.int32)
            weights[array.row, array.col] = values
            steps = array.model.state().steps if array.model.weights.any() else self.steps
            array.model.load(TileState(weights, steps))
        self._answer()

    def _work(self) -> None:
        """Do what the command says, on the model."""
        array = self.array
        model = array.model
        if self.op == Op.FORWARD:
            self.results.extend(model.forward(array.x).tolist())
        elif self.op == Op.BACKWARD:
            self.results.extend(model.backward(array.d).tolist())
        elif self.op == Op.UPDATE:
            model.update(array.x, array.d, array.lr)
        elif self.op == Op.READ_CELLS:
            self.results.extend(model.weights[array.row, array.col].tolist())
        self._answer(array.slots() if self.op == Op.UPDATE else 0)


class Bench:
    """Clock, reset and the four streams, each of which waits when it likes."""

    loaded = False
    """The device's tables are there: no reset clears a memory."""

    def __init__(self, dut, places: list[Place], waiting: float):
        self.dut, self.places = dut, places
        self.commands: deque[int] = deque()
        self.inputs: deque[int] = deque()
        self.waiting = waiting
        self.scoreboard = Scoreboard(places)
        self.offered = {"cmd": False, "i": False}
        self.driver = CoreDriver(None)

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
        self.scoreboard = Scoreboard(self.places)
        values = core_values(CONFIG)
        self.commands.extend(self.driver.registers(values))
        model = self.scoreboard.arrays[0].model
        aging = model.aging if countdowns(values, 0) else None
        device = self.driver.device(model.device, CONFIG.formats.weight_bits, aging)
        if Bench.loaded:
            device = [word for word in device if word >> 8 & 255 not in TABLES.values()]
        self.commands.extend(device)
        for number in range(len(self.places), ENTRIES):
            # What a memory holds from before is none of these arrays.
            self.entry(number, {})
        for array in self.scoreboard.arrays:
            self.place(array)
            self.commands.append(command(Op.SETUP, array.number))
            references = array.model.population.static.reference[array.row, array.col].tolist()
            if CONFIG.build.references:
                self.load(Op.WRITE_REFERENCES, array, references)
            top = int(0.7 / array.model.lsb)
            words = [random.randint(-top, top) for _ in range(array.row.size)]
            self.load(Op.WRITE_CELLS, array, words)
        waiting, self.waiting = self.waiting, self.waiting if Bench.loaded else 0.0
        await self.finish()
        self.waiting, Bench.loaded = waiting, True

    def entry(self, number: int, values: dict[str, int]) -> None:
        self.commands.extend(self.driver.entry(number, values, CONFIG.build.read_physics))

    def place(self, array: Array) -> None:
        """Write the whole entry of an array, as before any operation."""
        granularity = array.model.device.granularity
        self.entry(
            array.number,
            entry_values(CONFIG, array.place, array.number)
            | asdict(pulse_registers(CONFIG, granularity, array.lr))
            | dict.fromkeys(STEPS, STEP)
            | countdowns(core_values(CONFIG), STEP),
        )

    def load(self, op: Op, array: Array, words: list[int]) -> None:
        self.commands.append(command(op, array.number))
        self.inputs.extend(words)

    def load_vectors(self, array: Array) -> None:
        """New activations and errors, at least one of each not zero."""
        top = (1 << (CONFIG.formats.edge_bits - 1)) - 1
        for op, count in ((Op.LOAD_X, array.place.cols), (Op.LOAD_D, array.place.rows)):
            shift = random.randrange(8)
            words = [random.choice([0, 1, 1]) * (random.randint(-top, top) >> shift)
                     for _ in range(count)]  # fmt: skip
            words[random.randrange(count)] = top >> shift
            self.load(op, array, words)

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
        """Wait until the core has done all that it was told."""
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
    devices = 2 if PAIRED else 1
    shapes = [
        (random.randint(1, MAX_ROWS), random.randint(1, MAX_COLS))
        for _ in range(random.choice([1, 2]))
    ]
    turned = tuple(number for number in range(len(shapes)) if random.random() < 0.5)
    places = place_arrays(shapes, devices, CONFIG.build, LayoutConfig(turned))
    bench = Bench(dut, places, random.choice([0.0, 0.2, 0.6]))
    dut._log.info("%s, turned %s, streams wait with chance %g", shapes, turned, bench.waiting)
    await bench.start()
    for array in bench.scoreboard.arrays:
        bench.load_vectors(array)
    return bench


async def work(bench: Bench, operations: int) -> None:
    """Random operations on random vectors, then all cells."""
    for _ in range(operations):
        array = random.choice(bench.scoreboard.arrays)
        if random.random() < 0.5:
            bench.load_vectors(array)
        op = random.choice([Op.FORWARD, Op.BACKWARD, Op.UPDATE])
        bench.commands.append(command(op, array.number))
        if PAIRED and op == Op.UPDATE:
            # A refresh leaves vectors of its own.
            bench.load_vectors(array)
    bench.commands.extend(command(Op.READ_CELLS, array.number) for array in bench.scoreboard.arrays)
    await bench.finish()


@cocotb.test()
async def operations_under_any_pace(dut):
    """Every result, every answer and every cell, whatever the streams' pace."""
    bench = await bench_of(dut)
    await work(bench, 12)


@cocotb.test()
async def training_under_any_pace(dut):
    """The first array alone, as a net: every answer and every cell, whatever the streams' pace."""
    bench = await bench_of(dut)
    for loss in ("cross-entropy", "squared"):
        array, frac = bench.scoreboard.arrays[0], CONFIG.formats.x_frac
        net = Net((array.place.cols - 1, array.place.rows), "sigmoid", loss)
        core = Core(CONFIG, net, tiles=[array.model])
        steps = orders.training(1, net.activation, net.softmax)
        pixels = np.array(
            [[random.randint(0, 1 << frac) for _ in range(net.layers[0])] for _ in range(3)]
        ).reshape(3, -1)
        labels = np.array([random.randrange(net.layers[1]) for _ in range(3)])
        order = Order(rate=array.lr)
        bench.scoreboard.learn = partial(core.run, steps, pixels, labels, order)
        bench.commands.extend(load_scales(core.scales) + load_places(bench.places[:1]))
        bench.commands.extend(load_activation("sigmoid", frac) + load_steps(steps))
        bench.commands.append(command(Op.RUN, 0, 1 << EXAMPLES_BITS | len(labels)))
        bench.inputs.extend(np.column_stack([labels, pixels]).ravel().tolist())
        bench.commands.append(command(Op.READ_CELLS, array.number))
        waiting, bench.waiting = bench.waiting, min(bench.waiting, 0.2)
        await bench.finish()
        bench.waiting = waiting


@cocotb.test()
async def reset_in_the_middle(dut):
    """A reset at any time leaves nothing behind."""
    bench = await bench_of(dut)
    for op in (Op.FORWARD, Op.BACKWARD, Op.UPDATE, Op.READ_CELLS):
        array = random.choice(bench.scoreboard.arrays)
        bench.load_vectors(array)
        bench.commands.append(command(op, array.number))
        for _ in range(random.randint(30, 500)):
            await bench.cycle()
        await FallingEdge(dut.clk)
        await bench.start()
        for each in bench.scoreboard.arrays:
            bench.load_vectors(each)
    await work(bench, 3)


@cocotb.test()
async def nonsense_changes_nothing(dut):
    """Unknown commands, registers and arrays and wrong shapes are told, and nothing happens."""
    bench = await bench_of(dut)
    for op in (0, 8, *INNER, max(Op) + 1, 255):
        bench.commands.append(op | random.getrandbits(72) << 8)
    await work(bench, 1)
    for register in (255, 239):
        bench.commands.append(command(Op.SET, register, random.getrandbits(64)))
    await work(bench, 1)
    # Arrays beyond the table, and entries that are none of the arrays.
    verbs = [*VERBS]
    if not CONFIG.build.references:
        verbs.remove(Op.WRITE_REFERENCES)
    bench.commands.extend(command(op, ENTRIES) for op in verbs)
    bench.commands.append(command(Op.COUNTER, 255))
    lines = {"output_line": 0, "input_line": 0, "paired": int(PAIRED)}
    build = CONFIG.build
    wrong = ((0, 1), (1, 0), (build.outputs + 1, 1), (1, build.inputs + 1))
    for number, (rows, cols) in enumerate(wrong, 2):
        bench.entry(number, {"rows": rows, "cols": cols, **lines})
        bench.commands.extend(command(op, number) for op in verbs)
    await work(bench, 2)
