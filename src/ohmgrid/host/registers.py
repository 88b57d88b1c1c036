"""Values of the gateware's registers and tables: a configuration as the numbers of the map.

What is rounded is rounded in `ohmgrid.registers`; here it is only put in its place, and checked
against the widths of `ohmgrid.registers.map`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import pairwise

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError
from ohmgrid.registers.arrays import EVERY_BITS, READ_LINES, entry_fields
from ohmgrid.registers.device import (
    ADDITIVE_SHIFT,
    C2C_BITS,
    CURVE_BITS,
    GAMMA_BITS,
    NODE_BITS,
    NOISES,
    REL_FRAC,
    SLOPE_FRAC,
    STEP_BITS,
    STEP_FRAC,
    DeviceRegisters,
    device_registers,
)
from ohmgrid.registers.edge import ConverterRegisters, converter_registers
from ohmgrid.registers.layout import Place
from ohmgrid.registers.map import AGING, DEVICE, TABLES
from ohmgrid.registers.powers import POWER_BITS
from ohmgrid.registers.readout import read_registers
from ohmgrid.registers.time import (
    AgingRegisters,
    aging_registers,
    refresh_registers,
)
from ohmgrid.registers.transfer import TransferRegisters

__all__ = [
    "aging_tables",
    "aging_values",
    "between_values",
    "core_values",
    "countdowns",
    "device_tables",
    "device_values",
    "entry_values",
    "transfers_left",
    "turns",
]

PULSE_MODES = ("stochastic-compressed", "mean-count", "deterministic-implicit")
"""Pulse types in the order of their numbers."""

TableWrite = tuple[int, int, int]
"""Number of a table, address, and data that is not negative."""


def core_values(config: Config) -> dict[str, int]:
    """Return the values of `ohmgrid.registers.map.CORE`: the same for all arrays of a core."""
    formats = config.formats
    device = device_registers(config.device.unit, formats.weight_bits, formats.curve_segments)
    values = {"seed": config.seed, "x_frac": formats.x_frac, "d_frac": formats.d_frac}
    for name in ("forward", "backward"):
        io = getattr(config, name)
        # What depends on the number of lines is in the array table.
        read = asdict(read_registers(io, device.lsb, 1))
        values |= {f"{name}_{key}": value for key, value in read.items() if key not in READ_LINES}
        values[f"{name}_read"] = int(bool(io.physics))
        registers = converter_registers(io, device.lsb)
        values |= {f"{name}_{key}": value for key, value in asdict(registers).items()}
        values |= {
            f"{name}_dac_half": io.dac_half,
            f"{name}_adc_half": io.adc_half,
            f"{name}_managed": int(io.noise_management == "abs-max"),
            f"{name}_perfect": int(io.perfect),
        }
    forward = config.forward
    repeats = forward.bound_management == "iterative" and not forward.perfect
    pulses = config.pulses
    aging = aging_registers(config.device.unit, device.lsb, formats.weight_bits, config.batch)
    refresh = refresh_registers(config, device.lsb) if config.device.paired else None
    if refresh and refresh.every:
        values |= {
            "refresh_every": refresh.every,
            "refresh_upper": refresh.upper,
            "refresh_lower": refresh.lower,
            "refresh_desired_bl": refresh.pulses.desired_bl,
            **{f"refresh_{name}": value for name, value in asdict(refresh.rate).items()},
        }
    converter, half = (refresh.converter, refresh.half) if refresh else (None, 0)
    values |= aging_values(aging, device.symmetry_point, converter, half)
    return values | {
        "time_every": aging.every,
        "forward_passes": forward.max_passes if repeats else 1,
        "managed": int(pulses.managed),
        "bl_managed": int(pulses.update_bl_management),
        "desired_bl": pulses.desired_bl,
        "pulse_type": PULSE_MODES.index(pulses.pulse_type),
    }


def entry_values(
    config: Config, place: Place, number: int, device_set: int = 0, every: int = 0
) -> dict[str, int]:
    """Return the fields of an array's entry (`ohmgrid.registers.arrays`) that do not change.

    Parameters
    ----------
    config : Config
    place : Place
    number : int
        Number of the tile.
    device_set : int
        The set of device registers that are its device's.
    every : int
        Updates between two transfers from it; 0: none.

    Raises
    ------
    ConfigError
        If an entry cannot hold them.
    """
    if every >= 1 << EVERY_BITS:
        raise ConfigError(
            "device.transfer_every",
            f"expected less than {1 << EVERY_BITS} updates in gateware, got {every}",
        )
    formats = config.formats
    device = device_registers(config.device.unit, formats.weight_bits, formats.curve_segments)
    values = {"rows": place.rows, "cols": place.cols, "number": number, "device_set": device_set}
    values |= {"transfer_every": every, "significance": place.significance}
    values |= {"input_line": place.input_line, "output_line": place.output_line}
    values |= {
        "origin": place.origin % (1 << entry_fields(False)["origin"]),
        "turned": int(place.turned),
        "paired": int(place.devices == 2),
        "serial": int(device.serial),
    }
    if config.build.read_physics:
        for name, lines in (("forward", place.cols), ("backward", place.rows)):
            read = asdict(read_registers(getattr(config, name), device.lsb, lines))
            values |= {f"{name}_{key}": read[key] for key in READ_LINES}
    return values


def between_values(registers: TransferRegisters, slots: int) -> dict[str, int]:
    """Return the values of the registers of what lies between two arrays of a weight.

    Parameters
    ----------
    registers : TransferRegisters
    slots : int
        From `ohmgrid.registers.transfer.scaled_rate`, 0 without averages.
    """
    return {
        "buffer_momentum": registers.momentum,
        "buffer_forgets": registers.forget,
        "buffer_cap": registers.cap,
        "flip": registers.flip,
        "row_flip": registers.row_flip,
        "period": registers.period,
        "dynamic": registers.dynamic,
        "mean_weight": registers.weight,
        "averaged": registers.averaged,
        "average_weight": registers.average,
        "slots": slots,
    }


def turns(registers: TransferRegisters, reads: int, cols: int) -> int:
    """Return what a fast array's table says of its turns, after so many reads of its columns."""
    turn, period = reads // cols, registers.period
    passed = (turn >= period) | (turn > period) << 1
    return passed | (turn % period << 2 if period else 0)


def transfers_left(every: int, reads: int, updates: int, cols: int) -> dict[str, int]:
    """Return the fields that say when a column of an array is transferred, and which.

    Parameters
    ----------
    every : int
        Updates between two transfers; 0: none.
    reads, updates : int
        So far.
    cols : int
        Of the array.
    """
    return {"transfer_left": every - updates % every if every else 0, "column": reads % cols}


def countdowns(values: Mapping[str, int], updates: int) -> dict[str, int]:
    """Return the fields that count down to leak, diffusion and refresh, after some updates.

    Parameters
    ----------
    values : mapping
        As from `core_values`.
    updates : int
        Updates so far.
    """
    names = [name for name in ("time", "refresh") if values.get(f"{name}_every")]
    return {
        f"{name}_left": values[f"{name}_every"] - updates % values[f"{name}_every"]
        for name in names
    }


def device_values(registers: DeviceRegisters) -> dict[str, int]:
    """Return the values of `ohmgrid.registers.map.DEVICE`.

    Raises
    ------
    ValueError
        If one does not fit its register.
    """
    kind = NOISES[registers.noise]
    derived = {
        "b_min": -registers.b_min,
        "power_shift": POWER_BITS - registers.curve_frac,
        "drawn": bool(registers.steps),
        "additive": kind == "additive",
        "noise_add": registers.noise_add if kind == "complex" else 0,
        "noise_factor": {
            "multiplicative": 0,
            "additive": 1 << (registers.curve_frac + SLOPE_FRAC - REL_FRAC - ADDITIVE_SHIFT),
            "complex": registers.noise_slope,
        }[kind],
    }
    values = {
        name: int(derived[name] if name in derived else getattr(registers, name)) for name in DEVICE
    }
    for name, register in DEVICE.items():
        _check(name, values[name], register.bits, register.signed)
    return values


def device_tables(registers: DeviceRegisters, weight_bits: int) -> Iterator[TableWrite]:
    """Yield all writes of the tables that pulses need.

    Raises
    ------
    ValueError
        If an entry does not fit its table.
    """
    columns = {
        "gain": (registers.gain, STEP_BITS),
        "balance": (registers.balance, STEP_BITS),
        "upper": (registers.upper, weight_bits),
        "lower": (registers.lower, weight_bits),
        "gamma": (registers.gamma_up + registers.gamma_down, GAMMA_BITS),
        "opposite": (registers.gamma_balance, GAMMA_BITS),
        # The only one that is never negative.
        "c2c": (registers.c2c, C2C_BITS),
        "steps": (registers.steps, NODE_BITS),
    }
    for name, (entries, bits) in columns.items():
        for address, entry in enumerate(entries):
            _check(name, entry, bits, signed=name != "c2c")
            yield TABLES[name], address, entry & ((1 << bits) - 1)
    mask = (1 << CURVE_BITS) - 1
    address = 0
    for nodes in (registers.curve_up, registers.curve_down):
        for node, after in pairwise(nodes):
            _check("curve", node, NODE_BITS, signed=True)
            _check("curve", after, NODE_BITS, signed=True)
            yield TABLES["curve"], address, node & mask | ((after - node) & mask) << CURVE_BITS
            address += 1


def aging_values(
    registers: AgingRegisters, symmetric: bool, converter: ConverterRegisters | None, half: int
) -> dict[str, int]:
    """Return the values of `ohmgrid.registers.map.AGING`; without a converter nothing is read."""
    scale, shift, noise = (
        (converter.scale, converter.shift, converter.noise) if converter else (0,) * 3
    )
    return {
        "leak_shift": registers.leak_shift,
        "reset_noise": registers.reset_noise,
        "symmetric": int(symmetric),
        "read_scale": scale,
        # No bit is left of what is shifted further.
        "read_shift": min(shift + STEP_FRAC, (1 << AGING["read_shift"].bits) - 1),
        "read_noise": noise,
        "read_half": half,
    }


def aging_tables(
    registers: AgingRegisters, device: DeviceRegisters, weight_bits: int
) -> Iterator[TableWrite]:
    """Yield all writes of the tables that leak, diffusion, reset and references need."""
    mask = (1 << weight_bits) - 1
    tables = {
        "leak": registers.leak,
        "diffusion": registers.diffusion,
        "reset": registers.reset_bias,
        "reference": device.reference,
    }
    for name, entries in tables.items():
        for address, entry in enumerate(entries):
            signs = mask if name in ("reset", "reference") else ~0
            yield TABLES[name], address, entry & signs


def _check(name: str, value: int, bits: int, signed: bool) -> None:
    low = -(1 << (bits - 1)) if signed else 0
    top = low + (1 << bits) - 1
    if not low <= value <= top:
        raise ValueError(f"{name}: expected {low}..{top}, got {value}")
