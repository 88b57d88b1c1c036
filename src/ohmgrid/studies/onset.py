"""Where oscillation begins: the growth of a small perturbation, and where it is zero.

A perturbation along a mode of the matrix is let go; the logarithm of its extremes over time is a
straight line, whose slope is the growth rate. Nothing here asks what theory predicts: a mode is
chosen by its eigenvalue, a delay or a gain is found by growth alone.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ohmgrid.doors.checks import ConfigError
from ohmgrid.dynamics import NetEngine, NetState, OnTile
from ohmgrid.engines import make_network, make_neurons
from ohmgrid.registers.dynamics import STATE_FRAC
from ohmgrid.studies.delay_theory import fhn_rest, mode_delay
from ohmgrid.systems import DelayNet, Drive, Fhn

__all__ = [
    "Growth",
    "Mode",
    "Perturbation",
    "Question",
    "critical_delay",
    "critical_gain",
    "fhn_growth",
    "growth_of",
    "hopf_points",
    "leading_mode",
    "sign_change",
]

SMALL = 0.01
"""Scaled state of a perturbation at its beginning: 650 LSB of a neuron's output."""
BAND = 1.0
"""Growth is measured while the perturbation is within ``exp(+-BAND)`` of what it was."""
SAMPLES_A_DELAY = 100
"""Samples of a delay: a sampled emulator adds what is below one of them (docs/dynamics.md)."""
FINEST, COARSEST = 1e-4, 0.02
"""Bounds of the time between samples, RC."""
SPAN = 40.0
"""Time that a perturbation is watched for, in units of ``delay + RC``."""
SETTLING = 4.0
"""Time before that, in which other modes decay, in the same unit."""
CHUNK = 4.0
"""Time, over the gain, after which other modes are taken away: they grow by ``exp(CHUNK)`` at most.
"""
LEAST = 1e-12
"""What is left of a perturbation of which nothing is."""
LEAST_EXTREMES = 4
COMPLEX = 1e-9
"""An imaginary part below it is one of rounding."""
TURN = 0.25
"""Delay, times gain and the matrix' norm, at which a search begins: inhibition needs pi/2."""
TOLERANCE = 5e-4
"""Relative width at which a search ends."""
GRID = 1.5
"""Ratio of the steps of the search for a change of sign."""


class Growth(NamedTuple):
    """What becomes of a small perturbation."""

    rate: float
    """Of its logarithm, in the unit of time: negative where it decays."""
    frequency: float
    """Angular; 0: it does not oscillate."""


class Mode(NamedTuple):
    """A mode of a matrix."""

    eigenvalue: complex
    start: np.ndarray
    """float64, shape (lines,): a perturbation that is nothing but this mode."""
    watch: np.ndarray
    """shape (lines,): ``watch @ u`` is how much of it is in u; complex of a mode that turns."""
    keep: np.ndarray
    """float64, shape (lines, lines): ``keep @ u`` is what of u belongs to this mode."""


class Question(NamedTuple):
    """A network whose onset is searched for."""

    matrix: np.ndarray
    function: str = "tanh"
    crossbar: OnTile | None = None
    engine: str = "compiled"


def leading_mode(matrix: np.ndarray, gain: float) -> Mode:
    """Return the mode that oscillates first as delay grows; below any onset, the strongest one."""
    values, vectors = np.linalg.eig(np.asarray(matrix, np.float64).astype(np.complex128))
    order = [
        (mode_delay(gain, complex(one)), -abs(one) * (1.0 - math.cos(np.angle(one))))
        for one in values
    ]
    first = min(range(len(values)), key=lambda place: order[place])
    right, left = vectors[:, first], np.linalg.pinv(vectors)[first]
    pairs = 1.0 if np.abs(values[first].imag) < COMPLEX else 2.0
    keep = pairs * np.real(np.outer(right, left))
    # A vector has any phase: one with as much of it real as can be.
    turn = np.exp(-0.5j * np.angle(np.sum(right * right)))
    start = (right * turn).real
    watch = left / turn
    watch = watch.real if pairs == 1.0 else watch
    start = start / np.abs(start).max()
    return Mode(complex(values[first]), start, watch / np.abs(watch @ start), keep)


def growth_of(trace: np.ndarray, step: float) -> Growth | None:
    """Return growth and frequency of a trace that swings around 0; None if it hardly does.

    Its extremes, those of a parabola through three samples, say at what frequency to look.

    Parameters
    ----------
    trace : float64 or complex128, shape (samples,)
        A complex one may turn either way, with a growth and a frequency each: the faster is meant.
    step : float
        Time between samples.
    """
    seen = np.real(trace)
    before, here, after = seen[:-2], seen[1:-1], seen[2:]
    size = np.abs(here)
    top = (size >= np.abs(before)) & (size > np.abs(after)) & (here * (here - before) >= 0)
    places = np.flatnonzero(top & (size > 0))
    if len(places) < LEAST_EXTREMES:
        return None
    a, b, c = before[places], here[places], after[places]
    bend = a - 2 * b + c
    shift = np.where(bend == 0, 0.0, 0.5 * (a - c) / np.where(bend == 0, 1.0, bend))
    times = (places + 1 + shift) * step
    omega = math.pi / float(np.polyfit(np.arange(len(times)), times, 1)[0])
    ways = (omega, -omega) if np.iscomplexobj(trace) else (omega,)
    found = max((_demodulated(trace, step, way) for way in ways), key=lambda one: one.rate)
    return Growth(found.rate, abs(found.frequency))


def _demodulated(trace: np.ndarray, step: float, omega: float) -> Growth:
    """Return growth and frequency of what swings at about ``omega``, whatever else is there.

    Overtones of a long delay decay slowly; under a window of two periods they cancel.
    """
    period = 2.0 * math.pi / abs(omega) / step
    width = round(2 * period)
    begins = np.round(np.arange(0.0, len(trace) - width, 0.5 * period)).astype(np.int64)
    if len(begins) < 2:
        begins, width = np.array([0, len(trace) // 2]), len(trace) - len(trace) // 2
    window = np.hanning(width + 1)[:width]
    parts = []
    for begin in begins:
        times = (begin + np.arange(width)) * step
        parts.append(np.sum(window * trace[begin : begin + width] * np.exp(-1j * omega * times)))
    middles, found = begins * step, np.array(parts)
    rate = float(np.polyfit(middles, np.log(np.abs(found)), 1)[0])
    return Growth(rate, omega + float(np.polyfit(middles, np.unwrap(np.angle(found)), 1)[0]))


def _watched(trace: np.ndarray, begin: int, least: int, step: float) -> Growth:
    """Return what becomes of a perturbation from sample ``begin`` on.

    It is watched while it is within the band of its size in the first ``least`` samples.
    """
    rest = trace[begin:]
    sizes = np.abs(rest)
    size = float(sizes[:least].max())
    outside = np.flatnonzero(sizes > size * math.exp(BAND))
    end = int(outside[0]) if len(outside) else len(rest)
    large = np.flatnonzero(sizes[:end] > size * math.exp(-BAND))
    last = int(large[-1]) + 1 if len(large) else 0
    found = growth_of(rest[: max(last, least)], step)
    if found is not None:
        return found
    half = max(end // 2, 1)
    first, second = (max(float(one.max()), LEAST) for one in (sizes[:half], sizes[half : 2 * half]))
    return Growth(math.log(second / first) / (half * step), 0.0)


def _step(delay: float) -> float:
    return min(max(delay / SAMPLES_A_DELAY, FINEST), COARSEST)


class Perturbation:
    """A network that small perturbations are let go in, again and again.

    Parameters
    ----------
    question : Question
    longest : float
        Longest delay, RC.
    """

    def __init__(self, question: Question, longest: float) -> None:
        self._function, self._exact = question.function, question.crossbar is None
        net = DelayNet(1.0, (longest,), _step(longest), question.function)
        self._network = make_network(question.engine, net, question.matrix, question.crossbar)

    def growth(self, gain: float, delay: float, mode: Mode) -> Growth:
        """Return what becomes of a small perturbation at a gain and a delay."""
        network = self._network
        step = _step(delay)
        network.retune(DelayNet(gain, (delay,), step, self._function))
        network.start(mode.start * SMALL / gain)
        unit = (delay + 1.0) / step
        samples = round(unit * (SETTLING + SPAN))
        if self._exact and network.lines > 1:
            chunk, span = max(round(CHUNK / gain / step), 1), math.ceil(delay / step) + 2
            traced = _run_mode(network, mode, samples, chunk, span)
        else:
            traced = network.run(samples)
        trace = np.ldexp(traced, -STATE_FRAC) @ mode.watch
        settled, least = round(unit * SETTLING), round(2 * unit)
        # What is left of a mode that has decayed meanwhile is too small to tell more.
        last, floor = np.abs(trace[settled - least : settled]).max(), math.exp(-BAND) * SMALL / gain
        if last < floor:
            return Growth(math.log(max(last, LEAST) * gain / SMALL) / (settled * step), 0.0)
        return _watched(trace, settled, least, step)


def _run_mode(network: NetEngine, mode: Mode, samples: int, chunk: int, span: int) -> np.ndarray:
    """Run a network, now and then without what roundings have brought of other modes.

    One of them may grow fast, and by itself: a mode with a positive eigenvalue above 1/gain.

    Parameters
    ----------
    network : NetEngine
    mode : Mode
    samples, chunk : int
        How many, and after how many the others are taken away.
    span : int
        Samples of the ring buffer that are still read.
    """

    def kept(values: np.ndarray) -> np.ndarray:
        return np.rint(values @ mode.keep.T).astype(np.int64)

    traced = np.empty((samples, network.lines))
    for first in range(0, samples, chunk):
        part = traced[first : first + chunk]
        part[:] = network.run(len(part))
        state = network.state()
        read = (state.samples - np.arange(1, span + 1)) % len(state.ring)
        state.ring[read] = kept(state.ring[read])
        network.load(NetState(kept(state.u), kept(state.y), state.ring, state.samples))
    return traced


def sign_change(rate: Callable[[float], float], low: float, high: float) -> float | None:
    """Return where a function that begins below 0 gets to it; ``low`` if it does not begin so.

    Steps of a constant ratio until it has, then regula falsi (Illinois) down to `TOLERANCE`. None
    if it has not up to ``high``.
    """
    left, below = low, rate(low)
    if below >= 0:
        return low
    while True:
        if left >= high:
            return None
        right = min(left * GRID, high)
        above = rate(right)
        if above >= 0:
            break
        left, below = right, above
    below, above, last = max(below, -10.0), min(above, 10.0), 0
    while right - left > TOLERANCE * right:
        # At least a part of the interval: rates of noisy crossbars are not smooth.
        part = min(max(below / (below - above), 0.02), 0.98)
        middle = left + part * (right - left)
        found = rate(middle)
        if found < 0:
            left, below = middle, max(found, -10.0)
            above, last = (0.5 * above if last < 0 else above), -1
        else:
            right, above = middle, min(found, 10.0)
            below, last = (0.5 * below if last > 0 else below), 1
    return 0.5 * (left + right)


def critical_delay(
    question: Question, gain: float, low: float | None = None, high: float = 20.0
) -> tuple[float | None, float]:
    """Return the delay from which a small perturbation grows, and its angular frequency there.

    Parameters
    ----------
    question : Question
    gain : float
    low, high : float
        Delays between which it is searched for, RC; without ``low`` a part of what any mode takes
        to turn.

    Returns
    -------
    delay : float or None
        None: it decays at all delays, or no mode oscillates: one with a positive eigenvalue grows,
        or not, whatever the delay. 0: it grows at all delays.
    frequency : float
    """
    mode = leading_mode(question.matrix, gain)
    if mode.eigenvalue.real > 0 and abs(mode.eigenvalue.imag) < COMPLEX:
        return None, 0.0
    let_go = Perturbation(question, high)
    if low is None:
        most = float(np.abs(question.matrix).sum(axis=1).max())
        low = min(max(TURN / (gain * most), FINEST) if most else high, high)
    delay = sign_change(lambda one: let_go.growth(gain, one, mode).rate, low, high)
    if delay is None:
        return None, 0.0
    frequency = let_go.growth(gain, delay, mode).frequency
    return (0.0 if delay == low else delay), frequency


def critical_gain(
    question: Question, delay: float, low: float = 0.2, high: float = 50.0
) -> tuple[float | None, float]:
    """Return the gain from which a small perturbation grows, and its angular frequency there."""
    # Modes come in the same order at all gains where one is far from the others.
    mode, let_go = leading_mode(question.matrix, high), Perturbation(question, delay)
    gain = sign_change(lambda one: let_go.growth(one, delay, mode).rate, low, high)
    if gain is None:
        return None, 0.0
    return gain, let_go.growth(gain, delay, mode).frequency


KICK = 0.01
"""How far from its point of rest a FitzHugh-Nagumo neuron is let go."""
FHN_SPAN = 400.0


def fhn_growth(neuron: Fhn, current: float, engine: str = "compiled") -> Growth:
    """Return what becomes of a small deviation from where a FitzHugh-Nagumo neuron rests."""
    v, w = fhn_rest(current, neuron.a, neuron.b)
    given = Fhn(Drive((current,)), neuron.a, neuron.b, neuron.tau, neuron.threshold, neuron.step)
    states, _ = make_neurons(engine, given, 1, (v + KICK, w)).run(round(FHN_SPAN / neuron.step))
    trace = np.ldexp(states[:, 0, 0].astype(np.float64), -STATE_FRAC) - v
    return _watched(trace, 0, round(4 * neuron.tau / neuron.step), neuron.step)


def hopf_points(
    neuron: Fhn, low: float, high: float, engine: str = "compiled"
) -> tuple[float, float]:
    """Return the currents between which a FitzHugh-Nagumo neuron does not rest, within bounds.

    Raises
    ------
    ConfigError
        It rests everywhere between, or nowhere.
    """
    first = sign_change(lambda one: fhn_growth(neuron, one, engine).rate, low, high)
    turned = sign_change(lambda one: fhn_growth(neuron, low + high - one, engine).rate, low, high)
    if first is None or turned is None or first <= low or turned <= low:
        raise ConfigError("current", f"expected rest at {low:g} and {high:g}, and none between")
    return first, low + high - turned
