"""Mixed precision as integers (`ohmgrid.model.core.mixed_precision`).

Standard library only.
"""

import math
from dataclasses import replace
from typing import NamedTuple

from ohmgrid.config import Config
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.doors.checks import ConfigError
from ohmgrid.registers.edge import PulseRegisters, pulse_registers
from ohmgrid.registers.scales import normalised

__all__ = [
    "CHI_FRAC",
    "CHI_TOP",
    "MixedRegisters",
    "array_config",
    "mixed_registers",
    "product_scale",
    "write_registers",
]

CHI_FRAC = 20
"""Fraction bits of a sum of products: a step is 1.0."""
CHI_TOP = (1 << 31) - 1
"""Largest magnitude of a sum."""
SCALE_BITS = 18
"""Width of the mantissa that makes a product what is added."""


class MixedRegisters(NamedTuple):
    """Integer parameters of the sums of one array; flags are 0 or 1."""

    every: int
    """Updates between two transfers; 0: never."""
    rows: int
    """Rows of a transfer."""
    random: int
    """The first of them is drawn."""
    x_half: int
    """Half the bins of activations; 0: none."""
    d_half: int
    x_drawn: int
    """Activations are rounded at random."""
    d_drawn: int


def mixed_registers(config: Config, rows: int) -> MixedRegisters:
    """Round the parameters of a configuration whose device is a `MixedPrecision`.

    Parameters
    ----------
    config : Config
    rows : int
        Of the array.
    """
    device = config.device
    assert isinstance(device, MixedPrecision)
    whole = device.n_rows_per_transfer < 0 or device.n_rows_per_transfer >= rows
    count = rows if whole else device.n_rows_per_transfer
    return MixedRegisters(
        every=device.transfer_every * config.batch if count else 0,
        rows=count,
        random=int(device.random_row and not whole),
        x_half=device.n_x_bins // 2,
        d_half=device.n_d_bins // 2,
        x_drawn=int(device.stoc_round_x),
        d_drawn=int(device.stoc_round_d),
    )


def array_config(config: Config) -> Config:
    """Return the configuration of the array alone: its updates are the writes of rows.

    Those are planned with both managements, whatever the configuration says.
    """
    device = config.device
    assert isinstance(device, MixedPrecision)
    pulses = replace(config.pulses, update_management=True, update_bl_management=True)
    return config.replace(device=device.device, pulses=pulses)


def product_scale(config: Config, lr: float) -> tuple[int, int]:
    """Return mantissa and shift from products of activations and errors to sums.

    Rounded to bins, both stand for the number of their bin times the largest of their vector.

    Raises
    ------
    ConfigError
        If the smallest product is beyond a sum, or the largest nothing of it.
    """
    device, formats = config.device, config.formats
    assert isinstance(device, MixedPrecision)
    bins = max(device.n_x_bins // 2, 1) * max(device.n_d_bins // 2, 1)
    steps = lr / device.step / bins
    mantissa, shift = normalised(
        math.ldexp(steps, CHI_FRAC - formats.x_frac - formats.d_frac), SCALE_BITS
    )
    if not 1 <= shift <= 61:
        raise ConfigError(
            "lr",
            f"expected a learning rate at which products fit sums in steps of {device.step:g}, "
            f"got {lr:g}",
        )
    return mantissa, shift


def write_registers(config: Config) -> PulseRegisters:
    """Return the registers of writes: so many steps on the columns, 1.0 on the row."""
    device = config.device
    assert isinstance(device, MixedPrecision)
    # Steps stand at the edge as whole LSB.
    rate = math.ldexp(device.step * device.transfer_lr, config.formats.x_frac)
    try:
        return pulse_registers(array_config(config), device.unit.granularity, rate)
    except ConfigError:
        raise ConfigError(
            "device.transfer_lr",
            "expected a rate at which a step of the sums is 2**-24 to 2**10 steps of the device, "
            f"got {device.step * device.transfer_lr / device.unit.granularity:.3g}",
        ) from None
