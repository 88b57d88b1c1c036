"""The unit of leak, reset and reads for a refresh equals the golden model, cell by cell."""

from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import step_devices

from ohmgrid.devices.base import StepDevice
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.device.aging import Aging, Change
from ohmgrid.host.registers import aging_tables, aging_values, device_tables, device_values
from ohmgrid.model.base.noise import cell_words, gaussian, line_keys
from ohmgrid.model.device import aging as golden
from ohmgrid.model.device.population import Population, populate
from ohmgrid.model.periphery.converters import adc
from ohmgrid.registers.device import device_registers
from ohmgrid.registers.edge import ConverterRegisters
from ohmgrid.registers.map import TABLES
from ohmgrid.registers.noise import Purpose
from ohmgrid.registers.time import aging_registers
from ohmgrid.sim.tables import run_clocked

ROWS, COLS = 5, 7


def halves(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return keys.astype(np.uint32), (keys >> np.uint64(32)).astype(np.uint32)


@cache
def cell_keys(key: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the line keys of the row and of the column of every cell (uint64)."""
    rows = line_keys(key, Purpose.ROW, np.arange(ROWS))
    cols = line_keys(key, Purpose.COLUMN, np.arange(COLS))
    return np.repeat(rows, COLS), np.tile(cols, ROWS)


def used(static: tuple[np.ndarray, np.ndarray]) -> dict[int, set[int]]:
    """Return the addresses that the cells read of each table: loading all takes too long."""
    (row_lo, row_hi), (col_lo, col_hi) = map(halves, static)
    word1, word2, word3 = (
        cell_words(row, col).astype(int)
        for row, col in ((row_hi, col_hi), (row_lo, col_hi), (row_hi, col_lo))
    )
    addresses = {
        "upper": word1 & 1023,
        "lower": word1 >> 10 & 1023,
        "leak": word2 >> 16 & 1023,
        "diffusion": word3 >> 10 & 1023,
        "reset": word3 >> 20 & 1023,
        "reference": word1 >> 30 | word2 >> 26 << 2 | word3 >> 30 << 8,
    }
    return {TABLES[name]: set(each.tolist()) for name, each in addresses.items()}


def run(
    unit, static, operation, population, weights, settings, tables, change, device_set
) -> np.ndarray:
    """Return what the unit makes of all cells: new weights, or codes."""
    needed, results = used(static), []
    columns = {
        "weight": weights.ravel(),
        "reference": population.static.reference.ravel(),
        "row_static": static[0],
        "col_static": static[1],
        "row_cycle": halves(operation[0])[0],
        "col_cycle": halves(operation[1])[0],
        "bias": np.arange(ROWS * COLS) % COLS == COLS - 1,
    }

    async def testbench(ctx):
        ctx.set(unit.device, device_values(population.registers))
        ctx.set(unit.registers, settings)
        ctx.set(unit.change, change)
        ctx.set(unit.device_set, device_set)
        for table, address, entry in tables:
            if address in needed.get(table, ()):
                write = {"en": 1, "set": device_set, "table": table, "address": address}
                ctx.set(unit.table_write, {**write, "data": entry})
                await ctx.tick()
        ctx.set(unit.table_write.en, 0)
        for cycle in range(weights.size + unit.latency):
            ctx.set(unit.valid, cycle < weights.size)
            # What stands on the inputs between cells must not matter.
            for name, column in columns.items():
                ctx.set(getattr(unit, name), int(column[cycle % weights.size]))
            if cycle >= unit.latency:
                results.append([ctx.get(port) for port in (unit.o, unit.code, unit.stuck)])
            await ctx.tick()

    run_clocked(unit, testbench)
    o, code, stuck = np.array(results).T.reshape(3, *weights.shape)
    if change == Change.READ:
        return code
    assert_array_equal(stuck, population.static.stuck)
    return np.where(stuck, weights, o)


@pytest.mark.parametrize("change", Change)
@settings(max_examples=6)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), weight_bits=st.sampled_from([18, 18, 14]))
def test_every_change_equals_the_model(change, data, seed, weight_bits):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    device: StepDevice = data.draw(step_devices())
    try:
        registers = device_registers(device, weight_bits, 128)
        aging = aging_registers(device, registers.lsb, weight_bits, int(rng.integers(1, 5)))
    except ConfigError:
        assume(False)
        raise
    key, own = (int(rng.integers(1 << 64, dtype=np.uint64)) for _ in range(2))
    population: Population = populate(key, ROWS, COLS, registers, weight_bits)
    top = (1 << (weight_bits - 1)) - 1
    weights = rng.integers(-top, top + 1, (ROWS, COLS)) >> rng.integers(0, 12, (ROWS, COLS))
    converter = ConverterRegisters(
        scale=int(rng.integers(1 << 17, 1 << 18)),
        shift=int(rng.integers(0, 64)),
        noise=int(rng.integers(0, 1 << int(rng.integers(1, 22)))),
    )
    half = int(rng.integers(1, 1 << 11))
    sets = int(rng.integers(1, 3))
    found = run(
        Aging(weight_bits, sets, lut_delays=bool(rng.integers(2))),
        cell_keys(key),
        cell_keys(own),
        population,
        weights,
        aging_values(aging, registers.symmetry_point, converter, half),
        [*device_tables(registers, weight_bits), *aging_tables(aging, registers, weight_bits)],
        change,
        int(rng.integers(sets)),
    )
    if change == Change.AGE:
        expected = golden.age(weights, population, aging, own)
    elif change == Change.RESET:
        cells = np.ones(weights.shape, bool)
        expected = golden.reset(weights, cells, population, aging, own)
    else:
        row, col = (halves(keys)[0] for keys in cell_keys(own))
        z = gaussian(cell_words(row, col).astype(int) & 1023).astype(int).reshape(weights.shape)
        expected = np.clip(adc(weights, z, converter), -half, half)
    assert_array_equal(found, expected)
