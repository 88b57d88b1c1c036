"""Gateware that trains by itself equals the golden interpreter of the same step tables."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tile_cases import BUILDS, LANES, MAX_ROWS, SEEDS, configs, random_weights

from ohmgrid.config import Config, LayoutConfig
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.presets import PRESETS
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError
from ohmgrid.host.driver import command_words
from ohmgrid.host.protocol import Error, Op, command
from ohmgrid.host.trainer import load_steps
from ohmgrid.model.core.core import Core
from ohmgrid.model.core.order import Order
from ohmgrid.net import Net
from ohmgrid.registers import orders
from ohmgrid.registers.layers import ACTIVATIONS
from ohmgrid.registers.meters import ARRAY_FIELDS, TOTALS
from ohmgrid.registers.steps import WIDTHS, Step, StepVerb, Until
from ohmgrid.sim import gateware
from ohmgrid.sim.rtl import RtlCore
from ohmgrid.tile import TileState

LOSSES = ("cross-entropy", "squared")


def cores(config: Config, net: Net, rng: np.random.Generator) -> tuple[Core, RtlCore]:
    """Return the golden core and the gateware's, with the same random weights."""
    both = Core(config, net), RtlCore(config, net)
    start = [TileState(random_weights(rng, tile), (0, 0, 0)) for tile in both[0].tiles]
    for core in both:
        core.load(start)
    return both


def examples(rng: np.random.Generator, config: Config, net: Net, count: int):
    """Return pixels, many of them 0, and labels."""
    pixels = rng.integers(0, 1 << config.formats.x_frac, (count, net.layers[0]))
    pixels[rng.random(pixels.shape) < 0.4] = 0
    return pixels, rng.integers(0, net.layers[-1], count)


def assert_equal(golden: Core, found: Core) -> None:
    for one, other in zip(golden.state(), found.state(), strict=True):
        assert_array_equal(other.weights, one.weights)
        assert other.steps == one.steps
    assert found.counters.as_dict() == golden.counters.as_dict()


@pytest.mark.parametrize("builds", [LANES, pytest.param((1, 16), marks=pytest.mark.slow)], ids=str)
@settings(max_examples=15)
@given(
    data=st.data(),
    seed=SEEDS,
    sizes=st.lists(st.integers(1, MAX_ROWS), min_size=2, max_size=6),
    batch=st.integers(1, 3),
    kind=st.tuples(st.sampled_from(ACTIVATIONS), st.sampled_from(LOSSES)),
)
def test_any_net_trains_and_tests_as_the_model_does(builds, data, seed, sizes, batch, kind):
    """One to five arrays; states, counters, losses, hits and predictions."""
    print(f"seed={seed}")
    rng = np.random.default_rng(seed)
    lanes = data.draw(st.sampled_from(builds))
    turned = data.draw(st.sets(st.integers(0, len(sizes) - 2)))
    config = data.draw(configs(BUILDS[lanes])).replace(
        layout=LayoutConfig(tuple(turned)), batch=batch
    )
    net = Net(tuple(sizes), *kind)
    try:
        golden, found = cores(config, net, rng)
    except ConfigError as error:
        # A scale that no layer arithmetic holds.
        assume("scale" not in str(error))
        raise
    pixels, labels = examples(rng, config, net, 7)
    rate = 5 * golden.tiles[0].device.granularity
    assert found.train(pixels, labels, rate, batch) == golden.train(pixels, labels, rate, batch)
    assert_equal(golden, found)
    assert found.count_hits(pixels, labels) == golden.count_hits(pixels, labels)
    assert found.predict(pixels[0]) == golden.predict(pixels[0])
    assert_equal(golden, found)


@pytest.mark.parametrize("batch", [1, 2])
def test_results_that_clipped_come_once_more(batch, rng):
    """Where bound management repeats a pass, what went on before it is void."""
    narrow = {"out_bound": 0.2, "bound_management": "iterative"}
    config = Config(seed=5, build=BUILDS[4], device=PRESETS["gokmen-vlasov"]).replace(
        forward=narrow
    )
    net = Net((7, 6, 5, 3))
    golden, found = cores(config, net, rng)
    pixels, labels = examples(rng, config, net, 6)
    for _ in range(2):
        losses = [core.train(pixels, labels, 0.05, batch) for core in (golden, found)]
        assert losses[0] == losses[1]
        assert_equal(golden, found)
    assert (golden.counters["passes"] > golden.counters["updates"]).all()


def test_codes_that_are_all_0_are_no_codes_of_before(rng):
    """Turned, with inputs that all round to 0: nothing is listed, and no old code counts."""
    config = Config(seed=7, build=BUILDS[4], device=PRESETS["gokmen-vlasov"]).replace(
        forward={"noise_management": "none", "bound_management": "none", "out_noise": 0.0},
        layout=LayoutConfig((0,)),
    )
    net = Net((6, 4))
    golden, found = cores(config, net, rng)
    pixels, _labels = examples(rng, config, net, 4)
    pixels[0], pixels[1:] = 1 << config.formats.x_frac, 0
    pixels[2:, 3] = 1
    for example in pixels:
        x = np.append(example, 0)
        assert_array_equal(found.forward(0, x), golden.forward(0, x))


@pytest.mark.parametrize("preset", ["gokmen-vlasov", "reram-array-om"])
@pytest.mark.parametrize("desired_bl", [31, 60])
def test_plans_are_of_vectors_as_they_were(preset, desired_bl, rng):
    """An update that was planned is with the vectors of then, but for trains of several chunks."""
    base = Config(seed=6, build=BUILDS[4], device=PRESETS[preset])
    config = base.replace(pulses={"desired_bl": desired_bl})
    net = Net((6, 5, 4))
    golden, found = cores(config, net, rng)
    pixels, labels = examples(rng, config, net, 5)
    table = orders.training(2, "sigmoid", True, ahead=False)
    plans = [n for n, step in enumerate(table) if step.verb == StepVerb.PLAN]
    # Behind all plans, the first array multiplies once more: its noise, so its results are others.
    steps = [*table[: plans[-1] + 1], table[1], *table[plans[-1] + 1 :]]
    for core in (golden, found):
        core.run(steps, pixels, labels, Order(1, 0.05, core.counters))
    for one, other in zip(golden.state(), found.state(), strict=True):
        assert_array_equal(other.weights, one.weights)


# ---- engines that wait for each other


@pytest.fixture
def impatient(monkeypatch):
    """Take a core that hangs for dead early: the runs of these tests take 40,000 cycles at most."""
    monkeypatch.setattr(gateware, "TIMEOUT", 400_000)


def of_slots(serial: bool, **aging: Any) -> ConstantStep:
    """Return a device that is pulsed slot by slot, whose keys are made anew for each, or not."""
    return ConstantStep(dw_min=0.02, dw_min_std=2.0 if serial else 0.3, **aging)


def aging(lanes: int, turned: tuple[int, ...], serial: bool, refresh: int, every: int) -> Config:
    """Return pairs that are refreshed and leak, each after so many updates; 0 never."""
    leak: dict[str, Any] = {"lifetime": 40.0, "time_every": every} if every else {}
    device = OneSided(of_slots(serial, w_min=0.0, **leak), refresh_every=refresh, refresh_bl=3)
    layout = LayoutConfig(turned)
    return Config(seed=3, build=BUILDS[lanes], device=device, layout=layout)


def aging_cores(config: Config, net: Net, rng: np.random.Generator) -> tuple[Core, RtlCore]:
    both = cores(config, net, rng)
    assert both[0].tiles[0].device.serial == (config.device.unit.dw_min_std > 1)
    for core in both:
        core.load([TileState(np.abs(state.weights), state.steps) for state in both[0].state()])
    return both


@pytest.mark.parametrize("serial", [False, True], ids=["chunks", "slots"])
@pytest.mark.parametrize("lanes", [3, 4])
@pytest.mark.parametrize("turned", [(), (0,)], ids=["plain", "turned"])
def test_what_leaks_and_is_refreshed_does_not_wait_for_the_next_example(
    serial, lanes, turned, rng, impatient
):
    """Nor that for it: the next example waits for the update of the first array, the last one."""
    for refresh, every in ((1, 0), (0, 1), (3, 2)):
        config, net = aging(lanes, turned, serial, refresh, every), Net((5, 4, 3, 2))
        golden, found = aging_cores(config, net, rng)
        pixels, labels = examples(rng, config, net, 4)
        assert found.train(pixels, labels, 0.05) == golden.train(pixels, labels, 0.05)
        assert_equal(golden, found)


@pytest.mark.parametrize("serial", [False, True], ids=["chunks", "slots"])
@pytest.mark.parametrize("refresh", [0, 1])
def test_a_host_may_look_at_counters_before_it_gives_the_next_example(
    serial, refresh, rng, impatient
):
    """All updates of an example come to their end without the next one."""
    config, net = aging(3, (0,), serial, refresh, refresh), Net((5, 4, 3))
    golden, found = aging_cores(config, net, rng)
    pixels, labels = examples(rng, config, net, 2)
    found.load_training(0.05, 1)
    core = found.gateware.instance
    run = command_words([command(Op.RUN, 1, 1 << 32 | 2)])
    words = np.column_stack([labels, pixels])
    core.transact({"cmd": run, "i": words[0]}, {"r": 1}, gateware.TIMEOUT)
    core.step(20_000)
    updates = ARRAY_FIELDS.index("updates")
    count = found.gateware.driver.counters
    assert count([(array, updates) for array in range(2)]) == [1, 1]
    core.transact({"i": words[1]}, {"r": 2}, gateware.TIMEOUT)
    golden.train(pixels, labels, 0.05)
    for one, other in zip(golden.state(), found.state(), strict=True):
        assert_array_equal(other.weights, one.weights)


COUNT, END = Step(StepVerb.COUNT), Step(StepVerb.END)


@pytest.mark.parametrize("follows", ["end", "answer", "multiplication", "update", "slots"])
@pytest.mark.parametrize("serial", [False, True], ids=["chunks", "slots"])
def test_an_example_that_is_taken_beside_plans_comes_whether_they_are_used_or_not(
    follows, serial, rng, impatient
):
    """Only the first array's is planned; nothing of it is used before what follows."""
    config = Config(seed=3, build=BUILDS[3], device=of_slots(serial))
    net = Net((5, 4, 3))
    golden, found = cores(config, net, rng)
    pixels, labels = examples(rng, config, net, 2)
    table = orders.training(2, "sigmoid", True)
    places = [n for n, step in enumerate(table) if step.verb == StepVerb.PLAN]
    before = [step for n, step in enumerate(table[: places[1] + 1]) if n != places[0]]
    take = table[places[1] + 1]
    assert (take.verb, take.cond) == (StepVerb.TAKE, 1)
    last = replace(table[places[0]], verb=StepVerb.PULSE)
    forward = replace(table[1], dst=0)
    # Results for an answer: a host expects one of each example.
    steps = {
        "end": [forward, COUNT, take, END],
        "answer": [forward, take, COUNT, END],
        "multiplication": [take, forward, COUNT, END],
        "update": [forward, take, last, forward, COUNT, END],
        "slots": [forward, COUNT, take, Step(StepVerb.LOOP, cond=Until.FILLED), END],
    }[follows]
    order = Order(1, 0.05)
    answers = [core.run([*before, *steps], pixels, labels, order) for core in (golden, found)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 2
    for one, other in zip(golden.state(), found.state(), strict=True):
        assert_array_equal(other.weights, one.weights)


@pytest.mark.parametrize("cond", [0, 1])
@pytest.mark.parametrize("turned", [(), (0, 1)], ids=["plain", "turned"])
@pytest.mark.parametrize("kind", ["relu", "sigmoid"])
def test_keys_are_of_the_lines_of_the_plan(cond, turned, kind, rng, impatient):
    """Where they are made anew for each slot, whatever lines other activations have since then."""
    config = Config(
        seed=6, build=BUILDS[3], device=of_slots(serial=True), layout=LayoutConfig(turned)
    ).replace(pulses={"update_bl_management": False, "desired_bl": 9})
    net = Net((6, 5, 4), kind)
    golden, found = cores(config, net, rng)
    pixels, labels = examples(rng, config, net, 6)
    table = orders.training(2, kind, True, ahead=False)
    planned = 1 + max(n for n, step in enumerate(table) if step.verb == StepVerb.PLAN)
    # Behind all plans another example comes, and the first array multiplies.
    take, forward = replace(table[0], cond=cond), table[1]
    steps = [*table[:planned], take, forward, COUNT, *table[planned:]]
    for core in (golden, found):
        core.run(steps, pixels, labels, Order(1, 0.3))
    for one, other in zip(golden.state(), found.state(), strict=True):
        assert_array_equal(other.weights, one.weights)


# ---- hosts


def test_a_host_may_have_a_loss_of_its_own(rng):
    """The host sees the same results, and its errors train the same weights."""
    net, config = Net((7, 5, 3)), Config(seed=3, build=BUILDS[4], device=PRESETS["gokmen-vlasov"])
    both = cores(config, net, rng)
    pixels, labels = examples(rng, config, net, 6)
    seen = []
    for core in both:
        results: list[np.ndarray] = []

        def host(y, results=results):
            results.append(y)
            return (y >> 4) % 1000 - 500

        order = Order(2, 0.05, core.counters, host)
        assert core.run(orders.hosted(2, "sigmoid"), pixels, labels, order) == []
        seen.append(results)
    assert_array_equal(seen[1], seen[0])
    assert_equal(*both)
    assert both[0].counters["updates"].tolist() == [6, 6]


def test_a_mini_batch_that_the_edge_does_not_hold_is_refused(rng):
    config = Config(build=BUILDS[4])
    _, found = cores(config, Net((3, 2)), rng)
    pixels, labels = examples(rng, config, Net((3, 2)), 5)
    with pytest.raises(ConfigError, match=r"^batch: expected at most 3 examples .*, got 4$"):
        found.train(pixels, labels, 0.1, 4)
    assert found.train(pixels, labels, 0.1, 3).hits <= 5


def test_what_the_gateware_counts_beside(rng):
    """Examples, hits and cycles; the cycles of all verbs are those of the run."""
    config, net = Config(build=BUILDS[4]), Net((7, 5, 3))
    _, found = cores(config, net, rng)
    pixels, labels = examples(rng, config, net, 8)
    found.train(pixels, labels, 0.1)
    hits = found.train(pixels, labels, 0.1).hits
    meters = found.meters
    assert (meters["examples"], meters["hits"]) == (8, hits)
    verbs = [name for name in meters if name.startswith("cycles_")]
    total = sum(int(np.sum(meters[name])) for name in verbs)
    # Commands, labels and answers come on top.
    assert 0.9 * found.cycles < total <= found.cycles
    assert all(np.sum(meters[name]) > 0 for name in (*verbs, "visits", "slots"))


# ---- tables that are none


def run_table(core: RtlCore, steps: list[Step], value: int) -> int:
    """Run a table on up to two examples, all of one value; return the bits of its error."""
    core.gateware.driver.run(load_steps(steps))
    link, run = core.gateware.instance, command(Op.RUN, 0, 1 << 32 | 2)
    link.transact({"cmd": command_words([run])}, {}, 1000)
    for name, level in (("i__valid", 1), ("i__payload", value), ("o__ready", 1)):
        link.set(name, level)
    for _ in range(10_000):
        link.step(200)
        if link.get("r__valid"):
            answer = link.get("r__payload")
            link.set("r__ready", 1)
            link.step()
            link.set("r__ready", 0)
            if answer & 255 == Op.RUN:
                break
    else:
        raise AssertionError("the run does not end")
    for name in ("i__valid", "o__ready"):
        link.set(name, 0)
    return answer >> 8 & 255


FIELDS = st.fixed_dictionaries(
    {
        name: st.integers(0, min(3, (1 << bits) - 1)) | st.integers(0, (1 << bits) - 1)
        for name, bits in WIDTHS.items()
        if name != "verb"
    }
)
VERBS = st.sampled_from(StepVerb) | st.integers(0, 31)
STEPS = st.builds(lambda verb, fields: Step(verb, **fields), VERBS, FIELDS)


def known(error: int) -> bool:
    """Return whether an error is one of steps, with or without an array that is none."""
    return error in (0, Error.ILLEGAL, Error.ILLEGAL | Error.SHAPE)


@settings(max_examples=10)
@given(table=st.lists(STEPS, min_size=1, max_size=12), value=st.integers(-(1 << 15), (1 << 15) - 1))
def test_random_tables_end_and_say_when_they_are_none(table, value):
    """Whatever a step says, the run ends; and the core trains afterwards as it should."""
    config, net = Config(seed=4, build=BUILDS[3], device=PRESETS["gokmen-vlasov"]), Net((4, 3, 2))
    rng = np.random.default_rng(1)
    golden, found = cores(config, net, rng)
    pixels, labels = examples(rng, config, net, 2)
    # Registers and tables are loaded.
    for core in (golden, found):
        core.train(pixels, labels, 0.05)
    start = golden.state()
    # Of what follows the END that stands behind it, nothing runs.
    error = run_table(found, [*table, Step(StepVerb.END)], value)
    assert known(error)
    first = table[0]
    if first.verb not in {*StepVerb}:
        assert error == Error.ILLEGAL
    if first.verb == StepVerb.END:
        assert error == 0
        assert_equal(golden, found)
    # The step table in the gateware is another one now.
    found.forget_tables()
    for core in (golden, found):
        core.load(start)
        core.train(pixels, labels, 0.05)
    for one, other in zip(golden.state(), found.state(), strict=True):
        assert_array_equal(other.weights, one.weights)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ([Step(StepVerb.END)], 0),
        ([Step(StepVerb.LOOP, cond=Until.ALWAYS)], Error.ILLEGAL),
        ([Step(StepVerb.TAKE, dst=32, index=1), Step(StepVerb.LOOP, dst=0)], Error.ILLEGAL),
        ([Step(StepVerb.MAC, array=9, a=41)], Error.ILLEGAL),
        ([Step(StepVerb.PULSE, array=30)], Error.ILLEGAL),
        ([Step(StepVerb.LOOP, cond=63)], Error.ILLEGAL),
        ([Step(5)], Error.ILLEGAL),
    ],
    ids=["end", "no-end", "no-example", "no-array", "no-entry", "no-condition", "no-verb"],
)
def test_steps_that_cannot_be_done_end_a_run(table, error, rng):
    config, net = Config(build=BUILDS[3], device=PRESETS["gokmen-vlasov"]), Net((4, 3, 2))
    golden, found = cores(config, net, rng)
    pixels, labels = examples(rng, config, net, 2)
    for core in (golden, found):
        core.train(pixels, labels, 0.05)
    given = run_table(found, [*table, Step(StepVerb.END)], 5)
    assert known(given)
    assert given & Error.ILLEGAL == error
    for one, other in zip(golden.state(), found.state(), strict=True):
        assert_array_equal(other.weights, one.weights)


def test_a_counter_that_there_is_not_is_refused(rng):
    _, found = cores(Config(build=BUILDS[4]), Net((3, 2)), rng)
    for row in (TOTALS + 1, 255):
        with pytest.raises(RuntimeError, match="ILLEGAL"):
            found.gateware.driver.run([command(Op.COUNTER, row, 0)])
