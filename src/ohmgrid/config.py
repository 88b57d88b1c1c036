"""One configuration for model, gateware and command line: frozen and checked.

Standard library only. Every class checks itself at construction and raises
`ohmgrid.doors.checks.ConfigError` with one line that says what was expected and what came.
`ohmgrid.training.settings` reads and writes it as TOML.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ohmgrid.devices.base import MOST_SIGNIFICANCE, Device
from ohmgrid.devices.presets import preset
from ohmgrid.doors.checks import (
    ConfigError,
    check_choice,
    check_flag,
    check_int,
    check_power_of_two,
    make_plain,
    shown,
)
from ohmgrid.periphery import ConverterConfig, PulseConfig
from ohmgrid.systems import MOST_DEPTH, MOST_UNITS

__all__ = [
    "SECTIONS",
    "BuildConfig",
    "Config",
    "FormatConfig",
    "LayoutConfig",
    "default_converters",
]

MOST_WORDS, MOST_LINES = 1 << 24, 65536
"""Largest memory of a lane, and of the lines of a side."""
MOST_ARRAYS = 24
MOST_BUFFERS = 1 << 23
"""Most arrays of a net."""
MOST_STORE = {"bram": 1 << 20, "sdram": 1 << 25}
"""Where examples are kept, and how many bytes at most."""


@dataclass(frozen=True)
class FormatConfig:
    """Number formats at the tile's edge and of the conductance register."""

    weight_bits: int = 18
    """Width of a conductance register: 18 fits an ECP5 block RAM word, 16 an iCE40 one."""
    edge_bits: int = 16
    """Width of an activation or error at the tile's edge (signed)."""
    x_frac: int = 12
    """Fraction bits of an activation: 4096 means 1.0."""
    d_frac: int = 14
    """Fraction bits of an error: 16384 means 1.0."""
    curve_segments: int = 128
    """Segments of a step curve's table, a power of two; 1 holds straight lines only."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_int("weight_bits", self.weight_bits, 12, 18)
        check_int("edge_bits", self.edge_bits, 9, 16)
        # More than half of the 14 fraction bits of a slope, which is a product of two activations.
        check_int("x_frac", self.x_frac, 8, self.edge_bits - 1)
        check_int("d_frac", self.d_frac, 4, self.edge_bits - 1)
        check_power_of_two("curve_segments", self.curve_segments, 1, 256)


@dataclass(frozen=True)
class BuildConfig:
    """What is fixed when the gateware is built: parallelism and memory."""

    lanes: int = 16
    """Cells read in each cycle."""
    share: int = 16
    """Lanes that share one device unit: more of them, fewer LUTs; 1 never waits."""
    queue: int = 16
    """Visits with hits that wait for a device unit before a sweep does; a power of two."""
    multipliers: int = 2
    """Multiplier blocks of a device unit; its other products are made of LUTs."""
    curve: bool = True
    """Steps may depend on the weight; without, there is ConstantStep alone."""
    power: bool = True
    """Device units raise to powers too, as PowStep needs it."""
    step_tables: bool = True
    """Device units draw steps from tables too, as TableStep needs it (with `curve` only)."""
    device_sets: int = 1
    """Kinds of devices that an array's tables hold, 1 or 2."""
    lut_delays: bool = False
    """Device units delay in LUT RAM alone, where block RAM is what a part is short of."""
    words: int = 12288
    """Words of each lane's memory: the cells of all arrays of a net."""
    inputs: int = 1024
    """Input lines of all arrays of a net together, the always-on bias inputs included."""
    outputs: int = 512
    """Output lines of all arrays of a net together; a weight that is a pair takes two."""
    arrays: int = MOST_ARRAYS
    """Arrays of a net: those of eight layers have three for each weight at most."""
    edge: int = 1
    """Examples whose vectors the memories at the edge hold: the largest mini-batch."""
    computed_keys: bool = False
    """Noise keys of lines are computed as a sweep needs them, and lie in no block RAM."""
    train_groups: int = 2
    """Groups of four pulse slots that each train generator makes in a cycle."""
    counted_trains: bool = True
    """Trains can come from a count of pulses too: all pulse types, not `stochastic-compressed`
    alone."""
    link: int = 2048
    """Bytes that each direction of a board's link holds; a power of two."""
    store: int = 0
    """Bytes of examples that a board keeps; 0: examples come by the link alone."""
    store_in: str = "bram"
    """Where it keeps them: ``bram``, or ``sdram``, a chip of the board's (whole bursts of it)."""
    write_noise: bool = True
    """Lanes can read devices with write noise."""
    references: bool = True
    """Each cell has a second word, the weight of its reference device."""
    read_physics: bool = True
    """The gateware holds what the read-side non-idealities need (docs/readout.md)."""
    time: bool = True
    """Cells can leak and diffuse, and pairs of devices can be refreshed."""
    transfers: bool = False
    """Steps can read a column of one array and write it to another: transfers without a host."""
    buffers: int = 0
    """Cells of all fast arrays of a net that have a buffer on their way to the slow ones, for
    transfers through them without a host; 0: none."""
    means: bool = False
    """Beside each buffer there are means of what was read, as AGAD needs them."""
    significance: int = 0
    """How many times at most passes add a second word of each cell's; 0: cells have one."""
    dynamics: int = 0
    """Neurons of a dynamics unit, which is built in a core's place (docs/dynamics.md); a power of
    two, and ``lanes`` one of at most as many; 0: a core."""
    ring: int = 1 << 14
    """Outputs that its ring buffer holds, samples times neurons; a power of two."""

    def __post_init__(self) -> None:
        make_plain(self)
        check_int("lanes", self.lanes, 1, 1024)
        check_int("share", self.share, 1, 64)
        check_power_of_two("queue", self.queue, 4, 1024)
        check_int("multipliers", self.multipliers, 0, 8)
        check_int("device_sets", self.device_sets, 1, 2)
        check_int("words", self.words, 1, MOST_WORDS)
        check_int("inputs", self.inputs, 1, MOST_LINES)
        check_int("outputs", self.outputs, 1, MOST_LINES)
        check_int("arrays", self.arrays, 1, MOST_ARRAYS)
        check_int("edge", self.edge, 1, 1024)
        check_int("train_groups", self.train_groups, 1, 8)
        check_int("significance", self.significance, 0, MOST_SIGNIFICANCE)
        check_int("buffers", self.buffers, 0, MOST_BUFFERS)
        check_power_of_two("link", self.link, 512, 16384)
        check_choice("store_in", self.store_in, tuple(MOST_STORE))
        check_int("store", self.store, 0, MOST_STORE[self.store_in])
        if self.store % 32:
            raise ConfigError("store", f"expected a multiple of 32, got {self.store}")
        if self.dynamics:
            check_power_of_two("dynamics", self.dynamics, 1, MOST_UNITS)
            check_power_of_two("ring", self.ring, 4 * self.dynamics, MOST_UNITS * MOST_DEPTH)
            check_power_of_two("lanes", self.lanes, 1, self.dynamics)
            check_int("store", self.store, 0, 0)
        options = (
            "lut_delays",
            "counted_trains",
            "computed_keys",
            "write_noise",
            "references",
            "read_physics",
            "time",
            "transfers",
            "means",
        )
        for name in ("curve", "power", "step_tables", *options):
            check_flag(name, getattr(self, name))
        if self.power and not self.curve:
            raise ConfigError("power", "expected false in a build without curve, got true")
        if self.buffers and not self.transfers:
            raise ConfigError("buffers", f"expected 0 without transfers, got {self.buffers}")
        if self.means and not self.buffers:
            raise ConfigError("means", "expected false in a build without buffers, got true")

    @property
    def lines(self) -> int:
        """Lines of the longer side: what the serial side of a sweep can have."""
        return max(self.inputs, self.outputs)

    @property
    def sdram(self) -> bool:
        """Whether examples are kept in an SDRAM."""
        return self.store > 0 and self.store_in == "sdram"

    @property
    def units(self) -> int:
        """Device units: one for each group of ``share`` lanes."""
        return -(-self.lanes // self.share)

    @property
    def clusters(self) -> int:
        """Groups of lanes in twos or threes, each with registers of its own on the way to them."""
        return -(-self.units // 3)

    @property
    def visit_cycles(self) -> int:
        """Cycles from where a visit is sent until its hits are known in its group of lanes.

        Line memories and a register, a cluster's register if there are several, the group's; then
        memory, word, and two cycles for hits.
        """
        return self.line_cycles + 1 + (self.clusters > 1) + 1 + 4

    @property
    def line_cycles(self) -> int:
        """Cycles from a line's address to its values: a memory and a register behind it, or the
        number of the line in its array and the rounds of its keys."""
        return 5 if self.computed_keys else 2

    @property
    def key_banks(self) -> int:
        """Blocks of columns whose noise keys a group of lanes keeps, a power of two, >= 2.

        Those of the block being swept, of the next one, and of earlier ones while their visits
        wait: as many as there is room for in a LUT RAM of 16 words.
        """
        lanes = 1 << (min(self.share, self.lanes) - 1).bit_length()
        return max(2, 16 // max(2, lanes))


@dataclass(frozen=True)
class LayoutConfig:
    """How the arrays of a net lie in the lanes of the gateware; no result depends on it."""

    turned: str | tuple[int, ...] = "auto"
    """Numbers of the arrays whose lanes lie along outputs, not inputs; or ``auto``: as they fit,
    and then as they are fastest."""

    def __post_init__(self) -> None:
        make_plain(self)
        if self.turned == "auto":
            return
        if not isinstance(self.turned, (list, tuple)):
            raise ConfigError(
                "turned", f"expected auto or a list of arrays, got {shown(self.turned)}"
            )
        for number in self.turned:
            check_int("turned", number, 0, 255)
        object.__setattr__(self, "turned", tuple(self.turned))


def default_converters(preset_device: bool) -> tuple[ConverterConfig, ConverterConfig]:
    """Return forward and backward converters: those that presets come with, or the plain ones.

    The reference simulator pairs its device presets with a wider and noisier ADC.
    """
    plain = ConverterConfig()
    chosen = replace(plain, out_bound=20.0, out_noise=0.1) if preset_device else plain
    return replace(chosen, bound_management="iterative"), chosen


@dataclass(frozen=True)
class Config:
    """Everything that decides the bits of a tile."""

    seed: int = 1
    """64-bit seed of all noise, static and dynamic."""
    batch: int = 1
    """Examples of a mini-batch: lifetime, diffusion and refresh count mini-batches."""
    formats: FormatConfig = field(default_factory=FormatConfig)
    build: BuildConfig = field(default_factory=BuildConfig)
    layout: LayoutConfig = field(default_factory=LayoutConfig)
    forward: ConverterConfig = field(default_factory=lambda: default_converters(True)[0])
    backward: ConverterConfig = field(default_factory=lambda: default_converters(True)[1])
    pulses: PulseConfig = field(default_factory=PulseConfig)
    device: Device = field(default_factory=lambda: preset("gokmen-vlasov"))

    def __post_init__(self) -> None:
        make_plain(self)
        check_int("seed", self.seed, 0, (1 << 64) - 1)
        check_int("batch", self.batch, 1, 1 << 16)
        for f in fields(self):
            want = {"seed": int, "batch": int, **SECTIONS, "device": Device}[f.name]
            value = getattr(self, f.name)
            if not isinstance(value, want):
                raise ConfigError(f.name, f"expected {want.__name__}, got {shown(value)}")
        if self.backward.bound_management != "none":
            raise ConfigError(
                "backward.bound_management",
                "expected none (errors are never repeated), "
                f"got {self.backward.bound_management!r}",
            )

    def replace(self, **changes: Any) -> "Config":
        """Return a copy with fields replaced; a mapping replaces fields of a section."""
        done = {}
        for name, value in changes.items():
            if isinstance(value, Mapping) and name in SECTIONS:
                done[name] = replace(getattr(self, name), **value)
            else:
                done[name] = value
        return replace(self, **done)


SECTIONS: dict[str, type] = {
    "formats": FormatConfig,
    "build": BuildConfig,
    "layout": LayoutConfig,
    "forward": ConverterConfig,
    "backward": ConverterConfig,
    "pulses": PulseConfig,
}
"""Tables of a configuration beside its device."""
