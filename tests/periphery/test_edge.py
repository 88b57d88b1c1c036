"""The edge holds the vectors of several examples, and knows which columns are not 0."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.config import BuildConfig, Config
from ohmgrid.hdl.periphery.edge import FETCH, LOOK, Edge, edge_depths
from ohmgrid.sim.tables import run_clocked

INPUTS, OUTPUTS, SLOTS = 12, 9, 3
CONFIG = Config(build=BuildConfig(inputs=INPUTS, outputs=OUTPUTS, edge=SLOTS, time=False))
ONE = 4096


def test_a_refresh_has_a_slot_of_its_own():
    timed = CONFIG.replace(build={"time": True})
    assert edge_depths(CONFIG) == (SLOTS * INPUTS, SLOTS * OUTPUTS)
    assert edge_depths(timed) == ((SLOTS + 1) * INPUTS, (SLOTS + 1) * OUTPUTS)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), zeros=st.sampled_from([0.0, 0.5, 1.0]))
def test_vectors_come_back_as_they_came(seed, zeros):
    """Whatever the slot, the side and the pauses; those with a bias have 1.0 behind them."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    dut = Edge(CONFIG)
    stored = {0: np.zeros(SLOTS * INPUTS, int), 1: np.zeros(SLOTS * OUTPUTS, int)}

    async def take(ctx, side, slot, first, values, biased) -> None:
        depth = (INPUTS, OUTPUTS)[side]
        base = slot * depth
        ctx.set(dut.row_base if side else dut.column_base, base)
        job = {"side": side, "first": first, "count": len(values), "biased": biased}
        ctx.set(dut.vector, job | {"clear": 1})
        await ctx.tick()
        for number, value in enumerate(values):
            ctx.set(dut.vector, job)
            await ctx.tick().repeat(int(rng.integers(0, 3)) or 1) if rng.random() < 0.3 else None
            ctx.set(dut.value, int(value))
            ctx.set(dut.vector, job | {"take": 1})
            assert ctx.get(dut.taken) == (number == len(values) - 1)
            await ctx.tick()
        ctx.set(dut.vector, {})
        await ctx.tick().repeat(2)
        whole = np.append(values, ONE) if biased else values
        stored[side][base + first : base + first + len(whole)] = whole
        largest = ctx.get(dut.row_max if side else dut.column_max)
        assert largest == (int(np.abs(whole).max()) if len(whole) else 0)
        await read(ctx, side, base + first, whole)
        if side == 0:
            # The bias is known first.
            lines = np.flatnonzero(whole)
            lines = np.roll(lines, 1) if biased else lines
            assert ctx.get(dut.column_count) == len(lines)
            await read(ctx, side, base + first, whole, lines)

    async def read(ctx, side, start, whole, lines=None) -> None:
        """Read a vector, a line a cycle; of columns, those that are listed."""
        wanted = np.arange(len(whole)) if lines is None else lines
        ctx.set(dut.side, side)
        ctx.set(dut.start, start)
        ctx.set(dut.skip, lines is not None)
        found = []
        for number in range(len(wanted) + FETCH):
            ctx.set(dut.number, min(number, len(wanted)))
            if number >= FETCH:
                found.append((ctx.get(dut.index), ctx.get(dut.found)))
            await ctx.tick()
        assert found == [(line, whole[line]) for line in wanted]

    async def bench(ctx):
        ctx.set(dut.one, ONE)
        for _ in range(8):
            side, slot = int(rng.integers(2)), int(rng.integers(SLOTS))
            depth, biased = (INPUTS, OUTPUTS)[side], side == 0 and bool(rng.integers(2))
            first = int(rng.integers(depth - 1))
            count = int(rng.integers(1, depth - first + 1 - biased))
            values = rng.integers(-(1 << 15) + 1, 1 << 15, count)
            values[rng.random(count) < zeros] = 0
            await take(ctx, side, slot, first, values, biased)
        for place, value in enumerate(stored[0]):
            ctx.set(dut.look, place)
            await ctx.tick().repeat(LOOK)
            assert ctx.get(dut.looked) == value

    run_clocked(dut, bench)
