"""Weights of a net as numbers of a person: one array a layer, in weight units."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ohmgrid.devices.base import Device
from ohmgrid.doors.checks import ConfigError

__all__ = ["Layer", "full_scale", "layer_sizes", "with_bias"]


@dataclass(frozen=True)
class Layer:
    """Weights of one layer, and what its devices hold where that is more."""

    weights: np.ndarray
    """float64, shape (rows, columns); the last column is the bias, or there is none."""
    bias: np.ndarray | None = None
    """float64, shape (rows,), where it is not a column of `weights`."""
    pair: tuple[np.ndarray, np.ndarray] | None = None
    """Plus and minus devices, of which a weight is the difference, in the shape of `weights`."""
    magnitudes: bool = False
    """Of the weights only the magnitudes are known."""


def full_scale(device: Device) -> float:
    """Return the weight whose conductance is the largest: the mean bound of the device."""
    low, high = device.bounds
    return max(high, -low)


def layer_sizes(layers: Sequence[Layer], inputs: int) -> tuple[int, ...]:
    """Return the sizes of a net of such layers, inputs first.

    Raises
    ------
    ConfigError
        A layer does not take what the one before it gives.
    """
    sizes = [inputs]
    for number, layer in enumerate(layers):
        rows, columns = layer.weights.shape
        if columns != sizes[-1] and (columns != sizes[-1] + 1 or layer.bias is not None):
            raise ConfigError(
                "weights",
                f"expected layer {number} with {sizes[-1]} inputs, or {sizes[-1] + 1} columns with "
                f"the bias, got shape {layer.weights.shape}",
            )
        sizes.append(rows)
    return tuple(sizes)


def with_bias(number: int, layer: Layer, shape: tuple[int, int]) -> Layer:
    """Return a layer of a tile's shape, the bias in its last column (0 where there is none)."""
    if layer.weights.shape == shape and layer.bias is None:
        return layer
    if layer.weights.shape != (shape[0], shape[1] - 1):
        raise ConfigError(
            "weights",
            f"expected layer {number} of shape {shape}, the bias in the last column, or "
            f"{(shape[0], shape[1] - 1)} without, got {layer.weights.shape}",
        )
    bias = np.zeros(shape[0]) if layer.bias is None else layer.bias
    pair = None
    if layer.pair is not None:
        both = np.maximum(bias, 0), np.maximum(-bias, 0)
        pair = tuple(np.column_stack(part) for part in zip(layer.pair, both, strict=True))
    return Layer(np.column_stack([layer.weights, bias]), None, pair, layer.magnitudes)  # type: ignore[arg-type]
