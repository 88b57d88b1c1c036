"""Entries of the array table: packed into words and back, and refused in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.registers.arrays import (
    READ_LINES,
    STATE,
    WORD_BITS,
    entry_fields,
    entry_words,
)


def unpacked(words: list[int], read_physics: bool) -> dict[str, int]:
    """Return the fields of an entry's words."""
    packed = sum(word << WORD_BITS * n for n, word in enumerate(words))
    values = {}
    for name, bits in entry_fields(read_physics).items():
        values[name] = packed % (1 << bits)
        packed >>= bits
    assert packed == 0
    return values


@given(st.booleans(), st.data())
def test_words_hold_every_field(read_physics, data):
    """Fields that are not given are 0."""
    fields = entry_fields(read_physics)
    some = data.draw(st.lists(st.sampled_from(sorted(fields)), unique=True))
    values = {
        name: data.draw(st.sampled_from([1, (1 << fields[name]) - 1]) | _of(fields[name]))
        for name in some
    }
    words = entry_words(values, read_physics)
    assert all(0 <= word < 1 << WORD_BITS for word in words)
    assert unpacked(words, read_physics) == dict.fromkeys(fields, 0) | values


def _of(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1)


def test_what_verbs_change_fills_the_first_words():
    """So that what they change shares no word with what the host writes."""
    assert list(entry_fields(True))[: len(STATE)] == list(STATE)
    assert sum(STATE.values()) % WORD_BITS == 0


def test_only_a_build_with_read_physics_has_its_fields():
    plain, physics = entry_fields(False), entry_fields(True)
    beyond = {f"{way}_{name}" for way in ("forward", "backward") for name in READ_LINES}
    assert physics.keys() - plain.keys() == beyond


@pytest.mark.parametrize("value", [-1, 1 << 17])
def test_a_value_beyond_its_field_is_refused(value):
    with pytest.raises(ValueError) as refused:
        entry_words({"rows": value}, False)
    assert str(refused.value) == f"array table, rows: expected 17 bits, got {value}"


@pytest.mark.parametrize("name", ["columns", "forward_phi_first"])
def test_a_field_that_a_build_lacks_is_refused(name):
    with pytest.raises(ValueError, match=f"^array table: unknown field {name}$"):
        entry_words({name: 0}, False)
