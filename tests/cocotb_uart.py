"""Runs inside the simulator, on a UART: another side whose rate is off, jitter, spikes, breaks."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, Timer
from cocotb.utils import get_sim_time

from ohmgrid.model.link.uart import ERRORS, frame
from ohmgrid.sim.runner import parameters

PERIOD = round(1e12 / parameters()["clock_hz"])
"""Of the clock, in ps."""
BIT = 1e12 / parameters()["baud"]
WIDTH = parameters()["width"]
NONE = dict.fromkeys(ERRORS, 0)


class Bench:
    """A UART and the other side of its lines."""

    def __init__(self, dut):
        self.dut = dut
        self.received: list[int] = []

    async def start(self) -> None:
        """Start the clock, reset; take what comes."""
        dut = self.dut
        Clock(dut.clk, PERIOD, unit="ps").start()
        dut.rx.value, dut.clear.value = 1, 0
        dut.i__valid.value, dut.o__ready.value = 0, 1
        await self.reset()
        cocotb.start_soon(self._take())

    async def reset(self) -> None:
        self.dut.rst.value = 1
        await FallingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def _take(self) -> None:
        while True:
            await RisingEdge(self.dut.o__valid)
            await FallingEdge(self.dut.clk)
            self.received.append(int(self.dut.o__payload.value))

    async def say(self, data: bytes, off: float = 0.0, jitter: float = 0.0) -> None:
        """Drive the line with bytes, no gap between them.

        Parameters
        ----------
        off : float
            Error of the rate.
        jitter : float
            Bits by which an edge may be early or late.
        """
        now = 0
        levels = [level for byte in data for level in frame(byte)]
        for n, level in enumerate(levels):
            place = n / (1 + off) + random.uniform(-jitter, jitter)
            wait = max(round(place * BIT) - now, 0)
            if wait:
                await Timer(wait, "ps")
            now += wait
            self.dut.rx.value = level
        await Timer(round(BIT * (1 + jitter)), "ps")

    async def send(self, data: bytes) -> None:
        """Give bytes to the transmitter, as fast as it takes them."""
        dut = self.dut
        for byte in data:
            await FallingEdge(dut.clk)
            dut.i__payload.value, dut.i__valid.value = byte, 1
            await Timer(1, "ps")
            if not int(dut.i__ready.value):
                await RisingEdge(dut.i__ready)
            await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)
        dut.i__valid.value = 0

    async def listen(self, count: int, off: float) -> bytes:
        """Return bytes of the transmitter's line, read at a rate that is off."""
        found = bytearray()
        for _ in range(count):
            await FallingEdge(self.dut.tx)
            await Timer(round(0.5 * BIT), "ps")
            levels = []
            for _ in range(10):
                levels.append(int(self.dut.tx.value))
                if len(levels) < 10:
                    await Timer(round(BIT / (1 + off)), "ps")
            byte = sum(level << place for place, level in enumerate(levels[1:9]))
            assert levels == frame(byte)
            found.append(byte)
        return bytes(found)

    async def spike(self) -> None:
        """Turn the line over for a clock cycle."""
        await FallingEdge(self.dut.clk)
        level = int(self.dut.rx.value)
        self.dut.rx.value = 1 - level
        await FallingEdge(self.dut.clk)
        self.dut.rx.value = level

    async def settle(self) -> bytes:
        """Let the line rest for two frames; return what was received."""
        await Timer(round(20 * BIT), "ps")
        found, self.received = bytes(self.received), []
        return found

    async def errors(self) -> dict[str, int]:
        """Return the errors since the last call."""
        await FallingEdge(self.dut.clk)
        word = int(self.dut.errors.value)
        self.dut.clear.value = 1
        await FallingEdge(self.dut.clk)
        self.dut.clear.value = 0
        await FallingEdge(self.dut.clk)
        assert int(self.dut.errors.value) == 0
        top = (1 << WIDTH) - 1
        return {name: word >> (n * WIDTH) & top for n, name in enumerate(ERRORS)}


@cocotb.test()
async def both_ways_at_two_percent(dut):
    """Back to back, jitter of 5 % of a bit at each edge: no byte is lost, no error is seen."""
    bench = Bench(dut)
    await bench.start()
    for off in (-0.02, 0.02, random.uniform(-0.02, 0.02)):
        inward, outward = random.randbytes(40), random.randbytes(40)
        heard = cocotb.start_soon(bench.listen(len(outward), -off))
        sent = cocotb.start_soon(bench.send(outward))
        await bench.say(inward, off, jitter=0.05)
        await sent
        assert await heard == outward
        assert await bench.settle() == inward
        assert await bench.errors() == NONE


@cocotb.test()
async def six_percent_are_seen_and_over(dut):
    """What is too fast or too slow is counted; after a pause all is well."""
    bench = Bench(dut)
    await bench.start()
    for off in (-0.06, 0.06):
        await bench.say(random.randbytes(20) + bytes(range(20)), off, jitter=0.05)
        await bench.settle()
        errors = await bench.errors()
        assert errors["framing"] + errors["breaks"] > 0, errors
        data = random.randbytes(10)
        await bench.say(data)
        assert await bench.settle() == data
        assert await bench.errors() == NONE


@cocotb.test()
async def spikes_are_outvoted(dut):
    """A spike of a clock cycle in each bit; and some on a line at rest, which start nothing."""
    bench = Bench(dut)
    await bench.start()
    for off in (-0.01, 0.01):
        data = random.randbytes(20)
        said = cocotb.start_soon(bench.say(data, off))
        begin = get_sim_time("ps")
        for bit in range(10 * len(data)):
            # Before the middle of a stop bit: behind it, a spike looks like a start bit.
            place = random.uniform(0.1, 0.4 if bit % 10 == 9 else 0.8)
            due = begin + (bit + place) / (1 + off) * BIT
            await Timer(round(due - get_sim_time("ps")), "ps")
            await bench.spike()
        await said
        assert await bench.settle() == data
        errors = await bench.errors()
        assert 0 < errors["noise"] <= len(data)
        assert errors == NONE | {"noise": errors["noise"]}
    for _ in range(5):
        await bench.spike()
        assert await bench.settle() == b""
    assert await bench.errors() == NONE | {"noise": 5}


@cocotb.test()
async def breaks_overruns_resets(dut):
    """None of them stops it."""
    bench = Bench(dut)
    await bench.start()
    for bits in (11, 300):
        dut.rx.value = 0
        await Timer(round(bits * BIT), "ps")
        dut.rx.value = 1
        assert await bench.settle() == b""
        assert await bench.errors() == NONE | {"breaks": 1}
    dut.o__ready.value = 0
    await bench.say(bytes([1, 2, 3]))
    await bench.settle()
    assert int(dut.o__payload.value) == 1
    assert await bench.errors() == NONE | {"overrun": 2}
    await FallingEdge(dut.clk)
    dut.o__ready.value = 1
    await FallingEdge(dut.clk)
    # Reset in a frame: what is left of it is no start bit until the line has been high.
    said = cocotb.start_soon(bench.say(bytes([0])))
    await Timer(round(5 * BIT), "ps")
    await bench.reset()
    await said
    assert await bench.settle() == b""
    data = random.randbytes(10)
    await bench.say(data)
    assert await bench.settle() == data
    assert await bench.errors() == NONE
