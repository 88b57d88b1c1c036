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
from ohmgrid.hdl.array.bundles import sweep_layout
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

MAX_ROWS, MAX_COLS = 6, 9
FREE = 9
"""Lines of each side, and words, that another array could take."""
LIMIT = 5000
NOTHING = (0,) * 1024
ALL_SLOTS = (1 << 31) - 1
NO_JOB = dict.fromkeys(sweep_layout(Config()).members, 0) | {"slots": ALL_SLOTS}
# Every device goes through the core (test_core.py); this one has what the array must bring to it.
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
                # Not a power of two, as few builds have.
                words=MAX_ROWS * MAX_COLS + FREE,
                inputs=MAX_COLS + FREE,
                outputs=MAX_ROWS + FREE,
                read_physics=lanes != 3,
                # What the device at hand does not need, for it takes time to simulate.
                **dict.fromkeys(("power", "step_tables", "time"), False),
            ),
        )
        formats = self.config.formats
        registers = device_registers(DEVICE, formats.weight_bits, formats.curve_segments)
        # Steps and bounds tell cells from each other; all tables take too long to write here.
        self.device = replace(
            registers,
            **dict.fromkeys(("balance", "gamma_up", "gamma_down", "gamma_balance"), NOTHING),
        )
        tables = device_tables(self.device, formats.weight_bits)
        self.tables = [write for write in tables if write[2] != 0]
        self.dut = LaneArray(self.config)
        self.memories: dict[str, dict[str, np.ndarray]] = {}
        # What was addressed in the cycle before.
        self.addressed: dict[str, int] = {}
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
        """One clock cycle; the line memories answer two cycles after an address."""
        dut, answered = self.dut, self.addressed
        self.addressed = {
            name: ctx.get(getattr(dut, name)) for name in ("row_line", "row_key", "column_line")
        }
        await ctx.tick()
        if not answered:
            return
        for side, line, key in (
            ("rows", "row_line", "row_key"),
            ("columns", "column_line", "column_line"),
        ):
            values = {
                name: int(column[answered[key if name in KEYED else line] % len(column)])
                for name, column in self.memories[side].items()
            }
            ctx.set(getattr(dut, side), values)

    async def place(self, ctx, place: dict[str, int]) -> None:
        """Say where the array lies."""
        ctx.set(self.dut.array, place)
        await ctx.tick().repeat(3)

    async def setup(self, ctx, device) -> None:
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
        ctx.set(dut.cells.references, references)
        ctx.set(dut.cells.write, 1)
        await ctx.tick()
        ctx.set(dut.cells.write, 0)
        for word in words:
            for _ in range(next(waits)):
                await ctx.tick()
            ctx.set(dut.cells_i.payload, int(word))
            ctx.set(dut.cells_i.valid, 1)
            # A word is taken every other cycle.
            if not ctx.get(dut.cells_i.ready):
                await ctx.tick()
            assert ctx.get(dut.cells_i.ready)
            await ctx.tick()
            ctx.set(dut.cells_i.valid, 0)
        await ctx.tick()
        assert not ctx.get(dut.cells_busy)

    async def read(self, ctx, waits) -> list[int]:
        """Read all cells in memory order."""
        dut, words = self.dut, []
        ctx.set(dut.cells.read, 1)
        for _ in range(LIMIT):
            if not ctx.get(dut.cells_busy):
                break
            ready = next(waits) == 0
            ctx.set(dut.cells_o.ready, ready)
            if ready and ctx.get(dut.cells_o.valid):
                words.append(ctx.get(dut.cells_o.payload))
            await ctx.tick()
            ctx.set(dut.cells.read, 0)
        ctx.set(dut.cells_o.ready, 0)
        return words

    async def list_lines(self, ctx, made, lines, first: int = 0) -> dict[str, int]:
        """Make a list of serial lines; return what a sweep is told of one of pulses."""
        ctx.set(made.clear, 1)
        ctx.set(made.line, first)
        await ctx.tick()
        ctx.set(made.clear, 0)
        for line in lines:
            ctx.set(made.put, 1)
            ctx.set(made.line, int(line))
            await ctx.tick()
        ctx.set(made.put, 0)
        return {"listed": len(lines), "list": first}

    async def sweep(self, ctx, **job) -> tuple[int, list[int]]:
        """Sweep; return the cycles and the sums that came from chain or tree."""
        dut, sums = self.dut, []
        ctx.set(dut.job, NO_JOB | job)
        await ctx.tick().repeat(3)
        ctx.set(dut.start, 1)
        for cycle in range(LIMIT):
            if not ctx.get(dut.busy):
                ctx.set(dut.job, NO_JOB)
                return cycle, sums
            ways = ((dut.chain_valid, dut.chain_sum), (dut.tree_valid, dut.tree_sum))
            sums += [ctx.get(value) for valid, value in ways if ctx.get(valid)]
            assert not ctx.get(dut.collision)
            await self.tick(ctx)
            ctx.set(dut.start, 0)
        raise AssertionError(f"a sweep does not end in {LIMIT} cycles")


KEYED = ("train", "sign", "static", "cycle")
"""Values that each device of a pair has for itself."""
BENCHES: dict[tuple[int, int], Bench] = {}


def lines(rng: np.random.Generator, count: int, density: float, top: int) -> dict[str, np.ndarray]:
    """Return the memories of a side: values of so many lines."""
    trains = rng.integers(0, 1 << 31, count) & rng.integers(0, 1 << 31, count)
    codes = rng.integers(-top, top + 1, count)
    return {
        "code": np.where(rng.random(count) < 0.3, 0, codes),
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


class Laid:
    """An array of ``outputs`` weights a column that lies somewhere in a bench's lanes."""

    def __init__(self, rng, bench: Bench, outputs: int, cols: int, turned: bool, devices: int):
        build = bench.config.build
        self.build, self.turned, self.devices = build, turned, devices
        self.outputs, self.cols = outputs, cols
        self.output = int(rng.integers(build.outputs // devices - outputs + 1))
        self.input = int(rng.integers(build.inputs - cols + 1))
        self.serial, self.lane_lines = (cols, outputs) if turned else (outputs, cols)
        self.first, self.lane_first = (self.input, self.output)[:: 1 if turned else -1]
        self.stride = self.serial * devices
        taken = -(-self.lane_lines // build.lanes) * self.stride
        self.base = int(rng.integers(build.words - taken + 1))
        self.order = memory_order(outputs * devices, cols, build.lanes, turned, devices)

    def place(self) -> dict[str, int]:
        """Return what the hardware is told of it."""
        return {
            "serial": self.serial,
            "lane_lines": self.lane_lines,
            "serial_line": self.first,
            "lane_line": self.lane_first,
            "origin": (self.base - self.first * self.devices)
            % (1 << (self.build.words - 1).bit_length()),
            "turned": self.turned,
            "paired": self.devices == 2,
        }

    def place_of_devices(self) -> dict[str, int]:
        """Return the same where devices of pairs are lines of their own, if they are serial."""
        if self.turned:
            return self.place()
        doubled = {name: 2 * self.place()[name] for name in ("serial", "serial_line")}
        return self.place() | doubled | {"paired": 0}

    def rows(self, values: np.ndarray) -> np.ndarray:
        """Return the rows' part of values that lines have."""
        return values[self.output :][: self.outputs]

    def row_devices(self, values: np.ndarray) -> np.ndarray:
        """Return the rows' part of values that devices have."""
        return values[self.output * self.devices :][: self.outputs * self.devices]

    def columns(self, values: np.ndarray) -> np.ndarray:
        """Return the columns' part of values."""
        return values[self.input :][: self.cols]

    def visited(self, cells: np.ndarray) -> np.ndarray:
        """Return an array of devices and columns as one of serial lines, devices, lane lines."""
        each = cells.reshape(self.outputs, self.devices, self.cols)
        return each.transpose(2, 1, 0) if self.turned else each


# Of more than three groups, clusters have registers of their own on the way to them.
SLOW = ((3, 2), (1, 1), (5, 1))
CUTS = [(4, 4), *(pytest.param(*cut, marks=pytest.mark.slow) for cut in SLOW)]


@pytest.mark.parametrize(("lanes", "share"), CUTS)
@settings(max_examples=1)
@given(
    seed=st.integers(0, 2**32 - 1),
    outputs=st.integers(1, MAX_ROWS),
    cols=st.integers(1, MAX_COLS),
    turned=st.booleans(),
    paired=st.booleans(),
    write_noise=st.sampled_from([0, 700]),
    density=st.sampled_from([0.0, 0.4, 1.0]),
    slot=st.integers(0, 30),
)
# Blocks as short as can be, every cell hit; and pairs whose keys take two banks.
@example(
    seed=1,
    outputs=1,
    cols=MAX_COLS,
    turned=False,
    paired=False,
    write_noise=700,
    density=1.0,
    slot=3,
)
@example(
    seed=2, outputs=MAX_ROWS, cols=2, turned=True, paired=True, write_noise=0, density=1.0, slot=0
)
def test_array_equals_the_model(
    lanes, share, seed, outputs, cols, turned, paired, write_noise, density, slot
):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    if (lanes, share) not in BENCHES:
        BENCHES[lanes, share] = Bench(lanes, share)
    bench = BENCHES[lanes, share]
    build, weight_bits = bench.config.build, bench.config.formats.weight_bits
    devices = 2 if paired else 1
    at = Laid(rng, bench, max(1, outputs // devices), cols, turned, devices)
    # Pairs have no write noise.
    registers = replace(bench.device, visible=0 if paired else write_noise)
    top = (1 << (weight_bits - 1)) - 1
    shape = at.outputs * devices, cols
    weights, references = rng.integers(-top, top + 1, (2, *shape), dtype=np.int32)
    voltages = build.read_physics
    largest = (1 << (VOLTAGE_BITS - 1)) - 1 if voltages else 127
    row, column = (lines(rng, n, density, largest) for n in (build.outputs, build.inputs))
    # Only where devices are lines of their own do they have trains of their own.
    own_row = row["train"].copy()
    if paired:
        row["sign"][1::2] = row["sign"][: len(row["sign"]) // 2 * 2 : 2]
        row["train"][1::2] = row["train"][: len(row["train"]) // 2 * 2 : 2]
    bench.memories = {"rows": row, "columns": column}

    row_keys = {name: at.row_devices(row[name]) for name in KEYED}
    columns = {name: at.columns(column[name]) for name in column}
    population = population_of(row_keys, columns, references, registers, weight_bits)
    down = row_keys["sign"][:, None] == columns["sign"]
    seen_weights = population.read(weights)
    trains = at.row_devices(row["train"])
    serial = columns if turned else {"code": at.rows(row["code"]), "train": trains[::devices]}
    # Devices of pairs that are lines of their own, in one block of lanes.
    own_trains = at.row_devices(own_row)
    own_serial = columns["train"] if turned else own_trains
    block = int(rng.integers(-(-at.lane_lines // lanes)))
    in_block = np.arange(at.lane_lines) // lanes == block
    block_job = {"split": 1, "block": 1, "offset": block * at.stride, "before": block * lanes}

    def updated(before, row_trains, slots, paired=paired):
        """Return cells after an update, and which were hit, by serial line and device."""
        after, trains = before.copy(), (row_trains & slots, columns["train"])
        keys = row_keys["cycle"], columns["cycle"]
        apply_pulses(after, *trains, down, population, keys, paired)
        return after, at.visited(pulse_counts(*trains, down, paired) != 0)

    def update_cycles(hits, listed, **options):
        hit = hits[listed].reshape(-1, hits.shape[-1])
        cycles = sweep_cycles(
            len(listed), hits.shape[-1], build, hits=hit, turned=turned, **options
        )
        return cycles.total + 1 + bench.dut.drain(update=True)

    listed = np.flatnonzero(serial["train"])
    updates, update_hits = updated(weights, trains, ALL_SLOTS)
    one_slot, slot_hits = updated(updates, trains, 1 << slot)
    of_block, own_listed = {}, np.flatnonzero(own_serial)
    if paired:
        every, hits = updated(one_slot, own_trains, ALL_SLOTS, paired=False)
        here = at.visited(np.ones(shape, bool)) & in_block
        hits &= in_block
        kept = here.transpose(2, 1, 0) if turned else here
        of_block["cells"] = np.where(kept.reshape(shape), every, one_slot)
        each = [hits[:, [k]] for k in range(2)] if turned else [hits.reshape(-1, 1, at.lane_lines)]
        of_block["cycles"] = [
            update_cycles(sweep[:, :, in_block], own_listed, devices=1) for sweep in each
        ]
    waits = (int(wait) for wait in iter(lambda: rng.integers(0, 2), None))
    seen: dict[str, object] = {}

    async def sums(ctx, name, **job):
        """Sums of serial lines, and of lane lines."""
        lines = at.first + np.flatnonzero(serial["code"])
        await bench.list_lines(ctx, bench.dut.codes, lines)
        seen[f"tree{name}"] = await bench.sweep(ctx, tree=1, **job)
        seen[f"chain{name}"] = await bench.sweep(ctx, chain=1, **job)

    async def job(ctx):
        await bench.setup(ctx, registers)
        await bench.place(ctx, at.place())
        await bench.write(ctx, references[at.order], waits, references=1)
        await bench.write(ctx, weights[at.order], waits)
        await sums(ctx, "")
        if voltages:
            await sums(ctx, " of magnitudes", magnitude=1)
        there = await bench.list_lines(ctx, bench.dut.pulses, at.first + listed, 1)
        seen["update"] = await bench.sweep(ctx, update=1, **there)
        seen["slot"] = await bench.sweep(ctx, update=1, slots=1 << slot, **there)
        seen["slot cells"] = await bench.read(ctx, waits)
        if paired:
            place = at.place_of_devices()
            await bench.place(ctx, place)
            bench.memories["rows"]["train"] = own_row
            lines = place["serial_line"] + own_listed
            there = await bench.list_lines(ctx, bench.dut.pulses, lines)
            seen["block"] = [
                (await bench.sweep(ctx, update=1, minus=minus, **block_job, **there))[0]
                for minus in range(2 if turned else 1)
            ]
            await bench.place(ctx, at.place())
            seen["block cells"] = await bench.read(ctx, waits)

    bench.run(job)
    last_lines = (at.lane_lines - 1) % build.lanes + 1
    dropped = VOLTAGE_FRAC if voltages else 0
    tree_cycles = sweep_cycles(at.serial, at.lane_lines, build, devices).total
    tree_cycles += 1 + bench.dut.drain()
    coded = int(np.count_nonzero(serial["code"]))
    bare = registers.visible == 0
    chained = sweep_cycles(coded, at.lane_lines, build, devices, chain=True, bare=bare).total
    chained += bench.dut.drain(chain=last_lines)

    def check_sums(name, matrix):
        """Sums of rows come from the tree in a plain array, from the chain in a turned one."""
        of_rows = (array_sums(matrix, columns["code"]) >> dropped).tolist()
        of_columns = (array_sums(matrix.T, at.rows(row["code"])) >> dropped).tolist()
        tree, chain = (of_columns, of_rows) if turned else (of_rows, of_columns)
        assert seen[f"tree{name}"] == (tree_cycles, tree)
        assert seen[f"chain{name}"] == (chained, chain)

    matrix = pair_differences(seen_weights) if paired else seen_weights
    check_sums("", matrix)
    if voltages:
        check_sums(" of magnitudes", magnitudes(matrix, weight_bits, paired))
    assert seen["update"] == (update_cycles(update_hits, listed, devices=devices), [])
    assert seen["slot"] == (update_cycles(slot_hits, listed, devices=devices), [])
    assert_array_equal(seen["slot cells"], one_slot[at.order])
    if paired:
        assert seen["block"] == of_block["cycles"]
        assert_array_equal(seen["block cells"], of_block["cells"][at.order])
