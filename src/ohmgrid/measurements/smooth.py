"""Sweeps without the noise of single values."""

import numpy as np
from scipy.signal import savgol_filter

__all__ = ["calm", "parabolas", "rest_of_noise"]


def calm(values: np.ndarray) -> np.ndarray:
    """Return a sweep without the noise of single reads: medians, then straight lines, of a few."""
    half = min(5, len(values) // 12)
    if half < 1:
        return values.copy()
    padded = np.pad(values, 1, mode="edge")
    plain = np.median(np.lib.stride_tricks.sliding_window_view(padded, 3), axis=1)
    plain[0], plain[-1] = _end(values[:3]), _end(values[::-1][:3])
    return np.asarray(savgol_filter(plain, 2 * half + 1, 1, mode="interp"))


def _end(values: np.ndarray) -> float:
    """Return the first of three values, or where the two others point if it is far off."""
    first, second, third = values
    return float(np.median([first, second, 2 * second - third]))


def parabolas(values: np.ndarray, width: int) -> np.ndarray:
    """Return local parabolas through ``width`` (odd) values; at the ends, those of the ends."""
    return np.asarray(savgol_filter(values, width, 2, mode="interp"))


def rest_of_noise(width: int) -> float:
    """Return the part of a white noise's variance that parabolas of a width do not follow."""
    return 1 - 3 * (3 * width**2 - 7) / (4 * width * (width**2 - 4))
