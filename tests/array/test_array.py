"""The array: sums and pulses of whole sweeps equal the model, in the predicted cycles."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ohmgrid.config import BuildConfig, Config, FormatConfig
from ohmgrid.devices.steps import SoftBoundsReference
from ohmgrid.hdl.array.array import LaneArray
from ohmgrid.host.registers import device_tables, device_values
from ohmgrid.model.array.array import (
    apply_pulses,
    array_sums,
    magnitudes,
    pair_differences,
    pulse_counts,
)
from ohmgrid.model.array.sweep import memory_order, sweep_cycles
from ohmgrid.model.base.noise import cell_words
from ohmgrid.model.device.population import Population
from ohmgrid.model.device.step import static_properties
from ohmgrid.registers.device import device_registers
from ohmgrid.registers.readout import VOLTAGE_BITS, VOLTAGE_FRAC

MAX_ROWS, MAX_COLS = 6, 11
LIMIT = 5000
SIDES = ("row", "column")
# Every device goes through the tile (test_tile.py); this one has what the array must bring to it.
DEVICE = SoftBoundsReference(
    dw_min=0.02, dw_min_dtod=0.5, w_max_dtod=0.3, corrupt_devices_prob=0.1, perfect_bias=True
)


class Bench:
    """An array with the line memories around it; each job runs in the same simulation."""

    def __init__(self, lanes: int, share: int):
        self.config = Config(
            formats=FormatConfig(curve_segments=4),
            build=BuildConfig(
                lanes=lanes,
                share=share,
                queue=4,
                max_rows=MAX_ROWS,
                max_cols=MAX_COLS,
                read_physics=lanes != 3,
            ),
        )
        formats = self.config.formats
        self.device = device_registers(DEVICE, formats.weight_bits, formats.curve_segments)
        self.tables = list(device_tables(self.device, formats.weight_bits))
        self.dut = LaneArray(self.config)
        self.values: dict[str, dict[str, np.ndarray]] = {}
        self.job = None
        self.simulator = Simulator(self.dut)
        self.simulator.add_clock(1e-6)
        self.simulator.add_testbench(self._jobs)

    async def _jobs(self, ctx):
        while True:
            if self.job is not None:
                await self.job(ctx)
                self.job = None
            await ctx.tick()

    def run(self, job) -> None:
        self.job = job
        while self.job is not None:
            self.simulator.advance()

    async def tick(self, ctx) -> None:
        """One clock cycle; the line memories answer to the addresses before it."""
        dut = self.dut
        places = {side: ctx.get(getattr(dut, f"{side}_address")) for side in SIDES}
        await ctx.tick()
        for side, values in self.values.items():
            for name, column in values.items():
                if places[side] < len(column):
                    ctx.set(getattr(dut, f"{side}_{name}"), int(column[places[side]]))

    async def setup(self, ctx, device, rows: int, cols: int, paired: bool) -> None:
        ctx.set(self.dut.rows, rows)
        ctx.set(self.dut.cols, cols)
        ctx.set(self.dut.paired, paired)
        ctx.set(self.dut.registers, device_values(device))
        for table, address, data in self.tables:
            ctx.set(
                self.dut.table_write, {"en": 1, "table": table, "address": address, "data": data}
            )
            await ctx.tick()
        ctx.set(self.dut.table_write.en, 0)
        # They stay for the jobs that follow.
        self.tables = []

    async def write(self, ctx, words, waits, references: int = 0) -> None:
        """Write cells, or their references, in memory order."""
        dut = self.dut
        ctx.set(dut.cells_references, references)
        ctx.set(dut.cells_write, 1)
        await ctx.tick()
        ctx.set(dut.cells_write, 0)
        for word in words:
            for _ in range(next(waits)):
                await ctx.tick()
            ctx.set(dut.cells_i.payload, int(word))
            ctx.set(dut.cells_i.valid, 1)
            assert ctx.get(dut.cells_i.ready)
            await ctx.tick()
            ctx.set(dut.cells_i.valid, 0)
        assert not ctx.get(dut.cells_busy)

    async def read(self, ctx, waits) -> list[int]:
        """Read all cells in memory order."""
        dut, words = self.dut, []
        ctx.set(dut.cells_read, 1)
        for _ in range(LIMIT):
            if not ctx.get(dut.cells_busy):
                break
            ready = next(waits) == 0
            ctx.set(dut.cells_o.ready, ready)
            if ready and ctx.get(dut.cells_o.valid):
                words.append(ctx.get(dut.cells_o.payload))
            await ctx.tick()
            ctx.set(dut.cells_read, 0)
        ctx.set(dut.cells_o.ready, 0)
        return words

    async def list_rows(self, ctx, rows) -> None:
        dut = self.dut
        ctx.set(dut.list_clear, 1)
        await ctx.tick()
        ctx.set(dut.list_clear, 0)
        for row in rows:
            ctx.set(dut.list_put, 1)
            ctx.set(dut.list_row, int(row))
            await ctx.tick()
            ctx.set(dut.list_put, 0)

    async def sweep(self, ctx, **verbs) -> tuple[int, list[int]]:
        """Sweep; return the cycles and the column sums that came."""
        dut, sums = self.dut, []
        settings = {"slots": (1 << 31) - 1, **verbs}
        for name, value in settings.items():
            ctx.set(getattr(dut, name), value)
        ctx.set(dut.start, 1)
        for cycle in range(LIMIT):
            if not ctx.get(dut.busy):
                for name in verbs:
                    ctx.set(getattr(dut, name), 0)
                return cycle, sums
            if ctx.get(dut.column_valid):
                sums.append(ctx.get(dut.column_sum))
            assert not ctx.get(dut.collision)
            await self.tick(ctx)
            ctx.set(dut.start, 0)
        raise AssertionError(f"a sweep does not end in {LIMIT} cycles")

    async def row_sums(self, ctx, rows: int) -> list[int]:
        sums = []
        for row in range(rows):
            ctx.set(self.dut.sum_address, row)
            await ctx.tick().repeat(2)
            sums.append(ctx.get(self.dut.row_sum))
        return sums


BENCHES: dict[tuple[int, int], Bench] = {}


def lines(rng: np.random.Generator, count: int, density: float, top: int) -> dict[str, np.ndarray]:
    trains = rng.integers(0, 1 << 31, count) & rng.integers(0, 1 << 31, count)
    return {
        "code": rng.integers(-top, top + 1, count),
        "train": np.where(rng.random(count) < density, trains, 0),
        "sign": rng.integers(0, 2, count),
        "static": rng.integers(0, 1 << 64, count, dtype=np.uint64),
        "cycle": rng.integers(0, 1 << 32, count, dtype=np.uint32),
    }


def population_of(row, column, references, registers, weight_bits) -> Population:
    """Return the devices of rows and columns with these keys."""
    (row_lo, row_hi), (col_lo, col_hi) = (
        [(side["static"] >> np.uint64(shift)).astype(np.uint32) for shift in (0, 32)]
        for side in (row, column)
    )
    rows, hi = row_lo[:, None], row_hi[:, None]
    words = cell_words(rows, col_lo), cell_words(hi, col_hi), cell_words(rows, col_hi)
    bias = np.arange(len(col_lo)) == len(col_lo) - 1
    nothing = np.zeros(0, np.int64)
    return Population(
        static=static_properties(words, bias[None, :], references, registers, weight_bits),
        stuck_weight=nothing,
        visible_keys=(hi, col_lo[None, :]),
        aging=nothing,
        symmetry_point=nothing,
        registers=registers,
        weight_bits=weight_bits,
    )


@pytest.mark.parametrize(("lanes", "share"), [(1, 1), (3, 2), (4, 4)])
@settings(max_examples=4)
@given(
    seed=st.integers(0, 2**32 - 1),
    outputs=st.integers(1, MAX_ROWS),
    cols=st.integers(1, MAX_COLS),
    paired=st.booleans(),
    write_noise=st.sampled_from([0, 700]),
    density=st.sampled_from([0.0, 0.4, 1.0]),
    slot=st.integers(0, 30),
)
# Blocks as short as can be, every cell hit: stalls push the sums of two blocks together.
@example(seed=1, outputs=1, cols=MAX_COLS, paired=False, write_noise=700, density=1.0, slot=3)
@example(seed=2, outputs=2, cols=MAX_COLS - 1, paired=True, write_noise=0, density=1.0, slot=0)
def test_array_equals_the_model(
    lanes, share, seed, outputs, cols, paired, write_noise, density, slot
):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    if (lanes, share) not in BENCHES:
        BENCHES[lanes, share] = Bench(lanes, share)
    bench = BENCHES[lanes, share]
    weight_bits = bench.config.formats.weight_bits
    # Pairs have no write noise.
    registers = replace(bench.device, visible=0 if paired else write_noise)
    top = (1 << (weight_bits - 1)) - 1
    rows = 2 * max(1, outputs // 2) if paired else outputs
    weights, references = rng.integers(-top, top + 1, (2, rows, cols), dtype=np.int32)
    voltages = bench.config.build.read_physics
    largest = (1 << (VOLTAGE_BITS - 1)) - 1 if voltages else 127
    row, column = (lines(rng, count, density, largest) for count in (rows, cols))
    if paired:
        for name in ("code", "train", "sign"):
            row[name][1::2] = row[name][::2]
        row["code"][1::2] *= -1
    bench.values = {"row": row, "column": column}
    # For magnitudes, the minus device of a pair alone has a code.
    sizes = row["code"].copy()
    if paired:
        sizes[::2], sizes[1::2] = 0, row["code"][::2]

    order = memory_order(rows, cols, lanes)
    population = population_of(row, column, references, registers, weight_bits)
    down = row["sign"][:, None] == column["sign"]
    seen_weights = population.read(weights)

    build = bench.config.build
    listed = np.flatnonzero(row["train"])

    def updated(before, slots, spaced):
        after, trains = before.copy(), row["train"] & slots
        keys = row["cycle"], column["cycle"]
        apply_pulses(after, trains, column["train"], down, population, keys, paired)
        hits = pulse_counts(trains, column["train"], down, paired) != 0
        if spaced:
            return after, sweep_cycles(rows, cols, build, hits, spaced).total
        # Without the other verb, rows without a pulse are passed over.
        return after, sweep_cycles(len(listed), cols, build, hits[listed]).total

    fused, fused_cycles = updated(weights, (1 << 31) - 1, spaced=True)
    one_slot, one_slot_cycles = updated(fused, 1 << slot, spaced=False)
    plain = sweep_cycles(rows, cols, build).total
    waits = (int(wait) for wait in iter(lambda: rng.integers(0, 2), None))
    seen: dict[str, object] = {}

    async def job(ctx):
        await bench.setup(ctx, registers, rows, cols, paired)
        await bench.write(ctx, references[order], waits, references=1)
        await bench.write(ctx, weights[order], waits)
        await bench.list_rows(ctx, listed)
        seen["written"] = await bench.read(ctx, waits)
        seen["forward"] = await bench.sweep(ctx, forward=1)
        seen["row_sums"] = await bench.row_sums(ctx, rows // 2 if paired else rows)
        if voltages:
            await bench.sweep(ctx, forward=1, magnitude=1)
            seen["row_magnitudes"] = await bench.row_sums(ctx, rows // 2 if paired else rows)
            bench.values["row"] = row | {"code": sizes}
            seen["magnitudes"] = await bench.sweep(ctx, backward=1, magnitude=1)
            bench.values["row"] = row
        seen["backward"] = await bench.sweep(ctx, backward=1)
        seen["fused"] = await bench.sweep(ctx, backward=1, update=1)
        seen["fused_cells"] = await bench.read(ctx, waits)
        seen["one_slot"] = await bench.sweep(ctx, update=1, slots=1 << slot)
        seen["one_slot_cells"] = await bench.read(ctx, waits)

    bench.run(job)
    around = 1 + bench.dut.drain(update=False)
    updating = 1 + bench.dut.drain(update=True)
    dropped = VOLTAGE_FRAC if voltages else 0

    matrix = pair_differences(seen_weights) if paired else seen_weights
    large = magnitudes(matrix, weight_bits, paired)

    def column_sums(cells):
        codes = row["code"][::2] if paired else row["code"]
        return (array_sums(cells.T, codes) >> dropped).tolist()

    def row_sums(cells):
        return array_sums(cells, column["code"]) >> dropped

    assert bench.dut.sweep_cycles(rows, cols) == plain
    assert_array_equal(seen["written"], weights[order])
    assert seen["forward"] == (plain + around, [])
    assert_array_equal(seen["row_sums"], row_sums(matrix))
    assert seen["backward"] == (plain + around, column_sums(matrix))
    if voltages:
        assert_array_equal(seen["row_magnitudes"], row_sums(large))
        assert seen["magnitudes"] == (plain + around, column_sums(large))
    assert seen["fused"] == (fused_cycles + updating, column_sums(matrix))
    assert_array_equal(seen["fused_cells"], fused[order])
    assert seen["one_slot"] == (one_slot_cycles + updating, [])
    assert_array_equal(seen["one_slot_cells"], one_slot[order])
