"""Averages of magnitudes, and the rate that follows from them: gateware equals the golden laws."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.config import BuildConfig, Config
from ohmgrid.hdl.core.averages import Averages
from ohmgrid.model.core.transfer_laws import averaged, rate_of
from ohmgrid.registers.map import TRAINER
from ohmgrid.sim.tables import run_clocked

BUILD = BuildConfig(arrays=3)
MAGNITUDES = st.integers(0, 32767) | st.sampled_from([0, 1, 32767])


@settings(max_examples=6)
@given(
    weight=st.integers(0, 1 << 24),
    slots=st.integers(0, 1 << 32) | st.sampled_from([0, 1, 1 << 32]),
    start=st.tuples(*[st.integers(0, 1 << 31) | st.just(0)] * 2),
    magnitudes=st.lists(st.tuples(MAGNITUDES, MAGNITUDES), min_size=1, max_size=5),
    array=st.integers(0, 2),
)
def test_averages_and_rates_equal_the_golden_laws(weight, slots, start, magnitudes, array):
    averages = Averages(Config(build=BUILD))
    golden, wanted = list(start), []
    for pair in magnitudes:
        golden = [averaged(old, new, weight) for old, new in zip(golden, pair, strict=True)]
        rate, shift = rate_of(slots, *golden)
        # Of a rate of 0 the shift is nothing.
        wanted.append((rate, shift if rate else 0))
    found, kept = [], []

    async def bench(ctx):
        ctx.set(averages.registers.average_weight, weight)
        ctx.set(averages.registers.slots, slots)
        ctx.set(averages.array, array)
        for place, word in enumerate(start):
            ctx.set(averages.write.en, 1)
            ctx.set(averages.write.table, TRAINER["average"])
            ctx.set(averages.write.address, 2 * array + place)
            ctx.set(averages.write.data, word)
            await ctx.tick()
        ctx.set(averages.write.en, 0)
        for x_max, d_max in magnitudes:
            ctx.set(averages.x_max, x_max)
            ctx.set(averages.d_max, d_max)
            ctx.set(averages.start, 1)
            await ctx.tick()
            ctx.set(averages.start, 0)
            await ctx.tick().until(averages.done)
            found.append((ctx.get(averages.rate), ctx.get(averages.rate_shift)))
        for place in range(2):
            ctx.set(averages.address, 2 * array + place)
            await ctx.tick().repeat(3)
            kept.append(ctx.get(averages.words[TRAINER["average"]]))

    run_clocked(averages, bench)
    assert found == wanted
    assert kept == golden
