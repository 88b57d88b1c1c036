"""A group of lanes: cells that were hit go through the one unit and come back to their lanes."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
from amaranth.hdl import ResetInserter, Signal
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.hdl.array.group import LaneGroup
from ohmgrid.host.registers import device_values
from ohmgrid.model.array.array import apply_pulses
from ohmgrid.model.base.noise import cell_words
from ohmgrid.model.device.population import Population
from ohmgrid.model.device.step import static_properties
from ohmgrid.model.device.visible import visible
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


VISIBLE = 3000
"""Register of the write noise."""
FIELDS = ("train", "sign", "static", "cycle", "code")
SERIAL = 5


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
    """A group with one block; all that is sent comes with random pauses.

    Rows are serial lines and columns lie along the lanes, or, ``turned``, the other way round. Word
    w of a lane is that of serial line ``w div devices``, in pairs of device ``w mod devices``.
    """

    def __init__(self, rng, lanes, queue, turned=False, devices=1):
        build = BuildConfig(
            lanes=lanes, share=lanes, queue=queue, words=SERIAL * devices, inputs=7, outputs=14
        )
        self.rng, self.lanes, self.queue, self.turned = rng, lanes, queue, turned
        self.devices, self.count = devices, SERIAL * devices
        self.dut = LaneGroup(Config(formats=FormatConfig(curve_segments=4), build=build), lanes)
        self.words, self.references = rng.integers(
            -(1 << 16), 1 << 16, (2, self.count, lanes), dtype=np.int32
        )
        # Of each device of rows: both of a pair have the same train and sign.
        self.rows = lines(rng, devices * (lanes if turned else SERIAL))
        for name in ("train", "sign"):
            self.rows[name] = self.rows[name][::devices].repeat(devices)
        self.columns = lines(rng, SERIAL if turned else lanes)
        # Of lane lines that are loaded, pairs take two banks.
        self.lane_paired = turned and devices == 2
        self.banks = build.key_banks // (2 if self.lane_paired else 1)
        self.bank = int(rng.integers(self.banks))
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

    async def load(self, ctx, bank, values):
        """Load the lane lines of a block into a bank; of pairs that lie along lanes, twice."""
        load = self.dut.load
        each = 2 if self.lane_paired else 1
        for line in range(self.lanes * each):
            lane, minus = divmod(line, each)
            await self.pause(ctx)
            ctx.set(load.valid, 1)
            ctx.set(load.payload.lanes, 1 << lane)
            ctx.set(load.payload.bank, bank)
            ctx.set(load.payload.minus, minus)
            ctx.set(load.payload.bias, not self.turned and lane == self.lanes - 1)
            for name in FIELDS:
                ctx.set(load.payload[name], int(values[name][line]))
            await self.tick(ctx)
            ctx.set(load.valid, 0)

    async def visit(self, ctx, codes, waits):
        """Visit all words; wait for places if ``waits``."""
        visit = self.dut.visit
        for word in range(self.count):
            line, minus = divmod(word, self.devices)
            await self.pause(ctx)
            while waits and not self.places:
                await self.tick(ctx)
            self.places -= waits
            ctx.set(visit.valid, 1)
            ctx.set(visit.payload.first, word == 0)
            ctx.set(visit.payload.last, word == self.count - 1)
            ctx.set(visit.payload.address, word)
            ctx.set(visit.payload.bank, self.bank)
            ctx.set(visit.payload.minus, minus)
            ctx.set(visit.payload.bias, self.turned and line == SERIAL - 1)
            for name in FIELDS:
                values = self.columns[name][line] if self.turned else self.rows[name][word]
                ctx.set(visit.payload[name], int(values))
            ctx.set(visit.payload.code, int(codes[word]))
            await self.tick(ctx)
            ctx.set(visit.valid, 0)

    async def update(self, ctx):
        """Load, visit, and wait until all results are written."""
        dut = self.dut
        ctx.set(dut.settings.registers, device_values(REGISTERS))
        ctx.set(dut.settings.turned, self.turned)
        ctx.set(dut.settings.paired, self.devices == 2)
        ctx.set(dut.settings.lane_paired, self.lane_paired)
        ctx.set(dut.settings.update, 1)
        along = self.rows if self.turned else self.columns
        await self.load(ctx, self.bank, along)
        await self.visit(ctx, np.zeros(self.count), waits=True)
        # The lines of later blocks come while visits still wait.
        for bank in set(range(self.banks)) - {self.bank}:
            await self.load(ctx, bank, lines(self.rng, 2 * self.lanes))
        for _ in range(dut.times["D"] + 4):
            await self.tick(ctx)
        while ctx.get(dut.waits):
            await self.tick(ctx)
        assert self.places == self.queue
        await ctx.tick().repeat(dut.latency)
        ctx.set(dut.settings.update, 0)

    async def sums(self, ctx, codes, visible=0):
        """Return the sums of the lanes, with write noise of that register."""
        dut, sums = self.dut, []
        ctx.set(dut.settings.visible, visible)
        await ctx.tick()
        if visible:
            await self.load(ctx, self.bank, self.rows if self.turned else self.columns)
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
        """Return all words: the sums of one visit times 1 each."""
        return [await self.sums(ctx, one) for one in np.eye(self.count, dtype=int)]

    def updated(self):
        """Return what the model makes of the words, and what reads see of them with `VISIBLE`."""

        devices, rows, columns = self.devices, self.rows, self.columns

        def laid(cells):
            """Return words of lanes as an array of rows of devices and columns."""
            if not self.turned:
                return cells
            return cells.reshape(SERIAL, devices, -1).transpose(2, 1, 0).reshape(-1, SERIAL)

        def in_lanes(cells):
            """Return an array of rows of devices and columns as words of lanes."""
            if not self.turned:
                return cells
            return cells.reshape(-1, devices, SERIAL).transpose(2, 1, 0).reshape(self.count, -1)

        (row_lo, row_hi), (col_lo, col_hi) = (
            [(side["static"] >> np.uint64(shift)).astype(np.uint32) for shift in (0, 32)]
            for side in (rows, columns)
        )
        row_lo, row_hi = row_lo[:, None], row_hi[:, None]
        keys = cell_words(row_lo, col_lo), cell_words(row_hi, col_hi), cell_words(row_lo, col_hi)
        before = laid(self.words)
        bias = np.broadcast_to(np.arange(len(col_lo)) == len(col_lo) - 1, before.shape)
        nothing = np.zeros(0, np.int64)
        population = Population(
            static=static_properties(keys, bias, laid(self.references), REGISTERS, 18),
            stuck_weight=nothing,
            visible_keys=(row_hi, col_lo[None, :]),
            aging=nothing,
            symmetry_point=nothing,
            registers=REGISTERS,
            weight_bits=18,
        )
        after = before.copy()
        down = rows["sign"][:, None] == columns["sign"]
        cycle = rows["cycle"], columns["cycle"]
        trains = rows["train"], columns["train"]
        apply_pulses(after, *trains, down, population, cycle, paired=devices == 2)
        seen = visible(after, population.visible_keys, VISIBLE, 18)
        return in_lanes(after), in_lanes(seen).astype(np.int64)


GROUPS = {"lanes": st.integers(1, 5), "queue": st.sampled_from([4, 16])}


@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1), turned=st.booleans(), devices=st.integers(1, 2), **GROUPS)
@example(seed=1, turned=True, devices=2, lanes=3, queue=4)
def test_group_moves_the_cells_that_are_hit(seed, turned, devices, lanes, queue):
    print(f"seed={seed}")
    bench = Bench(np.random.default_rng(seed), lanes, queue, turned, devices)
    codes = bench.rng.integers(-127, 128, bench.count)
    # Pairs have no write noise.
    register = VISIBLE if devices == 1 else 0
    seen = {}

    async def job(ctx):
        await bench.write(ctx, bench.words)
        await bench.update(ctx)
        seen["cells"] = await bench.read(ctx)
        seen["sums"] = await bench.sums(ctx, codes, register)

    run_clocked(bench.dut, job)
    after, noisy = bench.updated()
    assert (noisy != after).any()
    assert seen["cells"] == after.tolist()
    assert seen["sums"] == (codes @ (noisy if register else after.astype(np.int64))).tolist()


@settings(max_examples=3)
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
    assert seen["cells"] == bench.updated()[0].tolist()
