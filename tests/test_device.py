"""The device unit equals the golden model's `visit`, cell by cell."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ohmgrid.devices import ConstantStep, LinearStep, SoftBounds, StepDevice
from ohmgrid.hdl.device import PRODUCTS, REGISTERS, DeviceUnit, Popcount, pack_registers
from ohmgrid.model.device import Cells, static_properties, visit
from ohmgrid.model.noise import cell_words
from ohmgrid.registers import DeviceRegisters, device_registers, full_scale

LANE_BITS, ADDRESS_BITS = 3, 10


def device_strategy() -> st.SearchStrategy[StepDevice]:
    """Return devices of all classes over the whole range of their parameters."""
    spread = st.floats(0, 1)
    common = {
        "dw_min": st.floats(1e-5, 0.3),
        "dw_min_dtod": spread,
        "dw_min_std": st.floats(0, 7.9),
        "up_down": st.floats(-0.99, 0.99),
        "up_down_dtod": spread,
        "w_max": st.floats(0.1, 8.0),
        "w_max_dtod": spread,
        "w_min": st.floats(-8.0, 0.0),
        "w_min_dtod": spread,
    }
    linear = {
        "gamma_up": st.floats(0, 1.9),
        "gamma_down": st.floats(0, 1.9),
        "gamma_up_dtod": st.floats(0, 0.5),
        "gamma_down_dtod": st.floats(0, 0.5),
        "mean_bound_reference": st.booleans(),
        "mult_noise": st.booleans(),
    }
    return st.one_of(
        st.builds(ConstantStep, **common),
        st.builds(LinearStep, **common, **linear),
        st.builds(SoftBounds, **common, mult_noise=st.booleans()),
    ).filter(lambda device: device.dw_min < full_scale(device) / 4)


@st.composite
def raw_registers(draw: st.DrawFn, weight_bits: int) -> DeviceRegisters:
    """Draw registers that no device gives: each anywhere in its width."""
    top = (1 << (weight_bits - 1)) - 1
    values = {
        name: draw(st.integers(0, (1 << field.width) - 1))
        for name, field in REGISTERS
        if name not in ("b_max", "b_min", "dw_shift", "own_bounds", "multiplicative")
    }
    return DeviceRegisters(
        **values,
        own_bounds=draw(st.booleans()),
        multiplicative=draw(st.booleans()),
        b_max=draw(st.integers(0, top)),
        b_min=-draw(st.integers(0, top)),
        c2c=tuple(draw(st.lists(st.integers(0, 4095), min_size=32, max_size=32))),
        dw_shift=draw(st.sampled_from([0, 4, 8, 12])),
        serial=False,
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
        "mask": np.where(mask == 0, 1 << 30, mask),
        "down": rng.integers(0, 2, count),
        "row_static": rng.integers(0, 1 << 64, count, dtype=np.uint64),
        "col_static": rng.integers(0, 1 << 64, count, dtype=np.uint64),
        "row_cycle": rng.integers(0, 1 << 32, count, dtype=np.uint32),
        "col_cycle": rng.integers(0, 1 << 32, count, dtype=np.uint32),
        "lane": rng.integers(0, 1 << LANE_BITS, count),
        "address": rng.integers(0, 1 << ADDRESS_BITS, count),
    }


def golden(
    cells: dict[str, np.ndarray], registers: DeviceRegisters, weight_bits: int
) -> np.ndarray:
    """Return the conductances that the model gives."""
    words = [
        cell_words(
            (cells["row_static"] >> np.uint64(shift)).astype(np.uint32),
            (cells["col_static"] >> np.uint64(shift)).astype(np.uint32),
        )
        for shift in (0, 32)
    ]
    static = static_properties(words[0], words[1], registers, weight_bits)
    noise = cell_words(cells["row_cycle"], cells["col_cycle"])
    count = np.bitwise_count(cells["mask"]).astype(np.int64)
    return visit(
        Cells(cells["weight"], count, cells["down"].astype(bool)), static, noise, registers
    )


class Bench:
    """One device unit in the simulator; `run` loads registers and sends cells."""

    def __init__(self, weight_bits: int, multipliers: int = 2):
        self.unit = DeviceUnit(weight_bits, LANE_BITS, ADDRESS_BITS, multipliers)
        self.simulator = Simulator(self.unit)
        self.simulator.add_clock(1e-8)
        self.job: tuple | None = None
        self.results: list[tuple[int, int, int, int]] = []
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
        for n, value in enumerate(registers.c2c):
            ctx.set(unit.c2c_write, {"en": 1, "address": n, "data": value})
            await ctx.tick()
        ctx.set(unit.c2c_write.en, 0)
        requests = [
            {name: int(values[n]) for name, values in cells.items()}
            for n in range(len(cells["weight"]))
        ]
        cycle = sent = 0
        times = []
        while len(self.results) < len(requests):
            ctx.set(unit.request.valid, 0)
            if sent < len(requests) and not gaps[cycle % len(gaps)]:
                ctx.set(unit.request, {"valid": 1, **requests[sent]})
                times.append(cycle)
                sent += 1
            result = unit.result
            if ctx.get(result.valid):
                latency = cycle - times[len(self.results)]
                values = [ctx.get(field) for field in (result.weight, result.lane, result.address)]
                self.results.append((latency, *values))
            await ctx.tick()
            cycle += 1
            assert cycle < 1000 + 10 * len(requests)

    def run(self, registers, cells, gaps) -> np.ndarray:
        """Return latency, weight, lane and address of all results."""
        self.job, self.results = (registers, cells, gaps), []
        while self.job is not None:
            self.simulator.advance()
        return np.array(self.results).T


BENCHES: dict[tuple[int, int], Bench] = {}


def check(
    weight_bits: int,
    multipliers: int,
    registers: DeviceRegisters,
    seed: int,
    gaps: list[bool],
    count: int = 120,
) -> None:
    key = (weight_bits, multipliers)
    if key not in BENCHES:
        BENCHES[key] = Bench(*key)
    bench = BENCHES[key]
    cells = random_cells(np.random.default_rng(seed), count, weight_bits, registers)
    latency, weight, lane, address = bench.run(registers, cells, [*gaps, False])
    assert set(latency) == {bench.unit.latency}
    assert_array_equal(weight, golden(cells, registers, weight_bits))
    assert_array_equal(lane, cells["lane"])
    assert_array_equal(address, cells["address"])


BUILDS = [(18, 2), (16, 2), (18, 0), (12, len(PRODUCTS))]


@pytest.mark.parametrize(("weight_bits", "multipliers"), BUILDS)
@settings(max_examples=6)
@given(data=st.data())
def test_unit_equals_visit_for_devices(weight_bits, multipliers, data):
    registers = device_registers(data.draw(device_strategy()), weight_bits)
    seed = data.draw(st.integers(0, 2**32 - 1))
    gaps = data.draw(st.lists(st.booleans(), max_size=5))
    check(weight_bits, multipliers, registers, seed, gaps)


@pytest.mark.parametrize(("weight_bits", "multipliers"), BUILDS)
@settings(max_examples=6)
@given(data=st.data())
def test_unit_equals_visit_for_any_registers(weight_bits, multipliers, data):
    registers = data.draw(raw_registers(weight_bits))
    check(weight_bits, multipliers, registers, data.draw(st.integers(0, 2**32 - 1)), [])


def test_popcount_equals_bitwise_count(rng):
    popcount = Popcount()
    masks = [0, (1 << 31) - 1, *(1 << n for n in range(31)), *rng.integers(0, 1 << 31, 200)]
    seen = []

    async def bench(ctx):
        for cycle in range(len(masks) + popcount.latency):
            if cycle < len(masks):
                ctx.set(popcount.i, int(masks[cycle]))
            if cycle >= popcount.latency:
                seen.append(ctx.get(popcount.o))
            await ctx.tick()

    simulator = Simulator(popcount)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [int(mask).bit_count() for mask in masks]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight_bits": 19}, "weight_bits: expected 12..18, got 19"),
        ({"lane_bits": 0}, "lane_bits: expected 1..16, got 0"),
        ({"address_bits": 33}, "address_bits: expected 1..32, got 33"),
        ({"multipliers": 12}, "multipliers: expected 0..11, got 12"),
    ],
)
def test_bad_parameters_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeviceUnit(**{"weight_bits": 18, "lane_bits": 2, "address_bits": 8, **arguments})
