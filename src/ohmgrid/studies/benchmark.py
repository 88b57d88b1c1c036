"""Training speed of engines, of aihwkit and of plain C, side by side on one net.

Every contender trains the same examples in the same order after the same warm-up, for the work of
an update depends on how far a net is trained. Samples are taken in turns, one of each contender a
round, so that whatever else the machine does meets all of them alike.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from ohmgrid.config import Config
from ohmgrid.engines import make_core
from ohmgrid.model.core.core import epoch_order
from ohmgrid.net import Net
from ohmgrid.registers.meters import cycles_by_verb
from ohmgrid.studies.peer import Peer
from ohmgrid.studies.plain_c import PlainNet, initial_weights
from ohmgrid.tile import TileState
from ohmgrid.training.data import Dataset

__all__ = [
    "PLAIN_C",
    "Contender",
    "Workload",
    "engine_contender",
    "measure",
    "peer_contender",
    "plain_contender",
    "prices",
    "warm_states",
]

PLAIN_C = "plain C"
"""The contender without a device, by the name that the table shows."""
PART = 1 << 14
"""Examples that lie ready for plain C at a time: those of a long sample are gigabytes."""
TRIAL_S = 0.005
"""Seconds of a run that say how long a longer one takes."""


@dataclass(frozen=True)
class Workload:
    """What is trained."""

    device: str
    """Name of the device, as the table shows it."""
    config: Config
    net: Net
    data: Dataset
    lr: float
    """Learning rate of the mean over a batch; that of an example is this divided by ``batch``."""
    warm_up: int
    """Examples trained before the clock runs."""

    @property
    def batch(self) -> int:
        """Examples of a mini-batch."""
        return self.config.batch

    def order(self, first: int, count: int) -> np.ndarray:
        """Return which examples are trained from position ``first`` on, epoch after epoch."""
        epoch = epoch_order(self.config.seed, 0, len(self.data.train_labels))
        return epoch[np.arange(first, first + count) % len(epoch)]


class Runner(Protocol):
    """Something that trains."""

    cycles: int | None
    """Clock cycles of what was trained last, where there is a clock."""

    def train(self, order: np.ndarray) -> tuple[float, float]:
        """Train on examples in an order; return seconds and processor seconds."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


class _Engine:
    """An engine of ohmgrid's."""

    cycles: int | None = None

    def __init__(
        self, engine: str, work: Workload, threads: int, states: Sequence[TileState]
    ) -> None:
        self._work = work
        self._core = make_core(engine, work.config, work.net, threads)
        try:
            self._core.prepare()
            self._core.load(states)
        except BaseException:
            self.close()
            raise

    def train(self, order: np.ndarray) -> tuple[float, float]:
        work = self._work
        pixels, labels = work.data.train_x[order], work.data.train_labels[order]
        before = self._clock()
        wall, cpu = time.perf_counter(), time.process_time()
        self._core.train(pixels, labels, work.lr / work.batch, work.batch)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.cycles = self._clock() - before if self._core.clock else None
        return wall, cpu

    def _clock(self) -> int:
        clock = self._core.clock
        return sum(cycles_by_verb(clock).values()) if clock else 0

    def close(self) -> None:
        self._core.close()


class _Peer:
    """aihwkit, warmed up."""

    cycles: int | None = None

    def __init__(self, python: str, work: Workload) -> None:
        self._peer = Peer(
            python,
            work.device,
            work.net.layers,
            work.batch,
            work.lr,
            work.data,
            work.config.formats.x_frac,
            work.net.activation,
        )
        self.close = self._peer.close
        self._peer.train(work.order(0, work.warm_up).tolist())

    def train(self, order: np.ndarray) -> tuple[float, float]:
        return self._peer.train(order.tolist())


class _PlainC:
    """Plain C, warmed up."""

    cycles: int | None = None

    def __init__(self, work: Workload) -> None:
        self._work = work
        self._net = PlainNet(work.net, initial_weights(work.net, work.config.seed))
        self.close = self._net.close
        self.train(work.order(0, work.warm_up))

    def train(self, order: np.ndarray) -> tuple[float, float]:
        work, wall, cpu = self._work, 0.0, 0.0
        one = np.float32(1 << work.config.formats.x_frac)
        for first in range(0, len(order), PART):
            part = order[first : first + PART]
            pixels = work.data.train_x[part].astype(np.float32) / one
            labels = work.data.train_labels[part].astype(np.int32)
            begin = time.perf_counter(), time.process_time()
            self._net.train(pixels, labels, work.lr)
            wall += time.perf_counter() - begin[0]
            cpu += time.process_time() - begin[1]
        return wall, cpu


@dataclass
class Contender:
    """One row of the table."""

    engine: str
    work: Workload
    threads: int
    start: Callable[[], Runner]
    start_s: float = 0.0
    """Seconds until it was ready, compilation and warm-up included."""
    rates: list[float] = field(default_factory=list)
    """Examples a second, one for each sample."""
    cycles: list[float] = field(default_factory=list)
    """Clock cycles an example, where there is a clock."""
    cpu_rates: list[float] = field(default_factory=list)
    """Examples for a second of processor time: other work on the machine hardly changes it."""

    def row(self) -> dict[str, Any]:
        """Return what ``--json`` shows."""
        return {
            "engine": self.engine,
            "device": self.work.device,
            "layers": "-".join(map(str, self.work.net.layers)),
            "batch": self.work.batch,
            "threads": self.threads,
            "examples_per_s": statistics.median(self.rates),
            "spread": [min(self.rates), max(self.rates)],
            "examples_per_cpu_s": statistics.median(self.cpu_rates),
            "cycles_per_example": statistics.median(self.cycles) if self.cycles else None,
            "samples": len(self.rates),
            "start_s": self.start_s,
        }


def warm_states(work: Workload) -> list[TileState]:
    """Return the state of every tile after the warm-up, computed by the fastest engine."""
    core = make_core("compiled", work.config, work.net)
    core.initialise()
    order = work.order(0, work.warm_up)
    pixels, labels = work.data.train_x[order], work.data.train_labels[order]
    core.train(pixels, labels, work.lr / work.batch, work.batch)
    return core.state()


def engine_contender(
    engine: str, work: Workload, threads: int, states: Sequence[TileState]
) -> Contender:
    """Return an engine that goes on from the states of `warm_states`."""
    return Contender(engine, work, threads, lambda: _Engine(engine, work, threads, states))


def peer_contender(python: str, work: Workload, name: str) -> Contender:
    """Return aihwkit under an interpreter that has it."""
    return Contender(name, work, 1, lambda: _Peer(python, work))


def plain_contender(work: Workload) -> Contender:
    """Return plain C on the net and the data of some work: one example at a time, no device."""
    alone = replace(work, device="no device", config=work.config.replace(batch=1))
    return Contender(PLAIN_C, alone, 1, lambda: _PlainC(alone))


def prices(contender: Contender, plain: Contender) -> list[float] | None:
    """Return, for each round, plain C's rate over that of a contender: the price of its physics.

    None where a batch is larger than one: plain C has no mini-batches, and one that had them would
    be faster.
    """
    if contender.work.batch > 1:
        return None
    return [its / ours for its, ours in zip(plain.rates, contender.rates, strict=True)]


def _sample(runner: Runner, contender: Contender, first: int, count: int) -> None:
    wall, cpu = runner.train(contender.work.order(first, count))
    contender.rates.append(count / wall)
    contender.cpu_rates.append(count / cpu)
    if runner.cycles is not None:
        contender.cycles.append(runner.cycles / count)


def _trial(runner: Runner, work: Workload, seconds: float) -> tuple[int, int]:
    """Return where the first sample begins and how many examples a sample takes.

    A short run says so, which is not counted; of a fast contender several, each with twice the
    examples of the one before.
    """
    place, trial, wall = work.warm_up, 2 * work.batch, 0.0
    while wall < TRIAL_S:
        trial *= 2
        wall, _ = runner.train(work.order(place, trial))
        place += trial
    return place, max(1, round(seconds * trial / wall / work.batch)) * work.batch


def measure(
    contenders: Sequence[Contender],
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> None:
    """Fill the rates of all contenders.

    Parameters
    ----------
    contenders : sequence of Contender
    rounds : int
        Samples of each.
    seconds : float
        About how long a sample takes.
    tell : callable
        Called with what happens now, for people.
    """
    runners: list[Runner] = []
    try:
        for contender in contenders:
            tell(f"starting {contender.engine}, {contender.work.device}")
            begin = time.perf_counter()
            runners.append(contender.start())
            contender.start_s = time.perf_counter() - begin
        places, counts = [], []
        for runner, contender in zip(runners, contenders, strict=True):
            place, count = _trial(runner, contender.work, seconds)
            places.append(place)
            counts.append(count)
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            for k, (runner, contender) in enumerate(zip(runners, contenders, strict=True)):
                _sample(runner, contender, places[k], counts[k])
                places[k] += counts[k]
    finally:
        for runner in runners:
            runner.close()
