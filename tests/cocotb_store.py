"""Runs inside the simulator, on an example store: examples whole and damaged, orders, resets."""

import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from ohmgrid.hdl.core.example_decoder import BYTE, FORM, TABLE_WRITE
from ohmgrid.host.examples import encode_example
from ohmgrid.model.core.example_store import ExampleMemory, decode_example
from ohmgrid.registers.examples import BITS, PIXELS, ExampleFormat
from ohmgrid.sim.runner import parameters
from ohmgrid.sim.streams import Scoreboard, Streams, pack

SIZE, EXAMPLES = parameters()["size"], parameters()["examples"]


class StoreBench:
    """A store with a format and a table, and its golden twin: told what is sent, for the first
    words of an example come before its last byte is in."""

    def __init__(self, dut, kept: bool):
        self.dut, self.kept = dut, kept
        self.form = ExampleFormat(random.choice(BITS), random.randint(1, 40), random.random() < 0.7)
        values = [random.randint(-(1 << 15), (1 << 15) - 1) for _ in range(PIXELS)]
        self.table = np.array(values, np.int16)
        self.streams = Streams(dut, ("i", "order"), ("o",), random.choice([0.0, 0.3, 0.7]))
        self.board, self.memory, self.errors = Scoreboard(), ExampleMemory(SIZE, EXAMPLES), 0

    async def start(self) -> None:
        """Reset; load format and table."""
        dut, form = self.dut, self.form
        await self.streams.reset()
        for strobe in ("forget", "clear"):
            getattr(dut, strobe).value = 0
        dut.kept.value = self.kept
        fields = {"bits": BITS.index(form.bits), "runs": form.runs, "values": form.values}
        dut.form.value = pack(FORM, fields)
        for pixel, value in enumerate(self.table.tolist()):
            dut.table.value = pack(TABLE_WRITE, {"en": 1, "pixel": pixel, "value": value})
            await FallingEdge(dut.clk)
        dut.table.value = 0

    def send(self, data: bytes) -> None:
        last = len(data) - 1
        words = [pack(BYTE, {"byte": byte, "last": n == last}) for n, byte in enumerate(data)]
        self.streams.send("i", words)
        if self.kept:
            self.memory.keep(data)
        else:
            self._expect(data)

    def order(self, number: int) -> None:
        self.streams.send("order", [number])
        data = self.memory.replay(number)
        if data is not None:
            self._expect(data)

    def _expect(self, data: bytes) -> None:
        example = decode_example(data, self.form, self.table)
        self.board.expect("o", [example.label, *(example.values.astype(int) & 0xFFFF).tolist()])
        self.errors |= example.errors

    async def check(self) -> None:
        """Send examples, and orders if they are kept; compare all words, then the errors."""
        for _ in range(4):
            self.send(random_example(self.form))
        await self.board.finish(self.streams)
        if self.kept:
            for _ in range(6):
                self.order(random.choice([*range(EXAMPLES), 1 << 23]))
            await self.board.finish(self.streams)
        await self.board.cycle(self.streams)
        while int(self.dut.busy.value):
            await self.board.cycle(self.streams)
        await self.board.cycle(self.streams)
        assert int(self.dut.errors.value) == self.errors | self.memory.errors


def random_example(form: ExampleFormat) -> bytes:
    """Return an example, now and then cut, or made of noise."""
    low, high = (-(1 << 15), (1 << 15) - 1) if form.bits == 16 else (0, (1 << form.bits) - 1)
    values = [random.choice([0, random.randint(low, high)]) for _ in range(form.values)]
    data = encode_example(random.getrandbits(16), values, form)
    if random.random() < 0.2:
        data = data[: random.randint(1, len(data))]
    if random.random() < 0.2:
        data = random.randbytes(random.randint(1, 2 * len(data)))
    return data


@cocotb.test()
async def examples_under_any_pace(dut):
    """From a stream and from block RAM: every word and every error."""
    Clock(dut.clk, 10, unit="ns").start()
    for kept in (False, True, False, True):
        bench = StoreBench(dut, kept)
        await bench.start()
        await bench.check()


@cocotb.test()
async def reset_in_the_middle(dut):
    """A reset at any time leaves nothing behind."""
    Clock(dut.clk, 10, unit="ns").start()
    for kept in (False, True, False, True):
        bench = StoreBench(dut, kept)
        await bench.start()
        for _ in range(4):
            bench.send(random_example(bench.form))
        for number in range(4 if kept else 0):
            bench.order(number)
        for _ in range(random.randint(1, 300)):
            await bench.streams.cycle()
        bench = StoreBench(dut, kept)
        await bench.start()
        await bench.check()
