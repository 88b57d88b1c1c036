"""Associative memory: how often a Hopfield network finds a pattern back, over load and delay.

Patterns of random signs are stored; the network begins at one of them, some of whose signs are
turned, and is left alone. It has recalled the pattern where its states have the signs of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ohmgrid.devices.base import Device
from ohmgrid.doors.checks import ConfigError, check_float, check_int
from ohmgrid.engines import make_network
from ohmgrid.studies.matrices import hopfield, normal_cells, random_patterns
from ohmgrid.studies.oscillation import tile_for
from ohmgrid.systems import DelayNet

__all__ = ["RecallRow", "RecallStudy", "recall_rate", "run_recall"]

OVERLAP = 0.95
"""Overlap with the pattern from which it is recalled: 1 is all signs."""
START = 0.3
STEP, SPAN = 0.1, 40.0
"""Time between samples, and of a run, RC; the latter and eight delays."""
LATE = 0.25
"""Part of a run at its end in which every sample must overlap: an oscillation recalls nothing."""
TURNED = 5
"""Step of `Verb.INIT` that decides which signs are turned; one more for each pattern."""


@dataclass(frozen=True)
class RecallStudy:
    """What is to be run."""

    neurons: int = 64
    patterns: tuple[int, ...] = (2, 4, 6, 8, 10, 12, 16)
    delays: tuple[float, ...] = (0.1, 5.0)
    """RC; the first stands for no delay: it is a sample long."""
    gain: float = 20.0
    turned: float = 0.1
    """Part of the signs that are turned at the beginning."""
    seeds: int = 3
    """Sets of patterns."""
    engine: str = "compiled"

    def __post_init__(self) -> None:
        check_int("neurons", self.neurons, 2, 256)
        check_int("seeds", self.seeds, 1, 1000)
        check_float("turned", self.turned, 0.0, 0.5)
        if not self.patterns or not self.delays:
            raise ConfigError("patterns", "expected at least one load and one delay")
        for count in self.patterns:
            check_int("patterns", count, 1, self.neurons)
        for delay in self.delays:
            check_float("delays", delay, STEP, 100.0)

    def points(self) -> Iterator[tuple[bool, float, int]]:
        """Yield whether on a tile, delays, numbers of patterns."""
        for tile in (False, True):
            for delay in self.delays:
                for count in self.patterns:
                    yield tile, delay, count


class RecallRow(NamedTuple):
    """How often patterns are found back."""

    crossbar: str
    """``exact`` or ``tile``."""
    delay: float
    patterns: int
    load: float
    """Patterns a neuron."""
    rates: tuple[float, ...]
    """Part of the patterns that are recalled, of each set."""


def recall_rate(
    study: RecallStudy, count: int, delay: float, seed: int, device: Device | None
) -> float:
    """Return the part of a set's patterns that are recalled.

    Parameters
    ----------
    study : RecallStudy
    count : int
        Patterns of the set.
    delay : float
    seed : int
        Of the patterns, of what is turned, and of the tile.
    device : Device or None
        Of a tile's crosspoints; None: an exact crossbar.
    """
    patterns = random_patterns(count, study.neurons, seed)
    matrix = hopfield(patterns)
    crossbar = None if device is None else tile_for(matrix, device, seed, out_noise=0.005)
    net = DelayNet(study.gain, (delay,), STEP)
    network = make_network(study.engine, net, matrix, crossbar)
    samples = round((SPAN + 8 * delay) / STEP)
    recalled = 0
    for number, pattern in enumerate(patterns):
        order = np.argsort(normal_cells(seed, 1, study.neurons, TURNED + number)[0], kind="stable")
        begin = pattern.copy()
        begin[order[: round(study.turned * study.neurons)]] *= -1
        network.start(START * begin)
        late = network.run(samples)[-round(LATE * samples) :]
        overlaps = np.sign(late) @ pattern / study.neurons
        recalled += bool(overlaps.min() >= OVERLAP)
    return recalled / count


def run_recall(
    study: RecallStudy,
    device: Device,
    on_row: Callable[[Sequence[RecallRow]], object] = lambda rows: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[RecallRow]:
    """Run all loads and delays, exactly and on a tile; return the rows done before ``stop``."""
    rows: list[RecallRow] = []
    for tile, delay, count in study.points():
        rates = []
        for seed in range(1, study.seeds + 1):
            if stop():
                return rows
            rates.append(recall_rate(study, count, delay, seed, device if tile else None))
        name = "tile" if tile else "exact"
        rows.append(RecallRow(name, delay, count, count / study.neurons, tuple(rates)))
        on_row(rows)
    return rows
