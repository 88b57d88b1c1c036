"""Arithmetic: the model against exact fractions, the gateware against the model."""

from fractions import Fraction
from math import floor, isqrt

import numpy as np
import pytest
from amaranth.hdl import Shape
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.base import arith as hdl
from ohmgrid.model.base import arith as model
from ohmgrid.sim.tables import run_clocked, run_function, run_pipeline

SHAPES = st.builds(Shape, st.integers(1, 20), st.booleans())
NATURALS = st.integers(0, 2**40)


def values(shape: Shape, lists: int = 40) -> st.SearchStrategy[list[int]]:
    """Make lists of values of a shape, its ends often among them."""
    low = -(1 << (shape.width - 1)) if shape.signed else 0
    high = low + (1 << shape.width) - 1
    one = st.one_of(st.sampled_from([low, high, 0 if low else high]), st.integers(low, high))
    return st.lists(one, min_size=1, max_size=lists)


# ---- model


@given(st.integers(-(2**40), 2**40), st.integers(1, 20))
def test_model_rounds_as_fractions_do(value, shift):
    exact = Fraction(value, 1 << shift)
    # Python rounds a Fraction's ties to even.
    assert model.shift_round(np.array(value), shift) == round(exact)
    assert model.shift_half_up(np.array(value), shift) == floor(exact + Fraction(1, 2))


@given(NATURALS, st.integers(1, 2**20), st.integers(1, 20))
def test_model_divides_as_fractions_do(numerator, denominator, bits):
    exact = Fraction(numerator, denominator)
    top = (1 << bits) - 1
    n, d = np.array(numerator), np.array(denominator)
    assert model.divide_round(n, d) == round(exact)
    assert model.divide_saturate(n, d, bits) == min(floor(exact), top)
    assert model.divide_saturate(n, np.array(0), bits) == top


@given(st.integers(0, 2**70), st.integers(2, 20), st.integers(-(2**30), 2**30))
def test_model_root_and_saturation(square, bits, value):
    assert model.square_root(square) == isqrt(square)
    top = (1 << (bits - 1)) - 1
    assert model.saturate(np.array(value), bits) == max(-top, min(top, value))


def test_an_edge_clips_what_is_beyond_it():
    values, clipped = model.at_edge(np.array([-8, -7, 0, 7, 8]), 7)
    assert values.tolist() == [-7, -7, 0, 7, 7]
    assert clipped.tolist() == [True, False, False, False, True]


# ---- gateware


@given(st.data(), SHAPES, st.integers(2, 24))
def test_saturate(data, shape, bits):
    column = data.draw(values(shape))
    result = run_function(lambda value: hdl.saturate(value, bits), [shape], [(v,) for v in column])
    assert result == model.saturate(np.array(column), bits).tolist()


@given(st.data(), SHAPES)
def test_shifts(data, shape):
    column = data.draw(values(shape))
    shift = data.draw(st.integers(1, shape.width))
    rows, array = [(v,) for v in column], np.array(column)
    result = run_function(lambda value: hdl.shift_round(value, shift), [shape], rows)
    assert result == model.shift_round(array, shift).tolist()
    result = run_function(lambda value: hdl.shift_half_up(value, shift), [shape], rows)
    assert result == model.shift_half_up(array, shift).tolist()


@given(st.data(), *[st.integers(1, 20)] * 3)
def test_divider(data, numerator_bits, denominator_bits, quotient_bits):
    divider = hdl.Divider(numerator_bits, denominator_bits, quotient_bits)
    numerator = data.draw(values(Shape(numerator_bits)))
    one = st.integers(0, (1 << denominator_bits) - 1)
    denominator = [data.draw(one) for _ in numerator]
    columns = {"numerator": numerator, "denominator": denominator}
    result = run_pipeline(divider, columns, ["quotient"])["quotient"]
    n, d = np.array(numerator), np.array(denominator)
    assert result == model.divide_saturate(n, d, quotient_bits).tolist()


@given(st.data(), st.integers(1, 40))
def test_square_root(data, bits):
    root = hdl.SquareRoot(bits)
    column = data.draw(values(Shape(bits), 8))
    results = []

    async def testbench(ctx):
        for value in column:
            ctx.set(root.start, 1)
            ctx.set(root.value, value)
            done = []
            for _ in range(root.cycles):
                await ctx.tick()
                ctx.set(root.start, 0)
                done.append(ctx.get(root.done))
            assert done == [0] * (root.cycles - 1) + [1]
            results.append(ctx.get(root.root))

    run_clocked(root, testbench)
    assert results == [model.square_root(value) for value in column]


def test_bad_parameters_say_what_was_expected():
    with pytest.raises(ConfigError, match=r"quotient_bits: expected 1..64, got 0"):
        hdl.Divider(8, 8, 0)
    with pytest.raises(ConfigError, match=r"bits: expected 1..64, got 99"):
        hdl.SquareRoot(99)
    with pytest.raises(ValueError, match=r"shift: expected 1..4, got 5"):
        run_function(lambda value: hdl.shift_round(value, 5), [4], [(0,)])
    with pytest.raises(ConfigError, match=r"bits: expected 2..64, got 1"):
        run_function(lambda value: hdl.saturate(value, 1), [4], [(0,)])


@given(st.integers(2, 20), st.integers(1, 16), st.data())
def test_serial_product_takes_as_many_cycles_as_its_factor_has_bits(a_bits, b_bits, data):
    top = 1 << (a_bits - 1)
    a = data.draw(st.integers(-top, top - 1))
    bits = data.draw(st.integers(1, b_bits))
    b = data.draw(st.integers(0, (1 << bits) - 1))
    dut = hdl.SerialProduct(a_bits, b_bits)
    seen = []

    async def bench(ctx):
        ctx.set(dut.a, a)
        ctx.set(dut.b, b)
        ctx.set(dut.bits, bits)
        ctx.set(dut.start, 1)
        for cycle in range(b_bits + 5):
            if ctx.get(dut.done):
                seen.append((cycle, ctx.get(dut.o)))
            await ctx.tick()
            ctx.set(dut.start, 0)

    run_clocked(dut, bench)
    assert seen == [(bits + 1, a * b << (b_bits - bits))]
