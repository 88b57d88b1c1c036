"""Pulses: the model against the formulas of an update, the gateware against the model."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from strategies import FEW

from ohmgrid.config import Config, FormatConfig
from ohmgrid.doors.checks import ConfigError
from ohmgrid.hdl.periphery.pulses import Planner, TrainMaker
from ohmgrid.model.base.noise import line_keys, op_key, seed_key
from ohmgrid.model.periphery.pulses import (
    chunks,
    column_trains,
    expected_pulses,
    plan_update,
    probabilities,
    row_trains,
)
from ohmgrid.periphery import PULSE_TYPES, PulseConfig
from ohmgrid.registers.edge import PulseRegisters, pulse_registers
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.sim.tables import run_clocked

ONE = 1 << 16
GRANULARITY = 0.001
FORMATS = st.integers(9, 16).flatmap(
    lambda bits: st.builds(
        FormatConfig,
        edge_bits=st.just(bits),
        x_frac=st.integers(8, bits - 1),
        d_frac=st.integers(4, bits - 1),
    )
)
FLAGS = st.booleans()
PULSES = st.builds(
    PulseConfig,
    desired_bl=st.one_of(st.integers(1, 31), st.integers(1, 127)),
    fixed_bl=FLAGS,
    update_management=FLAGS,
    update_bl_management=FLAGS,
)
RATES = st.floats(-4, 2).map(lambda exponent: GRANULARITY * 10**exponent)
PROBABILITIES = st.lists(
    st.one_of(st.sampled_from([0, 1, ONE // 2, ONE - 1, ONE]), st.integers(0, ONE)),
    min_size=1,
    max_size=12,
)
LENGTHS = st.one_of(
    st.sampled_from([0, 1, 31, 32, 62, 63, 100, 124, 127]), st.integers(0, 31), st.integers(0, 127)
)
KEYS = st.integers(0, 2**64 - 1)


def coincidences(p_x: ArrayLike, p_d: ArrayLike, bl: int, pulse_type: str, key: int) -> np.ndarray:
    """Return in how many slots of all chunks each row fires with each column."""
    counts = 0
    for chunk in range(chunks(bl)):
        x = column_trains(np.array(p_x), bl, pulse_type, key, chunk)
        d = row_trains(np.array(p_d), bl, pulse_type, key, chunk)
        counts = counts + np.bitwise_count(d[:, None] & x[None, :]).astype(np.int64)
    return np.array(counts)


# ---- model: how often cells are hit


@pytest.mark.parametrize(
    ("bl", "updates"), [pytest.param(13, 8000, marks=pytest.mark.slow), (100, 2000)]
)
def test_stochastic_coincidences_have_the_right_mean_and_variance(bl, updates, fixed_rng):
    # P = p_x p_d in each of BL slots, independent between slots, lines and updates.
    p_x = np.array([ONE, ONE // 2, 20000, 900])
    p_d = np.array([ONE, 50000, ONE // 3])
    base = seed_key(int(fixed_rng.integers(2**63)))
    counts = np.zeros((updates, len(p_d), len(p_x)))
    for step in range(updates):
        key = op_key(base, Verb.UPDATE, 0, step)
        counts[step] = coincidences(p_x, p_d, bl, "stochastic-compressed", key)
    p = p_d[:, None] * p_x[None, :] / ONE**2
    mean, variance = bl * p, bl * p * (1 - p)
    assert (np.abs(counts.mean(axis=0) - mean) <= 4.5 * np.sqrt(variance / updates)).all()
    spread = variance * np.sqrt((2 + (1 - 6 * p * (1 - p)) / (bl * p * (1 - p) + 1e-9)) / updates)
    assert (np.abs(counts.var(axis=0) - variance) <= 4.5 * spread + 1e-9).all()


@given(st.integers(0, 127), st.integers(0, 4), KEYS, PROBABILITIES)
def test_a_slot_is_hashed_from_its_line_chunk_and_place(bl, chunk, key, probability):
    """Field k mod 4 of the line key with sub 8 c + k div 4, whatever the length of the train."""
    makers = {Purpose.TRAIN_X: column_trains, Purpose.TRAIN_D: row_trains}
    for purpose, make in makers.items():
        trains = make(np.array(probability), bl, "stochastic-compressed", key, chunk)
        for line, train in enumerate(trains):
            fires = 0
            for k in range(min(31, max(0, bl - 31 * chunk))):
                word = int(line_keys(key, purpose, line, 8 * chunk + k // 4))
                fires |= (word >> 16 * (k % 4) & 0xFFFF < probability[line]) << k
            assert train == fires


@given(PROBABILITIES, st.integers(0, 127), st.sampled_from(PULSE_TYPES[1:]))
def test_deterministic_trains_are_counted_through_all_chunks(probability, bl, pulse_type):
    """The first m slots of a row hold f(m) pulses, a column fires in its first rint(BL p) slots."""

    def whole(make) -> list[int]:
        words = [make(np.array(probability), bl, pulse_type, 0, chunk) for chunk in range(5)]
        return [
            sum(int(word[line]) << 31 * chunk for chunk, word in enumerate(words))
            for line in range(len(probability))
        ]

    columns, rows = whole(column_trains), whole(row_trains)
    for p, column, row in zip(probability, columns, rows, strict=True):
        count = round(Fraction(bl * p, ONE))
        assert column == (1 << count) - 1
        for m in range(bl + 1):
            f = Fraction(count * m, bl or 1) if pulse_type == "mean-count" else Fraction(p * m, ONE)
            assert (row & ((1 << m) - 1)).bit_count() == round(f)
        assert row < 1 << bl


@given(PROBABILITIES, PROBABILITIES, st.integers(1, 127))
def test_mean_count_coincidences_are_the_rounded_product(p_x, p_d, bl):
    hits = coincidences(p_x, p_d, bl, "mean-count", 0)
    for i, row in enumerate(p_d):
        for j, column in enumerate(p_x):
            n_d, n_x = (round(Fraction(bl * p, ONE)) for p in (row, column))
            assert hits[i, j] == round(Fraction(n_d * n_x, bl))


@given(PROBABILITIES, PROBABILITIES, st.integers(1, 127))
def test_deterministic_coincidences_are_the_rounded_product(p_x, p_d, bl):
    # aihwkit's rint(BL q_d q_x) with x_res_implicit = 1 / BL: q_x is a whole number of slots.
    hits = coincidences(p_x, p_d, bl, "deterministic-implicit", 0)
    for i, row in enumerate(p_d):
        for j, column in enumerate(p_x):
            q_x = Fraction(round(Fraction(bl * column, ONE)), bl)
            assert hits[i, j] == round(bl * Fraction(row, ONE) * q_x)


# ---- model: management


def registers_of(formats: FormatConfig, pulses: PulseConfig, lr: float) -> PulseRegisters:
    return pulse_registers(Config(formats=formats, pulses=pulses), GRANULARITY, lr)


@given(FORMATS, PULSES, RATES, st.data())
def test_management_is_the_real_formula(formats, pulses, lr, data):
    """Section 3 of docs/physics.md, in floats; k has 16 fraction bits and a mantissa of 18."""
    top = (1 << (formats.edge_bits - 1)) - 1
    x_max, d_max = data.draw(st.integers(1, top)), data.draw(st.integers(1, top))
    registers = registers_of(formats, pulses, lr)
    plan = plan_update(x_max, d_max, pulses, registers, (formats.x_frac, formats.d_frac))

    x, d = x_max / (1 << formats.x_frac), d_max / (1 << formats.d_frac)
    k = lr * x * d / GRANULARITY
    low, high = max(0.0, k * (1 - 2**-18) - 2**-16), k * (1 + 2**-18)
    desired = pulses.desired_bl
    if pulses.update_bl_management:
        assert plan.bl in {min(math.ceil(bound), desired) for bound in (low, high)}
    elif pulses.update_management or pulses.fixed_bl or lr <= GRANULARITY * desired:
        assert plan.bl == desired
    else:
        assert plan.bl == min(max(31, desired), math.ceil(lr / GRANULARITY))
    if plan.bl == 0:
        assert low == 0
        return
    p_x = x_max * plan.x_factor / plan.x_divisor / ONE
    p_d = d_max * plan.d_factor / plan.d_divisor / ONE
    if pulses.managed:
        for bound, slack in ((low, -1), (high, 0)):
            edge = min(1.0, math.sqrt(bound / plan.bl)) + slack * 2**-16
            assert (p_x >= edge * (1 - 1e-9)) if slack else (p_x <= edge * (1 + 1e-9))
        stretch = min(64.0, max(1.0, k / desired))
        assert p_d == pytest.approx(p_x * stretch, rel=2**-15, abs=2**-15)
    else:
        enough = pulses.fixed_bl or lr <= GRANULARITY * desired
        scale = math.sqrt(lr / (GRANULARITY * desired)) if enough else 1.0
        assert p_x == pytest.approx(x * min(64.0, scale), rel=2**-15, abs=x * 2**-16)
        assert p_d == pytest.approx(d * min(64.0, scale), rel=2**-15, abs=d * 2**-16)


@given(PULSES, RATES, st.data())
def test_expected_update_is_the_outer_product(pulses, lr, data):
    """BL p_x p_d granularity = lr x d wherever k is at most the desired bit length."""
    assume(pulses.managed)
    formats = FormatConfig()
    values = np.array([8000, 400, -77]), np.array([-12000, 3000, 11])
    registers = registers_of(formats, pulses, lr)
    x_max, d_max = (int(np.abs(v).max()) for v in values)
    plan = plan_update(x_max, d_max, pulses, registers, (formats.x_frac, formats.d_frac))
    k = lr * (x_max / 4096) * (d_max / 16384) / GRANULARITY
    assume(1 <= k <= pulses.desired_bl)
    p_x = probabilities(values[0], plan.x_factor, plan.x_divisor) / ONE
    p_d = probabilities(values[1], plan.d_factor, plan.d_divisor) / ONE
    update = plan.bl * p_d[:, None] * p_x[None, :] * GRANULARITY
    real = lr * np.abs(values[1][:, None] / 16384 * values[0][None, :] / 4096)
    # Half an LSB of either probability, one of either factor, and what k lacks.
    slack = plan.bl * GRANULARITY * (p_x[None, :] + p_d[:, None] + 2**-17) * 2**-17
    lacking = 2 / plan.x_factor + 2**-15
    assert (np.abs(update - real) <= real * lacking + slack).all()


@pytest.mark.parametrize("maxima", [(0, 5), (5, 0), (0, 0)])
def test_a_vector_of_zeros_makes_no_update(maxima):
    registers = registers_of(FormatConfig(), PulseConfig(), 0.01)
    x_max, d_max = maxima
    plan = plan_update(x_max, d_max, PulseConfig(), registers, (12, 14))
    assert plan == (0, 0, 1, 0, 1)


# ---- gateware


@FEW
@given(FORMATS, st.data())
def test_planner(formats, data):
    planner = Planner(formats.edge_bits)
    top = (1 << (formats.edge_bits - 1)) - 1
    maxima = st.one_of(st.sampled_from([0, 1, top]), st.integers(0, top))
    cases = data.draw(st.lists(st.tuples(PULSES, RATES, maxima, maxima), min_size=1, max_size=4))

    async def testbench(ctx):
        for pulses, lr, x_max, d_max in cases:
            registers = registers_of(formats, pulses, lr)
            inputs = {
                "x_max": x_max,
                "d_max": d_max,
                "x_one": 1 << formats.x_frac,
                "d_one": 1 << formats.d_frac,
                "managed": pulses.managed,
                "bl_managed": pulses.update_bl_management,
                "desired_bl": pulses.desired_bl,
                "rate": registers.rate,
                "rate_shift": registers.rate_shift,
                "fixed_bl": registers.bl,
                "factor": registers.factor,
                "start": 1,
            }
            for name, value in inputs.items():
                ctx.set(getattr(planner, name), int(value))
            zero = 0 in (x_max, d_max)
            done = []
            for _ in range(planner.cycles(registers.rate_shift, zero, pulses.managed)):
                await ctx.tick()
                ctx.set(planner.start, 0)
                done.append(ctx.get(planner.done))
            assert done == [0] * (len(done) - 1) + [1]
            fracs = formats.x_frac, formats.d_frac
            plan = plan_update(x_max, d_max, pulses, registers, fracs)
            assert {
                name: ctx.get(getattr(planner, name)) for name in plan._fields
            } == plan._asdict()
            below = not zero and expected_pulses(x_max, d_max, registers) < ONE
            assert ctx.get(planner.below) == below

    run_clocked(planner, testbench)


@FEW
@given(
    st.sampled_from(["column", "row"]),
    st.integers(1, 8),
    st.sampled_from(range(3)),
    LENGTHS,
    st.integers(0, 4),
    KEYS,
    PROBABILITIES,
    st.lists(st.integers(0, 3), max_size=12),
)
def test_train_maker(side, groups, mode, bl, chunk, key, column, waits):
    # Stochastic trains are the same where there are no others.
    maker, row = TrainMaker(groups, bool(mode or key % 2)), side == "row"
    trains, cycles = [], []

    async def feed(ctx):
        ctx.set(maker.key, key)
        ctx.set(maker.row, row)
        ctx.set(maker.bl, bl)
        ctx.set(maker.chunk, chunk)
        ctx.set(maker.mode, mode)
        await ctx.tick().repeat(2)
        for index, probability in enumerate(column):
            for _ in range(waits[index] if index < len(waits) else 0):
                await ctx.tick()
            ctx.set(maker.i.payload, {"index": 1000 + index, "probability": probability})
            ctx.set(maker.i.valid, 1)
            _, _, ready = await ctx.tick().sample(maker.i.ready)
            while not ready:
                _, _, ready = await ctx.tick().sample(maker.i.ready)
            ctx.set(maker.i.valid, 0)

    async def watch(ctx):
        cycle, begun = 0, None
        while len(trains) < len(column):
            taken = ctx.get(maker.i.valid) and ctx.get(maker.i.ready)
            begun = cycle if begun is None and taken else begun
            if ctx.get(maker.o.valid):
                assert ctx.get(maker.o.payload.index) == 1000 + len(trains)
                trains.append(ctx.get(maker.o.payload.word))
                cycles.append(cycle - (begun or 0))
            cycle += 1
            await ctx.tick()

    run_clocked(maker, feed, watch)
    make = row_trains if row else column_trains
    indices = np.zeros(1000 + len(column), np.int64)
    indices[1000:] = column
    assert trains == make(indices, bl, PULSE_TYPES[mode], key, chunk)[1000:].tolist()
    if not any(waits[1 : len(column)]):
        assert cycles[-1] == maker.cycles(column, bl, mode, row, chunk)


def test_bad_parameters_say_what_was_expected():
    with pytest.raises(ConfigError, match=r"groups: expected 1..8, got 9"):
        TrainMaker(9)
    with pytest.raises(ConfigError, match=r"edge_bits: expected 2..19, got 20"):
        Planner(20)
