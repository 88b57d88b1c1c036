"""Tables: what a host wrote is read, by one pipeline or two, of the set that is in use."""

import numpy as np
import pytest
from amaranth.hdl import Shape
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.boards.synth import synth
from ohmgrid.hdl.device.tables import (
    Table,
    Tables,
    aging_tables,
    curve_tables,
    pulse_tables,
    static_tables,
)
from ohmgrid.registers.map import TABLES
from ohmgrid.sim.tables import run_clocked

ALL = static_tables(18) | curve_tables(64, steps=True) | pulse_tables() | aging_tables(18)


def anywhere(rng: np.random.Generator, shape: Shape) -> int:
    """Return a number within a shape."""
    low = -(1 << (shape.width - 1)) if shape.signed else 0
    return int(rng.integers(low, low + (1 << shape.width)))


def size(table: Table) -> int:
    """Return the entries of a table."""
    return 1 << table.address_bits


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2]), st.sampled_from([1, 2]))
def test_every_entry_is_read_as_it_was_written(seed, readers, sets):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    dut = Tables(ALL, readers, sets)
    # Some places of each table and set, the first and the last ones among them.
    written = {
        (device_set, name, address): anywhere(rng, table.entry)
        for device_set in range(sets)
        for name, table in ALL.items()
        for address in (0, -1 % size(table), *rng.integers(size(table), size=3).tolist())
    }
    found = []

    async def bench(ctx):
        for (device_set, name, address), entry in written.items():
            write = {"en": 1, "set": device_set, "table": TABLES[name] % 16, "address": address}
            ctx.set(dut.write, {**write, "data": entry % (1 << 36)})
            await ctx.tick()
        # What else stands there matters no more.
        ctx.set(dut.write.en, 0)
        await ctx.tick()
        for device_set in range(sets):
            ctx.set(dut.device_set, device_set)
            places = [place for place in written if place[0] == device_set]
            # The second pipeline goes through them the other way round.
            orders = (places, places[::-1])[:readers]
            for cycle in range(len(places) + dut.latency):
                for k, order in enumerate(orders):
                    if cycle < len(order):
                        _, name, address = order[cycle]
                        ctx.set(getattr(dut, f"lookup{k}")[name], address)
                    if cycle >= dut.latency:
                        place = order[cycle - dut.latency]
                        entries = getattr(dut, f"entries{k}")
                        found.append((place, ctx.get(entries[place[1]])))
                await ctx.tick()

    run_clocked(dut, bench)
    assert len(found) == readers * len(written)
    assert all(written[place] == entry for place, entry in found)


def test_two_pipelines_take_no_more_block_ram_than_one():
    """Of the tables with constant steps: what two pipelines read has a port for each."""
    constant = static_tables(18, slopes=False) | pulse_tables()
    one, two = (
        synth(Tables(constant, readers), "ecp5", by_part=False).total.bram for readers in (1, 2)
    )
    assert one == two == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"readers": 3}, "readers: expected 1..2, got 3"),
        ({"sets": 0}, "sets: expected 1..2, got 0"),
    ],
)
def test_bad_parameters_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tables(pulse_tables(), **arguments)
