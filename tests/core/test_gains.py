"""Gains of layers: a digital factor between a converter and what follows, on every engine."""

import numpy as np
import pytest
from tile_cases import BUILDS

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import ENGINES, make_core
from ohmgrid.model.core.core import Core
from ohmgrid.net import Net, state_sha256
from ohmgrid.periphery import ConverterConfig

NET = Net((6, 5, 3))
PERFECT = ConverterConfig(perfect=True)


def examples(rng: np.random.Generator, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(-4096, 4097, (count, 6)), rng.integers(0, 3, count)


def trained_with(engine: str, gains: list[float], data: tuple[np.ndarray, np.ndarray]):
    """Return hits, words and the state of a net that learned with gains, and was tested."""
    core = make_core(engine, Config(build=BUILDS[4]), NET)
    try:
        core.initialise()
        core.set_gains(gains)
        answers = core.answers(*data, 0.1)
        return [*map(tuple, answers)], core.count_hits(*data), state_sha256(core.state())
    finally:
        core.close()


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "model"])
def test_engines_agree_with_gains(engine, rng):
    data = examples(rng)
    golden = trained_with("model", [1.7, 0.6], data)
    assert trained_with(engine, [1.7, 0.6], data) == golden
    assert trained_with(engine, [1.0, 1.0], data) != golden


def test_a_gain_multiplies_what_a_layer_hands_on(rng):
    core = Core(Config(forward=PERFECT, backward=PERFECT), Net((6, 5, 3), "relu"))
    core.initialise()
    states = core.state()
    pixels = rng.integers(0, 4097, 6)

    def activations(gains):
        core.load(states)
        core.set_gains(gains)
        seen = core.sense(pixels, 0, 0.1)
        return next(s.values for s in seen if (s.step, s.layer, s.what) == FIRST)

    FIRST = ("forward", 0, "activation")
    once, thrice = activations([1.0, 1.0]), activations([3.0, 1.0])
    assert once.any()
    # Each rounds by itself, and the mantissa of a scale has 18 bits.
    assert np.abs(thrice - 3 * once).max() <= 2
    assert np.array_equal(activations([1.0, 3.0]), once)


@pytest.mark.parametrize("engine", ["model", "compiled"])
def test_gains_replace_each_other(engine, rng):
    core, data = make_core(engine, Config(), NET), examples(rng)
    core.initialise()
    states = core.state()

    def words():
        core.load(states)
        return [answer.word for answer in core.answers(*data, 0.1)]

    plain = words()
    core.set_gains([2.0, 2.0])
    assert words() != plain
    core.set_gains([1.0, 1.0])
    assert words() == plain


def test_wrong_gains_are_refused_and_change_nothing():
    core = make_core("compiled", Config(), NET)
    before = list(core.scales)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        core.set_gains([1.0])
    for wrong in (0.0, -1.0, float("nan"), float("inf"), 1e9):
        with pytest.raises(ConfigError, match="forward scale: expected a factor"):
            core.set_gains([1.0, wrong])
    assert core.scales == before  # type: ignore[attr-defined]
