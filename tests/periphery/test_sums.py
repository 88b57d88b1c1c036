"""Half a sum of squares, bit by bit: gateware equals the model."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.hdl.periphery.sums import HalfSquares
from ohmgrid.model.periphery import functions as model
from ohmgrid.registers.layers import LOSS_BITS, LOSS_FRAC
from ohmgrid.sim.tables import run_clocked


@given(st.integers(0, 2**32 - 1), st.integers(8, 15), st.integers(1, 64))
def test_half_squares(seed, x_frac, lines):
    """Ties, sums that do not fit in, and one vector after another."""
    rng = np.random.default_rng(seed)
    dut = HalfSquares(52, lines)
    shift = 2 * x_frac + 1 - LOSS_FRAC
    roots = rng.integers(0, 1 << 16, lines) >> rng.integers(0, 17)
    tie = (2 * rng.integers(0, 1 << 10) + 1) << (shift - 1)
    full = 1 << (LOSS_BITS + shift)
    ends = [full + int(rng.integers(-1, 2)) * below for below in (1, 1 << (shift - 1), 1 << shift)]
    vectors = [(roots**2).tolist(), [int(tie)], *([end] for end in ends), [1 << 50] * lines, [0]]
    expected = [int(model.half_squares(np.array(sum(squares)), x_frac)) for squares in vectors]
    found = []

    async def bench(ctx):
        ctx.set(dut.x_frac, x_frac)
        for squares in vectors:
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for square in squares:
                ctx.set(dut.valid, 1)
                ctx.set(dut.square, square)
                await ctx.tick()
            ctx.set(dut.valid, 0)
            await ctx.tick().repeat(dut.latency - 1)
            found.append(ctx.get(dut.word))

    run_clocked(dut, bench)
    assert found == expected
