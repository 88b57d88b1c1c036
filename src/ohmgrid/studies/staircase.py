"""A population of devices under single pulses: staircases and symmetry points.

A pulse is an update of a tile whose every activation is 1.0 and whose every error is -1.0 (up) or
+1.0 (down). Its trains have one slot and fire with probability 1, so that every device takes
exactly one pulse: what the field's tools do to show a device's response.

A request is such an update with learning rate ``dw_min`` and the default pulse trains, as training
asks for a step. A class whose granularity is ``dw_min`` gets exactly one pulse; another gets
``dw_min / granularity`` pulses on average (docs/devices.md).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ohmgrid.config import MOST_LINES, Config
from ohmgrid.devices.base import Device
from ohmgrid.devices.presets import device_name
from ohmgrid.doors.checks import ConfigError, check_int
from ohmgrid.engines import make_core
from ohmgrid.model.array.array import pair_differences
from ohmgrid.model.base.noise import op_key, seed_key
from ohmgrid.model.device.population import populate
from ohmgrid.net import Net
from ohmgrid.periphery import PulseConfig
from ohmgrid.registers.device import device_registers
from ohmgrid.registers.layout import roomy_build, words_of
from ohmgrid.registers.noise import Verb

__all__ = ["Staircase", "staircase", "symmetry_point", "usual_pulses"]

QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}
MOST_CELLS = 1 << 20
ONE_PULSE = PulseConfig(desired_bl=1, update_management=False, update_bl_management=False)
CERTAIN = 4.0
"""Learning rate of a pulse, in granularities: both sides fire with probability 1, as that is cut at
1, though an edge may end just below 1.0."""


class Staircase(NamedTuple):
    """Statistics over a population after each pulse, in weight units."""

    arrays: dict[str, np.ndarray]
    """``mean std q05 q50 q95`` of the weight, float64, shape (pulses + 1,), and ``step_mean
    step_std`` of its change by each pulse, shape (pulses,)."""
    samples: np.ndarray
    """Weights of the first cells, shape (pulses + 1, samples)."""
    final: np.ndarray
    """Weight of every cell after the last pulse, shape (cells,)."""


class _Pulser:
    """A tile of devices that are all pulsed at once."""

    def __init__(self, config: Config, engine: str, cells: int, requests: bool) -> None:
        check_int("cells", cells, 1, MOST_CELLS)
        rows = next(n for n in range(int(cells**0.5), 0, -1) if cells % n == 0)
        cols = cells // rows
        if config.device.arrays > 1:
            raise ConfigError(
                "device",
                f"expected a device of one array, got {device_name(config.device)}, "
                f"whose weights are on arrays of {device_name(config.device.unit)}",
            )
        device_rows = rows * config.device.devices
        if max(device_rows, cols) > MOST_LINES:
            raise ConfigError("cells", f"expected a number with factors below 65536, got {cells}")
        if not requests:
            config = config.replace(pulses=ONE_PULSE)
        build = roomy_build([(rows, cols)], words_of(config.device), config.build, config.layout)
        config = config.replace(build=build)
        self._core = make_core(engine, config, Net((cols - 1, rows), "relu", "squared"))
        self.tile = self._core.tiles[0]
        formats = config.formats
        top = (1 << (formats.edge_bits - 1)) - 1
        self._x = np.full(cols, min(1 << formats.x_frac, top))
        self._d = np.full(rows, min(1 << formats.d_frac, top))
        unit = config.device.unit
        self._lr = unit.dw_min if requests else CERTAIN * unit.granularity
        self._paired = config.device.paired
        base = op_key(seed_key(config.seed), Verb.STATIC, 0, 0)
        registers = device_registers(unit, formats.weight_bits, formats.curve_segments)
        self._population = populate(base, device_rows, cols, registers, formats.weight_bits)

    def pulse(self, down: bool) -> None:
        """Update every cell by one pulse, or by one request of ``dw_min``."""
        self.tile.update(self._x, self._d if down else -self._d, self._lr)

    def weights(self) -> np.ndarray:
        """Return what a read sees of every cell, weight units, float64, shape (cells,)."""
        seen = self._population.read(self.tile.state().weights)
        if self._paired:
            seen = pair_differences(seen)
        return seen.ravel() * self.tile.lsb

    def __enter__(self) -> "_Pulser":
        return self

    def __exit__(self, *_: object) -> None:
        self._core.close()


def staircase(
    config: Config,
    up: int,
    down: int,
    cells: int = 4096,
    engine: str = "model",
    requests: bool = False,
    samples: int = 6,
    on_pulse: Callable[[int], None] = lambda pulse: None,
) -> Staircase:
    """Apply ``up`` up pulses and then ``down`` down pulses to devices that start at w = 0.

    Parameters
    ----------
    config : Config
        Its device, seed and formats count.
    up, down : int
        Pulses, 0 to 10**6.
    cells : int
        Devices (or pairs), laid out as nearly square as their number allows.
    engine : str
    requests : bool
        Requests of ``dw_min`` instead of pulses.
    samples : int
        Cells whose single courses are kept.
    on_pulse : callable
        Called with the number of pulses done.
    """
    check_int("up", up, 0, 10**6)
    check_int("down", down, 0, 10**6)
    rows: dict[str, list[float]] = {
        name: [] for name in ("mean", "std", *QUANTILES, "step_mean", "step_std")
    }
    courses = []

    def note(weights: np.ndarray) -> None:
        rows["mean"].append(weights.mean())
        rows["std"].append(weights.std())
        for name, value in zip(
            QUANTILES, np.quantile(weights, list(QUANTILES.values())), strict=True
        ):
            rows[name].append(value)
        courses.append(weights[:samples])

    with _Pulser(config, engine, cells, requests) as pulser:
        weights = pulser.weights()
        note(weights)
        for number in range(up + down):
            pulser.pulse(down=number >= up)
            before, weights = weights, pulser.weights()
            step = weights - before
            rows["step_mean"].append(step.mean())
            rows["step_std"].append(step.std())
            note(weights)
            on_pulse(number + 1)
    arrays = {name: np.array(values) for name, values in rows.items()}
    return Staircase(arrays, np.array(courses), weights)


def symmetry_point(
    config: Config,
    pairs: int,
    cells: int = 4096,
    engine: str = "model",
    requests: bool = False,
    on_pulse: Callable[[int], None] = lambda pulse: None,
) -> Staircase:
    """Alternate up and down pulses: each device settles where both are equal.

    Parameters
    ----------
    pairs : int
        Pairs of one up and one down pulse; the devices start at w = 0.
    config, cells, engine, requests, on_pulse
        As for `staircase`.

    Returns
    -------
    Staircase
        Statistics after each pair; ``final`` holds each cell's mean over the last quarter of the
        pairs, its measured symmetry point.
    """
    check_int("pairs", pairs, 4, 10**6)
    means, stds, courses = [], [], []
    with _Pulser(config, engine, cells, requests) as pulser:
        total = np.zeros(len(pulser.weights()))
        last = pairs - pairs // 4
        for number in range(pairs):
            pulser.pulse(down=False)
            pulser.pulse(down=True)
            weights = pulser.weights()
            means.append(weights.mean())
            stds.append(weights.std())
            courses.append(weights[:6])
            if number >= last:
                total += weights
            on_pulse(number + 1)
    arrays = {"mean": np.array(means), "std": np.array(stds)}
    return Staircase(arrays, np.array(courses), total / (pairs - last))


def usual_pulses(device: Device) -> int:
    """Return how many up pulses show a device from 0 to where it saturates: 20 to 1000."""
    unit = device.unit
    return max(20, min(1000, round((unit.w_max - unit.w_min) / unit.granularity)))
