"""A fair fight: what each way of training makes of the same devices, over asymmetry and leak.

Every method gets the same step device, seeds, examples and order; only how its updates reach the
weights differs. A device's up and down steps differ by ``asymmetry`` on average (`up_down`), and by
as much from device to device again (`up_down_dtod`); its weight leaks to 0 in ``leak`` updates.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ohmgrid.config import Config
from ohmgrid.devices.base import Device
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.devices.steps import LinearStep
from ohmgrid.devices.transfer import ChoppedTransfer, DynamicTransfer, Transfer
from ohmgrid.doors.checks import ConfigError, check_choice, check_float, check_int
from ohmgrid.engines import make_core
from ohmgrid.storage.files import write_whole
from ohmgrid.training.data import Dataset
from ohmgrid.training.plan import Plan
from ohmgrid.training.session import Session

__all__ = [
    "COLUMNS",
    "METHODS",
    "STATES",
    "Point",
    "Study",
    "Summary",
    "read_points",
    "run_study",
    "summaries",
    "unit",
    "write_points",
]

RANGE = 0.6
STATES = 1200


def unit(asymmetry: float, leak: float, states: int = STATES) -> LinearStep:
    """Return the step device that all methods get.

    Parameters
    ----------
    asymmetry : float
        Down steps are smaller than up steps by this part on average, 0..0.9; from device to device
        it varies by half of that.
    leak : float
        Updates in which a weight leaks to 1/e; 0: it does not.
    states : int
        Steps between both bounds.
    """
    return LinearStep(
        dw_min=2 * RANGE / states,
        dw_min_dtod=0.1,
        dw_min_std=0.1,
        up_down=asymmetry,
        up_down_dtod=asymmetry / 2,
        w_max=RANGE,
        w_max_dtod=0.1,
        w_min=-RANGE,
        w_min_dtod=0.1,
        gamma_up=0.3,
        gamma_down=0.3,
        lifetime=leak,
    )


def _pair(device: LinearStep, examples: int) -> Device:
    return OneSided(replace(device, w_min=0.0), refresh_every=max(1, examples // 8))


def _cell(inversion: bool) -> Callable[[LinearStep, int], Device]:
    # The weight of pair and capacitor, with as many transfers an epoch as MNIST has with 8,000.
    def make(device: LinearStep, examples: int) -> Device:
        every = max(1, examples * 8000 // 60000)
        return PcmCapacitor(device, transfer_every=every, polarity_inversion=inversion)

    return make


def _chopped(chop: float) -> Callable[[LinearStep, int], Device]:
    def make(device: LinearStep, examples: int) -> Device:
        return ChoppedTransfer(
            device, device, fast_lr=0.1, auto_scale=True, auto_granularity=500.0, in_chop_prob=chop
        )

    return make


def _agad(device: LinearStep, examples: int) -> Device:
    return DynamicTransfer(
        device,
        device,
        fast_lr=0.1,
        auto_scale=True,
        auto_granularity=500.0,
        in_chop_prob=0.05,
        tail_weightening=5.0,
    )


METHODS: dict[str, Callable[[LinearStep, int], Device]] = {
    "plain": lambda device, examples: device,
    "pair": _pair,
    "fixed-polarity": _cell(False),
    "polarity-inversion": _cell(True),
    "tiki-taka": lambda device, examples: Transfer(device, device),
    "ttv2": _chopped(0.0),
    "chopped-ttv2": _chopped(0.05),
    "agad": _agad,
    "residual": lambda device, examples: ResidualLearning(
        device, count=3, transfer_every=1.0, every_growth=2.0
    ),
}
"""Name of a method -> what makes its device of the step device, for a number of examples."""


@dataclass(frozen=True)
class Study:
    """What is to be run: each method at each asymmetry and leak, with each seed."""

    asymmetries: tuple[float, ...] = (0.0, 0.1, 0.3, 0.5)
    leaks: tuple[float, ...] = (0.0, 1e5)
    states: int = STATES
    seeds: int = 3
    epochs: int = 10
    lr: float = 0.05
    layers: str = "64-32-10"
    methods: tuple[str, ...] = tuple(METHODS)
    engine: str = "compiled"

    def __post_init__(self) -> None:
        for name, values, high in (
            ("asymmetry", self.asymmetries, 0.9),
            ("leak", self.leaks, 1e12),
        ):
            if not values:
                raise ConfigError(name, "expected at least one number, got none")
            for value in values:
                check_float(name, value, 0.0, high)
        check_int("states", self.states, 2, 100_000)
        check_int("seeds", self.seeds, 1, 1000)
        check_int("epochs", self.epochs, 1, 10000)
        check_float("lr", self.lr, 1e-6, 100.0)
        for method in self.methods:
            check_choice("methods", method, tuple(METHODS))

    def points(self) -> Iterator["Point"]:
        """Yield what is to be run, without accuracies."""
        for leak in self.leaks:
            for asymmetry in self.asymmetries:
                for method in self.methods:
                    for seed in range(1, self.seeds + 1):
                        yield Point(method, asymmetry, leak, self.states, seed, self.epochs, np.nan)

    def missing(self, known: Sequence["Point"]) -> list["Point"]:
        """Return what is to be run and is not among known runs."""
        done = {point[:-1] for point in known}
        return [point for point in self.points() if point[:-1] not in done]


class Point(NamedTuple):
    """One run."""

    method: str
    asymmetry: float
    leak: float
    states: int
    seed: int
    epochs: int
    accuracy: float
    """Of the test part after the last epoch, 0..1."""


COLUMNS = Point._fields
KINDS: Sequence[Callable[[str], str | float | int]] = (str, float, float, int, int, int, float)


def read_points(path: Path) -> list[Point]:
    """Return the runs of a table that a study has written; none where there is no file.

    Raises
    ------
    ConfigError
        If it is no such table.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from None
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ConfigError(str(path), f"expected the columns {', '.join(COLUMNS)}")
    try:
        made = [[kind(text) for kind, text in zip(KINDS, row, strict=True)] for row in rows[1:]]
    except ValueError as error:
        raise ConfigError(str(path), f"expected rows of a study, got: {error}") from None
    return [Point(*row) for row in made]  # type: ignore[arg-type]


def write_points(path: Path, points: Sequence[Point]) -> None:
    """Write the table of all runs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(points)
    write_whole(path, lambda file: file.write(text.getvalue().encode()))


def run_study(
    study: Study,
    data: Dataset,
    known: Sequence[Point],
    on_point: Callable[[Sequence[Point]], None],
    stop: Callable[[], bool] = lambda: False,
) -> list[Point]:
    """Run what is not known yet; return all runs of the study.

    Parameters
    ----------
    study : Study
    data : Dataset
    known : sequence of Point
        Runs of before, other studies' too.
    on_point : callable
        Called after each run with all of them, the known ones included.
    stop : callable
        Asked between runs and blocks; the study ends early where it is true.
    """
    done = {point[:-1]: point for point in known}
    for point in study.missing(known):
        accuracy = _accuracy(study, point, data, stop)
        if accuracy is None:
            break
        done[point[:-1]] = point._replace(accuracy=accuracy)
        on_point([*done.values()])
    return [done[point[:-1]] for point in study.points() if point[:-1] in done]


def _accuracy(study: Study, point: Point, data: Dataset, stop: Callable[[], bool]) -> float | None:
    """Return the test accuracy of one run; None if it was stopped."""
    device = METHODS[point.method](
        unit(point.asymmetry, point.leak, point.states), len(data.train_labels)
    )
    config = Config(seed=point.seed, device=device)
    plan = Plan(data=data.name, layers=study.layers, lr=study.lr, epochs=point.epochs)
    session = Session(config, plan, data, make_core(study.engine, config, plan.net()))
    session.start()
    if not session.run(stop, lambda progress: None, lambda row: None):
        return None
    return session.history[-1]["test_accuracy"]


class Summary(NamedTuple):
    """A method at an asymmetry and a leak."""

    mean: float
    error: float
    """Standard error of the mean; NaN of a single run."""
    runs: int


def summaries(points: Sequence[Point]) -> Mapping[tuple[str, float, float], Summary]:
    """Return mean and standard error over seeds, by method, asymmetry and leak."""
    found: dict[tuple[str, float, float], list[float]] = {}
    for point in points:
        found.setdefault(point[:3], []).append(point.accuracy)
    return {
        key: Summary(
            float(np.mean(values)),
            float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan,
            len(values),
        )
        for key, values in found.items()
    }
