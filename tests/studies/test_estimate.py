"""The cycles that a schedule predicts are those of the gateware, simulated."""

from dataclasses import replace

import numpy as np
import pytest
from tile_cases import BUILDS, random_weights

from ohmgrid.config import BuildConfig, Config, LayoutConfig
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.presets import PRESETS
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.model.core.core import Core
from ohmgrid.net import Net, Outcome
from ohmgrid.registers.layout import Place, place_arrays, words_of
from ohmgrid.registers.meters import cycles_by_verb
from ohmgrid.sim.rtl import RtlCore
from ohmgrid.studies.estimate import estimate, left_out, predict, recorded
from ohmgrid.studies.facts import Facts
from ohmgrid.studies.latencies import Latencies
from ohmgrid.studies.schedule import PARTS
from ohmgrid.training.data import Dataset

EXAMPLES = 18
LR = 0.05
PCM = PRESETS["pcm"]
assert isinstance(PCM, OneSided)
DEVICES = {
    "gokmen-vlasov": PRESETS["gokmen-vlasov"],
    # Pulsed slot by slot, with write noise.
    "reram-array-om": PRESETS["reram-array-om"],
    # Refreshes are no part of the schedule.
    "pcm": replace(PCM, refresh_every=0),
}
CELL = {"cell": PcmCapacitor(ConstantStep(), gain=2, scale=0.01, transfer_every=0)}
NETS = (
    ((20, 9), (0,), 1),
    ((20, 9), (), 3),
    ((14, 9, 5), (1,), 1),
    ((40, 8, 7, 3), (), 3),
    ((12, 8, 6, 5, 4), (0, 2), 1),
)
"""Layers, arrays that lie turned, examples of a mini-batch."""
PHYSICS = {
    "forward": {"ir_drop": 1.0, "inp_noise": 0.05, "w_noise": 0.1, "w_noise_type": "pcm-read"},
    "backward": {"w_noise": 0.1, "w_noise_type": "additive-constant", "out_noise_std": 0.3},
}
CHANGES = {
    "physics": PHYSICS,
    "repeated passes": {"forward": {"out_bound": 0.2, "bound_management": "iterative"}},
    "perfect": {"forward": {"perfect": True}, "backward": {"perfect": True}},
    "long trains": {"pulses": {"desired_bl": 60}},
    "mean-count": {"pulses": {"pulse_type": "mean-count"}},
    "no management": {"pulses": {"update_management": False, "update_bl_management": False}},
}


def visits(places: list[Place], facts: list[Facts], lanes: int) -> int:
    """Return the words of each lane that the sweeps of recorded operations read."""
    total = 0
    for place, of in zip(places, facts, strict=True):
        blocks = -(-place.lane_lines // lanes)
        for backward, operations in ((False, of.forward), (True, of.backward)):
            chain = backward != place.turned
            listed = [n for one in operations for sweeps in one.passes for n in sweeps]
            serial = (max(1, n) if chain else place.serial for n in listed)
            total += sum(serial) * place.seen * blocks
        hits = (hits for one in of.update for chunk in one.chunks for hits in chunk.sweeps)
        total += sum(len(one) for one in hits) * blocks
    return total


def check(rng: np.random.Generator, config: Config, net: Net, batch: int) -> None:
    """Train some examples in the gateware; what is recorded and predicted of them must be so."""
    golden, found = Core(config, net), RtlCore(config, net)
    begun = zip(golden.tiles, golden.state(), strict=True)
    found.load([state._replace(weights=random_weights(rng, tile)) for tile, state in begun])
    pixels = rng.integers(0, 1 << config.formats.x_frac, (EXAMPLES + 1, net.layers[0]))
    pixels[rng.random(pixels.shape) < 0.4] = 0
    labels = rng.integers(0, net.layers[-1], EXAMPLES + 1)
    # Registers and tables are loaded.
    found.train(pixels[:1], labels[:1], LR, batch)
    states = found.state()
    found.train(pixels[1:], labels[1:], LR, batch)
    meters = found.meters

    places = place_arrays(net.shapes, words_of(config.device), config.build, config.layout)
    sample = pixels[1:], labels[1:]
    facts = recorded(config, net, places, states, sample, LR, batch)
    assert visits(places, facts, config.build.lanes) == meters["visits"]
    assert [sum(one.bl for one in of.update) for of in facts] == meters["slots"]

    schedule = predict(Latencies(config), net, places, facts, LR, batch)
    assert schedule.now == pytest.approx(found.cycles, rel=0.03)
    # The gateware counts a verb's cycles without the one in which they are added.
    for verb, cycles in cycles_by_verb(meters).items():
        assert schedule.cycles[verb] == pytest.approx(cycles, abs=0.03 * found.cycles), verb


@pytest.mark.parametrize(("layers", "turned", "batch"), NETS)
@pytest.mark.parametrize(
    ("lanes", "device"),
    [
        (3, "gokmen-vlasov"),
        (3, "cell"),
        *((4, of) for of in DEVICES),
        *(pytest.param(16, of, marks=pytest.mark.slow) for of in DEVICES),
    ],
)
def test_predicted_cycles_are_the_simulated_ones(lanes, device, layers, turned, batch, rng):
    """Builds of 3 lanes are without the physics of reads; they and those of 16 compute keys."""
    base = Config(seed=5, build=BUILDS[lanes], device=(DEVICES | CELL)[device])
    check(rng, replace(base, layout=LayoutConfig(turned)), Net(layers), batch)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("device", ["gokmen-vlasov", "reram-array-om"])
def test_predicted_cycles_with_other_converters_and_trains(change, device, rng):
    base = Config(seed=5, build=BUILDS[4], device=DEVICES[device], layout=LayoutConfig((1,)))
    check(rng, base.replace(**CHANGES[change]), Net((14, 9, 5)), 1)


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_predicted_cycles_of_a_squared_error(activation, rng):
    config = Config(seed=5, build=BUILDS[3], device=DEVICES["gokmen-vlasov"])
    check(rng, config, Net((14, 9, 5), activation, "squared"), 1)


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "computed"), [(1, False), (4, True)])
def test_predicted_cycles_of_larger_nets(groups, computed, rng):
    """Where trains take one, or four, cycles a line, and sweeps several blocks."""
    without = ("curve", "power", "step_tables", "write_noise", "references", "read_physics", "time")
    build = BuildConfig(
        **{"lanes": 8, "share": 4, "words": 2048, "inputs": 256, "outputs": 128, "edge": 3},
        **{"train_groups": groups, "computed_keys": computed, **dict.fromkeys(without, False)},
    )
    for layers in ((120, 40, 10), (64, 32, 10)):
        for turned in ("auto", (), (0, 1)):
            for batch in (1, 3):
                config = Config(seed=5, build=build, layout=LayoutConfig(turned))
                check(rng, config, Net(layers), batch)


class Untrained(Core):
    """Notes how it is trained, and stays what it was."""

    def initialise(self):
        self.blocks = []
        super().initialise()

    def train(self, pixels, labels, lr, batch=1):
        self.blocks.append((len(labels), lr, batch))
        return Outcome(0, 0.0)


@pytest.mark.parametrize("batch", [1, 3])
def test_an_estimate_is_of_examples_in_the_midst_of_a_run(batch, rng):
    """Positions are reached mini-batch by mini-batch; beside examples that are taken alone no
    cycles are counted for taking them."""
    config = Config(seed=5, build=BUILDS[3], device=DEVICES["gokmen-vlasov"], batch=batch)
    net = Net((14, 9, 5))
    pixels, labels = rng.integers(0, 4096, (40, 14)), rng.integers(0, 5, 40)
    data = Dataset("random", pixels, labels, pixels[:1], labels[:1], (14,))
    engine = Untrained(config, net)
    trained: list[int] = []
    rates = [0.1, 0.05]
    first, second = estimate(
        config, net, data, rates.__getitem__, engine, [0, 60], 6, trained.append
    )
    assert (first.position, second.position) == (0, 60)
    # The mini-batch that an epoch ends in is of that epoch.
    end = {1: 40, 3: 42}[batch]
    assert engine.blocks == [(end, 0.1, batch), (60 - end, 0.05, batch)]
    assert trained == [end, 60 - end]
    assert set(first.cycles) == set(PARTS)
    assert (first.cycles["take"] == 0) == (batch == 1)
    # The same weights, other examples.
    assert first.total == pytest.approx(second.total, rel=0.2)
    assert first.total != second.total


def test_what_is_left_out_is_said():
    build = {"time": True}
    assert left_out(Config().replace(build=build)) == []
    (line,) = left_out(Config(device=PRESETS["pcm"]))
    assert line == "refreshes of pairs, every 1 updates of an array"
    (line,) = left_out(Config(device=PRESETS["capacitor"]))
    assert line.startswith("leaks and diffusion, every ")
