"""The sweep: every word once, in memory order, in exactly the predicted number of cycles."""

from itertools import count, pairwise

import numpy as np
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.config import BuildConfig
from ohmgrid.hdl.array.sweep import Sweep
from ohmgrid.model.array.sweep import group_hits, memory_order, sweep_cycles
from ohmgrid.model.array.visit_queue import VisitQueue

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 20))


def run_sweep(build, rows, cols, hits, spaced, listed):
    """Return the visits seen in stage D, the columns loaded, and the busy cycles.

    ``hits`` are those of the rows in ``listed``, if there is a list.
    """
    lanes = build.lanes
    dut = Sweep(lanes, rows, cols, rows * -(-cols // lanes), build.key_banks)
    cells = group_hits(hits, lanes, build.share).tolist()
    queues = [VisitQueue(build.queue) for _ in range(build.units)]
    blocks = {}
    visits, loads, lasts, busy = [], [], [], 0

    async def bench(ctx):
        nonlocal busy
        ctx.set(dut.rows, rows)
        ctx.set(dut.cols, cols)
        ctx.set(dut.spaced, spaced)
        ctx.set(dut.last_block, 1)
        ctx.set(dut.listed, listed is not None)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        for row in listed or ():
            ctx.set(dut.put, 1)
            ctx.set(dut.put_row, row)
            await ctx.tick()
        ctx.set(dut.put, 0)
        for _ in range(2):
            # What the first one leaves does not matter to the second one.
            for seen in (visits, loads, lasts):
                seen.clear()
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            column = address = 0
            for cycle in count(1):
                fresh = ctx.get(dut.fresh)
                if fresh:
                    flags = ("row_d", "address_d", "bank_d", "first_d", "last_d", "start_d")
                    visits.append(tuple(ctx.get(getattr(dut, flag)) for flag in flags))
                    if ctx.get(dut.last_d):
                        lasts.append(cycle)
                if ctx.get(dut.load):
                    flags = ("load_lane", "load_bank", "load_last")
                    loads.append((column, *(ctx.get(getattr(dut, flag)) for flag in flags)))
                column, address = address, ctx.get(dut.load_column)
                waits = any(queue.waits for queue in queues)
                if ctx.get(dut.busy) or waits:
                    busy = cycle
                elif not fresh:
                    break
                # What the queues say reaches the sweep a cycle later.
                full = any(queue.full for queue in queues)
                used = ctx.get(dut.next_bank) in [blocks.get(queue.block) for queue in queues]
                visit = len(visits) - 1
                block = visit // len(hits) if len(hits) else 0
                blocks[block] = ctx.get(dut.bank_d)
                for group, queue in enumerate(queues):
                    queue.clock(block, cells[visit][group] if fresh else 0)
                await ctx.tick()
                ctx.set(dut.advance, not full)
                ctx.set(dut.bank_used, used)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return visits, loads, lasts, busy, dut.cycles(rows, cols)


@given(SHAPES, st.integers(1, 4), st.sampled_from([4, 16]), st.data(), st.booleans(), st.booleans())
def test_sweep_visits_and_cycles(shape, share, queue, data, spaced, some):
    lanes, rows, cols = shape
    build = BuildConfig(lanes=lanes, share=share, queue=queue)
    blocks, banks = -(-cols // lanes), build.key_banks
    density = data.draw(st.sampled_from([0, 30, 100]))
    percent = st.lists(st.integers(1, 100), min_size=rows * cols, max_size=rows * cols)
    hits = (np.array(data.draw(percent)) <= density).reshape(rows, cols)
    # In a sweep, a list's rows are in order.
    order = [row for row in range(rows) if not some or data.draw(st.booleans())]
    hits, listed = hits[order], order if some else None
    visits, loads, lasts, busy, predicted = run_sweep(build, rows, cols, hits, spaced, listed)
    if not order:
        assert (visits, loads, busy) == ([], [], 0)
        assert sweep_cycles(0, cols, build, hits, spaced) == (0, 0)
        return
    assert visits == [
        (row, block * rows + row, block % banks, row == order[0], row == order[-1], block == 0)
        for block in range(blocks)
        for row in order
    ]
    assert loads == [
        (col, col % lanes, col // lanes % banks, col == cols - 1) for col in range(cols)
    ]
    assert (busy, lasts[-1] - 1) == sweep_cycles(len(order), cols, build, hits, spaced)
    if spaced:
        assert all(later - last >= lanes for last, later in pairwise(lasts))
    if not (hits.any() or some):
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
def test_hits_are_counted_by_group(shape, share, random):
    lanes, rows, cols = shape
    hits = np.array([[random.random() < 0.4 for _ in range(cols)] for _ in range(rows)])
    counts = group_hits(hits, lanes, share).reshape(-1, rows, -(-lanes // share))
    for block, row, group in np.ndindex(counts.shape):
        first = block * lanes
        of_block = hits[row, first : min(first + lanes, cols)]
        assert counts[block, row, group] == of_block[group * share : (group + 1) * share].sum()
