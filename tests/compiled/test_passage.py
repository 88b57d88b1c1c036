"""Passages through the compiled core equal the golden model's, with floats at both ends."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import devices, transfers

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_core
from ohmgrid.model.periphery.ends import FAR, NEAR, edge_of, exponent_of
from ohmgrid.net import Net, state_sha256
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.layers import ACTIVATIONS


def both(config: Config, net: Net):
    cores = [make_core(engine, config, net) for engine in ("model", "compiled")]
    for core in cores:
        core.initialise()
    return cores


@settings(max_examples=6)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    activation=st.sampled_from(ACTIVATIONS),
    device=st.one_of(devices(), transfers()),
    perfect=st.booleans(),
    managed=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_passage_gives_the_same_bits(sizes, activation, device, perfect, managed, bias, seed):
    rng = np.random.default_rng(seed)
    sides = ConverterConfig(perfect=perfect, noise_management="abs-max" if managed else "none")
    config = Config(seed=seed, device=device, forward=sides, backward=sides)
    golden, compiled = both(config, Net(tuple(sizes), activation))
    lr = 30 * device.unit.granularity
    try:
        compiled.train(np.zeros((0, sizes[0]), int), np.zeros(0, int), lr)
    except ConfigError:  # what is read of a fast array would be beyond every buffer
        assume(False)
    frozen = rng.random(len(sizes) - 1) < 0.2
    frozen[0] = False
    rates = [None if off else lr for off in frozen]
    for far in (1.0, 100.0, 1e-3):
        x = rng.normal(0, far, (5, sizes[0] + (not bias)))
        d = rng.normal(0, far / 10, (5, sizes[-1]))
        ways = [core.passage(x) for core in (golden, compiled)]
        assert ways[0].y.tobytes() == ways[1].y.tobytes()
        back = [way.backward(d, to_inputs=far == 1.0) for way in ways]
        assert back[0].tobytes() == back[1].tobytes()
        for way in ways:
            way.update(rates)
        assert (ways[0].exponent, ways[0].error_exponent) == (
            ways[1].exponent,
            ways[1].error_exponent,
        )
    assert golden.error_exponent == compiled.error_exponent
    assert state_sha256(golden.state()) == state_sha256(compiled.state())


def test_a_passage_trains_as_a_core_does(rng):
    """With a core's own errors it is the core's training, bit for bit."""
    config, net = Config(batch=3), Net((6, 5, 3))
    trained, sent = (make_core("compiled", config, net) for _ in range(2))
    for core in (trained, sent):
        core.initialise()
    pixels, labels = rng.integers(0, 4097, (9, 6)), rng.integers(0, 3, 9)
    for first in (0, 3, 6):
        part = slice(first, first + 3)
        seen = make_core("model", config, net)
        seen.load(sent.state())
        errors = np.zeros((3, 3))
        way = sent.passage(pixels[part] / 4096)
        for b, label in enumerate(labels[part]):
            [error] = [
                one.values
                for one in seen.sense(pixels[first + b], int(label), 0.1)
                if one.step == "loss" and one.what == "error"
            ]
            errors[b] = error / (1 << config.formats.d_frac)
        way.exact = True
        way.backward(errors, to_inputs=False)
        way.update([0.1, 0.1])
        trained.train(pixels[part], labels[part], 0.1, batch=3)
    assert state_sha256(trained.state()) == state_sha256(sent.state())


@given(st.floats(0.0, 1e6), st.integers(4, 15), st.integers(9, 16))
def test_largest_value_neither_clips_nor_drowns(largest, frac, bits):
    top = (1 << (bits - 1)) - 1
    exponent = exponent_of(largest, frac, top)
    edge = edge_of(np.array(largest), math.ldexp(1.0, frac + exponent), top)
    assert exponent != 0 or edge == min(np.rint(math.ldexp(largest, frac)), top)
    if math.ldexp(largest, frac + FAR) >= top:
        assert top / (1 << NEAR) - 0.5 <= edge <= top


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.zeros((2, 5)), r"x: expected shape \(examples, 3 or 4\), got \(2, 5\)"),
        (np.full((1, 3), np.nan), "x: expected finite numbers, got NaN or infinity"),
    ],
)
def test_what_does_not_fit_is_refused(x, text):
    core = make_core("model", Config(), Net((3, 2)))
    with pytest.raises(ValueError, match=text):
        core.passage(x)


def test_errors_and_rates_that_do_not_fit_are_refused():
    core = make_core("model", Config(), Net((3, 2)))
    way = core.passage(np.ones((2, 3)))
    with pytest.raises(ValueError, match="d: expected 2 examples, got 1"):
        way.backward(np.zeros((1, 2)))
    way.backward(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="rates: expected one for each of 1 layers"):
        way.update([None])
