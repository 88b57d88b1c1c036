"""Weights in the CSV form in which the reference simulator hands conductances to a chip.

Five lines say of each layer, one column each: id, class, number of weights, height, width; then
come the layers' names, then a line of numbers for each layer, row by row. As conductances these are
magnitudes in microsiemens, the largest of each row at ``g_max``; of pairs first all plus, then all
minus devices. As weights, in weight units, they have signs.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ohmgrid.doors.checks import ConfigError, shown
from ohmgrid.doors.schema import read_text
from ohmgrid.weights.layers import Layer

__all__ = ["read_weights_csv", "text_of"]

CLASS = "AnalogLinear"
FACTS = ("id", "class", "number of weights", "height", "width")
MOST_CELLS = 1 << 24
LARGEST_WEIGHT = 8.0
"""Largest bound that a device can have: what is above is no weight."""


def text_of(layers: Sequence[Layer], full_scale: float, g_max: float | None) -> str:
    """Return the text of a file.

    Parameters
    ----------
    layers : sequence of Layer
    full_scale : float
        Weight of a pair's device at its largest conductance.
    g_max : float, optional
        Largest conductance in microsiemens; without it the file holds weights.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    shapes = [layer.weights.shape for layer in layers]
    writer.writerow(range(1, len(layers) + 1))
    writer.writerow([CLASS] * len(layers))
    writer.writerow([rows * columns for rows, columns in shapes])
    writer.writerow([rows for rows, _ in shapes])
    writer.writerow([columns for _, columns in shapes])
    writer.writerow(range(len(layers)))
    for layer in layers:
        writer.writerow(map(repr, _numbers(layer, full_scale, g_max).tolist()))
    return file.getvalue()


def _numbers(layer: Layer, full_scale: float, g_max: float | None) -> np.ndarray:
    """Return what the line of a layer holds."""
    if g_max is None:
        return layer.weights.ravel()
    if layer.pair is not None:
        return np.concatenate([part.ravel() for part in layer.pair]) / full_scale * g_max
    largest = np.abs(layer.weights).max(axis=1, keepdims=True)
    return (np.abs(layer.weights) / np.where(largest > 0, largest, 1.0) * g_max).ravel()


def _rows(text: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise ConfigError("content", f"expected lines of fields, got: {error}") from None


def _count(line: int, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) > 0):
        raise ConfigError(f"line {line}", f"expected a {FACTS[line - 1]}, got {shown(text)}")
    return int(text)


def read_weights_csv(path: Path, full_scale: float, g_max: float | None) -> list[Layer]:
    """Return the layers of a file; errors begin with its name.

    Parameters
    ----------
    path : Path
    full_scale : float
        Weight at the largest conductance.
    g_max : float, optional
        Largest conductance in microsiemens; without it the file holds weights.
    """
    text = read_text(path)
    try:
        rows = _rows(text)
        if len(rows) < len(FACTS) + 2:
            raise ConfigError(
                "content",
                f"expected lines with {', '.join(FACTS)}, the layers' names, and a line of numbers "
                f"for each layer, got {len(rows)} lines",
            )
        layers = len(rows[0])
        for line, row in enumerate(rows[: len(FACTS) + 1], 1):
            if len(row) != layers:
                raise ConfigError(f"line {line}", f"expected {layers} fields, got {len(row)}")
        if len(rows) != len(FACTS) + 1 + layers:
            raise ConfigError(
                "content",
                f"expected {layers} lines of numbers, got {len(rows) - len(FACTS) - 1}",
            )
        return [_layer(rows, number, full_scale, g_max) for number in range(layers)]
    except ConfigError as error:
        raise error.at(path) from None


def _layer(rows: list[list[str]], number: int, full_scale: float, g_max: float | None) -> Layer:
    """Return one layer of a file's rows."""
    weights, height, width = (_count(line, rows[line - 1][number].strip()) for line in (3, 4, 5))
    line = len(FACTS) + 2 + number
    if weights != height * width or weights > MOST_CELLS:
        raise ConfigError(
            "line 3", f"expected height x width = {height * width} weights, got {weights}"
        )
    fields = rows[line - 1]
    if len(fields) not in (weights, 2 * weights):
        raise ConfigError(
            f"line {line}",
            f"expected {weights} numbers, or {2 * weights} of pairs, got {len(fields)}",
        )
    try:
        numbers = np.array([float(one) for one in fields])
    except ValueError as error:
        raise ConfigError(f"line {line}", f"expected numbers, got: {error}") from None
    if not np.isfinite(numbers).all():
        raise ConfigError(f"line {line}", "expected finite numbers, got NaN or infinity")
    parts = numbers.reshape(-1, height, width)
    if g_max is None:
        if len(parts) > 1 or np.abs(numbers).max() > LARGEST_WEIGHT:
            raise ConfigError(
                f"line {line}",
                f"expected weights, got numbers up to {np.abs(numbers).max():g}; if they are "
                "conductances, say the largest in microsiemens with --g-max",
            )
        return Layer(parts[0])
    if numbers.min() < 0 or numbers.max() > g_max * (1 + 1e-6):
        raise ConfigError(
            f"line {line}",
            f"expected conductances in 0..{g_max:g} (--g-max), "
            f"got {numbers.min():g}..{numbers.max():g}",
        )
    scaled = parts / g_max * full_scale
    if len(parts) > 1:
        return Layer(scaled[0] - scaled[1], None, (scaled[0], scaled[1]))
    return Layer(scaled[0], magnitudes=True)
