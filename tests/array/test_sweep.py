"""The sweep: every word once, in memory order, in exactly the predicted number of cycles."""

from itertools import count, pairwise

import numpy as np
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.config import BuildConfig
from ohmgrid.hdl.array.sweep import Sweep
from ohmgrid.model.array.sweep import SETTLE, Queues, group_hits, memory_order, sweep_cycles

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 20))


def run_sweep(build, rows, cols, hits, spaced, listed):
    """Return the visits sent, the columns loaded, and the busy cycles.

    ``hits`` are those of the rows in ``listed``, if there is a list; None: no update.
    """
    lanes = build.lanes
    settles = build.visit_cycles + SETTLE
    dut = Sweep(lanes, rows, cols, rows * -(-cols // lanes), build.key_banks, settles)
    demand = [] if hits is None else group_hits(hits, lanes, build.share).tolist()
    in_block = rows if listed is None else len(listed)
    visits, loads, lasts, busy = [], [], [], 0

    async def bench(ctx):
        nonlocal busy
        ctx.set(dut.rows, rows)
        ctx.set(dut.cols, cols)
        ctx.set(dut.spaced, spaced)
        ctx.set(dut.update, hits is not None)
        ctx.set(dut.last_block, 1)
        ctx.set(dut.go, 1)
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
            queues = Queues(build, demand, in_block)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            next_block, busy = 1, 0
            for cycle in count(1):
                place, column = dut.visit.payload, dut.load.payload
                sent = None
                if ctx.get(dut.visit.valid):
                    sent = len(visits)
                    fields = ("row", "address", "bank", "first", "last", "start")
                    visits.append(tuple(ctx.get(place[field]) for field in fields))
                    if ctx.get(place.last):
                        lasts.append(cycle)
                if ctx.get(dut.load.valid):
                    lane = ctx.get(column.lanes)
                    assert lane.bit_count() == 1
                    fields = (dut.load_column, column.bank, column.bias)
                    loads.append((lane.bit_length() - 1, *map(ctx.get, fields)))
                # The sweep says in whose place it wants to load; which block that is, is known.
                next_block += (ctx.get(dut.next_bank) - next_block) % build.key_banks
                if ctx.get(dut.busy):
                    busy = cycle
                elif not queues.busy:
                    break
                queues.clock(sent, next_block)
                await ctx.tick()
                ctx.set(dut.go, queues.go)
                ctx.set(dut.bank_used, queues.bank_used)
            busy = max(busy, queues.end)
            # As long as results take to come back, and longer.
            await ctx.tick().repeat(settles + 2)

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
    density = data.draw(st.sampled_from([None, 0, 30, 100]))
    hits = None
    # In a sweep, a list's rows are in order.
    order = [row for row in range(rows) if not some or data.draw(st.booleans())]
    if density is not None:
        percent = st.lists(st.integers(1, 100), min_size=rows * cols, max_size=rows * cols)
        hits = (np.array(data.draw(percent)) <= density).reshape(rows, cols)[order]
    listed = order if some else None
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
        (col % lanes, col, col // lanes % banks, col == cols - 1) for col in range(cols)
    ]
    assert (busy, lasts[-1]) == sweep_cycles(len(order), cols, build, hits, spaced)
    if spaced:
        assert all(later - last >= lanes for last, later in pairwise(lasts))
    if hits is None and not some:
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
