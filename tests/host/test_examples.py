"""Examples as a host sends them: what is encoded comes back, within the bound that is promised."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ohmgrid.host.examples import choose_encoding, encode_example
from ohmgrid.model.core.example_store import decode_example
from ohmgrid.registers.examples import BITS, PIXELS, ExampleFormat

EDGE = st.integers(-(1 << 15), (1 << 15) - 1)


@st.composite
def coded(draw: st.DrawFn) -> tuple[ExampleFormat, list[int]]:
    """A format, and values of an example, many of them 0."""
    form = ExampleFormat(
        draw(st.sampled_from(BITS)), draw(st.integers(1, 200)), draw(st.booleans())
    )
    some = EDGE if form.bits == 16 else st.integers(0, (1 << form.bits) - 1)
    runs = st.tuples(st.integers(0, 40), st.lists(some, max_size=20))
    values = [v for zeros, rest in draw(st.lists(runs)) for v in [0] * zeros + rest]
    return form, (values + [0] * form.values)[: form.values]


@given(coded(), st.integers(0, (1 << 16) - 1))
def test_what_is_encoded_comes_back(example, label):
    form, values = example
    data = encode_example(label, values, form)
    assert len(data) <= form.most_bytes
    table = np.arange(PIXELS, dtype=np.int16)
    found = decode_example(data, form, table)
    assert (found.label, found.errors) == (label, 0)
    assert found.values.tolist() == values


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("values", [1, 15, 16, 30, 31, 200])
def test_the_bound_is_met_where_no_value_is_0(bits, values):
    form = ExampleFormat(bits, values, runs=True)
    assert len(encode_example(0, [1] * values, form)) == form.most_bytes
    assert len(encode_example(0, [0] * values, form)) == 3


@given(
    st.lists(EDGE, min_size=1, max_size=300),
    st.integers(1, 20),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)
def test_the_narrowest_format_loses_nothing(levels, width, count, seed):
    values = np.random.default_rng(seed).choice(levels, (count, width))
    form, table, pixels = choose_encoding(values)
    distinct = len(np.unique(values))
    assert form.bits == next(bits for bits in BITS if distinct <= 1 << bits)
    for row, expected in zip(pixels, values, strict=True):
        found = decode_example(encode_example(7, row, form), form, table)
        assert_array_equal(found.values, expected)


def test_the_value_that_comes_most_often_is_pixel_0():
    form, table, pixels = choose_encoding(np.array([[5, -3, 9, 5, 5, 9]]))
    assert table[:4].tolist() == [5, -3, 9, 0]
    assert pixels.tolist() == [[0, 1, 2, 0, 0, 2]]
    assert form == ExampleFormat(4, 6, runs=True)


def test_more_than_256_values_go_as_they_are():
    values = np.arange(300).reshape(2, 150) - 150
    form, _, coded = choose_encoding(values, runs=False)
    assert form == ExampleFormat(16, 150)
    assert_array_equal(coded, values)


@pytest.mark.parametrize(
    ("label", "values", "line"),
    [
        (-1, [1, 2], "label: expected 0..65535, got -1"),
        (1 << 16, [1, 2], "label: expected 0..65535, got 65536"),
        (0, [1], r"values: expected 2 integers, got int64 of shape \(1,\)"),
        (0, [0.5, 1], r"values: expected 2 integers, got float64 of shape \(2,\)"),
        (0, [1, 16], r"values: expected 0..15 in 4 bits, got 1 to 16"),
        (0, [-1, 1], r"values: expected 0..15 in 4 bits, got -1 to 1"),
    ],
)
def test_what_does_not_fit_gets_one_line(label, values, line):
    with pytest.raises(ValueError, match=f"^{line}$"):
        encode_example(label, values, ExampleFormat(4, 2))


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (np.array([[1 << 15]]), "values: expected -32768..32767 at the edge, got 32768 to 32768"),
        (np.zeros((0, 3), int), r"values: expected integers of shape .*, got int64 of shape"),
        (np.zeros((2, 3)), r"values: expected integers of shape .*, got float64 of shape"),
    ],
)
def test_data_that_are_no_values_get_one_line(values, line):
    with pytest.raises(ValueError, match=f"^{line}"):
        choose_encoding(values)
