"""Converters and pulse trains of the reference simulator: IOParameters and UpdateParameters."""

import math
from typing import Any, NamedTuple

from ohmgrid.doors.checks import ConfigError, check_flag, check_float, shown
from ohmgrid.imports.keywords import check_known, left_out, lines_of
from ohmgrid.imports.printed import Call
from ohmgrid.periphery import MOST_SLOTS, ConverterConfig, PulseConfig

__all__ = ["ImportedTable", "converter_table", "pulse_table"]

CONVERTERS: dict[str, dict[str, Any]] = {
    "IOParameters": {"out_bound": 12.0, "out_noise": 0.06},
    "PresetIOParameters": {"out_bound": 20.0, "out_noise": 0.1},
    "StandardIOParameters": {
        "inp_res": 1 / 254,
        "out_bound": 10.0,
        "out_noise": 0.04,
        "out_res": 1 / 254,
    },
}
"""Classes of converters, and those of their defaults that are not always the ones here."""

TAKEN = (
    "inp_noise",
    "inp_asymmetry",
    "inp_sto_round",
    "out_bound",
    "out_noise",
    "out_noise_std",
    "out_sto_round",
    "out_asymmetry",
    "w_noise",
    "ir_drop",
    "ir_drop_g_ratio",
)
"""Keywords with the same name and meaning here."""

IDLE_CONVERTER: dict[str, Any] = {
    "mv_type": "AnalogMVType.ONE_PASS",
    "inp_bound": 1.0,
    "out_scale": 1.0,
    "out_nonlinearity": 0.0,
    "out_nonlinearity_std": 0.0,
    "slope_calibration": 0.0,
    "v_offset_std": 0.0,
    "v_offset_w_min": -1.0,
    "r_series": 0.0,
    "w_read_asymmetry_dtod": 0.0,
    "bm_test_negative_bound": True,
    "nm_thres": 0.0,
}
"""Keywords without a counterpart, and the values at which they change nothing."""

MANAGEMENTS = {"NoiseManagementType.ABS_MAX": "abs-max", "NoiseManagementType.NONE": "none"}
BOUNDS = {"BoundManagementType.ITERATIVE": "iterative", "BoundManagementType.NONE": "none"}
NOISES = {
    "WeightNoiseType.NONE": "none",
    "WeightNoiseType.ADDITIVE_CONSTANT": "additive-constant",
    "WeightNoiseType.PCM_READ": "pcm-read",
}
TRAINS = {
    "PulseType.STOCHASTIC_COMPRESSED": "stochastic-compressed",
    "PulseType.MEAN_COUNT": "mean-count",
    "PulseType.DETERMINISTIC_IMPLICIT": "deterministic-implicit",
}

KNOWN_CONVERTER = [
    "is_perfect", "inp_res", "out_res", "noise_management", "bound_management", "w_noise_type",
    "max_bm_factor", "max_bm_res", *TAKEN, *IDLE_CONVERTER,
]  # fmt: skip

UPDATES = ("UpdateParameters", "PresetUpdateParameters")
IDLE_UPDATE: dict[str, Any] = {
    "res": 0,
    "x_res_implicit": 0,
    "d_res_implicit": 0,
    "d_sparsity": False,
    "sto_round": False,
    "um_grad_scale": 1.0,
}
FLAGS = ("fixed_bl", "update_management", "update_bl_management")
KNOWN_UPDATE = ["desired_bl", "pulse_type", *FLAGS, *IDLE_UPDATE]


class ImportedTable(NamedTuple):
    """Fields of a table of the configuration, and what of the keywords is not in them."""

    values: dict[str, Any]
    left: list[str]
    """A line for each keyword without counterpart, or with the nearest one."""


def _bits(name: str, value: Any, default: float, widest: int, left: list[str]) -> int:
    """Return the bits of a converter of that resolution, the nearest where there are none.

    A resolution is the step as a fraction of the range, or, above 1, the number of steps;
    b bits have ``2**b - 2`` steps.
    """
    value = default if value is None else value
    check_float(name, value, -1e9, 1e9)
    if value <= 0:
        left.append(left_out(name, value, f"no converter without steps; {widest} bits taken"))
        return widest
    steps = value if value > 1 else 1 / value
    exact = math.log2(steps + 2)
    bits = min(max(round(exact), 2), widest)
    if abs(exact - bits) > 1e-6:
        left.append(left_out(name, value, f"{2**bits - 2} steps taken, {bits} bits"))
    return bits


def _choice(
    name: str, call: Call, key: str, choices: dict[str, str], default: str, left: list[str]
) -> str:
    """Return our name of a member of an enumeration; the default where it has none."""
    value = call.keywords.get(key)
    if value is None:
        return default
    if value in choices:
        return choices[value]
    kinds = next(iter(choices)).partition(".")[0]
    if not isinstance(value, str) or not value.startswith(f"{kinds}."):
        raise ConfigError(f"{name}.{key}", f"expected a member of {kinds}, got {shown(value)}")
    left.append(left_out(f"{name}.{key}", value, f"no counterpart, {default} taken"))
    return default


def _passes(name: str, call: Call, resolution: float, left: list[str]) -> int:
    """Return how often bound management may repeat a pass at most.

    There the input is halved, R = 1, 2, 4, ..., until ``int(R) > max_bm_factor`` or
    ``R > max_bm_res / (2 inp_res)``.
    """
    factor = call.keywords.get("max_bm_factor", 1000)
    limit = call.keywords.get("max_bm_res", 0.25)
    check_float(f"{name}.max_bm_factor", factor, 0.0, 1e9)
    check_float(f"{name}.max_bm_res", limit, 0.0, 1e9)
    reach = min(factor, limit / (2 * resolution)) if resolution > 0 else factor
    passes, most = 1, 8
    while 2 ** (passes - 1) <= reach and passes < most:
        passes += 1
    if 2 ** (passes - 1) <= reach:
        left.append(
            left_out(f"{name}.max_bm_factor", factor, f"{most} passes taken, the most there are")
        )
    return passes


def converter_table(name: str, call: Call, backward: bool = False) -> ImportedTable:
    """Return the fields of a `ConverterConfig`.

    Parameters
    ----------
    name : str
        ``forward`` or ``backward``.
    call : Call
        Of a class of `CONVERTERS`.
    backward : bool
        There is no bound management of errors, there as here.
    """
    if call.name not in CONVERTERS:
        raise ConfigError(name, f"expected one of {', '.join(CONVERTERS)}, got {shown(call.name)}")
    check_known(name, call, KNOWN_CONVERTER)
    call = Call(call.name, {**CONVERTERS[call.name], **call.keywords})
    left = lines_of(name, call, IDLE_CONVERTER)
    values = {key: call.keywords[key] for key in TAKEN if key in call.keywords}
    values["perfect"] = call.keywords.get("is_perfect", False)
    check_flag(f"{name}.is_perfect", values["perfect"])
    resolution = call.keywords.get("inp_res")
    values["dac_bits"] = _bits(f"{name}.inp_res", resolution, 1 / 126, 8, left)
    values["adc_bits"] = _bits(f"{name}.out_res", call.keywords.get("out_res"), 1 / 510, 12, left)
    values["noise_management"] = _choice(
        name, call, "noise_management", MANAGEMENTS, "abs-max", left
    )
    values["w_noise_type"] = _choice(name, call, "w_noise_type", NOISES, "none", left)
    if backward:
        values["bound_management"] = "none"
    else:
        values["bound_management"] = _choice(
            name, call, "bound_management", BOUNDS, "iterative", left
        )
        if values["bound_management"] == "iterative":
            step = 1 / 126 if resolution is None else resolution
            values["max_passes"] = _passes(name, call, 1 / step if step > 1 else step, left)
    return ImportedTable(_whole(name, ConverterConfig, values), left)


def pulse_table(call: Call) -> ImportedTable:
    """Return the fields of a `PulseConfig` from ``UpdateParameters``."""
    if call.name not in UPDATES:
        raise ConfigError("update", f"expected {UPDATES[0]}, got {shown(call.name)}")
    check_known("update", call, KNOWN_UPDATE)
    left = lines_of("update", call, IDLE_UPDATE)
    values = {key: call.keywords[key] for key in FLAGS if key in call.keywords}
    if call.keywords.get("pulse_type") == "PulseType.STOCHASTIC":
        # The same statistics; compressed says only how the trains are stored.
        call = Call(call.name, {**call.keywords, "pulse_type": "PulseType.STOCHASTIC_COMPRESSED"})
    if call.keywords.get("pulse_type") in ("PulseType.NONE", "PulseType.NONE_WITH_DEVICE"):
        raise ConfigError(
            "update.pulse_type", "training without pulses is not modelled, got PulseType.NONE"
        )
    values["pulse_type"] = _choice(
        "update", call, "pulse_type", TRAINS, "stochastic-compressed", left
    )
    length = call.keywords.get("desired_bl", 31)
    if isinstance(length, int) and not isinstance(length, bool) and length > MOST_SLOTS:
        longest = f"{MOST_SLOTS} taken, the longest train there is"
        left.append(left_out("update.desired_bl", length, longest))
        length = MOST_SLOTS
    values["desired_bl"] = length
    return ImportedTable(_whole("update", PulseConfig, values), left)


def _whole(name: str, cls: type, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values, checked; errors begin with the place in the printed text."""
    try:
        cls(**values)
    except ConfigError as error:
        raise error.of(name) from None
    return values
