"""Runs inside the simulator, on the lines of a core: vectors in, codes, trains and lists out.

Codes of one vector and trains of another are made at the same time, begun whenever; values come in
with pauses.
"""

import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from ohmgrid.hdl.periphery.edge import vector_layout
from ohmgrid.hdl.periphery.passes import pass_layout, trains_layout
from ohmgrid.hdl.periphery.values import line_cycles, list_layout, values_layout
from ohmgrid.model.periphery.converters import dac
from ohmgrid.model.periphery.lines import side_trains
from ohmgrid.model.periphery.pulses import PulsePlan
from ohmgrid.periphery import PULSE_TYPES, SLOTS
from ohmgrid.registers.noise import Purpose
from ohmgrid.sim.runner import parameters
from ohmgrid.sim.streams import LIMIT, Scoreboard, pack
from ohmgrid.training.settings import parse_settings

CONFIG = parse_settings(parameters()["config"]).config()
DEPTHS = CONFIG.build.inputs, CONFIG.build.outputs
PURPOSES = Purpose.COLUMN, Purpose.ROW
HALF = 127


def random_vector(count: int) -> np.ndarray:
    """Return a vector of any size, many of its values 0."""
    shift = random.randrange(15)
    return np.array(
        [random.choice([0, 1, 1]) * (random.randint(-32767, 32767) >> shift) for _ in range(count)]
    )


class Coder:
    """Drives the lines; puts down what is listed."""

    def __init__(self, dut, waiting: float):
        self.dut, self.waiting = dut, waiting
        self.board = Scoreboard()

    async def start(self) -> None:
        """Reset, and look at the lists from then on."""
        await self.reset()
        self._watching = cocotb.start_soon(self._watch())

    async def reset(self) -> None:
        dut = self.dut
        await FallingEdge(dut.clk)
        for port in ("job", "trains", "vector", "column_base", "row_base"):
            getattr(dut, port).value = 0
        dut.others.value = 0
        dut.rst.value = 1
        await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
        dut.rst.value = 0

    async def stop(self) -> None:
        """See that all lines have been listed, and look no more."""
        for _ in range(3):
            await FallingEdge(self.dut.clk)
        assert self.board.done, f"lists: expected {self.board.expected} too"
        self._watching.cancel()

    async def _watch(self) -> None:
        """Compare every line that is put on a list."""
        layout = list_layout(CONFIG)
        while True:
            await FallingEdge(self.dut.clk)
            self.dut.others.value = random.random() < self.waiting
            await ReadOnly()
            for name in ("codes", "pulses"):
                put = layout.from_bits(int(getattr(self.dut, name).value))
                if put.put:
                    self.board.came_out(name, put.line)

    async def pause(self) -> None:
        """Let some cycles pass, one at least."""
        await FallingEdge(self.dut.clk)
        while random.random() < self.waiting:
            await FallingEdge(self.dut.clk)

    async def load(self, side: int, first: int, values: np.ndarray) -> None:
        """Bring a vector to the edge."""
        dut, layout = self.dut, vector_layout(CONFIG)
        vector = {"side": side, "count": len(values), "first": first}
        await self.pause()
        dut.vector.value = pack(layout, vector | {"clear": 1})
        for value in values.tolist():
            await FallingEdge(dut.clk)
            dut.vector.value = pack(layout, vector)
            await self.pause()
            dut.value.value = value & (1 << len(dut.value)) - 1
            dut.vector.value = pack(layout, vector | {"take": 1})
        await FallingEdge(dut.clk)
        dut.vector.value = 0
        for _ in range(4):
            await FallingEdge(dut.clk)
        largest = int(np.abs(values).max())
        assert int((dut.row_max if side else dut.column_max).value) == largest

    async def fill(self, port: str, busy: str, layout, job: dict[str, int]) -> None:
        """Run a pass, begun whenever."""
        dut = self.dut
        await self.pause()
        getattr(dut, port).value = pack(layout, job | {"start": 1})
        await FallingEdge(dut.clk)
        getattr(dut, port).value = pack(layout, job)
        for _ in range(LIMIT):
            await FallingEdge(dut.clk)
            if not int(getattr(dut, busy).value):
                return
        raise AssertionError(f"{port}: a pass does not end")

    async def codes(self, side: int, first: int, values: np.ndarray, turned: int) -> None:
        """Make DAC codes of a vector; compare them and the list."""
        divisor = max(1, int(np.abs(values).max())) << random.randrange(3)
        golden = dac(values, divisor, 0, HALF)
        if side != turned:
            self.board.expect("codes", (first + np.flatnonzero(golden)).tolist())
        job = {"side": side, "first": first, "count": len(values), "turned": turned, "codes": 1}
        scale = {"factor": HALF, "top": HALF, "divisor": divisor}
        await self.fill("job", "busy", pass_layout(CONFIG), job | scale)
        self._compare("code", await self._read(side, first, len(values), "code"), golden)

    async def trains(
        self, side: int, first: int, values: np.ndarray, turned: int, key: int
    ) -> None:
        """Make trains of a vector; compare them, signs and the list."""
        mode, bl = random.randrange(len(PULSE_TYPES)), random.randint(1, SLOTS)
        factor, divisor = 1 << random.randint(10, 16), max(1, int(np.abs(values).max()))
        plan = PulsePlan(bl, factor, divisor, factor, divisor)
        golden = side_trains(values, PURPOSES[side], plan, PULSE_TYPES[mode], key)
        if side != turned:
            self.board.expect("pulses", (first + np.flatnonzero(golden)).tolist())
        job = {"side": side, "first": first, "count": len(values), "turned": turned, "trains": 1}
        job |= {"bl": bl, "mode": mode, "factor": factor, "divisor": divisor}
        # A line's turn takes as long as its train.
        slots = 4 * CONFIG.build.train_groups
        job["pace"] = -(-bl // slots) if mode == 0 else bl if side else 1
        await self.fill("trains", "trains_busy", trains_layout(CONFIG), job)
        self._compare("train", await self._read(side, first, len(values), "train"), golden)
        self._compare("sign", await self._read(side, first, len(values), "sign"), values < 0)

    async def _read(self, side: int, first: int, count: int, name: str) -> list[int]:
        """Return what a sweep would read of some lines."""
        dut, found, layout = self.dut, [], values_layout(CONFIG)
        port = dut.column_line if not side else dut.row_line if name == "code" else dut.row_key
        for line in range(first, first + count):
            port.value = line
            for _ in range(line_cycles(CONFIG) + 1):
                await FallingEdge(dut.clk)
            words = layout.from_bits(int((dut.rows if side else dut.columns).value))
            found.append(words[name])
        return found

    def _compare(self, name: str, found: list[int], golden: np.ndarray) -> None:
        assert found == golden.tolist(), f"{name}: expected {golden.tolist()}, got {found}"


async def work(coder: Coder) -> None:
    """Random vectors of both sides: codes of one and trains of the other, at the same time."""
    await coder.start()
    sides = [0, 1]
    for turned in (0, 1):
        random.shuffle(sides)
        places: dict[int, tuple[int, np.ndarray]] = {}
        for side in sides:
            count = random.randint(1, DEPTHS[side])
            places[side] = random.randint(0, DEPTHS[side] - count), random_vector(count)
            await coder.load(side, *places[side])
        key = random.getrandbits(64)
        coder.dut.key.value = key
        making = cocotb.start_soon(coder.codes(sides[0], *places[sides[0]], turned))
        await coder.trains(sides[1], *places[sides[1]], turned, key)
        await making
    await coder.stop()


@cocotb.test()
async def codes_and_trains_under_any_pace(dut):
    """Every code, train and list equals the golden model's."""
    Clock(dut.clk, 10, unit="ns").start()
    for waiting in (0.0, 0.4, 0.8):
        await work(Coder(dut, waiting))


@cocotb.test()
async def reset_in_the_middle(dut):
    """A reset while vectors come in, or in a pass, leaves nothing behind."""
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(4):
        coder = Coder(dut, 0.4)
        await coder.reset()
        await coder.load(0, 0, random_vector(DEPTHS[0]))
        job = {"side": 0, "count": DEPTHS[0], "codes": 1, "start": 1, "divisor": 1}
        dut.job.value = pack(pass_layout(CONFIG), job)
        job = {"side": 1, "count": DEPTHS[1], "trains": 1, "start": 1, "divisor": 1, "pace": 3}
        dut.trains.value = pack(trains_layout(CONFIG), job)
        for _ in range(random.randint(1, 60)):
            await FallingEdge(dut.clk)
        await work(Coder(dut, 0.4))
