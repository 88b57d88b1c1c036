"""The sweep: every word once, in memory order, in exactly the predicted number of cycles."""

from itertools import pairwise

import numpy as np
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.hdl.sweep import Sweep
from ohmgrid.model.sweep import memory_order, sweep_cycles, visit_stalls

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 20))


def run_sweep(lanes, rows, cols, stalls, spaced):
    """Return the visits seen in stage D, the columns loaded, and the busy cycles."""
    dut = Sweep(lanes, rows, cols, rows * -(-cols // lanes))
    visits, loads, lasts, busy = [], [], [], 0

    async def bench(ctx):
        nonlocal busy
        ctx.set(dut.rows, rows)
        ctx.set(dut.cols, cols)
        ctx.set(dut.spaced, spaced)
        ctx.set(dut.last_block, 1)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        held, column = 0, 0
        while True:
            if ctx.get(dut.fresh):
                held = stalls[len(visits)]
                flags = ("row_d", "address_d", "parity_d", "first_d", "last_d", "start_d")
                visits.append(tuple(ctx.get(getattr(dut, flag)) for flag in flags))
                if ctx.get(dut.last_d):
                    lasts.append(busy)
            if ctx.get(dut.load):
                flags = ("load_lane", "load_parity", "load_last")
                loads.append((column, *(ctx.get(getattr(dut, flag)) for flag in flags)))
            column = ctx.get(dut.load_column)
            ctx.set(dut.advance, held == 0)
            if not ctx.get(dut.busy):
                break
            held = max(0, held - 1)
            busy += 1
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return visits, loads, lasts, busy, dut.cycles(rows, cols)


@given(SHAPES, st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_sweep_visits_and_cycles(shape, random, stalled, spaced):
    lanes, rows, cols = shape
    blocks = -(-cols // lanes)
    stalls = [random.choice([0, 0, 1, 9]) if stalled else 0 for _ in range(rows * blocks)]
    visits, loads, lasts, busy, predicted = run_sweep(lanes, rows, cols, stalls, spaced)
    assert visits == [
        (row, block * rows + row, block % 2, row == 0, row == rows - 1, block == 0)
        for block in range(blocks)
        for row in range(rows)
    ]
    assert loads == [(col, col % lanes, col // lanes % 2, col == cols - 1) for col in range(cols)]
    assert busy == sweep_cycles(rows, cols, lanes, stalls, spaced)
    if spaced:
        assert all(later - last >= lanes for last, later in pairwise(lasts))
    if not any(stalls):
        assert busy == predicted


@given(SHAPES)
def test_memory_order_is_that_of_the_visits(shape):
    lanes, rows, cols = shape
    expected = [
        (row, col)
        for start in range(0, cols, lanes)
        for row in range(rows)
        for col in range(start, min(start + lanes, cols))
    ]
    assert (
        list(zip(*map(np.ndarray.tolist, memory_order(rows, cols, lanes)), strict=True)) == expected
    )


@given(SHAPES, st.integers(1, 4), st.randoms(use_true_random=False))
def test_stalls_count_the_busiest_group(shape, share, random):
    lanes, rows, cols = shape
    hits = np.array([[random.random() < 0.4 for _ in range(cols)] for _ in range(rows)])
    stalls = visit_stalls(hits, lanes, share).reshape(-1, rows)
    for block, row in np.ndindex(stalls.shape):
        lane_hits = hits[row, block * lanes : (block + 1) * lanes]
        groups = [lane_hits[k : k + share].sum() for k in range(0, len(lane_hits), share)]
        assert stalls[block, row] == max(0, max(groups) - 1)
