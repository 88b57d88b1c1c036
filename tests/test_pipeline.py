"""Delayed values come as many cycles later as was asked for."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from ohmgrid.hdl.pipeline import delayed


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
