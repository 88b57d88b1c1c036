"""One lane and the adder tree: visible weights, products, coincidences and sums equal the model."""

import numpy as np
from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st
from lane_visits import OUTPUTS, LaneVisits

from ohmgrid.boards.synth import synth
from ohmgrid.hdl.array.lane import AdderTree, Lane
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.sim.tables import run_clocked

SEEDS = st.integers(0, 2**32 - 1)


def test_adder_tree_of_one_value_is_a_wire(rng):
    dut = AdderTree(1, 25, 34)
    assert dut.latency == 0

    async def bench(ctx):
        for value in rng.integers(-(2**24), 2**24, 10):
            ctx.set(dut.i0, int(value))
            assert ctx.get(dut.o) == value

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


@given(SEEDS, st.integers(2, 9))
def test_adder_tree_sums_after_its_latency(seed, count):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    values = rng.integers(-(2**24), 2**24, (10, count))
    dut = AdderTree(count, 25, 34)
    seen = []

    async def bench(ctx):
        for k in range(len(values) + dut.latency):
            for lane in range(count):
                ctx.set(getattr(dut, f"i{lane}"), int(values[min(k, 9), lane]))
            if k >= dut.latency:
                seen.append(ctx.get(dut.o))
            await ctx.tick()

    run_clocked(dut, bench)
    np.testing.assert_array_equal(seen, values.sum(axis=1))


@given(
    SEEDS,
    st.booleans(),
    st.sampled_from([12, 16, 18]),
    st.sampled_from([None, 0, 900]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([8, 16]),
    st.booleans(),
    st.booleans(),
)
def test_lane_multiplies_accumulates_and_counts(
    seed, by_serial, bits, register, paired, magnitude, code_bits, read_physics, turned
):
    """Of ``register`` None, the lane is built without write noise."""
    print(f"seed={seed}")
    rows = 6
    dut = Lane(rows, bits, 40, code_bits, register is not None, read_physics)
    visits = LaneVisits(
        np.random.default_rng(seed),
        dut.times,
        rows,
        bits,
        code_bits,
        by_serial=by_serial,
        register=register or 0,
        paired=paired,
        magnitude=magnitude,
        read_physics=read_physics,
        turned=turned,
    )
    seen = []

    async def bench(ctx):
        for inputs in visits.inputs:
            for name, value in inputs.items():
                port, _, field = name.partition(".")
                ctx.set(getattr(dut, port)[field] if field else getattr(dut, port), value)
            seen.append({name: ctx.get(getattr(dut, name)) for name in OUTPUTS})
            await ctx.tick()

    run_clocked(dut, bench)
    visits.check(seen)


class LaneBeforeARegister(wiring.Component):
    """A lane whose product nothing is added to, as the odd one of an adder tree."""

    address: In(range(64))
    code: In(signed(8))
    write: In(1)
    data: In(signed(16))
    o: Out(signed(23))

    def elaborate(self, platform):
        m = Module()
        m.submodules.lane = lane = Lane(64, 16, 34, 8, write_noise=False, read_physics=False)
        shared = lane.shared
        m.d.comb += [
            *(shared.read.eq(1), shared.by_serial.eq(1)),
            *(shared.address.eq(self.address), lane.write_address.eq(self.address)),
            *(lane.write.eq(self.write), lane.write_data.eq(self.data)),
            *(shared.serial_code.eq(self.code), self.o.eq(delayed(m, lane.product, "later"))),
        ]
        return m


def test_yosys_keeps_the_multiplier_of_a_lane():
    """`test_products.py` shows that yosys makes a constant 0 of such a product of its own."""
    assert synth(LaneBeforeARegister(), "ice40", by_part=False).total.dsp == 1
