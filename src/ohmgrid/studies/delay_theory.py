"""What theory says of networks with delay, of FitzHugh-Nagumo, in numbers that people read.

Marcus and Westervelt, Phys. Rev. A 39, 347 (1989). A mode of the matrix with eigenvalue l obeys
``z' = -z + gain l z(t - tau)`` near 0; it oscillates, neither growing nor decaying, where
``1 + i omega = gain l exp(-i omega tau)``.
"""

import math

import numpy as np

__all__ = [
    "critical_delay",
    "fhn_rest",
    "high_gain_delay",
    "high_gain_period",
    "mode_delay",
    "onset_frequency",
    "ring_onset",
]

SMALL = 1e-9


def onset_frequency(gain: float, size: float) -> float:
    """Return the angular frequency at the onset of a mode with ``|l| = size``; 0: no onset."""
    return math.sqrt(max((gain * size) * (gain * size) - 1.0, 0.0))


def mode_delay(gain: float, eigenvalue: complex) -> float:
    """Return the delay from which a mode oscillates: infinite below ``gain |l| = 1``.

    For a real l < 0 it is ``arccos(-1 / (gain |l|)) / sqrt(gain^2 l^2 - 1)``; 0 where a mode that
    turns grows without any delay. A mode with l > 0 grows, or not, whatever the delay: infinite.
    """
    omega = onset_frequency(gain, abs(eigenvalue))
    angle = abs(math.atan2(eigenvalue.imag, eigenvalue.real))
    if omega == 0.0 or angle < SMALL:
        return math.inf
    left = angle - math.atan(omega)
    return left / omega if left > SMALL else 0.0


def critical_delay(gain: float, matrix: np.ndarray) -> float:
    """Return the delay from which the first mode oscillates; infinite: silence at any delay."""
    return min(mode_delay(gain, complex(one)) for one in np.linalg.eigvals(matrix))


def high_gain_delay(low: float, high: float) -> float:
    """Return the critical delay at infinite gain, ``-ln(1 + high / low)``.

    Parameters
    ----------
    low, high : float
        Least (< 0) and largest eigenvalue of a symmetric matrix.

    Returns
    -------
    float
        Infinite where the largest is as large as the least: no oscillation that lasts; 0 where no
        eigenvalue is above 0.
    """
    return math.inf if high >= -low else -math.log1p(max(high, 0.0) / low)


def high_gain_period(delay: float) -> float:
    """Return the period at high gain, ``2 (tau + ln(2 - exp(-tau)))``."""
    return 2.0 * (delay + math.log(2.0 - math.exp(-delay)))


def ring_onset(count: int, delay: float) -> tuple[float, float]:
    """Return angular frequency and gain at the onset of a one-way inverting ring.

    ``omega tau + atan(omega) = pi / count``, ``gain = sqrt(1 + omega^2)``.
    """
    low, high = 0.0, math.pi / count / delay
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle * delay + math.atan(middle) < math.pi / count:
            low = middle
        else:
            high = middle
    return low, math.sqrt(1.0 + low * low)


def fhn_rest(current: float, a: float, b: float) -> tuple[float, float]:
    """Return where a FitzHugh-Nagumo neuron rests: ``v - v^3/3 - w + I = v + a - b w = 0``.

    For b < 1 there is one such point.
    """
    low, high = -4.0, 4.0
    for _ in range(200):
        v = 0.5 * (low + high)
        if b * (v - v * v * v / 3.0 + current) > v + a:
            low = v
        else:
            high = v
    v = 0.5 * (low + high)
    return v, v - v * v * v / 3.0 + current
