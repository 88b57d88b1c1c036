"""Weights in .npz files.

Ours have ``weights_L`` for each layer L, the bias in the last column, and of pairs ``plus_L`` and
``minus_L``, in weight units; with ``g_max`` also ``conductance_L``, or ``conductance_plus_L`` and
``conductance_minus_L``, in microsiemens. Those of others have ``NAME.weight`` and ``NAME.bias``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ohmgrid.devices.base import Device
from ohmgrid.doors.arrays import load_arrays
from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.weights.layers import Layer, full_scale

__all__ = ["arrays_of", "read_weights_npz"]


def arrays_of(layers: Sequence[Layer], device: Device, g_max: float | None) -> dict[str, Any]:
    """Return the arrays of a file.

    Parameters
    ----------
    layers : sequence of Layer
    device : Device
        Whose bounds are the ends of the range of conductances, 0 and ``g_max``.
    g_max : float, optional
        Largest conductance in microsiemens.
    """
    arrays: dict[str, Any] = {}
    low, high = device.bounds
    for number, layer in enumerate(layers):
        arrays[f"weights_{number}"] = layer.weights
        if layer.bias is not None:
            arrays[f"bias_{number}"] = layer.bias
        signs = ("plus", "minus") if layer.pair else ()
        for sign, part in zip(signs, layer.pair or (), strict=True):
            arrays[f"{sign}_{number}"] = part
            if g_max is not None:
                arrays[f"conductance_{sign}_{number}"] = part / full_scale(device) * g_max
        if g_max is not None and not layer.pair:
            place = (layer.weights - low) / (high - low)
            arrays[f"conductance_{number}"] = place * g_max
    if g_max is not None:
        arrays["g_max"] = np.float64(g_max)
    return arrays


def _groups(names: Sequence[str]) -> list[dict[str, str]]:
    """Return for each layer which array is its weights, bias, plus and minus."""
    count = next(n for n in range(len(names) + 1) if f"weights_{n}" not in names)
    if count:
        kinds = ("weights", "bias", "plus", "minus")
        return [
            {kind: name for kind in kinds if (name := f"{kind}_{n}") in names} for n in range(count)
        ]
    found = []
    for name in names:
        stem, dot, kind = name.rpartition(".")
        if dot and kind == "weight":
            bias = f"{stem}.bias"
            found.append({"weights": name, **({"bias": bias} if bias in names else {})})
    if not found:
        came = shown(", ".join(names)) if names else "none"
        raise ConfigError(
            "content", f"expected the arrays weights_0, weights_1, ... or NAME.weight, got {came}"
        )
    return found


def _floats(name: str, array: np.ndarray, dimensions: int) -> np.ndarray:
    if array.ndim != dimensions or array.size == 0:
        raise ConfigError(name, f"expected {dimensions} dimensions, got shape {array.shape}")
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise ConfigError(name, "expected finite numbers, got NaN or infinity")
    return values


def read_weights_npz(path: Path) -> list[Layer]:
    """Return the layers of a file; errors begin with its name."""
    groups: list[dict[str, str]] = []

    def choose(names: Sequence[str]) -> Sequence[str]:
        groups.extend(_groups(names))
        return [name for group in groups for name in group.values()]

    arrays = load_arrays(path, choose)
    try:
        return [_layer(group, arrays) for group in groups]
    except ConfigError as error:
        raise error.at(path) from None


def _layer(group: dict[str, str], arrays: dict[str, np.ndarray]) -> Layer:
    """Return one layer."""
    weights = _floats(group["weights"], arrays[group["weights"]], 2)
    bias = pair = None
    if "bias" in group:
        bias = _floats(group["bias"], arrays[group["bias"]], 1)
        if bias.shape != weights.shape[:1]:
            raise ConfigError(group["bias"], f"expected {len(weights)} numbers, got {len(bias)}")
    if "plus" in group and "minus" in group:
        pair = tuple(_floats(group[sign], arrays[group[sign]], 2) for sign in ("plus", "minus"))
        for sign, part in zip(("plus", "minus"), pair, strict=True):
            if part.shape != weights.shape or part.min() < 0:
                raise ConfigError(group[sign], f"expected numbers >= 0 of shape {weights.shape}")
        if not np.allclose(pair[0] - pair[1], weights, rtol=0, atol=1e-6):
            raise ConfigError(group["weights"], "expected the difference of plus and minus")
    return Layer(weights, bias, pair)  # type: ignore[arg-type]
