"""Digests of bits that must not change unnoticed, and the command that records them anew.

``.venv/bin/python tests/pinned_bits.py`` writes ``pinned_bits.json``; CONTRIBUTING.md says when
that is right. `test_pinned_bits.py` compares.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from ohmgrid.commands.options import Options, choose_config
from ohmgrid.config import Config
from ohmgrid.devices.presets import PRESETS
from ohmgrid.engines import close_tiles, make_tiles, make_trainer
from ohmgrid.model.core.refresh import refresh_registers
from ohmgrid.model.core.trainer import epoch_order
from ohmgrid.net import Net, state_sha256
from ohmgrid.registers import noise as streams
from ohmgrid.registers.device import DEVIATES, device_registers
from ohmgrid.registers.edge import converter_registers, pulse_registers
from ohmgrid.registers.layers import activation_table, exp_tables
from ohmgrid.registers.powers import LOG_TABLE, POWER_TABLE
from ohmgrid.registers.readout import read_registers
from ohmgrid.registers.time import aging_registers
from ohmgrid.training.data import load_data

RECORD = Path(__file__).with_name("pinned_bits.json")
WEIGHT_BITS = (18, 16)
TRAINED = ("gokmen-vlasov", "reram-sb", "pcm")
"""Presets whose training is pinned: a constant step, a reference and write noise, a pair."""
STEPS = 50
LINES = 65
"""Input lines of the direction whose read side is pinned."""


def digest(value: Any) -> str:
    """Return the SHA-256 of numbers in containers; floats count with all their bits."""

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return plain(asdict(value))
        if isinstance(value, dict):
            return {str(key): plain(part) for key, part in value.items()}
        if isinstance(value, Iterable) and not isinstance(value, str):
            return [plain(part) for part in value]
        return value.hex() if isinstance(value, float) else value

    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


def constants() -> dict[str, Any]:
    """Return the tables that all configurations share."""
    names = [name for name in streams.__all__ if isinstance(getattr(streams, name), int | tuple)]
    return {
        "deviates": DEVIATES,
        "exponential": exp_tables(),
        "logarithm": LOG_TABLE,
        "power of two": POWER_TABLE,
        "noise": {name: getattr(streams, name) for name in names},
        **{name: activation_table(name, 12) for name in ("sigmoid", "tanh")},
    }


def registers(config: Config) -> dict[str, Any]:
    """Return every register and table that an engine loads for a tile."""
    formats, unit = config.formats, config.device.unit
    device = device_registers(unit, formats.weight_bits, formats.curve_segments)
    found = {
        "device": device,
        "aging": aging_registers(unit, device.lsb, formats.weight_bits, config.batch),
        "refresh": refresh_registers(config, device.lsb) if config.device.paired else None,
        "pulses": pulse_registers(config, device.granularity, 0.1),
    }
    for name, io in (("forward", config.forward), ("backward", config.backward)):
        found[f"{name} converters"] = converter_registers(io, device.lsb)
        found[f"{name} read"] = read_registers(io, device.lsb, LINES)
    return found


def preset_config(name: str, weight_bits: int = 18) -> Config:
    """Return the configuration that ``--device NAME`` chooses."""
    return choose_config(Options(device=name)).replace(formats={"weight_bits": weight_bits})


def register_digests() -> dict[str, str]:
    """Return a digest of the registers of every preset at both widths, and of shared tables."""
    found = {name: digest(value) for name, value in constants().items()}
    for name in PRESETS:
        for bits in WEIGHT_BITS:
            found[f"{name}, {bits} bits"] = digest(registers(preset_config(name, bits)))
    return found


def training_digest(name: str, engine: str) -> str:
    """Return the state after `STEPS` examples of digits on 64-32-10."""
    config, net = preset_config(name), Net((64, 32, 10))
    data = load_data("digits", config.formats.x_frac, config.formats.edge_bits)
    order = epoch_order(config.seed, 0, len(data.train_labels))[:STEPS]
    tiles = make_tiles(engine, config, net.shapes)
    try:
        trainer = make_trainer(config, tiles, net)
        trainer.initialise()
        trainer.train(data.train_x[order], data.train_labels[order], 0.1)
        return state_sha256(trainer.state())
    finally:
        close_tiles(tiles)


def main() -> None:
    """Record the bits as the golden model computes them now."""
    record = {
        "registers": register_digests(),
        "training": {name: training_digest(name, "model") for name in TRAINED},
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
