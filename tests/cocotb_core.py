"""Runs inside the simulator, on the core of test_gateware.py: streams that wait, resets, nonsense.

What goes into the streams is fed to the golden model; what comes out is compared with what the
model said, word by word (`ohmgrid.sim.core_bench`).
"""

import random
from functools import partial

import cocotb
import numpy as np
from cocotb.clock import Clock

from ohmgrid.config import LayoutConfig
from ohmgrid.host.protocol import EXAMPLES_BITS, INNER, Op, command
from ohmgrid.host.trainer import load_activation, load_places, load_scales, load_steps
from ohmgrid.model.core.core import Core
from ohmgrid.model.core.order import Order
from ohmgrid.net import Net
from ohmgrid.registers import orders
from ohmgrid.registers.arrays import ENTRIES
from ohmgrid.registers.layout import place_arrays, words_of
from ohmgrid.sim.core_bench import ARRAY_VERBS, CoreBench, CoreScoreboard
from ohmgrid.sim.runner import parameters
from ohmgrid.sim.streams import Streams
from ohmgrid.training.settings import parse_settings

CONFIG = parse_settings(parameters()["config"]).config()
WORDS = words_of(CONFIG.device)
PLACES = place_arrays([(3, 5)], WORDS, CONFIG.build, CONFIG.layout)
MAX_ROWS = CONFIG.build.outputs // 2 // CONFIG.device.devices
MAX_COLS = CONFIG.build.inputs // 2
PAIRED = CONFIG.device.paired


async def bench_of(dut) -> CoreBench:
    Clock(dut.clk, 10, unit="ns").start()
    shapes = [
        (random.randint(1, MAX_ROWS), random.randint(1, MAX_COLS))
        for _ in range(random.choice([1, 2]))
    ]
    turned = tuple(number for number in range(len(shapes)) if random.random() < 0.5)
    places = place_arrays(shapes, WORDS, CONFIG.build, LayoutConfig(turned))
    bench = CoreBench(dut, CONFIG, places, random.choice([0.0, 0.2, 0.6]))
    dut._log.info(
        "%s, turned %s, streams wait with chance %g", shapes, turned, bench.streams.waiting
    )
    await bench.start()
    for array in bench.scoreboard.arrays:
        bench.load_vectors(array)
    return bench


async def work(bench: CoreBench, operations: int) -> None:
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
        # The always-on input may be an array's only one.
        count = 3 * net.layers[0]
        pixels = np.array([random.randint(0, 1 << frac) for _ in range(count)], np.int64)
        pixels = pixels.reshape(3, net.layers[0])
        labels = np.array([random.randrange(net.layers[1]) for _ in range(3)])
        order = Order(rate=array.rate)
        bench.scoreboard.learn = partial(core.run, steps, pixels, labels, order)
        bench.commands.extend(load_scales(core.scales) + load_places(bench.places[:1]))
        bench.commands.extend(load_activation("sigmoid", frac) + load_steps(steps))
        bench.commands.append(command(Op.RUN, 0, 1 << EXAMPLES_BITS | len(labels)))
        bench.inputs.extend(np.column_stack([labels, pixels]).ravel().tolist())
        bench.commands.append(command(Op.READ_CELLS, array.number))
        waiting, bench.streams.waiting = bench.streams.waiting, min(bench.streams.waiting, 0.2)
        await bench.finish()
        bench.streams.waiting = waiting


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
    verbs = [*ARRAY_VERBS]
    if not CONFIG.build.references:
        verbs.remove(Op.WRITE_REFERENCES)
    beyond = {CONFIG.build.arrays, ENTRIES}
    bench.commands.extend(command(op, number) for op in verbs for number in beyond)
    bench.commands.append(command(Op.COUNTER, 255))
    lines = {"output_line": 0, "input_line": 0, "paired": int(PAIRED)}
    build = CONFIG.build
    wrong = ((0, 1), (1, 0), (build.outputs + 1, 1), (1, build.inputs + 1))
    for number, (rows, cols) in enumerate(wrong, 2):
        bench.entry(number, {"rows": rows, "cols": cols, **lines})
        bench.commands.extend(command(op, number) for op in verbs)
    await work(bench, 2)


# The benches that docs/embedding.md shows.


@cocotb.test()
async def an_array_works(dut):
    Clock(dut.clk, 10, unit="ns").start()
    bench = CoreBench(dut, CONFIG, PLACES, waiting=0.3)
    await bench.start()
    bench.load_vectors(bench.scoreboard.arrays[0])
    for op in (Op.FORWARD, Op.BACKWARD, Op.UPDATE, Op.READ_CELLS):
        bench.commands.append(command(op, 0))
    await bench.finish()


async def watch(core):
    board = CoreScoreboard(CONFIG, PLACES)
    streams = Streams(core, ("i", "cmd"), ("o", "r"), drives=False, signed=("i", "o"))
    while True:
        await board.cycle(streams)


@cocotb.test()
async def an_array_is_watched(dut):
    """By a second scoreboard, which sees the ports alone."""
    watching = cocotb.start_soon(watch(dut))
    await an_array_works.func(dut)
    assert not watching.done()
