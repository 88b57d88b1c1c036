"""How often a known device comes back from a measurement of it: quoted by ``docs/measurements.md``.

``python bench/fit_known.py --seeds 0 20`` draws six devices from each seed, one of each class,
measures them (1 to 4 cycles of 60 to 250 pulses each way, noise of steps 5 % to 50 %, a quarter of
them with noise of reads of 0.5 % of half the range), fits them, and counts what came back.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.steps import (
    ConstantStep,
    ExpStep,
    LinearStep,
    PiecewiseStep,
    PowStep,
    SoftBounds,
)
from ohmgrid.measurements.courses import Course, Measurement
from ohmgrid.measurements.fitting import fit_measurement
from ohmgrid.measurements.replay import mean_steps

CALM: dict[str, Any] = {
    "dw_min_dtod": 0.0, "up_down_dtod": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0,
    "w_max": 1.0, "w_min": -1.0,
}  # fmt: skip
"""All devices alike, bounds at the ends of the range."""
GOALS = {
    "two best": "the true class among the two best",
    "in question": "the true class best, or named as not to be told from the best",
    "step": "mean step at mid-range within 5 %",
    "step, 2 errors": "within twice the standard error that the fit gives",
    "noise": "noise of steps within 15 %",
    "noise, 2 errors": "within twice the standard error that the fit gives",
    "misfit": "at most 1.3 times the smallest of all classes",
}
"""What is counted."""


@dataclass(frozen=True)
class Row:
    """One measurement and what came back."""

    seed: int
    kind: str
    pulses: int
    cycles: int
    noise: float
    read: float
    best: str
    behind: float
    """How much the true class's criterion is behind the best one's."""
    step_off: float
    """Relative deviation."""
    noise_off: float
    met: dict[str, bool]
    """Which of `GOALS`."""


def devices(rng: np.random.Generator) -> Iterator[StepDevice]:
    """Yield a device of each class."""

    def u(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def size() -> float:
        return 2 / u(60, 200)

    yield ConstantStep(**CALM, dw_min=size(), up_down=u(-0.4, 0.4))
    yield LinearStep(
        **CALM, dw_min=size(), up_down=u(-0.3, 0.3), gamma_up=u(0.2, 0.9), gamma_down=u(0.2, 0.9),
        gamma_up_dtod=0.0, gamma_down_dtod=0.0,
    )  # fmt: skip
    yield SoftBounds(**CALM, dw_min=1.5 * size(), up_down=u(-0.3, 0.3))
    yield ExpStep(
        **CALM, dw_min=size(), A_up=u(0.05, 0.5), A_down=u(0.05, 0.5), gamma_up=u(2, 8),
        gamma_down=u(2, 8), a=0.5, b=0.0,
    )  # fmt: skip
    yield PowStep(**CALM, dw_min=2 * size(), pow_gamma=u(0.5, 2.5), pow_gamma_dtod=0.0)
    yield PiecewiseStep(
        **CALM, dw_min=size(), piecewise_up=tuple(rng.uniform(0.3, 2, 5).tolist()),
        piecewise_down=tuple(rng.uniform(0.3, 2, 5).tolist()),
    )  # fmt: skip


def course(
    device: StepDevice, rng: np.random.Generator, pulses: int, cycles: int, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights, the first a start, and directions of the pulses that led to them."""
    grid = np.linspace(-1, 1, 2001)
    rise, fall = mean_steps(device, grid)
    up = np.r_[True, np.tile(np.arange(2 * pulses) < pulses, cycles)]
    weights = np.full(len(up), -0.9)
    for k in range(1, len(up)):
        size = np.interp(weights[k - 1], grid, rise if up[k] else fall)
        size *= (1 if up[k] else -1) * (1 + noise * rng.standard_normal())
        weights[k] = np.clip(weights[k - 1] + size, -1, 1)
    return weights, up


def measured(seed: int, device: StepDevice, rng: np.random.Generator) -> Row:
    """Measure a device and fit the measurement."""
    pulses, cycles = int(rng.integers(60, 250)), int(rng.integers(1, 5))
    noise, read = float(rng.choice([0.05, 0.2, 0.3, 0.5])), float(rng.choice([0, 0, 0, 0.005]))
    weights, up = course(device, rng, pulses, cycles, noise)
    middle, half = (weights.max() + weights.min()) / 2, np.ptp(weights) / 2
    values = weights + read * rng.standard_normal(len(weights))
    begins = np.arange(len(values)) == 0
    fit = fit_measurement(Measurement((Course("", 5e-6 + 3e-6 * values, up, begins),), "S"))
    true = float(np.mean(mean_steps(device, np.array([middle])))) / half
    found, spread = fit.chosen, fit.chosen.noise
    kinds = [trial.kind for trial in fit.trials]
    own = fit.trials[kinds.index(device.kind)]
    step_off, noise_off = found.step / true - 1, spread.step / noise - 1
    met = {
        "two best": device.kind in kinds[:2],
        "in question": device.kind in (found.kind, *fit.alike),
        "step": abs(step_off) <= 0.05,
        "step, 2 errors": abs(found.step - true) <= max(2 * found.step_error, 0.05 * true),
        "noise": abs(noise_off) <= 0.15,
        "noise, 2 errors": abs(spread.step - noise) <= max(2 * spread.error, 0.15 * noise),
        "misfit": found.misfit <= 1.3 * min(trial.misfit for trial in fit.trials),
    }
    return Row(
        seed, device.kind, pulses, cycles, noise, read, found.kind, own.behind, step_off,
        noise_off, {goal: bool(value) for goal, value in met.items()},
    )  # fmt: skip


def table(rows: list[Row]) -> Table:
    """Return how many of each class met each goal."""
    result = Table(box=None, pad_edge=False, header_style="")
    for name in ("class", "fits", *GOALS):
        result.add_column(name, justify="left" if name == "class" else "right")
    kinds = list(dict.fromkeys(row.kind for row in rows))
    for kind in (*kinds, "all"):
        own = [row for row in rows if kind in (row.kind, "all")]
        counts = [sum(row.met[goal] for row in own) for goal in GOALS]
        result.add_row(kind, str(len(own)), *map(str, counts))
    return result


def main() -> None:
    """Measure, fit and count."""
    parser = argparse.ArgumentParser(description="Devices that come back from measurements.")
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 20), metavar=("FIRST", "END"))
    parser.add_argument("--json", action="store_true", help="One JSON object, each fit in it.")
    options = parser.parse_args()
    rows = []
    for seed in track(range(*options.seeds), console=Console(stderr=True)):
        rng = np.random.default_rng(seed)
        rows += [measured(seed, device, rng) for device in devices(rng)]
    if options.json:
        print(json.dumps({"goals": GOALS, "fits": [asdict(row) for row in rows]}))
    else:
        Console().print(table(rows))


if __name__ == "__main__":
    main()
