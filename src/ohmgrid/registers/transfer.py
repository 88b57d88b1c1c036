"""Transfers from a fast to a slow array as integers (`ohmgrid.model.core.transfer`).

Standard library only.
"""

import math
from typing import NamedTuple

from ohmgrid.config import Config, FormatConfig
from ohmgrid.devices.transfer import (
    BufferedTransfer,
    ChoppedTransfer,
    DynamicTransfer,
    Transfer,
)
from ohmgrid.doors.checks import ConfigError
from ohmgrid.periphery import ConverterConfig
from ohmgrid.registers.readout import VOLTAGE_FRAC
from ohmgrid.registers.scales import normalised

__all__ = [
    "AVERAGE_BITS",
    "AVERAGE_FRAC",
    "BUFFER_BITS",
    "BUFFER_FRAC",
    "BUFFER_TOP",
    "HIDDEN",
    "PART_BITS",
    "PERIOD_BITS",
    "RATE_FRAC",
    "SCALE_BITS",
    "SLOTS_BITS",
    "TransferRegisters",
    "edge_shift",
    "fast_config",
    "fast_number",
    "scaled_rate",
    "slow_config",
    "transfer_registers",
    "transfer_scale",
    "write_rate",
    "write_shift",
]

HIDDEN = 32
"""Number of the fast array of layer l: that of the layer, and this."""
BUFFER_FRAC = 20
"""Fraction bits of a buffer: its threshold is 1.0."""
BUFFER_BITS = 32
BUFFER_TOP = (1 << BUFFER_BITS - 1) - 1
"""Largest magnitude of a buffer."""
SCALE_BITS = 18
"""Width of the mantissa that makes a result of a read what is added to the buffer."""
PART_BITS = 16
"""Fraction bits of shares: momentum, weight of a read in a mean, probabilities."""
AVERAGE_FRAC = 16
"""Fraction bits of the averages of largest activations and errors, edge LSB."""
AVERAGE_BITS = 24
"""Fraction bits of the weight of a new value in them."""
PERIOD_BITS = 24
"""Width of the reads between two flips, in gateware."""
SLOTS_BITS = 33
"""Width of what `scaled_rate` returns."""
RATE_FRAC = 4
"""Of those fraction bits the ones that count where an update is scaled."""


class TransferRegisters(NamedTuple):
    """Integer parameters of the transfers of one array; flags are 0 or 1."""

    every: int
    """Updates between two transfers; 0: never."""
    columns: int
    """Columns of a transfer."""
    buffered: int
    """What is read goes into a buffer, of whose whole steps each is a pulse."""
    chopped: int
    """Columns and rows have signs."""
    dynamic: int
    """What counts is the difference to the mean before the last flip."""
    averaged: int
    """Updates are scaled by the averages of largest activations and errors."""
    momentum: int
    """Part of the buffer that is left after a step, `PART_BITS` fraction bits."""
    forget: int
    """That part is of the whole buffer."""
    cap: int
    """Most that is left in a buffer that does not forget."""
    flip: int
    """Probability that a column's sign flips after a read; 0 where that is regular."""
    period: int
    """Reads after which it flips where that is regular, and of which means are made; 0: neither."""
    row_flip: int
    """Probability that a row's sign flips after all columns were read."""
    weight: int
    """Of a read in a mean."""
    average: int
    """Of an update in the averages, `AVERAGE_BITS` fraction bits."""


def fast_number(number: int) -> int:
    """Return the number of the fast array of a tile.

    Raises
    ------
    ValueError
        Of a tile that has none.
    """
    if not 0 <= number < HIDDEN:
        raise ValueError(f"number: expected 0..{HIDDEN - 1} of a tile with transfers, got {number}")
    return number + HIDDEN


def _part(value: float) -> int:
    return round(value * (1 << PART_BITS))


def transfer_registers(config: Config, cols: int) -> TransferRegisters:
    """Round the parameters of the transfers of an array of so many columns.

    The configuration's device is a `Transfer`.
    """
    device = config.device
    assert isinstance(device, Transfer)
    none = TransferRegisters(
        every=device.every(cols, config.batch),
        columns=min(device.n_reads_per_transfer, cols),
        **dict.fromkeys(
            (
                *("buffered", "chopped", "dynamic", "averaged", "momentum", "forget", "cap"),
                *("flip", "period", "row_flip", "weight", "average"),
            ),
            0,
        ),
    )
    if isinstance(device, BufferedTransfer | ChoppedTransfer):
        none = none._replace(
            buffered=1,
            momentum=_part(device.momentum),
            forget=int(device.forget_buffer),
            cap=BUFFER_TOP,
        )
    if isinstance(device, ChoppedTransfer):
        if device.auto_scale and not config.pulses.managed:
            raise ConfigError(
                "pulses.update_management", "expected true with auto_scale, got false"
            )
        regular = device.in_chop_prob > 0 and not device.in_chop_random
        none = none._replace(
            chopped=1,
            flip=_part(device.in_chop_prob) if device.in_chop_random else 0,
            period=device.reads if regular else 0,
            row_flip=_part(device.out_chop_prob),
            averaged=int(device.auto_scale),
            average=round((1 - device.auto_momentum) / config.batch * (1 << AVERAGE_BITS)),
        )
    if isinstance(device, DynamicTransfer):
        cap = device.buffer_cap * (1 << BUFFER_FRAC)
        none = none._replace(
            dynamic=1,
            # A period ends whatever is drawn.
            period=device.reads,
            weight=_part(min(device.tail_weightening / device.reads, 1.0)),
            cap=round(cap) if cap else BUFFER_TOP,
        )
    return none


def fast_config(config: Config) -> Config:
    """Return the configuration of the fast array alone: its forward is a read for a transfer."""
    device = config.device
    assert isinstance(device, Transfer)
    return config.replace(device=device.fast, forward=device.transfer_forward)


def slow_config(config: Config) -> Config:
    """Return the configuration of the slow array alone: its updates are those of transfers."""
    device = config.device
    assert isinstance(device, Transfer)
    return config.replace(device=device.slow, pulses=device.transfer_update)


def transfer_scale(device: Transfer, unit: float, cols: int, lr: float) -> tuple[int, int]:
    """Return mantissa and shift from results of a read to a buffer; 0, 0 where there is none.

    Parameters
    ----------
    device : Transfer
    unit : float
        One LSB of a result of a read, weight units.
    cols : int
        Of the array.
    lr : float
        Learning rate of the run.

    Raises
    ------
    ConfigError
        If one LSB is more than a buffer holds, or nothing at all.
    """
    if not isinstance(device, BufferedTransfer | ChoppedTransfer):
        return 0, 1
    steps = unit * device.transfer_rate(lr) / device.threshold(cols)
    mantissa, shift = normalised(math.ldexp(steps, BUFFER_FRAC), SCALE_BITS)
    if not 1 <= shift <= 50:
        raise ConfigError(
            "transfer_lr",
            "expected a rate at which the smallest read is 2**-52 to 2**-3 steps of the slow "
            f"array, got {steps:.3g}",
        )
    return mantissa, shift


def write_shift(config: Config) -> int:
    """Return `edge_shift` of a configuration whose device is a `Transfer`."""
    assert isinstance(config.device, Transfer)
    return edge_shift(config.formats, config.device.transfer_forward)


def edge_shift(formats: FormatConfig, read: ConverterConfig) -> int:
    """Return the right shift that makes a result of a read an error at the edge.

    That is an ADC code, or, of perfect reads, what is left of a conductance.
    """
    if not read.perfect:
        return formats.x_frac
    return max(1, formats.weight_bits + formats.x_frac - VOLTAGE_FRAC - formats.edge_bits)


def write_rate(config: Config, unit: float, lr: float) -> float:
    """Return the learning rate that makes what is written, as errors at the edge, pulses.

    1.0 is a step of one granularity of the slow device; without a buffer, what is written is what
    was read, times the transfer's rate.

    Parameters
    ----------
    config : Config
    unit : float
        One LSB of a result of a read, weight units.
    lr : float
        Learning rate of the run.
    """
    device = config.device
    assert isinstance(device, Transfer)
    if isinstance(device, BufferedTransfer | ChoppedTransfer):
        return device.slow.granularity
    return math.ldexp(unit * device.transfer_rate(lr), write_shift(config) + config.formats.d_frac)


def scaled_rate(config: Config, lr: float) -> int:
    """Return what is divided by both averages, for the pulses that the largest product asks for.

    That is ``fast_lr`` (times the run's) of the longest train, with 16 fraction bits and those of
    the averages.

    Raises
    ------
    ConfigError
        If that is more than 256 slots.
    """
    device = config.device
    assert isinstance(device, ChoppedTransfer)
    slots = device.rate(lr) * config.pulses.desired_bl
    if slots > 256:
        raise ConfigError("fast_lr", f"expected at most 256 slots of a train, got {slots:g}")
    return round(slots * (1 << 16 + 2 * RATE_FRAC))
