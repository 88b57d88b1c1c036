"""A group of lanes: cells that were hit go through the one unit and come back to their lanes."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.hdl.array.group import LaneGroup
from ohmgrid.hdl.device.ports import pack_registers
from ohmgrid.model.array.array import apply_pulses
from ohmgrid.model.base.noise import cell_words
from ohmgrid.model.device.population import Population
from ohmgrid.model.device.step import static_properties
from ohmgrid.registers.device import device_registers
from ohmgrid.sim.tables import run_clocked

LANES, ALL = 3, (1 << 31) - 1
NOTHING = (0,) * 1024
# The unit's tables are empty at power-up: a cell of the bias column moves, every other one is
# clipped to zero less its reference.
REGISTERS = replace(
    device_registers(ConstantStep(dw_min=0.02, perfect_bias=True), 18, 4),
    **dict.fromkeys(("gain", "balance", "upper", "lower"), NOTHING),
    **dict.fromkeys(("gamma_up", "gamma_down", "gamma_balance"), NOTHING),
    **dict.fromkeys(("curve_up", "curve_down"), (0,) * 5),
    c2c=(0,) * 32,
)


@settings(max_examples=4)
@given(st.integers(0, 2**32 - 1), st.integers(0, 7))
def test_group_moves_the_cells_that_are_hit(seed, hit):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    build = BuildConfig(lanes=LANES, share=LANES, max_rows=2, max_cols=LANES)
    dut = LaneGroup(Config(formats=FormatConfig(curve_segments=4), build=build), LANES)
    words, references = rng.integers(-(1 << 16), 1 << 16, (2, 1, LANES), dtype=np.int32)
    trains = np.where(hit >> np.arange(LANES) & 1, rng.integers(1, ALL, LANES), 0)
    row_train = int(rng.integers(1, ALL))
    hits = np.count_nonzero(trains & row_train)
    signs = rng.integers(0, 2, LANES)
    static = rng.integers(0, 1 << 64, LANES + 1, dtype=np.uint64)
    cycle = rng.integers(0, 1 << 32, LANES + 1, dtype=np.uint32)
    seen = []

    async def visit(ctx, **at_c):
        """Send address 1 through stages A to D; return in stage D."""
        ctx.set(dut.advance, 1)
        ctx.set(dut.address, 1)
        ctx.set(dut.host_address, 1)
        ctx.set(dut.read, 1)
        await ctx.tick()
        ctx.set(dut.read, 0)
        ctx.set(dut.take, 1)
        await ctx.tick()
        ctx.set(dut.take, 0)
        for name, value in at_c.items():
            ctx.set(getattr(dut, name), value)
        await ctx.tick()
        for name in at_c:
            ctx.set(getattr(dut, name), 0)

    async def bench(ctx):
        ctx.set(dut.registers, pack_registers(REGISTERS))
        ctx.set(dut.address, 1)
        ctx.set(dut.host_address, 1)
        for lane in range(LANES):
            ctx.set(dut.host_lane, lane)
            for port, cells in ((dut.host_write, words), (dut.host_reference, references)):
                ctx.set(port, 1)
                ctx.set(dut.host_data, int(cells[0, lane]))
                await ctx.tick()
                ctx.set(port, 0)
            ctx.set(dut.load_lane, lane)
            for name, values in (
                ("train", trains),
                ("sign", signs),
                ("static", static),
                ("cycle", cycle),
            ):
                ctx.set(getattr(dut, f"load_{name}"), int(values[lane]))
            ctx.set(dut.load_bias, lane == LANES - 1)
            ctx.set(dut.load, 1 << lane)
            await ctx.tick()
            ctx.set(dut.load, 0)
        ctx.set(dut.static_d, int(static[-1]))
        ctx.set(dut.cycle_d, int(cycle[-1]))
        ctx.set(dut.address_d, 1)
        ctx.set(dut.train_d, row_train)
        ctx.set(dut.sign_d, 1)
        await visit(ctx, row_train=row_train, row_sign=1, hit_valid=1)
        ctx.set(dut.fresh_d, 1)
        await ctx.tick()
        ctx.set(dut.fresh_d, 0)
        waited = 0
        while ctx.get(dut.waits):
            waited += 1
            await ctx.tick()
        # One cycle in the queue's memory, and one for each cell.
        assert waited == (hits + 1 if hits else 0)
        await ctx.tick().repeat(dut.latency + 1)
        # As the host reads: the word times 1.
        ctx.set(dut.backward, 1)
        ctx.set(dut.row_code, 1)
        await visit(ctx)
        await ctx.tick().repeat(dut.lag)
        seen.extend(ctx.get(getattr(dut, f"product{lane}")) for lane in range(LANES))

    run_clocked(dut, bench)
    lo, hi = ((static >> np.uint64(shift)).astype(np.uint32) for shift in (0, 32))
    row_lo, row_hi = lo[-1:, None], hi[-1:, None]
    col_lo, col_hi = lo[None, :-1], hi[None, :-1]
    keys = cell_words(row_lo, col_lo), cell_words(row_hi, col_hi), cell_words(row_lo, col_hi)
    bias = np.arange(LANES)[None, :] == LANES - 1
    nothing = np.zeros(0, np.int64)
    population = Population(
        static=static_properties(keys, bias, references, REGISTERS, 18),
        stuck_weight=nothing,
        visible_keys=(row_hi, col_lo),
        aging=nothing,
        symmetry_point=nothing,
        registers=REGISTERS,
        weight_bits=18,
    )
    expected = words.copy()
    down = (signs == 1)[None, :]
    apply_pulses(
        expected, np.array([row_train]), trains, down, population, (cycle[-1:], cycle[:-1])
    )
    assert seen == expected[0].tolist()
