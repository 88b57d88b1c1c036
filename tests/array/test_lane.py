"""One lane and the adder tree: visible weights, products, coincidences and sums equal the model."""

import numpy as np
from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.boards.synth import synth
from ohmgrid.hdl.array.lane import AdderTree, Lane
from ohmgrid.hdl.base.pipeline import delayed
from ohmgrid.model.array.array import coincidences, magnitudes
from ohmgrid.model.device.visible import visible
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
    rng = np.random.default_rng(seed)
    rows = 6
    joined = paired and magnitude and read_physics
    if joined and register:
        register = 0  # no write noise in a pair
    top = (1 << (bits - 1)) - 1
    words = rng.integers(-top, top + 1, rows)
    largest = (1 << (code_bits - 1)) - 1
    codes = rng.integers(-largest, largest + 1, rows + 1)
    trains = rng.integers(0, 2**31, rows + 1)
    trains[: rows // 2] &= 0xF0
    trains[-1] &= 0xF
    signs = rng.integers(0, 2, rows + 1)
    keys = rng.integers(0, 1 << 32, rows + 1, dtype=np.uint32)
    magnitude &= read_physics
    write_noise = register is not None
    dut = Lane(rows, bits, 40, code_bits, write_noise, read_physics)
    cells, sums = [], []

    shared, times = dut.shared, dut.times

    async def bench(ctx):
        ctx.set(dut.write, 1)
        for row in range(rows):
            ctx.set(dut.write_address, row)
            ctx.set(dut.write_data, int(words[row]))
            await ctx.tick()
        ctx.set(dut.write, 0)
        for name, value in (("code", codes), ("train", trains), ("sign", signs), ("key", keys)):
            ctx.set(shared[f"load_{name}"], int(value[-1]))
        for strobe in (dut.load, dut.load_key, dut.load_code):
            ctx.set(strobe, 1)
        await ctx.tick()
        for strobe in (dut.load, dut.load_key, dut.load_code):
            ctx.set(strobe, 0)
        ctx.set(shared.by_serial, by_serial)
        ctx.set(shared.turned, turned)
        ctx.set(shared.magnitude, magnitude)
        ctx.set(shared.paired, paired)
        ctx.set(shared.visible, register or 0)

        def row_at(time):
            """Row of a visit that was in stage A so many cycles before."""
            return min(max(cycle - time, 0), rows - 1)

        for cycle in range(rows + 2 + times["S"]):
            ctx.set(shared.read, cycle < rows)
            ctx.set(shared.address, row_at(times["A"]))
            ctx.set(shared.take, cycle == times["A"])
            ctx.set(shared.take_key, cycle == times["C"])
            ctx.set(shared.take_code, cycle == times["V"] - 1)
            ctx.set(shared.visit, 0 <= cycle - times["C"] < rows)
            ctx.set(shared.serial_train, int(trains[row_at(times["C"])]))
            ctx.set(shared.serial_sign, int(signs[row_at(times["C"])]))
            ctx.set(shared.minus, row_at(times["C"]) % 2)
            ctx.set(shared.serial_key, int(keys[row_at(times["D"])]))
            ctx.set(shared.serial_code, int(codes[row_at(times["V"] - 1)]))
            in_p = cycle - times["P"]
            ctx.set(shared.fresh, 0 <= in_p < rows)
            ctx.set(shared.first, in_p == 0)
            ctx.set(shared.capture, in_p == rows + 1)
            ctx.set(shared.move, in_p == rows + 1)
            if times["H"] <= cycle < rows + times["H"]:
                cells.append((ctx.get(dut.weight), ctx.get(dut.hit)))
            if 0 <= in_p < rows:
                sums.append(ctx.get(dut.product))
            await ctx.tick()
        sums.append(ctx.get(dut.chain_o))

    run_clocked(dut, bench)
    operand = codes[:rows] if by_serial else np.repeat(codes[-1], rows)
    # Each of the two keys is of all visits or of the one column.
    row_and_column = (keys[-1:], keys[:rows]) if turned else (keys[:rows], keys[-1:])
    seen = visible(words, row_and_column, register or 0, bits)
    if joined:
        # Magnitudes of pairs where there is a minus device.
        seen[1::2] = magnitudes(seen[::2] - seen[1::2], bits, paired=True)
    expected = (magnitudes(seen, bits) if magnitude else seen).astype(np.int64) * operand
    assert sums == [*expected, expected.sum()]
    for row, (weight, hit) in enumerate(cells):
        lowers, minus = signs[row] == signs[-1], row % 2 == 1
        assert weight == words[row] or (joined and minus)
        pulses = coincidences(trains[row], trains[-1])
        assert hit == (pulses != 0 and (not paired or lowers == minus))


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
