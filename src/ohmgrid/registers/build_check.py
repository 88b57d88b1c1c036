"""Whether a build of the gateware can hold what its configuration asks for.

Every engine asks before it starts, the fast ones too: a run that only some engines accept could
not be compared, nor moved to a board. Standard library only.
"""

from ohmgrid.config import Config
from ohmgrid.devices.cells import OneSided
from ohmgrid.doors.checks import ConfigError
from ohmgrid.periphery import PULSE_TYPES
from ohmgrid.registers.device import device_registers
from ohmgrid.registers.time import aging_registers

__all__ = ["check_build"]


def check_build(config: Config) -> None:
    """Raise `ConfigError` if the build lacks what device, pulses or converters need."""
    build, formats, device = config.build, config.formats, config.device
    registers = device_registers(device.unit, formats.weight_bits, formats.curve_segments)
    aging = aging_registers(device.unit, registers.lsb, formats.weight_bits, config.batch)
    refresh = device if isinstance(device, OneSided) and device.refresh_every else None
    needs = {
        "curve": not registers.constant,
        "power": registers.power,
        "step_tables": registers.steps,
        "write_noise": registers.visible,
        "references": any(registers.reference) or registers.symmetry_point,
        "time": bool(aging.every) or refresh is not None,
    }
    for name, needed in needs.items():
        if needed and not getattr(build, name):
            raise ConfigError(f"build.{name}", "expected true for this device, got false")
    pulse_type = config.pulses.pulse_type
    if pulse_type != PULSE_TYPES[0] and not build.counted_trains:
        raise ConfigError("build.counted_trains", f"expected true for {pulse_type}, got false")
    # A difference of two codes is an error at the tile's edge.
    if refresh and refresh.refresh_adc_bits >= formats.edge_bits:
        raise ConfigError(
            "device.refresh_adc_bits",
            f"expected at most {formats.edge_bits - 1} (formats.edge_bits - 1), "
            f"got {refresh.refresh_adc_bits}",
        )
    if not build.read_physics:
        for direction in ("forward", "backward"):
            io = getattr(config, direction)
            for option in ("perfect",) if io.perfect else io.physics:
                raise ConfigError(
                    f"{direction}.{option}",
                    "expected to be off with build.read_physics = false (docs/readout.md)",
                )
