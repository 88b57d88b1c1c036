"""How much memory a run takes, said before it begins."""

import os

from ohmgrid.config import Config
from ohmgrid.net import Net
from ohmgrid.training.data import Dataset

__all__ = ["BIG", "memory_line", "needed_bytes"]

BYTES_PER_DEVICE = 300
"""While devices are drawn, on any engine (measured: 200 to 290); afterwards it is less."""
BIG = 1 << 30
"""Bytes from which on a run says what it takes."""


def needed_bytes(config: Config, net: Net, data: Dataset) -> int:
    """Return the memory that a run takes at most, in bytes."""
    devices = net.cells * config.device.devices * config.device.arrays
    return BYTES_PER_DEVICE * devices + data.train_x.nbytes + data.test_x.nbytes


def _free_bytes() -> int | None:
    """Return the memory that is free; None where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def memory_line(config: Config, net: Net, data: Dataset) -> str | None:
    """Return what a user should know of the memory of a run; None of a small one."""
    needed = needed_bytes(config, net, data)
    if needed < BIG:
        return None
    free = _free_bytes()
    rest = "" if free is None else f"; {free / 1e9:.1f} GB are free"
    return f"memory: up to {needed / 1e9:.1f} GB for {net.cells} cells{rest}"
