"""The parts of the gateware that ``ohmgrid synth`` knows by name."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from amaranth.lib import wiring

from ohmgrid.config import Config
from ohmgrid.host.identity import make_identity

__all__ = ["REGISTRY", "part"]


class Part(NamedTuple):
    """A component and where it is written."""

    module: str
    """Module in its room of `ohmgrid.hdl`."""
    make: Callable[[ModuleType, Config], wiring.Component]
    """Makes it, given the module (imported when it is wanted) and a configuration."""


REGISTRY: dict[str, Part] = {
    "base.KeySchedule": Part("noise", lambda hdl, config: hdl.KeySchedule()),
    "base.LineKey": Part("noise", lambda hdl, config: hdl.LineKey()),
    "base.CellMix": Part("noise", lambda hdl, config: hdl.CellMix()),
    "base.Divider": Part("arith", lambda hdl, config: hdl.Divider(32, 16, 16)),
    "base.SquareRoot": Part("arith", lambda hdl, config: hdl.SquareRoot(32)),
    "periphery.Scaler": Part(
        "converters", lambda hdl, config: hdl.Scaler(config.formats.edge_bits)
    ),
    "periphery.Adc": Part(
        "converters",
        lambda hdl, config: hdl.Adc(import_module("ohmgrid.hdl.array.lane").sum_bits(config)),
    ),
    "periphery.Planner": Part("pulses", lambda hdl, config: hdl.Planner(config.formats.edge_bits)),
    "periphery.TrainMaker": Part(
        "pulses",
        lambda hdl, config: hdl.TrainMaker(config.build.train_groups, config.build.counted_trains),
    ),
    "base.Sdram": Part("sdram", lambda hdl, config: hdl.Sdram(hdl.ULX3S_SDRAM, 80_000_000)),
    "base.Popcount": Part("popcount", lambda hdl, config: hdl.Popcount()),
    "device.DeviceUnit": Part(
        "step",
        lambda hdl, config: hdl.DeviceUnit(
            config.formats.weight_bits,
            max(1, (config.build.share - 1).bit_length()),
            14,
            config.build.multipliers,
            config.formats.curve_segments,
            config.build.power,
            config.build.curve,
            config.build.step_tables,
            config.build.references,
            config.build.lut_delays,
        ),
    ),
    "device.Tables": Part(
        "tables",
        lambda hdl, config: hdl.Tables(
            import_module("ohmgrid.hdl.array.group").LaneGroup(config, config.build.share).tables,
            min(2, config.build.units),
            config.build.device_sets,
        ),
    ),
    "device.StaticProperties": Part(
        "static",
        lambda hdl, config: hdl.StaticProperties(
            config.formats.weight_bits, config.build.curve, config.build.lut_delays
        ),
    ),
    "device.StepCurve": Part(
        "curve",
        lambda hdl, config: hdl.StepCurve(
            config.formats.weight_bits,
            config.formats.curve_segments,
            config.build.power,
            config.build.step_tables,
            lut_delays=config.build.lut_delays,
        ),
    ),
    "device.Aging": Part(
        "aging",
        lambda hdl, config: hdl.Aging(
            config.formats.weight_bits, config.build.device_sets, config.build.lut_delays
        ),
    ),
    "array.DuePairs": Part(
        "due_pairs",
        lambda hdl, config: hdl.DuePairs(
            config.build, import_module("ohmgrid.hdl.array.array").LaneArray(config).turn
        ),
    ),
    "device.VisibleWeight": Part(
        "visible", lambda hdl, config: hdl.VisibleWeight(config.formats.weight_bits)
    ),
    "array.Lane": Part(
        "lane",
        lambda hdl, config: hdl.Lane(
            config.build.words,
            config.formats.weight_bits,
            hdl.sum_bits(config),
            hdl.code_bits(config),
            config.build.write_noise,
            config.build.read_physics,
        ),
    ),
    "array.LaneGroup": Part("group", lambda hdl, config: hdl.LaneGroup(config, config.build.share)),
    "array.VisitQueue": Part(
        "visit_queue",
        lambda hdl, config: hdl.VisitQueue(
            hdl.queued_layout(config.build.share, config.formats.weight_bits, 14, 3),
            config.build.queue,
        ),
    ),
    "array.Sweep": Part("sweep", lambda hdl, config: hdl.Sweep(config, settles=10)),
    "array.CellPort": Part("cell_port", lambda hdl, config: hdl.CellPort(config, stages=10)),
    "array.LaneArray": Part("array", lambda hdl, config: hdl.LaneArray(config)),
    "periphery.Voltages": Part("voltages", lambda hdl, config: hdl.Voltages()),
    "periphery.Readout": Part("readout", lambda hdl, config: hdl.Readout(config.build.lines, 4, 3)),
    "periphery.Lines": Part("lines", lambda hdl, config: hdl.Lines(config)),
    "periphery.Functions": Part("functions", lambda hdl, config: hdl.Functions(config)),
    "core.Settings": Part("settings", lambda hdl, config: hdl.Settings(config.build.device_sets)),
    "core.Loader": Part("loader", lambda hdl, config: hdl.Loader(config)),
    "core.ArrayTable": Part("array_table", lambda hdl, config: hdl.ArrayTable(config)),
    "core.Multiply": Part(
        "multiply",
        lambda hdl, config: hdl.Multiply(
            config, import_module("ohmgrid.hdl.array.array").LaneArray(config).sum_bits
        ),
    ),
    "core.Pulser": Part("pulser", lambda hdl, config: hdl.Pulser(config)),
    "core.TimeEffects": Part(
        "time_effects",
        lambda hdl, config: hdl.TimeEffects(
            config, import_module("ohmgrid.hdl.array.array").LaneArray(config).turn
        ),
    ),
    "core.ExampleStore": Part("example_store", lambda hdl, config: hdl.ExampleStore()),
    "core.SdramExamples": Part("sdram_examples", lambda hdl, config: hdl.SdramExamples(1 << 25)),
    "dynamics.Arithmetic": Part("arithmetic", lambda hdl, config: hdl.Arithmetic(16)),
    "dynamics.Crossbar": Part("crossbar", lambda hdl, config: hdl.Crossbar(64)),
    "dynamics.Events": Part("events", lambda hdl, config: hdl.Events()),
    "dynamics.Unit": Part(
        "unit",
        lambda hdl, config: (
            import_module("ohmgrid.hdl.link.linked_unit").unit_of(config)
            if config.build.dynamics
            else hdl.Unit()
        ),
    ),
    "link.Uart": Part("uart", lambda hdl, config: hdl.Uart(80_000_000, 3_000_000)),
    "link.Endpoint": Part(
        "endpoint",
        lambda hdl, config: hdl.Endpoint(make_identity(config), config.build.link),
    ),
    "link.Unpacker": Part("unpacker", lambda hdl, config: hdl.Unpacker(18)),
    "link.Packer": Part("packer", lambda hdl, config: hdl.Packer()),
    "link.LinkedCore": Part(
        "linked_core",
        lambda hdl, config: hdl.LinkedCore(config, make_identity(config), 80_000_000),
    ),
    "core.Core": Part("core", lambda hdl, config: hdl.Core(config)),
}
"""``room.Class`` -> what makes the component for a configuration."""


def part(name: str, config: Config) -> wiring.Component:
    """Return a new component by its name in `REGISTRY`."""
    if name not in REGISTRY:
        raise ValueError(f"component: expected one of {', '.join(REGISTRY)}, got {name!r}")
    module, make = REGISTRY[name]
    return make(import_module(f"ohmgrid.hdl.{name.partition('.')[0]}.{module}"), config)
