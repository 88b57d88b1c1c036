"""Histograms of weights and conductances."""

from dataclasses import replace

import numpy as np
import pytest

from ohmgrid.config import Config, FormatConfig
from ohmgrid.devices.presets import PRESETS
from ohmgrid.engines import make_core
from ohmgrid.model.device.population import at_bounds
from ohmgrid.tile import TileState
from ohmgrid.training.data import Dataset
from ohmgrid.training.distributions import Bins
from ohmgrid.training.plan import Plan
from ohmgrid.training.session import Session


def counted(bins: Bins, weights: np.ndarray) -> list[int]:
    """Return a whole histogram of weights in weight units, as NumPy makes it."""
    edges = np.linspace(-bins.full, bins.full, bins.number + 1)
    return np.histogram(weights, edges)[0].tolist()


@pytest.mark.parametrize("name", ["gokmen-vlasov", "pcm"])
@pytest.mark.parametrize("bits", [15, 16, 18])
def test_histograms_are_those_of_numpy(name, bits, rng):
    config = replace(Config(device=PRESETS[name]), formats=FormatConfig(weight_bits=bits))
    bins, paired = Bins(config), config.device.paired
    top = (1 << (bits - 1)) - 1
    devices = rng.integers(0 if paired else -top, top + 1, (10, 7))
    found = bins.histograms(TileState(devices, (0, 0, 0)))
    plus, minus = devices[0::2], devices[1::2]
    wanted = {"W": plus - minus, "G+": plus, "G-": minus} if paired else {"W": devices}
    assert list(found) == list(wanted)
    for which, values in wanted.items():
        first, counts = found[which]
        whole = np.zeros(bins.number, int)
        whole[first : first + len(counts)] = counts
        assert whole.tolist() == counted(bins, values * bins.lsb)
        assert counts[0] * counts[-1] > 0


@pytest.mark.parametrize("name", ["gokmen-vlasov", "pcm"])
def test_a_row_of_the_history_says_how_weights_are_distributed(name, rng):
    config, plan = Config(device=PRESETS[name]), Plan(layers="6-4-3", epochs=2)
    x, labels = rng.integers(0, 4097, (20, 6)), rng.integers(0, 3, 20)
    data = Dataset("random", x[:12], labels[:12], x[12:], labels[12:], (6,))
    session = Session(config, plan, data, make_core("model", config, plan.net()))
    session.start()
    assert session.run(lambda: False, lambda progress: None, lambda row: None)
    assert [len(row["layers"]) for row in session.history] == [2, 2, 2]
    for number, state in enumerate(session.core.state()):
        row = session.history[-1]["layers"][number]
        assert row["at_bounds"] == at_bounds(config, number, state.weights)
        assert row["at_bounds"] == session.at_bounds()[number]
        rows, cols = plan.net().shapes[number]
        for which, (first, counts) in session.bins.histograms(state).items():
            assert row[which] == {"first": first, "counts": counts}
            assert sum(counts) == rows * cols
