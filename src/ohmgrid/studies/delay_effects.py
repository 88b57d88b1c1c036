"""What an analog crossbar does to a network with delay: its critical delay and its period.

One effect at a time, on a tile that is otherwise as good as its converters: weights that are
programmed with an error, read with noise, converted with few bits, or that have leaked.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ohmgrid.devices.steps import ConstantStep
from ohmgrid.doors.checks import ConfigError, check_choice, check_int
from ohmgrid.dynamics import OnTile
from ohmgrid.studies.matrices import all_inhibitory, normal_cells
from ohmgrid.studies.onset import Question, critical_delay
from ohmgrid.studies.oscillation import long_run, tile_for

__all__ = ["EFFECTS", "DelayStudy", "Effect", "Row", "device_of", "run_effects"]

BASE = 0.1
"""Error of programming beside few bits: of lines that are all alike, any DAC is exact."""
LIFETIME = 1000.0
"""Updates in which a weight of the study's device leaks to 1/e."""
ERRORS = 4
"""Step of `Verb.INIT` that errors of programming are drawn from."""
FINE = 12
"""Bits of an ADC that is not what is asked about; of a DAC 8."""


class Effect(NamedTuple):
    """What is varied."""

    levels: tuple[float, ...]
    title: str


EFFECTS: dict[str, Effect] = {
    "programming": Effect((0.0, 0.05, 0.1, 0.2, 0.3), "error of a weight / largest weight"),
    "read": Effect((0.0, 0.01, 0.02, 0.05, 0.1), "read noise of a weight / largest weight"),
    "adc": Effect((4, 5, 6, 7, 9, 12), "bits of the ADC"),
    "dac": Effect((2, 3, 4, 5, 6, 8), "bits of the DAC"),
    "leak": Effect((0.0, 0.1, 0.2, 0.3, 0.5), "time since programming / lifetime"),
}


@dataclass(frozen=True)
class DelayStudy:
    """What is to be run: every level of each effect, with each seed."""

    effects: tuple[str, ...] = tuple(EFFECTS)
    neurons: int = 8
    """Of an all-inhibitory network."""
    gain: float = 2.0
    """At which the critical delay is searched for."""
    high_gain: float = 6.0
    """At which the period is measured, with a delay of `DELAY`."""
    seeds: int = 3
    engine: str = "compiled"

    def __post_init__(self) -> None:
        check_int("neurons", self.neurons, 1, 64)
        check_int("seeds", self.seeds, 1, 100)
        for name in self.effects:
            check_choice("effects", name, tuple(EFFECTS))
        if not self.effects:
            raise ConfigError("effects", f"expected some of {', '.join(EFFECTS)}, got none")

    def points(self) -> Iterator[tuple[str, float]]:
        """Yield effects and levels."""
        for name in self.effects:
            for level in EFFECTS[name].levels:
                yield name, level


DELAY = 1.0
"""Delay at which the period is measured, RC."""


class Row(NamedTuple):
    """An effect at a level: of each seed."""

    effect: str
    level: float
    critical: tuple[float | None, ...]
    """Critical delay, RC; None: it never oscillates."""
    period: tuple[float | None, ...]
    """RC; None: it does not oscillate."""


def device_of() -> ConstantStep:
    """Return the study's device: all alike, and they leak once they are left alone."""
    return ConstantStep(
        dw_min_dtod=0.0,
        dw_min_std=0.0,
        up_down_dtod=0.0,
        w_max=1.0,
        w_max_dtod=0.0,
        w_min=-1.0,
        w_min_dtod=0.0,
        lifetime=LIFETIME,
        lifetime_dtod=0.0,
    )


def crossbar_of(effect: str, level: float, matrix: np.ndarray, seed: int) -> OnTile:
    """Return the tile that shows an effect."""
    bits = {f"{name}_bits": int(level) for name in ("adc", "dac") if name == effect}
    return tile_for(
        matrix,
        device_of(),
        seed,
        **{"dac_bits": 8, "adc_bits": FINE} | bits,
        w_noise=level if effect == "read" else 0.0,
        age=round(level * LIFETIME) if effect == "leak" else 0,
    )


def run_effects(
    study: DelayStudy,
    on_row: Callable[[Sequence[Row]], object] = lambda rows: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Row]:
    """Run all levels; return a row for each that was done before ``stop`` was true."""
    exact, rows = all_inhibitory(study.neurons), []
    for effect, level in study.points():
        critical, period = [], []
        for seed in range(1, study.seeds + 1):
            if stop():
                return rows
            error = level if effect == "programming" else BASE * (effect in ("adc", "dac"))
            drawn = normal_cells(seed, study.neurons, study.neurons, ERRORS)
            matrix = exact + error * np.abs(exact).max() * drawn
            crossbar = crossbar_of(effect, level, matrix, seed)
            question = Question(matrix, crossbar=crossbar, engine=study.engine)
            critical.append(critical_delay(question, study.gain)[0])
            period.append(long_run(question, study.high_gain, DELAY).period)
        rows.append(Row(effect, level, tuple(critical), tuple(period)))
        on_row(rows)
    return rows
