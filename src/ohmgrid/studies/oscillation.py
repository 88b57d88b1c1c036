"""What a network with delay does in the end: it settles or oscillates, over gain and delay."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.devices.base import Device
from ohmgrid.dynamics import OnTile
from ohmgrid.engines import make_network
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.dynamics import STATE_FRAC
from ohmgrid.studies.matrices import normal_cells
from ohmgrid.studies.onset import Question, leading_mode
from ohmgrid.systems import DelayNet

__all__ = [
    "Oscillation",
    "long_run",
    "mode_start",
    "oscillation_of",
    "random_start",
    "real",
    "sweep",
    "tile_for",
]

SETTLED = 0.02
"""A swing below it is none."""
LASTS = 0.9
"""Part of its swing that an oscillation keeps from the first to the last third of that half."""
DEPTH = 0.25
"""Part of a swing that a trace has to leave the middle by before it may cross it again."""
PERIOD_SAMPLES, FINEST = 60, 0.0025
"""Samples of a delay in a long run, and the least time between two, RC."""
LONG = 60.0
"""Time of a long run, in units of ``delay + RC``."""
START, STRAY = 0.5, 0.005
"""State that a run along a mode begins at: so much of it, and of anything."""
SPREAD = 0.1
"""Spread of the states that a random run begins at."""
STRAYS = 3
"""Step of `Verb.INIT` that those are drawn from."""


class Oscillation(NamedTuple):
    """What a trace does in its second half."""

    swing: float
    """From least to most, of the line with most of it."""
    period: float | None
    """None: it settles, or has no two periods."""

    @property
    def frequency(self) -> float | None:
        """Periods in a unit of time."""
        return None if self.period is None else 1.0 / self.period


def real(states: np.ndarray) -> np.ndarray:
    """Return states as real numbers (float64)."""
    return np.ldexp(states.astype(np.float64), -STATE_FRAC)


def oscillation_of(trace: np.ndarray, step: float) -> Oscillation:
    """Return swing and period of a trace.

    Parameters
    ----------
    trace : float64, shape (samples, lines)
    step : float
        Time between samples.
    """
    late = trace[len(trace) // 2 :]
    swings = late.max(axis=0) - late.min(axis=0)
    line = int(swings.argmax())
    swing = float(swings[line])
    third = len(late) // 3
    first, last = (float(np.ptp(part)) for part in (late[:third, line], late[-third:, line]))
    if last < max(SETTLED, LASTS * first):
        return Oscillation(swing, None)
    wave = late[:, line] - 0.5 * (late[:, line].max() + late[:, line].min())
    times = _rises(wave, DEPTH * swing) * step
    return Oscillation(swing, float(np.diff(times).mean()) if len(times) > 2 else None)


def _rises(wave: np.ndarray, depth: float) -> np.ndarray:
    """Return where a wave rises through 0, in samples, each after it was below ``-depth``."""
    low, high = np.flatnonzero(wave < -depth), np.flatnonzero(wave > depth)
    found, place = [], 0
    while True:
        first = np.searchsorted(low, place)
        if first == len(low):
            break
        after = np.searchsorted(high, low[first])
        if after == len(high):
            break
        # The last sample below 0 before the wave is high again.
        place = int(high[after])
        below = place - 1
        while wave[below] >= 0:
            below -= 1
        found.append(below - wave[below] / (wave[below + 1] - wave[below]))
    return np.array(found)


def mode_start(matrix: np.ndarray, gain: float, seed: int = 1) -> np.ndarray:
    """Return states along the mode that oscillates first, and a little of anything (float64)."""
    stray = normal_cells(seed, 1, len(matrix), STRAYS)[0]
    return START * leading_mode(matrix, gain).start + STRAY * stray


def random_start(matrix: np.ndarray, seed: int) -> np.ndarray:
    """Return small states of any sign (float64)."""
    return SPREAD * normal_cells(seed, 1, len(matrix), STRAYS)[0]


def long_run(question: Question, gain: float, delay: float) -> Oscillation:
    """Return what a network does at a gain and a delay, begun along its leading mode."""
    step = min(max(delay / PERIOD_SAMPLES, FINEST), delay)
    net = DelayNet(gain, (delay,), step, question.function)
    network = make_network(question.engine, net, question.matrix, question.crossbar)
    network.start(mode_start(question.matrix, gain))
    return oscillation_of(real(network.run(round(LONG * (delay + 1.0) / step))), step)


def sweep(
    question: Question,
    gains: Sequence[float],
    delays: Sequence[float],
    on_point: Callable[[], object] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> np.ndarray | None:
    """Return the swing at each gain and delay: 0 where the network settles.

    Returns
    -------
    float64, shape (gains, delays)
        None where ``stop`` was true.
    """
    swings = np.zeros((len(gains), len(delays)))
    for row, gain in enumerate(gains):
        for column, delay in enumerate(delays):
            if stop():
                return None
            found = long_run(question, gain, delay)
            swings[row, column] = 0.0 if found.period is None else found.swing
            on_point()
    return swings


def tile_for(
    matrix: np.ndarray,
    device: Device,
    seed: int = 1,
    dac_bits: int = 7,
    adc_bits: int = 9,
    out_noise: float = 0.0,
    w_noise: float = 0.0,
    age: int = 0,
) -> OnTile:
    """Return a tile for a matrix: its ADC's range is what a row can give.

    Parameters
    ----------
    matrix : float64, shape (lines, lines)
    device : Device
    seed : int
    dac_bits, adc_bits : int
    out_noise : float
        Noise before the ADC, as a part of its range.
    w_noise : float
        Read noise of a weight, as a part of the largest.
    age : int
    """
    reach = OnTile(Config()).reach
    unit = device.unit
    room = unit.w_max if device.paired else min(unit.w_max, -unit.w_min)
    sizes = np.abs(matrix)
    largest = float(sizes.max()) or 1.0
    bound = float(sizes.sum(axis=1).max()) / largest * reach * room or 1.0
    forward = ConverterConfig(
        dac_bits=dac_bits,
        adc_bits=adc_bits,
        out_bound=bound,
        out_noise=out_noise * bound,
        w_noise=w_noise * reach * room,
        w_noise_type="additive-constant" if w_noise else "none",
    )
    return OnTile(Config(seed=seed, device=device, forward=forward), reach, age)
