"""Delays by registers and by rings, steps that wait for their latest operand, both products."""

import pytest
from amaranth.hdl import Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from ohmgrid.boards.synth import synth
from ohmgrid.hdl.base.timed import Stages, Timed
from ohmgrid.model.base.arith import shift_round


def run(m: Module, inputs: list[tuple[Signal, list[int]]], outputs: list[Signal]) -> list[tuple]:
    """Return the outputs in each cycle."""
    length = len(inputs[0][1])
    seen = []

    async def bench(ctx):
        for cycle in range(length):
            for signal, values in inputs:
                ctx.set(signal, values[cycle])
            seen.append(tuple(ctx.get(output) for output in outputs))
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


@pytest.mark.parametrize(
    ("bits", "blocks"), [(6, True), (6, False), (16, True)], ids=["ring", "short rings", "block"]
)
@pytest.mark.parametrize("cycles", [*range(1, 20), 31, 32, 33, 34, 35, 40])
def test_a_value_is_delayed_by_exactly_so_many_cycles(cycles, bits, blocks, rng):
    m = Module()
    pipe = Stages(m, Const(1), blocks)
    i, o, near = (Signal(signed(bits), name=name) for name in ("i", "o", "near"))
    value = Timed(i, 3)
    m.d.comb += [o.eq(pipe.at(value, 3 + cycles)), near.eq(pipe.at(value, 4 + cycles))]
    values = rng.integers(-32, 32, 120).tolist()
    seen = run(m, [(i, values)], [o, near])
    assert [late for late, _ in seen[cycles:]] == values[:-cycles]
    assert [late for _, late in seen[cycles + 1 :]] == values[: -cycles - 1]


class Delayed(wiring.Component):
    """A wide value of many cycles ago."""

    i: In(80)
    o: Out(80)

    def __init__(self, blocks: bool):
        self._blocks = blocks
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(Stages(m, Const(1), self._blocks).at(Timed(self.i, 0), 50))
        return m


def test_delays_take_block_ram_only_where_they_may():
    block, lut = (synth(Delayed(blocks), by_part=False).total.bram for blocks in (True, False))
    assert block > 0
    assert lut == 0


@pytest.mark.parametrize("block", [True, False])
def test_steps_wait_for_their_latest_operand(block, rng):
    m = Module()
    pipe = Stages(m, Const(1))
    a, b = Signal(signed(12)), Signal(9)
    late = pipe.stage("part", "late", lambda b: b + 1, Timed(b, 0))
    product = pipe.product("part", "product", Timed(a, 0), late, block)
    difference = pipe.stage("part", "difference", lambda p, a: p - a, product, Timed(a, 0))
    o = Signal(signed(24))
    m.d.comb += o.eq(difference.value)
    a_values = rng.integers(-2048, 2048, 80).tolist()
    b_values = rng.integers(0, 512, 80).tolist()
    seen = run(m, [(a, a_values), (b, b_values)], [o])
    expected = [x * (y + 1) - x for x, y in zip(a_values, b_values, strict=True)]
    assert [value for (value,) in seen[difference.time :]] == expected[: -difference.time]


def test_values_travel_together_and_keep_their_shapes(rng):
    m = Module()
    pipe = Stages(m, Const(1))
    a, b = Signal(signed(5)), Signal(3)
    later = pipe.together(9, Timed(a, 0), Timed(b, 0))
    outs = [Signal(signed(8), name=f"o{n}") for n in range(2)]
    m.d.comb += [out.eq(value.value) for out, value in zip(outs, later, strict=True)]
    a_values, b_values = rng.integers(-16, 16, 60).tolist(), rng.integers(0, 8, 60).tolist()
    seen = run(m, [(a, a_values), (b, b_values)], outs)
    assert seen[9:] == list(zip(a_values, b_values, strict=True))[:-9]


def test_a_value_cannot_come_before_itself():
    pipe = Stages(Module(), Const(1))
    with pytest.raises(ValueError, match="time: expected 5 or later, got 4"):
        pipe.at(Timed(Signal(), 5), 4)


def test_a_shift_that_varies_rounds_as_the_model_does(rng):
    m = Module()
    pipe = Stages(m, Const(1))
    i, less, o = Signal(signed(53)), Signal(6), Signal(signed(54))
    found = pipe.shift_rounded("part", "shifted", Timed(i, 0), Timed(less, 0, held=False))
    m.d.comb += o.eq(found.value)
    values = rng.integers(-(1 << 52), 1 << 52, 300) >> rng.integers(0, 52, 300)
    # Ties, of every shift.
    shifts = rng.integers(1, 51, 300)
    values[::2] = (values[::2] >> shifts[::2] << shifts[::2]) + (1 << shifts[::2] - 1)
    seen = run(m, [(i, values.tolist()), (less, (shifts - 1).tolist())], [o])
    wanted = [int(shift_round(value, int(by))) for value, by in zip(values, shifts, strict=True)]
    late = found.time
    assert [value for (value,) in seen[late:]] == wanted[:-late]


def test_a_product_wider_than_a_block_is_made_of_two(rng):
    m = Module()
    pipe = Stages(m, Const(1))
    a, b, o = Signal(signed(35)), Signal(18), Signal(signed(53))
    found = pipe.wide_product("part", "product", Timed(a, 0), Timed(b, 0))
    m.d.comb += o.eq(found.value)
    left = rng.integers(-(1 << 34), 1 << 34, 100).tolist()
    right = rng.integers(0, 1 << 18, 100).tolist()
    seen = run(m, [(a, left), (b, right)], [o])
    late = found.time
    assert [o for (o,) in seen[late:]] == [x * y for x, y in zip(left, right, strict=True)][:-late]
