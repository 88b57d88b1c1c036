"""The device unit equals the golden model's `visit`, cell by cell."""

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator
from device_cells import (
    ADDRESS_BITS,
    LANE_BITS,
    Build,
    golden,
    random_cells,
    raw_registers,
    used,
)
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import constant

from ohmgrid.devices.presets import PRESETS
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.device.step import DeviceUnit, products
from ohmgrid.hdl.device.tables import Tables
from ohmgrid.host.registers import device_tables, device_values
from ohmgrid.registers.device import (
    NOISES,
    DeviceRegisters,
    device_registers,
)


class Work(NamedTuple):
    """What units do at the same time: cells for each of them, of one kind of device."""

    registers: DeviceRegisters
    cells: list[dict[str, np.ndarray]]
    gaps: list[bool]
    turned: bool = False
    device_set: int = 0


class Bench:
    """Units that share their tables, in the simulator; `run` loads registers and sends cells."""

    def __init__(self, build: Build, units: int = 1, sets: int = 1):
        self.weight_bits = build.weight_bits
        self.units = [
            DeviceUnit(lane_bits=LANE_BITS, address_bits=ADDRESS_BITS, **build._asdict())
            for _ in range(units)
        ]
        m = Module()
        m.submodules.tables = self.tables = Tables(self.units[0].tables, units, sets)
        for k, unit in enumerate(self.units):
            m.submodules[f"unit{k}"] = unit
            m.d.comb += [
                getattr(self.tables, f"lookup{k}").eq(unit.lookup),
                unit.entries.eq(getattr(self.tables, f"entries{k}")),
            ]
        self.simulator = Simulator(m)
        self.simulator.add_clock(1e-8)
        self.job: Work | None = None
        self.results: list[list[tuple[int, int, int, int]]] = []
        self.loaded: dict[tuple[int, int, int], int] = {}
        self.simulator.add_testbench(self._jobs)

    async def _jobs(self, ctx):
        while True:
            if self.job is not None:
                await self._work(ctx, self.job)
                self.job = None
            await ctx.tick()

    async def _load(self, ctx, work: Work):
        """Load what the cells need of the tables and is not there."""
        needed: dict[int, set[int]] = {}
        for cells in work.cells:
            for table, addresses in used(cells).items():
                needed.setdefault(table, set()).update(addresses)
        for table, address, entry in device_tables(work.registers, self.weight_bits):
            place = (work.device_set, table, address)
            if self.loaded.get(place, 0) == entry or address not in needed.get(table, {address}):
                continue
            self.loaded[place] = entry
            write = dict(zip(("set", "table", "address"), place, strict=True))
            ctx.set(self.tables.write, {"en": 1, **write, "data": entry})
            await ctx.tick()
        ctx.set(self.tables.write.en, 0)

    async def _work(self, ctx, work: Work):
        ctx.set(self.tables.device_set, work.device_set)
        for unit in self.units:
            ctx.set(unit.registers, device_values(work.registers))
            ctx.set(unit.turned, work.turned)
        await self._load(ctx, work)
        requests = [
            {name: int(values[n]) for name, values in cells.items()}
            for cells in work.cells
            for n in range(len(cells["weight"]))
        ]
        count, latency = len(requests) // len(self.units), self.units[0].latency
        cycle = sent = 0
        times = {}
        while sent < count or cycle <= max(times) + latency:
            comes = sent < count and not work.gaps[cycle % len(work.gaps)]
            if comes:
                times[cycle] = sent
            for k, unit in enumerate(self.units):
                ctx.set(unit.request.valid, 0)
                if comes:
                    ctx.set(unit.request, {"valid": 1, **requests[k * count + sent]})
                result = unit.result
                if ctx.get(result.valid):
                    fields = (result.weight, result.lane, result.address)
                    values = [ctx.get(field) for field in fields]
                    self.results[k].append((times[cycle - latency], *values))
            sent += comes
            await ctx.tick()
            cycle += 1

    def run(self, work: Work) -> list[np.ndarray]:
        """Return number of the cell, weight, lane and address of all results, of each unit."""
        self.job, self.results = work, [[] for _ in self.units]
        while self.job is not None:
            self.simulator.advance()
        return [np.array(results, np.int64).reshape(-1, 4).T for results in self.results]

    def check(self, work: Work) -> None:
        """Compare results with the model: values, and that each comes in its cycle."""
        for cells, found in zip(work.cells, self.run(work), strict=True):
            number, weight, lane, address = found
            expected, stuck = golden(cells, work.registers, self.weight_bits, work.turned)
            assert_array_equal(expected[stuck], cells["weight"][stuck])
            assert_array_equal(number, np.flatnonzero(~stuck))
            assert_array_equal(weight, expected[~stuck])
            assert_array_equal(lane, cells["lane"][number])
            assert_array_equal(address, cells["address"][number])


@cache
def bench(build: Build) -> Bench:
    """Return the one bench of a build."""
    return Bench(build)


def check(build: Build, registers: DeviceRegisters, seed: int, gaps: list, count: int = 100):
    """Compare results of random cells with the model, of an array that may lie turned."""
    rng = np.random.default_rng(seed)
    cells = random_cells(rng, count, build.weight_bits, registers)
    if not build.references:
        cells["reference"][:] = 0
    turned = bool(rng.integers(2))
    bench(build).check(Work(registers, [cells], [*gaps, False], turned))


BUILDS = [
    Build(18, 2, 128),
    Build(16, 4, 64, tables=False, references=False),
    Build(18, 0, 256, lut_delays=True),
    Build(12, len(products(curve=True)), 1, power=False),
    Build(18, len(products(curve=False)), 4, power=False, curve=False, references=False),
    Build(16, 0, 4, power=False, curve=False, lut_delays=True),
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
    assume(build.tables or not registers.steps)
    return registers


@pytest.mark.parametrize("build", BUILDS)
@settings(max_examples=2)
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


# The other half draws registers in `make test-slow`.
@pytest.mark.parametrize(
    "build",
    [
        BUILDS[k] if k % 2 == 0 else pytest.param(BUILDS[k], marks=pytest.mark.slow)
        for k in range(6)
    ],
)
@settings(max_examples=2)
@given(data=st.data())
def test_unit_equals_visit_for_any_registers(build, data):
    registers = data.draw(raw_registers(build.weight_bits, build.segments))
    if not build.power:
        registers = replace(registers, power=False)
    if not build.tables:
        registers = replace(registers, steps=())
    if not build.curve:
        one = 1 << registers.curve_frac
        none = dict.fromkeys(("gamma_up", "gamma_down", "gamma_balance"), (0,) * 1024)
        registers = replace(registers, offset=one, noise=NOISES.index("multiplicative"), **none)
        assert registers.constant
    check(build, registers, data.draw(st.integers(0, 2**32 - 1)), [])


def test_a_turned_unit_is_a_plain_one_with_its_lines_exchanged(rng):
    """The same bits come of a cell whichever of its lines is the serial one."""
    build = Build(16, 4, 64, tables=False, references=False)
    registers = replace(device_registers(PRESETS["reram-es"], 16, 64), corrupt=30000)
    plain = random_cells(rng, 60, 16, registers)
    plain["reference"][:] = 0
    other = {"serial": "lane", "lane": "serial"}
    exchanged = plain | {
        f"{line}_{key}": plain[f"{other[line]}_{key}"]
        for line in other
        for key in ("static", "cycle")
    }
    one = bench(build)
    found = one.run(Work(registers, [plain], [False]))
    assert 0 < found[0].shape[1] < 60
    assert_array_equal(found, one.run(Work(registers, [exchanged], [False], turned=True)))


SHARED = [
    Build(18, 6, 64, power=False),
    Build(18, 4, 4, power=False, curve=False, references=False),
]
"""Builds of units that share tables."""


@pytest.mark.parametrize("build", [pytest.param(SHARED[0], marks=pytest.mark.slow), SHARED[1]])
@settings(max_examples=3)
@given(data=st.data())
def test_two_units_share_their_tables(devices, build, data):
    """Both take cells in the same cycles, each has its own results."""
    registers = fits(data.draw(devices), build)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    cells = [random_cells(rng, 60, build.weight_bits, registers) for _ in range(2)]
    for each in cells:
        each["reference"] *= build.references
    gaps = [*data.draw(st.lists(st.booleans(), max_size=5)), False]
    Bench(build, units=2).check(Work(registers, cells, gaps))


def test_two_kinds_of_devices_lie_side_by_side(rng):
    """What is loaded for one of them does not touch the other's entries, nor are those read."""
    build = SHARED[1]
    kinds = [
        device_registers(ConstantStep(dw_min=dw_min), build.weight_bits, build.segments)
        for dw_min in (0.002, 0.01)
    ]
    cells = random_cells(rng, 60, build.weight_bits, kinds[0])
    cells["reference"][:] = 0
    two = Bench(build, units=2, sets=2)
    first, second, again = (
        two.run(Work(kinds[kind], [cells, cells], [False], device_set=kind)) for kind in (0, 1, 0)
    )
    assert_array_equal(first, again)
    assert not np.array_equal(first, second)
    for kind in (0, 1):
        two.check(Work(kinds[kind], [cells, cells], [False], device_set=kind))


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
