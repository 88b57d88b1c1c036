"""The order of work: passes of bound management, scaling of inputs, slots of an update."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from ohmgrid.config import Config
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.core.operations import multiply, pulse_slots, update_trains
from ohmgrid.model.core.tile import Tile
from ohmgrid.model.periphery.converters import dac
from ohmgrid.model.periphery.lines import side_trains
from ohmgrid.model.periphery.outputs import convert
from ohmgrid.model.periphery.pulses import plan_update
from ohmgrid.periphery import PULSE_TYPES, ConverterConfig, PulseConfig
from ohmgrid.registers.edge import converter_registers, pulse_registers
from ohmgrid.registers.noise import Purpose, Verb
from ohmgrid.registers.readout import VOLTAGE_FRAC
from ohmgrid.tile import TileState

LSB = 2.0**-17
FRAC = 12
TOP = (1 << 15) - 1
SEEDS = st.integers(0, 2**32 - 1)
NOISY = ConverterConfig(inp_noise=0.1, out_noise=0.0)
KEYS = st.integers(0, 2**64 - 1)


def problem(seed: int, rows: int = 4, cols: int = 5) -> tuple[np.ndarray, np.ndarray]:
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-(1 << 17) + 1, 1 << 17, (rows, cols), dtype=np.int32)
    return matrix, rng.integers(-TOP, TOP + 1, cols)


def run(matrix, values, io, key=1):
    return multiply(matrix, values, io, FRAC, converter_registers(io, LSB), key)


@given(SEEDS, KEYS, st.integers(1, 8), st.floats(0.05, 8.0))
def test_bound_management_stops_at_the_first_pass_that_fits(seed, key, max_passes, bound):
    matrix, values = problem(seed)
    io = ConverterConfig(
        out_bound=bound,
        out_noise=0.01,
        bound_management="iterative",
        max_passes=max_passes,
    )
    registers = converter_registers(io, LSB)
    alpha = int(np.abs(values).max())
    assume(alpha)
    tried = []
    for halvings in range(max_passes):
        sums = matrix.astype(np.int64) @ dac(values, alpha, halvings, io.dac_half)
        tried.append(convert(sums, key, halvings, registers, io.adc_half))
        if tried[-1][1] == 0:
            break
    result, passes, saturated = run(matrix, values, io, key)
    codes, clipped = tried[-1]
    assert (passes, saturated) == (len(tried), clipped)
    assert all(clipped for _, clipped in tried[:-1])
    # A pass at half the input counts double.
    assert_array_equal(result, codes * alpha << (passes - 1))


@given(SEEDS)
def test_without_bound_management_there_is_one_pass(seed):
    matrix, values = problem(seed)
    assume(values.any())
    io = ConverterConfig(out_bound=0.01, out_noise=0.0)
    result, passes, saturated = run(matrix, values, io)
    assert passes == 1
    alpha = np.abs(values).max()
    assert saturated == np.count_nonzero(np.abs(result) == io.adc_half * alpha)


@given(SEEDS, st.integers(0, 7))
def test_noise_management_does_not_see_the_size_of_the_input(seed, shift):
    matrix, values = problem(seed)
    values >>= 8
    io = ConverterConfig(noise_management="abs-max")
    small, _, _ = run(matrix, values, io)
    large, _, _ = run(matrix, values << shift, io)
    assert_array_equal(large, small << shift)


@given(SEEDS)
def test_without_noise_management_one_is_full_scale(seed):
    matrix, values = problem(seed)
    io = ConverterConfig(noise_management="none", out_noise=0.0)
    inside, _, _ = run(matrix, np.clip(values, -(1 << FRAC), 1 << FRAC), io)
    beyond, _, _ = run(matrix, values, io)
    # The DAC clips at 1.0, and a result is codes times 1.0.
    assert_array_equal(beyond, inside)
    assert not (beyond % (1 << FRAC)).any()


@pytest.mark.parametrize("noise_management", ["abs-max", "none"])
@pytest.mark.parametrize("out_noise", [0.0, 2.0])
def test_zeros_in_zeros_out(noise_management, out_noise, rng):
    matrix, values = problem(int(rng.integers(2**32)), rows=64)
    io = ConverterConfig(
        noise_management=noise_management, out_noise=out_noise, bound_management="iterative"
    )
    result, passes, saturated = run(matrix, np.zeros_like(values), io)
    assert (passes, saturated) == (1, 0)
    # There is nothing to scale with the largest magnitude 0, so not even noise comes out.
    assert result.any() == (out_noise > 0 and noise_management == "none")


def test_zeros_are_not_skipped_where_the_input_is_noisy():
    """Forward; backward, a vector of zeros gives zeros (docs/physics.md, section 2, step 1)."""
    tile = Tile(Config(backward=NOISY, forward=NOISY), 8, 5)
    tile.load(TileState(np.full((8, 5), 1 << 15, np.int32), (0, 0, 0)))
    assert tile.forward(np.zeros(5, np.int64)).any()
    assert not tile.backward(np.zeros(8, np.int64)).any()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ()),
        ({"w_noise": 0.1}, ()),
        ({"w_noise_type": "pcm-read"}, ()),
        ({"out_noise_std": 0.1, "out_noise": 0.0}, ()),
        ({"w_noise": 0.1, "w_noise_type": "pcm-read", "ir_drop": 1.0}, ("ir_drop", "w_noise")),
        ({"out_noise_std": 0.1, "inp_sto_round": True}, ("inp_sto_round", "out_noise_std")),
    ],
)
def test_physics_names_what_is_on(changes, names):
    assert ConverterConfig(**changes).physics == names


@given(SEEDS, st.sampled_from(PULSE_TYPES), st.booleans(), st.sampled_from([1e-6, 1e-3, 0.03, 1.0]))
def test_slots_of_a_serial_device_add_up_to_the_whole_trains(seed, pulse_type, managed, lr):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    x, d = rng.integers(-TOP, TOP + 1, 7), rng.integers(-TOP, TOP + 1, 3) >> 4
    assume(x.any() and d.any())
    config = Config(
        pulses=PulseConfig(
            pulse_type=pulse_type,
            desired_bl=int(rng.integers(1, 128)),
            update_management=managed,
            update_bl_management=managed,
        )
    )
    formats = config.formats
    registers = pulse_registers(config, 0.001, lr)
    key = op_key(seed_key(seed), Verb.UPDATE, 0, 5)
    plan = plan_update(
        int(np.abs(x).max()),
        int(np.abs(d).max()),
        config.pulses,
        registers,
        (formats.x_frac, formats.d_frac),
    )
    trains = update_trains(x, d, config, registers, key)
    assert trains.plan == plan
    whole, slots = (list(pulse_slots(trains, serial)) for serial in (False, True))
    assert [chunk for chunk, _, _ in whole] == list(range(-(-plan.bl // 31)))
    assert [slot for slot, _, _ in slots] == list(range(plan.bl))
    pulses = np.zeros((len(d), len(x)), np.int64)
    for chunk, rows, columns in whole:
        assert_array_equal(rows, side_trains(d, Purpose.ROW, plan, pulse_type, key, chunk))
        assert_array_equal(columns, side_trains(x, Purpose.COLUMN, plan, pulse_type, key, chunk))
        hits = rows[:, None] & columns
        own = slots[31 * chunk : 31 * (chunk + 1)]
        assert_array_equal(sum(r[:, None] & c for _, r, c in own), hits)
        assert all((r & ~(1 << slot % 31)).max() == 0 for slot, r, _ in own)
        pulses += np.bitwise_count(hits)
    down = (x < 0)[None, :] == (d < 0)[:, None]
    assert trains.counts[:2] == (pulses[~down].sum(), pulses[down].sum())


@pytest.mark.parametrize("serial", [False, True])
def test_zeros_make_no_slots(serial):
    config = Config()
    registers = pulse_registers(config, 0.001, 0.01)
    zeros, ones = np.zeros(3, np.int64), np.ones(3, np.int64)
    for x, d in ((zeros, ones), (ones, zeros), (zeros, zeros)):
        trains = update_trains(x, d, config, registers, 1)
        assert list(pulse_slots(trains, serial)) == []
        assert trains.counts == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("lr", "managed", "below", "clipped"),
    [
        (0.0009, True, 1, 0),
        (0.0011, True, 0, 0),
        (0.0309, True, 0, 0),
        (0.0312, True, 0, 1),
        (0.0309, False, 0, 0),
        (0.0312, False, 0, 1),
    ],
)
def test_an_update_below_a_pulse_or_beyond_a_train_is_counted(lr, managed, below, clipped):
    """The largest pair, 1.0 each, asks for lr / 0.001 pulses; a train has 31."""
    pulses = PulseConfig(update_management=managed, update_bl_management=managed)
    config = Config(pulses=pulses)
    registers = pulse_registers(config, 0.001, lr)
    x, d = np.array([0, 1 << 12, -(1 << 11)]), np.array([1 << 14, 0])
    counts = update_trains(x, d, config, registers, 1).counts
    assert counts[2:] == (1, below, clipped)


@given(SEEDS, st.booleans(), st.integers(1, 9), st.integers(1, 9))
def test_perfect_converters_give_exact_sums(seed, paired, inputs, outputs):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-(2**17), 2**17, (outputs, inputs)).astype(np.int32)
    values = rng.integers(-TOP, TOP + 1, inputs)
    io = ConverterConfig(perfect=True, out_noise=0.5, inp_noise=0.1, bound_management="iterative")
    assert io.physics == ()
    registers = converter_registers(io, 2.0**-17)
    found, passes, saturated = multiply(matrix, values, io, 12, registers, key=1)
    exact = [sum(int(w) * int(v) for w, v in zip(row, values, strict=True)) for row in matrix]
    assert found.tolist() == [value >> VOLTAGE_FRAC for value in exact]
    assert (passes, saturated) == (1, 0)
