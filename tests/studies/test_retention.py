"""A trained net on phase-change memory: what it must come to, and what a seed decides."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ohmgrid.config import Config
from ohmgrid.devices.presets import preset
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_core
from ohmgrid.net import Net
from ohmgrid.periphery import ConverterConfig
from ohmgrid.studies.phase_change import MODELS, Curve
from ohmgrid.studies.retention import (
    Question,
    Trained,
    gains_of,
    holding_config,
    mean_and_error,
    measure,
    read_after,
)
from ohmgrid.studies.times import parse_after, show_after
from ohmgrid.training.data import load_data

HOUR, YEAR = 3600, 365 * 86400
NET = Net((64, 12, 10))
QUIET = replace(MODELS["pcm"], program_scale=0.0, drift_scale=0.0, read_scale=0.0)
UNIFORM = replace(QUIET, drift_scale=1.0, drift_mean=Curve(0, 0.06, 0.06, 0.06))
UNIFORM = replace(UNIFORM, drift_std=Curve(0, 0, 0, 0))
PERFECT = Config(forward=ConverterConfig(perfect=True))


@pytest.fixture(scope="module")
def trained() -> Trained:
    """A net that has learned digits for four epochs."""
    data = load_data("digits", 12, 16)
    core = make_core("compiled", Config(device=preset("gokmen-vlasov")), NET)
    core.initialise()
    for _ in range(4):
        core.train(data.train_x, data.train_labels, 0.1)
    weights = [
        state.weights * tile.lsb for state, tile in zip(core.state(), core.tiles, strict=True)
    ]
    return Trained(weights, [0, 0], data.test_x, data.test_labels)


def retained(config: Config, question: Question, trained: Trained, engine: str = "compiled"):
    core = make_core(engine, holding_config(config, trained.weights), NET)
    return measure(core, question, trained)


def test_without_noise_and_drift_nothing_changes(trained):
    found = retained(Config(), Question(QUIET, (0, HOUR, YEAR), repeats=2), trained)
    assert found.exact > 0.85
    assert found.clipped == 0
    for row in found.rows:
        # The second time, converters draw other noise.
        assert row.plain[0] == row.compensated[0] == found.exact
        assert row.plain == row.compensated == found.rows[0].plain
        assert row.gains == (1.0, 1.0)


def test_compensation_takes_a_uniform_drift_back(trained):
    found = retained(PERFECT, Question(UNIFORM, (0, YEAR), repeats=1), trained)
    first, late = found.rows
    factor = ((YEAR + 20) / 20) ** 0.06
    assert late.gains == pytest.approx((factor, factor), rel=1e-9)
    assert late.compensated == first.plain == (found.exact,)
    assert late.plain != first.plain
    # What a converter adds does not fade: some is left.
    noisy = retained(Config(), Question(UNIFORM, (0, YEAR), repeats=1), trained)
    assert noisy.rows[1].compensated[0] == pytest.approx(noisy.exact, abs=0.03)


def test_the_seed_decides_everything(trained):
    question = Question(MODELS["pcm"], (0, HOUR), repeats=2, seed=5)
    found = retained(Config(), question, trained)
    assert retained(Config(), question, trained) == found
    assert retained(Config(), question, trained, "model") == found
    assert retained(Config(), replace(question, seed=6), trained).rows != found.rows


def test_readings_are_of_their_repetition_and_their_time(trained):
    question = Question(MODELS["pcm"], (0,))
    read, again = (read_after(question, 0, trained.weights) for _ in range(2))
    hour = read(HOUR)
    # Whatever was read before.
    assert all(map(np.array_equal, again(HOUR), hour))
    other = read_after(question, 1, trained.weights)(HOUR)
    later = read(HOUR + 1)
    for one in (other, later):
        assert not np.array_equal(one[0], hour[0])
    # An hour and a second: the same devices, read with other noise.
    close = np.abs(later[0] - hour[0]).mean()
    assert close < 0.75 * np.abs(other[0] - hour[0]).mean()


def test_gains_are_ratios_of_mean_magnitudes():
    before = [np.array([[2.0, -4.0]]), np.zeros((1, 2)), np.ones((1, 1))]
    now = [np.array([[-1.0, 2.0]]), np.ones((1, 2)), np.zeros((1, 1))]
    assert gains_of(before, now) == [2.0, 1.0, 1.0]


def test_devices_hold_twice_the_largest_weight():
    for largest, reach in ((0.6, 2.0), (0.5, 1.0), (0.01, 0.25), (3.0, 8.0), (7.0, 8.0)):
        config = holding_config(Config(), [np.array([[0.1 * largest, -largest]])])
        unit = config.device.unit
        assert (unit.w_min, unit.w_max, config.formats.weight_bits) == (-reach, reach, 18)
        assert (unit.w_max_dtod, unit.corrupt_devices_prob, unit.write_noise) == (0, 0, 0)


def test_what_devices_do_not_hold_is_counted():
    weights = [np.full((10, 65), 7.9)]
    trained = Trained(weights, [0], np.zeros((3, 64), np.int64), np.zeros(3, np.int64))
    core = make_core("model", holding_config(Config(), weights), Net((64, 10)))
    found = measure(core, Question(MODELS["pcm"], (0,), repeats=1), trained)
    assert 0 < found.clipped < 650


def test_means_have_standard_errors():
    assert mean_and_error([0.5]) == (0.5, None)
    mean, error = mean_and_error([0.4, 0.5, 0.6])
    assert mean == pytest.approx(0.5)
    assert error == pytest.approx(0.1 / math.sqrt(3))


def test_progress_is_told(trained):
    told = []
    core = make_core("compiled", holding_config(Config(), trained.weights), NET)
    measure(core, Question(QUIET, (0, 5), repeats=2), trained, told.append)
    assert told == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", (0,)),
        ("25s", (25,)),
        ("1y,1h, 0,60min", (0, 3600, YEAR)),
        ("5min,1d,2mo", (300, 86400, 60 * 86400)),
        ("136y", (136 * YEAR,)),
    ],
)
def test_times_are_read(text, seconds):
    assert parse_after(text) == seconds
    assert parse_after(",".join(map(show_after, seconds))) == seconds


@pytest.mark.parametrize("text", ["", "1", "1m", "1h,", "-1s", "1.5h", "1e3s", "1_0s", "1 h", "٣s"])
def test_wrong_times_get_a_line(text):
    with pytest.raises(ConfigError, match=r"after: expected times such as 0,25s.*, got"):
        parse_after(text)


def test_times_have_an_end():
    with pytest.raises(ConfigError, match="after: expected at most 136y, got '137y'"):
        parse_after("137y")
    with pytest.raises(ConfigError, match="after: expected at most 136y"):
        parse_after("9999999999y")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"repeats": 0}, "repeats: expected 1..1000, got 0"),
        ({"after": ()}, "after: expected 1..64 times, got 0"),
        ({"after": (-1,)}, "after: expected 0..4294967295, got -1"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_wrong_questions_get_a_line(changes, line):
    with pytest.raises(ConfigError, match=line):
        replace(Question(QUIET, (0,)), **changes)
