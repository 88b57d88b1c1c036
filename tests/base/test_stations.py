"""Stations: no word is lost, none comes twice, whatever the pace of either side."""

from itertools import pairwise

import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.hdl.base.stations import PairStation, Station

CYCLES = 60


def passed(station, offers, takes):
    """Return how many of 0, 1, ... a station took, what left it, and in which cycles."""
    left, cycles, taken = [], [], [0]

    async def bench(ctx):
        for cycle in range(CYCLES):
            ctx.set(station.i.valid, offers[cycle])
            ctx.set(station.i.payload, taken[0])
            ctx.set(station.o.ready, takes[cycle])
            ready, there = ctx.get(station.i.ready), ctx.get(station.o.valid)
            # Registers: neither side sees the other within a cycle.
            ctx.set(station.o.ready, not takes[cycle])
            assert ctx.get(station.i.ready) == ready
            ctx.set(station.o.ready, takes[cycle])
            ctx.set(station.i.valid, not offers[cycle])
            assert ctx.get(station.o.valid) == there
            ctx.set(station.i.valid, offers[cycle])
            if there and takes[cycle]:
                left.append(ctx.get(station.o.payload))
                cycles.append(cycle)
            taken[0] += bool(ready and offers[cycle])
            await ctx.tick()

    simulator = Simulator(station)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return taken[0], left, cycles


paces = st.lists(st.booleans(), min_size=CYCLES, max_size=CYCLES)


@pytest.mark.parametrize("kind", [Station, PairStation])
@given(offers=paces, takes=paces)
@settings(max_examples=25, deadline=None)
def test_words_leave_in_order(kind, offers, takes):
    taken, left, _ = passed(kind(8), offers, takes)
    assert left == list(range(len(left)))
    assert 0 <= taken - len(left) <= (2 if kind is PairStation else 1)


@pytest.mark.parametrize(("kind", "every"), [(Station, 2), (PairStation, 1)])
def test_pace_without_waiting(kind, every):
    _, left, cycles = passed(kind(8), [1] * CYCLES, [1] * CYCLES)
    assert len(left) == (CYCLES - 1 + every - 1) // every
    assert all(b - a == every for a, b in pairwise(cycles))
