"""Line values: from activations and errors at the edge to trains and noise keys (golden model)."""

import numpy as np

from ohmgrid.model.base.noise import line_keys
from ohmgrid.model.periphery.pulses import PulsePlan, column_trains, probabilities, row_trains
from ohmgrid.registers.noise import Purpose

__all__ = ["key_halves", "side_trains"]


def side_trains(
    values: np.ndarray, purpose: Purpose, plan: PulsePlan, pulse_type: str, key: int, chunk: int = 0
) -> np.ndarray:
    """Return one chunk of the trains of one side (int64, shape (lines,)).

    Parameters
    ----------
    values : int64, shape (lines,)
        Activations or errors at the edge.
    purpose : Purpose
        ``COLUMN`` (activations) or ``ROW`` (errors).
    plan : PulsePlan
    pulse_type : str
    key : int
        Operation key of the update.
    chunk : int
        Number of the chunk.
    """
    if purpose == Purpose.COLUMN:
        probability = probabilities(values, plan.x_factor, plan.x_divisor)
        return column_trains(probability, plan.bl, pulse_type, key, chunk)
    probability = probabilities(values, plan.d_factor, plan.d_divisor)
    return row_trains(probability, plan.bl, pulse_type, key, chunk)


def key_halves(
    key: int, purpose: Purpose, lines: int, sub: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the two 32-bit halves of the keys of lines 0..lines-1 (uint32, shape (lines,))."""
    keys = line_keys(key, purpose, np.arange(lines), sub)
    return keys.astype(np.uint32), (keys >> np.uint64(32)).astype(np.uint32)
