"""Noise: the model against a plain reading of the equations, the gateware against the model."""

from math import erf, sqrt

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from ohmgrid.hdl.base import noise as hdl
from ohmgrid.model.base import noise as model
from ohmgrid.registers import noise as streams
from ohmgrid.registers.noise import Purpose, Verb

KEYS = st.integers(0, 2**64 - 1)
WORDS = st.integers(0, 2**32 - 1)


def permute(state: int, constants: tuple[int, ...], rotations: tuple[int, ...]) -> int:
    """Read the equations bit by bit: constant, S-box on each column, rotation of each plane."""
    width = 16 if rotations is streams.LINE_ROTATIONS else 8
    for constant in constants:
        state ^= constant
        result = 0
        for column in range(width):
            index = sum((state >> width * k + column & 1) << k for k in range(4))
            for k in range(4):
                place = width * k + (column + rotations[k]) % width
                result |= (streams.SBOX[index] >> k & 1) << place
        state = result
    return state


def rotate64(value: int, turn: int) -> int:
    return (value << turn | value >> 64 - turn) % 2**64


def spread(index: int, sub: int) -> int:
    """Read the equation of the line address, one copy at a time."""
    total = 0
    for value, turns in ((index, streams.LINE_INDEX_TURNS), (sub, streams.LINE_SUB_TURNS)):
        for turn in turns:
            total ^= rotate64(value, turn)
    return total


def simulate(component, process):
    """Run `process(ctx)` against a clocked component."""
    sim = Simulator(component)
    sim.add_clock(1e-6)
    sim.add_testbench(process)
    sim.run()


# ---- constants


def test_the_sbox_is_a_permutation_and_constants_differ():
    assert sorted(streams.SBOX) == list(range(16))
    assert len(set(streams.RC64)) == streams.SEED_ROUNDS
    assert len(set(streams.RC32)) == streams.CELL_ROUNDS
    # The recipe, by hand: the first words of SHA-512's and SHA-256's initial states.
    assert streams.RC64[0] == 0x6A09E667F3BCC908
    assert streams.RC32[1] == 0xBB67AE85
    assert streams.SEED_TWEAK == 0x9E3779B97F4A7C15


def test_every_line_address_has_its_own_key():
    """The address is linear in its 32 bits and of full rank, and the rest is a permutation."""
    basis: list[int] = []
    for bit in range(32):
        word = 1 << bit
        image = spread(word & 0xFFFF, word >> 16 & 0xFF) ^ (word >> 24) << 56
        for known in basis:
            image = min(image, image ^ known)
        assert image
        basis.append(image)


def test_the_tail_is_inverted_bits():
    largest = max(streams.GAUSS_FINE)
    assert largest & streams.GAUSS_TAIL == 0
    assert (1 - largest) ^ streams.GAUSS_TAIL == 1 - largest - streams.GAUSS_TAIL
    assert streams.GAUSS_FINE.index(largest) == 7
    assert streams.GAUSS_COARSE.index(max(streams.GAUSS_COARSE)) == 31


def test_gaussian_distribution_over_all_outcomes():
    z = model.gaussian(np.arange(1024)).astype(np.int64)
    scaled = z / streams.GAUSS_SIGMA
    assert np.array_equal(np.sort(z), np.sort(-z))
    assert z.sum() == 0
    assert abs(np.mean(scaled**2) - 1) < 1e-3
    assert abs(np.mean(scaled**4) - 3) < 1e-3
    assert abs(np.mean(scaled**6) / 15 - 1) < 0.04
    assert 3.7 * streams.GAUSS_SIGMA <= z.max() <= 255
    edges = np.arange(-256, 256)
    normal = [(1 + erf((edge + 0.5) / streams.GAUSS_SIGMA / sqrt(2))) / 2 for edge in edges]
    cdf = np.searchsorted(np.sort(z), edges, side="right") / 1024
    assert np.abs(cdf - normal).max() < 3e-3


# ---- model


@given(KEYS, st.integers(1, 12))
def test_permute64_is_the_equation(state, rounds):
    expected = permute(state, streams.RC64[:rounds], streams.LINE_ROTATIONS)
    assert int(model.permute64(np.array([state], dtype=np.uint64), rounds)[0]) == expected


@given(WORDS, WORDS)
def test_cell_words_are_the_equation(row, col):
    expected = permute((row + col) % 2**32, streams.RC32, streams.CELL_ROTATIONS)
    word = model.cell_words(np.array([[row]], np.uint32), np.array([[col]], np.uint32))
    assert word.tolist() == [[expected]]


@given(KEYS, st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**48 - 1))
def test_keys_are_the_equation(seed, verb, tile, step):
    def p64(state, rounds):
        return permute(state, streams.RC64[:rounds], streams.LINE_ROTATIONS)

    base = p64(seed ^ streams.SEED_TWEAK, streams.SEED_ROUNDS)
    key = p64(base ^ (verb | tile << 8 | step << 16), streams.SEED_ROUNDS)
    assert model.seed_key(seed) == base
    assert model.op_key(base, verb, tile, step) == key
    index, sub = np.array([[0], [65535]]), np.array([0, 1, 255])
    expected = [
        [p64(key ^ spread(n, s) ^ verb << 56, streams.LINE_ROUNDS) for s in sub.tolist()]
        for n in index.ravel().tolist()
    ]
    assert model.line_keys(key, verb, index, sub).tolist() == expected


def test_bits_of_one_address():
    """Frozen: a change here changes every result that anybody ever published."""
    key = model.op_key(model.seed_key(1), Verb.UPDATE, 2, 3)
    rows = model.line_keys(key, Purpose.ROW, np.arange(2))
    cols = model.line_keys(key, Purpose.COLUMN, np.arange(2))
    words = model.cell_words(rows.astype(np.uint32)[:, None], cols.astype(np.uint32)[None, :])
    assert key == 0x8EF38AB6017D7E2A
    assert words.ravel().tolist() == [0x22D6FC18, 0xA325170A, 0x42172700, 0xBC4ADF5A]


def test_shapes_order_and_emptiness(rng):
    words = rng.integers(0, 2**32, (3, 4, 5), dtype=np.uint32)
    assert np.array_equal(model.mix32(words), model.mix32(words.ravel()).reshape(3, 4, 5))
    assert np.array_equal(model.mix32(words.T), model.mix32(words).T)
    assert len(np.unique(model.mix32(np.arange(2**20, dtype=np.uint32)))) == 2**20
    assert model.line_keys(1, Purpose.ROW, np.arange(0)).shape == (0,)
    assert model.cell_words(words[0, :, :1], words[0, :0, 0]).shape == (4, 0)


@given(KEYS, st.integers(0, 65536))
def test_fields_and_bernoulli(key, threshold):
    fields = model.fields16(np.array([key], dtype=np.uint64))
    assert fields.tolist() == [[key >> 16 * s & 0xFFFF for s in range(4)]]
    assert model.bernoulli(fields, threshold).tolist() == [[f < threshold for f in fields[0]]]


def test_bernoulli_never_and_always():
    field = np.array([0, 65535])
    assert not model.bernoulli(field, 0).any()
    assert model.bernoulli(field, 65536).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: model.seed_key(-1), "seed: expected 0..18446744073709551615, got -1"),
        (lambda: model.op_key(0, 256, 0, 0), "verb: expected 0..255, got 256"),
        (lambda: model.op_key(0, 0, 0, 2**48), "step: expected 0..281474976710655, got"),
        (lambda: model.line_keys(0, 1, [0, 65536]), "index: expected 0..65535, got 65536"),
        (lambda: model.line_keys(0, 1, 0, -1), "sub: expected 0..255, got -1"),
        (lambda: model.permute64(0, 13), "rounds: expected 1..12, got 13"),
        (lambda: model.gaussian([0, 1024]), "bits: expected 0..1023, got 1024"),
        (lambda: hdl.LineKey(0), "rounds_per_stage: expected 1..8, got 0"),
        (lambda: hdl.CellMix(rounds_per_stage=4), "rounds_per_stage: expected 1..3, got 4"),
        (lambda: hdl.gaussian(Signal(9)), "bits: expected 10 bits, got 9"),
        (lambda: hdl.sbox_layer(Signal(9)), "expected four planes of equal width, got 9 bits"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- gateware


class Gaussian(wiring.Component):
    bits: In(streams.GAUSS_BITS)
    z: Out(signed(9))

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.z.eq(hdl.gaussian(self.bits))
        return m


def test_gateware_gaussian_over_all_inputs():
    dut = Gaussian()
    seen = []

    async def process(ctx):
        for bits in range(1024):
            ctx.set(dut.bits, bits)
            seen.append(ctx.get(dut.z))

    sim = Simulator(dut)
    sim.add_testbench(process)
    sim.run()
    assert seen == model.gaussian(np.arange(1024)).tolist()


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=20), st.booleans(), st.data())
def test_gateware_cell_mix(keys, register_sum, data):
    rounds_per_stage = data.draw(st.integers(1, streams.CELL_ROUNDS), label="rounds_per_stage")
    dut = hdl.CellMix(register_sum, rounds_per_stage)
    seen = []

    async def process(ctx):
        for row, col in keys + [(0, 0)] * dut.latency:
            ctx.set(dut.row_key, row)
            ctx.set(dut.col_key, col)
            await ctx.tick()
            seen.append(ctx.get(dut.o))

    simulate(dut, process)
    rows, cols = np.array(keys, dtype=np.uint32).T
    assert seen[dut.latency - 1 : -1] == model.cell_words(rows, cols).tolist()


ADDRESSES = st.tuples(
    st.booleans(), st.integers(0, 65535), st.integers(0, 255), st.integers(0, 255)
)


@settings(max_examples=10)  # Amaranth takes a second to compile eight rounds.
@given(KEYS, st.lists(ADDRESSES, min_size=1, max_size=20), st.integers(1, streams.LINE_ROUNDS))
def test_gateware_line_key(key, addresses, rounds_per_stage):
    dut = hdl.LineKey(rounds_per_stage)
    seen = []

    async def process(ctx):
        ctx.set(dut.key, key)
        for valid, index, sub, purpose in addresses + [(False, 0, 0, 0)] * dut.latency:
            ctx.set(dut.i_valid, valid)
            ctx.set(dut.index, index)
            ctx.set(dut.sub, sub)
            ctx.set(dut.purpose, purpose)
            await ctx.tick()
            seen.append((bool(ctx.get(dut.o_valid)), ctx.get(dut.o)))

    simulate(dut, process)
    expected = [
        (valid, int(model.line_keys(key, purpose, index, sub)))
        for valid, index, sub, purpose in addresses
    ]
    assert seen[dut.latency - 1 : -1] == expected


OPERATIONS = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**48 - 1))


@given(st.lists(st.tuples(KEYS, st.lists(OPERATIONS, max_size=2)), min_size=1, max_size=2))
def test_gateware_key_schedule(seeds):
    dut = hdl.KeySchedule()

    async def finished(ctx):
        """Disturb the schedule while it is busy; every cycle counted, the strobe's included."""
        ctx.set(dut.load, 0)
        ctx.set(dut.start, 0)
        waited = 1
        while not ctx.get(dut.done):
            assert ctx.get(dut.busy)
            ctx.set(dut.start, 1)
            ctx.set(dut.load, 1)
            ctx.set(dut.seed, ~ctx.get(dut.seed) & 2**64 - 1)
            ctx.set(dut.step, 5)
            await ctx.tick()
            ctx.set(dut.load, 0)
            ctx.set(dut.start, 0)
            waited += 1
        assert not ctx.get(dut.busy)
        assert waited == dut.cycles

    async def process(ctx):
        for seed, operations in seeds:
            base = model.seed_key(seed)
            ctx.set(dut.seed, seed)
            ctx.set(dut.load, 1)
            # `load` goes first where both strobes come.
            ctx.set(dut.start, 1)
            await ctx.tick()
            await finished(ctx)
            assert ctx.get(dut.key) == base
            for verb, tile, step in operations:
                ctx.set(dut.verb, verb)
                ctx.set(dut.tile, tile)
                ctx.set(dut.step, step)
                ctx.set(dut.start, 1)
                await ctx.tick()
                await finished(ctx)
                assert ctx.get(dut.key) == model.op_key(base, verb, tile, step)
                await ctx.tick()
                assert not ctx.get(dut.done)
                assert ctx.get(dut.key) == model.op_key(base, verb, tile, step)

    simulate(dut, process)
