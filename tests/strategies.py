"""What several test files share: random configurations (hypothesis), operations by name."""

from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import assume, settings
from hypothesis import strategies as st

from ohmgrid.devices.base import Device, StepDevice
from ohmgrid.devices.cells import OneSided
from ohmgrid.devices.mixed_precision import MixedPrecision
from ohmgrid.devices.presets import DEVICE_CLASSES, PRESETS
from ohmgrid.devices.residual import ResidualLearning
from ohmgrid.devices.steps import ConstantStep, PiecewiseStep, SoftBoundsPmax
from ohmgrid.devices.table_step import TableStep
from ohmgrid.devices.transfer import (
    BufferedTransfer,
    ChoppedTransfer,
    DynamicTransfer,
    Transfer,
)
from ohmgrid.devices.vector_cell import POLICIES, ReferenceUnitCell, VectorUnitCell
from ohmgrid.doors.checks import ConfigError
from ohmgrid.periphery import W_NOISE_TYPES, ConverterConfig, PulseConfig
from ohmgrid.registers.device import device_registers

__all__ = [
    "FEW",
    "constant",
    "devices",
    "mixed_precisions",
    "operate",
    "physics",
    "step_devices",
    "sums",
    "transfers",
    "unit_cells",
]

FEW = settings(max_examples=settings().max_examples * 2 // 5)
"""Of a test that elaborates gateware for each example, which takes most of its time: fewer of them,
in the thorough profile too."""

STEP_CLASSES: list[type[Any]] = [
    cls for cls in DEVICE_CLASSES.values() if issubclass(cls, StepDevice)
]

_RANGES: dict[str, tuple[float, float]] = {
    "dw_min": (1e-3, 0.1),
    "dw_min_dtod": (0.0, 0.9),
    "dw_min_std": (0.0, 6.0),
    "up_down": (-0.9, 0.9),
    "up_down_dtod": (0.0, 0.3),
    "w_max": (0.1, 2.0),
    "w_max_dtod": (0.0, 0.6),
    "w_min": (-2.0, 0.0),
    "w_min_dtod": (0.0, 0.6),
    "corrupt_devices_prob": (0.0, 0.5),
    "corrupt_devices_range": (0.0, 0.5),
    "lifetime": (1.5, 5000.0),
    "lifetime_dtod": (0.0, 0.4),
    "diffusion": (0.0, 0.01),
    "diffusion_dtod": (0.0, 0.4),
    "reset": (-0.1, 0.1),
    "reset_dtod": (0.0, 0.1),
    "reset_std": (0.0, 0.1),
    "gamma_up": (0.0, 1.5),
    "gamma_down": (0.0, 1.5),
    "gamma_up_dtod": (0.0, 0.3),
    "gamma_down_dtod": (0.0, 0.3),
    "write_noise_std": (0.0, 20.0),
    "reverse_offset": (0.01, 0.1),
    "slope_up_dtod": (0.0, 0.5),
    "slope_down_dtod": (0.0, 0.5),
    "reference_mean": (-0.1, 0.1),
    "reference_std": (0.0, 0.2),
    "A_up": (-2.0, 0.9),
    "A_down": (-2.0, 0.9),
    "a": (-0.6, 0.6),
    "b": (-0.5, 0.5),
    "dw_min_std_add": (0.0, 0.05),
    "dw_min_std_slope": (0.0, 0.1),
    "pow_gamma": (0.0, 3.0),
    "pow_gamma_dtod": (0.0, 0.3),
    "pow_up_down": (-0.5, 0.5),
    "pow_up_down_dtod": (0.0, 0.2),
}
"""What a parameter is drawn from; flags are either, all others keep their defaults."""


@st.composite
def step_devices(draw: st.DrawFn) -> StepDevice:
    """Any step device: a preset's or one of any class with random parameters."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([device.unit for device in PRESETS.values()]))
    cls = draw(st.sampled_from(STEP_CLASSES))
    values: dict[str, Any] = {}
    for field in fields(cls):
        if draw(st.booleans()):
            continue
        if field.name in _RANGES and not isinstance(field.default, bool):
            values[field.name] = draw(st.floats(*_RANGES[field.name]))
        elif isinstance(field.default, bool):
            values[field.name] = draw(st.booleans())
    if cls is PiecewiseStep:
        size = draw(st.sampled_from([1, 2, 5, 9]))
        # No step so small that a learning rate of some steps is below every float.
        node = st.floats(0.0, 3.0).map(lambda value: round(value, 3))
        nodes = st.lists(node, min_size=size, max_size=size)
        values |= {"piecewise_up": tuple(draw(nodes)), "piecewise_down": tuple(draw(nodes))}
    if cls is TableStep:
        step = st.floats(-1.0, 3.0).map(lambda value: round(value, 3))
        tables = st.lists(st.lists(step, min_size=1, max_size=5), min_size=1, max_size=4)
        values |= {"dw_min_std": 0.0, "table_up": draw(tables), "table_down": draw(tables)}
    if cls is SoftBoundsPmax:
        values |= {"p_max": draw(st.integers(100, 3000)), "alpha": draw(st.floats(1e-4, 1e-2))}
    try:
        device = cls(**values)
        device_registers(device, 18, 128)
    except ConfigError:
        assume(False)
        raise
    return device


def constant(device: StepDevice) -> ConstantStep:
    """Return what is left of a device without its law."""
    return ConstantStep(**{field.name: getattr(device, field.name) for field in fields(StepDevice)})


@st.composite
def devices(draw: st.DrawFn, curve: bool = True) -> Device:
    """Any device: one or, now and then, a pair; without ``curve``, with a constant step."""
    unit = draw(step_devices() if curve else step_devices().map(constant))
    if draw(st.integers(0, 4)) or unit.write_noise or unit.w_max <= 0:
        return unit
    return OneSided(unit, refresh_every=draw(st.integers(0, 4)))


@st.composite
def transfers(draw: st.DrawFn) -> Transfer:
    """Any device with transfers between two arrays."""
    units = {"fast": draw(step_devices()), "slow": draw(step_devices())}
    values: dict[str, Any] = {
        "transfer_every": draw(st.sampled_from([0.4, 1.0, 2.0])),
        "units_in_mbatch": draw(st.booleans()),
        "fast_lr": draw(st.sampled_from([0.0, 0.3, 1.0])),
        "scale_fast_lr": draw(st.booleans()),
        "transfer_lr": draw(st.sampled_from([0.3, 5.0])),
        "transfer_forward": ConverterConfig(
            out_bound=draw(st.sampled_from([0.5, 4.0])),
            noise_management=draw(st.sampled_from(["none", "abs-max"])),
            perfect=draw(st.integers(0, 4)) == 0,
            w_noise=draw(st.sampled_from([0.0, 0.02])),
            w_noise_type="additive-constant",
        ),
    }
    kind = draw(st.sampled_from([Transfer, BufferedTransfer, ChoppedTransfer, DynamicTransfer]))
    if kind is Transfer:
        values |= {"n_reads_per_transfer": draw(st.integers(1, 3))}
        values |= {"transfer_update": PulseConfig(desired_bl=draw(st.sampled_from([1, 31, 40])))}
        return kind(**units, **values)
    values |= {"momentum": draw(st.floats(0, 1)), "forget_buffer": draw(st.booleans())}
    if kind is BufferedTransfer:
        return kind(**units, **values, thres_scale=draw(st.sampled_from([0.1, 2.0])))
    values |= {
        "transfer_every": draw(st.sampled_from([-0.5, 1.0, 2.0])),
        "in_chop_prob": draw(st.sampled_from([0.2, 0.5])),
        "in_chop_random": draw(st.booleans()),
        "out_chop_prob": draw(st.sampled_from([0.0, 0.4])),
        "buffer_granularity": draw(st.sampled_from([0.1, 3.0])),
        "auto_granularity": draw(st.sampled_from([0.0, 20.0])),
        "fast_lr": draw(st.sampled_from([0.3, 1.0])),
        "auto_scale": draw(st.booleans()),
        "auto_momentum": draw(st.sampled_from([0.0, 0.9])),
    }
    if kind is DynamicTransfer:
        values |= {"buffer_cap": draw(st.sampled_from([0.0, 0.7, 2.0]))}
    return kind(**units, **values)


@st.composite
def sums(draw: st.DrawFn) -> ResidualLearning:
    """Any device whose weights are a sum over arrays."""
    try:
        return ResidualLearning(
            draw(step_devices()),
            count=draw(st.integers(2, 4)),
            gamma=draw(st.sampled_from([0.1, 0.5, 1.0])),
            transfer_every=draw(st.sampled_from([0.4, 1.0, 2.0])),
            every_growth=draw(st.sampled_from([1.0, 2.0])),
            units_in_mbatch=draw(st.booleans()),
            fast_lr=draw(st.sampled_from([0.0, 0.3])),
            scale_fast_lr=draw(st.booleans()),
            transfer_lr=draw(st.sampled_from([0.1, 2.0])),
            lr_growth=draw(st.sampled_from([1.0, 1.2])),
            scale_transfer_lr=draw(st.booleans()),
            warm_updates=draw(st.sampled_from([0, 4])),
            transfer_forward=ConverterConfig(
                out_bound=draw(st.sampled_from([0.5, 4.0])),
                noise_management=draw(st.sampled_from(["none", "abs-max"])),
                perfect=draw(st.integers(0, 4)) == 0,
                w_noise=draw(st.sampled_from([0.0, 0.02])),
                w_noise_type="additive-constant",
            ),
        )
    except ConfigError:
        assume(False)
        raise


@st.composite
def unit_cells(draw: st.DrawFn) -> VectorUnitCell:
    """Any cell of several devices."""
    if draw(st.integers(0, 3)) == 0:
        return ReferenceUnitCell((draw(step_devices()), draw(step_devices())))
    units = tuple(draw(st.lists(step_devices(), min_size=2, max_size=4)))
    gamma = st.sampled_from([0.25, 1.0, 3.0, -0.125])
    gammas = draw(st.sampled_from([(), tuple(draw(gamma) for _ in units)]))
    try:
        return VectorUnitCell(
            units,
            draw(st.sampled_from(POLICIES)),
            draw(st.integers(0, len(units) - 1)),
            gammas,
        )
    except ConfigError:  # the sum of what is updated is nothing
        assume(False)
        raise


@st.composite
def mixed_precisions(draw: st.DrawFn) -> MixedPrecision:
    """Any device of mixed precision."""
    bins = st.sampled_from([0, 2, 7, 255, 256])
    return MixedPrecision(
        draw(devices()),
        transfer_every=draw(st.integers(0, 3)),
        n_rows_per_transfer=draw(st.sampled_from([-1, 0, 1, 2, 50])),
        random_row=draw(st.booleans()),
        granularity=draw(st.sampled_from([0.0, 0.003, 0.1])),
        transfer_lr=draw(st.sampled_from([0.3, 1.0, 2.0])),
        n_x_bins=draw(bins),
        n_d_bins=draw(bins),
        stoc_round_x=draw(st.booleans()),
        stoc_round_d=draw(st.booleans()),
    )


@st.composite
def physics(draw: st.DrawFn) -> dict[str, Any]:
    """Draw read-side non-idealities, some of them off."""
    return {
        "perfect": draw(st.sampled_from([False, False, False, True])),
        "inp_noise": draw(st.sampled_from([0.0, 0.0, 0.05, 0.9])),
        "inp_asymmetry": draw(st.sampled_from([0.0, 0.1, -0.5])),
        "inp_sto_round": draw(st.booleans()),
        "ir_drop": draw(st.sampled_from([0.0, 0.5, 3.0])),
        "ir_drop_g_ratio": draw(st.sampled_from([20.0, 300.0])),
        "w_noise": draw(st.sampled_from([0.0, 0.02, 1.0])),
        "w_noise_type": draw(st.sampled_from(W_NOISE_TYPES)),
        "out_asymmetry": draw(st.sampled_from([0.0, 0.2, -1.0])),
        "out_noise_std": draw(st.sampled_from([0.0, 0.4])),
        "out_sto_round": draw(st.booleans()),
    }


def operate(tile, verb: str, x: np.ndarray, d: np.ndarray, lr: float) -> list[int]:
    """Run an operation; return its results and what it reports."""
    if verb == "forward":
        return [*tile.forward(x), tile.passes, tile.saturated]
    if verb == "backward":
        return [*tile.backward(d), tile.saturated]
    if verb == "update":
        tile.update(x, d, lr)
        return [*tile.pulses]
    return [*tile.backward_update(x, d, lr), tile.saturated, *tile.pulses]
