"""Weights from wherever they are: a run, a checkpoint, a file; and into the devices of a net."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ohmgrid.config import Config
from ohmgrid.doors.checks import ConfigError, check_float
from ohmgrid.model.core.core import programmed_state
from ohmgrid.net import Net
from ohmgrid.tile import TileState
from ohmgrid.training.plan import Plan
from ohmgrid.training.runs import CHECKPOINT, Checkpoint, read_checkpoint
from ohmgrid.weights.csv import read_weights_csv
from ohmgrid.weights.layers import Layer, full_scale, with_bias
from ohmgrid.weights.npz import read_weights_npz

__all__ = ["check_g_max", "layers_of_run", "program", "read_start", "read_weights"]

MOST_G = 1e6
"""Microsiemens: one siemens."""


def check_g_max(g_max: float | None) -> None:
    """Raise `ConfigError` unless it is a conductance in microsiemens, or None."""
    if g_max is not None:
        check_float("g-max", g_max, 1e-6, MOST_G)


def layers_of_run(run: Checkpoint) -> list[Layer]:
    """Return the weights of a run, of pairs both devices too."""
    layers = []
    for weights, state in zip(run.weights, run.states, strict=True):
        both = state.weights * run.lsb
        pair = (both[0::2], both[1::2]) if run.config.device.paired else None
        layers.append(Layer(weights, None, pair))
    return layers


def read_weights(
    path: Path, scale: float, g_max: float | None = None, original: Path | None = None
) -> list[Layer]:
    """Return the layers of a run's folder, a checkpoint, or a file FILE.npz or FILE.csv.

    Parameters
    ----------
    path : Path
    scale : float
        Weight at the largest conductance (`ohmgrid.weights.layers.full_scale`).
    g_max : float, optional
        Largest conductance in microsiemens; a CSV file then holds conductances.
    original : Path, optional
        Weights of which the file has the conductances: their signs, and the scale of each row.
    """
    check_g_max(g_max)
    if path.is_dir():
        layers = layers_of_run(read_checkpoint(path / CHECKPOINT))
    elif path.suffix == ".npz" and path.name == CHECKPOINT:
        layers = layers_of_run(read_checkpoint(path))
    elif path.suffix == ".npz":
        layers = read_weights_npz(path)
    elif path.suffix == ".csv":
        layers = read_weights_csv(path, scale, g_max)
    else:
        raise ConfigError("weights", f"expected a run's folder, FILE.npz or FILE.csv, got {path}")
    if original is None:
        return layers
    known = read_weights(original, scale)
    if [one.weights.shape for one in known] != [one.weights.shape for one in layers]:
        raise ConfigError("original", f"expected layers of the same shapes as in {path}")
    return [_signed(*pair) for pair in zip(layers, known, strict=True)]


def _signed(layer: Layer, original: Layer) -> Layer:
    """Return magnitudes with an original's signs and, by least squares, each row's scale."""
    if not layer.magnitudes:
        return layer
    signed = layer.weights * np.sign(original.weights)
    square = (signed * signed).sum(axis=1)
    product = (signed * original.weights).sum(axis=1)
    factor = np.where(square > 0, product / np.where(square > 0, square, 1.0), 1.0)
    return replace(layer, weights=signed * factor[:, None], magnitudes=False)


def read_start(config: Config, plan: Plan) -> list[Layer] | None:
    """Return the weights that a plan begins with; None where they are hashed from the seed."""
    if not plan.weights:
        for name in ("g_max", "original"):
            if getattr(plan, name):
                raise ConfigError(name.replace("_", "-"), "expected with --weights only")
        return None
    original = Path(plan.original) if plan.original else None
    scale = full_scale(config.device)
    return read_weights(Path(plan.weights), scale, plan.g_max or None, original)


def program(config: Config, net: Net, layers: Sequence[Layer]) -> tuple[list[TileState], list[str]]:
    """Return the states of tiles whose devices hold these weights, and what a user should know.

    A weight is rounded to an LSB and clipped to its device's own bounds; a stuck device keeps its
    own weight.
    """
    if len(layers) != len(net.shapes):
        raise ConfigError(
            "weights", f"expected {len(net.shapes)} layers, as the net has, got {len(layers)}"
        )
    states, clipped, notes = [], 0, []
    for number, (layer, shape) in enumerate(zip(layers, net.shapes, strict=True)):
        if layer.bias is None and layer.weights.shape[1] == shape[1] - 1:
            notes.append(f"weights: layer {number} has no bias; 0 is taken")
        if layer.magnitudes:
            notes.append(
                f"weights: layer {number} has magnitudes alone, taken as positive weights; "
                "--original names the weights with their signs"
            )
        whole = with_bias(number, layer, shape)
        pair = whole.pair if config.device.paired else None
        asked = whole.weights if pair is None else np.stack(pair)
        state, lost = programmed_state(config, number, asked)
        states.append(state)
        clipped += lost
    if clipped:
        notes.append(
            f"weights: {clipped} of {net.cells} are beyond the bounds of their devices, or these "
            "are stuck"
        )
    return states, notes
