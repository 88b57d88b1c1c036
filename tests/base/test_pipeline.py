"""Delayed values come as many cycles later as was asked for."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from ohmgrid.hdl.base.pipeline import delayed, strobe_after


@pytest.mark.parametrize("cycles", [0, 1, 5])
def test_delayed(cycles):
    m = Module()
    value, clock = Signal(8), Signal()
    late = delayed(m, value, "late", cycles)
    m.d.sync += clock.eq(~clock)
    seen = []

    async def bench(ctx):
        for k in range(20):
            ctx.set(value, k + 1)
            seen.append(ctx.get(late))
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [0] * cycles + list(range(1, 21 - cycles))


@pytest.mark.parametrize("cycles", [0, 1, 4])
def test_strobe_after(cycles):
    m = Module()
    strobe, late, clock = Signal(), Signal(), Signal()
    m.d.sync += clock.eq(~clock)
    m.d.comb += late.eq(strobe_after(m, strobe, cycles, "late"))
    pattern = [1, 0, 1, 1, 0, 0, 0, 1] * 2
    seen = []

    async def bench(ctx):
        for bit in pattern:
            ctx.set(strobe, bit)
            seen.append(ctx.get(late))
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == ([0] * cycles + pattern)[: len(pattern)]
