"""Residual learning as integers (`ohmgrid.model.core.residual`).

Standard library only.
"""

import math
from typing import NamedTuple

from ohmgrid.config import Config
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.doors.checks import ConfigError
from ohmgrid.registers.edge import PulseRegisters, pulse_registers
from ohmgrid.registers.transfer import edge_shift

__all__ = [
    "SUM_FRAC",
    "ResidualRegisters",
    "cell_config",
    "residual_registers",
    "rounded_gains",
    "sum_top",
    "write_registers",
]

SUM_FRAC = 12
"""Fraction bits of an array's weight in the sum."""


class ResidualRegisters(NamedTuple):
    """Integer parameters; sequences are about arrays 0, 1, and so on."""

    gains: tuple[int, ...]
    """`SUM_FRAC` fraction bits."""
    every: tuple[int, ...]
    """Updates after which an array hands on to the next one; of the last one there is none."""
    warm: int
    """Updates in which each array is filled from array 0."""


def cell_config(config: Config) -> Config:
    """Return the configuration of the arrays alone: their forward is a read for a transfer."""
    device = config.device
    assert isinstance(device, ResidualLearning)
    return config.replace(device=device.cell, forward=device.transfer_forward)


def rounded_gains(device: ResidualLearning) -> tuple[int, ...]:
    """Return the weights of arrays 0, 1, and so on in the sum, `SUM_FRAC` fraction bits."""
    return tuple(round(math.ldexp(gain, SUM_FRAC)) for gain in device.gains())


def sum_top(device: ResidualLearning, weight_bits: int) -> int:
    """Return a bound of the magnitude of a sum, weight LSB."""
    return ((1 << (weight_bits - 1)) * sum(rounded_gains(device)) >> SUM_FRAC) + 1


def residual_registers(config: Config) -> ResidualRegisters:
    """Round the parameters of a configuration whose device is a `ResidualLearning`.

    Raises
    ------
    ConfigError
        If the weight of array 0 rounds to 0.
    """
    device = config.device
    assert isinstance(device, ResidualLearning)
    gains = rounded_gains(device)
    if gains[0] == 0:
        raise ConfigError(
            "device.gamma",
            f"expected a power of at least 2**-{SUM_FRAC + 1} for the first of {device.count} "
            f"arrays, got {device.gains()[0]:.3g}",
        )
    return ResidualRegisters(gains, tuple(device.every(config.batch)), device.warm_updates)


def write_registers(
    config: Config, granularity: float, unit: float, lr: float
) -> list[PulseRegisters]:
    """Return the registers of writes from arrays 0 to `count` - 2 into the next ones.

    What is written, as errors at the edge, is what was read, times the transfer's rate.

    Parameters
    ----------
    config : Config
    granularity : float
        Of a device, weight units.
    unit : float
        One LSB of a result of a read, weight units.
    lr : float
        Learning rate of the run.
    """
    device = config.device
    assert isinstance(device, ResidualLearning)
    places = edge_shift(config.formats, device.transfer_forward) + config.formats.d_frac
    return [
        pulse_registers(config, granularity, math.ldexp(unit * rate, places))
        for rate in device.transfer_rates(lr)
    ]
