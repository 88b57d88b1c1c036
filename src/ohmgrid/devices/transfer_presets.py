"""Presets of the transfer algorithms on the step devices that have some.

The numbers are those of aihwkit 1.2.0. Standard library only.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ohmgrid.devices.base import StepDevice
from ohmgrid.devices.transfer import ChoppedTransfer, DynamicTransfer, Transfer
from ohmgrid.periphery import ConverterConfig

__all__ = ["transfer_presets"]

_READ = ConverterConfig(out_bound=20.0, out_noise=0.1, noise_management="none")
_AUTO: dict[str, Any] = {"auto_scale": True, "transfer_forward": _READ}

# device -> what its presets do not share with those of others
_TTV2: dict[str, dict[str, Any]] = {
    "reram-es": {"fast_lr": 0.5, "auto_granularity": 1000.0},
    "reram-sb": {"fast_lr": 0.5, "auto_granularity": 1000.0},
    "capacitor": {"fast_lr": 0.1, "auto_granularity": 1000.0},
    "ecram": {"fast_lr": 0.1, "auto_granularity": 500.0, "usual_bl": 100},
    "ecram-mo": {"fast_lr": 0.1, "auto_granularity": 500.0, "usual_bl": 100},
    "idealized": {"fast_lr": 0.1, "auto_granularity": 500.0, "usual_bl": 100},
}
_CHOPPED: dict[str, dict[str, Any]] = {
    "reram-es": {"in_chop_prob": 0.01},
    "reram-sb": {"in_chop_prob": 0.01},
    "capacitor": {"in_chop_prob": 0.01},
    "ecram": {"in_chop_prob": 0.01, "fast_lr": 1.0},
    "ecram-mo": {"in_chop_prob": 0.001},
    "idealized": {"in_chop_prob": 0.001},
}
_AGAD: dict[str, dict[str, Any]] = {
    "reram-es": {"in_chop_prob": 0.02, "tail_weightening": 5.0},
    "reram-sb": {"in_chop_prob": 0.02, "tail_weightening": 5.0},
    "capacitor": {"in_chop_prob": 0.01, "tail_weightening": 20.0},
    "ecram": {
        "in_chop_prob": 0.005,
        "tail_weightening": 50.0,
        "auto_granularity": 750.0,
        "usual_bl": 31,
    },
    "ecram-mo": {"in_chop_prob": 0.005, "tail_weightening": 50.0},
    "idealized": {"in_chop_prob": 0.005, "tail_weightening": 50.0},
}


def transfer_presets(units: Mapping[str, StepDevice]) -> dict[str, Transfer]:
    """Return the presets by name: algorithm and device.

    Parameters
    ----------
    units : mapping
        Step devices by the names of their presets; more than are needed.
    """
    both = {name: _both(name, units[name]) for name in _TTV2}
    made: dict[str, Transfer] = {}
    for name in both:
        made[f"tiki-taka-{name}"] = Transfer(**both[name], transfer_forward=_READ)
    for name, own in _TTV2.items():
        made[f"ttv2-{name}"] = ChoppedTransfer(**both[name], **_AUTO, **own, in_chop_prob=0.0)
    for name, own in _TTV2.items():
        values = own | _CHOPPED[name]
        made[f"chopped-ttv2-{name}"] = ChoppedTransfer(**both[name], **_AUTO, **values)
    for name, own in _TTV2.items():
        made[f"agad-{name}"] = DynamicTransfer(**both[name], **_AUTO, **own | _AGAD[name])
    return made


def _both(name: str, unit: StepDevice) -> dict[str, Any]:
    """Return equal devices of both arrays."""
    if name == "reram-sb":
        unit = replace(unit, subtract_symmetry_point=True)  # type: ignore[call-arg]
    return {"fast": unit, "slow": unit}
