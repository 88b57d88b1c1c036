"""The compiled training loop equals the golden trainer: any net, batch, number of threads."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import devices, physics, transfers

from ohmgrid.compiled.core import CompiledCore
from ohmgrid.compiled.tile import CompiledTile
from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.engines import make_core
from ohmgrid.model.core.core import Core
from ohmgrid.net import LOSSES, Net, state_sha256
from ohmgrid.periphery import PULSE_TYPES, ConverterConfig, PulseConfig
from ohmgrid.registers.layers import ACTIVATIONS
from ohmgrid.training.data import load_data
from ohmgrid.training.plan import Plan
from ohmgrid.training.session import Session


def trainers(config: Config, net: Net, threads: int = 1) -> tuple[Core, Core]:
    """Return a golden and a compiled trainer with the same initial weights."""
    golden, compiled = (make_core(engine, config, net, threads) for engine in ("model", "compiled"))
    assert type(golden) is Core
    assert type(compiled) is CompiledCore
    for trainer in (golden, compiled):
        trainer.initialise()
    return golden, compiled


def check_equal(golden: Core, compiled: Core) -> None:
    assert state_sha256(golden.state()) == state_sha256(compiled.state())
    assert golden.counters.as_dict() == compiled.counters.as_dict()


@settings(max_examples=12)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    activation=st.sampled_from(ACTIVATIONS),
    loss=st.sampled_from(LOSSES),
    device=st.one_of(devices(), transfers()),
    pulse_type=st.sampled_from(PULSE_TYPES),
    desired_bl=st.sampled_from([1, 31, 31, 32, 100, 127]),
    batch=st.integers(1, 9),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_net_trains_to_the_same_bits(
    sizes, activation, loss, device, pulse_type, desired_bl, batch, threads, seed
):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    pulses = PulseConfig(pulse_type=pulse_type, desired_bl=desired_bl)
    config = Config(seed=seed, device=device, pulses=pulses, batch=batch)
    golden, compiled = trainers(config, Net(tuple(sizes), activation, loss), threads)
    pixels = rng.integers(-4096, 4097, (20, sizes[0])) * rng.integers(0, 2, (20, sizes[0]))
    labels = rng.integers(0, sizes[-1], 20)
    granularity = device.unit.granularity
    for lr in (100 * granularity, 0.02):
        try:
            compiled.train(pixels[:0], labels[:0], lr, batch)
        except ConfigError:  # what is read of a fast array would be beyond every buffer
            assume(False)
        outcomes = [t.train(pixels, labels, lr, batch) for t in (golden, compiled)]
        assert outcomes[0] == outcomes[1]
        check_equal(golden, compiled)
        assert golden.count_hits(pixels, labels) == compiled.count_hits(pixels, labels)
        one = golden.train_one(pixels[3], int(labels[3]), lr)
        assert one == compiled.train_one(pixels[3], int(labels[3]), lr)
        assert golden.predict(pixels[5]) == compiled.predict(pixels[5])
    check_equal(golden, compiled)


@settings(max_examples=12)
@given(physics(), physics(), devices(), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_read_side_non_idealities_train_to_the_same_bits(forward, backward, device, batch, seed):
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    sides = ConverterConfig(**forward), ConverterConfig(**backward)
    config = Config(seed=seed, device=device, forward=sides[0], backward=sides[1], batch=batch)
    golden, compiled = trainers(config, Net((12, 9, 4)))
    first, _ = compiled.tiles
    assert isinstance(first, CompiledTile)
    lr = 30 * first.device.granularity  # steps of drawn devices may be tiny
    pixels, labels = rng.integers(0, 4097, (8, 12)), rng.integers(0, 4, 8)
    outcomes = [t.train(pixels, labels, lr, batch) for t in (golden, compiled)]
    assert outcomes[0] == outcomes[1]
    check_equal(golden, compiled)
    assert golden.count_hits(pixels, labels) == compiled.count_hits(pixels, labels)


def test_a_batch_sees_the_weights_as_they_stand(rng):
    """Every example of a batch passes on the weights before it; updates follow in their order."""
    config, net = Config(), Net((6, 5, 3))
    pixels, labels = rng.integers(0, 4097, (4, 6)), rng.integers(0, 3, 4)
    trainer, _ = trainers(config, net)
    before = trainer.state()
    trainer.train(pixels, labels, 0.3, batch=4)

    by_hand, _ = trainers(config, net)
    updates = []
    for tile in by_hand.tiles:
        real = tile.update
        tile.update = lambda x, d, lr, real=real: updates.append((real, x, d, lr))
    by_hand.train(pixels, labels, 0.3, batch=1)
    assert all((a.weights == b.weights).all() for a, b in zip(before, by_hand.state(), strict=True))
    for update, x, d, lr in updates:
        update(x, d, lr)
    # The updates that were held back are not counted.
    assert state_sha256(trainer.state()) == state_sha256(by_hand.state())


def test_batches_change_the_bits_and_a_batch_of_one_does_not(rng):
    pixels, labels = rng.integers(0, 4097, (40, 6)), rng.integers(0, 3, 40)
    found = []
    for batch in (1, 4, 40):
        golden, _ = trainers(Config(), Net((6, 5, 3)))
        golden.train(pixels, labels, 0.3, batch)
        found.append(state_sha256(golden.state()))
    assert len(set(found)) == 3
    single, _ = trainers(Config(), Net((6, 5, 3)))
    for one, label in zip(pixels, labels, strict=True):
        single.train(one[None], label[None], 0.3, batch=7)
    assert state_sha256(single.state()) == found[0]


def run(engine: str, plan: Plan, batch: int, threads: int = 1) -> Session:
    """Train digits to the end."""
    config = Config(batch=batch)
    data = load_data("digits", config.formats.x_frac, config.formats.edge_bits)
    session = Session(config, plan, data, make_core(engine, config, plan.net(), threads))
    session.start()
    assert session.run(lambda: False, lambda progress: None, lambda row: None)
    return session


def check_runs(epochs: int, batch: int, threads: int) -> None:
    plan = Plan(epochs=epochs)
    golden, compiled = run("model", plan, batch), run("compiled", plan, batch, threads)
    assert golden.state_sha256 == compiled.state_sha256
    for one, other in zip(golden.history, compiled.history, strict=True):
        assert one["test_accuracy"] == other["test_accuracy"]
        assert one["train_accuracy"] == other["train_accuracy"]


@pytest.mark.parametrize(
    ("batch", "threads"), [(1, 1), pytest.param(32, 2, marks=pytest.mark.slow)]
)
def test_an_epoch_of_digits_has_the_same_hash(batch, threads):
    check_runs(1, batch, threads)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "threads"), [(1, 1), pytest.param(32, 2, marks=pytest.mark.slow)]
)
def test_ten_epochs_of_digits_have_the_same_hash(batch, threads):
    check_runs(10, batch, threads)


def test_memory_is_below_64_bytes_a_cell():
    """All arrays that engine and trainer keep, for the MNIST net with batches of 32."""
    net, config = Net((528, 250, 125, 10)), Config()
    trainer = CompiledCore(config, net)
    trainer.train(np.zeros((32, 528), np.int32), np.zeros(32, np.int64), 0.05, batch=32)
    assert trainer.bytes_per_cell <= 64


def test_wrong_arguments_get_one_line():
    config, net = Config(), Net((4, 3))
    with pytest.raises(ValueError, match=r"threads: expected 1\.\.256, got 0"):
        make_core("compiled", config, net, 0)
    _, compiled = trainers(config, net)
    nothing = np.zeros((0, 4), np.int32), np.zeros(0, np.int64)
    with pytest.raises(ValueError, match=r"batch: expected 1\.\.65536, got 0"):
        compiled.train(*nothing, lr=0.1, batch=0)
    with pytest.raises(ValueError, match="lr: expected a finite number > 0, got -1"):
        compiled.train(*nothing, lr=-1.0)
    with pytest.raises(ValueError, match=r"pixels: expected shape \(examples, 4\), got \(2, 3\)"):
        compiled.train(np.zeros((2, 3), np.int32), np.zeros(2, np.int64), 0.1)
    with pytest.raises(ValueError, match=r"labels: expected shape \(2,\), got \(3,\)"):
        compiled.train(np.zeros((2, 4), np.int32), np.zeros(3, np.int64), 0.1)
    with pytest.raises(ValueError, match=r"labels: expected 0\.\.2, got 0\.\.3"):
        compiled.train(np.zeros((2, 4), np.int32), np.array([0, 3]), 0.1)
    with pytest.raises(ValueError, match="pixels: expected values in"):
        compiled.train(np.full((2, 4), 40000), np.array([0, 2]), 0.1)
