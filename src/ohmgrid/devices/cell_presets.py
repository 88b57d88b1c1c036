"""Presets of cells of several devices and of mixed precision.

They are those of aihwkit 1.2.0. Standard library only.
"""

from collections.abc import Mapping

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.vector_cell import VectorUnitCell

__all__ = ["cell_presets", "mixed_presets"]

_CELLS = ("reram-es", "reram-sb", "capacitor", "ecram", "ecram-mo", "idealized")
_MIXED = (*_CELLS, "gokmen-vlasov", "pcm")


def cell_presets(units: Mapping[str, StepDevice]) -> dict[str, VectorUnitCell]:
    """Return the presets of two and of four equal devices a cell, one of them pulsed at random.

    Parameters
    ----------
    units : mapping
        Step devices by the names of their presets; more than are needed.
    """
    return {
        f"{name}{count}": VectorUnitCell((units[name],) * count, "single-random")
        for count in (2, 4)
        for name in _CELLS
    }


def mixed_presets(devices: Mapping[str, Device]) -> dict[str, MixedPrecision]:
    """Return the presets of mixed precision, on step devices and on the pair of ``pcm``.

    Parameters
    ----------
    devices : mapping
        Devices of one array by the names of their presets; more than are needed.
    """
    return {f"mixed-precision-{name}": MixedPrecision(devices[name]) for name in _MIXED}
