"""Populations under single pulses, against closed forms."""

import numpy as np
import pytest

from ohmgrid.config import Config, FormatConfig
from ohmgrid.devices.base import Device
from ohmgrid.devices.presets import PRESETS
from ohmgrid.devices.steps import ConstantStep, ExpStep, PowStep, SoftBounds
from ohmgrid.devices.table_step import TableStep
from ohmgrid.model.core.core import Core
from ohmgrid.model.core.tile import Tile
from ohmgrid.net import Net
from ohmgrid.studies.staircase import _Pulser, staircase, symmetry_point, usual_pulses

CELLS = 1024


def test_constant_steps_add_up():
    device = ConstantStep(dw_min=0.01, dw_min_dtod=0.2, dw_min_std=0.3, w_max=8.0, w_max_dtod=0.0)
    found = staircase(Config(device=device), 20, 10, CELLS).arrays
    pulses = np.arange(21)
    spread = 0.01 * np.sqrt((0.2 * pulses) ** 2 + 0.3**2 * pulses + (0.01 * pulses) ** 2)
    error = spread / np.sqrt(CELLS) + 1e-5
    assert (np.abs(found["mean"][:21] - 0.01 * pulses) <= 4.5 * error).all()
    assert found["std"][20] == pytest.approx(spread[20], rel=0.1)
    assert found["mean"][30] == pytest.approx(0.1, abs=0.02)
    assert {name: len(values) for name, values in found.items()} == {
        "mean": 31, "std": 31, "q05": 31, "q50": 31, "q95": 31, "step_mean": 30, "step_std": 30,
    }  # fmt: skip
    assert (found["q05"] <= found["q50"]).all()
    assert (found["q50"] <= found["q95"]).all()
    assert found["step_std"] == pytest.approx(0.01 * np.hypot(0.2, 0.3), rel=0.12)


def test_soft_bounds_approach_their_bound_exponentially():
    device = SoftBounds(dw_min=0.02, dw_min_dtod=0.0, up_down_dtod=0.0, w_max=1.0, w_max_dtod=0.0)
    found = staircase(Config(device=device), 100, 0, CELLS).arrays["mean"]
    expected = 1 - (1 - 0.02) ** np.arange(101)
    assert np.abs(found - expected).max() < 0.004


@pytest.mark.parametrize(
    ("device", "pulses"),
    [
        (ExpStep(dw_min=0.01, A_up=0.0, A_down=-2.235, gamma_down=2.5, a=0.0, b=0.0), 1 / 3.235),
        (PowStep(dw_min=0.001, pow_gamma=1.0, pow_gamma_dtod=0.0), 2.0),
    ],
    ids=["fewer", "more"],
)
def test_a_request_of_dw_min_gives_dw_min_by_granularity_pulses(device, pulses: float):
    found = staircase(Config(device=device), 40, 0, CELLS, requests=True).arrays["mean"]
    first = device.dw_min * device.law().up(0.0) if pulses < 1 else device.dw_min / 2
    steps = found[40] / 40 / first
    assert steps == pytest.approx(pulses, rel=0.12)


@pytest.mark.parametrize("name", ["reram-sb", "pcm", "gokmen-vlasov"])
def test_every_weight_is_what_the_tile_reads(name):
    """Write noise and pairs included: the keys of a cell are those of its own row and column."""
    with _Pulser(Config(device=PRESETS[name]), "model", 24, requests=False) as pulser:
        for down in (False, True):
            pulser.pulse(down)
            tile = pulser.tile
            assert isinstance(tile, Tile)
            np.testing.assert_array_equal(pulser.weights(), tile.read().ravel() * tile.lsb)


EXACT = {
    "constant": ConstantStep(dw_min=0.01, w_max=8.0, w_max_dtod=0.0),
    "exponential": ExpStep(dw_min=0.01, A_up=0.0, A_down=-2.235, gamma_down=2.5, a=0.0, b=0.0),
    "power": PowStep(dw_min=0.001, pow_gamma=1.7),
    "pair": PRESETS["pcm"],
    "drawn": TableStep(dw_min=0.01, table_up=((0.5, 1.5), (1.0,)), table_down=((0.2, 0.8),)),
}


@pytest.mark.parametrize("device", EXACT.values(), ids=EXACT)
def test_up_and_down_give_every_device_exactly_so_many_pulses(device: Device, monkeypatch):
    counts = []

    class Counting(Tile):
        def update(self, x: np.ndarray, d: np.ndarray, lr: float) -> None:
            super().update(x, d, lr)
            counts.append(self.pulses)

    def counted(engine: str, config: Config, net: Net) -> Core:
        return Core(config, net, tiles=[Counting(config, *shape) for shape in net.shapes])

    monkeypatch.setattr("ohmgrid.studies.staircase.make_core", counted)
    # An activation of 1.0 is beyond the second edge: it ends an LSB below.
    for frac in (12, 15):
        formats = FormatConfig(x_frac=frac, d_frac=frac)
        staircase(Config(device=device, formats=formats), 3, 2, 64)
        assert [(count.up, count.down) for count in counts] == [(64, 0)] * 3 + [(0, 64)] * 2
        counts.clear()


def test_the_steps_of_a_power_add_up_pulse_by_pulse():
    device = PowStep(
        dw_min=0.01, dw_min_dtod=0.0, dw_min_std=0.0, up_down_dtod=0.0, pow_gamma=2.0,
        pow_gamma_dtod=0.0, w_max=1.0, w_max_dtod=0.0, w_min=-1.0, w_min_dtod=0.0,
    )  # fmt: skip
    expected = [0.0]
    for _ in range(40):
        expected.append(expected[-1] + 0.01 * ((1 - expected[-1]) / 2) ** 2)
    found = staircase(Config(device=device), 40, 0, 64).arrays["mean"]
    assert found == pytest.approx(expected, abs=0.0005)


def test_the_same_seed_gives_the_same_population():
    config = Config(device=PRESETS["reram-sb"])
    one, other = (staircase(config, 5, 5, 64) for _ in range(2))
    assert np.array_equal(one.final, other.final)
    assert not np.array_equal(one.final, staircase(config.replace(seed=2), 5, 5, 64).final)


def test_alternating_pulses_lead_to_the_symmetry_point():
    device = SoftBounds(
        dw_min=0.05, dw_min_dtod=0.0, dw_min_std=0.0, up_down=0.4, up_down_dtod=0.0, w_max=1.0,
        w_max_dtod=0.0, w_min=-1.0, w_min_dtod=0.0,
    )  # fmt: skip
    found = symmetry_point(Config(device=device), 200, 256)
    # Equal steps are at w = 0.25. A pair is u = w + 0.05 (1 - w), w' = u - 0.03 (1 + u), and its
    # fixed point w' = w is half a step below.
    assert found.final.mean() == pytest.approx(0.0185 / 0.0785, abs=0.001)
    assert found.arrays["mean"][-1] == pytest.approx(found.final.mean(), abs=0.003)
    assert found.final.std() < 0.002


def test_wrong_numbers_get_one_line():
    config = Config()
    with pytest.raises(ValueError, match=r"up: expected 0..1000000, got -1"):
        staircase(config, -1, 0)
    with pytest.raises(ValueError, match=r"cells: expected 1..1048576, got 0"):
        staircase(config, 1, 0, 0)
    with pytest.raises(ValueError, match="cells: expected a number with factors below 65536"):
        staircase(config, 1, 0, 1048573)
    with pytest.raises(ValueError, match=r"pairs: expected 4..1000000, got 3"):
        symmetry_point(config, 3)


def test_the_usual_number_of_pulses_saturates_a_device():
    assert usual_pulses(PRESETS["gokmen-vlasov"]) == 1000
    assert usual_pulses(PRESETS["capacitor"]) == 400
    assert usual_pulses(PRESETS["reram-array-hfo2"]) == 20
