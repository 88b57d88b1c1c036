"""Runs inside the simulator, on `Accumulator` of test_runner.py."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from ohmgrid.sim.runner import parameters


async def start(dut) -> None:
    """Start the clock and reset."""
    dut.i__valid.value = 0
    dut.i__payload.value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    await FallingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0


@cocotb.test()
async def sums(dut):
    """The sum of all words that were valid, times the scale of the configuration."""
    await start(dut)
    total = 0
    for _ in range(200):
        word, valid = random.randrange(-128, 128), random.randrange(2)
        dut.i__payload.value = word
        dut.i__valid.value = valid
        total += word * valid * parameters()["scale"]
        await FallingEdge(dut.clk)
        assert dut.total.value.to_signed() == total


@cocotb.test()
async def constants_are_driven(dut):
    """A value that depends on nothing is there, not X."""
    await start(dut)
    assert dut.level.value == parameters()["level"], "the level is wrong"
