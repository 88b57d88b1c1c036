"""Device presets, and devices as tables of plain values.

The numbers are those of aihwkit 1.2.0, each a fit to the publication named in docs/devices.md.
Standard library only.
"""

from dataclasses import asdict
from typing import Any

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.devices.cell_presets import cell_presets, mixed_presets
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.pcm_capacitor import PcmCapacitor
from ohmgrid.devices.residual import ResidualLearning, residual_presets
from ohmgrid.devices.steps import (
    ConstantStep,
    ExpStep,
    LinearStep,
    PiecewiseStep,
    PowStep,
    PowStepReference,
    SoftBounds,
    SoftBoundsPmax,
    SoftBoundsReference,
)
from ohmgrid.devices.table_step import TableStep
from ohmgrid.devices.transfer import (
    BufferedTransfer,
    ChoppedTransfer,
    DynamicTransfer,
    Transfer,
)
from ohmgrid.devices.transfer_presets import transfer_presets
from ohmgrid.devices.vector_cell import ReferenceUnitCell, VectorUnitCell
from ohmgrid.doors.checks import check_choice

__all__ = [
    "ALGORITHMS",
    "DEVICE_CLASSES",
    "NAMED",
    "PRESETS",
    "device_name",
    "device_to_dict",
    "preset",
]

DEVICE_CLASSES: dict[str, type[Device]] = {
    cls.kind: cls
    for cls in (
        ConstantStep,
        LinearStep,
        SoftBounds,
        SoftBoundsPmax,
        SoftBoundsReference,
        ExpStep,
        PowStep,
        PowStepReference,
        PiecewiseStep,
        TableStep,
        OneSided,
        Transfer,
        BufferedTransfer,
        ChoppedTransfer,
        DynamicTransfer,
        PcmCapacitor,
        ResidualLearning,
        VectorUnitCell,
        ReferenceUnitCell,
        MixedPrecision,
    )
}
"""Every class by the name that a configuration gives it."""

_PCM = ExpStep(
    dw_min=0.01,
    dw_min_dtod=0.2,
    dw_min_std=0.6,
    up_down_dtod=0.05,
    w_max=2.0,
    w_max_dtod=0.1,
    w_min=0.0,
    w_min_dtod=0.0,
    a=-1.0,
    b=0.0,
    gamma_up=2.5,
    gamma_down=2.5,
    A_up=-27.235,
    A_down=-2.235,
    dw_min_std_add=0.042,
    dw_min_std_slope=0.108,
    reset=0.01,
    reset_dtod=0.02,
)

_UNITS: dict[str, StepDevice] = {
    "idealized": ConstantStep(dw_min=0.0002, up_down_dtod=0.0, w_max=1.0, w_min=-1.0),
    "gokmen-vlasov": ConstantStep(dw_min=0.0016, w_max=1.0, w_min=-1.0),
    "capacitor": LinearStep(
        dw_min=0.005,
        dw_min_dtod=0.1,
        up_down_dtod=0.06,
        w_max=1.0,
        w_max_dtod=0.07,
        w_min=-1.0,
        w_min_dtod=0.07,
        gamma_up=0.05,
        gamma_down=0.05,
        gamma_up_dtod=0.01,
        gamma_down_dtod=0.01,
        mult_noise=False,
        lifetime=1e6,
        lifetime_dtod=0.3,
    ),
    "ecram": LinearStep(
        dw_min=0.002,
        dw_min_dtod=0.1,
        w_max=1.1724,
        w_max_dtod=0.05,
        w_min=-0.8276,
        w_min_dtod=0.05,
        gamma_up=0.1153,
        gamma_down=0.5085,
    ),
    "ecram-mo": LinearStep(
        dw_min=2.8214e-4,
        dw_min_dtod=0.1,
        dw_min_std=2.0,
        w_max=1.1714,
        w_max_dtod=0.05,
        w_min=-0.8286,
        w_min_dtod=0.05,
        gamma_up=0.4152,
        gamma_down=0.7342,
    ),
    "reram-es": ExpStep(
        dw_min=0.00135,
        dw_min_dtod=0.2,
        dw_min_std=5.0,
        up_down=0.259359,
        up_down_dtod=0.05,
        w_max=1.0,
        w_min=-1.0,
        a=-0.5,
        b=-0.5,
        gamma_up=5.0,
        gamma_down=5.0,
        A_up=-1.18445,
        A_down=-0.081404,
        write_noise_std=75.0,
    ),
    "reram-sb": SoftBoundsReference(
        dw_min=0.002,
        dw_min_std=3.75,
        w_max=1.25,
        w_max_dtod=0.24,
        w_min=-0.75,
        w_min_dtod=0.4,
        write_noise_std=56.0,
    ),
    "reram-array-om": SoftBoundsReference(
        dw_min=0.0949,
        dw_min_dtod=0.7829,
        dw_min_dtod_log_normal=True,
        dw_min_std=0.4158,
        w_max=1.0,
        w_max_dtod=0.3499,
        w_min=-1.0,
        w_min_dtod=0.5695,
        write_noise_std=1.4113,
        corrupt_devices_range=0.01,
        subtract_symmetry_point=True,
        reference_std=0.05,
    ),
    "reram-array-hfo2": SoftBoundsReference(
        dw_min=0.4622,
        dw_min_dtod=0.7125,
        dw_min_dtod_log_normal=True,
        dw_min_std=0.2174,
        w_max=1.0,
        w_max_dtod=0.4295,
        w_min=-1.0,
        w_min_dtod=0.599,
        write_noise_std=0.5841,
        corrupt_devices_range=0.01,
        subtract_symmetry_point=True,
        reference_std=0.05,
    ),
    "pcm-device": _PCM,
}
PRESETS: dict[str, Device] = {
    **_UNITS,
    "pcm": OneSided(_PCM, refresh_every=1, refresh_out_bound=20.0, refresh_out_noise=0.1),
}
"""Presets of one array, by the name the command line uses."""
_CAPACITOR = LinearStep(
    dw_min=0.001,
    dw_min_dtod=0.05,
    dw_min_std=0.1,
    up_down_dtod=0.05,
    w_max=0.5,
    w_max_dtod=0.05,
    w_min=-0.5,
    w_min_dtod=0.05,
    gamma_up=0.1,
    gamma_down=0.1,
    gamma_up_dtod=0.02,
    gamma_down_dtod=0.02,
    lifetime=1e5,
    lifetime_dtod=0.1,
    # A leak goes to 0.8 V, of a range of 1 V around 0.5 V.
    reset=0.3,
)
ALGORITHMS: dict[str, Device] = {
    **transfer_presets(_UNITS),
    **residual_presets(),
    **cell_presets(_UNITS),
    **mixed_presets(PRESETS),
    "pcm-3t1c": PcmCapacitor(_CAPACITOR),
    "pcm-3t1c-fixed-polarity": PcmCapacitor(_CAPACITOR, polarity_inversion=False),
}
"""Presets of algorithms and cells on several arrays, likewise."""
NAMED: dict[str, Device] = PRESETS | ALGORITHMS
"""All that has a name."""


def preset(name: str) -> Device:
    """Return the preset ``name``; raise `ConfigError` naming the known ones."""
    check_choice("device", name, tuple(NAMED))
    return NAMED[name]


def device_name(device: Device) -> str:
    """Return the name of the preset that a device equals, else the name of its class."""
    return next((name for name, known in NAMED.items() if known == device), device.kind)


def device_to_dict(device: Device) -> dict[str, Any]:
    """Return the device as ``{"class": KIND, parameter: value, ...}``."""
    values = asdict(device)  # type: ignore[call-overload]
    for name in values:
        inner = getattr(device, name)
        if isinstance(inner, Device):
            values[name] = device_to_dict(inner)
        elif isinstance(inner, tuple) and any(isinstance(one, Device) for one in inner):
            values[name] = [device_to_dict(one) for one in inner]
    return {"class": device.kind, **values}
