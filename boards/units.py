"""The parts of the gateware that ``ohmgrid synth`` knows by name."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from amaranth.lib import wiring

from ohmgrid.config import Config

__all__ = ["REGISTRY", "unit"]

# Given the module that its name begins with and a configuration, each makes a component. The
# module comes as an argument so that it is imported when it is wanted.
REGISTRY: dict[str, Callable[[ModuleType, Config], wiring.Component]] = {
    "noise.KeySchedule": lambda hdl, config: hdl.KeySchedule(),
    "noise.LineKey": lambda hdl, config: hdl.LineKey(),
    "noise.CellMix": lambda hdl, config: hdl.CellMix(),
    "arith.Divider": lambda hdl, config: hdl.Divider(32, 16, 16),
    "arith.SquareRoot": lambda hdl, config: hdl.SquareRoot(32),
    "converters.Scaler": lambda hdl, config: hdl.Scaler(config.formats.edge_bits),
    "converters.Adc": lambda hdl, config: hdl.Adc(
        import_module("ohmgrid.hdl.lane").sum_bits(config)
    ),
    "pulses.Planner": lambda hdl, config: hdl.Planner(config.formats.edge_bits),
    "pulses.TrainMaker": lambda hdl, config: hdl.TrainMaker(config.build.train_groups),
    "popcount.Popcount": lambda hdl, config: hdl.Popcount(),
    "device.DeviceUnit": lambda hdl, config: hdl.DeviceUnit(
        config.formats.weight_bits,
        max(1, (config.build.share - 1).bit_length()),
        14,
        config.build.multipliers,
        config.formats.curve_segments,
        config.build.power,
        config.build.curve,
        config.build.step_tables,
        config.build.references,
    ),
    "device_static.StaticProperties": lambda hdl, config: hdl.StaticProperties(
        config.formats.weight_bits
    ),
    "device_curve.StepCurve": lambda hdl, config: hdl.StepCurve(
        config.formats.weight_bits,
        config.formats.curve_segments,
        config.build.power,
        config.build.step_tables,
    ),
    "aging.Aging": lambda hdl, config: hdl.Aging(config.formats.weight_bits),
    "due_pairs.DuePairs": lambda hdl, config: hdl.DuePairs(
        config.build, import_module("ohmgrid.hdl.array").LaneArray(config).turn
    ),
    "visible.VisibleWeight": lambda hdl, config: hdl.VisibleWeight(config.formats.weight_bits),
    "lane.Lane": lambda hdl, config: hdl.Lane(
        config.build.max_blocks * config.build.max_rows,
        config.formats.weight_bits,
        hdl.sum_bits(config),
        hdl.code_bits(config),
        config.build.write_noise,
        config.build.read_physics,
    ),
    "group.LaneGroup": lambda hdl, config: hdl.LaneGroup(config, config.build.share),
    "visit_queue.VisitQueue": lambda hdl, config: hdl.VisitQueue(
        hdl.visit_layout(config.build.share, config.formats.weight_bits, 14, 3), config.build.queue
    ),
    "sweep.Sweep": lambda hdl, config: hdl.Sweep(
        config.build.lanes,
        config.build.max_rows,
        config.build.max_cols,
        config.build.max_blocks * config.build.max_rows,
        config.build.key_banks,
    ),
    "array.LaneArray": lambda hdl, config: hdl.LaneArray(config),
    "voltages.Voltages": lambda hdl, config: hdl.Voltages(),
    "readout.Readout": lambda hdl, config: hdl.Readout(config.build.max_rows, 4, 3),
    "lines.Lines": lambda hdl, config: hdl.Lines(config),
    "tile.Tile": lambda hdl, config: hdl.Tile(config),
}
"""Name, module first -> what makes the component for a configuration."""


def unit(name: str, config: Config) -> wiring.Component:
    """Return a new component by its name in `REGISTRY`."""
    if name not in REGISTRY:
        raise ValueError(f"component: expected one of {', '.join(REGISTRY)}, got {name!r}")
    return REGISTRY[name](import_module(f"ohmgrid.hdl.{name.partition('.')[0]}"), config)
