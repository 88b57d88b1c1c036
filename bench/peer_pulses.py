"""Record single-pulse statistics with aihwkit, in the form that ``bench/device_pulses.py`` reads.

Run it with a Python that has aihwkit (it needs nothing of ohmgrid)::

    PEER/bin/python bench/peer_pulses.py FILE.npz [--exact] [PRESET | DEVICE.toml ...]

A device file has the class and the parameters of a device, as for ``ohmgrid device``: both know
them by the same names. 4,096 devices start at w = 0 and get n up, then n down updates with x = 1
and d = -1 or 1. Each is a request with a learning rate of dw_min, as ``ohmgrid device --requests``
makes; with ``--exact`` it is one pulse for every device (a train of one slot that always fires).
aihwkit cannot be seeded: two runs differ.
"""

# pyright: reportMissingImports=false

import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
from aihwkit.simulator.configs import SingleRPUConfig
from aihwkit.simulator.configs import devices as classes
from aihwkit.simulator.presets import devices
from aihwkit.simulator.tiles import AnalogTile

SIDE = 64
PULSES = {
    "Idealized": (800, 800),
    "GokmenVlasov": (800, 800),
    "Capacitor": (400, 400),
    "EcRam": (800, 800),
    "EcRamMO": (800, 800),
    "ReRamES": (1000, 1000),
    "ReRamSB": (1000, 1000),
    "ReRamArrayOM": (100, 100),
    "ReRamArrayHfO2": (50, 50),
    "PCM": (100, 0),
}
OWN = (150, 150)
"""Pulses of a device file."""
QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}


def record(name: str, exact: bool) -> dict[str, np.ndarray]:
    """Return the statistics of one preset or device file."""
    if name in PULSES:
        device, (up, down) = getattr(devices, f"{name}PresetDevice")(), PULSES[name]
    else:
        parameters = tomllib.loads(Path(name).read_text(encoding="utf-8"))
        device = getattr(classes, f"{parameters.pop('class')}Device")(**parameters)
        up, down = OWN
    config = SingleRPUConfig(device=device)
    if exact:
        config.update.desired_bl = 1
        config.update.update_management = config.update.update_bl_management = False
    tile = AnalogTile(SIDE, SIDE, config)
    tile.set_learning_rate(1.0 if exact else device.dw_min)
    tile.set_weights(torch.zeros(SIDE, SIDE))
    ones = torch.ones(1, SIDE)

    def weights() -> np.ndarray:
        read = tile.get_weights()
        return np.array(read[0] if isinstance(read, tuple) else read).ravel()

    courses = [weights()]
    for pulse in range(up + down):
        tile.update(ones, -ones if pulse < up else ones)
        courses.append(weights())
    course = np.array(courses, dtype=np.float64)
    step = np.diff(course, axis=0)
    found = {"mean": course.mean(1), "std": course.std(1)}
    found |= {key: np.quantile(course, value, axis=1) for key, value in QUANTILES.items()}
    found |= {"step_mean": step.mean(1), "step_std": step.std(1)}
    return found | {"exact": np.array(exact)}


def main() -> None:
    """Record the named presets and device files, or all presets."""
    exact = "--exact" in sys.argv[2:]
    names = [word for word in sys.argv[2:] if word != "--exact"]
    if len(sys.argv) < 2 or not all(n in PULSES or n.endswith(".toml") for n in names):
        sys.exit(
            f"usage: peer_pulses.py FILE.npz [--exact] [DEVICE.toml | {' | '.join(PULSES)} ...]"
        )
    arrays = {}
    for name in names or PULSES:
        print(name, flush=True)
        stem = Path(name).stem
        arrays |= {f"{stem}/{key}": values for key, values in record(name, exact).items()}
    np.savez_compressed(sys.argv[1], **arrays)


if __name__ == "__main__":
    main()
