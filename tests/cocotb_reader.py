"""Runs inside the simulator, on the outputs of a core: sums in, results out, both with pauses."""

import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import Task
from cocotb.triggers import FallingEdge

from ohmgrid.hdl.periphery.outputs import Outputs
from ohmgrid.model.periphery.outputs import convert, convert_parts, results
from ohmgrid.model.periphery.readout import Readout, amplitudes
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.edge import converter_registers
from ohmgrid.registers.readout import Part, read_registers
from ohmgrid.sim.runner import parameters
from ohmgrid.sim.streams import LIMIT, Scoreboard, Streams

SUM_BITS, MAX_LINES = parameters()["sum_bits"], parameters()["max_lines"]
LSB = 2.0**-16
STROBES = ("clear", "valid", "convert", "send")


class Reader:
    """Drives the outputs; its results come at the streams' pace."""

    def __init__(self, dut):
        self.dut = dut
        self.waiting = random.choice([0.0, 0.3, 0.7])
        self.streams = Streams(dut, (), ("o",), self.waiting, signed=("o",))
        self.board = Scoreboard()
        self.bringing: Task | None = None

    async def start(self) -> None:
        await self.streams.reset()
        for name in STROBES:
            getattr(self.dut, name).value = 0

    async def strobe(self, name: str) -> None:
        """Set an input for a cycle."""
        await FallingEdge(self.dut.clk)
        getattr(self.dut, name).value = 1
        await FallingEdge(self.dut.clk)
        getattr(self.dut, name).value = 0

    async def bring(self, sums: np.ndarray, part: Part = Part.VALUE) -> None:
        """Let the sums of a sweep come in."""
        dut = self.dut
        dut.part.value = int(part)
        await self.strobe("clear")
        for value in sums.tolist():
            while random.random() < self.waiting:
                await FallingEdge(dut.clk)
            dut.sum.value = value & (1 << SUM_BITS) - 1
            dut.valid.value = 1
            await FallingEdge(dut.clk)
            dut.valid.value = 0

    async def until(self, port: str, value: int) -> None:
        for _ in range(LIMIT):
            await FallingEdge(self.dut.clk)
            if int(getattr(self.dut, port).value) == value:
                return
        raise AssertionError(f"{port}: expected {value}, got {getattr(self.dut, port).value}")

    def load(self, **registers: int) -> None:
        for name, value in registers.items():
            getattr(self.dut, name).value = value

    async def ideal(self) -> None:
        """Convert a vector as it comes; results may be asked for before all sums are there."""
        lines, halvings = random.randint(1, MAX_LINES), random.randrange(8)
        io = ConverterConfig(adc_bits=random.randint(2, 12), out_bound=4.0, out_noise=0.1)
        registers = converter_registers(io, LSB)
        sums = np.array([random.randint(-(1 << 27), 1 << 27) for _ in range(lines)])
        key, alpha = random.getrandbits(63), random.randint(1, 1 << 16)
        codes, saturated = convert(sums, key, halvings, registers, io.adc_half)
        self.load(
            **{"key": key, "sub": halvings, "halvings": halvings, "alpha": alpha, "lines": lines},
            **{"scale": registers.scale, "shift": registers.shift, "noise": registers.noise},
            **{"half": io.adc_half, "exact": 0, "read": 0},
        )
        self.board.expect("o", results(codes, alpha, halvings).tolist())
        self.bringing = cocotb.start_soon(self.bring(sums))
        for _ in range(random.randint(4, 60)):
            await FallingEdge(self.dut.clk)
        await self.strobe("send")
        await self.board.finish(self.streams)
        await self.bringing
        assert int(self.dut.saturated.value) == saturated

    async def real(self) -> None:
        """Read a vector through wires and converters that are not ideal."""
        lines, halvings = random.randint(1, MAX_LINES), random.randrange(8)
        io = ConverterConfig(
            ir_drop=random.choice([0.0, 1.0]),
            ir_drop_g_ratio=1000.0,
            w_noise=0.05,
            w_noise_type=random.choice(["none", "additive-constant", "pcm-read"]),
            out_asymmetry=random.choice([0.0, 0.2]),
            out_noise_std=random.choice([0.0, 0.3]),
            out_sto_round=random.random() < 0.5,
        )
        converter, registers = converter_registers(io, LSB), read_registers(io, LSB, 40)
        backward = random.randrange(2)
        key, static = random.getrandbits(63), random.getrandbits(63)
        alpha = random.randint(1, 1 << 16)
        parts = [Part.VALUE]
        parts += [Part.LOAD, Part.POSITION] if registers.ir else []
        parts += [Part.POWER] if registers.w_kind else []
        random.shuffle(parts)
        sums = {}
        for part in parts:
            common = part == Part.POWER and io.w_noise_type == "additive-constant"
            low = 0 if part in (Part.LOAD, Part.POWER) else -(1 << 24)
            count = 1 if common else lines
            sums[part] = np.array([random.randint(low, 1 << 24) for _ in range(count)])
        noise = amplitudes(static, backward, lines, converter.noise, registers)
        readout = Readout(registers, noise, False, (18, False))
        codes, saturated = convert_parts(sums, key, halvings, converter, io.adc_half, readout)
        self.load(
            **{"key": key, "sub": halvings, "halvings": halvings, "alpha": alpha, "lines": lines},
            **{"scale": converter.scale, "shift": converter.shift, "noise": converter.noise},
            **{"half": io.adc_half, "exact": 0, "read": 1},
            **{"static_key": static, "backward": backward},
            **{name: int(getattr(registers, name)) for name in Outputs.REGISTERS},
        )
        self.board.expect("o", results(codes, alpha, halvings).tolist())
        for part in parts:
            await self.bring(sums[part], part)
            await self.until("stored", len(sums[part]))
        await self.strobe("convert")
        await self.strobe("send")
        await self.board.finish(self.streams)
        assert int(self.dut.saturated.value) == saturated


@cocotb.test()
async def results_under_any_pace(dut):
    """Every result and the count of clipped ones, ideal and not, in any order."""
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(4):
        reader = Reader(dut)
        await reader.start()
        await reader.ideal()
        await reader.real()
        await reader.ideal()


@cocotb.test()
async def reset_in_the_middle(dut):
    """A reset leaves no sum, no code and no result behind."""
    Clock(dut.clk, 10, unit="ns").start()
    for way in ("ideal", "real") * 3:
        reader = Reader(dut)
        await reader.start()
        working = cocotb.start_soon(getattr(reader, way)())
        for _ in range(random.randint(1, 150)):
            await FallingEdge(dut.clk)
        working.cancel()
        if reader.bringing:
            reader.bringing.cancel()
        await FallingEdge(dut.clk)
        reader = Reader(dut)
        await reader.start()
        await reader.ideal()
        await reader.real()
