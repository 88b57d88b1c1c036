"""A group of lanes: cells that were hit go through the one unit and come back to their lanes."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
from amaranth.hdl import ResetInserter, Signal
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.hdl.array.group import LaneGroup
from ohmgrid.host.registers import device_values
from ohmgrid.model.array.array import apply_pulses
from ohmgrid.model.base.noise import cell_words
from ohmgrid.model.device.population import Population
from ohmgrid.model.device.step import static_properties
from ohmgrid.registers.device import device_registers
from ohmgrid.sim.tables import run_clocked

ALL = (1 << 31) - 1
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


FIELDS = ("train", "sign", "static", "cycle", "code")
ROWS = 5


def lines(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Return the values of rows or columns."""
    trains = rng.integers(1, ALL, count) & rng.integers(1, ALL, count)
    return {
        "train": np.where(rng.random(count) < 0.7, trains, 0),
        "sign": rng.integers(0, 2, count),
        "static": rng.integers(0, 1 << 64, count, dtype=np.uint64),
        "cycle": rng.integers(0, 1 << 32, count, dtype=np.uint32),
        "code": rng.integers(-127, 128, count),
    }


class CutOff(Exception):
    """A job ends where it stands."""


class Bench:
    """A group with one block of columns; all that is sent comes with random pauses."""

    def __init__(self, rng, lanes, queue):
        build = BuildConfig(lanes=lanes, share=lanes, queue=queue, max_rows=ROWS, max_cols=lanes)
        self.rng, self.lanes, self.queue = rng, lanes, queue
        self.dut = LaneGroup(Config(formats=FormatConfig(curve_segments=4), build=build), lanes)
        self.words, self.references = rng.integers(
            -(1 << 16), 1 << 16, (2, ROWS, lanes), dtype=np.int32
        )
        self.rows, self.columns = lines(rng, ROWS), lines(rng, lanes)
        # Places in the queue, and cycles until a job is cut off.
        self.places, self.left = queue, None

    async def pause(self, ctx):
        while self.rng.random() < 0.3:
            await self.tick(ctx)

    async def tick(self, ctx):
        """One clock cycle; places in the queue come back."""
        if self.left is not None:
            if not self.left:
                raise CutOff
            self.left -= 1
        self.places += ctx.get(self.dut.returned)
        assert not ctx.get(self.dut.collision)
        await ctx.tick()

    async def write(self, ctx, words):
        """Write all words and references."""
        cell, self.places = self.dut.cell, self.queue
        for row, lane in np.ndindex(words.shape):
            ctx.set(cell.lane, lane)
            ctx.set(cell.address, row)
            for port, cells in ((cell.word, words), (cell.reference, self.references)):
                ctx.set(port, 1)
                ctx.set(cell.data, int(cells[row, lane]))
                await ctx.tick()
                ctx.set(port, 0)

    async def load(self, ctx):
        """Load the columns of a block."""
        load = self.dut.load
        for lane in range(self.lanes):
            await self.pause(ctx)
            ctx.set(load.valid, 1)
            ctx.set(load.payload.lanes, 1 << lane)
            ctx.set(load.payload.bias, lane == self.lanes - 1)
            for name in FIELDS:
                ctx.set(load.payload[name], int(self.columns[name][lane]))
            await self.tick(ctx)
            ctx.set(load.valid, 0)

    async def visit(self, ctx, codes, waits):
        """Visit all rows; wait for places if ``waits``."""
        visit = self.dut.visit
        for row in range(ROWS):
            await self.pause(ctx)
            while waits and not self.places:
                await self.tick(ctx)
            self.places -= waits
            ctx.set(visit.valid, 1)
            ctx.set(visit.payload.first, row == 0)
            ctx.set(visit.payload.last, row == ROWS - 1)
            ctx.set(visit.payload.address, row)
            for name in FIELDS:
                ctx.set(visit.payload[name], int(self.rows[name][row]))
            ctx.set(visit.payload.code, int(codes[row]))
            await self.tick(ctx)
            ctx.set(visit.valid, 0)

    async def update(self, ctx):
        """Load, visit, and wait until all results are written."""
        dut = self.dut
        ctx.set(dut.settings.registers, device_values(REGISTERS))
        ctx.set(dut.settings.update, 1)
        await self.load(ctx)
        await self.visit(ctx, np.zeros(ROWS), waits=True)
        for _ in range(dut.times["D"] + 4):
            await self.tick(ctx)
        while ctx.get(dut.waits):
            await self.tick(ctx)
        assert self.places == self.queue
        await ctx.tick().repeat(dut.latency)
        ctx.set(dut.settings.update, 0)

    async def sums(self, ctx, codes):
        """Return the sums of the lanes, as in a backward sweep."""
        dut, sums = self.dut, []
        ctx.set(dut.settings.by_row, 1)
        await ctx.tick()
        await self.visit(ctx, codes, waits=False)
        await ctx.tick().repeat(dut.times["chain"] - 1)
        ctx.set(dut.shift, 1)
        await ctx.tick()
        for _ in range(self.lanes):
            sums.append(ctx.get(dut.chain_o))
            await ctx.tick()
        ctx.set(dut.shift, 0)
        ctx.set(dut.settings.by_row, 0)
        return sums

    async def read(self, ctx):
        """Return all words: the sums of one row times 1 each."""
        return [await self.sums(ctx, np.eye(ROWS, dtype=int)[row]) for row in range(ROWS)]

    def updated(self):
        """Return what the model makes of the words."""
        (row_lo, row_hi), (col_lo, col_hi) = (
            [(side["static"] >> np.uint64(shift)).astype(np.uint32) for shift in (0, 32)]
            for side in (self.rows, self.columns)
        )
        row_lo, row_hi = row_lo[:, None], row_hi[:, None]
        keys = cell_words(row_lo, col_lo), cell_words(row_hi, col_hi), cell_words(row_lo, col_hi)
        bias = np.arange(self.lanes)[None, :] == self.lanes - 1
        nothing = np.zeros(0, np.int64)
        population = Population(
            static=static_properties(keys, bias, self.references, REGISTERS, 18),
            stuck_weight=nothing,
            visible_keys=(row_hi, col_lo[None, :]),
            aging=nothing,
            symmetry_point=nothing,
            registers=REGISTERS,
            weight_bits=18,
        )
        after = self.words.copy()
        down = self.rows["sign"][:, None] == self.columns["sign"]
        cycle = self.rows["cycle"], self.columns["cycle"]
        trains = self.rows["train"], self.columns["train"]
        apply_pulses(after, *trains, down, population, cycle)
        return after


GROUPS = {"lanes": st.integers(1, 7), "queue": st.sampled_from([4, 16])}


@settings(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1), **GROUPS)
def test_group_moves_the_cells_that_are_hit(seed, lanes, queue):
    print(f"seed={seed}")
    bench = Bench(np.random.default_rng(seed), lanes, queue)
    seen = {}

    async def job(ctx):
        await bench.write(ctx, bench.words)
        await bench.update(ctx)
        seen["cells"] = await bench.read(ctx)
        seen["sums"] = await bench.sums(ctx, bench.rows["code"])

    run_clocked(bench.dut, job)
    after = bench.updated()
    assert seen["cells"] == after.tolist()
    assert seen["sums"] == (bench.rows["code"] @ after.astype(np.int64)).tolist()


@settings(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1), after=st.integers(0, 40), **GROUPS)
def test_a_reset_forgets_what_is_on_its_way(seed, after, lanes, queue):
    """A group that is reset in the middle of an update does the next one as a new one does."""
    print(f"seed={seed}")
    bench = Bench(np.random.default_rng(seed), lanes, queue)
    dut = ResetInserter(reset := Signal())(bench.dut)
    seen = {}

    async def job(ctx):
        await bench.write(ctx, bench.words)
        bench.left = after
        with suppress(CutOff):
            await bench.update(ctx)
        bench.left = None
        for valid in (bench.dut.visit.valid, bench.dut.load.valid, bench.dut.settings.update):
            ctx.set(valid, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await bench.write(ctx, bench.words)
        await bench.update(ctx)
        seen["cells"] = await bench.read(ctx)

    run_clocked(dut, job)
    assert seen["cells"] == bench.updated().tolist()
