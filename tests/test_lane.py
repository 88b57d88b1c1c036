"""One lane and the adder tree: products, coincidences and sums equal the model."""

import numpy as np
from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.boards.synth import synth
from ohmgrid.hdl.lane import AdderTree, Lane
from ohmgrid.hdl.pipeline import delayed
from ohmgrid.model.lane import coincidences, products
from ohmgrid.sim.units import run_clocked

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


@given(SEEDS, st.booleans(), st.sampled_from([12, 16, 18]), st.booleans(), st.sampled_from([8, 16]))
def test_lane_multiplies_accumulates_and_counts(seed, backward, bits, magnitude, code_bits):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    rows = 6
    words = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), rows)
    top = 2 ** (code_bits - 1)
    codes, trains = rng.integers(1 - top, top, rows + 1), rng.integers(0, 2**31, rows + 1)
    trains[: rows // 2] &= 0xF0
    trains[-1] &= 0xF
    signs = rng.integers(0, 2, rows + 1)
    dut = Lane(rows, bits, 40, code_bits)
    seen = []

    async def bench(ctx):
        ctx.set(dut.write, 1)
        for row in range(rows):
            ctx.set(dut.write_address, row)
            ctx.set(dut.write_data, int(words[row]))
            await ctx.tick()
        ctx.set(dut.write, 0)
        for name, value in (("code", codes), ("train", trains), ("sign", signs)):
            ctx.set(getattr(dut, f"load_{name}"), int(value[-1]))
        ctx.set(dut.load, 1)
        await ctx.tick()
        ctx.set(dut.load, 0)
        ctx.set(dut.backward, backward)
        ctx.set(dut.magnitude, magnitude)
        ctx.set(dut.advance, 1)
        ctx.set(dut.hit_valid, 1)
        for cycle in range(rows + 5):
            # Stage A holds row `cycle`, B row `cycle - 1`, C row `cycle - 2`, D row `cycle - 3`.
            ctx.set(dut.read, cycle < rows)
            ctx.set(dut.address, min(cycle, rows - 1))
            ctx.set(dut.take, cycle == 1)
            ctx.set(dut.row_code, int(codes[min(max(cycle - 1, 0), rows - 1)]))
            row = min(max(cycle - 2, 0), rows - 1)
            ctx.set(dut.row_train, int(trains[row]))
            ctx.set(dut.row_sign, int(signs[row]))
            ctx.set(dut.fresh, 3 <= cycle < rows + 3)
            ctx.set(dut.first, cycle == 3)
            ctx.set(dut.capture, cycle == rows + 3)
            if 3 <= cycle < rows + 3:
                fields = (dut.product, dut.weight, dut.mask, dut.down, dut.hit)
                seen.append([ctx.get(field) for field in fields])
            await ctx.tick()
        seen.append(ctx.get(dut.chain_o))

    run_clocked(dut, bench)
    operand = codes[:rows] if backward else np.repeat(codes[-1], rows)
    expected = products(words ^ (words >> 63) if magnitude else words, operand)
    for row, (product, weight, mask, down, hit) in enumerate(seen[:-1]):
        assert (product, weight) == (expected[row], words[row])
        assert mask.bit_count() == coincidences(trains[row], trains[-1])
        assert (down, hit) == (signs[row] == signs[-1], mask != 0)
    assert seen[-1] == expected.sum()


class LaneBeforeARegister(wiring.Component):
    """A lane whose product nothing is added to, as the odd one of an adder tree."""

    address: In(range(64))
    code: In(signed(8))
    write: In(1)
    data: In(signed(16))
    o: Out(signed(23))

    def elaborate(self, platform):
        m = Module()
        m.submodules.lane = lane = Lane(64, 16, 34)
        m.d.comb += [
            *(getattr(lane, name).eq(1) for name in ("advance", "read", "backward")),
            *(lane.address.eq(self.address), lane.write_address.eq(self.address)),
            *(lane.write.eq(self.write), lane.write_data.eq(self.data)),
            *(lane.row_code.eq(self.code), self.o.eq(delayed(m, lane.product, "later"))),
        ]
        return m


def test_yosys_keeps_the_multiplier_of_a_lane():
    """`tests/test_products.py` shows that yosys makes a constant 0 of such a product unguarded."""
    assert synth(LaneBeforeARegister(), "ice40", by_part=False).total.dsp == 1
