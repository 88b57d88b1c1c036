"""A trained net on phase-change memory: how well it classifies long after it was programmed.

Weights become pairs of conductances, are programmed, drift and are read with noise
(`ohmgrid.studies.phase_change`); what is read becomes weights again, and a core whose devices hold
them as they are classifies with it, with the converters of the run. docs/retention.md has the
equations.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.core import Core
from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError, check_int
from ohmgrid.model.base.noise import cell_words, gaussian, op_key, seed_key
from ohmgrid.model.core.core import programmed_state
from ohmgrid.model.periphery.lines import key_halves
from ohmgrid.portable import ceil_log2
from ohmgrid.registers.noise import GAUSS_BITS, GAUSS_SIGMA, Purpose, Verb, reading_step
from ohmgrid.studies.phase_change import NoiseModel, Programmed, to_pairs
from ohmgrid.studies.times import MOST_SECONDS
from ohmgrid.tile import TileState

__all__ = [
    "Question",
    "Retention",
    "Row",
    "Trained",
    "gains_of",
    "holding_config",
    "mean_and_error",
    "measure",
    "normals",
    "read_after",
]

MOST_TIMES, MOST_REPEATS = 64, 1000
WEIGHT_BITS = 18
LEAST_REACH, MOST_REACH = 0.25, 8.0
"""Weight units: bounds of a device that a configuration allows, and that its registers hold."""
SPARE = 2.0
"""How far beyond the largest weight a reading may be: the largest deviate is at 3.7 sigma."""
PROGRAMMING, READING = 0, 1
"""Sub numbers of the lines of `Verb.RETENTION`."""


@dataclass(frozen=True)
class Question:
    """What is programmed, and when it is read."""

    model: NoiseModel
    after: tuple[int, ...]
    """Seconds after programming."""
    repeats: int = 5
    """How often everything is programmed and read anew."""
    seed: int = 1
    """Of the noise of devices."""

    def __post_init__(self) -> None:
        check_int("seed", self.seed, 0, (1 << 64) - 1)
        check_int("repeats", self.repeats, 1, MOST_REPEATS)
        if not 1 <= len(self.after) <= MOST_TIMES:
            raise ConfigError("after", f"expected 1..{MOST_TIMES} times, got {len(self.after)}")
        for seconds in self.after:
            check_int("after", seconds, 0, MOST_SECONDS)


class Trained(NamedTuple):
    """A net that has learned, and what it is tested with."""

    weights: Sequence[np.ndarray]
    """Of each layer, weight units: float64, shape (rows, columns)."""
    begun: Sequence[int]
    """Forward operations of each layer so far: the converters' noise goes on from there."""
    pixels: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Row:
    """Accuracies at one time, one for each repetition."""

    seconds: int
    plain: tuple[float, ...]
    compensated: tuple[float, ...]
    gains: tuple[float, ...]
    """Gain of each layer, the mean over the repetitions."""


@dataclass(frozen=True)
class Retention:
    """What the net came to."""

    exact: float
    """Accuracy with the weights themselves."""
    rows: tuple[Row, ...]
    clipped: int
    """Weights, of all that were read, beyond what the core's devices hold."""


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and its standard error, None of a single value."""
    if len(values) == 1:
        return values[0], None
    return fmean(values), stdev(values) / math.sqrt(len(values))


def holding_config(config: Config, weights: Sequence[np.ndarray]) -> Config:
    """Return the configuration with devices that hold any weight exactly, up to rounding.

    No spread, no noise, no stuck devices; bounds, a power of two, at `SPARE` times the largest
    weight or beyond, in words of `WEIGHT_BITS` bits.
    """
    largest = max(float(np.abs(layer).max()) for layer in weights)
    reach = LEAST_REACH
    if largest * SPARE > LEAST_REACH:
        reach = min(math.ldexp(1.0, ceil_log2(largest * SPARE)), MOST_REACH)
    device = ConstantStep(
        dw_min_dtod=0.0,
        dw_min_std=0.0,
        up_down_dtod=0.0,
        w_max=reach,
        w_max_dtod=0.0,
        w_min=-reach,
        w_min_dtod=0.0,
    )
    return config.replace(device=device, formats={"weight_bits": WEIGHT_BITS})


def normals(key: int, rows: int, cols: int, sub: int) -> np.ndarray:
    """Return four standard normals for each cell: float64, shape (2, 2, rows, cols).

    Word 0 of a cell gives ``[0]``, word 1 ``[1]``: the first two Gaussians of each, for the plus
    and for the minus device.

    Parameters
    ----------
    key : int
        Operation key.
    rows, cols : int
    sub : int
        Sub number of the lines.
    """
    row_halves = key_halves(key, Purpose.ROW, rows, sub)
    col_halves = key_halves(key, Purpose.COLUMN, cols, sub)
    drawn = []
    for row, col in zip(row_halves, col_halves, strict=True):
        word = cell_words(row[:, None], col[None, :]).astype(np.int64)
        fields = [(word >> GAUSS_BITS * k) & ((1 << GAUSS_BITS) - 1) for k in range(2)]
        drawn.append(gaussian(np.stack(fields)) / GAUSS_SIGMA)
    return np.stack(drawn)


class _Layer:
    """A layer's devices, programmed once."""

    def __init__(self, question: Question, number: int, repeat: int, weights: np.ndarray) -> None:
        self._question, self._number, self._repeat = question, number, repeat
        self._rows, self._cols = weights.shape
        targets, self._scale = to_pairs(weights, question.model.g_max)
        noise, drift = self._drawn(0, PROGRAMMING)
        self._programmed: Programmed = question.model.program(targets, noise, drift)

    def _drawn(self, seconds: int, sub: int) -> np.ndarray:
        step = reading_step(self._repeat, seconds)
        key = op_key(seed_key(self._question.seed), Verb.RETENTION, self._number, step)
        return normals(key, self._rows, self._cols, sub)

    def read(self, seconds: int) -> np.ndarray:
        """Return the weights as they are read (float64); at the same time, always the same."""
        noise, _ = self._drawn(seconds, READING)
        plus, minus = self._question.model.reading(self._programmed, seconds, noise)
        return (plus - minus) / self._scale


def read_after(
    question: Question, repeat: int, weights: Sequence[np.ndarray]
) -> Callable[[int], list[np.ndarray]]:
    """Programme a net; return what reads its weights so many seconds later.

    Parameters
    ----------
    question : Question
    repeat : int
        How often it was programmed before: each time has noise of its own.
    weights : sequence of float64, shape (rows, columns)
        Of each layer, weight units, as are those that are read.
    """
    layers = [_Layer(question, number, repeat, one) for number, one in enumerate(weights)]
    return lambda seconds: [layer.read(seconds) for layer in layers]


def gains_of(before: Sequence[np.ndarray], now: Sequence[np.ndarray]) -> list[float]:
    """Return for each layer the ratio of the mean absolute read-outs, before to now.

    Unit vectors read out the columns, so that these are means over a layer's weights.
    """
    gains = []
    for old, new in zip(before, now, strict=True):
        # Correctly rounded, in whatever order they are summed.
        sums = [math.fsum(np.abs(weights).ravel().tolist()) for weights in (old, new)]
        gains.append(sums[0] / sums[1] if all(sums) else 1.0)
    return gains


class _Tester:
    """Counts what a core classifies right."""

    def __init__(self, core: Core, trained: Trained) -> None:
        self._core, self._trained = core, trained
        self.clipped = 0

    def accuracies(
        self, repeat: int, weights: Sequence[np.ndarray], every: Sequence[Sequence[float]]
    ) -> list[float]:
        """Return the accuracy with some weights and each of several sets of gains.

        Each is read by converters with the same noise: what differs is by the gains.
        """
        trained, core = self._trained, self._core
        _, reach = core.config.device.bounds
        passed = repeat * len(trained.labels)
        states: list[TileState] = []
        for number, (layer, begun) in enumerate(zip(weights, trained.begun, strict=True)):
            state, _ = programmed_state(core.config, number, layer)
            states.append(state._replace(steps=(begun + passed, 0, 0)))
            # Where the register ends as well: nothing there tells what is lost.
            self.clipped += int(np.count_nonzero(np.abs(layer) > reach))
        found = []
        for gains in every:
            core.load(states)
            core.set_gains(gains)
            found.append(self._hits() / len(trained.labels))
        return found

    def _hits(self) -> int:
        """Count in blocks, so that Ctrl-C is heard between two of them."""
        _, _, pixels, labels = self._trained
        step = self._core.block
        blocks = (slice(first, first + step) for first in range(0, len(labels), step))
        return sum(self._core.count_hits(pixels[one], labels[one]) for one in blocks)


def measure(
    core: Core,
    question: Question,
    trained: Trained,
    on_done: Callable[[int], object] = lambda done: None,
) -> Retention:
    """Programme a net again and again, and test it at each time.

    Parameters
    ----------
    core : Core
        Of `holding_config`.
    question : Question
    trained : Trained
    on_done : callable of int
        Told how many of ``repeats * len(after)`` tests are done.
    """
    tester, weights = _Tester(core, trained), trained.weights
    ones = [1.0] * len(weights)
    [exact] = tester.accuracies(0, weights, [ones])
    plain, compensated, gains = ([[] for _ in question.after] for _ in range(3))
    for repeat in range(question.repeats):
        read = read_after(question, repeat, weights)
        before = read(0)
        for place, seconds in enumerate(question.after):
            now = read(seconds)
            own = gains_of(before, now)
            without, with_gains = tester.accuracies(repeat, now, [ones, own])
            plain[place].append(without)
            compensated[place].append(with_gains)
            gains[place].append(own)
            on_done(repeat * len(question.after) + place + 1)
    rows = tuple(
        Row(
            seconds,
            tuple(plain[place]),
            tuple(compensated[place]),
            tuple(fmean(one) for one in zip(*gains[place], strict=True)),
        )
        for place, seconds in enumerate(question.after)
    )
    return Retention(exact, rows, tester.clipped)
