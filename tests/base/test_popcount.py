"""The popcount equals NumPy's."""

from amaranth.sim import Simulator

from ohmgrid.hdl.base.popcount import Popcount


def test_popcount_equals_bitwise_count(rng):
    popcount = Popcount()
    masks = [0, (1 << 31) - 1, *(1 << n for n in range(31)), *rng.integers(0, 1 << 31, 200)]
    seen = []

    async def bench(ctx):
        for cycle in range(len(masks) + popcount.latency):
            if cycle < len(masks):
                ctx.set(popcount.i, int(masks[cycle]))
            if cycle >= popcount.latency:
                seen.append(ctx.get(popcount.o))
            await ctx.tick()

    simulator = Simulator(popcount)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [int(mask).bit_count() for mask in masks]
