"""Configurations and operands of the tile's tests: all that can be loaded into a few builds."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from strategies import devices, physics

from ohmgrid.config import BuildConfig, Config, FormatConfig, LayoutConfig
from ohmgrid.devices.base import Device
from ohmgrid.doors.checks import ConfigError
from ohmgrid.periphery import PULSE_TYPES, ConverterConfig, PulseConfig
from ohmgrid.registers.build_check import check_build
from ohmgrid.registers.device import device_registers
from ohmgrid.registers.time import refresh_registers

__all__ = [
    "BUILDS",
    "COLS",
    "LANES",
    "LEAST",
    "MAX_ROWS",
    "ROWS",
    "SEEDS",
    "configs",
    "random_weights",
    "vectors",
]

MAX_ROWS, MAX_COLS = 8, 12
BUILDS = {
    # A weight may be a pair of devices, in two rows.
    lanes: BuildConfig(
        lanes=lanes,
        share=share,
        # As short as can be where it fills at all, so that sweeps are held.
        queue=16 if lanes == 16 else 4,
        # Room for nets of several arrays.
        words=640,
        inputs=5 * MAX_COLS,
        outputs=10 * MAX_ROWS,
        arrays=5 if lanes == 3 else 24,
        edge=3,
        # Of three lanes' devices all steps are constant.
        curve=lanes != 3,
        power=full,
        write_noise=full,
        references=full,
        # With computed keys and without: trains are made beside the array there. Arrays of a weight
        # share lines, which then hold no keys.
        read_physics=full and lanes != 1,
        time=full or lanes == 3,
        device_sets=2 if lanes == 4 else 1,
        transfers=lanes == 4,
        buffers=5 * MAX_ROWS * MAX_COLS if lanes == 4 else 0,
        means=lanes == 4,
        significance={3: 5, 4: 2}.get(lanes, 0),
        computed_keys=lanes != 3,
    )
    for lanes, share, full in ((1, 1, True), (3, 2, False), (4, 2, True), (16, 4, True))
}
LANES = (3, 4)
"""Builds of the tests that take seconds: the compiler takes a minute for each. Between them they
have all parts; one lane, and 16 with all that may be, are for the tests that take minutes."""
LEAST = BuildConfig(
    lanes=2,
    share=2,
    **dict.fromkeys(("curve", "power", "step_tables", "write_noise"), False),
    **dict.fromkeys(("references", "read_physics", "time", "counted_trains"), False),
)
"""What is built soonest: where the core is not what is tested."""
SEEDS = st.integers(0, 2**32 - 1)
ROWS, COLS = st.integers(1, MAX_ROWS), st.integers(1, MAX_COLS)


def suits(device: Device, build: BuildConfig) -> bool:
    """Return whether a build of the gateware has what a device needs."""
    try:
        check_build(Config(device=device, build=build))
    except ConfigError:
        return False
    return True


@st.composite
def configs(draw: st.DrawFn, build: BuildConfig) -> Config:
    """Draw all that can be loaded into a build at run time."""
    device = draw(devices(build.curve).filter(lambda device: suits(device, build)))

    def converters(**more) -> ConverterConfig:
        bound = draw(st.sampled_from([0.2, 2.0, 12.0]))
        return ConverterConfig(
            dac_bits=draw(st.integers(2, 8)),
            adc_bits=draw(st.integers(2, 12)),
            out_bound=bound,
            out_noise=draw(st.sampled_from([0.0, 0.005, 0.3])) * bound,
            noise_management=draw(st.sampled_from(["abs-max", "none"])),
            **(draw(physics()) if build.read_physics and draw(st.booleans()) else {}),
            **more,
        )

    pulses = PulseConfig(
        pulse_type=draw(st.sampled_from(PULSE_TYPES)),
        desired_bl=draw(st.integers(1, 31) | st.integers(32, 127)),
        fixed_bl=draw(st.booleans()),
        update_management=draw(st.booleans()),
        update_bl_management=draw(st.booleans()),
    )
    config = Config(
        seed=draw(st.integers(0, 2**64 - 1)),
        formats=FormatConfig(x_frac=draw(st.integers(8, 15)), d_frac=draw(st.integers(4, 15))),
        build=build,
        layout=LayoutConfig(draw(st.sampled_from([(), (0,)]))),
        forward=converters(
            bound_management=draw(st.sampled_from(["none", "iterative"])),
            max_passes=draw(st.integers(1, 8)),
        ),
        backward=converters(),
        pulses=pulses,
        device=device,
    )
    if device.paired:
        formats = config.formats
        lsb = device_registers(device, formats.weight_bits, formats.curve_segments).lsb
        try:
            refresh_registers(config, lsb)
        except ConfigError as error:
            # Of errors with few fraction bits, what a refresh writes is beyond any rate: refused.
            assume(not str(error).startswith("lr: "))
            raise
    return config


def vectors(rng: np.random.Generator, cols: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return activations and errors: any size, some zeros, sometimes nothing else."""

    def vector(count: int) -> np.ndarray:
        values = rng.integers(-(1 << 15) + 1, 1 << 15, count) >> int(rng.integers(0, 14))
        zeros = rng.choice([0.0, 0.3, 1.0], p=[0.5, 0.4, 0.1])
        return np.where(rng.random(count) < zeros, 0, values)

    return vector(cols), vector(rows)


def random_weights(rng: np.random.Generator, tile) -> np.ndarray:
    top = min(1 << 17, int(1.2 * tile.config.device.unit.w_max / tile.lsb)) - 1
    return rng.integers(-top, top + 1, tile.device_shape, dtype=np.int32)
