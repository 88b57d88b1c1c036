"""Examples as bytes: the store equals its golden twin, whatever comes, at any pace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.core.example_store import ExampleStore
from ohmgrid.host.examples import encode_example
from ohmgrid.model.core.example_store import ExampleMemory, SdramExampleMemory, decode_example
from ohmgrid.registers.examples import BITS, PIXELS, ExampleError, ExampleFormat
from ohmgrid.sim.cxxrtl.library import build
from ohmgrid.sim.sdram_boards import SdramStore

SIZE, EXAMPLES = 90, 5
SEEDS = st.integers(0, 2**32 - 1)
FORMS = st.builds(
    ExampleFormat, st.sampled_from(BITS), st.integers(1, 70), st.sampled_from([False, True, True])
)
LIMIT = 100_000
SDRAM_WAY = 70
"""More cycles than between two examples out of an SDRAM: two accesses, the rest of a burst."""
WAY = 12
"""More cycles than a byte takes through the decoder."""


def random_example(rng: np.random.Generator, form: ExampleFormat) -> bytes:
    """Return an example, now and then damaged: cut, longer, other bytes, or nothing but noise."""
    pixels = rng.integers(0, 1 << form.bits, form.values)
    pixels[rng.random(form.values) < rng.choice([0.0, 0.5, 0.95])] = 0
    # Two's complement: a value of 16 bits has a sign.
    values = pixels.astype(np.int16) if form.bits == 16 else pixels
    data = bytearray(encode_example(int(rng.integers(1 << 16)), values, form))
    match rng.integers(8):
        case 0:
            del data[int(rng.integers(1, len(data))) :]
        case 1:
            data += rng.bytes(int(rng.integers(1, 40)))
        case 2:
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        case 3:
            data = bytearray(rng.bytes(int(rng.integers(1, form.most_bytes + 1))))
    return bytes(data)


def in_stream(data: bytes) -> list[int]:
    """Return the words of the stream of bytes: the last one is marked."""
    return [*data[:-1], data[-1] | 1 << 8]


def out_of_stream(data: bytes, form: ExampleFormat, table: np.ndarray) -> tuple[list[int], int]:
    """Return the words of the golden model, as the stream has them, and what was wrong."""
    example = decode_example(data, form, table)
    return [example.label, *(example.values.astype(np.int64) & 0xFFFF).tolist()], example.errors


class Store:
    """A simulated store, loaded with a format and a table."""

    def __init__(self, rng: np.random.Generator, sdram: int = 0):
        self.sim = build(
            lambda: SdramStore(sdram) if sdram else ExampleStore(SIZE, EXAMPLES),
            "example_store",
            identity=f"SdramStore {sdram}" if sdram else f"ExampleStore {SIZE} {EXAMPLES}",
        ).instance()
        self.sim.reset()
        self.rng = rng
        self.table = rng.integers(-(1 << 15), 1 << 15, PIXELS).astype(np.int16)
        for pixel, value in enumerate(self.table.tolist()):
            self.sim.set("table", 1 | pixel << 1 | (value & 0xFFFF) << 9)
            self.sim.step()
        self.sim.set("table", 0)

    def use(self, form: ExampleFormat) -> None:
        self.sim.set("form", BITS.index(form.bits) | form.runs << 2 | form.values << 3)

    def move(self, inputs: dict[str, list[int]], words: int) -> list[int]:
        """Push and pop at a random pace; return the words that came, when all has ended."""
        idle = {name: float(self.rng.choice([0.0, 0.3, 0.8])) for name in (*inputs, "o")}
        found, _ = self.sim.transact(
            inputs, {"o": words}, LIMIT, idle, seed=int(self.rng.integers(2**32))
        )
        for _ in range(LIMIT):
            self.sim.step()
            if not self.sim.get("busy"):
                break
        self.sim.step()
        assert not self.sim.get("busy")
        assert not self.sim.get("o.valid")
        return found["o"].tolist()

    def errors(self) -> int:
        """Return the errors since the last call."""
        errors = self.sim.get("errors")
        self.sim.set("clear", 1)
        self.sim.step()
        self.sim.set("clear", 0)
        self.sim.step()
        assert self.sim.get("errors") == 0
        return errors


@given(seed=SEEDS, form=FORMS, count=st.integers(1, 6))
def test_a_stream_of_examples_equals_the_model(seed, form, count):
    """Damaged examples too: each gives its words and its errors, and the next one is whole."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    store = Store(rng)
    store.use(form)
    examples = [random_example(rng, form) for _ in range(count)]
    golden = [out_of_stream(data, form, store.table) for data in examples]
    expected = [word for words, _ in golden for word in words]
    stream = [word for data in examples for word in in_stream(data)]
    assert_array_equal(store.move({"i": stream}, len(expected)), expected)
    assert store.errors() == np.bitwise_or.reduce([errors for _, errors in golden])


@pytest.mark.parametrize("sdram", [0, pytest.param(256, marks=pytest.mark.slow)])
@given(seed=SEEDS, form=FORMS, count=st.integers(0, EXAMPLES + 3))
def test_examples_that_are_kept_equal_the_model(sdram, seed, form, count):
    """In any order, any number of times; what does not fit or is not there is told."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    golden = SdramExampleMemory(sdram) if sdram else ExampleMemory(SIZE, EXAMPLES)
    store = Store(rng, sdram)
    store.use(form)
    store.sim.set("kept", 1)
    for _ in range(2):
        examples = [random_example(rng, form) for _ in range(count)]
        for data in examples:
            golden.keep(data)
        stream = [word for data in examples for word in in_stream(data)]
        assert store.move({"i": stream}, 0) == []
        orders = rng.choice([0, 1, 2, 3, 4, EXAMPLES, 1 << 16, (1 << 24) - 1], 8).tolist()
        replayed = [golden.replay(number) for number in orders]
        there = [out_of_stream(data, form, store.table) for data in replayed if data is not None]
        expected = [word for words, _ in there for word in words]
        assert_array_equal(store.move({"order": orders}, len(expected)), expected)
        errors = golden.errors
        for _, wrong in there:
            errors |= wrong
        assert store.errors() == errors
        store.sim.set("forget", 1)
        store.sim.step()
        store.sim.set("forget", 0)
        store.sim.step(2)
        assert store.sim.get("stored") == 0
        golden.forget()
        golden.errors = 0


@pytest.mark.parametrize("sdram", [0, pytest.param(256, marks=pytest.mark.slow)])
@given(seed=SEEDS, form=FORMS.filter(lambda form: form.most_bytes <= SIZE))
def test_a_store_forgets_between_two_examples_that_it_gives(sdram, seed, form):
    """What is being given is given whole; what comes in waits, and is the first one then."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    store = Store(rng, sdram)
    store.use(form)
    store.sim.set("kept", 1)
    old, new = (encode_example(label, np.zeros(form.values, int), form) for label in (1, 2))
    store.move({"i": in_stream(old)}, 0)
    store.sim.transact({"order": [0]}, {}, LIMIT)
    store.sim.set("forget", 1)
    store.sim.step()
    store.sim.set("forget", 0)
    words = out_of_stream(old, form, store.table)[0]
    assert store.move({"i": in_stream(new)}, len(words)) == words
    assert store.sim.get("stored") == 1
    words = out_of_stream(new, form, store.table)[0]
    assert store.move({"order": [0]}, len(words)) == words
    assert store.errors() == 0


@pytest.mark.parametrize("bits", BITS)
def test_a_word_or_a_byte_moves_in_each_cycle(bits, rng):
    """Runs of zeros come out a word a cycle; beside them only bytes take cycles."""
    form = ExampleFormat(bits, 2000, runs=True)
    values = np.zeros(2000, int)
    values[::400] = 1
    data = encode_example(3, values, form)
    store = Store(rng)
    store.use(form)
    words = out_of_stream(data, form, store.table)[0]
    found, cycles = store.sim.transact({"i": in_stream(data)}, {"o": len(words)}, LIMIT)
    assert found["o"].tolist() == words
    assert cycles <= len(words) + len(data) + WAY
    raw = ExampleFormat(bits, 2000)
    data = encode_example(3, values, raw)
    store.move({}, 0)
    store.use(raw)
    _, cycles = store.sim.transact({"i": in_stream(data)}, {"o": len(words)}, LIMIT)
    assert cycles <= max(len(words), len(data)) + WAY


def test_between_two_examples_that_are_kept_a_few_cycles_pass(rng):
    form = ExampleFormat(8, 40)
    data = encode_example(1, rng.integers(0, 256, 40), form)
    store = Store(rng)
    store.use(form)
    store.sim.set("kept", 1)
    store.move({"i": 2 * in_stream(data)}, 0)
    _, cycles = store.sim.transact({"order": 50 * [0, 1]}, {"o": 4100}, LIMIT)
    assert cycles <= 100 * (len(data) + 6) + WAY


@pytest.mark.slow
def test_out_of_an_sdram_a_few_cycles_more(rng):
    form = ExampleFormat(8, 40)
    data = encode_example(1, rng.integers(0, 256, 40), form)
    store = Store(rng, 4096)
    store.use(form)
    store.sim.set("kept", 1)
    store.move({"i": 20 * in_stream(data)}, 0)
    orders = rng.integers(0, 20, 100).tolist()
    found, cycles = store.sim.transact({"order": orders}, {"o": 4100}, LIMIT)
    assert found["o"].tolist() == 100 * out_of_stream(data, form, store.table)[0]
    assert 4100 < cycles <= 100 * (len(data) + SDRAM_WAY)


@pytest.mark.slow
def test_a_restart_amid_accesses_of_an_sdram_leaves_nothing_behind(rng):
    """A session begins anew while the chip reads and writes: it goes on, and nobody takes it."""
    form = ExampleFormat(8, 50)
    data = [encode_example(n, rng.integers(0, 256, 50), form) for n in range(2)]
    store = Store(rng, 1024)
    for cycles in range(1, 90, 3):
        store.use(form)
        store.sim.set("kept", 1)
        for number, example in enumerate(data):
            store.move({"i": in_stream(example)}, 0)
            with pytest.raises(TimeoutError):
                store.sim.transact({"order": [number, number]}, {"o": 999}, cycles)
            with pytest.raises(TimeoutError):
                store.sim.transact({"i": 9 * in_stream(example)}, {"o": 999}, cycles)
            store.sim.set("restart", 1)
            store.sim.step()
            store.sim.set("restart", 0)
            store.use(form)
            store.move({"i": in_stream(example)}, 0)
            words = out_of_stream(example, form, store.table)[0]
            assert store.move({"order": [0]}, len(words)) == words
            assert store.errors() == 0
            store.sim.set("forget", 1)
            store.sim.step()
            store.sim.set("forget", 0)
            store.sim.step(2)


def test_a_reset_in_the_middle_leaves_nothing_behind(rng):
    form = ExampleFormat(16, 20, runs=True)
    for cycles in range(1, 40):
        store = Store(rng)
        store.use(form)
        data = encode_example(9, rng.integers(-9, 9, 20), form)
        # More words are wanted than will come.
        with pytest.raises(TimeoutError):
            store.sim.transact({"i": in_stream(data)}, {"o": form.values + 2}, cycles)
        store.sim.reset()
        words = out_of_stream(data, form, store.table)[0]
        assert store.move({"i": in_stream(data)}, len(words)) == words
        assert store.errors() == 0


def test_without_a_format_a_label_comes_alone(rng):
    store = Store(rng)
    assert store.move({"i": [5, 1, 7, 7 | 1 << 8, 6, 0 | 1 << 8]}, 2) == [261, 6]
    assert store.errors() == ExampleError.LONG


def test_the_documented_bytes(rng):
    """`docs/examples.md` spells these out."""
    table = np.arange(PIXELS, dtype=np.int16) * 16
    form = ExampleFormat(8, 20, runs=True)
    values = [0] * 17 + [5, 0, 7]
    data = encode_example(260, values, form)
    assert data.hex(" ") == "04 01 f0 23 05 00 07"
    label, found, errors = decode_example(data, form, table)
    assert (label, errors) == (260, 0)
    assert found.tolist() == [16 * value for value in values]
    assert encode_example(1, [1, 2, 3], ExampleFormat(4, 3)).hex(" ") == "01 00 21 03"
    assert encode_example(1, [1, 0, 1], ExampleFormat(1, 3)).hex(" ") == "01 00 05"
    assert encode_example(1, [-2], ExampleFormat(16, 1)).hex(" ") == "01 00 fe ff"
    assert encode_example(1, [0] * 99, ExampleFormat(4, 99, True)).hex(" ") == "01 00 00"
    assert decode_example(b"\7", form, table)[0] == 7


@pytest.mark.parametrize(
    ("data", "errors"),
    [
        ("01 00 14 01 02 03 00", 0),
        ("01 00 14 01 02", ExampleError.SHORT),
        ("01", ExampleError.SHORT),
        ("01 00 14 01 02 03 00 00", ExampleError.LONG),
        ("01 00 15 01 02 03 00", ExampleError.CODE),
        ("01 00 60", ExampleError.CODE),
        ("01 00 51", ExampleError.CODE),
        ("01 00 51 00", ExampleError.CODE | ExampleError.LONG),
    ],
)
def test_what_is_wrong_is_told(data, errors):
    form = ExampleFormat(8, 5, runs=True)
    assert decode_example(bytes.fromhex(data), form, np.zeros(PIXELS, np.int16)).errors == errors


def test_what_is_no_format_or_example_gets_one_line():
    with pytest.raises(ConfigError, match=r"^bits: expected one of 1, 4, 8, 16, got 2$"):
        ExampleFormat(2, 5)
    with pytest.raises(ConfigError, match=r"^values: expected 1..65535, got 0$"):
        ExampleFormat(8, 0)
    with pytest.raises(ConfigError, match=r"^examples: expected 2..65536, got 1$"):
        ExampleStore(100, 1)
    with pytest.raises(ValueError, match="expected the bytes of an example, got none"):
        decode_example(b"", ExampleFormat(8, 1), np.zeros(PIXELS, np.int16))
