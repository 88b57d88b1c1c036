"""The device unit equals the golden model's `visit`, cell by cell."""

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import constant

from ohmgrid.devices.presets import PRESETS
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.device.ports import NODE_BITS, pack_registers, pack_tables, table_number
from ohmgrid.hdl.device.step import DeviceUnit, products
from ohmgrid.model.base.noise import cell_words
from ohmgrid.model.device.step import Cells, static_properties, visit
from ohmgrid.registers.curves import POSITIONS
from ohmgrid.registers.device import (
    CURVE_BITS,
    GAMMA_BITS,
    NOISES,
    REL_BITS,
    DeviceRegisters,
    device_registers,
)

LANE_BITS, ADDRESS_BITS = 3, 10


class Build(NamedTuple):
    """What a unit is built for."""

    weight_bits: int
    multipliers: int
    segments: int
    power: bool = True
    curve: bool = True
    references: bool = True


@st.composite
def raw_registers(draw: st.DrawFn, weight_bits: int, segments: int) -> DeviceRegisters:
    """Draw registers that no device gives: each anywhere in its width."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def table(bits: int, entries: int) -> tuple[int, ...]:
        top = (1 << (draw(st.integers(2, bits)) - 1)) - 1
        return tuple(rng.integers(-top, top + 1, entries).tolist())

    def below(bits: int) -> int:
        return draw(st.integers(0, (1 << bits) - 1))

    top = (1 << (weight_bits - 1)) - 1
    kind = NOISES.index(draw(st.sampled_from(NOISES)))
    return DeviceRegisters(
        gain=table(REL_BITS + 1, 1024),
        balance=table(REL_BITS + 1, 1024),
        bias_up=draw(st.integers(-1024, 1023)),
        bias_down=draw(st.integers(-1024, 1023)),
        upper=table(weight_bits, 1024),
        lower=table(weight_bits, 1024),
        gamma_up=table(GAMMA_BITS, 1024),
        gamma_down=table(GAMMA_BITS, 1024),
        gamma_balance=table(GAMMA_BITS, 1024),
        reference=(0,) * 1024,
        symmetry_point=False,
        gamma_common=draw(st.booleans()),
        signed_gamma=draw(st.booleans()),
        b_max=draw(st.integers(0, top)),
        b_min=-draw(st.integers(0, top)),
        own_bounds=draw(st.booleans()),
        position=POSITIONS.index(draw(st.sampled_from(POSITIONS))),
        behind_up=draw(st.booleans()),
        behind_down=draw(st.booleans()),
        power=draw(st.booleans()),
        curve_up=table(NODE_BITS, segments + 1),
        curve_down=table(NODE_BITS, segments + 1),
        offset=draw(st.integers(-(1 << (CURVE_BITS - 1)), (1 << (CURVE_BITS - 1)) - 1)),
        curve_frac=draw(st.integers(0, 14)),
        noise=kind,
        noise_add=below(CURVE_BITS - 1),
        noise_slope=below(CURVE_BITS - 1),
        c2c=tuple(rng.integers(0, 4096, 32).tolist()),
        dw=below(17),
        dw_shift=draw(st.sampled_from([0, 4, 8, 12])),
        visible=draw(st.sampled_from([0, 1, 4095])),
        corrupt=draw(st.sampled_from([0, 1, 3000, 65536])),
        corrupt_range=0,
        perfect_bias=draw(st.booleans()),
        serial=False,
        granularity=1.0,
        lsb=1.0,
    )


def random_cells(
    rng: np.random.Generator, count: int, weight_bits: int, registers: DeviceRegisters
) -> dict[str, np.ndarray]:
    """Return requests: some cells at, beyond or near the bounds, and some at zero."""
    top = (1 << (weight_bits - 1)) - 1
    weight = rng.integers(-top, top + 1, count)
    special = np.array([0, 1, -1, top, -top, registers.b_max, registers.b_min])
    weight = np.where(rng.random(count) < 0.3, rng.choice(special, count), weight)
    mask = rng.integers(1, 1 << 31, count) & rng.integers(0, 1 << 31, count)
    mask = np.where(rng.random(count) < 0.1, (1 << 31) - 1, mask)
    return {
        "weight": weight,
        "reference": np.where(rng.random(count) < 0.5, 0, rng.integers(-top, top + 1, count)),
        "bias": rng.integers(0, 2, count),
        "mask": np.where(mask == 0, 1 << 30, mask),
        "down": rng.integers(0, 2, count),
        "row_static": rng.integers(0, 1 << 64, count, dtype=np.uint64),
        "col_static": rng.integers(0, 1 << 64, count, dtype=np.uint64),
        "row_cycle": rng.integers(0, 1 << 32, count, dtype=np.uint32),
        "col_cycle": rng.integers(0, 1 << 32, count, dtype=np.uint32),
        "lane": rng.integers(0, 1 << LANE_BITS, count),
        "address": rng.integers(0, 1 << ADDRESS_BITS, count),
    }


def static_words(cells: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the static noise words of cells."""
    row, col = (
        [(cells[f"{side}_static"] >> np.uint64(shift)).astype(np.uint32) for shift in (0, 32)]
        for side in ("row", "col")
    )
    return cell_words(row[0], col[0]), cell_words(row[1], col[1]), cell_words(row[0], col[1])


def used(cells: dict[str, np.ndarray]) -> dict[int, set[int]]:
    """Return the addresses that cells read of each large table: loading all takes too long."""
    word0, word1, _ = static_words(cells)
    (step, balance, slope), (upper, lower, third) = (
        [(word >> np.uint32(10 * n)) & np.uint32(1023) for n in range(3)] for word in (word0, word1)
    )
    gamma = np.concatenate([slope, slope + 1024, third + 1024])
    addresses = {"gain": step, "balance": balance, "upper": upper, "lower": lower}
    addresses |= {"gamma": gamma, "opposite": third}
    return {table_number(name): set(each.tolist()) for name, each in addresses.items()}


def golden(
    cells: dict[str, np.ndarray], registers: DeviceRegisters, weight_bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the conductances that the model gives, and which cells are stuck."""
    words = static_words(cells)
    bias = cells["bias"].astype(bool)
    static = static_properties(words, bias, cells["reference"], registers, weight_bits)
    noise = cell_words(cells["row_cycle"], cells["col_cycle"])
    count = np.bitwise_count(cells["mask"]).astype(np.int64)
    moved = visit(
        Cells(cells["weight"], count, cells["down"].astype(bool)),
        static,
        noise,
        registers,
        weight_bits,
    )
    return moved, static.stuck


class Bench:
    """One device unit in the simulator; `run` loads registers and sends cells."""

    def __init__(self, build: Build):
        self.unit = DeviceUnit(lane_bits=LANE_BITS, address_bits=ADDRESS_BITS, **build._asdict())
        self.weight_bits = build.weight_bits
        self.simulator = Simulator(self.unit)
        self.simulator.add_clock(1e-8)
        self.job: tuple | None = None
        self.results: list[tuple[int, int, int, int]] = []
        self.loaded: dict[tuple[int, int], int] = {}
        self.simulator.add_testbench(self._jobs)

    async def _jobs(self, ctx):
        while True:
            if self.job is not None:
                await self._work(ctx, *self.job)
                self.job = None
            await ctx.tick()

    async def _work(self, ctx, registers, cells, gaps):
        unit = self.unit
        ctx.set(unit.registers, pack_registers(registers))
        needed = used(cells)
        for table, address, entry in pack_tables(registers, self.weight_bits):
            if self.loaded.get((table, address), 0) == entry or address not in needed.get(
                table, {address}
            ):
                continue
            self.loaded[table, address] = entry
            ctx.set(unit.table_write, {"en": 1, "table": table, "address": address, "data": entry})
            await ctx.tick()
        ctx.set(unit.table_write.en, 0)
        requests = [
            {name: int(values[n]) for name, values in cells.items()}
            for n in range(len(cells["weight"]))
        ]
        cycle = sent = 0
        times = {}
        while sent < len(requests) or cycle <= max(times) + unit.latency:
            ctx.set(unit.request.valid, 0)
            if sent < len(requests) and not gaps[cycle % len(gaps)]:
                ctx.set(unit.request, {"valid": 1, **requests[sent]})
                times[cycle] = sent
                sent += 1
            result = unit.result
            if ctx.get(result.valid):
                values = [ctx.get(field) for field in (result.weight, result.lane, result.address)]
                self.results.append((times[cycle - unit.latency], *values))
            await ctx.tick()
            cycle += 1

    def run(self, registers, cells, gaps) -> np.ndarray:
        """Return number of the cell, weight, lane and address of all results."""
        self.job, self.results = (registers, cells, gaps), []
        while self.job is not None:
            self.simulator.advance()
        return np.array(self.results, np.int64).reshape(-1, 4).T


@cache
def bench(build: Build) -> Bench:
    """Return the one bench of a build."""
    return Bench(build)


def check(build: Build, registers: DeviceRegisters, seed: int, gaps: list, count: int = 100):
    """Compare results of random cells with the model: values, and that each comes in its cycle."""
    weight_bits = build.weight_bits
    cells = random_cells(np.random.default_rng(seed), count, weight_bits, registers)
    if not build.references:
        cells["reference"][:] = 0
    number, weight, lane, address = bench(build).run(registers, cells, [*gaps, False])
    expected, stuck = golden(cells, registers, weight_bits)
    assert_array_equal(expected[stuck], cells["weight"][stuck])
    assert_array_equal(number, np.flatnonzero(~stuck))
    assert_array_equal(weight, expected[~stuck])
    assert_array_equal(lane, cells["lane"][number])
    assert_array_equal(address, cells["address"][number])


BUILDS = [
    Build(18, 2, 128),
    Build(16, 4, 64, references=False),
    Build(18, 0, 256),
    Build(12, len(products(curve=True)), 1, power=False),
    Build(18, len(products(curve=False)), 4, power=False, curve=False, references=False),
    Build(16, 0, 4, power=False, curve=False),
]


def fits(device, build: Build) -> DeviceRegisters:
    """Return the registers of a device, if this build holds it."""
    if not build.curve:
        device = constant(device)
    try:
        registers = device_registers(device, build.weight_bits, build.segments)
    except ConfigError:
        reject()
    assume(build.power or not registers.power)
    return registers


@pytest.mark.parametrize("build", BUILDS)
@settings(max_examples=5)
@given(data=st.data())
def test_unit_equals_visit_for_devices(devices, build, data):
    registers = fits(data.draw(devices), build)
    seed = data.draw(st.integers(0, 2**32 - 1))
    gaps = data.draw(st.lists(st.booleans(), max_size=5))
    check(build, registers, seed, gaps)


@pytest.mark.parametrize("name", PRESETS)
def test_one_unit_equals_visit_for_every_preset(name, rng):
    registers = device_registers(PRESETS[name], 18, 128)
    check(BUILDS[0], registers, int(rng.integers(1 << 32)), [])


@pytest.mark.parametrize("build", BUILDS)
@settings(max_examples=5)
@given(data=st.data())
def test_unit_equals_visit_for_any_registers(build, data):
    registers = data.draw(raw_registers(build.weight_bits, build.segments))
    if not build.power:
        registers = replace(registers, power=False)
    if not build.curve:
        one = 1 << registers.curve_frac
        none = dict.fromkeys(("gamma_up", "gamma_down", "gamma_balance"), (0,) * 1024)
        registers = replace(registers, offset=one, noise=NOISES.index("multiplicative"), **none)
        assert registers.constant
    check(build, registers, data.draw(st.integers(0, 2**32 - 1)), [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight_bits": 19}, "weight_bits: expected 12..18, got 19"),
        ({"lane_bits": 0}, "lane_bits: expected 1..16, got 0"),
        ({"address_bits": 33}, "address_bits: expected 1..32, got 33"),
        ({"segments": 512}, "segments: expected 1..256, got 512"),
        ({"segments": 3}, "segments: expected a power of two, got 3"),
        ({"multipliers": 9}, "multipliers: expected 0..8, got 9"),
    ],
)
def test_bad_parameters_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeviceUnit(**{"weight_bits": 18, "lane_bits": 2, "address_bits": 8, **arguments})
