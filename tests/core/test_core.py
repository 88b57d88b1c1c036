"""The integer trainer: its gradients, and runs that repeat bit for bit."""

import hashlib
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmgrid.config import Config
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_core
from ohmgrid.model.core.core import Core, epoch_order, initial_state
from ohmgrid.model.core.tile import Tile
from ohmgrid.net import Net, outcome_of, state_sha256
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.layers import (
    EXP_FRAC,
    PRE_FRAC,
)
from ohmgrid.tile import TileState
from ohmgrid.training.data import Dataset
from ohmgrid.training.plan import Plan
from ohmgrid.training.runs import read_checkpoint
from ohmgrid.training.session import Session


def sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v))


def blobs(rng: np.random.Generator, examples: int = 60) -> Dataset:
    """Three classes of eight inputs that a small net tells apart."""
    labels = np.arange(examples) % 3
    centres = rng.permuted(np.tile([0, 0, 0, 0, 4096, 4096, 4096, 4096], (3, 1)), axis=1)
    x = np.clip(centres[labels] + rng.integers(-800, 800, (examples, 8)), 0, 4096)
    x = x.astype(np.int32)
    return Dataset("blobs", x, labels, x[:21], labels[:21], (8,))


@pytest.fixture
def data() -> Dataset:
    return blobs(np.random.default_rng(5))


def session(config: Config, plan: Plan, data: Dataset) -> Session:
    return Session(config, plan, data, make_core("model", config, plan.net()))


def finish(run: Session, blocks: int | None = None) -> bool:
    """Train to the end, or for a number of blocks."""
    left = iter(range(10**9 if blocks is None else blocks))
    return run.run(lambda: next(left, None) is None, lambda progress: None, lambda row: None)


# Gradients ---------------------------------------------------------------------------------------


class RecordingTile(Tile):
    """A tile that keeps what it was updated with, and does not move."""

    def update(self, x, d, lr):
        self.error = d


PERFECT = Config(forward=ConverterConfig(perfect=True), backward=ConverterConfig(perfect=True))
"""Exact sums: what the gradients of a float net are compared with."""


def float_forward(weights, x, net):
    """Return loss-relevant values of the float net: pre-activations of every layer."""
    f = {"sigmoid": sigmoid, "tanh": np.tanh, "relu": lambda v: np.maximum(v, 0)}[net.activation]
    pres = []
    for number, w in enumerate(weights):
        pres.append(w @ np.append(x, 1.0))
        inner = number + 1 < len(weights)
        # The output is linear with ReLU, and for softmax taken as it is.
        x = f(pres[-1]) if inner or net.activation != "relu" else pres[-1]
    return pres, x


def float_loss(weights, x, label, net):
    pres, out = float_forward(weights, x, net)
    if net.loss == "squared":
        return ((out - np.eye(len(out))[label]) ** 2).sum() / 2
    return np.log(np.exp(pres[-1]).sum()) - pres[-1][label]


def float_gradients(weights, x, label, net):
    """Return the loss's derivative by each pre-activation: central differences on the biases."""
    gradients = []
    for w in weights:
        gradient = []
        for row in w:
            bias, sides = row[-1], []
            for step in (1e-5, -1e-5):
                row[-1] = bias + step
                sides.append(float_loss(weights, x, label, net))
            row[-1] = bias
            gradient.append((sides[0] - sides[1]) / 2e-5)
        gradients.append(np.array(gradient))
    return gradients


@pytest.mark.parametrize("loss", ["cross-entropy", "squared"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_errors_are_the_gradients_of_the_float_net(activation, loss, rng):
    """Errors equal central differences of the float loss within what the formats allow.

    A table's interval is 1/128 wide, so a pre-activation is off by at most 1/256 where it is read;
    that, the exponential's half interval and half an LSB at each rounding, carried through the
    float net's weights, bound the error of every step. ReLU is compared away from its corner.
    """
    net = Net((6, 5, 4, 3), activation, loss)
    config = PERFECT
    tiles = [RecordingTile(config, r, c, n) for n, (r, c) in enumerate(net.shapes)]
    trainer = Core(config, net, tiles=tiles)
    lsb, label = tiles[0].lsb, int(rng.integers(3))
    corner = 0.0 if activation != "relu" else 0.02
    while True:
        weights = [np.rint(rng.uniform(-0.9, 0.9, s) / lsb) * lsb for s in net.shapes]
        x_int = rng.integers(0, 4097, 6)
        x = x_int / 4096
        gradients = float_gradients(weights, x, label, net)
        pres = np.concatenate(float_forward(weights, x, net)[0])
        # Errors saturate at 2.0, of which a linear output is capable.
        if np.abs(pres).min() >= corner and np.abs(np.concatenate(gradients)).max() < 1.9:
            break
    trainer.load([TileState(np.rint(w / lsb).astype(np.int32), (0, 0, 0)) for w in weights])
    answer = trainer.train_one(x_int, label, 0.1)
    outcome = outcome_of(net, config.formats.d_frac, int(answer.hit), [answer.word])

    # Largest |f'| and |f''| (ReLU has neither an interval nor a second derivative).
    steep, bend = {"sigmoid": (0.25, 0.0963), "tanh": (1.0, 0.7699), "relu": (1.0, 0.0)}[activation]
    interval = 1 / 256 if activation != "relu" else 0.0
    # A slope comes from a value of 12 fraction bits, with a slope of its own of at most 2.
    coarse = 2.0**-14 + (2.0**-12 if activation != "relu" else 0.0)
    last = len(weights) - 1
    off_x, off_pre, norms = 0.0, [], [np.abs(w).sum(axis=1).max() for w in weights]
    for norm in norms:
        # Rounding of the scaled result, and the bits that an exact sum drops.
        off_pre.append(norm * off_x + 2.0**-PRE_FRAC)
        off_x = steep * (off_pre[-1] + interval) + 2.0**-12
    if loss == "cross-entropy":
        # A share moves by half of what the logits are off; its sum and quotient are rounded.
        bound = (off_pre[last] + 1 / 256) / 2 + 5 * 2.0**-EXP_FRAC + 2.0**-14
    else:
        bound = off_x * steep + (2 + off_x) * (bend * (off_pre[last] + interval) + coarse)
    for number in range(last, -1, -1):
        miss = np.abs(tiles[number].error / 2**14 - gradients[number]).max()
        assert miss <= bound + 2.0**-14, f"layer {number}: off by {miss}, expected {bound}"
        below = np.abs(weights[number]).sum(axis=0).max()
        z = below * np.abs(gradients[number]).max()
        bound = steep * below * bound + (z + below * bound) * (
            bend * (off_pre[number - 1] + interval) + coarse
        )
    assert outcome.loss == pytest.approx(
        float_loss(weights, x, label, net), abs=4 * (off_pre[last] + off_x + 1 / 256)
    )


def test_shares_of_equal_logits_are_equal_and_the_winner_is_the_first():
    net = Net((2, 3))
    config = PERFECT
    tile = RecordingTile(config, 3, 3, 0)
    trainer = Core(config, net, tiles=[tile])
    answer = trainer.train_one(np.array([5, 7]), 0, 0.1)
    third = round(2**14 / 3)
    assert tile.error.tolist() == [third - 2**14, third, third]
    assert answer == (True, third)
    outcome = outcome_of(net, 14, 1, [answer.word])
    assert outcome.loss == pytest.approx(math.log(3), abs=1e-4)


def far_apart(net: Net, config: Config) -> tuple[Core, list[RecordingTile]]:
    """Return a net whose weights are all at full scale."""
    tiles = [RecordingTile(config, r, c, n) for n, (r, c) in enumerate(net.shapes)]
    for tile in tiles:
        tile.weights[:] = (1 << 17) - 1
    return Core(config, net, tiles=tiles), tiles


def test_errors_at_the_edge_saturate_and_are_counted():
    config = PERFECT.replace(formats={"d_frac": 15})
    trainer, (tile,) = far_apart(Net((1, 2)), config)
    tile.weights[1] *= -1
    trainer.train_one(np.array([32767]), 1, 0.1)
    assert tile.error.tolist() == [32767, -32767]
    # p = 1 and p - 1 = -1 are one LSB beyond a word without an integer bit.
    assert trainer.counters["error"].tolist() == [2]


@pytest.mark.parametrize("label", [0, 1, 2])
def test_outputs_far_beyond_32_still_tell_the_classes_apart(label):
    """Only differences matter: outputs of -128 and below give the errors of softmax."""
    net = Net((64, 3))
    trainer, (tile,) = far_apart(net, PERFECT)
    tile.weights[:] = -tile.weights
    tile.weights[:, 64] = [0, -40000, -90000]
    answer = trainer.train_one(np.full(64, 4096), label, 0.1)
    shares = np.exp(tile.weights[:, 64] * tile.lsb)
    shares /= shares.sum()
    assert np.abs(tile.error / 2**14 - (shares - np.eye(3)[label])).max() < 2**-7
    assert answer.hit == (label == 0)
    assert not trainer.counters["error"].any()


def test_the_largest_result_wins_where_differences_are_below_the_format():
    net = Net((1, 2))
    trainer, (tile,) = far_apart(net, PERFECT)
    tile.weights[:] = [[5, 0], [6, 0]]
    # One weight LSB at an input of 1/8: 4 LSB of a result, 1/128 LSB of a distance.
    answer = trainer.train_one(np.array([512]), 1, 0.1)
    assert answer.hit
    assert tile.error.tolist() == [2**13, -(2**13)]


def test_activations_and_hidden_errors_that_clip_are_counted():
    """A ReLU net at full scale, 2.0: 8.0 is the edge of 12 fraction bits, 2.0 that of an error."""
    net = Net((8, 4, 5, 2), "relu")
    trainer, tiles = far_apart(net, PERFECT)
    tiles[2].weights[1] *= -1
    tiles[2].weights[:, -1] = 0
    tiles[2].weights[:, :-1] //= 64
    trainer.train_one(np.full(8, 4096), 1, 0.1)
    assert trainer.counters["activation"].tolist() == [4, 5, 0]
    assert trainer.counters["error"].tolist() == [0, 0, 0]
    tiles[2].weights *= 64
    trainer.train_one(np.full(8, 4096), 1, 0.1)
    # Weights of almost 2.0: twice 1 + 1 at each of five lines, and the sum of all below.
    assert trainer.counters["error"].tolist() == [4, 5, 0]
    assert tiles[0].error.tolist() == [32767] * 4


def test_an_error_that_clips_before_its_slope_is_counted_after_it():
    """64 outputs ask for more than the 8.0 of an error with guard bits, times a slope of 1/30."""
    net = Net((1, 1, 64), "sigmoid", "squared")
    trainer, tiles = far_apart(net, PERFECT)
    tiles[0].weights[:] = [[0, round(-3.4 / tiles[0].lsb)]]
    tiles[1].weights[:, 1] = 0
    tiles[1].weights[0] *= -1
    trainer.train_one(np.array([0]), 0, 0.1)
    slope = float(tiles[0].error[0]) / 2**14 / 8
    assert 0 < slope < 0.1
    assert trainer.counters["error"].tolist() == [1, 0]


def test_x_frac_10_holds_what_12_clips():
    counted = []
    for x_frac in (12, 10):
        config = PERFECT.replace(formats={"x_frac": x_frac})
        trainer, tiles = far_apart(Net((15, 4, 2), "relu"), config)
        tiles[0].weights //= 2
        trainer.train_one(np.full(15, 1 << x_frac), 0, 0.1)
        counted.append(trainer.counters["activation"].tolist())
    assert counted == [[4, 0], [0, 0]]


def test_a_squared_loss_is_half_the_sum_of_squares_and_saturates():
    net = Net((1, 3), "relu", "squared")
    trainer, (tile,) = far_apart(net, PERFECT)
    tile.weights[:] = 0
    answer = trainer.train_one(np.array([0]), 2, 0.1)
    assert outcome_of(net, 14, 0, [answer.word]).loss == 0.5
    assert answer == (False, 1 << 13)
    wide = PERFECT.replace(formats={"x_frac": 8})
    trainer, (tile,) = far_apart(Net((255, 255), "relu", "squared"), wide)
    word = trainer.train_one(np.full(255, 32767), 0, 0.1).word
    assert word == (1 << 32) - 1


# Runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["cross-entropy", "squared"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_a_small_net_learns(activation, loss, data):
    # Squared errors are smaller: they pass the derivative once more.
    lr = {"cross-entropy": 0.2, "squared": 0.6}[loss]
    plan = Plan("blobs", "", "8-6-3", activation, loss, lr=lr, epochs=6)
    run = session(Config(seed=3), plan, data)
    run.start()
    assert finish(run)
    assert run.history[-1]["test_accuracy"] >= 0.85, run.history
    assert run.history[-1]["train_loss"] < run.history[1]["train_loss"]


def test_the_same_seed_gives_the_same_state_and_another_seed_another(data):
    plan = Plan("blobs", "", "8-4-3", epochs=1)
    found = []
    for seed in (1, 1, 2):
        run = session(Config(seed=seed), plan, data)
        run.start()
        finish(run)
        found.append(run.state_sha256)
    assert found[0] == found[1] != found[2]


def test_lanes_and_memory_change_no_bit(data):
    plan = Plan("blobs", "", "8-4-3", epochs=1)
    found = set()
    for build in ({"lanes": 1}, {"lanes": 16, "share": 1}, {"lanes": 3, "words": 99}):
        run = session(Config().replace(build=build), plan, data)
        run.start()
        finish(run)
        found.add(run.state_sha256)
    assert len(found) == 1


@pytest.mark.parametrize("blocks", [0, 1, 3, 5, 7])
def test_a_resumed_run_equals_an_uninterrupted_one(blocks, data, tmp_path):
    plan = Plan("blobs", "", "8-4-3", epochs=2)
    whole = session(Config(), plan, data)
    whole.start()
    assert finish(whole)
    broken = session(Config(), plan, data)
    broken.start()
    assert not finish(broken, blocks)
    broken.checkpoint().write(tmp_path / "c.npz")
    resumed = session(Config(), plan, data)
    resumed.resume(read_checkpoint(tmp_path / "c.npz"))
    assert finish(resumed)
    assert resumed.state_sha256 == whole.state_sha256
    for row, expected in zip(resumed.history, whole.history, strict=True):
        assert {**row, "seconds": 0} == {**expected, "seconds": 0}


def test_a_checkpoint_survives_its_own_round_trip(data, tmp_path):
    run = session(Config(seed=9), Plan("blobs", "", "8-4-3", epochs=1), data)
    run.start()
    finish(run, 2)
    before = run.checkpoint()
    before.write(tmp_path / "c.npz")
    after = read_checkpoint(tmp_path / "c.npz")
    assert (after.plan, after.config, after.progress) == (before.plan, before.config, run.progress)
    assert state_sha256(after.states) == run.state_sha256
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"\x93NUMPY"])
def test_a_broken_checkpoint_gets_one_line(content, tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="expected the checkpoint of a run, got something else"):
        read_checkpoint(path)


def test_changed_data_is_not_resumed(data, tmp_path):
    plan = Plan("blobs", "", "8-4-3", epochs=1)
    run = session(Config(), plan, data)
    run.start()
    other = session(Config(), plan, blobs(np.random.default_rng(6)))
    with pytest.raises(ConfigError, match="data: expected the examples that the run began with"):
        other.resume(run.checkpoint())


# Weights, orders, hashes -------------------------------------------------------------------------


def test_initial_weights_are_uniform_and_inside_the_cells_bounds():
    config = Config()
    state = initial_state(config, 100, 400, 0)
    lsb = Tile(config, 1, 1, 0).lsb
    bound = 1 / math.sqrt(400)
    values = state.weights * lsb
    assert np.abs(values).max() <= bound
    assert abs(values.mean()) < 4 * bound / math.sqrt(3 * values.size)
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert (initial_state(config, 100, 400, 1).weights != state.weights).mean() > 0.99
    narrow = config.replace(device=ConstantStep(w_max=0.01, w_min=-0.02))
    state = initial_state(narrow, 30, 40, 0)
    static = Tile(narrow, 30, 40, 0).population.static
    assert (state.weights <= static.b_max).all()
    assert (state.weights >= static.b_min).all()


@given(st.integers(0, 2**64 - 1), st.integers(0, 1000), st.integers(1, 300))
def test_an_epochs_order_is_a_permutation(seed, epoch, examples):
    order = epoch_order(seed, epoch, examples)
    assert sorted(order) == list(range(examples))


def test_orders_differ_between_epochs_and_reach_beyond_16_bits():
    first, second = epoch_order(1, 0, 70000), epoch_order(1, 1, 70000)
    assert len(set(first.tolist())) == 70000
    assert (first == second).mean() < 0.001


def test_the_state_hash_is_the_documented_bytes():
    states = [
        TileState(np.array([[1, -2, 3]], np.int32), (4, 5, 6)),
        TileState(np.array([[-7], [8]], np.int32), (9, 10, 2**40)),
    ]
    text = struct.pack("<2I3i3Q", 1, 3, 1, -2, 3, 4, 5, 6)
    text += struct.pack("<2I2i3Q", 2, 1, -7, 8, 9, 10, 2**40)
    assert state_sha256(states) == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    ("layers", "activation", "loss", "line"),
    [
        ((5,), "sigmoid", "squared", "layers: expected sizes such as 64-32-10"),
        ((5, 0, 2), "sigmoid", "squared", "layers: expected sizes such as 64-32-10"),
        ((65535, 65535), "sigmoid", "squared", "layers: expected at most .* cells"),
        ((5, 2), "step", "squared", "activation: expected one of sigmoid, tanh, relu, got 'step'"),
        ((5, 2), "tanh", "mse", "loss: expected one of cross-entropy, squared, got 'mse'"),
    ],
)
def test_a_wrong_net_gets_one_line(layers, activation, loss, line):
    with pytest.raises(ConfigError, match=line):
        Net(layers, activation, loss)


def test_tiles_of_another_net_get_one_line():
    config = Config()
    with pytest.raises(ValueError, match="tiles: expected shapes"):
        Core(config, Net((4, 3)), tiles=[Tile(config, 3, 4)])


@pytest.mark.slow
def test_digits_reach_93_percent_in_ten_epochs():
    from ohmgrid.training.data import load_data

    data = load_data("digits", 12, 16)
    accuracies = []
    for seed in (1, 2, 3):
        run = session(Config(seed=seed), Plan(), data)
        run.start()
        finish(run)
        accuracies.append(run.history[-1]["test_accuracy"])
    assert np.mean(accuracies) >= 0.93, accuracies
