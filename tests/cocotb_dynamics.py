"""Runs inside the simulator, on a dynamics unit: every stream with pauses, beside the model."""

import random

import cocotb
import numpy as np
from cocotb.clock import Clock

from ohmgrid.host.protocol import Answer
from ohmgrid.host.unit import (
    Setting,
    Space,
    UnitOp,
    Variable,
    drive_commands,
    matrix_commands,
    network_commands,
    neuron_commands,
    read,
    run,
    write,
)
from ohmgrid.model.base.arith import at_edge, shift_round
from ohmgrid.model.dynamics.network import Network
from ohmgrid.model.dynamics.neurons import Neurons
from ohmgrid.registers.layers import Scale
from ohmgrid.sim.runner import parameters
from ohmgrid.sim.streams import Scoreboard, Streams
from ohmgrid.systems import DelayNet, Drive, Fhn, Lif

LINES, LANES, EDGE_BITS = (parameters()[name] for name in ("neurons", "lanes", "edge_bits"))
STEP = 0.05
DROP, TOP = 4, (1 << (EDGE_BITS - 1)) - 1


class Outside(Network):
    """A network on a crossbar beside the unit: integers, with an edge."""

    def _through(self, x: np.ndarray) -> np.ndarray:
        self.drop, self.top, self.scale = DROP, TOP, Scale(200_000, 26)
        return super()._through(at_edge(shift_round(x, DROP), TOP)[0])


class Bench(Scoreboard):
    """A unit, and the model of what it runs."""

    table = ""
    """Function whose nodes are there: no reset clears a memory."""

    def __init__(self, dut):
        super().__init__()
        self.streams = Streams(
            dut, ("cmd", "y"), ("o", "r", "x"), random.choice([0.0, 0.3, 0.6]), signed=("o", "x")
        )
        self.matrix = np.zeros((0, 0), np.int64)
        self.x: list[int] = []

    def came_out(self, stream: str, word: int) -> None:
        """Compare; give a vector's products with the crossbar beside the unit."""
        if stream == "x":
            self.x.append(word)
            if len(self.x) == len(self.matrix):
                self.streams.send("y", (self.matrix @ np.array(self.x)).tolist())
                self.x = []
            return
        super().came_out(stream, word)

    def answer(self, op: UnitOp) -> None:
        """Expect an answer."""
        self.expect("r", [Answer(op, 0, 0, 0, 0).encode()])

    def network(self, outside: bool) -> None:
        """Load a network of any size, run it, read its memories."""
        lines = random.randint(1, LINES)
        rng = np.random.default_rng(random.getrandbits(32))
        delays = tuple(random.uniform(1, 6) * STEP for _ in range(lines))
        net = DelayNet(random.uniform(0.5, 20), delays, STEP, random.choice(["tanh", "clip"]))
        model = (Outside if outside else Network)(net, rng.normal(size=(lines, lines)))
        model.start(rng.uniform(-2, 2, lines))
        scale = model.scale.mantissa, model.scale.shift
        loads = network_commands(model.registers, model.depth, scale, DROP if outside else None)
        there = Bench.table == net.function
        commands = [
            *(word for word in loads if not (there and word >> 8 & 255 == Space.NODE)),
            *([] if outside else matrix_commands(model.matrix.tolist(), LANES)),
            write(Space.SETTING, Setting.SAMPLE, 0),
        ]
        self.matrix = model.matrix
        for line in range(lines):
            commands += [
                write(Space.STATE, 4 * line + Variable.U, int(model.u[line])),
                write(Space.STATE, 4 * line + Variable.Y, int(model.y[line])),
            ]
        for place, output in enumerate(model.ring.T.ravel().tolist()):
            commands.append(write(Space.RING, place, output))
        Bench.table = net.function
        samples, size = random.randint(1, 4), model.depth * lines
        self.streams.send("cmd", [*commands, run(samples), read(Space.RING, 0, size)])
        self.expect("o", (model.run(samples).ravel() << 1).tolist())
        self.answer(UnitOp.RUN)
        self.expect("o", (model.ring.T.ravel() << 1).tolist())
        self.answer(UnitOp.READ)

    def neurons(self) -> None:
        """Load single neurons, run them."""
        count = random.randint(1, LINES)
        currents = tuple(random.uniform(-8, 8) for _ in range(count))
        drive = Drive(currents, random.choice([0.0, 3.0]), 2.0, random.getrandbits(64))
        lif = Lif(drive, threshold=0.5, refractory=random.choice([0.0, 0.3]), step=STEP)
        neuron = random.choice([Fhn(drive, step=STEP), lif])
        model = Neurons(neuron, count)
        commands = [*drive_commands(model.drive, drive.seed, count)]
        commands += [*neuron_commands(model.registers), write(Space.SETTING, Setting.SAMPLE, 0)]
        for place in range(4 * count):
            if place % 4 in (Variable.V, Variable.W):
                commands.append(write(Space.STATE, place, 0))
        samples = random.randint(1, 5)
        self.streams.send("cmd", [*commands, run(samples)])
        states, spikes = model.run(samples)
        for sample in range(samples):
            for place in range(count):
                words = states[sample, :, place] << 1
                words[0] |= spikes[sample, place]
                self.expect("o", words.tolist())
        self.answer(UnitOp.RUN)

    async def start(self) -> None:
        await self.streams.reset()


def work(bench: Bench) -> None:
    """Let the unit do one of the things that it does."""
    random.choice([bench.neurons, lambda: bench.network(True), lambda: bench.network(False)])()


@cocotb.test()
async def any_system_under_any_pace(dut):
    """Every state and every word read, one system after another on one unit."""
    Clock(dut.clk, 10, unit="ns").start()
    bench = Bench(dut)
    await bench.start()
    for outside in (True, False):
        bench.network(outside)
        await bench.finish(bench.streams)
        bench.neurons()
        await bench.finish(bench.streams)


@cocotb.test()
async def reset_in_the_middle(dut):
    """A reset leaves no word of a vector, no event and no sample behind."""
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(3):
        bench = Bench(dut)
        await bench.start()
        work(bench)
        for _ in range(random.randint(700, 2500)):
            await bench.cycle(bench.streams)
            if bench.done:
                break
        await bench.streams.rest()
        Bench.table = ""
        bench = Bench(dut)
        await bench.start()
        work(bench)
        await bench.finish(bench.streams)
